//! What a next charter must not do to those who live under it, and what of it they are told.

use super::*;
use crate::{
    limits::MAX_TRANSMIT,
    schema::AcceptancePolicy,
    trust::{
        charter::Charter,
        charter_change::{Change, Lockout, changes, review, review_alone},
        charter_draft::GroupDraft,
    },
};

/// The next version of a draft, made on a day.
fn next(world: &World, draft: &Draft, day: u64) -> Charter {
    let (chain, pin) = (world.roster.charters(), world.roster.version());
    let wire = draft.to_next_charter(chain, &root_keys(&[11, 12, 13], 21), pin, at(day)).unwrap();
    Charter::check(&wire.encode_to_vec()).unwrap()
}

fn publish(world: &mut World, charter: &Charter) {
    let payload = charter.wire().encode_to_vec();
    let signed = signed::sign(payload, Purpose::Charter, world.roster.coalition(), &[&key(1), &key(2)]);
    world.roster.apply_charter(signed).unwrap();
}

fn new_rules(draft: &mut Draft) {
    draft.rules_of_conduct.version = "2.0".to_owned();
    draft.rules_of_conduct.hash = Some(hex::encode([6; 32]));
}

/// Two publishers, and one carrier, which is in no group.
fn world() -> World {
    let mut world = World::new();
    world.issue(1, Some(Role::Publisher), 1);
    world.issue(2, Some(Role::Publisher), 1);
    world.issue(3, None, 1);
    assert_eq!(world.roster.voids(), []);
    world
}

fn with_group(what: impl FnOnce(&mut GroupDraft)) -> Draft {
    let mut draft = draft();
    what(&mut draft.groups[0]);
    draft
}

#[test]
fn a_date_that_is_over_stops_nobody_at_once_whichever_version_brought_the_texts() {
    let mut world = world();
    // Version 2 has new texts, and asks nobody.
    let mut second = draft();
    new_rules(&mut second);
    let charter = next(&world, &second, 10);
    assert!(review(&world.roster, &charter, at(10)).is_ok());
    publish(&mut world, &charter);
    // Version 3 has the same texts, and a date.
    let third = |policy, day| {
        let mut third = second.clone();
        (third.accept_by, third.unaccepted) = (Some(at(day)), policy);
        third
    };
    for policy in [AcceptancePolicy::StopPublishing, AcceptancePolicy::Suspend] {
        let over = next(&world, &third(policy, 19), 20);
        let refused = Lockout::AcceptBy { by: at(19), members: 2 };
        assert_eq!(review(&world.roster, &over, at(20)), Err(refused), "{policy:?}");
        // A holder has no log at hand, and is told what there is to ask.
        let told = review_alone(&over, at(20)).unwrap();
        assert!(told.iter().any(|text| text.contains("is over: from the first moment")), "{told:?}");
    }
    let warning = next(&world, &third(AcceptancePolicy::Warn, 19), 20);
    assert!(review(&world.roster, &warning, at(20)).is_ok(), "nobody is stopped by a warning");
    let charter = next(&world, &third(AcceptancePolicy::StopPublishing, 30), 20);
    let told = review(&world.roster, &charter, at(20)).unwrap();
    let said = "2 members must accept its texts";
    assert!(told.iter().any(|text| text.contains(said) && text.contains("Organisation 2")), "{told:?}");
    publish(&mut world, &charter);

    // Afterwards whoever is stopped already does not stop the next version, and is not stopped more by it.
    let same = next(&world, &third(AcceptancePolicy::StopPublishing, 30), 40);
    assert!(review(&world.roster, &same, at(40)).is_ok());
    let worse = next(&world, &third(AcceptancePolicy::Suspend, 30), 40);
    let refused = Lockout::AcceptBy { by: at(30), members: 2 };
    assert_eq!(review(&world.roster, &worse, at(40)), Err(refused));
}

