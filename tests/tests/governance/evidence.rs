//! What the coalition can show afterwards: lists, notices, past membership, and files that anybody verifies.

use std::fs;

use belfry_tests::process::{Member, Role, python, run};
use serde_json::Value;

use super::desk::Desk;

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../proto/vectors");

fn enrol(desk: &Desk, name: &str, classes: &str, groups: &str, more: &[&str]) {
    let request = format!("{name}.request");
    let arguments = [
        &[
            "enroll",
            "--charter",
            "coalition/charter.pem",
            "--org",
            name,
            "--class",
            classes,
            "--groups",
            groups,
        ][..],
        &["--dir", name, "--out", &request, "--accept-arrangement", "--accept-rules"],
        more,
    ]
    .concat();
    desk.coalition.ok(&arguments);
}

#[test]
fn the_golden_vectors_hold_for_a_verifier_that_shares_no_code() {
    python("independent.py", &[("BELFRY_VECTORS", VECTORS)]);
}

#[test]
fn the_log_given_at_joining_is_read_only_while_no_node_runs_and_an_audit_says_so() {
    let desk = Desk::found("Which Log");
    let mut alice = desk.coalition.issue("alice", Role::Publisher);
    alice.join(&desk.coalition);
    for audit in [&["decisions"][..], &["rules"], &["membership", "--group", "cidr", "--at", "2099-01-01"]] {
        let ran = alice.run(&[&["audit"], audit].concat());
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let said = ran.stderr.contains("no node runs") && ran.stderr.contains("up to entry 1");
        assert!(said, "{audit:?}: {}", ran.stderr);
    }
    alice.start();
    let ran = alice.run(&["audit", "decisions", "--json"]);
    assert!(ran.stderr.contains("Read the running node's log, up to entry 1."), "{}", ran.stderr);
    assert_eq!(serde_json::from_str::<Value>(&ran.stdout).unwrap()["entries"][0]["action"], "issue");
    // A node that runs and refuses is not passed over.
    fs::write(alice.file("cli.token"), "belfry_9_other\n").unwrap();
    let ran = alice.run(&["audit", "decisions"]);
    assert!(ran.code != 0 && ran.stderr.contains("--log FILE"), "{} {}", ran.code, ran.stderr);
}

#[test]
fn an_exported_message_and_log_are_verified_by_anybody_without_a_node() {
    let desk = Desk::found("Evidence");
    let members = desk.coalition.running(&[("alice", Role::Publisher), ("bob", Role::Reader)]);
    let [alice, bob] = members.as_slice() else { panic!("two") };
    let bundle = desk.path("bundle.json");
    fs::write(&bundle, include_str!("../../data/sample-bundle.json")).unwrap();
    let told = alice.ok(&[
        "publish",
        bundle.to_str().unwrap(),
        "--group",
        "cidr",
        "--tlp",
        "amber",
        "--wait",
        "--json",
    ]);
    let published: Value = serde_json::from_str(&told).unwrap();
    let message = published["messages"][0].as_str().unwrap_or_else(|| panic!("{told}")).to_owned();
    assert_eq!(published["holders"]["holders"][0]["organisation"], "bob", "{told}");
    // Out of the reader's node: whoever waited knows that it has come there.
    let out = desk.path("message.pem");
    bob.ok(&["audit", "message", &message, "--out", out.to_str().unwrap()]);
    desk.coalition.export("log.pem");
    let verify = |file: &str, more: &[&str]| desk.coalition.run(&[&["verify", file][..], more].concat());
    let ok = verify("message.pem", &["--log", "log.pem"]);
    assert_eq!(ok.code, 0, "{}", ok.stderr);
    for expected in ["alice", &message, "cidr", "its author's log is open"] {
        assert!(ok.stdout.contains(expected), "{expected}: {}", ok.stdout);
    }
    let log = verify("log.pem", &[]);
    assert!(log.code == 0 && log.stdout.contains("entry 2"), "{}{}", log.stdout, log.stderr);
    assert_eq!(verify("bob.certificate", &["--log", "log.pem"]).code, 0);
    assert_eq!(verify("coalition/charter.pem", &[]).code, 0);
    // Without the log, of another coalition, or changed: refused or damaged, never "holds".
    assert!(verify("message.pem", &[]).stderr.contains("give it by --log"));
    let other = Desk::found("Other");
    fs::copy(other.coalition.export("log.pem"), desk.path("other.pem")).unwrap();
    assert_eq!(verify("message.pem", &["--log", "other.pem"]).code, 3);
    let words = verify("log.pem", &["--coalition", "not these words"]);
    assert!(words.code == 2 && words.stderr.contains("24 words"), "{}", words.stderr);
    let words = verify("log.pem", &["--coalition", &"00".repeat(32)]);
    assert!(words.code == 3 && words.stderr.contains("not of the one you named"), "{}", words.stderr);
    let text = fs::read_to_string(desk.path("message.pem")).unwrap();
    let middle = text.len() / 2;
    let swapped = if &text[middle..=middle] == "A" { "B" } else { "A" };
    fs::write(desk.path("changed.pem"), format!("{}{swapped}{}", &text[..middle], &text[middle + 1..]))
        .unwrap();
    assert_ne!(verify("changed.pem", &["--log", "log.pem"]).code, 0);

    let id: String = log.stdout.lines().find_map(|l| l.strip_prefix("coalition")).unwrap().trim().to_owned();
    let path = |name: &str| desk.path(name).to_str().unwrap().to_owned();
    python(
        "independent.py",
        &[
            ("BELFRY_VECTORS", VECTORS),
            ("BELFRY_LOG", &path("log.pem")),
            ("BELFRY_MESSAGE", &path("message.pem")),
            ("BELFRY_MESSAGE_ID", &message),
            ("BELFRY_COALITION", &id),
            ("BELFRY_AUTHOR", "alice"),
        ],
    );
}

