//! What others wrote, taken in: held, looked at, released or discarded, and never twice.

use serde_json::{Value, json};

use super::{
    coalition::{CIDR, CLOUD},
    site::{Answer, Site, get, nothing, only, post},
};
use crate::query::{Groups, Scope};

const IMPORT: &str = "/api/v1/import?group=cidr&tlp=amber";
const TABLE: &str = "value,type\nevil.example,domain\n198.51.100.7,ip\nbroken,sha256\n";

async fn analyst(site: &Site) -> String {
    site.token("analyst", Scope { read: only(&[CIDR]), publish: only(&[CIDR]), ..nothing() }).await
}

async fn import(site: &Site, token: &str, path: &str, body: &str) -> Answer {
    site.send(post(token, path, "application/octet-stream", body.to_owned())).await
}

async fn delete(site: &Site, token: &str, path: &str) -> Answer {
    let request = get(path).method("DELETE").header("authorization", format!("Bearer {token}"));
    site.send(request.body(axum::body::Body::empty()).unwrap()).await
}

fn drafts(answer: &Value) -> usize {
    answer["drafts"].as_array().unwrap().len()
}

#[tokio::test]
async fn an_import_is_held_until_a_person_releases_it() {
    let site = Site::new().await;
    let token = analyst(&site).await;
    let answer = import(&site, &token, &format!("{IMPORT}&name=iocs.csv"), TABLE).await;
    assert_eq!(answer.status, 202, "{}", answer.json());
    let told = answer.json();
    assert_eq!((told["format"].as_str(), told["objects"]["indicator"].as_u64()), (Some("csv"), Some(2)));
    assert_eq!(told["skipped"], json!([{"at": "line 4", "why": "is not a value of its type, sha256"}]));
    assert_eq!((told["held"].as_bool(), told["duplicate"].as_bool()), (Some(true), Some(false)));
    assert_eq!(site.store.queued(10).unwrap(), [], "nothing leaves by itself");
    let id = told["publication"].as_str().unwrap();
    let shown = site.get(&token, &format!("/api/v1/drafts/{id}")).await.ok();
    assert_eq!((shown["tlp"].as_str(), shown["content"].as_array().unwrap().len()), (Some("amber"), 6));
    assert_eq!(site.get(&token, &format!("/api/v1/publications/{id}")).await.ok()["state"], "held");
    let release = format!("/api/v1/drafts/{id}/release");
    assert_eq!(import(&site, &token, &release, "").await.status, 202);
    assert_eq!(site.store.queued(10).unwrap().len(), 1);
    assert_eq!(drafts(&site.get(&token, "/api/v1/drafts").await.ok()), 0);
    let again = import(&site, &token, &release, "").await;
    assert_eq!((again.status.as_u16(), again.code().as_str()), (409, "not-held"));
}

#[tokio::test]
async fn the_same_file_again_is_nothing_new_until_its_draft_is_discarded() {
    let site = Site::new().await;
    let token = analyst(&site).await;
    let take = async |path: &str| import(&site, &token, path, TABLE).await.json();
    let path = format!("{IMPORT}&format=csv");
    let first = take(&path).await;
    let second = take(&path).await;
    assert_eq!((second["duplicate"].as_bool(), &second["publication"]), (Some(true), &first["publication"]));
    assert_eq!(
        take(&format!("{path}&purpose=research")).await["duplicate"],
        false,
        "said otherwise, it is another one"
    );
    assert_eq!(drafts(&site.get(&token, "/api/v1/drafts").await.ok()), 2);
    let id = first["publication"].as_str().unwrap();
    assert_eq!(delete(&site, &token, &format!("/api/v1/drafts/{id}")).await.status, 204);
    assert_eq!(site.get(&token, &format!("/api/v1/publications/{id}")).await.ok()["state"], "refused");
    assert_eq!(take(&path).await["duplicate"], false);
}

#[tokio::test]
async fn a_token_that_only_drafts_publishes_nothing_by_any_way() {
    let site = Site::new().await;
    let (machine, analyst) =
        (site.token("feed", Scope { draft: only(&[CIDR]), ..nothing() }).await, analyst(&site).await);
    let object = json!({"type": "campaign", "spec_version": "2.1", "id": "campaign--00000000-0000-4000-8000-000000000001",
        "created": "2026-01-01T00:00:00.000Z", "modified": "2026-01-01T00:00:00.000Z", "name": "c"});
    let bundle =
        json!({"type": "bundle", "id": "bundle--00000000-0000-4000-8000-000000000001", "objects": [object]});
    let ways = [
        (format!("{IMPORT}&publish=true"), "application/octet-stream", "evil[.]example".to_owned()),
        (
            "/api/v1/publications?group=cidr".to_owned(),
            "application/stix+json;version=2.1",
            bundle.to_string(),
        ),
        (
            "/taxii2/root/collections/cidr/objects/".to_owned(),
            "application/taxii+json;version=2.1",
            json!({ "objects": [object] }).to_string(),
        ),
    ];
    for (path, kind, body) in ways {
        let answer = site.send(post(&machine, &path, kind, body)).await;
        assert_eq!(answer.status, 202, "{path}: {}", answer.json());
    }
    assert_eq!(site.store.queued(10).unwrap(), []);
    let listed = site.get(&analyst, "/api/v1/drafts").await.ok();
    assert_eq!(drafts(&listed), 3);
    let id = listed["drafts"][0]["draft"].as_str().unwrap();
    for path in [format!("/api/v1/drafts/{id}"), format!("/api/v1/drafts/{id}/release")] {
        let answer = match path.ends_with("release") {
            true => import(&site, &machine, &path, "").await,
            false => site.get(&machine, &path).await,
        };
        assert_eq!(answer.status, 404, "{path}");
    }
    assert_eq!(drafts(&site.get(&machine, "/api/v1/drafts").await.ok()), 0);
    let elsewhere = import(&site, &machine, "/api/v1/import?group=cloud-security", "evil[.]example").await;
    assert_eq!(elsewhere.status, 403);
    let withdraw = r#"{"group":"cidr","mode":"retract","messages":[]}"#;
    assert_eq!(
        site.send(post(&machine, "/api/v1/withdrawals", "application/json", withdraw)).await.status,
        403
    );
}

