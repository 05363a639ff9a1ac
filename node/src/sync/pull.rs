//! The loop that keeps this node level with the others.
//!
//! One task owns the schedule; it only ever waits for *something* to happen: a notice, an answer, a wait that
//! ends. Conversations run beside it, each in a task of its own, so no peer can hold it up.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use belfry_proto::{
    crypto::sign::PublicKey,
    envelope::REMOVED_ON_SIGHT,
    id::{GroupId, LogId},
    sync::schedule::{Ask, Schedule},
};
use futures::FutureExt as _;
use rand::{RngExt, seq::IteratorRandom};
use tokio::{sync::watch, task::JoinSet, time::Instant};

use super::{
    Counters,
    compare::{Compared, LeftOut},
    counters::more,
    fetch::{Blame, Fetched, PullError, Received},
    progress::{Offers, Outlook, Peers, Progress},
};
use crate::{
    clock,
    feed::{Feed, Notice},
    identity::Identity,
    ingest::{Intake, OVER_DISK_QUOTA},
    network::Network,
    refusals::Way,
    roster::LiveRoster,
    store::Store,
};

/// How long notices gather before frontiers are compared: a burst of gaps is one comparison.
const GATHER: Duration = Duration::from_millis(200);
/// Peers compared with at once. Each holds one part of a frontier, up to 1 MiB; a silent one holds its place
/// for as long as a request may take.
const COMPARISONS: usize = 16;
/// How often at most progress is told. Whoever watches it is a person.
const TOLD: Duration = Duration::from_millis(250);
/// Until a log whose author is removed on sight is asked for again, should no news of the roster come before: a page may have
/// been judged just before they came.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);
/// Such logs that are remembered. More are fetched in vain after each comparison.
const LEFT_OUT: usize = 4096;
/// Between two warnings about one peer.
const WARNING: Duration = Duration::from_secs(60);

/// The pulling half of the sync use-case.
pub struct Sync {
    pub(crate) identity: Arc<Identity>,
    pub(crate) store: Store,
    pub(crate) network: Network,
    pub(crate) roster: LiveRoster,
    pub(crate) feed: Feed,
    pub(crate) intake: Intake,
    pub(crate) counters: Arc<Counters>,
    /// Between two comparisons with a random peer.
    pub(crate) interval: Duration,
    /// Where the loop tells how it stands.
    pub(crate) outlook: Tell,
    /// Since when peers are here without a break, in microseconds; 0 if none is.
    pub(crate) linked: AtomicU64,
}

/// The telling end of a [`Progress`].
#[derive(Debug, Default)]
pub struct Tell(watch::Sender<Outlook>);

impl Tell {
    /// The reading end.
    #[must_use]
    pub fn progress(&self, counters: &Arc<Counters>) -> Progress {
        Progress { outlook: self.0.subscribe(), counters: Arc::clone(counters) }
    }
}

impl Sync {
    /// Pulls from peers until the daemon stops.
    pub async fn run(self) {
        let mut notices = self.feed.subscribe();
        let mut room = self.store.space().watch();
        let mut pulling = Pulling::new(Arc::new(self));
        loop {
            pulling.begin();
            pulling.tell();
            let wakes = pulling.wakes();
            tokio::select! {
                notice = notices.recv() => match notice {
                    Some(notice) => pulling.heed(notice),
                    None => return,
                },
                Some(done) = pulling.comparing.join_next() => {
                    if let Ok((peer, compared)) = done {
                        pulling.compared(peer, compared);
                    }
                }
                Some(done) = pulling.fetching.join_next() => {
                    if let Ok((ask, received)) = done {
                        pulling.received(ask, received);
                    }
                }
                Some(done) = pulling.keeping.join_next() => {
                    if let Ok((ask, fetched)) = done {
                        pulling.fetched(&ask, fetched);
                    }
                }
                // What was refused for want of room is wanted again.
                Ok(()) = room.changed() => pulling.due_all(),
                () = tokio::time::sleep_until(wakes) => pulling.tick(),
            }
        }
    }
}

