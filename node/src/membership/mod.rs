//! Who belongs, kept true: the one task that folds the admin log and decides whom the network lets in.
//!
//! ```text
//! hello ─┐                       ┌─▶ store (durable) ─▶ roster (live) ─▶ network (allow-list)
//! gossip ┼─▶ Membership::offer ──┤
//! pull  ─┘                       └─▶ feed: RosterChanged
//! ```
//!
//! Nothing else writes the roster, so "persist the highest head before using it" is one sequence of
//! lines in [`log`]. Conversations with peers run as short tasks of their own and hand their results
//! back as [`Command`]s; the loop never waits for a peer.

mod address;
mod beacon;
mod claims;
mod dialing;
mod gate;
mod greetings;
mod hello;
mod links;
mod log;
mod pulls;
mod targets;
mod voices;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use belfry_proto::{
    crypto::sign::PublicKey,
    id::{CoalitionId, RosterVersion},
    schema::{self, AdminGossip, admin_gossip::Item, decode_canonical},
    topic::Topic,
    trust::roster::Roster,
    verdict::Verdict,
};
use tokio::sync::{mpsc, watch};

use crate::{
    bucket::{Buckets, Rate},
    clock,
    feed::{Feed, Notice},
    identity::Identity,
    network::{Address, Asked, Gossip, Link, Network},
    roster::LiveRoster,
    store::Store,
};

pub use beacon::{Freshness, LogWatch};
pub use dialing::DialLimits;
pub use gate::{Gate, GateTimes};
pub use hello::Hellos;

/// Commands waiting for the loop. Too low ⇒ conversations wait for each other; too high ⇒ pages of the
/// admin log pile up in memory.
const COMMANDS: usize = 64;
/// How often dialling and expiry are looked at.
const TICK: Duration = Duration::from_secs(1);
/// Ticks between two hellos with a random admitted peer, and two offers of our own address.
const REFRESH_TICKS: u64 = 120;
/// Ticks between two looks at who is really connected: news of links may be lost, the network's list is not.
const LOOK_TICKS: u64 = 10;
/// Messages of the admin topic that one peer may forward: a whole coalition's addresses, or a thousand records
/// that were imported somewhere, at once. Each costs a signature or two in the loop that keeps the roster.
const FORWARDED: Rate = Rate { per_second: 32.0, burst: 1024.0 };
/// A loop that stands still this long missed what happened, however short the gate's grace is.
const PAUSE: Duration = Duration::from_secs(30);
/// What a charter costs of it: the log is folded again.
const CHARTER: f64 = 64.0;

/// What the daemon hands the membership task.
pub struct Membership {
    pub(crate) identity: Arc<Identity>,
    pub(crate) store: Store,
    pub(crate) network: Network,
    pub(crate) roster: LiveRoster,
    pub(crate) feed: Feed,
    pub(crate) coalition: CoalitionId,
    pub(crate) hellos: watch::Sender<Hellos>,
    dialing: dialing::Dialing,
    pub(crate) own_addresses: Vec<Address>,
    announced: Vec<Address>,
    commands: (mpsc::Sender<Command>, mpsc::Receiver<Command>),
    greeted: BTreeMap<PublicKey, RosterVersion>,
    greetings: greetings::Greetings,
    /// Peers whose latest answer said that they admit us.
    admits_us: BTreeSet<PublicKey>,
    pulls: pulls::Pulls,
    /// What each peer may still ask.
    asks: Buckets<PublicKey>,
    /// What each peer may still forward.
    forwarded: Buckets<PublicKey>,
    beacons: beacon::Beacons,
    watch: watch::Sender<LogWatch>,
    book: address::Book,
    targets: targets::Targets,
    pulse: gate::Pulse,
    gate: GateTimes,
    topics: BTreeSet<Topic>,
    ticks: u64,
}

/// How this node reaches others, and they it.
#[derive(Debug)]
pub struct Reach {
    /// Addresses with the node key expected there, dialled before any record is known.
    pub bootstrap: Vec<(PublicKey, Address)>,
    /// Addresses others should use; without any, the listening ones are told.
    pub external: Vec<Address>,
    /// Bounds of dialling.
    pub limits: DialLimits,
    /// How long the gate to sealing waits for others.
    pub gate: GateTimes,
}

/// Where the membership task hears from the network.
pub struct Sources {
    /// Hello requests, from admitted and lobby peers alike.
    pub hello: mpsc::Receiver<Asked<schema::HelloRequest, schema::HelloResponse>>,
    /// Messages of the admin topic.
    pub gossip: mpsc::Receiver<Gossip>,
    /// Connections coming and going.
    pub links: mpsc::Receiver<Link>,
}

