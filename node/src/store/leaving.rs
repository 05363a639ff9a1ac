//! Messages on their way out of sight, a bounded step at a time.
//!
//! ```text
//! hidden, withdrawn, aged ─▶ what it said ─▶ first step ─▶ … ─▶ last step
//!                                            │  rows go, a mark and a reweigh row are written   │ the mark goes, too
//!                                            └▶ from here on nobody is shown what is left ──────┘
//! ```
//!
//! Of nearly all messages the first step is the last, and there is no mark. Where a message says more than one batch should take away,
//! the mark is a row of the batch that begins: readers pass over what is left, or are shown it as another message's that says the
//! same, as they will be once its step came. The next step comes by the reweigh row ([`super::withdrawals`]), which stands until all
//! is gone: what a crash leaves is hidden by its mark and goes on at the next start. Until then nothing else is done with the message: it
//! is not opened again, and nobody joins what it said.

use std::{
    collections::HashMap,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use belfry_proto::{
    id::{GroupId, MemberId, MessageId},
    time::Timestamp,
};

use super::{
    ReadError,
    columns::{self, Cf},
    db::Db,
    messages, objects, purge,
    removal::{self, End},
    txn::{Rows, Txn},
    values::{DatesValue, ObjectValue},
    vault::damaged,
    withdrawals,
};

/// Rows of objects, and of who says them too, that one change takes away. A row more may go with the last of them, with up to
/// [`removal::MAX_ENTRIES`] who say it in other words and the places of its observables. Too low ⇒ more synced batches, too high ⇒ whoever
/// takes back what says much holds up the writer, and memory.
pub(super) const MOST_TAKEN: usize = if cfg!(test) { 512 } else { 4096 };
/// Bytes that this may come to before the next row waits: what is lost is noted whole, and what another one says is written anew.
const MOST_BYTES: usize = 4 << 20;

/// Where marks stand in [`Cf::Meta`], by message.
const KEY: &[u8] = b"leaving:";

fn key(message: &[u8]) -> Vec<u8> {
    [KEY, message].concat()
}

fn read(key: &[u8], value: &[u8]) -> Result<End, ReadError> {
    let number = <[u8; 4]>::try_from(value).map_err(|_| damaged(Cf::Meta, key, "says no end"))?;
    Ok(End::of(u32::from_be_bytes(number)))
}

/// Whose rows nobody is shown, as readers ask.
///
/// A message stays here when all it said is gone, until it is shown again: whoever began to read in between may still meet a row. A
/// restart forgets those.
#[derive(Default)]
pub(super) struct Leaving {
    is_any: AtomicBool,
    messages: RwLock<HashMap<MessageId, End>>,
}

impl Leaving {
    /// Those whose marks stand.
    pub(super) fn load(&self, db: &Db) -> Result<(), ReadError> {
        for row in db.scan(Cf::Meta, KEY, KEY) {
            let (key, value) = row?;
            let message = key.get(KEY.len()..).and_then(|id| MessageId::try_from(id).ok());
            let message = message.ok_or_else(|| damaged(Cf::Meta, &key, "names no message"))?;
            self.put(message, read(&key, &value)?);
        }
        Ok(())
    }

    /// Takes in the marks of a batch, before anybody can read its rows.
    pub(super) fn enter(&self, rows: &Rows) {
        if !self.is_any() {
            return;
        }
        for (key, value) in rows.written_below(Cf::Meta, KEY) {
            let message = key.get(KEY.len()..).and_then(|id| MessageId::try_from(id).ok());
            if let (Some(message), Ok(end)) = (message, read(key, value)) {
                self.put(message, end);
            }
        }
        if !rows.shown().is_empty() {
            let mut messages = self.messages.write().unwrap_or_else(PoisonError::into_inner);
            rows.shown().iter().for_each(|message| _ = messages.remove(message));
        }
    }

    fn put(&self, message: MessageId, end: End) {
        self.is_any.store(true, Ordering::Release);
        self.messages.write().unwrap_or_else(PoisonError::into_inner).insert(message, end);
    }

    /// Whether there may be any: nearly always there is none.
    fn is_any(&self) -> bool {
        self.is_any.load(Ordering::Acquire)
    }

    fn of(&self, message: &[u8]) -> Option<End> {
        let message = MessageId::try_from(message).ok().filter(|_| self.is_any())?;
        self.messages.read().unwrap_or_else(PoisonError::into_inner).get(&message).copied()
    }

    /// Whether what this message says again of a row counts no more.
    pub(super) fn has(&self, message: MessageId) -> bool {
        self.of(message.as_ref()).is_some()
    }

    /// Whether this row is one that goes. A tombstone that its message's end leaves is not.
    pub(super) fn hides(&self, value: &ObjectValue) -> bool {
        let left = End::of(value.end);
        self.of(&value.message).is_some_and(|end| !value.tombstone || left.is_withdrawal() && left != end)
    }
}

/// How a message ends whose rows are going; `None` if all are gone, or none goes.
pub(super) fn end_of(txn: &Txn<'_>, message: &[u8]) -> Result<Option<End>, ReadError> {
    if !txn.db.leaving.is_any() {
        return Ok(None);
    }
    let key = key(message);
    txn.get(Cf::Meta, &key)?.map(|value| read(&key, &value)).transpose()
}

/// A row as it will be once all that is leaving is gone: its own, another message's that says the same, or none.
pub(super) fn left_of(
    db: &Db,
    (group, date): (GroupId, u64),
    value: ObjectValue,
) -> Result<Option<ObjectValue>, ReadError> {
    if !db.leaving.hides(&value) {
        return Ok(Some(value));
    }
    let txn = Txn::new(db, Timestamp::ZERO);
    let others = removal::reporters(&txn, group, date)?;
    let heir = removal::heir(&txn, &others, |other| !db.leaving.has(other.message))?;
    Ok(heir.map(|(heir, says)| removal::inherited(&value, heir, says)))
}

/// A message of which rows go.
struct Leaver {
    group: GroupId,
    member: MemberId,
    message: MessageId,
    end: End,
}

/// Takes away what a message said, at most about `most` rows of it now, and notes which objects that bereaves; gives how many
/// rows were looked at. From the batch that holds this on nobody is shown any of it.
pub(super) fn take_away(
    txn: &mut Txn<'_>,
    (group, member): (GroupId, MemberId),
    message: MessageId,
    end: End,
    most: usize,
) -> Result<usize, ReadError> {
    let end = match (end_of(txn, message.as_ref())?, end) {
        // Withdrawn goes further.
        (Some(before), End::Aged) if before.is_withdrawal() => before,
        (_, end) => end,
    };
    let mut said = messages::said_by(txn, message)?;
    said.goes.append(&mut said.dates);
    step(txn, &Leaver { group, member, message, end }, said, most)
}

/// Goes on with a message that is leaving; gives how many rows were looked at, `None` if it is not.
pub(super) fn go_on(
    txn: &mut Txn<'_>,
    (group, member): (GroupId, MemberId),
    message: MessageId,
    most: usize,
) -> Result<Option<usize>, ReadError> {
    let Some(end) = end_of(txn, message.as_ref())? else { return Ok(None) };
    let said = messages::said_by(txn, message)?;
    step(txn, &Leaver { group, member, message, end }, said, most).map(Some)
}

fn step(txn: &mut Txn<'_>, leaver: &Leaver, mut said: DatesValue, most: usize) -> Result<usize, ReadError> {
    let &Leaver { group, message, end, .. } = leaver;
    let begun = txn.size();
    let (mut looked_at, mut taken) = (0, 0);
    for date in &said.goes {
        if looked_at >= most || txn.size().saturating_sub(begun) >= MOST_BYTES {
            break;
        }
        looked_at += 1 + take_row(txn, leaver, *date)?;
        taken += 1;
    }
    let left = said.goes.split_off(taken);
    let gone = std::mem::replace(&mut said.goes, left);
    if end == End::Hidden {
        // Should it be erased some day, the bytes of these rows go, too.
        objects::left(txn, group, &mut said, &gone);
    }
    if said.goes.is_empty() {
        if end != End::Hidden {
            let was = std::mem::take(&mut said.was);
            was.iter().filter(|_| end.is_withdrawal()).for_each(|date| purge_row(txn, group, *date));
        }
        let marked = end_of(txn, message.as_ref())?;
        if marked.is_some() {
            txn.delete(Cf::Meta, key(message.as_ref()));
        }
        if marked != Some(end) {
            // This batch took it away whole, or what it leaves is not what readers know of.
            txn.shows(message);
        }
    } else {
        txn.db.leaving.is_any.store(true, Ordering::Release);
        txn.put(Cf::Meta, key(message.as_ref()), end.number().to_be_bytes().to_vec());
        withdrawals::put_reweigh(txn, Timestamp::ZERO, message);
    }
    messages::put_said(txn, message, &said)?;
    Ok(looked_at)
}

fn take_row(txn: &mut Txn<'_>, leaver: &Leaver, date: u64) -> Result<usize, ReadError> {
    let took = removal::take_row(txn, leaver.group, date, (leaver.member, leaver.message), leaver.end)?;
    if leaver.end.is_withdrawal() {
        purge_row(txn, leaver.group, date);
    }
    Ok(took)
}

fn purge_row(txn: &mut Txn<'_>, group: GroupId, date: u64) {
    purge::put(txn, Cf::Objects, &columns::object(group, date));
}

/// Takes this row away now if its message is leaving, and says whether it was: whoever says the same again would have to be met
/// where readers have passed, and were shown nothing.
pub(super) fn let_go(txn: &mut Txn<'_>, group: GroupId, date: u64) -> Result<bool, ReadError> {
    if !txn.db.leaving.is_any() {
        return Ok(false);
    }
    let Some(value) = removal::row(txn, group, date)? else { return Ok(false) };
    let Some(end) = end_of(txn, &value.message)? else { return Ok(false) };
    let fault = |_| damaged(Cf::Objects, &columns::object(group, date), "names no message");
    let member = MemberId::try_from(value.member.as_slice()).map_err(fault)?;
    let message = MessageId::try_from(value.message.as_slice()).map_err(fault)?;
    // Its date stays noted: its step finds nothing there any more.
    take_row(txn, &Leaver { group, member, message, end }, date)?;
    Ok(true)
}

#[cfg(test)]
mod tests;
