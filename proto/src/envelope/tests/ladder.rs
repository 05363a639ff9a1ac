//! Who gets how far, and what the mesh is told.

mod roles;

use std::{collections::BTreeSet, time::Duration};

use prost::Message;

use super::{
    CIDR, CLOUD, DAY, FixedRng, Node, at,
    coalition::{Ask, Coalition},
    decode::{samples, wire},
    first_position, payload, payload_bytes, position_after,
};
use crate::{
    crypto::sign::Purpose,
    envelope::{
        Admission, AdmitError, Admitted, AttributeError, BodyError, ContentKey, DecodeError, Decoded, Draft,
        Never, NotNow, OpenError, Origin, RecipientContext, SealWith, VerifyError, Withdrawal,
        WithdrawalRefusal, Word, decode, open_block, seal_block, seal_message,
    },
    id::{EntryId, Height, RosterVersion, Serial},
    schema::{self, Role, WithdrawalGround, WithdrawalMode},
    topic::Topic,
    trust::roster::Roster,
    verdict::{Judged, Verdict},
};

const SKEW: Duration = Duration::from_secs(300);

fn admission(origin: Origin, seconds: u64) -> Admission {
    Admission { origin, now: at(seconds), skew: SKEW }
}

fn gossip(seconds: u64) -> Admission {
    admission(Origin::Gossip { topic: Topic::Group(CIDR) }, seconds)
}

fn sync(seconds: u64) -> Admission {
    admission(Origin::Sync, seconds)
}

/// The whole ladder up to admission; a refusal as its code and verdict.
fn climb(bytes: &[u8], roster: &Roster, admission: Admission) -> Result<Admitted, (&'static str, Verdict)> {
    fn judged(error: &impl Judged) -> (&'static str, Verdict) {
        (error.code(), error.verdict())
    }
    decode(bytes)
        .map_err(|e| judged(&e))?
        .attribute(roster)
        .map_err(|e| judged(&e))?
        .verify()
        .map_err(|e| judged(&e))?
        .admit(roster, admission)
        .map_err(|e| judged(&e))
}

fn code(bytes: &[u8], roster: &Roster, admission: Admission) -> (&'static str, Verdict) {
    climb(bytes, roster, admission).map_or_else(|refused| refused, |_| ("admitted", Verdict::Accept))
}

/// Changes the header and signs again, as an author that ignores our rules would.
fn resigned(by: &Node, sealed: &Decoded, change: impl FnOnce(&mut schema::Header)) -> Vec<u8> {
    let (mut envelope, mut header) = wire(sealed);
    change(&mut header);
    envelope.header = header.encode_to_vec();
    let parts: [&[u8]; 3] = [&envelope.header, &envelope.body_hash, &envelope.body_len.to_be_bytes()];
    envelope.signature = by.signing.sign(Purpose::Envelope, by.coalition, &parts).to_vec();
    envelope.encode_to_vec()
}

fn cut_at(sealed: &Decoded) -> schema::CutPoint {
    schema::CutPoint {
        log: sealed.header().log.to_vec(),
        sequence: sealed.header().sequence.get(),
        message: sealed.message_id().to_vec(),
    }
}

const ACCEPT: (&str, Verdict) = ("admitted", Verdict::Accept);

#[test]
fn publication_climbs_from_bytes_to_objects() {
    let mut coalition = Coalition::new();
    let alice = coalition.issue(&Ask::publisher(1));
    let (sealed, key) = alice.first(&payload_bytes(), CIDR, coalition.version(), at(100));
    let admitted = climb(sealed.bytes(), &coalition.roster, gossip(101)).unwrap();
    assert_eq!(admitted.message_id(), sealed.message_id());
    assert!(!admitted.is_below_cut());
    let publication = admitted.open(&key).unwrap().parse().unwrap();
    assert_eq!(publication.objects[0].raw(), super::INDICATOR);
    assert_eq!((publication.part, publication.parts), (1, 1));
    let read_back = decode(sealed.bytes()).unwrap().trusted();
    assert_eq!(read_back, admitted);
}

