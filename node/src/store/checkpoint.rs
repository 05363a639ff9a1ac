//! Copies of the database, and what a copy must not do: go on where another copy went on.
//!
//! A node writes its own logs strictly one after the other, and a sequence used twice is a fork. So every
//! database has an *incarnation*, a random name it got when it was made, copied or restored, and remembers which
//! logs it opened itself. Only those are gone on with: in a copy, by whatever way that becomes a node's database, or on an
//! empty disk that got its own history back from peers, the next message opens a new log.
//!
//! A copy that other tools made (`cp`, `rsync`, a file backup, or a belfry that gave copies no name of their own) has the name
//! of what was copied. So a database also notes the folder it was opened in last and the files it was opened of, by when the file
//! system made those: in others it gets a new name. Moved as a whole it stays itself. What puts back whole disks is not met by this; then peers
//! tell what they hold (`membership::claims`).
//!
//! What was queued in a database that was copied waits for a person from then on: it may have gone out since.

use std::{fs, path::Path, time::UNIX_EPOCH};

use belfry_proto::{
    crypto::secret::Secret,
    id::{GroupId, LogId},
};
use rocksdb::checkpoint::Checkpoint;

use super::{
    OpenError, Owner, ReadError, Store,
    columns::{Cf, Key},
    db::Db,
    drafts, open,
    txn::Txn,
    vault::damaged,
};

/// Where the incarnation stands in [`Cf::Meta`].
pub(super) const INCARNATION_KEY: &[u8] = b"incarnation";

/// Where it stands there when the folder and the files were made of which the database was opened last.
const PLACE_KEY: &[u8] = b"place";

/// Names one life of a database.
pub(super) type Incarnation = [u8; 16];

/// Where a log of our own is noted, with the incarnation that opened it.
fn own_log(group: GroupId, log: LogId) -> Vec<u8> {
    Key::default().bytes(b"own-log:").u32(group.get()).bytes(log.as_ref()).done()
}

/// A name no database had before.
pub(super) fn fresh() -> Incarnation {
    rand::random()
}

/// Gives the database another life if it was never opened in this folder, of these files. Where the file system does not say when
/// they were made nothing is known, and nothing changes.
pub(super) fn settle(db: &Db) -> Result<(), OpenError> {
    let Some(here) = made(&db.path) else { return Ok(()) };
    if db.get(Cf::Meta, PLACE_KEY)?.as_deref() == Some(here.as_slice()) {
        return Ok(());
    }
    drafts::hold_queued(db)?;
    // Last: only this makes it another one.
    let mut batch = rocksdb::WriteBatch::default();
    batch.put_cf(db.cf(Cf::Meta), PLACE_KEY, here);
    batch.put_cf(db.cf(Cf::Meta), INCARNATION_KEY, fresh());
    let written = db.rocks.write_opt(batch, &synced());
    written.map_err(|source| OpenError::Database { path: db.path.clone(), source })
}

/// When the folder was made, and the file in it that RocksDB makes once for each database: in nanoseconds since the epoch. Files put
/// back into the folder they came from are made anew, too.
fn made(folder: &Path) -> Option<Vec<u8>> {
    let mut made = Vec::with_capacity(32);
    for path in [folder.to_owned(), folder.join("IDENTITY")] {
        let at = fs::metadata(path).ok()?.created().ok()?;
        made.extend(at.duration_since(UNIX_EPOCH).ok()?.as_nanos().to_be_bytes());
    }
    Some(made)
}

/// Notes that this database writes `log`, unless it says so already.
pub(super) fn note_own_log(txn: &mut Txn<'_>, group: GroupId, log: LogId) -> Result<(), ReadError> {
    let key = own_log(group, log);
    let Some(incarnation) = txn.get(Cf::Meta, INCARNATION_KEY)? else { return Ok(()) };
    if txn.get(Cf::Meta, &key)?.as_ref() != Some(&incarnation) {
        txn.put(Cf::Meta, key, incarnation);
    }
    Ok(())
}

