//! What a decision says, told to whoever signs it next, lists it, verifies it, or lives with it.

use std::fs;

use belfry_tests::process::Role;
use serde_json::Value;

use super::{decisions::two_admins_for, desk::Desk};

const WITH: [&str; 3] = ["--yes", "--passphrase-file", "passphrase"];
const END: &str = "2098-12-31T22:59:59Z";

fn leaves() -> Vec<&'static str> {
    let dates = ["--effective", "2098-12-31T23:59:59+01:00", "--decided-on", "2026-02-01"];
    [&["revoke", "1", "--reason", "left", "--dir", "coalition"][..], &dates, &WITH].concat()
}

/// The statement that waits at the first admin's, signed by the second one: its file, and what that one was shown.
fn signed_by_the_second(desk: &Desk) -> (String, String) {
    let found = fs::read_dir(desk.path("coalition/statements")).unwrap();
    let mut found = found.map(|file| file.unwrap().path()).filter(|path| path.extension().unwrap() == "pem");
    let file = found.next().unwrap().to_str().unwrap().to_owned();
    assert!(found.next().is_none());
    let shown = desk.ok(&[&["sign", &file, "--dir", "second"][..], &WITH].concat());
    (file, shown)
}

/// Orders it, and brings the log to the second admin.
fn order(desk: &Desk, file: &str) {
    desk.ok(&["order", file, "--dir", "coalition", "--passphrase-file", "passphrase"]);
    let _ = fs::remove_file(file);
    desk.ok(&["export", "--out", "newest.pem", "--dir", "coalition"]);
    desk.ok(&["take", "newest.pem", "--dir", "second"]);
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn nobody_signs_for_roles_groups_or_dates_that_it_was_not_shown_and_every_listing_has_them() {
    let desk = two_admins_for(&["entitle", "revoke"]);
    let entitle = ["entitle", "1", "--groups", "ot-ics:steward,hospitals:steward", "--dir", "coalition"];
    desk.ok(&[&entitle[..], &WITH].concat());
    let (file, shown) = signed_by_the_second(&desk);
    let verified = desk.coalition.ok(&["verify", &file, "--log", "log.pem"]);
    for told in [&shown, &verified] {
        for said in ["alice", "ot-ics:steward", "hospitals:steward"] {
            assert!(told.contains(said), "{said}: {told}");
        }
    }
    order(&desk, &file);

    desk.ok(&leaves());
    let (file, shown) = signed_by_the_second(&desk);
    let verified = desk.coalition.ok(&["verify", &file, "--log", "newest.pem"]);
    for told in [&shown, &verified] {
        for said in ["alice", "left", "2026-02-01T00:00:00Z", END, "what it published until then stays"] {
            assert!(told.contains(said), "{said}: {told}");
        }
    }
    order(&desk, &file);

    let audit = |more: &[&str]| desk.coalition.ok(&[&["audit"], more, &["--log", "newest.pem"]].concat());
    let membership = ["membership", "--group", "ot-ics", "--at", "2098-01-01"];
    for told in [
        desk.ok(&["log", "--dir", "coalition"]),
        desk.ok(&["roster", "--dir", "coalition"]),
        audit(&["decisions"]),
        audit(&membership),
        desk.coalition.ok(&["verify", "newest.pem"]),
        desk.coalition.ok(&["verify", "alice.certificate", "--log", "newest.pem"]),
    ] {
        assert!(told.contains(END), "{told}");
    }
    let end = "2098-12-31T22:59:59.000000Z";
    for listed in [desk.ok(&["log", "--json", "--dir", "coalition"]), audit(&["decisions", "--json"])] {
        let entries = json(&listed);
        let groups = entries["entries"][1]["says"]["groups"].to_string();
        assert!(groups.contains("ot-ics:steward") && groups.contains("hospitals:steward"), "{listed}");
        let says = &entries["entries"][2]["says"];
        assert_eq!(
            (says["effective"].as_str(), says["reason"].as_str()),
            (Some(end), Some("left")),
            "{listed}"
        );
        assert_eq!(says["decided"], "2026-02-01T00:00:00.000000Z");
    }
    let roster = json(&desk.ok(&["roster", "--json", "--dir", "coalition"]));
    assert_eq!(roster["certificates"][0]["ends"], end);
    let members = json(&audit(&[&membership[..], &["--json"]].concat()));
    assert_eq!(members["members"][0]["until"], end);
    // By which date decisions were counted, to people and to tools.
    assert_eq!(members["counted_by"], "made");
    assert!(audit(&membership).contains("entries ordered later may change this"));
}

#[test]
fn a_member_sees_when_another_is_to_leave() {
    let desk = Desk::found("Leaving");
    let members = desk.coalition.running(&[("alice", Role::Publisher), ("bob", Role::Reader)]);
    let bob = &members[1];
    assert!(!bob.ok(&["members"]).contains("ends by decision"));
    desk.ok(&leaves());
    desk.coalition.export("newest.pem");
    bob.ok(&["import-log", desk.path("newest.pem").to_str().unwrap()]);
    let told = bob.ok(&["members"]);
    let line = told.lines().find(|line| line.starts_with("alice ")).unwrap_or_else(|| panic!("{told}"));
    assert!(line.contains("2098-12-31T22:59:59") && line.ends_with("(ends by decision)"), "{told}");
    let members = json(&bob.ok(&["members", "--json"]));
    let of = |name: &str| {
        let members = members["members"].as_array().unwrap();
        members.iter().find(|member| member["organisation"] == name).unwrap()["certificates"][0]["ends"]
            .clone()
    };
    assert_eq!((of("alice"), of("bob")), ("2098-12-31T22:59:59.000000Z".into(), Value::Null));
}

#[test]
fn the_encryption_key_that_a_member_asks_with_is_shown_to_it_and_to_whoever_signs() {
    let desk = two_admins_for(&["issue"]);
    let who = ["enroll", "--charter", "coalition/charter.pem", "--org", "Bank", "--class", "essential"];
    let what = ["--groups", "cidr", "--dir", "bank", "--out", "bank.request"];
    let asked = desk.coalition.ok(&[&who[..], &what, &["--accept-arrangement", "--accept-rules"]].concat());
    let key = asked.split_whitespace().find(|word| word.starts_with("blake3:"));
    let key = key.unwrap_or_else(|| panic!("{asked}"));
    let issue = ["issue", "bank.request", "--until", "2099-12-31", "--dir", "coalition"];
    let issued = desk.ok(&[&issue[..], &WITH].concat());
    let (file, shown) = signed_by_the_second(&desk);
    let verified = desk.coalition.ok(&["verify", &file, "--log", "log.pem"]);
    for told in [issued, shown, verified] {
        assert!(told.contains(key), "{key}: {told}");
    }
}
