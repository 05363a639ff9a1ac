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
    store::{
        Change, Conditions, JudgedLog, ObjectRow, OpenError, OpenedRows, Owner, PageQuery, Salvage, Store,
        Withdraws,
    },
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
            stated: None,
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
    (row.state, row.has_body, store.log(GROUP, row.log).unwrap().bodies)
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
fn a_body_that_was_gone_before_the_lift_is_wanted_and_heals() {
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
fn an_entry_without_its_body_counts_while_its_withdrawal_stands_and_may_be_bare_ever_after() {
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
    let may_be_bare = || -> Vec<bool> {
        store.erasures(TARGET, GROUP, AUTHOR).unwrap().iter().map(|row| row.stands).collect()
    };
    assert_eq!(may_be_bare(), [true]);
    store.commit_blocking(Change::Judged(judged)).unwrap();
    settle(&store, clock::now());
    assert_eq!(held(&store), (MessageState::Sealed, false, 0), "missing, and said to be");
    assert_eq!(may_be_bare(), [false]);
    let other = GroupId::new(6);
    assert!(store.erasures(TARGET, GROUP, OTHER).unwrap().is_empty(), "not of another's message");
    assert!(store.erasures(TARGET, other, AUTHOR).unwrap().is_empty(), "nor in another group");
}

/// The store once what it owns was carried over, as healing begins.
fn carried(folder: &TempDir) -> Store {
    let owner =
        Owner { coalition: CoalitionId::new([1; 32]), node: SigningKey::from_seed(&[1; 32]).public() };
    let (from, to, master) =
        (folder.path().join("store"), folder.path().join("healed"), Secret::new([9; 32]));
    let salvage = loop {
        // The writer thread lets go of the database a moment after the last handle.
        match Salvage::open(&from, owner, &master) {
            Err(OpenError::InUse { .. }) => std::thread::yield_now(),
            other => break other.unwrap(),
        }
    };
    salvage.carry(&to, owner, &master).unwrap();
    Store::open(&to, owner, &master).unwrap()
}

#[test]
fn a_stewards_week_runs_from_when_its_erasure_came_also_in_a_healed_store() {
    for was_put_right in [true, false] {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        let target = entry(TARGET, AUTHOR, &[], Some(b"sealed"));
        let mut hidden = withdrawal(2, STEWARD, WithdrawalMode::Erase, TARGET);
        // Noted by a clock that was behind, and of which nobody had told yet.
        let long_ago = clock::now().saturating_sub(60 * LIFTED_WITHIN);
        (hidden.created, hidden.received) = (long_ago, long_ago);
        let word = &mut hidden.withdraws.as_mut().unwrap().word;
        (word.created, word.seen) = (long_ago, long_ago);
        store.vouch_clock(None);
        commit(&store, &target);
        commit(&store, &hidden);
        let came = clock::now();
        if was_put_right {
            store.commit_blocking(Change::WordsSeen { at: came }).unwrap();
        }
        drop(store);

        let healed = carried(&folder);
        commit(&healed, &target);
        commit(&healed, &hidden);
        assert_eq!(healed.has_unsure_words().unwrap(), !was_put_right);
        healed.commit_blocking(Change::WordsSeen { at: came }).unwrap();
        settle(&healed, came);
        assert_eq!(held(&healed), (MessageState::Withdrawn, true, 1), "it may be lifted still");
        settle(&healed, came.saturating_add(LIFTED_WITHIN));
        assert_eq!(held(&healed), (MessageState::Withdrawn, false, 1));
    }
}

#[test]
fn an_erasure_that_comes_by_a_clock_that_was_set_since_others_vouched_for_it_is_put_right_later() {
    let (none, hour) = (std::time::Duration::ZERO, std::time::Duration::from_secs(3600));
    for (behind, ahead, is_sure) in [(none, none, true), (hour, none, false), (none, hour, false)] {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        commit(&store, &entry(TARGET, AUTHOR, &[], Some(b"sealed")));
        // Read here: on a machine that is slow, opening takes longer than a clock may part.
        store.vouch_clock(Some(clock::now().saturating_sub(behind).saturating_add(ahead)));
        commit(&store, &withdrawal(2, STEWARD, WithdrawalMode::Erase, TARGET));
        assert_eq!(store.has_unsure_words().unwrap(), !is_sure);
    }
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
fn of_one_certificates_withdrawals_of_a_message_the_smallest_ids_count_and_crowd_out_no_other_ones() {
    let kept = |order: &mut dyn Iterator<Item = u8>| {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        commit(&store, &entry(TARGET, AUTHOR, &[], Some(b"sealed")));
        for n in order {
            let row = withdrawal(n, AUTHOR, WithdrawalMode::Retract, TARGET);
            commit(&store, &EnvelopeRow { serial: Serial::new(7), ..row });
        }
        // What the same member says with its next key, after this one was stolen and cut.
        let next = withdrawal(199, AUTHOR, WithdrawalMode::Retract, TARGET);
        commit(&store, &EnvelopeRow { serial: Serial::new(8), ..next });
        commit(&store, &withdrawal(200, STEWARD, WithdrawalMode::Erase, TARGET));
        let mut ids: Vec<_> = store.withdrawals(TARGET).unwrap().iter().map(|row| row.word.id).collect();
        ids.sort_unstable();
        ids
    };
    let expected: Vec<_> = (100..116).chain([199, 200]).map(|n: u8| MessageId::new([n; 32])).collect();
    assert_eq!(kept(&mut (100..130)), expected);
    assert_eq!(kept(&mut (100..130).rev()), expected);
}

/// Withdrawals of `count` members, sixteen each, that all name the same messages.
fn crowd(store: &Store, members: std::ops::Range<u8>, targets: &[MessageId]) {
    for member in members {
        for n in 0..16 {
            let id = [[member, n].as_slice(), &[7; 30]].concat();
            let row = withdrawal(1, MemberId::new([member; 16]), WithdrawalMode::Erase, TARGET);
            let id = MessageId::try_from(id.as_slice()).unwrap();
            let word = Word { id, ..row.withdraws.clone().unwrap().word };
            let withdraws = Some(Withdraws { word, targets: targets.to_vec() });
            let (log, serial) = (LogId::new(*id.as_bytes()), Serial::new(member.into()));
            commit(store, &EnvelopeRow { id, log, serial, withdraws, ..row });
        }
    }
}

#[test]
fn a_step_of_weighing_is_bounded_by_rows_and_what_is_over_for_good_takes_none() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let targets: Vec<MessageId> = (0..60).map(|n| MessageId::new([n + 100; 32])).collect();
    let steps = || {
        let now = clock::now();
        let mut steps = 0;
        loop {
            let work = store.to_reweigh(now, 64).unwrap();
            if work.is_empty() {
                return steps;
            }
            store.commit_blocking(Change::Reweigh { work, now }).unwrap();
            steps += 1;
        }
    };
    // Eighty rows a message, by nobody who may: before it is here, nobody knows that.
    crowd(&store, 200..205, &targets);
    for target in &targets {
        commit(&store, &entry(*target, AUTHOR, &[], Some(b"sealed")));
    }
    assert_eq!(steps(), 2);
    let own = withdrawal(7, AUTHOR, WithdrawalMode::Erase, TARGET);
    let word = own.withdraws.clone().unwrap().word;
    commit(
        &store,
        &EnvelopeRow { withdraws: Some(Withdraws { word, targets: targets.clone() }), ..own.clone() },
    );
    assert_eq!(steps(), 2);
    let weighed_again = withdrawal(8, AUTHOR, WithdrawalMode::Retract, TARGET);
    let word = weighed_again.withdraws.clone().unwrap().word;
    let withdraws = Some(Withdraws { word, targets: targets.clone() });
    commit(&store, &EnvelopeRow { withdraws, ..weighed_again });
    assert_eq!(steps(), 1, "nothing is looked at any more");
    let state = |target: &MessageId| store.message(*target).unwrap().unwrap();
    assert!(targets.iter().map(state).all(|row| row.state == MessageState::Withdrawn && !row.has_body));
}

#[test]
fn no_number_of_retractions_takes_the_place_of_an_erasure() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    commit(&store, &entry(TARGET, AUTHOR, &[], Some(b"sealed")));
    commit(&store, &withdrawal(199, AUTHOR, WithdrawalMode::Erase, TARGET));
    settle(&store, clock::now());
    for n in 100..130 {
        commit(&store, &withdrawal(n, AUTHOR, WithdrawalMode::Retract, TARGET));
    }
    settle(&store, clock::now());
    assert_eq!(held(&store), (MessageState::Withdrawn, false, 1));
    let erasures = store.erasures(TARGET, GROUP, AUTHOR).unwrap();
    assert_eq!(erasures.iter().map(|row| row.word.id).collect::<Vec<_>>(), [MessageId::new([199; 32])]);
}

