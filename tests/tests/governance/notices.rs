//! Participation notices on both sides: the coalition's page and the entity's own say the same, and each keeps its register.

use std::fs;

use belfry_tests::process::{Coalition, Role};
use serde_json::Value;

use super::desk::Desk;

const WITH: [&str; 3] = ["--yes", "--passphrase-file", "passphrase"];

/// All notices that a command tells as JSON.
fn notices(said: &str) -> Vec<Value> {
    let told: Value = serde_json::from_str(said).unwrap();
    told["notices"].as_array().unwrap().clone()
}

fn of_the_coalition(desk: &Desk) -> Vec<Value> {
    notices(&desk.ok(&["notices", "--json", "--dir", "coalition"]))
}

/// A member's `belfry notice`, on its data folder.
fn own(coalition: &Coalition, member: &str, arguments: &[&str]) -> String {
    coalition.ok(&[&["notice", "--dir", member], arguments].concat())
}

/// What a notice says, without where it stands in somebody's register.
fn said(mut notice: Value) -> Value {
    let map = notice.as_object_mut().unwrap();
    map.remove("state");
    map.remove("register");
    notice
}

#[test]
fn an_entitys_own_notice_says_what_the_coalitions_page_says_once_it_has_the_record() {
    let desk = Desk::found("Record");
    let coalition = &desk.coalition;
    coalition.enrol("alice", Role::Publisher);
    let issue = ["issue", "alice.request", "--out", "alice.certificate", "--until", "2099-12-31"];
    let decided = ["--decided-by", "Board", "--decided-on", "2026-10-01", "--evidence", "minutes 9"];
    let since = ["--member-since", "2019-03-01", "--dir", "coalition"];
    desk.ok(&[&issue[..], &decided, &since, &WITH].concat());
    let bob = coalition.issue("bob", Role::Reader);
    coalition.export("log.pem");
    coalition.ok(&["join", "alice.certificate", "--log", "log.pem", "--dir", "alice"]);
    bob.join(coalition);
    let id = "1-nis2-entering";
    desk.ok(&["notices", "--mandated", id, "--mandate", "M-1", "--dir", "coalition"]);
    let wrote = desk.ok(&["notices", "--write", "pages", "--dir", "coalition"]);
    assert!(wrote.contains("2 pages and 2 records"), "{wrote}");

    // By the log alone the entity knows no more than that.
    let bare = &notices(&own(coalition, "alice", &["--json"]))[0];
    let theirs = &of_the_coalition(&desk)[0];
    assert_ne!(bare["decided"], theirs["decided"]);
    assert!(bare["decision"].is_null() && bare["mandate"].is_null() && bare["since_asserted"].is_null());
    let record = |notice: &Value| format!("pages/{}.record.json", notice["member"].as_str().unwrap());
    // What it changes is shown, and nothing is kept before somebody says yes.
    let asked = coalition.run(&["notice", "--dir", "alice", "--record", &record(theirs)]);
    assert!(asked.code == 3 && asked.stderr.contains("--yes"), "{}", asked.stderr);
    assert!(asked.stdout.contains("- → Board, 2026-10-01, minutes 9"), "{}", asked.stdout);
    assert!(notices(&own(coalition, "alice", &["--json"]))[0]["decision"].is_null());
    own(coalition, "alice", &["--record", &record(theirs), "--yes"]);
    // It is kept: the next command has it, too.
    let mine = &notices(&own(coalition, "alice", &["--json"]))[0];
    assert_eq!(said(mine.clone()), said(theirs.clone()));
    assert!(mine["decision"] == "Board, 2026-10-01, minutes 9" && mine["mandate"] == "M-1", "{mine}");
    own(coalition, "alice", &["--out", "own.html"]);
    let read = |path: &str| fs::read_to_string(desk.path(path)).unwrap();
    assert_eq!(read("own.html"), read(&format!("pages/{id}.en.html")));

    // Another member's, another coalition's, one of no decision in this log: refused, and what was kept stays.
    let refused = |file: &str| {
        let ran = coalition.run(&["notice", "--dir", "alice", "--record", file]);
        assert_eq!(ran.code, 3, "{}{}", ran.stdout, ran.stderr);
        ran.stderr
    };
    let bobs = refused(&record(&of_the_coalition(&desk)[1]));
    assert!(bobs.contains("\"bob\"") && bobs.contains("ask the coalition for yours"), "{bobs}");
    let genuine = read(&record(theirs));
    let changed = |key: &str| {
        let mut value: Value = serde_json::from_str(&genuine).unwrap();
        match key {
            "decided" => value["notices"][0][key] = "2097-01-01T00:00:00.000000Z".into(),
            "decision" => value["notices"][0][key] = "Board\nand others".into(),
            "statement" => value["notices"][0][key] = "ab".repeat(32).into(),
            _ => value[key] = "ab".repeat(32).into(),
        }
        fs::write(desk.path("changed.json"), value.to_string()).unwrap();
        refused("changed.json")
    };
    assert!(changed("coalition").contains("not of this node's"));
    assert!(changed("statement").contains("read a newer log"));
    assert!(changed("decided").contains("after the log says so"));
    assert!(changed("decision").contains("no line"));
    // Written again after something changed, the earlier record stays beside it.
    let pages = || fs::read_dir(desk.path("pages")).unwrap().count();
    let (before, again) = (pages(), ["notices", "--write", "pages", "--dir", "coalition"]);
    desk.ok(&again);
    assert_eq!(pages(), before, "the same is not written twice");
    desk.ok(&["notices", "--mandated", "2-nis2-entering", "--mandate", "M-2", "--dir", "coalition"]);
    let ran = desk.run(&again);
    assert!(ran.stderr.contains(".record.1.json") && ran.stderr.contains("is kept"), "{}", ran.stderr);
    assert_eq!(pages(), before + 2, "bob's page and record");
    // Who decided was signed for with the statement; by which mandate the coalition acts was not.
    let verified = |file: &str| coalition.run(&["verify", file, "--log", "log.pem"]);
    let held = verified(&record(theirs));
    assert_eq!(held.code, 0, "{}", held.stderr);
    assert!(held.stdout.contains("Board, 2026-10-01, minutes 9 (signed for"), "{}", held.stdout);
    assert!(held.stdout.contains("M-1 (the coalition's word alone)"), "{}", held.stdout);
    let mut value: Value = serde_json::from_str(&genuine).unwrap();
    value["notices"][0]["decision"] = "Bureau, 2026-10-01, minutes 9".into();
    fs::write(desk.path("changed.json"), value.to_string()).unwrap();
    assert!(refused("changed.json").contains("it was changed"));
    assert_eq!(verified("changed.json").code, 3);
    value["notices"][0]["minutes"].take();
    fs::write(desk.path("changed.json"), value.to_string()).unwrap();
    assert!(refused("changed.json").contains("the coalition's word alone"), "said before it is asked about");
    assert!(verified("changed.json").stdout.contains("nothing signed says so"));
    // A statement of somebody else's is none about this member.
    let mut value: Value = serde_json::from_str(&genuine).unwrap();
    value["notices"][0]["statement"] = of_the_coalition(&desk)[1]["statement"].clone();
    fs::write(desk.path("changed.json"), value.to_string()).unwrap();
    assert!(refused("changed.json").contains("no decision about this member"));
    assert_eq!(said(notices(&own(coalition, "alice", &["--json"]))[0].clone()), said(theirs.clone()));

    // The entity's own register; the coalition's stays what the coalition did.
    let early = coalition.run(&["notice", "--dir", "alice", "--acknowledged", id]);
    assert!(early.code == 3 && early.stderr.contains("not sent yet"), "{}", early.stderr);
    own(coalition, "alice", &["--sent", id, "--on", "2026-11-02"]);
    own(coalition, "alice", &["--acknowledged", id, "--reference", "CCB-1"]);
    let mine = &notices(&own(coalition, "alice", &["--json"]))[0];
    assert!(mine["state"] == "acknowledged" && mine["register"]["reference"] == "CCB-1", "{mine}");
    assert!(own(coalition, "alice", &[]).contains("acknowledged"));
    assert_eq!(of_the_coalition(&desk)[0]["state"], "due");
    let unknown = coalition.run(&["notice", "--dir", "alice", "--sent", "2-nis2-entering"]);
    assert!(unknown.code == 3 && unknown.stderr.contains("lists them"), "{}", unknown.stderr);
}

