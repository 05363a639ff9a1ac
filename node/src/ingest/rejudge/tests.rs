//! The store and the pure judgement together: whatever the order of arrival, what is shown is the same.

use std::collections::{BTreeMap, BTreeSet};

use belfry_proto::{
    crypto::{secret::Secret, sign::SigningKey},
    id::{CoalitionId, Height, KeyId, MemberId, PublicationId, Sequence, Serial},
    schema::Tlp,
    time::Timestamp,
    trust::cut::CutStatus,
};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::store::{Conditions, EnvelopeRow, ObjectRow, OpenedRows, Owner, PageQuery, Store};

const GROUP: GroupId = GroupId::new(5);
const LOG: LogId = LogId::new([1; 32]);

fn open(folder: &TempDir) -> Store {
    let owner =
        Owner { coalition: CoalitionId::new([1; 32]), node: SigningKey::from_seed(&[1; 32]).public() };
    loop {
        // The writer thread lets go of the database a moment after the last handle.
        match Store::open(&folder.path().join("store"), owner, &Secret::new([9; 32])) {
            Err(crate::store::OpenError::InUse { .. }) => std::thread::yield_now(),
            other => return other.unwrap(),
        }
    }
}

fn id(branch: u8, sequence: u64) -> MessageId {
    let mut bytes = [branch; 32];
    bytes[..8].copy_from_slice(&sequence.to_be_bytes());
    MessageId::new(bytes)
}

/// Message of a branch that leaves the main one (0) after `from`; it says one object of its own.
fn message(branch: u8, sequence: u64, from: u64) -> EnvelopeRow {
    let prev = match sequence - 1 {
        0 => MessageId::ZERO,
        parent if parent <= from => id(0, parent),
        parent => id(branch, parent),
    };
    EnvelopeRow {
        group: GROUP,
        log: LOG,
        sequence: Sequence::new(sequence),
        id: id(branch, sequence),
        prev,
        member: MemberId::new([2; 16]),
        serial: Serial::new(4),
        created: Timestamp::from_micros(sequence),
        received: Timestamp::from_micros(sequence),
        key_id: Some(KeyId::new([3; 32])),
        written_at: Height::new(1),
        judged_at: Height::new(1),
        in_closed_log: false,
        is_cut_point: false,
        is_listed: false,
        is_vouched: false,
        opens_later: false,
        bytes: vec![branch; 100],
        has_body: true,
        state: MessageState::Opened,
        content: Some(content(branch, sequence, 2, vec![object(&format!("{branch}-{sequence}"), "v1")])),
        reason: None,
        withdraws: None,
    }
}

fn object(name: &str, version: &str) -> ObjectRow {
    let (id, created) = (format!("indicator--{name}"), "2026-01-01T00:00:00Z");
    let version = format!("2026-01-01T00:00:0{}Z", version.trim_start_matches('v'));
    let raw = serde_json::json!({
        "type": "indicator", "id": id, "created": created, "modified": version, "name": "canary",
    });
    ObjectRow {
        id,
        kind: "indicator".to_owned(),
        version,
        tlp: Tlp::Amber,
        revoked: false,
        raw: raw.to_string().into_bytes(),
        created_by: None,
        pap: 0,
        stated: None,
        observables: vec![("ipv4-addr".to_owned(), "198.51.100.7".to_owned())],
    }
}

fn content(branch: u8, sequence: u64, member: u8, objects: Vec<ObjectRow>) -> OpenedRows {
    OpenedRows {
        publication: PublicationId::new([6; 16]),
        part: 1,
        parts: 1,
        member: MemberId::new([member; 16]),
        serial: Serial::new(4),
        message: id(branch, sequence),
        created: Timestamp::from_micros(sequence),
        purpose: 1,
        classes: vec![5],
        recipients: false,
        conditions: Conditions::default(),
        objects,
    }
}

