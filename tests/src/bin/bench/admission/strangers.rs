//! The strangers, in a process of their own: they knock until their input ends, then print what came of it.
//!
//! Three kinds, each stranger with a loopback address of its own, so that the node takes it for a host of its own. None of them
//! runs a node: they say no more than it takes to cost one.
//!
//! - those who *greet*, over QUIC: each hello shows the certificate of a member, which is not theirs, so that the node has its
//!   signatures to verify. They greet until they are shown out, dial again, and come under a new key now and then.
//! - those who *dial*, over QUIC: a handshake and nothing behind it.
//! - those who *begin*, over TCP: the first message of Noise, which costs them nothing, and gone with the answer.

use std::{
    io::Read as _,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use belfry_proto::schema::{HelloResponse, Refusal, hello_response::Response};
use clap::Args;
use futures::{AsyncReadExt as _, AsyncWriteExt as _, future};
use libp2p::{
    Multiaddr, Transport as _,
    core::{
        Endpoint, StreamMuxer as _,
        transport::{DialOpts, ListenerId, PortUse},
    },
    identity::Keypair,
    quic,
};
use prost::Message as _;
use serde_json::{Value, json};
use tokio::{
    net::TcpSocket,
    time::{error::Elapsed, timeout},
};

/// How long a stranger waits for anything before it tries something else.
const PATIENCE: Duration = Duration::from_secs(2);
/// Visits under one key.
const VISITS: usize = 8;
/// What a dialler says first on TCP, and first on a stream for a hello: the names of multistream-select and of what it wants
/// to speak, each behind its length. The answer repeats them.
const NOISE: &[u8] = b"\x13/multistream/1.0.0\n\x07/noise\n";
const HELLO: &[u8] = b"\x13/multistream/1.0.0\n\x10/belfry/hello/1\n";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Where the node answers over QUIC
    #[arg(long)]
    quic: Multiaddr,
    /// Where it answers over TCP
    #[arg(long)]
    tcp: SocketAddr,
    /// The hello, in hex
    #[arg(long)]
    hello: String,
    /// Strangers that greet
    #[arg(long)]
    greeting: u8,
    /// Strangers that only dial
    #[arg(long)]
    dialling: u8,
    /// Strangers that only begin
    #[arg(long)]
    beginning: u8,
}

/// What came of it.
#[derive(Debug, Default)]
struct Counts {
    dials: AtomicU64,
    /// The node closed before its handshake was done.
    dials_refused: AtomicU64,
    /// It did not say anything in time.
    dials_late: AtomicU64,
    hellos: AtomicU64,
    /// Refused by what they show, which the node looked into.
    hellos_judged: AtomicU64,
    /// Told to come again.
    hellos_busy: AtomicU64,
    /// Answered otherwise.
    hellos_otherwise: AtomicU64,
    /// The node closed instead of an answer.
    hellos_closed: AtomicU64,
    /// It did not answer in time.
    hellos_late: AtomicU64,
}

impl Counts {
    fn rows(&self) -> [(&'static str, &AtomicU64); 9] {
        [
            ("dials", &self.dials),
            ("dials_refused", &self.dials_refused),
            ("dials_late", &self.dials_late),
            ("hellos", &self.hellos),
            ("hellos_judged", &self.hellos_judged),
            ("hellos_busy", &self.hellos_busy),
            ("hellos_otherwise", &self.hellos_otherwise),
            ("hellos_closed", &self.hellos_closed),
            ("hellos_late", &self.hellos_late),
        ]
    }

    fn answered(&self, response: Option<&Response>) -> &AtomicU64 {
        let Some(Response::Refused(code)) = response else { return &self.hellos_otherwise };
        match Refusal::try_from(*code) {
            Ok(Refusal::NotCertified) => &self.hellos_judged,
            Ok(Refusal::Busy) => &self.hellos_busy,
            _ => &self.hellos_otherwise,
        }
    }
}

struct Flood {
    quic: Multiaddr,
    tcp: SocketAddr,
    /// Behind its names and its length.
    hello: Vec<u8>,
    over: AtomicBool,
    counts: Counts,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Value> {
    let hello = hex::decode(&arguments.hello)?;
    let length = u32::try_from(hello.len())?.to_be_bytes();
    let flood = Arc::new(Flood {
        quic: arguments.quic.clone(),
        tcp: arguments.tcp,
        hello: [HELLO, &length, &hello].concat(),
        over: AtomicBool::new(false),
        counts: Counts::default(),
    });
    let until = Arc::clone(&flood);
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        until.over.store(true, Ordering::Relaxed);
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        future::try_join3(
            future::try_join_all((1..=arguments.greeting).map(|n| flood.greet(n))),
            future::try_join_all((1..=arguments.dialling).map(|n| flood.dial(n))),
            future::try_join_all((1..=arguments.beginning).map(|n| flood.begin(n))),
        )
        .await
    })?;
    let rows = flood.counts.rows().into_iter();
    Ok(rows.map(|(name, count)| (name.to_owned(), json!(count.load(Ordering::Relaxed)))).collect())
}

