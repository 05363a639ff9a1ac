//! What the hellos told so far, for whoever seals and whoever shows the node's condition.

use std::{collections::BTreeSet, time::Duration};

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
    /// Our own clock was set, and nobody has told theirs since.
    pub(super) clock_was_set: bool,
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
            clock_was_set: false,
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

    /// Whether our clock is off by more than `skew`, as the others tell.
    #[must_use]
    pub fn is_clock_off(&self, skew: Duration) -> bool {
        self.clock_offset().is_some_and(|offset| u128::from(offset.unsigned_abs()) > skew.as_micros())
    }

    /// Whether it may be: also when it was set a moment ago, and nobody has told theirs yet.
    #[must_use]
    pub fn doubts_clock(&self, skew: Duration) -> bool {
        self.clock_was_set || self.is_clock_off(skew)
    }

    /// What members with these offsets of their clocks to ours, microseconds, have told.
    #[cfg(test)]
    pub(crate) fn told(offsets: &[i64]) -> Self {
        use belfry_proto::{crypto::sign::SigningKey, id::MemberId};
        let mut hellos = Self::new(GateTimes::default());
        for (n, offset) in (1..).zip(offsets) {
            let node = SigningKey::from_seed(&[n; 32]).public();
            hellos.voices.heard(MemberId::new([n; 16]), node, *offset, Instant::now());
        }
        hellos
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
