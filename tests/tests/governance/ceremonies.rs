//! Key ceremonies, each with files alone: a new admin, a lost one, a stolen key, a root holder who is not there.

use std::fs;

use belfry_tests::process::{Role, chmod};
use serde_json::Value;

use super::desk::Desk;

const WITH: [&str; 3] = ["--yes", "--passphrase-file", "passphrase"];

/// The public half of a key of the coalition's folder.
fn public(desk: &Desk, key: &str) -> String {
    let shown = desk.ok(&["key", "--key", key, "--passphrase-file", "passphrase"]);
    shown.lines().last().unwrap().to_owned()
}

/// A machine of its own for an admin's key: the log, and no registrar.
fn machine(desk: &Desk, folder: &str, key: &str) {
    desk.ok(&["export", "--out", "log.pem", "--dir", "coalition"]);
    desk.ok(&["take", "log.pem", "--dir", folder]);
    let place = desk.path(&format!("{folder}/keys/admin.pem"));
    fs::copy(desk.path(key), &place).unwrap();
    chmod(&place, 0o600);
}

/// The statement that a command left in a folder, ordered by the registrar.
fn ordered(desk: &Desk, folder: &str) -> String {
    let waiting = desk.path(folder).join("statements");
    let file = fs::read_dir(waiting).unwrap().next().unwrap().unwrap().path();
    let said =
        desk.ok(&["order", file.to_str().unwrap(), "--dir", "coalition", "--passphrase-file", "passphrase"]);
    fs::remove_file(file).unwrap();
    said
}

#[test]
fn a_new_admin_decides_as_soon_as_a_charter_names_its_key_and_not_before() {
    let desk = Desk::found("New admin");
    let _alice = desk.coalition.issue("alice", Role::Publisher);
    let new = desk.key("new.pem");
    machine(&desk, "new", "new.pem");
    let early = desk.refused(&[&["suspend", "1", "--dir", "new"][..], &WITH].concat());
    assert!(early.contains("is no admin key of charter version 1"), "{early}");
    let old = public(&desk, "coalition/keys/admin.pem");
    desk.amend(&[(&format!("\"{old}\","), &format!("\"{old}\", \"{new}\","))]);
    desk.ok(&["export", "--out", "log.pem", "--dir", "coalition"]);
    desk.ok(&["take", "log.pem", "--dir", "new"]);
    desk.ok(&[&["suspend", "1", "--dir", "new"][..], &WITH].concat());
    assert!(ordered(&desk, "new").contains("suspend"));
}

#[test]
fn a_lost_admin_key_is_replaced_and_what_it_left_unordered_is_void() {
    let desk = Desk::found("Lost admin");
    let _alice = desk.coalition.issue("alice", Role::Publisher);
    // It decided, and the registrar had not ordered it yet.
    machine(&desk, "lost", "coalition/keys/admin.pem");
    desk.ok(&[&["entitle", "1", "--groups", "iam", "--dir", "lost"][..], &WITH].concat());
    let waiting = fs::read_dir(desk.path("lost/statements")).unwrap().next().unwrap().unwrap().path();
    let (old, new) = (public(&desk, "coalition/keys/admin.pem"), desk.key("new.pem"));
    // Nobody may be left whom an action's threshold needs.
    desk.draft("locked.toml", &[(&format!("\"{old}\","), "")]);
    let locked =
        desk.refused(&["charter", "make", "locked.toml", "--out", "locked.pem", "--dir", "coalition"]);
    assert!(locked.contains("threshold") && locked.contains("change the draft"), "{locked}");
    desk.amend(&[(&format!("\"{old}\","), &format!("\"{new}\","))]);
    let order = ["order", waiting.to_str().unwrap(), "--dir", "coalition", "--passphrase-file", "passphrase"];
    let void = desk.refused(&order);
    assert!(void.contains("charter version 1") && void.contains("decide again"), "{void}");
    machine(&desk, "new", "new.pem");
    desk.ok(&[&["entitle", "1", "--groups", "iam", "--dir", "new"][..], &WITH].concat());
    assert!(ordered(&desk, "new").contains("entitle"));
}

