//! One behaviour around all the others: only admitted connections exist for what is inside.
//!
//! ```text
//! inbound  ─ doorstep, before the handshake ─ too many from there ─▶ denied
//!          ─ key allowed? ─ yes ─▶ admitted: the inner handler, the inner behaviour is told
//!                         └ no ──▶ lobby: a handler that speaks nothing; the inner behaviour never learns of it
//!                                  (over a circuit: denied)
//! outbound ─ key allowed? ─ yes ─▶ admitted
//!                         └ no ──▶ denied
//! ```
//!
//! libp2p's behaviours count connections: gossipsub sends its subscriptions only on the *first* one to a
//! peer. Passing events through while a lobby connection lives would make an admitted connection the
//! second one, and nothing would ever be subscribed. So the counts in events that pass are counts of
//! admitted connections, and a handler notification to "any" connection goes to an admitted one.
//!
//! Which side of the gate a connection is on is decided when it is established and never changes:
//! handlers cannot be exchanged. When the allowed set changes, connections on the wrong side are closed:
//! a removed key loses all of its connections; a lobby connection whose key is allowed now is let go
//! after its last answer, so that the peer dials again and gets a full one.
//!
//! The dialler cannot see which side it got: it holds a full handler while the listener holds it in the
//! lobby. Its gossip, keys and sync streams then fail to negotiate, which is harmless; the listener's
//! closing is what leads to the next try.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    convert::Infallible,
    future::Future,
    net::IpAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use libp2p::{
    Multiaddr, PeerId,
    core::{ConnectedPoint, Endpoint, transport::PortUse},
    swarm::{
        CloseConnection, ConnectionClosed, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour,
        NotifyHandler, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
        behaviour::ConnectionEstablished, derive_prelude::Either, dummy,
    },
};
use tokio::time::Sleep;

use super::{
    address,
    config::{DoorstepLimits, LobbyLimits},
    doorstep::Doorstep,
    identity,
    lobby::Lobby,
    side::Side,
};

/// Why a connection is denied.
#[derive(Debug, thiserror::Error)]
pub(super) enum Denied {
    #[error("only allowed nodes are dialled")]
    NotAllowed,
    #[error("the peer's key is no Ed25519 key")]
    ForeignKey,
    #[error("only allowed nodes come over circuits")]
    OverCircuit,
}