/// As ingest would hand it in under `closure`.
fn arrive(store: &Store, row: &EnvelopeRow, closure: &Closure) {
    let status = closure.status(row.written_at, row.created, row.sequence, row.id);
    let row = match status {
        CutStatus::Open => row.clone(),
        _ => EnvelopeRow {
            state: MessageState::Quarantined,
            in_closed_log: true,
            content: None,
            ..row.clone()
        },
    };
    store.commit_blocking(Change::Envelope(Box::new(row))).unwrap();
}

fn whole(Found { hide, show, promote, end }: Found) -> JudgedLog {
    JudgedLog { group: GROUP, log: LOG, hide, show, promote, end: Some(end) }
}

/// Judges as the task does, and opens again what stands again.
fn settle(store: &Store, closure: &Closure, all: &[EnvelopeRow]) {
    loop {
        let Some(log) = store.log(GROUP, LOG) else { return };
        let found = judge(closure, &log, &store.held(GROUP, LOG).unwrap());
        if store.commit_blocking(Change::Judged(whole(found))).unwrap() == Committed::Done {
            break;
        }
    }
    while store.commit_blocking(Change::Surface(1)).unwrap() == Committed::More {}
    for message in store.reopenable(None, 1000).unwrap() {
        let content = all.iter().find(|row| row.id == message).and_then(|row| row.content.clone()).unwrap();
        store.commit_blocking(Change::Opened { message, group: GROUP, content }).unwrap();
    }
}

fn shown(store: &Store) -> BTreeSet<String> {
    let page = store.page(GROUP, &PageQuery { after: None, kinds: None, examine: 1000 }).unwrap();
    page.rows.into_iter().filter(|row| !row.tombstone).map(|row| row.id).collect()
}

fn states(store: &Store, all: &[EnvelopeRow]) -> BTreeMap<MessageId, MessageState> {
    all.iter().map(|row| (row.id, store.message(row.id).unwrap().unwrap().state)).collect()
}

fn cut(sequence: u64) -> Closure {
    Closure::at([(Sequence::new(sequence), id(0, sequence))])
}

fn history(length: u64, branches: &[(u8, u64, u64)]) -> Vec<EnvelopeRow> {
    let mut rows: Vec<EnvelopeRow> = (1..=length).map(|n| message(0, n, 0)).collect();
    for &(name, from, to) in branches {
        rows.extend((from + 1..=to).map(|n| message(name, n, from)));
    }
    rows
}

/// What the node ends with: states, objects, frontier.
type End = (BTreeMap<MessageId, MessageState>, BTreeSet<String>, (Sequence, MessageId, u64, Sequence));

fn end(store: &Store, all: &[EnvelopeRow]) -> End {
    let log = store.log(GROUP, LOG).unwrap();
    (states(store, all), shown(store), (log.height, log.head, log.bodies, log.frozen))
}

#[test]
fn a_cut_hides_what_was_stored_before_it_and_extending_brings_it_back() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let all = history(5, &[]);
    all.iter().for_each(|row| arrive(&store, row, &Closure::default()));
    assert_eq!(shown(&store).len(), 5);
    settle(&store, &cut(3), &all);
    assert_eq!(shown(&store), ["0-1", "0-2", "0-3"].map(|n| format!("indicator--{n}")).into());
    let counts = store.counts(GROUP);
    assert_eq!((counts.opened, counts.quarantined), (3, 2));
    let served = store.envelopes(GROUP, LOG, Sequence::new(1), Sequence::new(9), usize::MAX).unwrap();
    assert_eq!(served.len(), 5, "kept, and served to peers");
    settle(&store, &cut(5), &all);
    assert_eq!(shown(&store).len(), 5);
    settle(&store, &Closure::at([]), &all);
    assert_eq!(shown(&store).len(), 0);
}

