//! Bytes → [`Decoded`]: canonical encoding, sizes, field lengths, and that the parts that lie outside
//! the signature are the ones it names. Nothing here asks who wrote it.

use std::sync::Arc;

use crate::{
    crypto::hash,
    envelope::{admit::Admitted, header::Header, recipients},
    id::MessageId,
    limits::{MAX_BODY, MAX_TRANSMIT},
    schema::{self, Malformed, decode_canonical},
    verdict::{Judged, Verdict},
};

const WHAT: &str = "envelope";

/// An envelope whose bytes are well formed; nothing is known of its author yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded(pub(super) Arc<Parts>);

/// The envelope itself, shared by every rung so that climbing copies nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) bytes: Box<[u8]>,
    pub(super) envelope: schema::Envelope,
    pub(super) header: Header,
    pub(super) id: MessageId,
}

impl Parts {
    /// What the signature covers, beside domain and coalition.
    pub(super) fn signed_parts<R>(&self, with: impl FnOnce(&[&[u8]]) -> R) -> R {
        signed_parts(&self.envelope.header, &self.envelope.body_hash, self.envelope.body_len, with)
    }
}

/// The one list of signed parts, for author and verifier.
pub(super) fn signed_parts<R>(
    header: &[u8],
    body_hash: &[u8],
    body_len: u64,
    with: impl FnOnce(&[&[u8]]) -> R,
) -> R {
    with(&[header, body_hash, &body_len.to_be_bytes()])
}

/// Why bytes are no envelope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not the canonical encoding, or a field breaks its own rule.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The body is not the one that was signed.
    #[error("body does not match its signed hash and length")]
    OtherBody,
    /// The recipients block is not the one that was signed.
    #[error("recipients block does not match its signed hash")]
    OtherRecipients,
}

impl Judged for DecodeError {
    fn verdict(&self) -> Verdict {
        match self {
            Self::Malformed(_) | Self::OtherBody | Self::OtherRecipients => Verdict::Reject,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::OtherBody => "other-body",
            Self::OtherRecipients => "other-recipients",
        }
    }
}

/// Reads an envelope as it travels.
///
/// A missing body is well formed here (it may have been withdrawn, or be past retention); gossip asks
/// for it later. Body and recipients block come and go together: without its block a narrowed body is
/// noise, and would be counted as held.
///
/// # Errors
/// [`DecodeError`]: whoever handed over these bytes should have refused them too.
pub fn decode(bytes: &[u8]) -> Result<Decoded, DecodeError> {
    let envelope: schema::Envelope = decode_canonical(WHAT, bytes, MAX_TRANSMIT)?;
    let field = |field, rule| DecodeError::Malformed(Malformed::field(WHAT, field, rule));
    let header = Header::decode(&envelope.header)?;
    if envelope.body_hash.len() != 32 {
        return Err(field("body_hash", "must be 32 bytes"));
    }
    if envelope.signature.len() != 64 {
        return Err(field("signature", "must be 64 bytes"));
    }
    if envelope.body_len > MAX_BODY as u64 {
        return Err(field("body_len", "must be at most 192 KiB"));
    }
    if (envelope.body_len > 0) != header.sealing().is_some() {
        return Err(field("body_len", "must be above zero for data and zero for a withdrawal"));
    }
    if envelope.body_len == 0 && envelope.body_hash != hash::body(&[]) {
        return Err(field("body_hash", "must be the hash of nothing without a body"));
    }
    if let Some(body) = &envelope.body {
        if body.is_empty() {
            return Err(field("body", "must be absent rather than empty"));
        }
        if body.len() as u64 != envelope.body_len || hash::body(body) != envelope.body_hash.as_slice() {
            return Err(DecodeError::OtherBody);
        }
    }
    let named = header.sealing().and_then(|sealing| sealing.recipients);
    if envelope.recipients.is_some() != (named.is_some() && envelope.body.is_some()) {
        return Err(field("recipients", "must be present exactly with a body for named members"));
    }
    if let (Some(block), Some(expected)) = (&envelope.recipients, named) {
        if hash::recipients(block) != expected {
            return Err(DecodeError::OtherRecipients);
        }
        recipients::check_block(block)?;
    }
    let id = hash::message_id(
        header.coalition,
        &envelope.header,
        &envelope.body_hash,
        envelope.body_len,
        &envelope.signature,
    );
    Ok(Decoded(Arc::new(Parts { bytes: bytes.into(), envelope, header, id })))
}

impl Decoded {
    /// Takes bytes *this node* admitted before as admitted, without a second signature check.
    ///
    /// Only for reading back one's own store: from anywhere else it would skip the whole ladder. What
    /// was decided at admission (a cut, the author's role) is the store's row to remember.
    #[must_use]
    pub fn trusted(self) -> Admitted {
        Admitted::read_back(self.0)
    }
}

/// The same reading on every rung: what the envelope says, never whether it is true.
macro_rules! readable {
    ($rung:ty, $($path:tt)+) => {
        impl $rung {
            /// What it says of itself.
            #[must_use]
            pub fn header(&self) -> &$crate::envelope::Header {
                &self.$($path)+.header
            }

            /// Its id, computed.
            #[must_use]
            pub fn message_id(&self) -> $crate::id::MessageId {
                self.$($path)+.id
            }

            /// The bytes as they travelled.
            #[must_use]
            pub fn bytes(&self) -> &[u8] {
                &self.$($path)+.bytes
            }

            /// Whether the sealed body (and its recipients block) came along.
            #[must_use]
            pub fn has_body(&self) -> bool {
                self.$($path)+.envelope.body.is_some()
            }

            /// Whether the body is missing: its author signed one, and it is not here.
            #[must_use]
            pub fn lacks_body(&self) -> bool {
                self.$($path)+.envelope.body_len > 0 && !self.has_body()
            }

            /// Length of the sealed body its author signed; 0 for a withdrawal.
            #[must_use]
            pub fn body_len(&self) -> u64 {
                self.$($path)+.envelope.body_len
            }
        }
    };
}
pub(super) use readable;

readable!(Decoded, 0);
