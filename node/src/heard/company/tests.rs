use belfry_proto::{crypto::sign::SigningKey, id::EntryId};

use super::*;

const TIMES: GateTimes = GateTimes {
    grace: Duration::from_secs(60),
    doubt: Duration::from_secs(30),
    patience: Duration::from_secs(10),
};
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn peer(seed: u8) -> PublicKey {
    SigningKey::from_seed(&[seed; 32]).public()
}

fn version(height: u64) -> Announced {
    (RosterVersion { height: Height::new(height), head: EntryId::new([1; 32]) }, 1)
}

/// A company, and a clock that both of its clocks follow.
struct Test {
    company: Company,
    now: Instant,
}

impl Test {
    fn new() -> Self {
        Self { company: Company::new(TIMES), now: Instant::now() }
    }

    fn gate(&self) -> Gate {
        self.company.gate(self.now, Timestamp::from_micros(0))
    }

    fn arrived(&mut self, seed: u8) {
        self.company.arrived(peer(seed), MemberId::new([seed; 16]), self.now);
    }

    fn level(&mut self, seed: u8) {
        self.arrived(seed);
        self.company.level(&peer(seed), self.now);
    }

    fn behind(&mut self, seed: u8, height: u64) {
        self.arrived(seed);
        self.company.behind(&peer(seed), version(height), self.now);
    }

    fn left(&mut self, seed: u8) {
        self.company.left(&peer(seed), self.now);
    }

    fn grown(&mut self, to: u64) {
        self.company.grown(|(version, _)| version.height.get() <= to, self.now);
    }
}

#[tokio::test(start_paused = true)]
async fn who_loses_every_peer_seals_for_a_while_and_then_waits_for_a_hello() {
    let mut test = Test::new();
    assert_eq!(test.gate(), Gate::NoHello);
    test.level(1);
    test.level(2);
    assert_eq!(test.gate(), Gate::Open);
    test.left(1);
    test.now += 1000 * SECOND;
    assert_eq!(test.gate(), Gate::Open, "the other one would have told");
    test.left(2);
    test.now += 59 * SECOND;
    assert_eq!(test.gate(), Gate::Open);
    test.now += SECOND;
    assert_eq!(test.gate(), Gate::Lost);
    test.level(1);
    assert_eq!(test.gate(), Gate::Open);
}

#[tokio::test(start_paused = true)]
async fn what_the_registrar_signed_beyond_our_log_closes_the_gate_until_it_is_here() {
    let mut test = Test::new();
    for seed in 1..=5 {
        test.level(seed);
    }
    test.company.signed(Some(Height::new(9)));
    assert_eq!(test.gate(), Gate::Ahead, "however many say that there is no such thing");
    test.now += 3600 * SECOND;
    assert_eq!(test.gate(), Gate::Ahead);
    test.left(1);
    test.level(1);
    assert_eq!(test.gate(), Gate::Ahead, "whoever comes and goes");
    test.company.signed(None);
    assert_eq!(test.gate(), Gate::Open);
}

#[tokio::test(start_paused = true)]
async fn a_claim_closes_the_gate_beside_a_level_peer_only_while_it_is_looked_into() {
    let mut test = Test::new();
    test.level(2);
    test.behind(1, 9);
    assert_eq!(test.gate(), Gate::Behind);
    test.company.unserved(&peer(1));
    assert_eq!(test.gate(), Gate::Open, "it had nothing to show");
    test.left(2);
    assert_eq!(test.gate(), Gate::Behind, "beside nobody else there is some doubt");
    test.now += 30 * SECOND;
    assert_eq!(test.gate(), Gate::Open);
}

#[tokio::test(start_paused = true)]
async fn liars_beside_a_level_peer_hold_it_up_for_a_twentieth_of_the_time_at_most() {
    let mut test = Test::new();
    test.level(100);
    let mut closed = 0;
    for second in 0..3600_u64 {
        // Never served, always another one.
        test.behind(u8::try_from(second % 90).unwrap(), 9 + second);
        closed += u32::from(test.gate() != Gate::Open);
        test.left(u8::try_from(second % 90).unwrap());
        test.level(100);
        test.now += SECOND;
    }
    assert!((30..=180).contains(&closed), "{closed} of 3600 s");
}

#[tokio::test(start_paused = true)]
async fn with_liars_alone_the_wait_is_bounded_however_they_come_and_go() {
    let mut test = Test::new();
    test.behind(1, 9);
    for second in 1..30 {
        test.left(1);
        test.now += SECOND;
        test.behind(2, 9 + second);
        assert_eq!(test.gate(), Gate::Behind);
    }
    test.now += SECOND;
    assert_eq!(test.gate(), Gate::Open);
    // The log of a liar that turns out to be true is waited for anew.
    test.grown(40);
    test.now += 10 * SECOND;
    test.behind(2, 50);
    assert_eq!(test.gate(), Gate::Behind);
}

