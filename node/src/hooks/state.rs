//! What a hook remembers: how far it is, and what it gave up.

use std::collections::VecDeque;

use belfry_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Dead letters kept. Too low ⇒ an endpoint that was broken for a day loses some; too high ⇒ the row is written again
/// and again for each.
const MOST: usize = 1_000;

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
}
