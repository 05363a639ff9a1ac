//! Streams of one protocol on connections that are in order, with whatever bytes on them.

use std::time::Duration;

use anyhow::Context as _;
use belfry_proto::crypto::sign::SigningKey;
use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder, identity::Keypair, noise, request_response, tcp,
    yamux,
};
use rand::{RngExt as _, rngs::StdRng};
use tokio::time::timeout;

use crate::{Aim, frames};

/// Protocols that a member's connection speaks.
pub(crate) const PROTOCOLS: [&str; 8] = [
    "/belfry/hello/1",
    "/belfry/sync/1",
    "/belfry/sync/2",
    "/belfry/keys/1",
    "/meshsub/1.1.0",
    "/ipfs/id/1.0.0",
    "/ipfs/id/push/1.0.0",
    "/ipfs/ping/1.0.0",
];
/// Frames under way at once.
const AT_ONCE: usize = 16;
/// Bytes of an answer that are read.
const ANSWER: u64 = 1 << 20;
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Writes the bytes it is told to, whatever they are, and takes what comes back.
#[derive(Clone, Default)]
struct Raw;

impl request_response::Codec for Raw {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = usize;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> std::io::Result<Vec<u8>>
    where
        T: futures::AsyncRead + Unpin + Send,
    {
        let mut all = Vec::new();
        io.take(ANSWER).read_to_end(&mut all).await?;
        Ok(all)
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> std::io::Result<usize>
    where
        T: futures::AsyncRead + Unpin + Send,
    {
        let mut all = Vec::new();
        io.take(ANSWER).read_to_end(&mut all).await
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        bytes: Vec<u8>,
    ) -> std::io::Result<()>
    where
        T: futures::AsyncWrite + Unpin + Send,
    {
        io.write_all(&bytes).await?;
        io.flush().await
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, _: &mut T, _: usize) -> std::io::Result<()>
    where
        T: futures::AsyncWrite + Unpin + Send,
    {
        Ok(())
    }
}

/// libp2p's identity of a node key.
pub(crate) fn keypair(key: &SigningKey) -> anyhow::Result<Keypair> {
    let mut seed = *key.seed();
    Ok(Keypair::ed25519_from_bytes(&mut seed)?)
}

/// The peer id in an address that names it, and the address without it.
fn peer(aim: &Aim, quic: bool) -> anyhow::Result<(PeerId, Multiaddr)> {
    let address = if quic { &aim.target.quic } else { &aim.target.tcp };
    let node = aim.target.node;
    let whole: Multiaddr = address.with_node(&node).parse()?;
    let peer = whole.iter().find_map(|part| match part {
        libp2p::multiaddr::Protocol::P2p(peer) => Some(peer),
        _ => None,
    });
    Ok((peer.context("no peer id")?, address.to_string().parse()?))
}

/// Frames of `protocol` under this node key, counted as `what`, over QUIC and TCP in turn.
pub(crate) async fn attack(
    aim: Aim,
    key: SigningKey,
    protocol: &'static str,
    what: &'static str,
    mut rng: StdRng,
) -> anyhow::Result<()> {
    let identity = keypair(&key)?;
    let mut quic = false;
    while aim.goes_on() {
        quic = !quic;
        let (peer, address) = peer(&aim, quic)?;
        let mut swarm = swarm(identity.clone(), protocol)?;
        // A few rounds on one connection, if it is left to us; then another.
        for _ in 0..rng.random_range(1..20) {
            if !aim.goes_on() {
                break;
            }
            for _ in 0..AT_ONCE {
                let frame = frames::frame(&mut rng, protocol, aim.coalition, aim.group);
                swarm.behaviour_mut().send_request_with_addresses(&peer, frame, vec![address.clone()]);
            }
            // Some protocols never answer; and whoever waits for all of them keeps nobody busy.
            let _ = timeout(Duration::from_millis(rng.random_range(10..400)), answers(&mut swarm)).await;
            for _ in 0..AT_ONCE {
                aim.tally.count(what);
            }
        }
    }
    Ok(())
}

/// Drives the connection until every frame has an outcome.
async fn answers(swarm: &mut Swarm<request_response::Behaviour<Raw>>) {
    let mut seen = 0;
    while seen < AT_ONCE {
        if let libp2p::swarm::SwarmEvent::Behaviour(
            request_response::Event::Message { .. } | request_response::Event::OutboundFailure { .. },
        ) = swarm.select_next_some().await
        {
            seen += 1;
        }
    }
}

fn swarm(
    identity: Keypair,
    protocol: &'static str,
) -> anyhow::Result<Swarm<request_response::Behaviour<Raw>>> {
    let config = request_response::Config::default().with_request_timeout(PATIENCE);
    let protocols = [(StreamProtocol::new(protocol), request_response::ProtocolSupport::Full)];
    let swarm = SwarmBuilder::with_existing_identity(identity)
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)?
        .with_quic()
        .with_behaviour(|_| request_response::Behaviour::<Raw>::new(protocols, config))?
        .with_swarm_config(|config| config.with_idle_connection_timeout(PATIENCE))
        .build();
    Ok(swarm)
}
