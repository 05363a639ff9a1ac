//! Lookup: what is found, how it is counted, and what a token never learns by it.

mod together;

use std::time::Duration;

use axum::http::header;
use belfry_proto::{
    id::MemberId,
    stix::{indicator::expiry, marking::Tlp},
};
use serde_json::{Value, json};

use super::{
    coalition::{CIDR, CLOUD, OTHER, OWN},
    site::{Put, Site, get, nothing, only, post, recently},
};
use crate::{clock, query::Scope, store::Conditions};

const JSON: &str = "application/json";

impl Site {
    async fn look_up(&self, token: &str, question: Value) -> Vec<Value> {
        let answer = self.send(post(token, "/api/v1/lookup", JSON, question.to_string())).await.ok();
        answer["results"].as_array().unwrap().clone()
    }

    async fn find(&self, token: &str, value: &str) -> Value {
        self.look_up(token, json!({ "values": [value] })).await.remove(0)
    }

    async fn around(&self, token: &str, value: &str) -> Value {
        self.look_up(token, json!({ "values": [value], "around": true })).await.remove(0)
    }
}

fn matched(found: &Value) -> Vec<String> {
    let objects = found["objects"].as_array().unwrap().iter();
    let mut all: Vec<String> = objects
        .flat_map(|o| o["matched"].as_array().cloned().unwrap_or_default())
        .map(|v| v.as_str().unwrap().to_owned())
        .collect();
    all.sort();
    all
}

pub(super) fn sighting(n: u32, of: &str, count: u32) -> Put {
    Put::json(json!({
        "type": "sighting", "spec_version": "2.1", "id": format!("sighting--00000000-0000-4000-8000-{n:012x}"),
        "created": "2026-01-01T00:00:00.000Z", "modified": "2026-01-01T00:00:00.000Z",
        "sighting_of_ref": of, "count": count, "last_seen": recently(),
    }))
}

pub(super) fn opinion(n: u32, on: &str, word: &str) -> Put {
    Put::json(json!({
        "type": "opinion", "spec_version": "2.1", "id": format!("opinion--00000000-0000-4000-8000-{n:012x}"),
        "created": "2026-01-01T00:00:00.000Z", "modified": "2026-01-01T00:00:00.000Z",
        "opinion": word, "object_refs": [on],
    }))
}

#[tokio::test]
async fn every_spelling_finds_and_what_nobody_named_is_unknown() {
    let site = Site::new().await;
    let token = site.reader().await;
    site.put(&[Put::pattern(1, "[url:value = 'http://evil.example/a']", &json!({}))]).await;
    for text in ["http://evil.example/a", "hxxp://EVIL[.]example:80/a"] {
        let found = site.find(&token, text).await;
        assert_eq!(
            (&found["state"], &found["normalised"], &found["value"]),
            (&json!("active"), &json!("http://evil.example/a"), &json!(text))
        );
        assert_eq!((&found["corroboration"], &found["objects"][0]["name"]), (&json!(1), &json!("bad 1")));
        assert!(found["score"].as_u64().unwrap() > 50, "{found}");
    }
    let missed = site.find(&token, "http://evil.example/b").await;
    assert_eq!((&missed["state"], &missed["score"]), (&json!("unknown"), &json!(0)));
    let odd = site.find(&token, "no such thing").await;
    assert!(odd["error"].as_str().unwrap().contains("a type helps"), "{odd}");
    let typed = json!({ "values": [{ "type": "file-name", "value": "no such thing" }] });
    assert_eq!(site.look_up(&token, typed).await[0]["type"], "file-name");
}

#[tokio::test]
async fn a_host_with_its_port_finds_the_host() {
    let site = Site::new().await;
    let token = site.reader().await;
    site.put(&[
        Put::pattern(1, "[ipv4-addr:value = '203.0.113.7']", &json!({})),
        Put::pattern(2, "[domain-name:value = 'evil.example']", &json!({})),
    ])
    .await;
    for (text, host) in [("203[.]0[.]113[.]7:443", "203.0.113.7"), ("evil.example:8080", "evil.example")] {
        let found = site.find(&token, text).await;
        assert_eq!(
            (&found["state"], &found["normalised"], &found["value"]),
            (&json!("active"), &json!(host), &json!(text))
        );
    }
    let wanted =
        ["203.0.113.7:443", "evil.example:443"].map(|value| json!({ "type": "ipv4-addr", "value": value }));
    let found = site.look_up(&token, json!({ "values": wanted })).await;
    assert_eq!((&found[0]["state"], &found[1]["normalised"]), (&json!("active"), &json!(null)));
}

