//! Whose handshake is begun at all. No I/O, no timer; [`super::gated`] asks before a connection costs anything.
//!
//! A handshake costs this node about a millisecond of its processor before it knows with whom it is made, so a stranger
//! could buy all of it for a few packets. What is begun is therefore bounded: from each host, and from all hosts together
//! from which no member came lately.
//!
//! ```text
//! who knocks ─ no host (memory, circuits) ───────────────────────────────────▶ begun
//!            └ a host ─ its own share left? ─ yes ─ a member came from there ─▶ begun
//!                                                 └ nobody ─ a share of all? ─▶ begun, or turned away
//! a handshake that was a member's gives back what it took; every other has spent it
//! ```
//!
//! So a flood from elsewhere keeps no member out whose host is known, and members that restart together behind one address
//! pay for what is under way only. Who floods *from* a member's host, or in its name (QUIC does not ask whether the sender's
//! address is true before it answers), may keep that member from dialling this node; this node dials it all the same.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use libp2p::{PeerId, swarm::ConnectionId};
use tokio::time::Instant;

use super::config::DoorstepLimits;
use crate::bucket::{Bucket, Buckets};

/// How long the host of a member that is gone counts as one that members come from: a link that broke is sought as long.
const LATELY: Duration = Duration::from_secs(24 * 3600);
/// Such hosts remembered: more than a coalition has nodes. Beyond it the oldest is forgotten.
const HOSTS: usize = 4096;

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
}

impl TurnedAway {
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Host => "handshakes-of-address",
            Self::HostOpen => "open-handshakes-of-address",
            Self::Strangers => "handshakes-of-strangers",
            Self::StrangersOpen => "open-handshakes-of-strangers",
        }
    }
}

#[derive(Debug)]
pub(super) struct Doorstep {
    limits: DoorstepLimits,
    hosts: Buckets<IpAddr>,
    strangers: Bucket,
    /// Handshakes under way, by what they took.
    open: HashMap<ConnectionId, Knock>,
    /// Whose admitted connections lead where.
    linked: HashMap<ConnectionId, (PeerId, IpAddr)>,
    /// Where members were, and until when.
    lately: HashMap<IpAddr, (PeerId, Instant)>,
}

#[derive(Clone, Copy, Debug)]
struct Knock {
    host: IpAddr,
    is_known: bool,
}

