//! The charter: the coalition's signed trust root, and the [chain](CharterChain) of its versions.
//!
//! TUF's root role (TUF specification §5.3): version n+1 needs the root thresholds of n *and* of n+1, so
//! neither old holders alone nor new ones alone can take the coalition over. Every version is walked; only
//! the newest must be unexpired, and an expired one still allows reading and removals.

mod chain;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

pub use self::chain::CharterChain;
use crate::{
    crypto::{
        hash,
        sign::{KeyError, PublicKey},
    },
    id::{CharterId, CoalitionId, GroupId, RosterVersion},
    limits::MAX_CHARTER,
    schema::{
        self, AcceptancePolicy, Action, EntityClass, HistoryPolicy, Malformed, Role, StalenessPolicy, Tlp,
        decode_canonical,
    },
    time::Timestamp,
    trust::signed::SignedError,
    verdict::{Judged, Verdict},
};

const WHAT: &str = "Charter";
/// Groups and circles of one charter; twelve are usual.
const MAX_GROUPS: usize = 256;
/// Bytes of a name or description.
const MAX_TEXT: usize = 4096;

/// How much of a group's past a newly entitled member may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// Nothing from before its entitlement.
    None,
    /// Keys last used within this long before its entitlement.
    Window(Duration),
    /// Everything.
    All,
}

/// A Focus Group or circle, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its number, for ever.
    pub id: GroupId,
    /// Its name in URLs and commands.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// What it is about.
    pub description: String,
    /// The group a circle lies in.
    pub parent: Option<GroupId>,
    /// Classes it admits; empty admits all.
    pub admits: BTreeSet<EntityClass>,
    /// Least role that publishes.
    pub may_publish: Role,
    /// What newcomers may read.
    pub history: History,
    /// How long bodies are kept; `None` for ever.
    pub retention: Option<Duration>,
    /// Most restrictive marking that goes to the whole group.
    pub max_tlp: Tlp,
    /// Messages one author may publish in an hour.
    pub messages_per_hour: u32,
    /// Sealed bytes one author may publish in an hour.
    pub bytes_per_hour: u64,
    /// Purpose of messages that state none.
    pub default_purpose: schema::Purpose,
}

/// One version of the charter whose every rule holds.
#[derive(Clone, Debug)]
pub struct Charter {
    id: CharterId,
    coalition: CoalitionId,
    wire: schema::Charter,
    root: (u32, BTreeSet<PublicKey>),
    admins: BTreeSet<PublicKey>,
    /// Of those that end before the charter is replaced.
    admin_ends: BTreeMap<PublicKey, Timestamp>,
    thresholds: BTreeMap<Action, u32>,
    registrar: PublicKey,
    groups: Vec<Group>,
    arrangement: schema::Document,
    rules: schema::Document,
    pin: Option<RosterVersion>,
}

/// Why a charter is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CharterError {
    /// Bytes.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A key of it is unusable.
    #[error("{role} key: {error}")]
    Key {
        /// Which role.
        role: &'static str,
        /// Why.
        error: KeyError,
    },
    /// One key in two roles.
    #[error("{0} holds two roles")]
    TwoRoles(PublicKey),
    /// A removed key came back.
    #[error("{0} was removed by an earlier version and cannot return")]
    KeyReturns(PublicKey),
    /// A threshold that nobody or everybody passes.
    #[error("{role} threshold {threshold} of {keys} keys")]
    Threshold {
        /// Which role or action.
        role: &'static str,
        /// Stated.
        threshold: u32,
        /// Keys there are.
        keys: usize,
    },
    /// An action without a threshold, or with two.
    #[error("action {0:?} needs exactly one threshold")]
    ActionThreshold(Action),
    /// A group breaks a rule.
    #[error("group {slug:?}: {rule}")]
    Group {
        /// Its slug.
        slug: String,
        /// The rule.
        rule: &'static str,
    },
    /// Signatures.
    #[error("charter version {version}: {error}")]
    Signed {
        /// Its version.
        version: u64,
        /// What is wrong.
        error: SignedError,
    },
    /// Too few root keys signed, of the version before or of its own.
    #[error(
        "charter version {version} is signed by {found} of the {needed} root keys of version {of} that must sign it"
    )]
    RootMissing {
        /// Its version.
        version: u64,
        /// Whose root keys are missing.
        of: u64,
        /// How many of them signed.
        found: usize,
        /// How many must.
        needed: u32,
    },
    /// Not the next version.
    #[error("charter version {found} does not follow version {have}")]
    Version {
        /// Newest held.
        have: u64,
        /// Offered.
        found: u64,
    },
    /// Follows another charter.
    #[error("charter version {0} follows another charter than ours")]
    Branch(u64),
    /// Belongs to another coalition.
    #[error("charter of coalition {0}, not ours")]
    OtherCoalition(CoalitionId),
    /// No version 1 to start from.
    #[error("no charter")]
    Empty,
}

