//! What was found of a log as a whole: applied, looked up for, and remembered as still to be done.
//!
//! What a judgement changes comes in parts, each small enough that other writes need not wait; where a part
//! leaves objects bereft of a row, that stands in a column of its own and is seen to behind it.
//!
//! A log that has to be judged stands in the `unjudged` column from the very batch that made it so, and leaves
//! it with the last part of a judgement that nothing overtook. So a crash at any point costs a repetition,
//! and never leaves shown what should be hidden.

use belfry_proto::id::{GroupId, LogId, MessageId, Sequence};
use prost::Message;

use super::{
    ReadError, Store, WriteError,
    apply::Applier,
    change::Committed,
    columns::{self, Cf},
    leaving::{self, MOST_TAKEN},
    messages::{self, stored},
    opening,
    removal::End,
    rows::{CheckedLog, HeldEntry, JudgedEnd, JudgedLog, LogRow, MessageState},
    txn::Txn,
    values::EnvelopeValue,
    vault::damaged,
    withdrawals,
};

impl Applier {
    /// Hides, shows, promotes, and ends the judgement if this is the last of it and the log is as it was.
    pub(super) fn judged(&mut self, txn: &mut Txn<'_>, judged: JudgedLog) -> Result<Committed, WriteError> {
        let mut taken = 0;
        for (message, state) in judged.hide {
            // Of those behind a bounded number of rows all rows are still there, and nobody is shown them.
            taken += hide(txn, message, state, MOST_TAKEN.saturating_sub(taken))?;
        }
        for message in judged.show {
            show(txn, message)?;
        }
        self.promote(txn, judged.group, judged.log, &judged.promote)?;
        match (judged.end, self.logs.known(judged.group, judged.log)) {
            (Some(end), Some(log)) if end.revision == log.revision => {
                self.settle(txn, log, end);
                Ok(Committed::Done)
            }
            (Some(_), Some(_)) => Ok(Committed::Outdated),
            (Some(_), None) => {
                txn.delete(Cf::Unjudged, columns::log(judged.group, judged.log));
                Ok(Committed::Done)
            }
            (None, _) => Ok(Committed::Done),
        }
    }

    /// Gives places to the messages they belong to. Until the judgement ends, the log goes no further than
    /// below them: what it holds there is of two histories.
    fn promote(
        &mut self,
        txn: &mut Txn<'_>,
        group: GroupId,
        log: LogId,
        promoted: &[(Sequence, MessageId)],
    ) -> Result<(), WriteError> {
        let lowest = promoted.iter().map(|(sequence, _)| *sequence).min();
        let (Some(lowest), Some(mut row)) = (lowest, self.logs.known(group, log)) else { return Ok(()) };
        for (sequence, message) in promoted {
            promote(txn, &row, *sequence, *message)?;
        }
        if lowest <= row.height {
            let below = Sequence::new(lowest.get().saturating_sub(1));
            let place = columns::place(group, log, below);
            let head = match below.get() {
                0 => None,
                _ => txn.message::<EnvelopeValue>(Cf::Envelopes, &place)?,
            };
            row.head = match head {
                Some(value) => value.id().map_err(|_| damaged(Cf::Envelopes, &place, "has no id"))?,
                None => MessageId::ZERO,
            };
            row.height = below;
            row.bodies = row.bodies.min(below.get());
            self.logs.put(row);
        }
        Ok(())
    }

    /// Marks what its author did not sign, and remembers how far the log was checked.
    pub(super) fn checked(
        &mut self,
        txn: &mut Txn<'_>,
        checked: &CheckedLog,
    ) -> Result<Committed, WriteError> {
        let Some(mut log) = self.logs.known(checked.group, checked.log) else { return Ok(Committed::Done) };
        for message in &checked.unsigned {
            let mut stored = stored(txn, *message)?;
            stored.value.unsigned = true;
            stored.put(txn);
        }
        if !checked.unsigned.is_empty() {
            txn.put(Cf::Unjudged, columns::log(log.group, log.log), Vec::new());
            log.revision += 1;
        }
        // What came since the last time within this stretch may have come behind the check's back, into a gap: once more.
        if log.unchecked == checked.from {
            let through = checked.through.unwrap_or(log.top);
            let rest = if through < log.top { through.get() + 1 } else { 0 };
            let again = log.fresh.get() != 0 && log.fresh <= through;
            log.unchecked = if again { log.fresh } else { Sequence::new(rest) };
            if again {
                log.fresh = Sequence::new(0);
            }
        }
        self.logs.put(log);
        Ok(Committed::Done)
    }

