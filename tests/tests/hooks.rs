//! What is pushed and read by others' tools: rsyslog writes what a node sends, PyMISP searches it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::{
    fs,
    net::TcpListener,
    process::{Child, Command, Stdio},
};

use belfry_tests::process::{Coalition, Member, Role, eventually, http, python, skipped};
use serde_json::{Value, json};

/// Publishes an indicator of two values.
fn publish(member: &Member, coalition: &Coalition) {
    let indicator = json!({
        "type": "indicator", "spec_version": "2.1", "id": "indicator--00000000-0000-4000-8000-000000000001",
        "created": "2026-11-01T08:00:00.000Z", "modified": "2026-11-01T08:00:00.000Z", "name": "bad | name = x",
        "pattern": "[domain-name:value = 'c2.be'] OR [ipv4-addr:value = '203.0.113.9']", "pattern_type": "stix",
        "valid_from": "2026-11-01T08:00:00Z", "confidence": 95,
    });
    let bundle = json!({
        "type": "bundle", "id": "bundle--00000000-0000-4000-8000-000000000001", "objects": [indicator],
    });
    let path = coalition.path("bundle.json");
    fs::write(&path, bundle.to_string()).unwrap();
    member.ok(&["publish", path.to_str().unwrap(), "--group", "cidr", "--tlp", "amber", "--wait"]);
}

/// Ends with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Two nodes of a new coalition, not yet running.
fn two(name: &str) -> (Coalition, Member, Member) {
    let coalition = Coalition::found(name);
    let [alice, bob] = ["alice", "bob"].map(|name| coalition.issue(name, Role::Publisher));
    alice.join(&coalition);
    bob.join(&coalition);
    (coalition, alice, bob)
}

fn run(alice: &mut Member, bob: &mut Member) {
    alice.start();
    bob.bootstrap.extend(alice.address());
    bob.start();
    bob.meets(1);
}

#[test]
fn rsyslog_takes_each_value_as_one_message() {
    let Ok(found) = Command::new("rsyslogd").arg("-v").stdout(Stdio::null()).status() else {
        skipped("rsyslogd: it is not installed here");
        return;
    };
    assert!(found.success());
    let (coalition, mut alice, mut bob) = two("Pushed");
    // Free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (config, out) = (coalition.path("rsyslog.conf"), coalition.path("out.log"));
    let seen = "%protocol-version%~%app-name%~%msgid%~%syslogfacility-text%~%msg%\\n";
    let text = format!(
        "global(workDirectory=\"{}\")\nmodule(load=\"imtcp\")\n\
         input(type=\"imtcp\" port=\"{port}\" address=\"127.0.0.1\")\n\
         template(name=\"seen\" type=\"string\" string=\"{seen}\")\n\
         action(type=\"omfile\" file=\"{}\" template=\"seen\")\n",
        coalition.path("").display(),
        out.display()
    );
    fs::write(&config, text).unwrap();
    let mut rsyslog = Command::new("rsyslogd");
    rsyslog.args(["-n", "-iNONE", "-f"]).arg(&config).stdin(Stdio::null()).stderr(Stdio::null());
    let _rsyslog = Running(rsyslog.spawn().unwrap());
    bob.more = format!("[[syslog]]\nname = \"siem\"\ntarget = \"tcp://127.0.0.1:{port}\"\n");
    run(&mut alice, &mut bob);
    publish(&alice, &coalition);
    let lines = eventually("two lines", || {
        let text = fs::read_to_string(&out).unwrap_or_default();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        (lines.len() >= 2).then_some(lines)
    });
    assert_eq!(lines.len(), 2, "{lines:?}");
    for (line, value) in lines.iter().zip(["destinationDnsDomain=c2.be ", "dst=203.0.113.9 "]) {
        assert!(line.starts_with("1~belfry~object-added~local0~"), "{line}");
        assert!(line.contains("|object-added|bad \\| name = x|9|") && line.contains(value), "{line}");
        assert!(line.contains(" cs3=cidr cs3Label=group cs4=amber cs4Label=tlp cs5=alice "), "{line}");
    }
    let told: Value = serde_json::from_str(&bob.ok(&["hook", "list", "--json"])).unwrap();
    assert_eq!((&told["hooks"][0]["sent"], &told["hooks"][0]["failure"]), (&json!(1), &Value::Null));
}

