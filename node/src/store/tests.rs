//! The store as claims, each on a folder of its own.

use std::{fs, ops::ControlFlow, path::Path};

use belfry_proto::{
    crypto::{secret::Secret, sign::SigningKey},
    id::{
        CoalitionId, EntryId, GroupId, Height, KeyId, LogId, MemberId, MessageId, PublicationId,
        RosterVersion, Sequence, Serial,
    },
    schema::{Audience, Tlp},
    sync::LogFrontier,
    time::Timestamp,
};
use tempfile::TempDir;

use super::*;

pub(super) const GROUP: GroupId = GroupId::new(5);
const CANARY: &str = "canary-7f3a-in-clear";

pub(super) fn owner(n: u8) -> Owner {
    Owner { coalition: CoalitionId::new([1; 32]), node: SigningKey::from_seed(&[n; 32]).public() }
}

pub(super) fn master() -> Secret {
    Secret::new([9; 32])
}

pub(super) fn open(folder: &TempDir) -> Store {
    loop {
        // The writer thread lets go of the database a moment after the last handle.
        match Store::open(&folder.path().join("store"), owner(1), &master()) {
            Err(OpenError::InUse { .. }) => std::thread::yield_now(),
            other => return other.unwrap(),
        }
    }
}

pub(super) fn id(n: u64) -> MessageId {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    MessageId::new(bytes)
}

/// Message `n` of log 1, linked to the one before, waiting for key 3.
pub(super) fn envelope(n: u64) -> EnvelopeRow {
    EnvelopeRow {
        group: GROUP,
        log: LogId::new([1; 32]),
        sequence: Sequence::new(n),
        id: id(n),
        prev: if n == 1 { MessageId::ZERO } else { id(n - 1) },
        member: MemberId::new([2; 16]),
        serial: Serial::new(4),
        created: Timestamp::from_micros(n),
        received: Timestamp::from_micros(n),
        key_id: Some(KeyId::new([3; 32])),
        written_at: Height::new(1),
        judged_at: Height::new(1),
        in_closed_log: false,
        is_cut_point: false,
        is_listed: false,
        is_vouched: false,
        opens_later: false,
        bytes: vec![7; 100],
        has_body: true,
        state: MessageState::Sealed,
        content: None,
        reason: None,
        withdraws: None,
    }
}

pub(super) fn object(name: &str, version: &str, tlp: Tlp) -> ObjectRow {
    ObjectRow {
        id: format!("indicator--{name}"),
        kind: "indicator".to_owned(),
        version: version.to_owned(),
        tlp,
        revoked: false,
        raw: format!("{{\"id\":\"indicator--{name}\",\"name\":\"{CANARY}\"}}").into_bytes(),
        created_by: None,
        pap: 0,
        stated: None,
        observables: vec![("ipv4-addr".to_owned(), "198.51.100.7".to_owned())],
    }
}

pub(super) fn opened(message: u64, member: u8, objects: Vec<ObjectRow>) -> OpenedRows {
    OpenedRows {
        publication: PublicationId::new([6; 16]),
        part: 1,
        parts: 1,
        member: MemberId::new([member; 16]),
        serial: Serial::new(4),
        message: id(message),
        created: Timestamp::from_micros(message),
        purpose: 1,
        classes: vec![5],
        recipients: false,
        conditions: Conditions::default(),
        objects,
    }
}

pub(super) fn with_objects(n: u64, objects: Vec<ObjectRow>) -> EnvelopeRow {
    EnvelopeRow { state: MessageState::Opened, content: Some(opened(n, 2, objects)), ..envelope(n) }
}

pub(super) fn commit(store: &Store, row: EnvelopeRow) -> Committed {
    store.commit_blocking(Change::Envelope(Box::new(row))).unwrap()
}

pub(super) fn draft(n: u8, key: Option<&str>) -> DraftRow {
    DraftRow {
        publication: PublicationId::new([n; 16]),
        group: GROUP,
        audience: Audience::Group,
        recipients: Vec::new(),
        parts: vec![CANARY.as_bytes().to_vec()],
        part_count: 1,
        objects: vec![(CANARY.to_owned(), String::new())],
        submitter: "siem".to_owned(),
        idempotency_key: key.map(str::to_owned),
        digest: [n; 32],
        created: Timestamp::from_micros(u64::from(n)),
        state: DraftState::Queued,
        messages: Vec::new(),
        key_id: None,
        error: None,
        withdraws: None,
        tlp: Tlp::Amber,
        reason: None,
    }
}