    /// Leaves the log as the judgement found it.
    fn settle(&mut self, txn: &mut Txn<'_>, mut log: LogRow, end: JudgedEnd) {
        log.closure = end.closure;
        log.surplus = end.surplus;
        log.frozen = end.fork.unwrap_or_default();
        log.forked = end.fork.is_some();
        (log.height, log.head, log.bodies, log.missing) = end.frontier;
        txn.delete(Cf::Unjudged, columns::log(log.group, log.log));
        self.logs.put(log);
    }
}

/// Gives how many rows of objects that touched.
fn hide(
    txn: &mut Txn<'_>,
    message: MessageId,
    state: MessageState,
    most: usize,
) -> Result<usize, WriteError> {
    let mut stored = stored(txn, message)?;
    let before = stored.value.state();
    if before == state {
        return Ok(0);
    }
    let group = stored.group;
    opening::stop_waiting(txn, message, &stored.value);
    let author = withdrawals::author(message, &stored.value)?;
    let taken = leaving::take_away(txn, (group, author), message, End::Hidden, most)?;
    txn.shift(&stored.place, Some(before), state);
    stored.value.set_state(state, None);
    withdrawals::says_otherwise(txn, &stored.value);
    stored.put(txn);
    Ok(taken)
}

/// Takes a message out of hiding; its content follows when it is opened again.
fn show(txn: &mut Txn<'_>, message: MessageId) -> Result<(), WriteError> {
    let mut stored = stored(txn, message)?;
    let before = stored.value.state();
    if !before.is_hidden() {
        return Ok(());
    }
    let after = withdrawals::stands_as(txn, message, &stored)?;
    txn.shift(&stored.place, Some(before), after);
    stored.value.set_state(after, None);
    withdrawals::says_otherwise(txn, &stored.value);
    stored.put(txn);
    if after.may_show() {
        txn.put(Cf::Reopen, message.to_vec(), Vec::new());
    }
    Ok(())
}

/// Gives a place to the message it belongs to; the one that had it goes beside it.
fn promote(
    txn: &mut Txn<'_>,
    log: &LogRow,
    sequence: Sequence,
    message: MessageId,
) -> Result<(), WriteError> {
    let place = columns::place(log.group, log.log, sequence);
    let fork = columns::fork(&place, message);
    let Some(chosen) = txn.get(Cf::Forks, &fork)? else { return Ok(()) };
    let Some(other) = txn.message::<EnvelopeValue>(Cf::Envelopes, &place)? else { return Ok(()) };
    let id = other.id().map_err(|_| damaged(Cf::Envelopes, &place, "has no id"))?;
    let beside = columns::fork(&place, id);
    messages::put_place(txn, id, &beside)?;
    txn.put(Cf::Forks, beside, other.encode_to_vec());
    txn.delete(Cf::Forks, fork);
    messages::put_place(txn, message, &place)?;
    txn.put(Cf::Envelopes, place, chosen);
    Ok(())
}

/// Two messages of one author that cannot both be of one history, or one that it did not sign and the one in which it
/// vouched for that; as they travelled, for anyone to verify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForkProof {
    /// The lowest place with two histories.
    pub sequence: Sequence,
    /// Two messages for it; or the one for it, and the next one, which follows another, or follows bytes it should not.
    pub envelopes: [Vec<u8>; 2],
}

