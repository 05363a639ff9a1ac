//! Removals seen that our log has not decided on: they take away at once, and nothing else does.
//!
//! ```text
//! record of another branch, or ahead of our log ──┐
//! statement that nobody ordered, if we are forked ┴─▶ RemovalSeen ─see─▶ standing, role, readers
//!                       our log decides on it │ the newest charter's pin is reached ─▶ forgotten
//! ```
//!
//! Whose word it is: the admins', to the charter's threshold. Where the registrar signed two logs, the half of the coalition
//! that was shown the other one must not go on giving keys to a member that was removed there, until root holders have met.
//! What is seen answers questions of *now* alone: who is let in, who reads, who publishes. The fold, and with it what belongs
//! into a log, which cut closes it and who was what at a height, knows nothing of it, because another node may never see it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    id::{CoalitionId, GroupId, Height, Serial, StatementId},
    schema::{self, Malformed},
    time::Timestamp,
    trust::{
        charter::CharterChain,
        log::{VerifiedRecord, signed_by_admins},
        roster::{Roster, Standing, Status},
        signed::SignedError,
        statement::{Decision, Statement},
    },
    verdict::{Judged, Verdict},
};

/// Removals held at a time; where they are revocations, twice as many. Each bears the charter's threshold of the admins'
/// signatures, which for suspensions and disentitlements may be one: without a bound a single admin's key fills memory, and
/// without the other half it keeps revocations out.
pub const MAX_SEEN: usize = 1024;

/// A removal that enough admins signed, whether or not a registrar ordered it.
#[derive(Clone, Debug)]
pub struct RemovalSeen {
    statement: Statement,
    record: schema::Record,
}

/// Why a statement without its entry removes nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnorderedError {
    /// Bytes.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Of another coalition.
    #[error("statement of coalition {0}, not ours")]
    OtherCoalition(CoalitionId),
    /// Everything else waits for its place in the log.
    #[error("only revocations, suspensions and disentitlements count before the registrar has ordered them")]
    NotARemoval,
    /// Made under a charter that is not here.
    #[error("the statement was made under charter version {0}, which we do not have yet")]
    CharterAhead(u64),
    /// Too few admins signed, or keys without a say did.
    #[error("the admins' signatures: {0}")]
    Admins(#[from] SignedError),
    /// The registrar's order is not in doubt.
    #[error(
        "the admin log is not forked here: what the admins sign takes effect once the registrar has ordered it"
    )]
    NotForked,
}

impl Judged for UnorderedError {
    fn verdict(&self) -> Verdict {
        match self {
            Self::Malformed(_) => Verdict::Reject,
            // Charters and proofs reach nodes at different times.
            Self::OtherCoalition(_)
            | Self::NotARemoval
            | Self::CharterAhead(_)
            | Self::Admins(_)
            | Self::NotForked => Verdict::Ignore,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "statement-malformed",
            Self::OtherCoalition(_) => "other-coalition",
            Self::NotARemoval => "statement-unordered",
            Self::CharterAhead(_) => "statement-charter-ahead",
            Self::Admins(_) => "statement-admins",
            Self::NotForked => "statement-not-forked",
        }
    }
}

impl RemovalSeen {
    /// The removal that a verified record holds, if it holds one.
    #[must_use]
    pub fn of(record: &VerifiedRecord) -> Option<Self> {
        let (statement, record) = (record.statement.clone(), record.record.clone());
        statement.is_removal().then_some(Self { statement, record })
    }

    /// Verifies a removal that stands in no entry: whether the log is forked is for the caller to know.
    ///
    /// # Errors
    /// [`UnorderedError`], never [`UnorderedError::NotForked`].
    pub fn unordered(charters: &CharterChain, signed: &schema::Signed) -> Result<Self, UnorderedError> {
        let statement = Statement::decode(&signed.payload)?;
        if statement.coalition != charters.coalition() {
            return Err(UnorderedError::OtherCoalition(statement.coalition));
        }
        if !statement.is_removal() {
            return Err(UnorderedError::NotARemoval);
        }
        let version = statement.charter_version;
        let charter = charters.version(version).ok_or(UnorderedError::CharterAhead(version))?;
        signed_by_admins(charter, charters.coalition(), &statement, signed)?;
        Ok(Self { statement, record: schema::Record { entry: None, statement: Some(signed.clone()) } })
    }

    /// Its statement's id.
    #[must_use]
    pub const fn id(&self) -> StatementId {
        self.statement.id
    }

    /// As it came; without an entry if nobody ordered it.
    #[must_use]
    pub const fn record(&self) -> &schema::Record {
        &self.record
    }

    /// What it says.
    #[must_use]
    pub const fn decision(&self) -> &Decision {
        &self.statement.decision
    }

    /// Whether it takes a certificate away for good.
    #[must_use]
    pub const fn is_revocation(&self) -> bool {
        matches!(self.statement.decision, Decision::Revoke(_))
    }

