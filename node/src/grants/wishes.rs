//! Which keys are wished for, and whom to ask for which next. No socket, no clock: time is an argument.
//!
//! ```text
//! wish ─▶ due ─▶ a question to its author's node, else to another reader ─▶ kept: no wish any more
//!          ▲                                      ├─▶ no answer for a second: to the next one besides
//!          │                                      ├─▶ refused: to the next one
//!          └── rests, ever longer ◀── nobody left ┘
//! ```
//!
//! Many keys cannot be had for a long time: made before one's entitlement, or named by a header and never made. They
//! must not keep others from being asked for. A wish that comes with a message is new and takes, if need be, the
//! place of the one that was asked for most often in vain; what lost its place waits in the store, and the sweep
//! brings it back, a few at a time, where there is room or something was tried even more often. What was tried
//! least is asked for first.
//!
//! A peer that is silent, or sends a key that is not the one asked for, rests ever longer itself. Questions under
//! way are few, and fewer to one peer: a silent one costs its own places only.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use belfry_proto::{
    crypto::sign::PublicKey,
    id::{GroupId, KeyId, MemberId},
    limits::MAX_KEY_IDS,
    time::doubled,
};
use tokio::time::Instant;

/// Keys wished for at once.
const AT_ONCE: usize = 1024;
/// Of them, keys that one author's messages name: headers may name keys that nobody has, and must not keep
/// others' from being asked for.
const PER_AUTHOR: usize = 64;
/// Keys that a sweep takes from the store. Each is a look into a peer's store, of which a peer gives 128 a second; this
/// many every five seconds leave most of them to new wishes.
pub(super) const SWEPT: usize = 128;
/// How often a key counts as tried that a sweep brings: it lost its place, or waited through a restart. Asked for in
/// vain once more it rests for a quarter of a minute, and keeps its place no longer than the next ones need.
const SWEPT_ROUNDS: u32 = 4;
/// Questions under way to all peers. Each answer may be 128 KiB.
const QUESTIONS: usize = 32;
/// Questions under way to one peer: as many as an honest one answers side by side.
const PER_PEER: usize = 2;
/// Peers being asked for one key: the first, and those asked because it took long.
const PER_KEY: usize = 3;
/// After this another peer is asked besides: far above any round trip and its hundred microseconds of work.
const HEDGE: Duration = Duration::from_secs(1);
/// A wish's first rest after everybody said no; doubles to [`LONGEST_REST`].
const FIRST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(120);
/// A peer's first rest after silence or a lie; doubles to [`LONGEST_BLAME`].
const FIRST_BLAME: Duration = Duration::from_secs(2);
const LONGEST_BLAME: Duration = Duration::from_secs(300);
/// A peer's first rest after it said it is busy, or was gone; doubles to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Peers whose faults are remembered; those whose rest is over are forgotten beyond it.
const PEERS: usize = 1024;

/// Nodes that may hold a group's keys, with their members.
pub(super) type Holders = BTreeMap<GroupId, Vec<(MemberId, PublicKey)>>;

/// Something to ask a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) peer: PublicKey,
    pub(super) group: GroupId,
    pub(super) keys: Vec<KeyId>,
    number: u64,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// These keys are in the store now. Of the others, `later` may be asked for again soon.
    Kept { keys: Vec<KeyId>, later: Vec<KeyId> },
    /// No answer, or none that an honest peer gives.
    Blamed,
    /// The peer had no time, or was gone.
    Paused,
}

#[derive(Debug)]
struct Wish {
    group: GroupId,
    author: MemberId,
    /// Since the last rest.
    asked: BTreeSet<PublicKey>,
    under_way: BTreeSet<u64>,
    hedge: Instant,
    rounds: u32,
    rests: Option<Instant>,
}

#[derive(Debug)]
struct Peer {
    under_way: usize,
    faults: u32,
    pauses: u32,
    not_before: Instant,
}

/// The wishes, and what is remembered of peers.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    wishes: BTreeMap<KeyId, Wish>,
    peers: BTreeMap<PublicKey, Peer>,
    under_way: usize,
    number: u64,
    /// Keys that nobody gives now, since the last [`Self::take_refused`]; bounded by those wished for in between.
    refused: Vec<KeyId>,
}

