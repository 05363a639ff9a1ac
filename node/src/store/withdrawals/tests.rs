//! Whatever the order in which a message, its withdrawals, their lifts and a cut arrive, it ends the same.

use belfry_proto::{
    crypto::{secret::Secret, sign::SigningKey},
    envelope::LIFTED_WITHIN,
    id::{CoalitionId, Height, KeyId, LogId, PublicationId, Sequence, Serial},
    schema::{Tlp, WithdrawalGround},
};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::{
    clock,
    store::{Change, Conditions, JudgedLog, ObjectRow, OpenedRows, Owner, PageQuery, Store, Withdraws},
};

const GROUP: GroupId = GroupId::new(5);
const AUTHOR: MemberId = MemberId::new([1; 16]);
const STEWARD: MemberId = MemberId::new([3; 16]);
const OTHER: MemberId = MemberId::new([4; 16]);
const TARGET: MessageId = MessageId::new([0x77; 32]);

fn open(folder: &TempDir) -> Store {
    let owner =
        Owner { coalition: CoalitionId::new([1; 32]), node: SigningKey::from_seed(&[1; 32]).public() };
    Store::open(&folder.path().join("store"), owner, &Secret::new([9; 32])).unwrap()
}

/// The first entry of a log of its own.
fn entry(id: MessageId, member: MemberId, targets: &[MessageId], body: Option<&[u8]>) -> EnvelopeRow {
    let header = schema::Header {
        targets: targets.iter().map(|target| target.to_vec()).collect(),
        ..schema::Header::default()
    };
    let envelope = schema::Envelope {
        header: header.encode_to_vec(),
        body: body.map(<[u8]>::to_vec),
        ..schema::Envelope::default()
    };
    let is_data = targets.is_empty();
    EnvelopeRow {
        group: GROUP,
        log: LogId::new(*id.as_bytes()),
        sequence: Sequence::new(1),
        id,
        prev: MessageId::ZERO,
        member,
        serial: Serial::new(u64::from(id.as_bytes()[0])),
        created: clock::now(),
        received: clock::now(),
        key_id: is_data.then_some(KeyId::new([3; 32])),
        written_at: Height::new(1),
        judged_at: Height::new(1),
        in_closed_log: false,
        is_cut_point: false,
        is_listed: false,
        is_vouched: false,
        opens_later: false,
        bytes: envelope.encode_to_vec(),
        has_body: !is_data || body.is_some(),
        state: if is_data { MessageState::Sealed } else { MessageState::Closed },
        content: None,
        reason: None,
        withdraws: None,
    }
}

fn withdrawal(n: u8, member: MemberId, mode: WithdrawalMode, target: MessageId) -> EnvelopeRow {
    let row = entry(MessageId::new([n; 32]), member, &[target], None);
    let word = Word {
        id: row.id,
        group: GROUP,
        member,
        mode,
        ground: WithdrawalGround::Rules,
        by_steward: member == STEWARD,
        created: row.created,
        seen: row.received,
    };
    EnvelopeRow { withdraws: Some(Withdraws { word, targets: vec![target] }), ..row }
}

fn said(version: &str, name: &str) -> OpenedRows {
    let id = "indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f".to_owned();
    let raw = serde_json::json!({
        "type": "indicator", "spec_version": "2.1", "id": id, "created": "2026-01-01T00:00:00Z",
        "modified": version, "name": name,
    });
    OpenedRows {
        publication: PublicationId::new([6; 16]),
        part: 1,
        parts: 1,
        member: AUTHOR,
        serial: Serial::new(1),
        message: TARGET,
        created: Timestamp::from_micros(1),
        purpose: 1,
        classes: vec![5],
        recipients: false,
        conditions: Conditions::default(),
        objects: vec![ObjectRow {
            id,
            kind: "indicator".to_owned(),
            version: version.to_owned(),
            tlp: Tlp::Amber,
            revoked: false,
            pap: 0,
            raw: raw.to_string().into_bytes(),
            created_by: None,
            observables: vec![("ipv4-addr".to_owned(), "198.51.100.7".to_owned())],
        }],
    }
}

fn commit(store: &Store, row: &EnvelopeRow) {
    store.commit_blocking(Change::Envelope(Box::new(row.clone()))).unwrap();
}

fn settle(store: &Store, now: Timestamp) {
    loop {
        let work = store.to_reweigh(now, 3).unwrap();
        if work.is_empty() {
            return;
        }
        store.commit_blocking(Change::Reweigh { work, now }).unwrap();
        store.commit_blocking(Change::Surface(usize::MAX - 1)).unwrap();
    }
}

fn rows(store: &Store) -> Vec<crate::store::ObjectView> {
    store.page(GROUP, &PageQuery { after: None, kinds: None, examine: 100 }).unwrap().rows
}

