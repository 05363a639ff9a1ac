//! The disk without its key, and every log, show no intelligence (design §2, G7; threats, row 13).
//!
//! Real daemons log everything there is (`trace`). Every field that anybody can fill carries a word that
//! occurs nowhere else; then everything they wrote is searched for it: data folders with RocksDB's own files,
//! logs, sockets' folder, backups. So is what they send (row 11). As it stands, and as hex and base64 of it, since a word that is merely spelt otherwise
//! is there as well. The same search finds a planted word, and TAXII shows what was published.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use belfry_tests::{
    canary::{Canary, base64},
    process::{Coalition, Member, Role, http},
};
use serde_json::{Value, json};

const STIX: &str = "application/stix+json;version=2.1";
const TAXII: &str = "application/taxii+json;version=2.1";
const TIME: &str = "2026-11-01T08:00:00.000Z";
/// Parts of UUIDs and addresses that no other text holds by chance.
const UUID_TAIL: &str = "c4a9a12ab1ed";
const IP: &str = "203.0.113.217";

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let kind = fs::symlink_metadata(&path).unwrap().file_type();
        if kind.is_dir() {
            files(&path, found);
        } else if kind.is_file() {
            found.push(path);
        }
    }
}

/// Every hit of any canary in what a member wrote: `word in file at position`.
fn hits(member: &Member, canaries: &[Canary]) -> Vec<String> {
    let mut paths = vec![member.log_path(), member.config()];
    files(&member.dir, &mut paths);
    if backup(member).exists() {
        files(&backup(member), &mut paths);
    }
    let mut hits = Vec::new();
    for path in &paths {
        // RocksDB may rename a file away while it is listed.
        let Ok(bytes) = fs::read(path) else { continue };
        for canary in canaries {
            if let Some(at) = canary.found_in(&bytes) {
                let around = &bytes[at.saturating_sub(120)..(at + 80).min(bytes.len())];
                let around = String::from_utf8_lossy(around).into_owned();
                hits.push(format!("{} in {} at {at}: …{around}…", canary.word(), path.display()));
            }
        }
    }
    hits
}

/// Where its backup lies, once there is one.
fn backup(member: &Member) -> PathBuf {
    member.home().join(format!("{}.backup", member.name))
}

/// The kinds of files RocksDB makes, so that one knows the search met them.
fn kinds(member: &Member) -> BTreeSet<&'static str> {
    let mut paths = Vec::new();
    files(&member.dir, &mut paths);
    let kind = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        match name {
            name if name.ends_with(".sst") => Some("sst"),
            name if name.ends_with(".log") => Some("wal"),
            name if name.starts_with("MANIFEST") => Some("manifest"),
            name if name.starts_with("LOG") => Some("log"),
            _ => None,
        }
    };
    paths.iter().filter_map(kind).collect()
}

fn bundle(tag: &str, ip: &str) -> Value {
    let id = |kind: &str, n: u32| format!("{kind}--{n:08x}-0000-4000-8000-{UUID_TAIL}");
    json!({"type": "bundle", "id": id("bundle", 0), "objects": [
        {"type": "identity", "spec_version": "2.1", "id": id("identity", 1), "created": TIME, "modified": TIME,
         "name": format!("canary-{tag}-identity"), "contact_information": format!("soc+canary-{tag}-contact@soc.example")},
        {"type": "indicator", "spec_version": "2.1", "id": id("indicator", 2), "created": TIME, "modified": TIME,
         "created_by_ref": id("identity", 1), "name": format!("canary-{tag}-name"),
         "description": format!("canary-{tag}-description"), "labels": [format!("canary-{tag}-label")],
         "pattern": format!("[domain-name:value = 'canary-{tag}-pattern.example' OR ipv4-addr:value = '{ip}']"),
         "pattern_type": "stix", "valid_from": TIME, "x_canary": {format!("canary-{tag}-key"): format!("canary-{tag}-custom")},
         "external_references": [{"source_name": format!("canary-{tag}-source"), "url": format!("https://canary-{tag}-url.example/")}]},
        {"type": "malware", "spec_version": "2.1", "id": id("malware", 3), "created": TIME, "modified": TIME,
         "name": format!("canary-{tag}-malware"), "is_family": false},
        {"type": "relationship", "spec_version": "2.1", "id": id("relationship", 4), "created": TIME, "modified": TIME,
         "relationship_type": format!("canary-{tag}-relates"), "source_ref": id("indicator", 2), "target_ref": id("malware", 3)},
    ]})
}

/// One word for each field that carries one, and the ids and addresses.
fn canaries() -> Vec<Canary> {
    let fields = [
        "identity",
        "contact",
        "name",
        "description",
        "label",
        "pattern",
        "key",
        "custom",
        "source",
        "url",
        "malware",
        "relates",
    ];
    let mut words: Vec<String> = Vec::new();
    for tag in ["shared", "added", "red", "draft"] {
        words.extend(fields.iter().map(|field| format!("canary-{tag}-{field}")));
    }
    words.extend(
        ["canary-class-label", "canary-idempotency", "canary-token", "canary-asked"].map(str::to_owned),
    );
    words.extend([UUID_TAIL.to_owned(), IP.to_owned()]);
    words.iter().map(|word| Canary::new(word)).collect()
}

