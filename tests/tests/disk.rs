//! Disks that fail: at any operation, with their power, under a running daemon.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use belfry_node::store::{OpenError, Store, Version};
use belfry_tests::{
    disk::{self, Writer},
    process::{Coalition, Role, eventually, http, skipped},
};
use serde_json::Value;

const WRITER: &str = env!("CARGO_BIN_EXE_writer");
const POWERCUT: &str = env!("CARGO_BIN_EXE_powercut");
/// Drafts of one run of the sweep, with two compactions among them.
const ROWS: u64 = 24;

/// From one operation that fails to the next that is tried; `scripts/faults disk` tries them all.
fn step() -> usize {
    std::env::var("BELFRY_DISK_STEP").map_or(23, |step| step.parse().expect("BELFRY_DISK_STEP is a number"))
}

/// One run with the `n`-th operation failing; whether any did.
fn survives(library: &Path, n: usize, for_ever: bool) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let text = |name: &str| path(name).display().to_string();
    let mut faults = vec![("UNDER", text("store")), ("FAIL", n.to_string()), ("MARK", text("failed"))];
    if for_ever {
        faults.push(("FOR_EVER", "1".to_owned()));
    }
    let writer = Writer::new(Path::new(WRITER), &path("store"), &path("acknowledged")).rows(ROWS, ROWS / 2);
    let writer = writer.faults(library, &faults).spawn().unwrap().wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&writer.stderr).into_owned();
    let what = format!("operation {n} failed{}: {said}", if for_ever { ", and all after it" } else { "" });
    assert!(matches!(writer.status.code(), Some(0 | 1)), "{:?} after {what}", writer.status);
    let acknowledged = disk::acknowledged(&path("acknowledged")).unwrap();
    assert!(writer.status.code() == Some(1) || acknowledged.len() as u64 == ROWS + disk::RUSH, "{what}");
    let store = disk::open(&path("store")).unwrap_or_else(|error| panic!("{error} after {what}"));
    let lost = disk::lost(&store, &acknowledged).unwrap();
    assert!(lost.is_empty(), "{lost:?} after {what}");
    let health = store.check(|_| ());
    assert_eq!(health.damages, 0, "{:?} after {what}", health.damaged);
    // And goes on.
    store.commit_blocking(belfry_node::store::Change::Draft(disk::draft(ROWS + disk::RUSH))).unwrap();
    path("failed").exists()
}

#[test]
fn whichever_operation_of_the_disk_fails_what_was_acknowledged_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let library = disk::faulty(folder.path()).unwrap();
    let (mut n, mut tried) = (1, 0);
    while survives(&library, n, tried % 2 == 1) {
        (n, tried) = (n + step(), tried + 1);
    }
    assert!(tried > 5, "only {tried} operations: the faults do not reach the store");
}

/// One start on a copy of a store of the version before, with the `n`-th operation failing; of which version that left it,
/// and whether any did fail.
fn starts_on(library: &Path, old: &Path, n: usize, for_ever: bool, drafts: &[u64]) -> (Version, bool) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let text = |name: &str| path(name).display().to_string();
    let copied = Command::new("cp").arg("-a").arg(old).arg(path("store")).status().unwrap();
    assert!(copied.success());
    let mut faults = vec![("UNDER", text("store")), ("FAIL", n.to_string()), ("MARK", text("failed"))];
    if for_ever {
        faults.push(("FOR_EVER", "1".to_owned()));
    }
    let writer = Writer::new(Path::new(WRITER), &path("store"), &path("acknowledged")).only_opens();
    let writer = writer.faults(library, &faults).spawn().unwrap().wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&writer.stderr).into_owned();
    let what = format!("operation {n} failed{}: {said}", if for_ever { ", and all after it" } else { "" });
    assert!(matches!(writer.status.code(), Some(0 | 1)), "{:?} after {what}", writer.status);
    let version = Store::version(&path("store")).unwrap_or_else(|error| panic!("{error} after {what}"));
    let version = version.unwrap_or_else(|| panic!("no version after {what}"));
    assert!(version == Version::Current || writer.status.code() == Some(1), "{version:?} after {what}");
    let store = disk::open(&path("store")).unwrap_or_else(|error| panic!("{error} after {what}"));
    let lost = disk::lost(&store, drafts).unwrap();
    assert!(lost.is_empty(), "{lost:?} after {what}");
    assert!(disk::old::is_whole(&store), "the log after {what}");
    store.commit_blocking(belfry_node::store::Change::Draft(disk::draft(ROWS + disk::RUSH))).unwrap();
    (version, path("failed").exists())
}

