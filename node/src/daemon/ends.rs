//! What an operator is told of what ends: this node's certificate, and the charter that all of it rests on.

use std::time::Duration;

use belfry_proto::{
    id::Serial,
    time::Timestamp,
    trust::roster::{Roster, Standing},
};

use crate::heard::Removal;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// A renewal goes through an office and back, with whoever has to decide it on leave.
const CERTIFICATE: Duration = Duration::from_secs(30 * 24 * 3600);
/// Bringing root holders together takes weeks.
const CHARTER: Duration = Duration::from_secs(60 * 24 * 3600);

/// What is over and stops publishing, each a sentence with its mend.
pub(super) fn over(roster: &Roster, own: Serial, now: Timestamp) -> Vec<String> {
    let standing = roster.standing(own, now);
    let invalid = (standing != Standing::Valid).then(|| match Removal::of(roster, own, standing) {
        Some(removal) => format!("This node's certificate is {}: it was {removal}.", standing.as_str()),
        None => format!("This node's certificate is {}.", standing.as_str()),
    });
    let charter = roster.charter();
    let expired = charter.is_expired_at(now).then(|| {
        format!(
            "The charter expired on {}: all there is can be read, and nobody publishes, enrols or is certified until there \
             is a new version. Ask the coalition for it.",
            charter.expires()
        )
    });
    invalid.into_iter().chain(expired).collect()
}

/// What ends before long, each a sentence with its mend.
pub(super) fn soon(roster: &Roster, own: Serial, now: Timestamp) -> Vec<String> {
    let mut told = Vec::new();
    if let Some(end) = roster.announced_end(own, now) {
        told.push(format!("This node's certificate ends on {end}, as was decided: its member leaves."));
    } else if let Some(certificate) = roster.certificate(own)
        && roster.standing(own, now) == Standing::Valid
        && is_soon(certificate.not_after, now, CERTIFICATE)
    {
        told.push(format!(
            "This node's certificate {own} ends on {}, {}: ask the coalition to renew it. The keys stay, and the admin log \
             brings it.",
            certificate.not_after,
            left(certificate.not_after, now)
        ));
    }
    let expires = roster.charter().expires();
    if expires > now && is_soon(expires, now, CHARTER) {
        told.push(format!(
            "The charter ends on {expires}, {}: from then on nobody publishes. Ask the coalition for a new version.",
            left(expires, now)
        ));
    }
    told
}

fn is_soon(end: Timestamp, now: Timestamp, soon: Duration) -> bool {
    end <= now.saturating_add(soon)
}

fn left(end: Timestamp, now: Timestamp) -> String {
    match end.since(now).as_secs() / DAY.as_secs() {
        0 => "within a day".to_owned(),
        1 => "in a day".to_owned(),
        days => format!("in {days} days"),
    }
}

#[cfg(test)]
mod tests {
    use belfry_proto::{
        schema::{RevocationReason, Revoke},
        trust::statement::Decision,
    };

    use super::*;
    use crate::{
        clock,
        testing::{CIDR, Coalition},
    };

    #[test]
    fn who_is_revoked_by_its_own_log_is_told_when_and_why() {
        let mut coalition = Coalition::new();
        let seat = coalition.issue(1, &[CIDR]);
        let (own, now) = (seat.identity.serial, clock::now());
        assert_eq!(over(&coalition.roster, own, now), Vec::<String>::new());
        let revoke = Revoke {
            serial: own.get(),
            member: seat.identity.member.to_vec(),
            reason: RevocationReason::KeyCompromise.into(),
            decided: now.as_micros(),
            effective: now.as_micros(),
            cut: Vec::new(),
        };
        coalition.decide(1, Decision::Revoke(revoke));
        let told = over(&coalition.roster, own, clock::now()).join(" ");
        assert!(told.contains("certificate is revoked: it was revoked on"), "{told}");
        assert!(told.contains("reason key-compromise (entry 2 of the admin log)"), "{told}");
    }

    #[test]
    fn an_end_is_told_before_it_comes_and_afterwards_with_the_mend() {
        let mut coalition = Coalition::new();
        let own = coalition.issue(1, &[CIDR]).identity.serial;
        let roster = &coalition.roster;
        let (certificate, charter) = (roster.certificate(own).unwrap().not_after, roster.charter().expires());
        assert!(certificate < charter);
        let told = |now: Timestamp| [over(roster, own, now), soon(roster, own, now)].concat().join(" ");
        assert_eq!(told(certificate.saturating_sub(CERTIFICATE + DAY)), "");
        let before = told(certificate.saturating_sub(2 * DAY));
        assert!(before.contains("in 2 days") && before.contains("renew"), "{before}");
        assert!(told(certificate).contains("certificate is expired"));
        let before = told(charter.saturating_sub(DAY / 2));
        assert!(before.contains("within a day") && before.contains("new version"), "{before}");
        assert!(told(charter).contains("nobody publishes"));
    }
}
