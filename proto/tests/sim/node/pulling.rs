//! With whom frontiers are compared and when, and which page is asked of whom next: the loop around the schedule that
//! production runs, on virtual time.
//!
//! ```text
//! due ─▶ compare (every group) ─▶ offers ─▶ Schedule::next ─▶ a page or a proof ─▶ judged ─▶ what the schedule is told of it
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use belfry_proto::{
    crypto::sign::PublicKey,
    id::{GroupId, Sequence},
    schema::{PullFork, PullRange, sync_request::Request},
    sync::{
        Ask, Range, Schedule, Want,
        schedule::{AT_ONCE, MAX_SLOW, PER_PEER},
    },
};
use rand::seq::IteratorRandom;

use super::{
    Asked, Cx, Node, Observation, Synced,
    outcome::{End, Fetched},
};
use crate::faults::Defect;

/// How long notices of gaps gather before frontiers are compared.
const GATHER: Duration = Duration::from_millis(200);
/// Peers compared with at once.
const COMPARISONS: usize = 16;
/// How long an answer may take.
const ANSWERED_WITHIN: Duration = Duration::from_secs(40);
/// Peers compared with at each look around.
const ROUND: usize = 2;
/// Until a peer is compared with again that was busy for so long that its offers were dropped.
const BUSY_RESTS: Duration = Duration::from_secs(300);

/// The most requests for pages and proofs that may be under way, and the most to one peer.
pub(crate) const MOST_UNDER_WAY: (usize, usize) = (AT_ONCE + MAX_SLOW, PER_PEER);

/// Where the loop stands. A crash loses it, with all that the schedule knows of peers.
#[derive(Default)]
pub(super) struct Pulling {
    pub(super) schedule: Schedule<PublicKey>,
    /// Peers to compare with, and from when.
    due: BTreeMap<PublicKey, Duration>,
    comparing: BTreeSet<PublicKey>,
    /// Peers that had more on offer than one comparison takes.
    cut: BTreeSet<PublicKey>,
    /// Requests by when they count as unanswered.
    deadlines: BTreeSet<(Duration, u64)>,
    /// When it wakes next.
    wakes: Option<Duration>,
}

/// A comparison with one peer: groups still to come, and what it claims in those before.
#[derive(Default)]
pub(super) struct Round {
    pub(super) groups: Vec<GroupId>,
    pub(super) ranges: Vec<Range>,
    pub(super) is_cut: bool,
}

impl Node {
    /// The regular look around: some peers that need not rest.
    pub(super) fn pull_someone(&mut self, cx: &mut Cx<'_>) {
        for _ in 0..ROUND {
            self.due_random(cx.elapsed, cx);
        }
        self.pull_on(cx);
    }

    /// A gap came to light: its forwarder may have the same one; somebody else need not.
    pub(super) fn gap(&mut self, from: PublicKey, cx: &mut Cx<'_>) {
        let at = cx.elapsed + GATHER;
        self.due(from, at);
        self.due_random(at, cx);
        cx.wake_after(GATHER);
    }

    fn due(&mut self, peer: PublicKey, at: Duration) {
        if peer != self.key() && !self.has(Defect::NeverSyncs) {
            self.up().pulling.due.entry(peer).or_insert(at);
        }
    }

    fn due_random(&mut self, at: Duration, cx: &mut Cx<'_>) {
        let peers = self.peers(cx.now);
        let schedule = &self.up().pulling.schedule;
        let trusted = peers.into_iter().filter(|peer| schedule.waits(peer, cx.elapsed).is_none());
        if let Some(peer) = trusted.choose(cx.rng) {
            self.due(peer, at);
        }
    }

    /// Who is a member no more is forgotten; whoever is here may have more for us now.
    pub(super) fn pull_anew(&mut self, cx: &mut Cx<'_>) {
        let roster = self.roster();
        self.up().pulling.schedule.forget(|peer| roster.by_node(peer).is_some());
        self.due_random(cx.elapsed + GATHER, cx);
        cx.wake_after(GATHER);
    }

    /// A moment has come that something waited for.
    pub(crate) fn wake(&mut self, cx: &mut Cx<'_>) {
        let deadlines = &mut self.up().pulling.deadlines;
        let late: Vec<u64> =
            deadlines.iter().take_while(|(at, _)| *at <= cx.elapsed).map(|(_, id)| *id).collect();
        deadlines.retain(|(at, _)| *at > cx.elapsed);
        for id in late {
            if let Some(Asked::Sync { peer, what, .. }) = self.up().asked.remove(&id) {
                self.unanswered(peer, what, cx);
            }
        }
        self.pull_on(cx);
    }

    /// A request went out that is waited for.
    pub(super) fn awaits(&mut self, id: u64, cx: &mut Cx<'_>) {
        if !self.has(Defect::WaitsForEver) {
            self.up().pulling.deadlines.insert((cx.elapsed + ANSWERED_WITHIN, id));
            cx.wake_after(ANSWERED_WITHIN);
        }
    }

    /// No answer, or one that does not even read.
    pub(super) fn unanswered(&mut self, peer: PublicKey, what: Synced, cx: &mut Cx<'_>) {
        match what {
            Synced::Frontier { round, .. } => {
                self.up().pulling.schedule.blame(peer, cx.elapsed);
                self.compared(peer, round, cx);
            }
            Synced::Page(ask, _) | Synced::Fork(ask) => {
                self.fetched(&ask, Fetched::nothing(End::PeersFault), cx);
            }
            Synced::Contacts(..) | Synced::Told => {}
        }
    }