/// What a conversation brings back to the loop.
pub(crate) enum Command {
    /// Charters and records, oldest first; answered with whether the roster advanced.
    Offer {
        charters: Vec<schema::Signed>,
        records: Vec<schema::Record>,
        /// Tell the coalition what was new: for files, which only we have.
        spread: bool,
        done: tokio::sync::oneshot::Sender<bool>,
    },
    /// A hello was answered.
    Greeted { peer: PublicKey, greeted: schema::Greeted, sent: belfry_proto::time::Timestamp },
    /// A pull that a hello asked for has ended.
    Pulled {
        peer: PublicKey,
        /// How.
        pulled: pulls::Pulled,
    },
    /// A peer showed what it holds of our own logs, or did not.
    Shown { peer: PublicKey, shown: claims::Shown, behind: bool },
    /// A hello was not answered, or refused.
    Ungreeted { peer: PublicKey, refusal: Option<schema::Refusal> },
    /// Address records that a peer holds; none if it did not answer.
    Addresses { peer: PublicKey, records: Option<Vec<schema::Signed>> },
    /// A beacon: answered with whether it was news.
    Beacon {
        beacon: schema::Signed,
        from: Option<PublicKey>,
        done: Option<tokio::sync::oneshot::Sender<bool>>,
    },
    /// A record of a peer whose log does not fit ours.
    Conflict { peer: PublicKey, record: schema::Record },
    /// Somebody noticed that this peer's admin log is ahead of ours.
    Behind { peer: PublicKey },
}

/// Asks membership to look at a peer's admin log; handed to whoever meets a newer roster version.
#[derive(Clone)]
pub struct Behind(mpsc::Sender<Command>);

/// Hands charters and records that came by file to membership.
#[derive(Clone)]
pub struct Import(mpsc::Sender<Command>);

impl Import {
    /// Folds what goes on from our log, makes it durable and tells every peer. False if nothing did.
    pub async fn offer(&self, file: schema::LogFile) -> bool {
        let (done, advanced) = tokio::sync::oneshot::channel();
        let command = Command::Offer { charters: file.charters, records: file.records, spread: true, done };
        self.0.send(command).await.is_ok() && advanced.await.unwrap_or(false)
    }

    /// Takes in a beacon and tells every peer. False if it says nothing new, or does not verify.
    pub async fn beacon(&self, beacon: schema::Signed) -> bool {
        let (done, is_news) = tokio::sync::oneshot::channel();
        let command = Command::Beacon { beacon, from: None, done: Some(done) };
        self.0.send(command).await.is_ok() && is_news.await.unwrap_or(false)
    }
}

impl Behind {
    /// Tells membership that `peer` spoke of a roster ahead of ours. Dropped when the queue is full:
    /// the next message from ahead says so again.
    pub fn notice(&self, peer: PublicKey) {
        let _ = self.0.try_send(Command::Behind { peer });
    }
}

impl Membership {
    /// Takes charge of the roster.
    #[must_use]
    pub fn new(
        identity: Arc<Identity>,
        store: Store,
        network: Network,
        roster: LiveRoster,
        feed: Feed,
        reach: Reach,
    ) -> Self {
        let Reach { bootstrap, external, limits, gate } = reach;
        let book = address::Book::of(&store);
        let coalition = roster.snapshot().coalition();
        Self {
            identity,
            store,
            network,
            roster,
            feed,
            coalition,
            hellos: watch::Sender::new(Hellos::new(gate)),
            dialing: dialing::Dialing::new(bootstrap, !external.is_empty(), limits),
            own_addresses: external,
            announced: Vec::new(),
            commands: mpsc::channel(COMMANDS),
            greeted: BTreeMap::new(),
            greetings: greetings::Greetings::default(),
            admits_us: BTreeSet::new(),
            pulls: pulls::Pulls::default(),
            asks: Buckets::new(hello::ASKS),
            forwarded: Buckets::new(FORWARDED),
            beacons: beacon::Beacons::default(),
            watch: watch::Sender::new(LogWatch::default()),
            book,
            targets: targets::Targets::default(),
            pulse: gate::Pulse::default(),
            gate,
            topics: BTreeSet::new(),
            ticks: 0,
        }
    }

    /// A handle for those who meet newer roster versions.
    #[must_use]
    pub fn behind(&self) -> Behind {
        Behind(self.commands.0.clone())
    }

    /// A handle for log files.
    #[must_use]
    pub fn import(&self) -> Import {
        Import(self.commands.0.clone())
    }

    /// What the hellos told: whether one was answered, our clock, our own logs as others know them.
    #[must_use]
    pub fn hellos(&self) -> watch::Receiver<Hellos> {
        self.hellos.subscribe()
    }

    /// What is known of the admin log's freshness and truth.
    #[must_use]
    pub fn log_watch(&self) -> watch::Receiver<LogWatch> {
        self.watch.subscribe()
    }

