//! Changed data of a member, with the same keys.

use super::*;
use crate::{
    notice::{Act, Occasion, owed},
    trust::{
        amendment_request::{AmendmentError, AmendmentRequest, Overtaken},
        certificate::CertificateError,
        roster::{Conflict, VoidReason},
    },
};

const CIRCLE: GroupId = GroupId::new(2);

fn organisation(name: &str, classes: &[EntityClass]) -> schema::Organisation {
    schema::Organisation {
        name: name.to_owned(),
        classes: classes.iter().map(|class| i32::from(*class)).collect(),
        ..Default::default()
    }
}

fn amend(world: &mut World, n: u8, organisation: schema::Organisation, day: u64) -> Result<(), VoidReason> {
    let wanted = schema::Amend { member: member(n).to_vec(), organisation: Some(organisation) };
    let entry = world.decide(member(n), Decision::Amend(wanted), &[11], day);
    let void = world.roster.voids().iter().find(|void| void.height.get() == entry.get());
    void.map_or(Ok(()), |void| Err(void.reason.clone()))
}

fn entitle(world: &mut World, n: u8, serial: Serial, group: GroupId, day: u64) {
    let groups = vec![schema::GroupRole { group: group.get(), role: Role::Reader.into() }];
    world.decide(member(n), Decision::Entitle(schema::Entitle { serial: serial.get(), groups }), &[11], day);
}

#[test]
fn changed_data_stand_in_every_certificate_that_is_not_over_and_change_nothing_else() {
    let mut world = World::new();
    let first = world.issue(1, Some(Role::Publisher), 1);
    let fresh = schema::CertificateBody { member: member(1).to_vec(), ..body(2, Some(Role::Publisher)) };
    let supersede = schema::Supersede { serial: first.get(), certificate: Some(fresh), cut: vec![] };
    let second = world.decide(member(1), Decision::Supersede(supersede), &[11], 2);
    let further = schema::CertificateBody { member: member(1).to_vec(), ..body(3, Some(Role::Reader)) };
    let third =
        world.decide(member(1), Decision::Issue(schema::Issue { certificate: Some(further) }), &[11], 3);
    let before: Vec<_> = world.roster.certificates().cloned().collect();

    let merged = schema::Organisation {
        kbo: "0123456789".into(),
        supplier_of: vec!["Grid".into()],
        ..organisation("Merged", &[EntityClass::Important])
    };
    assert_eq!(amend(&mut world, 1, merged.clone(), 4), Ok(()));
    let name = |serial| world.roster.certificate(serial).unwrap().organisation.name.clone();
    assert_eq!(
        (name(first), name(second), name(third)),
        ("Organisation 1".to_owned(), "Merged".to_owned(), "Merged".to_owned())
    );
    assert_eq!(world.roster.member(member(1)).unwrap().organisation, merged);
    for was in &before {
        let is = world.roster.certificate(was.serial).unwrap();
        let organisation = is.organisation.clone();
        assert_eq!(*is, crate::trust::certificate::Certificate { organisation, ..was.clone() });
    }
    assert_eq!(world.roster.entitled_since(member(1), CIDR).unwrap().at, at(1), "without a break");
    // An auditor who asks for the day before is told what was so then, and by which entries what is so now.
    let named = |day| world.roster.members_at(CIDR, at(day))[0].organisation.name.clone();
    assert_eq!((named(3), named(4)), ("Organisation 2".to_owned(), "Merged".to_owned()));
    assert!(world.roster.decisions_about(third, at(4)).contains(&Height::new(4)));
    assert_eq!(world.roster.decisions_about(first, at(3)), [Height::new(1), Height::new(2)]);

    assert_eq!(amend(&mut world, 1, merged, 5), Err(VoidReason::Unchanged));
}

#[test]
fn what_no_certificate_could_say_is_void_and_so_is_a_change_of_who_is_gone_or_unknown() {
    let mut world = World::new();
    let serial = world.issue(1, Some(Role::Publisher), 1);
    let essential = [EntityClass::Essential];
    let nameless = amend(&mut world, 1, organisation(" ", &essential), 2);
    assert!(matches!(nameless, Err(VoidReason::Amendment(CertificateError::Field { .. }))), "{nameless:?}");
    assert!(matches!(amend(&mut world, 1, organisation("x", &[]), 2), Err(VoidReason::Amendment(_))));
    assert_eq!(amend(&mut world, 2, organisation("x", &essential), 2), Err(VoidReason::UnknownSubject));
    // Whatever it says it follows.
    world.last.insert(member(2), StatementId::new([9; 32]));
    assert_eq!(amend(&mut world, 2, organisation("x", &essential), 2), Err(VoidReason::UnknownSubject));
    let revoke = Decision::Revoke(schema::Revoke {
        serial: serial.get(),
        member: member(1).to_vec(),
        reason: schema::RevocationReason::Left.into(),
        decided: at(3).as_micros(),
        effective: at(10).as_micros(),
        cut: vec![],
    });
    world.decide(member(1), revoke, &[11, 12], 3);
    // It is a member until then.
    assert_eq!(amend(&mut world, 1, organisation("Until then", &essential), 9), Ok(()));
    let gone = amend(&mut world, 1, organisation("Too late", &essential), 10);
    assert_eq!(gone, Err(VoidReason::State(Conflict::NoneLeft)));
}

