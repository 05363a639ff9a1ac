//! What a member signs itself: that it leaves, and that it accepts new texts. Files pass between its machine and the
//! coalition's.

use std::fs;

use belfry_tests::process::{Member, Ran, Role, eventually};
use serde_json::Value;

use super::desk::Desk;

const WITH: [&str; 3] = ["--yes", "--passphrase-file", "passphrase"];

/// A coalition with these members, each with its data folder.
fn joined(name: &str, members: &[&str]) -> (Desk, Vec<Member>) {
    let desk = Desk::found(name);
    let members: Vec<Member> =
        members.iter().map(|name| desk.coalition.issue(name, Role::Publisher)).collect();
    members.iter().for_each(|member| member.join(&desk.coalition));
    (desk, members)
}

/// Runs a member's command on its folder.
fn run(desk: &Desk, arguments: &[&str]) -> Ran {
    desk.coalition.run(&[arguments, &WITH].concat())
}

fn verified(desk: &Desk, file: &str) -> String {
    desk.coalition.ok(&["verify", file, "--log", "log.pem"])
}

#[test]
fn a_member_leaves_by_its_own_word_and_three_dates_stay_apart() {
    let (desk, _members) = joined("Leaving", &["alice", "bob"]);
    let leave = |effective: &str| {
        let dates = ["--decided-on", "2026-02-01", "--effective", effective];
        run(&desk, &[&["leave", "--out", "leaving.pem", "--dir", "alice"][..], &dates].concat())
    };
    let early = leave("2026-01-01T00:00:00+01:00");
    assert_eq!(early.code, 3, "{}", early.stderr);
    assert!(early.stderr.contains("cannot take effect on"), "{}", early.stderr);
    assert!(early.stderr.contains("name a later --effective, or as --decided-on"), "{}", early.stderr);
    let vague = leave("2099-01-01");
    assert!(vague.code == 2 && vague.stderr.contains("zone"), "{}", vague.stderr);
    assert!(!desk.path("leaving.pem").exists(), "nothing was signed");
    let told = leave("2098-12-31T23:59:59+01:00");
    assert_eq!(told.code, 0, "{}", told.stderr);
    assert!(told.stdout.contains("2098-12-31T22:59:59Z") && told.stdout.contains("belfry notice"));
    assert!(verified(&desk, "leaving.pem").contains("not in this log"));

    let record = [&["leave", "leaving.pem", "--dir", "coalition"][..], &WITH].concat();
    assert!(desk.ok(&record).contains("ends certificate 1"));
    assert!(desk.ok(&record).contains("recorded already"), "run again, it is so already");
    let log: Value = serde_json::from_str(&desk.ok(&["log", "--json", "--dir", "coalition"])).unwrap();
    let entry = &log["entries"][2];
    assert_eq!(
        (entry["action"].as_str(), entry["decision"]["decided_by"].as_str()),
        (Some("revoke"), Some("the member itself"))
    );
    let kept = entry["decision"]["evidence"].as_str().unwrap();
    let same = |file: &str| fs::read_to_string(desk.path(file)).unwrap();
    assert_eq!(same(&format!("coalition/{kept}")), same("leaving.pem"));
    assert!(desk.ok(&["roster", "--dir", "coalition"]).contains("valid"), "until then it stays in");
    desk.coalition.export("log.pem");
    let told = verified(&desk, "leaving.pem");
    assert!(told.contains("2026-02-01T00:00:00Z") && told.contains("entry 3, made"), "{told}");
    let notices: Value =
        serde_json::from_str(&desk.ok(&["notices", "--json", "--dir", "coalition"])).unwrap();
    let all = notices["notices"].as_array().unwrap();
    let leaving =
        all.iter().find(|notice| notice["id"] == "3-nis2-leaving").unwrap_or_else(|| panic!("{notices}"));
    assert_eq!(leaving["state"], "upcoming", "{leaving}");

    // One signed word does not pass for another.
    fs::write(desk.path("forged.pem"), same("leaving.pem").replace("BELFRY DEPARTURE", "BELFRY ACCEPTANCE"))
        .unwrap();
    desk.refused(&["accept", "forged.pem", "--dir", "coalition", "--passphrase-file", "passphrase"]);
}

