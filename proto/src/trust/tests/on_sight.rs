//! Removals that our log has not decided on: what they take, what they leave alone, and what ends them.

use super::*;
use crate::trust::{
    log::VerifiedRecord,
    on_sight::{MAX_SEEN, RemovalSeen, UnorderedError},
};

/// The registrar orders a decision behind `log`, which need not be the world's.
fn append(
    world: &mut World,
    log: &mut Roster,
    decision: Decision,
    admins: &[u8],
    day: u64,
) -> VerifiedRecord {
    let statement = world.statement(decision, None, admins, day);
    let RosterVersion { height, head } = log.version();
    let record = order(log.coalition(), Height::new(height.get() + 1), head, statement, &key(21));
    let verified = verify_record(log.charters(), &record).unwrap();
    log.apply(verified.clone()).unwrap();
    verified
}

fn suspend(serial: Serial) -> Decision {
    Decision::Suspend(schema::Suspend { serial: serial.get(), cut: vec![] })
}

fn disentitle(serial: Serial) -> Decision {
    Decision::Disentitle(schema::Disentitle { serial: serial.get(), groups: vec![CIDR.get()], cut: vec![] })
}

fn issue(n: u8) -> Decision {
    Decision::Issue(schema::Issue { certificate: Some(body(n, Some(Role::Publisher))) })
}

fn seen(record: &VerifiedRecord) -> RemovalSeen {
    RemovalSeen::of(record).unwrap()
}

/// The charter after the world's, which pins `pin` and changes nothing.
fn next_charter(world: &World, pin: RosterVersion) -> schema::Signed {
    let keys = root_keys(&[11, 12, 13], 21);
    let next = draft().to_next_charter(world.roster.charters(), &keys, pin, at(8)).unwrap();
    let coalition = world.roster.coalition();
    signed::sign(next.encode_to_vec(), Purpose::Charter, coalition, &[&key(1), &key(2)])
}

/// Members 1 and 2 in both logs; ours goes on with member 3.
fn forked() -> (World, Roster, [Serial; 2]) {
    let mut world = World::new();
    let members = [1, 2].map(|n| world.issue(n, Some(Role::Publisher), 1));
    let other = world.roster.clone();
    world.issue(3, Some(Role::Publisher), 2);
    (world, other, members)
}

#[test]
fn a_removal_on_the_other_branch_takes_its_subject_away_at_once_and_moves_no_log() {
    let (mut world, mut other, [one, two]) = forked();
    let suspended = append(&mut world, &mut other, suspend(two), &[11], 4);
    let revoked = append(&mut world, &mut other, revoke(1, one, 4, vec![]), &[11, 12], 4);
    let before = world.roster.clone();
    for (record, serial, n, becomes) in
        [(&suspended, two, 2, Standing::Suspended), (&revoked, one, 1, Standing::Revoked)]
    {
        assert_eq!(world.roster.standing(serial, at(5)), Standing::Valid);
        assert!(world.roster.see(seen(record)));
        assert_eq!(world.roster.standing(serial, at(5)), becomes);
        assert!(!world.roster.is_admitted(&node(n), at(5)));
        assert!(!world.roster.readers(CIDR, Audience::Group, at(5)).iter().any(|r| r.serial == serial));
        assert!(!world.roster.may_publish(serial, CIDR, at(5)));
        // What belongs into a log is the admin log's to say, and it has not moved.
        let log = LogId::new([7; 32]);
        assert_eq!(world.roster.closure(serial, CIDR, log), before.closure(serial, CIDR, log));
        assert_eq!(world.roster.role_at(serial, CIDR, Height::new(2)), Some(Role::Publisher));
        assert!(!world.roster.is_cut(serial));
    }
    assert_eq!(world.roster.version(), before.version());
    assert!(!world.roster.stands_as(&before), "who sealed for the readers of before seals again");
    assert_eq!(world.roster.removals_seen().count(), 2);
}

#[test]
fn a_revocation_seen_holds_by_any_clock_unless_it_was_announced_for_later() {
    let (mut world, mut other, [one, two]) = forked();
    let at_once = append(&mut world, &mut other, revoke(1, one, 4, vec![]), &[11, 12], 4);
    let announced = append(&mut world, &mut other, revoke(2, two, 9, vec![]), &[11, 12], 4);
    assert!(world.roster.see(seen(&at_once)) && world.roster.see(seen(&announced)));
    assert_eq!(world.roster.standing(one, at(3)), Standing::Revoked);
    assert_eq!(world.roster.standing(two, at(8)), Standing::Valid);
    assert_eq!(world.roster.standing(two, at(9)), Standing::Revoked);
}

