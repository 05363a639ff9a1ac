//! Idle sync: what two nodes exchange that hold the same, and how long it takes them to find out.
//!
//! Two whole nodes with equal stores: twelve Focus Groups, each author with a log in every group. They are connected over
//! loopback TCP through a forwarder that counts every byte either way, so Noise, yamux and TCP's payload are all in it. Twice
//! for as long: once comparing a frontier with each other as often as they can be made to, once not at all; the difference,
//! by the comparisons their own counters tell, is what one group's comparison costs.
//!
//! `ms_a_round` is a third member's: the time to compare every group with one of them, one after the other, over a
//! connection that stands. `scan_ms` is what reading every message takes instead, from the same store.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use belfry_node::{
    daemon::Tuning,
    network::{self, Address, NetworkConfig},
    store::{Change, EnvelopeRow, MessageState, Owner, Store},
};
use belfry_proto::{
    crypto::sign::PublicKey,
    id::{GroupId, Height, LogId, MessageId, Sequence},
    schema::{PullFrontier, Role, SyncRequest, SyncResponse, sync_request::Request, sync_response::Response},
    time::Timestamp,
};
use clap::Args;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::{
    coalition::{Coalition, Member},
    machine,
    node::Node,
    say, stats,
};

/// Messages stored in one batch.
const BATCH: usize = 256;
/// Between two comparisons, when they are to be counted: as often as the loop lets them be.
const OFTEN: Duration = Duration::from_millis(500);
/// And when not.
const NEVER: Duration = Duration::from_secs(86_400);
/// After the nodes are connected: hellos, address records and the first comparison are over.
const SETTLE: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Messages in each store
    #[arg(long, default_value_t = 1_000_000)]
    messages: usize,
    /// Authors, each with a log in every group
    #[arg(long, default_value_t = 200)]
    authors: usize,
    /// Seconds that bytes are counted, with and without comparisons
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Rounds of all groups that are timed
    #[arg(long, default_value_t = 100)]
    rounds: usize,
    /// Folder for the databases [default: the system's temporary folder]
    #[arg(long)]
    dir: Option<PathBuf>,
}

pub(crate) fn run(arguments: Arguments, quick: bool) -> anyhow::Result<Value> {
    let Arguments { mut messages, mut authors, mut seconds, mut rounds, dir } = arguments;
    let mut settle = SETTLE;
    if quick {
        (messages, authors, seconds, rounds, settle) = (600, 5, 3, 3, SETTLE / 5);
    }
    let mut coalition = Coalition::found()?;
    let [one, other, asker] = ["One", "Other", "Asker"].map(|name| coalition.admit(name, Role::Reader));
    let (one, other, asker) = (one?, other?, asker?);
    let members = (0..authors)
        .map(|n| coalition.admit(&format!("Author {n}"), Role::Publisher))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let folder = tempfile::Builder::new()
        .prefix("belfry-bench-")
        .tempdir_in(dir.unwrap_or_else(std::env::temp_dir))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let place = |name: &str| folder.path().join(name);
    let report = runtime.block_on(async {
        let mut scan = 0.0;
        for (name, member) in [("one", &one), ("other", &other)] {
            say!("{messages} messages into the store of node {name}");
            scan = fill(&coalition, member, &members, messages, &place(name)).await?;
        }
        let groups = one.certificate.groups.len();
        let sides = [(&one, place("one")), (&other, place("other"))];
        let mut passed = Vec::new();
        let mut latencies = Vec::new();
        for interval in [NEVER, OFTEN] {
            let tuning = || Tuning { sync_interval: interval, ..Tuning::default() };
            let [(first, first_dir), (second, second_dir)] = &sides;
            let first = Node::tuned(&coalition, first, first_dir.clone(), Vec::new(), tuning()).await?;
            let (key, address) = first.address().await?;
            let wire = Wire::lay(&address).await?;
            let bootstrap = vec![(key, wire.address.clone())];
            let second = Node::tuned(&coalition, second, second_dir.clone(), bootstrap, tuning()).await?;
            linked(&second, first.key).await?;
            tokio::time::sleep(settle).await;
            let before = (compared(&first).await? + compared(&second).await?, wire.bytes());
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            let after = (compared(&first).await? + compared(&second).await?, wire.bytes());
            linked(&second, first.key).await?;
            passed.push((after.0 - before.0, after.1 - before.1));
            say!("{} comparisons and {} bytes in {seconds} s", after.0 - before.0, after.1 - before.1);
            if interval == NEVER {
                latencies = time(&coalition, &asker, &first, rounds).await?;
            }
            first.daemon.shutdown().await;
            second.daemon.shutdown().await;
        }
        let [(none, quiet), (comparisons, busy)] = passed.as_slice() else { bail!("two runs") };
        ensure!(*none == 0, "frontiers were compared although they should not be");
        ensure!(*comparisons > 0, "no frontier was compared");
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let per_group = (*busy as f64 - *quiet as f64) / *comparisons as f64;
        anyhow::Ok(json!({
            "benchmark": "idle-sync",
            "bytes_per_group": per_group.round(),
            "target_bytes_per_group_below": 1024,
            "ms_a_round": stats::rounded(stats::median(&latencies)),
            "ms_a_round_p99": stats::rounded(stats::percentile(&latencies, 0.99)),
            "scan_ms": stats::rounded(scan),
            "comparisons": comparisons,
            "bytes_with_comparisons": busy,
            "bytes_without": quiet,
            "counted_s": seconds,
            "groups": groups,
            "authors": authors,
            "logs": groups * authors,
            "messages": messages,
            "rounds": rounds,
            "machine": machine::facts(quick),
        }))
    })?;
    runtime.shutdown_timeout(Duration::from_secs(30));
    Ok(report)
}

