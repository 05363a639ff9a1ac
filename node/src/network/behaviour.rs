//! What this node speaks, and in which order connections are judged.
//!
//! libp2p asks behaviours one after the other for a handler, and a behaviour that has given one is not
//! told when a later one denies the connection. gossipsub and request-response note the connection as
//! soon as they are asked, and would then send into nothing. So those that deny come first: the limits,
//! then the gate, then hello, which never denies. Inside the gate nobody denies. Hello is told by the gate on which side of it
//! the connection is ([`super::side`]), which is the other reason for that order.

use std::sync::Arc;

use libp2p::{
    connection_limits::{self, ConnectionLimits},
    identify,
    identity::Keypair,
    ping, relay as circuit, request_response,
    swarm::NetworkBehaviour,
};

use super::{
    chosen::{Choice, Chosen},
    codec::Codec,
    config::{LobbyLimits, NetworkConfig},
    counters::Counters,
    dressed::Dressed,
    eager::Eager,
    error::StartError,
    gated::Gated,
    gossip::{self, Doorway, Gossipsub},
    limits::{CONNECTIONS_PER_PEER, PENDING_IN, PENDING_OUT, PING},
    listed::Listed,
    punch::{self, Punch},
    quiet::Quiet,
    relay,
    rpc::{Protocol, hello::Hello, keys::Keys, sync::Sync, version},
    side::Side,
};

/// All of it.
pub(super) type Listening = Dressed<Behaviour, Listed>;

/// What everyone may speak, and the gate to the rest.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    limits: connection_limits::Behaviour,
    pub(super) gated: Gated<Inner>,
    pub(super) hello: Dressed<Rpc<Hello>, Quiet>,
}

/// What admitted nodes may speak.
#[derive(NetworkBehaviour)]
pub(super) struct Inner {
    pub(super) gossip: Dressed<Gossipsub, Eager>,
    pub(super) rest: Dressed<Rest, Quiet>,
}

/// What admitted nodes speak now and then.
#[derive(NetworkBehaviour)]
pub(super) struct Rest {
    ping: ping::Behaviour,
    /// Circuits that this node gives.
    pub(super) relay: Chosen<circuit::Behaviour>,
    /// Circuits that others give it.
    pub(super) circuits: Chosen<circuit::client::Behaviour>,
    /// Where relays see this node, for [`Punch`].
    pub(super) seen: Chosen<identify::Behaviour>,
    pub(super) punch: Punch,
    pub(super) keys: Rpc<Keys>,
    pub(super) sync: Rpc<Sync>,
}

pub(super) type Rpc<P> = request_response::Behaviour<Codec<P>>;

impl Behaviour {
    pub(super) fn new(
        config: &NetworkConfig,
        identity: &Keypair,
        doorway: Doorway,
        counters: &Arc<Counters>,
        circuits: circuit::client::Behaviour,
    ) -> Result<Listening, StartError> {
        let own = identity.public().to_peer_id();
        let limits = ConnectionLimits::default()
            .with_max_pending_incoming(Some(PENDING_IN))
            .with_max_pending_outgoing(Some(PENDING_OUT))
            .with_max_established_per_peer(Some(CONNECTIONS_PER_PEER))
            .with_max_established(Some(config.max_connections));
        // Strangers leave at least three quarters of the connections to members.
        let quarter = usize::try_from(config.max_connections / 4).unwrap_or(usize::MAX).max(1);
        // Who and where everyone is, the signed address records say; identify only tells those behind a NAT how it shows
        // them. Every name that a connection listens to costs a little whenever anything happens on it, so ordinary members
        // do not speak it with each other.
        let seen = if config.relay.is_some() { Choice::Everybody } else { Choice::Nobody };
        let side = Side::default();
        let rest = Rest {
            ping: ping::Behaviour::new(ping::Config::new().with_interval(PING)),
            relay: relay::behaviour(own, config.relay, counters),
            // Nobody is known yet to give any.
            circuits: Chosen::new(circuits, Choice::Nobody, counters),
            seen: Chosen::new(punch::seen_by(identity.public()), seen, counters),
            punch: Punch::new(own),
            keys: rpc(counters, &side),
            sync: rpc(counters, &side),
        };
        let inner = Inner {
            gossip: Dressed::new(gossip::behaviour(doorway)?, Eager::default()),
            rest: Dressed::new(rest, Quiet),
        };
        let all = Self {
            limits: connection_limits::Behaviour::new(limits),
            gated: Gated::new(
                inner,
                config.doorstep,
                LobbyLimits { total: config.lobby.total.min(quarter), ..config.lobby },
                side.clone(),
            ),
            hello: Dressed::new(rpc(counters, &side), Quiet),
        };
        Ok(Dressed::new(all, Listed))
    }
}

/// With codecs of the side that `side` tells as handlers are made.
pub(super) fn rpc<P: Protocol>(counters: &Arc<Counters>, side: &Side) -> Rpc<P> {
    request_response::Behaviour::with_codec(
        Codec::new(Arc::clone(counters), side.clone()),
        version::names::<P>().map(|name| (name, request_response::ProtocolSupport::Full)),
        request_response::Config::default()
            .with_request_timeout(P::TIMEOUT)
            .with_max_concurrent_streams(P::STREAMS),
    )
}
