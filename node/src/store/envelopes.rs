//! Envelopes: how one comes to its place in its log, and as they are read there.
//!
//! ```text
//! envelope ─▶ is its log one too many? ─▶ is it here already? ─▶ is its place taken? ─┬─ yes: beside the one there
//!                                                                                     └─ no: does it meet its neighbours?
//! ```

use belfry_proto::{
    id::{GroupId, LogId, MemberId, MessageId, Sequence},
    time::Timestamp,
};
use prost::Message;

use super::{
    ReadError, Store, WriteError,
    apply::Applier,
    change::Committed,
    claims,
    columns::{self, Cf, Key},
    links,
    logs::{self, Surplus},
    messages, opening,
    prepared::PreparedEnvelope,
    rows::{EnvelopeRow, LogRow, MessageRow, MessageState},
    txn::Txn,
    values::{DatesValue, EnvelopeValue},
    vault::damaged,
    withdrawals::{self, Weighed},
};

/// Second messages kept of one log beside those that a later entry or a cut names. A few prove the fork; whoever
/// signs more only wants our disk.
const MAX_SECONDS: u64 = 64;

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

impl Applier {
    /// An envelope comes: to its place, or beside the one that has it.
    pub(super) fn envelope(
        &mut self,
        txn: &mut Txn<'_>,
        row: &EnvelopeRow,
        prepared: PreparedEnvelope,
    ) -> Result<Committed, WriteError> {
        let place = columns::place(row.group, row.log, row.sequence);
        let surplus = match self.logs.surplus_for(row) {
            Surplus::This => {
                withdrawals::note_erasure(txn, row)?;
                return Ok(Committed::TooManyLogs);
            }
            Surplus::Other(log) => Some(log),
            Surplus::None => None,
        };
        let mut log = self.logs.of(row);
        // Closed, or judged by a roster that was no longer the newest: the log as a whole has the answer.
        let mut unjudged = row.in_closed_log || row.judged_at < self.admin;
        // Above all that is held of its log nothing can stand in its place, and its id names the place.
        if row.sequence <= log.top {
            if txn.get(Cf::Messages, row.id.as_ref())?.is_some() {
                return self.heal(txn, row, &prepared.value);
            }
            if let Some(there) = txn.message::<EnvelopeValue>(Cf::Envelopes, &place)? {
                let existing = there.id().map_err(|_| damaged(Cf::Envelopes, &place, "has no id"))?;
                self.second(txn, row, prepared, log, &place)?;
                return Ok(Committed::Fork { existing });
            }
        }
        let freezes_at = links::denied(txn, &log, row)?;
        let is_disputed = !row.state.is_hidden()
            && (freezes_at.is_some() || log.frozen.get() != 0 && row.sequence >= log.frozen);
        if let Some(at) = freezes_at {
            links::freeze(&mut log, at);
        }
        let (state, value) = match is_disputed {
            true => (MessageState::Disputed, disputed(&prepared.value, &place)?),
            false => (row.state, prepared.value),
        };
        let Weighed { state, value, size, counts } =
            withdrawals::arrives(txn, row, state, value, prepared.size)?;
        withdrawals::note(txn, row)?;
        unjudged |= state.is_hidden();
        if unjudged {
            txn.put(Cf::Unjudged, columns::log(row.group, row.log), Vec::new());
        }
        txn.put(Cf::Envelopes, place.clone(), value);
        if row.opens_later && state.may_show() {
            txn.put(Cf::Reopen, row.id.to_vec(), Vec::new());
        } else if state == MessageState::Sealed
            && let Some(key) = row.key_id
        {
            opening::wait(txn, row.group, row.member, key, row.id);
        }
        let before = log.height;
        let is_next = before == log.top && row.sequence.get() == before.get() + 1;
        log.top = log.top.max(row.sequence);
        log.revision += 1;
        if row.is_vouched {
            let lower = |of: Sequence| if of.get() == 0 { row.sequence } else { of.min(row.sequence) };
            (log.unchecked, log.fresh) = (lower(log.unchecked), lower(log.fresh));
        }
        if !links::advance(txn, &mut log, row, counts)? {
            // Filling this gap joins more than one change should read: judging the log tells how far it goes.
            txn.put(Cf::Unjudged, columns::log(row.group, row.log), Vec::new());
            unjudged = true;
        }
        if let Some(surplus) = surplus {
            txn.put(Cf::Unjudged, columns::log(row.group, surplus), Vec::new());
            unjudged = true;
        }
        let mut said = DatesValue::default();
        if state.may_show() {
            claims::enter(&mut self.feed, txn, row.group, &mut said, prepared.claims)?;
        }
        messages::insert(txn, row.id, &place, &said);
        if let Some(key) = row.key_id {
            self.uses.note(txn, key, row.member, row.created)?;
        }
        log.counts.shift(None, state);
        log.bytes += size;
        let (advanced, gap) = (log.height > before, log.top > log.height && !log.forked);
        let answer = Committed::Stored { advanced, gap, unjudged };
        if is_next && advanced && counts && !unjudged && !row.is_vouched && logs::may_follow(&log, size) {
            self.logs.remember(log);
        } else {
            self.logs.put(log);
        }
        Ok(answer)
    }