    /// The certificate it is about.
    #[must_use]
    pub fn serial(&self) -> Option<Serial> {
        match &self.statement.decision {
            Decision::Revoke(revoke) => Some(Serial::new(revoke.serial)),
            Decision::Suspend(suspend) => Some(Serial::new(suspend.serial)),
            Decision::Disentitle(disentitle) => Some(Serial::new(disentitle.serial)),
            Decision::Issue(_)
            | Decision::Renew(_)
            | Decision::Supersede(_)
            | Decision::Resume(_)
            | Decision::Entitle(_)
            | Decision::ExtendCut(_)
            | Decision::Amend(_)
            | Decision::Accept(_) => None,
        }
    }
}

/// Removals held, and what they come to with the log as it stands.
#[derive(Clone, Debug, Default)]
pub(super) struct OnSight {
    seen: BTreeMap<StatementId, Arc<RemovalSeen>>,
    /// The lowest height at which the registrar is known to have signed two entries, above the newest charter's pin.
    forked_at: Option<Height>,
    taken: Taken,
    /// A page of records is being folded: what they settle is looked at once it is.
    is_deferred: bool,
}

/// What is taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Taken {
    suspended: BTreeSet<Serial>,
    /// From when on; from the beginning of time unless it was announced for later.
    revoked: BTreeMap<Serial, Timestamp>,
    groups: BTreeSet<(Serial, GroupId)>,
}

impl OnSight {
    /// What became of a certificate that the log holds for active.
    pub(super) fn standing(&self, serial: Serial, now: Timestamp) -> Option<Standing> {
        if self.taken.revoked.get(&serial).is_some_and(|effective| now >= *effective) {
            return Some(Standing::Revoked);
        }
        self.taken.suspended.contains(&serial).then_some(Standing::Suspended)
    }

    /// Whether a group was taken from a certificate.
    pub(super) fn takes_group(&self, serial: Serial, group: GroupId) -> bool {
        self.taken.groups.contains(&(serial, group))
    }

    /// Whether one more may be held.
    fn has_room(&self, seen: &RemovalSeen) -> bool {
        let most = if seen.is_revocation() { 2 * MAX_SEEN } else { MAX_SEEN };
        self.seen.len() < most
    }

    fn is_idle(&self) -> bool {
        self.seen.is_empty() && self.forked_at.is_none()
    }
}

impl Roster {
    /// Whether a removal may be news: our log has not decided on it, and the charter in force is the one it was made
    /// under. Cheap; [`Self::see`] says whether it takes anything away.
    #[must_use]
    pub fn may_be_news(&self, seen: &RemovalSeen) -> bool {
        // Who was an admin by an older charter may have been taken out of this one for what its keys sign now.
        seen.statement.charter_version == self.charter().version() && !self.knows_removal(seen.id())
    }

    /// Whether nothing is left to do about a removal: it is held, or our log has decided on it.
    #[must_use]
    pub fn knows_removal(&self, statement: StatementId) -> bool {
        self.on_sight.seen.contains_key(&statement) || self.has_decided(statement)
    }

    /// Whether the registrar of today ordered it. With a former one's key anything may stand at any height, so that says no
    /// more than the admins' signatures do.
    #[must_use]
    pub fn is_ordered(&self, seen: &RemovalSeen) -> bool {
        let registrar = self.charter().registrar();
        let signer = seen.record.entry.as_ref().and_then(|entry| entry.signatures.first());
        signer.is_some_and(|signer| signer.key.as_slice() == registrar.as_bytes().as_slice())
    }

    /// Takes up a removal. False, and nothing is kept, if it takes nothing away that is not gone already, or if as many are
    /// held as there is room for: [`MAX_SEEN`].
    pub fn see(&mut self, seen: RemovalSeen) -> bool {
        if !self.may_be_news(&seen) || !self.on_sight.has_room(&seen) {
            return false;
        }
        let (id, before) = (seen.id(), self.on_sight.taken.clone());
        self.on_sight.seen.insert(id, Arc::new(seen));
        self.weigh();
        let takes = self.on_sight.taken != before;
        if !takes {
            self.on_sight.seen.remove(&id);
        }
        takes
    }

    /// Takes up again what was kept over a restart, revocations first; what is settled meanwhile is left out.
    pub fn see_again(&mut self, kept: impl IntoIterator<Item = RemovalSeen>) {
        let open = kept.into_iter().filter(|seen| self.is_open(seen));
        let (revocations, others): (Vec<_>, Vec<_>) = open.partition(RemovalSeen::is_revocation);
        for seen in revocations.into_iter().chain(others) {
            if self.on_sight.has_room(&seen) {
                self.on_sight.seen.insert(seen.id(), Arc::new(seen));
            }
        }
        self.weigh();
    }

    /// Heights at which the registrar is proven to have signed two entries. Certificates issued from the lowest one on have
    /// numbers that mean another on the other branch.
    pub fn fork_proven(&mut self, heights: impl IntoIterator<Item = Height>) {
        let pinned = self.pinned();
        self.on_sight.forked_at = heights.into_iter().filter(|height| *height > pinned).min();
        self.weigh();
    }

