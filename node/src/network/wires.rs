//! The open connections, as this node knows them.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use belfry_proto::{crypto::sign::PublicKey, time::Timestamp};
use libp2p::{PeerId, swarm::ConnectionId};

use super::{address::Address, handle::PeerView};

/// Within this time two nodes that dial each other at once may meet twice.
const MEETING: Duration = Duration::from_secs(10);

/// One open connection.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) peer: PeerId,
    pub(super) node: PublicKey,
    pub(super) admitted: bool,
    pub(super) outbound: bool,
    pub(super) address: Address,
    pub(super) since: Timestamp,
    /// The other end does not speak ping: it keeps this connection in its lobby.
    pub(super) held: bool,
    pub(super) round_trip: Option<Duration>,
    pub(super) pings_missed: u32,
}

impl Wire {
    fn is_circuit(&self) -> bool {
        self.address.is_circuit()
    }

    /// Known to carry everything. Whoever dials holds a full handler, so an admitted inbound connection is
    /// full; an outbound one proves it by answering a ping.
    fn is_full(&self) -> bool {
        self.admitted && !self.held && (!self.outbound || self.round_trip.is_some())
    }
}

#[derive(Debug, Default)]
pub(super) struct Wires(HashMap<ConnectionId, Wire>);

impl Wires {
    pub(super) fn open(&mut self, connection: ConnectionId, wire: Wire) {
        self.0.insert(connection, wire);
    }

    pub(super) fn close(&mut self, connection: ConnectionId) -> Option<Wire> {
        self.0.remove(&connection)
    }

    pub(super) fn one(&mut self, connection: ConnectionId) -> Option<&mut Wire> {
        self.0.get_mut(&connection)
    }

    /// The peer's node key, if a connection with it is open: known from its beginning, and not worked out anew
    /// from the peer id, which costs as much as a signature.
    pub(super) fn node(&self, peer: &PeerId) -> Option<PublicKey> {
        self.of(peer).next().map(|(_, wire)| wire.node)
    }

    /// Connections with the peer on that side of the gate.
    pub(super) fn count(&self, peer: &PeerId, admitted: bool) -> usize {
        self.of(peer).filter(|(_, wire)| wire.admitted == admitted).count()
    }

    /// Whether a dial would gain anything: no if some admitted connection is not known to be held.
    pub(super) fn is_reached(&self, peer: &PeerId) -> bool {
        self.of(peer).any(|(_, wire)| wire.admitted && !wire.held)
    }

    pub(super) fn has_full(&self, peer: &PeerId) -> bool {
        self.of(peer).any(|(_, wire)| wire.is_full())
    }

    /// Outbound connections with the peer that may stand in its lobby.
    pub(super) fn doubtful(&self, peer: &PeerId) -> Vec<ConnectionId> {
        self.of(peer).filter(|(_, wire)| wire.outbound && !wire.is_full()).map(|(id, _)| id).collect()
    }

    /// Connections held in the peer's lobby although another one is not, and circuits beside a full direct one.
    pub(super) fn superseded(&self, peer: &PeerId) -> Vec<ConnectionId> {
        let is_reached = self.is_reached(peer);
        let is_direct = self.of(peer).any(|(_, wire)| wire.is_full() && !wire.is_circuit());
        let superseded = |wire: &Wire| is_reached && wire.held || is_direct && wire.is_circuit();
        self.of(peer).filter(|(_, wire)| superseded(wire)).map(|(id, _)| id).collect()
    }

    /// The node at the other end of a direct connection with that address.
    pub(super) fn at(&self, address: &Address) -> Option<PublicKey> {
        self.0.values().find(|wire| wire.address == *address).map(|wire| wire.node)
    }

    /// Direct, admitted connections with the peer: where it is.
    pub(super) fn direct(&self, peer: &PeerId) -> impl Iterator<Item = (ConnectionId, &Address)> {
        let is_direct = move |wire: &Wire| wire.peer == *peer && wire.admitted && !wire.is_circuit();
        self.0.iter().filter(move |(_, wire)| is_direct(wire)).map(|(id, wire)| (*id, &wire.address))
    }

    /// Connections with a peer that has come a second time: it was restarted, and knows nothing of the first one. A
    /// peer that is reached is not dialled again; only two that dial each other at once meet twice, and a direct connection
    /// comes beside a circuit.
    pub(super) fn orphaned(&self, peer: &PeerId, newest: ConnectionId) -> Vec<ConnectionId> {
        let Some(new) = self.0.get(&newest).filter(|wire| wire.admitted) else { return Vec::new() };
        let is_older = |wire: &Wire| {
            wire.is_circuit() == new.is_circuit()
                && (wire.outbound == new.outbound || wire.since.saturating_add(MEETING) < new.since)
        };
        let others = self.of(peer).filter(|(id, wire)| *id != newest && wire.is_full() && is_older(wire));
        match others.count() {
            0 => Vec::new(),
            _ => self.of(peer).map(|(id, _)| id).collect(),
        }
    }

    /// One view a node; topics and score are gossipsub's to add.
    pub(super) fn views(&self) -> Vec<(PeerId, PeerView)> {
        let mut views: BTreeMap<PublicKey, (PeerId, PeerView)> = BTreeMap::new();
        for wire in self.0.values() {
            let (_, view) = views.entry(wire.node).or_insert_with(|| {
                let view = PeerView {
                    node: wire.node,
                    admitted: false,
                    held: true,
                    outbound: false,
                    addresses: Vec::new(),
                    topics: std::collections::BTreeSet::new(),
                    since: wire.since,
                    round_trip: None,
                    score: 0.0,
                };
                (wire.peer, view)
            });
            view.admitted |= wire.admitted;
            view.held &= wire.held;
            view.outbound |= wire.outbound;
            view.since = view.since.min(wire.since);
            view.round_trip = view.round_trip.or(wire.round_trip);
            view.addresses.push(wire.address.clone());
        }
        views.into_values().collect()
    }

    fn of<'a>(&'a self, peer: &'a PeerId) -> impl Iterator<Item = (ConnectionId, &'a Wire)> {
        self.0.iter().filter(move |(_, wire)| wire.peer == *peer).map(|(id, wire)| (*id, wire))
    }
}
