//! How much an indicator is worth today: one rule, in one place, the same for lookup and every export.
//!
//! ```text
//! base   = its author's confidence, else 50
//! backed = base + (100 − base) · (1 − 0.75^(members − 1))      more members say or saw it
//! aged   = backed · (1 − (age / lifetime)^(1 / speed))         MISP's polynomial decay, by type
//! score  = aged · 0.5^doubt                                    opinions that it is wrong
//! ```
//!
//! `age` counts from the newest of `valid_from` and sightings. An indicator ends at the earlier of its author's
//! `valid_until` and `lifetime` after it was last seen: a sighting makes it last longer here, never past what its
//! author said. Where this node's own member says that it no longer holds, it ends here at that time, unless somebody saw
//! it later; what others say so ends nothing, for it is not theirs. What is revoked is worth nothing at once.
//!
//! All of it is a function of what is known and of `now`; two nodes that know the same say the same.

use std::time::Duration;

use crate::{stix::observable::Kind, time::Timestamp};

/// Base of an indicator whose author states no confidence.
pub const UNSTATED: u8 = 50;
/// Doubt from which on an indicator is contested, and no longer fit to block by.
pub const CONTESTED: f64 = 1.0;
/// What another member leaves of the distance to certainty.
const REMAINS: f64 = 0.75;
const DAY: u64 = 24 * 3600;

/// How values of one type age (MISP: `lifetime` τ, `decay_speed` δ).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decay {
    /// From last seen to worthless.
    pub lifetime: Duration,
    /// Above 1 most is lost early, below 1 late.
    pub speed: f64,
}

impl Decay {
    /// Addresses change hands within weeks and names within months; a file's hash stays what it is.
    #[must_use]
    pub const fn of(kind: Kind) -> Self {
        let (days, speed) = match kind {
            // MISP's model for network detection.
            Kind::Ipv4 | Kind::Ipv6 => (120, 2.0),
            Kind::Url => (120, 1.5),
            Kind::Domain | Kind::Email => (180, 1.0),
            Kind::Asn | Kind::Mac | Kind::FileName | Kind::Mutex | Kind::RegistryKey => (365, 1.0),
            Kind::Md5 | Kind::Sha1 | Kind::Sha256 | Kind::Sha512 | Kind::Ssdeep | Kind::Tlsh => {
                (3 * 365, 0.5)
            }
            Kind::Cve => (10 * 365, 0.5),
        };
        Self { lifetime: Duration::from_secs(days * DAY), speed }
    }

    /// Detection rules name no type.
    #[must_use]
    pub const fn of_rules() -> Self {
        Self { lifetime: Duration::from_secs(2 * 365 * DAY), speed: 0.5 }
    }

    /// What is left of 1 at this age.
    #[must_use]
    pub fn left(&self, age: Duration) -> f64 {
        if age >= self.lifetime {
            return 0.0;
        }
        1.0 - (age.as_secs_f64() / self.lifetime.as_secs_f64()).powf(1.0 / self.speed)
    }

    /// The age at which `left` of 1 remains.
    fn age(&self, left: f64) -> Duration {
        self.lifetime.mul_f64((1.0 - left.clamp(0.0, 1.0)).powf(self.speed))
    }
}

/// What members say of each other's indicator (STIX 2.1 §4.14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Opinion {
    /// A false positive.
    StronglyDisagree,
    /// Probably one.
    Disagree,
    /// No opinion.
    Neutral,
    /// Probably right.
    Agree,
    /// Right.
    StronglyAgree,
}

impl Opinion {
    /// By its name in STIX.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Some(match name {
            "strongly-disagree" => Self::StronglyDisagree,
            "disagree" => Self::Disagree,
            "neutral" => Self::Neutral,
            "agree" => Self::Agree,
            "strongly-agree" => Self::StronglyAgree,
            _ => return None,
        })
    }

    /// Its name in STIX.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StronglyDisagree => "strongly-disagree",
            Self::Disagree => "disagree",
            Self::Neutral => "neutral",
            Self::Agree => "agree",
            Self::StronglyAgree => "strongly-agree",
        }
    }

    const fn doubt(self) -> f64 {
        match self {
            Self::StronglyDisagree => 1.0,
            Self::Disagree => 0.5,
            Self::Neutral => 0.0,
            Self::Agree => -0.25,
            Self::StronglyAgree => -0.5,
        }
    }
}

/// Doubt by one opinion a member. Agreement outweighs doubt, and never makes more of an indicator than it was.
#[must_use]
pub fn doubt(opinions: impl IntoIterator<Item = Opinion>) -> f64 {
    opinions.into_iter().map(Opinion::doubt).sum::<f64>().max(0.0)
}

/// What is known of an indicator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    /// How its values age.
    pub decay: Decay,
    /// Its author's confidence, 0 to 100.
    pub confidence: Option<u8>,
    /// From when it counts.
    pub from: Timestamp,
    /// Until when, by its author.
    pub until: Option<Timestamp>,
    /// Since when it no longer holds, by this node's own member.
    pub ended: Option<Timestamp>,
    /// Its author took it back.
    pub is_revoked: bool,
    /// Members that published or sighted it.
    pub members: usize,
    /// When it was last sighted.
    pub sighted: Option<Timestamp>,
    /// See [`doubt`].
    pub doubt: f64,
}

