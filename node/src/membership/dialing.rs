//! Whom to dial, and when again.
//!
//! The roster is the peer list: every admitted node with a known address is a candidate. Which of them are
//! wanted, [`links`] says; this remembers who is connected, who failed, and until when to wait.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use belfry_proto::{crypto::sign::PublicKey, id::GroupId, time::doubled};
use rand::seq::IteratorRandom;
use tokio::time::Instant;

use super::links::{self, Place};
use crate::network::{Address, Scope};

/// Dials begun in one tick.
const AT_ONCE: usize = 8;
/// First wait after a failed dial; doubles.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// Wait after a dial was begun, in case its end is never told.
const UNDERWAY: Duration = Duration::from_secs(15);
/// How long a node whose link broke is sought although others make up for it. A partition that lasts longer ends with
/// the next restart or new link; whoever is gone for good is not dialled for ever.
const SOUGHT: Duration = Duration::from_secs(24 * 3600);

/// Relays that one record has this node link with: as many as a node that tells the truth holds places with.
const RELAYS: usize = 2;

#[derive(Clone, Copy, Debug)]
struct Attempts {
    failures: u32,
    not_before: Instant,
}

/// The dialler's memory. Asked once a tick.
#[derive(Debug)]
pub(super) struct Dialing {
    bootstrap: BTreeMap<PublicKey, Vec<Address>>,
    attempts: BTreeMap<PublicKey, Attempts>,
    /// True if this node dialled.
    connected: BTreeMap<PublicKey, bool>,
    /// Nodes whose last link broke, and when; until they are reached again.
    lost: BTreeMap<PublicKey, Instant>,
    listening: Vec<Address>,
    external_configured: bool,
    limits: DialLimits,
}

/// What the operator decides about dialling.
#[derive(Clone, Copy, Debug)]
pub struct DialLimits {
    /// Longest wait between two dials of one node that does not answer.
    pub longest_wait: Duration,
    /// Links in all that dialling may lead to.
    pub most: usize,
}

impl Dialing {
    /// Starts with configured addresses.
    #[must_use]
    pub(super) fn new(
        bootstrap: Vec<(PublicKey, Address)>,
        external_configured: bool,
        limits: DialLimits,
    ) -> Self {
        let mut this = Self {
            bootstrap: BTreeMap::new(),
            attempts: BTreeMap::new(),
            connected: BTreeMap::new(),
            lost: BTreeMap::new(),
            listening: Vec::new(),
            external_configured,
            limits,
        };
        for (node, address) in bootstrap {
            this.bootstrap.entry(node).or_default().push(address);
        }
        this
    }

    /// A connection to `node` is up, dialled by us or by it.
    pub(super) fn connected(&mut self, node: PublicKey, outbound: bool) {
        *self.connected.entry(node).or_default() |= outbound;
        self.lost.remove(&node);
    }

    /// `node` greeted us as admitted: the next dial starts from no failures.
    pub(super) fn greeted(&mut self, node: PublicKey) {
        self.attempts.remove(&node);
    }

    /// The last connection to `node` is gone.
    pub(super) fn disconnected(&mut self, node: PublicKey) {
        if self.connected.remove(&node).is_some() {
            self.lost.insert(node, Instant::now());
        }
        // A lobby connection closes as soon as the other side knows us: be back quickly, but not at once for ever.
        self.failed(node, Instant::now());
    }

    /// Every connection and listening address is gone; returns who was connected.
    pub(super) fn forget_links(&mut self) -> Vec<PublicKey> {
        self.listening.clear();
        self.attempts.clear();
        let gone = std::mem::take(&mut self.connected);
        self.lost.extend(gone.keys().map(|node| (*node, Instant::now())));
        gone.into_keys().collect()
    }

