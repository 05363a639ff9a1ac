//! What one peer's frontier offers that ours lacks.

use std::collections::BTreeMap;

use crate::{
    id::{GroupId, LogId, Sequence},
    sync::frontier::LogFrontier,
};

/// Entries to ask a peer for; both ends count. Pages are bounded, so a range takes several requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Group.
    pub group: GroupId,
    /// Log.
    pub log: LogId,
    /// First sequence wanted.
    pub from: Sequence,
    /// Last sequence wanted.
    pub to: Sequence,
    /// Why.
    pub want: Want,
}

/// Why a range is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Want {
    /// Entries above our frontier.
    Entries,
    /// Entries we hold without their body. The range spans all that the peer may have; whoever fetches
    /// narrows it to the sequences that miss theirs.
    Bodies,
    /// The peer's entry at a height where its head is not ours: with ours it proves a fork.
    Proof,
    /// The proof of a fork that the peer knows and we do not; the range is its place.
    Fork,
}

/// The ranges worth asking this peer for: new entries first, then missing bodies, then proof of forks, ours and theirs;
/// each in the order of log ids. Logs that the peer lacks are its own to ask for.
#[must_use]
pub fn plan(ours: &[LogFrontier], theirs: &[LogFrontier]) -> Vec<Range> {
    let ours: BTreeMap<(GroupId, LogId), &LogFrontier> =
        ours.iter().map(|log| ((log.group, log.log), log)).collect();
    let mut ranges: Vec<Range> = theirs
        .iter()
        .flat_map(|their| {
            let key = (their.group, their.log);
            let our = ours.get(&key).map_or_else(|| LogFrontier::empty(key.0, key.1), |our| **our);
            wants(&our, their)
        })
        .collect();
    ranges.sort_by_key(|range| (range.want, range.group, range.log));
    ranges
}

