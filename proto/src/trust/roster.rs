//! The roster: the admin log's fold, and every question one asks of it.
//!
//! A pure function of charters and records. A record that the registrar ordered but whose statement
//! breaks a rule is *void*: it keeps its height, changes nothing, and is void on every node alike, so a
//! bad statement can neither stall the log nor split the coalition.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

pub use super::{
    acceptance::Accepted,
    closure::Closure,
    cut::CutStatus,
    fold::{Conflict, Void, VoidReason},
    readers::{Reader, Since},
};
use crate::{
    crypto::sign::PublicKey,
    id::{CoalitionId, EntryId, GroupId, Height, MemberId, RosterVersion, Serial, StatementId},
    schema::{self, AcceptancePolicy, Role},
    time::Timestamp,
    trust::{
        certificate::{self, Certificate},
        charter::{Charter, CharterChain, CharterError},
        cut::Cut,
        fold,
        log::{LogError, VerifiedRecord},
        on_sight::{OnSight, RemovalSeen},
        statement::{Decision, Statement, Subject},
    },
};

/// What a certificate may do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Everything it grants.
    Valid,
    /// Not yet.
    NotYet,
    /// No longer: its time is over. What was created before stays valid.
    Expired,
    /// For now nothing.
    Suspended,
    /// Nothing more.
    Revoked,
    /// Nothing more: newer keys took its place.
    Superseded,
    /// There is no such certificate.
    Unknown,
}

impl Standing {
    /// The word for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::NotYet => "not yet valid",
            Self::Expired => "expired",
            Self::Suspended => "suspended",
            Self::Revoked => "revoked",
            Self::Superseded => "superseded",
            Self::Unknown => "unknown",
        }
    }
}

/// An organisation, over all its certificates.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Its id.
    pub id: MemberId,
    /// As its newest certificate says, or as it was amended since.
    pub organisation: schema::Organisation,
    /// Its certificates, oldest first.
    pub serials: Vec<Serial>,
    /// Every acceptance of the coalition's texts, oldest first.
    pub accepted: Vec<Accepted>,
    /// What its next statement names as previous.
    pub last_statement: StatementId,
}

/// What the log did to a certificate besides issuing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Active,
    Suspended,
    Revoked { effective: Timestamp, is_announced: bool },
    Superseded,
}

impl Status {
    /// Whether a revocation holds at `at`. Only an end that was announced for later waits for its moment: any other holds wherever it
    /// is known, or a clock that is behind, as honest ones may be, would give the removed another key.
    pub(super) fn is_revoked_at(self, at: Timestamp) -> bool {
        match self {
            Self::Revoked { effective, is_announced } => !is_announced || at >= effective,
            Self::Active | Self::Suspended | Self::Superseded => false,
        }
    }
}

/// A cut, and from which height on new logs are free of it.
#[derive(Clone, Debug)]
pub(super) struct AppliedCut {
    pub(super) cut: Cut,
    pub(super) lifted: Option<Height>,
}

#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) certificate: Certificate,
    pub(super) status: Status,
    pub(super) cuts: Vec<AppliedCut>,
    /// Every change of a role, oldest first: what a steward did while it was one stays done.
    pub(super) roles: Vec<(Height, GroupId, Option<Role>)>,
}

impl Held {
    /// Whether it was over before any revocation of it took effect: suspended, or with another in its place.
    pub(super) fn was_over(&self) -> bool {
        match self.status {
            Status::Suspended | Status::Superseded => true,
            Status::Revoked { effective, .. } => effective == Timestamp::ZERO,
            Status::Active => false,
        }
    }

    /// What the newest cut keeps that closes all its logs and was not lifted since.
    pub(super) fn kept(&self) -> Vec<schema::CutPoint> {
        let mut cuts = self.cuts.iter().rev();
        let Some(newest) = cuts.find(|applied| applied.lifted.is_none() && applied.cut.is_whole()) else {
            return Vec::new();
        };
        let points = newest.cut.points().map(|(log, sequence, message)| schema::CutPoint {
            log: log.to_vec(),
            sequence: sequence.get(),
            message: message.to_vec(),
        });
        points.collect()
    }
}

