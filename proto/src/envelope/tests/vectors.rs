//! Golden vectors: the wire format is what these bytes say, whatever the code does.
//!
//! `cargo test -p belfry-proto --lib write_golden_vectors -- --ignored` writes the file anew; a diff in it is a
//! change of the wire format and belongs into the changelog. (A new zstd may compress otherwise without
//! changing the format: then only `reseal` differs, and `open` still holds.)

use std::collections::BTreeMap;

use prost::Message;

use super::{
    CIDR, FixedRng, Node, at,
    coalition::{Ask, Coalition},
    payload_bytes, position_after,
};
use crate::{
    crypto::{hpke::KemSecret, secret::Secret, sign::SigningKey},
    envelope::{
        ContentKey, Draft, RecipientContext, SealWith, Withdrawal, decode, open_block, seal_block,
        seal_message,
    },
    id::{CoalitionId, EntryId, Height, KeyId, MessageId, RosterVersion, Sequence, Serial},
    schema::{self, WithdrawalGround, WithdrawalMode},
    sync::{LogFrontier, MissingSum, frontier},
};

type Vectors = BTreeMap<String, BTreeMap<String, String>>;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/envelope.json");
const GOLDEN: &str = include_str!("../../../vectors/envelope.json");

/// An author that owes nothing to a charter, so that only the envelope's own format moves these bytes.
fn author() -> Node {
    let [signing, node] = [1, 2].map(|seed| SigningKey::from_seed(&[seed; 32]));
    let kem = KemSecret::from_seed(Secret::new([3; 32]));
    let mut coalition = Coalition::new();
    let mut certificate = coalition.issue(&Ask::publisher(0x44)).certificate;
    certificate.serial = Serial::new(7);
    (certificate.signing, certificate.node, certificate.kem) =
        (signing.public(), node.public(), kem.public());
    Node { coalition: CoalitionId::new([0x55; 32]), certificate, signing, node, kem }
}

fn roster() -> RosterVersion {
    RosterVersion { height: Height::new(9), head: EntryId::new([0x66; 32]) }
}

fn vectors() -> Vectors {
    let author = author();
    let payload = payload_bytes();
    let (data, key) = author.first(&payload, CIDR, roster(), at(1_000));
    let mut rng = FixedRng::new(1);

    let position = position_after(&data);
    let named_context = RecipientContext {
        sequence: position.sequence,
        created: at(1_001),
        ..RecipientContext::of(data.header())
    };
    let (recipient_key, block) = seal_block(&[author.kem.public()], named_context, &mut rng).unwrap();
    let draft =
        Draft::Data { payload: &payload, key: SealWith::Recipient { key: &recipient_key, block: &block } };
    let named = seal_message(&draft, &position, &author.author(roster()), at(1_001), &mut rng).unwrap();

    let draft = Draft::Withdrawal(Withdrawal {
        targets: vec![data.message_id()],
        mode: WithdrawalMode::Retract,
        ground: WithdrawalGround::FalsePositive,
    });
    let position = position_after(&named);
    let withdrawal = seal_message(&draft, &position, &author.author(roster()), at(1_002), &mut rng).unwrap();

    let mut withdraw_next = |before: &crate::envelope::Decoded, target, mode, second| {
        let targets = vec![target];
        let draft = Draft::Withdrawal(Withdrawal { targets, mode, ground: WithdrawalGround::FalsePositive });
        let position = position_after(before);
        seal_message(&draft, &position, &author.author(roster()), at(second), &mut rng).unwrap()
    };
    let erasure = withdraw_next(&withdrawal, data.message_id(), WithdrawalMode::Erase, 1_003);
    let lift = withdraw_next(&erasure, erasure.message_id(), WithdrawalMode::Lift, 1_004);
    let bare =
        schema::Envelope { body: None, recipients: None, ..schema::Envelope::decode(data.bytes()).unwrap() };
    let page = schema::Page {
        envelopes: vec![bare.encode_to_vec()],
        more: true,
        withdrawals: vec![erasure.bytes().to_vec()],
    };

    let envelope = |sealed: &crate::envelope::Decoded| {
        let wire = schema::Envelope::decode(sealed.bytes()).unwrap();
        let mut fields = BTreeMap::from([
            ("header", hex::encode(&wire.header)),
            ("body_hash", hex::encode(&wire.body_hash)),
            ("signature", hex::encode(&wire.signature)),
            ("message_id", sealed.message_id().to_string()),
            ("envelope", hex::encode(sealed.bytes())),
        ]);
        if let Some(sealing) = sealed.header().sealing() {
            fields.insert("key_id", sealing.key.to_string());
            fields.extend(sealing.recipients.map(|hash| ("recipients_hash", hex::encode(hash))));
        }
        fields
    };
    let mut data_fields = envelope(&data);
    data_fields.extend([
        ("content_secret", hex::encode(key.secret().expose())),
        ("key_context", hex::encode(key.context().encode())),
        ("payload", hex::encode(&payload)),
        ("grant", hex::encode(key.grant_to(&author.kem.public(), &mut rng))),
    ]);
    let frontier = LogFrontier {
        group: CIDR,
        log: data.header().log,
        low: Sequence::new(1),
        height: Sequence::new(3),
        head: withdrawal.message_id(),
        bodies: 2,
        frozen: Sequence::new(0),
        missing: {
            let mut missing = MissingSum::default();
            missing.toggle(data.header().log, Sequence::new(2));
            missing
        },
    };
    let keys = BTreeMap::from([
        ("coalition", author.coalition.to_string()),
        ("signing_seed", hex::encode(author.signing.seed())),
        ("signing_public", author.signing.public().to_string()),
        ("node_public", author.node.public().to_string()),
        ("kem_seed", hex::encode(author.kem.seed().expose())),
        ("kem_public", hex::encode(author.kem.public().as_bytes())),
        ("log", data.header().log.to_string()),
        ("log_instance", hex::encode(super::INSTANCE)),
        ("frontier_hash", hex::encode(frontier::hash(author.coalition, CIDR, &[frontier]))),
    ]);
    [
        ("keys", keys),
        ("data", data_fields),
        ("recipients", envelope(&named)),
        ("withdrawal", envelope(&withdrawal)),
        ("erasure", envelope(&erasure)),
        ("lift", envelope(&lift)),
        ("page", BTreeMap::from([("page", hex::encode(page.encode_to_vec()))])),
    ]
    .into_iter()
    .map(|(name, fields)| {
        (name.to_owned(), fields.into_iter().map(|(field, value)| (field.to_owned(), value)).collect())
    })
    .collect()
}

