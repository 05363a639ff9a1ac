//! Paging: nothing lost, nothing doubled, whatever the page size (TAXII 2.1 §3.5).

use belfry_proto::{stix::marking::Tlp, time::Timestamp};
use serde_json::Value;

use super::{
    coalition::{CIDR, CLOUD, OTHER, OWN},
    site::{Put, Site, counts},
};

const OBJECTS: &str = "/taxii2/root/collections/cidr/objects/";
const MANIFEST: &str = "/taxii2/root/collections/cidr/manifest/";

/// Twenty-three objects, seven of them in one message and so of one moment.
async fn filled() -> (Site, String, Vec<String>) {
    let site = Site::new().await;
    let token = site.reader().await;
    let objects: Vec<Put> = (1..=23).map(Put::indicator).collect();
    site.put(&objects[..8]).await;
    site.message(CIDR, OWN, &objects[8..15]).await;
    site.put(&objects[15..]).await;
    let ids = objects.into_iter().map(|object| object.id).collect();
    (site, token, ids)
}

fn dates(manifest: &Value) -> Vec<String> {
    let rows = manifest["objects"].as_array().cloned().unwrap_or_default();
    rows.iter().map(|row| row["date_added"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn every_page_size_brings_each_object_once_and_in_order() {
    let (site, token, ids) = filled().await;
    for limit in 1..=ids.len() + 1 {
        assert_eq!(site.all(&token, OBJECTS, limit).await, ids, "limit {limit}");
        assert_eq!(site.all(&token, MANIFEST, limit).await, ids, "manifest, limit {limit}");
    }
}

#[tokio::test]
async fn dates_added_are_unique_increasing_microseconds() {
    let (site, token, ids) = filled().await;
    let dates = dates(&site.get(&token, MANIFEST).await.ok());
    assert_eq!(dates.len(), ids.len());
    assert!(dates.windows(2).all(|pair| pair[0] < pair[1]), "{dates:?}");
    for date in &dates {
        let (_, fraction) = date.split_once('.').unwrap();
        assert_eq!((fraction.len(), fraction.ends_with('Z')), (7, true), "{date}");
        assert_eq!(date.parse::<Timestamp>().unwrap().to_string(), *date);
    }
}

#[tokio::test]
async fn added_after_is_strictly_greater_at_any_precision() {
    let (site, token, ids) = filled().await;
    let dates = dates(&site.get(&token, MANIFEST).await.ok());
    for (i, date) in dates.iter().enumerate() {
        let micros = date.parse::<Timestamp>().unwrap();
        let just_before = Timestamp::from_micros(micros.as_micros() - 1);
        let finer = date.replace('Z', "999Z");
        for (after, from) in [(date.clone(), i + 1), (just_before.to_string(), i), (finer, i + 1)] {
            let path = format!("{OBJECTS}?added_after={after}");
            assert_eq!(site.get(&token, &path).await.ids(), ids[from..], "after {after}");
            assert_eq!(site.all(&token, &path, 3).await, ids[from..], "paged, after {after}");
        }
    }
    let whole = dates[0].split_once('.').unwrap().0;
    for before in [
        format!("{whole}Z"),
        format!("{whole}.0Z"),
        "1970-01-01T00:00:00Z".into(),
        "0001-01-01T00:00:00Z".into(),
    ] {
        let found = site.get(&token, &format!("{OBJECTS}?added_after={before}")).await.ids();
        assert_eq!(found.len(), ids.len(), "{before}");
    }
    let offset = format!("{OBJECTS}?added_after=1970-01-01T02:00:00%2B02:00");
    assert_eq!(site.get(&token, &offset).await.ids().len(), ids.len());
    for wrong in ["", "yesterday", "2026-01-01", "1700000000", "2026-13-01T00:00:00Z"] {
        let answer = site.get(&token, &format!("{OBJECTS}?added_after={wrong}")).await;
        assert_eq!(answer.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn a_client_that_knows_only_added_after_gets_each_object_once() {
    let (site, token, ids) = filled().await;
    for limit in [1, 2, 5, 22] {
        let (mut found, mut after) = (Vec::new(), "1970-01-01T00:00:00Z".to_owned());
        loop {
            let page = site.get(&token, &format!("{OBJECTS}?limit={limit}&added_after={after}")).await;
            let last = page.header("x-taxii-date-added-last").map(str::to_owned);
            let more = page.json()["more"].as_bool().unwrap();
            found.extend(page.ids());
            if !more {
                break;
            }
            after = last.expect("a page with more has a last date");
        }
        assert_eq!(found, ids, "limit {limit}");
    }
}

#[tokio::test]
async fn the_date_headers_are_those_of_the_first_and_last_object() {
    let (site, token, ids) = filled().await;
    let dates = dates(&site.get(&token, MANIFEST).await.ok());
    for path in [OBJECTS, MANIFEST] {
        let page = site.get(&token, &format!("{path}?limit=4")).await;
        assert_eq!(page.header("x-taxii-date-added-first"), Some(dates[0].as_str()));
        assert_eq!(page.header("x-taxii-date-added-last"), Some(dates[3].as_str()));
    }
    let one = site.get(&token, &format!("{OBJECTS}{}/", ids[5])).await;
    assert_eq!(one.header("x-taxii-date-added-first"), Some(dates[5].as_str()));
    let versions = site.get(&token, &format!("{OBJECTS}{}/versions/", ids[5])).await;
    assert_eq!(versions.header("x-taxii-date-added-last"), Some(dates[5].as_str()));
    let none = site.get(&token, &format!("{OBJECTS}?added_after=2999-01-01T00:00:00Z")).await;
    assert_eq!(none.header("x-taxii-date-added-first"), None);
    assert_eq!(none.json(), serde_json::json!({"more": false}), "an empty page has no list");
}

#[tokio::test]
async fn limits_are_lowered_or_refused_but_never_exceeded() {
    let site = Site::new().await;
    let token = site.reader().await;
    let objects: Vec<Put> = (1..=2_100).map(Put::indicator).collect();
    site.message(CIDR, OWN, &objects).await;
    for (limit, found) in [
        ("", 500),
        ("limit=1", 1),
        ("limit=2000", 2_000),
        ("limit=2001", 2_000),
        ("limit=99999999999999999999", 2_000),
    ] {
        let page = site.get(&token, &format!("{OBJECTS}?{limit}")).await;
        assert_eq!(page.json()["more"], true);
        assert_eq!(page.ids().len(), found, "{limit}");
    }
    for wrong in ["0", "-1", "1.5", "ten", "", "0x10", "1e3", "%31%20"] {
        for path in [OBJECTS, MANIFEST] {
            let answer = site.get(&token, &format!("{path}?limit={wrong}")).await;
            assert_eq!(
                (answer.status.as_u16(), answer.code().as_str()),
                (400, "bad-parameter"),
                "limit={wrong}"
            );
        }
    }
    assert_eq!(site.all(&token, OBJECTS, 700).await.len(), 2_100);
}

#[tokio::test]
async fn a_cursor_is_good_for_its_filters_collection_and_listing_only() {
    let (site, token, ids) = filled().await;
    let filters = "match[type]=indicator";
    let page = site.get(&token, &format!("{OBJECTS}?limit=2&{filters}")).await.json();
    let next = page["next"].as_str().unwrap();
    let status = async |path: String| site.get(&token, &path).await.status.as_u16();
    assert_eq!(status(format!("{OBJECTS}?limit=2&{filters}&next={next}")).await, 200);
    assert_eq!(
        status(format!("{OBJECTS}?limit=9&{filters}&next={next}")).await,
        200,
        "the page size may change"
    );
    let id = &ids[0];
    for changed in [
        format!("{OBJECTS}?next={next}"),
        format!("{OBJECTS}?match[type]=malware&next={next}"),
        format!("{OBJECTS}?{filters}&match[version]=all&next={next}"),
        format!("{OBJECTS}?{filters}&match[id]={id}&next={next}"),
        format!("{OBJECTS}?{filters}&match[spec_version]=2.1&next={next}"),
        format!("{OBJECTS}?{filters}&added_after=1970-01-01T00:00:00Z&next={next}"),
        format!("{OBJECTS}{id}/?next={next}"),
        format!("{OBJECTS}{id}/versions/?next={next}"),
        format!("/taxii2/root/collections/cloud-security/objects/?{filters}&next={next}"),
        format!("{OBJECTS}?{filters}&next={next}x"),
        format!("{OBJECTS}?{filters}&next={}", &next[1..]),
        format!("{OBJECTS}?{filters}&next=0"),
        format!("{OBJECTS}?{filters}&next="),
        format!("{OBJECTS}?{filters}&next={next}&next={next}"),
    ] {
        assert_eq!(status(changed.clone()).await, 400, "{changed}");
    }
}

#[tokio::test]
async fn a_cursor_opens_nothing_to_another_token() {
    let (site, token, _) = filled().await;
    let page = site.get(&token, &format!("{OBJECTS}?limit=2")).await.json();
    let next = page["next"].as_str().unwrap();
    let scope = crate::query::Scope { ceiling: Tlp::Green, ..crate::query::Scope::reads([CIDR]) };
    let green = site.token("green", scope).await;
    assert_eq!(site.get(&green, &format!("{OBJECTS}?limit=2&next={next}")).await.ids(), [""; 0]);
    let elsewhere = site.token("elsewhere", crate::query::Scope::reads([CLOUD])).await;
    assert_eq!(site.get(&elsewhere, &format!("{OBJECTS}?limit=2&next={next}")).await.status, 403);
}

#[tokio::test]
async fn what_is_added_while_a_client_pages_comes_last() {
    let (site, token, mut ids) = filled().await;
    let first = site.get(&token, &format!("{OBJECTS}?limit=20")).await;
    let next = first.json()["next"].as_str().unwrap().to_owned();
    let mut found = first.ids();
    let late = Put::indicator(99);
    site.put(std::slice::from_ref(&late)).await;
    ids.push(late.id);
    found.extend(site.get(&token, &format!("{OBJECTS}?limit=20&next={next}")).await.ids());
    assert_eq!(found, ids);
}

#[tokio::test]
async fn an_unchanged_object_keeps_its_date_when_it_is_shared_again() {
    let (site, token, ids) = filled().await;
    let before = site.get(&token, MANIFEST).await.ok();
    let again: Vec<Put> = (1..=23).map(Put::indicator).collect();
    site.put(&again).await;
    let by_another: Vec<Put> = again.into_iter().map(|put| Put { member: OTHER, ..put }).collect();
    site.put(&by_another).await;
    assert_eq!(site.get(&token, MANIFEST).await.ok(), before);
    assert!(counts(&site.all(&token, OBJECTS, 4).await).values().all(|n| *n == 1));
    assert_eq!(ids.len(), 23);
}

#[tokio::test]
async fn hidden_objects_between_two_pages_leave_no_hole_and_no_endless_loop() {
    let site = Site::new().await;
    let token = site.reader().await;
    let marked = |n: u32| Put {
        tlp: if n.is_multiple_of(3) { Tlp::Amber } else { Tlp::Red },
        recipients: true,
        ..Put::indicator(n)
    };
    let objects: Vec<Put> = (1..=30).map(marked).collect();
    site.put(&objects).await;
    let shown: Vec<String> =
        objects.iter().filter(|object| object.tlp == Tlp::Amber).map(|object| object.id.clone()).collect();
    for limit in 1..=12 {
        assert_eq!(site.all(&token, OBJECTS, limit).await, shown, "limit {limit}");
    }
    let last = site.get(&token, &format!("{OBJECTS}?limit=10")).await.json();
    assert_eq!(
        (last["more"].as_bool(), last.get("next")),
        (Some(false), None),
        "nothing follows for this token"
    );
}
