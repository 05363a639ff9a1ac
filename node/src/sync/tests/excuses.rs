//! Entries without their body: gone by right, missing, excused later.

use belfry_proto::envelope::{LIFTED_WITHIN, Word};

use super::*;
use crate::store::{JudgedLog, Withdraws};

/// A steward's withdrawal was lifted, but this node had shredded the body meanwhile.
#[tokio::test]
async fn a_missing_body_is_fetched_from_whoever_has_it() {
    let (coalition, [alice, bob, carol]) = three();
    let messages = coalition.messages(&alice, CIDR, None, 3);
    let target = messages[1].message_id();
    let mut holder = Site::new(&coalition, &carol).await;
    holder.hold(&messages).await;
    let site = Site::new(&coalition, &bob).await;
    site.hold(&messages).await;
    let now = clock::now();
    let withdraws = |n: usize, mode, target: MessageId| {
        let row = filler(n);
        let word = Word {
            id: row.id,
            group: CIDR,
            member: MemberId::new([9; 16]),
            mode,
            ground: WithdrawalGround::Rules,
            by_steward: true,
            created: now,
            seen: now,
        };
        let header = schema::Header { targets: vec![target.to_vec()], ..schema::Header::default() };
        let envelope = schema::Envelope { header: header.encode_to_vec(), ..schema::Envelope::default() };
        let withdraws = Some(Withdraws { word, targets: vec![target] });
        EnvelopeRow { withdraws, bytes: envelope.encode_to_vec(), ..row }
    };
    let weigh = async |row: EnvelopeRow, now| {
        site.store.commit(Change::Envelope(Box::new(row))).await.unwrap();
        loop {
            let work = site.store.to_reweigh(now, 10).unwrap();
            if work.is_empty() {
                return site.store.wants_body(target).unwrap();
            }
            site.store.commit(Change::Reweigh { work, now }).await.unwrap();
        }
    };
    let erased = withdraws(0, WithdrawalMode::Erase, target);
    let withdrawal = erased.id;
    assert!(!weigh(erased, now.saturating_add(LIFTED_WITHIN)).await, "gone by right");
    assert!(weigh(withdraws(1, WithdrawalMode::Lift, withdrawal), now).await, "missing");

    let (_, _tasks) = serve(&mut holder);
    let puller = Puller::start_in(site);
    puller.site.connect(&holder).await;
    puller.ready(&holder);
    eventually("the body to come", async || !puller.site.store.wants_body(target).unwrap()).await;
    assert!(puller.site.store.message(target).unwrap().unwrap().has_body);
}

/// What its log's judgement says of a withdrawal whose author signed two histories.
async fn disputes(site: &Site, withdrawal: &Decoded) {
    let hide = vec![(withdrawal.message_id(), MessageState::Disputed)];
    let (group, log) = (CIDR, withdrawal.header().log);
    let judged = JudgedLog { group, log, hide, show: Vec::new(), promote: Vec::new(), end: None };
    site.store.commit(Change::Judged(judged)).await.unwrap();
    reweigh(site).await;
}

/// The body went by an erasure that stands no more: its absence is excused by nothing, and nobody here has it.
#[tokio::test]
async fn an_erasure_that_stands_no_more_stops_no_late_joiner() {
    for knows_that in [false, true] {
        let mut coalition = Coalition::new();
        let [alice, bob, carol, dave] = [1, 2, 3, 4].map(|n| coalition.issue(n, &[CIDR]));
        let messages = coalition.messages(&alice, CIDR, None, 6);
        let target = messages[1].message_id();
        let [erased, denied] = [(); 2].map(|()| erasure(&coalition, &alice, target));
        let mut holder = Site::new(&coalition, &bob).await;
        holder.hold(&messages[..5]).await;
        weigh(&holder, &coalition, &erased).await;
        assert!(!holder.store.message(target).unwrap().unwrap().has_body);
        weigh(&holder, &coalition, &denied).await;
        disputes(&holder, &erased).await;
        assert!(holder.store.wants_body(target).unwrap(), "missing, and no withdrawal stands");

        let joiner = Site::new(&coalition, &carol).await;
        if knows_that {
            weigh(&joiner, &coalition, &erased).await;
            weigh(&joiner, &coalition, &denied).await;
            disputes(&joiner, &erased).await;
        }
        let (_, _tasks) = serve(&mut holder);
        let puller = Puller::start_in(joiner);
        puller.site.connect(&holder).await;
        puller.ready(&holder);
        puller.holds(&messages[..5]).await;
        // What comes later goes on from there.
        holder.hold(&messages[5..]).await;
        puller.ready(&holder);
        puller.holds(&messages).await;
        assert_eq!(puller.counters.snapshot().faults, 0, "the holder did what it could");
        if knows_that {
            assert!(puller.site.store.wants_body(target).unwrap());
            puller.says(State::NobodyOffers).await;
            assert_eq!(puller.told().without_body, 1);
            // Level: what neither has is not asked for again and again.
            eventually("both pages counted", async || puller.counters.snapshot().pages == 2).await;
            let before = puller.counters.snapshot().level;
            puller.ready(&holder);
            eventually("a level comparison", async || puller.counters.snapshot().level > before).await;
            assert_eq!(puller.counters.snapshot().pages, 2);
            // Somebody has it after all.
            let mut lucky = Site::new(&coalition, &dave).await;
            lucky.hold(&messages).await;
            let (_, _lucky_tasks) = serve(&mut lucky);
            puller.site.connect(&lucky).await;
            puller.ready(&lucky);
            eventually("the body", async || !puller.site.store.wants_body(target).unwrap()).await;
        }
    }
}

