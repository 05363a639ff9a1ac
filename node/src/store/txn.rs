//! One batch under construction, which reads its own writes.

use std::collections::BTreeMap;

use belfry_proto::{id::GroupId, time::Timestamp};
use prost::Message;

use super::{
    ReadError,
    columns::Cf,
    open::Db,
    rows::MessageState,
    vault::{KeyName, Packed, damaged},
};

type Key = Vec<u8>;
type Value = Vec<u8>;

/// A row's place and what stood there in the batch before.
type Undo = (Cf, Key, Option<Option<Value>>);

/// Bytes of a row in a batch besides key and value, roughly.
const ROW: usize = 16;

/// Rows of one column, by key.
type Column = BTreeMap<Key, Option<Value>>;

/// A message that is in another state from now on, if it was in any; to be counted with its log.
pub(super) struct Shift {
    /// Where the message lies.
    pub(super) place: Key,
    pub(super) from: Option<MessageState>,
    pub(super) to: MessageState,
}

/// Rows to write, by column and key; later ones replace earlier ones.
pub(super) struct Txn<'a> {
    pub(super) db: &'a Db,
    rows: [Column; Cf::ALL.len()],
    /// What the change under way replaced; of the first one nothing is kept, for it is alone.
    journal: Vec<Undo>,
    is_first: bool,
    shifts: Vec<Shift>,
    bytes: usize,
    new_keys: Vec<KeyName>,
    kept_keys: usize,
    pub(super) now: Timestamp,
}

impl<'a> Txn<'a> {
    pub(super) fn new(db: &'a Db, now: Timestamp) -> Self {
        Self {
            db,
            rows: std::array::from_fn(|_| Column::new()),
            journal: Vec::new(),
            is_first: true,
            shifts: Vec::new(),
            bytes: 0,
            new_keys: Vec::new(),
            kept_keys: 0,
            now,
        }
    }

    /// Rows of a column that are in here.
    ///
    /// # Panics
    /// Never: there is one for each [`Cf`], in its order.
    #[allow(clippy::indexing_slicing)]
    const fn of(&self, cf: Cf) -> &Column {
        &self.rows[cf as usize]
    }

    #[allow(clippy::indexing_slicing)]
    const fn of_mut(&mut self, cf: Cf) -> &mut Column {
        &mut self.rows[cf as usize]
    }

    pub(super) fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Value>, ReadError> {
        match self.of(cf).get(key) {
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
        let ours = self.of(cf);
        let mut found = Vec::new();
        for row in self.db.scan(cf, prefix, prefix) {
            let (key, value) = row?;
            // What this batch deleted or replaced does not count: a bound that it did count for would hide others.
            if !ours.contains_key(key.as_ref()) {
                found.push((key.into_vec(), value.into_vec()));
            }
            if found.len() >= most {
                break;
            }
        }
        found.extend(
            ours.range(prefix.to_vec()..)
                .take_while(|(key, _)| key.starts_with(prefix))
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
        if self.is_first {
            self.of_mut(cf).insert(key, row);
        } else {
            let before = self.of_mut(cf).insert(key.clone(), row);
            self.journal.push((cf, key, before));
        }
    }

    /// Notes that a message changes its state.
    pub(super) fn shift(&mut self, place: &[u8], from: Option<MessageState>, to: MessageState) {
        self.shifts.push(Shift { place: place.to_vec(), from, to });
    }

    /// What was noted since the last call.
    pub(super) fn take_shifts(&mut self) -> Vec<Shift> {
        std::mem::take(&mut self.shifts)
    }

    /// Ends a change that is whole: what it wrote stays.
    pub(super) fn keep(&mut self) {
        self.journal.clear();
        self.is_first = false;
        self.kept_keys = self.new_keys.len();
    }

    /// Takes back what was written since the last [`Self::keep`]: a change has no partial effect.
    pub(super) fn undo(&mut self) {
        self.shifts.clear();
        if self.is_first {
            self.rows.iter_mut().for_each(Column::clear);
        }
        while let Some((cf, key, before)) = self.journal.pop() {
            let rows = self.of_mut(cf);
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
        !self.of(cf).is_empty()
    }

    /// Keys of a column that it writes or deletes.
    pub(super) fn keys(&self, cf: Cf) -> impl Iterator<Item = &[u8]> {
        self.of(cf).keys().map(Vec::as_slice)
    }

    /// Writes the batch and waits for the disk.
    pub(super) fn write(self) -> Result<(), rocksdb::Error> {
        let rows: usize = self.rows.iter().map(Column::len).sum();
        let mut batch = rocksdb::WriteBatch::with_capacity_bytes(self.bytes + rows * ROW);
        for (cf, rows) in Cf::ALL.into_iter().zip(&self.rows).filter(|(_, rows)| !rows.is_empty()) {
            let handle = self.db.cf(cf);
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
