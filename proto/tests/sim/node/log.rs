//! Envelopes by their place, and what follows from them: frontiers, pages, forks, what may be shown.

use std::collections::{BTreeMap, BTreeSet};

use belfry_proto::{
    envelope::{self, Header, Word},
    id::{GroupId, Height, KeyId, LogId, MemberId, MessageId, PublicationId, Sequence, Serial},
    limits::MAX_PAGE_ENVELOPES,
    sync::{self, LogFrontier, LogJudgement, MissingSum, judge_log},
    time::Timestamp,
    trust::roster::Roster,
};

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
    /// Height of the author's roster.
    pub(crate) written_at: Height,
    /// What the log as a whole made of it when it was last judged; nothing is shown before.
    pub(crate) place: sync::Place,
}

impl Entry {
    pub(crate) fn new(header: &Header, id: MessageId, bytes: &[u8], content: Content) -> Self {
        Self {
            id,
            prev: header.prev,
            serial: header.serial,
            member: header.member,
            created: header.created,
            key: header.key_id(),
            bytes: bytes.to_vec(),
            content,
            written_at: header.roster.height,
            place: sync::Place::Quarantined,
        }
    }
}

pub(crate) type Place = (GroupId, LogId, u64);

pub(crate) fn place_of(header: &Header) -> Place {
    (header.group, header.log, header.sequence.get())
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
}

impl Logs {
    pub(crate) fn contains(&self, id: &MessageId) -> bool {
        self.ids.contains_key(id)
    }

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
                written_at: entry.written_at,
                is_unsigned: false,
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

    /// Two envelopes that prove it: of that place, or of neighbouring ones that do not link.
    pub(crate) fn proof(&self, group: GroupId, log: LogId) -> Option<(Vec<u8>, Vec<u8>)> {
        let fork = self.fork(group, log)?;
        let near: Vec<(u64, &Entry)> =
            self.log(group, log).filter(|(sequence, _)| sequence.abs_diff(fork) <= 1).collect();
        let pairs = near.iter().flat_map(|one| near.iter().map(move |other| (one, other)));
        let contradict = |one: &(u64, &Entry), other: &(u64, &Entry)| {
            let same_place = one.0 == fork && other.0 == fork && one.1.id != other.1.id;
            same_place || (one.0 + 1 == other.0 && other.1.prev != one.1.id)
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

    /// How far a log reaches without gap and without fork, and its entries up to there.
    pub(crate) fn chain(&self, group: GroupId, log: LogId) -> Vec<&Entry> {
        let judged = self.judged.get(&(group, log));
        let end = judged.and_then(|judged| judged.fork).unwrap_or(u64::MAX);
        let mut chain: Vec<&Entry> = Vec::new();
        for sequence in 1..end {
            let head = chain.last().map_or(MessageId::ZERO, |entry| entry.id);
            let chosen = judged.and_then(|judged| judged.chosen.get(&sequence));
            let right = |entry: &&Entry| entry.prev == head && chosen.is_none_or(|id| entry.id == *id);
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
                (height > 0 || frozen > 0).then(|| LogFrontier {
                    group,
                    log,
                    low: Sequence::new(1),
                    height: Sequence::new(height),
                    head: chain.last().map_or(MessageId::ZERO, |last| last.id),
                    bodies: height,
                    frozen: Sequence::new(frozen),
                    missing: MissingSum::default(),
                })
            })
            .collect()
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

    /// Messages that a withdrawal which stands has ended.
    pub(crate) fn withdrawn(&self, group: GroupId, roster: &Roster) -> BTreeSet<MessageId> {
        let standing = self.standing(group);
        let members: BTreeMap<MessageId, MemberId> =
            standing.iter().map(|entry| (entry.id, entry.member)).collect();
        let mut ended = BTreeSet::new();
        for entry in standing.iter().filter(|entry| entry.content == Content::Withdrawal) {
            let decoded = envelope::decode(&entry.bytes).unwrap();
            let header = decoded.header();
            let word = Word::of(roster, entry.id, header, header.created).unwrap();
            for target in &header.withdrawal().unwrap().targets {
                let Some(member) = members.get(target) else { continue };
                if word.reaches(group, *member).is_ok() {
                    ended.insert(*target);
                }
            }
        }
        ended
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
