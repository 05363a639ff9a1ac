//! Old stores, made by taking away what a newer version wrote.

use std::{cell::Cell, collections::BTreeMap};

use belfry_proto::{
    id::{LogId, MemberId, MessageId, PublicationId, Sequence},
    schema::{self, Tlp},
    time::Timestamp,
};
use tempfile::TempDir;

use super::*;
use crate::{
    clock,
    store::{
        Aged, Change, Embargo, EnvelopeRow, LogRow, Store, TokenRow, logs, open,
        tests::{
            GROUP, commit, draft, envelope, id, master, object, open as opened, owner, page, with_objects,
        },
    },
};

/// Bytes whose body can be taken out.
fn whole() -> Vec<u8> {
    let envelope =
        schema::Envelope { header: vec![1; 50], body: Some(vec![2; 500]), ..schema::Envelope::default() };
    envelope.encode_to_vec()
}

/// Logs with a fork, a body that is gone, rows behind their entries; and what else there is.
fn filled(store: &Store) {
    for n in 1..=150 {
        commit(store, EnvelopeRow { bytes: whole(), ..envelope(n) });
    }
    let of_other = |n: u64| {
        let of = |n: u64| if n == 0 { MessageId::ZERO } else { id(1_000 + n) };
        EnvelopeRow { log: LogId::new([2; 32]), id: of(n), prev: of(n - 1), ..envelope(n) }
    };
    for n in 1..=3 {
        commit(store, of_other(n));
    }
    commit(store, EnvelopeRow { id: id(2_000), bytes: vec![1; 77], ..of_other(2) });
    let through = Sequence::new(2);
    let log = LogId::new([1; 32]);
    let aged = Aged { group: GROUP, log, messages: vec![id(1), id(2)], through, more: false };
    store.commit_blocking(Change::Expire(aged)).unwrap();
    let prev = id(150);
    let row =
        EnvelopeRow { prev, ..with_objects(151, vec![object("a", "2026-01-01T00:00:00Z", Tlp::Amber)]) };
    commit(store, row);
    store.commit_blocking(Change::Draft(draft(1, Some("key")))).unwrap();
    store.commit_blocking(Change::Token(TokenRow { id: [4; 8], body: b"scope".to_vec() })).unwrap();
}

/// All that can be asked of [`filled`].
fn told(store: &Store) -> String {
    let rows: Vec<_> = page(store, None, None, 10).rows.into_iter().map(|row| (row.id, row.raw)).collect();
    let envelopes =
        store.envelopes(GROUP, LogId::new([1; 32]), Sequence::new(1), Sequence::new(200), 1 << 20);
    format!(
        "{:?} {rows:?} {envelopes:?} {:?} {:?} {:?}",
        store.all_logs(None),
        store.draft(PublicationId::new([1; 16])).unwrap(),
        store.by_idempotency("key").unwrap().is_some(),
        store.tokens().unwrap(),
    )
}

/// As the version before wrote it.
fn downgraded(db: &Db) {
    let mut batch = WriteBatch::default();
    for row in db.scan(Cf::Logs, &[], &[]) {
        let (key, value) = row.unwrap();
        let mut log = LogValue::decode(value.as_ref()).unwrap();
        log.size = 0;
        batch.put_cf(db.cf(Cf::Logs), key, log.encode_to_vec());
    }
    for row in db.scan(Cf::Embargoes, &[], &[]) {
        batch.delete_cf(db.cf(Cf::Embargoes), row.unwrap().0);
    }
    batch.put_cf(db.cf(Cf::Meta), SCHEMA_KEY, OLDEST.to_be_bytes());
    db.rocks.write(batch).unwrap();
}

/// A store of the version before, and what it told when it was written.
fn old(folder: &TempDir) -> String {
    let store = opened(folder);
    filled(&store);
    let before = told(&store);
    downgraded(&store.db);
    before
}

#[test]
fn a_store_of_the_version_before_opens_with_all_of_it() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("store");
    assert_eq!(Store::version(&path).unwrap(), None, "none yet");
    let before = old(&folder);
    assert_eq!(Store::version(&path).unwrap(), Some(Version::Older { from: OLDEST, to: SCHEMA }));
    let store = opened(&folder);
    assert_eq!(told(&store), before);
    assert_eq!(Store::version(&path).unwrap(), Some(Version::Current));
    assert_eq!(logs::load(&store.db).unwrap(), store.all_logs(None));
}

