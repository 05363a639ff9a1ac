//! A coalition of up to twenty-two nodes on virtual time, every decision by `belfry-proto` itself.
//!
//! ```text
//! seed ─▶ scenario ─▶ world (clock, queue, links) ─▶ nodes (durable │ volatile) ─▶ observations ─▶ oracle
//! ```
//!
//! One seed decides everything: who takes part, what is published, which packets are lost, late or doubled,
//! who is cut off, who sleeps or crashes before or after which batch, whose clock is hours off, what is taken back, by whom,
//! and lifted, who is revoked, suspended, expires or joins, who runs a second node and what befalls one of the two, who says
//! where it is reached, who still runs the release before, and which of them cheat. The oracle holds its own ledger of what was granted and signed, listens all the time,
//! and after everything healed compares all nodes with it and with each other. `scripts/sim` plays more seeds.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::large_enum_variant,
    unreachable_pub,
    missing_docs,
    reason = "a test crate"
)]

mod admins;
mod contacts;
mod endings;
mod faults;
mod frontiers;
mod invariants;
mod ledger;
mod network;
mod node;
mod offices;
mod scenario;
mod stats;
mod world;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use faults::{Defect, Point};
use invariants::{Unentitled, Violation};
use stats::Stats;
use world::{Failure, Report, run, run_with};

/// Seeds of an ordinary test run.
const SEEDS: std::ops::Range<u64> = 0..12;

fn kept(result: Result<Report, Failure>) -> Report {
    result.unwrap_or_else(|failure| panic!("{failure}"))
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, crash, after, violation } = self;
        let crash = crash.map(|point| format!(" --crash {point:?}")).unwrap_or_default();
        writeln!(f, "seed {seed}, after {after:?} of virtual time: {violation:?}")?;
        write!(f, "replay: scripts/sim --first {seed} --seeds 1{crash}")
    }
}

#[test]
fn promises_hold_through_loss_crashes_partitions_and_cheats() {
    let all: Vec<Stats> = SEEDS.map(|seed| kept(run(seed, None)).stats).collect();
    // A run in which nothing goes wrong shows nothing.
    let total = |of: fn(&Stats) -> u64| all.iter().map(of).sum::<u64>();
    for (what, count) in [
        ("lost", total(|s| s.lost)),
        ("repeated", total(|s| s.repeated)),
        ("delayed", total(|s| s.delayed)),
        ("opened", total(|s| s.opened)),
        ("granted", total(|s| s.grants)),
        ("granted within a member", total(|s| s.within)),
        ("refused", total(|s| s.refusals)),
        ("parked", total(|s| s.parked)),
        ("quarantined", total(|s| s.quarantined)),
        ("forked", total(|s| s.forks)),
        ("rejected", total(|s| s.rejected)),
        ("spoiled", total(|s| s.spoiled)),
        ("fetched", total(|s| s.fetched)),
        ("set aside", total(|s| s.set_aside)),
        ("put off", total(|s| s.put_off)),
        ("unsigned", total(|s| s.unsigned)),
        ("shredded", total(|s| s.shredded)),
        ("listed by slices", total(|s| s.by_slices)),
        ("asked under the number before", total(|s| s.older)),
        ("said of contacts", total(|s| s.contacts)),
    ] {
        assert!(count > 0, "no seed has anything {what}");
    }
    let acts: BTreeSet<&str> = all.iter().flat_map(|s| s.acts.keys().copied()).collect();
    let of_members = ["revoke with cut", "revoke without cut", "late joiner", "part", "suspend", "restore"];
    let of_messages = ["retract", "erase", "hide", "lift", "set clock"];
    let of_nodes = ["contact", "update"];
    let of_twins = ["second node", "sleep", "cut off", "tell one node", "revoke a whole member"];
    for act in of_members.into_iter().chain(of_messages).chain(of_nodes).chain(of_twins) {
        assert!(acts.contains(act), "no seed has: {act}");
    }
}

#[test]
fn a_seed_replays_to_the_last_byte() {
    assert_eq!(kept(run(3, None)), kept(run(3, None)));
    assert_ne!(kept(run(3, None)).trace, kept(run(4, None)).trace);
}

