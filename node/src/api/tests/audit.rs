//! What the audit log is told of the API.

use axum::{body::Body, http::header};
use belfry_proto::{
    envelope::Withdrawal,
    id::{MessageId, PublicationId},
    schema::{Audience, Tlp, WithdrawalGround, WithdrawalMode},
};
use serde_json::{Value, json};

use super::{
    coalition::CIDR,
    routes::{ALL, Samples},
    site::{Site, get, id_of, nothing, post},
};
use crate::{
    api::audit,
    audit_log::{self, Event, FOLDER},
    query::Scope,
    store::{Change, DraftRow, DraftState},
};

/// What is asked by POST: a question too long for a query string.
const ASKS: [&str; 4] =
    ["/api/v1/lookup", "/attributes/restSearch", "/events/restSearch", "/api/v1/previews"];

/// Entries, without the one of the start.
async fn entries(site: &Site) -> Vec<Event> {
    audit::tell_rest(&site.app);
    // Whatever was noted before it is written when this one is.
    let record = crate::audit_log::Record::now(crate::clock::now(), Event::Started);
    site.app.ports.audit.write(&record).unwrap().synced().await.unwrap();
    let entries = site.app.ports.audit.entries(1, 10_000).unwrap();
    let mut events: Vec<Event> = entries.into_iter().map(|entry| entry.record.event).collect();
    events.pop();
    events
}

#[tokio::test]
async fn a_change_is_told_with_who_asked_and_what_came_of_it() {
    let site = Site::new().await;
    let admin = site.token("admin", Scope { admin: true, ..nothing() }).await;
    let wanted = json!({ "name": "siem", "read": ["cidr"] }).to_string();
    let made = site.send(post(&admin, "/api/v1/tokens", "application/json", wanted)).await.json();
    let (id, text) = (made["id"].as_str().unwrap(), made["token"].as_str().unwrap());
    let gone = get("/api/v1/tokens/siem")
        .method("DELETE")
        .header(header::AUTHORIZATION, format!("Bearer {admin}"))
        .body(Body::empty())
        .unwrap();
    assert_eq!(site.send(gone).await.status, 204);
    let told = entries(&site).await;
    let token = id_of(&admin).to_string();
    let call = |method: &str, route: &str| Event::Call {
        token: token.clone(),
        method: method.to_owned(),
        route: route.to_owned(),
    };
    let result =
        |call, status| Event::Result { call, status, subject: Some(id.to_owned()), also: Vec::new() };
    assert_eq!(
        told,
        [
            call("POST", "/api/v1/tokens"),
            result(2, 201),
            call("DELETE", "/api/v1/tokens/{token}"),
            result(4, 204),
        ]
    );
    let all = serde_json::to_string(&told).unwrap();
    assert!(!all.contains(text) && !all.contains("siem"), "{all}");
}

#[tokio::test]
async fn every_route_that_changes_something_is_told_before_and_every_other_is_counted() {
    let site = Site::new().await;
    let operator = site.token("operator", Scope::operator()).await;
    let samples = Samples::make(&site, &operator).await;
    for route in ALL {
        let known = entries(&site).await.len();
        site.send(samples.request(route, Some(&operator))).await;
        let told = entries(&site).await.split_off(known + 1);
        let changes = route.method != "GET" && !ASKS.contains(&route.path);
        let named = |event: &Event| match event {
            Event::Call { method, route: path, .. } => {
                changes && *method == route.method && path == route.path
            }
            Event::Reads { method, route: path, count, .. } => {
                !changes && *method == route.method && path == route.path && *count == 1
            }
            _ => false,
        };
        assert_eq!(
            told.iter().filter(|event| named(event)).count(),
            1,
            "{} {}: {told:?}",
            route.method,
            route.path
        );
    }
}

/// A word in the query that its handler does not read must not take a change out of the log.
#[tokio::test]
async fn no_route_but_the_import_takes_a_change_for_a_dry_run() {
    let site = Site::new().await;
    let operator = site.token("operator", Scope::operator()).await;
    let samples = Samples::make(&site, &operator).await;
    let mut changing = 0;
    for route in ALL.iter().filter(|route| route.method != "GET" && !ASKS.contains(&route.path)) {
        let known = entries(&site).await.len();
        let mut request = samples.request(route, Some(&operator));
        let uri = request.uri().to_string();
        let mark = if uri.contains('?') { '&' } else { '?' };
        *request.uri_mut() = format!("{uri}{mark}dry_run=true").parse().unwrap();
        site.send(request).await;
        let told = entries(&site).await.split_off(known + 1);
        let calls = told.iter().filter(|event| {
            matches!(event, Event::Call { method, route: path, .. } if *method == route.method && path == route.path)
        });
        let wanted = usize::from(route.path != "/api/v1/import");
        assert_eq!(calls.count(), wanted, "{} {}: {told:?}", route.method, route.path);
        changing += wanted;
    }
    assert!(changing > 10, "{changing}");
}