#[test]
fn a_member_whose_stolen_keys_were_never_replaced_is_named_with_what_to_do() {
    let desk = Desk::found("Stolen and silent");
    let _alice = desk.coalition.issue("alice", Role::Publisher);
    let _bob = desk.coalition.issue("bob", Role::Reader);
    let revoke = |serial: &str, reason: &str| {
        desk.ok(&[&["revoke", serial, "--reason", reason, "--dir", "coalition"][..], &WITH].concat());
    };
    let warned = || {
        let ran = desk.run(&["notices", "--dir", "coalition"]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        ran.stderr
    };
    revoke("2", "left");
    assert_eq!(warned(), "", "who left has its notice");
    revoke("1", "key-compromise");
    let said = warned();
    assert!(said.contains("\"alice\"") && said.contains("certificate 1") && !said.contains("bob"), "{said}");
    assert!(!of_the_coalition(&desk).iter().any(|notice| notice["id"] == "4-nis2-leaving"));
    // It enrols anew, as it is told to: nothing is left to say. Then it leaves, and that notice is owed.
    let member = of_the_coalition(&desk)[0]["member"].as_str().unwrap().to_owned();
    assert!(said.contains(&format!("belfry enroll --member {member}")), "{said}");
    let enrol = ["enroll", "--charter", "coalition/charter.pem", "--org", "alice", "--class", "essential"];
    let anew = ["--groups", "cidr", "--dir", "anew", "--out", "anew.request", "--member", &member];
    let accepted = ["--accept-arrangement", "--accept-rules"];
    desk.coalition.ok(&[&enrol[..], &anew, &accepted].concat());
    desk.ok(&[&["issue", "anew.request", "--until", "2099-12-31", "--dir", "coalition"][..], &WITH].concat());
    assert_eq!(warned(), "");
    revoke("5", "left");
    assert_eq!(warned(), "");
    let leaving = of_the_coalition(&desk).into_iter().find(|notice| notice["id"] == "6-nis2-leaving");
    assert_eq!(leaving.unwrap()["organisation"], "alice");
}