impl Doorstep {
    pub(super) fn new(limits: DoorstepLimits, now: Instant) -> Self {
        Self {
            limits,
            hosts: Buckets::new(limits.per_host),
            strangers: Bucket::full(limits.strangers, now),
            open: HashMap::new(),
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
        let Some(host) = from else { return Ok(()) };
        let is_known = self.is_known(host, now);
        if self.open.values().filter(|knock| knock.host == host).count() >= self.limits.open_per_host {
            return Err(TurnedAway::HostOpen);
        }
        if !is_known {
            if self.open.values().filter(|knock| !knock.is_known).count() >= self.limits.open_strangers {
                return Err(TurnedAway::StrangersOpen);
            }
            // Looked at first, so that a flood of made up hosts leaves no trace; taken last, so that one host that has used
            // up its own share takes none of the others'.
            if self.strangers.fill(self.limits.strangers, now) < 1.0 {
                return Err(TurnedAway::Strangers);
            }
        }
        if !self.hosts.take(host, 1.0, now) {
            return Err(TurnedAway::Host);
        }
        if !is_known {
            self.strangers.spend(1.0);
        }
        self.open.insert(connection, Knock { host, is_known });
        Ok(())
    }

    /// The handshake was a member's.
    pub(super) fn was_a_members(&mut self, connection: ConnectionId) {
        if let Some(Knock { host, is_known }) = self.open.remove(&connection) {
            self.hosts.give_back(&host, 1.0);
            if !is_known {
                self.strangers.spend(-1.0);
            }
        }
    }

    /// The handshake came to nothing, or to a stranger.
    pub(super) fn was_nobodys(&mut self, connection: ConnectionId) {
        self.open.remove(&connection);
    }

    /// A connection with a member, whoever dialled.
    pub(super) fn linked(&mut self, connection: ConnectionId, peer: PeerId, host: Option<IpAddr>) {
        if let Some(host) = host {
            self.linked.insert(connection, (peer, host));
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
mod tests {
    use super::*;
    use crate::bucket::Rate;

    const LIMITS: DoorstepLimits = DoorstepLimits {
        per_host: Rate { per_second: 2.0, burst: 10.0 },
        strangers: Rate { per_second: 4.0, burst: 20.0 },
        open_per_host: 6,
        open_strangers: 8,
    };

    fn host(n: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, n]))
    }

    /// Connections, each with a number of its own, and handshakes that take no time.
    struct Door(Doorstep, usize, Instant);

    impl Door {
        fn new() -> Self {
            let now = Instant::now();
            Self(Doorstep::new(LIMITS, now), 0, now)
        }

        fn begin(&mut self, from: Option<IpAddr>) -> Result<ConnectionId, TurnedAway> {
            self.1 += 1;
            let connection = ConnectionId::new_unchecked(self.1);
            self.0.knock(connection, from, self.2).map(|()| connection)
        }

        fn stranger(&mut self, from: Option<IpAddr>) -> Result<(), TurnedAway> {
            self.begin(from).map(|connection| self.0.was_nobodys(connection))
        }

        fn member(&mut self, from: Option<IpAddr>) -> Result<(), TurnedAway> {
            self.begin(from).map(|connection| self.0.was_a_members(connection))
        }

        /// A member of which `from` is known to be the host.
        fn at_home(&mut self, from: Option<IpAddr>) -> (PeerId, ConnectionId) {
            let (peer, connection) = (PeerId::random(), self.begin(from).unwrap());
            self.0.was_a_members(connection);
            self.0.linked(connection, peer, from);
            (peer, connection)
        }

        /// Strangers of many hosts, until all have used up what there is for all.
        fn flood(&mut self) {
            for n in 100..200 {
                while self.stranger(host(n)).is_ok() {}
            }
            assert_eq!(self.stranger(host(99)), Err(TurnedAway::Strangers));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_has_its_share_and_regains_it() {
        let mut door = Door::new();
        assert_eq!((0..100).filter(|_| door.stranger(host(1)).is_ok()).count(), 10);
        assert_eq!(door.stranger(host(1)), Err(TurnedAway::Host));
        assert_eq!(door.stranger(host(2)), Ok(()), "another host's share is its own");
        door.2 += Duration::from_secs(2);
        assert_eq!((0..100).filter(|_| door.stranger(host(1)).is_ok()).count(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_of_many_hosts_share_what_there_is_for_all() {
        let mut door = Door::new();
        assert_eq!((0..100).filter(|n| door.stranger(host(*n)).is_ok()).count(), 20);
        assert_eq!(door.stranger(host(200)), Err(TurnedAway::Strangers));
        door.2 += Duration::from_secs(1);
        assert_eq!((0..100).filter(|n| door.stranger(host(*n)).is_ok()).count(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn one_host_that_floods_takes_nothing_from_the_others() {
        let mut door = Door::new();
        for _ in 0..1000 {
            let _ = door.stranger(host(1));
        }
        assert_eq!((0..10).filter(|_| door.stranger(host(2)).is_ok()).count(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_member_gets_back_what_it_took() {
        let mut door = Door::new();
        for _ in 0..1000 {
            assert_eq!(door.member(host(1)), Ok(()));
        }
        assert_eq!((0..100).filter(|_| door.stranger(host(1)).is_ok()).count(), 10, "and no more than that");
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_from_elsewhere_keeps_no_member_out_whose_host_is_known() {
        let mut door = Door::new();
        let (_, connection) = door.at_home(host(1));
        door.flood();
        assert_eq!(door.member(host(1)), Ok(()), "while it is linked");
        door.0.parted(connection, true, door.2);
        assert_eq!(door.member(host(1)), Ok(()), "and when it comes again");
        door.2 += LATELY;
        door.flood();
        assert_eq!(door.member(host(1)), Err(TurnedAway::Strangers), "not for ever");
    }

    #[tokio::test(start_paused = true)]
    async fn the_host_of_who_was_revoked_is_a_strangers() {
        let mut door = Door::new();
        let (gone, first) = door.at_home(host(1));
        let (stays, second) = door.at_home(host(2));
        door.0.parted(first, true, door.2);
        door.0.parted(second, true, door.2);
        door.0.keep(|peer| *peer == stays);
        let (linked, third) = door.at_home(host(3));
        door.0.keep(|peer| *peer != linked && *peer != gone);
        door.0.parted(third, false, door.2);
        door.flood();
        assert_eq!(door.member(host(1)), Err(TurnedAway::Strangers));
        assert_eq!(door.member(host(2)), Ok(()));
        assert_eq!(door.member(host(3)), Err(TurnedAway::Strangers));
    }

    #[tokio::test(start_paused = true)]
    async fn handshakes_that_do_not_end_leave_places_to_others() {
        let mut door = Door::new();
        door.at_home(host(9));
        let begun: Vec<ConnectionId> = (0..6).map(|_| door.begin(host(1)).unwrap()).collect();
        assert_eq!(door.begin(host(1)), Err(TurnedAway::HostOpen));
        assert!(door.begin(host(2)).is_ok() && door.begin(host(3)).is_ok());
        assert_eq!(door.begin(host(4)), Err(TurnedAway::StrangersOpen));
        assert!(door.begin(host(9)).is_ok(), "known hosts have places of their own");
        door.0.was_nobodys(begun[0]);
        assert!(door.begin(host(1)).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_no_host_is_not_asked() {
        let mut door = Door::new();
        door.flood();
        assert!((0..1000).all(|_| door.begin(None).is_ok()));
        assert!(door.0.open.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_whatever_hosts_are_made_up() {
        let mut door = Door::new();
        for n in 0..20_000_u32 {
            let _ = door.stranger(Some(IpAddr::from(n.to_be_bytes())));
        }
        assert!(door.0.hosts.len() <= 20, "{}", door.0.hosts.len());
        for n in 0..2 * u32::try_from(HOSTS).unwrap() {
            let connection = ConnectionId::new_unchecked(usize::try_from(n).unwrap());
            door.0.linked(connection, PeerId::random(), Some(IpAddr::from(n.to_be_bytes())));
            door.0.parted(connection, true, door.2 + Duration::from_millis(n.into()));
        }
        assert_eq!(door.0.lately.len(), HOSTS);
    }
}
