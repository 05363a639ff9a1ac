//! Removals that stand in another log than ours: applied, kept, told on, and given back.

use belfry_proto::{
    id::Height,
    schema::{Record, statement::Decision},
    trust::{
        log::LogError,
        on_sight::{RemovalSeen, UnorderedError},
        roster::Standing,
    },
};

use super::*;
use crate::{heard::removal, store::Change};

fn suspend(seat: &Seat) -> Decision {
    Decision::Suspend(schema::Suspend { serial: seat.identity.serial.get(), cut: Vec::new() })
}

/// Two logs of one coalition of three: ours goes on with a fourth member, the other one with a fifth and without carol.
fn branches() -> (Coalition, Coalition, [Seat; 3]) {
    let (mut coalition, alice, bob) = pair();
    let carol = coalition.issue(3, &[CIDR]);
    let (mut ours, mut other) = (coalition.clone(), coalition);
    ours.issue(4, &[CIDR]);
    other.issue(5, &[CIDR]);
    other.decide(3, suspend(&carol));
    (ours, other, [alice, bob, carol])
}

fn records(coalition: &Coalition) -> Vec<Record> {
    coalition.roster.records().map(|record| record.record.clone()).collect()
}

fn standing(roster: &Roster, seat: &Seat) -> Standing {
    roster.standing(seat.identity.serial, clock::now())
}

#[tokio::test]
async fn a_removal_of_the_other_branch_holds_at_once_and_over_a_restart_until_a_charter_pins_ours() {
    let (ours, other, [alice, bob, carol]) = branches();
    let site = Site::new(&ours, &alice).await;
    let mut membership = membership(&site, &Feed::default());
    let (before, peer) = (membership.roster_now().version(), bob.identity.node);
    let theirs = records(&other);
    let [.., conflicting, removal] = theirs.as_slice() else { panic!("two of its own") };
    // The removal lies one above our head, the entry below it contradicts ours.
    assert_eq!(membership.judge_record(conflicting.clone(), peer).await, Verdict::Accept);
    assert_eq!(standing(&membership.roster_now(), &carol), Standing::Valid);
    assert_eq!(
        membership.judge_record(removal.clone(), peer).await,
        Verdict::Accept,
        "for others with our branch"
    );
    assert_eq!(membership.judge_record(removal.clone(), peer).await, Verdict::Ignore, "held");
    assert_eq!(standing(&site.roster.snapshot(), &carol), Standing::Suspended);
    assert_eq!(membership.roster_now().version(), before, "nobody changes sides");
    let allowed = membership.allowed.clone().unwrap();
    assert!(allowed.contains(&peer) && !allowed.contains(&carol.identity.node));

    let mut restarted = ours.roster.clone();
    assert_eq!(standing(&restarted, &carol), Standing::Valid);
    recall(&site.store, &mut restarted).unwrap();
    assert_eq!((standing(&restarted, &carol), restarted.is_forked()), (Standing::Suspended, true));

    let pinning = ours.next_charter(ours.roster.version());
    assert!(membership.offer(vec![pinning], Vec::new()).await);
    assert_eq!(standing(&membership.roster_now(), &carol), Standing::Valid);
    assert!(membership.allowed.clone().unwrap().contains(&carol.identity.node));
    assert!(site.store.removals_seen().unwrap().is_empty());
}

#[tokio::test]
async fn a_removal_beyond_a_gap_holds_before_the_gap_is_filled_and_is_the_logs_afterwards() {
    let (mut coalition, alice, bob) = pair();
    let carol = coalition.issue(3, &[CIDR]);
    let (known, site) = (coalition.roster.version().height.get(), Site::new(&coalition, &alice).await);
    coalition.issue(4, &[CIDR]);
    coalition.decide(3, suspend(&carol));
    let news = records(&coalition).split_off(usize::try_from(known).unwrap());
    let mut membership = membership(&site, &Feed::default());
    assert_eq!(membership.judge_record(news[1].clone(), bob.identity.node).await, Verdict::Accept);
    assert_eq!(standing(&membership.roster_now(), &carol), Standing::Suspended);
    assert_eq!(site.store.removals_seen().unwrap().len(), 1);
    assert!(membership.offer(Vec::new(), news).await);
    assert_eq!(membership.roster_now().version(), coalition.roster.version());
    assert_eq!(standing(&membership.roster_now(), &carol), Standing::Suspended);
    assert!(site.store.removals_seen().unwrap().is_empty());
}