impl Store {
    /// Logs that wait to be judged as a whole.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn unjudged(&self) -> Result<Vec<(GroupId, LogId)>, ReadError> {
        self.db
            .scan(Cf::Unjudged, &[], &[])
            .map(|row| {
                let (key, _) = row?;
                let fault = || damaged(Cf::Unjudged, &key, "names no log");
                let (group, log) = key.split_first_chunk::<4>().ok_or_else(fault)?;
                let log = LogId::try_from(log).map_err(|_| fault())?;
                Ok((GroupId::new(u32::from_be_bytes(*group)), log))
            })
            .collect()
    }

    /// Everything held of a log, second messages included.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn held(&self, group: GroupId, log: LogId) -> Result<Vec<HeldEntry>, ReadError> {
        let prefix = columns::log(group, log);
        let mut held = Vec::new();
        for column in [Cf::Envelopes, Cf::Forks] {
            for row in self.db.scan(column, &prefix, &prefix) {
                let (key, value) = row?;
                held.push(held_entry(column, &key, &value)?);
            }
        }
        Ok(held)
    }

    /// The proof that a log is forked, if it is and both sides are held.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn fork_proof(&self, log: &LogRow) -> Result<Option<ForkProof>, ReadError> {
        if log.frozen.get() == 0 {
            return Ok(None);
        }
        let denies = |parent: &EnvelopeValue, child: &EnvelopeValue| {
            parent.id().is_ok_and(|id| child.prev().is_ok_and(|prev| prev != id))
        };
        // Bytes that the author vouched for and did not sign.
        let betrays = |parent: &EnvelopeValue, child: &EnvelopeValue| {
            let follows = parent.id().is_ok_and(|id| child.prev().is_ok_and(|prev| prev == id));
            parent.unsigned && !child.unsigned && follows
        };
        let pair = |parents: &[EnvelopeValue], children: &[EnvelopeValue]| {
            let mut pairs =
                parents.iter().flat_map(|parent| children.iter().map(move |child| (parent, child)));
            pairs
                .find(|(parent, child)| denies(parent, child) || betrays(parent, child))
                .map(|(p, c)| [p.bytes.clone(), c.bytes.clone()])
        };
        let at = log.frozen.get();
        let there = self.of_place(log, at)?;
        let envelopes = match there.as_slice() {
            [one, other, ..] => Some([one.bytes.clone(), other.bytes.clone()]),
            // The other one is known by name only: what follows it denies the one that is here. Or the place is
            // that of the child, because a cut has settled its parent's.
            _ => match pair(&there, &self.of_place(log, at + 1)?) {
                Some(pair) => Some(pair),
                None => pair(&self.of_place(log, at.saturating_sub(1))?, &there),
            },
        };
        Ok(envelopes.map(|envelopes| ForkProof { sequence: log.frozen, envelopes }))
    }

    /// Whether a log counts only so far because its author vouched for what stands there and had not signed it, and not for a
    /// second history.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn is_frozen_unsigned(&self, log: &LogRow) -> Result<bool, ReadError> {
        if log.frozen.get() == 0 {
            return Ok(false);
        }
        Ok(matches!(self.of_place(log, log.frozen.get())?.as_slice(), [one] if one.unsigned))
    }

    /// What is held for a place: the entry that has it, then those beside it.
    fn of_place(&self, log: &LogRow, sequence: u64) -> Result<Vec<EnvelopeValue>, ReadError> {
        let place = columns::place(log.group, log.log, Sequence::new(sequence));
        let mut held = Vec::new();
        for column in [Cf::Envelopes, Cf::Forks] {
            for row in self.db.scan(column, &place, &place) {
                let (key, value) = row?;
                let value = EnvelopeValue::decode(value.as_ref());
                held.push(value.map_err(|_| damaged(column, &key, "does not decode"))?);
            }
        }
        Ok(held)
    }
}

fn held_entry(column: Cf, key: &[u8], value: &[u8]) -> Result<HeldEntry, ReadError> {
    let fault = || damaged(column, key, "does not decode");
    let (_, _, sequence) = key.get(..columns::PLACE_LEN).and_then(columns::read_place).ok_or_else(fault)?;
    let value = EnvelopeValue::decode(value).map_err(|_| fault())?;
    let entry = value.entry(sequence).map_err(|_| fault())?;
    let is_beside = column == Cf::Forks;
    Ok(HeldEntry { entry, state: value.state(), counts: value.counts(), is_beside })
}
