//! Catch-up: a new node takes what a coalition has said so far, from three peers.
//!
//! **belfry**: three nodes in this process hold every message. The new one is the real binary in an empty data folder; it
//! connects by itself, compares, fetches pages over loopback TCP or QUIC, has the keys granted, opens and indexes. The clock
//! runs from the first link any of the three has with it. Its own API is asked every few milliseconds:
//!
//! - `messages_per_s`: until every entry is held, that is admitted and durable, opened or not;
//! - `readable_per_s`: until every one is opened and indexed, too. Signatures of entries that a later one vouched for are
//!   checked behind that, and not in the time.
//!
//! Its peak memory is the kernel's word, from the first link to a few seconds into that check.
//!
//! **Ingest** (`ratio_to_ingest`, and `readable_ratio_to_ingest` for the other figure): the same envelopes on the way that gossip
//! takes through a node in this process, one by one as gossipsub hands them on, keys at hand and no network between: what a
//! node makes of gossip at its best, opened and indexed. Rounds alternate. `ratio_to_pages` is to the same envelopes in pages
//! in which none vouches for another, as the benchmark `ingest` measures them.
//!
//! **Gossip over links** (`ratio_to_gossip`), once, at the end: one of the three gossips further messages of the same authors,
//! never more than [`WINDOW`] ahead of what the new node holds; the others and the new node judge, store and forward them.
//! Gossip paces itself by design, so this is what messages take on their usual way, not what a node could bear.
//!
//! Elsewhere those that serve have machines of their own. So the new node has the first half of the cores here, ingest the
//! same, and whoever serves the others. With `--together` everybody has all of them, and the three take their share from the
//! one that is measured; so it is where there is one core. `cpu_us_per_message` tells what each side took.
//!
//! `--growth` does it for 10,000, 100,000 and 500,000 messages, once each: `time_growth` and `memory_growth` are what a message
//! takes and the peak at each step, as multiples of the first step's. Linear time and flat memory are ones.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use belfry_proto::{schema::Role, topic::Topic};
use clap::Args;
use serde_json::{Value, json};

