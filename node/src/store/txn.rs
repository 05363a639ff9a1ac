//! One batch under construction, which reads its own writes.

use std::{collections::BTreeMap, sync::Arc};

use belfry_proto::{
    id::{GroupId, MessageId},
    time::Timestamp,
};
use prost::Message;

use super::{
    ReadError,
    columns::Cf,
    db::Db,
    removal::End,
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

/// A message that is kept with more or fewer bytes from now on; to be counted with its log.
pub(super) struct Resized {
    /// Where the message lies.
    pub(super) place: Key,
    pub(super) from: u64,
    pub(super) to: u64,
}

/// Rows to write, by column and key; later ones replace earlier ones.
pub(super) struct Rows {
    columns: [Column; Cf::ALL.len()],
    bytes: usize,
    new_keys: Vec<KeyName>,
    /// How messages end that readers pass over, from this batch on; `None` for those that are shown again.
    ends: Vec<(MessageId, Option<End>)>,
}

/// A batch that takes shape.
pub(super) struct Txn<'a> {
    pub(super) db: &'a Db,
    /// What is being written meanwhile: it counts as if it stood in the database.
    before: Option<Arc<Rows>>,
    rows: Rows,
    /// What the change under way replaced; of the first one nothing is kept, for it is alone.
    journal: Vec<Undo>,
    is_first: bool,
    shifts: Vec<Shift>,
    resized: Vec<Resized>,
    kept_keys: usize,
    kept_ends: usize,
    pub(super) now: Timestamp,
}

impl Rows {
    fn new() -> Self {
        Self {
            columns: std::array::from_fn(|_| Column::new()),
            bytes: 0,
            new_keys: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// Rows of a column that are in here.
    ///
    /// # Panics
    /// Never: there is one for each [`Cf`], in its order.
    #[allow(clippy::indexing_slicing)]
    const fn of(&self, cf: Cf) -> &Column {
        &self.columns[cf as usize]
    }

    #[allow(clippy::indexing_slicing)]
    const fn of_mut(&mut self, cf: Cf) -> &mut Column {
        &mut self.columns[cf as usize]
    }

    /// Whether rows of a column are written or deleted.
    pub(super) fn touches(&self, cf: Cf) -> bool {
        !self.of(cf).is_empty()
    }

    /// Keys of a column that are written or deleted.
    pub(super) fn keys(&self, cf: Cf) -> impl Iterator<Item = &[u8]> {
        self.of(cf).keys().map(Vec::as_slice)
    }

    /// Keys of a column that are written.
    pub(super) fn written(&self, cf: Cf) -> impl Iterator<Item = &[u8]> {
        self.of(cf).iter().filter(|(_, row)| row.is_some()).map(|(key, _)| key.as_slice())
    }

    /// Keys of a column that are deleted.
    pub(super) fn deleted(&self, cf: Cf) -> impl Iterator<Item = &[u8]> {
        self.of(cf).iter().filter(|(_, row)| row.is_none()).map(|(key, _)| key.as_slice())
    }

    /// Rows of a column that are written, or deleted (`None`), under keys that begin so.
    pub(super) fn below<'r>(
        &'r self,
        cf: Cf,
        prefix: &'r [u8],
    ) -> impl Iterator<Item = (&'r [u8], Option<&'r [u8]>)> {
        let rows = self.of(cf).range(prefix.to_vec()..);
        let rows = rows.take_while(move |(key, _)| key.starts_with(prefix));
        rows.map(|(key, row)| (key.as_slice(), row.as_deref()))
    }

    /// How messages end that readers pass over; `None` for those that are shown again.
    pub(super) fn ends(&self) -> &[(MessageId, Option<End>)] {
        &self.ends
    }

    /// Writes them and waits for the disk.
    pub(super) fn write(&self, db: &Db) -> Result<(), rocksdb::Error> {
        let rows: usize = self.columns.iter().map(Column::len).sum();
        let mut batch = rocksdb::WriteBatch::with_capacity_bytes(self.bytes + rows * ROW);
        for (cf, rows) in Cf::ALL.into_iter().zip(&self.columns).filter(|(_, rows)| !rows.is_empty()) {
            let handle = db.cf(cf);
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
        db.leaving.enter(self);
        db.presence.entered(self, || db.rocks.write_opt(batch, &synced))
    }
}

impl<'a> Txn<'a> {
    pub(super) fn new(db: &'a Db, now: Timestamp) -> Self {
        Self {
            db,
            before: None,
            rows: Rows::new(),
            journal: Vec::new(),
            is_first: true,
            shifts: Vec::new(),
            resized: Vec::new(),
            kept_keys: 0,
            kept_ends: 0,
            now,
        }
    }

    /// A batch that follows on one which is being written.
    pub(super) fn behind(db: &'a Db, before: Option<Arc<Rows>>, now: Timestamp) -> Self {
        Self { before, ..Self::new(db, now) }
    }

    /// The row that is not in the database yet: of this batch, else of the one before.
    fn fresh(&self, cf: Cf, key: &[u8]) -> Option<&Option<Value>> {
        let before = || self.before.as_ref()?.of(cf).get(key);
        self.rows.of(cf).get(key).or_else(before)
    }

    pub(super) fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Value>, ReadError> {
        match self.fresh(cf, key) {
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
        let ours = self.rows.of(cf);
        let mut found = Vec::new();
        for row in self.db.scan(cf, prefix, prefix) {
            let (key, value) = row?;
            // What was deleted or replaced does not count: a bound that it did count for would hide others.
            if self.fresh(cf, &key).is_none() {
                found.push((key.into_vec(), value.into_vec()));
            }
            if found.len() >= most {
                break;
            }
        }
        let within = |column: &'_ Column| {
            let rows = column.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix));
            rows.map(|(key, row)| (key.clone(), row.clone())).collect::<Vec<_>>()
        };
        let before = self.before.as_ref().map(|before| within(before.of(cf))).unwrap_or_default();
        let before = before.into_iter().filter(|(key, _)| !ours.contains_key(key));
        found.extend(before.chain(within(ours)).filter_map(|(key, row)| Some((key, row?))));
        Ok(found)
    }

