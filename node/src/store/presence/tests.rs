use std::collections::{BTreeMap, BTreeSet};

use belfry_proto::{id::MemberId, schema::Tlp, time::Timestamp};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::store::{
    EnvelopeRow, MessageState, Most, ObjectRow,
    tests::{GROUP, commit, envelope, master, object, open, opened, owner, with_objects},
    txn::Txn,
};

const V1: &str = "2026-01-01T00:00:00Z";
const V2: &str = "2026-01-02T00:00:00Z";

fn naming(value: &str) -> ObjectRow {
    let observables = vec![("domain-name".to_owned(), value.to_owned())];
    ObjectRow { observables, ..object(value, V1, Tlp::Green) }
}

fn is_found(store: &Store, value: &str) -> bool {
    let most = Most { by_member: 10, all: 10 };
    !store.entered(GROUP, "domain-name", value, most).unwrap().dates.is_empty()
}

fn is_single(store: &Store, name: &str) -> bool {
    store.looks().is_single(GROUP, &format!("indicator--{name}"))
}

/// An open store with all in memory.
fn present(folder: &TempDir) -> Store {
    let store = open(folder);
    store.until_present();
    store
}

/// Writes rows of no content.
fn write(store: &Store, rows: impl IntoIterator<Item = (Cf, Vec<u8>)>) {
    let mut txn = Txn::new(&store.db, Timestamp::ZERO);
    rows.into_iter().for_each(|(cf, key)| txn.put(cf, key, Vec::new()));
    txn.done().write(&store.db).unwrap();
}

/// A key of a column: its beginning by number, and what follows.
fn key(cf: Cf, of: u32, row: u8) -> Vec<u8> {
    let begin = blake3::hash(&of.to_be_bytes());
    let len = if cf == Cf::Reporters { 8 } else { 16 };
    [GROUP.get().to_be_bytes().as_slice(), &begin.as_bytes()[..len], &[row; 16]].concat()
}

#[test]
fn what_is_committed_before_during_and_after_a_filling_is_found() {
    let folder = TempDir::new().unwrap();
    let store = present(&folder);
    commit(&store, with_objects(1, vec![naming("before.example")]));
    let filling = Filling::begin(&store.db);
    commit(&store, with_objects(2, vec![naming("during.example")]));
    assert!(is_found(&store, "during.example"), "the filter before is kept as long as it is asked");
    assert!(filling.read().unwrap());
    commit(&store, with_objects(3, vec![naming("after.example")]));
    for value in ["before.example", "during.example", "after.example"] {
        assert!(is_found(&store, value), "{value}");
    }
    assert!(!is_found(&store, "never.example"));
    assert_eq!(store.db.presence.kept().len(), 1);
}

#[test]
fn a_row_is_entered_before_it_is_written_and_no_filling_begins_between() {
    let folder = TempDir::new().unwrap();
    let store = present(&folder);
    let (presence, key) = (&store.db.presence, key(Cf::Observables, 1, 1));
    let mut txn = Txn::new(&store.db, Timestamp::ZERO);
    txn.put(Cf::Observables, key.clone(), Vec::new());
    let rows = txn.done();
    assert!(presence.lacks(Of::Value, &key));
    let written = presence.entered(&rows, || {
        assert!(!presence.lacks(Of::Value, &key));
        assert!(presence.kept.try_write().is_err());
        Ok::<_, ()>(())
    });
    assert!(written.is_ok());
    assert!(presence.kept.try_write().is_ok());
}

#[test]
fn a_value_is_found_when_its_commit_returns_however_often_filters_are_filled() {
    let folder = TempDir::new().unwrap();
    let store = present(&folder);
    std::thread::scope(|scope| {
        let committing = scope.spawn(|| {
            for n in 1..=60 {
                let value = format!("{n}.example");
                commit(&store, with_objects(n, vec![naming(&value)]));
                assert!(is_found(&store, &value), "{value}");
            }
        });
        while !committing.is_finished() {
            assert!(Filling::begin(&store.db).read().unwrap());
        }
    });
    assert!((1..=60).all(|n| is_found(&store, &format!("{n}.example"))));
}