#[test]
fn an_end_that_our_log_announces_waits_no_more_once_a_revocation_at_once_is_seen() {
    let (mut world, mut other, [_, two]) = forked();
    world.decide(member(2), revoke(2, two, 9, vec![]), &[11, 12], 3);
    let announced = append(&mut world, &mut other, revoke(2, two, 12, vec![]), &[11, 12], 4);
    assert!(!world.roster.see(seen(&announced)), "ours comes first");
    let point = schema::CutPoint { log: vec![7; 32], sequence: 3, message: vec![8; 32] };
    let at_once = append(&mut world, &mut other, revoke(2, two, 10, vec![point.clone()]), &[11, 12], 10);
    assert_eq!(world.roster.standing(two, at(5)), Standing::Valid);
    assert!(world.roster.see(seen(&at_once)));
    assert_eq!(world.roster.standing(two, at(5)), Standing::Revoked, "by any clock");
    // Nor does it once our log decides on it.
    let record = world.ordered(at_once.record.statement.clone().unwrap(), 21);
    world.take(&record).unwrap();
    assert_eq!((world.roster.voids(), world.roster.removals_seen().count()), (&[][..], 0));
    assert_eq!(world.roster.standing(two, at(5)), Standing::Revoked, "by any clock");
    assert_eq!((world.roster.ends(two), world.roster.kept(two)), (Some(at(9)), vec![point]));
    // Another one takes nothing more.
    world.decide(member(2), revoke(2, two, 11, vec![]), &[11, 12], 11);
    assert_eq!(world.roster.voids().len(), 1);
}

#[test]
fn a_group_taken_on_the_other_branch_is_gone_and_the_rest_stays() {
    let (mut world, mut other, [one, _]) = forked();
    let taken = append(&mut world, &mut other, disentitle(one), &[11], 4);
    assert!(world.roster.see(seen(&taken)));
    assert_eq!(world.roster.role(one, CIDR, at(5)), None);
    assert_eq!(world.roster.standing(one, at(5)), Standing::Valid);
    assert!(world.roster.is_removed_on_sight(one, CIDR, at(5)));
    assert!(!world.roster.is_removed_on_sight(one, GroupId::new(2), at(5)));
}

#[test]
fn what_gives_waits_and_what_takes_nothing_is_not_kept() {
    let (mut world, mut other, [_, two]) = forked();
    let renewal = Decision::Renew(schema::Renew { serial: two.get(), not_after: at(900).as_micros() });
    let previous = world.last.get(&member(2)).copied();
    let renewed = world.statement(renewal, previous, &[11], 4);
    assert_eq!(
        RemovalSeen::unordered(world.roster.charters(), &renewed).unwrap_err(),
        UnorderedError::NotARemoval
    );
    let first = append(&mut world, &mut other, suspend(two), &[11], 4);
    let resumed =
        append(&mut world, &mut other, Decision::Resume(schema::Resume { serial: two.get() }), &[11], 5);
    assert!(RemovalSeen::of(&resumed).is_none());
    let again = append(&mut world, &mut other, suspend(two), &[11], 6);
    assert!(world.roster.see(seen(&first)));
    assert!(!world.roster.see(seen(&first)), "held");
    assert!(!world.roster.see(seen(&again)), "gone already");
    assert_eq!(world.roster.removals_seen().count(), 1);
}

#[test]
fn a_removal_that_nobody_ordered_needs_the_threshold_all_the_same() {
    let mut world = World::new();
    let one = world.issue(1, Some(Role::Publisher), 1);
    let charters = world.roster.charters().clone();
    let alone = world.statement(revoke(1, one, 2, vec![]), None, &[11], 2);
    assert_eq!(
        RemovalSeen::unordered(&charters, &alone).unwrap_err(),
        UnorderedError::Admins(SignedError::TooFew { found: 1, needed: 2 })
    );
    let both = world.statement(revoke(1, one, 2, vec![]), None, &[11, 12], 2);
    let removal = RemovalSeen::unordered(&charters, &both).unwrap();
    assert!(removal.record().entry.is_none());
    assert!(world.roster.see(removal));
    assert_eq!(world.roster.standing(one, at(3)), Standing::Revoked);
}

#[test]
fn what_our_own_log_decided_and_took_back_cannot_be_played_again() {
    let mut world = World::new();
    let one = world.issue(1, Some(Role::Publisher), 1);
    world.decide(member(1), suspend(one), &[11], 2);
    let old = world.roster.records().last().unwrap().clone();
    world.decide(member(1), Decision::Resume(schema::Resume { serial: one.get() }), &[11], 3);
    assert!(!world.roster.see(seen(&old)));
    assert_eq!(world.roster.standing(one, at(4)), Standing::Valid);
}

