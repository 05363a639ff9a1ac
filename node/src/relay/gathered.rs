//! What a round tells: of each member so much, each of its sightings as a steward writes it.

use std::collections::{BTreeMap, BTreeSet};

use belfry_proto::{
    id::MemberId,
    stix::{indicator::Sighting, marking::Tlp},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::query::{self, hours, told_id};

/// Objects whose sightings by one member are told in a round; the rest in the next ones. Too low ⇒ an incident is told
/// for hours, too high ⇒ one member takes the room of all.
const BY_MEMBER: usize = 64;
/// Sightings told to a group in a round. Above, one round takes more than its share of the steward's quota.
const MOST: usize = 512;
/// As how many a member's sightings of one object count in a round: nobody can be asked how a number came about.
const MOST_COUNT: u64 = 10_000;
/// Messages that the audit log names of one member at a time.
const SHOWN: usize = 16;

/// How far it is in one group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// Up to where the feed was read.
    pub(super) read: u64,
    /// Members of whom more waits, and up to where theirs was taken.
    pub(super) behind: BTreeMap<MemberId, u64>,
}

impl Place {
    pub(super) fn wants(&self, member: MemberId, number: u64) -> bool {
        number > self.behind.get(&member).copied().unwrap_or(self.read)
    }

    pub(super) fn least(&self) -> u64 {
        self.behind.values().copied().fold(self.read, u64::min)
    }
}

/// A member's sightings of one object, as a steward tells them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    of: String,
    /// The least of the sealed ones' ids, so that whoever has the same of them makes the same.
    id: String,
    pub(super) tlp: Tlp,
    count: u64,
    first: Timestamp,
    last: Timestamp,
}

impl Told {
    /// Of one sealed sighting; none of what the API would not have taken.
    pub(super) fn of(id: &str, sighting: &Sighting, tlp: Tlp, now: Timestamp) -> Option<Self> {
        let (first, last) = hours(sighting.first(), sighting.last(), now).ok()?;
        let count = sighting.count.unwrap_or(1).min(MOST_COUNT);
        Some(Self { of: sighting.sighting_of_ref.clone(), id: id.to_owned(), tlp, count, first, last })
    }

    fn join(&mut self, other: Self) {
        self.tlp = self.tlp.max(other.tlp);
        self.count = self.count.saturating_add(other.count).min(MOST_COUNT);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.id = std::mem::take(&mut self.id).min(other.id);
    }

    /// Written anew, all of it: the spelling of a time may be as good as a name.
    pub(super) fn object(&self) -> Value {
        query::sighting(&told_id(&self.id), &self.of, self.count, self.first, self.last)
    }
}

/// What a round tells in one group.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) told: BTreeMap<MemberId, BTreeMap<String, Told>>,
    /// Sealed ones taken: an object may be in the feed twice.
    ids: BTreeSet<String>,
    count: usize,
    pub(super) messages: BTreeMap<MemberId, Messages>,
    /// Whose room is used up, and up to where theirs was taken.
    pub(super) behind: BTreeMap<MemberId, u64>,
}

/// Of one member.
#[derive(Default)]
pub(super) struct Messages {
    pub(super) shown: BTreeSet<String>,
    pub(super) count: usize,
}

