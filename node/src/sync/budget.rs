//! What one peer may have of this node's serving.
//!
//! A page costs a read and up to 1 MiB of upload for a request of fifty bytes. Whoever asks without end is
//! told `busy`; a newcomer that fetches everything is served at the pace below.

use std::collections::BTreeMap;

use belfry_proto::crypto::sign::PublicKey;
use tokio::time::Instant;

use crate::bucket::{Bucket, Rate};

/// Requests one peer may make. Twelve groups compared are twelve requests.
const REQUESTS: Rate = Rate { per_second: 64.0, burst: 512.0 };
/// Bytes one peer may be served. 32 MiB a second is more than ingest stores.
const BYTES: Rate = Rate { per_second: 32.0 * 1024.0 * 1024.0, burst: 128.0 * 1024.0 * 1024.0 };
/// Requests of one peer served side by side; a quarter of all places.
const SIDE_BY_SIDE: usize = 4;
/// Peers remembered; beyond it, those that have everything again are forgotten.
const PEERS: usize = 1024;

/// One account a peer.
#[derive(Debug, Default)]
pub(super) struct Budgets {
    peers: BTreeMap<PublicKey, Account>,
}

#[derive(Debug)]
struct Account {
    requests: Bucket,
    bytes: Bucket,
    open: usize,
}

impl Account {
    fn is_idle(&self, now: Instant) -> bool {
        self.open == 0 && self.requests.is_full(REQUESTS, now) && self.bytes.is_full(BYTES, now)
    }
}

impl Budgets {
    /// Begins to serve a request of `peer`; false, at no charge, if it has to come back.
    pub(super) fn begin(&mut self, peer: PublicKey, now: Instant) -> bool {
        if self.peers.len() > PEERS {
            self.peers.retain(|_, account| !account.is_idle(now));
        }
        let account = self.peers.entry(peer).or_insert(Account {
            requests: Bucket::full(REQUESTS, now),
            bytes: Bucket::full(BYTES, now),
            open: 0,
        });
        let is_covered = account.bytes.fill(BYTES, now) > 0.0
            && account.open < SIDE_BY_SIDE
            && account.requests.take(REQUESTS, 1.0, now);
        if is_covered {
            account.open += 1;
        }
        is_covered
    }

    /// The answer has `len` bytes. It may overdraw the account: sizes are known only afterwards.
    #[expect(clippy::cast_precision_loss, reason = "replies are far below 2^52 bytes")]
    pub(super) fn end(&mut self, peer: &PublicKey, len: usize) {
        if let Some(account) = self.peers.get_mut(peer) {
            account.bytes.spend(len as f64);
            account.open = account.open.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use belfry_proto::crypto::sign::SigningKey;

    use super::*;

    fn peers() -> (PublicKey, PublicKey) {
        (SigningKey::from_seed(&[1; 32]).public(), SigningKey::from_seed(&[2; 32]).public())
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_asks_without_end_is_turned_away_and_others_are_not() {
        let (greedy, modest) = peers();
        let (mut budgets, now) = (Budgets::default(), Instant::now());
        let served = |budgets: &mut Budgets, peer, now| {
            (0..5000).filter(|_| budgets.begin(peer, now).then(|| budgets.end(&peer, 100)).is_some()).count()
        };
        assert_eq!(served(&mut budgets, greedy, now), 512);
        assert!(budgets.begin(modest, now));
        assert_eq!(served(&mut budgets, greedy, now + Duration::from_secs(1)), 64);
    }

    #[tokio::test(start_paused = true)]
    async fn large_answers_are_paced() {
        let (greedy, _) = peers();
        let (mut budgets, now) = (Budgets::default(), Instant::now());
        let mut pages = 0;
        while budgets.begin(greedy, now) {
            budgets.end(&greedy, 1 << 20);
            pages += 1;
        }
        assert_eq!(pages, 128);
        assert!(budgets.begin(greedy, now + Duration::from_secs(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn one_peer_does_not_take_every_place() {
        let (greedy, modest) = peers();
        let (mut budgets, now) = (Budgets::default(), Instant::now());
        assert_eq!((0..10).filter(|_| budgets.begin(greedy, now)).count(), SIDE_BY_SIDE);
        assert!(budgets.begin(modest, now));
        budgets.end(&greedy, 1);
        assert!(budgets.begin(greedy, now));
    }
}
