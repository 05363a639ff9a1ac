//! A coalition whose admin keys lie in memory: everything an admin decides offline, one call each.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, anyhow, ensure};
use belfry_node::{clock, keys::MemberKeys};
use belfry_proto::{
    crypto::sign::{Purpose, SigningKey},
    id::{CoalitionId, GroupId, Height, MemberId, Serial},
    schema::{self, Capacity, CutPoint, EntityClass, GroupRole, LogFile, RevocationReason, Role, Validity},
    time::Timestamp,
    trust::{
        acceptance, beacon,
        charter::{Charter, CharterChain},
        charter_draft::{Draft, RootKeys},
        departure::Departure,
        file,
        log::{order, verify_record},
        request::{self, RequestDraft},
        roster::Roster,
        signed::sign,
        statement::{self, Decision},
    },
};
use prost::Message as _;

use crate::Member;

const CHARTER: &str = include_str!("../../config/charter.default.toml");
const DOCUMENTS: [(&str, &str); 2] = [
    ("arrangement.default.md", include_str!("../../config/arrangement.default.md")),
    ("rules-of-conduct.default.md", include_str!("../../config/rules-of-conduct.default.md")),
];
/// Certificates of the stories outlive them.
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// The coalition as its admins hold it: keys, charter, log, and the log's fold.
pub struct Coalition {
    draft: Draft,
    keys: RootKeys,
    root: SigningKey,
    admin: SigningKey,
    registrar: SigningKey,
    roster: Roster,
    log: LogFile,
}

impl Coalition {
    /// Founded with the charter that `belfry coalition init` would sign, 1-of-1 keys and an empty log.
    ///
    /// # Errors
    /// The default charter draft does not hold.
    pub fn new() -> anyhow::Result<Self> {
        Self::with(|_| ())
    }

    /// Founded with the default charter, changed by `change`.
    ///
    /// # Errors
    /// The changed draft does not hold.
    pub fn with(change: impl FnOnce(&mut Draft)) -> anyhow::Result<Self> {
        let mut draft: Draft = toml::from_str(CHARTER)?;
        draft
            .read_documents(|name| {
                let known = DOCUMENTS.iter().find(|(known, _)| *known == name);
                known.map(|(_, text)| text.as_bytes().to_vec()).context("no such document")
            })
            .map_err(|error| anyhow!("{error}"))?;
        change(&mut draft);
        let mut rng = rand::rng();
        let [root, admin, registrar] = [(); 3].map(|()| SigningKey::generate(&mut rng));
        let keys = RootKeys {
            root_threshold: 1,
            root: vec![root.public()],
            admins: vec![admin.public()],
            admins_until: BTreeMap::new(),
            thresholds: BTreeMap::new(),
            registrar: registrar.public(),
        };
        let payload = draft.to_charter(Some("Story"), &keys, clock::now())?.encode_to_vec();
        let id = Charter::check(&payload)?.coalition();
        let charter = sign(payload, Purpose::Charter, id, &[&root]);
        let roster = Roster::new(CharterChain::walk([charter.clone()])?);
        let log = LogFile { charters: vec![charter], records: Vec::new() };
        Ok(Self { draft, keys, root, admin, registrar, roster, log })
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> CoalitionId {
        self.roster.coalition()
    }

    /// The log's fold.
    #[must_use]
    pub const fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Charter and log, as a file holds them.
    #[must_use]
    pub const fn log(&self) -> &LogFile {
        &self.log
    }

    /// The log file's text, as `belfry coalition export` writes it.
    #[must_use]
    pub fn log_text(&self) -> String {
        file::write_log(&self.log)
    }

    /// The registrar's word, for so long, that the log ends where it does: `belfry coalition beacon`.
    #[must_use]
    pub fn beacon(&self, lifetime: Duration) -> String {
        let (charter, head) = (self.roster.charter(), self.roster.version());
        file::write_beacon(&beacon::make(charter, head, lifetime, clock::now(), &self.registrar))
    }

    /// Number of a group.
    ///
    /// # Errors
    /// The charter has no such group.
    pub fn group(&self, slug: &str) -> anyhow::Result<GroupId> {
        let group = self.roster.charter().group_by_slug(slug);
        group.map(|group| group.id).with_context(|| format!("the charter has no group {slug:?}"))
    }

    /// Begins to admit an organisation of this name.
    #[must_use]
    pub fn member(&mut self, name: &str) -> Application<'_> {
        Application {
            coalition: self,
            name: name.to_owned(),
            roles: Vec::new(),
            carrier: false,
            classes: vec![EntityClass::Essential],
            supplies: Vec::new(),
            capacity: Capacity::None,
            member: None,
            validity: None,
            decided: None,
        }
    }

    /// Signs `decision` about `member`, has it ordered, and folds it; gives the entry's height.
    ///
    /// # Errors
    /// The decision took no effect.
    pub fn decide(&mut self, member: MemberId, decision: Decision) -> anyhow::Result<Height> {
        self.decide_at(member, decision, clock::now())
    }