impl Judged for CharterError {
    fn verdict(&self) -> Verdict {
        match self {
            Self::Malformed(_) => Verdict::Reject,
            // Whether it follows and who may sign depends on the charter we hold.
            Self::Key { .. }
            | Self::TwoRoles(_)
            | Self::KeyReturns(_)
            | Self::Threshold { .. }
            | Self::ActionThreshold(_)
            | Self::Group { .. }
            | Self::Signed { .. }
            | Self::RootMissing { .. }
            | Self::Version { .. }
            | Self::Branch(_)
            | Self::OtherCoalition(_)
            | Self::Empty => Verdict::Ignore,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "charter-malformed",
            Self::Key { .. } | Self::TwoRoles(_) | Self::KeyReturns(_) => "charter-key",
            Self::Threshold { .. } | Self::ActionThreshold(_) => "charter-threshold",
            Self::Group { .. } => "charter-group",
            Self::Signed { .. } | Self::RootMissing { .. } => "charter-signature",
            Self::Version { .. } | Self::Branch(_) | Self::Empty => "charter-version",
            Self::OtherCoalition(_) => "other-coalition",
        }
    }
}

impl Charter {
    /// Checks everything that a charter must hold by itself, signatures aside. Runs when one is drafted
    /// and when one is received.
    ///
    /// # Errors
    /// [`CharterError`].
    pub fn check(payload: &[u8]) -> Result<Self, CharterError> {
        let wire: schema::Charter = decode_canonical(WHAT, payload, MAX_CHARTER)?;
        let id = hash::charter_id(payload);
        let field = |field, rule| Malformed::field(WHAT, field, rule);
        let coalition = match wire.version {
            0 => return Err(field("version", "must be at least 1").into()),
            1 if !wire.coalition.is_empty() || !wire.previous.is_empty() || wire.pin.is_some() => {
                return Err(field("version", "1 names no coalition, no previous charter and no pin").into());
            }
            1 => CoalitionId::new(*id.as_bytes()),
            _ => CoalitionId::try_from(wire.coalition.as_slice())
                .map_err(|_| field("coalition", "must be 32 bytes"))?,
        };
        if wire.name.trim().is_empty() || wire.name.len() > MAX_TEXT {
            return Err(field("name", "must not be empty or over 4096 bytes").into());
        }
        if wire.expires <= wire.issued {
            return Err(field("expires", "must lie after issued").into());
        }
        let root = wire.root.as_ref().ok_or(field("root", "must be set"))?;
        let root = (root.threshold, keys("root", &root.keys)?);
        threshold("root", root.0, root.1.len())?;
        let admins_wire = wire.admins.as_ref().ok_or(field("admins", "must be set"))?;
        let admins = keys("admin", &admins_wire.keys)?;
        let thresholds = action_thresholds(&admins_wire.thresholds, admins.len())?;
        let admin_ends = admin_ends(admins_wire, wire.issued)?;
        let registrar = PublicKey::from_slice(&wire.registrar)
            .map_err(|error| CharterError::Key { role: "registrar", error })?;
        let mut seen = BTreeSet::new();
        for key in root.1.iter().chain(&admins).chain([&registrar]) {
            if !seen.insert(*key) {
                return Err(CharterError::TwoRoles(*key));
            }
        }
        let groups = check_groups(&wire.groups)?;
        let document = |document: &Option<schema::Document>, name| {
            document
                .clone()
                .filter(|d| d.hash.len() == 32 && d.version.len() <= MAX_TEXT && d.link.len() <= MAX_TEXT)
                .ok_or(field(name, "must be set, with a hash of 32 bytes"))
        };
        let arrangement = document(&wire.arrangement, "arrangement")?;
        let rules = document(&wire.rules_of_conduct, "rules_of_conduct")?;
        StalenessPolicy::try_from(wire.staleness)
            .map_err(|_| field("staleness", "must be a known policy"))?;
        let unaccepted = AcceptancePolicy::try_from(wire.unaccepted)
            .map_err(|_| field("unaccepted", "must be a known policy"))?;
        if unaccepted != AcceptancePolicy::Warn && wire.accept_by == 0 {
            return Err(field("accept_by", "must be set where not accepting has a consequence").into());
        }
        let pin = wire
            .pin
            .as_ref()
            .map(|pin| RosterVersion::try_from(pin).map_err(|_| field("pin", "must hold a head of 32 bytes")))
            .transpose()?;
        Ok(Self {
            id,
            coalition,
            root,
            admins,
            admin_ends,
            thresholds,
            registrar,
            groups,
            arrangement,
            rules,
            pin,
            wire,
        })
    }

