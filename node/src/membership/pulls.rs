//! Whose admin log is pulled, and whose is not asked for a while.
//!
//! Every hello, gossiped record and envelope can say "there is more than you have". A peer that says so and
//! has nothing must not keep this node asking.

use std::{collections::BTreeMap, time::Duration};

use belfry_proto::{crypto::sign::PublicKey, time::doubled};
use tokio::time::Instant;

/// Wait after a pull that brought nothing; doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait: an honest peer's new record reaches us by gossip or another peer long before.
const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// Peers remembered; idle ones beyond it are forgotten.
const PEERS: usize = 1024;

/// Whether a pull began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// It did.
    Begun,
    /// One is under way; its end will tell.
    Underway,
    /// The peer promised more than it had, a little while ago.
    InVain,
}

/// How a pull ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pulled {
    /// Our log is longer by it.
    Advanced,
    /// The peer answered, and had nothing for us.
    Nothing,
    /// No answer.
    Failed,
}

/// One pull a peer at a time, and fewer of those that disappoint.
#[derive(Debug, Default)]
pub(super) struct Pulls(BTreeMap<PublicKey, State>);

#[derive(Clone, Copy, Debug)]
struct State {
    under_way: bool,
    in_vain: u32,
    not_before: Instant,
}

impl Pulls {
    /// Begins a pull, if one may begin.
    pub(super) fn begin(&mut self, peer: PublicKey, now: Instant) -> Begin {
        if self.0.len() > PEERS {
            self.0.retain(|_, state| state.under_way || state.not_before > now);
        }
        let state = self.0.entry(peer).or_insert(State { under_way: false, in_vain: 0, not_before: now });
        if state.under_way {
            return Begin::Underway;
        }
        if state.not_before > now {
            return Begin::InVain;
        }
        state.under_way = true;
        Begin::Begun
    }

    /// A pull ended.
    pub(super) fn end(&mut self, peer: &PublicKey, pulled: Pulled, now: Instant) {
        let Some(state) = self.0.get_mut(peer) else { return };
        state.under_way = false;
        match pulled {
            Pulled::Advanced => state.in_vain = 0,
            Pulled::Nothing => {
                let wait = doubled(FIRST_WAIT, state.in_vain, LONGEST_WAIT);
                state.in_vain = state.in_vain.saturating_add(1);
                state.not_before = now + wait;
            }
            Pulled::Failed => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use belfry_proto::crypto::sign::SigningKey;

    use super::*;

    fn peer(seed: u8) -> PublicKey {
        SigningKey::from_seed(&[seed; 32]).public()
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_always_claims_to_be_ahead_is_asked_ever_less_often() {
        let (mut pulls, liar, begun) = (Pulls::default(), peer(1), Instant::now());
        let mut now = begun;
        let mut asked = 0;
        while now < begun + Duration::from_secs(3600) {
            if pulls.begin(liar, now) == Begin::Begun {
                asked += 1;
                assert_eq!(pulls.begin(liar, now), Begin::Underway, "one at a time");
                pulls.end(&liar, Pulled::Nothing, now);
            }
            assert_eq!(pulls.begin(peer(2), now), Begin::Begun, "others are not held up");
            pulls.end(&peer(2), Pulled::Advanced, now);
            now += Duration::from_millis(500);
        }
        assert!(asked < 20, "{asked} pulls in an hour");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_delivers_is_asked_at_once() {
        let (mut pulls, now) = (Pulls::default(), Instant::now());
        for _ in 0..100 {
            assert_eq!(pulls.begin(peer(1), now), Begin::Begun);
            pulls.end(&peer(1), Pulled::Advanced, now);
        }
    }
}
