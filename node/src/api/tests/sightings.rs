//! Sightings, reported by REST and as MISP's clients do: unnamed where somebody can tell them, and never with who or where.

use belfry_proto::{
    schema::Role,
    stix::{indicator, marking::Tlp, object::Object},
};
use serde_json::{Value, json};

use super::{
    coalition::{CIDR, CLOUD, OTHER},
    site::{Answer, Put, Site, nothing, only, post},
};
use crate::query::Scope;

const JSON: &str = "application/json";
const ADDRESS: &str = "45.155.9.9";

fn named(n: u32) -> Put {
    Put::pattern(n, &format!("[ipv4-addr:value = '{ADDRESS}']"), &json!({}))
}

impl Site {
    async fn sight(&self, token: &str, report: Value) -> Answer {
        self.send(post(token, "/api/v1/sightings", JSON, report.to_string())).await
    }

    /// The objects of every draft that waits to be sealed or released, with its submitter.
    pub(super) async fn drafted(&self, publication: &Value) -> Vec<Value> {
        let id = publication.as_str().unwrap().parse().unwrap();
        let draft = self.store.draft(id).unwrap().unwrap();
        let parsed = draft.parts.iter().map(|part| belfry_proto::envelope::payload::parse(part).unwrap());
        let objects = parsed.flat_map(|publication| publication.objects);
        objects.map(|object: Object| serde_json::from_slice(object.raw()).unwrap()).collect()
    }
}

fn agent() -> Scope {
    Scope { read: only(&[CIDR]), publish: only(&[CIDR]), ..nothing() }
}

#[tokio::test]
async fn a_sighting_says_what_was_seen_and_neither_who_nor_where() {
    let site = Site::new().await;
    let token = site.token("ids", agent()).await;
    site.put(&[named(1).by(OTHER), named(2).tlp(Tlp::Green).by(OTHER)]).await;
    let report = json!({ "values": ["45[.]155[.]9[.]9", "unknown.example"], "count": 7 });
    let answer = site.sight(&token, report).await;
    assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
    let told = answer.json();
    assert_eq!(told["unknown"], json!(["unknown.example"]));
    let reported = &told["reported"][0];
    // Nobody else is a steward here, so it goes out under this member's name, and says so.
    assert_eq!((&reported["anonymous"], &reported["named_to"]), (&json!(false), &json!("group")));
    assert_eq!((&reported["tlp"], &reported["held"]), (&json!("green"), &json!(false)));
    let objects = site.drafted(&reported["publication"]).await;
    assert_eq!(objects.len(), 1);
    assert_eq!((&objects[0]["type"], &objects[0]["count"]), (&json!("sighting"), &json!(7)));
    assert_eq!(objects[0]["sighting_of_ref"], named(2).id, "of the newest");
    for name in ["created_by_ref", "where_sighted_refs", "observed_data_refs", "description"] {
        assert!(objects[0].get(name).is_none(), "{name}: {}", objects[0]);
    }
}

#[tokio::test]
async fn who_must_stay_unnamed_is_not_named_for_want_of_a_steward() {
    let site = Site::new().await;
    let token = site.token("ids", agent()).await;
    site.put(&[named(1)]).await;
    let refused = site.sight(&token, json!({ "values": [ADDRESS], "anonymous": true })).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (409, "no-steward"));
    let opinion = json!({ "values": [ADDRESS], "anonymous": true, "false_positive": true });
    assert_eq!(site.sight(&token, opinion).await.code(), "never-anonymous");
    assert_eq!(site.store.queued(10).unwrap().len(), 0);
}

