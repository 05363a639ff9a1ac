//! One record into the roster's state: whether it counts, what it decides (`decide`), and whose entitlements begin and end by it.

mod decide;

use std::{collections::BTreeSet, sync::Arc};

use self::decide::decide;
use crate::{
    crypto::sign::PublicKey,
    id::{GroupId, Height, MemberId, Serial, StatementId},
    time::Timestamp,
    trust::{
        acceptance::AcceptanceError,
        certificate::CertificateError,
        charter::{Charter, CharterChain},
        log::{LogError, VerifiedRecord},
        readers::Since,
        roster::{Held, State, Status},
        signed::SignedError,
        statement::{BeforeDecision, Decision, Statement},
    },
};

/// A statement that the registrar ordered and that took no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Void {
    /// Its place.
    pub height: Height,
    /// Which.
    pub statement: StatementId,
    /// Why.
    pub reason: VoidReason,
}

/// Why a statement took no effect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VoidReason {
    /// Signed under a charter that was no longer in force at its height.
    #[error("made under charter version {0}, which was no longer in force")]
    OldCharter(u64),
    /// Ordered before.
    #[error("ordered twice")]
    Repeated,
    /// Only removals take effect once the charter is over.
    #[error("made after the charter expired, on {0}")]
    CharterExpired(Timestamp),
    /// It did not know of the member's latest statement.
    #[error("does not follow the member's latest statement")]
    NotLatest,
    /// No such certificate or member.
    #[error("names no certificate or member there is")]
    UnknownSubject,
    /// The certificate must not be issued.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A key of it is or was another certificate's.
    #[error("a key of it belongs to another certificate")]
    KeyReused,
    /// The certificate's state does not allow it.
    #[error("the certificate is {0}")]
    State(Conflict),
    /// The acceptance does not hold.
    #[error(transparent)]
    Acceptance(#[from] AcceptanceError),
    /// The changed data must not be said, or not beside the groups it has.
    #[error(transparent)]
    Amendment(CertificateError),
    /// It says what is so already.
    #[error("changes nothing")]
    Unchanged,
    /// Renewal must move the end forward.
    #[error("does not extend the validity")]
    NotLonger,
    /// Its dates contradict each other. Asked before anything is signed or ordered; no reason against what is in the log.
    #[error(transparent)]
    Dates(#[from] BeforeDecision),
}

/// What of a certificate stands against a decision about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// Until it is resumed.
    #[error("suspended")]
    Suspended,
    /// For good.
    #[error("revoked")]
    Revoked,
    /// Another has its place.
    #[error("superseded")]
    Superseded,
    /// Every one of its member's.
    #[error("of a member that has none left")]
    NoneLeft,
    /// Nothing to resume.
    #[error("not suspended")]
    NotSuspended,
    /// From then on, or earlier.
    #[error("revoked already")]
    RevokedAlready,
    /// It belongs to no group.
    #[error("a carrier's")]
    Carrier,
    /// A role is taken away with a cut, or old messages would have no place to stand.
    #[error("entitled to more: disentitle it, with a cut, first")]
    Lowers,
    /// Nothing to extend.
    #[error("not cut")]
    NotCut,
    /// An announced end without a cut reads as if what was published stayed, and hides what the certificate's cut keeps. Asked
    /// before anything is signed or ordered; no reason against what is in the log.
    #[error("over already: an end that is announced for it without a cut hides all that its own cut keeps")]
    Hides,
    /// Once is enough.
    #[error("of a member that has accepted these texts already")]
    Accepted,
}

/// The charter whose keys rule at `height`: the newest whose pin lies below it.
pub(super) fn in_force(charters: &CharterChain, height: Height) -> &Charter {
    charters
        .versions()
        .filter(|charter| charter.pin().is_none_or(|pin| pin.height < height))
        .last()
        .unwrap_or(charters.newest())
}

/// The registrar of the charter in force ordered it.
pub(super) fn check_order(charters: &CharterChain, record: &VerifiedRecord) -> Result<(), LogError> {
    let registrar = in_force(charters, record.height).registrar();
    let signer = record.record.entry.as_ref().and_then(|entry| entry.signatures.first());
    if signer.map(|s| s.key.as_slice()) != Some(registrar.as_bytes().as_slice()) {
        let error = SignedError::NotAllowed(
            signer.and_then(|s| PublicKey::from_slice(&s.key).ok()).unwrap_or(registrar),
        );
        return Err(LogError::Registrar { height: record.height, error });
    }
    Ok(())
}

/// Folds a record that [`check_order`] let through.
pub(super) fn fold(state: &mut State, charters: &CharterChain, record: &VerifiedRecord) {
    state.entries.push(record.entry_id);
    let statement = &record.statement;
    let effect = check(state, charters, record.height, statement).and_then(|member| {
        take_effect(state, in_force(charters, record.height), record.height, statement, member)
    });
    match effect {
        Ok(()) => {
            state.statements.insert(statement.id);
        }
        Err(reason) => {
            state.void_statements.insert(statement.id);
            state.voids.push(Void { height: record.height, statement: statement.id, reason });
        }
    }
}

/// The state with a statement as the log's next, which nobody has ordered; why it would take no effect, if so.
pub(super) fn go_on(
    state: &State,
    charters: &CharterChain,
    height: Height,
    statement: &Statement,
) -> Result<State, VoidReason> {
    let member = check(state, charters, height, statement)?;
    statement.check_dates()?;
    hides_what_it_seems_to_keep(state, statement)?;
    // Cheap: what the state holds is shared until it changes.
    let mut next = state.clone();
    take_effect(&mut next, in_force(charters, height), height, statement, member)?;
    next.statements.insert(statement.id);
    Ok(next)
}

