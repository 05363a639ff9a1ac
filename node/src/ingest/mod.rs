//! The way in: from bytes a peer sent to rows the SOC reads.
//!
//! ```text
//! gossip ─┐          verdict ▲                     ┌─ key held ─▶ open ─▶ parse ─┐
//! sync  ──┼─▶ judge ─────────┴──▶ keep ────────────┤                             ├─▶ store ─▶ feed
//! parked ─┘   (decode attribute verify admit)      └─ not yet ─▶ stored sealed ──┘
//!                                                     KeyArrived ─▶ open what waited
//! a page ─▶ waits a moment for its keys (expect) ─▶ judge
//!        └▶ its last entry vouches for the rest ─▶ check: their own signatures, behind
//! roster moved, fork, closed log ─▶ rejudge: the log as a whole ─▶ hide / show again
//! withdrawals ─▶ reweigh: what they come to for each message ─▶ take away / show again
//! an embargo ends ─▶ embargo: readers outside meet what it kept inside
//! ```
//!
//! Judging is cheap and answers gossipsub at once; opening follows on the same thread, storing and telling behind
//! it ([`line`]). A full queue pushes back on the judge, the judge on the network adapter, and that answers Ignore:
//! sync brings later what gossip could not wait for.

mod check;
mod disk;
mod embargo;
mod expect;
mod judge;
mod keep;
mod keyring;
mod line;
mod parked;
mod quota;
mod rate;
mod rejudge;
mod reopen;
mod retain;
mod reweigh;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

pub use belfry_proto::sync::outcome::{Kept, OVER_DISK_QUOTA};

use belfry_proto::{crypto::sign::PublicKey, envelope::Decoded, id::MessageId};
use tokio::sync::{mpsc, oneshot};

use crate::{
    feed::Feed,
    heard::{Behind, VouchedClock},
    identity::Identity,
    network::{Gossip, Network},
    roster::LiveRoster,
    store::Store,
};

/// Pages of envelopes waiting for the judge. Too low ⇒ sync stalls on each page, too high ⇒ megabytes queue.
const PAGES: usize = 8;
/// Chunks of envelopes waiting for their acknowledgement, which the writer's queue bounds already. Too low ⇒ opening
/// waits for the disk, too high ⇒ nothing.
const DEPARTED: usize = 64;

/// What the ingest tasks share; each clone is one task's view.
#[derive(Clone)]
pub struct Ingest {
    pub(crate) identity: Arc<Identity>,
    pub(crate) store: Store,
    pub(crate) network: Network,
    pub(crate) roster: LiveRoster,
    pub(crate) feed: Feed,
    pub(crate) behind: Behind,
    keyring: keyring::Keyring,
    quotas: Arc<Mutex<quota::Quotas>>,
    unanswered: expect::Unanswered,
    /// Pages that came since the start.
    pages: Arc<AtomicU64>,
}

/// Envelopes that sync fetched, for the same judge that gossip goes through.
pub struct Page {
    pub(crate) from: PublicKey,
    pub(crate) envelopes: Vec<Decoded>,
    /// Those of them that may come without their body, by withdrawals that are not taken up now.
    pub(crate) excused: BTreeSet<MessageId>,
    pub(crate) done: oneshot::Sender<Vec<Kept>>,
}

/// Where sync hands in its pages: there is one ladder, and ingest owns it.
#[derive(Clone)]
pub struct Intake {
    pages: mpsc::Sender<Page>,
    ingest: Ingest,
}

impl Intake {
    /// Hands in envelopes in order and waits until each is durable or refused. Empty if ingest has ended. What names
    /// keys that are not here waits for them first, a moment and no longer.
    pub async fn offer(&self, from: PublicKey, envelopes: Vec<Decoded>) -> Vec<Kept> {
        self.offer_excused(from, envelopes, BTreeSet::new()).await
    }

