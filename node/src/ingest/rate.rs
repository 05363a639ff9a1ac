//! Work a forwarding peer may cause before any signature is verified.
//!
//! The peer that hands us bytes is charged first, by count; only then is a signature verified and the
//! author known. Charging the author first would let forged headers burn a victim's quota.

use std::{collections::BTreeMap, time::Duration};

use belfry_proto::crypto::sign::PublicKey;
use tokio::time::Instant;

/// Envelopes one peer may forward in a burst: a full publication of ATT&CK size from several authors.
const BURST: f64 = 4096.0;
/// Envelopes one peer may forward per second over time; verification costs some 60 µs, so one peer
/// can claim at most an eighth of a core.
const PER_SECOND: f64 = 2048.0;

/// Token buckets, one a connected peer.
#[derive(Debug, Default)]
pub(super) struct Rates {
    buckets: BTreeMap<PublicKey, (f64, Instant)>,
}

/// Peers remembered; beyond it, idle ones are forgotten.
const PEERS: usize = 1024;

impl Rates {
    /// Takes one token of `peer`; false if none is left.
    pub(super) fn take(&mut self, peer: PublicKey, now: Instant) -> bool {
        if self.buckets.len() > PEERS {
            self.buckets.retain(|_, (_, last)| now.duration_since(*last) < Duration::from_secs(60));
        }
        let (tokens, last) = self.buckets.entry(peer).or_insert((BURST, now));
        *tokens = (*tokens + now.duration_since(*last).as_secs_f64() * PER_SECOND).min(BURST);
        *last = now;
        if *tokens < 1.0 {
            return false;
        }
        *tokens -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use belfry_proto::crypto::sign::SigningKey;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_runs_dry_and_one_peer_does_not_spend_anothers() {
        let (a, b) = (SigningKey::from_seed(&[1; 32]).public(), SigningKey::from_seed(&[2; 32]).public());
        let mut rates = Rates::default();
        let now = Instant::now();
        let taken = (0..10_000).filter(|_| rates.take(a, now)).count();
        assert_eq!(taken, 4096);
        assert!(rates.take(b, now));
        assert!(rates.take(a, now + Duration::from_secs(1)));
    }
}
