//! Transports, left alone while nobody comes and nobody is dialled.
//!
//! The swarm polls its transport whenever anything happens on any connection: listeners of three kinds, the circuits' among
//! them, each with a queue to look into. A listener wakes who polls it.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, Transport, TransportError,
    core::transport::{DialOpts, ListenerId, TransportEvent},
};

use super::bell::Bell;

/// A transport that is polled only after it was woken or told something.
pub(super) struct Resting<T> {
    inner: T,
    bell: Bell,
}

impl<T> Resting<T> {
    pub(super) fn new(inner: T) -> Self {
        Self { inner, bell: Bell::new() }
    }
}

impl<T: Transport + Unpin> Transport for Resting<T> {
    type Output = T::Output;
    type Error = T::Error;
    type ListenerUpgrade = T::ListenerUpgrade;
    type Dial = T::Dial;

    fn listen_on(&mut self, id: ListenerId, at: Multiaddr) -> Result<(), TransportError<Self::Error>> {
        self.bell.ring();
        self.inner.listen_on(id, at)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.bell.ring();
        self.inner.remove_listener(id)
    }

    fn dial(&mut self, to: Multiaddr, options: DialOpts) -> Result<Self::Dial, TransportError<Self::Error>> {
        self.bell.ring();
        self.inner.dial(to, options)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        let Self { inner, bell } = &mut *self;
        bell.heed(cx, |cx| Pin::new(&mut *inner).poll(cx))
    }
}
