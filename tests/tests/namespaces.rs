//! Daemons on machines of their own, as far as a network can tell: links that lose, delay, reorder and part.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::time::{Duration, Instant};

use belfry_tests::process::{
    Coalition, Member, Role, eventually, skipped,
    space::{Door, Side, Site},
};

/// A site without loss, unless the system gives none.
fn site() -> Option<Site> {
    match Site::built(0.0, 0.0) {
        Ok(site) => Some(site),
        Err(why) => {
            skipped(&format!("network namespaces: this system gives none: {why}"));
            None
        }
    }
}

/// Where `member` reaches the node of organisation `other` now.
fn reaches(member: &Member, other: &str) -> Vec<String> {
    let peers: serde_json::Value = serde_json::from_str(&member.ok(&["peers", "--json"])).unwrap();
    let peers = peers["peers"].as_array().unwrap().clone();
    let addresses = peers.iter().filter(|peer| peer["organisation"] == other);
    let addresses = addresses.flat_map(|peer| peer["addresses"].as_array().unwrap().clone());
    addresses.map(|address| address.as_str().unwrap().to_owned()).collect()
}

fn reaches_by(member: &Member, other: &str, what: &str, fits: impl Fn(&str) -> bool) {
    eventually(&format!("{} reaches {other} {what}", member.name), || {
        let addresses = reaches(member, other);
        (!addresses.is_empty() && addresses.iter().all(|address| fits(address))).then_some(())
    });
}

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
            skipped(&format!("network namespaces: this system gives none: {why}"));
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

/// Whether `member` shows this object as one that counts.
fn counts(member: &Member, id: &str) -> bool {
    let lines = member.ok(&["objects", "--group", "cidr", "--json", "--limit", "10000"]);
    let objects = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    objects.into_iter().any(|object| object["id"] == id && object["revoked"] != true)
}

#[test]
fn a_revocation_while_halves_are_parted_holds_everywhere_once_they_are_joined_and_after_restarts() {
    let Some(mut site) = site() else { return };
    let coalition = Coalition::found("Cut off");
    let names = ["alice", "bob", "carol", "eve"];
    let mut members = names.map(|name| coalition.issue(name, Role::Publisher));
    let mut bootstrap: Vec<String> = Vec::new();
    for (number, member) in (1..).zip(&mut members) {
        member.join(&coalition);
        site.place(member, if number < 3 { Side::Left } else { Side::Right }, number);
        member.bootstrap.clone_from(&bootstrap);
        member.start();
        bootstrap.extend(member.address());
    }
    for member in &members {
        member.meets(3);
    }
    let said = [members[3].publish(1)];
    list(&members, &said);

    site.plugged(false);
    let cut = coalition.path("heads.txt");
    members[0].ok(&["heads", "eve", "--out", cut.to_str().unwrap()]);
    let revoke = ["coalition", "revoke", "4", "--reason", "key-compromise", "--yes", "--dir", "coalition"];
    coalition.ok(&[&revoke[..], &["--cut", cut.to_str().unwrap()]].concat());
    members[0].ok(&["import-log", coalition.export("revoked.log").to_str().unwrap()]);
    // The other half has not heard of it, and takes what eve says.
    let late = members[3].publish(2);
    members[2].lists(std::slice::from_ref(&late));
    // This one makes a key that eve does not get.
    let fresh = members[0].publish(3);
    members[1].lists(std::slice::from_ref(&fresh));

    site.plugged(true);
    let remaining = |members: &[Member]| {
        for member in &members[..3] {
            member.lists(&[said[0].clone(), fresh.clone()]);
            eventually(&format!("{} hides what lies beyond the cut", member.name), || {
                (!counts(member, &late)).then_some(())
            });
            eventually(&format!("{} has hung up on eve", member.name), || {
                reaches(member, "eve").is_empty().then_some(())
            });
        }
    };
    remaining(&members);
    for member in &mut members[..3] {
        member.terminate();
        member.start();
    }
    members[..3].iter().for_each(|member| member.meets(2));
    remaining(&members);
    let last = members[2].publish(4);
    list(&members[..3], std::slice::from_ref(&last));
    assert!(counts(&members[0], &said[0]), "what eve said up to the cut stays");
    for id in [&fresh, &last] {
        assert!(!counts(&members[3], id), "eve reads {id}");
    }
}

