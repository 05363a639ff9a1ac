//! What an admin is refused, with the rule and the next step, before anything is signed.

use std::fs;

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
    fs::write(desk.path("twice.csv"), "organisation,kbo\nBank,0123456789\nBank again,0123.456.789\n")
        .unwrap();
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
        (vec!["renew", "1", "--until", "2099-01-01"], "must move its end forward", "valid until"),
        (vec!["renew", "3", "--until", "2100-01-01"], "is revoked", "enrol anew"),
        (vec!["renew", "9", "--until", "2100-01-01"], "no certificate", "coalition roster"),
        (vec!["resume", "1"], "not suspended", "coalition roster"),
        (vec!["revoke", "3", "--reason", "left"], "revoked already", "--effective"),
        (vec!["suspend", "3"], "is revoked", "for good"),
        (vec!["entitle", "2", "--groups", "cidr"], "a carrier's", "enrols apart"),
        (vec!["entitle", "1", "--groups", "cidr:reader"], "entitled to more", "disentitle it"),
        (vec!["entitle", "1", "--groups", "cidr-financial"], "does not admit", "enroll --class"),
        (vec!["disentitle", "1", "--groups", "ot-ics"], "is not in ot-ics", "certificate 1"),
        (vec!["disentitle", "1", "--groups", "cidr:reader"], "altogether", "without a role"),
        (vec!["extend-cut", "1", "--cut", "empty.txt"], "lists no message", "nothing to bring back"),
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
    ];
    let before = height(&desk);
    for (arguments, rule, mend) in cases {
        let said = desk.refused(&[&arguments[..], &YES].concat());
        assert!(said.contains(rule) && said.contains(mend), "{arguments:?}: {said}");
        assert_eq!(height(&desk), before, "{arguments:?}");
    }
    for (arguments, rule, mend) in [
        (vec!["import", "twice.csv"], "lines 2 and 3 are of one member", "the same kbo"),
        (vec!["take", "other.pem"], "another coalition", "--dir"),
        (vec!["certificate", "9"], "no certificate", "coalition roster"),
        (vec!["notices", "--sent", "9-nis2-entering"], "no notice", "lists them"),
        (vec!["notices", "--acknowledged", "1-nis2-entering"], "not sent yet", "--sent"),
    ] {
        let said = desk.refused(&[&arguments[..], &["--dir", "coalition"]].concat());
        assert!(said.contains(rule) && said.contains(mend), "{arguments:?}: {said}");
    }
    assert_eq!(height(&desk), before);
    assert!(!desk.path("coalition/statements").exists(), "nothing was signed");
    assert!(!desk.path("coalition/decisions").exists(), "nothing was kept of what was not decided");
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
