//! Who waits for an export that is being made.
//!
//! One making a key at a time, in a task of its own: whoever asks meanwhile waits for the same one, and it goes on to its
//! end when everybody has gone. A tool that gives up after half a minute finds at its next try what its first one began.
//!
//! An answer holds all that was written before its request came. So a making that had begun before serves a request only
//! if nothing changed since; one that begins later serves it in any case.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use tokio::sync::watch;

use super::{Problem, Rendered};

/// What became of a making, for all who wait.
pub(super) type Outcome = Result<Arc<Rendered>, Problem>;

/// One that is under way.
#[derive(Clone)]
pub(super) struct Making {
    number: u64,
    outcome: watch::Receiver<Option<Outcome>>,
}

impl Making {
    /// What became of it; none where it ended without a word.
    pub(super) async fn outcome(mut self) -> Option<Outcome> {
        let told = self.outcome.wait_for(Option::is_some).await.ok()?;
        told.clone()
    }

    /// Whether it began after a request that noted how many had begun.
    pub(super) const fn is_after(&self, begun: u64) -> bool {
        self.number > begun
    }
}

/// All that are under way.
pub(super) struct Makings<K> {
    begun: u64,
    running: HashMap<K, Making>,
}

impl<K> Default for Makings<K> {
    fn default() -> Self {
        Self { begun: 0, running: HashMap::new() }
    }
}

/// The one that makes it tells here; dropped untold, its waiters are let go.
pub(super) type Teller = watch::Sender<Option<Outcome>>;

impl<K: Hash + Eq> Makings<K> {
    /// How many have begun.
    pub(super) const fn begun(&self) -> u64 {
        self.begun
    }

    /// The one of this key; with a teller if it is to begin now.
    pub(super) fn join(&mut self, key: K) -> (Making, Option<Teller>) {
        // One whose task ended without a word is none.
        if let Some(running) = self.running.get(&key)
            && running.outcome.has_changed().is_ok()
        {
            return (running.clone(), None);
        }
        self.begun += 1;
        let (teller, outcome) = watch::channel(None);
        let making = Making { number: self.begun, outcome };
        self.running.insert(key, making.clone());
        (making, Some(teller))
    }

    /// How many are under way.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.running.len()
    }

    pub(super) fn over(&mut self, key: &K) {
        self.running.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_is_made_at_a_time_and_one_that_died_lets_go() {
        let mut makings = Makings::default();
        let before = makings.begun();
        let (first, teller) = makings.join("a");
        let (second, none) = makings.join("a");
        assert!(teller.is_some() && none.is_none());
        assert!(first.is_after(before) && !second.is_after(makings.begun()));
        assert!(makings.join("b").1.is_some());
        drop(teller);
        assert!(second.outcome().await.is_none());
        assert!(makings.join("a").1.is_some(), "a new one begins");
        makings.over(&"a");
        assert!(makings.join("a").1.is_some());
    }
}
