//! Cuts on top of cuts: what the command says stays is what stays.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::fs;

use support::Site;

const DECIDE: &str = "--yes --dir c --passphrase-file passphrase";

fn point(log: &str, sequence: u64) -> String {
    format!("{} {sequence} {}\n", log.repeat(32), "22".repeat(32))
}

/// Alice has a certificate; `cut` lists two logs, `one` the first of them.
fn certified() -> Site {
    let site = Site::new();
    site.coalition("c");
    site.enrol("alice", "c", "");
    site.issue("alice", "c", "");
    fs::write(site.path("cut"), point("11", 3) + &point("33", 1)).unwrap();
    fs::write(site.path("one"), point("11", 3)).unwrap();
    site
}

#[test]
fn a_cut_after_a_suspension_without_one_brings_nothing_back_and_says_so() {
    let site = certified();
    assert!(site.ok(&format!("coalition suspend 1 {DECIDE}")).contains("EVERY message"));
    let said = site.ok(&format!("coalition revoke 1 --reason left --cut cut {DECIDE}"));
    assert!(said.contains("None of the listed messages will be shown"), "{said}");
    assert!(said.contains("belfry coalition extend-cut 1 --cut FILE"), "{said}");
    assert!(!said.contains("stay"), "{said}");
    site.ok(&format!("coalition extend-cut 1 --cut cut {DECIDE}"));
}

#[test]
fn a_wider_cut_after_a_narrow_one_counts_what_stays() {
    let site = certified();
    site.ok(&format!("coalition suspend 1 --cut one {DECIDE}"));
    let said = site.ok(&format!("coalition revoke 1 --reason left --cut cut {DECIDE}"));
    assert!(said.contains("up to the cut of 1 log stay") && said.contains("hides 1 log that"), "{said}");
}

#[test]
fn without_an_earlier_cut_everything_listed_stays() {
    let site = certified();
    let said = site.ok(&format!("coalition revoke 1 --reason left --cut cut {DECIDE}"));
    assert!(said.contains("up to the cut of 2 logs stay; everything else it signed is hidden.\n"), "{said}");
}

#[test]
fn a_resumption_frees_only_later_logs_and_a_cut_repeated_is_no_other() {
    let site = certified();
    site.ok(&format!("coalition suspend 1 --cut cut {DECIDE}"));
    site.ok(&format!("coalition resume 1 {DECIDE}"));
    let said = site.ok(&format!("coalition revoke 1 --reason left --cut cut {DECIDE}"));
    assert!(said.contains("up to the cut of 2 logs stay"), "{said}");
}

#[test]
fn a_file_given_by_mistake_is_not_said_back() {
    let site = certified();
    site.secret("secret", "correct horse battery");
    let ran = site.run(&format!("coalition revoke 1 --reason left --cut secret {DECIDE}"));
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("secret: line 1: the second word is not a number"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("horse") && !ran.stdout.contains("horse"));
}
