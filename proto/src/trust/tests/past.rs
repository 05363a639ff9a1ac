//! Who was a member when, and which notices that gives cause for.

use super::*;
use crate::notice::{Act, Occasion, Owed, owed};

const CIRCLE: GroupId = GroupId::new(2);

fn classes(n: u8, classes: &[EntityClass]) -> schema::CertificateBody {
    let mut body = body(n, Some(Role::Publisher));
    let organisation = body.organisation.as_mut().unwrap();
    organisation.classes = classes.iter().map(|class| i32::from(*class)).collect();
    body
}

fn issue(world: &mut World, body: schema::CertificateBody, day: u64) -> Serial {
    let id = MemberId::try_from(body.member.as_slice()).unwrap();
    world.decide(id, Decision::Issue(schema::Issue { certificate: Some(body) }), &[11], day)
}

/// Revokes a certificate of member `n`, decided on one day and effective on another.
fn leave(
    world: &mut World,
    n: u8,
    serial: Serial,
    reason: schema::RevocationReason,
    made: u64,
    effective: u64,
) {
    let decision = Decision::Revoke(schema::Revoke {
        serial: serial.get(),
        member: member(n).to_vec(),
        reason: reason.into(),
        decided: at(made).as_micros(),
        effective: at(effective).as_micros(),
        cut: vec![],
    });
    world.decide(member(n), decision, &[11, 12], made);
}

fn told(world: &World) -> Vec<(MemberId, Act, Occasion, Timestamp)> {
    owed(&world.roster)
        .into_iter()
        .map(|Owed { member, act, occasion, effective, .. }| (member, act, occasion, effective))
        .collect()
}

#[test]
fn membership_at_a_moment_is_what_had_been_decided_by_then() {
    let mut world = World::new();
    let one = world.issue(1, Some(Role::Publisher), 10);
    let two = world.issue(2, Some(Role::Reader), 20);
    leave(&mut world, 1, one, schema::RevocationReason::Left, 30, 40);
    let suspend = Decision::Suspend(schema::Suspend { serial: two.get(), cut: vec![] });
    world.decide(member(2), suspend, &[12], 50);
    world.decide(member(2), Decision::Resume(schema::Resume { serial: two.get() }), &[12], 60);
    let entitle = |role: Role| {
        Decision::Entitle(schema::Entitle {
            serial: two.get(),
            groups: vec![schema::GroupRole { group: CIDR.get(), role: role.into() }],
        })
    };
    world.decide(member(2), entitle(Role::Steward), &[11], 70);
    let on = |day: u64| -> Vec<(MemberId, Role)> {
        world.roster.members_at(CIDR, at(day)).into_iter().map(|m| (m.member, m.role)).collect()
    };
    assert_eq!(on(9), []);
    assert_eq!(on(10), [(member(1), Role::Publisher)]);
    assert_eq!(on(35), [(member(1), Role::Publisher), (member(2), Role::Reader)]);
    assert_eq!(on(40), [(member(2), Role::Reader)], "gone from the effective moment on");
    let until = |day: u64| world.roster.members_at(CIDR, at(day))[0].until;
    assert_eq!((until(29), until(30)), (at(365), at(40)), "to end by its time, then by decision");
    assert_eq!(on(55), []);
    assert_eq!(on(65), [(member(2), Role::Reader)]);
    assert_eq!(on(70), [(member(2), Role::Steward)]);
    assert_eq!(on(400), [], "expired");
    let now = world.roster.members_at(CIDR, at(70));
    assert_eq!((now[0].since, now[0].entries.len()), (at(60), 4), "since the return, by four entries");
    // The answer does not depend on what came later.
    assert_eq!(world.roster.as_of(at(35)).entitled_since(member(1), CIDR).unwrap().at, at(10));
    assert_eq!(world.roster.members_at(CIRCLE, at(35)), []);
}

#[test]
fn a_decision_that_is_ordered_later_counts_from_its_making_and_its_entry_says_so() {
    let mut world = World::new();
    let one = world.issue(1, Some(Role::Publisher), 10);
    // Made on day 20; until it is ordered, whoever asks for day 25 is told that the member is in.
    let suspend = Decision::Suspend(schema::Suspend { serial: one.get(), cut: vec![] });
    let before = world.roster.version().height;
    assert_eq!(world.roster.members_at(CIDR, at(25)).len(), 1);
    world.issue(2, Some(Role::Reader), 30);
    world.decide(member(1), suspend, &[12], 20);
    assert_eq!(world.roster.members_at(CIDR, at(25)), []);
    assert!(
        world.roster.version().height > before,
        "the entry up to which it was answered tells the two apart"
    );
}

