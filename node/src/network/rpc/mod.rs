//! The three request protocols, and what they share: who asked, who is asked, how many at once.

pub(super) mod hello;
pub(super) mod keys;
pub(super) mod sync;
pub(super) mod version;

use std::{collections::HashMap, sync::Arc, time::Duration};

use belfry_proto::{
    crypto::sign::PublicKey,
    limits::MAX_REPLY,
    schema::{self, Malformed, Refusal},
};
use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use libp2p::{
    PeerId,
    request_response::{
        Event, InboundRequestId, Message, OutboundFailure, OutboundRequestId, ResponseChannel,
    },
    swarm::ConnectionId,
};
use prost::Message as _;
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, error};

use self::version::{Spoken, Unwritten, Versioned};
use super::{
    behaviour::Rpc,
    counters::Counters,
    error::RequestError,
    inbound::{Asked, Reply},
    limits::REQUESTS,
};
use crate::refusals::Way;

/// What one request protocol is.
pub(super) trait Protocol: Send + Sync + 'static {
    /// The numbers it is spoken under, the newest first.
    const SPOKEN: &'static [Spoken];
    /// As its refusals are counted.
    const WAY: Way;
    /// What its frames are called in errors.
    const REQUEST: &'static str;
    const REPLY: &'static str;
    /// Bytes of one request.
    const REQUEST_LIMIT: usize;
    /// Bytes that any request may take while it comes. Of those that promise more, [`Self::LARGE`] go on at once and the others
    /// wait: whoever sends slowly keeps what has come in memory, on each stream that it opens.
    const AT_EASE: usize = Self::REQUEST_LIMIT;
    /// Requests beyond that being read at once, of all members. Too low ⇒ slow senders keep them from others, too high ⇒ memory.
    const LARGE: usize = 1;
    /// The same of all guests in the lobby: strangers that never end theirs keep each other waiting, and no member.
    const LARGE_IN_LOBBY: usize = 1;
    /// Bytes of one reply.
    const REPLY_LIMIT: usize = MAX_REPLY;
    /// From asking to the last byte of the answer.
    const TIMEOUT: Duration;
    /// Streams at once on one connection, both ways.
    const STREAMS: usize;
    /// Requests of all peers being answered at once; with the largest replies, what slow readers can make us
    /// hold.
    const OPEN: usize;
    /// The same of one peer.
    const OPEN_PER_PEER: usize;
    /// The same of all guests in the lobby: strangers that never read their answers must leave places to members.
    const OPEN_IN_LOBBY: usize = Self::OPEN / 4;

    type Request: prost::Message + Default + 'static;
    type Reply: prost::Message + Default + 'static;

    /// Counts that the size does not bound.
    fn check(request: &Self::Request) -> Result<(), Malformed>;
    /// The reply that refuses `request`.
    fn refuse(request: &Self::Request, why: Refusal) -> Self::Reply;
    /// What a reply refuses.
    fn refused(reply: &Self::Reply) -> Vec<Refusal>;

    /// A request as it is written under that number. Those of a protocol of one number look one way.
    fn write_request(_: u32, request: &Self::Request, out: &mut Vec<u8>) -> Result<(), Unwritten> {
        Ok(request.encode(out)?)
    }
    /// What was written so, in the newest shape.
    fn read_request(_: u32, bytes: &[u8]) -> Result<Self::Request, Malformed> {
        schema::decode_canonical(Self::REQUEST, bytes, Self::REQUEST_LIMIT)
    }
    /// A reply as it is written under that number.
    fn write_reply(_: u32, reply: &Self::Reply, out: &mut Vec<u8>) -> Result<(), Unwritten> {
        Ok(reply.encode(out)?)
    }
    /// What was written so, in the newest shape.
    fn read_reply(_: u32, bytes: &[u8]) -> Result<Self::Reply, Malformed> {
        schema::decode_canonical(Self::REPLY, bytes, Self::REPLY_LIMIT)
    }
}

