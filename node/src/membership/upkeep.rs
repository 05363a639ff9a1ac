//! What is done every second: links, allow-list, topics, and whether time passed unseen.

use std::collections::{BTreeMap, BTreeSet};

use belfry_proto::{crypto::sign::PublicKey, topic::Topic};

use super::{Membership, links};
use crate::{clock, network::Address};

/// Ticks between two hellos with a random admitted peer, and two offers of our own address.
const REFRESH_TICKS: u64 = 120;
/// Ticks between two looks at who is really connected: news of links may be lost, the network's list is not.
const LOOK_TICKS: u64 = 10;
/// Ticks between two tries to get what the registrar is known to have signed from somebody.
const AHEAD_TICKS: u64 = 5;

impl Membership {
    pub(super) async fn tick(&mut self) {
        self.ticks += 1;
        let now = clock::now();
        let mut time_passed = false;
        self.hellos.send_if_modified(|hellos| {
            time_passed = hellos.company.beat(tokio::time::Instant::now(), now);
            false
        });
        if time_passed {
            self.time_passed();
        }
        if self.ticks.is_multiple_of(AHEAD_TICKS) && self.hellos.borrow().company.is_ahead() {
            self.settle_ahead();
            if let Some(peer) = self.dialing.random_connected() {
                self.pull(peer);
            }
        }
        if self.ticks.is_multiple_of(10) {
            // Certificates expire without a log entry.
            self.allow().await;
            self.forget_contacts().await;
            self.mend_seen(clock::now()).await;
        }
        if self.ticks.is_multiple_of(LOOK_TICKS) {
            self.look().await;
            self.subscribe().await;
        }
        self.greet_due();
        self.greet_behind();
        if self.ticks.is_multiple_of(REFRESH_TICKS) {
            self.announced.clear();
            self.book.renew();
            if let Some(peer) = self.dialing.random_connected() {
                self.greet(peer);
            }
        }
        let mut known = self.known_addresses();
        self.seek_addresses(&known);
        self.seek_contacts();
        let relays = self.dialing.over_links(&mut known, &self.known_relays());
        let roster = self.roster.snapshot();
        let place = |node: PublicKey| {
            let certificate = roster.by_node(&node)?;
            let groups = certificate.groups.keys().copied().collect();
            Some((node, links::Place { groups, carrier: certificate.carrier }))
        };
        let mut nodes: BTreeMap<PublicKey, links::Place> =
            roster.admitted_nodes(now).into_iter().filter_map(place).collect();
        nodes.remove(&self.identity.node);
        let own = self.identity.kept_groups(&roster);
        let instant = tokio::time::Instant::now();
        for (node, addresses) in self.dialing.due(&nodes, &own, &known, &relays, instant) {
            let is_configured = |address: &Address| self.dialing.is_configured(&node, address);
            let addresses = self.targets.draw(node, addresses, is_configured, instant);
            if addresses.is_empty() {
                continue;
            }
            if let Err(error) = self.network.dial(node, addresses).await {
                tracing::debug!(peer = %node, "dial: {error}");
                // Nothing is under way that would be heard of.
                self.dialing.failed(node, instant);
            }
        }
        self.take_places().await;
        self.announce_address().await;
    }

    /// Has others help this node to be reached, if it needs that.
    async fn take_places(&mut self) {
        let now = tokio::time::Instant::now();
        let relays = self.known_relays();
        let linked = self.dialing.connected_now().into_iter().filter(|node| relays.contains(node));
        for relay in self.places.due(linked, now) {
            if let Err(error) = self.network.take_place(relay).await {
                tracing::debug!(peer = %relay, "no place for circuits: {error}");
                self.places.lost(relay, now);
            }
        }
    }

    /// Nodes that may give circuits: carriers, and those the operator named.
    fn known_relays(&self) -> BTreeSet<PublicKey> {
        let roster = self.roster.snapshot();
        let mut relays = roster.admitted_nodes(clock::now());
        relays.retain(|node| {
            self.relays.contains(node) || roster.by_node(node).is_some_and(|certificate| certificate.carrier)
        });
        relays.remove(&self.identity.node);
        relays
    }

