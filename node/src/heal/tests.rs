//! Bits that flip, wherever: what is left is right, missing, or a refusal that names itself.

use std::{fs, path::Path};

use belfry_proto::{
    crypto::secret::Secret,
    envelope::{ContentKey, Decoded},
    id::{MessageId, PublicationId},
    schema::{Audience, LogFile, Tlp},
    trust::roster::Roster,
};
use rand::{RngExt as _, SeedableRng as _};
use tempfile::TempDir;

use super::*;
use crate::{
    backup::STORE,
    keys::MemberKeys,
    rows,
    space::Probe,
    store::{DraftRow, DraftState, EnvelopeRow, KeyRow, MessageState, PageQuery, TokenRow},
    testing::{CIDR, Coalition, Seat},
};

const MESSAGES: usize = 12;
const DRAFT: PublicationId = PublicationId::new([7; 16]);

/// A stopped node with something of everything.
struct Node {
    folder: TempDir,
    enrolment: Enrolment,
    messages: Vec<Decoded>,
}

fn enrolment(coalition: &Coalition, seat: &Seat) -> Enrolment {
    let roster = coalition.roster.clone();
    Enrolment {
        keys: MemberKeys {
            signing: seat.identity.signing.clone(),
            node: seat.key.clone(),
            kem: seat.identity.kem.clone(),
            store: Secret::new([9; 32]),
        },
        certificate: roster.certificate(seat.identity.serial).unwrap().clone(),
        record: seat.identity.record.clone(),
        log: LogFile {
            charters: roster.charters().signed().to_vec(),
            records: roster.records().map(|found| found.record.clone()).collect(),
        },
        roster,
    }
}

fn draft() -> DraftRow {
    DraftRow {
        publication: DRAFT,
        group: CIDR,
        audience: Audience::Group,
        recipients: Vec::new(),
        parts: vec![vec![1; 3000]],
        part_count: 1,
        objects: vec![("indicator--1".to_owned(), String::new())],
        submitter: "siem".to_owned(),
        idempotency_key: Some("once".to_owned()),
        digest: [1; 32],
        created: Timestamp::from_micros(5),
        state: DraftState::Queued,
        messages: Vec::new(),
        key_id: None,
        error: None,
        withdraws: None,
        tlp: Tlp::Amber,
        reason: None,
    }
}

impl Node {
    fn new() -> Self {
        let mut coalition = Coalition::new();
        let (seat, author) = (coalition.issue(1, &[CIDR]), coalition.issue(2, &[CIDR]));
        let (messages, key) = coalition.messages_with_key(&author, CIDR, [0x11; 16], None, MESSAGES);
        let node =
            Self { folder: TempDir::new().unwrap(), enrolment: enrolment(&coalition, &seat), messages };
        let store = node.open().unwrap();
        let roster = &coalition.roster;
        let charters = (1..)
            .zip(roster.charters().signed())
            .map(|(version, signed)| (version, prost::Message::encode_to_vec(signed)));
        let admin = Change::Admin {
            charters: charters.collect(),
            records: roster.records().map(|r| (r.height, prost::Message::encode_to_vec(&r.record))).collect(),
            head: roster.version(),
        };
        store.commit_blocking(admin).unwrap();
        store.commit_blocking(Change::Key(KeyRow::received(&key))).unwrap();
        node.receive(&store, &key);
        store.commit_blocking(Change::Draft(draft())).unwrap();
        store.commit_blocking(Change::Token(TokenRow { id: [4; 8], body: b"scope".to_vec() })).unwrap();
        // Out of the log of writes, into files.
        store.compact(|_| {}).unwrap();
        drop(store);
        node
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join(STORE)
    }

    fn open(&self) -> Result<Store, HealError> {
        open(&self.path(), &self.enrolment, &Space::unlimited())
    }

    /// Stores and opens what it lacks, as from a peer.
    fn receive(&self, store: &Store, key: &ContentKey) {
        for message in &self.messages {
            let admitted = message.clone().trusted();
            let (header, id) = (admitted.header(), admitted.message_id());
            let (now, height) = (clock::now(), self.enrolment.roster.version().height);
            let row = rows::envelope(header, id, admitted.bytes(), true, MessageState::Opened, now, height);
            let publication = admitted.open(key).unwrap().parse().unwrap();
            let content = Some(rows::opened(&publication, &admitted, &self.enrolment.roster));
            store.commit_blocking(Change::Envelope(Box::new(EnvelopeRow { content, ..row }))).unwrap();
        }
    }