#[test]
fn a_restart_and_a_copy_find_all_that_was_there_with_the_filter_and_before_it() {
    let folder = TempDir::new().unwrap();
    let values: Vec<String> = (1..=20).map(|n| format!("{n}.example")).collect();
    let copy = folder.path().join("copy");
    {
        let store = open(&folder);
        commit(&store, with_objects(1, values.iter().map(|value| naming(value)).collect()));
        store.checkpoint(&copy).unwrap();
    }
    Store::reborn(&copy, owner(1), &master()).unwrap();
    for store in [open(&folder), Store::open(&copy, owner(1), &master()).unwrap()] {
        assert!(values.iter().all(|value| is_found(&store, value)));
        store.until_present();
        assert!(values.iter().all(|value| is_found(&store, value)));
        assert!(!is_found(&store, "never.example"));
        let Present { is_whole, keys, bytes, .. } = store.present();
        // A value and an object each.
        assert!(is_whole && (38..=40).contains(&keys) && bytes > 0, "{keys}");
    }
}

#[test]
fn the_first_filter_after_a_start_has_room_for_values_that_are_named_once_in_objects_with_several() {
    const OBJECTS: u32 = 1_000;
    const VALUES: u32 = 4 * OBJECTS;
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    write(&store, (0..OBJECTS).map(|n| (Cf::ById, key(Cf::ById, n, 1))));
    write(&store, (0..VALUES).map(|n| (Cf::Observables, key(Cf::Observables, n, 1))));
    drop(store);
    let store = open(&folder);
    // Of a store that has read nothing yet.
    let filter = Presence::default().larger(&store.db);
    let entered = |cf, count| (0..count).filter_map(move |n| Entry::of(cf, &key(cf, n, 1)));
    filter.enter(entered(Cf::ById, OBJECTS).chain(entered(Cf::Observables, VALUES)));
    assert_eq!(filter.named_once.entered(), u64::from(VALUES));
    assert!(!filter.is_full(), "a second filling would read all of it again");
}

#[test]
fn when_room_is_used_up_a_larger_filter_takes_over_and_denies_nothing() {
    let folder = TempDir::new().unwrap();
    let store = present(&folder);
    let first = store.present().bytes;
    for batch in 0..20 {
        write(&store, (0..250).map(|n| (Cf::Observables, key(Cf::Observables, batch * 250 + n, 1))));
    }
    // One more batch, should the last filling have ended behind the batch that used its room up.
    let presence = &store.db.presence;
    let is_grown =
        || matches!(presence.kept().as_slice(), [only] if only.size() > 4 * first && !only.is_full());
    while !is_grown() {
        write(&store, [(Cf::Observables, key(Cf::Observables, 0, 2))]);
    }
    assert!((0..5_000).all(|n| !presence.lacks(Of::Value, &key(Cf::Observables, n, 1))));
    let denied = (5_000..10_000).filter(|n| presence.lacks(Of::Value, &key(Cf::Observables, *n, 1))).count();
    assert!(denied > 4_500, "{denied} of 5000");
}

#[test]
fn an_object_is_single_until_a_second_row_of_it_comes_also_while_a_filter_is_filled() {
    let folder = TempDir::new().unwrap();
    let store = present(&folder);
    let version = |name: &str, version: &str| object(name, version, Tlp::Amber);
    commit(&store, with_objects(1, ["a", "b", "c"].map(|name| version(name, V1)).into()));
    assert!(["a", "b", "c"].iter().all(|name| is_single(&store, name)));
    assert!(is_single(&store, "never"));
    commit(&store, with_objects(2, vec![version("a", V2)]));
    assert!(!is_single(&store, "a") && is_single(&store, "b"));
    let filling = Filling::begin(&store.db);
    commit(&store, with_objects(3, vec![version("b", V2)]));
    assert!(filling.read().unwrap());
    assert!(!is_single(&store, "a") && !is_single(&store, "b") && is_single(&store, "c"));
    // Another member's claim of the same bytes.
    let content = opened(4, 3, vec![version("c", V1)]);
    commit(&store, EnvelopeRow { state: MessageState::Opened, content: Some(content), ..envelope(4) });
    assert!(!is_single(&store, "c"));
    drop(store);
    let store = open(&folder);
    assert!(!is_single(&store, "a"), "nothing is sure before all was read");
    store.until_present();
    assert!(["a", "b", "c"].iter().all(|name| !is_single(&store, name)));
}

