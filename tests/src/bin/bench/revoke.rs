//! Revoke: from the moment a revocation reaches one node until every node refuses whom it names.
//!
//! Whole nodes in this process, all in one group, and beside them some members that are revoked one after the other, a
//! round each. The clock runs from the start of the import of the log file at one node, chosen at random, until the last
//! node follows that log and has no connection with the revoked one.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use belfry_node::clock;
use belfry_proto::{
    schema::{self, RevocationReason, Role},
    trust::{file, statement::Decision},
};
use clap::Args;
use serde_json::{Value, json};

use crate::{
    coalition::{Coalition, SLUG},
    machine,
    node::Node,
    say, stats,
};

/// Longest that a step may take.
const DEADLINE: Duration = Duration::from_secs(300);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(5);

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Nodes that have to refuse
    #[arg(long, default_value_t = 50)]
    nodes: usize,
    /// Members to revoke, one after the other
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Folder for the databases [default: the system's temporary folder]
    #[arg(long)]
    dir: Option<PathBuf>,
}

pub(crate) fn run(arguments: Arguments, quick: bool) -> anyhow::Result<Value> {
    let Arguments { mut nodes, mut rounds, dir } = arguments;
    if quick {
        (nodes, rounds) = (5, 1);
    }
    let folder = tempfile::Builder::new()
        .prefix("belfry-bench-")
        .tempdir_in(dir.unwrap_or_else(std::env::temp_dir))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (all, half) = runtime.block_on(measure(nodes, rounds, folder.path()))?;
    runtime.shutdown_timeout(Duration::from_secs(30));
    Ok(json!({
        "benchmark": "revoke",
        "seconds_until_all_refuse": stats::summary(&all),
        "seconds_until_half_refuse": stats::summary(&half),
        "nodes": nodes,
        "rounds": rounds,
        "machine": machine::facts(quick),
    }))
}

async fn measure(count: usize, rounds: usize, folder: &Path) -> anyhow::Result<(Vec<f64>, Vec<f64>)> {
    let mut coalition = Coalition::found()?;
    let members = (0..count + rounds)
        .map(|n| coalition.admit_to(&format!("Member {n}"), Role::Publisher, |group| group.slug == SLUG))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let (mut nodes, mut bootstrap): (Vec<Node>, Vec<_>) = (Vec::new(), Vec::new());
    for (n, member) in members.iter().enumerate() {
        let node =
            Node::start(&coalition, member, folder.join(format!("node-{n}")), bootstrap.clone()).await?;
        if bootstrap.len() < 4 {
            bootstrap.push(node.address().await?);
        }
        nodes.push(node);
        if n % 10 == 9 {
            say!("{} nodes run", n + 1);
        }
    }
    let (staying, leaving) = nodes.split_at(count);
    let enough = (count / 2).clamp(1, 8);
    let deadline = Instant::now() + DEADLINE;
    for node in &nodes {
        while node.daemon.network().peers().await?.iter().filter(|peer| peer.admitted).count() < enough {
            ensure!(Instant::now() < deadline, "the nodes did not find each other");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    let (mut all, mut half) = (Vec::new(), Vec::new());
    for (round, (member, revoked)) in members.iter().skip(count).zip(leaving).enumerate() {
        let certificate = &member.certificate;
        let now = clock::now().as_micros();
        let revoke = schema::Revoke {
            serial: certificate.serial.get(),
            member: certificate.member.to_vec(),
            reason: RevocationReason::KeyCompromise.into(),
            decided: now,
            effective: now,
            cut: Vec::new(),
        };
        coalition.decide(certificate.member, Decision::Revoke(revoke))?;
        let first = staying.get(rand::random_range(0..count)).context("no nodes")?;
        let mut client = first.client().await?;
        let log = file::write_log(coalition.log());
        let begun = Instant::now();
        let importing = tokio::spawn(async move { client.import(log).await });
        let mut refusing: Vec<f64> = Vec::new();
        let mut waiting: Vec<&Node> = staying.iter().collect();
        while !waiting.is_empty() {
            let mut still = Vec::new();
            for node in waiting {
                if refuses(node, &coalition, revoked).await? {
                    refusing.push(begun.elapsed().as_secs_f64());
                } else {
                    still.push(node);
                }
            }
            waiting = still;
            ensure!(begun.elapsed() < DEADLINE, "{} nodes do not refuse", waiting.len());
            tokio::time::sleep(LOOK).await;
        }
        importing.await??;
        all.push(stats::percentile(&refusing, 1.0));
        half.push(stats::percentile(&refusing, 0.5));
        say!("round {} of {rounds}: all refuse after {:.3} s", round + 1, stats::percentile(&refusing, 1.0));
    }
    for node in nodes {
        node.daemon.shutdown().await;
    }
    Ok((all, half))
}

async fn refuses(node: &Node, coalition: &Coalition, revoked: &Node) -> anyhow::Result<bool> {
    if node.daemon.roster().snapshot().version() != coalition.roster.version() {
        return Ok(false);
    }
    let peers = node.daemon.network().peers().await?;
    Ok(peers.iter().all(|peer| peer.node != revoked.key || !peer.admitted))
}
