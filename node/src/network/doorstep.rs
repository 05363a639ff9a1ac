//! Whose handshake is begun at all. No I/O, no timer; [`super::gated`] asks before a connection costs anything.
//!
//! A handshake costs this node about a millisecond of its processor before it knows with whom it is made, so a stranger
//! could buy all of it for a few packets; and one that never ends holds a place for as long as handshakes may take. Both are
//! therefore bounded: from each host, and from all hosts together from which no member came lately.
//!
//! ```text
//! who knocks ─ no host (memory, circuits) ─ a place of theirs? ────────────────────────────────────────▶ begun
//!            └ a host ─ a member came from there ─ a place of theirs? ─ its own share left? ───────────▶ begun
//!                     └ nobody ─ a place of strangers? ─ a share of strangers'? ─ its own share left? ─▶ begun
//!                                                                                                  else turned away
//! a handshake that was a member's gives back what it took, and what those took that lost the race with it
//! ```
//!
//! The lower half of what strangers share is for hosts that were modest: a few handshakes in a minute, as whoever joins needs.
//! Hosts that knock without end share the upper half, so no few of them keep a newcomer out.
//!
//! Places are three pools, so that none fills another's. In each, a host holds at most an eighth of what is free: a greedy
//! host is turned away long before a modest one is, and the last places go to hosts that have none.
//!
//! So a flood from elsewhere keeps no member out whose host is known, and members that restart together behind one address
//! pay for what is under way only. After a start no host is known but those where this node looks for members itself. Who
//! floods *from* a member's host, or in its name (QUIC does not ask whether the sender's address is true before it answers),
//! may keep that member from dialling this node; this node dials it all the same.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    net::IpAddr,
    time::Duration,
};

use libp2p::{PeerId, swarm::ConnectionId};
use tokio::time::Instant;

use super::{config::DoorstepLimits, limits::HANDSHAKE};
use crate::bucket::{Bucket, Buckets, Rate};

/// How long the host of a member that is gone counts as one that members come from: a link that broke is sought as long.
const LATELY: Duration = Duration::from_secs(24 * 3600);
/// Such hosts remembered: more than a coalition has nodes. Beyond it the oldest is forgotten.
const HOSTS: usize = 4096;
/// A host holds at most this part of a pool's free places; one always, if there is one.
const PART: usize = 8;
/// Handshakes that one dial begins in vain beside the one that wins: one for each further way to a node from the same host.
const LOSERS: usize = 3;
/// Handshakes remembered that came to nothing: above what the shares of strangers let begin while one counts.
const LOST: usize = 1024;

/// What a host takes of the half that is kept for modest ones: a newcomer needs two or three handshakes, and tries for minutes.
/// Each host that floods takes it, too: at this rate hundreds of them do not use up the half.
const MODEST: Rate = Rate { per_second: 0.1, burst: 8.0 };

/// Why a handshake is not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TurnedAway {
    #[error("this address has begun too many handshakes")]
    Host,
    #[error("this address has too many handshakes under way")]
    HostOpen,
    #[error("strangers have begun too many handshakes")]
    Strangers,
    #[error("strangers have too many handshakes under way")]
    StrangersOpen,
    #[error("this address, which a member came from, has begun too many handshakes")]
    Known,
    #[error("this address, which a member came from, has too many handshakes under way")]
    KnownOpen,
    #[error("too many handshakes are under way over circuits")]
    HostlessOpen,
}

impl TurnedAway {
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Host => "handshakes-of-address",
            Self::HostOpen => "open-handshakes-of-address",
            Self::Strangers => "handshakes-of-strangers",
            Self::StrangersOpen => "open-handshakes-of-strangers",
            Self::Known => "handshakes-of-known-address",
            Self::KnownOpen => "open-handshakes-of-known-address",
            Self::HostlessOpen => "open-handshakes-over-circuits",
        }
    }

    /// Whether it may well have been a member.
    pub(super) const fn is_known(self) -> bool {
        matches!(self, Self::Known | Self::KnownOpen | Self::HostlessOpen)
    }
}