pub(super) struct Gated<Inner> {
    inner: Inner,
    allowed: HashSet<PeerId>,
    /// Admitted at establishment, in that order; what the inner behaviour believes to exist.
    admitted: HashMap<PeerId, Vec<ConnectionId>>,
    /// Those of them whose key is allowed still: who is being sent away is not heard.
    heard: HashSet<ConnectionId>,
    /// Admitted by the handler, but not yet reported as established.
    arriving: HashSet<ConnectionId>,
    doorstep: Doorstep,
    lobby: Lobby,
    /// What behaviours that are asked later are told of the connection being set up.
    side: Side,
    closing: VecDeque<(PeerId, ConnectionId)>,
    /// Runs until the next guest's time is up.
    alarm: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl<Inner> Gated<Inner> {
    pub(super) fn new(inner: Inner, doorstep: DoorstepLimits, lobby: LobbyLimits, side: Side) -> Self {
        Self {
            inner,
            allowed: HashSet::new(),
            admitted: HashMap::new(),
            heard: HashSet::new(),
            arriving: HashSet::new(),
            doorstep: Doorstep::new(doorstep, Instant::now().into()),
            lobby: Lobby::new(lobby),
            side,
            closing: VecDeque::new(),
            alarm: None,
        }
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.inner
    }

    pub(super) fn inner_mut(&mut self) -> &mut Inner {
        &mut self.inner
    }

    /// Replaces the allowed set; connections that it puts on the wrong side are closed. Returns how many
    /// admitted ones.
    pub(super) fn set_allowed(&mut self, allowed: HashSet<PeerId>) -> usize {
        let before = self.closing.len();
        for (peer, connections) in &self.admitted {
            if self.allowed.contains(peer) && !allowed.contains(peer) {
                self.closing.extend(connections.iter().map(|connection| (*peer, *connection)));
                self.heard.retain(|connection| !connections.contains(connection));
            }
        }
        self.allowed = allowed;
        self.doorstep.keep(|peer| self.allowed.contains(peer));
        self.lobby.welcome(|peer| self.allowed.contains(peer), Instant::now());
        self.closing.len() - before
    }

    pub(super) fn is_allowed(&self, peer: &PeerId) -> bool {
        self.allowed.contains(peer)
    }

    /// Whether the connection is admitted *and* its key is still allowed: one that is being closed no
    /// longer counts.
    pub(super) fn is_admitted(&self, connection: ConnectionId) -> bool {
        self.heard.contains(&connection)
    }

    /// Whether the peer has an admitted connection.
    pub(super) fn reaches(&self, peer: &PeerId) -> bool {
        self.is_allowed(peer) && self.admitted.contains_key(peer)
    }

    /// A hello request arrived; `false` if its lobby connection has made too many.
    pub(super) fn asked(&mut self, connection: ConnectionId) -> bool {
        self.lobby.asked(connection, Instant::now())
    }

    /// A hello request is answered with what was asked for.
    pub(super) fn granted(&mut self, connection: ConnectionId) {
        self.lobby.granted(connection);
    }

    /// A hello request was answered, or failed.
    pub(super) fn answered(&mut self, connection: ConnectionId) {
        self.lobby.answered(connection, Instant::now());
    }

    fn has_admitted(&self, peer: &PeerId, connection: ConnectionId) -> bool {
        let holds = |all: &Vec<ConnectionId>| all.contains(&connection);
        self.admitted.get(peer).is_some_and(holds) || self.admitted.values().any(holds)
    }

    fn close_due_guests(&mut self, cx: &mut Context<'_>) {
        // Nearly always the lobby is empty.
        while self.lobby.next().is_some() {
            self.closing.extend(self.lobby.due(Instant::now()));
            let Some(next) = self.lobby.next() else { break };
            let (at, sleep) =
                self.alarm.get_or_insert_with(|| (next, Box::pin(tokio::time::sleep_until(next.into()))));
            if *at != next {
                *at = next;
                sleep.as_mut().reset(next.into());
            }
            if sleep.as_mut().poll(cx).is_pending() {
                return;
            }
            self.alarm = None;
        }
        self.alarm = None;
    }
}

/// The host that a handshake comes from. Over a circuit it comes over a member's link, within what that gives.
fn knocks_from(local: &Multiaddr, remote: &Multiaddr) -> Option<IpAddr> {
    if address::is_circuit(local) { None } else { address::host(remote) }
}

/// The host at the other end, if it is a direct connection.
fn host_of(endpoint: &ConnectedPoint) -> Option<IpAddr> {
    match endpoint {
        ConnectedPoint::Dialer { address, .. } if address::is_circuit(address) => None,
        ConnectedPoint::Dialer { address, .. } => address::host(address),
        ConnectedPoint::Listener { local_addr, send_back_addr } => knocks_from(local_addr, send_back_addr),
    }
}

impl<Inner: NetworkBehaviour> Gated<Inner> {
    fn on_established(&mut self, event: ConnectionEstablished<'_>) {
        if !self.arriving.remove(&event.connection_id) {
            return;
        }
        let connections = self.admitted.entry(event.peer_id).or_default();
        let other_established = connections.len();
        connections.push(event.connection_id);
        // The set may have changed while the connection was being set up.
        if self.allowed.contains(&event.peer_id) {
            self.heard.insert(event.connection_id);
            self.doorstep.linked(event.connection_id, event.peer_id, host_of(event.endpoint));
        } else {
            self.closing.push_back((event.peer_id, event.connection_id));
        }
        self.inner.on_swarm_event(FromSwarm::ConnectionEstablished(ConnectionEstablished {
            other_established,
            ..event
        }));
    }

