//! What says much goes out of sight at once, and goes by and by.

use std::ops::Range;

use belfry_proto::{
    envelope::Word,
    id::LogId,
    schema::{self, Tlp, WithdrawalGround, WithdrawalMode},
};
use prost::Message as _;
use tempfile::TempDir;

use super::*;
use crate::store::{
    Change, Committed, EnvelopeRow, JudgedLog, MessageState, ObjectRow, ObjectView, Store, Withdraws,
    tests::{GROUP, commit, envelope, id, object, open, opened, page, with_objects},
};

/// Objects of a message that takes three steps.
const MUCH: usize = 2 * MOST_TAKEN + 50;
const VERSION: &str = "2026-01-01T00:00:00.000000Z";
const AUTHOR: MemberId = MemberId::new([2; 16]);
const OTHER: MemberId = MemberId::new([3; 16]);
const LOG: LogId = LogId::new([1; 32]);

pub(in crate::store) fn name(n: usize) -> String {
    format!("indicator--00000000-0000-4000-8000-{n:012}")
}

pub(in crate::store) fn objects(numbers: Range<usize>) -> Vec<ObjectRow> {
    let of = |n| {
        let raw = serde_json::json!({
            "type": "indicator", "spec_version": "2.1", "id": name(n), "created": VERSION,
            "modified": VERSION, "name": "canary",
        });
        ObjectRow { id: name(n), raw: raw.to_string().into_bytes(), ..object("", VERSION, Tlp::Amber) }
    };
    numbers.map(of).collect()
}

/// Message `n` of the author, whose body can be let go.
pub(in crate::store) fn says(n: u64, numbers: Range<usize>) -> EnvelopeRow {
    let (header, body) = (vec![1; 50], Some(vec![2; 500]));
    let bytes = schema::Envelope { header, body, ..schema::Envelope::default() }.encode_to_vec();
    EnvelopeRow { bytes, ..with_objects(n, objects(numbers)) }
}

/// Message `n`, in which another member says these.
fn others_say(n: u64, numbers: Range<usize>) -> EnvelopeRow {
    let content = Some(opened(n, 3, objects(numbers)));
    EnvelopeRow { state: MessageState::Opened, content, ..envelope(n) }
}

/// Message `n`, by which its author takes message 1 back.
pub(in crate::store) fn withdraw(store: &Store, n: u64, mode: WithdrawalMode) {
    let word = Word {
        id: id(n),
        group: GROUP,
        member: AUTHOR,
        mode,
        ground: WithdrawalGround::Author,
        by_steward: false,
        created: Timestamp::from_micros(n),
        seen: Timestamp::from_micros(n),
    };
    let withdraws = Some(Withdraws { word, targets: vec![id(1)] });
    commit(store, EnvelopeRow { key_id: None, state: MessageState::Closed, withdraws, ..envelope(n) });
}

/// One change of those that are due; `None` once nothing is.
pub(in crate::store) fn step(store: &Store) -> Option<Committed> {
    let work = store.to_reweigh(Timestamp::ZERO, 9).unwrap();
    let change = Change::Reweigh { work: work.clone(), now: Timestamp::ZERO };
    (!work.is_empty()).then(|| store.commit_blocking(change).unwrap())
}

pub(in crate::store) fn judge(store: &Store, hide: &[u64], show: &[u64]) {
    let judged = JudgedLog {
        group: GROUP,
        log: LOG,
        hide: hide.iter().map(|n| (id(*n), MessageState::Quarantined)).collect(),
        show: show.iter().map(|n| id(*n)).collect(),
        promote: Vec::new(),
        end: None,
    };
    store.commit_blocking(Change::Judged(judged)).unwrap();
}

pub(in crate::store) fn shown(store: &Store) -> Vec<ObjectView> {
    page(store, None, None, 10 * MUCH).rows
}

/// All of what was lost is told, or met again.
pub(in crate::store) fn surface(store: &Store) {
    while store.commit_blocking(Change::Surface(usize::MAX - 1)).unwrap() == Committed::More {}
}

fn tells(row: &ObjectView) -> bool {
    String::from_utf8_lossy(&row.raw).contains("canary")
}

/// Rows that are there, shown or not.
fn rows(store: &Store) -> usize {
    store.db.scan(Cf::Objects, &[], &[]).count()
}

fn marks(store: &Store) -> usize {
    store.db.scan(Cf::Meta, KEY, KEY).count()
}

