//! Charters that come in the wrong order, twice, too late or from nobody: what becomes of them, and who is told.

use belfry_proto::{
    limits::{MAX_CHARTER, MAX_TRANSMIT},
    schema::Signed,
    verdict::Verdict,
};

use super::*;

fn counted(membership: &Membership, code: &str) -> u64 {
    let counts = membership.network.refusals().counts();
    counts.iter().filter(|(way, of, _)| *way == Way::Admin && *of == code).map(|(.., count)| *count).sum()
}

fn told(membership: &Membership) -> Option<String> {
    membership.watch.borrow().refused_charter.as_ref().map(ToString::to_string)
}

/// A coalition of two, as it is and as it was, and versions 2 and 3 of its charter.
async fn with_charters() -> ([Coalition; 2], Seat, Site, [Signed; 2]) {
    let (mut coalition, alice, bob) = pair();
    let before = coalition.clone();
    let site = Site::new(&coalition, &alice).await;
    let pin = coalition.roster.version();
    let second = coalition.next_charter(pin);
    coalition.roster.apply_charter(second.clone()).unwrap();
    let third = coalition.next_charter(pin);
    coalition.roster.apply_charter(third.clone()).unwrap();
    ([coalition, before], bob, site, [second, third])
}

#[tokio::test]
async fn a_charter_beyond_a_gap_is_refused_with_the_reason_until_the_one_between_has_come() {
    let (_, bob, site, [second, third]) = with_charters().await;
    let mut membership = membership(&site, &Feed::default());
    let peer = bob.identity.node;
    assert_eq!(membership.judge_charter(third.clone(), peer).await, Verdict::Ignore);
    assert_eq!(membership.roster_now().charter().version(), 1);
    assert_eq!(counted(&membership, "charter-version"), 1);
    let why = told(&membership).unwrap();
    assert!(why.contains("version 3 does not follow version 1") && why.contains("import-log"), "{why}");

    assert_eq!(membership.judge_charter(second.clone(), peer).await, Verdict::Accept);
    assert_eq!(membership.judge_charter(third.clone(), peer).await, Verdict::Accept);
    assert_eq!((membership.roster_now().charter().version(), told(&membership)), (3, None));
    // What is here already is no news, and no refusal.
    for held in [second, third] {
        assert_eq!(membership.judge_charter(held, peer).await, Verdict::Ignore);
    }
    assert_eq!(counted(&membership, "charter-version"), 1);
}

#[tokio::test]
async fn a_second_charter_of_one_version_is_told_and_one_that_no_root_key_signed_only_counted() {
    let ([coalition, before], bob, site, [second, third]) = with_charters().await;
    let mut membership = membership(&site, &Feed::default());
    let peer = bob.identity.node;
    let charters = vec![second.clone(), third];
    assert!(membership.offer(charters, Vec::new()).await);

    let unsigned = Signed { signatures: Vec::new(), ..coalition.next_charter(coalition.roster.version()) };
    let mut forged = coalition.next_charter(coalition.roster.version());
    *forged.signatures[0].signature.last_mut().unwrap() ^= 1;
    for charter in [unsigned, forged] {
        assert_eq!(membership.judge_charter(charter, peer).await, Verdict::Ignore);
    }
    assert_eq!((counted(&membership, "charter-signature"), told(&membership)), (2, None));

    let other = before.changed_charter(before.roster.version(), |charter| charter.grant_delay_s = 1);
    assert_ne!(other, second);
    assert_eq!(membership.judge_charter(other, peer).await, Verdict::Ignore);
    let why = told(&membership).unwrap();
    assert!(why.contains("another charter version 2") && why.contains("signed two"), "{why}");
    assert_eq!(membership.roster_now().charter().id(), coalition.roster.charter().id());
}

#[tokio::test]
async fn an_older_log_rolls_neither_charter_nor_entries_back() {
    let ([mut coalition, older], _, site, _) = with_charters().await;
    coalition.issue(3, &[CIDR]);
    let mut membership = membership(&site, &Feed::default());
    let of = |coalition: &Coalition| {
        let records: Vec<_> = coalition.roster.records().map(|record| record.record.clone()).collect();
        (coalition.roster.charters().signed().to_vec(), records)
    };
    let (charters, records) = of(&coalition);
    assert!(membership.offer(charters, records).await);
    let (charters, records) = of(&older);
    assert!(!membership.offer(charters, records).await);
    let roster = membership.roster_now();
    assert_eq!((roster.charter().version(), roster.version()), (3, coalition.roster.version()));
    assert_eq!(site.store.charters().unwrap().len(), 3);
    assert_eq!((told(&membership), counted(&membership, "charter-version")), (None, 0), "it is no refusal");
}

/// Were it refused by the clock, nodes that hear of it early and late would go by different charters.
#[tokio::test]
async fn a_charter_that_is_over_when_it_comes_is_taken_and_ends_publishing_as_everywhere() {
    let (coalition, alice, bob) = pair();
    let site = Site::new(&coalition, &alice).await;
    let mut membership = membership(&site, &Feed::default());
    let now = clock::now();
    let over = coalition.changed_charter(coalition.roster.version(), |charter| {
        charter.expires = now.saturating_sub(Duration::from_secs(1)).as_micros();
    });
    assert_eq!(membership.judge_charter(over, bob.identity.node).await, Verdict::Accept);
    let roster = membership.roster_now();
    assert_eq!(roster.charter().version(), 2);
    assert!(roster.charter().is_expired_at(now));
    // The way out is the next version, which follows it.
    let mut coalition = coalition;
    coalition.roster = Roster::clone(&roster);
    let next = coalition.next_charter(roster.version());
    assert_eq!(membership.judge_charter(next, bob.identity.node).await, Verdict::Accept);
    assert!(!membership.roster_now().charter().is_expired_at(now));
}

