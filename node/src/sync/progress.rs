//! How far this node is, and why not further: for whoever waits for it.
//!
//! ```text
//! schedule (what peers offer that is not here) ─┐
//! who was compared with                         ├─▶ Report ─▶ `GET /api/v1/sync`, events, `belfry sync`
//! frontier and counts of the store              ─┘
//! ```
//!
//! What is missing is known from two sides only: a peer offers it, or a later entry of the same log is here. What
//! neither tells of may exist all the same, so a node that has compared with nobody says that, and not that it is level.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use belfry_proto::{
    id::{GroupId, LogId},
    limits::MAX_SEQUENCE,
    sync::{
        plan::Want,
        schedule::{Missing, Pace},
    },
    time::Timestamp,
};
use serde::Serialize;
use tokio::sync::watch;

use super::{Counters, Snapshot};
use crate::store::{ReadError, Store};

/// What the pulling half knows and no row says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outlook {
    pub(super) peers: Peers,
    pub(super) compared: Option<Timestamp>,
    pub(super) groups: BTreeMap<GroupId, Offers>,
    /// Logs left alone because their members' room is used up.
    pub(super) full: BTreeMap<GroupId, usize>,
}

/// Peers by what is done with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Peers {
    /// Here, and greeted.
    pub ready: usize,
    /// Of them, compared with since they came.
    pub compared: usize,
    /// Being compared with now.
    pub comparing: usize,
    /// Left alone for a while, after a fault or because they are busy.
    pub resting: usize,
}

/// What peers offer of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Offers {
    entries: u64,
    of_resting_peers: u64,
    fetching: usize,
    /// Entries, bodies or proofs of a log, each counted once, that are under way or next.
    due: usize,
    /// Those that only resting peers offer.
    waiting: usize,
    logs: BTreeSet<LogId>,
}

impl Offers {
    pub(super) fn by_group(missing: impl Iterator<Item = Missing>) -> BTreeMap<GroupId, Self> {
        let mut groups: BTreeMap<GroupId, Self> = BTreeMap::new();
        for Missing { group, log, want, count, pace } in missing {
            let offers = groups.entry(group).or_default();
            offers.fetching += usize::from(pace == Pace::UnderWay);
            let is_resting = pace == Pace::Waits;
            offers.due += usize::from(!is_resting);
            offers.waiting += usize::from(is_resting);
            if want == Want::Entries {
                offers.entries = more(offers.entries, count);
                offers.logs.insert(log);
                if is_resting {
                    offers.of_resting_peers = more(offers.of_resting_peers, count);
                }
            }
        }
        groups
    }
}

/// What peers claim, added up. A claim is any number up to the highest sequence of a log, and so is what many come to: beyond
/// it the sum says nothing, whoever reads JSON would misread it, and sums of claims must not end a node.
fn more(sum: u64, count: u64) -> u64 {
    sum.saturating_add(count).min(MAX_SEQUENCE)
}

/// Where a group stands, by what stands most in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Nobody is here to compare with.
    NoPeer,
    /// Somebody is, and no comparison has ended yet.
    Comparing,
    /// Something is being fetched, or will be next.
    Fetching,
    /// Only peers that rest offer what is missing.
    WaitingForPeer,
    /// Known to be missing, and nobody here offers it.
    NobodyOffers,
    /// What is missing is of members of whom no more is kept here.
    OverDiskQuota,
    /// All of it is here; some waits for its key.
    WaitingForKey,
    /// Nothing is known to be missing.
    Level,
}

/// One group.
#[derive(Clone, Debug, Serialize)]
pub struct GroupProgress {
    /// Where it stands.
    pub state: State,
    /// Entries held without a gap, over all logs.
    pub held: u64,
    /// Entries that peers offer and that are not here.
    pub offered: u64,
    /// Of them, those that only resting peers offer.
    pub of_resting_peers: u64,
    /// Logs of which something is being fetched now.
    pub fetching: usize,
    /// Logs of which later entries are here than the next one, which nobody here offers.
    pub gaps_nobody_offers: usize,
    /// Entries without the body they should have.
    pub without_body: u64,
    /// Messages that wait for their key.
    pub waiting_for_key: u64,
    /// Messages that are open here, their content indexed.
    pub opened: u64,
    /// Logs whose author signed two histories: there is nothing more to fetch of them.
    pub frozen: usize,
    /// Entries past the group's retention, whose bodies are gone and not fetched any more.
    pub beyond_retention: u64,
    /// Logs of which there is more, by members of whom no more is kept here: `store.member_quota`.
    pub over_disk_quota: usize,
}

/// The node.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Peers.
    pub peers: Peers,
    /// When a comparison with anybody last went through; unset since the start.
    pub compared: Option<Timestamp>,
    /// What was done since the start.
    pub counters: Snapshot,
}

/// A view of the running sync; clones share it.
#[derive(Clone, Debug)]
pub struct Progress {
    pub(super) outlook: watch::Receiver<Outlook>,
    pub(super) counters: Arc<Counters>,
}

impl Progress {
    /// What concerns no group.
    #[must_use]
    pub fn report(&self) -> Report {
        let outlook = self.outlook.borrow();
        Report { peers: outlook.peers, compared: outlook.compared, counters: self.counters.snapshot() }
    }

