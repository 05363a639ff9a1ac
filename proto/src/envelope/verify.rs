//! [`Attributed`] → [`Verified`]: one strict signature over header, body hash and body length.
//!
//! Or the word of the entry after it: ids cover signatures and entries name the one before, so whoever signed a
//! later entry of a log has vouched for every byte below. One signature thus admits a page of a log. Those of the
//! entries below it are checked all the same, later: one that does not verify under a good successor proves that its
//! author broke the log ([`judge_log`](crate::sync::judge_log)).

use std::sync::Arc;

use crate::{
    crypto::sign::{BadSignature, Purpose},
    envelope::{
        admit::Admitted,
        attribute::Attributed,
        decode::{Parts, readable},
        header::Header,
    },
    id::{GroupId, LogId, MessageId, Sequence},
    verdict::{Judged, Verdict},
};

/// An envelope that its certificate's key signed, or vouched for by a later entry of its log. Whether it may stand in
/// its log is not decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    pub(super) parts: Arc<Parts>,
    pub(super) is_vouched: bool,
}

/// What an entry that was verified or admitted says of the one before it in its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Voucher {
    group: GroupId,
    log: LogId,
    sequence: Sequence,
    prev: MessageId,
}

impl Voucher {
    const fn of(header: &Header) -> Self {
        Self { group: header.group, log: header.log, sequence: header.sequence, prev: header.prev }
    }
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
        Ok(Verified { parts: self.parts, is_vouched: false })
    }

    /// Takes the word of the entry after it instead of its own signature, which is to be checked later. The log's id
    /// says that one certificate wrote both. If the voucher is for another entry, nothing changes.
    ///
    /// # Errors
    /// The envelope as it was: `voucher` does not name it.
    pub fn vouched(self, voucher: Voucher) -> Result<Verified, Self> {
        let header = self.header();
        let follows = header.sequence.get().checked_add(1) == Some(voucher.sequence.get());
        let is_same_log = (header.group, header.log) == (voucher.group, voucher.log);
        if is_same_log && follows && voucher.prev == self.message_id() {
            Ok(Verified { parts: self.parts, is_vouched: true })
        } else {
            Err(self)
        }
    }
}

impl Verified {
    /// Whether its own signature is still to be checked: the entry after it vouched for it.
    #[must_use]
    pub const fn is_vouched(&self) -> bool {
        self.is_vouched
    }

    /// What it says of the entry before it.
    #[must_use]
    pub fn voucher(&self) -> Voucher {
        Voucher::of(self.header())
    }
}

impl Admitted {
    /// What it says of the entry before it.
    #[must_use]
    pub fn voucher(&self) -> Voucher {
        Voucher::of(self.header())
    }
}

readable!(Verified, parts);
