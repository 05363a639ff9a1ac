//! What each decision changes: the certificate it names and that one's member, nobody else. What breaks a rule says which.

use std::sync::Arc;

use super::{Conflict, VoidReason};
use crate::{
    id::{GroupId, Height, Serial, StatementId},
    schema,
    time::Timestamp,
    trust::{
        acceptance::{self, Accepted},
        amendment::amend,
        certificate::{self, Certificate},
        charter::Charter,
        cut::Cut,
        roster::{AppliedCut, Held, Member, State, Status},
        statement::{Decision, Statement},
    },
};

pub(super) fn decide(
    state: &mut State,
    charter: &Charter,
    height: Height,
    statement: &Statement,
) -> Result<(), VoidReason> {
    match &statement.decision {
        Decision::Issue(issue) => {
            let (certificate, accepted) = issued(issue.certificate.as_ref(), charter, height, statement)?;
            admit(state, certificate, statement.id, accepted)
        }
        Decision::Supersede(wanted) => supersede(state, charter, height, statement, wanted),
        Decision::Renew(wanted) => renew(state, wanted),
        Decision::Suspend(wanted) => {
            live(held(state, wanted.serial)?)?;
            close(state, Serial::new(wanted.serial), Status::Suspended, Cut::new(Vec::new(), &wanted.cut))
        }
        Decision::Resume(wanted) => resume(state, height, wanted),
        Decision::Revoke(wanted) => revoke(state, statement.made, wanted),
        Decision::Entitle(wanted) => entitle(state, charter, height, wanted),
        Decision::Disentitle(wanted) => disentitle(state, height, wanted),
        Decision::ExtendCut(wanted) => extend_cut(state, wanted),
        Decision::Amend(wanted) => amend(state, charter, wanted, statement.made),
        Decision::Accept(wanted) => accept(state, charter, height, wanted),
    }
}

/// The certificate of an entry, checked, and the texts that came with its request.
fn issued(
    body: Option<&schema::CertificateBody>,
    charter: &Charter,
    height: Height,
    statement: &Statement,
) -> Result<(Certificate, Option<Accepted>), VoidReason> {
    let serial = Serial::new(height.get());
    let body = body.ok_or(VoidReason::UnknownSubject)?;
    let certificate = certificate::check(body, charter, serial, statement.id)?;
    Ok((certificate, with_certificate(body, charter, serial, height, statement.made)))
}

fn supersede(
    state: &mut State,
    charter: &Charter,
    height: Height,
    statement: &Statement,
    wanted: &schema::Supersede,
) -> Result<(), VoidReason> {
    let old = Serial::new(wanted.serial);
    let (certificate, accepted) = issued(wanted.certificate.as_ref(), charter, height, statement)?;
    let held = state.certificates.get(&old).ok_or(VoidReason::UnknownSubject)?;
    if held.certificate.member != certificate.member {
        return Err(VoidReason::UnknownSubject);
    }
    live(held)?;
    admit(state, certificate, statement.id, accepted)?;
    close(state, old, Status::Superseded, Cut::new(Vec::new(), &wanted.cut))
}

fn renew(state: &mut State, wanted: &schema::Renew) -> Result<(), VoidReason> {
    let held = held(state, wanted.serial)?;
    live(held)?;
    let until = Timestamp::from_micros(wanted.not_after);
    if until <= held.certificate.not_after {
        return Err(VoidReason::NotLonger);
    }
    held.certificate.not_after = until;
    Ok(())
}

fn resume(state: &mut State, height: Height, wanted: &schema::Resume) -> Result<(), VoidReason> {
    let held = held(state, wanted.serial)?;
    if held.status != Status::Suspended {
        return Err(VoidReason::State(Conflict::NotSuspended));
    }
    held.status = Status::Active;
    for applied in &mut held.cuts {
        applied.lifted.get_or_insert(height);
    }
    Ok(())
}