pub(super) fn page(
    store: &Store,
    kinds: Option<Vec<String>>,
    after: Option<Timestamp>,
    examine: usize,
) -> Page {
    store.page(GROUP, &PageQuery { after, kinds, examine }).unwrap()
}

#[test]
fn a_restart_keeps_everything() {
    let folder = TempDir::new().unwrap();
    let head = RosterVersion { height: Height::new(2), head: EntryId::new([8; 32]) };
    {
        let store = open(&folder);
        let admin = Change::Admin {
            charters: vec![(1, vec![1])],
            records: vec![(Height::new(1), vec![2]), (Height::new(2), vec![3])],
            head,
        };
        store.commit_blocking(admin).unwrap();
        commit(&store, with_objects(1, vec![object("a", "2026-01-01T00:00:00Z", Tlp::Amber)]));
        store.commit_blocking(Change::Draft(draft(1, None))).unwrap();
        store.commit_blocking(Change::Token(TokenRow { id: [4; 8], body: b"scope".to_vec() })).unwrap();
    }
    let store = open(&folder);
    assert_eq!(store.head().unwrap(), head);
    assert_eq!(store.records(Height::new(2), 10).unwrap(), [vec![3]]);
    assert_eq!(store.logs(GROUP)[0].height, Sequence::new(1));
    assert_eq!(page(&store, None, None, 10).rows.len(), 1);
    assert_eq!(store.queued(10).unwrap(), [PublicationId::new([1; 16])]);
    assert_eq!(store.tokens().unwrap()[0].body, b"scope");
    assert!(store.disk_size().unwrap() > 1_000, "what lies in the write-ahead log counts");
    assert_eq!(commit(&store, envelope(1)), Committed::Duplicate);
}

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

fn files(folder: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        bytes.extend(if path.is_dir() { files(&path) } else { fs::read(path).unwrap() });
    }
    bytes
}

#[test]
fn no_file_of_the_folder_shows_what_was_stored() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    commit(&store, with_objects(1, vec![object(CANARY, "2026-01-01T00:00:00Z", Tlp::Amber)]));
    store.commit_blocking(Change::Draft(draft(1, Some(CANARY)))).unwrap();
    store.commit_blocking(Change::Token(TokenRow { id: [4; 8], body: CANARY.as_bytes().to_vec() })).unwrap();
    let state = CANARY.as_bytes().to_vec();
    store.commit_blocking(Change::Source { name: "isac".to_owned(), state: state.clone() }).unwrap();
    assert_eq!(store.source("isac").unwrap(), Some(state));
    drop(store);
    let bytes = files(folder.path());
    for secret in [CANARY, "198.51.100.7"] {
        assert!(!bytes.windows(secret.len()).any(|w| w == secret.as_bytes()), "{secret} stands in a file");
    }
    assert!(bytes.windows(9).any(|w| w == b"indicator"), "types are visible: the search itself works");
}

#[test]
fn a_draft_that_failed_keeps_none_of_its_content() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    store.commit_blocking(Change::Draft(draft(1, None))).unwrap();
    let publication = PublicationId::new([1; 16]);
    store.commit_blocking(Change::DraftFailed { publication, error: "why".to_owned() }).unwrap();
    let row = store.draft(publication).unwrap().unwrap();
    assert_eq!((row.state, row.parts.len(), row.part_count), (DraftState::Refused, 0, 1));
}

#[test]
fn drafts_are_read_one_after_the_other_each_once() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    for n in [3, 1, 2, 255] {
        store.commit_blocking(Change::Draft(draft(n, None))).unwrap();
    }
    let (mut seen, mut after) = (Vec::new(), None);
    while let Some((row, bytes)) = store.draft_after(after).unwrap() {
        assert!(bytes >= CANARY.len());
        seen.push(row.publication);
        after = Some(row.publication);
    }
    assert_eq!(seen, [1, 2, 3, 255].map(|n| PublicationId::new([n; 16])));
}