/// The log suspended and resumed it: that suspension is over, and is not why it is refused.
#[test]
fn who_is_removed_on_sight_is_shown_what_removes_it_and_no_older_decision() {
    let (mut coalition, _, _) = pair();
    let carol = coalition.issue(3, &[CIDR]);
    let serial = carol.identity.serial;
    coalition.decide(3, suspend(&carol));
    let mut other = coalition.clone();
    let resume = || Decision::Resume(schema::Resume { serial: serial.get() });
    coalition.decide(3, resume());
    other.decide(3, resume());
    other.issue(4, &[CIDR]);
    let groups = vec![CIDR.get()];
    let disentitle = schema::Disentitle { serial: serial.get(), groups, cut: Vec::new() };
    other.decide(3, Decision::Disentitle(disentitle));
    other.decide(3, suspend(&carol));
    let last: Vec<_> = other.roster.records().skip(6).collect();
    let [disentitled, suspended] = last.as_slice() else { panic!("two removals") };
    let mut roster = coalition.roster.clone();
    assert!(roster.see(RemovalSeen::of(disentitled).unwrap()));
    let shown = |roster: &Roster, standing| removal::shown(roster, serial, standing);
    assert_eq!(shown(&roster, Standing::Valid), None, "a group is no certificate");
    assert!(roster.see(RemovalSeen::of(suspended).unwrap()));
    assert_eq!(standing(&roster, &carol), Standing::Suspended);
    assert_eq!(shown(&roster, Standing::Suspended), Some(suspended.record.clone()));
    assert_eq!(shown(&roster, Standing::Revoked), None);
}

#[tokio::test]
async fn a_removal_of_this_node_that_a_charter_has_settled_is_shown_to_nobody_again() {
    let (mut ours, alice, bob) = pair();
    let mut other = ours.clone();
    ours.issue(3, &[CIDR]);
    other.issue(4, &[CIDR]);
    other.decide(1, suspend(&alice));
    let (record, peer) = (records(&other).pop().unwrap(), bob.identity.node);
    for is_settled in [false, true] {
        let site = Site::new(&ours, &alice).await;
        let mut membership = membership(&site, &Feed::default());
        if is_settled {
            assert!(membership.offer(vec![ours.next_charter(ours.roster.version())], Vec::new()).await);
        }
        membership.removed(peer, &record);
        assert_eq!(membership.hellos().borrow().removal.is_none(), is_settled);
    }
}

/// Whoever holds the registrar's key may sign any height twice: the lowest one says where the branches part.
#[tokio::test]
async fn proofs_of_high_forks_leave_room_for_the_lowest() {
    let (mut ours, alice, _) = pair();
    let carol = ours.issue(3, &[CIDR]);
    let mut other = ours.clone();
    for branch in [&mut ours, &mut other] {
        for _ in 0..20 {
            branch.decide(3, suspend(&carol));
            branch.decide(3, Decision::Resume(schema::Resume { serial: carol.identity.serial.get() }));
        }
    }
    let site = Site::new(&ours, &alice).await;
    let mut membership = membership(&site, &Feed::default());
    let mut forked: Vec<_> = other.roster.records().skip(3).collect();
    forked.reverse();
    for record in forked {
        assert_eq!(membership.judge_earlier(record).await, Verdict::Accept, "{}", record.height);
    }
    let mut kept = membership.watch.borrow().equivocations.clone();
    kept.sort_unstable();
    assert_eq!(kept, (4..36).map(Height::new).collect::<Vec<_>>());
    let stored: Vec<_> = site.store.equivocations().unwrap().into_iter().map(|(height, _)| height).collect();
    assert_eq!(stored, kept);
}

#[tokio::test]
async fn a_row_that_a_crash_left_behind_holds_nobody_and_goes_at_the_start() {
    let (mut coalition, alice, _) = pair();
    let carol = coalition.issue(3, &[CIDR]);
    coalition.decide(3, suspend(&carol));
    coalition.decide(3, Decision::Resume(schema::Resume { serial: carol.identity.serial.get() }));
    let site = Site::new(&coalition, &alice).await;
    // The log has it, and took it back: only the row of before is still there.
    let decided = coalition.roster.records().find(|record| record.height == Height::new(4)).unwrap();
    let (statement, record) = (decided.statement.id, decided.record.encode_to_vec());
    site.store.commit(Change::RemovalSeen { statement, record }).await.unwrap();
    let mut restarted = coalition.roster.clone();
    recall(&site.store, &mut restarted).unwrap();
    assert_eq!(standing(&restarted, &carol), Standing::Valid);
    membership(&site, &Feed::default()).forget_left().await;
    assert!(site.store.removals_seen().unwrap().is_empty());
}

