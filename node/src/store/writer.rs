//! One writes at a time: a thread of its own, or whoever hands in a little while nobody writes.
//!
//! Group commit without a timer: while one synced write runs, changes gather in the queue; the next batch
//! takes them all, up to a bound, and acknowledges them together. Alone, a change waits for nobody. Whoever has
//! many at once queues them together: one wakes the writer as well as a hundred, and costs less.
//!
//! ```text
//! queue ─draw─▶ rows of a batch ─commit─▶ synced, told
//! ```
//!
//! While much is queued, the next batch is drawn beside the write of the one before, which it reads as if it stood in the
//! database: half of the time of a write is waiting for the disk.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, mpsc},
    thread::JoinHandle,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::{
    apply::Applier,
    change::Committed,
    columns::Cf,
    db::Db,
    error::{OpenError, WriteError},
    frontiers::Frontiers,
    prepared::Prepared,
    revision,
    rows::LogRow,
    txn::{Rows, Txn},
};
use crate::clock;

/// Changes waiting for the writer. Too low ⇒ callers wait although a batch could take more, too high ⇒
/// each may hold 256 KiB of memory.
const QUEUE: usize = 1024;
/// Changes in one batch (design §7).
const BATCH: usize = 256;
/// Bytes in one batch, roughly (design §7).
const BATCH_BYTES: usize = 4 << 20;
/// Changes queued for which another thread is woken, to write one batch while the next is drawn. Too low ⇒ wakes cost more
/// than they save, and batches get small; too high ⇒ the disk is waited for.
const PLENTY: usize = BATCH / 4;

/// What came of a change.
pub type Answer = Result<Committed, WriteError>;

/// What may not wait for another thread: a few instructions for each answer, nothing that waits. It runs on the thread that
/// writes. Changes that are told of are written whole, where a batch has room for so many: of a page no crash leaves an
/// entry without the one that vouches for it.
pub type Told = Box<dyn FnOnce(&[Answer]) + Send>;

/// Changes of one caller, in their order.
struct Job {
    changes: std::vec::IntoIter<Prepared>,
    answers: Vec<Answer>,
    /// As many answers are of changes that a finished write holds.
    durable: usize,
    done: oneshot::Sender<Vec<Answer>>,
    /// To be called with the answers by whoever writes.
    told: Option<Told>,
    /// Its places in the queue.
    places: Option<OwnedSemaphorePermit>,
}

impl Job {
    /// Whether one batch has to hold all of it.
    fn is_whole(&self) -> bool {
        self.told.is_some() && self.changes.len() <= BATCH
    }

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

    /// Until what became of them is known.
    pub(super) fn wait_blocking(self) {
        let _ = self.0.blocking_recv();
    }

    /// [`Self::one`] for callers on blocking threads.
    pub(super) fn one_blocking(self) -> Answer {
        self.0.blocking_recv().map_err(|_| WriteError::Closed)?.pop().unwrap_or(Err(WriteError::Closed))
    }
}

/// Jobs that wait, in their order.
struct Queue {
    jobs: VecDeque<Job>,
    /// Nothing comes any more.
    is_closed: bool,
}

/// Changes that are applied and not yet written, with whoever waits for them.
struct Drawn {
    rows: Arc<Rows>,
    /// All of whose changes are among them.
    jobs: Vec<Job>,
    /// Some of whose changes are.
    left: Option<Job>,
    logs: Vec<LogRow>,
    /// The feed's newest sequence then.
    newest: u64,
}

/// Where jobs are handed in, and written by one at a time.
struct Office {
    db: Arc<Db>,
    frontiers: Arc<Frontiers>,
    places: Arc<Semaphore>,
    queue: Mutex<Queue>,
    /// There is something in the queue, or it has closed.
    filled: Condvar,
    /// What whoever draws has to itself.
    pen: Mutex<Applier>,
    /// Why nothing is written any more.
    stopped: OnceLock<WriteError>,
    writable: watch::Sender<bool>,
    newest: watch::Sender<u64>,
    reweighs: watch::Sender<u64>,
}