/// Counts what a reply refuses: here, so that no use-case can forget to.
fn count<P: Protocol>(counters: &Counters, reply: &P::Reply) {
    for why in P::refused(reply) {
        counters.refusals.count(P::WAY, code(why));
    }
}

const fn code(why: Refusal) -> &'static str {
    match why {
        Refusal::Unspecified => "unspecified",
        Refusal::Malformed => "malformed",
        Refusal::OtherCoalition => "other-coalition",
        Refusal::NotCertified => "not-certified",
        Refusal::Busy => "busy",
        Refusal::NotEntitled => "not-entitled",
        Refusal::Unknown => "unknown",
        Refusal::NotYet => "not-yet",
        Refusal::Internal => "internal",
    }
}

/// Where the answer to an own request goes.
pub(super) type Answer<P> = oneshot::Sender<Result<<P as Protocol>::Reply, RequestError>>;
/// Where requests of others go; it holds [`ASKED`](super::limits::ASKED).
pub(super) type Asks<P> = mpsc::Sender<Asked<<P as Protocol>::Request, <P as Protocol>::Reply>>;

/// A reply that is made, and where it goes.
pub(super) struct Ready<P: Protocol> {
    connection: ConnectionId,
    channel: ResponseChannel<P::Reply>,
    reply: P::Reply,
}

impl<P: Protocol> Ready<P> {
    /// The connection it goes over, if it refuses nothing.
    pub(super) fn grants(&self) -> Option<ConnectionId> {
        P::refused(&self.reply).is_empty().then_some(self.connection)
    }
}

/// All requests of one protocol that are under way, both ways.
pub(super) struct Exchange<P: Protocol> {
    asked: Asks<P>,
    own: HashMap<OutboundRequestId, Answer<P>>,
    /// Until the reply is on the wire.
    open: HashMap<InboundRequestId, Open>,
    answers: FuturesUnordered<BoxFuture<'static, Ready<P>>>,
    counters: Arc<Counters>,
}

/// Who asked, and from where.
struct Open {
    peer: PeerId,
    is_admitted: bool,
}

impl<P: Protocol> Exchange<P> {
    pub(super) fn new(asked: Asks<P>, counters: Arc<Counters>) -> Self {
        Self { asked, own: HashMap::new(), open: HashMap::new(), answers: FuturesUnordered::new(), counters }
    }

    /// Sends an own request; the caller has made sure that the peer is connected.
    pub(super) fn ask(&mut self, rpc: &mut Rpc<P>, peer: &PeerId, request: P::Request, answer: Answer<P>) {
        if self.own.len() >= REQUESTS {
            let _ = answer.send(Err(RequestError::Busy));
            return;
        }
        self.own.insert(rpc.send_request(peer, Versioned::to_send(request)), answer);
    }

    pub(super) fn on_event(
        &mut self,
        rpc: &mut Rpc<P>,
        from: Option<PublicKey>,
        is_admitted: bool,
        event: Event<Versioned<P::Request>, P::Reply>,
    ) {
        match event {
            Event::Message {
                peer,
                connection_id,
                message: Message::Request { request_id, request, channel },
            } => {
                self.counters.requests_received.more();
                // A peer whose key is not ours to name was denied its connection.
                let Some(from) = from else { return };
                let asker = Open { peer, is_admitted };
                let place = (connection_id, channel);
                if let Some((channel, reply)) = self.hand_on(asker, from, request_id, request, place) {
                    self.counters.requests_busy.more();
                    count::<P>(&self.counters, &reply);
                    let _ = rpc.send_response(channel, reply);
                }
            }
            Event::Message { message: Message::Response { request_id, response }, .. } => {
                self.settle(request_id, Ok(response));
            }
            Event::OutboundFailure { request_id, error, .. } => self.settle(request_id, Err(failure(error))),
            Event::InboundFailure { peer, request_id, error, .. } => {
                debug!(%peer, protocol = version::newest::<P>(), %error, "a request was not answered");
                self.open.remove(&request_id);
            }
            Event::ResponseSent { request_id, .. } => {
                self.open.remove(&request_id);
            }
        }
    }

