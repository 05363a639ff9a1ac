//! The log as it would go on: what nobody has ordered yet is built on, and changes nothing.

use super::*;
use crate::trust::{fold::VoidReason, statement::Statement};

fn renew(serial: Serial, until: u64) -> Decision {
    Decision::Renew(schema::Renew { serial: serial.get(), not_after: at(until).as_micros() })
}

#[test]
fn of_two_decisions_about_one_member_the_second_goes_in_only_if_it_builds_on_the_first() {
    let mut world = World::new();
    let serial = world.issue(1, Some(Role::Publisher), 1);
    let issued = world.last.get(&member(1)).copied();
    let stated = |world: &mut World, until, previous| {
        let signed = world.statement(renew(serial, until), previous, &[11], 2);
        (Statement::decode(&signed.payload).unwrap(), signed)
    };
    let (first, first_signed) = stated(&mut world, 500, issued);
    let (blind, _) = stated(&mut world, 600, issued);
    let (second, second_signed) = stated(&mut world, 600, Some(first.id));
    // Each alone would go in, or would not.
    assert_eq!((world.roster.preview(&first), world.roster.preview(&blind)), (Ok(()), Ok(())));
    assert_eq!(world.roster.preview(&second), Err(VoidReason::NotLatest));
    let mut ahead = world.roster.ahead();
    assert_eq!(ahead.latest(member(1)), issued);
    ahead.take(&first).unwrap();
    assert_eq!(ahead.latest(member(1)), Some(first.id));
    // What is refused leaves nothing behind.
    assert_eq!(ahead.take(&blind), Err(VoidReason::NotLatest));
    assert_eq!(ahead.take(&first), Err(VoidReason::Repeated));
    assert_eq!(ahead.latest(member(1)), Some(first.id));
    ahead.take(&second).unwrap();
    assert_eq!((ahead.latest(member(1)), ahead.latest(member(2))), (Some(second.id), None));
    // The roster knows nothing of it, and folds the same once both are ordered.
    assert_eq!(world.roster.certificate(serial).unwrap().not_after, at(365));
    for signed in [first_signed, second_signed] {
        let record = world.ordered(signed, 21);
        world.take(&record).unwrap();
    }
    assert!(world.roster.voids().is_empty());
    assert_eq!(world.roster.certificate(serial).unwrap().not_after, at(600));
}

#[test]
fn two_certificates_for_one_request_do_not_go_in_together() {
    let mut world = World::new();
    let mut stated = |n: u8| {
        let body = schema::CertificateBody { member: member(n).to_vec(), ..body(1, Some(Role::Reader)) };
        let issue = Decision::Issue(schema::Issue { certificate: Some(body) });
        Statement::decode(&world.statement(issue, None, &[11], 1).payload).unwrap()
    };
    let (one, other) = (stated(1), stated(2));
    let mut ahead = world.roster.ahead();
    ahead.take(&one).unwrap();
    assert_eq!(ahead.take(&other), Err(VoidReason::KeyReused));
}