/// Whether an indicator counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// It does.
    Active,
    /// Not before a later time.
    NotYet,
    /// No longer.
    Expired,
    /// Taken back.
    Revoked,
}

impl State {
    /// The word for API and people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::NotYet => "not-yet",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

/// What an indicator is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// 0 to 100; 0 unless active.
    pub score: u8,
    /// Whether it counts.
    pub state: State,
    /// When it stops counting by itself.
    pub expires: Timestamp,
}

impl Evidence {
    /// Its worth at `now`.
    #[must_use]
    pub fn judge(&self, now: Timestamp) -> Judgement {
        let expires = self.expires(now);
        let state = match () {
            () if self.is_revoked => State::Revoked,
            () if now >= expires => State::Expired,
            () if now < self.from => State::NotYet,
            () => State::Active,
        };
        let score = if state == State::Active { self.worth(now) } else { 0 };
        Judgement { score, state, expires }
    }

    /// Whether it is too doubtful to block by.
    #[must_use]
    pub fn is_contested(&self) -> bool {
        self.doubt >= CONTESTED
    }

    /// When, without news, its score falls below `minimum` or it ends: until then an answer that holds it stays true.
    #[must_use]
    pub fn leaves(&self, minimum: u8, now: Timestamp) -> Timestamp {
        let expires = self.expires(now);
        let most = self.most();
        // Scores are rounded: one half below still shows as the minimum.
        let needed = f64::from(minimum) - 0.5;
        if needed <= 0.0 {
            return expires;
        }
        if most < needed {
            return now;
        }
        expires.min(self.seen(now).saturating_add(self.decay.age(needed / most)))
    }

    /// Author's clocks run ahead, and nobody saw tomorrow.
    fn seen(&self, now: Timestamp) -> Timestamp {
        self.sighted.map_or(self.from, |sighted| self.from.max(sighted.min(now)))
    }

    fn expires(&self, now: Timestamp) -> Timestamp {
        let here = self.seen(now).saturating_add(self.decay.lifetime);
        // Whoever saw it after it was over knows better, and nobody saw tomorrow.
        let ended = self.ended.filter(|ended| self.sighted.is_none_or(|seen| seen <= *ended || seen > now));
        [self.until, ended].into_iter().flatten().fold(here, Timestamp::min)
    }

    fn most(&self) -> f64 {
        let base = f64::from(self.confidence.unwrap_or(UNSTATED).min(100));
        let others = u16::try_from(self.members.saturating_sub(1)).unwrap_or(u16::MAX);
        // Nobody is corroborated in a claim of no confidence at all.
        let gain = if base > 0.0 { 1.0 - REMAINS.powf(f64::from(others)) } else { 0.0 };
        (base + (100.0 - base) * gain) * 0.5_f64.powf(self.doubt.max(0.0))
    }

    fn worth(&self, now: Timestamp) -> u8 {
        let worth = self.most() * self.decay.left(now.since(self.seen(now)));
        // Within 0 and 100 by what it is made of.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let score = worth.round().clamp(0.0, 100.0) as u8;
        score
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_790_000_000_000_000);

    fn days(n: u64) -> Duration {
        Duration::from_secs(n * DAY)
    }

    fn fresh() -> Evidence {
        Evidence {
            decay: Decay::of(Kind::Ipv4),
            confidence: Some(80),
            from: NOW,
            until: None,
            ended: None,
            is_revoked: false,
            members: 1,
            sighted: None,
            doubt: 0.0,
        }
    }

    #[test]
    fn the_curve_is_misps() {
        // MISP's calculator: base 80, lifetime 120 days, speed 2, after 30 days.
        let aged = fresh().judge(NOW.saturating_add(days(30)));
        assert_eq!((aged.score, aged.state), (40, State::Active));
        assert_eq!(fresh().judge(NOW).score, 80);
        assert_eq!(fresh().judge(NOW.saturating_add(days(120))).state, State::Expired);
    }

    #[test]
    fn what_its_author_takes_back_is_worth_nothing() {
        let revoked = Evidence { is_revoked: true, ..fresh() }.judge(NOW);
        assert_eq!((revoked.score, revoked.state), (0, State::Revoked));
    }

    #[test]
    fn a_sighting_never_outlasts_the_authors_end() {
        let until = NOW.saturating_add(days(10));
        let sighted = Some(NOW.saturating_add(days(9)));
        let evidence = Evidence { until: Some(until), sighted, ..fresh() };
        assert_eq!(evidence.judge(NOW.saturating_add(days(9))).expires, until);
        assert_eq!(evidence.judge(until).state, State::Expired);
        let unbound = Evidence { sighted, ..fresh() }.judge(NOW.saturating_add(days(125)));
        assert_eq!(unbound.state, State::Active);
    }

