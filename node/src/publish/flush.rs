//! From durable draft to signed messages.
//!
//! Sequence numbers, keys, roster and signature are assigned here and nowhere else, by one at a time: the flusher's task, or
//! whoever submits while it rests ([`super::straight`]). A draft's messages and its new state are one change to the store: a crash between any two lines leaves either a draft or its
//! messages, never half of them. Drafts that wait together go together ([`super::batch`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use belfry_proto::{
    crypto::sign::PublicKey,
    envelope::{Position, log_id},
    id::{GroupId, MemberId, PublicationId, Serial},
    schema::{AcceptancePolicy, Audience, StalenessPolicy},
    time::Timestamp,
    topic::Topic,
    trust::roster::{Roster, Standing},
};
use tokio::{
    sync::{Mutex, watch},
    task::spawn_blocking,
};

use super::{
    batch::{AT_ONCE, Batch, Flushing, Sealing, Waiting},
    key::{self, ActiveKey},
    push::Failures,
    seal::{self, SealError},
    straight::{self, Arriving, Desk},
};
use crate::{
    clock,
    feed::{Feed, Notice, Notices},
    heard::{Freshness, Gate, Hellos, LogWatch, lone},
    identity::Identity,
    network::Network,
    roster::LiveRoster,
    store::{Answer, Change, DraftRow, Prepared, Store, WriteError},
};

/// How often queued drafts are looked at without a notice.
const SWEEP: Duration = Duration::from_secs(2);
/// Messages of one publication gossiped back to back; gossip loses bursts (a fifth of one in a trial), so its publisher
/// pauses. Publications do not wait for each other: pauses between them would hold up the queue.
const BURST: usize = 16;
/// The pause after a burst.
const PAUSE: Duration = Duration::from_millis(40);

/// Why drafts wait. Shown in status, never fatal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Hold {
    /// No peer has answered a hello yet, so the admin log and our own heads may be behind.
    #[error("no other node has answered yet, so the admin log may be behind; is [network] bootstrap right?")]
    NoHello,
    /// Everybody who did is gone, so a reader may have been revoked meanwhile.
    #[error("every other node was lost, so the admin log may be behind; the next hello ends this")]
    Lost,
    /// By our clock there is nobody to hear, by what the admin log is dated there is: the clock may be wrong.
    #[error(
        "by this node's clock no other node's certificate is valid now (the last to end, {serial}, is valid from {from} to {until}), so none is let in that could vouch for the admin log; set the clock right, or, if it is, `belfry import-log` with what the coalition signed since that day: a renewal, any other decision, or a beacon (`belfry coalition beacon`)"
    )]
    NobodyValid {
        /// The other certificate that ends last.
        serial: Serial,
        /// When it begins.
        from: Timestamp,
        /// When it ends.
        until: Timestamp,
    },
    /// Whoever is connected announces more of the admin log than it has served so far.
    #[error(
        "the nodes at hand announce an admin log that they have not served yet; in half a minute this node goes on without it"
    )]
    Behind,
    /// Not all of those who are to be heard first have answered.
    #[error("the nodes at hand have not all answered yet; after ten seconds this node goes on without one")]
    Asking,
    /// Our database may have been rolled back.
    #[error(
        "another node says that it holds more of this node's own logs than this node does, and is being asked to show it; that takes a minute at most"
    )]
    OwnLogs,
    /// A removal may be in what is missing.
    #[error(
        "the registrar has signed what lies beyond our admin log, and no node has served it yet; `belfry import-log` with the coalition's newest log ends this"
    )]
    Ahead,
    /// Our clock differs from the others' by more than the charter allows.
    #[error("the clock of this node is off by more than the charter allows")]
    Clock,
    /// The file system is nearly full.
    #[error("free space is below store.free_space_floor")]
    NoRoom,
    /// Nobody else holds the key they are to be sealed with.
    #[error(
        "no other member has taken the key that opens them yet, so they would be lost with this disk; it is offered again and again, and after half a minute this node goes on without"
    )]
    NoHolder,
    /// The charter wants a fresh log, and nobody vouches for ours.
    #[error("no fresh beacon vouches for the admin log, and the charter stops publishing without one")]
    Stale,
    /// The charter stops whoever has not accepted its texts in time.
    #[error(
        "this member has not accepted the coalition's arrangement and rules of conduct by the charter's date: `belfry accept-rules`"
    )]
    Texts,
    /// Nobody rules who may read any more.
    #[error(
        "the coalition's charter has expired, and nothing is published until there is a new version: `belfry import-log` with the coalition's newest log ends this"
    )]
    Charter,
    /// The certificate does not allow publishing now.
    #[error("this node's certificate is not valid now")]
    Certificate,
}

