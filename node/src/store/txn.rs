//! One batch under construction, which reads its own writes.

use std::collections::BTreeMap;

use belfry_proto::{id::GroupId, time::Timestamp};
use prost::Message;

use super::{
    ReadError,
    columns::Cf,
    open::Db,
    vault::{KeyName, Packed, damaged},
};

type Key = Vec<u8>;
type Value = Vec<u8>;

/// A row's place and what stood there in the batch before.
type Undo = (Cf, Key, Option<Option<Value>>);

/// Rows to write, by column and key; later ones replace earlier ones.
pub(super) struct Txn<'a> {
    pub(super) db: &'a Db,
    rows: BTreeMap<Cf, BTreeMap<Key, Option<Value>>>,
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
            rows: BTreeMap::new(),
            journal: Vec::new(),
            bytes: 0,
            new_keys: Vec::new(),
            kept_keys: 0,
            now,
        }
    }

    pub(super) fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Value>, ReadError> {
        match self.rows.get(&cf).and_then(|rows| rows.get(key)) {
            Some(row) => Ok(row.clone()),
            None => self.db.get(cf, key),
        }
    }

    pub(super) fn get_sealed(&self, cf: Cf, key: &[u8]) -> Result<Option<Value>, ReadError> {
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
        let ours = self.rows.get(&cf);
        let mut found = Vec::new();
        for row in self.db.scan(cf, prefix, prefix) {
            let (key, value) = row?;
            // What this batch deleted or replaced does not count: a bound that it did count for would hide others.
            if ours.is_none_or(|ours| !ours.contains_key(key.as_ref())) {
                found.push((key.into_vec(), value.into_vec()));
            }
            if found.len() >= most {
                break;
            }
        }
        let ours = ours.into_iter().flat_map(|ours| ours.range(prefix.to_vec()..));
        found.extend(
            ours.take_while(|(key, _)| key.starts_with(prefix))
                .filter_map(|(key, row)| Some((key.clone(), row.clone()?))),
        );
        Ok(found)
    }

    pub(super) fn put(&mut self, cf: Cf, key: Key, value: Value) {
        self.bytes += key.len() + value.len();
        self.set(cf, key, Some(value));
    }

    /// Puts a value sealed under the data key of `group` and this month.
    pub(super) fn put_sealed(&mut self, group: GroupId, cf: Cf, key: Key, value: &[u8]) {
        self.put_packed(group, cf, key, &Packed::of(value));
    }

    /// [`Self::put_sealed`] of a value packed before.
    pub(super) fn put_packed(&mut self, group: GroupId, cf: Cf, key: Key, value: &Packed) {
        let name = KeyName::at(group, self.now);
        if let Some(wrapped) = self.db.vault.ensure_key(name) {
            self.put(Cf::DataKeys, name.to_bytes().to_vec(), wrapped);
            self.new_keys.push(name);
        }
        let sealed = self.db.vault.seal(name, cf, &key, value);
        self.put(cf, key, sealed);
    }

    pub(super) fn delete(&mut self, cf: Cf, key: Key) {
        self.set(cf, key, None);
    }

    fn set(&mut self, cf: Cf, key: Key, row: Option<Value>) {
        let before = self.rows.entry(cf).or_default().insert(key.clone(), row);
        self.journal.push((cf, key, before));
    }

    /// Ends a change that is whole: what it wrote stays.
    pub(super) fn keep(&mut self) {
        self.journal.clear();
        self.kept_keys = self.new_keys.len();
    }

    /// Takes back what was written since the last [`Self::keep`]: a change has no partial effect.
    pub(super) fn undo(&mut self) {
        while let Some((cf, key, before)) = self.journal.pop() {
            let rows = self.rows.entry(cf).or_default();
            match before {
                Some(row) => rows.insert(key, row),
                None => rows.remove(&key),
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

    /// Whether it writes or deletes rows of a column.
    pub(super) fn touches(&self, cf: Cf) -> bool {
        self.rows.get(&cf).is_some_and(|rows| !rows.is_empty())
    }

    /// Keys of a column that it writes or deletes.
    pub(super) fn keys(&self, cf: Cf) -> impl Iterator<Item = &[u8]> {
        self.rows.get(&cf).into_iter().flat_map(BTreeMap::keys).map(Vec::as_slice)
    }

    /// Writes the batch and waits for the disk.
    pub(super) fn write(self) -> Result<(), rocksdb::Error> {
        let mut batch = rocksdb::WriteBatch::default();
        for (cf, rows) in &self.rows {
            let handle = self.db.cf(*cf);
            for (key, row) in rows {
                match row {
                    Some(value) => batch.put_cf(handle, key, value),
                    None => batch.delete_cf(handle, key),
                }
            }
        }
        if batch.is_empty() {
            return Ok(());
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
