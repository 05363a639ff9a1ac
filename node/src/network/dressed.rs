//! A behaviour whose handlers wear something: all the same to the behaviour, and to the swarm but for the handler.

use std::{
    ops::{Deref, DerefMut},
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionHandler, ConnectionId, FromSwarm, NetworkBehaviour, THandler,
        THandlerInEvent, THandlerOutEvent, ToSwarm,
    },
};

use super::bell::Bell;

/// What handlers wear.
pub(super) trait Dress<H: ConnectionHandler>: 'static {
    /// A handler that wears it: it says and hears what the one inside does.
    type Handler: ConnectionHandler<FromBehaviour = H::FromBehaviour, ToBehaviour = H::ToBehaviour>;
    /// Whether the behaviour is polled only after it was woken or told something.
    const RESTS: bool = false;

    /// Puts it on the handler of a new connection with `peer`.
    fn on(&self, peer: &PeerId, handler: H) -> Self::Handler;

    /// Hears what the behaviour hears, before it does.
    fn hear(&mut self, _: &FromSwarm<'_>) {}
}

/// A behaviour with dressed handlers.
pub(super) struct Dressed<B, D> {
    inner: B,
    dress: D,
    bell: Bell,
}

impl<B, D> Dressed<B, D> {
    pub(super) fn new(inner: B, dress: D) -> Self {
        Self { inner, dress, bell: Bell::new() }
    }
}

impl<B, D> Deref for Dressed<B, D> {
    type Target = B;
    fn deref(&self) -> &B {
        &self.inner
    }
}

impl<B, D> DerefMut for Dressed<B, D> {
    fn deref_mut(&mut self) -> &mut B {
        self.bell.ring();
        &mut self.inner
    }
}

impl<B: NetworkBehaviour, D: Dress<THandler<B>>> NetworkBehaviour for Dressed<B, D> {
    type ConnectionHandler = D::Handler;
    type ToSwarm = B::ToSwarm;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.bell.ring();
        self.inner.handle_pending_inbound_connection(connection, local, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.bell.ring();
        let handler = self.inner.handle_established_inbound_connection(connection, peer, local, remote)?;
        Ok(self.dress.on(&peer, handler))
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.bell.ring();
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
        self.bell.ring();
        let handler =
            self.inner.handle_established_outbound_connection(connection, peer, remote, role, port)?;
        Ok(self.dress.on(&peer, handler))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        self.bell.ring();
        self.dress.hear(&event);
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        self.bell.ring();
        self.inner.on_connection_handler_event(peer, connection, event);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if !D::RESTS {
            return self.inner.poll(cx);
        }
        let Self { inner, bell, .. } = self;
        bell.heed(cx, |cx| inner.poll(cx))
    }
}
