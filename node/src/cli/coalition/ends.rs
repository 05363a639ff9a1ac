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
