//! Reads of envelopes.

use belfry_proto::id::{GroupId, KeyId, LogId, MemberId, MessageId, Sequence};
use prost::Message;

use super::{
    ReadError, Store,
    columns::{self, Cf, Key},
    messages,
    rows::MessageRow,
    values::EnvelopeValue,
    vault::damaged,
};

/// An envelope on its way to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// As it is held.
    pub bytes: Vec<u8>,
    /// Its id and author, if it is held without its body.
    pub bare: Option<(MessageId, MemberId)>,
    /// The body is gone by the group's retention.
    pub expired: bool,
    /// Its own signature was found not to verify: it stands by the entry after it.
    pub unsigned: bool,
}

impl Store {
    /// Encoded envelopes of a log from one sequence to another, both included: in order, without a gap,
    /// at least one if the first is here, and no more than about `max_bytes`.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn envelopes(
        &self,
        group: GroupId,
        log: LogId,
        from: Sequence,
        to: Sequence,
        max_bytes: usize,
    ) -> Result<Vec<Vec<u8>>, ReadError> {
        Ok(self.stretch(group, log, from, to, max_bytes)?.into_iter().map(|held| held.bytes).collect())
    }

    /// [`Self::envelopes`] with what a page has to know of each.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn stretch(
        &self,
        group: GroupId,
        log: LogId,
        from: Sequence,
        to: Sequence,
        max_bytes: usize,
    ) -> Result<Vec<Served>, ReadError> {
        let prefix = columns::log(group, log);
        let mut found: Vec<Served> = Vec::new();
        let mut room = max_bytes;
        for (expected, row) in (from.get()..=to.get()).zip(self.db.scan(
            Cf::Envelopes,
            &columns::place(group, log, from),
            &prefix,
        )) {
            let (key, value) = row?;
            if key.as_ref() != columns::place(group, log, Sequence::new(expected)) {
                break;
            }
            let value = EnvelopeValue::decode(value.as_ref())
                .map_err(|_| damaged(Cf::Envelopes, &key, "does not decode"))?;
            if value.bytes.len() > room && !found.is_empty() {
                break;
            }
            room = room.saturating_sub(value.bytes.len());
            let bare = match !value.has_body {
                true => {
                    let fault = |_| damaged(Cf::Envelopes, &key, "has no id");
                    Some((value.id().map_err(fault)?, value.member().map_err(fault)?))
                }
                false => None,
            };
            let EnvelopeValue { bytes, expired, unsigned, .. } = value;
            found.push(Served { bytes, bare, expired, unsigned });
        }
        Ok(found)
    }

    /// Entries of a log from one sequence on, gaps or not, in order: place, id, and as they travelled.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn entries_from(
        &self,
        group: GroupId,
        log: LogId,
        from: Sequence,
        most: usize,
    ) -> Result<Vec<(Sequence, MessageId, Vec<u8>)>, ReadError> {
        let prefix = columns::log(group, log);
        let rows = self.db.scan(Cf::Envelopes, &columns::place(group, log, from), &prefix).take(most);
        rows.map(|row| {
            let (key, value) = row?;
            let fault = || damaged(Cf::Envelopes, &key, "does not decode");
            let (_, _, sequence) = columns::read_place(&key).ok_or_else(fault)?;
            let value = EnvelopeValue::decode(value.as_ref()).map_err(|_| fault())?;
            Ok((sequence, value.id().map_err(|_| fault())?, value.bytes))
        })
        .collect()
    }

    /// One encoded envelope.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn envelope(&self, message: MessageId) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.find(message)?.map(|(_, value)| value.bytes))
    }

    /// What is known of a message.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn message(&self, message: MessageId) -> Result<Option<MessageRow>, ReadError> {
        let Some((place, value)) = self.find(message)? else { return Ok(None) };
        let row = columns::read_place(place.get(..columns::PLACE_LEN).unwrap_or_default())
            .and_then(|(group, log, sequence)| value.message(group, log, sequence).ok());
        row.map(Some).ok_or_else(|| damaged(Cf::Envelopes, &place, "does not decode"))
    }

    /// What is known of every message of a group, log by log; one at a time in memory.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn each_message(&self, group: GroupId, mut each: impl FnMut(MessageRow)) -> Result<(), ReadError> {
        let prefix = Key::group(group).done();
        for row in self.db.scan(Cf::Envelopes, &prefix, &prefix) {
            let (key, value) = row?;
            let fault = || damaged(Cf::Envelopes, &key, "does not decode");
            let value = EnvelopeValue::decode(value.as_ref()).map_err(|_| fault())?;
            let (group, log, sequence) = columns::read_place(&key).ok_or_else(fault)?;
            each(value.message(group, log, sequence).map_err(|_| fault())?);
        }
        Ok(())
    }

    /// Whether a message is here: one look into a Bloom filter, mostly.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn has_message(&self, message: MessageId) -> Result<bool, ReadError> {
        Ok(self.db.get(Cf::Messages, message.as_ref())?.is_some())
    }

    fn find(&self, message: MessageId) -> Result<Option<(Vec<u8>, EnvelopeValue)>, ReadError> {
        let Some(place) = messages::stored_place(&self.db, message.as_ref())? else { return Ok(None) };
        let column = columns::holder(&place);
        let Some(bytes) = self.db.get(column, &place)? else { return Ok(None) };
        let value = EnvelopeValue::decode(bytes.as_slice())
            .map_err(|_| damaged(Cf::Envelopes, &place, "does not decode"))?;
        Ok(Some((place, value)))
    }

    /// Keys behind `after` that stored envelopes wait for, with group and author.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn waiting_keys(
        &self,
        after: Option<KeyId>,
        most: usize,
    ) -> Result<Vec<(KeyId, GroupId, MemberId)>, ReadError> {
        let mut found = Vec::new();
        let mut start = after.map(|key| [key.as_ref(), &[0xff; 33]].concat()).unwrap_or_default();
        while found.len() < most {
            let Some(row) = self.db.scan(Cf::Waiting, &start, &[]).next() else { break };
            let (key, value) = row?;
            let fault = || damaged(Cf::Waiting, &key, "does not decode");
            let (id, _) = key.split_first_chunk::<32>().ok_or_else(fault)?;
            let (group, member) = value.split_first_chunk::<4>().ok_or_else(fault)?;
            let member = MemberId::try_from(member).map_err(|_| fault())?;
            found.push((KeyId::new(*id), GroupId::new(u32::from_be_bytes(*group)), member));
            // On to the next key: past every message id of this one.
            start = [id.as_slice(), &[0xff; 33]].concat();
        }
        Ok(found)
    }

    /// Messages that wait for `key`, behind `after`, by their ids.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn waiting_on(
        &self,
        key: KeyId,
        after: Option<MessageId>,
        most: usize,
    ) -> Result<Vec<MessageId>, ReadError> {
        let start = after.map(|id| [columns::waiting(key, id).as_slice(), &[0]].concat());
        self.db
            .scan(Cf::Waiting, start.as_deref().unwrap_or(key.as_ref()), key.as_ref())
            .take(most)
            .map(|row| {
                let (key, _) = row?;
                key.get(32..)
                    .and_then(|id| MessageId::try_from(id).ok())
                    .ok_or_else(|| damaged(Cf::Waiting, &key, "does not decode"))
            })
            .collect()
    }
}
