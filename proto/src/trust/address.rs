//! Address records: where a certificate's node can be reached, by the word of its signing key.
//!
//! A wrong address costs a failed dial and nothing else: the node at the other end proves its own key. The
//! signature is there so that nobody can point the coalition's dials at a third party.

use std::collections::BTreeSet;

use prost::Message;

use crate::{
    crypto::sign::{Purpose, SigningKey},
    id::{CoalitionId, Serial},
    limits::{MAX_ADDRESSES, MAX_STATEMENT},
    schema::{self, Malformed, decode_canonical},
    time::Timestamp,
    trust::{
        roster::{Roster, Standing},
        signed::{self, SignedError},
    },
    verdict::{Judged, Verdict},
};

const WHAT: &str = "AddressRecord";
/// Bytes of one multiaddress: IP addresses with their ports take some 20, DNS names up to their own length.
pub const MAX_ADDRESS: usize = 256;

/// Addresses that a valid certificate's key signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedAddress {
    /// The certificate.
    pub serial: Serial,
    /// When it was made; larger replaces smaller.
    pub made: Timestamp,
    /// Binary multiaddresses, unparsed; none takes earlier ones back.
    pub addresses: Vec<Vec<u8>>,
}

/// Why an address record is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Bytes.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Of another coalition.
    #[error("address record of coalition {0}, not ours")]
    OtherCoalition(CoalitionId),
    /// Of a certificate we do not have (yet).
    #[error("address record of certificate {0}, which we do not know")]
    UnknownSerial(Serial),
    /// Of a certificate that is not in force.
    #[error("address record of certificate {serial}, which is {}", standing.as_str())]
    NotValid {
        /// The certificate.
        serial: Serial,
        /// What it is instead.
        standing: Standing,
    },
    /// Not signed by the certificate's signing key.
    #[error("address record of certificate {serial}: {error}")]
    Signed {
        /// The certificate.
        serial: Serial,
        /// What is wrong.
        error: SignedError,
    },
    /// From the future.
    #[error("address record made at {0}, which is to come")]
    Future(Timestamp),
}

impl Judged for AddressError {
    fn verdict(&self) -> Verdict {
        match self {
            // A serial names one signing key for ever, so whoever knows it can tell.
            Self::Malformed(_) | Self::Signed { .. } => Verdict::Reject,
            Self::OtherCoalition(_) | Self::UnknownSerial(_) | Self::NotValid { .. } | Self::Future(_) => {
                Verdict::Ignore
            }
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "address-malformed",
            Self::OtherCoalition(_) => "other-coalition",
            Self::UnknownSerial(_) => "unknown-serial",
            Self::NotValid { .. } => "not-valid",
            Self::Signed { .. } => "bad-signature",
            Self::Future(_) => "address-future",
        }
    }
}

/// Signs where a certificate's node can be reached.
#[must_use]
pub fn make(
    coalition: CoalitionId,
    serial: Serial,
    addresses: Vec<Vec<u8>>,
    now: Timestamp,
    signing: &SigningKey,
) -> schema::Signed {
    let record = schema::AddressRecord {
        coalition: coalition.to_vec(),
        serial: serial.get(),
        addresses,
        made: now.as_micros(),
    };
    signed::sign(record.encode_to_vec(), Purpose::Address, coalition, &[signing])
}

