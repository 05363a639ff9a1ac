//! Whether a node is the only one that the admin log knows.
//!
//! Whoever has nobody to hear waits for no hello. But by a clock that is wrong everybody else's certificate may seem over, or not
//! begun; their links go with it, and so does everybody who could say that it is wrong. So it is asked of the dates that the log
//! itself bears, and our clock only ever finds others.

use belfry_proto::{
    crypto::sign::PublicKey,
    time::Timestamp,
    trust::{
        certificate::Certificate,
        roster::{Roster, Standing},
    },
};

use super::LogWatch;

/// Whether nobody but `own` is certified, or is to be: on the newest date that an admin or the registrar signed, by which what
/// ended before is over whatever a clock shows.
pub(crate) fn is_lone(roster: &Roster, own: &PublicKey, watch: &LogWatch, now: Timestamp) -> bool {
    // Nearly always true of the first that is looked at.
    if is_anybody_valid(roster, own, now) {
        return false;
    }
    let newest = newest_date(roster, watch.beacon.map(|beacon| beacon.made));
    let mut others = roster.certificates().filter(|certificate| certificate.node != *own);
    !others.any(|other| matches!(roster.standing(other.serial, newest), Standing::Valid | Standing::NotYet))
}

/// Whether any node but `own` is let in at `now`.
pub(crate) fn is_anybody_valid(roster: &Roster, own: &PublicKey, now: Timestamp) -> bool {
    let mut others = roster.certificates().filter(|certificate| certificate.node != *own);
    others.any(|other| roster.standing(other.serial, now) == Standing::Valid)
}

/// Which other certificate ends last, by itself or by a decision, and when.
pub(crate) fn last_to_end<'a>(roster: &'a Roster, own: &PublicKey) -> Option<(&'a Certificate, Timestamp)> {
    let others = roster.certificates().filter(|certificate| certificate.node != *own);
    // Who was removed was there before; who was over already when it was removed ended at the beginning of time.
    let was_held = |other: &&Certificate| match roster.ends(other.serial) {
        Some(end) => end > other.not_before,
        None => roster.standing(other.serial, other.not_before) == Standing::Valid,
    };
    let held = others.filter(was_held);
    let until =
        |other: &Certificate| roster.ends(other.serial).unwrap_or(Timestamp::MAX).min(other.not_after);
    held.map(|other| (other, until(other))).max_by_key(|(_, until)| *until)
}

/// It is later than this, by what the log bears and the date of the newest beacon.
pub(super) fn newest_date(roster: &Roster, beacon: Option<Timestamp>) -> Timestamp {
    let decided = roster.records().map(|record| record.statement.made);
    decided.chain(beacon).fold(roster.charter().issued(), Timestamp::max)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use belfry_proto::{
        schema::{self, RevocationReason, statement::Decision},
        trust::beacon::Beacon,
    };

    use super::*;
    use crate::{
        clock,
        testing::{CIDR, Coalition, Seat},
    };

    const DAY: Duration = Duration::from_secs(24 * 3600);

    /// Alice for ten months, and bob for the first ten days of them.
    fn pair() -> (Coalition, Seat, Seat) {
        let mut coalition = Coalition::new();
        let alice = coalition.issue(1, &[CIDR]);
        coalition.lasting = 10 * DAY;
        let bob = coalition.issue(2, &[CIDR]);
        (coalition, alice, bob)
    }

    fn lone(coalition: &Coalition, of: &Seat, now: Timestamp) -> bool {
        is_lone(&coalition.roster, &of.identity.node, &LogWatch::default(), now)
    }

    #[test]
    fn whose_certificate_was_to_last_and_was_revoked_is_not_the_last_to_end() {
        let mut coalition = Coalition::new();
        let [own, revoked] = [1, 2].map(|n| coalition.issue(n, &[CIDR]));
        coalition.lasting = 10 * DAY;
        let other = coalition.issue(3, &[CIDR]);
        let (serial, now) = (revoked.identity.serial.get(), clock::now().as_micros());
        coalition.decide(
            1,
            Decision::Revoke(schema::Revoke {
                serial,
                member: revoked.identity.member.to_vec(),
                reason: RevocationReason::Left.into(),
                decided: now,
                effective: now,
                cut: Vec::new(),
            }),
        );
        let last = last_to_end(&coalition.roster, &own.identity.node).unwrap();
        let until = coalition.roster.certificate(other.identity.serial).unwrap().not_after;
        assert_eq!((last.0.serial, last.1), (other.identity.serial, until));
    }

    #[test]
    fn nobody_is_gone_because_our_clock_alone_says_so() {
        let (coalition, alice, _) = pair();
        let now = clock::now();
        for wrong in [now.saturating_add(100 * DAY), now.saturating_sub(100 * DAY), Timestamp::ZERO] {
            assert!(!lone(&coalition, &alice, wrong), "{wrong}");
        }
        assert!(!lone(&coalition, &alice, now));
    }

    #[test]
    fn who_never_had_another_beside_it_is_lone_by_any_clock() {
        let mut coalition = Coalition::new();
        let alice = coalition.issue(1, &[CIDR]);
        let now = clock::now();
        for now in [now, now.saturating_add(100 * DAY), Timestamp::ZERO] {
            assert!(lone(&coalition, &alice, now), "{now}");
        }
    }

    #[test]
    fn who_was_revoked_or_ended_before_the_newest_signed_date_is_gone() {
        let (mut coalition, alice, bob) = pair();
        let later = clock::now().saturating_add(20 * DAY);
        let beacon = Beacon {
            head: coalition.roster.version(),
            charter_version: 1,
            made: later,
            expires: later.saturating_add(DAY),
        };
        let watch = LogWatch { beacon: Some(beacon), ..LogWatch::default() };
        assert!(
            is_lone(&coalition.roster, &alice.identity.node, &watch, later),
            "the registrar says which day it is"
        );

        let mut renewed = coalition.clone();
        renewed.decided = Some(later);
        let not_after = later.saturating_add(365 * DAY).as_micros();
        renewed.decide(1, Decision::Renew(schema::Renew { serial: alice.identity.serial.get(), not_after }));
        assert!(lone(&renewed, &alice, later), "and so does an admin");

        let now = clock::now();
        coalition.decide(
            2,
            Decision::Revoke(schema::Revoke {
                serial: bob.identity.serial.get(),
                member: bob.identity.member.to_vec(),
                reason: RevocationReason::Left.into(),
                decided: now.as_micros(),
                effective: now.as_micros(),
                cut: Vec::new(),
            }),
        );
        assert!(lone(&coalition, &alice, clock::now()));
    }
}