impl Hold {
    /// What a gate that is not open holds.
    const fn of(gate: Gate) -> Option<Self> {
        match gate {
            Gate::Open => None,
            Gate::NoHello => Some(Self::NoHello),
            Gate::Lost => Some(Self::Lost),
            Gate::Asking => Some(Self::Asking),
            Gate::OwnLogs => Some(Self::OwnLogs),
            Gate::Behind => Some(Self::Behind),
            Gate::Ahead => Some(Self::Ahead),
        }
    }
}

/// Why new data of this member would belong into no log now, if it would not.
pub(super) fn stopped(roster: &Roster, member: MemberId, now: Timestamp) -> Option<Hold> {
    if roster.charter().is_expired_at(now) {
        return Some(Hold::Charter);
    }
    let overdue = roster.overdue(member, roster.charter(), now);
    matches!(overdue, Some(AcceptancePolicy::StopPublishing | AcceptancePolicy::Suspend))
        .then_some(Hold::Texts)
}

/// What notices give to do.
#[derive(Clone, Copy, Default)]
struct Todo {
    /// Keys that few hold.
    push: bool,
    /// Drafts.
    flush: bool,
}

impl std::ops::BitOrAssign for Todo {
    fn bitor_assign(&mut self, other: Self) {
        self.push |= other.push;
        self.flush |= other.flush;
    }
}

/// The flushing half of the publish use-case; whoever has it is the one that seals.
pub struct Flusher {
    pub(super) identity: Arc<Identity>,
    pub(super) store: Store,
    pub(super) network: Network,
    pub(super) roster: LiveRoster,
    pub(super) feed: Feed,
    pub(super) hellos: watch::Receiver<Hellos>,
    log_watch: watch::Receiver<LogWatch>,
    held: watch::Sender<Option<Hold>>,
    pub(super) keys: BTreeMap<(GroupId, Audience), ActiveKey>,
    /// The places behind what was sealed, and the first ones of logs that are not begun.
    pub(super) places: BTreeMap<GroupId, Position>,
    pub(super) ready: BTreeSet<PublicKey>,
    pub(super) failures: Failures,
    /// For whom keys are that drafts need and nobody else has taken.
    without_holder: BTreeSet<(GroupId, Audience)>,
}

impl Flusher {
    /// Flushes drafts from `store`.
    #[must_use]
    pub fn new(
        identity: Arc<Identity>,
        store: Store,
        network: Network,
        roster: LiveRoster,
        feed: Feed,
        hellos: watch::Receiver<Hellos>,
        log_watch: watch::Receiver<LogWatch>,
    ) -> Self {
        Self {
            identity,
            store,
            network,
            roster,
            feed,
            hellos,
            log_watch,
            held: watch::Sender::new(None),
            keys: BTreeMap::new(),
            places: BTreeMap::new(),
            ready: BTreeSet::new(),
            failures: Failures::default(),
            without_holder: BTreeSet::new(),
        }
    }

    /// Why drafts wait, if they do.
    #[must_use]
    pub fn held(&self) -> watch::Receiver<Option<Hold>> {
        self.held.subscribe()
    }

    /// Where submissions are left that can go out at once, and what runs until the daemon stops.
    #[must_use = "drafts are flushed by what runs"]
    pub fn open(self) -> (Desk, impl Future<Output = ()> + Send) {
        let notices = self.feed.subscribe();
        let flusher = Arc::new(Mutex::new(self));
        let (desk, arriving) = straight::desk(Arc::downgrade(&flusher));
        (desk, run(flusher, arriving, notices))
    }

