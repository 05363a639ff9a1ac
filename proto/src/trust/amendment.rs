//! Changed data of a member: name, numbers, classes, capacity, sector, whom it supplies. Keys, groups and validity stay.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    id::{GroupId, MemberId, Serial},
    schema,
    time::Timestamp,
    trust::{
        certificate::{self, CertificateError},
        charter::Charter,
        fold::{Conflict, VoidReason},
        roster::{Held, State, Status},
    },
};

/// Writes changed data into every certificate of a member that is not over; those that are say what they said.
///
/// A class that a group needs is not taken away under it: without a cut the member's messages there would have no
/// place to stand, so the group is disentitled first. A group that admits the member only now begins anew.
pub(super) fn amend(
    state: &mut State,
    charter: &Charter,
    wanted: &schema::Amend,
    at: Timestamp,
) -> Result<(), VoidReason> {
    let id = MemberId::try_from(wanted.member.as_slice()).map_err(|_| VoidReason::UnknownSubject)?;
    let organisation = wanted.organisation.as_ref().ok_or(VoidReason::UnknownSubject)?;
    certificate::check_organisation(organisation).map_err(VoidReason::Amendment)?;
    let member = state.members.get(&id).ok_or(VoidReason::UnknownSubject)?;
    let of = |serial: &Serial| state.certificates.get(serial).map(|held| (*serial, held.as_ref()));
    let going: Vec<(Serial, &Held)> =
        member.serials.iter().filter_map(of).filter(|(_, held)| !is_over(held, at)).collect();
    if going.is_empty() {
        return Err(VoidReason::State(Conflict::NoneLeft));
    }
    if member.organisation == *organisation
        && going.iter().all(|(_, held)| held.certificate.organisation == *organisation)
    {
        return Err(VoidReason::Unchanged);
    }
    let mut gained: BTreeSet<GroupId> = BTreeSet::new();
    for (_, held) in &going {
        for group in held.certificate.groups.keys().filter_map(|group| charter.group(*group)) {
            let before = certificate::admits(group, &held.certificate.organisation);
            match (before, certificate::admits(group, organisation)) {
                (true, false) => {
                    return Err(VoidReason::Amendment(CertificateError::NotAdmitted(group.slug.clone())));
                }
                (false, true) => {
                    gained.insert(group.id);
                }
                (true, true) | (false, false) => {}
            }
        }
    }
    let serials: Vec<Serial> = going.into_iter().map(|(serial, _)| serial).collect();
    for serial in serials {
        let held = state.certificates.get_mut(&serial).ok_or(VoidReason::UnknownSubject)?;
        Arc::make_mut(held).certificate.organisation = organisation.clone();
    }
    let member = state.members.get_mut(&id).ok_or(VoidReason::UnknownSubject)?;
    Arc::make_mut(member).organisation = organisation.clone();
    for group in gained {
        state.entitled.remove(&(id, group));
    }
    Ok(())
}

/// Whether a certificate says nothing more. A suspended one may come back, one whose end is announced goes on until then.
fn is_over(held: &Held, at: Timestamp) -> bool {
    match held.status {
        Status::Superseded => true,
        Status::Revoked { .. } => held.status.is_revoked_at(at),
        Status::Active | Status::Suspended => false,
    }
}
