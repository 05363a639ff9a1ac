//! Named tasks that stop together.
//!
//! Every long-lived loop of the daemon runs under a name. A task that ends by itself, by error or by
//! panic, is a fault: the first one to do so stops all others, and [`Tasks::join`] says which it was.

use std::{future::Future, time::Duration};

use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// How long tasks get to end after the stop signal; beyond it they are aborted.
///
/// Long enough for a synced write and a goodbye to peers, short enough for systemd's default 90 s.
const GRACE: Duration = Duration::from_secs(20);

/// The set of running tasks and their common stop signal.
#[derive(Debug)]
pub struct Tasks {
    set: JoinSet<&'static str>,
    stop: CancellationToken,
    faults: (mpsc::Sender<String>, mpsc::Receiver<String>),
}

/// A task ended that should have run for ever.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} ended unexpectedly")]
pub struct Fault(String);

impl Fault {
    /// A part of that name ended.
    #[must_use]
    pub fn new(part: &str) -> Self {
        Self(part.to_owned())
    }
}

impl Default for Tasks {
    fn default() -> Self {
        // One fault is enough to stop; later ones are consequences and may be dropped.
        Self { set: JoinSet::new(), stop: CancellationToken::new(), faults: mpsc::channel(1) }
    }
}

impl Tasks {
    /// The signal that ends every task.
    #[must_use]
    pub fn stop_signal(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Runs `task` until it ends or the stop signal falls. Its ending before the signal is a fault.
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let (stop, faults) = (self.stop.clone(), self.faults.0.clone());
        self.set.spawn(async move {
            let guard = FaultGuard { name, stop: stop.clone(), faults };
            tokio::select! {
                () = stop.cancelled() => {}
                () = task => {}
            }
            drop(guard);
            name
        });
    }

    /// Runs `task`, which `end` asks to end in its own time: it is not dropped when the others are, so that it can
    /// finish what it began. Its ending before `end` is a fault.
    pub fn spawn_until(
        &mut self,
        name: &'static str,
        end: CancellationToken,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let faults = self.faults.0.clone();
        self.set.spawn(async move {
            let guard = FaultGuard { name, stop: end, faults };
            task.await;
            drop(guard);
            name
        });
    }

    /// Resolves when a task ends unexpectedly.
    pub async fn fault(&mut self) -> Fault {
        Fault(self.faults.1.recv().await.unwrap_or_default())
    }

    /// Sends the stop signal and waits for every task, at most [`GRACE`].
    pub async fn join(mut self) {
        self.stop.cancel();
        let all = async { while self.set.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, all).await.is_err() {
            tracing::warn!("tasks still running after {} s are aborted", GRACE.as_secs());
            self.set.shutdown().await;
        }
    }
}

impl Drop for Tasks {
    /// A daemon that could not start drops what it had: no fault of those.
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Reports on drop, so that a panic is told like any other ending.
struct FaultGuard {
    name: &'static str,
    stop: CancellationToken,
    faults: mpsc::Sender<String>,
}

impl Drop for FaultGuard {
    fn drop(&mut self) {
        if !self.stop.is_cancelled() {
            tracing::error!(task = self.name, "task {} ended unexpectedly", self.name);
            let _ = self.faults.try_send(self.name.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panicking_task_is_named_and_the_others_stop() {
        let mut tasks = Tasks::default();
        tasks.spawn("steady", std::future::pending());
        tasks.spawn("fragile", async { panic!("as planned") });
        assert_eq!(tasks.fault().await, Fault("fragile".to_owned()));
        tasks.join().await;
    }

    #[tokio::test]
    async fn a_task_that_was_asked_to_end_finishes_and_is_no_fault() {
        let mut tasks = Tasks::default();
        let (end, mut finished) = (CancellationToken::new(), mpsc::channel(1));
        let (asked, done) = (end.clone(), finished.0.clone());
        tasks.spawn_until("draining", end.clone(), async move {
            asked.cancelled().await;
            tokio::task::yield_now().await;
            done.send(()).await.unwrap();
        });
        end.cancel();
        let faults = tasks.faults.0.clone();
        tasks.join().await;
        assert_eq!(finished.1.try_recv(), Ok(()), "it was not dropped half-way");
        assert_eq!(faults.capacity(), 1, "nothing was reported");
    }
}
