//! Catch-up: a new node takes what a coalition has said so far, from three peers.
//!
//! **belfry**: three nodes in this process hold every message. The new one is the real binary in an empty data folder; it
//! connects by itself, compares, fetches pages over loopback TCP or QUIC, has the keys granted, opens and indexes. The clock
//! runs from the first link any of the three has with it until its own API says that it is level: every entry held, none
//! waiting for a key. Its peak memory is the kernel's word.
//!
//! **The gossip path**: the same envelopes through the ingest of a node in this process, keys at hand and no network between,
//! as the benchmark `ingest` measures it: what a node makes of messages that come one by one, at its best. Rounds alternate.
//!
//! Everything shares this machine: the three that serve take their share of it from the one that is measured, which on few
//! cores is most of the difference; `cpu_s_of_the_new_node` tells what it took itself.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use belfry_proto::schema::Role;
use clap::Args;
use serde_json::{Value, json};

use crate::{
    coalition::{Coalition, Member, SLUG},
    idle,
    ingest::{self, Prepared},
    machine,
    node::Node,
    say, stats,
};

/// Nodes that hold everything.
const HOLDERS: usize = 3;
/// Longest that a round may take.
const DEADLINE: Duration = Duration::from_secs(1800);
/// Between two looks at the new node.
const LOOK: Duration = Duration::from_millis(20);
/// Messages of `--growth`.
const GROWTH: [usize; 3] = [10_000, 100_000, 500_000];

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Messages to take
    #[arg(long, default_value_t = 100_000)]
    messages: usize,
    /// Members that wrote them, in turn
    #[arg(long, default_value_t = 100)]
    authors: usize,
    /// Rounds of each side
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Measure 10,000, 100,000 and 500,000 messages once each, to see how time and memory grow
    #[arg(long, conflicts_with_all = ["messages", "rounds"])]
    growth: bool,
    /// The binary [default: `belfry` beside this one]
    #[arg(long)]
    belfry: Option<PathBuf>,
    /// Folder for the databases, on the disk to measure [default: the system's temporary folder]
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// One new node's way.
struct Done {
    seconds: f64,
    cpu_seconds: f64,
    peak: u64,
}

pub(crate) fn run(arguments: Arguments, quick: bool) -> anyhow::Result<Value> {
    let Arguments { mut messages, mut authors, mut rounds, growth, belfry, dir } = arguments;
    if quick {
        (messages, authors, rounds) = (600, 5, 1);
    }
    let belfry = match belfry {
        Some(path) => path,
        None => std::env::current_exe()?.with_file_name("belfry"),
    };
    ensure!(belfry.exists(), "{}: build it first, or name it with --belfry", belfry.display());
    let dir = dir.unwrap_or_else(std::env::temp_dir);
    if !growth {
        return measure(&belfry, &dir, messages, authors, rounds, quick);
    }
    let steps = GROWTH.map(|messages| measure(&belfry, &dir, messages, authors, 1, quick));
    let steps = steps.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    Ok(json!({ "benchmark": "catchup", "growth": steps, "machine": machine::facts(quick) }))
}

