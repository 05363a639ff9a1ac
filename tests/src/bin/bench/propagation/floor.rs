//! A mesh of gossipsub and nothing else.

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, anyhow, ensure};
use belfry_node::network::GossipSettings;
use belfry_proto::{
    crypto::{
        hash,
        sign::{PublicKey, Purpose},
    },
    envelope::decode,
    id::CoalitionId,
    schema::{self, Role},
    topic::Topic,
};
use futures::StreamExt as _;
use libp2p::{
    Multiaddr, PeerId, Swarm, SwarmBuilder,
    gossipsub::{self, Behaviour, IdentTopic, MessageAcceptance, MessageAuthenticity, MessageId},
    noise,
    swarm::{SwarmEvent, dial_opts::DialOpts},
    tcp, yamux,
};
use prost::Message as _;
use rocksdb::{DB, WriteOptions};
use tokio::sync::{mpsc, oneshot};

use super::{
    DEADLINE, Pace,
    track::{Latency, Track},
};
use crate::{
    coalition::Coalition,
    content::{self, Writer},
};

/// How long the mesh may take to form.
const CONNECT: Duration = Duration::from_secs(120);
/// Calls waiting for a node's task; far more than a round has under way.
const CALLS: usize = 1024;
/// Members that wrote the envelopes.
const AUTHORS: usize = 20;

pub(super) struct Mesh {
    nodes: Vec<Node>,
    track: Arc<Track>,
    messages: Vec<Arc<Vec<u8>>>,
    next: AtomicUsize,
    topic: IdentTopic,
}

struct Node {
    calls: mpsc::Sender<Call>,
    disk: Arc<Disk>,
}

enum Call {
    Dial(PeerId, Multiaddr),
    Publish(Arc<Vec<u8>>),
    Verdict(MessageId, PeerId, MessageAcceptance),
    MeshPeers(oneshot::Sender<usize>),
}

/// Who may have signed, and the database of one node.
struct Disk {
    db: DB,
    coalition: CoalitionId,
    signers: Arc<HashMap<u64, PublicKey>>,
}

impl Disk {
    /// One strict verification.
    fn verify(&self, bytes: &[u8]) -> anyhow::Result<()> {
        let envelope = schema::Envelope::decode(bytes)?;
        let header = schema::Header::decode(envelope.header.as_slice())?;
        let signer = self.signers.get(&header.serial).context("an unknown author")?;
        let len = envelope.body_len.to_be_bytes();
        let parts = [envelope.header.as_slice(), &envelope.body_hash, &len];
        Ok(signer.verify(Purpose::Envelope, self.coalition, &parts, &envelope.signature)?)
    }

    /// One synced write of the same bytes.
    fn write(&self, id: &[u8], bytes: &[u8]) -> anyhow::Result<()> {
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        Ok(self.db.put_opt(id, bytes, &synced)?)
    }
}

