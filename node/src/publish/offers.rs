//! How long a fresh key waits for its first holder.
//!
//! What is sealed under a key that nobody else holds is unreadable for ever once this disk is gone, and others keep it all the
//! same. A draft loses nothing by waiting: whoever can have the key from us later can have it before the message, too.
//!
//! ```text
//! fresh key ─▶ offered ─▶ another member holds it ────────────────────────▶ sealed with
//!                └─ nobody took it ─▶ offered again after 2, 4, 8, 16 s ─▶ sealed with all the same, readable only here
//! ```
//!
//! It ends without a holder, too: else one reader that takes no keys could keep a member from publishing, and so could all
//! of them by being away. Offers are counted, not the time: who comes and goes gains none by it, and a node that was alone for
//! an hour offers its key to whoever is back before it goes on.

use std::time::Duration;

use belfry_proto::time::doubled;
use tokio::time::Instant;

/// Wait after a first offer in vain; doubles with each further one.
const FIRST: Duration = Duration::from_secs(2);
/// The longest of these waits.
const LONGEST: Duration = Duration::from_secs(16);
/// Offers in vain to members that are connected: with the waits between them half a minute. Too low ⇒ a burst of load over
/// there passes for refusing, too high ⇒ whoever takes no keys delays the first message under each.
const REFUSED: u32 = 5;
/// Offers while nobody is connected that may have it: six seconds. After a start links into the group come up in that time;
/// beyond it the readers are away, and nobody knows for how long.
const AWAY: u32 = 3;

/// Who there is, besides our own member, that may have a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Others {
    /// No other member reads the group.
    Nobody,
    /// None of those who do is connected.
    Away,
    /// Somebody is.
    Here,
}

/// What to do with a key that no other member holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Use it.
    Seal,
    /// Push it to whoever may have it.
    Offer,
    /// Neither yet.
    Wait,
}

/// How often a key was offered in vain.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Offers {
    in_vain: u32,
    again: Option<Instant>,
}

impl Offers {
    /// What to do now.
    pub(super) fn step(&self, others: Others, now: Instant) -> Step {
        let most = match others {
            Others::Nobody => return Step::Seal,
            Others::Away => AWAY,
            Others::Here => REFUSED,
        };
        match self.again {
            _ if self.in_vain >= most => Step::Seal,
            Some(again) if now < again => Step::Wait,
            _ => Step::Offer,
        }
    }

    /// Nobody took it.
    pub(super) fn refused(&mut self, now: Instant) {
        self.again = Some(now + doubled(FIRST, self.in_vain, LONGEST));
        self.in_vain += 1;
    }

    /// Whether it was offered before.
    pub(super) const fn is_begun(&self) -> bool {
        self.in_vain > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When it is offered, nobody ever taking it, and when it is sealed with.
    fn course(others: Others) -> (Vec<u64>, u64) {
        let (begun, mut offers, mut offered) = (Instant::now(), Offers::default(), Vec::new());
        for second in 0.. {
            let now = begun + Duration::from_secs(second);
            match offers.step(others, now) {
                Step::Seal => return (offered, second),
                Step::Offer => {
                    offers.refused(now);
                    offered.push(second);
                }
                Step::Wait => {}
            }
        }
        unreachable!()
    }

    #[test]
    fn a_key_that_nobody_takes_is_offered_ever_less_often_and_used_after_half_a_minute() {
        assert_eq!(course(Others::Here), (vec![0, 2, 6, 14, 30], 31));
    }

    #[test]
    fn where_every_reader_is_away_it_waits_for_links_only_and_where_there_is_none_not_at_all() {
        assert_eq!(course(Others::Away), (vec![0, 2, 6], 7));
        assert_eq!(course(Others::Nobody), (vec![], 0));
    }

    #[test]
    fn whoever_comes_and_goes_keeps_a_key_waiting_no_longer_and_a_reader_that_comes_late_is_offered_it_first()
    {
        let (begun, mut offers) = (Instant::now(), Offers::default());
        for offer in 0..REFUSED {
            let now = begun + Duration::from_secs(3600) * offer;
            let others = if offer < AWAY { Others::Away } else { Others::Here };
            assert_eq!(offers.step(others, now), Step::Offer);
            assert_eq!(offers.step(Others::Here, now), Step::Offer);
            offers.refused(now);
            assert_eq!(offers.step(Others::Here, now) == Step::Seal, offer + 1 == REFUSED);
        }
    }
}