    /// The first key at or behind `from` that begins with `prefix`, this batch's included.
    pub(super) fn first_key(&self, cf: Cf, from: &[u8], prefix: &[u8]) -> Result<Option<Key>, ReadError> {
        let mut stands = None;
        for row in self.db.scan(cf, from, prefix) {
            let (key, _) = row?;
            if self.fresh(cf, &key).is_none() {
                stands = Some(key.into_vec());
                break;
            }
        }
        let ours = self.rows.of(cf);
        let first = |column: &Column, is_covered: &dyn Fn(&Key) -> bool| {
            let mut rows = column.range(from.to_vec()..).take_while(|(key, _)| key.starts_with(prefix));
            rows.find(|(key, row)| row.is_some() && !is_covered(key)).map(|(key, _)| key.clone())
        };
        let before = self.before.as_ref();
        let before = before.and_then(|before| first(before.of(cf), &|key| ours.contains_key(key)));
        Ok(stands.into_iter().chain(first(ours, &|_| false)).chain(before).min())
    }

    pub(super) fn put(&mut self, cf: Cf, key: Key, value: Value) {
        self.rows.bytes += key.len() + value.len();
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
            self.rows.new_keys.push(name);
        }
        let sealed = self.db.vault.seal(name, cf, &key, value);
        self.put(cf, key, sealed);
    }

    pub(super) fn delete(&mut self, cf: Cf, key: Key) {
        self.rows.bytes += key.len();
        self.set(cf, key, None);
    }

    /// Has readers pass over nothing of a message any more, once this batch is to be read: what it says is shown again.
    pub(super) fn shows(&mut self, message: MessageId) {
        self.rows.ends.push((message, None));
    }

    /// Has readers who pass over a message be told this end of it, and no other one, once this batch is to be read.
    pub(super) fn ends_as(&mut self, message: MessageId, end: End) {
        self.rows.ends.push((message, Some(end)));
    }

    fn set(&mut self, cf: Cf, key: Key, row: Option<Value>) {
        if self.is_first {
            self.rows.of_mut(cf).insert(key, row);
        } else {
            let before = self.rows.of_mut(cf).insert(key.clone(), row);
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

    /// Notes that a message lost its body, or got it back.
    pub(super) fn resize(&mut self, place: &[u8], from: u64, to: u64) {
        self.resized.push(Resized { place: place.to_vec(), from, to });
    }

    /// What was noted since the last call.
    pub(super) fn take_resized(&mut self) -> Vec<Resized> {
        std::mem::take(&mut self.resized)
    }

    /// Ends a change that is whole: what it wrote stays.
    pub(super) fn keep(&mut self) {
        self.journal.clear();
        self.is_first = false;
        self.kept_keys = self.rows.new_keys.len();
        self.kept_ends = self.rows.ends.len();
    }

    /// Takes back what was written since the last [`Self::keep`]: a change has no partial effect.
    pub(super) fn undo(&mut self) {
        self.shifts.clear();
        self.resized.clear();
        if self.is_first {
            self.rows.columns.iter_mut().for_each(Column::clear);
        }
        while let Some((cf, key, before)) = self.journal.pop() {
            let rows = self.rows.of_mut(cf);
            match before {
                Some(row) => rows.insert(key, row),
                None => rows.remove(&key),
            };
        }
        // What is not written ends nothing.
        self.rows.ends.truncate(self.kept_ends);
        // A data key whose row is not written must not seal anything later.
        for name in self.rows.new_keys.drain(self.kept_keys..) {
            self.db.vault.forget(name);
        }
    }

    /// Bytes gathered so far, roughly.
    pub(super) const fn size(&self) -> usize {
        self.rows.bytes
    }

    /// The batch as it stands, to be written.
    pub(super) fn done(self) -> Rows {
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use belfry_proto::{
        crypto::{secret::Secret, sign::SigningKey},
        id::CoalitionId,
    };

    use super::*;
    use crate::store::{Owner, Store};

    #[test]
    fn a_batch_reads_its_own_rows_then_those_of_the_one_before_then_those_that_stand() {
        let folder = tempfile::TempDir::new().unwrap();
        let node = SigningKey::from_seed(&[1; 32]).public();
        let owner = Owner { coalition: CoalitionId::new([1; 32]), node };
        let store = Store::open(&folder.path().join("store"), owner, &Secret::new([9; 32])).unwrap();
        let rows = |rows: &[(&str, Option<u8>)], txn: &mut Txn<'_>| {
            for (key, row) in rows {
                match row {
                    Some(value) => txn.put(Cf::Meta, key.as_bytes().to_vec(), vec![*value]),
                    None => txn.delete(Cf::Meta, key.as_bytes().to_vec()),
                }
            }
        };
        let mut stands = Txn::new(&store.db, Timestamp::ZERO);
        rows(&[("x:a", Some(1)), ("x:b", Some(1)), ("x:c", Some(1)), ("x:d", Some(1))], &mut stands);
        stands.done().write(&store.db).unwrap();
        let mut before = Txn::new(&store.db, Timestamp::ZERO);
        rows(&[("x:b", None), ("x:c", Some(2)), ("x:e", Some(2)), ("x:f", Some(2))], &mut before);
        let before = Arc::new(before.done());
        let mut txn = Txn::behind(&store.db, Some(before), Timestamp::ZERO);
        rows(&[("x:d", None), ("x:e", None), ("x:f", Some(3)), ("x:g", Some(3))], &mut txn);
        let expected = [
            ("x:a", Some(1)),
            ("x:b", None),
            ("x:c", Some(2)),
            ("x:d", None),
            ("x:e", None),
            ("x:f", Some(3)),
            ("x:g", Some(3)),
        ];
        for (key, row) in expected {
            assert_eq!(txn.get(Cf::Meta, key.as_bytes()).unwrap(), row.map(|value| vec![value]), "{key}");
        }
        let mut found = txn.prefixed(Cf::Meta, b"x:", usize::MAX).unwrap();
        found.sort();
        let there = expected.into_iter().filter_map(|(key, row)| Some((key.as_bytes().to_vec(), vec![row?])));
        assert_eq!(found, there.collect::<Vec<_>>());
        for (from, expected) in
            [("x:", Some("x:a")), ("x:b", Some("x:c")), ("x:d", Some("x:f")), ("x:h", None)]
        {
            let first = txn.first_key(Cf::Meta, from.as_bytes(), b"x:").unwrap();
            assert_eq!(first.as_deref(), expected.map(str::as_bytes), "{from}");
        }
        txn.undo();
        assert_eq!(txn.get(Cf::Meta, b"x:c").unwrap(), Some(vec![2]), "only the batch itself is taken back");
    }
}
