//! Removals that the golden log has not decided on: which hold when they are met, which do not, and what ends them.

use super::*;
use crate::{
    id::EntryId,
    trust::{
        log::equivocation,
        on_sight::{RemovalSeen, UnorderedError},
        signed::SignedError,
    },
};

const ONE: Serial = Serial::new(1);
/// What an entry that stands nowhere in the log follows, and a coalition that is not this one.
const NOWHERE: [u8; 32] = [7; 32];

fn fold(charters: Vec<schema::Signed>, records: &[schema::Record]) -> Roster {
    let mut roster = Roster::new(CharterChain::walk(charters).unwrap());
    for record in records {
        roster.apply(verify_record(roster.charters(), record).unwrap()).unwrap();
    }
    roster
}

fn suspend() -> Decision {
    Decision::Suspend(schema::Suspend { serial: 1, cut: Vec::new() })
}

fn revoke(who: MemberId) -> Decision {
    Decision::Revoke(schema::Revoke {
        serial: 1,
        member: who.to_vec(),
        reason: RevocationReason::KeyCompromise.into(),
        decided: at(7).as_micros(),
        effective: at(9).as_micros(),
        cut: Vec::new(),
    })
}

/// The log up to its second entry, what was signed beside it, and the same log where something settles that.
pub(super) fn tell(story: &Story) -> Vec<(&'static str, String)> {
    let mut rng = FixedRng::new(12);
    let coalition = story.roster.coalition();
    let mut signed = |decision: Decision, admins: &[u8], version: u64, made: Timestamp, of: CoalitionId| {
        let payload = propose(of, decision, None, version, made, &mut rng);
        let keys: Vec<SigningKey> = admins.iter().map(|seed| key(*seed)).collect();
        sign(payload, Purpose::Statement, of, &keys.iter().collect::<Vec<_>>())
    };
    let suspended = signed(suspend(), &[12], 2, at(7), coalition);
    let revoked = signed(revoke(member()), &[11, 12], 2, at(7), coalition);
    let disentitle = Decision::Disentitle(schema::Disentitle { serial: 1, groups: vec![1], cut: Vec::new() });
    let disentitled = signed(disentitle, &[11], 2, at(7), coalition);
    let other_member = signed(revoke(MemberId::new([0x55; 16])), &[11, 12], 2, at(7), coalition);
    let old = signed(suspend(), &[11], 1, at(3), coalition);
    let renew = Decision::Renew(schema::Renew { serial: 1, not_after: at(3 * 24 * 365).as_micros() });
    let gives = signed(renew, &[11], 2, at(7), coalition);
    let elsewhere = signed(suspend(), &[11], 2, at(7), CoalitionId::new(NOWHERE));
    let issued = &story.records[0].statement.as_ref().unwrap().payload;
    let issued = schema::Statement::decode(issued.as_slice()).unwrap().decision.unwrap();
    let again = signed(issued, &[12], 1, at(2), coalition);
    let early_suspension = signed(suspend(), &[11], 1, at(4), coalition);
    let early_revocation = signed(revoke(member()), &[11, 12], 1, at(4), coalition);

    let (charters, ours) = (story.charters.clone(), story.records[..2].to_vec());
    let common = fold(charters.clone(), &ours[..1]);
    let ordered = |height: u64, prev: EntryId, statement: &schema::Signed, registrar: u8| {
        order(coalition, Height::new(height), prev, statement.clone(), &key(registrar))
    };
    let nowhere = EntryId::new(NOWHERE);
    let other_branch = ordered(2, common.version().head, &suspended, 22);
    let theirs = vec![ours[0].clone(), other_branch.clone()];
    let pinned = |records: &[schema::Record]| {
        let log = fold(charters.clone(), records);
        let next = draft().to_next_charter(log.charters(), &root_keys(22), log.version(), at(8)).unwrap();
        let next = sign(next.encode_to_vec(), Purpose::Charter, coalition, &[&key(1), &key(2)]);
        [charters.clone(), vec![next]].concat()
    };
    let file = |charters: Vec<schema::Signed>, records: &[schema::Record]| {
        file::write_log(&schema::LogFile { charters, records: records.to_vec() })
    };
    let bytes = |record: &schema::Record| hex::encode(record.encode_to_vec());
    let by_the_first = |times: usize| {
        let signatures = vec![revoked.signatures[0].clone(); times];
        file::write_statement(&schema::Signed { payload: revoked.payload.clone(), signatures })
    };
    vec![
        ("log", file(charters.clone(), &ours)),
        ("other_branch", bytes(&other_branch)),
        ("former_branch", bytes(&ordered(2, common.version().head, &suspended, 21))),
        ("beyond", bytes(&ordered(9, nowhere, &suspended, 22))),
        ("group", bytes(&ordered(9, nowhere, &disentitled, 22))),
        ("former_registrar", bytes(&ordered(9, nowhere, &revoked, 21))),
        ("unordered", file::write_statement(&revoked)),
        ("too_few", by_the_first(1)),
        ("one_key_twice", by_the_first(2)),
        ("other_member", file::write_statement(&other_member)),
        ("gives", file::write_statement(&gives)),
        ("other_coalition", file::write_statement(&elsewhere)),
        ("old_charter", bytes(&ordered(9, nowhere, &old, 22))),
        ("decided", file(charters.clone(), &theirs)),
        ("settled", file(pinned(&ours), &ours)),
        ("on_its_way", file(pinned(&theirs), &ours[..1])),
        ("early_log", file(charters[..1].to_vec(), &ours[..1])),
        ("early_branch", bytes(&ordered(1, EntryId::ZERO, &again, 21))),
        ("early_suspend", file::write_statement(&early_suspension)),
        ("early_revoke", file::write_statement(&early_revocation)),
    ]
}

