//! A member's word that its data changed: with it the change is its own, and the admins only carry it out.
//!
//! It says all that is to be said of the member from then on, and names the admin log that the member had before it. So a
//! request that lay about while the data were amended otherwise does not undo that unseen.

use std::time::Duration;

use prost::Message;

use crate::{
    crypto::sign::{Purpose, SigningKey},
    id::{CoalitionId, Height, MemberId, RosterVersion, Serial},
    limits::MAX_STATEMENT,
    schema::{self, Malformed, Organisation, decode_canonical},
    time::Timestamp,
    trust::{
        certificate::{self, CertificateError},
        roster::{Roster, Standing},
        signed::{self, SignedError},
        statement::Decision,
    },
};

const WHAT: &str = "AmendmentRequest";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a request may lie about. Too short ⇒ a board that meets once a quarter has to ask for another; too long ⇒ a
/// file that somebody found speaks for a member that thinks otherwise by now.
pub const MAX_AGE: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// How far the member's clock may be ahead.
pub const MAX_AHEAD: Duration = DAY;

/// A request whose data a certificate may hold.
#[derive(Clone, Debug, PartialEq)]
pub struct AmendmentRequest {
    /// Coalition it is given to.
    pub coalition: CoalitionId,
    /// Whose data changed.
    pub member: MemberId,
    /// All that is to be said of it.
    pub organisation: Organisation,
    /// When this was signed.
    pub made: Timestamp,
    /// The log that the member had before it.
    pub roster: RosterVersion,
}

/// Why a request does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmendmentError {
    /// Bytes.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// For another coalition.
    #[error("amendment request for coalition {0}, not ours")]
    OtherCoalition(CoalitionId),
    /// The log knows no such member.
    #[error("the log knows no member {0}")]
    UnknownMember(MemberId),
    /// No valid certificate of the member signed it.
    #[error("amendment request: {0}")]
    Signed(#[from] SignedError),
    /// No certificate may say that.
    #[error("amendment request: {0}")]
    Organisation(CertificateError),
    /// Signed in days to come, it says.
    #[error("it says that it was made on {made}, which is still to come")]
    NotYet {
        /// When it says.
        made: Timestamp,
    },
    /// Signed too long ago to be taken at its word.
    #[error("it was made on {made}, more than {} days ago", MAX_AGE.as_secs() / DAY.as_secs())]
    TooOld {
        /// When it says.
        made: Timestamp,
    },
    /// Made of a log that goes on beyond ours.
    #[error("it was made of the log up to entry {found}, and the one here ends at {have}")]
    Ahead {
        /// Ours.
        have: Height,
        /// Its own.
        found: Height,
    },
    /// Made of another log than ours.
    #[error("it was made of a log with another entry {0} than the one here")]
    OtherBranch(Height),
}

/// What became of a member's data since it asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Overtaken {
    /// The newest entry that changed them.
    pub by: Height,
    /// What was said of the member when it asked.
    pub was: Organisation,
}

impl AmendmentRequest {
    /// Checks the data: before anything is signed, and whenever it is read.
    ///
    /// # Errors
    /// [`AmendmentError::Organisation`].
    pub fn check(&self) -> Result<(), AmendmentError> {
        certificate::check_organisation(&self.organisation).map_err(AmendmentError::Organisation)
    }

    /// Signs it with the signing key of one of the member's certificates.
    ///
    /// # Errors
    /// [`AmendmentError::Organisation`]: nothing was signed.
    pub fn sign(&self, signing: &SigningKey) -> Result<schema::Signed, AmendmentError> {
        self.check()?;
        let payload = schema::AmendmentRequest {
            coalition: self.coalition.to_vec(),
            member: self.member.to_vec(),
            organisation: Some(self.organisation.clone()),
            made: self.made.as_micros(),
            roster: Some(self.roster.into()),
        }
        .encode_to_vec();
        Ok(signed::sign(payload, Purpose::Amendment, self.coalition, &[signing]))
    }

