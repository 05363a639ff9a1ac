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
}

#[test]
fn an_unknown_group_is_refused_with_those_there_are() {
    let (site, _node) = running();
    for command in [
        "objects --group nowhere",
        "publish bundle.json --group nowhere --tlp green",
        "token create --name x --read nowhere",
    ] {
        site.refused(&format!("{command} {ALICE}"), 3, "regulations-standardizations");
    }
}

#[test]
fn a_publication_is_told_in_words_a_reader_knows() {
    let (site, _node) = running();
    let said = site.ok(&format!("publish bundle.json --group cidr --tlp green --idempotency-key k {ALICE}"));
    assert!(said.contains("1 object in 1 message") && said.starts_with("Safe on this node's disk"), "{said}");
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
    site.ok(red);
    // Whom a cut shall end, is not guessed.
    site.refused(&format!("heads bob {ALICE}"), 3, "(certificate 2 revoked)");
    let ran = site.run_bare(&format!("heads 2 {ALICE}"));
    assert!(ran.code == 0 && ran.stderr.contains("holds no message"), "{}", ran.stderr);
}

#[test]
fn a_check_beside_the_running_node_leaves_it_its_ports() {
    let (site, _node) = running();
    let said = site.ok(&format!("config check {ALICE}"));
    assert!(said.contains("held by the node that runs"), "{said}");
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
    drop(node);
    let folder = site.path("alice/audit");
    let file = fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(&file).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.remove(2);
    fs::write(&file, lines.join("\n") + "\n").unwrap();
    site.refused(&format!("audit verify {ALICE}"), 3, "line 3");
}