    fn on_closed(&mut self, event: ConnectionClosed<'_>) {
        if self.lobby.left(event.connection_id) {
            return;
        }
        self.heard.remove(&event.connection_id);
        let is_member = self.allowed.contains(&event.peer_id);
        self.doorstep.parted(event.connection_id, is_member, Instant::now().into());
        let Some(connections) = self.admitted.get_mut(&event.peer_id) else { return };
        let before = connections.len();
        connections.retain(|connection| *connection != event.connection_id);
        if connections.len() == before {
            return;
        }
        let remaining_established = connections.len();
        if connections.is_empty() {
            self.admitted.remove(&event.peer_id);
        }
        self.inner
            .on_swarm_event(FromSwarm::ConnectionClosed(ConnectionClosed { remaining_established, ..event }));
    }
}

impl<Inner: NetworkBehaviour> NetworkBehaviour for Gated<Inner> {
    type ConnectionHandler = Either<THandler<Inner>, dummy::ConnectionHandler>;
    type ToSwarm = Inner::ToSwarm;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        // TCP: only the socket was accepted; Noise begins with the upgrade, which is dropped unpolled. QUIC: libp2p-quic
        // accepts before it asks anybody, and quinn reads the first datagram then. A client's hello that fits into it has
        // cost a key exchange and a signature (belfry's own fill two); what is dropped here is closed at once, so that its
        // certificate is never verified, and no muxer, lobby or hello comes of it.
        self.doorstep
            .knock(connection, knocks_from(local, remote), Instant::now().into())
            .map_err(ConnectionDenied::new)?;
        self.inner.handle_pending_inbound_connection(connection, local, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.side.decided(peer, !self.allowed.contains(&peer));
        if self.allowed.contains(&peer) {
            let handler =
                self.inner.handle_established_inbound_connection(connection, peer, local, remote)?;
            self.arriving.insert(connection);
            self.doorstep.was_a_members(connection, Instant::now().into());
            return Ok(Either::Left(handler));
        }
        self.doorstep.was_a_strangers(connection);
        if identity::public_key(&peer).is_none() {
            return Err(ConnectionDenied::new(Denied::ForeignKey));
        }
        // It has no host that its share could be counted by; a stranger that we shall know soon comes again.
        if address::is_circuit(local) {
            return Err(ConnectionDenied::new(Denied::OverCircuit));
        }
        self.lobby
            .enter(connection, peer, address::host(remote), Instant::now())
            .map_err(ConnectionDenied::new)?;
        Ok(Either::Right(dummy::ConnectionHandler))
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        let Some(member) = peer.filter(|peer| self.allowed.contains(peer)) else {
            return Err(ConnectionDenied::new(Denied::NotAllowed));
        };
        // Who is sought may seek this node as well.
        let now = Instant::now().into();
        for host in addresses.iter().filter_map(|address| knocks_from(address, address)) {
            self.doorstep.sought(host, member, now);
        }
        self.inner.handle_pending_outbound_connection(connection, peer, addresses, role)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        remote: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if !self.allowed.contains(&peer) {
            return Err(ConnectionDenied::new(Denied::NotAllowed));
        }
        self.side.decided(peer, false);
        let handler =
            self.inner.handle_established_outbound_connection(connection, peer, remote, role, port)?;
        self.arriving.insert(connection);
        Ok(Either::Left(handler))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(event) => self.on_established(event),
            FromSwarm::ConnectionClosed(event) => self.on_closed(event),
            FromSwarm::AddressChange(event) => {
                let is_inside =
                    self.admitted.get(&event.peer_id).is_some_and(|all| all.contains(&event.connection_id));
                if is_inside {
                    self.inner.on_swarm_event(FromSwarm::AddressChange(event));
                }
            }
            FromSwarm::ListenFailure(event) => {
                // Whose it was is known if one of the limits on connections was in its way.
                let now = Instant::now().into();
                match event.peer_id {
                    Some(peer) if self.allowed.contains(&peer) => {
                        self.doorstep.was_a_members(event.connection_id, now);
                    }
                    Some(_) => self.doorstep.was_a_strangers(event.connection_id),
                    None => self.doorstep.was_nobodys(event.connection_id, now),
                }
                self.lobby.left(event.connection_id);
                self.arriving.remove(&event.connection_id);
                self.inner.on_swarm_event(FromSwarm::ListenFailure(event));
            }
            FromSwarm::DialFailure(event) => {
                self.arriving.remove(&event.connection_id);
                self.inner.on_swarm_event(FromSwarm::DialFailure(event));
            }
            other => self.inner.on_swarm_event(other),
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {
            // What a removed key still sends while its connection closes is not heard.
            Either::Left(event) if self.is_admitted(connection) => {
                self.inner.on_connection_handler_event(peer, connection, event);
            }
            Either::Left(_) => {}
            Either::Right(never) => match never {},
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.close_due_guests(cx);
        loop {
            if let Some((peer_id, connection)) = self.closing.pop_front() {
                let connection = CloseConnection::One(connection);
                return Poll::Ready(ToSwarm::CloseConnection { peer_id, connection });
            }
            let Poll::Ready(command) = self.inner.poll(cx) else { return Poll::Pending };
            match command {
                ToSwarm::NotifyHandler { peer_id, handler, event } => {
                    let connection = match handler {
                        // The relay names a connection of one peer beside the id of another.
                        NotifyHandler::One(connection) => {
                            self.has_admitted(&peer_id, connection).then_some(connection)
                        }
                        NotifyHandler::Any => {
                            self.admitted.get(&peer_id).and_then(|all| all.first()).copied()
                        }
                    };
                    let Some(connection) = connection else { continue };
                    return Poll::Ready(ToSwarm::NotifyHandler {
                        peer_id,
                        handler: NotifyHandler::One(connection),
                        event: Either::Left(event),
                    });
                }
                ToSwarm::CloseConnection { peer_id, connection: CloseConnection::All } => {
                    let connections = self.admitted.get(&peer_id).into_iter().flatten();
                    self.closing.extend(connections.map(|connection| (peer_id, *connection)));
                }
                other => return Poll::Ready(other.map_in(Either::<_, Infallible>::Left)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use belfry_proto::crypto::sign::SigningKey;

    use super::*;

    #[test]
    fn who_is_asked_after_the_gate_is_told_on_which_side_each_connection_is() {
        let side = Side::default();
        let (doorstep, lobby) = (DoorstepLimits::default(), LobbyLimits::default());
        let mut gated = Gated::new(dummy::Behaviour, doorstep, lobby, side.clone());
        let [member, stranger] =
            [1, 2].map(|seed| identity::peer_id(&SigningKey::from_seed(&[seed; 32]).public()));
        gated.set_allowed(HashSet::from([member]));
        let at: Multiaddr = "/memory/1".parse().unwrap();
        let mut comes = |n, peer| {
            let connection = ConnectionId::new_unchecked(n);
            gated.handle_established_inbound_connection(connection, peer, &at, &at).unwrap();
            assert_eq!(side.peer(), Some(peer));
            side.is_guests()
        };
        let sides = [(1, member), (2, stranger), (3, member), (4, stranger)].map(|(n, peer)| comes(n, peer));
        assert_eq!(sides, [false, true, false, true]);
        let (role, port) = (Endpoint::Dialer, PortUse::Reuse);
        let connection = ConnectionId::new_unchecked(5);
        gated.handle_established_outbound_connection(connection, member, &at, role, port).unwrap();
        assert!(!side.is_guests(), "whom this node dials is a member");
        assert_eq!(side.peer(), Some(member));
    }
}
