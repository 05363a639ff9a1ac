//! Whom to dial, and when again.
//!
//! The roster is the peer list: every admitted node with a known address is a candidate. Small
//! coalitions connect fully; larger ones stop at [`TARGET`] links.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use belfry_proto::crypto::sign::PublicKey;
use rand::seq::{IndexedRandom, SliceRandom};
use tokio::time::Instant;

use crate::network::{Address, Scope};

/// Links to hold. Gossipsub meshes of 8 over twelve groups, with room for sync partners; too low and
/// small groups fall apart, too high and every node holds the whole coalition's connections.
const TARGET: usize = 32;
/// Dials begun in one tick.
const AT_ONCE: usize = 8;
/// First wait after a failed dial; doubles.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// Longest wait between two dials of one node.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug)]
struct Attempts {
    failures: u32,
    not_before: Instant,
}

/// The dialler's memory. Asked once a tick.
#[derive(Debug, Default)]
pub(super) struct Dialing {
    bootstrap: BTreeMap<PublicKey, Vec<Address>>,
    attempts: BTreeMap<PublicKey, Attempts>,
    connected: BTreeSet<PublicKey>,
    listening: Vec<Address>,
    external_configured: bool,
}

impl Dialing {
    /// Starts with configured addresses.
    #[must_use]
    pub(super) fn new(bootstrap: Vec<(PublicKey, Address)>, external_configured: bool) -> Self {
        let mut this = Self { external_configured, ..Self::default() };
        for (node, address) in bootstrap {
            this.bootstrap.entry(node).or_default().push(address);
        }
        this
    }

    /// A connection to `node` is up.
    pub(super) fn connected(&mut self, node: PublicKey) {
        self.connected.insert(node);
    }

    /// `node` greeted us as admitted: the next dial starts from no failures.
    pub(super) fn greeted(&mut self, node: PublicKey) {
        self.attempts.remove(&node);
    }

    /// The last connection to `node` is gone.
    pub(super) fn disconnected(&mut self, node: PublicKey) {
        self.connected.remove(&node);
        // A lobby connection closes as soon as the other side knows us: be back quickly, but not at once for ever.
        self.failed(node, Instant::now());
    }

    /// A dial of `node` came to nothing.
    pub(super) fn failed(&mut self, node: PublicKey, now: Instant) {
        let failures = self.attempts.get(&node).map_or(0, |a| a.failures).saturating_add(1);
        let wait = FIRST_WAIT.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(LONGEST_WAIT);
        self.attempts.insert(node, Attempts { failures, not_before: now + wait });
    }

    /// A new listening address; told to others unless external ones are configured.
    pub(super) fn listening(&mut self, address: Address) {
        if !self.listening.contains(&address) {
            self.listening.push(address);
        }
    }

    /// A listening address that is none any more.
    pub(super) fn not_listening(&mut self, address: &Address) {
        self.listening.retain(|a| a != address);
    }

    /// Addresses to tell others when none are configured: the widest reachable ones. Loopback addresses
    /// are told only where there is nothing else, as on a machine that plays a whole coalition.
    #[must_use]
    pub(super) fn told(&self) -> Vec<Address> {
        if self.external_configured {
            return Vec::new();
        }
        let is_local = |a: &&Address| matches!(a.scope(), Scope::Loopback | Scope::Memory);
        let wide: Vec<Address> = self
            .listening
            .iter()
            .filter(|a| !is_local(a) && a.scope() != Scope::Unspecified)
            .cloned()
            .collect();
        if wide.is_empty() { self.listening.iter().filter(is_local).cloned().collect() } else { wide }
    }

    /// A connected node, any.
    #[must_use]
    pub(super) fn random_connected(&self) -> Option<PublicKey> {
        let all: Vec<PublicKey> = self.connected.iter().copied().collect();
        all.choose(&mut rand::rng()).copied()
    }

    /// Nodes to dial now, with every address known.
    pub(super) fn due(
        &mut self,
        wanted: &[PublicKey],
        known: &BTreeMap<PublicKey, Vec<Address>>,
        now: Instant,
    ) -> Vec<(PublicKey, Vec<Address>)> {
        let room = TARGET.saturating_sub(self.connected.len()).min(AT_ONCE);
        let mut candidates: Vec<(PublicKey, Vec<Address>)> = wanted
            .iter()
            .filter(|node| !self.connected.contains(node))
            .filter(|node| self.attempts.get(node).is_none_or(|a| a.not_before <= now))
            .filter_map(|node| {
                let mut addresses = known.get(node).cloned().unwrap_or_default();
                addresses.extend(self.bootstrap.get(node).into_iter().flatten().cloned());
                addresses.dedup();
                (!addresses.is_empty()).then_some((*node, addresses))
            })
            .collect();
        candidates.shuffle(&mut rand::rng());
        candidates.truncate(room);
        for (node, _) in &candidates {
            // Until the outcome is known: at the earliest after one wait.
            let failures = self.attempts.get(node).map_or(0, |a| a.failures);
            self.attempts.insert(*node, Attempts { failures, not_before: now + LONGEST_WAIT / 4 });
        }
        candidates
    }
}

#[cfg(test)]
mod tests {
    use belfry_proto::crypto::sign::SigningKey;

    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap().0
    }

    fn node(seed: u8) -> PublicKey {
        SigningKey::from_seed(&[seed; 32]).public()
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_node_is_dialled_ever_less_often() {
        let a = node(1);
        let mut dialing = Dialing::new(vec![(a, address("/memory/1"))], false);
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..10 {
            assert_eq!(dialing.due(&[a], &BTreeMap::new(), now).len(), 1);
            dialing.failed(a, now);
            let begun = now;
            while dialing.due(&[a], &BTreeMap::new(), now).is_empty() {
                now += Duration::from_millis(100);
            }
            waits.push(now - begun);
            dialing.attempts.get_mut(&a).unwrap().not_before = now;
        }
        assert!(waits.first() < waits.last());
        assert!(waits.iter().all(|w| *w <= LONGEST_WAIT + Duration::from_millis(100)));
    }

    #[tokio::test(start_paused = true)]
    async fn only_wanted_unconnected_nodes_with_an_address_are_dialled() {
        let (a, b, c) = (node(1), node(2), node(3));
        let known = BTreeMap::from([(a, vec![address("/memory/1")]), (b, vec![address("/memory/2")])]);
        let mut dialing = Dialing::new(Vec::new(), false);
        dialing.connected(a);
        let due = dialing.due(&[a, b, c], &known, Instant::now());
        assert_eq!(due, vec![(b, vec![address("/memory/2")])]);
    }
}
