//! Participation notices on both sides: the coalition's page and the entity's own say the same, and each keeps its register.

use std::{fs, time::Duration};

use belfry_node::clock;
use belfry_proto::time::Timestamp;
use belfry_tests::process::{Coalition, Role};
use serde_json::Value;

use super::{decisions::ahead, desk::Desk};

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
    let told = own(coalition, "alice", &["--out", "own.html"]);
    assert!(told.contains("(CCB), by https://atwork.safeonweb.be/"), "where it goes: {told}");
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

#[test]
fn the_page_of_who_leaves_by_its_own_word_has_the_readers_day_and_no_word_in_another_language() {
    let desk = Desk::found("Midnight");
    let alice = desk.coalition.issue("alice", Role::Publisher);
    alice.join(&desk.coalition);
    let dates = ["--decided-on", "2026-02-01", "--effective", "2098-01-01T00:00:00+01:00"];
    desk.coalition.ok(&[&["leave", "--dir", "alice", "--out", "leaving.pem"][..], &dates, &WITH].concat());
    desk.ok(&[&["leave", "leaving.pem", "--dir", "coalition"][..], &WITH].concat());
    for (language, leaves, decided, who) in [
        ("en", "1 January 2098, 00:00 CET (UTC+01:00)", "1 February 2026", "the member itself"),
        ("nl", "1 januari 2098, 00:00 CET (UTC+01:00)", "1 februari 2026", "het lid zelf"),
        ("fr", "1 janvier 2098 à 00:00 CET (UTC+01:00)", "1 février 2026", "le membre lui-même"),
    ] {
        desk.ok(&["notices", "--write", "pages", "--lang", language, "--dir", "coalition"]);
        let page = fs::read_to_string(desk.path(&format!("pages/2-nis2-leaving.{language}.html"))).unwrap();
        for said in [leaves, decided, who] {
            assert!(page.contains(said), "{language}: {said} is not in {page}");
        }
        for not in ["2097", "departures", ".pem"] {
            assert!(!page.contains(not), "{language}: {not} is in {page}");
        }
        assert!(language == "en" || !page.contains("the member itself"), "{page}");
    }
    let told = of_the_coalition(&desk);
    let leaving = told.iter().find(|notice| notice["id"] == "2-nis2-leaving").unwrap();
    assert_eq!(leaving["effective"], "2097-12-31T23:00:00.000000Z");
    assert_eq!(leaving["local"]["effective"], "2098-01-01T00:00:00+01:00");
    assert_eq!(leaving["local"]["decided"], "2026-02-01");
    assert_eq!(leaving["local"]["zone"], "Europe/Brussels");
    // The log's entry bears no time; the statement it orders does.
    let log: Value = serde_json::from_str(&desk.ok(&["log", "--json", "--dir", "coalition"])).unwrap();
    assert_eq!((&leaving["made"], leaving["recorded"].as_u64()), (&log["entries"][1]["made"], Some(2)));
    assert!(desk.ok(&["notices", "--dir", "coalition"]).contains("2098-01-01 00:00 CET"));
}

#[test]
fn what_was_sent_today_is_acknowledged_today_and_a_wrong_mark_is_taken_back_in_the_open() {
    let desk = Desk::found("Marks");
    let _alice = desk.coalition.issue("alice", Role::Publisher);
    let (id, dir) = ("1-nis2-entering", ["--dir", "coalition"]);
    let mark = |arguments: &[&str]| desk.ok(&[&["notices"][..], arguments, &dir].concat());
    let refused = |arguments: &[&str]| desk.refused(&[&["notices"][..], arguments, &dir].concat());
    let early = refused(&["--sent", id, "--on", "2020-01-01"]);
    assert!(early.contains("cannot have been sent before") && early.contains("--on"), "{early}");
    assert!(refused(&["--take-back", id, "--because", "x"]).contains("nothing to take back"));
    assert!(!desk.path("coalition/notices.json").exists(), "nothing was recorded");
    mark(&["--sent", id, "--reference", "A-1"]);
    let today: String = clock::now().to_string().chars().take(10).collect();
    mark(&["--acknowledged", id, "--on", &today, "--reference", "CCB-1"]);
    let again = refused(&["--sent", id]);
    assert!(again.contains("acknowledged already") && again.contains("--take-back"), "{again}");

    let silent = desk.run(&[&["notices", "--take-back", id][..], &dir].concat());
    assert!(silent.code == 2 && silent.stderr.contains("--because"), "{}", silent.stderr);
    let back = mark(&["--take-back", id, "--because", "of another member"]);
    assert!(back.contains("taken back: acknowledged") && back.contains("sent now"), "{back}");
    let register = || of_the_coalition(&desk)[0]["register"].clone();
    let kept = &register()["taken_back"][0];
    assert!(kept["what"] == "acknowledged" && kept["because"] == "of another member", "{kept}");
    assert!(kept["reference"] == "CCB-1" && kept["on"].is_string() && kept["at"].is_string(), "{kept}");
    assert_eq!(register()["reference"], "A-1");
    mark(&["--take-back", id, "--because", "it lies here still"]);
    assert_eq!(of_the_coalition(&desk)[0]["state"], "due");
    assert_eq!(register()["taken_back"].as_array().unwrap().len(), 2);
}

