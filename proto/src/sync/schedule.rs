//! Which range to ask of which peer next, decided without a socket or a clock.
//!
//! Peers *offer* ranges: what their frontier claims beyond ours. A claim is worth one request and no more:
//! what is asked for next follows from what was served and kept, never from what was promised.
//!
//! ```text
//! frontiers ─plan─▶ offer(peer, ranges) ─▶ next() ─▶ Ask{peer, range} ─▶ served(upto) ─▶ the rest of the log
//!                                                                   ├─▶ busy         ─▶ this peer a little later
//!                                                                   ├─▶ lacking      ─▶ this peer for what comes after
//!                                                                   └─▶ failed       ─▶ the log from another peer,
//!                                                                                       this one backs off
//! ```
//!
//! One page of a log is asked for at a time, because each links to the one before; many logs run side by
//! side, those that waited longest first, so neither a long log nor a slow peer holds up the others. An
//! answer that takes too long ([`SLOW`]) frees its log for the next peer, and stops counting as
//! under way: a silent peer costs its own places only. An answer that came ([`Schedule::arrived`]) frees its peer for the
//! next question while it is stored; its log follows once it is.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    id::{GroupId, LogId, Sequence},
    sync::plan::{Range, Want},
    time::doubled,
};

/// Requests under way to all peers and answers being stored, the slow aside. Each answer may be 1 MiB.
pub const AT_ONCE: usize = 16;
/// Requests under way to one peer. Two keep its line busy; more would only queue there.
pub const PER_PEER: usize = 2;
/// Answers of one peer that are being stored. Half of all: what one serves, and that may wait for keys that nobody gives,
/// leaves the others their places.
pub const STORED_PER_PEER: usize = AT_ONCE / 2;
/// Slow requests that are still waited for, over all peers; bounds what late answers can bring at once.
pub const MAX_SLOW: usize = 32;
/// After this an answer counts as slow. A page is 1 MiB: 200 kB a second is a line one may wait for.
pub const SLOW: Duration = Duration::from_secs(5);
/// Ranges one peer may have on offer. More is the next comparison's; a peer that claims logs without end
/// fills this and no more.
pub const MAX_OFFERS: usize = 2048;
/// Times in a row that a peer may lack what it is asked for in a log. Each costs a request; what comes after them is the
/// next comparison's, of another peer most likely.
pub const MAX_LACKING: u32 = 64;
/// Wait after a peer's first fault; doubles with each further one, up to [`LONGEST_BACKOFF`].
pub const FIRST_BACKOFF: Duration = Duration::from_secs(2);
/// Longest wait after faults. An honest peer that was ill for a while is back within that.
pub const LONGEST_BACKOFF: Duration = Duration::from_secs(600);
/// Wait after a peer said it is busy; doubles while it says so, up to [`LONGEST_BUSY`].
const FIRST_BUSY: Duration = Duration::from_millis(500);
/// Longest wait for a busy peer.
const LONGEST_BUSY: Duration = Duration::from_secs(30);

/// A request to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask<P> {
    /// Of whom.
    pub peer: P,
    /// What; the answer may be the beginning of it.
    pub range: Range,
    number: u64,
}

/// Something that peers offer and that is not here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Group.
    pub group: GroupId,
    /// Log.
    pub log: LogId,
    /// Why it is wanted.
    pub want: Want,
    /// Entries, as far as the peer goes that claims most.
    pub count: u64,
    /// When it is asked for.
    pub pace: Pace,
}

/// When something missing is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// An answer is under way.
    UnderWay,
    /// In its turn.
    Due,
    /// Once a peer that offers it has rested.
    Waits,
}

/// What there is to ask, and of whom. `P` names peers. Times are since any one moment.
#[derive(Clone, Debug)]
pub struct Schedule<P> {
    jobs: BTreeMap<Job, Wanted<P>>,
    /// Jobs by when they were last asked for.
    turns: BTreeSet<(u64, Job)>,
    peers: BTreeMap<P, Peer>,
    asked: u64,
}

type Job = (GroupId, LogId, Want);

#[derive(Clone, Debug)]
struct Wanted<P> {
    next: Sequence,
    offers: BTreeMap<P, Offer>,
    turn: u64,
    under_way: BTreeMap<u64, UnderWay<P>>,
}

/// What one peer says it has of a log.
#[derive(Clone, Copy, Debug)]
struct Offer {
    to: Sequence,
    /// It lacks what lies below.
    from: Sequence,
    /// How often in a row it lacked what it was asked for.
    lacking: u32,
}

