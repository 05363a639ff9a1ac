//! Links that lose, delay, reorder, repeat and part. Who sent a packet is certain, as libp2p's handshake makes
//! it; everything inside is bytes.

use std::{collections::BTreeSet, time::Duration};

use belfry_proto::topic::Topic;
use rand::{RngExt, rngs::StdRng};

/// What travels. Requests and replies share a number, as they share a stream.
#[derive(Clone, Debug)]
pub(crate) enum Packet {
    Gossip { topic: Topic, bytes: Vec<u8> },
    Request { id: u64, protocol: Protocol, bytes: Vec<u8> },
    Reply { id: u64, bytes: Vec<u8> },
}

/// The request protocols, by their wire messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Hello,
    Keys,
    /// Under the number that both ends speak.
    Sync(u32),
}

impl Packet {
    /// What it looks like from outside, for the trace.
    pub(crate) fn trace(&self, trace: &mut blake3::Hasher) {
        let (kind, bytes): (u8, &[u8]) = match self {
            Self::Gossip { bytes, .. } => (0, bytes),
            Self::Request { bytes, .. } => (1, bytes),
            Self::Reply { bytes, .. } => (2, bytes),
        };
        trace.update(&[kind]);
        trace.update(&(bytes.len() as u64).to_be_bytes());
        trace.update(bytes);
    }
}

/// How bad the network is, and who is cut off now.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    pub(crate) loss: f64,
    pub(crate) repeat: f64,
    /// Chance that a packet is held up by as much as a minute, and so overtaken by many.
    pub(crate) straggle: f64,
    /// One side of a partition; empty when whole.
    pub(crate) apart: BTreeSet<usize>,
    /// Nodes that reach nobody.
    pub(crate) cut_off: BTreeSet<usize>,
    /// Told apart in the trace's summary.
    pub(crate) lost: u64,
    pub(crate) repeated: u64,
    pub(crate) delayed: u64,
}

impl Network {
    pub(crate) fn draw(rng: &mut StdRng) -> Self {
        Self {
            loss: rng.random_range(0.0..0.3),
            repeat: rng.random_range(0.0..0.1),
            straggle: rng.random_range(0.0..0.1),
            apart: BTreeSet::new(),
            cut_off: BTreeSet::new(),
            lost: 0,
            repeated: 0,
            delayed: 0,
        }
    }

    /// After the faults: nothing is lost any more, and everyone reaches everyone.
    pub(crate) fn heal(&mut self) {
        (self.loss, self.repeat, self.straggle) = (0.0, 0.0, 0.0);
        self.apart.clear();
        self.cut_off.clear();
    }

    pub(crate) fn is_parted(&self, one: usize, other: usize) -> bool {
        let is_cut_off = self.cut_off.contains(&one) || self.cut_off.contains(&other);
        is_cut_off || self.apart.contains(&one) != self.apart.contains(&other)
    }

    /// When the copies of a packet sent now arrive: none, one or two.
    pub(crate) fn delays(&mut self, from: usize, to: usize, rng: &mut StdRng) -> Vec<Duration> {
        if self.is_parted(from, to) || rng.random_bool(self.loss) {
            self.lost += 1;
            return Vec::new();
        }
        let copies = if rng.random_bool(self.repeat) { 2 } else { 1 };
        self.repeated += copies - 1;
        (0..copies)
            .map(|_| {
                let usual = Duration::from_millis(rng.random_range(5..400));
                if rng.random_bool(self.straggle) {
                    self.delayed += 1;
                    return usual + Duration::from_secs(rng.random_range(1..60));
                }
                usual
            })
            .collect()
    }
}