#[test]
fn whichever_operation_fails_while_a_store_is_migrated_it_is_whole_in_the_old_version_or_in_the_new() {
    let folder = tempfile::tempdir().unwrap();
    let library = disk::faulty(folder.path()).unwrap();
    let (old, acknowledged) = (folder.path().join("old"), folder.path().join("acknowledged"));
    disk::write(&old, &acknowledged, ROWS, ROWS / 2).unwrap();
    let drafts = disk::acknowledged(&acknowledged).unwrap();
    // The thread that writes lets go of a store a moment after its last handle is gone.
    let free = |what: &str| {
        eventually(what, || match disk::open(&old) {
            Ok(store) => Some(store),
            Err(OpenError::InUse { .. }) => None,
            Err(error) => panic!("{error}"),
        })
    };
    disk::old::fill(&free("the store to fill")).unwrap();
    let rows = eventually("the store to downgrade", || disk::old::downgrade(&old).ok());
    assert!(rows > 0, "nothing to migrate");
    assert!(matches!(Store::version(&old).unwrap(), Some(Version::Older { .. })));

    let (mut n, mut tried, mut left) = (1, 0, Vec::new());
    loop {
        let (version, failed) = starts_on(&library, &old, n, tried % 2 == 1, &drafts);
        if !failed {
            assert_eq!(version, Version::Current);
            break;
        }
        left.push(version);
        (n, tried) = (n + step().div_ceil(6), tried + 1);
    }
    assert!(tried > 5, "only {tried} operations: the faults do not reach the store");
    assert!(left.iter().any(|version| *version != Version::Current), "no start failed");
}

/// `None` where this machine has no disk whose power could be cut.
fn cut(arguments: &[&str]) -> Option<Value> {
    let output = Command::new(POWERCUT).args(arguments).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.code() == Some(77) {
        skipped(&format!("power cuts: {}", said.trim_start_matches("SKIPPED:").trim()));
        return None;
    }
    assert!(output.status.success(), "{said}");
    serde_json::from_str(String::from_utf8(output.stdout).unwrap().lines().last()?).unwrap()
}

#[test]
fn a_power_cut_takes_nothing_that_was_acknowledged() {
    let Some(report) = cut(&["--cuts", "4"]) else { return };
    assert!(report["acknowledged"].as_u64().unwrap() > 100, "{report}");
    assert_eq!(report["lost"], 0, "{report}");
}

#[test]
fn the_power_cuts_notice_syncs_that_do_nothing() {
    let Some(report) = cut(&["--cuts", "3", "--nosync"]) else { return };
    assert!(report["cuts_with_loss"].as_u64().unwrap() > 0, "{report}");
}