#[test]
fn embargoes_of_a_store_of_the_version_before_end_too() {
    let folder = TempDir::new().unwrap();
    let ends = [1, 2].map(|n| Timestamp::from_micros(clock::now().as_micros() + n * 3_600_000_000));
    {
        let store = opened(&folder);
        for (n, member, ends) in [(1, 2, ends[0]), (2, 3, ends[1])] {
            let mut row = with_objects(n, vec![object("a", "2026-01-01T00:00:00Z", Tlp::Green)]);
            let content = row.content.as_mut().unwrap();
            content.member = MemberId::new([member; 16]);
            content.conditions.embargo_until = ends.as_micros();
            commit(&store, row);
        }
        downgraded(&store.db);
    }
    let store = opened(&folder);
    let noted = [(ends[0], id(1)), (ends[1], id(2))];
    assert_eq!(
        store.embargoes_over(ends[1], 9).unwrap(),
        noted.map(|(ends, message)| Embargo::Message { ends, message })
    );
}

/// Message `n`, which says an object of its own under an embargo.
fn embargoed(n: u64, until: Timestamp) -> EnvelopeRow {
    let mut row = with_objects(n, vec![object(&n.to_string(), "2026-01-01T00:00:00Z", Tlp::Green)]);
    row.content.iter_mut().for_each(|content| content.conditions.embargo_until = until.as_micros());
    row
}

#[test]
fn an_embargo_that_ended_before_the_last_that_came_is_no_news() {
    let folder = TempDir::new().unwrap();
    let [soon, later] = [1, 3_600].map(|n| Timestamp::from_micros(clock::now().as_micros() + n * 1_000_000));
    {
        let store = opened(&folder);
        commit(&store, embargoed(1, soon));
        while clock::now() <= soon {
            std::thread::yield_now();
        }
        commit(&store, embargoed(2, later));
        downgraded(&store.db);
    }
    let noted = opened(&folder).embargoes_over(later, 9).unwrap();
    assert_eq!(noted, [Embargo::Message { ends: later, message: id(2) }]);
}

#[test]
fn ends_of_embargoes_are_noted_in_bounded_steps_that_go_on_where_they_were_killed() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("store");
    let noted = |db: &Db| db.scan(Cf::Embargoes, &[], &[]).map(Result::unwrap).collect::<Vec<_>>();
    let before = {
        let store = opened(&folder);
        for n in 1..=20 {
            // Some ask for none.
            let until = if n % 3 == 0 { 0 } else { clock::now().as_micros() + n * 3_600_000_000 };
            commit(&store, embargoed(n, Timestamp::from_micros(until)));
        }
        let before = noted(&store.db);
        downgraded(&store.db);
        before
    };
    let mut runs = 0;
    loop {
        let (db, version) = loop {
            match open::open_unmigrated(&path, owner(1), &master()) {
                Err(OpenError::InUse { .. }) => std::thread::yield_now(),
                other => break other.unwrap(),
            }
        };
        let Version::Older { from, .. } = version else { break };
        // Killed before the second write of each.
        let count = Cell::new(0);
        let write = |batch: WriteBatch| {
            assert!(batch.len() <= 8, "{}", batch.len());
            if count.replace(count.get() + 1) == 1 {
                return Err(OpenError::InUse { path: path.clone() });
            }
            db.rocks.write(batch).unwrap();
            Ok(())
        };
        let _ = through(&db, (OLDEST..).zip(&STEPS).filter(|(of, _)| *of >= from), &write);
        runs += 1;
        assert!(runs < 50, "it begins anew each time");
    }
    assert!(runs > 3, "{runs}");
    let store = opened(&folder);
    assert_eq!(noted(&store.db), before);
    assert_eq!(store.db.get(Cf::Meta, b"migrated-to-10").unwrap(), None);
}

#[test]
fn the_bytes_of_a_log_are_those_of_its_entries_whatever_becomes_of_them() {
    let folder = TempDir::new().unwrap();
    let store = opened(&folder);
    filled(&store);
    let kept = |log: u8| store.log(GROUP, LogId::new([log; 32])).unwrap().bytes;
    let stripped = schema::Envelope { header: vec![1; 50], ..schema::Envelope::default() }.encoded_len();
    assert_eq!(kept(1), (148 * whole().len() + 2 * stripped + 100) as u64);
    assert_eq!(kept(2), 3 * 100 + 77, "second messages, too");
}

#[test]
fn the_bytes_of_many_logs_are_counted_in_bounded_batches_wherever_it_is_killed() {
    for at in 0.. {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("store");
        let before = {
            let store = opened(&folder);
            for n in 1..=3 * LOGS_AHEAD as u64 + 1 {
                let of = |n: u64| LogId::new([u8::try_from(n).unwrap(); 32]);
                let bytes = vec![1; 100 + usize::try_from(n).unwrap()];
                commit(&store, EnvelopeRow { log: of(n), id: id(n), bytes, ..envelope(1) });
            }
            let before = store.all_logs(None);
            downgraded(&store.db);
            before
        };
        let (db, _) = loop {
            match open::open_unmigrated(&path, owner(1), &master()) {
                Err(OpenError::InUse { .. }) => std::thread::yield_now(),
                other => break other.unwrap(),
            }
        };
        let count = Cell::new(0);
        let write = |batch: WriteBatch| {
            assert!(batch.len() <= LOGS_AHEAD + 1, "{}", batch.len());
            if count.replace(count.get() + 1) == at {
                return Err(OpenError::InUse { path: path.clone() });
            }
            db.rocks.write(batch).unwrap();
            Ok(())
        };
        let is_done = through(&db, [(OLDEST, &STEPS[0])].into_iter(), &write).is_ok();
        drop(db);
        let store = opened(&folder);
        let bytes = |logs: &[LogRow]| logs.iter().map(|log| (log.log, log.bytes)).collect::<BTreeMap<_, _>>();
        assert_eq!(bytes(&store.all_logs(None)), bytes(&before), "killed at write {at}");
        if is_done {
            assert_eq!(at, 4, "three ahead, and the last");
            return;
        }
    }
}

