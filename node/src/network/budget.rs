//! What one forwarding peer may hand us, charged before anything it hands us is looked at.
//!
//! The forwarder is charged here and the author after verification, in `ingest`; charging the author
//! first would let forged headers burn a victim's quota.

use std::time::Instant;

use super::limits::{PEER_BYTES, PEER_MESSAGES};

/// Two token buckets, full at the start.
#[derive(Debug)]
pub(super) struct Budget {
    messages: f64,
    bytes: f64,
    at: Instant,
}

impl Budget {
    pub(super) fn new(now: Instant) -> Self {
        Self { messages: PEER_MESSAGES.1, bytes: PEER_BYTES.1, at: now }
    }

    /// Charges one message; `false`, and no charge, if the budget does not cover it.
    #[expect(clippy::cast_precision_loss, reason = "message sizes are far below 2^52")]
    pub(super) fn charge(&mut self, len: usize, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.messages = (self.messages + passed * PEER_MESSAGES.0).min(PEER_MESSAGES.1);
        self.bytes = (self.bytes + passed * PEER_BYTES.0).min(PEER_BYTES.1);
        let len = len as f64;
        let covered = self.messages >= 1.0 && self.bytes >= len;
        if covered {
            self.messages -= 1.0;
            self.bytes -= len;
        }
        covered
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_flood_is_cut_and_recovers_at_its_rate() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        let covered = (0..20_000).filter(|_| budget.charge(10, start)).count();
        assert_eq!(covered, 8192);
        let later = start + Duration::from_secs(1);
        assert_eq!((0..20_000).filter(|_| budget.charge(10, later)).count(), 512);
    }

    #[test]
    fn large_messages_are_cut_by_their_bytes() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        assert_eq!((0..2000).filter(|_| budget.charge(256 * 1024, start)).count(), 512);
    }
}
