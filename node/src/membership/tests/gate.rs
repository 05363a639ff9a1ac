//! The gate as the loop moves it: answers, records and beacons put in by hand, one after the other.

use super::*;
use crate::membership::claims::Shown;

/// A link that is up, as the network tells it.
fn meets(membership: &mut Membership, site: &Site, seat: &Seat) {
    let (node, address) = (seat.identity.node, site.address.clone());
    membership.link(Link::Up { node, admitted: true, outbound: true, address, others: 0 });
}

fn answers(membership: &mut Membership, seat: &Seat, greeted: &Greeted) {
    let era = membership.era;
    membership.greeted(seat.identity.node, greeted, clock::now(), era);
}

fn gate(membership: &Membership) -> Gate {
    membership.hellos.borrow().gate()
}

#[tokio::test]
async fn nothing_is_sealed_on_the_first_of_two_voices_about_our_own_logs() {
    let (mut coalition, alice, bob) = pair();
    let carol = coalition.issue(3, &[CIDR]);
    let messages = coalition.messages(&alice, CIDR, None, 5);
    let site = Site::new(&coalition, &alice).await;
    site.hold(&messages[..2]).await;
    let mut membership = membership(&site, &Feed::default());
    meets(&mut membership, &site, &bob);
    meets(&mut membership, &site, &carol);
    answers(&mut membership, &bob, &admitting(&coalition.roster));
    assert_eq!(gate(&membership), Gate::Asking, "bob knows no more of our log than this disk");
    let knowing = Greeted { your_logs: told(&messages), ..admitting(&coalition.roster) };
    answers(&mut membership, &carol, &knowing);
    assert_eq!(gate(&membership), Gate::OwnLogs);
    let claim = (CIDR, messages[0].header().log, Sequence::new(5));
    let shown = Shown { proven: vec![claim], ..Shown::default() };
    membership.shown(carol.identity.node, shown, false, 0);
    assert_eq!(gate(&membership), Gate::Open);
    assert_eq!(membership.hellos.borrow().own_logs, [claim], "so that a new log is opened");
}

#[tokio::test]
async fn who_is_always_busy_about_our_own_logs_is_set_aside_and_that_is_shown() {
    let (coalition, alice, bob) = pair();
    let messages = coalition.messages(&alice, CIDR, None, 5);
    let site = Site::new(&coalition, &alice).await;
    site.hold(&messages[..2]).await;
    let mut membership = membership(&site, &Feed::default());
    meets(&mut membership, &site, &bob);
    let claiming = Greeted { your_logs: told(&messages), ..admitting(&coalition.roster) };
    let busy = Shown { open: 1, ..Shown::default() };
    for _ in 0..3 {
        answers(&mut membership, &bob, &claiming);
        assert_eq!(gate(&membership), Gate::OwnLogs);
        membership.shown(bob.identity.node, busy.clone(), false, 0);
    }
    assert_eq!(gate(&membership), Gate::Open, "bounded");
    assert!(membership.hellos.borrow().unshown.contains(&bob.identity.node));
    answers(&mut membership, &bob, &claiming);
    assert_eq!(gate(&membership), Gate::Open, "nor does it hold us up again");
    let shown =
        Shown { proven: vec![(CIDR, messages[0].header().log, Sequence::new(5))], ..Shown::default() };
    membership.shown(bob.identity.node, shown, false, 0);
    assert_eq!(membership.hellos.borrow().own_logs.len(), 1, "shown late, it counts");
    assert!(membership.hellos.borrow().unshown.is_empty());
}

