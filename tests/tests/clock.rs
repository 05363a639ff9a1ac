//! A wall clock that is hours off, or jumps under a running daemon: noticed, told, and nobody else's matter.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use belfry_tests::process::{Coalition, Member, Role, eventually, http};

const HOUR: i64 = 3600;

/// Waits until the node says that it seals nothing because of its clock, which is about so far ahead.
#[track_caller]
fn knows(member: &Member, ahead: i64) {
    eventually(&format!("{} to notice that its clock is {ahead} s ahead", member.name), || {
        let status = member.status();
        let offset = status["node"]["clock_offset_ms"].as_i64()?;
        let is_told = status["warnings"].to_string().contains("clock of this node is off");
        (is_told && (offset / 1000 - ahead).abs() < 60).then_some(())
    });
}

#[test]
fn a_clock_that_jumps_by_hours_is_told_and_stalls_nobody() {
    let coalition = Coalition::found("Clocks");
    let mut members = ["alice", "bob", "carol"].map(|name| coalition.issue(name, Role::Publisher));
    members[2].with_clock();
    members[2].clock(0);
    let mut bootstrap: Vec<String> = Vec::new();
    for member in &mut members {
        member.join(&coalition);
        member.more = "[sync]\ninterval = \"2s\"\n".to_owned();
        member.bootstrap.clone_from(&bootstrap);
        member.start();
        bootstrap.extend(member.address());
    }
    for member in &members {
        member.meets(2);
    }
    let [alice, bob, carol] = &members;
    let mut ids = vec![alice.publish(1), carol.publish(2)];
    for member in &members {
        member.lists(&ids);
    }

    carol.clock(2 * HOUR);
    let wrong = carol.publish(10);
    knows(carol, 2 * HOUR);
    // The others go on, and what they say waits for nobody's clock but carol's own.
    let right = alice.publish(11);
    bob.lists(std::slice::from_ref(&right));
    assert!(!bob.listed().contains(&wrong), "it was sealed by a clock that is known to be wrong");
    carol.clock(0);
    ids.extend([wrong, right]);
    for member in &members {
        member.lists(&ids);
    }

    // By this clock nobody is certified yet, carol herself included.
    carol.clock(-3 * HOUR);
    eventually("carol says that her certificate is not yet valid", || {
        carol.status()["warnings"].to_string().contains("certificate is not yet valid").then_some(())
    });
    ids.push(alice.publish(20));
    bob.lists(&ids);
    carol.clock(0);
    ids.push(carol.publish(21));
    for member in &members {
        member.lists(&ids);
    }

    for member in &members {
        assert_eq!(member.listed().len(), ids.len(), "each once at {}", member.name);
        assert_eq!(member.status()["node"]["drafts"], 0);
    }
}

#[test]
fn a_daemon_that_starts_days_ahead_keeps_the_body_that_a_steward_may_still_give_back() {
    let coalition = Coalition::found("Weeks");
    let mut members = [("alice", Role::Publisher), ("sam", Role::Steward), ("carol", Role::Publisher)]
        .map(|(name, role)| coalition.issue(name, role));
    members[2].with_clock();
    members[2].clock(0);
    let mut bootstrap: Vec<String> = Vec::new();
    for member in &mut members {
        member.join(&coalition);
        member.bootstrap.clone_from(&bootstrap);
        member.start();
        bootstrap.extend(member.address());
    }
    for member in &members {
        member.meets(2);
    }
    let [alice, sam, carol] = &mut members;
    let id = alice.publish(1);
    for member in [&*alice, &*sam, &*carol] {
        member.lists(std::slice::from_ref(&id));
    }
    let token = alice.token("siem", &["--read", "cidr"]);
    let told = http::get(&alice.api(), "/api/v1/objects?group=cidr", &token).json();
    let message = told["objects"][0]["message"].as_str().unwrap().to_owned();
    let keeps = |member: &Member| {
        let told = member.ok(&["why", &message]);
        assert!(!told.contains("its body is gone"), "{told}");
        told.contains("taken back by its member or a steward").then_some(())
    };
    sam.ok(&["withdraw", &message, "--group", "cidr", "--mode", "erase", "--ground", "rules"]);
    eventually("carol hides it", || keeps(carol));

    carol.terminate();
    carol.clock(8 * 24 * HOUR);
    carol.start();
    // By the time that others have told it which time it is, it has looked at all that is due.
    carol.publish(2);
    knows(carol, 8 * 24 * HOUR);
    assert_eq!(keeps(carol), Some(()), "its week is not over");
}

#[test]
fn once_the_charter_is_over_a_node_shows_what_there_is_and_sends_nothing_until_there_is_another() {
    let coalition = Coalition::found("Charters");
    let charter = |days: u32, name: &str| {
        let file = |kind: &str| format!("{name}.{kind}");
        let (draft, made) = (file("toml"), file("pem"));
        coalition.ok(&["coalition", "charter", "draft", "--out", &draft, "--dir", "coalition"]);
        let text = std::fs::read_to_string(coalition.path(&draft)).unwrap();
        let line = text.lines().find(|line| line.starts_with("validity_days = ")).unwrap();
        std::fs::write(coalition.path(&draft), text.replace(line, &format!("validity_days = {days}")))
            .unwrap();
        coalition.ok(&["coalition", "charter", "make", &draft, "--out", &made, "--dir", "coalition"]);
        let key = ["--key", "coalition/keys/root.pem", "--passphrase-file", "passphrase", "--yes"];
        coalition.ok(&[&["coalition", "charter", "sign", &made][..], &key].concat());
        coalition.ok(&["coalition", "charter", "publish", &made, "--dir", "coalition"]);
    };
    charter(100, "short");
    let mut members = ["alice", "bob"].map(|name| coalition.issue(name, Role::Publisher));
    let mut bootstrap: Vec<String> = Vec::new();
    for member in &mut members {
        member.with_clock();
        member.clock(0);
        member.join(&coalition);
        member.more = "[sync]\ninterval = \"2s\"\n".to_owned();
        member.bootstrap.clone_from(&bootstrap);
        member.start();
        bootstrap.extend(member.address());
    }
    for member in &members {
        member.meets(1);
    }
    let [alice, bob] = &members;
    let mut ids = vec![alice.publish(1)];
    bob.lists(&ids);
    let tells = |member: &Member, what: &str| {
        eventually(&format!("{} to say: {what}", member.name), || {
            member.status()["warnings"].to_string().contains(what).then_some(())
        });
    };

    for member in &members {
        member.clock(60 * 24 * HOUR);
        tells(member, "The charter ends on");
        member.clock(101 * 24 * HOUR);
        tells(member, "The charter expired on");
    }
    let token = alice.token("prometheus", &["--read", "cidr"]);
    let bearer = format!("Bearer {token}");
    let metrics =
        http::send(&alice.api(), "GET", "/metrics", &[("Authorization", bearer.as_str())], b"").unwrap();
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    assert!(metrics.contains("belfry_charter_days_left -"), "{metrics}");
    let late = alice.publish(2);
    tells(alice, "until there is a new version: `belfry import-log`");
    assert!(bob.listed().contains(&ids[0]) && !bob.listed().contains(&late));

    charter(1825, "next");
    let log = coalition.export("log.pem");
    alice.ok(&["import-log", log.to_str().unwrap()]);
    ids.push(late);
    for member in &members {
        member.lists(&ids);
    }
}