    /// A dial of `node` came to nothing.
    pub(super) fn failed(&mut self, node: PublicKey, now: Instant) {
        let failures = self.attempts.get(&node).map_or(0, |a| a.failures).saturating_add(1);
        let wait = doubled(FIRST_WAIT, failures.saturating_sub(1), self.limits.longest_wait);
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
    /// are told only where there is nothing else, as on a machine that plays a whole coalition. Circuits are told in any case.
    #[must_use]
    pub(super) fn told(&self) -> Vec<Address> {
        let (circuits, places): (Vec<Address>, Vec<Address>) =
            self.listening.iter().cloned().partition(Address::is_circuit);
        let is_local = |a: &Address| matches!(a.scope(), Scope::Loopback | Scope::Memory);
        let (local, mut wide): (Vec<Address>, Vec<Address>) = places.into_iter().partition(is_local);
        wide.retain(|a| a.scope() != Scope::Unspecified);
        let places = if self.external_configured {
            Vec::new()
        } else if wide.is_empty() {
            local
        } else {
            wide
        };
        // First: of many interfaces' addresses some may not fit into a record.
        [circuits, places].concat()
    }

    /// Where this node listens and what it is configured to dial.
    pub(super) fn own_places(&self) -> impl Iterator<Item = &Address> {
        self.listening.iter().chain(self.bootstrap.values().flatten())
    }

    /// Whether the operator named this address of the node.
    pub(super) fn is_configured(&self, node: &PublicKey, address: &Address) -> bool {
        self.bootstrap.get(node).is_some_and(|addresses| addresses.contains(address))
    }

    /// Whether there is an admitted connection.
    #[must_use]
    pub(super) fn is_connected(&self, node: &PublicKey) -> bool {
        self.connected.contains_key(node)
    }

    /// Everybody with an admitted connection.
    pub(super) fn connected_now(&self) -> Vec<PublicKey> {
        self.connected.keys().copied().collect()
    }

    /// A connected node, any.
    #[must_use]
    pub(super) fn random_connected(&self) -> Option<PublicKey> {
        self.connected.keys().copied().choose(&mut rand::rng())
    }

    /// Takes from the book circuits over nodes that give none or that there is no link with, and gives those of `relays`
    /// that are needed: some member is reached over them and in no other way.
    pub(super) fn over_links(
        &self,
        known: &mut BTreeMap<PublicKey, Vec<Address>>,
        relays: &BTreeSet<PublicKey>,
    ) -> BTreeSet<PublicKey> {
        let mut needed = BTreeSet::new();
        for (node, addresses) in known {
            let gives = |relay: &PublicKey| relays.contains(relay);
            let told: Vec<PublicKey> =
                addresses.iter().filter_map(Address::relay).filter(gives).take(RELAYS).collect();
            let leads = |relay: PublicKey| gives(&relay) && self.is_connected(&relay);
            addresses.retain(|address| address.relay().is_none_or(leads));
            if addresses.is_empty() && !self.is_connected(node) {
                needed.extend(told);
            }
        }
        needed
    }

    /// Nodes to dial now, with every address known. `nodes` are all others that are admitted, `own` the
    /// groups that links are wanted into, `relays` nodes that lead to others.
    pub(super) fn due(
        &mut self,
        nodes: &BTreeMap<PublicKey, Place>,
        own: &BTreeSet<GroupId>,
        known: &BTreeMap<PublicKey, Vec<Address>>,
        relays: &BTreeSet<PublicKey>,
        now: Instant,
    ) -> Vec<(PublicKey, Vec<Address>)> {
        let waits = |node: &PublicKey| self.attempts.get(node).is_some_and(|a| a.not_before > now);
        let told = known.iter().filter(|(_, addresses)| !addresses.is_empty()).map(|(node, _)| node);
        let dialable = told.chain(self.bootstrap.keys()).copied();
        self.lost.retain(|node, since| nodes.contains_key(node) && now.duration_since(*since) < SOUGHT);
        let view = links::View {
            own,
            nodes,
            connected: &self.connected,
            dialable: &dialable.filter(|node| !waits(node)).collect(),
            anchors: &self.bootstrap.keys().copied().collect(),
            sought: &self.lost.keys().chain(relays).copied().collect(),
            most: self.limits.most,
        };
        let mut due = links::plan_dials(&view, &mut rand::rng());
        due.truncate(AT_ONCE);
        let mut dials = Vec::with_capacity(due.len());
        for node in due {
            let mut addresses = known.get(&node).cloned().unwrap_or_default();
            let configured = self.bootstrap.get(&node).into_iter().flatten();
            addresses.extend(
                configured.filter(|address| !addresses.contains(address)).cloned().collect::<Vec<_>>(),
            );
            if addresses.is_empty() {
                continue;
            }
            // Until the outcome is known: a handshake ends within its own time, one way or the other.
            let failures = self.attempts.get(&node).map_or(0, |a| a.failures);
            if failures == 0 && !addresses.iter().all(Address::is_circuit) {
                // A circuit is for whom nothing else leads to.
                addresses.retain(|address| !address.is_circuit());
            }
            self.attempts.insert(node, Attempts { failures, not_before: now + UNDERWAY });
            dials.push((node, addresses));
        }
        // Who left the roster needs no memory.
        self.attempts.retain(|node, _| nodes.contains_key(node));
        dials
    }
}

#[cfg(test)]
mod tests {
    use belfry_proto::crypto::sign::SigningKey;