impl Offer {
    /// From where on it is asked when the log has come to `next`.
    fn start(&self, next: Sequence) -> Sequence {
        next.max(self.from)
    }
}

#[derive(Clone, Copy, Debug)]
struct UnderWay<P> {
    peer: P,
    since: Duration,
    /// The answer is here and being stored.
    has_arrived: bool,
}

impl<P> UnderWay<P> {
    /// What is being stored is this node's to finish, however long it takes.
    fn is_slow(&self, now: Duration) -> bool {
        !self.has_arrived && now.saturating_sub(self.since) >= SLOW
    }
}

#[derive(Clone, Debug, Default)]
struct Peer {
    offers: usize,
    under_way: usize,
    faults: u32,
    busy: u32,
    not_before: Duration,
}

impl<P> Default for Schedule<P> {
    fn default() -> Self {
        Self { jobs: BTreeMap::new(), turns: BTreeSet::new(), peers: BTreeMap::new(), asked: 0 }
    }
}

impl<P: Copy + Ord> Schedule<P> {
    /// Replaces what `peer` has on offer; returns false if it was more than [`MAX_OFFERS`], so that the
    /// frontiers should be compared again once these are done.
    pub fn offer(&mut self, peer: P, ranges: impl IntoIterator<Item = Range>) -> bool {
        self.withdraw(peer);
        for range in ranges {
            let state = self.peers.entry(peer).or_default();
            if state.offers >= MAX_OFFERS {
                return false;
            }
            let job = (range.group, range.log, range.want);
            let turn = self.asked;
            let wanted = self.jobs.entry(job).or_insert_with(|| {
                self.turns.insert((turn, job));
                Wanted { next: range.from, offers: BTreeMap::new(), turn, under_way: BTreeMap::new() }
            });
            // Others have brought that much meanwhile.
            if range.to < wanted.next {
                continue;
            }
            let offer = Offer { to: range.to, from: range.from, lacking: 0 };
            if wanted.offers.insert(peer, offer).is_none() {
                state.offers += 1;
            }
        }
        true
    }