#[test]
fn what_a_member_is_refused_comes_with_what_it_does_instead() {
    let (desk, _members) = joined("Refused", &["alice", "bob"]);
    let refused = |ran: Ran, mend: &str| {
        assert!(ran.code == 3 && ran.stderr.contains(mend), "{mend}: {} {}", ran.code, ran.stderr);
    };
    let accepted = run(&desk, &["accept-rules", "--out", "accepted.pem", "--dir", "alice"]);
    refused(accepted, "name its newest log (--log)");
    let leave = |out: &str, effective: &str| {
        let when = ["--effective", effective, "--log", "log.pem"];
        run(&desk, &[&["leave", "--out", out, "--dir", "alice"][..], &when].concat())
    };
    assert_eq!(leave("leaving.pem", "2098-01-01T00:00:00+01:00").code, 0);
    desk.ok(&[&["leave", "leaving.pem", "--dir", "coalition"][..], &WITH].concat());
    desk.ok(&[&["revoke", "2", "--reason", "left", "--dir", "coalition"][..], &WITH].concat());
    desk.coalition.export("log.pem");
    refused(leave("later.pem", "2098-06-01T00:00:00+02:00"), "name an --effective before that");
    let join = ["join", "bob.certificate", "--log", "log.pem", "--dir", "bob"];
    refused(desk.coalition.run(&join), "ask the coalition for the one that holds now");
    // What an auditor gets that does not fit, too.
    let other = "00".repeat(32);
    refused(desk.coalition.run(&["verify", "log.pem", "--coalition", &other]), "compare the words you have");
    fs::write(desk.path("any.md"), "any text\n").unwrap();
    refused(desk.coalition.run(&["verify", "any.md", "--log", "log.pem"]), "get it again, byte for byte");
    assert!(!desk.path("accepted.pem").exists() && !desk.path("later.pem").exists(), "nothing was signed");
}

/// What lies in a folder of the coalition's, in no order.
fn kept(desk: &Desk, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(desk.path("coalition").join(folder)).unwrap();
    entries.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect()
}

#[test]
fn a_second_word_of_a_member_takes_no_earlier_ones_place() {
    let (desk, _members) = joined("Twice", &["alice"]);
    let read = |file: &str| fs::read_to_string(desk.path(file)).unwrap();
    for (file, effective) in
        [("first.pem", "2098-12-31T00:00:00+01:00"), ("second.pem", "2098-06-30T00:00:00+01:00")]
    {
        let dates = ["--decided-on", "2026-02-01", "--effective", effective];
        let left = run(&desk, &[&["leave", "--out", file, "--dir", "alice"][..], &dates].concat());
        assert_eq!(left.code, 0, "{}", left.stderr);
        let record = [&["leave", file, "--dir", "coalition"][..], &WITH].concat();
        assert!(desk.ok(&record).contains("ends certificate 1"));
    }
    // On the member's machine neither is written over.
    let dates = ["--decided-on", "2026-02-01", "--effective", "2097-01-01T00:00:00+01:00"];
    let over = run(&desk, &[&["leave", "--out", "first.pem", "--dir", "alice"][..], &dates].concat());
    assert!(over.code != 0 && over.stderr.contains("not overwritten"), "{}", over.stderr);
    let words = kept(&desk, "departures");
    assert_eq!(words.len(), 2);
    assert!(words.contains(&read("first.pem")) && words.contains(&read("second.pem")));
    // Each entry names the word it rests on.
    let log: Value = serde_json::from_str(&desk.ok(&["log", "--json", "--dir", "coalition"])).unwrap();
    for (entry, file) in [(1, "first.pem"), (2, "second.pem")] {
        let at = log["entries"][entry]["decision"]["evidence"].as_str().unwrap();
        assert_eq!(read(&format!("coalition/{at}")), read(file));
    }
}

#[test]
fn a_request_that_waits_for_signatures_is_kept_beside_another_of_the_same_keys() {
    let desk = Desk::found("Asked twice");
    // Without the registrar's key a decision waits.
    fs::rename(desk.path("coalition/keys/registrar.pem"), desk.path("registrar.pem")).unwrap();
    let issue = |request: &str| {
        let told = desk.ok(&["issue", request, "--until", "2099-12-31", "--yes", "--dir", "coalition"]);
        assert!(told.contains("registrar orders"), "{told}");
    };
    desk.coalition.enrol("dave", Role::Reader);
    issue("dave.request");
    let again = ["enroll", "--charter", "coalition/charter.pem", "--org", "Dave & Sons", "--dir", "dave"];
    let with = ["--class", "essential", "--groups", "cidr", "--out", "other.request"];
    desk.coalition.ok(&[&again[..], &with, &["--accept-arrangement", "--accept-rules"]].concat());
    // Its keys get one certificate: the decision that waits is given up first.
    let early =
        desk.refused(&["issue", "other.request", "--until", "2099-12-31", "--yes", "--dir", "coalition"]);
    assert!(early.contains("Dave & Sons") && early.contains("delete that file"), "{early}");
    fs::remove_dir_all(desk.path("coalition/statements")).unwrap();
    issue("other.request");
    issue("other.request");
    let read = |file: &str| fs::read_to_string(desk.path(file)).unwrap();
    let requests = kept(&desk, "requests");
    assert_eq!(requests.len(), 2);
    assert!(requests.contains(&read("dave.request")) && requests.contains(&read("other.request")));
}