    fn copy(&self) -> Self {
        let folder = TempDir::new().unwrap();
        let to = folder.path().join(STORE);
        fs::create_dir(&to).unwrap();
        for file in files(&self.path()) {
            fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
        }
        let (keys, log) = (&self.enrolment.keys, &self.enrolment.log);
        let enrolment = Enrolment {
            keys: keys.clone(),
            certificate: self.enrolment.certificate.clone(),
            record: self.enrolment.record.clone(),
            log: log.clone(),
            roster: self.enrolment.roster.clone(),
        };
        Self { folder, enrolment, messages: self.messages.clone() }
    }

    fn log(&self) -> LogId {
        self.messages[0].header().log
    }

    /// What it holds of each message; anything but its very bytes, or nothing, is wrong.
    fn holds(&self, store: &Store) -> Vec<MessageId> {
        let bytes = |message: &Decoded| store.envelope(message.message_id());
        let held = self.messages.iter().filter(|message| match bytes(message) {
            Ok(Some(bytes)) => {
                assert_eq!(bytes, message.bytes(), "another message than was stored");
                true
            }
            Ok(None) => false,
            Err(error) => {
                assert!(error.is_damage(), "{error}");
                false
            }
        });
        held.map(Decoded::message_id).collect()
    }
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| !path.to_string_lossy().contains("LOG.old") && !path.ends_with("LOCK"));
    files.sort();
    files
}

/// Changes one byte of a file.
fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

/// Changes a byte where the file holds `what`.
fn flip_in(folder: &Path, what: &[u8]) {
    let found = files(folder).into_iter().filter(|path| path.extension().is_some_and(|e| e == "sst"));
    let mut flipped = 0;
    for path in found {
        if let Some(at) = fs::read(&path).unwrap().windows(what.len()).position(|window| window == what) {
            flip(&path, at + what.len() / 2);
            flipped += 1;
        }
    }
    assert!(flipped > 0, "nothing to flip");
}

/// Reads everything once, as the node does from time to time.
fn meets_damage(store: &Store) -> bool {
    let mut at = crate::store::Scrub::default();
    while store.scrub(&mut at, usize::MAX) == crate::store::Scrubbed::More {}
    store.damage().borrow().is_some()
}

#[test]
fn a_flipped_bit_in_a_message_is_met_named_and_healed_and_the_rest_is_untouched() {
    let node = Node::new();
    let lost = node.messages[4].clone();
    flip_in(&node.path(), &lost.bytes()[lost.bytes().len() - 64..]);
    let store = node.open().unwrap();
    assert!(meets_damage(&store));
    assert!(note_met(&store, &node.path()), "noted for the next start");
    drop(store);

    let report = heal(&node.path(), &node.enrolment, &Means::default(), |_| {}).unwrap();
    assert!(report.damages > 0 && report.damaged[0].contains("envelopes"), "{report:?}");
    assert!(report.gaps.iter().all(|gap| gap.log == node.log() && !gap.is_own));
    let is_missing = |n: u64| report.gaps.iter().any(|gap| (gap.from.get()..=gap.to.get()).contains(&n));
    assert!(is_missing(5) && !is_missing(1) && !is_missing(MESSAGES as u64), "{:?}", report.gaps);
    let told = fs::read_to_string(store::aside(&node.path()).join("HEALED.txt")).unwrap();
    assert!(told.contains("asked of other nodes") && told.contains("Delete this folder"), "{told}");

    let store = node.open().unwrap();
    assert!(!meets_damage(&store));
    let held = node.holds(&store);
    let missing: u64 = report.gaps.iter().map(|gap| gap.to.get() - gap.from.get() + 1).sum();
    assert_eq!(held.len() as u64, MESSAGES as u64 - missing);
    let row = store.log(CIDR, node.log()).unwrap();
    assert_eq!((row.height.get(), row.top.get()), (report.gaps[0].from.get() - 1, MESSAGES as u64));
    assert_eq!(store.reopenable(None, 100).unwrap().len(), held.len(), "each is opened again");
    assert_eq!((store.queued(9).unwrap(), store.tokens().unwrap().len()), (vec![DRAFT], 1));
    assert!(store.by_idempotency("once").unwrap().is_some());
    assert!(!store.writes_log(CIDR, node.log()).unwrap(), "none of its logs is gone on with");
    assert_eq!(store.head().unwrap(), node.enrolment.roster.version());

    // And from a peer it is whole again.
    let key = store.key(lost.header().key_id().unwrap()).unwrap().unwrap().content_key().unwrap();
    node.receive(&store, &key);
    assert_eq!(store.log(CIDR, node.log()).unwrap().height.get(), MESSAGES as u64);
    assert_eq!(node.holds(&store).len(), MESSAGES);
}