#[test]
fn another_owner_key_or_process_and_another_schema_are_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("store");
    let store = open(&folder);
    let second = Store::open(&path, owner(1), &master());
    assert!(matches!(second, Err(OpenError::InUse { .. })), "{:?}", second.err());
    drop(store);
    let until_released = |owner, master: &Secret| loop {
        // The writer thread lets go of the database a moment after the last handle.
        match Store::open(&path, owner, master) {
            Err(OpenError::InUse { .. }) => std::thread::yield_now(),
            other => break other,
        }
    };
    assert!(matches!(until_released(owner(2), &master()), Err(OpenError::OtherOwner { .. })));
    assert!(matches!(until_released(owner(1), &Secret::new([8; 32])), Err(OpenError::WrongMaster { .. })));
    let store = until_released(owner(1), &master()).unwrap();
    let written_by = |store: &Store, schema: u32| {
        store.db.rocks.put_cf(store.db.cf(columns::Cf::Meta), b"schema", schema.to_be_bytes()).unwrap();
    };
    written_by(&store, 1);
    drop(store);
    let older = until_released(owner(1), &master()).err().unwrap();
    assert!(matches!(older, OpenError::OlderSchema { found: 1, .. }), "{older}");
    assert!(older.to_string().contains("run once a release between the two"), "{older}");
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("store");
    let store = open(&folder);
    written_by(&store, 99);
    drop(store);
    let newer = loop {
        match Store::open(&path, owner(1), &master()) {
            Err(OpenError::InUse { .. }) => std::thread::yield_now(),
            other => break other.err().unwrap(),
        }
    };
    assert!(matches!(newer, OpenError::NewerSchema { found: 99, .. }), "{newer}");
}

#[test]
fn the_frontier_advances_when_the_gap_fills() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let log = || store.logs(GROUP).remove(0);
    assert_eq!(
        commit(&store, envelope(1)),
        Committed::Stored { advanced: true, gap: false, unjudged: false }
    );
    assert_eq!(
        commit(&store, envelope(3)),
        Committed::Stored { advanced: false, gap: true, unjudged: false }
    );
    assert_eq!((log().height, log().top), (Sequence::new(1), Sequence::new(3)));
    assert_eq!(
        commit(&store, envelope(2)),
        Committed::Stored { advanced: true, gap: false, unjudged: false }
    );
    assert_eq!((log().height, log().head, log().bodies), (Sequence::new(3), id(3), 3));
}

#[test]
fn two_messages_for_one_place_are_a_fork_and_the_first_stands() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    commit(&store, envelope(1));
    let other = EnvelopeRow { id: id(99), ..envelope(1) };
    assert_eq!(commit(&store, other), Committed::Fork { existing: id(1) });
    let log = store.logs(GROUP).remove(0);
    assert!(log.forked);
    assert_eq!(log.head, id(1));
}

#[test]
fn a_link_that_does_not_meet_freezes_the_log() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    commit(&store, envelope(1));
    commit(&store, EnvelopeRow { prev: id(77), ..envelope(2) });
    let log = store.logs(GROUP).remove(0);
    assert!(log.forked);
    assert_eq!(log.height, Sequence::new(1));
}

#[test]
fn dates_added_are_unique_and_never_go_back() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let objects = |n: u64| (0..20).map(|i| object(&format!("{n}-{i}"), "", Tlp::Green)).collect();
    std::thread::scope(|scope| {
        for n in 1..=5 {
            let store = &store;
            scope.spawn(move || commit(store, with_objects(n, objects(n))));
        }
    });
    let dates: Vec<Timestamp> =
        page(&store, None, None, 1000).rows.iter().map(|row| row.date_added).collect();
    assert_eq!(dates.len(), 100);
    assert!(dates.windows(2).all(|pair| pair[0] < pair[1]));
    drop(store);
}

