//! The one thread that writes.
//!
//! Group commit without a timer: while one synced write runs, changes gather in the queue; the next batch
//! takes them all, up to a bound, and acknowledges them together. Alone, a change waits for nobody. Whoever has
//! many at once queues them together: one wakes the writer as well as a hundred, and costs less.

use std::{collections::VecDeque, sync::Arc};

use prost::Message as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use super::{
    apply::Applier,
    columns::Cf,
    error::{OpenError, WriteError},
    frontiers::Frontiers,
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

/// What came of a change.
pub type Answer = Result<Committed, WriteError>;

/// What may not wait for another thread: a few instructions for each answer, nothing that waits.
pub type Told = Box<dyn FnOnce(&[Answer]) + Send>;

/// Changes of one caller, in their order.
struct Job {
    changes: std::vec::IntoIter<Prepared>,
    answers: Vec<Answer>,
    /// As many answers are of changes that a finished write holds.
    durable: usize,
    done: oneshot::Sender<Vec<Answer>>,
    /// To be called with the answers, on the writer's thread.
    told: Option<Told>,
    /// Its places in the queue.
    places: Option<OwnedSemaphorePermit>,
}

impl Job {
    /// Answers the rest with an error.
    fn refuse(mut self, error: &WriteError) {
        let lost = self.answers.len() - self.durable + self.changes.len();
        self.answers.truncate(self.durable);
        self.answers.extend(std::iter::repeat_n(error, lost).map(|error| Err(error.clone())));
        self.answer();
    }

    /// Tells what came of all of it.
    fn answer(self) {
        if let Some(told) = self.told {
            told(&self.answers);
        }
        let _ = self.done.send(self.answers);
    }
}

/// A change with everything done to it that needs no order. Making one is work for whoever commits it, on a
/// thread of its own if there is much; what is left to the one writer is to decide and to write.
pub struct Prepared {
    pub(super) change: Change,
    /// One for each envelope of the change, in its order.
    pub(super) envelopes: VecDeque<PreparedEnvelope>,
    /// Objects of an envelope that opens later.
    pub(super) claims: Vec<Claim>,
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
            Change::Flushed { envelopes, .. } | Change::Published { envelopes, .. } => {
                envelopes.as_mut_slice()
            }
            _ => &mut [],
        };
        let envelopes = rows
            .iter_mut()
            .map(|row| PreparedEnvelope {
                value: EnvelopeValue::take(row).encode_to_vec(),
                // Taken: freeing what was read would cost the writer as much as reading it cost the reader.
                claims: row
                    .content
                    .take()
                    .map_or_else(Vec::new, |content| Claim::all_of(vault, row.group, &content)),
            })
            .collect();
        let claims = match &change {
            Change::Opened { group, content, .. } => Claim::all_of(vault, *group, content),
            _ => Vec::new(),
        };
        Self { change, envelopes, claims }
    }
}

/// Changes in the writer's queue.
pub struct Pending(oneshot::Receiver<Vec<Answer>>);

impl Pending {
    /// Resolves after the synced writes that hold the changes: one answer each, in their order.
    ///
    /// # Errors
    /// [`WriteError`]; a change is then not there, or (after a failed sync) not known to be.
    pub async fn durable(self) -> Result<Vec<Result<Committed, WriteError>>, WriteError> {
        self.0.await.map_err(|_| WriteError::Closed)
    }

    /// [`Self::durable`] of one change.
    pub(super) async fn one(self) -> Answer {
        self.durable().await?.pop().unwrap_or(Err(WriteError::Closed))
    }

    /// [`Self::one`] for callers on blocking threads.
    pub(super) fn one_blocking(self) -> Answer {
        self.0.blocking_recv().map_err(|_| WriteError::Closed)?.pop().unwrap_or(Err(WriteError::Closed))
    }
}

#[derive(Clone)]
pub(super) struct Writer {
    thread: Arc<Thread>,
    writable: watch::Receiver<bool>,
    newest: watch::Receiver<u64>,
    reweighs: watch::Receiver<u64>,
}

