//! One value, one encoding; and back.

use belfry_proto::{
    crypto::{
        key_file::{self, Cost},
        secret::Secret,
        sign::SigningKey,
    },
    envelope::{Header, KeyContext, payload},
    id::{
        CoalitionId, EntryId, GroupId, Height, KeyId, LogId, MemberId, MessageId, PublicationId,
        RosterVersion, Sequence,
    },
    schema::{self, Audience, Malformed, decode_canonical},
    sync::{LogFrontier, MissingSum},
    time::Timestamp,
    trust::{charter::Charter, file, statement::Statement, words},
};
use proptest::prelude::*;
use prost::Message;
use rand::{SeedableRng, rngs::StdRng};

use crate::vectors::golden;

// -- unknown fields, at every depth ---------------------------------------------------------------

/// Appends an unknown field inside the message that `path` leads to (field numbers from the outside in; of
/// repeated fields the first).
fn graft(bytes: &[u8], path: &[u64]) -> Vec<u8> {
    let Some((field, rest)) = path.split_first() else {
        // Field 2047, varint 1.
        return [bytes, &[0xf8, 0x7f, 1]].concat();
    };
    let mut out = Vec::new();
    let mut input = bytes;
    let mut grafted = false;
    while !input.is_empty() {
        let start = input;
        let tag = prost::encoding::decode_varint(&mut input).unwrap();
        if tag & 7 == 2 {
            let length = usize::try_from(prost::encoding::decode_varint(&mut input).unwrap()).unwrap();
            let (content, after) = input.split_at(length);
            input = after;
            if tag >> 3 == *field && !grafted {
                let bent = graft(content, rest);
                prost::encoding::encode_varint(tag, &mut out);
                prost::encoding::encode_varint(bent.len() as u64, &mut out);
                out.extend(bent);
                grafted = true;
                continue;
            }
        } else {
            assert_eq!(tag & 7, 0, "our messages hold varints and lengths only");
            prost::encoding::decode_varint(&mut input).unwrap();
        }
        out.extend(&start[..start.len() - input.len()]);
    }
    assert!(grafted, "no field {field}");
    out
}

#[track_caller]
fn refuses_grafts<M: Message + Default>(bytes: &[u8], paths: &[&[u64]]) {
    assert!(decode_canonical::<M>("message", bytes, 1 << 20).is_ok());
    for path in [&[][..]].iter().chain(paths) {
        let refused = decode_canonical::<M>("message", &graft(bytes, path), 1 << 20);
        assert!(matches!(refused, Err(Malformed::NotCanonical { .. })), "{path:?}: {:?}", refused.err());
    }
}

#[test]
fn an_unknown_field_is_refused_at_every_depth() {
    refuses_grafts::<schema::Charter>(
        &golden("charter_1", "payload"),
        &[&[7], &[8], &[8, 2], &[10], &[11], &[12]],
    );
    refuses_grafts::<schema::Charter>(&golden("charter_2", "payload"), &[&[17]]);
    refuses_grafts::<schema::Signed>(&golden("charter_1", "signed"), &[&[2]]);
    let issue = golden("issue", "statement_payload");
    refuses_grafts::<schema::Statement>(
        &issue,
        &[&[10], &[10, 1], &[10, 1, 2], &[10, 1, 3], &[10, 1, 4], &[10, 1, 6]],
    );
    refuses_grafts::<schema::Statement>(&golden("renew", "statement_payload"), &[&[11]]);
    refuses_grafts::<schema::Statement>(&golden("revoke", "statement_payload"), &[&[15], &[15, 6]]);
    refuses_grafts::<schema::LogEntry>(&golden("issue", "entry_payload"), &[]);
    refuses_grafts::<schema::Record>(&golden("issue", "record"), &[&[1], &[1, 2], &[2], &[2, 2]]);
    let request = schema::Signed::decode(golden("request", "signed").as_slice()).unwrap().payload;
    refuses_grafts::<schema::CertificateRequest>(&request, &[&[2], &[3], &[4], &[6], &[6, 2]]);
    for section in ["address", "beacon", "contact"] {
        refuses_grafts::<schema::Signed>(&golden(section, "signed"), &[&[2]]);
    }
    let contact = schema::Signed::decode(golden("contact", "signed").as_slice()).unwrap().payload;
    refuses_grafts::<schema::ContactRecord>(&contact, &[&[3]]);
    let envelope = golden("messages", "one");
    refuses_grafts::<schema::Envelope>(&envelope, &[]);
    let header = schema::Envelope::decode(envelope.as_slice()).unwrap().header;
    refuses_grafts::<schema::Header>(&header, &[&[schema_number_of_roster()]]);
    refuses_grafts::<schema::KeyContext>(&golden("messages", "key_context"), &[&[8]]);
    refuses_grafts::<schema::Payload>(&golden("data", "payload"), &[]);
}

