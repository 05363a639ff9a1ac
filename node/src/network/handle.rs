//! The handle that the rest of the node holds.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use belfry_proto::{
    crypto::sign::PublicKey,
    schema::{HelloRequest, HelloResponse, KeysRequest, KeysResponse, SyncRequest, SyncResponse},
    time::Timestamp,
    topic::Topic,
    verdict::Verdict,
};
use prost::Message;
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    address::Address,
    counters::Counters,
    error::{DialRefused, End, PublishError, RequestError, Stopped},
    inbound::Ticket,
    rpc::{Answer, Protocol, hello::Hello, keys::Keys, sync::Sync},
    traffic::Traffic,
};
use crate::refusals::Refusals;

/// A handle to the swarm task; cloning it is cheap. When the last one is dropped the task ends.
#[derive(Clone, Debug)]
pub struct Network {
    pub(super) node: PublicKey,
    pub(super) commands: mpsc::Sender<Command>,
    /// Verdicts that forward a message, apart: a flood of what is ignored must not keep them out.
    pub(super) accepts: mpsc::Sender<(Ticket, Verdict)>,
    pub(super) verdicts: mpsc::Sender<(Ticket, Verdict)>,
    pub(super) counters: Arc<Counters>,
    pub(super) traffic: Arc<Traffic>,
    pub(super) end: watch::Receiver<Option<End>>,
}

/// What became of a call to dial. Whether it succeeds, a [`Link`](super::Link) tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialling {
    /// Begun, or to begin once the old connections are closed.
    Begun,
    /// Another dial to the node is under way; this one was not begun.
    Underway,
    /// There is an admitted connection already; nothing was begun.
    Connected,
}

/// One connected node.
#[derive(Clone, Debug)]
pub struct PeerView {
    /// Its key.
    pub node: PublicKey,
    /// Whether any of its connections is admitted here.
    pub admitted: bool,
    /// Whether it keeps *us* in its lobby on every connection.
    pub held: bool,
    /// Whether this node dialled any of the connections.
    pub outbound: bool,
    /// The other ends.
    pub addresses: Vec<Address>,
    /// Of this node's own topics, those it subscribes to.
    pub topics: BTreeSet<Topic>,
    /// When the oldest connection opened.
    pub since: Timestamp,
    /// Latest answered ping.
    pub round_trip: Option<Duration>,
    /// Gossipsub's score: below −15 no gossip, below −50 nothing is published to it, below −100 it is not
    /// listened to.
    pub score: f64,
}

/// Where the swarm task hears of verdicts.
pub(super) struct Verdicts {
    pub(super) accepts: mpsc::Receiver<(Ticket, Verdict)>,
    pub(super) others: mpsc::Receiver<(Ticket, Verdict)>,
}

impl Verdicts {
    /// The next one, those that forward first; none once every handle is gone.
    pub(super) async fn recv(&mut self) -> Option<(Ticket, Verdict)> {
        tokio::select! {
            biased;
            Some(accept) = self.accepts.recv() => Some(accept),
            Some(other) = self.others.recv() => Some(other),
            else => None,
        }
    }
}

pub(super) type Done<T> = oneshot::Sender<T>;

/// What the swarm task can be asked to do.
#[derive(Debug)]
pub(super) enum Command {
    /// Nodes that may give circuits.
    SetRelays(BTreeSet<PublicKey>, Done<()>),
    TakePlace(PublicKey, Done<Result<(), DialRefused>>),
    SetAllowed(BTreeSet<PublicKey>, Done<()>),
    Subscribe(Topic, Done<()>),
    Unsubscribe(Topic, Done<()>),
    Publish(Topic, Vec<u8>, Done<Result<(), PublishError>>),
    Hello(PublicKey, HelloRequest, Answer<Hello>),
    Keys(PublicKey, KeysRequest, Answer<Keys>),
    Sync(PublicKey, SyncRequest, Answer<Sync>),
    Dial {
        node: PublicKey,
        addresses: Vec<Address>,
        is_again: bool,
        done: Done<Result<Dialling, DialRefused>>,
    },
    Disconnect(PublicKey, Done<()>),
    Peers(Done<Vec<PeerView>>),
    ListenAddresses(Done<Vec<Address>>),
    Shutdown,
    /// What a fault in libp2p would be.
    #[cfg(test)]
    Panic,
    /// As many links as one may be behind with.
    #[cfg(test)]
    FillLinks,
}