/// Changes handed in. The writer is woken when this goes, unless they were written at once.
#[must_use = "dropped, it wakes the writer"]
pub struct HandedIn(Arc<Office>);

impl HandedIn {
    /// Writes them on this thread, with what was queued before them and what comes meanwhile, if nobody writes now: waking
    /// another one costs as much as a small write. Waits for the disk.
    pub fn write(&self) {
        // Without the pen it is left to whoever has it, or to the writer, who is woken when this goes.
        if let Ok(mut pen) = self.0.pen.try_lock() {
            self.0.write_batch(&mut pen);
        }
    }
}

impl Drop for HandedIn {
    fn drop(&mut self) {
        if !self.0.queue().jobs.is_empty() {
            self.0.filled.notify_one();
        }
    }
}

/// The thread that writes one batch while the writer draws the next.
struct Helper {
    batches: Option<mpsc::SyncSender<Drawn>>,
    written: mpsc::Receiver<()>,
    handle: Option<JoinHandle<()>>,
}

impl Helper {
    fn start(office: &Arc<Office>) -> std::io::Result<Self> {
        let (batches, next) = mpsc::sync_channel(1);
        let (done, written) = mpsc::sync_channel(1);
        let office = Arc::clone(office);
        let handle = std::thread::Builder::new().name("store-helper".to_owned()).spawn(move || {
            for drawn in next {
                office.commit(drawn);
                let _ = done.send(());
            }
        })?;
        Ok(Self { batches: Some(batches), written, handle: Some(handle) })
    }

    /// Writes a batch there while `meanwhile` runs here; returns when both are done. False if the thread panicked: it says
    /// itself that the store stops.
    fn write_beside<T>(&self, drawn: Drawn, meanwhile: impl FnOnce() -> T) -> (bool, T) {
        let is_taken = self.batches.as_ref().is_some_and(|batches| batches.send(drawn).is_ok());
        let made = meanwhile();
        (is_taken && self.written.recv().is_ok(), made)
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.batches = None;
        if let Some(handle) = self.handle.take() {
            let _ = handle.join();
        }
    }
}

#[derive(Clone)]
pub(super) struct Writer {
    office: Arc<Office>,
    /// Held until the last handle goes.
    _thread: Arc<Thread>,
}

/// The running thread; dropping it waits until the thread has let go of the database. A process that
/// exits while RocksDB closes elsewhere aborts in the middle of it.
struct Thread {
    office: Arc<Office>,
    handle: Option<JoinHandle<()>>,
}

impl Drop for Thread {
    fn drop(&mut self) {
        // It ends after what is queued now.
        self.office.queue().is_closed = true;
        self.office.filled.notify_one();
        if let Some(handle) = self.handle.take() {
            let _ = handle.join();
        }
        // Whoever wrote meanwhile may have left some of it.
        while !self.office.queue().jobs.is_empty()
            && let Ok(mut pen) = self.office.pen.lock()
        {
            self.office.write_batch(&mut pen);
        }
    }
}

