//! The fold as claims: a small coalition whose admins and registrar do right and wrong.

mod actions;
mod ahead;
mod amendments;
mod charters;
mod lockouts;
mod on_sight;
mod past;
mod rules;

use std::collections::BTreeMap;

use proptest::prelude::*;
use prost::Message;
use rand::{SeedableRng, rngs::StdRng};

use super::{
    charter::{ACTIONS, CharterChain, CharterError},
    charter_draft::{Draft, RootKeys},
    cut::CutStatus,
    equivocation::{Equivocation, EquivocationError},
    log::{LogError, equivocation, order, verify_record},
    roster::{Roster, Standing},
    signed::{self, SignedError},
    statement::{Decision, propose},
};
use crate::{
    crypto::{
        hpke::KemSecret,
        sign::{PublicKey, Purpose, SigningKey},
    },
    id::{
        EntryId, GroupId, Height, LogId, MemberId, MessageId, RosterVersion, Sequence, Serial, StatementId,
    },
    schema::{self, Audience, EntityClass, Role},
    time::Timestamp,
};

const CIDR: GroupId = GroupId::new(1);

fn at(day: u64) -> Timestamp {
    Timestamp::from_micros((1_000 + day) * 24 * 3600 * 1_000_000)
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

/// Root 1..=2 (both needed), admins 11..=13 (two revoke, one does all else), registrar 21.
struct World {
    roster: Roster,
    rng: StdRng,
    last: BTreeMap<MemberId, StatementId>,
}

fn root_keys(admins: &[u8], registrar: u8) -> RootKeys {
    let mut thresholds: BTreeMap<schema::Action, u32> = ACTIONS.iter().map(|action| (*action, 1)).collect();
    thresholds.insert(schema::Action::Revoke, 2);
    RootKeys {
        root_threshold: 2,
        root: vec![key(1).public(), key(2).public()],
        admins: admins.iter().map(|seed| key(*seed).public()).collect(),
        admins_until: BTreeMap::new(),
        thresholds,
        registrar: key(registrar).public(),
    }
}

fn draft() -> Draft {
    let hash = hex::encode([5; 32]);
    serde_json::from_value(serde_json::json!({
        "name": "Test Coalition",
        "validity_days": 3650,
        "arrangement": { "version": "1.0", "link": "https://example.org/a", "hash": hash },
        "rules_of_conduct": { "version": "1.0", "link": "https://example.org/r", "hash": hash },
        "groups": [
            { "slug": "cidr", "name": "CIDR", "history": "all" },
            { "slug": "circle", "name": "Circle", "parent": "cidr", "admits": ["financial"], "history": "none" },
        ],
    }))
    .unwrap()
}

impl World {
    fn new() -> Self {
        let charter = draft().to_charter(None, &root_keys(&[11, 12, 13], 21), at(0)).unwrap().encode_to_vec();
        let coalition = crate::crypto::hash::charter_id(&charter);
        let coalition = crate::id::CoalitionId::new(*coalition.as_bytes());
        let signed = signed::sign(charter, Purpose::Charter, coalition, &[&key(1), &key(2)]);
        let roster = Roster::new(CharterChain::start(signed).unwrap());
        Self { roster, rng: StdRng::seed_from_u64(7), last: BTreeMap::new() }
    }

    fn statement(
        &mut self,
        decision: Decision,
        previous: Option<StatementId>,
        admins: &[u8],
        day: u64,
    ) -> schema::Signed {
        let (coalition, version) = (self.roster.coalition(), self.roster.charter().version());
        let payload = propose(coalition, decision, previous, version, at(day), &mut self.rng);
        let keys: Vec<SigningKey> = admins.iter().map(|seed| key(*seed)).collect();
        signed::sign(payload, Purpose::Statement, coalition, &keys.iter().collect::<Vec<_>>())
    }

    fn ordered(&self, statement: schema::Signed, registrar: u8) -> schema::Record {
        let RosterVersion { height, head } = self.roster.version();
        order(self.roster.coalition(), Height::new(height.get() + 1), head, statement, &key(registrar))
    }

    fn take(&mut self, record: &schema::Record) -> Result<(), LogError> {
        let verified = verify_record(self.roster.charters(), record)?;
        self.roster.apply(verified)
    }

    /// A decision about a member that goes through, or is void.
    fn decide(&mut self, member: MemberId, decision: Decision, admins: &[u8], day: u64) -> Serial {
        let previous = self.last.get(&member).copied();
        let statement = self.statement(decision, previous, admins, day);
        let id = crate::crypto::hash::statement_id(self.roster.coalition(), &statement.payload);
        let voids = self.roster.voids().len();
        let record = self.ordered(statement, 21);
        self.take(&record).unwrap();
        if self.roster.voids().len() == voids {
            self.last.insert(member, id);
        }
        Serial::new(self.roster.version().height.get())
    }

    fn issue(&mut self, n: u8, role: Option<Role>, day: u64) -> Serial {
        self.decide(
            member(n),
            Decision::Issue(schema::Issue { certificate: Some(body(n, role)) }),
            &[11],
            day,
        )
    }
}

fn member(n: u8) -> MemberId {
    MemberId::new([n; 16])
}

fn body(n: u8, role: Option<Role>) -> schema::CertificateBody {
    let kem = KemSecret::generate(&mut StdRng::seed_from_u64(u64::from(n)));
    schema::CertificateBody {
        member: member(n).to_vec(),
        organisation: Some(schema::Organisation {
            name: format!("Organisation {n}"),
            classes: vec![EntityClass::Essential.into()],
            ..Default::default()
        }),
        keys: Some(schema::MemberKeys {
            signing: key(100 + n).public().as_bytes().to_vec(),
            node: key(150 + n).public().as_bytes().to_vec(),
            kem: kem.public().as_bytes().to_vec(),
        }),
        groups: role
            .map(|role| schema::GroupRole { group: CIDR.get(), role: role.into() })
            .into_iter()
            .collect(),
        carrier: role.is_none(),
        validity: Some(schema::Validity { not_before: at(0).as_micros(), not_after: at(365).as_micros() }),
        arrangement_version: "1.0".to_owned(),
        rules_version: "1.0".to_owned(),
    }
}

fn revoke(n: u8, serial: Serial, day: u64, cut: Vec<schema::CutPoint>) -> Decision {
    Decision::Revoke(schema::Revoke {
        serial: serial.get(),
        member: member(n).to_vec(),
        reason: schema::RevocationReason::Left.into(),
        decided: at(day).as_micros(),
        effective: at(day).as_micros(),
        cut,
    })
}

fn node(n: u8) -> PublicKey {
    key(150 + n).public()
}

#[test]
fn an_issued_certificate_is_valid_until_it_expires() {
    let mut world = World::new();
    let serial = world.issue(1, Some(Role::Publisher), 1);
    let roster = &world.roster;
    assert_eq!(roster.standing(serial, at(2)), Standing::Valid);
    assert_eq!(roster.standing(serial, at(400)), Standing::Expired);
    assert!(roster.is_admitted(&node(1), at(2)) && !roster.is_admitted(&node(1), at(400)));
    assert!(roster.may_publish(serial, CIDR, at(2)));
    assert_eq!(roster.role(serial, GroupId::new(2), at(2)), None);
}

#[test]
fn a_revocation_needs_its_threshold_of_distinct_admins() {
    let mut world = World::new();
    let serial = world.issue(1, Some(Role::Publisher), 1);
    let previous = world.last.get(&member(1)).copied();
    for admins in [&[11][..], &[11, 11], &[11, 99], &[]] {
        let statement = world.statement(revoke(1, serial, 2, vec![]), previous, admins, 2);
        let record = world.ordered(statement, 21);
        assert!(matches!(world.take(&record), Err(LogError::Admins { .. })), "{admins:?}");
    }
    world.decide(member(1), revoke(1, serial, 2, vec![]), &[11, 12], 2);
    assert_eq!(world.roster.standing(serial, at(3)), Standing::Revoked);
    assert!(!world.roster.is_admitted(&node(1), at(3)));
    assert!(world.roster.readers(CIDR, Audience::Group, at(3)).is_empty());
}

#[test]
fn a_record_that_lost_a_signature_is_refused_and_not_counted_as_void() {
    let mut world = World::new();
    let serial = world.issue(1, Some(Role::Publisher), 1);
    let statement = world.statement(revoke(1, serial, 2, vec![]), None, &[11, 12], 2);
    let record = world.ordered(statement, 21);
    let mut stripped = record.clone();
    stripped.statement.as_mut().unwrap().signatures.pop();
    assert!(matches!(world.take(&stripped), Err(LogError::Admins { .. })));
    world.take(&record).unwrap();
    assert_eq!(world.roster.standing(serial, at(3)), Standing::Revoked);
}

/// A list of revoked hashes over bytes with their signatures would miss the same certificate in other bytes.
#[test]
fn a_revoked_certificate_stays_revoked_in_any_bytes_of_its_record_that_still_verify() {
    let mut world = World::new();
    let issue = Decision::Issue(schema::Issue { certificate: Some(body(1, Some(Role::Publisher))) });
    let statement = world.statement(issue, None, &[11], 1);
    let record = world.ordered(statement, 21);
    world.take(&record).unwrap();
    let serial = Serial::new(1);
    world.decide(member(1), revoke(1, serial, 2, vec![]), &[11, 12], 2);
    let coalition = world.roster.coalition();
    let mut more = record.clone();
    signed::add_signature(more.statement.as_mut().unwrap(), Purpose::Statement, coalition, &key(12));
    let mut turned = more.clone();
    turned.statement.as_mut().unwrap().signatures.reverse();
    let first = verify_record(world.roster.charters(), &record).unwrap();
    for other in [more, turned] {
        assert_ne!(other.encode_to_vec(), record.encode_to_vec());
        let verified = verify_record(world.roster.charters(), &other).unwrap();
        let called = (verified.entry_id, verified.statement.id);
        assert_eq!(called, (first.entry_id, first.statement.id), "ids cover no signature");
        assert!(world.take(&other).is_err(), "it has its place already");
        assert_eq!(world.roster.standing(serial, at(3)), Standing::Revoked);
        assert!(!world.roster.is_admitted(&node(1), at(3)));
    }
    // Ordered anew, it is another entry about keys that were certified once and are no more.
    let again = world.ordered(record.statement.clone().unwrap(), 21);
    let _ = world.take(&again);
    assert!(!world.roster.is_admitted(&node(1), at(3)));
    assert!(world.roster.readers(CIDR, Audience::Group, at(3)).is_empty());
}

#[test]
fn gaps_rollbacks_forks_and_other_registrars_are_refused() {
    let mut world = World::new();
    world.issue(1, Some(Role::Publisher), 1);
    let issue = Decision::Issue(schema::Issue { certificate: Some(body(2, Some(Role::Reader))) });
    let statement = world.statement(issue, None, &[11], 2);
    let coalition = world.roster.coalition();
    let RosterVersion { head, .. } = world.roster.version();
    let place = |height, prev| order(coalition, Height::new(height), prev, statement.clone(), &key(21));
    assert!(matches!(world.take(&place(3, head)), Err(LogError::Height { .. })));
    assert!(matches!(world.take(&place(1, EntryId::ZERO)), Err(LogError::Height { .. })));
    assert!(matches!(world.take(&place(2, EntryId::new([9; 32]))), Err(LogError::Fork(_))));
    let other = world.ordered(statement.clone(), 22);
    assert!(matches!(world.take(&other), Err(LogError::Registrar { .. })));
    world.take(&place(2, head)).unwrap();
    assert_eq!(world.roster.version().height, Height::new(2));
}

#[test]
fn two_entries_at_one_height_are_a_proof_against_the_registrar() {
    let mut world = World::new();
    let mut record = |n| {
        let issue = Decision::Issue(schema::Issue { certificate: Some(body(n, Some(Role::Reader))) });
        let statement = world.statement(issue, None, &[11], 1);
        verify_record(world.roster.charters(), &world.ordered(statement, 21)).unwrap()
    };
    let (one, other) = (record(1), record(2));
    assert_eq!(equivocation(&one, &one), None);
    assert_eq!(equivocation(&one, &other).unwrap().height, Height::new(1));
}

#[test]
fn a_proof_against_the_registrar_holds_by_the_charters_alone_and_says_when_it_is_settled() {
    let mut world = World::new();
    let mut record = |n, registrar| {
        let issue = Decision::Issue(schema::Issue { certificate: Some(body(n, Some(Role::Reader))) });
        let statement = world.statement(issue, None, &[11], 1);
        world.ordered(statement, registrar)
    };
    let (one, other, by_another) = (record(1, 21), record(2, 21), record(3, 22));
    let first = world.roster.charters().signed().to_vec();
    world.take(&one).unwrap();
    let pin = world.roster.version();
    let next =
        draft().to_next_charter(world.roster.charters(), &root_keys(&[11, 12, 13], 22), pin, at(8)).unwrap();
    let coalition = world.roster.coalition();
    let next = signed::sign(next.encode_to_vec(), Purpose::Charter, coalition, &[&key(1), &key(2)]);
    world.roster.apply_charter(next).unwrap();
    let both = world.roster.charters().signed().to_vec();

    let open = |charters: &[schema::Signed], records: &[&schema::Record]| {
        let records = records.iter().map(|record| (*record).clone()).collect();
        Equivocation::open(schema::LogFile { charters: charters.to_vec(), records })
    };
    let proof = open(&first, &[&one, &other]).unwrap();
    assert_eq!((proof.height(), proof.registrar), (Height::new(1), key(21).public()));
    assert_eq!(proof.settled_by(), None);
    assert_eq!(open(&both, &[&one, &other]).unwrap().settled_by(), Some(2));
    let refused =
        |charters: &[schema::Signed], records: &[&schema::Record]| open(charters, records).unwrap_err();
    assert_eq!(refused(&first, &[&one]), EquivocationError::NotTwo(1));
    assert_eq!(refused(&first, &[&one, &other, &other]), EquivocationError::NotTwo(3));
    assert!(matches!(refused(&first, &[&one, &one]), EquivocationError::NoContradiction(..)));
    assert!(matches!(refused(&[], &[&one, &other]), EquivocationError::Charter(_)));
    assert!(matches!(refused(&first, &[&one, &by_another]), EquivocationError::Record(_)));
    assert_eq!(refused(&both, &[&one, &by_another]), EquivocationError::TwoKeys(Height::new(1)));
    let stripped = schema::Record { statement: Some(schema::Signed::default()), ..other };
    assert!(matches!(refused(&first, &[&one, &stripped]), EquivocationError::Record(_)));
}

#[test]
fn a_statement_that_did_not_know_of_the_latest_is_void_unless_it_removes() {
    let mut world = World::new();
    let serial = world.issue(1, Some(Role::Publisher), 1);
    let renew =
        |until| Decision::Renew(schema::Renew { serial: serial.get(), not_after: at(until).as_micros() });
    let stale = world.statement(renew(500), None, &[11], 2);
    let record = world.ordered(stale, 21);
    world.take(&record).unwrap();
    assert_eq!(world.roster.voids().len(), 1);
    assert_eq!(world.roster.standing(serial, at(400)), Standing::Expired);
    world.decide(member(1), renew(500), &[11], 2);
    assert_eq!(world.roster.standing(serial, at(400)), Standing::Valid);
    let late = world.statement(revoke(1, serial, 3, vec![]), None, &[11, 13], 3);
    let record = world.ordered(late, 21);
    world.take(&record).unwrap();
    assert_eq!(world.roster.standing(serial, at(400)), Standing::Revoked);
}

#[test]
fn a_key_serves_one_certificate_for_ever() {
    let mut world = World::new();
    let serial = world.issue(1, Some(Role::Publisher), 1);
    world.decide(member(1), revoke(1, serial, 2, vec![]), &[11, 12], 2);
    let mut again = body(3, Some(Role::Publisher));
    again.keys = body(1, None).keys;
    world.decide(member(3), Decision::Issue(schema::Issue { certificate: Some(again) }), &[11], 3);
    assert_eq!(world.roster.voids().len(), 1);
    assert!(!world.roster.is_admitted(&node(1), at(4)));
}

#[test]
fn carriers_and_other_classes_read_nothing_and_supervisors_can_be_left_out() {
    let mut world = World::new();
    world.issue(1, Some(Role::Reader), 1);
    world.issue(2, None, 1);
    let mut supervisor = body(3, Some(Role::Reader));
    let organisation = supervisor.organisation.as_mut().unwrap();
    organisation.capacity = schema::Capacity::Supervisor.into();
    world.decide(member(3), Decision::Issue(schema::Issue { certificate: Some(supervisor) }), &[11], 1);
    let mut wrong_class = body(4, Some(Role::Reader));
    wrong_class.groups = vec![schema::GroupRole { group: 2, role: Role::Reader.into() }];
    world.decide(member(4), Decision::Issue(schema::Issue { certificate: Some(wrong_class) }), &[11], 1);
    let names = |audience| -> Vec<MemberId> {
        world.roster.readers(CIDR, audience, at(2)).into_iter().map(|reader| reader.member).collect()
    };
    assert_eq!(names(Audience::Group), [member(1), member(3)]);
    assert_eq!(names(Audience::WithoutSupervisors), [member(1)]);
    assert_eq!(names(Audience::Recipients), []);
    assert_eq!(world.roster.voids().len(), 1, "the circle does not admit that class");
}

#[test]
fn only_ancestors_of_a_cut_stay_and_extending_it_restores() {
    let mut world = World::new();
    let serial = world.issue(1, Some(Role::Publisher), 1);
    let (log, other) = (LogId::new([1; 32]), LogId::new([2; 32]));
    let id = |n| MessageId::new([n; 32]);
    let point = |sequence, n| schema::CutPoint { log: log.to_vec(), sequence, message: id(n).to_vec() };
    let status = |world: &World, log, sequence, n| {
        let closure = world.roster.closure(serial, CIDR, log);
        closure.status(Height::new(1), at(1), Sequence::new(sequence), id(n))
    };
    assert_eq!(status(&world, log, 9, 9), CutStatus::Open);
    world.decide(member(1), revoke(1, serial, 2, vec![point(5, 5)]), &[11, 12], 2);
    assert_eq!(status(&world, log, 5, 5), CutStatus::At);
    assert_eq!(status(&world, log, 5, 6), CutStatus::Beyond, "another message at the cut's place");
    assert_eq!(status(&world, log, 4, 4), CutStatus::BelowHeight);
    assert_eq!(status(&world, log, 6, 6), CutStatus::Beyond);
    assert_eq!(status(&world, other, 1, 1), CutStatus::Beyond, "a log the cut does not list");
    let extend = Decision::ExtendCut(schema::ExtendCut { serial: serial.get(), cut: vec![point(7, 7)] });
    world.decide(member(1), extend, &[11], 3);
    assert_eq!(status(&world, log, 6, 6), CutStatus::BelowHeight);
}

#[test]
fn a_departure_announced_for_later_brings_back_nothing_that_is_over() {
    for made in [3, 300] {
        let mut world = World::new();
        let suspended = world.issue(1, Some(Role::Publisher), 1);
        let suspend = Decision::Suspend(schema::Suspend { serial: suspended.get(), cut: vec![] });
        world.decide(member(1), suspend, &[12], 2);
        let superseded = world.issue(2, Some(Role::Publisher), 2);
        let fresh = schema::CertificateBody { member: member(2).to_vec(), ..body(3, Some(Role::Publisher)) };
        let supersede = Decision::Supersede(schema::Supersede {
            serial: superseded.get(),
            certificate: Some(fresh),
            cut: vec![],
        });
        world.decide(member(2), supersede, &[11], 2);
        for (n, serial) in [(1, suspended), (2, superseded)] {
            let mut later = revoke(n, serial, made, vec![]);
            let Decision::Revoke(revoke) = &mut later else { unreachable!() };
            revoke.effective = at(350).as_micros();
            world.decide(member(n), later, &[11, 12], made);
            for day in [3, 100, 349] {
                assert_eq!(
                    world.roster.standing(serial, at(day)),
                    Standing::Revoked,
                    "made {made}, day {day}"
                );
            }
            assert!(!world.roster.is_admitted(&node(n), at(100)));
        }
        assert_eq!(world.roster.entitled_since(member(1), CIDR), None);
        assert!(world.roster.voids().is_empty(), "{:?}", world.roster.voids());
    }
}

#[test]
fn an_announced_departure_can_be_brought_forward_and_not_put_off() {
    let mut world = World::new();
    let serial = world.issue(1, Some(Role::Publisher), 1);
    let effective = |world: &mut World, day| {
        let mut later = revoke(1, serial, 2, vec![]);
        let Decision::Revoke(revoke) = &mut later else { unreachable!() };
        revoke.effective = at(day).as_micros();
        world.decide(member(1), later, &[11, 12], 2);
    };
    effective(&mut world, 100);
    effective(&mut world, 50);
    assert_eq!(world.roster.standing(serial, at(49)), Standing::Valid);
    assert_eq!(world.roster.standing(serial, at(50)), Standing::Revoked);
    effective(&mut world, 200);
    assert_eq!(world.roster.standing(serial, at(60)), Standing::Revoked);
    assert_eq!(world.roster.voids().len(), 1);
}

/// Clocks that are behind within the skew are honest, and a holder with one must give no key for so long.
#[test]
fn a_revocation_holds_as_soon_as_it_is_known_whatever_a_clock_shows() {
    for (made, effective) in [(100, 100), (100, 90)] {
        let mut world = World::new();
        let serial = world.issue(1, Some(Role::Publisher), 1);
        let mut now = revoke(1, serial, 90, vec![]);
        let Decision::Revoke(revoke) = &mut now else { unreachable!() };
        revoke.effective = at(effective).as_micros();
        world.decide(member(1), now, &[11, 12], made);
        for behind in [at(1), at(89), at(99)] {
            assert_eq!(world.roster.standing(serial, behind), Standing::Revoked);
            assert!(!world.roster.is_admitted(&node(1), behind));
            assert!(world.roster.readers(CIDR, Audience::Group, behind).is_empty());
            assert_eq!(world.roster.announced_end(serial, behind), None);
        }
        assert_eq!(world.roster.ends(serial), Some(at(effective)), "the date is told all the same");
    }
    let mut world = World::new();
    let serial = world.issue(1, Some(Role::Publisher), 1);
    let mut later = revoke(1, serial, 90, vec![]);
    let Decision::Revoke(revoke) = &mut later else { unreachable!() };
    revoke.effective = at(101).as_micros();
    world.decide(member(1), later, &[11, 12], 100);
    assert_eq!(world.roster.standing(serial, at(100)), Standing::Valid, "an announced end waits");
    assert_eq!(world.roster.announced_end(serial, at(100)), Some(at(101)));
    assert_eq!(world.roster.standing(serial, at(101)), Standing::Revoked);
}

#[test]
fn whose_last_node_is_revoked_is_entitled_no_more_under_any_admins_clock() {
    let mut world = World::new();
    let first = world.issue(1, Some(Role::Publisher), 1);
    let beside = schema::CertificateBody { member: member(1).to_vec(), ..body(3, Some(Role::Publisher)) };
    let issue = Decision::Issue(schema::Issue { certificate: Some(beside) });
    let second = world.decide(member(1), issue, &[11], 2);
    world.decide(member(1), revoke(1, first, 100, vec![]), &[11, 12], 100);
    assert!(world.roster.entitled_since(member(1), CIDR).is_some());
    world.decide(member(1), revoke(1, second, 99, vec![]), &[11, 12], 99);
    assert!(world.roster.voids().is_empty(), "{:?}", world.roster.voids());
    assert_eq!(world.roster.entitled_since(member(1), CIDR), None);
}

#[test]
fn suspension_breaks_the_entitlement_and_renewal_keeps_it() {
    let mut world = World::new();
    let serial = world.issue(1, Some(Role::Publisher), 1);
    let since = |world: &World| world.roster.entitled_since(member(1), CIDR).map(|since| since.height);
    assert_eq!(since(&world), Some(Height::new(1)));
    let renew = Decision::Renew(schema::Renew { serial: serial.get(), not_after: at(500).as_micros() });
    world.decide(member(1), renew, &[11], 2);
    assert_eq!(since(&world), Some(Height::new(1)));
    let suspend = Decision::Suspend(schema::Suspend { serial: serial.get(), cut: vec![] });
    world.decide(member(1), suspend, &[12], 3);
    assert_eq!((since(&world), world.roster.standing(serial, at(4))), (None, Standing::Suspended));
    world.decide(member(1), Decision::Resume(schema::Resume { serial: serial.get() }), &[12], 5);
    assert_eq!(
        (since(&world), world.roster.standing(serial, at(6))),
        (Some(Height::new(4)), Standing::Valid)
    );
    let (log, id) = (LogId::new([1; 32]), MessageId::new([1; 32]));
    let closure = world.roster.closure(serial, CIDR, log);
    let status = |written| closure.status(Height::new(written), at(1), Sequence::new(1), id);
    assert_eq!(status(3), CutStatus::Beyond, "a log of before the suspension");
    assert_eq!(status(4), CutStatus::Open, "a log opened after the return");
}

#[test]
fn whoever_has_no_certificate_in_between_begins_anew_and_whoever_changes_in_time_does_not() {
    let since = |world: &World| world.roster.entitled_since(member(1), CIDR).map(|since| since.height);
    // Certificates last until day 365.
    for (day, expected) in [(364, 1), (365, 2), (400, 2)] {
        let mut renewed = World::new();
        let serial = renewed.issue(1, Some(Role::Publisher), 1);
        let renew = Decision::Renew(schema::Renew { serial: serial.get(), not_after: at(900).as_micros() });
        renewed.decide(member(1), renew, &[11], day);
        let mut another = World::new();
        another.issue(1, Some(Role::Publisher), 1);
        let validity = schema::Validity { not_before: at(day).as_micros(), not_after: at(900).as_micros() };
        let fresh = schema::CertificateBody {
            member: member(1).to_vec(),
            validity: Some(validity),
            ..body(7, Some(Role::Publisher))
        };
        another.decide(member(1), Decision::Issue(schema::Issue { certificate: Some(fresh) }), &[11], day);
        for world in [renewed, another] {
            assert!(world.roster.voids().is_empty(), "{:?}", world.roster.voids());
            assert_eq!(since(&world), Some(Height::new(expected)), "day {day}");
        }
    }
}

#[test]
fn a_new_charter_needs_both_thresholds_and_its_keys_rule_beyond_the_pin() {
    let mut world = World::new();
    world.issue(1, Some(Role::Publisher), 1);
    let pin = world.roster.version();
    let next =
        draft().to_next_charter(world.roster.charters(), &root_keys(&[12, 14], 23), pin, at(10)).unwrap();
    let sign = |keys: &[u8]| {
        let keys: Vec<SigningKey> = keys.iter().map(|seed| key(*seed)).collect();
        signed::sign(
            next.encode_to_vec(),
            Purpose::Charter,
            world.roster.coalition(),
            &keys.iter().collect::<Vec<_>>(),
        )
    };
    let one = sign(&[1]);
    assert!(matches!(
        world.roster.clone().apply_charter(one),
        Err(CharterError::RootMissing { version: 2, of: 1, found: 1, needed: 2 })
    ));
    let next = sign(&[1, 2]);
    // A statement of the removed admin 11, ordered by the old registrar, behind the pin.
    let issue = Decision::Issue(schema::Issue { certificate: Some(body(2, Some(Role::Reader))) });
    let statement = world.statement(issue, None, &[11], 11);
    let record = world.ordered(statement, 21);
    let mut lagging = world.roster.clone();
    lagging.apply(verify_record(lagging.charters(), &record).unwrap()).unwrap();
    lagging.apply_charter(next.clone()).unwrap();
    let mut prompt = world.roster.clone();
    prompt.apply_charter(next.clone()).unwrap();
    let verified = verify_record(prompt.charters(), &record).unwrap();
    assert!(matches!(prompt.apply(verified), Err(LogError::Registrar { .. })));
    assert_eq!(lagging.version(), prompt.version(), "whoever lagged ends where the prompt are");
    assert!(matches!(prompt.apply_charter(next), Err(CharterError::Version { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_flipped_bit_of_a_record_is_refused(bit in 0_usize..4096) {
        let mut world = World::new();
        let issue = Decision::Issue(schema::Issue { certificate: Some(body(1, Some(Role::Reader))) });
        let statement = world.statement(issue, None, &[11], 1);
        let mut bytes = world.ordered(statement, 21).encode_to_vec();
        let bit = bit * bytes.len() * 8 / 4096;
        bytes[bit / 8] ^= 1 << (bit % 8);
        let taken = crate::schema::decode_canonical::<schema::Record>("Record", &bytes, 1 << 20)
            .ok()
            .map(|record| world.take(&record));
        prop_assert!(!matches!(taken, Some(Ok(()))));
    }

    #[test]
    fn the_fold_is_a_function_of_the_records(order_of_roles in proptest::collection::vec(0_u8..3, 1..6)) {
        let mut world = World::new();
        for (n, role) in (1..).zip(&order_of_roles) {
            let role = [Some(Role::Reader), Some(Role::Publisher), None][usize::from(*role)];
            world.issue(n, role, u64::from(n));
        }
        let mut again = Roster::new(world.roster.charters().clone());
        for record in world.roster.records() {
            again.apply(verify_record(again.charters(), &record.record).unwrap()).unwrap();
        }
        prop_assert_eq!(again.version(), world.roster.version());
        prop_assert_eq!(again.certificates().collect::<Vec<_>>(), world.roster.certificates().collect::<Vec<_>>());
        let readers = |roster: &Roster| roster.readers(CIDR, Audience::Group, at(20));
        prop_assert_eq!(readers(&again), readers(&world.roster));
    }
}
