//! Objects as they are read: by id, by type, and whose.

use std::ops::ControlFlow;

use belfry_proto::{id::MemberId, schema::Tlp, time::Timestamp};
use tempfile::TempDir;

use super::MAX_VERSIONS;
use crate::store::{
    Claimed, EnvelopeRow, MOST_CLAIMS, MessageState, ObjectView, PageQuery, ReadError, Store, Versions,
    columns, owner,
    tests::{GROUP, commit, envelope, object, open, opened, page, with_objects},
};

#[test]
fn the_newest_of_a_type_come_first_and_no_more_of_them_than_are_asked_for() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    for n in 1..=3 {
        let names = [format!("{n}-a"), format!("{n}-b")];
        commit(
            &store,
            with_objects(n, names.map(|name| object(&name, "2026-01-01T00:00:00Z", Tlp::Amber)).into()),
        );
    }
    let all = page(&store, None, None, 10).rows;
    let kind = all[0].kind.clone();
    let newest = |before: Option<Timestamp>, examine: usize, most: usize| {
        let mut dates = Vec::new();
        let last = store.each_newest::<ReadError>(GROUP, &kind, (before, examine), |row| {
            dates.push(row.date_added);
            Ok(if dates.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        });
        (dates, last.unwrap())
    };
    let dates: Vec<Timestamp> = all.iter().rev().map(|row| row.date_added).collect();
    assert_eq!(newest(None, 10, 10), (dates.clone(), None));
    assert_eq!(newest(None, 2, 10), (dates[..2].to_vec(), Some(dates[1])), "as far as may be looked");
    assert_eq!(newest(None, 10, 3), (dates[..3].to_vec(), Some(dates[2])), "until enough was seen");
    assert_eq!(newest(Some(dates[2]), 10, 10), (dates[3..].to_vec(), None), "from where that ended");
    let none = store.each_newest::<ReadError>(GROUP, "ind", (None, 10), |_| panic!("a prefix of a type"));
    assert_eq!(none.unwrap(), None);
}

#[test]
fn what_others_say_is_not_opened_where_one_members_versions_are_asked_for() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    commit(&store, with_objects(1, vec![object("a", "", Tlp::Green)]));
    let other = opened(2, 3, vec![object("a", "", Tlp::Amber)]);
    commit(&store, EnvelopeRow { state: MessageState::Opened, content: Some(other), ..envelope(2) });
    let all = store.versions(GROUP, "indicator--a").unwrap();
    let key = columns::object(GROUP, all[1].date_added.as_micros());
    store.db.rocks.put_cf(store.db.cf(columns::Cf::Objects), key, b"damaged").unwrap();
    assert!(store.versions(GROUP, "indicator--a").is_err());
    assert_eq!(store.versions_by(GROUP, "indicator--a", all[0].member).unwrap(), all[..1]);
}

/// Message `n`, by which a member says versions of an object.
fn says(n: u64, member: u8, versions: impl IntoIterator<Item = usize>) -> EnvelopeRow {
    let version = |n: usize| object("a", &format!("2026-01-01T00:00:00.{n:06}Z"), Tlp::Green);
    let content = Some(opened(n, member, versions.into_iter().map(version).collect()));
    EnvelopeRow { state: MessageState::Opened, content, ..envelope(n) }
}

/// What is said of the object, whether that tells whose it is, and up to when it was looked for.
fn found(store: &Store) -> (Vec<ObjectView>, bool, Timestamp) {
    let Versions { rows, tell_owner, until } = store.looks().versions_of(GROUP, "indicator--a").unwrap();
    (rows.collect::<Result<_, _>>().unwrap(), tell_owner, until)
}

