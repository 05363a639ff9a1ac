//! Exports as tools take them: Suricata loads and alerts, BIND checks the zone, PyMISP reads the feed, and what its
//! author takes back is gone from all of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use belfry_tests::process::{Coalition, Member, Role, eventually, http, python, skipped};
use serde_json::{Value, json};

const FORMATS: [&str; 9] = ["list", "csv", "splunk-es", "suricata", "zeek", "rpz", "stix", "misp", "rules"];

fn indicator(n: u32, pattern: &str) -> Value {
    json!({
        "type": "indicator", "spec_version": "2.1", "id": format!("indicator--00000000-0000-4000-8000-{n:012x}"),
        "created": "2026-11-01T08:00:00.000Z", "modified": "2026-11-01T08:00:00.000Z", "name": format!("bad {n}"),
        "pattern": pattern, "pattern_type": "stix", "valid_from": "2026-11-01T08:00:00Z", "confidence": 95,
    })
}

/// Two nodes; Bob has an export of every format.
struct Stage {
    // Members first: daemons end before their folder goes.
    alice: Member,
    bob: Member,
    token: String,
    coalition: Coalition,
}

impl Stage {
    fn new(name: &str) -> Self {
        let coalition = Coalition::found(name);
        let mut alice = coalition.issue("alice", Role::Publisher);
        let mut bob = coalition.issue("bob", Role::Reader);
        alice.join(&coalition);
        bob.join(&coalition);
        let profile = |format| {
            format!(
                "[[exports]]\nname = \"{format}\"\nformat = \"{format}\"\ngroups = [\"cidr\"]\nminimum_score = 1\n"
            )
        };
        bob.more = FORMATS.map(profile).concat();
        alice.start();
        bob.bootstrap.extend(alice.address());
        bob.start();
        bob.meets(1);
        let token = bob.token("tools", &["--read", "cidr"]);
        Self { alice, bob, token, coalition }
    }

    /// A steward of the group, who has met both.
    fn steward(&mut self, name: &str) -> Member {
        let mut steward = self.coalition.issue(name, Role::Steward);
        steward.join(&self.coalition);
        steward.bootstrap.extend(self.alice.address());
        steward.start();
        steward.meets(2);
        steward
    }

