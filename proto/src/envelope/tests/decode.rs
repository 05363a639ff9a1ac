//! What is no envelope, whoever sent it.

use proptest::prelude::*;
use prost::Message;

use super::{
    CIDR, FixedRng, Node, at,
    coalition::{Ask, Coalition},
    first_position, payload_bytes,
};
use crate::{
    envelope::{
        AuthorError, Content, DecodeError, Decoded, Draft, Header, RecipientContext, SealWith, Sealing,
        Withdrawal, decode, seal_block, seal_message,
    },
    id::{
        CoalitionId, EntryId, GroupId, Height, KeyId, LogId, MemberId, MessageId, RosterVersion, Sequence,
        Serial,
    },
    limits::{MAX_BODY, MAX_TARGETS},
    schema::{self, Audience, WithdrawalGround, WithdrawalMode},
    time::Timestamp,
    verdict::{Judged, Verdict},
};

fn header() -> impl Strategy<Value = Header> {
    let content = prop_oneof![
        (1..=3_i32, any::<[u8; 32]>(), any::<[u8; 24]>(), any::<[u8; 32]>()).prop_map(
            |(audience, key, nonce, recipients)| {
                let audience = Audience::try_from(audience).unwrap();
                let recipients = (audience == Audience::Recipients).then_some(recipients);
                Content::Data(Sealing { audience, key: KeyId::new(key), nonce, recipients })
            }
        ),
        (proptest::collection::btree_set(any::<[u8; 32]>(), 1..20), 1..=2_i32, 1..=5_i32).prop_map(
            |(targets, mode, ground)| {
                Content::Withdrawal(Withdrawal {
                    targets: targets.into_iter().map(MessageId::new).collect(),
                    mode: WithdrawalMode::try_from(mode).unwrap(),
                    ground: WithdrawalGround::try_from(ground).unwrap(),
                })
            }
        ),
    ];
    let ids = (any::<[u8; 32]>(), any::<[u8; 16]>(), any::<[u8; 32]>(), any::<[u8; 16]>());
    let chain = (proptest::option::of(any::<[u8; 32]>()), 1..=1_u64 << 53, any::<[u8; 32]>());
    let roster = (1_u64..1 << 40, any::<[u8; 32]>());
    (ids, chain, roster, 1_u32.., 1..Timestamp::MAX.as_micros(), content).prop_map(
        |(
            (coalition, member, log, instance),
            (predecessor, sequence, prev),
            (height, head),
            group,
            created,
            content,
        )| {
            Header {
                coalition: CoalitionId::new(coalition),
                group: GroupId::new(group),
                member: MemberId::new(member),
                serial: Serial::new(height.div_ceil(2)),
                log: LogId::new(log),
                instance,
                predecessor: predecessor.map(LogId::new),
                sequence: Sequence::new(sequence),
                prev: if sequence == 1 { MessageId::ZERO } else { MessageId::new(prev) },
                created: Timestamp::from_micros(created),
                content,
                roster: RosterVersion { height: Height::new(height), head: EntryId::new(head) },
            }
        },
    )
}

proptest! {
    #[test]
    fn header_decodes_to_what_was_encoded(header in header()) {
        prop_assert_eq!(Header::decode(&header.to_wire().encode_to_vec()), Ok(header));
    }

    #[test]
    fn no_bytes_make_decode_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(decode(&bytes).is_err());
    }
}

/// A data message, one to named members and a withdrawal, by one author.
pub(super) fn samples() -> (Coalition, Node, Vec<Decoded>) {
    let mut coalition = Coalition::new();
    let alice = coalition.issue(&Ask::publisher(1));
    let (roster, now) = (coalition.version(), at(100));
    let (data, _) = alice.first(&payload_bytes(), CIDR, roster, now);
    let context = RecipientContext::of(data.header());
    let mut rng = FixedRng::new(9);
    let (key, block) = seal_block(&[alice.kem.public()], context, &mut rng).unwrap();
    let payload = payload_bytes();
    let named = Draft::Data { payload: &payload, key: SealWith::Recipient { key: &key, block: &block } };
    let withdrawal = Draft::Withdrawal(Withdrawal {
        targets: vec![data.message_id()],
        mode: WithdrawalMode::Retract,
        ground: WithdrawalGround::Author,
    });
    let mut seal =
        |draft| seal_message(&draft, &first_position(CIDR), &alice.author(roster), now, &mut rng).unwrap();
    let rest = [seal(named), seal(withdrawal)];
    let all = [data].into_iter().chain(rest).collect();
    (coalition, alice, all)
}

