//! The daemon as its operator meets it: started, stopped, killed, started wrongly.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::{fs, net::TcpListener, os::unix::process::ExitStatusExt as _, process::Command};

use belfry_tests::process::{Coalition, Member, Role, belfry, chmod, eventually, http, skipped};
use serde_json::{Value, json};

const STIX: &str = "application/stix+json;version=2.1";

fn id(n: u32) -> String {
    format!("indicator--00000000-0000-4000-8000-{n:012x}")
}

fn bundle(ids: &[u32]) -> Vec<u8> {
    let objects: Vec<Value> = ids
        .iter()
        .map(|n| {
            json!({
                "type": "indicator", "spec_version": "2.1", "id": id(*n),
                "created": "2026-11-01T08:00:00.000Z", "modified": "2026-11-01T08:00:00.000Z",
                "pattern": format!("[domain-name:value = 'n{n}.example']"), "pattern_type": "stix",
                "valid_from": "2026-11-01T08:00:00Z",
            })
        })
        .collect();
    json!({"type": "bundle", "id": "bundle--00000000-0000-4000-8000-000000000000", "objects": objects})
        .to_string()
        .into_bytes()
}

fn publish(member: &Member, token: &str, ids: &[u32]) -> http::Answer {
    let answer =
        http::post(&member.api(), "/api/v1/publications?group=cidr&tlp=amber", token, STIX, &bundle(ids));
    assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
    answer
}

/// One certified member, joined and not yet started.
fn alone() -> (Coalition, Member) {
    let coalition = Coalition::found("Alone");
    let member = coalition.issue("alice", Role::Publisher);
    member.join(&coalition);
    (coalition, member)
}

#[test]
fn a_daemon_starts_answers_stops_in_order_and_starts_again() {
    let (_coalition, mut alice) = alone();
    alice.start();
    let token = alice.token("soar", &["--read", "cidr", "--publish", "cidr"]);
    publish(&alice, &token, &[1, 2]);
    alice.shows(&token, "cidr", &[id(1), id(2)]);
    let before = http::get(&alice.api(), "/taxii2/root/collections/cidr/manifest/", &token).json();
    assert!(alice.file("api.sock").exists());

    assert_eq!(alice.terminate(), 0);
    assert!(!alice.file("api.sock").exists(), "the socket goes with the daemon");
    let ran = alice.run(&["status"]);
    assert_eq!((ran.code, ran.stderr.contains("belfry run")), (1, true), "{}", ran.stderr);

    alice.start();
    let after = http::get(&alice.api(), "/taxii2/root/collections/cidr/manifest/", &token).json();
    assert_eq!(after, before, "objects, dates and tokens are as they were");
    let log = fs::read_to_string(alice.log_path()).unwrap();
    for step in
        ["opening the key files", "opening the store", "folding the admin log up to entry 1", "listening on"]
    {
        assert!(log.contains(step), "{step}: {log}");
    }
    assert!(log.contains("stopping") && !log.contains("WARN") && !log.contains("ERROR"), "{log}");
}

#[test]
fn killing_the_daemon_after_the_answer_loses_nothing() {
    let coalition = Coalition::found("Killed");
    let mut members = coalition.running(&[("alice", Role::Publisher), ("bob", Role::Publisher)]);
    let bob = members.pop().unwrap();
    let mut alice = members.pop().unwrap();
    let token = alice.token("soar", &["--read", "cidr", "--publish", "cidr"]);
    let siem = bob.token("siem", &["--read", "cidr"]);
    let mut accepted = Vec::new();
    for round in 0..4u32 {
        let mut ids = Vec::new();
        for n in 0..5 {
            let n = round * 5 + n + 1;
            publish(&alice, &token, &[n]);
            ids.push(id(n));
        }
        // At once: some are still drafts, some messages, some on their way.
        alice.kill();
        accepted.extend(ids);
        alice.bootstrap = vec![bob.address().unwrap()];
        alice.start();
    }
    alice.shows(&token, "cidr", &accepted);
    bob.shows(&siem, "cidr", &accepted);
    let drafts = || (alice.status()["node"]["drafts"] == 0).then_some(());
    eventually("every draft became messages", drafts);
    for (member, token) in [(&alice, &token), (&bob, &siem)] {
        let found = member.objects(token, "cidr");
        assert_eq!(found.len(), accepted.len(), "each once at {}", member.name);
    }
}