/// Fills a node's store with bare rows: a frontier says nothing of what an envelope holds. Gives how long reading every
/// message takes, in milliseconds.
async fn fill(
    coalition: &Coalition,
    member: &Member,
    authors: &[Member],
    messages: usize,
    data_dir: &Path,
) -> anyhow::Result<f64> {
    std::fs::create_dir_all(data_dir)?;
    let owner = Owner { coalition: coalition.roster.coalition(), node: member.certificate.node };
    let store = Store::open(&data_dir.join("store"), owner, &member.keys.store)?;
    let groups: Vec<GroupId> = member.certificate.groups.keys().copied().collect();
    let logs: Vec<(GroupId, &Member)> =
        authors.iter().flat_map(|author| groups.iter().map(move |group| (*group, author))).collect();
    let mut pending = None;
    let numbers: Vec<usize> = (0..messages).collect();
    for batch in numbers.chunks(BATCH) {
        let rows = batch.iter().filter_map(|number| row(*number, &logs, coalition.roster.version().height));
        let prepared = rows.map(|row| store.prepare(Change::Envelope(Box::new(row)))).collect();
        let next = store.enqueue(prepared).await?;
        if let Some(before) = pending.replace(next) {
            settled(before).await?;
        }
    }
    if let Some(last) = pending {
        settled(last).await?;
    }
    let (begun, mut found) = (Instant::now(), 0);
    for group in &groups {
        store.each_message(*group, |_| found += 1)?;
    }
    ensure!(found == messages, "{found} of {messages} messages were stored");
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

async fn settled(pending: belfry_node::store::Pending) -> anyhow::Result<()> {
    for done in pending.durable().await? {
        done?;
    }
    Ok(())
}

/// Message `number` of all, dealt out over the logs.
fn row(number: usize, logs: &[(GroupId, &Member)], height: Height) -> Option<EnvelopeRow> {
    let log = number % logs.len();
    let sequence = number / logs.len() + 1;
    let (group, author) = logs.get(log)?;
    let id = |sequence: usize| {
        let mut bytes = [7; 32];
        let number = (log as u64) << 32 | sequence as u64;
        bytes.get_mut(..8)?.copy_from_slice(&number.to_be_bytes());
        Some(MessageId::new(bytes))
    };
    let mut name = [9; 32];
    name.get_mut(..8)?.copy_from_slice(&(log as u64).to_be_bytes());
    let at = Timestamp::from_micros(1_700_000_000_000_000);
    Some(EnvelopeRow {
        group: *group,
        log: LogId::new(name),
        sequence: Sequence::new(sequence as u64),
        id: id(sequence)?,
        prev: if sequence == 1 { MessageId::ZERO } else { id(sequence - 1)? },
        member: author.certificate.member,
        serial: author.certificate.serial,
        created: at,
        received: at,
        key_id: None,
        written_at: height,
        judged_at: height,
        in_closed_log: false,
        is_cut_point: false,
        is_listed: false,
        is_vouched: false,
        opens_later: false,
        bytes: vec![0; 64],
        has_body: true,
        state: MessageState::Closed,
        content: None,
        reason: None,
        withdraws: None,
    })
}

/// Waits until the node is connected through the forwarder; fails if it is by another way.
async fn linked(node: &Node, other: PublicKey) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let peers = node.daemon.network().peers().await?;
        if let Some(peer) = peers.iter().find(|peer| peer.admitted && peer.node == other) {
            ensure!(peer.outbound && peer.addresses.len() == 1, "connected past the forwarder: {peer:?}");
            return Ok(());
        }
        ensure!(begun.elapsed() < Duration::from_secs(60), "the nodes did not connect");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Comparisons that the node has made.
async fn compared(node: &Node) -> anyhow::Result<u64> {
    let told = node.client().await?.get("/api/v1/sync").await?;
    told.pointer("/counters/compared").and_then(Value::as_u64).context("no counter of comparisons")
}

/// Compares every group with a node, one after the other; gives the milliseconds each round took.
async fn time(coalition: &Coalition, asker: &Member, node: &Node, rounds: usize) -> anyhow::Result<Vec<f64>> {
    let id = coalition.roster.coalition();
    let (network, _inbound) = network::start(&NetworkConfig::default(), &asker.keys.node, id)?;
    network.set_allowed(BTreeSet::from([node.key])).await?;
    let (key, address) = node.address().await?;
    network.dial(key, vec![address]).await?;
    let begun = Instant::now();
    while !network.peers().await?.iter().any(|peer| peer.node == key && peer.admitted) {
        ensure!(begun.elapsed() < Duration::from_secs(60), "the asker did not connect");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let groups: Vec<GroupId> = asker.certificate.groups.keys().copied().collect();
    let mut hashes = vec![vec![0; 32]; groups.len()];
    let mut latencies = Vec::new();
    // The first round learns the hashes.
    for round in 0..=rounds {
        let begun = Instant::now();
        for (group, hash) in groups.iter().zip(&mut hashes) {
            let pull = PullFrontier { group: group.get(), hash: hash.clone(), after: Vec::new() };
            let request = SyncRequest { request: Some(Request::Frontier(pull)) };
            let frontier = match network.sync(&key, request).await? {
                SyncResponse { response: Some(Response::Frontier(frontier)) } => frontier,
                other => bail!("a frontier was answered with {other:?}"),
            };
            ensure!(round == 0 || frontier.logs.is_empty(), "not level");
            *hash = frontier.hash;
        }
        if round > 0 {
            latencies.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        // Below the requests that one peer is answered a second.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    network.shutdown().await;
    Ok(latencies)
}

/// A forwarder in front of a node, which counts what passes.
struct Wire {
    address: Address,
    bytes: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Wire {
    async fn lay(to: &Address) -> anyhow::Result<Self> {
        let text = to.to_string();
        let port: u16 = text.rsplit('/').next().context("no port")?.parse().context(text.clone())?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let (address, _) = Address::parse(&format!("/ip4/127.0.0.1/tcp/{}", listener.local_addr()?.port()))?;
        let bytes = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&bytes);
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
                let (near_read, near_write) = near.into_split();
                let (far_read, far_write) = far.into_split();
                tokio::spawn(forward(near_read, far_write, Arc::clone(&counted)));
                tokio::spawn(forward(far_read, near_write, Arc::clone(&counted)));
            }
        });
        Ok(Self { address, bytes, task })
    }

    fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

async fn forward(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    counted: Arc<AtomicU64>,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        counted.fetch_add(length as u64, Ordering::Relaxed);
        let Some(passed) = buffer.get(..length) else { return };
        if to.write_all(passed).await.is_err() {
            return;
        }
    }
}
