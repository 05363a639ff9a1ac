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
//! are due at a time, so that what a steward withdrew waits there for its last day, and whoever has them looked at says
//! which time that is: a message that comes later than that goes by the same row. Work left undone by a crash is still a row.

mod noted;
mod reads;
#[cfg(test)]
mod tests;

use std::sync::atomic::Ordering;

use belfry_proto::{
    envelope::{Ending, Word, ending},
    id::{GroupId, MemberId, MessageId},
    schema::{self, WithdrawalMode},
    time::Timestamp,
};
use prost::Message;

use self::noted::words;
pub(super) use self::noted::{note, note_erasure};
use super::{
    ReadError, WriteError,
    apply::Applier,
    change::Committed,
    columns::{self, Cf, Key},
    leaving::{self, MOST_TAKEN},
    messages::{self, Stored, stored},
    opening, purge,
    removal::{self, End},
    rows::{EnvelopeRow, MessageState, Reweigh, WithdrawalRow},
    txn::Txn,
    values::{DatesValue, EnvelopeValue},
    vault::damaged,
};

/// Rows looked at in one step of reweighing, of withdrawals and of objects: a few milliseconds. Too low ⇒ more synced
/// batches, too high ⇒ whoever names one message in many withdrawals holds up the writer.
const MOST_LOOKED_AT: usize = 4096;

/// An envelope's row, with what is withdrawn already taken into account.
pub(super) struct Weighed {
    pub(super) state: MessageState,
    pub(super) value: Vec<u8>,
    /// Bytes of the envelope as it is kept.
    pub(super) size: u64,
    /// Nothing is missing of it.
    pub(super) counts: bool,
}

