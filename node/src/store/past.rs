//! A column's rows, past what does not read.
//!
//! A damaged block ends RocksDB's iterator. [`Past`] finds the next key at which another thing happens than this error,
//! so that what is lost is the block and no more: the error names the file and the place in it.

use rocksdb::{DB, DBIteratorWithThreadMode, Direction, IteratorMode, ReadOptions};

use super::{
    ReadError,
    columns::Cf,
    db::{Db, Row},
};

/// Bytes of the longest key, and some.
const WIDTH: usize = 112;
/// Damages in a row that are looked at one by one. Beyond it a disk is dying, and its whole stretch is passed in one.
const MOST_IN_A_ROW: u32 = 256;

/// A stretch of a column that does not read, or one row of it.
#[derive(Clone, Debug)]
pub struct Lost {
    /// Its column.
    pub column: &'static str,
    /// Why.
    pub error: ReadError,
    /// Behind this key, hexadecimal; empty from the beginning.
    pub after: String,
}

pub(super) fn lost(cf: Cf, key: &[u8], error: ReadError) -> Lost {
    Lost { column: cf.name(), error, after: hex::encode(key) }
}

/// A column's rows, past what does not read.
pub(super) struct Past<'a> {
    db: &'a Db,
    cf: Cf,
    rows: Option<DBIteratorWithThreadMode<'a, DB>>,
    last: Vec<u8>,
    /// Damages since the last row.
    in_a_row: u32,
}

impl<'a> Past<'a> {
    pub(super) fn of(db: &'a Db, cf: Cf) -> Self {
        Self { db, cf, rows: Some(rows_from(db, cf, &[])), last: Vec::new(), in_a_row: 0 }
    }
}

impl Iterator for Past<'_> {
    type Item = Result<Row, Lost>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.rows.as_mut()?.next()? {
            Ok((key, value)) => {
                self.last.clear();
                self.last.extend_from_slice(&key);
                self.in_a_row = 0;
                Some(Ok((key, value)))
            }
            Err(error) => {
                let (db, cf) = (self.db, self.cf);
                self.in_a_row += 1;
                let is_any = self.in_a_row > MOST_IN_A_ROW;
                let met = |from: &[u8]| rows_from(db, cf, from).next().and_then(Result::err);
                let next = beyond(&self.last, |from| met(from).is_none_or(|other| !is_any && other != error));
                let found = lost(cf, &self.last, error.into());
                self.rows = next.as_ref().map(|from| rows_from(db, cf, from));
                self.last = next.unwrap_or_default();
                Some(Err(found))
            }
        }
    }
}

/// Rows from a key on, in the order of their keys, past the cache that others live by.
pub(super) fn rows_from<'a>(db: &'a Db, cf: Cf, from: &[u8]) -> DBIteratorWithThreadMode<'a, DB> {
    let mut options = ReadOptions::default();
    options.fill_cache(false);
    options.set_total_order_seek(true);
    db.rocks.iterator_cf_opt(db.cf(cf), options, IteratorMode::From(from, Direction::Forward))
}

/// The lowest key above `last` that is past one damage, if some key is. Keys are numbers here; one damage lies in one
/// piece, so its end is found by doubling and halving.
fn beyond(last: &[u8], is_past: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    let mut base = [0; WIDTH];
    for (to, from) in base.iter_mut().zip(last) {
        *to = *from;
    }
    let end = (0..WIDTH * 8).find(|bit| plus(&base, *bit).is_none_or(|key| is_past(&key)));
    let end = end.unwrap_or(WIDTH * 8);
    for bit in (0..end).rev() {
        if let Some(key) = plus(&base, bit).filter(|key| !is_past(key)) {
            base = key;
        }
    }
    plus(&base, 0).filter(|key| is_past(key)).map(|key| key.to_vec())
}

