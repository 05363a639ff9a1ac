//! Withdrawals as rows: who names which message, what that comes to, and bodies that go.
//!
//! ```text
//! a withdrawal is stored ─▶ one row a target, one reweigh row a target          (the very same batch)
//! Reweigh ─▶ what do the rows come to now? ─┬─ something: not shown; its body goes when it is due
//!                                           └─ nothing (any more): shown again
//! a message is stored ─▶ one look whether anything names it; if so, it is never shown at all
//! ```
//!
//! Rows of a withdrawal are never taken away: whether it counts is whether its message stands, and a cut or a
//! fork may change that either way, so hiding or showing a withdrawal has its targets reweighed. Reweigh rows
//! are due at a time, so that what a steward withdrew waits there for its last day. Work left undone by a crash
//! is still a row.

mod reads;
#[cfg(test)]
mod tests;

use belfry_proto::{
    envelope::{Ending, Word, ending},
    id::{GroupId, MemberId, MessageId},
    schema::{self, WithdrawalMode},
    time::Timestamp,
};
use prost::Message;

use super::{
    ReadError, WriteError,
    apply::{Applier, Stored, count, stored},
    columns::{self, Cf, Key},
    objects, purge,
    removal::{self, End},
    rows::{Committed, EnvelopeRow, MessageState, Reweigh, WithdrawalRow},
    txn::Txn,
    values::{EnvelopeValue, WithdrawalValue},
    vault::damaged,
};

/// Withdrawals of one member that name one message and are kept in mind. Honest members need one or two; each costs
/// a few reads on the writer's thread at every look.
const MOST_BY_MEMBER: usize = 16;

/// An envelope's row, with what is withdrawn already taken into account.
pub(super) struct Weighed {
    pub(super) state: MessageState,
    pub(super) value: Vec<u8>,
    /// Nothing is missing of it.
    pub(super) counts: bool,
}

/// Weighs a message that is being stored for the first time. For nearly all it is one look that finds nothing.
pub(super) fn arrives(
    txn: &mut Txn<'_>,
    row: &EnvelopeRow,
    state: MessageState,
    value: Vec<u8>,
) -> Result<Weighed, WriteError> {
    let ending = match row.key_id {
        Some(_) => ending_of(txn, row.id, row.group, row.member)?,
        None => None,
    };
    let Some(ending) = ending else {
        let counts = row.has_body || row.state == MessageState::Expired;
        return Ok(Weighed { state, value, counts });
    };
    let fault = || damaged(Cf::Envelopes, row.id.as_ref(), "does not decode");
    let mut value = EnvelopeValue::decode(value.as_slice()).map_err(|_| fault())?;
    let state = if state.is_hidden() { state } else { MessageState::Withdrawn };
    value.set_state(state, None);
    if let Some(at) = ending.shreds_at {
        if value.has_body && at <= txn.now {
            strip(&mut value)?;
        }
        value.excused = !value.has_body;
        if value.has_body {
            put_reweigh(txn, at, row.id);
        }
    }
    Ok(Weighed { state, counts: value.counts(), value: value.encode_to_vec() })
}

/// Notes what a withdrawal that is being stored says of its targets.
pub(super) fn note(txn: &mut Txn<'_>, row: &EnvelopeRow) -> Result<(), WriteError> {
    let Some(withdraws) = &row.withdraws else { return Ok(()) };
    for target in &withdraws.targets {
        // What can have no effect takes no room; of a target that is not here yet nobody knows.
        if !may_matter(txn, &withdraws.word, *target)? {
            continue;
        }
        if !has_place(txn, *target, withdraws.word.member, row.id)? {
            continue;
        }
        txn.put(Cf::Withdrawals, target.to_vec(), Vec::new());
        let key = Key::default().bytes(target.as_ref()).bytes(row.id.as_ref()).done();
        txn.put(Cf::Withdrawals, key, WithdrawalValue::of(&withdraws.word).encode_to_vec());
        put_reweigh(txn, Timestamp::ZERO, *target);
    }
    Ok(())
}

