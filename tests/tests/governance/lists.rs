//! Lists of members against the roster: nobody twice, and whatever the list says is held to what certificates say.

use std::fs;

use belfry_node::{
    clock,
    keys::{MemberKeys, enrolment::read_charters},
};
use belfry_proto::{
    schema::{EntityClass, Organisation},
    trust::{
        file::write_request,
        request::{self, RequestDraft},
    },
};
use serde_json::Value;

use super::desk::Desk;

const WITH: [&str; 3] = ["--yes", "--passphrase-file", "passphrase"];

/// A request, `FOLDER.request`.
fn asks(desk: &Desk, name: &str, folder: &str, more: &[&str]) {
    let who = ["enroll", "--charter", "coalition/charter.pem", "--org", name, "--class", "essential"];
    let request = format!("{folder}.request");
    let what = ["--groups", "cidr", "--dir", folder, "--out", &request];
    desk.coalition.ok(&[&who[..], &what, more, &["--accept-arrangement", "--accept-rules"]].concat());
}

fn list(desk: &Desk, text: &str) {
    fs::write(desk.path("members.csv"), text).unwrap();
}

fn roster(desk: &Desk) -> Vec<Value> {
    let roster: Value = serde_json::from_str(&desk.ok(&["roster", "--json", "--dir", "coalition"])).unwrap();
    roster["certificates"].as_array().unwrap().clone()
}

const IMPORT: [&str; 4] = ["import", "members.csv", "--dir", "coalition"];

#[test]
fn a_list_makes_no_second_member_of_an_enterprise_whatever_name_it_asks_under() {
    let desk = Desk::found("Once");
    let kbo = ["--kbo", "0123456749"];
    asks(&desk, "Bank", "bank", &kbo);
    asks(&desk, "Bank Belgium NV", "nv", &kbo);
    let issue = [&IMPORT[..], &["--issue"], &WITH].concat();
    let nv = "Bank Belgium NV,,2099-12-31,nv.request\n";
    // Listed under its number by one line, and asking with it by another.
    list(&desk, &format!("organisation,kbo,until,request\nBank,0123456749,,\n{nv}"));
    for arguments in [&IMPORT[..], &issue] {
        let said = desk.refused(arguments);
        assert!(said.contains("lines 2 and 3 are of one member: the same kbo. Leave one out"), "{said}");
    }
    // A member of the roster.
    desk.ok(&[&["issue", "bank.request", "--until", "2099-12-31", "--dir", "coalition"][..], &WITH].concat());
    for lines in [nv.to_owned(), format!("Bank,0123456749,,\n{nv}")] {
        list(&desk, &format!("organisation,kbo,until,request\n{lines}"));
        for arguments in [&IMPORT[..], &issue] {
            let said = desk.refused(arguments);
            assert!(
                said.contains("has the kbo of \"Bank\"") && said.contains("enrol with --member"),
                "{said}"
            );
        }
    }
    assert_eq!(roster(&desk).len(), 1);
    // By hand it is a decision, and warned of.
    let by_hand = ["issue", "nv.request", "--until", "2099-12-31", "--dir", "coalition"];
    let asked = desk.run(&[&by_hand[..], &["--passphrase-file", "passphrase"]].concat());
    assert_ne!(asked.code, 0);
    assert!(
        asked.stderr.contains("same enterprise number or LEI already, called \"Bank\""),
        "{}",
        asked.stderr
    );
}

#[test]
fn whatever_a_list_says_otherwise_than_a_certificate_is_told() {
    let desk = Desk::found("Reconciled");
    asks(&desk, "Bank", "bank", &["--sector", "banking"]);
    let issue = ["issue", "bank.request", "--until", "2099-12-31", "--dir", "coalition"];
    desk.ok(&[&issue[..], &["--member-since", "2019-03-01"], &WITH].concat());
    let head = "organisation;sector;capacity;supplier_of;until;member_since;groups\n";
    list(&desk, &format!("{head}Bank;banking;none;none;2099-12-31;2019-03-01;cidr:publisher\n"));
    let same = desk.ok(&IMPORT);
    assert!(same.contains("certificate 1, valid") && !same.contains("says otherwise"), "{same}");
    for (line, said) in [
        ("Bank;;;;2030-12-31;;", "until 2099-12-31"),
        ("Bank;market infrastructure;;;;;", "sector banking"),
        ("Bank;;supervisor;;;;", "capacity none"),
        ("Bank;;;Grid | Rail;;;", "supplier of none"),
        ("Bank;;;;;2018-01-01;", "member since 2019-03-01"),
    ] {
        list(&desk, &format!("{head}{line}\n"));
        let told = desk.ok(&IMPORT);
        assert!(told.contains(&format!("valid, says otherwise: {said}\n")), "{line}: {told}");
    }
    // An end that is announced is the end.
    let leaves =
        ["revoke", "1", "--reason", "left", "--effective", "2098-12-31T00:00:00Z", "--dir", "coalition"];
    desk.ok(&[&leaves[..], &WITH].concat());
    list(&desk, &format!("{head}Bank;;;;2099-12-31;;\n"));
    let told = desk.ok(&IMPORT);
    assert!(told.contains("says otherwise: until 2098-12-31"), "{told}");
}

