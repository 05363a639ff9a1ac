//! What an operator is told of removals that hold by sight alone, until a charter settles which log is the coalition's; and of
//! those that a charter undid.

use belfry_proto::{
    id::{GroupId, Serial},
    time::Timestamp,
    trust::{on_sight::RemovalSeen, roster::Roster, statement::Decision},
};

/// Removals told one by one.
const MOST: usize = 5;

/// A warning for each, and one for how many more there are.
pub(super) fn told(roster: &Roster) -> Vec<String> {
    let mut told: Vec<String> =
        roster.removals_seen().take(MOST).filter_map(|seen| sentence(roster, seen)).collect();
    let more = roster.removals_seen().count().saturating_sub(MOST);
    if more > 0 {
        told.push(format!("{more} more certificates are removed on sight: `belfry members`."));
    }
    told
}

/// A warning for each removal of our log that the newest charter left behind, and one for how many more there are.
pub(super) fn undone(roster: &Roster, now: Timestamp) -> Vec<String> {
    let undone = roster.undone_removals(now);
    let charter = roster.charter();
    let pin = charter.pin().map_or(0, |pin| pin.height.get());
    let sentence = |(serial, name, what): (Serial, String, String)| {
        format!(
            "Certificate {serial} of {name} was {what}, and charter version {}, which pins entry {pin} of the admin log, undid \
             that: it holds again. Unless the root holders meant it, the admins have to decide it anew.",
            charter.version()
        )
    };
    let mut told: Vec<String> =
        undone.iter().take(MOST).filter_map(|removal| said(roster, removal)).map(sentence).collect();
    let more = undone.len().saturating_sub(MOST);
    if more > 0 {
        told.push(format!("{more} more removals were undone by charters: `belfry audit decisions`."));
    }
    told
}

fn sentence(roster: &Roster, seen: &RemovalSeen) -> Option<String> {
    let (serial, name, what) = said(roster, seen)?;
    let by = match &seen.record().entry {
        Some(_) => "an entry that is not in our admin log",
        None => "a statement that no registrar ordered",
    };
    Some(format!(
        "Certificate {serial} of {name} is {what} on sight, by {by}: it holds here until our admin log has it, or a charter says \
         which log is the coalition's."
    ))
}

/// Which certificate a removal is about, whose, and what it does to it.
fn said(roster: &Roster, seen: &RemovalSeen) -> Option<(Serial, String, String)> {
    let serial = seen.serial()?;
    let member = roster.certificate(serial).and_then(|certificate| roster.member(certificate.member));
    let name = member.map_or("?", |member| member.organisation.name.as_str()).to_owned();
    let what = match seen.decision() {
        Decision::Revoke(_) => "revoked".to_owned(),
        Decision::Suspend(_) => "suspended".to_owned(),
        Decision::Disentitle(disentitle) => {
            let slug =
                |id: &u32| roster.charter().group(GroupId::new(*id)).map_or("?", |group| group.slug.as_str());
            format!("taken out of {}", disentitle.groups.iter().map(slug).collect::<Vec<_>>().join(", "))
        }
        Decision::Issue(_)
        | Decision::Renew(_)
        | Decision::Supersede(_)
        | Decision::Resume(_)
        | Decision::Entitle(_)
        | Decision::ExtendCut(_)
        | Decision::Amend(_)
        | Decision::Accept(_) => return None,
    };
    Some((serial, name, what))
}

#[cfg(test)]
mod tests {
    use belfry_proto::schema;

    use super::*;
    use crate::{
        clock,
        testing::{CIDR, Coalition},
    };

    #[test]
    fn a_charter_that_undoes_a_revocation_is_warned_of_until_it_is_decided_anew() {
        let mut coalition = Coalition::new();
        coalition.issue(1, &[CIDR]);
        let (pin, now) = (coalition.roster.version(), clock::now());
        let revoke = Decision::Revoke(schema::Revoke {
            serial: 1,
            member: vec![1; 16],
            reason: schema::RevocationReason::KeyCompromise.into(),
            decided: coalition.began.as_micros(),
            effective: coalition.began.as_micros(),
            cut: Vec::new(),
        });
        coalition.decide(1, revoke.clone());
        assert_eq!(undone(&coalition.roster, now), [""; 0]);
        // Made from a folder that ends before it.
        let next = coalition.next_charter(pin);
        coalition.roster.apply_charter(next).unwrap();
        let told = undone(&coalition.roster, now);
        let [line] = told.as_slice() else { panic!("{told:?}") };
        assert!(line.starts_with("Certificate 1 of Member 1 was revoked, and charter version 2"), "{line}");
        let again = coalition.record(1, revoke);
        let verified = belfry_proto::trust::log::verify_record(coalition.roster.charters(), &again).unwrap();
        coalition.roster.apply(verified).unwrap();
        assert_eq!(undone(&coalition.roster, now), [""; 0]);
    }
}