    /// A second message for a place: kept beside the first. Neither is shown until the log is judged.
    fn second(
        &mut self,
        txn: &mut Txn<'_>,
        row: &EnvelopeRow,
        PreparedEnvelope { value, size, .. }: PreparedEnvelope,
        mut log: LogRow,
        place: &[u8],
    ) -> Result<(), WriteError> {
        // Two for one place; and perhaps it denies the entry before, too.
        let at = links::denied(txn, &log, row)?.map_or(row.sequence, |at| at.min(row.sequence));
        let is_lower = log.frozen.get() == 0 || at < log.frozen;
        let proves_more = is_lower && !row.in_closed_log;
        if log.seconds >= MAX_SECONDS && !proves_more && !links::is_named(txn, row)? {
            return withdrawals::note_erasure(txn, row);
        }
        log.seconds += 1;
        log.revision += 1;
        let (state, value) = match row.state.is_hidden() {
            true => (row.state, value),
            false => (MessageState::Disputed, disputed(&value, place)?),
        };
        let fork = columns::fork(place, row.id);
        withdrawals::note(txn, row)?;
        log.counts.shift(None, state);
        log.bytes += size;
        txn.put(Cf::Forks, fork.clone(), value);
        messages::insert(txn, row.id, &fork, &DatesValue::default());
        if txn.get(Cf::Withdrawals, row.id.as_ref())?.is_some() {
            // Named before it came: weighed as any message that is here.
            withdrawals::put_reweigh(txn, Timestamp::ZERO, row.id);
        }
        txn.put(Cf::Unjudged, columns::log(row.group, row.log), Vec::new());
        if !row.in_closed_log {
            links::freeze(&mut log, at);
        }
        self.logs.put(log);
        Ok(())
    }
}

/// A prepared value whose message turned out to be of a fork.
fn disputed(value: &[u8], place: &[u8]) -> Result<Vec<u8>, ReadError> {
    let mut value =
        EnvelopeValue::decode(value).map_err(|_| damaged(Cf::Envelopes, place, "does not decode"))?;
    value.set_state(MessageState::Disputed, None);
    Ok(value.encode_to_vec())
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
}

#[cfg(test)]
mod tests {
    use belfry_proto::id::LogId;
    use tempfile::TempDir;

    use crate::store::{
        Committed, EnvelopeRow,
        tests::{GROUP, commit, envelope, id, open},
    };

    #[test]
    fn two_messages_for_one_place_are_a_fork_and_the_first_stands() {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        commit(&store, envelope(1));
        let other = EnvelopeRow { id: id(99), ..envelope(1) };
        assert_eq!(commit(&store, other), Committed::Fork { existing: id(1) });
        let log = store.logs(GROUP).remove(0);
        assert!(log.forked);
        assert_eq!(log.head, id(1));
    }

    #[test]
    fn second_messages_of_a_log_are_bounded_but_for_the_one_that_counts() {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        for n in 1..=3 {
            commit(&store, envelope(n));
        }
        let forged = |n: u64| EnvelopeRow { id: id(1_000 + n), ..envelope(2) };
        for n in 0..200 {
            assert_eq!(commit(&store, forged(n)), Committed::Fork { existing: id(2) });
        }
        let held = store.held(GROUP, LogId::new([1; 32])).unwrap().len();
        assert_eq!(held, 3 + 64);
        assert!(!store.has_message(id(1_199)).unwrap());
        let cut_point = EnvelopeRow { is_cut_point: true, in_closed_log: true, ..forged(500) };
        commit(&store, cut_point);
        assert!(store.has_message(id(1_500)).unwrap(), "a cut ends at it");
        // The one that what comes next follows.
        commit(&store, EnvelopeRow { id: id(4_000), prev: id(4_001), ..envelope(4) });
        commit(&store, EnvelopeRow { id: id(4_001), ..envelope(3) });
        assert!(store.has_message(id(4_001)).unwrap());
        commit(&store, EnvelopeRow { id: id(9_999), ..envelope(1) });
        assert!(store.has_message(id(9_999)).unwrap(), "a lower fork");
    }
}