/// State, whether the body is here, and how many bodies its log counts.
fn held(store: &Store) -> (MessageState, bool, u64) {
    let row = store.message(TARGET).unwrap().unwrap();
    let bytes = store.envelope(TARGET).unwrap().unwrap();
    assert_eq!(schema::Envelope::decode(bytes.as_slice()).unwrap().body.is_some(), row.has_body);
    (row.state, row.has_body, store.log(GROUP, row.log).unwrap().unwrap().bodies)
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Event {
    Target,
    Steward,
    Lift,
    Stranger,
    Author,
    /// The steward's withdrawal turns out to lie beyond a cut.
    Cut,
    Settle,
}

fn play(events: &[Event], erases: bool) -> (MessageState, bool, u64) {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let by_author = if erases { WithdrawalMode::Erase } else { WithdrawalMode::Retract };
    let steward = withdrawal(2, STEWARD, WithdrawalMode::Erase, TARGET);
    let mut is_cut = false;
    for event in events {
        match event {
            Event::Target => commit(&store, &entry(TARGET, AUTHOR, &[], Some(b"sealed"))),
            Event::Steward if is_cut => {
                let state = MessageState::Quarantined;
                commit(&store, &EnvelopeRow { state, in_closed_log: true, ..steward.clone() });
            }
            Event::Steward => commit(&store, &steward),
            Event::Lift => commit(&store, &withdrawal(5, STEWARD, WithdrawalMode::Lift, steward.id)),
            Event::Stranger => commit(&store, &withdrawal(6, OTHER, WithdrawalMode::Erase, TARGET)),
            Event::Author => commit(&store, &withdrawal(7, AUTHOR, by_author, TARGET)),
            Event::Cut => {
                is_cut = true;
                if store.has_message(steward.id).unwrap() {
                    let hide = vec![(steward.id, MessageState::Quarantined)];
                    let (group, log) = (GROUP, steward.log);
                    let judged =
                        JudgedLog { group, log, hide, show: Vec::new(), promote: Vec::new(), end: None };
                    store.commit_blocking(Change::Judged(judged)).unwrap();
                }
            }
            Event::Settle => settle(&store, clock::now()),
        }
    }
    settle(&store, clock::now());
    held(&store)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn every_order_ends_the_same(
        (events, shuffled) in proptest::sample::subsequence(
            vec![Event::Steward, Event::Lift, Event::Stranger, Event::Author, Event::Cut], 0..=5,
        ).prop_flat_map(|events| {
            let all: Vec<Event> = events.into_iter().chain([Event::Target, Event::Settle, Event::Settle]).collect();
            (Just(all.clone()), Just(all).prop_shuffle())
        }),
        erases: bool,
    ) {
        let has = |event| events.contains(&event);
        let (is_author, is_hidden) =
            (has(Event::Author), has(Event::Steward) && !has(Event::Lift) && !has(Event::Cut));
        let state = if is_author || is_hidden { MessageState::Withdrawn } else { MessageState::Sealed };
        prop_assert_eq!(play(&shuffled, erases), (state, !(is_author && erases), 1), "{:?}", shuffled);
    }
}

#[test]
fn a_retraction_tells_on_what_was_said_and_an_erasure_after_it_does_not() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let target = entry(TARGET, AUTHOR, &[], Some(b"sealed"));
    let content = Some(said("2026-01-01T00:00:00Z", "canary"));
    commit(&store, &EnvelopeRow { state: MessageState::Opened, content, ..target });
    let shown = rows(&store);
    commit(&store, &withdrawal(7, AUTHOR, WithdrawalMode::Retract, TARGET));
    settle(&store, clock::now());
    let told = rows(&store);
    assert_eq!((told.len(), told[0].revoked, told[0].tombstone, told[0].withdrawn), (1, true, true, true));
    assert!(String::from_utf8_lossy(&told[0].raw).contains("canary"));
    assert!(told[0].date_added > shown[0].date_added, "whoever polls meets it");
    assert_eq!(store.lookup(GROUP, "ipv4-addr", "198.51.100.7", 10).unwrap().len(), 1, "found, as revoked");

    commit(&store, &withdrawal(8, AUTHOR, WithdrawalMode::Erase, TARGET));
    settle(&store, clock::now());
    let told = rows(&store);
    assert_eq!((told.len(), told[0].revoked), (1, true));
    assert!(!String::from_utf8_lossy(&told[0].raw).contains("canary"));
    assert_eq!(store.lookup(GROUP, "ipv4-addr", "198.51.100.7", 10).unwrap().len(), 0);
    assert_eq!(held(&store), (MessageState::Withdrawn, false, 1));
    assert!(store.has_purges().unwrap());
    store.purge().unwrap();
    assert!(!store.has_purges().unwrap());
    assert_eq!(store.check(|_| ()).damaged.iter().filter(|e| !e.to_string().contains("envelope")).count(), 0);
}