/// A key so many keys further; `None` behind the last there can be.
fn plus(key: &[u8; WIDTH], bit: usize) -> Option<[u8; WIDTH]> {
    let mut sum = *key;
    let mut carry = 1_u8 << (bit % 8);
    for byte in sum.iter_mut().rev().skip(bit / 8) {
        let (value, overflows) = byte.overflowing_add(carry);
        *byte = value;
        if !overflows {
            return Some(sum);
        }
        carry = 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use belfry_proto::{
        crypto::{secret::Secret, sign::SigningKey},
        id::CoalitionId,
    };
    use proptest::prelude::*;

    use super::*;
    use crate::store::{Owner, open};

    fn padded(key: &[u8]) -> Vec<u8> {
        let mut padded = key.to_vec();
        padded.resize(WIDTH, 0);
        padded
    }

    proptest! {
        #[test]
        fn the_end_of_a_damage_is_found_exactly(last: Vec<u8>, further: Vec<u8>) {
            let last = &last[..last.len().min(WIDTH)];
            let mut end = further;
            end.truncate(WIDTH - 1);
            let end = [end.as_slice(), &[1]].concat();
            prop_assume!(padded(&end) > padded(last));
            let found = beyond(last, |key| key >= padded(&end).as_slice());
            prop_assert_eq!(found, Some(padded(&end)));
            prop_assert_eq!(beyond(last, |_| false), None);
        }
    }

    /// A row for each number, each in a block of its own.
    fn rows(count: u64) -> (tempfile::TempDir, Owner, Secret) {
        let folder = tempfile::TempDir::new().unwrap();
        let node = SigningKey::from_seed(&[1; 32]).public();
        let (owner, master) = (Owner { coalition: CoalitionId::new([1; 32]), node }, Secret::new([9; 32]));
        let db = open::open(folder.path(), owner, &master).unwrap();
        for number in 0..count {
            db.rocks.put_cf(db.cf(Cf::Addresses), number.to_be_bytes(), value(number)).unwrap();
        }
        db.rocks.flush_cf(db.cf(Cf::Addresses)).unwrap();
        (folder, owner, master)
    }

    fn value(number: u64) -> Vec<u8> {
        number.to_le_bytes().repeat(1000)
    }

    fn flip(folder: &Path, number: u64) {
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut flipped = 0;
        for path in files.filter(|path| path.extension().is_some_and(|end| end == "sst")) {
            let (mut bytes, value) = (fs::read(&path).unwrap(), value(number));
            if let Some(at) = bytes.windows(value.len()).position(|window| window == value) {
                bytes[at + value.len() / 2] ^= 0x10;
                fs::write(&path, bytes).unwrap();
                flipped += 1;
            }
        }
        assert_eq!(flipped, 1);
    }

    /// What reads of so many rows when these are damaged, and how many damages are told of.
    fn read(count: u64, damaged: &[u64]) -> (Vec<u64>, usize) {
        let (folder, owner, master) = rows(count);
        damaged.iter().for_each(|number| flip(folder.path(), *number));
        let db = open::open_damaged(folder.path(), owner, &master).unwrap();
        let (read, lost): (Vec<_>, Vec<_>) = Past::of(&db, Cf::Addresses).partition(Result::is_ok);
        let number = |key: &[u8]| u64::from_be_bytes(key.try_into().unwrap());
        (read.into_iter().map(|row| number(&row.unwrap().0)).collect(), lost.len())
    }

    #[test]
    fn rows_between_two_damaged_blocks_are_read() {
        // Seen from 8, doubling meets 9, 10, 12, 16 and 24: damaged but the last, with whole rows between.
        for damaged in [&[9, 10, 12, 16][..], &[9, 11], &[0, 1, 2], &[30, 39], &[3]] {
            let whole: Vec<u64> = (0..40).filter(|number| !damaged.contains(number)).collect();
            assert_eq!(read(40, damaged), (whole, damaged.len()), "{damaged:?}");
        }
        assert_eq!(read(4, &[0, 1, 2, 3]).0, [0_u64; 0]);
    }
}
