//! Every action of an admin against everything that can be wrong with who signed it, when and where.

use super::*;
use crate::trust::{
    acceptance,
    fold::VoidReason,
    log::VerifiedRecord,
    on_sight::{RemovalSeen, UnorderedError},
    roster::Void,
};

const ALL: [u8; 3] = [11, 12, 13];

/// Two admins for every action; a publisher with serial 1, a suspended one with serial 2, and with serial 4 one that has
/// accepted older texts.
fn world(name: &str) -> World {
    let mut draft = draft();
    draft.name = Some(name.to_owned());
    let keys = keys(&ALL);
    let charter = draft.to_charter(None, &keys, at(0)).unwrap().encode_to_vec();
    let coalition = *crate::crypto::hash::charter_id(&charter).as_bytes();
    let signed =
        signed::sign(charter, Purpose::Charter, crate::id::CoalitionId::new(coalition), &[&key(1), &key(2)]);
    let roster = Roster::new(CharterChain::start(signed).unwrap());
    let mut world = World { roster, rng: StdRng::seed_from_u64(7), last: BTreeMap::new() };
    for n in [1, 2] {
        let issue = Decision::Issue(schema::Issue { certificate: Some(body(n, Some(Role::Publisher))) });
        world.decide(member(n), issue, &[11, 12], 1);
    }
    let cut = vec![point(1)];
    world.decide(member(2), Decision::Suspend(schema::Suspend { serial: 2, cut }), &[11, 12], 2);
    let older = schema::CertificateBody { rules_version: "0.9".to_owned(), ..body(3, Some(Role::Publisher)) };
    world.decide(member(3), Decision::Issue(schema::Issue { certificate: Some(older) }), &[11, 12], 2);
    world
}

/// Admins that an action of [`world`] needs: what a member accepted, one files.
fn needed(decision: &Decision) -> usize {
    if matches!(decision, Decision::Accept(_)) { 1 } else { 2 }
}

fn keys(admins: &[u8]) -> RootKeys {
    RootKeys { thresholds: ACTIONS.iter().map(|action| (*action, 2)).collect(), ..root_keys(admins, 21) }
}

fn point(sequence: u64) -> schema::CutPoint {
    schema::CutPoint { log: vec![1; 32], sequence, message: vec![u8::try_from(sequence).unwrap(); 32] }
}

/// A decision of each action that takes effect in [`world`], and whom it is about.
fn decisions() -> Vec<(MemberId, Decision)> {
    let group = |role: Role| vec![schema::GroupRole { group: CIDR.get(), role: role.into() }];
    let fresh = schema::CertificateBody { member: member(1).to_vec(), ..body(9, Some(Role::Publisher)) };
    let accepted = acceptance::sign(world("Test Coalition").roster.charter(), &key(103), at(3));
    let merged = schema::Organisation {
        name: "Organisation 1 & Sons".into(),
        classes: vec![EntityClass::Financial.into()],
        ..Default::default()
    };
    vec![
        (member(8), Decision::Issue(schema::Issue { certificate: Some(body(8, Some(Role::Reader))) })),
        (member(1), Decision::Renew(schema::Renew { serial: 1, not_after: at(900).as_micros() })),
        (
            member(1),
            Decision::Supersede(schema::Supersede {
                serial: 1,
                certificate: Some(fresh),
                cut: vec![point(3)],
            }),
        ),
        (member(1), Decision::Suspend(schema::Suspend { serial: 1, cut: vec![point(3)] })),
        (member(2), Decision::Resume(schema::Resume { serial: 2 })),
        (member(1), revoke(1, Serial::new(1), 3, vec![point(3)])),
        (member(1), Decision::Entitle(schema::Entitle { serial: 1, groups: group(Role::Steward) })),
        (
            member(1),
            Decision::Disentitle(schema::Disentitle {
                serial: 1,
                groups: vec![CIDR.get()],
                cut: vec![point(3)],
            }),
        ),
        (member(2), Decision::ExtendCut(schema::ExtendCut { serial: 2, cut: vec![point(7)] })),
        (member(3), Decision::Accept(schema::Accept { serial: 4, acceptance: Some(accepted) })),
        (
            member(1),
            Decision::Amend(schema::Amend { member: member(1).to_vec(), organisation: Some(merged) }),
        ),
    ]
}

