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

/// What handlers wear.
pub(super) trait Dress<H: ConnectionHandler>: 'static {
    /// A handler that wears it: it says and hears what the one inside does.
    type Handler: ConnectionHandler<FromBehaviour = H::FromBehaviour, ToBehaviour = H::ToBehaviour>;

    /// Puts it on the handler of a new connection with `peer`.
    fn on(&self, peer: &PeerId, handler: H) -> Self::Handler;

    /// Hears what the behaviour hears, before it does.
    fn hear(&mut self, _: &FromSwarm<'_>) {}
}

/// A behaviour with dressed handlers.
pub(super) struct Dressed<B, D> {
    inner: B,
    dress: D,
}

impl<B, D> Dressed<B, D> {
    pub(super) const fn new(inner: B, dress: D) -> Self {
        Self { inner, dress }
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
        self.inner.handle_pending_inbound_connection(connection, local, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
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
        let handler =
            self.inner.handle_established_outbound_connection(connection, peer, remote, role, port)?;
        Ok(self.dress.on(&peer, handler))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        self.dress.hear(&event);
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        self.inner.on_connection_handler_event(peer, connection, event);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.inner.poll(cx)
    }
}
