//! What the hellos told so far, for whoever seals and whoever shows the node's condition.

use std::collections::BTreeSet;

use belfry_proto::{
    crypto::sign::PublicKey,
    id::{GroupId, LogId, Sequence},
};
use tokio::time::Instant;

use super::{
    gate::{Company, Gate, GateTimes},
    voices::Voices,
};

/// What hellos have told so far.
#[derive(Clone, Debug, Default)]
pub struct Hellos {
    /// Answered hellos since start.
    pub answered: u64,
    /// Who is here, and whether we know the admin log by them.
    pub(super) company: Company,
    /// Others' clocks.
    pub(super) voices: Voices,
    /// Highest sequence of our own logs that others hold, with who said so.
    pub own_logs: Vec<(GroupId, LogId, Sequence)>,
    /// Peers whose admin log is no continuation of ours and ours none of theirs.
    pub forked_with: Vec<PublicKey>,
    /// Nodes that say, of late, that this node is not certified.
    pub refused_by: BTreeSet<PublicKey>,
}

impl Hellos {
    pub(super) fn new(times: GateTimes) -> Self {
        Self { company: Company::new(times), ..Self::default() }
    }

    /// Median of all clocks minus ours, microseconds; `None` before any answer.
    #[must_use]
    pub fn clock_offset(&self) -> Option<i64> {
        self.voices.median()
    }

    /// Whether our admin log may be taken as the present one.
    #[must_use]
    pub fn gate(&self) -> Gate {
        self.company.gate(Instant::now())
    }

    /// Who left has no voice any more, and tells us nothing.
    pub(super) fn left(&mut self, peer: &PublicKey) {
        self.voices.left(peer);
        self.company.left(peer, Instant::now());
    }
}
