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
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{
        PoisonError, RwLock, RwLockWriteGuard,
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
    removal::{self, End, Reporter},
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
/// Messages remembered of which all rows are gone. Too low ⇒ who reads for long while many go may meet what is gone, too high ⇒ memory,
/// some hundred bytes each.
const MOST_GONE: usize = if cfg!(test) { 4 } else { 65_536 };

/// Where marks stand in [`Cf::Meta`], by message.
const KEY: &[u8] = b"leaving:";

fn key(message: &[u8]) -> Vec<u8> {
    [KEY, message].concat()
}

fn read(key: &[u8], value: &[u8]) -> Result<End, ReadError> {
    let number = <[u8; 4]>::try_from(value).map_err(|_| damaged(Cf::Meta, key, "says no end"))?;
    Ok(End::of(u32::from_be_bytes(number)))
}

/// Of which message a mark is.
fn named(key: &[u8]) -> Option<MessageId> {
    MessageId::try_from(key.get(KEY.len()..)?).ok()
}

/// Whose rows nobody is shown, as readers ask.
#[derive(Default)]
pub(super) struct Leaving {
    is_any: AtomicBool,
    known: RwLock<Known>,
}

/// A message stays here when all it said is gone, until it is shown again or [`MOST_GONE`] went since: whoever began to read in
/// between may still meet a row. A restart forgets those.
#[derive(Default)]
struct Known {
    messages: HashMap<MessageId, Ended>,
    /// Those of which all rows are gone, the first of them at the front.
    gone: VecDeque<MessageId>,
}

struct Ended {
    end: End,
    is_gone: bool,
}

impl Known {
    /// Rows of a message begin to go, or go on.
    fn goes(&mut self, message: MessageId, end: End) {
        self.messages.insert(message, Ended { end, is_gone: false });
    }

    /// The last row of a message goes.
    fn went(&mut self, message: MessageId) {
        let Some(ended) = self.messages.get_mut(&message) else { return };
        ended.is_gone = true;
        self.gone.push_back(message);
        while self.gone.len() > MOST_GONE
            && let Some(first) = self.gone.pop_front()
        {
            if self.messages.get(&first).is_some_and(|ended| ended.is_gone) {
                self.messages.remove(&first);
            }
        }
    }
}

impl Leaving {
    /// Those whose marks stand.
    pub(super) fn load(&self, db: &Db) -> Result<(), ReadError> {
        for row in db.scan(Cf::Meta, KEY, KEY) {
            let (key, value) = row?;
            let message = named(&key).ok_or_else(|| damaged(Cf::Meta, &key, "names no message"))?;
            self.is_any.store(true, Ordering::Release);
            self.known_mut().goes(message, read(&key, &value)?);
        }
        Ok(())
    }

    /// Takes in the marks of a batch, before anybody can read its rows: those that it takes away are passed over until it is
    /// written, and from then on by whoever began to read before.
    pub(super) fn enter(&self, rows: &Rows) {
        if !self.is_any() {
            return;
        }
        let mut marks = rows.below(Cf::Meta, KEY).peekable();
        // Of nearly all batches readers hear nothing.
        if marks.peek().is_none() && rows.ends().is_empty() {
            return;
        }
        let mut known = self.known_mut();
        for (key, value) in marks {
            match (named(key), value.map(|value| read(key, value))) {
                (Some(message), Some(Ok(end))) => known.goes(message, end),
                (Some(message), None) => known.went(message),
                (None, _) | (_, Some(Err(_))) => {}
            }
        }
        for (message, end) in rows.ends() {
            match end {
                None => _ = known.messages.remove(message),
                Some(end) => {
                    if let Some(ended) = known.messages.get_mut(message) {
                        ended.end = *end;
                    }
                }
            }
        }
    }

    fn known_mut(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there may be any: nearly always there is none.
    fn is_any(&self) -> bool {
        self.is_any.load(Ordering::Acquire)
    }

    fn of(&self, message: &[u8]) -> Option<End> {
        let message = MessageId::try_from(message).ok().filter(|_| self.is_any())?;
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.messages.get(&message).map(|ended| ended.end)
    }

    /// Whether what this message says again of a row counts no more.
    pub(super) fn has(&self, message: MessageId) -> bool {
        self.of(message.as_ref()).is_some()
    }

    /// Whether this row is one that goes. A tombstone that tells no more than its message's end does is not.
    pub(super) fn hides(&self, value: &ObjectValue) -> bool {
        self.of(&value.message).is_some_and(|end| match (value.tombstone, End::of(value.end)) {
            (false, _) => true,
            (true, End::Kept) => end != End::Kept,
            (true, End::Bare) => !end.is_withdrawal(),
            (true, End::Hidden | End::Aged) => false,
        })
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
    // Who says it, too, is asked as it is now, and whoever reads may see the row as it was before another one got it.
    let mut now = removal::row(&txn, group, date)?;
    while let Some(value) = now {
        if !db.leaving.hides(&value) {
            return Ok(Some(value));
        }
        let others = removal::reporters(&txn, group, date)?;
        let heir = removal::heir(&txn, &others, |other| !db.leaving.has(other.message))?;
        let left = heir.map(|(heir, says)| removal::inherited(&value, heir, says));
        now = removal::row(&txn, group, date)?;
        if now.as_ref().is_some_and(|now| now.message == value.message) {
            return Ok(left);
        }
    }
    Ok(None)
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
        looked_at += 1 + take_row(txn, leaver, *date, |_| true)?;
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
            // What it leaves is not what readers know of.
            txn.ends_as(message, end);
        }
    } else {
        txn.db.leaving.is_any.store(true, Ordering::Release);
        txn.put(Cf::Meta, key(message.as_ref()), end.number().to_be_bytes().to_vec());
        withdrawals::put_reweigh(txn, Timestamp::ZERO, message);
    }
    messages::put_said(txn, message, &said)?;
    Ok(looked_at)
}

fn take_row(
    txn: &mut Txn<'_>,
    leaver: &Leaver,
    date: u64,
    stays: impl Fn(&Reporter) -> bool,
) -> Result<usize, ReadError> {
    let &Leaver { group, member, message, end } = leaver;
    let took = removal::take_row(txn, (group, date), (member, message), end, stays)?;
    if leaver.end.is_withdrawal() {
        purge_row(txn, leaver.group, date);
    }
    Ok(took)
}

fn purge_row(txn: &mut Txn<'_>, group: GroupId, date: u64) {
    purge::put(txn, Cf::Objects, &columns::object(group, date));
}

/// Has the bytes leave the disk of what a message said where it lies no more: it is erased, and nothing else is to be done with it.
pub(super) fn purge_places(txn: &mut Txn<'_>, group: GroupId, message: MessageId) -> Result<(), ReadError> {
    let mut said = messages::said_by(txn, message)?;
    if said.was.is_empty() {
        return Ok(());
    }
    std::mem::take(&mut said.was).into_iter().for_each(|date| purge_row(txn, group, date));
    messages::put_said(txn, message, &said)
}

/// Takes this row away now if its message is leaving, and says whether it was: whoever says the same again would have to be met
/// where readers have passed, and were shown nothing. Whoever says it and stays has it then; of those that go none does, however
/// many they are.
pub(super) fn let_go(txn: &mut Txn<'_>, group: GroupId, date: u64) -> Result<bool, ReadError> {
    if !txn.db.leaving.is_any() {
        return Ok(false);
    }
    let Some(value) = removal::row(txn, group, date)? else { return Ok(false) };
    let Some(end) = end_of(txn, &value.message)? else { return Ok(false) };
    let fault = |_| damaged(Cf::Objects, &columns::object(group, date), "names no message");
    let member = MemberId::try_from(value.member.as_slice()).map_err(fault)?;
    let message = MessageId::try_from(value.message.as_slice()).map_err(fault)?;
    let mut going = BTreeSet::new();
    for other in removal::reporters(txn, group, date)? {
        if end_of(txn, other.message.as_ref())?.is_some() {
            going.insert(other.message);
        }
    }
    // Its date stays noted: its step finds nothing there any more.
    let stays = |other: &Reporter| !going.contains(&other.message);
    take_row(txn, &Leaver { group, member, message, end }, date, stays)?;
    Ok(true)
}

#[cfg(test)]
pub(super) mod tests;