#[test]
fn equal_claims_merge_as_reporters_but_not_across_markings() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let claim = |n: u64, member: u8, tlp| {
        let content = opened(n, member, vec![object("a", "v1", tlp)]);
        commit(&store, EnvelopeRow { state: MessageState::Opened, content: Some(content), ..envelope(n) });
    };
    claim(1, 2, Tlp::Amber);
    claim(2, 3, Tlp::Amber);
    claim(3, 4, Tlp::Green);
    claim(4, 2, Tlp::Amber);
    let rows = store.versions(GROUP, "indicator--a").unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0].reporters, [MemberId::new([3; 16])]);
    assert_eq!(rows[1].reporters, []);
}

#[test]
fn a_page_looks_at_no_more_than_it_says() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    commit(&store, with_objects(1, (0..10).map(|i| object(&i.to_string(), "", Tlp::Green)).collect()));
    let first = page(&store, None, None, 4);
    assert_eq!((first.rows.len(), first.more), (4, true));
    let rest = page(&store, None, first.next_after, 100);
    assert_eq!((rest.rows.len(), rest.more), (6, false));
    let kinds = |kinds: &[&str]| {
        page(&store, Some(kinds.iter().map(|k| (*k).to_owned()).collect()), None, 100).rows.len()
    };
    assert_eq!((kinds(&["indicator"]), kinds(&["malware"]), kinds(&["malware", "indicator"])), (10, 0, 10));
}

#[test]
fn what_waited_for_a_key_is_found_opened_and_counted() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    commit(&store, envelope(1));
    commit(&store, envelope(2));
    let key = KeyId::new([3; 32]);
    assert_eq!(store.waiting_keys(None, 10).unwrap(), [(key, GROUP, MemberId::new([2; 16]))]);
    assert_eq!(store.waiting_on(key, None, 10).unwrap(), [id(1), id(2)]);
    assert_eq!(store.waiting_on(key, None, 1).unwrap(), [id(1)]);
    assert_eq!(store.waiting_on(key, Some(id(1)), 10).unwrap(), [id(2)]);
    assert_eq!(store.waiting_on(key, Some(id(2)), 10).unwrap(), []);
    let content = opened(1, 2, vec![object("a", "", Tlp::Green)]);
    store.commit_blocking(Change::Opened { message: id(1), group: GROUP, content }).unwrap();
    store.commit_blocking(Change::Closed { message: id(2), reason: "unreadable".to_owned() }).unwrap();
    assert_eq!(store.waiting_keys(None, 10).unwrap(), []);
    let counts = store.counts(GROUP);
    assert_eq!((counts.sealed, counts.opened, counts.closed), (0, 1, 1));
    assert_eq!(store.lookup(GROUP, "ipv4-addr", "198.51.100.7", 10).unwrap().len(), 1);
}

#[test]
fn last_use_of_a_key_moves_by_its_own_authors_messages_and_not_ahead() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let minute = 60_000_000;
    let key = KeyRow {
        id: KeyId::new([3; 32]),
        secret: Secret::new([4; 32]),
        context: vec![1],
        group: GROUP,
        author: MemberId::new([2; 16]),
        last_use: Timestamp::from_micros(minute),
        own: false,
        holders: 1,
    };
    store.commit_blocking(Change::Key(key.clone())).unwrap();
    let used = || store.key(key.id).unwrap().unwrap().last_use.as_micros();
    let at = |n: u64, log: u8, member: u8, created: u64| {
        let (member, created) = (MemberId::new([member; 16]), Timestamp::from_micros(created));
        let name = u64::from(log) * 100 + n;
        let prev = if n == 1 { MessageId::ZERO } else { id(name - 1) };
        commit(
            &store,
            EnvelopeRow { id: id(name), prev, log: LogId::new([log; 32]), member, created, ..envelope(n) },
        );
    };
    at(1, 1, 2, 3 * minute);
    assert_eq!(used(), 3 * minute);
    at(1, 9, 7, 9 * minute);
    assert_eq!(used(), 3 * minute, "another member's header may name any key");
    at(2, 1, 2, 2 * minute);
    assert_eq!(used(), 3 * minute, "never back");
    let before = crate::clock::now();
    at(3, 1, 2, u64::MAX / 2);
    assert!(
        (before.as_micros()..=crate::clock::now().as_micros()).contains(&used()),
        "not ahead of our clock"
    );
    store.commit_blocking(Change::Key(key.clone())).unwrap();
    assert!(used() >= before.as_micros(), "a second grant does not take it back");
}

