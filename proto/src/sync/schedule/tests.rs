//! The schedule as claims: honest, silent, lying and busy peers.

use proptest::prelude::*;

use super::*;

const GROUP: GroupId = GroupId::new(5);
const NOW: Duration = Duration::from_secs(1000);

fn range(log: u8, from: u64, to: u64) -> Range {
    let (from, to) = (Sequence::new(from), Sequence::new(to));
    Range { group: GROUP, log: LogId::new([log; 32]), from, to, want: Want::Entries }
}

fn ask(schedule: &mut Schedule<u8>, now: Duration) -> Option<(u8, u8, u64, u64)> {
    schedule.next(now).map(|ask| short(&ask))
}

#[test]
fn what_one_peer_lacks_is_still_wanted_of_another_and_it_is_asked_for_what_comes_after() {
    let mut schedule = Schedule::default();
    schedule.offer(1, [range(7, 3, 20)], NOW);
    let first = schedule.next(NOW).unwrap();
    schedule.lacking(&first, Sequence::new(3));
    let second = schedule.next(NOW).unwrap();
    assert_eq!(short(&second), (1, 7, 4, 20));
    schedule.served(&second, Sequence::new(9));
    schedule.offer(2, [range(7, 3, 20)], NOW);
    let below = schedule.next(NOW).unwrap();
    assert_eq!(short(&below), (2, 7, 3, 20), "who has the next one, although the other comes first by name");
    assert_eq!(schedule.next(NOW), None, "one page of a log at a time");
    schedule.failed(&below, Some(Sequence::new(3)), NOW);
    assert_eq!(ask(&mut schedule, NOW), Some((1, 7, 10, 20)));
}

/// Entries that name an admin log to come are kept unjudged, so whoever makes them up is not found out by them.
#[test]
fn a_peer_that_brings_what_nobody_can_judge_keeps_nobody_from_the_log() {
    let mut schedule = Schedule::default();
    schedule.offer(1, [range(7, 3, 1 << 53)], NOW);
    let mut through = 2;
    for _ in 0..5 {
        let made_up = schedule.next(NOW).unwrap();
        assert_eq!(made_up.peer, 1);
        through += 256;
        schedule.unproven(&made_up, None, Sequence::new(through));
    }
    schedule.offer(2, [range(7, 3, 9)], NOW);
    let honest = schedule.next(NOW).unwrap();
    assert_eq!(short(&honest), (2, 7, 3, 9), "what it brought counts for nothing");
    schedule.served(&honest, Sequence::new(9));
    assert!(schedule.is_done(&2));
    // Nor is it asked for ever.
    let mut asked = 5;
    while let Some(made_up) = schedule.next(NOW) {
        through += 256;
        schedule.unproven(&made_up, None, Sequence::new(through));
        asked += 1;
    }
    assert_eq!(asked, MAX_LACKING);
}

#[test]
fn of_a_page_that_is_proven_in_part_the_rest_is_wanted_of_others() {
    let mut schedule = Schedule::default();
    schedule.offer(1, [range(7, 3, 20)], NOW);
    let page = schedule.next(NOW).unwrap();
    schedule.unproven(&page, Some(Sequence::new(5)), Sequence::new(20));
    assert!(schedule.is_done(&1));
    schedule.offer(1, [range(7, 6, 30)], NOW);
    let page = schedule.next(NOW).unwrap();
    schedule.unproven(&page, Some(Sequence::new(8)), Sequence::new(20));
    schedule.offer(2, [range(7, 6, 12)], NOW);
    assert_eq!(ask(&mut schedule, NOW), Some((2, 7, 9, 12)));
}

#[test]
fn whoever_lacks_all_it_is_asked_for_is_asked_so_often_and_no_more_and_hinders_nobody() {
    let mut schedule = Schedule::default();
    schedule.offer(1, [range(7, 1, 1 << 53)], NOW);
    for _ in 0..MAX_LACKING {
        let ask = schedule.next(NOW).unwrap();
        let at = ask.range.from;
        schedule.lacking(&ask, at);
    }
    assert_eq!(schedule.next(NOW), None);
    schedule.offer(2, [range(7, 1, 5)], NOW);
    assert_eq!(ask(&mut schedule, NOW), Some((2, 7, 1, 5)));
}