#[test]
fn what_is_hidden_leaves_every_index_and_a_tombstone_says_so() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let all = history(2, &[]);
    all.iter().for_each(|row| arrive(&store, row, &Closure::default()));
    let before = store.feed_bounds().unwrap().unwrap().1;
    let last = store.page(GROUP, &PageQuery { after: None, kinds: None, examine: 9 }).unwrap().next_after;
    settle(&store, &cut(1), &all);
    assert_eq!(store.lookup(GROUP, "ipv4-addr", "198.51.100.7", 9).unwrap().len(), 1);
    let versions = store.versions(GROUP, "indicator--0-2").unwrap();
    let [end] = versions.as_slice() else { panic!("{versions:?}") };
    assert!(end.tombstone && end.revoked && end.tlp == belfry_proto::stix::marking::Tlp::Amber);
    assert!(!String::from_utf8_lossy(&end.raw).contains("canary"));
    assert!(Some(end.date_added) > last, "polling by date meets it");
    let feed = store.feed_after(before, 9).unwrap();
    assert_eq!(feed.rows.iter().map(|(_, row)| row.id.as_str()).collect::<Vec<_>>(), ["indicator--0-2"]);
    let feed = store.feed_after(0, 2).unwrap();
    assert_eq!((feed.rows.len(), feed.position, feed.more), (1, 2, true), "a hidden entry is passed over");
    settle(&store, &cut(2), &all);
    let versions = store.versions(GROUP, "indicator--0-2").unwrap();
    assert_eq!(
        (versions.len(), versions[0].tombstone),
        (1, false),
        "the tombstone goes when its object is back"
    );
}

#[test]
fn an_object_said_again_in_the_very_version_of_its_tombstone_is_shown() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let all = history(2, &[]);
    all.iter().for_each(|row| arrive(&store, row, &Closure::default()));
    settle(&store, &cut(1), &all);
    let tombstone = store.versions(GROUP, "indicator--0-2").unwrap().pop().unwrap();
    assert!(tombstone.tombstone);
    let mut said = object("0-2", "v1");
    said.raw = String::from_utf8(said.raw).unwrap().replace(&said.version, &tombstone.version).into_bytes();
    said.version.clone_from(&tombstone.version);
    let again = EnvelopeRow {
        log: LogId::new([2; 32]),
        id: id(9, 1),
        content: Some(content(9, 1, 2, vec![said.clone()])),
        ..message(9, 1, 99)
    };
    arrive(&store, &again, &Closure::default());
    let versions = store.versions(GROUP, "indicator--0-2").unwrap();
    let genuine: Vec<_> = versions.iter().filter(|row| !row.tombstone).collect();
    assert_eq!(genuine.len(), 1, "{versions:?}");
    assert_eq!((genuine[0].message, &genuine[0].raw), (id(9, 1), &said.raw));
    assert!(shown(&store).contains("indicator--0-2"));
    // The tombstone goes when its own object is back, and takes nothing else along.
    settle(&store, &cut(2), &all);
    let versions = store.versions(GROUP, "indicator--0-2").unwrap();
    assert!(versions.len() == 2 && versions.iter().all(|row| !row.tombstone), "{versions:?}");
}

#[test]
fn a_second_claim_surfaces_when_the_first_is_hidden() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let other = |n: u64, name: &str, version: &str| EnvelopeRow {
        log: LogId::new([2; 32]),
        member: MemberId::new([7; 16]),
        content: Some(content(9, n, 7, vec![object(name, version)])),
        id: id(9, n),
        prev: if n == 1 { MessageId::ZERO } else { id(9, n - 1) },
        ..message(9, n, 99)
    };
    let all = [history(2, &[]), vec![other(1, "0-1", "v1"), other(2, "0-2", "v0")]].concat();
    all.iter().for_each(|row| arrive(&store, row, &Closure::default()));
    let newest = store.page(GROUP, &PageQuery { after: None, kinds: None, examine: 9 }).unwrap().next_after;
    // The same bytes: one row with a reporter. Another version: a row of its own.
    assert_eq!(store.versions(GROUP, "indicator--0-1").unwrap()[0].reporters, [MemberId::new([7; 16])]);
    settle(&store, &Closure::at([]), &all);
    for name in ["indicator--0-1", "indicator--0-2"] {
        let versions = store.versions(GROUP, name).unwrap();
        let [row] = versions.as_slice() else { panic!("{versions:?}") };
        assert_eq!((row.member, row.tombstone, row.reporters.len()), (MemberId::new([7; 16]), false, 0));
        assert!(Some(row.date_added) > newest, "it is met again");
    }
    settle(&store, &cut(2), &all);
    let versions = store.versions(GROUP, "indicator--0-1").unwrap();
    assert_eq!((versions[0].member, versions.len()), (MemberId::new([7; 16]), 1));
    assert_eq!(versions[0].reporters, [MemberId::new([2; 16])], "back as a reporter");
}