/// Entries of three logs in no order, with gaps, second messages and links that do not meet.
fn disorder() -> Vec<EnvelopeRow> {
    let mut rows = Vec::new();
    for log in 1..=3_u8 {
        let of = |n: u64| {
            let id = |n: u64| id(1_000 * u64::from(log) + n);
            let prev = if n == 1 { MessageId::ZERO } else { id(n - 1) };
            EnvelopeRow { log: LogId::new([log; 32]), id: id(n), prev, ..envelope(n) }
        };
        rows.extend([4, 2, 1, 5, 3, 9, 7].map(of));
        if log == 2 {
            rows.push(EnvelopeRow { id: id(77), ..of(4) });
        }
    }
    rows.sort_by_key(|row| (row.sequence.get() * 7) % 5);
    rows
}

#[test]
fn the_frontier_in_memory_is_that_of_the_rows_after_every_change_and_a_restart() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let rows = |store: &Store| -> Vec<LogFrontier> {
        let loaded = logs::load(&store.db).unwrap();
        assert_eq!(loaded, store.all_logs(None));
        loaded.iter().map(LogFrontier::from).collect()
    };
    for row in disorder() {
        commit(&store, row);
        assert_eq!(store.frontier(GROUP).logs(), rows(&store));
    }
    // A change that is refused leaves no trace of what it began with.
    let refused = Change::Flushed { publication: PublicationId::new([8; 16]), envelopes: vec![envelope(20)] };
    assert!(store.commit_blocking(refused).is_err());
    assert_eq!(store.frontier(GROUP).logs(), rows(&store));
    let hash = *store.frontier(GROUP).hash();
    drop(store);
    assert_eq!(*open(&folder).frontier(GROUP).hash(), hash);
}

#[test]
fn a_log_stands_after_a_restart_as_before_it_though_its_row_is_written_now_and_then() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let written = |store: &Store| store.db.get(columns::Cf::Logs, &columns::log(GROUP, LogId::new([1; 32])));
    let (mut rows_written, mut before) = (0, None);
    for n in 1..=200 {
        commit(&store, envelope(n));
        if n % 50 == 0 {
            // Behind the row as last written, and before it.
            for message in [id(n), id(n - 30)] {
                let reason = "unreadable".to_owned();
                store.commit_blocking(Change::Closed { message, reason }).unwrap();
            }
        }
        let row = written(&store).unwrap();
        rows_written += usize::from(row != before);
        before = row;
        assert_eq!(logs::load(&store.db).unwrap(), store.all_logs(None), "at {n}");
    }
    assert!((4..=12).contains(&rows_written), "{rows_written}");
    let (stood, counts) = (store.all_logs(None), store.counts(GROUP));
    assert_eq!((counts.sealed, counts.closed), (192, 8));
    drop(store);
    let store = open(&folder);
    assert_eq!(store.all_logs(None), stood);
    // And goes on from there.
    assert_eq!(commit(&store, envelope(200)), Committed::Duplicate);
    commit(&store, envelope(201));
    assert_eq!(store.top(GROUP, LogId::new([1; 32])), Sequence::new(201));
}

/// With every row of a log gone from under it, the store still tells the frontier it last wrote.
#[test]
fn a_frontier_is_told_without_reading_a_row() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    for row in disorder() {
        commit(&store, row);
    }
    let before = store.frontier(GROUP).logs().to_vec();
    for log in &before {
        let (column, key) = (store.db.cf(columns::Cf::Logs), columns::log(GROUP, log.log));
        store.db.rocks.delete_cf(column, key).unwrap();
    }
    assert!(logs::load(&store.db).unwrap().is_empty());
    assert_eq!(store.logs(GROUP).len(), before.len());
    assert_eq!(store.frontier(GROUP).logs(), before);
    assert_eq!(store.logs_of(GROUP, Serial::new(4)).len(), 3);
}

