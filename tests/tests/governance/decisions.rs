//! Decisions of several admins: passed on as files, ordered by the registrar, with what was decided kept beside.

use std::fs;

use belfry_tests::process::{Ran, Role, belfry, preloaded, run};
use serde_json::Value;

use super::desk::Desk;

const WITH: [&str; 3] = ["--yes", "--passphrase-file", "passphrase"];

/// A coalition in which issuing and renewing needs two admins, with one member; the second admin's folder has no
/// registrar key.
pub(super) fn two_admins() -> Desk {
    two_admins_for(&["issue", "renew"])
}

/// The same with these actions.
pub(super) fn two_admins_for(actions: &[&str]) -> Desk {
    let desk = Desk::found("Two admins");
    let _alice = desk.coalition.issue("alice", Role::Publisher);
    let second = desk.key("second.pem");
    let admin = desk.ok(&["key", "--key", "coalition/keys/admin.pem", "--passphrase-file", "passphrase"]);
    let admin = format!("\"{}\",", admin.lines().last().unwrap());
    let both = format!("{admin} \"{second}\",");
    let two = |action: &&str| (format!("\n{action} = 1"), format!("\n{action} = 2"));
    let thresholds: Vec<(String, String)> = actions.iter().map(two).collect();
    let mut changes = vec![(admin.as_str(), both.as_str())];
    changes.extend(thresholds.iter().map(|(one, two)| (one.as_str(), two.as_str())));
    desk.amend(&changes);
    desk.ok(&["export", "--out", "log.pem", "--dir", "coalition"]);
    desk.ok(&["take", "log.pem", "--dir", "second"]);
    fs::copy(desk.path("second.pem"), desk.path("second/keys/admin.pem")).unwrap();
    belfry_tests::process::chmod(&desk.path("second/keys/admin.pem"), 0o600);
    desk
}

/// The one statement that waits in a folder.
fn waiting(desk: &Desk, folder: &str) -> String {
    let mut found = fs::read_dir(desk.path(folder).join("statements")).unwrap();
    let path = found.next().unwrap().unwrap().path();
    assert!(found.next().is_none());
    path.to_str().unwrap().to_owned()
}

#[test]
fn an_action_of_two_admins_passes_between_them_as_a_file() {
    let desk = two_admins();
    let renew = [&["renew", "1", "--until", "2101-01-01", "--dir", "coalition"][..], &WITH].concat();
    let told = desk.ok(&renew);
    assert!(told.contains("1 more admin must sign"), "{told}");
    let file = waiting(&desk, "coalition");
    // One admin is not two, whoever asks.
    let order = ["order", &file, "--dir", "coalition", "--passphrase-file", "passphrase"];
    assert!(desk.refused(&order).contains("1 more admin must sign"));
    let again = desk.refused(&[&["sign", &file, "--dir", "coalition"][..], &WITH].concat());
    assert!(again.contains("signature already"), "{again}");
    let shown = desk.ok(&[&["sign", &file, "--dir", "second"][..], &WITH].concat());
    assert!(
        shown.contains("renew") && shown.contains("alice") && shown.contains("registrar orders"),
        "{shown}"
    );
    assert!(shown.contains("none beside the file"), "{shown}");
    assert!(desk.ok(&order).contains("renew"));
    let listed = desk.ok(&["roster", "--dir", "coalition"]);
    assert!(listed.contains("2101-01-01"), "{listed}");
    // It went in once, and asked again is told so.
    let again = desk.ok(&order);
    assert!(again.contains("in the log already") && again.contains("Nothing is left"), "{again}");
    let log: Value = serde_json::from_str(&desk.ok(&["log", "--json", "--dir", "coalition"])).unwrap();
    assert_eq!(log["entries"].as_array().unwrap().len(), 2);
    // A removal still takes one person.
    desk.ok(&[&["suspend", "1", "--dir", "coalition"][..], &WITH].concat());
}