/// As after joining: the file given then ends with the node's own certificate, and more was decided since.
fn joined_early() -> (Node, LogFile) {
    let mut node = Node::new();
    let newest = node.enrolment.log.clone();
    node.enrolment.log.records.truncate(1);
    assert!(newest.records.len() > 1);
    (node, newest)
}

fn is_untouched(node: &Node) {
    assert!(!store::aside(&node.path()).exists() && !store::staging(&node.path()).exists());
    assert!(node.path().exists());
}

#[test]
fn an_admin_log_that_does_not_reach_the_old_head_is_not_put_in_force_and_can_be_given() {
    let (node, newest) = joined_early();
    let store = node.open().unwrap();
    let head = store.head().unwrap();
    store.damage_row("records", &head.height.get().to_be_bytes());
    drop(store);
    let error = heal(&node.path(), &node.enrolment, &Means::default(), |_| {}).unwrap_err();
    assert!(
        matches!(error, HealError::Log { have, had } if had == head.height && have < had),
        "a revocation would be forgotten: {error}"
    );
    assert!(error.to_string().contains("belfry store heal --log FILE"), "{error}");
    is_untouched(&node);

    let means = Means { log: Some(&newest), ..Means::default() };
    heal(&node.path(), &node.enrolment, &means, |_| {}).unwrap();
    let store = node.open().unwrap();
    assert_eq!(store.head().unwrap(), head);
    assert_eq!(node.holds(&store).len(), MESSAGES);
}

/// The delay of keys for whom it admitted would be over by a clock that is days behind.
#[test]
fn an_entry_that_healing_notes_anew_came_by_a_clock_that_nobody_vouches_for() {
    let node = Node::new();
    let store = node.open().unwrap();
    let last = store.head().unwrap().height;
    assert!(store.first_seen(last).unwrap().is_some());
    store.damage_value("seen", &last.get().to_be_bytes());
    drop(store);
    heal(&node.path(), &node.enrolment, &Means::default(), |_| {}).unwrap();
    let store = node.open().unwrap();
    assert!(store.has_unsure_entries().unwrap());
    assert_eq!(store.first_seen(last).unwrap(), None);
    assert!(store.first_seen(Height::new(1)).unwrap().is_some(), "what was noted before is carried over");
}

#[test]
fn a_head_that_does_not_read_is_replaced_only_where_it_is_shown_how_far_the_log_went() {
    let (node, newest) = joined_early();
    let store = node.open().unwrap();
    store.damage_value("meta", b"admin-head");
    drop(store);
    let damaged = node.copy();
    let salvage = |node: &Node| {
        Salvage::open(&node.path(), owner(&node.enrolment), &node.enrolment.keys.store).unwrap()
    };
    let scratch = TempDir::new().unwrap();
    let new = Store::open(scratch.path(), owner(&node.enrolment), &node.enrolment.keys.store).unwrap();
    let folded = Sources::of(&salvage(&node), &node.enrolment, None).fold(&new).unwrap();
    assert_eq!(folded.roster.version(), node.enrolment.roster.version());
    assert!(!folded.is_proven);

    let found = salvage(&damaged);
    let mut sources = Sources::of(&found, &damaged.enrolment, None);
    sources.lose_records();
    assert!(matches!(sources.fold(&new), Err(HealError::Log { .. })));
    let mut sources = Sources::of(&found, &damaged.enrolment, Some(&newest));
    sources.lose_records();
    assert_eq!(sources.fold(&new).unwrap().roster.version(), node.enrolment.roster.version());
}

