//! `belfry config check`: one run names everything that keeps a node from starting.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::{
    fs,
    net::{TcpListener, UdpSocket},
};

use support::{Site, chmod};

/// Alice has joined, and her configuration names a passphrase file; ports are any.
fn ready() -> Site {
    let site = Site::new();
    site.coalition("c");
    site.enrol("alice", "c", "");
    site.issue("alice", "c", "");
    site.ok(&Site::join("alice", "c"));
    configure(&site, &["/ip4/127.0.0.1/tcp/0".into()], "127.0.0.1:0");
    site
}

fn configure(site: &Site, listen: &[String], api: &str) {
    let text = format!(
        "[node]\ndata_dir = \"alice\"\n[keys]\npassphrase_file = \"passphrase\"\n[network]\nlisten = {listen:?}\n\
         [api]\nlisten = \"{api}\"\n[store]\nfree_space_floor = \"1MiB\"\n"
    );
    fs::write(site.path("belfry.toml"), text).unwrap();
}

/// The only line that is wrong.
#[track_caller]
fn wrong(site: &Site, what: &str, said: &[&str]) {
    let ran = site.run("config check");
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    let lines: Vec<&str> = ran.stdout.lines().filter(|line| line.starts_with("WRONG")).collect();
    let [line] = lines.as_slice() else { panic!("expected one wrong line:\n{}", ran.stdout) };
    assert!(line.contains(what) && said.iter().all(|said| line.contains(said)), "{line}");
    assert!(ran.stderr.contains("1 thing is to be mended"), "{}", ran.stderr);
}

/// The only line that is warned of; nothing is wrong.
#[track_caller]
fn warned(site: &Site, what: &str, said: &[&str]) {
    let lines = site.ok("config check");
    let noted: Vec<&str> = lines.lines().filter(|line| !line.starts_with("ok")).collect();
    let [line] = noted.as_slice() else { panic!("expected one warning:\n{lines}") };
    assert!(line.starts_with("WARN") && line.contains(what), "{line}");
    assert!(said.iter().all(|said| line.contains(said)), "{line}");
}

#[test]
fn a_node_that_would_start_checks_out() {
    let site = ready();
    let said = site.ok("config check");
    assert!(!said.contains("WRONG") && said.lines().count() == 7, "{said}");
    assert!(
        said.contains("certificate 1 of alice in Test c, valid until 2099-11-30, for these keys"),
        "{said}"
    );
}

#[test]
fn before_joining_each_missing_step_is_named() {
    let site = Site::new();
    let ran = site.run("config check --dir nowhere");
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("nowhere is not there: `belfry enroll "), "{}", ran.stdout);
    assert!(ran.stderr.contains("1 thing is"), "what lies in a folder that is not there: {}", ran.stdout);
    site.coalition("c");
    site.enrol("alice", "c", "");
    let ran = site.run("config check --dir alice");
    assert!(
        ran.stdout.contains("then run `belfry join CERTIFICATE --log FILE --config belfry.toml --dir alice`"),
        "{}",
        ran.stdout
    );
}

#[test]
fn a_passphrase_that_is_missing_open_or_wrong_is_named_with_the_mend() {
    let site = ready();
    fs::copy(site.path("passphrase"), site.path("kept")).unwrap();
    chmod(&site.path("passphrase"), 0o644);
    wrong(&site, "passphrase", &["chmod 600", "passphrase"]);
    chmod(&site.path("passphrase"), 0o600);
    fs::write(site.path("passphrase"), "\n").unwrap();
    wrong(&site, "passphrase", &["first line is empty", "keys.passphrase_file"]);
    fs::write(site.path("passphrase"), "another passphrase\n").unwrap();
    wrong(&site, "key files", &["signing.pem", "wrong passphrase"]);
    fs::remove_file(site.path("passphrase")).unwrap();
    wrong(&site, "passphrase", &["No such file", "keys.passphrase_file"]);
}

#[test]
fn key_files_that_are_missing_or_open_are_named() {
    let site = ready();
    chmod(&site.path("alice/keys/kem.pem"), 0o640);
    wrong(&site, "key files", &["chmod 600", "kem.pem"]);
    chmod(&site.path("alice/keys/kem.pem"), 0o600);
    fs::remove_file(site.path("alice/keys/store.pem")).unwrap();
    wrong(&site, "key files", &["store.pem", "belfry backup restore"]);
}