/// Lifts the limit of this shell's core dumps as far as the system allows, for what it starts.
const UNLIMITED: &str = "ulimit -c unlimited && ";

#[test]
fn a_daemon_that_is_aborted_leaves_none_of_its_memory_to_the_system() {
    let (coalition, mut alice) = alone();
    // What becomes here of a process that does not care.
    let mut careless = Command::new("sh");
    careless.args(["-c", &format!("{UNLIMITED}kill -ABRT $$")]).current_dir(coalition.path(""));
    if !careless.status().unwrap().core_dumped() {
        skipped("core dumps: this system makes none of any process");
        return;
    }
    let launched = format!("{UNLIMITED}exec \"$@\"");
    alice.launcher = ["sh", "-c", &launched, "sh"].map(str::to_owned).to_vec();
    alice.start();
    let ended = alice.abort();
    assert_eq!((ended.code, ended.is_dumped), (-1, false), "{}", ended.last());
}

#[test]
fn an_event_stream_is_live_and_resumes_over_a_restart() {
    let (_coalition, mut alice) = alone();
    alice.start();
    let token = alice.token("soar", &["--read", "cidr", "--publish", "cidr"]);
    let bearer = format!("Bearer {token}");
    let open = |alice: &Member, more: &[(&str, &str)]| {
        let headers = [&[("Authorization", bearer.as_str())], more].concat();
        http::open(&alice.api(), "GET", "/api/v1/events?after=0", &headers, b"").unwrap()
    };
    let mut stream = open(&alice, &[]);
    assert_eq!(stream.status, 200);
    publish(&alice, &token, &[1]);
    let (kind, last, data) = stream.event().unwrap();
    assert_eq!((kind.as_str(), &data["id"]), ("object", &json!(id(1))));

    assert_eq!(alice.terminate(), 0, "an open stream does not keep the daemon from stopping");
    assert_eq!(stream.event(), None);
    alice.start();
    publish(&alice, &token, &[2]);
    let mut resumed = open(&alice, &[("Last-Event-ID", &last)]);
    let (kind, next, data) = resumed.event().unwrap();
    assert_eq!((kind.as_str(), &data["id"]), ("object", &json!(id(2))), "nothing lost, nothing twice");
    assert!(next.parse::<u64>().unwrap() > last.parse::<u64>().unwrap());
}

#[test]
fn what_is_in_use_is_named() {
    let (_coalition, mut alice) = alone();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    alice.listen = taken.local_addr().unwrap().to_string();
    let ended = alice.start_in_vain();
    assert_eq!(ended.code, 1, "{}", ended.log);
    assert!(ended.log.contains(&alice.listen) && ended.log.contains("api.listen"), "{}", ended.log);

    alice.listen = "127.0.0.1:0".to_owned();
    alice.start();
    let output = again(&alice).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("in use by another process") && said.contains("stop the belfry daemon"), "{said}");
    assert_eq!(alice.run(&["status", "--json"]).code, 0, "the first runs on");
}

#[test]
fn a_taken_network_port_is_named() {
    let (_coalition, mut alice) = alone();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    alice.network = format!("\"/ip4/127.0.0.1/tcp/{port}\"");
    let ended = alice.start_in_vain();
    assert_eq!(ended.code, 1, "{}", ended.log);
    assert!(ended.log.contains(&port.to_string()) && ended.log.contains("network.listen"), "{}", ended.log);
}