/// Whether a withdrawal has a place among those of its member that name the target: those with the smallest ids have,
/// whichever came first. Each is looked at whenever the target is weighed.
fn has_place(
    txn: &mut Txn<'_>,
    target: MessageId,
    member: MemberId,
    id: MessageId,
) -> Result<bool, WriteError> {
    let mut same = Vec::new();
    for (key, value) in txn.prefixed(Cf::Withdrawals, target.as_ref(), usize::MAX)? {
        let Some(named) = key.get(32..).filter(|named| !named.is_empty() && *named != id.as_ref()) else {
            continue;
        };
        let value = WithdrawalValue::decode(value.as_slice())
            .map_err(|_| damaged(Cf::Withdrawals, &key, "does not decode"))?;
        if value.member() == member.as_ref() {
            same.push((named.to_vec(), key));
        }
    }
    if same.len() < MOST_BY_MEMBER {
        return Ok(true);
    }
    same.sort_unstable();
    match same.pop() {
        Some((largest, key)) if id.as_ref() < largest.as_slice() => {
            txn.delete(Cf::Withdrawals, key);
            Ok(true)
        }
        _ => Ok(false),
    }
}

fn may_matter(txn: &Txn<'_>, word: &Word, target: MessageId) -> Result<bool, WriteError> {
    if txn.get(Cf::Messages, target.as_ref())?.is_none() {
        return Ok(true);
    }
    let stored = stored(txn, target)?;
    let member = author(target, &stored.value)?;
    Ok(match stored.value.key_id() {
        Some(_) => word.reaches(stored.group, member).is_ok(),
        None => {
            word.mode == WithdrawalMode::Lift
                && word.group == stored.group
                && (word.by_steward || word.member == member)
        }
    })
}

/// Has the targets of a withdrawal looked at again: it stands now, or no longer. Nothing for data.
pub(super) fn says_otherwise(txn: &mut Txn<'_>, value: &EnvelopeValue) {
    if value.key_id().is_some() {
        return;
    }
    let header = schema::Envelope::decode(value.bytes.as_slice())
        .and_then(|envelope| schema::Header::decode(envelope.header.as_slice()));
    for target in header.map(|header| header.targets).unwrap_or_default() {
        if let Ok(target) = MessageId::try_from(target.as_slice()) {
            put_reweigh(txn, Timestamp::ZERO, target);
        }
    }
}

/// How a message stands that nothing hides any more.
pub(super) fn stands_as(
    txn: &Txn<'_>,
    message: MessageId,
    stored: &Stored,
) -> Result<MessageState, WriteError> {
    if stored.value.key_id().is_none() {
        return Ok(MessageState::Sealed);
    }
    let member = author(message, &stored.value)?;
    Ok(match ending_of(txn, message, stored.group, member)? {
        Some(_) => MessageState::Withdrawn,
        None => unhidden(&stored.value),
    })
}

/// How a message stands that neither its log nor a withdrawal hides.
const fn unhidden(value: &EnvelopeValue) -> MessageState {
    if value.expired { MessageState::Expired } else { MessageState::Sealed }
}

pub(super) fn author(message: MessageId, value: &EnvelopeValue) -> Result<MemberId, ReadError> {
    value.member().map_err(|_| damaged(Cf::Envelopes, message.as_ref(), "has no member"))
}

/// What the withdrawals held come to for a message.
fn ending_of(
    txn: &Txn<'_>,
    message: MessageId,
    group: GroupId,
    member: MemberId,
) -> Result<Option<Ending>, ReadError> {
    if txn.get(Cf::Withdrawals, message.as_ref())?.is_none() {
        return Ok(None);
    }
    let words = standing(txn, message)?;
    let mut named_by = Vec::with_capacity(words.len());
    for word in &words {
        named_by.push(if word.member == member { Vec::new() } else { standing(txn, word.id)? });
    }
    Ok(ending(group, member, words.iter().zip(named_by.iter().map(Vec::as_slice))))
}