/// Where the entries of one object lie is chance, so there are many of whom each has to be shown.
#[test]
fn however_often_one_says_an_object_each_has_its_share_and_whose_it_is_stays() {
    const OTHERS: usize = 20;
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let members = 10..30_u8;
    for (n, member) in members.clone().enumerate() {
        commit(&store, says(u64::from(member), member, [n]));
    }
    let flood = OTHERS..OTHERS + MAX_VERSIONS + 800;
    commit(&store, says(100, 2, flood));
    let (rows, tell_owner, _) = found(&store);
    assert!(tell_owner);
    assert!(rows.len() <= MAX_VERSIONS && rows.len() >= MAX_VERSIONS - 2 * OTHERS);
    let said: Vec<MemberId> = rows[..OTHERS].iter().map(|row| row.member).collect();
    let others: Vec<MemberId> = members.map(|member| MemberId::new([member; 16])).collect();
    assert_eq!(said, others);
    let claimed = rows.iter().map(|row| Claimed {
        member: row.member,
        added: row.arrived,
        created: row.created,
        message: row.message,
    });
    assert_eq!(owner(claimed), Some(others[0]));
    for member in others {
        assert_eq!(store.versions_by(GROUP, "indicator--a", member).unwrap().len(), 1);
    }
    // The newest are of those that were said last, and the flood's first is there as well.
    let flooded: Vec<&str> = rows[OTHERS..].iter().map(|row| row.version.as_str()).collect();
    assert_eq!(flooded.first(), Some(&"2026-01-01T00:00:00.000020Z"));
    assert_eq!(flooded.last(), Some(&"2026-01-01T00:00:00.001843Z"));
}

#[test]
fn of_an_object_that_is_said_more_often_than_is_looked_at_nobody_is_told_to_be_the_owner() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    commit(&store, says(1, 2, 0..MOST_CLAIMS));
    assert!(found(&store).1);
    commit(&store, says(2, 3, [MOST_CLAIMS]));
    assert!(!found(&store).1);
    assert_eq!(store.versions_by(GROUP, "indicator--a", MemberId::new([3; 16])).unwrap().len(), 1);
}

/// Where the entries of one object lie is chance, so there are many of whom each has to be shown.
#[test]
fn however_many_entries_an_object_has_no_members_only_word_is_missed() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let members = 10..30_u8;
    commit(&store, says(1, 2, 0..MOST_CLAIMS));
    for (n, member) in (2..).zip(members.clone()) {
        commit(&store, says(n, member, [MOST_CLAIMS + usize::from(member)]));
    }
    commit(&store, says(100, 2, 2 * MOST_CLAIMS..3 * MOST_CLAIMS));
    let (rows, tell_owner, until) = found(&store);
    assert!(!tell_owner && rows.len() <= MAX_VERSIONS);
    for member in members {
        let member = MemberId::new([member; 16]);
        let said: Vec<_> = rows.iter().filter(|row| row.member == member).collect();
        assert_eq!(
            said,
            store.versions_by(GROUP, "indicator--a", member).unwrap().iter().collect::<Vec<_>>()
        );
        assert_eq!(said.len(), 1);
    }
    let flooded: Vec<&str> = rows
        .iter()
        .filter(|row| row.member == MemberId::new([2; 16]))
        .map(|row| row.version.as_str())
        .collect();
    assert_eq!(flooded.first(), Some(&"2026-01-01T00:00:00.000000Z"), "what one said first");
    assert_eq!(
        flooded.last().copied(),
        Some(format!("2026-01-01T00:00:00.{:06}Z", 3 * MOST_CLAIMS - 1).as_str())
    );
    assert_eq!(until, rows.last().unwrap().date_added);
}

#[test]
fn a_damaged_row_is_an_error_that_names_it() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    commit(&store, with_objects(1, vec![object("a", "", Tlp::Green)]));
    let cf = store.db.cf(columns::Cf::Objects);
    let (key, mut value) =
        store.db.rocks.iterator_cf(cf, rocksdb::IteratorMode::Start).next().unwrap().unwrap();
    *value.last_mut().unwrap() ^= 1;
    store.db.rocks.put_cf(cf, &key, &value).unwrap();
    let error =
        store.page(GROUP, &PageQuery { after: None, kinds: None, examine: 10 }).unwrap_err().to_string();
    assert!(error.contains("objects") && error.contains(&hex::encode(&key)), "{error}");
}
