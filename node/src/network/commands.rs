//! What the handle's calls do in the swarm task.

use std::{collections::HashSet, sync::PoisonError};

use belfry_proto::{crypto::sign::PublicKey, limits::MAX_TRANSMIT, topic::Topic, verdict::Verdict};
use libp2p::{
    Multiaddr, PeerId,
    gossipsub::{self, MessageAcceptance},
    multiaddr::Protocol as Part,
    swarm::{
        DialError,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use tracing::warn;

use super::{
    address::Address,
    error::{DialRefused, PublishError, RequestError},
    gossip,
    handle::{Command, Dialling, PeerView},
    identity,
    inbound::Ticket,
    rpc::{Answer, Protocol},
    supervisor::Standing,
    swarm::Driver,
    transport,
};

impl Driver {
    pub(super) fn on_command(&mut self, command: Command) {
        // Whoever called may have stopped waiting; what was asked is done all the same.
        match command {
            Command::SetRelays(nodes, done) => {
                self.set_relays(nodes.iter());
                self.stands(|standing| standing.relays = nodes);
                let _ = done.send(());
            }
            Command::TakePlace(relay, done) => {
                let _ = done.send(self.take_place(relay));
            }
            Command::SetAllowed(nodes, done) => {
                self.set_allowed(nodes.iter());
                self.stands(|standing| standing.allowed = nodes);
                let _ = done.send(());
            }
            Command::Subscribe(topic, done) => {
                self.subscribe(topic);
                self.stands(|standing| _ = standing.topics.insert(topic));
                let _ = done.send(());
            }
            Command::Unsubscribe(topic, done) => {
                self.unsubscribe(topic);
                self.stands(|standing| _ = standing.topics.remove(&topic));
                let _ = done.send(());
            }
            Command::Publish(topic, bytes, done) => {
                let _ = done.send(self.publish(topic, bytes));
            }
            Command::Hello(node, request, answer) => {
                if let Some((peer, answer)) = self.reachable::<super::rpc::hello::Hello>(node, answer) {
                    self.hello.ask(&mut self.swarm.behaviour_mut().hello, &peer, request, answer);
                }
            }
            Command::Keys(node, request, answer) => {
                if let Some((peer, answer)) = self.reachable::<super::rpc::keys::Keys>(node, answer) {
                    let rpc = &mut self.swarm.behaviour_mut().gated.inner_mut().rest.keys;
                    self.keys.ask(rpc, &peer, request, answer);
                }
            }
            Command::Sync(node, request, answer) => {
                if let Some((peer, answer)) = self.reachable::<super::rpc::sync::Sync>(node, answer) {
                    let rpc = &mut self.swarm.behaviour_mut().gated.inner_mut().rest.sync;
                    self.sync.ask(rpc, &peer, request, answer);
                }
            }
            Command::Dial { node, addresses, is_again, done } => {
                let outcome =
                    if is_again { self.redial(node, addresses) } else { self.dial(node, addresses) };
                let _ = done.send(outcome);
            }
            Command::Disconnect(node, done) => {
                let peer = identity::peer_id(&node);
                self.again.remove(&peer);
                // Not connected is what was wanted.
                let _ = self.swarm.disconnect_peer_id(peer);
                let _ = done.send(());
            }
            Command::Peers(done) => {
                let _ = done.send(self.peers());
            }
            Command::ListenAddresses(done) => {
                let _ = done.send(self.listening.iter().cloned().collect());
            }
            // The loop has handled it.
            Command::Shutdown => {}
            #[cfg(test)]
            Command::Panic => panic!("as the test asked"),
            #[cfg(test)]
            Command::FillLinks => {
                let held = || super::inbound::Link::Held { node: self.node };
                while self.links.try_send(held()).is_ok() {}
            }
        }
    }

    /// Takes up what a swarm before this one was told.
    pub(super) fn take_up(&mut self, standing: &Standing) {
        self.set_relays(standing.relays.iter());
        self.set_allowed(standing.allowed.iter());
        standing.topics.iter().for_each(|topic| self.subscribe(*topic));
    }

    fn stands(&self, change: impl FnOnce(&mut Standing)) {
        change(&mut self.standing.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn on_verdict(&mut self, ticket: &Ticket, verdict: Verdict) {
        let (counter, acceptance) = match verdict {
            Verdict::Accept => (&self.counters.verdict_accept, MessageAcceptance::Accept),
            Verdict::Ignore => (&self.counters.verdict_ignore, MessageAcceptance::Ignore),
            Verdict::Reject => (&self.counters.verdict_reject, MessageAcceptance::Reject),
        };
        counter.more();
        self.settle(ticket, acceptance);
    }

    /// Ends a message's wait in gossipsub.
    pub(super) fn settle(&mut self, ticket: &Ticket, acceptance: MessageAcceptance) {
        let gossip = &mut self.swarm.behaviour_mut().gated.inner_mut().gossip;
        if !gossip.report_message_validation_result(&ticket.message, &ticket.forwarder, acceptance) {
            self.counters.verdict_late.more();
        }
    }

    fn set_allowed<'a>(&mut self, nodes: impl Iterator<Item = &'a PublicKey>) {
        let own = self.node;
        let peers: HashSet<PeerId> = nodes.filter(|node| **node != own).map(identity::peer_id).collect();
        self.again.retain(|peer, _| peers.contains(peer));
        // Reconnecting fills no budget.
        self.budgets.retain(|peer, _| peers.contains(peer));
        let closed = self.swarm.behaviour_mut().gated.set_allowed(peers);
        (0..closed).for_each(|_| self.counters.connections_revoked.more());
    }

    fn set_relays<'a>(&mut self, nodes: impl Iterator<Item = &'a PublicKey>) {
        let peers: HashSet<PeerId> = nodes.map(identity::peer_id).collect();
        let rest = &mut self.swarm.behaviour_mut().gated.inner_mut().rest;
        rest.seen.choose(peers.clone());
        rest.circuits.choose(peers);
    }

    fn take_place(&mut self, relay: PublicKey) -> Result<(), DialRefused> {
        if self.places.values().any(|asked| *asked == relay) {
            return Ok(());
        }
        let over = self.circuit_over(&relay).ok_or(DialRefused::NoRelay)?;
        let listener =
            self.swarm.listen_on(over).map_err(|e| DialRefused::Limit(transport::innermost(&e)))?;
        self.places.insert(listener, relay);
        Ok(())
    }

    /// A circuit over that node as libp2p knows it, if there is a link on which to ask for one.
    fn circuit_over(&self, relay: &PublicKey) -> Option<Multiaddr> {
        let peer = identity::peer_id(relay);
        let circuits = &self.swarm.behaviour().gated.inner().rest.circuits;
        let (_, place) = self.wires.direct(&peer).find(|(connection, _)| circuits.is_on(*connection))?;
        Some(place.multiaddr().clone().with(Part::P2p(peer)).with(Part::P2pCircuit))
    }

    /// An address as libp2p dials it; none for a circuit over a node that there is no link with.
    fn dialled(&self, address: &Address) -> Option<Multiaddr> {
        match address.relay() {
            Some(relay) => self.circuit_over(&relay),
            None => Some(address.multiaddr().clone()),
        }
    }

    fn subscribe(&mut self, topic: Topic) {
        let wire = gossip::wire_topic(topic, self.coalition);
        if self.topics.insert(wire.hash(), topic).is_some() {
            return;
        }
        // Before the peers are told, or the first messages would be turned away.
        self.doorway.open(self.topics.keys().cloned().collect());
        let gossip = &mut self.swarm.behaviour_mut().gated.inner_mut().gossip;
        if let Err(reason) = gossip.set_topic_params(wire.clone(), gossip::topic_scores()) {
            warn!(%reason, "a topic goes unscored");
        }
        if let Err(reason) = gossip.subscribe(&wire) {
            warn!(%reason, "gossipsub refuses a topic of ours");
        }
    }

    fn unsubscribe(&mut self, topic: Topic) {
        let wire = gossip::wire_topic(topic, self.coalition);
        if self.topics.remove(&wire.hash()).is_none() {
            return;
        }
        let gossip = &mut self.swarm.behaviour_mut().gated.inner_mut().gossip;
        if let Err(reason) = gossip.set_topic_params(wire.clone(), gossip::no_topic_scores()) {
            warn!(%reason, "a topic that was left still scores");
        }
        gossip.unsubscribe(&wire);
        self.doorway.open(self.topics.keys().cloned().collect());
    }

    fn publish(&mut self, topic: Topic, bytes: Vec<u8>) -> Result<(), PublishError> {
        let len = bytes.len();
        let too_large = PublishError::TooLarge { len, limit: MAX_TRANSMIT };
        if len > MAX_TRANSMIT {
            return Err(too_large);
        }
        let wire = gossip::wire_topic(topic, self.coalition);
        let gossip = &mut self.swarm.behaviour_mut().gated.inner_mut().gossip;
        gossip.publish(wire, bytes).map_err(|e| match e {
            gossipsub::PublishError::NoPeersSubscribedToTopic => PublishError::NoPeers,
            gossipsub::PublishError::Duplicate => PublishError::Duplicate,
            gossipsub::PublishError::AllQueuesFull(peers) => PublishError::QueueFull(peers),
            gossipsub::PublishError::MessageTooLarge => too_large,
            e @ (gossipsub::PublishError::SigningError(_) | gossipsub::PublishError::TransformFailed(_)) => {
                PublishError::Refused(e.to_string())
            }
        })?;
        self.counters.gossip_published.more();
        Ok(())
    }

    /// The peer to ask, with the answer's way back; or the answer is given at once.
    fn reachable<P: Protocol>(&self, node: PublicKey, answer: Answer<P>) -> Option<(PeerId, Answer<P>)> {
        let peer = identity::peer_id(&node);
        let gated = &self.swarm.behaviour().gated;
        let refusal = if !gated.is_allowed(&peer) {
            RequestError::NotAllowed
        } else if !gated.reaches(&peer) {
            // A guest is spoken to only in answers: asking it anything would tell it something.
            RequestError::NotConnected
        } else {
            return Some((peer, answer));
        };
        let _ = answer.send(Err(refusal));
        None
    }

    fn dial(&mut self, node: PublicKey, addresses: Vec<Address>) -> Result<Dialling, DialRefused> {
        let peer = self.dialable(node, &addresses)?;
        if self.dialling.is_under_way(&peer) || self.again.contains_key(&peer) {
            return Ok(Dialling::Underway);
        }
        if self.wires.is_reached(&peer) {
            return Ok(Dialling::Connected);
        }
        self.begin_dial(peer, &addresses)
    }

    fn redial(&mut self, node: PublicKey, addresses: Vec<Address>) -> Result<Dialling, DialRefused> {
        let peer = self.dialable(node, &addresses)?;
        if self.dialling.is_under_way(&peer) || self.again.contains_key(&peer) {
            return Ok(Dialling::Underway);
        }
        if self.wires.has_full(&peer) {
            return Ok(Dialling::Connected);
        }
        let doubtful = self.wires.doubtful(&peer);
        if doubtful.is_empty() {
            return self.begin_dial(peer, &addresses);
        }
        // gossipsub starts afresh only when the last of them is gone.
        self.again.insert(peer, addresses);
        for connection in doubtful {
            self.swarm.close_connection(connection);
        }
        Ok(Dialling::Begun)
    }

    pub(super) fn begin_dial(
        &mut self,
        peer: PeerId,
        addresses: &[Address],
    ) -> Result<Dialling, DialRefused> {
        let places: Vec<Multiaddr> = addresses.iter().filter_map(|address| self.dialled(address)).collect();
        if places.is_empty() {
            return Err(DialRefused::NoRelay);
        }
        // What libp2p believes to be under way for longer than any dial takes is lost.
        let condition =
            if self.dialling.is_lost(&peer) { PeerCondition::Always } else { PeerCondition::NotDialing };
        let options = DialOpts::peer_id(peer)
            .condition(condition)
            .addresses(places)
            // The listening port as source would collide with the connection that has just closed.
            .allocate_new_port()
            .build();
        let connection = options.connection_id();
        match self.swarm.dial(options) {
            Ok(()) => {
                self.dialling.begun(peer, connection);
                Ok(Dialling::Begun)
            }
            Err(DialError::DialPeerConditionFalse(_)) => Ok(Dialling::Underway),
            Err(DialError::NoAddresses) => Err(DialRefused::NoAddress),
            Err(e) => Err(DialRefused::Limit(e.to_string())),
        }
    }

    fn dialable(&self, node: PublicKey, addresses: &[Address]) -> Result<PeerId, DialRefused> {
        if node == self.node {
            return Err(DialRefused::Own);
        }
        let peer = identity::peer_id(&node);
        if !self.swarm.behaviour().gated.is_allowed(&peer) {
            return Err(DialRefused::NotAllowed);
        }
        if addresses.is_empty() {
            return Err(DialRefused::NoAddress);
        }
        Ok(peer)
    }

    fn peers(&self) -> Vec<PeerView> {
        let gossip = &self.swarm.behaviour().gated.inner().gossip;
        let topics: std::collections::HashMap<_, _> = gossip.all_peers().collect();
        let with_gossip = |(peer, mut view): (PeerId, PeerView)| {
            let theirs = topics.get(&peer).into_iter().flatten();
            view.topics = theirs.filter_map(|topic| self.topics.get(*topic)).copied().collect();
            view.score = gossip.peer_score(&peer).unwrap_or_default();
            view
        };
        self.wires.views().into_iter().map(with_gossip).collect()
    }
}
