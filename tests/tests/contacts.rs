//! Contacts by the command line: what an operator says, what is asked back, and what others read.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::fs;

use belfry_tests::process::{Coalition, Member, Role, eventually};
use serde_json::Value;

/// Roles and addresses that `belfry contact show` tells of a member.
fn shown(at: &Member, of: &str) -> Vec<(String, String)> {
    let answer: Value = serde_json::from_str(&at.ok(&["contact", "show", of, "--json"])).unwrap();
    let contacts = answer["contacts"].as_array().unwrap();
    let mailboxes = contacts.iter().flat_map(|contact| contact["mailboxes"].as_array().unwrap());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    mailboxes.map(|mailbox| (text(&mailbox["role"]), text(&mailbox["email"]))).collect()
}

fn of<const N: usize>(mailboxes: [(&str, &str); N]) -> Vec<(String, String)> {
    mailboxes.map(|(role, email)| (role.to_owned(), email.to_owned())).to_vec()
}

#[test]
fn an_operator_says_role_by_role_or_by_a_file_and_is_asked_about_what_looks_like_a_person() {
    let coalition = Coalition::found("Contacts");
    let members = coalition.running(&[("alice", Role::Publisher), ("bob", Role::Reader)]);
    let [alice, bob] = &members[..] else { panic!() };
    assert!(shown(alice, "alice").is_empty());

    let incident = ["contact", "set", "--role", "incident", "--email", "csirt@alice.example"];
    alice.ok(&incident);
    alice.ok(&["contact", "set", "--role", "privacy", "--email", "dpo@alice.example", "--language", "nl,fr"]);
    let both = of([("incident", "csirt@alice.example"), ("privacy", "dpo@alice.example")]);
    eventually("bob knows both", || (shown(bob, "alice") == both).then_some(()));
    let table = bob.ok(&["contact", "show"]);
    assert!(table.contains("dpo@alice.example") && table.contains("nl, fr"), "{table}");

    // Nobody is there to be asked.
    let person = ["contact", "set", "--role", "incident", "--email", "jan.peeters@alice.example"];
    let refused = alice.run(&person);
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("natural person") && refused.stderr.contains("--yes"),
        "{}",
        refused.stderr
    );
    assert_eq!(shown(alice, "alice"), both, "nothing was signed");
    alice.ok(&[&person[..], &["--yes"]].concat());

    let file = "[[mailbox]]\nrole = \"abuse\"\nemail = \"abuse@alice.example\"\nopenpgp = \"AB CD\"\n";
    fs::write(coalition.path("contact.toml"), file).unwrap();
    let refused = alice.run(&["contact", "set", "contact.toml"]);
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    assert!(refused.stderr.contains("openpgp must be a fingerprint"), "{}", refused.stderr);
    fs::write(coalition.path("contact.toml"), file.replace("AB CD", &"AB".repeat(20))).unwrap();
    alice.ok(&["contact", "set", "contact.toml"]);
    let abuse = of([("abuse", "abuse@alice.example")]);
    eventually("bob knows what the file says, and nothing else", || {
        (shown(bob, "alice") == abuse).then_some(())
    });
    alice.ok(&["contact", "remove"]);
    eventually("bob knows of none", || shown(bob, "alice").is_empty().then_some(()));
    assert_eq!(bob.run(&["contact", "show", "nobody"]).code, 3);
    assert_eq!(alice.run(&["contact", "set", "--role", "ceo", "--email", "x@alice.example"]).code, 2);
}