/// The number of a certificate is its height: above a fork one number stands for two of them.
#[test]
fn a_number_that_two_branches_gave_is_not_taken_from_the_wrong_one() {
    let (mut world, mut other, _) = forked();
    let ours = Serial::new(3);
    append(&mut world, &mut other, issue(4), &[11], 2);
    let removals = [
        append(&mut world, &mut other, disentitle(ours), &[11], 3),
        append(&mut world, &mut other, suspend(ours), &[11], 4),
        append(&mut world, &mut other, revoke(4, ours, 4, vec![]), &[11, 12], 4),
    ];
    let [_, suspended, revoked] = &removals;
    assert!(!world.roster.see(seen(revoked)), "it names another member");
    // Before anybody knows of the fork it is taken for ours; the proof gives it back.
    assert!(world.roster.see(seen(suspended)));
    assert_eq!(world.roster.standing(ours, at(5)), Standing::Suspended);
    world.roster.fork_proven([Height::new(3)]);
    assert!(world.roster.is_forked());
    assert_eq!(world.roster.standing(ours, at(5)), Standing::Valid);
    for record in &removals {
        assert!(!world.roster.see(seen(record)));
    }
}

#[test]
fn the_log_takes_over_what_was_seen_ahead_of_it() {
    let mut world = World::new();
    let one = world.issue(1, Some(Role::Publisher), 1);
    let mut ahead = world.roster.clone();
    let next = append(&mut world, &mut ahead, issue(2), &[11], 2);
    let removal = append(&mut world, &mut ahead, suspend(one), &[11], 3);
    let resumed =
        append(&mut world, &mut ahead, Decision::Resume(schema::Resume { serial: one.get() }), &[11], 4);
    assert!(world.roster.see(seen(&removal)));
    world.roster.apply(next).unwrap();
    assert_eq!(world.roster.removals_seen().count(), 1);
    world.roster.apply(removal).unwrap();
    assert_eq!(world.roster.removals_seen().count(), 0);
    assert_eq!(world.roster.standing(one, at(5)), Standing::Suspended);
    // `previous` of the resumption names nothing, so it is void: what the log decided is not undone by sight or its end.
    world.roster.apply(resumed).unwrap();
    assert_eq!(world.roster.standing(one, at(5)), Standing::Suspended);
}

#[test]
fn a_page_of_records_settles_at_its_end_what_each_would() {
    let mut world = World::new();
    let [one, two] = [1, 2].map(|n| world.issue(n, Some(Role::Publisher), 1));
    let mut ahead = world.roster.clone();
    let page = [
        append(&mut world, &mut ahead, suspend(one), &[11], 2),
        append(&mut world, &mut ahead, issue(3), &[11], 2),
    ];
    let elsewhere = append(&mut world, &mut ahead, suspend(two), &[11], 3);
    assert!(world.roster.see(seen(&page[0])));
    assert!(world.roster.see(seen(&elsewhere)));
    let mut each = world.roster.clone();
    world.roster.settle_later();
    for record in page {
        each.apply(record.clone()).unwrap();
        world.roster.apply(record).unwrap();
    }
    assert_eq!(world.roster.removals_seen().count(), 2, "not yet");
    world.roster.settle();
    let held = |roster: &Roster| roster.removals_seen().map(RemovalSeen::id).collect::<Vec<_>>();
    assert_eq!(held(&world.roster), [elsewhere.statement.id]);
    assert_eq!(held(&each), held(&world.roster));
    assert!(each.stands_as(&world.roster));
}

#[test]
fn a_charter_that_pins_the_branch_without_it_gives_back_what_was_taken_on_sight() {
    let (mut world, mut other, [one, two]) = forked();
    let suspended = append(&mut world, &mut other, suspend(two), &[11], 4);
    let revoked = append(&mut world, &mut other, revoke(1, one, 4, vec![]), &[11, 12], 4);
    world.roster.fork_proven([Height::new(3)]);
    assert!(world.roster.see(seen(&suspended)));
    let pin = world.roster.version();
    let charter = next_charter(&world, pin);
    world.roster.apply_charter(charter).unwrap();
    assert_eq!(world.roster.standing(two, at(9)), Standing::Valid);
    assert_eq!((world.roster.removals_seen().count(), world.roster.is_forked()), (0, false));
    assert!(!world.roster.see(seen(&revoked)), "made under a charter that is over");
}

