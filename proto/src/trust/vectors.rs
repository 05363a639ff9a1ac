//! Golden vectors of trust: `proto/vectors/trust.json`.
//!
//! `cargo test -p belfry-proto --lib write_golden_trust -- --ignored` writes the file anew; a diff in it is a
//! change of the wire format and belongs into the changelog. Tests and fuzz targets take their bytes from it.

mod on_sight;

use std::{collections::BTreeMap, time::Duration};

use prost::Message;
use rand_core::CryptoRng;

use super::{
    acceptance, address,
    amendment_request::AmendmentRequest,
    beacon,
    charter::{ACTIONS, CharterChain},
    charter_draft::{Draft, RootKeys},
    contact,
    departure::Departure,
    equivocation::{Equivocation, EquivocationError},
    file,
    log::{order, verify_record},
    request::{self, RequestDraft},
    roster::{Roster, Standing},
    signed::sign,
    statement::{Decision, propose},
    words,
};
use crate::{
    crypto::{
        hash,
        hpke::KemSecret,
        key_file::{self, Cost},
        secret::Secret,
        sign::{Purpose, SigningKey},
    },
    envelope::{
        Admission, AdmitError, Author, ContentKey, KeyContext, Never, Origin, Position, SealWith, decode,
        log_id, seal_message,
        tests::{FixedRng, payload_bytes},
    },
    id::{CoalitionId, GroupId, Height, MemberId, MessageId, Sequence, Serial, StatementId},
    schema::{self, Audience, EntityClass, RevocationReason, Role},
    time::Timestamp,
    topic::Topic,
};

type Vectors = BTreeMap<String, BTreeMap<String, String>>;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/trust.json");
const GOLDEN: &str = include_str!("../../vectors/trust.json");
const GROUP: GroupId = GroupId::new(1);
const PASSPHRASE: &str = "correct horse battery staple";