fn wants(ours: &LogFrontier, theirs: &LogFrontier) -> impl Iterator<Item = Range> + use<> {
    let range = |want, from: u64, to: u64| {
        let (group, log) = (theirs.group, theirs.log);
        (from <= to).then_some(Range { group, log, from: Sequence::new(from), to: Sequence::new(to), want })
    };
    let (our_height, their_height) = (ours.height.get(), theirs.height.get());
    let entries = range(Want::Entries, our_height.saturating_add(1), their_height);
    // Whoever misses the same ones is not asked: an erasure took them everywhere. The sum alone an author could arrange.
    let is_same = ours.missing == theirs.missing && ours.holes() == theirs.holes();
    let bodies = (ours.holes() > 0 && !is_same && theirs.bodies > 0)
        .then(|| {
            let from = ours.low.get().max(theirs.low.get());
            range(Want::Bodies, from, our_height.min(their_height))
        })
        .flatten();
    let proof = (our_height == their_height && ours.head != theirs.head)
        .then(|| range(Want::Proof, our_height.max(1), their_height))
        .flatten();
    let is_lower = ours.frozen.get() == 0 || theirs.frozen < ours.frozen;
    let fork = is_lower.then(|| range(Want::Fork, theirs.frozen.get(), theirs.frozen.get())).flatten();
    let fork = fork.filter(|fork| fork.from.get() > 0);
    [entries, bodies, proof, fork].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::id::MessageId;
    use crate::sync::frontier::MissingSum;

    const GROUP: GroupId = GroupId::new(5);

    fn log(n: u8, height: u64) -> LogFrontier {
        LogFrontier {
            group: GROUP,
            log: LogId::new([n; 32]),
            low: Sequence::new(1),
            height: Sequence::new(height),
            head: MessageId::new([if height == 0 { 0 } else { 9 }; 32]),
            bodies: height,
            frozen: Sequence::new(0),
            missing: MissingSum::default(),
        }
    }

    /// A log of seven entries that misses these bodies.
    fn missing(places: &[u64]) -> LogFrontier {
        let mut held = LogFrontier { bodies: 7 - places.len() as u64, ..log(1, 7) };
        places.iter().for_each(|place| held.missing.toggle(held.log, Sequence::new(*place)));
        held
    }

    fn asked(ours: &[LogFrontier], theirs: &[LogFrontier]) -> Vec<(u8, u64, u64, Want)> {
        let short = |range: Range| (range.log.as_bytes()[0], range.from.get(), range.to.get(), range.want);
        plan(ours, theirs).into_iter().map(short).collect()
    }

    #[test]
    fn asks_for_what_lies_above_our_frontier_and_for_unknown_logs() {
        let theirs = [log(1, 7), log(2, 7), log(3, 7), log(4, 0)];
        let ours = [log(1, 7), log(2, 4), log(9, 3)];
        assert_eq!(asked(&ours, &theirs), [(2, 5, 7, Want::Entries), (3, 1, 7, Want::Entries)]);
        assert_eq!(asked(&theirs, &theirs), []);
    }

    #[test]
    fn missing_bodies_stay_wanted_from_peers_that_hold_any() {
        let bare = missing(&[1, 2, 3]);
        assert_eq!(asked(&[bare], &[log(1, 7)]), [(1, 1, 7, Want::Bodies)]);
        // A peer that serves bare headers offers nothing, and does not end the search.
        let headers_only = LogFrontier { bodies: 0, ..missing(&[1, 2, 3, 4, 5, 6, 7]) };
        assert_eq!(asked(&[bare], &[headers_only]), []);
        // What nobody has any more is asked of nobody. Who misses others has what we miss, some of it at least.
        assert_eq!(asked(&[bare], &[missing(&[1, 2, 3])]), []);
        for other in [missing(&[1, 2]), missing(&[4, 5, 6]), missing(&[3, 4, 5, 6])] {
            assert_eq!(asked(&[bare], &[other]), [(1, 1, 7, Want::Bodies)]);
        }
        // Below our own retention, or below the peer's, there is nothing to ask for.
        let late = LogFrontier { low: Sequence::new(6), bodies: 2, ..log(1, 7) };
        assert_eq!(asked(&[bare], &[late]), [(1, 6, 7, Want::Bodies)]);
        assert_eq!(asked(&[late], &[log(1, 7)]), []);
    }

    #[test]
    fn a_different_head_at_our_height_is_fetched_as_proof() {
        let forked = LogFrontier { head: MessageId::new([8; 32]), ..log(1, 7) };
        assert_eq!(asked(&[log(1, 7)], &[forked]), [(1, 7, 7, Want::Proof)]);
    }

    #[test]
    fn a_fork_that_we_do_not_know_is_asked_for_wherever_we_stand() {
        let frozen = |height, at| LogFrontier { frozen: Sequence::new(at), ..log(1, height) };
        let theirs = [frozen(6, 7)];
        assert_eq!(asked(&[log(1, 9)], &theirs), [(1, 7, 7, Want::Fork)]);
        assert_eq!(asked(&[log(1, 6)], &theirs), [(1, 7, 7, Want::Fork)]);
        assert_eq!(asked(&[], &theirs), [(1, 1, 6, Want::Entries), (1, 7, 7, Want::Fork)]);
        assert_eq!(asked(&[frozen(6, 7)], &theirs), []);
        assert_eq!(asked(&[frozen(2, 3)], &[frozen(2, 7)]), [], "ours is the lower one");
        assert_eq!(asked(&[frozen(6, 7)], &[frozen(2, 3)]), [(1, 3, 3, Want::Fork)]);
    }

    proptest! {
        #[test]
        fn fetching_what_was_planned_leaves_nothing_to_plan(
            ours in proptest::collection::btree_map(0_u8..20, 0_u64..50, 0..15),
            theirs in proptest::collection::btree_map(0_u8..20, 0_u64..50, 0..15),
        ) {
            let frontier = |heights: &BTreeMap<u8, u64>| -> Vec<LogFrontier> {
                heights.iter().map(|(n, height)| log(*n, *height)).collect()
            };
            let mut after = ours.clone();
            for range in plan(&frontier(&ours), &frontier(&theirs)) {
                let held = after.entry(range.log.as_bytes()[0]).or_default();
                prop_assert_eq!(*held + 1, range.from.get());
                *held = range.to.get();
            }
            prop_assert_eq!(plan(&frontier(&after), &frontier(&theirs)), vec![]);
        }
    }
}
