//! What an admin is told of what ends before long: admin keys, the charter, members' certificates.

use std::time::Duration;

use belfry_proto::{
    time::Timestamp,
    trust::{
        charter_change::ending_admins,
        roster::{Roster, Standing},
    },
};

use crate::cli::args::day;

/// A new charter takes the root holders weeks, and a member's renewal goes through its offices.
const SOON: Duration = Duration::from_secs(60 * 24 * 3600);
/// Certificates named in one warning; `belfry coalition roster` lists all with their ends.
const NAMED: usize = 8;

/// Sentences, each with its mend; none while everything lasts.
pub(super) fn soon(roster: &Roster, now: Timestamp) -> Vec<String> {
    let charter = roster.charter();
    let mut told = ending_admins(charter, now, SOON);
    let expires = charter.expires();
    if expires <= now {
        told.push(format!(
            "the charter expired on {}: nobody publishes, and only revoke, suspend and disentitle take effect, until there is \
             a new version (`belfry coalition charter draft`)",
            day(expires)
        ));
    } else if expires <= now.saturating_add(SOON) {
        told.push(format!(
            "the charter ends on {}: from then on nobody publishes. Have a new version signed before (`belfry coalition charter \
             draft`)",
            day(expires)
        ));
    }
    let mut ending: Vec<_> = roster
        .certificates()
        .filter(|certificate| {
            let serial = certificate.serial;
            roster.standing(serial, now) == Standing::Valid
                && roster.ends(serial).is_none()
                && certificate.not_after <= now.saturating_add(SOON)
        })
        .collect();
    ending.sort_by_key(|certificate| (certificate.not_after, certificate.serial));
    if !ending.is_empty() {
        let named: Vec<String> = ending
            .iter()
            .take(NAMED)
            .map(|found| {
                format!("{} of {:?} on {}", found.serial, found.organisation.name, day(found.not_after))
            })
            .collect();
        let more = if ending.len() > NAMED { " and others" } else { "" };
        told.push(format!(
            "certificates end within 60 days: {}{more}. `belfry coalition renew SERIAL --until DATE` keeps the members' \
             standing; after the end it begins anew",
            named.join(", ")
        ));
    }
    told
}

#[cfg(test)]
mod tests {
    use belfry_proto::schema::{Renew, Revoke, Suspend, statement::Decision};

    use super::*;
    use crate::testing::{CIDR, Coalition};

    const DAY: Duration = Duration::from_secs(24 * 3600);

    #[test]
    fn certificates_are_told_of_sixty_days_ahead_by_serial_name_and_day_while_they_last() {
        let mut coalition = Coalition::new();
        coalition.issue(1, &[CIDR]);
        coalition.issue(2, &[]);
        let end = coalition.roster.certificates().next().unwrap().not_after;
        let told = |roster: &Roster, days: u32| soon(roster, end.saturating_sub(days * DAY)).join(" ");
        assert_eq!(told(&coalition.roster, 61), "");
        let warned = told(&coalition.roster, 60);
        for said in [format!("1 of \"Member 1\" on {}", day(end)), "2 of \"Member 2\"".to_owned()] {
            assert!(warned.contains(&said), "{said}: {warned}");
        }
        assert!(warned.contains("renew SERIAL --until DATE") && !warned.contains("charter"), "{warned}");
        assert_eq!(
            soon(&coalition.roster, end),
            Vec::<String>::new(),
            "what has ended is no warning any more"
        );

        // What is renewed, suspended or revoked anyway needs no renewal.
        let (mut renewed, mut suspended) = (coalition.clone(), coalition.clone());
        let not_after = end.saturating_add(90 * DAY).as_micros();
        renewed.decide(1, Decision::Renew(Renew { serial: 1, not_after }));
        suspended.decide(1, Decision::Suspend(Suspend { serial: 1, cut: Vec::new() }));
        let revoke = Revoke {
            serial: 1,
            member: vec![1; 16],
            reason: belfry_proto::schema::RevocationReason::Left.into(),
            decided: crate::clock::now().as_micros(),
            effective: end.saturating_sub(DAY).as_micros(),
            cut: Vec::new(),
        };
        coalition.decide(1, Decision::Revoke(revoke));
        for roster in [&renewed.roster, &suspended.roster, &coalition.roster] {
            let warned = told(roster, 30);
            assert!(warned.contains("2 of") && !warned.contains("1 of"), "{warned}");
        }
    }

    #[test]
    fn of_many_certificates_eight_are_named() {
        let mut coalition = Coalition::new();
        (1..=9).for_each(|n| drop(coalition.issue(n, &[CIDR])));
        let end = coalition.roster.certificates().next().unwrap().not_after;
        let warned = soon(&coalition.roster, end.saturating_sub(DAY)).join(" ");
        assert!(warned.contains("8 of \"Member 8\"") && !warned.contains("Member 9"), "{warned}");
        assert!(warned.contains("and others"), "{warned}");
    }
}
