//! Commands that ask a running node: what they say, and how they refuse.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::fs;

use support::{Node, Site};

const ALICE: &str = "--config alice.toml";
const BUNDLE: &str = r#"{"type":"bundle","id":"bundle--5d0092c5-5f74-4287-9642-33f4c354e56d","objects":[
    {"type":"ipv4-addr","spec_version":"2.1","id":"ipv4-addr--12592121-be4c-5a93-a813-5a5af16e50db","value":"198.51.100.7"}]}"#;

/// Alice's node runs; `old.log` ends before `c.log`, which names bob.
fn running() -> (Site, Node) {
    let site = Site::new();
    site.coalition("c");
    site.enrol("alice", "c", "");
    site.issue("alice", "c", "");
    site.ok(&Site::join("alice", "c"));
    fs::copy(site.path("c.log"), site.path("old.log")).unwrap();
    site.enrol("bob", "c", "");
    site.issue("bob", "c", "");
    fs::write(site.path("bundle.json"), BUNDLE).unwrap();
    let node = site.start("alice");
    (site, node)
}

#[test]
fn importing_says_what_a_log_or_beacon_came_to() {
    let (site, _node) = running();
    let import = |file: &str| site.ok(&format!("import-log {file} {ALICE}"));
    assert!(import("old.log").contains("has the admin log at entry 1 already"));
    assert!(import("c.log").starts_with("Took entry 2 of"));
    assert!(import("old.log").starts_with("Nothing new: the file ends at entry 1"));
    site.ok("coalition beacon --out beacon.pem --dir c --passphrase-file passphrase");
    let said = import("beacon.pem");
    assert!(said.starts_with("The beacon vouches until 20") && said.contains("for entry 2"), "{said}");
    site.coalition("other");
    site.ok("coalition export --out other.log --dir other");
    site.refused(&format!("import-log other.log {ALICE}"), 3, "not ours");
}

#[test]
fn a_token_is_revoked_by_its_name_or_id() {
    let (site, _node) = running();
    let tokens = || site.ok(&format!("token list {ALICE}"));
    for name in ["siem", "soar"] {
        site.ok(&format!("token create --name {name} --read cidr {ALICE}"));
    }
    site.ok(&format!("token revoke siem {ALICE}"));
    assert!(!tokens().contains("siem"), "{}", tokens());
    let listed = tokens();
    let id = listed.lines().find(|line| line.contains("soar")).unwrap().split_whitespace().next().unwrap();
    site.ok(&format!("token revoke {id} {ALICE}"));
    assert!(!tokens().contains("soar"));
    site.refused(&format!("token revoke siem {ALICE}"), 3, "`belfry token list` shows them");
    site.refused(&format!("token revoke cli {ALICE}"), 3, "command line itself");
    let own = listed.lines().find(|line| line.contains(" cli ")).unwrap();
    assert!(
        own.ends_with("this command line") && listed.matches("this command line").count() == 1,
        "{listed}"
    );
}

#[test]
fn an_unknown_group_is_refused_with_those_of_this_node() {
    let (site, _node) = running();
    for command in [
        "objects --group nowhere",
        "publish bundle.json --group nowhere --tlp green",
        "token create --name x --read nowhere",
    ] {
        site.refused(&format!("{command} {ALICE}"), 3, "cidr");
        let refused = site.run(&format!("{command} {ALICE}")).stderr;
        assert!(!refused.contains("regulations-standardizations"), "{command}: {refused}");
    }
}

#[test]
fn a_publication_is_told_in_words_a_reader_knows() {
    let (site, _node) = running();
    let said = site.ok(&format!("publish bundle.json --group cidr --tlp green --idempotency-key k {ALICE}"));
    assert!(said.contains("1 object in 1 message") && said.starts_with("Safe on this node's disk"), "{said}");
    assert!(said.contains("\nTLP:GREEN to cidr: "), "{said}");
    let hint = said.lines().find_map(|line| line.split_once("belfry publication ")).unwrap().1;
    assert!(hint.ends_with(ALICE), "{said}");
    let followed = site.ok(&format!("publication {hint}"));
    assert!(
        followed.contains("waiting to be sent") || followed.contains("sent, but readable only here"),
        "{followed}"
    );
    let again = site.ok(&format!("publish bundle.json --group cidr --tlp green --idempotency-key k {ALICE}"));
    assert!(again.starts_with("Nothing new"), "{again}");
    for text in [&said, &followed, &again, &site.ok(&format!("status {ALICE}"))] {
        for jargon in ["flushed", "drafted", "parked"] {
            assert!(!text.contains(jargon), "{jargon}: {text}");
        }
    }
    site.refused(
        &format!("publish bundle.json --group cidr --tlp green --to nobody {ALICE}"),
        3,
        "belfry members",
    );
}