#[test]
fn another_message_of_the_same_member_keeps_what_it_said_too() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let mut all = history(3, &[]);
    all[2].content = Some(content(0, 3, 2, vec![object("0-1", "v1")]));
    let newer = EnvelopeRow {
        log: LogId::new([2; 32]),
        id: id(9, 1),
        content: Some(content(9, 1, 2, vec![object("0-1", "v1")])),
        ..message(9, 1, 99)
    };
    all.iter().for_each(|row| arrive(&store, row, &Closure::default()));
    arrive(&store, &newer, &Closure::default());
    settle(&store, &Closure::at([]), &all);
    assert_eq!(shown(&store), ["indicator--0-1".to_owned()].into());
    assert_eq!(store.versions(GROUP, "indicator--0-1").unwrap()[0].message, id(9, 1));
}

/// 5 of the branch denies 4 of the main log, beside 5 of the main log, which follows it; 4 comes last.
#[test]
fn an_entry_that_one_of_two_children_denies_freezes_its_own_place() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let (main, denying) = (history(5, &[]), message(1, 5, 3));
    let last = message(0, 4, 0);
    main.iter().filter(|row| row.id != last.id).for_each(|row| arrive(&store, row, &Closure::default()));
    arrive(&store, &denying, &Closure::default());
    settle(&store, &Closure::default(), &main);
    assert_eq!((store.unjudged().unwrap(), store.log(GROUP, LOG).unwrap().frozen.get()), (vec![], 5));
    arrive(&store, &last, &Closure::default());
    assert_eq!(store.unjudged().unwrap(), [(GROUP, LOG)]);
    settle(&store, &Closure::default(), &main);
    let log = store.log(GROUP, LOG).unwrap();
    assert_eq!(log.frozen.get(), 4);
    assert_eq!(store.message(last.id).unwrap().unwrap().state, MessageState::Disputed);
    let proof = store.fork_proof(&log).unwrap().unwrap();
    assert_eq!(proof.envelopes, [last.bytes, denying.bytes]);
}

#[test]
fn a_hidden_message_is_not_opened_by_a_key_that_comes_late() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let sealed = EnvelopeRow { state: MessageState::Sealed, content: None, ..message(0, 1, 0) };
    arrive(&store, &sealed, &Closure::default());
    let closure = Closure::at([]);
    settle(&store, &closure, &[]);
    assert_eq!(store.waiting_keys(None, 9).unwrap(), []);
    let late = Change::Opened {
        message: id(0, 1),
        group: GROUP,
        content: content(0, 1, 2, vec![object("a", "v1")]),
    };
    assert_eq!(store.commit_blocking(late).unwrap(), Committed::Duplicate);
    assert_eq!(shown(&store).len(), 0);
    // Standing again without its key, it waits for it as before.
    let log = store.log(GROUP, LOG).unwrap();
    let found = judge(&cut(1), &log, &store.held(GROUP, LOG).unwrap());
    store.commit_blocking(Change::Judged(whole(found))).unwrap();
    assert_eq!(store.reopenable(None, 9).unwrap(), [id(0, 1)]);
    store.commit_blocking(Change::Reseal(id(0, 1))).unwrap();
    assert_eq!(store.reopenable(None, 9).unwrap(), []);
    assert_eq!(store.waiting_on(KeyId::new([3; 32]), None, 9).unwrap(), [id(0, 1)]);
}