#[test]
fn a_class_that_a_group_needs_goes_only_after_the_group_and_comes_back_as_a_new_beginning() {
    let mut world = World::new();
    let serial = world.issue(1, Some(Role::Publisher), 1);
    let both = [EntityClass::Essential, EntityClass::Financial];
    assert_eq!(amend(&mut world, 1, organisation("Bank", &both), 2), Ok(()));
    entitle(&mut world, 1, serial, CIRCLE, 3);
    assert!(world.roster.role(serial, CIRCLE, at(3)).is_some());
    let plain = organisation("Bank", &[EntityClass::Essential]);
    assert_eq!(
        amend(&mut world, 1, plain.clone(), 4),
        Err(VoidReason::Amendment(CertificateError::NotAdmitted("circle".into())))
    );
    let disentitle = schema::Disentitle { serial: serial.get(), groups: vec![CIRCLE.get()], cut: Vec::new() };
    world.decide(member(1), Decision::Disentitle(disentitle), &[11], 5);
    assert_eq!(amend(&mut world, 1, plain, 6), Ok(()));

    // A group that a new charter closed to it is no obstacle; one that the new data open again is entered then.
    let essential = world.issue(2, Some(Role::Reader), 7);
    let mut narrowed = draft();
    narrowed.groups[0].admits = vec![EntityClass::Financial];
    let pin = world.roster.version();
    let keys = root_keys(&[11, 12, 13], 21);
    let next = narrowed.to_next_charter(world.roster.charters(), &keys, pin, at(8)).unwrap();
    let coalition = world.roster.coalition();
    let next = signed::sign(next.encode_to_vec(), Purpose::Charter, coalition, &[&key(1), &key(2)]);
    world.roster.apply_charter(next).unwrap();
    assert_eq!(world.roster.role(essential, CIDR, at(9)), None);
    assert_eq!(amend(&mut world, 2, organisation("New name", &[EntityClass::Essential]), 9), Ok(()));
    assert_eq!(world.roster.entitled_since(member(2), CIDR).unwrap().at, at(7));
    assert_eq!(amend(&mut world, 2, organisation("New name", &[EntityClass::Financial]), 10), Ok(()));
    assert!(world.roster.role(essential, CIDR, at(10)).is_some());
    assert_eq!(world.roster.entitled_since(member(2), CIDR).unwrap().at, at(10));
}

#[test]
fn who_was_a_supervisor_waits_for_what_was_kept_from_it_like_a_new_reader() {
    let supervisor = schema::Organisation {
        capacity: schema::Capacity::Supervisor.into(),
        ..organisation("Authority", &[EntityClass::Authority])
    };
    let csirt = schema::Organisation { capacity: schema::Capacity::Csirt.into(), ..supervisor.clone() };
    let mut world = World::new();
    let asked =
        schema::CertificateBody { organisation: Some(supervisor.clone()), ..body(1, Some(Role::Reader)) };
    let serial =
        world.decide(member(1), Decision::Issue(schema::Issue { certificate: Some(asked) }), &[11], 1);
    let reads = |world: &World, audience| world.roster.readers(CIDR, audience, at(9)).len();
    let since = |world: &World| world.roster.entitled_since(member(1), CIDR).unwrap().at;
    assert_eq!(reads(&world, Audience::WithoutSupervisors), 0);
    assert_eq!(amend(&mut world, 1, csirt.clone(), 5), Ok(()));
    assert_eq!(
        (reads(&world, Audience::WithoutSupervisors), since(&world)),
        (1, at(5)),
        "new keys are no way around"
    );
    // The other way it keeps what it has, and loses what comes.
    assert_eq!(amend(&mut world, 1, supervisor, 6), Ok(()));
    assert_eq!((reads(&world, Audience::WithoutSupervisors), since(&world)), (0, at(5)));
    let fresh = schema::CertificateBody {
        member: member(1).to_vec(),
        organisation: Some(csirt),
        ..body(2, Some(Role::Reader))
    };
    let supersede = schema::Supersede { serial: serial.get(), certificate: Some(fresh), cut: vec![] };
    world.decide(member(1), Decision::Supersede(supersede), &[11], 7);
    assert_eq!((reads(&world, Audience::WithoutSupervisors), since(&world)), (1, at(7)));
}

