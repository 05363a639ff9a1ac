//! How a peer stands: what it has on offer, what it is asked for, and when it may be asked again.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Job, MAX_OFFERS};
use crate::{
    id::{GroupId, LogId, Sequence},
    sync::plan::{Range, Want},
    time::doubled,
};

/// Wait after a peer's first fault; doubles with each further one, up to [`LONGEST_BACKOFF`].
pub const FIRST_BACKOFF: Duration = Duration::from_secs(2);
/// Longest wait after faults. An honest peer that was ill for a while is back within that.
pub const LONGEST_BACKOFF: Duration = Duration::from_secs(600);
/// Wait after a peer said it is busy; doubles while it says so, up to [`LONGEST_BUSY`].
const FIRST_BUSY: Duration = Duration::from_millis(500);
/// Longest wait for a busy peer.
const LONGEST_BUSY: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, Default)]
pub(super) struct Peer {
    pub(super) offers: usize,
    pub(super) under_way: usize,
    faults: u32,
    busy: u32,
    /// What it had nothing of, in a row.
    empty: Vec<Job>,
    /// Such rows that were too long, and until when they are not asked for again. What was set aside for long enough stays
    /// here as long as it is claimed: it comes behind all that was not asked for yet.
    aside: BTreeMap<Job, Duration>,
    /// Logs of which it counts bodies that it has not: up to where, and until when it is not asked for these.
    no_bodies: BTreeMap<(GroupId, LogId), (Sequence, Duration)>,
    not_before: Duration,
}

impl Peer {
    /// When it may be asked again.
    pub(super) const fn not_before(&self) -> Duration {
        self.not_before
    }

    pub(super) fn rests(&self, now: Duration) -> bool {
        self.not_before > now
    }

    /// Faults that it has not made good.
    pub(super) const fn faults(&self) -> u32 {
        self.faults
    }

    /// How often in a row it had no time.
    pub(super) const fn busy(&self) -> u32 {
        self.busy
    }

    /// It had nothing of this, which it claimed; how often in a row by now.
    pub(super) fn was_empty(&mut self, of: Job) -> u32 {
        self.empty.push(of);
        u32::try_from(self.empty.len()).unwrap_or(u32::MAX)
    }

    /// What it had nothing of in a row is not asked for again until then. Where that is too much to remember, what was set aside
    /// first is as good as never asked for.
    pub(super) fn set_aside(&mut self, until: Duration) {
        self.aside.extend(self.empty.drain(..).map(|job| (job, until)));
        let excess = self.aside.len().saturating_sub(MAX_OFFERS);
        if excess > 0 {
            let mut oldest: Vec<(Duration, Job)> =
                self.aside.iter().map(|(job, until)| (*until, *job)).collect();
            oldest.sort_unstable();
            for (_, job) in oldest.into_iter().take(excess) {
                self.aside.remove(&job);
            }
        }
    }

    /// Until when this is, or was, not asked for again.
    pub(super) fn aside_until(&self, job: &Job) -> Option<Duration> {
        self.aside.get(job).copied()
    }

    /// What was set aside for long enough and is claimed no more is forgotten.
    pub(super) fn forget_old(&mut self, claimed: &BTreeSet<Job>, now: Duration) {
        self.aside.retain(|job, until| *until > now || claimed.contains(job));
    }

    /// It has no bodies of a log up to and with `through`, and is asked for none of them until then. What is too much to remember is
    /// asked for after each comparison.
    pub(super) fn has_no_bodies(
        &mut self,
        of: (GroupId, LogId),
        through: Sequence,
        now: Duration,
        until: Duration,
    ) {
        self.no_bodies.retain(|_, (_, until)| *until > now);
        let known = self.no_bodies.get(&of).map(|(known, _)| *known);
        if known.is_some() || self.no_bodies.len() < MAX_OFFERS {
            let through = known.map_or(through, |known| known.max(through));
            self.no_bodies.insert(of, (through, until));
        }
    }

    /// From where on it is asked for a range: behind the bodies that it said a little while ago it has not.
    pub(super) fn start(&self, range: &Range, now: Duration) -> Sequence {
        match range.want {
            Want::Bodies => {
                let none = self.no_bodies.get(&(range.group, range.log)).filter(|(_, until)| *until > now);
                let behind = none.map(|(through, _)| Sequence::new(through.get().saturating_add(1)));
                behind.map_or(range.from, |behind| behind.max(range.from))
            }
            Want::Entries | Want::Proof | Want::Fork => range.from,
        }
    }

    /// It did what no honest peer does. From now on it is counted anew what else it does.
    pub(super) fn blame(&mut self, now: Duration) {
        self.empty.clear();
        let wait = doubled(FIRST_BACKOFF, self.faults, LONGEST_BACKOFF);
        self.faults = self.faults.saturating_add(1);
        self.not_before = self.not_before.max(now + wait);
    }

    /// It has no time now.
    pub(super) fn pause(&mut self, now: Duration) {
        let wait = doubled(FIRST_BUSY, self.busy, LONGEST_BUSY);
        self.busy = self.busy.saturating_add(1);
        self.not_before = self.not_before.max(now + wait);
    }

    /// It served what it was asked for, which makes a fault good.
    pub(super) fn served(&mut self, of: &Job) {
        self.aside.remove(of);
        self.faults = self.faults.saturating_sub(1);
        self.empty.clear();
        self.had_time();
    }

    /// It is not one that never has time.
    pub(super) const fn had_time(&mut self) {
        self.busy = 0;
    }
}
