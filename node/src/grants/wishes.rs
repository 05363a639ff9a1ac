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
mod tests {
    use belfry_proto::crypto::sign::SigningKey;

    use super::*;

    const GROUP: GroupId = GroupId::new(5);

    fn node(seed: u8) -> PublicKey {
        SigningKey::from_seed(&[seed; 32]).public()
    }

    fn member(n: u8) -> MemberId {
        MemberId::new([n; 16])
    }

    fn key(n: u32, author: u8) -> KeyId {
        let mut key = [author; 32];
        key[..4].copy_from_slice(&n.to_be_bytes());
        KeyId::new(key)
    }

    /// Members 1 to `count`, node `n` of member `n` each.
    fn holders(count: u8) -> Holders {
        BTreeMap::from([(GROUP, (1..=count).map(|n| (member(n), node(n))).collect())])
    }

    fn wishing(keys: u32, author: u8, now: Instant) -> Wishes {
        let mut wishes = Wishes::default();
        (0..keys).for_each(|n| wishes.wish(key(n, author), GROUP, member(author), now));
        wishes
    }

    fn kept(question: &Question) -> Answer {
        Answer::Kept { keys: question.keys.clone(), later: Vec::new() }
    }

    const NOTHING: Answer = Answer::Kept { keys: Vec::new(), later: Vec::new() };

    #[tokio::test(start_paused = true)]
    async fn one_authors_junk_keys_leave_room_for_everybody_elses() {
        let (mut wishes, now) = (Wishes::default(), Instant::now());
        (0..5_000).for_each(|n| wishes.wish(key(n, 1), GROUP, member(1), now));
        assert_eq!(wishes.wishes.len(), PER_AUTHOR);
        wishes.wish(key(0, 2), GROUP, member(2), now);
        assert_eq!(wishes.wishes.len(), PER_AUTHOR + 1);
        for author in 3..=200 {
            (0..99).for_each(|n| wishes.wish(key(n, author), GROUP, member(author), now));
        }
        assert_eq!(wishes.wishes.len(), AT_ONCE);
    }

    /// Lets everybody refuse everything until nothing is to be asked at this moment.
    fn refuse_all(wishes: &mut Wishes, holders: &Holders, now: Instant) -> usize {
        let mut asked = 0;
        loop {
            let questions = wishes.next(holders, now);
            if questions.is_empty() {
                return asked;
            }
            for question in questions {
                asked += question.keys.len();
                wishes.answered(&question, &NOTHING, now);
            }
        }
    }

