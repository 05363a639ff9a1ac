//! Whose word stands in a log: roles gained and lost, rules not accepted, a charter that is over.

use super::*;
use crate::{
    schema::AcceptancePolicy,
    trust::{names::Named as _, on_sight::RemovalSeen},
};

#[test]
fn only_publishers_of_the_group_within_their_validity_stand_in_a_log() {
    let mut coalition = Coalition::new();
    let publisher = coalition.issue(&Ask { not_after: 10 * DAY, ..Ask::publisher(1) });
    let steward = coalition.issue(&Ask::role(2, Role::Steward));
    let reader = coalition.issue(&Ask::reader(3));
    let carrier = coalition.issue(&Ask::carrier(4));
    let elsewhere = coalition.issue(&Ask { groups: vec![(CLOUD, Role::Publisher)], ..Ask::publisher(5) });
    let roster = coalition.version();
    let no_publisher = ("not-a-publisher", Verdict::Ignore);
    for (node, expected) in [
        (&publisher, ACCEPT),
        (&steward, ACCEPT),
        (&reader, no_publisher),
        (&carrier, no_publisher),
        (&elsewhere, no_publisher),
    ] {
        let (sealed, _) = node.first(&payload_bytes(), CIDR, roster, at(100));
        let member = node.certificate.member;
        assert_eq!(code(sealed.bytes(), &coalition.roster, gossip(100)), expected, "{member}");
    }
    let (sealed, _) = publisher.first(&payload_bytes(), CIDR, roster, at(100));
    let created = |seconds: u64| resigned(&publisher, &sealed, |h| h.created = at(seconds).as_micros());
    let outside = ("outside-validity", Verdict::Ignore);
    let day_20 = sync(20 * DAY);
    // Created before expiry stays valid after it; created after it never becomes valid.
    assert_eq!(code(&created(10 * DAY - 1), &coalition.roster, day_20), ACCEPT);
    assert_eq!(code(&created(10 * DAY), &coalition.roster, day_20), outside);
    let before_it_began = resigned(&publisher, &sealed, |h| h.created = 1);
    assert_eq!(code(&before_it_began, &coalition.roster, day_20), outside);
}

