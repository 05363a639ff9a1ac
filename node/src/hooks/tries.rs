//! The delivery log of a hook: what it tried of late and what came of it, for whoever asks why a tool misses an event.
//!
//! Of this run of the node alone, and no word of content: an event's id is what its receiver has as well.

use std::collections::VecDeque;

use belfry_proto::time::Timestamp;

use super::Failure;

/// Tries kept of one hook. Too low ⇒ what failed an hour ago is gone when somebody looks, too high ⇒ memory for nothing.
const MOST: usize = 500;

/// One try to give an event away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Try {
    /// Counted from the start.
    pub number: u64,
    /// When it ended.
    pub at: Timestamp,
    /// The event's id, the same at each of its tries.
    pub event: String,
    /// `taken`, `refused`, `away` or `gone`.
    pub outcome: &'static str,
    /// Why it was not taken.
    pub why: Option<String>,
}

/// The newest of them.
#[derive(Default)]
pub(super) struct Tries {
    newest: VecDeque<Try>,
    count: u64,
}

impl Tries {
    pub(super) fn note(&mut self, event: &str, failure: Option<&Failure>, at: Timestamp) {
        self.count += 1;
        if self.newest.len() >= MOST {
            self.newest.pop_front();
        }
        let outcome = match failure {
            None => "taken",
            Some(Failure::Refused(_)) => "refused",
            Some(Failure::Away { .. }) => "away",
            Some(Failure::Gone) => "gone",
        };
        let why = failure.map(ToString::to_string);
        self.newest.push_back(Try { number: self.count, at, event: event.to_owned(), outcome, why });
    }

    /// The oldest of those that are kept first.
    pub(super) fn kept(&self) -> Vec<Try> {
        self.newest.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_tries_are_kept_under_their_numbers() {
        let mut tries = Tries::default();
        for _ in 0..=MOST {
            tries.note("evt", Some(&Failure::Refused(400)), Timestamp::ZERO);
        }
        tries.note("evt", None, Timestamp::ZERO);
        let kept = tries.kept();
        assert_eq!((kept.len(), kept[0].number, kept[0].outcome), (MOST, 3, "refused"));
        assert_eq!(kept[0].why.as_deref(), Some("answers 400"));
        let last = kept.last().unwrap();
        assert_eq!((last.number, last.outcome, &last.why), (MOST as u64 + 2, "taken", &None));
    }
}
