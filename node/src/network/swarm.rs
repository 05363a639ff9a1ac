//! The swarm task: it alone owns libp2p's swarm, and talks with the rest of the node over channels.
//!
//! It switches between the swarm, calls of the handle, verdicts and finished replies, and ends when
//! asked or when the last handle is dropped. When it panics, or too many of its connection tasks have,
//! [`super::supervisor`] builds another one on the same channels.

use std::{
    collections::{BTreeSet, HashMap},
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex},
    time::Duration,
};

use belfry_proto::{
    crypto::sign::{PublicKey, SigningKey},
    id::CoalitionId,
    topic::Topic,
};
use futures::{FutureExt, StreamExt};
use libp2p::{
    Multiaddr, PeerId, Swarm,
    core::transport::ListenerId,
    gossipsub::TopicHash,
    swarm::{self, ExternalAddrExpired, FromSwarm, NetworkBehaviour as _, behaviour::ExternalAddrConfirmed},
};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};
use tracing::{Instrument, error, info, info_span, warn};

use super::{
    address::{Address, Scope},
    behaviour::{Behaviour, Listening},
    budget::Budget,
    config::NetworkConfig,
    counters::Counters,
    dials::Dials,
    error::{End, StartError},
    gossip::Doorway,
    handle::{Command, Network, Verdicts},
    identity,
    inbound::{Gossip, Inbound, Link},
    limits::{ADMIN_GOSSIP, ASKED, COMMANDS, GOODBYE, GOSSIP, LINKS, NEGOTIATING, PANICS, VERDICTS},
    rpc::{Asks, Exchange, hello::Hello, keys::Keys, sync::Sync},
    supervisor::{self, Standing},
    traffic::Traffic,
    transport,
    wires::Wires,
};

/// Idle connections stay: links are dialled to be kept, and the gate closes those that should not.
const IDLE: Duration = Duration::from_secs(365 * 24 * 3600);

/// Starts the network in a task of its own; call it within a tokio runtime. Nobody is allowed in until
/// [`Network::set_allowed`].
///
/// # Errors
/// [`StartError`]; nothing is left running.
pub fn start(
    config: &NetworkConfig,
    node_key: &SigningKey,
    coalition: CoalitionId,
) -> Result<(Network, Inbound), StartError> {
    let (counters, traffic): (Arc<Counters>, Arc<Traffic>) = (Arc::default(), Arc::default());
    let (commands, commands_in) = mpsc::channel(COMMANDS);
    let (accepts, accepts_in) = mpsc::channel(VERDICTS);
    let (verdicts, others) = mpsc::channel(VERDICTS);
    let verdicts_in = Verdicts { accepts: accepts_in, others };
    let (gossip, gossip_out) = mpsc::channel(GOSSIP);
    let (admin, admin_out) = mpsc::channel(ADMIN_GOSSIP);
    let (links, links_out) = mpsc::channel(LINKS);
    let (hello, hello_out) = mpsc::channel(ASKED);
    let (keys, keys_out) = mpsc::channel(ASKED);
    let (sync, sync_out) = mpsc::channel(ASKED);
    let parts = Parts {
        config: config.clone(),
        node_key: node_key.clone(),
        coalition,
        counters: Arc::clone(&counters),
        traffic: Arc::clone(&traffic),
        standing: Arc::default(),
        gossip,
        admin,
        links,
        hello,
        keys,
        sync,
    };
    let first = parts.build()?;
    let (ended, end) = watch::channel(None);
    let task = supervisor::run(parts, first, commands_in, verdicts_in).instrument(info_span!("network"));
    tokio::spawn(async move {
        ended.send_replace(Some(task.await));
    });

    let network = Network { node: node_key.public(), commands, accepts, verdicts, counters, traffic, end };
    let inbound = Inbound {
        gossip: gossip_out,
        admin: admin_out,
        hello: hello_out,
        keys: keys_out,
        sync: sync_out,
        links: links_out,
    };
    Ok((network, inbound))
}

/// What a swarm task is made from; outlives every one of them.
pub(super) struct Parts {
    config: NetworkConfig,
    node_key: SigningKey,
    coalition: CoalitionId,
    pub(super) counters: Arc<Counters>,
    traffic: Arc<Traffic>,
    /// What the rest of the node has asked to be so.
    pub(super) standing: Arc<Mutex<Standing>>,
    gossip: mpsc::Sender<Gossip>,
    admin: mpsc::Sender<Gossip>,
    pub(super) links: mpsc::Sender<Link>,
    hello: Asks<Hello>,
    keys: Asks<Keys>,
    sync: Asks<Sync>,
}

impl Parts {
    /// A swarm that listens, lets nobody in and is subscribed to nothing.
    pub(super) fn build(&self) -> Result<Driver, StartError> {
        let (config, counters) = (&self.config, &self.counters);
        let identity = identity::keypair(&self.node_key)?;
        let doorway = Doorway::new(Arc::clone(counters));
        let (stack, circuits) = transport::build(&identity, config.memory)?;
        let behaviour = Behaviour::new(config, &identity, doorway.clone(), counters, circuits)?;
        let settings = swarm::Config::with_executor(executor(counters))
            .with_idle_connection_timeout(IDLE)
            .with_max_negotiating_inbound_streams(NEGOTIATING)
            .with_smart_dial();
        let mut swarm =
            Swarm::new(self.traffic.counted(stack), behaviour, identity.public().to_peer_id(), settings);
        for address in &config.listen {
            if address.scope() == Scope::Memory && !config.memory {
                return Err(StartError::Memory(address.clone()));
            }
            let taken = |reason: String| StartError::Listen { address: address.clone(), reason };
            transport::refuse_taken_port(address).map_err(|e| taken(e.to_string()))?;
            swarm.listen_on(address.multiaddr().clone()).map_err(|e| taken(transport::innermost(&e)))?;
        }
        for address in &config.external {
            swarm.add_external_address(address.multiaddr().clone());
        }
        Ok(Driver {
            node: self.node_key.public(),
            coalition: self.coalition,
            swarm,
            doorway,
            topics: HashMap::new(),
            wires: Wires::default(),
            dialling: Dials::default(),
            again: HashMap::new(),
            budgets: HashMap::new(),
            listening: BTreeSet::new(),
            places: HashMap::new(),
            gives_circuits: config.relay.is_some(),
            hello: Exchange::new(self.hello.clone(), Arc::clone(counters)),
            keys: Exchange::new(self.keys.clone(), Arc::clone(counters)),
            sync: Exchange::new(self.sync.clone(), Arc::clone(counters)),
            gossip: self.gossip.clone(),
            admin: self.admin.clone(),
            links: self.links.clone(),
            standing: Arc::clone(&self.standing),
            panics_before: counters.panics.value(),
            counters: Arc::clone(counters),
        })
    }
}