#[test]
fn what_is_missing_counts_down_and_tells_what_it_waits_for() {
    let mut schedule = Schedule::default();
    let told = |schedule: &Schedule<u8>| -> Vec<(u64, Pace)> {
        schedule.missing(NOW).map(|missing| (missing.count, missing.pace)).collect()
    };
    schedule.offer(1, [range(7, 3, 20)], NOW);
    assert_eq!(told(&schedule), [(18, Pace::Due)]);
    let ask = schedule.next(NOW).unwrap();
    assert_eq!(told(&schedule), [(18, Pace::UnderWay)]);
    schedule.served(&ask, Sequence::new(12));
    assert_eq!(told(&schedule), [(8, Pace::Due)]);
    schedule.pause(1, NOW);
    assert_eq!(told(&schedule), [(8, Pace::Waits)]);
    schedule.offer(2, [range(7, 13, 30)], NOW);
    assert_eq!(told(&schedule), [(18, Pace::Due)], "of another, who has more");
    schedule.gone(1);
    schedule.gone(2);
    assert_eq!(told(&schedule), []);
}

fn short(ask: &Ask<u8>) -> (u8, u8, u64, u64) {
    (ask.peer, ask.range.log.as_bytes()[0], ask.range.from.get(), ask.range.to.get())
}

#[test]
fn an_answer_being_stored_frees_its_peer_and_not_its_log() {
    let mut schedule = Schedule::default();
    schedule.offer(1, (0..50).map(|log| range(log, 1, 500)), NOW);
    let mut stored = Vec::new();
    while let Some(ask) = schedule.next(NOW) {
        schedule.arrived(&ask);
        stored.push(ask);
    }
    assert_eq!(stored.len(), STORED_PER_PEER, "one peer leaves places to others");
    schedule.offer(2, (50..100).map(|log| range(log, 1, 500)), NOW);
    while let Some(ask) = schedule.next(NOW) {
        schedule.arrived(&ask);
        // Told twice, it frees no second place.
        schedule.arrived(&ask);
        stored.push(ask);
    }
    assert_eq!(stored.len(), AT_ONCE, "what is being stored is bounded");
    let logs: BTreeSet<LogId> = stored.iter().map(|ask| ask.range.log).collect();
    assert_eq!(logs.len(), AT_ONCE, "one page of a log at a time");
    let later = NOW + SLOW * 10;
    assert_eq!(schedule.next(later), None, "storing is this node's to finish: nobody is slow");
    assert_eq!(schedule.wakes(NOW), None);
    for ask in &stored {
        schedule.served(ask, Sequence::new(256));
    }
    schedule.offer(2, [], NOW);
    let (first, second) = (schedule.next(NOW).unwrap(), schedule.next(NOW).unwrap());
    assert_eq!(schedule.next(NOW), None, "two to one peer until one of them has arrived");
    schedule.arrived(&first);
    schedule.failed(&first, None, NOW);
    schedule.served(&second, Sequence::new(1));
    assert!(schedule.peers.values().all(|peer| peer.under_way == 0));
}

#[test]
fn a_log_is_asked_for_page_by_page_and_no_further_than_claimed() {
    let mut schedule = Schedule::default();
    assert!(schedule.offer(1, [range(7, 1, 500)], NOW));
    let first = schedule.next(NOW).unwrap();
    assert_eq!(short(&first), (1, 7, 1, 500));
    assert_eq!(ask(&mut schedule, NOW), None, "the next page links to this one");
    schedule.served(&first, Sequence::new(256));
    let second = schedule.next(NOW).unwrap();
    assert_eq!(short(&second), (1, 7, 257, 500));
    schedule.served(&second, Sequence::new(500));
    assert_eq!(ask(&mut schedule, NOW), None);
    assert!(schedule.is_done(&1));
}

#[test]
fn many_logs_run_side_by_side_from_many_peers() {
    let mut schedule = Schedule::default();
    for peer in 0..20 {
        schedule.offer(peer, (0..100).map(|log| range(log, 1, 9)), NOW);
    }
    let asks: Vec<_> = std::iter::from_fn(|| schedule.next(NOW)).collect();
    assert_eq!(asks.len(), AT_ONCE);
    let logs: BTreeSet<_> = asks.iter().map(|ask| ask.range.log).collect();
    assert_eq!(logs.len(), AT_ONCE, "no log twice");
    for peer in 0..20 {
        assert!(asks.iter().filter(|ask| ask.peer == peer).count() <= PER_PEER);
    }
}