#[test]
fn a_data_folder_of_another_member_is_refused() {
    let coalition = Coalition::found("Two");
    let mut alice = coalition.issue("alice", Role::Publisher);
    let mut bob = coalition.issue("bob", Role::Publisher);
    for member in [&mut alice, &mut bob] {
        member.join(&coalition);
        member.start();
        assert_eq!(member.terminate(), 0);
    }
    let store = bob.file("store");
    fs::rename(&store, bob.file("store.own")).unwrap();
    fs::rename(alice.file("store"), &store).unwrap();
    let ended = bob.start_in_vain();
    assert_eq!(ended.code, 3, "{}", ended.log);
    assert!(ended.log.contains("belongs to another node") && ended.log.contains("data_dir"), "{}", ended.log);
}

#[test]
fn a_certificate_of_another_coalition_is_refused() {
    let (_coalition, mut alice) = alone();
    let other = Coalition::found("Other");
    let mallory = other.issue("alice", Role::Publisher);
    mallory.join(&other);
    fs::copy(mallory.file("certificate.pem"), alice.file("certificate.pem")).unwrap();
    let ended = alice.start_in_vain();
    assert_eq!(ended.code, 3, "{}", ended.log);
    assert!(ended.log.contains("coalition"), "{}", ended.log);
}

#[test]
fn key_files_that_others_can_read_are_refused() {
    let (_coalition, mut alice) = alone();
    for key in ["signing", "node", "kem", "store"] {
        let path = alice.file(&format!("keys/{key}.pem"));
        chmod(&path, 0o644);
        let ended = alice.start_in_vain();
        assert_eq!(ended.code, 3, "{}", ended.log);
        let mend = format!("chmod 600 {}", path.display());
        let relative = format!("{key}.pem");
        assert!(ended.log.contains("0644") && ended.log.contains("chmod 600"), "{mend}: {}", ended.log);
        assert!(ended.log.contains(&relative), "{}", ended.log);
        chmod(&path, 0o600);
    }
    let passphrase = alice.home().join("passphrase");
    chmod(&passphrase, 0o640);
    let ended = alice.start_in_vain();
    assert_eq!((ended.code, ended.log.contains("chmod 600")), (3, true), "{}", ended.log);
    chmod(&passphrase, 0o600);
    alice.start();
    chmod(&alice.file("cli.token"), 0o644);
    let ran = alice.run(&["status"]);
    assert_eq!((ran.code, ran.stderr.contains("chmod 600")), (3, true), "{}", ran.stderr);
}

#[test]
fn a_wrong_or_missing_passphrase_is_told() {
    let (coalition, mut alice) = alone();
    let right = fs::read_to_string(coalition.path("passphrase")).unwrap();
    coalition.secret("passphrase", "another bell\n");
    let ended = alice.start_in_vain();
    assert_eq!((ended.code, ended.log.contains("wrong passphrase")), (1, true), "{}", ended.log);
    fs::remove_file(coalition.path("passphrase")).unwrap();
    let ended = alice.start_in_vain();
    assert_eq!((ended.code, ended.log.contains("passphrase")), (1, true), "{}", ended.log);
    coalition.secret("passphrase", &right);
    alice.start();
}

#[test]
fn a_folder_that_never_enrolled_or_joined_says_what_comes_first() {
    let coalition = Coalition::found("Early");
    let mut alice = coalition.issue("alice", Role::Publisher);
    // What is to be run next is named as this was, to be pasted.
    let again = format!(" --config {}`", alice.config().display());
    let ended = alice.start_in_vain();
    assert!(ended.code == 1 && ended.log.contains("belfry join"), "{}", ended.log);
    assert!(ended.log.contains(&again), "{again}: {}", ended.log);
    fs::rename(&alice.dir, coalition.path("elsewhere")).unwrap();
    let ended = alice.start_in_vain();
    assert!(ended.code == 1 && ended.log.contains("belfry enroll"), "{}", ended.log);
    assert!(ended.log.contains(&again), "{again}: {}", ended.log);
    let check = alice.run(&["config", "check"]);
    assert!(
        check.stdout.contains(&again) && check.stderr.contains(&again),
        "{}{}",
        check.stdout,
        check.stderr
    );
}