    /// Publishes, and waits until somebody has it; its messages.
    fn publish(&self, file: &str, objects: &[Value]) -> Vec<String> {
        let bundle = json!({ "type": "bundle", "id": "bundle--00000000-0000-4000-8000-000000000001", "objects": objects });
        let path = self.coalition.path(file);
        fs::write(&path, bundle.to_string()).unwrap();
        let publish = ["publish", path.to_str().unwrap(), "--group", "cidr", "--tlp", "amber", "--wait"];
        let said =
            self.alice.ok(&[&publish[..], &["--json", "--reason", "mailboxes of the adversary"]].concat());
        let said: Value = serde_json::from_str(&said).unwrap();
        said["messages"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
    }

    /// Waits until a domain is gone; it stands in no other export any more then either, and TAXII tells of it.
    fn has_left(&self, domain: &str, ids: &[Value]) {
        eventually("the domain is gone", || (!self.has_domain(domain)).then_some(()));
        assert_eq!(self.holding(domain), [""; 0]);
        self.tells_revoked(ids);
    }

    /// Whoever polls bob hears that these are revoked.
    fn tells_revoked(&self, ids: &[Value]) {
        let polled = self.bob.objects(&self.token, "cidr");
        for id in ids {
            let found = polled.iter().find(|object| object["id"] == *id);
            assert_eq!(found.map(|object| &object["revoked"]), Some(&json!(true)), "{id}");
        }
    }

    fn get(&self, path: &str) -> http::Answer {
        http::get(&self.bob.api(), &format!("/api/v1/exports/{path}"), &self.token)
    }

    fn text(&self, path: &str) -> String {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
        String::from_utf8(answer.body).unwrap()
    }

    fn has_domain(&self, name: &str) -> bool {
        self.text("list/domain-name.txt").lines().any(|line| line == name)
    }

    /// Every file of every format that holds `needle`.
    fn holding(&self, needle: &str) -> Vec<String> {
        let mut found = Vec::new();
        for format in FORMATS {
            for file in self.get(&format!("{format}/report")).json()["files"].as_array().unwrap() {
                let path = format!("{format}/{}", file["name"].as_str().unwrap());
                if self.text(&path).contains(needle) {
                    found.push(path);
                }
            }
        }
        found
    }

    fn files(&self, export: &str) -> PathBuf {
        let folder = self.coalition.path(&format!("{export}-files"));
        self.bob.ok(&["export", export, "--out", folder.to_str().unwrap()]);
        folder
    }
}

fn sample() -> Vec<Value> {
    vec![
        indicator(1, "[domain-name:value = 'evil.example']"),
        indicator(2, "[domain-name:value = 'bücher.example' OR domain-name:value = '_dmarc.worse.example']"),
        indicator(3, "[ipv4-addr:value = '198.51.100.7' OR ipv4-addr:value ISSUBSET '203.0.113.0/24']"),
        indicator(4, "[ipv6-addr:value = '2001:db8::7' OR ipv6-addr:value ISSUBSET '2001:db8:1::/48']"),
        indicator(
            5,
            "[url:value = 'http://evil.example/a?b=\"c\";d' OR url:value = 'https://evil.example/']",
        ),
        indicator(
            6,
            &format!(
                "[file:hashes.'SHA-256' = '{}' OR file:hashes.MD5 = '{}' OR file:hashes.'SHA-1' = '{}']",
                "ab".repeat(32),
                "cd".repeat(16),
                "ef".repeat(20)
            ),
        ),
        indicator(7, "[email-message:from_ref.value = 'x@evil.example' OR file:name = 'Évil file.exe']"),
    ]
}

fn tool(name: &str) -> Option<Command> {
    let is_there = Command::new(name).arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !is_there {
        skipped(&format!("{name}: it is not installed here"));
        return None;
    }
    let mut command = Command::new(name);
    command.stdin(Stdio::null());
    Some(command)
}

#[track_caller]
fn succeeds(mut command: Command) -> String {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{command:?}\n{said}");
    said
}

/// A capture of these frames.
fn capture(frames: &[Vec<u8>]) -> Vec<u8> {
    let head = [
        0xa1b2_c3d4_u32.to_le_bytes(),
        [2, 0, 4, 0],
        [0; 4],
        [0; 4],
        65535_u32.to_le_bytes(),
        1_u32.to_le_bytes(),
    ];
    let mut written = head.concat();
    for (second, frame) in (0_u32..).zip(frames) {
        let len = u32::try_from(frame.len()).unwrap().to_le_bytes();
        written.extend([second.to_le_bytes(), [0; 4], len, len].concat());
        written.extend(frame);
    }
    written
}

/// One DNS query for `name`, asked of `server`.
fn query(name: &str, server: [u8; 4]) -> Vec<u8> {
    let mut dns = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        dns.push(u8::try_from(label.len()).unwrap());
        dns.extend(label.bytes());
    }
    dns.extend([0, 0, 1, 0, 1]);
    let short = |n: usize| u16::try_from(n).unwrap().to_be_bytes();
    let udp = [&[0xc0, 0, 0, 53][..], &short(8 + dns.len()), &[0, 0], &dns].concat();
    let mut ip =
        [&[0x45, 0][..], &short(20 + udp.len()), &[0, 1, 0, 0, 64, 17, 0, 0, 192, 168, 1, 2], &server]
            .concat();
    let sum: u32 = ip.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let sum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0][..], &ip, &udp].concat()
}

/// What Suricata alerts of on a capture with the rules of a folder, sorted; none where it is not installed.
fn alerts(folder: &Path, capture: &Path) -> Option<Vec<String>> {
    let mut suricata = tool("suricata")?;
    let logs = folder.join("logs");
    let _ = fs::remove_dir_all(&logs);
    fs::create_dir_all(&logs).unwrap();
    suricata
        .args(["-k", "none", "-r"])
        .arg(capture)
        .arg("-S")
        .arg(folder.join("suricata.rules"))
        .arg("-l")
        .arg(&logs);
    succeeds(suricata);
    let events = fs::read_to_string(logs.join("eve.json")).unwrap_or_default();
    let events = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let alerts = events.filter(|event| event["event_type"] == "alert");
    let mut told: Vec<String> = alerts
        .map(|event| match &event["dns"]["query"][0]["rrname"] {
            Value::String(name) if event["alert"]["signature"].to_string().contains("domain") => name.clone(),
            _ => event["dest_ip"].as_str().unwrap_or_default().to_owned(),
        })
        .collect();
    told.sort();
    told.dedup();
    Some(told)
}