/// Finding a long log must not keep short ones waiting.
#[test]
fn a_long_log_does_not_hold_up_the_short_ones() {
    let mut schedule = Schedule::default();
    schedule.offer(1, [range(0, 1, 1_000_000), range(1, 1, 9), range(2, 1, 9), range(3, 1, 9)], NOW);
    let mut done = BTreeSet::new();
    for _ in 0..8 {
        let ask = schedule.next(NOW).unwrap();
        let through = ask.range.to.get().min(ask.range.from.get() + 255);
        schedule.served(&ask, Sequence::new(through));
        if through == ask.range.to.get() {
            done.insert(ask.range.log.as_bytes()[0]);
        }
    }
    assert_eq!(done, BTreeSet::from([1, 2, 3]));
}

#[test]
fn a_silent_peer_costs_its_own_places_only() {
    let mut schedule = Schedule::default();
    schedule.offer(1, (0..50).map(|log| range(log, 1, 9)), NOW);
    let asks: Vec<_> = std::iter::from_fn(|| schedule.next(NOW)).collect();
    assert_eq!(asks.len(), PER_PEER);
    // Another peer gets all other logs at once, and after a while the two that hang.
    schedule.offer(2, (0..50).map(|log| range(log, 1, 9)), NOW);
    let mut served = BTreeSet::new();
    while let Some(ask) = schedule.next(NOW) {
        assert_eq!(ask.peer, 2);
        served.insert(ask.range.log.as_bytes()[0]);
        schedule.served(&ask, Sequence::new(9));
    }
    assert_eq!(served.len(), 48);
    assert_eq!(schedule.wakes(NOW), Some(NOW + SLOW));
    let later = NOW + SLOW;
    while let Some(ask) = schedule.next(later) {
        assert_eq!(ask.peer, 2);
        served.insert(ask.range.log.as_bytes()[0]);
        schedule.served(&ask, Sequence::new(9));
    }
    assert_eq!(served.len(), 50);
    // The late answers find nothing left to do.
    for ask in asks {
        schedule.served(&ask, Sequence::new(9));
    }
    assert!(schedule.is_done(&1) && schedule.is_done(&2));
}

#[test]
fn many_silent_peers_leave_room_for_an_honest_one() {
    let mut schedule = Schedule::default();
    for peer in 0..8 {
        schedule.offer(peer, (0..50).map(|log| range(log, 1, 9)), NOW);
    }
    assert_eq!(std::iter::from_fn(|| schedule.next(NOW)).count(), AT_ONCE);
    schedule.offer(9, (0..50).map(|log| range(log, 1, 9)), NOW);
    assert_eq!(ask(&mut schedule, NOW), None);
    assert_eq!(schedule.next(NOW + SLOW).unwrap().peer, 9);
}

#[test]
fn what_one_peer_fails_to_serve_goes_to_another() {
    let mut schedule = Schedule::default();
    schedule.offer(1, [range(7, 1, 500)], NOW);
    let asked = schedule.next(NOW).unwrap();
    schedule.offer(2, [range(7, 1, 400)], NOW);
    // The first half is good, then comes a hole.
    schedule.failed(&asked, Some(Sequence::new(100)), NOW);
    assert_eq!(ask(&mut schedule, NOW), Some((2, 7, 101, 400)));
    assert!(schedule.is_done(&1));
}

#[test]
fn a_liar_backs_off_ever_longer_and_its_claims_lead_nowhere() {
    let mut schedule = Schedule::default();
    let mut now = NOW;
    let mut waits = Vec::new();
    for _ in 0..12 {
        // It always claims to be far ahead, in logs that nobody has.
        schedule.offer(1, (0..200).map(|log| range(log, 1, u64::MAX - 1)), NOW);
        let mut asks = 0;
        while let Some(ask) = schedule.next(now) {
            schedule.failed(&ask, None, now);
            asks += 1;
        }
        assert_eq!(asks, 1, "one request a wait");
        let until = schedule.waits(&1, now).unwrap();
        waits.push(until - now);
        now = until;
    }
    assert_eq!(waits.first(), Some(&FIRST_BACKOFF));
    assert!(waits.is_sorted());
    assert_eq!(waits.last(), Some(&LONGEST_BACKOFF));
    // A reconnect does not help it.
    schedule.blame(1, now);
    schedule.gone(1);
    schedule.offer(1, [range(7, 1, 9)], NOW);
    assert_eq!(ask(&mut schedule, now), None);
}

