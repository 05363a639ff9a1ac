//! What a steward's node tells of sightings that members sealed to it, some of them hostile.

use std::time::Duration;

use belfry_proto::{schema::Role, stix::marking::Tlp, time::Timestamp};
use serde_json::{Value, json};

use super::{
    coalition::{CIDR, OTHER, OWN},
    site::{Put, Site, post},
};
use crate::{clock, query::told_id, store::Conditions};

const ADDRESS: &str = "45.155.9.9";

fn indicator(n: u32) -> Put {
    Put::pattern(n, &format!("[ipv4-addr:value = '{ADDRESS}']"), &json!({})).by(OTHER)
}

fn id(n: u32) -> String {
    format!("sighting--00000000-0000-4000-8000-{n:012x}")
}

fn sighting(n: u32, of: &str, more: &Value) -> Put {
    let mut sighting = json!({
        "type": "sighting", "spec_version": "2.1", "id": id(n), "sighting_of_ref": of,
        "created": "2026-01-01T00:00:00.000Z", "modified": "2026-01-01T00:00:00.000Z",
    });
    sighting.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    Put::json(sighting).tlp(Tlp::Green).by(OTHER)
}

/// Sealed to this steward, who is to tell it.
fn sealed(n: u32, of: &str, more: &Value) -> Put {
    let mut put = sighting(n, of, more);
    put.recipients = true;
    put.json.as_mut().unwrap()["labels"] = json!(["for-stewards-to-tell"]);
    put
}

impl Site {
    async fn steward() -> Self {
        let site = Self::with_roles(Role::Steward, Role::Publisher).await;
        site.relay.round().await.unwrap();
        site
    }

    /// Ids of what was told so far, and of what.
    async fn told(&self) -> Vec<(String, String)> {
        let mut told = Vec::new();
        for draft in self.store.queued(100).unwrap() {
            for object in self.drafted(&json!(draft.to_string())).await {
                let text = |name: &str| object[name].as_str().unwrap_or_default().to_owned();
                if object["type"] == "sighting" {
                    told.push((text("id"), text("sighting_of_ref")));
                }
            }
        }
        told.sort();
        told
    }
}

#[tokio::test]
async fn a_crafted_sighting_is_not_told_and_takes_no_other_with_it() {
    let site = Site::steward().await;
    site.put(&[indicator(1), Put { recipients: true, ..indicator(2) }, indicator(3).tlp(Tlp::Red)]).await;
    let unknown = "indicator--02022399-5100-4000-8000-000000000000";
    site.put(&[
        sealed(1, unknown, &json!({})),
        sealed(2, &indicator(2).id, &json!({})),
        sealed(3, &indicator(3).id, &json!({})),
        sealed(4, &indicator(1).id, &json!({ "last_seen": "2999-01-01T00:00:00Z" })),
        sealed(5, &indicator(1).id, &json!({ "description": "at the bank" })),
    ])
    .await;
    site.relay.round().await.unwrap();
    assert_eq!(site.told().await, [(told_id(&id(5)), indicator(1).id)]);
    let draft = site.store.queued(10).unwrap().pop().unwrap();
    let draft = site.store.draft(draft).unwrap().unwrap();
    assert_eq!(draft.tlp, belfry_proto::schema::Tlp::Amber, "as closed as what was sighted");
    assert!(draft.parts.iter().all(|part| belfry_proto::envelope::payload::parse(part).unwrap().on_behalf));
    // Nothing of it is told twice.
    site.relay.round().await.unwrap();
    assert_eq!(site.told().await.len(), 1);
}

#[tokio::test]
async fn what_is_refused_for_its_content_is_left_out_alone() {
    let site = Site::steward().await;
    let objects = (1..=5).map(|n| match n {
        3 => json!({ "type": "sighting", "id": id(n), "sighting_of_ref": 7 }),
        _ => serde_json::from_slice(&sighting(n, &indicator(1).id, &json!({})).raw()).unwrap(),
    });
    site.relay.publish(CIDR, Tlp::Green, objects.collect()).await.unwrap();
    let told: Vec<String> = site.told().await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(told, [1, 2, 4, 5].map(id));
}

#[tokio::test]
async fn what_cannot_be_told_for_a_while_waits() {
    let site = Site::with_roles(Role::Publisher, Role::Publisher).await;
    site.relay.round().await.unwrap();
    let row = || site.store.hook("sightings to tell").unwrap().unwrap();
    let before = row();
    site.put(&[indicator(1), sealed(1, &indicator(1).id, &json!({}))]).await;
    // A node that is no steward, or none yet, moves nothing on.
    site.relay.round().await.unwrap();
    assert_eq!(row(), before);
    let object = serde_json::from_slice(&sighting(1, &indicator(1).id, &json!({})).raw()).unwrap();
    site.relay.publish(CIDR, Tlp::Green, vec![object]).await.unwrap_err();
    assert_eq!(site.told().await, []);
}

#[tokio::test]
async fn nothing_is_told_again_nor_what_was_taken_back_nor_what_is_old() {
    let site = Site::steward().await;
    let own = |n: u32, more: &Value| {
        let mut put = sighting(n, &indicator(1).id, more).by(OWN);
        put.id = told_id(&id(n));
        put.json.as_mut().unwrap()["id"] = json!(put.id);
        put
    };
    let old: Timestamp = clock::now().saturating_sub(Duration::from_secs(8 * 24 * 60 * 60));
    site.put(&[
        indicator(1),
        own(1, &json!({})),
        own(2, &json!({ "revoked": true })),
        sealed(1, &indicator(1).id, &json!({})),
        sealed(2, &indicator(1).id, &json!({})),
        Put { created: Some(old), ..sealed(3, &indicator(1).id, &json!({})) },
    ])
    .await;
    site.relay.round().await.unwrap();
    assert_eq!(site.told().await, []);
}

#[tokio::test]
async fn what_stewards_tell_is_one_members_word_and_no_weight_in_a_score() {
    let site = Site::new().await;
    let token = site.reader().await;
    let found = async || {
        let question = json!({ "values": [ADDRESS] }).to_string();
        let found = site.send(post(&token, "/api/v1/lookup", "application/json", question)).await.ok();
        found["results"][0].clone()
    };
    site.put(&[indicator(1)]).await;
    let before = found().await;
    let on_behalf = |n: u32| Put {
        conditions: Conditions { on_behalf: true, ..Conditions::default() },
        ..sighting(n, &indicator(1).id, &json!({ "count": 3 }))
    };
    site.put(&[on_behalf(1).by(OWN), on_behalf(1), on_behalf(2), on_behalf(3).by(OWN)]).await;
    let after = found().await;
    let sightings = &after["sightings"];
    assert_eq!((&sightings["members"], &sightings["count"]), (&json!(1), &json!(9)), "{after}");
    assert_eq!((before["corroboration"].as_u64(), after["corroboration"].as_u64()), (Some(1), Some(2)));
    assert_eq!(before["score"], after["score"]);
    site.put(&[sighting(4, &indicator(1).id, &json!({})).by(OWN)]).await;
    assert_eq!(found().await["sightings"]["members"], 2, "one by name and the unnamed");
}