#[test]
fn pymisp_connects_and_finds_what_may_leave() {
    let (coalition, mut alice, mut bob) = two("Searched");
    bob.more = "[[exports]]\nname = \"misp\"\nformat = \"misp\"\ngroups = [\"cidr\"]\n".to_owned();
    run(&mut alice, &mut bob);
    publish(&alice, &coalition);
    let token = bob.token("tools", &["--read", "cidr"]);
    eventually("the export has both values", || {
        let answer = http::get(&bob.api(), "/api/v1/exports/misp/report", &token);
        let report: Value = serde_json::from_slice(&answer.body).unwrap();
        (report["entries"] == 2).then_some(())
    });
    let api = format!("http://{}", bob.api());
    python("search.py", &[("BELFRY_API", &api), ("BELFRY_READER", &token)]);
}

#[test]
fn pymisp_reports_what_was_seen_to_a_steward() {
    let coalition = Coalition::found("Sighted");
    // Without one it would be refused: MISP's clients cannot say that their member shall be named.
    let [mut alice, mut bob] =
        [("alice", Role::Steward), ("bob", Role::Publisher)].map(|(name, role)| coalition.issue(name, role));
    alice.join(&coalition);
    bob.join(&coalition);
    bob.more = "[[exports]]\nname = \"misp\"\nformat = \"misp\"\ngroups = [\"cidr\"]\n".to_owned();
    run(&mut alice, &mut bob);
    publish(&alice, &coalition);
    let publisher = bob.token("ids", &["--read", "cidr", "--publish", "cidr"]);
    eventually("the export has both values", || {
        let answer = http::get(&bob.api(), "/api/v1/exports/misp/report", &publisher);
        let report: Value = serde_json::from_slice(&answer.body).unwrap();
        (report["entries"] == 2).then_some(())
    });
    let api = format!("http://{}", bob.api());
    if !python("sighting.py", &[("BELFRY_API", &api), ("BELFRY_PUBLISHER", &publisher)]) {
        return;
    }
    // What was said of others' values is everybody's to read; what was seen is the steward's, who will tell it.
    let reader = alice.token("analyst", &["--read", "cidr"]);
    eventually("alice reads what bob's tools said and saw", || {
        let answer =
            http::get(&alice.api(), "/api/v1/objects?group=cidr&type=opinion,sighting&limit=100", &reader);
        let told: Value = serde_json::from_slice(&answer.body).unwrap();
        let rows = told["objects"].as_array().cloned().unwrap_or_default();
        let of = |kind: &str, sealed: bool| {
            let is_such = |row: &&Value| row["type"] == kind && row["named_recipients"] == sealed;
            rows.iter().filter(is_such).filter(|row| row["organisation"] == "bob").count()
        };
        (of("opinion", false) == 2 && of("sighting", true) == 2).then_some(())
    });
    let question = json!({ "values": ["c2.be"] }).to_string();
    let answer = http::post(&alice.api(), "/api/v1/lookup", &reader, "application/json", question.as_bytes());
    let told: Value = serde_json::from_slice(&answer.body).unwrap();
    let found = &told["results"][0];
    assert_eq!((&found["opinions"]["disagree"], &found["expired_by"]), (&json!(1), &json!(1)), "{found}");
    // It is alice's own, so bob's word ends it at his node alone.
    assert_eq!((&found["state"], &found["sightings"]["count"]), (&json!("active"), &json!(0)), "{found}");
}