struct Pulling {
    sync: Arc<Sync>,
    schedule: Schedule<PublicKey>,
    began: Instant,
    ready: BTreeSet<PublicKey>,
    /// Peers to compare with, and from when.
    due: BTreeMap<PublicKey, Instant>,
    /// Peers that had more on offer than one comparison takes.
    cut: BTreeSet<PublicKey>,
    busy: BTreeSet<PublicKey>,
    comparing: JoinSet<(PublicKey, Compared)>,
    fetching: JoinSet<(Ask<PublicKey>, Result<Received, PullError>)>,
    /// Answers being stored, while their peers are asked for more.
    keeping: JoinSet<(Ask<PublicKey>, Fetched)>,
    round: Instant,
    warned: BTreeMap<PublicKey, Instant>,
    /// Ready peers that were compared with since they came.
    level: BTreeSet<PublicKey>,
    compared: Option<belfry_proto::time::Timestamp>,
    told: Option<Instant>,
    /// Something happened that was not told yet.
    untold: bool,
    /// Logs whose authors are removed on sight.
    left_out: Arc<LeftOut>,
}

impl Pulling {
    fn new(sync: Arc<Sync>) -> Self {
        let now = Instant::now();
        Self {
            round: now + spread(sync.interval),
            sync,
            schedule: Schedule::default(),
            began: now,
            ready: BTreeSet::new(),
            due: BTreeMap::new(),
            cut: BTreeSet::new(),
            busy: BTreeSet::new(),
            comparing: JoinSet::new(),
            fetching: JoinSet::new(),
            keeping: JoinSet::new(),
            warned: BTreeMap::new(),
            level: BTreeSet::new(),
            compared: None,
            told: None,
            untold: true,
            left_out: Arc::default(),
        }
    }

