//! Every filter, alone and together (TAXII 2.1 §3.4, §5.3 to §5.8).

use belfry_proto::{schema::WithdrawalMode, stix::marking::Tlp, time::Timestamp};
use serde_json::{Value, json};

use super::{
    coalition::{CIDR, OTHER, OWN},
    site::{Put, Site},
};

const COLLECTION: &str = "/taxii2/root/collections/cidr";
const V1: &str = "2026-01-01T00:00:00.000Z";
const V2: &str = "2026-02-01T00:00:00.000Z";
const V3: &str = "2026-03-01T00:00:00.123Z";

/// An indicator in three versions that came out of order, a malware in one, an address without any.
async fn filled() -> (Site, String) {
    let site = Site::new().await;
    let token = site.reader().await;
    site.put(&[
        Put::indicator(1).version(V2),
        Put::of("malware", 2).version(V1),
        Put::indicator(1).version(V1),
        Put::of("ipv4-addr", 3).version(""),
        Put::indicator(1).version(V3),
        Put::indicator(4).version(V1),
    ])
    .await;
    (site, token)
}

fn id(kind: &str, n: u32) -> String {
    format!("{kind}--00000000-0000-4000-8000-{n:012x}")
}

/// (kind's first letter and number, version) of the manifest under a query.
async fn found(site: &Site, token: &str, query: &str) -> Vec<String> {
    let manifest = site.get(token, &format!("{COLLECTION}/manifest/?{query}")).await.ok();
    let objects = site.get(token, &format!("{COLLECTION}/objects/?{query}")).await.ok();
    let listed = |json: &Value| json["objects"].as_array().cloned().unwrap_or_default();
    let rows = listed(&manifest);
    let ids: Vec<Value> = rows.iter().map(|row| row["id"].clone()).collect();
    let served: Vec<Value> = listed(&objects).iter().map(|object| object["id"].clone()).collect();
    assert_eq!(ids, served, "objects and manifest agree under {query}");
    let name = |row: &Value| {
        let (id, version) = (row["id"].as_str().unwrap(), row["version"].as_str().unwrap());
        let number =
            id.trim_start_matches(|c| c != '-').trim_start_matches(['-', '0']).rsplit('0').next().unwrap();
        let version = if version == row["date_added"] { "added" } else { &version[5..7] };
        format!("{}{number}@{version}", &id[..2])
    };
    rows.iter().map(name).collect()
}