#[test]
fn outside_tools_take_every_format_and_what_is_taken_back_leaves_all_of_them() {
    let stage = Stage::new("Exports");
    stage.publish("sample.json", &sample());
    eventually("bob exports what alice published", || stage.has_domain("evil.example").then_some(()));
    assert_eq!(
        stage.text("list/domain-name.txt"),
        "_dmarc.worse.example\nevil.example\nxn--bcher-kva.example\n"
    );
    assert_eq!(stage.text("list/ipv4-addr.txt"), "198.51.100.7\n203.0.113.0/24\n");
    let holding = stage.holding("evil.example");
    for format in ["list", "csv", "splunk-es", "suricata", "zeek", "rpz", "stix", "misp"] {
        assert!(holding.iter().any(|path| path.starts_with(format)), "{format}: {holding:?}");
    }

    let suricata = stage.files("suricata");
    if let Some(mut command) = tool("suricata") {
        let logs = suricata.join("check");
        fs::create_dir_all(&logs).unwrap();
        command.arg("-T").arg("-S").arg(suricata.join("suricata.rules")).arg("-l").arg(logs);
        let said = succeeds(command);
        assert!(!said.contains("error") && !said.contains("Error"), "{said}");
    }
    // Who asks for what is known or lies below it, asks whom is known, and does neither.
    let traffic = stage.coalition.path("traffic.pcap");
    let frames = [
        query("evil.example", [192, 168, 1, 1]),
        // As resolvers ask that make answers hard to forge.
        query("eViL.exAMple", [192, 168, 1, 1]),
        query("www.evil.example", [192, 168, 1, 1]),
        query("www.worse.example", [192, 168, 1, 1]),
        query("_dmarc.worse.example", [192, 168, 1, 1]),
        query("good.example", [198, 51, 100, 7]),
        query("good.example", [192, 168, 1, 1]),
    ];
    fs::write(&traffic, capture(&frames)).unwrap();
    let before = alerts(&suricata, &traffic);
    let zone = stage.files("rpz").join("rpz.zone");
    if let Some(mut check) = tool("named-checkzone") {
        check.arg("rpz.belfry").arg(&zone);
        let said = succeeds(check);
        assert!(said.contains("OK"), "{said}");
    }
    let url = format!("http://{}/api/v1/exports", stage.bob.api());
    python("feed.py", &[("BELFRY_EXPORTS", &url), ("BELFRY_READER", &stage.token)]);

    // Its author takes the domain back, and the URL with it; a new version says so.
    let taken_back = |n: usize| {
        let mut object = sample()[n].clone();
        object["modified"] = json!("2026-11-02T08:00:00.000Z");
        object["revoked"] = json!(true);
        object
    };
    stage.publish("taken-back.json", &[taken_back(0), taken_back(4), taken_back(6)]);
    eventually("the domain is gone", || (!stage.has_domain("evil.example")).then_some(()));
    // Within that one read, everywhere.
    assert_eq!(stage.holding("evil.example"), [""; 0]);
    assert_eq!(stage.holding("ZXZpbC5leGFtcGxl"), [""; 0]);
    let after = alerts(&stage.files("suricata"), &traffic);
    if let (Some(before), Some(after)) = (before, after) {
        let live = ["198.51.100.7", "_dmarc.worse.example"];
        assert_eq!(before, [&live[..], &["eViL.exAMple", "evil.example", "www.evil.example"]].concat());
        assert_eq!(after, live, "what is withdrawn alerts no more, and the rest still does");
    }
}

/// A rule of another language that looks for a text.
fn rule(n: u32, text: &str) -> Value {
    let mut rule = indicator(n, &format!("rule bad_{n} {{ strings: $a = \"{text}\" condition: $a }}"));
    rule["pattern_type"] = json!("yara");
    rule
}

