//! Below libp2p: whoever can reach the port can do this. Each comes from an address of its own, as strangers would: what one
//! host is turned away for does not spare the node the others.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    time::Duration,
};

use anyhow::Context as _;
use belfry_node::network::{Address, Host};
use rand::{Rng as _, RngExt as _, rngs::StdRng, seq::IndexedRandom as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream, UdpSocket},
    time::timeout,
};

use crate::{Aim, frames};

/// Longest that one attempt listens for an answer.
const LISTEN: Duration = Duration::from_millis(100);
/// Connections that are opened and left standing.
const SILENT: usize = 160;

/// Where an address of the loopback host is.
pub(crate) fn socket(address: &Address) -> anyhow::Result<SocketAddr> {
    let Host::Ip(ip) = address.host() else { anyhow::bail!("{address} names no IP address") };
    let text = address.to_string();
    let port = text.split('/').skip_while(|part| !matches!(*part, "udp" | "tcp")).nth(1);
    Ok(SocketAddr::new(ip, port.context("no port")?.parse()?))
}

/// A free port of the `n`th stranger's address.
const fn of_stranger(n: u8) -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(127, 0, 1, n), 0))
}

async fn connect(from: SocketAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(from)?;
    socket.connect(to).await
}

/// Noise, and handshakes that begin well.
pub(crate) async fn tcp(aim: Aim, n: u8, mut rng: StdRng) -> anyhow::Result<()> {
    let (from, to) = (of_stranger(n), socket(&aim.target.tcp)?);
    while aim.goes_on() {
        let (what, bytes) = if rng.random_bool(0.5) {
            ("tcp noise", noise(&mut rng))
        } else {
            ("tcp half handshake", half_handshake(&mut rng))
        };
        let Ok(mut stream) = connect(from, to).await else { continue };
        let _ = stream.write_all(&bytes).await;
        let mut answer = [0; 512];
        let _ = timeout(LISTEN, stream.read(&mut answer)).await;
        if rng.random_bool(0.3) {
            // Reset instead of an orderly end.
            let _ = stream.set_zero_linger();
        }
        aim.tally.count(what);
    }
    Ok(())
}

fn noise(rng: &mut StdRng) -> Vec<u8> {
    let length = *[0, 1, 2, 20, 300, 70_000].choose(rng).unwrap_or(&1);
    match rng.random_range(0..4) {
        // A length that never ends.
        0 => vec![0xff; length],
        1 => b"GET / HTTP/1.1\r\nHost: belfry\r\n\r\n".to_vec(),
        _ => frames::bytes(rng, length),
    }
}

fn half_handshake(rng: &mut StdRng) -> Vec<u8> {
    let line =
        |text: &str| [&[u8::try_from(text.len() + 1).unwrap_or(u8::MAX)], text.as_bytes(), b"\n"].concat();
    let mut bytes = line("/multistream/1.0.0");
    for _ in 0..rng.random_range(0..4) {
        bytes.extend(match rng.random_range(0..5) {
            0 => line("ls"),
            1 => line("/tls/1.0.0"),
            2 => line("na"),
            // Longer than any line may be, in a varint of two bytes.
            3 => [&[0xff, 0xff, 0x03][..], &frames::bytes(rng, 4000)].concat(),
            _ => line("/noise"),
        });
    }
    if rng.random_bool(0.7) {
        bytes.extend(line("/noise"));
        let length = rng.random_range(0..200_usize);
        let told = if rng.random_bool(0.5) { u16::MAX } else { u16::try_from(length).unwrap_or(u16::MAX) };
        bytes.extend(told.to_be_bytes());
        bytes.extend(frames::bytes(rng, length));
    }
    bytes
}

/// As many connections as it gets, none of which ever says anything.
pub(crate) async fn silence(aim: Aim, n: u8) -> anyhow::Result<()> {
    let (from, to) = (of_stranger(n), socket(&aim.target.tcp)?);
    let mut held: Vec<TcpStream> = Vec::new();
    while aim.goes_on() {
        // Whoever was thrown out comes again.
        held.retain(|stream| !matches!(stream.try_read(&mut [0; 64]), Ok(0)));
        while held.len() < SILENT {
            let Ok(Ok(stream)) = timeout(LISTEN, connect(from, to)).await else { break };
            held.push(stream);
            aim.tally.count("tcp silence");
        }
        tokio::time::sleep(LISTEN).await;
    }
    Ok(())
}

/// Datagrams: noise, and the beginnings of QUIC connections.
pub(crate) async fn udp(aim: Aim, n: u8, mut rng: StdRng) -> anyhow::Result<()> {
    let (from, to) = (of_stranger(n), socket(&aim.target.quic)?);
    let mut socket = UdpSocket::bind(from).await?;
    while aim.goes_on() {
        for _ in 0..50 {
            let (what, bytes) = if rng.random_bool(0.3) {
                let length = rng.random_range(0..1500);
                ("udp noise", frames::bytes(&mut rng, length))
            } else {
                ("udp quic", quic(&mut rng))
            };
            let _ = socket.send_to(&bytes, to).await;
            aim.tally.count(what);
        }
        if rng.random_bool(0.1) {
            socket = UdpSocket::bind(from).await?;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// A long header (RFC 9000 §17.2) that is right as far as it goes, or nearly so.
fn quic(rng: &mut StdRng) -> Vec<u8> {
    let version: u32 = *[1, 0x6b33_43cf, 0xff00_001d, 0x0a0a_0a0a, 0].choose(rng).unwrap_or(&1);
    let mut bytes = vec![0xc0 | rng.random_range(0..64_u8)];
    bytes.extend(version.to_be_bytes());
    for _ in 0..2 {
        let told = *[0, 8, 20, 255].choose(rng).unwrap_or(&8_u8);
        bytes.push(told);
        bytes.extend(frames::bytes(rng, usize::from(told.min(20))));
    }
    // Token length and packet length, as variable-length integers.
    bytes.extend(*[[0, 0x44, 0x9e], [0x3f, 0xff, 0xff], [0xc0, 0xff, 0xff]].choose(rng).unwrap_or(&[0; 3]));
    let length = *[0, 40, 1150, 1400].choose(rng).unwrap_or(&1150);
    let mut rest = vec![0; length];
    rng.fill_bytes(&mut rest);
    bytes.extend(rest);
    bytes
}