/// Refuses an end that is announced without a cut, where the certificate is over and its own cut keeps something.
fn hides_what_it_seems_to_keep(state: &State, statement: &Statement) -> Result<(), VoidReason> {
    let Decision::Revoke(revoke) = &statement.decision else { return Ok(()) };
    let is_announced = Timestamp::from_micros(revoke.effective) > statement.made && revoke.cut.is_empty();
    let held = state.certificates.get(&Serial::new(revoke.serial));
    let hides = held.is_some_and(|held| {
        matches!(held.status, Status::Suspended | Status::Superseded) && !held.kept().is_empty()
    });
    match is_announced && hides {
        true => Err(VoidReason::State(Conflict::Hides)),
        false => Ok(()),
    }
}

/// What a statement must hold to its charter and to the member's earlier ones; gives the member.
fn check(
    state: &State,
    charters: &CharterChain,
    height: Height,
    statement: &Statement,
) -> Result<MemberId, VoidReason> {
    let charter = in_force(charters, height);
    if statement.charter_version < charter.version() {
        return Err(VoidReason::OldCharter(statement.charter_version));
    }
    if !statement.is_removal() && charter.is_expired_at(statement.made) {
        return Err(VoidReason::CharterExpired(charter.expires()));
    }
    if state.statements.contains(&statement.id) {
        return Err(VoidReason::Repeated);
    }
    let member = state.member_of(statement).ok_or(VoidReason::UnknownSubject)?;
    let latest = state.members.get(&member).map(|m| m.last_statement);
    // Only an issue may name a member that there is not yet.
    if latest.is_none() && matches!(statement.decision, Decision::Amend(_)) {
        return Err(VoidReason::UnknownSubject);
    }
    if !statement.is_removal() && statement.previous != latest {
        return Err(VoidReason::NotLatest);
    }
    Ok(member)
}

/// Decides, and begins and ends the member's entitlements. A statement about one member changes nobody else.
pub(super) fn take_effect(
    state: &mut State,
    charter: &Charter,
    height: Height,
    statement: &Statement,
    member: MemberId,
) -> Result<(), VoidReason> {
    let at = statement.made;
    // What ended by itself before this statement is over, whatever the statement gives again.
    let before = held_at(state, member, at);
    let supervised = supervised_at(state, member, at);
    decide(state, charter, height, statement)?;
    if let Some(member) = state.members.get_mut(&member) {
        Arc::make_mut(member).last_statement = statement.id;
    }
    // Filing what a member accepted takes one admin and entitles nobody: whatever date it bears, it ends nothing either.
    if matches!(statement.decision, Decision::Accept(_)) {
        return Ok(());
    }
    let after = held_at(state, member, at);
    // What was kept from a supervisor is as old to it, once it is none, as to anybody who comes then.
    let still = supervised_at(state, member, at);
    let (first, last) = ((member, GroupId::new(0)), (member, GroupId::new(u32::MAX)));
    let known: Vec<GroupId> = state.entitled.range(first..=last).map(|((_, group), _)| *group).collect();
    let freed = |group: &GroupId| supervised.contains(group) && !still.contains(group);
    let breaks = |group: &GroupId| freed(group) || !before.contains(group) || !after.contains(group);
    for group in known.into_iter().filter(breaks) {
        state.entitled.remove(&(member, group));
    }
    for group in after {
        state.entitled.entry((member, group)).or_insert(Since { height, at });
    }
    Ok(())
}

/// Groups that a member's certificates entitle it to at `at`. A suspended one, a carrier's, and one that is over, by
/// revocation or by its time, entitle to nothing: whoever renews it later, or gets another, begins anew.
fn held_at(state: &State, member: MemberId, at: Timestamp) -> BTreeSet<GroupId> {
    reading_at(state, member, at).flat_map(|held| held.certificate.groups.keys().copied()).collect()
}

/// Groups that a member reads at `at` as a supervisor alone: never what an audience keeps from supervisors. Each by its
/// own certificates: a node that is none in one group opens nothing in another.
fn supervised_at(state: &State, member: MemberId, at: Timestamp) -> BTreeSet<GroupId> {
    let groups = |supervisor: bool| -> BTreeSet<GroupId> {
        reading_at(state, member, at)
            .filter(|held| held.certificate.is_supervisor() == supervisor)
            .flat_map(|held| held.certificate.groups.keys().copied())
            .collect()
    };
    let supervised = groups(true);
    if supervised.is_empty() { supervised } else { &supervised - &groups(false) }
}

/// Certificates by which a member may read something at `at`.
fn reading_at(state: &State, member: MemberId, at: Timestamp) -> impl Iterator<Item = &Held> {
    let serials = state.members.get(&member).map(|member| member.serials.as_slice()).unwrap_or_default();
    serials
        .iter()
        .filter_map(|serial| state.certificates.get(serial))
        .map(Arc::as_ref)
        .filter(move |held| !held.certificate.carrier && at < held.certificate.not_after)
        .filter(move |held| match held.status {
            Status::Active => true,
            Status::Revoked { .. } => !held.status.is_revoked_at(at),
            Status::Suspended | Status::Superseded => false,
        })
}
