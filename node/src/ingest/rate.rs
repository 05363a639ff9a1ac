//! Work a forwarding peer may cause before any signature is verified.
//!
//! The peer that hands us bytes is charged first, by count; only then is a signature verified and the
//! author known. Charging the author first would let forged headers burn a victim's quota.

use belfry_proto::crypto::sign::PublicKey;

use crate::bucket::{Buckets, Rate};

/// Envelopes one peer may forward at once: a full publication of ATT&CK size from several authors. And per second
/// over time: verification costs some 60 µs, so one peer can claim at most an eighth of a core.
const FORWARDED: Rate = Rate { per_second: 2048.0, burst: 4096.0 };

/// One bucket a peer, a token an envelope.
pub(super) const fn forwarded() -> Buckets<PublicKey> {
    Buckets::new(FORWARDED)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use belfry_proto::crypto::sign::SigningKey;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_runs_dry_and_one_peer_does_not_spend_anothers() {
        let (a, b) = (SigningKey::from_seed(&[1; 32]).public(), SigningKey::from_seed(&[2; 32]).public());
        let mut rates = forwarded();
        let now = Instant::now();
        let taken = (0..10_000).filter(|_| rates.take(a, 1.0, now)).count();
        assert_eq!(taken, 4096);
        assert!(rates.take(b, 1.0, now));
        assert!(rates.take(a, 1.0, now + Duration::from_secs(1)));
    }
}