#[tokio::test]
async fn versions_are_chosen_by_word_or_time() {
    let (site, token) = filled().await;
    for (query, expected) in [
        ("", vec!["ma2@01", "ip3@added", "in1@03", "in4@01"]),
        ("match[version]=last", vec!["ma2@01", "ip3@added", "in1@03", "in4@01"]),
        ("match[version]=first", vec!["ma2@01", "in1@01", "ip3@added", "in4@01"]),
        ("match[version]=all", vec!["in1@02", "ma2@01", "in1@01", "ip3@added", "in1@03", "in4@01"]),
        ("match[version]=2026-02-01T00:00:00Z", vec!["in1@02"]),
        ("match[version]=2026-02-01T00:00:00.000000Z", vec!["in1@02"]),
        ("match[version]=2026-01-01T00:00:00Z", vec!["ma2@01", "in1@01", "in4@01"]),
        ("match[version]=2026-03-01T00:00:00Z", vec![]),
        ("match[version]=first,last", vec!["ma2@01", "in1@01", "ip3@added", "in1@03", "in4@01"]),
        (
            "match[version]=first,2026-02-01T00:00:00Z",
            vec!["in1@02", "ma2@01", "in1@01", "ip3@added", "in4@01"],
        ),
    ] {
        assert_eq!(found(&site, &token, query).await, expected, "{query}");
        let encoded = query.replace('[', "%5B").replace(']', "%5D").replace(':', "%3A").replace(',', "%2C");
        assert_eq!(found(&site, &token, &encoded).await, expected, "{encoded}");
    }
    for wrong in ["newest", "2026", "1", "last,never"] {
        let path = format!("{COLLECTION}/objects/?match[version]={wrong}");
        assert_eq!(site.get(&token, &path).await.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn ids_and_types_are_or_within_and_and_between() {
    let (site, token) = filled().await;
    let (one, two, three, four) =
        (id("indicator", 1), id("malware", 2), id("ipv4-addr", 3), id("indicator", 4));
    for (query, expected) in [
        (format!("match[id]={one}"), vec!["in1@03"]),
        (format!("match[id]={four},{two}"), vec!["ma2@01", "in4@01"]),
        (format!("match[id]={four}&match[id]={two}"), vec!["ma2@01", "in4@01"]),
        (format!("match[id]={one}&match[version]=all"), vec!["in1@02", "in1@01", "in1@03"]),
        (format!("match[id]={}", id("indicator", 77)), vec![]),
        ("match[id]=nonsense".to_owned(), vec![]),
        ("match[type]=indicator".to_owned(), vec!["in1@03", "in4@01"]),
        ("match[type]=malware,ipv4-addr".to_owned(), vec!["ma2@01", "ip3@added"]),
        ("match[type]=campaign".to_owned(), vec![]),
        (format!("match[id]={one},{three}&match[type]=ipv4-addr"), vec!["ip3@added"]),
        (format!("match[id]={one}&match[type]=malware"), vec![]),
        ("match[type]=indicator&match[version]=first".to_owned(), vec!["in1@01", "in4@01"]),
        ("match[spec_version]=2.1".to_owned(), vec!["ma2@01", "ip3@added", "in1@03", "in4@01"]),
        ("match[spec_version]=2.0".to_owned(), vec![]),
        ("match[spec_version]=2.0,2.1&match[type]=malware".to_owned(), vec!["ma2@01"]),
        (format!("match[id]={one}&match[spec_version]=2.0"), vec![]),
        ("unknown=x&match[type]=malware".to_owned(), vec!["ma2@01"]),
    ] {
        assert_eq!(found(&site, &token, &query).await, expected, "{query}");
    }
    for wrong in ["match[name]=x", "match[]=x", "match[id]=a&match[confidence]=3"] {
        assert_eq!(site.get(&token, &format!("{COLLECTION}/objects/?{wrong}")).await.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn filters_hold_across_pages() {
    let (site, token) = filled().await;
    let path = format!("{COLLECTION}/objects/?match[version]=all&match[type]=indicator,malware");
    for limit in 1..=6 {
        assert_eq!(site.all(&token, &path, limit).await.len(), 5, "limit {limit}");
    }
    let ids = format!("{COLLECTION}/objects/?match[version]=all&match[id]={}", id("indicator", 1));
    for limit in 1..=4 {
        assert_eq!(site.all(&token, &ids, limit).await.len(), 3, "limit {limit}");
    }
}

#[tokio::test]
async fn one_object_is_its_last_version_unless_asked_otherwise() {
    let (site, token) = filled().await;
    let path = format!("{COLLECTION}/objects/{}/", id("indicator", 1));
    let modified = |json: Value| {
        let objects = json["objects"].as_array().cloned().unwrap_or_default();
        objects.iter().map(|object| object["modified"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for (query, expected) in [
        ("", vec![V3]),
        ("?match[version]=first", vec![V1]),
        ("?match[version]=all", vec![V2, V1, V3]),
        ("?match[version]=2026-02-01T00:00:00Z", vec![V2]),
        ("?added_after=2999-01-01T00:00:00Z", vec![]),
        ("?match[spec_version]=2.0", vec![]),
        ("?limit=1&match[version]=all", vec![V2]),
    ] {
        assert_eq!(modified(site.get(&token, &format!("{path}{query}")).await.ok()), expected, "{query}");
    }
    for (object, status) in
        [(id("indicator", 77), 404), ("nonsense".to_owned(), 404), ("%00".to_owned(), 404)]
    {
        for tail in ["", "versions/"] {
            let answer = site.get(&token, &format!("{COLLECTION}/objects/{object}/{tail}")).await;
            assert_eq!(answer.status.as_u16(), status, "{object}/{tail}");
        }
    }
    assert_eq!(site.get(&token, &format!("{path}?match[type]=indicator")).await.status, 400);
}

#[tokio::test]
async fn the_versions_are_those_of_the_object() {
    let (site, token) = filled().await;
    let versions = async |object: String, query: &str| {
        site.get(&token, &format!("{COLLECTION}/objects/{object}/versions/{query}")).await.ok()
    };
    assert_eq!(versions(id("indicator", 1), "").await, json!({"more": false, "versions": [V2, V1, V3]}));
    let first = versions(id("indicator", 1), "?limit=2").await;
    assert_eq!((&first["more"], &first["versions"]), (&json!(true), &json!([V2, V1])));
    let next = first["next"].as_str().unwrap();
    let rest = versions(id("indicator", 1), &format!("?limit=2&next={next}")).await;
    assert_eq!(rest, json!({"more": false, "versions": [V3]}));
    let added = versions(id("ipv4-addr", 3), "").await["versions"][0].as_str().unwrap().to_owned();
    assert!(
        added.parse::<Timestamp>().is_ok(),
        "without one of its own, its version is when it came: {added}"
    );
    let by_time = format!("{COLLECTION}/objects/?match[id]={}&match[version]={added}", id("ipv4-addr", 3));
    assert_eq!(site.get(&token, &by_time).await.ids().len(), 1);
}

#[tokio::test]
async fn a_manifest_row_names_version_date_and_stix() {
    let (site, token) = filled().await;
    let manifest = site.get(&token, &format!("{COLLECTION}/manifest/?match[type]=malware")).await.ok();
    let row = &manifest["objects"][0];
    assert_eq!((&row["id"], &row["version"]), (&json!(id("malware", 2)), &json!(V1)));
    assert_eq!(row["media_type"], "application/stix+json;version=2.1");
    assert_eq!(row.as_object().unwrap().len(), 4, "{row}");
}

#[tokio::test]
async fn objects_come_out_byte_for_byte() {
    let (site, token) = filled().await;
    let page = site.get(&token, &format!("{COLLECTION}/objects/?match[version]=all")).await;
    for put in [
        Put::indicator(1).version(V2),
        Put::of("malware", 2).version(V1),
        Put::of("ipv4-addr", 3).version(""),
    ] {
        let raw = put.raw();
        assert!(page.body.windows(raw.len()).any(|window| window == raw), "{}", put.id);
    }
}

#[tokio::test]
async fn the_definition_of_every_marking_used_comes_along() {
    let site = Site::new().await;
    let token = site.reader().await;
    let marked = |n: u32, tlp: Tlp| Put { tlp, refs: vec![tlp.marking_id().to_owned()], ..Put::indicator(n) };
    site.put(&[marked(1, Tlp::Amber), marked(2, Tlp::Green), marked(3, Tlp::Amber)]).await;
    let definitions = async |query: &str| {
        let page = site.get(&token, &format!("{COLLECTION}/objects/{query}")).await.ok();
        let objects = page["objects"].as_array().cloned().unwrap_or_default();
        let ids = objects.iter().filter(|o| o["type"] == "marking-definition").map(|o| o["id"].clone());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(definitions("").await, [Tlp::Green.marking_id(), Tlp::Amber.marking_id()]);
    assert_eq!(definitions("?limit=1").await, [Tlp::Amber.marking_id()]);
    assert_eq!(definitions("?match[type]=indicator").await, [Value::Null; 0], "filters exclude them");
    assert_eq!(definitions(&format!("{}/", id("indicator", 2))).await, [Value::Null; 0]);
    let manifest = site.get(&token, &format!("{COLLECTION}/manifest/")).await.ok();
    assert_eq!(manifest["objects"].as_array().unwrap().len(), 3, "they are no rows of the collection");
}

#[tokio::test]
async fn the_claim_shown_is_the_first_and_anothers_version_does_not_displace_it() {
    let site = Site::new().await;
    let token = site.reader().await;
    let early = Timestamp::from_micros(1_700_000_000_000_000);
    let mine = Put { created: Some(crate::clock::now()), ..Put::indicator(1).version(V1) };
    // Backdated by years: it may not take the id over, and its newer version is not "the last".
    let theirs = Put { member: OTHER, created: Some(early), ..Put::indicator(1).version(V3) };
    site.put(&[mine, theirs]).await;
    assert_eq!(found(&site, &token, "match[version]=all").await, ["in1@01"]);
    let rest = site.get(&token, &format!("/api/v1/objects/{}", id("indicator", 1))).await.ok();
    let members: Vec<&Value> = rest["objects"].as_array().unwrap().iter().map(|o| &o["member"]).collect();
    assert_eq!(members, [&json!(OWN), &json!(OTHER)], "every claim is kept and told by REST");
}

#[tokio::test]
async fn what_is_expired_comes_where_it_is_asked_for_or_had_another_version() {
    let site = Site::new().await;
    let token = site.reader().await;
    let of = |n: u32, more: &Value| Put::pattern(n, &format!("[domain-name:value = 'd{n}.be']"), more);
    let over = json!({ "valid_from": "2025-01-01T00:00:00Z", "valid_until": "2025-02-01T00:00:00Z" });
    let mut ended = over.clone();
    ended["modified"] = json!(V2);
    let none = json!({});
    site.put(&[
        of(1, &over),
        of(2, &none),
        of(3, &none),
        of(3, &ended),
        of(4, &json!({ "valid_until": "2199-01-01T00:00:00Z" })),
    ])
    .await;
    let by_id = format!("match[id]={}", id("indicator", 1));
    for (query, expected) in [
        ("", vec!["in2@01", "in3@02", "in4@01"]),
        ("match[version]=last", vec!["in2@01", "in3@02", "in4@01"]),
        ("match[type]=indicator", vec!["in2@01", "in3@02", "in4@01"]),
        ("x_belfry_expired=true", vec!["in1@01", "in2@01", "in3@02", "in4@01"]),
        ("match[version]=all", vec!["in1@01", "in2@01", "in3@01", "in3@02", "in4@01"]),
        (by_id.as_str(), vec!["in1@01"]),
    ] {
        assert_eq!(found(&site, &token, query).await, expected, "{query}");
    }
    let path = format!("{COLLECTION}/objects/");
    assert_eq!(site.all(&token, &path, 1).await, [2, 3, 4].map(|n| id("indicator", n)));
    let refused = site.get(&token, &format!("{path}?x_belfry_expired=perhaps")).await;
    assert_eq!(refused.status, 400);
    let next = site.get(&token, &format!("{path}?limit=1")).await.ok()["next"].as_str().unwrap().to_owned();
    let other = site.get(&token, &format!("{path}?limit=1&x_belfry_expired=true&next={next}")).await;
    assert_eq!(other.status, 400, "a cursor of other filters");
    // A person who looks sees all.
    let rest = site.get(&token, "/api/v1/objects?group=cidr").await.ok();
    assert_eq!(rest["objects"].as_array().unwrap().len(), 4);
    // Whoever had a version that is gone meets the one in its place, over or not.
    let first = Put { is_sealed: true, ..of(5, &none) };
    let (member, first) = (first.member, site.put(&[first]).await);
    site.put(&[of(5, &ended)]).await;
    site.withdraw(CIDR, member, WithdrawalMode::Retract, first).await;
    assert_eq!(found(&site, &token, "").await.last().map(String::as_str), Some("in5@02"));
}

#[tokio::test]
async fn a_version_above_the_ceiling_hides_nothing_below_it() {
    let site = Site::new().await;
    let token = site.reader().await;
    let red = Put { tlp: Tlp::Red, recipients: true, ..Put::indicator(1).version(V2) };
    site.put(&[Put::indicator(1).version(V1), red]).await;
    assert_eq!(found(&site, &token, "").await, ["in1@01"]);
    let path = format!("{COLLECTION}/objects/{}/versions/", id("indicator", 1));
    assert_eq!(site.get(&token, &path).await.ok(), json!({"more": false, "versions": [V1]}));
    let only_red = Put { tlp: Tlp::Red, recipients: true, ..Put::indicator(9) };
    site.put(&[only_red]).await;
    let path = format!("{COLLECTION}/objects/{}/", id("indicator", 9));
    assert_eq!(site.get(&token, &path).await.status, 404, "not there, for this token");
}
