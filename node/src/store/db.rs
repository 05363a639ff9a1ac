//! The open database: rows by column and key, sealed values opened on the way out.

use std::{
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use belfry_proto::crypto::secret::Secret;
use rocksdb::{ColumnFamily, DB, DBRawIterator, Direction};

use super::{columns::Cf, error::ReadError, revision::Revisions, vault::Vault};

/// Key and value.
pub(super) type Row = (Box<[u8]>, Box<[u8]>);

/// The open database with what opens its rows, and how often it was written.
pub(super) struct Db {
    pub(super) rocks: DB,
    pub(super) vault: Vault,
    pub(super) path: PathBuf,
    pub(super) revisions: Revisions,
    /// Whether any withdrawal names anything: nearly all messages are asked for it, and most stores have none.
    pub(super) has_withdrawals: AtomicBool,
}

impl Db {
    pub(super) fn of(rocks: DB, path: &Path, master: &Secret) -> Self {
        let (vault, revisions) = (Vault::new(master), Revisions::default());
        Self { rocks, vault, path: path.to_owned(), revisions, has_withdrawals: AtomicBool::new(true) }
    }

    /// A column's handle. All are opened at start.
    ///
    /// # Panics
    /// Never: [`open`](super::open::open) opens every [`Cf`].
    #[allow(clippy::expect_used)]
    pub(super) fn cf(&self, cf: Cf) -> &ColumnFamily {
        self.rocks.cf_handle(cf.name()).expect("every column family is opened at start")
    }

    pub(super) fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        self.rocks.get_cf(self.cf(cf), key).map_err(|error| self.vault.damage.met(error.into()))
    }

    /// Whether rows ended where they should: a damaged block looks like an end.
    pub(super) fn ended(&self, rows: &DBRawIterator<'_>) -> Result<(), ReadError> {
        rows.status().map_err(|error| self.vault.damage.met(error.into()))
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
