//! Days on the command line: a day without an hour is that calendar day, for whoever stated it.
//!
//! Days and moments meet in rules ("not before it was decided", "not before it has come"), and people who state both think of one
//! calendar. So a day is kept as its midnight in UTC, which stands for the day ([`crate::notice::is_day`]), and never refused for
//! the hours that lie between two clocks: neither today just after midnight here, nor the day of a moment as that was stated.

use belfry_proto::time::Timestamp;

use super::args::zoned;
use crate::{
    clock,
    notice::{Book, Zone, is_day},
};

/// The clocks by which a day on the command line may be meant: the authorities', by belfry's own data file, and this machine's.
pub(super) fn clocks() -> Vec<Zone> {
    Book::standard().ok().map(|book| book.zone).into_iter().chain([Zone::of_machine()]).collect()
}

/// The time that stands for a day, by its midnight in UTC. Where it has begun by somebody's clock and not in UTC, it is now.
pub(super) fn begun(midnight: Timestamp) -> Timestamp {
    let now = clock::now();
    match midnight > now {
        true => begun_at(midnight, now, &clocks()),
        false => midnight,
    }
}

fn begun_at(midnight: Timestamp, now: Timestamp, clocks: &[Zone]) -> Timestamp {
    let has_begun = |clock: &Zone| clock.date(now) >= clock.day(midnight);
    match midnight > now && clocks.iter().any(has_begun) {
        true => now,
        false => midnight,
    }
}

/// A moment, and the calendar day on which whoever stated it has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// When.
    pub(super) at: Timestamp,
    day: String,
}

impl Moment {
    /// When something was decided that takes effect then. Decided on that very day, it was decided at that moment at the latest.
    pub(super) fn decided(&self, on: Timestamp) -> Timestamp {
        let is_that_day = is_day(on) && Zone::default().day(on) == self.day;
        if is_that_day { on.min(self.at) } else { on }
    }
}

/// An RFC 3339 time with the day that it names.
pub(super) fn stated(text: &str) -> Result<Moment, String> {
    Ok(Moment { at: zoned(text)?, day: text.chars().take(10).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_decision_of_the_day_on_which_it_takes_effect_is_not_after_it_by_any_clock() {
        let day = at("2026-11-20T00:00:00Z");
        for same in ["2026-11-20T00:00:00+01:00", "2026-11-20T00:30:00+14:00", "2026-11-20T23:00:00-08:00"] {
            let effective = stated(same).unwrap();
            assert!(effective.decided(day) <= effective.at, "{same}");
        }
        let later = stated("2027-01-01T00:00:00+01:00").unwrap();
        assert_eq!(later.decided(day), day, "a day stays what it is");
        // The day before is before, by whatever clock it was stated.
        let before = stated("2026-11-19T23:59:59+01:00").unwrap();
        assert!(before.decided(day) > before.at);
        // An hour is no day.
        let hour = at("2026-11-20T08:00:00Z");
        let effective = stated("2026-11-20T00:30:00+01:00").unwrap();
        assert_eq!(effective.decided(hour), hour);
    }

    #[test]
    fn today_has_begun_where_somebodys_clock_says_so_and_tomorrow_has_not() {
        let clocks = [Book::standard().unwrap().zone, Zone::default()];
        let now = at("2026-11-20T00:10:00+01:00");
        assert_eq!(begun_at(at("2026-11-20T00:00:00Z"), now, &clocks), now, "today in Brussels");
        assert_eq!(begun_at(at("2026-11-20T00:00:00Z"), now, &[Zone::default()]), at("2026-11-20T00:00:00Z"));
        let tomorrow = at("2026-11-21T00:00:00Z");
        assert_eq!(begun_at(tomorrow, now, &clocks), tomorrow, "still to come");
        let yesterday = at("2026-11-19T00:00:00Z");
        assert_eq!(begun_at(yesterday, now, &clocks), yesterday);
    }
}
