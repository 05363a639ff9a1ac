//! A steward tells what members saw, and not who they are (design §8).
//!
//! ```text
//! member ─sealed to stewards─▶ Entrusted ─(gather, a quarter of an hour)─▶ sightings of this steward's own, on behalf
//! ```
//!
//! What was gathered goes out together, in no order, so that it does not follow each member's message on its heels. Of a
//! member's sighting only what was seen, when and how often is taken over; its id comes of the member's id for it, which
//! was sealed. So two stewards, or two nodes of one, make the very same bytes of it, and readers count it once. What a
//! crash between publishing and noting the position repeats is the same again, too.
//!
//! What members seal is theirs, and some member may be hostile: its times, count and reference are held to what the API
//! takes, its sightings of one object are one, and what it may have told in a round is bounded. Nothing else of it goes
//! out, so there is nothing to veil.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use belfry_proto::{
    id::{GroupId, MemberId},
    schema::InformationClass,
    stix::{indicator::Sighting, marking::Tlp},
    time::Timestamp,
};
use rand::{RngExt as _, seq::SliceRandom as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    audit_log::{AuditError, AuditLog, Event, Record},
    clock,
    publish::{
        Publisher,
        submission::{Submission, SubmitError},
    },
    query::{self, Query, QueryError, hours, told_id},
    store::{MemoryError, Store},
};

/// Between two rounds unless tuned. Too short ⇒ times tell whose a sighting is; too long ⇒ others learn of it too late.
pub const GATHERED: Duration = Duration::from_secs(15 * 60);
/// How long an entrusted sighting waits. Too short ⇒ a steward that was away over a long weekend tells nothing of it; too
/// long ⇒ what other stewards told long ago is said again by one that lost its store.
const WAITS: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Objects whose sightings by one member are told in a round; the rest in the next ones. Too low ⇒ an incident is told
/// for hours, too high ⇒ one member takes the room of all.
const BY_MEMBER: usize = 64;
/// Sightings told to a group in a round. Above, one round takes more than its share of the steward's quota.
const MOST: usize = 512;
/// As how many a member's sightings of one object count in a round: nobody can be asked how a number came about.
const MOST_COUNT: u64 = 10_000;
/// Messages that the audit log names of one member at a time.
const SHOWN: usize = 16;
/// Who publishes so.
const SUBMITTER: &str = "relay";
/// Under which its position stands among those of hooks, whose names hold no blanks.
const ROW: &str = "sightings to tell";

/// The loop.
pub struct Relay {
    /// Says what was entrusted.
    pub query: Query,
    /// Publishes it.
    pub publisher: Publisher,
    /// Keeps how far it is.
    pub store: Store,
    /// Keeps for whom.
    pub audit: AuditLog,
    /// Between two rounds, about.
    pub every: Duration,
}

/// How far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    /// Where the feed ended at the very first look: what came before is not told. A group that this node becomes a
    /// steward of later is read from here, for others may have known of it first.
    position: Option<u64>,
    #[serde(default)]
    groups: BTreeMap<u32, Place>,
}

/// How far it is in one group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    /// Up to where the feed was read.
    read: u64,
    /// Members of whom more waits, and up to where theirs was taken.
    behind: BTreeMap<MemberId, u64>,
}

impl Place {
    fn wants(&self, member: MemberId, number: u64) -> bool {
        number > self.behind.get(&member).copied().unwrap_or(self.read)
    }

    fn least(&self) -> u64 {
        self.behind.values().copied().fold(self.read, u64::min)
    }
}

/// What stops a round.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error(transparent)]
    Memory(#[from] MemoryError),
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error(transparent)]
    Submit(#[from] SubmitError),
}

/// A member's sightings of one object, as a steward tells them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    of: String,
    /// The least of the sealed ones' ids, so that whoever has the same of them makes the same.
    id: String,
    tlp: Tlp,
    count: u64,
    first: Timestamp,
    last: Timestamp,
}

