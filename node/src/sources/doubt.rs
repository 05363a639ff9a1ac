//! Whether a feed is believed that takes back much at once or bit by bit: one that loses most of what it had is more likely
//! broken than meant so.
//!
//! What goes counts against what was known before the run, so that nothing that comes with it makes it look small; and with
//! what went within a week, so that no series of small steps comes to more than one large one may. Both are counted twice: of
//! all events, and of those that were known when the week began, however many came since. An event that is there and all but
//! empty counts as one that is gone.

use std::{collections::BTreeMap, time::Duration};

use belfry_proto::time::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Failure;

/// Events that may go at once whatever share they are: a small feed changes as a whole.
const FEW: usize = 20;
/// For how long what went counts. Shorter ⇒ a feed that is emptied step by step is believed, longer ⇒ one that turns over
/// slowly is doubted.
const WEEK: Duration = Duration::from_hours(7 * 24);
/// Events that went within a week and are remembered: as many as can be known.
const MAX_GONE: usize = 100_000;

/// What is counted: as a week begins now and then, and of what went, within a week of now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Base {
    /// When it began.
    since: Option<Timestamp>,
    /// Events that were known then.
    first: usize,
    /// The most that were known before a run since.
    most: usize,
    /// Taken back within a week, all or most of it, and not there again.
    gone: BTreeMap<Uuid, Gone>,
}

/// An event that was taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Gone {
    at: Timestamp,
    /// It was known when the week began.
    is_first: bool,
    /// It is there still, and says little of what it did.
    #[serde(default)]
    is_hollow: bool,
}

/// Why nothing is taken back.
#[derive(Debug)]
pub(super) struct Doubt {
    pub(super) failure: Failure,
    /// It is too much; else the feed lists nothing at all.
    pub(super) is_too_much: bool,
}

impl Base {
    /// A run begins, before which so many events are known.
    pub(super) fn begin(&mut self, known: usize, now: Timestamp) {
        self.gone.retain(|_, gone| gone.at.saturating_add(WEEK) > now);
        let is_over = self.since.is_none_or(|since| since > now || since.saturating_add(WEEK) <= now);
        if is_over {
            (self.since, self.first) = (Some(now), known);
            // What went a moment ago counts on, and against what there was then.
            let gone = self.gone.values().filter(|gone| !gone.is_hollow).count();
            self.most = self.most.min(known + gone);
            self.gone.values_mut().for_each(|gone| gone.is_first = false);
        }
        self.most = self.most.max(known);
    }

    /// Whether an event was known when the week began, by when it came.
    pub(super) fn is_first(&self, came: Option<Timestamp>) -> bool {
        came.is_none_or(|came| self.since.is_some_and(|since| came <= since))
    }

    /// An event was taken back.
    pub(super) fn took(&mut self, event: Uuid, is_first: bool, at: Timestamp) {
        self.note(event, Gone { at, is_first, is_hollow: false });
    }

    /// Most of what an event said was.
    pub(super) fn hollowed(&mut self, event: Uuid, is_first: bool, at: Timestamp) {
        self.note(event, Gone { at, is_first, is_hollow: true });
    }

    fn note(&mut self, event: Uuid, gone: Gone) {
        if self.gone.len() < MAX_GONE {
            self.gone.insert(event, gone);
        }
    }

    /// An event is there again. One that never went is no more there than it was.
    pub(super) fn back(&mut self, event: &Uuid) {
        if self.gone.get(event).is_some_and(|gone| !gone.is_hollow) {
            self.gone.remove(event);
        }
    }

    /// An event is counted among those that go now, and not twice.
    pub(super) fn goes(&mut self, event: &Uuid) {
        self.gone.remove(event);
    }

    /// Whether a feed is not believed that takes back `going` events, `first` of them known when the week began, and lists
    /// `listed`.
    pub(super) fn doubt(&self, first: usize, going: usize, listed: usize) -> Option<Doubt> {
        let is_most = |known: usize, going: usize| known > FEW && going > known / 2;
        let gone_first = self.gone.values().filter(|gone| gone.is_first).count();
        let is_too_much =
            is_most(self.most, going + self.gone.len()) || is_most(self.first, first + gone_first);
        let is_doubtful = going > 0 && (listed == 0 || is_too_much);
        is_doubtful.then(|| Doubt { failure: self.failure(going), is_too_much })
    }

