//! What one forwarding peer may hand us, charged before anything it hands us is looked at.
//!
//! The forwarder is charged here and the author after verification, in `ingest`; charging the author
//! first would let forged headers burn a victim's quota.

use tokio::time::Instant;

use super::{
    limits::{PEER_BYTES, PEER_MESSAGES},
    share::Share,
};
use crate::bucket::Bucket;

/// Two token buckets, full at the start, and what it holds of the queues.
#[derive(Debug)]
pub(super) struct Budget {
    messages: Bucket,
    bytes: Bucket,
    /// Of the queue of groups' messages.
    pub(super) gossip: Share,
    /// Of the admin topic's.
    pub(super) admin: Share,
}

impl Budget {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            messages: Bucket::full(PEER_MESSAGES, now),
            bytes: Bucket::full(PEER_BYTES, now),
            gossip: Share::default(),
            admin: Share::default(),
        }
    }

    /// Charges one message; `false`, and no charge, if the budget does not cover it.
    #[expect(clippy::cast_precision_loss, reason = "message sizes are far below 2^52")]
    pub(super) fn charge(&mut self, len: usize, now: Instant) -> bool {
        let len = len as f64;
        let covered = self.bytes.fill(PEER_BYTES, now) >= len && self.messages.take(PEER_MESSAGES, 1.0, now);
        if covered {
            self.bytes.spend(len);
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