    /// [`Self::decide`] with the admin's clock at `made`.
    ///
    /// # Errors
    /// As [`Self::decide`].
    pub fn decide_at(
        &mut self,
        member: MemberId,
        decision: Decision,
        made: Timestamp,
    ) -> anyhow::Result<Height> {
        let record = self.propose(member, decision, made);
        let verified = verify_record(self.roster.charters(), &record)?;
        let height = verified.height;
        self.roster.apply(verified)?;
        let void = self.roster.voids().iter().find(|void| void.height == height);
        ensure!(void.is_none(), "entry {height} is void: {void:?}");
        self.log.records.push(record);
        Ok(height)
    }

    /// The next record, signed and ordered but not folded: what a second, secret branch of the log is made of.
    #[must_use]
    pub fn propose(&self, member: MemberId, decision: Decision, made: Timestamp) -> schema::Record {
        let (coalition, version) = (self.id(), self.roster.version());
        let previous = self.roster.member(member).map(|member| member.last_statement);
        let charter = self.roster.charter().version();
        let payload = statement::propose(coalition, decision, previous, charter, made, &mut rand::rng());
        let statement = sign(payload, Purpose::Statement, coalition, &[&self.admin]);
        let height = Height::new(version.height.get() + 1);
        order(coalition, height, version.head, statement, &self.registrar)
    }

    /// Revokes a member's certificate from now on. Without `cut` nothing it ever signed stands.
    ///
    /// # Errors
    /// As [`Self::decide`].
    pub fn revoke(&mut self, member: &Member, cut: Vec<CutPoint>) -> anyhow::Result<Height> {
        let now = clock::now().as_micros();
        let revoke = schema::Revoke {
            serial: member.serial().get(),
            member: member.id().to_vec(),
            reason: RevocationReason::KeyCompromise.into(),
            decided: now,
            effective: now,
            cut,
        };
        self.decide(member.id(), Decision::Revoke(revoke))
    }

    /// Puts the next charter in force: the one before, changed by `change`.
    ///
    /// # Errors
    /// The changed draft does not hold.
    pub fn amend(&mut self, change: impl FnOnce(&mut Draft)) -> anyhow::Result<()> {
        change(&mut self.draft);
        let (chain, pin) = (self.roster.charters(), self.roster.version());
        let next = self.draft.to_next_charter(chain, &self.keys, pin, clock::now())?;
        let signed = sign(next.encode_to_vec(), Purpose::Charter, self.id(), &[&self.root]);
        self.roster.apply_charter(signed.clone())?;
        self.log.charters.push(signed);
        Ok(())
    }

    /// Files that a member, by this node of it, accepts the texts in force: `belfry accept-rules`, `coalition accept`.
    ///
    /// # Errors
    /// As [`Self::decide`].
    pub fn accept(&mut self, member: &Member) -> anyhow::Result<Height> {
        let acceptance = acceptance::sign(self.roster.charter(), &member.keys().signing, clock::now());
        let accept = schema::Accept { serial: member.serial().get(), acceptance: Some(acceptance) };
        self.decide(member.id(), Decision::Accept(accept))
    }

    /// Records that a member leaves, as it says itself: `belfry leave`, `coalition leave`.
    ///
    /// # Errors
    /// Dates that do not hold together, or as [`Self::decide`].
    pub fn leave(&mut self, member: &Member, effective: Timestamp) -> anyhow::Result<()> {
        let now = clock::now();
        let (coalition, member_id) = (self.id(), member.id());
        let word = Departure { coalition, member: member_id, decided: now, effective, made: now };
        let word = Departure::open(&word.sign(&member.keys().signing)?, &self.roster, now)?;
        for serial in word.certificates(&self.roster) {
            self.decide(member_id, word.decision(serial, Vec::new()))?;
        }
        Ok(())
    }

    /// Brings back what a cut hides of a member's messages, up to these.
    ///
    /// # Errors
    /// As [`Self::decide`].
    pub fn extend_cut(&mut self, member: &Member, cut: Vec<CutPoint>) -> anyhow::Result<Height> {
        let extend = schema::ExtendCut { serial: member.serial().get(), cut };
        self.decide(member.id(), Decision::ExtendCut(extend))
    }

    /// Suspends a member's certificate.
    ///
    /// # Errors
    /// As [`Self::decide`].
    pub fn suspend(&mut self, member: &Member, cut: Vec<CutPoint>) -> anyhow::Result<Height> {
        let suspend = schema::Suspend { serial: member.serial().get(), cut };
        self.decide(member.id(), Decision::Suspend(suspend))
    }

    /// Resumes a suspended one.
    ///
    /// # Errors
    /// As [`Self::decide`].
    pub fn resume(&mut self, member: &Member) -> anyhow::Result<Height> {
        self.decide(member.id(), Decision::Resume(schema::Resume { serial: member.serial().get() }))
    }