    /// Takes up who is here, and tells what a notice gives to do.
    fn heed(&mut self, notice: Notice) -> Todo {
        match notice {
            Notice::DraftQueued => Todo { push: false, flush: true },
            Notice::PeerReady(peer) => {
                self.ready.insert(peer);
                Todo { push: true, flush: true }
            }
            Notice::PeerGone(peer) => {
                self.ready.remove(&peer);
                Todo::default()
            }
            Notice::Missed { ready } => {
                self.ready = ready;
                Todo { push: true, flush: true }
            }
            _ => Todo::default(),
        }
    }

    /// Publishes the oldest drafts, as many as fit at once. Whether more may be published now.
    async fn flush_queued(&mut self) -> bool {
        match self.store.queued(1) {
            Ok(queued) if queued.is_empty() => {
                self.without_holder.clear();
                self.tell(None);
                return false;
            }
            Ok(_) => {}
            Err(error) => {
                tracing::error!("drafts cannot be read: {error}");
                return false;
            }
        }
        if self.is_held() {
            return false;
        }
        // It would belong into no log. What was accepted before waits; what takes back goes out.
        let roster = self.roster.snapshot();
        let held = stopped(&roster, self.identity.member, clock::now());
        let data_waits = held.is_some();
        if data_waits {
            self.without_holder.clear();
        } else if !self.seek_holders(&roster).await {
            return false;
        }
        let before = self.without_holder.clone();
        let (store, without) = (self.store.clone(), before.clone());
        let read = spawn_blocking(move || Waiting::read(&store, data_waits, &without));
        let waiting = match read.await {
            Ok(Ok(waiting)) => waiting,
            Ok(Err(error)) => {
                tracing::error!("drafts cannot be read: {error}");
                return false;
            }
            Err(_) => return false,
        };
        let mut is_moving = false;
        for (group, drafts) in waiting.groups {
            if self.is_held() {
                return false;
            }
            let roster = self.roster.snapshot();
            is_moving |= self.flush(&roster, group, drafts).await;
        }
        let held = held.or_else(|| self.lacks_holder());
        if held.is_some() {
            self.tell(held);
        }
        // A key that only a draft itself told to be needed is made, and offered, at once.
        (is_moving && waiting.more) || !self.without_holder.is_subset(&before)
    }