impl Mesh {
    /// Starts the nodes, connects them along `edges`, and prepares as many messages as will be sent.
    pub(super) async fn start(
        count: usize,
        edges: &[(usize, usize)],
        folder: &Path,
        messages: usize,
    ) -> anyhow::Result<Self> {
        let mut coalition = Coalition::found()?;
        let members = (0..AUTHORS)
            .map(|n| coalition.admit(&format!("Author {n}"), Role::Publisher))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let (id, group) = (coalition.roster.coalition(), coalition.group()?);
        let mut writers: Vec<Writer<'_>> =
            members.iter().map(|member| Writer::new(member, &coalition.roster, group)).collect();
        let mut prepared = Vec::with_capacity(messages);
        for number in 0..messages {
            let writer = writers.get_mut(number % AUTHORS).context("no author")?;
            let (_, object) = content::indicator(number as u64);
            let bytes = writer.write(&content::payload(object))?;
            decode(&bytes)?;
            prepared.push(Arc::new(bytes));
        }
        let signers = members.iter().map(|m| (m.certificate.serial.get(), m.certificate.signing)).collect();
        let signers: Arc<HashMap<u64, PublicKey>> = Arc::new(signers);

        let topic = IdentTopic::new(Topic::Group(group).wire_name(id));
        let track = Arc::<Track>::default();
        let (mut nodes, mut addresses) = (Vec::new(), Vec::new());
        for n in 0..count {
            let mut options = rocksdb::Options::default();
            options.create_if_missing(true);
            options.set_compression_type(rocksdb::DBCompressionType::None);
            let db = DB::open(&options, folder.join(format!("floor-{n}")))?;
            let disk = Arc::new(Disk { db, coalition: id, signers: Arc::clone(&signers) });
            let (node, address) = start(n, Arc::clone(&disk), &topic, Arc::clone(&track)).await?;
            nodes.push(node);
            addresses.push(address);
        }
        let mesh = Self { nodes, track, messages: prepared, next: AtomicUsize::new(0), topic };
        for (dialler, listener) in edges {
            let (peer, address) = addresses.get(*listener).context("no such node")?.clone();
            mesh.call(*dialler, Call::Dial(peer, address)).await?;
        }
        let grown = async {
            while !mesh.has_grown(edges).await? {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(CONNECT, grown).await.context("no mesh formed")??;
        Ok(mesh)
    }

    /// Mean length of a message.
    pub(super) fn message_bytes(&self) -> usize {
        self.messages.iter().map(|message| message.len()).sum::<usize>() / self.messages.len().max(1)
    }

    async fn call(&self, node: usize, call: Call) -> anyhow::Result<()> {
        let node = self.nodes.get(node).context("no such node")?;
        node.calls.send(call).await.map_err(|_| anyhow!("a node ended"))
    }

    /// Whether every node has gossipsub's least number of mesh peers, or all it has links to.
    async fn has_grown(&self, edges: &[(usize, usize)]) -> anyhow::Result<bool> {
        for node in 0..self.nodes.len() {
            let enough = edges.iter().filter(|(a, b)| *a == node || *b == node).count().min(6);
            let (answer, peers) = oneshot::channel();
            self.call(node, Call::MeshPeers(answer)).await?;
            if peers.await? < enough {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(super) async fn warm_up(&self, settle: Duration) -> anyhow::Result<()> {
        let every = Duration::from_millis(100);
        self.round(Pace { messages: self.nodes.len(), every }).await?;
        let latencies = self.latencies();
        ensure!(latencies.iter().all(Option::is_some), "a first message did not reach every bare node");
        tokio::time::sleep(settle).await;
        Ok(())
    }

    /// Publishes at a pace, each node in turn, and waits for the last arrival.
    pub(super) async fn round(&self, pace: Pace) -> anyhow::Result<()> {
        let mut ticks = tokio::time::interval(pace.every);
        for number in 0..pace.messages {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let message = Arc::clone(self.messages.get(index).context("too few messages prepared")?);
            let id = hash::gossip_id(self.topic.hash().as_str(), &message).to_vec();
            let at = number % self.nodes.len();
            let node = self.nodes.get(at).context("no nodes")?;
            let (disk, calls, track) = (Arc::clone(&node.disk), node.calls.clone(), Arc::clone(&self.track));
            ticks.tick().await;
            self.track.sent(id.clone(), self.nodes.len());
            tokio::spawn(async move {
                let bytes = Arc::clone(&message);
                let written = tokio::task::spawn_blocking(move || {
                    disk.write(&id, &bytes)?;
                    track.arrived(&id, at);
                    anyhow::Ok(())
                });
                match written.await {
                    Ok(Ok(())) => {
                        let _ = calls.send(Call::Publish(message)).await;
                    }
                    other => crate::say!("a bare node could not write: {other:?}"),
                }
            });
        }
        self.track.wait(DEADLINE).await;
        Ok(())
    }

    /// What became of the round's messages.
    pub(super) fn latencies(&self) -> Vec<Option<Latency>> {
        self.track.take()
    }
}

async fn start(
    number: usize,
    disk: Arc<Disk>,
    topic: &IdentTopic,
    track: Arc<Track>,
) -> anyhow::Result<(Node, (PeerId, Multiaddr))> {
    let settings = GossipSettings::new()?;
    let mut gossip: Behaviour =
        Behaviour::new(MessageAuthenticity::Anonymous, settings.config).map_err(|e| anyhow!("{e}"))?;
    gossip.with_peer_score(settings.scores, settings.thresholds).map_err(|e| anyhow!("{e}"))?;
    gossip.set_topic_params(topic.clone(), settings.topic).map_err(|e| anyhow!("{e}"))?;
    gossip.subscribe(topic)?;
    let mut swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)?
        .with_behaviour(|_| gossip)?
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(3600)))
        .build();
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse()?)?;
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            break address;
        }
    };
    let place = (*swarm.local_peer_id(), address);
    let (calls, calls_in) = mpsc::channel(CALLS);
    let validator = Validator { number, disk: Arc::clone(&disk), track, calls: calls.clone() };
    tokio::spawn(drive(swarm, topic.clone(), calls_in, validator));
    Ok((Node { calls, disk }, place))
}

struct Validator {
    number: usize,
    disk: Arc<Disk>,
    track: Arc<Track>,
    calls: mpsc::Sender<Call>,
}

impl Validator {
    /// Verifies and writes on a blocking thread, so that RocksDB can group what comes together.
    fn validate(&self, id: MessageId, from: PeerId, bytes: Vec<u8>) {
        let (number, disk, track) = (self.number, Arc::clone(&self.disk), Arc::clone(&self.track));
        let calls = self.calls.clone();
        tokio::task::spawn_blocking(move || {
            let validated = disk.verify(&bytes).and_then(|()| disk.write(&id.0, &bytes));
            let acceptance = match validated {
                Ok(()) => {
                    track.arrived(&id.0, number);
                    MessageAcceptance::Accept
                }
                Err(error) => {
                    crate::say!("a bare node refused a message: {error}");
                    MessageAcceptance::Ignore
                }
            };
            let _ = calls.blocking_send(Call::Verdict(id, from, acceptance));
        });
    }
}

async fn drive(
    mut swarm: Swarm<Behaviour>,
    topic: IdentTopic,
    mut calls: mpsc::Receiver<Call>,
    validator: Validator,
) {
    loop {
        tokio::select! {
            event = swarm.select_next_some() => {
                if let SwarmEvent::Behaviour(gossipsub::Event::Message { propagation_source, message_id, message }) =
                    event
                {
                    validator.validate(message_id, propagation_source, message.data);
                }
            }
            call = calls.recv() => match call {
                Some(Call::Dial(peer, address)) => {
                    let options = DialOpts::peer_id(peer).addresses(vec![address]).build();
                    if let Err(error) = swarm.dial(options) {
                        crate::say!("a bare node could not dial: {error}");
                    }
                }
                Some(Call::Publish(bytes)) => {
                    if let Err(error) = swarm.behaviour_mut().publish(topic.clone(), bytes.to_vec()) {
                        crate::say!("a bare node could not publish: {error}");
                    }
                }
                Some(Call::Verdict(id, from, acceptance)) => {
                    swarm.behaviour_mut().report_message_validation_result(&id, &from, acceptance);
                }
                Some(Call::MeshPeers(answer)) => {
                    let _ = answer.send(swarm.behaviour().mesh_peers(&topic.hash()).count());
                }
                None => return,
            },
        }
    }
}