fn standing(txn: &Txn<'_>, message: MessageId) -> Result<Vec<Word>, ReadError> {
    let rows = naming(txn, message)?.into_iter();
    Ok(rows.filter(|row| row.stands).map(|row| row.word).collect())
}

/// Every withdrawal that names a message.
fn naming(txn: &Txn<'_>, message: MessageId) -> Result<Vec<WithdrawalRow>, ReadError> {
    let mut rows = Vec::new();
    for (key, value) in txn.prefixed(Cf::Withdrawals, message.as_ref(), usize::MAX)? {
        let Some(id) = key.get(32..).filter(|id| !id.is_empty()) else { continue };
        let fault = || damaged(Cf::Withdrawals, &key, "does not decode");
        let id = MessageId::try_from(id).map_err(|_| fault())?;
        let value = WithdrawalValue::decode(value.as_slice()).map_err(|_| fault())?;
        rows.push(WithdrawalRow {
            word: value.word(id).map_err(|_| fault())?,
            stands: is_standing(txn, id)?,
        });
    }
    Ok(rows)
}

fn is_standing(txn: &Txn<'_>, withdrawal: MessageId) -> Result<bool, ReadError> {
    let Some(place) = txn.get(Cf::Messages, withdrawal.as_ref())? else { return Ok(false) };
    let value = txn.message::<EnvelopeValue>(columns::holder(&place), &place)?;
    Ok(value.is_some_and(|value| !value.state().is_hidden()))
}

/// Takes the body out of an envelope: header, hashes and signature are what the log needs of it.
pub(super) fn strip(value: &mut EnvelopeValue) -> Result<(), ReadError> {
    let envelope = schema::Envelope::decode(value.bytes.as_slice());
    let mut envelope = envelope.map_err(|_| damaged(Cf::Envelopes, &[], "holds no envelope"))?;
    envelope.body = None;
    envelope.recipients = None;
    value.bytes = envelope.encode_to_vec();
    value.has_body = false;
    Ok(())
}

pub(super) fn put_reweigh(txn: &mut Txn<'_>, due: Timestamp, message: MessageId) {
    txn.put(Cf::Reweigh, reweigh_key(due, message), Vec::new());
}

fn reweigh_key(due: Timestamp, message: MessageId) -> Vec<u8> {
    Key::default().u64(due.as_micros()).bytes(message.as_ref()).done()
}

impl Applier {
    /// Looks again at what withdrawals come to for these messages.
    pub(super) fn reweigh(
        &mut self,
        txn: &mut Txn<'_>,
        work: Vec<Reweigh>,
        now: Timestamp,
    ) -> Result<Committed, WriteError> {
        let mut reopens = false;
        for Reweigh { due, message } in work {
            txn.delete(Cf::Reweigh, reweigh_key(due, message));
            reopens |= self.weigh(txn, message, now)?;
        }
        Ok(Committed::Reweighed { reopens })
    }

    /// True if the message is to be opened again.
    fn weigh(&mut self, txn: &mut Txn<'_>, message: MessageId, now: Timestamp) -> Result<bool, WriteError> {
        if txn.get(Cf::Messages, message.as_ref())?.is_none() {
            // It is weighed when it comes.
            return Ok(false);
        }
        let mut stored = stored(txn, message)?;
        if stored.value.key_id().is_none() {
            // A withdrawal: what names it can only lift it.
            let is_lifted = |row: &WithdrawalRow| row.word.mode == WithdrawalMode::Lift;
            if naming(txn, message)?.iter().any(is_lifted) {
                says_otherwise(txn, &stored.value);
            }
            return Ok(false);
        }
        let member = author(message, &stored.value)?;
        let counted = stored.value.counts();
        match ending_of(txn, message, stored.group, member)? {
            Some(ending) => end(txn, message, member, &mut stored, &ending, now)?,
            None => {
                stored.value.excused = false;
                if stored.value.state() == MessageState::Withdrawn {
                    let after = unhidden(&stored.value);
                    count(txn, stored.group, Some(MessageState::Withdrawn), after)?;
                    stored.value.set_state(after, None);
                    if after.may_show() {
                        txn.put(Cf::Reopen, message.to_vec(), Vec::new());
                    }
                }
            }
        }
        self.recount(txn, &stored, counted);
        stored.put(txn);
        Ok(txn.get(Cf::Reopen, message.as_ref())?.is_some())
    }