/// The field number of a header's roster, read from the schema so that the test follows it.
fn schema_number_of_roster() -> u64 {
    let schema = include_str!("../../schema/belfry/v1/envelope.proto");
    let line = schema.lines().find(|line| line.trim_start().starts_with("RosterVersion roster =")).unwrap();
    line.split(['=', ';']).nth(1).unwrap().trim().parse().unwrap()
}

/// A payload is signed as it stands: a good signature does not make up for a second encoding.
#[test]
fn an_unknown_field_inside_what_is_signed_is_refused() {
    for section in ["charter_1", "charter_2"] {
        assert!(Charter::check(&golden(section, "payload")).is_ok());
        assert!(Charter::check(&graft(&golden(section, "payload"), &[])).is_err());
        assert!(Charter::check(&graft(&golden(section, "payload"), &[10])).is_err());
    }
    let statement = golden("issue", "statement_payload");
    assert!(Statement::decode(&statement).is_ok());
    for path in [&[][..], &[10], &[10, 1], &[10, 1, 3]] {
        assert!(Statement::decode(&graft(&statement, path)).is_err(), "{path:?}");
    }
    let header = schema::Envelope::decode(golden("messages", "one").as_slice()).unwrap().header;
    assert!(Header::decode(&header).is_ok() && Header::decode(&graft(&header, &[])).is_err());
    assert!(KeyContext::decode(&graft(&golden("messages", "key_context"), &[])).is_err());
    assert!(payload::parse(&graft(&golden("data", "payload"), &[])).is_err());
}

// -- decode(encode(x)) = x ------------------------------------------------------------------------

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..=most)
}

fn few<T: std::fmt::Debug>(of: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
    proptest::collection::vec(of, 0..4)
}

fn signed() -> impl Strategy<Value = schema::Signed> {
    let signature = (bytes(32), bytes(64)).prop_map(|(key, signature)| schema::Signature { key, signature });
    // Armour around nothing at all is none.
    let payload = bytes(40).prop_filter("a payload", |payload| !payload.is_empty());
    (payload, few(signature)).prop_map(|(payload, signatures)| schema::Signed { payload, signatures })
}

fn record() -> impl Strategy<Value = schema::Record> {
    let part = || proptest::option::of(signed());
    (part(), part()).prop_map(|(entry, statement)| schema::Record { entry, statement })
}

fn version() -> impl Strategy<Value = schema::RosterVersion> {
    (any::<u64>(), bytes(32)).prop_map(|(height, head)| schema::RosterVersion { height, head })
}

fn wire_frontier() -> impl Strategy<Value = schema::LogFrontier> {
    let numbers = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>());
    (any::<u32>(), bytes(32), bytes(32), bytes(16), numbers).prop_map(
        |(group, log, head, missing, (low, height, bodies, frozen))| schema::LogFrontier {
            group,
            log,
            low,
            height,
            head,
            bodies,
            frozen,
            missing,
        },
    )
}

fn admin_page() -> impl Strategy<Value = schema::AdminPage> {
    (few(signed()), few(record()), any::<bool>()).prop_map(|(charters, records, more)| schema::AdminPage {
        charters,
        records,
        more,
    })
}

fn hello_request() -> impl Strategy<Value = schema::HelloRequest> {
    use schema::hello_request::Request;
    let greet = (
        bytes(32),
        proptest::option::of(record()),
        proptest::option::of(version()),
        any::<u64>(),
        any::<u64>(),
        few(wire_frontier()),
    )
        .prop_map(|(coalition, certificate, roster, charter_version, now, your_logs)| {
            Request::Greet(schema::Greet { coalition, certificate, roster, charter_version, now, your_logs })
        });
    let pull = (any::<u64>(), any::<u64>()).prop_map(|(from_height, from_charter)| {
        Request::PullAdmin(schema::PullAdmin { from_height, from_charter })
    });
    proptest::option::of(prop_oneof![greet, pull, admin_page().prop_map(Request::PushAdmin)])
        .prop_map(|request| schema::HelloRequest { request })
}

