//! What is erased leaves the disk.
//!
//! RocksDB only marks rows as gone. Their bytes stay in its log until every column is flushed, and in its tables
//! until those are compacted. Which rows that concerns stands in a column of its own, from the batch that erases
//! until their files are rewritten, so that a crash between costs a repetition.
//!
//! ```text
//! the batch that erases ─▶ note ─▶ flush ─▶ stretch by stretch, files that hold such rows are rewritten ─▶ Purged
//!                            ▲                                                                             │
//!                            └──── noted once more meanwhile: stays for the next round ◀── by the writer ──┘
//! ```

#[cfg(test)]
use belfry_proto::{id::GroupId, time::Timestamp};

#[cfg(test)]
use super::columns;
use super::{ReadError, Store, WriteError, change::Change, columns::Cf, txn::Txn};

/// Notes worked off in one round, which begins with flushing every column; so many keys are kept in memory.
const MOST: usize = 16_384;
/// Rows of one stretch that is rewritten at once. Too low ⇒ files are rewritten again for neighbours, too high ⇒ a
/// rewriting takes long, and ordinary ones wait.
const STRETCH: usize = 256;
/// Numbers that two keys may lie apart to be of one stretch: entries of one log, objects of one message.
const NEAR: u64 = 256;

/// A row whose earlier values were to leave the disk, and which note said so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurgeNote {
    key: Vec<u8>,
    mark: Vec<u8>,
}

/// Has the earlier values of a row leave the disk.
pub(super) fn put(txn: &mut Txn<'_>, cf: Cf, key: &[u8]) {
    // A note that is put again is another one.
    let mark: [u8; 8] = rand::random();
    txn.put(Cf::Purge, [prefix(cf).as_slice(), key].concat(), mark.to_vec());
}

/// Takes notes away that were worked off, but for those that were put again meanwhile.
pub(super) fn done(txn: &mut Txn<'_>, notes: Vec<PurgeNote>) -> Result<(), ReadError> {
    for note in notes {
        if txn.get(Cf::Purge, &note.key)?.is_some_and(|mark| mark == note.mark) {
            txn.delete(Cf::Purge, note.key);
        }
    }
    Ok(())
}

fn prefix(cf: Cf) -> Vec<u8> {
    [cf.name().as_bytes(), &[0]].concat()
}

/// Sorted keys in stretches of neighbours.
fn stretches<'a>(keys: &[&'a [u8]]) -> Vec<(&'a [u8], &'a [u8])> {
    let mut stretches: Vec<(&[u8], &[u8], usize)> = Vec::new();
    for &key in keys {
        match stretches.last_mut() {
            Some((_, last, rows)) if *rows < STRETCH && are_near(last, key) => {
                (*last, *rows) = (key, *rows + 1)
            }
            _ => stretches.push((key, key, 1)),
        }
    }
    stretches.into_iter().map(|(first, last, _)| (first, last)).collect()
}

fn are_near(one: &[u8], next: &[u8]) -> bool {
    let (Some((before, first)), Some((same, second))) =
        (one.split_last_chunk::<8>(), next.split_last_chunk::<8>())
    else {
        return false;
    };
    before == same && u64::from_be_bytes(*second).abs_diff(u64::from_be_bytes(*first)) <= NEAR
}