#[test]
fn who_left_comes_back_by_a_list_as_the_member_it_was_and_is_never_passed_over() {
    let desk = Desk::found("Back again");
    asks(&desk, "Bank", "bank", &[]);
    desk.ok(&[&["issue", "bank.request", "--until", "2099-12-31", "--dir", "coalition"][..], &WITH].concat());
    desk.ok(&[&["revoke", "1", "--reason", "left", "--dir", "coalition"][..], &WITH].concat());
    let head = "organisation,until,request\nBank,2099-12-31,";
    // What it left with is the roster's to tell; a file that is not there is not.
    list(&desk, &format!("{head}bank.request\n"));
    assert!(desk.ok(&IMPORT).contains("certificate 1, revoked"));
    list(&desk, &format!("{head}nowhere.request\n"));
    let gone = desk.run(&IMPORT);
    assert!(gone.code == 1 && gone.stderr.contains("nowhere.request"), "{}{}", gone.stdout, gone.stderr);
    asks(&desk, "Bank", "stranger", &[]);
    list(&desk, &format!("{head}stranger.request\n"));
    let said = desk.refused(&IMPORT);
    assert!(said.contains("was a member before") && said.contains("enrol with --member"), "{said}");
    let member = roster(&desk)[0]["member"].as_str().unwrap().to_owned();
    asks(&desk, "Bank", "again", &["--member", &member]);
    list(&desk, &format!("{head}again.request\n"));
    let told = desk.ok(&IMPORT);
    assert!(told.contains("to issue") && told.contains("; was revoked (left, 20"), "{told}");
    let issue = [&IMPORT[..], &["--issue"], &WITH].concat();
    desk.ok(&issue);
    let certificates = roster(&desk);
    assert_eq!(certificates.len(), 2);
    assert_eq!((&certificates[1]["member"], &certificates[1]["standing"]), (&member.into(), &"valid".into()));
    assert!(desk.ok(&issue).contains("Nothing to issue"));
    // While it is in, another request is for `issue`.
    list(&desk, &format!("{head}stranger.request\n"));
    let said = desk.refused(&issue);
    assert!(said.contains("not the one that the certificates") && said.contains("coalition issue"), "{said}");
}

#[test]
fn whom_the_coalition_put_out_no_list_brings_back() {
    let desk = Desk::found("Put out");
    asks(&desk, "Bank", "bank", &[]);
    desk.ok(&[&["issue", "bank.request", "--until", "2099-12-31", "--dir", "coalition"][..], &WITH].concat());
    desk.ok(&[&["revoke", "1", "--reason", "breach-of-rules", "--dir", "coalition"][..], &WITH].concat());
    let member = roster(&desk)[0]["member"].as_str().unwrap().to_owned();
    asks(&desk, "Bank", "again", &["--member", &member]);
    list(&desk, "organisation,until,request\nBank,2099-12-31,again.request\n");
    for arguments in [&IMPORT[..], &[&IMPORT[..], &["--issue"], &WITH].concat()] {
        let said = desk.refused(arguments);
        assert!(said.contains("was revoked (breach-of-rules, 20"), "{said}");
        assert!(said.contains("belfry coalition issue --dir coalition"), "{said}");
    }
    assert_eq!(roster(&desk).len(), 1);
    // By hand it is a decision; from then on the list speaks of a member again.
    desk.ok(&[&["issue", "again.request", "--until", "2099-12-31", "--dir", "coalition"][..], &WITH].concat());
    assert!(desk.ok(&IMPORT).contains("certificate 3, valid"));
}

