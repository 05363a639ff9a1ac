//! NIS2 29(4), DORA 45(3): each entity finds what it owes in the log of its own node, notifies, and can show that it did.

use std::fs;

use belfry_tests::process::{Coalition, Member, eventually};
use serde_json::Value;

/// A member of these classes, joined once all are issued.
fn issued(coalition: &Coalition, name: &str, classes: &str) -> Member {
    // Its keys and request come first, with other classes than the harness gives.
    let (request, certificate) = (format!("{name}.request"), format!("{name}.certificate"));
    let enroll = ["enroll", "--charter", "coalition/charter.pem", "--org", name, "--dir", name];
    let with = ["--class", classes, "--groups", "cidr", "--out", &request];
    coalition.ok(&[&enroll[..], &with, &["--accept-arrangement", "--accept-rules"]].concat());
    let issue = ["coalition", "issue", &request, "--out", &certificate, "--until", "2099-12-31"];
    let decided = ["--decided-by", "Board", "--decided-on", "2026-10-01", "--yes", "--dir", "coalition"];
    coalition.ok(&[&issue[..], &decided].concat());
    coalition.member(name)
}

/// What a member's own `belfry notice` says, by the running node's log.
fn notices(member: &Member) -> Vec<Value> {
    let ran = member.run(&["notice", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("Read the running node's log"), "{}", ran.stderr);
    let told: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    told["notices"].as_array().cloned().unwrap_or_default()
}

fn states(member: &Member) -> Vec<String> {
    let line = |notice: &Value| format!("{} {}", notice["id"], notice["state"]).replace('"', "");
    notices(member).iter().map(line).collect()
}

#[test]
fn nis2_29_4_and_dora_45_3_each_entity_notifies_by_its_own_nodes_log_and_can_show_that_it_has_notified() {
    let coalition = Coalition::found("Notified");
    let mut members = [
        issued(&coalition, "bank", "essential,financial"),
        issued(&coalition, "grid", "essential"),
        issued(&coalition, "school", "academic"),
    ];
    let mut bootstrap = Vec::new();
    for member in &mut members {
        member.join(&coalition);
        member.bootstrap.clone_from(&bootstrap);
        member.start();
        bootstrap.extend(member.address());
    }
    members.iter().for_each(|member| member.meets(2));
    let [bank, grid, school] = &members;

    // On validation of membership (DORA; one notice, the sector's act goes before), on entering (NIS2); academia owes none.
    assert_eq!(states(bank), ["1-dora-entering due"]);
    assert_eq!(states(grid), ["2-nis2-entering due"]);
    assert!(school.ok(&["notice"]).contains("No notice is owed"));
    // The coalition gives the record of its decision; the page is for the entity's own authority, and says so.
    coalition.ok(&["coalition", "notices", "--write", "pages", "--dir", "coalition"]);
    for (member, authority) in
        [(bank, "National Bank of Belgium"), (grid, "Centre for Cybersecurity Belgium")]
    {
        let id = notices(member)[0]["id"].as_str().expect("an id").to_owned();
        let record = format!("pages/{}.record.json", notices(member)[0]["member"].as_str().expect("an id"));
        let page = format!("{}.html", member.name);
        member.ok(&["notice", "--record", &record, "--yes", "--out", &page]);
        let text = fs::read_to_string(coalition.path(&page)).expect("a page");
        assert!(text.contains(authority) && text.contains("Board") && text.contains(&member.name), "{text}");
        assert_eq!(text, fs::read_to_string(coalition.path(&format!("pages/{id}.en.html"))).expect("a page"));
        // Notified, and acknowledged: kept at the entity, which owes it.
        member.ok(&["notice", "--sent", &id]);
        member.ok(&["notice", "--acknowledged", &id, "--reference", "A-1"]);
        assert_eq!(states(member), [format!("{id} acknowledged")]);
    }

    // The grid leaves, by its own word; the notice is owed once that takes effect, and nobody can have sent it before.
    let leave = ["leave", "--effective", "2098-01-01T00:00:00+01:00", "--out", "leaving.pem", "--yes"];
    grid.ok(&leave);
    let record = ["coalition", "leave", "leaving.pem", "--yes", "--dir", "coalition"];
    coalition.ok(&[&record[..], &["--passphrase-file", "passphrase"]].concat());
    let log = coalition.export("log.pem");
    bank.ok(&["import-log", log.to_str().expect("a path")]);
    let both = ["2-nis2-entering acknowledged", "4-nis2-leaving upcoming"];
    eventually("the grid's own node to say so", || (states(grid) == both).then_some(()));
    let early = grid.run(&["notice", "--sent", "4-nis2-leaving"]);
    assert!(early.code == 3 && early.stderr.contains("not owed before that"), "{}", early.stderr);
    let text = grid.ok(&["notice", "--out", "leaving.html"]);
    assert!(text.contains("leaving of grid") && text.contains("send it then"), "{text}");
    assert_eq!(states(bank), ["1-dora-entering acknowledged"], "another's leaving is none of its notices");
}