impl Flood {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    async fn greet(&self, n: u8) -> anyhow::Result<()> {
        while !self.is_over() {
            let mut stranger = stranger(&format!("127.1.0.{n}"))?;
            for _ in 0..VISITS {
                let Some(mut connection) = self.shake_hands(&mut stranger).await? else { continue };
                while !self.is_over() {
                    self.counts.hellos.fetch_add(1, Ordering::Relaxed);
                    let answer = timeout(PATIENCE, hello(&mut connection, &self.hello)).await;
                    let (count, is_shown_out) = match &answer {
                        Ok(Ok(answer)) => (self.counts.answered(answer.response.as_ref()), false),
                        Ok(Err(_)) => (&self.counts.hellos_closed, true),
                        Err(_) => (&self.counts.hellos_late, true),
                    };
                    count.fetch_add(1, Ordering::Relaxed);
                    if is_shown_out {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    async fn dial(&self, n: u8) -> anyhow::Result<()> {
        let mut stranger = stranger(&format!("127.2.0.{n}"))?;
        while !self.is_over() {
            self.shake_hands(&mut stranger).await?;
        }
        Ok(())
    }

    async fn shake_hands(
        &self,
        stranger: &mut quic::tokio::Transport,
    ) -> anyhow::Result<Option<quic::Connection>> {
        if self.is_over() {
            return Ok(None);
        }
        // From the address that it listens on.
        let options = DialOpts { role: Endpoint::Dialer, port_use: PortUse::Reuse };
        let dialled = timeout(PATIENCE, stranger.dial(self.quic.clone(), options)?).await;
        self.dialled(&dialled);
        Ok(dialled.ok().and_then(Result::ok).map(|(_, connection)| connection))
    }

    async fn begin(&self, n: u8) -> anyhow::Result<()> {
        let from = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 3, 0, n)), 0);
        while !self.is_over() {
            self.dialled(&timeout(PATIENCE, begin(from, self.tcp)).await);
        }
        Ok(())
    }

    fn dialled<T, E>(&self, dialled: &Result<Result<T, E>, Elapsed>) {
        self.counts.dials.fetch_add(1, Ordering::Relaxed);
        match dialled {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => {
                self.counts.dials_refused.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => {
                self.counts.dials_late.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// A stranger under a new key, at this address.
fn stranger(at: &str) -> anyhow::Result<quic::tokio::Transport> {
    let mut transport = quic::tokio::Transport::new(quic::Config::new(&Keypair::generate_ed25519()));
    transport.listen_on(ListenerId::next(), format!("/ip4/{at}/udp/0/quic-v1").parse()?)?;
    Ok(transport)
}

/// One hello, and its answer, whatever that says.
async fn hello(connection: &mut quic::Connection, hello: &[u8]) -> anyhow::Result<HelloResponse> {
    let mut stream = future::poll_fn(|cx| Pin::new(&mut *connection).poll_outbound(cx)).await?;
    stream.write_all(hello).await?;
    stream.close().await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    // Behind the names comes its length.
    let answer = answer.get(HELLO.len() + 4..).filter(|answer| !answer.is_empty()).context("no answer")?;
    Ok(HelloResponse::decode(answer)?)
}

/// The first message of Noise XX is a public key alone: any 32 bytes. The answer is the listener's key, signed.
async fn begin(from: SocketAddr, to: SocketAddr) -> std::io::Result<()> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let socket = TcpSocket::new_v4()?;
    socket.bind(from)?;
    let mut stream = socket.connect(to).await?;
    stream.write_all(&[NOISE, &[0, 32], &[9; 32]].concat()).await?;
    let mut answer = [0; NOISE.len() + 2];
    stream.read_exact(&mut answer).await.map(|_| ())
}