#[tokio::test]
async fn a_record_further_ahead_closes_the_gate_beside_level_peers_until_the_log_has_it() {
    let (mut coalition, alice, bob) = pair();
    let site = Site::new(&coalition, &alice).await;
    let mut membership = membership(&site, &Feed::default());
    meets(&mut membership, &site, &bob);
    answers(&mut membership, &bob, &admitting(&coalition.roster));
    assert_eq!(gate(&membership), Gate::Open);
    let known = coalition.roster.clone();
    coalition.issue(3, &[CIDR]);
    coalition.issue(4, &[CIDR]);
    let news: Vec<schema::Record> = coalition
        .roster
        .records()
        .filter(|record| record.height > known.version().height)
        .map(|record| record.record.clone())
        .collect();
    let mut forged = news[1].clone();
    *forged.entry.as_mut().unwrap().signatures[0].signature.last_mut().unwrap() ^= 1;
    membership.judge_record(forged, bob.identity.node).await;
    assert_eq!(gate(&membership), Gate::Open, "not the registrar's word");
    assert_eq!(membership.judge_record(news[1].clone(), bob.identity.node).await, Verdict::Accept);
    assert_eq!(gate(&membership), Gate::Ahead);
    answers(&mut membership, &bob, &admitting(&known));
    assert_eq!(gate(&membership), Gate::Ahead, "bob does not know better");
    assert!(membership.offer(Vec::new(), news[..1].to_vec()).await);
    assert_eq!(gate(&membership), Gate::Ahead, "one is still missing");
    assert!(membership.offer(Vec::new(), news[1..].to_vec()).await);
    assert_eq!(gate(&membership), Gate::Open);
}

#[tokio::test]
async fn a_beacon_beyond_our_log_closes_the_gate_until_the_registrar_vouches_for_ours() {
    let (mut coalition, alice, bob) = pair();
    let (known, site) = (coalition.roster.clone(), Site::new(&coalition, &alice).await);
    let mut membership = membership(&site, &Feed::default());
    meets(&mut membership, &site, &bob);
    answers(&mut membership, &bob, &admitting(&known));
    coalition.issue(3, &[CIDR]);
    membership.judge_beacon(beacon(&coalition, &coalition.roster), Some(bob.identity.node)).await;
    assert_eq!(gate(&membership), Gate::Ahead);
    // It lost that entry, says so, and nobody waits for it for ever.
    membership.judge_beacon(beacon(&coalition, &known), Some(bob.identity.node)).await;
    assert_eq!(gate(&membership), Gate::Open);
    assert_eq!(membership.watch.borrow().missing, None);
}

/// Where the registrar signed two logs, its word on either is worth no more than anybody's.
#[tokio::test]
async fn a_registrar_that_signed_two_logs_holds_nobody_for_ever() {
    let (coalition, alice, bob) = pair();
    let (mut ours, mut other) = (coalition.clone(), coalition);
    ours.issue(3, &[CIDR]);
    other.issue(4, &[CIDR]);
    other.issue(5, &[CIDR]);
    other.issue(6, &[CIDR]);
    let site = Site::new(&ours, &alice).await;
    let mut membership = membership(&site, &Feed::default());
    meets(&mut membership, &site, &bob);
    answers(&mut membership, &bob, &admitting(&ours.roster));
    let theirs: Vec<schema::Record> = other.roster.records().map(|record| record.record.clone()).collect();
    let [.., conflicting, _, last] = theirs.as_slice() else { panic!("three of its own") };
    membership.judge_record(last.clone(), bob.identity.node).await;
    assert_eq!(gate(&membership), Gate::Ahead);
    membership.judge_record(conflicting.clone(), bob.identity.node).await;
    assert_eq!(membership.watch.borrow().equivocations.len(), 1);
    assert_eq!(gate(&membership), Gate::Open);
}

/// Whether keys would be handed to nobody, by a clock that may be wrong.
fn doubts(membership: &Membership) -> bool {
    membership.hellos.borrow().doubts_clock(membership.roster_now().charter().clock_skew())
}