#[test]
fn a_list_of_members_is_checked_as_a_whole_and_issued_as_a_batch() {
    let desk = Desk::found("List");
    let _old: Member = desk.coalition.issue("Old Member", Role::Publisher);
    enrol(&desk, "Bank", "essential,financial", "cidr", &["--kbo", "0123456749", "--sector", "banking"]);
    enrol(&desk, "School", "academic", "awareness", &[]);
    let list = |text: &str| fs::write(desk.path("members.csv"), text).unwrap();
    let head = "organisation;kbo;classes;groups;until;request;member_since;decided_by;decided_on;evidence\n";
    let import = ["import", "members.csv", "--dir", "coalition"];
    let issue = [&import[..], &["--issue", "--yes", "--passphrase-file", "passphrase"]].concat();
    let good = format!(
        "{head}Bank;0123.456.749;essential financial;cidr:steward cidr-financial;2099-12-31;Bank.request;2019-03-01;Board;\
         2026-10-01;minutes 9\nSchool;;academic;awareness:reader;2099-12-31;School.request;;;;\nLater;;;;;;;;;\n"
    );
    // One wrong row, and nobody is issued anything.
    for (from, to, expected) in [
        ("awareness:reader", "cidr-financial", "does not admit"),
        ("essential financial", "essential", "differs in"),
        ("awareness:reader", "no-such-group", "no group"),
        ("School.request;;", "Bank.request;;", "same request"),
        ("2026-10-01", "2098-01-01", "still to come"),
    ] {
        list(&good.replacen(from, to, 1));
        let said = desk.refused(&issue);
        assert!(said.contains(expected), "{from} -> {to}: {said}");
        assert_eq!(desk.ok(&["log", "--dir", "coalition"]).lines().count(), 2, "nothing was signed");
    }
    list(&good);
    let dry = desk.ok(&import);
    assert!(dry.contains("--issue would issue 2 certificates"), "{dry}");
    assert!(dry.contains("Not in the list, and a member: Old Member"), "{dry}");
    assert!(dry.contains("no request"), "{dry}");
    assert_eq!(desk.ok(&["log", "--dir", "coalition"]).lines().count(), 2, "a dry run");
    desk.ok(&issue);
    assert!(
        desk.path("coalition/certificates/2.pem").exists()
            && desk.path("coalition/certificates/3.pem").exists()
    );
    // Again it finds them in the roster.
    let again = desk.ok(&issue);
    assert!(again.contains("Nothing to issue") && again.contains("certificate 2, valid"), "{again}");

    // The bank's notice: DORA alone, with its true date of entry as the coalition's word.
    let notices: Value =
        serde_json::from_str(&desk.ok(&["notices", "--json", "--dir", "coalition"])).unwrap();
    let bank =
        notices["notices"].as_array().unwrap().iter().find(|n| n["organisation"] == "Bank").unwrap().clone();
    assert_eq!(
        (&bank["act"], &bank["id"], &bank["state"]),
        (&"dora".into(), &"2-dora-entering".into(), &"due".into())
    );
    assert!(bank["authority"]["name"]["nl"].as_str().unwrap().contains("Nationale Bank"));
    assert!(bank["since_asserted"].as_str().unwrap().starts_with("2019-03-01"));
    assert!(bank["decided"].as_str().unwrap().starts_with("2026-10-01"));
    assert!(!notices.to_string().contains("School"), "academia owes none");
    for language in ["en", "nl", "fr"] {
        desk.ok(&["notices", "--write", "pages", "--lang", language, "--dir", "coalition"]);
        let page = fs::read_to_string(desk.path(&format!("pages/2-dora-entering.{language}.html"))).unwrap();
        assert!(page.contains("0123456749") && page.contains("2019") && page.contains("Board"), "{page}");
    }
    // The register: a mandate stands on the page before anything is sent.
    desk.ok(&["notices", "--mandated", "2-dora-entering", "--mandate", "M-1", "--dir", "coalition"]);
    desk.ok(&["notices", "--write", "pages", "--dir", "coalition"]);
    let page = || fs::read_to_string(desk.path("pages/2-dora-entering.en.html")).unwrap();
    assert!(page().contains("M-1"), "{}", page());
    assert!(desk.ok(&["notices", "--dir", "coalition"]).contains("due"), "a mandate sends nothing");
    // Sent, then acknowledged, never the other way round.
    let early = desk.refused(&["notices", "--acknowledged", "2-dora-entering", "--dir", "coalition"]);
    assert!(early.contains("not sent yet"), "{early}");
    desk.ok(&["notices", "--sent", "2-dora-entering", "--dir", "coalition"]);
    desk.ok(&["notices", "--acknowledged", "2-dora-entering", "--reference", "NBB-7", "--dir", "coalition"]);
    assert!(desk.ok(&["notices", "--dir", "coalition"]).contains("acknowledged"));
    for unknown in [&["--sent", "9-dora-entering"][..], &["--write", "pages", "--notice", "9-dora-entering"]]
    {
        let said = desk.refused(&[&["notices", "--dir", "coalition"][..], unknown].concat());
        assert!(said.contains("lists them"), "{said}");
    }
    // What is done is written again only if it is named.
    fs::remove_file(desk.path("pages/2-dora-entering.en.html")).unwrap();
    desk.ok(&["notices", "--write", "pages", "--dir", "coalition"]);
    assert!(!desk.path("pages/2-dora-entering.en.html").exists());
    desk.ok(&["notices", "--write", "pages", "--notice", "2-dora-entering", "--dir", "coalition"]);
    assert!(page().contains("M-1") && page().contains("0123456749"));

    // The bank itself sees the same from its own folder.
    desk.coalition.export("log.pem");
    fs::copy(desk.path("coalition/certificates/2.pem"), desk.path("Bank.certificate")).unwrap();
    desk.coalition.ok(&["join", "Bank.certificate", "--log", "log.pem", "--dir", "Bank"]);
    desk.coalition.ok(&["notice", "--dir", "Bank", "--lang", "fr", "--out", "notice.html"]);
    assert!(fs::read_to_string(desk.path("notice.html")).unwrap().contains("Banque nationale de Belgique"));
    let mine: Value =
        serde_json::from_str(&desk.coalition.ok(&["notice", "--dir", "Bank", "--json"])).unwrap();
    assert_eq!(mine["notices"].as_array().unwrap().len(), 1);
    assert_eq!(mine["notices"][0]["entry"], bank["entry"]);
}

