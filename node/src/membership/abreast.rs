//! Who of those linked may not know yet how far our admin log goes, and when they are told.
//!
//! Gossip is lossy and forgets within seconds; what a pull brought was never gossiped here. So whenever our log has grown,
//! whoever last announced less is greeted, which says how far ours goes, and pulls what it lacks:
//!
//! ```text
//! a pull brought it    ─▶ at once: those behind a healed partition have nobody else to hear it from
//! it fits no gossip    ─▶ at once: the hello is what tells of it
//! gossip or a file did ─▶ a little later: most have it by then, and a hello either way says so for both
//! ```
//!
//! Each is told of one state of our log once; a hello without answer is repeated as any other
//! ([`greetings`](super::greetings)). So a link costs a hello for each growth at most, and one that never catches up no more.

use std::{collections::BTreeMap, time::Duration};

use belfry_proto::crypto::sign::PublicKey;
use rand::{Rng, RngExt as _};
use tokio::time::Instant;

use crate::heard::Announced;

/// How long gossip may take with what it brings, and up to once more, so that two ends of a link seldom greet each other. Too
/// low ⇒ hellos for what everybody has; too high ⇒ who missed a revocation goes on admitting the revoked so much longer.
const GOSSIPED: Duration = Duration::from_secs(2);

/// See the module. Bounded by the connections there are, as long as who left is taken out.
#[derive(Debug, Default)]
pub(super) struct Abreast {
    peers: BTreeMap<PublicKey, Told>,
    /// When to look who is behind.
    at: Option<Instant>,
}

#[derive(Debug, Default)]
struct Told {
    /// What it announced last.
    theirs: Option<Announced>,
    /// The state of our log that it was told last.
    ours: Option<Announced>,
}

impl Abreast {
    /// A peer announced its log, asking or answering.
    pub(super) fn announced(&mut self, peer: PublicKey, theirs: Announced) {
        self.peers.entry(peer).or_default().theirs = Some(theirs);
    }

    /// A peer is told how far our log goes.
    pub(super) fn told(&mut self, peer: PublicKey, ours: Announced) {
        self.peers.entry(peer).or_default().ours = Some(ours);
    }

    /// Its last connection is gone: the next one begins with a hello.
    pub(super) fn gone(&mut self, peer: &PublicKey) {
        self.peers.remove(peer);
    }

    /// Our log grew, and gossip tells of it.
    pub(super) fn grown<R: Rng + ?Sized>(&mut self, now: Instant, rng: &mut R) {
        let at = now + GOSSIPED.mul_f64(1.0 + rng.random::<f64>());
        self.at = Some(self.at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Our log grew, and nobody else is told of it: a pull brought that, or it is too large for gossip.
    pub(super) fn pulled(&mut self, now: Instant) {
        self.at = Some(now);
    }

    /// Peers to greet now, as their logs are behind ours.
    pub(super) fn due(&mut self, ours: Announced, now: Instant) -> Vec<PublicKey> {
        if self.at.take_if(|at| *at <= now).is_none() {
            return Vec::new();
        }
        let is_behind = |(theirs, charter): Announced| theirs.height < ours.0.height || charter < ours.1;
        let due = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.theirs.is_some_and(is_behind) && peer.ours != Some(ours));
        due.map(|(peer, _)| *peer).collect()
    }
}

#[cfg(test)]
mod tests {
    use belfry_proto::{
        crypto::sign::SigningKey,
        id::{EntryId, Height, RosterVersion},
    };
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;

    fn node(seed: u8) -> PublicKey {
        SigningKey::from_seed(&[seed; 32]).public()
    }

    fn log(height: u64, charter: u64) -> Announced {
        (RosterVersion { height: Height::new(height), head: EntryId::new([7; 32]) }, charter)
    }

    /// Of each kind one: behind in entries, behind in charters, level, ahead, and one that said nothing yet.
    fn five() -> Abreast {
        let mut abreast = Abreast::default();
        for (seed, theirs) in [(1, log(4, 2)), (2, log(5, 1)), (3, log(5, 2)), (4, log(9, 2))] {
            abreast.announced(node(seed), theirs);
        }
        abreast.told(node(5), log(4, 2));
        abreast
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_behind_what_a_pull_brought_is_told_at_once_and_once() {
        let (mut abreast, now) = (five(), Instant::now());
        let ours = log(5, 2);
        assert_eq!(abreast.due(ours, now), [], "nothing grew");
        abreast.pulled(now);
        let mut due = abreast.due(ours, now);
        due.sort();
        let mut behind = vec![node(1), node(2)];
        behind.sort();
        assert_eq!(due, behind);
        due.into_iter().for_each(|peer| abreast.told(peer, ours));
        abreast.pulled(now);
        assert_eq!(abreast.due(ours, now), [], "one that stays behind is not greeted over and over");
        abreast.pulled(now);
        assert_eq!(abreast.due(log(6, 2), now).len(), 3, "there is more to tell");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_gossiped_is_told_only_where_nothing_was_heard_of_it() {
        let (mut abreast, now, mut rng) = (five(), Instant::now(), StdRng::seed_from_u64(1));
        let ours = log(5, 2);
        abreast.grown(now, &mut rng);
        assert_eq!(abreast.due(ours, now), []);
        // It has it, as it says greeting us.
        abreast.announced(node(1), ours);
        let later = now + GOSSIPED * 2;
        // Growth without end puts nothing off.
        abreast.grown(later - Duration::from_millis(1), &mut rng);
        assert_eq!(abreast.due(ours, later), [node(2)]);
        assert_eq!(abreast.due(ours, later + GOSSIPED * 2), [], "looked at once");
    }

    #[tokio::test(start_paused = true)]
    async fn who_left_is_not_told() {
        let (mut abreast, now) = (five(), Instant::now());
        [1, 2].map(node).iter().for_each(|peer| abreast.gone(peer));
        abreast.pulled(now);
        assert_eq!(abreast.due(log(5, 2), now), []);
    }
}