#[tokio::test]
async fn a_draft_with_an_objection_waits_for_a_reason_and_one_with_a_card_number_is_not_kept() {
    let site = Site::new().await;
    let token = analyst(&site).await;
    let mail = "From: <jan@evil.example>\nSubject: x\n\nhxxp://evil[.]example/";
    let held = import(&site, &token, IMPORT, mail).await;
    assert_eq!(held.status, 202, "{}", held.json());
    let id = held.json()["publication"].as_str().unwrap().to_owned();
    let shown = site.get(&token, &format!("/api/v1/drafts/{id}")).await.ok();
    assert!(shown["objections"].as_array().unwrap().iter().any(|o| o["guard"] == "personal-data"), "{shown}");
    let release = format!("/api/v1/drafts/{id}/release");
    let refused = import(&site, &token, &release, "").await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (422, "reason-needed"));
    assert_eq!(site.store.queued(10).unwrap(), []);
    assert_eq!(import(&site, &token, &format!("{release}?reason=the+phisher"), "").await.status, 202);
    let table = "value,description\nevil.example,card 4111 1111 1111 1111\n";
    let refused = import(&site, &token, &format!("{IMPORT}&format=csv"), table).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (422, "guard-refused"));
    assert_eq!(drafts(&site.get(&token, "/api/v1/drafts").await.ok()), 0);
}

#[tokio::test]
async fn a_dry_run_keeps_nothing_and_a_broken_file_is_told_where() {
    let site = Site::new().await;
    let token = analyst(&site).await;
    let told = import(&site, &token, &format!("{IMPORT}&format=csv&dry_run=true"), TABLE).await.ok();
    assert_eq!(
        (told["objects"]["indicator"].as_u64(), told["preview"]["tlp"].as_str()),
        (Some(2), Some("amber"))
    );
    for (format, body, said) in [
        ("csv", "value,tlp\nevil.example,pink\n", "line 2: tlp cannot be read"),
        ("misp", "{\"Event\":{\"uuid\":\"x\"}}", "Event.uuid must be a UUID"),
        ("stix", "{\"type\":\"bundle\"}", "id of the bundle"),
        ("text", "nothing here", "holds nothing to share"),
    ] {
        let answer = import(&site, &token, &format!("{IMPORT}&format={format}"), body).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (422, "bad-import"), "{format}");
        assert!(answer.json()["detail"].as_str().unwrap().contains(said), "{format}: {}", answer.json());
    }
    assert_eq!(drafts(&site.get(&token, "/api/v1/drafts").await.ok()), 0);
}

#[tokio::test]
async fn drafts_of_other_groups_and_above_the_ceiling_stay_closed() {
    let site = Site::new().await;
    let token = analyst(&site).await;
    let held =
        import(&site, &token, "/api/v1/import?group=cidr&tlp=amber%2Bstrict", "evil[.]example").await.json();
    let path = format!("/api/v1/drafts/{}", held["publication"].as_str().unwrap());
    let elsewhere = site.token("cloud", Scope { publish: only(&[CLOUD]), ..nothing() }).await;
    assert_eq!(site.get(&elsewhere, &path).await.status, 404);
    let low = Scope {
        read: Groups::All,
        publish: Groups::All,
        ceiling: belfry_proto::stix::marking::Tlp::Green,
        ..nothing()
    };
    let low = site.token("low", low).await;
    assert_eq!(site.get(&low, &path).await.ok()["content"], json!([]));
}