#[test]
fn a_certificate_opens_no_more_logs_in_a_group_than_it_may() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let first = |log: u8, serial: u64| {
        let (log, serial) = (LogId::new([log; 32]), Serial::new(serial));
        let mut bytes = *log.as_bytes();
        bytes[0] = u8::try_from(serial.get()).unwrap();
        EnvelopeRow { id: MessageId::new(bytes), log, serial, ..envelope(1) }
    };
    for log in 0..64 {
        assert!(matches!(commit(&store, first(log, 4)), Committed::Stored { .. }), "{log}");
    }
    assert_eq!(commit(&store, first(64, 4)), Committed::TooManyLogs);
    assert_eq!(store.logs(GROUP).len(), 64);
    assert!(!store.has_message(first(64, 4).id).unwrap());
    assert!(
        matches!(commit(&store, first(65, 5)), Committed::Stored { .. }),
        "another certificate has its own"
    );
    let more = EnvelopeRow { id: id(7_777), prev: first(0, 4).id, ..first(0, 4) };
    let more = EnvelopeRow { sequence: Sequence::new(2), ..more };
    assert!(matches!(commit(&store, more), Committed::Stored { .. }), "a log that is there goes on");
}

#[test]
fn second_messages_of_a_log_are_bounded_but_for_the_one_that_counts() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    for n in 1..=3 {
        commit(&store, envelope(n));
    }
    let forged = |n: u64| EnvelopeRow { id: id(1_000 + n), ..envelope(2) };
    for n in 0..200 {
        assert_eq!(commit(&store, forged(n)), Committed::Fork { existing: id(2) });
    }
    let held = store.held(GROUP, LogId::new([1; 32])).unwrap().len();
    assert_eq!(held, 3 + 64);
    assert!(!store.has_message(id(1_199)).unwrap());
    let cut_point = EnvelopeRow { is_cut_point: true, in_closed_log: true, ..forged(500) };
    commit(&store, cut_point);
    assert!(store.has_message(id(1_500)).unwrap(), "a cut ends at it");
    // The one that what comes next follows.
    commit(&store, EnvelopeRow { id: id(4_000), prev: id(4_001), ..envelope(4) });
    commit(&store, EnvelopeRow { id: id(4_001), ..envelope(3) });
    assert!(store.has_message(id(4_001)).unwrap());
    commit(&store, EnvelopeRow { id: id(9_999), ..envelope(1) });
    assert!(store.has_message(id(9_999)).unwrap(), "a lower fork");
}

#[test]
fn parked_envelopes_survive_a_restart_within_their_shares() {
    let folder = TempDir::new().unwrap();
    let peer = Parker::Peer(SigningKey::from_seed(&[7; 32]).public());
    let park = |store: &Store, n: u64, parker| {
        let row = ParkRow { id: id(n), parker, received: Timestamp::from_micros(n), bytes: vec![1; 10] };
        store.commit_blocking(Change::Park(row)).unwrap()
    };
    let alice = Parker::Author(MemberId::new([1; 16]));
    let store = open(&folder);
    park(&store, 0, alice);
    for n in 1..=60 {
        park(&store, n, peer);
    }
    assert_eq!(park(&store, 1, peer), Committed::Duplicate);
    drop(store);
    let store = open(&folder);
    for n in 61..=100 {
        park(&store, n, peer);
    }
    let parked = store.parked(None, 1_000).unwrap();
    assert_eq!(parked.len(), 1 + 64);
    assert_eq!((parked[0].id, parked[0].parker), (id(0), alice));
    assert!(parked[1..].iter().all(|row| row.id >= id(37) && row.parker == peer), "the oldest went");
}

#[test]
fn a_draft_becomes_messages_once() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let publication = PublicationId::new([1; 16]);
    assert_eq!(store.commit_blocking(Change::Draft(draft(1, Some("k")))).unwrap(), Committed::Done);
    assert_eq!(store.commit_blocking(Change::Draft(draft(2, Some("k")))).unwrap(), Committed::Duplicate);
    assert_eq!(store.by_idempotency("k").unwrap().unwrap().publication, publication);
    let flush =
        || store.commit_blocking(Change::Flushed { publication, envelopes: vec![envelope(1), envelope(2)] });
    flush().unwrap();
    assert!(flush().is_err(), "a second flush would double it");
    let row = store.draft(publication).unwrap().unwrap();
    assert_eq!((row.state, row.messages, row.parts.len()), (DraftState::Flushed, vec![id(1), id(2)], 0));
    assert_eq!(store.queued(10).unwrap(), []);
}

