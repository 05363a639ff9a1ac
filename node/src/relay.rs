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

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use belfry_proto::{
    id::{GroupId, MemberId},
    schema::InformationClass,
    stix::{indicator::Sighting, marking::Tlp, object::Object},
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
    query::{Query, QueryError},
    store::{Change, ReadError, Store, WriteError},
};

/// Between two rounds unless tuned. Too short ⇒ times tell whose a sighting is; too long ⇒ others learn of it too late.
pub const GATHERED: Duration = Duration::from_secs(15 * 60);
/// Sightings of one publication.
const MOST: usize = 1_000;
/// STIX 2.1 §5.2.
const MOST_COUNT: u64 = 999_999_999;
/// Messages that the audit log names of one member at a time.
const SHOWN: usize = 16;
/// Who publishes so.
const SUBMITTER: &str = "relay";
/// Under which its position stands among those of hooks, whose names hold no blanks.
const ROW: &str = "sightings to tell";
/// What ids of told sightings are made in; any would do that nobody else makes ids in.
const NAMESPACE: Uuid = Uuid::from_u128(0x5d0e_8f6a_6c39_4b0b_9a1e_2f1d_77c4_30aa);

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

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct State {
    position: Option<u64>,
}

/// What stops a round.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error(transparent)]
    Submit(#[from] SubmitError),
    #[error("its row in the store does not read: {0}")]
    Row(#[from] serde_json::Error),
    #[error("a read ended without an answer")]
    Died,
}

/// What goes out together, and for whom.
#[derive(Default)]
struct Batch {
    objects: Vec<Value>,
    /// What the members call them; each goes out once.
    ids: BTreeSet<String>,
    members: BTreeMap<MemberId, Vec<String>>,
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

    /// Tells all that came since the last one.
    async fn round(&self) -> Result<(), Fault> {
        let mut state = self.load().await?;
        let before = state.position;
        let mut batches: BTreeMap<(GroupId, Tlp), Batch> = BTreeMap::new();
        loop {
            let found = self.query.entrusted(state.position).await?;
            state.position = Some(found.position);
            for (row, sighting) in &found.rows {
                let object = told(row.id(), sighting);
                // One that breaks a rule must not take the others of its batch with it.
                if Object::parse(object.to_string().as_bytes()).is_err() {
                    continue;
                }
                let batch = batches.entry((row.group(), row.tlp())).or_default();
                if !batch.ids.insert(row.id().to_owned()) {
                    continue;
                }
                batch.objects.push(object);
                batch.members.entry(row.member()).or_default().push(row.message().to_string());
                if batch.objects.len() == MOST {
                    self.publish(row.group(), row.tlp(), std::mem::take(batch)).await?;
                }
            }
            if !found.more {
                break;
            }
        }
        for ((group, tlp), batch) in batches.into_iter().filter(|(_, batch)| !batch.objects.is_empty()) {
            self.publish(group, tlp, batch).await?;
        }
        if state.position == before { Ok(()) } else { self.save(state).await }
    }

    /// Publishes what was gathered. What is refused, and would be each time, is passed over, and the log says why.
    async fn publish(&self, group: GroupId, tlp: Tlp, mut batch: Batch) -> Result<(), Fault> {
        let Some(member) = batch.members.keys().next().copied() else { return Ok(()) };
        for (member, messages) in &batch.members {
            self.record(*member, messages).await?;
        }
        batch.objects.shuffle(&mut rand::rng());
        let count = batch.objects.len();
        let bundle = json!({ "type": "bundle", "id": format!("bundle--{}", Uuid::new_v4()), "objects": batch.objects });
        let submission = Submission {
            bundle: bundle.to_string().into_bytes(),
            tlp: Some(tlp),
            classes: vec![InformationClass::Indicator],
            on_behalf_of: Some(member),
            ..Submission::of(group, SUBMITTER)
        };
        match self.publisher.submit(submission).await {
            Ok(accepted) => {
                tracing::info!(publication = %accepted.publication, count, "told sightings of members")
            }
            Err(error @ (SubmitError::Fault(_) | SubmitError::NoRoom | SubmitError::Unavailable(_))) => {
                return Err(error.into());
            }
            Err(error) => tracing::error!(count, "sightings of members cannot be told: {error}"),
        }
        Ok(())
    }

    /// Their own messages asked for it; that stands in this node's record as every other publication on behalf does.
    async fn record(&self, member: MemberId, messages: &[String]) -> Result<(), Fault> {
        let organisation = self.query.organisation(member).unwrap_or_default();
        let shown: Vec<&str> = messages.iter().take(SHOWN).map(String::as_str).collect();
        let asked = match messages.len().saturating_sub(SHOWN) {
            0 => format!("sightings, by message {}", shown.join(", ")),
            more => format!("sightings, by message {} and {more} more", shown.join(", ")),
        };
        let event = Event::OnBehalf { call: None, member: member.to_string(), organisation, asked };
        let written = self.audit.write(Record::now(clock::now(), event)).await?;
        Ok(written.synced().await?)
    }

    async fn load(&self) -> Result<State, Fault> {
        let store = self.store.clone();
        let row = tokio::task::spawn_blocking(move || store.hook(ROW)).await.map_err(|_| Fault::Died)??;
        Ok(row.map(|row| serde_json::from_slice(&row)).transpose()?.unwrap_or_default())
    }

    async fn save(&self, state: State) -> Result<(), Fault> {
        let state = serde_json::to_vec(&state)?;
        self.store.commit(Change::Hook { name: ROW.to_owned(), state }).await?;
        Ok(())
    }
}

/// A member's sighting as a steward tells it.
fn told(id: &str, sighting: &Sighting) -> Value {
    // Written anew: the spelling of a time may be as good as a name.
    let time = |at: Timestamp| at.to_string();
    json!({
        "type": "sighting", "spec_version": "2.1",
        "id": format!("sighting--{}", Uuid::new_v5(&NAMESPACE, id.as_bytes())),
        "created": time(sighting.created()), "modified": time(sighting.created()),
        "first_seen": time(sighting.first()), "last_seen": time(sighting.last()),
        "count": sighting.count.unwrap_or(1).min(MOST_COUNT), "sighting_of_ref": sighting.sighting_of_ref,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_a_member_wrote_besides_is_not_told() {
        let raw = r#"{"type":"sighting","id":"sighting--1","sighting_of_ref":"indicator--1","count":2,
            "created":"2026-11-23T10:00:00.1234567Z","last_seen":"2026-11-23T09:00:00+01:00","labels":["bank"],
            "description":"at the bank","where_sighted_refs":["identity--1"],"created_by_ref":"identity--1"}"#;
        let sighting = Sighting::read(raw.as_bytes()).unwrap();
        let one = told("sighting--1", &sighting);
        assert_eq!(one, told("sighting--1", &sighting), "of two stewards it is the same");
        let text = one.to_string();
        assert!(
            !text.contains("bank") && !text.contains("identity") && !text.contains("sighting--1\""),
            "{text}"
        );
        assert_eq!(
            (one["count"].as_u64(), one["last_seen"].as_str()),
            (Some(2), Some("2026-11-23T08:00:00.000000Z"))
        );
        assert_ne!(one["id"], told("sighting--2", &sighting)["id"]);
    }
}
