//! A mesh of whole nodes.

use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use belfry_node::{network::Network, store::Store};
use belfry_proto::{schema::Role, topic::Topic};
use tokio::sync::Mutex;

use super::{
    DEADLINE, Pace,
    track::{Latency, Track},
};
use crate::{
    coalition::{Coalition, SLUG},
    content,
    http::Client,
    node::Node,
};

/// How long the nodes may take to find each other.
const CONNECT: Duration = Duration::from_secs(120);

pub(super) struct Mesh {
    nodes: Vec<Node>,
    clients: Vec<Arc<Mutex<Client>>>,
    track: Arc<Track>,
    topic: Topic,
}

impl Mesh {
    pub(super) async fn start(count: usize, folder: &Path) -> anyhow::Result<Self> {
        let mut coalition = Coalition::found()?;
        let members = (0..count)
            .map(|n| coalition.admit_to(&format!("Member {n}"), Role::Publisher, |group| group.slug == SLUG))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let topic = Topic::Group(coalition.group()?);
        let track = Arc::<Track>::default();
        let (mut nodes, mut clients, mut bootstrap): (Vec<Node>, _, Vec<_>) =
            (Vec::new(), Vec::new(), Vec::new());
        for (n, member) in members.iter().enumerate() {
            let node =
                Node::start(&coalition, member, folder.join(format!("node-{n}")), bootstrap.clone()).await?;
            if bootstrap.len() < 2 {
                bootstrap.push(node.address().await?);
            }
            let daemon = &node.daemon;
            tokio::spawn(watch(n, daemon.store().clone(), Arc::clone(&track)));
            clients.push(Arc::new(Mutex::new(node.client().await?)));
            nodes.push(node);
        }
        let mesh = Self { nodes, clients, track, topic };
        let connected = async {
            while !mesh.is_connected().await? {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(CONNECT, connected).await.context("the nodes did not find each other")??;
        Ok(mesh)
    }

    /// Whether every node has links to half of the others, or twice a mesh's degree, on the topic.
    async fn is_connected(&self) -> anyhow::Result<bool> {
        let enough = (self.nodes.len() / 2).clamp(1, 16);
        for node in &self.nodes {
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
        let latencies = self.round(Pace { messages: self.nodes.len(), every }).await?;
        ensure!(latencies.iter().all(Option::is_some), "a first message did not reach every node");
        tokio::time::sleep(settle).await;
        Ok(())
    }

    /// Publishes at a pace, each node in turn, and waits for the last arrival.
    pub(super) async fn round(&self, pace: Pace) -> anyhow::Result<Vec<Option<Latency>>> {
        let mut ticks = tokio::time::interval(pace.every);
        let mut publishing = Vec::with_capacity(pace.messages);
        for number in 0..pace.messages {
            let (id, bundle) = content::bundle(rand::random());
            let client = self.clients.get(number % self.clients.len()).context("no nodes")?;
            let (client, track, nodes) = (Arc::clone(client), Arc::clone(&self.track), self.nodes.len());
            ticks.tick().await;
            track.sent(id.into_bytes(), nodes);
            publishing.push(tokio::spawn(async move { client.lock().await.publish(bundle).await }));
        }
        for published in publishing {
            published.await??;
        }
        Ok(self.track.finish(DEADLINE).await)
    }

    pub(super) async fn stop(self) {
        for node in self.nodes {
            node.daemon.shutdown().await;
        }
    }
}

/// Reads what a node's store newly shows, whenever something new is durable.
async fn watch(node: usize, store: Store, track: Arc<Track>) {
    let mut newest = store.newest();
    let mut last = 0;
    loop {
        loop {
            let Ok(page) = store.feed_after(last, 256) else { return };
            if page.position == last {
                break;
            }
            last = page.position;
            for (_, object) in &page.rows {
                track.arrived(object.id.as_bytes(), node);
            }
        }
        if newest.changed().await.is_err() {
            return;
        }
    }
}
