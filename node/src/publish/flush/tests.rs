use std::{
    future::poll_fn,
    pin::pin,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    task::{Context, Poll},
};

use belfry_proto::{
    id::{MemberId, MessageId, Sequence},
    schema::{self, KeysResponse, statement::Decision},
    trust::beacon::Beacon,
};
use tokio::task::JoinSet;

use super::*;
use crate::{
    heard::GateTimes,
    publish::{Defaults, Guards, Publisher, submission::Submission, submit},
    store::{DraftState, MessageRow},
    testing::{CIDR, CLOUD, Coalition, Seat, Site, eventually},
};

/// A flusher as after a start: its node is alone in the coalition, so no gate is before it.
pub(in crate::publish) fn flusher(site: &Site) -> Flusher {
    Flusher::new(
        Arc::clone(&site.seat.identity),
        site.store.clone(),
        site.network.clone(),
        site.roster.clone(),
        Feed::default(),
        watch::Sender::new(Hellos::new(GateTimes::default())).subscribe(),
        watch::Sender::new(LogWatch::default()).subscribe(),
    )
}

pub(in crate::publish) async fn flush_all(flusher: &mut Flusher) {
    while flusher.flush_queued().await {}
}

fn publisher(site: &Site) -> Publisher {
    Publisher::new(
        Arc::clone(&site.seat.identity),
        site.store.clone(),
        site.roster.clone(),
        Feed::default(),
        Defaults { tlp: belfry_proto::stix::marking::Tlp::Amber, purpose: None },
        Guards::default(),
    )
}

fn submission(key: usize) -> Submission {
    submit::tests::submission(&key.to_string())
}

async fn submitted(publisher: &Publisher, count: usize) -> Vec<PublicationId> {
    let mut drafts = Vec::new();
    for n in 0..count {
        drafts.push(publisher.submit(submission(n)).await.unwrap().publication);
    }
    drafts
}

fn row(site: &Site, publication: PublicationId) -> DraftRow {
    site.store.draft(publication).unwrap().unwrap()
}

/// Messages of a group, which are all in one log, in its order.
fn log(site: &Site, group: GroupId) -> Vec<MessageRow> {
    let mut messages = Vec::new();
    site.store.each_message(group, |message| messages.push(message)).unwrap();
    messages
}

/// Every draft is one message of the one log, in the order they were submitted, without a hole.
fn assert_once_in_order(site: &Site, drafts: &[PublicationId]) {
    let sent: Vec<MessageId> = drafts
        .iter()
        .flat_map(|draft| {
            let row = row(site, *draft);
            assert_eq!((row.state, row.messages.len()), (DraftState::Flushed, 1));
            row.messages
        })
        .collect();
    let log = log(site, CIDR);
    assert_eq!(log.iter().map(|message| message.id).collect::<Vec<_>>(), sent);
    assert!(log.iter().zip(1..).all(|(message, n)| message.sequence == Sequence::new(n)));
    assert_eq!(site.store.logs(CIDR).len(), 1);
}

async fn alone(groups: &[GroupId]) -> (Coalition, Seat, Site) {
    let mut coalition = Coalition::new();
    let alice = coalition.issue(1, groups);
    let site = Site::new(&coalition, &alice).await;
    (coalition, alice, site)
}

#[tokio::test]
async fn what_waits_together_goes_out_in_its_order_and_without_a_hole() {
    let (_, _, site) = alone(&[CIDR]).await;
    let drafts = submitted(&publisher(&site), 300).await;
    let mut flusher = flusher(&site);
    assert!(flusher.flush_queued().await, "more than fit at once");
    flush_all(&mut flusher).await;
    assert_once_in_order(&site, &drafts);
    assert_eq!(site.store.queued(1).unwrap(), []);
    assert_eq!(site.store.own_keys(Some(CIDR)).unwrap().len(), 1, "one key for all");
}