#[test]
fn revocation_quarantines_what_its_cut_does_not_cover() {
    let mut coalition = Coalition::new();
    let alice = coalition.issue(&Ask::publisher(1));
    let roster = coalition.version();
    let (one, _) = alice.first(&payload_bytes(), CIDR, roster, at(100));
    let (two, _) = alice.next(&payload_bytes(), position_after(&one), roster, at(101));
    let (three, _) = alice.next(&payload_bytes(), position_after(&two), roster, at(102));
    let (elsewhere, _) = alice.first(&payload_bytes(), CLOUD, roster, at(103));
    let second_two = resigned(&alice, &two, |h| h.created += 1);
    coalition.revoke(&alice, 200, vec![cut_at(&two)]);
    let climb = |bytes: &[u8]| climb(bytes, &coalition.roster, sync(300));
    let below = climb(one.bytes()).unwrap();
    assert!(below.is_below_cut());
    assert!(!climb(two.bytes()).unwrap().is_below_cut());
    let quarantined = Err(("quarantined", Verdict::Ignore));
    assert_eq!(climb(&second_two).map(drop), quarantined);
    assert_eq!(climb(three.bytes()).map(drop), quarantined);
    assert_eq!(climb(elsewhere.bytes()).map(drop), quarantined);
    // The envelope comes along with the refusal, to be kept hidden.
    let verified = decode(three.bytes()).unwrap().attribute(&coalition.roster).unwrap().verify().unwrap();
    match verified.admit(&coalition.roster, sync(300)) {
        Err(AdmitError::Quarantined(kept)) => assert_eq!(kept.bytes(), three.bytes()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn losing_the_publisher_role_keeps_what_the_cut_keeps() {
    let mut coalition = Coalition::new();
    let alice = coalition.issue(&Ask::publisher(1));
    let roster = coalition.version();
    let (one, _) = alice.first(&payload_bytes(), CIDR, roster, at(100));
    let (two, _) = alice.next(&payload_bytes(), position_after(&one), roster, at(101));
    coalition.disentitle(&alice, 200, vec![cut_at(&one)]);
    assert_eq!(code(one.bytes(), &coalition.roster, sync(300)), ACCEPT);
    assert_eq!(code(two.bytes(), &coalition.roster, sync(300)), ("quarantined", Verdict::Ignore));
}

#[test]
fn a_departure_announced_for_later_ends_publishing_then() {
    let mut coalition = Coalition::new();
    let alice = coalition.issue(&Ask::publisher(1));
    let (sealed, _) = alice.first(&payload_bytes(), CIDR, coalition.version(), at(999));
    let late = resigned(&alice, &sealed, |h| h.created = at(1_000).as_micros());
    coalition.leave(&alice, 500, 1_000, vec![]);
    assert_eq!(code(sealed.bytes(), &coalition.roster, sync(1_001)), ACCEPT);
    assert_eq!(code(&late, &coalition.roster, sync(1_001)), ("quarantined", Verdict::Ignore));
}

#[test]
fn who_has_not_accepted_the_rules_in_time_publishes_into_no_log_and_takes_back_all_the_same() {
    for policy in AcceptancePolicy::all() {
        let mut coalition = Coalition::new();
        let alice = coalition.issue(&Ask::publisher(1));
        let (one, _) = alice.first(&payload_bytes(), CIDR, coalition.version(), at(100));
        coalition.new_rules(110, 200, policy);
        coalition.issue(&Ask { made: 120, ..Ask::reader(2) });
        let roster = coalition.version();
        let (in_time, _) = alice.next(&payload_bytes(), position_after(&one), roster, at(199));
        let (late, _) = alice.next(&payload_bytes(), position_after(&in_time), roster, at(200));
        let draft = Draft::Withdrawal(Withdrawal {
            targets: vec![one.message_id()],
            mode: WithdrawalMode::Retract,
            ground: WithdrawalGround::Author,
        });
        let author = alice.author(roster);
        let back =
            seal_message(&draft, &position_after(&in_time), &author, at(201), &mut FixedRng::new(2)).unwrap();
        let stopped = match policy {
            AcceptancePolicy::Warn => ACCEPT,
            AcceptancePolicy::StopPublishing | AcceptancePolicy::Suspend => {
                ("not-a-publisher", Verdict::Ignore)
            }
        };
        let code = |bytes: &[u8], coalition: &Coalition| code(bytes, &coalition.roster, sync(300));
        assert_eq!(code(in_time.bytes(), &coalition), ACCEPT, "{policy:?}");
        assert_eq!(code(late.bytes(), &coalition), stopped, "{policy:?}");
        assert_eq!(code(back.bytes(), &coalition), ACCEPT, "{policy:?}");
        // Who stood before the charter in the log is judged by the one before it, as for every role.
        let (behind, _) =
            alice.next(&payload_bytes(), position_after(&in_time), one.header().roster, at(201));
        assert_eq!(code(behind.bytes(), &coalition), ACCEPT, "{policy:?}");
        // Nothing is refused for good: logs have no gaps.
        coalition.accept(&alice, 250);
        assert_eq!(code(late.bytes(), &coalition), ACCEPT, "{policy:?}");
    }
}

#[test]
fn once_the_charter_is_over_nothing_new_belongs_into_a_log_until_there_is_another_and_all_can_be_taken_back()
{
    const OVER: u64 = 3650 * DAY;
    let mut coalition = Coalition::new();
    let alice = coalition.issue(&Ask { not_after: 2 * OVER, ..Ask::publisher(1) });
    let roster = coalition.version();
    let (one, _) = alice.first(&payload_bytes(), CIDR, roster, at(OVER - 1));
    let (late, _) = alice.next(&payload_bytes(), position_after(&one), roster, at(OVER));
    let draft = Draft::Withdrawal(Withdrawal {
        targets: vec![one.message_id()],
        mode: WithdrawalMode::Retract,
        ground: WithdrawalGround::Author,
    });
    let author = alice.author(roster);
    let back = seal_message(&draft, &position_after(&one), &author, at(OVER), &mut FixedRng::new(2)).unwrap();
    let code = |bytes: &[u8], coalition: &Coalition| code(bytes, &coalition.roster, sync(OVER + 1));
    assert_eq!(code(one.bytes(), &coalition), ACCEPT);
    assert_eq!(code(late.bytes(), &coalition), ("not-a-publisher", Verdict::Ignore));
    assert_eq!(code(back.bytes(), &coalition), ACCEPT);
    // The next version pins the very head that the author stands at, and needs no entry after it.
    coalition.next_charter(OVER, |next| next.expires = at(2 * OVER).as_micros());
    assert_eq!(code(late.bytes(), &coalition), ACCEPT);
}

#[test]
fn a_charter_that_ends_before_the_one_it_follows_ends_what_may_be_said() {
    const OVER: u64 = 365 * DAY;
    let mut coalition = Coalition::new();
    let alice = coalition.issue(&Ask { not_after: 2 * OVER, ..Ask::publisher(1) });
    let roster = coalition.version();
    let (one, _) = alice.first(&payload_bytes(), CIDR, roster, at(OVER - 1));
    let (late, _) = alice.next(&payload_bytes(), position_after(&one), roster, at(OVER));
    let code = |bytes: &[u8], coalition: &Coalition| code(bytes, &coalition.roster, sync(OVER + 1));
    assert_eq!(code(late.bytes(), &coalition), ACCEPT);
    // Version 1 would have run for nine years more.
    coalition.next_charter(300, |next| next.expires = at(OVER).as_micros());
    assert_eq!(code(one.bytes(), &coalition), ACCEPT);
    assert_eq!(code(late.bytes(), &coalition), ("not-a-publisher", Verdict::Ignore));
    // A member that stands above its pin is held to it no less.
    coalition.issue(&Ask::publisher(2));
    let (above, _) = alice.next(&payload_bytes(), position_after(&one), coalition.version(), at(OVER));
    assert_eq!(code(above.bytes(), &coalition), ("not-a-publisher", Verdict::Ignore));
    coalition.next_charter(OVER, |next| next.expires = at(2 * OVER).as_micros());
    assert_eq!(code(above.bytes(), &coalition), ACCEPT);
}

#[test]
fn a_suspended_key_publishes_again_only_in_a_new_log() {
    let mut coalition = Coalition::new();
    let alice = coalition.issue(&Ask::publisher(1));
    let (one, _) = alice.first(&payload_bytes(), CIDR, coalition.version(), at(100));
    let (two, _) = alice.next(&payload_bytes(), position_after(&one), coalition.version(), at(101));
    coalition.suspend(&alice, 200, vec![cut_at(&one)]);
    let quarantined = ("quarantined", Verdict::Ignore);
    assert_eq!(code(two.bytes(), &coalition.roster, sync(300)), quarantined);
    coalition.resume(&alice, 400);
    assert_eq!(code(one.bytes(), &coalition.roster, sync(500)), ACCEPT);
    assert_eq!(code(two.bytes(), &coalition.roster, sync(500)), quarantined);
    let position = crate::envelope::Position {
        instance: [0x12; 16],
        predecessor: Some(alice.log(CIDR)),
        ..first_position(CIDR)
    };
    let draft = Draft::Withdrawal(Withdrawal {
        targets: vec![one.message_id()],
        mode: WithdrawalMode::Retract,
        ground: WithdrawalGround::Author,
    });
    let author = alice.author(coalition.version());
    let new_log = seal_message(&draft, &position, &author, at(450), &mut FixedRng::new(2)).unwrap();
    assert_eq!(code(new_log.bytes(), &coalition.roster, sync(500)), ACCEPT);
}

#[test]
fn what_a_member_removed_on_sight_wrote_waits_and_is_refused_for_good_by_nobody() {
    let mut coalition = Coalition::new();
    let alice = coalition.issue(&Ask::publisher(1));
    let (sealed, _) = alice.first(&payload_bytes(), CIDR, coalition.version(), at(100));
    let mut other = coalition.clone();
    other.suspend(&alice, 200, vec![]);
    let removal = RemovalSeen::of(other.roster.records().last().unwrap()).unwrap();
    let mut roster = coalition.roster.clone();
    assert!(roster.see(removal));
    let waits = ("removed-on-sight", Verdict::Ignore);
    assert_eq!(code(sealed.bytes(), &roster, sync(300)), waits);
    assert_eq!(code(sealed.bytes(), &roster, gossip(300)), waits);
    assert_eq!(code(sealed.bytes(), &coalition.roster, sync(300)), ACCEPT);
}

#[test]
fn a_publisher_role_granted_since_counts_for_what_was_written_before() {
    let mut coalition = Coalition::new();
    let alice = coalition.issue(&Ask::reader(1));
    let (sealed, _) = alice.first(&payload_bytes(), CIDR, coalition.version(), at(100));
    assert_eq!(code(sealed.bytes(), &coalition.roster, sync(100)), ("not-a-publisher", Verdict::Ignore));
    coalition.entitle(&alice, 101, CIDR, Role::Publisher);
    assert_eq!(code(sealed.bytes(), &coalition.roster, sync(102)), ACCEPT);
}
