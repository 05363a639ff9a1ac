//! The one thread that writes.
//!
//! Group commit without a timer: while one synced write runs, changes gather in the queue; the next batch
//! takes them all, up to a bound, and acknowledges them together. Alone, a change waits for nobody.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use prost::Message as _;
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    apply::Applier,
    error::{OpenError, WriteError},
    objects::Claim,
    open::Db,
    rows::{Change, Committed},
    txn::Txn,
    values::EnvelopeValue,
    vault::Vault,
};
use crate::clock;

/// Changes waiting for the writer. Too low ⇒ callers wait although a batch could take more, too high ⇒
/// each may hold 256 KiB of memory.
const QUEUE: usize = 1024;
/// Changes in one batch (design §7).
const BATCH: usize = 256;
/// Bytes in one batch, roughly (design §7).
const BATCH_BYTES: usize = 4 << 20;

type Job = (Prepared, oneshot::Sender<Result<Committed, WriteError>>);

/// A change with everything done to it that needs no order. Making one is work for whoever commits it, on a
/// thread of its own if there is much; what is left to the one writer is to decide and to write.
pub struct Prepared {
    pub(super) change: Change,
    /// One for each envelope of the change, in its order.
    pub(super) envelopes: VecDeque<PreparedEnvelope>,
}

/// Rows of an envelope as far as they are known before its turn.
pub(super) struct PreparedEnvelope {
    /// The envelope's own value; the row in the change has lost its bytes to it.
    pub(super) value: Vec<u8>,
    pub(super) claims: Vec<Claim>,
}

impl Prepared {
    pub(super) fn of(vault: &Vault, mut change: Change) -> Self {
        let rows = match &mut change {
            Change::Envelope(row) => std::slice::from_mut(row.as_mut()),
            Change::Flushed { envelopes, .. } => envelopes.as_mut_slice(),
            // The group of what opens later is known where its envelope lies.
            _ => &mut [],
        };
        let envelopes = rows
            .iter_mut()
            .map(|row| PreparedEnvelope {
                value: EnvelopeValue::take(row).encode_to_vec(),
                claims: row
                    .content
                    .as_ref()
                    .map_or_else(Vec::new, |content| Claim::all_of(vault, row.group, content)),
            })
            .collect();
        Self { change, envelopes }
    }
}

/// A change in the writer's queue.
pub struct Pending(oneshot::Receiver<Result<Committed, WriteError>>);

impl Pending {
    /// Resolves after the synced write that holds the change.
    ///
    /// # Errors
    /// [`WriteError`]; the change is then not there, or (after a failed sync) not known to be.
    pub async fn durable(self) -> Result<Committed, WriteError> {
        self.0.await.map_err(|_| WriteError::Closed)?
    }

    /// [`Self::durable`] for callers on blocking threads.
    ///
    /// # Errors
    /// As [`Self::durable`].
    pub fn durable_blocking(self) -> Result<Committed, WriteError> {
        self.0.blocking_recv().map_err(|_| WriteError::Closed)?
    }
}

#[derive(Clone)]
pub(super) struct Writer {
    thread: Arc<Thread>,
    writable: Arc<AtomicBool>,
    newest: watch::Receiver<u64>,
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
        let (told, newest) = watch::channel(applier.newest());
        let flag = Arc::clone(&writable);
        let handle = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || run(&db, jobs, applier, &flag, &told))?;
        Ok(Self { thread: Arc::new(Thread { queue: Some(queue), handle: Some(handle) }), writable, newest })
    }

    /// Takes a place in the queue; changes are applied in the order of their places.
    pub(super) async fn enqueue(&self, change: Prepared) -> Result<Pending, WriteError> {
        let (done, answer) = oneshot::channel();
        self.thread.queue()?.send((change, done)).await.map_err(|_| WriteError::Closed)?;
        Ok(Pending(answer))
    }

    pub(super) fn enqueue_blocking(&self, change: Prepared) -> Result<Pending, WriteError> {
        let (done, answer) = oneshot::channel();
        self.thread.queue()?.blocking_send((change, done)).map_err(|_| WriteError::Closed)?;
        Ok(Pending(answer))
    }

    pub(super) fn newest(&self) -> watch::Receiver<u64> {
        self.newest.clone()
    }

    pub(super) fn is_writable(&self) -> bool {
        self.writable.load(Ordering::Acquire)
    }
}

/// Ends when the last handle is dropped.
fn run(
    db: &Db,
    mut jobs: mpsc::Receiver<Job>,
    mut applier: Applier,
    writable: &AtomicBool,
    newest: &watch::Sender<u64>,
) {
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
                let head = applier.newest();
                newest.send_if_modified(|before| std::mem::replace(before, head) != head);
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
