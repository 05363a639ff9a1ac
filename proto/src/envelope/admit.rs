//! [`Verified`] → [`Admitted`]: may this entry stand in its log, and may it stand there *now*?
//!
//! # Membership of a log is a pure function of bytes and admin log
//!
//! Logs have no gaps, so an entry that one node refuses for good and another keeps stalls that log for
//! ever. Whether an entry belongs is therefore decided by nothing but the entry and the admin log:
//!
//! * its author's clock stands within the certificate's validity: an entry created before expiry stays
//!   valid after it, one created after never becomes valid;
//! * the certificate was issued at or below the header's roster (decoding and attribution saw to it), and
//!   the roster that the header names is ours at that height;
//! * the certificate may publish in the group. The fold keeps what *is*, not what was at every height; it
//!   need not, because whoever loses the publisher role loses it with a *cut*, and the cut is what says
//!   which of the old entries stay. So an entry is judged by the role held now, or, once lost, by the cut
//!   that came with the loss. A role granted later than the header's roster counts too: an author that
//!   published before its entitlement reached it has harmed nobody, and no later fold can differ;
//! * its author's member was not stopped then for texts that it has still not accepted, and a charter was in force then;
//! * it does not lie beyond a cut. Entries below one are valid only as its ancestors, which the store
//!   finds out as the log links up ([`Admitted::is_below_cut`]).
//!
//! Clock, gossip and sight ([`NotNow`], [`AdmitError::WrongTopic`], [`AdmitError::Bodiless`]) only delay:
//! sync brings the same entry again.

use std::{sync::Arc, time::Duration};

use crate::{
    envelope::{
        decode::{Parts, readable},
        header::{Content, Header},
        verify::Verified,
    },
    id::{GroupId, MessageId, Serial},
    schema::{AcceptancePolicy, Role},
    time::Timestamp,
    topic::Topic,
    trust::{
        charter::Charter,
        roster::{CutStatus, Roster},
    },
    verdict::{Judged, Verdict},
};

/// How old a gossiped envelope may be.
///
/// As long as gossipsub's duplicate cache: whatever is replayed after the cache forgot it is older than
/// this. Shorter would drop what a slow mesh still delivers; older messages come by sync.
pub const MAX_GOSSIP_AGE: Duration = Duration::from_secs(15 * 60);

/// The code of [`NotNow::RemovedOnSight`]: everything before it holds of what is refused so, its signature, too.
pub const REMOVED_ON_SIGHT: &str = "removed-on-sight";

/// How an envelope came here, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// How.
    pub origin: Origin,
    /// This node's clock.
    pub now: Timestamp,
    /// How far an author's clock may run ahead of ours: the charter's.
    pub skew: Duration,
}

/// How an envelope came here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Over gossip, on this topic.
    Gossip {
        /// The topic.
        topic: Topic,
    },
    /// On a page that was asked for.
    Sync,
    /// Written by this node just now.
    Own,
}

/// An envelope that belongs into its log: forward it, store it, show it once it opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    pub(super) parts: Arc<Parts>,
    cut: CutStatus,
    is_vouched: bool,
}

/// A genuine envelope beyond a cut: stored hidden, because a later extend-cut may restore it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    parts: Arc<Parts>,
    is_vouched: bool,
}

/// Why an envelope is not admitted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdmitError {
    /// Gossip carries whole messages; nobody may use up a gossip id with less.
    #[error("gossiped without its body")]
    Bodiless,
    /// Gossiped on another topic than its group's.
    #[error("gossiped on another topic than that of group {0}")]
    WrongTopic(GroupId),
    /// It belongs into no log, by its bytes and the admin log.
    #[error(transparent)]
    Never(#[from] Never),
    /// It lies beyond a cut.
    #[error("lies beyond the cut of its author's key")]
    Quarantined(Box<Quarantined>),
    /// The clock says later, or by sync.
    #[error(transparent)]
    NotNow(#[from] NotNow),
}

/// Refusals that stand as long as the admin log does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Never {
    /// The roster given lacks the certificate that attribution found.
    #[error("no certificate {0}")]
    NoCertificate(Serial),
    /// Created before the certificate was valid, or after.
    #[error("created at {created}, outside the validity of certificate {serial}")]
    OutsideValidity {
        /// Certificate.
        serial: Serial,
        /// The author's clock.
        created: Timestamp,
    },
    /// A reader, a carrier, or somebody from another group.
    #[error("certificate {serial} may not publish in group {group}")]
    NotAPublisher {
        /// Certificate.
        serial: Serial,
        /// Group.
        group: GroupId,
    },
}

