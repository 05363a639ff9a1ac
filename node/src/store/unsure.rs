//! What was noted by a clock that nobody vouched for, put right once others do.
//!
//! Two terms run from when something came here: the grant delay from an entry of the admin log, a steward's week from an erasure.
//! Noted by a clock that was behind, such a term is over before it began; by one that was ahead it lasts until the wrong date
//! has come. So what is noted meanwhile is listed, and came when others vouch for the clock, at the latest. Of an entry that is
//! listed nobody is told when it came: for whoever asks, it comes now.
//!
//! ```text
//! nobody vouches, or it was set since ─▶ noted and listed ─▶ others do ─▶ Change::Seen (entries), Change::WordsSeen
//! others vouch ─▶ noted                                                   (erasures): it is of now
//! ```

use std::{
    sync::PoisonError,
    time::{Duration, Instant},
};

use belfry_proto::{
    envelope::Word,
    id::{Height, MessageId},
    schema::WithdrawalMode,
    time::Timestamp,
};
use prost::Message;

use super::{
    Committed, ReadError, Store, WriteError, admin, columns::Cf, db::Db, txn::Txn, values::WithdrawalValue,
    vault::damaged, withdrawals::put_reweigh,
};

/// Where the lowest entry stands in [`Cf::Meta`] that was noted so; all above it are taken for such.
pub(super) const ENTRIES_KEY: &[u8] = b"unsure-entries";
/// Where rows of erasures stand there that were.
pub(super) const WORD_KEY: &[u8] = b"unsure-word:";
/// Erasures put right in one batch: a few milliseconds.
const MOST: usize = 1024;
/// How far a clock may part from the time that has passed since others vouched for it: more is one that was set, or a machine
/// that slept. Whoever listens to others finds that out up to a second later, and what is noted in between is noted by it.
const SET: Duration = Duration::from_secs(5);

/// The clock by which is noted when something came.
#[derive(Clone, Copy, Debug)]
pub(super) enum Clock {
    /// Nobody is asked about it.
    Own,
    /// Others do not vouch for it.
    Doubted,
    /// They did as it showed this, at this moment.
    Vouched(Timestamp, Instant),
}

impl Clock {
    /// Whether what is noted as it shows `wall` is of then.
    fn is_sure(self, wall: Timestamp, now: Instant) -> bool {
        match self {
            Self::Own => true,
            Self::Doubted => false,
            Self::Vouched(shown, at) => {
                let expected = shown.saturating_add(now.saturating_duration_since(at));
                wall.since(expected).max(expected.since(wall)) <= SET
            }
        }
    }
}

fn is_sure(txn: &Txn<'_>) -> bool {
    is_sure_by(txn.db, txn.now)
}

fn is_sure_by(db: &Db, wall: Timestamp) -> bool {
    let clock = *db.clock.lock().unwrap_or_else(PoisonError::into_inner);
    clock.is_sure(wall, Instant::now())
}

/// When this entry came is being noted.
pub(super) fn entry(txn: &mut Txn<'_>, height: Height) -> Result<(), ReadError> {
    if !is_sure(txn) && lowest(txn)?.is_none_or(|lowest| height < lowest) {
        txn.put(Cf::Meta, ENTRIES_KEY.to_vec(), height.get().to_be_bytes().to_vec());
    }
    Ok(())
}

/// The lowest entry of which it is not sure when it came.
pub(super) fn lowest(txn: &Txn<'_>) -> Result<Option<Height>, ReadError> {
    Ok(txn.get(Cf::Meta, ENTRIES_KEY)?.and_then(|bytes| height(&bytes)))
}

fn height(bytes: &[u8]) -> Option<Height> {
    <[u8; 8]>::try_from(bytes).ok().map(|height| Height::new(u64::from_be_bytes(height)))
}

/// It is of all of them, or there is none of those any more.
pub(super) fn entries_settled(txn: &mut Txn<'_>) {
    txn.delete(Cf::Meta, ENTRIES_KEY.to_vec());
}

/// When this came is being noted in the row of that key.
pub(super) fn word(txn: &mut Txn<'_>, word: &Word, row: &[u8]) {
    let goes_by_date = word.by_steward && word.mode == WithdrawalMode::Erase;
    if goes_by_date && !is_sure(txn) {
        txn.put(Cf::Meta, [WORD_KEY, row].concat(), Vec::new());
    }
}

/// Erasures that are listed came at `at`.
pub(super) fn words_came(txn: &mut Txn<'_>, at: Timestamp) -> Result<Committed, WriteError> {
    let listed = txn.prefixed(Cf::Meta, WORD_KEY, MOST)?;
    let is_all = listed.len() < MOST;
    for (mark, _) in listed {
        let row = mark.get(WORD_KEY.len()..).unwrap_or_default().to_vec();
        if let Some(value) = txn.get(Cf::Withdrawals, &row)? {
            let value = WithdrawalValue::decode(value.as_slice())
                .map_err(|_| damaged(Cf::Withdrawals, &row, "does not decode"))?
                .come(at);
            if let Some(target) = row.first_chunk::<32>() {
                put_reweigh(txn, Timestamp::ZERO, MessageId::new(*target));
            }
            txn.put(Cf::Withdrawals, row, value.encode_to_vec());
        }
        txn.delete(Cf::Meta, mark);
    }
    Ok(if is_all { Committed::Done } else { Committed::More })
}