    /// Repeats hellos that are to be.
    fn greet_due(&mut self) {
        for peer in self.greetings.due(tokio::time::Instant::now()) {
            if self.dialing.is_connected(&peer) {
                self.greet(peer);
            } else {
                self.greetings.gone(&peer);
            }
        }
    }

    /// The machine was suspended, or its clock set: what others told is of another time, and so may be what we signed.
    pub(super) fn time_passed(&mut self) {
        self.era += 1;
        // Others are asked anew; until then nothing is noted by this clock that nobody doubts.
        self.was_vouched = false;
        self.store.vouch_clock(None);
        self.announced.clear();
        self.book.renew();
        tracing::info!("time passed unseen, by one clock at least: greeting everybody again");
        self.hellos.send_modify(|hellos| {
            hellos.company.jumped(tokio::time::Instant::now());
            hellos.voices.forget();
        });
        for peer in self.dialing.connected_now() {
            self.greet(peer);
        }
    }

    /// A member's voice went with one of its nodes: another one that is connected has it.
    pub(super) fn ask_other_nodes(&mut self, gone: &PublicKey) {
        let roster = self.roster_now();
        let member = |node: &PublicKey| roster.by_node(node).map(|certificate| certificate.member);
        let Some(of) = member(gone).filter(|of| !self.hellos.borrow().voices.has(of)) else { return };
        for node in self.dialing.connected_now() {
            if member(&node) == Some(of) {
                self.greet(node);
            }
        }
    }

    /// Compares what links told with who is connected. Events that are still queued only say it once more.
    pub(super) async fn look(&mut self) {
        let Ok(peers) = self.network.peers().await else { return };
        for peer in peers.iter().filter(|peer| peer.admitted) {
            if !self.dialing.is_connected(&peer.node) {
                self.dialing.connected(peer.node, peer.outbound);
                self.arrived(peer.node);
                self.greet(peer.node);
            }
        }
        let here = |node: &PublicKey| peers.iter().any(|peer| peer.node == *node && peer.admitted);
        for node in self.dialing.connected_now().into_iter().filter(|node| !here(node)) {
            self.dialing.disconnected(node);
            self.gone(node);
        }
        self.greeted.retain(|node, _| peers.iter().any(|peer| peer.node == *node && !peer.admitted));
        self.hellos.send_if_modified(|hellos| hellos.voices.age(tokio::time::Instant::now()));
    }

    /// Tells the network who may have the full protocols, whenever that changed.
    pub(super) async fn allow(&mut self) {
        let mut admitted = self.roster.snapshot().admitted_nodes(clock::now());
        admitted.remove(&self.identity.node);
        if self.allowed.as_ref() == Some(&admitted) {
            return;
        }
        // Before the first connection with any of them: what it speaks is settled then. A key is a carrier's for as long as it
        // is certified, or never (`trust::fold` takes no key twice), so who may give circuits changes with the admitted alone.
        if let Err(error) = self.network.set_relays(self.known_relays()).await {
            tracing::error!("the network no longer takes the roster: {error}");
        }
        match self.network.set_allowed(admitted.clone()).await {
            Ok(()) => self.allowed = Some(admitted),
            Err(error) => tracing::error!("the network no longer takes the roster: {error}"),
        }
    }

    /// Joins the topics of the groups this node keeps, and leaves those it no longer does. What a network that was being replaced did
    /// not hear is said again the next time.
    pub(super) async fn subscribe(&mut self) {
        let mut wanted: BTreeSet<Topic> =
            self.identity.kept_groups(&self.roster_now()).into_iter().map(Topic::Group).collect();
        wanted.insert(Topic::Admin);
        for topic in self.topics.difference(&wanted).copied().collect::<Vec<_>>() {
            match self.network.unsubscribe(topic).await {
                Ok(()) => _ = self.topics.remove(&topic),
                Err(error) => {
                    tracing::error!("a topic was not left, and is once the network hears it: {error}")
                }
            }
        }
        for topic in wanted.difference(&self.topics).copied().collect::<Vec<_>>() {
            match self.network.subscribe(topic).await {
                Ok(()) => _ = self.topics.insert(topic),
                Err(error) => {
                    tracing::error!("a topic was not joined, and is once the network hears it: {error}")
                }
            }
        }
    }
}
