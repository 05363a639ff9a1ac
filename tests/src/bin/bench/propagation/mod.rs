//! Propagation: from handing a bundle to one node until every node of a mesh has it stored.
//!
//! **belfry**: whole nodes as the daemon wires them, in one process, over loopback TCP (Noise, yamux), each with
//! its own store in a real folder, all members of one Focus Group. Bundles of one 1 KiB indicator are published at a steady pace, at each node
//! in turn, over its HTTP API. A message's latency runs from before the request is written until the *last*
//! node has the indicator's row in its store, as a reader of that store sees it: draft made durable, flushed
//! (sealed, signed, made durable), gossiped, judged and forwarded hop by hop, opened, indexed, synced.
//!
//! **The floor**: as many bare gossipsub nodes over the same transports, with belfry's own gossipsub settings and
//! along the very connections belfry's nodes made, at the same pace, carrying real envelopes of the same size.
//! Each node's validator does one strict verification and one synced RocksDB write of the message's bytes, then
//! accepts; the publishing node does its one synced write and publishes. A message's latency runs from handing
//! the bytes to the publishing node until the last node's write has returned.
//!
//! Both meshes stand for the whole run; rounds alternate, and the one that does not measure is idle. Latencies
//! of messages that never arrived count as the deadline, and are told.
//!
//! `--growth` asks something else: how latency and bytes grow with the coalition. Whole nodes over the memory
//! transport, 20, 100 and 200 of them, and a group of 15 among 200; each at a pace that gives the machine the same
//! number of deliveries a second, so that what grows is the mesh, not the load. No floor.

mod belfry;
mod floor;
mod growth;
mod track;

use std::{path::PathBuf, time::Duration};

use clap::Args;
use serde_json::{Value, json};

use self::track::Latency;
use crate::{machine, say, stats};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Nodes of each mesh
    #[arg(long, default_value_t = 20)]
    nodes: usize,
    /// Messages a second over the whole mesh
    #[arg(long, default_value_t = 50)]
    pace: u32,
    /// Seconds that a round publishes
    #[arg(long, default_value_t = 12)]
    seconds: u32,
    /// Rounds of each side
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Measure 20, 100 and 200 nodes over the memory transport, and a group of 15 among 200
    #[arg(long, conflicts_with_all = ["nodes", "pace"])]
    growth: bool,
    /// Folder for the databases, on the disk to measure [default: the system's temporary folder]
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// How long stragglers are waited for after a round's last message.
const DEADLINE: Duration = Duration::from_secs(30);

/// After a mesh stands and was used once: a few gossipsub heartbeats to settle.
const SETTLE: Duration = Duration::from_secs(5);

/// Who takes part, and over what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    nodes: usize,
    /// Of the group that is measured; the other nodes are of another one.
    members: usize,
    memory: bool,
}

/// Pace of one round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    messages: usize,
    every: Duration,
}