impl Store {
    /// Others vouch for the clock by which is noted when something came, as it shows this now; `None`: they do not. Until somebody
    /// says either it is taken for right. What is noted while they do not, or once it was set after they did, is put right
    /// afterwards, by [`Change::Seen`](super::Change::Seen) and [`Change::WordsSeen`](super::Change::WordsSeen).
    pub fn vouch_clock(&self, shown: Option<Timestamp>) {
        let clock = shown.map_or(Clock::Doubted, |shown| Clock::Vouched(shown, Instant::now()));
        *self.db.clock.lock().unwrap_or_else(PoisonError::into_inner) = clock;
    }

    /// Whether what the clock shows now, as `wall`, may be gone by for good: others vouch for it, or nobody is asked.
    #[must_use]
    pub fn is_clock_sure(&self, wall: Timestamp) -> bool {
        is_sure_by(&self.db, wall)
    }

    /// Whether it is not sure of some entry when it came.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn has_unsure_entries(&self) -> Result<bool, ReadError> {
        Ok(self.lowest_unsure()?.is_some())
    }

    /// The lowest of them; all above it are taken for such.
    pub(super) fn lowest_unsure(&self) -> Result<Option<Height>, ReadError> {
        Ok(self.db.get(Cf::Meta, ENTRIES_KEY)?.and_then(|bytes| height(&bytes)))
    }

    /// Heights of entries that are noted to have come after `now`, or by a clock that nobody vouched for.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn unsure_entries(&self, now: Timestamp) -> Result<Vec<Height>, ReadError> {
        let lowest = self.lowest_unsure()?;
        let mut heights = Vec::new();
        for row in self.db.scan(Cf::Seen, &[], &[]) {
            let (key, value) = row?;
            let Some(height) = height(&key) else { continue };
            let is_to_come = admin::seen(&value).is_some_and(|noted| noted > now);
            if is_to_come || lowest.is_some_and(|lowest| height >= lowest) {
                heights.push(height);
            }
        }
        Ok(heights)
    }

    /// Whether erasures were noted by a clock that nobody vouched for.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn has_unsure_words(&self) -> Result<bool, ReadError> {
        Ok(self.db.scan(Cf::Meta, WORD_KEY, WORD_KEY).next().transpose()?.is_some())
    }
}

#[cfg(test)]
mod tests {
    use belfry_proto::id::{EntryId, RosterVersion};
    use tempfile::TempDir;

    use super::*;
    use crate::{
        clock,
        store::{Change, tests::open},
    };

    fn extend(store: &Store, charters: Vec<(u64, Vec<u8>)>, heights: std::ops::RangeInclusive<u64>) {
        let head = RosterVersion { height: Height::new(*heights.end()), head: EntryId::new([1; 32]) };
        let records = heights.map(|height| (Height::new(height), vec![1])).collect();
        store.commit_blocking(Change::Admin { charters, records, head }).unwrap();
    }

    #[test]
    fn entries_that_a_doubted_clock_noted_are_listed_until_they_are_put_right_and_no_others() {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        extend(&store, vec![], 1..=2);
        store.vouch_clock(None);
        extend(&store, vec![], 3..=5);
        // A charter may cut the log back, and other entries come to stand there.
        extend(&store, vec![(2, vec![2])], 1..=1);
        extend(&store, vec![], 2..=3);
        drop(store);
        let store = open(&folder);
        let seen = |store: &Store, height| store.first_seen(Height::new(height)).unwrap();
        let came = seen(&store, 1).unwrap();
        assert_eq!([2, 3].map(|height| seen(&store, height)), [None; 2], "nobody goes by what it noted");
        // Noted long before this, by the clock that was behind.
        let at = came.saturating_add(Duration::from_secs(3600));
        let heights = store.unsure_entries(at).unwrap();
        assert_eq!(heights, [2, 3].map(Height::new));
        store.commit_blocking(Change::Seen { heights, at }).unwrap();
        assert_eq!([1, 2, 3].map(|height| seen(&store, height)), [Some(came), Some(at), Some(at)]);
        extend(&store, vec![], 4..=4);
        let later = at.saturating_add(Duration::from_secs(3600));
        assert!(store.unsure_entries(later).unwrap().is_empty());
    }

    #[test]
    fn what_a_charter_cuts_off_leaves_no_doubt_about_what_comes_in_its_place() {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        extend(&store, vec![], 1..=2);
        store.vouch_clock(None);
        extend(&store, vec![], 3..=4);
        extend(&store, vec![(2, vec![2])], 1..=2);
        store.vouch_clock(Some(clock::now()));
        extend(&store, vec![], 3..=4);
        assert!(!store.has_unsure_entries().unwrap());
        assert!(store.first_seen(Height::new(4)).unwrap().is_some());
    }

    /// Whoever listens to others finds it out a second later.
    #[test]
    fn what_a_clock_notes_is_sure_until_it_is_set_after_others_vouched_for_it() {
        let (wall, begun) = (clock::now(), Instant::now());
        let (hour, second) = (Duration::from_secs(3600), Duration::from_secs(1));
        let vouched = Clock::Vouched(wall, begun);
        let later = begun + hour;
        assert!(vouched.is_sure(wall, begun));
        assert!(vouched.is_sure(wall.saturating_add(hour + second), later), "as clocks are steered");
        for set in [wall, wall.saturating_add(2 * hour), wall.saturating_sub(hour), Timestamp::ZERO] {
            assert!(!vouched.is_sure(set, later), "{set}");
        }
        assert!(Clock::Own.is_sure(wall, later) && !Clock::Doubted.is_sure(wall, begun));
    }
}