/// Everything a roster says of its members.
fn answers(roster: &Roster) -> String {
    let now = at(4);
    let of = |c: &crate::trust::certificate::Certificate| {
        let closure = roster.closure(c.serial, CIDR, LogId::new([1; 32]));
        format!(
            "{:?} {} {:?} {} {:?} {:?}",
            c.serial,
            c.organisation.name,
            c.groups,
            c.not_after,
            roster.standing(c.serial, now),
            closure.fingerprint()
        )
    };
    let certificates: Vec<String> = roster.certificates().map(of).collect();
    let accepted: Vec<bool> =
        roster.members().map(|member| roster.has_accepted(member.id, roster.charter())).collect();
    format!("{certificates:?} {accepted:?} {:?}", roster.readers(CIDR, Audience::Group, now))
}

fn void(world: &World) -> Option<VoidReason> {
    let height = world.roster.version().height;
    world.roster.voids().iter().find(|void| void.height == height).map(|Void { reason, .. }| reason.clone())
}

#[test]
fn the_table_has_every_action() {
    let found: Vec<schema::Action> = decisions()
        .into_iter()
        .map(|(_, decision)| {
            let mut world = world("Test Coalition");
            let signed = world.statement(decision, None, &[], 3);
            crate::trust::statement::Statement::decode(&signed.payload).unwrap().action()
        })
        .collect();
    assert_eq!(found, [&ACTIONS[..], &[schema::Action::Accept, schema::Action::Amend]].concat());
    // What is added to the schema is added here, or this fails.
    let all: Vec<schema::Action> =
        (1..256).filter_map(|number| schema::Action::try_from(number).ok()).collect();
    assert_eq!(found, all);
    let text = include_str!("../../../schema/belfry/v1/trust.proto");
    let decisions = text.split_once("oneof decision {").and_then(|(_, rest)| rest.split_once('}')).unwrap().0;
    assert_eq!(found.len(), decisions.matches(';').count(), "{decisions}");
}

#[test]
fn every_action_takes_effect_by_enough_admins_and_by_nothing_less() {
    for (who, decision) in decisions() {
        let mut world = world("Test Coalition");
        let (before, previous) = (answers(&world.roster), world.last.get(&who).copied());
        let mut refused = |what: &str, admins: &[u8], expected: fn(&SignedError) -> bool| {
            let statement = world.statement(decision.clone(), previous, admins, 3);
            let record = world.ordered(statement, 21);
            match world.take(&record) {
                Err(LogError::Admins { error, .. }) if expected(&error) => {}
                other => panic!("{what}: {decision:?} gave {other:?}"),
            }
            assert_eq!(answers(&world.roster), before, "{what}: {decision:?}");
        };
        refused("nobody", &[], |e| matches!(e, SignedError::TooFew { found: 0, .. }));
        if needed(&decision) == 2 {
            let too_few: fn(&SignedError) -> bool =
                |e| matches!(e, SignedError::TooFew { found: 1, needed: 2 });
            refused("below the threshold", &[12], too_few);
        }
        refused("one key counted twice", &[11, 11], |e| matches!(e, SignedError::Twice(_)));
        refused("a stranger", &[11, 99], |e| matches!(e, SignedError::NotAllowed(_)));
        refused("the registrar as an admin", &[11, 21], |e| matches!(e, SignedError::NotAllowed(_)));
        refused("a root key as an admin", &[11, 1], |e| matches!(e, SignedError::NotAllowed(_)));

        let statement = world.statement(decision.clone(), previous, &[13, 11], 3);
        let decoded = crate::trust::statement::Statement::decode(&statement.payload).unwrap();
        assert_eq!(world.roster.preview(&decoded), Ok(()), "{decision:?}");
        let record = world.ordered(statement, 21);
        world.take(&record).unwrap();
        assert_eq!(void(&world), None, "{decision:?}");
        assert_ne!(answers(&world.roster), before, "{decision:?}");
    }
}

#[test]
fn an_admin_whom_a_new_charter_removed_decides_nothing_and_neither_do_statements_of_the_old_one() {
    for (who, decision) in decisions() {
        let mut world = world("Test Coalition");
        let previous = world.last.get(&who).copied();
        let old = world.statement(decision.clone(), previous, &[11, 12], 3);
        let pin = world.roster.version();
        let next = draft().to_next_charter(world.roster.charters(), &keys(&[11, 12]), pin, at(3)).unwrap();
        let coalition = world.roster.coalition();
        let next = signed::sign(next.encode_to_vec(), Purpose::Charter, coalition, &[&key(1), &key(2)]);
        world.roster.apply_charter(next).unwrap();
        let before = answers(&world.roster);

        let removed = world.statement(decision.clone(), previous, &[11, 13], 4);
        let record = world.ordered(removed, 21);
        assert!(
            matches!(world.take(&record), Err(LogError::Admins { error: SignedError::NotAllowed(_), .. })),
            "{decision:?}"
        );
        // What the old charter's admins signed and nobody ordered in time stays in the log, and does nothing.
        let record = world.ordered(old, 21);
        world.take(&record).unwrap();
        assert_eq!(void(&world), Some(VoidReason::OldCharter(1)), "{decision:?}");
        assert_eq!(answers(&world.roster), before, "{decision:?}");
    }
}

