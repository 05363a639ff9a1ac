//! What sync did, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

/// Live counters; shared by the pulling and the serving half.
#[derive(Debug, Default)]
pub struct Counters {
    pub(super) compared: AtomicU64,
    pub(super) level: AtomicU64,
    pub(super) pages: AtomicU64,
    pub(super) kept: AtomicU64,
    pub(super) late: AtomicU64,
    pub(super) faults: AtomicU64,
    pub(super) pauses: AtomicU64,
    pub(super) served: AtomicU64,
    pub(super) turned_away: AtomicU64,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Snapshot {
    /// Frontiers compared with a peer's.
    pub compared: u64,
    /// Of those, equal at once.
    pub level: u64,
    /// Pages taken.
    pub pages: u64,
    /// Envelopes that sync brought and gossip had not.
    pub kept: u64,
    /// Of those, the late ones: half a minute to an hour old by their author's clock, and written while this node was
    /// connected, a minute after the first peer came at least; less those that gossip brought and this node refused, as far as
    /// it remembers. Many of them, without an outage or a partition anywhere, and somebody keeps messages from us.
    pub late: u64,
    /// Answers that were not what the peer claimed to have.
    pub faults: u64,
    /// Questions that came to nothing by nobody's fault: a peer was busy, or gone, or something else has to come first. Many of
    /// them, and what is missing waits for peers that cannot be asked.
    pub pauses: u64,
    /// Requests of others answered.
    pub served: u64,
    /// Requests of others refused as over their budget.
    pub turned_away: u64,
}

impl Counters {
    /// All of them, now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Snapshot {
            compared: value(&self.compared),
            level: value(&self.level),
            pages: value(&self.pages),
            kept: value(&self.kept),
            late: value(&self.late),
            faults: value(&self.faults),
            pauses: value(&self.pauses),
            served: value(&self.served),
            turned_away: value(&self.turned_away),
        }
    }
}

pub(super) fn more(counter: &AtomicU64, by: usize) {
    counter.fetch_add(u64::try_from(by).unwrap_or(u64::MAX), Ordering::Relaxed);
}