#[test]
fn who_else_says_a_row_is_found_with_the_filter() {
    let folder = TempDir::new().unwrap();
    let store = present(&folder);
    for (n, member) in [(1, 2), (2, 3)] {
        let content = opened(n, member, vec![object("a", V1, Tlp::Amber)]);
        commit(&store, EnvelopeRow { state: MessageState::Opened, content: Some(content), ..envelope(n) });
    }
    let reporters = |store: &Store| store.versions(GROUP, "indicator--a").unwrap()[0].reporters.clone();
    assert_eq!(reporters(&store), [MemberId::new([3; 16])]);
    drop(store);
    assert_eq!(reporters(&present(&folder)), [MemberId::new([3; 16])]);
}

#[test]
fn once_the_node_stops_a_filling_ends_and_who_waits_for_its_files_goes_on() {
    let folder = TempDir::new().unwrap();
    let store = present(&folder);
    write(&store, [(Cf::Observables, key(Cf::Observables, 1, 1))]);
    let filling = Filling::begin(&store.db);
    assert!(store.db.presence.files.try_lock().is_err());
    store.stop_filling();
    assert!(!filling.read().unwrap(), "with keys still to be read");
    assert!(store.db.presence.files.try_lock().is_ok());
    assert!(!store.db.presence.lacks(Of::Value, &key(Cf::Observables, 1, 1)));
}

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<(Cf, u32, u8)>),
    Begin,
    Read,
}

