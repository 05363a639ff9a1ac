//! What the hellos told so far, for whoever seals and whoever shows the node's condition.

use std::collections::BTreeSet;

use belfry_proto::{
    crypto::sign::PublicKey,
    id::{GroupId, LogId, Sequence},
};
use tokio::time::Instant;

use super::{
    company::Company,
    gate::{Gate, GateTimes},
    removal::Removal,
    voices::Voices,
};
use crate::clock;

/// What hellos have told so far.
#[derive(Clone, Debug)]
pub struct Hellos {
    /// Answered hellos since start.
    pub answered: u64,
    /// Who is here, and whether we know the admin log by them.
    pub(super) company: Company,
    /// Others' clocks.
    pub(super) voices: Voices,
    /// Highest sequence of our own logs that others hold.
    pub own_logs: Vec<(GroupId, LogId, Sequence)>,
    /// Peers whose admin log is no continuation of ours and ours none of theirs.
    pub forked_with: Vec<PublicKey>,
    /// Nodes that say, of late, that this node is not certified.
    pub refused_by: BTreeSet<PublicKey>,
    /// What took our certificate away, by a record that one of them showed.
    pub removal: Option<Removal>,
    /// Peers whose claims to hold more of our own logs are set aside: asked again and again, they did not show it.
    pub unshown: BTreeSet<PublicKey>,
}

impl Hellos {
    pub(crate) fn new(times: GateTimes) -> Self {
        Self {
            answered: 0,
            company: Company::new(times),
            voices: Voices::default(),
            own_logs: Vec::new(),
            forked_with: Vec::new(),
            refused_by: BTreeSet::new(),
            removal: None,
            unshown: BTreeSet::new(),
        }
    }

    /// Median of all clocks minus ours, microseconds; `None` before any answer.
    #[must_use]
    pub fn clock_offset(&self) -> Option<i64> {
        self.voices.median()
    }

    /// Whether our admin log may be taken as the present one.
    #[must_use]
    pub fn gate(&self) -> Gate {
        self.company.gate(Instant::now(), clock::now())
    }

    /// Who left has no voice any more, and tells us nothing.
    pub(super) fn left(&mut self, peer: &PublicKey) {
        self.voices.left(peer);
        self.company.left(peer, Instant::now());
    }
}