#[tokio::test]
async fn a_dry_run_tells_what_each_list_would_reach() {
    let site = Site::new().await;
    let token = analyst(&site).await;
    let known = "[ipv4-addr:value = '198.51.101.9']";
    site.put(&[super::site::Put::pattern(1, known, &json!({}))]).await;
    // One is known, one on a list of special ranges, one a domain, which the firewall's list is not of.
    let table = "value,type\n45.155.1.1,ip\n198.51.101.9,ip\n10.0.0.1,ip\nevil.be,domain\n";
    let path = format!("{IMPORT}&name=iocs.csv&dry_run=true");
    let told = import(&site, &token, &path, table).await.ok();
    let lists = told["preview"]["exports"].as_array().unwrap();
    let reach = |name: &str| {
        let list = lists.iter().find(|list| list["export"] == name).unwrap();
        (list["entries"].as_u64().unwrap(), list["would_reach"].as_u64().unwrap())
    };
    assert_eq!((reach("firewall"), reach("misp")), ((1, 2), (1, 3)), "{told}");
    // What is known of the lists is enough for the next one, and nothing is made.
    let _busy = site.app.exports.without_room();
    assert_eq!(
        import(&site, &token, &path, table).await.ok()["preview"]["exports"],
        told["preview"]["exports"]
    );
}

#[tokio::test]
async fn a_dry_run_counts_for_a_list_what_would_stand_in_it_and_nothing_else() {
    let profiles = ["stix", "rules", "list"].map(|format| {
        let groups = "groups = [\"cidr\"]";
        format!("[[exports]]\nname = \"{format}\"\nformat = \"{format}\"\n{groups}\n")
    });
    let blocking =
        "[[exports]]\nname = \"block\"\nformat = \"stix\"\ngroups = [\"cidr\"]\naction = \"block\"\n";
    let site = Site::exporting(&(profiles.concat() + blocking)).await;
    let token = analyst(&site).await;
    let put = |n, pattern: &str, more: Value| super::site::Put::pattern(n, pattern, &more);
    let over = || json!({ "valid_from": "2025-01-01T00:00:00Z", "valid_until": "2025-02-01T00:00:00Z" });
    let sigma = "title: x\nlogsource:\n  product: windows\ndetection:\n  a:\n    b: c\n  condition: a\n";
    let rule = |n, text: &str| put(n, text, json!({ "pattern_type": "sigma" }));
    // One names no value, one names one that no indicator in force does, and one is a rule.
    let [process, address] = ["[process:command_line = 'evil']", "[ipv4-addr:value = '45.155.1.1']"];
    let standing = put(1, process, json!({}));
    site.put(&[standing.clone(), put(2, address, over()), rule(3, sigma)]).await;
    let objects: Vec<Value> = [
        standing,
        put(4, process, json!({})),
        put(5, address, json!({})),
        put(6, "[domain-name:value LIKE '%.own.be']", json!({})),
        rule(3, sigma),
        rule(7, sigma),
        rule(8, "title: no detection\n"),
    ]
    .into_iter()
    .filter_map(|put| put.json)
    .collect();
    let bundle =
        json!({ "type": "bundle", "id": "bundle--00000000-0000-4000-8000-000000000001", "objects": objects });
    let path = "/api/v1/previews?group=cidr&tlp=amber";
    let answer = site.send(post(&token, path, "application/stix+json;version=2.1", bundle.to_string())).await;
    let told = answer.ok();
    let lists: std::collections::BTreeMap<&str, (u64, u64)> = told["exports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|list| {
            let count = |name: &str| list[name].as_u64().unwrap();
            (list["export"].as_str().unwrap(), (count("entries"), count("would_reach")))
        })
        .collect();
    let expected = [("block", (0, 1)), ("list", (0, 1)), ("rules", (1, 2)), ("stix", (1, 3))];
    assert_eq!(lists, std::collections::BTreeMap::from(expected), "{told}");
    // As it is counted once it stands there.
    site.put(&[put(4, process, json!({})), put(5, address, json!({})), rule(7, sigma)]).await;
    for (name, (_, reach)) in expected {
        let report = site.get(&token, &format!("/api/v1/exports/{name}/report")).await.ok();
        assert_eq!(report["entries"], reach, "{name}");
    }
}

#[tokio::test]
async fn drafts_are_listed_by_pages_that_hold_each_once() {
    let site = Site::new().await;
    let token = analyst(&site).await;
    let mut made = Vec::new();
    for n in 0..5 {
        let told = import(&site, &token, IMPORT, &format!("evil{n}[.]example")).await.json();
        made.push(told["publication"].clone());
    }
    let page = async |asked: String| site.get(&token, &format!("/api/v1/drafts?limit=2{asked}")).await.ok();
    let ids = |page: &Value| {
        page["drafts"].as_array().unwrap().iter().map(|one| one["draft"].clone()).collect::<Vec<_>>()
    };
    let first = page(String::new()).await;
    assert_eq!(ids(&first), made[..2]);
    // The last one seen is decided before the next page is asked for.
    let gone = format!("/api/v1/drafts/{}", made[1].as_str().unwrap());
    assert_eq!(delete(&site, &token, &gone).await.status, 204);
    let second = page(format!("&next={}", first["next"].as_str().unwrap())).await;
    assert_eq!(ids(&second), made[2..4]);
    let third = page(format!("&next={}", second["next"].as_str().unwrap())).await;
    assert_eq!((ids(&third), third.get("next")), (made[4..].to_vec(), None));
    let wrong = site.get(&token, "/api/v1/drafts?next=AAAA").await;
    assert_eq!((wrong.status.as_u16(), wrong.code().as_str()), (400, "bad-parameter"));
}
