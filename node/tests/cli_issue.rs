//! `belfry coalition issue`: what it refuses, and what it warns of.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::fs;

use support::Site;

const ISSUE: &str = "coalition issue alice.request --yes --dir c --passphrase-file passphrase";

/// A coalition `c` with alice's request.
fn requested() -> Site {
    let site = Site::new();
    site.coalition("c");
    site.enrol("alice", "c", "");
    site
}

fn entries(site: &Site) -> usize {
    let log: serde_json::Value = serde_json::from_str(&site.ok("coalition log --json --dir c")).unwrap();
    log["entries"].as_array().unwrap().len()
}

#[test]
fn other_terms_for_an_issued_request_are_refused_with_the_way_to_them() {
    let site = requested();
    site.ok(&format!("{ISSUE} --until 2099-11-30 --groups cidr:reader"));
    for (terms, said) in [
        ("--until 2099-12-31", "valid until 2099-11-30T23:59:59Z and not 2099-12-31T23:59:59Z"),
        ("--until 2099-11-30 --groups cidr:publisher", "for cidr:reader and not for cidr:publisher"),
        (
            "--until 2099-11-30 --groups cidr,awareness --role reader",
            "for cidr:reader and not for awareness:reader, cidr:reader",
        ),
        ("--until 2099-11-30 --carrier", "and not for a carrier"),
    ] {
        site.refused(&format!("{ISSUE} {terms}"), 3, said);
        site.refused(&format!("{ISSUE} {terms}"), 3, "belfry enroll --member");
    }
    // The same terms, or none about groups, write the same certificate.
    let first = fs::read(site.path("c/certificates/1.pem")).unwrap();
    for terms in ["--until 2099-11-30 --groups cidr --role reader", "--until 2099-11-30"] {
        fs::remove_file(site.path("c/certificates/1.pem")).unwrap();
        assert!(site.ok(&format!("{ISSUE} {terms}")).contains("certificate 1 already"));
        assert_eq!(fs::read(site.path("c/certificates/1.pem")).unwrap(), first);
    }
    assert_eq!(entries(&site), 1);
}

#[test]
fn a_second_member_of_one_name_is_warned_of() {
    let site = requested();
    site.ok(&format!("{ISSUE} --until 2099-11-30"));
    site.ok(
        "enroll --charter c/charter.pem --org ALICE --class essential --groups cidr --accept-arrangement \
         --accept-rules --dir other --out other.request --passphrase-file passphrase",
    );
    let ran = site.run(&ISSUE.replace("alice.request", "other.request --until 2099-11-30"));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("WARNING: there is a member called \"alice\" already"), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("(certificate 1 valid)") && ran.stderr.contains("--member"),
        "{}",
        ran.stderr
    );
    // A node of the same member is none.
    let roster: serde_json::Value =
        serde_json::from_str(&site.ok("coalition roster --json --dir c")).unwrap();
    let member = roster["certificates"][0]["member"].as_str().unwrap();
    site.enrol("second", "c", "");
    site.ok(&format!(
        "enroll --charter c/charter.pem --org alice --class essential --groups cidr --member {member} \
         --accept-arrangement --accept-rules --dir third --out third.request --passphrase-file passphrase"
    ));
    let ran = site.run(&ISSUE.replace("alice.request", "third.request --until 2027-01-01"));
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
}

#[test]
fn an_end_after_the_charters_is_warned_of_and_one_in_the_past_refused() {
    let site = requested();
    site.refused(&format!("{ISSUE} --until 2020-01-01"), 2, "2020-01-01 is over: it is 2");
    assert_eq!(entries(&site), 0);
    let ran = site.run(&format!("{ISSUE} --until 2099-11-30"));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("WARNING: the charter ends on 20"), "{}", ran.stderr);
}

#[test]
fn carriers_and_groups_exclude_each_other_at_either_end() {
    let site = requested();
    site.refused(&format!("{ISSUE} --until 2099-11-30 --carrier --groups cidr"), 2, "cannot be used with");
    site.refused(&format!("{ISSUE} --until 2099-11-30 --carrier --role steward"), 2, "cannot be used with");
    let enroll = "enroll --charter c/charter.pem --org bob --class essential --dir bob";
    site.refused(&format!("{enroll} --carrier --groups cidr"), 2, "cannot be used with");
    site.refused(enroll, 2, "--groups");
}

#[test]
fn hints_name_the_folder_that_was_named() {
    let site = requested();
    let said = site.ok(&format!("{ISSUE} --until 2099-11-30"));
    assert!(said.contains("  belfry coalition export --out log.pem --dir c\n"), "{said}");
    site.refused(
        "coalition revoke 9 --reason left --yes --dir c",
        3,
        "`belfry coalition roster --dir c` lists them",
    );
    let said = site.enrol("bob", "c", "");
    let again = "--config belfry.toml --dir bob --passphrase-file passphrase";
    assert!(said.contains(&format!("belfry join CERTIFICATE --log LOG {again}")), "{said}");
    site.issue("bob", "c", "");
    let said = site.ok(&Site::join("bob", "c"));
    assert!(said.contains(&format!("Then: belfry run {again}")), "{said}");
    site.refused("status --dir bob", 1, "`belfry run --config belfry.toml --dir bob`");
}