#[test]
fn every_flipped_bit_is_refused() {
    let (coalition, _, samples) = samples();
    for sealed in samples {
        let mut bytes = sealed.bytes().to_vec();
        assert_eq!(code(&bytes, &coalition.roster, sync(100)), ACCEPT);
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            let climbed = climb(&bytes, &coalition.roster, sync(100));
            assert!(climbed.is_err(), "bit {bit} of {} bytes", bytes.len());
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn every_swapped_field_is_refused() {
    let mut coalition = Coalition::new();
    let (alice, bob) = (coalition.issue(&Ask::publisher(1)), coalition.issue(&Ask::publisher(2)));
    let roster = coalition.version();
    let (one, _) = alice.first(&payload_bytes(), CIDR, roster, at(100));
    let (two, _) = bob.next(&payload_bytes(), first_position(CLOUD), roster, at(101));
    let ((envelope, header), (other_envelope, other)) = (wire(&one), wire(&two));
    type Swap = fn(&mut schema::Header, &schema::Header);
    let headers: [Swap; 9] = [
        |h, o| h.group = o.group,
        |h, o| h.member = o.member.clone(),
        |h, o| h.serial = o.serial,
        |h, o| h.log = o.log.clone(),
        |h, _| h.log_instance = vec![0x12; 16],
        |h, o| h.predecessor = o.log.clone(),
        |h, o| h.created = o.created,
        |h, o| h.key_id = o.key_id.clone(),
        |h, _| h.nonce = vec![1; 24],
    ];
    for (n, swap) in headers.iter().enumerate() {
        let mut header = header.clone();
        swap(&mut header, &other);
        let swapped = schema::Envelope { header: header.encode_to_vec(), ..envelope.clone() };
        assert!(climb(&swapped.encode_to_vec(), &coalition.roster, sync(102)).is_err(), "header field {n}");
    }
    let whole = [
        schema::Envelope { header: other_envelope.header.clone(), ..envelope.clone() },
        schema::Envelope { signature: other_envelope.signature.clone(), ..envelope.clone() },
        schema::Envelope { body: other_envelope.body.clone(), ..envelope.clone() },
        schema::Envelope {
            body: other_envelope.body.clone(),
            body_hash: other_envelope.body_hash.clone(),
            body_len: other_envelope.body_len,
            ..envelope
        },
    ];
    for (n, swapped) in whole.iter().enumerate() {
        assert!(climb(&swapped.encode_to_vec(), &coalition.roster, sync(102)).is_err(), "envelope field {n}");
    }
}

#[test]
fn attribution_finds_what_the_header_claims_falsely() {
    let mut coalition = Coalition::new();
    let (alice, bob) = (coalition.issue(&Ask::publisher(1)), coalition.issue(&Ask::publisher(2)));
    let roster = coalition.version();
    let (sealed, _) = alice.first(&payload_bytes(), CIDR, roster, at(100));
    let code = |bytes: &[u8]| code(bytes, &coalition.roster, gossip(100));
    let claim = |change: &dyn Fn(&mut schema::Header)| code(&resigned(&alice, &sealed, change));
    assert_eq!(claim(&|_| ()), ACCEPT);
    assert_eq!(claim(&|h| h.coalition = vec![1; 32]), ("other-coalition", Verdict::Ignore));
    assert_eq!(claim(&|h| h.member = vec![2; 16]), ("other-member", Verdict::Ignore));
    assert_eq!(claim(&|h| h.serial = bob.certificate.serial.get()), ("other-member", Verdict::Ignore));
    assert_eq!(claim(&|h| h.log = bob.log(CIDR).to_vec()), ("foreign-log", Verdict::Ignore));
    assert_eq!(claim(&|h| h.log_instance = vec![0; 16]), ("foreign-log", Verdict::Ignore));
    // The log id binds the group, so a message cannot be moved even by its author.
    assert_eq!(claim(&|h| h.group = CLOUD.get()), ("foreign-log", Verdict::Ignore));
    let at_height = |height, head: EntryId| {
        let roster = RosterVersion { height: Height::new(height), head };
        claim(&move |h| h.roster = Some(roster.into()))
    };
    assert_eq!(at_height(roster.height.get() + 1, EntryId::ZERO), ("ahead-of-roster", Verdict::Ignore));
    assert_eq!(at_height(roster.height.get(), EntryId::ZERO), ("other-branch", Verdict::Ignore));
    // Signed by somebody else's key, or for another purpose.
    assert_eq!(code(&resigned(&bob, &sealed, |_| ())), ("bad-signature", Verdict::Reject));
}

#[test]
fn an_entry_vouches_for_the_one_before_it_in_its_log_and_for_no_other() {
    let mut coalition = Coalition::new();
    let (alice, bob) = (coalition.issue(&Ask::publisher(1)), coalition.issue(&Ask::publisher(2)));
    let version = coalition.version();
    let first = alice.next(&payload_bytes(), first_position(CIDR), version, at(100)).0;
    let (mut forged, _) = wire(&first);
    forged.signature[7] ^= 1;
    let forged = decode(&forged.encode_to_vec()).unwrap();
    let attributed = |message: &Decoded| message.clone().attribute(&coalition.roster).unwrap();
    let after = |message: &Decoded| {
        let next = alice.next(&payload_bytes(), position_after(message), version, at(101)).0;
        (attributed(&next).verify().unwrap().voucher(), next)
    };
    let (of_forged, second) = after(&forged);
    assert!(attributed(&forged).verify().is_err());
    let vouched =
        attributed(&forged).vouched(of_forged).unwrap().admit(&coalition.roster, sync(200)).unwrap();
    assert!(vouched.is_vouched(), "its own signature is still to be checked");
    let signed = attributed(&first).verify().unwrap().admit(&coalition.roster, sync(200)).unwrap();
    assert!(!signed.is_vouched());
    // Other bytes in the same place, the entry itself, one further up, another log: none is named.
    let (of_second, _) = after(&second);
    let elsewhere = bob.next(&payload_bytes(), first_position(CIDR), version, at(100)).0;
    for (message, voucher) in
        [(&first, of_forged), (&second, of_forged), (&forged, of_second), (&elsewhere, of_forged)]
    {
        let refused = attributed(message).vouched(voucher).unwrap_err();
        assert_eq!(refused, attributed(message), "and nothing is lost");
    }
    assert!(attributed(&second).vouched(of_second).unwrap().voucher() == of_forged, "and so on down");
}

#[test]
fn a_node_of_the_same_member_cannot_write_in_its_siblings_log() {
    let mut coalition = Coalition::new();
    let (one, two) = (coalition.issue(&Ask::publisher(1)), coalition.issue(&Ask::publisher(1)));
    let (sealed, _) = one.first(&payload_bytes(), CIDR, coalition.version(), at(100));
    let as_two = resigned(&two, &sealed, |h| h.serial = two.certificate.serial.get());
    assert_eq!(code(&as_two, &coalition.roster, sync(100)), ("foreign-log", Verdict::Ignore));
    assert_ne!(one.log(CIDR), two.log(CIDR));
    assert_eq!(code(sealed.bytes(), &coalition.roster, sync(100)), ACCEPT);
}

#[test]
fn envelope_ahead_of_the_roster_is_admitted_once_the_log_is_fetched() {
    let mut coalition = Coalition::new();
    coalition.issue(&Ask::reader(9));
    let behind = coalition.roster.clone();
    let alice = coalition.issue(&Ask::publisher(1));
    let (sealed, _) = alice.first(&payload_bytes(), CIDR, coalition.version(), at(100));
    assert_eq!(code(sealed.bytes(), &behind, gossip(100)), ("ahead-of-roster", Verdict::Ignore));
    assert_eq!(code(sealed.bytes(), &coalition.roster, gossip(100)), ACCEPT);
}

#[test]
fn gossip_asks_for_topic_body_and_freshness_and_sync_does_not() {
    let mut coalition = Coalition::new();
    let alice = coalition.issue(&Ask::publisher(1));
    let (sealed, _) = alice.first(&payload_bytes(), CIDR, coalition.version(), at(10_000));
    let (mut envelope, _) = wire(&sealed);
    envelope.body = None;
    let (whole, bare) = (sealed.bytes(), envelope.encode_to_vec());
    let roster = &coalition.roster;
    let on = |topic| admission(Origin::Gossip { topic }, 10_000);
    let cases = [
        (whole, gossip(10_000), ACCEPT),
        (whole, on(Topic::Group(CLOUD)), ("wrong-topic", Verdict::Ignore)),
        (whole, on(Topic::Admin), ("wrong-topic", Verdict::Ignore)),
        (&bare, gossip(10_000), ("bodiless", Verdict::Reject)),
        (&bare, admission(Origin::Own, 10_000), ("bodiless", Verdict::Reject)),
        (&bare, sync(10_000), ACCEPT),
        // The author's clock ahead: by the skew and by a second more.
        (whole, gossip(9_700), ACCEPT),
        (whole, gossip(9_699), ("future", Verdict::Ignore)),
        (whole, sync(9_699), ("future", Verdict::Ignore)),
        (whole, admission(Origin::Own, 9_699), ACCEPT),
        // Replayed after gossipsub forgot it: 15 minutes and the skew.
        (whole, gossip(11_200), ACCEPT),
        (whole, gossip(11_201), ("stale", Verdict::Ignore)),
        (whole, sync(11_201), ACCEPT),
    ];
    for (n, (bytes, admission, expected)) in cases.into_iter().enumerate() {
        assert_eq!(code(bytes, roster, admission), expected, "case {n}");
    }
}

#[test]
fn body_opens_only_under_the_key_made_for_it() {
    let mut coalition = Coalition::new();
    let alice = coalition.issue(&Ask::publisher(1));
    let roster = coalition.version();
    let (sealed, key) = alice.first(&payload_bytes(), CIDR, roster, at(100));
    let admitted = decode(sealed.bytes()).unwrap().trusted();
    assert!(admitted.open(&key).is_ok());
    let other = ContentKey::generate(*key.context(), &mut FixedRng::new(8));
    assert_eq!(admitted.open(&other), Err(OpenError::OtherKey(key.id())));
    // An author that names a key of another log under its id gets nowhere with readers.
    let context = crate::envelope::KeyContext { log: alice.log(CLOUD), ..*key.context() };
    let stretched = ContentKey::generate(context, &mut FixedRng::new(8));
    let bytes = resigned(&alice, &sealed, |h| h.key_id = stretched.id().to_vec());
    let admitted = decode(&bytes).unwrap().trusted();
    assert_eq!(admitted.open(&stretched), Err(OpenError::OtherUse("log")));
    // A changed header no longer opens the body that was sealed under the old one.
    let bytes = resigned(&alice, &sealed, |h| h.created += 1);
    let admitted = decode(&bytes).unwrap().trusted();
    assert_eq!(admitted.open(&key), Err(OpenError::Body(BodyError::Sealed)));
    let (mut bare, _) = wire(&sealed);
    bare.body = None;
    assert_eq!(decode(&bare.encode_to_vec()).unwrap().trusted().open(&key), Err(OpenError::NoBody));
}

#[test]
fn named_members_open_and_others_do_not() {
    let mut coalition = Coalition::new();
    let [alice, bob, carol] = [1, 2, 3].map(|n| coalition.issue(&Ask::publisher(n)));
    let roster = coalition.version();
    let (plain, content_key) = alice.first(&payload_bytes(), CIDR, roster, at(100));
    let context = RecipientContext::of(plain.header());
    let mut rng = FixedRng::new(6);
    let (key, block) = seal_block(&[alice.kem.public(), bob.kem.public()], context, &mut rng).unwrap();
    let bytes = payload_bytes();
    let draft = Draft::Data { payload: &bytes, key: SealWith::Recipient { key: &key, block: &block } };
    let sealed =
        seal_message(&draft, &first_position(CIDR), &alice.author(roster), at(100), &mut rng).unwrap();
    let admitted = climb(sealed.bytes(), &coalition.roster, gossip(100)).unwrap();
    let try_open = |node: &Node| {
        let header = admitted.header();
        let block = admitted.recipients_block().unwrap();
        let key = open_block(&node.kem, RecipientContext::of(header), block, header.key_id().unwrap())?;
        Some(admitted.open_with(&key).unwrap().parse().unwrap())
    };
    assert_eq!(try_open(&bob).unwrap().objects[0].raw(), super::INDICATOR);
    assert!(try_open(&alice).is_some());
    assert!(try_open(&carol).is_none());
    // Nor does a content key open it, whoever holds one.
    assert_eq!(admitted.open(&content_key), Err(OpenError::OtherKey(key.id())));
    // A recipient key opens no other message.
    let next = decode(plain.bytes()).unwrap().trusted();
    assert_eq!(next.open_with(&key), Err(OpenError::OtherKey(content_key.id())));
}

#[test]
fn what_is_made_of_objects_parses_and_what_breaks_a_rule_is_not_made() {
    use crate::{envelope::payload::encode, stix::Object};
    let objects = || vec![Object::parse(super::INDICATOR).unwrap()];
    let stated = || schema::Payload { objects: Vec::new(), ..payload() };
    assert!(encode(stated(), Vec::new()).is_err());
    assert!(encode(schema::Payload { purpose: 0, ..stated() }, objects()).is_err());
    let many = vec![objects().remove(0); 4_000];
    assert!(encode(stated(), many).is_err(), "more than one message holds");
    let made = encode(stated(), objects()).unwrap();
    let parsed = crate::envelope::payload::parse(&made).unwrap();
    assert_eq!((parsed.objects.len(), parsed.objects[0].raw()), (1, super::INDICATOR));
}

#[test]
fn payloads_that_break_a_rule_do_not_parse() {
    type Break = fn(&mut schema::Payload);
    let parse = |change: Break| {
        let mut payload = payload();
        change(&mut payload);
        crate::envelope::payload::parse(&payload.encode_to_vec())
    };
    assert!(parse(|_| ()).is_ok());
    assert!(parse(|p| (p.part, p.parts) = (3, 3)).is_ok());
    let labelled = parse(|p| {
        p.classes = vec![5, 10];
        p.class_label = "minutes".into();
        p.pap = 3;
        p.handling = Some(schema::HandlingConditions {
            embargo_until: at(DAY).as_micros(),
            terms: vec!["ATTRIBUTION=must".into(), "TLP=AMBER".into()],
        });
    })
    .unwrap();
    assert_eq!(labelled.class_label.as_deref(), Some("minutes"));
    assert_eq!(labelled.handling.unwrap().terms[0], ("ATTRIBUTION".into(), "must".into()));
    let terms = |terms: &[&str]| {
        Some(schema::HandlingConditions {
            embargo_until: 0,
            terms: terms.iter().map(|term| (*term).into()).collect(),
        })
    };
    assert!(parse(|p| p.handling = None).is_ok());
    let refused: [Break; 20] = [
        |p| p.publication.truncate(15),
        |p| p.part = 0,
        |p| p.part = 2,
        |p| p.parts = 0,
        |p| (p.part, p.parts) = (1, 1025),
        |p| p.classes.clear(),
        |p| p.classes = vec![0],
        |p| p.classes = vec![11],
        |p| p.classes = vec![5, 5],
        |p| p.classes = vec![6, 5],
        |p| p.classes = vec![10],
        |p| p.class_label = "x".into(),
        |p| p.purpose = 0,
        |p| p.tlp = 0,
        |p| p.tlp = 6,
        |p| p.pap = 5,
        |p| p.objects.clear(),
        |p| p.objects.push(b"{}".to_vec()),
        |p| p.reason = "a".repeat(1025),
        |p| p.reason = "two\nlines".to_owned(),
    ];
    for (n, change) in refused.into_iter().enumerate() {
        let error = parse(change).unwrap_err();
        // Its author's fault, never its forwarder's.
        assert_eq!(error.verdict(), Verdict::Accept, "case {n}");
    }
    for handling in
        [terms(&[]), terms(&["noequals"]), terms(&["=x"]), terms(&["b=1", "a=1"]), terms(&["a=1", "a=2"])]
    {
        let payload = schema::Payload { handling, ..payload() };
        assert!(crate::envelope::payload::parse(&payload.encode_to_vec()).is_err());
    }
}

#[test]
fn a_payload_says_why_it_went_out_or_nothing_and_is_otherwise_the_same() {
    use crate::envelope::payload::{parse, with_reason};
    let without = payload_bytes();
    assert_eq!(parse(&without).unwrap().reason, None);
    let with = with_reason(&without, "the phisher's mailbox").unwrap();
    assert_eq!(parse(&with).unwrap().reason.as_deref(), Some("the phisher's mailbox"));
    assert_eq!(with_reason(&with, "").unwrap(), without, "as builds without the field write it");
    assert!(with_reason(&without, &"a".repeat(1025)).is_err());
}

#[test]
fn a_steward_is_who_was_one_at_the_roster_that_its_withdrawal_names() {
    let mut coalition = Coalition::new();
    let alice = coalition.issue(&Ask::publisher(1));
    let steward = coalition.issue(&Ask::role(3, Role::Steward));
    let bob = coalition.issue(&Ask::publisher(2));
    let roster = coalition.version();
    let (target, _) = alice.first(&payload_bytes(), CIDR, roster, at(100));
    let withdraw = |by: &Node| {
        let draft = Draft::Withdrawal(Withdrawal {
            targets: vec![target.message_id()],
            mode: WithdrawalMode::Erase,
            ground: WithdrawalGround::Rules,
        });
        let author = by.author(roster);
        seal_message(&draft, &first_position(CIDR), &author, at(101), &mut FixedRng::new(2)).unwrap()
    };
    let (by_steward, by_bob) = (withdraw(&steward), withdraw(&bob));
    let last = schema::CutPoint {
        log: by_steward.header().log.to_vec(),
        sequence: 1,
        message: by_steward.message_id().to_vec(),
    };
    // What it did as a steward stays done; what one did before becoming one stays without effect.
    coalition.disentitle(&steward, 200, vec![last]);
    coalition.entitle(&bob, 201, CIDR, Role::Steward);
    let reaches =
        |sealed: &Decoded| word(&coalition, sealed).unwrap().reaches(CIDR, alice.certificate.member);
    assert_eq!(reaches(&by_steward), Ok(()));
    assert_eq!(reaches(&by_bob), Err(WithdrawalRefusal::NotEntitled));
}

fn word(coalition: &Coalition, sealed: &Decoded) -> Option<Word> {
    Word::of(&coalition.roster, sealed.message_id(), sealed.header(), sealed.header().created)
}

#[test]
fn a_message_is_withdrawn_by_its_member_or_a_steward_on_a_ground_of_its_own() {
    let mut coalition = Coalition::new();
    let alice = coalition.issue(&Ask::publisher(1));
    let sibling = coalition.issue(&Ask::publisher(1));
    let bob = coalition.issue(&Ask::publisher(2));
    let steward = coalition.issue(&Ask::role(3, Role::Steward));
    let roster = coalition.version();
    let (target, _) = alice.first(&payload_bytes(), CIDR, roster, at(100));
    let withdraw = |by: &Node, ground, group| {
        let draft = Draft::Withdrawal(Withdrawal {
            targets: vec![target.message_id()],
            mode: WithdrawalMode::Erase,
            ground,
        });
        let author = by.author(roster);
        let sealed =
            seal_message(&draft, &first_position(CIDR), &author, at(101), &mut FixedRng::new(2)).unwrap();
        assert_eq!(code(sealed.bytes(), &coalition.roster, gossip(101)), ACCEPT);
        word(&coalition, &sealed).unwrap().reaches(group, alice.certificate.member)
    };
    let (own, rules) = (WithdrawalGround::Author, WithdrawalGround::Rules);
    assert_eq!(withdraw(&alice, own, CIDR), Ok(()));
    assert_eq!(withdraw(&sibling, own, CIDR), Ok(()));
    assert_eq!(withdraw(&steward, rules, CIDR), Ok(()));
    assert_eq!(withdraw(&steward, own, CIDR), Err(WithdrawalRefusal::NotTheAuthor));
    assert_eq!(withdraw(&bob, rules, CIDR), Err(WithdrawalRefusal::NotEntitled));
    assert_eq!(withdraw(&alice, own, CLOUD), Err(WithdrawalRefusal::OtherGroup));
    assert_eq!(word(&coalition, &target), None, "data withdraws nothing");
}

#[test]
fn only_what_every_honest_node_would_refuse_is_rejected() {
    let (_, _, samples) = samples();
    let quarantined = {
        let mut coalition = Coalition::new();
        let alice = coalition.issue(&Ask::publisher(1));
        let (sealed, _) = alice.first(&payload_bytes(), CIDR, coalition.version(), at(100));
        coalition.revoke(&alice, 200, vec![]);
        let verified = sealed.attribute(&coalition.roster).unwrap().verify().unwrap();
        verified.admit(&coalition.roster, sync(300)).unwrap_err()
    };
    let version = samples[0].header().roster;
    let serial = Serial::new(1);
    let created = at(0);
    let errors: [(&dyn Judged, Verdict); 21] = [
        (
            &DecodeError::Malformed(schema::Malformed::field("header", "group", "must not be 0")),
            Verdict::Reject,
        ),
        (&DecodeError::OtherBody, Verdict::Reject),
        (&DecodeError::OtherRecipients, Verdict::Reject),
        (&VerifyError::BadSignature, Verdict::Reject),
        (&AdmitError::Bodiless, Verdict::Reject),
        (&AttributeError::OtherCoalition, Verdict::Ignore),
        (&AttributeError::AheadOfRoster { theirs: version, ours: version }, Verdict::Ignore),
        (&AttributeError::OtherBranch { theirs: version }, Verdict::Ignore),
        (&AttributeError::UnknownSerial(serial), Verdict::Ignore),
        (&AttributeError::OtherMember(serial), Verdict::Ignore),
        (&AttributeError::ForeignLog(serial), Verdict::Ignore),
        (&AdmitError::WrongTopic(CIDR), Verdict::Ignore),
        (&AdmitError::Never(Never::NoCertificate(serial)), Verdict::Ignore),
        (&AdmitError::Never(Never::OutsideValidity { serial, created }), Verdict::Ignore),
        (&AdmitError::Never(Never::NotAPublisher { serial, group: CIDR }), Verdict::Ignore),
        (&quarantined, Verdict::Ignore),
        (&AdmitError::NotNow(NotNow::Future { ahead: SKEW }), Verdict::Ignore),
        (&AdmitError::NotNow(NotNow::RemovedOnSight(serial)), Verdict::Ignore),
        (&AdmitError::NotNow(NotNow::Stale { age: SKEW }), Verdict::Ignore),
        (&OpenError::NoBody, Verdict::Accept),
        (&OpenError::Body(BodyError::Padding), Verdict::Accept),
    ];
    let codes: BTreeSet<&str> = errors.iter().map(|(error, _)| error.code()).collect();
    assert_eq!(codes.len(), errors.len(), "codes tell errors apart");
    for (error, verdict) in errors {
        assert_eq!(error.verdict(), verdict, "{}", error.code());
    }
}