#[test]
fn claims_without_end_take_bounded_memory() {
    let mut schedule = Schedule::default();
    let log = |n: u32| LogId::new([n.to_be_bytes(); 8].concat().try_into().unwrap());
    let endless = (0..100_000).map(|n| Range { log: log(n), ..range(0, 1, 9) });
    assert!(!schedule.offer(1, endless, NOW));
    assert_eq!(schedule.jobs.len(), MAX_OFFERS);
    schedule.gone(1);
    assert_eq!((schedule.jobs.len(), schedule.turns.len()), (0, 0));
}

#[test]
fn a_busy_peer_is_asked_a_little_later_and_not_blamed() {
    let mut schedule = Schedule::default();
    schedule.offer(1, [range(7, 1, 9)], NOW);
    let asked = schedule.next(NOW).unwrap();
    schedule.busy(&asked, NOW);
    assert_eq!(ask(&mut schedule, NOW), None);
    let at = schedule.wakes(NOW).unwrap();
    assert_eq!(ask(&mut schedule, at), Some((1, 7, 1, 9)));
}

#[test]
fn whoever_has_nothing_of_all_it_claims_is_blamed_and_asked_for_no_more_of_it() {
    let log = |n: u32| LogId::new([n.to_be_bytes(); 8].concat().try_into().unwrap());
    let invented = move || (0..2000).map(move |n| Range { log: log(n), ..range(0, 1, 9) });
    let (mut schedule, mut now) = (Schedule::default(), NOW);
    let mut waits = Vec::new();
    for _ in 0..12 {
        schedule.offer(1, invented(), now);
        let mut asks = 0;
        while let Some(ask) = schedule.next(now) {
            asks += 1;
            assert_eq!(schedule.has_nothing(&ask, now), asks == MAX_EMPTY);
        }
        assert_eq!(asks, MAX_EMPTY);
        assert!(
            schedule.is_done(&1) && schedule.missing(now).next().is_none(),
            "its other claims are worth no more"
        );
        let until = schedule.waits(&1, now).unwrap();
        waits.push(until - now);
        now = until;
    }
    assert!(waits.is_sorted() && waits.last() == Some(&LONGEST_BACKOFF), "{waits:?}");
}

#[test]
fn whoever_has_nothing_of_some_and_serves_others_is_blamed_for_nothing() {
    let mut schedule = Schedule::default();
    for n in 0..4 * MAX_EMPTY {
        schedule.offer(1, [range(7, 1, 9)], NOW);
        let asked = schedule.next(NOW).unwrap();
        if n % MAX_EMPTY == 0 {
            schedule.served(&asked, Sequence::new(9));
        } else {
            assert!(!schedule.has_nothing(&asked, NOW), "{n}");
        }
    }
    assert_eq!(schedule.waits(&1, NOW), None);
}

#[test]
fn whoever_had_nothing_of_many_logs_is_asked_for_its_others_the_next_time() {
    let log = |n: u32| LogId::new([n.to_be_bytes(); 8].concat().try_into().unwrap());
    let claimed = move || (0..2 * MAX_EMPTY).map(move |n| Range { log: log(n), ..range(0, 1, 9) });
    let mut schedule = Schedule::default();
    schedule.offer(1, claimed(), NOW);
    for n in 1..=MAX_EMPTY {
        let asked = schedule.next(NOW).unwrap();
        assert_eq!(schedule.has_nothing(&asked, NOW), n == MAX_EMPTY);
    }
    let later = schedule.waits(&1, NOW).unwrap();
    schedule.offer(1, claimed(), later);
    let asked = schedule.next(later).unwrap();
    assert_eq!(asked.range.log, log(MAX_EMPTY));
    schedule.served(&asked, Sequence::new(9));
    // It may have come by the others meanwhile; what was never asked for goes first all the same.
    schedule.offer(1, claimed(), NOW + ASIDE);
    assert_eq!(schedule.next(NOW + ASIDE).unwrap().range.log, log(MAX_EMPTY));
    schedule.offer(1, claimed().take(4), NOW + ASIDE);
    assert_eq!(schedule.next(NOW + ASIDE).unwrap().range.log, log(0));
}