    /// Begins every comparison and asks for everything that may be asked for now.
    pub(super) fn pull_on(&mut self, cx: &mut Cx<'_>) {
        let now = cx.elapsed;
        let due: Vec<PublicKey> =
            self.up().pulling.due.iter().filter(|(_, at)| **at <= now).map(|(peer, _)| *peer).collect();
        for peer in due {
            let pulling = &mut self.up().pulling;
            if pulling.comparing.len() >= COMPARISONS {
                break;
            }
            if pulling.comparing.contains(&peer) {
                continue;
            }
            if let Some(until) = pulling.schedule.waits(&peer, now) {
                pulling.due.insert(peer, until);
                cx.saw(Observation::PutOff);
                continue;
            }
            pulling.due.remove(&peer);
            pulling.comparing.insert(peer);
            let groups = self.groups(cx.now);
            self.compare_next(peer, Round { groups, ..Round::default() }, cx);
        }
        while let Some(ask) = self.up().pulling.schedule.next(now) {
            self.fetch(ask, cx);
        }
        let pulling = &mut self.up().pulling;
        let due = pulling.due.iter().filter(|(peer, _)| !pulling.comparing.contains(*peer));
        let due = due.map(|(_, at)| *at).filter(|at| *at > now);
        let Some(at) = due.chain(pulling.schedule.wakes(now)).min() else { return };
        if pulling.wakes.is_none_or(|before| before <= now || before > at) {
            pulling.wakes = Some(at);
            cx.wake_after(at - now);
        }
    }

    /// All that a peer claims beyond us, as far as it was told.
    pub(super) fn compared(&mut self, peer: PublicKey, round: Round, cx: &mut Cx<'_>) {
        let pulling = &mut self.up().pulling;
        pulling.comparing.remove(&peer);
        let is_whole = pulling.schedule.offer(peer, round.ranges, cx.elapsed);
        if round.is_cut || !is_whole {
            pulling.cut.insert(peer);
        }
    }

    fn fetch(&mut self, ask: Ask<PublicKey>, cx: &mut Cx<'_>) {
        let Ask { peer, range, .. } = ask;
        let (group, log) = (range.group.get(), range.log.to_vec());
        if range.want == Want::Fork {
            self.ask_sync(peer, Synced::Fork(ask), Request::Fork(PullFork { group, log }), cx);
            self.count_under_way(peer, cx);
            return;
        }
        let mut wanted = range;
        if range.want == Want::Bodies {
            let holes = self.durable.logs.next_holes(range.group, range.log, range.from.get());
            let Some((from, to)) = holes.filter(|(from, _)| *from <= range.to.get()) else {
                // Others brought the rest meanwhile.
                self.up().pulling.schedule.served(&ask, range.to);
                return;
            };
            (wanted.from, wanted.to) = (Sequence::new(from), Sequence::new(to.min(range.to.get())));
        }
        let pull = PullRange { group, log, from: wanted.from.get(), to: wanted.to.get() };
        self.ask_sync(peer, Synced::Page(ask, wanted), Request::Range(pull), cx);
        self.count_under_way(peer, cx);
    }

    fn count_under_way(&self, peer: PublicKey, cx: &mut Cx<'_>) {
        let asked = self.volatile.as_ref().unwrap().asked.values();
        let of: Vec<PublicKey> = asked
            .filter_map(|asked| match asked {
                Asked::Sync { peer, what: Synced::Page(..) | Synced::Fork(_), .. } => Some(*peer),
                _ => None,
            })
            .collect();
        let of_peer = of.iter().filter(|other| **other == peer).count();
        cx.saw(Observation::Fetching { under_way: of.len(), of_peer });
    }

    /// Tells the schedule what became of a request.
    pub(super) fn fetched(&mut self, ask: &Ask<PublicKey>, fetched: Fetched, cx: &mut Cx<'_>) {
        let now = cx.elapsed;
        let Fetched { through, proven, end } = fetched;
        let pulling = &mut self.up().pulling;
        let schedule = &mut pulling.schedule;
        match (end, through) {
            (End::Whole, Some(through)) if proven != Some(through) => schedule.unproven(ask, proven, through),
            (End::Whole, Some(through)) => schedule.served(ask, through),
            (End::Whole, None) => schedule.failed(ask, None, now),
            (End::PeersFault, _) => schedule.failed(ask, proven, now),
            (End::Ours, _) => schedule.spoiled(ask),
            (End::Bare(at), _) => schedule.lacking(ask, at),
            (End::Gone(at), _) => schedule.bodies_gone(ask, at, now),
            (End::HasNothing, _) => {
                if schedule.has_nothing(ask, now) {
                    cx.saw(Observation::SetAside { from: ask.peer });
                }
            }
            (End::Waits, _) => {
                if schedule.held_up(ask, proven, through, now) {
                    // Not at once, however much more it has on offer.
                    pulling.cut.remove(&ask.peer);
                    pulling.due.entry(ask.peer).or_insert(now + BUSY_RESTS);
                }
            }
        }
        // The rest of a long list: what was fetched is level now, so the next comparison gets further.
        if pulling.schedule.is_done(&ask.peer) && pulling.cut.remove(&ask.peer) {
            pulling.due.entry(ask.peer).or_insert(now + GATHER);
        }
    }
}