/// A page whose excuse has to wait for the admin log: the bare entry waits with it, and the peer is not to blame.
#[tokio::test]
async fn an_entry_whose_excuse_is_parked_waits_without_blame() {
    let mut coalition = Coalition::new();
    let [alice, bob, carol] = [1, 2, 3].map(|n| coalition.issue(n, &[CIDR]));
    let messages = coalition.messages(&alice, CIDR, None, 4);
    let behind = coalition.roster.clone();
    coalition.issue(4, &[CIDR]);
    let erased = erasure(&coalition, &alice, messages[1].message_id());
    let mut holder = Site::new(&coalition, &bob).await;
    holder.hold(&messages).await;
    weigh(&holder, &coalition, &erased).await;
    let (_, _tasks) = serve(&mut holder);
    let puller = Puller::start_in(Site::knowing(&coalition, behind, &carol).await);
    puller.site.connect(&holder).await;
    puller.ready(&holder);
    puller.holds(&messages[..1]).await;
    eventually("the excuse parked", async || !puller.site.store.parked(None, 9).unwrap().is_empty()).await;
    // Asked for again and again, until the admin log is here.
    puller.site.roster.replace(coalition.roster.clone());
    puller.feed.notify(Notice::RosterChanged(coalition.roster.version().height));
    puller.holds(&messages).await;
    assert_eq!(puller.counters.snapshot().faults, 0);
    assert!(!puller.site.store.wants_body(messages[1].message_id()).unwrap());
}

/// Bodies were kept for a day, and by the charter of today are for ever. Who let go of them before counts their entries as whole;
/// who comes since misses them.
#[tokio::test]
async fn bodies_that_went_by_an_earlier_charter_are_not_asked_for_after_each_comparison() {
    let mut coalition = Coalition::new();
    let [alice, bob, carol, dave] = [1, 2, 3, 4].map(|n| coalition.issue(n, &[CIDR]));
    let pin = coalition.roster.version();
    let a_day = coalition.changed_charter(pin, |charter| {
        charter.groups.iter_mut().for_each(|group| group.retention_s = 24 * 3600);
    });
    coalition.roster.apply_charter(a_day).unwrap();
    let for_ever = coalition.next_charter(pin);
    coalition.roster.apply_charter(for_ever).unwrap();
    let written = clock::now().saturating_sub(Duration::from_secs(12 * 3600));
    let mut messages = coalition.messages_at(written, &alice, CIDR, [0x11; 16], None, 4).0;
    let (log, target) = (messages[0].header().log, messages[0].message_id());
    let mut holder = Site::new(&coalition, &bob).await;
    holder.hold(&messages).await;
    let aged = holder.store.aged(CIDR, log, clock::now(), 64).unwrap().unwrap();
    holder.store.commit(Change::Expire(aged)).await.unwrap();
    assert!(!holder.store.wants_body(target).unwrap(), "whole without it");

    let (_, _tasks) = serve(&mut holder);
    let puller = Puller::start(&coalition, &carol).await;
    puller.site.connect(&holder).await;
    puller.ready(&holder);
    puller.holds(&messages).await;
    assert!(puller.site.store.wants_body(target).unwrap());
    let pages = || puller.counters.snapshot().pages;
    eventually("the page counted", async || pages() == 1).await;
    puller.ready(&holder);
    eventually("the bodies asked for", async || pages() == 2).await;
    for more in 1..=5 {
        let next = coalition.messages(&alice, CIDR, messages.last(), 1);
        holder.hold(&next).await;
        messages.extend(next);
        puller.ready(&holder);
        puller.holds(&messages).await;
        assert!(pages() <= 2 + more, "bodies that are not there are asked for again: {}", pages());
    }
    assert_eq!(puller.counters.snapshot().faults, 0, "the holder let go of them by right");
    // Somebody was away when the others let go of them.
    let mut lucky = Site::new(&coalition, &dave).await;
    lucky.hold(&messages).await;
    let (_, _lucky_tasks) = serve(&mut lucky);
    puller.site.connect(&lucky).await;
    puller.ready(&lucky);
    eventually("the body", async || !puller.site.store.wants_body(target).unwrap()).await;
}