    /// Hash of its payload.
    #[must_use]
    pub const fn id(&self) -> CharterId {
        self.id
    }
    /// Hash of version 1's payload.
    #[must_use]
    pub const fn coalition(&self) -> CoalitionId {
        self.coalition
    }
    /// From 1.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.wire.version
    }
    /// The coalition's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.wire.name
    }
    /// When it was made.
    #[must_use]
    pub const fn issued(&self) -> Timestamp {
        Timestamp::from_micros(self.wire.issued)
    }
    /// From when on it allows reading and removals only.
    #[must_use]
    pub const fn expires(&self) -> Timestamp {
        Timestamp::from_micros(self.wire.expires)
    }
    /// Whether it has expired.
    #[must_use]
    pub fn is_expired_at(&self, now: Timestamp) -> bool {
        now >= self.expires()
    }
    /// Groups and circles in the charter's order.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }
    /// A group by number.
    #[must_use]
    pub fn group(&self, id: GroupId) -> Option<&Group> {
        self.groups.iter().find(|group| group.id == id)
    }
    /// A group by slug.
    #[must_use]
    pub fn group_by_slug(&self, slug: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.slug == slug)
    }
    /// How far a sender's clock may differ from ours.
    #[must_use]
    pub const fn clock_skew(&self) -> Duration {
        Duration::from_secs(self.wire.clock_skew_s)
    }
    /// How long a new entitlement waits for keys older than itself.
    #[must_use]
    pub const fn grant_delay(&self) -> Duration {
        Duration::from_secs(self.wire.grant_delay_s)
    }
    /// After how long a silent registrar is stale; `None` for never.
    #[must_use]
    pub fn stale_after(&self) -> Option<Duration> {
        (self.wire.stale_after_s > 0).then(|| Duration::from_secs(self.wire.stale_after_s))
    }
    /// What staleness does.
    #[must_use]
    pub fn staleness(&self) -> StalenessPolicy {
        self.wire.staleness()
    }
    /// The arrangement members accept.
    #[must_use]
    pub const fn arrangement(&self) -> &schema::Document {
        &self.arrangement
    }
    /// The rules of conduct members accept.
    #[must_use]
    pub const fn rules(&self) -> &schema::Document {
        &self.rules
    }
    /// By when members must have accepted both documents; `None` if nobody is asked.
    #[must_use]
    pub const fn accept_by(&self) -> Option<Timestamp> {
        match self.wire.accept_by {
            0 => None,
            micros => Some(Timestamp::from_micros(micros)),
        }
    }
    /// What becomes of a member that has not.
    #[must_use]
    pub fn unaccepted(&self) -> AcceptancePolicy {
        self.wire.unaccepted()
    }
    /// Whether whoever publishes past a guard says why in the message.
    #[must_use]
    pub const fn asks_reasons(&self) -> bool {
        self.wire.ask_reasons
    }
    /// Orders the log.
    #[must_use]
    pub const fn registrar(&self) -> PublicKey {
        self.registrar
    }
    /// May sign statements.
    #[must_use]
    pub const fn admins(&self) -> &BTreeSet<PublicKey> {
        &self.admins
    }
    /// When admin keys end that this version lets end: what they sign from then on decides nothing.
    #[must_use]
    pub const fn admin_ends(&self) -> &BTreeMap<PublicKey, Timestamp> {
        &self.admin_ends
    }
    /// Admin keys that an action needs.
    #[must_use]
    pub fn threshold(&self, action: Action) -> u32 {
        match action {
            // The member decided it, and its signature is inside; the admin only files it.
            Action::Accept => 1,
            // It says what an issue says.
            Action::Amend => self.threshold(Action::Issue),
            // Every other action is listed: checked. An unlisted one could never pass.
            _ => self.thresholds.get(&action).copied().unwrap_or(u32::MAX),
        }
    }
    /// Threshold and keys that sign charters.
    #[must_use]
    pub const fn root(&self) -> (u32, &BTreeSet<PublicKey>) {
        (self.root.0, &self.root.1)
    }
    /// The log's surviving head when this version was made.
    #[must_use]
    pub const fn pin(&self) -> Option<RosterVersion> {
        self.pin
    }

    /// Its fields as encoded, for whoever shows or compares versions.
    #[must_use]
    pub const fn wire(&self) -> &schema::Charter {
        &self.wire
    }

    fn all_keys(&self) -> BTreeSet<PublicKey> {
        self.root.1.iter().chain(&self.admins).chain([&self.registrar]).copied().collect()
    }
}