    /// Makes the keys that queued drafts lack, and offers those that nobody else has, where their turn has come. One after
    /// the other, groups whose readers take none would hold the others up by one offer each.
    async fn seek_holders(&mut self, roster: &Roster) -> bool {
        let now = clock::now();
        let usable = |active: &ActiveKey| active.is_usable(roster, active.key.context().log, now);
        let at_hand = self.keys.iter().filter(|(_, active)| usable(active) && self.may_seal(roster, active));
        let at_hand: BTreeSet<_> = at_hand.map(|(place, _)| *place).collect();
        let store = self.store.clone();
        let mut needed = match spawn_blocking(move || store.queued_keys(&at_hand, AT_ONCE)).await {
            Ok(Ok(needed)) => needed,
            Ok(Err(error)) => {
                tracing::error!("drafts cannot be read: {error}");
                return false;
            }
            Err(_) => return false,
        };
        needed.extend(self.without_holder.iter().copied());
        let mut made = BTreeSet::new();
        for place in needed {
            match self.make_key(roster, place).await {
                Ok(true) => {
                    made.insert(place);
                }
                // Its drafts are refused with the reason.
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(group = place.0.get(), "no content key could be made durable: {error}");
                    return false;
                }
            }
        }
        self.offer(roster, &made).await;
        made.retain(|place| self.keys.get(place).is_some_and(|active| !self.may_seal(roster, active)));
        self.without_holder = made;
        true
    }

    /// The next place in the log of a group. One that is not begun stays the next, or its keys would be for another.
    fn place(&mut self, roster: &Roster, group: GroupId, now: Timestamp) -> Result<Position, SealError> {
        let known = self.hellos.borrow().own_logs.clone();
        let last = self.places.get(&group);
        let position = seal::position(&self.store, &self.identity, roster, group, &known, last, now)?;
        self.places.insert(group, position);
        Ok(position)
    }

    /// Whether sealing has to wait, which is told.
    pub(super) fn is_held(&self) -> bool {
        let hold = self.hold(&self.roster.snapshot());
        self.tell(hold.or_else(|| self.lacks_holder()));
        hold.is_some()
    }

    /// Some drafts wait for a holder of their key; others do not wait for that.
    fn lacks_holder(&self) -> Option<Hold> {
        (!self.without_holder.is_empty()).then_some(Hold::NoHolder)
    }

    fn tell(&self, hold: Option<Hold>) {
        self.held.send_if_modified(|held| std::mem::replace(held, hold) != hold);
    }

    /// Whether anything may be sealed now.
    fn hold(&self, roster: &Roster) -> Option<Hold> {
        let now = clock::now();
        if !self.store.has_room() {
            return Some(Hold::NoRoom);
        }
        if roster.standing(self.identity.serial, now) != Standing::Valid {
            return Some(Hold::Certificate);
        }
        let freshness = self.log_watch.borrow().freshness(roster.charter(), now);
        if roster.charter().staleness() == StalenessPolicy::StopPublishing
            && matches!(freshness, Freshness::Unknown | Freshness::Stale(_))
        {
            return Some(Hold::Stale);
        }
        let own = &self.identity.node;
        let is_lone = lone::is_lone(roster, own, &self.log_watch.borrow(), now);
        let hellos = self.hellos.borrow();
        if !is_lone && let Some(hold) = Hold::of(hellos.gate()) {
            let is_anybody_valid = lone::is_anybody_valid(roster, own, now);
            let last = lone::last_to_end(roster, own).filter(|_| !is_anybody_valid);
            return Some(last.map_or(hold, |(last, until)| Hold::NobodyValid {
                serial: last.serial,
                from: last.not_before,
                until,
            }));
        }
        if hellos.is_clock_off(roster.charter().clock_skew()) {
            return Some(Hold::Clock);
        }
        None
    }

    /// Seals, makes durable and gossips drafts of one group, in their order. What comes between leaves them queued.
    /// Whether anything became of any of them.
    async fn flush(&mut self, roster: &Arc<Roster>, group: GroupId, mut drafts: Vec<DraftRow>) -> bool {
        let now = clock::now();
        let position = match self.place(roster, group, now) {
            Ok(position) => position,
            Err(error @ SealError::Read(_)) => {
                tracing::error!(group = group.get(), "drafts stay queued: {error}");
                return false;
            }
            Err(error) => {
                let error = error.to_string();
                let refused = drafts.iter().map(|draft| refusal(&self.store, draft.publication, &error));
                return self.commit(refused.collect()).await.is_some();
            }
        };
        let Some(certificate) = roster.certificate(self.identity.serial) else { return false };
        let log = log_id(roster.coalition(), group, certificate, &position.instance);
        let is_keyed = |draft: &DraftRow| !draft.parts.is_empty() && draft.audience != Audience::Recipients;
        let keyed = drafts.iter().filter(|draft| is_keyed(draft)).map(|draft| draft.audience);
        let audiences: BTreeSet<Audience> = keyed.collect();
        let keys = self.keys_at_hand(roster, group, &audiences, log, now);
        let lacking = audiences.iter().filter(|audience| !keys.contains_key(audience));
        self.without_holder.extend(lacking.map(|audience| (group, *audience)));
        drafts.retain(|draft| !is_keyed(draft) || keys.contains_key(&draft.audience));
        if drafts.is_empty() {
            return false;
        }
        let (store, identity) = (self.store.clone(), Arc::clone(&self.identity));
        let sealing = Sealing { store, identity, roster: Arc::clone(roster), straight: false };
        let Some(Batch { sealed, refused, next }) = sealing.seal(drafts, position, keys).await else {
            return false;
        };
        self.places.extend(next.map(|next| (group, next)));
        if !self.roster.snapshot().stands_as(roster) {
            // The admin log moved while we sealed: a reader may be gone. Seal again under what holds now.
            self.feed.notify(Notice::DraftQueued);
            return false;
        }
        // Keys were made and pushed meanwhile: what opened the gate may be a while ago.
        if self.is_held() {
            return false;
        }
        let mut changes = Vec::with_capacity(sealed.len() + refused.len());
        let mut messages = Vec::with_capacity(sealed.len());
        for Flushing { publication, change, gossip } in sealed {
            changes.push(change);
            messages.push((publication, gossip));
        }
        for (publication, error) in refused {
            changes.push(refusal(&self.store, publication, &error.to_string()));
        }
        if changes.is_empty() {
            return false;
        }
        let Some(answers) = self.commit(changes).await else { return false };
        let is_moving = answers.iter().any(Result::is_ok);
        // The answers behind those to messages are to refusals.
        for ((publication, gossip), answer) in messages.into_iter().zip(answers) {
            if let Err(error) = answer {
                tracing::error!(%publication, "messages could not be made durable, so they were not sent: {error}");
                continue;
            }
            tracing::info!(%publication, group = group.get(), messages = gossip.len(), "published {publication}");
            self.gossip(group, gossip).await;
        }
        is_moving
    }

    /// Makes changes durable, in their order and in one synced write if they fit: an answer to each.
    async fn commit(&self, changes: Vec<Prepared>) -> Option<Vec<Answer>> {
        let answers = async { self.store.enqueue(changes).await?.durable().await };
        answers.await.map_err(|error| tracing::error!("drafts stay queued: {error}")).ok()
    }

    async fn gossip(&self, group: GroupId, messages: Vec<Vec<u8>>) {
        for (i, message) in messages.into_iter().enumerate() {
            if i > 0 && i.is_multiple_of(BURST) {
                tokio::time::sleep(PAUSE).await;
            }
            if let Err(error) = self.network.publish(Topic::Group(group), message).await {
                // Durable already; whoever connects next gets it by sync.
                tracing::debug!(group = group.get(), "not gossiped: {error}");
            }
        }
    }

    /// Sees to a key to seal with: the active one while its readers are the same, else a fresh one, durable before it is
    /// pushed and held by another member before it is used ([`super::offers`]). Whether there is one.
    async fn make_key(&mut self, roster: &Roster, place: (GroupId, Audience)) -> Result<bool, WriteError> {
        let (now, (group, audience)) = (clock::now(), place);
        let Ok(position) = self.place(roster, group, now) else { return Ok(false) };
        let Some(certificate) = roster.certificate(self.identity.serial) else { return Ok(false) };
        let log = log_id(roster.coalition(), group, certificate, &position.instance);
        if !self.keys.get(&place).is_some_and(|active| active.is_usable(roster, log, now)) {
            let epoch = self.store.own_keys(Some(group)).map_or(0, |keys| keys.len() as u64) + 1;
            let active = key::make(roster, &self.identity, group, audience, log, epoch, now);
            self.store.commit(Change::Key(active.row(0))).await?;
            tracing::info!(group = group.get(), key = %active.key.id(), "new content key");
            self.keys.insert(place, active);
        }
        Ok(true)
    }
}