/// The waits that its faults cost come to more than [`ASIDE`]: what it had nothing of before must not come first again.
#[test]
fn whoever_has_nothing_of_all_but_its_last_log_is_asked_for_that_one_in_the_end() {
    let log = |n: u32| LogId::new([n.to_be_bytes(); 8].concat().try_into().unwrap());
    let all = u32::try_from(MAX_OFFERS).unwrap();
    let claimed = move || (0..all).map(move |n| Range { log: log(n), ..range(0, 1, 9) });
    let (mut schedule, mut now) = (Schedule::default(), NOW);
    let rows = all.div_ceil(MAX_EMPTY);
    let asked_for_last = (0..rows).any(|_| {
        schedule.offer(1, claimed(), now);
        while let Some(asked) = schedule.next(now) {
            if asked.range.log == log(all - 1) {
                return true;
            }
            schedule.has_nothing(&asked, now);
        }
        now = schedule.waits(&1, now).unwrap();
        false
    });
    assert!(asked_for_last, "after {rows} rows, {:?} later", now - NOW);
    assert!(now - NOW > ASIDE, "the first ones might have come again long before");
}

/// Of those that come again, too, each has its turn.
#[test]
fn what_was_set_aside_first_is_asked_for_first_again() {
    let log = |n: u32| LogId::new([n.to_be_bytes(); 8].concat().try_into().unwrap());
    let claimed = move || (0..4 * MAX_EMPTY).map(move |n| Range { log: log(n), ..range(0, 1, 9) });
    let (mut schedule, mut now) = (Schedule::default(), NOW);
    let mut asked_for = BTreeMap::<LogId, u32>::new();
    for _ in 0..4 * 4 {
        // Once a row is over the next one is long enough aside.
        now += ASIDE;
        schedule.offer(1, claimed(), now);
        while let Some(asked) = schedule.next(now) {
            *asked_for.entry(asked.range.log).or_default() += 1;
            schedule.has_nothing(&asked, now);
        }
    }
    assert_eq!(asked_for.len(), 4 * usize::try_from(MAX_EMPTY).unwrap());
    assert!(asked_for.values().all(|times| *times == 4), "{asked_for:?}");
}

#[test]
fn whoever_serves_what_waits_for_the_admin_log_is_not_one_that_never_has_time() {
    let (mut schedule, mut now) = (Schedule::default(), NOW);
    schedule.offer(1, [range(7, 1, 1 << 20)], NOW);
    for page in 1..2 * u64::from(MAX_BUSY) {
        let asked = schedule.next(now).unwrap();
        assert!(!schedule.held_up(&asked, None, Some(Sequence::new(100 * page)), now));
        now = schedule.waits(&1, now).unwrap();
    }
    let asked = schedule.next(now).unwrap();
    assert_eq!(asked.range.from, Sequence::new(100 * (2 * u64::from(MAX_BUSY) - 1) + 1));
    assert!(!schedule.held_up(&asked, None, None, now), "the first time that it has none");
}

#[test]
fn a_peer_that_is_busy_for_good_is_nothing_on_its_way() {
    let (mut schedule, mut now) = (Schedule::default(), NOW);
    let mut asks = 0;
    schedule.offer(1, [range(7, 1, 9), wanted(Want::Fork, 1, 1)], NOW);
    loop {
        let ask = schedule.next(now).unwrap();
        asks += 1;
        if schedule.busy(&ask, now) {
            break;
        }
        assert_eq!(schedule.missing(now).count(), 2);
        now = schedule.wakes(now).unwrap();
    }
    assert_eq!((asks, schedule.missing(now).count()), (MAX_BUSY, 0));
    assert!(schedule.is_done(&1));
    // It is a member like any other once it serves.
    let later = schedule.waits(&1, now).unwrap();
    schedule.offer(1, [range(7, 1, 20)], later);
    let page = schedule.next(later).unwrap();
    schedule.served(&page, Sequence::new(9));
    let next = schedule.next(later).unwrap();
    assert!(!schedule.busy(&next, later));
}