impl Store {
    /// Whether this database, in this life of it, opened the log and so may go on with it.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn writes_log(&self, group: GroupId, log: LogId) -> Result<bool, ReadError> {
        let opened_by = self.db.get(Cf::Meta, &own_log(group, log))?;
        Ok(opened_by.is_some() && opened_by == self.db.get(Cf::Meta, INCARNATION_KEY)?)
    }

    /// Copies the database as it stands into the new folder `to`. Files that never change are linked where
    /// the file system allows, so this is quick and takes little room until they are replaced. The copy goes on with
    /// none of the logs it holds, also where somebody puts it in the place of a database by hand.
    ///
    /// # Errors
    /// RocksDB's; `to` may then be there in part.
    pub fn checkpoint(&self, to: &Path) -> Result<(), ReadError> {
        Checkpoint::new(&self.db.rocks)?.create_checkpoint(to)?;
        let copy = open::raw(to)?;
        let meta = copy.cf_handle(Cf::Meta.name());
        let meta = meta.ok_or_else(|| damaged(Cf::Meta, INCARNATION_KEY, "has no column in the copy"))?;
        Ok(copy.put_cf_opt(meta, INCARNATION_KEY, fresh(), &synced())?)
    }

    /// Gives a copied database another life once more: of two that are made of one copy, neither goes on with what the other
    /// opened. What was queued in it waits for a person.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn reborn(path: &Path, owner: Owner, master: &Secret) -> Result<(), OpenError> {
        let db = open::open(path, owner, master)?;
        drafts::hold_queued(&db)?;
        db.rocks
            .put_cf_opt(db.cf(Cf::Meta), INCARNATION_KEY, fresh(), &synced())
            .map_err(|source| OpenError::Database { path: path.to_owned(), source })
    }
}

fn synced() -> rocksdb::WriteOptions {
    let mut synced = rocksdb::WriteOptions::default();
    synced.set_sync(true);
    synced
}

#[cfg(test)]
mod tests {
    use belfry_proto::{id::PublicationId, schema::Tlp};
    use tempfile::TempDir;

    use super::*;
    use crate::{
        store::{
            Change, DraftRow, DraftState,
            tests::{GROUP, commit, draft, envelope, master, object, open, owner, with_objects},
        },
        testing::skipped,
    };

    const LOG: LogId = LogId::new([1; 32]);
    const NO_DATE: &str = "copies by other tools: this file system does not say when a folder was made";

    /// Seals a first message, in a log that it opens.
    fn publish(store: &Store) {
        store.commit_blocking(Change::Draft(draft(1, None))).unwrap();
        let envelopes = vec![with_objects(1, vec![object("a", "1", Tlp::Amber)])];
        let publication = PublicationId::new([1; 16]);
        store.commit_blocking(Change::Flushed { publication, envelopes }).unwrap();
    }

    /// Opens what another handle may have let go of just now.
    fn opened(path: &Path) -> Store {
        loop {
            match Store::open(path, owner(1), &master()) {
                Err(OpenError::InUse { .. }) => std::thread::yield_now(),
                other => break other.unwrap(),
            }
        }
    }

    /// Returns when nobody writes to the database any more.
    fn closed(path: &Path) {
        loop {
            match super::open::raw(path).map_err(|source| super::open::refused(path, source)) {
                Err(OpenError::InUse { .. }) => std::thread::yield_now(),
                other => break drop(other.unwrap()),
            }
        }
    }

    #[test]
    fn a_copy_made_by_other_tools_goes_on_with_no_log_and_a_moved_database_with_all() {
        let folder = TempDir::new().unwrap();
        let [home, copy, moved] = ["store", "copy", "moved"].map(|name| folder.path().join(name));
        let store = open(&folder);
        if made(&home).is_none() {
            return skipped(NO_DATE);
        }
        publish(&store);
        drop(store);
        assert!(opened(&home).writes_log(GROUP, LOG).unwrap(), "opened again where it was");
        closed(&home);
        fs::create_dir(&copy).unwrap();
        for file in fs::read_dir(&home).unwrap().map(Result::unwrap) {
            fs::copy(file.path(), copy.join(file.file_name())).unwrap();
        }
        fs::rename(&home, &moved).unwrap();
        assert!(opened(&moved).writes_log(GROUP, LOG).unwrap(), "moved as a whole");
        let copied = opened(&copy);
        assert_eq!(copied.logs(GROUP).len(), 1);
        assert!(!copied.writes_log(GROUP, LOG).unwrap());
        drop(copied);
        // Put back into the folder of what it was copied from.
        closed(&moved);
        closed(&copy);
        for file in fs::read_dir(&moved).unwrap().map(Result::unwrap) {
            fs::remove_file(file.path()).unwrap();
        }
        for file in fs::read_dir(&copy).unwrap().map(Result::unwrap) {
            fs::copy(file.path(), moved.join(file.file_name())).unwrap();
        }
        assert!(!opened(&moved).writes_log(GROUP, LOG).unwrap());
    }

