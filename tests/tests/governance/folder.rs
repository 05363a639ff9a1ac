//! The coalition's folder: never half a decision in it, whatever its disk does, and copies of it that become folders again.

use std::{fs, path::Path};

use belfry_tests::{
    disk,
    process::{Coalition, Ran, Role, belfry, run},
};
use serde_json::Value;

use super::desk::Desk;

const SECRET: [&str; 2] = ["--passphrase-file", "passphrase"];

/// Where a folder stands: height of its log, and version of its charter.
fn stands(desk: &Desk, folder: &str) -> (u64, u64) {
    let roster: Value = serde_json::from_str(&desk.ok(&["roster", "--json", "--dir", folder])).unwrap();
    let count = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap();
    (count(&roster["version"]["height"]), count(&roster["charter"]))
}

/// Whether every file of a folder says what its log says.
#[track_caller]
fn is_in_order(desk: &Desk, folder: &str, what: &str) {
    let (height, _) = stands(desk, folder);
    let read = |name: &str| fs::read_to_string(desk.path(folder).join(name)).unwrap();
    assert!(read("head").starts_with(&format!("{height} ")), "{what}: {}", read("head"));
    desk.ok(&["charter", "show", &format!("{folder}/charter.pem")]);
    let (shown, kept) = (
        desk.ok(&["charter", "show", "--toml", &format!("{folder}/charter.pem")]),
        desk.ok(&["charter", "show", "--toml", "--dir", folder]),
    );
    assert_eq!(shown, kept, "{what}");
}

/// Runs a command on a disk of which the `n`-th operation fails, and all after it, as if the machine had stopped there.
fn stopped(desk: &Desk, library: &Path, n: usize, arguments: &[&str]) -> (Ran, bool) {
    let mark = desk.path("stopped");
    let _ = fs::remove_file(&mark);
    let mut command = belfry([&["--config", "none.toml", "coalition"], arguments].concat());
    command
        .current_dir(desk.path("."))
        .env("LD_PRELOAD", library)
        .env("BELFRY_DISK_UNDER", desk.path("trial"))
        .env("BELFRY_DISK_FAIL", n.to_string())
        .env("BELFRY_DISK_FOR_EVER", "1")
        .env("BELFRY_DISK_MARK", &mark);
    let ran = run(command);
    (ran, mark.exists())
}

/// From one operation that stops a command to the next that is tried; `BELFRY_DISK_STEP=1` tries them all.
fn step() -> usize {
    std::env::var("BELFRY_DISK_STEP").map_or(4, |step| step.parse().expect("BELFRY_DISK_STEP is a number"))
}

/// Plays a command stopped at its operations on the folder, one after the other, and once more behind it.
fn never_half(desk: &Desk, library: &Path, name: &str, arguments: &[&str], after: (u64, u64)) {
    let trial = desk.path("trial");
    let dir = trial.to_str().unwrap().to_owned();
    let arguments = [arguments, &["--dir", &dir]].concat();
    let before = stands(desk, "coalition");
    let mut n = 1;
    loop {
        let _ = fs::remove_dir_all(&trial);
        desk.copy("coalition", "trial");
        let (ran, was_stopped) = stopped(desk, library, n, &arguments);
        let what = format!("{name}, stopped at operation {n}: {}{}", ran.stdout, ran.stderr);
        let found = stands(desk, "trial");
        assert!(found == before || found == after, "{found:?} after {what}");
        assert!(ran.code != 0 || found == after, "it said that it was done: {what}");
        is_in_order(desk, "trial", &what);
        if !was_stopped {
            assert_eq!(ran.code, 0, "{what}");
            break;
        }
        // The same again comes to the same end, or is told that it is there.
        let again = desk.run(&arguments);
        assert!(matches!(again.code, 0 | 3), "{} {}", again.stderr, what);
        assert_eq!(stands(desk, "trial"), after, "{what}\nand again: {}{}", again.stdout, again.stderr);
        is_in_order(desk, "trial", &what);
        n += step();
    }
    assert!(n > 4, "only {n} operations of {name}: the faults do not reach the folder");
}

