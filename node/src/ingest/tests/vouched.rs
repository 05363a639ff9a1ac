//! What a clock that may be off takes from nobody: bodies that go by their date.

use std::time::Duration;

use belfry_proto::{
    envelope::{LIFTED_WITHIN, Word},
    schema::{WithdrawalGround, WithdrawalMode},
    time::Timestamp,
    trust::roster::Roster,
};
use tokio::sync::watch;

use super::*;
use crate::{
    heard::{Hellos, VouchedClock},
    rows,
    store::{EnvelopeRow, OpenedRows, Withdraws},
    testing::said::indicator,
};

const DAY: i64 = 24 * 3_600_000_000;

/// What others may tell that vouches for nothing: nobody does, one of two, two that differ from ours, one beside a clock that
/// differs, two that spoke of ours before it was set ahead.
fn doubts() -> [Hellos; 5] {
    let mut before = Hellos::told(&[0, 0]);
    let was = clock::now().saturating_sub(Duration::from_secs(365 * 24 * 3600));
    assert!(!before.company.beat(tokio::time::Instant::now(), was));
    [Hellos::told(&[]), Hellos::told(&[0]), Hellos::told(&[-DAY, -DAY]), Hellos::told(&[0, -DAY]), before]
}

impl Receiver {
    pub(super) fn clock(&self, hellos: &watch::Sender<Hellos>) -> VouchedClock {
        VouchedClock::new(hellos.subscribe(), self.site.roster.clone(), self.site.seat.identity.member)
    }

    /// Holds an erasure of `targets` as written and first seen at `at`: their author's own, or else a steward's.
    pub(super) async fn holds_erasure(
        &self,
        coalition: &Coalition,
        by: &Seat,
        targets: &[&Decoded],
        at: Timestamp,
    ) {
        let signed = coalition.retraction(by, CIDR, None, targets[0].message_id());
        let (header, id) = (signed.header(), signed.message_id());
        let (state, now) = (MessageState::Closed, clock::now());
        let row = rows::envelope(header, id, signed.bytes(), true, state, now, header.roster.height);
        let is_own = header.member == targets[0].header().member;
        let word = Word {
            id,
            group: CIDR,
            member: header.member,
            mode: WithdrawalMode::Erase,
            ground: if is_own { WithdrawalGround::Author } else { WithdrawalGround::Rules },
            by_steward: !is_own,
            created: at,
            seen: at,
        };
        let targets = targets.iter().map(|target| target.message_id()).collect();
        let withdraws = Some(Withdraws { word, targets });
        let change = Change::Envelope(Box::new(EnvelopeRow { withdraws, ..row }));
        self.site.store.commit(change).await.unwrap();
    }

    fn has_body(&self, message: &Decoded) -> bool {
        self.site.store.message(message.message_id()).unwrap().unwrap().has_body
    }
}

#[tokio::test]
async fn by_a_clock_that_is_doubted_a_stewards_erasure_takes_no_body_and_its_authors_does() {
    let mut coalition = Coalition::new();
    let [alice, steward, carol] = [1, 2, 3].map(|n| coalition.issue(n, &[CIDR]));
    let receiver = Receiver::start(Site::new(&coalition, &carol).await, &alice);
    let messages = coalition.messages(&alice, CIDR, None, 2);
    receiver.site.hold(&messages).await;
    let [by_steward, by_author] = messages.as_slice() else { panic!("two of them") };
    let hellos = watch::Sender::new(Hellos::told(&[]));
    let (vouched, ingest) = (receiver.clock(&hellos), receiver.intake.ingest.clone());
    let long_ago = clock::now().saturating_sub(LIFTED_WITHIN + Duration::from_secs(3600));
    // Others vouched for the clock when the erasures came. One of those that a steward erased comes later than that.
    receiver.site.store.vouch_clock(Some(clock::now()));
    let late = coalition.messages_of(&alice, CIDR, [0x22; 16], None, 1);
    receiver.holds_erasure(&coalition, &steward, &[by_steward, &late[0]], long_ago).await;
    receiver.holds_erasure(&coalition, &alice, &[by_author], long_ago).await;
    receiver.site.hold(&late).await;
    for doubtful in doubts() {
        hellos.send_replace(doubtful);
        ingest.reweigh_due(&vouched).await.unwrap();
        let hidden = receiver.states(&[messages.clone(), late.clone()].concat());
        assert_eq!(hidden, [MessageState::Withdrawn; 3], "out of sight whatever the clock says");
        assert!(!receiver.has_body(by_author), "its word counts at once");
        assert!(receiver.has_body(by_steward) && receiver.has_body(&late[0]), "a lift may still come");
    }
    hellos.send_replace(Hellos::told(&[0, 0]));
    ingest.reweigh_due(&vouched).await.unwrap();
    assert!(!receiver.has_body(by_steward) && !receiver.has_body(&late[0]), "their week is over");
}