    use super::*;

    const GROUP: GroupId = GroupId::new(5);
    const LIMITS: DialLimits = DialLimits { longest_wait: Duration::from_secs(15), most: 96 };

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap().0
    }

    fn none() -> BTreeSet<PublicKey> {
        BTreeSet::new()
    }

    fn node(seed: u8) -> PublicKey {
        SigningKey::from_seed(&[seed; 32]).public()
    }

    fn roster(nodes: &[PublicKey]) -> BTreeMap<PublicKey, Place> {
        let place = Place { groups: BTreeSet::from([GROUP]), carrier: false };
        nodes.iter().map(|node| (*node, place.clone())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_node_is_dialled_ever_less_often_up_to_the_configured_wait() {
        let (a, own) = (node(1), BTreeSet::from([GROUP]));
        let mut dialing = Dialing::new(vec![(a, address("/memory/1"))], false, LIMITS);
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..10 {
            assert_eq!(dialing.due(&roster(&[a]), &own, &BTreeMap::new(), &none(), now).len(), 1);
            dialing.failed(a, now);
            let begun = now;
            while dialing.due(&roster(&[a]), &own, &BTreeMap::new(), &none(), now).is_empty() {
                now += Duration::from_millis(100);
            }
            waits.push(now - begun);
            dialing.attempts.get_mut(&a).unwrap().not_before = now;
        }
        assert_eq!(waits.first(), Some(&FIRST_WAIT));
        assert!(waits.is_sorted());
        assert_eq!(waits.last(), Some(&LIMITS.longest_wait));
    }

    #[tokio::test(start_paused = true)]
    async fn only_wanted_unconnected_nodes_with_an_address_are_dialled() {
        let (a, b, c) = (node(1), node(2), node(3));
        let known = BTreeMap::from([(a, vec![address("/memory/1")]), (b, vec![address("/memory/2")])]);
        let mut dialing = Dialing::new(Vec::new(), false, LIMITS);
        dialing.connected(a, false);
        let own = BTreeSet::from([GROUP]);
        let due = dialing.due(&roster(&[a, b, c]), &own, &known, &none(), Instant::now());
        assert_eq!(due, vec![(b, vec![address("/memory/2")])]);
    }

    /// Once others make up for it, a node is dialled for the link it was, and no longer than a day.
    #[tokio::test(start_paused = true)]
    async fn a_node_whose_link_broke_is_sought_for_a_day() {
        let nodes: Vec<PublicKey> = (1..20).map(node).collect();
        let (lost, others) = (nodes[0], &nodes[1..]);
        let known: BTreeMap<_, _> = nodes.iter().map(|n| (*n, vec![address("/memory/1")])).collect();
        let mut dialing = Dialing::new(Vec::new(), false, LIMITS);
        for other in others {
            dialing.connected(*other, true);
        }
        let own = BTreeSet::from([GROUP]);
        assert_eq!(dialing.due(&roster(&nodes), &own, &known, &none(), Instant::now()), []);
        dialing.connected(lost, false);
        dialing.disconnected(lost);
        let later = Instant::now() + FIRST_WAIT;
        assert_eq!(
            dialing.due(&roster(&nodes), &own, &known, &none(), later),
            [(lost, vec![address("/memory/1")])]
        );
        let next_day = later + SOUGHT;
        assert_eq!(dialing.due(&roster(&nodes), &own, &known, &none(), next_day), []);
        dialing.connected(lost, false);
        assert_eq!(dialing.lost.len(), 0);
    }

    /// A node that was restarted knows where others are from its own disk.
    #[tokio::test(start_paused = true)]
    async fn the_address_book_alone_is_enough_to_dial() {
        let b = node(2);
        let mut dialing = Dialing::new(Vec::new(), false, LIMITS);
        let known = BTreeMap::from([(b, vec![address("/memory/2")])]);
        // Not even a group in common.
        let due = dialing.due(&roster(&[b]), &BTreeSet::new(), &known, &none(), Instant::now());
        assert_eq!(due, vec![(b, vec![address("/memory/2")])]);
    }

    /// A circuit is dialled over a link there is, for want of anything better.
    #[tokio::test(start_paused = true)]
    async fn circuits_lead_over_linked_relays_to_whom_nothing_else_does() {
        let [hidden, both, relay, far] = [1, 2, 3, 4].map(node);
        let (here, over) = (address("/memory/1"), Address::circuit(&relay));
        let book = BTreeMap::from([
            (hidden, vec![over.clone(), Address::circuit(&far)]),
            (both, vec![here.clone(), over.clone()]),
            (relay, vec![here.clone()]),
            (far, vec![]),
        ]);
        let (nodes, own) = (roster(&[hidden, both, relay, far]), BTreeSet::new());
        let mut dialing = Dialing::new(Vec::new(), false, LIMITS);
        let mut known = book.clone();
        let gives = BTreeSet::from([relay, far]);
        let relays = dialing.over_links(&mut known, &gives);
        assert_eq!(relays, gives);
        assert_eq!((known[&hidden].len(), &known[&both]), (0, &vec![here.clone()]));
        let now = Instant::now();
        let due = dialing.due(&nodes, &own, &known, &relays, now);
        assert!(due.contains(&(relay, vec![here.clone()])) && due.iter().all(|(node, _)| *node != hidden));

        dialing.connected(relay, true);
        let mut known = book;
        assert_eq!(dialing.over_links(&mut known, &gives), none());
        // Two links that nobody's group needs are wanted; one there is.
        let due: BTreeMap<_, _> =
            dialing.due(&roster(&[hidden, relay]), &own, &known, &none(), now).into_iter().collect();
        assert_eq!(due, BTreeMap::from([(hidden, vec![over.clone()])]));
        dialing.failed(both, now);
        let later = now + UNDERWAY;
        let due = dialing.due(&roster(&[both, relay]), &own, &known, &none(), later);
        assert_eq!(due, [(both, vec![here, over])], "once a direct dial has failed");
    }

    /// Or one record could draw everybody to whom it likes.
    #[tokio::test(start_paused = true)]
    async fn a_record_has_others_link_with_two_relays_at_most_and_with_no_other_node() {
        let nodes: Vec<PublicKey> = (1..20).map(node).collect();
        let (liar, relays) = (nodes[0], nodes[1..6].iter().copied().collect::<BTreeSet<_>>());
        let told: Vec<Address> = nodes[1..].iter().rev().map(Address::circuit).collect();
        let mut dialing = Dialing::new(Vec::new(), false, LIMITS);
        let mut known = BTreeMap::from([(liar, told.clone())]);
        let needed = dialing.over_links(&mut known, &relays);
        assert!(needed.len() == RELAYS && needed.is_subset(&relays), "{needed:?}");
        dialing.connected(nodes[10], true);
        dialing.connected(nodes[3], true);
        let mut known = BTreeMap::from([(liar, told)]);
        assert_eq!(dialing.over_links(&mut known, &relays), none());
        assert_eq!(
            known[&liar],
            [Address::circuit(&nodes[3])],
            "a link with a node that gives none leads nowhere"
        );
    }
}