impl Wishes {
    /// Wishes for the key of a message that came just now; of one author's, and of all, only so many.
    pub(super) fn wish(&mut self, key: KeyId, group: GroupId, author: MemberId, now: Instant) {
        self.add(key, group, author, 0, now);
        // It rests, or found no place: whoever waits for it need not.
        if self.wishes.get(&key).is_none_or(|wish| wish.rests.is_some_and(|until| until > now)) {
            self.refused.push(key);
        }
    }

    /// Keys that everybody here was asked for in vain, or that are not asked for at all now, since the last call.
    pub(super) fn take_refused(&mut self) -> Vec<KeyId> {
        std::mem::take(&mut self.refused)
    }

    /// Wishes for a key that has been waited for.
    pub(super) fn sweep(&mut self, key: KeyId, group: GroupId, author: MemberId, now: Instant) {
        self.add(key, group, author, SWEPT_ROUNDS, now);
    }

    fn add(&mut self, key: KeyId, group: GroupId, author: MemberId, rounds: u32, now: Instant) {
        if self.wishes.contains_key(&key) {
            return;
        }
        let of_author = self.wishes.values().filter(|wish| wish.author == author).count();
        let has_place = match (of_author >= PER_AUTHOR, self.wishes.len() >= AT_ONCE) {
            (true, _) => self.give_way(rounds, |wish| wish.author == author),
            (false, true) => self.give_way(rounds, |_| true),
            (false, false) => true,
        };
        if has_place {
            let (asked, under_way) = (BTreeSet::new(), BTreeSet::new());
            let wish = Wish { group, author, asked, under_way, hedge: now, rounds, rests: None };
            self.wishes.insert(key, wish);
        }
    }

    /// Drops the wish among `these` that was tried most often, if it was more often than `rounds`.
    fn give_way(&mut self, rounds: u32, these: impl Fn(&Wish) -> bool) -> bool {
        let idle = self.wishes.iter().filter(|(_, wish)| wish.under_way.is_empty() && these(wish));
        let most = idle.max_by_key(|(_, wish)| wish.rounds).filter(|(_, wish)| wish.rounds > rounds);
        match most.map(|(key, _)| *key) {
            Some(key) => self.wishes.remove(&key).is_some(),
            None => false,
        }
    }

    /// The key is here.
    pub(super) fn arrived(&mut self, key: &KeyId) {
        self.wishes.remove(key);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.wishes.is_empty()
    }

    /// The peer may be asked, even for what rests: it was not there when everybody was. Its own rest goes on.
    pub(super) fn came(&mut self, peer: &PublicKey) {
        for wish in self.wishes.values_mut() {
            wish.asked.remove(peer);
        }
    }

    /// Everybody may answer differently now.
    pub(super) fn ask_anew(&mut self) {
        for wish in self.wishes.values_mut() {
            wish.asked.clear();
            wish.rests = None;
        }
    }

