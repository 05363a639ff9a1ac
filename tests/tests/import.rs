//! From somebody else's file to an indicator at another member, by the command line: guarded, held, released.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::fs;

use belfry_tests::process::{Coalition, Role, eventually};
use serde_json::Value;

const TABLE: &str = "IOC,Kind,Note\nevil[.]example,domain,seen in a mail\n198.51.100.7,ip,\nbroken,sha256,\n";

#[test]
fn a_table_is_held_until_a_person_releases_it_and_then_found_at_another_member() {
    let coalition = Coalition::found("Import");
    let members = coalition.running(&[("alice", Role::Publisher), ("bob", Role::Reader)]);
    let [alice, bob] = &members[..] else { panic!() };
    let file = coalition.path("iocs.csv");
    fs::write(&file, TABLE).unwrap();
    let take = [
        "import",
        file.to_str().unwrap(),
        "--group",
        "cidr",
        "--tlp",
        "amber",
        "--map",
        "value=IOC,type=Kind",
    ];
    let told = alice.ok(&[&take[..], &["--dry-run"]].concat());
    assert!(told.contains("Read as csv: ") && told.contains("2 indicator"), "{told}");
    assert!(told.contains("line 4 is not a value of its type, sha256") && told.contains("bob"), "{told}");
    assert!(alice.ok(&["drafts", "list"]).contains("none"));
    let held: Value = serde_json::from_str(&alice.ok(&[&take[..], &["--json"]].concat())).unwrap();
    let id = held["publication"].as_str().unwrap();
    assert!(alice.ok(&take).contains("Nothing new"));
    assert!(alice.ok(&["drafts", "list"]).contains(id));
    let shown = alice.ok(&["drafts", "show", id]);
    assert!(shown.contains("evil.example") && shown.contains("No guard objects."), "{shown}");
    alice.ok(&["drafts", "release", id]);
    eventually("bob finds what alice released", || {
        bob.ok(&["lookup", "evil.example", "--json"]).contains("\"active\"").then_some(())
    });
    assert_eq!(alice.run(&["drafts", "release", id]).code, 3);
}

#[test]
fn a_card_number_is_refused_and_a_mailbox_asks_for_a_reason() {
    let coalition = Coalition::found("Guards");
    let members = coalition.running(&[("alice", Role::Publisher), ("bob", Role::Reader)]);
    let [alice, _] = &members[..] else { panic!() };
    let import = |text: &str, more: &[&str]| {
        let file = coalition.path("mail.txt");
        fs::write(&file, text).unwrap();
        let take = ["import", file.to_str().unwrap(), "--group", "cidr", "--tlp", "amber", "--publish"];
        alice.run(&[&take[..], more].concat())
    };
    let refused = import("see http://evil.example/?card=4111111111111111", &["--reason", "it is needed"]);
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("payment card") && !refused.stderr.contains("4111"),
        "{}",
        refused.stderr
    );
    let asked = import("from jan@evil.example", &[]);
    assert_eq!(asked.code, 3, "{}", asked.stderr);
    assert!(asked.stderr.contains("give a reason") && !asked.stderr.contains("jan@"), "{}", asked.stderr);
    assert!(asked.stderr.contains("with --reason TEXT"), "{}", asked.stderr);
    let sent = import("from jan@evil.example", &["--reason", "the mailbox of the phisher"]);
    assert_eq!(sent.code, 0, "{}", sent.stderr);
}
