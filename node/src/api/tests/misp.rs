//! What MISP's clients get: values that may leave, and no more than they asked for.

use std::sync::Arc;

use axum::{body::Body, http::header};
use belfry_proto::stix::marking::Tlp;
use serde_json::{Value, json};

use super::site::{Answer, Put, Site, get, nothing, post};
use crate::query::{Groups, Scope};

async fn ask(site: &Site, token: &str, wanted: Value) -> Answer {
    site.send(post(token, "/attributes/restSearch", "application/json", wanted.to_string())).await
}

fn values(answer: &Value) -> Vec<&str> {
    let found = answer["response"]["Attribute"].as_array().unwrap();
    found.iter().map(|attribute| attribute["value"].as_str().unwrap()).collect()
}

async fn site() -> Site {
    let site = Site::new().await;
    let two = "[ipv4-addr:value = '203.0.113.9'] OR [ipv4-addr:value = '203.0.113.10']";
    site.put(&[
        Put::pattern(1, "[domain-name:value = 'c2.be']", &json!({})),
        Put::pattern(2, two, &json!({})),
        Put::pattern(3, "[domain-name:value = 'secret.be']", &json!({})).tlp(Tlp::Red),
        Put::pattern(4, "[ipv4-addr:value = '8.8.8.8']", &json!({})),
        Put::pattern(5, "[domain-name:value = 'gone.be']", &json!({ "revoked": true })),
    ])
    .await;
    site
}

#[tokio::test]
async fn a_search_finds_what_may_leave_by_the_filters_it_names() {
    let site = site().await;
    let token = site.reader().await;
    let both = vec!["203.0.113.10", "203.0.113.9"];
    let all = vec!["203.0.113.10", "203.0.113.9", "c2.be"];
    for (wanted, expected) in [
        (json!({}), all.clone()),
        (json!({ "type": "ip-dst" }), both.clone()),
        (json!({ "type": { "OR": ["domain"] } }), vec!["c2.be"]),
        (json!({ "type": ["!domain"] }), both.clone()),
        (json!({ "value": "203.0.113.%" }), both.clone()),
        (json!({ "value": { "OR": ["%"], "NOT": ["203.0.113.%"] } }), vec!["c2.be"]),
        (json!({ "value": ["c2.be", "secret.be", "8.8.8.8", "gone.be"] }), vec!["c2.be"]),
        (json!({ "category": "Payload delivery" }), vec![]),
        (json!({ "tags": "tlp:amber" }), all.clone()),
        (json!({ "tags": ["tlp:green"] }), vec![]),
        (json!({ "tags": ["!tlp:red"] }), all.clone()),
        (json!({ "tags": "tlp:am%", "type": "ip-%" }), both),
        (json!({ "tags": ["!tlp:%"] }), vec![]),
        (json!({ "tags": { "AND": ["tlp:amber"], "NOT": ["TLP:AMBER"] } }), vec![]),
        (json!({ "deleted": 1 }), vec![]),
        (json!({ "publish_timestamp": "1h", "event_timestamp": ["2h", 4_000_000_000_u64] }), all.clone()),
        (json!({ "publish_timestamp": 4_000_000_000.5, "last": "1h" }), vec![]),
        (json!({ "to_ids": 0 }), vec![]),
        (json!({ "published": 0 }), vec![]),
        (json!({ "published": [0, 1], "deleted": [0, 1] }), all.clone()),
        (json!({ "deleted": "only" }), vec![]),
        (json!({ "last": "1h" }), all),
        (json!({ "timestamp": "2099-01-01T00:00:00Z" }), vec![]),
    ] {
        let answer = ask(&site, &token, wanted.clone()).await.ok();
        let mut found = values(&answer);
        found.sort_unstable();
        assert_eq!(found, expected, "{wanted}");
    }
    let first = ask(&site, &token, json!({ "limit": 2 })).await;
    assert_eq!((first.header("x-result-count"), values(&first.json()).len()), (Some("3"), 2));
    let second = ask(&site, &token, json!({ "limit": 2, "page": 2 })).await.ok();
    assert_eq!(values(&second).len(), 1);
    let beyond = ask(&site, &token, json!({ "limit": 2, "page": 3 })).await;
    assert_eq!((beyond.header("x-result-count"), values(&beyond.json()).len()), (Some("3"), 0));
    let any_case = ask(&site, &token, json!({ "value": ["C2.BE", "%.10"] })).await.ok();
    assert_eq!(values(&any_case).len(), 2);
    let lines = ask(&site, &token, json!({ "returnFormat": "text", "type": "domain" })).await;
    assert_eq!(lines.body, b"c2.be\n");
    assert_eq!(ask(&site, &token, json!({ "org": "CERT" })).await.code(), "bad-filter");
}