#[test]
fn a_certificate_that_is_anothers_damaged_or_revoked_is_named() {
    let site = ready();
    let own = fs::read(site.path("alice/certificate.pem")).unwrap();
    site.coalition("other");
    site.enrol("bob", "other", "");
    site.issue("bob", "other", "");
    fs::copy(site.path("bob.certificate"), site.path("alice/certificate.pem")).unwrap();
    wrong(&site, "membership", &["the certificate is of coalition", "belfry join"]);
    site.enrol("carol", "c", "");
    site.issue("carol", "c", "");
    fs::copy(site.path("carol.certificate"), site.path("alice/certificate.pem")).unwrap();
    fs::copy(site.path("c.log"), site.path("alice/log.pem")).unwrap();
    wrong(&site, "membership", &["another signing key", "belfry join"]);
    fs::write(site.path("alice/certificate.pem"), "nothing").unwrap();
    wrong(&site, "membership", &["certificate.pem", "BEGIN BELFRY CERTIFICATE", "belfry join"]);
    fs::write(site.path("alice/certificate.pem"), own).unwrap();
    site.ok("coalition revoke 1 --reason left --yes --dir c --passphrase-file passphrase");
    site.ok("coalition export --out c.log --dir c");
    fs::copy(site.path("c.log"), site.path("alice/log.pem")).unwrap();
    warned(&site, "membership", &["certificate 1 of alice", "revoked", "the node starts"]);
    fs::remove_file(site.path("alice/charter.pem")).unwrap();
    wrong(&site, "membership", &["belfry enroll"]);
}

/// What came to the running node is known to its store alone: log.pem stays as it was at joining.
#[test]
fn membership_is_judged_by_what_the_store_knows_and_not_by_what_was_given_at_joining() {
    let site = ready();
    let decide = "--yes --dir c --passphrase-file passphrase";
    let export = || site.ok("coalition export --out c.log --dir c");
    site.ok(&format!("coalition suspend 1 {decide}"));
    export();
    fs::copy(site.path("c.log"), site.path("alice/log.pem")).unwrap();
    warned(&site, "membership", &["suspended", "belfry import-log FILE"]);
    site.ok(&format!("coalition resume 1 {decide}"));
    export();
    let node = site.start("alice");
    site.ok("import-log c.log --config alice.toml");
    drop(node);
    assert!(site.ok("config check").contains("certificate 1 of alice in Test c, valid until 2099-11-30"));
    site.ok(&format!("coalition revoke 1 --reason left {decide}"));
    export();
    let node = site.start("alice");
    site.ok("import-log c.log --config alice.toml");
    drop(node);
    warned(&site, "membership", &["revoked"]);
}

#[test]
fn a_port_that_is_taken_is_named_with_its_key() {
    let site = ready();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (tcp_port, udp_port) = (tcp.local_addr().unwrap().port(), udp.local_addr().unwrap().port());
    configure(&site, &[format!("/ip4/127.0.0.1/udp/{udp_port}/quic-v1")], "127.0.0.1:0");
    wrong(&site, "ports", &["quic-v1", "network.listen"]);
    configure(&site, &[], &format!("127.0.0.1:{tcp_port}"));
    wrong(&site, "ports", &[&tcp_port.to_string(), "api.listen"]);
    drop(tcp);
    site.ok("config check");
}

#[test]
fn a_folder_that_cannot_be_written_is_named_and_one_that_is_full_is_warned_of() {
    let site = ready();
    fs::write(site.path("file"), "").unwrap();
    let ran = site.run("config check --dir file");
    assert!(
        ran.code == 1 && ran.stdout.contains("file is not a folder: mend node.data_dir"),
        "{}",
        ran.stdout
    );
    let text = fs::read_to_string(site.path("belfry.toml")).unwrap().replace("1MiB", "900000TiB");
    fs::write(site.path("belfry.toml"), text).unwrap();
    // The node starts, and reads: whatever runs this before it must not keep it down.
    warned(&site, "data folder", &["store.free_space_floor", "only reads until there is room"]);
}

#[test]
fn lists_and_exports_that_name_what_is_not_there_are_named_with_their_key() {
    let site = ready();
    let text = fs::read_to_string(site.path("belfry.toml")).unwrap();
    fs::write(site.path("belfry.toml"), format!("{text}[lists]\nfolder = \"nowhere\"\n")).unwrap();
    wrong(&site, "lists", &["lists.folder", "nowhere", "make the folder"]);
    let export = "[[exports]]\nname = \"x\"\nformat = \"list\"\ngroups = [\"no-such\"]\n";
    fs::write(site.path("belfry.toml"), format!("{text}{export}")).unwrap();
    wrong(&site, "exports", &["\"no-such\"", "regulations-standardizations"]);
    fs::write(site.path("belfry.toml"), format!("{text}{}", export.replace("no-such", "cidr"))).unwrap();
    site.ok("config check");
}

#[test]
fn the_file_alone_can_be_checked_before_there_is_a_node() {
    let site = Site::new();
    assert_eq!(site.ok("config check --file-only --dir nowhere").lines().count(), 1);
}