#[tokio::test]
async fn a_report_has_the_rights_of_its_token() {
    let site = Site::new().await;
    site.put(&[named(1), Put { group: CLOUD, ..named(2) }, named(3).tlp(Tlp::AmberStrict)]).await;
    let drafts = Scope { read: only(&[CIDR]), draft: only(&[CIDR]), ..nothing() };
    let drafting = site.token("sensor", drafts).await;
    let held = site.sight(&drafting, json!({ "values": [ADDRESS] })).await.json();
    assert_eq!(held["reported"][0]["held"], true);
    // One that may not read what is sighted learns nothing of it, and one that may not answer there cannot.
    let blind = site.token("blind", Scope { publish: only(&[CIDR]), ..nothing() }).await;
    let reader = site.token("reading", Scope { read: only(&[CIDR]), ..nothing() }).await;
    assert_eq!(site.sight(&blind, json!({ "values": [ADDRESS] })).await.code(), "nothing-sighted");
    assert_eq!(site.sight(&reader, json!({ "values": [ADDRESS] })).await.status, 403);
    let low = site.token("low", Scope { ceiling: Tlp::Amber, ..agent() }).await;
    let objects = site.sight(&low, json!({ "object": named(3).id })).await;
    assert_eq!(objects.code(), "nothing-sighted");
    let elsewhere = site.sight(&low, json!({ "values": [ADDRESS], "groups": ["cloud-security"] })).await;
    assert_eq!(elsewhere.status, 403);
    for wrong in [
        json!({}),
        json!({ "values": [] }),
        json!({ "values": [ADDRESS], "object": "x" }),
        json!({ "values": [ADDRESS], "count": 0 }),
        json!({ "values": [ADDRESS], "source": "IDS" }),
        json!({ "values": [ADDRESS], "last_seen": "2999-01-01T00:00:00Z" }),
    ] {
        let answer = site.sight(&low, wrong.clone()).await;
        assert!(answer.status.is_client_error(), "{wrong}: {}", answer.status);
    }
}

#[tokio::test]
async fn a_repeated_report_under_its_key_is_one() {
    let site = Site::new().await;
    let token = site.token("ids", agent()).await;
    site.put(&[named(1)]).await;
    let last = crate::clock::now();
    let mut told = Vec::new();
    for count in [1, 1, 2] {
        let report = json!({ "values": [ADDRESS], "count": count, "last_seen": last });
        let mut request = post(&token, "/api/v1/sightings", JSON, report.to_string());
        request.headers_mut().insert("idempotency-key", "case-1".parse().unwrap());
        told.push(site.send(request).await);
    }
    let publication = |answer: &Answer| answer.json()["reported"][0]["publication"].clone();
    assert_eq!(publication(&told[0]), publication(&told[1]));
    assert_eq!(told[1].json()["reported"][0]["duplicate"], true);
    assert_eq!(told[2].status, 409);
}

#[tokio::test]
async fn what_is_sealed_to_some_or_taken_back_is_nothing_to_speak_of() {
    let site = Site::new().await;
    let token = site.token("ids", agent()).await;
    site.put(&[
        Put { recipients: true, ..named(1) },
        Put::pattern(2, &format!("[ipv4-addr:value = '{ADDRESS}']"), &json!({ "revoked": true })),
        Put::json(json!({ "type": "ipv4-addr", "id": "ipv4-addr--00000000-0000-4000-8000-000000000003", "value": ADDRESS })),
    ])
    .await;
    assert_eq!(site.sight(&token, json!({ "values": [ADDRESS] })).await.code(), "nothing-sighted");
    let observable = "ipv4-addr--00000000-0000-4000-8000-000000000003";
    assert_eq!(site.sight(&token, json!({ "object": observable })).await.code(), "nothing-sighted");
}

/// Sealed to stewards, it is theirs to tell: counted once, when they have.
#[tokio::test]
async fn a_sighting_that_waits_for_a_steward_counts_for_nobody() {
    let site = Site::new().await;
    let token = site.reader().await;
    let sighting = |n: u32, labels: Value| {
        Put::json(json!({
            "type": "sighting", "spec_version": "2.1", "id": format!("sighting--00000000-0000-4000-8000-{n:012x}"),
            "created": "2026-01-01T00:00:00.000Z", "modified": "2026-01-01T00:00:00.000Z",
            "sighting_of_ref": named(1).id, "count": 3, "labels": labels,
        }))
    };
    let sealed = Put { recipients: true, ..sighting(1, json!(["for-stewards-to-tell"])) };
    site.put(&[named(1), sealed, sighting(2, json!(["for-stewards-to-tell"]))]).await;
    let question = json!({ "values": [ADDRESS] }).to_string();
    let found = site.send(post(&token, "/api/v1/lookup", JSON, question)).await.ok();
    assert_eq!(found["results"][0]["sightings"]["count"], 3, "{found}");
}

