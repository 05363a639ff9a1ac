//! Charters: drafted, signed by holders apart, published, and taken by nodes that run.

use std::fs;

use base64::Engine as _;
use belfry_proto::trust::file as armour;
use belfry_tests::process::{Member, Role, eventually};
use serde_json::Value;

use super::desk::Desk;

fn charter_at(member: &Member) -> u64 {
    member.status()["held"]["charter_version"].as_u64().unwrap()
}

#[track_caller]
fn takes_charter(member: &Member, version: u64) {
    eventually(&format!("charter {version} at {}", member.name), || {
        (charter_at(member) == version).then_some(())
    });
}

fn groups(member: &Member) -> String {
    member.ok(&["groups", "--json"])
}

#[test]
fn root_holders_on_machines_of_their_own_change_the_charter_and_running_nodes_follow() {
    let desk = Desk::found("Ceremony");
    let members = desk.coalition.running(&[("alice", Role::Publisher), ("bob", Role::Reader)]);
    let [alice, bob] = members.as_slice() else { panic!("two") };
    let keys: Vec<String> = ["anna.pem", "ben.pem", "cleo.pem"].iter().map(|name| desk.key(name)).collect();
    let old = desk.ok(&["key", "--key", "coalition/keys/root.pem", "--passphrase-file", "passphrase"]);
    let old = old.lines().last().unwrap().to_owned();

    // Two of three holders from now on, the founder's key out, and one more group.
    let three = keys.iter().map(|key| format!("\"{key}\", ")).collect::<String>();
    desk.draft(
        "next.toml",
        &[
            ("root_threshold = 1", "root_threshold = 2"),
            (&format!("\"{old}\","), &three),
            ("\n[[groups]]", "\n[[groups]]\nslug = \"quantum\"\nname = \"Quantum\"\n\n[[groups]]"),
        ],
    );
    let made = desk.ok(&["charter", "make", "next.toml", "--out", "next.pem", "--dir", "coalition"]);
    assert!(made.contains("+ group: quantum (number 14)"), "{made}");
    assert!(made.contains("~ root_threshold: 1 -> 2"), "{made}");
    let too_few = desk.refused(&["charter", "publish", "next.pem", "--dir", "coalition"]);
    assert!(too_few.contains("0 of 1 root keys of version 1 and 0 of 2 root keys of version 2"), "{too_few}");

    // The old threshold alone is not enough, nor the new one alone; side by side they are.
    fs::copy(desk.path("next.pem"), desk.path("copy.pem")).unwrap();
    desk.sign("next.pem", "coalition/keys/root.pem");
    assert!(desk.refused(&["charter", "publish", "next.pem", "--dir", "coalition"]).contains("0 of 2"));
    desk.sign("copy.pem", "anna.pem");
    let both = desk.sign("copy.pem", "cleo.pem");
    assert!(both.contains("0 of 1 root keys of version 1 and 2 of 2"), "{both}");
    desk.refused(&["charter", "publish", "copy.pem", "--dir", "coalition"]);
    let again = desk.refused(&[
        "charter",
        "sign",
        "copy.pem",
        "--key",
        "cleo.pem",
        "--passphrase-file",
        "passphrase",
        "--yes",
    ]);
    assert!(again.contains("has signed this already"), "{again}");
    let published = desk.ok(&["charter", "publish", "next.pem", "copy.pem", "--dir", "coalition"]);
    assert!(published.contains("Charter version 2 is in force"), "{published}");

    // One node is told; the other hears of it, and neither restarts.
    desk.coalition.export("log.pem");
    let told = alice.ok(&["import-log", desk.path("log.pem").to_str().unwrap()]);
    assert!(told.contains("Charter version 2 is in force at this node; it was version 1"), "{told}");
    for member in [alice, bob] {
        takes_charter(member, 2);
        // Whoever heard of it from others is told as much as whoever imported it.
        let shown = member.ok(&["charter"]);
        assert!(shown.contains("+ group: quantum") && shown.contains("~ root_threshold: 1 -> 2"), "{shown}");
        let log = fs::read_to_string(member.log_path()).unwrap();
        assert!(log.contains("charter version 2, root_threshold") && log.contains("quantum"), "{log}");
    }
    // Decisions go on under it: the very group that came with it.
    desk.ok(&[
        "entitle",
        "1",
        "--groups",
        "quantum",
        "--dir",
        "coalition",
        "--yes",
        "--passphrase-file",
        "passphrase",
    ]);
    desk.coalition.export("log.pem");
    alice.ok(&["import-log", desk.path("log.pem").to_str().unwrap()]);
    eventually("alice to publish in the new group", || {
        let groups: Value = serde_json::from_str(&groups(alice)).unwrap();
        groups.to_string().contains("\"quantum\"").then_some(())
    });
    let bundle = desk.path("bundle.json");
    fs::write(&bundle, include_str!("../../data/sample-bundle.json")).unwrap();
    alice.ok(&["publish", bundle.to_str().unwrap(), "--group", "quantum", "--tlp", "amber"]);

    // The founder's key is out for good.
    desk.draft("back.toml", &[(&format!("\"{}\",", keys[1]), &format!("\"{old}\","))]);
    let back = desk.refused(&["charter", "make", "back.toml", "--out", "back.pem", "--dir", "coalition"]);
    assert!(back.contains("cannot return"), "{back}");
}

