//! The guards as submitters meet them: what is refused, what wants a reason, and what a preview tells.

use belfry_proto::{
    schema::{self, HandlingConditions},
    stix::marking::Tlp,
};
use serde_json::{Value, json};

use super::{
    coalition::{CIDR, CLOUD, OTHER},
    site::{Answer, Put, Site, nothing, only, post},
};
use crate::{
    clock,
    publish::submission::{Submission, SubmitError},
    query::Scope,
    store::{Conditions, MOST_CLAIMS},
};

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

/// What others shared, a number each, and whether it goes to the group `cidr` under a marking without a reason.
fn shared() -> Vec<(Put, &'static str, bool)> {
    let of = |n: u32| Put::pattern(n, "[domain-name:value = 'evil.be']", &json!({})).by(OTHER);
    let elsewhere = |n: u32| Put { group: CLOUD, ..of(n) };
    let embargo = Conditions { embargo_until: u64::MAX / 2, ..Conditions::default() };
    let named = |kind: &str| {
        let object = json!({
            "type": kind, "spec_version": "2.1", "id": format!("{kind}--00000000-0000-4000-8000-000000000009"),
            "created": "2026-01-01T00:00:00.000Z", "modified": "2026-01-01T00:00:00.000Z", "name": "Phishing",
        });
        Put { group: CLOUD, ..Put::json(object).by(OTHER) }
    };
    vec![
        (elsewhere(1), "amber", false),
        (elsewhere(2).tlp(Tlp::Green), "amber", true),
        (Put { conditions: embargo.clone(), ..elsewhere(3).tlp(Tlp::Green) }, "amber", false),
        (Put { conditions: embargo, ..of(11) }, "amber", false),
        (Put { recipients: true, ..elsewhere(4).tlp(Tlp::Green) }, "amber", false),
        (of(5), "amber", true),
        (of(6), "green", false),
        (Put { recipients: true, ..of(7) }, "amber", false),
        (named("vulnerability"), "amber", false),
        (named("campaign"), "amber", false),
        (named("course-of-action"), "amber", false),
        // Everybody speaks of them.
        (named("attack-pattern"), "green", true),
        (named("tool"), "green", true),
    ]
}

fn bundle_of(put: &Put) -> String {
    json!({"type": "bundle", "id": "bundle--00000000-0000-4000-8000-000000000001", "objects": [put.json]})
        .to_string()
}

#[tokio::test]
async fn what_another_member_shared_goes_no_further_without_a_reason() {
    let site = Site::new().await;
    let token = site.token("soar", Scope { publish: only(&[CIDR]), ..nothing() }).await;
    for (put, tlp, goes) in shared() {
        site.put(std::slice::from_ref(&put)).await;
        let path = format!("/api/v1/publications?group=cidr&tlp={tlp}");
        let answer =
            site.send(post(&token, &path, "application/stix+json;version=2.1", bundle_of(&put))).await;
        if goes {
            assert_eq!(answer.status, 202, "{}: {}", put.id, String::from_utf8_lossy(&answer.body));
            continue;
        }
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (422, "reason-needed"), "{}", put.id);
        let told = answer.json();
        let objection = &told["objections"][0];
        assert_eq!(
            (&objection["object"], &objection["guard"]),
            (&json!(put.id), &json!("marking")),
            "{told}"
        );
        // The token reads nothing: how far the other one shared it is not for it to know.
        assert!(!told.to_string().to_lowercase().contains("tlp:"), "{told}");
        let path = format!("{path}&reason=from+the+same+feed");
        let answer =
            site.send(post(&token, &path, "application/stix+json;version=2.1", bundle_of(&put))).await;
        assert_eq!(answer.status, 202, "{}", put.id);
    }
    // Whoever says it, too, is one of those it comes from.
    let both = Put { group: CLOUD, ..Put::pattern(10, "[domain-name:value = 'evil.be']", &json!({})) };
    site.put(&[both.clone(), both.clone().by(OTHER)]).await;
    let answer = site.send(post(&token, SUBMIT, "application/stix+json;version=2.1", bundle_of(&both))).await;
    assert_eq!(answer.status, 202);
}