#[test]
fn messages_that_name_a_later_admin_log_show_that_it_is_too_short() {
    let (node, _) = joined_early();
    let master = &node.enrolment.keys.store;
    let salvage = Salvage::open(&node.path(), owner(&node.enrolment), master).unwrap();
    let found = salvage.envelopes().next().unwrap().unwrap();
    let charters = node.enrolment.roster.charters().clone();
    let judge = |is_proven| Judge {
        roster: Arc::new(Roster::new(charters.clone())),
        is_proven,
        node: node.enrolment.node(),
        now: clock::now(),
    };
    assert!(matches!(judge(false).fate(&found), Err(HealError::Log { .. })));
    assert!(matches!(judge(true).fate(&found), Ok(Fate::Refused("ahead-of-roster"))));
}

#[test]
fn a_clock_that_is_behind_throws_nothing_away() {
    let node = Node::new();
    let year = Duration::from_secs(365 * 24 * 3600);
    let behind = clock::now().saturating_sub(year);
    let salvage = Salvage::open(&node.path(), owner(&node.enrolment), &node.enrolment.keys.store).unwrap();
    let mut found = salvage.envelopes().next().unwrap().unwrap();
    found.row.received = behind;
    let roster = Arc::new(node.enrolment.roster.clone());
    let judge = Judge { roster, is_proven: true, node: node.enrolment.node(), now: behind };
    assert!(matches!(judge.fate(&found), Err(HealError::Clock { .. })), "rather no heal than without it");
    let author = node.enrolment.roster.certificate(node.messages[0].header().serial).unwrap().node;
    assert!(
        matches!(Judge { node: author, ..judge }.fate(&found), Ok(Fate::Stored(_))),
        "it wrote it itself"
    );
    drop(salvage);

    let report = heal_at(behind, &node.path(), &node.enrolment, &Means::default(), |_| {}).unwrap();
    assert_eq!((report.messages, report.gaps.len()), (MESSAGES as u64, 0));
    assert_eq!(node.holds(&node.open().unwrap()).len(), MESSAGES);
}

struct Free(u64);

impl Probe for Free {
    fn free(&self) -> std::io::Result<u64> {
        Ok(self.0)
    }
}

#[test]
fn without_room_for_a_second_store_the_node_neither_stops_nor_heals_and_says_so() {
    let node = Node::new();
    let store = node.open().unwrap().with_space(Space::new(1 << 20, Arc::new(Free(1 << 20))));
    store.damage_row("tokens", &[4; 8]);
    assert!(meets_damage(&store));
    assert!(!note_met(&store, &node.path()), "it would not come up again");
    assert!(!is_noted(&node.path()));
    drop(store);

    let space = Space::new(0, Arc::new(Free(store::size(&node.path()) - 1)));
    let means = Means { log: None, space };
    let error = heal(&node.path(), &node.enrolment, &means, |_| {}).unwrap_err();
    assert!(matches!(error, HealError::Room { .. }) && error.to_string().contains("make room"), "{error}");
    is_untouched(&node);
}

#[test]
fn a_store_that_cannot_be_healed_and_opens_is_used_and_does_not_stop_the_node_again() {
    let (node, newest) = joined_early();
    let store = node.open().unwrap();
    let head = store.head().unwrap();
    store.damage_row("records", &head.height.get().to_be_bytes());
    store.damage_row("tokens", &[4; 8]);
    assert!(meets_damage(&store) && note_met(&store, &node.path()));
    drop(store);

    let store = node.open().unwrap();
    is_untouched(&node);
    assert_eq!(node.holds(&store).len(), MESSAGES);
    assert!(unhealed(&node.path()).unwrap().contains("--log FILE"));
    assert!(meets_damage(&store) && !note_met(&store, &node.path()), "the next start would fail likewise");
    drop(store);
    let means = Means { log: Some(&newest), ..Means::default() };
    heal(&node.path(), &node.enrolment, &means, |_| {}).unwrap();
    assert_eq!(unhealed(&node.path()), None);
}