#[test]
fn a_fork_hides_what_was_shown_at_and_above_it_and_a_lower_one_moves_it_down() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let all = history(6, &[(1, 4, 5), (2, 1, 2)]);
    let open = Closure::default();
    all.iter().take(7).for_each(|row| arrive(&store, row, &open));
    assert_eq!(store.unjudged().unwrap(), [(GROUP, LOG)]);
    settle(&store, &open, &all);
    let log = store.log(GROUP, LOG).unwrap();
    assert_eq!((log.frozen, log.height, log.head), (Sequence::new(5), Sequence::new(4), id(0, 4)));
    assert_eq!(shown(&store).len(), 4);
    assert_eq!(store.message(id(0, 6)).unwrap().unwrap().state, MessageState::Disputed);
    let proof = store.fork_proof(&log).unwrap().unwrap();
    assert_eq!((proof.sequence, proof.envelopes), (Sequence::new(5), [vec![0; 100], vec![1; 100]]));
    arrive(&store, &all[7], &open);
    settle(&store, &open, &all);
    let log = store.log(GROUP, LOG).unwrap();
    assert_eq!((log.frozen, log.height), (Sequence::new(2), Sequence::new(1)));
    assert_eq!(shown(&store), ["indicator--0-1".to_owned()].into());
}

#[test]
fn a_link_that_does_not_meet_is_proved_by_both_sides() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let all = [history(4, &[]), vec![message(1, 5, 3)]].concat();
    all.iter().for_each(|row| arrive(&store, row, &Closure::default()));
    settle(&store, &Closure::default(), &all);
    let log = store.log(GROUP, LOG).unwrap();
    assert_eq!((log.frozen, log.height), (Sequence::new(4), Sequence::new(3)));
    let proof = store.fork_proof(&log).unwrap().unwrap();
    assert_eq!(proof.envelopes, [vec![0; 100], vec![1; 100]]);
    assert_eq!(shown(&store).len(), 3);
}

#[test]
fn a_crash_between_mark_and_judgement_loses_nothing() {
    let folder = TempDir::new().unwrap();
    let all = history(4, &[(1, 2, 3)]);
    let store = open(&folder);
    all.iter().for_each(|row| arrive(&store, row, &Closure::default()));
    drop(store);
    let store = open(&folder);
    assert_eq!(store.unjudged().unwrap(), [(GROUP, LOG)]);
    // Half of a judgement, and another crash.
    let log = store.log(GROUP, LOG).unwrap();
    let Found { hide, .. } = judge(&Closure::default(), &log, &store.held(GROUP, LOG).unwrap());
    let (show, promote) = (Vec::new(), Vec::new());
    let half = JudgedLog { group: GROUP, log: LOG, hide: hide[..1].to_vec(), show, promote, end: None };
    store.commit_blocking(Change::Judged(half)).unwrap();
    drop(store);
    let store = open(&folder);
    assert_eq!(store.unjudged().unwrap(), [(GROUP, LOG)]);
    settle(&store, &Closure::default(), &all);
    assert_eq!(shown(&store).len(), 2);
    assert_eq!(store.unjudged().unwrap(), []);
}

#[test]
fn a_crash_between_hiding_and_saying_so_leaves_the_tombstones_to_be_made() {
    let folder = TempDir::new().unwrap();
    let all = history(5, &[]);
    let store = open(&folder);
    all.iter().for_each(|row| arrive(&store, row, &Closure::default()));
    let log = store.log(GROUP, LOG).unwrap();
    let found = judge(&Closure::at([]), &log, &store.held(GROUP, LOG).unwrap());
    store.commit_blocking(Change::Judged(whole(found))).unwrap();
    assert_eq!(store.unjudged().unwrap(), [], "the log is judged");
    assert_eq!(shown(&store).len(), 0, "what is hidden is gone at once");
    let tombstones = |store: &Store| {
        let page = store.page(GROUP, &PageQuery { after: None, kinds: None, examine: 1000 }).unwrap();
        page.rows.into_iter().filter(|row| row.tombstone).count()
    };
    assert_eq!(tombstones(&store), 0);
    assert_eq!(store.commit_blocking(Change::Surface(2)).unwrap(), Committed::More);
    assert_eq!(tombstones(&store), 2, "no more at once than was asked for");
    drop(store);
    let store = open(&folder);
    while store.commit_blocking(Change::Surface(2)).unwrap() == Committed::More {}
    assert_eq!(tombstones(&store), 5);
    assert_eq!(store.commit_blocking(Change::Surface(2)).unwrap(), Committed::Done);
    assert_eq!(tombstones(&store), 5);
}