#[test]
fn a_recipient_is_the_member_with_a_valid_certificate_and_two_of_them_are_listed() {
    let (site, _node) = running();
    let decide = "--yes --dir c --passphrase-file passphrase";
    let bring = || {
        site.ok("coalition export --out c.log --dir c");
        site.ok(&format!("import-log c.log {ALICE}"));
    };
    let red = "publish bundle.json --group cidr --tlp red --to bob --config alice.toml";
    // A second bob beside the first: nobody can know which is meant.
    site.ok(
        "enroll --charter c/charter.pem --org Bob --class essential --groups cidr --accept-arrangement --accept-rules \
         --dir bob2 --out bob2.request --passphrase-file passphrase",
    );
    site.issue("bob2", "c", "");
    bring();
    site.refused(red, 3, "several members are called `bob`");
    site.refused(red, 3, "(certificate 2 valid) or ");
    site.refused(red, 3, "(certificate 3 valid)");
    // One of them left: the other is meant.
    site.ok(&format!("coalition revoke 2 --reason left {decide}"));
    bring();
    let said = site.ok(red);
    assert!(said.contains("TLP:RED to Bob alone, in cidr: "), "{said}");
    let json: serde_json::Value = serde_json::from_str(&site.ok(&format!("{red} --json"))).unwrap();
    assert_eq!((&json["tlp"], &json["audience"]), (&"red".into(), &"recipients".into()), "{json}");
    assert_eq!(json["recipients"][0]["organisation"], "Bob", "{json}");
    // Whom a cut shall end, is not guessed.
    site.refused(&format!("heads bob {ALICE}"), 3, "(certificate 2 revoked)");
    let ran = site.run_bare(&format!("heads 2 {ALICE}"));
    assert!(ran.code == 0 && ran.stderr.contains("holds no message"), "{}", ran.stderr);
}

#[test]
fn a_check_beside_the_running_node_tells_whether_it_has_these_settings() {
    let (site, _node) = running();
    let said = site.ok(&format!("config check {ALICE}"));
    assert!(said.contains("held by the node that runs"), "{said}");
    let text = fs::read_to_string(site.path("alice.toml")).unwrap();
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    fs::write(site.path("other.toml"), text.replace("127.0.0.1:0", &format!("127.0.0.1:{port}"))).unwrap();
    let said = site.ok("config check --config other.toml");
    let line = said.lines().find(|line| line.contains("ports")).unwrap();
    assert!(line.starts_with("NOTE") && line.contains("a node runs here with other settings"), "{line}");
    assert!(line.ends_with(&format!("Restart it to have 127.0.0.1:{port}")), "{line}");
    let without = text.replace("[\"/ip4/127.0.0.1/tcp/0\"]", "[]");
    fs::write(site.path("other.toml"), without).unwrap();
    assert!(site.ok("config check --config other.toml").contains("Restart it to have none for others"));
}

