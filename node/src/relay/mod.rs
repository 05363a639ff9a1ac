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

mod gathered;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use belfry_proto::{
    id::{GroupId, MemberId},
    schema::InformationClass,
    stix::marking::Tlp,
};
use rand::{RngExt as _, seq::SliceRandom as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use self::gathered::{Gathered, Messages, Place, Told};
use crate::{
    audit_log::{AuditError, AuditLog, Event, Record},
    clock,
    publish::{
        Publisher,
        submission::{Submission, SubmitError},
    },
    query::{Query, QueryError},
    store::{MemoryError, Store},
};

/// Between two rounds unless tuned. Too short ⇒ times tell whose a sighting is; too long ⇒ others learn of it too late.
pub const GATHERED: Duration = Duration::from_secs(15 * 60);
/// How long an entrusted sighting waits. Too short ⇒ a steward that was away over a long weekend tells nothing of it; too
/// long ⇒ what other stewards told long ago is said again by one that lost its store.
const WAITS: Duration = Duration::from_secs(7 * 24 * 60 * 60);
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

    use super::{gathered::tests::seen, *};

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