#[test]
fn numbers_of_the_feed_never_go_back() {
    let node = Node::new();
    let store = node.open().unwrap();
    let before = store.feed_bounds().unwrap().unwrap().1;
    let hook = Change::Hook { name: "soar".into(), state: br#"{"position":7000}"#.to_vec() };
    store.commit_blocking(hook).unwrap();
    drop(store);
    heal(&node.path(), &node.enrolment, &Means::default(), |_| {}).unwrap();
    let after = node.open().unwrap().feed_bounds().unwrap().unwrap();
    assert!(before < 7000 && after.0 > 7000, "{after:?}");
}

#[test]
fn what_nobody_else_has_is_named_as_lost_with_the_mend() {
    let node = Node::new();
    let store = node.open().unwrap();
    store.damage_row("drafts", DRAFT.as_ref());
    store.damage_row("tokens", &[4; 8]);
    drop(store);
    let report = heal(&node.path(), &node.enrolment, &Means::default(), |_| {}).unwrap();
    assert_eq!(report.gone, BTreeMap::from([("drafts", 1), ("tokens", 1)]));
    let lines = report.lines().join("\n");
    assert!(lines.contains("publish it again") && lines.contains("belfry token create"), "{lines}");
    assert!(report.gaps.is_empty());
    let again = heal(&node.path(), &node.enrolment, &Means::default(), |_| {}).unwrap_err();
    assert!(matches!(again, HealError::Again { .. }), "a disk that does it twice is for a person to look at");
}

#[test]
fn derived_rows_that_are_damaged_are_made_anew() {
    let node = Node::new();
    let store = node.open().unwrap();
    let before = store.page(CIDR, &PageQuery { after: None, kinds: None, examine: 100 }).unwrap().rows;
    assert!(!before.is_empty());
    store.damage_column("objects");
    store.damage_column("logs");
    drop(store);
    let opened = node.open();
    assert!(opened.is_ok(), "it heals at the start, for its logs do not read: {:?}", opened.err());
    let store = opened.unwrap();
    assert_eq!(node.holds(&store).len(), MESSAGES);
    assert_eq!(store.log(CIDR, node.log()).unwrap().height.get(), MESSAGES as u64);
    assert!(store::aside(&node.path()).exists());
}

#[test]
fn a_byte_flipped_anywhere_makes_nothing_wrong() {
    let node = Node::new();
    let mut rng = rand::rngs::StdRng::seed_from_u64(0x6265_6c66_7279);
    let all: Vec<_> =
        files(&node.path()).into_iter().filter(|f| fs::metadata(f).unwrap().len() > 0).collect();
    let (mut healed, mut refused) = (0, 0);
    for round in 0..40 {
        let copy = node.copy();
        // Every file in turn; where in it, by chance.
        let name = all[round % all.len()].file_name().unwrap();
        let path = copy.path().join(name);
        let at = rng.random_range(0..usize::try_from(fs::metadata(&path).unwrap().len()).unwrap());
        flip(&path, at);
        let context = format!("byte {at} of {}", name.display());
        let store = match copy.open() {
            Ok(store) => store,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                refused += 1;
                continue;
            }
        };
        copy.holds(&store);
        let met = meets_damage(&store);
        let store = if met && note_met(&store, &copy.path()) {
            drop(store);
            match copy.open() {
                Ok(store) if is_noted(&copy.path()) => {
                    let why = unhealed(&copy.path()).unwrap();
                    assert!(why.contains("--log FILE"), "{context}: {why}");
                    assert!(store.head().is_err() || store.charters().is_err(), "{context}: {why}");
                    refused += 1;
                    continue;
                }
                Ok(store) => store,
                Err(error) => panic!("{context}: not healed: {error}"),
            }
        } else {
            store
        };
        healed += usize::from(store::aside(&copy.path()).exists());
        assert!(!meets_damage(&store), "{context}: {:?}", store.damage().borrow().clone());
        let held = copy.holds(&store);
        let row = store.log(CIDR, copy.log());
        assert!(
            row.is_none_or(|row| row.height.get() <= held.len() as u64),
            "{context}: claims what it has not"
        );
        let key = node.messages[0].header().key_id().unwrap();
        // A key that is lost comes from others, too.
        if let Some(key) = store.key(key).unwrap().and_then(|row| row.content_key()) {
            copy.receive(&store, &key);
            assert_eq!(copy.holds(&store).len(), MESSAGES, "{context}");
            let height = store.log(CIDR, copy.log()).unwrap().height;
            assert_eq!(height.get(), MESSAGES as u64, "{context}");
        }
    }
    assert!(healed > 5 && refused < 20, "{healed} healed, {refused} refused");
}