#[test]
fn what_is_no_id_is_a_wrong_command_line_everywhere() {
    let coalition = Coalition::found("Ids");
    for arguments in [
        &["publication", "x"][..],
        &["drafts", "show", "x"],
        &["drafts", "release", "x"],
        &["drafts", "discard", "x"],
        &["why", "x"],
        &["audit", "message", "x", "--out", "y"],
        &["withdraw", "x", "--group", "cidr", "--mode", "erase"],
        &["withdraw", "--object", "x", "--group", "cidr", "--mode", "erase"],
        &["withdraw", "--publication", "x", "--group", "cidr", "--mode", "erase"],
        &["propose", "x", "--set", "a=1"],
        &["proposals", "accept", "x"],
        &["proposals", "decline", "x"],
        &["activity", "--month", "november"],
        &["verify", "x", "--coalition", "abandon ability"],
        &["coalition", "revoke", "x", "--reason", "left"],
        &["enroll", "--charter", "x", "--org", "x", "--class", "essential", "--carrier", "--member", "x"],
        &["enroll", "--charter", "x", "--org", "x", "--class", "essential", "--carrier", "--coalition", "x"],
    ] {
        let ran = coalition.run(arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{arguments:?}: {}", ran.stderr);
    }
}

#[test]
fn a_bad_configuration_is_refused_at_its_line() {
    let (_coalition, mut alice) = alone();
    for (section, said) in [
        ("[nonsense]\n", "nonsense"),
        ("[sync]\ninterval = \"soon\"\n", "sync.interval"),
        ("[publish]\ntlp = \"purple\"\n", "publish.tlp"),
        ("[store]\nfree_space_floor = 5\n", "store.free_space_floor"),
        ("[sync\n", ""),
    ] {
        alice.more = section.to_owned();
        let ended = alice.start_in_vain();
        let log = ended.log.lines().last().unwrap_or_default().to_owned();
        assert_eq!(ended.code, 1, "{section}: {log}");
        assert!(ended.log.contains("alice.toml:"), "file and line: {}", ended.log);
        assert!(ended.log.contains(said), "{section}: {}", ended.log);
        let check = alice.run(&["config", "check"]);
        assert_eq!(check.code, 1, "{}", check.stderr);
        fs::remove_file(alice.log_path()).unwrap();
    }
    alice.more.clear();
    let check = alice.ok(&["config", "check"]);
    assert!(check.contains("for these keys") && !check.contains("WRONG"), "{check}");
    alice.listen = "0.0.0.0:4718".to_owned();
    let ended = alice.start_in_vain();
    assert_eq!((ended.code, ended.log.contains("tls_certificate")), (1, true), "{}", ended.log);
}

#[test]
fn the_status_tells_an_operator_what_matters() {
    let coalition = Coalition::found("Told");
    let members = coalition.running(&[("alice", Role::Publisher), ("bob", Role::Reader)]);
    let alice = &members[0];
    let token = alice.token("soar", &["--read", "cidr", "--publish", "cidr"]);
    publish(alice, &token, &[1]);
    alice.shows(&token, "cidr", &[id(1)]);
    let text = alice.ok(&["status"]);
    for told in [
        "alice",
        "Told",
        "valid until 2099-12-31",
        "1 connected; members with a valid certificate: 2",
        "cidr",
        "publisher",
        "http://127.0.0.1:",
    ] {
        assert!(text.contains(told), "{told} is missing:\n{text}");
    }
    let json = alice.status();
    assert_eq!(json["held"]["certificate"]["organisation"], "alice");
    assert_eq!((&json["node"]["drafts"], &json["node"]["connected"]), (&json!(0), &json!(1)));
    let warnings: Vec<&str> =
        json["warnings"].as_array().unwrap().iter().map(|w| w.as_str().unwrap()).collect();
    assert!(matches!(warnings[..], [one] if one.starts_with("New reader: bob")), "{warnings:?}");
}

/// A second daemon on the same folder.
fn again(member: &Member) -> Command {
    let mut command = belfry(["--config"]);
    command.arg(member.config()).arg("run").current_dir(member.home());
    command
}
