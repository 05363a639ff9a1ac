//! [`Admitted`] → [`Opened`]: decryption, after the forwarding verdict has fallen.

use std::{fmt, sync::Arc};

use crate::{
    envelope::{
        admit::Admitted,
        body::{self, BodyError},
        content_key::ContentKey,
        decode::{Parts, readable},
        header::Sealing,
        payload::{self, ParseError, Publication},
        recipients::{RecipientContext, RecipientKey},
    },
    id::KeyId,
    verdict::{Judged, Verdict},
};

/// An envelope with its payload in clear.
#[derive(Clone, PartialEq, Eq)]
pub struct Opened {
    parts: Arc<Parts>,
    payload: Vec<u8>,
}

/// Why an admitted envelope stays closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// A withdrawal, or the body is not here.
    #[error("no body to open")]
    NoBody,
    /// Sealed with another key; the one needed is named.
    #[error("sealed with key {0}")]
    OtherKey(KeyId),
    /// The author used a key outside the use it was made for.
    #[error("key was made for another {0}")]
    OtherUse(&'static str),
    /// The author sealed something that is no body.
    #[error(transparent)]
    Body(#[from] BodyError),
}

impl Judged for OpenError {
    /// Accept: opening comes after admission, and the fault is the author's or this reader's.
    fn verdict(&self) -> Verdict {
        match self {
            Self::NoBody | Self::OtherKey(_) | Self::OtherUse(_) => Verdict::Accept,
            Self::Body(BodyError::Sealed | BodyError::Padding | BodyError::Compression) => Verdict::Accept,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NoBody => "no-body",
            Self::OtherKey(_) => "other-key",
            Self::OtherUse(_) => "key-other-use",
            Self::Body(BodyError::Sealed) => "body-sealed",
            Self::Body(BodyError::Padding) => "body-padding",
            Self::Body(BodyError::Compression) => "body-compression",
        }
    }
}

impl Admitted {
    /// Opens the body with the content key that its header names.
    ///
    /// # Errors
    /// [`OpenError`]; a key made for another group, audience, author or log opens nothing here, so a key
    /// granted for one use cannot be stretched to a second.
    pub fn open(&self, key: &ContentKey) -> Result<Opened, OpenError> {
        let (sealing, body) = self.sealed()?;
        if sealing.key != key.id() {
            return Err(OpenError::OtherKey(sealing.key));
        }
        let header = self.header();
        if let Some(what) = key.context().other_use(header) {
            return Err(OpenError::OtherUse(what));
        }
        let header_bytes = &self.parts.envelope.header;
        let payload = body::open(&key.body_key(), &sealing.nonce, header.coalition, header_bytes, body)?;
        Ok(Opened { parts: Arc::clone(&self.parts), payload })
    }

    /// Opens the body with the recipient key found by [`super::open_block`].
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_with(&self, key: &RecipientKey) -> Result<Opened, OpenError> {
        let (sealing, body) = self.sealed()?;
        if sealing.key != key.id() {
            return Err(OpenError::OtherKey(sealing.key));
        }
        let header = self.header();
        if *key.context() != RecipientContext::of(header) {
            return Err(OpenError::OtherUse("message"));
        }
        let header_bytes = &self.parts.envelope.header;
        let payload = body::open(&key.body_key(), &sealing.nonce, header.coalition, header_bytes, body)?;
        Ok(Opened { parts: Arc::clone(&self.parts), payload })
    }

    /// The block to try for a recipient key; `None` unless the audience is named members.
    #[must_use]
    pub fn recipients_block(&self) -> Option<&[u8]> {
        self.parts.envelope.recipients.as_deref()
    }

    fn sealed(&self) -> Result<(Sealing, &[u8]), OpenError> {
        let sealing = self.header().sealing().ok_or(OpenError::NoBody)?;
        let body = self.parts.envelope.body.as_deref().ok_or(OpenError::NoBody)?;
        Ok((*sealing, body))
    }
}

impl Opened {
    /// The payload's bytes, as the author encoded them.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Reads the payload.
    ///
    /// # Errors
    /// [`ParseError`]: the author's fault; the message stands in its log all the same.
    pub fn parse(&self) -> Result<Publication, ParseError> {
        payload::parse(&self.payload)
    }
}

readable!(Opened, parts);

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opened({}, {} bytes)", self.parts.id, self.payload.len())
    }
}
