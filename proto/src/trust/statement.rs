//! Admin statements: position-free decisions about one member.
//!
//! A statement names no height, so several offline admins can sign different ones at once and the
//! registrar orders them later. It names the member's previous statement instead, so two decisions that
//! did not know of each other cannot both take effect unseen.

use prost::Message;
use rand_core::CryptoRng;

pub use crate::schema::statement::Decision;
use crate::{
    crypto::hash,
    id::{CoalitionId, MemberId, Serial, StatementId},
    limits::MAX_STATEMENT,
    schema::{self, Action, Malformed, RevocationReason, decode_canonical},
    time::Timestamp,
    trust::evidence::NONCE,
};

const WHAT: &str = "Statement";
/// Cut points in one statement: every log a certificate can have, in a few groups.
pub const MAX_CUT: usize = 1024;

/// A decoded statement whose own rules hold. Who signed it is [`super::log`]'s business.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// Hash of its payload.
    pub id: StatementId,
    /// Coalition it speaks in.
    pub coalition: CoalitionId,
    /// Tells it from any other, and may be drawn from its decision record: see [`super::evidence`].
    pub nonce: [u8; NONCE],
    /// The member's latest statement when it was made; `None` for its first.
    pub previous: Option<StatementId>,
    /// Charter in force when it was made.
    pub charter_version: u64,
    /// When.
    pub made: Timestamp,
    /// What.
    pub decision: Decision,
}

/// A removal that says it takes effect before it was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it cannot take effect on {effective} when it was decided on {decided}")]
pub struct BeforeDecision {
    /// From when on.
    pub effective: Timestamp,
    /// When decided.
    pub decided: Timestamp,
}

impl BeforeDecision {
    /// Holds two dates against each other: the one rule, for the admins' statements and the member's own word.
    ///
    /// # Errors
    /// Itself.
    pub fn check(decided: Timestamp, effective: Timestamp) -> Result<(), Self> {
        if effective < decided { Err(Self { effective, decided }) } else { Ok(()) }
    }
}

/// What a decision is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A member: that of the certificate to issue, or whose data change.
    Member(MemberId),
    /// A certificate.
    Certificate(Serial),
}

impl Statement {
    /// Decodes a payload.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let wire: schema::Statement = decode_canonical(WHAT, payload, MAX_STATEMENT)?;
        let field = |field, rule| Malformed::field(WHAT, field, rule);
        let coalition = CoalitionId::try_from(wire.coalition.as_slice())
            .map_err(|_| field("coalition", "must be 32 bytes"))?;
        let nonce =
            <[u8; NONCE]>::try_from(wire.nonce.as_slice()).map_err(|_| field("nonce", "must be 16 bytes"))?;
        let previous = match wire.previous.as_slice() {
            [] => None,
            bytes => Some(
                StatementId::try_from(bytes).map_err(|_| field("previous", "must be 32 bytes or empty"))?,
            ),
        };
        let decision = wire.decision.ok_or(field("decision", "must be set"))?;
        check(&decision)?;
        Ok(Self {
            id: hash::statement_id(coalition, payload),
            coalition,
            nonce,
            previous,
            charter_version: wire.charter_version,
            made: Timestamp::from_micros(wire.made),
            decision,
        })
    }

    /// Which threshold applies.
    #[must_use]
    pub const fn action(&self) -> Action {
        action(&self.decision)
    }

    /// Whom it is about; `None` where a member id is malformed.
    #[must_use]
    pub fn subject(&self) -> Option<Subject> {
        let serial = match &self.decision {
            Decision::Issue(issue) => {
                let member = issue.certificate.as_ref()?.member.as_slice();
                return MemberId::try_from(member).ok().map(Subject::Member);
            }
            Decision::Amend(amend) => {
                return MemberId::try_from(amend.member.as_slice()).ok().map(Subject::Member);
            }
            Decision::Renew(d) => d.serial,
            Decision::Supersede(d) => d.serial,
            Decision::Suspend(d) => d.serial,
            Decision::Resume(d) => d.serial,
            Decision::Revoke(d) => d.serial,
            Decision::Entitle(d) => d.serial,
            Decision::Disentitle(d) => d.serial,
            Decision::ExtendCut(d) => d.serial,
            Decision::Accept(d) => d.serial,
        };
        Some(Subject::Certificate(Serial::new(serial)))
    }

    /// Holds the dates that it states against each other: before it is signed, before it is ordered, and by whoever verifies
    /// it. The fold does not ask: a log holds for ever what it held before anybody asked.
    ///
    /// # Errors
    /// [`BeforeDecision`].
    pub fn check_dates(&self) -> Result<(), BeforeDecision> {
        match &self.decision {
            Decision::Revoke(d) => {
                BeforeDecision::check(Timestamp::from_micros(d.decided), Timestamp::from_micros(d.effective))
            }
            _ => Ok(()),
        }
    }

    /// Removals take effect whatever the previous statement was: an emergency does not wait for order.
    #[must_use]
    pub const fn is_removal(&self) -> bool {
        is_removal(&self.decision)
    }
}

