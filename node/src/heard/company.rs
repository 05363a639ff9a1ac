//! Those who are connected and admitted, and what is known by them: what opens and closes the [`Gate`].
//!
//! Pure: both clocks are arguments.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use belfry_proto::{
    crypto::sign::PublicKey,
    id::{Height, MemberId, RosterVersion},
    time::Timestamp,
};
use tokio::time::Instant;

use super::{
    gate::{Gate, GateTimes},
    pulse::Pulse,
};

#[cfg(test)]
mod tests;

/// Members to be heard before the first message is sealed, after a start and after having been alone, or all who are
/// connected if they are fewer. One may lag or lie; of three, chosen by three members, one that knows more is likely.
const VOICES: usize = 3;
/// How often claims nobody shows may hold us up: once in so many times `doubt`. Whoever tells the truth is pulled from
/// within seconds and needs the time only once.
const REST: u32 = 20;
/// How long one peer's claim about our own logs holds us, whatever it does: its tries, and the waits between them.
const QUESTION: Duration = Duration::from_secs(60);
/// A loop that stands still this long missed what happened, however short the gate's grace is.
const PAUSE: Duration = Duration::from_secs(30);

/// The log that a peer announced: how far, and under which charter.
pub(crate) type Announced = (RosterVersion, u64);

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Company {
    times: GateTimes,
    pulse: Pulse,
    peers: BTreeMap<PublicKey, Peer>,
    round: Round,
    /// Since when those who are there announce what they have not served.
    doubted: Option<Instant>,
    /// How far the registrar's signature shows the admin log to go, if further than ours.
    signed: Option<Height>,
    was_level: bool,
    /// Since when nobody level is there, if somebody was.
    lost: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Peer {
    member: MemberId,
    word: Word,
    /// Since when its claim about our own logs is being looked into.
    question: Option<Instant>,
}

/// What a peer told of its admin log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// Nothing yet.
    Awaited,
    /// We have all of it.
    Level,
    /// More than we have; it is being asked for.
    Claims(Announced),
    /// More than we have, or another one; when asked it had nothing for us.
    Unserved(Announced),
}

/// Who was heard since the start, or since we were alone.
#[derive(Clone, Debug, Default)]
struct Round {
    answered: BTreeSet<MemberId>,
    /// When each was asked first; who comes and goes gains no time.
    asked: BTreeMap<PublicKey, Instant>,
    /// When the first answer came.
    begun: Option<Instant>,
}

impl Company {
    pub(super) fn new(times: GateTimes) -> Self {
        Self {
            times,
            pulse: Pulse::new(times.grace.max(PAUSE)),
            peers: BTreeMap::new(),
            round: Round::default(),
            doubted: None,
            signed: None,
            was_level: false,
            lost: None,
        }
    }

    pub(super) fn gate(&self, now: Instant, wall: Timestamp) -> Gate {
        if self.is_off(now, wall) {
            return Gate::Lost;
        }
        if self.signed.is_some() {
            return Gate::Ahead;
        }
        if self.is_doubting(now) && self.peers.values().any(|peer| matches!(peer.word, Word::Claims(_))) {
            return Gate::Behind;
        }
        let is_asked = |at| now.saturating_duration_since(at) < QUESTION;
        if self.peers.values().any(|peer| peer.question.is_some_and(is_asked)) {
            return Gate::OwnLogs;
        }
        if self.is_awaiting(now) {
            return Gate::Asking;
        }
        if self.is_level() {
            return Gate::Open;
        }
        if self.has_answers() {
            return if self.is_doubting(now) { Gate::Behind } else { Gate::Open };
        }
        match self.lost {
            Some(at) if now.saturating_duration_since(at) < self.times.grace => Gate::Open,
            _ if self.was_level => Gate::Lost,
            _ => Gate::NoHello,
        }
    }

    /// Whether what others told may be of another time, by what both clocks show since the latest beat.
    pub(super) fn is_off(&self, now: Instant, wall: Timestamp) -> bool {
        self.pulse.is_off(now, wall)
    }

    /// A beat of the loop that listens to others: true if time passed unseen.
    pub(crate) fn beat(&mut self, now: Instant, wall: Timestamp) -> bool {
        self.pulse.beat(now, wall)
    }

    /// An admitted peer is connected, and about to be asked.
    pub(crate) fn arrived(&mut self, peer: PublicKey, member: MemberId, now: Instant) {
        self.peers.entry(peer).or_insert(Peer { member, word: Word::Awaited, question: None });
        self.round.asked.entry(peer).or_insert(now);
    }

    /// We have all that this peer has.
    pub(crate) fn level(&mut self, peer: &PublicKey, now: Instant) {
        self.heard(peer, Word::Level, now);
        if self.is_level() {
            (self.was_level, self.lost) = (true, None);
        }
    }

    /// The peer announced what we have not, and is asked for it.
    pub(crate) fn behind(&mut self, peer: &PublicKey, announced: Announced, now: Instant) {
        let rested = |at| now.saturating_duration_since(at) >= self.times.doubt * (REST + 1);
        if self.doubted.is_none_or(rested) {
            self.doubted = Some(now);
        }
        let was_level = self.is_level();
        self.heard(peer, Word::Claims(announced), now);
        if was_level && !self.is_level() {
            self.lost = Some(now);
        }
    }

