//! Lookup between organisations, by the command line and over HTTP.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::fs;

use belfry_tests::process::{Coalition, Role, eventually, http};
use serde_json::{Value, json};

fn bundle(objects: &[Value]) -> String {
    json!({ "type": "bundle", "id": "bundle--00000000-0000-4000-8000-000000000001", "objects": objects })
        .to_string()
}

fn indicator(n: u32, pattern: &str) -> Value {
    json!({
        "type": "indicator", "spec_version": "2.1", "id": format!("indicator--00000000-0000-4000-8000-{n:012x}"),
        "created": "2026-11-01T08:00:00.000Z", "modified": "2026-11-01T08:00:00.000Z", "name": format!("bad {n}"),
        "pattern": pattern, "pattern_type": "stix", "valid_from": "2026-11-01T08:00:00Z",
    })
}

#[test]
fn a_value_two_members_report_is_found_at_a_third_in_any_spelling() {
    let coalition = Coalition::found("Lookup");
    let members =
        coalition.running(&[("alice", Role::Publisher), ("bob", Role::Publisher), ("carol", Role::Reader)]);
    let [alice, bob, carol] = &members[..] else { panic!() };
    let of = |n: u32, name: &str| {
        let path = coalition.path(name);
        fs::write(
            &path,
            bundle(&[
                indicator(n, "[url:value = 'http://evil.example/a']"),
                indicator(n + 10, "[ipv4-addr:value = '198.51.100.7']"),
            ]),
        )
        .unwrap();
        path.to_str().unwrap().to_owned()
    };
    alice.ok(&["publish", &of(1, "a.json"), "--group", "cidr", "--tlp", "amber", "--wait"]);
    bob.ok(&["publish", &of(2, "b.json"), "--group", "cidr", "--tlp", "amber+strict", "--wait"]);
    let found: Value = eventually("carol finds what both reported", || {
        let out = carol.ok(&["lookup", "hxxp://EVIL[.]example/a", "--json"]);
        let found: Value = serde_json::from_str(&out).unwrap();
        (found["corroboration"] == 2).then_some(found)
    });
    assert_eq!(found["normalised"], "http://evil.example/a");
    let told = carol.ok(&["lookup", "http://evil.example/a"]);
    // In the order in which they came.
    let by_both = told.contains("alice, bob") || told.contains("bob, alice");
    assert!(by_both && told.contains("active"), "{told}");
    let around = carol.ok(&["lookup", "--around", "198.51.100.0/24", "evil.example"]);
    assert!(around.lines().skip(1).all(|line| line.contains("active")), "{around}");
    assert!(carol.ok(&["lookup", "good.example"]).contains("unknown"));
    // By markings: a token up to AMBER knows of Alice alone.
    let token = carol.token("siem", &["--read", "cidr", "--max-tlp", "amber"]);
    let question = json!({ "values": ["http://evil.example/a"] }).to_string();
    let answer =
        http::post(&carol.api(), "/api/v1/lookup", &token, "application/json", question.as_bytes()).json();
    assert_eq!(answer["results"][0]["corroboration"], 1);
    assert!(!answer.to_string().contains("bob"), "{answer}");
    let refused = carol.run(&["lookup", "a.example", "--group", "hospitals-of-nowhere"]);
    assert_eq!(refused.code, 3, "{}", refused.stderr);
}