/// Runs connection tasks, and counts those that panic: libp2p does not notice them.
fn executor(
    counters: &Arc<Counters>,
) -> impl Fn(std::pin::Pin<Box<dyn Future<Output = ()> + Send>>) + Send + use<> {
    let counters = Arc::clone(counters);
    move |task| {
        let counters = Arc::clone(&counters);
        tokio::spawn(async move {
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                counters.panics.more();
                error!("a connection task panicked");
            }
        });
    }
}

/// What the swarm task owns.
pub(super) struct Driver {
    pub(super) node: PublicKey,
    pub(super) coalition: CoalitionId,
    pub(super) swarm: Swarm<Listening>,
    pub(super) doorway: Doorway,
    /// Own subscriptions.
    pub(super) topics: HashMap<TopicHash, Topic>,
    pub(super) wires: Wires,
    pub(super) dialling: Dials,
    /// To dial once the last connection with the peer has closed.
    pub(super) again: HashMap<PeerId, Vec<Address>>,
    pub(super) budgets: HashMap<PeerId, Budget>,
    pub(super) listening: BTreeSet<Address>,
    /// Places asked for or held: with whom, to be reached by circuits over it.
    pub(super) places: HashMap<ListenerId, PublicKey>,
    gives_circuits: bool,
    pub(super) hello: Exchange<Hello>,
    pub(super) keys: Exchange<Keys>,
    pub(super) sync: Exchange<Sync>,
    pub(super) gossip: mpsc::Sender<Gossip>,
    pub(super) admin: mpsc::Sender<Gossip>,
    pub(super) links: mpsc::Sender<Link>,
    pub(super) standing: Arc<Mutex<Standing>>,
    /// Connection tasks that had panicked before this swarm began.
    panics_before: u64,
    pub(super) counters: Arc<Counters>,
}

impl Driver {
    /// Runs until it is asked to end; [`End::Panicked`] if another one should go on.
    pub(super) async fn run(
        mut self,
        commands: &mut mpsc::Receiver<Command>,
        verdicts: &mut Verdicts,
    ) -> End {
        loop {
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_swarm_event(event),
                command = commands.recv() => match command {
                    Some(Command::Shutdown) | None => break,
                    Some(command) => self.on_command(command),
                },
                Some((ticket, verdict)) = verdicts.recv() => self.on_verdict(&ticket, verdict),
                ready = self.hello.next_answer(), if self.hello.is_answering() => {
                    let behaviour = self.swarm.behaviour_mut();
                    if let Some(connection) = ready.grants() {
                        behaviour.gated.granted(connection);
                    }
                    Exchange::reply(&mut behaviour.hello, ready);
                }
                ready = self.keys.next_answer(), if self.keys.is_answering() => {
                    Exchange::reply(&mut self.swarm.behaviour_mut().gated.inner_mut().rest.keys, ready);
                }
                ready = self.sync.next_answer(), if self.sync.is_answering() => {
                    Exchange::reply(&mut self.swarm.behaviour_mut().gated.inner_mut().rest.sync, ready);
                }
            }
            if self.counters.panics.value() - self.panics_before >= PANICS {
                error!("{PANICS} connection tasks have panicked: starting anew");
                return End::Panicked;
            }
        }
        self.say_goodbye().await;
        End::Asked
    }

    /// Closes every connection in good order, for as long as [`GOODBYE`].
    async fn say_goodbye(&mut self) {
        let peers: Vec<PeerId> = self.swarm.connected_peers().copied().collect();
        info!(peers = peers.len(), "closing the network");
        for peer in peers {
            // Gone already is just as well.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        let closed = timeout(GOODBYE, async {
            while self.swarm.connected_peers().next().is_some() {
                self.swarm.select_next_some().await;
            }
        });
        if closed.await.is_err() {
            warn!("connections did not close in time");
        }
    }

    /// Where this node is reached, as it tells those to whom it gives places.
    pub(super) fn reached_at(&mut self, address: &Multiaddr, is_so: bool) {
        if !self.gives_circuits {
            return;
        }
        let relay = self.swarm.behaviour_mut().gated.inner_mut().rest.relay.inner_mut();
        relay.on_swarm_event(if is_so {
            FromSwarm::ExternalAddrConfirmed(ExternalAddrConfirmed { addr: address })
        } else {
            FromSwarm::ExternalAddrExpired(ExternalAddrExpired { addr: address })
        });
    }

    /// Tells membership; news that nobody takes are dropped and counted.
    pub(super) fn tell(&self, link: Link) {
        if self.links.try_send(link).is_err() {
            self.counters.links_dropped.more();
        }
    }
}