/// By a clock that was behind when it came its week would be over at once, by one that was ahead it would last for a year.
#[tokio::test]
async fn a_stewards_week_begins_when_others_vouch_for_the_clock_that_noted_it() {
    let year = Duration::from_secs(365 * 24 * 3600);
    for noted in [clock::now().saturating_sub(year), clock::now().saturating_add(year)] {
        let mut coalition = Coalition::new();
        let [alice, steward, carol] = [1, 2, 3].map(|n| coalition.issue(n, &[CIDR]));
        let receiver = Receiver::start(Site::new(&coalition, &carol).await, &alice);
        let messages = coalition.messages(&alice, CIDR, None, 1);
        receiver.site.hold(&messages).await;
        let store = &receiver.site.store;
        let hellos = watch::Sender::new(Hellos::told(&[]));
        let (vouched, ingest) = (receiver.clock(&hellos), receiver.intake.ingest.clone());
        store.vouch_clock(None);
        receiver.holds_erasure(&coalition, &steward, &[&messages[0]], noted).await;
        let seen = || store.withdrawals(messages[0].message_id()).unwrap()[0].word.seen;
        ingest.reweigh_due(&vouched).await.unwrap();
        assert_eq!(seen(), noted, "nobody knows better");
        let begun = clock::now();
        hellos.send_replace(Hellos::told(&[0, 0]));
        ingest.reweigh_due(&vouched).await.unwrap();
        assert!((begun..=clock::now()).contains(&seen()), "{noted}");
        assert_eq!(receiver.states(&messages), [MessageState::Withdrawn]);
        assert!(receiver.has_body(&messages[0]), "a lift may still come");
        assert!(store.next_reweigh().unwrap().is_some_and(|due| due >= begun.saturating_add(LIFTED_WITHIN)));
        assert!(!store.has_unsure_words().unwrap());
    }
}

#[tokio::test]
async fn no_body_is_past_its_retention_by_a_clock_that_is_doubted() {
    let mut coalition = Coalition::new();
    let [alice, _bob, carol] = [1, 2, 3].map(|n| coalition.issue(n, &[CIDR]));
    let charter = coalition.changed_charter(coalition.roster.version(), |charter| {
        for group in &mut charter.groups {
            group.retention_s = 3600;
        }
    });
    coalition.roster.apply_charter(charter).unwrap();
    let receiver = Receiver::start(Site::new(&coalition, &carol).await, &alice);
    let old = clock::now().saturating_sub(Duration::from_secs(7200));
    let messages = coalition.messages_at(old, &alice, CIDR, [0x11; 16], None, 2).0;
    receiver.site.hold(&messages).await;
    let hellos = watch::Sender::new(Hellos::told(&[]));
    let (vouched, ingest) = (receiver.clock(&hellos), receiver.intake.ingest.clone());
    for doubtful in doubts() {
        hellos.send_replace(doubtful);
        assert!(!ingest.retain(&vouched).await.unwrap());
        assert!(messages.iter().all(|message| receiver.has_body(message)));
    }
    hellos.send_replace(Hellos::told(&[0, 0]));
    assert!(ingest.retain(&vouched).await.unwrap());
    assert!(messages.iter().all(|message| !receiver.has_body(message)));
}