    /// A peer that was level says, asking us, that it has more by now.
    pub(crate) fn outgrown(&mut self, peer: &PublicKey, announced: Announced, now: Instant) {
        if self.peers.get(peer).is_some_and(|peer| peer.word == Word::Level) {
            self.behind(peer, announced, now);
        }
    }

    /// The peer was asked for what it announced, and had nothing that goes on from our log.
    pub(crate) fn unserved(&mut self, peer: &PublicKey) {
        if let Some(peer) = self.peers.get_mut(peer)
            && let Word::Claims(announced) = peer.word
        {
            peer.word = Word::Unserved(announced);
        }
    }

    /// The peer says it holds more of our own logs than we do; it is asked to show that.
    pub(crate) fn questioned(&mut self, peer: &PublicKey, now: Instant) {
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.question.get_or_insert(now);
        }
    }

    /// Its claim was shown, shown to be false, or set aside.
    pub(crate) fn settled(&mut self, peer: &PublicKey) {
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.question = None;
        }
    }

    /// How far the registrar's signature shows the log to go beyond ours; nothing if it does not.
    pub(crate) fn signed(&mut self, beyond: Option<Height>) {
        self.signed = beyond;
    }

    /// Whether something that the registrar signed is missing here.
    pub(crate) const fn is_ahead(&self) -> bool {
        self.signed.is_some()
    }

    /// The peer is gone, or admits us no more.
    pub(crate) fn left(&mut self, peer: &PublicKey, now: Instant) {
        let was_level = self.peers.remove(peer).is_some_and(|peer| peer.word == Word::Level);
        if was_level && !self.is_level() {
            self.lost = Some(now);
        }
        if !self.has_answers() {
            // Alone: who is met next may know of what happened meanwhile.
            let here = std::mem::take(&mut self.round).asked.into_iter();
            self.round.asked = here.filter(|(peer, _)| self.peers.contains_key(peer)).collect();
        }
    }

    /// Our log has grown: who announced no more than `covers` picks is level.
    pub(crate) fn grown(&mut self, covers: impl Fn(&Announced) -> bool, now: Instant) {
        let is_covered = |peer: &Peer| match &peer.word {
            Word::Claims(announced) | Word::Unserved(announced) => covers(announced),
            Word::Awaited | Word::Level => false,
        };
        let level: Vec<PublicKey> =
            self.peers.iter().filter(|(_, peer)| is_covered(peer)).map(|(peer, _)| *peer).collect();
        for peer in level {
            // What was announced was true: the next announcement is waited for anew.
            self.doubted = None;
            self.level(&peer, now);
        }
    }

    /// Time passed unseen: whatever was known is of then, and everybody is asked again.
    pub(crate) fn jumped(&mut self, now: Instant) {
        for peer in self.peers.values_mut() {
            (peer.word, peer.question) = (Word::Awaited, None);
        }
        self.round = Round::default();
        self.round.asked = self.peers.keys().map(|peer| (*peer, now)).collect();
        (self.lost, self.doubted) = (None, None);
    }

    /// Whether another than these members is connected and has time left to be heard.
    pub(super) fn awaits_others(&self, than: impl Fn(&MemberId) -> bool, now: Instant) -> bool {
        self.is_waiting_for(|peer| !than(&peer.member), now)
    }

    fn heard(&mut self, peer: &PublicKey, word: Word, now: Instant) {
        let Some(peer) = self.peers.get_mut(peer) else { return };
        peer.word = word;
        self.round.answered.insert(peer.member);
        self.round.begun.get_or_insert(now);
    }

    /// Whether somebody is still to be heard before the first message is sealed.
    fn is_awaiting(&self, now: Instant) -> bool {
        self.round.answered.len() < VOICES && self.is_waiting_for(|peer| peer.word == Word::Awaited, now)
    }

    /// Whether one of these still has the time that it is given.
    fn is_waiting_for(&self, these: impl Fn(&Peer) -> bool, now: Instant) -> bool {
        let patience = self.times.patience;
        let long_enough =
            |at| now.saturating_duration_since(at) >= patience * u32::try_from(VOICES).unwrap_or(1);
        if self.round.begun.is_some_and(long_enough) {
            return false;
        }
        let is_asked =
            |peer| self.round.asked.get(peer).is_some_and(|at| now.saturating_duration_since(*at) < patience);
        self.peers.iter().any(|(node, peer)| these(peer) && is_asked(node))
    }

    fn is_doubting(&self, now: Instant) -> bool {
        self.doubted.is_some_and(|at| now.saturating_duration_since(at) < self.times.doubt)
    }

    fn is_level(&self) -> bool {
        self.peers.values().any(|peer| peer.word == Word::Level)
    }

    fn has_answers(&self) -> bool {
        self.peers.values().any(|peer| peer.word != Word::Awaited)
    }
}