fn hello_response() -> impl Strategy<Value = schema::HelloResponse> {
    use schema::hello_response::Response;
    let greeted = (
        proptest::option::of(version()),
        any::<u64>(),
        any::<u64>(),
        any::<bool>(),
        few(wire_frontier()),
        proptest::option::of(record()),
    )
        .prop_map(|(roster, charter_version, now, admitted, your_logs, head)| {
            Response::Greeted(schema::Greeted {
                roster,
                charter_version,
                now,
                admitted,
                your_logs,
                beacon: None,
                head,
            })
        });
    let other = prop_oneof![
        admin_page().prop_map(Response::AdminPage),
        any::<i32>().prop_map(Response::Refused),
        version().prop_map(Response::Pushed),
        record().prop_map(Response::Removed),
    ];
    proptest::option::of(prop_oneof![greeted, other]).prop_map(|response| schema::HelloResponse { response })
}

fn sealed_grant() -> impl Strategy<Value = schema::SealedGrant> {
    (bytes(32), bytes(60)).prop_map(|(key_id, sealed)| schema::SealedGrant { key_id, sealed })
}

fn sync_response() -> impl Strategy<Value = schema::SyncResponse> {
    use schema::sync_response::Response;
    let response = prop_oneof![
        (bytes(32), few(wire_frontier())).prop_map(|(hash, logs)| Response::Frontier(schema::Frontier {
            hash,
            logs,
            more: false
        })),
        (few(bytes(60)), any::<bool>(), few(bytes(60))).prop_map(|(envelopes, more, withdrawals)| {
            Response::Page(schema::Page { envelopes, more, withdrawals })
        }),
        few(signed()).prop_map(|records| Response::Addresses(schema::Addresses { records })),
        any::<i32>().prop_map(Response::Refused),
        (bytes(60), bytes(60)).prop_map(|(one, other)| Response::Fork(schema::Fork { one, other })),
        (bytes(32), bytes(60)).prop_map(|(hash, sums)| Response::Slices(schema::Slices { hash, sums })),
        (bytes(32), few(signed()), any::<bool>()).prop_map(|(hash, records, more)| {
            Response::Contacts(schema::Contacts { hash, records, more })
        }),
        Just(Response::ContactTaken(schema::ContactTaken {})),
    ];
    proptest::option::of(response).prop_map(|response| schema::SyncResponse { response })
}

fn sync_request() -> impl Strategy<Value = schema::SyncRequest> {
    use schema::sync_request::Request;
    let request = prop_oneof![
        (any::<u32>(), bytes(32)).prop_map(|(group, hash)| Request::Frontier(schema::PullFrontier {
            group,
            hash,
            after: Vec::new()
        })),
        (any::<u32>(), bytes(32), any::<u64>(), any::<u64>())
            .prop_map(|(group, log, from, to)| Request::Range(schema::PullRange { group, log, from, to })),
        Just(Request::Addresses(schema::PullAddresses {})),
        (any::<u32>(), bytes(32), any::<u64>(), bytes(32)).prop_map(|(group, hash, only, after)| {
            Request::Slices(schema::PullSlices { group, hash, only, after })
        }),
        (bytes(32), bytes(16))
            .prop_map(|(hash, after)| Request::Contacts(schema::PullContacts { hash, after })),
        signed().prop_map(Request::PushContact),
    ];
    proptest::option::of(request).prop_map(|request| schema::SyncRequest { request })
}

fn admin_gossip() -> impl Strategy<Value = schema::AdminGossip> {
    use schema::admin_gossip::Item;
    let item = prop_oneof![
        signed().prop_map(Item::Charter),
        record().prop_map(Item::Record),
        signed().prop_map(Item::Beacon),
        signed().prop_map(Item::Address),
    ];
    proptest::option::of(item).prop_map(|item| schema::AdminGossip { item })
}

fn cut() -> impl Strategy<Value = Vec<schema::CutPoint>> {
    few((any::<[u8; 32]>(), 1..u64::MAX, any::<[u8; 32]>()).prop_map(|(log, sequence, message)| {
        schema::CutPoint { log: log.into(), sequence, message: message.into() }
    }))
}

