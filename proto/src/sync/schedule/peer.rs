//! How a peer stands: what it has on offer, what it is asked for, and when it may be asked again.

use std::time::Duration;

use crate::time::doubled;

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
    empty: u32,
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

    /// It had nothing of what it claimed; how often in a row by now.
    pub(super) const fn was_empty(&mut self) -> u32 {
        self.empty = self.empty.saturating_add(1);
        self.empty
    }

    /// It did what no honest peer does. From now on it is counted anew what else it does.
    pub(super) fn blame(&mut self, now: Duration) {
        self.empty = 0;
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
    pub(super) const fn served(&mut self) {
        self.faults = self.faults.saturating_sub(1);
        self.busy = 0;
        self.empty = 0;
    }
}