/// Root holders may pin below a removal on purpose; where they did not know of it, somebody has to be told.
#[test]
fn a_removal_that_a_pin_below_it_undid_is_told_until_it_is_decided_anew() {
    for (who, decision) in decisions() {
        let mut world = world("Test Coalition");
        let (pin, coalition) = (world.roster.version(), world.roster.coalition());
        world.decide(who, decision.clone(), &[11, 12], 3);
        let serial = |roster: &Roster| -> Vec<u64> {
            let undone = roster.undone_removals(at(4));
            undone.iter().filter_map(|removal| removal.serial()).map(|serial| serial.get()).collect()
        };
        assert!(serial(&world.roster).is_empty(), "{decision:?}");
        let next = draft().to_next_charter(world.roster.charters(), &keys(&ALL), pin, at(3)).unwrap();
        let next = signed::sign(next.encode_to_vec(), Purpose::Charter, coalition, &[&key(1), &key(2)]);
        world.roster.apply_charter(next).unwrap();
        assert_eq!(void(&world), Some(VoidReason::OldCharter(1)), "{decision:?}");
        let is_removal =
            matches!(decision, Decision::Revoke(_) | Decision::Suspend(_) | Decision::Disentitle(_));
        let expected: &[u64] = if is_removal { &[1] } else { &[] };
        assert_eq!(serial(&world.roster), expected, "{decision:?}");
        let anew = Decision::Renew(schema::Renew { serial: 1, not_after: at(901).as_micros() });
        let again = if is_removal { decision.clone() } else { anew.clone() };
        let again = world.statement(again, None, &[11, 12], 4);
        let record = world.ordered(again, 21);
        world.take(&record).unwrap();
        assert!(serial(&world.roster).is_empty(), "{decision:?}");
    }
}

#[test]
fn an_admin_whose_time_is_over_decides_nothing_and_before_that_everything() {
    for (who, decision) in decisions() {
        let mut world = world("Test Coalition");
        let previous = world.last.get(&who).copied();
        let (pin, coalition) = (world.roster.version(), world.roster.coalition());
        let until = RootKeys { admins_until: [(key(12).public(), at(4))].into(), ..keys(&ALL) };
        let next = draft().to_next_charter(world.roster.charters(), &until, pin, at(3)).unwrap();
        let next = signed::sign(next.encode_to_vec(), Purpose::Charter, coalition, &[&key(1), &key(2)]);
        world.roster.apply_charter(next).unwrap();
        let before = answers(&world.roster);

        let late = world.statement(decision.clone(), previous, &[11, 12], 4);
        let record = world.ordered(late, 21);
        match world.take(&record) {
            Err(LogError::Admins { error: SignedError::Ended { key: ended, end }, .. }) => {
                assert_eq!((ended, end), (key(12).public(), at(4)), "{decision:?}");
            }
            other => panic!("{decision:?} gave {other:?}"),
        }
        assert_eq!(answers(&world.roster), before, "{decision:?}");
        // The others go on, and what it signed in time stands, whenever somebody looks.
        let statement = world.statement(decision.clone(), previous, &[11, 12], 3);
        let record = world.ordered(statement, 21);
        world.take(&record).unwrap();
        assert_eq!(void(&world), None, "{decision:?}");
        let mut world = super::actions::world("Test Coalition");
        let statement = world.statement(decision.clone(), world.last.get(&who).copied(), &[11, 13], 4);
        let record = world.ordered(statement, 21);
        world.take(&record).unwrap();
        assert_eq!(void(&world), None, "{decision:?}");
    }
}