impl Writer {
    pub(super) fn start(db: Arc<Db>, frontiers: Arc<Frontiers>) -> Result<Self, OpenError> {
        let mut applier = Applier::load(&db)?;
        frontiers.changed(applier.changed_logs());
        let office = Arc::new(Office {
            db,
            frontiers,
            places: Arc::new(Semaphore::new(QUEUE)),
            queue: Mutex::new(Queue { jobs: VecDeque::new(), is_closed: false }),
            filled: Condvar::new(),
            writable: watch::Sender::new(true),
            newest: watch::Sender::new(applier.newest()),
            reweighs: watch::Sender::new(0),
            pen: Mutex::new(applier),
            stopped: OnceLock::new(),
        });
        let (writer, helper) = (Arc::clone(&office), Helper::start(&office)?);
        let handle = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || while writer.write_next(&helper) {})?;
        let thread = Arc::new(Thread { office: Arc::clone(&office), handle: Some(handle) });
        Ok(Self { office, _thread: thread })
    }

    /// Takes places in the queue; changes are applied in the order of their places.
    pub(super) async fn hand_in(
        &self,
        changes: Vec<Prepared>,
        told: Option<Told>,
    ) -> Result<(HandedIn, Pending), WriteError> {
        // More than there are places take them all. A job has one place or more, so there are never more jobs than places.
        let count = u32::try_from(changes.len().min(QUEUE)).unwrap_or(u32::MAX);
        let places = Arc::clone(&self.office.places).acquire_many_owned(count);
        let places = Some(places.await.map_err(|_| WriteError::Closed)?);
        let (done, answer) = oneshot::channel();
        let answers = Vec::with_capacity(changes.len());
        let job = Job { changes: changes.into_iter(), answers, durable: 0, done, told, places };
        let mut queue = self.office.queue();
        if queue.is_closed {
            return Err(WriteError::Closed);
        }
        queue.jobs.push_back(job);
        drop(queue);
        Ok((HandedIn(Arc::clone(&self.office)), Pending(answer)))
    }

    pub(super) fn newest(&self) -> watch::Receiver<u64> {
        self.office.newest.subscribe()
    }

    pub(super) fn reweighs(&self) -> watch::Receiver<u64> {
        self.office.reweighs.subscribe()
    }

    pub(super) fn is_writable(&self) -> bool {
        *self.office.writable.borrow()
    }

    /// Resolves after a hard write error: nothing is acknowledged any more in this process.
    pub(super) async fn stopped(&self) {
        // The sender is in what this borrows: it does not close.
        let _ = self.office.writable.subscribe().wait_for(|writable| !writable).await;
    }
}

/// Says that nothing is written any more, should a write end in a panic: the node is then not ready, and nothing
/// is acknowledged.
struct Guard<'a>(&'a Office);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.writable.send_replace(false);
            // Whoever waits hears of it by the end of what would have answered.
            let mut queue = self.0.queue();
            queue.is_closed = true;
            queue.jobs.clear();
            tracing::error!("the store stops: its writer has panicked; restart the node, and report this");
        }
    }
}

