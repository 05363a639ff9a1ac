//! What can go wrong, by who asked.

use belfry_proto::{crypto::sign::PublicKey, schema::Malformed};
use libp2p::swarm::ListenError;

use super::{address::Address, doorstep::TurnedAway, gated::Denied, lobby::LobbyFull};

/// The network did not start; nothing was left running.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Cannot listen there.
    #[error(
        "cannot listen on {address}: {reason}; is another node running, or is that port of `network.listen` taken?"
    )]
    Listen {
        /// The address asked for.
        address: Address,
        /// The system's reason, as in "address already in use".
        reason: String,
    },
    /// A memory address without the memory transport.
    #[error("{0} is an address for tests")]
    Memory(Address),
    /// The node key makes no transport identity.
    #[error("the node key cannot secure a connection: {0}")]
    Identity(String),
    /// The system's DNS settings were there a moment ago and are not readable now.
    #[error("cannot read the system's resolver settings: {0}")]
    Resolver(String),
    /// A setting of gossipsub contradicts another: a fault in this program.
    #[error("gossip settings contradict each other: {0}")]
    Gossip(String),
}

/// The swarm task has ended, or was replaced during the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the network has stopped")]
pub struct Stopped;

/// How the swarm task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By [`Network::shutdown`](super::Network::shutdown), or because every handle was dropped.
    Asked,
    /// By panics, again and again.
    Panicked,
}

/// A message was not published; it is nowhere but with the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// No connected peer subscribes to the topic. Try again when one does (`Link::Subscribed`).
    #[error("no connected peer subscribes to the topic")]
    NoPeers,
    /// Over the size of a gossip message.
    #[error("a gossip message is at most {limit} bytes, not {len}")]
    TooLarge {
        /// Its size.
        len: usize,
        /// The limit.
        limit: usize,
    },
    /// The same bytes were seen on the topic within the last quarter of an hour.
    #[error("the same message was seen before")]
    Duplicate,
    /// Every subscriber is too slow to take it now.
    #[error("the queues of all {0} subscribers are full")]
    QueueFull(usize),
    /// Gossipsub's own reason; none is known that applies to unsigned, untransformed messages.
    #[error("gossipsub refuses: {0}")]
    Refused(String),
    /// The network has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// A request had no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The key is not in the allowed set, so nothing is asked of it.
    #[error("the node is not an allowed one")]
    NotAllowed,
    /// There is no connection to it.
    #[error("the node is not connected")]
    NotConnected,
    /// It does not speak the protocol on this connection: it keeps us in its lobby.
    #[error("the other node keeps us in its lobby")]
    Held,
    /// It speaks an older number of the protocol, which has no field for this; nothing was sent.
    #[error("the other node speaks an older number of the protocol")]
    Older,
    /// No answer in time; the request may have been carried out.
    #[error("no answer in time")]
    Timeout,
    /// The connection closed first; the request may have been carried out.
    #[error("the connection closed before the answer")]
    Closed,
    /// Too many requests are under way here.
    #[error("too many requests are under way")]
    Busy,
    /// The request is over its size, or breaks a rule of its protocol; it was not sent.
    #[error("not a request to send: {0}")]
    Invalid(Malformed),
    /// The answer is over its size, does not decode, or is not canonical: the peer's fault.
    #[error("not an answer: {0}")]
    Malformed(String),
    /// The stream failed.
    #[error("the stream failed: {0}")]
    Stream(String),
    /// The network has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl RequestError {
    /// One word for metrics.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotAllowed => "not-allowed",
            Self::NotConnected => "not-connected",
            Self::Held => "held",
            Self::Older => "older",
            Self::Timeout => "silent",
            Self::Closed => "closed",
            Self::Busy => "busy",
            Self::Invalid(_) => "invalid",
            Self::Malformed(_) => "malformed",
            Self::Stream(_) => "stream-failed",
            Self::Stopped(_) => "stopped",
        }
    }
}

/// A dial was not even begun.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialRefused {
    /// Only allowed keys are dialled.
    #[error("the node is not an allowed one")]
    NotAllowed,
    /// The key is this node's own.
    #[error("a node does not dial itself")]
    Own,
    /// No address was given.
    #[error("no address to dial")]
    NoAddress,
    /// It is no relay of ours, there is no direct connection with it, or none since it became one.
    #[error("there is no link with the relay over which to ask")]
    NoRelay,
    /// A limit on dials or connections is reached.
    #[error("too many dials or connections: {0}")]
    Limit(String),
    /// The network has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// A dial led nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialFailure {
    /// No address answered; each with its reason.
    #[error("no address answered: {}", tried(.0))]
    Unreachable(Vec<(Address, String)>),
    /// Another node answers there.
    #[error("{address} is another node")]
    WrongNode {
        /// Where.
        address: Address,
        /// The key it proved, if it is of our kind.
        found: Option<Box<PublicKey>>,
    },
    /// The key left the allowed set meanwhile, or a limit was reached.
    #[error("refused here: {0}")]
    Denied(String),
    /// Given up by this node.
    #[error("given up")]
    Aborted,
}

fn tried(addresses: &[(Address, String)]) -> String {
    addresses.iter().map(|(address, reason)| format!("{address}: {reason}")).collect::<Vec<_>>().join("; ")
}

/// One word for why another's connection did not come to be, and what kept its handshake from being begun, if it was not.
pub(super) fn why_refused(error: &ListenError) -> (&'static str, Option<TurnedAway>) {
    let ListenError::Denied { cause } = error else { return ("handshake", None) };
    if let Some(turned_away) = cause.downcast_ref::<TurnedAway>() {
        return (turned_away.code(), Some(*turned_away));
    }
    let code = match (cause.downcast_ref::<LobbyFull>(), cause.downcast_ref::<Denied>()) {
        (Some(LobbyFull::Total(_)), _) => "lobby-full",
        (Some(LobbyFull::Address(_)), _) => "lobby-full-for-address",
        (None, Some(Denied::ForeignKey)) => "foreign-key",
        (None, Some(Denied::NotAllowed)) => "not-allowed",
        (None, Some(Denied::OverCircuit)) => "stranger-over-circuit",
        (None, None) => "too-many-connections",
    };
    (code, None)
}
