//! Reading everything from time to time, a little at a time.
//!
//! A bit that flips in a file that nobody reads stays unknown until a peer asks for just that message, years later, when
//! perhaps nobody else holds it any more. So every row is read once in a while.

use super::{Store, check, columns::Cf, past::rows_from};

/// Where a round of reading is.
#[derive(Clone, Debug, Default)]
pub struct Scrub {
    column: usize,
    /// The next key of it.
    from: Vec<u8>,
}

/// What a step of a round came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scrubbed {
    /// There is more to read.
    More,
    /// All was read.
    Done,
}

impl Store {
    /// Reads on for about so many bytes. What does not read is noted for [`Self::damage`], and read past.
    pub fn scrub(&self, at: &mut Scrub, bytes: usize) -> Scrubbed {
        let mut room = bytes;
        while let Some(cf) = Cf::ALL.get(at.column) {
            for row in rows_from(&self.db, *cf, &std::mem::take(&mut at.from)) {
                let (key, value) = match row {
                    Ok(row) => row,
                    Err(error) => {
                        self.db.vault.damage.met(error.into());
                        break;
                    }
                };
                if let Err(error) = check::reads(&self.db, *cf, &key, &value)
                    // Written anew meanwhile? Then another reads it.
                    && self.db.get(*cf, &key).is_ok_and(|now| now.as_deref() == Some(value.as_ref()))
                {
                    self.db.vault.damage.met(error);
                }
                let size = key.len() + value.len();
                if size >= room {
                    at.from = [key.as_ref(), &[0]].concat();
                    return Scrubbed::More;
                }
                room -= size;
            }
            at.column += 1;
        }
        *at = Scrub::default();
        Scrubbed::Done
    }
}

#[cfg(test)]
impl Store {
    /// Changes a sealed row behind everybody's back.
    pub(crate) fn damage_row(&self, column: &str, key: &[u8]) {
        let cf = *Cf::ALL.iter().find(|cf| cf.name() == column).unwrap();
        let mut value = self.db.get(cf, key).unwrap().unwrap();
        *value.last_mut().unwrap() ^= 1;
        self.db.rocks.put_cf(self.db.cf(cf), key, value).unwrap();
    }

    /// Makes a value one that does not read.
    pub(crate) fn damage_value(&self, column: &str, key: &[u8]) {
        let cf = *Cf::ALL.iter().find(|cf| cf.name() == column).unwrap();
        assert!(self.db.get(cf, key).unwrap().is_some());
        self.db.rocks.put_cf(self.db.cf(cf), key, [0xff; 3]).unwrap();
    }

    /// Makes every value of a column one that does not read.
    pub(crate) fn damage_column(&self, column: &str) {
        let cf = *Cf::ALL.iter().find(|cf| cf.name() == column).unwrap();
        for row in self.db.scan(cf, &[], &[]) {
            let (key, _) = row.unwrap();
            self.db.rocks.put_cf(self.db.cf(cf), key, [0xff; 3]).unwrap();
        }
    }
}