impl Office {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for something to write, and writes it. False once there is nothing and nothing comes.
    fn write_next(&self, helper: &Helper) -> bool {
        let mut queue = self.queue();
        while queue.jobs.is_empty() {
            if queue.is_closed {
                return false;
            }
            queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        drop(queue);
        // Poisoned: another one's panic has closed the queue.
        let Ok(mut pen) = self.pen.lock() else { return false };
        let mut drawn = self.draw(&mut pen, None);
        // A job of which a part is written first answers for that part when the next one fails.
        while drawn.left.is_none() && self.has_plenty() {
            let before = Arc::clone(&drawn.rows);
            let (is_written, next) = helper.write_beside(drawn, || self.draw(&mut pen, Some(before)));
            if !is_written {
                let _ = self.stopped.set(WriteError::Closed);
            }
            drawn = next;
        }
        self.commit(drawn);
        true
    }

    /// The next job, or else nothing.
    fn next(&self) -> Option<Job> {
        self.queue().jobs.pop_front()
    }

    /// Whether so much waits that the next batch should be drawn while this one is written.
    fn has_plenty(&self) -> bool {
        let queue = self.queue();
        let mut waiting = queue.jobs.iter().scan(0, |sum, job| {
            *sum += job.changes.len();
            Some(*sum)
        });
        waiting.any(|sum| sum >= PLENTY)
    }

    /// One synced write of what is queued, as far as a batch goes.
    fn write_batch(&self, applier: &mut Applier) {
        let drawn = self.draw(applier, None);
        self.commit(drawn);
    }

    /// Applies what is queued, as far as a batch goes, behind what is being written.
    fn draw(&self, applier: &mut Applier, before: Option<Arc<Rows>>) -> Drawn {
        let _guard = Guard(self);
        let mut txn = Txn::behind(&self.db, before, clock::now());
        let (mut changes, mut jobs, mut left) = (0, Vec::new(), None);
        while changes < BATCH
            && txn.size() < BATCH_BYTES
            && let Some(mut job) = self.next()
        {
            let is_whole = job.is_whole();
            if is_whole && changes + job.changes.len() > BATCH {
                self.queue().jobs.push_front(job);
                break;
            }
            job.places = None;
            while (is_whole || changes < BATCH && txn.size() < BATCH_BYTES)
                && let Some(change) = job.changes.next()
            {
                changes += 1;
                job.answers.push(apply(applier, &mut txn, change));
            }
            if job.changes.len() > 0 {
                left = Some(job);
                break;
            }
            jobs.push(job);
        }
        applier.put_logs(&mut txn);
        let (logs, newest) = (applier.changed_logs(), applier.newest());
        Drawn { rows: Arc::new(txn.done()), jobs, left, logs, newest }
    }

    /// Writes a batch, waits for the disk, and tells whoever waits. After a failed write nothing is written any more.
    fn commit(&self, drawn: Drawn) {
        let _guard = Guard(self);
        let Drawn { rows, jobs, left, logs, newest } = drawn;
        let written = match self.stopped.get() {
            Some(reason) => Err(reason.clone()),
            None => rows.write(&self.db).map_err(|error| self.stop(&error)),
        };
        if let Err(reason) = written {
            // Data keys of these rows stay in memory: nothing is sealed with them on disk any more, and the batch that is drawn
            // meanwhile may read what they sealed.
            jobs.into_iter().chain(left).for_each(|job| job.refuse(&reason));
            return;
        }
        self.db.revisions.count(revision::written(&rows));
        self.frontiers.changed(logs);
        if rows.touches(Cf::Reweigh) {
            self.reweighs.send_modify(|count| *count += 1);
        }
        self.newest.send_if_modified(|before| std::mem::replace(before, newest) != newest);
        jobs.into_iter().for_each(Job::answer);
        if let Some(mut job) = left {
            job.durable = job.answers.len();
            self.queue().jobs.push_front(job);
        }
    }

    /// Nothing is written any more; what whoever waits for this write hears.
    fn stop(&self, error: &rocksdb::Error) -> WriteError {
        tracing::error!("the store stops: {error}");
        // Before whoever waits hears of the stop: it is why.
        self.db.vault.damage.met(error.clone().into());
        self.writable.send_replace(false);
        let _ = self.stopped.set(WriteError::Stopped(error.to_string()));
        WriteError::Database(error.clone())
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

#[cfg(test)]
mod tests {
    use belfry_proto::{
        crypto::{secret::Secret, sign::SigningKey},
        id::{CoalitionId, MemberId, MessageId},
        time::Timestamp,
    };
    use futures::executor::block_on;
    use tempfile::TempDir;

    use super::*;
    use crate::store::{Change, Owner, ParkRow, Parker, Store, TokenRow, cursors::HOOK_KEY, tests::open};

    #[test]
    fn what_is_told_of_together_is_written_together() {
        let folder = tempfile::TempDir::new().unwrap();
        let node = SigningKey::from_seed(&[1; 32]).public();
        let owner = Owner { coalition: CoalitionId::new([1; 32]), node };
        let store = Store::open(&folder.path().join("store"), owner, &Secret::new([9; 32])).unwrap();
        let pages = [200, 200, BATCH, 100];
        let name = |page: usize, entry: usize| format!("{page}-{entry}");
        let (seen, mut pending) = (Arc::new(Mutex::new(Vec::new())), Vec::new());
        // Nobody writes until all of it waits.
        let pen = store.writer.office.pen.lock().unwrap();
        for (page, count) in pages.into_iter().enumerate() {
            let hook = |entry| Change::Hook { name: name(page, entry), state: vec![1] };
            let changes = (0..count).map(|entry| store.prepare(hook(entry))).collect();
            let (db, seen) = (Arc::clone(&store.db), Arc::clone(&seen));
            let told = move |_: &[Answer]| {
                let is_there = |page: usize, entry: usize| {
                    let key = [HOOK_KEY, name(page, entry).as_bytes()].concat();
                    db.get(Cf::Meta, &key).unwrap().is_some()
                };
                let ends =
                    pages.into_iter().enumerate().map(|(n, count)| [is_there(n, 0), is_there(n, count - 1)]);
                seen.lock().unwrap().push(ends.collect::<Vec<_>>());
            };
            pending.push(block_on(store.enqueue_telling(changes, Box::new(told))).unwrap());
        }
        drop(pen);
        for (pending, count) in pending.into_iter().zip(pages) {
            assert_eq!(block_on(pending.durable()).unwrap().len(), count);
        }
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), pages.len());
        assert!(seen.iter().flatten().all(|[first, last]| first == last), "{seen:?}");
        assert_eq!(seen[0], [[true; 2], [false; 2], [false; 2], [false; 2]]);
    }

    #[test]
    fn a_batch_drawn_while_another_is_written_reads_it_as_if_it_were_there() {
        let folder = tempfile::TempDir::new().unwrap();
        let node = SigningKey::from_seed(&[1; 32]).public();
        let owner = Owner { coalition: CoalitionId::new([1; 32]), node };
        let store = Store::open(&folder.path().join("store"), owner, &Secret::new([9; 32])).unwrap();
        let id = |n: usize| [u8::try_from(n / 256).unwrap(), u8::try_from(n % 256).unwrap()].repeat(4);
        let made = |n| {
            let id = id(n).try_into().unwrap();
            Change::Token(TokenRow { id, body: vec![1; 8] })
        };
        let gone = |n| Change::TokenRevoked(id(n).try_into().unwrap());
        let all = || 0..2 * BATCH;
        // Nobody writes until all of it waits.
        let pen = store.writer.office.pen.lock().unwrap();
        let one = |change| block_on(store.enqueue(vec![store.prepare(change)])).unwrap();
        let pending: Vec<_> = all().map(made).chain(all().map(gone)).map(one).collect();
        assert!(store.writer.office.has_plenty());
        drop(pen);
        for pending in pending {
            assert!(matches!(block_on(pending.one()), Ok(Committed::Done)));
        }
        assert_eq!(store.tokens().unwrap(), []);
        assert!(matches!(store.commit_blocking(gone(0)), Err(WriteError::Missing("token"))));
    }

    #[tokio::test]
    async fn what_is_queued_together_is_answered_each_in_its_place_however_many_writes_it_takes() {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        // More than two batches hold, and every third one a duplicate.
        let rows: Vec<_> = (0..600_u64).map(|n| n - u64::from(n % 3 == 2)).collect();
        let changes = rows.iter().map(|n| {
            let mut bytes = [7; 32];
            bytes[..8].copy_from_slice(&n.to_be_bytes());
            let parker = Parker::Author(MemberId::new([u8::try_from(n % 200).unwrap(); 16]));
            let (id, received) = (MessageId::new(bytes), Timestamp::from_micros(*n));
            store.prepare(Change::Park(ParkRow { id, parker, received, bytes: vec![1; 20_000] }))
        });
        let answers = store.enqueue(changes.collect()).await.unwrap().durable().await.unwrap();
        let expected = (0..600).map(|n| if n % 3 == 2 { Committed::Duplicate } else { Committed::Done });
        assert_eq!(answers.into_iter().map(Result::unwrap).collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        assert_eq!(store.parked(None, 1_000).unwrap().len(), 400);
    }
}
