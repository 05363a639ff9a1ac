//! Changed data by the member's own signed word: a file passes from its machine to the coalition's.

use std::fs;

use belfry_tests::process::{Member, Ran, Role};
use serde_json::Value;

use super::desk::Desk;

const WITH: [&str; 3] = ["--yes", "--passphrase-file", "passphrase"];

/// A coalition with these members, each with its data folder.
fn joined(name: &str, members: &[&str]) -> (Desk, Vec<Member>) {
    let desk = Desk::found(name);
    let members: Vec<Member> =
        members.iter().map(|name| desk.coalition.issue(name, Role::Publisher)).collect();
    members.iter().for_each(|member| member.join(&desk.coalition));
    desk.coalition.export("log.pem");
    (desk, members)
}

/// `belfry amend` in a member's folder, by the exported log.
fn ask(desk: &Desk, member: &str, out: &str, said: &[&str]) -> Ran {
    let log = ["--log", "log.pem", "--dir", member, "--out", out];
    desk.coalition.run(&[&["amend"], said, &log, &WITH].concat())
}

/// `belfry coalition amend --request` in the coalition's folder.
fn grant(request: &str) -> Vec<&str> {
    [&["amend", "--request", request, "--dir", "coalition"][..], &WITH].concat()
}

fn amend(serial: &'static str, said: &[&'static str]) -> Vec<&'static str> {
    [&["amend", serial, "--dir", "coalition"][..], said, &WITH].concat()
}

fn entries(desk: &Desk) -> Vec<Value> {
    let log: Value = serde_json::from_str(&desk.ok(&["log", "--json", "--dir", "coalition"])).unwrap();
    log["entries"].as_array().unwrap().clone()
}

#[test]
fn a_members_own_request_is_decided_as_it_stands_and_kept_beside_the_decision() {
    let (desk, _members) = joined("Asking", &["alice", "bob"]);
    // What is no change, or no data of an organisation, is signed by nobody.
    let nothing = ask(&desk, "alice", "changed.pem", &["--org", "alice"]);
    assert!(nothing.code == 3 && nothing.stderr.contains("says already"), "{}", nothing.stderr);
    let lei = ask(&desk, "alice", "changed.pem", &["--lei", "short"]);
    assert!(lei.code == 3 && lei.stderr.contains("twenty digits"), "{}", lei.stderr);
    for slip in [["--kbo", "0123.456.789"], ["--lei", "5493001KJTIIGC8Y1R13"]] {
        let slip = ask(&desk, "alice", "changed.pem", &slip);
        assert!(slip.code == 2 && slip.stderr.contains("compare it with the register"), "{}", slip.stderr);
    }
    assert_eq!(ask(&desk, "alice", "changed.pem", &[]).code, 2, "nothing is asked for");
    assert!(!desk.path("changed.pem").exists());

    let said = ["--org", "Alice & Sons", "--kbo", "0123.456.749", "--supplier-of", "Grid"];
    let asked = ask(&desk, "alice", "changed.pem", &said);
    assert_eq!(asked.code, 0, "{}", asked.stderr);
    assert!(
        asked.stdout.contains("alice → Alice & Sons") && asked.stdout.contains("coalition amend --request")
    );
    let verify = |log: &str| desk.coalition.run(&["verify", "changed.pem", "--log", log]);
    let told = verify("log.pem");
    assert!(
        told.stdout.contains("Alice & Sons") && told.stdout.contains("not in this log"),
        "{}",
        told.stderr
    );

    let told = desk.ok(&grant("changed.pem"));
    assert!(told.contains("alice → Alice & Sons") && told.contains("- → 0123456749"), "{told}");
    assert!(told.contains("asked for it on") && told.contains("No participation notice"), "{told}");
    let entry = entries(&desk)[2].clone();
    assert_eq!(entry["amended_to"]["supplier_of"], serde_json::json!(["Grid"]));
    assert_eq!(entry["decision"]["decided_by"], "the member itself");
    let evidence = entry["decision"]["evidence"].as_str().unwrap();
    let (kept, asked) = evidence.split_once(", asked for on ").unwrap();
    assert!(kept.starts_with("amendments/") && asked.starts_with("20"), "{evidence}");
    let same = |file: &str| fs::read_to_string(desk.path(file)).unwrap();
    assert_eq!(same(&format!("coalition/{kept}")), same("changed.pem"));
    desk.coalition.export("newer.pem");
    assert!(verify("newer.pem").stdout.contains("entry 3, made"), "{}", verify("newer.pem").stdout);

    // Granted once: whoever is handed it again has nothing left to do.
    let again = desk.ok(&grant("changed.pem"));
    assert!(again.contains("Entry 3 of the admin log says so already; nothing is signed"), "{again}");
    assert_eq!(entries(&desk).len(), 3);
    // A request takes the place of serial, data and minutes.
    for more in [&["2"][..], &["--org", "x"], &["--decided-by", "Board"]] {
        assert_eq!(desk.run(&[&grant("changed.pem"), more].concat()).code, 2, "{more:?}");
    }
}

