//! Envelopes by their place, and what follows from them: frontiers, pages, forks, what may be shown.

use std::collections::{BTreeMap, BTreeSet};

use belfry_proto::{
    envelope::{self, Decoded, Header, may_withdraw},
    id::{GroupId, KeyId, LogId, MemberId, MessageId, PublicationId, Sequence, Serial},
    limits::MAX_PAGE_ENVELOPES,
    sync::LogFrontier,
    time::Timestamp,
    trust::roster::Roster,
};

/// What a node made of an envelope's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Waiting(KeyId),
    Opened(PublicationId),
    NotForUs,
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
    pub(crate) quarantined: bool,
    pub(crate) below_cut: bool,
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
            quarantined: false,
            below_cut: false,
        }
    }
}

pub(crate) type Place = (GroupId, LogId, u64);

pub(crate) fn place_of(header: &Header) -> Place {
    (header.group, header.log, header.sequence.get())
}

/// Two envelopes of one log that contradict each other, and the lowest sequence they dispute.
#[derive(Clone, Debug)]
pub(crate) struct Dispute {
    pub(crate) lowest: u64,
    pub(crate) pair: (Vec<u8>, Vec<u8>),
}

/// The lowest sequence that two envelopes of one log leave in doubt; `None` if both can stand.
pub(crate) fn dispute(one: &Decoded, other: &Decoded) -> Option<Dispute> {
    let (a, b) = (one.header(), other.header());
    if (a.group, a.log) != (b.group, b.log) || one.message_id() == other.message_id() {
        return None;
    }
    let (at, bt) = (a.sequence.get(), b.sequence.get());
    let lowest = if at == bt {
        // Different parents: the histories parted below already.
        at - u64::from(a.prev != b.prev)
    } else if bt == at + 1 && b.prev != one.message_id() {
        at
    } else if at == bt + 1 && a.prev != other.message_id() {
        bt
    } else {
        return None;
    };
    Some(Dispute { lowest, pair: (one.bytes().to_vec(), other.bytes().to_vec()) })
}

/// All a node holds of all groups.
#[derive(Clone, Default)]
pub(crate) struct Logs {
    places: BTreeMap<Place, Vec<Entry>>,
    ids: BTreeMap<MessageId, Place>,
    pub(crate) disputes: BTreeMap<(GroupId, LogId), Dispute>,
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

    /// What an envelope disputes of what is held at its place and beside it.
    pub(crate) fn disputed_by(&self, new: &Decoded) -> Option<Dispute> {
        let (group, log, sequence) = place_of(new.header());
        (sequence.saturating_sub(1)..=sequence + 1)
            .filter_map(|near| self.places.get(&(group, log, near)))
            .flatten()
            .filter_map(|held| dispute(&envelope::decode(&held.bytes).ok()?, new))
            .min_by_key(|dispute| dispute.lowest)
    }

    /// Remembers a dispute if it reaches lower than the one known.
    pub(crate) fn note(&mut self, log: (GroupId, LogId), dispute: Dispute) {
        if self.is_news(log, &dispute) {
            self.disputes.insert(log, dispute);
        }
    }

    pub(crate) fn is_news(&self, log: (GroupId, LogId), dispute: &Dispute) -> bool {
        self.disputes.get(&log).is_none_or(|known| dispute.lowest < known.lowest)
    }

    pub(crate) fn is_forked(&self, group: GroupId, log: LogId) -> bool {
        self.disputes.contains_key(&(group, log))
    }

    /// Highest sequence held of a log, gaps or not.
    pub(crate) fn top(&self, group: GroupId, log: LogId) -> u64 {
        self.places
            .range((group, log, 0)..=(group, log, u64::MAX))
            .next_back()
            .map_or(0, |(place, _)| place.2)
    }

    /// How far a log reaches without gap and without dispute, and its entries up to there.
    pub(crate) fn chain(&self, group: GroupId, log: LogId) -> Vec<&Entry> {
        let end = self.disputes.get(&(group, log)).map_or(u64::MAX, |dispute| dispute.lowest);
        let mut chain: Vec<&Entry> = Vec::new();
        for sequence in 1..end {
            let head = chain.last().map_or(MessageId::ZERO, |entry| entry.id);
            let Some(next) = self
                .places
                .get(&(group, log, sequence))
                .and_then(|held| held.iter().find(|entry| entry.prev == head))
            else {
                break;
            };
            chain.push(next);
        }
        chain
    }

    pub(crate) fn logs(&self, group: GroupId) -> BTreeSet<LogId> {
        self.places.keys().filter(|place| place.0 == group).map(|place| place.1).collect()
    }

    /// Logs of which something stands; one that has only entries above a gap says nothing to others.
    pub(crate) fn frontier(&self, group: GroupId) -> Vec<LogFrontier> {
        self.logs(group)
            .into_iter()
            .filter_map(|log| {
                let chain = self.chain(group, log);
                let height = chain.len() as u64;
                Some(LogFrontier {
                    group,
                    log,
                    low: Sequence::new(1),
                    height: Sequence::new(height),
                    head: chain.last()?.id,
                    bodies: height,
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

    /// Entries of a group that stand: below every gap and dispute, not beyond a cut, and an ancestor of the
    /// cut where there is one.
    pub(crate) fn standing(&self, group: GroupId) -> Vec<&Entry> {
        let mut all = Vec::new();
        for log in self.logs(group) {
            let chain = self.chain(group, log);
            // A chain is linked by definition: what lies below a cut's own place leads to it.
            let reaches_cut = chain.iter().any(|entry| !entry.quarantined && !entry.below_cut);
            all.extend(
                chain.into_iter().filter(|entry| !entry.quarantined && (reaches_cut || !entry.below_cut)),
            );
        }
        all
    }

    /// Entries of a group that are kept and hidden.
    pub(crate) fn quarantined(&self, group: GroupId) -> BTreeSet<MessageId> {
        self.logs(group)
            .into_iter()
            .flat_map(|log| self.chain(group, log))
            .filter(|entry| entry.quarantined)
            .map(|entry| entry.id)
            .collect()
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
            for target in &header.withdrawal().unwrap().targets {
                let Some(member) = members.get(target) else { continue };
                if may_withdraw(roster, header, group, *member).is_ok() {
                    ended.insert(*target);
                }
            }
        }
        ended
    }
}
