//! A wall clock that may be wrong: what others say of it, and what waits while it is.

use belfry_proto::{crypto::sign::PublicKey, time::Timestamp};

use super::Node;
use crate::{admins::SKEW, faults::Defect};

/// Members besides our own that must have told their time: with one, nobody can say which of the two clocks is wrong. (Where
/// no other member is connected a node makes do with one; here everybody knows more, and seals by no clock that one alone
/// vouches for.)
const VOICES: usize = 2;

impl Node {
    /// Somebody set the clock, `error` microseconds ahead of the world's: what others told was of another time.
    pub(crate) fn set_clock(&mut self, error: i64) {
        self.clock_error = error;
        if let Some(volatile) = &mut self.volatile {
            volatile.voices.clear();
            volatile.level = false;
        }
    }

    /// A node answered a hello at `now` and told its own time.
    pub(super) fn heard_time(&mut self, from: PublicKey, theirs: u64, now: Timestamp) {
        let Some(member) = self.roster().by_node(&from).map(|certificate| certificate.member) else { return };
        let [theirs, ours] = [theirs, now.as_micros()].map(|micros| i64::try_from(micros).unwrap());
        self.up().voices.insert(member, theirs - ours);
    }

    /// Whether it is off beyond the skew: by the median of others' clocks and our own. Then nothing is said of ourselves that
    /// is dated by it.
    pub(super) fn is_clock_off(&self) -> bool {
        let voices = &self.volatile.as_ref().unwrap().voices;
        let mut sorted: Vec<i64> = voices.values().copied().chain([0]).collect();
        sorted.sort_unstable();
        let (below, above) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        u128::from(below.unsigned_abs().min(above.unsigned_abs())) > SKEW.as_micros()
    }

    /// Whether it may be off. Then nothing is sealed, and no key is handed to anybody: who has it for how long already is a
    /// question of time.
    pub(super) fn doubts_clock(&self) -> bool {
        // Nodes of one organisation may have a clock in common.
        let voices = self.volatile.as_ref().unwrap().voices.keys();
        let is_asked = voices.filter(|member| **member != self.identity.member).count() < VOICES;
        (is_asked || self.is_clock_off()) && !self.has(Defect::SealsByAnyClock)
    }
}