/// Adds `count` groups to a charter, each described at length.
fn wide(count: u32) -> impl Fn(&mut schema::Charter) {
    move |charter| {
        let like = charter.groups[0].clone();
        charter.groups.extend((100..100 + count).map(|id| schema::FocusGroup {
            id,
            slug: format!("group-{id}"),
            name: format!("Group {id}"),
            description: "x".repeat(4000),
            ..like.clone()
        }));
    }
}

/// Makes `count` more versions of the charter of `coalition`, each as large as `groups` groups make it.
fn with_large_charters(coalition: &mut Coalition, count: usize, groups: u32) {
    let pin = coalition.roster.version();
    for _ in 0..count {
        let next = coalition.changed_charter(pin, wide(groups));
        coalition.roster.apply_charter(next).unwrap();
    }
}

#[tokio::test]
async fn more_charters_than_one_answer_takes_come_page_by_page() {
    let (mut coalition, alice, bob) = pair();
    let earlier = coalition.roster.clone();
    with_large_charters(&mut coalition, 7, 55);
    coalition.issue(3, &[CIDR]);
    let bytes: usize = coalition.roster.charters().signed().iter().map(Message::encoded_len).sum();
    assert!(bytes > belfry_proto::limits::MAX_REPLY, "{bytes}");
    let host = Running::start(Site::new(&coalition, &alice).await);
    let late = Running::start(Site::knowing(&coalition, earlier, &bob).await);
    late.site.connect(&host.site).await;
    eventually("the newest charter, and what it rules over", async || {
        let roster = late.site.roster.snapshot();
        (roster.charter().version(), roster.version()) == (8, coalition.roster.version())
    })
    .await;
}

#[tokio::test]
async fn a_guest_brings_more_charters_than_one_request_takes() {
    let (mut coalition, alice, _) = pair();
    let earlier = coalition.roster.clone();
    let carol = coalition.issue(3, &[CIDR]);
    with_large_charters(&mut coalition, 3, 8);
    let host = Running::start(Site::knowing(&coalition, earlier, &alice).await);
    let guest = Running::start(Site::new(&coalition, &carol).await);
    guest.site.network.dial(host.site.node(), vec![host.site.address.clone()]).await.unwrap();
    eventually("the newest charter, and what it pins", async || {
        let roster = host.site.roster.snapshot();
        (roster.charter().version(), roster.version()) == (4, coalition.roster.version())
    })
    .await;
}

#[tokio::test]
async fn a_guest_brings_the_largest_charter_there_may_be_and_what_stands_behind_it() {
    let (mut coalition, alice, _) = pair();
    let earlier = coalition.roster.clone();
    let carol = coalition.issue(3, &[CIDR]);
    let largest = coalition.changed_charter(coalition.roster.version(), filled);
    coalition.roster.apply_charter(largest).unwrap();
    let host = Running::start(Site::knowing(&coalition, earlier, &alice).await);
    let guest = Running::start(Site::new(&coalition, &carol).await);
    guest.site.network.dial(host.site.node(), vec![host.site.address.clone()]).await.unwrap();
    eventually("the largest charter, and what it pins", async || {
        let roster = host.site.roster.snapshot();
        (roster.charter().version(), roster.version()) == (2, coalition.roster.version())
    })
    .await;
}

/// Makes a charter as large as one may be, or a few bytes smaller.
fn filled(charter: &mut schema::Charter) {
    let like = charter.groups[0].clone();
    for id in 100.. {
        let slug = format!("group-{id}");
        charter.groups.push(schema::FocusGroup { id, slug, description: String::new(), ..like.clone() });
        // Less what the lengths around it take.
        let room = MAX_CHARTER - charter.encoded_len() - 8;
        let is_last = room <= 4096;
        charter.groups.last_mut().unwrap().description = "x".repeat(if is_last { room } else { 3900 });
        if is_last {
            break;
        }
    }
}

/// Gossip takes no more than that, and the charter's signatures come on top.
#[tokio::test]
async fn a_charter_too_large_for_gossip_and_what_stands_behind_it_reach_everybody_linked() {
    let (mut coalition, alice, bob) = pair();
    let carol = coalition.issue(3, &[CIDR]);
    let earlier = coalition.roster.clone();
    let largest = coalition.changed_charter(coalition.roster.version(), filled);
    assert!(largest.encoded_len() > MAX_TRANSMIT);
    coalition.roster.apply_charter(largest.clone()).unwrap();
    coalition.issue(4, &[CIDR]);
    let record = coalition.roster.records().last().unwrap().record.clone();
    let site = async |seat: &Seat| Running::start(Site::knowing(&coalition, earlier.clone(), seat).await);
    let (mut near, mut middle, far) = (site(&alice).await, site(&bob).await, site(&carol).await);
    middle.site.connect(&far.site).await;
    middle.ready(&far.site).await;
    near.site.connect(&middle.site).await;
    near.ready(&middle.site).await;
    let file = schema::LogFile { charters: vec![largest], records: vec![record] };
    assert!(near.import.offer(file).await);
    eventually("the charter, and who was admitted under it", async || {
        let roster = far.site.roster.snapshot();
        (roster.charter().version(), roster.version()) == (2, coalition.roster.version())
    })
    .await;
}