#[test]
fn a_second_charter_of_the_same_version_is_refused_by_who_has_the_first() {
    let desk = Desk::found("Forked");
    let mut members = desk.coalition.running(&[("alice", Role::Publisher)]);
    desk.copy("coalition", "other");
    desk.coalition.export("older.pem");
    desk.amend(&[("grant_delay_h = 24", "grant_delay_h = 48")]);
    desk.coalition.export("log.pem");
    let alice = &mut members[0];
    alice.ok(&["import-log", desk.path("log.pem").to_str().unwrap()]);
    takes_charter(alice, 2);

    desk.ok(&["charter", "draft", "--out", "fork.toml", "--dir", "other"]);
    desk.ok(&["charter", "make", "fork.toml", "--out", "fork.pem", "--dir", "other"]);
    desk.sign("fork.pem", "coalition/keys/root.pem");
    desk.ok(&["charter", "publish", "fork.pem", "--dir", "other"]);
    desk.ok(&["export", "--out", "fork-log.pem", "--dir", "other"]);
    let ran = alice.run(&["import-log", desk.path("fork-log.pem").to_str().unwrap()]);
    assert_ne!(ran.code, 0);
    assert!(ran.stderr.contains("charter version 2 is another than ours"), "{}", ran.stderr);
    // Nor does the coalition's own folder take it, as a charter or with its log.
    let ran = desk.refused(&["take", "fork-log.pem", "--dir", "coalition"]);
    assert!(ran.contains("the root keys signed two"), "{ran}");
    let ran = desk.refused(&["charter", "publish", "fork.pem", "--dir", "coalition"]);
    assert!(ran.contains("pins the log") || ran.contains("does not follow"), "{ran}");
    // An older log with charter 1 alone rolls nothing back, and a restart keeps the charter.
    let older = alice.ok(&["import-log", desk.path("older.pem").to_str().unwrap()]);
    assert!(older.contains("Nothing new"), "{older}");
    assert_eq!(charter_at(alice), 2);
    assert_eq!(alice.terminate(), 0);
    alice.start();
    assert_eq!(charter_at(alice), 2);

    // Version 4 without the one between, as where a page of the log was lost.
    for delay in ["72", "96"] {
        let before = if delay == "72" { "48" } else { "72" };
        desk.amend(&[(&format!("grant_delay_h = {before}"), &format!("grant_delay_h = {delay}"))]);
    }
    desk.coalition.export("newest.pem");
    let mut log = armour::read_log(&fs::read_to_string(desk.path("newest.pem")).unwrap()).unwrap();
    log.charters.remove(2);
    fs::write(desk.path("gap.pem"), armour::write_log(&log)).unwrap();
    let ran = alice.run(&["import-log", desk.path("gap.pem").to_str().unwrap()]);
    assert!(ran.code != 0 && ran.stderr.contains("version 4 does not follow version 2"), "{}", ran.stderr);
    assert_eq!(charter_at(alice), 2);
    alice.ok(&["import-log", desk.path("newest.pem").to_str().unwrap()]);
    takes_charter(alice, 4);
}

