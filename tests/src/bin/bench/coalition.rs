//! A coalition made in memory: the default charter, certificates, and everything a node starts from.

use anyhow::Context as _;
use belfry_node::{
    clock,
    keys::{Enrolment, MemberKeys},
};
use belfry_proto::{
    crypto::sign::{Purpose, SigningKey},
    id::{GroupId, Height, MemberId, Serial},
    schema::{self, LogFile, Record},
    trust::{
        certificate::Certificate,
        charter::{Charter, CharterChain, Group},
        charter_draft::{Draft, RootKeys},
        log::{order, verify_record},
        roster::Roster,
        signed::sign,
        statement::{Decision, propose},
    },
};
use prost::Message as _;

const DRAFT: &str = include_str!("../../../../config/charter.default.toml");
const ARRANGEMENT: &[u8] = include_bytes!("../../../../config/arrangement.default.md");
const RULES: &[u8] = include_bytes!("../../../../config/rules-of-conduct.default.md");

/// The group everything is measured in.
pub(crate) const SLUG: &str = "cidr";
/// How long certificates are valid.
const VALIDITY: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// Charter, log and the keys that write them.
pub(crate) struct Coalition {
    pub(crate) roster: Roster,
    log: LogFile,
    admin: SigningKey,
    registrar: SigningKey,
}

/// A member with one node.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) keys: MemberKeys,
    pub(crate) certificate: Certificate,
    pub(crate) record: Record,
}

impl Coalition {
    /// Founds one with the default charter's groups.
    pub(crate) fn found() -> anyhow::Result<Self> {
        let mut rng = rand::rng();
        let [root, admin, registrar] = std::array::from_fn(|_| SigningKey::generate(&mut rng));
        let mut draft: Draft = toml::from_str(DRAFT)?;
        draft.read_documents(|name| match name {
            "arrangement.default.md" => Ok(ARRANGEMENT.to_vec()),
            "rules-of-conduct.default.md" => Ok(RULES.to_vec()),
            other => Err(format!("the draft names a document {other} that is not compiled in")),
        })?;
        for group in &mut draft.groups {
            // What is measured is the node, not how it holds a member to its quota.
            (group.messages_per_hour, group.bytes_per_hour) = (u32::MAX, 1 << 50);
        }
        let keys = RootKeys {
            root_threshold: 1,
            root: vec![root.public()],
            admins: vec![admin.public()],
            admins_until: Default::default(),
            thresholds: std::collections::BTreeMap::new(),
            registrar: registrar.public(),
        };
        let payload = draft.to_charter(Some("Benchmark"), &keys, clock::now())?.encode_to_vec();
        let id = Charter::check(&payload)?.coalition();
        let charter = sign(payload, Purpose::Charter, id, &[&root]);
        let roster = Roster::new(CharterChain::start(charter.clone())?);
        Ok(Self { roster, log: LogFile { charters: vec![charter], records: Vec::new() }, admin, registrar })
    }

    /// The group everything is measured in.
    pub(crate) fn group(&self) -> anyhow::Result<GroupId> {
        Ok(self.roster.charter().group_by_slug(SLUG).context("the charter lost a group")?.id)
    }

    /// Issues a certificate with this role in every Focus Group.
    pub(crate) fn admit(&mut self, name: &str, role: schema::Role) -> anyhow::Result<Member> {
        self.admit_to(name, role, |group| group.parent.is_none())
    }

    /// Issues a certificate with this role in some groups.
    pub(crate) fn admit_to(
        &mut self,
        name: &str,
        role: schema::Role,
        to: impl Fn(&Group) -> bool,
    ) -> anyhow::Result<Member> {
        let keys = MemberKeys::generate(&mut rand::rng());
        let (charter, coalition, now) = (self.roster.charter(), self.roster.coalition(), clock::now());
        let groups = charter.groups().iter().filter(|group| to(group));
        let body = schema::CertificateBody {
            member: MemberId::new(rand::random()).to_vec(),
            organisation: Some(schema::Organisation {
                name: name.to_owned(),
                classes: vec![schema::EntityClass::Essential.into()],
                capacity: schema::Capacity::None.into(),
                sector: "energy".to_owned(),
                ..schema::Organisation::default()
            }),
            keys: Some((&keys.public()).into()),
            groups: groups
                .map(|group| schema::GroupRole { group: group.id.get(), role: role.into() })
                .collect(),
            carrier: false,
            validity: Some(schema::Validity {
                not_before: now.as_micros(),
                not_after: now.saturating_add(VALIDITY).as_micros(),
            }),
            arrangement_version: charter.arrangement().version.clone(),
            rules_version: charter.rules().version.clone(),
        };
        let decision = Decision::Issue(schema::Issue { certificate: Some(body) });
        let payload = propose(coalition, decision, None, charter.version(), now, &mut rand::rng());
        let statement = sign(payload, Purpose::Statement, coalition, &[&self.admin]);
        let version = self.roster.version();
        let height = Height::new(version.height.get() + 1);
        let record = order(coalition, height, version.head, statement, &self.registrar);
        self.roster.apply(verify_record(self.roster.charters(), &record)?)?;
        self.log.records.push(record.clone());
        let certificate = self.roster.certificate(Serial::new(height.get()));
        let certificate = certificate.context("the certificate was not issued")?.clone();
        Ok(Member { keys, certificate, record })
    }

    /// Signs a decision about a member and puts it into the log.
    pub(crate) fn decide(&mut self, member: MemberId, decision: Decision) -> anyhow::Result<()> {
        let (coalition, version) = (self.roster.coalition(), self.roster.version());
        let previous = self.roster.member(member).map(|member| member.last_statement);
        let charter = self.roster.charter().version();
        let payload = propose(coalition, decision, previous, charter, clock::now(), &mut rand::rng());
        let statement = sign(payload, Purpose::Statement, coalition, &[&self.admin]);
        let height = Height::new(version.height.get() + 1);
        let record = order(coalition, height, version.head, statement, &self.registrar);
        self.roster.apply(verify_record(self.roster.charters(), &record)?)?;
        self.log.records.push(record);
        Ok(())
    }

    /// What a member's node starts from, once everybody is admitted.
    pub(crate) fn enrolment(&self, member: &Member) -> Enrolment {
        Enrolment {
            keys: member.keys.clone(),
            certificate: member.certificate.clone(),
            record: member.record.clone(),
            log: self.log.clone(),
            roster: self.roster.clone(),
        }
    }

    /// Charters and records as one file.
    pub(crate) const fn log(&self) -> &LogFile {
        &self.log
    }
}