    /// What to ask now; `None` when everything that may be asked is under way.
    pub fn next(&mut self, now: Duration) -> Option<Ask<P>> {
        let (mut fresh, mut slow, mut stored) = (0, 0, BTreeMap::<P, usize>::new());
        for request in self.jobs.values().flat_map(|wanted| wanted.under_way.values()) {
            if request.is_slow(now) {
                slow += 1
            } else {
                fresh += 1
            }
            if request.has_arrived {
                *stored.entry(request.peer).or_default() += 1;
            }
        }
        if fresh >= AT_ONCE || slow >= MAX_SLOW {
            return None;
        }
        let free: BTreeSet<P> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.offers > 0 && peer.under_way < PER_PEER && peer.not_before <= now)
            .filter(|(name, _)| stored.get(name).is_none_or(|stored| *stored < STORED_PER_PEER))
            .map(|(name, _)| *name)
            .collect();
        if free.is_empty() {
            return None;
        }
        let (job, peer) = self.turns.iter().find_map(|(_, job)| {
            let wanted = self.jobs.get(job)?;
            if wanted.under_way.values().any(|request| !request.is_slow(now)) {
                return None;
            }
            let asked: BTreeSet<P> = wanted.under_way.values().map(|request| request.peer).collect();
            let offers = wanted.offers.keys().filter(|peer| free.contains(peer) && !asked.contains(peer));
            let best = offers.min_by_key(|peer| self.peers.get(peer).map(|p| (p.under_way, p.faults)));
            Some((*job, *best?))
        })?;
        self.ask(job, peer, now)
    }

    fn ask(&mut self, job: Job, peer: P, now: Duration) -> Option<Ask<P>> {
        self.asked += 1;
        let wanted = self.jobs.get_mut(&job)?;
        self.turns.remove(&(wanted.turn, job));
        wanted.turn = self.asked;
        self.turns.insert((wanted.turn, job));
        wanted.under_way.insert(self.asked, UnderWay { peer, since: now, has_arrived: false });
        self.peers.entry(peer).or_default().under_way += 1;
        let (group, log, want) = job;
        let offer = wanted.offers.get(&peer)?;
        let (from, to) = (offer.start(wanted.next), offer.to);
        Some(Ask { peer, range: Range { group, log, from, to, want }, number: self.asked })
    }

    /// The answer is here, and what becomes of it is told later. The peer may be asked for something else meanwhile.
    pub fn arrived(&mut self, ask: &Ask<P>) {
        let wanted = self.jobs.get_mut(&job_of(ask));
        let request = wanted.and_then(|wanted| wanted.under_way.get_mut(&ask.number));
        if let Some(request) = request.filter(|request| !request.has_arrived) {
            request.has_arrived = true;
            self.release(ask.peer);
        }
    }

    /// The peer served entries that were kept, up to and with `through`. Its claim stands for the rest.
    pub fn served(&mut self, ask: &Ask<P>, through: Sequence) {
        self.settle(ask);
        if let Some(peer) = self.peers.get_mut(&ask.peer) {
            peer.faults = peer.faults.saturating_sub(1);
            peer.busy = 0;
        }
        self.advance(ask, through);
    }

    /// The peer lacks what it was asked for, up to and with `through`, as we do: others may have it, and it may have what
    /// comes after.
    pub fn lacking(&mut self, ask: &Ask<P>, through: Sequence) {
        self.settle(ask);
        let offers = self.jobs.get_mut(&job_of(ask)).map(|wanted| &mut wanted.offers);
        let Some(offer) = offers.and_then(|offers| offers.get_mut(&ask.peer)) else { return };
        offer.from = offer.from.max(Sequence::new(through.get().saturating_add(1)));
        offer.lacking += 1;
        if offer.from > offer.to || offer.lacking >= MAX_LACKING {
            self.drop_offer(job_of(ask), ask.peer);
        }
    }

    /// The peer has no time now. Its offers stand.
    pub fn busy(&mut self, ask: &Ask<P>, now: Duration) {
        self.settle(ask);
        self.pause(ask.peer, now);
    }

    /// The answer is of no use, by a fault of this node: a full disk, a stop. Nobody is blamed.
    pub fn spoiled(&mut self, ask: &Ask<P>) {
        self.settle(ask);
        self.drop_offer(job_of(ask), ask.peer);
    }

    /// The peer did not serve what it claimed to have: nothing, something else, something that does not
    /// verify, or, after the good part that ends at `through`, no more. The log is somebody else's to bring.
    pub fn failed(&mut self, ask: &Ask<P>, through: Option<Sequence>, now: Duration) {
        self.settle(ask);
        if let Some(through) = through {
            self.advance(ask, through);
        }
        self.drop_offer(job_of(ask), ask.peer);
        self.blame(ask.peer, now);
    }

    /// The peer did something else that no honest one does, like sending a list that is none.
    pub fn blame(&mut self, peer: P, now: Duration) {
        let state = self.peers.entry(peer).or_default();
        let wait = doubled(FIRST_BACKOFF, state.faults, LONGEST_BACKOFF);
        state.faults = state.faults.saturating_add(1);
        state.not_before = state.not_before.max(now + wait);
    }

    /// The peer had no time for a question outside this schedule.
    pub fn pause(&mut self, peer: P, now: Duration) {
        let state = self.peers.entry(peer).or_default();
        let wait = doubled(FIRST_BUSY, state.busy, LONGEST_BUSY);
        state.busy = state.busy.saturating_add(1);
        state.not_before = state.not_before.max(now + wait);
    }

    /// The peer is gone, and with it what it offered. Its faults are remembered until [`Self::forget`]: a
    /// reconnect is no absolution.
    pub fn gone(&mut self, peer: P) {
        self.withdraw(peer);
    }

    /// Drops the memory of peers that `keep` does not pick: they are no members any more.
    pub fn forget(&mut self, keep: impl Fn(&P) -> bool) {
        self.peers.retain(|peer, state| keep(peer) || state.under_way > 0 || state.offers > 0);
    }

    /// When a peer may be asked again; `None` if now.
    #[must_use]
    pub fn waits(&self, peer: &P, now: Duration) -> Option<Duration> {
        self.peers.get(peer).map(|state| state.not_before).filter(|until| *until > now)
    }

    /// Whether nothing is on offer by, or under way to, this peer.
    #[must_use]
    pub fn is_done(&self, peer: &P) -> bool {
        self.peers.get(peer).is_none_or(|state| state.offers == 0 && state.under_way == 0)
    }

    /// Everything on offer, by group and log.
    pub fn missing(&self, now: Duration) -> impl Iterator<Item = Missing> {
        self.jobs.iter().map(move |(&(group, log, want), wanted)| {
            let end = wanted.offers.values().map(|offer| offer.to).max().map_or(0, |to| to.get() + 1);
            let rests = |peer: &P| self.waits(peer, now).is_some();
            let pace = match () {
                () if !wanted.under_way.is_empty() => Pace::UnderWay,
                () if wanted.offers.keys().all(rests) => Pace::Waits,
                () => Pace::Due,
            };
            Missing { group, log, want, count: end.saturating_sub(wanted.next.get()), pace }
        })
    }

    /// When to call [`Self::next`] again although nothing happens until then.
    #[must_use]
    pub fn wakes(&self, now: Duration) -> Option<Duration> {
        let waiting = self.peers.values().filter(|peer| peer.offers > 0).map(|peer| peer.not_before);
        let requests = self.jobs.values().flat_map(|wanted| wanted.under_way.values());
        let slow = requests.filter(|request| !request.has_arrived).map(|request| request.since + SLOW);
        waiting.chain(slow).filter(|at| *at > now).min()
    }

    fn advance(&mut self, ask: &Ask<P>, through: Sequence) {
        let job = job_of(ask);
        let Some(wanted) = self.jobs.get_mut(&job) else { return };
        let after = Sequence::new(through.get().saturating_add(1));
        if let Some(offer) = wanted.offers.get_mut(&ask.peer) {
            offer.from = offer.from.max(after);
            offer.lacking = 0;
        }
        // Of a peer that lacked something below, it is no more than its own way on: that is still wanted of others.
        if ask.range.from <= wanted.next {
            wanted.next = wanted.next.max(after);
        }
        let next = wanted.next;
        let is_done = |offer: &Offer| offer.to < offer.start(next);
        let done: Vec<P> =
            wanted.offers.iter().filter(|(_, offer)| is_done(offer)).map(|(peer, _)| *peer).collect();
        for peer in done {
            self.drop_offer(job, peer);
        }
    }

    fn settle(&mut self, ask: &Ask<P>) {
        let job = job_of(ask);
        let request = self.jobs.get_mut(&job).and_then(|wanted| wanted.under_way.remove(&ask.number));
        if request.is_some_and(|request| !request.has_arrived) {
            self.release(ask.peer);
        }
        self.tidy(job);
    }

    fn release(&mut self, peer: P) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.under_way = peer.under_way.saturating_sub(1);
        }
    }

    fn drop_offer(&mut self, job: Job, peer: P) {
        if let Some(wanted) = self.jobs.get_mut(&job)
            && wanted.offers.remove(&peer).is_some()
            && let Some(state) = self.peers.get_mut(&peer)
        {
            state.offers = state.offers.saturating_sub(1);
        }
        self.tidy(job);
    }

    fn withdraw(&mut self, peer: P) {
        if self.peers.get(&peer).is_none_or(|state| state.offers == 0) {
            return;
        }
        let jobs: Vec<Job> = self
            .jobs
            .iter()
            .filter(|(_, wanted)| wanted.offers.contains_key(&peer))
            .map(|(job, _)| *job)
            .collect();
        for job in jobs {
            self.drop_offer(job, peer);
        }
    }

    /// A job that nobody offers and nobody is asked for is none.
    fn tidy(&mut self, job: Job) {
        let is_over =
            self.jobs.get(&job).is_some_and(|wanted| wanted.offers.is_empty() && wanted.under_way.is_empty());
        if is_over && let Some(wanted) = self.jobs.remove(&job) {
            self.turns.remove(&(wanted.turn, job));
        }
    }
}