#[test]
fn what_is_over_for_good_is_weighed_again_once_its_erasure_stands_no_more() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let erased = withdrawal(7, AUTHOR, WithdrawalMode::Erase, TARGET);
    commit(&store, &entry(TARGET, AUTHOR, &[], Some(b"sealed")));
    commit(&store, &erased);
    settle(&store, clock::now());
    assert_eq!(held(&store), (MessageState::Withdrawn, false, 1));
    commit(&store, &withdrawal(2, STEWARD, WithdrawalMode::Retract, TARGET));
    settle(&store, clock::now());
    let hide = vec![(erased.id, MessageState::Quarantined)];
    let judged =
        JudgedLog { group: GROUP, log: erased.log, hide, show: Vec::new(), promote: Vec::new(), end: None };
    store.commit_blocking(Change::Judged(judged)).unwrap();
    settle(&store, clock::now());
    assert_eq!(
        held(&store),
        (MessageState::Withdrawn, false, 0),
        "the steward's word is left, which excuses nothing"
    );
}

#[test]
fn an_erasure_in_a_log_too_many_stands_nowhere_and_still_lets_bare_entries_pass() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    for n in 1..=64 {
        let row = entry(MessageId::new([n; 32]), AUTHOR, &[], Some(b"sealed"));
        commit(&store, &EnvelopeRow { serial: Serial::new(9), ..row });
    }
    let erased =
        EnvelopeRow { serial: Serial::new(9), ..withdrawal(99, AUTHOR, WithdrawalMode::Erase, TARGET) };
    let answer = store.commit_blocking(Change::Envelope(Box::new(erased))).unwrap();
    assert_eq!(answer, Committed::TooManyLogs);
    let erasures = store.erasures(TARGET, GROUP, AUTHOR).unwrap();
    assert_eq!(erasures.iter().map(|row| row.stands).collect::<Vec<_>>(), [false]);
    commit(&store, &entry(TARGET, AUTHOR, &[], Some(b"sealed")));
    settle(&store, clock::now());
    assert_eq!(held(&store), (MessageState::Sealed, true, 1), "it erases nothing");
    // However many there are, they take no place from one that can be passed on.
    let kept = withdrawal(200, STEWARD, WithdrawalMode::Erase, TARGET);
    commit(&store, &kept);
    for n in 100..118 {
        let row = withdrawal(n, STEWARD, WithdrawalMode::Erase, TARGET);
        commit(&store, &EnvelopeRow { serial: Serial::new(9), ..row });
    }
    let erasures = store.erasures(TARGET, GROUP, AUTHOR).unwrap();
    assert!(erasures.iter().any(|row| row.word.id == kept.id && row.stands));
    assert_eq!(erasures.len(), 1 + 1 + 16);
}