pub(super) fn wire(decoded: &Decoded) -> (schema::Envelope, schema::Header) {
    let envelope = schema::Envelope::decode(decoded.bytes()).unwrap();
    let header = schema::Header::decode(envelope.header.as_slice()).unwrap();
    (envelope, header)
}

#[test]
fn sealed_messages_decode_to_themselves() {
    let (_, _, samples) = samples();
    for sealed in samples {
        let again = decode(sealed.bytes()).unwrap();
        assert_eq!(again, sealed);
        assert!(!again.lacks_body());
        assert_eq!(again.has_body(), again.header().sealing().is_some());
    }
}

#[test]
fn unknown_fields_and_other_encodings_are_refused() {
    let (_, _, samples) = samples();
    for sealed in samples {
        // Field 15, varint 1: appended outside, and inside the header.
        let outside = [sealed.bytes(), &[0x78, 1]].concat();
        let (mut envelope, _) = wire(&sealed);
        envelope.header.extend([0xf8, 1, 1]);
        for bytes in [outside, envelope.encode_to_vec()] {
            let error = decode(&bytes).unwrap_err();
            assert!(
                matches!(error, DecodeError::Malformed(schema::Malformed::NotCanonical { .. })),
                "{error}"
            );
            assert_eq!(error.verdict(), Verdict::Reject);
        }
    }
}

type Break = fn(&mut schema::Header);

#[test]
fn headers_that_break_a_rule_are_refused() {
    let rules: [(&str, Break); 28] = [
        ("coalition", |h| h.coalition.truncate(31)),
        ("group", |h| h.group = 0),
        ("member", |h| h.member.push(0)),
        ("serial", |h| h.serial = 0),
        ("roster", |h| h.serial = 1_000),
        ("roster", |h| h.roster = None),
        ("roster", |h| h.roster = Some(RosterVersion::EMPTY.into())),
        ("log", |h| h.log.clear()),
        ("log_instance", |h| h.log_instance.clear()),
        ("predecessor", |h| h.predecessor = vec![1]),
        ("predecessor", |h| h.predecessor = h.log.clone()),
        ("sequence", |h| h.sequence = 0),
        ("sequence", |h| h.sequence = (1 << 53) + 1),
        ("prev", |h| h.sequence = 2),
        ("prev", |h| h.prev = vec![1; 32]),
        ("prev", |h| h.prev.clear()),
        ("created", |h| h.created = 0),
        ("created", |h| h.created = u64::MAX),
        ("kind", |h| h.kind = 0),
        ("kind", |h| h.kind = 3),
        ("audience", |h| h.audience = 0),
        ("audience", |h| h.audience = 4),
        ("targets", |h| h.targets = vec![vec![1; 32]]),
        ("withdrawal_mode", |h| h.withdrawal_ground = 1),
        ("key_id", |h| h.key_id.clear()),
        ("nonce", |h| h.nonce.truncate(12)),
        ("recipients_hash", |h| h.recipients_hash = vec![1; 32]),
        ("recipients_hash", |h| h.audience = 3),
    ];
    assert_refused(0, &rules);
    let rules: [(&str, Break); 9] = [
        ("key_id", |h| h.key_id = vec![1; 32]),
        ("audience", |h| h.audience = 2),
        ("targets", |h| h.targets.clear()),
        ("targets", |h| h.targets = vec![vec![1; 31]]),
        ("targets", |h| h.targets = vec![vec![1; 32]; 2]),
        ("targets", |h| {
            h.targets = (0..=MAX_TARGETS).map(|n| [n as u8, (n >> 8) as u8].repeat(16)).collect()
        }),
        ("withdrawal_mode", |h| h.withdrawal_mode = 0),
        ("withdrawal_mode", |h| h.withdrawal_mode = 3),
        ("withdrawal_ground", |h| h.withdrawal_ground = 6),
    ];
    assert_refused(2, &rules);
}

fn assert_refused(sample: usize, rules: &[(&str, Break)]) {
    let (_, _, samples) = samples();
    let (envelope, header) = wire(&samples[sample]);
    for (field, break_it) in rules {
        let mut header = header.clone();
        break_it(&mut header);
        let envelope = schema::Envelope { header: header.encode_to_vec(), ..envelope.clone() };
        match decode(&envelope.encode_to_vec()) {
            Err(DecodeError::Malformed(schema::Malformed::Field { field: found, .. })) => {
                assert_eq!(found, *field);
            }
            other => panic!("{field}: {other:?}"),
        }
    }
}

