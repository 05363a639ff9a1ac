//! The admin log's fold.

use crate::id::RosterVersion;

/// The fold.
#[derive(Clone, Debug)]
pub struct Roster;

impl Roster {
    /// Position.
    #[must_use]
    pub fn version(&self) -> RosterVersion {
        RosterVersion::EMPTY
    }
}
