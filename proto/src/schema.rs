//! The wire schema, generated from `proto/schema/belfry/v1`, and its one way in.
//!
//! Protobuf lets many byte strings mean one value. Whatever is signed or hashed must have exactly
//! one, so [`decode_canonical`] refuses bytes that do not re-encode to themselves; unknown fields,
//! fields out of order and padded varints all end here. The received bytes stay the ones that are
//! hashed and verified; the re-encoding is compared and dropped.

#![allow(missing_docs, clippy::doc_markdown)]

include!(concat!(env!("OUT_DIR"), "/belfry.v1.rs"));

/// Why bytes are not one of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not protobuf of the expected message.
    #[error("bytes do not decode as {what}: {detail}")]
    Undecodable {
        /// Message name.
        what: &'static str,
        /// The decoder's reason.
        detail: String,
    },
    /// Decodes, but is not the one encoding (an unknown field, a different order, a padded number).
    #[error("{what} is not in canonical encoding")]
    NotCanonical {
        /// Message name.
        what: &'static str,
    },
    /// Longer than its limit.
    #[error("{what} is {len} bytes, over the limit of {limit}")]
    TooLong {
        /// Message name.
        what: &'static str,
        /// Length found.
        len: usize,
        /// Limit.
        limit: usize,
    },
    /// A field breaks a rule of its own.
    #[error("{what}: {field} {rule}")]
    Field {
        /// Message name.
        what: &'static str,
        /// Field name.
        field: &'static str,
        /// The rule it breaks, as in "must be 32 bytes".
        rule: &'static str,
    },
}

impl Malformed {
    /// Shorthand for a field that breaks `rule`.
    #[must_use]
    pub const fn field(what: &'static str, field: &'static str, rule: &'static str) -> Self {
        Self::Field { what, field, rule }
    }
}

/// Decodes `bytes` and refuses any encoding but the canonical one.
///
/// # Errors
/// [`Malformed::TooLong`], [`Malformed::Undecodable`] or [`Malformed::NotCanonical`], naming `what`.
pub fn decode_canonical<M: prost::Message + Default>(
    what: &'static str,
    bytes: &[u8],
    limit: usize,
) -> Result<M, Malformed> {
    if bytes.len() > limit {
        return Err(Malformed::TooLong { what, len: bytes.len(), limit });
    }
    let message = M::decode(bytes).map_err(|e| Malformed::Undecodable { what, detail: e.to_string() })?;
    if message.encoded_len() != bytes.len() || message.encode_to_vec() != bytes {
        return Err(Malformed::NotCanonical { what });
    }
    Ok(message)
}
