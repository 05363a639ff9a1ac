//! `belfry enroll` and `belfry join`: a member's machine.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::{fs, os::unix::fs::PermissionsExt as _};

use belfry_proto::trust::file::{
    read_certificate, read_log, read_request, write_certificate, write_log, write_request,
};
use support::{Site, chmod};

/// A site with a coalition `c` that issued alice's certificate.
fn issued() -> Site {
    let site = Site::new();
    site.coalition("c");
    site.enrol("alice", "c", "");
    site.issue("alice", "c", "");
    site
}

#[test]
fn a_member_enrols_and_joins() {
    let site = Site::new();
    site.coalition("c");
    let said = site.enrol("alice", "c", "");
    assert!(said.contains("12D3KooW"), "{said}");
    for key in ["signing", "node", "kem", "store"] {
        let path = site.path(&format!("alice/keys/{key}.pem"));
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    site.refused(&Site::join("alice", "c"), 1, "alice.certificate");
    site.issue("alice", "c", "");
    let said = site.ok(&Site::join("alice", "c"));
    assert!(said.contains("Joined Test c as alice") && said.contains("cidr"), "{said}");
    // Joining again changes nothing.
    site.ok(&Site::join("alice", "c"));
    site.refused(
        "enroll --charter c/charter.pem --org alice --class essential --groups cidr --dir alice --accept-arrangement \
         --accept-rules --passphrase-file passphrase",
        3,
        "joined already",
    );
}

#[test]
fn the_daemon_starts_from_what_joining_left() {
    let site = issued();
    site.ok(&Site::join("alice", "c"));
    let passphrase = belfry_node::keys::Passphrase::new(support::PASSPHRASE);
    let enrolment = belfry_node::keys::Enrolment::load(&site.path("alice"), &passphrase).unwrap();
    assert_eq!(enrolment.certificate.organisation.name, "alice");
    assert_eq!(enrolment.keys.node.public(), enrolment.node());
    assert_eq!(enrolment.roster.version().height.get(), 1);
    let error = belfry_node::keys::Enrolment::load(&site.path("nobody"), &passphrase).unwrap_err();
    assert!(error.to_string().contains("belfry enroll"), "{error}");
    site.enrol("bob", "c", "");
    let error = belfry_node::keys::Enrolment::load(&site.path("bob"), &passphrase).unwrap_err();
    assert!(error.to_string().contains("belfry join"), "{error}");
}

#[test]
fn enrolling_pins_one_coalition() {
    let site = Site::new();
    site.coalition("c");
    site.coalition("other");
    site.enrol("alice", "c", "");
    let enroll = "enroll --org alice --class essential --groups cidr --accept-arrangement --accept-rules --passphrase-file passphrase";
    site.refused(
        &format!("{enroll} --charter other/charter.pem --dir alice"),
        3,
        "is enrolled with coalition",
    );
    site.refused(
        &format!("{enroll} --charter c/charter.pem --dir bob --coalition {}", "00".repeat(32)),
        3,
        "not of the one you named",
    );
    assert!(!site.path("bob").exists());
    site.refused(&format!("{enroll} --charter c/log.pem --dir bob"), 1, "BELFRY LOG");
}

#[test]
fn arrangement_and_rules_must_be_accepted() {
    let site = Site::new();
    site.coalition("c");
    let enroll = "enroll --charter c/charter.pem --org bob --class essential --groups cidr --dir bob --passphrase-file passphrase";
    site.refused(enroll, 3, "without accepting");
    site.refused(&format!("{enroll} --accept-arrangement"), 3, "rules of conduct");
    assert!(!site.path("bob").exists());
}

#[test]
fn enrolling_again_before_joining_keeps_the_keys() {
    let site = Site::new();
    site.coalition("c");
    site.enrol("alice", "c", "");
    let signing = fs::read(site.path("alice/keys/signing.pem")).unwrap();
    site.enrol("alice", "c", "--sector banking");
    assert_eq!(fs::read(site.path("alice/keys/signing.pem")).unwrap(), signing);
}

#[test]
fn a_certificate_for_other_keys_is_refused() {
    let site = issued();
    site.enrol("bob", "c", "");
    let line = "join alice.certificate --log c.log --dir bob --passphrase-file passphrase";
    site.refused(line, 3, "another signing key");
    assert!(!site.path("bob/certificate.pem").exists());
}

#[test]
fn a_certificate_or_log_of_another_coalition_is_refused() {
    let site = issued();
    site.coalition("other");
    site.enrol("bob", "other", "");
    site.issue("bob", "other", "");
    site.refused(
        "join bob.certificate --log c.log --dir alice --passphrase-file passphrase",
        3,
        "the certificate is of coalition",
    );
    site.refused(
        "join alice.certificate --log other.log --dir alice --passphrase-file passphrase",
        3,
        "the log is of coalition",
    );
}

#[test]
fn a_wrong_passphrase_and_open_permissions_are_refused() {
    let site = issued();
    site.refused(
        "join alice.certificate --log c.log --dir alice --passphrase-file other-passphrase",
        1,
        "wrong passphrase",
    );
    chmod(&site.path("alice/keys/node.pem"), 0o604);
    site.refused(&Site::join("alice", "c"), 3, "chmod 600 alice/keys/node.pem");
}

#[test]
fn any_tampering_with_certificate_or_log_is_refused() {
    let site = issued();
    let certificate = read_certificate(&fs::read_to_string(site.path("alice.certificate")).unwrap()).unwrap();
    let log = read_log(&fs::read_to_string(site.path("c.log")).unwrap()).unwrap();
    let join = |certificate: &_, log: &_| {
        fs::write(site.path("x.certificate"), write_certificate(certificate)).unwrap();
        fs::write(site.path("x.log"), write_log(log)).unwrap();
        site.run("join x.certificate --log x.log --dir alice --passphrase-file passphrase")
    };

    let mut stripped = certificate.clone();
    stripped.statement.as_mut().unwrap().signatures.clear();
    let ran = join(&stripped, &log);
    assert_eq!((ran.code, ran.stderr.contains("admins' signatures")), (3, true), "{}", ran.stderr);

    let mut stripped = log.clone();
    stripped.records[0].statement.as_mut().unwrap().signatures.clear();
    let ran = join(&certificate, &stripped);
    assert_eq!((ran.code, ran.stderr.contains("entry 1")), (3, true), "{}", ran.stderr);

    let mut stripped = log.clone();
    stripped.records[0].entry.as_mut().unwrap().signatures.clear();
    assert_eq!(join(&certificate, &stripped).code, 3);

    let mut stripped = log.clone();
    stripped.charters[0].signatures.clear();
    let ran = join(&certificate, &stripped);
    assert_eq!((ran.code, ran.stderr.contains("charter")), (3, true), "{}", ran.stderr);

    for position in [10, 40, 80] {
        let mut flipped = log.clone();
        flipped.records[0].statement.as_mut().unwrap().payload[position] ^= 1;
        assert_ne!(join(&certificate, &flipped).code, 0);
        let mut flipped = certificate.clone();
        flipped.statement.as_mut().unwrap().payload[position] ^= 1;
        assert_ne!(join(&flipped, &log).code, 0);
    }
    let mut emptied = log.clone();
    emptied.records.clear();
    let ran = join(&certificate, &emptied);
    assert_eq!((ran.code, ran.stderr.contains("newer log")), (3, true), "{}", ran.stderr);

    assert!(!site.path("alice/certificate.pem").exists(), "a refused join leaves nothing behind");
    assert_eq!(join(&certificate, &log).code, 0);
}

#[test]
fn a_rolled_back_log_is_refused() {
    let site = issued();
    fs::copy(site.path("c.log"), site.path("old.log")).unwrap();
    site.enrol("bob", "c", "");
    site.issue("bob", "c", "");
    site.ok(&Site::join("alice", "c"));
    let before = fs::read(site.path("alice/log.pem")).unwrap();
    site.refused(
        "join alice.certificate --log old.log --dir alice --passphrase-file passphrase",
        3,
        "has seen the log at entry 2",
    );
    assert_eq!(fs::read(site.path("alice/log.pem")).unwrap(), before);
}

#[test]
fn a_revoked_certificate_cannot_be_taken_up() {
    let site = issued();
    site.ok("coalition revoke 1 --reason issued-in-error --yes --dir c --passphrase-file passphrase");
    site.ok("coalition export --out c.log --dir c");
    site.refused(&Site::join("alice", "c"), 3, "is revoked");
}

#[test]
fn a_request_without_proof_of_possession_is_not_issued() {
    let site = Site::new();
    site.coalition("c");
    site.enrol("alice", "c", "");
    let request = read_request(&fs::read_to_string(site.path("alice.request")).unwrap()).unwrap();
    let issue = "coalition issue x.request --until 2099-11-30 --yes --dir c --passphrase-file passphrase";
    for missing in 0..request.signatures.len() {
        let mut stripped = request.clone();
        stripped.signatures.remove(missing);
        fs::write(site.path("x.request"), write_request(&stripped)).unwrap();
        assert_eq!(site.run(issue).code, 3);
    }
    site.coalition("other");
    fs::write(site.path("x.request"), write_request(&request)).unwrap();
    site.refused(&issue.replace("--dir c ", "--dir other "), 3, "coalition");
}