/// What the fold has made of the records so far.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) entries: Vec<EntryId>,
    /// Shared with every copy of the roster until one of them changes it: a node copies the roster for each advance.
    pub(super) certificates: BTreeMap<Serial, Arc<Held>>,
    pub(super) members: BTreeMap<MemberId, Arc<Member>>,
    pub(super) nodes: BTreeMap<PublicKey, Serial>,
    /// Signing and node keys, and hashes of KEM keys, of every certificate there ever was.
    pub(super) keys: BTreeSet<[u8; 32]>,
    pub(super) statements: BTreeSet<StatementId>,
    pub(super) entitled: BTreeMap<(MemberId, GroupId), Since>,
    pub(super) voids: Vec<Void>,
    /// Theirs, to be found in.
    pub(super) void_statements: BTreeSet<StatementId>,
}

impl State {
    /// Whom a statement is about; `None` for a certificate that there is not.
    pub(super) fn member_of(&self, statement: &Statement) -> Option<MemberId> {
        match statement.subject()? {
            Subject::Member(member) => Some(member),
            Subject::Certificate(serial) => Some(self.certificates.get(&serial)?.certificate.member),
        }
    }
}

/// The fold, at one position of the log.
#[derive(Clone, Debug)]
pub struct Roster {
    charters: CharterChain,
    records: Vec<Arc<VerifiedRecord>>,
    pub(super) state: State,
    pub(super) on_sight: OnSight,
}

impl Roster {
    /// The empty log under a chain of charters.
    #[must_use]
    pub fn new(charters: CharterChain) -> Self {
        Self::of(charters, State::default())
    }

    /// A fold that came about otherwise than record by record.
    pub(super) fn of(charters: CharterChain, state: State) -> Self {
        Self { charters, records: Vec::new(), state, on_sight: OnSight::default() }
    }

    /// Folds the next record. A void statement is folded too, and listed in [`Self::voids`].
    ///
    /// # Errors
    /// [`LogError`]; the roster is as before.
    pub fn apply(&mut self, record: VerifiedRecord) -> Result<(), LogError> {
        self.apply_shared(Arc::new(record))
    }

    fn apply_shared(&mut self, record: Arc<VerifiedRecord>) -> Result<(), LogError> {
        let have = self.version();
        if record.height.get() != have.height.get() + 1 {
            return Err(LogError::Height { have: have.height, found: record.height });
        }
        if record.prev != have.head {
            return Err(LogError::Fork(record.height));
        }
        fold::check_order(&self.charters, &record)?;
        fold::fold(&mut self.state, &self.charters, &record);
        self.records.push(record);
        self.settle_on_sight();
        Ok(())
    }

    /// Whether a statement would take effect as the log's next entry: asked before it is signed or ordered.
    ///
    /// # Errors
    /// [`VoidReason`].
    pub fn preview(&self, statement: &Statement) -> Result<(), VoidReason> {
        self.ahead().take(statement)
    }

    /// Takes the next charter and folds the log again under it: its pin decides which branch survives and
    /// from where on its keys rule.
    ///
    /// Where the pin contradicts our branch, the log is cut back to the last height an older charter
    /// pinned; sync brings the surviving branch.
    ///
    /// # Errors
    /// [`CharterError`]; the roster is as before.
    pub fn apply_charter(&mut self, next: schema::Signed) -> Result<(), CharterError> {
        let mut charters = self.charters.clone();
        charters.extend(next)?;
        let pinned_before = self.charters.newest().pin().map_or(0, |pin| pin.height.get());
        let survives = charters
            .newest()
            .pin()
            .is_none_or(|pin| pin.height > self.version().height || self.is_prefix(pin));
        let keep =
            if survives { self.records.len() } else { usize::try_from(pinned_before).unwrap_or(usize::MAX) };
        let mut folded = Self::new(charters);
        for record in self.records.iter().take(keep) {
            // Already in order; stops at a record that the new charter's registrar did not sign.
            if folded.apply_shared(Arc::clone(record)).is_err() {
                break;
            }
        }
        folded.on_sight = std::mem::take(&mut self.on_sight);
        folded.settle_on_sight();
        *self = folded;
        Ok(())
    }