#[test]
fn an_older_backup_is_restored_and_brought_up() {
    let folder = TempDir::new().unwrap();
    let copy = folder.path().join("copy");
    let before = {
        let store = opened(&folder);
        filled(&store);
        // What is queued would be held in the copy.
        let publication = PublicationId::new([1; 16]);
        store.commit_blocking(Change::DraftFailed { publication, error: "no".to_owned() }).unwrap();
        let before = told(&store);
        downgraded(&store.db);
        store.checkpoint(&copy).unwrap();
        before
    };
    assert!(matches!(Store::version(&copy).unwrap(), Some(Version::Older { .. })));
    Store::reborn(&copy, owner(1), &master()).unwrap();
    assert_eq!(told(&Store::open(&copy, owner(1), &master()).unwrap()), before);
}

/// Writes ahead before its last batch, as a step does that changes more than one should hold.
fn ahead(db: &Db, write: &Write<'_>) -> Result<WriteBatch, OpenError> {
    for n in 0..3_u8 {
        let mut batch = WriteBatch::default();
        batch.put_cf(db.cf(Cf::Meta), [b"ahead:".as_slice(), &[n]].concat(), [n]);
        write(batch)?;
    }
    bytes_of_logs(db, write)
}

const AHEAD: Step = Step { does: "writes ahead", make: ahead };

/// Opens the store, and goes on with the migration until the write of this number: that is the last, or it is not done.
/// False if there is none of this number.
fn killed(folder: &TempDir, at: usize, is_done: bool) -> bool {
    let path = folder.path().join("store");
    let (db, version) = loop {
        match open::open_unmigrated(&path, owner(1), &master()) {
            Err(OpenError::InUse { .. }) => std::thread::yield_now(),
            other => break other.unwrap(),
        }
    };
    if version == Version::Current {
        return false;
    }
    let count = Cell::new(0);
    let write = |batch: WriteBatch| {
        let is_last = count.replace(count.get() + 1) == at;
        if !is_last || is_done {
            db.rocks.write(batch).unwrap();
        }
        if is_last { Err(OpenError::InUse { path: path.clone() }) } else { Ok(()) }
    };
    through(&db, [(OLDEST, &AHEAD)].into_iter(), &write).is_err()
}

#[test]
fn killed_before_or_after_any_write_of_a_migration_it_opens_again_with_all_of_it() {
    for is_done in [false, true] {
        let mut at = 0;
        loop {
            let folder = TempDir::new().unwrap();
            let before = old(&folder);
            let was_killed = killed(&folder, at, is_done);
            // Once more, and then to its end.
            killed(&folder, 1, is_done);
            killed(&folder, usize::MAX, is_done);
            let store = opened(&folder);
            assert_eq!(told(&store), before, "killed at write {at}");
            let ahead = |n: u8| store.db.get(Cf::Meta, &[b"ahead:".as_slice(), &[n]].concat()).unwrap();
            assert_eq!([0, 1, 2].map(ahead), [0, 1, 2].map(|n| Some(vec![n])));
            if !was_killed {
                break;
            }
            at += 1;
        }
        assert_eq!(at, 4, "three ahead, and the last");
    }
}

#[test]
fn a_damaged_store_of_the_version_before_is_read_for_healing() {
    let folder = TempDir::new().unwrap();
    old(&folder);
    let path = folder.path().join("store");
    {
        let store = loop {
            match open::open_unmigrated(&path, owner(1), &master()) {
                Err(OpenError::InUse { .. }) => std::thread::yield_now(),
                other => break other.unwrap().0,
            }
        };
        let place = columns::place(GROUP, LogId::new([1; 32]), Sequence::new(7));
        store.rocks.put_cf(store.cf(Cf::Envelopes), place, b"\xff").unwrap();
    }
    let error = Store::open(&path, owner(1), &master()).err().unwrap();
    assert!(error.is_damage(), "{error}");
    let salvage = crate::store::Salvage::open(&path, owner(1), &master()).unwrap();
    assert_eq!(salvage.envelopes().filter(Result::is_ok).count(), 154);
    assert!(matches!(Store::version(&path).unwrap(), Some(Version::Older { .. })), "left as it was");
}
