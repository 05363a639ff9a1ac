//! What can go wrong with a disk.

use std::path::{Path, PathBuf};

/// Why a database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{path} is in use by another process; stop the belfry daemon that runs on it")]
    InUse {
        /// Folder.
        path: PathBuf,
    },
    /// Another node's.
    #[error("{path} belongs to another node or coalition; point [node] data_dir at this node's own folder")]
    OtherOwner {
        /// Folder.
        path: PathBuf,
    },
    /// Written by a newer belfry.
    #[error(
        "{path} is of version {found}, this belfry knows up to {known}; run the belfry that wrote it, or a newer one. To go \
         back, restore a backup that the older one made"
    )]
    NewerSchema {
        /// Folder.
        path: PathBuf,
        /// Found.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// Written by a belfry so old that no step begins at its version.
    #[error(
        "{path} is of version {found}, this belfry migrates from {oldest} to {known}: run once a release between the two, or \
         move the folder away and start again; messages and the admin log come back from the other members, drafts and \
         access tokens do not"
    )]
    OlderSchema {
        /// Folder.
        path: PathBuf,
        /// Found.
        found: u32,
        /// The oldest that is migrated.
        oldest: u32,
        /// Ours.
        known: u32,
    },
    /// The master key does not open it.
    #[error("{path} was sealed under another store key; restore keys/store.pem that belongs to it")]
    WrongMaster {
        /// Folder.
        path: PathBuf,
    },
    /// RocksDB.
    #[error("{path}: {source}")]
    Database {
        /// Folder.
        path: PathBuf,
        /// Its word.
        source: rocksdb::Error,
    },
    /// Not even its list of files reads, or a log of writes is not as that says.
    #[error(
        "{path} cannot be healed, its list of files or its logs of writes do not read ({source}): restore a backup, or move the folder away \
         and start again; messages and the admin log come back from the other members, drafts and access tokens do not"
    )]
    Hopeless {
        /// Folder.
        path: PathBuf,
        /// RocksDB's word.
        source: rocksdb::Error,
    },
    /// Healed folders are given their names by renaming.
    #[error("{path}: {source}")]
    Folder {
        /// Folder.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// A row that must be there cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The writer thread could not start.
    #[error("the writer thread could not start: {0}")]
    Thread(#[from] std::io::Error),
}

/// Why a read gave no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// RocksDB.
    #[error("database: {0}")]
    Database(#[from] rocksdb::Error),
    /// A row does not open or decode: damaged, or from elsewhere.
    #[error("damaged row in {column} at {key}: {detail}")]
    Damaged {
        /// Column family.
        column: &'static str,
        /// Key, hexadecimal.
        key: String,
        /// What is wrong.
        detail: &'static str,
    },
    /// A stretch of a column does not read.
    #[error("damaged rows in {column} behind {}: {says}", if .after.is_empty() { "its beginning" } else { .after.as_str() })]
    Unreadable {
        /// Column family.
        column: &'static str,
        /// The last key that reads, hexadecimal.
        after: String,
        /// RocksDB's word.
        says: String,
    },
}

/// Whether the disk gave back something else than was written, or, asked for it, nothing: a disk names a sector that it lost so,
/// and a file system with checksums of its own a flipped bit. RocksDB has no other word for that than for a write that fails.
fn does_not_read(error: &rocksdb::Error) -> bool {
    match error.kind() {
        rocksdb::ErrorKind::Corruption => true,
        rocksdb::ErrorKind::IOError => is_lost_sector(error.as_ref()),
        _ => false,
    }
}

/// `EIO` in the words of glibc and of musl.
const EIO: [&str; 2] = [": Input/output error", ": I/O error"];

fn is_lost_sector(says: &str) -> bool {
    lost_in(says).is_some()
}

/// The file in which a sector is lost, as RocksDB names it. Reads at a place are those of tables.
fn lost_in(says: &str) -> Option<&Path> {
    let (_, read) = says.split_once("While pread ")?;
    let (read, _) = EIO.iter().find_map(|eio| read.split_once(eio))?;
    read.split_once(": ").map(|(_, file)| Path::new(file))
}

/// The file of a store that the disk did not give back, by an error's text; `None` for any other damage.
#[must_use]
pub fn unread_file(store: &Path, says: &str) -> Option<PathBuf> {
    let lost = lost_in(says)?;
    // Not one of a store that is being made beside it.
    let is_of_it = lost.parent()?.file_name() == store.file_name();
    Some(store.join(lost.file_name()?)).filter(|_| is_of_it)
}

impl OpenError {
    /// Whether the disk gave back something else than was written, or nothing.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Database { source, .. } => does_not_read(source),
            Self::Read(error) => error.is_damage(),
            _ => false,
        }
    }
}

impl ReadError {
    /// Whether the disk gave back something else than was written, or nothing.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Database(error) => does_not_read(error),
            Self::Damaged { .. } | Self::Unreadable { .. } => true,
        }
    }
}

/// Why a change is not durable.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WriteError {
    /// An earlier write failed hard; nothing is acknowledged until a restart.
    #[error("the store stopped after a write error: {0}")]
    Stopped(String),
    /// This write failed.
    #[error("write: {0}")]
    Database(rocksdb::Error),
    /// What it builds on cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The log would go back.
    #[error("admin log at height {have} is never replaced by height {offered} without a charter's pin")]
    LogRollback {
        /// Durable.
        have: u64,
        /// Offered.
        offered: u64,
    },
    /// No such row to change.
    #[error("no such {0}")]
    Missing(&'static str),
    /// Deleted rows still lie in files.
    #[error("not all files could be rewritten without what was deleted: is there room on the disk?")]
    Unfinished,
    /// The daemon is stopping.
    #[error("the store is closed")]
    Closed,
}

/// Why what was remembered is not to be had, or is not remembered.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// The database.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The database, the other way.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Another version wrote it, or a disk.
    #[error("its row in the store does not read: {0}")]
    Row(#[from] serde_json::Error),
    /// The node stops.
    #[error("a read ended without an answer")]
    Died,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_that_was_not_given_back_is_told_and_none_of_other_damage_or_of_another_store() {
        let store = Path::new("/y/store");
        let eio = |file: &str| {
            format!("database: IO error: While pread offset 4096 len 512: {file}: Input/output error")
        };
        let told = unread_file(store, &eio("/x/store/000012.sst"));
        assert_eq!(
            told.as_deref(),
            Some(Path::new("/y/store/000012.sst")),
            "the folder may have another name now"
        );
        let flipped = "database: Corruption: block checksum mismatch: in /x/store/000012.sst offset 0 size 9";
        for says in [eio("/x/store.healing/000012.sst").as_str(), flipped] {
            assert_eq!(unread_file(store, says), None, "{says}");
        }
    }

    #[test]
    fn a_sector_that_is_lost_is_damage_and_a_write_that_fails_or_want_of_files_is_none() {
        for (says, is_damage) in [
            ("IO error: While pread offset 4096 len 512: /x/store/000012.sst: Input/output error", true),
            ("IO error: While pread offset 4096 len 512: /x/store/000012.sst: I/O error", true),
            ("IO error: While pread offset 4096 len 512: /x/store/000012.sst: Stale file handle", false),
            ("IO error: While appending to file: /x/store/000012.log: Input/output error", false),
            ("IO error: While fdatasync: /x/store/000012.log: Input/output error", false),
            ("IO error: While open a file for random read: /x/store/000012.sst: Too many open files", false),
        ] {
            assert_eq!(is_lost_sector(says), is_damage, "{says}");
        }
    }
}