#[test]
fn under_an_expired_charter_only_removals_take_effect_and_a_new_one_ends_that() {
    const OVER: u64 = 3650;
    for (who, decision) in decisions() {
        let mut world = world("Test Coalition");
        let (before, previous) = (answers(&world.roster), world.last.get(&who).copied());
        let statement = world.statement(decision.clone(), previous, &[11, 12], OVER);
        let decoded = crate::trust::statement::Statement::decode(&statement.payload).unwrap();
        let expected =
            (!decoded.is_removal()).then(|| VoidReason::CharterExpired(world.roster.charter().expires()));
        assert_eq!(world.roster.preview(&decoded).err(), expected, "{decision:?}");
        let record = world.ordered(statement, 21);
        world.take(&record).unwrap();
        assert_eq!(void(&world), expected, "{decision:?}");
        assert_eq!(answers(&world.roster) != before, decoded.is_removal(), "{decision:?}");

        let mut world = super::actions::world("Test Coalition");
        let (pin, coalition) = (world.roster.version(), world.roster.coalition());
        let next = draft().to_next_charter(world.roster.charters(), &keys(&ALL), pin, at(OVER)).unwrap();
        let next = signed::sign(next.encode_to_vec(), Purpose::Charter, coalition, &[&key(1), &key(2)]);
        world.roster.apply_charter(next).unwrap();
        let statement = world.statement(decision.clone(), previous, &[11, 12], OVER);
        let record = world.ordered(statement, 21);
        world.take(&record).unwrap();
        assert_eq!(void(&world), None, "{decision:?}");
    }
}

#[test]
fn a_replayed_action_changes_nothing_a_second_time() {
    for (who, decision) in decisions() {
        let mut world = world("Test Coalition");
        let previous = world.last.get(&who).copied();
        let statement = world.statement(decision.clone(), previous, &[11, 12], 3);
        let record = world.ordered(statement.clone(), 21);
        world.take(&record).unwrap();
        let before = answers(&world.roster);
        assert!(matches!(world.take(&record), Err(LogError::Height { .. })), "{decision:?}");
        let again = world.ordered(statement, 21);
        world.take(&again).unwrap();
        assert_eq!(void(&world), Some(VoidReason::Repeated), "{decision:?}");
        assert_eq!(answers(&world.roster), before, "{decision:?}");
    }
}

#[test]
fn an_action_ordered_before_the_one_it_builds_on_is_void_unless_it_removes() {
    for (who, decision) in decisions() {
        let mut world = world("Test Coalition");
        let before = answers(&world.roster);
        let statement = world.statement(decision.clone(), Some(StatementId::new([7; 32])), &[11, 12], 3);
        let removes = crate::trust::statement::Statement::decode(&statement.payload).unwrap().is_removal();
        let record = world.ordered(statement, 21);
        world.take(&record).unwrap();
        let expected = (!removes).then_some(VoidReason::NotLatest);
        assert_eq!(void(&world), expected, "{decision:?} about {who}");
        assert_eq!(answers(&world.roster) != before, removes, "{decision:?}");
    }
}

#[test]
fn an_action_on_a_forked_log_or_of_another_coalition_is_refused() {
    for (who, decision) in decisions() {
        let mut world = world("Test Coalition");
        let (before, previous) = (answers(&world.roster), world.last.get(&who).copied());
        let statement = world.statement(decision.clone(), previous, &[11, 12], 3);
        let coalition = world.roster.coalition();
        let height = Height::new(world.roster.version().height.get() + 1);
        let forked = order(coalition, height, EntryId::new([9; 32]), statement.clone(), &key(21));
        assert!(matches!(world.take(&forked), Err(LogError::Fork(_))), "{decision:?}");
        let other_registrar = world.ordered(statement, 22);
        assert!(matches!(world.take(&other_registrar), Err(LogError::Registrar { .. })), "{decision:?}");

        // The same admins, another coalition: whole, and the statement alone under our own entry.
        let mut other = super::actions::world("Other Coalition");
        let theirs = other.statement(decision.clone(), previous, &[11, 12], 3);
        let record = other.ordered(theirs.clone(), 21);
        assert!(matches!(world.take(&record), Err(LogError::OtherCoalition(_))), "{decision:?}");
        let record = world.ordered(theirs, 21);
        assert!(world.take(&record).is_err(), "{decision:?}");
        assert_eq!(answers(&world.roster), before, "{decision:?}");
    }
}

/// A statement as the registrar ordered it where our log does not reach.
fn elsewhere(world: &World, statement: schema::Signed) -> Result<VerifiedRecord, LogError> {
    let record = order(world.roster.coalition(), Height::new(99), EntryId::new([9; 32]), statement, &key(21));
    verify_record(world.roster.charters(), &record)
}