#[test]
fn a_register_from_before_goes_on_and_no_mark_passes_to_who_takes_a_place_in_the_log() {
    let desk = Desk::found("Cut back");
    let _carol = desk.coalition.issue("carol", Role::Reader);
    for name in ["alice", "bob"] {
        desk.coalition.enrol(name, Role::Reader);
    }
    desk.copy("coalition", "other");
    let issue = |request: &str, dir: &str| {
        desk.ok(&[&["issue", request, "--until", "2099-12-31", "--dir", dir][..], &WITH].concat());
    };
    issue("alice.request", "coalition");
    let sent = clock::now();
    // As registers were once: a mark goes by the height.
    let kept = format!(r#"{{ "2-nis2-entering": {{ "sent": "{sent}", "reference": "A" }} }}"#);
    desk.coalition.secret("coalition/notices.json", &kept);
    let states = || -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let told = of_the_coalition(&desk);
        told.iter().map(|notice| (text(&notice["organisation"]), text(&notice["state"]))).collect()
    };
    let of = |name: &str, state: &str| (name.to_owned(), state.to_owned());
    assert_eq!(states(), [of("carol", "due"), of("alice", "sent")]);
    desk.ok(&["notices", "--acknowledged", "2-nis2-entering", "--reference", "CCB-9", "--dir", "coalition"]);
    assert_eq!(states(), [of("carol", "due"), of("alice", "acknowledged")]);

    // A charter that pins the log below alice: the height is bob's now.
    desk.draft("next.toml", &[("grant_delay_h = 24", "grant_delay_h = 48")]);
    desk.ok(&["charter", "make", "next.toml", "--out", "next.pem", "--dir", "other"]);
    desk.sign("next.pem", "coalition/keys/root.pem");
    desk.ok(&["charter", "publish", "next.pem", "--dir", "other"]);
    issue("bob.request", "other");
    desk.ok(&["export", "--out", "cut.pem", "--dir", "other"]);
    desk.ok(&["take", "cut.pem", "--dir", "coalition"]);
    assert_eq!(states(), [of("carol", "due"), of("bob", "due")]);
    let listed = desk.run(&["notices", "--dir", "coalition"]);
    assert!(
        listed.stderr.contains("2-nis2-entering was sent on") && listed.stderr.contains("CCB-9"),
        "{}",
        listed.stderr
    );
    desk.ok(&["notices", "--sent", "2-nis2-entering", "--dir", "coalition"]);
    assert_eq!(states(), [of("carol", "due"), of("bob", "sent")]);
}