#[tokio::test]
async fn a_url_without_its_scheme_is_found_by_whichever_spelling_and_told_as_what_it_is_read_as() {
    let site = Site::new().await;
    let token = site.reader().await;
    site.put(&[
        Put::pattern(1, "[url:value = 'smallcloud.ga']", &json!({})),
        Put::pattern(2, "[url:value = 'evil.example/a']", &json!({})),
        Put::pattern(3, "[url:value = 'report.doc']", &json!({})),
    ])
    .await;
    for (kind, text, read) in [
        ("domain-name", "smallcloud[.]ga", "smallcloud.ga"),
        ("url", "evil[.]example/a", "http://evil.example/a"),
        ("url", "http://evil.example/a", "http://evil.example/a"),
    ] {
        let found = site.find(&token, text).await;
        assert_eq!(
            (&found["state"], &found["type"], &found["normalised"], &found["value"]),
            (&json!("active"), &json!(kind), &json!(read), &json!(text))
        );
    }
    let typed = ["smallcloud.ga", "report.doc"].map(|value| json!({ "type": "url", "value": value }));
    let found = site.look_up(&token, json!({ "values": typed })).await;
    assert_eq!((&found[0]["state"], &found[0]["type"]), (&json!("active"), &json!("domain-name")));
    assert!(found[1]["error"].as_str().unwrap().contains("no url"), "{}", found[1]);
}

#[tokio::test]
async fn a_range_finds_what_lies_in_it_and_an_address_the_ranges_around_it() {
    let site = Site::new().await;
    let token = site.reader().await;
    site.put(&[
        Put::pattern(1, "[ipv4-addr:value = '203.0.113.7']", &json!({})),
        Put::pattern(2, "[ipv4-addr:value ISSUBSET '203.0.113.0/28']", &json!({})),
        Put::pattern(3, "[url:value = 'http://203.0.113.9/x']", &json!({})),
        Put::pattern(4, "[ipv4-addr:value = '203.0.114.7']", &json!({})),
    ])
    .await;
    assert_eq!(matched(&site.find(&token, "203.0.113.7").await), ["203.0.113.0/28"]);
    assert_eq!(
        matched(&site.around(&token, "203.0.113.0/25").await),
        ["203.0.113.0/28", "203.0.113.7", "http://203.0.113.9/x"]
    );
    assert_eq!(matched(&site.around(&token, "203.0.0.0/16").await).len(), 4);
    assert_eq!(site.find(&token, "203.0.113.99").await["state"], "unknown");
    let wide = site.around(&token, "203.0.0.0/15").await;
    assert!(wide["error"].as_str().unwrap().contains("/16"), "{wide}");
}

#[tokio::test]
async fn a_domain_finds_what_lies_below_it_when_asked() {
    let site = Site::new().await;
    let token = site.reader().await;
    site.put(&[
        Put::pattern(1, "[domain-name:value = 'www.evil.co.uk']", &json!({})),
        Put::pattern(2, "[url:value = 'https://evil.co.uk/x']", &json!({})),
        Put::pattern(3, "[domain-name:value = 'notevil.co.uk']", &json!({})),
    ])
    .await;
    assert_eq!(site.find(&token, "evil.co.uk").await["state"], "unknown");
    assert_eq!(matched(&site.around(&token, "evil.co.uk").await), ["https://evil.co.uk/x", "www.evil.co.uk"]);
    let suffix = site.around(&token, "co.uk").await;
    assert!(
        suffix["error"].as_str().unwrap().contains("public suffix") && matched(&suffix).is_empty(),
        "{suffix}"
    );
}

#[tokio::test]
async fn members_are_counted_once_and_sightings_name_nobody() {
    let site = Site::new().await;
    let token = site.reader().await;
    let third = MemberId::new([3; 16]);
    let one = Put::pattern(1, "[domain-name:value = 'evil.be']", &json!({}));
    let alone = site.put(std::slice::from_ref(&one)).await;
    let before = site.find(&token, "evil.be").await["score"].as_u64().unwrap();
    site.put(&[
        Put::pattern(2, "[domain-name:value = 'evil.be']", &json!({})).by(OTHER),
        sighting(1, &one.id, 7).by(third),
        sighting(2, &one.id, 1).by(OTHER),
    ])
    .await;
    let found = site.find(&token, "evil.be").await;
    assert_eq!(found["corroboration"], 3, "{alone} {found}");
    assert_eq!((&found["sightings"]["count"], &found["sightings"]["members"]), (&json!(8), &json!(2)));
    assert_eq!(found["reported_by"].as_array().unwrap().len(), 2);
    assert!(!found.to_string().contains(&third.to_string()), "{found}");
    assert!(found["score"].as_u64().unwrap() > before);
}

