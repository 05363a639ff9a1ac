//! What is met again when something is lost, and whose it is then.

use std::time::Duration;

use belfry_proto::{schema::WithdrawalMode, time::Timestamp};
use tempfile::TempDir;

use super::*;
use crate::{
    clock,
    store::{
        Change, Committed, EnvelopeRow, MessageState, ObjectRow, ObjectView, Store,
        leaving::tests::{self as leaver, judge, name, says, shown, step, surface as surface_all, withdraw},
        ownership::{Firsts, Owner},
        removal::claims_of,
        tests::{GROUP, commit, envelope, id, open, opened},
    },
};

/// Version `n` of the first object.
fn version(n: usize) -> ObjectRow {
    let first = leaver::objects(0..1).remove(0);
    ObjectRow { version: format!("2026-01-01T00:00:{:02}.{:06}Z", n / 1_000_000, n % 1_000_000), ..first }
}

/// Message `n`, made at a time, by which a member says these.
fn said_at(n: u64, member: u8, created: Timestamp, said: Vec<ObjectRow>) -> EnvelopeRow {
    let mut content = opened(n, member, said);
    content.created = created;
    let (state, member) = (MessageState::Opened, MemberId::new([member; 16]));
    EnvelopeRow { state, member, content: Some(content), ..envelope(n) }
}

fn long_ago() -> Timestamp {
    Timestamp::from_micros(1)
}

/// Whose the object is, as whoever writes finds and as whoever reads does.
fn owners(store: &Store) -> (Owner, Option<MemberId>) {
    let txn = Txn::new(&store.db, clock::now());
    let object = objects::by_id(&store.db.vault, GROUP, &name(0));
    let claims = claims_of(&txn, &object).unwrap();
    let firsts = Firsts::of(&claims, |date| row(&txn, GROUP, date)).unwrap();
    let rows = store.versions(GROUP, &name(0)).unwrap();
    let claimed = rows.iter().map(|row| crate::store::Claimed {
        member: row.member,
        added: row.arrived,
        created: row.created,
        message: row.message,
    });
    (firsts.owner(None), crate::store::owner(claimed))
}

fn of_member(rows: &[ObjectView], member: u8) -> Vec<&ObjectView> {
    rows.iter().filter(|row| row.member == MemberId::new([member; 16])).collect()
}

#[test]
fn whose_an_object_is_stays_when_its_rows_are_met_again_however_long_after() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let now = clock::now();
    commit(&store, said_at(1, 4, now, vec![version(0)]));
    commit(&store, said_at(2, 5, now.saturating_sub(Duration::from_secs(1)), vec![version(1)]));
    commit(&store, said_at(3, 6, now, vec![version(2)]));
    let honest = MemberId::new([5; 16]);
    let expected = (Owner::Is(honest), Some(honest));
    assert_eq!(owners(&store), expected, "it came second, and was said first");
    judge(&store, &[3], &[]);
    // By then its word came late for whoever takes it for news.
    let later = clock::now().saturating_add(Duration::from_secs(3600));
    let (mut feed, mut txn) = (Feed::load(&store.db).unwrap(), Txn::new(&store.db, later));
    surface(&mut feed, &mut txn, 9).unwrap();
    txn.done().write(&store.db).unwrap();
    let rows = shown(&store);
    assert!(rows.len() == 2 && rows.iter().all(|row| row.date_added >= later && row.arrived < later));
    assert_eq!(owners(&store), expected);
}

#[test]
fn who_becomes_the_author_of_what_another_said_first_has_said_it_since_its_own_word_came() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    commit(&store, said_at(1, 5, long_ago(), vec![version(0)]));
    commit(&store, said_at(2, 5, long_ago(), vec![version(1)]));
    // It says that it said so before anybody.
    commit(&store, said_at(3, 6, Timestamp::from_micros(0), vec![version(0)]));
    let honest = MemberId::new([5; 16]);
    let expected = (Owner::Is(honest), Some(honest));
    assert_eq!(owners(&store), expected);
    judge(&store, &[1], &[]);
    assert_eq!(of_member(&shown(&store), 6).len(), 1, "the row is its own now");
    assert_eq!(owners(&store), expected);
    surface_all(&store);
    assert_eq!(owners(&store), expected);
}