/// Verifies an address record against the roster at `now`.
///
/// # Errors
/// [`AddressError`].
pub fn verify(
    roster: &Roster,
    signed: &schema::Signed,
    now: Timestamp,
) -> Result<VerifiedAddress, AddressError> {
    let wire: schema::AddressRecord = decode_canonical(WHAT, &signed.payload, MAX_STATEMENT)?;
    let field = |field, rule| Malformed::field(WHAT, field, rule);
    let coalition = CoalitionId::try_from(wire.coalition.as_slice())
        .map_err(|_| field("coalition", "must be 32 bytes"))?;
    if wire.addresses.len() > MAX_ADDRESSES {
        return Err(field("addresses", "must be at most 16").into());
    }
    if wire.addresses.iter().any(|address| address.is_empty() || address.len() > MAX_ADDRESS) {
        return Err(field("addresses", "must be 1 to 256 bytes each").into());
    }
    if coalition != roster.coalition() {
        return Err(AddressError::OtherCoalition(coalition));
    }
    let serial = Serial::new(wire.serial);
    let certificate = roster.certificate(serial).ok_or(AddressError::UnknownSerial(serial))?;
    let standing = roster.standing(serial, now);
    if standing != Standing::Valid {
        return Err(AddressError::NotValid { serial, standing });
    }
    signed::require(signed, Purpose::Address, coalition, &BTreeSet::from([certificate.signing]), 1)
        .map_err(|error| AddressError::Signed { serial, error })?;
    let made = Timestamp::from_micros(wire.made);
    if made > now.saturating_add(roster.charter().clock_skew()) {
        return Err(AddressError::Future(made));
    }
    Ok(VerifiedAddress { serial, made, addresses: wire.addresses })
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use rand::{SeedableRng, rngs::StdRng};

    use super::*;
    use crate::{
        id::{EntryId, Height, MemberId},
        trust::{
            charter::CharterChain,
            log,
            request::{
                self,
                tests::{NOW, charter, charter_with, draft, kem, key},
            },
            statement::{self, Decision},
        },
    };

    const DAY: Duration = Duration::from_secs(24 * 3600);
    const SERIAL: Serial = Serial::new(1);

    /// One certificate, of signing key 11 and node key 12, valid for a day from `NOW`.
    pub(crate) fn roster() -> Roster {
        let charter_wire = {
            let mut wire = None;
            charter_with(|charter| wire = Some(charter.clone()));
            wire.unwrap()
        };
        let (charter, coalition) = (charter(), charter().coalition());
        let signed_charter =
            signed::sign(charter_wire.encode_to_vec(), Purpose::Charter, coalition, &[&key(1)]);
        let mut roster = Roster::new(CharterChain::start(signed_charter).unwrap());
        let request = request::build(&draft(), &key(11), &key(12), &kem(), &charter, NOW);
        let request = request::open(&request, &charter).unwrap();
        let validity =
            schema::Validity { not_before: NOW.as_micros(), not_after: NOW.saturating_add(DAY).as_micros() };
        let certificate = request.to_certificate(MemberId::new([5; 16]), validity, &charter);
        let decision = Decision::Issue(schema::Issue { certificate: Some(certificate) });
        let statement = statement::propose(coalition, decision, None, 1, NOW, &mut StdRng::seed_from_u64(1));
        let statement = signed::sign(statement, Purpose::Statement, coalition, &[&key(2)]);
        let record = log::order(coalition, Height::new(1), EntryId::ZERO, statement, &key(3));
        let record = log::verify_record(roster.charters(), &record).unwrap();
        roster.apply(record).unwrap();
        assert!(roster.voids().is_empty(), "{:?}", roster.voids());
        roster
    }

    fn record(addresses: Vec<Vec<u8>>) -> schema::Signed {
        make(charter().coalition(), SERIAL, addresses, NOW, &key(11))
    }

    #[test]
    fn a_valid_certificates_addresses_come_through_as_signed() {
        let addresses = vec![vec![4; 8], vec![41; MAX_ADDRESS]];
        let verified = verify(&roster(), &record(addresses.clone()), NOW).unwrap();
        assert_eq!(verified, VerifiedAddress { serial: SERIAL, made: NOW, addresses });
        assert!(verify(&roster(), &record(Vec::new()), NOW).is_ok());
    }

    #[test]
    fn too_many_too_long_and_empty_addresses_are_malformed() {
        for addresses in
            [vec![vec![4; 8]; MAX_ADDRESSES + 1], vec![vec![4; MAX_ADDRESS + 1]], vec![Vec::new()]]
        {
            let error = verify(&roster(), &record(addresses), NOW).unwrap_err();
            assert!(matches!(error, AddressError::Malformed(_)));
            assert_eq!(error.verdict(), Verdict::Reject);
        }
    }

    #[test]
    fn a_signature_by_another_key_is_the_forwarders_fault() {
        for other in [key(12), key(2), key(3)] {
            let forged = make(charter().coalition(), SERIAL, Vec::new(), NOW, &other);
            let error = verify(&roster(), &forged, NOW).unwrap_err();
            assert!(matches!(error, AddressError::Signed { .. }), "{error}");
            assert_eq!(error.verdict(), Verdict::Reject);
        }
        let mut changed = record(vec![vec![4; 8]]);
        *changed.signatures[0].signature.last_mut().unwrap() ^= 1;
        assert!(matches!(verify(&roster(), &changed, NOW), Err(AddressError::Signed { .. })));
    }

    #[test]
    fn what_another_roster_or_clock_may_see_otherwise_is_ignored() {
        let ignored = |record: &schema::Signed, now| {
            let error = verify(&roster(), record, now).unwrap_err();
            assert_eq!(error.verdict(), Verdict::Ignore, "{error}");
            error
        };
        let unknown = make(charter().coalition(), Serial::new(2), Vec::new(), NOW, &key(11));
        assert_eq!(ignored(&unknown, NOW), AddressError::UnknownSerial(Serial::new(2)));
        let foreign = make(CoalitionId::ZERO, SERIAL, Vec::new(), NOW, &key(11));
        assert_eq!(ignored(&foreign, NOW), AddressError::OtherCoalition(CoalitionId::ZERO));
        let expired = AddressError::NotValid { serial: SERIAL, standing: Standing::Expired };
        assert_eq!(ignored(&record(Vec::new()), NOW.saturating_add(DAY)), expired);
        let soon = NOW.saturating_add(Duration::from_secs(1));
        let future = make(charter().coalition(), SERIAL, Vec::new(), soon, &key(11));
        assert_eq!(ignored(&future, NOW), AddressError::Future(soon));
    }
}
