//! Gossip over a connection that came second.
//!
//! gossipsub's handlers of one peer share a queue, and one opens its stream when it is polled and finds the queue filled.
//! Nothing has it polled: the one whose stream is open hears of messages, and takes them all. Once that connection
//! closes, as a circuit does when a direct one takes its place, messages would lie in the queue until they are too
//! old. So the handler of a further connection is looked at again and again until its stream is open.

use std::{
    collections::HashMap,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use libp2p::{
    PeerId,
    swarm::{
        ConnectionHandler, ConnectionHandlerEvent, FromSwarm, SubstreamProtocol, handler::ConnectionEvent,
    },
};
use tokio::time::{Instant, Sleep, sleep};

use super::dressed::Dress;

/// Between two looks. What the first message after a change of connections may wait; a look costs a poll of one connection,
/// and second connections are few.
const LOOK: Duration = Duration::from_millis(250);

/// Handlers that need that: all of a peer's but its first.
#[derive(Default)]
pub(super) struct Eager {
    open: HashMap<PeerId, usize>,
}

impl<H: ConnectionHandler> Dress<H> for Eager {
    type Handler = EagerHandler<H>;

    fn on(&self, peer: &PeerId, inner: H) -> EagerHandler<H> {
        let alarm = self.open.contains_key(peer).then(|| Box::pin(sleep(LOOK)));
        EagerHandler { inner, alarm }
    }

    fn hear(&mut self, event: &FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(up) => *self.open.entry(up.peer_id).or_default() += 1,
            FromSwarm::ConnectionClosed(down) if down.remaining_established == 0 => {
                self.open.remove(&down.peer_id);
            }
            _ => {}
        }
    }
}

/// A handler that is looked at until its stream is open, if its connection is not its peer's first.
pub(super) struct EagerHandler<H> {
    inner: H,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl<H: ConnectionHandler> ConnectionHandler for EagerHandler<H> {
    type FromBehaviour = H::FromBehaviour;
    type ToBehaviour = H::ToBehaviour;
    type InboundProtocol = H::InboundProtocol;
    type OutboundProtocol = H::OutboundProtocol;
    type InboundOpenInfo = H::InboundOpenInfo;
    type OutboundOpenInfo = H::OutboundOpenInfo;

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
        loop {
            let polled = self.inner.poll(cx);
            let Some(alarm) = self.alarm.as_mut().filter(|_| polled.is_pending()) else { return polled };
            if alarm.as_mut().poll(cx).is_pending() {
                return polled;
            }
            alarm.as_mut().reset(Instant::now() + LOOK);
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Option<Self::ToBehaviour>> {
        self.inner.poll_close(cx)
    }

    fn on_behaviour_event(&mut self, event: Self::FromBehaviour) {
        self.inner.on_behaviour_event(event);
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
        if matches!(event, ConnectionEvent::FullyNegotiatedOutbound(_)) {
            self.alarm = None;
        }
        self.inner.on_connection_event(event);
    }
}