#[tokio::test]
async fn our_clock_is_doubted_at_the_start_and_after_a_jump_until_those_who_are_here_have_told_theirs() {
    let (mut coalition, alice, bob) = pair();
    let carol = coalition.issue(3, &[CIDR]);
    let site = Site::new(&coalition, &alice).await;
    let mut membership = membership(&site, &Feed::default());
    assert!(doubts(&membership), "nobody is here yet");
    meets(&mut membership, &site, &bob);
    meets(&mut membership, &site, &carol);
    for _ in 0..2 {
        assert!(doubts(&membership));
        answers(&mut membership, &bob, &admitting(&coalition.roster));
        assert!(doubts(&membership), "by one of two");
        answers(&mut membership, &carol, &admitting(&coalition.roster));
        assert!(!doubts(&membership));
        membership.time_passed();
    }
}

#[tokio::test]
async fn the_only_other_member_clears_our_clock_by_its_answer_or_its_greeting_and_disputes_it_if_it_differs()
{
    let (coalition, alice, bob) = pair();
    let site = Site::new(&coalition, &alice).await;
    let mut membership = membership(&site, &Feed::default());
    meets(&mut membership, &site, &bob);
    membership.told_time(bob.identity.member, bob.identity.node, clock::now().as_micros());
    assert!(!doubts(&membership), "it can ask for keys the moment its greeting is answered");
    let day = Duration::from_secs(24 * 3600);
    let ahead = clock::now().saturating_add(day).as_micros();
    answers(&mut membership, &bob, &Greeted { now: ahead, ..admitting(&coalition.roster) });
    assert!(doubts(&membership), "what is measured counts more");
    assert_eq!(gate(&membership), Gate::Open);
    membership.told_time(bob.identity.member, bob.identity.node, clock::now().as_micros());
    assert!(doubts(&membership));
    answers(&mut membership, &bob, &admitting(&coalition.roster));
    assert!(!doubts(&membership));
}

#[tokio::test]
async fn whoever_greets_has_told_its_time_once_it_is_answered() {
    let (coalition, alice, bob) = pair();
    let host = Running::start(Site::new(&coalition, &alice).await);
    // It answers nothing itself.
    let guest = Site::new(&coalition, &bob).await;
    guest.connect(&host.site).await;
    let greet = Greet {
        coalition: coalition.id().to_vec(),
        certificate: Some(bob.identity.record.clone()),
        roster: Some(coalition.roster.version().into()),
        charter_version: 1,
        now: clock::now().as_micros(),
        your_logs: Vec::new(),
    };
    let request = HelloRequest { request: Some(hello_request::Request::Greet(greet)) };
    assert_eq!(host.hellos.borrow().clock_offset(), None);
    guest.network.hello(&host.site.node(), request).await.unwrap();
    assert!(host.hellos.borrow().clock_offset().is_some());
}

#[tokio::test]
async fn a_voice_that_went_with_one_of_a_members_nodes_is_asked_for_at_another() {
    let (mut coalition, alice, bob) = pair();
    let second = coalition.issue_again(2, 9, &[CIDR]);
    let site = Site::new(&coalition, &alice).await;
    let mut membership = membership(&site, &Feed::default());
    for seat in [&bob, &second] {
        meets(&mut membership, &site, seat);
        answers(&mut membership, seat, &admitting(&coalition.roster));
    }
    assert!(!doubts(&membership));
    let (node, left) = (second.identity.node, bob.identity.node);
    membership.link(Link::Down { node, admitted: true, remaining: 0 });
    assert!(doubts(&membership));
    assert!(!membership.greetings.begin(left, tokio::time::Instant::now()), "one is under way");
}

/// What was asked before the machine slept says nothing of now.
#[tokio::test]
async fn an_answer_from_before_a_suspension_opens_nothing() {
    let (coalition, alice, bob) = pair();
    let site = Site::new(&coalition, &alice).await;
    let mut membership = membership(&site, &Feed::default());
    meets(&mut membership, &site, &bob);
    membership.time_passed();
    let greeted = admitting(&coalition.roster);
    membership.greeted(bob.identity.node, &greeted, clock::now(), membership.era - 1);
    assert_eq!(gate(&membership), Gate::Asking);
    answers(&mut membership, &bob, &greeted);
    assert_eq!(gate(&membership), Gate::Open);
}