#[test]
fn who_is_no_supervisor_in_one_group_waits_there_and_in_another_once_it_is_none_there_either() {
    let classes = [EntityClass::Authority, EntityClass::Financial];
    let supervisor = schema::Organisation {
        capacity: schema::Capacity::Supervisor.into(),
        ..organisation("Authority", &classes)
    };
    let plain = organisation("Authority", &classes);
    let node = |n: u8, group: GroupId, said: &schema::Organisation| schema::CertificateBody {
        member: member(1).to_vec(),
        organisation: Some(said.clone()),
        groups: vec![schema::GroupRole { group: group.get(), role: Role::Reader.into() }],
        ..body(n, Some(Role::Reader))
    };
    let issue = |body| Decision::Issue(schema::Issue { certificate: Some(body) });
    let mut world = World::new();
    let first = world.decide(member(1), issue(node(1, CIDR, &supervisor)), &[11], 1);
    world.decide(member(1), issue(node(2, CIRCLE, &supervisor)), &[11], 2);
    let since = |world: &World| {
        [CIDR, CIRCLE].map(|group| world.roster.entitled_since(member(1), group).map(|since| since.at))
    };
    assert_eq!(since(&world), [Some(at(1)), Some(at(2))]);

    let certificate = Some(node(3, CIDR, &plain));
    let supersede = schema::Supersede { serial: first.get(), certificate, cut: vec![] };
    world.decide(member(1), Decision::Supersede(supersede), &[11], 5);
    assert_eq!(since(&world), [Some(at(5)), Some(at(2))], "in the other group it supervises still");
    assert_eq!(amend(&mut world, 1, plain.clone(), 50), Ok(()));
    assert_eq!(since(&world), [Some(at(5)), Some(at(50))], "and it was no supervisor in the first one");
    assert_eq!(world.roster.readers(CIRCLE, Audience::WithoutSupervisors, at(50)).len(), 1);

    // A second node in a group frees the member there, and only there.
    assert_eq!(amend(&mut world, 1, supervisor, 60), Ok(()));
    world.decide(member(1), issue(node(4, CIRCLE, &plain)), &[11], 70);
    assert_eq!(since(&world), [Some(at(5)), Some(at(70))]);
}

#[test]
fn changed_data_owe_no_notice_and_a_class_under_another_act_owes_that_ones() {
    let mut world = World::new();
    world.issue(1, Some(Role::Publisher), 1);
    let told = |world: &World| {
        owed(&world.roster).into_iter().map(|o| (o.act, o.occasion, o.effective)).collect::<Vec<_>>()
    };
    let first = (Act::Nis2, Occasion::Entering, at(1));
    assert_eq!(told(&world), [first]);
    let mut bank = organisation("Another name", &[EntityClass::Important]);
    bank.supplier_of = vec!["Grid".into()];
    assert_eq!(amend(&mut world, 1, bank.clone(), 2), Ok(()));
    assert_eq!(told(&world), [first], "another class of the same act is no new participation");
    bank.classes = vec![EntityClass::Financial.into(), EntityClass::Important.into()];
    assert_eq!(amend(&mut world, 1, bank, 3), Ok(()));
    assert_eq!(told(&world), [first, (Act::Dora, Occasion::Entering, at(3))]);
}

/// What member 1 asks for on day 10, by the log as it is.
fn request(world: &World, name: &str) -> AmendmentRequest {
    AmendmentRequest {
        coalition: world.roster.coalition(),
        member: member(1),
        organisation: organisation(name, &[EntityClass::Essential]),
        made: at(10),
        roster: world.roster.version(),
    }
}