fn revoke(state: &mut State, made: Timestamp, wanted: &schema::Revoke) -> Result<(), VoidReason> {
    let effective = Timestamp::from_micros(wanted.effective);
    let held = held(state, wanted.serial)?;
    // One at once takes more than an end that still waits for its moment, however near that is.
    if let Status::Revoked { effective: earlier, is_announced: was_announced } = held.status
        && earlier <= effective
        && (effective > made || !was_announced)
    {
        return Err(VoidReason::State(Conflict::RevokedAlready));
    }
    if held.certificate.member.as_ref() != wanted.member.as_slice() {
        return Err(VoidReason::UnknownSubject);
    }
    // What is suspended or superseded is over already: neither a departure announced for later nor a
    // statement dated ahead may bring it back meanwhile.
    let effective = match held.status {
        Status::Suspended | Status::Superseded => Timestamp::ZERO,
        Status::Active => effective,
        Status::Revoked { effective: earlier, .. } => earlier.min(effective),
    };
    let is_announced = effective > made;
    // What holds by any clock waits for no moment again.
    let is_at_once = matches!(held.status, Status::Revoked { is_announced: false, .. });
    held.status = Status::Revoked { effective, is_announced: is_announced && !is_at_once };
    // A departure announced for later keeps what is written until then, unless a cut says otherwise.
    if !is_announced || !wanted.cut.is_empty() {
        held.cuts.push(AppliedCut { cut: Cut::new(Vec::new(), &wanted.cut), lifted: None });
    }
    Ok(())
}

fn entitle(
    state: &mut State,
    charter: &Charter,
    height: Height,
    wanted: &schema::Entitle,
) -> Result<(), VoidReason> {
    let held = held(state, wanted.serial)?;
    live(held)?;
    if held.certificate.carrier {
        return Err(VoidReason::State(Conflict::Carrier));
    }
    let groups = certificate::check_groups(&wanted.groups, &held.certificate.organisation, charter)?;
    // Taking a role away needs a cut, or old messages would have no place to stand.
    let lowers = |(group, role): (&GroupId, &schema::Role)| {
        held.certificate.groups.get(group).is_some_and(|now| role < now)
    };
    if groups.iter().any(lowers) {
        return Err(VoidReason::State(Conflict::Lowers));
    }
    // A role given back opens new logs; the cut of its loss stays on the old ones.
    for applied in held.cuts.iter_mut().filter(|a| groups.keys().any(|group| a.cut.concerns(*group))) {
        applied.lifted.get_or_insert(height);
    }
    held.roles.extend(groups.iter().map(|(group, role)| (height, *group, Some(*role))));
    held.certificate.groups.extend(groups);
    Ok(())
}

fn disentitle(state: &mut State, height: Height, wanted: &schema::Disentitle) -> Result<(), VoidReason> {
    let held = held(state, wanted.serial)?;
    let groups: Vec<GroupId> = wanted.groups.iter().map(|id| GroupId::new(*id)).collect();
    for group in &groups {
        held.certificate.groups.remove(group);
        held.roles.push((height, *group, None));
    }
    held.cuts.push(AppliedCut { cut: Cut::new(groups, &wanted.cut), lifted: None });
    Ok(())
}

fn extend_cut(state: &mut State, wanted: &schema::ExtendCut) -> Result<(), VoidReason> {
    let held = held(state, wanted.serial)?;
    if held.cuts.is_empty() {
        return Err(VoidReason::State(Conflict::NotCut));
    }
    for applied in &mut held.cuts {
        applied.cut.extend(&wanted.cut);
    }
    Ok(())
}

fn accept(
    state: &mut State,
    charter: &Charter,
    height: Height,
    wanted: &schema::Accept,
) -> Result<(), VoidReason> {
    let held = held(state, wanted.serial)?;
    live(held)?;
    let (member, signing) = (held.certificate.member, held.certificate.signing);
    let signed = wanted.acceptance.as_ref().ok_or(VoidReason::UnknownSubject)?;
    let at = acceptance::open(signed, signing, charter)?;
    let member = state.members.get_mut(&member).ok_or(VoidReason::UnknownSubject)?;
    if member.accepted.iter().any(|texts| texts.is_of(charter)) {
        return Err(VoidReason::State(Conflict::Accepted));
    }
    let accepted = texts(charter, Serial::new(wanted.serial), height, at);
    Arc::make_mut(member).accepted.push(accepted);
    Ok(())
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