/// Set ahead, it would never ask for bodies that all others keep.
#[tokio::test]
async fn by_a_clock_that_is_doubted_what_comes_without_its_body_is_missed_unless_the_log_dates_it() {
    const HOUR: Duration = Duration::from_secs(3600);
    let mut coalition = Coalition::new();
    // The newest date that anybody signed is a day old but for an hour.
    coalition.decided = Some(coalition.began.saturating_add(HOUR));
    let [alice, _bob, carol] = [1, 2, 3].map(|n| coalition.issue(n, &[CIDR]));
    let charter = coalition.changed_charter(coalition.roster.version(), |charter| {
        for group in &mut charter.groups {
            group.retention_s = 12 * 3600;
        }
    });
    coalition.roster.apply_charter(charter).unwrap();
    let now = clock::now();
    let old = coalition.messages_at(now.saturating_sub(20 * HOUR), &alice, CIDR, [0x11; 16], None, 1).0;
    let young = now.saturating_sub(5 * HOUR);
    let young = coalition.messages_at(young, &alice, CIDR, [0x11; 16], old.first(), 1).0;
    let messages = [old, young].concat();
    let without_body = |message: &Decoded| {
        let mut bare = schema::Envelope::decode(message.bytes()).unwrap();
        bare.body = None;
        envelope::decode(&bare.encode_to_vec()).unwrap()
    };
    let bare: Vec<Decoded> = messages.iter().map(without_body).collect();
    for is_vouched in [true, false] {
        let receiver = Receiver::start(Site::new(&coalition, &carol).await, &alice);
        let store = &receiver.site.store;
        store.vouch_clock(is_vouched.then(clock::now));
        assert_eq!(receiver.takes(&bare).await, [Kept::Stored, Kept::Stored], "the log goes on by any clock");
        let missed = || [0, 1].map(|n| store.wants_body(messages[n].message_id()).unwrap());
        assert_eq!(missed(), [false, !is_vouched]);
        // Once others vouch for it, whatever is past is missed no more.
        let hellos = watch::Sender::new(Hellos::told(&[0, 0]));
        let (ingest, vouched) = (receiver.intake.ingest.clone(), receiver.clock(&hellos));
        assert_eq!(receiver.states(&messages)[0], MessageState::Expired);
        let later = coalition.changed_charter(coalition.roster.version(), |charter| {
            charter.groups.iter_mut().for_each(|group| group.retention_s = 3600);
        });
        let mut roster = Roster::clone(&receiver.site.roster.snapshot());
        roster.apply_charter(later).unwrap();
        receiver.site.roster.replace(roster);
        assert!(ingest.retain(&vouched).await.unwrap());
        assert_eq!((receiver.states(&messages), missed()), (vec![MessageState::Expired; 2], [false; 2]));
    }
}

#[tokio::test]
async fn by_a_clock_that_is_doubted_no_embargo_ends() {
    let mut coalition = Coalition::new();
    let [alice, _bob, carol] = [1, 2, 3].map(|n| coalition.issue(n, &[CIDR]));
    let receiver = Receiver::start(Site::new(&coalition, &carol).await, &alice);
    let message = coalition.messages(&alice, CIDR, None, 1).remove(0);
    let (until, store) = (clock::now().saturating_add(Duration::from_secs(2)), &receiver.site.store);
    let embargoed = |content: &mut OpenedRows| content.conditions.embargo_until = until.as_micros();
    receiver.site.say(&message, vec![indicator("")], embargoed).await;
    let before = store.feed_bounds().unwrap();
    eventually("the end of the embargo", async || clock::now() > until).await;
    let hellos = watch::Sender::new(Hellos::told(&[]));
    let (vouched, ingest) = (receiver.clock(&hellos), receiver.intake.ingest.clone());
    for doubtful in doubts() {
        hellos.send_replace(doubtful);
        ingest.embargoes_due(&vouched).await.unwrap();
        assert_eq!((store.feed_bounds().unwrap(), store.next_embargo().unwrap()), (before, Some(until)));
    }
    hellos.send_replace(Hellos::told(&[0, 0]));
    ingest.embargoes_due(&vouched).await.unwrap();
    assert!(store.feed_bounds().unwrap() > before && store.next_embargo().unwrap().is_none());
}
