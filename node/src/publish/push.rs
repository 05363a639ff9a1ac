//! To whom a fresh key is pushed, and how long that may take.
//!
//! ```text
//! entitled and connected, a node a member, at random, who failed lately last
//!     ─▶ as many at once as holders are missing ─▶ for each that fails, the next one
//!     ─▶ until there are enough, nobody is left, or the deadline has passed
//! ```

use std::{collections::BTreeMap, time::Duration};

use belfry_proto::{crypto::sign::PublicKey, id::MemberId};
use futures::{StreamExt as _, stream::FuturesUnordered};
use rand::{Rng, seq::SliceRandom};
use tokio::time::{Instant, timeout};

/// How long one push may take: one that is stored takes a synced write over there.
const PUSH: Duration = Duration::from_secs(2);
/// How long all pushes of a key may take together, so that others have their turn after silent ones.
const ALL: Duration = Duration::from_secs(4);
/// How long one to a node that failed lately may take: so that one silent reader does not delay the first message under
/// every key.
const SHORT: Duration = Duration::from_millis(500);
/// How long a node counts as having failed lately.
const LATELY: Duration = Duration::from_secs(120);

/// Nodes that took no push lately.
#[derive(Debug, Default)]
pub(super) struct Failures(BTreeMap<PublicKey, Instant>);

impl Failures {
    /// Whether it failed lately.
    pub(super) fn are_of(&self, node: &PublicKey, now: Instant) -> bool {
        self.0.get(node).is_some_and(|at| now.saturating_duration_since(*at) < LATELY)
    }

    /// Takes up how a key's pushes went.
    pub(super) fn learn(&mut self, shared: &Shared, now: Instant) {
        self.0.retain(|_, at| now.saturating_duration_since(*at) < LATELY);
        for (_, node) in &shared.stored {
            self.0.remove(node);
        }
        self.0.extend(shared.failed.iter().map(|node| (*node, now)));
    }

    /// Candidates in the order in which they are tried, each with the time it has.
    pub(super) fn order<R: Rng + ?Sized>(
        &self,
        mut entitled: Vec<(MemberId, PublicKey)>,
        now: Instant,
        rng: &mut R,
    ) -> Vec<Candidate> {
        entitled.shuffle(rng);
        entitled.sort_by_key(|(_, node)| self.are_of(node, now));
        let patience = |node: &PublicKey| if self.are_of(node, now) { SHORT } else { PUSH };
        entitled
            .into_iter()
            .map(|(member, node)| Candidate { member, node, patience: patience(&node) })
            .collect()
    }
}

/// Somebody to push to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) member: MemberId,
    pub(super) node: PublicKey,
    pub(super) patience: Duration,
}

/// How a key's pushes went.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Shared {
    /// Who holds it now.
    pub(super) stored: Vec<(MemberId, PublicKey)>,
    /// Who did not take it in its time.
    pub(super) failed: Vec<PublicKey>,
}

