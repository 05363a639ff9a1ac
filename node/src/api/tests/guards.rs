//! The guards as submitters meet them: what is refused, what wants a reason, and what a preview tells.

use serde_json::{Value, json};

use super::{
    coalition::CIDR,
    site::{Answer, Site, nothing, only, post},
};
use crate::query::Scope;

const SUBMIT: &str = "/api/v1/publications?group=cidr&tlp=amber";
const PREVIEW: &str = "/api/v1/previews?group=cidr&tlp=amber";
const ADD: &str = "/taxii2/root/collections/cidr/objects/";
const CARD: &str = "4111 1111 1111 1111";
const MAILBOX: &str = "jan.peeters@evil.example";

fn campaign(description: &str) -> Value {
    json!({"type": "campaign", "spec_version": "2.1", "id": "campaign--00000000-0000-4000-8000-000000000001",
        "created": "2026-01-01T00:00:00.000Z", "modified": "2026-01-01T00:00:00.000Z", "name": "c",
        "description": description})
}

fn bundle(description: &str) -> String {
    json!({"type": "bundle", "id": "bundle--00000000-0000-4000-8000-000000000001", "objects": [campaign(description)]})
        .to_string()
}

async fn site() -> (Site, String) {
    let site = Site::exporting("[guards]\nown = [\"bank.example\"]\nterms = [\"lighthouse\"]\n").await;
    let token = site.token("soar", Scope { publish: only(&[CIDR]), ..nothing() }).await;
    (site, token)
}

async fn submit(site: &Site, token: &str, path: &str, description: &str) -> Answer {
    site.send(post(token, path, "application/stix+json;version=2.1", bundle(description))).await
}

#[tokio::test]
async fn a_card_number_never_leaves_whatever_the_reason() {
    let (site, token) = site().await;
    for path in [SUBMIT, &format!("{SUBMIT}&reason=it+is+needed")] {
        let answer = submit(&site, &token, path, CARD).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (422, "guard-refused"));
        let told = answer.json();
        assert_eq!(told["objections"][0]["path"], "description");
        assert_eq!(told["objections"][0]["guard"], "personal-data");
        assert!(!told.to_string().contains(CARD), "{told}");
    }
    let add = json!({"objects": [campaign(CARD)]}).to_string();
    let answer = site.send(post(&token, ADD, "application/taxii+json;version=2.1", add)).await;
    assert_eq!(answer.status, 422);
    assert_eq!(site.store.queued(10).unwrap(), []);
}

#[tokio::test]
async fn what_wants_a_reason_goes_out_with_one_and_keeps_it() {
    let (site, token) = site().await;
    for description in [MAILBOX, "seen at vpn.bank.example", "Project Lighthouse", "our price list"] {
        let answer = submit(&site, &token, SUBMIT, description).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (422, "reason-needed"), "{description}");
        assert!(!answer.json().to_string().contains(description));
    }
    let repeated = submit(&site, &token, &format!("{SUBMIT}&reason=because+{MAILBOX}"), MAILBOX).await;
    assert_eq!((repeated.status.as_u16(), repeated.code().as_str()), (422, "bad-reason"));
    assert_eq!(site.store.queued(10).unwrap(), []);
    let answer = submit(&site, &token, &format!("{SUBMIT}&reason=the+phisher"), MAILBOX).await;
    assert_eq!(answer.status, 202);
    let status = answer.json()["status_url"].as_str().unwrap().to_owned();
    assert_eq!(site.get(&token, &status).await.ok()["reason"], "the phisher");
}

#[tokio::test]
async fn a_preview_tells_who_could_open_it_and_keeps_nothing() {
    let (site, token) = site().await;
    let told = submit(&site, &token, PREVIEW, MAILBOX).await.ok();
    assert_eq!((told["tlp"].as_str(), told["objects"]["campaign"].as_u64()), (Some("amber"), Some(1)));
    assert_eq!(
        told["readers"],
        json!([{"member": "02020202020202020202020202020202", "organisation": "Member 2", "capacity": null}])
    );
    assert_eq!(told["objections"][0]["weight"], "reason");
    assert!(told["refusal"].as_str().unwrap().contains("give a reason"), "{told}");
    let told = submit(&site, &token, &format!("{PREVIEW}&reason=the+phisher"), MAILBOX).await.ok();
    assert_eq!(told["refusal"], Value::Null);
    let told = submit(&site, &token, "/api/v1/previews?group=cidr", "harmless").await.ok();
    assert_eq!(
        (told["tlp_is_default"].as_bool(), told["objections"][0]["weight"].as_str()),
        (Some(true), Some("note"))
    );
    assert_eq!(site.store.queued(10).unwrap(), []);
}

#[tokio::test]
async fn a_near_miss_says_that_it_notifies_nobody() {
    let (site, token) = site().await;
    let answer = submit(&site, &token, &format!("{SUBMIT}&class=near-miss"), "blocked in time").await;
    assert_eq!(answer.status, 202);
    assert!(answer.json()["notes"][0].as_str().unwrap().contains("notifies no CSIRT"), "{}", answer.json());
}