impl Network {
    /// This node's own key.
    #[must_use]
    pub fn node(&self) -> PublicKey {
        self.node
    }

    /// Replaces the set of nodes that are let in and may be dialled. When this returns, nothing more is
    /// heard from those that are no longer in it, and their connections are being closed; what was queued for
    /// them may still leave before that.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn set_allowed(&self, nodes: BTreeSet<PublicKey>) -> Result<(), Stopped> {
        self.call(|done| Command::SetAllowed(nodes, done)).await
    }

    /// Replaces the set of nodes that circuits are asked of. It counts for connections made after it.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn set_relays(&self, nodes: BTreeSet<PublicKey>) -> Result<(), Stopped> {
        self.call(|done| Command::SetRelays(nodes, done)).await
    }

    /// Asks a connected node for a place with it, to be reached by circuits over it. [`Link::Listening`](super::Link::Listening)
    /// tells when there is one, [`Link::NoPlace`](super::Link::NoPlace) when there is none or none any more.
    ///
    /// # Errors
    /// [`DialRefused`]; nothing was asked.
    pub async fn take_place(&self, relay: PublicKey) -> Result<(), DialRefused> {
        self.call(|done| Command::TakePlace(relay, done)).await?
    }

    /// Joins a topic: its messages are received and, once accepted, forwarded.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn subscribe(&self, topic: Topic) -> Result<(), Stopped> {
        self.call(|done| Command::Subscribe(topic, done)).await
    }

    /// Leaves a topic.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn unsubscribe(&self, topic: Topic) -> Result<(), Stopped> {
        self.call(|done| Command::Unsubscribe(topic, done)).await
    }

    /// Hands a message to the peers that subscribe to the topic. `Ok` means queued for at least one of them,
    /// not received by any.
    ///
    /// # Errors
    /// [`PublishError`]; nothing was sent.
    pub async fn publish(&self, topic: Topic, bytes: Vec<u8>) -> Result<(), PublishError> {
        self.call(|done| Command::Publish(topic, bytes, done)).await?
    }

    /// [`Self::publish`] for whoever may not wait, without an answer; false if the swarm task cannot take it now.
    #[must_use]
    pub fn publish_at_once(&self, topic: Topic, bytes: Vec<u8>) -> bool {
        let (done, _) = oneshot::channel();
        self.commands.try_send(Command::Publish(topic, bytes, done)).is_ok()
    }

    /// Gives the verdict on a gossip message; with Accept it is forwarded.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn verdict(&self, ticket: Ticket, verdict: Verdict) -> Result<(), Stopped> {
        self.queue(verdict).send((ticket, verdict)).await.map_err(|_| Stopped)
    }

    /// [`Self::verdict`] for judges on blocking threads.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn verdict_blocking(&self, ticket: Ticket, verdict: Verdict) -> Result<(), Stopped> {
        self.queue(verdict).blocking_send((ticket, verdict)).map_err(|_| Stopped)
    }

    /// [`Self::verdict`] for whoever may not wait; false if the swarm task cannot take it now, and the message is left
    /// to gossipsub's memory and to sync.
    #[must_use]
    pub fn verdict_at_once(&self, ticket: Ticket, verdict: Verdict) -> bool {
        self.queue(verdict).try_send((ticket, verdict)).is_ok()
    }

    const fn queue(&self, verdict: Verdict) -> &mpsc::Sender<(Ticket, Verdict)> {
        match verdict {
            Verdict::Accept => &self.accepts,
            Verdict::Ignore | Verdict::Reject => &self.verdicts,
        }
    }

    /// Asks hello of a connected, allowed node.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn hello(
        &self,
        node: &PublicKey,
        request: HelloRequest,
    ) -> Result<HelloResponse, RequestError> {
        self.request::<Hello>(request, |request, answer| Command::Hello(*node, request, answer)).await
    }

    /// Asks a connected, allowed node for keys, or pushes some to it.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn keys(&self, node: &PublicKey, request: KeysRequest) -> Result<KeysResponse, RequestError> {
        self.request::<Keys>(request, |request, answer| Command::Keys(*node, request, answer)).await
    }

    /// Asks a connected, allowed node for frontiers, pages or address records.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn sync(&self, node: &PublicKey, request: SyncRequest) -> Result<SyncResponse, RequestError> {
        self.request::<Sync>(request, |request, answer| Command::Sync(*node, request, answer)).await
    }

    /// Begins to dial an allowed node, unless a dial is under way or a connection is admitted already.
    ///
    /// # Errors
    /// [`DialRefused`]; nothing was begun.
    pub async fn dial(&self, node: PublicKey, addresses: Vec<Address>) -> Result<Dialling, DialRefused> {
        self.call(|done| Command::Dial { node, addresses, is_again: false, done }).await?
    }

    /// Gets out of the node's lobby: closes the connections that may be held there, then dials. A connection
    /// known to be full is kept, and then nothing is dialled.
    ///
    /// # Errors
    /// [`DialRefused`]; nothing was begun.
    pub async fn redial(&self, node: PublicKey, addresses: Vec<Address>) -> Result<Dialling, DialRefused> {
        self.call(|done| Command::Dial { node, addresses, is_again: true, done }).await?
    }

    /// Closes every connection with the node.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn disconnect(&self, node: &PublicKey) -> Result<(), Stopped> {
        self.call(|done| Command::Disconnect(*node, done)).await
    }

    /// All connected nodes, guests in the lobby too, in the order of their keys.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn peers(&self) -> Result<Vec<PeerView>, Stopped> {
        self.call(Command::Peers).await
    }

    /// Where this node listens now, one address per interface.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn listen_addresses(&self) -> Result<Vec<Address>, Stopped> {
        self.call(Command::ListenAddresses).await
    }

    /// What happened so far, in numbers; still readable after the end.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What this node refuses, and why: one ledger for whoever refuses.
    #[must_use]
    pub fn refusals(&self) -> &Refusals {
        &self.counters.refusals
    }

    /// Bytes that links carried.
    #[must_use]
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Closes all connections and ends the swarm task; returns when it has ended.
    pub async fn shutdown(&self) -> End {
        // If it cannot be sent, the task has ended already.
        let _ = self.commands.send(Command::Shutdown).await;
        self.ended().await
    }

    /// Has the swarm task panic.
    #[cfg(test)]
    pub(crate) async fn panic(&self) {
        self.commands.send(Command::Panic).await.unwrap();
    }

    /// Has the swarm task tell of links until nobody takes more.
    #[cfg(test)]
    pub(super) async fn fill_links(&self) {
        self.commands.send(Command::FillLinks).await.unwrap();
    }

    /// Waits until the swarm task ends, by whatever cause.
    pub async fn ended(&self) -> End {
        let mut end = self.end.clone();
        match end.wait_for(Option::is_some).await {
            Ok(end) => end.unwrap_or(End::Panicked),
            // The supervisor itself is gone, with the runtime.
            Err(_) => End::Panicked,
        }
    }

    async fn request<P: Protocol>(
        &self,
        request: P::Request,
        command: impl FnOnce(P::Request, Answer<P>) -> Command,
    ) -> Result<P::Reply, RequestError> {
        P::check(&request).map_err(RequestError::Invalid)?;
        let len = request.encoded_len();
        if len > P::REQUEST_LIMIT {
            let what = P::REQUEST;
            return Err(RequestError::Invalid(belfry_proto::schema::Malformed::TooLong {
                what,
                len,
                limit: P::REQUEST_LIMIT,
            }));
        }
        self.call(|answer| command(request, answer)).await?
    }

    async fn call<T>(&self, command: impl FnOnce(Done<T>) -> Command) -> Result<T, Stopped> {
        let (done, answer) = oneshot::channel();
        self.commands.send(command(done)).await.map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }
}