#[test]
fn wherever_an_admins_machine_stops_a_decision_is_in_the_folder_whole_or_not_at_all() {
    let desk = Desk::found("Crash");
    let library = disk::faulty(&desk.path(".")).unwrap();
    let _alice = desk.coalition.issue("alice", Role::Publisher);
    desk.coalition.enrol("bob", Role::Reader);
    let one = stands(&desk, "coalition");
    assert_eq!(one, (1, 1));
    let until = ["issue", "bob.request", "--until", "2099-12-31", "--yes"];
    never_half(&desk, &library, "issue", &[&until[..], &SECRET].concat(), (2, 1));
    let certificate = |folder: &str| desk.path(folder).join("certificates/2.pem");
    assert!(certificate("trial").exists());
    let revoke = ["revoke", "1", "--reason", "left", "--yes"];
    never_half(&desk, &library, "revoke", &[&revoke[..], &SECRET].concat(), (2, 1));
    // A charter, and a log from another machine with it.
    desk.draft("next.toml", &[("grant_delay_h = 24", "grant_delay_h = 48")]);
    desk.ok(&["charter", "make", "next.toml", "--out", "next.pem", "--dir", "coalition"]);
    desk.sign("next.pem", "coalition/keys/root.pem");
    never_half(&desk, &library, "publish", &["charter", "publish", "next.pem"], (1, 2));
    desk.copy("coalition", "other");
    desk.ok(&["charter", "publish", "next.pem", "--dir", "other"]);
    desk.ok(&[&until[..], &SECRET, &["--dir", "other"]].concat());
    desk.ok(&["export", "--out", "newer.pem", "--dir", "other"]);
    never_half(&desk, &library, "take", &["take", "newer.pem"], (2, 2));
    // A charter that pins the log below where it stands here cuts it back; an older log put back does not.
    desk.copy("coalition", "cut");
    desk.ok(&["charter", "publish", "next.pem", "--dir", "cut"]);
    desk.ok(&["export", "--out", "cut.pem", "--dir", "cut"]);
    fs::copy(desk.path("cut.pem"), desk.path("other/log.pem")).unwrap();
    let older = desk.refused(&["roster", "--dir", "other"]);
    assert!(older.contains("an older copy was put back"), "{older}");
    fs::copy(desk.path("newer.pem"), desk.path("other/log.pem")).unwrap();
    desk.ok(&[&["revoke", "1", "--reason", "left", "--yes", "--dir", "coalition"][..], &SECRET].concat());
    assert_eq!(stands(&desk, "coalition"), (2, 1));
    never_half(&desk, &library, "take, cut back", &["take", "cut.pem"], (1, 2));
    // What the stop took from beside the log is made again from it.
    let _ = fs::remove_file(certificate("other"));
    desk.ok(&["certificate", "2", "--dir", "other"]);
    desk.coalition.ok(&["verify", "other/certificates/2.pem", "--log", "newer.pem"]);
    let nobody = desk.refused(&["certificate", "9", "--dir", "other"]);
    assert!(nobody.contains("coalition roster"), "{nobody}");
}

#[test]
fn a_batch_that_was_interrupted_is_repeated_as_it_was() {
    let desk = Desk::found("Again");
    for name in ["alice", "bob"] {
        desk.coalition.enrol(name, Role::Reader);
    }
    let list = "organisation,until,request\nalice,2099-12-31,alice.request\nbob,2099-12-31,bob.request\n";
    fs::write(desk.path("members.csv"), list).unwrap();
    let one = "organisation,until,request\nalice,2099-12-31,alice.request\n";
    fs::write(desk.path("half.csv"), one).unwrap();
    let import = |list: &str| {
        desk.ok(&[&["import", list, "--issue", "--yes", "--dir", "coalition"][..], &SECRET].concat())
    };
    import("half.csv");
    fs::remove_file(desk.path("coalition/certificates/1.pem")).unwrap();
    let told = import("members.csv");
    assert!(told.contains("Wrote again") && told.contains("bob"), "{told}");
    assert_eq!(stands(&desk, "coalition"), (2, 1));
    for serial in [1, 2] {
        assert!(desk.path(&format!("coalition/certificates/{serial}.pem")).exists());
    }
}

