//! A small coalition, made statement by statement, so that tests say what happened and not how.

use prost::Message;

use super::{CIDR, CLOUD, DAY, Node, at};
use crate::{
    crypto::{
        hash,
        hpke::KemSecret,
        secret::Secret,
        sign::{Purpose, SigningKey},
    },
    id::{CoalitionId, EntryId, GroupId, RosterVersion, Serial},
    schema::{self, statement::Decision},
    trust::{acceptance, charter::CharterChain, log::verify_record, roster::Roster, signed::sign},
};

/// Charter, log and the secret keys that write them.
#[derive(Clone)]
pub(crate) struct Coalition {
    pub(crate) roster: Roster,
    admin: SigningKey,
    registrar: SigningKey,
    nodes: u8,
    latest: std::collections::BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Policies that the tests vary.
pub(crate) struct Policy {
    pub(crate) history: schema::HistoryPolicy,
    pub(crate) window_s: u64,
    pub(crate) grant_delay_s: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self { history: schema::HistoryPolicy::All, window_s: 0, grant_delay_s: DAY }
    }
}

/// What a certificate is asked for; `reader(...)` and the like name the usual ones.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) member: u8,
    pub(crate) groups: Vec<(GroupId, schema::Role)>,
    pub(crate) carrier: bool,
    pub(crate) supervisor: bool,
    pub(crate) not_after: u64,
    pub(crate) made: u64,
}

impl Ask {
    pub(crate) fn role(member: u8, role: schema::Role) -> Self {
        Self {
            member,
            groups: vec![(CIDR, role)],
            carrier: false,
            supervisor: false,
            not_after: 300 * DAY,
            made: 10,
        }
    }

    pub(crate) fn publisher(member: u8) -> Self {
        Self::role(member, schema::Role::Publisher)
    }

    pub(crate) fn reader(member: u8) -> Self {
        Self::role(member, schema::Role::Reader)
    }

    pub(crate) fn carrier(member: u8) -> Self {
        Self { groups: vec![], carrier: true, ..Self::reader(member) }
    }
}

impl Coalition {
    pub(crate) fn new() -> Self {
        Self::with(&Policy::default())
    }

    pub(crate) fn with(policy: &Policy) -> Self {
        let [root, admin, registrar] = [201, 202, 203].map(|seed| SigningKey::from_seed(&[seed; 32]));
        let charter = charter(&root, &admin, &registrar, policy).encode_to_vec();
        // Version 1 is signed under its own id: it is the coalition.
        let coalition = CoalitionId::new(*hash::charter_id(&charter).as_bytes());
        let signed = sign(charter, Purpose::Charter, coalition, &[&root]);
        let roster = Roster::new(CharterChain::start(signed).unwrap());
        Self { roster, admin, registrar, nodes: 0, latest: std::collections::BTreeMap::new() }
    }

    pub(crate) fn version(&self) -> RosterVersion {
        self.roster.version()
    }

    /// Issues a certificate to a fresh node.
    pub(crate) fn issue(&mut self, ask: &Ask) -> Node {
        self.nodes += 1;
        let [signing, node] = [0, 64].map(|offset| SigningKey::from_seed(&[self.nodes + offset; 32]));
        let kem = KemSecret::from_seed(Secret::new([self.nodes + 128; 32]));
        let body = certificate(ask, &signing, &node, &kem);
        self.decide(ask.member, ask.made, Decision::Issue(schema::Issue { certificate: Some(body) }));
        let serial = Serial::new(self.version().height.get());
        Node {
            coalition: self.roster.coalition(),
            certificate: self.roster.certificate(serial).unwrap().clone(),
            signing,
            node,
            kem,
        }
    }

    pub(crate) fn revoke(&mut self, node: &Node, seconds: u64, cut: Vec<schema::CutPoint>) {
        self.leave(node, seconds, seconds, cut);
    }