#[test]
fn between_a_charter_and_the_branch_it_pins_what_was_seen_goes_on_to_hold() {
    let (mut world, mut other, [_, two]) = forked();
    let common: Vec<VerifiedRecord> = world.roster.records().take(2).cloned().collect();
    let suspended = append(&mut world, &mut other, suspend(two), &[11], 4);
    world.roster.fork_proven([Height::new(3)]);
    assert!(world.roster.see(seen(&suspended)));
    let charter = next_charter(&world, other.version());
    world.roster.apply_charter(charter).unwrap();
    for record in common {
        world.roster.apply(record).unwrap();
    }
    assert_eq!(world.roster.removals_seen().count(), 1);
    assert_eq!(world.roster.standing(two, at(9)), Standing::Suspended, "by sight");
    world.roster.apply(suspended).unwrap();
    assert_eq!(world.roster.removals_seen().count(), 0);
    assert_eq!(world.roster.standing(two, at(9)), Standing::Suspended, "by the log");
}

#[test]
fn what_was_kept_over_a_restart_holds_again_unless_it_is_settled() {
    let (mut world, mut other, [one, two]) = forked();
    let removals = [
        append(&mut world, &mut other, suspend(two), &[11], 4),
        append(&mut world, &mut other, revoke(1, one, 4, vec![]), &[11, 12], 4),
    ];
    let mut restarted = world.roster.clone();
    restarted.see_again(removals.iter().map(seen));
    assert_eq!(restarted.standing(two, at(5)), Standing::Suspended);
    assert_eq!(restarted.standing(one, at(5)), Standing::Revoked);
    // The log that has decided on them needs no reminder.
    other.see_again(removals.iter().map(seen));
    assert_eq!(other.removals_seen().count(), 0);
}

/// One admin's key is enough for a disentitlement; a revocation takes more.
#[test]
fn what_one_admin_signs_leaves_room_for_revocations() {
    let (mut world, _, [one, two]) = forked();
    let charters = world.roster.charters().clone();
    let mut removal = |decision, admins: &[u8]| {
        let signed = world.statement(decision, None, admins, 4);
        RemovalSeen::unordered(&charters, &signed).unwrap()
    };
    let flood: Vec<RemovalSeen> = (0..MAX_SEEN).map(|_| removal(disentitle(two), &[11])).collect();
    let (suspended, revoked) = (removal(suspend(one), &[11]), removal(revoke(1, one, 4, vec![]), &[11, 12]));
    let mut roster = world.roster.clone();
    roster.see_again(flood.iter().cloned());
    assert_eq!(roster.removals_seen().count(), MAX_SEEN);
    assert!(!roster.see(suspended), "full");
    assert!(roster.see(revoked.clone()));
    assert_eq!(roster.standing(one, at(5)), Standing::Revoked);
    let mut restarted = world.roster.clone();
    restarted.see_again(flood.into_iter().chain([revoked]));
    assert_eq!(restarted.standing(one, at(5)), Standing::Revoked);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn removals_seen_in_any_order_take_the_same_and_give_nothing(
        order in Just((0..6).collect::<Vec<usize>>()).prop_shuffle(),
        day in 1u64..20,
    ) {
        let (mut world, mut other, [one, two]) = forked();
        let removals = [
            append(&mut world, &mut other, suspend(two), &[11], 3),
            append(&mut world, &mut other, disentitle(one), &[11], 3),
            append(&mut world, &mut other, revoke(1, one, 9, vec![]), &[11, 12], 4),
            append(&mut world, &mut other, revoke(1, one, 5, vec![]), &[11, 12], 5),
            append(&mut world, &mut other, revoke(2, two, 12, vec![]), &[11, 12], 6),
            append(&mut world, &mut other, suspend(one), &[11], 7),
        ];
        let (mut straight, mut mixed) = (world.roster.clone(), world.roster.clone());
        for (n, from_order) in order.iter().enumerate() {
            straight.see(seen(&removals[n]));
            mixed.see(seen(&removals[*from_order]));
            prop_assert!(mixed.admitted_nodes(at(day)).is_subset(&world.roster.admitted_nodes(at(day))));
            let readers = |roster: &Roster| roster.readers(CIDR, Audience::Group, at(day));
            prop_assert!(readers(&mixed).is_subset(&readers(&world.roster)));
        }
        prop_assert!(straight.stands_as(&mixed));
        for serial in [one, two] {
            prop_assert_eq!(straight.standing(serial, at(day)), mixed.standing(serial, at(day)));
            prop_assert_eq!(straight.role(serial, CIDR, at(day)), mixed.role(serial, CIDR, at(day)));
        }
    }
}