#[test]
fn whoever_signs_next_sees_the_record_that_it_signs_for_and_is_refused_a_changed_one() {
    let desk = two_admins();
    let renew = ["renew", "1", "--until", "2101-01-01", "--decided-by", "Board", "--evidence", "minutes 9"];
    desk.ok(&[&renew[..], &["--dir", "coalition"], &WITH].concat());
    let found = fs::read_dir(desk.path("coalition/statements")).unwrap();
    let mut found: Vec<_> = found.map(|file| file.unwrap().path()).collect();
    found.sort();
    let [file, record] = found.as_slice() else { panic!("{found:?}") };
    let sign = [&["sign", file.to_str().unwrap(), "--dir", "second"][..], &WITH].concat();
    let (text, statement) = (fs::read_to_string(record).unwrap(), fs::read_to_string(file).unwrap());
    fs::write(record, text.replace("minutes 9", "minutes 8")).unwrap();
    let said = desk.refused(&sign);
    assert!(said.contains("is not the record"), "{said}");
    assert_eq!(fs::read_to_string(file).unwrap(), statement, "nothing was signed");
    fs::write(record, text).unwrap();
    let shown = desk.ok(&sign);
    assert!(shown.contains("Board, minutes 9"), "{shown}");
}

#[test]
fn a_certificate_that_waits_for_signatures_is_not_said_to_be_written() {
    let desk = two_admins();
    desk.coalition.enrol("bob", Role::Reader);
    let issue =
        ["issue", "bob.request", "--until", "2099-12-31", "--out", "bob.pem", "--dir", "coalition", "--yes"];
    let ran = desk.run(&issue);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("bob.pem is not written yet"), "{}", ran.stderr);
    assert!(ran.stdout.contains("1 more admin must sign"), "{}", ran.stdout);
    assert!(!desk.path("bob.pem").exists());
}

#[test]
fn a_decision_that_the_log_overtook_is_refused_with_the_mend() {
    let desk = two_admins();
    desk.ok(&[&["renew", "1", "--until", "2101-01-01", "--dir", "coalition"][..], &WITH].concat());
    let file = waiting(&desk, "coalition");
    desk.ok(&[&["sign", &file, "--dir", "second"][..], &WITH].concat());
    // Meanwhile the member got another group.
    desk.ok(&[&["entitle", "1", "--groups", "ot-ics", "--dir", "coalition"][..], &WITH].concat());
    let order = ["order", &file, "--dir", "coalition", "--passphrase-file", "passphrase"];
    let said = desk.refused(&order);
    assert!(said.contains("decide again") && said.contains("latest statement"), "{said}");
    // A log that goes back is not taken, a newer one is.
    desk.ok(&["export", "--out", "newer.pem", "--dir", "coalition"]);
    desk.ok(&["take", "newer.pem", "--dir", "second"]);
    let older = desk.refused(&["take", "log.pem", "--dir", "second"]);
    assert!(older.contains("older"), "{older}");
}

#[test]
fn a_decision_that_stands_in_the_log_without_effect_is_not_said_to_be_done() {
    let desk = two_admins();
    desk.ok(&[&["renew", "1", "--until", "2101-01-01", "--dir", "coalition"][..], &WITH].concat());
    let file = waiting(&desk, "coalition");
    desk.ok(&[&["sign", &file, "--dir", "second"][..], &WITH].concat());
    // A charter that was published elsewhere before it was ordered here: it rules from the entry that it pins.
    desk.copy("coalition", "other");
    desk.draft("next.toml", &[("grant_delay_h = 24", "grant_delay_h = 48")]);
    desk.ok(&["charter", "make", "next.toml", "--out", "next.pem", "--dir", "coalition"]);
    desk.sign("next.pem", "coalition/keys/root.pem");
    let order = ["order", &file, "--dir", "coalition", "--passphrase-file", "passphrase"];
    assert!(desk.ok(&order).contains("renew"));
    desk.ok(&["charter", "publish", "next.pem", "--dir", "other"]);
    let log = |folder: &str| {
        let text = fs::read_to_string(desk.path(folder).join("log.pem")).unwrap();
        belfry_proto::trust::file::read_log(&text).unwrap()
    };
    let both = belfry_proto::schema::LogFile { charters: log("other").charters, ..log("coalition") };
    fs::write(desk.path("both.pem"), belfry_proto::trust::file::write_log(&both)).unwrap();
    desk.ok(&["take", "both.pem", "--dir", "coalition"]);
    let reason = "(no effect: made under charter version";
    assert!(desk.ok(&["log", "--dir", "coalition"]).contains(reason));
    assert!(desk.coalition.ok(&["audit", "decisions", "--log", "both.pem"]).contains(reason));
    let said = desk.refused(&order);
    assert!(
        said.contains("in the log as entry 2, and has no effect there") && said.contains("decide again"),
        "{said}"
    );
}

