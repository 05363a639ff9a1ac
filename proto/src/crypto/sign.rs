//! Ed25519 signatures over PAE(domain, coalition, payload…), verified strictly.
//!
//! `verify_strict` refuses small-order keys and non-canonical encodings (RFC 8032 §5.1.7 leaves both
//! open), so a signature that verifies here verifies the same way at every node.

use std::fmt;

use ed25519_dalek::{Signature, Signer, VerifyingKey};
use rand_core::CryptoRng;

use crate::{crypto::pae::Pae, id::CoalitionId};

/// What a signature is for. Each variant is a domain of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A charter, by root keys.
    Charter,
    /// An admin statement, by admin keys.
    Statement,
    /// A log entry, by the registrar.
    LogEntry,
    /// A beacon, by the registrar.
    Beacon,
    /// A certificate request, by the member's own keys.
    Request,
    /// Acceptance of arrangement and rules, by the member.
    RulesAcceptance,
    /// A contact record, by the member.
    Contact,
    /// An address record, by the member.
    Address,
    /// A participation notice, by the member.
    Notice,
    /// A request for changed data, by the member.
    Amendment,
    /// A message, by the member.
    Envelope,
}

impl Purpose {
    const fn domain(self) -> &'static str {
        match self {
            Self::Charter => "belfry/v1/charter",
            Self::Statement => "belfry/v1/statement",
            Self::LogEntry => "belfry/v1/log-entry",
            Self::Beacon => "belfry/v1/beacon",
            Self::Request => "belfry/v1/request",
            Self::RulesAcceptance => "belfry/v1/rules-acceptance",
            Self::Contact => "belfry/v1/contact",
            Self::Address => "belfry/v1/address",
            Self::Notice => "belfry/v1/notice",
            Self::Amendment => "belfry/v1/amendment",
            Self::Envelope => "belfry/v1/envelope",
        }
    }
}

/// An Ed25519 public key that is on the curve and not of small order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// Why 32 bytes are no key to trust.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not 32 bytes.
    #[error("an Ed25519 public key is 32 bytes, not {0}")]
    Length(usize),
    /// Not a point, or not its canonical encoding.
    #[error("not the encoding of a curve point")]
    NotAPoint,
    /// Of small order: would verify signatures nobody made.
    #[error("a key of small order")]
    Weak,
}

/// The signature does not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("signature does not verify")]
pub struct BadSignature;

impl PublicKey {
    /// Checks and keeps a key.
    ///
    /// # Errors
    /// [`KeyError`] when the bytes are no usable key.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, KeyError> {
        let array: &[u8; 32] = bytes.try_into().map_err(|_| KeyError::Length(bytes.len()))?;
        let key = VerifyingKey::from_bytes(array).map_err(|_| KeyError::NotAPoint)?;
        if key.is_weak() {
            return Err(KeyError::Weak);
        }
        // A second encoding of the same point would make a second identity of one key.
        if key.to_edwards().compress().as_bytes() != array {
            return Err(KeyError::NotAPoint);
        }
        Ok(Self(key))
    }

    /// Raw bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Verifies `signature` over (purpose, coalition, parts…).
    ///
    /// # Errors
    /// [`BadSignature`], whatever the reason.
    pub fn verify(
        &self,
        purpose: Purpose,
        coalition: CoalitionId,
        parts: &[&[u8]],
        signature: &[u8],
    ) -> Result<(), BadSignature> {
        let signature = Signature::from_slice(signature).map_err(|_| BadSignature)?;
        self.0.verify_strict(&message(purpose, coalition, parts), &signature).map_err(|_| BadSignature)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl PartialOrd for PublicKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PublicKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl std::hash::Hash for PublicKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

/// An Ed25519 secret key; zeroed when dropped, never printed.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// A fresh key.
    #[must_use]
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        Self(ed25519_dalek::SigningKey::generate(rng))
    }

    /// From its 32-byte seed.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// Its 32-byte seed: secret.
    #[must_use]
    pub fn seed(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs (purpose, coalition, parts…).
    #[must_use]
    pub fn sign(&self, purpose: Purpose, coalition: CoalitionId, parts: &[&[u8]]) -> [u8; 64] {
        self.0.sign(&message(purpose, coalition, parts)).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(redacted, public {})", self.public())
    }
}

