//! The one thread that appends: what arrives while it syncs goes into the next write together.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use tokio::sync::{mpsc, oneshot};

use super::{
    AuditError, Standing,
    record::{Event, Record},
    segment::Segment,
};
use crate::clock;

/// Entries waiting. Too low ⇒ calls wait although one sync could take more; too high ⇒ a stuck disk holds memory.
const QUEUE: usize = 512;
/// Entries of one write.
const BATCH: usize = 128;

/// Whoever waits for an entry: first until the kernel has it, then until the disk has.
struct Waiting {
    written: oneshot::Sender<Result<u64, AuditError>>,
    synced: oneshot::Sender<Result<(), AuditError>>,
}

/// An entry that the kernel has: it outlives this process, and not yet a power cut.
#[derive(Debug)]
pub struct Written {
    /// Its number.
    pub number: u64,
    synced: oneshot::Receiver<Result<(), AuditError>>,
}

impl Written {
    /// Resolves when it is on disk.
    ///
    /// # Errors
    /// It may not be there.
    pub async fn synced(self) -> Result<(), AuditError> {
        self.synced.await.map_err(|_| AuditError::Stopped)?
    }
}

/// The thread; dropping it waits until everything is written.
pub(super) struct Writer {
    queue: Option<mpsc::Sender<(Record, Option<Waiting>)>>,
    writable: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(segment: Segment, standing: Arc<Mutex<Standing>>) -> std::io::Result<Self> {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let writable = Arc::new(AtomicBool::new(true));
        let flag = Arc::clone(&writable);
        let thread = std::thread::Builder::new()
            .name("audit-writer".to_owned())
            .spawn(move || run(segment, waiting, &standing, &flag))?;
        Ok(Self { queue: Some(queue), writable, thread: Some(thread) })
    }

    pub(super) async fn write(&self, record: Record) -> Result<Written, AuditError> {
        let ((written, answer), (done, synced)) = (oneshot::channel(), oneshot::channel());
        let queue = self.queue.as_ref().ok_or(AuditError::Stopped)?;
        let waiting = Waiting { written, synced: done };
        queue.send((record, Some(waiting))).await.map_err(|_| AuditError::Stopped)?;
        let number = answer.await.map_err(|_| AuditError::Stopped)??;
        Ok(Written { number, synced })
    }

    pub(super) async fn note(&self, record: Record) {
        if let Some(queue) = &self.queue
            && queue.send((record, None)).await.is_err()
        {
            tracing::error!("the audit log takes no entries any more");
        }
    }

    pub(super) fn is_writable(&self) -> bool {
        self.writable.load(Ordering::Relaxed)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(
    mut segment: Segment,
    mut waiting: mpsc::Receiver<(Record, Option<Waiting>)>,
    standing: &Mutex<Standing>,
    writable: &AtomicBool,
) {
    let mut is_stopped = false;
    while let Some(first) = waiting.blocking_recv() {
        let (mut records, mut acknowledged) = (vec![first.0], vec![first.1]);
        while records.len() < BATCH
            && let Ok((record, waits)) = waiting.try_recv()
        {
            records.push(record);
            acknowledged.push(waits);
        }
        let written = if is_stopped { Err(AuditError::Stopped) } else { segment.append(&records) };
        if written.is_err() {
            // Before anybody is told.
            writable.store(false, Ordering::Relaxed);
        }
        let ahead = records.len() as u64;
        let before = segment.standing().sequence.saturating_sub(ahead);
        let mut unsynced = Vec::new();
        for (number, waits) in (before.saturating_add(1)..).zip(acknowledged) {
            let Some(Waiting { written: told, synced }) = waits else { continue };
            let _ = told.send(written.as_ref().map(|()| number).map_err(AuditError::to_caller));
            unsynced.push(synced);
        }
        let outcome = written.and_then(|()| match unsynced.is_empty() {
            true => Ok(()),
            false => segment.sync().map_err(|_| AuditError::Stopped),
        });
        if let Err(error) = &outcome {
            tracing::error!("{error}");
            // After a failed sync nobody knows what is on disk.
            is_stopped |= !matches!(error, AuditError::File { .. });
            writable.store(false, Ordering::Relaxed);
        } else {
            writable.store(true, Ordering::Relaxed);
            *standing.lock().unwrap_or_else(PoisonError::into_inner) = segment.standing();
        }
        for synced in unsynced {
            let _ = synced.send(outcome.as_ref().copied().map_err(AuditError::to_caller));
        }
    }
    let stopped = [Record::now(clock::now(), Event::Stopped)];
    let end = segment.append(&stopped).and_then(|()| segment.sync());
    let Standing { sequence, head } = segment.standing();
    match end {
        Ok(()) => tracing::info!(sequence, %head, "the audit log ends at entry {sequence}, head {head}"),
        Err(error) => tracing::error!("the audit log's last entry: {error}"),
    }
}
