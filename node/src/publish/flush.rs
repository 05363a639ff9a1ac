//! From durable draft to signed messages.
//!
//! Sequence numbers, keys, roster and signature are assigned here and nowhere else, one draft at a time,
//! so a crash between any two lines leaves either a draft or its messages, never half of them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use belfry_proto::{
    crypto::sign::PublicKey,
    envelope::Position,
    id::{GroupId, MemberId, PublicationId},
    schema::{AcceptancePolicy, Audience, StalenessPolicy},
    time::Timestamp,
    topic::Topic,
    trust::roster::{Roster, Standing},
};
use tokio::sync::watch;

use super::{
    key::{self, ActiveKey},
    push::Failures,
    seal::{self, Sealed},
    straight::{self, Arriving, Desk},
};
use crate::{
    clock,
    feed::{Feed, Notice},
    identity::Identity,
    membership::{Freshness, Gate, Hellos, LogWatch},
    network::Network,
    roster::LiveRoster,
    store::{Change, DraftState, Store},
};

/// How often queued drafts are looked at without a notice.
const SWEEP: Duration = Duration::from_secs(2);
/// Messages gossiped back to back; gossip loses bursts (a fifth of one in a trial), so publishers pause.
const BURST: usize = 16;
/// The pause after a burst.
const PAUSE: Duration = Duration::from_millis(40);
/// Drafts flushed in one go.
const AT_ONCE: usize = 64;

/// Why drafts wait. Shown in status, never fatal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Hold {
    /// No peer has answered a hello yet, so the admin log and our own heads may be behind.
    #[error("no other node has answered yet, so the admin log may be behind; is [network] bootstrap right?")]
    NoHello,
    /// Everybody who did is gone, so a reader may have been revoked meanwhile.
    #[error("every other node was lost, so the admin log may be behind; the next hello ends this")]
    Lost,
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

/// Why new data of this member would belong into no log now, if it would not.
pub(super) fn stopped(roster: &Roster, member: MemberId, now: Timestamp) -> Option<Hold> {
    if roster.charter().is_expired_at(now) {
        return Some(Hold::Charter);
    }
    let overdue = roster.overdue(member, roster.charter(), now);
    matches!(overdue, Some(AcceptancePolicy::StopPublishing | AcceptancePolicy::Suspend))
        .then_some(Hold::Texts)
}

