//! Protocols that rest most of the time, left alone while they do: their behaviour and its handlers have [`Bell`]s.
//!
//! Asking ping and three request protocols whether they want anything took a fifth of what a connection costs.

use std::task::{Context, Poll};

use libp2p::{
    PeerId,
    swarm::{ConnectionHandler, ConnectionHandlerEvent, SubstreamProtocol, handler::ConnectionEvent},
};

use super::{bell::Bell, dressed::Dress};

/// A behaviour and handlers that rest.
pub(super) struct Quiet;

impl<H: ConnectionHandler> Dress<H> for Quiet {
    type Handler = QuietHandler<H>;
    const RESTS: bool = true;

    fn on(&self, _: &PeerId, handler: H) -> QuietHandler<H> {
        QuietHandler::new(handler)
    }
}

/// A handler that is polled only after its bell rang.
pub(super) struct QuietHandler<H> {
    inner: H,
    bell: Bell,
}

impl<H> QuietHandler<H> {
    fn new(inner: H) -> Self {
        Self { inner, bell: Bell::new() }
    }
}

impl<H: ConnectionHandler> ConnectionHandler for QuietHandler<H> {
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
        let Self { inner, bell } = self;
        bell.heed(cx, |cx| inner.poll(cx))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Option<Self::ToBehaviour>> {
        self.inner.poll_close(cx)
    }

    fn on_behaviour_event(&mut self, event: Self::FromBehaviour) {
        self.inner.on_behaviour_event(event);
        self.bell.ring();
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
        self.inner.on_connection_event(event);
        self.bell.ring();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::SeqCst},
        },
        task::Waker,
    };

    use futures::task::{ArcWake, noop_waker, waker};
    use libp2p::core::upgrade::DeniedUpgrade;

    use super::*;

    /// Counts its polls; has as many events as it was given, and keeps the last waker.
    #[derive(Default)]
    struct Restless {
        polls: usize,
        events: usize,
        waker: Option<Waker>,
    }

    impl ConnectionHandler for Restless {
        type FromBehaviour = usize;
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
            cx: &mut Context<'_>,
        ) -> Poll<ConnectionHandlerEvent<DeniedUpgrade, Infallible, ()>> {
            self.polls += 1;
            self.waker = Some(cx.waker().clone());
            let Some(left) = self.events.checked_sub(1) else { return Poll::Pending };
            self.events = left;
            Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(()))
        }

        fn on_behaviour_event(&mut self, events: usize) {
            self.events += events;
        }

        fn on_connection_event(
            &mut self,
            _: ConnectionEvent<'_, DeniedUpgrade, DeniedUpgrade, (), Infallible>,
        ) {
        }
    }

    fn polls(handler: &mut QuietHandler<Restless>) -> (usize, usize) {
        let (before, mut events) = (handler.inner.polls, 0);
        while handler.poll(&mut Context::from_waker(&noop_waker())).is_ready() {
            events += 1;
        }
        (handler.inner.polls - before, events)
    }

    #[test]
    fn a_resting_handler_is_polled_until_it_rests_and_then_let_be() {
        let mut handler = QuietHandler::new(Restless::default());
        assert_eq!(polls(&mut handler), (2, 0));
        assert_eq!(polls(&mut handler), (0, 0));
    }

    #[test]
    fn whatever_it_was_told_comes_out_to_the_last_event() {
        let mut handler = QuietHandler::new(Restless::default());
        assert_eq!(polls(&mut handler), (2, 0));
        handler.on_behaviour_event(3);
        assert_eq!(polls(&mut handler), (5, 3));
        assert_eq!(polls(&mut handler), (0, 0));
    }

    #[test]
    fn its_own_waker_wakes_the_connection_and_has_it_polled() {
        struct Woken(AtomicUsize);
        impl ArcWake for Woken {
            fn wake_by_ref(woken: &Arc<Self>) {
                woken.0.fetch_add(1, SeqCst);
            }
        }
        let woken = Arc::new(Woken(AtomicUsize::new(0)));
        let mut handler = QuietHandler::new(Restless::default());
        let connection = waker(Arc::clone(&woken));
        assert!(handler.poll(&mut Context::from_waker(&connection)).is_pending());
        handler.inner.waker.take().unwrap().wake();
        assert_eq!(woken.0.load(SeqCst), 1);
        assert_eq!(polls(&mut handler), (2, 0));
    }
}