fn golden(section: &str, field: &str) -> Vec<u8> {
    let vectors: Vectors = serde_json::from_str(GOLDEN).unwrap();
    hex::decode(&vectors[section][field]).unwrap()
}

#[test]
#[ignore = "writes proto/vectors/envelope.json"]
#[allow(clippy::disallowed_methods)]
fn write_golden_vectors() {
    std::fs::write(FILE, serde_json::to_string_pretty(&vectors()).unwrap() + "\n").unwrap();
}

#[test]
fn reseal_gives_the_golden_bytes() {
    let golden: Vectors = serde_json::from_str(GOLDEN).unwrap();
    let ours = vectors();
    for (section, fields) in &ours {
        for (field, value) in fields {
            assert_eq!(
                golden.get(section).and_then(|fields| fields.get(field)),
                Some(value),
                "{section}.{field}"
            );
        }
    }
    assert_eq!(golden, ours);
}

#[test]
fn golden_bytes_open_with_the_golden_keys() {
    let kem = KemSecret::from_seed(Secret::from_slice(&golden("keys", "kem_seed")).unwrap());
    let coalition = CoalitionId::try_from(golden("keys", "coalition").as_slice()).unwrap();
    let key_id = KeyId::try_from(golden("data", "key_id").as_slice()).unwrap();
    let granted = ContentKey::from_grant(&kem, coalition, key_id, &golden("data", "grant")).unwrap();
    let secret = Secret::from_slice(&golden("data", "content_secret")).unwrap();
    let stored = ContentKey::from_parts(secret, &golden("data", "key_context"), key_id).unwrap();
    assert_eq!(granted, stored);

    let data = decode(&golden("data", "envelope")).unwrap();
    assert_eq!(data.message_id().to_vec(), golden("data", "message_id"));
    let opened = data.trusted().open(&granted).unwrap();
    assert_eq!(opened.payload(), golden("data", "payload"));
    assert_eq!(opened.parse().unwrap().objects[0].raw(), super::INDICATOR);

    let named = decode(&golden("recipients", "envelope")).unwrap().trusted();
    let header = named.header();
    let block = named.recipients_block().unwrap();
    let key = open_block(&kem, RecipientContext::of(header), block, header.key_id().unwrap()).unwrap();
    assert_eq!(named.open_with(&key).unwrap().payload(), golden("data", "payload"));

    let withdrawal = decode(&golden("withdrawal", "envelope")).unwrap();
    let target = MessageId::try_from(golden("data", "message_id").as_slice()).unwrap();
    assert_eq!(withdrawal.header().withdrawal().unwrap().targets, [target]);

    let erasure = decode(&golden("erasure", "envelope")).unwrap();
    let lift = decode(&golden("lift", "envelope")).unwrap();
    let lifts = lift.header().withdrawal().unwrap();
    assert_eq!((lifts.mode, lifts.targets.as_slice()), (WithdrawalMode::Lift, &[erasure.message_id()][..]));
    let page = schema::Page::decode(golden("page", "page").as_slice()).unwrap();
    let bare = decode(&page.envelopes[0]).unwrap();
    assert_eq!((bare.message_id(), bare.has_body()), (target, false));
    assert_eq!(page.withdrawals, [erasure.bytes()]);
}