    /// Where a group stands. Reads one row.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn group(&self, store: &Store, group: GroupId) -> Result<GroupProgress, ReadError> {
        let outlook = self.outlook.borrow().clone();
        let offers = outlook.groups.get(&group).cloned().unwrap_or_default();
        let counts = store.counts(group);
        let waiting_for_key = counts.sealed;
        let mut progress = GroupProgress {
            state: State::Level,
            held: 0,
            offered: offers.entries,
            of_resting_peers: offers.of_resting_peers,
            fetching: offers.fetching,
            gaps_nobody_offers: 0,
            without_body: 0,
            waiting_for_key,
            opened: counts.opened,
            frozen: 0,
            beyond_retention: counts.expired,
            over_disk_quota: outlook.full.get(&group).copied().unwrap_or_default(),
        };
        for log in store.frontier(group).logs() {
            progress.held = progress.held.saturating_add(log.height.get());
            progress.without_body = progress.without_body.saturating_add(log.holes());
            progress.frozen += usize::from(log.frozen.get() > 0);
        }
        let gaps = store.gaps(group);
        progress.gaps_nobody_offers = gaps.iter().filter(|log| !offers.logs.contains(log)).count();
        progress.state = state(&outlook, &offers, &progress);
        Ok(progress)
    }
}

fn state(outlook: &Outlook, offers: &Offers, progress: &GroupProgress) -> State {
    let is_missing = progress.gaps_nobody_offers > 0 || progress.without_body > 0;
    match () {
        () if outlook.peers.ready == 0 => State::NoPeer,
        () if offers.due > 0 => State::Fetching,
        () if offers.waiting > 0 => State::WaitingForPeer,
        () if outlook.compared.is_none() => State::Comparing,
        () if progress.over_disk_quota > 0 => State::OverDiskQuota,
        () if is_missing => State::NobodyOffers,
        () if progress.waiting_for_key > 0 => State::WaitingForKey,
        () => State::Level,
    }
}

#[cfg(test)]
mod tests {
    use belfry_proto::{id::Sequence, sync::schedule::MAX_OFFERS};

    use super::*;

    fn missing(want: Want, count: u64, pace: Pace) -> Missing {
        Missing { group: GroupId::new(5), log: LogId::new([1; 32]), want, count, pace }
    }

    fn progress(gaps: usize, keys: u64) -> GroupProgress {
        GroupProgress {
            state: State::Level,
            held: Sequence::new(7).get(),
            offered: 0,
            of_resting_peers: 0,
            fetching: 0,
            gaps_nobody_offers: gaps,
            without_body: 0,
            waiting_for_key: keys,
            opened: 0,
            frozen: 0,
            beyond_retention: 0,
            over_disk_quota: 0,
        }
    }

    /// A node may call itself level only if somebody was here to tell, and nothing is known to be missing.
    #[test]
    fn what_stands_most_in_the_way_is_told() {
        let peers = |ready| Peers { ready, ..Peers::default() };
        let now = Some(Timestamp::from_micros(1));
        let told = |ready, compared, offered: &[Missing], gaps, keys| {
            let groups = Offers::by_group(offered.iter().copied());
            let offers = groups.get(&GroupId::new(5)).cloned().unwrap_or_default();
            let outlook = Outlook { peers: peers(ready), compared, groups, ..Outlook::default() };
            state(&outlook, &offers, &progress(gaps, keys))
        };
        let of = |pace| [missing(Want::Entries, 9, pace)];
        assert_eq!(told(0, now, &[], 0, 0), State::NoPeer);
        assert_eq!(told(1, None, &[], 0, 0), State::Comparing);
        assert_eq!(told(1, None, &of(Pace::Due), 0, 0), State::Fetching);
        assert_eq!(told(1, now, &of(Pace::UnderWay), 0, 5), State::Fetching);
        assert_eq!(told(1, now, &of(Pace::Waits), 0, 5), State::WaitingForPeer);
        assert_eq!(told(1, now, &[], 1, 5), State::NobodyOffers);
        let body = |pace| [missing(Want::Bodies, 9, pace)];
        assert_eq!(told(1, now, &body(Pace::Due), 1, 5), State::Fetching, "somebody has the body");
        assert_eq!(told(1, now, &body(Pace::Waits), 1, 5), State::WaitingForPeer);
        assert_eq!(told(1, now, &[], 0, 5), State::WaitingForKey);
        assert_eq!(told(1, now, &[], 0, 0), State::Level);
    }

    #[test]
    fn offers_are_counted_by_what_they_are_and_who_makes_them() {
        let all = [
            missing(Want::Entries, 9, Pace::Waits),
            missing(Want::Bodies, 3, Pace::Due),
            missing(Want::Fork, 1, Pace::UnderWay),
        ];
        let mut groups = Offers::by_group(all.into_iter());
        let offers = groups.remove(&GroupId::new(5)).unwrap();
        assert_eq!((offers.entries, offers.of_resting_peers, offers.fetching), (9, 9, 1));
        assert_eq!((offers.due, offers.waiting, offers.logs.len()), (2, 1, 1));
    }

    /// Of one peer that answers one comparison with logs it invented: as many as it may offer, as high as a log may be.
    #[test]
    fn logs_that_a_peer_invents_as_high_as_can_be_end_nothing() {
        let invented = |pace| {
            let log = move |n: usize| LogId::new([u8::try_from(n % 251).unwrap(); 32]);
            (0..MAX_OFFERS)
                .map(move |n| Missing { log: log(n), ..missing(Want::Entries, MAX_SEQUENCE, pace) })
        };
        for (pace, resting) in [(Pace::UnderWay, 0), (Pace::Waits, MAX_SEQUENCE)] {
            let groups = Offers::by_group(invented(pace));
            let offers = groups.get(&GroupId::new(5)).unwrap();
            assert_eq!((offers.entries, offers.of_resting_peers), (MAX_SEQUENCE, resting), "{pace:?}");
        }
    }
}