#[test]
fn void_and_later_decisions_do_not_count_and_the_charter_of_the_day_does() {
    let mut world = World::new();
    let one = world.issue(1, Some(Role::Publisher), 10);
    // Void: it knows of no earlier statement.
    let stale = world.statement(
        Decision::Entitle(schema::Entitle {
            serial: one.get(),
            groups: vec![schema::GroupRole { group: CIDR.get(), role: Role::Steward.into() }],
        }),
        None,
        &[11],
        11,
    );
    let record = world.ordered(stale, 21);
    world.take(&record).unwrap();
    // From day 20 on the group admits financial entities alone.
    let mut narrowed = draft();
    narrowed.groups[0].admits = vec![EntityClass::Financial];
    let pin = world.roster.version();
    let keys = root_keys(&[11, 12, 13], 21);
    let next = narrowed.to_next_charter(world.roster.charters(), &keys, pin, at(20)).unwrap();
    let coalition = world.roster.coalition();
    let next = signed::sign(next.encode_to_vec(), Purpose::Charter, coalition, &[&key(1), &key(2)]);
    world.roster.apply_charter(next).unwrap();
    let on = |day: u64| world.roster.members_at(CIDR, at(day)).iter().map(|m| m.role).collect::<Vec<_>>();
    assert_eq!(on(15), [Role::Publisher]);
    assert_eq!(on(21), []);
    assert_eq!(world.roster.as_of(at(15)).charter().version(), 1);
}

#[test]
fn entering_and_leaving_owe_a_notice_and_nothing_between_does() {
    let mut world = World::new();
    let serial = issue(&mut world, classes(1, &[EntityClass::Essential]), 1);
    assert_eq!(told(&world), [(member(1), Act::Nis2, Occasion::Entering, at(1))]);
    let renew = Decision::Renew(schema::Renew { serial: serial.get(), not_after: at(500).as_micros() });
    world.decide(member(1), renew, &[11], 2);
    world.decide(
        member(1),
        Decision::Suspend(schema::Suspend { serial: serial.get(), cut: vec![] }),
        &[11],
        3,
    );
    world.decide(member(1), Decision::Resume(schema::Resume { serial: serial.get() }), &[11], 4);
    let groups = vec![schema::GroupRole { group: CIDR.get(), role: Role::Steward.into() }];
    world.decide(member(1), Decision::Entitle(schema::Entitle { serial: serial.get(), groups }), &[11], 5);
    let fresh =
        schema::CertificateBody { member: member(1).to_vec(), ..classes(2, &[EntityClass::Essential]) };
    let supersede = schema::Supersede { serial: serial.get(), certificate: Some(fresh), cut: vec![] };
    let serial = world.decide(member(1), Decision::Supersede(supersede), &[11], 6);
    let second =
        schema::CertificateBody { member: member(1).to_vec(), ..classes(3, &[EntityClass::Essential]) };
    let second = issue(&mut world, second, 7);
    // One of two nodes goes: the member stays. A stolen key ends no membership either.
    leave(&mut world, 1, second, schema::RevocationReason::CeasedOperation, 8, 8);
    assert_eq!(told(&world).len(), 1, "{:?}", world.roster.voids());
    leave(&mut world, 1, serial, schema::RevocationReason::KeyCompromise, 9, 9);
    assert_eq!(told(&world).len(), 1);
    let third =
        schema::CertificateBody { member: member(1).to_vec(), ..classes(4, &[EntityClass::Essential]) };
    let third = issue(&mut world, third, 10);
    assert_eq!(told(&world).len(), 1, "new keys for stolen ones are no new membership");
    // Announced for later: owed once it takes effect; brought forward, it is one notice still.
    leave(&mut world, 1, third, schema::RevocationReason::Left, 11, 40);
    leave(&mut world, 1, third, schema::RevocationReason::Left, 12, 30);
    let leaving = (member(1), Act::Nis2, Occasion::Leaving, at(30));
    assert_eq!(told(&world)[1..], [leaving]);
    // Back again later: a new beginning.
    let back =
        schema::CertificateBody { member: member(1).to_vec(), ..classes(5, &[EntityClass::Essential]) };
    issue(&mut world, back, 50);
    assert_eq!(told(&world)[2..], [(member(1), Act::Nis2, Occasion::Entering, at(50))]);
    assert_eq!(owed(&world.roster)[1].id(), "12-nis2-leaving");
}