use crate::{
    coalition::{Coalition, Member, SLUG},
    idle,
    ingest::{self, Prepared, Way},
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
/// How long the new node's peak is watched for once all is readable.
const AFTER: Duration = Duration::from_secs(3);
/// Messages gossiped ahead of what the new node holds.
const WINDOW: usize = 256;
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
    /// Messages to gossip over links at the end; 0 for none
    #[arg(long, default_value_t = 2_000)]
    gossip: usize,
    /// Measure 10,000, 100,000 and 500,000 messages once each, to see how time and memory grow
    #[arg(long, conflicts_with_all = ["messages", "rounds"])]
    growth: bool,
    /// The binary [default: `belfry` beside this one]
    #[arg(long)]
    belfry: Option<PathBuf>,
    /// Everybody on all cores
    #[arg(long)]
    together: bool,
    /// Folder for the databases, on the disk to measure [default: the system's temporary folder]
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// One new node's way.
struct Done {
    stored: f64,
    readable: f64,
    /// Of the new node since the first link.
    cpu: f64,
    /// Of this process meanwhile: the three that serve, and the looking.
    holders_cpu: f64,
    peak: u64,
}

/// What one size came to.
struct Step {
    report: Value,
    seconds_per_message: f64,
    peak: u64,
}

#[derive(Clone, Copy)]
struct Load {
    messages: usize,
    authors: usize,
    rounds: usize,
    gossip: usize,
    apart: bool,
}

/// What ingest came to, on one way.
#[derive(Default)]
struct Ingested {
    rates: Vec<f64>,
    cpu: Vec<f64>,
}

impl Ingested {
    fn round(&mut self, prepared: &Prepared, path: &Path, way: Way) -> anyhow::Result<()> {
        let (messages, before) = (prepared.envelopes.len(), machine::cpu_seconds()?);
        self.rates.push(rate(messages, ingest::round(prepared, path, way)?.seconds));
        self.cpu.push(micros(messages, machine::cpu_seconds()? - before));
        machine::clear(path);
        Ok(())
    }
}

pub(crate) fn run(arguments: Arguments, quick: bool) -> anyhow::Result<Value> {
    let Arguments { messages, authors, rounds, gossip, growth, belfry, together, dir } = arguments;
    let apart = !together && machine::cores() > 1;
    let load = match quick {
        true => Load { messages: 600, authors: 5, rounds: 1, gossip: 40, apart },
        false => Load { messages, authors, rounds, gossip, apart },
    };
    let belfry = match belfry {
        Some(path) => path,
        None => std::env::current_exe()?.with_file_name("belfry"),
    };
    ensure!(belfry.exists(), "{}: build it first, or name it with --belfry", belfry.display());
    let dir = dir.unwrap_or_else(std::env::temp_dir);
    if !growth {
        return Ok(measure(&belfry, &dir, load, quick)?.report);
    }
    let steps = GROWTH.map(|messages| {
        let messages = if quick { messages / 1000 } else { messages };
        measure(&belfry, &dir, Load { messages, rounds: 1, gossip: 0, ..load }, quick)
    });
    let steps = steps.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let Some(first) = steps.first() else { anyhow::bail!("no steps") };
    let time = |step: &Step| stats::rounded(step.seconds_per_message / first.seconds_per_message);
    let memory = |step: &Step| stats::rounded(machine::megabytes(step.peak) / machine::megabytes(first.peak));
    Ok(json!({
        "benchmark": "catchup-growth",
        "time_growth": steps.iter().map(time).collect::<Vec<_>>(),
        "memory_growth": steps.iter().map(memory).collect::<Vec<_>>(),
        "steps": steps.into_iter().map(|step| step.report).collect::<Vec<_>>(),
        "machine": machine::facts(quick),
    }))
}

fn measure(belfry: &Path, dir: &Path, load: Load, quick: bool) -> anyhow::Result<Step> {
    let Load { messages, authors, rounds, gossip, apart } = load;
    let mut coalition = Coalition::found()?;
    let newcomer = coalition.admit("Newcomer", Role::Reader)?;
    let holders = (0..HOLDERS)
        .map(|n| coalition.admit(&format!("Holder {n}"), Role::Reader))
        .collect::<anyhow::Result<Vec<_>>>()?;
    say!("sealing {messages} indicators of {authors} authors");
    let mut prepared = Prepared::written(coalition, newcomer.clone(), messages + gossip, authors)?;
    let further = prepared.envelopes.split_off(messages);
    let folder = tempfile::Builder::new().prefix("belfry-bench-").tempdir_in(dir)?;
    for (n, holder) in holders.iter().enumerate() {
        say!("holder {} of {HOLDERS} takes them", n + 1);
        prepared.reader = holder.clone();
        let data_dir = folder.path().join(format!("holder-{n}"));
        std::fs::create_dir_all(&data_dir)?;
        ingest::round(&prepared, &data_dir.join("store"), Way::Pages)?;
    }
    prepared.reader = newcomer.clone();

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let nodes = runtime.block_on(start(&prepared.coalition, &holders, folder.path()))?;
    let (mut stored, mut readable) = (Vec::new(), Vec::new());
    let (mut gossip_way, mut pages) = (Ingested::default(), Ingested::default());
    let (mut peaks, mut gossiped) = (Vec::new(), None);
    let (mut cpu, mut holders_cpu) = (Vec::new(), Vec::new());
    let halves = apart.then(machine::Halves::of_this_machine).transpose()?;
    for round in 1..=rounds {
        for side in 0..3 {
            let place = folder.path().join(format!("round-{round}-{side}"));
            match (side + round) % 3 {
                0 => {
                    let further = if round == rounds { further.as_slice() } else { &[] };
                    if let Some(halves) = &halves {
                        halves.others_for_this_process()?;
                    }
                    let sides = (&prepared, &newcomer, nodes.as_slice());
                    let new = catch_up(sides, (belfry, halves.as_ref()), &place, further);
                    let (done, over_links) = runtime.block_on(new)?;
                    machine::clear(&place);
                    stored.push(rate(messages, done.stored));
                    readable.push(rate(messages, done.readable));
                    peaks.push(done.peak);
                    cpu.push(micros(messages, done.cpu));
                    holders_cpu.push(micros(messages, done.holders_cpu));
                    gossiped = over_links;
                }
                ingest => {
                    if let Some(halves) = &halves {
                        halves.measured_for_this_process()?;
                    }
                    let (ingested, way) = match ingest {
                        1 => (&mut gossip_way, Way::Gossip),
                        _ => (&mut pages, Way::Pages),
                    };
                    ingested.round(&prepared, &place, way)?;
                }
            }
        }
        let last = |values: &[f64]| values.last().copied().unwrap_or_default();
        say!(
            "round {round} of {rounds}: {:.0} messages/s stored, {:.0} readable, ingest of gossip {:.0}, of pages {:.0}",
            last(&stored),
            last(&readable),
            last(&gossip_way.rates),
            last(&pages.rates)
        );
    }
    runtime.block_on(async {
        for node in nodes {
            node.daemon.shutdown().await;
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(30));
    let peak = peaks.iter().copied().max().unwrap_or_default();
    let ratio = |to: f64| stats::rounded(stats::median(&stored) / to);
    let report = json!({
        "benchmark": "catchup",
        "messages_per_s": stats::median(&stored).round(),
        "readable_per_s": stats::median(&readable).round(),
        "ratio_to_ingest": ratio(stats::median(&gossip_way.rates)),
        "readable_ratio_to_ingest": stats::rounded(stats::median(&readable) / stats::median(&gossip_way.rates)),
        "target_ratio_to_ingest_at_least": 1.5,
        "ratio_to_pages": ratio(stats::median(&pages.rates)),
        "ratio_to_gossip": gossiped.map(ratio),
        "peak_rss_mb": machine::megabytes(peak),
        "cpu_us_per_message": {
            "new_node": stats::summary(&cpu),
            "three_holders": stats::summary(&holders_cpu),
            "ingest": stats::summary(&gossip_way.cpu),
            "pages": stats::summary(&pages.cpu),
        },
        "stored_messages_per_s": stats::summary(&stored),
        "readable_messages_per_s": stats::summary(&readable),
        "ingest_messages_per_s": stats::summary(&gossip_way.rates),
        "pages_messages_per_s": stats::summary(&pages.rates),
        "gossip_messages_per_s": gossiped.map(f64::round),
        "messages": messages,
        "authors": authors,
        "holders": HOLDERS,
        "object_bytes": crate::content::INDICATOR,
        "rounds": rounds,
        "apart": apart,
        "machine": machine::facts(quick),
    });
    Ok(Step { report, seconds_per_message: 1.0 / stats::median(&readable), peak })
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

/// Lets a new node catch up, and then takes further messages by gossip: their number a second.
async fn catch_up(
    (prepared, newcomer, nodes): (&Prepared, &Member, &[Node]),
    (belfry, halves): (&Path, Option<&machine::Halves>),
    place: &Path,
    further: &[Vec<u8>],
) -> anyhow::Result<(Done, Option<f64>)> {
    let data_dir = place.join("data");
    std::fs::create_dir_all(place)?;
    idle::join(&prepared.coalition, newcomer, &data_dir)?;
    let mut bootstrap = Vec::new();
    for node in nodes {
        let (key, address) = node.address().await?;
        bootstrap.push(format!("{:?}", address.with_node(&key)));
    }
    let command = halves.map_or_else(|| Command::new(belfry), |halves| halves.measured(belfry));
    let mut process = idle::start(command, &data_dir, &bootstrap.join(", "))?;
    let waiting = Instant::now();
    while !is_linked(nodes, newcomer).await? {
        ensure_runs(&mut process)?;
        ensure!(waiting.elapsed() < DEADLINE, "the new node did not connect");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let begun = Instant::now();
    let id = process.0.id().to_string();
    // Opening the key files took more than all that follows may.
    machine::forget_peak_of(&id)?;
    let (cpu, holders_cpu) = (machine::cpu_seconds_of(&id)?, machine::cpu_seconds()?);
    let (messages, mut stored) = (prepared.envelopes.len(), None);
    let (readable, cpu, holders_cpu) = loop {
        let told = Told::by(&data_dir).await;
        if told.held == messages && stored.is_none() {
            stored = Some(begun.elapsed().as_secs_f64());
        }
        if told.held == messages && told.opened == messages {
            let seconds = begun.elapsed().as_secs_f64();
            break (seconds, machine::cpu_seconds_of(&id)? - cpu, machine::cpu_seconds()? - holders_cpu);
        }
        ensure_runs(&mut process)?;
        ensure!(begun.elapsed() < DEADLINE, "of {messages} messages the new node says {told:?}");
        tokio::time::sleep(LOOK).await;
    };
    tokio::time::sleep(AFTER).await;
    let stored = stored.unwrap_or(readable);
    let done = Done { stored, readable, cpu, holders_cpu, peak: machine::peak(&id)? };
    let gossiped = match further {
        [] => None,
        further => Some(gossip(prepared, nodes, &data_dir, further, &mut process).await?),
    };
    Ok((done, gossiped))
}

/// Gossips these from one holder, a window ahead of what the new node holds.
async fn gossip(
    prepared: &Prepared,
    nodes: &[Node],
    data_dir: &Path,
    further: &[Vec<u8>],
    process: &mut idle::Process,
) -> anyhow::Result<f64> {
    let network = nodes.first().context("no holder")?.daemon.network();
    let topic = Topic::Group(prepared.coalition.group()?);
    let (begun, mut sent) = (Instant::now(), 0);
    loop {
        let came = Told::by(data_dir).await.held.saturating_sub(prepared.envelopes.len());
        if came >= further.len() {
            return Ok(rate(further.len(), begun.elapsed().as_secs_f64()));
        }
        for envelope in further.iter().take(came + WINDOW).skip(sent) {
            network.publish(topic, envelope.clone()).await?;
            sent += 1;
        }
        ensure_runs(process)?;
        ensure!(begun.elapsed() < DEADLINE, "of {} gossiped messages {came} came", further.len());
        tokio::time::sleep(LOOK / 4).await;
    }
}

fn ensure_runs(process: &mut idle::Process) -> anyhow::Result<()> {
    match process.0.try_wait()? {
        None => Ok(()),
        Some(status) => anyhow::bail!("belfry ended with {status}"),
    }
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

/// What the new node says of the group; nothing while it does not answer.
#[derive(Debug, Default)]
struct Told {
    held: usize,
    opened: usize,
}

impl Told {
    async fn by(data_dir: &Path) -> Self {
        let data_dir = data_dir.to_owned();
        let told = tokio::task::spawn_blocking(move || told(&data_dir)).await;
        let Ok(Ok(told)) = told else { return Self::default() };
        let groups = told.get("groups").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let group = groups.iter().find(|group| group.get("slug").and_then(Value::as_str) == Some(SLUG));
        let fact = |name: &str| {
            let fact = group.and_then(|group| group.pointer(name)?.as_u64());
            fact.and_then(|fact| usize::try_from(fact).ok()).unwrap_or_default()
        };
        Self { held: fact("/progress/held"), opened: fact("/progress/opened") }
    }
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

/// Microseconds a message.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn micros(messages: usize, seconds: f64) -> f64 {
    seconds * 1e6 / messages as f64
}
