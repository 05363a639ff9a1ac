//! The roster as it stands now, shared by every use-case.
//!
//! Readers take a cheap snapshot and work on it; one writer (`membership`) folds and swaps. Whoever
//! needs two answers to agree takes one snapshot for both.

use std::sync::Arc;

use arc_swap::ArcSwap;
use belfry_proto::trust::roster::Roster;
use tokio::sync::watch;

/// Handle to the live roster.
#[derive(Clone)]
pub struct LiveRoster {
    current: Arc<ArcSwap<Roster>>,
    changed: watch::Sender<u64>,
}

impl LiveRoster {
    /// Starts from a fold.
    #[must_use]
    pub fn new(roster: Roster) -> Self {
        let height = roster.version().height.get();
        Self { current: Arc::new(ArcSwap::from_pointee(roster)), changed: watch::Sender::new(height) }
    }

    /// The roster at this moment.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Roster> {
        self.current.load_full()
    }

    /// Replaces the roster and wakes every watcher. Only `membership` calls this.
    pub fn replace(&self, roster: Roster) {
        let height = roster.version().height.get();
        self.current.store(Arc::new(roster));
        self.changed.send_replace(height);
    }

    /// Resolves after each [`Self::replace`]; the value is the admin log's height.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}
