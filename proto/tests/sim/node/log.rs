//! Envelopes by their place, and what follows from them: frontiers, pages, forks, what may be shown.

use std::collections::{BTreeMap, BTreeSet};

use belfry_proto::{
    envelope::{Ending, Header, Word, ending},
    id::{GroupId, KeyId, LogId, MemberId, MessageId, PublicationId, Sequence, Serial},
    limits::MAX_PAGE_ENVELOPES,
    schema,
    sync::{self, LogFrontier, LogJudgement, MissingSum, judge_log},
    time::Timestamp,
    trust::roster::Roster,
};
use prost::Message;

/// What a node made of an envelope's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Waiting(KeyId),
    Opened(PublicationId),
    NotForUs,
    /// Kept unopened until it stands.
    Hidden,
    Unreadable,
    Withdrawal,
    /// Its body is not here.
    Bare,
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) id: MessageId,
    pub(crate) prev: MessageId,
    pub(crate) serial: Serial,
    pub(crate) member: MemberId,
    pub(crate) created: Timestamp,
    pub(crate) key: Option<KeyId>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) content: Content,
    pub(crate) header: Header,
    /// When it came, by the clock of then.
    pub(crate) seen: Timestamp,
    /// Its author did not sign it, only what follows it.
    pub(crate) is_unsigned: bool,
    /// Its author sealed a body, which is not here.
    pub(crate) is_bare: bool,
    /// What the log as a whole made of it when it was last judged; nothing is shown before.
    pub(crate) place: sync::Place,
}

impl Entry {
    pub(crate) fn new(
        header: &Header,
        id: MessageId,
        bytes: &[u8],
        content: Content,
        seen: Timestamp,
    ) -> Self {
        Self {
            id,
            prev: header.prev,
            serial: header.serial,
            member: header.member,
            created: header.created,
            key: header.key_id(),
            bytes: bytes.to_vec(),
            content,
            header: header.clone(),
            seen,
            is_unsigned: false,
            is_bare: false,
            place: sync::Place::Quarantined,
        }
    }
}

pub(crate) type Place = (GroupId, LogId, u64);

pub(crate) fn place_of(header: &Header) -> Place {
    (header.group, header.log, header.sequence.get())
}

/// The same envelope without its body.
pub(super) fn bare(bytes: &[u8]) -> Vec<u8> {
    let mut envelope = schema::Envelope::decode(bytes).unwrap();
    (envelope.body, envelope.recipients) = (None, None);
    envelope.encode_to_vec()
}

/// A log as it was last judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Judged {
    fork: Option<u64>,
    chosen: BTreeMap<u64, MessageId>,
}

/// All a node holds of all groups.
#[derive(Clone, Default)]
pub(crate) struct Logs {
    places: BTreeMap<Place, Vec<Entry>>,
    ids: BTreeMap<MessageId, Place>,
    judged: BTreeMap<(GroupId, LogId), Judged>,
    /// What withdrawals came to when they were last weighed.
    ended: BTreeMap<GroupId, BTreeMap<MessageId, Ending>>,
}

impl Logs {
    pub(crate) fn entry(&self, id: &MessageId) -> Option<&Entry> {
        self.places.get(self.ids.get(id)?)?.iter().find(|entry| entry.id == *id)
    }

