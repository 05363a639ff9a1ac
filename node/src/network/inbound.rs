//! What arrives: gossip to judge, requests to answer, links that come and go.

use std::fmt;

use belfry_proto::{
    crypto::{hash, sign::PublicKey},
    id::{CoalitionId, GossipId},
    schema::{HelloRequest, HelloResponse, KeysRequest, KeysResponse, SyncRequest, SyncResponse},
    topic::Topic,
};
use libp2p::{PeerId, gossipsub::MessageId};
use tokio::sync::{mpsc, oneshot};

use super::{
    address::Address,
    error::DialFailure,
    identity,
    share::{Place, Share},
};

/// Everything that arrives, one receiver per kind; all of them close when the swarm task ends.
///
/// A receiver that is dropped is like one that is never read: gossip is ignored, requests are answered
/// `busy`.
#[derive(Debug)]
pub struct Inbound {
    /// Messages of groups, waiting for their verdict.
    pub gossip: mpsc::Receiver<Gossip>,
    /// Messages on the admin topic. A judge that cannot keep up costs its own topics, not the other's.
    pub admin: mpsc::Receiver<Gossip>,
    /// Hello, from guests in the lobby too.
    pub hello: mpsc::Receiver<Asked<HelloRequest, HelloResponse>>,
    /// Keys, from allowed nodes only.
    pub keys: mpsc::Receiver<Asked<KeysRequest, KeysResponse>>,
    /// Sync, from allowed nodes only.
    pub sync: mpsc::Receiver<Asked<SyncRequest, SyncResponse>>,
    /// Connections and listeners. News, not truth: when nobody takes them they are dropped and counted;
    /// the truth is [`Network::peers`](super::Network::peers).
    pub links: mpsc::Receiver<Link>,
}

/// A message that gossip brought. Its bytes are anyone's: nothing is verified.
#[derive(Debug)]
pub struct Gossip {
    /// The subscribed topic it came on.
    pub topic: Topic,
    /// The node that handed it on, which need not be its author.
    pub from: PublicKey,
    /// Gossipsub's id: hash of topic and bytes.
    pub id: GossipId,
    /// The message.
    pub bytes: Vec<u8>,
    /// To give with the verdict.
    pub ticket: Ticket,
    /// Its forwarder's place in the queue, given back with this.
    #[expect(dead_code, reason = "held, not read")]
    pub(super) place: Place,
}

impl Gossip {
    /// One as gossipsub hands it on, without gossipsub: for measurements. Nobody forwards it, whatever the verdict.
    #[must_use]
    pub fn unforwarded(
        coalition: CoalitionId,
        topic: Topic,
        from: PublicKey,
        bytes: Vec<u8>,
    ) -> Option<Self> {
        let id = hash::gossip_id(&topic.wire_name(coalition), &bytes);
        let ticket = Ticket { message: MessageId::new(id.as_bytes()), forwarder: identity::peer_id(&from) };
        Some(Self { topic, from, id, bytes, ticket, place: Share::default().place(1)? })
    }
}

/// The right to judge one gossip message, once. Dropped unused it lets gossipsub forget the message within
/// fifteen seconds, unforwarded.
pub struct Ticket {
    pub(super) message: MessageId,
    pub(super) forwarder: PeerId,
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({})", self.message)
    }
}

/// A request that waits for an answer.
#[derive(Debug)]
pub struct Asked<Q, A> {
    /// Who asks, proven by the handshake.
    pub from: PublicKey,
    /// Whether on an admitted connection; otherwise it stands in the lobby.
    pub admitted: bool,
    /// The number of its protocol that was agreed on. The answer is written under it, too.
    pub version: u32,
    /// The request, in the newest shape: canonical, within its size, nothing else checked.
    pub request: Q,
    /// Where the answer goes.
    pub reply: Reply<A>,
}

/// Where an answer goes; dropped without one, the asker is told of an internal failure.
#[derive(Debug)]
pub struct Reply<A>(oneshot::Sender<A>);

impl<A> Reply<A> {
    pub(super) fn new(sender: oneshot::Sender<A>) -> Self {
        Self(sender)
    }

    /// One whose answer nobody hears.
    #[cfg(test)]
    pub(crate) fn unheard() -> Self {
        Self(oneshot::channel().0)
    }

    /// One whose answer is heard there.
    #[cfg(test)]
    pub(crate) fn heard() -> (Self, oneshot::Receiver<A>) {
        let (answer, heard) = oneshot::channel();
        (Self(answer), heard)
    }

    /// Answers. Nothing happens if the asker is gone.
    pub fn send(self, answer: A) {
        let _ = self.0.send(answer);
    }

    /// Whether the asker still waits.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        !self.0.is_closed()
    }
}

/// News of connections and listeners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// A connection is open.
    Up {
        /// With whom.
        node: PublicKey,
        /// Whether this side admits it; otherwise it stands in our lobby.
        admitted: bool,
        /// Whether this node dialled.
        outbound: bool,
        /// The other end.
        address: Address,
        /// Other open connections with the same node, on the same side of the gate.
        others: usize,
    },
    /// A connection this node dialled stands in the *other* node's lobby: say hello, then
    /// [`Network::redial`](super::Network::redial).
    Held {
        /// By whom.
        node: PublicKey,
    },
    /// A connection is closed.
    Down {
        /// With whom.
        node: PublicKey,
        /// Whether it was an admitted one.
        admitted: bool,
        /// Connections with the same node that are still open, on the same side of the gate.
        remaining: usize,
    },
    /// A dial led nowhere.
    DialFailed {
        /// Who was to be reached.
        node: PublicKey,
        /// Why not.
        reason: DialFailure,
    },
    /// A connected node subscribed to a topic that this node is subscribed to.
    Subscribed {
        /// Who.
        node: PublicKey,
        /// To what.
        topic: Topic,
    },
    /// A connected node left a topic that this node is subscribed to.
    Unsubscribed {
        /// Who.
        node: PublicKey,
        /// From what.
        topic: Topic,
    },
    /// This node listens there; wild-card addresses come as one per interface, places for circuits as circuits.
    Listening(Address),
    /// This node no longer listens there.
    NotListening(Address),
    /// That node gives no place to be reached by circuits, or does so no longer.
    NoPlace {
        /// Who was asked.
        relay: PublicKey,
    },
    /// The swarm was replaced after a fault: every connection and listening address told before is gone.
    Restarted,
}