    /// What is in its place now may have been put there since, and goes by the name of what it was copied from.
    #[test]
    fn a_database_that_never_noted_where_it_is_goes_on_with_no_log() {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        if made(&store.db.path).is_none() {
            return skipped(NO_DATE);
        }
        publish(&store);
        store.db.rocks.delete_cf(store.db.cf(Cf::Meta), PLACE_KEY).unwrap();
        drop(store);
        assert!(!open(&folder).writes_log(GROUP, LOG).unwrap());
    }

    /// It may have gone out after the copy was made, and have been taken back.
    #[test]
    fn what_was_queued_waits_for_a_person_in_a_copy_and_goes_out_from_what_was_copied() {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        // More than one write holds, and one that takes back.
        for n in 1..=40 {
            store.commit_blocking(Change::Draft(draft(n, None))).unwrap();
        }
        let back = DraftRow { parts: Vec::new(), ..draft(41, None) };
        store.commit_blocking(Change::Draft(back)).unwrap();
        let copy = folder.path().join("copy");
        store.checkpoint(&copy).unwrap();
        Store::reborn(&copy, owner(1), &master()).unwrap();

        let [first, back] = [1, 41].map(|n| PublicationId::new([n; 16]));
        let copied = opened(&copy);
        assert_eq!(copied.queued(99).unwrap(), [back], "said twice it says nothing new");
        assert_eq!(copied.held_drafts(|_| true, None, 99).unwrap().0.len(), 40);
        let row = copied.draft(first).unwrap().unwrap();
        assert_eq!((row.state, row.error.is_some()), (DraftState::Held, true));
        assert_eq!(row.parts, draft(1, None).parts, "nothing of it is lost");
        assert_eq!(store.queued(99).unwrap().len(), 41);
        let reminded = |store: &Store| store.copied_drafts(99).unwrap();
        assert_eq!((reminded(&store), reminded(&copied)), (0, 40));
        // Who lets it go out is not asked again at the next start.
        let released =
            Change::DraftReleased { publication: first, reason: None, parts: row.parts, given: None };
        copied.commit_blocking(released).unwrap();
        copied.commit_blocking(Change::DraftDiscarded { publication: PublicationId::new([2; 16]) }).unwrap();
        assert_eq!(reminded(&copied), 38, "of what somebody decided on nobody is reminded");
        drop(copied);
        assert_eq!(opened(&copy).queued(99).unwrap(), [first, back]);
    }

    #[test]
    fn only_logs_that_this_database_opened_are_gone_on_with() {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        store.commit_blocking(Change::Draft(draft(1, None))).unwrap();
        assert!(!store.writes_log(GROUP, LOG).unwrap());
        let envelopes = vec![with_objects(1, vec![object("a", "1", Tlp::Amber)])];
        store
            .commit_blocking(Change::Flushed { publication: PublicationId::new([1; 16]), envelopes })
            .unwrap();
        assert!(store.writes_log(GROUP, LOG).unwrap());

        // Put in the place of a database as it is, or restored.
        for is_restored in [false, true] {
            let copy = folder.path().join(format!("copy-{is_restored}"));
            store.checkpoint(&copy).unwrap();
            if is_restored {
                Store::reborn(&copy, owner(1), &master()).unwrap();
            }
            let copied = Store::open(&copy, owner(1), &master()).unwrap();
            assert_eq!(copied.logs(GROUP), store.logs(GROUP));
            assert!(!copied.writes_log(GROUP, LOG).unwrap());
            assert!(store.writes_log(GROUP, LOG).unwrap(), "what was copied goes on");
        }
        // What comes back from peers was not opened here either.
        let other = TempDir::new().unwrap();
        let wiped = open(&other);
        commit(&wiped, envelope(1));
        assert!(!wiped.writes_log(GROUP, LOG).unwrap());
    }
}
