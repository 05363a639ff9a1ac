//! HPKE base mode (RFC 9180 §5.1.1) in belfry's one suite: X-Wing (draft-connolly-cfrg-xwing-kem),
//! HKDF-SHA256, ChaCha20-Poly1305.
//!
//! A hybrid KEM, because what is gossiped today can be kept until a quantum computer opens X25519.

use std::fmt;

use ::hpke::{
    Deserializable, Kem as _, OpModeR, OpModeS, Serializable, aead::ChaCha20Poly1305, kdf::HkdfSha256,
    kem::XWing, single_shot_open, single_shot_seal_with_rng,
};
use rand_core::CryptoRng;

use crate::crypto::{seal::OpenError, secret::Secret};

/// Bytes of an encapsulated key at the front of every seal.
pub const ENCAPSULATED_LEN: usize = 1120;
/// Bytes that sealing adds.
pub const OVERHEAD: usize = ENCAPSULATED_LEN + 16;

/// An X-Wing encapsulation key, checked.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KemPublic(Box<[u8]>);

/// These bytes are no X-Wing encapsulation key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an X-Wing encapsulation key of 1216 bytes")]
pub struct KemKeyError;

impl KemPublic {
    /// Checks and keeps a key.
    ///
    /// # Errors
    /// [`KemKeyError`] when the bytes are no key.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, KemKeyError> {
        <XWing as ::hpke::Kem>::PublicKey::from_bytes(bytes).map_err(|_| KemKeyError)?;
        Ok(Self(bytes.into()))
    }

    /// Raw bytes, 1216.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What people compare in its place, who do not compare twelve hundred bytes: its BLAKE3 hash.
    #[must_use]
    pub fn digest(&self) -> String {
        format!("blake3:{}", blake3::hash(&self.0).to_hex())
    }

    /// Seals `plain` so that only the holder of the secret half opens it, and only under `info`.
    /// The result is encapsulated key ‖ ciphertext.
    ///
    /// # Panics
    /// Never: the key was checked when this value was made.
    #[must_use]
    #[allow(clippy::expect_used)]
    pub fn seal<R: CryptoRng>(&self, rng: &mut R, info: &[u8], plain: &[u8]) -> Vec<u8> {
        let key = <XWing as ::hpke::Kem>::PublicKey::from_bytes(&self.0).expect("checked at construction");
        let (encapsulated, sealed) = single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, XWing>(
            &OpModeS::Base,
            &key,
            info,
            plain,
            b"",
            rng,
        )
        .expect("X-Wing encapsulation to a checked key and one short seal cannot fail");
        let mut out = encapsulated.to_bytes().to_vec();
        out.extend_from_slice(&sealed);
        out
    }
}

impl fmt::Debug for KemPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KemPublic({})", blake3::hash(&self.0).to_hex().get(..16).unwrap_or_default())
    }
}

/// An X-Wing secret key, kept as its 32-byte seed.
#[derive(Clone)]
pub struct KemSecret {
    seed: Secret,
    key: <XWing as ::hpke::Kem>::PrivateKey,
}

impl KemSecret {
    /// A fresh key.
    #[must_use]
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        Self::from_seed(Secret::generate(rng))
    }

    /// From its seed.
    ///
    /// # Panics
    /// Never: every 32-byte seed is a key.
    #[must_use]
    #[allow(clippy::expect_used)]
    pub fn from_seed(seed: Secret) -> Self {
        let key = <XWing as ::hpke::Kem>::PrivateKey::from_bytes(seed.expose())
            .expect("every 32-byte seed is an X-Wing key");
        Self { seed, key }
    }

    /// Its seed: secret.
    #[must_use]
    pub const fn seed(&self) -> &Secret {
        &self.seed
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> KemPublic {
        KemPublic(XWing::sk_to_pk(&self.key).to_bytes().as_slice().into())
    }

    /// Opens what [`KemPublic::seal`] made under the same `info`.
    ///
    /// # Errors
    /// [`OpenError`] if it was sealed to another key, under another `info`, or changed.
    pub fn open(&self, info: &[u8], sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let (encapsulated, sealed) = sealed.split_at_checked(ENCAPSULATED_LEN).ok_or(OpenError)?;
        let encapsulated =
            <XWing as ::hpke::Kem>::EncappedKey::from_bytes(encapsulated).map_err(|_| OpenError)?;
        single_shot_open::<ChaCha20Poly1305, HkdfSha256, XWing>(
            &OpModeR::Base,
            &self.key,
            &encapsulated,
            info,
            sealed,
            b"",
        )
        .map_err(|_| OpenError)
    }
}

impl fmt::Debug for KemSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KemSecret(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn opens_only_for_the_key_and_info_it_was_sealed_to() {
        let mut rng = StdRng::seed_from_u64(1);
        let (ours, theirs) = (KemSecret::generate(&mut rng), KemSecret::generate(&mut rng));
        let sealed = ours.public().seal(&mut rng, b"info", b"plain");
        assert_eq!(sealed.len(), OVERHEAD + 5);
        assert_eq!(ours.open(b"info", &sealed).as_deref(), Ok(b"plain".as_slice()));
        assert_eq!(theirs.open(b"info", &sealed), Err(OpenError));
        assert_eq!(ours.open(b"other", &sealed), Err(OpenError));
        assert_eq!(ours.open(b"info", &sealed[..100]), Err(OpenError));
        assert_eq!(KemPublic::from_slice(ours.public().as_bytes()), Ok(ours.public()));
    }
}
