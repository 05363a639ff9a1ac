//! The table of exit codes, as `belfry --help` states it, over every command that reads a file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::fs;

use support::{Site, chmod};

/// Alice has joined coalition `c`.
fn joined() -> Site {
    let site = Site::new();
    site.coalition("c");
    site.enrol("alice", "c", "");
    site.issue("alice", "c", "");
    site.ok(&Site::join("alice", "c"));
    site
}

/// Every command that reads a file, with `FILE` in its place.
const READERS: [&str; 13] = [
    "--config FILE status",
    "enroll --charter FILE --org x --class essential --groups cidr --dir x",
    "enroll --charter c/charter.pem --org x --class essential --groups cidr --dir x --accept-arrangement --accept-rules \
     --passphrase-file FILE",
    "join FILE --log c.log --dir alice --passphrase-file passphrase",
    "join alice.certificate --log FILE --dir alice --passphrase-file passphrase",
    "coalition issue FILE --until 2099-11-30 --dir c",
    "coalition revoke 1 --reason left --cut FILE --dir c",
    "coalition extend-cut 1 --cut FILE --dir c",
    "coalition beacon --out b --dir c --passphrase-file FILE",
    "coalition init --name x --out new --charter-draft FILE",
    "publish FILE --group cidr --dir alice",
    "import-log FILE --dir alice",
    "store check --dir alice --passphrase-file FILE",
];

#[test]
fn a_file_that_is_missing_is_a_failure_to_every_command() {
    let site = joined();
    for command in READERS {
        let ran = site.run_bare(&command.replace("FILE", "no-such-file"));
        assert_eq!(ran.code, 1, "{command}\n{}", ran.stderr);
        let is_named = ran.stderr.contains("no-such-file");
        // Without a daemon that is said first.
        assert!(is_named || command.starts_with("publish"), "{command}\n{}", ran.stderr);
    }
}

#[test]
fn a_file_of_another_kind_is_a_failure_that_says_what_was_expected() {
    let site = joined();
    fs::write(site.path("notes.txt"), "nothing of belfry's\n").unwrap();
    for (command, expected) in [
        ("enroll --charter FILE --org x --class essential --groups cidr --dir x", "BEGIN BELFRY CHARTER"),
        ("join FILE --log c.log --dir alice --passphrase-file passphrase", "BEGIN BELFRY CERTIFICATE"),
        ("join alice.certificate --log FILE --dir alice --passphrase-file passphrase", "BEGIN BELFRY LOG"),
        ("coalition issue FILE --until 2099-11-30 --dir c", "BEGIN BELFRY CERTIFICATE REQUEST"),
        ("import-log FILE --dir alice", "BEGIN BELFRY LOG"),
    ] {
        site.refused(&command.replace("FILE", "notes.txt"), 1, expected);
        site.refused(&command.replace("FILE", "notes.txt"), 1, "notes.txt");
    }
}

#[test]
fn what_a_rule_forbids_is_a_refusal() {
    let site = joined();
    site.secret("open", support::PASSPHRASE);
    chmod(&site.path("open"), 0o644);
    fs::write(site.path("taken"), "").unwrap();
    for command in [
        "join alice.certificate --log c.log --dir alice --passphrase-file open",
        "coalition init --name x --out c --passphrase-file passphrase",
        "coalition issue alice.request --until 2098-11-30 --dir c --yes",
        "coalition revoke 7 --reason left --dir c --yes",
        "coalition revoke 1 --reason left --dir c --passphrase-file passphrase",
        "enroll --charter c/charter.pem --org x --class essential --groups no-such --dir x",
        "enroll --charter c/charter.pem --org alice --class essential --groups cidr --dir alice",
    ] {
        let ran = site.run(command);
        assert_eq!(ran.code, 3, "{command}\n{}", ran.stderr);
    }
}

#[test]
fn a_wrong_command_line_is_usage() {
    let site = Site::new();
    for command in [
        "publish b.json --group cidr --tlp red",
        "publish b.json --group cidr --tlp pink",
        "publish b.json --group cidr --wait 5 c.json",
        "token create --name x",
        "token create --name x --admin --until 2020-01-01",
        "coalition revoke x --reason left",
        "why abc",
    ] {
        let ran = site.run(command);
        assert_eq!(ran.code, 2, "{command}\n{}", ran.stderr);
    }
    site.refused("publish b.json --group cidr --tlp red", 2, "name them with --to MEMBER");
}

#[test]
fn a_wrong_passphrase_and_a_node_that_is_off_are_failures() {
    let site = joined();
    site.refused("store check --dir alice --passphrase-file other-passphrase", 1, "wrong passphrase");
    site.refused("status --dir alice", 1, "no belfry runs");
    // Nobody is asked for the passphrase of a node that is not there.
    for command in ["run", "store check", "backup create b", "join alice.certificate --log c.log"] {
        site.refused(&format!("{command} --dir nowhere"), 1, "no node here: nowhere");
        site.refused(&format!("{command} --dir nowhere"), 1, "belfry enroll");
    }
    let help = site.ok("--help");
    for code in ["0  done", "1  not done", "2  the command line is wrong", "3  refused"] {
        assert!(help.contains(code), "{help}");
    }
}
