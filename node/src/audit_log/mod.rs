//! Who did what through the API: a log that nobody can shorten, alter or reorder unseen.
//!
//! ```text
//! Record ─seal(key, place, head before)─▶ line ─▶ newest segment ─▶ the call goes on ─▶ synced ─▶ the call is answered
//!   head = H(head before, place, line)          old segments go, and the log says so
//! ```
//!
//! The store answers what is; this answers who made it so, when, and with which result. It names tokens, routes and
//! ids that are no intelligence, never values, contents or token texts, and is sealed at rest all the same: who asks for
//! what is telling. Each line is bound to its place and to everything before it, under a key that the disk alone does
//! not give; so a line that was altered, moved, or taken from the middle does not open. What was cut from the *end* only
//! shows against a head noted elsewhere: the daemon tells it at start and stop, and the API shows it.
//!
//! A call that changes something is written before it is let through and synced before it is answered; if the former fails,
//! the call does. So no crash of the process, and no acknowledged call, goes without its entry; a power cut in between may
//! leave a change that nobody was told of. Reads are counted and told once a minute, or a tool that polls would bury what matters.

mod line;
mod read;
mod record;
mod segment;
mod walk;
mod writer;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use belfry_proto::{crypto::secret::Secret, time::Timestamp};

pub use self::writer::Written;
pub use self::{
    line::Head,
    read::{Cut, Verified, verify},
    record::{Event, Record},
    walk::Entry,
};
use self::{segment::Segment, writer::Writer};

/// Folder of the log in the data folder.
pub const FOLDER: &str = "audit";
/// Bytes below which a log is of no use.
pub const LEAST: u64 = 1 << 20;

const DOMAIN: &str = "belfry/v1/audit";
/// Segments that the kept bytes are divided into: what goes at once, when something has to.
const SEGMENTS: u64 = 8;

/// Why the log cannot be opened, written or read.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The file system.
    #[error("audit log {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A line is not what was written there.
    #[error("audit log {}, line {line}: {rule}", path.display())]
    Broken {
        /// Which segment.
        path: PathBuf,
        /// Counted from 1, the heading included.
        line: u64,
        /// What is wrong.
        rule: &'static str,
    },
    /// Segments do not follow each other.
    #[error("audit log {}: {rule}", path.display())]
    Missing {
        /// The segment that something is missing before.
        path: PathBuf,
        /// What is wrong.
        rule: &'static str,
    },
    /// The head that somebody noted is not in it.
    #[error("the audit log does not pass through the head given: {0}")]
    OtherHead(&'static str),
    /// The entry is not there.
    #[error("the audit log could not be written")]
    Unwritten,
    /// An earlier write failed hard.
    #[error("the audit log stopped after a write error; mend the disk and restart")]
    Stopped,
}

impl AuditError {
    /// The same for whoever asked: the log's own place is for the daemon's log.
    const fn to_caller(&self) -> Self {
        match self {
            Self::Stopped => Self::Stopped,
            _ => Self::Unwritten,
        }
    }

    fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}

/// Where the log stands: as many entries, and their chain's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Standing {
    /// Number of the newest entry; 0 before the first.
    pub sequence: u64,
    /// The chain's end.
    pub head: Head,
}

/// The open log; clones share it. The last one to go waits until all is written.
#[derive(Clone)]
pub struct AuditLog {
    inner: Arc<Inner>,
}

struct Inner {
    writer: Writer,
    standing: Arc<Mutex<Standing>>,
    folder: PathBuf,
    key: Secret,
}

impl AuditLog {
    /// Opens or begins the log in `folder`, sealed under a key derived from the store's master key. Once more than
    /// `keep` bytes are there, the oldest segment goes.
    ///
    /// What follows the last whole line, after a power cut, is set aside in a file of its own, and the log tells how
    /// much that was.
    ///
    /// # Errors
    /// [`AuditError::File`].
    pub fn open(folder: &Path, master: &Secret, keep: u64, now: Timestamp) -> Result<Self, AuditError> {
        let key = key(master);
        let mut segment = Segment::open(folder, &key, keep.max(LEAST))?;
        segment.append(&[Record::now(now, Event::Started)])?;
        segment.sync()?;
        let standing = Arc::new(Mutex::new(segment.standing()));
        let writer = Writer::start(segment, Arc::clone(&standing)).map_err(AuditError::file(folder))?;
        Ok(Self { inner: Arc::new(Inner { writer, standing, folder: folder.to_owned(), key }) })
    }

    /// Writes an entry: the kernel has it then; on disk it is a moment later.
    ///
    /// # Errors
    /// It may not be there.
    pub fn write(&self, record: &Record) -> Result<Written, AuditError> {
        self.inner.writer.write(record)
    }

    /// Writes an entry that follows another: nobody waits for this one.
    pub fn note(&self, record: &Record) {
        self.inner.writer.note(record);
    }

    /// Whether entries still go through.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.inner.writer.is_writable()
    }

    /// Where it stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        *self.inner.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// At most `most` entries after number `after`, oldest first, read from disk and verified on the way. May block.
    ///
    /// # Errors
    /// [`AuditError`].
    pub fn entries(&self, after: u64, most: usize) -> Result<Vec<Entry>, AuditError> {
        read::entries(&self.inner.folder, &self.inner.key, after, most)
    }
}

/// The key of a log.
fn key(master: &Secret) -> Secret {
    master.derive(DOMAIN, &[])
}

#[cfg(test)]
mod tests;