#[test]
fn a_stolen_admin_key_is_answered_by_one_person_in_minutes_and_then_taken_out_for_good() {
    let desk = Desk::found("Stolen admin");
    let _alice = desk.coalition.issue("alice", Role::Publisher);
    let (anna, ben) = (public(&desk, "coalition/keys/admin.pem"), desk.key("ben.pem"));
    // Two admins for what gives, one for what takes away.
    let two: Vec<(String, String)> = ["issue", "renew", "supersede", "resume", "entitle", "extend-cut"]
        .iter()
        .map(|action| (format!("{action} = 1"), format!("{action} = 2")))
        .chain([(format!("\"{anna}\","), format!("\"{anna}\", \"{ben}\","))])
        .collect();
    let two: Vec<(&str, &str)> = two.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect();
    desk.amend(&two);
    // The thief has ben's key: alone it lets nobody in, and can throw a member out.
    machine(&desk, "thief", "ben.pem");
    desk.coalition.enrol("ghost", Role::Reader);
    let issue = ["issue", "ghost.request", "--until", "2099-12-31", "--dir", "thief"];
    let told = desk.ok(&[&issue[..], &WITH].concat());
    assert!(told.contains("1 more admin must sign"), "{told}");
    let ghost = fs::read_dir(desk.path("thief/statements")).unwrap().next().unwrap().unwrap().path();
    let order =
        |file: &str| desk.run(&["order", file, "--dir", "coalition", "--passphrase-file", "passphrase"]);
    let refused = order(ghost.to_str().unwrap());
    assert!(refused.code == 3 && refused.stderr.contains("1 more admin"), "{}", refused.stderr);
    fs::remove_file(&ghost).unwrap();
    desk.ok(&[&["suspend", "1", "--dir", "thief"][..], &WITH].concat());
    assert!(ordered(&desk, "thief").contains("suspend"));
    // One person, one command: whoever was let in by a stolen key would be out like this; here it is the member's own
    // second thought that has to wait for two.
    let resume = desk.ok(&[&["resume", "1", "--dir", "coalition"][..], &WITH].concat());
    assert!(resume.contains("1 more admin must sign"), "{resume}");
    let revoke = ["revoke", "1", "--reason", "key-compromise", "--dir", "coalition"];
    let out = desk.ok(&[&revoke[..], &WITH].concat());
    assert!(out.contains("of the admin log says so") && out.contains("import-log"), "{out}");
    // The key goes for good: it signs nothing more, and never comes back.
    let carl = desk.key("carl.pem");
    desk.amend(&[(&format!("\"{ben}\","), &format!("\"{carl}\","))]);
    desk.ok(&["export", "--out", "log.pem", "--dir", "coalition"]);
    desk.ok(&["take", "log.pem", "--dir", "thief"]);
    let stale = desk.refused(&[&issue[..], &WITH].concat());
    assert!(stale.contains("is no admin key of charter version 3"), "{stale}");
    desk.draft("back.toml", &[(&format!("\"{carl}\","), &format!("\"{ben}\","))]);
    let back = desk.refused(&["charter", "make", "back.toml", "--out", "back.pem", "--dir", "coalition"]);
    assert!(back.contains("cannot return") && back.contains("change the draft"), "{back}");
}

#[test]
fn a_root_holder_who_is_missing_stops_nobody_while_the_threshold_is_met_and_leaves_by_the_others_hand() {
    let desk = Desk::found("Missing holder");
    let founder = public(&desk, "coalition/keys/root.pem");
    let keys = ["anna.pem", "ben.pem", "cleo.pem"].map(|name| desk.key(name));
    let three = keys.iter().map(|key| format!("\"{key}\", ")).collect::<String>();
    desk.draft(
        "three.toml",
        &[("root_threshold = 1", "root_threshold = 2"), (&format!("\"{founder}\","), &three)],
    );
    let make = |draft: &str, out: &str| {
        desk.ok(&["charter", "make", draft, "--out", out, "--dir", "coalition"]);
    };
    make("three.toml", "three.pem");
    for key in ["coalition/keys/root.pem", "anna.pem", "ben.pem"] {
        desk.sign("three.pem", key);
    }
    desk.ok(&["charter", "publish", "three.pem", "--dir", "coalition"]);
    // Ben's key is lost. One of three alone changes nothing; the other two put dora in his place.
    let dora = desk.key("dora.pem");
    desk.draft("next.toml", &[(&format!("\"{}\",", keys[1]), &format!("\"{dora}\","))]);
    make("next.toml", "next.pem");
    desk.sign("next.pem", "anna.pem");
    let few = desk.refused(&["charter", "publish", "next.pem", "--dir", "coalition"]);
    assert!(few.contains("too few root holders") && few.contains("charter sign"), "{few}");
    desk.sign("next.pem", "cleo.pem");
    desk.ok(&["charter", "publish", "next.pem", "--dir", "coalition"]);
    let roster: Value = serde_json::from_str(&desk.ok(&["roster", "--json", "--dir", "coalition"])).unwrap();
    assert_eq!(roster["charter"], 3);
    // Ben's signature counts for nothing from now on.
    desk.draft("again.toml", &[("grant_delay_h = 24", "grant_delay_h = 48")]);
    make("again.toml", "again.pem");
    let sign =
        ["charter", "sign", "again.pem", "--key", "ben.pem", "--passphrase-file", "passphrase", "--yes"];
    let ben = desk.refused(&sign);
    assert!(ben.contains("no root key of this charter") && ben.contains("--key"), "{ben}");
}
