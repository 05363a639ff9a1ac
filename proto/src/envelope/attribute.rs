//! [`Decoded`] → [`Attributed`]: does the certificate that the header names exist, and can it have
//! written this? Lookups and one hash; no signature yet, so forged headers cost a node little.

use std::sync::Arc;

use crate::{
    crypto::{hash, sign::PublicKey},
    envelope::{
        decode::{Decoded, Parts, readable},
        header::Header,
    },
    id::{RosterVersion, Serial},
    trust::{certificate::Certificate, roster::Roster},
    verdict::{Judged, Verdict},
};

/// An envelope whose certificate is known; whether that certificate's key signed it is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributed {
    pub(super) parts: Arc<Parts>,
    pub(super) signer: PublicKey,
}

/// Why an envelope cannot be laid at its author's door. All are Ignore: the roster may be the one at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttributeError {
    /// Written for another coalition.
    #[error("written for another coalition")]
    OtherCoalition,
    /// Its author knew more of the admin log than we do: park it, fetch the log, try again.
    #[error("written at roster {theirs}, ahead of ours at {ours}")]
    AheadOfRoster {
        /// The header's.
        theirs: RosterVersion,
        /// Ours.
        ours: RosterVersion,
    },
    /// Its author's admin log has another entry where ours has one: a fork of the log.
    #[error("written at roster {theirs}, which is not in our admin log")]
    OtherBranch {
        /// The header's.
        theirs: RosterVersion,
    },
    /// No such certificate.
    #[error("no certificate {0}")]
    UnknownSerial(Serial),
    /// The certificate belongs to another member.
    #[error("certificate {0} belongs to another member")]
    OtherMember(Serial),
    /// The log id is not one that this certificate's keys can have.
    #[error("log id is not one of certificate {0}")]
    ForeignLog(Serial),
}

impl Judged for AttributeError {
    fn verdict(&self) -> Verdict {
        match self {
            Self::OtherCoalition
            | Self::AheadOfRoster { .. }
            | Self::OtherBranch { .. }
            | Self::UnknownSerial(_)
            | Self::OtherMember(_)
            | Self::ForeignLog(_) => Verdict::Ignore,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::OtherCoalition => "other-coalition",
            Self::AheadOfRoster { .. } => "ahead-of-roster",
            Self::OtherBranch { .. } => "other-branch",
            Self::UnknownSerial(_) => "unknown-serial",
            Self::OtherMember(_) => "other-member",
            Self::ForeignLog(_) => "foreign-log",
        }
    }
}

impl Decoded {
    /// Finds the certificate that the header names.
    ///
    /// # Errors
    /// [`AttributeError`]; [`AttributeError::AheadOfRoster`] is the one to park and try again.
    pub fn attribute(self, roster: &Roster) -> Result<Attributed, AttributeError> {
        let signer = {
            let header = self.header();
            if header.coalition != roster.coalition() {
                return Err(AttributeError::OtherCoalition);
            }
            if !roster.is_prefix(header.roster) {
                let (theirs, ours) = (header.roster, roster.version());
                return Err(match theirs.height > ours.height {
                    true => AttributeError::AheadOfRoster { theirs, ours },
                    false => AttributeError::OtherBranch { theirs },
                });
            }
            let serial = header.serial;
            let certificate = roster.certificate(serial).ok_or(AttributeError::UnknownSerial(serial))?;
            if certificate.member != header.member {
                return Err(AttributeError::OtherMember(serial));
            }
            if !is_log_of(header, certificate) {
                return Err(AttributeError::ForeignLog(serial));
            }
            certificate.signing
        };
        Ok(Attributed { parts: self.0, signer })
    }
}

impl Decoded {
    /// Of an envelope ahead of our roster: whether the certificate it names, if we hold that already, signed
    /// it for a log of its own. `None` if we do not: then nothing can be said of its author yet.
    #[must_use]
    pub fn is_signed_by_known(&self, roster: &Roster) -> Option<bool> {
        let header = self.header();
        let certificate = roster.certificate(header.serial)?;
        let is_its_own = header.coalition == roster.coalition()
            && certificate.member == header.member
            && is_log_of(header, certificate);
        let attributed = Attributed { parts: Arc::clone(&self.0), signer: certificate.signing };
        Some(is_its_own && attributed.verify().is_ok())
    }
}

fn is_log_of(header: &Header, certificate: &Certificate) -> bool {
    let expected = hash::log_id(
        header.coalition,
        header.group.get(),
        certificate.member,
        certificate.signing.as_bytes(),
        certificate.node.as_bytes(),
        &header.instance,
    );
    header.log == expected
}

readable!(Attributed, parts);
