//! Whoever has an entry appends it; one thread syncs, and what is appended while it does goes with the next sync.
//!
//! ```text
//! write: lock ─▶ sealed, in the kernel ─▶ unlock ─▶ number          a change of threads would take longer
//! thread: whoever waits for the disk ─▶ one sync for all of them ─▶ told
//! ```

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use tokio::sync::oneshot;

use super::{
    AuditError, Standing,
    record::{Event, Record},
    segment::Segment,
};
use crate::clock;

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
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

/// Where entries are appended.
struct Desk {
    open: Mutex<Open>,
    /// Somebody waits for the disk, or the log ends.
    asked: Condvar,
    standing: Arc<Mutex<Standing>>,
    writable: AtomicBool,
}

struct Open {
    segment: Segment,
    /// For entries since the last sync.
    unsynced: Vec<oneshot::Sender<Result<(), AuditError>>>,
    /// After a failed sync nobody knows what is on disk.
    is_stopped: bool,
    is_ending: bool,
}

impl Writer {
    pub(super) fn start(segment: Segment, standing: Arc<Mutex<Standing>>) -> std::io::Result<Self> {
        let open = Open { segment, unsynced: Vec::new(), is_stopped: false, is_ending: false };
        let (open, writable) = (Mutex::new(open), AtomicBool::new(true));
        let desk = Arc::new(Desk { open, asked: Condvar::new(), standing, writable });
        let syncing = Arc::clone(&desk);
        let thread =
            std::thread::Builder::new().name("audit-writer".to_owned()).spawn(move || syncing.sync_all())?;
        Ok(Self { desk, thread: Some(thread) })
    }

    pub(super) fn write(&self, record: &Record) -> Result<Written, AuditError> {
        let (done, synced) = oneshot::channel();
        let mut open = self.desk.open();
        let number = self.desk.append(&mut open, record)?;
        open.unsynced.push(done);
        drop(open);
        self.desk.asked.notify_one();
        Ok(Written { number, synced })
    }

    pub(super) fn note(&self, record: &Record) {
        let mut open = self.desk.open();
        // Nobody waits for this one: it stands once the kernel has it.
        match self.desk.append(&mut open, record) {
            Ok(_) => self.desk.stands(open.segment.standing()),
            Err(error) => tracing::error!("the audit log took no entry: {error}"),
        }
    }

    pub(super) fn is_writable(&self) -> bool {
        self.desk.writable.load(Ordering::Relaxed)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.desk.open().is_ending = true;
        self.desk.asked.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Desk {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stands(&self, at: Standing) {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        if at.sequence > standing.sequence {
            *standing = at;
        }
    }

    /// The entry's number.
    fn append(&self, open: &mut Open, record: &Record) -> Result<u64, AuditError> {
        let written = if open.is_stopped {
            Err(AuditError::Stopped)
        } else {
            open.segment.append(std::slice::from_ref(record))
        };
        // Before anybody is told.
        self.writable.store(written.is_ok(), Ordering::Relaxed);
        match written {
            Ok(()) => Ok(open.segment.standing().sequence),
            Err(error) => {
                tracing::error!("{error}");
                open.is_stopped |= !matches!(error, AuditError::File { .. });
                Err(error.to_caller())
            }
        }
    }

    /// Syncs for whoever waits, until the log ends.
    fn sync_all(&self) {
        loop {
            let mut open = self.open();
            while open.unsynced.is_empty() && !open.is_ending {
                open = self.asked.wait(open).unwrap_or_else(PoisonError::into_inner);
            }
            if open.unsynced.is_empty() {
                // Behind what may be lost nothing more is said.
                if !open.is_stopped {
                    end(&mut open.segment);
                }
                return;
            }
            let mut waiting = std::mem::take(&mut open.unsynced);
            let (file, standing) = (open.segment.handle(), open.segment.standing());
            drop(open);
            // Entries go on meanwhile, and into another file perhaps: what is left behind is synced then.
            let synced = file.sync();
            let mut open = self.open();
            let is_lost = synced.is_err() || open.is_stopped;
            if is_lost {
                // A later sync of the same file may well say that all is fine: nobody who has not been told yes may be.
                open.is_stopped = true;
                waiting.append(&mut open.unsynced);
                self.writable.store(false, Ordering::Relaxed);
            } else {
                // Behind the sync, where it holds nobody up.
                if let Err(error) = open.segment.rotate_if_long() {
                    tracing::error!("{error}");
                    open.is_stopped |= !matches!(error, AuditError::File { .. });
                    self.writable.store(false, Ordering::Relaxed);
                }
                self.stands(standing);
            }
            drop(open);
            if let Err(error) = synced {
                tracing::error!("{error}");
            }
            for waits in waiting {
                let _ = waits.send(if is_lost { Err(AuditError::Stopped) } else { Ok(()) });
            }
        }
    }
}

fn end(segment: &mut Segment) {
    let stopped = [Record::now(clock::now(), Event::Stopped)];
    let end = segment.append(&stopped).and_then(|()| segment.sync());
    let Standing { sequence, head } = segment.standing();
    match end {
        Ok(()) => tracing::info!(sequence, %head, "the audit log ends at entry {sequence}, head {head}"),
        Err(error) => tracing::error!("the audit log's last entry: {error}"),
    }
}