#[test]
fn the_sector_act_goes_before_and_entities_out_of_scope_owe_nothing() {
    let mut world = World::new();
    issue(&mut world, classes(1, &[EntityClass::Essential, EntityClass::Financial]), 1);
    for (n, class) in [
        (2, EntityClass::OutOfScope),
        (3, EntityClass::Academic),
        (4, EntityClass::Authority),
        (5, EntityClass::IctProvider),
        (6, EntityClass::Supplier),
    ] {
        let serial = issue(&mut world, classes(n, &[class]), 1);
        leave(&mut world, n, serial, schema::RevocationReason::Left, 2, 2);
    }
    issue(&mut world, classes(7, &[EntityClass::Important]), 1);
    let told = told(&world);
    assert_eq!(
        told,
        [
            (member(1), Act::Dora, Occasion::Entering, at(1)),
            (member(7), Act::Nis2, Occasion::Entering, at(1))
        ]
    );
}

#[test]
fn a_member_that_comes_into_scope_later_owes_its_notice_then() {
    let mut world = World::new();
    let serial = issue(&mut world, classes(1, &[EntityClass::OutOfScope]), 1);
    assert_eq!(told(&world), []);
    let fresh =
        schema::CertificateBody { member: member(1).to_vec(), ..classes(2, &[EntityClass::Important]) };
    let supersede = schema::Supersede { serial: serial.get(), certificate: Some(fresh), cut: vec![] };
    let serial = world.decide(member(1), Decision::Supersede(supersede), &[11], 5);
    assert_eq!(told(&world), [(member(1), Act::Nis2, Occasion::Entering, at(5))]);
    // A departure that is called off before it comes owes nothing.
    leave(&mut world, 1, serial, schema::RevocationReason::Left, 6, 90);
    assert_eq!(told(&world).len(), 2);
    let stays =
        schema::CertificateBody { member: member(1).to_vec(), ..classes(3, &[EntityClass::Important]) };
    issue(&mut world, stays, 7);
    assert_eq!(told(&world), [(member(1), Act::Nis2, Occasion::Entering, at(5))]);
}

#[test]
fn an_entitlement_does_not_outlive_a_departure_whoever_decides_in_between() {
    // The gap between leaving and coming back must not be readable, with or without other members' entries in it.
    for others in [false, true] {
        let mut world = World::new();
        let serial = world.issue(1, Some(Role::Publisher), 1);
        leave(&mut world, 1, serial, schema::RevocationReason::Left, 2, 10);
        if others {
            world.issue(9, Some(Role::Reader), 15);
        }
        let back = schema::CertificateBody { member: member(1).to_vec(), ..body(2, Some(Role::Publisher)) };
        issue(&mut world, back, 20);
        assert_eq!(world.roster.entitled_since(member(1), CIDR).unwrap().at, at(20), "others: {others}");
    }
}

/// A certificate of member 1 with these groups, for a node of its own.
fn of_one(n: u8, groups: &[GroupId]) -> schema::CertificateBody {
    let role = |group: &GroupId| schema::GroupRole { group: group.get(), role: Role::Reader.into() };
    schema::CertificateBody {
        member: member(1).to_vec(),
        groups: groups.iter().map(role).collect(),
        ..classes(n, &[EntityClass::Essential, EntityClass::Financial])
    }
}

fn supersede(world: &mut World, serial: Serial, body: schema::CertificateBody, day: u64) -> Serial {
    let supersede = schema::Supersede { serial: serial.get(), certificate: Some(body), cut: vec![] };
    world.decide(member(1), Decision::Supersede(supersede), &[11], day)
}

/// Of what the last notice tells, and in which groups.
fn last_told(world: &World) -> (Occasion, Vec<GroupId>) {
    let last = owed(&world.roster).pop().unwrap();
    (last.occasion, last.groups)
}

const LEFT: schema::RevocationReason = schema::RevocationReason::Left;