#[tokio::test]
async fn what_is_imported_released_and_discarded_is_told_by_its_id() {
    let site = Site::new().await;
    let operator = site.token("operator", Scope::operator()).await;
    for end in ["release", "discard"] {
        let path = "/api/v1/import?group=cidr&tlp=green";
        let made = site.send(post(&operator, path, "text/plain", format!("{end}.evil.example"))).await.json();
        let id = made["publication"].as_str().unwrap().to_owned();
        let ended = match end {
            "release" => post(&operator, &format!("/api/v1/drafts/{id}/release"), "text/plain", ""),
            _ => get(&format!("/api/v1/drafts/{id}"))
                .method("DELETE")
                .header(header::AUTHORIZATION, format!("Bearer {operator}"))
                .body(Body::empty())
                .unwrap(),
        };
        let status = site.send(ended).await.status;
        assert!(status.is_success(), "{end}: {status}");
        let of_it =
            |event: &Event| matches!(event, Event::Result { subject: Some(subject), .. } if *subject == id);
        let told = entries(&site).await;
        assert_eq!(told.iter().filter(|event| of_it(event)).count(), 2, "{end}: {told:?}");
    }
}

#[tokio::test]
async fn why_something_went_out_although_a_guard_objects_is_kept_and_never_the_value() {
    let site = Site::new().await;
    let operator = site.token("operator", Scope::operator()).await;
    let known = entries(&site).await.len();
    let campaign = json!({
        "type": "campaign", "spec_version": "2.1", "id": "campaign--00000000-0000-4000-8000-000000000001",
        "created": "2026-01-01T00:00:00.000Z", "modified": "2026-01-01T00:00:00.000Z", "name": "c",
        "description": "jan.peeters@evil.example",
    });
    let bundle = json!({
        "type": "bundle", "id": "bundle--00000000-0000-4000-8000-000000000001", "objects": [campaign],
    })
    .to_string();
    let submit = "/api/v1/publications?group=cidr&tlp=amber";
    let stix = "application/stix+json;version=2.1";
    for (path, status) in [(submit.to_owned(), 422), (format!("{submit}&reason=+the+phisher+"), 202)] {
        let answer = site.send(post(&operator, &path, stix, bundle.clone())).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
    }
    let import = "/api/v1/import?group=cidr&tlp=amber&format=stix";
    let held = site.send(post(&operator, import, "application/octet-stream", bundle)).await.json();
    let release =
        format!("/api/v1/drafts/{}/release?reason=+a+mailbox+", held["publication"].as_str().unwrap());
    assert_eq!(site.send(post(&operator, &release, "text/plain", "")).await.status, 202);
    let told = entries(&site).await.split_off(known + 1);
    let reasons: Vec<(u64, &str)> = told
        .iter()
        .filter_map(|event| match event {
            Event::Reason { call, reason } => Some((*call, reason.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(reasons.iter().map(|(_, reason)| *reason).collect::<Vec<_>>(), ["the phisher", "a mailbox"]);
    for (of, _) in &reasons {
        let is_its = |event: &&Event| matches!(event, Event::Result { call, status: 202, .. } if call == of);
        assert_eq!(told.iter().filter(is_its).count(), 1, "{told:?}");
    }
    let all = serde_json::to_string(&told).unwrap();
    assert!(!all.contains("jan.peeters"), "{all}");
}

/// What takes back needs no guard: a text that is sent along with its release was read by nobody.
#[tokio::test]
async fn a_reason_that_nobody_weighed_is_in_no_log() {
    let site = Site::new().await;
    let operator = site.token("operator", Scope::operator()).await;
    let publication = PublicationId::new([9; 16]);
    let held = DraftRow {
        publication,
        group: CIDR,
        audience: Audience::Group,
        recipients: Vec::new(),
        parts: Vec::new(),
        part_count: 1,
        objects: Vec::new(),
        submitter: "operator".to_owned(),
        idempotency_key: None,
        digest: [0; 32],
        created: crate::clock::now(),
        state: DraftState::Held,
        messages: Vec::new(),
        key_id: None,
        error: None,
        withdraws: Some(Withdrawal {
            targets: vec![MessageId::new([7; 32])],
            mode: WithdrawalMode::Retract,
            ground: WithdrawalGround::Author,
        }),
        tlp: Tlp::Unspecified,
        reason: None,
    };
    site.store.commit(Change::Draft(held)).await.unwrap();
    let release = format!("/api/v1/drafts/{publication}/release?reason=jan.peeters@evil.example");
    assert_eq!(site.send(post(&operator, &release, "text/plain", "")).await.status, 202);
    let told = entries(&site).await;
    assert!(!told.iter().any(|event| matches!(event, Event::Reason { .. })), "{told:?}");
}

/// Who may change nothing, and who only asks what would become of something, must not wash out what others did.
#[tokio::test]
async fn calls_that_a_token_may_not_make_and_dry_runs_are_counted_and_fill_nothing() {
    let site = Site::new().await;
    let reader = site.reader().await;
    let operator = site.token("operator", Scope::operator()).await;
    let known = entries(&site).await.len();
    for path in ["/api/v1/tokens", "/api/v1/publications?group=cidr", "/api/v1/log"] {
        for _ in 0..3 {
            let refused = site.send(post(&reader, path, "application/json", "{}")).await;
            assert_eq!(refused.status, 403, "{path}");
        }
    }
    let dry = "/api/v1/import?group=cidr&tlp=green&dry_run=true";
    site.send(post(&operator, dry, "text/plain", "198.51.100.7")).await;
    // What the handler does not take for a dry run is none.
    let twice = "/api/v1/import?group=cidr&tlp=green&dry_run=true&dry_run=false";
    site.send(post(&operator, twice, "text/plain", "198.51.100.7")).await;
    let told = entries(&site).await.split_off(known + 1);
    let count_of = |route: &str, wanted: u16| {
        told.iter().find_map(|event| match event {
            Event::Reads { route: path, status, count, .. } if path == route && *status == wanted => {
                Some(*count)
            }
            _ => None,
        })
    };
    for route in ["/api/v1/tokens", "/api/v1/publications", "/api/v1/log"] {
        assert_eq!(count_of(route, 403), Some(3), "{told:?}");
    }
    assert_eq!(count_of("/api/v1/import", 200), Some(1), "{told:?}");
    let calls: Vec<_> = told.iter().filter(|event| matches!(event, Event::Call { .. })).collect();
    assert_eq!(calls.len(), 1, "only the one that is no dry run: {told:?}");
}

#[tokio::test]
async fn refusals_are_counted_without_a_name_and_values_never_appear() {
    let site = Site::new().await;
    let reader = site.reader().await;
    for _ in 0..3 {
        site.send(get("/api/v1/objects/indicator--secret").body(Body::empty()).unwrap()).await;
    }
    let question = json!({ "values": ["198.51.100.7"] }).to_string();
    site.send(post(&reader, "/api/v1/lookup", "application/json", question)).await;
    let told = entries(&site).await;
    let strangers = Event::Reads {
        token: None,
        method: "GET".to_owned(),
        route: "/api/v1/objects/{object}".to_owned(),
        status: 401,
        count: 3,
    };
    assert!(told.contains(&strangers), "{told:?}");
    let all = serde_json::to_string(&told).unwrap();
    assert!(!all.contains("secret") && !all.contains("198.51"), "{all}");
}

#[tokio::test]
async fn what_the_log_cannot_take_is_not_done() {
    let site = Site::new().await;
    let admin = site.token("admin", Scope { admin: true, ..nothing() }).await;
    let folder = site.folder.path().join("audit");
    std::fs::remove_dir_all(&folder).unwrap();
    let mut tries = 0;
    let refused = loop {
        // Until the next file has to be begun.
        let wanted = json!({ "name": "bad name" }).to_string();
        let answer = site.send(post(&admin, "/api/v1/tokens", "application/json", wanted)).await;
        tries += 1;
        if answer.status == 503 || tries > 200 {
            break answer;
        }
        site.fill_audit_log().await;
    };
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (503, "unavailable"));
    let wanted = json!({ "name": "siem", "read": ["cidr"] }).to_string();
    assert_eq!(site.send(post(&admin, "/api/v1/tokens", "application/json", wanted)).await.status, 503);
    let tokens = site.get(&admin, "/api/v1/tokens").await.ok();
    assert_eq!(tokens["tokens"].as_array().unwrap().len(), 1, "nothing was made: {tokens}");
    let status = site.get(&admin, "/api/v1/status").await.ok();
    assert!(status["warnings"].to_string().contains("audit log"), "{status}");
}

#[tokio::test]
async fn an_admin_reads_it_and_its_head_is_the_one_that_verifies() {
    let site = Site::new().await;
    let admin = site.token("admin", Scope { admin: true, ..nothing() }).await;
    site.get(&admin, "/api/v1/tokens").await;
    entries(&site).await;
    let answer = site.get(&admin, "/api/v1/audit?limit=2").await.ok();
    let listed = answer["entries"].as_array().unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!((&listed[0]["event"], &listed[1]["event"]), (&json!("started"), &json!("reads")));
    let last: &Value = &listed[1];
    assert_eq!(last["token"], json!(id_of(&admin).to_string()));
    let noted = audit_log::Standing {
        sequence: last["sequence"].as_u64().unwrap(),
        head: last["head"].as_str().unwrap().parse().unwrap(),
    };
    let master = belfry_proto::crypto::secret::Secret::new([9; 32]);
    audit_log::verify(&site.folder.path().join(FOLDER), &master, Some(noted)).unwrap();
    let rest = site.get(&admin, &format!("/api/v1/audit?after={}", noted.sequence)).await.ok();
    assert_eq!(rest["entries"][0]["sequence"], json!(noted.sequence + 1));
}
