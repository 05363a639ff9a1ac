//! Daemons on machines of their own, as far as a network can tell: links that lose, delay, reorder and part.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::{collections::BTreeSet, fs};

use belfry_tests::process::{
    Coalition, Member, Role, eventually,
    space::{Side, Site},
};
use serde_json::{Value, json};

/// Publishes an indicator at a node; its id.
fn publish(coalition: &Coalition, member: &Member, n: u32) -> String {
    let id = format!("indicator--00000000-0000-4000-8000-{n:012x}");
    let object = json!({
        "type": "indicator", "spec_version": "2.1", "id": id, "pattern_type": "stix",
        "created": "2026-11-01T08:00:00.000Z", "modified": "2026-11-01T08:00:00.000Z",
        "pattern": format!("[domain-name:value = 'n{n}.example']"), "valid_from": "2026-11-01T08:00:00Z",
    });
    let bundle = json!({
        "type": "bundle", "id": "bundle--00000000-0000-4000-8000-000000000000", "objects": [object],
    });
    let file = coalition.path(&format!("bundle-{n}.json"));
    fs::write(&file, bundle.to_string()).unwrap();
    member.ok(&["publish", file.to_str().unwrap(), "--group", "cidr", "--tlp", "green"]);
    id
}

fn shown(member: &Member) -> BTreeSet<String> {
    let lines = member.ok(&["objects", "--group", "cidr", "--json", "--limit", "10000"]);
    let ids = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    ids.map(|object| object["id"].as_str().unwrap().to_owned()).collect()
}

fn shows(members: &[Member], ids: &[String]) {
    for member in members {
        eventually(&format!("{} shows {} objects", member.name, ids.len()), || {
            let found = shown(member);
            ids.iter().all(|id| found.contains(id)).then_some(())
        });
    }
}

#[test]
fn halves_that_were_parted_and_killed_hold_the_same_once_they_are_joined() {
    let mut site = match Site::built(0.1, 0.03) {
        Ok(site) => site,
        Err(why) => {
            eprintln!("SKIPPED: this system gives no network namespaces: {why}");
            return;
        }
    };
    let coalition = Coalition::found("Apart");
    let names = ["alice", "bob", "carol", "dave"];
    let mut members = names.map(|name| coalition.issue(name, Role::Publisher));
    let mut bootstrap: Vec<String> = Vec::new();
    for (number, member) in (1..).zip(&mut members) {
        member.join(&coalition);
        site.place(member, if number < 3 { Side::Left } else { Side::Right }, number);
        member.more = "[sync]\ninterval = \"5s\"\n".to_owned();
        member.bootstrap.clone_from(&bootstrap);
        member.start();
        bootstrap.extend(member.address());
    }
    for member in &members {
        member.meets(3);
    }
    let mut ids: Vec<String> = (0..4).map(|n| publish(&coalition, &members[n as usize], n)).collect();
    shows(&members, &ids);

    site.plugged(false);
    let mut halves = Vec::new();
    for (half, first) in [(0, 10), (2, 20)] {
        let said = (0..6).map(|n| publish(&coalition, &members[half + n as usize % 2], first + n)).collect::<Vec<_>>();
        // In the middle of it, without a word.
        members[half].kill();
        members[half].start();
        shows(&members[half..half + 2], &said);
        halves.push(said);
    }
    for (half, other) in [(0, 1), (2, 0)] {
        let found = shown(&members[half]);
        assert!(halves[other].iter().all(|id| !found.contains(id)), "the cable was not pulled");
    }

    site.plugged(true);
    ids.extend(halves.concat());
    shows(&members, &ids);
    ids.push(publish(&coalition, &members[3], 30));
    shows(&members, &ids);
    for member in &members {
        assert_eq!(shown(member).len(), ids.len(), "each once at {}", member.name);
    }
}
