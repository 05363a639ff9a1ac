//! Asking for keys that stored envelopes wait for.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use belfry_proto::{
    crypto::sign::PublicKey,
    envelope::content_key::ContentKey,
    id::{GroupId, KeyId, MemberId},
    limits::MAX_KEY_IDS,
    schema::KeysRequest,
};
use tokio::time::Instant;

use crate::{
    clock,
    feed::{Feed, Notice},
    identity::Identity,
    network::Network,
    roster::LiveRoster,
    store::{Change, KeyRow, Store},
};

/// How long wishes gather, so that a burst under one key is one question.
const GATHER: Duration = Duration::from_millis(100);
/// How often the store is asked what still waits: notices may be lost, rows are not.
const SWEEP: Duration = Duration::from_secs(5);
/// First wait after everybody said no; doubles to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(120);
/// Keys asked for at once, and looked at in one sweep.
const AT_ONCE: usize = 1024;
/// Of them, keys that one author's messages name: headers may name keys that nobody has, and must not keep
/// others' from being asked for.
const PER_AUTHOR: usize = 64;

struct Wish {
    group: GroupId,
    author: MemberId,
    asked: BTreeSet<PublicKey>,
    rounds: u32,
    not_before: Instant,
}

/// The asking half of the grants use-case.
pub struct Asking {
    identity: Arc<Identity>,
    store: Store,
    network: Network,
    roster: LiveRoster,
    feed: Feed,
    wishes: BTreeMap<KeyId, Wish>,
    ready: BTreeSet<PublicKey>,
    /// Where the last sweep ended.
    swept: Option<KeyId>,
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
        let (wishes, ready) = (BTreeMap::new(), BTreeSet::new());
        Self { identity, store, network, roster, feed, wishes, ready, swept: None }
    }

    /// Runs until the daemon stops.
    pub async fn run(mut self) {
        let mut notices = self.feed.subscribe();
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut due: Option<Instant> = None;
        loop {
            let wake = due.unwrap_or_else(|| Instant::now() + SWEEP);
            tokio::select! {
                notice = notices.recv() => {
                    let Some(notice) = notice else { return };
                    if self.heed(notice) {
                        due.get_or_insert_with(|| Instant::now() + GATHER);
                    }
                }
                _ = sweep.tick() => {
                    self.sweep();
                    due = Some(Instant::now());
                }
                () = tokio::time::sleep_until(wake), if due.is_some() => {
                    due = None;
                    if self.ask_round().await {
                        due = Some(Instant::now() + GATHER);
                    }
                }
            }
        }
    }

    /// Takes in a notice; true if there may be something to ask now.
    fn heed(&mut self, notice: Notice) -> bool {
        match notice {
            Notice::KeyWanted { key, group, author } => {
                self.wish(key, group, author);
                true
            }
            Notice::KeyArrived(key) => {
                self.wishes.remove(&key);
                false
            }
            Notice::PeerReady(peer) => {
                self.ready.insert(peer);
                self.retry_all();
                !self.wishes.is_empty()
            }
            Notice::PeerGone(peer) => {
                self.ready.remove(&peer);
                false
            }
            Notice::RosterChanged(_) => {
                self.retry_all();
                !self.wishes.is_empty()
            }
            Notice::Missed { ready } => {
                self.ready = ready;
                self.retry_all();
                self.sweep();
                true
            }
            _ => false,
        }
    }

    fn wish(&mut self, key: KeyId, group: GroupId, author: MemberId) {
        if !has_room(&self.wishes, author) {
            return;
        }
        self.wishes.entry(key).or_insert_with(|| Wish {
            group,
            author,
            asked: BTreeSet::new(),
            rounds: 0,
            not_before: Instant::now(),
        });
    }

    fn retry_all(&mut self) {
        let now = Instant::now();
        for wish in self.wishes.values_mut() {
            wish.asked.clear();
            wish.not_before = now;
        }
    }

    fn sweep(&mut self) {
        let waiting = self.store.waiting_keys(self.swept, AT_ONCE).unwrap_or_default();
        // Round and round: a thousand keys that nobody has must not hide the others behind them.
        self.swept = waiting.last().filter(|_| waiting.len() == AT_ONCE).map(|(key, ..)| *key);
        for (key, group, author) in waiting {
            if matches!(self.store.key(key), Ok(Some(_))) {
                // The key came while its envelope was being stored.
                self.feed.notify(Notice::KeyArrived(key));
            } else {
                self.wish(key, group, author);
            }
        }
    }

    /// Asks one peer for each due key; true if more peers remain to be asked.
    async fn ask_round(&mut self) -> bool {
        let now = Instant::now();
        let mut questions: BTreeMap<(PublicKey, GroupId), Vec<KeyId>> = BTreeMap::new();
        let candidates = self.candidates();
        for (key, wish) in &mut self.wishes {
            if wish.not_before > now {
                continue;
            }
            let readers = candidates.get(&wish.group).map_or(&[][..], Vec::as_slice);
            let next = readers
                .iter()
                .filter(|(_, node)| !wish.asked.contains(node))
                .min_by_key(|(member, _)| *member != wish.author);
            match next {
                Some((_, node)) => {
                    wish.asked.insert(*node);
                    questions.entry((*node, wish.group)).or_default().push(*key);
                }
                None => {
                    let wait = FIRST_WAIT.saturating_mul(1 << wish.rounds.min(10)).min(LONGEST_WAIT);
                    wish.rounds = wish.rounds.saturating_add(1);
                    wish.not_before = now + wait;
                    wish.asked.clear();
                }
            }
        }
        let mut asked = false;
        for ((peer, group), keys) in questions {
            for chunk in keys.chunks(MAX_KEY_IDS) {
                asked = true;
                self.ask(peer, group, chunk).await;
            }
        }
        asked && !self.wishes.is_empty()
    }

    /// Connected nodes that may hold a group's keys.
    fn candidates(&self) -> BTreeMap<GroupId, Vec<(MemberId, PublicKey)>> {
        let roster = self.roster.snapshot();
        let now = clock::now();
        let mut by_group: BTreeMap<GroupId, Vec<(MemberId, PublicKey)>> = BTreeMap::new();
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

    async fn ask(&mut self, peer: PublicKey, group: GroupId, keys: &[KeyId]) {
        let request = KeysRequest {
            group: group.get(),
            key_ids: keys.iter().map(|key| key.to_vec()).collect(),
            pushed: Vec::new(),
        };
        let response = match self.network.keys(&peer, request).await {
            Ok(response) => response,
            Err(error) => {
                tracing::debug!(%peer, "keys: {error}");
                return;
            }
        };
        let coalition = self.roster.snapshot().coalition();
        for grant in response.grants.into_iter().take(MAX_KEY_IDS) {
            let Ok(id) = KeyId::try_from(grant.key_id.as_slice()) else { continue };
            if !keys.contains(&id) {
                continue;
            }
            let key = match ContentKey::from_grant(&self.identity.kem, coalition, id, &grant.sealed) {
                Ok(key) if key.context().group == group => key,
                Ok(_) => continue,
                Err(error) => {
                    tracing::warn!(%peer, key = %id, "{peer} sent a key that is not the one asked for: {error}");
                    continue;
                }
            };
            match self.store.commit(Change::Key(KeyRow::received(&key))).await {
                Ok(_) => {
                    self.wishes.remove(&id);
                    self.feed.notify(Notice::KeyArrived(id));
                }
                Err(error) => tracing::warn!(key = %id, "a granted key was not kept: {error}"),
            }
        }
    }
}

/// Whether one more key that an author's message names may be wished for.
fn has_room(wishes: &BTreeMap<KeyId, Wish>, author: MemberId) -> bool {
    wishes.len() < AT_ONCE && wishes.values().filter(|wish| wish.author == author).count() < PER_AUTHOR
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_authors_junk_keys_leave_room_for_everybody_elses() {
        let mut wishes = BTreeMap::new();
        let mut wish = |n: u32, author: u8| {
            let author = MemberId::new([author; 16]);
            let mut key = [author.as_bytes()[0]; 32];
            key[..4].copy_from_slice(&n.to_be_bytes());
            let room = has_room(&wishes, author);
            if room {
                let (group, not_before) = (GroupId::new(5), Instant::now());
                let wish = Wish { group, author, asked: BTreeSet::new(), rounds: 0, not_before };
                wishes.insert(KeyId::new(key), wish);
            }
            room
        };
        assert_eq!((0..5_000).filter(|n| wish(*n, 1)).count(), PER_AUTHOR);
        assert!(wish(0, 2));
        let all: usize = (3..=200).map(|author| (0..99).filter(|n| wish(*n, author)).count()).sum();
        assert_eq!(all + PER_AUTHOR + 1, AT_ONCE);
    }
}