#[test]
fn a_request_of_another_key_coalition_or_day_is_refused_with_what_to_do() {
    let (desk, _members) = joined("Requests", &["alice", "bob"]);
    let asked = ask(&desk, "alice", "old.pem", &["--org", "Alice & Sons"]);
    assert_eq!(asked.code, 0, "{}", asked.stderr);

    // The admins amend it meanwhile: granted now the request would undo that.
    desk.ok(&amend("1", &["--sector", "energy"]));
    let stale = desk.refused(&grant("old.pem"));
    for expected in ["up to entry 2", "entry 3 has changed", "energy → -, as it was before", "belfry amend"]
    {
        assert!(stale.contains(expected), "{expected}: {stale}");
    }
    // Put back it is none the less another day's request.
    desk.ok(&amend("1", &["--sector", "none"]));
    assert!(desk.refused(&grant("old.pem")).contains("entry 4 has changed"));
    assert!(!desk.path("coalition/amendments").exists(), "nothing was decided on it");

    // Of a log that goes on beyond the folder's, as where another admin decided.
    desk.copy("coalition", "behind");
    desk.ok(&amend("1", &["--sector", "water"]));
    desk.coalition.export("log-5.pem");
    fs::copy(desk.path("log-5.pem"), desk.path("log.pem")).unwrap();
    assert_eq!(ask(&desk, "alice", "new.pem", &["--org", "Alice & Sons"]).code, 0);
    let behind = desk.refused(&["amend", "--request", "new.pem", "--dir", "behind"]);
    assert!(behind.contains("ends at 4") && behind.contains("coalition take"), "{behind}");

    // One member's word is not another's, one coalition's not another's, and a changed one nobody's.
    let text = fs::read_to_string(desk.path("new.pem")).unwrap();
    let as_departure = text.replace("AMENDMENT REQUEST", "DEPARTURE");
    fs::write(desk.path("departure.pem"), as_departure).unwrap();
    desk.refused(&[&["leave", "departure.pem", "--dir", "coalition"][..], &WITH].concat());
    let other = Desk::found("Other");
    fs::copy(desk.path("new.pem"), other.path("new.pem")).unwrap();
    let elsewhere = other.refused(&grant("new.pem"));
    assert!(elsewhere.contains("not ours") && elsewhere.contains("--dir"), "{elsewhere}");
    desk.ok(&[&["suspend", "1", "--dir", "coalition"][..], &WITH].concat());
    let suspended = desk.refused(&grant("new.pem"));
    assert!(
        suspended.contains("no such role") && suspended.contains("certificate that is valid"),
        "{suspended}"
    );
    desk.ok(&[&["resume", "1", "--dir", "coalition"][..], &WITH].concat());
    desk.ok(&grant("new.pem"));
    let roster: Value = serde_json::from_str(&desk.ok(&["roster", "--json", "--dir", "coalition"])).unwrap();
    assert_eq!(roster["certificates"][0]["organisation"], "Alice & Sons");
}

/// Other tools make requests, too, and another country's rule is another one.
#[test]
fn a_number_of_a_request_that_breaks_the_rule_is_warned_of_before_it_is_granted() {
    let (desk, _members) = joined("Numbers", &["alice"]);
    let standard = include_str!("../../../config/notices.default.toml");
    let rule = "begins = [\"0\", \"1\"]\ndigits = 2\nmodulus = 97\n";
    assert!(standard.contains(rule));
    let other = standard.replacen(rule, "begins = [\"0\"]\ndigits = 1\nmodulus = 11\n", 1);
    fs::write(desk.path("other.toml"), other).unwrap();
    let by = ["--authorities", "other.toml"];
    let asked = ask(&desk, "alice", "changed.pem", &[&["--kbo", "0203201341"][..], &by].concat());
    assert_eq!(asked.code, 0, "{}", asked.stderr);
    // Nobody is there to answer: it is warned of before anything is signed.
    let look = ["amend", "--request", "changed.pem", "--dir", "coalition"];
    for (more, is_told) in [(&[][..], true), (&by[..], false)] {
        let ran = desk.run(&[&look[..], more, &WITH[1..]].concat());
        assert_eq!(ran.code, 3, "{}{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains("nothing was signed"), "{}", ran.stderr);
        let told = [
            "the enterprise number 0203201341 of the request has wrong check digits",
            "held to its own rule by --authorities), and ask the member for another file",
        ];
        assert!(told.iter().all(|told| ran.stderr.contains(told) == is_told), "{}", ran.stderr);
    }
    assert_eq!(entries(&desk).len(), 1);
    // Its form is a certificate's rule, the digits are the admins' to judge.
    desk.ok(&grant("changed.pem"));
    assert_eq!(entries(&desk)[1]["amended_to"]["kbo"], "0203201341");
}