/// Whether a decision takes something away.
#[must_use]
pub const fn is_removal(decision: &Decision) -> bool {
    matches!(action(decision), Action::Revoke | Action::Suspend | Action::Disentitle)
}

/// Encodes a statement for signing, with a nonce of its own.
#[must_use]
pub fn propose<R: CryptoRng + ?Sized>(
    coalition: CoalitionId,
    decision: Decision,
    previous: Option<StatementId>,
    charter_version: u64,
    made: Timestamp,
    rng: &mut R,
) -> Vec<u8> {
    let mut nonce = [0; NONCE];
    rng.fill_bytes(&mut nonce);
    propose_with(coalition, decision, previous, charter_version, made, nonce)
}

/// Encodes a statement whose nonce is given: random, or drawn from the decision record.
#[must_use]
pub fn propose_with(
    coalition: CoalitionId,
    decision: Decision,
    previous: Option<StatementId>,
    charter_version: u64,
    made: Timestamp,
    nonce: [u8; NONCE],
) -> Vec<u8> {
    schema::Statement {
        coalition: coalition.to_vec(),
        nonce: nonce.to_vec(),
        previous: previous.map(|id| id.to_vec()).unwrap_or_default(),
        charter_version,
        made: made.as_micros(),
        decision: Some(decision),
    }
    .encode_to_vec()
}

/// Which threshold applies to a decision.
#[must_use]
pub const fn action(decision: &Decision) -> Action {
    match decision {
        Decision::Issue(_) => Action::Issue,
        Decision::Renew(_) => Action::Renew,
        Decision::Supersede(_) => Action::Supersede,
        Decision::Suspend(_) => Action::Suspend,
        Decision::Resume(_) => Action::Resume,
        Decision::Revoke(_) => Action::Revoke,
        Decision::Entitle(_) => Action::Entitle,
        Decision::Disentitle(_) => Action::Disentitle,
        Decision::ExtendCut(_) => Action::ExtendCut,
        Decision::Accept(_) => Action::Accept,
        Decision::Amend(_) => Action::Amend,
    }
}

fn check(decision: &Decision) -> Result<(), Malformed> {
    let field = |field, rule| Err(Malformed::field(WHAT, field, rule));
    let cut = match decision {
        Decision::Issue(d) if d.certificate.is_none() => return field("issue", "must hold a certificate"),
        Decision::Supersede(d) if d.certificate.is_none() => {
            return field("supersede", "must hold a certificate");
        }
        Decision::Revoke(d) => {
            match RevocationReason::try_from(d.reason) {
                Ok(RevocationReason::Unspecified) | Err(_) => return field("reason", "must be a known code"),
                Ok(_) => {}
            }
            if d.member.len() != MemberId::LEN {
                return field("member", "must be 16 bytes");
            }
            &d.cut
        }
        Decision::Supersede(d) => &d.cut,
        Decision::Suspend(d) => &d.cut,
        Decision::Disentitle(d) if d.groups.is_empty() => return field("groups", "must not be empty"),
        Decision::Disentitle(d) => &d.cut,
        Decision::ExtendCut(d) if d.cut.is_empty() => return field("cut", "must not be empty"),
        Decision::ExtendCut(d) => &d.cut,
        Decision::Entitle(d) if d.groups.is_empty() => return field("groups", "must not be empty"),
        Decision::Accept(d) if d.acceptance.is_none() => {
            return field("acceptance", "must hold what the member signed");
        }
        Decision::Amend(d) if d.organisation.is_none() => {
            return field("organisation", "must be set");
        }
        Decision::Amend(d) if d.member.len() != MemberId::LEN => return field("member", "must be 16 bytes"),
        Decision::Issue(_)
        | Decision::Renew(_)
        | Decision::Resume(_)
        | Decision::Entitle(_)
        | Decision::Accept(_)
        | Decision::Amend(_) => return Ok(()),
    };
    if cut.len() > MAX_CUT {
        return field("cut", "must hold at most 1024 points");
    }
    if cut.iter().any(|point| point.log.len() != 32 || point.message.len() != 32 || point.sequence == 0) {
        return field("cut", "points must hold a log, a message and a sequence from 1");
    }
    Ok(())
}
