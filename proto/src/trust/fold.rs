//! One record into the roster's state.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    crypto::sign::PublicKey,
    id::{GroupId, Height, MemberId, Serial, StatementId},
    schema::{self},
    time::Timestamp,
    trust::{
        acceptance::{self, AcceptanceError, Accepted},
        amendment::amend,
        certificate::{self, Certificate, CertificateError},
        charter::{Charter, CharterChain},
        cut::Cut,
        log::{LogError, VerifiedRecord},
        readers::Since,
        roster::{AppliedCut, Held, Member, State, Status},
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

fn decide(
    state: &mut State,
    charter: &Charter,
    height: Height,
    statement: &Statement,
) -> Result<(), VoidReason> {
    let serial = Serial::new(height.get());
    match &statement.decision {
        Decision::Issue(issue) => {
            let body = issue.certificate.as_ref().ok_or(VoidReason::UnknownSubject)?;
            let certificate = certificate::check(body, charter, serial, statement.id)?;
            let accepted = with_certificate(body, charter, serial, height, statement.made);
            admit(state, certificate, statement.id, accepted)
        }
        Decision::Supersede(supersede) => {
            let old = Serial::new(supersede.serial);
            let body = supersede.certificate.as_ref().ok_or(VoidReason::UnknownSubject)?;
            let certificate = certificate::check(body, charter, serial, statement.id)?;
            let held = state.certificates.get(&old).ok_or(VoidReason::UnknownSubject)?;
            if held.certificate.member != certificate.member {
                return Err(VoidReason::UnknownSubject);
            }
            live(held)?;
            let accepted = with_certificate(body, charter, serial, height, statement.made);
            admit(state, certificate, statement.id, accepted)?;
            close(state, old, Status::Superseded, Cut::new(Vec::new(), &supersede.cut))
        }
        Decision::Renew(renew) => {
            let held = held(state, renew.serial)?;
            live(held)?;
            let until = Timestamp::from_micros(renew.not_after);
            if until <= held.certificate.not_after {
                return Err(VoidReason::NotLonger);
            }
            held.certificate.not_after = until;
            Ok(())
        }
        Decision::Suspend(suspend) => {
            live(held(state, suspend.serial)?)?;
            close(state, Serial::new(suspend.serial), Status::Suspended, Cut::new(Vec::new(), &suspend.cut))
        }
        Decision::Resume(resume) => {
            let held = held(state, resume.serial)?;
            if held.status != Status::Suspended {
                return Err(VoidReason::State(Conflict::NotSuspended));
            }
            held.status = Status::Active;
            for applied in &mut held.cuts {
                applied.lifted.get_or_insert(height);
            }
            Ok(())
        }
        Decision::Revoke(revoke) => {
            let effective = Timestamp::from_micros(revoke.effective);
            let held = held(state, revoke.serial)?;
            if matches!(held.status, Status::Revoked { effective: earlier, .. } if earlier <= effective) {
                return Err(VoidReason::State(Conflict::RevokedAlready));
            }
            if held.certificate.member.as_ref() != revoke.member.as_slice() {
                return Err(VoidReason::UnknownSubject);
            }
            // What is suspended or superseded is over already: neither a departure announced for later nor a
            // statement dated ahead may bring it back meanwhile.
            let effective = match held.status {
                Status::Suspended | Status::Superseded => Timestamp::ZERO,
                Status::Active | Status::Revoked { .. } => effective,
            };
            let is_announced = effective > statement.made;
            held.status = Status::Revoked { effective, is_announced };
            // A departure announced for later keeps what is written until then, unless a cut says otherwise.
            if !is_announced || !revoke.cut.is_empty() {
                held.cuts.push(AppliedCut { cut: Cut::new(Vec::new(), &revoke.cut), lifted: None });
            }
            Ok(())
        }
        Decision::Entitle(entitle) => {
            let held = held(state, entitle.serial)?;
            live(held)?;
            if held.certificate.carrier {
                return Err(VoidReason::State(Conflict::Carrier));
            }
            let groups = certificate::check_groups(&entitle.groups, &held.certificate.organisation, charter)?;
            // Taking a role away needs a cut, or old messages would have no place to stand.
            let lowers = |(group, role): (&GroupId, &schema::Role)| {
                held.certificate.groups.get(group).is_some_and(|now| role < now)
            };
            if groups.iter().any(lowers) {
                return Err(VoidReason::State(Conflict::Lowers));
            }
            // A role given back opens new logs; the cut of its loss stays on the old ones.
            for applied in held.cuts.iter_mut().filter(|a| groups.keys().any(|group| a.cut.concerns(*group)))
            {
                applied.lifted.get_or_insert(height);
            }
            held.roles.extend(groups.iter().map(|(group, role)| (height, *group, Some(*role))));
            held.certificate.groups.extend(groups);
            Ok(())
        }
        Decision::Disentitle(disentitle) => {
            let held = held(state, disentitle.serial)?;
            let groups: Vec<GroupId> = disentitle.groups.iter().map(|id| GroupId::new(*id)).collect();
            for group in &groups {
                held.certificate.groups.remove(group);
                held.roles.push((height, *group, None));
            }
            held.cuts.push(AppliedCut { cut: Cut::new(groups, &disentitle.cut), lifted: None });
            Ok(())
        }
        Decision::ExtendCut(extend) => {
            let held = held(state, extend.serial)?;
            if held.cuts.is_empty() {
                return Err(VoidReason::State(Conflict::NotCut));
            }
            for applied in &mut held.cuts {
                applied.cut.extend(&extend.cut);
            }
            Ok(())
        }
        Decision::Amend(wanted) => amend(state, charter, wanted, statement.made),
        Decision::Accept(accept) => {
            let held = held(state, accept.serial)?;
            live(held)?;
            let (member, signing) = (held.certificate.member, held.certificate.signing);
            let signed = accept.acceptance.as_ref().ok_or(VoidReason::UnknownSubject)?;
            let at = acceptance::open(signed, signing, charter)?;
            let member = state.members.get_mut(&member).ok_or(VoidReason::UnknownSubject)?;
            if member.accepted.iter().any(|texts| texts.is_of(charter)) {
                return Err(VoidReason::State(Conflict::Accepted));
            }
            let accepted = texts(charter, Serial::new(accept.serial), height, at);
            Arc::make_mut(member).accepted.push(accepted);
            Ok(())
        }
    }
}

fn held(state: &mut State, serial: u64) -> Result<&mut Held, VoidReason> {
    let held = state.certificates.get_mut(&Serial::new(serial)).ok_or(VoidReason::UnknownSubject)?;
    Ok(Arc::make_mut(held))
}

fn live(held: &Held) -> Result<(), VoidReason> {
    match held.status {
        Status::Active => Ok(()),
        Status::Suspended => Err(VoidReason::State(Conflict::Suspended)),
        Status::Revoked { .. } => Err(VoidReason::State(Conflict::Revoked)),
        Status::Superseded => Err(VoidReason::State(Conflict::Superseded)),
    }
}

fn close(state: &mut State, serial: Serial, status: Status, cut: Cut) -> Result<(), VoidReason> {
    let held = held(state, serial.get())?;
    held.status = status;
    held.cuts.push(AppliedCut { cut, lifted: None });
    Ok(())
}

/// The texts of a charter as accepted.
fn texts(charter: &Charter, serial: Serial, recorded: Height, at: Timestamp) -> Accepted {
    let (arrangement, rules) = (charter.arrangement().hash.clone(), charter.rules().hash.clone());
    Accepted { arrangement, rules, at, serial, recorded }
}

/// What came with the request: a certificate that names the charter's versions was asked for with these texts.
fn with_certificate(
    body: &schema::CertificateBody,
    charter: &Charter,
    serial: Serial,
    height: Height,
    made: Timestamp,
) -> Option<Accepted> {
    let names = body.arrangement_version == charter.arrangement().version
        && body.rules_version == charter.rules().version;
    names.then(|| texts(charter, serial, height, made))
}

/// Adds a certificate whose keys nobody holds or held.
fn admit(
    state: &mut State,
    certificate: Certificate,
    statement: StatementId,
    accepted: Option<Accepted>,
) -> Result<(), VoidReason> {
    let keys = [
        *certificate.signing.as_bytes(),
        *certificate.node.as_bytes(),
        // Twelve hundred bytes a key would make up most of the roster.
        *blake3::hash(certificate.kem.as_bytes()).as_bytes(),
    ];
    if keys.iter().any(|key| state.keys.contains(key)) {
        return Err(VoidReason::KeyReused);
    }
    state.keys.extend(keys);
    state.nodes.insert(certificate.node, certificate.serial);
    let member = state.members.entry(certificate.member).or_insert_with(|| {
        Arc::new(Member {
            id: certificate.member,
            organisation: schema::Organisation::default(),
            serials: Vec::new(),
            accepted: Vec::new(),
            last_statement: statement,
        })
    });
    let member = Arc::make_mut(member);
    member.organisation = certificate.organisation.clone();
    member.serials.push(certificate.serial);
    member.accepted.extend(accepted);
    let issued = Height::new(certificate.serial.get());
    let roles = certificate.groups.iter().map(|(group, role)| (issued, *group, Some(*role))).collect();
    let held = Held { status: Status::Active, cuts: Vec::new(), roles, certificate };
    state.certificates.insert(held.certificate.serial, Arc::new(held));
    Ok(())
}