#[test]
fn a_damaged_bundle_is_a_failure_and_a_broken_rule_a_refusal_that_names_it() {
    let (site, _node) = running();
    let publish = format!("publish broken.json --group cidr --tlp green {ALICE}");
    for broken in [&BUNDLE[..BUNDLE.len() - 9], "", "{}", "[1]", r#"{"type":"malware"}"#] {
        fs::write(site.path("broken.json"), broken).unwrap();
        site.refused(&publish, 1, "not a STIX bundle");
    }
    let indicator = |language: &str, pattern: &str| {
        let id = "indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f";
        let time = "2026-01-01T00:00:00.000Z";
        let object = serde_json::json!({
            "type": "indicator", "spec_version": "2.1", "id": id, "created": time, "modified": time, "valid_from": time,
            "pattern_type": language, "pattern": pattern,
        });
        let bundle = serde_json::json!({
            "type": "bundle", "id": "bundle--5d0092c5-5f74-4287-9642-33f4c354e56d", "objects": [object],
        });
        fs::write(site.path("broken.json"), bundle.to_string()).unwrap();
        id
    };
    for (pattern, place) in [("[ipv4-addr:value = ]", "at byte 19"), ("evil.example", "at byte 0")] {
        let id = indicator("stix", pattern);
        site.refused(&publish, 3, &format!("{id}: pattern: is no STIX pattern (STIX 2.1 §9): {place}"));
    }
    // Other languages have checkers of their own.
    indicator("yara", "rule a { condition: true }");
    site.ok(&publish);
}

#[test]
fn what_was_withdrawn_says_so_among_objects_and_as_a_publication() {
    let (site, _node) = running();
    let time = "2026-01-01T00:00:00.000Z";
    let object = serde_json::json!({
        "type": "indicator", "spec_version": "2.1", "id": "indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f",
        "created": time, "modified": time, "valid_from": time, "pattern_type": "stix",
        "pattern": "[ipv4-addr:value = '198.51.100.7']",
    });
    let bundle = serde_json::json!({
        "type": "bundle", "id": "bundle--5d0092c5-5f74-4287-9642-33f4c354e56d", "objects": [object],
    });
    fs::write(site.path("indicator.json"), bundle.to_string()).unwrap();
    let json = |line: &str| -> serde_json::Value { serde_json::from_str(&site.ok(line)).unwrap() };
    let answer = json(&format!("publish indicator.json --group cidr --tlp green --json {ALICE}"));
    let id = answer["publication"].as_str().unwrap().to_owned();
    let state = || json(&format!("publication {id} --json {ALICE}"))["state"].clone();
    let objects = || site.ok(&format!("objects --group cidr {ALICE}"));
    support::eventually("it is sent", || state() == "flushed");
    assert!(
        objects().lines().any(|line| line.contains("indicator--8e2e2d2b") && line.contains("  current  "))
    );
    site.ok(&format!("withdraw --group cidr --publication {id} --mode retract {ALICE}"));
    support::eventually("it is withdrawn", || state() == "withdrawn");
    let said = site.ok(&format!("publication {id} {ALICE}"));
    assert!(said.contains("sent, and withdrawn since"), "{said}");
    support::eventually("the object says so", || objects().contains("  withdrawn  "));
}

#[test]
fn the_audit_log_tells_who_did_what_and_verifies_until_it_is_touched() {
    let (site, node) = running();
    site.ok(&format!("token create --name siem --read cidr {ALICE}"));
    site.ok(&format!("token rotate siem --keep 1h {ALICE}"));
    let told = site.ok(&format!("audit log {ALICE}"));
    for part in ["POST /api/v1/tokens", "POST /api/v1/tokens/{token}/rotate", "started"] {
        assert!(told.contains(part), "{told}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&site.ok(&format!("audit log --json {ALICE}"))).unwrap();
    let standing = &json["standing"];
    let head = format!("{}:{}", standing["sequence"], standing["head"].as_str().unwrap());
    assert!(site.ok(&format!("audit verify --head {head} {ALICE}")).contains("Every entry stands"));
    site.refused(&format!("audit verify --head 1:{} {ALICE}", "0".repeat(64)), 3, "another entry");
    // A backup of the running node has it too: what it says of others stands nowhere else.
    site.ok(&format!("backup create b {ALICE}"));
    site.ok("backup restore b --dir again --passphrase-file passphrase");
    let again = site.ok(&format!("audit verify --head {head} --dir again --passphrase-file passphrase"));
    assert!(again.contains("Every entry stands"), "{again}");
    drop(node);
    let folder = site.path("alice/audit");
    let file = fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(&file).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.remove(2);
    fs::write(&file, lines.join("\n") + "\n").unwrap();
    site.refused(&format!("audit verify {ALICE}"), 3, "line 3");
    fs::remove_file(&file).unwrap();
    site.refused(&format!("audit verify {ALICE}"), 3, "there is no entry");
}