#[test]
fn no_notice_names_a_group_of_a_certificate_that_another_took_the_place_of() {
    let mut world = World::new();
    let essential = [EntityClass::Essential];
    let one =
        schema::CertificateBody { organisation: classes(1, &essential).organisation, ..of_one(1, &[CIDR]) };
    let first = issue(&mut world, one, 1);
    assert_eq!(last_told(&world), (Occasion::Entering, vec![CIDR]));
    // Other keys and other groups, and with them it comes under the sector act.
    let second = supersede(&mut world, first, of_one(2, &[CIRCLE]), 2);
    assert_eq!(owed(&world.roster).len(), 2);
    assert_eq!(last_told(&world), (Occasion::Entering, vec![CIRCLE]));
    // The old key turns out to be stolen; that changes nothing in what the member leaves.
    leave(&mut world, 1, first, schema::RevocationReason::KeyCompromise, 3, 3);
    leave(&mut world, 1, second, LEFT, 4, 10);
    assert_eq!(last_told(&world), (Occasion::Leaving, vec![CIRCLE]));
    assert_eq!(owed(&world.roster).pop().unwrap().effective, at(10));
}

#[test]
fn a_member_that_comes_back_is_told_of_in_the_groups_it_comes_back_to() {
    let mut world = World::new();
    let first = issue(&mut world, of_one(1, &[CIDR]), 1);
    leave(&mut world, 1, first, LEFT, 2, 2);
    assert_eq!(last_told(&world), (Occasion::Leaving, vec![CIDR]));
    let second = issue(&mut world, of_one(2, &[CIRCLE]), 20);
    assert_eq!(last_told(&world), (Occasion::Entering, vec![CIRCLE]));
    leave(&mut world, 1, second, LEFT, 30, 30);
    assert_eq!(last_told(&world), (Occasion::Leaving, vec![CIRCLE]));
}

#[test]
fn who_leaves_leaves_the_groups_of_every_certificate_that_ends_with_it_and_of_no_other() {
    let suspend = |serial: Serial| Decision::Suspend(schema::Suspend { serial: serial.get(), cut: vec![] });
    for suspended in [false, true] {
        let mut world = World::new();
        let first = issue(&mut world, of_one(1, &[CIDR]), 1);
        let second = issue(&mut world, of_one(2, &[CIRCLE]), 1);
        if suspended {
            world.decide(member(1), suspend(first), &[11], 2);
        }
        leave(&mut world, 1, first, LEFT, 3, 40);
        leave(&mut world, 1, second, LEFT, 4, 40);
        assert_eq!(last_told(&world), (Occasion::Leaving, vec![CIDR, CIRCLE]), "suspended: {suspended}");
        assert_eq!(owed(&world.roster).pop().unwrap().effective, at(40));
    }
    // One of its nodes goes before the other does: those groups it has left by then.
    let mut world = World::new();
    let first = issue(&mut world, of_one(1, &[CIDR]), 1);
    let second = issue(&mut world, of_one(2, &[CIRCLE]), 1);
    leave(&mut world, 1, first, schema::RevocationReason::CeasedOperation, 3, 3);
    leave(&mut world, 1, second, LEFT, 4, 40);
    assert_eq!(last_told(&world), (Occasion::Leaving, vec![CIRCLE]));
}

#[test]
fn a_group_taken_away_while_a_departure_is_announced_is_none_the_member_leaves() {
    let mut world = World::new();
    let serial = issue(&mut world, of_one(1, &[CIDR, CIRCLE]), 1);
    leave(&mut world, 1, serial, LEFT, 2, 40);
    assert_eq!(last_told(&world), (Occasion::Leaving, vec![CIDR, CIRCLE]));
    let disentitle = |group: GroupId| {
        Decision::Disentitle(schema::Disentitle {
            serial: serial.get(),
            groups: vec![group.get()],
            cut: Vec::new(),
        })
    };
    world.decide(member(1), disentitle(CIRCLE), &[11], 3);
    assert_eq!(last_told(&world), (Occasion::Leaving, vec![CIDR]));
    // What is taken away afterwards changes nothing in what it left.
    world.decide(member(1), disentitle(CIDR), &[11], 50);
    assert_eq!(last_told(&world), (Occasion::Leaving, vec![CIDR]));
}

#[test]
fn a_notice_says_when_its_statement_was_made_and_is_known_by_it() {
    let mut world = World::new();
    let serial = world.issue(1, Some(Role::Publisher), 5);
    leave(&mut world, 1, serial, LEFT, 6, 40);
    let told = owed(&world.roster);
    assert_eq!(told.iter().map(|owed| owed.made).collect::<Vec<_>>(), [at(5), at(6)]);
    for (owed, record) in told.iter().zip(world.roster.records()) {
        assert_eq!(owed.statement, record.statement.id);
        assert!(owed.key().starts_with(&record.statement.id.to_string()), "{}", owed.key());
    }
}