fn keys(role: &'static str, raw: &[Vec<u8>]) -> Result<BTreeSet<PublicKey>, CharterError> {
    let mut keys = BTreeSet::new();
    for bytes in raw {
        let key = PublicKey::from_slice(bytes).map_err(|error| CharterError::Key { role, error })?;
        if !keys.insert(key) {
            return Err(CharterError::TwoRoles(key));
        }
    }
    Ok(keys)
}

/// Ends of admin keys, beside which stand none or one for each.
fn admin_ends(
    admins: &schema::AdminKeys,
    issued: u64,
) -> Result<BTreeMap<PublicKey, Timestamp>, CharterError> {
    let rule = |rule| CharterError::from(Malformed::field(WHAT, "admins.not_after", rule));
    if admins.not_after.is_empty() {
        return Ok(BTreeMap::new());
    }
    if admins.not_after.len() != admins.keys.len() || admins.not_after.iter().all(|end| *end == 0) {
        return Err(rule("must be absent, or one for each key, and not all 0"));
    }
    let ends = admins.keys.iter().zip(&admins.not_after).filter(|(_, end)| **end != 0);
    ends.map(|(key, end)| {
        let key = PublicKey::from_slice(key).map_err(|error| CharterError::Key { role: "admin", error })?;
        if *end <= issued || *end > Timestamp::MAX.as_micros() {
            return Err(rule("must lie after issued, and not beyond year 9999"));
        }
        Ok((key, Timestamp::from_micros(*end)))
    })
    .collect()
}

fn threshold(role: &'static str, threshold: u32, keys: usize) -> Result<(), CharterError> {
    if threshold == 0 || usize::try_from(threshold).is_ok_and(|t| t > keys) {
        return Err(CharterError::Threshold { role, threshold, keys });
    }
    Ok(())
}

/// Every action that a charter gives a threshold, in the schema's order.
pub const ACTIONS: [Action; 9] = [
    Action::Issue,
    Action::Renew,
    Action::Supersede,
    Action::Suspend,
    Action::Resume,
    Action::Revoke,
    Action::Entitle,
    Action::Disentitle,
    Action::ExtendCut,
];

fn action_thresholds(
    rows: &[schema::ActionThreshold],
    keys: usize,
) -> Result<BTreeMap<Action, u32>, CharterError> {
    let mut thresholds = BTreeMap::new();
    for row in rows {
        let action = Action::try_from(row.action)
            .ok()
            .filter(|action| ACTIONS.contains(action))
            .ok_or(Malformed::field(WHAT, "thresholds", "must name known actions"))?;
        threshold(action.as_str_name(), row.threshold, keys)?;
        if thresholds.insert(action, row.threshold).is_some() {
            return Err(CharterError::ActionThreshold(action));
        }
    }
    match ACTIONS.iter().find(|action| !thresholds.contains_key(action)) {
        Some(missing) => Err(CharterError::ActionThreshold(*missing)),
        None => Ok(thresholds),
    }
}