#[test]
fn a_crash_at_any_batch_loses_nothing_and_doubles_nothing() {
    for point in Point::ALL {
        let mut sides = BTreeSet::new();
        for seed in 0..60 {
            let crashes = kept(run_with(seed, None, Some(point))).stats.crashes;
            sides.extend(crashes.into_iter().filter(|(at, _)| *at == point).map(|(_, after)| after));
            if sides.len() == 2 {
                break;
            }
        }
        assert_eq!(sides.len(), 2, "no seed crashes on both sides of {point:?}");
    }
}

/// Whether some seed's oracle notices the defect, by a violation of the right kind.
#[track_caller]
fn noticed(defect: Defect, expected: fn(&Violation) -> bool) {
    // What is not yet durable is only missed by a crash.
    let point = (defect == Defect::GossipsBeforeDurable).then_some(Point::Flush);
    let mut others = Vec::new();
    for seed in 0..40 {
        match run_with(seed, Some(defect), point) {
            Ok(_) => {}
            Err(failure) if expected(&failure.violation) => return,
            Err(failure) => others.push(failure.violation),
        }
    }
    panic!("{defect:?} goes unnoticed; found instead: {others:?}");
}

#[test]
fn the_invariants_notice_a_node_that_skips_verification() {
    noticed(Defect::SkipsVerification, |v| matches!(v, Violation::Forged { .. }));
}

#[test]
fn the_invariants_notice_a_node_that_skips_admission() {
    noticed(Defect::SkipsAdmission, |v| matches!(v, Violation::NotAPublisher { .. }));
}

#[test]
fn the_invariants_notice_a_node_that_skips_the_grant_rule() {
    noticed(Defect::GrantsAnyone, |v| matches!(v, Violation::Opened { .. }));
}

#[test]
fn the_invariants_notice_a_node_that_trusts_another_of_its_member_that_was_revoked() {
    noticed(Defect::TrustsItsMember, |v| matches!(v, Violation::Opened { why: Unentitled::Ended, .. }));
}

#[test]
fn the_invariants_notice_a_node_that_takes_the_second_one_of_a_member_for_a_newcomer() {
    noticed(Defect::ForgetsItsMembers, |v| matches!(v, Violation::NeverOpened { .. }));
}

#[test]
fn the_invariants_notice_a_publisher_that_ignores_revocation() {
    noticed(Defect::KeepsItsKey, |v| {
        matches!(v, Violation::Opened { why: Unentitled::Ended | Unentitled::Expired, .. })
    });
}

#[test]
fn the_invariants_notice_a_publisher_that_ignores_its_audience() {
    noticed(Defect::IgnoresAudience, |v| matches!(v, Violation::Opened { why: Unentitled::Supervisor, .. }));
}

#[test]
fn the_invariants_notice_a_publisher_that_gossips_before_it_is_durable() {
    // It learns of its own message from the others before it seals again, or it does not.
    noticed(Defect::GossipsBeforeDurable, |v| {
        matches!(v, Violation::SequenceReused { .. } | Violation::Acknowledged { times: 2.., .. })
    });
}

#[test]
fn the_invariants_notice_a_node_that_never_judges_again() {
    noticed(Defect::NeverJudgesAgain, |v| matches!(v, Violation::QuarantineDiffers { .. }));
}

#[test]
fn the_invariants_notice_a_node_that_ignores_forks() {
    noticed(Defect::IgnoresForks, |v| matches!(v, Violation::FrontiersDiffer { .. }));
}

#[test]
fn the_invariants_notice_a_node_that_keeps_the_proof_of_a_fork_to_itself() {
    noticed(Defect::KeepsProofsToItself, |v| matches!(v, Violation::FrontiersDiffer { .. }));
}

#[test]
fn the_invariants_notice_a_node_that_never_syncs() {
    noticed(Defect::NeverSyncs, |v| matches!(v, Violation::FrontiersDiffer { .. }));
}

#[test]
fn the_invariants_notice_a_node_that_waits_for_answers_that_were_lost() {
    noticed(Defect::WaitsForEver, |v| matches!(v, Violation::FrontiersDiffer { .. }));
}

