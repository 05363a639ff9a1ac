//! Work on envelopes: side by side on every core, out in the order it came in.
//!
//! ```text
//! batch ─cut─▶ chunk ─work─┐ on a blocking thread each
//!              chunk ─work─┼─▶ finish, one after the other, in order of arrival ─▶ what is left to do
//!              chunk ─work─┘
//! ```
//!
//! Each chunk stays on one thread from the first look at its bytes until the writer has it: every change of
//! threads costs more than opening a message.

use std::{
    sync::{Arc, LazyLock, mpsc},
    thread::available_parallelism,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
};

/// Envelopes for which another thread is worth waking: some milliseconds of verifying.
const WORTH: usize = 32;
/// Envelopes in a chunk: half of what a synced batch holds. Too low ⇒ more turns and smaller batches, too high ⇒
/// the writer gets little and then much.
const CHUNK: usize = 128;

/// Threads that can run at once; asking costs several system calls.
static THREADS: LazyLock<usize> = LazyLock::new(|| available_parallelism().map_or(1, std::num::NonZero::get));

/// Where chunks queue up. One task owns it, and gives it its chunks in their order.
pub(super) struct Line {
    /// Chunks at work or waiting for their turn: two a core, so that none waits for its neighbour to finish.
    places: Arc<Semaphore>,
    /// Closes when the chunk before has finished, however it did.
    before: Option<mpsc::Receiver<()>>,
}

impl Line {
    pub(super) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(2 * *THREADS)), before: None }
    }

    /// Does `work` on the items, in chunks, `finish` on what came of each chunk, in order over all calls, and then what
    /// `finish` leaves to do, while the next one finishes. Returns when all chunks are under way; if `work` panics, its
    /// chunk is lost and the others go on.
    pub(super) async fn run<T, R, L: FnOnce()>(
        &mut self,
        mut items: Vec<T>,
        work: impl Fn(Vec<T>) -> R + Clone + Send + 'static,
        finish: impl Fn(R) -> L + Clone + Send + 'static,
    ) where
        T: Send + 'static,
        R: 'static,
    {
        let share = items.len().div_ceil(*THREADS).clamp(WORTH, CHUNK);
        while !items.is_empty() {
            let rest = items.split_off(share.min(items.len()));
            let chunk = std::mem::replace(&mut items, rest);
            // The semaphore is never closed.
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { return };
            let (done, next) = mpsc::channel::<()>();
            let mut turn = Turn { before: self.before.replace(next), _done: done, _place: place };
            let (work, finish) = (work.clone(), finish.clone());
            spawn_blocking(move || {
                let result = work(chunk);
                turn.wait();
                let left = finish(result);
                drop(turn);
                left();
            });
        }
    }
}

/// A chunk's place in the line. However its work ends, whoever comes next waits until all before it have finished.
struct Turn {
    before: Option<mpsc::Receiver<()>>,
    _done: mpsc::Sender<()>,
    _place: OwnedSemaphorePermit,
}

impl Turn {
    /// Until the chunk before has finished.
    fn wait(&mut self) {
        if let Some(before) = self.before.take() {
            // Nothing is ever sent: it closes.
            let _ = before.recv();
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs batches of these sizes through a line; gives the numbers in the order they were finished in.
    async fn finished(batches: &[usize], work: fn(Vec<usize>) -> Vec<usize>) -> Vec<usize> {
        let (out, results) = mpsc::channel();
        let mut line = Line::new();
        let mut next = 0;
        for len in batches {
            let out = out.clone();
            let items = (next..next + len).collect();
            line.run(items, work, move |chunk| {
                out.send(chunk).unwrap();
                || {}
            })
            .await;
            next += len;
        }
        drop((line, out));
        tokio::task::spawn_blocking(move || results.iter().flatten().collect()).await.unwrap()
    }

    #[tokio::test]
    async fn whatever_finishes_first_comes_out_in_its_turn() {
        let slow_first = |chunk: Vec<usize>| {
            if chunk.first().is_some_and(|n| n.is_multiple_of(2)) {
                std::thread::yield_now();
            }
            chunk
        };
        let all = finished(&[1, 3, 10 * WORTH + 7, 0, 2, 500], slow_first).await;
        assert_eq!(all, (0..1 + 3 + 10 * WORTH + 7 + 2 + 500).collect::<Vec<_>>());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_comes_after_a_panic_still_waits_for_what_came_before_it() {
        let (release, held) = mpsc::channel::<()>();
        let held = Arc::new(std::sync::Mutex::new(held));
        let (out, results) = mpsc::channel();
        let (panicked, has_panicked) = mpsc::channel();
        let mut line = Line::new();
        for n in 0..3 {
            let (held, out, panicked) = (Arc::clone(&held), out.clone(), panicked.clone());
            let work = move |chunk: Vec<usize>| {
                match n {
                    0 => drop(held.lock().unwrap().recv()),
                    1 => {
                        panicked.send(()).unwrap();
                        panic!("as planned");
                    }
                    _ => {}
                }
                chunk
            };
            line.run(vec![n], work, move |chunk| {
                out.send(chunk).unwrap();
                || {}
            })
            .await;
        }
        drop(out);
        let finished = tokio::task::spawn_blocking(move || {
            has_panicked.recv().unwrap();
            drop(release);
            results.iter().flatten().collect::<Vec<_>>()
        });
        assert_eq!(finished.await.unwrap(), [0, 2]);
    }

    #[tokio::test]
    async fn a_panic_loses_its_chunk_only() {
        let all = finished(&[1, 1, 1], |chunk| {
            assert_ne!(chunk, [1], "as planned");
            chunk
        });
        assert_eq!(all.await, [0, 2]);
    }
}