#[tokio::test]
async fn an_embargo_of_another_member_is_not_ended_early_in_its_own_group_without_a_reason() {
    let site = Site::new().await;
    let until = clock::now().as_micros() + 3_600_000_000;
    let under = |embargo_until| Conditions { embargo_until, ..Conditions::default() };
    let theirs = |n: u32| Put::pattern(n, "[domain-name:value = 'evil.be']", &json!({})).by(OTHER);
    // The second is under one where it is said again alone.
    let again = Put { conditions: under(until), ..theirs(2) };
    site.put(&[Put { conditions: under(until), ..theirs(1) }, theirs(2), again]).await;
    for n in [1, 2] {
        let mut other_bytes = theirs(n);
        other_bytes.json.as_mut().unwrap()["name"] = json!("in other words");
        let submit = async |embargo_until: u64, reason: Option<&str>| {
            let submission = Submission {
                bundle: bundle_of(&other_bytes).into_bytes(),
                tlp: Some(Tlp::Amber),
                handling: (embargo_until > 0)
                    .then(|| HandlingConditions { embargo_until, terms: Vec::new() }),
                reason: reason.map(str::to_owned),
                ..Submission::of(CIDR, "desk")
            };
            site.app.ports.publish.submit(submission).await
        };
        for sooner in [0, until - 1] {
            let refused = submit(sooner, None).await;
            assert!(matches!(refused, Err(SubmitError::Guarded(_))), "{n} until {sooner}: {refused:?}");
        }
        assert!(submit(until, None).await.is_ok(), "as long is no further");
        let agreed = submit(0, Some("its author agreed")).await;
        assert!(agreed.is_ok(), "{n}: {agreed:?}");
    }
}

#[tokio::test]
async fn what_this_member_says_since_to_some_lets_nothing_of_another_go_further() {
    let site = Site::new().await;
    let token = site.token("soar", Scope { publish: only(&[CIDR]), ..nothing() }).await;
    let said = |put: Put| Put { group: CLOUD, ..put };
    let theirs = said(Put::pattern(1, "[domain-name:value = 'evil.be']", &json!({})).by(OTHER));
    let own =
        said(Put { recipients: true, ..Put::pattern(1, "[domain-name:value = 'evil.be']", &json!({})) });
    site.put(&[theirs.clone(), own.tlp(Tlp::Red)]).await;
    let submit = async || {
        let answer =
            site.send(post(&token, SUBMIT, "application/stix+json;version=2.1", bundle_of(&theirs))).await;
        answer.status.as_u16()
    };
    assert_eq!(submit().await, 422);
    // It went out once with a reason; nobody is asked for that twice.
    site.put(&[Put::pattern(1, "[domain-name:value = 'evil.be']", &json!({}))]).await;
    assert_eq!(submit().await, 202);
}

#[tokio::test]
async fn what_is_said_more_often_than_is_looked_at_goes_no_further_without_a_reason() {
    let site = Site::new().await;
    let token = site.token("soar", Scope { publish: only(&[CIDR]), ..nothing() }).await;
    let of =
        |n: u32| Put::pattern(n, "[domain-name:value = 'evil.be']", &json!({})).by(OTHER).tlp(Tlp::Green);
    let said = async |put: &Put, times: usize| {
        let version = |n: usize| put.clone().version(&format!("2026-01-01T00:00:00.{n:06}Z"));
        let versions: Vec<Put> = (0..times).map(version).collect();
        site.message(CIDR, OTHER, &versions).await;
    };
    let submit = async |put: &Put, more: &str| {
        let path = format!("{SUBMIT}{more}");
        let answer =
            site.send(post(&token, &path, "application/stix+json;version=2.1", bundle_of(put))).await;
        answer.status.as_u16()
    };
    // All that is looked at lets it go as far; of what is not, nobody knows.
    let (known, more) = (of(1), of(2));
    said(&known, MOST_CLAIMS).await;
    said(&more, MOST_CLAIMS + 1).await;
    assert_eq!(submit(&known, "").await, 202);
    assert_eq!(submit(&more, "").await, 422);
    assert_eq!(submit(&more, "&reason=from+the+same+feed").await, 202);
}

#[tokio::test]
async fn a_steward_needs_no_reason_to_share_what_the_member_itself_gave_it() {
    let site = Site::with_roles(schema::Role::Steward, schema::Role::Publisher).await;
    let put =
        Put { recipients: true, ..Put::pattern(1, "[domain-name:value = 'evil.be']", &json!({})).by(OTHER) };
    site.put(std::slice::from_ref(&put)).await;
    let of = |on_behalf_of| Submission {
        bundle: bundle_of(&put).into_bytes(),
        tlp: Some(Tlp::Amber),
        on_behalf_of,
        ..Submission::of(CIDR, "desk")
    };
    let refused = site.app.ports.publish.submit(of(None)).await;
    assert!(matches!(refused, Err(SubmitError::Guarded(_))), "{refused:?}");
    site.app.ports.publish.submit(of(Some(OTHER))).await.unwrap();
    // Nor for what it tells in its own words, which another steward may have told before.
    let told = Submission { for_several: true, ..of(None) };
    site.app.ports.publish.submit(told).await.unwrap();
}