    /// What is told of events that are not taken back.
    pub(super) fn failure(&self, going: usize) -> Failure {
        let others = match self.gone.len() {
            0 => String::new(),
            1 => ", after 1 other event within a week".to_owned(),
            gone => format!(", after {gone} other events within a week"),
        };
        Failure::new(format!(
            "lacks {going} of the {} events that were taken from it{others}, which is more likely its fault than meant so: \
             nothing of them is taken back until it has them again; if it is meant, withdraw what was published of them \
             (`belfry withdraw`) and discard their drafts, and they are forgotten",
            self.most
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_763_800_000_000_000);

    fn week(known: usize) -> Base {
        let mut base = Base::default();
        base.begin(known, NOW);
        base
    }

    #[test]
    fn a_feed_that_loses_most_of_what_it_had_is_not_believed() {
        for (known, going, listed, is_believed) in [
            (5, 5, 3, true),
            (20, 20, 1, true),
            (21, 10, 11, true),
            (21, 11, 10, false),
            (40, 21, 500, false),
            (1, 1, 0, false),
            (0, 0, 0, true),
        ] {
            let doubt = week(known).doubt(going, going, listed);
            assert_eq!(doubt.is_none(), is_believed, "{known} {going} {listed}");
        }
    }

    #[test]
    fn what_went_within_a_week_counts_whenever_that_began_and_then_no_more() {
        let mut base = week(1_000);
        let late = NOW.saturating_add(WEEK / 7 * 6);
        (0..500).for_each(|n| base.took(Uuid::from_u128(n), true, late));
        for now in [late, NOW.saturating_add(WEEK)] {
            base.begin(500, now);
            let doubt = base.doubt(1, 1, 499).unwrap();
            assert!(doubt.is_too_much);
            let why = doubt.failure.reason;
            assert!(
                why.contains("1 of the 1000 events that were taken from it, after 500 other events within"),
                "{why}"
            );
        }
        base.begin(500, NOW.saturating_add(WEEK * 2));
        assert!(base.doubt(250, 250, 250).is_none() && base.doubt(251, 251, 249).is_some());
    }

    #[test]
    fn an_event_that_goes_and_comes_counts_once_and_not_while_it_is_there() {
        let mut base = week(30);
        for _ in 0..100 {
            base.took(Uuid::nil(), true, NOW);
        }
        assert!(base.doubt(14, 14, 16).is_none() && base.doubt(15, 15, 15).is_some());
        base.back(&Uuid::nil());
        assert!(base.doubt(15, 15, 15).is_none());
    }

    #[test]
    fn an_event_that_is_all_but_empty_counts_like_one_that_is_gone_and_only_once() {
        let mut base = week(30);
        base.hollowed(Uuid::nil(), true, NOW);
        base.back(&Uuid::nil());
        assert!(base.doubt(14, 14, 30).is_none() && base.doubt(15, 15, 30).is_some(), "it never went");
        base.goes(&Uuid::nil());
        assert!(base.doubt(15, 15, 15).is_none(), "it is one of the fifteen");
        // What is known still is not known twice when the next week begins.
        let mut base = week(40);
        (0..10).for_each(|n| base.hollowed(Uuid::from_u128(n), true, NOW.saturating_add(WEEK / 7 * 6)));
        base.begin(24, NOW.saturating_add(WEEK));
        assert!(base.doubt(0, 3, 21).is_some_and(|doubt| doubt.failure.reason.contains("3 of the 24 ")));
    }

    #[test]
    fn those_that_came_since_cover_for_none_that_were_there() {
        let mut base = week(30);
        base.begin(90, NOW.saturating_add(WEEK / 2));
        assert!(base.doubt(0, 30, 60).is_none(), "of those that came since");
        assert!(base.doubt(16, 30, 60).is_some());
        assert!(base.is_first(None) && base.is_first(Some(NOW)));
        assert!(!base.is_first(Some(NOW.saturating_add(Duration::from_secs(1)))));
    }
}
