//! A transport that answers knocks on a task of its own.
//!
//! libp2p-quic reads the first datagram of a handshake where it is polled, which is a key exchange and a signature before
//! anybody is asked whether it is wanted. The swarm polls its transport between two messages of a topic: a burst of knocks
//! would keep every message waiting for its sum. Here the swarm finds what came of it.
//!
//! ```text
//! task: poll ─ a knock, a listener's news ─▶ bounded queue ─▶ swarm
//! swarm: listen, dial ─▶ the transport, behind a lock that is held for one knock at most
//! ```

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use futures::{FutureExt as _, future::poll_fn, task::AtomicWaker};
use libp2p::{
    Multiaddr, Transport, TransportError,
    core::transport::{DialOpts, ListenerId, TransportEvent},
};
use tokio::{sync::mpsc, task::JoinHandle};

use super::limits::KNOCKS;

type Event<T> = TransportEvent<<T as Transport>::ListenerUpgrade, <T as Transport>::Error>;

pub(super) struct Apart<T: Transport> {
    shared: Arc<Shared<T>>,
    events: mpsc::Receiver<Event<T>>,
    /// None once it ended.
    task: Option<JoinHandle<()>>,
}

struct Shared<T> {
    /// Taken out, with its sockets, when the swarm lets go.
    transport: Mutex<Option<T>>,
    /// The task, when the transport was told something.
    task: AtomicWaker,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Option<T>> {
        self.transport.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Apart<T>
where
    T: Transport + Send + Unpin + 'static,
    T::ListenerUpgrade: Send,
    T::Error: Send,
{
    /// # Panics
    /// Outside of a runtime.
    pub(super) fn new(transport: T) -> Self {
        let shared = Arc::new(Shared { transport: Mutex::new(Some(transport)), task: AtomicWaker::new() });
        let (sender, events) = mpsc::channel(KNOCKS);
        let task = tokio::spawn(answer(Arc::clone(&shared), sender));
        Self { shared, events, task: Some(task) }
    }

    fn tell<R>(&self, what: impl FnOnce(&mut T) -> R) -> Option<R> {
        let told = self.shared.lock().as_mut().map(what);
        self.shared.task.wake();
        told
    }
}

/// Polls until the swarm lets go. A place comes before an event, so that none is lost.
async fn answer<T>(shared: Arc<Shared<T>>, events: mpsc::Sender<Event<T>>)
where
    T: Transport + Send + Unpin + 'static,
    T::ListenerUpgrade: Send,
    T::Error: Send,
{
    while let Ok(place) = events.reserve().await {
        let next = poll_fn(|cx| {
            // Before the look, so that whatever is told in between is seen.
            shared.task.register(cx.waker());
            match shared.lock().as_mut() {
                Some(transport) => Pin::new(transport).poll(cx).map(Some),
                None => Poll::Ready(None),
            }
        });
        match next.await {
            Some(event) => place.send(event),
            None => return,
        }
        // The swarm was woken to this worker: it looks now, and finds the lock free, not once the queue is full.
        tokio::task::yield_now().await;
    }
}

impl<T: Transport> Drop for Apart<T> {
    fn drop(&mut self) {
        // Listeners are gone when this returns, whatever the task does.
        drop(self.shared.lock().take());
        self.shared.task.wake();
    }
}

impl<T> Transport for Apart<T>
where
    T: Transport + Send + Unpin + 'static,
    T::ListenerUpgrade: Send,
    T::Error: Send,
{
    type Output = T::Output;
    type Error = T::Error;
    type ListenerUpgrade = T::ListenerUpgrade;
    type Dial = T::Dial;

    fn listen_on(&mut self, id: ListenerId, at: Multiaddr) -> Result<(), TransportError<Self::Error>> {
        let refused = at.clone();
        self.tell(|transport| transport.listen_on(id, at))
            .unwrap_or(Err(TransportError::MultiaddrNotSupported(refused)))
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.tell(|transport| transport.remove_listener(id)).unwrap_or(false)
    }

    fn dial(&mut self, to: Multiaddr, options: DialOpts) -> Result<Self::Dial, TransportError<Self::Error>> {
        let refused = to.clone();
        self.tell(|transport| transport.dial(to, options))
            .unwrap_or(Err(TransportError::MultiaddrNotSupported(refused)))
    }

    /// # Panics
    /// With what the transport panicked with: whoever runs swarms makes a new one then.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Event<T>> {
        if let Some(event) = ready!(self.events.poll_recv(cx)) {
            return Poll::Ready(event);
        }
        if let Some(task) = &mut self.task {
            let ended = ready!(task.poll_unpin(cx));
            self.task = None;
            if let Err(ended) = ended
                && let Ok(panic) = ended.try_into_panic()
            {
                std::panic::resume_unwind(panic);
            }
        }
        // The runtime shuts down.
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, time::Duration};

    use libp2p::{multiaddr::Protocol, tcp};
    use tokio::time::timeout;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// A transport that ends badly when it is polled.
    struct Broken;

    impl Transport for Broken {
        type Output = ();
        type Error = std::io::Error;
        type ListenerUpgrade = futures::future::Ready<Result<(), std::io::Error>>;
        type Dial = futures::future::Ready<Result<(), std::io::Error>>;

        fn listen_on(&mut self, _: ListenerId, at: Multiaddr) -> Result<(), TransportError<Self::Error>> {
            Err(TransportError::MultiaddrNotSupported(at))
        }
        fn remove_listener(&mut self, _: ListenerId) -> bool {
            false
        }
        fn dial(&mut self, to: Multiaddr, _: DialOpts) -> Result<Self::Dial, TransportError<Self::Error>> {
            Err(TransportError::MultiaddrNotSupported(to))
        }
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Event<Self>> {
            panic!("as planned")
        }
    }

    async fn next<T>(transport: &mut Apart<T>) -> Event<T>
    where
        T: Transport + Send + Unpin + 'static,
        T::ListenerUpgrade: Send,
        T::Error: Send,
    {
        timeout(LONG, poll_fn(|cx| Pin::new(&mut *transport).poll(cx))).await.unwrap()
    }

    fn options() -> DialOpts {
        use libp2p::core::{Endpoint, transport::PortUse};
        DialOpts { role: Endpoint::Dialer, port_use: PortUse::Reuse }
    }

    #[tokio::test]
    async fn what_comes_is_found_in_order_and_a_port_is_free_once_the_swarm_lets_go() {
        let transport = || Apart::new(tcp::tokio::Transport::new(tcp::Config::default()).boxed());
        let mut host = transport();
        // Told while the task waits already.
        tokio::task::yield_now().await;
        host.listen_on(ListenerId::next(), "/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
        let TransportEvent::NewAddress { listen_addr: at, .. } = next(&mut host).await else {
            panic!("no address")
        };
        let Some(Protocol::Tcp(port)) = at.iter().nth(1) else { panic!("no port in {at}") };
        let mut guest = transport();
        let dials: Vec<_> = (0..2 * KNOCKS).map(|_| guest.dial(at.clone(), options()).unwrap()).collect();
        let dialled = tokio::spawn(futures::future::join_all(dials));
        for _ in 0..2 * KNOCKS {
            assert!(next(&mut host).await.is_upgrade());
        }
        assert!(timeout(LONG, dialled).await.unwrap().unwrap().iter().all(Result::is_ok));
        assert!(TcpListener::bind(("127.0.0.1", port)).is_err());
        drop(host);
        TcpListener::bind(("127.0.0.1", port)).unwrap();
    }

    #[tokio::test]
    async fn a_transport_that_panics_panics_where_it_is_polled() {
        let mut broken = Apart::new(Broken);
        let panicked = tokio::spawn(async move {
            let _ = next(&mut broken).await;
        });
        assert!(timeout(LONG, panicked).await.unwrap().unwrap_err().is_panic());
    }
}