/// Any member could otherwise stop what others' tools hand in, by saying the ids of a public feed to few.
#[tokio::test]
async fn what_a_tool_adds_by_taxii_waits_for_a_person_where_another_member_shared_it() {
    let site = Site::new().await;
    let token = site.token("soar", Scope { publish: only(&[CIDR]), ..nothing() }).await;
    let put =
        Put { group: CLOUD, ..Put::pattern(1, "[domain-name:value = 'evil.be']", &json!({})).by(OTHER) };
    site.put(std::slice::from_ref(&put)).await;
    let add = async |object: &Value| {
        let body = json!({ "objects": [object] }).to_string();
        site.send(post(&token, ADD, "application/taxii+json;version=2.1", body)).await
    };
    // What the tool can mend is refused as before.
    let mut mail = put.json.clone().unwrap();
    mail["description"] = json!(MAILBOX);
    assert_eq!(add(&mail).await.status, 422);
    let waits = add(put.json.as_ref().unwrap()).await;
    assert_eq!((waits.status.as_u16(), waits.json()["pending_count"].as_u64()), (202, Some(1)));
    assert_eq!(site.store.queued(10).unwrap(), []);
    let held = site.store.held_drafts(|group| group == CIDR, None, 10).unwrap();
    assert_eq!(held.0.len(), 1);
    // By which rule, and what to do.
    let message = waits.json()["pendings"][0]["message"].as_str().unwrap().to_owned();
    for said in ["the guard marking", "by another member", &format!("release {} --reason", held.0[0])] {
        assert!(message.contains(said), "{said}: {message}");
    }
    // What only its token holds needs no reason.
    let drafting = site.token("drafting", Scope { draft: only(&[CIDR]), ..nothing() }).await;
    let own = Put::pattern(2, "[domain-name:value = 'own.be']", &json!({})).json.unwrap();
    let body = json!({ "objects": [own] }).to_string();
    let waits = site.send(post(&drafting, ADD, "application/taxii+json;version=2.1", body)).await.json();
    let message = waits["pendings"][0]["message"].as_str().unwrap();
    assert!(message.contains("token") && message.contains("belfry drafts release"), "{message}");
    assert!(!message.contains("--reason"), "{message}");
}

#[tokio::test]
async fn what_a_source_brings_and_marks_goes_out_with_a_note_where_another_member_shared_it() {
    let site = Site::new().await;
    let put =
        Put { group: CLOUD, ..Put::pattern(1, "[domain-name:value = 'evil.be']", &json!({})).by(OTHER) };
    site.put(std::slice::from_ref(&put)).await;
    let of = |unmarked| Submission {
        bundle: bundle_of(&put).into_bytes(),
        unmarked,
        is_from_source: true,
        ..Submission::of(CIDR, "source:feed")
    };
    // The node's default is nothing that the source says.
    let refused = site.app.ports.publish.submit(of(None)).await;
    assert!(matches!(refused, Err(SubmitError::Guarded(_))), "{refused:?}");
    let taken = site.app.ports.publish.submit(of(Some(Tlp::Amber))).await.unwrap();
    assert!(!taken.held && taken.notes.iter().any(|note| note.contains("its source says")), "{taken:?}");
}

#[tokio::test]
async fn a_draft_of_what_another_member_shared_meanwhile_waits_for_a_reason() {
    let site = Site::new().await;
    let token =
        site.token("analyst", Scope { read: only(&[CIDR]), publish: only(&[CIDR]), ..nothing() }).await;
    let put =
        Put { group: CLOUD, ..Put::pattern(1, "[domain-name:value = 'evil.be']", &json!({})).by(OTHER) };
    let import = "/api/v1/import?group=cidr&tlp=amber&format=stix";
    let held = site.send(post(&token, import, "application/octet-stream", bundle_of(&put))).await.json();
    assert_eq!(held["held"], true, "{held}");
    site.put(std::slice::from_ref(&put)).await;
    let release = format!("/api/v1/drafts/{}/release", held["publication"].as_str().unwrap());
    let refused = site.send(post(&token, &release, "text/plain", "")).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (422, "reason-needed"));
    assert_eq!(site.store.queued(10).unwrap(), []);
    let reasoned = format!("{release}?reason=from+the+same+feed");
    assert_eq!(site.send(post(&token, &reasoned, "text/plain", "")).await.status, 202);
}

#[tokio::test]
async fn a_preview_tells_of_indicators_that_state_no_end() {
    let (site, token) = site().await;
    let told = async |more: Value| {
        let put = Put::pattern(1, "[domain-name:value = 'evil.be']", &more);
        let preview = post(&token, PREVIEW, "application/stix+json;version=2.1", bundle_of(&put));
        site.send(preview).await.ok()["notes"].to_string()
    };
    assert!(told(json!({})).await.contains("valid_until"));
    assert!(!told(json!({ "valid_until": "2199-01-01T00:00:00Z" })).await.contains("valid_until"));
}