#[test]
fn what_is_decided_on_a_day_takes_effect_on_that_day_whatever_the_hour_is_in_utc() {
    let desk = Desk::found("Same day");
    let alice = desk.coalition.issue("alice", Role::Publisher);
    alice.join(&desk.coalition);
    let leave = |effective: &str, out: &str| {
        let dates = ["--decided-on", "2026-11-20", "--effective", effective, "--out", out];
        desk.coalition.run(&[&["leave", "--dir", "alice"][..], &dates, &WITH].concat())
    };
    let before = leave("2026-11-19T23:59:59+01:00", "before.pem");
    assert!(before.code == 3 && before.stderr.contains("cannot take effect"), "{}", before.stderr);
    let same = leave("2026-11-20T00:00:00+01:00", "same.pem");
    assert_eq!(same.code, 0, "{}", same.stderr);
    let revoke = |effective: &str| {
        let dates = ["--decided-on", "2026-11-20", "--effective", effective, "--dir", "coalition"];
        desk.run(&[&["revoke", "1", "--reason", "left"][..], &dates, &WITH].concat())
    };
    let before = revoke("2026-11-19T23:59:59+01:00");
    assert!(before.code == 3 && before.stderr.contains("cannot take effect"), "{}", before.stderr);

    // Ten past midnight or later in Brussels, and the day before in UTC: today is no day to come, tomorrow is.
    let day = Duration::from_secs(24 * 3600);
    let now = clock::now();
    let date = |at: Timestamp| -> String { at.to_string().chars().take(10).collect() };
    let late: Timestamp = format!("{}T23:10:00Z", date(now.saturating_add(day))).parse().unwrap();
    let (today, tomorrow) = (date(late.saturating_add(day)), date(late.saturating_add(2 * day)));
    let decide = |decided: &str| {
        let suspend = ["suspend", "1", "--decided-on", decided, "--dir", "coalition"];
        ahead(&desk, late.since(now).as_secs(), &[&suspend[..], &WITH].concat())
    };
    let early = decide(&tomorrow);
    assert!(early.code == 3 && early.stderr.contains("still to come"), "{}", early.stderr);
    let done = decide(&today);
    assert_eq!(done.code, 0, "{}", done.stderr);
}

#[test]
fn a_revocation_of_the_same_calendar_day_is_recorded_as_decided_when_it_takes_effect_at_the_latest() {
    let desk = Desk::found("Same day, by the admins");
    let _alice = desk.coalition.issue("alice", Role::Publisher);
    let dates = ["--decided-on", "2026-11-20", "--effective", "2026-11-20T00:30:00+01:00"];
    let revoke = [&["revoke", "1", "--reason", "left", "--dir", "coalition"][..], &dates, &WITH].concat();
    desk.ok(&revoke);
    assert!(desk.ok(&revoke).contains("says so already"), "it is the same decision");
    let told = of_the_coalition(&desk);
    let leaving = told.iter().find(|notice| notice["occasion"] == "leaving").unwrap();
    assert_eq!(leaving["decided"], leaving["effective"]);
    assert_eq!(leaving["local"]["decided"], "2026-11-20");
}

#[test]
fn a_mark_that_goes_by_a_place_is_kept_by_its_decision_as_soon_as_it_is_read() {
    let desk = Desk::found("Places");
    let _alice = desk.coalition.issue("alice", Role::Publisher);
    let register = format!(r#"{{ "1-nis2-entering": {{ "sent": "{}" }} }}"#, clock::now());
    fs::write(desk.path("coalition/notices.json"), register).unwrap();
    desk.ok(&["notices", "--dir", "coalition"]);
    let text = fs::read_to_string(desk.path("coalition/notices.json")).unwrap();
    let kept: Value = serde_json::from_str(&text).unwrap();
    let marks: Vec<(&String, &Value)> = kept.as_object().unwrap().iter().collect();
    let [(key, mark)] = marks.as_slice() else { panic!("{text}") };
    assert_ne!(key.as_str(), "1-nis2-entering");
    assert_eq!(mark["notice"], "1-nis2-entering");
}

#[test]
fn a_mandate_that_goes_by_a_place_is_warned_of_until_it_is_recorded_anew() {
    let desk = Desk::found("Mandates");
    let _alice = desk.coalition.issue("alice", Role::Publisher);
    let register = r#"{ "1-nis2-entering": { "mandate": "M-7" } }"#;
    fs::write(desk.path("coalition/notices.json"), register).unwrap();
    let listed = || desk.run(&["notices", "--json", "--dir", "coalition"]);
    let ran = listed();
    assert!(ran.stderr.contains("1-nis2-entering a mandate is recorded (M-7)"), "{}", ran.stderr);
    assert!(notices(&ran.stdout)[0]["mandate"].is_null(), "{}", ran.stdout);
    desk.ok(&["notices", "--mandated", "1-nis2-entering", "--mandate", "M-7", "--dir", "coalition"]);
    let ran = listed();
    assert!(!ran.stderr.contains("a mandate is recorded"), "{}", ran.stderr);
    assert_eq!(notices(&ran.stdout)[0]["mandate"], "M-7");
}
