//! The beacon: the registrar's short-lived word on where the log's head is.
//!
//! It lets a node that hears nothing tell quiet from being kept in the dark. A beacon grants nothing: its
//! head counts as fresh only once the records up to it are here and fold to it, and losing every beacon
//! only makes the roster *stale*, which by default warns.

use std::{collections::BTreeSet, time::Duration};

use prost::Message;

use crate::{
    crypto::sign::{Purpose, SigningKey},
    id::{CoalitionId, RosterVersion},
    limits::MAX_STATEMENT,
    schema::{self, Malformed, decode_canonical},
    time::Timestamp,
    trust::{
        charter::Charter,
        signed::{self, SignedError},
    },
    verdict::{Judged, Verdict},
};

const WHAT: &str = "Beacon";

/// A beacon the registrar signed, not yet expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beacon {
    /// The log's head when it was made.
    pub head: RosterVersion,
    /// The charter in force then.
    pub charter_version: u64,
    /// When it was made.
    pub made: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
}

/// Why a beacon is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BeaconError {
    /// Bytes.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Of another coalition.
    #[error("beacon of coalition {0}, not ours")]
    OtherCoalition(CoalitionId),
    /// Made under a charter we do not have yet, whose registrar may be another.
    #[error("beacon under charter version {found}, we have {have}")]
    CharterAhead {
        /// Ours.
        have: u64,
        /// Its own.
        found: u64,
    },
    /// Not signed by the registrar.
    #[error("beacon: {0}")]
    Signed(SignedError),
    /// From the future.
    #[error("beacon made at {0}, which is to come")]
    Future(Timestamp),
    /// Its time is over.
    #[error("beacon expired at {0}")]
    Expired(Timestamp),
}

impl Judged for BeaconError {
    fn verdict(&self) -> Verdict {
        match self {
            Self::Malformed(_) => Verdict::Reject,
            // A forwarder with an older or newer charter cannot know that the registrar changed.
            Self::OtherCoalition(_)
            | Self::CharterAhead { .. }
            | Self::Signed(_)
            | Self::Future(_)
            | Self::Expired(_) => Verdict::Ignore,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "beacon-malformed",
            Self::OtherCoalition(_) => "other-coalition",
            Self::CharterAhead { .. } => "beacon-charter-ahead",
            Self::Signed(_) => "beacon-signature",
            Self::Future(_) => "beacon-future",
            Self::Expired(_) => "beacon-expired",
        }
    }
}

/// Signs where the head is, for `lifetime`: the registrar's act.
#[must_use]
pub fn make(
    charter: &Charter,
    head: RosterVersion,
    lifetime: Duration,
    now: Timestamp,
    registrar: &SigningKey,
) -> schema::Signed {
    let coalition = charter.coalition();
    let beacon = schema::Beacon {
        coalition: coalition.to_vec(),
        head: Some(head.into()),
        charter_version: charter.version(),
        made: now.as_micros(),
        expires: now.saturating_add(lifetime).as_micros(),
    };
    signed::sign(beacon.encode_to_vec(), Purpose::Beacon, coalition, &[registrar])
}

/// Reads a beacon that was verified before it was kept; nothing is checked but its form.
#[must_use]
pub fn read(signed: &schema::Signed) -> Option<Beacon> {
    let wire: schema::Beacon = decode_canonical(WHAT, &signed.payload, MAX_STATEMENT).ok()?;
    Some(Beacon {
        head: RosterVersion::try_from(wire.head.as_ref()?).ok()?,
        charter_version: wire.charter_version,
        made: Timestamp::from_micros(wire.made),
        expires: Timestamp::from_micros(wire.expires),
    })
}

