//! Members removed on sight, and what they withdrew before.

use belfry_proto::{
    envelope::LIFTED_WITHIN,
    schema::statement::Decision,
    trust::{on_sight::RemovalSeen, roster::Roster},
};

use super::*;
use crate::{ingest::Kept, sync::fetch::excused_by_removed};

/// Alice writes, Bob and Dave read, Carol is a steward.
fn with_steward() -> (Coalition, [Seat; 4]) {
    let mut coalition = Coalition::new();
    let seats = [1, 2, 3, 4].map(|n| coalition.issue(n, &[CIDR]));
    let groups = vec![schema::GroupRole { group: CIDR.get(), role: schema::Role::Steward.into() }];
    let serial = seats[2].identity.serial.get();
    coalition.decide(3, Decision::Entitle(schema::Entitle { serial, groups }));
    (coalition, seats)
}

/// Our log, and a suspension of this member's certificate that it has not decided on.
fn seeing(coalition: &Coalition, member: u8, seat: &Seat) -> Roster {
    let (mut roster, mut other) = (coalition.roster.clone(), coalition.clone());
    let serial = seat.identity.serial.get();
    other.decide(member, Decision::Suspend(schema::Suspend { serial, cut: Vec::new() }));
    assert!(roster.see(RemovalSeen::of(other.roster.records().last().unwrap()).unwrap()));
    roster
}

#[tokio::test]
async fn what_a_steward_erased_before_it_was_removed_on_sight_stops_no_late_joiner() {
    let (coalition, [alice, bob, carol, dave]) = with_steward();
    let messages = coalition.messages(&alice, CIDR, None, 4);
    let target = messages[1].message_id();
    let erased = erasure_for(&coalition, &carol, target, WithdrawalGround::Rules);
    let mut holder = Site::new(&coalition, &bob).await;
    holder.hold(&messages).await;
    weigh(&holder, &coalition, &erased).await;
    reweigh_at(&holder, clock::now().saturating_add(LIFTED_WITHIN + Duration::from_secs(1))).await;
    assert!(!holder.store.message(target).unwrap().unwrap().has_body);

    let (_, _tasks) = serve(&mut holder);
    let late = Site::knowing(&coalition, seeing(&coalition, 3, &carol), &dave).await;
    let puller = Puller::start_in(late);
    puller.site.connect(&holder).await;
    puller.ready(&holder);
    puller.holds(&messages).await;
    let store = &puller.site.store;
    assert!(store.wants_body(target).unwrap(), "nothing excuses it yet");
    assert!(!store.has_message(erased.message_id()).unwrap(), "what the removed one says waits");
    assert!(store.withdrawals(target).unwrap().is_empty(), "and hides nothing");
    assert_eq!(puller.counters.snapshot().faults, 0);
}

#[tokio::test]
async fn only_an_erasure_that_reaches_an_entry_and_is_refused_as_removed_on_sight_excuses_it() {
    let (coalition, [alice, bob, carol, _]) = with_steward();
    let messages = coalition.messages(&alice, CIDR, None, 2);
    let page = [bare(&messages[0]), messages[1].bytes().to_vec()];
    let page = page.map(|bytes| belfry_proto::envelope::decode(&bytes).unwrap());
    let [first, second] = [&messages[0], &messages[1]].map(Decoded::message_id);
    let excused = |by: &Seat, target, ground, kept: &Kept| {
        let erasure = erasure_for(&coalition, by, target, ground);
        excused_by_removed(&coalition.roster, &page, &[erasure], std::slice::from_ref(kept))
    };
    let removed = Kept::Refused("removed-on-sight");
    let (rules, author) = (WithdrawalGround::Rules, WithdrawalGround::Author);
    assert!(excused(&bob, first, rules, &removed).is_empty(), "no steward");
    assert!(excused(&carol, second, rules, &removed).is_empty(), "its body came along");
    for kept in [Kept::Refused("bad-signature"), Kept::Refused("quarantined"), Kept::Parked, Kept::Stored] {
        assert!(excused(&carol, first, rules, &kept).is_empty(), "{kept:?}");
    }
    assert_eq!(excused(&carol, first, rules, &removed).into_iter().collect::<Vec<_>>(), [first]);
    assert_eq!(excused(&alice, first, author, &removed).into_iter().collect::<Vec<_>>(), [first]);
}

#[tokio::test]
async fn logs_of_a_member_removed_on_sight_are_left_out_until_the_roster_changes() {
    let (coalition, [alice, bob, carol, dave]) = with_steward();
    let waiting = coalition.messages(&alice, CIDR, None, 3);
    let others = coalition.messages(&carol, CIDR, None, 8);
    let mut holder = Site::new(&coalition, &bob).await;
    holder.hold(&waiting).await;
    let (_, _tasks) = serve(&mut holder);
    let puller = Puller::start_in(Site::knowing(&coalition, seeing(&coalition, 1, &alice), &dave).await);
    puller.site.connect(&holder).await;
    puller.ready(&holder);
    let refused = || puller.refused(Way::Sync, "removed-on-sight");
    eventually("the refusal", async || refused() >= 3).await;
    // Each brings a comparison, in which the peer offers both logs.
    for n in 0..others.len() {
        holder.hold(&others[n..=n]).await;
        puller.ready(&holder);
        puller.holds(&others[..=n]).await;
    }
    // The second comparison may have begun before the first page was judged.
    assert!(refused() <= 3 * 3, "fetched again after each comparison: {}", refused());

    puller.site.roster.replace(coalition.roster.clone());
    puller.feed.notify(Notice::RosterChanged(coalition.roster.version().height));
    puller.holds(&waiting).await;
    assert_eq!(puller.counters.snapshot().faults, 0);
}