    pub(crate) fn entry_mut(&mut self, id: &MessageId) -> Option<&mut Entry> {
        self.places.get_mut(self.ids.get(id)?)?.iter_mut().find(|entry| entry.id == *id)
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (&Place, &Entry)> {
        self.places.iter().flat_map(|(place, entries)| entries.iter().map(move |entry| (place, entry)))
    }

    pub(crate) fn insert(&mut self, place: Place, entry: Entry) {
        self.ids.insert(entry.id, place);
        self.places.entry(place).or_default().push(entry);
    }

    /// What the admin log and everything held make of a log now; `None` if that is what is known already.
    pub(crate) fn judge(&self, group: GroupId, log: LogId, roster: &Roster) -> Option<LogJudgement> {
        let held: Vec<(u64, &Entry)> = self.log(group, log).collect();
        let serial = held.first()?.1.serial;
        let entries: Vec<sync::Entry> = held
            .iter()
            .map(|(sequence, entry)| sync::Entry {
                sequence: Sequence::new(*sequence),
                id: entry.id,
                prev: entry.prev,
                created: entry.created,
                written_at: entry.header.roster.height,
                is_unsigned: entry.is_unsigned,
            })
            .collect();
        let judgement = judge_log(&roster.closure(serial, group, log), &entries);
        let moved = held.iter().any(|(_, entry)| judgement.places.get(&entry.id) != Some(&entry.place));
        let known = self.judged.get(&(group, log)).cloned().unwrap_or_default();
        (moved || known != Judged::of(&judgement)).then_some(judgement)
    }

    /// Takes a judgement in.
    pub(crate) fn settle(&mut self, group: GroupId, log: LogId, judgement: &LogJudgement) {
        for (id, place) in &judgement.places {
            self.entry_mut(id).unwrap().place = *place;
        }
        self.judged.insert((group, log), Judged::of(judgement));
    }

    /// The lowest place with two histories.
    pub(crate) fn fork(&self, group: GroupId, log: LogId) -> Option<u64> {
        self.judged.get(&(group, log))?.fork
    }

    /// Two envelopes that prove it: of that place, of neighbouring ones that do not link, or one that its author did not
    /// sign and the one after it.
    pub(crate) fn proof(&self, group: GroupId, log: LogId) -> Option<(Vec<u8>, Vec<u8>)> {
        let fork = self.fork(group, log)?;
        let near: Vec<(u64, &Entry)> =
            self.log(group, log).filter(|(sequence, _)| sequence.abs_diff(fork) <= 1).collect();
        let pairs = near.iter().flat_map(|one| near.iter().map(move |other| (one, other)));
        let contradict = |one: &(u64, &Entry), other: &(u64, &Entry)| {
            let same_place = one.0 == fork && other.0 == fork && one.1.id != other.1.id;
            let is_next = one.0 + 1 == other.0;
            let vouched = one.0 == fork && one.1.is_unsigned && is_next && other.1.prev == one.1.id;
            same_place || vouched || (is_next && other.1.prev != one.1.id)
        };
        let (one, other) = pairs.into_iter().find(|(one, other)| contradict(one, other))?;
        Some((one.1.bytes.clone(), other.1.bytes.clone()))
    }

    fn log(&self, group: GroupId, log: LogId) -> impl Iterator<Item = (u64, &Entry)> {
        self.places
            .range((group, log, 0)..=(group, log, u64::MAX))
            .flat_map(|(place, entries)| entries.iter().map(move |entry| (place.2, entry)))
    }

    /// Highest sequence held of a log, gaps or not.
    pub(crate) fn top(&self, group: GroupId, log: LogId) -> u64 {
        self.places
            .range((group, log, 0)..=(group, log, u64::MAX))
            .next_back()
            .map_or(0, |(place, _)| place.2)
    }

    /// How far a log reaches without gap, without fork, and signed; and its entries up to there.
    pub(crate) fn chain(&self, group: GroupId, log: LogId) -> Vec<&Entry> {
        let judged = self.judged.get(&(group, log));
        let end = judged.and_then(|judged| judged.fork).unwrap_or(u64::MAX);
        let mut chain: Vec<&Entry> = Vec::new();
        for sequence in 1..end {
            let head = chain.last().map_or(MessageId::ZERO, |entry| entry.id);
            let chosen = judged.and_then(|judged| judged.chosen.get(&sequence));
            let right = |entry: &&Entry| {
                let is_unsigned = entry.is_unsigned && entry.place == sync::Place::Disputed;
                entry.prev == head && chosen.is_none_or(|id| entry.id == *id) && !is_unsigned
            };
            let held = self.places.get(&(group, log, sequence));
            let Some(next) = held.and_then(|held| held.iter().find(right)) else { break };
            chain.push(next);
        }
        chain
    }

    pub(crate) fn logs(&self, group: GroupId) -> BTreeSet<LogId> {
        self.places.keys().filter(|place| place.0 == group).map(|place| place.1).collect()
    }

    /// Logs of which something stands, or is known to be forked; one that has only entries above a gap says nothing
    /// to others.
    pub(crate) fn frontier(&self, group: GroupId) -> Vec<LogFrontier> {
        self.logs(group)
            .into_iter()
            .filter_map(|log| {
                let chain = self.chain(group, log);
                let height = chain.len() as u64;
                let frozen = self.fork(group, log).unwrap_or(0);
                let holes = self.holes(group, log);
                let mut missing = MissingSum::default();
                holes.iter().for_each(|at| missing.toggle(log, Sequence::new(*at)));
                (height > 0 || frozen > 0).then(|| LogFrontier {
                    group,
                    log,
                    low: Sequence::new(1),
                    height: Sequence::new(height),
                    head: chain.last().map_or(MessageId::ZERO, |last| last.id),
                    bodies: height - holes.len() as u64,
                    frozen: Sequence::new(frozen),
                    missing,
                })
            })
            .collect()
    }

    /// Sequences of a log's chain that miss their body.
    fn holes(&self, group: GroupId, log: LogId) -> Vec<u64> {
        let chain = self.chain(group, log);
        (1..).zip(&chain).filter(|(_, entry)| self.is_hole(entry)).map(|(at, _)| at).collect()
    }

    /// The first and the last of them.
    pub(crate) fn outer_holes(&self, group: GroupId, log: LogId) -> Option<(u64, u64)> {
        let holes = self.holes(group, log);
        Some((*holes.first()?, *holes.last()?))
    }

    /// The first stretch of them from one sequence on.
    pub(crate) fn next_holes(&self, group: GroupId, log: LogId, from: u64) -> Option<(u64, u64)> {
        let holes: Vec<u64> = self.holes(group, log).into_iter().filter(|at| *at >= from).collect();
        let first = *holes.first()?;
        let stretch = (first..).zip(&holes).take_while(|(expected, at)| expected == *at).count() as u64;
        Some((first, first + stretch - 1))
    }

    /// Encoded envelopes from one sequence on, as far as they stand.
    pub(crate) fn page(&self, group: GroupId, log: LogId, from: u64, to: u64) -> Vec<Vec<u8>> {
        let skipped = usize::try_from(from.saturating_sub(1)).unwrap();
        let wanted = usize::try_from((to + 1).saturating_sub(from)).unwrap();
        let chain = self.chain(group, log);
        let some = chain.into_iter().skip(skipped).take(wanted.min(MAX_PAGE_ENVELOPES));
        some.map(|entry| entry.bytes.clone()).collect()
    }

    /// Newest message under a key: what the window policy goes by.
    pub(crate) fn last_use(&self, key: KeyId) -> Timestamp {
        self.entries()
            .filter(|(_, entry)| entry.key == Some(key))
            .map(|(_, entry)| entry.created)
            .max()
            .unwrap_or_default()
    }

    /// Entries of a group that stand, below every gap and fork.
    pub(crate) fn standing(&self, group: GroupId) -> Vec<&Entry> {
        let chains = self.logs(group).into_iter().flat_map(|log| self.chain(group, log));
        chains.filter(|entry| entry.place == sync::Place::Stands).collect()
    }

    /// What follows an entry in its log, if that is here.
    pub(crate) fn follower(&self, header: &Header, id: MessageId) -> Option<&Entry> {
        let next = (header.group, header.log, header.sequence.get() + 1);
        self.places.get(&next)?.iter().find(|entry| entry.prev == id)
    }

    pub(crate) fn is_free(&self, place: &Place) -> bool {
        !self.places.contains_key(place)
    }

    /// Whether any message of a group was ever taken back.
    pub(crate) fn has_withdrawals(&self, group: GroupId) -> bool {
        self.entries().any(|(place, entry)| place.0 == group && entry.header.withdrawal().is_some())
    }

    /// What the withdrawals that stand come to, for every message of a group that they end.
    pub(crate) fn weigh(&self, group: GroupId, roster: &Roster) -> BTreeMap<MessageId, Ending> {
        let standing = self.standing(group);
        let mut named: BTreeMap<MessageId, Vec<Word>> = BTreeMap::new();
        for entry in &standing {
            let Some(word) = Word::of(roster, entry.id, &entry.header, entry.seen) else { continue };
            for target in entry.header.withdrawal().into_iter().flat_map(|withdrawal| &withdrawal.targets) {
                named.entry(*target).or_default().push(word.clone());
            }
        }
        let naming = |id: &MessageId| named.get(id).map_or(&[][..], Vec::as_slice);
        let mut ended = BTreeMap::new();
        for entry in standing.iter().filter(|entry| entry.header.withdrawal().is_none()) {
            let words = naming(&entry.id).iter().map(|word| (word, naming(&word.id)));
            if let Some(ending) = ending(group, entry.member, words) {
                ended.insert(entry.id, ending);
            }
        }
        ended
    }

    /// What it came to when it was last weighed: nothing of these is shown.
    pub(crate) fn ended(&self, group: GroupId) -> BTreeMap<MessageId, Ending> {
        self.ended.get(&group).cloned().unwrap_or_default()
    }

    /// Takes a weighing in; of `due` the bodies go.
    pub(crate) fn end(&mut self, group: GroupId, ended: BTreeMap<MessageId, Ending>, due: &[MessageId]) {
        self.ended.insert(group, ended);
        for id in due {
            let entry = self.entry_mut(id).unwrap();
            (entry.bytes, entry.is_bare, entry.content) = (bare(&entry.bytes), true, Content::Bare);
        }
    }

    /// Whether a body is missing without a withdrawal that stands and takes it.
    pub(crate) fn is_hole(&self, entry: &Entry) -> bool {
        let ending = self.ended.get(&entry.header.group).and_then(|ended| ended.get(&entry.id));
        entry.is_bare && ending.is_none_or(|ending| ending.shreds_at.is_none())
    }

    /// An erasure that reaches a message, whether it stands or not: it did once, perhaps, and took the body along.
    pub(crate) fn erasure(&self, of: &Header, id: MessageId, roster: &Roster) -> Option<&Entry> {
        let names = |entry: &&Entry| {
            let withdrawal = entry.header.withdrawal();
            withdrawal.is_some_and(|withdrawal| withdrawal.targets.contains(&id))
        };
        let reaches = |entry: &&Entry| {
            let word = Word::of(roster, entry.id, &entry.header, entry.seen);
            word.is_some_and(|word| word.erases(of.group, of.member))
        };
        self.entries().map(|(_, entry)| entry).filter(names).find(reaches)
    }
}

impl Judged {
    fn of(judgement: &LogJudgement) -> Self {
        Self {
            fork: judgement.fork.map(Sequence::get),
            chosen: judgement.chosen.iter().map(|(sequence, id)| (sequence.get(), *id)).collect(),
        }
    }
}