#[test]
fn the_second_message_of_a_fork_is_erased_though_its_withdrawal_came_first() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    commit(&store, &withdrawal(7, AUTHOR, WithdrawalMode::Erase, TARGET));
    let first = entry(MessageId::new([0x66; 32]), AUTHOR, &[], Some(b"first"));
    commit(&store, &first);
    let second = EnvelopeRow { log: first.log, ..entry(TARGET, AUTHOR, &[], Some(b"sealed")) };
    let answer = store.commit_blocking(Change::Envelope(Box::new(second))).unwrap();
    assert_eq!(answer, Committed::Fork { existing: first.id });
    settle(&store, clock::now());
    let row = store.message(TARGET).unwrap().unwrap();
    assert_eq!(
        (row.state, row.has_body),
        (MessageState::Disputed, false),
        "hidden by its log, and without its body"
    );
    assert!(
        store.message(first.id).unwrap().unwrap().has_body,
        "the one beside it is nobody's to take along"
    );
}

#[test]
fn what_is_erased_leaves_every_place_it_ever_lay_in() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let target = entry(TARGET, AUTHOR, &[], Some(b"sealed"));
    let content = || said("2026-01-01T00:00:00Z", "canary");
    commit(&store, &EnvelopeRow { state: MessageState::Opened, content: Some(content()), ..target.clone() });
    let mut places = vec![rows(&store)[0].date_added];
    let judge = |hide, show| {
        let (group, log) = (GROUP, target.log);
        let judged = JudgedLog { group, log, hide, show, promote: Vec::new(), end: None };
        store.commit_blocking(Change::Judged(judged)).unwrap();
        store.commit_blocking(Change::Surface(usize::MAX - 1)).unwrap();
    };
    // Hidden by its log, shown again; then moved, because another claim of the object went.
    judge(vec![(TARGET, MessageState::Quarantined)], Vec::new());
    judge(Vec::new(), vec![TARGET]);
    store.commit_blocking(Change::Opened { message: TARGET, group: GROUP, content: content() }).unwrap();
    places.push(rows(&store)[0].date_added);
    let other = MessageId::new([0x66; 32]);
    let others = OpenedRows { member: OTHER, message: other, ..said("2026-03-01T00:00:00Z", "another") };
    commit(
        &store,
        &EnvelopeRow {
            state: MessageState::Opened,
            content: Some(others),
            ..entry(other, OTHER, &[], Some(b"s"))
        },
    );
    let judged = JudgedLog {
        group: GROUP,
        log: LogId::new(*other.as_bytes()),
        hide: vec![(other, MessageState::Quarantined)],
        show: Vec::new(),
        promote: Vec::new(),
        end: None,
    };
    store.commit_blocking(Change::Judged(judged)).unwrap();
    store.commit_blocking(Change::Surface(usize::MAX - 1)).unwrap();
    places.push(rows(&store)[0].date_added);
    assert!(places.is_sorted_by(|one, next| one < next), "it moved each time: {places:?}");
    assert!(!store.has_purges().unwrap(), "nothing is erased yet");
    commit(&store, &withdrawal(7, AUTHOR, WithdrawalMode::Erase, TARGET));
    settle(&store, clock::now());
    let noted = store.purge_dates(GROUP).unwrap();
    assert!(places.iter().all(|place| noted.contains(place)), "{places:?} {noted:?}");
}