#[test]
fn envelopes_that_break_a_rule_are_refused() {
    let (_, _, samples) = samples();
    let [data, named, withdrawal] = [0, 1, 2].map(|n| wire(&samples[n]).0);
    let code = |base: &schema::Envelope, change: fn(&mut schema::Envelope)| {
        let mut envelope = base.clone();
        change(&mut envelope);
        decode(&envelope.encode_to_vec()).map_err(|e| (e.code(), e.verdict()))
    };
    let refused = |base, change, expected| assert_eq!(code(base, change), Err((expected, Verdict::Reject)));
    refused(&data, |e| e.body_hash.truncate(31), "malformed");
    refused(&data, |e| e.signature.truncate(63), "malformed");
    refused(&data, |e| e.body_len = MAX_BODY as u64 + 1, "malformed");
    refused(&data, |e| e.body_len = 0, "malformed");
    refused(&data, |e| e.body_len += 1, "other-body");
    refused(&data, |e| e.body = Some(vec![]), "malformed");
    refused(&data, |e| e.body.as_mut().unwrap()[7] ^= 1, "other-body");
    refused(&data, |e| e.recipients = Some(vec![]), "malformed");
    refused(&named, |e| e.recipients = None, "malformed");
    refused(&named, |e| e.body = None, "malformed");
    refused(&named, |e| e.recipients.as_mut().unwrap()[100] ^= 1, "other-recipients");
    refused(&withdrawal, |e| e.body_len = 1, "malformed");
    refused(&withdrawal, |e| e.body_hash[0] ^= 1, "malformed");
    refused(&withdrawal, |e| e.body = Some(vec![1; 1040]), "other-body");
    // Bare, as sync serves what was erased.
    let bare = |base| code(base, |e| (e.body, e.recipients) = (None, None)).unwrap();
    assert!(bare(&data).lacks_body() && bare(&named).lacks_body());
    assert_eq!(bare(&data).message_id(), samples[0].message_id());
}

#[test]
fn recipients_blocks_of_other_sizes_are_refused_even_when_signed_for() {
    let (_, alice, samples) = samples();
    let roster = samples[0].header().roster;
    let context = RecipientContext::of(samples[0].header());
    let mut rng = FixedRng::new(4);
    let (key, block) = seal_block(&[alice.kem.public()], context, &mut rng).unwrap();
    let mut stanzas = schema::Recipients::decode(block.as_slice()).unwrap().stanzas;
    stanzas.pop();
    let block = schema::Recipients { stanzas }.encode_to_vec();
    let payload = payload_bytes();
    let draft = Draft::Data { payload: &payload, key: SealWith::Recipient { key: &key, block: &block } };
    let sealed = seal_message(&draft, &first_position(CIDR), &alice.author(roster), at(100), &mut rng);
    assert!(matches!(sealed, Err(AuthorError::Unreadable(DecodeError::Malformed(_)))));
}

#[test]
fn authors_are_held_to_what_readers_check() {
    let mut coalition = Coalition::new();
    let (alice, bob) = (coalition.issue(&Ask::publisher(1)), coalition.issue(&Ask::publisher(2)));
    let (roster, payload) = (coalition.version(), payload_bytes());
    let mut rng = FixedRng::new(1);
    let (_, key) = alice.first(&payload, CIDR, roster, at(100));
    let mut seal = |author, group, seconds| {
        let draft = Draft::Data { payload: &payload, key: SealWith::Content(&key) };
        seal_message(&draft, &first_position(group), &author, at(seconds), &mut rng).map(drop)
    };
    let author = alice.author(roster);
    assert_eq!(seal(author, CIDR, 100), Ok(()));
    assert_eq!(seal(author, super::CLOUD, 100), Err(AuthorError::OtherUse("group")));
    assert_eq!(seal(bob.author(roster), CIDR, 100), Err(AuthorError::OtherUse("author")));
    assert_eq!(seal(author, CIDR, 100 + 8 * super::DAY), Err(AuthorError::KeyTooOld));
    assert_eq!(seal(author, CIDR, 300 * super::DAY), Err(AuthorError::OutsideValidity(at(300 * super::DAY))));
    let stolen = crate::envelope::Author { signing: &bob.signing, ..author };
    assert_eq!(seal(stolen, CIDR, 100), Err(AuthorError::OtherSigningKey));
}