#[tokio::test]
async fn what_files_of_one_id_say_is_found_of_each() {
    let site = Site::new().await;
    let token = site.reader().await;
    // As STIX makes ids of files: of the first hash alone.
    let file = |more: (&str, String)| {
        Put::json(json!({
            "type": "file", "spec_version": "2.1", "id": "file--00000000-0000-5000-8000-000000000001",
            "hashes": { "MD5": "ab".repeat(16), more.0: more.1 },
        }))
    };
    site.put(&[file(("SHA-256", "cd".repeat(32)))]).await;
    site.put(&[file(("SHA-512", "01".repeat(64))).by(OTHER)]).await;
    for (value, members) in [("ab".repeat(16), 2), ("cd".repeat(32), 1), ("01".repeat(64), 1)] {
        let found = site.find(&token, &value).await;
        assert_eq!(
            (&found["state"], &found["corroboration"]),
            (&json!("observed"), &json!(members)),
            "{value}"
        );
    }
}

#[tokio::test]
async fn false_positives_lower_the_score_and_contest() {
    let site = Site::new().await;
    let token = site.reader().await;
    let one = Put::pattern(1, "[domain-name:value = 'evil.be']", &json!({}));
    site.put(std::slice::from_ref(&one)).await;
    let before = site.find(&token, "evil.be").await["score"].as_u64().unwrap();
    let doubt = opinion(1, &one.id, "strongly-disagree").by(OTHER);
    site.put(std::slice::from_ref(&doubt)).await;
    let found = site.find(&token, "evil.be").await;
    assert_eq!((&found["contested"], &found["opinions"]), (&json!(true), &json!({ "strongly-disagree": 1 })));
    assert!(found["score"].as_u64().unwrap() <= before / 2 + 1);
    // One member has one opinion, its newest.
    let mut better = doubt.json.clone().unwrap();
    better["modified"] = json!("2026-02-01T00:00:00.000Z");
    better["opinion"] = json!("agree");
    site.put(&[Put::json(better).by(OTHER)]).await;
    let found = site.find(&token, "evil.be").await;
    assert_eq!((&found["contested"], &found["opinions"]), (&json!(false), &json!({ "agree": 1 })));
    assert_eq!(found["score"], before);
}

#[tokio::test]
async fn who_must_not_be_named_is_counted_and_not_named() {
    let site = Site::new().await;
    let token = site.reader().await;
    let terms = Conditions { terms: vec!["attribution=must-not".to_owned()], ..Conditions::default() };
    let one = Put::pattern(1, "[domain-name:value = 'evil.be']", &json!({}));
    let hushed = Put { conditions: terms, ..one.by(OTHER) };
    site.put(std::slice::from_ref(&hushed)).await;
    let found = site.find(&token, "evil.be").await;
    assert_eq!((&found["corroboration"], &found["reported_by"]), (&json!(1), &json!([])), "{found}");
    assert_eq!((&found["objects"][0]["member"], &found["state"]), (&Value::Null, &json!("active")));
    assert!(!found.to_string().contains(&OTHER.to_string()), "{found}");
    // As a reporter of what another says, too.
    let again = Put::pattern(2, "[domain-name:value = 'worse.be']", &json!({}));
    site.put(&[again.clone(), Put { conditions: hushed.conditions, ..again.clone().by(OTHER) }]).await;
    let found = site.find(&token, "worse.be").await;
    assert_eq!(found["corroboration"], 2, "{found}");
    assert!(!found.to_string().contains(&OTHER.to_string()), "{found}");
    let objects = site.get(&token, &format!("/api/v1/objects?group=cidr&id={}", again.id)).await.ok();
    assert_eq!(objects["objects"][0]["reporters"], json!([]), "{objects}");
}

