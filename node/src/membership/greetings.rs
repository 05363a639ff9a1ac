//! Hellos under way, and those to be repeated: none is lost because one answer was.

use std::{collections::BTreeMap, time::Duration};

use belfry_proto::{crypto::sign::PublicKey, time::doubled};
use tokio::time::Instant;

/// Until a hello without a good answer is repeated; doubles to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// As a lobby connection lasts half a minute, each gets some tries.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// One at a time with each peer. Bounded by the connections there are, as long as who left is taken out.
#[derive(Debug, Default)]
pub(super) struct Greetings(BTreeMap<PublicKey, State>);

#[derive(Debug, Default)]
struct State {
    under_way: bool,
    again: Option<Instant>,
    failures: u32,
}

impl Greetings {
    /// True if a hello may begin; else one is under way, and will be repeated.
    pub(super) fn begin(&mut self, peer: PublicKey, now: Instant) -> bool {
        let state = self.0.entry(peer).or_default();
        if state.under_way {
            state.again = Some(now);
            return false;
        }
        (state.under_way, state.again) = (true, None);
        true
    }

    /// It was answered.
    pub(super) fn answered(&mut self, peer: &PublicKey) {
        if let Some(state) = self.0.get_mut(peer) {
            (state.under_way, state.failures) = (false, 0);
        }
    }

    /// It was not, or not as hoped.
    pub(super) fn failed(&mut self, peer: &PublicKey, now: Instant) {
        if let Some(state) = self.0.get_mut(peer) {
            state.under_way = false;
            let wait = doubled(FIRST_WAIT, state.failures, LONGEST_WAIT);
            state.failures = state.failures.saturating_add(1);
            state.again = Some(state.again.map_or(now + wait, |at| at.min(now + wait)));
        }
    }

    /// Greets the peer again at this time, or before.
    pub(super) fn later(&mut self, peer: PublicKey, at: Instant) {
        let state = self.0.entry(peer).or_default();
        state.again = Some(state.again.map_or(at, |earlier| earlier.min(at)));
    }

    /// Peers whose hello is to be repeated now.
    pub(super) fn due(&self, now: Instant) -> Vec<PublicKey> {
        let due =
            self.0.iter().filter(|(_, state)| !state.under_way && state.again.is_some_and(|at| at <= now));
        due.map(|(peer, _)| *peer).collect()
    }

    /// Who is not connected is not greeted. What is under way ends by itself.
    pub(super) fn gone(&mut self, peer: &PublicKey) {
        if let Some(state) = self.0.get_mut(peer) {
            state.again = None;
            if !state.under_way {
                self.0.remove(peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use belfry_proto::crypto::sign::SigningKey;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_hello_without_answer_is_repeated_and_none_doubled() {
        let (mut greetings, mut now) = (Greetings::default(), Instant::now());
        let peer = SigningKey::from_seed(&[1; 32]).public();
        let mut waits = Vec::new();
        for _ in 0..8 {
            assert!(greetings.begin(peer, now) && !greetings.begin(peer, now));
            greetings.0.get_mut(&peer).unwrap().again = None;
            greetings.failed(&peer, now);
            assert!(greetings.due(now).is_empty());
            let begun = now;
            while greetings.due(now).is_empty() {
                now += Duration::from_millis(500);
            }
            waits.push(now - begun);
        }
        assert!(waits.is_sorted() && waits[0] == FIRST_WAIT && waits[7] == LONGEST_WAIT, "{waits:?}");
        assert!(greetings.begin(peer, now));
        greetings.answered(&peer);
        assert!(greetings.due(now + LONGEST_WAIT).is_empty());
    }

    /// What asked for a hello while one was under way did so for a reason that the one before cannot know.
    #[tokio::test(start_paused = true)]
    async fn a_hello_wanted_while_one_is_under_way_follows_it() {
        let (mut greetings, now) = (Greetings::default(), Instant::now());
        let peer = SigningKey::from_seed(&[1; 32]).public();
        assert!(greetings.begin(peer, now) && !greetings.begin(peer, now));
        greetings.answered(&peer);
        assert_eq!(greetings.due(now), [peer]);
        greetings.gone(&peer);
        assert!(greetings.0.is_empty());
    }
}