    /// Verifies a request before anything is decided on it: signed by a key of the member that is certified at `now`, made
    /// of this very log, and not longer ago than [`MAX_AGE`].
    ///
    /// # Errors
    /// [`AmendmentError`], the first rule that breaks.
    pub fn open(signed: &schema::Signed, roster: &Roster, now: Timestamp) -> Result<Self, AmendmentError> {
        let request =
            Self::open_by(signed, roster, |serial| roster.standing(serial, now) == Standing::Valid)?;
        let made = request.made;
        if made > now.saturating_add(MAX_AHEAD) {
            return Err(AmendmentError::NotYet { made });
        }
        if now.since(made) > MAX_AGE {
            return Err(AmendmentError::TooOld { made });
        }
        Ok(request)
    }

    /// Verifies a request afterwards: signed by a key that the member has or had. A stolen one may have signed it later
    /// than it says.
    ///
    /// # Errors
    /// [`AmendmentError`], the first rule that breaks.
    pub fn open_past(signed: &schema::Signed, roster: &Roster) -> Result<Self, AmendmentError> {
        Self::open_by(signed, roster, |_| true)
    }

    fn open_by(
        signed: &schema::Signed,
        roster: &Roster,
        counts: impl Fn(Serial) -> bool,
    ) -> Result<Self, AmendmentError> {
        let request = decoded(signed)?;
        if request.coalition != roster.coalition() {
            return Err(AmendmentError::OtherCoalition(request.coalition));
        }
        request.check()?;
        let (have, found) = (roster.version().height, request.roster.height);
        let member = roster.member(request.member);
        // Whoever is behind may lack the member, too: the log is what there is to mend.
        if found > have {
            return Err(AmendmentError::Ahead { have, found });
        }
        let member = member.ok_or(AmendmentError::UnknownMember(request.member))?;
        let keys = roster.signing_keys(member, counts);
        signed::require(signed, Purpose::Amendment, request.coalition, &keys, 1)?;
        if !roster.is_prefix(request.roster) {
            return Err(AmendmentError::OtherBranch(found));
        }
        Ok(request)
    }

    /// What changed of the member's data since the log that it asked by, whatever they say now: a request that was
    /// granted and then amended otherwise is not granted again.
    #[must_use]
    pub fn overtaken(&self, roster: &Roster) -> Option<Overtaken> {
        let (mut was, mut said, mut by) = (Organisation::default(), Organisation::default(), None);
        roster.replay(|step| {
            if step.member != self.member {
                return;
            }
            if step.record.height <= self.roster.height {
                was.clone_from(step.organisation);
            } else if *step.organisation != said {
                by = Some(step.record.height);
            }
            said.clone_from(step.organisation);
        });
        by.map(|by| Overtaken { by, was })
    }

    /// The decision that grants it.
    #[must_use]
    pub fn decision(&self) -> Decision {
        let organisation = Some(self.organisation.clone());
        Decision::Amend(schema::Amend { member: self.member.to_vec(), organisation })
    }
}

/// The payload, whose signatures nobody has looked at.
fn decoded(signed: &schema::Signed) -> Result<AmendmentRequest, Malformed> {
    let wire: schema::AmendmentRequest = decode_canonical(WHAT, &signed.payload, MAX_STATEMENT)?;
    let field = |field, rule| Malformed::field(WHAT, field, rule);
    let roster = wire.roster.as_ref().ok_or(field("roster", "must be set"))?;
    let roster =
        RosterVersion::try_from(roster).map_err(|_| field("roster", "must have a head of 32 bytes"))?;
    if roster.height == Height::new(0) {
        return Err(field("roster", "must be from 1: the entry that issued a certificate of the member"));
    }
    Ok(AmendmentRequest {
        coalition: CoalitionId::try_from(wire.coalition.as_slice())
            .map_err(|_| field("coalition", "must be 32 bytes"))?,
        member: MemberId::try_from(wire.member.as_slice())
            .map_err(|_| field("member", "must be 16 bytes"))?,
        organisation: wire.organisation.ok_or(field("organisation", "must be set"))?,
        made: Timestamp::from_micros(wire.made),
        roster,
    })
}