/// Keys pass between members alone, so both would wait for them for ever.
#[test]
fn members_behind_firewalls_meet_over_a_carrier_and_then_without_it() {
    let Some(mut site) = site() else { return };
    let coalition = Coalition::found("Walled");
    let mut carrier = coalition.issue("carrier", Role::Carrier);
    let mut members = ["alice", "bob"].map(|name| coalition.issue(name, Role::Publisher));
    carrier.join(&coalition);
    site.place(&mut carrier, Side::Left, 1);
    carrier.start();
    let at_carrier = carrier.address().unwrap();
    for (number, member) in (2..).zip(&mut members) {
        member.join(&coalition);
        let side = if number == 2 { Side::Left } else { Side::Right };
        site.place_behind(Door::AnswersOnly, member, side, number);
        member.bootstrap = vec![at_carrier.clone()];
        member.relays = vec![at_carrier.clone()];
        member.start();
    }
    for member in &members {
        member.meets(2);
    }
    let ids = vec![members[0].publish(1), members[1].publish(2)];
    list(&members, &ids);
    // Both firewalls took the other's packets for answers.
    let is_direct = |address: &str| !address.contains("p2p-circuit");
    reaches_by(&members[0], "bob", "directly", is_direct);
    reaches_by(&members[1], "alice", "directly", is_direct);

    // Back without a word of where anybody is: the address book has it.
    members[0].terminate();
    members[0].bootstrap.clear();
    members[0].relays.clear();
    members[0].start();
    members[0].meets(2);
    let ids = vec![members[1].publish(3)];
    list(&members, &ids);
}

#[test]
fn tcp_takes_over_where_quic_is_blocked_and_a_node_that_moves_is_found_again() {
    let Some(mut site) = site() else { return };
    let coalition = Coalition::found("Moving");
    let mut members = ["alice", "bob", "carol"].map(|name| coalition.issue(name, Role::Publisher));
    for (number, member) in (1..).zip(&mut members) {
        member.join(&coalition);
        let door = if number == 3 { Door::TcpAnswersOnly } else { Door::Open };
        site.place_behind(door, member, if number == 1 { Side::Left } else { Side::Right }, number);
        if number == 2 {
            // It follows whatever addresses the machine has.
            member.network = r#""/ip4/0.0.0.0/udp/4001/quic-v1", "/ip4/0.0.0.0/tcp/4001""#.to_owned();
        }
    }
    let [alice, bob, carol] = &mut members;
    alice.start();
    let places = alice.addresses();
    assert!(places.iter().any(|place| place.contains("/quic-v1/")), "{places:?}");
    // Of two ways that are open the first to answer is kept, which on a busy machine may be either.
    bob.bootstrap = places.iter().filter(|place| place.contains("/quic-v1/")).cloned().collect();
    bob.start();
    carol.bootstrap = places;
    carol.start();
    for member in [&*alice, &*bob, &*carol] {
        member.meets(2);
    }
    reaches_by(carol, "alice", "over TCP", |address| address.contains("/tcp/4001"));
    reaches_by(carol, "bob", "over TCP", |address| address.contains("/tcp/4001"));
    reaches_by(bob, "alice", "over QUIC", |address| address.ends_with("/quic-v1"));
    let ids = vec![carol.publish(1), bob.publish(2)];
    for member in [&*alice, &*bob, &*carol] {
        member.lists(&ids);
    }

    // Another address while it runs, and then a member comes back that last saw it at the old one.
    carol.terminate();
    site.moved(2, 9);
    let is_new = |address: &str| address.contains("/10.77.0.9/");
    let (old, moved) = (alice.publish(3), bob.publish(4));
    alice.lists(std::slice::from_ref(&moved));
    bob.lists(std::slice::from_ref(&old));
    carol.bootstrap.clear();
    carol.start();
    carol.lists(&[old, moved]);
    reaches_by(carol, "bob", "at its new address", is_new);
}

/// The kernel would try for a quarter of an hour, ever more seldom, and so long hear nothing of what is there again.
#[test]
fn over_tcp_too_a_pulled_cable_is_noticed_and_what_it_kept_back_comes_once_it_is_in_again() {
    let Some(mut site) = site() else { return };
    let coalition = Coalition::found("Wired");
    let mut members = ["alice", "bob"].map(|name| coalition.issue(name, Role::Publisher));
    let mut bootstrap = Vec::new();
    for (number, member) in (1..).zip(&mut members) {
        member.join(&coalition);
        site.place(member, if number == 1 { Side::Left } else { Side::Right }, number);
        member.network = format!("\"/ip4/10.77.0.{number}/tcp/4001\"");
        member.bootstrap.clone_from(&bootstrap);
        member.start();
        bootstrap.extend(member.addresses());
    }
    members.iter().for_each(|member| member.meets(1));
    let mut ids = vec![members[0].publish(1)];
    list(&members, &ids);

    let pulled = Instant::now();
    site.plugged(false);
    // Something is under way at one end, and nothing at the other.
    ids.push(members[0].publish(2));
    for (member, other) in members.iter().zip(["bob", "alice"]) {
        eventually(&format!("{} gives the link up", member.name), || {
            reaches(member, other).is_empty().then_some(())
        });
    }
    assert!(pulled.elapsed() < Duration::from_secs(60), "{:?}", pulled.elapsed());

    site.plugged(true);
    ids.push(members[1].publish(3));
    list(&members, &ids);
}
