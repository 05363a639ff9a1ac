//! What the swarm reports, and what becomes of it.

use belfry_proto::{crypto::sign::PublicKey, id::GossipId, topic::Topic};
use libp2p::{
    Multiaddr, PeerId,
    core::ConnectedPoint,
    dcutr,
    gossipsub::{self, MessageAcceptance},
    multiaddr::Protocol,
    ping, request_response,
    swarm::{ConnectionId, DialError, SwarmEvent},
};
use tokio::{sync::mpsc::error::TrySendError, time::Instant};
use tracing::{debug, info, warn};

use super::{
    address::{self, Address},
    behaviour::{BehaviourEvent, InnerEvent, RestEvent},
    budget::Budget,
    error::{DialFailure, why_refused},
    identity,
    inbound::{Gossip, Link, Ticket},
    limits::PINGS_MISSED,
    relay,
    rpc::version::Versioned,
    swarm::Driver,
    transport,
    wires::Wire,
};
use crate::{clock, refusals::Way};

impl Driver {
    pub(super) fn on_swarm_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour_event(event),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                let address = self.other_end(&endpoint);
                self.on_up(peer_id, connection_id, endpoint.is_dialer(), address);
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, .. } => {
                self.on_down(peer_id, connection_id)
            }
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer), connection_id, error } => {
                self.on_dial_failed(peer, connection_id, error);
            }
            SwarmEvent::IncomingConnectionError { send_back_addr, error, .. } => {
                debug!(remote = %send_back_addr, %error, "inbound connection refused");
                self.counters.connections_refused.more();
                let (why, turned_away) = why_refused(&error);
                match turned_away {
                    Some(by) if by.is_known() => self.counters.known_turned_away.more(),
                    Some(_) => self.counters.strangers_turned_away.more(),
                    None => {}
                }
                self.counters.refusals.count(Way::Connection, why);
            }
            SwarmEvent::NewListenAddr { address, listener_id } => {
                if !self.places.contains_key(&listener_id) {
                    self.reached_at(&address, true);
                }
                // A relay may say what it likes of itself; whom we asked is what counts.
                let address =
                    self.places.get(&listener_id).map_or_else(|| Address::of(&address), Address::circuit);
                info!(%address, "listening on {address}");
                if self.listening.insert(address.clone()) {
                    self.tell(Link::Listening(address));
                }
            }
            SwarmEvent::ExpiredListenAddr { address, listener_id } => {
                if !self.places.contains_key(&listener_id) {
                    self.reached_at(&address, false);
                    self.on_deaf(&Address::of(&address));
                }
            }
            SwarmEvent::ListenerClosed { addresses, reason, listener_id } => {
                if let Some(relay) = self.places.remove(&listener_id) {
                    return self
                        .on_place_lost(relay, reason.err().map(|error| transport::innermost_of(&error)));
                }
                warn!(?addresses, ?reason, "a listener closed");
                for address in &addresses {
                    self.reached_at(address, false);
                    self.on_deaf(&Address::of(address));
                }
            }
            SwarmEvent::NewExternalAddrCandidate { address } => {
                debug!(%address, "seen at {address}");
                self.counters.seen_at.more();
            }
            SwarmEvent::ListenerError { error, .. } => {
                warn!(%error, "a listener failed to take a connection")
            }
            other => debug!(?other, "swarm event"),
        }
    }

    fn on_behaviour_event(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Limits(never) => match never {},
            BehaviourEvent::Hello(event) => self.on_hello(event),
            BehaviourEvent::Gated(InnerEvent::Gossip(event)) => self.on_gossip_event(event),
            BehaviourEvent::Gated(InnerEvent::Rest(RestEvent::Ping(event))) => self.on_ping(event),
            // Who and where everyone is, the signed address records say.
            BehaviourEvent::Gated(InnerEvent::Rest(RestEvent::Relay(event))) => {
                relay::count(&self.counters, &event);
            }
            BehaviourEvent::Gated(InnerEvent::Rest(RestEvent::Circuits(event))) => {
                debug!(?event, "a circuit");
            }
            BehaviourEvent::Gated(InnerEvent::Rest(RestEvent::Seen(event))) => {
                debug!(?event, "where somebody is seen");
            }
            BehaviourEvent::Gated(InnerEvent::Rest(RestEvent::Punch(event))) => self.on_punched(&event),
            BehaviourEvent::Gated(InnerEvent::Rest(RestEvent::Keys(event))) => {
                let (from, admitted) = self.standing(&event);
                let rpc = &mut self.swarm.behaviour_mut().gated.inner_mut().rest.keys;
                self.keys.on_event(rpc, from, admitted, event);
            }
            BehaviourEvent::Gated(InnerEvent::Rest(RestEvent::Sync(event))) => {
                let (from, admitted) = self.standing(&event);
                let rpc = &mut self.swarm.behaviour_mut().gated.inner_mut().rest.sync;
                self.sync.on_event(rpc, from, admitted, event);
            }
        }
    }

    fn on_up(&mut self, peer: PeerId, connection: ConnectionId, outbound: bool, address: Address) {
        self.dialling.remove_if(&peer, connection);
        let Some(node) = identity::public_key(&peer) else {
            self.swarm.close_connection(connection);
            return;
        };
        let admitted = self.swarm.behaviour().gated.is_admitted(connection);
        if admitted {
            self.counters.connections_admitted.more();
        } else {
            self.counters.connections_lobby.more();
        }
        let others = self.wires.count(&peer, admitted);
        let wire = Wire {
            peer,
            node,
            admitted,
            outbound,
            address: address.clone(),
            since: clock::now(),
            held: false,
            round_trip: None,
            pings_missed: 0,
        };
        self.wires.open(connection, wire);
        debug!(peer.node = %node, admitted, outbound, %address, "connection with {node} opened");
        self.tell(Link::Up { node, admitted, outbound, address, others });
        self.close_superseded(&peer);
        self.close_orphaned(&peer, connection);
    }

    fn on_down(&mut self, peer: PeerId, connection: ConnectionId) {
        if let Some(wire) = self.wires.close(connection) {
            debug!(peer.node = %wire.node, admitted = wire.admitted, "connection with {} closed", wire.node);
            let remaining = self.wires.count(&peer, wire.admitted);
            self.tell(Link::Down { node: wire.node, admitted: wire.admitted, remaining });
        }
        if self.wires.doubtful(&peer).is_empty()
            && let Some(addresses) = self.again.remove(&peer)
            && let Err(reason) = self.begin_dial(peer, &addresses)
            && let Some(node) = identity::public_key(&peer)
        {
            self.counters.dials_failed.more();
            self.tell(Link::DialFailed { node, reason: DialFailure::Denied(reason.to_string()) });
        }
    }

    fn on_dial_failed(&mut self, peer: PeerId, connection: ConnectionId, error: DialError) {
        if !self.dialling.remove_if(&peer, connection) {
            return;
        }
        self.counters.dials_failed.more();
        let Some(node) = identity::public_key(&peer) else { return };
        let reason = dial_failure(error);
        debug!(peer.node = %node, %reason, "no connection with {node}");
        self.tell(Link::DialFailed { node, reason });
    }

    /// Where the other end is; for a circuit, over whom.
    fn other_end(&self, endpoint: &ConnectedPoint) -> Address {
        let ConnectedPoint::Listener { local_addr, send_back_addr } = endpoint else {
            return Address::of(endpoint.get_remote_address());
        };
        if !address::is_circuit(local_addr) {
            return Address::of(send_back_addr);
        }
        // It names our link with the relay, by the relay's key only if we dialled that.
        let named = Address::of(local_addr);
        let place: Multiaddr = local_addr
            .iter()
            .take_while(|part| !matches!(part, Protocol::P2p(_) | Protocol::P2pCircuit))
            .collect();
        match self.wires.at(&Address::of(&place)) {
            Some(relay) if named.relay().is_none() => Address::circuit(&relay),
            _ => named,
        }
    }

    fn on_punched(&mut self, event: &dcutr::Event) {
        match &event.result {
            Ok(_) => self.counters.holes_punched.more(),
            Err(error) => {
                debug!(peer = %event.remote_peer_id, %error, "no direct connection beside the circuit");
                self.counters.holes_missed.more();
            }
        }
    }

    /// The place at `relay` is no more, or was not given.
    fn on_place_lost(&mut self, relay: PublicKey, reason: Option<String>) {
        debug!(peer = %relay, ?reason, "no place for circuits at {relay}");
        self.on_deaf(&Address::circuit(&relay));
        self.tell(Link::NoPlace { relay });
    }

    fn on_deaf(&mut self, address: &Address) {
        if self.listening.remove(address) {
            self.tell(Link::NotListening(address.clone()));
        }
    }

    fn on_hello(&mut self, event: HelloEvent) {
        use request_response::{Event, Message};
        let (from, admitted) = self.standing(&event);
        let behaviour = self.swarm.behaviour_mut();
        match &event {
            Event::Message { connection_id, message: Message::Request { .. }, .. } => {
                if !behaviour.gated.asked(*connection_id) {
                    self.counters.guests_shown_out.more();
                    self.counters.refusals.count(Way::Hello, "guest-asked-too-often");
                    return;
                }
            }
            Event::ResponseSent { connection_id, .. } | Event::InboundFailure { connection_id, .. } => {
                behaviour.gated.answered(*connection_id);
            }
            Event::Message { message: Message::Response { .. }, .. } | Event::OutboundFailure { .. } => {}
        }
        self.hello.on_event(&mut behaviour.hello, from, admitted, event);
    }

    fn on_gossip_event(&mut self, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Message { propagation_source, message_id, message } => {
                let ticket = Ticket { message: message_id, forwarder: propagation_source };
                self.on_gossip(ticket, message);
            }
            gossipsub::Event::Subscribed { peer_id, topic } => {
                if let (Some(node), Some(topic)) = (self.node(&peer_id), self.topics.get(&topic)) {
                    self.tell(Link::Subscribed { node, topic: *topic });
                }
            }
            gossipsub::Event::Unsubscribed { peer_id, topic } => {
                if let (Some(node), Some(topic)) = (self.node(&peer_id), self.topics.get(&topic)) {
                    self.tell(Link::Unsubscribed { node, topic: *topic });
                }
            }
            // The peer keeps us in its lobby; the failed ping says on which connection.
            gossipsub::Event::GossipsubNotSupported { .. } => {}
            gossipsub::Event::SlowPeer { peer_id, .. } => {
                debug!(peer = %peer_id, "gossip to a slow peer was dropped");
                self.counters.gossip_peer_slow.more();
            }
        }
    }

    /// Queues a message for its verdict, or ignores it at once.
    fn on_gossip(&mut self, ticket: Ticket, message: gossipsub::Message) {
        let forwarder = ticket.forwarder;
        let known = (
            self.node(&forwarder),
            self.topics.get(&message.topic).copied(),
            GossipId::try_from(ticket.message.0.as_slice()),
        );
        let (Some(from), Some(topic), Ok(id)) = known else {
            // Left the topic while the message was on its way.
            return self.settle(&ticket, MessageAcceptance::Ignore);
        };
        if !self.swarm.behaviour().gated.is_allowed(&forwarder) {
            return self.settle(&ticket, MessageAcceptance::Ignore);
        }
        let now = Instant::now();
        let budget = self.budgets.entry(forwarder).or_insert_with(|| Budget::new(now));
        if !budget.charge(message.data.len(), now) {
            self.counters.gossip_over_budget.more();
            self.counters.refusals.count(way(topic), "peer-over-budget");
            return self.settle(&ticket, MessageAcceptance::Ignore);
        }
        let (queue, share) = match topic {
            Topic::Admin => (&self.admin, &budget.admin),
            Topic::Group(_) => (&self.gossip, &budget.gossip),
        };
        let Some(place) = share.place(queue.capacity()) else {
            self.counters.gossip_queue_full.more();
            self.counters.refusals.count(way(topic), "queue-share");
            return self.settle(&ticket, MessageAcceptance::Ignore);
        };
        match queue.try_send(Gossip { topic, from, id, bytes: message.data, ticket, place }) {
            Ok(()) => self.counters.gossip_received.more(),
            Err(TrySendError::Full(unread) | TrySendError::Closed(unread)) => {
                self.counters.gossip_queue_full.more();
                self.counters.refusals.count(way(topic), "queue-full");
                self.settle(&unread.ticket, MessageAcceptance::Ignore);
            }
        }
    }

    fn on_ping(&mut self, ping::Event { peer, connection, result }: ping::Event) {
        let Some(wire) = self.wires.one(connection) else { return };
        match result {
            Ok(round_trip) => {
                let is_first = wire.round_trip.replace(round_trip).is_none();
                wire.pings_missed = 0;
                if is_first {
                    self.close_superseded(&peer);
                }
            }
            Err(ping::Failure::Unsupported) => {
                wire.held = true;
                let node = wire.node;
                self.tell(Link::Held { node });
                self.close_superseded(&peer);
            }
            Err(ping::Failure::Timeout | ping::Failure::Other { .. }) => {
                wire.pings_missed += 1;
                if wire.pings_missed == PINGS_MISSED {
                    self.counters.connections_silent.more();
                    self.swarm.close_connection(connection);
                }
            }
        }
    }

    /// A connection in the other's lobby is of no use beside one that is not, nor a circuit beside a direct one.
    fn close_superseded(&mut self, peer: &PeerId) {
        for connection in self.wires.superseded(peer) {
            self.swarm.close_connection(connection);
        }
    }

    /// Beside a connection that is still open at this end alone, a new one would not count as a new peer: gossipsub
    /// would not tell it our topics, nor membership greet it. So all are closed, and the next dial begins anew.
    fn close_orphaned(&mut self, peer: &PeerId, newest: ConnectionId) {
        for connection in self.wires.orphaned(peer, newest) {
            debug!(%peer, "a peer that came again: its connections are closed");
            self.swarm.close_connection(connection);
        }
    }

    fn node(&self, peer: &PeerId) -> Option<PublicKey> {
        self.wires.node(peer).or_else(|| identity::public_key(peer))
    }

    /// Who an event of a request protocol is about, and on which side of the gate.
    fn standing<Q, A>(&self, event: &request_response::Event<Q, A>) -> (Option<PublicKey>, bool) {
        use request_response::Event;
        let (Event::Message { peer, connection_id, .. }
        | Event::OutboundFailure { peer, connection_id, .. }
        | Event::InboundFailure { peer, connection_id, .. }
        | Event::ResponseSent { peer, connection_id, .. }) = event;
        (self.node(peer), self.swarm.behaviour().gated.is_admitted(*connection_id))
    }
}

const fn way(topic: Topic) -> Way {
    match topic {
        Topic::Admin => Way::Admin,
        Topic::Group(_) => Way::Gossip,
    }
}

type HelloEvent = request_response::Event<
    Versioned<belfry_proto::schema::HelloRequest>,
    belfry_proto::schema::HelloResponse,
>;

fn dial_failure(error: DialError) -> DialFailure {
    match error {
        DialError::Transport(tried) => DialFailure::Unreachable(
            tried
                .into_iter()
                .map(|(address, reason)| (Address::of(&address), transport::innermost(&reason)))
                .collect(),
        ),
        DialError::WrongPeerId { obtained, address } => DialFailure::WrongNode {
            address: Address::of(&address),
            found: identity::public_key(&obtained).map(Box::new),
        },
        DialError::LocalPeerId { address } => {
            DialFailure::WrongNode { address: Address::of(&address), found: None }
        }
        DialError::Denied { cause } => DialFailure::Denied(cause.to_string()),
        DialError::NoAddresses => DialFailure::Unreachable(Vec::new()),
        DialError::Aborted | DialError::DialPeerConditionFalse(_) => DialFailure::Aborted,
    }
}