fn log(field: &str) -> Roster {
    let log = file::read_log(&text("on_sight", field)).unwrap();
    fold(log.charters, &log.records)
}

/// A removal that somebody ordered.
fn met(roster: &Roster, field: &str) -> RemovalSeen {
    let record = schema::Record::decode(golden("on_sight", field).as_slice()).unwrap();
    RemovalSeen::of(&verify_record(roster.charters(), &record).unwrap()).unwrap()
}

/// One that nobody did.
fn unordered(roster: &Roster, field: &str) -> Result<RemovalSeen, UnorderedError> {
    RemovalSeen::unordered(roster.charters(), &file::read_statement(&text("on_sight", field)).unwrap())
}

/// The log once it has met a removal, and whether that took anything.
fn seeing(field: &str, removal: impl Fn(&Roster) -> RemovalSeen) -> (Roster, bool) {
    let mut roster = log(field);
    let removal = removal(&roster);
    let takes = roster.see(removal);
    (roster, takes)
}

#[test]
fn golden_removals_take_from_when_they_are_met_and_move_no_log() {
    let ordered = |field: &'static str| move |roster: &Roster| met(roster, field);
    let (roster, takes) = seeing("log", ordered("beyond"));
    assert!(takes && roster.is_ordered(&met(&roster, "beyond")));
    assert_eq!(roster.standing(ONE, at(7)), Standing::Suspended);
    assert_eq!(roster.version(), log("log").version());
    let (roster, takes) = seeing("log", ordered("group"));
    assert!(takes);
    assert_eq!((roster.standing(ONE, at(7)), roster.role(ONE, GROUP, at(7))), (Standing::Valid, None));
    assert_eq!(log("log").role(ONE, GROUP, at(7)), Some(Role::Publisher));
    let (roster, takes) = seeing("log", |roster| unordered(roster, "unordered").unwrap());
    assert!(takes);
    assert_eq!(roster.standing(ONE, at(8)), Standing::Valid);
    assert_eq!(roster.standing(ONE, at(9)), Standing::Revoked);
    for field in ["former_registrar", "former_branch"] {
        assert!(!roster.is_ordered(&met(&roster, field)), "{field}");
    }
}

#[test]
fn golden_removals_that_are_somebody_elses_word_take_nothing() {
    let roster = log("log");
    let refused = |field: &str| unordered(&roster, field).unwrap_err();
    assert_eq!(refused("too_few"), UnorderedError::Admins(SignedError::TooFew { found: 1, needed: 2 }));
    assert_eq!(refused("one_key_twice"), UnorderedError::Admins(SignedError::Twice(key(11).public())));
    assert_eq!(refused("gives"), UnorderedError::NotARemoval);
    assert_eq!(refused("other_coalition"), UnorderedError::OtherCoalition(CoalitionId::new(NOWHERE)));
    assert!(!seeing("log", |roster| unordered(roster, "other_member").unwrap()).1);
    assert!(!seeing("log", |roster| met(roster, "old_charter")).1);
}

#[test]
fn golden_removals_end_where_the_log_or_a_charter_has_decided() {
    let two = log("log");
    let other = schema::Record::decode(golden("on_sight", "other_branch").as_slice()).unwrap();
    let other = verify_record(two.charters(), &other).unwrap();
    assert_eq!(equivocation(two.records().nth(1).unwrap(), &other).map(|proof| proof.height.get()), Some(2));
    assert!(!seeing("decided", |roster| met(roster, "other_branch")).1, "the log has it");
    for (field, held) in [("decided", 0), ("settled", 0), ("on_its_way", 1)] {
        let mut roster = log(field);
        roster.see_again([met(&two, "other_branch")]);
        assert_eq!(roster.removals_seen().count(), held, "{field}");
    }
    assert!(!seeing("on_its_way", |roster| met(roster, "other_branch")).1, "met first under a newer charter");
}

#[test]
fn a_golden_number_of_two_branches_is_taken_only_with_its_members_name() {
    let mut roster = log("early_log");
    let branch = schema::Record::decode(golden("on_sight", "early_branch").as_slice()).unwrap();
    let branch = verify_record(roster.charters(), &branch).unwrap();
    assert!(equivocation(roster.records().next().unwrap(), &branch).is_some());
    roster.fork_proven([branch.height]);
    let (suspension, revocation) =
        (unordered(&roster, "early_suspend").unwrap(), unordered(&roster, "early_revoke").unwrap());
    assert!(!roster.see(suspension));
    assert!(roster.see(revocation));
    assert_eq!(roster.standing(ONE, at(9)), Standing::Revoked);
}