    /// A late joiner: thousands of keys that nobody may give it yet, and then a message of today.
    #[tokio::test(start_paused = true)]
    async fn keys_that_cannot_be_had_keep_no_new_one_from_being_asked_for_at_once() {
        let mut now = Instant::now();
        let mut wishes = Wishes::default();
        for author in 1..=20 {
            (0..400).for_each(|n| wishes.sweep(key(n, author), GROUP, member(author), now));
        }
        assert_eq!(wishes.wishes.len(), AT_ONCE);
        for _ in 0..5 {
            refuse_all(&mut wishes, &holders(30), now);
            now = wishes.wakes(now).unwrap();
        }
        refuse_all(&mut wishes, &holders(30), now);
        // Of an author with as many of them as it may have, and of one that has none yet.
        for author in [7, 30] {
            wishes.wish(key(9_999, author), GROUP, member(author), now);
            let questions = wishes.next(&holders(30), now);
            let asked = questions.iter().find(|question| question.peer == node(author)).unwrap();
            assert_eq!(asked.keys, [key(9_999, author)], "alone, and of its author");
        }
        assert_eq!(wishes.wishes.len(), AT_ONCE);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_a_key_that_nobody_gives_now_is_told_so() {
        let now = Instant::now();
        let mut wishes = wishing(2, 1, now);
        assert_eq!(wishes.take_refused(), [], "it is being asked for");
        refuse_all(&mut wishes, &holders(3), now);
        assert_eq!(
            wishes.take_refused().iter().collect::<BTreeSet<_>>(),
            [key(0, 1), key(1, 1)].iter().collect()
        );
        assert_eq!(wishes.take_refused(), [], "once");
        wishes.wish(key(1, 1), GROUP, member(1), now);
        assert_eq!(wishes.take_refused(), [key(1, 1)], "while it rests, at once");
        let rested = wishes.wakes(now).unwrap();
        wishes.wish(key(1, 1), GROUP, member(1), rested);
        assert_eq!(wishes.take_refused(), [], "then it is asked for again");
        // With nobody here to ask, and without a place.
        let mut alone = wishing(u32::try_from(PER_AUTHOR).unwrap(), 1, now);
        assert_eq!(alone.take_refused(), []);
        alone.wish(key(9_999, 1), GROUP, member(1), now);
        assert_eq!(alone.take_refused(), [key(9_999, 1)]);
        assert_eq!(alone.next(&Holders::new(), now), []);
        assert_eq!(alone.take_refused().len(), PER_AUTHOR);
    }

    /// In the list they take turns with those that had no place, so whatever can be had is asked for in the end.
    #[tokio::test(start_paused = true)]
    async fn a_key_behind_thousands_that_cannot_be_had_comes_in_its_turn() {
        let mut now = Instant::now();
        let (mut wishes, mut turn) = (Wishes::default(), (0..5_000_u32).cycle());
        let (rare, holders) = (4_321_u32, holders(3));
        let begun = now;
        let found = 'found: loop {
            for n in turn.by_ref().take(SWEPT) {
                // Many authors, so that no one's share is the bound.
                let author = u8::try_from(n % 100 + 4).unwrap();
                wishes.sweep(key(n, author), GROUP, member(author), now);
            }
            loop {
                let questions = wishes.next(&holders, now);
                if questions.is_empty() {
                    break;
                }
                for question in questions {
                    let is_rare = |id: &KeyId| id.as_bytes()[..4] == rare.to_be_bytes();
                    if question.keys.iter().any(is_rare) {
                        break 'found now - begun;
                    }
                    wishes.answered(&question, &NOTHING, now);
                }
            }
            assert!(now - begun < Duration::from_secs(3600), "never asked for");
            now += Duration::from_secs(5);
        };
        assert!(found < Duration::from_secs(600), "{found:?}");
    }

    /// What one peer is asked for the sake of keys that cannot be had: less than it gives anybody.
    #[tokio::test(start_paused = true)]
    async fn asking_in_vain_stays_below_what_a_peer_answers() {
        let begun = Instant::now();
        let (mut wishes, mut now, mut turn, mut asked) =
            (Wishes::default(), begun, (0..20_000_u32).cycle(), 0);
        while now - begun < Duration::from_secs(1_200) {
            for n in turn.by_ref().take(SWEPT) {
                let author = u8::try_from(n % 100 + 4).unwrap();
                wishes.sweep(key(n, author), GROUP, member(author), now);
            }
            asked += refuse_all(&mut wishes, &holders(1), now);
            now += Duration::from_secs(5);
        }
        let per_second = asked / 1_200;
        assert!(per_second <= 64, "{per_second} looks a second");
    }

    #[tokio::test(start_paused = true)]
    async fn the_author_is_asked_first_and_once_for_all_its_keys() {
        let now = Instant::now();
        let mut wishes = wishing(60, 3, now);
        let questions = wishes.next(&holders(5), now);
        assert_eq!((questions.len(), questions[0].peer, questions[0].keys.len()), (1, node(3), 60));
        assert_eq!(wishes.next(&holders(5), now), [], "and nobody else while it may still answer");
        wishes.answered(&questions[0], &kept(&questions[0]), now);
        assert!(wishes.is_empty());
    }

