//! A member's acceptance of the coalition's documents: signed by itself, filed in the admin log.
//!
//! ```text
//! charter (arrangement, rules, accept_by) ──member signs──▶ RulesAcceptance ──one admin files──▶ entry ──fold──▶ accepted
//! ```
//!
//! The first one comes with the request, and the certificate speaks for it. A charter with new texts asks for another.
//! What is owed and what it costs follows from charter, log and clock alone, so every node agrees on it.

use std::collections::BTreeSet;

use prost::Message;

use crate::{
    crypto::sign::{PublicKey, Purpose, SigningKey},
    id::{CoalitionId, Height, MemberId, Serial},
    limits::MAX_STATEMENT,
    schema::{self, AcceptancePolicy, Malformed, decode_canonical},
    time::Timestamp,
    trust::{
        charter::Charter,
        roster::Roster,
        signed::{self, SignedError},
    },
};

const WHAT: &str = "RulesAcceptance";

/// That a member accepted two texts, and where the log says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Hash of the arrangement.
    pub arrangement: Vec<u8>,
    /// Hash of the rules of conduct.
    pub rules: Vec<u8>,
    /// When, by the member's own clock; of what came with a request, when the certificate was decided.
    pub at: Timestamp,
    /// The certificate whose key signed.
    pub serial: Serial,
    /// The entry that recorded it.
    pub recorded: Height,
}

impl Accepted {
    /// Whether these are the texts of `charter`.
    #[must_use]
    pub fn is_of(&self, charter: &Charter) -> bool {
        self.arrangement == charter.arrangement().hash && self.rules == charter.rules().hash
    }
}

/// Why an acceptance does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcceptanceError {
    /// Bytes.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Given to another coalition.
    #[error("acceptance of the texts of coalition {0}, not ours")]
    OtherCoalition(CoalitionId),
    /// Not signed by the certificate's key.
    #[error("acceptance of arrangement and rules: {0}")]
    Signed(#[from] SignedError),
    /// Of another text.
    #[error("{0} accepted is not the charter's: the member must read and accept the one in force")]
    OtherText(&'static str),
}

/// Accepts the charter's two documents.
#[must_use]
pub fn sign(charter: &Charter, signing: &SigningKey, now: Timestamp) -> schema::Signed {
    let acceptance = schema::RulesAcceptance {
        coalition: charter.coalition().to_vec(),
        arrangement_hash: charter.arrangement().hash.clone(),
        rules_hash: charter.rules().hash.clone(),
        accepted: now.as_micros(),
    };
    let payload = acceptance.encode_to_vec();
    signed::sign(payload, Purpose::RulesAcceptance, charter.coalition(), &[signing])
}

/// Verifies an acceptance of the very texts `charter` names, by `signing`; gives when that was.
///
/// # Errors
/// [`AcceptanceError`], the first rule that breaks.
pub fn open(
    acceptance: &schema::Signed,
    signing: PublicKey,
    charter: &Charter,
) -> Result<Timestamp, AcceptanceError> {
    let wire: schema::RulesAcceptance = decode_canonical(WHAT, &acceptance.payload, MAX_STATEMENT)?;
    let coalition = CoalitionId::try_from(wire.coalition.as_slice())
        .map_err(|_| Malformed::field(WHAT, "coalition", "must be 32 bytes"))?;
    if coalition != charter.coalition() {
        return Err(AcceptanceError::OtherCoalition(coalition));
    }
    signed::require(acceptance, Purpose::RulesAcceptance, coalition, &BTreeSet::from([signing]), 1)?;
    if wire.arrangement_hash != charter.arrangement().hash {
        return Err(AcceptanceError::OtherText("the arrangement"));
    }
    if wire.rules_hash != charter.rules().hash {
        return Err(AcceptanceError::OtherText("the rules of conduct"));
    }
    Ok(Timestamp::from_micros(wire.accepted))
}

impl Roster {
    /// Whether the log records that a member accepted the texts of `charter`, by whichever of its certificates.
    #[must_use]
    pub fn has_accepted(&self, member: MemberId, charter: &Charter) -> bool {
        self.member(member).is_some_and(|member| member.accepted.iter().any(|texts| texts.is_of(charter)))
    }

    /// What `charter` holds against a member at `at`: nothing before its date, nor once the member has accepted.
    #[must_use]
    pub fn overdue(&self, member: MemberId, charter: &Charter, at: Timestamp) -> Option<AcceptancePolicy> {
        let is_due = charter.accept_by().is_some_and(|by| at >= by);
        (is_due && !self.has_accepted(member, charter)).then(|| charter.unaccepted())
    }
}