    /// What to ask now. Each question must be ended by [`Self::answered`].
    pub(super) fn next(&mut self, holders: &Holders, now: Instant) -> Vec<Question> {
        let mut questions: Vec<Question> = Vec::new();
        let mut by_rounds: Vec<_> = self.wishes.iter_mut().collect();
        by_rounds.sort_by_key(|(_, wish)| wish.rounds);
        for (key, wish) in by_rounds {
            if wish.rests.is_some_and(|until| until <= now) {
                wish.rests = None;
                wish.asked.clear();
            }
            let waits = !wish.under_way.is_empty() && (wish.hedge > now || wish.under_way.len() >= PER_KEY);
            if waits {
                continue;
            }
            let readers = holders.get(&wish.group).map_or(&[][..], Vec::as_slice);
            let mut unasked = readers.iter().filter(|(_, node)| !wish.asked.contains(node)).peekable();
            if unasked.peek().is_none() {
                if wish.under_way.is_empty() && wish.rests.is_none() {
                    let rest = doubled(FIRST_REST, wish.rounds, LONGEST_REST);
                    wish.rounds = wish.rounds.saturating_add(1);
                    wish.rests = Some(now + rest);
                    self.refused.push(*key);
                }
                continue;
            }
            let group = wish.group;
            let to = |node: PublicKey| questions.iter().filter(move |question| question.peer == node);
            let place = |node: &PublicKey| {
                questions
                    .iter()
                    .position(|q| (q.peer, q.group) == (*node, group) && q.keys.len() < MAX_KEY_IDS)
            };
            let is_free = |node: &PublicKey| {
                let peer = self.peers.get(node);
                let rests = peer.is_some_and(|peer| peer.not_before > now);
                let open = peer.map_or(0, |peer| peer.under_way) + to(*node).count();
                let fits = open < PER_PEER && self.under_way + questions.len() < QUESTIONS;
                !rests && (fits || place(node).is_some())
            };
            let load = |node: &PublicKey| to(*node).map(|question| question.keys.len()).sum::<usize>();
            let faults = |node: &PublicKey| self.peers.get(node).map_or(0, |peer| peer.faults);
            let best = unasked
                .filter(|(_, node)| is_free(node))
                .min_by_key(|(member, node)| (*member != wish.author, faults(node), load(node)));
            let Some(&(_, peer)) = best else { continue };
            let number = match place(&peer).and_then(|at| questions.get_mut(at)) {
                Some(question) => {
                    question.keys.push(*key);
                    question.number
                }
                None => {
                    self.number += 1;
                    questions.push(Question { peer, group, keys: vec![*key], number: self.number });
                    self.number
                }
            };
            wish.asked.insert(peer);
            wish.under_way.insert(number);
            wish.hedge = now + HEDGE;
        }
        for question in &questions {
            self.under_way += 1;
            self.peer(question.peer, now).under_way += 1;
        }
        questions
    }

    /// A question has ended.
    pub(super) fn answered(&mut self, question: &Question, answer: &Answer, now: Instant) {
        self.under_way = self.under_way.saturating_sub(1);
        for key in &question.keys {
            if let Some(wish) = self.wishes.get_mut(key) {
                wish.under_way.remove(&question.number);
            }
        }
        let peer = self.peer(question.peer, now);
        peer.under_way = peer.under_way.saturating_sub(1);
        let (later, rest) = match answer {
            Answer::Kept { keys, later } => {
                peer.faults = 0;
                if later.is_empty() {
                    peer.pauses = 0;
                }
                for key in keys {
                    self.wishes.remove(key);
                }
                (later.as_slice(), !later.is_empty())
            }
            Answer::Blamed => {
                let rest = doubled(FIRST_BLAME, peer.faults, LONGEST_BLAME);
                peer.faults = peer.faults.saturating_add(1);
                peer.not_before = peer.not_before.max(now + rest);
                (&[][..], false)
            }
            Answer::Paused => (question.keys.as_slice(), true),
        };
        if rest {
            let peer = self.peer(question.peer, now);
            let rest = doubled(FIRST_PAUSE, peer.pauses, LONGEST_PAUSE);
            peer.pauses = peer.pauses.saturating_add(1);
            peer.not_before = peer.not_before.max(now + rest);
        }
        for key in later {
            if let Some(wish) = self.wishes.get_mut(key) {
                wish.asked.remove(&question.peer);
            }
        }
    }

    /// When to call [`Self::next`] again although nothing happens until then.
    pub(super) fn wakes(&self, now: Instant) -> Option<Instant> {
        if self.wishes.is_empty() {
            return None;
        }
        let wishes = self.wishes.values().flat_map(|wish| {
            let hedge = (!wish.under_way.is_empty()).then_some(wish.hedge);
            hedge.into_iter().chain(wish.rests)
        });
        let peers = self.peers.values().map(|peer| peer.not_before);
        wishes.chain(peers).filter(|at| *at > now).min()
    }

    fn peer(&mut self, peer: PublicKey, now: Instant) -> &mut Peer {
        if self.peers.len() > PEERS {
            self.peers.retain(|name, state| *name == peer || state.under_way > 0 || state.not_before > now);
        }
        self.peers.entry(peer).or_insert(Peer { under_way: 0, faults: 0, pauses: 0, not_before: now })
    }
}

#[cfg(test)]
mod tests;