    /// Moves a log's count of bodies by what became of one of them.
    pub(super) fn recount(&mut self, txn: &mut Txn<'_>, stored: &Stored, counted: bool) {
        let counts = stored.value.counts();
        let Some((group, log, sequence)) = columns::read_place(&stored.place) else { return };
        let Some(mut log) = self.known_log(group, log) else { return };
        if counts == counted || sequence < log.low || sequence > log.height {
            return;
        }
        log.bodies = if counts { log.bodies + 1 } else { log.bodies.saturating_sub(1) };
        self.put_log(txn, log);
    }

    /// A message that is here comes again: with a body that is missing, it is whole now.
    pub(super) fn heal(
        &mut self,
        txn: &mut Txn<'_>,
        row: &EnvelopeRow,
        value: &[u8],
    ) -> Result<Committed, WriteError> {
        let mut stored = stored(txn, row.id)?;
        if stored.value.counts() || !row.has_body {
            return Ok(Committed::Duplicate);
        }
        let fault = |_| damaged(Cf::Envelopes, row.id.as_ref(), "does not decode");
        stored.value.bytes = EnvelopeValue::decode(value).map_err(fault)?.bytes;
        stored.value.has_body = true;
        let state = stored.value.state();
        if state.may_show() {
            count(txn, stored.group, Some(state), MessageState::Sealed)?;
            stored.value.set_state(MessageState::Sealed, None);
            txn.put(Cf::Reopen, row.id.to_vec(), Vec::new());
        }
        put_reweigh(txn, Timestamp::ZERO, row.id);
        self.recount(txn, &stored, false);
        stored.put(txn);
        Ok(Committed::Stored { advanced: false, gap: false, unjudged: false })
    }
}

/// Takes a message out of sight, and its body if it is time.
fn end(
    txn: &mut Txn<'_>,
    message: MessageId,
    member: MemberId,
    stored: &mut Stored,
    ending: &Ending,
    now: Timestamp,
) -> Result<(), WriteError> {
    let state = stored.value.state();
    let erases = ending.shreds_at.is_some_and(|at| at <= now);
    let ends_as = if ending.keeps_content { End::Kept } else { End::Bare };
    if state.may_show() || !ending.keeps_content && tells(txn, message, stored.group)? {
        for date in objects::dates_of(txn, message)? {
            purge::put(txn, Cf::Objects, &columns::object(stored.group, date));
        }
        removal::take_away(txn, stored.group, member, message, ends_as)?;
    }
    if let Some(key) = stored.value.key_id() {
        txn.delete(Cf::Waiting, columns::waiting(key, message));
    }
    txn.delete(Cf::Reopen, message.to_vec());
    if state.may_show() {
        count(txn, stored.group, Some(state), MessageState::Withdrawn)?;
        stored.value.set_state(MessageState::Withdrawn, None);
    }
    if stored.value.has_body {
        match ending.shreds_at {
            Some(_) if erases => {
                strip(&mut stored.value)?;
                purge::put(txn, stored.column, &stored.place);
            }
            Some(at) => put_reweigh(txn, at, message),
            None => {}
        }
    }
    stored.value.excused = !stored.value.has_body && ending.shreds_at.is_some();
    Ok(())
}

/// Whether an end that keeps what a message said is on show.
fn tells(txn: &Txn<'_>, message: MessageId, group: GroupId) -> Result<bool, ReadError> {
    for date in objects::dates_of(txn, message)? {
        if removal::row(txn, group, date)?.is_some_and(|row| End::of(row.end) == End::Kept) {
            return Ok(true);
        }
    }
    Ok(false)
}