fn message(purpose: Purpose, coalition: CoalitionId, parts: &[&[u8]]) -> Vec<u8> {
    parts
        .iter()
        .fold(Pae::new(purpose.domain()).part(coalition.as_ref()), |pae, part| pae.part(part))
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::Verifier as _;

    use super::*;

    const COALITION: CoalitionId = CoalitionId::new([7; 32]);

    #[test]
    fn a_signature_is_bound_to_purpose_coalition_and_parts() {
        let key = SigningKey::from_seed(&[1; 32]);
        let public = key.public();
        let signature = key.sign(Purpose::Statement, COALITION, &[b"ab", b"c"]);
        let verify =
            |purpose, coalition, parts: &[&[u8]]| public.verify(purpose, coalition, parts, &signature);
        assert_eq!(verify(Purpose::Statement, COALITION, &[b"ab", b"c"]), Ok(()));
        assert_eq!(verify(Purpose::LogEntry, COALITION, &[b"ab", b"c"]), Err(BadSignature));
        assert_eq!(verify(Purpose::Statement, CoalitionId::ZERO, &[b"ab", b"c"]), Err(BadSignature));
        assert_eq!(verify(Purpose::Statement, COALITION, &[b"a", b"bc"]), Err(BadSignature));
    }

    #[test]
    fn small_order_and_non_canonical_keys_are_refused() {
        assert_eq!(PublicKey::from_slice(&[0; 32]), Err(KeyError::Weak));
        let mut identity = [0; 32];
        identity[0] = 1;
        assert_eq!(PublicKey::from_slice(&identity), Err(KeyError::Weak));
        // p + 3: a second encoding of y = 3.
        let mut shifted = [0xff; 32];
        shifted[0] = 0xf0;
        shifted[31] = 0x7f;
        assert!(PublicKey::from_slice(&shifted).is_err());
    }

    /// What the key's owner alone can make, and what lax verifiers take: two byte strings for one signature.
    #[test]
    fn a_shifted_signature_and_one_by_a_point_of_small_order_are_refused() {
        let key = SigningKey::from_seed(&[1; 32]);
        let public = key.public();
        let parts: [&[u8]; 2] = [b"ab", b"c"];
        let is_taken =
            |signature: &[u8]| public.verify(Purpose::Statement, COALITION, &parts, signature).is_ok();
        let honest = key.sign(Purpose::Statement, COALITION, &parts);
        assert!(is_taken(&honest));
        // The second half, and the group's order added to it.
        let shifted = hex::decode(
            "dd24264d7fa658629301492f60c5c5ae2ac4b10c0e3674585ab468b360836410\
             1dafdf59f0fb0f470b033789f3bbccee131ca7619f243eda0fa4cb4ca707801a",
        )
        .unwrap();
        assert_eq!(honest[..32], shifted[..32]);
        assert!(!is_taken(&shifted));
        // The neutral element for the first half, and what makes the equation hold for the second.
        let weak = hex::decode(
            "0100000000000000000000000000000000000000000000000000000000000000\
             02b755c3de2ecd8cf13cefb88ef3b93bfcd2687b8bbbf6beacade27c8056bc0b",
        )
        .unwrap();
        let message = message(Purpose::Statement, COALITION, &parts);
        let lax = Signature::from_slice(&weak).unwrap();
        assert!(public.0.verify(&message, &lax).is_ok(), "it shows what strictness is for");
        assert!(!is_taken(&weak));
    }

    #[test]
    fn secret_keys_do_not_print() {
        let key = SigningKey::from_seed(&[1; 32]);
        assert!(!format!("{key:?}").contains(&hex::encode([1; 32])));
    }
}