proptest! {
    /// Any mix of honest, short, lying, busy and leaving peers: as long as one honest peer has a log, all of it
    /// is fetched, and nothing leaks.
    #[test]
    fn what_an_honest_peer_has_is_fetched(
        heights in proptest::collection::vec(1_u64..2000, 1..20),
        others in proptest::collection::vec((0_u8..4, 1_u64..4000), 0..6),
        order in any::<u64>(),
    ) {
        let mut schedule = Schedule::default();
        let mut held = vec![0_u64; heights.len()];
        let log = |n: usize| u8::try_from(n).unwrap();
        for (n, height) in heights.iter().enumerate() {
            schedule.offer_more(0, range(log(n), 1, *height));
        }
        for (peer, (_, claim)) in (1..).zip(&others) {
            schedule.offer(peer, (0..heights.len()).map(|n| range(log(n), 1, *claim)), NOW);
        }
        let (mut now, mut state, mut steps) = (NOW, order, 0);
        loop {
            steps += 1;
            prop_assert!(steps < 20_000, "no end");
            let Some(ask) = schedule.next(now) else {
                match schedule.wakes(now) {
                    Some(at) => { now = at; continue }
                    None => break,
                }
            };
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let n = usize::from(ask.range.log.as_bytes()[0]);
            let page = ask.range.to.get().min(ask.range.from.get() + 255);
            if state % 2 == 0 {
                schedule.arrived(&ask);
            }
            let kind = if ask.peer == 0 { 0 } else { others[usize::from(ask.peer) - 1].0 };
            let has = page.min(heights[n]);
            match kind {
                _ if has < ask.range.from.get() => schedule.failed(&ask, None, now),
                0 => { held[n] = held[n].max(has); schedule.served(&ask, Sequence::new(has)) }
                1 => { held[n] = held[n].max(has); schedule.failed(&ask, Some(Sequence::new(has)), now) }
                2 if state % 3 != 0 => {
                    schedule.busy(&ask, now);
                }
                _ => schedule.failed(&ask, None, now),
            }
        }
        prop_assert_eq!(held, heights);
        prop_assert!(schedule.jobs.is_empty() && schedule.turns.is_empty());
        prop_assert!(schedule.peers.values().all(|peer| peer.offers == 0 && peer.under_way == 0));
    }
}

impl Schedule<u8> {
    /// One offer beside those there are.
    fn offer_more(&mut self, peer: u8, range: Range) {
        let mut all: Vec<Range> = self
            .jobs
            .iter()
            .filter_map(|((group, log, want), wanted)| {
                let (group, log, want) = (*group, *log, *want);
                let offer = wanted.offers.get(&peer)?;
                Some(Range { group, log, from: offer.start(wanted.next), to: offer.to, want })
            })
            .collect();
        all.push(range);
        assert!(self.offer(peer, all, NOW));
    }
}

fn wanted(want: Want, from: u64, to: u64) -> Range {
    Range { want, ..range(7, from, to) }
}

#[test]
fn what_there_was_no_room_for_is_left_alone_for_a_while_and_what_comes_behind_it_is_not() {
    let mut schedule = Schedule::default();
    schedule.offer(1, [range(7, 3, 20)], NOW);
    let page = schedule.next(NOW).unwrap();
    schedule.no_room(&page, Some(Sequence::new(12)), NOW);
    assert_eq!(ask(&mut schedule, NOW), Some((1, 7, 13, 20)), "the rest of the same offer");
    assert_eq!(schedule.full(NOW), BTreeMap::from([(GROUP, 1)]));
    // Of another peer, after another comparison, too.
    schedule.gone(1);
    schedule.offer(2, [range(7, 3, 12), wanted(Want::Bodies, 1, 2), range(8, 1, 1)], NOW);
    assert_eq!(ask(&mut schedule, NOW), Some((2, 8, 1, 1)));
    assert_eq!(ask(&mut schedule, NOW), None);
    schedule.offer(2, [wanted(Want::Fork, 9, 9)], NOW);
    assert_eq!(schedule.next(NOW).unwrap().range.want, Want::Fork, "a proof is kept whatever the room");
}