#[test]
fn a_charter_that_would_lock_anybody_out_is_refused_before_it_is_signed() {
    let desk = Desk::found("Locks");
    let _member = desk.coalition.issue("alice", Role::Publisher);
    let admin = desk.ok(&["key", "--key", "coalition/keys/admin.pem", "--passphrase-file", "passphrase"]);
    let admin = admin.lines().last().unwrap().to_owned();
    let registrar =
        desk.ok(&["key", "--key", "coalition/keys/registrar.pem", "--passphrase-file", "passphrase"]);
    let registrar = registrar.lines().last().unwrap().to_owned();
    let renamed = [
        ("slug = \"cidr\"", "slug = \"cidr-2\""),
        ("parent = \"cidr\"", "parent = \"cidr-2\""),
        ("slug = \"cloud-security\"", "slug = \"cloud\""),
    ];
    for (n, (changes, expected)) in [
        (&[("root_threshold = 1", "root_threshold = 2")][..], "keys.root_threshold is 2"),
        (&[("root_threshold = 1", "root_threshold = 0")], "keys.root_threshold is 0"),
        (&[("revoke = 1", "revoke = 2")], "keys.thresholds: revoke is 2, and keys.admins lists 1"),
        (&[("clock_skew_s = 120", "clock_skew_s = 0")], "5 is the least"),
        (&[("validity_days = 1825", "validity_days = 0")], "validity_days must be at least 1"),
        (&[(registrar.as_str(), admin.as_str())], "holds two roles"),
        (&renamed[..], "no member would have a group left"),
        (&[("bytes_per_hour = 67108864", "bytes_per_hour = 1")], "one message may have 262144"),
        (&[("revoke = 1", "revok = 1")], "revok"),
        (&[(registrar.as_str(), "abcd")], "is no public key"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("draft-{n}.toml");
        desk.draft(&name, changes);
        let out = format!("draft-{n}.pem");
        let said = desk.refused(&["charter", "make", &name, "--out", &out, "--dir", "coalition"]);
        assert!(said.contains(expected), "{changes:?}: {said}");
        assert!(!desk.path(&out).exists(), "nothing is written to be signed");
    }
    // What is allowed, and shuts some out, is warned of.
    desk.draft("warned.toml", &[("slug = \"cloud-security\"", "slug = \"cloud\"")]);
    let ran = desk.run(&["charter", "make", "warned.toml", "--out", "warned.pem", "--dir", "coalition"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("1 member would no longer be in cloud-security: alice"), "{}", ran.stderr);
    // A charter that the log has outgrown would make decisions void.
    desk.sign("warned.pem", "coalition/keys/root.pem");
    let _member = desk.coalition.issue("bob", Role::Reader);
    let overtaken = desk.refused(&["charter", "publish", "warned.pem", "--dir", "coalition"]);
    assert!(overtaken.contains("Make the charter anew"), "{overtaken}");
    // Signed by whoever has no say.
    desk.key("stranger.pem");
    let stranger = desk.refused(&[
        "charter",
        "sign",
        "warned.pem",
        "--key",
        "stranger.pem",
        "--passphrase-file",
        "passphrase",
        "--yes",
    ]);
    assert!(stranger.contains("no root key of this charter"), "{stranger}");
}

#[test]
fn a_shown_charter_says_what_its_signatures_are_worth() {
    let desk = Desk::found("Shown");
    let next = desk.key("next-root.pem");
    let root = desk.ok(&["key", "--key", "coalition/keys/root.pem", "--passphrase-file", "passphrase"]);
    let root = format!("\"{}\"", root.lines().last().unwrap());
    desk.draft("next.toml", &[(&root, &format!("\"{next}\""))]);
    desk.ok(&["charter", "make", "next.toml", "--out", "next.pem", "--dir", "coalition"]);
    desk.sign("next.pem", "next-root.pem");
    // Signed by the new holder, and not by the old one.
    let missing = "0 of 1 root keys of version 1 and 1 of 1 root keys of version 2";
    assert!(desk.ok(&["charter", "show", "next.pem"]).contains(missing));
    let verified = desk.coalition.run(&["verify", "next.pem"]);
    assert!(verified.code == 3 && verified.stderr.contains(missing), "{}", verified.stderr);
    desk.sign("next.pem", "coalition/keys/root.pem");
    assert!(desk.ok(&["charter", "show", "next.pem"]).contains("has all it needs"));
    // What it changes, of a proposal and of what is in force.
    let diff = desk.ok(&["charter", "diff", "next.pem"]);
    assert!(diff.starts_with("Version 2 against version 1:\n"), "{diff}");
    assert!(diff.contains(&format!("+ root key: {next}")) && diff.contains("- root key: "), "{diff}");
    // The one in force needs nothing any more.
    desk.ok(&["charter", "publish", "next.pem", "--dir", "coalition"]);
    for shown in [
        desk.ok(&["charter", "show", "coalition/charter.pem"]),
        desk.ok(&["charter", "show", "coalition/log.pem"]),
    ] {
        let version = shown.lines().find(|line| line.starts_with("version ")).unwrap();
        assert!(version.ends_with(" 2") && !shown.contains("has all it needs"), "{shown}");
    }
    assert_eq!(desk.ok(&["charter", "diff", "--dir", "coalition"]), diff);
    assert_eq!(desk.ok(&["charter", "diff", "coalition/log.pem", "--from", "1"]), diff);
    let same = desk.ok(&["charter", "diff", "--from", "2", "--dir", "coalition"]);
    assert!(same.contains("nothing but its dates"), "{same}");
    let none = desk.refused(&["charter", "diff", "--from", "3", "--dir", "coalition"]);
    assert!(none.contains("there is no version 3"), "{none}");
    // One flipped bit of a signature is said, whatever else the file holds.
    let mut bytes = pem(&desk, "next.pem");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    write_pem(&desk, "bad.pem", "BELFRY CHARTER PROPOSAL", &bytes);
    for command in [&["charter", "show", "bad.pem"][..], &["charter", "diff", "bad.pem"]] {
        let said = desk.refused(command);
        assert!(said.contains("does not verify"), "{said}");
    }
}

/// The bytes of an armoured file.
fn pem(desk: &Desk, name: &str) -> Vec<u8> {
    let text = fs::read_to_string(desk.path(name)).unwrap();
    let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    base64::engine::general_purpose::STANDARD.decode(body).unwrap()
}

fn write_pem(desk: &Desk, name: &str, label: &str, bytes: &[u8]) {
    let body = base64::engine::general_purpose::STANDARD.encode(bytes);
    let lines: Vec<&str> =
        body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let text = format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"));
    fs::write(desk.path(name), text).unwrap();
}

#[test]
fn a_coalition_is_founded_by_holders_who_never_share_a_machine() {
    let desk = Desk::found("Unused");
    let keys: Vec<String> =
        ["r1.pem", "r2.pem", "r3.pem", "admin.pem", "registrar.pem"].iter().map(|k| desk.key(k)).collect();
    fs::create_dir(desk.path("new")).unwrap();
    desk.ok(&["charter", "draft", "--new", "--out", "new/first.toml"]);
    let mut text = fs::read_to_string(desk.path("new/first.toml")).unwrap();
    for (from, to) in [
        ("#name = \"Example Coalition\"", "name = \"Apart\""),
        ("public key of the first holder", &keys[0]),
        ("public key of the second holder", &keys[1]),
        ("public key of the third holder", &keys[2]),
        ("public key of an admin", &keys[3]),
        ("public key of the registrar", &keys[4]),
    ] {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    fs::write(desk.path("new/first.toml"), text).unwrap();
    let init = ["init", "--name", "X", "--out", "x", "--charter-draft", "new/first.toml"];
    assert!(desk.refused(&init).contains("the draft names keys"));
    desk.ok(&["charter", "make", "new/first.toml", "--new", "--out", "first.pem"]);
    fs::copy(desk.path("first.pem"), desk.path("copy.pem")).unwrap();
    desk.sign("first.pem", "r3.pem");
    // Who signs a first charter sees every rule of it.
    let shown = desk.sign("copy.pem", "r2.pem");
    for said in
        ["2 minutes", "older keys wait", "silent registrar", "retention days", "bytes per hour", "67108864"]
    {
        assert!(shown.contains(said), "{said}: {shown}");
    }
    assert!(desk.refused(&["charter", "publish", "first.pem", "--dir", "apart"]).contains("1 of 2"));
    desk.sign("first.pem", "r1.pem");
    desk.ok(&["charter", "publish", "first.pem", "--dir", "apart"]);
    // The admin works without the registrar's key: decisions go to it as files.
    fs::copy(desk.path("admin.pem"), desk.path("apart/keys/admin.pem")).unwrap();
    belfry_tests::process::chmod(&desk.path("apart/keys/admin.pem"), 0o600);
    desk.coalition.ok(&[
        "enroll",
        "--charter",
        "apart/charter.pem",
        "--org",
        "Bank",
        "--class",
        "financial",
        "--groups",
        "cidr",
        "--dir",
        "bank",
        "--out",
        "bank.request",
        "--accept-arrangement",
        "--accept-rules",
    ]);
    let issued = desk.ok(&["issue", "bank.request", "--until", "2099-12-31", "--yes", "--dir", "apart"]);
    assert!(issued.contains("not in the log yet") && issued.contains("registrar orders it"), "{issued}");
    let statement = fs::read_dir(desk.path("apart/statements")).unwrap().next().unwrap().unwrap().path();
    let ordered = desk.ok(&[
        "order",
        statement.to_str().unwrap(),
        "--dir",
        "apart",
        "--registrar-key",
        "registrar.pem",
        "--passphrase-file",
        "passphrase",
    ]);
    assert!(ordered.contains("Entry 1: issue, Bank"), "{ordered}");
    assert!(desk.path("apart/certificates/1.pem").exists());
}

#[test]
fn after_a_stolen_registrar_a_new_charter_pins_the_true_log_and_running_nodes_drop_the_thiefs_entries() {
    let desk = Desk::found("Thief");
    let mut members = desk.coalition.running(&[("alice", Role::Publisher), ("bob", Role::Reader)]);
    // The thief has copied the admin's machine, and suspends alice.
    desk.copy("coalition", "thief");
    desk.ok(&["suspend", "1", "--dir", "thief", "--yes", "--passphrase-file", "passphrase"]);
    desk.ok(&["export", "--out", "thief.pem", "--dir", "thief"]);
    let bob = &mut members[1];
    bob.ok(&["import-log", desk.path("thief.pem").to_str().unwrap()]);
    let height = |member: &Member| member.status()["held"]["roster_height"].as_u64();
    assert_eq!(height(bob), Some(3), "{}", bob.status());

    // New admin, new registrar; the charter pins the log as the coalition knows it.
    let (admin, registrar) = (desk.key("admin-2.pem"), desk.key("registrar-2.pem"));
    let old = |name: &str| {
        let path = format!("coalition/keys/{name}.pem");
        let shown = desk.ok(&["key", "--key", &path, "--passphrase-file", "passphrase"]);
        shown.lines().last().unwrap().to_owned()
    };
    desk.amend(&[(&old("admin"), &admin), (&old("registrar"), &registrar)]);
    desk.coalition.export("log.pem");
    bob.ok(&["import-log", desk.path("log.pem").to_str().unwrap()]);
    takes_charter(bob, 2);
    assert_eq!(height(bob), Some(2), "the thief's entry is gone");
    // The stolen keys sign nothing more, and the admin is told so before anything is signed.
    let stale =
        desk.refused(&["suspend", "2", "--dir", "coalition", "--yes", "--passphrase-file", "passphrase"]);
    assert!(stale.contains("is no admin key of charter version 2"), "{stale}");
    for (new, name) in [("admin-2.pem", "admin"), ("registrar-2.pem", "registrar")] {
        fs::copy(desk.path(new), desk.path(&format!("coalition/keys/{name}.pem"))).unwrap();
    }
    desk.ok(&[
        "entitle",
        "1",
        "--groups",
        "ot-ics",
        "--dir",
        "coalition",
        "--yes",
        "--passphrase-file",
        "passphrase",
    ]);
    desk.coalition.export("log.pem");
    bob.ok(&["import-log", desk.path("log.pem").to_str().unwrap()]);
    assert_eq!(height(bob), Some(3));
    // What was dropped does not come back with a restart, nor out of the thief's file.
    assert_eq!(bob.terminate(), 0);
    bob.start();
    assert_eq!((height(bob), charter_at(bob)), (Some(3), 2));
    let ran = bob.run(&["import-log", desk.path("thief.pem").to_str().unwrap()]);
    assert_ne!(ran.code, 0, "{}", ran.stdout);
    assert_eq!(height(bob), Some(3));
}

/// A folder can lack what every node knows; the charter that it pins would bring back whom the others revoked.
#[test]
fn a_charter_that_leaves_a_revocation_behind_is_refused_by_the_log_of_a_node_and_warned_of_where_it_is_taken()
{
    let desk = Desk::found("Stale");
    let mut members = desk.coalition.running(&[("alice", Role::Publisher), ("bob", Role::Reader)]);
    let [alice, _bob] = members.as_mut_slice() else { panic!("two") };
    desk.copy("coalition", "stale");
    let decide = ["--yes", "--dir", "coalition", "--passphrase-file", "passphrase"];
    desk.ok(&[&["revoke", "2", "--reason", "key-compromise"], &decide[..]].concat());
    let log = desk.coalition.export("log.pem");
    alice.ok(&["import-log", log.to_str().unwrap()]);
    desk.ok(&["charter", "draft", "--out", "next.toml", "--dir", "stale"]);
    desk.ok(&["charter", "make", "next.toml", "--out", "next.pem", "--dir", "stale"]);
    desk.sign("next.pem", "stale/keys/root.pem");
    let publish = ["charter", "publish", "next.pem", "--dir", "stale"];
    let refused = desk.refused(&[&publish[..], &["--log", "log.pem"]].concat());
    assert!(refused.contains("entry 3 (revoke)") && refused.contains("belfry coalition take"), "{refused}");
    // Whoever compares with nobody is told what that may cost, and so is every member.
    let ran = desk.run(&publish);
    assert!(ran.code == 0 && ran.stderr.contains("revocations included"), "{}{}", ran.stdout, ran.stderr);
    desk.ok(&["export", "--out", "stale.pem", "--dir", "stale"]);
    alice.ok(&["import-log", desk.path("stale.pem").to_str().unwrap()]);
    takes_charter(alice, 2);
    let warnings = alice.status()["warnings"].to_string();
    assert!(warnings.contains("Certificate 2 of bob was revoked, and charter version 2"), "{warnings}");
}

#[test]
fn a_charter_beside_one_that_nodes_have_already_is_refused_by_their_log() {
    let desk = Desk::found("Two charters");
    let _alice = desk.coalition.issue("alice", Role::Publisher);
    desk.copy("coalition", "behind");
    desk.amend(&[("validity_days = 1825", "validity_days = 1000")]);
    desk.coalition.export("log.pem");
    let next = |name: &str| {
        let (draft, file) = (format!("{name}.toml"), format!("{name}.pem"));
        desk.ok(&["charter", "draft", "--out", &draft, "--dir", "behind"]);
        desk.ok(&["charter", "make", &draft, "--out", &file, "--dir", "behind"]);
        desk.sign(&file, "behind/keys/root.pem");
        file
    };
    let file = next("second");
    let publish = ["charter", "publish", &file, "--dir", "behind"];
    let refused = desk.refused(&[&publish[..], &["--log", "log.pem"]].concat());
    assert!(refused.contains("has charter version 2, and this folder version 1"), "{refused}");
    desk.ok(&publish);
    // From there on it is another root.
    let file = next("third");
    let other = Desk::found("Other charters");
    other.coalition.export("other.pem");
    fs::copy(other.path("other.pem"), desk.path("other.pem")).unwrap();
    let refused = desk.refused(&["charter", "publish", &file, "--dir", "behind", "--log", "other.pem"]);
    assert!(refused.contains("of another coalition") && refused.contains("export-log"), "{refused}");
    let refused = desk.refused(&["charter", "publish", &file, "--dir", "behind", "--log", "log.pem"]);
    assert!(refused.contains("has another charter version 2 than this folder"), "{refused}");
}