#[test]
fn what_is_withdrawn_by_signed_word_leaves_every_export_and_what_is_lifted_comes_back() {
    let mut stage = Stage::new("Withdrawn");
    let sam = stage.steward("sam");
    stage.publish(
        "steady.json",
        &[
            indicator(8, "[domain-name:value = 'steady.example']"),
            rule(9, "steady.example"),
            // By a rule of its own in Suricata's, too.
            indicator(11, "[url:value = 'http://steady.example/x']"),
        ],
    );
    let mut said = vec![sample().remove(0), sample().remove(4), sample().remove(6), rule(10, "evil.example")];
    let messages = stage.publish("evil.json", &said);
    eventually("bob exports what alice published", || stage.has_domain("evil.example").then_some(()));
    let (holding, steady) = (stage.holding("evil.example"), stage.holding("steady.example"));
    for format in FORMATS {
        let is_of = |path: &String| path.starts_with(&format!("{format}/"));
        assert!(holding.iter().any(is_of) && steady.iter().any(is_of), "{format}: {holding:?} {steady:?}");
    }

    // A steward hides it.
    let ids = |objects: &[Value]| objects.iter().map(|object| object["id"].clone()).collect::<Vec<_>>();
    let hide =
        ["withdraw", &messages[0], "--group", "cidr", "--mode", "erase", "--ground", "rules", "--json"];
    let hidden: Value = serde_json::from_str(&sam.ok(&hide)).unwrap();
    stage.has_left("evil.example", &ids(&said));
    assert_eq!(stage.holding("steady.example"), steady, "and nothing else does");

    // A steward lifts that.
    let follow = ["publication", hidden["publication"].as_str().unwrap(), "--json"];
    let withdrawal = eventually("sam's withdrawal is sent", || {
        let followed: Value = serde_json::from_str(&sam.ok(&follow)).unwrap();
        followed["messages"][0].as_str().map(str::to_owned)
    });
    sam.ok(&["withdraw", &withdrawal, "--group", "cidr", "--mode", "lift", "--ground", "rules"]);
    eventually("the domain is back", || stage.has_domain("evil.example").then_some(()));
    assert_eq!(stage.holding("evil.example"), holding);
    let polled = stage.bob.objects(&stage.token, "cidr");
    for object in &said {
        assert!(polled.contains(object), "as its author wrote it: {object}");
    }

    // Its author takes back one object as a TAXII client does, and then all of it.
    let token = stage.alice.token("deletes", &["--read", "cidr", "--publish", "cidr"]);
    let url = said.remove(1);
    let path = format!("/taxii2/root/collections/cidr/objects/{}/", url["id"].as_str().unwrap());
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str()), ("Accept", "application/taxii+json;version=2.1")];
    let deleted = http::send(&stage.alice.api(), "DELETE", &path, &headers, b"").unwrap();
    assert_eq!(deleted.status, 200, "{}", String::from_utf8_lossy(&deleted.body));
    eventually("the URL is gone", || (!stage.text("list/url.txt").contains("evil.example")).then_some(()));
    stage.tells_revoked(&ids(&[url]));
    assert!(stage.has_domain("evil.example"), "what stood in the same message stays");
    let objects = said.iter().flat_map(|object| ["--object", object["id"].as_str().unwrap()]);
    let withdraw: Vec<&str> =
        ["withdraw", "--group", "cidr", "--mode", "retract"].into_iter().chain(objects).collect();
    stage.alice.ok(&withdraw);
    stage.has_left("evil.example", &ids(&said));
    assert_eq!(stage.holding("steady.example"), steady);
}

#[test]
fn a_profile_that_cannot_be_meant_keeps_the_node_from_starting_and_says_which_key() {
    let coalition = Coalition::found("Wrong");
    let mut alice = coalition.issue("alice", Role::Publisher);
    alice.join(&coalition);
    alice.more = "[[exports]]\nname = \"fw\"\nformat = \"list\"\nmax_tlp = \"red\"\n".to_owned();
    let ended = alice.start_in_vain();
    assert_ne!(ended.code, 0);
    assert!(ended.log.contains("max_tlp"), "{}", ended.last());
    alice.more = "[lists]\nallow = [\"two words\"]\n".to_owned();
    assert!(alice.start_in_vain().log.contains("two words"));
    let checked = alice.run(&["config", "check"]);
    assert_eq!(checked.code, 1);
    assert!(checked.stdout.contains("WRONG  lists"), "{}", checked.stdout);
}