    #[test]
    fn what_its_own_member_says_is_over_ends_here_until_it_is_seen_again() {
        let ended = Some(NOW.saturating_add(days(2)));
        let over = Evidence { ended, ..fresh() };
        assert_eq!(over.judge(NOW.saturating_add(days(1))).state, State::Active);
        assert_eq!(over.judge(NOW.saturating_add(days(2))).state, State::Expired);
        let [before, after] = [1, 3].map(|n| Some(NOW.saturating_add(days(n))));
        let at = NOW.saturating_add(days(4));
        assert_eq!(Evidence { sighted: before, ..over }.judge(at).state, State::Expired);
        assert_eq!(Evidence { sighted: after, ..over }.judge(at).state, State::Active);
        let tomorrow = Some(at.saturating_add(days(1)));
        assert_eq!(
            Evidence { sighted: tomorrow, ..over }.judge(at).state,
            State::Expired,
            "nobody saw it yet"
        );
        let bound = Evidence { sighted: after, until: Some(at), ..over };
        assert_eq!(bound.judge(at).state, State::Expired, "never past what its author said");
    }

    #[test]
    fn a_false_positive_halves_and_contests() {
        let doubted = Evidence { doubt: doubt([Opinion::StronglyDisagree]), ..fresh() };
        assert_eq!(doubted.judge(NOW).score, 40);
        assert!(doubted.is_contested());
        let both = [Opinion::StronglyDisagree, Opinion::StronglyAgree, Opinion::StronglyAgree];
        assert!(doubt(both) < f64::EPSILON);
    }

    #[test]
    fn nobody_makes_something_of_no_confidence() {
        assert_eq!(Evidence { confidence: Some(0), members: 9, ..fresh() }.judge(NOW).score, 0);
        assert_eq!(Evidence { confidence: None, ..fresh() }.judge(NOW).score, UNSTATED);
    }

    fn opinion() -> impl Strategy<Value = Opinion> {
        proptest::sample::select(vec![
            Opinion::StronglyDisagree,
            Opinion::Disagree,
            Opinion::Neutral,
            Opinion::Agree,
            Opinion::StronglyAgree,
        ])
    }

    prop_compose! {
        fn evidence()(
            kind in proptest::sample::select(Kind::ALL.to_vec()), confidence in proptest::option::of(0u8..=100),
            age in 0u64..2000, until in proptest::option::of(0u64..4000), members in 0usize..50,
            ended in proptest::option::of(0u64..4000),
            sighted in proptest::option::of(0u64..2000), opinions in proptest::collection::vec(opinion(), 0..6),
        ) -> Evidence {
            let from = NOW.saturating_sub(days(age));
            Evidence {
                decay: Decay::of(kind), confidence, from, members, is_revoked: false,
                until: until.map(|days_| from.saturating_add(days(days_))),
                ended: ended.map(|days_| from.saturating_add(days(days_))),
                sighted: sighted.map(|ago| NOW.saturating_sub(days(ago))),
                doubt: doubt(opinions),
            }
        }
    }

    proptest! {
        #[test]
        fn without_news_a_score_only_falls(evidence in evidence(), steps in proptest::collection::vec(0u64..400, 1..8)) {
            let (mut now, mut before) = (NOW, evidence.judge(NOW).score);
            for step in steps {
                now = now.saturating_add(days(step));
                let score = evidence.judge(now).score;
                prop_assert!(score <= before && score <= 100);
                before = score;
            }
        }

        #[test]
        fn more_members_never_lower_and_doubt_never_raises(evidence in evidence(), another in opinion()) {
            let more = Evidence { members: evidence.members + 1, ..evidence };
            prop_assert!(more.judge(NOW).score >= evidence.judge(NOW).score);
            if another <= Opinion::Neutral {
                let doubted = Evidence { doubt: evidence.doubt + doubt([another]), ..evidence };
                prop_assert!(doubted.judge(NOW).score <= evidence.judge(NOW).score);
            }
        }

        #[test]
        fn nothing_counts_past_its_end(evidence in evidence(), late in 0u64..1000) {
            let at = evidence.judge(NOW).expires.max(NOW).saturating_add(days(late));
            let judged = evidence.judge(at);
            prop_assert_eq!(judged.score, 0);
            prop_assert_ne!(judged.state, State::Active);
            prop_assert!(evidence.until.is_none_or(|until| judged.expires <= until));
        }

        #[test]
        fn it_stays_until_it_leaves_and_not_longer(evidence in evidence(), minimum in 0u8..=100) {
            let leaves = evidence.leaves(minimum, NOW);
            if evidence.judge(NOW).state == State::Active && evidence.judge(NOW).score >= minimum {
                prop_assert!(leaves > NOW);
                let before = evidence.judge(leaves.saturating_sub(Duration::from_secs(60)).max(NOW));
                prop_assert!(before.score >= minimum.min(1) && before.score + 1 >= minimum);
            }
            let after = evidence.judge(leaves.saturating_add(Duration::from_secs(60)).max(NOW));
            prop_assert!(after.state != State::Active || after.score <= minimum);
        }
    }
}