/// However one asks.
fn nothing_is_shown(store: &Store) {
    assert_eq!(shown(store), []);
    assert_eq!(store.feed_after(0, 10 * MUCH).unwrap().rows, []);
    assert_eq!(store.lookup(GROUP, "ipv4-addr", "198.51.100.7", 10).unwrap(), []);
    for n in [0, MUCH - 1] {
        assert_eq!(store.versions(GROUP, &name(n)).unwrap(), []);
        assert_eq!(store.messages_saying(GROUP, &name(n), AUTHOR, 9).unwrap(), []);
    }
}

#[test]
fn what_says_much_is_out_of_sight_at_once_and_gone_in_bounded_steps_whatever_crash_comes_between() {
    let folder = TempDir::new().unwrap();
    let mut store = open(&folder);
    commit(&store, says(1, 0..MUCH));
    withdraw(&store, 2, WithdrawalMode::Erase);
    assert_eq!(shown(&store).len(), MUCH);
    let (mut before, mut steps) = (rows(&store), 0);
    while step(&store).is_some() {
        nothing_is_shown(&store);
        // Behind each of them.
        drop(store);
        store = open(&folder);
        nothing_is_shown(&store);
        let after = rows(&store);
        assert!(before - after <= MOST_TAKEN, "{before} to {after} in one step");
        assert_eq!(marks(&store), usize::from(after > 0), "the mark goes last");
        (before, steps) = (after, steps + 1);
    }
    assert_eq!((before, steps), (0, 3));
    assert_eq!(store.message(id(1)).unwrap().unwrap().state, MessageState::Withdrawn);
    assert_eq!(store.purge_dates(GROUP).unwrap().len(), MUCH, "all of it is to leave the disk");
}

#[test]
fn what_others_say_too_is_theirs_from_the_first_step_on() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    commit(&store, says(1, 0..MUCH));
    commit(&store, others_say(2, MUCH - 2..MUCH));
    let before = shown(&store);
    withdraw(&store, 3, WithdrawalMode::Retract);
    step(&store);
    assert!(rows(&store) > 2, "most of it is still there");
    let left = shown(&store);
    let of = |rows: &[ObjectView]| rows.iter().map(|row| (row.member, row.message)).collect::<Vec<_>>();
    assert_eq!(of(&left), [(OTHER, id(2)); 2]);
    let dates = |rows: &[ObjectView]| rows.iter().map(|row| row.date_added).collect::<Vec<_>>();
    assert_eq!(dates(&left), dates(&before[MUCH - 2..]), "where they were");
    while step(&store).is_some() {}
    assert_eq!((rows(&store), shown(&store)), (2, left));
    assert_eq!(store.lookup(GROUP, "ipv4-addr", "198.51.100.7", 10).unwrap().len(), 2);
}

#[test]
fn what_is_said_again_while_it_goes_is_news() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    commit(&store, says(1, 0..MUCH));
    let last = shown(&store).last().map(|row| row.date_added);
    withdraw(&store, 2, WithdrawalMode::Retract);
    step(&store);
    commit(&store, others_say(3, MUCH - 1..MUCH));
    let news = shown(&store);
    assert_eq!(news.iter().map(|row| row.member).collect::<Vec<_>>(), [OTHER]);
    assert!(Some(news[0].date_added) > last, "whoever passed the old place meets it");
    while step(&store).is_some() {}
    assert_eq!((rows(&store), shown(&store)), (1, news));
}

#[test]
fn what_is_shown_again_while_it_goes_is_opened_when_it_is_gone() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    commit(&store, says(1, 0..MUCH));
    judge(&store, &[1], &[]);
    nothing_is_shown(&store);
    judge(&store, &[], &[1]);
    let open_it = |store: &Store| {
        let content = opened(1, 2, objects(0..MUCH));
        store.commit_blocking(Change::Opened { message: id(1), group: GROUP, content }).unwrap()
    };
    assert_eq!(open_it(&store), Committed::Duplicate);
    nothing_is_shown(&store);
    drop(store);
    let store = open(&folder);
    assert_eq!(store.reopenable(None, 9).unwrap(), [id(1)], "it is not forgotten");
    let mut last = None;
    while let Some(done) = step(&store) {
        nothing_is_shown(&store);
        last = Some(done);
    }
    assert_eq!(last, Some(Committed::Reweighed { reopens: true }));
    assert_eq!(open_it(&store), Committed::Done);
    assert_eq!((shown(&store).len(), rows(&store), marks(&store)), (MUCH, MUCH, 0));
}