#[test]
fn a_list_that_has_a_member_twice_issues_to_nobody_however_different_its_lines_are() {
    let desk = Desk::found("Listed twice");
    let list = |text: &str| fs::write(desk.path("members.csv"), text).unwrap();
    let import = ["import", "members.csv", "--dir", "coalition", "--issue", "--yes"];
    let refused = |same: &str| {
        let said = desk.refused(&[&import[..], &["--passphrase-file", "passphrase"]].concat());
        assert!(said.contains(&format!("lines 2 and 3 are of one member: the same {same}.")), "{said}");
    };
    let entries = || {
        let log: Value = serde_json::from_str(&desk.ok(&["log", "--json", "--dir", "coalition"])).unwrap();
        log["entries"].as_array().unwrap().len()
    };
    // One data folder that asked under two names: the second would fail once the first is issued.
    let asks = |name: &str, folder: &str, kbo: &str| {
        let who = ["enroll", "--charter", "coalition/charter.pem", "--org", name, "--kbo", kbo];
        let request = format!("{name}.request");
        let what = ["--class", "essential", "--groups", "cidr", "--dir", folder, "--out", &request];
        desk.coalition.ok(&[&who[..], &what, &["--accept-arrangement", "--accept-rules"]].concat());
    };
    let head = "organisation,kbo,until,request\n";
    asks("Dock", "dock", "0123456749");
    asks("Harbour", "dock", "9876543265");
    list(&format!("{head}Dock,,2099-12-31,Dock.request\nHarbour,,2099-12-31,Harbour.request\n"));
    refused("keys");
    // Two folders of one enterprise, which the list does not say.
    asks("Port", "port", "0123456749");
    list(&format!("{head}Dock,,2099-12-31,Dock.request\nPort,,2099-12-31,Port.request\n"));
    refused("kbo");
    assert_eq!(entries(), 0, "nothing was signed");
    // One member of the roster, by its name and by its number.
    desk.ok(&["issue", "Port.request", "--until", "2099-12-31", "--yes", "--dir", "coalition"]);
    list(&format!("{head}Port,,,\nThe Port,0123456749,,\n"));
    refused("certificate");
    assert_eq!(entries(), 1);
}