#[test]
fn a_removed_admin_signs_nothing_and_is_told_why() {
    let desk = two_admins();
    let second = desk.ok(&["key", "--key", "second.pem", "--passphrase-file", "passphrase"]);
    let second = format!("\"{}\",", second.lines().last().unwrap());
    desk.amend(&[(&second, ""), ("issue = 2", "issue = 1"), ("renew = 2", "renew = 1")]);
    desk.ok(&["export", "--out", "log.pem", "--dir", "coalition"]);
    desk.ok(&["take", "log.pem", "--dir", "second"]);
    let said = desk.refused(&[&["suspend", "1", "--dir", "second"][..], &WITH].concat());
    assert!(said.contains("is no admin key of charter version 3"), "{said}");
    assert!(!desk.path("second/statements").exists());
}

#[test]
fn what_was_decided_where_is_kept_beside_the_log_and_dates_hold_together() {
    let desk = Desk::found("Minutes");
    let _alice = desk.coalition.issue("alice", Role::Publisher);
    let leave = |effective: &str, decided: &str| {
        [
            &["revoke", "1", "--reason", "left", "--dir", "coalition", "--effective"][..],
            &[
                effective,
                "--decided-on",
                decided,
                "--decided-by",
                "Board",
                "--evidence",
                "minutes 12, item 4",
                "--yes",
            ],
        ]
        .concat()
        .into_iter()
        .map(str::to_owned)
        .collect::<Vec<_>>()
    };
    let refused =
        |arguments: Vec<String>| desk.refused(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let early = refused(leave("2026-01-01T00:00:00+01:00", "2026-02-01"));
    assert!(early.contains("cannot take effect"), "{early}");
    let future = refused(leave("2099-01-02T00:00:00+01:00", "2099-01-01"));
    assert!(future.contains("still to come"), "{future}");
    let vague = leave("2099-01-01", "2026-02-01");
    let ran = desk.run(&vague.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(ran.code == 2 && ran.stderr.contains("zone"), "{}", ran.stderr);

    let arguments = leave("2098-12-31T23:59:59+01:00", "2026-02-01");
    let told = desk.ok(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(told.contains("It stays in until 2098-12-31T22:59:59Z"), "{told}");
    assert!(desk.ok(&["roster", "--dir", "coalition"]).contains("valid"));
    let log: Value = serde_json::from_str(&desk.ok(&["log", "--json", "--dir", "coalition"])).unwrap();
    assert_eq!(log["entries"][1]["decision"]["decided_by"], "Board");
    assert_eq!(log["entries"][1]["decision"]["evidence"], "minutes 12, item 4");
    // Not in the log itself, which is for ever.
    let exported = fs::read_to_string(desk.coalition.export("log.pem")).unwrap();
    assert!(!exported.contains("Board"));
    assert!(desk.ok(&["log", "--dir", "coalition"]).contains("Board, 2026-02-01, minutes 12, item 4"));
}

#[test]
fn a_decision_record_is_signed_for_with_its_statement_and_a_changed_one_is_refused() {
    let desk = Desk::found("Records");
    let _alice = desk.coalition.issue("alice", Role::Publisher);
    let suspend = ["suspend", "1", "--decided-by", "Board", "--decided-on", "2026-10-01"];
    let kept_at = ["--evidence", "minutes 9", "--dir", "coalition"];
    desk.ok(&[&suspend[..], &kept_at, &WITH].concat());
    desk.coalition.export("log.pem");
    let log: Value = serde_json::from_str(&desk.ok(&["log", "--json", "--dir", "coalition"])).unwrap();
    let kept = format!("coalition/decisions/{}.json", log["entries"][1]["statement"].as_str().unwrap());
    let verify = |file: &str| desk.coalition.run(&["verify", file, "--log", "log.pem"]);
    let held = verify(&kept);
    assert_eq!(held.code, 0, "{}", held.stderr);
    for said in ["signed for with its statement", "2: suspend", "Board, 2026-10-01, minutes 9"] {
        assert!(held.stdout.contains(said), "{said}: {}", held.stdout);
    }
    let genuine: Value = serde_json::from_str(&fs::read_to_string(desk.path(&kept)).unwrap()).unwrap();
    let salt = "00".repeat(16);
    let changes = [
        ("decided_by", "Bureau"),
        ("decided_on", "2026-10-02T00:00:00.000000Z"),
        ("evidence", "minutes 10"),
        ("salt", salt.as_str()),
    ];
    for (key, value) in changes {
        let mut changed = genuine.clone();
        assert!(changed[key].is_string(), "{key}: {genuine}");
        changed[key] = value.into();
        fs::write(desk.path("changed.json"), changed.to_string()).unwrap();
        let refused = verify("changed.json");
        assert!(refused.code == 3 && refused.stderr.contains("it was changed"), "{key}: {}", refused.stderr);
    }
    // One of before statements were drawn from their records is shown to be no more than a file.
    let mut untied = genuine;
    untied.as_object_mut().unwrap().remove("salt");
    fs::write(desk.path("untied.json"), untied.to_string()).unwrap();
    let refused = verify("untied.json");
    assert!(refused.code == 3 && refused.stderr.contains("nothing signed"), "{}", refused.stderr);
    // Nor does the log tell what it is tied to.
    let exported = fs::read_to_string(desk.path("log.pem")).unwrap();
    assert!(!exported.contains("Board"));
}

#[test]
fn changed_data_come_with_new_keys_in_the_place_of_the_old_ones() {
    let desk = Desk::found("Merger");
    let _alice = desk.coalition.issue("alice", Role::Publisher);
    let roster: Value = serde_json::from_str(&desk.ok(&["roster", "--json", "--dir", "coalition"])).unwrap();
    let member = roster["certificates"][0]["member"].as_str().unwrap().to_owned();
    desk.coalition.ok(&[
        "enroll",
        "--charter",
        "coalition/charter.pem",
        "--org",
        "Alice & Sons",
        "--class",
        "essential,financial",
        "--groups",
        "cidr,cidr-financial",
        "--dir",
        "alice-2",
        "--out",
        "alice-2.request",
        "--member",
        &member,
        "--accept-arrangement",
        "--accept-rules",
    ]);
    // As one more node of the member it is refused: its data differ.
    let differs =
        desk.refused(&["issue", "alice-2.request", "--until", "2099-01-01", "--yes", "--dir", "coalition"]);
    assert!(differs.contains("organisation differs"), "{differs}");
    desk.ok(&[
        "issue",
        "alice-2.request",
        "--replaces",
        "1",
        "--until",
        "2099-01-01",
        "--yes",
        "--dir",
        "coalition",
    ]);
    let roster: Value = serde_json::from_str(&desk.ok(&["roster", "--json", "--dir", "coalition"])).unwrap();
    let standing = |i: usize| roster["certificates"][i]["standing"].as_str().unwrap();
    assert_eq!((standing(0), standing(1)), ("superseded", "valid"));
    assert_eq!(roster["certificates"][1]["member"], member.as_str());
    // Out of a group again, by name.
    desk.ok(&[&["disentitle", "2", "--groups", "cidr", "--dir", "coalition"][..], &WITH].concat());
    let other =
        desk.refused(&[&["disentitle", "2", "--groups", "ot-ics", "--dir", "coalition"][..], &WITH].concat());
    assert!(other.contains("is not in ot-ics"), "{other}");
}

#[test]
fn changed_data_are_one_decision_with_the_same_keys_and_owe_no_notice() {
    let desk = Desk::found("Merger");
    let _alice = desk.coalition.issue("alice", Role::Publisher);
    let amend = |arguments: &[&str]| {
        [&["amend", "1", "--dir", "coalition"][..], &WITH, arguments]
            .concat()
            .iter()
            .map(|a| (*a).to_owned())
            .collect()
    };
    let refused = |arguments: &[&str]| {
        let arguments: Vec<String> = amend(arguments);
        desk.refused(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let ok = |arguments: &[&str]| {
        let arguments: Vec<String> = amend(arguments);
        desk.ok(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let height = || {
        let log: Value = serde_json::from_str(&desk.ok(&["log", "--json", "--dir", "coalition"])).unwrap();
        log["entries"].as_array().unwrap().len()
    };
    // Nothing to change is no decision; what no certificate may say is none either, and says what may.
    assert_eq!(desk.run(&["amend", "1", "--dir", "coalition", "--yes"]).code, 2);
    let same = refused(&["--org", "alice"]);
    assert!(same.contains("changes nothing") && same.contains("coalition roster"), "{same}");
    let lei = refused(&["--lei", "short"]);
    assert!(lei.contains("twenty digits") && lei.contains("nothing was signed"), "{lei}");
    let nobody = desk.refused(&["amend", "9", "--org", "x", "--dir", "coalition", "--yes"]);
    assert!(nobody.contains("coalition roster"), "{nobody}");
    assert_eq!(height(), 1);

    let told = ok(&[
        "--org",
        "Alice & Sons",
        "--kbo",
        "0123.456.749",
        "--class",
        "essential,financial",
        "--supplier-of",
        "Example Grid",
        "--decided-by",
        "Secretariat",
        "--evidence",
        "letter of 2026-11-20",
    ]);
    assert!(told.contains("alice → Alice & Sons") && told.contains("- → 0123456749"), "{told}");
    let roster: Value = serde_json::from_str(&desk.ok(&["roster", "--json", "--dir", "coalition"])).unwrap();
    assert_eq!(roster["certificates"].as_array().unwrap().len(), 1, "the same certificate");
    assert_eq!(roster["certificates"][0]["organisation"], "Alice & Sons");
    assert_eq!(roster["certificates"][0]["standing"], "valid");
    let log = desk.ok(&["log", "--dir", "coalition"]);
    let said = "Alice & Sons (essential, financial), KBO/BCE 0123456749, LEI -, capacity none, sector -, supplier of Example Grid";
    assert!(log.contains("amend") && log.contains(said), "{log}");
    let log: Value = serde_json::from_str(&desk.ok(&["log", "--json", "--dir", "coalition"])).unwrap();
    assert_eq!(log["entries"][0]["amended_to"], Value::Null);
    assert_eq!(log["entries"][1]["amended_to"]["supplier_of"], serde_json::json!(["Example Grid"]));
    let log = desk.ok(&["log", "--dir", "coalition"]);
    assert!(log.contains("Secretariat") && log.contains("letter of 2026-11-20"), "{log}");
    // What was essential is a financial entity besides: the sector act's notice. The name alone owes none.
    let notices = || desk.ok(&["notices", "--dir", "coalition"]);
    assert!(notices().contains("1-nis2-entering") && notices().contains("2-dora-entering"), "{}", notices());
    ok(&["--org", "Alice Group", "--supplier-of", "none"]);
    assert!(!notices().contains("3-"), "{}", notices());
    assert!(notices().contains("Alice Group") && !notices().contains("& Sons"), "newest data: {}", notices());

    // A circle of financial entities is left by its own decision, with a cut, and not by a word about classes.
    desk.ok(&[&["entitle", "1", "--groups", "cidr-financial", "--dir", "coalition"][..], &WITH].concat());
    let kept = refused(&["--class", "essential"]);
    assert!(
        kept.contains("cidr-financial") && kept.contains("coalition disentitle 1 --groups cidr-financial"),
        "{kept}"
    );
    desk.ok(&[&["disentitle", "1", "--groups", "cidr-financial", "--dir", "coalition"][..], &WITH].concat());
    ok(&["--class", "essential"]);
    // Whoever shares no code finds the same in the log, and an auditor what was so before.
    desk.ok(&["export", "--out", "log.pem", "--dir", "coalition"]);
    let audit =
        ["audit", "membership", "--log", "log.pem", "--group", "cidr", "--at", "2099-01-01", "--json"];
    let audit: Value = serde_json::from_str(&desk.coalition.ok(&audit)).unwrap();
    assert_eq!(audit["members"][0]["organisation"], "Alice Group");
    assert_eq!(audit["members"][0]["classes"], serde_json::json!(["essential"]));
    assert_eq!(audit["members"][0]["entries"].as_array().unwrap().len(), 6, "{audit}");
    let decisions =
        |more: &[&str]| desk.coalition.run(&[&["audit", "decisions", "--log", "log.pem"][..], more].concat());
    let listed = decisions(&["--member", "alice group"]);
    assert!(
        listed.code == 0 && listed.stdout.matches("amend").count() == 3,
        "{}{}",
        listed.stdout,
        listed.stderr
    );
    let nobody = decisions(&["--member", "Nobody"]);
    assert!(nobody.code == 3 && nobody.stderr.contains("lists all"), "{}", nobody.stderr);
    let Some(python) = std::env::var_os("BELFRY_PYTHON") else { return };
    let mut verifier = std::process::Command::new(python);
    verifier
        .args(["-B", concat!(env!("CARGO_MANIFEST_DIR"), "/python/verifier.py")])
        .arg(desk.path("log.pem"));
    let verified = run(verifier);
    assert!(
        verified.stdout.contains("certificate 1 active Alice Group"),
        "{}{}",
        verified.stdout,
        verified.stderr
    );
}

#[test]
fn a_change_of_data_waits_for_as_many_admins_as_an_issue() {
    let desk = two_admins();
    let told = desk.ok(&[&["amend", "1", "--sector", "energy", "--dir", "coalition"][..], &WITH].concat());
    assert!(told.contains("1 more admin must sign"), "{told}");
    let file = waiting(&desk, "coalition");
    assert!(file.contains("amend-"), "{file}");
    let shown = desk.ok(&[&["sign", &file, "--dir", "second"][..], &WITH].concat());
    assert!(shown.contains("amend") && shown.contains("- → energy"), "{shown}");
    let order = ["order", &file, "--dir", "coalition", "--passphrase-file", "passphrase"];
    assert!(desk.ok(&order).contains("amend"));
}

/// Runs `belfry coalition …` on a machine whose clock is so many seconds ahead.
pub(crate) fn ahead(desk: &Desk, seconds: u64, arguments: &[&str]) -> Ran {
    let library = preloaded(&desk.path("."), "clock", include_str!("../../src/process/clock.c"));
    fs::write(desk.path("ahead"), seconds.to_string()).unwrap();
    let mut command = belfry([&["--config", "none.toml", "coalition"], arguments].concat());
    command.current_dir(desk.path(".")).env("LD_PRELOAD", library).env("BELFRY_CLOCK", desk.path("ahead"));
    run(command)
}

#[test]
fn an_admin_key_that_ends_is_warned_of_decides_until_then_and_is_refused_afterwards_with_the_mend() {
    const DAY: u64 = 24 * 3600;
    let desk = two_admins();
    let second = desk.ok(&["key", "--key", "second.pem", "--passphrase-file", "passphrase"]);
    let second = second.lines().last().unwrap().to_owned();
    let ends = |key: &str, days: i64| {
        let days = from_now(days);
        ("[keys.admins_until]", format!("[keys.admins_until]\n{key} = \"{days}\""))
    };
    // The end has to be an admin's, and to come.
    for (key, days, expected) in
        [("ab".repeat(32), 30, "keys.admins_until"), (second.clone(), -1, "must be still to come")]
    {
        let _ = fs::remove_file(desk.path("wrong.toml"));
        let (from, to) = ends(&key, days);
        desk.draft("wrong.toml", &[(from, &to)]);
        let said =
            desk.refused(&["charter", "make", "wrong.toml", "--out", "wrong.pem", "--dir", "coalition"]);
        assert!(said.contains(expected), "{said}");
        assert!(!desk.path("wrong.pem").exists());
    }
    let (from, to) = ends(&second, 30);
    desk.amend(&[(from, &to)]);
    desk.draft("kept.toml", &[]);
    assert!(fs::read_to_string(desk.path("kept.toml")).unwrap().contains(&format!("{second} = \"")));

    // Every command says so in time, and how it is mended.
    let listed = desk.run(&["roster", "--dir", "coalition"]);
    assert!(listed.stderr.contains(&format!("admin key {second} ends on")), "{}", listed.stderr);
    assert!(listed.stderr.contains("keys.admins_until"), "{}", listed.stderr);

    // Until then it decides; what it signed and nobody ordered in time has to be decided anew by others.
    desk.ok(&["export", "--out", "log.pem", "--dir", "coalition"]);
    desk.ok(&["take", "log.pem", "--dir", "second"]);
    desk.ok(&[&["suspend", "1", "--dir", "second"][..], &WITH].concat());
    let file = waiting(&desk, "second");
    let order = ["order", &file, "--dir", "coalition", "--passphrase-file", "passphrase"];
    let late = ahead(&desk, 31 * DAY, &order);
    assert_eq!(late.code, 3, "{}", late.stderr);
    assert!(
        late.stderr.contains("whose time ended") && late.stderr.contains("decide anew"),
        "{}",
        late.stderr
    );
    let after = ahead(&desk, 31 * DAY, &[&["suspend", "1", "--dir", "second"][..], &WITH].concat());
    assert_eq!(after.code, 3, "{}", after.stderr);
    assert!(
        after.stderr.contains("time of admin key") && after.stderr.contains("another"),
        "{}",
        after.stderr
    );
    assert!(desk.ok(&order).contains("suspend"), "in time it goes in");
    // Whoever shares no code reads the end in the charter, and the decision as one in time.
    let Some(python) = std::env::var_os("BELFRY_PYTHON") else { return };
    desk.ok(&["export", "--out", "log.pem", "--dir", "coalition"]);
    let mut verifier = std::process::Command::new(python);
    verifier
        .args(["-B", concat!(env!("CARGO_MANIFEST_DIR"), "/python/verifier.py")])
        .arg(desk.path("log.pem"));
    let verified = run(verifier);
    assert_eq!(verified.code, 0, "{}{}", verified.stdout, verified.stderr);
}

/// A time so many days from now, as a draft has it.
fn from_now(days: i64) -> String {
    let now = belfry_node::clock::now();
    let span = std::time::Duration::from_secs(days.unsigned_abs() * 24 * 3600);
    if days < 0 { now.saturating_sub(span) } else { now.saturating_add(span) }.to_string()
}

#[test]
fn a_log_that_a_new_charter_cuts_back_is_taken_with_the_decisions_named_that_hold_no_more() {
    let desk = Desk::found("Cut back");
    let _alice = desk.coalition.issue("alice", Role::Publisher);
    desk.copy("coalition", "other");
    // Decided here while the holders' charter, made elsewhere, pins the entry before.
    desk.ok(&[&["renew", "1", "--until", "2101-01-01", "--dir", "coalition"][..], &WITH].concat());
    desk.ok(&["charter", "draft", "--out", "next.toml", "--dir", "other"]);
    let text = fs::read_to_string(desk.path("next.toml")).unwrap();
    fs::write(desk.path("next.toml"), text.replacen("grant_delay_h = 24", "grant_delay_h = 48", 1)).unwrap();
    desk.ok(&["charter", "make", "next.toml", "--out", "next.pem", "--dir", "other"]);
    desk.sign("next.pem", "coalition/keys/root.pem");
    desk.ok(&["charter", "publish", "next.pem", "--dir", "other"]);
    desk.ok(&["export", "--out", "next-log.pem", "--dir", "other"]);
    let taken = desk.ok(&["take", "next-log.pem", "--dir", "coalition"]);
    for said in [
        "1 decision of the log here is not in the new one",
        "pins entry 1",
        "decided anew",
        "renew",
        "2101-01-01",
    ] {
        assert!(taken.contains(said), "{said}: {taken}");
    }
    // Taken again it drops nothing, and says nothing.
    let again = desk.ok(&["take", "next-log.pem", "--dir", "coalition"]);
    assert!(!again.contains("decided anew") && again.contains("at charter 2 and entry 1"), "{again}");
}
