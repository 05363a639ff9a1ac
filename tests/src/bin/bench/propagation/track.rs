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
    complete: Option<Instant>,
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
            Message { sent: Instant::now(), missing: (0..nodes).collect(), first: None, complete: None };
        self.lock().insert(name, message);
    }

    /// A node has it; what was not announced is none of ours.
    pub(super) fn arrived(&self, name: &[u8], node: usize) {
        let now = Instant::now();
        if let Some(message) = self.lock().get_mut(name)
            && message.missing.remove(&node)
        {
            message.first.get_or_insert(now);
            if message.missing.is_empty() {
                message.complete = Some(now);
            }
        }
    }

    /// Waits until everything is everywhere, at most `deadline`; then forgets it all. `None` stands for a message
    /// that some node still lacks.
    pub(super) async fn finish(&self, deadline: Duration) -> Vec<Option<Latency>> {
        let until = Instant::now() + deadline;
        while Instant::now() < until && self.lock().values().any(|message| message.complete.is_none()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let messages = std::mem::take(&mut *self.lock());
        messages
            .into_values()
            .map(|message| {
                let since = |at: Instant| at.duration_since(message.sent);
                Some(Latency { first: since(message.first?), last: since(message.complete?) })
            })
            .collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Vec<u8>, Message>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
