//! What comes in by itself: another coalition's TAXII collection and MISP feed, and a folder, at whole daemons.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use belfry_tests::process::{Coalition, Member, Role, eventually};
use serde_json::{Value, json};

fn indicator(n: u32) -> Value {
    json!({
        "type": "indicator", "spec_version": "2.1", "id": format!("indicator--00000000-0000-4000-8000-{n:012x}"),
        "created": "2026-11-01T08:00:00.000Z", "modified": "2026-11-01T08:00:00.000Z", "confidence": 95,
        "pattern": format!("[domain-name:value = 'n{n}.evil-host.net']"), "pattern_type": "stix",
        "valid_from": "2026-11-01T08:00:00Z",
    })
}

fn publish(coalition: &Coalition, member: &Member, numbers: &[u32]) {
    let objects: Vec<Value> = numbers.iter().map(|n| indicator(*n)).collect();
    let bundle =
        json!({ "type": "bundle", "id": "bundle--00000000-0000-4000-8000-000000000001", "objects": objects });
    let path = coalition.path("bundle.json");
    fs::write(&path, bundle.to_string()).unwrap();
    member.ok(&["publish", path.to_str().unwrap(), "--group", "cidr", "--tlp", "green", "--wait"]);
}

fn sources(member: &Member) -> Value {
    let listed: Value = serde_json::from_str(&member.ok(&["source", "list", "--json"])).unwrap();
    listed["sources"].clone()
}

fn source(member: &Member, name: &str) -> Value {
    let all = sources(member);
    all.as_array().unwrap().iter().find(|one| one["name"] == name).unwrap().clone()
}

/// Runs it once more, and gives how it is then.
fn again(member: &Member, name: &str) -> Value {
    let before = source(member, name)["last_run"].clone();
    member.ok(&["source", "run", name]);
    eventually(&format!("{name} ran"), || {
        Some(source(member, name)).filter(|now| now["last_run"] != before && now["state"] != "running")
    })
}

fn secret(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Serves the files of a folder over HTTP on this machine; its port.
fn serve(folder: std::path::PathBuf) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read(&mut byte).unwrap_or(0) == 0 {
                    break;
                }
                head.push(byte[0]);
            }
            let target = String::from_utf8_lossy(&head).split(' ').nth(1).unwrap_or_default().to_owned();
            let (status, body) = match fs::read(folder.join(target.trim_start_matches("/feed/"))) {
                Ok(body) => (200, body),
                Err(_) => (404, Vec::new()),
            };
            let head =
                format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    port
}