fn job_of<P>(ask: &Ask<P>) -> Job {
    (ask.range.group, ask.range.log, ask.range.want)
}

#[cfg(test)]
mod tests {
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
        schedule.offer(1, [range(7, 3, 20)]);
        let first = schedule.next(NOW).unwrap();
        schedule.lacking(&first, Sequence::new(3));
        let second = schedule.next(NOW).unwrap();
        assert_eq!(short(&second), (1, 7, 4, 20));
        schedule.served(&second, Sequence::new(9));
        schedule.offer(2, [range(7, 3, 20)]);
        let (one, other) = (schedule.next(NOW), schedule.next(NOW));
        let asked = [one.unwrap()];
        assert!(other.is_none(), "one page of a log at a time");
        schedule.served(&asked[0], Sequence::new(20));
        let last = schedule.next(NOW).unwrap();
        let all: BTreeSet<_> = asked.iter().chain([&last]).map(short).collect();
        assert_eq!(all, BTreeSet::from([(1, 7, 10, 20), (2, 7, 3, 20)]));
    }

    #[test]
    fn whoever_lacks_all_it_is_asked_for_is_asked_so_often_and_no_more_and_hinders_nobody() {
        let mut schedule = Schedule::default();
        schedule.offer(1, [range(7, 1, 1 << 53)]);
        for _ in 0..MAX_LACKING {
            let ask = schedule.next(NOW).unwrap();
            let at = ask.range.from;
            schedule.lacking(&ask, at);
        }
        assert_eq!(schedule.next(NOW), None);
        schedule.offer(2, [range(7, 1, 5)]);
        assert_eq!(ask(&mut schedule, NOW), Some((2, 7, 1, 5)));
    }

    #[test]
    fn what_is_missing_counts_down_and_tells_what_it_waits_for() {
        let mut schedule = Schedule::default();
        let told = |schedule: &Schedule<u8>| -> Vec<(u64, Pace)> {
            schedule.missing(NOW).map(|missing| (missing.count, missing.pace)).collect()
        };
        schedule.offer(1, [range(7, 3, 20)]);
        assert_eq!(told(&schedule), [(18, Pace::Due)]);
        let ask = schedule.next(NOW).unwrap();
        assert_eq!(told(&schedule), [(18, Pace::UnderWay)]);
        schedule.served(&ask, Sequence::new(12));
        assert_eq!(told(&schedule), [(8, Pace::Due)]);
        schedule.pause(1, NOW);
        assert_eq!(told(&schedule), [(8, Pace::Waits)]);
        schedule.offer(2, [range(7, 13, 30)]);
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
        schedule.offer(1, (0..50).map(|log| range(log, 1, 500)));
        let mut stored = Vec::new();
        while let Some(ask) = schedule.next(NOW) {
            schedule.arrived(&ask);
            stored.push(ask);
        }
        assert_eq!(stored.len(), STORED_PER_PEER, "one peer leaves places to others");
        schedule.offer(2, (50..100).map(|log| range(log, 1, 500)));
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
        schedule.offer(2, []);
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
        assert!(schedule.offer(1, [range(7, 1, 500)]));
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
            schedule.offer(peer, (0..100).map(|log| range(log, 1, 9)));
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
        schedule.offer(1, [range(0, 1, 1_000_000), range(1, 1, 9), range(2, 1, 9), range(3, 1, 9)]);
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
        schedule.offer(1, (0..50).map(|log| range(log, 1, 9)));
        let asks: Vec<_> = std::iter::from_fn(|| schedule.next(NOW)).collect();
        assert_eq!(asks.len(), PER_PEER);
        // Another peer gets all other logs at once, and after a while the two that hang.
        schedule.offer(2, (0..50).map(|log| range(log, 1, 9)));
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
            schedule.offer(peer, (0..50).map(|log| range(log, 1, 9)));
        }
        assert_eq!(std::iter::from_fn(|| schedule.next(NOW)).count(), AT_ONCE);
        schedule.offer(9, (0..50).map(|log| range(log, 1, 9)));
        assert_eq!(ask(&mut schedule, NOW), None);
        assert_eq!(schedule.next(NOW + SLOW).unwrap().peer, 9);
    }

    #[test]
    fn what_one_peer_fails_to_serve_goes_to_another() {
        let mut schedule = Schedule::default();
        schedule.offer(1, [range(7, 1, 500)]);
        let asked = schedule.next(NOW).unwrap();
        schedule.offer(2, [range(7, 1, 400)]);
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
            schedule.offer(1, (0..200).map(|log| range(log, 1, u64::MAX - 1)));
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
        schedule.offer(1, [range(7, 1, 9)]);
        assert_eq!(ask(&mut schedule, now), None);
    }

    #[test]
    fn claims_without_end_take_bounded_memory() {
        let mut schedule = Schedule::default();
        let log = |n: u32| LogId::new([n.to_be_bytes(); 8].concat().try_into().unwrap());
        let endless = (0..100_000).map(|n| Range { log: log(n), ..range(0, 1, 9) });
        assert!(!schedule.offer(1, endless));
        assert_eq!(schedule.jobs.len(), MAX_OFFERS);
        schedule.gone(1);
        assert_eq!((schedule.jobs.len(), schedule.turns.len()), (0, 0));
    }

    #[test]
    fn a_busy_peer_is_asked_a_little_later_and_not_blamed() {
        let mut schedule = Schedule::default();
        schedule.offer(1, [range(7, 1, 9)]);
        let asked = schedule.next(NOW).unwrap();
        schedule.busy(&asked, NOW);
        assert_eq!(ask(&mut schedule, NOW), None);
        let at = schedule.wakes(NOW).unwrap();
        assert_eq!(ask(&mut schedule, at), Some((1, 7, 1, 9)));
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
                schedule.offer(peer, (0..heights.len()).map(|n| range(log(n), 1, *claim)));
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
                    2 if state % 3 != 0 => schedule.busy(&ask, now),
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
            assert!(self.offer(peer, all));
        }
    }
}
