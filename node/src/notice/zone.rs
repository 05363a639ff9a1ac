//! The clock by which readers of a page tell days and hours.
//!
//! Times are kept in UTC. Whoever reads a notice lives by another clock, on which a membership that ends at midnight may end on
//! another day than in UTC. Which clock that is stands in the data file ([`super::Book`]): its name, and its rule as POSIX writes
//! it, so that every machine tells the same, with or without a database of zones.
//!
//! A *day* that somebody states without an hour is no moment. It is kept as its midnight in UTC, and is that day for every reader.

use std::time::Duration;

use belfry_proto::time::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;

use crate::clock;

const DAY_MICROS: u64 = 24 * 60 * 60 * 1_000_000;

/// A clock that people live by.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Stated")]
pub struct Zone {
    name: String,
    rule: TimeZone,
}

/// As the data file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stated {
    name: String,
    rule: String,
}

/// Why a zone cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ZoneError {
    /// No rule.
    #[error(
        "the zone {name:?} has the rule {rule:?}: write one as POSIX does, as in CET-1CEST,M3.5.0,M10.5.0/3"
    )]
    Rule {
        /// The zone.
        name: String,
        /// What stands there.
        rule: String,
    },
}

impl TryFrom<Stated> for Zone {
    type Error = ZoneError;

    fn try_from(Stated { name, rule }: Stated) -> Result<Self, ZoneError> {
        match TimeZone::posix(&rule) {
            Ok(rule) => Ok(Self { name, rule }),
            Err(_) => Err(ZoneError::Rule { name, rule }),
        }
    }
}

/// UTC: that of a data file which names none.
impl Default for Zone {
    fn default() -> Self {
        Self { name: "UTC".to_owned(), rule: TimeZone::UTC }
    }
}

