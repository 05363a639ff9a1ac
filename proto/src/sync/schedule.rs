//! Which range to ask of which peer next, decided without a socket or a clock.
//!
//! Peers *offer* ranges: what their frontier claims beyond ours. A claim is worth one request and no more:
//! what is asked for next follows from what was served and kept, never from what was promised.
//!
//! ```text
//! frontiers ─plan─▶ offer(peer, ranges) ─▶ next() ─▶ Ask{peer, range} ─▶ served(upto) ─▶ the rest of the log
//!                                                                   ├─▶ busy         ─▶ this peer a little later, for a while
//!                                                                   ├─▶ has nothing  ─▶ the log from another peer
//!                                                                   ├─▶ lacking      ─▶ this peer for what comes after
//!                                                                   ├─▶ bodies gone  ─▶ the same, and not again for a while
//!                                                                   ├─▶ unproven     ─▶ the same, and others for all of it
//!                                                                   ├─▶ no room      ─▶ nobody for it, for an hour
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
};

mod peer;
mod room;
#[cfg(test)]
mod tests;

use peer::Peer;
pub use peer::{FIRST_BACKOFF, LONGEST_BACKOFF};
use room::FullLogs;
pub use room::PASSED_OVER;

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
/// Times in a row that a peer may lack what it is asked for in a log, or bring what proves nothing. Each costs a request; what
/// comes after them is the next comparison's, of another peer most likely.
pub const MAX_LACKING: u32 = 64;

/// Logs in a row of which a peer may have nothing that it claims. It may miss bodies as we do, or excuses for them; whoever has
/// nothing of so many has claimed what it has not.
pub const MAX_EMPTY: u32 = 64;
/// How long those are not asked for again of the same peer, and then behind all else that it claims. Had they to wait no longer
/// than the peer itself ([`LONGEST_BACKOFF`]), they would be all that it is asked for when it may be asked again. No wait could
/// be long enough to let an honest one's other logs have their turn, were they to come first again: the waits of one that has
/// nothing of [`MAX_OFFERS`] come to hours.
pub const ASIDE: Duration = Duration::from_secs(1200);
const _: () = assert!(ASIDE.as_secs() > LONGEST_BACKOFF.as_secs());
/// Times in a row that a peer may be busy until its offers are dropped: five minutes and more, in which others had theirs.
/// They come again with the next comparison; a peer that is busy for good must not look like something on its way.
pub const MAX_BUSY: u32 = 16;

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
    full: FullLogs,
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

impl<P> Default for Schedule<P> {
    fn default() -> Self {
        Self {
            jobs: BTreeMap::new(),
            turns: BTreeSet::new(),
            peers: BTreeMap::new(),
            full: FullLogs::default(),
            asked: 0,
        }
    }
}

impl<P: Copy + Ord> Schedule<P> {
    /// Replaces what `peer` has on offer, but for what there was no room for a while ago; returns false if it was more than
    /// [`MAX_OFFERS`], so that the frontiers should be compared again once these are done.
    pub fn offer(&mut self, peer: P, ranges: impl IntoIterator<Item = Range>, now: Duration) -> bool {
        self.withdraw(peer);
        self.full.forget_old(now);
        let mut again = BTreeMap::new();
        for range in ranges {
            let Some(range) = self.full.narrowed(range, now) else { continue };
            let job = job_in(&range);
            let state = self.peers.entry(peer).or_default();
            match state.aside_until(&job) {
                Some(until) if until > now => {}
                // No more than were set aside.
                Some(until) => {
                    again.insert((until, job), range);
                }
                None if state.offers >= MAX_OFFERS => return false,
                None => self.put(peer, range, self.asked, now),
            }
        }
        if let Some(state) = self.peers.get_mut(&peer) {
            state.forget_old(&again.keys().map(|(_, job)| *job).collect(), now);
        }
        // Those that were set aside first come first, or the others of them would never have their turn.
        for (turn, range) in (self.asked + 1..).zip(again.into_values()) {
            if self.peers.get(&peer).is_some_and(|state| state.offers >= MAX_OFFERS) {
                return false;
            }
            self.put(peer, range, turn, now);
        }
        true
    }

    /// Puts a range of `peer` on offer, as far as that did not say just now that it has nothing there; if nobody else offers it,
    /// in that turn.
    fn put(&mut self, peer: P, range: Range, turn: u64, now: Duration) {
        let job = job_in(&range);
        let from = self.peers.get(&peer).map_or(range.from, |state| state.start(&range, now));
        if from > range.to {
            return;
        }
        let wanted = self.jobs.entry(job).or_insert_with(|| {
            self.turns.insert((turn, job));
            Wanted { next: range.from, offers: BTreeMap::new(), turn, under_way: BTreeMap::new() }
        });
        // Others have brought that much meanwhile.
        if range.to < wanted.next {
            return;
        }
        let offer = Offer { to: range.to, from, lacking: 0 };
        if wanted.offers.insert(peer, offer).is_none() {
            self.peers.entry(peer).or_default().offers += 1;
        }
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
            .filter(|(_, peer)| peer.offers > 0 && peer.under_way < PER_PEER && !peer.rests(now))
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
            // Who has the next entry comes before who lacks it, or brought what may be none: a log goes on from below.
            let start = |peer: &P| wanted.offers.get(peer).map(|offer| offer.start(wanted.next));
            let load = |peer: &P| self.peers.get(peer).map(|peer| (peer.under_way, peer.faults()));
            let best = offers.min_by_key(|peer| (start(peer), load(peer)));
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
        self.full.kept(&ask.range);
        self.came(ask, through);
    }