/// The flushing half of the publish use-case.
pub struct Flusher {
    pub(super) identity: Arc<Identity>,
    pub(super) store: Store,
    pub(super) network: Network,
    pub(super) roster: LiveRoster,
    pub(super) feed: Feed,
    pub(super) hellos: watch::Receiver<Hellos>,
    log_watch: watch::Receiver<LogWatch>,
    desk: Desk,
    arriving: Arriving,
    held: watch::Sender<Option<Hold>>,
    pub(super) keys: BTreeMap<(GroupId, Audience), ActiveKey>,
    pub(super) ready: std::collections::BTreeSet<PublicKey>,
    pub(super) failures: Failures,
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
        let (desk, arriving) = straight::desk();
        Self {
            identity,
            store,
            network,
            roster,
            feed,
            hellos,
            log_watch,
            desk,
            arriving,
            held: watch::Sender::new(None),
            keys: BTreeMap::new(),
            ready: std::collections::BTreeSet::new(),
            failures: Failures::default(),
        }
    }

    /// Why drafts wait, if they do.
    #[must_use]
    pub fn held(&self) -> watch::Receiver<Option<Hold>> {
        self.held.subscribe()
    }

    /// Where submissions are left that can go out at once.
    #[must_use]
    pub fn desk(&self) -> Desk {
        self.desk.clone()
    }

    /// Runs until the daemon stops.
    pub async fn run(mut self) {
        let mut notices = self.feed.subscribe();
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // What was acknowledged as a draft goes before what comes after it.
                biased;
                notice = notices.recv() => match notice {
                    Some(Notice::DraftQueued) => self.flush_queued().await,
                    Some(Notice::PeerReady(peer)) => {
                        self.ready.insert(peer);
                        self.push_unshared().await;
                        self.flush_queued().await;
                    }
                    Some(Notice::PeerGone(peer)) => { self.ready.remove(&peer); }
                    Some(Notice::Missed { ready }) => {
                        self.ready = ready;
                        self.push_unshared().await;
                        self.flush_queued().await;
                    }
                    Some(_) => {}
                    None => return,
                },
                _ = sweep.tick() => {
                    self.push_unshared().await;
                    self.flush_queued().await;
                }
                Some(taken) = self.arriving.next() => self.go_straight(taken).await,
            }
        }
    }

    async fn flush_queued(&mut self) {
        let drafts = match self.store.queued(AT_ONCE) {
            Ok(drafts) => drafts,
            Err(error) => {
                tracing::error!("drafts cannot be read: {error}");
                return;
            }
        };
        if drafts.is_empty() {
            self.tell(None);
        }
        for draft in drafts {
            if self.is_held() {
                return;
            }
            self.flush(draft).await;
        }
    }

    /// Whether sealing has to wait, which is told.
    pub(super) fn is_held(&self) -> bool {
        let hold = self.hold(&self.roster.snapshot());
        self.tell(hold);
        hold.is_some()
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
        let others = roster.certificates().map(|certificate| certificate.node);
        let mut others = others.filter(|node| *node != self.identity.node);
        let alone = !others.any(|node| roster.is_admitted(&node, now));
        let hellos = self.hellos.borrow();
        match hellos.gate() {
            _ if alone => {}
            Gate::Open => {}
            Gate::NoHello => return Some(Hold::NoHello),
            Gate::Lost => return Some(Hold::Lost),
            Gate::Asking => return Some(Hold::Asking),
            Gate::OwnLogs => return Some(Hold::OwnLogs),
            Gate::Behind => return Some(Hold::Behind),
            Gate::Ahead => return Some(Hold::Ahead),
        }
        let skew = i64::try_from(roster.charter().clock_skew().as_micros()).unwrap_or(i64::MAX);
        if hellos.clock_offset().is_some_and(|offset| offset.saturating_abs() > skew) {
            return Some(Hold::Clock);
        }
        None
    }

    /// Seals, makes durable and gossips one draft. What comes between leaves it queued.
    async fn flush(&mut self, publication: PublicationId) {
        let draft = match self.store.draft(publication) {
            Ok(Some(draft)) if draft.state == DraftState::Queued => draft,
            Ok(_) => return,
            Err(error) => {
                tracing::error!(%publication, "draft cannot be read: {error}");
                return;
            }
        };
        let roster = self.roster.snapshot();
        let known = self.hellos.borrow().own_logs.clone();
        let now = clock::now();
        // It would belong into no log. What was accepted before waits; what takes back goes out.
        if !draft.parts.is_empty()
            && let Some(hold) = stopped(&roster, self.identity.member, now)
        {
            return self.tell(Some(hold));
        }
        let position = match seal::position(&self.store, &self.identity, &roster, draft.group, &known, now) {
            Ok(position) => position,
            Err(error) => return self.fail(publication, &error.to_string()).await,
        };
        let key = if draft.audience == Audience::Recipients || draft.parts.is_empty() {
            None
        } else {
            match self.usable_key(&roster, draft.group, draft.audience, &position).await {
                Ok(key) => Some(key),
                Err(error) => {
                    tracing::error!(%publication, "no content key could be made durable: {error}");
                    return;
                }
            }
        };
        let group = draft.group;
        let (identity, sealing) = (Arc::clone(&self.identity), Arc::clone(&roster));
        let sealed = tokio::task::spawn_blocking(move || {
            seal::seal_draft(&draft, position, key.as_ref(), &identity, &sealing, clock::now())
        })
        .await;
        let Sealed { rows, gossip } = match sealed {
            Ok(Ok(sealed)) => sealed,
            Ok(Err(error)) => return self.fail(publication, &error.to_string()).await,
            Err(panicked) => return self.fail(publication, &panicked.to_string()).await,
        };
        if self.roster.snapshot().version() != roster.version() {
            // The admin log moved while we sealed: a reader may be gone. Seal again under what holds now.
            return self.feed.notify(Notice::DraftQueued);
        }
        // Keys were made and pushed meanwhile: what opened the gate may be a while ago.
        if self.is_held() {
            return;
        }
        if let Err(error) = self.store.commit(Change::Flushed { publication, envelopes: rows }).await {
            tracing::error!(%publication, "messages could not be made durable, so they were not sent: {error}");
            return;
        }
        tracing::info!(%publication, group = group.get(), messages = gossip.len(), "published {publication}");
        self.gossip(group, gossip).await;
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

    async fn fail(&self, publication: PublicationId, error: &str) {
        tracing::warn!(%publication, "publication refused at flush: {error}");
        let change = Change::DraftFailed { publication, error: error.to_owned() };
        if let Err(error) = self.store.commit(change).await {
            tracing::error!(%publication, "its failure could not be recorded: {error}");
        }
    }

    /// The key to seal with: the active one while its readers did not shrink, else a fresh one, durable
    /// and pushed before it is used.
    async fn usable_key(
        &mut self,
        roster: &Roster,
        group: GroupId,
        audience: Audience,
        position: &Position,
    ) -> Result<belfry_proto::envelope::content_key::ContentKey, crate::store::WriteError> {
        let now = clock::now();
        let Some(certificate) = roster.certificate(self.identity.serial) else {
            return Err(crate::store::WriteError::Missing("certificate of this node"));
        };
        let log = belfry_proto::envelope::log_id(roster.coalition(), group, certificate, &position.instance);
        if let Some(active) = self.keys.get(&(group, audience))
            && active.is_usable(roster, log, now)
        {
            return Ok(active.key.clone());
        }
        let epoch = self.store.own_keys(Some(group)).map_or(0, |keys| keys.len() as u64) + 1;
        let active = key::make(roster, &self.identity, group, audience, log, epoch, now);
        self.store.commit(Change::Key(active.row(0))).await?;
        let content = active.key.clone();
        tracing::info!(group = group.get(), key = %content.id(), "new content key");
        self.keys.insert((group, audience), active);
        self.push_fresh((group, audience)).await;
        Ok(content)
    }
}