    /// What a silent peer costs others: nothing. It costs its own keys a second.
    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_delays_no_other_key_and_its_own_by_a_second() {
        let mut now = Instant::now();
        let mut wishes = wishing(1, 1, now);
        wishes.wish(key(0, 2), GROUP, member(2), now);
        let questions = wishes.next(&holders(3), now);
        let [silent, other] = questions.as_slice() else { panic!("{questions:?}") };
        assert_eq!((silent.peer, other.peer), (node(1), node(2)), "at once");
        wishes.answered(other, &kept(other), now);
        assert_eq!(wishes.wakes(now), Some(now + HEDGE));
        now += HEDGE;
        let hedged = wishes.next(&holders(3), now);
        assert_eq!(hedged.len(), 1);
        assert!(hedged[0].peer != node(1) && hedged[0].keys == silent.keys);
        wishes.answered(&hedged[0], &kept(&hedged[0]), now);
        assert!(wishes.is_empty());
        // Its end does no harm any more.
        wishes.answered(silent, &Answer::Blamed, now);
        assert_eq!((wishes.under_way, wishes.next(&holders(3), now)), (0, vec![]));
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_silent_or_lies_is_asked_last_and_ever_less_often() {
        let begun = Instant::now();
        let (mut now, mut asked) = (begun, 0);
        let mut wishes = wishing(1, 1, now);
        while now < begun + Duration::from_secs(3600) {
            for question in wishes.next(&holders(1), now) {
                asked += 1;
                wishes.answered(&question, &Answer::Blamed, now);
            }
            now = wishes.wakes(now).unwrap();
        }
        assert!((8..60).contains(&asked), "{asked}");
        // Beside an honest peer it is not the first any more, though not an author's key is concerned.
        wishes.wish(key(7, 9), GROUP, member(9), now);
        now += LONGEST_BLAME;
        let questions = wishes.next(&holders(2), now);
        let of_new = questions.iter().find(|question| question.keys.contains(&key(7, 9))).unwrap();
        assert_eq!(of_new.peer, node(2));
    }

    #[tokio::test(start_paused = true)]
    async fn many_silent_peers_are_bounded_in_number_and_in_what_they_hold_up() {
        let now = Instant::now();
        let mut wishes = Wishes::default();
        for author in 1..=200 {
            (0..4).for_each(|n| wishes.wish(key(n, author), GROUP, member(author), now));
        }
        let questions = wishes.next(&holders(200), now);
        assert_eq!(questions.len(), QUESTIONS);
        for peer in 1..=200 {
            assert!(questions.iter().filter(|question| question.peer == node(peer)).count() <= PER_PEER);
        }
        assert!(questions.iter().all(|question| question.keys.len() <= MAX_KEY_IDS));
    }

    #[tokio::test(start_paused = true)]
    async fn everybody_is_asked_before_a_wish_rests_and_rests_grow() {
        let mut now = Instant::now();
        let mut wishes = wishing(1, 1, now);
        let mut rests = Vec::new();
        for _ in 0..10 {
            let mut peers = BTreeSet::new();
            while let [question] = wishes.next(&holders(3), now).as_slice() {
                peers.insert(question.peer);
                wishes.answered(question, &NOTHING, now);
            }
            assert_eq!(peers.len(), 3);
            let until = wishes.wakes(now).unwrap();
            rests.push(until - now);
            now = until;
        }
        assert!(rests.is_sorted() && rests[0] == FIRST_REST && rests[9] == LONGEST_REST, "{rests:?}");
    }

    /// A peer that comes back again and again is asked each time; nobody else is, and a rest ends for nobody else.
    #[tokio::test(start_paused = true)]
    async fn a_peer_that_comes_and_goes_makes_us_ask_nobody_else() {
        let now = Instant::now();
        let mut wishes = wishing(1, 1, now);
        while let [question] = wishes.next(&holders(3), now).as_slice() {
            wishes.answered(question, &NOTHING, now);
        }
        for _ in 0..100 {
            wishes.came(&node(2));
            let questions = wishes.next(&holders(3), now);
            assert_eq!((questions.len(), questions[0].peer), (1, node(2)));
            wishes.answered(&questions[0], &NOTHING, now);
        }
        wishes.ask_anew();
        assert_eq!(wishes.next(&holders(3), now)[0].peer, node(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_peer_is_asked_again_a_little_later_and_not_blamed() {
        let mut now = Instant::now();
        let mut wishes = wishing(1, 1, now);
        for answer in [Answer::Paused, Answer::Kept { keys: Vec::new(), later: vec![key(0, 1)] }] {
            let questions = wishes.next(&holders(1), now);
            assert_eq!(questions.len(), 1);
            wishes.answered(&questions[0], &answer, now);
            assert_eq!(wishes.next(&holders(1), now), []);
            now = wishes.wakes(now).unwrap();
        }
        assert_eq!((wishes.next(&holders(1), now).len(), wishes.peers[&node(1)].faults), (1, 0));
    }
}