#[tokio::test]
async fn each_goes_into_its_groups_log_and_to_its_own_readers() {
    let (_, alice, site) = alone(&[CIDR, CLOUD]).await;
    let publisher = publisher(&site);
    let mut drafts = Vec::new();
    for n in 0..60 {
        let submission = Submission {
            group: if n % 2 == 0 { CIDR } else { CLOUD },
            recipients: if n % 3 == 0 { vec![alice.identity.member] } else { Vec::new() },
            exclude_supervisors: n % 5 == 0 && n % 3 != 0,
            ..submission(n)
        };
        let audience = crate::publish::read::audience_of(&submission);
        drafts.push((submission.group, audience, publisher.submit(submission).await.unwrap().publication));
    }
    flush_all(&mut flusher(&site)).await;
    for group in [CIDR, CLOUD] {
        let of_group: Vec<_> = drafts.iter().filter(|(of, ..)| *of == group).collect();
        let log = log(&site, group);
        assert_eq!(log.len(), of_group.len());
        for (message, (_, audience, publication)) in log.iter().zip(of_group) {
            let row = row(&site, *publication);
            assert_eq!(row.messages, [message.id]);
            let bytes = site.store.envelope(message.id).unwrap().unwrap();
            let decoded = belfry_proto::envelope::decode(&bytes).unwrap();
            assert_eq!(decoded.header().audience(), *audience);
            let key = site.store.key(message.key_id.unwrap()).unwrap();
            let of_key = key.and_then(|key| key.content_key()).map(|key| key.context().audience);
            assert_eq!(of_key, (*audience != Audience::Recipients).then_some(*audience));
        }
    }
}

#[tokio::test]
async fn one_that_is_refused_takes_no_place_and_keeps_no_other_back() {
    let (_, _, site) = alone(&[CIDR]).await;
    let publisher = publisher(&site);
    let mut drafts = submitted(&publisher, 2).await;
    let good = row(&site, drafts[0]);
    let mut bad = Vec::new();
    for (n, broken) in [
        DraftRow { parts: vec![b"no payload".to_vec()], ..good.clone() },
        DraftRow { audience: Audience::Recipients, recipients: vec![MemberId::new([9; 16])], ..good.clone() },
        // Its second part cannot go out, so the first does not.
        DraftRow { parts: vec![good.parts[0].clone(), Vec::new()], part_count: 2, ..good.clone() },
    ]
    .into_iter()
    .enumerate()
    {
        let publication = PublicationId::new([u8::try_from(n).unwrap(); 16]);
        let draft = DraftRow { publication, idempotency_key: None, created: clock::now(), ..broken };
        site.store.commit(Change::Draft(draft)).await.unwrap();
        bad.push(publication);
        drafts.push(publisher.submit(submission(10 + n)).await.unwrap().publication);
    }
    flush_all(&mut flusher(&site)).await;
    assert_once_in_order(&site, &drafts);
    for publication in bad {
        let row = row(&site, publication);
        assert_eq!((row.state, row.messages.len()), (DraftState::Refused, 0));
        assert!(row.error.is_some());
    }
}

#[tokio::test]
async fn what_withdraws_goes_among_the_others_in_its_turn() {
    let (_, _, site) = alone(&[CIDR]).await;
    let publisher = publisher(&site);
    let first = submitted(&publisher, 1).await[0];
    flush_all(&mut flusher(&site)).await;
    let target = row(&site, first).messages[0];
    let before = publisher.submit(submission(1)).await.unwrap().publication;
    let draft = DraftRow {
        publication: PublicationId::new([7; 16]),
        idempotency_key: None,
        created: clock::now(),
        withdraws: Some(belfry_proto::envelope::Withdrawal {
            targets: vec![target],
            mode: schema::WithdrawalMode::Retract,
            ground: schema::WithdrawalGround::Author,
        }),
        ..row(&site, before)
    };
    site.store.commit(Change::Draft(draft)).await.unwrap();
    let after = publisher.submit(submission(2)).await.unwrap().publication;
    flush_all(&mut flusher(&site)).await;
    let withdrawing = row(&site, PublicationId::new([7; 16]));
    assert_eq!((withdrawing.state, withdrawing.messages.len()), (DraftState::Flushed, 2));
    let sent = [row(&site, first), row(&site, before), withdrawing, row(&site, after)];
    let sent: Vec<MessageId> = sent.into_iter().flat_map(|row| row.messages).collect();
    assert_eq!(log(&site, CIDR).iter().map(|message| message.id).collect::<Vec<_>>(), sent);
}