/// Verifies a beacon under the charter in force, at `now`.
///
/// # Errors
/// [`BeaconError`].
pub fn verify(charter: &Charter, signed: &schema::Signed, now: Timestamp) -> Result<Beacon, BeaconError> {
    let wire: schema::Beacon = decode_canonical(WHAT, &signed.payload, MAX_STATEMENT)?;
    let field = |field, rule| Malformed::field(WHAT, field, rule);
    let coalition = CoalitionId::try_from(wire.coalition.as_slice())
        .map_err(|_| field("coalition", "must be 32 bytes"))?;
    let head = wire
        .head
        .as_ref()
        .and_then(|head| RosterVersion::try_from(head).ok())
        .ok_or(field("head", "must be set, with an entry id of 32 bytes"))?;
    if (head.height.get() == 0) != (head.head == RosterVersion::EMPTY.head) {
        return Err(field("head", "must be zero at height 0 and only there").into());
    }
    if wire.expires <= wire.made {
        return Err(field("expires", "must lie after made").into());
    }
    if coalition != charter.coalition() {
        return Err(BeaconError::OtherCoalition(coalition));
    }
    if wire.charter_version > charter.version() {
        return Err(BeaconError::CharterAhead { have: charter.version(), found: wire.charter_version });
    }
    signed::require(signed, Purpose::Beacon, coalition, &BTreeSet::from([charter.registrar()]), 1)
        .map_err(BeaconError::Signed)?;
    let (made, expires) = (Timestamp::from_micros(wire.made), Timestamp::from_micros(wire.expires));
    if made > now.saturating_add(charter.clock_skew()) {
        return Err(BeaconError::Future(made));
    }
    if now >= expires.saturating_add(charter.clock_skew()) {
        return Err(BeaconError::Expired(expires));
    }
    Ok(Beacon { head, charter_version: wire.charter_version, made, expires })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        id::{EntryId, Height},
        trust::request::tests::{NOW, charter, charter_with, key},
    };

    const HOUR: Duration = Duration::from_secs(3600);
    const HEAD: RosterVersion = RosterVersion { height: Height::new(7), head: EntryId::new([7; 32]) };

    /// The test charter's registrar.
    fn registrar() -> SigningKey {
        key(3)
    }

    fn beacon() -> schema::Signed {
        make(&charter(), HEAD, HOUR, NOW, &registrar())
    }

    #[test]
    fn a_beacon_says_where_the_head_is_for_a_while() {
        let verified = verify(&charter(), &beacon(), NOW).unwrap();
        assert_eq!((verified.head, verified.charter_version, verified.made), (HEAD, 1, NOW));
        assert_eq!(verified.expires, NOW.saturating_add(HOUR));
        let later = NOW.saturating_add(HOUR);
        assert_eq!(verify(&charter(), &beacon(), later), Err(BeaconError::Expired(later)));
        let earlier = NOW.saturating_sub(HOUR);
        assert_eq!(verify(&charter(), &beacon(), earlier), Err(BeaconError::Future(NOW)));
    }

    #[test]
    fn clocks_may_differ_by_the_charters_skew_both_ways() {
        let skewed = charter_with(|wire| wire.clock_skew_s = 60);
        let beacon = make(&skewed, HEAD, HOUR, NOW, &registrar());
        let minute = Duration::from_secs(60);
        let at = |now| verify(&skewed, &beacon, now);
        assert!(at(NOW.saturating_sub(minute)).is_ok());
        assert!(at(NOW.saturating_sub(2 * minute)).is_err());
        assert!(at(NOW.saturating_add(HOUR)).is_ok());
        assert!(at(NOW.saturating_add(HOUR + minute)).is_err());
    }

    #[test]
    fn only_the_registrar_makes_one() {
        let by = |keys: &[&SigningKey]| {
            let signed = signed::sign(beacon().payload, Purpose::Beacon, charter().coalition(), keys);
            verify(&charter(), &signed, NOW)
        };
        assert!(by(&[&registrar()]).is_ok());
        for keys in [&[&key(1)][..], &[&key(2)], &[], &[&registrar(), &key(2)]] {
            let error = by(keys).unwrap_err();
            assert!(matches!(error, BeaconError::Signed(_)));
            assert_eq!(error.verdict(), Verdict::Ignore);
        }
        let entry = signed::sign(beacon().payload, Purpose::LogEntry, charter().coalition(), &[&registrar()]);
        assert!(matches!(verify(&charter(), &entry, NOW), Err(BeaconError::Signed(_))));
    }

    #[test]
    fn another_coalition_and_a_newer_charter_are_not_ours_to_judge() {
        let other = charter_with(|wire| wire.name = "Other".into());
        assert_eq!(verify(&other, &beacon(), NOW), Err(BeaconError::OtherCoalition(charter().coalition())));
        let mut wire = schema::Beacon::decode(beacon().payload.as_slice()).unwrap();
        wire.charter_version = 2;
        let ahead = signed::sign(wire.encode_to_vec(), Purpose::Beacon, charter().coalition(), &[&key(9)]);
        assert_eq!(verify(&charter(), &ahead, NOW), Err(BeaconError::CharterAhead { have: 1, found: 2 }));
    }

    #[test]
    fn senseless_bytes_are_the_forwarders_fault() {
        let refused = |change: fn(&mut schema::Beacon)| {
            let mut wire = schema::Beacon::decode(beacon().payload.as_slice()).unwrap();
            change(&mut wire);
            let signed =
                signed::sign(wire.encode_to_vec(), Purpose::Beacon, charter().coalition(), &[&registrar()]);
            verify(&charter(), &signed, NOW).unwrap_err()
        };
        for error in [
            refused(|wire| wire.head = None),
            refused(|wire| wire.head.as_mut().unwrap().head = vec![0; 32]),
            refused(|wire| wire.expires = wire.made),
            refused(|wire| wire.coalition.clear()),
        ] {
            assert_eq!(error.verdict(), Verdict::Reject, "{error}");
        }
    }
}