/// Weighs a message that is being stored for the first time. For nearly all it is one look that finds nothing.
pub(super) fn arrives(
    txn: &mut Txn<'_>,
    row: &EnvelopeRow,
    state: MessageState,
    value: Vec<u8>,
    size: u64,
) -> Result<Weighed, WriteError> {
    let ending = match row.key_id {
        Some(_) => ending_of(txn, row.id, row.group, row.member, &mut 0)?,
        None => None,
    };
    let Some(ending) = ending else {
        let counts = row.has_body || row.state == MessageState::Expired;
        return Ok(Weighed { state, value, size, counts });
    };
    let fault = || damaged(Cf::Envelopes, row.id.as_ref(), "does not decode");
    let mut value = EnvelopeValue::decode(value.as_slice()).map_err(|_| fault())?;
    let state = if state.is_hidden() { state } else { MessageState::Withdrawn };
    value.set_state(state, None);
    if let Some(at) = ending.shreds_at {
        if value.has_body && ending.is_final() {
            strip(&mut value)?;
        }
        value.excuse(&ending);
        if value.has_body {
            put_reweigh(txn, at, row.id);
        }
    }
    Ok(Weighed { state, size: value.size(), counts: value.counts(), value: value.encode_to_vec() })
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
    Ok(match ending_of(txn, message, stored.group, member, &mut 0)? {
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

/// What the withdrawals held come to for a message; `looked_at` counts the rows that this took.
fn ending_of(
    txn: &Txn<'_>,
    message: MessageId,
    group: GroupId,
    member: MemberId,
    looked_at: &mut usize,
) -> Result<Option<Ending>, ReadError> {
    if !txn.db.has_withdrawals.load(Ordering::Relaxed)
        || txn.get(Cf::Withdrawals, message.as_ref())?.is_none()
    {
        return Ok(None);
    }
    let mut named = words(txn, message)?;
    *looked_at += named.len();
    named.retain(|word| word.reaches(group, member).is_ok());
    let is_last = |word: &Word| word.member == member && word.erases(group, member);
    let (last, others): (Vec<Word>, Vec<Word>) = named.into_iter().partition(is_last);
    let last = standing(txn, last)?;
    if !last.is_empty() {
        // Nothing goes further, so nothing else need be looked at.
        return Ok(ending(group, member, last.iter().map(|word| (word, [].as_slice()))));
    }
    let words_left = standing(txn, others)?;
    let mut named_by = Vec::with_capacity(words_left.len());
    for word in &words_left {
        let mut lifts = if word.member == member { Vec::new() } else { words(txn, word.id)? };
        *looked_at += lifts.len();
        lifts.retain(|lift| lift.lifts(word));
        named_by.push(standing(txn, lifts)?);
    }
    Ok(ending(group, member, words_left.iter().zip(named_by.iter().map(Vec::as_slice))))
}

/// Those of these withdrawals that stand.
fn standing(txn: &Txn<'_>, words: Vec<Word>) -> Result<Vec<Word>, ReadError> {
    let mut standing = Vec::with_capacity(words.len());
    for word in words {
        if is_standing(txn, word.id)? {
            standing.push(word);
        }
    }
    Ok(standing)
}

/// Every withdrawal that names a message, and whether it stands.
fn naming(txn: &Txn<'_>, message: MessageId) -> Result<Vec<WithdrawalRow>, ReadError> {
    let mut rows = Vec::new();
    for word in words(txn, message)? {
        rows.push(WithdrawalRow { stands: is_standing(txn, word.id)?, word });
    }
    Ok(rows)
}

fn is_standing(txn: &Txn<'_>, withdrawal: MessageId) -> Result<bool, ReadError> {
    let Some(place) = messages::place(txn, withdrawal)? else { return Ok(false) };
    let value = txn.message::<EnvelopeValue>(columns::holder(&place), &place)?;
    Ok(value.is_some_and(|value| !value.state().is_hidden()))
}

/// Takes the body out of an envelope that is stored, and counts it so.
pub(super) fn strip_stored(txn: &mut Txn<'_>, stored: &mut Stored) -> Result<(), ReadError> {
    let before = stored.value.size();
    strip(&mut stored.value)?;
    txn.resize(&stored.place, before, stored.value.size());
    Ok(())
}

/// Takes the body out of an envelope: header, hashes and signature are what the log needs of it.
fn strip(value: &mut EnvelopeValue) -> Result<(), ReadError> {
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
        let (mut reopens, mut looked_at) = (false, 0);
        for Reweigh { due, message } in work {
            if looked_at >= MOST_LOOKED_AT {
                // The rest stands in its rows, and is the next step's.
                break;
            }
            txn.delete(Cf::Reweigh, reweigh_key(due, message));
            reopens |= self.weigh(txn, message, now, &mut looked_at)?;
        }
        Ok(Committed::Reweighed { reopens })
    }

    /// True if the message is to be opened again.
    fn weigh(
        &mut self,
        txn: &mut Txn<'_>,
        message: MessageId,
        now: Timestamp,
        looked_at: &mut usize,
    ) -> Result<bool, WriteError> {
        if txn.get(Cf::Messages, message.as_ref())?.is_none() {
            // It is weighed when it comes.
            return Ok(false);
        }
        let mut stored = stored(txn, message)?;
        if stored.value.key_id().is_none() {
            // A withdrawal: what names it can only lift it.
            let named = words(txn, message)?;
            *looked_at += named.len();
            if named.iter().any(|word| word.mode == WithdrawalMode::Lift) {
                says_otherwise(txn, &stored.value);
            }
            return Ok(false);
        }
        let member = author(message, &stored.value)?;
        if let Some(took) = leaving::go_on(txn, (stored.group, member), message, MOST_TAKEN)? {
            *looked_at += took;
            if leaving::end_of(txn, message.as_ref())?.is_some() {
                // Its row stands again, and all else that is to be known of it waits for that.
                return Ok(false);
            }
        }
        if let Some(by) = stored.value.ended_by().filter(|_| !stored.value.state().may_show())
            && is_standing(txn, by)?
        {
            // Ended for good: whatever else names it, nothing more is to be done, but where its log hid it while it went.
            leaving::purge_places(txn, stored.group, message)?;
            return Ok(false);
        }
        let counted = stored.value.counts();
        match ending_of(txn, message, stored.group, member, looked_at)? {
            Some(ending) => *looked_at += end(txn, message, member, &mut stored, &ending, now)?,
            None => {
                stored.value.unexcuse();
                if stored.value.state() == MessageState::Withdrawn {
                    let after = unhidden(&stored.value);
                    txn.shift(&stored.place, Some(MessageState::Withdrawn), after);
                    stored.value.set_state(after, None);
                    if after.may_show() {
                        txn.put(Cf::Reopen, message.to_vec(), Vec::new());
                    }
                }
            }
        }
        self.recount(&stored, counted);
        stored.put(txn);
        Ok(txn.get(Cf::Reopen, message.as_ref())?.is_some())
    }

    /// Moves a log's count of bodies by what became of one of them.
    pub(super) fn recount(&mut self, stored: &Stored, counted: bool) {
        let counts = stored.value.counts();
        let Some((group, log, sequence)) = columns::read_place(&stored.place) else { return };
        let Some(mut log) = self.logs.known(group, log) else { return };
        if counts == counted || sequence < log.low || sequence > log.height {
            return;
        }
        log.bodies = if counts { log.bodies + 1 } else { log.bodies.saturating_sub(1) };
        log.missing.toggle(log.log, sequence);
        self.logs.put(log);
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
        let before = stored.value.size();
        stored.value.bytes = EnvelopeValue::decode(value).map_err(fault)?.bytes;
        txn.resize(&stored.place, before, stored.value.size());
        stored.value.has_body = true;
        let state = stored.value.state();
        if state.may_show() {
            txn.shift(&stored.place, Some(state), MessageState::Sealed);
            stored.value.set_state(MessageState::Sealed, None);
            txn.put(Cf::Reopen, row.id.to_vec(), Vec::new());
        }
        put_reweigh(txn, Timestamp::ZERO, row.id);
        self.recount(&stored, false);
        stored.put(txn);
        Ok(Committed::Stored { advanced: false, gap: false, unjudged: false })
    }
}

/// Takes a message out of sight, and its body if it is time; gives how many rows of objects that touched.
fn end(
    txn: &mut Txn<'_>,
    message: MessageId,
    member: MemberId,
    stored: &mut Stored,
    ending: &Ending,
    now: Timestamp,
) -> Result<usize, WriteError> {
    let state = stored.value.state();
    let erases = ending.shreds_at.is_some_and(|at| at <= now);
    let ends_as = if ending.keeps_content { End::Kept } else { End::Bare };
    let mut touched = 0;
    if state.may_show() || !ending.keeps_content && tells(txn, message, stored.group)? {
        touched += leaving::take_away(txn, (stored.group, member), message, ends_as, MOST_TAKEN)?;
    } else if erases {
        let said = messages::said_by(txn, message)?;
        for date in said.dates.iter().chain(&said.was) {
            purge::put(txn, Cf::Objects, &columns::object(stored.group, *date));
        }
        touched += said.dates.len() + said.was.len();
        messages::put_said(txn, message, &DatesValue { was: Vec::new(), ..said })?;
    }
    opening::stop_waiting(txn, message, &stored.value);
    if state.may_show() {
        txn.shift(&stored.place, Some(state), MessageState::Withdrawn);
        stored.value.set_state(MessageState::Withdrawn, None);
    }
    if stored.value.has_body {
        match ending.shreds_at {
            Some(_) if erases => {
                strip_stored(txn, stored)?;
                // And where it lay before, if the log's history was found to be another one.
                let place = stored.place.get(..columns::PLACE_LEN).unwrap_or(&stored.place).to_vec();
                purge::put(txn, Cf::Forks, &columns::fork(&place, message));
                purge::put(txn, Cf::Envelopes, &place);
            }
            Some(at) => put_reweigh(txn, at, message),
            None => {}
        }
    }
    stored.value.excuse(ending);
    Ok(touched)
}

/// What the withdrawals held come to for a message of `member` by now.
pub(super) fn ending_now(
    txn: &Txn<'_>,
    message: MessageId,
    group: GroupId,
    member: MemberId,
) -> Result<Option<Ending>, ReadError> {
    ending_of(txn, message, group, member, &mut 0)
}

/// Whether an end that keeps what a message said is on show.
fn tells(txn: &Txn<'_>, message: MessageId, group: GroupId) -> Result<bool, ReadError> {
    for date in messages::dates_of(txn, message)? {
        if removal::row(txn, group, date)?.is_some_and(|row| End::of(row.end) == End::Kept) {
            return Ok(true);
        }
    }
    Ok(false)
}