/// Refusals that pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotNow {
    /// Its author's clock is ahead.
    #[error("created {ahead:?} ahead of our clock")]
    Future {
        /// By how much.
        ahead: Duration,
    },
    /// Its author was removed by a statement that our admin log has not decided on: what of its key is not here yet waits
    /// until the log or a charter says what stands of it.
    #[error("certificate {0} was removed on sight: what it wrote waits for the admin log")]
    RemovedOnSight(Serial),
    /// Too old for gossip.
    #[error("gossiped {age:?} after it was created")]
    Stale {
        /// By how much.
        age: Duration,
    },
}

impl Judged for AdmitError {
    fn verdict(&self) -> Verdict {
        match self {
            Self::Bodiless => Verdict::Reject,
            Self::WrongTopic(_)
            | Self::Never(
                Never::NoCertificate(_) | Never::OutsideValidity { .. } | Never::NotAPublisher { .. },
            )
            | Self::Quarantined(_)
            | Self::NotNow(NotNow::Future { .. } | NotNow::RemovedOnSight(_) | NotNow::Stale { .. }) => {
                Verdict::Ignore
            }
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Bodiless => "bodiless",
            Self::WrongTopic(_) => "wrong-topic",
            Self::Never(Never::NoCertificate(_)) => "no-certificate",
            Self::Never(Never::OutsideValidity { .. }) => "outside-validity",
            Self::Never(Never::NotAPublisher { .. }) => "not-a-publisher",
            Self::Quarantined(_) => "quarantined",
            Self::NotNow(NotNow::Future { .. }) => "future",
            Self::NotNow(NotNow::RemovedOnSight(_)) => REMOVED_ON_SIGHT,
            Self::NotNow(NotNow::Stale { .. }) => "stale",
        }
    }
}

impl Verified {
    /// Admits the envelope into its log.
    ///
    /// Duplicates, forks, budgets and disk are the store's and the caller's to judge.
    ///
    /// # Errors
    /// [`AdmitError`]; what lasts is reported before what passes.
    pub fn admit(self, roster: &Roster, admission: Admission) -> Result<Admitted, AdmitError> {
        let (header, is_vouched) = (self.header(), self.is_vouched);
        match admission.origin {
            Origin::Gossip { .. } | Origin::Own if self.lacks_body() => return Err(AdmitError::Bodiless),
            Origin::Gossip { topic } if topic != Topic::Group(header.group) => {
                return Err(AdmitError::WrongTopic(header.group));
            }
            Origin::Gossip { .. } | Origin::Sync | Origin::Own => {}
        }
        match membership(header, self.message_id(), roster)? {
            Membership::Beyond => {
                Err(AdmitError::Quarantined(Box::new(Quarantined { parts: self.parts, is_vouched })))
            }
            Membership::Stands { cut } => {
                in_time(header.created, admission)?;
                let is_own = admission.origin == Origin::Own;
                if !is_own && roster.is_removed_on_sight(header.serial, header.group, admission.now) {
                    return Err(NotNow::RemovedOnSight(header.serial).into());
                }
                Ok(Admitted { parts: self.parts, cut, is_vouched })
            }
        }
    }
}

impl Admitted {
    pub(super) fn read_back(parts: Arc<Parts>) -> Self {
        Self { parts, cut: CutStatus::Open, is_vouched: false }
    }

    /// Whether its own signature is still to be checked: the entry after it vouched for it.
    #[must_use]
    pub const fn is_vouched(&self) -> bool {
        self.is_vouched
    }

    /// Its log is closed by a cut that may keep it: what it stands for is decided of the log as a whole, by
    /// [`judge_log`](crate::sync::judge_log). False for what was read back from the store, which remembers
    /// the answer.
    #[must_use]
    pub fn is_in_closed_log(&self) -> bool {
        self.cut != CutStatus::Open
    }

