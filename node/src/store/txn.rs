//! One batch under construction, which reads its own writes.

use std::collections::HashMap;

use belfry_proto::{id::GroupId, time::Timestamp};
use prost::Message;

use super::{
    ReadError,
    columns::Cf,
    open::Db,
    vault::{KeyName, damaged},
};

type Key = Vec<u8>;
type Value = Vec<u8>;

/// A row's place and what stood there in the batch before.
type Undo = ((Cf, Vec<u8>), Option<Option<Vec<u8>>>);

/// Rows to write, keyed by column and key; later ones replace earlier ones.
pub(super) struct Txn<'a> {
    pub(super) db: &'a Db,
    rows: HashMap<(Cf, Vec<u8>), Option<Vec<u8>>>,
    journal: Vec<Undo>,
    bytes: usize,
    new_keys: Vec<KeyName>,
    kept_keys: usize,
    pub(super) now: Timestamp,
}

impl<'a> Txn<'a> {
    pub(super) fn new(db: &'a Db, now: Timestamp) -> Self {
        Self {
            db,
            rows: HashMap::new(),
            journal: Vec::new(),
            bytes: 0,
            new_keys: Vec::new(),
            kept_keys: 0,
            now,
        }
    }

    pub(super) fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        match self.rows.get(&(cf, key.to_vec())) {
            Some(row) => Ok(row.clone()),
            None => self.db.get(cf, key),
        }
    }

    pub(super) fn get_sealed(&self, cf: Cf, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        self.get(cf, key)?.map(|sealed| self.db.vault.open(cf, key, &sealed)).transpose()
    }

    pub(super) fn message<M: Message + Default>(&self, cf: Cf, key: &[u8]) -> Result<Option<M>, ReadError> {
        self.get(cf, key)?
            .map(|bytes| M::decode(bytes.as_slice()).map_err(|_| damaged(cf, key, "does not decode")))
            .transpose()
    }

    /// Rows whose key begins with `prefix`, this batch's included, in no order.
    pub(super) fn prefixed(
        &self,
        cf: Cf,
        prefix: &[u8],
        most: usize,
    ) -> Result<Vec<(Key, Value)>, ReadError> {
        let mut found = Vec::new();
        for row in self.db.scan(cf, prefix, prefix).take(most) {
            let (key, value) = row?;
            if !self.rows.contains_key(&(cf, key.to_vec())) {
                found.push((key.to_vec(), value.to_vec()));
            }
        }
        found.extend(
            self.rows
                .iter()
                .filter(|((column, key), row)| *column == cf && key.starts_with(prefix) && row.is_some())
                .filter_map(|((_, key), row)| Some((key.clone(), row.clone()?))),
        );
        Ok(found)
    }

    pub(super) fn put(&mut self, cf: Cf, key: Vec<u8>, value: Vec<u8>) {
        self.bytes += key.len() + value.len();
        self.set((cf, key), Some(value));
    }

    /// Puts a value sealed under the data key of `group` and this month.
    pub(super) fn put_sealed(&mut self, group: GroupId, cf: Cf, key: Vec<u8>, value: &[u8]) {
        let name = KeyName::at(group, self.now);
        if let Some(wrapped) = self.db.vault.ensure_key(name) {
            self.put(Cf::DataKeys, name.to_bytes().to_vec(), wrapped);
            self.new_keys.push(name);
        }
        let sealed = self.db.vault.seal(name, cf, &key, value);
        self.put(cf, key, sealed);
    }

    pub(super) fn delete(&mut self, cf: Cf, key: Vec<u8>) {
        self.set((cf, key), None);
    }

    fn set(&mut self, place: (Cf, Vec<u8>), row: Option<Vec<u8>>) {
        let before = self.rows.insert(place.clone(), row);
        self.journal.push((place, before));
    }

    /// Ends a change that is whole: what it wrote stays.
    pub(super) fn keep(&mut self) {
        self.journal.clear();
        self.kept_keys = self.new_keys.len();
    }

    /// Takes back what was written since the last [`Self::keep`]: a change has no partial effect.
    pub(super) fn undo(&mut self) {
        while let Some((place, before)) = self.journal.pop() {
            match before {
                Some(row) => self.rows.insert(place, row),
                None => self.rows.remove(&place),
            };
        }
        // A data key whose row is not written must not seal anything later.
        for name in self.new_keys.drain(self.kept_keys..) {
            self.db.vault.forget(name);
        }
    }

    /// Bytes gathered so far, roughly.
    pub(super) const fn size(&self) -> usize {
        self.bytes
    }

    /// Writes the batch and waits for the disk.
    pub(super) fn write(self) -> Result<(), rocksdb::Error> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let mut batch = rocksdb::WriteBatch::default();
        for ((cf, key), row) in &self.rows {
            match row {
                Some(value) => batch.put_cf(self.db.cf(*cf), key, value),
                None => batch.delete_cf(self.db.cf(*cf), key),
            }
        }
        let mut synced = rocksdb::WriteOptions::default();
        synced.set_sync(true);
        let written = self.db.rocks.write_opt(batch, &synced);
        if written.is_err() {
            for name in self.new_keys {
                self.db.vault.forget(name);
            }
        }
        written
    }
}