/// Every decision that needs no certificate; those with one are the golden vectors'.
fn decision() -> impl Strategy<Value = schema::statement::Decision> {
    use schema::statement::Decision;
    let serial = 1..u64::MAX;
    let roles = || {
        proptest::collection::vec((1..9_u32, 1..4_i32), 1..4).prop_map(|roles| {
            roles.into_iter().map(|(group, role)| schema::GroupRole { group, role }).collect::<Vec<_>>()
        })
    };
    prop_oneof![
        (serial.clone(), any::<u64>())
            .prop_map(|(serial, not_after)| Decision::Renew(schema::Renew { serial, not_after })),
        (serial.clone(), cut()).prop_map(|(serial, cut)| Decision::Suspend(schema::Suspend { serial, cut })),
        serial.clone().prop_map(|serial| Decision::Resume(schema::Resume { serial })),
        (serial.clone(), any::<[u8; 16]>(), 1..7_i32, any::<u64>(), any::<u64>(), cut()).prop_map(
            |(serial, member, reason, decided, effective, cut)| {
                let member = member.into();
                Decision::Revoke(schema::Revoke { serial, member, reason, decided, effective, cut })
            }
        ),
        (serial.clone(), roles())
            .prop_map(|(serial, groups)| Decision::Entitle(schema::Entitle { serial, groups })),
        (serial.clone(), proptest::collection::vec(1..9_u32, 1..4), cut()).prop_map(
            |(serial, groups, cut)| Decision::Disentitle(schema::Disentitle { serial, groups, cut })
        ),
        (serial.clone(), signed()).prop_map(|(serial, signed)| {
            Decision::Accept(schema::Accept { serial, acceptance: Some(signed) })
        }),
        (any::<[u8; 16]>(), "[a-z]{1,9}", few("[A-Z]{1,9}")).prop_map(|(member, name, supplier_of)| {
            let organisation =
                schema::Organisation { name, supplier_of, classes: vec![1], ..Default::default() };
            Decision::Amend(schema::Amend { member: member.into(), organisation: Some(organisation) })
        }),
        (serial, cut().prop_filter("a cut", |cut| !cut.is_empty()))
            .prop_map(|(serial, cut)| Decision::ExtendCut(schema::ExtendCut { serial, cut })),
    ]
}