    /// Starts members as nodes that hold the log of now, each told where the ones before it are, and waits until
    /// they have met.
    ///
    /// # Errors
    /// A node does not start, or they do not meet.
    pub async fn start<const N: usize>(&self, members: [&mut Member; N]) -> anyhow::Result<()> {
        let mut started: Vec<&Member> = Vec::new();
        for member in members {
            member.start(self, &started).await?;
            started.push(member);
        }
        crate::meet(&started).await
    }
}

/// A member-to-be: what it asks for, and what the admin makes of it.
pub struct Application<'a> {
    coalition: &'a mut Coalition,
    name: String,
    roles: Vec<(String, Role)>,
    carrier: bool,
    classes: Vec<EntityClass>,
    supplies: Vec<String>,
    capacity: Capacity,
    member: Option<MemberId>,
    validity: Option<(Timestamp, Timestamp)>,
    decided: Option<Timestamp>,
}

impl Application<'_> {
    /// Reads these groups.
    #[must_use]
    pub fn reader<const N: usize>(self, groups: [&str; N]) -> Self {
        self.roles(groups, Role::Reader)
    }

    /// Reads and publishes in these groups.
    #[must_use]
    pub fn publisher<const N: usize>(self, groups: [&str; N]) -> Self {
        self.roles(groups, Role::Publisher)
    }

    /// Publishes in these groups and keeps their order.
    #[must_use]
    pub fn steward<const N: usize>(self, groups: [&str; N]) -> Self {
        self.roles(groups, Role::Steward)
    }

    /// Forwards and stores every group's sealed messages.
    #[must_use]
    pub fn carrier(mut self) -> Self {
        self.carrier = true;
        self
    }

    /// Is of this entity class, and no other.
    #[must_use]
    pub fn class(mut self, class: EntityClass) -> Self {
        self.classes = vec![class];
        self
    }

    /// Is of this entity class, too.
    #[must_use]
    pub fn and_class(mut self, class: EntityClass) -> Self {
        self.classes.push(class);
        self
    }

    /// Supplies this entity.
    #[must_use]
    pub fn supplies(mut self, entity: &str) -> Self {
        self.supplies.push(entity.to_owned());
        self
    }

    /// Takes part as a public authority of this capacity.
    #[must_use]
    pub fn authority(mut self, capacity: Capacity) -> Self {
        self.classes = vec![EntityClass::Authority];
        self.capacity = capacity;
        self
    }

    /// Is a further node of a member there is.
    #[must_use]
    pub fn node_of(mut self, member: &Member) -> Self {
        self.name = member.name().to_owned();
        self.member = Some(member.id());
        self
    }

    /// The certificate is valid from and until then.
    #[must_use]
    pub const fn valid(mut self, from: Timestamp, until: Timestamp) -> Self {
        self.validity = Some((from, until));
        self
    }

    /// The admin's clock at signing: entitlements count from it.
    #[must_use]
    pub const fn decided(mut self, at: Timestamp) -> Self {
        self.decided = Some(at);
        self
    }

    fn roles<const N: usize>(mut self, groups: [&str; N], role: Role) -> Self {
        self.roles.extend(groups.map(|slug| (slug.to_owned(), role)));
        self
    }

    /// Makes keys and the request, verifies it as the admin's tool does, and issues.
    ///
    /// # Errors
    /// An unknown group, or a request or certificate that breaks a rule.
    pub fn issue(self) -> anyhow::Result<Member> {
        let coalition = self.coalition;
        let now = clock::now();
        let groups = self
            .roles
            .iter()
            .map(|(slug, role)| Ok(GroupRole { group: coalition.group(slug)?.get(), role: (*role).into() }))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let draft = RequestDraft {
            organisation: schema::Organisation {
                name: self.name.clone(),
                classes: self.classes.iter().map(|class| i32::from(*class)).collect(),
                capacity: self.capacity.into(),
                supplier_of: self.supplies.clone(),
                ..schema::Organisation::default()
            },
            groups,
            carrier: self.carrier,
            member: self.member,
        };
        let keys = MemberKeys::generate(&mut rand::rng());
        let charter = coalition.roster.charter().clone();
        let signed = request::build(&draft, &keys.signing, &keys.node, &keys.kem, &charter, now);
        let asked = request::open(&signed, &charter)?;
        // Wide enough for what a story dates back.
        let (from, until) = self.validity.unwrap_or((now.saturating_sub(YEAR), now.saturating_add(YEAR)));
        let validity = Validity { not_before: from.as_micros(), not_after: until.as_micros() };
        let member = self.member.unwrap_or_else(|| MemberId::new(rand::random()));
        let body = asked.to_certificate(member, validity, &charter);
        let issue = Decision::Issue(schema::Issue { certificate: Some(body) });
        let height = coalition.decide_at(member, issue, self.decided.unwrap_or(now))?;
        let record = coalition.log.records.last().cloned().context("the record was just appended")?;
        Member::new(&self.name, keys, member, Serial::new(height.get()), record)
    }
}