fn step() -> impl Strategy<Value = Step> {
    let row = (proptest::sample::select(COLUMNS.to_vec()), 0_u32..8, 0_u8..4);
    prop_oneof![
        4 => proptest::collection::vec(row, 1..6).prop_map(Step::Write),
        1 => Just(Step::Begin),
        1 => Just(Step::Read),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn nothing_written_is_ever_denied(steps in proptest::collection::vec(step(), 1..25)) {
        let folder = TempDir::new().unwrap();
        let store = present(&folder);
        let presence = &store.db.presence;
        let mut written: BTreeMap<(Cf, u32), BTreeSet<u8>> = BTreeMap::new();
        let mut filling = None;
        for step in steps {
            match step {
                Step::Write(rows) => {
                    write(&store, rows.iter().map(|(cf, of, row)| (*cf, key(*cf, *of, *row))));
                    for (cf, of, row) in rows {
                        written.entry((cf, of)).or_default().insert(row);
                    }
                }
                Step::Begin if filling.is_none() => filling = Some(Filling::begin(&store.db)),
                Step::Begin => {}
                Step::Read => {
                    if let Some(filling) = filling.take() {
                        prop_assert!(filling.read().unwrap());
                    }
                }
            }
            for ((cf, of), rows) in &written {
                let key = key(*cf, *of, 0);
                let is_denied = match cf {
                    Cf::Observables => presence.lacks(Of::Value, &key),
                    Cf::Reporters => presence.lacks(Of::Reported, &key),
                    _ => presence.lacks(Of::Object, &key)
                        || rows.len() > 1 && presence.lacks(Of::Repeated, &key),
                };
                prop_assert!(!is_denied, "{cf:?} {of} {rows:?}");
            }
        }
    }
}

/// What happens to entries of the index, each of a value, a member and a date.
#[derive(Clone, Debug)]
enum Turn {
    /// These come, or go.
    Write(Vec<(u8, u8, u64, bool)>),
    /// As before, and the disk takes none of it.
    Fail(Vec<(u8, u8, u64, bool)>),
    Begin,
    Read,
}

fn turn() -> impl Strategy<Value = Turn> {
    let entries = || proptest::collection::vec((0_u8..6, 1_u8..4, 1_u64..5, any::<bool>()), 1..5);
    prop_oneof![
        6 => entries().prop_map(Turn::Write),
        1 => entries().prop_map(Turn::Fail),
        1 => Just(Turn::Begin),
        1 => Just(Turn::Read),
    ]
}

/// A batch of entries that come or go.
fn batch(store: &Store, entries: &[(u8, u8, u64, bool)]) -> Rows {
    let mut txn = Txn::new(&store.db, Timestamp::ZERO);
    for (value, member, date, comes) in entries {
        let key = [prefix(store, *value).as_slice(), &[*member; 16], &date.to_be_bytes()].concat();
        if *comes {
            txn.put(Cf::Observables, key, Vec::new());
        } else {
            txn.delete(Cf::Observables, key);
        }
    }
    txn.done()
}

fn prefix(store: &Store, value: u8) -> Vec<u8> {
    let tag = store.db.vault.blind(GROUP, "mutex", &value.to_string());
    [GROUP.get().to_be_bytes().as_slice(), &tag].concat()
}

/// Dates of a value's entries, the newest first.
fn dates(store: &Store, value: u8) -> Vec<u64> {
    let most = Most { by_member: 10, all: 10 };
    let entered = store.entered(GROUP, "mutex", &value.to_string(), most).unwrap();
    assert!(!entered.more);
    entered.dates.into_iter().map(Timestamp::as_micros).collect()
}

type Model = BTreeMap<u8, BTreeSet<(u64, u8)>>;

fn expected(model: &Model, value: u8) -> Vec<u64> {
    let entries = model.get(&value).into_iter().flatten();
    let dates: BTreeSet<u64> = entries.map(|(date, _)| *date).collect();
    dates.into_iter().rev().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn where_a_value_is_named_is_told_alike_by_memory_and_index_whatever_comes_and_goes(
        turns in proptest::collection::vec(turn(), 1..25),
    ) {
        let folder = TempDir::new().unwrap();
        let store = present(&folder);
        let (mut model, mut filling) = (Model::new(), None);
        for turn in turns {
            match turn {
                Turn::Write(entries) => {
                    batch(&store, &entries).write(&store.db).unwrap();
                    for (value, member, date, comes) in entries {
                        let entries = model.entry(value).or_default();
                        if comes {
                            entries.insert((date, member));
                        } else {
                            entries.remove(&(date, member));
                        }
                    }
                }
                Turn::Fail(entries) => {
                    let rows = batch(&store, &entries);
                    prop_assert!(store.db.presence.entered(&rows, || Err::<(), ()>(())).is_err());
                }
                Turn::Begin if filling.is_none() => filling = Some(Filling::begin(&store.db)),
                Turn::Begin => {}
                Turn::Read => {
                    if let Some(filling) = filling.take() {
                        prop_assert!(filling.read().unwrap());
                    }
                }
            }
            for value in 0..6 {
                prop_assert_eq!(dates(&store, value), expected(&model, value), "{}", value);
            }
        }
        drop(filling);
        drop(store);
        let store = open(&folder);
        for is_whole in [false, true] {
            if is_whole {
                store.until_present();
            }
            for value in 0..6 {
                let expected = expected(&model, value);
                prop_assert_eq!(&dates(&store, value), &expected, "{} {}", value, is_whole);
                if let ([date], true) = (expected.as_slice(), is_whole) {
                    let told = store.db.presence.named(&prefix(&store, value));
                    prop_assert_eq!(told, Named::At(*date), "made anew, memory knows it");
                }
            }
        }
    }
}

#[test]
fn an_entry_that_comes_goes_or_is_in_doubt_while_a_filter_is_filled_counts_in_the_new_one() {
    let folder = TempDir::new().unwrap();
    let store = present(&folder);
    let write = |entries: &[(u8, u8, u64, bool)]| batch(&store, entries).write(&store.db).unwrap();
    write(&[(0, 1, 1, true), (1, 1, 1, true), (2, 1, 1, true), (3, 1, 1, true), (3, 2, 1, true)]);
    let filling = Filling::begin(&store.db);
    write(&[(0, 1, 2, true), (1, 1, 1, false), (4, 1, 3, true)]);
    assert!(filling.read().unwrap());
    let told = [0, 1, 2, 3, 4, 5].map(|value| store.db.presence.named(&prefix(&store, value)));
    let expected = [Named::Unsure, Named::Unsure, Named::At(1), Named::At(1), Named::At(3), Named::Never];
    assert_eq!(told, expected);
    assert_eq!(
        [0, 1, 2, 3, 4].map(|value| dates(&store, value)),
        [vec![2, 1], vec![], vec![1], vec![1], vec![3]]
    );
}