/// Where the entries of one object lie is chance: here what a short look would miss is the flood's first word alone.
#[test]
fn nobody_takes_an_object_by_saying_it_more_often_than_is_met_again() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let mut versions: Vec<ObjectRow> = (0..MAX_VERSIONS + 200).map(version).collect();
    versions.sort_by_key(|row| store.db.vault.blind(GROUP, "version", &row.version));
    let (honests, first) = (versions.remove(0), versions.pop().unwrap());
    commit(&store, said_at(1, 5, long_ago(), vec![honests]));
    commit(&store, said_at(2, 4, long_ago(), vec![first]));
    commit(&store, said_at(3, 4, long_ago(), versions));
    commit(&store, said_at(4, 6, long_ago(), vec![version(999_999)]));
    let honest = MemberId::new([5; 16]);
    let expected = (Owner::Is(honest), Some(honest));
    assert_eq!(owners(&store), expected);
    let before = of_member(&shown(&store), 5)[0].date_added;
    judge(&store, &[4], &[]);
    surface_all(&store);
    assert_eq!(owners(&store), expected);
    assert!(of_member(&shown(&store), 5)[0].date_added > before, "it is met again");
}

#[test]
fn of_many_large_versions_each_members_newest_is_met_again_and_of_the_rest_a_bounded_part() {
    const LARGE: usize = 4 << 10;
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let large = |n: usize| ObjectRow { raw: vec![b'a'; LARGE], ..version(n) };
    commit(&store, said_at(1, 5, long_ago(), vec![version(0)]));
    commit(&store, said_at(2, 4, long_ago(), (1..100).map(large).collect()));
    commit(&store, said_at(3, 6, long_ago(), vec![version(100)]));
    judge(&store, &[3], &[]);
    surface_all(&store);
    let rows = shown(&store);
    let met = |rows: &[&ObjectView]| rows.iter().filter(|row| row.outlived).count();
    assert_eq!(met(&of_member(&rows, 5)), 1);
    let flood = of_member(&rows, 4);
    assert_eq!(flood.len(), 99, "nothing is lost");
    assert!((1..=MOST_MET / LARGE + 1).contains(&met(&flood)), "{}", met(&flood));
    assert!(flood.last().unwrap().outlived, "its newest");
}

#[test]
fn what_stands_again_ends_nowhere_however_much_others_say_of_it() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    commit(&store, says(1, 0..1));
    withdraw(&store, 2, WithdrawalMode::Retract);
    step(&store);
    surface_all(&store);
    let end = shown(&store).remove(0);
    assert!(end.tombstone);
    // All of these lie before it.
    let place = |what: &str, version: &str| store.db.vault.blind(GROUP, what, version);
    let its = place("tombstone", &end.version);
    let before = (1..).map(version).filter(|row| place("version", &row.version) < its);
    let before: Vec<ObjectRow> = before.take(MAX_VERSIONS + 100).collect();
    commit(&store, said_at(3, 3, long_ago(), before));
    judge(&store, &[2], &[]);
    let mut txn = Txn::new(&store.db, clock::now());
    withdrawals::put_reweigh(&mut txn, Timestamp::ZERO, id(1));
    txn.done().write(&store.db).unwrap();
    assert_eq!(step(&store), Some(Committed::Reweighed { reopens: true }));
    let content = opened(1, 2, leaver::objects(0..1));
    store.commit_blocking(Change::Opened { message: id(1), group: GROUP, content }).unwrap();
    let rows = shown(&store);
    assert_eq!(of_member(&rows, 2).len(), 1);
    assert!(rows.iter().all(|row| !row.tombstone));
}