fn published(member: &Member, token: &str, query: &str, key: &str, bundle: &Value) {
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", STIX), ("Idempotency-Key", key)];
    let path = format!("/api/v1/publications?group=cidr&{query}");
    let answer = http::send(&member.api(), "POST", &path, &headers, bundle.to_string().as_bytes()).unwrap();
    assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
}

/// Asks for things by their canaries: questions must not be written down either.
fn asked(member: &Member, token: &str) {
    let api = member.api();
    let id = format!("indicator--00000002-0000-4000-8000-{UUID_TAIL}");
    let base = "/taxii2/root/collections/cidr/objects";
    for path in [
        format!("{base}/{id}/"),
        format!("{base}/{id}/versions/"),
        format!("{base}/?match[id]={id}"),
        format!("/api/v1/objects/{id}"),
    ] {
        assert_eq!(http::get(&api, &path, token).status, 200, "{path}");
    }
    for (path, status) in [
        (format!("{base}/indicator--canary-asked-{UUID_TAIL}/"), 404),
        (format!("{base}/?match[canary-asked]=x"), 400),
        (format!("{base}/?next=canary-asked"), 400),
        ("/taxii2/root/collections/canary-asked/".to_owned(), 404),
        ("/api/v1/objects/canary-asked".to_owned(), 404),
        ("/api/v1/messages/canary-asked".to_owned(), 404),
        ("/api/v1/publications/canary-asked".to_owned(), 404),
        ("/api/v1/tokens/canary-asked".to_owned(), 403),
        ("/canary-asked".to_owned(), 404),
    ] {
        let answer = http::get(&api, &path, token);
        let is_expected = answer.status == status || (path.contains("tokens") && answer.status == 405);
        assert!(is_expected, "{path}: {}", answer.status);
    }
    let wrong = http::get(&api, "/taxii2/", "canary-asked");
    assert_eq!(wrong.status, 401);
    // A bundle that is refused, with the words in what is refused.
    let mut bad = bundle("draft", IP);
    bad["objects"][1]["pattern_type"] = Value::Null;
    let answer = http::post(&api, "/api/v1/publications?group=cidr", token, STIX, bad.to_string().as_bytes());
    assert_eq!(answer.status, 422);
    assert!(String::from_utf8_lossy(&answer.body).contains(UUID_TAIL), "the submitter is told which object");
}

#[test]
fn no_file_and_no_log_line_shows_what_was_shared() {
    let coalition = Coalition::found("Canaries");
    let mut members: Vec<Member> = ["alice", "bob", "carrier"]
        .into_iter()
        .map(|name| coalition.issue(name, if name == "carrier" { Role::Carrier } else { Role::Publisher }))
        .collect();
    let mut bootstrap = Vec::new();
    for member in &mut members {
        member.join(&coalition);
        member.filter = "trace".to_owned();
        member.bootstrap.clone_from(&bootstrap);
        member.start();
        bootstrap.extend(member.address());
    }
    for member in &members {
        member.meets(2);
    }
    let [alice, bob, carrier] = &mut members[..] else { unreachable!() };

    let soar = alice.token("canary-token", &["--read", "cidr", "--publish", "cidr", "--max-tlp", "red"]);
    let siem = bob.token("canary-token-siem", &["--read", "cidr", "--publish", "cidr", "--max-tlp", "red"]);
    let common = "class=other&class_label=canary-class-label&purpose=detect";
    published(alice, &soar, &format!("tlp=amber&{common}"), "canary-idempotency-1", &bundle("shared", IP));
    let red = bundle("red", IP).to_string().replace("-0000-4000-8000-", "-0001-4000-8000-");
    let red: Value = serde_json::from_str(&red).unwrap();
    published(alice, &soar, &format!("tlp=red&to=bob&{common}"), "canary-idempotency-2", &red);
    let added = bundle("added", IP).to_string().replace("-0000-4000-8000-", "-0002-4000-8000-");
    let added: Value = serde_json::from_str(&added).unwrap();
    let envelope = json!({"objects": added["objects"]}).to_string();
    let path = "/taxii2/root/collections/cidr/objects/";
    assert_eq!(http::post(&alice.api(), path, &soar, TAXII, envelope.as_bytes()).status, 202);

    let ids = |bundle: &Value| -> Vec<String> {
        bundle["objects"].as_array().unwrap().iter().map(|o| o["id"].as_str().unwrap().to_owned()).collect()
    };
    let shared = [ids(&bundle("shared", IP)), ids(&added)].concat();
    alice.shows(&soar, "cidr", &shared);
    bob.shows(&siem, "cidr", &[shared, ids(&red)].concat());
    for (member, token) in [(&*alice, &soar), (&*bob, &siem)] {
        asked(member, token);
    }
    // The positive control: through the door, with a token, it is all there.
    let text = serde_json::to_string(&bob.objects(&siem, "cidr")).unwrap();
    for tag in ["shared", "added", "red"] {
        for field in ["name", "description", "pattern", "key", "custom", "contact"] {
            assert!(text.contains(&format!("canary-{tag}-{field}")), "{tag} {field}");
        }
    }
    assert!(text.contains(UUID_TAIL) && text.contains(IP));

    let canaries = canaries();
    let searched = |member: &Member, when: &str| {
        let hits = hits(member, &canaries);
        assert!(hits.is_empty(), "{} shows, {when}:\n{}", member.name, hits.join("\n"));
    };
    for member in [&*alice, &*bob, &*carrier] {
        member.ok(&["backup", "create", backup(member).to_str().unwrap()]);
        assert!(backup(member).is_dir());
        searched(member, "while it runs");
        let log = fs::read_to_string(member.log_path()).unwrap();
        assert!(log.contains("TRACE") && log.contains("DEBUG"), "{} really logs everything", member.name);
        assert!(kinds(member).is_superset(&["wal", "manifest", "log"].into()), "{:?}", kinds(member));
    }
    for member in [alice, bob, carrier] {
        assert_eq!(member.terminate(), 0);
        searched(member, "after it stopped");
        // Opening again writes the log out into tables.
        member.start();
        assert_eq!(member.terminate(), 0);
        assert!(kinds(member).contains("sst"), "{:?}", kinds(member));
        searched(member, "after a restart");
    }
}