#[test]
fn the_invariants_notice_a_node_that_shows_what_was_taken_back() {
    noticed(Defect::IgnoresWithdrawals, |v| matches!(v, Violation::WithdrawalDiffers { .. }));
}

#[test]
fn the_invariants_notice_a_node_that_shreds_before_the_week_is_over() {
    noticed(Defect::ShredsAtOnce, |v| matches!(v, Violation::Shredded { .. }));
}

#[test]
fn the_invariants_notice_a_node_that_takes_bare_headers() {
    noticed(Defect::TakesBareHeaders, |v| matches!(v, Violation::NeverOpened { .. }));
}

#[test]
fn the_invariants_notice_a_publisher_that_seals_by_a_wrong_clock() {
    noticed(Defect::SealsByAnyClock, |v| matches!(v, Violation::WrongClock { .. }));
}

#[test]
fn the_invariants_notice_a_node_that_leaves_a_log_out_of_its_slices() {
    noticed(Defect::LeavesOutALog, |v| {
        matches!(v, Violation::HonestPeerRejected { code: "frontier-other-hash", .. })
    });
}

#[test]
fn the_invariants_notice_a_node_that_believes_whoever_brings_a_contact() {
    noticed(Defect::TakesAnyContact, |v| matches!(v, Violation::ForgedContact { .. }));
}

#[test]
fn the_invariants_notice_a_node_that_takes_what_it_hears_last_for_the_newest_contact() {
    noticed(Defect::TakesOlderContacts, |v| {
        matches!(v, Violation::ContactsDiffer { .. } | Violation::ContactLost { .. })
    });
}

#[test]
fn the_invariants_notice_a_node_that_relies_on_being_told_of_contacts() {
    noticed(Defect::NeverComparesContacts, |v| matches!(v, Violation::ContactsDiffer { .. }));
}

#[test]
fn the_invariants_notice_a_node_that_lets_the_contact_go_of_who_may_come_back() {
    noticed(Defect::ForgetsContactsAtOnce, |v| matches!(v, Violation::ContactLetGo { .. }));
}

#[test]
fn the_invariants_notice_a_node_that_keeps_the_contact_of_who_is_a_member_no_more() {
    noticed(Defect::KeepsContactsForEver, |v| matches!(v, Violation::ContactKept { .. }));
}

/// `scripts/sim` in its release build.
#[test]
#[ignore = "plays BELFRY_SIM_SEEDS seeds from BELFRY_SIM_FIRST; see scripts/sim"]
fn many_seeds() {
    let number = |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (first, seeds) = (number("BELFRY_SIM_FIRST", 0), number("BELFRY_SIM_SEEDS", 100));
    let named = |point: &Point, name: &str| format!("{point:?}") == name;
    let crash = std::env::var("BELFRY_SIM_CRASH")
        .ok()
        .filter(|name| !name.is_empty())
        .map(|name| Point::ALL.into_iter().find(|point| named(point, &name)).expect("a point of faults.rs"));
    let (mut failed, mut hours, mut packets) = (Vec::new(), 0.0, 0);
    let mut faults: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in first..first + seeds {
        match std::panic::catch_unwind(|| run_with(seed, None, crash)) {
            Ok(Ok(Report { trace, stats })) => {
                hours += stats.virtual_time.as_secs_f64() / 3600.0;
                packets += stats.packets;
                for (kind, count) in stats.faults() {
                    *faults.entry(kind).or_default() += count;
                }
                println!(
                    "seed {seed}: ok, {} packets, {} lost, {} opened, {} crashes, trace {}",
                    stats.packets,
                    stats.lost,
                    stats.opened,
                    stats.crashes.len(),
                    &trace[..16]
                );
            }
            Ok(Err(failure)) => {
                println!("FAILED {failure}");
                failed.push(seed);
            }
            Err(_) => {
                println!("FAILED seed {seed}: panicked\nreplay: scripts/sim --first {seed} --seeds 1");
                failed.push(seed);
            }
        }
    }
    for (kind, count) in faults {
        println!("{count:>9} {kind}");
    }
    println!("{seeds} seeds, {hours:.0} simulated hours, {packets} packets, {} failed", failed.len());
    assert!(failed.is_empty(), "{failed:?}");
}
