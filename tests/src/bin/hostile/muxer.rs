//! yamux, frame by frame: behind a handshake that is in order, a multiplexer that is not.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use belfry_proto::crypto::sign::SigningKey;
use futures::{AsyncReadExt as _, AsyncWriteExt as _, future};
use libp2p::{
    Multiaddr, Transport as _,
    core::{
        Endpoint, Negotiated, StreamMuxer, UpgradeInfo,
        muxing::StreamMuxerEvent,
        transport::{DialOpts, PortUse},
        upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, Version},
    },
    noise, tcp,
};
use rand::{RngExt as _, rngs::StdRng, seq::IndexedRandom as _};
use tokio::time::timeout;

use crate::{Aim, frames, streams};

/// After a dial that was turned away.
const REST: Duration = Duration::from_millis(200);
/// Longest that one connection lasts.
const PATIENCE: Duration = Duration::from_secs(3);

/// Says that it speaks yamux, and hands out the bare connection.
#[derive(Clone, Copy, Debug)]
struct Bare;

impl UpgradeInfo for Bare {
    type Info = &'static str;
    type InfoIter = std::iter::Once<&'static str>;

    fn protocol_info(&self) -> Self::InfoIter {
        std::iter::once("/yamux/1.0.0")
    }
}

impl<C> InboundConnectionUpgrade<Negotiated<C>> for Bare {
    type Output = Connection<C>;
    type Error = Infallible;
    type Future = future::Ready<Result<Connection<C>, Infallible>>;

    fn upgrade_inbound(self, io: Negotiated<C>, _: &'static str) -> Self::Future {
        future::ok(Connection(io))
    }
}

impl<C> OutboundConnectionUpgrade<Negotiated<C>> for Bare {
    type Output = Connection<C>;
    type Error = Infallible;
    type Future = future::Ready<Result<Connection<C>, Infallible>>;

    fn upgrade_outbound(self, io: Negotiated<C>, _: &'static str) -> Self::Future {
        future::ok(Connection(io))
    }
}

/// Multiplexes nothing.
struct Connection<C>(Negotiated<C>);

impl<C: futures::AsyncRead + futures::AsyncWrite + Unpin> StreamMuxer for Connection<C> {
    type Substream = Negotiated<C>;
    type Error = std::io::Error;

    fn poll_inbound(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<Self::Substream, Self::Error>> {
        Poll::Pending
    }

    fn poll_outbound(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        Poll::Pending
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
        Poll::Pending
    }
}

/// One connection after the other under this node key, counted as `what`.
pub(crate) async fn attack(
    aim: Aim,
    key: SigningKey,
    what: &'static str,
    mut rng: StdRng,
) -> anyhow::Result<()> {
    let identity = streams::keypair(&key)?;
    let address: Multiaddr = aim.target.tcp.to_string().parse()?;
    let mut transport = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
        .upgrade(Version::V1)
        .authenticate(noise::Config::new(&identity)?)
        .multiplex(Bare);
    while aim.goes_on() {
        let options = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };
        let Ok(dial) = transport.dial(address.clone(), options) else { continue };
        let Ok(Ok((_, Connection(io)))) = timeout(PATIENCE, dial).await else {
            // Turned away. Members come from the same address, and find the door shut by who knocks without end.
            tokio::time::sleep(REST).await;
            continue;
        };
        let (mut reading, mut writing) = io.split();
        let writes = async {
            for _ in 0..rng.random_range(1..400) {
                let frame = frame(&mut rng);
                if writing.write_all(&frame).await.is_err() {
                    break;
                }
                aim.tally.count(what);
            }
            let _ = writing.flush().await;
        };
        // Whoever does not read has the other side wait; half of the time we do.
        let reads = async {
            let mut heard = [0; 4096];
            while reading.read(&mut heard).await.is_ok_and(|count| count > 0) {}
        };
        let _ = timeout(PATIENCE, future::select(Box::pin(writes), Box::pin(reads))).await;
    }
    Ok(())
}

/// Version, type, flags, stream and length (the yamux specification's header), all within a bit of what they may be.
fn frame(rng: &mut StdRng) -> Vec<u8> {
    let version = if rng.random_bool(0.98) { 0 } else { rng.random() };
    let kind: u8 = if rng.random_bool(0.98) { rng.random_range(0..4) } else { rng.random() };
    let flags: u16 = *[0, 1, 1, 1, 2, 4, 8, 3, 15, u16::MAX].choose(rng).unwrap_or(&1);
    let stream: u32 = *[0, 1, 2, 3, 5, 7, 9, 255, u32::MAX].choose(rng).unwrap_or(&1);
    let stream = if rng.random_bool(0.3) { rng.random_range(0..600) } else { stream };
    let body = match rng.random_range(0..4) {
        0 => {
            let length = rng.random_range(0..2000);
            frames::bytes(rng, length)
        }
        // The beginning of a proper stream.
        1 => b"\x13/multistream/1.0.0\n\x10/belfry/hello/1\n".to_vec(),
        _ => Vec::new(),
    };
    let told = match rng.random_range(0..8) {
        0 => u32::MAX,
        1 => 256 * 1024,
        2 => 1 << 24,
        _ => u32::try_from(body.len()).unwrap_or(u32::MAX),
    };
    let mut out = vec![version, kind];
    out.extend(flags.to_be_bytes());
    out.extend(stream.to_be_bytes());
    out.extend(told.to_be_bytes());
    out.extend(body);
    out
}