#[derive(Debug)]
pub(super) struct Doorstep {
    limits: DoorstepLimits,
    hosts: Buckets<IpAddr>,
    strangers: Bucket,
    /// What hosts have left of the half for modest ones.
    modest: Buckets<IpAddr>,
    /// Handshakes under way, by what they took.
    open: HashMap<ConnectionId, Knock>,
    /// Those that came to nothing, the oldest first: whose they were shows when a member comes from there.
    lost: VecDeque<(Instant, Knock)>,
    /// Whose admitted connections lead where.
    linked: HashMap<ConnectionId, (PeerId, IpAddr)>,
    /// Where members were or are sought, and until when.
    lately: HashMap<IpAddr, (PeerId, Instant)>,
}

/// Whose places a handshake takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pool {
    Strangers,
    Known,
    Hostless,
}

/// A half of what strangers share, by who may have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Half {
    Any,
    Modest,
}

#[derive(Clone, Copy, Debug)]
struct Knock {
    host: Option<IpAddr>,
    pool: Pool,
    /// It took of the half that is kept for modest hosts.
    is_modest: bool,
    /// What it took is given back already.
    is_free: bool,
}

impl Doorstep {
    pub(super) fn new(limits: DoorstepLimits, now: Instant) -> Self {
        Self {
            limits,
            hosts: Buckets::new(limits.per_host),
            strangers: Bucket::full(limits.strangers, now),
            modest: Buckets::new(MODEST),
            open: HashMap::new(),
            lost: VecDeque::new(),
            linked: HashMap::new(),
            lately: HashMap::new(),
        }
    }

    /// Somebody begins a handshake. What comes over memory or a circuit has no host, and bounds of its own.
    pub(super) fn knock(
        &mut self,
        connection: ConnectionId,
        from: Option<IpAddr>,
        now: Instant,
    ) -> Result<(), TurnedAway> {
        let pool = match from {
            None => Pool::Hostless,
            Some(host) if self.is_known(host, now) => Pool::Known,
            Some(_) => Pool::Strangers,
        };
        self.has_place(pool, from)?;
        let mut is_modest = false;
        if let Some(host) = from {
            // Looked at first, so that a flood of made up hosts leaves no trace; taken last, so that one host that has used
            // up its own share takes none of the others', nor of what is kept for it while it is modest.
            if pool == Pool::Strangers {
                is_modest = self.share_for(host, now)? == Half::Modest;
            }
            if !self.hosts.take(host, 1.0, now) {
                return Err(if pool == Pool::Known { TurnedAway::Known } else { TurnedAway::Host });
            }
            if pool == Pool::Strangers {
                self.strangers.spend(1.0);
            }
            if is_modest {
                self.modest.take(host, 1.0, now);
            }
        }
        self.open.insert(connection, Knock { host: from, pool, is_modest, is_free: false });
        Ok(())
    }

    /// Of which half of what strangers share something is left for a host like this one.
    fn share_for(&mut self, host: IpAddr, now: Instant) -> Result<Half, TurnedAway> {
        let left = self.strangers.fill(self.limits.strangers, now);
        if left < 1.0 {
            Err(TurnedAway::Strangers)
        } else if left > self.limits.strangers.burst / 2.0 {
            Ok(Half::Any)
        } else if self.modest.has(&host, 1.0, now) {
            Ok(Half::Modest)
        } else {
            Err(TurnedAway::Strangers)
        }
    }

    fn has_place(&self, pool: Pool, from: Option<IpAddr>) -> Result<(), TurnedAway> {
        let limits = &self.limits;
        let (places, full) = match pool {
            Pool::Strangers => (limits.open_strangers, TurnedAway::StrangersOpen),
            Pool::Known => (limits.open_known, TurnedAway::KnownOpen),
            Pool::Hostless => (limits.open_hostless, TurnedAway::HostlessOpen),
        };
        let taken = self.open.values().filter(|knock| knock.pool == pool).count();
        let free = places.saturating_sub(taken);
        if free == 0 {
            return Err(full);
        }
        let share = (free / PART).max(1);
        let (share, greedy) = match pool {
            Pool::Strangers => (share.min(limits.open_per_host), TurnedAway::HostOpen),
            Pool::Known => (share, TurnedAway::KnownOpen),
            Pool::Hostless => return Ok(()),
        };
        // Those too that it began before it was known, or while it was.
        let held = self.open.values().filter(|knock| knock.host == from).count();
        if held >= share { Err(greedy) } else { Ok(()) }
    }