#[tokio::test]
async fn without_a_fresh_beacon_drafts_wait_where_the_charter_says_so_and_go_out_with_one() {
    const HOUR: Duration = Duration::from_secs(3600);
    let (mut coalition, alice, _) = alone(&[CIDR]).await;
    let stopping = coalition.changed_charter(coalition.roster.version(), |charter| {
        charter.stale_after_s = 2 * HOUR.as_secs();
        charter.staleness = StalenessPolicy::StopPublishing.into();
    });
    let warning = coalition.roster.clone();
    coalition.roster.apply_charter(stopping).unwrap();
    let site = Site::new(&coalition, &alice).await;
    let drafts = submitted(&publisher(&site), 2).await;
    let watch = watch::Sender::new(LogWatch::default());
    let mut flusher = Flusher { log_watch: watch.subscribe(), ..flusher(&site) };
    let now = clock::now();
    let beacon = |made: Timestamp, expires: Timestamp| {
        let (head, charter_version) = (coalition.roster.version(), 2);
        LogWatch { beacon: Some(Beacon { head, charter_version, made, expires }), ..LogWatch::default() }
    };
    let later = now.saturating_add(24 * HOUR);
    for (what, watched) in [
        ("none has come", LogWatch::default()),
        ("by the charter it is too old", beacon(now.saturating_sub(2 * HOUR), later)),
        ("it has ended", beacon(now.saturating_sub(HOUR), now)),
    ] {
        watch.send_replace(watched);
        assert!(!flusher.flush_queued().await, "{what}");
        assert_eq!(*flusher.held().borrow(), Some(Hold::Stale), "{what}");
        assert_eq!(log(&site, CIDR).len(), 0, "{what}");
    }
    watch.send_replace(beacon(now.saturating_sub(HOUR), later));
    flush_all(&mut flusher).await;
    assert_eq!(*flusher.held().borrow(), None);
    assert_once_in_order(&site, &drafts);

    // The charter before only warns: it asks for beacons and holds nobody up.
    site.roster.replace(warning);
    watch.send_replace(LogWatch::default());
    let third = publisher(&site).submit(submission(3)).await.unwrap().publication;
    flush_all(&mut flusher).await;
    assert_eq!(row(&site, third).state, DraftState::Flushed);
}

/// A coalition whose second member is certified for as long as the test says, in a log in which all was decided when it began.
async fn beside(coalition: &mut Coalition, from: Timestamp, lasting: Duration) -> Site {
    coalition.decided = Some(coalition.began);
    let alice = coalition.issue(1, &[CIDR]);
    (coalition.began, coalition.lasting) = (from, lasting);
    coalition.issue(2, &[CIDR]);
    Site::new(coalition, &alice).await
}

/// By a clock that is wrong nobody is left who would say so.
#[tokio::test]
async fn nothing_is_sealed_without_a_hello_because_our_clock_alone_calls_all_others_certificates_over() {
    const HOUR: Duration = Duration::from_secs(3600);
    let now = clock::now();
    for (from, lasting) in [(now.saturating_sub(20 * HOUR), 10 * HOUR), (now.saturating_add(HOUR), HOUR)] {
        let mut coalition = Coalition::new();
        let site = beside(&mut coalition, from, lasting).await;
        let draft = submitted(&publisher(&site), 1).await[0];
        let watch = watch::Sender::new(LogWatch::default());
        let mut flusher = Flusher { log_watch: watch.subscribe(), ..flusher(&site) };
        assert!(!flusher.flush_queued().await);
        let told = flusher.held().borrow().unwrap();
        let (begun, ended) = match told {
            Hold::NobodyValid { from, until, .. } => (from, until),
            other => panic!("{other}"),
        };
        assert_eq!((begun, ended), (from, from.saturating_add(lasting)), "of the other, not our own");
        assert!(
            told.to_string().contains(&ended.to_string()) && told.to_string().contains("coalition beacon")
        );
        assert_eq!((row(&site, draft).state, log(&site, CIDR).len()), (DraftState::Queued, 0));
        // What the registrar signed says that the time of the other is over.
        let (head, made) = (coalition.roster.version(), now.saturating_add(10 * HOUR));
        let beacon = Beacon { head, charter_version: 1, made, expires: made.saturating_add(HOUR) };
        watch.send_replace(LogWatch { beacon: Some(beacon), ..LogWatch::default() });
        flush_all(&mut flusher).await;
        assert_eq!(row(&site, draft).state, DraftState::Flushed);
    }
}