/// Hours after 2026-01-01.
const fn at(hours: u64) -> Timestamp {
    Timestamp::from_micros((1_767_225_600 + hours * 3600) * 1_000_000)
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn kem() -> KemSecret {
    KemSecret::from_seed(Secret::new([9; 32]))
}

fn member() -> MemberId {
    MemberId::new([0x44; 16])
}

/// Root 1 and 2, both needed; admins 11 and 12, two of them revoke; one registrar at a time.
fn root_keys(registrar: u8) -> RootKeys {
    RootKeys {
        root_threshold: 2,
        root: vec![key(1).public(), key(2).public()],
        admins: vec![key(11).public(), key(12).public()],
        admins_until: BTreeMap::new(),
        thresholds: BTreeMap::from([(schema::Action::Revoke, 2)]),
        registrar: key(registrar).public(),
    }
}

fn draft() -> Draft {
    let document = |text: &[u8]| {
        let hash = hex::encode(hash::document(text));
        serde_json::json!({ "version": "1", "link": "https://example.org/", "hash": hash })
    };
    serde_json::from_value(serde_json::json!({
        "name": "Golden Coalition",
        "arrangement": document(b"arrangement"),
        "rules_of_conduct": document(b"rules"),
        "groups": [
            { "slug": "cidr", "name": "CIDR", "history": "all" },
            { "slug": "cidr-financial", "name": "Financial", "parent": "cidr", "admits": ["financial"] },
        ],
    }))
    .unwrap()
}

/// A coalition's whole story: two charters, three statements, and what its one member signs.
struct Story {
    roster: Roster,
    charters: Vec<schema::Signed>,
    records: Vec<schema::Record>,
    request: schema::Signed,
    cut: schema::CutPoint,
    message: [crate::envelope::Decoded; 2],
    /// Another one in the place of the second.
    fork: crate::envelope::Decoded,
    content_key: ContentKey,
    address: schema::Signed,
    contact: schema::Signed,
    beacon: schema::Signed,
}

/// Of the member's SOC and of its data protection officer.
fn mailboxes() -> Vec<schema::Mailbox> {
    vec![
        schema::Mailbox {
            role: schema::ContactRole::Incident.into(),
            email: "csirt@bank.example".into(),
            url: "https://bank.example/report".into(),
            phone: "+32 2 123 45 67".into(),
            openpgp: vec![0xaa; 20],
            key_url: "https://bank.example/csirt.asc".into(),
            languages: vec!["nl".into(), "fr-BE".into()],
            hours: "24/7".into(),
        },
        schema::Mailbox {
            role: schema::ContactRole::Privacy.into(),
            email: "dpo@bank.example".into(),
            ..schema::Mailbox::default()
        },
    ]
}

fn tell() -> Story {
    let mut rng = FixedRng::new(5);
    assert_eq!(ACTIONS.len(), 9);
    let first = draft().to_charter(None, &root_keys(21), at(0)).unwrap().encode_to_vec();
    let coalition = CoalitionId::new(*hash::charter_id(&first).as_bytes());
    let charter = sign(first, Purpose::Charter, coalition, &[&key(1), &key(2)]);
    let mut roster = Roster::new(CharterChain::start(charter).unwrap());

    let asked = RequestDraft {
        organisation: schema::Organisation {
            name: "Golden Bank".into(),
            kbo: "0123456789".into(),
            lei: "5493001KJTIIGC8Y1R12".into(),
            classes: vec![EntityClass::Essential.into(), EntityClass::Financial.into()],
            sector: "banking".into(),
            supplier_of: vec!["Golden Grid".into()],
            ..schema::Organisation::default()
        },
        groups: vec![schema::GroupRole { group: 1, role: Role::Publisher.into() }],
        carrier: false,
        member: None,
    };
    let request = request::build(&asked, &key(31), &key(32), &kem(), roster.charter(), at(1));
    let opened = request::open(&request, roster.charter()).unwrap();
    let validity = schema::Validity { not_before: at(1).as_micros(), not_after: at(24 * 365).as_micros() };
    let body = opened.to_certificate(member(), validity, roster.charter());
    let issue = Decision::Issue(schema::Issue { certificate: Some(body) });
    let mut records = vec![decide(&mut roster, issue, None, &[11], 21, at(2), &mut rng)];

    let (message, content_key) = write(&roster, [at(3), at(4)], &mut rng);
    let fork = write_again(&roster, &message[0]);
    let address = address::make(
        coalition,
        Serial::new(1),
        // /ip4/198.51.100.7/udp/4001/quic-v1
        vec![vec![4, 198, 51, 100, 7, 0x91, 0x02, 0x0f, 0xa1, 0xcd, 0x03]],
        at(3),
        &key(31),
    );
    let contact = contact::make(coalition, member(), mailboxes(), at(3), &key(31)).unwrap();
    let beacon =
        beacon::make(roster.charter(), roster.version(), Duration::from_secs(24 * 3600), at(3), &key(21));

    let header = message[0].header();
    let cut =
        schema::CutPoint { log: header.log.to_vec(), sequence: 1, message: message[0].message_id().to_vec() };
    let next = draft()
        .to_next_charter(roster.charters(), &root_keys(22), roster.version(), at(4))
        .unwrap()
        .encode_to_vec();
    roster.apply_charter(sign(next, Purpose::Charter, coalition, &[&key(1), &key(2)])).unwrap();
    let previous = Some(roster.member(member()).unwrap().last_statement);
    let renew = Decision::Renew(schema::Renew { serial: 1, not_after: at(2 * 24 * 365).as_micros() });
    records.push(decide(&mut roster, renew, previous, &[11], 22, at(5), &mut rng));
    let revoke = Decision::Revoke(schema::Revoke {
        serial: 1,
        member: member().to_vec(),
        reason: RevocationReason::KeyCompromise.into(),
        decided: at(6).as_micros(),
        effective: at(6).as_micros(),
        cut: vec![cut.clone()],
    });
    let previous = Some(roster.member(member()).unwrap().last_statement);
    records.push(decide(&mut roster, revoke, previous, &[11, 12], 22, at(6), &mut rng));
    assert!(roster.voids().is_empty());
    let charters = roster.charters().signed().to_vec();
    Story { roster, charters, records, request, cut, message, fork, content_key, address, contact, beacon }
}

fn decide(
    roster: &mut Roster,
    decision: Decision,
    previous: Option<StatementId>,
    admins: &[u8],
    registrar: u8,
    now: Timestamp,
    rng: &mut (impl CryptoRng + ?Sized),
) -> schema::Record {
    let (coalition, version) = (roster.coalition(), roster.charter().version());
    let payload = propose(coalition, decision, previous, version, now, rng);
    let keys: Vec<SigningKey> = admins.iter().map(|seed| key(*seed)).collect();
    let statement = sign(payload, Purpose::Statement, coalition, &keys.iter().collect::<Vec<_>>());
    let at = roster.version();
    let record = order(coalition, Height::new(at.height.get() + 1), at.head, statement, &key(registrar));
    roster.apply(verify_record(roster.charters(), &record).unwrap()).unwrap();
    record
}

/// Puts a charter in force with new rules, to be accepted by the thirtieth day.
fn ask_to_accept(roster: &mut Roster) -> schema::Signed {
    let mut next = draft();
    next.rules_of_conduct.version = "2".into();
    next.rules_of_conduct.hash = Some(hex::encode(hash::document(b"new rules")));
    next.accept_by = Some(at(24 * 30));
    next.unaccepted = schema::AcceptancePolicy::StopPublishing;
    let next = next.to_next_charter(roster.charters(), &root_keys(21), roster.version(), at(4)).unwrap();
    let next = sign(next.encode_to_vec(), Purpose::Charter, roster.coalition(), &[&key(1), &key(2)]);
    roster.apply_charter(next.clone()).unwrap();
    next
}

/// New rules, and a member that says nothing to them: what it writes before the date, and after.
fn tell_of_silence(story: &Story) -> Vec<(&'static str, String)> {
    let mut rng = FixedRng::new(10);
    let mut roster = Roster::new(CharterChain::start(story.charters[0].clone()).unwrap());
    roster.apply(verify_record(roster.charters(), &story.records[0]).unwrap()).unwrap();
    let next = ask_to_accept(&mut roster);
    // The new charter is in force from the next entry on.
    let renew = Decision::Renew(schema::Renew { serial: 1, not_after: at(2 * 24 * 365).as_micros() });
    let previous = Some(roster.member(member()).unwrap().last_statement);
    let record = decide(&mut roster, renew, previous, &[11], 21, at(6), &mut rng);
    let ([before, after], _) = write(&roster, [at(24 * 30 - 1), at(24 * 30)], &mut rng);
    let log = schema::LogFile {
        charters: vec![story.charters[0].clone(), next],
        records: vec![story.records[0].clone(), record],
    };
    vec![
        ("log", file::write_log(&log)),
        ("before", hex::encode(before.bytes())),
        ("after", hex::encode(after.bytes())),
    ]
}

/// The same coalition, had it brought new rules instead: what its member signs then, or when it leaves.
fn tell_of_rules(story: &Story) -> Vec<(&'static str, String)> {
    let mut rng = FixedRng::new(7);
    let first = Roster::new(CharterChain::start(story.charters[0].clone()).unwrap());
    let mut roster = first;
    roster.apply(verify_record(roster.charters(), &story.records[0]).unwrap()).unwrap();
    let coalition = roster.coalition();
    let next = ask_to_accept(&mut roster);
    let signed = acceptance::sign(roster.charter(), &key(31), at(5));
    let accept = Decision::Accept(schema::Accept { serial: 1, acceptance: Some(signed.clone()) });
    let previous = Some(roster.member(member()).unwrap().last_statement);
    let record = decide(&mut roster, accept, previous, &[12], 21, at(6), &mut rng);
    assert!(roster.voids().is_empty() && roster.has_accepted(member(), roster.charter()));
    let departure =
        Departure { coalition, member: member(), decided: at(5), effective: at(24 * 60), made: at(6) };
    let log = schema::LogFile {
        charters: vec![story.charters[0].clone(), next],
        records: vec![story.records[0].clone(), record.clone()],
    };
    vec![
        ("acceptance", file::write_acceptance(&signed)),
        ("record", hex::encode(record.encode_to_vec())),
        ("log", file::write_log(&log)),
        ("departure", file::write_departure(&departure.sign(&key(31)).unwrap())),
    ]
}

/// The same coalition, had its member merged with another: new data, the same keys.
fn tell_of_a_merger(story: &Story) -> Vec<(&'static str, String)> {
    let mut rng = FixedRng::new(8);
    let mut roster = Roster::new(CharterChain::start(story.charters[0].clone()).unwrap());
    roster.apply(verify_record(roster.charters(), &story.records[0]).unwrap()).unwrap();
    let organisation = schema::Organisation {
        name: "Golden Bank & Sons".into(),
        supplier_of: Vec::new(),
        ..roster.member(member()).unwrap().organisation.clone()
    };
    let request = AmendmentRequest {
        coalition: roster.coalition(),
        member: member(),
        organisation,
        made: at(5),
        roster: roster.version(),
    };
    let previous = Some(roster.member(member()).unwrap().last_statement);
    let record = decide(&mut roster, request.decision(), previous, &[11], 21, at(6), &mut rng);
    assert!(roster.voids().is_empty());
    let log = schema::LogFile {
        charters: vec![story.charters[0].clone()],
        records: vec![story.records[0].clone(), record.clone()],
    };
    vec![
        ("record", hex::encode(record.encode_to_vec())),
        ("log", file::write_log(&log)),
        ("request", file::write_amendment_request(&request.sign(&key(31)).unwrap())),
    ]
}

/// The same coalition, had its registrar signed a second entry behind the issue: one renews, one suspends.
fn tell_of_two_logs(story: &Story) -> Vec<(&'static str, String)> {
    let mut rng = FixedRng::new(9);
    let mut roster = Roster::new(CharterChain::start(story.charters[0].clone()).unwrap());
    roster.apply(verify_record(roster.charters(), &story.records[0]).unwrap()).unwrap();
    let previous = Some(roster.member(member()).unwrap().last_statement);
    let renew = Decision::Renew(schema::Renew { serial: 1, not_after: at(2 * 24 * 365).as_micros() });
    let one = decide(&mut roster.clone(), renew, previous, &[11], 21, at(5), &mut rng);
    let suspend = Decision::Suspend(schema::Suspend { serial: 1, cut: Vec::new() });
    let other = decide(&mut roster, suspend, previous, &[12], 21, at(5), &mut rng);
    let charters = vec![story.charters[0].clone()];
    let file = |records| file::write_equivocation(&schema::LogFile { charters: charters.clone(), records });
    vec![("proof", file(vec![one.clone(), other])), ("no_proof", file(vec![one.clone(), one]))]
}

/// Two messages of one log.
fn write(
    roster: &Roster,
    created: [Timestamp; 2],
    rng: &mut FixedRng,
) -> ([crate::envelope::Decoded; 2], ContentKey) {
    let certificate = roster.certificate(Serial::new(1)).unwrap();
    let (coalition, instance, signing) = (roster.coalition(), [0x11; 16], key(31));
    let author = Author { coalition, certificate, signing: &signing, roster: roster.version() };
    let context = KeyContext {
        coalition,
        group: GROUP,
        audience: Audience::Group,
        author: member(),
        log: log_id(coalition, GROUP, certificate, &instance),
        epoch: 1,
        created: created[0],
        roster: roster.version(),
    };
    let key = ContentKey::generate(context, rng);
    let payload = payload_bytes();
    let content = crate::envelope::Draft::Data { payload: &payload, key: SealWith::Content(&key) };
    let first = Position {
        group: GROUP,
        instance,
        predecessor: None,
        sequence: Sequence::new(1),
        prev: MessageId::ZERO,
    };
    let one = seal_message(&content, &first, &author, created[0], rng).unwrap();
    let second = Position { sequence: Sequence::new(2), prev: one.message_id(), ..first };
    let two = seal_message(&content, &second, &author, created[1], rng).unwrap();
    ([one, two], key)
}

/// A second message behind the first of two, with a key and numbers of its own.
fn write_again(roster: &Roster, first: &crate::envelope::Decoded) -> crate::envelope::Decoded {
    let rng = &mut FixedRng::new(11);
    let certificate = roster.certificate(Serial::new(1)).unwrap();
    let (coalition, instance, signing) = (roster.coalition(), [0x11; 16], key(31));
    let author = Author { coalition, certificate, signing: &signing, roster: roster.version() };
    let position = Position {
        group: GROUP,
        instance,
        predecessor: None,
        sequence: Sequence::new(2),
        prev: first.message_id(),
    };
    let context = KeyContext {
        coalition,
        group: GROUP,
        audience: Audience::Group,
        author: member(),
        log: first.header().log,
        epoch: 2,
        created: at(4),
        roster: roster.version(),
    };
    let key = ContentKey::generate(context, rng);
    let payload = payload_bytes();
    let content = crate::envelope::Draft::Data { payload: &payload, key: SealWith::Content(&key) };
    seal_message(&content, &position, &author, at(4), rng).unwrap()
}

fn vectors() -> Vectors {
    let story = tell();
    let roster = &story.roster;
    let coalition = roster.coalition();
    let mut rng = FixedRng::new(6);
    let mut vectors = Vectors::new();
    let mut add = |section: &str, fields: Vec<(&str, String)>| {
        let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        vectors.insert(section.to_owned(), fields);
    };
    let bytes = |signed: &schema::Signed| hex::encode(signed.encode_to_vec());

    add(
        "keys",
        [
            ("root_1", 1),
            ("root_2", 2),
            ("admin_1", 11),
            ("admin_2", 12),
            ("registrar_1", 21),
            ("registrar_2", 22),
            ("signing", 31),
            ("node", 32),
        ]
        .into_iter()
        .flat_map(|(name, seed)| {
            let public = key(seed).public().to_string();
            [(name.to_owned() + "_seed", hex::encode([seed; 32])), (name.to_owned() + "_public", public)]
        })
        .chain([
            ("kem_seed".to_owned(), hex::encode(kem().seed().expose())),
            ("kem_public".to_owned(), hex::encode(kem().public().as_bytes())),
        ])
        .collect::<Vec<_>>()
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect(),
    );
    add(
        "key_files",
        vec![
            ("passphrase", PASSPHRASE.to_owned()),
            (
                "ed25519",
                key_file::encode_ed25519(&key(31), PASSPHRASE.as_bytes(), Cost::TEST, &mut rng).unwrap(),
            ),
            ("kem", key_file::encode_kem(&kem(), PASSPHRASE.as_bytes(), Cost::TEST, &mut rng).unwrap()),
            (
                "master",
                key_file::encode_secret(&Secret::new([7; 32]), PASSPHRASE.as_bytes(), Cost::TEST, &mut rng)
                    .unwrap(),
            ),
        ],
    );
    for (name, charter) in ["charter_1", "charter_2"].iter().zip(&story.charters) {
        add(
            name,
            vec![
                ("payload", hex::encode(&charter.payload)),
                ("id", hash::charter_id(&charter.payload).to_string()),
                ("signed", bytes(charter)),
            ],
        );
    }
    for (name, record) in ["issue", "renew", "revoke"].iter().zip(&story.records) {
        let (statement, entry) = (record.statement.as_ref().unwrap(), record.entry.as_ref().unwrap());
        add(
            name,
            vec![
                ("statement_payload", hex::encode(&statement.payload)),
                ("statement_id", hash::statement_id(coalition, &statement.payload).to_string()),
                ("entry_payload", hex::encode(&entry.payload)),
                ("entry_id", hash::entry_id(coalition, &entry.payload).to_string()),
                ("record", hex::encode(record.encode_to_vec())),
            ],
        );
    }
    add("request", vec![("signed", bytes(&story.request))]);
    add("address", vec![("signed", bytes(&story.address))]);
    let known = contact::read(&story.contact).unwrap();
    add(
        "contact",
        vec![
            ("signed", bytes(&story.contact)),
            ("id", hex::encode(known.rank.id)),
            ("hash", hex::encode(contact::sum(coalition, [(&known.member, &known.rank)]))),
        ],
    );
    add("beacon", vec![("signed", bytes(&story.beacon)), ("at", at(3).to_string())]);
    let log = schema::LogFile { charters: story.charters.clone(), records: story.records.clone() };
    let message = MessageId::try_from(story.cut.message.as_slice()).unwrap();
    add(
        "files",
        vec![
            ("charter", file::write_charter(&story.charters)),
            ("request", file::write_request(&story.request)),
            ("certificate", file::write_certificate(&story.records[0])),
            ("log", file::write_log(&log)),
            ("cut", format!("{} {} {message}\n", hex::encode(&story.cut.log), story.cut.sequence)),
        ],
    );
    add("rules", tell_of_rules(&story));
    add("amend", tell_of_a_merger(&story));
    add("equivocation", tell_of_two_logs(&story));
    add("silence", tell_of_silence(&story));
    add("on_sight", on_sight::tell(&story));
    add(
        "messages",
        vec![
            ("one", hex::encode(story.message[0].bytes())),
            ("two", hex::encode(story.message[1].bytes())),
            ("fork", hex::encode(story.fork.bytes())),
            ("content_secret", hex::encode(story.content_key.secret().expose())),
            ("key_context", hex::encode(story.content_key.context().encode())),
            ("key_id", story.content_key.id().to_string()),
        ],
    );
    let topic = Topic::Group(GROUP).wire_name(coalition);
    add(
        "ids",
        vec![
            ("coalition", coalition.to_string()),
            ("words", words::to_words(coalition)),
            ("admin_topic", Topic::Admin.wire_name(coalition)),
            ("group_topic", topic.clone()),
            ("log", story.message[0].header().log.to_string()),
            ("message_one", story.message[0].message_id().to_string()),
            ("gossip_one", hash::gossip_id(&topic, story.message[0].bytes()).to_string()),
            ("arrangement", hex::encode(hash::document(b"arrangement"))),
            ("height", roster.version().height.to_string()),
            ("head", roster.version().head.to_string()),
        ],
    );
    vectors
}

fn text(section: &str, field: &str) -> String {
    let vectors: Vectors = serde_json::from_str(GOLDEN).unwrap();
    vectors[section][field].clone()
}

fn golden(section: &str, field: &str) -> Vec<u8> {
    hex::decode(text(section, field)).unwrap()
}

#[test]
#[ignore = "writes proto/vectors/trust.json"]
#[allow(clippy::disallowed_methods)]
fn write_golden_trust() {
    std::fs::write(FILE, serde_json::to_string_pretty(&vectors()).unwrap() + "\n").unwrap();
}

#[test]
fn telling_the_story_again_gives_the_golden_bytes() {
    let golden: Vectors = serde_json::from_str(GOLDEN).unwrap();
    for (section, fields) in &vectors() {
        for (field, value) in fields {
            let there = golden.get(section).and_then(|fields| fields.get(field));
            assert_eq!(there, Some(value), "{section}.{field}");
        }
    }
    assert_eq!(golden, vectors());
}

#[test]
fn golden_acceptance_and_departure_hold_by_the_golden_log() {
    let log = file::read_log(&text("rules", "log")).unwrap();
    let mut roster = Roster::new(CharterChain::walk(log.charters).unwrap());
    for record in &log.records {
        roster.apply(verify_record(roster.charters(), record).unwrap()).unwrap();
    }
    let signed = file::read_acceptance(&text("rules", "acceptance")).unwrap();
    assert_eq!(acceptance::open(&signed, key(31).public(), roster.charter()), Ok(at(5)));
    assert_eq!(roster.member(member()).unwrap().accepted.len(), 2);
    let departure = file::read_departure(&text("rules", "departure")).unwrap();
    let departure = Departure::open(&departure, &roster, at(7)).unwrap();
    assert_eq!((departure.member, departure.effective), (member(), at(24 * 60)));
}

#[test]
fn a_golden_amendment_changes_the_data_and_no_key() {
    let log = file::read_log(&text("amend", "log")).unwrap();
    let mut roster = Roster::new(CharterChain::walk(log.charters).unwrap());
    for record in &log.records {
        roster.apply(verify_record(roster.charters(), record).unwrap()).unwrap();
    }
    let certificate = roster.certificate(Serial::new(1)).unwrap();
    assert_eq!(certificate.organisation.name, "Golden Bank & Sons");
    assert_eq!(certificate.organisation.kbo, "0123456789");
    assert_eq!((certificate.signing, certificate.node), (key(31).public(), key(32).public()));
    let request = file::read_amendment_request(&text("amend", "request")).unwrap();
    let request = AmendmentRequest::open(&request, &roster, at(7)).unwrap();
    assert_eq!((&request.organisation, request.made), (&certificate.organisation, at(5)));
    assert_eq!(request.overtaken(&roster).unwrap().by, Height::new(2), "granted once");
}

#[test]
fn a_golden_proof_of_two_logs_holds_by_its_charter_alone_and_one_entry_twice_is_none() {
    let open =
        |field: &str| Equivocation::open(file::read_equivocation(&text("equivocation", field)).unwrap());
    let proof = open("proof").unwrap();
    assert_eq!((proof.height(), proof.registrar), (Height::new(2), key(21).public()));
    assert_eq!(proof.settled_by(), None);
    assert!(matches!(open("no_proof"), Err(EquivocationError::NoContradiction(..))));
}

#[test]
fn golden_files_fold_to_the_golden_roster() {
    let log = file::read_log(&text("files", "log")).unwrap();
    let mut roster = Roster::new(CharterChain::walk(log.charters).unwrap());
    let (last, before) = log.records.split_last().unwrap();
    for record in before {
        roster.apply(verify_record(roster.charters(), record).unwrap()).unwrap();
    }
    assert_eq!(roster.standing(Serial::new(1), at(5)), Standing::Valid);
    roster.apply(verify_record(roster.charters(), last).unwrap()).unwrap();
    assert_eq!(roster.coalition().to_string(), text("ids", "coalition"));
    assert_eq!(words::from_words(&text("ids", "words")).unwrap(), roster.coalition());
    assert_eq!(roster.version().head.to_string(), text("ids", "head"));
    for by_any_clock in [at(5), at(7)] {
        assert_eq!(roster.standing(Serial::new(1), by_any_clock), Standing::Revoked);
    }
    // The cut keeps the first message and no other.
    let admit = |field: &str| {
        let verified =
            decode(&golden("messages", field)).unwrap().attribute(&roster).unwrap().verify().unwrap();
        verified.admit(&roster, Admission { origin: Origin::Sync, now: at(7), skew: Duration::ZERO }).is_ok()
    };
    assert!(admit("one") && !admit("two") && !admit("fork"));
    let cut = text("files", "cut");
    let words: Vec<&str> = cut.split_whitespace().collect();
    assert_eq!(words, [text("ids", "log"), "1".to_owned(), text("ids", "message_one")]);
}

#[test]
fn a_golden_member_that_accepts_nothing_publishes_until_the_date() {
    let log = file::read_log(&text("silence", "log")).unwrap();
    let mut roster = Roster::new(CharterChain::walk(log.charters).unwrap());
    for record in &log.records {
        roster.apply(verify_record(roster.charters(), record).unwrap()).unwrap();
    }
    let admit = |field: &str| {
        let verified =
            decode(&golden("silence", field)).unwrap().attribute(&roster).unwrap().verify().unwrap();
        let now = at(24 * 31);
        verified.admit(&roster, Admission { origin: Origin::Sync, now, skew: Duration::ZERO })
    };
    assert!(admit("before").is_ok());
    assert!(matches!(admit("after"), Err(AdmitError::Never(Never::NotAPublisher { .. }))));
}

#[test]
fn golden_member_files_open() {
    let charter_file = file::read_charter(&text("files", "charter")).unwrap();
    let chain = CharterChain::walk(charter_file.charters.into_iter().take(1)).unwrap();
    let request = file::read_request(&text("files", "request")).unwrap();
    assert_eq!(request::open(&request, chain.newest()).unwrap().signing, key(31).public());
    let certificate = file::read_certificate(&text("files", "certificate")).unwrap();
    let mut roster = Roster::new(chain);
    roster.apply(verify_record(roster.charters(), &certificate).unwrap()).unwrap();
    let address = schema::Signed::decode(golden("address", "signed").as_slice()).unwrap();
    assert_eq!(address::verify(&roster, &address, at(3)).unwrap().serial, Serial::new(1));
    let contact = schema::Signed::decode(golden("contact", "signed").as_slice()).unwrap();
    let contact = contact::verify(&roster, &contact, at(3)).unwrap();
    assert_eq!((contact.signer, contact.contact.mailboxes), (key(31).public(), mailboxes()));
    let beacon = schema::Signed::decode(golden("beacon", "signed").as_slice()).unwrap();
    assert_eq!(beacon::verify(roster.charter(), &beacon, at(3)).unwrap().head, roster.version());
    let phrase = PASSPHRASE.as_bytes();
    assert_eq!(
        key_file::decode_ed25519(&text("key_files", "ed25519"), phrase).unwrap().seed(),
        key(31).seed()
    );
    assert_eq!(key_file::decode_kem(&text("key_files", "kem"), phrase).unwrap().public(), kem().public());
    assert_eq!(key_file::decode_secret(&text("key_files", "master"), phrase).unwrap(), Secret::new([7; 32]));
}
