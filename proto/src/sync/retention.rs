//! How long a group keeps bodies, as its charter says.
//!
//! Past it a message's header stays, and with it the log: an entry without its body is then whole. Clocks differ, nodes look
//! at different times, and a charter may lengthen what an older one had short, so what a node lets go of and what it
//! takes without a body from others are two questions.

use std::time::Duration;

use crate::{
    id::GroupId,
    time::Timestamp,
    trust::{charter::Group, roster::Roster},
};

/// How much earlier than by one's own reckoning another node may have let a body go. Nodes look every hour, clocks are off by
/// seconds; below an hour or so honest peers would look guilty, above it who withholds the last bodies gains a little.
const MARGIN: Duration = Duration::from_secs(24 * 3600);

/// Whether the group keeps the body of a message created then no longer.
#[must_use]
pub fn is_past(group: &Group, created: Timestamp, now: Timestamp) -> bool {
    group.retention.is_some_and(|kept| created.saturating_add(kept) < now)
}

/// What an entry that comes without its body is, if no withdrawal took it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bare {
    /// Whole: its body is past the group's retention, or within a day of it.
    Past,
    /// Its body was past what a charter before this one had. The log goes on; the body is wanted, should anybody have it.
    WasPast,
    /// Incomplete.
    Missing,
}

/// Judges an entry without its body by every charter that there was.
#[must_use]
pub fn bare(roster: &Roster, group: GroupId, created: Timestamp, now: Timestamp) -> Bare {
    let soon = now.saturating_add(MARGIN);
    let is_past_at = |group: Option<&Group>| group.is_some_and(|group| is_past(group, created, soon));
    if is_past_at(roster.charter().group(group)) {
        Bare::Past
    } else if roster.charters().versions().any(|charter| is_past_at(charter.group(group))) {
        Bare::WasPast
    } else {
        Bare::Missing
    }
}
