//! `belfry coalition`: an admin's machine, offline.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command, thread};

use support::{PASSPHRASE, Site, chmod};

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn init_makes_closed_encrypted_keys_and_prints_the_words() {
    let site = Site::new();
    let said = site.coalition("c");
    let words: Vec<&str> = said
        .lines()
        .skip_while(|line| !line.starts_with("as words"))
        .take_while(|line| !line.is_empty())
        .flat_map(str::split_whitespace)
        .skip(2)
        .collect();
    assert_eq!(words.len(), 24, "{said}");
    for key in ["root", "admin", "registrar"] {
        let path = site.path(&format!("c/keys/{key}.pem"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(fs::read_to_string(&path).unwrap().starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
    }
    assert_eq!(fs::metadata(site.path("c")).unwrap().permissions().mode() & 0o777, 0o700);
    // What `sha256sum` says of the documents, FIPS 180-4; here by OpenSSL, where there is one.
    for name in ["arrangement.default.md", "rules-of-conduct.default.md"] {
        let path = site.path(&format!("c/documents/{name}"));
        let run = Command::new("openssl").args(["dgst", "-sha256", "-r"]).arg(path).output();
        let digest = run.map(|output| String::from_utf8_lossy(&output.stdout)[..64].to_owned());
        let line = said.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(
            digest.is_err() || line.ends_with(digest.as_deref().unwrap_or_default()),
            "{line} {digest:?}"
        );
    }
    site.refused("coalition init --name x --out c --passphrase-file passphrase", 3, "not empty");
    assert_eq!(json(&site.ok("coalition roster --json --dir c"))["words"].as_str().unwrap(), words.join(" "));
}

#[test]
fn openssl_opens_the_ed25519_keys() {
    let site = Site::new();
    site.coalition("c");
    let run = Command::new("openssl")
        .args(["pkey", "-noout", "-text", "-passin", &format!("pass:{PASSPHRASE}"), "-in"])
        .arg(site.path("c/keys/root.pem"))
        .output();
    // Where there is no OpenSSL there is nothing to compare with.
    if let Ok(output) = run {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("ED25519"), "{text}{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_wrong_draft_leaves_nothing_behind() {
    let site = Site::new();
    fs::write(site.path("draft.toml"), "valid_for = 5\n").unwrap();
    site.refused(
        "coalition init --name x --out c --charter-draft draft.toml --passphrase-file passphrase",
        1,
        "draft.toml",
    );
    let short = "short";
    site.secret("short", short);
    site.refused("coalition init --name x --out c --passphrase-file short", 1, "at least 12 characters");
    assert!(!site.path("c").exists());
}

#[test]
fn each_key_may_have_a_passphrase_of_its_own() {
    let site = Site::new();
    for key in ["root", "admin", "registrar"] {
        site.secret(&format!("{key}.pass"), &format!("passphrase of {key}"));
    }
    let files = "--root-passphrase-file root.pass --admin-passphrase-file admin.pass \
                 --registrar-passphrase-file registrar.pass";
    site.ok(&format!("coalition init --name x --out c {files}"));
    site.enrol("alice", "c", "");
    let issue = "coalition issue alice.request --until 2099-11-30 --yes --dir c";
    site.refused(&format!("{issue} --passphrase-file admin.pass"), 1, "registrar");
    site.refused(&format!("{issue} --passphrase-file root.pass"), 1, "admin");
    assert_eq!(json(&site.ok("coalition log --json --dir c"))["entries"].as_array().unwrap().len(), 0);
    site.ok(&format!("{issue} {files}"));
}

#[test]
fn a_request_becomes_a_certificate_in_roster_and_log() {
    let site = Site::new();
    site.coalition("c");
    site.enrol("alice", "c", "--kbo 0123.456.749");
    let said = site.issue("alice", "c", "--groups cidr:steward,cloud-security --role reader");
    assert!(
        said.contains("0123456749") && said.contains("cidr:steward, ") || said.contains("cidr:steward"),
        "{said}"
    );
    let roster = json(&site.ok("coalition roster --json --dir c"));
    let certificate = &roster["certificates"][0];
    assert_eq!(certificate["organisation"], "alice");
    assert_eq!(certificate["standing"], "valid");
    assert_eq!(certificate["serial"], 1);
    let groups: Vec<&str> =
        certificate["groups"].as_array().unwrap().iter().filter_map(|g| g.as_str()).collect();
    assert_eq!(groups, ["cloud-security:reader", "cidr:steward"]);
    let log = json(&site.ok("coalition log --json --dir c"));
    assert_eq!(log["entries"][0]["action"], "issue");
    assert!(site.ok("coalition roster --dir c").contains("valid"));
    assert!(site.ok("coalition log --dir c").contains("alice"));
}

#[test]
fn nothing_is_signed_without_a_yes() {
    let site = Site::new();
    site.coalition("c");
    site.enrol("alice", "c", "");
    // stdin is empty: no answer is no.
    site.refused(
        "coalition issue alice.request --until 2099-11-30 --dir c --passphrase-file passphrase",
        3,
        "nothing was signed",
    );
    assert!(!site.path("c/certificates").exists());
}

#[test]
fn issuing_the_same_request_again_adds_no_entry_and_gives_the_same_file() {
    let site = Site::new();
    site.coalition("c");
    site.enrol("alice", "c", "");
    site.issue("alice", "c", "");
    let first = fs::read(site.path("alice.certificate")).unwrap();
    fs::remove_file(site.path("alice.certificate")).unwrap();
    let said = site.issue("alice", "c", "");
    assert!(said.contains("certificate 1 already"), "{said}");
    assert_eq!(fs::read(site.path("alice.certificate")).unwrap(), first);
    assert_eq!(json(&site.ok("coalition log --json --dir c"))["entries"].as_array().unwrap().len(), 1);
}

#[test]
fn the_charter_decides_who_may_be_in_which_group() {
    let site = Site::new();
    site.coalition("c");
    site.enrol("alice", "c", "");
    let issue = "coalition issue alice.request --until 2099-11-30 --yes --dir c --passphrase-file passphrase";
    site.refused(&format!("{issue} --groups cidr-financial"), 3, "cidr-financial");
    site.refused(&format!("{issue} --groups no-such-group"), 3, "regulations-standardizations");
    site.refused(&format!("{issue} --groups cidr --carrier"), 2, "cannot be used with");
    site.ok("coalition issue alice.request --until 2099-11-30 --yes --dir c --passphrase-file passphrase --carrier");
    assert!(site.ok("coalition roster --dir c").contains("carrier"));
}

#[test]
fn a_revocation_ends_a_certificate_for_good_and_a_suspension_does_not() {
    let site = Site::new();
    site.coalition("c");
    site.enrol("alice", "c", "");
    site.issue("alice", "c", "");
    let decide = "--yes --dir c --passphrase-file passphrase";
    let standing =
        || json(&site.ok("coalition roster --json --dir c"))["certificates"][0]["standing"].clone();
    site.ok(&format!("coalition suspend 1 {decide}"));
    assert_eq!(standing(), "suspended");
    site.ok(&format!("coalition resume 1 {decide}"));
    assert_eq!(standing(), "valid");
    fs::write(site.path("cut"), format!("{} 3 {}\n", "11".repeat(32), "22".repeat(32))).unwrap();
    let said = site.ok(&format!("coalition revoke 1 --reason left --cut cut {decide}"));
    assert!(said.contains("cut of 1 log"), "{said}");
    assert_eq!(standing(), "revoked");
    site.refused(&format!("coalition resume 1 {decide}"), 3, "suspended");
    site.refused(&format!("coalition revoke 7 --reason left {decide}"), 3, "serial 7");
    site.refused(&format!("coalition revoke 1 --reason bad {decide}"), 2, "key-compromise");
    let log = site.ok("coalition log --dir c");
    assert!(log.contains("serial 1, left, decided ") && log.contains(", cut in 1 log"), "{log}");
}

#[test]
fn a_cut_can_be_extended_and_never_taken_back() {
    let site = Site::new();
    site.coalition("c");
    site.enrol("alice", "c", "");
    site.issue("alice", "c", "--groups cidr --role publisher");
    let decide = "--yes --dir c --passphrase-file passphrase";
    let point = |sequence: u64| format!("{} {sequence} {}\n", "11".repeat(32), "22".repeat(32));
    fs::write(site.path("cut"), point(3)).unwrap();
    fs::write(site.path("empty"), "# nothing\n").unwrap();
    site.refused(&format!("coalition extend-cut 1 --cut cut {decide}"), 3, "not cut");
    site.ok(&format!("coalition revoke 1 --reason left {decide}"));
    site.refused(&format!("coalition extend-cut 1 --cut empty {decide}"), 3, "lists no message");
    site.refused(&format!("coalition extend-cut 9 --cut cut {decide}"), 3, "no certificate has serial 9");
    site.refused(
        "coalition extend-cut 1 --cut cut --dir c --passphrase-file passphrase",
        3,
        "nothing was signed",
    );
    let said = site.ok(&format!("coalition extend-cut 1 --cut cut {decide}"));
    assert!(said.contains("up to the listed ones of 1 log") && said.contains("Entry 3"), "{said}");
    let log = json(&site.ok("coalition log --json --dir c"));
    assert_eq!(log["entries"][2]["action"], "extend-cut");
    let roster = json(&site.ok("coalition roster --json --dir c"));
    assert_eq!(roster["certificates"][0]["standing"], "revoked", "the key stays revoked");
}

#[test]
fn a_second_node_of_a_member_has_its_own_certificate() {
    let site = Site::new();
    site.coalition("c");
    site.enrol("alice", "c", "");
    site.issue("alice", "c", "");
    let member = json(&site.ok("coalition roster --json --dir c"))["certificates"][0]["member"].clone();
    site.ok(&format!(
        "enroll --charter c/charter.pem --org alice --class essential --groups cidr --member {} --dir second --out \
         second.request --accept-arrangement --accept-rules --passphrase-file passphrase",
        member.as_str().unwrap()
    ));
    site.issue("second", "c", "");
    let roster = json(&site.ok("coalition roster --json --dir c"));
    assert_eq!(roster["certificates"][1]["member"], member);
    assert_eq!(roster["certificates"][1]["serial"], 2);
    site.ok(&Site::join("second", "c"));
    // A stranger that names the member is held to the member's organisation.
    site.enrol("mallory", "c", &format!("--member {}", member.as_str().unwrap()));
    site.refused(
        "coalition issue mallory.request --until 2099-11-30 --yes --dir c --passphrase-file passphrase",
        3,
        "organisation differs",
    );
}

#[test]
fn keys_that_others_can_read_are_refused_with_the_mend() {
    let site = Site::new();
    site.coalition("c");
    site.enrol("alice", "c", "");
    chmod(&site.path("c/keys/admin.pem"), 0o644);
    let issue = "coalition issue alice.request --until 2099-11-30 --yes --dir c --passphrase-file";
    site.refused(&format!("{issue} passphrase"), 3, "chmod 600 c/keys/admin.pem");
    chmod(&site.path("c/keys/admin.pem"), 0o600);
    chmod(&site.path("passphrase"), 0o640);
    site.refused(&format!("{issue} passphrase"), 3, "chmod 600 passphrase");
    site.refused(&format!("{issue} other-passphrase"), 1, "wrong passphrase");
    site.refused("coalition roster --dir nowhere", 1, "belfry coalition init");
}

#[test]
fn a_log_put_back_is_noticed() {
    let site = Site::new();
    site.coalition("c");
    let empty = fs::read(site.path("c/log.pem")).unwrap();
    site.enrol("alice", "c", "");
    site.issue("alice", "c", "");
    let one = fs::read(site.path("c/log.pem")).unwrap();
    fs::write(site.path("c/log.pem"), &empty).unwrap();
    site.refused("coalition roster --dir c", 3, "an older copy was put back");
    fs::write(site.path("c/log.pem"), &one).unwrap();
    site.ok("coalition roster --dir c");
    // A crash between log and head leaves the head behind; the next opening raises it.
    fs::write(site.path("c/head"), format!("0 {}\n", "00".repeat(32))).unwrap();
    site.ok("coalition roster --dir c");
    assert!(fs::read_to_string(site.path("c/head")).unwrap().starts_with("1 "));
    fs::write(site.path("c/head"), format!("1 {}\n", "00".repeat(32))).unwrap();
    site.refused("coalition roster --dir c", 3, "another log");
}

#[test]
fn two_admins_at_once_double_and_lose_nothing() {
    let site = Site::new();
    site.coalition("c");
    let names = ["a", "b", "d", "e"];
    for name in names {
        site.enrol(name, "c", "");
    }
    thread::scope(|scope| {
        for name in names {
            let site = &site;
            scope.spawn(move || {
                let line = format!(
                    "coalition issue {name}.request --until 2099-11-30 --yes --dir c --passphrase-file passphrase"
                );
                // Whoever finds the folder taken is told so, and comes again.
                for _ in 0..100 {
                    let ran = site.run(&line);
                    if ran.code == 0 {
                        return;
                    }
                    assert!(ran.stderr.contains("wait for it"), "{}", ran.stderr);
                    thread::sleep(std::time::Duration::from_millis(50));
                }
                panic!("{name} never got its turn");
            });
        }
    });
    assert_eq!(
        json(&site.ok("coalition roster --json --dir c"))["certificates"].as_array().unwrap().len(),
        4
    );
}

#[test]
fn a_beacon_says_where_the_log_ends_and_for_how_long() {
    let site = Site::new();
    site.coalition("acme");
    let said =
        site.ok("coalition beacon --valid 7d --out beacon.pem --dir acme --passphrase-file passphrase");
    assert!(said.contains("entry 0 is the newest"), "{said}");
    let text = std::fs::read_to_string(site.path("beacon.pem")).unwrap();
    assert!(text.starts_with("-----BEGIN BELFRY BEACON-----"), "{text}");
    site.refused(
        "coalition beacon --valid soon --out beacon.pem --dir acme --passphrase-file passphrase",
        2,
        "is not a duration",
    );
}

#[test]
fn what_the_coalition_lives_by_is_never_an_output() {
    let site = Site::new();
    site.coalition("c");
    site.enrol("alice", "c", "");
    site.issue("alice", "c", "");
    let before = fs::read(site.path("c/log.pem")).unwrap();
    let pass = "--dir c --passphrase-file passphrase";
    for command in [
        "coalition export --out c/log.pem --dir c",
        "coalition export --out c/keys/root.pem --dir c",
        "coalition export --out c/../c/head --dir c",
        &format!("coalition beacon --out c/charter.pem {pass}"),
        &format!("coalition issue alice.request --until 2099-11-30 --yes --out c/notices.json {pass}"),
        "coalition charter draft --out c/keys/draft.toml --dir c",
    ] {
        site.refused(command, 3, "the coalition's own");
    }
    // Nor a node's, nor a file that holds something else.
    site.refused("coalition export --out alice/charter.pem --dir c", 3, "the node's own");
    fs::write(site.path("diary"), "dear diary").unwrap();
    site.refused("coalition export --out diary --dir c", 3, "holds something else");
    site.refused("coalition export --out alice.certificate --dir c", 3, "holds a BELFRY CERTIFICATE");
    assert_eq!(fs::read(site.path("c/log.pem")).unwrap(), before);
    site.ok("coalition export --out c/log-for-members.pem --dir c");
    site.ok("coalition export --out c/log-for-members.pem --dir c");
}

#[test]
fn a_revoked_certificate_is_no_member_and_a_time_to_come_is_said() {
    let site = Site::new();
    site.coalition("c");
    for name in ["alice", "bob"] {
        site.enrol(name, "c", "");
        site.issue(name, "c", "");
    }
    site.ok("coalition revoke 1 --reason left --yes --dir c --passphrase-file passphrase");
    site.ok("coalition export --out c.log --dir c");
    let said = site.ok("verify c.log");
    assert!(said.contains("1 with a valid certificate, 2 ever"), "{said}");
    let audit = "audit membership --log c.log --group cidr --at";
    let to_come = site.ok(&format!("{audit} 2098-01-01"));
    assert!(to_come.starts_with("2098-01-01T23:59:59Z is still to come"), "{to_come}");
    assert_eq!(json(&site.ok(&format!("{audit} 2098-01-01 --json")))["is_to_come"], true);
    let past = site.ok(&format!("{audit} 2026-01-01"));
    assert!(!past.contains("to come"), "{past}");
}

#[test]
fn the_texts_that_are_accepted_can_be_compared_and_verified() {
    let site = Site::new();
    site.coalition("c");
    let shown = site.ok("coalition charter show --dir c");
    let line = shown.lines().find(|line| line.starts_with("arrangement ")).unwrap();
    assert!(line.contains("c/documents/arrangement.default.md (sha256 "), "{line}");
    // A member has what it was given: charter and documents side by side, or elsewhere.
    let said = site.enrol("alice", "c", "");
    assert!(
        said.contains("c/documents/rules-of-conduct.default.md\n") && said.contains("its sha256sum "),
        "{said}"
    );
    fs::create_dir(site.path("given")).unwrap();
    fs::copy(site.path("c/charter.pem"), site.path("given/charter.pem")).unwrap();
    let enrol = "enroll --charter given/charter.pem --org bob --class essential --groups cidr --accept-arrangement \
                 --accept-rules --dir bob --passphrase-file passphrase";
    let ran = site.run(enrol);
    assert!(ran.code == 0 && ran.stderr.contains("--documents"), "{}", ran.stderr);
    let ran = site.run(&format!("{enrol} --documents c/documents"));
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    site.ok("coalition export --out c.log --dir c");
    let said = site.ok("verify c/documents/arrangement.default.md --log c.log");
    assert!(said.contains("the text of the arrangement") && said.contains("charter version 1"), "{said}");
    fs::write(site.path("other.md"), "another text").unwrap();
    site.refused("verify other.md --log c.log", 3, "not the text of an arrangement");
    site.refused("verify other.md", 1, "BELFRY");
}

#[test]
fn arguments_that_would_be_ignored_are_refused() {
    let site = Site::new();
    site.coalition("c");
    site.enrol("alice", "c", "");
    site.issue("alice", "c", "");
    site.ok(&Site::join("alice", "c"));
    for command in [
        "coalition notices --write pages --json --dir c",
        "coalition notices --on 2026-11-01 --dir c",
        "coalition notices --reference NBB-1 --dir c",
        "coalition notices --sent 1-nis2-entering --json --dir c",
        "coalition notices --sent 1-nis2-entering --lang fr --dir c",
        "coalition notices --sent 1-nis2-entering --write pages --dir c",
        "notice --lang nl --json --dir alice",
    ] {
        let ran = site.run(command);
        assert_eq!(ran.code, 2, "{command}\n{}", ran.stderr);
    }
    assert!(!site.path("pages").exists());
    // In the list a language names the authority.
    let names = |lang: &str| site.ok(&format!("notice --lang {lang} --dir alice"));
    assert_ne!(names("nl").lines().nth(1), names("fr").lines().nth(1));
}