#[tokio::test]
async fn events_are_found_by_themselves_and_by_what_they_hold_and_are_those_of_the_feed() {
    let site = site().await;
    let token = site.reader().await;
    let search = async |wanted: Value| {
        site.send(post(&token, "/events/restSearch", "application/json", wanted.to_string())).await
    };
    let all = search(json!({})).await;
    assert_eq!(all.header("x-result-count"), Some("1"), "one publication");
    let event = all.json()["response"][0]["Event"].clone();
    let held = |event: &Value| {
        let attributes = event["Attribute"].as_array().cloned().unwrap_or_default();
        let mut values: Vec<String> =
            attributes.iter().map(|one| one["value"].as_str().unwrap().to_owned()).collect();
        values.sort_unstable();
        values
    };
    assert_eq!(held(&event), ["203.0.113.10", "203.0.113.9", "c2.be"], "and nothing that may not leave");
    let file = event["uuid"].as_str().unwrap();
    let fed = site.get(&token, &format!("/api/v1/exports/misp/{file}.json")).await.ok()["Event"].clone();
    assert_eq!(held(&fed), held(&event));
    for (wanted, is_found) in [
        (json!({ "eventid": event["id"] }), true),
        (json!({ "eventid": [event["uuid"]] }), true),
        (json!({ "eventid": 7 }), false),
        (json!({ "from": "2001-01-01", "to": "2099-01-01" }), true),
        (json!({ "from": "2099-01-01" }), false),
        (json!({ "to": "2001-01-01" }), false),
        (json!({ "value": "c2.be", "type": "domain" }), true),
        (json!({ "value": "c2.be", "type": "ip-dst" }), false),
        (json!({ "value": "secret.be" }), false),
        (json!({ "value": "!c2.be" }), false),
        (json!({ "value": ["c2.be", "!gone.be"] }), true),
        (json!({ "tags": "tlp:amber" }), true),
        (json!({ "tags": ["!tlp:amber"] }), false),
        (json!({ "eventid": { "NOT": [event["id"]] } }), false),
        (json!({ "published": 0 }), false),
        (json!({ "page": 2, "limit": 1 }), false),
    ] {
        let found = search(wanted.clone()).await.ok();
        assert_eq!(!found["response"].as_array().unwrap().is_empty(), is_found, "{wanted}");
    }
    let bare = search(json!({ "metadata": true })).await.ok();
    assert_eq!(bare["response"][0]["Event"].get("Attribute"), None);
    for wanted in [json!({ "returnFormat": "csv" }), json!({ "from": "soon" }), json!({ "org": "CERT" })] {
        assert_eq!(search(wanted.clone()).await.code(), "bad-filter", "{wanted}");
    }
    // Attributes know these filters, too; all of them stand in one event, the export.
    let one = ask(&site, &token, json!({})).await.ok()["response"]["Attribute"][0].clone();
    for (wanted, count) in [
        (json!({ "eventid": one["event_id"] }), 3),
        (json!({ "eventid": event["id"] }), 0),
        (json!({ "from": "2001-01-01", "to": "2099-01-01" }), 3),
        (json!({ "to": "2001-01-01" }), 0),
    ] {
        let found = ask(&site, &token, wanted.clone()).await.ok();
        assert_eq!(values(&found).len(), count, "{wanted}");
    }
}

