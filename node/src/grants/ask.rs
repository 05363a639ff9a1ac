//! Asking for keys that stored envelopes wait for.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use belfry_proto::{
    crypto::sign::PublicKey,
    envelope::content_key::{ContentKey, KeyError},
    id::{CoalitionId, GroupId, KeyId},
    limits::MAX_KEY_IDS,
    schema::{KeysRequest, KeysResponse, Refusal},
    verdict::Judged as _,
};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};

use super::wishes::{Answer, Holders, Question, SWEPT, Wishes};
use crate::{
    bucket::{Bucket, Rate},
    clock,
    feed::{Feed, Notice},
    identity::Identity,
    network::{Network, RequestError},
    refusals::Way,
    roster::LiveRoster,
    store::{Change, KeyRow, Store},
};

/// How long the first wishes after a quiet while gather: pages wait for their keys, and what many pages want in the
/// same moment is one question.
const GATHER: Duration = Duration::from_millis(5);
/// How long wishes gather once [`PROMPT`] is used up.
const GATHER_LONGER: Duration = Duration::from_millis(100);
/// How often wishes gather no longer than [`GATHER`]. Below what a peer's budget for requests allows, so that whoever
/// wishes without pause asks for many keys at once and is not told that the peer is busy.
const PROMPT: Rate = Rate { per_second: 8.0, burst: 64.0 };
/// How often the store is asked what still waits: notices may be lost, rows are not.
const SWEEP: Duration = Duration::from_secs(5);
/// How long a peer may take for an answer. Others are asked long before.
const PATIENCE: Duration = Duration::from_secs(10);

/// The asking half of the grants use-case.
pub struct Asking {
    asker: Arc<Asker>,
    roster: LiveRoster,
    wishes: Wishes,
    ready: BTreeSet<PublicKey>,
    /// Where the last sweep ended.
    swept: Option<KeyId>,
    prompt: Bucket,
    questions: JoinSet<(Question, Answer)>,
}

/// What a conversation needs.
struct Asker {
    identity: Arc<Identity>,
    store: Store,
    network: Network,
    feed: Feed,
    coalition: CoalitionId,
}

impl Asking {
    /// Asks over `network` for what `store` waits for.
    #[must_use]
    pub fn new(
        identity: Arc<Identity>,
        store: Store,
        network: Network,
        roster: LiveRoster,
        feed: Feed,
    ) -> Self {
        let coalition = roster.snapshot().coalition();
        Self {
            asker: Arc::new(Asker { identity, store, network, feed, coalition }),
            roster,
            wishes: Wishes::default(),
            ready: BTreeSet::new(),
            swept: None,
            prompt: Bucket::full(PROMPT, Instant::now()),
            questions: JoinSet::new(),
        }
    }

    /// Runs until the daemon stops.
    pub async fn run(mut self) {
        let mut notices = self.asker.feed.subscribe();
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut gathered: Option<Instant> = None;
        loop {
            let now = Instant::now();
            let wake = gathered.into_iter().chain(self.wishes.wakes(now)).min();
            tokio::select! {
                notice = notices.recv() => {
                    let Some(notice) = notice else { return };
                    if self.heed(notice) && gathered.is_none() {
                        gathered = Some(self.gathered(Instant::now()));
                    }
                    continue;
                }
                Some(done) = self.questions.join_next() => {
                    if let Ok((question, answer)) = done {
                        self.wishes.answered(&question, &answer, Instant::now());
                    }
                }
                _ = sweep.tick() => self.sweep(),
                () = tokio::time::sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
            }
            gathered = None;
            self.ask();
        }
    }

    /// When to ask for what is wished for now and what joins it until then.
    fn gathered(&mut self, now: Instant) -> Instant {
        now + if self.prompt.take(PROMPT, 1.0, now) { GATHER } else { GATHER_LONGER }
    }

