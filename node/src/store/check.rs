//! Looking at every row: does it read, open and agree with what points to it?
//!
//! RocksDB's checksums tell that a block is damaged when it is read, and nothing else reads everything at once. This
//! does, offline, and names each damaged row and stretch. [`super::Salvage`] makes a sound database of the rest.

use std::path::Path;

use belfry_proto::{crypto::secret::Secret, envelope};
use prost::Message;

use super::{
    OpenError, Owner, ReadError, Store, WriteError, columns,
    columns::Cf,
    db::Db,
    messages, open,
    past::Past,
    values::{ClaimValue, DatesValue, EnvelopeValue, LogValue},
    vault::damaged,
};

/// Damaged rows named; beyond it they are only counted.
const NAMED: usize = 100;

/// What a look at every row found.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// Every column family, in order.
    pub columns: Vec<CheckedColumn>,
    /// Damaged rows, the first hundred.
    pub damaged: Vec<ReadError>,
    /// How many there are in all.
    pub damages: u64,
}

/// One column family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckedColumn {
    /// Its name.
    pub name: &'static str,
    /// Rows read.
    pub rows: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
}

impl Health {
    fn note(&mut self, error: ReadError) {
        self.damages += 1;
        if self.damaged.len() < NAMED {
            self.damaged.push(error);
        }
    }
}