    /// Every charter.
    #[must_use]
    pub const fn charters(&self) -> &CharterChain {
        &self.charters
    }
    /// The charter in force.
    #[must_use]
    pub fn charter(&self) -> &Charter {
        self.charters.newest()
    }
    /// The coalition.
    #[must_use]
    pub const fn coalition(&self) -> CoalitionId {
        self.charters.coalition()
    }
    /// Every record folded, oldest first.
    pub fn records(&self) -> impl Iterator<Item = &VerifiedRecord> {
        self.records.iter().map(Arc::as_ref)
    }
    /// Statements that took no effect, and why.
    #[must_use]
    pub fn voids(&self) -> &[Void] {
        &self.state.voids
    }

    /// Removals of the log that take nothing away because a charter that pins an earlier entry came after them, although their
    /// certificates are good and nobody decided on them since. Root holders may mean that; if the charter was made where the
    /// removal was not known, they do not.
    #[must_use]
    pub fn undone_removals(&self, now: Timestamp) -> Vec<RemovalSeen> {
        let undone = self.voids().iter().filter(|void| matches!(void.reason, VoidReason::OldCharter(_)));
        undone.filter_map(|void| self.undone(void.height, now)).collect()
    }

    fn undone(&self, height: Height, now: Timestamp) -> Option<RemovalSeen> {
        let index = usize::try_from(height.get()).ok()?.checked_sub(1)?;
        let removal = RemovalSeen::of(self.records.get(index)?)?;
        let serial = removal.serial()?;
        let held = self.certificate(serial)?;
        let takes = if let Decision::Disentitle(disentitle) = removal.decision() {
            disentitle.groups.iter().any(|id| held.groups.contains_key(&GroupId::new(*id)))
        } else {
            true
        };
        let is_of_it = |later: &VerifiedRecord| {
            later.statement.subject() == Some(Subject::Certificate(serial))
                && self.state.statements.contains(&later.statement.id)
        };
        let is_decided_anew = self.records.iter().skip(index).any(|later| is_of_it(later));
        (takes && !is_decided_anew && self.standing(serial, now) == Standing::Valid).then_some(removal)
    }

    /// Which roster this is.
    #[must_use]
    pub fn version(&self) -> RosterVersion {
        RosterVersion {
            height: Height::new(self.state.entries.len() as u64),
            head: self.state.entries.last().copied().unwrap_or(EntryId::ZERO),
        }
    }

    /// Whether `version` is this log at an earlier height, or now.
    #[must_use]
    pub fn is_prefix(&self, version: RosterVersion) -> bool {
        match version.height.get().checked_sub(1) {
            None => version.head == EntryId::ZERO,
            Some(index) => {
                usize::try_from(index).ok().and_then(|i| self.state.entries.get(i)) == Some(&version.head)
            }
        }
    }