pub(crate) fn run(arguments: Arguments, quick: bool) -> anyhow::Result<Value> {
    let Arguments { mut nodes, pace, mut seconds, mut rounds, growth, dir } = arguments;
    if quick {
        (nodes, seconds, rounds) = (5, 1, 2);
    }
    let settle = if quick { SETTLE / 10 } else { SETTLE };
    let dir = dir.unwrap_or_else(std::env::temp_dir);
    if growth {
        return growth::run(&dir, seconds, rounds, quick);
    }
    let folder = tempfile::Builder::new().prefix("belfry-bench-").tempdir_in(dir)?;
    let step =
        Pace { messages: usize::try_from(pace * seconds)?, every: Duration::from_secs(1) / pace.max(1) };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(async {
        say!("starting {nodes} nodes");
        let belfry = belfry::Mesh::start(Shape { nodes, members: nodes, memory: false }, folder.path()).await?;
        let edges = belfry.edges(settle).await?;
        say!("{} links; starting as many bare gossipsub nodes", edges.len());
        let floor = floor::Mesh::start(nodes, &edges, folder.path(), step.messages * (rounds + 2) + nodes).await?;
        say!("warming up");
        belfry.warm_up(settle).await?;
        floor.warm_up(settle).await?;
        // Meshes settle, caches fill, first tables are made: one round of each that nobody counts.
        belfry.round(step).await?;
        belfry.latencies()?;
        floor.round(step).await?;
        floor.latencies();

        let (mut ours, mut bare) = (Side::default(), Side::default());
        for round in 1..=rounds {
            for side in 0..2 {
                let before = machine::cpu_seconds()?;
                if (side + round).is_multiple_of(2) {
                    belfry.round(step).await?;
                    let cpu = machine::cpu_seconds()? - before;
                    ours.add(&belfry.latencies()?, cpu);
                } else {
                    floor.round(step).await?;
                    let cpu = machine::cpu_seconds()? - before;
                    bare.add(&floor.latencies(), cpu);
                }
            }
            let last = |values: &[f64]| values.last().copied().unwrap_or_default();
            say!(
                "round {round} of {rounds}: belfry p50 {:.1} ms p99 {:.1} ms (author {:.1} ms), floor p50 {:.1} ms p99 {:.1} ms; \
                 CPU {:.1} and {:.1} ms a message",
                last(&ours.p50), last(&ours.p99), last(&ours.first), last(&bare.p50), last(&bare.p99), last(&ours.cpu), last(&bare.cpu)
            );
        }
        let report = json!({
            "benchmark": "propagation",
            "p99_ratio": stats::rounded(stats::median(&ours.p99) / stats::median(&bare.p99)),
            "target_p99_ratio_at_most": 1.5,
            "p50_ratio": stats::rounded(stats::median(&ours.p50) / stats::median(&bare.p50)),
            "belfry": ours.report(),
            "floor": bare.report(),
            "nodes": nodes,
            "links": edges.len(),
            "messages_per_s": pace,
            "messages_a_round": step.messages,
            "object_bytes": crate::content::INDICATOR,
            "floor_message_bytes_mean": floor.message_bytes(),
            "rounds": rounds,
            "machine": machine::facts(quick),
        });
        belfry.stop().await;
        anyhow::Ok(report)
    })?;
    runtime.shutdown_timeout(Duration::from_secs(10));
    Ok(report)
}

/// Rounds of one side.
#[derive(Default)]
struct Side {
    first: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    max: Vec<f64>,
    cpu: Vec<f64>,
    incomplete: usize,
}

impl Side {
    #[expect(clippy::cast_precision_loss, reason = "a few hundred messages")]
    fn add(&mut self, latencies: &[Option<Latency>], cpu_seconds: f64) {
        self.cpu.push(cpu_seconds * 1e3 / latencies.len() as f64);
        self.incomplete += latencies.iter().filter(|latency| latency.is_none()).count();
        let late = Latency { first: DEADLINE, last: DEADLINE };
        let millis = |of: fn(Latency) -> Duration| -> Vec<f64> {
            latencies.iter().map(|latency| of(latency.unwrap_or(late)).as_secs_f64() * 1e3).collect()
        };
        self.first.push(stats::percentile(&millis(|latency| latency.first), 0.5));
        let millis = millis(|latency| latency.last);
        self.p50.push(stats::percentile(&millis, 0.5));
        self.p99.push(stats::percentile(&millis, 0.99));
        self.max.push(stats::percentile(&millis, 1.0));
    }

    fn report(&self) -> Value {
        json!({
            "stored_at_author_p50_ms": stats::summary(&self.first),
            "p50_ms": stats::summary(&self.p50),
            "p99_ms": stats::summary(&self.p99),
            "max_ms": stats::summary(&self.max),
            "cpu_ms_per_message_all_nodes": stats::summary(&self.cpu),
            "messages_not_everywhere": self.incomplete,
        })
    }
}
