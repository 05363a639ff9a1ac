//! The store as claims, each on a folder of its own: what all of them begin with, and those about the store as a whole.

use std::{fs, path::Path};

use belfry_proto::{
    crypto::{secret::Secret, sign::SigningKey},
    id::{
        CoalitionId, EntryId, GroupId, Height, KeyId, LogId, MemberId, MessageId, PublicationId,
        RosterVersion, Sequence, Serial,
    },
    schema::{Audience, Tlp},
    time::Timestamp,
};
use tempfile::TempDir;

use super::*;

pub(super) const GROUP: GroupId = GroupId::new(5);
pub(super) const CANARY: &str = "canary-7f3a-in-clear";

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
