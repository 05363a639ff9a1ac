//! Bodies: payload → zstd → pad → XChaCha20-Poly1305 with the header as associated data, and back.
//!
//! Compressed before padding, so that the padded length hides how well it compressed; bounded on
//! opening, because a member is no less able to make a bomb than a stranger.

use std::cell::RefCell;

use crate::{
    crypto::{pad, pae::Pae, seal, secret::Secret},
    envelope::header::NONCE_LEN,
    id::CoalitionId,
    limits::{MAX_BODY, MAX_PAYLOAD},
    stix::split::COMPRESSION_LEVEL,
};

/// Associated data of a body.
const DOMAIN: &str = "belfry/v1/body";

/// A payload that no body can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooLarge {
    /// Before compression.
    #[error("payload is {0} bytes, over the limit of 1 MiB")]
    Payload(usize),
    /// After compression, padding and sealing.
    #[error("sealed body is {0} bytes, over the limit of 192 KiB")]
    Body(usize),
    /// zstd would not take it.
    #[error("payload does not compress")]
    Incompressible,
}

/// A body that does not open to a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Another key, another header, or changed bytes.
    #[error("body does not open under its key")]
    Sealed,
    /// The author padded it otherwise than everyone does.
    #[error("padding is malformed")]
    Padding,
    /// Not zstd, or more than a payload may be.
    #[error("body does not decompress within 1 MiB")]
    Compression,
}

/// What is sealed: compressed and padded. Its length is known before any key is.
pub(super) fn prepare(payload: &[u8]) -> Result<Vec<u8>, TooLarge> {
    if payload.len() > MAX_PAYLOAD {
        return Err(TooLarge::Payload(payload.len()));
    }
    let compressed = compress(payload).ok_or(TooLarge::Incompressible)?;
    let padded = pad::pad(compressed);
    let sealed_len = padded.len() + seal::TAG_LEN;
    if sealed_len > MAX_BODY {
        return Err(TooLarge::Body(sealed_len));
    }
    Ok(padded)
}

/// Seals what [`prepare`] made under the header it goes out with.
pub(super) fn seal(
    key: &Secret,
    nonce: &[u8; NONCE_LEN],
    coalition: CoalitionId,
    header: &[u8],
    prepared: &[u8],
) -> Vec<u8> {
    seal::seal(key, nonce, &associated_data(coalition, header), prepared)
}

/// Opens a body to the payload's bytes, at most [`MAX_PAYLOAD`].
pub(super) fn open(
    key: &Secret,
    nonce: &[u8; NONCE_LEN],
    coalition: CoalitionId,
    header: &[u8],
    body: &[u8],
) -> Result<Vec<u8>, BodyError> {
    let padded = seal::open(key, nonce, &associated_data(coalition, header), body)
        .map_err(|seal::OpenError| BodyError::Sealed)?;
    let compressed = pad::unpad(padded).map_err(|pad::PadError| BodyError::Padding)?;
    decompress(&compressed)
}

fn associated_data(coalition: CoalitionId, header: &[u8]) -> Vec<u8> {
    Pae::new(DOMAIN).part(coalition.as_ref()).part(header).into_bytes()
}

thread_local! {
    // Contexts are hundreds of kilobytes that zstd would otherwise map and fault in for every kilobyte.
    static COMPRESSOR: RefCell<Option<zstd::bulk::Compressor<'static>>> =
        RefCell::new(zstd::bulk::Compressor::new(COMPRESSION_LEVEL).ok());
    static DECOMPRESSOR: RefCell<zstd::bulk::Decompressor<'static>> = RefCell::default();
}

fn compress(payload: &[u8]) -> Option<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|zstd| zstd.as_mut()?.compress(payload).ok())
}

fn decompress(compressed: &[u8]) -> Result<Vec<u8>, BodyError> {
    // The frame's own claim of its size is only ever used to allocate less than the limit.
    DECOMPRESSOR
        .with_borrow_mut(|zstd| zstd.decompress(compressed, MAX_PAYLOAD))
        .map_err(|_| BodyError::Compression)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COALITION: CoalitionId = CoalitionId::new([7; 32]);

    fn sealed(prepared: &[u8]) -> Vec<u8> {
        seal(&Secret::new([1; 32]), &[2; NONCE_LEN], COALITION, b"header", prepared)
    }

    fn opened(body: &[u8]) -> Result<Vec<u8>, BodyError> {
        open(&Secret::new([1; 32]), &[2; NONCE_LEN], COALITION, b"header", body)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn opening_gives_back_what_was_sealed(payload in proptest::collection::vec(any::<u8>(), 0..20_000)) {
            prop_assert_eq!(opened(&sealed(&prepare(&payload).unwrap())), Ok(payload));
        }
    }

    #[test]
    fn another_header_or_coalition_does_not_open() {
        let body = sealed(&prepare(b"payload").unwrap());
        let key = Secret::new([1; 32]);
        assert_eq!(open(&key, &[2; 24], COALITION, b"other", &body), Err(BodyError::Sealed));
        assert_eq!(open(&key, &[2; 24], CoalitionId::ZERO, b"header", &body), Err(BodyError::Sealed));
    }

    #[test]
    fn a_decompression_bomb_is_refused_within_the_limit() {
        let bomb = vec![0; 64 * MAX_PAYLOAD];
        let honest_size = zstd::bulk::compress(&bomb, COMPRESSION_LEVEL).unwrap();
        assert!(honest_size.len() < MAX_BODY / 8);
        assert_eq!(opened(&sealed(&pad::pad(honest_size))), Err(BodyError::Compression));
        // Streamed frames do not record their size, so the limit itself has to stop them.
        let mut encoder = zstd::Encoder::new(Vec::new(), COMPRESSION_LEVEL).unwrap();
        std::io::Write::write_all(&mut encoder, &bomb).unwrap();
        let silent_size = encoder.finish().unwrap();
        assert_eq!(opened(&sealed(&pad::pad(silent_size))), Err(BodyError::Compression));
        assert_eq!(
            opened(&sealed(&prepare(&bomb[..MAX_PAYLOAD]).unwrap())).map(|p| p.len()),
            Ok(MAX_PAYLOAD)
        );
    }

    #[test]
    fn what_is_not_padded_or_not_zstd_is_refused() {
        assert_eq!(opened(&sealed(&[0; 1024])), Err(BodyError::Padding));
        assert_eq!(opened(&sealed(&pad::pad(b"plain".to_vec()))), Err(BodyError::Compression));
    }

    #[test]
    fn oversized_payloads_and_bodies_are_refused_before_sealing() {
        assert_eq!(prepare(&vec![0; MAX_PAYLOAD + 1]), Err(TooLarge::Payload(MAX_PAYLOAD + 1)));
        let mut noise = vec![0; MAX_BODY];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        assert!(matches!(prepare(&noise), Err(TooLarge::Body(_))));
    }

    #[test]
    fn sealed_lengths_of_small_payloads_are_alike() {
        let lengths: Vec<usize> = [&b"a"[..], &[7; 500]].map(|p| sealed(&prepare(p).unwrap()).len()).into();
        assert_eq!(lengths, [1024 + seal::TAG_LEN; 2]);
    }
}
