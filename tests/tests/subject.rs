//! Somebody asks what a member holds of him: found, told with what to do, erased everywhere, and in no log.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::{fs, path::Path};

use belfry_tests::{
    canary::Canary,
    process::{Coalition, Member, Role, eventually, http},
};
use serde_json::{Value, json};

const NAME: &str = "Joris Vandenbossche";

fn bundle(coalition: &Coalition, text: &str, number: u32) -> String {
    let object = json!({
        "type": "campaign", "spec_version": "2.1", "id": format!("campaign--00000000-0000-4000-8000-{number:012x}"),
        "created": "2026-11-01T08:00:00.000Z", "modified": "2026-11-01T08:00:00.000Z", "name": "c", "description": text,
    });
    let id = "bundle--00000000-0000-4000-8000-000000000000";
    let file = coalition.path(&format!("bundle-{number}.json"));
    fs::write(&file, json!({ "type": "bundle", "id": id, "objects": [object] }).to_string()).unwrap();
    file.to_str().unwrap().to_owned()
}

fn hits(member: &Member) -> Vec<Value> {
    let found: Value =
        serde_json::from_str(&member.ok(&["subject", "search", "vandenbossche, JORIS", "--json"])).unwrap();
    found["hits"].as_array().unwrap().clone()
}

/// Files of a folder, and below it, that hold a text.
fn files_with(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if let Ok(bytes) = fs::read(&path)
            && String::from_utf8_lossy(&bytes).to_lowercase().contains(&text.to_lowercase())
        {
            found.push(path.display().to_string());
        }
    }
    found
}

#[test]
fn a_person_is_found_at_every_member_and_erased_everywhere_by_whose_it_is() {
    let coalition = Coalition::found("Subject");
    let members = coalition.running(&[("alice", Role::Publisher), ("bob", Role::Publisher)]);
    let [alice, bob] = &members[..] else { panic!() };
    let named = bundle(&coalition, &format!("the mailbox of {NAME} was taken over"), 1);
    let other = bundle(&coalition, "the mailbox of somebody was taken over", 2);
    for file in [&named, &other] {
        alice.ok(&["publish", file, "--group", "cidr", "--tlp", "amber"]);
    }
    // A draft of bob's names him, too, and went nowhere yet.
    let draft = bundle(&coalition, &format!("asked {NAME} about it"), 3);
    bob.ok(&["import", &draft, "--group", "cidr", "--tlp", "amber"]);
    eventually("bob has what alice shared", || (hits(bob).len() == 2).then_some(()));

    let told = bob.ok(&["subject", "search", NAME]);
    assert!(told.contains("ask alice") && told.contains("belfry drafts discard"), "{told}");
    let own = hits(alice);
    assert_eq!(
        (own.len(), &own[0]["remedy"], &own[0]["paths"]),
        (1, &json!("withdraw"), &json!(["description"]))
    );
    let nobody = alice.ok(&["subject", "search", "Somebody Else Entirely"]);
    assert!(nobody.contains("Nothing names that person"), "{nobody}");

    // Bob erases what is his: the draft. What alice published is hers to erase.
    let bobs = bob.ok(&["subject", "erase", NAME, "--yes"]);
    assert!(bobs.contains("discarded") && bobs.contains("ask alice"), "{bobs}");
    assert_eq!(hits(bob).len(), 1);
    let alices = alice.ok(&["subject", "erase", NAME, "--yes"]);
    assert!(alices.contains("1 objects erased"), "{alices}");
    for member in [alice, bob] {
        eventually("it is gone", || hits(member).is_empty().then_some(()));
        assert_eq!(member.listed().iter().filter(|id| id.ends_with('2')).count(), 1, "all else stays");
        // What was searched for is kept nowhere, in clear or in the record of the search.
        assert_eq!(files_with(&member.file("."), "vandenbossche"), Vec::<String>::new());
        assert_eq!(files_with(&member.file("audit"), "joris"), Vec::<String>::new());
        let log = member.ok(&["audit", "log"]);
        assert!(log.contains("/api/v1/subject-searches") && !log.to_lowercase().contains("joris"), "{log}");
        assert!(!fs::read_to_string(member.log_path()).unwrap().to_lowercase().contains("joris"));
    }
}

