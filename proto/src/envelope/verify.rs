//! [`Attributed`] → [`Verified`]: one strict signature over header, body hash and body length.

use std::sync::Arc;

use crate::{
    crypto::sign::{BadSignature, Purpose},
    envelope::{
        attribute::Attributed,
        decode::{Parts, readable},
    },
    verdict::{Judged, Verdict},
};

/// An envelope that its certificate's key signed. Whether it may stand in its log is not decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    pub(super) parts: Arc<Parts>,
}

/// The signature is not the certificate's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Forged, damaged, or signed for something else.
    #[error("signature does not verify under the certificate's key")]
    BadSignature,
}

impl Judged for VerifyError {
    fn verdict(&self) -> Verdict {
        match self {
            // Serials are never reused: whoever holds this one refuses these bytes too.
            Self::BadSignature => Verdict::Reject,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::BadSignature => "bad-signature",
        }
    }
}

impl Attributed {
    /// Verifies the author's signature.
    ///
    /// # Errors
    /// [`VerifyError::BadSignature`].
    pub fn verify(self) -> Result<Verified, VerifyError> {
        let coalition = self.parts.header.coalition;
        self.parts
            .signed_parts(|parts| {
                self.signer.verify(Purpose::Envelope, coalition, parts, &self.parts.envelope.signature)
            })
            .map_err(|BadSignature| VerifyError::BadSignature)?;
        Ok(Verified { parts: self.parts })
    }
}

readable!(Verified, parts);