    /// There is no room for what the peer served: for its author's entries, up to and with `through`, or for bodies. It is not
    /// asked for again for a while ([`PASSED_OVER`]), of nobody; what comes after it is.
    pub fn no_room(&mut self, ask: &Ask<P>, through: Option<Sequence>, now: Duration) {
        match (ask.range.want, through) {
            (Want::Entries, Some(through)) => {
                let passed = self.full.passed_over(&ask.range, through, now);
                self.came(ask, passed);
            }
            (Want::Bodies, _) => {
                self.full.passed_over(&ask.range, Sequence::new(0), now);
                self.spoiled(ask);
            }
            (Want::Entries, None) | (Want::Fork | Want::Proof, _) => self.spoiled(ask),
        }
    }

    fn came(&mut self, ask: &Ask<P>, through: Sequence) {
        self.settle(ask);
        if let Some(peer) = self.peers.get_mut(&ask.peer) {
            peer.served(&job_of(ask));
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

    /// The peer has no bodies of what it was asked for, up to and with `through`, although it counts these entries as whole. As
    /// after [`Self::lacking`]; and it is not asked for them again for a while ([`ASIDE`]), for it goes on to count them.
    pub fn bodies_gone(&mut self, ask: &Ask<P>, through: Sequence, now: Duration) {
        let peer = self.peers.entry(ask.peer).or_default();
        peer.had_time();
        peer.has_no_bodies((ask.range.group, ask.range.log), through, now, now + ASIDE);
        self.lacking(ask, through);
    }

    /// The peer has no time now. Its offers stand, unless it has had none for long ([`MAX_BUSY`]): true if they are dropped.
    pub fn busy(&mut self, ask: &Ask<P>, now: Duration) -> bool {
        self.settle(ask);
        self.pause(ask.peer, now);
        let is_endless = self.peers.get(&ask.peer).is_some_and(|peer| peer.busy() >= MAX_BUSY);
        if is_endless {
            self.withdraw(ask.peer);
        }
        is_endless
    }

    /// The peer did not serve all, and the rest comes once what it waits for is here: as after [`Self::served`] or
    /// [`Self::unproven`] where something was kept, and else as after [`Self::busy`].
    pub fn held_up(
        &mut self,
        ask: &Ask<P>,
        proven: Option<Sequence>,
        through: Option<Sequence>,
        now: Duration,
    ) -> bool {
        match (proven, through) {
            (Some(proven), _) => self.served(ask, proven),
            (None, Some(through)) => self.unproven(ask, None, through),
            (None, None) => return self.busy(ask, now),
        }
        self.pause(ask.peer, now);
        false
    }

    /// The peer has nothing of what it claimed, which happens to honest ones: the log is somebody else's to bring. True if it
    /// had nothing so often in a row ([`MAX_EMPTY`]) that it is to blame: then nothing else that it claims is asked for either,
    /// and when it claims it again that comes first, and these logs last ([`ASIDE`]).
    pub fn has_nothing(&mut self, ask: &Ask<P>, now: Duration) -> bool {
        self.spoiled(ask);
        let job = job_of(ask);
        let is_liar = self.peers.get_mut(&ask.peer).is_some_and(|peer| peer.was_empty(job) >= MAX_EMPTY);
        if is_liar {
            self.withdraw(ask.peer);
            if let Some(peer) = self.peers.get_mut(&ask.peer) {
                peer.set_aside(now + ASIDE);
            }
            self.blame(ask.peer, now);
        }
        is_liar
    }

    /// The peer served entries up to and with `through`, of which those up to and with `proven` alone are known to be their
    /// author's: the rest waits for the admin log, and may be made up. The peer is asked for what comes after; of others the
    /// rest is wanted all the same.
    pub fn unproven(&mut self, ask: &Ask<P>, proven: Option<Sequence>, through: Sequence) {
        if let Some(peer) = self.peers.get_mut(&ask.peer) {
            peer.had_time();
        }
        if let Some(proven) = proven {
            self.advance(ask, proven);
        }
        self.lacking(ask, through);
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
        self.peers.entry(peer).or_default().blame(now);
    }

    /// The peer had no time for a question outside this schedule.
    pub fn pause(&mut self, peer: P, now: Duration) {
        self.peers.entry(peer).or_default().pause(now);
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
        self.peers.get(peer).map(Peer::not_before).filter(|until| *until > now)
    }

    /// Whether nothing is on offer by, or under way to, this peer.
    #[must_use]
    pub fn is_done(&self, peer: &P) -> bool {
        self.peers.get(peer).is_none_or(|state| state.offers == 0 && state.under_way == 0)
    }

    /// Everything on offer, by group and log.
    pub fn missing(&self, now: Duration) -> impl Iterator<Item = Missing> {
        self.jobs.iter().map(move |(&(group, log, want), wanted)| {
            let end =
                wanted.offers.values().map(|offer| offer.to).max().map_or(0, |to| to.get().saturating_add(1));
            let rests = |peer: &P| self.waits(peer, now).is_some();
            let pace = match () {
                () if !wanted.under_way.is_empty() => Pace::UnderWay,
                () if wanted.offers.keys().all(rests) => Pace::Waits,
                () => Pace::Due,
            };
            Missing { group, log, want, count: end.saturating_sub(wanted.next.get()), pace }
        })
    }

    /// Logs of which something is left alone because there is no room for it, by group.
    #[must_use]
    pub fn full(&self, now: Duration) -> BTreeMap<GroupId, usize> {
        self.full.by_group(now)
    }

    /// When to call [`Self::next`] again although nothing happens until then.
    #[must_use]
    pub fn wakes(&self, now: Duration) -> Option<Duration> {
        let waiting = self.peers.values().filter(|peer| peer.offers > 0).map(Peer::not_before);
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
    job_in(&ask.range)
}

const fn job_in(range: &Range) -> Job {
    (range.group, range.log, range.want)
}