    /// Whether a reply is being made. Asking costs nothing; waiting for none costs a little whenever the swarm wakes.
    pub(super) fn is_answering(&self) -> bool {
        !self.answers.is_empty()
    }

    /// The next reply that its giver has finished; send it with [`Self::reply`]. Pending for ever when
    /// nothing is open.
    pub(super) async fn next_answer(&mut self) -> Ready<P> {
        match self.answers.next().await {
            Some(ready) => ready,
            None => futures::future::pending().await,
        }
    }

    /// Puts a reply on the wire; one whose stream is gone meanwhile is dropped.
    pub(super) fn reply(rpc: &mut Rpc<P>, ready: Ready<P>) {
        let _ = rpc.send_response(ready.channel, ready.reply);
    }

    fn hand_on(
        &mut self,
        asker: Open,
        from: PublicKey,
        id: InboundRequestId,
        Versioned { version, request }: Versioned<P::Request>,
        (connection, channel): (ConnectionId, ResponseChannel<P::Reply>),
    ) -> Option<(ResponseChannel<P::Reply>, P::Reply)> {
        let Open { peer, is_admitted } = asker;
        let of_peer = self.open.values().filter(|one| one.peer == peer).count();
        let of_guests = self.open.values().filter(|one| !one.is_admitted).count();
        let fits = self.open.len() < P::OPEN
            && of_peer < P::OPEN_PER_PEER
            && (is_admitted || of_guests < P::OPEN_IN_LOBBY);
        let place = self.asked.try_reserve().ok().filter(|_| fits);
        let Some(place) = place else {
            return Some((channel, P::refuse(&request, Refusal::Busy)));
        };
        let fallback = P::refuse(&request, Refusal::Internal);
        let (sender, receiver) = oneshot::channel::<P::Reply>();
        place.send(Asked { from, admitted: is_admitted, version, request, reply: Reply::new(sender) });
        self.open.insert(id, asker);
        let counters = Arc::clone(&self.counters);
        self.answers.push(Box::pin(async move {
            let reply = receiver.await.ok().filter(|reply| {
                let is_sendable = reply.encoded_len() <= P::REPLY_LIMIT;
                if !is_sendable {
                    error!(
                        protocol = version::newest::<P>(),
                        len = reply.encoded_len(),
                        "a reply of ours is over its size"
                    );
                    counters.replies_oversized.more();
                }
                is_sendable
            });
            let reply = reply.unwrap_or(fallback);
            count::<P>(&counters, &reply);
            Ready { connection, channel, reply }
        }));
        None
    }

    fn settle(&mut self, id: OutboundRequestId, outcome: Result<P::Reply, RequestError>) {
        if let Some(answer) = self.own.remove(&id) {
            // Whoever asked may have stopped waiting.
            let _ = answer.send(outcome);
        }
    }
}

fn failure(failure: OutboundFailure) -> RequestError {
    match failure {
        // Requests are only made of connected peers; the connection went away in between.
        OutboundFailure::DialFailure | OutboundFailure::ConnectionClosed => RequestError::Closed,
        OutboundFailure::Timeout => RequestError::Timeout,
        OutboundFailure::UnsupportedProtocols => RequestError::Held,
        OutboundFailure::Io(e) if e.kind() == std::io::ErrorKind::InvalidData => {
            RequestError::Malformed(e.to_string())
        }
        // As the codec says of what an older number has no field for; nothing was sent.
        OutboundFailure::Io(e) if e.kind() == std::io::ErrorKind::Unsupported => RequestError::Older,
        OutboundFailure::Io(e) => RequestError::Stream(e.to_string()),
    }
}