#[tokio::test]
async fn misp_reports_values_and_attributes_and_its_source_stays_here() {
    let site = Site::with_roles(Role::Publisher, Role::Steward).await;
    let token = site.token("ids", agent()).await;
    site.put(&[named(1)]).await;
    let add = |path: &'static str, body: Value| site.send(post(&token, path, JSON, body.to_string()));
    let found = add("/attributes/restSearch", json!({})).await.ok();
    let attribute = found["response"]["Attribute"][0].clone();
    for (body, kind) in [
        (json!({ "value": ADDRESS, "source": "IDS of the bank", "type": "0" }), "sighting"),
        (json!({ "values": [ADDRESS] }), "sighting"),
        (json!({ "id": attribute["id"] }), "sighting"),
        (json!({ "uuid": attribute["uuid"], "type": 1 }), "opinion"),
    ] {
        let answer = add("/sightings/add", body.clone()).await.ok();
        assert_eq!(answer["message"], "1 sighted", "{body}");
        let id = answer["Sighting"]["uuid"].as_str().unwrap().to_owned();
        let queued = site.store.queued(100).unwrap();
        let draft = queued.last().unwrap();
        let objects = site.drafted(&json!(draft.to_string())).await;
        assert_eq!((&objects[0]["type"], objects.len()), (&json!(kind), 1), "{body}");
        assert_eq!(objects[0]["id"], format!("{kind}--{id}"));
        assert!(!objects[0].to_string().contains("bank"), "{}", objects[0]);
    }
    for id in [&attribute["id"], &attribute["uuid"]] {
        let path = format!("/sightings/add/{}", id.as_str().unwrap());
        let answer = site.send(post(&token, &path, JSON, "{}")).await.ok();
        assert_eq!(answer["Sighting"]["type"], "0");
    }
    for (body, code) in [
        (json!({ "value": "unknown.example" }), "nothing-sighted"),
        (json!({ "id": "4711" }), "unknown-attribute"),
        (json!({ "value": ADDRESS, "type": "3" }), "bad-filter"),
        (json!({}), "bad-filter"),
    ] {
        assert_eq!(add("/sightings/add", body.clone()).await.code(), code, "{body}");
    }
}

#[tokio::test]
async fn what_is_over_ends_if_it_is_ours_and_is_our_word_if_it_is_not() {
    let site = Site::new().await;
    let token = site.token("ids", agent()).await;
    let own = named(2);
    site.put(&[named(1).by(OTHER)]).await;
    site.say(&[&String::from_utf8(own.raw()).unwrap()]).await;
    let at = crate::clock::now();
    let body = json!({ "value": ADDRESS, "type": "2", "timestamp": at.as_micros() / 1_000_000 });
    let told = site.send(post(&token, "/sightings/add", JSON, body.to_string())).await.ok();
    assert_eq!((&told["message"], &told["Sighting"]["type"]), (&json!("2 sighted"), &json!("2")));
    let mut said = Vec::new();
    for draft in site.store.queued(10).unwrap() {
        said.extend(site.drafted(&json!(draft.to_string())).await);
    }
    said.sort_by_key(|object| object["type"].to_string());
    let [version, opinion] = said.as_slice() else { panic!("{said:?}") };
    assert_eq!((&version["type"], &version["id"]), (&json!("indicator"), &json!(own.id)));
    assert!(version["valid_until"].is_string(), "{version}");
    assert_eq!((&opinion["opinion"], &opinion["object_refs"]), (&json!("neutral"), &json!([named(1).id])));
    let read = indicator::OpinionObject::read(opinion.to_string().as_bytes()).unwrap();
    assert_eq!(read.expired().map(|since| since.as_micros() / 1_000_000), Some(at.as_micros() / 1_000_000));
    let both = json!({ "values": [ADDRESS], "expired": true, "false_positive": true });
    assert_eq!(site.sight(&token, both).await.code(), "bad-sighting");
    let unnamed = json!({ "values": [ADDRESS], "expired": true, "anonymous": true });
    assert_eq!(site.sight(&token, unnamed).await.code(), "never-anonymous");
}

/// MISP's clients have no way to say that their member shall be named.
#[tokio::test]
async fn misp_never_names_a_member_for_want_of_a_steward() {
    let site = Site::new().await;
    let token = site.token("ids", agent()).await;
    site.put(&[named(1)]).await;
    let body = json!({ "value": ADDRESS });
    let refused = site.send(post(&token, "/sightings/add", JSON, body.to_string())).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (409, "no-steward"));
    assert!(refused.json().to_string().contains("MISP"), "it says why");
    assert_eq!(site.store.queued(10).unwrap().len(), 0);
}