#[test]
fn a_copy_of_the_folder_has_everything_and_becomes_a_folder_only_with_the_newest_log() {
    let desk = Desk::found("Copies");
    let coalition: &Coalition = &desk.coalition;
    let _alice = coalition.issue("alice", Role::Publisher);
    let decided = ["--decided-by", "Board", "--evidence", "minutes 12"];
    let entitle = ["entitle", "1", "--groups", "ot-ics", "--yes", "--dir", "coalition"];
    desk.ok(&[&entitle[..], &decided, &SECRET].concat());
    desk.ok(&["notices", "--sent", "1-nis2-entering", "--reference", "CCB-1", "--dir", "coalition"]);
    let made = desk.ok(&["backup", "create", "copy", "--dir", "coalition"]);
    assert!(made.contains("2 entries"), "{made}");
    let inside = desk.refused(&["backup", "create", "coalition/copy", "--dir", "coalition"]);
    assert!(inside.contains("name one beside it"), "{inside}");
    let twice = desk.refused(&["backup", "create", "copy", "--dir", "coalition"]);
    assert!(twice.contains("exists already"), "{twice}");
    desk.ok(&["backup", "verify", "copy"]);
    coalition.export("old.pem");

    // One more decision; then the machine is lost, and the log comes from a member.
    let _bob = coalition.issue("bob", Role::Reader);
    coalition.export("newest.pem");
    let restore = |log: &str, to: &str| desk.run(&["backup", "restore", "copy", "--log", log, "--dir", to]);
    let first = Desk::found("Another");
    first.coalition.export("foreign.pem");
    fs::copy(first.path("foreign.pem"), desk.path("foreign.pem")).unwrap();
    let foreign = restore("foreign.pem", "again");
    assert!(foreign.code == 3 && foreign.stderr.contains("another coalition"), "{}", foreign.stderr);
    assert!(!desk.path("again").exists(), "nothing is left of it");
    assert_eq!(desk.run(&["backup", "restore", "copy", "--dir", "again"]).code, 2, "the log is not optional");
    let told = restore("newest.pem", "again");
    assert_eq!(told.code, 0, "{}", told.stderr);
    assert!(told.stdout.contains("entry 3; the backup was at entry 2"), "{}", told.stdout);
    // What stands beside the log is as old as the copy, and that is said.
    for said in ["than the backup: 3 (issue)", "have no file here: 3;", "request.pem", "register of notices"]
    {
        assert!(told.stderr.contains(said), "{said}: {}", told.stderr);
    }
    assert_eq!(stands(&desk, "again"), (3, 1));
    is_in_order(&desk, "again", "a restored folder");
    let log = desk.ok(&["log", "--dir", "again"]);
    assert!(log.contains("Board, minutes 12"), "{log}");
    assert!(desk.ok(&["notices", "--dir", "again"]).contains("sent"));
    let kept = |folder: &str| fs::read_dir(desk.path(&format!("{folder}/requests"))).unwrap().count();
    assert_eq!((kept("again"), kept("coalition")), (1, 2), "what members signed at enrolment");
    for text in ["arrangement.default.md", "rules-of-conduct.default.md"] {
        let read = |folder: &str| fs::read(desk.path(&format!("{folder}/documents/{text}"))).unwrap();
        assert_eq!(read("again"), read("coalition"));
    }
    // Decisions go on from the newest entry: no second log.
    desk.ok(&[&["suspend", "1", "--yes", "--dir", "again"][..], &SECRET].concat());
    desk.ok(&["export", "--out", "on.pem", "--dir", "again"]);
    desk.ok(&["take", "on.pem", "--dir", "coalition"]);
    let older = desk.refused(&["backup", "restore", "copy", "--log", "old.pem", "--dir", "coalition"]);
    assert!(older.contains("exists already"), "{older}");

    // A file that was changed is named.
    fs::write(desk.path("copy/notices.json"), "{}").unwrap();
    let damaged = desk.run(&["backup", "verify", "copy"]);
    assert!(damaged.code == 1 && damaged.stderr.contains("notices.json"), "{}", damaged.stderr);
}