#[test]
fn a_draft_and_its_message_are_written_at_once_or_neither() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let publish = |n: u8, key, envelope| {
        store.commit_blocking(Change::Published { draft: draft(n, key), envelopes: vec![envelope] })
    };
    assert_eq!(publish(1, Some("k"), envelope(1)).unwrap(), Committed::Done);
    let row = store.draft(PublicationId::new([1; 16])).unwrap().unwrap();
    assert_eq!((row.state, row.messages, row.parts.len()), (DraftState::Flushed, vec![id(1)], 0));
    assert_eq!(store.queued(10).unwrap(), []);
    // Submitted before, whichever way it went.
    assert_eq!(publish(2, Some("k"), envelope(2)).unwrap(), Committed::Duplicate);
    assert!(!store.has_message(id(2)).unwrap());
    // Its place was taken meanwhile: neither a draft nor its key is left behind.
    assert!(matches!(publish(3, Some("l"), envelope(1)), Err(WriteError::Missing(_))));
    assert!(store.draft(PublicationId::new([3; 16])).unwrap().is_none());
    assert_eq!(publish(4, Some("l"), envelope(2)).unwrap(), Committed::Done);
}

#[test]
fn a_draft_is_never_flushed_into_a_log_that_forked() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let publication = PublicationId::new([1; 16]);
    store.commit_blocking(Change::Draft(draft(1, None))).unwrap();
    commit(&store, envelope(1));
    commit(&store, EnvelopeRow { id: id(9), ..envelope(1) });
    // Its place was chosen before the fork came to light.
    let flush = store.commit_blocking(Change::Flushed { publication, envelopes: vec![envelope(2)] });
    assert!(matches!(flush, Err(WriteError::Missing(_))), "nobody would see it");
    assert!(!store.has_message(id(2)).unwrap());
    assert_eq!(store.queued(10).unwrap(), [publication], "it goes into the next log");
}

#[test]
fn where_one_of_many_flushes_fails_no_later_one_leaves_a_hole() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    for n in 1..=4 {
        store.commit_blocking(Change::Draft(draft(n, None))).unwrap();
    }
    let flush = |n: u8, at: u64| {
        let publication = PublicationId::new([n; 16]);
        store.prepare(Change::Flushed { publication, envelopes: vec![envelope(at)] })
    };
    let together = vec![flush(1, 1), flush(2, 2), flush(9, 3), flush(3, 4), flush(4, 5)];
    let answers = futures::executor::block_on(store.enqueue(together)).unwrap();
    let answers = futures::executor::block_on(answers.durable()).unwrap();
    assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false, false, false]);
    assert_eq!(store.queued(10).unwrap(), [3, 4].map(|n| PublicationId::new([n; 16])));
    assert_eq!(store.logs(GROUP)[0].top, Sequence::new(2));
    let answers = futures::executor::block_on(store.enqueue(vec![flush(3, 3), flush(4, 4)])).unwrap();
    assert!(futures::executor::block_on(answers.durable()).unwrap().iter().all(Result::is_ok));
}

#[test]
fn a_failed_change_leaves_nothing_behind() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let publication = PublicationId::new([1; 16]);
    let nowhere =
        Change::Flushed { publication, envelopes: vec![with_objects(1, vec![object("a", "", Tlp::Green)])] };
    assert!(matches!(store.commit_blocking(nowhere), Err(WriteError::Missing("draft"))));
    assert!(!store.has_message(id(1)).unwrap());
    assert_eq!(
        commit(&store, with_objects(1, vec![object("a", "", Tlp::Green)])),
        Committed::Stored { advanced: true, gap: false, unjudged: false }
    );
    drop(store);
    let reopened = open(&folder);
    assert_eq!(page(&reopened, None, None, 10).rows.len(), 1, "sealed under a data key that was written");
}