#[tokio::test]
async fn a_file_of_the_other_branch_removes_and_gives_nothing() {
    let (ours, mut other, [alice, _, carol]) = branches();
    other.issue(6, &[CIDR]);
    let site = Site::new(&ours, &alice).await;
    let mut membership = membership(&site, &Feed::default());
    assert!(!membership.offer(Vec::new(), records(&other)).await);
    assert_eq!(membership.roster_now().version(), ours.roster.version());
    assert_eq!(standing(&membership.roster_now(), &carol), Standing::Suspended);
    assert_eq!(membership.roster_now().members().count(), ours.roster.members().count());
    assert_eq!(membership.watch.borrow().equivocations, [Height::new(4)]);
}

#[tokio::test]
async fn a_removal_that_nobody_ordered_counts_only_where_the_log_is_forked() {
    let (ours, other, [alice, bob, carol]) = branches();
    let site = Site::new(&ours, &alice).await;
    let mut membership = membership(&site, &Feed::default());
    let statement = ours.record(3, suspend(&carol)).statement.unwrap();
    let unordered = Record { entry: None, statement: Some(statement.clone()) };
    let peer = bob.identity.node;
    assert_eq!(membership.judge_record(unordered.clone(), peer).await, Verdict::Ignore);
    assert_eq!(membership.imported_removal(statement.clone()).await, Err(UnorderedError::NotForked));
    assert_eq!(standing(&membership.roster_now(), &carol), Standing::Valid);

    let conflicting = records(&other)[3].clone();
    assert_eq!(membership.judge_record(conflicting, peer).await, Verdict::Accept);
    // What one signature is missing to is still refused.
    let unsigned = schema::Signed { signatures: Vec::new(), ..statement };
    assert!(matches!(membership.imported_removal(unsigned).await, Err(UnorderedError::Admins(_))));
    assert_eq!(membership.judge_record(unordered, peer).await, Verdict::Accept);
    assert_eq!(standing(&membership.roster_now(), &carol), Standing::Suspended);
    let mut restarted = ours.roster.clone();
    recall(&site.store, &mut restarted).unwrap();
    assert_eq!(standing(&restarted, &carol), Standing::Suspended);
}

/// Its key orders nothing any more, on whatever height.
#[tokio::test]
async fn what_a_former_registrar_orders_counts_as_ordered_by_nobody() {
    let (mut coalition, alice, bob) = pair();
    let carol = coalition.issue(3, &[CIDR]);
    let registrar = belfry_proto::crypto::sign::SigningKey::from_seed(&[204; 32]).public();
    let charter = coalition.changed_charter(coalition.roster.version(), |charter| {
        charter.registrar = registrar.as_bytes().to_vec();
    });
    coalition.roster.apply_charter(charter).unwrap();
    let site = Site::new(&coalition, &alice).await;
    let mut membership = membership(&site, &Feed::default());
    let (record, peer) = (coalition.record(3, suspend(&carol)), bob.identity.node);
    assert_eq!(membership.judge_record(record.clone(), peer).await, Verdict::Ignore);
    assert_eq!(standing(&membership.roster_now(), &carol), Standing::Valid);
    let mut forked = Roster::clone(&membership.roster_now());
    forked.fork_proven([Height::new(4)]);
    membership.roster.replace(forked);
    membership.judge_record(record, peer).await;
    assert_eq!(standing(&membership.roster_now(), &carol), Standing::Suspended);
}

#[test]
fn of_a_page_each_removal_is_looked_at_once_and_a_forged_copy_hides_none() {
    let (ours, other, [_, _, carol]) = branches();
    let record = records(&other).pop().unwrap();
    let statement = record.statement.clone().unwrap();
    let unsigned = schema::Signed { signatures: Vec::new(), ..statement };
    let forged = Record { entry: None, statement: Some(unsigned) };
    let mut taken = std::collections::BTreeSet::new();
    let mut roster = ours.roster.clone();
    let mut looks = |roster: &Roster, record: &Record| {
        crate::membership::on_sight::removal(roster, record, &mut taken).is_some()
    };
    assert!(!looks(&roster, &forged));
    assert!(looks(&roster, &record));
    assert!(!looks(&roster, &record), "on the same page");
    taken.clear();
    let seen = crate::membership::on_sight::removal(&roster, &record, &mut taken).unwrap();
    assert!(roster.see(seen));
    assert_eq!(standing(&roster, &carol), Standing::Suspended);
    taken.clear();
    assert!(crate::membership::on_sight::removal(&roster, &record, &mut taken).is_none(), "held");
}