#[tokio::test]
async fn a_flood_by_one_member_hides_nobody_elses_word() {
    let site = Site::new().await;
    let token = site.reader().await;
    let third = MemberId::new([3; 16]);
    let one = Put::pattern(1, "[domain-name:value = 'evil.be']", &json!({}));
    let doubt = opinion(1, &one.id, "strongly-disagree").by(third);
    site.put(&[one.clone(), doubt, sighting(1, &one.id, 7).by(third)]).await;
    let flood = |n: u32| {
        let named = Put::pattern(1_000 + n, "[domain-name:value = 'evil.be']", &json!({}));
        [named, opinion(1_000 + n, &one.id, "strongly-agree"), sighting(1_000 + n, &one.id, 1)]
    };
    let flood: Vec<Put> = (0..1_100).flat_map(flood).map(|put| put.by(OTHER)).collect();
    for part in flood.chunks(300) {
        site.message(CIDR, OTHER, part).await;
    }
    let found = site.find(&token, "evil.be").await;
    assert_eq!(found["more"], true);
    let opinions = json!({ "strongly-agree": 1, "strongly-disagree": 1 });
    assert_eq!((&found["opinions"], &found["sightings"]["members"]), (&opinions, &json!(2)), "{found}");
    assert!(found["reported_by"].as_array().unwrap().len() == 2, "{}", found["reported_by"]);
}