#[test]
fn a_number_that_a_certificate_has_wrong_is_warned_of_and_any_other_wrong_one_refuses_the_list() {
    const WRONG: &str = "0123456789";
    let desk = Desk::found("Slips");
    // As another tool asks: `belfry enroll` takes no such number.
    let organisation = Organisation {
        name: "Bank".into(),
        kbo: WRONG.into(),
        classes: vec![EntityClass::Essential.into()],
        ..Organisation::default()
    };
    let draft = RequestDraft { organisation, groups: Vec::new(), carrier: true, member: None };
    let charters = read_charters(&desk.path("coalition/charter.pem")).unwrap();
    let keys = MemberKeys::generate(&mut rand::rng());
    let asked = request::build(&draft, &keys.signing, &keys.node, &keys.kem, charters.newest(), clock::now());
    fs::write(desk.path("bank.request"), write_request(&asked)).unwrap();
    desk.ok(&[&["issue", "bank.request", "--until", "2099-12-31", "--dir", "coalition"][..], &WITH].concat());
    asks(&desk, "Port", "port", &[]);
    let head = "organisation,kbo,until,request\n";
    list(&desk, &format!("{head}Bank,{WRONG},,\nDock,0123456788,,\n"));
    let said = desk.refused(&IMPORT);
    assert!(said.contains("line 3, kbo: \"0123456788\" is no enterprise number"), "{said}");
    list(&desk, &format!("{head}Bank,{WRONG},,\nPort,,2099-12-31,port.request\n"));
    let ran = desk.run(&[&IMPORT[..], &["--issue"], &WITH].concat());
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("line 2, kbo") && ran.stderr.contains("coalition amend"), "{}", ran.stderr);
    assert_eq!(roster(&desk).len(), 2);
}

#[test]
fn numbers_are_held_to_the_rule_of_the_authorities_file_that_is_named_and_to_belgiums_without_one() {
    // Wrong for Belgium, right by the other rule; and the other way round.
    const OURS: &str = "0203201341";
    const BELGIAN: &str = "0203201340";
    let desk = Desk::found("Elsewhere");
    let standard = include_str!("../../../config/notices.default.toml");
    let rule = "begins = [\"0\", \"1\"]\ndigits = 2\nmodulus = 97\n";
    assert!(standard.contains(rule));
    let other = standard.replacen(rule, "begins = [\"0\"]\ndigits = 1\nmodulus = 11\n", 1);
    fs::write(desk.path("other.toml"), other).unwrap();
    let by = ["--authorities", "other.toml"];

    let enroll =
        ["enroll", "--charter", "coalition/charter.pem", "--org", "Port", "--class", "essential", "--groups"];
    let accepted = ["cidr", "--dir", "port", "--accept-arrangement", "--accept-rules"];
    let refused = |said: &[&str]| {
        let ran = desk.coalition.run(said);
        assert_eq!(ran.code, 2, "{}{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains("is no enterprise number"), "{}", ran.stderr);
        assert!(ran.stderr.contains("--authorities"), "{}", ran.stderr);
    };
    refused(&[&enroll[..], &accepted, &["--kbo", OURS]].concat());
    refused(&[&enroll[..], &accepted, &["--kbo", BELGIAN], &by].concat());
    assert!(!desk.path("port").exists(), "nothing was made");
    asks(&desk, "Port", "port", &[&["--kbo", OURS][..], &by].concat());

    let head = "organisation,kbo,until,request\n";
    list(&desk, &format!("{head}Port,{OURS},2099-12-31,port.request\n"));
    let said = desk.refused(&IMPORT);
    assert!(said.contains("line 2, kbo") && said.contains("--authorities"), "{said}");
    desk.ok(&[&IMPORT[..], &by].concat());
    let issue = ["issue", "port.request", "--until", "2099-12-31", "--dir", "coalition"];
    let asked = desk.run(&[&issue[..], &["--passphrase-file", "passphrase"]].concat());
    assert!(asked.stderr.contains("has wrong check digits"), "{}", asked.stderr);
    let ran = desk.run(&[&issue[..], &by, &WITH].concat());
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert!(!ran.stderr.contains("check digits"), "{}", ran.stderr);

    let amend = ["coalition", "amend", "1", "--kbo", BELGIAN, "--dir", "coalition"];
    refused(&[&amend[..], &by, &WITH].concat());
    desk.coalition.ok(&[&amend[..], &WITH].concat());
}
