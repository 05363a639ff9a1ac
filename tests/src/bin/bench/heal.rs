//! Heal: two halves of a coalition that were apart, each with messages the other lacks, until all nodes hold the same.
//!
//! Whole nodes in this process, all in one group. Apart they are as by a cable that was pulled: each node's network admits
//! its own half only, so every connection across breaks and none comes up. Both halves publish; once each half is level
//! within itself, all admit all again, and the clock runs until every node has the same frontier. How soon links come back
//! (waits between dials have grown to the configured longest) is part of it.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use belfry_proto::{crypto::sign::PublicKey, id::GroupId, schema::Role};
use clap::Args;
use serde_json::{Value, json};

use crate::{
    coalition::{Coalition, SLUG},
    content, machine,
    node::Node,
    say, stats,
};

/// Longest that any step may take.
const DEADLINE: Duration = Duration::from_secs(900);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Nodes in all
    #[arg(long, default_value_t = 20)]
    nodes: usize,
    /// Messages that each half publishes while they are apart
    #[arg(long, default_value_t = 1000)]
    messages: usize,
    /// Times to part and heal
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Folder for the databases, on the disk to measure [default: the system's temporary folder]
    #[arg(long)]
    dir: Option<PathBuf>,
}

pub(crate) fn run(arguments: Arguments, quick: bool) -> anyhow::Result<Value> {
    let Arguments { mut nodes, mut messages, mut rounds, dir } = arguments;
    if quick {
        (nodes, messages, rounds) = (6, 20, 1);
    }
    ensure!(nodes >= 4, "halves need two nodes each");
    let folder = tempfile::Builder::new()
        .prefix("belfry-bench-")
        .tempdir_in(dir.unwrap_or_else(std::env::temp_dir))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (equal, linked) = runtime.block_on(measure(nodes, messages, rounds, folder.path()))?;
    runtime.shutdown_timeout(Duration::from_secs(30));
    Ok(json!({
        "benchmark": "heal",
        "seconds_until_equal": stats::summary(&equal),
        "of_which_until_the_first_link": stats::summary(&linked),
        "nodes": nodes,
        "messages_of_each_half": messages,
        "object_bytes": content::INDICATOR,
        "rounds": rounds,
        "machine": machine::facts(quick),
    }))
}

async fn measure(
    count: usize,
    messages: usize,
    rounds: usize,
    folder: &Path,
) -> anyhow::Result<(Vec<f64>, Vec<f64>)> {
    let mut coalition = Coalition::found()?;
    let group = coalition.group()?;
    let members = (0..count)
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
    }
    let (one, other) = nodes.split_at(count / 2);
    let whole: Vec<&Node> = nodes.iter().collect();
    say!("warming up: everybody publishes once");
    publish(&nodes, count).await?;
    level(&whole, group, count).await?;
    let (mut equal, mut linked, mut held) = (Vec::new(), Vec::new(), count);
    for round in 1..=rounds {
        for half in [one, other] {
            admit(half, &half.iter().collect::<Vec<_>>()).await?;
        }
        until("the halves to part", async || Ok(links(one, other).await? == 0)).await?;
        for half in [one, other] {
            publish(half, messages).await?;
            level(&half.iter().collect::<Vec<_>>(), group, held + messages).await?;
        }
        held += 2 * messages;
        let begun = Instant::now();
        admit(&nodes, &whole).await?;
        until("a link between the halves", async || Ok(links(one, other).await? > 0)).await?;
        linked.push(begun.elapsed().as_secs_f64());
        level(&whole, group, held).await?;
        equal.push(begun.elapsed().as_secs_f64());
        say!(
            "round {round} of {rounds}: equal after {:.2} s, linked after {:.2} s",
            equal.last().copied().unwrap_or_default(),
            linked.last().copied().unwrap_or_default()
        );
    }
    for node in nodes {
        node.daemon.shutdown().await;
    }
    Ok((equal, linked))
}

/// Publishes so many messages, each node in turn, one client a node.
async fn publish(nodes: &[Node], messages: usize) -> anyhow::Result<()> {
    let publishing = nodes.iter().enumerate().map(|(n, node)| async move {
        let mut client = node.client().await?;
        for _ in (n..messages).step_by(nodes.len()) {
            let (_, bundle) = content::bundle(rand::random());
            client.publish(bundle).await?;
        }
        anyhow::Ok(())
    });
    futures::future::try_join_all(publishing).await?;
    Ok(())
}

/// From now on each of `nodes` admits those of `admitted`, and nobody else.
async fn admit(nodes: &[Node], admitted: &[&Node]) -> anyhow::Result<()> {
    let all: BTreeSet<PublicKey> = admitted.iter().map(|node| node.key).collect();
    for node in nodes {
        let mut others = all.clone();
        others.remove(&node.key);
        node.daemon.network().set_allowed(others).await?;
    }
    Ok(())
}

/// Connections between the two sides, as the first one sees them.
async fn links(one: &[Node], other: &[Node]) -> anyhow::Result<usize> {
    let mut links = 0;
    for node in one {
        let peers = node.daemon.network().peers().await?;
        let across = |peer: &&belfry_node::network::PeerView| other.iter().any(|node| node.key == peer.node);
        links += peers.iter().filter(|peer| peer.admitted).filter(across).count();
    }
    Ok(links)
}

/// Waits until all hold `messages`, and the same.
async fn level(nodes: &[&Node], group: GroupId, messages: usize) -> anyhow::Result<()> {
    until("every node to hold the same", async || {
        let frontiers: Vec<_> = nodes.iter().map(|node| node.daemon.store().frontier(group)).collect();
        let first = frontiers.first().context("no nodes")?;
        let held: u64 = first.logs().iter().map(|log| log.height.get()).sum();
        Ok(held == messages as u64 && frontiers.iter().all(|frontier| frontier.hash() == first.hash()))
    })
    .await
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let deadline = Instant::now() + DEADLINE;
    while !holds().await? {
        ensure!(Instant::now() < deadline, "not within {} s: {what}", DEADLINE.as_secs());
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}
