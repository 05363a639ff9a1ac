//! Give and take between seven running nodes: a member sees its own figures, and sums only where they tell of nobody.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::fs;

use belfry_node::clock;
use belfry_tests::process::{Coalition, Member, Role, eventually};
use serde_json::{Value, json};

const DAY: i64 = 24 * 3600;

/// Publishes an indicator in a group, and waits until another member has it.
fn publish(member: &Member, group: &str, number: u32) -> String {
    let id = format!("indicator--00000000-0000-4000-8000-{number:012x}");
    let object = json!({
        "type": "indicator", "spec_version": "2.1", "id": id, "pattern_type": "stix",
        "created": "2026-11-01T08:00:00.000Z", "modified": "2026-11-01T08:00:00.000Z",
        "pattern": format!("[domain-name:value = 'n{number}.example']"), "valid_from": "2026-11-01T08:00:00Z",
    });
    let bundle = json!({ "type": "bundle", "id": "bundle--00000000-0000-4000-8000-000000000000", "objects": [object] });
    let file = member.home().join(format!("bundle-{number}.json"));
    fs::write(&file, bundle.to_string()).unwrap();
    member.ok(&["publish", file.to_str().unwrap(), "--group", group, "--tlp", "green"]);
    id
}

/// A group's figures of a month.
fn figures(member: &Member, month: &str, group: &str) -> Value {
    let told: Value = serde_json::from_str(&member.ok(&["activity", "--month", month, "--json"])).unwrap();
    told["activity"].as_array().unwrap().iter().find(|of| of["group"] == group).unwrap().clone()
}

#[test]
fn among_running_nodes_sums_are_told_of_enough_members_and_never_of_the_few_or_the_one_that_withdrew() {
    let coalition = Coalition::found("Give and take");
    let names = ["alice", "bob", "carol", "dave", "erin", "frank", "grace"];
    let mut members = names.map(|name| coalition.issue(name, Role::Publisher));
    members[0].with_clock();
    members[0].clock(0);
    let mut bootstrap: Vec<String> = Vec::new();
    for member in &mut members {
        member.join(&coalition);
        member.bootstrap.clone_from(&bootstrap);
        member.start();
        bootstrap.extend(member.address());
    }
    members.iter().for_each(|member| member.meets(6));
    let alice = &members[0];
    let month: String = clock::now().to_string().chars().take(7).collect();

    // All seven share in one group, bob twice; besides alice only four do in the other.
    let mut shared: Vec<String> = (1..).zip(&members).map(|(n, member)| publish(member, "cidr", n)).collect();
    shared.push(publish(&members[1], "cidr", 20));
    let cloud: Vec<String> =
        (30..).zip(&members[..5]).map(|(n, member)| publish(member, "cloud-security", n)).collect();
    alice.lists(&shared);
    let token = alice.token("tool", &["--read", "cloud-security"]);
    alice.shows(&token, "cloud-security", &cloud);
    // Bob, and nobody else of them, takes something back.
    members[1].ok(&["withdraw", "--group", "cidr", "--object", &shared[7], "--mode", "retract"]);
    eventually("alice to know", || {
        alice.ok(&["objects", "--group", "cidr"]).contains("withdrawn").then_some(())
    });

    // Of a month that is not over nothing is told. Then it is over.
    let early = alice.run(&["activity", "--month", &month]);
    assert_ne!(early.code, 0, "{}", early.stdout);
    alice.clock(40 * DAY);
    let cidr = figures(alice, &month, "cidr");
    assert_eq!(cidr["given"]["messages"], 1, "{cidr}");
    assert_eq!((&cidr["taken"], &cidr["given"]["withdrawals"]), (&json!(7), &json!(0)), "{cidr}");
    assert_eq!(
        cidr["all"],
        json!({ "members": 7, "messages": 8, "withdrawals": null }),
        "bob alone withdrew"
    );
    let cloud = figures(alice, &month, "cloud-security");
    assert_eq!((&cloud["given"]["messages"], &cloud["taken"]), (&json!(1), &json!(4)), "{cloud}");
    assert_eq!(cloud["all"], Value::Null, "{cloud}");
    // A board reads the same.
    let table = alice.ok(&["activity", "--month", &month]);
    let line = |name: &str| table.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert_eq!((line("cidr").matches("too few").count(), line("cloud").matches("too few").count()), (0, 2));
    alice.ok(&["activity", "--month", &month, "--lang", "nl", "--out", "report.html"]);
    let page = fs::read_to_string(alice.home().join("report.html")).unwrap();
    assert!(page.contains("<td>7</td><td>8</td>") && page.contains(">te weinig<"), "{page}");
    // In their group's row, wherever else a cell may be four.
    let name = format!("{}</td>", cloud["name"].as_str().unwrap());
    let row = page.split("<tr><td>").find(|row| row.starts_with(&name)).unwrap();
    let row = row.split("</tr>").next().unwrap();
    let what = "what four gave is not on a page either";
    assert!(!row.contains("<td>4</td>") && row.matches(">te weinig<").count() == 4, "{what}: {row}");
    for name in &names[1..] {
        assert!(!table.contains(name) && !page.contains(name), "{name} is named");
    }
}