#[tokio::test]
async fn a_table_has_misps_columns_and_no_cell_of_it_is_a_formula() {
    let site = site().await;
    let token = site.reader().await;
    site.put(&[Put::pattern(
        6,
        "[file:name = '=HYPERLINK(1)']",
        &json!({ "name": "@SUM(A1), \"x\"\r\nnext" }),
    )])
    .await;
    let table = async |wanted: Value| {
        let mut asked = json!({ "returnFormat": "csv" });
        asked.as_object_mut().unwrap().extend(wanted.as_object().unwrap().clone());
        let answer = ask(&site, &token, asked).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("content-type")),
            (200, Some("text/csv; charset=utf-8"))
        );
        String::from_utf8(answer.body).unwrap()
    };
    let domains = table(json!({ "type": "domain" })).await;
    let (headings, rows) = domains.split_once('\n').unwrap();
    assert_eq!(
        headings,
        "uuid,event_id,category,type,value,comment,to_ids,date,object_relation,attribute_tag,object_uuid,object_name,\
         object_meta_category"
    );
    let found = ask(&site, &token, json!({ "type": "domain" })).await.ok();
    let one = &found["response"]["Attribute"][0];
    let text = |name: &str| one[name].as_str().unwrap();
    let expected = format!(
        "{},{},{},domain,c2.be,bad 1,1,{},,tlp:amber,,,\n",
        text("uuid"),
        text("event_id"),
        text("category"),
        text("timestamp")
    );
    assert_eq!(rows, expected);
    let named =
        table(json!({ "type": "filename", "requested_attributes": ["value", "comment"], "headerless": 1 }))
            .await;
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(named.as_bytes());
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 1, "{named}");
    assert_eq!(&rows[0][0], "'=hyperlink(1)");
    assert!(rows[0][1].starts_with("'@SUM") && !rows[0][1].contains('\n'), "{named}");
    let refused = ask(&site, &token, json!({ "returnFormat": "stix2" })).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (422, "bad-filter"));
}

#[tokio::test]
async fn what_is_described_is_what_a_search_finds() {
    let site = site().await;
    let token = site.reader().await;
    let described = site.get(&token, "/attributes/describeTypes.json").await.ok()["result"].clone();
    let found = ask(&site, &token, json!({})).await.ok();
    for attribute in found["response"]["Attribute"].as_array().unwrap() {
        let kind = attribute["type"].as_str().unwrap();
        assert!(described["types"].as_array().unwrap().contains(&attribute["type"]), "{described}");
        assert_eq!(
            described["sane_defaults"][kind]["default_category"], attribute["category"],
            "{described}"
        );
        let of_category = &described["category_type_mappings"][attribute["category"].as_str().unwrap()];
        assert!(of_category.as_array().unwrap().contains(&attribute["type"]), "{described}");
    }
    assert!(!described["types"].as_array().unwrap().contains(&json!("vulnerability")), "{described}");
}

#[tokio::test]
async fn the_key_stands_alone_in_its_header_and_without_a_profile_there_is_nothing() {
    let site = site().await;
    let token = site.reader().await;
    let request = get("/users/view/me").header(header::AUTHORIZATION, &token).body(Body::empty()).unwrap();
    let me = site.send(request).await.ok();
    assert_eq!(me["User"]["email"], "reader@belfry.invalid");
    let other = Site::exporting("").await;
    let token = other.reader().await;
    let answer = ask(&other, &token, json!({})).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (404, "no-misp-export"));
}

/// Each looks at all of an export: more at once would take the machine from everybody else.
#[tokio::test]
async fn searches_beyond_their_places_wait_and_are_refused_instead_of_piling_up() {
    let site = site().await;
    let token = site.token("ids", Scope { read: Groups::All, publish: Groups::All, ..nothing() }).await;
    let found = ask(&site, &token, json!({ "value": "c2.be" })).await.ok();
    let id = found["response"]["Attribute"][0]["uuid"].as_str().unwrap().to_owned();
    let places = Arc::clone(&site.app.searches).acquire_many_owned(2).await.unwrap();
    let sighting = json!({ "uuid": id, "type": "1" }).to_string();
    let sight = || site.send(post(&token, "/sightings/add", "application/json", sighting.clone()));
    tokio::time::pause();
    let refused = ask(&site, &token, json!({})).await;
    tokio::time::resume();
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (503, "searches-busy"));
    assert!(refused.header("retry-after").is_some());
    drop(places);
    assert_eq!(ask(&site, &token, json!({})).await.status, 200);
    assert_eq!(sight().await.status, 200);
}
