//! Who may write what: every way in × {create, modify, revoke, delete} × {one's own object, another member's}.
//!
//! A member says of any object what it likes; it is a claim of its own, which never changes or ends another's. So each way in
//! takes the same and comes to the same, and what it took is looked at once it has gone out.

use belfry_proto::id::{MemberId, PublicationId};
use serde_json::{Value, json};

use super::{
    coalition::{CIDR, OTHER, OWN},
    site::{Answer, Put, Site, get, nothing, only, post},
};
use crate::query::{Groups, Scope};

const WAYS: [&str; 4] = ["publications", "import", "taxii", "released draft"];
const ID: &str = "campaign--00000000-0000-4000-8000-000000000001";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Create,
    Modify,
    Revoke,
    Delete,
}

fn campaign(day: u32, revoked: bool) -> Value {
    let mut campaign = json!({
        "type": "campaign", "spec_version": "2.1", "id": ID, "name": format!("as of day {day}"),
        "created": "2026-01-01T00:00:00.000Z", "modified": format!("2026-01-0{day}T00:00:00.000Z"),
    });
    if revoked {
        campaign["revoked"] = json!(true);
    }
    campaign
}

struct Stage {
    site: Site,
    token: String,
}

impl Stage {
    /// Where `owner` has said the object, if anybody.
    async fn new(owner: Option<MemberId>) -> Self {
        let site = Site::new().await;
        let scope = Scope { read: Groups::All, publish: only(&[CIDR]), ..nothing() };
        let token = site.token("analyst", scope).await;
        match owner {
            Some(OWN) => _ = site.say(&[&campaign(1, false).to_string()]).await,
            Some(member) => _ = site.put(&[Put::json(campaign(1, false)).by(member)]).await,
            None => {}
        }
        Self { site, token }
    }

    async fn send(&self, way: &str, object: &Value) -> Answer {
        let bundle = json!({ "type": "bundle", "id": "bundle--00000000-0000-4000-8000-000000000001", "objects": [object] });
        let (path, kind, body) = match way {
            "publications" => {
                ("/api/v1/publications?group=cidr&tlp=amber", "application/stix+json;version=2.1", bundle)
            }
            "import" => (
                "/api/v1/import?group=cidr&tlp=amber&format=stix&publish=true",
                "application/octet-stream",
                bundle,
            ),
            "taxii" => (
                "/taxii2/root/collections/cidr/objects/",
                "application/taxii+json;version=2.1",
                json!({ "objects": [object] }),
            ),
            _ => ("/api/v1/import?group=cidr&tlp=amber&format=stix", "application/octet-stream", bundle),
        };
        let answer = self.site.send(post(&self.token, path, kind, body.to_string())).await;
        if way == "released draft" {
            assert_eq!(answer.json()["held"], true);
            let release = format!("/api/v1/drafts/{}/release", publication(&answer));
            let released = self.site.send(post(&self.token, &release, "text/plain", "")).await;
            assert_eq!(released.status, 202);
        }
        answer
    }

    /// Has a draft go out, as the flusher would.
    async fn flush(&self, publication: PublicationId) {
        let draft = self.site.store.draft(publication).unwrap().unwrap();
        for part in &draft.parts {
            let publication = belfry_proto::envelope::payload::parse(part).unwrap();
            let puts: Vec<Put> = publication
                .objects
                .iter()
                .map(|object| Put::json(serde_json::from_slice(object.raw()).unwrap()).by(OWN))
                .collect();
            self.site.message(CIDR, OWN, &puts).await;
        }
    }

    /// What readers are shown: whose, which version, whether it is revoked.
    async fn shown(&self) -> Option<(MemberId, u32, bool)> {
        let path = format!("/api/v1/objects?group=cidr&id={ID}");
        let found = self.site.get(&self.token, &path).await.ok();
        let object = found["objects"].get(0)?;
        let day = object["object"]["name"].as_str().unwrap().bytes().last().unwrap() - b'0';
        Some((
            object["member"].as_str().unwrap().parse().unwrap(),
            day.into(),
            object["revoked"].as_bool().unwrap(),
        ))
    }
}

fn publication(answer: &Answer) -> PublicationId {
    let json = answer.json();
    match json["publication"].as_str() {
        Some(id) => id.parse().unwrap(),
        // TAXII names it by a UUID.
        None => PublicationId::new(*json["id"].as_str().unwrap().parse::<uuid::Uuid>().unwrap().as_bytes()),
    }
}

#[tokio::test]
async fn every_way_in_changes_ones_own_and_leaves_what_others_say() {
    for way in WAYS {
        for (change, owner, expected) in [
            (Change::Create, None, (OWN, 1, false)),
            (Change::Create, Some(OTHER), (OTHER, 1, false)),
            (Change::Modify, Some(OWN), (OWN, 2, false)),
            (Change::Modify, Some(OTHER), (OTHER, 1, false)),
            (Change::Revoke, Some(OWN), (OWN, 2, true)),
            (Change::Revoke, Some(OTHER), (OTHER, 1, false)),
        ] {
            let what = format!("{change:?} of {owner:?} by {way}");
            let stage = Stage::new(owner).await;
            let day = if change == Change::Create { 1 } else { 2 };
            let answer = stage.send(way, &campaign(day, change == Change::Revoke)).await;
            assert_eq!(answer.status, 202, "{what}: {}", String::from_utf8_lossy(&answer.body));
            stage.flush(publication(&answer)).await;
            assert_eq!(stage.shown().await, Some(expected), "{what}");
        }
    }
}

#[tokio::test]
async fn every_way_to_delete_takes_back_ones_own_and_nothing_of_others() {
    let ways = ["taxii", "object", "message"];
    for way in ways {
        for (owner, is_taken) in [(OWN, true), (OTHER, false)] {
            let what = format!("{:?} of {owner:?} by {way}", Change::Delete);
            let stage = Stage::new(Some(owner)).await;
            let rows = stage.site.get(&stage.token, &format!("/api/v1/objects/{ID}")).await.ok();
            let message = rows["objects"][0]["message"].as_str().unwrap().to_owned();
            let withdraw = |named: Value| {
                let mut body = json!({ "group": "cidr", "mode": "retract" });
                body.as_object_mut().unwrap().extend(named.as_object().unwrap().clone());
                post(&stage.token, "/api/v1/withdrawals", "application/json", body.to_string())
            };
            let request = match way {
                "taxii" => {
                    let request =
                        get(&format!("/taxii2/root/collections/cidr/objects/{ID}/")).method("DELETE");
                    let request = request.header("authorization", format!("Bearer {}", stage.token));
                    request.body(axum::body::Body::empty()).unwrap()
                }
                "object" => withdraw(json!({ "objects": [ID] })),
                _ => withdraw(json!({ "messages": [message] })),
            };
            let answer = stage.site.send(request).await;
            assert_eq!(answer.status.is_success(), is_taken, "{what}: {}", answer.status);
            assert_eq!(stage.site.store.queued(10).unwrap().len(), usize::from(is_taken), "{what}");
            assert_eq!(stage.shown().await, Some((owner, 1, false)), "{what}: nothing went out yet");
        }
    }
}
