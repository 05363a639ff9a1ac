//! One record into the roster's state.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    crypto::sign::PublicKey,
    id::{GroupId, Height, MemberId, Serial, StatementId},
    schema::{self},
    time::Timestamp,
    trust::{
        certificate::{self, Certificate, CertificateError},
        charter::{Charter, CharterChain},
        cut::Cut,
        log::{LogError, VerifiedRecord},
        readers::Since,
        roster::{AppliedCut, Held, Member, State, Status},
        signed::SignedError,
        statement::{Decision, Statement, Subject},
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
    State(&'static str),
    /// Renewal must move the end forward.
    #[error("does not extend the validity")]
    NotLonger,
}

/// The charter whose keys rule at `height`: the newest whose pin lies below it.
fn in_force(charters: &CharterChain, height: Height) -> &Charter {
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
    let charter = in_force(charters, record.height);
    match take_effect(state, charter, record) {
        Ok(member) => {
            state.statements.insert(statement.id);
            if let Some(member) = state.members.get_mut(&member) {
                member.last_statement = statement.id;
            }
            entitlements(state, record.height, statement.made);
        }
        Err(reason) => state.voids.push(Void { height: record.height, statement: statement.id, reason }),
    }
}

fn take_effect(
    state: &mut State,
    charter: &Charter,
    record: &VerifiedRecord,
) -> Result<MemberId, VoidReason> {
    let statement = &record.statement;
    if statement.charter_version < charter.version() {
        return Err(VoidReason::OldCharter(statement.charter_version));
    }
    if state.statements.contains(&statement.id) {
        return Err(VoidReason::Repeated);
    }
    let member = match statement.subject().ok_or(VoidReason::UnknownSubject)? {
        Subject::Member(member) => member,
        Subject::Certificate(serial) => {
            state.certificates.get(&serial).ok_or(VoidReason::UnknownSubject)?.certificate.member
        }
    };
    let latest = state.members.get(&member).map(|m| m.last_statement);
    if !statement.is_removal() && statement.previous != latest {
        return Err(VoidReason::NotLatest);
    }
    decide(state, charter, record.height, statement)?;
    Ok(member)
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
            admit(state, certificate, statement.id)
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
            admit(state, certificate, statement.id)?;
            close(state, old, Status::Superseded, Cut::new(Vec::new(), &supersede.cut))
        }
        Decision::Renew(renew) => {
            let held = held(state, renew.serial)?;
            live(held)?;
            let until = Timestamp::from_micros(renew.not_after);
            if until <= held.certificate.not_after {
                return Err(VoidReason::NotLonger);
            }
            let lapsed = statement.made >= held.certificate.not_after;
            held.certificate.not_after = until;
            let (member, groups) = (held.certificate.member, held.certificate.groups.clone());
            if lapsed {
                // A gap between expiry and renewal breaks the entitlement.
                state.entitled.retain(|(m, group), _| *m != member || !groups.contains_key(group));
            }
            Ok(())
        }
        Decision::Suspend(suspend) => {
            live(held(state, suspend.serial)?)?;
            close(state, Serial::new(suspend.serial), Status::Suspended, Cut::new(Vec::new(), &suspend.cut))
        }
        Decision::Resume(resume) => {
            let held = held(state, resume.serial)?;
            if held.status != Status::Suspended {
                return Err(VoidReason::State("not suspended"));
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
            if matches!(held.status, Status::Revoked { effective: earlier } if earlier <= effective) {
                return Err(VoidReason::State("revoked already"));
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
            held.status = Status::Revoked { effective };
            // A departure announced for later keeps what is written until then, unless a cut says otherwise.
            if effective <= statement.made || !revoke.cut.is_empty() {
                held.cuts.push(AppliedCut { cut: Cut::new(Vec::new(), &revoke.cut), lifted: None });
            }
            Ok(())
        }
        Decision::Entitle(entitle) => {
            let held = held(state, entitle.serial)?;
            live(held)?;
            if held.certificate.carrier {
                return Err(VoidReason::State("a carrier's"));
            }
            let groups = certificate::check_groups(&entitle.groups, &held.certificate.organisation, charter)?;
            // Taking a role away needs a cut, or old messages would have no place to stand.
            let lowers = |(group, role): (&GroupId, &schema::Role)| {
                held.certificate.groups.get(group).is_some_and(|now| role < now)
            };
            if groups.iter().any(lowers) {
                return Err(VoidReason::State("entitled to more: disentitle it, with a cut, first"));
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
                return Err(VoidReason::State("not cut"));
            }
            for applied in &mut held.cuts {
                applied.cut.extend(&extend.cut);
            }
            Ok(())
        }
    }
}

fn held(state: &mut State, serial: u64) -> Result<&mut Held, VoidReason> {
    state.certificates.get_mut(&Serial::new(serial)).ok_or(VoidReason::UnknownSubject)
}

fn live(held: &Held) -> Result<(), VoidReason> {
    match held.status {
        Status::Active => Ok(()),
        Status::Suspended => Err(VoidReason::State("suspended")),
        Status::Revoked { .. } => Err(VoidReason::State("revoked")),
        Status::Superseded => Err(VoidReason::State("superseded")),
    }
}

fn close(state: &mut State, serial: Serial, status: Status, cut: Cut) -> Result<(), VoidReason> {
    let held = state.certificates.get_mut(&serial).ok_or(VoidReason::UnknownSubject)?;
    held.status = status;
    held.cuts.push(AppliedCut { cut, lifted: None });
    Ok(())
}

/// Adds a certificate whose keys nobody holds or held.
fn admit(state: &mut State, certificate: Certificate, statement: StatementId) -> Result<(), VoidReason> {
    let keys = [
        certificate.signing.as_bytes().to_vec(),
        certificate.node.as_bytes().to_vec(),
        certificate.kem.as_bytes().to_vec(),
    ];
    if keys.iter().any(|key| state.keys.contains(key)) {
        return Err(VoidReason::KeyReused);
    }
    state.keys.extend(keys);
    state.nodes.insert(certificate.node, certificate.serial);
    let member = state.members.entry(certificate.member).or_insert_with(|| Member {
        id: certificate.member,
        organisation: schema::Organisation::default(),
        serials: Vec::new(),
        last_statement: statement,
    });
    member.organisation = certificate.organisation.clone();
    member.serials.push(certificate.serial);
    let issued = Height::new(certificate.serial.get());
    let roles = certificate.groups.iter().map(|(group, role)| (issued, *group, Some(*role))).collect();
    state
        .certificates
        .insert(certificate.serial, Held { certificate, status: Status::Active, cuts: Vec::new(), roles });
    Ok(())
}

/// Starts and ends entitlements after a record took effect.
fn entitlements(state: &mut State, height: Height, at: Timestamp) {
    let now: BTreeSet<(MemberId, GroupId)> = state
        .certificates
        .values()
        .filter(|held| {
            matches!(held.status, Status::Active | Status::Revoked { .. }) && !held.certificate.carrier
        })
        .filter(|held| !matches!(held.status, Status::Revoked { effective } if effective <= at))
        .flat_map(|held| held.certificate.groups.keys().map(|group| (held.certificate.member, *group)))
        .collect();
    let before: BTreeMap<(MemberId, GroupId), Since> = std::mem::take(&mut state.entitled);
    state.entitled =
        now.into_iter().map(|key| (key, before.get(&key).copied().unwrap_or(Since { height, at }))).collect();
}