fn round_trips<M: Message + Default + PartialEq + std::fmt::Debug>(message: &M) -> Result<(), TestCaseError> {
    let read = decode_canonical::<M>("message", &message.encode_to_vec(), 1 << 20);
    prop_assert_eq!(read.as_ref(), Ok(message));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn network_messages_decode_to_what_was_encoded(
        hello in hello_request(),
        hello_back in hello_response(),
        keys in (any::<u32>(), few(bytes(32)), few(sealed_grant())),
        keys_back in (few(sealed_grant()), few((bytes(32), any::<i32>())), few(bytes(32))),
        sync in sync_request(),
        sync_back in sync_response(),
        gossip in admin_gossip(),
    ) {
        round_trips(&hello)?;
        round_trips(&hello_back)?;
        let (group, key_ids, pushed) = keys;
        round_trips(&schema::KeysRequest { group, key_ids, pushed })?;
        let (grants, refused, stored) = keys_back;
        let refused =
            refused.into_iter().map(|(key_id, refusal)| schema::KeyRefusal { key_id, refusal }).collect();
        round_trips(&schema::KeysResponse { grants, refused, stored })?;
        round_trips(&sync)?;
        round_trips(&sync_back)?;
        round_trips(&gossip)?;
    }

    #[test]
    fn files_read_to_what_was_written(
        charters in proptest::collection::vec(signed(), 1..4),
        records in few(record()),
        request in signed(),
        certificate in record().prop_filter("a record", |record| record.entry.is_some()),
    ) {
        prop_assert_eq!(file::read_charter(&file::write_charter(&charters)).unwrap().charters, charters.clone());
        let log = schema::LogFile { charters, records };
        prop_assert_eq!(file::read_log(&file::write_log(&log)), Ok(log));
        prop_assert_eq!(file::read_request(&file::write_request(&request)), Ok(request));
        prop_assert_eq!(file::read_certificate(&file::write_certificate(&certificate)), Ok(certificate));
    }

    #[test]
    fn statements_decode_to_what_was_proposed(
        decision in decision(),
        coalition in any::<[u8; 32]>(),
        previous in proptest::option::of(any::<[u8; 32]>()),
        charter_version in any::<u64>(),
        made in any::<u64>(),
        seed in any::<u64>(),
    ) {
        use belfry_proto::{id::StatementId, trust::statement::propose};
        let (coalition, made) = (CoalitionId::new(coalition), Timestamp::from_micros(made));
        let previous = previous.map(StatementId::new);
        let mut rng = StdRng::seed_from_u64(seed);
        let payload = propose(coalition, decision.clone(), previous, charter_version, made, &mut rng);
        let read = Statement::decode(&payload).unwrap();
        prop_assert_eq!(read.decision, decision);
        prop_assert_eq!((read.coalition, read.previous, read.charter_version, read.made),
            (coalition, previous, charter_version, made));
    }

    #[test]
    fn key_contexts_and_frontiers_decode_to_what_was_encoded(
        ids in (any::<[u8; 32]>(), any::<[u8; 16]>(), any::<[u8; 32]>(), any::<[u8; 32]>()),
        group in 1_u32..,
        without in any::<bool>(),
        epoch in any::<u64>(),
        created in 1..Timestamp::MAX.as_micros(),
        height in 1..1_u64 << 53,
        low in any::<prop::sample::Index>(),
    ) {
        let (coalition, author, log, head) = ids;
        let context = KeyContext {
            coalition: CoalitionId::new(coalition),
            group: GroupId::new(group),
            audience: if without { Audience::WithoutSupervisors } else { Audience::Group },
            author: MemberId::new(author),
            log: LogId::new(log),
            epoch,
            created: Timestamp::from_micros(created),
            roster: RosterVersion { height: Height::new(height), head: EntryId::new(head) },
        };
        prop_assert_eq!(KeyContext::decode(&context.encode()), Ok(context));
        let low = 1 + low.index(usize::try_from(height.min(1000)).unwrap()) as u64;
        prop_assume!(head != [0; 32]);
        let frontier = LogFrontier {
            group: GroupId::new(group),
            log: LogId::new(log),
            low: Sequence::new(low),
            height: Sequence::new(height),
            head: MessageId::new(head),
            bodies: height + 1 - low,
            frozen: Sequence::new(height + 1),
            missing: {
                let mut missing = MissingSum::default();
                missing.toggle(LogId::new(log), Sequence::new(low));
                missing
            },
        };
        prop_assert_eq!(LogFrontier::try_from(&schema::LogFrontier::from(&frontier)), Ok(frontier));
    }

    #[test]
    fn texts_read_to_what_was_written(bytes in any::<[u8; 32]>(), short in any::<[u8; 16]>(), micros in 0..Timestamp::MAX.as_micros()) {
        let coalition = CoalitionId::new(bytes);
        prop_assert_eq!(words::from_words(&words::to_words(coalition)), Ok(coalition));
        prop_assert_eq!(coalition.to_string().parse(), Ok(coalition));
        prop_assert_eq!(KeyId::new(bytes).to_string().parse(), Ok(KeyId::new(bytes)));
        prop_assert_eq!(PublicationId::new(short).to_string().parse(), Ok(PublicationId::new(short)));
        let time = Timestamp::from_micros(micros);
        prop_assert_eq!(time.to_string().parse(), Ok(time));
    }
}

proptest! {
    // scrypt, even at the price for tests.
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn key_files_open_to_what_was_written(seed in any::<[u8; 32]>(), phrase in "\\PC{1,20}", dice in any::<u64>()) {
        let mut rng = StdRng::seed_from_u64(dice);
        let (phrase, key) = (phrase.as_bytes(), SigningKey::from_seed(&seed));
        let file = key_file::encode_ed25519(&key, phrase, Cost::TEST, &mut rng).unwrap();
        let opened = key_file::decode_ed25519(&file, phrase).unwrap();
        prop_assert_eq!(opened.seed(), &seed);
        let file = key_file::encode_secret(&Secret::new(seed), phrase, Cost::TEST, &mut rng).unwrap();
        prop_assert_eq!(key_file::decode_secret(&file, phrase).unwrap(), Secret::new(seed));
        prop_assert!(key_file::decode_ed25519(&file, phrase).is_err());
    }
}
