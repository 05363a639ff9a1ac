//! Who has which message since when.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Messages under way, by any name both ends know.
#[derive(Debug, Default)]
pub(super) struct Track {
    messages: Mutex<HashMap<Vec<u8>, Message>>,
}

#[derive(Debug)]
struct Message {
    sent: Instant,
    missing: BTreeSet<usize>,
    first: Option<Instant>,
    last: Option<Instant>,
}

/// What became of one message, from when it was handed over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Latency {
    /// Until it was stored anywhere, which is at its author.
    pub(super) first: Duration,
    /// Until it was stored everywhere.
    pub(super) last: Duration,
}

impl Track {
    /// A message leaves now; nodes `0..nodes` are to get it.
    pub(super) fn sent(&self, name: Vec<u8>, nodes: usize) {
        let message =
            Message { sent: Instant::now(), missing: (0..nodes).collect(), first: None, last: None };
        self.lock().insert(name, message);
    }

    /// A node has it; what was not announced is none of ours.
    pub(super) fn arrived(&self, name: &[u8], node: usize) {
        self.arrived_at(name, node, Instant::now());
    }

    /// A node has it since `now`.
    pub(super) fn arrived_at(&self, name: &[u8], node: usize, now: Instant) {
        if let Some(message) = self.lock().get_mut(name)
            && message.missing.remove(&node)
        {
            message.first = Some(message.first.map_or(now, |first| first.min(now)));
            message.last = Some(message.last.map_or(now, |last| last.max(now)));
        }
    }

    /// Waits until everything is everywhere, at most `deadline`.
    pub(super) async fn wait(&self, deadline: Duration) {
        let until = Instant::now() + deadline;
        while Instant::now() < until && self.lock().values().any(|message| !message.missing.is_empty()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What became of everything, and forgets it. `None` stands for a message that some node still lacks.
    pub(super) fn take(&self) -> Vec<Option<Latency>> {
        let messages = std::mem::take(&mut *self.lock());
        messages
            .into_values()
            .map(|message| {
                let since = |at: Instant| at.duration_since(message.sent);
                let is_everywhere = message.missing.is_empty();
                is_everywhere.then_some(Latency { first: since(message.first?), last: since(message.last?) })
            })
            .collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Vec<u8>, Message>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
