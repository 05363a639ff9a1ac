//! How bytes travel: QUIC, or TCP with Noise and yamux; names resolved by the system's DNS.
//!
//! Both prove the node key in the handshake. Dials prefer QUIC and race TCP behind it. A circuit over a third node is one more
//! transport, with a handshake of its own inside.

use std::net::{IpAddr, TcpListener};

use libp2p::{
    PeerId, Transport, TransportError,
    core::{
        muxing::StreamMuxerBox,
        transport::{Boxed, MemoryTransport, dummy::DummyTransport},
        upgrade::Version,
    },
    dns,
    identity::Keypair,
    multiaddr::Protocol,
    noise, quic, relay, tcp, yamux,
};
use tracing::warn;

use super::{
    address::Address,
    apart::Apart,
    error::StartError,
    limits::{HANDSHAKE, STREAMS},
    resting::Resting,
    silence,
};

/// Bytes a QUIC peer may have on the way to us on one stream: a whole reply, so that none needs a second
/// round trip.
const QUIC_STREAM: u32 = 2 * 1024 * 1024;
/// Bytes a QUIC peer may have on the way to us altogether.
const QUIC_CONNECTION: u32 = 8 * 1024 * 1024;

pub(super) type Stack = Boxed<(PeerId, StreamMuxerBox)>;

/// With what asks for circuits over the links that the stack makes.
pub(super) fn build(
    identity: &Keypair,
    memory: bool,
) -> Result<(Stack, relay::client::Behaviour), StartError> {
    let noise = || noise::Config::new(identity).map_err(|e| StartError::Identity(e.to_string()));

    let mut settings = quic::Config::new(identity);
    settings.handshake_timeout = HANDSHAKE;
    settings.max_concurrent_stream_limit = STREAMS;
    settings.max_stream_data = QUIC_STREAM;
    settings.max_connection_data = QUIC_CONNECTION;
    let quic = Apart::new(quic::tokio::Transport::new(settings))
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));

    let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
        .map(|stream, _| silence::bounded(stream))
        .upgrade(Version::V1Lazy)
        .authenticate(noise()?)
        .multiplex(yamux_settings())
        .timeout(HANDSHAKE)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));

    let direct = quic.or_transport(tcp).map(|either, _| either.into_inner()).boxed();
    let stack = if memory {
        let memory = MemoryTransport::default()
            .upgrade(Version::V1Lazy)
            .authenticate(noise()?)
            .multiplex(yamux_settings())
            .timeout(HANDSHAKE)
            .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
        memory.or_transport(direct).map(|either, _| either.into_inner()).boxed()
    } else {
        direct
    };
    let (circuits, client) = relay::client::new(identity.public().to_peer_id());
    let circuits = circuits
        .upgrade(Version::V1Lazy)
        .authenticate(noise()?)
        .multiplex(yamux_settings())
        .timeout(HANDSHAKE)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    // First: the others would take a circuit's address for that of its relay.
    let stack = circuits.or_transport(with_names(stack)?).map(|either, _| either.into_inner());
    let stack = Resting::new(stack).boxed();
    Ok((stack, client))
}

/// Resolves names by the system's resolver; a host without one still reaches every numeric address.
fn with_names(stack: Stack) -> Result<Stack, StartError> {
    // `system` keeps what it is given even when it fails, so it is asked first on nothing.
    let probe = dns::tokio::Transport::system(DummyTransport::<(PeerId, StreamMuxerBox)>::new());
    if let Err(reason) = probe {
        warn!(%reason, "no system resolver: addresses with names cannot be dialled");
        return Ok(stack);
    }
    dns::tokio::Transport::system(stack)
        .map(Transport::boxed)
        .map_err(|reason| StartError::Resolver(reason.to_string()))
}

/// libp2p wraps reasons in reasons; the innermost says what happened.
pub(super) fn innermost(error: &TransportError<std::io::Error>) -> String {
    match error {
        TransportError::MultiaddrNotSupported(_) => "this node does not speak that transport".to_owned(),
        TransportError::Other(error) => innermost_of(error),
    }
}

pub(super) fn innermost_of(error: &std::io::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Refuses a TCP port that another listener holds. libp2p sets `SO_REUSEPORT`, so two nodes of one user
/// would otherwise share a port in silence and each get half of the connections.
pub(super) fn refuse_taken_port(address: &Address) -> std::io::Result<()> {
    let mut parts = address.multiaddr().iter();
    let ip = match parts.next() {
        Some(Protocol::Ip4(ip)) => IpAddr::V4(ip),
        Some(Protocol::Ip6(ip)) => IpAddr::V6(ip),
        _ => return Ok(()),
    };
    match parts.next() {
        Some(Protocol::Tcp(port)) if port != 0 => TcpListener::bind((ip, port)).map(drop),
        _ => Ok(()),
    }
}

fn yamux_settings() -> yamux::Config {
    let mut settings = yamux::Config::default();
    settings.set_max_num_streams(STREAMS as usize);
    settings
}
