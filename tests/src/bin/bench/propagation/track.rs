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
    complete: Option<Instant>,
}

impl Track {
    /// A message leaves now; nodes `0..nodes` are to get it.
    pub(super) fn sent(&self, name: Vec<u8>, nodes: usize) {
        let message = Message { sent: Instant::now(), missing: (0..nodes).collect(), complete: None };
        self.lock().insert(name, message);
    }

    /// A node has it; what was not announced is none of ours.
    pub(super) fn arrived(&self, name: &[u8], node: usize) {
        let now = Instant::now();
        if let Some(message) = self.lock().get_mut(name)
            && message.missing.remove(&node)
            && message.missing.is_empty()
        {
            message.complete = Some(now);
        }
    }

    /// Waits until everything is everywhere, at most `deadline`; then forgets it all. `None` stands for a message
    /// that some node still lacks.
    pub(super) async fn finish(&self, deadline: Duration) -> Vec<Option<Duration>> {
        let until = Instant::now() + deadline;
        while Instant::now() < until && self.lock().values().any(|message| message.complete.is_none()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let messages = std::mem::take(&mut *self.lock());
        messages.into_values().map(|message| Some(message.complete?.duration_since(message.sent))).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Vec<u8>, Message>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
