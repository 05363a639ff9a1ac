//! What a connection listens to, listed once.
//!
//! libp2p asks a connection's handler for all it listens to whenever anything happened on the connection, to tell the
//! handler should that have changed: seven protocols of six behaviours, put together anew and taken apart again a few
//! hundred times for every message that a topic carries. What a handler listens to changes with what it is told (gossipsub
//! gives up with a peer that does not speak it), so in between its last answer does.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use futures::{FutureExt as _, future::BoxFuture};
use libp2p::{
    PeerId, Stream,
    core::upgrade::{InboundUpgrade, UpgradeInfo},
    swarm::{
        ConnectionHandler, ConnectionHandlerEvent, SubstreamProtocol,
        handler::{
            ConnectionEvent, FullyNegotiatedInbound, InboundUpgradeSend, ListenUpgradeError, UpgradeInfoSend,
        },
    },
};

use super::dressed::Dress;

/// Handlers that make their list when it may have changed.
pub(super) struct Listed;

impl<H: ConnectionHandler> Dress<H> for Listed
where
    <H::InboundProtocol as UpgradeInfoSend>::Info: Sync,
{
    type Handler = ListedHandler<H>;

    fn on(&self, _: &PeerId, inner: H) -> ListedHandler<H> {
        ListedHandler { list: Arc::new(List::of(inner.listen_protocol())), inner }
    }
}

/// A handler whose list was made before.
pub(super) struct ListedHandler<H: ConnectionHandler> {
    inner: H,
    list: Arc<List<H::InboundProtocol, H::InboundOpenInfo>>,
}

/// The names that are listened to, and what becomes of a stream that says one of them, while nobody has borrowed it.
struct List<U: UpgradeInfoSend, O> {
    names: Arc<[U::Info]>,
    at_hand: Mutex<Option<Box<SubstreamProtocol<U, O>>>>,
}

impl<U: UpgradeInfoSend, O> List<U, O> {
    fn of(protocol: SubstreamProtocol<U, O>) -> Self {
        let names = protocol.upgrade().protocol_info().collect();
        Self { names, at_hand: Mutex::new(Some(Box::new(protocol))) }
    }

    fn take(&self) -> Option<Box<SubstreamProtocol<U, O>>> {
        self.at_hand.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put_back(&self, protocol: Box<SubstreamProtocol<U, O>>) {
        *self.at_hand.lock().unwrap_or_else(PoisonError::into_inner) = Some(protocol);
    }
}

/// A list given out: for a stream, which uses it up, or to be read, after which it goes back.
pub(super) struct Lent<U: UpgradeInfoSend, O> {
    protocol: Option<Box<SubstreamProtocol<U, O>>>,
    list: Arc<List<U, O>>,
}

impl<U: UpgradeInfoSend, O> Drop for Lent<U, O> {
    fn drop(&mut self) {
        if let Some(protocol) = self.protocol.take() {
            self.list.put_back(protocol);
        }
    }
}

/// The names of a list, one after the other.
pub(super) struct Names<I> {
    all: Arc<[I]>,
    next: usize,
}

impl<I: Clone> Iterator for Names<I> {
    type Item = I;

    fn next(&mut self) -> Option<I> {
        let name = self.all.get(self.next)?;
        self.next += 1;
        Some(name.clone())
    }
}

impl<U: UpgradeInfoSend, O> UpgradeInfo for Lent<U, O>
where
    U::Info: Sync,
{
    type Info = U::Info;
    type InfoIter = Names<U::Info>;

    fn protocol_info(&self) -> Self::InfoIter {
        Names { all: Arc::clone(&self.list.names), next: 0 }
    }
}

impl<U: InboundUpgradeSend, O: Send + 'static> InboundUpgrade<Stream> for Lent<U, O>
where
    U::Info: Sync,
{
    /// With what the handler wants to know of its own offer: the connection keeps that beside the upgrade, where a list
    /// that was lent cannot have it from.
    type Output = (U::Output, O);
    type Error = (U::Error, O);
    type Future = Pin<Box<dyn Future<Output = Result<Self::Output, Self::Error>> + Send>>;

    fn upgrade_inbound(mut self, stream: Stream, name: Self::Info) -> Self::Future {
        let Some(protocol) = self.protocol.take() else {
            // Nobody takes it out but this, and this has it by value.
            return futures::future::pending().boxed();
        };
        let (upgrade, info) = protocol.into_upgrade();
        let upgraded: BoxFuture<'static, _> = upgrade.upgrade_inbound(stream, name).boxed();
        Box::pin(async move {
            match upgraded.await {
                Ok(output) => Ok((output, info)),
                Err(error) => Err((error, info)),
            }
        })
    }
}

impl<H: ConnectionHandler> ConnectionHandler for ListedHandler<H>
where
    <H::InboundProtocol as UpgradeInfoSend>::Info: Sync,
{
    type FromBehaviour = H::FromBehaviour;
    type ToBehaviour = H::ToBehaviour;
    type InboundProtocol = Lent<H::InboundProtocol, H::InboundOpenInfo>;
    type OutboundProtocol = H::OutboundProtocol;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = H::OutboundOpenInfo;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        let protocol = self.list.take().unwrap_or_else(|| Box::new(self.inner.listen_protocol()));
        let timeout = *protocol.timeout();
        let lent = Lent { protocol: Some(protocol), list: Arc::clone(&self.list) };
        SubstreamProtocol::new(lent, ()).with_timeout(timeout)
    }

