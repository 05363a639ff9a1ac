//! A next charter against everything that can be wrong with who signed it, what it follows and whose keys it names.

use super::*;

/// Root keys both needed, as many of the version before and of its own.
fn keys(root: [u8; 2], admins: &[u8], registrar: u8) -> RootKeys {
    RootKeys { root: root.map(|seed| key(seed).public()).to_vec(), ..root_keys(admins, registrar) }
}

/// Version 1 has roots 1 and 2; here 3 takes the place of 2, admin 14 of 13, and registrar 22 of 21.
fn second() -> RootKeys {
    keys([1, 3], &[11, 12, 14], 22)
}

fn founded(name: &str) -> World {
    let draft = Draft { name: Some(name.to_owned()), ..draft() };
    let charter = draft.to_charter(None, &root_keys(&[11, 12, 13], 21), at(0)).unwrap().encode_to_vec();
    let coalition = crate::id::CoalitionId::new(*crate::crypto::hash::charter_id(&charter).as_bytes());
    let signed = signed::sign(charter, Purpose::Charter, coalition, &[&key(1), &key(2)]);
    let roster = Roster::new(CharterChain::start(signed).unwrap());
    let mut world = World { roster, rng: StdRng::seed_from_u64(7), last: BTreeMap::new() };
    world.issue(1, Some(Role::Publisher), 1);
    world
}

fn next(world: &World, keys: &RootKeys) -> schema::Charter {
    let (charters, pin) = (world.roster.charters(), world.roster.version());
    draft().to_next_charter(charters, keys, pin, at(3)).unwrap()
}

fn by(world: &World, charter: &schema::Charter, holders: &[u8]) -> schema::Signed {
    let keys: Vec<SigningKey> = holders.iter().map(|seed| key(*seed)).collect();
    let keys: Vec<&SigningKey> = keys.iter().collect();
    signed::sign(charter.encode_to_vec(), Purpose::Charter, world.roster.coalition(), &keys)
}

/// Why it is not taken; whoever refuses it is where it was.
#[track_caller]
fn refused(world: &World, charter: schema::Signed) -> CharterError {
    let mut roster = world.roster.clone();
    let refused = roster.apply_charter(charter).unwrap_err();
    assert_eq!(roster.version(), world.roster.version());
    assert_eq!(roster.charter().id(), world.roster.charter().id());
    refused
}

/// The second version is in force.
fn changed() -> (World, schema::Signed) {
    let mut world = founded("Test Coalition");
    let second = by(&world, &next(&world, &second()), &[1, 2, 3]);
    world.roster.apply_charter(second.clone()).unwrap();
    (world, second)
}

#[test]
fn a_charter_is_taken_by_enough_holders_of_both_versions_and_by_nothing_less() {
    let world = founded("Test Coalition");
    let charter = next(&world, &second());
    for (what, holders, of, found) in [
        ("nobody", &[][..], 1, 0),
        ("below the threshold of the version before", &[1, 3][..], 1, 1),
        ("below its own threshold", &[1, 2][..], 2, 1),
    ] {
        let expected = CharterError::RootMissing { version: 2, of, found, needed: 2 };
        assert_eq!(refused(&world, by(&world, &charter, holders)), expected, "{what}");
    }
    let twice = refused(&world, by(&world, &charter, &[1, 2, 2]));
    let again = SignedError::Twice(key(2).public());
    assert_eq!(twice, CharterError::Signed { version: 2, error: again }, "one key counted twice");
    for (what, seed) in [("an admin", 11), ("the registrar", 21), ("the next one", 22), ("a stranger", 99)] {
        let error = SignedError::NotAllowed(key(seed).public());
        let found = refused(&world, by(&world, &charter, &[1, 2, 3, seed]));
        assert_eq!(found, CharterError::Signed { version: 2, error }, "{what} beside the holders");
    }
    let mut taken = world.roster.clone();
    taken.apply_charter(by(&world, &charter, &[3, 2, 1])).unwrap();
    assert_eq!(taken.charter().version(), 2);
}