#[test]
fn of_many_messages_hidden_at_once_nothing_is_shown_and_a_bounded_number_of_rows_goes() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let half = MUCH / 2;
    commit(&store, says(1, 0..half));
    commit(&store, says(2, half..MUCH));
    judge(&store, &[1, 2], &[]);
    nothing_is_shown(&store);
    assert_eq!((rows(&store), marks(&store)), (MUCH - MOST_TAKEN, 2));
    while step(&store).is_some() {}
    assert_eq!((rows(&store), marks(&store)), (0, 0));
}

#[test]
fn ends_that_are_told_meanwhile_stay_and_an_erasure_after_them_shows_none_of_what_they_told() {
    let folder = TempDir::new().unwrap();
    let mut store = open(&folder);
    commit(&store, says(1, 0..MUCH));
    withdraw(&store, 2, WithdrawalMode::Retract);
    let mut told = 0;
    while step(&store).is_some() {
        store.commit_blocking(Change::Surface(usize::MAX - 1)).unwrap();
        let ends = shown(&store);
        assert!(ends.iter().all(|row| row.tombstone) && ends.len() > told);
        told = ends.len();
    }
    assert_eq!((told, rows(&store), marks(&store)), (MUCH, MUCH, 0));

    withdraw(&store, 3, WithdrawalMode::Erase);
    let mut steps = 0;
    while step(&store).is_some() {
        store.commit_blocking(Change::Surface(usize::MAX - 1)).unwrap();
        drop(store);
        store = open(&folder);
        assert!(!shown(&store).iter().any(tells));
        steps += 1;
    }
    assert_eq!((steps, shown(&store).len(), marks(&store)), (3, MUCH, 0));
}

#[test]
fn bodies_past_their_retention_take_what_they_say_along_in_steps() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    commit(&store, says(1, 0..MUCH));
    let aged = store.aged(GROUP, LOG, Timestamp::from_micros(1_000), 9).unwrap().unwrap();
    store.commit_blocking(Change::Expire(aged)).unwrap();
    nothing_is_shown(&store);
    assert_eq!((rows(&store), marks(&store)), (MUCH - MOST_TAKEN, 1));
    while step(&store).is_some() {}
    assert_eq!((rows(&store), marks(&store)), (0, 0));
    store.commit_blocking(Change::Surface(usize::MAX - 1)).unwrap();
    assert_eq!(shown(&store), [], "and nobody is told");
}

#[test]
fn an_erasure_that_comes_while_what_is_taken_back_still_goes_leaves_none_of_it_told() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    commit(&store, says(1, 0..MUCH));
    withdraw(&store, 2, WithdrawalMode::Retract);
    step(&store);
    surface(&store);
    assert!(shown(&store).iter().any(tells), "it was only taken back");
    withdraw(&store, 3, WithdrawalMode::Erase);
    while step(&store).is_some() {
        surface(&store);
    }
    let ends = shown(&store);
    assert_eq!(ends.len(), MUCH);
    assert!(ends.iter().all(|row| row.tombstone && !tells(row)));
}

#[test]
fn what_was_taken_back_and_is_erased_before_anybody_was_told_is_told_to_nobody() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    commit(&store, says(1, 0..3));
    withdraw(&store, 2, WithdrawalMode::Retract);
    step(&store);
    // Before it is told.
    drop(store);
    let store = open(&folder);
    withdraw(&store, 3, WithdrawalMode::Erase);
    step(&store);
    store.purge().unwrap();
    surface(&store);
    let ends = shown(&store);
    assert_eq!(ends.len(), 3);
    assert!(ends.iter().all(|row| row.tombstone && !tells(row)));
    assert!(store.has_purges().unwrap(), "what was noted to be told leaves the disk, too");
}

#[test]
fn what_goes_is_out_of_sight_also_while_the_batch_is_written_that_ends_it_otherwise() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    commit(&store, says(1, 0..MUCH));
    withdraw(&store, 2, WithdrawalMode::Retract);
    step(&store);
    let mut undone = Txn::new(&store.db, Timestamp::ZERO);
    undone.shows(id(1));
    undone.undo();
    store.db.leaving.enter(&undone.done());
    nothing_is_shown(&store);
    let mut txn = Txn::new(&store.db, Timestamp::ZERO);
    take_away(&mut txn, (GROUP, AUTHOR), id(1), End::Bare, usize::MAX).unwrap();
    store.db.leaving.enter(&txn.done());
    nothing_is_shown(&store);
}