/// Flushes drafts, and what is left at the desk.
async fn run(flusher: Arc<Mutex<Flusher>>, mut arriving: Arriving, mut notices: Notices) {
    let mut sweep = tokio::time::interval(SWEEP);
    sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut more = false;
    loop {
        tokio::select! {
            // What was acknowledged as a draft goes before what comes after it.
            biased;
            notice = notices.recv() => {
                let Some(notice) = notice else { return };
                let mut flusher = flusher.lock().await;
                let mut todo = flusher.heed(notice);
                // A hundred submissions at once are one look at the queue.
                while let Some(notice) = notices.at_hand() {
                    todo |= flusher.heed(notice);
                }
                if todo.push || todo.flush {
                    arriving.leave();
                }
                if todo.push {
                    flusher.push_unshared().await;
                }
                if todo.flush {
                    more = flusher.flush_queued().await;
                }
            }
            _ = sweep.tick() => {
                arriving.leave();
                let mut flusher = flusher.lock().await;
                flusher.push_unshared().await;
                more = flusher.flush_queued().await;
            }
            () = std::future::ready(()), if more => more = flusher.lock().await.flush_queued().await,
            Some(taken) = arriving.next() => flusher.lock().await.go_straight(taken).await,
        }
    }
}

/// The end of a draft that never becomes messages.
fn refusal(store: &Store, publication: PublicationId, error: &str) -> Prepared {
    tracing::warn!(%publication, "publication refused at flush: {error}");
    store.prepare(Change::DraftFailed { publication, error: error.to_owned() })
}

#[cfg(test)]
pub(super) mod tests;