#[test]
fn a_carrier_hides_nobody_who_would_be_shut_out() {
    let world = world();
    let nobody = next(&world, &with_group(|group| group.admits = vec![EntityClass::OutOfScope]), 10);
    assert_eq!(review(&world.roster, &nobody, at(10)), Err(Lockout::Everybody(2)));
    // A coalition that has no member in a group yet loses none.
    let mut founded = World::new();
    founded.issue(3, None, 1);
    let charter = next(&founded, &with_group(|group| group.admits = vec![EntityClass::OutOfScope]), 10);
    assert!(review(&founded.roster, &charter, at(10)).is_ok());
}

#[test]
fn publishing_is_not_shut_off_for_everybody_and_whom_it_is_shut_off_for_is_told() {
    let mut world = world();
    let stewards = with_group(|group| group.may_publish = Role::Steward);
    let charter = next(&world, &stewards, 10);
    assert_eq!(review(&world.roster, &charter, at(10)), Err(Lockout::Silence(2)));
    // With one steward it is allowed, and the other member is named.
    world.issue(4, Some(Role::Steward), 10);
    let charter = next(&world, &stewards, 11);
    let told = review(&world.roster, &charter, at(11)).unwrap();
    let said = "2 members could no longer publish in cidr (from steward on): Organisation 1, Organisation 2";
    assert!(told.iter().any(|text| text == said), "{told:?}");
    // In a group of several: nobody is left there, and elsewhere all go on.
    let mut more = draft();
    more.groups.push(GroupDraft { slug: "iam".to_owned(), ..more.groups[0].clone() });
    let charter = next(&world, &more, 12);
    publish(&mut world, &charter);
    let iam = GroupId::new(3);
    let groups = vec![schema::GroupRole { group: iam.get(), role: Role::Publisher.into() }];
    world.decide(member(1), Decision::Entitle(schema::Entitle { serial: 1, groups }), &[11], 13);
    assert_eq!(world.roster.voids(), []);
    more.groups[2].may_publish = Role::Steward;
    let told = review(&world.roster, &next(&world, &more, 14), at(14)).unwrap();
    let said = "nobody could publish in iam any more, where nobody is steward: Organisation 1";
    assert!(told.iter().any(|text| text == said), "{told:?}");
}

#[test]
fn a_quota_that_no_message_fits_is_refused_wherever_it_is_looked_at() {
    let world = world();
    let least = MAX_TRANSMIT as u64;
    for bytes in [1, least - 1] {
        let charter = next(&world, &with_group(|group| group.bytes_per_hour = bytes), 10);
        let refused = Lockout::Bytes { slug: "cidr".to_owned(), bytes };
        assert_eq!(review(&world.roster, &charter, at(10)), Err(refused.clone()));
        assert_eq!(
            review_alone(&charter, at(10)),
            Err(refused),
            "a holder has no log, and needs none for it"
        );
    }
    let charter = next(&world, &with_group(|group| group.bytes_per_hour = least), 10);
    assert!(review(&world.roster, &charter, at(10)).is_ok());
}

#[test]
fn a_new_group_is_told_with_all_its_rules_and_no_difference_is_rounded_away() {
    let world = world();
    let old = world.roster.charter();
    let mut more = draft();
    let mut quantum = GroupDraft { slug: "quantum".to_owned(), ..more.groups[0].clone() };
    (quantum.may_publish, quantum.admits) = (Role::Reader, vec![EntityClass::Academic]);
    more.groups.push(quantum);
    let told = changes(old, &next(&world, &more, 10));
    for (what, after) in [
        ("group", "quantum (number 3)"),
        ("admits of quantum", "academic"),
        ("may_publish of quantum", "reader"),
        ("history of quantum", "all"),
        ("bytes_per_hour of quantum", "67108864"),
    ] {
        let is_told = |change: &&Change| change.what == what && change.after == after;
        assert_eq!(told.iter().filter(is_told).count(), 1, "{what}: {told:?}");
    }
    // Whoever makes the bytes may make them by other means than a draft.
    let mut wire = next(&world, &draft(), 10).wire().clone();
    wire.grant_delay_s -= 1;
    let told = changes(old, &Charter::check(&wire.encode_to_vec()).unwrap());
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0].what.as_str(), told[0].after.as_str()), ("grant_delay_h", "86399 s"));
}