    /// Takes in a notice; true if there may be something to ask now.
    fn heed(&mut self, notice: Notice) -> bool {
        match notice {
            Notice::KeyWanted { key, group, author } => {
                self.wishes.wish(key, group, author, Instant::now());
                true
            }
            Notice::KeyArrived(key) => {
                self.wishes.arrived(&key);
                false
            }
            Notice::PeerReady(peer) => {
                self.ready.insert(peer);
                self.wishes.came(&peer);
                !self.wishes.is_empty()
            }
            Notice::PeerGone(peer) => {
                self.ready.remove(&peer);
                false
            }
            Notice::RosterChanged(_) => {
                self.wishes.ask_anew();
                !self.wishes.is_empty()
            }
            Notice::Missed { ready } => {
                ready.difference(&self.ready).for_each(|peer| self.wishes.came(peer));
                self.ready = ready;
                self.wishes.ask_anew();
                self.sweep();
                true
            }
            _ => false,
        }
    }

    fn sweep(&mut self) {
        let store = &self.asker.store;
        let waiting = store.waiting_keys(self.swept, SWEPT).unwrap_or_default();
        // Round and round: a thousand keys that nobody has must not hide the others behind them.
        self.swept = waiting.last().filter(|_| waiting.len() == SWEPT).map(|(key, ..)| *key);
        for (key, group, author) in waiting {
            if matches!(store.key(key), Ok(Some(_))) {
                // The key came while its envelope was being stored.
                self.asker.feed.notify(Notice::KeyArrived(key));
            } else {
                self.wishes.sweep(key, group, author, Instant::now());
            }
        }
    }

    /// Begins every conversation that may begin now.
    fn ask(&mut self) {
        if !self.wishes.is_empty() {
            for question in self.wishes.next(&self.holders(), Instant::now()) {
                let asker = Arc::clone(&self.asker);
                self.questions.spawn(async move {
                    let answer = asker.ask(&question).await;
                    (question, answer)
                });
            }
        }
        for key in self.wishes.take_refused() {
            self.asker.feed.notify(Notice::KeyRefused(key));
        }
    }

    /// Connected nodes that may hold a group's keys.
    fn holders(&self) -> Holders {
        let roster = self.roster.snapshot();
        let now = clock::now();
        let mut by_group: Holders = BTreeMap::new();
        for node in &self.ready {
            let Some(certificate) = roster.by_node(node) else { continue };
            for group in certificate.groups.keys() {
                if roster.role(certificate.serial, *group, now).is_some() {
                    by_group.entry(*group).or_default().push((certificate.member, *node));
                }
            }
        }
        by_group
    }
}

impl Asker {
    async fn ask(self: &Arc<Self>, question: &Question) -> Answer {
        let peer = question.peer;
        let request = KeysRequest {
            group: question.group.get(),
            key_ids: question.keys.iter().map(|key| key.to_vec()).collect(),
            pushed: Vec::new(),
        };
        let response = match timeout(PATIENCE, self.network.keys(&peer, request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                tracing::debug!(%peer, "keys: {error}");
                let answer = of_error(&error);
                if matches!(answer, Answer::Blamed) {
                    self.network.refusals().count(Way::KeysAnswer, error.code());
                }
                return answer;
            }
            Err(_) => {
                tracing::debug!(%peer, "keys: no answer in time");
                self.network.refusals().count(Way::KeysAnswer, "silent");
                return Answer::Blamed;
            }
        };
        let later = busy(question, &response);
        let (asker, wanted) = (Arc::clone(self), question.clone());
        let opened = tokio::task::spawn_blocking(move || asker.open(&wanted, &response)).await;
        let Ok(Opened { rows, mut held, is_honest }) = opened else { return Answer::Paused };
        for id in self.keep(rows).await {
            held.push(id);
            self.feed.notify(Notice::KeyArrived(id));
        }
        if is_honest || !held.is_empty() { Answer::Kept { keys: held, later } } else { Answer::Blamed }
    }

