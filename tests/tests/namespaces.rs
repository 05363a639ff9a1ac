//! Daemons on machines of their own, as far as a network can tell: links that lose, delay, reorder and part.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use belfry_tests::process::{
    Coalition, Member, Role,
    space::{Side, Site},
};

fn list(members: &[Member], ids: &[String]) {
    for member in members {
        member.lists(ids);
    }
}

#[test]
fn halves_that_were_parted_and_killed_hold_the_same_once_they_are_joined() {
    let mut site = match Site::built(0.1, 0.03) {
        Ok(site) => site,
        Err(why) => {
            eprintln!("SKIPPED: this system gives no network namespaces: {why}");
            return;
        }
    };
    let coalition = Coalition::found("Apart");
    let names = ["alice", "bob", "carol", "dave"];
    let mut members = names.map(|name| coalition.issue(name, Role::Publisher));
    let mut bootstrap: Vec<String> = Vec::new();
    for (number, member) in (1..).zip(&mut members) {
        member.join(&coalition);
        site.place(member, if number < 3 { Side::Left } else { Side::Right }, number);
        member.more = "[sync]\ninterval = \"5s\"\n".to_owned();
        member.bootstrap.clone_from(&bootstrap);
        member.start();
        bootstrap.extend(member.address());
    }
    for member in &members {
        member.meets(3);
    }
    let mut ids: Vec<String> = (0..4).map(|n| members[n as usize].publish(n)).collect();
    list(&members, &ids);

    site.plugged(false);
    let mut halves = Vec::new();
    for (half, first) in [(0, 10), (2, 20)] {
        let said = (0..6).map(|n| members[half + n as usize % 2].publish(first + n)).collect::<Vec<_>>();
        // In the middle of it, without a word.
        members[half].kill();
        members[half].start();
        list(&members[half..half + 2], &said);
        halves.push(said);
    }
    for (half, other) in [(0, 1), (2, 0)] {
        let found = members[half].listed();
        assert!(halves[other].iter().all(|id| !found.contains(id)), "the cable was not pulled");
    }

    site.plugged(true);
    ids.extend(halves.concat());
    list(&members, &ids);
    ids.push(members[3].publish(30));
    list(&members, &ids);
    for member in &members {
        assert_eq!(member.listed().len(), ids.len(), "each once at {}", member.name);
    }
}