    pub(crate) fn leave(&mut self, node: &Node, seconds: u64, effective: u64, cut: Vec<schema::CutPoint>) {
        let revoke = schema::Revoke {
            serial: node.certificate.serial.get(),
            member: node.certificate.member.to_vec(),
            reason: schema::RevocationReason::KeyCompromise.into(),
            decided: at(seconds).as_micros(),
            effective: at(effective).as_micros(),
            cut,
        };
        self.decide_for(node, seconds, Decision::Revoke(revoke));
    }

    pub(crate) fn entitle(&mut self, node: &Node, seconds: u64, group: GroupId, role: schema::Role) {
        let groups = vec![schema::GroupRole { group: group.get(), role: role.into() }];
        let entitle = schema::Entitle { serial: node.certificate.serial.get(), groups };
        self.decide_for(node, seconds, Decision::Entitle(entitle));
    }

    pub(crate) fn disentitle(&mut self, node: &Node, seconds: u64, cut: Vec<schema::CutPoint>) {
        let disentitle =
            schema::Disentitle { serial: node.certificate.serial.get(), groups: vec![CIDR.get()], cut };
        self.decide_for(node, seconds, Decision::Disentitle(disentitle));
    }

    pub(crate) fn suspend(&mut self, node: &Node, seconds: u64, cut: Vec<schema::CutPoint>) {
        let suspend = schema::Suspend { serial: node.certificate.serial.get(), cut };
        self.decide_for(node, seconds, Decision::Suspend(suspend));
    }

    pub(crate) fn resume(&mut self, node: &Node, seconds: u64) {
        let resume = schema::Resume { serial: node.certificate.serial.get() };
        self.decide_for(node, seconds, Decision::Resume(resume));
    }

    /// A charter with new rules of conduct, to be accepted by `accept_by`.
    pub(crate) fn new_rules(&mut self, seconds: u64, accept_by: u64, unaccepted: schema::AcceptancePolicy) {
        self.next_charter(seconds, |next| {
            next.accept_by = at(accept_by).as_micros();
            next.unaccepted = unaccepted.into();
            if let Some(rules) = next.rules_of_conduct.as_mut() {
                (rules.version, rules.hash) = ("2".into(), hash::document(b"new rules").to_vec());
            }
        });
    }

    /// The charter in force, changed, as the next version.
    pub(crate) fn next_charter(&mut self, seconds: u64, change: impl FnOnce(&mut schema::Charter)) {
        let old = self.roster.charter();
        let mut next = old.wire().clone();
        next.coalition = self.roster.coalition().to_vec();
        next.version += 1;
        next.previous = old.id().to_vec();
        next.issued = at(seconds).as_micros();
        next.pin = Some(self.version().into());
        change(&mut next);
        let root = SigningKey::from_seed(&[201; 32]);
        let signed = sign(next.encode_to_vec(), Purpose::Charter, self.roster.coalition(), &[&root]);
        self.roster.apply_charter(signed).unwrap();
    }

    pub(crate) fn accept(&mut self, node: &Node, seconds: u64) {
        let signed = acceptance::sign(self.roster.charter(), &node.signing, at(seconds));
        let serial = node.certificate.serial.get();
        let accept = schema::Accept { serial, acceptance: Some(signed) };
        self.decide_for(node, seconds, Decision::Accept(accept));
    }

    fn decide_for(&mut self, node: &Node, seconds: u64, decision: Decision) {
        self.append(node.certificate.member.as_ref().to_vec(), seconds, decision);
    }

    fn decide(&mut self, member: u8, seconds: u64, decision: Decision) {
        self.append(vec![member; 16], seconds, decision);
    }