/// A charter with new rules of conduct, to be accepted long from now.
fn new_rules(desk: &Desk) {
    desk.draft(
        "amend.toml",
        &[
            ("#accept_by = \"2027-12-31T23:59:59Z\"", "accept_by = \"2098-12-31T23:59:59Z\""),
            ("unaccepted = \"warn\"", "unaccepted = \"stop-publishing\""),
        ],
    );
    fs::write(desk.path("rules-2.md"), "new rules\n").unwrap();
    let text = fs::read_to_string(desk.path("amend.toml")).unwrap();
    let (before, rules) = text.split_once("[rules_of_conduct]").unwrap();
    let (old, after) = rules.split_once("hash = ").unwrap();
    let (_, after) = after.split_once('\n').unwrap();
    let old = old.replace("1.0", "2.0");
    let text = format!("{before}[rules_of_conduct]{old}file = \"rules-2.md\"\n{after}");
    fs::write(desk.path("amend.toml"), text).unwrap();
    let made = desk.run(&["charter", "make", "amend.toml", "--out", "amend.pem", "--dir", "coalition"]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    assert!(made.stderr.contains("belfry accept-rules"), "{}", made.stderr);
    desk.sign("amend.pem", "coalition/keys/root.pem");
    desk.ok(&["charter", "publish", "amend.pem", "--dir", "coalition"]);
    desk.coalition.export("log.pem");
}

#[test]
fn who_accepted_which_rules_when_is_shown_from_the_log_alone() {
    let (desk, _members) = joined("New rules", &["alice", "bob"]);
    new_rules(&desk);
    // The text goes along with the charter: beside what the holders sign, into the coalition's folder, and out of it.
    for beside in ["documents", "coalition/documents"] {
        assert_eq!(
            fs::read_to_string(desk.path(beside).join("rules-2.md")).unwrap(),
            "new rules\n",
            "{beside}"
        );
    }
    let audit = || desk.coalition.ok(&["audit", "rules", "--log", "log.pem"]);
    assert!(audit().contains("0 of 2 members have accepted"), "{}", audit());

    let accept = |more: &[&str]| {
        let arguments = ["accept-rules", "--out", "acceptance.pem", "--dir", "alice"];
        run(&desk, &[&arguments[..], more].concat())
    };
    // The log of the day it joined has nothing new; another text than the charter's is not accepted by mistake.
    let nothing = accept(&[]);
    assert!(nothing.code == 3 && nothing.stderr.contains("already"), "{}", nothing.stderr);
    fs::write(desk.path("other.md"), "other rules\n").unwrap();
    let other = accept(&["--log", "log.pem", "--rules", "other.md"]);
    assert!(other.code == 3 && other.stderr.contains("is not the rules of conduct"), "{}", other.stderr);
    assert!(!desk.path("acceptance.pem").exists());
    let done = accept(&["--log", "log.pem", "--rules", "rules-2.md"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(verified(&desk, "acceptance.pem").contains("not in this log"));

    let unasked = ["accept", "acceptance.pem", "--dir", "coalition", "--passphrase-file", "passphrase"];
    let unasked = desk.refused(&unasked);
    assert!(unasked.contains("nothing was signed") && unasked.contains("--yes"), "{unasked}");
    let file = [&["accept", "acceptance.pem", "--dir", "coalition"][..], &WITH].concat();
    assert!(desk.ok(&file).contains("alice, accepted on"));
    assert!(desk.ok(&file).contains("recorded already"), "an interrupted run is repeated as it was");
    desk.coalition.export("log.pem");
    assert!(verified(&desk, "acceptance.pem").contains("entry 3"));
    assert!(audit().contains("1 of 2 members have accepted"), "{}", audit());
    let shown = desk.coalition.ok(&["audit", "rules", "--log", "log.pem", "--json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let of = |name: &str| {
        let members = shown["members"].as_array().unwrap();
        members.iter().find(|member| member["organisation"] == name).unwrap().clone()
    };
    let (alice, bob) = (of("alice"), of("bob"));
    assert_eq!((&alice["accepted_in_force"], &bob["accepted_in_force"]), (&true.into(), &false.into()));
    assert_eq!(alice["acceptances"][1]["rules_of_conduct"], "2.0");
    assert_eq!(
        (&alice["acceptances"][1]["entry"], &alice["acceptances"][0]["entry"]),
        (&3.into(), &1.into())
    );
    assert_eq!(bob["acceptances"].as_array().unwrap().len(), 1);
}

#[test]
fn that_a_member_accepted_the_texts_at_enrolment_is_proven_by_its_own_signature_which_the_coalition_keeps() {
    let (desk, _members) = joined("Enrolled", &["alice", "bob"]);
    let read = |file: &str| fs::read_to_string(desk.path(file)).unwrap();
    let kept: Vec<String> = fs::read_dir(desk.path("coalition/requests"))
        .unwrap()
        .map(|entry| format!("coalition/requests/{}", entry.unwrap().file_name().to_str().unwrap()))
        .collect();
    assert_eq!(kept.len(), 2);
    let of_alice = kept.iter().find(|file| read(file) == read("alice.request")).unwrap();
    let audit = |more: &[&str]| {
        let ran = desk.coalition.run(&[&["audit", "rules", "--log", "log.pem"][..], more].concat());
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        ran
    };
    let found = || {
        let told = audit(&["--requests", "coalition/requests", "--json"]).stdout;
        let told: Value = serde_json::from_str(&told).unwrap();
        told["members"].as_array().unwrap().iter().map(|m| m["acceptances"][0]["signature"].clone()).collect()
    };
    // The certificate's entry names the texts; the signature is looked for only where one says.
    assert!(audit(&[]).stdout.contains("in the request"));
    let proofs: Vec<Value> = found();
    assert!(proofs.iter().all(|proof| proof["in"] == "request" && proof["found"] == true), "{proofs:?}");
    let told = verified(&desk, of_alice);
    let signed = |proof: &Value| proof["signed"].as_str().unwrap().get(..19).unwrap().to_owned();
    assert!(
        proofs.iter().any(|proof| told.contains(&signed(proof)))
            && told.contains("1, issued by entry 1 of the log to these keys"),
        "{told}"
    );
    // New texts change nothing about what was accepted then.
    new_rules(&desk);
    let told = verified(&desk, of_alice);
    assert!(told.contains("1.0") && !told.contains("2.0"), "{told}");
    assert!(audit(&["--requests", "coalition/requests"]).stdout.contains("request of 20"));

    // A request that nothing was issued for is told as such; one by the same keys under another name proves nothing.
    desk.coalition.enrol("carol", Role::Reader);
    assert!(verified(&desk, "carol.request").contains("none in this log"));
    let issue = ["coalition", "issue", "carol.request", "--until", "2099-12-31", "--yes"];
    let issued = || desk.coalition.ok(&[&issue[..], &["--dir", "coalition"]].concat());
    issued();
    let again = ["enroll", "--charter", "coalition/charter.pem", "--org", "Carol & Sons", "--dir", "carol"];
    let with = ["--class", "essential", "--groups", "cidr", "--out", "other.request"];
    desk.coalition.ok(&[&again[..], &with, &["--accept-arrangement", "--accept-rules"]].concat());
    desk.coalition.export("log.pem");
    let other = desk.coalition.run(&["verify", "other.request", "--log", "log.pem"]);
    assert!(other.code == 3 && other.stderr.contains("another organisation"), "{}", other.stderr);
    let of_carol = fs::read_dir(desk.path("coalition/requests")).unwrap().map(|entry| entry.unwrap().path());
    let of_carol =
        of_carol.into_iter().find(|path| fs::read_to_string(path).unwrap() == read("carol.request"));
    let of_carol = of_carol.unwrap();
    fs::copy(desk.path("other.request"), &of_carol).unwrap();
    let ran = audit(&["--requests", "coalition/requests"]);
    assert!(
        ran.stdout.contains("request missing") && ran.stderr.contains("another organisation"),
        "{}",
        ran.stderr
    );
    // What is lost is said to be so, and issuing the request again keeps it again.
    fs::remove_file(&of_carol).unwrap();
    assert_eq!(found().iter().filter(|proof| proof["found"] == false).count(), 1);
    issued();
    assert!(found().iter().all(|proof| proof["found"] == true));
}

#[test]
fn members_read_the_very_texts_that_the_charter_names_and_no_others() {
    let desk = Desk::found("Texts");
    let members = desk.coalition.running(&[("alice", Role::Publisher), ("bob", Role::Reader)]);
    let (alice, bob) = (&members[0], &members[1]);
    new_rules(&desk);
    let imported = alice.ok(&["import-log", desk.path("log.pem").to_str().unwrap()]);
    assert!(imported.contains("Took the rules-of-conduct"), "{imported}");
    assert_eq!(alice.ok(&["rules", "rules-of-conduct"]), "new rules\n");
    let told = alice.ok(&["rules"]);
    assert!(told.contains("2.0") && told.contains("To be accepted by 2098-12-31"), "{told}");

    // The other node has the charter by gossip, and the text not yet: it says so, and takes the right one only.
    eventually("bob's charter", || {
        let shown: Value = serde_json::from_str(&bob.ok(&["rules", "--json"])).unwrap();
        (shown["charter"] == 2).then_some(())
    });
    let missing = bob.run(&["rules", "rules-of-conduct"]);
    assert!(missing.code != 0 && missing.stderr.contains("no file in `documents`"), "{}", missing.stderr);
    fs::write(desk.path("forged.md"), "new rules, and a fee\n").unwrap();
    let forged = bob.run(&["rules", "--take", desk.path("forged.md").to_str().unwrap()]);
    assert!(
        forged.code == 3 && forged.stderr.contains("Get one of them, byte for byte"),
        "{}",
        forged.stderr
    );
    bob.ok(&["rules", "--take", desk.path("rules-2.md").to_str().unwrap()]);
    let out = desk.path("read.md");
    let wrote = bob.ok(&["rules", "rules-of-conduct", "--out", out.to_str().unwrap()]);
    assert!(wrote.contains("sha256") && fs::read(&out).unwrap() == b"new rules\n", "{wrote}");
    // What was put in its place afterwards is not shown for it.
    let kept = bob.file("documents/rules-2.md");
    fs::write(&kept, "other rules\n").unwrap();
    assert_ne!(bob.run(&["rules", "rules-of-conduct"]).code, 0);
}

#[test]
fn what_the_cut_of_a_suspended_node_keeps_stays_when_its_member_leaves() {
    let (desk, _members) = joined("Leaving while suspended", &["alice"]);
    let certificates = || -> Vec<Value> {
        let roster: Value =
            serde_json::from_str(&desk.ok(&["roster", "--json", "--dir", "coalition"])).unwrap();
        roster["certificates"].as_array().unwrap().clone()
    };
    let member = certificates()[0]["member"].as_str().unwrap().to_owned();
    let enrol = ["enroll", "--charter", "coalition/charter.pem", "--org", "alice", "--class", "essential"];
    let node = ["--groups", "cidr", "--member", &member, "--dir", "two", "--out", "two.request"];
    desk.coalition.ok(&[&enrol[..], &node, &["--accept-arrangement", "--accept-rules"]].concat());
    desk.ok(&[&["issue", "two.request", "--until", "2099-12-31", "--dir", "coalition"][..], &WITH].concat());
    let (log, message) = ("11".repeat(32), "22".repeat(32));
    fs::write(desk.path("heads.txt"), format!("{log} 3 {message}\n")).unwrap();
    desk.ok(&[&["suspend", "2", "--cut", "heads.txt", "--dir", "coalition"][..], &WITH].concat());

    // Announced by hand without a cut it would hide what that keeps.
    let end = ["--reason", "left", "--effective", "2098-12-31T23:59:59+01:00", "--dir", "coalition"];
    let said = desk.refused(&[&["revoke", "2"][..], &end, &WITH].concat());
    assert!(said.contains("hides all that its own cut keeps") && said.contains("--cut"), "{said}");
    let with_cut = [&["revoke", "2", "--cut", "heads.txt"][..], &end].concat();
    let asked = desk.run(&with_cut);
    assert!(asked.stdout.contains("up to the cut of 1 log stay"), "{}", asked.stdout);
    assert!(!asked.stdout.contains("It stays in until"), "{}", asked.stdout);

    let dates = ["--decided-on", "2026-02-01", "--effective", "2098-12-31T23:59:59+01:00"];
    let left = run(&desk, &[&["leave", "--out", "leaving.pem", "--dir", "alice"][..], &dates].concat());
    assert_eq!(left.code, 0, "{}", left.stderr);
    let told = desk.ok(&[&["leave", "leaving.pem", "--dir", "coalition"][..], &WITH].concat());
    assert!(told.contains("ends certificate 1") && told.contains("ends certificate 2"), "{told}");
    let entries: Value = serde_json::from_str(&desk.ok(&["log", "--json", "--dir", "coalition"])).unwrap();
    let cut = |entry: usize| &entries["entries"][entry]["says"]["cut"];
    assert_eq!(*cut(3), serde_json::json!([]), "of the node that is in, everything stays");
    assert_eq!(*cut(4), serde_json::json!([{ "log": log, "sequence": 3, "message": message }]));
}
