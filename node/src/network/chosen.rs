//! A behaviour on some connections only, whose handler may fail without taking the connection along.
//!
//! Every protocol that a connection speaks costs a little whenever anything happens on it, so those that few peers need
//! are offered to these alone. And a handler that a peer brings to panic is let go: libp2p would lose the whole connection
//! without noticing, and each one would hold its place for ever. What a handler tells its behaviour may bring that to panic,
//! too, and with it the task of the whole network: the connection is closed instead.

use std::{
    collections::{HashSet, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        CloseConnection, ConnectionClosed, ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent,
        ConnectionId, FromSwarm, NetworkBehaviour, SubstreamProtocol, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm, behaviour::ConnectionEstablished, derive_prelude::Either, dummy,
        handler::ConnectionEvent,
    },
};
use tracing::error;

use super::{address, counters::Counters};

/// With whom.
#[derive(Debug)]
pub(super) enum Choice {
    Nobody,
    Everybody,
    Only(HashSet<PeerId>),
}

impl Choice {
    fn takes(&self, peer: &PeerId) -> bool {
        match self {
            Self::Nobody => false,
            Self::Everybody => true,
            Self::Only(peers) => peers.contains(peer),
        }
    }
}

/// A behaviour that knows of chosen, direct connections and of no others.
pub(super) struct Chosen<B> {
    inner: B,
    choice: Choice,
    wires: HashSet<ConnectionId>,
    /// Connections over which the behaviour was brought to panic.
    closing: VecDeque<(PeerId, ConnectionId)>,
    counters: Arc<Counters>,
}

impl<B: NetworkBehaviour> Chosen<B> {
    pub(super) fn new(inner: B, choice: Choice, counters: &Arc<Counters>) -> Self {
        Self {
            inner,
            choice,
            wires: HashSet::new(),
            closing: VecDeque::new(),
            counters: Arc::clone(counters),
        }
    }

    pub(super) fn inner_mut(&mut self) -> &mut B {
        &mut self.inner
    }

    /// For connections from now on: handlers cannot be exchanged. Who speaks it with everybody goes on to.
    pub(super) fn choose(&mut self, peers: HashSet<PeerId>) {
        if !matches!(self.choice, Choice::Everybody) {
            self.choice = Choice::Only(peers);
        }
    }

    /// Whether the protocol is spoken on that connection.
    pub(super) fn is_on(&self, connection: ConnectionId) -> bool {
        self.wires.contains(&connection)
    }

    fn takes(&mut self, connection: ConnectionId, peer: &PeerId, address: &Multiaddr) -> bool {
        let takes = self.choice.takes(peer) && !address::is_circuit(address);
        takes && self.wires.insert(connection)
    }

    fn chosen(&self, handler: THandler<B>) -> Wary<THandler<B>> {
        Wary { inner: Either::Left(handler), is_broken: false, counters: Some(Arc::clone(&self.counters)) }
    }
}