impl Zone {
    /// That of this machine.
    #[must_use]
    pub fn of_machine() -> Self {
        Self { name: "this machine's time".to_owned(), rule: clock::zone() }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The day of a moment, as in 2027-01-01.
    #[must_use]
    pub fn date(&self, at: Timestamp) -> String {
        self.there(at).chars().take(10).collect()
    }

    /// The hour of a moment, as in 00:00; with seconds where there are any.
    #[must_use]
    pub fn hour(&self, at: Timestamp) -> String {
        let time: String = self.there(at).chars().skip(11).take(8).collect();
        time.strip_suffix(":00").map(str::to_owned).unwrap_or(time)
    }

    /// What its clock is called at a moment, as in `CET (UTC+01:00)`.
    #[must_use]
    pub fn called(&self, at: Timestamp) -> String {
        match self.offset(at) {
            (0, short) if short == "UTC" => short,
            (seconds, short) => format!("{short} (UTC{})", offset(seconds)),
        }
    }

    /// A moment for lists, as in `2027-01-01 00:00 CET`.
    #[must_use]
    pub fn listed(&self, at: Timestamp) -> String {
        format!("{} {} {}", self.date(at), self.hour(at), self.offset(at).1)
    }

    /// A moment for programs, as in `2027-01-01T00:00:00+01:00`.
    #[must_use]
    pub fn rfc3339(&self, at: Timestamp) -> String {
        let there: String = self.there(at).chars().take(19).collect();
        there + &offset(self.offset(at).0)
    }

    /// The day that was stated, or that of a moment.
    #[must_use]
    pub fn day(&self, at: Timestamp) -> String {
        match is_day(at) {
            true => at.to_string().chars().take(10).collect(),
            false => self.date(at),
        }
    }

    /// A moment's digits as this clock shows them.
    fn there(&self, at: Timestamp) -> String {
        let seconds = self.offset(at).0;
        let by = Duration::from_secs(u64::from(seconds.unsigned_abs()));
        let there = if seconds < 0 { at.saturating_sub(by) } else { at.saturating_add(by) };
        there.to_string()
    }

    /// Seconds ahead of UTC, and its short name then.
    fn offset(&self, at: Timestamp) -> (i32, String) {
        let micros = i64::try_from(at.min(Timestamp::MAX).as_micros()).unwrap_or(i64::MAX);
        match jiff::Timestamp::from_microsecond(micros) {
            Ok(at) => {
                let info = self.rule.to_offset_info(at);
                (info.offset().seconds(), info.abbreviation().to_owned())
            }
            Err(_) => (0, "UTC".to_owned()),
        }
    }
}

/// Whether a time is a day that was stated without an hour.
#[must_use]
pub fn is_day(at: Timestamp) -> bool {
    at.as_micros().is_multiple_of(DAY_MICROS)
}

/// Whether one time lies before another. Where one of them is a day, whole days count; what is one day by any of the clocks that
/// people may have meant is not before.
#[must_use]
pub fn is_before(one: Timestamp, other: Timestamp, clocks: &[Zone]) -> bool {
    match is_day(one) || is_day(other) {
        true => one < other && clocks.iter().all(|clock| clock.day(one) < clock.day(other)),
        false => one < other,
    }
}

/// Seconds ahead of UTC, as in `+01:00`.
fn offset(seconds: i32) -> String {
    let minutes = seconds.unsigned_abs() / 60;
    let sign = if seconds < 0 { '-' } else { '+' };
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str, rule: &str) -> Zone {
        Stated { name: name.to_owned(), rule: rule.to_owned() }.try_into().unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_moment_is_told_on_the_readers_day_with_the_clock_it_is_told_by() {
        let brussels = zone("Europe/Brussels", "CET-1CEST,M3.5.0,M10.5.0/3");
        let midnight = at("2027-01-01T00:00:00+01:00");
        assert_eq!((brussels.date(midnight), brussels.hour(midnight)), ("2027-01-01".into(), "00:00".into()));
        assert_eq!(brussels.called(midnight), "CET (UTC+01:00)");
        assert_eq!(brussels.rfc3339(midnight), "2027-01-01T00:00:00+01:00");
        let summer = at("2027-06-30T23:59:59+02:00");
        assert_eq!(brussels.listed(summer), "2027-06-30 23:59:59 CEST");
        assert_eq!(brussels.rfc3339(summer), "2027-06-30T23:59:59+02:00");
        let newfoundland = zone("America/St_Johns", "NST3:30NDT,M3.2.0,M11.1.0");
        assert_eq!(newfoundland.rfc3339(midnight), "2026-12-31T19:30:00-03:30");
        assert_eq!(Zone::default().called(midnight), "UTC");
        assert_eq!(Zone::default().listed(midnight), "2026-12-31 23:00 UTC");
    }

    #[test]
    fn a_day_without_an_hour_is_that_day_for_every_reader() {
        let day = at("2026-11-20T00:00:00Z");
        for rule in ["CET-1CEST,M3.5.0,M10.5.0/3", "PST8PDT,M3.2.0,M11.1.0", "<+14>-14"] {
            assert_eq!(zone("x", rule).day(day), "2026-11-20", "{rule}");
        }
        assert_eq!(zone("x", "<+14>-14").day(at("2026-11-20T10:00:01Z")), "2026-11-21");
    }

    #[test]
    fn the_same_calendar_day_is_not_before() {
        let clocks = [zone("x", "CET-1CEST,M3.5.0,M10.5.0/3"), Zone::default()];
        let day = at("2026-11-20T00:00:00Z");
        assert!(!is_before(day, at("2026-11-20T15:00:00Z"), &clocks), "some time that day");
        assert!(
            !is_before(day, at("2026-11-20T23:30:00Z"), &clocks),
            "the next day in Brussels, the same in UTC"
        );
        assert!(is_before(day, at("2026-11-21T00:30:00Z"), &clocks));
        assert!(!is_before(at("2026-11-19T23:30:00Z"), day, &clocks), "that day in Brussels");
        assert!(is_before(at("2026-11-19T22:30:00Z"), day, &clocks));
        // Two moments are what they are.
        assert!(is_before(at("2026-11-20T14:00:00Z"), at("2026-11-20T15:00:00Z"), &clocks));
        assert!(!is_before(day, day, &clocks));
    }

    #[test]
    fn a_rule_that_is_none_is_refused_with_its_zone() {
        let wrong = Zone::try_from(Stated { name: "Brussels".into(), rule: "Europe/Brussels".into() });
        let error = wrong.unwrap_err().to_string();
        assert!(error.contains("\"Brussels\"") && error.contains("CET-1CEST"), "{error}");
    }
}