fn check_groups(wire: &[schema::FocusGroup]) -> Result<Vec<Group>, CharterError> {
    if wire.is_empty() || wire.len() > MAX_GROUPS {
        return Err(Malformed::field(WHAT, "groups", "must be 1 to 256").into());
    }
    let mut groups: Vec<Group> = Vec::with_capacity(wire.len());
    for group in wire {
        let checked =
            check_group(group).map_err(|rule| CharterError::Group { slug: group.slug.clone(), rule })?;
        let clashes = groups.iter().any(|other| other.id == checked.id || other.slug == checked.slug);
        // A circle comes after its group, and lies in no other circle.
        let orphan = checked
            .parent
            .is_some_and(|id| !groups.iter().any(|other| other.id == id && other.parent.is_none()));
        if clashes || orphan {
            let rule =
                if clashes { "id or slug is taken" } else { "parent must be a Focus Group listed before it" };
            return Err(CharterError::Group { slug: checked.slug, rule });
        }
        groups.push(checked);
    }
    Ok(groups)
}

fn check_group(wire: &schema::FocusGroup) -> Result<Group, &'static str> {
    let slug_ok = !wire.slug.is_empty()
        && wire.slug.len() <= 64
        && wire.slug.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !wire.slug.starts_with('-');
    if wire.id == 0 {
        return Err("id must not be 0, which is the admin topic");
    }
    if !slug_ok {
        return Err("slug must be lower-case letters, digits and hyphens, at most 64");
    }
    if wire.name.is_empty() || wire.name.len() > MAX_TEXT || wire.description.len() > MAX_TEXT {
        return Err("name must not be empty, nor name or description over 4096 bytes");
    }
    let mut admits = BTreeSet::new();
    for class in &wire.admits {
        let class = EntityClass::try_from(*class).map_err(|_| "admits an unknown class")?;
        if class == EntityClass::Unspecified || !admits.insert(class) {
            return Err("admits an unspecified class, or one twice");
        }
    }
    let may_publish = Role::try_from(wire.may_publish).map_err(|_| "may_publish is unknown")?;
    if may_publish == Role::Unspecified {
        return Err("may_publish must be set");
    }
    let history = match HistoryPolicy::try_from(wire.history) {
        Ok(HistoryPolicy::None) => History::None,
        Ok(HistoryPolicy::Window) if wire.history_window_s > 0 => {
            History::Window(Duration::from_secs(wire.history_window_s))
        }
        Ok(HistoryPolicy::All) => History::All,
        Ok(HistoryPolicy::Window | HistoryPolicy::Unspecified) | Err(_) => {
            return Err("history must be none, all, or window with its length");
        }
    };
    let max_tlp = Tlp::try_from(wire.max_tlp).map_err(|_| "max_tlp is unknown")?;
    if max_tlp == Tlp::Unspecified {
        return Err("max_tlp must be set");
    }
    let default_purpose =
        schema::Purpose::try_from(wire.default_purpose).map_err(|_| "default_purpose is unknown")?;
    if default_purpose == schema::Purpose::Unspecified {
        return Err("default_purpose must be set");
    }
    if wire.messages_per_hour == 0 || wire.bytes_per_hour == 0 {
        return Err("quotas must not be 0");
    }
    Ok(Group {
        id: GroupId::new(wire.id),
        slug: wire.slug.clone(),
        name: wire.name.clone(),
        description: wire.description.clone(),
        parent: (wire.parent != 0).then(|| GroupId::new(wire.parent)),
        admits,
        may_publish,
        history,
        retention: (wire.retention_s > 0).then(|| Duration::from_secs(wire.retention_s)),
        max_tlp,
        messages_per_hour: wire.messages_per_hour,
        bytes_per_hour: wire.bytes_per_hour,
        default_purpose,
    })
}