impl Store {
    /// Whether a stopped node's database opens as it has to, and every row of it reads. `progress` is told each column family as
    /// it is done.
    ///
    /// # Errors
    /// [`OpenError`] of what is no damage: somebody else has it, or it is somebody else's.
    pub fn is_sound(
        path: &Path,
        owner: Owner,
        master: &Secret,
        progress: impl FnMut(&CheckedColumn),
    ) -> Result<bool, OpenError> {
        // One that is not there would be made.
        if !matches!(open::version(path), Ok(Some(_))) {
            return Ok(false);
        }
        match open::open(path, owner, master) {
            Ok(db) => Ok(all(&db, progress).damages == 0),
            Err(error) if error.is_damage() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads every row. `progress` is told each column family as it is done. Reads of a live database are
    /// fine, but a row written meanwhile may be told as pointing nowhere.
    pub fn check(&self, progress: impl FnMut(&CheckedColumn)) -> Health {
        all(&self.db, progress)
    }

    /// Rewrites every column family without what was deleted or replaced. Takes as much free space as the
    /// largest column for a while.
    ///
    /// # Errors
    /// [`WriteError`], when not all of it was: there was no room, mostly.
    pub fn compact(&self, mut progress: impl FnMut(&'static str)) -> Result<(), WriteError> {
        self.db.rewriting(|| {
            for cf in Cf::ALL {
                progress(cf.name());
                self.db.rocks.flush_cf(self.db.cf(cf))?;
                self.db.rocks.compact_range_cf(self.db.cf(cf), None::<&[u8]>, None::<&[u8]>);
            }
            Ok(())
        })
    }
}

/// Reads every row, past what does not read.
pub(super) fn all(db: &Db, mut progress: impl FnMut(&CheckedColumn)) -> Health {
    let mut health = Health::default();
    for cf in Cf::ALL {
        let mut column = CheckedColumn { name: cf.name(), rows: 0, bytes: 0 };
        for row in Past::of(db, cf) {
            match row {
                Ok((key, value)) => {
                    column.rows += 1;
                    column.bytes += (key.len() + value.len()) as u64;
                    let sound = reads(db, cf, &key, &value).and_then(|()| points(db, cf, &key, &value));
                    if let Err(error) = sound {
                        health.note(error);
                    }
                }
                Err(lost) => health.note(ReadError::Unreadable {
                    column: lost.column,
                    after: lost.after,
                    says: lost.error.to_string(),
                }),
            }
        }
        progress(&column);
        health.columns.push(column);
    }
    health
}

/// Whether a row opens, decodes and hashes to what it says, whatever other rows there are.
pub(super) fn reads(db: &Db, cf: Cf, key: &[u8], value: &[u8]) -> Result<(), ReadError> {
    let fault = |detail| damaged(cf, key, detail);
    match cf {
        Cf::Objects | Cf::Bereft | Cf::Reporters | Cf::Keys | Cf::Drafts | Cf::Tokens => {
            db.vault.open(cf, key, value).map(drop)
        }
        Cf::Envelopes | Cf::Forks => {
            let row = EnvelopeValue::decode(value).map_err(|_| fault("does not decode"))?;
            let id = row.id().map_err(|_| fault("has no id"))?;
            let found = envelope::decode(&row.bytes).map_err(|_| fault("holds no envelope"))?;
            match found.message_id() == id {
                true => Ok(()),
                false => Err(fault("holds another envelope than it says")),
            }
        }
        Cf::Messages => {
            let (place, said) = messages::read(value).ok_or_else(|| fault("points nowhere"))?;
            let read = place.get(..columns::PLACE_LEN).and_then(columns::read_place);
            read.ok_or_else(|| fault("points nowhere"))?;
            DatesValue::decode(said).map(drop).map_err(|_| fault("does not decode"))
        }
        Cf::ById => ClaimValue::decode(value).map(drop).map_err(|_| fault("does not decode")),
        Cf::Logs => LogValue::decode(value).map(drop).map_err(|_| fault("does not decode")),
        // Their values are checked when they are folded, opened or followed at start.
        Cf::Meta
        | Cf::DataKeys
        | Cf::Charters
        | Cf::Records
        | Cf::Seen
        | Cf::Unjudged
        | Cf::Reopen
        | Cf::Waiting
        | Cf::ByType
        | Cf::Observables
        | Cf::Feed
        | Cf::Queue
        | Cf::Idempotency
        | Cf::Addresses
        | Cf::Parked
        | Cf::Withdrawals
        | Cf::Reweigh
        | Cf::Purge
        | Cf::Embargoes => Ok(()),
    }
}

/// Whether what a row points to is there.
fn points(db: &Db, cf: Cf, key: &[u8], value: &[u8]) -> Result<(), ReadError> {
    let fault = |detail| damaged(cf, key, detail);
    let is_there = |there: bool, detail| if there { Ok(()) } else { Err(fault(detail)) };
    match cf {
        Cf::Envelopes | Cf::Forks => {
            let row = EnvelopeValue::decode(value).map_err(|_| fault("does not decode"))?;
            let id = row.id().map_err(|_| fault("has no id"))?;
            let place = messages::stored_place(db, id.as_ref())?;
            is_there(place.as_deref() == Some(key), "is not where its message id points")
        }
        Cf::Messages => {
            let (place, _) = messages::read(value).ok_or_else(|| fault("points nowhere"))?;
            let envelope = db.get(columns::holder(place), place)?;
            is_there(envelope.is_some(), "points to no envelope")
        }
        Cf::Unjudged => is_there(db.get(Cf::Logs, key)?.is_some(), "names no log"),
        Cf::Reopen => is_there(db.get(Cf::Messages, key)?.is_some(), "names no message"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use crate::store::{
        Change, TokenRow, WriteError,
        columns::Cf,
        tests::{commit, envelope, open},
    };

    #[test]
    fn a_row_that_points_to_nothing_is_found() {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        assert_eq!(store.check(|_| {}).damages, 0);
        // This envelope's bytes are none.
        commit(&store, envelope(1));
        let health = store.check(|_| {});
        assert_eq!(health.damages, 1);
        assert!(health.damaged[0].to_string().contains("holds no envelope"), "{:?}", health.damaged);
    }

    /// Who has compacted believes that what was deleted is gone, and notes of what is to go are taken away then.
    #[test]
    fn a_compaction_that_comes_to_nothing_is_told() {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        let put =
            |n: u8| store.commit_blocking(Change::Token(TokenRow { id: [n; 8], body: vec![n] })).unwrap();
        put(1);
        put(3);
        store.compact(|_| {}).unwrap();
        put(2);
        // Between the two others, in a file of its own: the next compaction has files to write.
        Cf::ALL.iter().for_each(|cf| store.db.rocks.flush_cf(store.db.cf(*cf)).unwrap());
        std::fs::rename(folder.path().join("store"), folder.path().join("elsewhere")).unwrap();
        let told = store.compact(|_| {});
        assert!(matches!(told, Err(WriteError::Unfinished | WriteError::Read(_))), "{told:?}");
    }
}
