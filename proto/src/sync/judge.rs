//! What stands of a log, given everything that is held of it.
//!
//! The ladder judges one envelope as it comes; some answers lie in the log as a whole: whether an entry is an
//! ancestor of a cut, and whether its author signed two histories. Both are decided here, of a *set* of
//! entries: in which order they came does not matter, so every node that holds the same entries under the
//! same admin log shows and hides the same.
//!
//! * In a log that a cut lists, the ancestors of the cut point stand, and nothing else ever. Forks do not
//!   matter there: the cut says which history is the true one, so whoever stole a key cannot take its
//!   owner's past away by signing a second one.
//! * Elsewhere, two entries for one place, or an entry that follows another than the one held before it,
//!   prove a fork; so does an entry whose signature does not verify under a good one that follows it: its author
//!   then signed for bytes it did not sign. From the lowest such place on, everything is disputed.
//! * An entry whose ancestry cannot be told yet, for want of the entries between, waits hidden.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    id::{Height, MessageId, Sequence},
    time::Timestamp,
    trust::{closure::Closure, cut::CutStatus},
};

/// An entry that is held: of this log, and signed by its author or vouched for by an entry above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place.
    pub sequence: Sequence,
    /// Which.
    pub id: MessageId,
    /// Entry before it.
    pub prev: MessageId,
    /// By its author's clock.
    pub created: Timestamp,
    /// Height of the roster its header names.
    pub written_at: Height,
    /// Its own signature was found not to verify.
    pub is_unsigned: bool,
}

/// What becomes of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Shown.
    Stands,
    /// Beyond a cut, or not linked to one yet: kept, hidden.
    Quarantined,
    /// At or above a fork, or not signed by its author: kept, hidden.
    Disputed,
}

/// The whole log, judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogJudgement {
    /// Every entry given.
    pub places: BTreeMap<MessageId, Place>,
    /// The lowest place with two histories, or with an entry its author did not sign, that no cut decides; the log is
    /// frozen below it.
    pub fork: Option<Sequence>,
    /// Of the places where several entries were given, those where one is the right one, and it.
    pub chosen: BTreeMap<Sequence, MessageId>,
}

/// Judges a log by what the admin log says of it and by everything held.
#[must_use]
pub fn judge_log(closure: &Closure, entries: &[Entry]) -> LogJudgement {
    let by_id: BTreeMap<MessageId, &Entry> = entries.iter().map(|entry| (entry.id, entry)).collect();
    let status = |entry: &Entry| closure.status(entry.written_at, entry.created, entry.sequence, entry.id);
    let chains: Vec<BTreeSet<MessageId>> = closure.points().map(|(_, id)| ancestors(&by_id, id)).collect();
    let mut places = BTreeMap::new();
    let mut slots: BTreeMap<Sequence, Vec<&Entry>> = BTreeMap::new();
    for entry in by_id.values() {
        let place = match status(entry) {
            CutStatus::Open => Place::Stands,
            CutStatus::Beyond => Place::Quarantined,
            CutStatus::At | CutStatus::BelowHeight => {
                let linked = chains.iter().all(|chain| chain.contains(&entry.id));
                if linked { Place::Stands } else { Place::Quarantined }
            }
        };
        places.insert(entry.id, place);
        slots.entry(entry.sequence).or_default().push(entry);
    }
    let mut chosen = BTreeMap::new();
    for (sequence, slot) in &mut slots {
        let several = slot.len() > 1;
        // Where some stand, those beyond a cut contend for nothing.
        if slot.iter().any(|entry| places.get(&entry.id) == Some(&Place::Stands)) {
            slot.retain(|entry| places.get(&entry.id) == Some(&Place::Stands));
        }
        if let (true, [one]) = (several, slot.as_slice()) {
            chosen.insert(*sequence, one.id);
        }
    }
    // In a log that a cut lists, what stands is settled, and the rest is quarantined already.
    let listed = closure.points().next().is_some();
    let fork = lowest_fork(&slots, |entry| listed && places.get(&entry.id) == Some(&Place::Stands));
    for entry in by_id.values().filter(|_| !listed) {
        // Of a run that its author did not sign only the last is named by a signature; the others are shown as little.
        let is_disputed = entry.is_unsigned || fork.is_some_and(|fork| entry.sequence >= fork);
        if let (true, Some(place @ Place::Stands)) = (is_disputed, places.get_mut(&entry.id)) {
            *place = Place::Disputed;
        }
    }
    LogJudgement { places, fork, chosen }
}