#[tokio::test]
async fn what_is_over_already_holds_up_nothing_else_that_is() {
    let site = Site::new().await;
    let token = site.token("ids", agent()).await;
    let over = Put::pattern(
        1,
        &format!("[ipv4-addr:value = '{ADDRESS}']"),
        &json!({ "valid_from": "2026-01-01T00:00:00Z", "valid_until": "2026-01-02T00:00:00Z" }),
    );
    site.say(&[&String::from_utf8(over.raw()).unwrap()]).await;
    let expired = json!({ "values": [ADDRESS], "expired": true });
    let refused = site.sight(&token, expired.clone()).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (409, "already-over"));
    site.say(&[&String::from_utf8(named(2).raw()).unwrap()]).await;
    // The same report twice is one: its version's time is of the moment, and its key is not.
    let mut told = Vec::new();
    for _ in 0..2 {
        let mut request = post(&token, "/api/v1/sightings", JSON, expired.to_string());
        request.headers_mut().insert("idempotency-key", "case-1".parse().unwrap());
        let answer = site.send(request).await;
        assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
        told.push(answer.json());
    }
    assert_eq!(told[0]["reported"].as_array().map(Vec::len), Some(1), "{}", told[0]);
    assert_eq!(told[1]["reported"][0]["duplicate"], true, "{}", told[1]);
    let ended = site.drafted(&told[0]["reported"][0]["publication"]).await;
    assert_eq!(ended[0]["id"], json!(named(2).id));
    assert_eq!(site.store.queued(10).unwrap().len(), 1);
}

/// A version made of what is known is no word on what came since.
#[tokio::test]
async fn what_is_said_of_an_object_while_it_is_ended_is_met_by_another_look() {
    let site = Site::new().await;
    let token = site.token("ids", agent()).await;
    site.say(&[&String::from_utf8(named(1).raw()).unwrap()]).await;
    let expired = json!({ "values": [ADDRESS], "expired": true });
    for day in 1..4 {
        let mut json = named(1).json.unwrap();
        json["modified"] = json!(format!("2026-02-{day:02}T00:00:00.000Z"));
        site.say_between(&Put::json(json).by(OTHER));
    }
    let refused = site.sight(&token, expired.clone()).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (409, "overtaken"));
    assert_eq!(site.store.queued(10).unwrap(), []);
    // Of another object nothing is waited for.
    site.say_between(&Put::pattern(9, "[domain-name:value = 'other.be']", &json!({})));
    assert_eq!(site.sight(&token, expired).await.status, 202);
    assert_eq!(site.store.queued(10).unwrap().len(), 1);
}

#[tokio::test]
async fn an_expiry_that_went_out_is_told_again_under_its_key_alone() {
    let site = Site::new().await;
    let token = site.token("ids", agent()).await;
    site.say(&[&String::from_utf8(named(1).raw()).unwrap()]).await;
    let ends = async |key: Option<&str>, more: &Value| {
        let mut report = json!({ "values": [ADDRESS], "expired": true });
        report.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let mut request = post(&token, "/api/v1/sightings", JSON, report.to_string());
        if let Some(key) = key {
            request.headers_mut().insert("idempotency-key", key.parse().unwrap());
        }
        site.send(request).await
    };
    let first = ends(Some("case-1"), &json!({})).await.json();
    let publication = &first["reported"][0]["publication"];
    // It goes out.
    let ended = site.drafted(publication).await;
    site.say(&[&ended[0].to_string()]).await;
    let again = ends(Some("case-1"), &json!({})).await;
    assert_eq!(again.status, 202, "{}", String::from_utf8_lossy(&again.body));
    let again = again.json();
    assert_eq!(again["reported"].as_array().map(Vec::len), Some(1), "{again}");
    let again = &again["reported"][0];
    assert_eq!(
        (&again["publication"], &again["duplicate"], &again["ended"]),
        (publication, &json!(true), &json!(true))
    );
    assert_eq!(again["sighted"], first["reported"][0]["sighted"]);
    for (key, more, code) in [
        (None, json!({}), "already-over"),
        (Some("case-2"), json!({}), "already-over"),
        (Some("case-1"), json!({ "last_seen": crate::clock::now().to_string() }), "idempotency-key-reused"),
    ] {
        let refused = ends(key, &more).await;
        assert_eq!((refused.status.as_u16(), refused.code().as_str()), (409, code), "{key:?} {more}");
    }
}
