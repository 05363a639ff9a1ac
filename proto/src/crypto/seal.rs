//! Authenticated encryption with XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03).
//!
//! The 24-byte nonce is long enough to be random: no counter has to survive a crash or a restored backup.

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};

use crate::crypto::secret::Secret;

/// Bytes that sealing adds: the Poly1305 tag. The nonce travels apart.
pub const TAG_LEN: usize = 16;
/// Bytes of a nonce.
pub const NONCE_LEN: usize = 24;

/// The sealed bytes, the key or the associated data are not the ones that were sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sealed bytes do not open")]
pub struct OpenError;

/// Seals `plain`, binding `aad`.
///
/// # Panics
/// Never for input below 256 GiB, the cipher's limit.
#[must_use]
#[allow(clippy::expect_used)]
pub fn seal(key: &Secret, nonce: &[u8; NONCE_LEN], aad: &[u8], plain: &[u8]) -> Vec<u8> {
    XChaCha20Poly1305::new(key.expose().into())
        .encrypt(&XNonce::from(*nonce), Payload { msg: plain, aad })
        .expect("shorter than the cipher's 256 GiB")
}

/// Opens what [`seal`] made.
///
/// # Errors
/// [`OpenError`] if key, nonce, associated data or bytes differ.
pub fn open(key: &Secret, nonce: &[u8], aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
    let nonce: [u8; NONCE_LEN] = nonce.try_into().map_err(|_| OpenError)?;
    XChaCha20Poly1305::new(key.expose().into())
        .decrypt(&XNonce::from(nonce), Payload { msg: sealed, aad })
        .map_err(|_| OpenError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_other_key_nonce_aad_or_byte_is_refused() {
        let key = Secret::new([1; 32]);
        let sealed = seal(&key, &[2; 24], b"aad", b"plain");
        assert_eq!(open(&key, &[2; 24], b"aad", &sealed).as_deref(), Ok(b"plain".as_slice()));
        assert_eq!(open(&Secret::new([3; 32]), &[2; 24], b"aad", &sealed), Err(OpenError));
        assert_eq!(open(&key, &[3; 24], b"aad", &sealed), Err(OpenError));
        assert_eq!(open(&key, &[2; 24], b"aae", &sealed), Err(OpenError));
        for i in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[i / 8] ^= 1 << (i % 8);
            assert_eq!(open(&key, &[2; 24], b"aad", &flipped), Err(OpenError));
        }
    }
}