/// Polls a future until it has waited so often; true if it was done before.
async fn waits<F: Future>(future: &mut std::pin::Pin<&mut F>, times: usize) -> bool {
    let mut waited = 0;
    poll_fn(|context: &mut Context<'_>| match future.as_mut().poll(context) {
        Poll::Ready(_) => Poll::Ready(true),
        Poll::Pending => {
            waited += 1;
            if waited > times { Poll::Ready(false) } else { Poll::Pending }
        }
    })
    .await
}

/// Whatever was on its way to the writer is there.
async fn settled(site: &Site) {
    let change = Change::Hook { name: "settled".to_owned(), state: Vec::new() };
    site.store.commit(change).await.unwrap();
}

#[tokio::test]
async fn wherever_it_stops_each_is_a_draft_or_its_messages_and_then_goes_out_once() {
    for stop in 0.. {
        let (_, _, site) = alone(&[CIDR]).await;
        let drafts = submitted(&publisher(&site), 20).await;
        let done = {
            let mut stopped = flusher(&site);
            let mut flush = pin!(stopped.flush_queued());
            waits(&mut flush, stop).await
        };
        settled(&site).await;
        let log = log(&site, CIDR);
        for draft in &drafts {
            let row = row(&site, *draft);
            let is_there = row.messages.iter().all(|id| log.iter().any(|message| message.id == *id));
            match row.state {
                DraftState::Queued => assert!(row.messages.is_empty() && !row.parts.is_empty()),
                DraftState::Flushed => assert!(row.messages.len() == 1 && is_there),
                other => panic!("{other:?}"),
            }
        }
        let flushed = drafts.iter().filter(|draft| row(&site, **draft).state == DraftState::Flushed);
        assert_eq!(flushed.count(), log.len(), "no message without its draft's new state");
        flush_all(&mut flusher(&site)).await;
        assert_once_in_order(&site, &drafts);
        if done {
            assert!(stop > 3, "it never waited");
            return;
        }
    }
}

#[tokio::test]
async fn whenever_the_admin_log_moves_each_goes_out_once_and_what_was_sealed_before_is_sealed_again() {
    let mut was_sealed_again = false;
    for moves in 0.. {
        let (mut coalition, alice, site) = alone(&[CIDR]).await;
        let drafts = submitted(&publisher(&site), 20).await;
        let mut flusher = flusher(&site);
        let before = coalition.roster.version().height;
        let done = {
            let mut flush = pin!(flusher.flush_queued());
            let done = waits(&mut flush, moves).await;
            let serial = alice.identity.serial.get();
            coalition.decide(1, Decision::Suspend(schema::Suspend { serial, cut: Vec::new() }));
            coalition.decide(1, Decision::Resume(schema::Resume { serial }));
            site.roster.replace(coalition.roster.clone());
            if !done {
                flush.await;
            }
            done
        };
        let at_first = log(&site, CIDR);
        assert!(at_first.is_empty() || at_first.len() == drafts.len());
        was_sealed_again |= at_first.is_empty();
        flush_all(&mut flusher).await;
        let mut flushed: Vec<_> = Vec::new();
        for log in site.store.logs(CIDR) {
            flushed.push(log.height.get());
        }
        assert_eq!(flushed.iter().sum::<u64>(), 20, "{flushed:?}");
        for draft in &drafts {
            assert_eq!(row(&site, *draft).state, DraftState::Flushed);
        }
        if at_first.is_empty() {
            let ids = log(&site, CIDR);
            assert!(ids.iter().all(|message| {
                let bytes = site.store.envelope(message.id).unwrap().unwrap();
                belfry_proto::envelope::decode(&bytes).unwrap().header().roster.height > before
            }));
        }
        if done {
            assert!(was_sealed_again);
            return;
        }
    }
}

/// A reader that answers every push, and takes what `takes` says.
fn reader(site: &mut Site, tasks: &mut JoinSet<()>, takes: impl Fn() -> bool + Send + 'static) {
    let mut pushed = site.inbound.take().unwrap().keys;
    tasks.spawn(async move {
        while let Some(asked) = pushed.recv().await {
            let ids = asked.request.pushed.iter().map(|grant| grant.key_id.clone());
            let stored = if takes() { ids.collect() } else { Vec::new() };
            asked.reply.send(KeysResponse { stored, ..KeysResponse::default() });
        }
    });
}