impl<B: NetworkBehaviour> NetworkBehaviour for Chosen<B> {
    type ConnectionHandler = Wary<THandler<B>>;
    type ToSwarm = B::ToSwarm;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if !self.takes(connection, &peer, local) {
            return Ok(Wary::none());
        }
        let handler = self.inner.handle_established_inbound_connection(connection, peer, local, remote)?;
        Ok(self.chosen(handler))
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        remote: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if !self.takes(connection, &peer, remote) {
            return Ok(Wary::none());
        }
        let handler =
            self.inner.handle_established_outbound_connection(connection, peer, remote, role, port)?;
        Ok(self.chosen(handler))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        let is_about_another = match &event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished { connection_id, .. }) => {
                !self.wires.contains(connection_id)
            }
            FromSwarm::ConnectionClosed(ConnectionClosed { connection_id, .. }) => {
                !self.wires.remove(connection_id)
            }
            FromSwarm::AddressChange(change) => !self.wires.contains(&change.connection_id),
            FromSwarm::DialFailure(failure) => {
                self.wires.remove(&failure.connection_id);
                false
            }
            FromSwarm::ListenFailure(failure) => {
                self.wires.remove(&failure.connection_id);
                false
            }
            _ => false,
        };
        if !is_about_another {
            self.inner.on_swarm_event(event);
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        let event = match event {
            Either::Left(event) => event,
            Either::Right(never) => match never {},
        };
        let inner = &mut self.inner;
        let told = AssertUnwindSafe(|| inner.on_connection_handler_event(peer, connection, event));
        if catch_unwind(told).is_err() {
            error!(%peer, "a peer brought a protocol of relays to panic: its connection is closed");
            self.counters.circuits_broken.more();
            self.closing.push_back((peer, connection));
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if let Some((peer_id, connection)) = self.closing.pop_front() {
            return Poll::Ready(ToSwarm::CloseConnection {
                peer_id,
                connection: CloseConnection::One(connection),
            });
        }
        loop {
            match self.inner.poll(cx) {
                // Where this node is, its address record says and nothing else.
                Poll::Ready(ToSwarm::ExternalAddrConfirmed(_) | ToSwarm::ExternalAddrExpired(_)) => {}
                Poll::Ready(command) => return Poll::Ready(command.map_in(Either::Left)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// A handler, or none; one that panicked is none.
pub(super) struct Wary<H> {
    inner: Either<H, dummy::ConnectionHandler>,
    is_broken: bool,
    counters: Option<Arc<Counters>>,
}

impl<H> Wary<H> {
    fn none() -> Self {
        Self { inner: Either::Right(dummy::ConnectionHandler), is_broken: false, counters: None }
    }

    /// What `ask` says, unless it panics: then everything the handler held is let go, and whoever waits for it learns that
    /// it is gone.
    fn guarded<T>(&mut self, ask: impl FnOnce(&mut Either<H, dummy::ConnectionHandler>) -> T) -> Option<T> {
        if self.is_broken {
            return None;
        }
        let inner = &mut self.inner;
        let said = catch_unwind(AssertUnwindSafe(|| ask(inner))).ok();
        if said.is_none() {
            error!(
                "a peer brought a handler of relays' to panic: no more of its protocol on that connection"
            );
            if let Some(counters) = &self.counters {
                counters.circuits_broken.more();
            }
            self.inner = Either::Right(dummy::ConnectionHandler);
            self.is_broken = true;
        }
        said
    }
}

type Inner<H> = Either<H, dummy::ConnectionHandler>;

impl<H: ConnectionHandler> ConnectionHandler for Wary<H> {
    type FromBehaviour = <Inner<H> as ConnectionHandler>::FromBehaviour;
    type ToBehaviour = <Inner<H> as ConnectionHandler>::ToBehaviour;
    type InboundProtocol = <Inner<H> as ConnectionHandler>::InboundProtocol;
    type OutboundProtocol = <Inner<H> as ConnectionHandler>::OutboundProtocol;
    type InboundOpenInfo = <Inner<H> as ConnectionHandler>::InboundOpenInfo;
    type OutboundOpenInfo = <Inner<H> as ConnectionHandler>::OutboundOpenInfo;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol, Self::InboundOpenInfo> {
        self.inner.listen_protocol()
    }

    fn connection_keep_alive(&self) -> bool {
        self.inner.connection_keep_alive()
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, Self::OutboundOpenInfo, Self::ToBehaviour>> {
        self.guarded(|inner| inner.poll(cx)).unwrap_or(Poll::Pending)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Option<Self::ToBehaviour>> {
        self.guarded(|inner| inner.poll_close(cx)).unwrap_or(Poll::Ready(None))
    }

    fn on_behaviour_event(&mut self, event: Self::FromBehaviour) {
        self.guarded(|inner| inner.on_behaviour_event(event));
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<
            Self::InboundProtocol,
            Self::OutboundProtocol,
            Self::InboundOpenInfo,
            Self::OutboundOpenInfo,
        >,
    ) {
        self.guarded(|inner| inner.on_connection_event(event));
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::task::noop_waker;
    use libp2p::core::upgrade::DeniedUpgrade;

    use super::*;

    /// Panics once it was told to; holds something that others wait for.
    struct Brittle {
        _held: Arc<()>,
        breaks: bool,
    }

    impl ConnectionHandler for Brittle {
        type FromBehaviour = ();
        type ToBehaviour = ();
        type InboundProtocol = DeniedUpgrade;
        type OutboundProtocol = DeniedUpgrade;
        type InboundOpenInfo = ();
        type OutboundOpenInfo = Infallible;

        fn listen_protocol(&self) -> SubstreamProtocol<DeniedUpgrade> {
            SubstreamProtocol::new(DeniedUpgrade, ())
        }

        fn poll(
            &mut self,
            _: &mut Context<'_>,
        ) -> Poll<ConnectionHandlerEvent<DeniedUpgrade, Infallible, ()>> {
            assert!(!self.breaks, "as the test asked");
            Poll::Pending
        }

        fn on_behaviour_event(&mut self, (): ()) {
            self.breaks = true;
        }

        fn on_connection_event(
            &mut self,
            _: ConnectionEvent<'_, DeniedUpgrade, DeniedUpgrade, (), Infallible>,
        ) {
        }
    }

    #[test]
    fn a_handler_that_panics_is_let_go_with_all_it_held_and_its_connection_lives() {
        let (held, counters) = (Arc::new(()), Arc::<Counters>::default());
        let brittle = Brittle { _held: Arc::clone(&held), breaks: false };
        let mut wary =
            Wary { inner: Either::Left(brittle), is_broken: false, counters: Some(Arc::clone(&counters)) };
        let waker = noop_waker();
        let cx = &mut Context::from_waker(&waker);
        assert!(wary.poll(cx).is_pending());
        wary.on_behaviour_event(Either::Left(()));
        assert!(wary.poll(cx).is_pending());
        assert_eq!((Arc::strong_count(&held), counters.snapshot().circuits_broken), (1, 1));
        // Told more, asked again, closed: it is not there.
        wary.on_behaviour_event(Either::Left(()));
        assert!(wary.poll(cx).is_pending());
        assert!(matches!(wary.poll_close(cx), Poll::Ready(None)));
        assert_eq!(counters.snapshot().circuits_broken, 1);
    }

    /// Panics at whatever a handler tells it.
    struct Jumpy;

    impl NetworkBehaviour for Jumpy {
        type ConnectionHandler = Brittle;
        type ToSwarm = ();

        fn handle_established_inbound_connection(
            &mut self,
            _: ConnectionId,
            _: PeerId,
            _: &Multiaddr,
            _: &Multiaddr,
        ) -> Result<Brittle, ConnectionDenied> {
            Ok(Brittle { _held: Arc::default(), breaks: false })
        }

        fn handle_established_outbound_connection(
            &mut self,
            _: ConnectionId,
            _: PeerId,
            _: &Multiaddr,
            _: Endpoint,
            _: PortUse,
        ) -> Result<Brittle, ConnectionDenied> {
            Ok(Brittle { _held: Arc::default(), breaks: false })
        }

        fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

        fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, (): ()) {
            panic!("as the test asked");
        }

        fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<(), ()>> {
            Poll::Pending
        }
    }

    #[test]
    fn a_connection_whose_word_brings_the_behaviour_to_panic_is_closed_and_nothing_else() {
        let counters = Arc::<Counters>::default();
        let mut chosen = Chosen::new(Jumpy, Choice::Everybody, &counters);
        let (peer, connection) = (PeerId::random(), ConnectionId::new_unchecked(1));
        chosen.on_connection_handler_event(peer, connection, Either::Left(()));
        let waker = noop_waker();
        let cx = &mut Context::from_waker(&waker);
        let Poll::Ready(ToSwarm::CloseConnection { peer_id, connection: CloseConnection::One(closed) }) =
            chosen.poll(cx)
        else {
            panic!("it stays open");
        };
        assert_eq!((peer_id, closed, counters.snapshot().circuits_broken), (peer, connection, 1));
        assert!(chosen.poll(cx).is_pending());
    }
}