#[tokio::test(start_paused = true)]
async fn the_gate_opens_with_the_record_that_was_announced_whoever_brings_it() {
    let mut test = Test::new();
    test.behind(1, 9);
    test.grown(8);
    assert_eq!(test.gate(), Gate::Behind);
    test.grown(9);
    assert_eq!(test.gate(), Gate::Open);
}

#[tokio::test(start_paused = true)]
async fn the_gate_waits_for_three_members_or_all_that_are_connected() {
    let mut test = Test::new();
    for seed in 1..=5 {
        test.arrived(seed);
    }
    assert_eq!(test.gate(), Gate::Asking);
    test.level(1);
    assert_eq!(test.gate(), Gate::Asking, "another's answer may be on its way with a later log");
    test.level(2);
    assert_eq!(test.gate(), Gate::Asking);
    test.level(3);
    assert_eq!(test.gate(), Gate::Open);
    test.arrived(6);
    assert_eq!(test.gate(), Gate::Open, "three were heard");

    let mut test = Test::new();
    test.arrived(1);
    test.level(2);
    assert_eq!(test.gate(), Gate::Asking);
    test.level(1);
    assert_eq!(test.gate(), Gate::Open, "there are no more");
}

#[tokio::test(start_paused = true)]
async fn the_nodes_of_one_member_are_one_voice() {
    let mut test = Test::new();
    test.arrived(9);
    for seed in 1..=5 {
        test.company.arrived(peer(seed), MemberId::new([1; 16]), test.now);
        test.company.level(&peer(seed), test.now);
    }
    assert_eq!(test.gate(), Gate::Asking);
}

#[tokio::test(start_paused = true)]
async fn the_silent_hold_nobody_up_for_long_however_they_come_and_go() {
    let mut test = Test::new();
    test.arrived(1);
    test.level(2);
    test.now += 9 * SECOND;
    assert_eq!(test.gate(), Gate::Asking);
    test.left(1);
    test.arrived(1);
    test.now += SECOND;
    assert_eq!(test.gate(), Gate::Open, "it gained no time by coming back");
    // Nor do ever others that say nothing.
    for seed in 10..40 {
        test.arrived(seed);
        test.now += SECOND;
    }
    assert_eq!(test.gate(), Gate::Open);
}

#[tokio::test(start_paused = true)]
async fn who_was_alone_hears_three_again() {
    let mut test = Test::new();
    (1..=3).for_each(|seed| test.level(seed));
    (1..=3).for_each(|seed| test.left(seed));
    test.arrived(1);
    test.level(2);
    assert_eq!(test.gate(), Gate::Asking);
    test.level(1);
    assert_eq!(test.gate(), Gate::Open);
}

#[tokio::test(start_paused = true)]
async fn a_claim_about_our_own_logs_closes_the_gate_while_it_is_looked_into_and_no_longer_than_a_minute() {
    let mut test = Test::new();
    (1..=4).for_each(|seed| test.level(seed));
    test.company.questioned(&peer(4), test.now);
    assert_eq!(test.gate(), Gate::OwnLogs);
    test.company.settled(&peer(4));
    assert_eq!(test.gate(), Gate::Open);
    for _ in 0..MINUTE.as_secs() {
        assert_eq!(
            test.gate(),
            if test.company.peers[&peer(4)].question.is_some() { Gate::OwnLogs } else { Gate::Open }
        );
        test.company.questioned(&peer(4), test.now);
        test.now += SECOND;
    }
    assert_eq!(test.gate(), Gate::Open, "others' voices decide");
}

#[tokio::test(start_paused = true)]
async fn a_suspended_machine_waits_for_a_hello_though_its_connections_seem_to_live() {
    let mut test = Test::new();
    test.level(1);
    test.company.jumped(test.now);
    assert_eq!(test.gate(), Gate::Asking);
    test.now += 10 * SECOND;
    assert_eq!(test.gate(), Gate::Lost, "nobody answers");
    test.level(1);
    assert_eq!(test.gate(), Gate::Open);
}

/// The monotonic clock stands still while a machine is suspended; whoever seals asks before the loop has woken up.
#[tokio::test(start_paused = true)]
async fn the_gate_is_closed_at_once_after_a_suspension() {
    let (mut test, wall) = (Test::new(), Timestamp::from_micros(1_000_000));
    test.level(1);
    assert!(!test.company.beat(test.now, wall));
    assert_eq!(test.company.gate(test.now, wall.saturating_add(4 * SECOND)), Gate::Open);
    let woken = wall.saturating_add(3600 * SECOND);
    assert_eq!(test.company.gate(test.now, woken), Gate::Lost);
    assert!(test.company.beat(test.now, woken));
    test.company.jumped(test.now);
    assert_eq!(test.company.gate(test.now, woken), Gate::Asking);
    // A loop that stands still listens to nobody.
    assert_eq!(test.company.gate(test.now + 61 * SECOND, woken.saturating_add(61 * SECOND)), Gate::Lost);
}