#[test]
fn whoever_reads_a_row_as_it_was_is_shown_it_as_that_of_whoever_has_it_now() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    commit(&store, says(1, 0..MUCH));
    commit(&store, others_say(2, 0..1));
    let date = shown(&store)[0].date_added.as_micros();
    let before = removal::row(&Txn::new(&store.db, Timestamp::ZERO), GROUP, date).unwrap().unwrap();
    withdraw(&store, 3, WithdrawalMode::Retract);
    step(&store);
    let left = left_of(&store.db, (GROUP, date), before).unwrap();
    assert_eq!(left.map(|row| row.message), Some(id(2).to_vec()));
}

/// Hides 3, which takes what one change takes away, and with it 2 and 1, of which all is still there then.
fn hide_three(store: &Store, second: EnvelopeRow) -> u64 {
    commit(store, says(1, 0..1));
    commit(store, second);
    commit(store, says(3, 1..MUCH));
    let date = shown(store)[0].date_added.as_micros();
    judge(store, &[3, 2, 1], &[]);
    assert_eq!(marks(store), 3);
    date
}

#[test]
fn of_those_who_are_on_their_way_out_none_gets_a_row_that_is_said_again_meanwhile() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let date = hide_three(&store, says(2, 0..1));
    let mut txn = Txn::new(&store.db, Timestamp::ZERO);
    assert!(let_go(&mut txn, GROUP, date).unwrap());
    assert!(removal::row(&txn, GROUP, date).unwrap().is_none(), "at once, however many they are");
    drop(txn);
    commit(&store, others_say(4, 0..1));
    let news = shown(&store);
    assert_eq!(news.iter().map(|row| row.member).collect::<Vec<_>>(), [OTHER]);
    while step(&store).is_some() {}
    assert_eq!((rows(&store), shown(&store)), (1, news));
}

#[test]
fn what_is_hidden_while_it_goes_is_not_opened_again_for_what_another_said_before_it() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let mut otherwise = says(2, 0..1);
    let raw = &mut otherwise.content.as_mut().unwrap().objects[0].raw;
    *raw = String::from_utf8_lossy(raw).replace("canary", "other words").into_bytes();
    hide_three(&store, otherwise);
    while step(&store).is_some() {}
    assert_eq!(store.reopenable(None, 9).unwrap(), []);
}

#[test]
fn what_is_erased_and_then_hidden_by_its_log_while_it_goes_leaves_the_disk_all_the_same() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    commit(&store, says(1, 0..MUCH));
    withdraw(&store, 2, WithdrawalMode::Erase);
    step(&store);
    judge(&store, &[1], &[]);
    while step(&store).is_some() {}
    assert_eq!((rows(&store), store.purge_dates(GROUP).unwrap().len()), (0, MUCH));
}

#[test]
fn of_large_objects_fewer_go_in_one_step() {
    const COUNT: usize = 200;
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let mut large = says(1, 0..COUNT);
    for object in &mut large.content.as_mut().unwrap().objects {
        let long = format!("canary {}", "a".repeat(64 << 10));
        object.raw = String::from_utf8_lossy(&object.raw).replace("canary", &long).into_bytes();
    }
    commit(&store, large);
    withdraw(&store, 2, WithdrawalMode::Retract);
    step(&store);
    assert!(rows(&store) > COUNT - MOST_TAKEN / 16, "{} are left", rows(&store));
    assert_eq!(shown(&store), []);
}

#[test]
fn of_messages_that_are_gone_a_bounded_number_is_remembered() {
    let mut known = Known::default();
    let go = |known: &mut Known, n: u64| {
        known.goes(id(n), End::Hidden);
        known.went(id(n));
    };
    (0..9).for_each(|n| go(&mut known, n));
    assert_eq!((known.messages.len(), known.gone.len()), (MOST_GONE, MOST_GONE));
    known.goes(id(8), End::Bare);
    (10..20).for_each(|n| go(&mut known, n));
    assert!(known.messages.contains_key(&id(8)), "its rows go once more");
    assert_eq!(known.messages.len(), MOST_GONE + 1);
}
