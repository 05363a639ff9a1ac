//! What one peer may have of this node's work for keys: each grant costs an encapsulation, each pushed key a
//! decapsulation and a row for ever, each question a look into the store.

use std::collections::BTreeMap;

use belfry_proto::{crypto::sign::PublicKey, id::MemberId};
use tokio::time::Instant;

use crate::bucket::{Buckets, Rate};

/// Requests of one peer. Its wishes gather for a tenth of a second, so an honest one stays far below.
const REQUESTS: Rate = Rate { per_second: 16.0, burst: 128.0 };
/// Encapsulations for one peer: 960 a minute, some tenth of a second of one core. The burst is what a late joiner
/// with a long history asks for first.
const WORK: Rate = Rate { per_second: 16.0, burst: 2048.0 };
/// What a key that is looked up costs of [`WORK`], granted or not.
pub(super) const LOOKUP: f64 = 0.125;
/// What sealing it costs besides.
pub(super) const SEAL: f64 = 1.0 - LOOKUP;
/// Requests of one peer being answered at once. A second one keeps it busy while the first waits for the disk.
const SIDE_BY_SIDE: usize = 2;
/// Pushed keys of one member in a burst, and over time (256 a day): a restart makes a key for each of its groups and
/// audiences, some three dozen; an honest one lasts until a reader leaves, or seven days. Each is a row of some 400 bytes for
/// ever, which no quota of messages counts: so it is 40 MB a year at most. A key that is not taken is asked for, once a message
/// names it.
const PUSHES: Rate = Rate { per_second: 256.0 / 86_400.0, burst: 512.0 };

/// The accounts of all peers.
#[derive(Debug)]
pub(super) struct Budgets {
    requests: Buckets<PublicKey>,
    work: Buckets<PublicKey>,
    pushes: Buckets<MemberId>,
    open: BTreeMap<PublicKey, usize>,
}

impl Default for Budgets {
    fn default() -> Self {
        let (requests, work) = (Buckets::new(REQUESTS), Buckets::new(WORK));
        Self { requests, work, pushes: Buckets::new(PUSHES), open: BTreeMap::new() }
    }
}

impl Budgets {
    /// Begins to answer a request of `peer`; false if it has to come back. What began must [`Self::end`].
    pub(super) fn begin(&mut self, peer: PublicKey, now: Instant) -> bool {
        let may = self.requests.take(peer, 1.0, now)
            && self.open.get(&peer).is_none_or(|open| *open < SIDE_BY_SIDE);
        if may {
            *self.open.entry(peer).or_default() += 1;
        }
        may
    }

    /// A request of `peer` is answered.
    pub(super) fn end(&mut self, peer: &PublicKey) {
        if let Some(open) = self.open.get_mut(peer) {
            *open -= 1;
            if *open == 0 {
                self.open.remove(peer);
            }
        }
    }

    /// Takes `cost` of the peer's work; false if it has had too much.
    pub(super) fn work(&mut self, peer: PublicKey, cost: f64, now: Instant) -> bool {
        self.work.take(peer, cost, now)
    }

    /// Takes one pushed key of `member`; false if it has none left.
    pub(super) fn push(&mut self, member: MemberId, now: Instant) -> bool {
        self.pushes.take(member, 1.0, now)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use belfry_proto::crypto::sign::SigningKey;

    use super::*;

    fn peer(seed: u8) -> PublicKey {
        SigningKey::from_seed(&[seed; 32]).public()
    }

    #[tokio::test(start_paused = true)]
    async fn a_member_that_pushes_without_end_is_not_listened_to() {
        let (alice, bob) = (MemberId::new([1; 16]), MemberId::new([2; 16]));
        let (mut budgets, now) = (Budgets::default(), Instant::now());
        assert_eq!((0..10_000).filter(|_| budgets.push(alice, now)).count(), 512);
        assert!(budgets.push(bob, now));
        let day = now + Duration::from_secs(24 * 3_600);
        assert_eq!((0..10_000).filter(|_| budgets.push(alice, day)).count(), 256);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_has_so_many_encapsulations_a_minute_and_takes_none_of_anothers() {
        let (mut budgets, now) = (Budgets::default(), Instant::now());
        let granted = |budgets: &mut Budgets, seed, now| {
            (0..10_000).filter(|_| budgets.work(peer(seed), LOOKUP + SEAL, now)).count()
        };
        assert_eq!(granted(&mut budgets, 1, now), 2048);
        assert_eq!(granted(&mut budgets, 1, now + Duration::from_secs(60)), 960);
        assert_eq!(granted(&mut budgets, 2, now + Duration::from_secs(60)), 2048);
    }

    #[tokio::test(start_paused = true)]
    async fn one_peer_takes_two_places_and_asks_so_often() {
        let (mut budgets, now) = (Budgets::default(), Instant::now());
        assert_eq!((0..10).filter(|_| budgets.begin(peer(1), now)).count(), 2);
        assert!(budgets.begin(peer(2), now));
        budgets.end(&peer(1));
        assert!(budgets.begin(peer(1), now));
        budgets.end(&peer(1));
        budgets.end(&peer(1));
        assert!(budgets.open.len() == 1, "only who is being answered is remembered");
        let often =
            (0..10_000).filter(|_| budgets.begin(peer(1), now).then(|| budgets.end(&peer(1))).is_some());
        assert!(often.count() < 128);
    }
}