#[test]
fn after_a_while_the_first_page_tells_whether_there_is_room_again() {
    let later = NOW + PASSED_OVER;
    for has_room in [true, false] {
        let mut schedule = Schedule::default();
        schedule.offer(1, [range(7, 3, 600)], NOW);
        for through in [258, 514] {
            let page = schedule.next(NOW).unwrap();
            schedule.no_room(&page, Some(Sequence::new(through)), NOW);
        }
        schedule.gone(1);
        assert_eq!(schedule.full(later), BTreeMap::new());
        schedule.offer(2, [range(7, 3, 600)], later);
        let page = schedule.next(later).unwrap();
        assert_eq!(short(&page), (2, 7, 3, 600));
        let through = Sequence::new(258);
        if has_room {
            schedule.served(&page, through);
            assert_eq!(ask(&mut schedule, later), Some((2, 7, 259, 600)));
        } else {
            schedule.no_room(&page, Some(through), later);
            assert_eq!(ask(&mut schedule, later), Some((2, 7, 515, 600)), "what was passed over at once");
        }
        assert_eq!(schedule.full(later).is_empty(), has_room);
    }
}

/// By a charter that lets nobody go of them any more, what it let go of before is whole for it, and missing for who comes later.
#[test]
fn bodies_that_a_peer_counts_and_has_not_are_wanted_of_others_and_not_of_it_for_a_while() {
    let mut schedule = Schedule::default();
    let bodies =
        |schedule: &mut Schedule<u8>, peer, now| schedule.offer(peer, [wanted(Want::Bodies, 1, 600)], now);
    bodies(&mut schedule, 1, NOW);
    let page = schedule.next(NOW).unwrap();
    bodies(&mut schedule, 2, NOW);
    schedule.bodies_gone(&page, Sequence::new(256), NOW);
    let other = schedule.next(NOW).unwrap();
    assert_eq!(short(&other), (2, 7, 1, 600), "its word ends no search");
    schedule.spoiled(&other);
    let rest = schedule.next(NOW).unwrap();
    assert_eq!(short(&rest), (1, 7, 257, 600), "it may have what comes behind");
    schedule.bodies_gone(&rest, Sequence::new(512), NOW);
    let rest = schedule.next(NOW).unwrap();
    schedule.served(&rest, Sequence::new(600));
    assert_eq!((schedule.next(NOW), schedule.is_done(&1)), (None, true));
    // Each comparison finds that it counts them still.
    bodies(&mut schedule, 1, NOW);
    let behind = schedule.next(NOW).unwrap();
    assert_eq!(short(&behind), (1, 7, 513, 600));
    schedule.spoiled(&behind);
    schedule.offer(1, [wanted(Want::Bodies, 1, 512), wanted(Want::Entries, 601, 700)], NOW);
    let entries = schedule.next(NOW).unwrap();
    assert_eq!((short(&entries), entries.range.want), ((1, 7, 601, 700), Want::Entries));
    assert_eq!(schedule.next(NOW), None);
    // Another one is asked from the beginning, although it offers later.
    bodies(&mut schedule, 1, NOW);
    bodies(&mut schedule, 2, NOW);
    assert_eq!(ask(&mut schedule, NOW), Some((2, 7, 1, 600)));
    schedule.gone(1);
    schedule.gone(2);
    bodies(&mut schedule, 1, NOW + ASIDE);
    assert_eq!(ask(&mut schedule, NOW + ASIDE), Some((1, 7, 1, 600)), "somebody may have brought it some");
}

#[test]
fn bodies_for_which_there_is_no_room_do_not_keep_entries_back() {
    let mut schedule = Schedule::default();
    schedule.offer(1, [wanted(Want::Bodies, 1, 2)], NOW);
    let page = schedule.next(NOW).unwrap();
    schedule.no_room(&page, Some(Sequence::new(2)), NOW);
    assert!(schedule.is_done(&1));
    schedule.offer(1, [wanted(Want::Bodies, 1, 2), range(7, 3, 9)], NOW);
    assert_eq!(ask(&mut schedule, NOW), Some((1, 7, 3, 9)));
    schedule.offer(1, [wanted(Want::Bodies, 1, 2)], NOW + PASSED_OVER);
    let again = schedule.next(NOW + PASSED_OVER).unwrap();
    assert_eq!(again.range.want, Want::Bodies, "after a while they are asked for again");
}