    fn connection_keep_alive(&self) -> bool {
        self.inner.connection_keep_alive()
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, Self::OutboundOpenInfo, Self::ToBehaviour>> {
        self.inner.poll(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Option<Self::ToBehaviour>> {
        self.inner.poll_close(cx)
    }

    fn on_behaviour_event(&mut self, event: Self::FromBehaviour) {
        self.inner.on_behaviour_event(event);
        self.list = Arc::new(List::of(self.inner.listen_protocol()));
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol, (), Self::OutboundOpenInfo>,
    ) {
        self.inner.on_connection_event(match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, info: () }) => {
                let (protocol, info) = protocol;
                ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, info })
            }
            ConnectionEvent::ListenUpgradeError(ListenUpgradeError { info: (), error }) => {
                let (error, info) = error;
                ConnectionEvent::ListenUpgradeError(ListenUpgradeError { info, error })
            }
            ConnectionEvent::FullyNegotiatedOutbound(event) => {
                ConnectionEvent::FullyNegotiatedOutbound(event)
            }
            ConnectionEvent::DialUpgradeError(event) => ConnectionEvent::DialUpgradeError(event),
            ConnectionEvent::AddressChange(event) => ConnectionEvent::AddressChange(event),
            ConnectionEvent::LocalProtocolsChange(event) => ConnectionEvent::LocalProtocolsChange(event),
            ConnectionEvent::RemoteProtocolsChange(event) => ConnectionEvent::RemoteProtocolsChange(event),
            // libp2p may add kinds; a handler that does not know one passes it over.
            _ => return,
        });
        self.list = Arc::new(List::of(self.inner.listen_protocol()));
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, convert::Infallible};

    use libp2p::{
        StreamProtocol,
        core::upgrade::{DeniedUpgrade, ReadyUpgrade},
    };

    use super::*;

    /// Listens to one protocol, or to another one once it was told so; counts how often it was asked.
    struct Teller {
        name: &'static str,
        asked: Cell<usize>,
    }

    impl ConnectionHandler for Teller {
        type FromBehaviour = &'static str;
        type ToBehaviour = Infallible;
        type InboundProtocol = ReadyUpgrade<StreamProtocol>;
        type OutboundProtocol = DeniedUpgrade;
        type InboundOpenInfo = u8;
        type OutboundOpenInfo = ();

        fn listen_protocol(&self) -> SubstreamProtocol<ReadyUpgrade<StreamProtocol>, u8> {
            self.asked.set(self.asked.get() + 1);
            SubstreamProtocol::new(ReadyUpgrade::new(StreamProtocol::new(self.name)), 7)
        }

        fn poll(
            &mut self,
            _: &mut Context<'_>,
        ) -> Poll<ConnectionHandlerEvent<DeniedUpgrade, (), Infallible>> {
            Poll::Pending
        }

        fn on_behaviour_event(&mut self, name: &'static str) {
            self.name = name;
        }

        fn on_connection_event(
            &mut self,
            _: ConnectionEvent<'_, ReadyUpgrade<StreamProtocol>, DeniedUpgrade, u8, ()>,
        ) {
        }
    }

    fn listed() -> ListedHandler<Teller> {
        Listed.on(&PeerId::random(), Teller { name: "/one", asked: Cell::new(0) })
    }

    fn names(handler: &ListedHandler<Teller>) -> Vec<String> {
        let protocol = handler.listen_protocol();
        UpgradeInfo::protocol_info(protocol.upgrade()).map(|name| name.to_string()).collect()
    }

    #[test]
    fn a_list_that_is_read_is_made_once() {
        let handler = listed();
        for _ in 0..5 {
            assert_eq!(names(&handler), ["/one"]);
        }
        assert_eq!(handler.inner.asked.get(), 1);
    }

    #[test]
    fn what_a_handler_is_told_shows_in_its_list() {
        let mut handler = listed();
        handler.on_behaviour_event("/two");
        assert_eq!(names(&handler), ["/two"]);
    }

    #[test]
    fn streams_under_negotiation_have_a_list_each() {
        let handler = listed();
        let (first, second) = (handler.listen_protocol(), handler.listen_protocol());
        for protocol in [first, second] {
            let (mut lent, ()) = protocol.into_upgrade();
            assert_eq!(UpgradeInfo::protocol_info(&lent).count(), 1);
            let (_, info) = lent.protocol.take().unwrap().into_upgrade();
            assert_eq!(info, 7);
        }
        assert_eq!(handler.inner.asked.get(), 2);
        // Used up both times.
        assert_eq!(names(&handler), ["/one"]);
        assert_eq!(handler.inner.asked.get(), 3);
    }
}
