//! What an admin is refused, with the rule and the next step, before anything is signed.

use std::fs;

use belfry_proto::{schema, trust::file::write_statement};
use belfry_tests::process::{Role, run};
use serde_json::Value;

use super::{decisions::ahead, desk::Desk};

const YES: [&str; 5] = ["--yes", "--passphrase-file", "passphrase", "--dir", "coalition"];
const DAYS: u64 = 24 * 3600;

fn height(desk: &Desk) -> u64 {
    let roster: Value = serde_json::from_str(&desk.ok(&["roster", "--json", "--dir", "coalition"])).unwrap();
    let height = &roster["version"]["height"];
    height.as_u64().or_else(|| height.as_str()?.parse().ok()).unwrap()
}

#[test]
fn every_refusal_of_an_admin_states_the_rule_and_what_to_do_and_signs_nothing() {
    let desk = Desk::found("Refusals");
    let _alice = desk.coalition.issue("alice", Role::Publisher);
    let carrier = desk.coalition.issue("carrier", Role::Carrier);
    assert_eq!(carrier.name, "carrier");
    let _eve = desk.coalition.issue("eve", Role::Reader);
    let ok = |arguments: &[&str]| desk.ok(&[arguments, &YES].concat());
    ok(&["revoke", "3", "--reason", "left"]);
    desk.coalition.enrol("bob", Role::Reader);
    let other = Desk::found("Other");
    other.coalition.enrol("stranger", Role::Reader);
    fs::copy(other.path("stranger.request"), desk.path("stranger.request")).unwrap();
    other.coalition.export("other.pem");
    fs::copy(other.path("other.pem"), desk.path("other.pem")).unwrap();
    fs::write(desk.path("empty.txt"), "# nothing\n").unwrap();
    fs::write(desk.path("twice.csv"), "organisation,kbo\nBank,0123456749\nBank again,0123.456.749\n")
        .unwrap();
    fs::write(desk.path("cells.csv"), "organisation,kbo\nBank\n").unwrap();
    fs::write(desk.path("spaced.csv"), "organisation,lei\nBank,5493 001K JTII GC8Y 1R12\n").unwrap();
    let nonsense = schema::Signed { payload: vec![0xff; 8], ..schema::Signed::default() };
    fs::write(desk.path("nonsense.pem"), write_statement(&nonsense)).unwrap();
    fs::write(desk.path("late.csv"), "organisation,decided_on\nBank,2098-01-01\n").unwrap();
    let class = "organisation,groups,until,request\nbob,cidr-financial,2099-12-31,bob.request\n";
    fs::write(desk.path("class.csv"), class).unwrap();
    desk.key("stranger.pem");
    desk.ok(&["export", "--out", "old.pem", "--dir", "coalition"]);

    let until = ["--until", "2099-12-31"];
    let issue = |request: &'static str, groups: &'static str| {
        [&["issue", request, "--groups", groups][..], &until].concat()
    };
    let cases: Vec<(Vec<&str>, &str, &str)> = vec![
        (issue("bob.request", "cidr-financial"), "does not admit", "--groups"),
        (issue("bob.request", "no-such"), "no group", "it has"),
        (issue("stranger.request", "cidr"), "not ours", "charter.pem"),
        (vec!["renew", "1", "--until", "2099-01-01"], "must move its end forward", "name a later --until"),
        (vec!["renew", "3", "--until", "2100-01-01"], "is revoked", "enrol anew"),
        (vec!["renew", "9", "--until", "2100-01-01"], "no certificate", "coalition roster"),
        (vec!["resume", "1"], "not suspended", "coalition roster"),
        (vec!["revoke", "3", "--reason", "other"], "revoked already", "--effective"),
        (vec!["suspend", "3"], "is revoked", "for good"),
        (vec!["entitle", "2", "--groups", "cidr"], "a carrier's", "enrols apart"),
        (vec!["entitle", "1", "--groups", "cidr:reader"], "entitled to more", "disentitle it"),
        (vec!["entitle", "1", "--groups", "cidr-financial"], "does not admit", "enroll --class"),
        (vec!["disentitle", "1", "--groups", "ot-ics"], "is not in ot-ics", "name only groups that it has"),
        (vec!["disentitle", "1", "--groups", "cidr:reader"], "altogether", "without a role"),
        (vec!["extend-cut", "1", "--cut", "empty.txt"], "lists no message", "belfry heads MEMBER --out"),
        (vec!["entitle", "1", "--groups", "cidr"], "changes nothing", "name other groups, or a higher role"),
        (vec!["entitle", "1", "--groups", "iam,iam"], "named twice", "name each group once"),
        (
            vec![
                "revoke",
                "1",
                "--reason",
                "left",
                "--decided-on",
                "2020-02-01",
                "--effective",
                "2020-01-01T00:00:00Z",
            ],
            "cannot take effect",
            "name a later --effective",
        ),
        (
            vec!["revoke", "1", "--reason", "left", "--effective", "2020-01-01T00:00:00Z"],
            "cannot take effect",
            "--decided-on",
        ),
        (
            vec!["revoke", "1", "--reason", "key-compromise", "--effective", "2099-01-01T00:00:00Z"],
            "at once",
            "leave out --effective",
        ),
        (vec!["suspend", "1", "--decided-on", "2099-01-01"], "still to come", "once it is taken"),
        (vec!["suspend", "1", "--admin-key", "stranger.pem"], "no admin key", "charter show"),
        (
            vec!["suspend", "1", "--registrar-key", "stranger.pem"],
            "the registrar key here",
            "keys/registrar.pem",
        ),
        (vec!["suspend", "1", "--evidence", "two\nlines"], "must be one line", "shorten it"),
    ];
    let before = height(&desk);
    for (arguments, rule, mend) in cases {
        let said = desk.refused(&[&arguments[..], &YES].concat());
        assert!(said.contains(rule) && said.contains(mend), "{arguments:?}: {said}");
        assert_eq!(height(&desk), before, "{arguments:?}");
    }
    for (arguments, rule, mend) in [
        (vec!["import", "twice.csv"], "the same kbo", "Leave one of them out"),
        (vec!["import", "cells.csv"], "line 2 has 1 cells", "give every line as many cells"),
        (vec!["import", "spaced.csv"], "is not twenty digits and letters", "write them without spaces"),
        (vec!["sign", "nonsense.pem"], "nonsense.pem", "ask the admin who decided for the file again"),
        (vec!["order", "nonsense.pem"], "nonsense.pem", "ask the admin who decided for the file again"),
        (vec!["import", "late.csv"], "column decided_on: 2098-01-01 is still to come", "once it is taken"),
        (vec!["import", "class.csv"], "does not admit", "leave it out of the column groups"),
        (vec!["take", "other.pem"], "another coalition", "--dir"),
        (vec!["certificate", "9"], "no certificate", "coalition roster"),
        (vec!["notices", "--sent", "9-nis2-entering"], "no notice", "lists them"),
        (vec!["notices", "--acknowledged", "1-nis2-entering"], "not sent yet", "--sent"),
    ] {
        let said = desk.refused(&[&arguments[..], &["--dir", "coalition"]].concat());
        assert!(said.contains(rule) && said.contains(mend), "{arguments:?}: {said}");
    }
    let beacon = ["beacon", "--out", "beacon.pem", "--registrar-key", "stranger.pem"];
    let said = desk.refused(&[&beacon[..], &YES[1..]].concat());
    assert!(said.contains("another registrar key; --registrar-key names"), "{said}");
    assert!(!desk.path("beacon.pem").exists(), "nothing was written");
    assert_eq!(height(&desk), before);
    assert!(!desk.path("coalition/statements").exists(), "nothing was signed");
    assert!(!desk.path("coalition/decisions").exists(), "nothing was kept of what was not decided");
}