    /// Whether the log is known to be forked above the newest charter's pin.
    #[must_use]
    pub const fn is_forked(&self) -> bool {
        self.on_sight.forked_at.is_some()
    }

    /// Every removal that holds by sight alone.
    pub fn removals_seen(&self) -> impl Iterator<Item = &RemovalSeen> {
        self.on_sight.seen.values().map(Arc::as_ref)
    }

    /// Whether a certificate, or its place in a group, is gone by sight alone: what it writes waits until the log or a
    /// charter says what stands of it.
    #[must_use]
    pub fn is_removed_on_sight(&self, serial: Serial, group: GroupId, now: Timestamp) -> bool {
        self.on_sight.takes_group(serial, group) || self.on_sight.standing(serial, now).is_some()
    }

    /// Whether both say the same of everybody: one log, and the same removals seen.
    #[must_use]
    pub fn stands_as(&self, other: &Self) -> bool {
        self.version() == other.version() && self.on_sight.taken == other.on_sight.taken
    }

    /// Leaves what is held as it is until [`Self::settle`], for as long as a page of records is folded: the records of one
    /// settle the same, looked at one by one or once.
    pub const fn settle_later(&mut self) {
        self.on_sight.is_deferred = true;
    }

    /// Looks at what is held, after [`Self::settle_later`].
    pub fn settle(&mut self) {
        self.on_sight.is_deferred = false;
        self.settle_on_sight();
    }

    /// Looks at what is held again, now that log or charters have gone on.
    pub(super) fn settle_on_sight(&mut self) {
        if self.on_sight.is_deferred || self.on_sight.is_idle() {
            return;
        }
        let (mut seen, pinned) = (std::mem::take(&mut self.on_sight.seen), self.pinned());
        seen.retain(|_, seen| self.is_open(seen));
        self.on_sight.seen = seen;
        self.on_sight.forked_at.take_if(|height| *height <= pinned);
        self.weigh();
    }

    fn pinned(&self) -> Height {
        self.charter().pin().map_or(Height::new(0), |pin| pin.height)
    }

    /// Neither the log nor a charter has settled it. Between a charter and the branch it pins, which is still on its way, what
    /// was seen before goes on to hold: that branch may be the one with the removal.
    fn is_open(&self, seen: &RemovalSeen) -> bool {
        let is_current = seen.statement.charter_version >= self.charter().version();
        (is_current || self.version().height < self.pinned()) && !self.has_decided(seen.id())
    }

    fn has_decided(&self, statement: StatementId) -> bool {
        self.state.statements.contains(&statement) || self.state.void_statements.contains(&statement)
    }

    /// What the removals held take from certificates as the log has them, by the rules of the fold.
    fn weigh(&mut self) {
        let mut taken = Taken::default();
        for seen in self.on_sight.seen.values() {
            let Some(serial) = seen.serial() else { continue };
            let Some(held) = self.state.certificates.get(&serial) else { continue };
            let is_the_same = self.on_sight.forked_at.is_none_or(|fork| serial.get() < fork.get());
            match &seen.statement.decision {
                // It names the member as well, so a number that two branches gave twice misleads nobody.
                Decision::Revoke(revoke) if held.certificate.member.as_ref() == revoke.member.as_slice() => {
                    let effective = match held.status {
                        Status::Suspended | Status::Superseded => Timestamp::ZERO,
                        Status::Active | Status::Revoked { .. } => Timestamp::from_micros(revoke.effective),
                    };
                    // Only an end announced for later waits for its moment.
                    let is_announced = effective > seen.statement.made;
                    let takes_no_more = match held.status {
                        Status::Revoked { effective: earlier, is_announced: was_announced } => {
                            earlier <= effective && (is_announced || !was_announced)
                        }
                        Status::Active | Status::Suspended | Status::Superseded => false,
                    };
                    if !takes_no_more {
                        let from = if is_announced { effective } else { Timestamp::ZERO };
                        let first = taken.revoked.entry(serial).or_insert(from);
                        *first = from.min(*first);
                    }
                }
                Decision::Suspend(_) if is_the_same && held.status == Status::Active => {
                    taken.suspended.insert(serial);
                }
                Decision::Disentitle(disentitle) if is_the_same => {
                    let groups = disentitle.groups.iter().map(|id| GroupId::new(*id));
                    let has = |group: &GroupId| held.certificate.groups.contains_key(group);
                    taken.groups.extend(groups.filter(has).map(|group| (serial, group)));
                }
                Decision::Revoke(_)
                | Decision::Suspend(_)
                | Decision::Disentitle(_)
                | Decision::Issue(_)
                | Decision::Renew(_)
                | Decision::Supersede(_)
                | Decision::Resume(_)
                | Decision::Entitle(_)
                | Decision::ExtendCut(_)
                | Decision::Amend(_)
                | Decision::Accept(_) => {}
            }
        }
        self.on_sight.taken = taken;
    }
}