#[test]
fn of_another_branch_the_first_entry_and_removals_are_handed_on_and_nothing_that_does_not_verify() {
    let (ours, mut other, _) = branches();
    other.issue(6, &[CIDR]);
    let theirs = records(&other);
    let [.., first, removal, last] = theirs.as_slice() else { panic!("three of its own") };
    let unsigned = |record: &Record| {
        let mut record = record.clone();
        record.statement.as_mut().unwrap().signatures.clear();
        record
    };
    let read = |records: &[&Record]| -> Vec<Result<Option<u64>, LogError>> {
        let mut reading = crate::membership::on_sight::Reading::of(&ours.roster);
        let height = |verified: VerifiedRecord| verified.height.get();
        let taken = (4..).zip(records).map(|(at, record)| reading.take(at, record));
        taken.map(|taken| taken.map(|taken| taken.map(height))).collect()
    };
    assert_eq!(read(&[first, removal, last]), [Ok(Some(4)), Ok(Some(5)), Ok(None)]);
    assert_eq!(read(&[first, removal, removal]), [Ok(Some(4)), Ok(Some(5)), Ok(None)], "once");
    let (forged, hiding) = (unsigned(first), unsigned(removal));
    assert_eq!(read(&[first, &hiding, removal]), [Ok(Some(4)), Ok(None), Ok(Some(5))]);
    let refused = read(&[&forged, removal, last]);
    assert!(
        matches!(refused.as_slice(), [Err(LogError::Admins { .. }), Ok(Some(5)), Ok(None)]),
        "{refused:?}"
    );
}

/// Nobody gossips here while they meet: each reads of the other's log what is not in its own.
#[tokio::test]
async fn nodes_on_two_branches_take_over_each_others_removals_when_they_meet() {
    let (mut ours, alice, bob) = pair();
    let (carol, erin) = (ours.issue(3, &[CIDR]), ours.issue(4, &[CIDR]));
    let mut other = ours.clone();
    // Number 5 is one certificate here and another one there.
    ours.issue(5, &[CIDR]);
    other.issue(6, &[CIDR]);
    let fifth = belfry_proto::id::Serial::new(5);
    other.decide(3, suspend(&carol));
    // Neither head is a removal, nor is what the other has at the height of one.
    other.issue(7, &[CIDR]);
    ours.decide(5, Decision::Suspend(schema::Suspend { serial: fifth.get(), cut: Vec::new() }));
    let dave = ours.issue(8, &[CIDR]);
    ours.decide(4, suspend(&erin));
    ours.issue(9, &[CIDR]);
    let (host, guest) =
        (Running::start(Site::new(&ours, &alice).await), Running::start(Site::new(&other, &bob).await));
    guest.site.connect(&host.site).await;
    eventually("carol to be out on our branch", async || {
        standing(&host.site.roster.snapshot(), &carol) == Standing::Suspended
    })
    .await;
    let theirs = guest.site.roster.snapshot();
    assert_eq!(theirs.standing(carol.identity.serial, clock::now()), Standing::Suspended, "by its own log");
    assert!(theirs.by_node(&dave.identity.node).is_none());
    eventually("the proof", async || !guest.site.store.equivocations().unwrap().is_empty()).await;
    // It comes after the suspension of our fifth one, so that has come as well, and has left theirs alone.
    eventually("erin to be out on theirs", async || {
        standing(&guest.site.roster.snapshot(), &erin) == Standing::Suspended
    })
    .await;
    let theirs = guest.site.roster.snapshot();
    assert!(theirs.is_forked());
    assert_eq!(theirs.standing(fifth, clock::now()), Standing::Valid);
}

#[tokio::test]
async fn whoever_comes_later_with_our_branch_is_told() {
    let (ours, other, [alice, bob, carol]) = branches();
    let host = Running::start(Site::new(&ours, &alice).await);
    let file = schema::LogFile { records: records(&other), ..schema::LogFile::default() };
    assert!(!host.import.offer(file).await);
    assert_eq!(standing(&host.site.roster.snapshot(), &carol), Standing::Suspended);
    let late = Running::start(Site::new(&ours, &bob).await);
    assert_eq!(standing(&late.site.roster.snapshot(), &carol), Standing::Valid);
    late.site.connect(&host.site).await;
    eventually("the removal", async || standing(&late.site.roster.snapshot(), &carol) == Standing::Suspended)
        .await;
    assert_eq!(late.site.store.removals_seen().unwrap().len(), 1);
}