/// The running thread; dropping it waits until the thread has let go of the database. A process that
/// exits while RocksDB closes elsewhere aborts in the middle of it.
struct Thread {
    queue: Option<mpsc::Sender<Job>>,
    places: Arc<Semaphore>,
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
    pub(super) fn start(db: Arc<Db>, frontiers: Arc<Frontiers>) -> Result<Self, OpenError> {
        // A job has one place or more, so the queue never holds more jobs than there are places.
        let (queue, jobs) = mpsc::channel(QUEUE);
        let places = Arc::new(Semaphore::new(QUEUE));
        let (flag, writable) = watch::channel(true);
        let mut applier = Applier::load(&db)?;
        frontiers.changed(applier.changed_logs());
        let (told, newest) = watch::channel(applier.newest());
        let (due, reweighs) = watch::channel(0);
        let handle = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || run(&db, jobs, applier, &flag, &told, &due, &frontiers))?;
        let thread = Arc::new(Thread { queue: Some(queue), places, handle: Some(handle) });
        Ok(Self { thread, writable, newest, reweighs })
    }

    /// Takes places in the queue; changes are applied in the order of their places.
    pub(super) async fn enqueue(
        &self,
        changes: Vec<Prepared>,
        told: Option<Told>,
    ) -> Result<Pending, WriteError> {
        // More than there are places take them all.
        let count = u32::try_from(changes.len().min(QUEUE)).unwrap_or(u32::MAX);
        let places = Arc::clone(&self.thread.places).acquire_many_owned(count);
        let places = Some(places.await.map_err(|_| WriteError::Closed)?);
        let (done, answer) = oneshot::channel();
        let answers = Vec::with_capacity(changes.len());
        let job = Job { changes: changes.into_iter(), answers, durable: 0, done, told, places };
        self.thread.queue()?.send(job).await.map_err(|_| WriteError::Closed)?;
        Ok(Pending(answer))
    }

    pub(super) fn newest(&self) -> watch::Receiver<u64> {
        self.newest.clone()
    }

    pub(super) fn reweighs(&self) -> watch::Receiver<u64> {
        self.reweighs.clone()
    }

    pub(super) fn is_writable(&self) -> bool {
        *self.writable.borrow()
    }

    /// Resolves after a hard write error: nothing is acknowledged any more in this process.
    pub(super) async fn stopped(&self) {
        // The thread's end without a word would be the end of writing, too.
        let _ = self.writable.clone().wait_for(|writable| !writable).await;
    }
}

/// Says that nothing is written any more, should the thread end in a panic: the node is then not ready, and nothing
/// is acknowledged.
struct Guard<'a>(&'a watch::Sender<bool>);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.send_replace(false);
            tracing::error!("the store stops: its writer has panicked; restart the node, and report this");
        }
    }
}

/// Ends when the last handle is dropped.
fn run(
    db: &Db,
    mut jobs: mpsc::Receiver<Job>,
    mut applier: Applier,
    writable: &watch::Sender<bool>,
    newest: &watch::Sender<u64>,
    reweighs: &watch::Sender<u64>,
    frontiers: &Frontiers,
) {
    let _guard = Guard(writable);
    let mut stopped: Option<WriteError> = None;
    let mut next = None;
    while let Some(first) = next.take().or_else(|| jobs.blocking_recv()) {
        if let Some(reason) = &stopped {
            first.refuse(reason);
            continue;
        }
        let mut txn = Txn::new(db, clock::now());
        let (mut changes, mut whole, mut current) = (0, Vec::new(), Some(first));
        while let Some(mut job) = current.take() {
            job.places = None;
            while changes < BATCH
                && txn.size() < BATCH_BYTES
                && let Some(change) = job.changes.next()
            {
                changes += 1;
                job.answers.push(apply(&mut applier, &mut txn, change));
            }
            if job.changes.len() > 0 {
                next = Some(job);
                break;
            }
            whole.push(job);
            if changes < BATCH && txn.size() < BATCH_BYTES {
                current = jobs.try_recv().ok();
            }
        }
        let reweighs_more = txn.touches(Cf::Reweigh);
        match txn.write() {
            Ok(()) => {
                frontiers.changed(applier.changed_logs());
                if reweighs_more {
                    reweighs.send_modify(|count| *count += 1);
                }
                let head = applier.newest();
                newest.send_if_modified(|before| std::mem::replace(before, head) != head);
                whole.into_iter().for_each(Job::answer);
                if let Some(job) = &mut next {
                    job.durable = job.answers.len();
                }
            }
            Err(error) => {
                tracing::error!("the store stops: {error}");
                // Before whoever waits hears of the stop: it is why.
                db.vault.damage.met(error.clone().into());
                writable.send_replace(false);
                let failed = WriteError::Database(error.clone());
                for job in whole.into_iter().chain(next.take()) {
                    job.refuse(&failed);
                }
                stopped = Some(WriteError::Stopped(error.to_string()));
            }
        }
    }
}

/// Applies a change to the batch, all of it or nothing.
fn apply(applier: &mut Applier, txn: &mut Txn<'_>, change: Prepared) -> Answer {
    let applied = applier.apply(txn, change);
    if applied.is_ok() {
        txn.keep();
        applier.keep();
    } else {
        txn.undo();
        applier.undo();
    }
    applied
}