    /// Its key has been cut at a later entry of this log: it stands only once the log links it to that one.
    #[must_use]
    pub fn is_below_cut(&self) -> bool {
        self.cut == CutStatus::BelowHeight
    }
}

impl Quarantined {
    /// Whether its own signature is still to be checked: the entry after it vouched for it.
    #[must_use]
    pub const fn is_vouched(&self) -> bool {
        self.is_vouched
    }
}

enum Membership {
    Stands { cut: CutStatus },
    Beyond,
}

fn membership(header: &Header, id: MessageId, roster: &Roster) -> Result<Membership, Never> {
    let (serial, group, created) = (header.serial, header.group, header.created);
    let certificate = roster.certificate(serial).ok_or(Never::NoCertificate(serial))?;
    if created < certificate.not_before || created >= certificate.not_after {
        return Err(Never::OutsideValidity { serial, created });
    }
    let closure = roster.closure(serial, group, header.log);
    match closure.status(header.roster.height, created, header.sequence, id) {
        CutStatus::Beyond => Ok(Membership::Beyond),
        // A cut names only logs that it found valid: who wrote in one of them was a publisher then.
        CutStatus::At => Ok(Membership::Stands { cut: CutStatus::At }),
        CutStatus::BelowHeight => Ok(Membership::Stands { cut: CutStatus::BelowHeight }),
        CutStatus::Open if publisher_role(roster, header).is_some() && !is_stopped(roster, header) => {
            Ok(Membership::Stands { cut: CutStatus::Open })
        }
        CutStatus::Open => Err(Never::NotAPublisher { serial, group }),
    }
}

/// The author's role in the message's group, if it is one that publishes there under the charter that was
/// in force where the author stood in the log: whoever has folded an entry above a charter's pin has that
/// charter, so a later one that asks for more cannot make an honest author's old entries void.
pub(super) fn publisher_role(roster: &Roster, header: &Header) -> Option<Role> {
    let role = *roster.certificate(header.serial)?.groups.get(&header.group)?;
    let charter = in_force(roster, header)?;
    (role >= charter.group(header.group)?.may_publish).then_some(role)
}

/// Whether nothing could be published there and then: the member had not accepted the texts of the charter that was in
/// force where it stood in the log, or the newest charter that it can have known had expired. What is taken back counts
/// all the same. An acceptance recorded since counts for what was written before, as a role does.
fn is_stopped(roster: &Roster, header: &Header) -> bool {
    if !matches!(header.content, Content::Data(_)) {
        return false;
    }
    let charter = in_force(roster, header);
    let overdue = charter.and_then(|charter| roster.overdue(header.member, charter, header.created));
    matches!(overdue, Some(AcceptancePolicy::StopPublishing | AcceptancePolicy::Suspend))
        || newest_known(roster, header).is_some_and(|charter| charter.is_expired_at(header.created))
}

/// The charter in force where the author stood in the log.
fn in_force<'a>(roster: &'a Roster, header: &Header) -> Option<&'a Charter> {
    let height = header.roster.height;
    roster.charters().versions().filter(|charter| charter.pin().is_none_or(|pin| pin.height < height)).last()
}

/// The newest charter whose pin the author's place in the log had reached: it needs no entry after it to end the time of the
/// one before, be its own longer or shorter.
fn newest_known<'a>(roster: &'a Roster, header: &Header) -> Option<&'a Charter> {
    let height = header.roster.height;
    roster.charters().versions().filter(|charter| charter.pin().is_none_or(|pin| pin.height <= height)).last()
}

fn in_time(created: Timestamp, admission: Admission) -> Result<(), NotNow> {
    let Admission { origin, now, skew } = admission;
    if origin != Origin::Own && created > now.saturating_add(skew) {
        return Err(NotNow::Future { ahead: created.since(now) });
    }
    if matches!(origin, Origin::Gossip { .. }) && now.since(created) > MAX_GOSSIP_AGE.saturating_add(skew) {
        return Err(NotNow::Stale { age: now.since(created) });
    }
    Ok(())
}

readable!(Admitted, parts);
readable!(Quarantined, parts);