#[test]
fn the_admin_head_never_goes_back_by_itself() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let admin = |height: u64, charters: Vec<(u64, Vec<u8>)>| {
        let head = RosterVersion { height: Height::new(height), head: EntryId::new([1; 32]) };
        let records = (1..=height).map(|h| (Height::new(h), vec![1])).collect();
        store.commit_blocking(Change::Admin { charters, records, head })
    };
    admin(3, vec![]).unwrap();
    assert!(matches!(admin(2, vec![]), Err(WriteError::LogRollback { have: 3, offered: 2 })));
    admin(2, vec![(2, vec![2])]).unwrap();
    assert_eq!(store.records(Height::new(1), 10).unwrap().len(), 2);
}

#[test]
fn when_an_entry_was_first_seen_is_kept_until_a_new_charter_cuts_it_off() {
    let folder = TempDir::new().unwrap();
    let admin = |store: &Store, charters: Vec<(u64, Vec<u8>)>, heights: std::ops::RangeInclusive<u64>| {
        let head = RosterVersion { height: Height::new(*heights.end()), head: EntryId::new([1; 32]) };
        let records = heights.map(|h| (Height::new(h), vec![1])).collect();
        store.commit_blocking(Change::Admin { charters, records, head }).unwrap();
    };
    let seen = |store: &Store, height| store.first_seen(Height::new(height)).unwrap();
    let store = open(&folder);
    admin(&store, vec![], 1..=2);
    let first = seen(&store, 2).unwrap();
    drop(store);
    let store = open(&folder);
    admin(&store, vec![], 2..=3);
    assert_eq!(seen(&store, 2), Some(first), "offered again, seen once");
    assert!(seen(&store, 3).unwrap() >= first);
    assert_eq!(seen(&store, 4), None);
    admin(&store, vec![(2, vec![2])], 1..=1);
    assert_eq!(seen(&store, 2), None, "another entry may come to stand there");
    assert!(seen(&store, 1).is_some());
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

#[test]
fn only_logs_that_this_database_opened_are_gone_on_with() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let log = LogId::new([1; 32]);
    store.commit_blocking(Change::Draft(draft(1, None))).unwrap();
    assert!(!store.writes_log(GROUP, log).unwrap());
    let envelopes = vec![with_objects(1, vec![object("a", "1", Tlp::Amber)])];
    store.commit_blocking(Change::Flushed { publication: PublicationId::new([1; 16]), envelopes }).unwrap();
    assert!(store.writes_log(GROUP, log).unwrap());

    let copy = folder.path().join("copy");
    store.checkpoint(&copy).unwrap();
    Store::reborn(&copy, owner(1), &master()).unwrap();
    let copied = Store::open(&copy, owner(1), &master()).unwrap();
    assert_eq!(copied.logs(GROUP), store.logs(GROUP));
    assert!(!copied.writes_log(GROUP, log).unwrap());
    // What comes back from peers was not opened here either.
    let other = TempDir::new().unwrap();
    let wiped = open(&other);
    commit(&wiped, envelope(1));
    assert!(!wiped.writes_log(GROUP, log).unwrap());
}

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

#[tokio::test]
async fn what_is_queued_together_is_answered_each_in_its_place_however_many_writes_it_takes() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    // More than two batches hold, and every third one a duplicate.
    let rows: Vec<_> = (0..600_u64).map(|n| n - u64::from(n % 3 == 2)).collect();
    let changes = rows.iter().map(|n| {
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&n.to_be_bytes());
        let parker = Parker::Author(MemberId::new([u8::try_from(n % 200).unwrap(); 16]));
        let (id, received) = (MessageId::new(bytes), Timestamp::from_micros(*n));
        store.prepare(Change::Park(ParkRow { id, parker, received, bytes: vec![1; 20_000] }))
    });
    let answers = store.enqueue(changes.collect()).await.unwrap().durable().await.unwrap();
    let expected = (0..600).map(|n| if n % 3 == 2 { Committed::Duplicate } else { Committed::Done });
    assert_eq!(answers.into_iter().map(Result::unwrap).collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    assert_eq!(store.parked(None, 1_000).unwrap().len(), 400);
}
