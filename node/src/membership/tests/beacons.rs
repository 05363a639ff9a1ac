//! What the registrar's beacons say of the admin log, and the proof that it signed two.

use super::*;
use crate::heard::Freshness;

#[tokio::test]
async fn a_beacon_makes_the_log_fresh_survives_a_restart_and_goes_stale() {
    let (coalition, alice, _) = pair();
    let site = Site::new(&coalition, &alice).await;
    let feed = Feed::default();
    let mut before = membership(&site, &feed);
    let charter = coalition.roster.charter();
    let fresh = |membership: &Membership, now| membership.watch.borrow().freshness(charter, now);
    assert_eq!(fresh(&before, clock::now()), Freshness::Unknown);
    let signed = beacon(&coalition, &coalition.roster);
    assert_eq!(before.judge_beacon(signed.clone(), None).await, Verdict::Accept);
    assert_eq!(before.judge_beacon(signed, None).await, Verdict::Ignore, "held already");
    let mut after = membership(&site, &feed);
    after.restore_watch();
    assert_eq!(fresh(&after, clock::now()), Freshness::Fresh);
    let made = after.watch.borrow().beacon.unwrap().made;
    let later = made.saturating_add(Duration::from_secs(8 * 24 * 3600));
    assert_eq!(fresh(&after, later), Freshness::Stale(made));
}

#[tokio::test]
async fn a_beacon_whose_head_is_not_here_is_not_fresh_and_displaces_nothing() {
    let (mut coalition, alice, _) = pair();
    let (earlier, site) = (coalition.roster.clone(), Site::new(&coalition, &alice).await);
    coalition.issue(3, &[CIDR]);
    let mut membership = membership(&site, &Feed::default());
    assert_eq!(membership.judge_beacon(beacon(&coalition, &earlier), None).await, Verdict::Accept);
    let held = membership.watch.borrow().beacon;
    let ahead = beacon(&coalition, &coalition.roster);
    assert_eq!(membership.judge_beacon(ahead, None).await, Verdict::Accept, "told on");
    let watch = membership.watch.borrow().clone();
    assert_eq!((watch.beacon, watch.missing), (held, Some(coalition.roster.version())));
    // The record comes, and with it the freshness.
    let record = coalition.roster.records().last().unwrap().record.clone();
    assert!(membership.offer(Vec::new(), vec![record]).await);
    let watch = membership.watch.borrow().clone();
    assert_eq!(watch.beacon.unwrap().head, coalition.roster.version());
    assert_eq!(watch.missing, None);
}

/// Two histories under one registrar: the beacon of the other is no news about ours.
#[tokio::test]
async fn a_beacon_for_another_log_is_shown_and_displaces_nothing() {
    let (coalition, alice, _) = pair();
    let (mut ours, mut other) = (coalition.clone(), coalition);
    ours.issue(3, &[CIDR]);
    other.issue(4, &[CIDR]);
    let site = Site::new(&ours, &alice).await;
    let mut membership = membership(&site, &Feed::default());
    membership.judge_beacon(beacon(&ours, &ours.roster), None).await;
    let held = membership.watch.borrow().beacon;
    membership.judge_beacon(beacon(&other, &other.roster), None).await;
    let watch = membership.watch.borrow().clone();
    assert_eq!((watch.beacon, watch.contradicted), (held, Some(other.roster.version())));
}

#[tokio::test]
async fn a_forged_beacon_is_ignored() {
    let (coalition, alice, _) = pair();
    let site = Site::new(&coalition, &alice).await;
    let mut membership = membership(&site, &Feed::default());
    let mut forged = beacon(&coalition, &coalition.roster);
    *forged.signatures[0].signature.last_mut().unwrap() ^= 1;
    assert_eq!(membership.judge_beacon(forged, None).await, Verdict::Ignore);
    assert!(membership.watch.borrow().beacon.is_none());
}

#[tokio::test]
async fn a_beacon_comes_with_the_hello() {
    let (coalition, alice, bob) = pair();
    let host = Running::start(Site::new(&coalition, &alice).await);
    assert!(host.import.beacon(beacon(&coalition, &coalition.roster)).await);
    let site = Site::new(&coalition, &bob).await;
    let store = site.store.clone();
    let node = Running::start(site);
    node.site.connect(&host.site).await;
    eventually("the beacon", async || store.beacon().unwrap().is_some()).await;
}

#[tokio::test]
async fn two_entries_for_one_height_are_proof_that_is_kept_and_told_on() {
    let (coalition, alice, bob) = pair();
    let (mut ours, mut other) = (coalition.clone(), coalition);
    ours.issue(3, &[CIDR]);
    other.issue(4, &[CIDR]);
    let site = Site::new(&ours, &alice).await;
    let height = ours.roster.version().height;
    let conflicting = other.roster.records().last().unwrap().record.clone();
    {
        let mut membership = membership(&site, &Feed::default());
        let own = ours.roster.records().last().unwrap().record.clone();
        assert_eq!(membership.judge_record(own, bob.identity.node).await, Verdict::Ignore);
        let judged = membership.judge_record(conflicting.clone(), bob.identity.node).await;
        assert_eq!(judged, Verdict::Accept, "so that others with our branch see it, too");
        let again = membership.judge_record(conflicting, bob.identity.node).await;
        assert_eq!(again, Verdict::Ignore);
    }
    let mut restarted = membership(&site, &Feed::default());
    restarted.restore_watch();
    assert_eq!(restarted.watch.borrow().equivocations, [height]);
    assert_eq!(site.store.equivocations().unwrap().len(), 1);
}

/// Not only gossip and hellos bring the other log: whoever was given its file has the proof in hand.
#[tokio::test]
async fn a_file_with_another_entry_at_our_height_is_proof_and_changes_nothing() {
    let (coalition, alice, _) = pair();
    let (mut ours, mut other) = (coalition.clone(), coalition);
    ours.issue(3, &[CIDR]);
    other.issue(4, &[CIDR]);
    other.issue(5, &[CIDR]);
    let site = Site::new(&ours, &alice).await;
    let mut membership = membership(&site, &Feed::default());
    let records =
        |coalition: &Coalition| coalition.roster.records().map(|r| r.record.clone()).collect::<Vec<_>>();
    assert!(!membership.offer(Vec::new(), records(&ours)).await);
    assert!(site.store.equivocations().unwrap().is_empty(), "our own is none");
    assert!(!membership.offer(Vec::new(), records(&other)).await);
    assert_eq!(membership.roster_now().version(), ours.roster.version());
    assert_eq!(membership.watch.borrow().equivocations, [ours.roster.version().height]);
    assert_eq!(site.store.equivocations().unwrap().len(), 1);
}

/// The two branches meet in a hello: each side fetches what contradicts its own.
#[tokio::test]
async fn nodes_on_two_branches_find_the_proof_when_they_meet() {
    let (coalition, alice, bob) = pair();
    for longer in [false, true] {
        let (mut ours, mut other) = (coalition.clone(), coalition.clone());
        ours.issue(3, &[CIDR]);
        other.issue(4, &[CIDR]);
        if longer {
            other.issue(5, &[CIDR]);
        }
        let host = Running::start(Site::new(&ours, &alice).await);
        let guest = Running::start(Site::new(&other, &bob).await);
        guest.site.connect(&host.site).await;
        eventually("the proof", async || !guest.site.store.equivocations().unwrap().is_empty()).await;
        assert!(!guest.hellos.borrow().forked_with.is_empty() || longer);
    }
}