#[tokio::test]
async fn what_a_token_may_not_read_is_neither_shown_nor_counted() {
    let site = Site::new().await;
    let one = Put::pattern(1, "[domain-name:value = 'evil.be']", &json!({}));
    site.put(&[
        one.clone().tlp(Tlp::Green),
        Put::pattern(2, "[domain-name:value = 'evil.be']", &json!({})).by(OTHER).tlp(Tlp::AmberStrict),
        sighting(1, &one.id, 5).by(OTHER).tlp(Tlp::Amber),
        Put { group: CLOUD, ..Put::pattern(3, "[domain-name:value = 'evil.be']", &json!({})).by(OTHER) },
        Put::pattern(4, "[domain-name:value = 'red.be']", &json!({})).tlp(Tlp::Red),
    ])
    .await;
    let green = site.token("green", Scope { read: only(&[CIDR]), ceiling: Tlp::Green, ..nothing() }).await;
    let found = site.find(&green, "evil.be").await;
    assert_eq!((&found["corroboration"], &found["sightings"]["count"]), (&json!(1), &json!(0)));
    assert_eq!(found["objects"].as_array().unwrap().len(), 1);
    let reader = site.reader().await;
    assert_eq!(site.find(&reader, "evil.be").await["objects"].as_array().unwrap().len(), 3);
    assert_eq!(site.find(&reader, "red.be").await["state"], "unknown");
    let refused =
        site.send(post(&green, "/api/v1/lookup", JSON, r#"{"values":[],"groups":["cloud-security"]}"#)).await;
    assert_eq!(refused.status, 403);
}

#[tokio::test]
async fn only_the_version_in_force_speaks() {
    let site = Site::new().await;
    let token = site.reader().await;
    let newer = json!({ "modified": "2026-02-01T00:00:00.000Z" });
    site.put(&[
        Put::pattern(1, "[domain-name:value = 'first.be']", &json!({})),
        Put::pattern(1, "[domain-name:value = 'second.be']", &newer),
    ])
    .await;
    assert_eq!(site.find(&token, "first.be").await["state"], "unknown");
    assert_eq!(site.find(&token, "second.be").await["state"], "active");
    let taken_back = json!({ "modified": "2026-03-01T00:00:00.000Z", "revoked": true });
    site.put(&[Put::pattern(1, "[domain-name:value = 'second.be']", &taken_back)]).await;
    let found = site.find(&token, "second.be").await;
    assert_eq!((&found["state"], &found["score"]), (&json!("revoked"), &json!(0)));
    let ended = json!({ "valid_from": "2025-01-01T00:00:00Z", "valid_until": "2025-02-01T00:00:00Z" });
    site.put(&[Put::pattern(2, "[domain-name:value = 'third.be']", &ended)]).await;
    assert_eq!(site.find(&token, "third.be").await["state"], "expired");
}

#[tokio::test]
async fn warning_lists_and_the_allow_list_are_told() {
    let site = Site::exporting("[lists]\nallow = [\"own.be\"]\n").await;
    let token = site.reader().await;
    let found = site.find(&token, "8.8.8.8").await;
    assert_eq!(found["warnings"][0]["level"], "block");
    assert_eq!(site.find(&token, "www.own.be").await["allowed"], true);
}

#[tokio::test]
async fn ten_thousand_values_come_back_in_order_and_one_more_is_refused() {
    let site = Site::new().await;
    let token = site.reader().await;
    site.put(&[Put::pattern(1, "[domain-name:value = 'h9999.evil.be']", &json!({}))]).await;
    let values: Vec<String> = (0..10_000).map(|n| format!("h{n}.evil.be")).collect();
    let question = json!({ "values": values }).to_string();
    let mut request = post(&token, "/api/v1/lookup", JSON, question);
    request.headers_mut().insert(header::ACCEPT, "application/x-ndjson".parse().unwrap());
    let answer = site.send(request).await;
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    let lines: Vec<Value> = answer
        .body
        .split(|b| *b == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert!(lines.iter().map(|line| line["value"].as_str().unwrap()).eq(values.iter().map(String::as_str)));
    assert_eq!(lines.last().unwrap()["state"], "active");
    let whole = site.look_up(&token, json!({ "values": values[..1_250] })).await;
    assert!(whole.iter().map(|found| found["value"].as_str().unwrap()).eq(&values[..1_250]));
    let more = json!({ "values": vec!["a.be"; 10_001] }).to_string();
    let refused = site.send(post(&token, "/api/v1/lookup", JSON, more)).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (422, "too-many-values"));
}

#[tokio::test]
async fn a_question_that_does_not_read_says_where() {
    let site = Site::new().await;
    let token = site.reader().await;
    for (body, status) in [
        ("{", 400),
        (r#"{"values":"a.be"}"#, 422),
        (r#"{"values":[],"extra":1}"#, 422),
        (r#"{"values":[{"type":"ip","value":"x"}]}"#, 422),
        (r#"{"values":[]}"#, 200),
    ] {
        let answer = site.send(post(&token, "/api/v1/lookup", JSON, body)).await;
        assert_eq!(answer.status, status, "{body}");
    }
    assert_eq!(site.send(post(&token, "/api/v1/lookup", "text/plain", "{}")).await.status, 415);
    assert_eq!(site.send(get("/api/v1/lookup").body("".into()).unwrap()).await.status, 401);
}

#[tokio::test]
async fn what_this_member_says_is_over_ends_here_and_what_others_say_is_only_told() {
    let site = Site::new().await;
    let token = site.reader().await;
    let of = |n: u32, name: &str| Put::pattern(n, &format!("[domain-name:value = '{name}']"), &json!({}));
    let an_hour_ago = clock::now().saturating_sub(Duration::from_secs(3600));
    let over = |n: u32, on: u32, by: MemberId| {
        let mut put = opinion(n, &of(on, "x").id, "neutral").by(by);
        let said = expiry(an_hour_ago);
        put.json.as_mut().unwrap().as_object_mut().unwrap().extend(said.as_object().cloned().unwrap());
        put
    };
    site.put(&[of(1, "ours.be").by(OTHER), of(2, "theirs.be"), over(11, 1, OWN), over(12, 2, OTHER)]).await;
    for (name, state) in [("ours.be", "expired"), ("theirs.be", "active")] {
        let found = site.find(&token, name).await;
        assert_eq!((&found["state"], &found["expired_by"]), (&json!(state), &json!(1)), "{name}");
        assert_eq!((&found["opinions"], &found["contested"]), (&json!({}), &json!(false)), "{name}");
    }
    // As a steward, for another member, it ends nothing here.
    let conditions = Conditions { on_behalf: true, ..Conditions::default() };
    site.put(&[of(3, "told.be").by(OTHER), Put { conditions, ..over(14, 3, OWN) }]).await;
    assert_eq!(site.find(&token, "told.be").await["state"], "active");
    // Whoever sees it afterwards brings it back; whoever will see it does not.
    for (n, seen, state) in [
        (15, clock::now().saturating_add(Duration::from_secs(3600)), "expired"),
        (13, clock::now(), "active"),
    ] {
        let id = if n == 15 { of(4, "x").id } else { of(1, "x").id };
        if n == 15 {
            site.put(&[of(4, "early.be").by(OTHER), over(16, 4, OWN)]).await;
        }
        let mut sighting = sighting(n, &id, 1).by(OTHER);
        sighting.json.as_mut().unwrap()["last_seen"] = json!(seen.to_string());
        site.put(&[sighting]).await;
        let name = if n == 15 { "early.be" } else { "ours.be" };
        assert_eq!(site.find(&token, name).await["state"], state, "{name}");
    }
}