impl Gathered {
    pub(super) fn take(&mut self, member: MemberId, number: u64, message: String, told: Told) {
        if self.behind.contains_key(&member) || self.ids.contains(&told.id) {
            return;
        }
        let of_member = self.told.entry(member).or_default();
        if let Some(known) = of_member.get_mut(&told.of) {
            self.ids.insert(told.id.clone());
            known.join(told);
        } else if of_member.len() < BY_MEMBER && self.count < MOST {
            self.count += 1;
            self.ids.insert(told.id.clone());
            of_member.insert(told.of.clone(), told);
        } else {
            self.behind.insert(member, number.saturating_sub(1));
            return;
        }
        let messages = self.messages.entry(member).or_default();
        messages.count += 1;
        if messages.shown.len() < SHOWN {
            messages.shown.insert(message);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    const HOUR: u64 = 3_600_000_000;

    fn member(n: u8) -> MemberId {
        MemberId::new([n; 16])
    }

    pub(in crate::relay) fn seen(id: &str, of: &str, count: u64) -> Told {
        let at = Timestamp::from_micros(HOUR);
        Told { of: of.to_owned(), id: id.to_owned(), tlp: Tlp::Green, count, first: at, last: at }
    }

    #[test]
    fn what_a_member_wrote_besides_is_not_told() {
        let raw = r#"{"type":"sighting","id":"sighting--1","sighting_of_ref":"indicator--1","count":2,
            "created":"2026-11-23T10:00:00.1234567Z","last_seen":"2026-11-23T09:17:12.5+01:00","labels":["bank"],
            "first_seen":"2026-11-23T07:59:59Z",
            "description":"at the bank","where_sighted_refs":["identity--1"],"created_by_ref":"identity--1"}"#;
        let sighting = Sighting::read(raw.as_bytes()).unwrap();
        let now = sighting.created();
        let told = |id: &str| Told::of(id, &sighting, Tlp::Green, now).unwrap().object();
        let one = told("sighting--1");
        assert_eq!(one, told("sighting--1"), "of two stewards it is the same");
        let text = one.to_string();
        assert!(
            !text.contains("bank") && !text.contains("identity") && !text.contains("sighting--1\""),
            "{text}"
        );
        assert_eq!(
            (one["count"].as_u64(), one["first_seen"].as_str(), one["last_seen"].as_str()),
            (Some(2), Some("2026-11-23T07:00:00.000000Z"), Some("2026-11-23T08:00:00.000000Z"))
        );
        assert_eq!(one["created"], one["last_seen"]);
        assert_ne!(one["id"], told("sighting--2")["id"]);
    }

    #[test]
    fn what_the_api_would_not_take_is_not_told() {
        let now = Timestamp::from_micros(100 * HOUR);
        let told = |first: u64, last: u64, count: u64| {
            let time = |hour: u64| Timestamp::from_micros(hour * HOUR).to_string();
            let raw = json!({ "sighting_of_ref": "indicator--1", "count": count, "created": time(1),
                "first_seen": time(first), "last_seen": time(last) });
            let sighting = Sighting::read(raw.to_string().as_bytes()).unwrap();
            Told::of("sighting--1", &sighting, Tlp::Green, now)
        };
        assert!(told(1, 100, 1).is_some());
        assert_eq!(told(1, 102, 1), None, "it is still to come");
        assert_eq!(told(2, 1, 1), None, "it ends before it begins");
        assert_eq!(told(1, 2, 999_999_999).unwrap().count, MOST_COUNT);
    }

    #[test]
    fn a_member_that_floods_takes_nobody_elses_room_and_its_rest_comes_later() {
        let mut gathered = Gathered::default();
        for n in 1..=1_000u64 {
            gathered.take(member(1), n, n.to_string(), seen(&format!("a{n}"), &format!("of{n}"), 1));
        }
        gathered.take(member(1), 1_001, String::new(), seen("b", "of1", 1));
        gathered.take(member(2), 1_002, String::new(), seen("c", "of1", 3));
        gathered.take(member(2), 1_003, String::new(), seen("d", "of1", MOST_COUNT));
        assert_eq!((gathered.told[&member(1)].len(), gathered.told[&member(2)].len()), (BY_MEMBER, 1));
        assert_eq!(gathered.told[&member(1)]["of1"].count, 1, "nothing is taken out of turn");
        assert_eq!(gathered.told[&member(2)]["of1"], seen("c", "of1", MOST_COUNT), "one of an object");
        let place = Place { read: 1_003, behind: gathered.behind };
        let next = BY_MEMBER as u64 + 1;
        assert_eq!(place.least(), next - 1);
        assert!(place.wants(member(1), next) && !place.wants(member(1), next - 1));
        assert!(place.wants(member(2), 1_004) && !place.wants(member(2), next));
    }

    #[test]
    fn a_round_tells_no_more_than_its_share() {
        let mut gathered = Gathered::default();
        for n in 0..20u8 {
            for of in 0..BY_MEMBER {
                gathered.take(
                    member(n),
                    u64::from(n) + 1,
                    String::new(),
                    seen(&format!("{n}.{of}"), &of.to_string(), 1),
                );
            }
        }
        assert_eq!(gathered.told.values().map(BTreeMap::len).sum::<usize>(), MOST);
        assert_eq!(gathered.behind.len(), 20 - MOST / BY_MEMBER);
    }
}