#[test]
fn an_auditor_sees_from_the_log_alone_who_was_a_member_when() {
    let desk = Desk::found("Audit");
    let _alice = desk.coalition.issue("alice", Role::Publisher);
    let _bob = desk.coalition.issue("bob", Role::Reader);
    desk.ok(&["revoke", "1", "--reason", "left", "--dir", "coalition", "--yes"]);
    desk.coalition.export("log.pem");
    let audit = |at: &str, group: &str| {
        desk.coalition.run(&[
            "audit",
            "membership",
            "--log",
            "log.pem",
            "--group",
            group,
            "--at",
            at,
            "--json",
        ])
    };
    let organisations = |at: &str| {
        let ran = audit(at, "cidr");
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let answer: Value = serde_json::from_str(&ran.stdout).unwrap();
        let members = answer["members"].as_array().unwrap().clone();
        members.iter().map(|m| m["organisation"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let log: Value = serde_json::from_str(&desk.ok(&["log", "--json", "--dir", "coalition"])).unwrap();
    let made = |i: usize| log["entries"][i]["made"].as_str().unwrap().to_owned();
    assert_eq!(organisations("2020-01-01"), Vec::<String>::new());
    assert_eq!(organisations(&made(0)), ["alice"]);
    assert_eq!(organisations(&made(1)), ["alice", "bob"]);
    assert_eq!(organisations("2098-01-01"), ["bob"]);
    let unknown = audit("2098-01-01", "no-such");
    assert!(unknown.code == 3 && unknown.stderr.contains("cidr"), "{}", unknown.stderr);
    let table = desk.coalition.ok(&[
        "audit",
        "membership",
        "--log",
        "log.pem",
        "--group",
        "cidr",
        "--at",
        "2098-01-01",
    ]);
    assert!(table.contains("bob") && table.contains("by the log up to entry 3"), "{table}");
}

#[test]
fn two_entries_of_one_height_leave_the_node_as_a_proof_that_anybody_verifies() {
    let desk = Desk::found("Two logs");
    let mut members = desk.coalition.running(&[("alice", Role::Publisher)]);
    let alice = &mut members[0];
    let proof = desk.path("proof.pem");
    let take = ["audit", "equivocations", "--out", proof.to_str().unwrap()];
    assert!(alice.ok(&["audit", "equivocations"]).contains("No height"));
    let none = alice.run(&take);
    assert!(none.code == 3 && !proof.exists(), "{}", none.stderr);

    // The registrar's key lies on two machines, and each orders another decision.
    desk.copy("coalition", "second");
    for (folder, until, out) in
        [("coalition", "2101-01-01", "log.pem"), ("second", "2102-01-01", "other.pem")]
    {
        desk.ok(&[
            "renew",
            "1",
            "--until",
            until,
            "--dir",
            folder,
            "--yes",
            "--passphrase-file",
            "passphrase",
        ]);
        desk.ok(&["export", "--out", out, "--dir", folder]);
    }
    alice.ok(&["import-log", desk.path("log.pem").to_str().unwrap()]);
    let refused = alice.run(&["import-log", desk.path("other.pem").to_str().unwrap()]);
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("forked; the proof"), "{}", refused.stderr);
    assert!(alice.ok(&["status"]).contains("two entries for height 2"), "{}", alice.ok(&["status"]));
    // What is kept survives the process, and the node that kept it need not be believed.
    assert_eq!(alice.terminate(), 0);
    alice.start();
    assert!(alice.ok(&["audit", "equivocations"]).lines().nth(1).unwrap().starts_with("2 "));
    alice.ok(&take);
    let verify = |more: &[&str]| desk.coalition.run(&[&["verify", "proof.pem"][..], more].concat());
    let alone = verify(&[]);
    assert_eq!(alone.code, 0, "{}", alone.stderr);
    for said in ["two entries for height 2", "until 2101-01-01", "until 2102-01-01", "charter version 1"] {
        assert!(alone.stdout.contains(said), "{said}: {}", alone.stdout);
    }
    let held = verify(&["--log", "log.pem"]).stdout;
    let line = |until: &str| held.lines().find(|line| line.contains(until)).unwrap().to_owned();
    assert!(line("2101-01-01").ends_with("it stands in the log"), "{held}");
    assert!(line("2102-01-01").ends_with("it is not in the log"), "{held}");
    assert_eq!(verify(&["--coalition", "not these words"]).code, 2);

    // The other log goes on, and suspends: that holds at the node on sight, and its log stays where it was.
    desk.ok(&["suspend", "1", "--dir", "second", "--yes", "--passphrase-file", "passphrase"]);
    desk.ok(&["export", "--out", "further.pem", "--dir", "second"]);
    assert_ne!(alice.run(&["import-log", desk.path("further.pem").to_str().unwrap()]).code, 0);
    let status = alice.run(&["status"]).stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(status.contains("Certificate 1 of alice is suspended on sight"), "{status}");

    let Some(python) = std::env::var_os("BELFRY_PYTHON") else { return };
    let path = |name: &str| desk.path(name).to_str().unwrap().to_owned();
    let judged = |arguments: &[&str]| {
        let mut verifier = std::process::Command::new(&python);
        verifier.args(["-B", concat!(env!("CARGO_MANIFEST_DIR"), "/python/verifier.py")]).args(arguments);
        run(verifier)
    };
    let verified = judged(&["--equivocation", &path("proof.pem")]);
    assert!(verified.stdout.contains("equivocation at 2"), "{}{}", verified.stdout, verified.stderr);
    let verified = judged(&[&path("log.pem"), "--seen", &path("further.pem")]);
    for said in
        ["head 2 ", "certificate 1 active alice", "forked from 2 on", "on sight: certificate 1 suspended"]
    {
        assert!(verified.stdout.contains(said), "{said}: {}{}", verified.stdout, verified.stderr);
    }
}