#[test]
fn a_crash_while_places_change_hands_leaves_a_log_that_claims_too_little_and_is_judged_again() {
    let folder = TempDir::new().unwrap();
    // The forged history came first, and a cut says that the other one is true.
    let all = history(6, &[(1, 2, 6)]);
    let forged_first: Vec<_> = all[..2].iter().chain(&all[6..]).chain(&all[2..6]).collect();
    let store = open(&folder);
    forged_first.iter().for_each(|row| arrive(&store, row, &Closure::default()));
    let closure = cut(6);
    let log = store.log(GROUP, LOG).unwrap();
    let Found { promote, .. } = judge(&closure, &log, &store.held(GROUP, LOG).unwrap());
    assert_eq!(promote.len(), 4);
    // The upper half first: what is promoted below must not be read as followed by the forged entries.
    let nothing = || (Vec::new(), Vec::new());
    for (some, head) in [(&promote[2..], id(1, 4)), (&promote[..1], id(0, 2))] {
        let (hide, show) = nothing();
        let part = JudgedLog { group: GROUP, log: LOG, hide, show, promote: some.to_vec(), end: None };
        store.commit_blocking(Change::Judged(part)).unwrap();
        let log = store.log(GROUP, LOG).unwrap();
        let served = store.envelopes(GROUP, LOG, Sequence::new(1), log.height, usize::MAX).unwrap();
        assert_eq!((served.len() as u64, log.bodies), (log.height.get(), log.height.get()));
        assert_eq!(log.head, head, "up to below the lowest that changed hands");
    }
    drop(store);
    let store = open(&folder);
    assert_eq!(store.unjudged().unwrap(), [(GROUP, LOG)]);
    settle(&store, &closure, &all);
    let log = store.log(GROUP, LOG).unwrap();
    assert_eq!((log.height, log.head, log.bodies), (Sequence::new(6), id(0, 6), 6));
    let found = judge(&closure, &log, &store.held(GROUP, LOG).unwrap());
    assert!(found.promote.is_empty() && found.hide.is_empty(), "a second judgement moves nothing");
}

#[test]
fn a_gap_below_a_long_history_is_joined_in_bounded_steps() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let all = history(600, &[]);
    let light = |row: &EnvelopeRow| EnvelopeRow { state: MessageState::Sealed, content: None, ..row.clone() };
    all[1..].iter().for_each(|row| arrive(&store, &light(row), &Closure::default()));
    assert_eq!(store.log(GROUP, LOG).unwrap().height, Sequence::new(0));
    let filled = store.commit_blocking(Change::Envelope(Box::new(light(&all[0])))).unwrap();
    assert!(matches!(filled, Committed::Stored { unjudged: true, .. }), "{filled:?}");
    assert_eq!(store.log(GROUP, LOG).unwrap().height, Sequence::new(256));
    assert_eq!(store.unjudged().unwrap(), [(GROUP, LOG)]);
    settle(&store, &Closure::default(), &[]);
    let log = store.log(GROUP, LOG).unwrap();
    assert_eq!((log.height, log.head, log.bodies), (Sequence::new(600), id(0, 600), 600));
    assert_eq!(store.unjudged().unwrap(), []);
}

#[test]
fn a_judgement_that_was_overtaken_does_not_end_the_matter() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let all = history(3, &[(1, 1, 2)]);
    all.iter().take(2).for_each(|row| arrive(&store, row, &Closure::default()));
    let log = store.log(GROUP, LOG).unwrap();
    let found = judge(&Closure::default(), &log, &store.held(GROUP, LOG).unwrap());
    arrive(&store, &all[3], &Closure::default());
    assert_eq!(store.commit_blocking(Change::Judged(whole(found))).unwrap(), Committed::Outdated);
    assert_eq!(store.unjudged().unwrap(), [(GROUP, LOG)]);
}

