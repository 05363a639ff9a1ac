//! Decisions that wait for other admins or for the registrar: built on, signed once, and ordered together or not at all.

use std::fs;

use belfry_tests::process::Role;
use serde_json::Value;

use super::{
    ceremonies::{machine, standings},
    decisions::two_admins,
    desk::Desk,
};

const WITH: [&str; 3] = ["--yes", "--passphrase-file", "passphrase"];

/// A coalition whose registrar works in `coalition`, an admin in `office`, and a member with two nodes.
fn offices() -> Desk {
    let desk = Desk::found("Offices");
    let _bank = desk.coalition.issue("Bank", Role::Publisher);
    let roster: Value = serde_json::from_str(&desk.ok(&["roster", "--json", "--dir", "coalition"])).unwrap();
    let member = roster["certificates"][0]["member"].as_str().unwrap();
    let enrol = ["enroll", "--charter", "coalition/charter.pem", "--org", "Bank", "--class", "essential"];
    let with = ["--groups", "cidr", "--member", member, "--dir", "two", "--out", "two.request"];
    desk.coalition.ok(&[&enrol[..], &with, &["--accept-arrangement", "--accept-rules"]].concat());
    desk.ok(&[&["issue", "two.request", "--until", "2099-12-31", "--dir", "coalition"][..], &WITH].concat());
    machine(&desk, "office", "coalition/keys/admin.pem");
    desk
}

/// A decision in the office.
fn decided(desk: &Desk, decision: &[&str]) -> String {
    desk.ok(&[decision, &["--dir", "office"], &WITH].concat())
}

/// Files that wait in a folder, by name.
fn files(desk: &Desk, folder: &str) -> Vec<String> {
    let Ok(found) = fs::read_dir(desk.path(folder).join("statements")) else { return Vec::new() };
    let mut names: Vec<String> = found
        .map(|file| format!("{folder}/statements/{}", file.unwrap().file_name().to_str().unwrap()))
        .collect();
    names.sort();
    names
}

/// The one of them that does this.
fn file(desk: &Desk, action: &str) -> String {
    let start = format!("office/statements/{action}-");
    files(desk, "office").into_iter().find(|name| name.starts_with(&start)).unwrap()
}

/// The files that a hint at a command names.
fn named(told: &str, command: &str) -> Vec<String> {
    let start = format!("  belfry coalition {command} ");
    let line = told.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_else(|| panic!("{told}"));
    line.split(' ').take_while(|word| *word != "--dir").map(str::to_owned).collect()
}

fn order(files: &[&str]) -> Vec<String> {
    let with = ["--dir", "coalition", "--passphrase-file", "passphrase"];
    [&["order"][..], files, &with].concat().into_iter().map(str::to_owned).collect()
}