#[test]
fn a_request_is_the_members_own_word_while_its_key_is_certified() {
    let mut world = World::new();
    let one = world.issue(1, Some(Role::Publisher), 1);
    world.issue(2, Some(Role::Publisher), 1);
    let request = request(&world, "Asked");
    let signed = request.sign(&key(101)).unwrap();
    let open = |signed: &schema::Signed, roster: &Roster| AmendmentRequest::open(signed, roster, at(10));
    assert_eq!(open(&signed, &world.roster), Ok(request.clone()));
    for (what, wrong) in [
        ("another member", request.sign(&key(102)).unwrap()),
        ("the node key", request.sign(&key(151)).unwrap()),
        ("an admin", request.sign(&key(11)).unwrap()),
        ("nobody", schema::Signed { signatures: Vec::new(), ..signed.clone() }),
        (
            "the right key for another use",
            signed::sign(signed.payload.clone(), Purpose::Notice, request.coalition, &[&key(101)]),
        ),
    ] {
        assert!(matches!(open(&wrong, &world.roster), Err(AmendmentError::Signed(_))), "{what}");
    }
    let opened = |request: AmendmentRequest| open(&request.sign(&key(101)).unwrap(), &world.roster);
    let unknown = AmendmentRequest { member: member(9), ..request.clone() };
    assert_eq!(opened(unknown), Err(AmendmentError::UnknownMember(member(9))));
    let elsewhere = AmendmentRequest { coalition: crate::id::CoalitionId::new([9; 32]), ..request.clone() };
    assert!(matches!(opened(elsewhere), Err(AmendmentError::OtherCoalition(_))));
    // Neither one from days to come nor one that lay about for months is what the member says now.
    for (day, expected) in [
        (9, Err(AmendmentError::NotYet { made: at(11) })),
        (10, Ok(())),
        (101, Ok(())),
        (102, Err(AmendmentError::TooOld { made: at(11) })),
    ] {
        let asked = AmendmentRequest { made: at(11), ..request.clone() }.sign(&key(101)).unwrap();
        let opened = AmendmentRequest::open(&asked, &world.roster, at(day));
        assert_eq!(opened.map(|_| ()), expected, "on day {day}");
    }
    let height = |height| RosterVersion { height: Height::new(height), ..request.roster };
    let ahead = AmendmentRequest { roster: height(3), ..request.clone() };
    let expected = AmendmentError::Ahead { have: Height::new(2), found: Height::new(3) };
    assert_eq!(opened(ahead), Err(expected));
    let forked = AmendmentRequest { roster: height(1), ..request.clone() };
    assert_eq!(opened(forked), Err(AmendmentError::OtherBranch(Height::new(1))));

    // What no certificate may say is signed by nobody, and refused although it is signed.
    let nameless = AmendmentRequest { organisation: organisation(" ", &[EntityClass::Essential]), ..request };
    assert!(matches!(nameless.sign(&key(101)), Err(AmendmentError::Organisation(_))));
    let mut wire = schema::AmendmentRequest::decode(signed.payload.as_slice()).unwrap();
    wire.organisation = Some(nameless.organisation);
    let sign = |wire: &schema::AmendmentRequest| {
        signed::sign(wire.encode_to_vec(), Purpose::Amendment, world.roster.coalition(), &[&key(101)])
    };
    assert!(matches!(open(&sign(&wire), &world.roster), Err(AmendmentError::Organisation(_))));
    wire.organisation = None;
    assert!(matches!(open(&sign(&wire), &world.roster), Err(AmendmentError::Malformed(_))));

    // A suspended key speaks for nobody; afterwards one still sees what it had said.
    let suspend = Decision::Suspend(schema::Suspend { serial: one.get(), cut: vec![] });
    world.decide(member(1), suspend, &[11], 11);
    assert!(matches!(open(&signed, &world.roster), Err(AmendmentError::Signed(_))));
    assert!(AmendmentRequest::open_past(&signed, &world.roster).is_ok());
}

#[test]
fn a_request_that_the_data_have_overtaken_says_what_it_would_undo_and_is_granted_once() {
    let mut world = World::new();
    world.issue(1, Some(Role::Publisher), 1);
    world.issue(2, Some(Role::Publisher), 1);
    let said = world.roster.member(member(1)).unwrap().organisation.clone();
    let request = request(&world, "Asked");
    // What is decided of others, and of other things than the data, overtakes nothing.
    let renew = Decision::Renew(schema::Renew { serial: 1, not_after: at(4000).as_micros() });
    world.decide(member(1), renew, &[11], 11);
    assert_eq!(amend(&mut world, 2, organisation("Other", &[EntityClass::Essential]), 11), Ok(()));
    assert_eq!(request.overtaken(&world.roster), None);
    world.decide(member(1), request.decision(), &[11], 12);
    assert_eq!(world.roster.member(member(1)).unwrap().organisation, request.organisation);
    let granted = Overtaken { by: Height::new(5), was: said.clone() };
    assert_eq!(request.overtaken(&world.roster), Some(granted.clone()));
    // Taken back, it would take effect again; the log remembers.
    assert_eq!(amend(&mut world, 1, said, 13), Ok(()));
    assert_eq!(request.overtaken(&world.roster), Some(Overtaken { by: Height::new(6), ..granted }));
}