    fn append(&mut self, member: Vec<u8>, seconds: u64, decision: Decision) {
        let coalition = self.roster.coalition();
        let before = self.version();
        let statement = schema::Statement {
            coalition: coalition.to_vec(),
            nonce: before.height.get().to_be_bytes().repeat(2),
            previous: self.latest.get(&member).cloned().unwrap_or_default(),
            charter_version: self.roster.charter().version(),
            made: at(seconds).as_micros(),
            decision: Some(decision),
        }
        .encode_to_vec();
        let id = hash::statement_id(coalition, &statement);
        self.latest.insert(member, id.to_vec());
        let entry = schema::LogEntry {
            coalition: coalition.to_vec(),
            height: before.height.get() + 1,
            prev: match before.height.get() {
                0 => EntryId::ZERO.to_vec(),
                _ => before.head.to_vec(),
            },
            statement: id.to_vec(),
        }
        .encode_to_vec();
        let record = schema::Record {
            entry: Some(sign(entry, Purpose::LogEntry, coalition, &[&self.registrar])),
            statement: Some(sign(statement, Purpose::Statement, coalition, &[&self.admin])),
        };
        let verified = verify_record(self.roster.charters(), &record).unwrap();
        self.roster.apply(verified).unwrap();
        assert!(self.roster.voids().is_empty(), "{:?}", self.roster.voids());
    }
}

fn charter(
    root: &SigningKey,
    admin: &SigningKey,
    registrar: &SigningKey,
    policy: &Policy,
) -> schema::Charter {
    let key = |key: &SigningKey| key.public().as_bytes().to_vec();
    let group = |id: GroupId, slug: &str| schema::FocusGroup {
        id: id.get(),
        slug: slug.into(),
        name: slug.to_uppercase(),
        description: "a group".into(),
        may_publish: schema::Role::Publisher.into(),
        history: policy.history.into(),
        history_window_s: policy.window_s,
        max_tlp: schema::Tlp::Red.into(),
        messages_per_hour: 600,
        bytes_per_hour: 64 << 20,
        default_purpose: schema::Purpose::Detect.into(),
        ..schema::FocusGroup::default()
    };
    let document = |name: &str| schema::Document {
        version: "1".into(),
        hash: hash::document(name.as_bytes()).to_vec(),
        link: format!("https://example.org/{name}"),
    };
    schema::Charter {
        name: "Test coalition".into(),
        version: 1,
        issued: at(0).as_micros(),
        expires: at(3650 * DAY).as_micros(),
        root: Some(schema::KeySet { threshold: 1, keys: vec![key(root)] }),
        admins: Some(schema::AdminKeys {
            keys: vec![key(admin)],
            thresholds: (1..=9).map(|action| schema::ActionThreshold { action, threshold: 1 }).collect(),
            ..schema::AdminKeys::default()
        }),
        registrar: key(registrar),
        groups: vec![group(CLOUD, "cloud-security"), group(CIDR, "cidr")],
        arrangement: Some(document("arrangement")),
        rules_of_conduct: Some(document("rules")),
        clock_skew_s: 300,
        grant_delay_s: policy.grant_delay_s,
        stale_after_s: 7 * DAY,
        ..schema::Charter::default()
    }
}

fn certificate(
    ask: &Ask,
    signing: &SigningKey,
    node: &SigningKey,
    kem: &KemSecret,
) -> schema::CertificateBody {
    let authority = ask.supervisor.then_some(schema::EntityClass::Authority);
    schema::CertificateBody {
        member: vec![ask.member; 16],
        organisation: Some(schema::Organisation {
            name: format!("Member {}", ask.member),
            classes: vec![authority.unwrap_or(schema::EntityClass::Essential).into()],
            capacity: if ask.supervisor { schema::Capacity::Supervisor } else { schema::Capacity::None }
                .into(),
            sector: "energy".into(),
            ..schema::Organisation::default()
        }),
        keys: Some(schema::MemberKeys {
            signing: signing.public().as_bytes().to_vec(),
            node: node.public().as_bytes().to_vec(),
            kem: kem.public().as_bytes().to_vec(),
        }),
        groups: ask
            .groups
            .iter()
            .map(|(group, role)| schema::GroupRole { group: group.get(), role: (*role).into() })
            .collect(),
        carrier: ask.carrier,
        validity: Some(schema::Validity {
            not_before: at(0).as_micros(),
            not_after: at(ask.not_after).as_micros(),
        }),
        arrangement_version: "1".into(),
        rules_version: "1".into(),
    }
}
