//! Who may have a content key: the numbered rule, one refusal a line.
//!
//! Every holder applies it by itself and none has to trust the asker: what is judged is the key's own
//! context (committed to by its id), the holder's admin log, and the connection's node key. Rule (4), that
//! recipient keys are never granted, is a type: [`super::RecipientKey`] has no grant. Rule (6), budgets,
//! is the caller's.

use std::collections::BTreeSet;

use crate::{
    crypto::sign::PublicKey,
    envelope::content_key::KeyContext,
    id::{GroupId, Height, MemberId},
    limits::MAX_KEY_AGE,
    schema::{Audience, Refusal},
    time::Timestamp,
    trust::{
        certificate::Certificate,
        charter::History,
        roster::{Reader, Roster, Standing},
    },
    verdict::{Judged, Verdict},
};

/// Why a key is not granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantRefusal {
    /// The key belongs to another coalition.
    #[error("key belongs to another coalition")]
    OtherCoalition,
    /// (1) No valid certificate names the connection's node key.
    #[error("no valid certificate names this node")]
    NotCertified,
    /// (2) The key was made at a roster we have not reached: ask again.
    #[error("key was made at a roster ahead of ours")]
    AheadOfRoster,
    /// (2) The key was made on another branch of the admin log.
    #[error("key was made at a roster that is not in our admin log")]
    OtherBranch,
    /// (3) Not among the readers of the key's group and audience.
    #[error("not a reader of this group and audience")]
    NotAReader,
    /// (5) The group's history policy keeps it from those who came later.
    #[error("key is older than the group's history allows")]
    BeforeHistory,
    /// (5) A new entitlement waits for old keys, so that a ghost member is seen before it reads the archive.
    #[error("keys older than the entitlement wait until {until}")]
    Delayed {
        /// When the wait ends.
        until: Timestamp,
    },
}

impl GrantRefusal {
    /// The code sent to the asker: whether to come back, nothing of the reason beyond. Who may never have the key
    /// hears what a node says that holds no such key.
    #[must_use]
    pub const fn on_wire(&self) -> Refusal {
        match self {
            Self::OtherCoalition => Refusal::OtherCoalition,
            Self::NotCertified => Refusal::NotCertified,
            Self::AheadOfRoster | Self::Delayed { .. } => Refusal::NotYet,
            Self::OtherBranch | Self::NotAReader | Self::BeforeHistory => Refusal::Unknown,
        }
    }
}

impl Judged for GrantRefusal {
    /// Ignore: asking for too much is no offence; rosters differ for a while.
    fn verdict(&self) -> Verdict {
        match self {
            Self::OtherCoalition
            | Self::NotCertified
            | Self::AheadOfRoster
            | Self::OtherBranch
            | Self::NotAReader
            | Self::BeforeHistory
            | Self::Delayed { .. } => Verdict::Ignore,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::OtherCoalition => "grant-other-coalition",
            Self::NotCertified => "grant-not-certified",
            Self::AheadOfRoster => "grant-ahead-of-roster",
            Self::OtherBranch => "grant-other-branch",
            Self::NotAReader => "grant-not-a-reader",
            Self::BeforeHistory => "grant-before-history",
            Self::Delayed { .. } => "grant-delayed",
        }
    }
}

/// May the node behind this connection have the key, as its holder sees it? Answers with the certificate
/// to whose KEM key it may be sealed.
///
/// `holder` is the newest roster, with every removal already seen applied. `last_use` is the newest
/// `created` among the messages sealed with the key. `first_seen` says when the holder itself first had the
/// entry of the admin log at a height, if it knows: a statement's own date is its admins' claim, and a
/// rogue one would backdate a ghost's entitlement past delay and window. Unknown counts as now.
///
/// # Errors
/// [`GrantRefusal`], the first that applies.
pub fn may_grant<'a>(
    holder: &'a Roster,
    key: &KeyContext,
    last_use: Timestamp,
    requester_node: &PublicKey,
    first_seen: impl FnOnce(Height) -> Option<Timestamp>,
    now: Timestamp,
) -> Result<&'a Certificate, GrantRefusal> {
    if key.coalition != holder.coalition() {
        return Err(GrantRefusal::OtherCoalition);
    }
    let certificate = holder
        .by_node(requester_node)
        .filter(|certificate| holder.standing(certificate.serial, now) == Standing::Valid)
        .ok_or(GrantRefusal::NotCertified)?;
    if !holder.is_prefix(key.roster) {
        return Err(match key.roster.height > holder.version().height {
            true => GrantRefusal::AheadOfRoster,
            false => GrantRefusal::OtherBranch,
        });
    }
    // By serial, not by member: a member that reads with one node may run a carrier with another, and a
    // carrier holds no keys.
    let readers = holder.readers(key.group, key.audience, now);
    if !readers.iter().any(|reader| reader.serial == certificate.serial) {
        return Err(GrantRefusal::NotAReader);
    }
    if certificate.member != key.author {
        history_allows(holder, key, last_use, certificate, first_seen, now)?;
    }
    Ok(certificate)
}

fn history_allows(
    holder: &Roster,
    key: &KeyContext,
    last_use: Timestamp,
    certificate: &Certificate,
    first_seen: impl FnOnce(Height) -> Option<Timestamp>,
    now: Timestamp,
) -> Result<(), GrantRefusal> {
    let charter = holder.charter();
    let group = charter.group(key.group).ok_or(GrantRefusal::NotAReader)?;
    let since = holder.entitled_since(certificate.member, key.group).ok_or(GrantRefusal::NotAReader)?;
    if key.roster.height >= since.height {
        // Its author knew of the entitlement: every policy allows it, and there is nothing to wait for.
        return Ok(());
    }
    let entitled = since.at.max(first_seen(since.height).unwrap_or(now));
    let allowed = match group.history {
        History::None => false,
        History::Window(window) => last_use >= entitled.saturating_sub(window),
        History::All => true,
    };
    if !allowed {
        return Err(GrantRefusal::BeforeHistory);
    }
    let until = entitled.saturating_add(charter.grant_delay());
    if now < until {
        return Err(GrantRefusal::Delayed { until });
    }
    Ok(())
}

/// Whether a key is of the time before a member's entitlement, as `holder` sees it, and another member's: what grant delay
/// and history are about. A node may keep such keys from a newcomer for longer, until its operator knows who that is.
#[must_use]
pub fn predates(holder: &Roster, key: &KeyContext, member: MemberId) -> bool {
    let since = holder.entitled_since(member, key.group);
    key.author != member && since.is_none_or(|since| key.roster.height < since.height)
}

/// Whether a key was made before a node was certified. By its member's entitlement a further node may have it at once; a node may
/// keep such keys from it, while its operator holds that member back.
#[must_use]
pub const fn predates_node(key: &KeyContext, certificate: &Certificate) -> bool {
    // A serial is the height of its issuing entry.
    key.roster.height.get() < certificate.serial.get()
}

/// May a publisher seal under a key still? Only while everyone it was made for is a reader yet, and for
/// at most [`MAX_KEY_AGE`]. `made_for` are the readers at its making.
///
/// Readers that joined since do not end it: the grant rule gives it to them, or not.
#[must_use]
pub fn key_is_usable(
    made_for: &BTreeSet<Reader>,
    roster: &Roster,
    group: GroupId,
    audience: Audience,
    created: Timestamp,
    now: Timestamp,
) -> bool {
    now.since(created) <= MAX_KEY_AGE && made_for.is_subset(&roster.readers(group, audience, now))
}
