//! A node whose own state is lost, or goes back to what it was: whole processes, as their operator meets it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::{collections::BTreeSet, fs};

use belfry_tests::process::{Coalition, Member, Role, eventually};

/// Three members that have met; alice's first publication is everybody's.
fn begun(name: &str) -> (Coalition, Vec<Member>, Vec<String>) {
    let coalition = Coalition::found(name);
    let roles = [("alice", Role::Publisher), ("bob", Role::Publisher), ("carol", Role::Reader)];
    let members = coalition.running(&roles);
    let first = members[0].publish(1);
    members.iter().for_each(|member| member.lists(std::slice::from_ref(&first)));
    (coalition, members, vec![first])
}

/// The newest entry of each log of alice, as a member holds them.
fn heads(member: &Member) -> BTreeSet<String> {
    let told = member.ok(&["heads", "alice"]);
    told.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(str::to_owned).collect()
}

/// Everybody holds the same of alice, shows all of these, and warns of no fork.
fn agree(members: &[Member], ids: &[String]) {
    members.iter().for_each(|member| member.lists(ids));
    eventually("everybody holds the same of alice", || {
        let held: BTreeSet<_> = members.iter().map(heads).collect();
        (held.len() == 1).then_some(())
    });
    for member in members {
        let warnings = member.status()["warnings"].to_string();
        assert!(!warnings.contains("fork"), "{}: {warnings}", member.name);
        let listed = member.listed();
        assert_eq!(listed.iter().collect::<BTreeSet<_>>().len(), listed.len(), "nothing twice");
    }
}

#[test]
fn a_restored_backup_reuses_no_place_in_its_log_and_gets_back_what_it_had_published_since() {
    let (coalition, mut members, mut ids) = begun("Rolled back");
    let backup = coalition.path("alice.backup").display().to_string();
    members[0].ok(&["backup", "create", &backup]);
    ids.push(members[0].publish(2));
    members.iter().for_each(|member| member.lists(&ids));
    let bob = members[1].address();

    let alice = &mut members[0];
    assert_eq!(alice.terminate(), 0);
    fs::rename(&alice.dir, coalition.path("alice.lost")).unwrap();
    alice.ok(&["backup", "restore", &backup]);
    alice.bootstrap = bob.into_iter().collect();
    alice.start();
    ids.push(alice.publish(3));
    agree(&members, &ids);
}

#[test]
fn a_wiped_node_joins_again_and_gets_its_own_history_back() {
    let (_coalition, mut members, mut ids) = begun("Wiped");
    let before = heads(&members[1]);
    let bob = members[1].address();

    let alice = &mut members[0];
    assert_eq!(alice.terminate(), 0);
    fs::remove_dir_all(alice.file("store")).unwrap();
    alice.bootstrap = bob.into_iter().collect();
    alice.start();
    alice.lists(&ids);
    ids.push(alice.publish(2));
    agree(&members, &ids);
    let after = heads(&members[1]);
    let logs = |heads: &BTreeSet<String>| {
        heads.iter().filter_map(|line| line.split(' ').next().map(str::to_owned)).collect::<BTreeSet<_>>()
    };
    assert!(logs(&before).is_subset(&logs(&after)), "the old log stays: {before:?}, {after:?}");
}

#[test]
fn what_a_publisher_said_first_under_a_key_is_read_by_everybody_though_its_disk_dies_at_once() {
    let coalition = Coalition::found("Dead disk");
    let roles = [("alice", Role::Publisher), ("bob", Role::Publisher), ("carol", Role::Reader)];
    let mut members = coalition.running(&roles);
    let said = members[0].publish(1);
    // The first who has it is enough. Who holds nothing of her prints no line, and that is no failure.
    eventually("somebody holds the message", || {
        members[1..].iter().any(|member| !heads(member).is_empty()).then_some(())
    });
    members[0].kill();
    fs::remove_dir_all(&members[0].dir).unwrap();
    let said = std::slice::from_ref(&said);
    members[1..].iter().for_each(|member| member.lists(said));
    // Whoever has nothing left gets message and key from who is there.
    let bob = members[1].address();
    let carol = &mut members[2];
    assert_eq!(carol.terminate(), 0);
    fs::remove_dir_all(carol.file("store")).unwrap();
    carol.bootstrap = bob.into_iter().collect();
    carol.start();
    carol.lists(said);
}