    /// A certificate, whatever its standing.
    #[must_use]
    pub fn certificate(&self, serial: Serial) -> Option<&Certificate> {
        self.state.certificates.get(&serial).map(|held| &held.certificate)
    }
    /// Every certificate ever issued.
    pub fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        self.state.certificates.values().map(|held| &held.certificate)
    }
    /// The certificate of a node key.
    #[must_use]
    pub fn by_node(&self, node: &PublicKey) -> Option<&Certificate> {
        self.certificate(*self.state.nodes.get(node)?)
    }
    /// A member.
    #[must_use]
    pub fn member(&self, id: MemberId) -> Option<&Member> {
        self.state.members.get(&id).map(Arc::as_ref)
    }
    /// Keys that sign for a member: those of its certificates that count.
    pub(super) fn signing_keys(&self, of: &Member, counts: impl Fn(Serial) -> bool) -> BTreeSet<PublicKey> {
        let certificates = of.serials.iter().filter(|serial| counts(**serial));
        certificates
            .filter_map(|serial| self.certificate(*serial))
            .map(|certificate| certificate.signing)
            .collect()
    }

    /// Every member.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.state.members.values().map(Arc::as_ref)
    }

    /// What a certificate may do at `now`, by the log and by every removal seen.
    #[must_use]
    pub fn standing(&self, serial: Serial, now: Timestamp) -> Standing {
        let Some(held) = self.state.certificates.get(&serial) else { return Standing::Unknown };
        match held.status {
            revoked if revoked.is_revoked_at(now) => Standing::Revoked,
            Status::Superseded => Standing::Superseded,
            Status::Suspended => Standing::Suspended,
            Status::Revoked { .. } | Status::Active => {
                let certificate = &held.certificate;
                if let Some(removed) = self.on_sight.standing(serial, now) {
                    removed
                } else if now < certificate.not_before {
                    Standing::NotYet
                } else if now >= certificate.not_after {
                    Standing::Expired
                } else {
                    Standing::Valid
                }
            }
        }
    }

    /// From when on a certificate is no more, by a decision taken already; what merely runs out is not told.
    #[must_use]
    pub fn ends(&self, serial: Serial) -> Option<Timestamp> {
        match self.state.certificates.get(&serial)?.status {
            Status::Revoked { effective, .. } => Some(effective),
            Status::Active | Status::Suspended | Status::Superseded => None,
        }
    }

    /// The moment still to come from which on a certificate is no more, by a decision taken already.
    #[must_use]
    pub fn announced_end(&self, serial: Serial, now: Timestamp) -> Option<Timestamp> {
        let revoked = self.state.certificates.get(&serial)?.status.is_revoked_at(now);
        self.ends(serial).filter(|_| !revoked)
    }

    /// Whether a node gets the full protocols.
    #[must_use]
    pub fn is_admitted(&self, node: &PublicKey, now: Timestamp) -> bool {
        self.state.nodes.get(node).is_some_and(|serial| self.standing(*serial, now) == Standing::Valid)
    }

    /// Every node that does.
    #[must_use]
    pub fn admitted_nodes(&self, now: Timestamp) -> BTreeSet<PublicKey> {
        self.state
            .nodes
            .iter()
            .filter(|(_, serial)| self.standing(**serial, now) == Standing::Valid)
            .map(|(node, _)| *node)
            .collect()
    }

    /// A certificate's role in a group; `None` unless it is valid, the charter in force still admits it, and does not
    /// keep it out for texts it has not accepted. A removal seen takes it, too.
    #[must_use]
    pub fn role(&self, serial: Serial, group: GroupId, now: Timestamp) -> Option<Role> {
        let certificate = self.certificate(serial)?;
        let role = *certificate.groups.get(&group)?;
        let admitted = certificate::admits(self.charter().group(group)?, &certificate.organisation);
        let kept_out =
            self.overdue(certificate.member, self.charter(), now) == Some(AcceptancePolicy::Suspend);
        let taken = self.on_sight.takes_group(serial, group);
        (admitted && !kept_out && !taken && self.standing(serial, now) == Standing::Valid).then_some(role)
    }

    /// The role that the log had given a certificate at `height`, whatever became of it since.
    #[must_use]
    pub fn role_at(&self, serial: Serial, group: GroupId, height: Height) -> Option<Role> {
        let roles = &self.state.certificates.get(&serial)?.roles;
        roles.iter().rev().find(|(since, of, _)| *of == group && *since <= height)?.2
    }

    /// Whether a certificate may publish in a group.
    #[must_use]
    pub fn may_publish(&self, serial: Serial, group: GroupId, now: Timestamp) -> bool {
        let Some(certificate) = self.certificate(serial) else { return false };
        let overdue = self.overdue(certificate.member, self.charter(), now);
        !matches!(overdue, Some(AcceptancePolicy::StopPublishing | AcceptancePolicy::Suspend))
            && self.may_withdraw(serial, group, now)
    }

    /// Whether a certificate may take back messages in a group: who may publish there, and who may not only because
    /// its publishing was stopped for texts it has not accepted.
    #[must_use]
    pub fn may_withdraw(&self, serial: Serial, group: GroupId, now: Timestamp) -> bool {
        let least = self.charter().group(group).map(|g| g.may_publish);
        least.is_some() && self.role(serial, group, now) >= least
    }

    /// Whether a certificate was over before any revocation of it took effect: suspended, or with another in its place. An
    /// end that is announced for it keeps nothing.
    #[must_use]
    pub fn was_over(&self, serial: Serial) -> bool {
        self.state.certificates.get(&serial).is_some_and(|held| held.was_over())
    }

    /// The last messages that the newest cut of all a certificate's logs keeps; none without such a cut.
    #[must_use]
    pub fn kept(&self, serial: Serial) -> Vec<schema::CutPoint> {
        self.state.certificates.get(&serial).map(|held| held.kept()).unwrap_or_default()
    }

    /// Whether any cut closes logs of a certificate.
    #[must_use]
    pub fn is_cut(&self, serial: Serial) -> bool {
        self.state.certificates.get(&serial).is_some_and(|held| !held.cuts.is_empty())
    }
}