fn words(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

fn entries(desk: &Desk) -> usize {
    let log: Value = serde_json::from_str(&desk.ok(&["log", "--json", "--dir", "coalition"])).unwrap();
    log["entries"].as_array().unwrap().len()
}

#[test]
fn a_member_of_two_nodes_comes_back_by_one_command_where_the_registrar_is_elsewhere() {
    let desk = offices();
    desk.ok(&[&["suspend", "--member", "Bank", "--dir", "coalition"][..], &WITH].concat());
    desk.ok(&["export", "--out", "newer.pem", "--dir", "coalition"]);
    desk.ok(&["take", "newer.pem", "--dir", "office"]);
    let told = decided(&desk, &["resume", "--member", "Bank"]);
    // One instruction for both, which names the folder, too.
    assert_eq!(told.matches("The registrar orders them").count(), 1, "{told}");
    assert!(told.contains(" --dir office\n"), "{told}");
    let both = named(&told, "order");
    assert_eq!(both.len(), 2, "{told}");
    // The second builds on the first, and is not ordered without it.
    let alone = desk.refused(&words(&order(&[&both[1]])));
    assert!(alone.contains("builds on another statement") && alone.contains("decide again"), "{alone}");
    assert_eq!((standings(&desk), entries(&desk)), (vec!["suspended".to_owned(); 2], 4));
    // In whatever order they are named.
    desk.ok(&words(&order(&[&both[1], &both[0]])));
    assert_eq!((standings(&desk), entries(&desk)), (vec!["valid".to_owned(); 2], 6));
}

#[test]
fn of_several_statements_all_go_in_or_none() {
    let desk = offices();
    decided(&desk, &["renew", "2", "--until", "2101-01-01"]);
    decided(&desk, &["suspend", "1"]);
    let (renew, suspend) = (file(&desk, "renew"), file(&desk, "suspend"));
    // In this order the renewal is overtaken by the suspension.
    let said = desk.refused(&words(&order(&[&suspend, &renew])));
    assert!(said.contains("behind the other files") && said.contains("decide again"), "{said}");
    assert_eq!(
        (standings(&desk), entries(&desk)),
        (vec!["valid".to_owned(); 2], 2),
        "the first went in alone"
    );
    desk.ok(&words(&order(&[&renew, &suspend])));
    assert_eq!((standings(&desk)[0].as_str(), entries(&desk)), ("suspended", 4));
}

#[test]
fn what_is_decided_and_waits_is_said_and_not_signed_a_second_time() {
    let desk = offices();
    desk.coalition.enrol("gas", Role::Reader);
    fs::write(desk.path("list.csv"), "organisation,until,request\ngas,2099-12-31,gas.request\n").unwrap();
    for decision in [
        &["issue", "gas.request", "--until", "2099-12-31"][..],
        &["renew", "1", "--until", "2101-01-01"],
        &["entitle", "1", "--groups", "iam"],
        &["suspend", "2"],
        &["revoke", "2", "--reason", "left", "--effective", "2099-01-01T00:00:00Z"],
    ] {
        let before = files(&desk, "office");
        decided(&desk, decision);
        let signed = files(&desk, "office");
        assert_eq!(signed.len(), before.len() + 1, "{decision:?}");
        let again = decided(&desk, decision);
        assert!(again.contains("nothing is signed again") && again.contains("coalition order"), "{again}");
        assert_eq!(files(&desk, "office"), signed, "{decision:?}");
    }
    let signed = files(&desk, "office");
    let other = ["issue", "gas.request", "--until", "2098-12-31", "--dir", "office"];
    let said = desk.refused(&[&other[..], &WITH].concat());
    assert!(said.contains("signed already") && said.contains("delete that file"), "{said}");
    // The same request in a list.
    let import = decided(&desk, &["import", "list.csv", "--issue"]);
    assert!(import.contains("not signed again") && import.contains("Nothing to issue"), "{import}");
    let later = "organisation,until,request\ngas,2098-12-31,gas.request\n";
    fs::write(desk.path("later.csv"), later).unwrap();
    let said = desk.refused(&[&["import", "later.csv", "--issue", "--dir", "office"][..], &WITH].concat());
    assert!(said.contains("with other terms") && said.contains("delete that file"), "{said}");
    assert_eq!(files(&desk, "office"), signed);
    // A second one, as another tool may have left it, is refused for what it is.
    let first = file(&desk, "issue");
    fs::rename(desk.path(&first), desk.path("first.pem")).unwrap();
    decided(&desk, &["issue", "gas.request", "--until", "2099-12-31"]);
    let second = file(&desk, "issue");
    let said = desk.refused(&words(&order(&["first.pem", &second])));
    assert!(said.contains("of one request") && said.contains("leave one of them out"), "{said}");
    desk.ok(&words(&order(&["first.pem"])));
    let said = desk.refused(&words(&order(&[&second])));
    assert!(said.contains("nothing is left to do") && !said.contains("enrol anew"), "{said}");
    assert_eq!(entries(&desk), 3);
}

#[test]
fn a_list_is_issued_to_where_the_registrar_is_elsewhere_and_ordered_in_one_go() {
    let desk = offices();
    for name in ["gas", "rail"] {
        desk.coalition.enrol(name, Role::Reader);
    }
    let list = "organisation,until,request\ngas,2099-12-31,gas.request\nrail,2099-12-31,rail.request\n";
    fs::write(desk.path("list.csv"), list).unwrap();
    decided(&desk, &["import", "list.csv", "--issue"]);
    let waiting = files(&desk, "office");
    assert_eq!((waiting.len(), entries(&desk)), (2, 2));
    desk.ok(&words(&order(&words(&waiting))));
    assert_eq!(standings(&desk), ["valid"; 4]);
    assert!(desk.path("coalition/certificates/4.pem").exists());
}

#[test]
fn whoever_signs_next_signs_a_decision_with_the_one_that_it_builds_on() {
    let desk = two_admins();
    let renew =
        |until: &str| desk.ok(&[&["renew", "1", "--until", until, "--dir", "coalition"][..], &WITH].concat());
    let first = named(&renew("2101-01-01"), "sign");
    let both = named(&renew("2102-01-01"), "sign");
    assert!(both.len() == 2 && both[0] == first[0], "{both:?}");
    let sign = |files: &[&str]| [&["sign"][..], files, &["--dir", "second"], &WITH].concat().join(" ");
    let alone = sign(&[&both[1]]);
    let said = desk.refused(&alone.split(' ').collect::<Vec<_>>());
    assert!(said.contains("builds on another statement"), "{said}");
    let together = sign(&[&both[0], &both[1]]);
    let told = desk.ok(&together.split(' ').collect::<Vec<_>>());
    assert_eq!(told.matches("Signed ").count(), 2, "{told}");
    desk.ok(&words(&order(&[&both[0], &both[1]])));
    assert!(desk.ok(&["roster", "--dir", "coalition"]).contains("2102-01-01"));
}

/// A request of a node, `FOLDER.request`.
fn asks(desk: &Desk, name: &str, folder: &str, more: &[&str]) {
    let who = ["enroll", "--charter", "coalition/charter.pem", "--org", name, "--class", "essential"];
    let request = format!("{folder}.request");
    let what = ["--groups", "cidr", "--dir", folder, "--out", &request];
    desk.coalition.ok(&[&who[..], &what, more, &["--accept-arrangement", "--accept-rules"]].concat());
}

#[test]
fn a_file_left_lying_is_no_decision_of_today() {
    let desk = offices();
    let here = |decision: &[&str]| desk.ok(&[decision, &["--dir", "coalition"], &WITH].concat());
    decided(&desk, &["suspend", "1"]);
    let left = file(&desk, "suspend");
    // The other office was first, and it was resumed since.
    here(&["suspend", "1"]);
    here(&["resume", "1"]);
    desk.ok(&["export", "--out", "newer.pem", "--dir", "coalition"]);
    desk.ok(&["take", "newer.pem", "--dir", "office"]);
    let told = decided(&desk, &["suspend", "1"]);
    assert!(!told.contains("signed already"), "{told}");
    let mut anew = files(&desk, "office");
    anew.retain(|name| *name != left);
    assert_eq!(anew.len(), 1, "{anew:?}");
    // Where the registrar is, nothing has to wait: whatever lies there, it goes in.
    fs::create_dir_all(desk.path("coalition/statements")).unwrap();
    fs::copy(desk.path(&anew[0]), desk.path("coalition/statements/suspend.pem")).unwrap();
    let told = here(&["suspend", "1"]);
    assert!(told.contains("Entry 5 of the admin log says so."), "{told}");
    assert_eq!(standings(&desk)[0], "suspended");
}

#[test]
fn nothing_builds_on_a_removal_that_the_log_has_overtaken_and_the_file_is_named() {
    let desk = offices();
    let here = |decision: &[&str]| desk.ok(&[decision, &["--dir", "coalition"], &WITH].concat());
    decided(&desk, &["suspend", "1"]);
    let left = file(&desk, "suspend");
    decided(&desk, &["renew", "2", "--until", "2100-06-01"]);
    let upon = file(&desk, "renew");
    // A file of today is what the next one builds on.
    assert_eq!(named(&decided(&desk, &["renew", "2", "--until", "2100-06-01"]), "order").len(), 2);
    here(&["suspend", "1"]);
    here(&["resume", "1"]);
    desk.ok(&["export", "--out", "newer.pem", "--dir", "coalition"]);
    desk.ok(&["take", "newer.pem", "--dir", "office"]);
    // Of the other node, which is valid, and of the one that was resumed.
    for decision in [&["renew", "2", "--until", "2101-01-01"][..], &["entitle", "1", "--groups", "iam"]] {
        let ran = desk.run(&[decision, &["--dir", "office"], &WITH].concat());
        assert_eq!(ran.code, 0, "{decision:?}: {}", ran.stderr);
        assert!(!named(&ran.stdout, "order").contains(&left), "{}", ran.stdout);
        let start = format!("{left} is left out (suspend");
        for said in [start.as_str(), "entry 4", upon.as_str(), "belfry coalition order"] {
            assert!(ran.stderr.contains(said), "{said}: {}", ran.stderr);
        }
    }
    // Of both in one go it is said once.
    let both = desk.run(&[&["suspend", "--member", "Bank", "--dir", "office"][..], &WITH].concat());
    assert_eq!((both.code, both.stderr.matches("is left out").count()), (0, 1), "{}", both.stderr);
    let waiting: Vec<String> =
        files(&desk, "office").into_iter().filter(|name| ![&left, &upon].contains(&name)).collect();
    let (suspend, other): (Vec<&str>, Vec<&str>) =
        waiting.iter().map(String::as_str).partition(|name| name.contains("/suspend-"));
    assert_eq!((suspend.len(), other.len()), (2, 2), "{waiting:?}");
    desk.ok(&words(&order(&other)));
    assert_eq!(standings(&desk), ["valid"; 2]);
    // Where it is meant after all it goes in, by itself.
    desk.ok(&words(&order(&[&left])));
    assert_eq!(standings(&desk)[0], "suspended");
}

#[test]
fn what_is_signed_already_is_told_with_its_dates_and_takes_no_other_minutes() {
    let desk = offices();
    let revoke = ["revoke", "2", "--reason", "left"];
    decided(&desk, &[&revoke[..], &["--decided-by", "Board"]].concat());
    for again in
        [decided(&desk, &revoke), decided(&desk, &[&revoke[..], &["--decided-by", "Board"]].concat())]
    {
        for said in ["nothing is signed again. It was signed on 20", ", decided on 20", ", effective 20"] {
            assert!(again.contains(said), "{said}: {again}");
        }
    }
    // So it is in the folder of an admin to whom the file was sent, with the record beside it.
    fs::remove_dir_all(desk.path("office/decisions")).unwrap();
    let sent = decided(&desk, &[&revoke[..], &["--decided-by", "Board"]].concat());
    assert!(sent.contains("nothing is signed again"), "{sent}");
    let other = ["--decided-by", "Council", "--dir", "office"];
    let said = desk.refused(&[&revoke[..], &other, &WITH].concat());
    assert!(said.contains("(Board)") && said.contains("--decided-by would be kept nowhere"), "{said}");
    // The other certificate is decided on all the same.
    let all = ["revoke", "--member", "Bank", "--reason", "left"];
    let ran = desk.run(&[&all[..], &other, &WITH].concat());
    assert!(
        ran.code == 0 && ran.stdout.contains("Signed, and not in the log yet"),
        "{}{}",
        ran.stdout,
        ran.stderr
    );
    assert!(ran.stderr.contains("--decided-by would be kept nowhere"), "{}", ran.stderr);
}

#[test]
fn a_request_that_waits_takes_no_other_minutes_and_neither_does_one_that_has_its_certificate() {
    let desk = offices();
    desk.coalition.enrol("gas", Role::Reader);
    let issue = ["issue", "gas.request", "--until", "2099-12-31"];
    let board = [&issue[..], &["--decided-by", "Board"]].concat();
    decided(&desk, &board);
    assert!(decided(&desk, &board).contains("nothing is signed again"));
    let refused = |more: &[&str]| desk.refused(&[&issue[..], more, &["--dir", "office"], &WITH].concat());
    for other in [["--decided-by", "Council"], ["--evidence", "minutes 7"], ["--member-since", "2019-03-01"]]
    {
        let said = refused(&other);
        let kept = said.contains("(Board)") && said.contains(&format!("{} would be kept nowhere", other[0]));
        assert!(kept, "{said}");
    }
    // The same request in a list.
    let list = "organisation,until,request,decided_by\ngas,2099-12-31,gas.request,Council\n";
    fs::write(desk.path("list.csv"), list).unwrap();
    let said = desk.refused(&[&["import", "list.csv", "--issue", "--dir", "office"][..], &WITH].concat());
    assert!(said.contains("column decided_by would be kept nowhere"), "{said}");
    // And once it is in the log.
    desk.ok(&words(&order(&[&file(&desk, "issue")])));
    desk.ok(&["export", "--out", "newer.pem", "--dir", "coalition"]);
    desk.ok(&["take", "newer.pem", "--dir", "office"]);
    let said = refused(&["--decided-by", "Council"]);
    assert!(said.contains("(Board)") && said.contains("--decided-by would be kept nowhere"), "{said}");
    assert!(decided(&desk, &board).contains("has certificate 3 already"));
}

#[test]
fn a_decision_on_the_spot_names_what_waits_and_has_no_effect_behind_it() {
    let desk = offices();
    decided(&desk, &["renew", "1", "--until", "2101-01-01"]);
    fs::create_dir_all(desk.path("coalition/statements")).unwrap();
    fs::copy(desk.path(&file(&desk, "renew")), desk.path("coalition/statements/later.pem")).unwrap();
    let suspend = desk.run(&[&["suspend", "1", "--dir", "coalition"][..], &WITH].concat());
    assert_eq!(suspend.code, 0, "{}", suspend.stderr);
    let said = "will have no effect then: coalition/statements/later.pem.";
    assert!(suspend.stderr.contains(said), "{}", suspend.stderr);
}

#[test]
fn where_one_of_a_batch_holds_back_the_rest_those_that_would_go_in_are_named_removals_first() {
    let desk = offices();
    desk.coalition.enrol("gas", Role::Reader);
    decided(&desk, &["issue", "gas.request", "--until", "2099-12-31"]);
    decided(&desk, &["renew", "2", "--until", "2101-01-01"]);
    decided(&desk, &["suspend", "1"]);
    // The renewal is overtaken meanwhile.
    let entitle = ["entitle", "1", "--groups", "iam", "--dir", "coalition"];
    desk.ok(&[&entitle[..], &WITH].concat());
    let [issue, renew, suspend] = ["issue", "renew", "suspend"].map(|action| file(&desk, action));
    let said = desk.refused(&words(&order(&[&issue, &renew, &suspend])));
    assert!(said.contains(&format!("removals first: {suspend} {issue}")), "{said}");
    assert_eq!(entries(&desk), 3);
    desk.ok(&words(&order(&[&suspend, &issue])));
}

#[test]
fn a_certificate_that_another_admin_signed_for_another_member_is_not_taken_for_the_one_that_is_asked_for() {
    let desk = offices();
    let roster: Value = serde_json::from_str(&desk.ok(&["roster", "--json", "--dir", "coalition"])).unwrap();
    let member = roster["certificates"][0]["member"].as_str().unwrap();
    let issue = ["issue", "three.request", "--until", "2099-12-31"];
    asks(&desk, "Bank", "three", &["--member", member]);
    decided(&desk, &issue);
    assert!(decided(&desk, &issue).contains("nothing is signed again"));
    // The same keys, and of no member that there is.
    asks(&desk, "Bank", "three", &[]);
    let said = desk.refused(&[&issue[..], &["--dir", "office"], &WITH].concat());
    assert!(said.contains("of another member") && said.contains(member), "{said}");

    asks(&desk, "Rail", "rail", &[]);
    decided(&desk, &["issue", "rail.request", "--replaces", "1", "--until", "2099-12-31"]);
    fs::write(desk.path("list.csv"), "organisation,until,request\nRail,2099-12-31,rail.request\n").unwrap();
    let said = desk.refused(&[&["import", "list.csv", "--issue", "--dir", "office"][..], &WITH].concat());
    assert!(said.contains("for another member") && said.contains("delete that file"), "{said}");
}