#[test]
fn a_search_needs_nobody_and_nothing_sent_in_clear_and_no_log_carries_whom_it_is_for() {
    let coalition = Coalition::found("Watched");
    let mut members = ["alice", "bob"].map(|name| coalition.issue(name, Role::Publisher));
    members[1].with_wire();
    let mut bootstrap = Vec::new();
    for member in &mut members {
        member.join(&coalition);
        member.filter = "trace".to_owned();
        member.bootstrap.clone_from(&bootstrap);
        member.start();
        bootstrap.extend(member.address());
    }
    members.iter().for_each(|member| member.meets(1));
    let [alice, bob] = &mut members;
    let share = |text: &str, number: u32| {
        let file = bundle(&coalition, text, number);
        alice.ok(&["publish", &file, "--group", "cidr", "--tlp", "amber"]);
        eventually("bob has it", || {
            bob.listed().iter().any(|id| id.ends_with(&number.to_string())).then_some(())
        });
    };
    share(&format!("the mailbox of {NAME} was taken over"), 1);
    share("said by ControlWord", 2);
    // The watch sees what goes out in clear: an answer of the API over TCP. What goes to peers is encrypted, and nothing here
    // says what it holds; that a search needs none of them, its end shows.
    let token = bob.token("tool", &["--read", "cidr"]);
    let path = "/api/v1/objects/campaign--00000000-0000-4000-8000-000000000002";
    assert_eq!(http::get(&bob.api(), path, &token).status, 200);
    assert!(Canary::new("ControlWord").found_in(&bob.sent()).is_some(), "the watch sees nothing");

    let before = bob.sent().len();
    assert_eq!(hits(bob).len(), 1);
    assert_eq!(hits(bob)[0]["paths"], json!(["description"]));
    // What comes after the search on the same way has come.
    share("said afterwards", 3);
    let third = "campaign--00000000-0000-4000-8000-000000000003";
    alice.ok(&["withdraw", "--group", "cidr", "--object", third, "--mode", "retract"]);
    eventually("bob knows", || bob.ok(&["objects", "--group", "cidr"]).contains("withdrawn").then_some(()));
    let sent = bob.sent();
    assert!(sent.len() > before, "bob speaks with alice");
    let logs = [&*alice, &*bob].map(|member| fs::read(member.log_path()).unwrap());
    assert!(logs.iter().all(|log| String::from_utf8_lossy(log).contains("TRACE")), "everything is logged");
    for word in ["Vandenbossche", "vandenbossche", "VANDENBOSSCHE"] {
        let canary = Canary::new(word);
        for bytes in [&sent].into_iter().chain(&logs) {
            assert_eq!(canary.found_in(bytes), None, "{word}");
        }
    }
    // With nobody there it finds the same.
    assert_eq!(alice.terminate(), 0);
    bob.meets(0);
    assert_eq!(hits(bob).len(), 1);
}

#[test]
fn an_erasure_survives_the_restore_of_a_backup_that_is_older() {
    let coalition = Coalition::found("Restored");
    let mut members =
        coalition.running(&[("alice", Role::Publisher), ("bob", Role::Reader), ("carol", Role::Reader)]);
    let file = bundle(&coalition, &format!("the mailbox of {NAME} was taken over"), 1);
    members[0].ok(&["publish", &file, "--group", "cidr", "--tlp", "amber"]);
    for member in &members {
        eventually("everybody has it", || (hits(member).len() == 1).then_some(()));
    }
    // Author and reader are copied while they hold it.
    let backup = |member: &Member| coalition.path(&format!("{}.backup", member.name)).display().to_string();
    for member in &members[..2] {
        member.ok(&["backup", "create", &backup(member)]);
    }
    members[0].ok(&["subject", "erase", NAME, "--yes"]);
    for member in &members {
        eventually("it is gone", || hits(member).is_empty().then_some(()));
    }
    // One after the other is lost and made again of its copy; the others tell it again what was erased.
    for member in &mut members[..2] {
        assert_eq!(member.terminate(), 0);
        fs::rename(&member.dir, coalition.path(&format!("{}.lost", member.name))).unwrap();
        member.ok(&["backup", "restore", &backup(member)]);
        member.bootstrap.clear();
    }
    let carol = members[2].address();
    for member in &mut members[..2] {
        member.bootstrap.extend(carol.clone());
        member.start();
        eventually(&format!("{} erases it again", member.name), || hits(member).is_empty().then_some(()));
        assert_eq!(files_with(&member.file("."), "vandenbossche"), Vec::<String>::new());
    }
    for member in &members {
        assert!(hits(member).is_empty(), "nobody got it back from {}", member.name);
    }
}

#[test]
fn what_was_only_retracted_is_found_still_and_erased_at_every_member() {
    let coalition = Coalition::found("Retracted");
    let members = coalition.running(&[("alice", Role::Publisher), ("bob", Role::Reader)]);
    let [alice, bob] = &members[..] else { panic!() };
    let file = bundle(&coalition, &format!("the mailbox of {NAME} was taken over"), 1);
    alice.ok(&["publish", &file, "--group", "cidr", "--tlp", "amber"]);
    eventually("bob has it", || (hits(bob).len() == 1).then_some(()));
    let id = "campaign--00000000-0000-4000-8000-000000000001";
    alice.ok(&["withdraw", "--group", "cidr", "--object", id, "--mode", "retract"]);
    for (member, remedy) in [(alice, "withdraw-message"), (bob, "ask")] {
        eventually("it is told on as revoked", || {
            member.ok(&["objects", "--group", "cidr"]).contains("withdrawn").then_some(())
        });
        let hits = hits(member);
        assert_eq!(hits.iter().map(|hit| &hit["remedy"]).collect::<Vec<_>>(), [remedy], "{hits:?}");
    }
    let told = alice.ok(&["subject", "erase", NAME, "--yes"]);
    assert!(told.contains("1 messages erased"), "{told}");
    for member in &members {
        eventually("it is gone", || hits(member).is_empty().then_some(()));
    }
}

#[test]
fn only_a_steward_publishes_on_behalf_and_the_command_says_who_is_to_be_asked() {
    let coalition = Coalition::found("Behalf");
    let members = coalition.running(&[("alice", Role::Publisher), ("bob", Role::Reader)]);
    let [alice, _] = &members[..] else { panic!() };
    let file = bundle(&coalition, "seen in a mail", 1);
    let publish = ["publish", &file, "--group", "cidr", "--tlp", "amber", "--on-behalf", "bob"];
    let refused = alice.run(&[&publish[..], &["--asked", "mail of 2026-11-25"]].concat());
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("only a steward") && refused.stderr.contains("belfry members"),
        "{}",
        refused.stderr
    );
    // How the member asked has to be said.
    assert_eq!(alice.run(&publish).code, 2);
    assert!(alice.listed().is_empty());
}