#[test]
fn a_body_that_a_lift_came_too_late_for_is_wanted_and_heals() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let whole = entry(TARGET, AUTHOR, &[], Some(b"sealed"));
    commit(&store, &whole);
    let hidden = withdrawal(2, STEWARD, WithdrawalMode::Erase, TARGET);
    commit(&store, &hidden);
    settle(&store, clock::now());
    assert_eq!(held(&store), (MessageState::Withdrawn, true, 1));
    settle(&store, clock::now().saturating_add(LIFTED_WITHIN));
    assert_eq!(held(&store), (MessageState::Withdrawn, false, 1), "gone, and by right");
    assert!(!store.wants_body(TARGET).unwrap());
    // Signed in time by a steward who was cut off.
    commit(&store, &withdrawal(5, STEWARD, WithdrawalMode::Lift, hidden.id));
    settle(&store, clock::now());
    assert_eq!(held(&store), (MessageState::Sealed, false, 0));
    let hole = Some((Sequence::new(1), Sequence::new(1)));
    assert_eq!((store.wants_body(TARGET).unwrap(), store.holes(GROUP, whole.log).unwrap()), (true, hole));
    commit(&store, &whole);
    settle(&store, clock::now());
    assert_eq!(held(&store), (MessageState::Sealed, true, 1));
    assert_eq!(store.reopenable(None, 10).unwrap(), [TARGET]);
}

#[test]
fn an_entry_without_its_body_counts_as_long_as_its_withdrawal_stands() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let erased = withdrawal(7, AUTHOR, WithdrawalMode::Erase, TARGET);
    commit(&store, &erased);
    commit(&store, &entry(TARGET, AUTHOR, &[], None));
    settle(&store, clock::now());
    assert_eq!(held(&store), (MessageState::Withdrawn, false, 1));
    let hide = vec![(erased.id, MessageState::Quarantined)];
    let judged =
        JudgedLog { group: GROUP, log: erased.log, hide, show: Vec::new(), promote: Vec::new(), end: None };
    store.commit_blocking(Change::Judged(judged)).unwrap();
    settle(&store, clock::now());
    assert_eq!(held(&store), (MessageState::Sealed, false, 0));
}

#[test]
fn the_end_of_a_newer_version_is_told_beside_an_older_one_that_stands() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let versions = ["2026-01-01T00:00:00.000000Z", "2026-02-01T00:00:00.000000Z"];
    let say = |id: MessageId, version: &str| {
        let content = Some(OpenedRows { message: id, ..said(version, "told") });
        commit(
            &store,
            &EnvelopeRow { state: MessageState::Opened, content, ..entry(id, AUTHOR, &[], Some(b"s")) },
        );
    };
    let older = MessageId::new([0x66; 32]);
    say(older, versions[0]);
    say(TARGET, versions[1]);
    let told = || -> Vec<(String, bool)> {
        rows(&store).into_iter().map(|row| (row.version, row.revoked)).collect()
    };
    commit(&store, &withdrawal(7, AUTHOR, WithdrawalMode::Retract, TARGET));
    settle(&store, clock::now());
    let end = ("2026-02-01T00:00:00.001000Z".to_owned(), true);
    assert_eq!(told(), [(versions[0].to_owned(), false), end.clone()]);
    // The last word stays the last word when the older one goes, too.
    commit(&store, &withdrawal(8, AUTHOR, WithdrawalMode::Retract, older));
    settle(&store, clock::now());
    assert_eq!(told(), [end]);
}

#[test]
fn of_one_members_withdrawals_of_a_message_the_smallest_ids_count_whichever_came_first() {
    let kept = |order: &mut dyn Iterator<Item = u8>| {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        commit(&store, &entry(TARGET, AUTHOR, &[], Some(b"sealed")));
        for n in order {
            commit(&store, &withdrawal(n, AUTHOR, WithdrawalMode::Retract, TARGET));
        }
        commit(&store, &withdrawal(200, STEWARD, WithdrawalMode::Erase, TARGET));
        let mut ids: Vec<_> = store.withdrawals(TARGET).unwrap().iter().map(|row| row.word.id).collect();
        ids.sort_unstable();
        ids
    };
    let expected: Vec<_> = (100..116).chain([200]).map(|n: u8| MessageId::new([n; 32])).collect();
    assert_eq!(kept(&mut (100..130)), expected);
    assert_eq!(kept(&mut (100..130).rev()), expected);
}
