//! The open database: rows by column and key, sealed values opened on the way out.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, atomic::AtomicBool},
};

use belfry_proto::crypto::secret::Secret;
use rocksdb::{
    ColumnFamily, DB, DBPinnableSlice, DBRawIterator, Direction, ReadOptions, properties::BACKGROUND_ERRORS,
};

use super::{
    columns::Cf,
    error::{ReadError, WriteError},
    leaving::Leaving,
    presence::Presence,
    revision::Revisions,
    unsure::Clock,
    vault::Vault,
};

/// Key and value.
pub(super) type Row = (Box<[u8]>, Box<[u8]>);

/// The open database with what opens its rows, and how often it was written.
pub(super) struct Db {
    pub(super) rocks: DB,
    pub(super) vault: Vault,
    pub(super) path: PathBuf,
    pub(super) revisions: Revisions,
    /// What is not there without a look; of a database that no [`Store`](super::Store) has open it knows nothing.
    pub(super) presence: Presence,
    /// Messages whose rows nobody is shown although they are there.
    pub(super) leaving: Leaving,
    /// Whether any withdrawal names anything: nearly all messages are asked for it, and most stores have none.
    pub(super) has_withdrawals: AtomicBool,
    /// By which is noted when something came.
    pub(super) clock: Mutex<Clock>,
}

impl Db {
    pub(super) fn of(rocks: DB, path: &Path, master: &Secret) -> Self {
        Self {
            rocks,
            vault: Vault::new(master),
            path: path.to_owned(),
            revisions: Revisions::default(),
            presence: Presence::default(),
            leaving: Leaving::default(),
            has_withdrawals: AtomicBool::new(true),
            clock: Mutex::new(Clock::Own),
        }
    }

    /// A column's handle. All are opened at start.
    ///
    /// # Panics
    /// Never: [`open`](super::open::open) opens every [`Cf`].
    #[allow(clippy::expect_used)]
    pub(super) fn cf(&self, cf: Cf) -> &ColumnFamily {
        self.rocks.cf_handle(cf.name()).expect("every column family is opened at start")
    }

    /// Has files rewritten, and says whether all of them were: of a compaction that is asked for, RocksDB's binding does not tell
    /// how it ended. What it counts is noted before whoever waits for the compaction goes on. Another that fails meanwhile
    /// counts, too.
    pub(super) fn rewriting(
        &self,
        rewrite: impl FnOnce() -> Result<(), ReadError>,
    ) -> Result<(), WriteError> {
        let failures = || self.rocks.property_int_value(BACKGROUND_ERRORS).map_err(ReadError::from);
        let before = failures()?;
        let rewritten = rewrite();
        // After such a failure what follows may fail for it: it is the first that is told.
        if failures()? == before { Ok(rewritten?) } else { Err(WriteError::Unfinished) }
    }

    pub(super) fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        self.rocks.get_cf(self.cf(cf), key).map_err(|error| self.vault.damage.met(error.into()))
    }

    /// Values of keys, which are in their order, each as it lies in the memory of RocksDB; one pass over the files instead of
    /// as many.
    pub(super) fn get_sorted<'a>(
        &'a self,
        cf: Cf,
        keys: &[Vec<u8>],
    ) -> impl Iterator<Item = Result<Option<DBPinnableSlice<'a>>, ReadError>> + use<'a> {
        let read = self.rocks.batched_multi_get_cf(self.cf(cf), keys, true);
        read.into_iter().map(|row| row.map_err(|error| self.vault.damage.met(error.into())))
    }

    /// Whether rows ended where they should: a damaged block looks like an end.
    pub(super) fn ended(&self, rows: &DBRawIterator<'_>) -> Result<(), ReadError> {
        rows.status().map_err(|error| self.vault.damage.met(error.into()))
    }

    /// Rows to be searched by what their keys begin with. Of columns that are searched by a prefix, a miss ends without
    /// looking at its neighbours'.
    pub(super) fn searched(&self, cf: Cf) -> DBRawIterator<'_> {
        let mut options = ReadOptions::default();
        options.set_prefix_same_as_start(true);
        self.rocks.raw_iterator_cf_opt(self.cf(cf), options)
    }

    pub(super) fn get_sealed(&self, cf: Cf, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        self.get(cf, key)?.map(|sealed| self.vault.open(cf, key, &sealed)).transpose()
    }

    /// Rows from `start` on, in key order, while `key` begins with `prefix`.
    pub(super) fn scan<'a>(
        &'a self,
        cf: Cf,
        start: &[u8],
        prefix: &'a [u8],
    ) -> impl Iterator<Item = Result<Row, ReadError>> + 'a {
        self.rows(cf, start, Direction::Forward, prefix)
    }

    /// Rows from `start` back, while `key` begins with `prefix`.
    pub(super) fn scan_back<'a>(
        &'a self,
        cf: Cf,
        start: &[u8],
        prefix: &'a [u8],
    ) -> impl Iterator<Item = Result<Row, ReadError>> + 'a {
        self.rows(cf, start, Direction::Reverse, prefix)
    }

    fn rows<'a>(
        &'a self,
        cf: Cf,
        start: &[u8],
        direction: Direction,
        prefix: &'a [u8],
    ) -> impl Iterator<Item = Result<Row, ReadError>> + 'a {
        self.rocks
            .iterator_cf(self.cf(cf), rocksdb::IteratorMode::From(start, direction))
            .map(|row| row.map_err(|error| self.vault.damage.met(error.into())))
            .take_while(move |row| row.as_ref().map_or(true, |(key, _)| key.starts_with(prefix)))
    }
}