    /// Runs until the sources close.
    pub async fn run(mut self, mut sources: Sources) {
        self.restore_watch();
        self.allow().await;
        self.subscribe().await;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(asked) = sources.hello.recv() => self.answer(asked),
                Some(gossip) = sources.gossip.recv() => self.judge(gossip).await,
                link = sources.links.recv() => match link {
                    Some(link) => self.link(link),
                    None => return,
                },
                Some(command) = self.commands.1.recv() => self.command(command).await,
                _ = tick.tick() => self.tick().await,
            }
        }
    }

    fn link(&mut self, link: Link) {
        match link {
            Link::Up { node, admitted, others, outbound, address } => {
                if outbound {
                    self.targets.proved(node, &address);
                }
                if admitted {
                    self.dialing.connected(node, outbound);
                }
                // Beside a connection that stands in its lobby, a new one may be a full one.
                if admitted && (others == 0 || !self.admits_us.contains(&node)) {
                    self.greet(node);
                }
            }
            Link::Held { node } => self.greet(node),
            Link::Down { node, admitted: true, remaining: 0 } => {
                self.dialing.disconnected(node);
                self.gone(node);
            }
            Link::Down { node, admitted: false, remaining: 0 } => {
                self.greeted.remove(&node);
            }
            Link::Listening(address) => self.dialing.listening(address),
            Link::NotListening(address) => self.dialing.not_listening(&address),
            Link::Restarted => {
                for node in self.dialing.forget_links() {
                    self.gone(node);
                }
                self.greeted.clear();
            }
            Link::DialFailed { node, reason } => {
                tracing::debug!(peer = %node, "dial: {reason}");
                let now = tokio::time::Instant::now();
                self.targets.failed(node, &reason, now);
                self.dialing.failed(node, now);
            }
            Link::Down { .. } | Link::Subscribed { .. } | Link::Unsubscribed { .. } => {}
        }
    }

    fn gone(&mut self, node: PublicKey) {
        self.admits_us.remove(&node);
        self.greetings.gone(&node);
        self.hellos.send_modify(|hellos| hellos.left(&node));
        self.feed.notify(Notice::PeerGone(node));
    }

    async fn command(&mut self, command: Command) {
        match command {
            Command::Offer { charters, records, spread, done } => {
                let before = self.roster_now();
                let advanced = self.offer(charters, records).await;
                if advanced && spread {
                    self.spread(&before).await;
                }
                let _ = done.send(advanced);
            }
            Command::Greeted { peer, greeted, sent } => self.greeted(peer, &greeted, sent),
            Command::Behind { peer } => {
                self.pull(peer);
            }
            Command::Pulled { peer, pulled } => {
                self.pulls.end(&peer, pulled, tokio::time::Instant::now());
                match pulled {
                    // Level now: the next hello says so and makes the peer ready.
                    pulls::Pulled::Advanced => self.greet(peer),
                    // A peer that promised more than it has is taken as it is. (Or somebody else was faster.)
                    pulls::Pulled::Nothing => {
                        // It may have what does not go on from ours.
                        self.fetch_conflict(peer, self.roster_now().version().height);
                        self.grown();
                        self.ready(peer);
                    }
                    pulls::Pulled::Failed => self.greet_later(peer),
                }
            }
            Command::Beacon { beacon, from, done } => {
                let is_news = self.judge_beacon(beacon.clone(), from).await == Verdict::Accept;
                if is_news {
                    self.spread_beacon(beacon).await;
                }
                if let Some(done) = done {
                    let _ = done.send(is_news);
                }
            }
            Command::Conflict { peer, record } => self.conflict(peer, record).await,
            Command::Shown { peer, shown, behind } => self.shown(peer, shown, behind),
            Command::Ungreeted { peer, refusal } => self.ungreeted(peer, refusal),
            Command::Addresses { peer, records } => self.addresses_told(peer, records).await,
        }
    }

    async fn judge(&mut self, gossip: Gossip) {
        let verdict = match decode_canonical::<AdminGossip>(
            "AdminGossip",
            &gossip.bytes,
            belfry_proto::limits::MAX_TRANSMIT,
        ) {
            Err(malformed) => {
                tracing::debug!(peer = %gossip.from, "admin gossip: {malformed}");
                Verdict::Reject
            }
            Ok(AdminGossip { item: Some(item) }) => self.judge_item(item, gossip.from).await,
            Ok(AdminGossip { item: None }) => Verdict::Reject,
        };
        let _ = self.network.verdict(gossip.ticket, verdict).await;
    }

    async fn judge_item(&mut self, item: Item, from: PublicKey) -> Verdict {
        let cost = if matches!(item, Item::Charter(_)) { CHARTER } else { 1.0 };
        if !self.forwarded.take(from, cost, tokio::time::Instant::now()) {
            tracing::debug!(peer = %from, "admin gossip over its forwarder's budget");
            return Verdict::Ignore;
        }
        match item {
            Item::Charter(charter) => self.judge_charter(charter, from).await,
            Item::Record(record) => self.judge_record(record, from).await,
            Item::Address(record) => self.keep_address(&record).await,
            Item::Beacon(beacon) => self.judge_beacon(beacon, Some(from)).await,
        }
    }

    async fn tick(&mut self) {
        self.ticks += 1;
        let now = clock::now();
        if self.pulse.jumped(tokio::time::Instant::now(), now, self.gate.grace.max(PAUSE)) {
            self.time_passed();
        }
        if self.ticks.is_multiple_of(10) {
            // Certificates expire without a log entry.
            self.allow().await;
        }
        if self.ticks.is_multiple_of(LOOK_TICKS) {
            self.look().await;
        }
        self.greet_due();
        if self.ticks.is_multiple_of(REFRESH_TICKS) {
            self.announced.clear();
            self.book.renew();
            if let Some(peer) = self.dialing.random_connected() {
                self.greet(peer);
            }
        }
        let known = self.known_addresses();
        self.seek_addresses(&known);
        let roster = self.roster.snapshot();
        let place = |node: PublicKey| {
            let certificate = roster.by_node(&node)?;
            let groups = certificate.groups.keys().copied().collect();
            Some((node, links::Place { groups, carrier: certificate.carrier }))
        };
        let mut nodes: BTreeMap<PublicKey, links::Place> =
            roster.admitted_nodes(now).into_iter().filter_map(place).collect();
        nodes.remove(&self.identity.node);
        let own = self.identity.kept_groups(&roster);
        let instant = tokio::time::Instant::now();
        for (node, addresses) in self.dialing.due(&nodes, &own, &known, instant) {
            let is_configured = |address: &Address| self.dialing.is_configured(&node, address);
            let addresses = self.targets.draw(node, addresses, is_configured, instant);
            if addresses.is_empty() {
                continue;
            }
            if let Err(error) = self.network.dial(node, addresses).await {
                tracing::debug!(peer = %node, "dial: {error}");
            }
        }
        self.announce_address().await;
    }

    /// Repeats hellos that are to be.
    fn greet_due(&mut self) {
        for peer in self.greetings.due(tokio::time::Instant::now()) {
            if self.dialing.is_connected(&peer) {
                self.greet(peer);
            } else {
                self.greetings.gone(&peer);
            }
        }
    }

    /// The machine was suspended, or its clock set: what others told is of another time.
    fn time_passed(&mut self) {
        tracing::info!("time passed unseen, by one clock at least: greeting everybody again");
        self.hellos.send_modify(|hellos| {
            hellos.company.jumped();
            hellos.voices.forget();
        });
        for peer in self.dialing.connected_now() {
            self.greet(peer);
        }
    }

    /// Compares what links told with who is connected. Events that are still queued only say it once more.
    async fn look(&mut self) {
        let Ok(peers) = self.network.peers().await else { return };
        for peer in peers.iter().filter(|peer| peer.admitted) {
            if !self.dialing.is_connected(&peer.node) {
                self.dialing.connected(peer.node, peer.outbound);
                self.greet(peer.node);
            }
        }
        let here = |node: &PublicKey| peers.iter().any(|peer| peer.node == *node && peer.admitted);
        for node in self.dialing.connected_now().into_iter().filter(|node| !here(node)) {
            self.dialing.disconnected(node);
            self.gone(node);
        }
        self.greeted.retain(|node, _| peers.iter().any(|peer| peer.node == *node && !peer.admitted));
        self.hellos.send_if_modified(|hellos| hellos.voices.age(tokio::time::Instant::now()));
    }

    /// Tells the network who may have the full protocols.
    async fn allow(&self) {
        let mut admitted = self.roster.snapshot().admitted_nodes(clock::now());
        admitted.remove(&self.identity.node);
        if let Err(error) = self.network.set_allowed(admitted).await {
            tracing::error!("the network no longer takes the roster: {error}");
        }
    }

    /// Joins the topics of the groups this node keeps, and leaves those it no longer does.
    async fn subscribe(&mut self) {
        let mut wanted: BTreeSet<Topic> =
            self.identity.kept_groups(&self.roster_now()).into_iter().map(Topic::Group).collect();
        wanted.insert(Topic::Admin);
        for topic in self.topics.difference(&wanted) {
            let _ = self.network.unsubscribe(*topic).await;
        }
        for topic in wanted.difference(&self.topics) {
            if let Err(error) = self.network.subscribe(*topic).await {
                tracing::error!("the network takes no more topics: {error}");
            }
        }
        self.topics = wanted;
    }

    fn roster_now(&self) -> Arc<Roster> {
        self.roster.snapshot()
    }
}