impl Store {
    /// Whether bodies were taken whose bytes may still lie in files.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn has_purges(&self) -> Result<bool, ReadError> {
        Ok(self.db.scan(Cf::Purge, &[], &[]).next().transpose()?.is_some())
    }

    /// Rewrites the files that may still hold what was erased, as far as one round goes. Waits for the disk.
    ///
    /// # Errors
    /// [`WriteError`]; what was not done stays to be done.
    pub fn purge(&self) -> Result<(), WriteError> {
        let notes = self.purge_notes(MOST)?;
        if notes.is_empty() {
            return Ok(());
        }
        self.db.rewriting(|| self.rewrite(&notes))?;
        self.commit_blocking(Change::Purged(notes)).map(drop)
    }

    fn purge_notes(&self, most: usize) -> Result<Vec<PurgeNote>, ReadError> {
        let rows = self.db.scan(Cf::Purge, &[], &[]).take(most);
        rows.map(|row| row.map(|(key, mark)| PurgeNote { key: key.into_vec(), mark: mark.into_vec() }))
            .collect()
    }

    /// When the object rows were added that are noted.
    #[cfg(test)]
    pub(super) fn purge_dates(&self, group: GroupId) -> Result<Vec<Timestamp>, ReadError> {
        let prefix = prefix(Cf::Objects);
        let notes = self.purge_notes(MOST)?.into_iter();
        let rows = notes.filter_map(|note| columns::read_object(note.key.strip_prefix(prefix.as_slice())?));
        Ok(rows.filter(|(of, _)| *of == group).map(|(_, date)| Timestamp::from_micros(date)).collect())
    }

    fn rewrite(&self, notes: &[PurgeNote]) -> Result<(), ReadError> {
        // A file that is being read stays on disk after it was rewritten.
        let _still = self.db.presence.still();
        for cf in Cf::ALL {
            self.db.rocks.flush_cf(self.db.cf(cf))?;
        }
        for cf in Cf::ALL {
            let handle = self.db.cf(cf);
            if matches!(cf, Cf::Drafts | Cf::Parked | Cf::Bereft) {
                // Small, and they held copies of what became messages, or went.
                self.db.rocks.compact_range_cf(handle, None::<&[u8]>, None::<&[u8]>);
                continue;
            }
            let prefix = prefix(cf);
            let keys: Vec<&[u8]> =
                notes.iter().filter_map(|note| note.key.strip_prefix(prefix.as_slice())).collect();
            for (first, last) in stretches(&keys) {
                self.db.rocks.compact_range_cf(handle, Some(first), Some(last));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use belfry_proto::{
        crypto::{secret::Secret, sign::SigningKey},
        id::CoalitionId,
    };

    use super::*;
    use crate::store::Owner;

    fn key(log: u8, n: u64) -> Vec<u8> {
        [[log; 4].as_slice(), &n.to_be_bytes()].concat()
    }

    #[test]
    fn neighbours_are_rewritten_together_and_what_lies_between_distant_rows_is_left_alone() {
        let keys = [key(1, 5), key(1, 6), key(1, 200), key(1, 90_000), key(2, 90_001), vec![3], vec![3, 4]];
        let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        let found = stretches(&keys);
        let expected = [(0, 2), (3, 3), (4, 4), (5, 5), (6, 6)];
        assert_eq!(found, expected.map(|(first, last)| (keys[first], keys[last])));
        let many: Vec<Vec<u8>> = (0..1_000).map(|n| key(1, n)).collect();
        let many: Vec<&[u8]> = many.iter().map(Vec::as_slice).collect();
        assert_eq!(stretches(&many).len(), 4, "in bounded stretches");
    }

    #[test]
    fn what_is_noted_again_while_files_are_rewritten_is_not_forgotten() {
        let folder = tempfile::TempDir::new().unwrap();
        let node = SigningKey::from_seed(&[1; 32]).public();
        let owner = Owner { coalition: CoalitionId::new([1; 32]), node };
        let store = Store::open(&folder.path().join("store"), owner, &Secret::new([9; 32])).unwrap();
        let noted = |keys: &[&[u8]]| {
            let mut txn = Txn::new(&store.db, Timestamp::ZERO);
            for key in keys {
                put(&mut txn, Cf::Objects, key);
            }
            txn.done().write(&store.db).unwrap();
        };
        noted(&[b"one", b"two"]);
        let notes = store.purge_notes(MOST).unwrap();
        noted(&[b"two"]);
        store.commit_blocking(Change::Purged(notes)).unwrap();
        let left = store.purge_notes(MOST).unwrap();
        assert!(left.len() == 1 && left[0].key.ends_with(b"two"), "{left:?}");
        store.purge().unwrap();
        assert!(!store.has_purges().unwrap());
    }
}
