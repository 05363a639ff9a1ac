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
pub(super) fn machine(desk: &Desk, folder: &str, key: &str) {
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

/// Standing of every certificate, by serial.
pub(super) fn standings(desk: &Desk) -> Vec<String> {
    let roster: Value = serde_json::from_str(&desk.ok(&["roster", "--json", "--dir", "coalition"])).unwrap();
    let certificates = roster["certificates"].as_array().unwrap();
    certificates.iter().map(|one| one["standing"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_member_of_several_nodes_is_out_by_one_command_of_one_person_who_is_asked_once() {
    let desk = Desk::found("Many nodes");
    let _bank = desk.coalition.issue("Bank", Role::Publisher);
    let _bob = desk.coalition.issue("bob", Role::Reader);
    let roster: Value = serde_json::from_str(&desk.ok(&["roster", "--json", "--dir", "coalition"])).unwrap();
    let member = roster["certificates"][0]["member"].as_str().unwrap();
    for node in ["two", "three"] {
        let request = format!("{node}.request");
        let enrol = ["enroll", "--charter", "coalition/charter.pem", "--org", "Bank", "--class", "essential"];
        let with = ["--groups", "cidr", "--member", member, "--dir", node, "--out", &request];
        let accepted = ["--accept-arrangement", "--accept-rules"];
        desk.coalition.ok(&[&enrol[..], &with, &accepted].concat());
        desk.ok(&[&["issue", &request, "--until", "2099-12-31", "--dir", "coalition"][..], &WITH].concat());
    }
    let all = |action: &[&str]| desk.run(&[action, &["--dir", "coalition"], &WITH].concat());
    let done = |action: &[&str]| {
        let ran = all(action);
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
        ran
    };
    let valid = "valid";
    // First breath: all of its nodes, and nobody else's. Nothing is signed without a yes.
    let asked =
        desk.run(&["suspend", "--member", "bank", "--dir", "coalition", "--passphrase-file", "passphrase"]);
    assert_ne!(asked.code, 0, "{}", asked.stdout);
    assert_eq!(asked.stdout.matches("Suspend certificate").count(), 3, "{}", asked.stdout);
    assert_eq!(standings(&desk), [valid; 4]);
    done(&["suspend", "--member", "bank"]);
    assert_eq!(standings(&desk), ["suspended", valid, "suspended", "suspended"]);
    // It was one node's key: the others come back; the one is named by its serial.
    done(&["resume", "--member", member]);
    done(&["revoke", "1", "--reason", "key-compromise"]);
    assert_eq!(standings(&desk), ["revoked", valid, valid, valid]);
    // One of the rest has an announced end: that is over for good, the other is suspended all the same.
    done(&["revoke", "3", "--reason", "left", "--effective", "2098-01-01T00:00:00Z"]);
    let some = done(&["suspend", "--member", "Bank"]);
    assert!(some.stderr.contains("certificate 3 stays as it is"), "{}", some.stderr);
    // Then all of it, what is suspended and what was to end later included; one instruction for all entries.
    let out = done(&["revoke", "--member", "Bank", "--reason", "key-compromise"]).stdout;
    assert_eq!((out.matches("of the admin log says so").count(), out.matches("import-log").count()), (2, 1));
    assert_eq!(standings(&desk), ["revoked", valid, "revoked", "revoked"]);
    for (action, said) in [
        (&["revoke", "--member", "Bank", "--reason", "left"][..], "nothing is left to decide"),
        (
            &["suspend", "--member", "Nobody"],
            "no member is called `Nobody`; give an organisation's name or a member id: `belfry coalition roster --dir coalition`",
        ),
    ] {
        let ran = all(action);
        assert!(ran.code == 3 && ran.stderr.contains(said), "{}", ran.stderr);
    }
    // A certificate or a member, never both and never neither.
    for wrong in [&["suspend"][..], &["suspend", "2", "--member", "bob"]] {
        assert_eq!(all(wrong).code, 2);
    }
}

#[test]
fn a_lost_registrar_key_stops_no_admin_from_deciding_and_a_new_one_orders_what_is_decided_anew() {
    let desk = Desk::found("Lost registrar");
    let _alice = desk.coalition.issue("alice", Role::Publisher);
    let old = public(&desk, "coalition/keys/registrar.pem");
    fs::remove_file(desk.path("coalition/keys/registrar.pem")).unwrap();
    // Decisions wait, signed, even the most urgent; nobody can put them into the log.
    let suspend = [&["suspend", "1", "--dir", "coalition"][..], &WITH].concat();
    let told = desk.ok(&suspend);
    assert!(told.contains("registrar orders it") && told.contains("holds at no node"), "{told}");
    let waiting = || {
        let mut found = fs::read_dir(desk.path("coalition/statements")).unwrap();
        found.next().unwrap().unwrap().path().to_str().unwrap().to_owned()
    };
    let stale = waiting();
    let new = desk.key("registrar-2.pem");
    let order = |file: &str| {
        let with = ["--registrar-key", "registrar-2.pem", "--passphrase-file", "passphrase"];
        desk.run(&[&["order", file, "--dir", "coalition"][..], &with].concat())
    };
    let early = order(&stale);
    assert!(early.code == 3 && early.stderr.contains("is not the registrar"), "{}", early.stderr);
    // The root holders name another; the log goes on where it stood.
    desk.amend(&[(&old, &new)]);
    let void = order(&stale);
    assert!(void.code == 3 && void.stderr.contains("decide again"), "{}", void.stderr);
    fs::remove_file(&stale).unwrap();
    desk.ok(&suspend);
    let ordered = order(&waiting());
    assert_eq!(ordered.code, 0, "{}", ordered.stderr);
    assert_eq!(standings(&desk), ["suspended"]);
    // The lost key may turn up somewhere: it orders nothing any more, and never comes back.
    desk.draft("back.toml", &[(&new, &old)]);
    let back = desk.refused(&["charter", "make", "back.toml", "--out", "back.pem", "--dir", "coalition"]);
    assert!(back.contains("cannot return"), "{back}");
}