#[test]
fn a_holder_whom_a_version_took_out_signs_no_later_one() {
    let (world, _) = changed();
    let third = next(&world, &second());
    for holders in [&[1, 2][..], &[1, 3, 2]] {
        let error = SignedError::NotAllowed(key(2).public());
        let found = refused(&world, by(&world, &third, holders));
        assert_eq!(found, CharterError::Signed { version: 3, error }, "{holders:?}");
    }
    let mut taken = world.roster.clone();
    taken.apply_charter(by(&world, &third, &[1, 3])).unwrap();
}

#[test]
fn a_charter_that_is_replayed_rolled_back_ahead_forked_or_anothers_is_refused_with_the_reason() {
    let (world, second_again) = changed();
    assert_eq!(refused(&world, second_again), CharterError::Version { have: 2, found: 2 }, "replayed");
    let first = world.roster.charters().signed()[0].clone();
    assert_eq!(refused(&world, first), CharterError::Version { have: 2, found: 1 }, "rolled back");
    let third = next(&world, &second());
    let ahead = schema::Charter { version: 4, ..third.clone() };
    let found = refused(&world, by(&world, &ahead, &[1, 3]));
    assert_eq!(found, CharterError::Version { have: 2, found: 4 }, "a gap");

    // Another second version, and a third one behind it.
    let before = founded("Test Coalition");
    let beside = schema::Charter { grant_delay_s: 1, ..next(&before, &second()) };
    let beside = by(&before, &beside, &[1, 2, 3]);
    assert_eq!(refused(&world, beside.clone()), CharterError::Version { have: 2, found: 2 }, "beside ours");
    let mut theirs = before;
    theirs.roster.apply_charter(beside).unwrap();
    let behind = by(&theirs, &next(&theirs, &second()), &[1, 3]);
    assert_eq!(refused(&world, behind), CharterError::Branch(3), "forked");

    let other = founded("Other Coalition");
    let elsewhere = by(&other, &next(&other, &second()), &[1, 2, 3]);
    let before = founded("Test Coalition");
    let expected = CharterError::OtherCoalition(other.roster.coalition());
    assert_eq!(refused(&before, elsewhere), expected, "another coalition's");
    // The same bytes as ours would have, signed for another coalition.
    let stolen =
        signed::sign(third.encode_to_vec(), Purpose::Charter, other.roster.coalition(), &[&key(1), &key(3)]);
    let error = SignedError::Bad(key(1).public());
    assert_eq!(refused(&world, stolen), CharterError::Signed { version: 3, error }, "signed for another");
}

#[test]
fn a_key_that_was_taken_out_never_returns_and_none_changes_its_role() {
    let (world, _) = changed();
    for (gone, keys) in [
        (2, keys([1, 2], &[11, 12, 14], 22)),
        (13, keys([1, 3], &[11, 12, 13], 22)),
        (21, keys([1, 3], &[11, 12, 14], 21)),
        // In no other role either.
        (2, keys([1, 3], &[11, 12, 14], 2)),
    ] {
        let found = refused(&world, by(&world, &next(&world, &keys), &[1, 3]));
        assert_eq!(found, CharterError::KeyReturns(key(gone).public()));
    }
    for (moved, keys) in [
        (11, keys([1, 11], &[12, 14], 22)),
        (3, keys([1, 4], &[11, 12, 3], 22)),
        (22, keys([1, 3], &[11, 12, 22], 23)),
    ] {
        let found = refused(&world, by(&world, &next(&world, &keys), &[1, 3]));
        assert_eq!(found, CharterError::TwoRoles(key(moved).public()));
    }
}

#[test]
fn a_charter_after_the_first_pins_the_log_it_goes_on_from() {
    let (world, _) = changed();
    let unpinned = schema::Charter { pin: None, ..next(&world, &second()) };
    let found = refused(&world, by(&world, &unpinned, &[1, 3]));
    assert!(matches!(found, CharterError::Malformed(_)), "{found}");
    assert!(found.to_string().contains("pin"), "{found}");
}
