//! Gossip topics: one per Focus Group, and the admin topic. A closed set.

use crate::{
    crypto::hash,
    id::{CoalitionId, GroupId},
};

/// What a gossip message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Charters, log records, beacons, addresses.
    Admin,
    /// Envelopes of one group.
    Group(GroupId),
}

impl Topic {
    /// The name on the wire: 64 hex digits, meaningless outside the coalition.
    #[must_use]
    pub fn wire_name(self, coalition: CoalitionId) -> String {
        let group = match self {
            Self::Admin => 0,
            Self::Group(group) => group.get(),
        };
        hex::encode(hash::topic(coalition, group))
    }
}