/// Pushes one key to `candidates` until `wanted` members hold it; `push` says whether one does.
pub(super) async fn share<F: Future<Output = bool> + Send>(
    wanted: usize,
    candidates: Vec<Candidate>,
    push: impl Fn(PublicKey) -> F + Send,
) -> Shared {
    let deadline = Instant::now() + ALL;
    let mut shared = Shared::default();
    let mut waiting = candidates;
    waiting.reverse();
    let mut under_way = FuturesUnordered::new();
    let mut asked: Vec<(MemberId, PublicKey)> = Vec::new();
    loop {
        while shared.stored.len() + asked.len() < wanted {
            let Some(next) = waiting.pop() else { break };
            // Another node of a member that holds it, or may at any moment, would be no further holder.
            if shared.stored.iter().any(|(member, _)| *member == next.member) {
                continue;
            }
            if asked.iter().any(|(member, _)| *member == next.member) {
                // It takes its turn if the other node fails.
                let turn =
                    waiting.iter().position(|other| asked.iter().all(|(member, _)| *member != other.member));
                if turn.is_none() {
                    waiting.push(next);
                    break;
                }
                waiting.insert(0, next);
                continue;
            }
            asked.push((next.member, next.node));
            let answer = timeout(next.patience, push(next.node));
            under_way.push(async move { (next, answer.await.unwrap_or(false)) });
        }
        let ended = tokio::time::timeout_at(deadline, under_way.next()).await;
        let Ok(Some((candidate, stored))) = ended else { break };
        asked.retain(|(_, node)| *node != candidate.node);
        if stored {
            shared.stored.push((candidate.member, candidate.node));
        } else {
            shared.failed.push(candidate.node);
        }
    }
    shared.failed.extend(asked.into_iter().map(|(_, node)| node));
    shared
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::Mutex};

    use belfry_proto::crypto::sign::SigningKey;
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    fn node(seed: u8) -> PublicKey {
        SigningKey::from_seed(&[seed; 32]).public()
    }

    fn readers(count: u8) -> Vec<(MemberId, PublicKey)> {
        (1..=count).map(|n| (MemberId::new([n; 16]), node(n))).collect()
    }

    fn ordered(failures: &Failures, entitled: Vec<(MemberId, PublicKey)>, seed: u64) -> Vec<Candidate> {
        failures.order(entitled, Instant::now(), &mut StdRng::seed_from_u64(seed))
    }

    #[tokio::test(start_paused = true)]
    async fn holders_are_chosen_at_random_and_not_by_their_keys() {
        let mut first = BTreeSet::new();
        for seed in 0..100 {
            first.insert(ordered(&Failures::default(), readers(8), seed)[0].node);
        }
        assert_eq!(first.len(), 8);
    }

    #[tokio::test(start_paused = true)]
    async fn who_failed_lately_is_tried_last_and_for_a_shorter_time() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        failures.learn(&Shared { stored: Vec::new(), failed: vec![node(1), node(2)] }, now);
        for seed in 0..20 {
            let order = ordered(&failures, readers(4), seed);
            let last: BTreeSet<PublicKey> = order[2..].iter().map(|candidate| candidate.node).collect();
            assert_eq!(last, BTreeSet::from([node(1), node(2)]));
            assert!(order[1].patience == PUSH && order[2].patience == SHORT);
        }
        failures.learn(&Shared { stored: vec![(MemberId::new([1; 16]), node(1))], failed: Vec::new() }, now);
        assert!(!failures.are_of(&node(1), now) && failures.are_of(&node(2), now));
        assert!(!failures.are_of(&node(2), now + LATELY));
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_ones_take_the_place_of_those_that_refuse() {
        let candidates = ordered(&Failures::default(), readers(6), 1);
        let refusing = [candidates[0].node, candidates[2].node];
        let shared = share(3, candidates.clone(), async |to| !refusing.contains(&to)).await;
        assert_eq!(shared.stored.len(), 3);
        assert_eq!(BTreeSet::from_iter(shared.failed), BTreeSet::from(refusing));
    }

    #[tokio::test(start_paused = true)]
    async fn the_silent_cost_one_deadline_however_many_they_are_and_little_the_next_time() {
        let (mut failures, begun) = (Failures::default(), Instant::now());
        let shared =
            share(3, ordered(&failures, readers(3), 1), async |_| std::future::pending().await).await;
        assert_eq!(begun.elapsed(), PUSH);
        assert_eq!((shared.stored.len(), shared.failed.len()), (0, 3));
        failures.learn(&shared, Instant::now());
        let again = Instant::now();
        let shared =
            share(3, ordered(&failures, readers(3), 1), async |_| std::future::pending().await).await;
        assert_eq!((again.elapsed(), shared.failed.len()), (SHORT, 3));
        // Others have their turn after them.
        let order = ordered(&Failures::default(), readers(6), 1);
        let silent: Vec<PublicKey> = order[..3].iter().map(|candidate| candidate.node).collect();
        let answers = async |to: PublicKey| {
            if silent.contains(&to) { std::future::pending().await } else { true }
        };
        let shared = share(3, order.clone(), answers).await;
        assert_eq!((shared.stored.len(), shared.failed.len()), (3, 3));
        // Beside three that answer they cost nothing.
        let begun = Instant::now();
        let silent = [node(1), node(2), node(3)];
        let answers = async |to: PublicKey| {
            if silent.contains(&to) { std::future::pending().await } else { true }
        };
        let shared = share(3, ordered(&failures, readers(6), 1), answers).await;
        assert_eq!((begun.elapsed(), shared.stored.len()), (Duration::ZERO, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn two_nodes_of_a_member_are_one_holder_and_the_second_a_way_to_it() {
        let two = |n: u8| [(MemberId::new([n; 16]), node(n)), (MemberId::new([n; 16]), node(100 + n))];
        let entitled = [two(1), two(2)].concat();
        for seed in 0..20 {
            let shared =
                share(3, ordered(&Failures::default(), entitled.clone(), seed), async |_| true).await;
            let members: BTreeSet<MemberId> = shared.stored.iter().map(|(member, _)| *member).collect();
            assert_eq!((shared.stored.len(), members.len()), (2, 2));
            let asked = Mutex::new(Vec::new());
            let mute = async |to: PublicKey| {
                asked.lock().unwrap().push(to);
                to == node(101) || to == node(2)
            };
            let shared = share(3, ordered(&Failures::default(), entitled.clone(), seed), mute).await;
            assert_eq!(shared.stored.len(), 2, "{:?}", asked.lock().unwrap());
        }
    }
}
