//! What a hook remembers: how far it is, and what it gave up.

use std::collections::{BTreeMap, VecDeque};

use belfry_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Dead letters kept. Too low ⇒ an endpoint that was broken for a day loses some; too high ⇒ the row is written again
/// and again for each.
const MOST: usize = 1_000;

/// Events under an embargo that are kept in mind. Too low ⇒ some never go out, too high ⇒ the row is tens of kilobytes at each
/// write.
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
    /// What only an embargo holds back, by number, and until when.
    #[serde(default)]
    pub(super) later: BTreeMap<u64, Timestamp>,
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

    /// Keeps in mind what goes out when its embargo ends; beyond what is kept, those that end last count as lost.
    pub(super) fn wait_for(&mut self, later: impl IntoIterator<Item = (u64, Timestamp)>) {
        self.later.extend(later);
        while self.later.len() > MOST_LATER {
            let last = self.later.iter().max_by_key(|(_, at)| **at).map(|(number, _)| *number);
            if let Some(number) = last {
                self.later.remove(&number);
            }
            self.lost = self.lost.saturating_add(1);
        }
    }

    /// Those whose embargo is over, oldest first.
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
        let mut state = State::default();
        state.wait_for([(7, at(30)), (8, at(10)), (9, at(20))]);
        assert_eq!(
            (state.due(at(9)), state.due(at(20)), state.due(at(99))),
            (vec![], vec![8, 9], vec![7, 8, 9])
        );
        state.wait_for((100..100 + MOST_LATER as u64).map(|number| (number, at(5))));
        assert_eq!((state.later.len(), state.lost), (MOST_LATER, 3));
        assert!(!state.later.contains_key(&7) && state.later.contains_key(&100));
        let old: State = serde_json::from_str(r#"{"position":3,"dead":[],"lost":0}"#).unwrap();
        assert_eq!((old.position, old.later.len()), (3, 0), "as an earlier build wrote it");
    }
}
