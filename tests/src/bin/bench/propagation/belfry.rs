//! A mesh of whole nodes.

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use belfry_node::network::Network;
use belfry_proto::{schema::Role, topic::Topic};
use tokio::sync::watch;

use super::{
    DEADLINE, Pace, Shape,
    track::{Latency, Track},
};
use crate::{
    coalition::{Coalition, SLUG},
    content,
    http::Client,
    node::{Node, Transport},
};

/// How long the nodes may take to find each other.
const CONNECT: Duration = Duration::from_secs(600);
/// The group of those that are not measured.
const OTHER: &str = "cloud-security";

pub(super) struct Mesh {
    /// Members of the group first; the others are of another one.
    nodes: Vec<Node>,
    clients: Vec<Arc<tokio::sync::Mutex<Client>>>,
    seen: Vec<Arc<Seen>>,
    track: Track,
    topic: Topic,
}

/// When a node's store had which of its feed's numbers. What they stand for is read after the round: reading costs
/// time that a bare node does not spend.
#[derive(Debug)]
struct Seen {
    start: AtomicU64,
    times: Mutex<Vec<(u64, Instant)>>,
}

impl Mesh {
    pub(super) async fn start(shape: Shape, folder: &Path) -> anyhow::Result<Self> {
        let mut coalition = Coalition::found()?;
        let members = (0..shape.nodes)
            .map(|n| {
                let slug = if n < shape.members { SLUG } else { OTHER };
                coalition.admit_to(&format!("Member {n}"), Role::Publisher, |group| group.slug == slug)
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let topic = Topic::Group(coalition.group()?);
        let (mut nodes, mut clients, mut seen, mut bootstrap): (Vec<Node>, _, _, Vec<_>) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (n, member) in members.iter().enumerate() {
            let transport = if shape.memory { Transport::Memory } else { Transport::Tcp };
            let data_dir = folder.join(format!("node-{n}"));
            let node = Node::over(transport, &coalition, member, data_dir, bootstrap.clone()).await?;
            if bootstrap.len() < 2 {
                bootstrap.push(node.address().await?);
            }
            if n >= shape.members {
                nodes.push(node);
                continue;
            }
            let times = Arc::new(Seen { start: AtomicU64::new(0), times: Mutex::default() });
            tokio::spawn(watch(node.daemon.store().newest(), Arc::clone(&times)));
            seen.push(times);
            clients.push(Arc::new(tokio::sync::Mutex::new(node.client().await?)));
            nodes.push(node);
        }
        let mesh = Self { nodes, clients, seen, track: Track::default(), topic };
        let connected = async {
            while !mesh.is_connected().await? {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(CONNECT, connected).await.context("the nodes did not find each other")??;
        Ok(mesh)
    }

    /// Nodes of the group that is measured.
    fn members(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().take(self.seen.len())
    }

    /// Bytes that all nodes' streams carried so far, in and out, before encryption.
    pub(super) fn bytes(&self) -> u64 {
        self.nodes.iter().map(|node| node.daemon.network().traffic().bytes()).sum()
    }

    /// Whether every node has links to half of the others, or twice a mesh's degree, on the topic.
    async fn is_connected(&self) -> anyhow::Result<bool> {
        let enough = (self.seen.len() / 2).clamp(1, 16);
        for node in self.members() {
            let peers = node.daemon.network().peers().await?;
            if peers.iter().filter(|peer| peer.admitted && peer.topics.contains(&self.topic)).count() < enough
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Pairs (dialler, listener) of nodes that are connected.
    pub(super) async fn edges(&self, settle: Duration) -> anyhow::Result<Vec<(usize, usize)>> {
        // Nodes go on dialling for a moment after they have enough.
        tokio::time::sleep(settle).await;
        let numbers: HashMap<_, _> = self.nodes.iter().enumerate().map(|(n, node)| (node.key, n)).collect();
        let mut edges = Vec::new();
        for (n, node) in self.nodes.iter().enumerate() {
            let network: &Network = node.daemon.network();
            for peer in network.peers().await?.iter().filter(|peer| peer.admitted && peer.outbound) {
                let other = *numbers.get(&peer.node).context("a peer that is none of ours")?;
                if !edges.contains(&(other, n)) {
                    edges.push((n, other));
                }
            }
        }
        Ok(edges)
    }

    /// Every node publishes once: content keys are made, pushed and asked for.
    pub(super) async fn warm_up(&self, settle: Duration) -> anyhow::Result<()> {
        let every = Duration::from_millis(100);
        self.round(Pace { messages: self.seen.len(), every }).await?;
        let latencies = self.latencies()?;
        ensure!(latencies.iter().all(Option::is_some), "a first message did not reach every node");
        tokio::time::sleep(settle).await;
        Ok(())
    }

    /// Publishes at a pace, each node in turn, and waits for the last arrival.
    pub(super) async fn round(&self, pace: Pace) -> anyhow::Result<()> {
        for (node, seen) in self.members().zip(&self.seen) {
            seen.start.store(*node.daemon.store().newest().borrow(), Ordering::Relaxed);
            seen.lock().clear();
        }
        let mut ticks = tokio::time::interval(pace.every);
        let mut publishing = Vec::with_capacity(pace.messages);
        for number in 0..pace.messages {
            let (id, bundle) = content::bundle(rand::random());
            let client = self.clients.get(number % self.clients.len()).context("no nodes")?;
            let client = Arc::clone(client);
            ticks.tick().await;
            self.track.sent(id.into_bytes(), self.seen.len());
            publishing.push(tokio::spawn(async move { client.lock().await.publish(bundle).await }));
        }
        for published in publishing {
            published.await??;
        }
        let until = Instant::now() + DEADLINE;
        while Instant::now() < until && self.seen.iter().any(|seen| seen.count() < pace.messages) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// What became of the round's messages, by what the stores show now.
    pub(super) fn latencies(&self) -> anyhow::Result<Vec<Option<Latency>>> {
        for (number, (node, seen)) in self.members().zip(&self.seen).enumerate() {
            let mut last = seen.start.load(Ordering::Relaxed);
            let times = std::mem::take(&mut *seen.lock());
            loop {
                let page = node.daemon.store().feed_after(last, 256)?;
                for (position, object) in &page.rows {
                    let at = times.partition_point(|(newest, _)| newest < position);
                    if let Some((_, at)) = times.get(at) {
                        self.track.arrived_at(object.id.as_bytes(), number, *at);
                    }
                }
                if page.position == last {
                    break;
                }
                last = page.position;
            }
        }
        Ok(self.track.take())
    }

    pub(super) async fn stop(self) {
        for node in self.nodes {
            node.daemon.shutdown().await;
        }
    }
}

impl Seen {
    /// Objects that came since the round began.
    fn count(&self) -> usize {
        let start = self.start.load(Ordering::Relaxed);
        let newest = self.lock().last().map_or(start, |(newest, _)| *newest);
        usize::try_from(newest.saturating_sub(start)).unwrap_or(usize::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(u64, Instant)>> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Notes whenever something new is durable, and a reader would see it.
async fn watch(mut newest: watch::Receiver<u64>, seen: Arc<Seen>) {
    while newest.changed().await.is_ok() {
        let number = *newest.borrow_and_update();
        seen.lock().push((number, Instant::now()));
    }
}