#[test]
fn another_coalitions_collection_and_feed_are_drafts_here_until_a_person_releases_them() {
    // They: two members, one of which serves TAXII and exports a MISP feed.
    let theirs = Coalition::found("Theirs");
    let (mut carol, mut dave) = (theirs.issue("carol", Role::Publisher), theirs.issue("dave", Role::Reader));
    carol.join(&theirs);
    dave.join(&theirs);
    carol.more = "[[exports]]\nname = \"feed\"\nformat = \"misp\"\ngroups = [\"cidr\"]\nminimum_score = 1\n"
        .to_owned();
    carol.start();
    dave.bootstrap.extend(carol.address());
    dave.start();
    dave.meets(1);
    publish(&theirs, &carol, &[1, 2]);
    let token = carol.token("partner", &["--read", "cidr"]);
    let feed = theirs.path("feed");
    carol.ok(&["export", "feed", "--out", feed.to_str().unwrap()]);

    // We: alice draws from both, and from a folder.
    let ours = Coalition::found("Ours");
    let (mut alice, mut bob) = (ours.issue("alice", Role::Publisher), ours.issue("bob", Role::Reader));
    alice.join(&ours);
    bob.join(&ours);
    let (key, inbox) = (ours.path("partner.secret"), ours.path("inbox"));
    secret(&key, &format!("{token}\n"));
    fs::create_dir(&inbox).unwrap();
    alice.more = format!(
        "[[sources]]\nname = \"partner\"\nkind = \"taxii\"\nurl = \"http://{}/taxii2/\"\ncollection = \"cidr\"\n\
         credential_file = {key:?}\ngroup = \"cidr\"\n\
         [[sources]]\nname = \"feed\"\nkind = \"misp\"\nurl = \"http://127.0.0.1:{}/feed/\"\ngroup = \"cidr\"\n\
         [[sources]]\nname = \"inbox\"\nkind = \"folder\"\npath = {inbox:?}\ngroup = \"cidr\"\ntlp = \"green\"\npublish = true\n\
         interval = \"200ms\"\n",
        carol.api(),
        serve(feed),
    );
    assert!(alice.ok(&["config", "check"]).contains("partner, feed, inbox"));
    alice.start();
    bob.bootstrap.extend(alice.address());
    bob.start();
    bob.meets(1);
    let partner =
        eventually("a page was taken", || Some(source(&alice, "partner")).filter(|now| now["taken"] == 1));
    assert_eq!((&partner["objects"], &partner["failure"]), (&json!(2), &Value::Null), "{partner}");
    let told =
        eventually("an event was taken", || Some(source(&alice, "feed")).filter(|now| now["taken"] == 1));
    assert_eq!(told["refused"], 0, "{told}");
    let drafts: Value = serde_json::from_str(&alice.ok(&["drafts", "list", "--json"])).unwrap();
    let drafts = drafts["drafts"].as_array().unwrap();
    assert_eq!(drafts.len(), 2, "{drafts:?}");
    let draft = drafts.iter().find(|draft| draft["submitter"] == "source:partner").unwrap();
    alice.ok(&["drafts", "release", draft["draft"].as_str().unwrap()]);
    eventually("bob finds what carol published", || {
        bob.ok(&["lookup", "n2.evil-host.net", "--json"]).contains("\"active\"").then_some(())
    });

    // News come, and only those; a restart asks for nothing twice.
    assert_eq!(again(&alice, "partner")["taken"], 1);
    publish(&theirs, &carol, &[3]);
    assert_eq!(again(&alice, "partner")["objects"], 3);
    assert_eq!(alice.terminate(), 0);
    alice.start();
    let partner = again(&alice, "partner");
    assert_eq!((&partner["taken"], &partner["known"]), (&json!(2), &json!(0)), "{partner}");
    assert_eq!(again(&alice, "feed")["taken"], 1);

    // A file goes out by itself; what it was is told beside it.
    fs::write(inbox.join(".a.csv"), "value,type\nfolder.evil-host.net,domain\n").unwrap();
    fs::rename(inbox.join(".a.csv"), inbox.join("a.csv")).unwrap();
    eventually("bob finds what stood in the file", || {
        bob.ok(&["lookup", "folder.evil-host.net", "--json"]).contains("\"active\"").then_some(())
    });
    eventually("its report is there", || inbox.join("done/a.csv.report.json").exists().then_some(()));
    eventually("it was moved", || inbox.join("done/a.csv").exists().then_some(()));

    // Who no longer answers is told of.
    carol.terminate();
    let partner = again(&alice, "partner");
    assert_eq!(partner["state"], "failing", "{partner}");
    assert!(alice.ok(&["status"]).contains("WARNING: The source partner brings nothing since"));
    let unknown = alice.run(&["source", "run", "nobody"]);
    assert_eq!(unknown.code, 3, "{}", unknown.stderr);
}

#[test]
fn a_source_that_cannot_be_meant_keeps_the_node_from_starting_and_says_why() {
    let coalition = Coalition::found("Wrong");
    let mut alice = coalition.issue("alice", Role::Publisher);
    alice.join(&coalition);
    alice.more =
        "[[sources]]\nname = \"inbox\"\nkind = \"folder\"\npath = \"nowhere\"\ngroup = \"cidr\"\n".to_owned();
    let ended = alice.start_in_vain();
    assert_ne!(ended.code, 0);
    assert!(ended.log.contains("make the folder"), "{}", ended.last());
    let checked = alice.run(&["config", "check"]);
    assert_eq!(checked.code, 1);
    assert!(checked.stdout.contains("WRONG  sources"), "{}", checked.stdout);
}