    /// Tells how it stands, unless it did so just now.
    fn tell(&mut self) {
        let now = Instant::now();
        if self.told.is_some_and(|told| now < told + TOLD) {
            self.untold = true;
            return;
        }
        let since = self.now();
        let outlook = Outlook {
            peers: Peers {
                ready: self.ready.len(),
                compared: self.level.len(),
                comparing: self.busy.len(),
                resting: self.ready.iter().filter(|peer| self.schedule.waits(peer, since).is_some()).count(),
            },
            compared: self.compared,
            groups: Offers::by_group(self.schedule.missing(since)),
            full: self.schedule.full(since),
        };
        self.sync.outlook.0.send_if_modified(|before| {
            let is_news = *before != outlook;
            *before = outlook;
            is_news
        });
        (self.told, self.untold) = (Some(now), false);
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn heed(&mut self, notice: Notice) {
        match notice {
            Notice::PeerReady(peer) => {
                self.ready.insert(peer);
                self.note_linked();
                self.due.insert(peer, Instant::now());
            }
            Notice::PeerGone(peer) => {
                self.ready.remove(&peer);
                self.note_linked();
                self.due.remove(&peer);
                self.cut.remove(&peer);
                self.level.remove(&peer);
                self.schedule.gone(peer);
            }
            Notice::Gap { from, .. } => {
                // Its forwarder may have the same gap; somebody else need not.
                self.due(from);
                self.due_random();
            }
            // A new entitlement or a parked author: whoever is here may have more for us now.
            Notice::RosterChanged(_) => {
                self.left_out = Arc::default();
                let roster = self.sync.roster.snapshot();
                self.schedule.forget(|peer| roster.by_node(peer).is_some());
                self.due_all();
            }
            Notice::Missed { ready } => {
                for gone in self.ready.difference(&ready).copied().collect::<Vec<_>>() {
                    self.heed(Notice::PeerGone(gone));
                }
                self.ready = ready;
                self.note_linked();
                self.heed(Notice::RosterChanged(self.sync.roster.snapshot().version().height));
            }
            _ => {}
        }
    }

    fn note_linked(&self) {
        let linked = &self.sync.linked;
        match (self.ready.is_empty(), linked.load(Ordering::Relaxed)) {
            (true, _) => linked.store(0, Ordering::Relaxed),
            (false, 0) => linked.store(clock::now().as_micros(), Ordering::Relaxed),
            (false, _) => {}
        }
    }

    fn due(&mut self, peer: PublicKey) {
        if self.ready.contains(&peer) {
            self.due.entry(peer).or_insert_with(|| Instant::now() + GATHER);
        }
    }

    fn due_all(&mut self) {
        for peer in self.ready.clone() {
            self.due(peer);
        }
    }

    fn due_random(&mut self) {
        let now = self.now();
        let trusted = self.ready.iter().copied().filter(|peer| self.schedule.waits(peer, now).is_none());
        if let Some(peer) = trusted.choose(&mut rand::rng()) {
            self.due(peer);
        }
    }

    /// Starts every conversation that may start now.
    fn begin(&mut self) {
        if !self.sync.store.has_room() {
            return;
        }
        let now = Instant::now();
        for (peer, _) in self.due.clone().into_iter().filter(|(_, at)| *at <= now) {
            if self.comparing.len() >= COMPARISONS {
                break;
            }
            if self.busy.contains(&peer) {
                continue;
            }
            if let Some(until) = self.schedule.waits(&peer, self.now()) {
                self.due.insert(peer, self.began + until);
                continue;
            }
            self.due.remove(&peer);
            self.busy.insert(peer);
            let (sync, left_out) = (Arc::clone(&self.sync), Arc::clone(&self.left_out));
            self.comparing.spawn(async move {
                let compared = AssertUnwindSafe(sync.compare(peer, left_out)).catch_unwind().await;
                let panicked = |_| Compared { error: Some(PullError::Panicked), ..Compared::default() };
                (peer, compared.unwrap_or_else(panicked))
            });
        }
        while let Some(ask) = self.schedule.next(self.now()) {
            let sync = Arc::clone(&self.sync);
            self.fetching.spawn(async move {
                // What panics must give its place back all the same.
                let received = AssertUnwindSafe(sync.fetch(ask)).catch_unwind().await;
                (ask, received.unwrap_or(Err(PullError::Panicked)))
            });
        }
    }

    fn received(&mut self, ask: Ask<PublicKey>, received: Result<Received, PullError>) {
        let received = match received {
            Ok(received) => received,
            Err(error) => return self.fetched(&ask, Fetched::none(error)),
        };
        self.schedule.arrived(&ask);
        let sync = Arc::clone(&self.sync);
        self.keeping.spawn(async move {
            let kept = AssertUnwindSafe(sync.keep(ask, received)).catch_unwind().await;
            (ask, kept.unwrap_or_else(|_| Fetched::none(PullError::Panicked)))
        });
    }

    fn compared(&mut self, peer: PublicKey, compared: Compared) {
        self.busy.remove(&peer);
        if let Some(error) = &compared.error {
            self.fault(peer, Way::FrontierAnswer, error);
            match error.blame() {
                Blame::Peer => self.schedule.blame(peer, self.now()),
                Blame::Pause => {
                    self.schedule.pause(peer, self.now());
                    self.due(peer);
                }
                Blame::Us => {}
            }
        }
        if !self.ready.contains(&peer) {
            return;
        }
        if compared.error.is_none() {
            self.level.insert(peer);
            self.compared = Some(clock::now());
        }
        let is_whole = self.schedule.offer(peer, compared.ranges, self.began.elapsed());
        if compared.is_cut || !is_whole {
            self.cut.insert(peer);
        }
    }

    fn fetched(&mut self, ask: &Ask<PublicKey>, fetched: Fetched) {
        let now = self.now();
        if matches!(fetched.error, Some(PullError::Spoiled(REMOVED_ON_SIGHT))) {
            self.leave_out((ask.range.group, ask.range.log));
        }
        let proven = fetched.proven;
        match (&fetched.error, fetched.through) {
            (None, Some(through)) if proven != Some(through) => self.schedule.unproven(ask, proven, through),
            (None, Some(through)) => self.schedule.served(ask, through),
            (Some(PullError::Spoiled(OVER_DISK_QUOTA)), _) => self.schedule.no_room(ask, proven, now),
            (Some(error), _) => {
                self.fault(ask.peer, Way::PageAnswer, error);
                match error.blame() {
                    Blame::Peer => self.schedule.failed(ask, proven, now),
                    Blame::Pause => match error {
                        // It may have the next body all the same.
                        PullError::Bare(at) => self.schedule.lacking(ask, *at),
                        PullError::Gone(at) => self.schedule.bodies_gone(ask, *at, now),
                        // Others may have it. Nothing comes after an entry that is not here.
                        PullError::Lacking(_) => {
                            if self.schedule.has_nothing(ask, now) {
                                self.fault(ask.peer, Way::PageAnswer, &PullError::Claims);
                            }
                        }
                        _ => {
                            let is_endless = self.schedule.held_up(ask, proven, fetched.through, now);
                            if is_endless && self.ready.contains(&ask.peer) {
                                // Not at once, however much more it has on offer.
                                self.cut.remove(&ask.peer);
                                let at = Instant::now() + spread(self.sync.interval);
                                self.due.entry(ask.peer).or_insert(at);
                            }
                        }
                    },
                    Blame::Us => self.schedule.spoiled(ask),
                }
            }
            (None, None) => self.schedule.failed(ask, None, now),
        }
        // The rest of a long list: what was fetched is level now, so the next comparison gets further.
        if self.schedule.is_done(&ask.peer) && self.cut.remove(&ask.peer) {
            self.due(ask.peer);
        }
    }

    /// What a member removed on sight wrote waits for the admin log, for weeks perhaps: it is not fetched over and over.
    fn leave_out(&mut self, log: (GroupId, LogId)) {
        let (left_out, now) = (Arc::make_mut(&mut self.left_out), Instant::now());
        if left_out.len() >= LEFT_OUT {
            left_out.retain(|_, until| *until > now);
        }
        if left_out.len() < LEFT_OUT {
            left_out.insert(log, now + LOOK_AGAIN);
        }
    }

    fn fault(&mut self, peer: PublicKey, way: Way, error: &PullError) {
        if error.blame() != Blame::Peer {
            if error.blame() == Blame::Pause {
                more(&self.sync.counters.pauses, 1);
            }
            tracing::debug!(%peer, "sync: {error}");
            return;
        }
        more(&self.sync.counters.faults, 1);
        self.sync.network.refusals().count(way, error.code());
        let now = Instant::now();
        self.warned.retain(|_, at| now.duration_since(*at) < WARNING);
        match self.warned.entry(peer) {
            Entry::Occupied(_) => tracing::debug!(%peer, "sync: {error}"),
            Entry::Vacant(first) => {
                first.insert(now);
                tracing::warn!(%peer, "sync with {peer}: {error}; asking others");
            }
        }
    }

    fn wakes(&self) -> Instant {
        let due = self.due.iter().filter(|(peer, _)| !self.busy.contains(peer)).map(|(_, at)| *at);
        // With every place taken, an answer is what wakes.
        let due = due.filter(|_| self.comparing.len() < COMPARISONS).min();
        let asks = self.schedule.wakes(self.now()).map(|at| self.began + at);
        let wakes = due.into_iter().chain(asks).min();
        // Without room nothing is begun, so nothing is due.
        let wakes = wakes.filter(|_| self.sync.store.has_room());
        let tells = self.told.filter(|_| self.untold).map(|told| told + TOLD);
        let wakes = wakes.into_iter().chain(tells).min();
        wakes.map_or(self.round, |at| at.min(self.round))
    }

    fn tick(&mut self) {
        if Instant::now() >= self.round {
            self.round = Instant::now() + spread(self.sync.interval);
            self.due_random();
        }
    }
}

/// Three quarters to five quarters of `interval`, so that a coalition does not compare all at once.
fn spread(interval: Duration) -> Duration {
    interval.mul_f64(0.75 + 0.5 * rand::rng().random::<f64>())
}
