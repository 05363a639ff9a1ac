//! Stored messages that open now, later, or never.
//!
//! ```text
//! stored ─┬─ waits for its key ─────────┬─▶ opened
//!         ├─ is opened later ───────────┴─▶ closed: not for this node, or unreadable
//!         └─ hidden ─▶ shown again ─▶ is opened later, or waits for its key once more
//! ```
//!
//! What is shown again while rows of it are still on their way out ([`super::leaving`]) is opened when they are gone.

use belfry_proto::id::{GroupId, KeyId, MemberId, MessageId};

use super::{
    ReadError, Store, WriteError,
    change::Committed,
    claims::{self, Claim},
    columns::{self, Cf},
    feed::Feed,
    leaving,
    messages::{self, stored},
    removal,
    rows::MessageState,
    txn::Txn,
    values::EnvelopeValue,
    vault::damaged,
};

/// A stored message opens: now, or once more after it was hidden. It says objects of these ids.
pub(super) fn open(
    feed: &mut Feed,
    txn: &mut Txn<'_>,
    message: MessageId,
    ids: &[String],
    claims: Vec<Claim>,
) -> Result<Committed, WriteError> {
    let mut stored = stored(txn, message)?;
    let state = stored.value.state();
    let is_restored = txn.get(Cf::Reopen, message.as_ref())?.is_some();
    if !state.may_show() || state == MessageState::Opened && !is_restored {
        return Ok(Committed::Duplicate);
    }
    if leaving::end_of(txn, message.as_ref())?.is_some() {
        // What it said before goes first; whoever takes the last of that away has it opened.
        txn.put(Cf::Reopen, message.to_vec(), Vec::new());
        return Ok(Committed::Duplicate);
    }
    txn.shows(message);
    let group = stored.group;
    if state != MessageState::Opened {
        txn.shift(&stored.place, Some(state), MessageState::Opened);
        stored.value.set_state(MessageState::Opened, None);
        if let Some(key) = stored.value.key_id() {
            txn.delete(Cf::Waiting, columns::waiting(key, message));
        }
        stored.put(txn);
    }
    let mut said = messages::said_by(txn, message)?;
    claims::enter(feed, txn, group, &mut said, claims)?;
    messages::put_said(txn, message, &said)?;
    if is_restored {
        txn.delete(Cf::Reopen, message.to_vec());
        removal::unbury(txn, group, message, ids.iter().map(String::as_str))?;
    }
    Ok(Committed::Done)
}

/// A stored message will never open here.
pub(super) fn close(txn: &mut Txn<'_>, message: MessageId, reason: &str) -> Result<Committed, WriteError> {
    let mut stored = stored(txn, message)?;
    let state = stored.value.state();
    txn.delete(Cf::Reopen, message.to_vec());
    if !state.may_show() || state == MessageState::Opened {
        return Ok(Committed::Duplicate);
    }
    if let Some(key) = stored.value.key_id() {
        txn.delete(Cf::Waiting, columns::waiting(key, message));
    }
    txn.shift(&stored.place, Some(state), MessageState::Closed);
    stored.value.set_state(MessageState::Closed, Some(reason));
    stored.put(txn);
    Ok(Committed::Done)
}

/// Lets a restored message wait for its key.
pub(super) fn reseal(txn: &mut Txn<'_>, message: MessageId) -> Result<Committed, WriteError> {
    let stored = stored(txn, message)?;
    txn.delete(Cf::Reopen, message.to_vec());
    if stored.value.state() == MessageState::Sealed
        && let (Some(key), Ok(author)) = (stored.value.key_id(), stored.value.member())
    {
        wait(txn, stored.group, author, key, message);
    }
    Ok(Committed::Done)
}

/// Lets a message wait for its key.
pub(super) fn wait(txn: &mut Txn<'_>, group: GroupId, author: MemberId, key: KeyId, message: MessageId) {
    let value = [group.get().to_be_bytes().as_slice(), author.as_ref()].concat();
    txn.put(Cf::Waiting, columns::waiting(key, message), value);
}

/// A message that is not to be opened any more waits for nothing.
pub(super) fn stop_waiting(txn: &mut Txn<'_>, message: MessageId, value: &EnvelopeValue) {
    if let Some(key) = value.key_id() {
        txn.delete(Cf::Waiting, columns::waiting(key, message));
    }
    txn.delete(Cf::Reopen, message.to_vec());
}

impl Store {
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

    /// Messages behind `after` that are to be opened again, or later.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn reopenable(&self, after: Option<MessageId>, most: usize) -> Result<Vec<MessageId>, ReadError> {
        let start = after.map(|id| [id.as_ref(), &[0]].concat()).unwrap_or_default();
        self.db
            .scan(Cf::Reopen, &start, &[])
            .take(most)
            .map(|row| {
                let (key, _) = row?;
                MessageId::try_from(key.as_ref()).map_err(|_| damaged(Cf::Reopen, &key, "has no id"))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use belfry_proto::{
        id::{KeyId, MemberId},
        schema::Tlp,
    };
    use tempfile::TempDir;

    use crate::store::{
        Change,
        tests::{GROUP, commit, envelope, id, object, open, opened},
    };

    #[test]
    fn what_waited_for_a_key_is_found_opened_and_counted() {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        commit(&store, envelope(1));
        commit(&store, envelope(2));
        let key = KeyId::new([3; 32]);
        assert_eq!(store.waiting_keys(None, 10).unwrap(), [(key, GROUP, MemberId::new([2; 16]))]);
        assert_eq!(store.waiting_on(key, None, 10).unwrap(), [id(1), id(2)]);
        assert_eq!(store.waiting_on(key, None, 1).unwrap(), [id(1)]);
        assert_eq!(store.waiting_on(key, Some(id(1)), 10).unwrap(), [id(2)]);
        assert_eq!(store.waiting_on(key, Some(id(2)), 10).unwrap(), []);
        let content = opened(1, 2, vec![object("a", "", Tlp::Green)]);
        store.commit_blocking(Change::Opened { message: id(1), group: GROUP, content }).unwrap();
        store.commit_blocking(Change::Closed { message: id(2), reason: "unreadable".to_owned() }).unwrap();
        assert_eq!(store.waiting_keys(None, 10).unwrap(), []);
        let counts = store.counts(GROUP);
        assert_eq!((counts.sealed, counts.opened, counts.closed), (0, 1, 1));
        assert_eq!(store.lookup(GROUP, "ipv4-addr", "198.51.100.7", 10).unwrap().len(), 1);
    }
}
