//! The one thread that writes.
//!
//! Group commit without a timer: while one synced write runs, changes gather in the queue; the next batch
//! takes them all, up to a bound, and acknowledges them together. Alone, a change waits for nobody.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::{mpsc, oneshot};

use super::{
    apply::Applier,
    error::{OpenError, WriteError},
    open::Db,
    rows::{Change, Committed},
    txn::Txn,
};
use crate::clock;

/// Changes waiting for the writer. Too low ⇒ callers wait although a batch could take more, too high ⇒
/// each may hold 256 KiB of memory.
const QUEUE: usize = 1024;
/// Changes in one batch (design §7).
const BATCH: usize = 256;
/// Bytes in one batch, roughly (design §7).
const BATCH_BYTES: usize = 4 << 20;

type Job = (Change, oneshot::Sender<Result<Committed, WriteError>>);

#[derive(Clone)]
pub(super) struct Writer {
    thread: Arc<Thread>,
    writable: Arc<AtomicBool>,
}

/// The running thread; dropping it waits until the thread has let go of the database. A process that
/// exits while RocksDB closes elsewhere aborts in the middle of it.
struct Thread {
    queue: Option<mpsc::Sender<Job>>,
    handle: Option<std::thread::JoinHandle<()>>,
}

impl Thread {
    fn queue(&self) -> Result<&mpsc::Sender<Job>, WriteError> {
        self.queue.as_ref().ok_or(WriteError::Closed)
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // Without a sender left the thread ends, after what it is writing now.
        self.queue = None;
        if let Some(handle) = self.handle.take() {
            let _ = handle.join();
        }
    }
}

impl Writer {
    pub(super) fn start(db: Arc<Db>) -> Result<Self, OpenError> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let writable = Arc::new(AtomicBool::new(true));
        let applier = Applier::load(&db)?;
        let flag = Arc::clone(&writable);
        let handle = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || run(&db, jobs, applier, &flag))?;
        Ok(Self { thread: Arc::new(Thread { queue: Some(queue), handle: Some(handle) }), writable })
    }

    pub(super) async fn commit(&self, change: Change) -> Result<Committed, WriteError> {
        let (done, answer) = oneshot::channel();
        self.thread.queue()?.send((change, done)).await.map_err(|_| WriteError::Closed)?;
        answer.await.map_err(|_| WriteError::Closed)?
    }

    pub(super) fn commit_blocking(&self, change: Change) -> Result<Committed, WriteError> {
        let (done, answer) = oneshot::channel();
        self.thread.queue()?.blocking_send((change, done)).map_err(|_| WriteError::Closed)?;
        answer.blocking_recv().map_err(|_| WriteError::Closed)?
    }

    pub(super) fn is_writable(&self) -> bool {
        self.writable.load(Ordering::Acquire)
    }
}

/// Ends when the last handle is dropped.
fn run(db: &Db, mut jobs: mpsc::Receiver<Job>, mut applier: Applier, writable: &AtomicBool) {
    let mut stopped: Option<String> = None;
    while let Some(first) = jobs.blocking_recv() {
        if let Some(reason) = &stopped {
            let _ = first.1.send(Err(WriteError::Stopped(reason.clone())));
            continue;
        }
        let mut txn = Txn::new(db, clock::now());
        let mut answers = Vec::new();
        let mut next = Some(first);
        while let Some((change, done)) = next.take() {
            let applied = applier.apply(&mut txn, change);
            match &applied {
                Ok(_) => {
                    txn.keep();
                    applier.keep();
                }
                Err(_) => {
                    txn.undo();
                    applier.undo();
                }
            }
            answers.push((done, applied));
            if answers.len() < BATCH && txn.size() < BATCH_BYTES {
                next = jobs.try_recv().ok();
            }
        }
        match txn.write() {
            Ok(()) => {
                for (done, applied) in answers {
                    let _ = done.send(applied);
                }
            }
            Err(error) => {
                tracing::error!("the store stops: {error}");
                writable.store(false, Ordering::Release);
                stopped = Some(error.to_string());
                for (done, _) in answers {
                    let _ = done.send(Err(WriteError::Database(error.clone())));
                }
            }
        }
    }
}