/// A removal that its admins' signatures carry neither with an entry nor without one.
fn refused_elsewhere(
    world: &mut World,
    decision: &Decision,
    admins: &[u8],
    day: u64,
    expected: fn(&SignedError) -> bool,
) {
    let statement = world.statement(decision.clone(), None, admins, day);
    match RemovalSeen::unordered(world.roster.charters(), &statement) {
        Err(UnorderedError::Admins(error)) if expected(&error) => {}
        other => panic!("{decision:?} by {admins:?} gave {other:?}"),
    }
    match elsewhere(world, statement) {
        Err(LogError::Admins { error, .. }) if expected(&error) => {}
        other => panic!("{decision:?} by {admins:?} gave {other:?}"),
    }
}

#[test]
fn met_on_another_branch_every_removal_takes_once_by_enough_admins_and_nothing_else_takes_at_all() {
    for (who, decision) in decisions() {
        let mut world = world("Test Coalition");
        let (before, version) = (answers(&world.roster), world.roster.version());
        // Whatever it builds on: no removal waits for order.
        let enough = world.statement(decision.clone(), Some(StatementId::new([7; 32])), &[13, 11], 3);
        let met = elsewhere(&world, enough.clone()).unwrap();
        let Some(seen) = RemovalSeen::of(&met) else {
            let refused = RemovalSeen::unordered(world.roster.charters(), &enough).unwrap_err();
            assert_eq!(refused, UnorderedError::NotARemoval, "{decision:?}");
            continue;
        };
        refused_elsewhere(&mut world, &decision, &[], 3, |e| {
            matches!(e, SignedError::TooFew { found: 0, .. })
        });
        refused_elsewhere(&mut world, &decision, &[12], 3, |e| {
            matches!(e, SignedError::TooFew { found: 1, needed: 2 })
        });
        refused_elsewhere(&mut world, &decision, &[11, 11], 3, |e| matches!(e, SignedError::Twice(_)));
        refused_elsewhere(&mut world, &decision, &[11, 99], 3, |e| matches!(e, SignedError::NotAllowed(_)));
        refused_elsewhere(&mut world, &decision, &[11, 21], 3, |e| matches!(e, SignedError::NotAllowed(_)));

        // A newer charter took one admin out, and has another one's key end.
        let mut later = super::actions::world("Test Coalition");
        let overtaken = later.statement(decision.clone(), None, &[11, 12], 3);
        let until = RootKeys { admins_until: [(key(12).public(), at(4))].into(), ..keys(&[11, 12]) };
        let (pin, coalition) = (later.roster.version(), later.roster.coalition());
        let next = draft().to_next_charter(later.roster.charters(), &until, pin, at(3)).unwrap();
        let next = signed::sign(next.encode_to_vec(), Purpose::Charter, coalition, &[&key(1), &key(2)]);
        later.roster.apply_charter(next).unwrap();
        refused_elsewhere(&mut later, &decision, &[11, 13], 3, |e| matches!(e, SignedError::NotAllowed(_)));
        refused_elsewhere(&mut later, &decision, &[11, 12], 4, |e| matches!(e, SignedError::Ended { .. }));
        let overtaken = RemovalSeen::of(&elsewhere(&later, overtaken).unwrap()).unwrap();
        assert!(!later.roster.see(overtaken), "{decision:?} under the charter before");

        let mut other = super::actions::world("Other Coalition");
        let theirs = other.statement(decision.clone(), None, &[11, 12], 3);
        let refused = RemovalSeen::unordered(world.roster.charters(), &theirs).unwrap_err();
        assert_eq!(refused, UnorderedError::OtherCoalition(other.roster.coalition()), "{decision:?}");
        assert!(elsewhere(&world, theirs).is_err(), "{decision:?}");
        assert_eq!(answers(&world.roster), before, "{decision:?}");

        assert!(world.roster.see(seen.clone()), "{decision:?}");
        let after = answers(&world.roster);
        assert_ne!(after, before, "{decision:?} about {who}");
        assert!(!world.roster.see(seen.clone()), "{decision:?} replayed");
        assert_eq!((answers(&world.roster), world.roster.version()), (after, version), "{decision:?}");
        // Once our own log has decided on it, it is the log's word, and met again it is nothing.
        let record = world.ordered(enough, 21);
        world.take(&record).unwrap();
        assert_eq!(void(&world), None, "{decision:?}");
        assert!(!world.roster.see(seen), "{decision:?}");
        assert_eq!(world.roster.removals_seen().count(), 0, "{decision:?}");
    }
}
