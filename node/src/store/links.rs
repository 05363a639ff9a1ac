//! How an entry of a log meets its neighbours: whether it denies one of them, and how far the log goes with it.

use belfry_proto::id::Sequence;
use prost::Message;

use super::{
    ReadError, WriteError,
    columns::{self, Cf},
    rows::{EnvelopeRow, LogRow},
    txn::Txn,
    values::EnvelopeValue,
    vault::damaged,
};

/// Entries read to see how far a log goes once a gap is filled: as many as a page brings.
const MOST_JOINED: usize = 256;

/// Where a new entry proves a fork by what it follows, or by what follows it: the same answer as
/// [`belfry_proto::sync::judge_log`] has for the whole log, from its neighbours.
pub(super) fn denied(txn: &Txn<'_>, log: &LogRow, row: &EnvelopeRow) -> Result<Option<Sequence>, ReadError> {
    let neighbour = |sequence: u64| {
        let place = columns::place(row.group, row.log, Sequence::new(sequence));
        txn.message::<EnvelopeValue>(Cf::Envelopes, &place)
    };
    let sequence = row.sequence.get();
    let parent = if log.height.get() + 1 == sequence {
        (sequence > 1).then_some(log.head)
    } else {
        match sequence.checked_sub(1) {
            None | Some(0) => None,
            Some(before) => neighbour(before)?.and_then(|value| value.id().ok()),
        }
    };
    if parent.is_some_and(|parent| parent != row.prev) {
        return Ok(Some(Sequence::new(sequence - 1)));
    }
    let child = if log.top > row.sequence { neighbour(sequence + 1)? } else { None };
    let beside = if log.seconds > 0 { seconds(txn, row, sequence + 1)? } else { Vec::new() };
    let meets = |value: &EnvelopeValue| value.prev().is_ok_and(|prev| prev == row.id);
    Ok((!child.iter().chain(&beside).all(meets)).then_some(row.sequence))
}

/// Whether the entry held after this one follows it, or a cut ends at it: then it is the history that counts.
pub(super) fn is_named(txn: &Txn<'_>, row: &EnvelopeRow) -> Result<bool, ReadError> {
    if row.is_cut_point {
        return Ok(true);
    }
    let next = columns::place(row.group, row.log, Sequence::new(row.sequence.get() + 1));
    let follows = |value: &EnvelopeValue| value.prev().is_ok_and(|prev| prev == row.id);
    if txn.message::<EnvelopeValue>(Cf::Envelopes, &next)?.as_ref().is_some_and(follows) {
        return Ok(true);
    }
    Ok(seconds(txn, row, row.sequence.get() + 1)?.iter().any(follows))
}

/// Second messages held for a place of the row's log.
fn seconds(txn: &Txn<'_>, row: &EnvelopeRow, sequence: u64) -> Result<Vec<EnvelopeValue>, ReadError> {
    let place = columns::place(row.group, row.log, Sequence::new(sequence));
    let beside = txn.prefixed(Cf::Forks, &place, usize::MAX)?.into_iter();
    beside
        .map(|(key, value)| {
            EnvelopeValue::decode(value.as_slice()).map_err(|_| damaged(Cf::Forks, &key, "does not decode"))
        })
        .collect()
}

/// Freezes a log below `at`; it only ever moves down here.
pub(super) fn freeze(log: &mut LogRow, at: Sequence) {
    log.forked = true;
    if log.frozen.get() == 0 || at < log.frozen {
        log.frozen = at;
    }
}

/// Moves the frontier over what follows it link by link, up to where the log is frozen; `new` was put just now
/// and need not be read; it comes with whether its body counts. False if there was more to read than one change should.
pub(super) fn advance(
    txn: &Txn<'_>,
    log: &mut LogRow,
    new: &EnvelopeRow,
    counts: bool,
) -> Result<bool, WriteError> {
    for _ in 0..MOST_JOINED {
        let sequence = Sequence::new(log.height.get() + 1);
        if sequence > log.top || log.frozen.get() != 0 && sequence >= log.frozen {
            return Ok(true);
        }
        let (prev, id, counts) = if new.sequence == sequence {
            (new.prev, new.id, counts)
        } else {
            let place = columns::place(log.group, log.log, sequence);
            let Some(value) = txn.message::<EnvelopeValue>(Cf::Envelopes, &place)? else { return Ok(true) };
            let fault = |_| damaged(Cf::Envelopes, &place, "has no ids");
            (value.prev().map_err(fault)?, value.id().map_err(fault)?, value.counts())
        };
        if prev != log.head {
            return Ok(true);
        }
        log.head = id;
        log.height = sequence;
        log.bodies += u64::from(counts);
        if !counts {
            log.missing.toggle(log.log, sequence);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use belfry_proto::id::Sequence;
    use tempfile::TempDir;

    use crate::store::{
        Committed, EnvelopeRow,
        tests::{GROUP, commit, envelope, id, open},
    };

    #[test]
    fn the_frontier_advances_when_the_gap_fills() {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        let log = || store.logs(GROUP).remove(0);
        assert_eq!(
            commit(&store, envelope(1)),
            Committed::Stored { advanced: true, gap: false, unjudged: false }
        );
        assert_eq!(
            commit(&store, envelope(3)),
            Committed::Stored { advanced: false, gap: true, unjudged: false }
        );
        assert_eq!((log().height, log().top), (Sequence::new(1), Sequence::new(3)));
        assert_eq!(
            commit(&store, envelope(2)),
            Committed::Stored { advanced: true, gap: false, unjudged: false }
        );
        assert_eq!((log().height, log().head, log().bodies), (Sequence::new(3), id(3), 3));
    }

    #[test]
    fn a_link_that_does_not_meet_freezes_the_log() {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        commit(&store, envelope(1));
        commit(&store, EnvelopeRow { prev: id(77), ..envelope(2) });
        let log = store.logs(GROUP).remove(0);
        assert!(log.forked);
        assert_eq!(log.height, Sequence::new(1));
    }
}