    /// Writes the keys of one answer together; those that are durable.
    async fn keep(&self, rows: Vec<KeyRow>) -> Vec<KeyId> {
        let ids: Vec<KeyId> = rows.iter().map(|row| row.id).collect();
        let changes = rows.into_iter().map(|row| self.store.prepare(Change::Key(row))).collect();
        let written = async { self.store.enqueue(changes).await?.durable().await };
        let answers = match written.await {
            Ok(answers) => answers,
            Err(error) => {
                tracing::warn!(keys = ids.len(), "granted keys were not kept: {error}");
                return Vec::new();
            }
        };
        let kept = |(id, answer): (KeyId, Result<_, _>)| match answer {
            Ok(_) => Some(id),
            Err(error) => {
                tracing::warn!(key = %id, "a granted key was not kept: {error}");
                None
            }
        };
        ids.into_iter().zip(answers).filter_map(kept).collect()
    }

    /// Opens the grants that were asked for, each once.
    fn open(&self, question: &Question, response: &KeysResponse) -> Opened {
        let (group, peer) = (question.group, question.peer);
        let mut opened = Opened { rows: Vec::new(), held: Vec::new(), is_honest: true };
        let mut seen = BTreeSet::new();
        for grant in response.grants.iter().take(MAX_KEY_IDS) {
            let Ok(id) = KeyId::try_from(grant.key_id.as_slice()) else { continue };
            if !question.keys.contains(&id) {
                self.network.refusals().count(Way::KeysAnswer, "grant-unasked");
                continue;
            }
            if !seen.insert(id) {
                continue;
            }
            if matches!(self.store.key(id), Ok(Some(_))) {
                // Another peer was faster.
                opened.held.push(id);
                continue;
            }
            match granted(&self.identity, self.coalition, group, id, &grant.sealed) {
                Ok(row) => opened.rows.push(row),
                Err(reason) => {
                    opened.is_honest = false;
                    self.network.refusals().count(Way::KeysAnswer, reason.code());
                    tracing::warn!(%peer, key = %id, "{peer} sent a key that is not the one asked for: {reason}");
                }
            }
        }
        opened
    }
}

struct Opened {
    rows: Vec<KeyRow>,
    /// Keys that were here already.
    held: Vec<KeyId>,
    is_honest: bool,
}

/// Why a grant is none.
#[derive(Debug, thiserror::Error)]
enum GrantFault {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("it is of group {0}")]
    OtherGroup(GroupId),
}

impl GrantFault {
    fn code(&self) -> &'static str {
        match self {
            Self::Key(error) => error.code(),
            Self::OtherGroup(_) => "key-other-group",
        }
    }
}

fn granted(
    identity: &Identity,
    coalition: CoalitionId,
    group: GroupId,
    id: KeyId,
    sealed: &[u8],
) -> Result<KeyRow, GrantFault> {
    let key = ContentKey::from_grant(&identity.kem, coalition, id, sealed)?;
    match key.context().group {
        of if of == group => Ok(KeyRow::received(&key)),
        of => Err(GrantFault::OtherGroup(of)),
    }
}

/// Keys that the peer has no time for now.
fn busy(question: &Question, response: &KeysResponse) -> Vec<KeyId> {
    let busy = response.refused.iter().take(MAX_KEY_IDS);
    let busy = busy.filter(|refused| refused.refusal == i32::from(Refusal::Busy));
    let ids = busy.filter_map(|refused| KeyId::try_from(refused.key_id.as_slice()).ok());
    ids.filter(|id| question.keys.contains(id)).collect()
}

fn of_error(error: &RequestError) -> Answer {
    match error {
        RequestError::Timeout | RequestError::Malformed(_) | RequestError::Stream(_) => Answer::Blamed,
        RequestError::NotAllowed
        | RequestError::NotConnected
        | RequestError::Held
        | RequestError::Older
        | RequestError::Closed
        | RequestError::Busy
        | RequestError::Invalid(_)
        | RequestError::Stopped(_) => Answer::Paused,
    }
}
