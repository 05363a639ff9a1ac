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

type Done = oneshot::Sender<Result<u64, AuditError>>;

/// The thread; dropping it waits until everything is written.
pub(super) struct Writer {
    queue: Option<mpsc::Sender<(Record, Option<Done>)>>,
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

    pub(super) async fn record(&self, record: Record) -> Result<u64, AuditError> {
        let (done, answer) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or(AuditError::Stopped)?;
        queue.send((record, Some(done))).await.map_err(|_| AuditError::Stopped)?;
        answer.await.map_err(|_| AuditError::Stopped)?
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
    mut waiting: mpsc::Receiver<(Record, Option<Done>)>,
    standing: &Mutex<Standing>,
    writable: &AtomicBool,
) {
    let mut is_stopped = false;
    while let Some(first) = waiting.blocking_recv() {
        let mut records = vec![first.0];
        let mut acknowledged = vec![first.1];
        while records.len() < BATCH
            && let Ok((record, done)) = waiting.try_recv()
        {
            records.push(record);
            acknowledged.push(done);
        }
        let written = match is_stopped {
            true => Err(AuditError::Stopped),
            false => append(&mut segment, &records, acknowledged.iter().any(Option::is_some)),
        };
        if let Err(error) = &written {
            tracing::error!("{error}");
            // After a failed sync nobody knows what is on disk.
            is_stopped |= !matches!(error, AuditError::File { .. });
            writable.store(false, Ordering::Relaxed);
        } else {
            writable.store(true, Ordering::Relaxed);
            *standing.lock().unwrap_or_else(PoisonError::into_inner) = segment.standing();
        }
        let last = segment.standing().sequence;
        let ahead = records.len() as u64;
        for (i, done) in (0_u64..).zip(acknowledged) {
            let Some(done) = done else { continue };
            let number = last.saturating_sub(ahead).saturating_add(i).saturating_add(1);
            let answer = match &written {
                Ok(()) => Ok(number),
                Err(AuditError::Stopped) => Err(AuditError::Stopped),
                Err(_) => Err(AuditError::Unwritten),
            };
            let _ = done.send(answer);
        }
    }
    let end = append(&mut segment, &[Record::now(clock::now(), Event::Stopped)], true);
    let Standing { sequence, head } = segment.standing();
    match end {
        Ok(()) => tracing::info!(sequence, %head, "the audit log ends at entry {sequence}, head {head}"),
        Err(error) => tracing::error!("the audit log's last entry: {error}"),
    }
}

fn append(segment: &mut Segment, records: &[Record], is_synced: bool) -> Result<(), AuditError> {
    segment.append(records)?;
    if is_synced {
        segment.sync().map_err(|_| AuditError::Stopped)?;
    }
    Ok(())
}
