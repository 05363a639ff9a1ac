//! Accepting the coalition's texts, and leaving it: what a member signs itself.

use super::*;
use crate::{
    crypto::hash,
    notice::{Occasion, owed},
    schema::AcceptancePolicy,
    trust::{
        acceptance::{self, AcceptanceError},
        charter_change::{Lockout, review},
        departure::{Departure, DepartureError},
        fold::{Conflict, VoidReason},
        statement::{BeforeDecision, Statement},
    },
};

const DUE: u64 = 20;

/// What is wrong, for whom it is filed, what was signed, and how that is called.
type Wrong = (&'static str, Serial, schema::Signed, fn(&VoidReason) -> bool);

/// A charter with new rules, made on day 10, to be accepted by [`DUE`].
fn new_rules(world: &World, policy: AcceptancePolicy, accept_by: Option<u64>) -> schema::Charter {
    let mut draft = draft();
    draft.rules_of_conduct.version = "2.0".to_owned();
    draft.rules_of_conduct.hash = Some(hex::encode([6; 32]));
    draft.accept_by = accept_by.map(at);
    draft.unaccepted = policy;
    let (chain, pin) = (world.roster.charters(), world.roster.version());
    draft.to_next_charter(chain, &root_keys(&[11, 12, 13], 21), pin, at(10)).unwrap()
}

fn publish(world: &mut World, charter: &schema::Charter) {
    let coalition = world.roster.coalition();
    let signed = signed::sign(charter.encode_to_vec(), Purpose::Charter, coalition, &[&key(1), &key(2)]);
    world.roster.apply_charter(signed).unwrap();
}

/// Members 1 and 2, of whom 1 has two nodes, under new rules.
fn world(policy: AcceptancePolicy) -> (World, [Serial; 3]) {
    let mut world = World::new();
    let one = world.issue(1, Some(Role::Publisher), 1);
    let two = world.issue(2, Some(Role::Publisher), 1);
    let second = schema::CertificateBody { member: member(1).to_vec(), ..body(3, Some(Role::Publisher)) };
    let issue = Decision::Issue(schema::Issue { certificate: Some(second) });
    let second = world.decide(member(1), issue, &[11], 2);
    let charter = new_rules(&world, policy, Some(DUE));
    publish(&mut world, &charter);
    (world, [one, second, two])
}

fn accept(serial: Serial, signed: schema::Signed) -> Decision {
    Decision::Accept(schema::Accept { serial: serial.get(), acceptance: Some(signed) })
}

/// Whether a certificate reads, and whether it publishes, at a time.
fn may(world: &World, serial: Serial, when: Timestamp) -> (bool, bool) {
    let reads = world.roster.readers(CIDR, Audience::Group, when).iter().any(|r| r.serial == serial);
    (reads, world.roster.may_publish(serial, CIDR, when))
}

#[test]
fn new_rules_ask_everybody_and_from_their_date_on_the_charters_consequence_holds() {
    let before = Timestamp::from_micros(at(DUE).as_micros() - 1);
    for (policy, expected) in [
        (AcceptancePolicy::Warn, (true, true)),
        (AcceptancePolicy::StopPublishing, (true, false)),
        (AcceptancePolicy::Suspend, (false, false)),
    ] {
        let (mut world, [one, second, two]) = world(policy);
        for serial in [one, second, two] {
            assert_eq!(may(&world, serial, before), (true, true), "{policy:?}: nobody is stopped before");
            assert_eq!(may(&world, serial, at(DUE)), expected, "{policy:?}");
        }
        assert!(world.roster.is_admitted(&node(1), at(DUE)), "it must still hear of the log");
        assert_eq!(
            world.roster.may_withdraw(one, CIDR, at(DUE)),
            policy != AcceptancePolicy::Suspend,
            "{policy:?}: taking back is publishing's remedy"
        );
        // One node of a member speaks for all of them; accepting late mends as well.
        let signed = acceptance::sign(world.roster.charter(), &key(101), at(DUE + 1));
        let recorded = world.decide(member(1), accept(one, signed), &[12], DUE + 2);
        assert_eq!(world.roster.voids(), []);
        for serial in [one, second] {
            assert_eq!(may(&world, serial, at(DUE + 2)), (true, true), "{policy:?}");
        }
        assert_eq!(may(&world, two, at(DUE + 2)), expected, "{policy:?}: nobody accepts for another");
        let accepted = world.roster.member(member(1)).unwrap().accepted.last().unwrap();
        assert_eq!((accepted.at, accepted.recorded.get()), (at(DUE + 1), recorded.get()));
        assert!(accepted.is_of(world.roster.charter()));
        // Who comes later accepted with the request.
        let mut body = body(4, Some(Role::Publisher));
        body.rules_version = "2.0".to_owned();
        let issue = Decision::Issue(schema::Issue { certificate: Some(body) });
        let four = world.decide(member(4), issue, &[11], DUE + 3);
        assert_eq!(may(&world, four, at(DUE + 4)), (true, true), "{policy:?}");
        // What was true then stays true for an auditor.
        let then = world.roster.as_of(at(DUE));
        assert!(!then.has_accepted(member(1), then.charter()));
        assert!(owed(&world.roster).iter().all(|notice| notice.occasion == Occasion::Entering));
    }
}

#[test]
fn an_acceptance_counts_by_the_members_own_key_for_the_texts_in_force_and_once() {
    let (mut world, [one, _, two]) = world(AcceptancePolicy::Suspend);
    let old = world.roster.charters().version(1).unwrap().clone();
    let now = world.roster.charter().clone();
    let good = acceptance::sign(&now, &key(101), at(11));
    let mut elsewhere = new_rules(&world, AcceptancePolicy::Suspend, Some(DUE));
    (elsewhere.coalition, elsewhere.version) = (vec![9; 32], 7);
    let elsewhere = crate::trust::charter::Charter::check(&elsewhere.encode_to_vec()).unwrap();
    let stripped = schema::Signed { signatures: Vec::new(), ..good.clone() };
    let table: [Wrong; 7] = [
        ("of the old texts", one, acceptance::sign(&old, &key(101), at(11)), |r| {
            matches!(r, VoidReason::Acceptance(AcceptanceError::OtherText("the rules of conduct")))
        }),
        ("by another member", one, acceptance::sign(&now, &key(102), at(11)), |r| {
            matches!(r, VoidReason::Acceptance(AcceptanceError::Signed(_)))
        }),
        ("by the node key", one, acceptance::sign(&now, &key(151), at(11)), |r| {
            matches!(r, VoidReason::Acceptance(AcceptanceError::Signed(_)))
        }),
        ("by nobody", one, stripped, |r| matches!(r, VoidReason::Acceptance(AcceptanceError::Signed(_)))),
        ("filed for another", two, good.clone(), |r| {
            matches!(r, VoidReason::Acceptance(AcceptanceError::Signed(_)))
        }),
        ("to another coalition", one, acceptance::sign(&elsewhere, &key(101), at(11)), |r| {
            matches!(r, VoidReason::Acceptance(AcceptanceError::OtherCoalition(_)))
        }),
        ("of no bytes", one, schema::Signed::default(), |r| matches!(r, VoidReason::Acceptance(_))),
    ];
    for (what, serial, signed, expected) in table {
        let who = world.roster.certificate(serial).unwrap().member;
        world.decide(who, accept(serial, signed), &[11], 12);
        let void = world.roster.voids().last().unwrap();
        assert_eq!(void.height, world.roster.version().height, "{what}");
        assert!(expected(&void.reason), "{what}: {:?}", void.reason);
    }
    assert!(!world.roster.has_accepted(member(1), &now) && !world.roster.has_accepted(member(2), &now));

    // Filing is one admin's work, and no less; it takes nothing away, so it must know of what came before.
    let previous = world.last.get(&member(1)).copied();
    for admins in [&[][..], &[11, 11], &[99], &[21]] {
        let statement = world.statement(accept(one, good.clone()), previous, admins, 13);
        let record = world.ordered(statement, 21);
        assert!(matches!(world.take(&record), Err(LogError::Admins { .. })), "{admins:?}");
    }
    let stale = world.statement(accept(one, good.clone()), None, &[12], 13);
    let record = world.ordered(stale, 21);
    world.take(&record).unwrap();
    assert_eq!(world.roster.voids().last().unwrap().reason, VoidReason::NotLatest);
    let voids = world.roster.voids().len();
    world.decide(member(1), accept(one, good.clone()), &[12], 14);
    assert_eq!(world.roster.voids().len(), voids);
    world.decide(member(1), accept(one, good), &[12], 15);
    assert!(matches!(world.roster.voids().last().unwrap().reason, VoidReason::State(_)), "twice");
    let empty =
        world.statement(Decision::Accept(schema::Accept { serial: 1, acceptance: None }), None, &[12], 15);
    assert!(Statement::decode(&empty.payload).is_err());
}

#[test]
fn no_charter_gives_acceptance_a_threshold_or_a_consequence_without_a_date() {
    let mut world = World::new();
    world.issue(1, Some(Role::Publisher), 1);
    let charter = new_rules(&world, AcceptancePolicy::Warn, Some(DUE));
    for action in [schema::Action::Accept, schema::Action::Amend] {
        let mut listed = charter.clone();
        let row = schema::ActionThreshold { action: action.into(), threshold: 2 };
        listed.admins.as_mut().unwrap().thresholds.push(row);
        assert!(crate::trust::charter::Charter::check(&listed.encode_to_vec()).is_err());
    }
    assert!(crate::trust::charter::Charter::check(&charter.encode_to_vec()).is_ok());
    let mut dateless = new_rules(&world, AcceptancePolicy::Suspend, Some(DUE));
    dateless.accept_by = 0;
    assert!(crate::trust::charter::Charter::check(&dateless.encode_to_vec()).is_err());

    // New texts whose date is over would stop everybody at once; without a date nobody is asked.
    let checked = |accept_by| {
        let charter = new_rules(&world, AcceptancePolicy::StopPublishing, accept_by);
        crate::trust::charter::Charter::check(&charter.encode_to_vec()).unwrap()
    };
    let over = Lockout::AcceptBy { by: at(9), members: 1 };
    assert_eq!(review(&world.roster, &checked(Some(9)), at(10)), Err(over));
    let warned = review(&world.roster, &checked(Some(DUE)), at(10)).unwrap();
    assert!(warned.iter().any(|text| text.contains("belfry accept-rules")), "{warned:?}");
    let silent = new_rules(&world, AcceptancePolicy::Warn, None);
    let silent = crate::trust::charter::Charter::check(&silent.encode_to_vec()).unwrap();
    let warned = review(&world.roster, &silent, at(10)).unwrap();
    assert!(warned.iter().any(|text| text.contains("nobody is asked")), "{warned:?}");
}

/// Member 1 says on day 10 that it decided on day 5 to leave on day 30.
fn departure(world: &World) -> Departure {
    Departure {
        coalition: world.roster.coalition(),
        member: member(1),
        decided: at(5),
        effective: at(30),
        made: at(10),
    }
}

#[test]
fn a_departure_whose_dates_do_not_hold_together_is_signed_by_nobody() {
    let world = World::new();
    let good = departure(&world);
    let refused = |departure: Departure| departure.sign(&key(101)).unwrap_err();
    let early = Timestamp::from_micros(at(5).as_micros() - 1);
    assert_eq!(
        refused(Departure { effective: early, ..good }),
        DepartureError::BeforeDecision { effective: early, decided: at(5) }
    );
    assert!(matches!(refused(Departure { decided: at(11), ..good }), DepartureError::NotYetDecided { .. }));
    assert!(Departure { effective: at(5), ..good }.sign(&key(101)).is_ok(), "at once is a date, too");
}

#[test]
fn a_departure_is_the_members_own_word_while_its_key_is_certified() {
    let mut world = World::new();
    let one = world.issue(1, Some(Role::Publisher), 1);
    world.issue(2, Some(Role::Publisher), 1);
    let departure = departure(&world);
    let signed = departure.sign(&key(101)).unwrap();
    let open = |signed: &schema::Signed, roster: &Roster| Departure::open(signed, roster, at(10));
    assert_eq!(open(&signed, &world.roster), Ok(departure));
    for (what, wrong) in [
        ("another member", departure.sign(&key(102)).unwrap()),
        ("the node key", departure.sign(&key(151)).unwrap()),
        ("an admin", departure.sign(&key(11)).unwrap()),
        ("nobody", schema::Signed { signatures: Vec::new(), ..signed.clone() }),
        (
            "the right key for another use",
            signed::sign(signed.payload.clone(), Purpose::Contact, departure.coalition, &[&key(101)]),
        ),
    ] {
        assert!(matches!(open(&wrong, &world.roster), Err(DepartureError::Signed(_))), "{what}");
    }
    let unknown = Departure { member: member(9), ..departure }.sign(&key(101)).unwrap();
    assert_eq!(open(&unknown, &world.roster), Err(DepartureError::UnknownMember(member(9))));
    let elsewhere = Departure { coalition: crate::id::CoalitionId::new([9; 32]), ..departure };
    assert!(matches!(
        open(&elsewhere.sign(&key(101)).unwrap(), &world.roster),
        Err(DepartureError::OtherCoalition(_))
    ));
    // Bytes that say the effective date lies before the decision are refused although they are signed.
    let mut wire = schema::Departure::decode(signed.payload.as_slice()).unwrap();
    wire.effective = at(4).as_micros();
    let forged = signed::sign(wire.encode_to_vec(), Purpose::Notice, departure.coalition, &[&key(101)]);
    assert!(matches!(open(&forged, &world.roster), Err(DepartureError::BeforeDecision { .. })));
    // A suspended key speaks for nobody; afterwards one still sees what it had said.
    let suspend = Decision::Suspend(schema::Suspend { serial: one.get(), cut: vec![] });
    world.decide(member(1), suspend, &[11], 11);
    assert!(matches!(open(&signed, &world.roster), Err(DepartureError::Signed(_))));
    assert_eq!(Departure::open_past(&signed, &world.roster), Ok(departure));
}

#[test]
fn leaving_takes_effect_by_itself_at_its_moment_for_every_node_of_the_member() {
    let mut world = World::new();
    let first = world.issue(1, Some(Role::Publisher), 1);
    let second = schema::CertificateBody { member: member(1).to_vec(), ..body(3, Some(Role::Publisher)) };
    let issue = Decision::Issue(schema::Issue { certificate: Some(second) });
    let second = world.decide(member(1), issue, &[11], 2);
    let bob = world.issue(2, Some(Role::Publisher), 1);
    let departure = departure(&world);
    assert_eq!(departure.certificates(&world.roster), [first, second]);
    for serial in [first, second] {
        world.decide(member(1), departure.decision(serial, vec![]), &[11, 12], 12);
    }
    assert_eq!(world.roster.voids(), []);
    assert_eq!(departure.certificates(&world.roster), [], "nothing is left to record");

    let last = Timestamp::from_micros(at(30).as_micros() - 1);
    let made_for = world.roster.readers(CIDR, Audience::Group, last);
    for (serial, seed) in [(first, 1), (second, 3)] {
        assert_eq!(may(&world, serial, last), (true, true), "until then it is a member like any");
        assert!(world.roster.is_admitted(&node(seed), last));
        assert_eq!(may(&world, serial, at(30)), (false, false));
        assert!(!world.roster.is_admitted(&node(seed), at(30)));
        assert_eq!(world.roster.ends(serial), Some(at(30)));
    }
    assert_eq!(may(&world, bob, at(30)), (true, true));
    // What was published until then stays, without any cut.
    for (created, expected) in [(last, CutStatus::Open), (at(30), CutStatus::Beyond)] {
        let closure = world.roster.closure(first, CIDR, LogId::new([7; 32]));
        let height = world.roster.version().height;
        assert_eq!(closure.status(height, created, Sequence::new(1), MessageId::ZERO), expected);
    }
    // A key made for it is not used a moment longer.
    let usable = |now| {
        crate::envelope::grant_rule::key_is_usable(
            &made_for,
            &world.roster,
            CIDR,
            Audience::Group,
            at(29),
            now,
        )
    };
    assert!(usable(last) && !usable(at(30)));
    // Decided, effective and recorded are three dates.
    let notices = owed(&world.roster);
    let leaving: Vec<_> = notices.iter().filter(|n| n.occasion == Occasion::Leaving).collect();
    assert_eq!(leaving.len(), 1);
    let record = world.roster.records().find(|record| record.height == leaving[0].recorded).unwrap();
    assert_eq!((leaving[0].decided, leaving[0].effective, record.statement.made), (at(5), at(30), at(12)));
    let text =
        hash::statement_id(world.roster.coalition(), &record.record.statement.as_ref().unwrap().payload);
    assert_eq!(text, leaving[0].statement);
}

#[test]
fn an_end_before_its_decision_is_neither_signed_nor_ordered_and_counts_where_a_log_holds_it() {
    let mut world = World::new();
    let serial = world.issue(1, Some(Role::Publisher), 1);
    let ends = |day| {
        let Decision::Revoke(revoke) = revoke(1, serial, 5, vec![]) else { unreachable!() };
        Decision::Revoke(schema::Revoke { effective: at(day).as_micros(), ..revoke })
    };
    let previous = world.last.get(&member(1)).copied();
    let preview = |world: &mut World, day| {
        let signed = world.statement(ends(day), previous, &[11, 12], 6);
        world.roster.preview(&Statement::decode(&signed.payload).unwrap())
    };
    let dates = BeforeDecision { effective: at(4), decided: at(5) };
    assert_eq!(preview(&mut world, 4), Err(VoidReason::Dates(dates)));
    assert_eq!(preview(&mut world, 5), Ok(()), "at once is a date, too");
    // A log from before anybody asked means what it meant.
    world.decide(member(1), ends(4), &[11, 12], 6);
    assert_eq!(world.roster.voids(), []);
    assert_eq!(world.roster.standing(serial, at(4)), Standing::Revoked);
    let stated = world.roster.records().last().unwrap();
    assert_eq!(stated.statement.check_dates(), Err(dates));
}

#[test]
fn what_was_revoked_at_once_is_not_brought_back_by_an_announcement_of_before() {
    let mut world = World::new();
    let serial = world.issue(1, Some(Role::Publisher), 1);
    world.decide(member(1), revoke(1, serial, 6, vec![]), &[11, 12], 6);
    assert_eq!(world.roster.standing(serial, at(2)), Standing::Revoked, "by any clock");
    // Signed before, ordered afterwards, and of an earlier moment.
    world.decide(member(1), revoke(1, serial, 5, vec![]), &[11, 12], 3);
    assert_eq!(world.roster.voids(), []);
    assert_eq!(world.roster.ends(serial), Some(at(5)));
    assert_eq!(world.roster.standing(serial, at(2)), Standing::Revoked);
}

#[test]
fn an_end_announced_without_a_cut_for_what_is_over_already_is_neither_signed_nor_ordered() {
    let mut world = World::new();
    let serial = world.issue(1, Some(Role::Publisher), 1);
    let point = schema::CutPoint { log: vec![7; 32], sequence: 3, message: vec![8; 32] };
    let suspend = |cut: &[schema::CutPoint]| {
        Decision::Suspend(schema::Suspend { serial: serial.get(), cut: cut.to_vec() })
    };
    let preview = |world: &mut World, day, cut| {
        let signed = world.statement(revoke(1, serial, day, cut), None, &[11, 12], 3);
        world.roster.preview(&Statement::decode(&signed.payload).unwrap())
    };
    assert_eq!((world.roster.was_over(serial), preview(&mut world, 9, vec![])), (false, Ok(())));
    // Nothing is kept that it could hide.
    world.decide(member(1), suspend(&[]), &[11], 2);
    assert_eq!((world.roster.kept(serial), preview(&mut world, 9, vec![])), (vec![], Ok(())));
    let resume = Decision::Resume(schema::Resume { serial: serial.get() });
    world.decide(member(1), resume, &[11, 12], 2);
    assert!(!world.roster.was_over(serial));
    world.decide(member(1), suspend(std::slice::from_ref(&point)), &[11], 2);
    assert_eq!((world.roster.was_over(serial), world.roster.kept(serial)), (true, vec![point.clone()]));
    assert_eq!(preview(&mut world, 9, vec![]), Err(VoidReason::State(Conflict::Hides)));
    assert_eq!(preview(&mut world, 9, vec![point]), Ok(()));
    assert_eq!(preview(&mut world, 3, vec![]), Ok(()), "at once it reads as what it is");
    // A log from before anybody asked means what it meant.
    world.decide(member(1), revoke(1, serial, 9, vec![]), &[11, 12], 3);
    assert_eq!(world.roster.voids(), []);
    assert!(world.roster.was_over(serial));
}