#[test]
fn what_is_missing_or_in_the_wrong_place_is_named_with_the_option_or_the_command_that_helps() {
    let desk = Desk::found("Misplaced");
    desk.coalition.enrol("bob", Role::Reader);
    let fails = |arguments: &[&str], code: i32, said: &[&str]| {
        let ran = desk.run(arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {}{}", ran.stdout, ran.stderr);
        for said in said {
            assert!(ran.stderr.contains(said), "{arguments:?}: {said}: {}", ran.stderr);
        }
    };
    fails(&["take", "bob.request", "--dir", "new"], 1, &["not a \"BELFRY LOG\"", "name the file that does"]);
    // A key that lies elsewhere.
    let issue = [&["issue", "bob.request", "--until", "2099-12-31"][..], &YES].concat();
    for key in ["admin", "registrar"] {
        let (place, away) = (desk.path(&format!("coalition/keys/{key}.pem")), desk.path("away.pem"));
        fs::rename(&place, &away).unwrap();
        let named = format!("--{key}-key");
        match key {
            "admin" => fails(&issue, 1, &["coalition/keys/admin.pem", named.as_str()]),
            _ => fails(&[&["beacon", "--out", "b.pem"][..], &YES[1..]].concat(), 1, &[named.as_str()]),
        }
        fs::rename(&away, &place).unwrap();
    }
    // A lost `head`: what is to stand there, the command that is named prints.
    let head = desk.path("coalition/head");
    fs::remove_file(&head).unwrap();
    fails(&["roster", "--dir", "coalition"], 1, &["belfry verify coalition/log.pem", "coalition/head"]);
    let shown = desk.coalition.ok(&["verify", "coalition/log.pem"]);
    let line = shown.lines().find(|line| line.starts_with("head ")).unwrap();
    let words: Vec<&str> = line.split([' ', '(', ')']).filter(|word| !word.is_empty()).collect();
    let ["head", "entry", height, entry] = words.as_slice() else { panic!("{line}") };
    fs::write(&head, format!("{height} {entry}\n")).unwrap();
    desk.ok(&["roster", "--dir", "coalition"]);
    // Another history of the same one.
    desk.copy("coalition", "second");
    let secret = ["--yes", "--passphrase-file", "passphrase"];
    for (folder, until) in [("coalition", "2099-12-31"), ("second", "2098-12-31")] {
        desk.ok(&[&["issue", "bob.request", "--until", until, "--dir", folder][..], &secret].concat());
    }
    fs::copy(desk.path("second/log.pem"), desk.path("coalition/log.pem")).unwrap();
    fails(&["roster", "--dir", "coalition"], 3, &["another log than this folder", "belfry export-log"]);
    // Another coalition's log, which may well be longer.
    let other = Desk::found("Other");
    let _member = other.coalition.issue("alice", Role::Reader);
    fs::copy(other.path("coalition/log.pem"), desk.path("coalition/log.pem")).unwrap();
    fails(&["roster", "--dir", "coalition"], 3, &["is of another coalition", "belfry export-log"]);
    let charter = fs::read_to_string(desk.path("coalition/charter.pem")).unwrap();
    assert_ne!(
        charter,
        fs::read_to_string(other.path("coalition/charter.pem")).unwrap(),
        "nothing was mended"
    );
}

#[test]
fn a_damaged_decision_record_is_named_with_what_to_do_and_the_rest_is_shown_without_it() {
    let desk = Desk::found("Damaged");
    let _alice = desk.coalition.issue("alice", Role::Publisher);
    desk.ok(&[&["suspend", "1", "--decided-by", "Board"][..], &YES].concat());
    let log = ["log", "--dir", "coalition"];
    assert!(desk.ok(&log).contains("Board"));
    let kept: Vec<_> = fs::read_dir(desk.path("coalition/decisions")).unwrap().map(Result::unwrap).collect();
    let [record] = kept.as_slice() else { panic!("{kept:?}") };
    fs::write(record.path(), "{\"decided_by\": ").unwrap();
    let ran = desk.run(&log);
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    for said in [
        record.file_name().to_str().unwrap(),
        "is no decision record",
        "put it back from a copy of the folder",
        "or take it away",
    ] {
        assert!(ran.stderr.contains(said), "{said}: {}", ran.stderr);
    }
    fs::remove_file(record.path()).unwrap();
    let shown = desk.ok(&log);
    assert!(shown.contains("suspend") && !shown.contains("Board"), "{shown}");
}

#[test]
fn a_member_that_asks_for_what_its_class_may_not_have_is_told_so_before_it_has_keys() {
    let desk = Desk::found("Classes");
    let enroll = ["enroll", "--charter", "coalition/charter.pem", "--org", "bob", "--dir", "bob"];
    let wanted = ["--class", "essential", "--groups", "cidr,cidr-financial"];
    let accepted = ["--accept-arrangement", "--accept-rules"];
    let ran = desk.coalition.run(&[&enroll[..], &wanted, &accepted].concat());
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    let said =
        "group cidr-financial admits financial entities only: leave it out of --groups, or name by --class";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
    assert!(!desk.path("bob").exists(), "nothing was made");
}

#[test]
fn whom_a_charter_shuts_out_of_a_group_the_roster_does_not_show_in_it() {
    let desk = Desk::found("Shut out");
    let _alice = desk.coalition.issue("alice", Role::Publisher);
    let listed = || {
        let roster: Value =
            serde_json::from_str(&desk.ok(&["roster", "--json", "--dir", "coalition"])).unwrap();
        (desk.ok(&["roster", "--dir", "coalition"]), roster["certificates"][0]["kept_out"].clone())
    };
    let (table, kept_out) = listed();
    assert!(!table.contains("not in") && kept_out == serde_json::json!([]), "{table}");
    desk.amend(&[("slug = \"cloud-security\"", "slug = \"cloud\"")]);
    let (table, kept_out) = listed();
    assert!(table.contains("by the charter in force not in "), "{table}");
    assert_eq!(kept_out.as_array().unwrap().len(), 1, "{kept_out}");
}

#[test]
fn a_question_that_nobody_answers_names_the_option_that_does() {
    let desk = Desk::found("Unattended");
    let enroll = ["enroll", "--charter", "coalition/charter.pem", "--org", "bob", "--dir", "bob"];
    let wanted = ["--class", "essential", "--groups", "cidr"];
    let asked = desk.coalition.run(&[&enroll[..], &wanted].concat());
    assert!(asked.code == 3 && asked.stderr.contains("; --accept-arrangement goes on"), "{}", asked.stderr);
    let asked = desk.coalition.run(&[&enroll[..], &wanted, &["--accept-arrangement"]].concat());
    assert!(asked.code == 3 && asked.stderr.contains("; --accept-rules goes on"), "{}", asked.stderr);
    assert!(!desk.path("bob").exists(), "nothing was made");
    desk.coalition.enrol("bob", Role::Reader);
    let issue = ["issue", "bob.request", "--until", "2099-12-31", "--dir", "coalition"];
    let shown = desk.run(&issue);
    assert!(
        shown.code == 3 && shown.stderr.contains("nothing was signed; --yes goes on"),
        "{}",
        shown.stderr
    );
    // A new member's id is shown once it is one that stays.
    assert!(shown.stdout.contains("its id is drawn when"), "{}", shown.stdout);
    let issued = desk.ok(&[&issue[..], &YES[..3]].concat());
    let roster: Value = serde_json::from_str(&desk.ok(&["roster", "--json", "--dir", "coalition"])).unwrap();
    let member = roster["certificates"][0]["member"].as_str().unwrap();
    assert!(issued.contains(&format!("to bob, member {member}.")), "{issued}");
}

#[test]
fn what_is_decided_already_is_said_and_neither_signed_again_nor_refused() {
    let desk = Desk::found("Again");
    let _alice = desk.coalition.issue("alice", Role::Publisher);
    let run = |arguments: &[&str]| desk.ok(&[arguments, &YES].concat());
    for arguments in [
        &["entitle", "1", "--groups", "iam,ot-ics"][..],
        &["disentitle", "1", "--groups", "iam"],
        &["renew", "1", "--until", "2101-01-01"],
        &["amend", "1", "--sector", "energy"],
        &["suspend", "1"],
        &["resume", "1"],
        // What was decided otherwise since is decided anew.
        &["suspend", "1"],
        &["resume", "1"],
        &["revoke", "1", "--reason", "left", "--effective", "2099-01-01T00:00:00Z"],
        &["revoke", "1", "--reason", "left"],
    ] {
        let before = height(&desk);
        let done = run(arguments);
        assert!(done.contains(&format!("Entry {} of the admin log", before + 1)), "{arguments:?}: {done}");
        let again = run(arguments);
        let said = format!("Entry {} of the admin log says so already; nothing is signed", before + 1);
        assert!(again.contains(&said) && again.contains("belfry import-log"), "{arguments:?}: {again}");
        assert_eq!(height(&desk), before + 1, "{arguments:?}");
    }
}

#[test]
fn under_an_expired_charter_an_admin_removes_and_is_told_how_to_go_on() {
    let desk = Desk::found("Expired");
    desk.draft("short.toml", &[("validity_days = 1825", "validity_days = 100")]);
    desk.ok(&["charter", "make", "short.toml", "--out", "short.pem", "--dir", "coalition"]);
    desk.sign("short.pem", "coalition/keys/root.pem");
    desk.ok(&["charter", "publish", "short.pem", "--dir", "coalition"]);
    let _alice = desk.coalition.issue("alice", Role::Publisher);
    desk.coalition.enrol("bob", Role::Reader);
    // Before: every command says so.
    let soon = ahead(&desk, 50 * DAYS, &["roster", "--dir", "coalition"]);
    assert!(soon.stderr.contains("the charter ends on"), "{}", soon.stderr);
    let late = 101 * DAYS;
    let until = ["issue", "bob.request", "--until", "2099-12-31"];
    for arguments in
        [&until[..], &["renew", "1", "--until", "2101-01-01"], &["entitle", "1", "--groups", "iam"]]
    {
        let ran = ahead(&desk, late, &[arguments, &YES].concat());
        assert_eq!(ran.code, 3, "{}", ran.stderr);
        assert!(
            ran.stderr.contains("after the charter expired") && ran.stderr.contains("charter draft"),
            "{}",
            ran.stderr
        );
    }
    let suspend = ahead(&desk, late, &[&["suspend", "1"][..], &YES].concat());
    assert_eq!(suspend.code, 0, "{}", suspend.stderr);
    // The next version ends that.
    let day = |arguments: &[&str]| {
        let ran = ahead(&desk, late, arguments);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    };
    day(&["charter", "draft", "--out", "on.toml", "--dir", "coalition"]);
    day(&["charter", "make", "on.toml", "--out", "on.pem", "--dir", "coalition"]);
    let root = ["--key", "coalition/keys/root.pem", "--passphrase-file", "passphrase", "--yes"];
    day(&[&["charter", "sign", "on.pem"][..], &root].concat());
    day(&["charter", "publish", "on.pem", "--dir", "coalition"]);
    day(&[&["resume", "1"][..], &YES].concat());
    // Whoever shares no code folds the same.
    let Some(python) = std::env::var_os("BELFRY_PYTHON") else { return };
    desk.ok(&["export", "--out", "log.pem", "--dir", "coalition"]);
    let mut verifier = std::process::Command::new(python);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/python/verifier.py");
    verifier.args(["-B", script]).arg(desk.path("log.pem"));
    let verified = run(verifier);
    assert!(
        verified.code == 0 && verified.stdout.contains("active alice"),
        "{}{}",
        verified.stdout,
        verified.stderr
    );
}
