//! Messages from before one's membership: what the grant rule (design §4) lets a newcomer expect of them.
//!
//! Every holder judges by itself and answers only "not yet" or "not entitled". What it judges by stands in the
//! charter and the admin log, so this node can say of its own accord what the answer will be, and until when.

use std::time::Duration;

use belfry_proto::{time::Timestamp, trust::charter::History};

const DAY: u64 = 24 * 3600;

/// What a member may expect of a message written before it came to the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expectation {
    /// For whoever waits for it.
    pub(super) meaning: String,
    /// From when on other members may give its key; unset: never, or since long.
    pub(super) not_before: Option<Timestamp>,
}

/// Of a message dated `created`, by a member `entitled` since, in a group of this history.
pub(super) fn expectation(
    history: History,
    delay: Duration,
    entitled: Timestamp,
    created: Timestamp,
    now: Timestamp,
) -> Expectation {
    let came = format!("written before this member came to the group, on {}", day(entitled));
    let never = |why: &str| Expectation {
        meaning: format!("{came}: it stays closed here, because {why}"),
        not_before: None,
    };
    match history {
        History::None => return never("the group gives newcomers no history"),
        History::Window(window) if created < entitled.saturating_sub(window) => {
            let days = window.as_secs().div_ceil(DAY);
            return never(&format!("the group gives newcomers {days} days of history, and it is older"));
        }
        History::Window(_) | History::All => {}
    }
    let until = entitled.saturating_add(delay);
    if now < until {
        let meaning = format!(
            "{came}: other members may give its key after the charter's grant delay, from {until} on"
        );
        return Expectation { meaning, not_before: Some(until) };
    }
    Expectation {
        meaning: format!(
            "{came}: the grant delay is over, its key is asked of other members and has not come yet"
        ),
        not_before: None,
    }
}

fn day(time: Timestamp) -> String {
    time.to_string().chars().take(10).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn days(n: u64) -> Duration {
        Duration::from_secs(n * DAY)
    }

    #[test]
    fn a_newcomer_is_told_until_when_or_that_it_is_for_good() {
        let start: Timestamp = "2027-03-01T12:00:00Z".parse().unwrap();
        let (entitled, hour) = (start.saturating_add(days(10)), Duration::from_secs(3600));
        let said = |history, delay, now| expectation(history, delay, entitled, start, now);

        let delayed = said(History::All, days(1), entitled.saturating_add(hour));
        assert_eq!(delayed.not_before, Some("2027-03-12T12:00:00Z".parse().unwrap()));
        assert!(
            delayed.meaning.contains("2027-03-11") && delayed.meaning.contains("from 2027-03-12T12:00:00")
        );

        let over = said(History::All, days(1), entitled.saturating_add(days(1)));
        assert!(over.not_before.is_none() && over.meaning.contains("delay is over"), "{over:?}");

        for (history, why) in [(History::None, "no history"), (History::Window(days(9)), "9 days of history")]
        {
            let closed = said(history, days(1), entitled);
            assert!(closed.not_before.is_none() && closed.meaning.contains(why), "{closed:?}");
        }
        let within = said(History::Window(days(10)), days(1), entitled);
        assert!(within.not_before.is_some(), "{within:?}");
    }
}
