//! What a hook remembers: how far it is, and what it gave up.

use std::collections::{BTreeMap, VecDeque};

use belfry_proto::{id::MemberId, time::Timestamp};
use serde::{Deserialize, Serialize};

/// Dead letters kept. Too low ⇒ an endpoint that was broken for a day loses some; too high ⇒ the row is written again
/// and again for each.
const MOST: usize = 1_000;

/// Events that wait for their time, as under an embargo, and are kept in mind, of all authors. Too low ⇒ some never go out, too
/// high ⇒ the row is over a hundred kilobytes at each write.
const MOST_LATER: usize = 2_000;

/// An event that its receiver refused for good. It is named by its number in the feed; its content stays where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Its number in the feed.
    pub number: u64,
    /// When it was given up.
    pub at: Timestamp,
    /// How it was refused last: an HTTP status.
    pub status: u16,
}

/// In the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// Number in the feed up to which all is done.
    pub(super) position: u64,
    /// What was given up, oldest first.
    pub(super) dead: VecDeque<DeadLetter>,
    /// Dead letters that were more than are kept.
    pub(super) lost: u64,
    /// What only an embargo holds back, or that it is not valid yet, by number, and until when.
    #[serde(default)]
    pub(super) later: BTreeMap<u64, Timestamp>,
    /// Whose these are; unset of what an earlier build kept in mind.
    #[serde(default)]
    pub(super) authors: BTreeMap<u64, MemberId>,
}

impl State {
    pub(super) fn bury(&mut self, letter: DeadLetter) {
        self.dead.retain(|known| known.number != letter.number);
        if self.dead.len() >= MOST {
            self.dead.pop_front();
            self.lost = self.lost.saturating_add(1);
        }
        self.dead.push_back(letter);
    }

    /// Keeps in mind what goes out when its time has come. Beyond what is kept, of the author who has most of them those that end
    /// last count as lost: nobody pushes out what others say.
    pub(super) fn wait_for(&mut self, later: impl IntoIterator<Item = (u64, Timestamp, MemberId)>) {
        for (number, at, author) in later {
            self.later.insert(number, at);
            self.authors.insert(number, author);
        }
        while self.later.len() > MOST_LATER {
            let Some(last) = self.last_of_most() else { return };
            self.ends(last, true);
        }
    }

    /// Of the author who has most of what is kept in mind, what ends last.
    fn last_of_most(&self) -> Option<u64> {
        let mut counts: BTreeMap<Option<&MemberId>, usize> = BTreeMap::new();
        for number in self.later.keys() {
            *counts.entry(self.authors.get(number)).or_default() += 1;
        }
        let (most, _) = counts.into_iter().max_by_key(|(_, count)| *count)?;
        let of_most = self.later.iter().filter(|(number, _)| self.authors.get(*number) == most);
        of_most.max_by_key(|(_, at)| **at).map(|(number, _)| *number)
    }

    /// What needs to be kept in mind no longer, and whether it is lost.
    pub(super) fn ends(&mut self, number: u64, is_lost: bool) {
        self.later.remove(&number);
        self.authors.remove(&number);
        self.lost = self.lost.saturating_add(u64::from(is_lost));
    }

    /// Those whose time has come, oldest first.
    pub(super) fn due(&self, now: Timestamp) -> Vec<u64> {
        self.later.iter().filter(|(_, at)| **at <= now).map(|(number, _)| *number).collect()
    }

    pub(super) fn revive(&mut self, number: u64) {
        self.dead.retain(|known| known.number != number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_dead_letters_go_and_are_counted() {
        let mut state = State::default();
        let letter = |number| DeadLetter { number, at: Timestamp::ZERO, status: 400 };
        for number in 0..=MOST as u64 {
            state.bury(letter(number));
            state.bury(letter(number));
        }
        assert_eq!((state.dead.len(), state.lost), (MOST, 1));
        state.revive(5);
        assert_eq!((state.dead.len(), state.dead.front().map(|dead| dead.number)), (MOST - 1, Some(1)));
    }

    #[test]
    fn what_is_under_an_embargo_is_kept_in_mind_as_far_as_there_is_room_the_nearest_first() {
        let at = Timestamp::from_micros;
        let (mut state, one) = (State::default(), MemberId::new([1; 16]));
        state.wait_for([(7, at(30), one), (8, at(10), one), (9, at(20), one)]);
        assert_eq!(
            (state.due(at(9)), state.due(at(20)), state.due(at(99))),
            (vec![], vec![8, 9], vec![7, 8, 9])
        );
        state.wait_for((100..100 + MOST_LATER as u64).map(|number| (number, at(5), one)));
        assert_eq!((state.later.len(), state.lost), (MOST_LATER, 3));
        assert!(!state.later.contains_key(&7) && state.later.contains_key(&100));
        // However many another one has: its own go.
        let other = MemberId::new([2; 16]);
        state.wait_for((5_000..5_100).map(|number| (number, at(99), other)));
        state.wait_for((9_000..9_100).map(|number| (number, at(3), one)));
        let of_other = state.later.keys().filter(|number| (5_000..9_000).contains(*number)).count();
        assert_eq!((state.later.len(), of_other), (MOST_LATER, 100));
        let before = state.lost;
        state.ends(5_000, false);
        state.ends(5_001, true);
        assert_eq!((state.later.len(), state.lost), (MOST_LATER - 2, before + 1));
        let old: State = serde_json::from_str(r#"{"position":3,"dead":[],"lost":0}"#).unwrap();
        assert_eq!((old.position, old.later.len()), (3, 0), "as an earlier build wrote it");
    }
}
