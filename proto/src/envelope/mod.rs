//! Messages: from bytes that anyone may have sent to a publication that a reader may trust, and back.
//!
//! Each rung is a type of its own with private fields and one constructor, so no check can be skipped:
//!
//! ```text
//! &[u8] ─decode─▶ Decoded          well formed, parts match their signed hashes      (any fault: Reject)
//!       ─attribute(roster)─▶ Attributed   the certificate it names could have written it
//!       ─verify─▶ Verified         that certificate's key signed it               (bad signature: Reject)
//!       ─admit(roster, origin, now)─▶ Admitted ⇒ Verdict::Accept
//!       ─open(key)─▶ Opened        who holds the content key, or is a named recipient
//!       ─parse─▶ Publication       STIX objects and what they are marked with
//! ```
//!
//! The forwarding verdict falls at [`Admitted`]: a carrier forwards what it can never open, and a payload
//! that does not parse is its author's fault, not its forwarder's. Every error is
//! [`Judged`](crate::verdict::Judged); only faults that every honest node would see without its roster are
//! `Reject`, so that nodes whose admin log lags never graylist each other.
//!
//! Two of them bring their envelope along, because it is to be kept: a peer ahead of our admin log
//! ([`AttributeError::AheadOfRoster`]: park it), and an entry beyond a cut ([`AdmitError::Quarantined`]:
//! store it hidden). Rungs share one allocation, so keeping a clone of [`Decoded`] costs nothing.
//!
//! Downwards, [`seal_message`] makes what [`decode()`] reads. Who may hold a content key is said by
//! [`may_grant`], and whether a publisher must make a fresh one by [`key_is_usable`].

pub mod admit;
pub mod attribute;
pub mod author;
pub mod content_key;
pub mod decode;
pub mod grant_rule;
pub mod header;
pub mod open;
pub mod payload;
pub mod recipients;
pub mod verify;
pub mod withdrawal;

mod body;

#[cfg(test)]
pub(crate) mod tests;

pub use admit::{Admission, AdmitError, Admitted, Never, NotNow, Origin, Quarantined, REMOVED_ON_SIGHT};
pub use attribute::{AttributeError, Attributed};
pub use author::{Author, AuthorError, Draft, Position, SealWith, log_id, seal_message};
pub use body::{BodyError, TooLarge};
pub use content_key::{ContentKey, KeyContext, KeyError};
pub use decode::{DecodeError, Decoded, decode};
pub use grant_rule::{GrantRefusal, key_is_usable, may_grant};
pub use header::{Content, Header, Sealing, Withdrawal};
pub use open::{OpenError, Opened};
pub use payload::{Handling, ParseError, Publication};
pub use recipients::{RecipientContext, RecipientKey, RecipientsError, open_block, seal_block};
pub use verify::{Verified, VerifyError, Voucher};
pub use withdrawal::{Ending, LIFTED_WITHIN, WithdrawalRefusal, Word, ending};