#[test]
fn what_was_judged_by_an_older_roster_is_judged_again() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let head = belfry_proto::id::RosterVersion {
        height: Height::new(2),
        head: belfry_proto::id::EntryId::new([1; 32]),
    };
    let records = vec![(Height::new(1), vec![1]), (Height::new(2), vec![1])];
    store.commit_blocking(Change::Admin { charters: vec![], records, head }).unwrap();
    arrive(&store, &message(0, 1, 0), &Closure::default());
    assert_eq!(store.unjudged().unwrap(), [(GROUP, LOG)]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_order_of_arrival_ends_alike(
        length in 1_u64..7,
        branches in proptest::collection::btree_map(1_u8..3, (0_u64..6, 1_u64..4), 0..3),
        cut_at in proptest::option::of(0_u64..7),
        orders in proptest::collection::vec((any::<[u32; 32]>(), 0_usize..20, any::<bool>()), 2),
    ) {
        let branches: Vec<(u8, u64, u64)> = branches
            .into_iter()
            .map(|(name, (from, more))| (name, from.min(length), from.min(length) + more))
            .collect();
        let all = history(length, &branches);
        let closure = match cut_at {
            None => Closure::default(),
            Some(0) => Closure::at([]),
            Some(n) => cut(n),
        };
        let mut ends = Vec::new();
        for (keys, closes_after, judges_between) in orders {
            let folder = TempDir::new().unwrap();
            let store = open(&folder);
            let mut order: Vec<(u32, &EnvelopeRow)> = keys.into_iter().zip(&all).collect();
            order.sort_by_key(|(key, row)| (*key, row.id));
            for (n, (_, row)) in order.into_iter().enumerate() {
                // The admin log closes the log somewhere on the way.
                let known = if n < closes_after { Closure::default() } else { closure.clone() };
                arrive(&store, row, &known);
                if judges_between {
                    settle(&store, &known, &all);
                }
            }
            settle(&store, &closure, &all);
            prop_assert_eq!(store.unjudged().unwrap(), vec![]);
            ends.push(end(&store, &all));
        }
        prop_assert_eq!(&ends[0], &ends[1]);
        let stands = judge_log(&closure, &all.iter().map(entry).collect::<Vec<_>>());
        let expected = stands.places.values().filter(|place| **place == Place::Stands).count();
        prop_assert_eq!(ends[0].1.len(), expected);
    }
}

fn entry(row: &EnvelopeRow) -> Entry {
    Entry {
        sequence: row.sequence,
        id: row.id,
        prev: row.prev,
        created: row.created,
        written_at: row.written_at,
        is_unsigned: false,
    }
}

/// Who fetched the proof alone holds nothing of the run, and must come to the same end as who holds all of it.
#[test]
fn a_log_ends_below_a_run_that_its_author_did_not_sign_though_the_proof_is_of_its_last_entry() {
    let id = |n: u64| match n {
        0 => MessageId::ZERO,
        n => MessageId::new([u8::try_from(n).unwrap(); 32]),
    };
    let held = |n: u64| HeldEntry {
        entry: Entry {
            sequence: Sequence::new(n),
            id: id(n),
            prev: id(n - 1),
            created: Timestamp::from_micros(n),
            written_at: Height::new(1),
            is_unsigned: n == 2 || n == 3,
        },
        state: MessageState::Opened,
        counts: true,
        is_beside: false,
    };
    let end = |places: &[u64]| {
        let held: Vec<HeldEntry> = places.iter().map(|n| held(*n)).collect();
        let judged = judge_log(&Closure::default(), &held.iter().map(|held| held.entry).collect::<Vec<_>>());
        (frontier(LOG, &held, &judged).0, judged.fork)
    };
    assert_eq!(end(&[1, 2, 3, 4, 5]), (Sequence::new(1), Some(Sequence::new(3))));
    assert_eq!(end(&[1, 3, 4]), end(&[1, 2, 3, 4, 5]));
}