    /// The handshake was a member's. So were, as far as anybody can tell, the newest others of its host: who dials every way
    /// to a node at once drops all but one.
    pub(super) fn was_a_members(&mut self, connection: ConnectionId, now: Instant) {
        let Some(knock) = self.open.remove(&connection) else { return };
        self.give_back(knock);
        let Some(host) = knock.host else { return };
        let mut under_way: Vec<ConnectionId> = self
            .open
            .iter()
            .filter(|(_, knock)| knock.host == Some(host) && !knock.is_free)
            .map(|(connection, _)| *connection)
            .collect();
        under_way.sort_unstable();
        let mut left = LOSERS;
        for connection in under_way.into_iter().rev().take(LOSERS) {
            if let Some(loser) = self.open.get_mut(&connection) {
                let took = *loser;
                loser.is_free = true;
                self.give_back(took);
                left -= 1;
            }
        }
        self.forget_lost(now);
        while left > 0 {
            let loser = self.lost.iter().rposition(|(_, knock)| knock.host == Some(host));
            let Some((_, knock)) = loser.and_then(|at| self.lost.remove(at)) else { break };
            self.give_back(knock);
            left -= 1;
        }
    }

    /// The handshake was a stranger's.
    pub(super) fn was_a_strangers(&mut self, connection: ConnectionId) {
        self.open.remove(&connection);
    }

    /// The handshake came to nothing.
    pub(super) fn was_nobodys(&mut self, connection: ConnectionId, now: Instant) {
        let Some(knock) = self.open.remove(&connection) else { return };
        self.forget_lost(now);
        if knock.host.is_some() && !knock.is_free {
            if self.lost.len() == LOST {
                self.lost.pop_front();
            }
            self.lost.push_back((now, knock));
        }
    }

    fn forget_lost(&mut self, now: Instant) {
        while self.lost.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > HANDSHAKE) {
            self.lost.pop_front();
        }
    }

    fn give_back(&mut self, knock: Knock) {
        let Some(host) = knock.host.filter(|_| !knock.is_free) else { return };
        self.hosts.give_back(&host, 1.0);
        if knock.pool == Pool::Strangers {
            self.strangers.spend(-1.0);
        }
        if knock.is_modest {
            self.modest.give_back(&host, 1.0);
        }
    }

    /// A connection with a member, whoever dialled.
    pub(super) fn linked(&mut self, connection: ConnectionId, peer: PeerId, host: Option<IpAddr>) {
        if let Some(host) = host {
            self.linked.insert(connection, (peer, host));
        }
    }

    /// This node looks for a member there, so it may come from there. Nothing that is remembered gives way to it: where
    /// members say they are is their word alone.
    pub(super) fn sought(&mut self, host: IpAddr, peer: PeerId, now: Instant) {
        let is_full = self.lately.len() >= HOSTS;
        match self.lately.entry(host) {
            Entry::Occupied(mut known) if known.get().1 <= now || known.get().0 == peer => {
                known.insert((peer, now + LATELY));
            }
            Entry::Vacant(place) if !is_full => {
                place.insert((peer, now + LATELY));
            }
            Entry::Occupied(_) | Entry::Vacant(_) => {}
        }
    }

    /// That connection has ended; where it led is remembered if its peer is a member still.
    pub(super) fn parted(&mut self, connection: ConnectionId, is_member: bool, now: Instant) {
        let Some((peer, host)) = self.linked.remove(&connection).filter(|_| is_member) else { return };
        self.lately.insert(host, (peer, now + LATELY));
        if self.lately.len() > HOSTS {
            let oldest = self.lately.iter().min_by_key(|(_, (_, until))| *until).map(|(host, _)| *host);
            if let Some(oldest) = oldest {
                self.lately.remove(&oldest);
            }
        }
    }

    /// Hosts are known by those alone who are members still.
    pub(super) fn keep(&mut self, is_member: impl Fn(&PeerId) -> bool) {
        self.linked.retain(|_, (peer, _)| is_member(peer));
        self.lately.retain(|_, (peer, _)| is_member(peer));
    }

    fn is_known(&self, host: IpAddr, now: Instant) -> bool {
        self.lately.get(&host).is_some_and(|(_, until)| now < *until)
            || self.linked.values().any(|(_, at)| *at == host)
    }
}

#[cfg(test)]
mod tests;