#[test]
fn a_daemon_whose_disk_fails_acknowledges_nothing_more_and_ends() {
    const STIX: &str = "application/stix+json;version=2.1";
    let coalition = Coalition::found("Failing");
    let mut alice = coalition.issue("alice", Role::Publisher);
    alice.join(&coalition);
    let trigger = coalition.path("broken");
    let library = disk::faulty(&coalition.path("")).unwrap();
    alice.environment = [
        ("LD_PRELOAD", library.display().to_string()),
        ("BELFRY_DISK_UNDER", alice.file("store").display().to_string()),
        ("BELFRY_DISK_WHEN", trigger.display().to_string()),
        ("BELFRY_DISK_KINDS", "s".to_owned()),
        ("BELFRY_DISK_FAIL", "1".to_owned()),
        ("BELFRY_DISK_FOR_EVER", "1".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec();
    alice.start();
    let token = alice.token("soar", &["--read", "cidr", "--publish", "cidr"]);
    let indicator = |n: u32| {
        let id = format!("indicator--00000000-0000-4000-8000-{n:012x}");
        let object = serde_json::json!({
            "type": "indicator", "spec_version": "2.1", "id": id, "pattern_type": "stix",
            "created": "2026-11-01T08:00:00.000Z", "modified": "2026-11-01T08:00:00.000Z",
            "pattern": format!("[domain-name:value = 'n{n}.example']"), "valid_from": "2026-11-01T08:00:00Z",
        });
        let bundle = serde_json::json!({
            "type": "bundle", "id": "bundle--00000000-0000-4000-8000-000000000000", "objects": [object],
        });
        (id, bundle.to_string().into_bytes())
    };
    let api = alice.api();
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", STIX)];
    let submit = |api: &str, n: u32| {
        http::send(api, "POST", "/api/v1/publications?group=cidr&tlp=amber", &headers, &indicator(n).1)
    };
    let mut accepted = Vec::new();
    for n in 1..=5 {
        assert_eq!(submit(&api, n).unwrap().status, 202);
        accepted.push(indicator(n).0);
    }

    fs::write(&trigger, "").unwrap();
    let answer = submit(&api, 6);
    assert!(answer.as_ref().map_or(true, |answer| answer.status >= 500), "{answer:?}");
    let ended = eventually("the daemon ends", || alice.ended());
    assert_eq!(ended.code, 1, "{}", ended.last());
    assert!(ended.log.contains("the store stops"), "{}", ended.last());

    fs::remove_file(&trigger).unwrap();
    alice.start();
    alice.shows(&token, "cidr", &accepted);
    assert_eq!(submit(&alice.api(), 7).unwrap().status, 202);
    alice.shows(&token, "cidr", &[indicator(7).0]);
}

/// A file system of its own, of so many bytes, that goes with this.
struct Small(std::path::PathBuf);

impl Small {
    fn mounted(at: &Path, bytes: u64) -> Result<Self, String> {
        fs::create_dir(at).map_err(|error| error.to_string())?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"]).arg(at);
        let ran = mount.output().map_err(|error| error.to_string())?;
        match ran.status.success() {
            true => Ok(Self(at.to_owned())),
            false => Err(String::from_utf8_lossy(&ran.stderr).into_owned()),
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_node_whose_disk_fills_only_reads_and_goes_on_by_itself_once_there_is_room() {
    const MIB: u64 = 1 << 20;
    let coalition = Coalition::found("Full");
    let mut members = ["alice", "bob"].map(|name| coalition.issue(name, Role::Publisher));
    for member in &members {
        member.join(&coalition);
    }
    let [alice, bob] = &mut members;
    let kept = coalition.path("kept");
    fs::rename(&alice.dir, &kept).unwrap();
    let small = match Small::mounted(&alice.dir, 256 * MIB) {
        Ok(small) => small,
        Err(why) => {
            skipped(&format!("a disk that fills: this system mounts nothing: {}", why.trim()));
            return;
        }
    };
    let copied = Command::new("cp").arg("-a").arg(kept.join(".")).arg(&small.0).status().unwrap();
    assert!(copied.success());
    alice.more = "[store]\nfree_space_floor = \"96MiB\"\n".to_owned();
    alice.start();
    bob.bootstrap = alice.addresses();
    bob.start();
    let mut ids = vec![alice.publish(1), bob.publish(2)];
    alice.lists(&ids);
    bob.lists(&ids);

    let filler = small.0.join("filler");
    fs::write(&filler, vec![0; usize::try_from(200 * MIB).unwrap()]).unwrap();
    let api = alice.api();
    let is_ready = || http::get(&api, "/health/ready", "").status == 200;
    eventually("alice says that she is not ready", || (!is_ready()).then_some(()));
    let bundle = coalition.path("bundle-1.json").display().to_string();
    let refused = alice.run(&["publish", &bundle, "--group", "cidr", "--tlp", "green"]);
    assert!(refused.code != 0 && refused.stderr.contains("free"), "{}", refused.stderr);
    // What it has it shows; what others say it leaves to later.
    let later = bob.publish(3);
    bob.lists(std::slice::from_ref(&later));
    assert_eq!(alice.listed().len(), ids.len());
    assert!(
        !is_ready() && alice.status()["warnings"].to_string().contains("only reads until there is more"),
        "{}",
        alice.status()
    );

    fs::remove_file(filler).unwrap();
    eventually("alice is ready again", || is_ready().then_some(()));
    ids.extend([later, alice.publish(4)]);
    alice.lists(&ids);
    bob.lists(&ids);
    assert_eq!(alice.terminate(), 0);
}
