//! A coalition of two: this node's member and another, in three groups.

use belfry_proto::{
    crypto::{
        hash,
        hpke::KemSecret,
        secret::Secret,
        sign::{Purpose, SigningKey},
    },
    id::{CoalitionId, EntryId, GroupId, MemberId, Serial},
    schema::{self, Role, statement::Decision},
    time::Timestamp,
    trust::{charter::CharterChain, log::verify_record, roster::Roster, signed::sign},
};
use prost::Message;

use crate::identity::Identity;

/// This node publishes here.
pub(super) const CIDR: GroupId = GroupId::new(5);
/// This node only reads here.
pub(super) const CLOUD: GroupId = GroupId::new(3);
/// This node's certificate does not list it.
pub(super) const HOSPITALS: GroupId = GroupId::new(6);
pub(super) const GROUPS: [(GroupId, &str); 3] =
    [(CIDR, "cidr"), (CLOUD, "cloud-security"), (HOSPITALS, "hospitals")];

/// This node's organisation.
pub(super) const OWN: MemberId = MemberId::new([1; 16]);
/// Another one.
pub(super) const OTHER: MemberId = MemberId::new([2; 16]);

const START: Timestamp = Timestamp::from_micros(946_684_800_000_000);
const END: Timestamp = Timestamp::from_micros(7_258_118_400_000_000);

/// A folder with the texts that the charter names.
pub(super) fn texts(folder: &std::path::Path) -> std::path::PathBuf {
    let texts = folder.join("documents");
    std::fs::create_dir(&texts).unwrap();
    for text in ["arrangement", "rules"] {
        std::fs::write(texts.join(format!("{text}.md")), text).unwrap();
    }
    texts
}

/// The roster with both certificates, and the identity that the first one names.
pub(super) fn found() -> (Roster, Identity) {
    found_as(Role::Publisher, Role::Publisher)
}

/// With these roles of both in [`CIDR`].
pub(super) fn found_as(own: Role, other: Role) -> (Roster, Identity) {
    let [root, admin, registrar] = [201, 202, 203].map(|seed| SigningKey::from_seed(&[seed; 32]));
    let charter = charter(&root, &admin, &registrar).encode_to_vec();
    let coalition = CoalitionId::new(*hash::charter_id(&charter).as_bytes());
    let signed = sign(charter, Purpose::Charter, coalition, &[&root]);
    let mut roster = Roster::new(CharterChain::start(signed).unwrap());
    let own = issue(&mut roster, OWN, own, &admin, &registrar);
    issue(&mut roster, OTHER, other, &admin, &registrar);
    assert_eq!(roster.voids(), []);
    (roster, own)
}

fn issue(
    roster: &mut Roster,
    member: MemberId,
    in_cidr: Role,
    admin: &SigningKey,
    registrar: &SigningKey,
) -> Identity {
    let seed = member.as_bytes()[0];
    let [signing, node] = [0, 64].map(|offset| SigningKey::from_seed(&[seed + offset; 32]));
    let kem = KemSecret::from_seed(Secret::new([seed + 128; 32]));
    let (coalition, before) = (roster.coalition(), roster.version());
    let role = |group: GroupId, role: Role| schema::GroupRole { group: group.get(), role: role.into() };
    let certificate = schema::CertificateBody {
        member: member.to_vec(),
        organisation: Some(schema::Organisation {
            name: format!("Member {seed}"),
            classes: vec![schema::EntityClass::Essential.into()],
            sector: "energy".into(),
            ..schema::Organisation::default()
        }),
        keys: Some(schema::MemberKeys {
            signing: signing.public().as_bytes().to_vec(),
            node: node.public().as_bytes().to_vec(),
            kem: kem.public().as_bytes().to_vec(),
        }),
        groups: vec![role(CLOUD, Role::Reader), role(CIDR, in_cidr)],
        carrier: false,
        validity: Some(schema::Validity { not_before: START.as_micros(), not_after: END.as_micros() }),
        arrangement_version: "1".into(),
        rules_version: "1".into(),
    };
    let statement = schema::Statement {
        coalition: coalition.to_vec(),
        nonce: vec![seed; 16],
        previous: Vec::new(),
        charter_version: 1,
        made: START.as_micros(),
        decision: Some(Decision::Issue(schema::Issue { certificate: Some(certificate) })),
    }
    .encode_to_vec();
    let entry = schema::LogEntry {
        coalition: coalition.to_vec(),
        height: before.height.get() + 1,
        prev: if before.height.get() == 0 { EntryId::ZERO.to_vec() } else { before.head.to_vec() },
        statement: hash::statement_id(coalition, &statement).to_vec(),
    }
    .encode_to_vec();
    let record = schema::Record {
        entry: Some(sign(entry, Purpose::LogEntry, coalition, &[registrar])),
        statement: Some(sign(statement, Purpose::Statement, coalition, &[admin])),
    };
    roster.apply(verify_record(roster.charters(), &record).unwrap()).unwrap();
    let serial = Serial::new(roster.version().height.get());
    Identity { member, serial, record, signing, node: node.public(), kem }
}

fn charter(root: &SigningKey, admin: &SigningKey, registrar: &SigningKey) -> schema::Charter {
    let key = |key: &SigningKey| key.public().as_bytes().to_vec();
    let mut groups: Vec<schema::FocusGroup> = GROUPS
        .iter()
        .map(|(id, slug)| schema::FocusGroup {
            id: id.get(),
            slug: (*slug).into(),
            name: slug.to_uppercase(),
            description: "a group".into(),
            may_publish: Role::Publisher.into(),
            history: schema::HistoryPolicy::All.into(),
            max_tlp: schema::Tlp::AmberStrict.into(),
            messages_per_hour: 600,
            bytes_per_hour: 64 << 20,
            default_purpose: schema::Purpose::Detect.into(),
            ..schema::FocusGroup::default()
        })
        .collect();
    groups.sort_by_key(|group| group.id);
    let document = |name: &str| schema::Document {
        version: "1".into(),
        hash: hash::document(name.as_bytes()).to_vec(),
        link: format!("https://example.org/{name}"),
    };
    schema::Charter {
        name: "Test coalition".into(),
        version: 1,
        issued: START.as_micros(),
        expires: END.as_micros(),
        root: Some(schema::KeySet { threshold: 1, keys: vec![key(root)] }),
        admins: Some(schema::AdminKeys {
            keys: vec![key(admin)],
            thresholds: (1..=9).map(|action| schema::ActionThreshold { action, threshold: 1 }).collect(),
            ..schema::AdminKeys::default()
        }),
        registrar: key(registrar),
        groups,
        arrangement: Some(document("arrangement")),
        rules_of_conduct: Some(document("rules")),
        clock_skew_s: 300,
        grant_delay_s: 24 * 3600,
        stale_after_s: 7 * 24 * 3600,
        ..schema::Charter::default()
    }
}
