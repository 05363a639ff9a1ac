//! A member's word that it leaves: with it the decision is its own, and the admins only carry it out.
//!
//! Three dates differ, and each has its place: when the member *decided* and from when on it is out (*effective*) stand
//! here; when that was *recorded* is what the entry of the admin log says. The revocation that follows takes both over.

use prost::Message;

use crate::{
    crypto::sign::{Purpose, SigningKey},
    id::{CoalitionId, MemberId, Serial},
    limits::MAX_STATEMENT,
    schema::{self, Malformed, RevocationReason, decode_canonical},
    time::Timestamp,
    trust::{
        roster::{Roster, Standing},
        signed::{self, SignedError},
        statement::{BeforeDecision, Decision},
    },
};

const WHAT: &str = "Departure";

/// A departure whose dates hold together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departure {
    /// Coalition it is given to.
    pub coalition: CoalitionId,
    /// Who leaves.
    pub member: MemberId,
    /// When the member decided it.
    pub decided: Timestamp,
    /// From when on it is no member any more.
    pub effective: Timestamp,
    /// When this was signed.
    pub made: Timestamp,
}

/// Why a departure does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DepartureError {
    /// Bytes.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// From another coalition.
    #[error("departure from coalition {0}, not ours")]
    OtherCoalition(CoalitionId),
    /// The log knows no such member.
    #[error("the log knows no member {0}")]
    UnknownMember(MemberId),
    /// No valid certificate of the member signed it.
    #[error("departure: {0}")]
    Signed(#[from] SignedError),
    /// Nobody leaves before it was decided.
    #[error("it cannot take effect on {effective} when it was decided on {decided}")]
    BeforeDecision {
        /// From when on.
        effective: Timestamp,
        /// When decided.
        decided: Timestamp,
    },
    /// What is still to come was not decided.
    #[error("it says of itself that it was decided on {decided}, after it was signed on {made}")]
    NotYetDecided {
        /// When decided.
        decided: Timestamp,
        /// When signed.
        made: Timestamp,
    },
}

impl Departure {
    /// Checks the dates: before anything is signed, and whenever it is read.
    ///
    /// # Errors
    /// [`DepartureError`].
    pub fn check(&self) -> Result<(), DepartureError> {
        let Self { decided, effective, made, .. } = *self;
        BeforeDecision::check(decided, effective).map_err(|BeforeDecision { effective, decided }| {
            DepartureError::BeforeDecision { effective, decided }
        })?;
        if decided > made {
            return Err(DepartureError::NotYetDecided { decided, made });
        }
        Ok(())
    }

    /// Signs it with the signing key of one of the member's certificates.
    ///
    /// # Errors
    /// [`DepartureError`], by its dates: nothing was signed.
    pub fn sign(&self, signing: &SigningKey) -> Result<schema::Signed, DepartureError> {
        self.check()?;
        let payload = schema::Departure {
            coalition: self.coalition.to_vec(),
            member: self.member.to_vec(),
            decided: self.decided.as_micros(),
            effective: self.effective.as_micros(),
            made: self.made.as_micros(),
        }
        .encode_to_vec();
        Ok(signed::sign(payload, Purpose::Notice, self.coalition, &[signing]))
    }

    /// Verifies a departure before anything is decided on it: signed by a key of the member that is certified at `now`.
    ///
    /// # Errors
    /// [`DepartureError`], the first rule that breaks.
    pub fn open(signed: &schema::Signed, roster: &Roster, now: Timestamp) -> Result<Self, DepartureError> {
        Self::open_by(signed, roster, |serial| roster.standing(serial, now) == Standing::Valid)
    }

    /// Verifies a departure afterwards: signed by a key that the member has or had. A stolen one may have signed it later
    /// than it says.
    ///
    /// # Errors
    /// [`DepartureError`], the first rule that breaks.
    pub fn open_past(signed: &schema::Signed, roster: &Roster) -> Result<Self, DepartureError> {
        Self::open_by(signed, roster, |_| true)
    }

    fn open_by(
        signed: &schema::Signed,
        roster: &Roster,
        counts: impl Fn(Serial) -> bool,
    ) -> Result<Self, DepartureError> {
        let wire: schema::Departure = decode_canonical(WHAT, &signed.payload, MAX_STATEMENT)?;
        let field = |field, rule| Malformed::field(WHAT, field, rule);
        let departure = Self {
            coalition: CoalitionId::try_from(wire.coalition.as_slice())
                .map_err(|_| field("coalition", "must be 32 bytes"))?,
            member: MemberId::try_from(wire.member.as_slice())
                .map_err(|_| field("member", "must be 16 bytes"))?,
            decided: Timestamp::from_micros(wire.decided),
            effective: Timestamp::from_micros(wire.effective),
            made: Timestamp::from_micros(wire.made),
        };
        if departure.coalition != roster.coalition() {
            return Err(DepartureError::OtherCoalition(departure.coalition));
        }
        departure.check()?;
        let member =
            roster.member(departure.member).ok_or(DepartureError::UnknownMember(departure.member))?;
        let keys = roster.signing_keys(member, counts);
        signed::require(signed, Purpose::Notice, departure.coalition, &keys, 1)?;
        Ok(departure)
    }

    /// The certificates that end with it: every one of the member's that was not ended before, the suspended and the
    /// expired ones as well, because either could come back.
    #[must_use]
    pub fn certificates(&self, roster: &Roster) -> Vec<Serial> {
        let serials = roster.member(self.member).map(|member| member.serials.as_slice()).unwrap_or_default();
        let is_over = |serial| {
            matches!(roster.standing(serial, self.effective), Standing::Revoked | Standing::Superseded)
                && roster.ends(serial).is_none_or(|end| end <= self.effective)
        };
        serials.iter().copied().filter(|serial| !is_over(*serial)).collect()
    }

    /// The decision about one of them. Without a cut all that was published until then stays, if that is still to come
    /// when the decision is made; else nothing does.
    #[must_use]
    pub fn decision(&self, serial: Serial, cut: Vec<schema::CutPoint>) -> Decision {
        Decision::Revoke(schema::Revoke {
            serial: serial.get(),
            member: self.member.to_vec(),
            reason: RevocationReason::Left.into(),
            decided: self.decided.as_micros(),
            effective: self.effective.as_micros(),
            cut,
        })
    }
}
