//! A disk that flips bits under a node, as its operator meets it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::{fs, os::unix::fs::MetadataExt, path::PathBuf};

use belfry_tests::{
    disk,
    process::{Coalition, Member, Role, eventually},
};

const MESSAGES: u32 = 12;

/// Three members that have the same twelve messages; the last one is stopped, and all of it lies in its files.
fn stopped() -> (Coalition, Vec<Member>, Vec<String>) {
    let coalition = Coalition::found("Flipped");
    let roles = [("alice", Role::Publisher), ("bob", Role::Publisher), ("carol", Role::Publisher)];
    let mut members = coalition.running(&roles);
    let ids: Vec<String> = (1..=MESSAGES).map(|n| members[0].publish(n)).collect();
    members.iter().for_each(|member| member.lists(&ids));
    let addresses = [members[0].address().unwrap(), members[1].address().unwrap()];
    let carol = &mut members[2];
    assert_eq!(carol.terminate(), 0);
    carol.bootstrap = addresses.to_vec();
    carol.ok(&["store", "compact"]);
    carol.ok(&["store", "check"]);
    (coalition, members, ids)
}

fn tables(member: &Member) -> Vec<PathBuf> {
    let files = fs::read_dir(member.file("store")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "sst")).collect()
}

/// The largest file, which is that of the messages or of the objects.
fn largest(member: &Member) -> PathBuf {
    let size = |path: &PathBuf| fs::metadata(path).unwrap().len();
    tables(member).into_iter().max_by_key(size).unwrap()
}

/// Flips a bit in the middle of that.
fn flip(member: &Member) {
    let path = largest(member);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// How far a member holds alice's logs.
fn digest(member: &Member) -> Option<String> {
    let heads = member.run(&["heads", "alice"]);
    (heads.code == 0).then_some(heads.stdout)
}

fn lists(member: &Member, ids: &[String]) {
    eventually("it lists what it lost", || {
        let ran = member.run(&["objects", "--group", "cidr", "--json", "--limit", "10000"]);
        (ran.code == 0 && ids.iter().all(|id| ran.stdout.contains(id))).then_some(())
    });
}

#[test]
fn a_flipped_bit_is_named_healed_by_command_and_fetched_from_peers() {
    let (_coalition, mut members, ids) = stopped();
    let carol = &mut members[2];
    flip(carol);
    let checked = carol.run(&["store", "check"]);
    assert_eq!(checked.code, 1, "{}", checked.stdout);
    assert!(
        checked.stdout.contains("DAMAGED: ") && checked.stderr.contains("belfry store heal"),
        "{checked:?}"
    );
    let healed = carol.ok(&["store", "heal"]);
    assert!(healed.contains("messages are sound"), "{healed}");
    let sound = carol.ok(&["store", "check"]);
    assert!(sound.contains("Every row reads"), "{sound}");
    assert!(carol.file("store.damaged/HEALED.txt").exists());
    carol.start();
    lists(carol, &ids);
    let again = carol.publish(99);
    for member in &members {
        member.lists(&[ids.as_slice(), std::slice::from_ref(&again)].concat());
    }
    assert!(members[2].status()["warnings"].to_string().contains("store.damaged"));
}

#[test]
fn a_running_node_finds_a_flipped_bit_by_itself_heals_and_is_level_again() {
    let (_coalition, mut members, ids) = stopped();
    flip(&members[2]);
    heals_by_itself(&mut members, &ids);
}

/// So does a file system with checksums of its own show a flipped bit.
#[test]
fn a_running_node_whose_disk_lost_a_sector_heals_as_after_a_flipped_bit() {
    let (coalition, mut members, ids) = stopped();
    let library = disk::faulty(&coalition.path("")).unwrap();
    let carol = &mut members[2];
    let lost = fs::metadata(largest(carol)).unwrap();
    let environment = [
        ("LD_PRELOAD", library.display().to_string()),
        ("BELFRY_DISK_SECTOR", format!("{}:{}", lost.ino(), lost.len() / 2)),
    ];
    carol.environment.extend(environment.map(|(name, value)| (name.to_owned(), value)));
    heals_by_itself(&mut members, &ids);
}

/// The last member starts on a damaged store, and is level with the others again.
fn heals_by_itself(members: &mut [Member], ids: &[String]) {
    let carol = &mut members[2];
    carol.start();
    eventually("the store is healed", || carol.file("store.damaged/HEALED.txt").exists().then_some(()));
    lists(carol, ids);
    let log = fs::read_to_string(carol.log_path()).unwrap();
    assert!(log.contains("the store is damaged") || log.contains("the store does not open"), "{log}");
    assert!(log.contains("healed: damaged: "), "what was damaged is named: {log}");
    eventually("all hold the same", || {
        let held = digest(&members[0])?;
        members.iter().all(|member| digest(member).as_ref() == Some(&held)).then_some(())
    });
    let again = members[2].publish(99);
    members.iter().for_each(|member| member.lists(std::slice::from_ref(&again)));
}