/// A flusher that others told this of its clock, and that is ready with these.
fn flusher_with(site: &Site, told: &watch::Sender<Hellos>, ready: &[&Site]) -> Flusher {
    let ready = ready.iter().map(|site| site.node()).collect();
    Flusher { hellos: told.subscribe(), ready, ..flusher(site) }
}

fn holders(site: &Site, group: GroupId) -> Vec<u32> {
    site.store.own_keys(Some(group)).unwrap().iter().map(|key| key.holders).collect()
}

#[tokio::test]
async fn a_key_that_no_reader_takes_is_not_sealed_with_until_one_does() {
    let mut coalition = Coalition::new();
    let seats = [1, 2].map(|n| coalition.issue(n, &[CIDR]));
    let alice = Site::new(&coalition, &seats[0]).await;
    let mut bob = Site::new(&coalition, &seats[1]).await;
    alice.connect(&bob).await;
    let (takes, mut tasks) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
    let flag = Arc::clone(&takes);
    reader(&mut bob, &mut tasks, move || flag.load(Ordering::Relaxed));
    let told = watch::Sender::new(Hellos::told(&[0]));
    let mut flusher = flusher_with(&alice, &told, &[&bob]);
    let draft = submitted(&publisher(&alice), 1).await[0];
    for _ in 0..3 {
        flush_all(&mut flusher).await;
        assert_eq!(row(&alice, draft).state, DraftState::Queued);
        assert_eq!(*flusher.held().borrow(), Some(Hold::NoHolder));
        assert_eq!(
            holders(&alice, CIDR),
            [0],
            "durable before anybody has it, and one for a log that is not begun"
        );
    }
    takes.store(true, Ordering::Relaxed);
    eventually("the reader to be offered it again", async || {
        flush_all(&mut flusher).await;
        row(&alice, draft).state == DraftState::Flushed
    })
    .await;
    assert_eq!(holders(&alice, CIDR), [1], "one key all along");
    assert_eq!(*flusher.held().borrow(), None);
}

#[tokio::test]
async fn what_waits_for_a_holder_keeps_neither_other_groups_nor_withdrawals_back_however_much_it_is() {
    let mut coalition = Coalition::new();
    let seats = [&[CIDR, CLOUD][..], &[CIDR], &[CLOUD]];
    let seats: Vec<Seat> = (1..).zip(seats).map(|(n, groups)| coalition.issue(n, groups)).collect();
    let alice = Site::new(&coalition, &seats[0]).await;
    let mut mute = Site::new(&coalition, &seats[1]).await;
    let mut willing = Site::new(&coalition, &seats[2]).await;
    alice.connect(&mute).await;
    alice.connect(&willing).await;
    let mut tasks = JoinSet::new();
    reader(&mut mute, &mut tasks, || false);
    reader(&mut willing, &mut tasks, || true);
    let told = watch::Sender::new(Hellos::told(&[0, 0]));
    let mut flusher = flusher_with(&alice, &told, &[&mute, &willing]);
    let publisher = publisher(&alice);
    let waiting = submitted(&publisher, AT_ONCE + 2).await;
    let submission = Submission { group: CLOUD, ..submission(AT_ONCE + 2) };
    let other = publisher.submit(submission).await.unwrap().publication;
    let withdrawal = DraftRow {
        publication: PublicationId::new([7; 16]),
        parts: Vec::new(),
        idempotency_key: None,
        created: clock::now(),
        withdraws: Some(belfry_proto::envelope::Withdrawal {
            targets: vec![MessageId::new([9; 32])],
            mode: schema::WithdrawalMode::Retract,
            ground: schema::WithdrawalGround::Author,
        }),
        ..row(&alice, waiting[0])
    };
    alice.store.commit(Change::Draft(withdrawal.clone())).await.unwrap();
    flush_all(&mut flusher).await;
    for publication in [other, withdrawal.publication] {
        let row = row(&alice, publication);
        assert_eq!((row.state, row.error), (DraftState::Flushed, None));
    }
    assert!(waiting.iter().all(|draft| row(&alice, *draft).state == DraftState::Queued));
    assert_eq!(*flusher.held().borrow(), Some(Hold::NoHolder), "withdrawals alone do not end it");
    assert_eq!((holders(&alice, CIDR), holders(&alice, CLOUD)), (vec![0], vec![1]));
}