    /// [`Self::offer`] of entries some of which may come without their body, although no erasure that is here says so: the
    /// body counts as missing.
    pub async fn offer_excused(
        &self,
        from: PublicKey,
        envelopes: Vec<Decoded>,
        excused: BTreeSet<MessageId>,
    ) -> Vec<Kept> {
        self.ingest.expect_keys(&envelopes).await;
        let (done, kept) = oneshot::channel();
        if self.pages.send(Page { from, envelopes, excused, done }).await.is_err() {
            return Vec::new();
        }
        kept.await.unwrap_or_default()
    }
}

/// Where the judge tells of what it queued for the writer.
type Departures = mpsc::Sender<keep::Departed>;

/// The receiving ends that [`Ingest::run_judge`] and [`Ingest::run_keep`] drain.
pub struct Queues {
    pub(crate) pages: mpsc::Receiver<Page>,
    departed: (Departures, mpsc::Receiver<keep::Departed>),
}

impl Ingest {
    /// Makes the use-case with its queues and the intake for sync.
    #[must_use]
    pub fn new(
        identity: Arc<Identity>,
        store: Store,
        network: Network,
        roster: LiveRoster,
        feed: Feed,
        behind: Behind,
    ) -> (Self, Queues, Intake) {
        let (page_sender, pages) = mpsc::channel(PAGES);
        let queues = Queues { pages, departed: mpsc::channel(DEPARTED) };
        let this = Self {
            identity,
            store,
            network,
            roster,
            feed,
            behind,
            keyring: keyring::Keyring::default(),
            quotas: Arc::default(),
            unanswered: expect::Unanswered::default(),
            pages: Arc::default(),
        };
        let intake = Intake { pages: page_sender, ingest: this.clone() };
        (this, queues, intake)
    }

    /// Judges whole logs again wherever the admin log or a fork asks for it; a task of its own.
    pub fn rejudging(&self) -> impl Future<Output = ()> + Send + use<> {
        self.clone().run_rejudge()
    }

    /// Applies withdrawals, and has erased bodies leave the disk; a task of its own. What goes by its date goes by `clock`.
    pub fn reweighing(&self, clock: VouchedClock) -> impl Future<Output = ()> + Send + use<> {
        let (weighing, purging) = (self.clone().run_reweigh(clock), self.clone().run_purge());
        async move {
            // Either ends only because the store does.
            tokio::join!(weighing, purging);
        }
    }

    /// Lets readers outside meet what was under an embargo that is over by `clock`; a task of its own.
    pub fn ending_embargoes(&self, clock: VouchedClock) -> impl Future<Output = ()> + Send + use<> {
        self.clone().run_embargoes(clock)
    }

    /// Checks signatures behind pages; a task of its own.
    pub fn checking(&self) -> impl Future<Output = ()> + Send + use<> {
        self.clone().run_check()
    }

    fn pages(&self) -> u64 {
        self.pages.load(Ordering::Relaxed)
    }

    /// Lets bodies go that are past their group's retention by `clock`; a task of its own.
    pub fn retaining(&self, clock: VouchedClock) -> impl Future<Output = ()> + Send + use<> {
        self.clone().run_retain(clock)
    }

    /// Splits into the judge, the keeper and the reopener, which the daemon runs as tasks.
    pub fn loops(
        self,
        queues: Queues,
        gossip: mpsc::Receiver<Gossip>,
    ) -> (impl Future<Output = ()> + Send, impl Future<Output = ()> + Send, impl Future<Output = ()> + Send)
    {
        let (departures, departed) = queues.departed;
        (
            self.clone().run_judge(gossip, queues.pages, departures.clone()),
            self.clone().run_keep(departed),
            self.run_reopen(departures),
        )
    }

    /// Whether a message is here. What lies above all that is held of its log is not, and no row need be read. Of a log
    /// that is one too many the store tells no top.
    fn is_known(&self, message: &Decoded) -> bool {
        let header = message.header();
        let top = self.store.top(header.group, header.log);
        let is_above = top.get() > 0 && header.sequence > top;
        !is_above && matches!(self.store.has_message(message.message_id()), Ok(true))
    }
}
