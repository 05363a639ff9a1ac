//! Payload bytes with signatures by distinct, allowed keys.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    crypto::sign::{KeyError, PublicKey, Purpose, SigningKey},
    id::CoalitionId,
    limits::MAX_SIGNATURES,
    schema,
    time::Timestamp,
};

/// Why a signed payload does not carry the signatures it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignedError {
    /// More signatures than any threshold needs.
    #[error("{0} signatures, over the limit of 32")]
    TooMany(usize),
    /// A key that is no key.
    #[error("signature by an unusable key: {0}")]
    Key(#[from] KeyError),
    /// Signed by a key that has no say here.
    #[error("signed by {0}, which has no such role")]
    NotAllowed(PublicKey),
    /// One key twice: a threshold counts keys, not signatures.
    #[error("signed twice by {0}")]
    Twice(PublicKey),
    /// A signature that does not verify.
    #[error("the signature by {0} does not verify")]
    Bad(PublicKey),
    /// Signed by a key whose time was over.
    #[error("signed by {key}, whose time ended on {end}")]
    Ended {
        /// The key.
        key: PublicKey,
        /// From when on it has no say.
        end: Timestamp,
    },
    /// Too few of the keys signed.
    #[error("{found} of {needed} signatures")]
    TooFew {
        /// Valid ones found.
        found: usize,
        /// Threshold.
        needed: u32,
    },
}

/// Signs `payload` with every one of `keys`.
#[must_use]
pub fn sign(
    payload: Vec<u8>,
    purpose: Purpose,
    coalition: CoalitionId,
    keys: &[&SigningKey],
) -> schema::Signed {
    let mut signed = schema::Signed { payload, signatures: Vec::new() };
    for key in keys {
        add_signature(&mut signed, purpose, coalition, key);
    }
    signed
}

/// Adds the signature of one more holder.
pub fn add_signature(
    signed: &mut schema::Signed,
    purpose: Purpose,
    coalition: CoalitionId,
    key: &SigningKey,
) {
    let signature = key.sign(purpose, coalition, &[&signed.payload]).to_vec();
    signed.signatures.push(schema::Signature { key: key.public().as_bytes().to_vec(), signature });
}

/// The distinct keys of `allowed` that signed. One bad or foreign signature refuses the whole: whoever
/// adds such a one is up to something, and nobody honest needs it to be overlooked.
///
/// # Errors
/// [`SignedError`], never [`SignedError::TooFew`] or [`SignedError::Ended`].
pub fn valid_signers(
    signed: &schema::Signed,
    purpose: Purpose,
    coalition: CoalitionId,
    allowed: &BTreeSet<PublicKey>,
) -> Result<BTreeSet<PublicKey>, SignedError> {
    if signed.signatures.len() > MAX_SIGNATURES {
        return Err(SignedError::TooMany(signed.signatures.len()));
    }
    let mut signers = BTreeSet::new();
    for signature in &signed.signatures {
        // An allowed key was checked when its charter was: looking at the point again costs a fifth of a verification.
        let known = allowed.iter().find(|key| key.as_bytes().as_slice() == signature.key);
        let Some(&key) = known else {
            return Err(SignedError::NotAllowed(PublicKey::from_slice(&signature.key)?));
        };
        if !signers.insert(key) {
            return Err(SignedError::Twice(key));
        }
        key.verify(purpose, coalition, &[&signed.payload], &signature.signature)
            .map_err(|_| SignedError::Bad(key))?;
    }
    Ok(signers)
}

/// Like [`valid_signers`], and at least `threshold` of them.
///
/// # Errors
/// [`SignedError`].
pub fn require(
    signed: &schema::Signed,
    purpose: Purpose,
    coalition: CoalitionId,
    allowed: &BTreeSet<PublicKey>,
    threshold: u32,
) -> Result<(), SignedError> {
    let found = valid_signers(signed, purpose, coalition, allowed)?.len();
    if found < usize::try_from(threshold).unwrap_or(usize::MAX).max(1) {
        return Err(SignedError::TooFew { found, needed: threshold });
    }
    Ok(())
}

/// Refuses what a key signed whose time was over at `at`.
///
/// # Errors
/// [`SignedError::Ended`].
pub fn none_ended(
    signed: &schema::Signed,
    ends: &BTreeMap<PublicKey, Timestamp>,
    at: Timestamp,
) -> Result<(), SignedError> {
    let signed_by = |key: &PublicKey| signed.signatures.iter().any(|s| s.key == key.as_bytes());
    match ends.iter().find(|(key, end)| **end <= at && signed_by(key)) {
        Some((key, end)) => Err(SignedError::Ended { key: *key, end: *end }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COALITION: CoalitionId = CoalitionId::new([7; 32]);

    #[test]
    fn a_threshold_counts_distinct_allowed_keys_only() {
        let keys: Vec<SigningKey> = (1..=3).map(|i| SigningKey::from_seed(&[i; 32])).collect();
        let allowed: BTreeSet<PublicKey> = keys.iter().take(2).map(SigningKey::public).collect();
        let by = |who: &[usize]| {
            let keys: Vec<&SigningKey> = who.iter().map(|i| &keys[*i]).collect();
            let signed = sign(b"payload".to_vec(), Purpose::Statement, COALITION, &keys);
            require(&signed, Purpose::Statement, COALITION, &allowed, 2)
        };
        assert_eq!(by(&[0, 1]), Ok(()));
        assert_eq!(by(&[0]), Err(SignedError::TooFew { found: 1, needed: 2 }));
        assert_eq!(by(&[0, 0]), Err(SignedError::Twice(keys[0].public())));
        assert_eq!(by(&[0, 1, 2]), Err(SignedError::NotAllowed(keys[2].public())));
        assert_eq!(by(&[]), Err(SignedError::TooFew { found: 0, needed: 2 }));
    }

    #[test]
    fn a_flipped_bit_anywhere_is_refused() {
        let key = SigningKey::from_seed(&[1; 32]);
        let allowed = BTreeSet::from([key.public()]);
        let signed = sign(b"payload".to_vec(), Purpose::Statement, COALITION, &[&key]);
        for i in 0..7 * 8 {
            let mut other = signed.clone();
            other.payload[i / 8] ^= 1 << (i % 8);
            assert!(require(&other, Purpose::Statement, COALITION, &allowed, 1).is_err());
        }
        for i in 0..64 * 8 {
            let mut other = signed.clone();
            other.signatures[0].signature[i / 8] ^= 1 << (i % 8);
            assert!(require(&other, Purpose::Statement, COALITION, &allowed, 1).is_err());
        }
    }
}