/// A reader of two groups that answers neither push before it has both.
#[tokio::test]
async fn the_keys_of_all_groups_are_offered_side_by_side() {
    let mut coalition = Coalition::new();
    let seats = [1, 2].map(|n| coalition.issue(n, &[CIDR, CLOUD]));
    let alice = Site::new(&coalition, &seats[0]).await;
    let mut bob = Site::new(&coalition, &seats[1]).await;
    alice.connect(&bob).await;
    let (mut pushed, mut tasks) = (bob.inbound.take().unwrap().keys, JoinSet::new());
    tasks.spawn(async move {
        let both = [pushed.recv().await.unwrap(), pushed.recv().await.unwrap()];
        for asked in both {
            let stored = asked.request.pushed.iter().map(|grant| grant.key_id.clone()).collect();
            asked.reply.send(KeysResponse { stored, ..KeysResponse::default() });
        }
    });
    let told = watch::Sender::new(Hellos::told(&[0]));
    let mut flusher = flusher_with(&alice, &told, &[&bob]);
    let publisher = publisher(&alice);
    for (n, group) in [CIDR, CLOUD].into_iter().enumerate() {
        publisher.submit(Submission { group, ..submission(n) }).await.unwrap();
    }
    flush_all(&mut flusher).await;
    assert_eq!((holders(&alice, CIDR), holders(&alice, CLOUD)), (vec![1], vec![1]));
    assert_eq!(alice.store.queued(1).unwrap(), []);
}

#[tokio::test]
async fn by_a_clock_that_others_tell_to_be_off_no_key_is_pushed_and_none_counts_as_refused() {
    let mut coalition = Coalition::new();
    let seats = [1, 2].map(|n| coalition.issue(n, &[CIDR]));
    let alice = Site::new(&coalition, &seats[0]).await;
    let mut bob = Site::new(&coalition, &seats[1]).await;
    alice.connect(&bob).await;
    let (pushed, mut tasks) = (Arc::new(AtomicUsize::new(0)), JoinSet::new());
    let counter = Arc::clone(&pushed);
    reader(&mut bob, &mut tasks, move || {
        counter.fetch_add(1, Ordering::Relaxed);
        true
    });
    let day = 24 * 3_600_000_000;
    let told = watch::Sender::new(Hellos::told(&[day, day]));
    let mut flusher = flusher_with(&alice, &told, &[&bob]);
    submitted(&publisher(&alice), 1).await;
    let roster = alice.roster.snapshot();
    for hellos in [Hellos::told(&[day, day]), Hellos::told(&[-day, -day])] {
        told.send_replace(hellos);
        assert!(flusher.seek_holders(&roster).await);
        flusher.push_unshared().await;
        assert_eq!(pushed.load(Ordering::Relaxed), 0);
        let active = &flusher.keys[&(CIDR, Audience::Group)];
        assert!(!flusher.may_seal(&roster, active) && !active.is_offered());
    }
    told.send_replace(Hellos::told(&[0, 0]));
    flush_all(&mut flusher).await;
    assert_eq!((pushed.load(Ordering::Relaxed), holders(&alice, CIDR)), (1, vec![1]));
    assert_eq!(alice.store.queued(1).unwrap(), []);
}

/// Beside two of them, one that lies about the time must not silence the other for good.
#[tokio::test]
async fn where_the_only_other_member_tells_another_time_it_gets_no_key_and_drafts_go_out_as_if_it_were_away()
{
    let mut coalition = Coalition::new();
    let seats = [1, 2].map(|n| coalition.issue(n, &[CIDR]));
    let alice = Site::new(&coalition, &seats[0]).await;
    let mut bob = Site::new(&coalition, &seats[1]).await;
    alice.connect(&bob).await;
    let mut tasks = JoinSet::new();
    reader(&mut bob, &mut tasks, || true);
    let told = watch::Sender::new(Hellos::told(&[24 * 3_600_000_000]));
    let mut flusher = flusher_with(&alice, &told, &[&bob]);
    let draft = submitted(&publisher(&alice), 1).await[0];
    eventually("three offers that reach nobody", async || {
        flush_all(&mut flusher).await;
        row(&alice, draft).state == DraftState::Flushed
    })
    .await;
    assert_eq!(holders(&alice, CIDR), [0], "readable only here");
    told.send_replace(Hellos::told(&[0]));
    flusher.push_unshared().await;
    assert_eq!(holders(&alice, CIDR), [1]);
}