fn measure(
    belfry: &Path,
    dir: &Path,
    messages: usize,
    authors: usize,
    rounds: usize,
    quick: bool,
) -> anyhow::Result<Value> {
    let mut coalition = Coalition::found()?;
    let newcomer = coalition.admit("Newcomer", Role::Reader)?;
    let holders = (0..HOLDERS)
        .map(|n| coalition.admit(&format!("Holder {n}"), Role::Reader))
        .collect::<anyhow::Result<Vec<_>>>()?;
    say!("sealing {messages} indicators of {authors} authors");
    let mut prepared = Prepared::written(coalition, newcomer.clone(), messages, authors)?;
    let folder = tempfile::Builder::new().prefix("belfry-bench-").tempdir_in(dir)?;
    for (n, holder) in holders.iter().enumerate() {
        say!("holder {} of {HOLDERS} takes them", n + 1);
        prepared.reader = holder.clone();
        let data_dir = folder.path().join(format!("holder-{n}"));
        std::fs::create_dir_all(&data_dir)?;
        ingest::round(&prepared, &data_dir.join("store"))?;
    }
    prepared.reader = newcomer.clone();

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let nodes = runtime.block_on(start(&prepared.coalition, &holders, folder.path()))?;
    let (mut ours, mut gossip, mut peaks, mut cpu) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 1..=rounds {
        for side in 0..2 {
            if (side + round).is_multiple_of(2) {
                let place = folder.path().join(format!("new-{round}"));
                let done = runtime.block_on(catch_up(&prepared, &newcomer, &nodes, belfry, &place))?;
                machine::clear(&place);
                ours.push(rate(messages, done.seconds));
                peaks.push(done.peak);
                cpu.push(done.cpu_seconds);
            } else {
                let path = folder.path().join(format!("gossip-{round}"));
                gossip.push(rate(messages, ingest::round(&prepared, &path)?.seconds));
                machine::clear(&path);
            }
        }
        let last = |values: &[f64]| values.last().copied().unwrap_or_default();
        say!("round {round} of {rounds}: {:.0} messages/s, gossip path {:.0}", last(&ours), last(&gossip));
    }
    runtime.block_on(async {
        for node in nodes {
            node.daemon.shutdown().await;
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(30));
    Ok(json!({
        "benchmark": "catchup",
        "messages_per_s": stats::median(&ours).round(),
        "ratio_to_ingest": stats::rounded(stats::median(&ours) / stats::median(&gossip)),
        "target_ratio_to_ingest_at_least": 1.5,
        "rss_peak_mb": machine::megabytes(peaks.iter().copied().max().unwrap_or_default()),
        "cpu_s_of_the_new_node": stats::summary(&cpu),
        "catchup_messages_per_s": stats::summary(&ours),
        "gossip_path_messages_per_s": stats::summary(&gossip),
        "messages": messages,
        "authors": authors,
        "holders": HOLDERS,
        "object_bytes": crate::content::INDICATOR,
        "rounds": rounds,
        "machine": machine::facts(quick),
    }))
}

async fn start(coalition: &Coalition, holders: &[Member], folder: &Path) -> anyhow::Result<Vec<Node>> {
    let (mut nodes, mut bootstrap): (Vec<Node>, Vec<_>) = (Vec::new(), Vec::new());
    for (n, holder) in holders.iter().enumerate() {
        let node =
            Node::start(coalition, holder, folder.join(format!("holder-{n}")), bootstrap.clone()).await?;
        bootstrap.push(node.address().await?);
        nodes.push(node);
    }
    Ok(nodes)
}

async fn catch_up(
    prepared: &Prepared,
    newcomer: &Member,
    nodes: &[Node],
    belfry: &Path,
    place: &Path,
) -> anyhow::Result<Done> {
    let data_dir = place.join("data");
    std::fs::create_dir_all(place)?;
    idle::join(&prepared.coalition, newcomer, &data_dir)?;
    let mut bootstrap = Vec::new();
    for node in nodes {
        let (key, address) = node.address().await?;
        bootstrap.push(format!("{:?}", address.with_node(&key)));
    }
    let mut process = idle::start(belfry, &data_dir, &bootstrap.join(", "))?;
    let waiting = Instant::now();
    while !is_linked(nodes, newcomer).await? {
        if let Some(status) = process.0.try_wait()? {
            anyhow::bail!("belfry ended with {status}");
        }
        ensure!(waiting.elapsed() < DEADLINE, "the new node did not connect");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let begun = Instant::now();
    let id = process.0.id().to_string();
    // Opening the key files took more than all that follows may.
    machine::forget_peak_of(&id)?;
    while !is_level(&data_dir, prepared.envelopes.len()).await {
        if let Some(status) = process.0.try_wait()? {
            anyhow::bail!("belfry ended with {status}");
        }
        ensure!(begun.elapsed() < DEADLINE, "the new node did not get level");
        tokio::time::sleep(LOOK).await;
    }
    let seconds = begun.elapsed().as_secs_f64();
    Ok(Done { seconds, cpu_seconds: machine::cpu_seconds_of(&id)?, peak: machine::peak(&id)? })
}

async fn is_linked(nodes: &[Node], newcomer: &Member) -> anyhow::Result<bool> {
    for node in nodes {
        let peers = node.daemon.network().peers().await?;
        if peers.iter().any(|peer| peer.admitted && peer.node == newcomer.certificate.node) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the node says that it holds everything, opened. Not while it does not answer.
async fn is_level(data_dir: &Path, messages: usize) -> bool {
    let data_dir = data_dir.to_owned();
    let told = tokio::task::spawn_blocking(move || told(&data_dir)).await;
    let Ok(Ok(told)) = told else { return false };
    let groups = told.get("groups").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let group = groups.iter().find(|group| group.get("slug").and_then(Value::as_str) == Some(SLUG));
    let fact = |name: &str| group.and_then(|group| group.pointer(&format!("/progress/{name}"))?.as_u64());
    fact("held") == Some(messages as u64) && fact("waiting_for_key") == Some(0)
}

/// `GET /api/v1/sync` through the Unix socket of a node that may still be starting.
fn told(data_dir: &Path) -> anyhow::Result<Value> {
    let token = std::fs::read_to_string(data_dir.join("cli.token"))?;
    let mut socket = UnixStream::connect(data_dir.join("api.sock"))?;
    socket.set_read_timeout(Some(Duration::from_secs(60)))?;
    write!(
        socket,
        "GET /api/v1/sync HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n",
        token.trim()
    )?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").context("an answer without a body")?;
    serde_json::from_str(body).with_context(|| answer.clone())
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn rate(messages: usize, seconds: f64) -> f64 {
    messages as f64 / seconds
}