/// The entry and what it descends from, as far as it is held.
fn ancestors(by_id: &BTreeMap<MessageId, &Entry>, of: MessageId) -> BTreeSet<MessageId> {
    let mut chain = BTreeSet::new();
    let mut next = by_id.get(&of);
    while let Some(entry) = next {
        chain.insert(entry.id);
        next = by_id.get(&entry.prev).filter(|before| before.sequence.get() + 1 == entry.sequence.get());
    }
    chain
}

/// `slots` hold what contends for each place; what a cut settled is beyond dispute.
fn lowest_fork(
    slots: &BTreeMap<Sequence, Vec<&Entry>>,
    settled: impl Fn(&Entry) -> bool,
) -> Option<Sequence> {
    let mut before: Option<&Entry> = None;
    for (sequence, slot) in slots {
        if let Some(parent) = before.filter(|parent| parent.sequence.get() + 1 == sequence.get()) {
            if slot.iter().any(|one| parent.id != one.prev) {
                // Its author signed two entries for the parent's place: the one held, and the one named.
                return Some(if settled(parent) { *sequence } else { parent.sequence });
            }
            let vouches = |one: &&Entry| parent.id == one.prev && !one.is_unsigned;
            if parent.is_unsigned && !settled(parent) && slot.iter().any(vouches) {
                return Some(parent.sequence);
            }
        }
        let [one] = slot.as_slice() else { return Some(*sequence) };
        before = Some(one);
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(branch: u8, sequence: u64) -> MessageId {
        let mut bytes = [branch; 32];
        bytes[..8].copy_from_slice(&sequence.to_be_bytes());
        MessageId::new(bytes)
    }

    /// Entry of a branch that leaves the main one (0) after `from`.
    fn entry(branch: u8, sequence: u64, from: u64) -> Entry {
        let parent = sequence - 1;
        let prev = match parent {
            0 => MessageId::ZERO,
            _ if parent <= from => id(0, parent),
            _ => id(branch, parent),
        };
        Entry {
            sequence: Sequence::new(sequence),
            id: id(branch, sequence),
            prev,
            created: Timestamp::from_micros(sequence),
            written_at: Height::new(1),
            is_unsigned: false,
        }
    }

    /// The main branch, with these entries unsigned.
    fn unsigned(to: u64, places: &[u64]) -> Vec<Entry> {
        let is_unsigned = |entry: &Entry| places.contains(&entry.sequence.get());
        main(to).into_iter().map(|entry| Entry { is_unsigned: is_unsigned(&entry), ..entry }).collect()
    }

    fn main(to: u64) -> Vec<Entry> {
        (1..=to).map(|n| entry(0, n, 0)).collect()
    }

    fn branch(name: u8, from: u64, to: u64) -> Vec<Entry> {
        (from + 1..=to).map(|n| entry(name, n, from)).collect()
    }

    fn place(judged: &LogJudgement, branch: u8, sequence: u64) -> Place {
        judged.places[&id(branch, sequence)]
    }

    fn cut(sequence: u64) -> Closure {
        Closure::at([(Sequence::new(sequence), id(0, sequence))])
    }

    #[test]
    fn an_open_log_without_a_fork_stands_with_all_its_gaps() {
        let mut entries = main(9);
        entries.remove(4);
        let judged = judge_log(&Closure::default(), &entries);
        assert!(judged.places.values().all(|place| *place == Place::Stands));
        assert_eq!((judged.fork, judged.chosen.len()), (None, 0));
    }

    #[test]
    fn two_messages_for_one_place_dispute_it_and_all_above() {
        let judged = judge_log(&Closure::default(), &[main(5), branch(1, 2, 4)].concat());
        assert_eq!(judged.fork, Some(Sequence::new(3)));
        assert_eq!([1, 2].map(|n| place(&judged, 0, n)), [Place::Stands; 2]);
        assert_eq!([3, 4, 5].map(|n| place(&judged, 0, n)), [Place::Disputed; 3]);
        assert_eq!([3, 4].map(|n| place(&judged, 1, n)), [Place::Disputed; 2]);
    }

    #[test]
    fn a_link_that_does_not_meet_disputes_from_the_parent_it_denies() {
        // Entry 5 of a branch that left after 3: the author also signed another entry 4, which nobody has.
        let judged = judge_log(&Closure::default(), &[main(4), vec![entry(1, 5, 3)]].concat());
        assert_eq!(judged.fork, Some(Sequence::new(4)));
        assert_eq!(place(&judged, 0, 3), Place::Stands);
        assert_eq!((place(&judged, 0, 4), place(&judged, 1, 5)), (Place::Disputed, Place::Disputed));
        // Once that entry is held, the answer is the same.
        let whole = judge_log(&Closure::default(), &[main(4), branch(1, 3, 5)].concat());
        assert_eq!(whole.fork, judged.fork);
    }

    #[test]
    fn what_denies_a_parent_does_so_beside_another_that_follows_it() {
        let denied = [main(4), vec![entry(1, 5, 3)]].concat();
        let beside = [denied.clone(), vec![entry(0, 5, 0)]].concat();
        let fork = |entries: &[Entry]| judge_log(&Closure::default(), entries).fork;
        assert_eq!((fork(&denied), fork(&beside)), (Some(Sequence::new(4)), Some(Sequence::new(4))));
    }

    #[test]
    fn an_entry_that_its_author_vouched_for_and_did_not_sign_disputes_itself_and_all_above() {
        let judged = judge_log(&Closure::default(), &unsigned(5, &[3]));
        assert_eq!(judged.fork, Some(Sequence::new(3)));
        assert_eq!([1, 2].map(|n| place(&judged, 0, n)), [Place::Stands; 2]);
        assert_eq!([3, 4, 5].map(|n| place(&judged, 0, n)), [Place::Disputed; 3]);
        // Of several in a row, the one that a good entry follows is proven to anybody; those below it hang on it.
        let judged = judge_log(&Closure::default(), &unsigned(5, &[2, 3]));
        assert_eq!(judged.fork, Some(Sequence::new(3)));
        assert_eq!([1, 2].map(|n| place(&judged, 0, n)), [Place::Stands, Place::Disputed], "shown by nobody");
        // Without a good successor nothing shows that its author ever saw it.
        let judged = judge_log(&Closure::default(), &unsigned(5, &[5]));
        assert_eq!((judged.fork, place(&judged, 0, 5)), (None, Place::Disputed));
        let settled = judge_log(&cut(5), &unsigned(5, &[3]));
        assert_eq!((settled.fork, place(&settled, 0, 3)), (None, Place::Stands), "a cut has the last word");
    }

    #[test]
    fn a_cut_keeps_its_ancestors_whoever_signed_another_past() {
        let forged = branch(1, 2, 9);
        let judged = judge_log(&cut(5), &[forged, main(7)].concat());
        assert_eq!([1, 2, 3, 4, 5].map(|n| place(&judged, 0, n)), [Place::Stands; 5]);
        assert_eq!([6, 7].map(|n| place(&judged, 0, n)), [Place::Quarantined; 2]);
        assert!((3..=9).all(|n| place(&judged, 1, n) == Place::Quarantined));
        assert_eq!(judged.chosen[&Sequence::new(3)], id(0, 3), "the place is the true one's");
        assert!(judged.fork.is_none_or(|fork| fork > Sequence::new(5)));
    }

    #[test]
    fn below_a_cut_nothing_stands_before_it_links_up() {
        let without = |gap: u64| main(5).into_iter().filter(|e| e.sequence.get() != gap).collect::<Vec<_>>();
        let judged = judge_log(&cut(5), &without(4));
        assert_eq!(place(&judged, 0, 5), Place::Stands);
        assert_eq!([1, 2, 3].map(|n| place(&judged, 0, n)), [Place::Quarantined; 3]);
        let judged = judge_log(&cut(5), &without(5));
        assert_eq!(place(&judged, 0, 4), Place::Quarantined);
        assert!(judge_log(&cut(5), &main(5)).places.values().all(|place| *place == Place::Stands));
    }

    #[test]
    fn a_log_that_no_cut_lists_is_hidden_whole_and_extending_restores_it() {
        let hidden = judge_log(&Closure::at([]), &main(4));
        assert!(hidden.places.values().all(|place| *place == Place::Quarantined));
        assert_eq!(hidden.fork, None);
        assert_eq!(place(&judge_log(&cut(3), &main(4)), 0, 3), Place::Stands);
    }

    prop_compose! {
        /// A log of one to three histories, some of it missing, under any cut or none.
        fn held()(
            length in 1_u64..12,
            branches in proptest::collection::vec((1_u8..4, 0_u64..10, 0_u64..12), 0..3),
            cut_at in proptest::option::of(0_u64..12),
            kept in proptest::collection::vec(proptest::bool::weighted(0.8), 64),
            unsigned_at in proptest::collection::vec(1_u64..12, 0..3),
        ) -> (Closure, Vec<Entry>) {
            let mut entries = unsigned(length, &unsigned_at);
            let mut names = BTreeSet::new();
            for (name, from, to) in branches {
                if names.insert(name) {
                    entries.extend(branch(name, from.min(length), to));
                }
            }
            let closure = match cut_at {
                None => Closure::default(),
                Some(0) => Closure::at([]),
                Some(n) => cut(n),
            };
            let entries = entries.into_iter().zip(kept.into_iter().cycle()).filter(|(_, k)| *k).map(|(e, _)| e);
            (closure, entries.collect())
        }
    }

    proptest! {
        #[test]
        fn what_is_hidden_is_a_function_of_what_is_held_not_of_its_order(
            (closure, entries) in held(),
            shuffled in any::<prop::sample::Index>().prop_perturb(|_, mut rng| {
                std::array::from_fn::<u32, 64, _>(|_| rng.random())
            }),
        ) {
            let mut other: Vec<(u32, Entry)> = shuffled.into_iter().cycle().zip(entries.iter().copied()).collect();
            other.sort_by_key(|(key, _)| *key);
            let mut other: Vec<Entry> = other.into_iter().map(|(_, entry)| entry).collect();
            other.extend(entries.first().copied());
            prop_assert_eq!(judge_log(&closure, &other), judge_log(&closure, &entries));
        }

        #[test]
        fn more_entries_never_lift_a_fork_and_never_unseat_what_a_cut_keeps(
            (closure, entries) in held(),
            fewer in 0_usize..64,
        ) {
            let some = judge_log(&closure, &entries[..fewer.min(entries.len())]);
            let all = judge_log(&closure, &entries);
            if closure.is_open() && let Some(fork) = some.fork {
                prop_assert!(all.fork.is_some_and(|lower| lower <= fork));
            }
            if !closure.is_open() {
                for (id, place) in some.places.iter().filter(|(_, place)| **place == Place::Stands) {
                    prop_assert_eq!(all.places.get(id), Some(place));
                }
            }
        }

        #[test]
        fn what_stands_is_one_history((closure, entries) in held()) {
            let judged = judge_log(&closure, &entries);
            let standing: Vec<&Entry> =
                entries.iter().filter(|e| judged.places[&e.id] == Place::Stands).collect();
            for one in &standing {
                for other in &standing {
                    prop_assert!(one.sequence != other.sequence || one.id == other.id);
                    if one.sequence.get() + 1 == other.sequence.get() {
                        prop_assert_eq!(one.id, other.prev);
                    }
                }
            }
        }
    }
}
