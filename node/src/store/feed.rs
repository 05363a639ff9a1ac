//! The order in which objects came: a time in each group, and a number over all groups.
//!
//! The one writer gives both, each higher than all before it. A row that is met again gets new ones.

use std::collections::HashMap;

use belfry_proto::{id::GroupId, stix::egress::Audience, time::Timestamp};

use super::{
    ReadError, Store,
    columns::{self, Cf},
    db::Db,
    objects::{ObjectView, Reading},
    txn::Txn,
    vault::damaged,
};

/// A stretch of the feed.
#[derive(Clone, Debug)]
pub struct FeedPage {
    /// Numbered objects.
    pub rows: Vec<(u64, ObjectView)>,
    /// Number of the last entry looked at.
    pub position: u64,
    /// Whether entries follow.
    pub more: bool,
}

/// The last numbers given, as the writer remembers them.
pub(super) struct Feed {
    newest: u64,
    last_added: HashMap<GroupId, u64>,
}

impl Feed {
    pub(super) fn load(db: &Db) -> Result<Self, ReadError> {
        let newest = db
            .rocks
            .iterator_cf(db.cf(Cf::Feed), rocksdb::IteratorMode::End)
            .next()
            .transpose()?
            .map_or(0, |(key, _)| feed_sequence(&key));
        Ok(Self { newest, last_added: HashMap::new() })
    }

    /// The newest sequence.
    pub(super) const fn newest(&self) -> u64 {
        self.newest
    }

    /// Numbers a row in the feed.
    pub(super) fn announce(&mut self, txn: &mut Txn<'_>, group: GroupId, date_added: u64) {
        self.newest += 1;
        txn.put(Cf::Feed, self.newest.to_be_bytes().to_vec(), columns::object(group, date_added));
    }

    /// Strictly after every earlier one of the group, and never before the clock.
    pub(super) fn next_date(&mut self, txn: &Txn<'_>, group: GroupId) -> Result<u64, ReadError> {
        let last = match self.last_added.get(&group) {
            Some(last) => *last,
            None => last_date(txn.db, group)?,
        };
        let next = txn.now.as_micros().max(last + 1);
        self.last_added.insert(group, next);
        Ok(next)
    }
}

/// The last date added in a group; 0 if it is empty.
fn last_date(db: &Db, group: GroupId) -> Result<u64, ReadError> {
    let end = columns::object(group, u64::MAX);
    let row = db
        .rocks
        .iterator_cf(db.cf(Cf::Objects), rocksdb::IteratorMode::From(&end, rocksdb::Direction::Reverse))
        .next()
        .transpose()?;
    Ok(row
        .and_then(|(key, _)| columns::read_object(&key))
        .filter(|(g, _)| *g == group)
        .map_or(0, |(_, date)| date))
}

impl Store {
    /// The feed after a sequence: what was added, in the order it was, over all groups. What is hidden since
    /// is passed over.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn feed_after(&self, sequence: u64, most: usize) -> Result<FeedPage, ReadError> {
        self.feed_met(Audience::Inside, sequence, most)
    }

    /// [`Self::feed_after`], as these readers meet it: those outside meet what was under an embargo when that is over.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn feed_met(&self, readers: Audience, sequence: u64, most: usize) -> Result<FeedPage, ReadError> {
        let start = sequence.saturating_add(1).to_be_bytes();
        let mut page = FeedPage { rows: Vec::new(), position: sequence, more: false };
        let (mut entries, mut reading) = (self.db.scan(Cf::Feed, &start, &[]), Reading::new());
        for _ in 0..most {
            let Some(row) = entries.next() else { return Ok(page) };
            let (key, place) = row?;
            let fault = || damaged(Cf::Feed, &key, "names no place");
            let (group, date) = columns::read_object(&place).ok_or_else(fault)?;
            page.position = feed_sequence(&key);
            let view = self.met_at(readers, &mut reading, group, Timestamp::from_micros(date))?;
            page.rows.extend(view.map(|view| (page.position, view)));
        }
        page.more = entries.next().is_some();
        Ok(page)
    }

    /// Oldest and newest feed sequence; `None` if nothing was ever added.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn feed_bounds(&self) -> Result<Option<(u64, u64)>, ReadError> {
        let end = |mode| -> Result<Option<u64>, ReadError> {
            let row = self.db.rocks.iterator_cf(self.db.cf(Cf::Feed), mode).next().transpose()?;
            Ok(row.map(|(key, _)| feed_sequence(&key)))
        };
        Ok(end(rocksdb::IteratorMode::Start)?.zip(end(rocksdb::IteratorMode::End)?))
    }
}

fn feed_sequence(key: &[u8]) -> u64 {
    <[u8; 8]>::try_from(key).map_or(0, u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use belfry_proto::{schema::Tlp, time::Timestamp};
    use tempfile::TempDir;

    use crate::store::tests::{commit, object, open, page, with_objects};

    #[test]
    fn dates_added_are_unique_and_never_go_back() {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        let objects = |n: u64| (0..20).map(|i| object(&format!("{n}-{i}"), "", Tlp::Green)).collect();
        std::thread::scope(|scope| {
            for n in 1..=5 {
                let store = &store;
                scope.spawn(move || commit(store, with_objects(n, objects(n))));
            }
        });
        let dates: Vec<Timestamp> =
            page(&store, None, None, 1000).rows.iter().map(|row| row.date_added).collect();
        assert_eq!(dates.len(), 100);
        assert!(dates.windows(2).all(|pair| pair[0] < pair[1]));
        drop(store);
    }
}
