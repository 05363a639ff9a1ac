//! What is erased leaves the disk.
//!
//! RocksDB only marks rows as gone. Their bytes stay in its log until every column is flushed, and in its tables
//! until those are compacted. Which rows that concerns stands in a column of its own, from the batch that erases
//! until their files are rewritten, so that a crash between costs a repetition.

use super::{ReadError, Store, columns::Cf, txn::Txn};

/// Rows compacted each for itself; more are one range.
const SINGLY: usize = 64;

/// Has the earlier values of a row leave the disk.
pub(super) fn put(txn: &mut Txn<'_>, cf: Cf, key: &[u8]) {
    txn.put(Cf::Purge, [prefix(cf).as_slice(), key].concat(), Vec::new());
}

fn prefix(cf: Cf) -> Vec<u8> {
    [cf.name().as_bytes(), &[0]].concat()
}

impl Store {
    /// Whether bodies were taken whose bytes may still lie in files.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn has_purges(&self) -> Result<bool, ReadError> {
        Ok(self.db.scan(Cf::Purge, &[], &[]).next().transpose()?.is_some())
    }

    /// Rewrites the files that may still hold what was erased. Waits for the disk.
    ///
    /// # Errors
    /// [`ReadError`]; what was not done stays to be done.
    pub fn purge(&self) -> Result<(), ReadError> {
        let mut work = Vec::new();
        for row in self.db.scan(Cf::Purge, &[], &[]) {
            work.push(row?.0);
        }
        if work.is_empty() {
            return Ok(());
        }
        for cf in Cf::ALL {
            self.db.rocks.flush_cf(self.db.cf(cf))?;
        }
        for cf in Cf::ALL {
            let prefix = prefix(cf);
            let keys: Vec<&[u8]> =
                work.iter().filter_map(|key| key.strip_prefix(prefix.as_slice())).collect();
            let handle = self.db.cf(cf);
            if matches!(cf, Cf::Drafts | Cf::Parked | Cf::Bereft) {
                // Small, and they held copies of what became messages, or went.
                self.db.rocks.compact_range_cf(handle, None::<&[u8]>, None::<&[u8]>);
            } else if keys.len() > SINGLY {
                self.db.rocks.compact_range_cf(handle, keys.first().copied(), keys.last().copied());
            } else {
                for key in keys {
                    self.db.rocks.compact_range_cf(handle, Some(key), Some(key));
                }
            }
        }
        let mut done = rocksdb::WriteBatch::default();
        for key in work {
            done.delete_cf(self.db.cf(Cf::Purge), key);
        }
        Ok(self.db.rocks.write(done)?)
    }
}