#[test]
fn nothing_that_a_node_sends_to_others_shows_what_was_shared() {
    let coalition = Coalition::found("Wired");
    let mut members = ["alice", "bob"].map(|name| coalition.issue(name, Role::Publisher));
    let mut bootstrap = Vec::new();
    for member in &mut members {
        member.join(&coalition);
        member.with_wire();
        member.bootstrap.clone_from(&bootstrap);
        member.start();
        bootstrap.extend(member.address());
    }
    members.iter().for_each(|member| member.meets(1));
    let [alice, bob] = &members;
    // By the command line, whose socket leads to nobody else.
    let share = |member: &Member, tag: &str, version: &str| {
        let bundle = bundle(tag, IP).to_string().replace("-0000-4000-8000-", version);
        let file = coalition.path(&format!("{tag}.json"));
        fs::write(&file, bundle).unwrap();
        member.ok(&["publish", file.to_str().unwrap(), "--group", "cidr", "--tlp", "amber"]);
        let ids = [format!("indicator--00000002{version}{UUID_TAIL}")];
        [alice, bob].into_iter().for_each(|reader| reader.lists(&ids));
    };
    share(alice, "shared", "-0000-4000-8000-");
    share(bob, "added", "-0002-4000-8000-");
    let canaries = canaries();
    for member in [alice, bob] {
        let sent = member.sent();
        assert!(!sent.is_empty(), "the watch of {} saw nothing", member.name);
        let shown: Vec<&str> =
            canaries.iter().filter(|canary| canary.found_in(&sent).is_some()).map(Canary::word).collect();
        assert!(shown.is_empty(), "{} sends {shown:?}", member.name);
    }
    // The positive control: what goes out in clear is seen, here an answer of the API over TCP.
    let token = alice.token("siem", &["--read", "cidr"]);
    assert!(!alice.objects(&token, "cidr").is_empty());
    assert!(canaries.iter().any(|canary| canary.found_in(&alice.sent()).is_some()), "the watch sees nothing");
}

#[test]
fn the_search_finds_a_planted_word_in_every_spelling() {
    let canary = Canary::new("canary-shared-name");
    let word = b"canary-shared-name";
    let hex: String = word.iter().map(|byte| format!("{byte:02x}")).collect();
    for before in 0..6 {
        let text = [&b"abcdef"[..before], word, b"and more"].concat();
        assert!(canary.found_in(&text).is_some(), "raw after {before}");
        assert!(canary.found_in(&base64(&text, *b"+/")).is_some(), "base64 after {before}");
        assert!(canary.found_in(&base64(&text, *b"-_")).is_some(), "base64url after {before}");
        assert!(canary.found_in(format!("{text:?}").as_bytes()).is_some(), "as a list of numbers");
    }
    assert!(canary.found_in(hex.as_bytes()).is_some());
    assert!(canary.found_in(hex.to_uppercase().as_bytes()).is_some());
    assert!(canary.found_in(b"canary-shared-nam").is_none());

    let coalition = Coalition::found("Planted");
    let alice = coalition.issue("alice", Role::Publisher);
    assert_eq!(hits(alice_with_log(&alice), &[Canary::new("canary-shared-name")]), [""; 0]);
    fs::write(alice.file("planted"), [&[0, 255][..], word, &[0]].concat()).unwrap();
    let found = hits(&alice, &[canary]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("planted"), "{found:?}");
}

/// The member with an empty log beside its folder, as a daemon would leave it.
fn alice_with_log(member: &Member) -> &Member {
    fs::write(member.log_path(), "").unwrap();
    member
}