impl Told {
    /// Of one sealed sighting; none of what the API would not have taken.
    fn of(id: &str, sighting: &Sighting, tlp: Tlp, now: Timestamp) -> Option<Self> {
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
    fn object(&self) -> Value {
        query::sighting(&told_id(&self.id), &self.of, self.count, self.first, self.last)
    }
}

/// What a round tells in one group.
#[derive(Default)]
struct Gathered {
    told: BTreeMap<MemberId, BTreeMap<String, Told>>,
    /// Sealed ones taken: an object may be in the feed twice.
    ids: BTreeSet<String>,
    count: usize,
    messages: BTreeMap<MemberId, Messages>,
    /// Whose room is used up, and up to where theirs was taken.
    behind: BTreeMap<MemberId, u64>,
}

/// Of one member.
#[derive(Default)]
struct Messages {
    shown: BTreeSet<String>,
    count: usize,
}

impl Gathered {
    fn take(&mut self, member: MemberId, number: u64, message: String, told: Told) {
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

impl Relay {
    /// Runs until the node stops.
    pub async fn run(self) {
        loop {
            if let Err(error) = self.round().await {
                tracing::error!("sightings entrusted to this node are not told: {error}");
            }
            let wait = self.every.mul_f64(rand::rng().random_range(0.5..1.5));
            tokio::time::sleep(wait).await;
        }
    }

    /// Tells what came since the last one. A group where that fails is tried again in the next, and holds up no other.
    pub(crate) async fn round(&self) -> Result<(), Fault> {
        let mut state = self.store.remembered::<State>(ROW).await?.unwrap_or_default();
        let Some(start) = state.position else {
            state.position = Some(self.query.feed_head().await?);
            return Ok(self.store.remember(ROW, &state).await?);
        };
        let groups = self.query.stewarded();
        let place = |group: &GroupId| {
            let known = state.groups.get(&group.get()).cloned();
            known.unwrap_or_else(|| Place { read: start, ..Place::default() })
        };
        let places: BTreeMap<GroupId, Place> = groups.iter().map(|group| (*group, place(group))).collect();
        let (mut gathered, position) = self.gather(groups, Arc::new(places.clone())).await?;
        for (group, before) in places {
            let some = gathered.remove(&group).unwrap_or_default();
            let place = Place { read: position, behind: some.behind.clone() };
            if let Err(error) = self.tell(group, some).await {
                tracing::error!(%group, "sightings of members wait for the next round: {error}");
                continue;
            }
            if place != before {
                state.groups.insert(group.get(), place);
                self.store.remember(ROW, &state).await?;
            }
        }
        Ok(())
    }

    /// What waits in each group, and up to where the feed was read for it.
    async fn gather(
        &self,
        groups: BTreeSet<GroupId>,
        places: Arc<BTreeMap<GroupId, Place>>,
    ) -> Result<(BTreeMap<GroupId, Gathered>, u64), Fault> {
        let now = clock::now();
        let mut gathered: BTreeMap<GroupId, Gathered> = BTreeMap::new();
        let Some(mut position) = places.values().map(Place::least).min() else { return Ok((gathered, 0)) };
        loop {
            let places = Arc::clone(&places);
            let wanted = move |group: GroupId, member: MemberId, number: u64| {
                places.get(&group).is_some_and(|place| place.wants(member, number))
            };
            let since = now.saturating_sub(WAITS);
            let found = self.query.entrusted(groups.clone(), position, since, wanted).await?;
            position = found.position;
            for waiting in &found.rows {
                let row = &waiting.row;
                if let Some(told) = Told::of(row.id(), &waiting.sighting, waiting.tlp, now) {
                    let gathered = gathered.entry(row.group()).or_default();
                    gathered.take(row.member(), waiting.number, row.message().to_string(), told);
                }
            }
            if !found.more {
                return Ok((gathered, position));
            }
        }
    }

    async fn tell(&self, group: GroupId, gathered: Gathered) -> Result<(), Fault> {
        for (member, messages) in &gathered.messages {
            self.record(*member, messages).await?;
        }
        let mut batches: BTreeMap<Tlp, Vec<Value>> = BTreeMap::new();
        for told in gathered.told.into_values().flat_map(BTreeMap::into_values) {
            batches.entry(told.tlp).or_default().push(told.object());
        }
        for (tlp, objects) in batches {
            self.publish(group, tlp, objects).await?;
        }
        Ok(())
    }

    /// Publishes what was gathered. What is refused for what it says is passed over, and nothing else with it: halves
    /// go out until it is alone.
    pub(crate) async fn publish(&self, group: GroupId, tlp: Tlp, objects: Vec<Value>) -> Result<(), Fault> {
        let mut waiting = vec![objects];
        let (mut refused, mut why) = (0usize, None);
        while let Some(mut objects) = waiting.pop() {
            let count = objects.len();
            match self.publisher.submit(submission(group, tlp, &mut objects)).await {
                Ok(accepted) => {
                    tracing::info!(publication = %accepted.publication, count, "told sightings of members");
                }
                Err(error) if is_for_now(&error) => return Err(error.into()),
                Err(_) if count > 1 => {
                    let half = objects.split_off(count / 2);
                    waiting.extend([half, objects]);
                }
                Err(error) => {
                    refused += 1;
                    why = Some(error);
                }
            }
        }
        if let Some(why) = why {
            tracing::error!(%group, refused, "sightings of members cannot be told, the last because: {why}");
        }
        Ok(())
    }

    /// Their own messages asked for it; that stands in this node's record as every other publication on behalf does.
    async fn record(&self, member: MemberId, messages: &Messages) -> Result<(), Fault> {
        let organisation = self.query.organisation(member).unwrap_or_default();
        let shown: Vec<&str> = messages.shown.iter().map(String::as_str).collect();
        let asked = match messages.count.saturating_sub(shown.len()) {
            0 => format!("sightings, by message {}", shown.join(", ")),
            more => format!("sightings, by message {} and {more} more", shown.join(", ")),
        };
        let event = Event::OnBehalf { call: None, member: member.to_string(), organisation, asked };
        let written = self.audit.write(&Record::now(clock::now(), event))?;
        Ok(written.synced().await?)
    }
}

/// In no order; the same objects again are the same submission, whatever came in between.
fn submission(group: GroupId, tlp: Tlp, objects: &mut [Value]) -> Submission {
    let mut texts: Vec<String> = objects.iter().map(Value::to_string).collect();
    texts.sort_unstable();
    objects.shuffle(&mut rand::rng());
    let bundle = json!({ "type": "bundle", "id": format!("bundle--{}", Uuid::new_v4()), "objects": objects });
    Submission {
        bundle: bundle.to_string().into_bytes(),
        tlp: Some(tlp),
        classes: vec![InformationClass::Indicator],
        for_several: true,
        origin: Some(*blake3::hash(texts.concat().as_bytes()).as_bytes()),
        ..Submission::of(group, SUBMITTER)
    }
}

/// Whether the same may be taken another time.
const fn is_for_now(error: &SubmitError) -> bool {
    matches!(
        error,
        SubmitError::Fault(_)
            | SubmitError::NoRoom
            | SubmitError::Unavailable(_)
            | SubmitError::NotAPublisher(_)
            | SubmitError::NotASteward(_)
            | SubmitError::UnknownGroup(_)
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const HOUR: u64 = 3_600_000_000;

    fn member(n: u8) -> MemberId {
        MemberId::new([n; 16])
    }

    fn seen(id: &str, of: &str, count: u64) -> Told {
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

    #[test]
    fn the_same_again_is_the_same_submission() {
        let of = |ids: [&str; 2]| {
            let mut objects: Vec<Value> = ids.iter().map(|id| seen(id, "of", 1).object()).collect();
            submission(GroupId::new(1), Tlp::Green, &mut objects)
        };
        assert_eq!(of(["a", "b"]).origin, of(["b", "a"]).origin);
        assert_ne!(of(["a", "b"]).origin, of(["a", "c"]).origin);
    }
}
