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

mod abreast;
mod address;
mod ahead;
mod answer;
mod beacon;
mod charters;
mod claims;
mod contact;
mod dialing;
mod directory;
mod greetings;
mod guests;
mod handles;
mod hello;
mod links;
mod log;
mod on_sight;
mod places;
mod pulls;
mod questions;
mod seen;
mod targets;
mod transfer;
mod upkeep;

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
    schema::{AdminGossip, admin_gossip::Item, decode_canonical},
    topic::Topic,
    trust::{log::VerifiedRecord, roster::Roster},
    verdict::{Judged, Verdict},
};
use tokio::sync::{mpsc, watch};

use crate::{
    bucket::{Buckets, Rate},
    feed::{Feed, Notice},
    heard::{Behind, Contacts, Hellos, LogWatch, Pushed},
    identity::Identity,
    network::{Address, Gossip, Link, Network},
    refusals::Way,
    roster::LiveRoster,
    store::Store,
};

pub use contact::NotKept;
pub use dialing::DialLimits;
pub(crate) use handles::Command;
pub use handles::{Import, Reach, Sources};
pub(crate) use on_sight::recall;

/// Commands waiting for the loop. Too low ⇒ conversations wait for each other; too high ⇒ pages of the
/// admin log pile up in memory.
const COMMANDS: usize = 64;
/// Contact records that peers pushed, waiting for the loop; a queue of their own, so that they take no place from what keeps
/// the roster true. Too low ⇒ peers that tell of one at once are told *busy*, and it waits for the next comparison; too high ⇒
/// a flood of them, each up to a signature and a synced write, lies between the loop and the next.
const PUSHES: usize = 16;
/// Peers that spoke of a roster ahead of ours, waiting for the loop. Too low ⇒ one is asked only after its next such message;
/// too high ⇒ the loop passes over many that it asks already.
const NOTICED: usize = 64;
/// How often dialling and expiry are looked at.
const TICK: Duration = Duration::from_secs(1);
/// Messages of the admin topic that one peer may forward: a whole coalition's addresses, or a thousand records
/// that were imported somewhere, at once. Each costs a signature or two in the loop that keeps the roster.
const FORWARDED: Rate = Rate { per_second: 32.0, burst: 1024.0 };
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
    places: places::Places,
    /// Nodes that the operator named as relays.
    relays: BTreeSet<PublicKey>,
    pub(crate) own_addresses: Vec<Address>,
    announced: Vec<Address>,
    commands: (mpsc::Sender<Command>, mpsc::Receiver<Command>),
    pushes: (mpsc::Sender<Pushed>, mpsc::Receiver<Pushed>),
    /// Peers that spoke of a roster ahead of ours.
    noticed: (mpsc::Sender<PublicKey>, mpsc::Receiver<PublicKey>),
    greeted: BTreeMap<PublicKey, RosterVersion>,
    guests: guests::Guests,
    greetings: greetings::Greetings,
    /// How far peers' logs go, and what they were told of ours.
    abreast: abreast::Abreast,
    /// Peers whose latest answer said that they admit us.
    admits_us: BTreeSet<PublicKey>,
    pulls: pulls::Pulls,
    /// What each peer may still ask.
    asks: Buckets<PublicKey>,
    /// What each peer may still forward.
    forwarded: Buckets<PublicKey>,
    beacons: beacon::Beacons,
    branches: on_sight::Branches,
    watch: watch::Sender<LogWatch>,
    book: address::Book,
    contacts: directory::Directory,
    targets: targets::Targets,
    /// The farthest record beyond our log that the registrar signed.
    ahead: Option<VerifiedRecord>,
    /// Claims about our own logs that nobody showed.
    tries: claims::Tries,
    /// Counts the times that time passed unseen: what was asked before says nothing of now.
    era: u64,
    /// Whether others vouched for our clock at the last look.
    was_vouched: bool,
    topics: BTreeSet<Topic>,
    /// Whom the network was told to admit; it keeps that over its own restarts.
    allowed: Option<BTreeSet<PublicKey>>,
    ticks: u64,
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
        let Reach { bootstrap, external, listens, relays, limits, gate } = reach;
        let (book, contacts) = (address::Book::of(&store), directory::Directory::of(&store));
        let coalition = roster.snapshot().coalition();
        // Nobody was asked yet.
        store.vouch_clock(None);
        Self {
            identity,
            store,
            network,
            roster,
            feed,
            coalition,
            hellos: watch::Sender::new(Hellos::new(gate)),
            dialing: dialing::Dialing::new(bootstrap, !external.is_empty(), limits),
            places: places::Places::new(listens && relays.is_empty()),
            relays,
            own_addresses: external,
            announced: Vec::new(),
            commands: mpsc::channel(COMMANDS),
            pushes: mpsc::channel(PUSHES),
            noticed: mpsc::channel(NOTICED),
            greeted: BTreeMap::new(),
            guests: guests::Guests::default(),
            greetings: greetings::Greetings::default(),
            abreast: abreast::Abreast::default(),
            admits_us: BTreeSet::new(),
            pulls: pulls::Pulls::default(),
            asks: Buckets::new(answer::ASKS),
            forwarded: Buckets::new(FORWARDED),
            beacons: beacon::Beacons::default(),
            branches: on_sight::Branches::default(),
            watch: watch::Sender::new(LogWatch::default()),
            book,
            contacts,
            targets: targets::Targets::default(),
            ahead: None,
            tries: claims::Tries::default(),
            era: 0,
            was_vouched: false,
            topics: BTreeSet::new(),
            allowed: None,
            ticks: 0,
        }
    }

    /// A handle for those who meet newer roster versions.
    #[must_use]
    pub fn behind(&self) -> Behind {
        Behind::new(self.noticed.0.clone())
    }

    /// A handle for what the operator brings.
    #[must_use]
    pub fn import(&self) -> Import {
        Import(self.commands.0.clone())
    }

    /// A handle for contact records: those that peers push, and which are held.
    #[must_use]
    pub fn contacts(&self) -> Contacts {
        Contacts { pushed: self.pushes.0.clone(), held: self.contacts.shelf() }
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
        self.forget_left().await;
        self.allow().await;
        self.subscribe().await;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let others_wait = !sources.hello.is_empty();
            tokio::select! {
                Some(asked) = sources.hello.recv() => {
                    if asked.admitted { self.answer(asked) } else { self.guests.wait(asked) }
                }
                asked = self.guests.next(others_wait) => self.answer(asked),
                Some(gossip) = sources.gossip.recv() => self.judge(gossip).await,
                link = sources.links.recv() => match link {
                    Some(link) => self.link(link),
                    None => return,
                },
                Some(command) = self.commands.1.recv() => self.command(command).await,
                Some(peer) = self.noticed.1.recv() => {
                    self.pull(peer);
                }
                Some(pushed) = self.pushes.1.recv() => self.contact_pushed(pushed.from, pushed.record).await,
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
                // That a stranger comes through does not say that members do.
                if admitted {
                    let dialled_us = !outbound && !address.is_circuit();
                    self.places.linked(node, dialled_us, tokio::time::Instant::now());
                    self.dialing.connected(node, outbound);
                    self.arrived(node);
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
            Link::Listening(address) => {
                if let Some(relay) = address.relay() {
                    self.places.given(relay);
                }
                self.dialing.listening(address);
            }
            Link::NoPlace { relay } => self.places.lost(relay, tokio::time::Instant::now()),
            Link::NotListening(address) => self.dialing.not_listening(&address),
            Link::Restarted => {
                for node in self.dialing.forget_links() {
                    self.gone(node);
                }
                self.greeted.clear();
                self.places.forget();
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
        self.places.parted(&node, tokio::time::Instant::now());
        self.admits_us.remove(&node);
        self.greetings.gone(&node);
        self.abreast.gone(&node);
        self.branches.gone(&node);
        self.hellos.send_modify(|hellos| hellos.left(&node));
        self.feed.notify(Notice::PeerGone(node));
        self.ask_other_nodes(&node);
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
            Command::Greeted { peer, greeted, sent, era } => self.greeted(peer, &greeted, sent, era),
            Command::Pulled { peer, pulled } => {
                self.pulls.end(&peer, pulled, tokio::time::Instant::now());
                match pulled {
                    // Level now: the next hello says so and makes the peer ready.
                    pulls::Pulled::Advanced => {
                        self.greet(peer);
                        // Nobody gossiped what it brought: who is linked here alone hears of it from nobody else.
                        self.abreast.pulled(tokio::time::Instant::now());
                        self.greet_behind();
                    }
                    // A peer that promised more than it has is taken as it is. (Or somebody else was faster.)
                    pulls::Pulled::Nothing => {
                        // It may have what does not go on from ours.
                        self.fetch_conflict(peer, self.roster_now().version().height);
                        self.fetch_branch(peer);
                        self.hellos.send_modify(|hellos| hellos.company.unserved(&peer));
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
            Command::Shown { peer, shown, behind, era } => self.shown(peer, shown, behind, era),
            Command::Ungreeted { peer, refusal } => self.ungreeted(peer, refusal),
            Command::Removed { peer, record } => self.removed(peer, &record),
            Command::Branch { peer, records } => self.branch(peer, records).await,
            Command::Untold { peer, telling } => self.branches.untold(&peer, telling),
            Command::Unordered { statement, done } => {
                let _ = done.send(self.imported_removal(statement).await);
            }
            Command::Addresses { peer, records } => self.addresses_told(peer, records).await,
            Command::Contacts { peer, records } => self.contacts_told(peer, records).await,
            Command::SetContact { mailboxes, done } => {
                let _ = done.send(self.set_contact(mailboxes).await);
            }
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
                self.network.refusals().count(Way::Admin, "malformed");
                Verdict::Reject
            }
            Ok(AdminGossip { item: Some(item) }) => self.judge_item(item, gossip.from).await,
            Ok(AdminGossip { item: None }) => {
                self.network.refusals().count(Way::Admin, "malformed");
                Verdict::Reject
            }
        };
        let _ = self.network.verdict(gossip.ticket, verdict).await;
    }

    async fn judge_item(&mut self, item: Item, from: PublicKey) -> Verdict {
        let cost = if matches!(item, Item::Charter(_)) { CHARTER } else { 1.0 };
        if !self.forwarded.take(from, cost, tokio::time::Instant::now()) {
            tracing::debug!(peer = %from, "admin gossip over its forwarder's budget");
            self.network.refusals().count(Way::Admin, "forwarder-over-budget");
            return Verdict::Ignore;
        }
        match item {
            Item::Charter(charter) => self.judge_charter(charter, from).await,
            Item::Record(record) => self.judge_record(record, from).await,
            Item::Address(record) => self.keep_address(&record).await,
            Item::Beacon(beacon) => self.judge_beacon(beacon, Some(from)).await,
        }
    }

    /// What is refused of the admin topic, by its reason.
    fn refused(&self, error: &impl Judged) -> Verdict {
        self.network.refusals().count(Way::Admin, error.code());
        error.verdict()
    }

    fn roster_now(&self) -> Arc<Roster> {
        self.roster.snapshot()
    }
}
