//! From a circuit to a direct connection: both ends dial each other at one moment (libp2p's DCUtR), so that each firewall
//! takes the other's packets for answers.
//!
//! The addresses to dial are the peer's word. Like those of address records they lead to hosts that could be the peer's own
//! and no others, and each peer may have us knock only so often, and only so often at one host.
//!
//! Where this node is seen from, the nodes say that may give it circuits ([`seen_by`]); two members that no relay lies
//! between never ask each other.

use std::{
    collections::{BTreeMap, HashSet},
    task::{Context, Poll},
    time::Duration,
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    dcutr, identify,
    identity::PublicKey,
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm,
    },
};
use tokio::time::Instant;

use super::{
    address::{Address, Host},
    vicinity::Vicinity,
};
use crate::bucket::{Buckets, Rate};

/// Addresses that one peer may have us try: each end makes three tries over one circuit, of four addresses at most, and a
/// peer that no hole leads to is met over circuits again and again.
const PEER: Rate = Rate { per_second: 24.0 / 3600.0, burst: 24.0 };
/// The same at one host, by the word of whatever peers. Several may stand behind one address.
const HOST: Rate = Rate { per_second: 24.0 / 3600.0, burst: 24.0 };
/// Addresses of one try, and that we name for one. A node that listens on two transports is seen under two addresses, and
/// under two more if it has both kinds of IP.
const MOST: usize = 4;
/// How often a relay is asked again where it sees us.
const LOOK: Duration = Duration::from_secs(300);

/// Why a try is not made.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Denied {
    #[error("the peer had us try often enough")]
    TooOften,
    #[error("peers had us try {0:?} often enough")]
    HostTooOften(Host),
    #[error("{0} addresses to try, more than {MOST}")]
    TooMany(usize),
    #[error("{0} cannot be the peer's")]
    NotTheirs(Multiaddr),
}

pub(super) struct Punch {
    inner: dcutr::Behaviour,
    /// Its dials that were not looked at yet.
    dials: HashSet<ConnectionId>,
    peers: Buckets<PeerId>,
    hosts: Buckets<Host>,
    listening: HashSet<Multiaddr>,
    /// Where others see us, as far as peers are told.
    seen: HashSet<Multiaddr>,
}

/// What asks relays where they see this node, and tells others where it sees them. It says nothing else of either.
pub(super) fn seen_by(own: PublicKey) -> identify::Behaviour {
    let settings = identify::Config::new("belfry/1".to_owned(), own)
        .with_agent_version("belfry".to_owned())
        .with_interval(LOOK)
        .with_hide_listen_addrs(true)
        .with_cache_size(0);
    identify::Behaviour::new(settings)
}

impl Punch {
    pub(super) fn new(own: PeerId) -> Self {
        Self {
            inner: dcutr::Behaviour::new(own),
            dials: HashSet::new(),
            peers: Buckets::new(PEER),
            hosts: Buckets::new(HOST),
            listening: HashSet::new(),
            seen: HashSet::new(),
        }
    }

    fn vicinity(&self) -> Vicinity {
        Vicinity::of(&self.listening.iter().map(Address::of).collect::<Vec<_>>())
    }

    fn judge(&mut self, peer: Option<PeerId>, addresses: &[Multiaddr], now: Instant) -> Result<(), Denied> {
        if addresses.len() > MOST {
            return Err(Denied::TooMany(addresses.len()));
        }
        let vicinity = self.vicinity();
        if let Some(foreign) = addresses.iter().find(|address| !is_fit(address, vicinity)) {
            return Err(Denied::NotTheirs(foreign.clone()));
        }
        let mut hosts: BTreeMap<Host, f64> = BTreeMap::new();
        for address in addresses {
            *hosts.entry(Address::of(address).host().shared()).or_default() += 1.0;
        }
        let all = hosts.values().sum();
        if !peer.is_some_and(|peer| self.peers.take(peer, all, now)) {
            return Err(Denied::TooOften);
        }
        // A host that has none left costs the others theirs: whoever names it has us try nothing.
        match hosts.into_iter().find(|(host, count)| !self.hosts.take(host.clone(), *count, now)) {
            Some((host, _)) => Err(Denied::HostTooOften(host)),
            None => Ok(()),
        }
    }

    /// Whether peers are told that we are seen there. A peer tries none of too many, and what it was told first it is told
    /// for ever.
    fn tells(&mut self, seen: &Multiaddr) -> bool {
        is_fit(seen, self.vicinity())
            && (self.seen.contains(seen) || self.seen.len() < MOST && self.seen.insert(seen.clone()))
    }
}

/// Nobody is known by a name who is seen by others under an address.
fn is_fit(address: &Multiaddr, vicinity: Vicinity) -> bool {
    let host = Address::of(address).host();
    matches!(host, Host::Ip(_)) && vicinity.admits(&host)
}

impl NetworkBehaviour for Punch {
    type ConnectionHandler = THandler<dcutr::Behaviour>;
    type ToSwarm = dcutr::Event;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_inbound_connection(connection, peer, local, remote)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        if self.dials.remove(&connection) {
            self.judge(peer, addresses, Instant::now()).map_err(ConnectionDenied::new)?;
        }
        self.inner.handle_pending_outbound_connection(connection, peer, addresses, role)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        remote: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_outbound_connection(connection, peer, remote, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match &event {
            FromSwarm::NewListenAddr(new) => drop(self.listening.insert(new.addr.clone())),
            FromSwarm::ExpiredListenAddr(old) => drop(self.listening.remove(old.addr)),
            // What would be of no use to anybody is not passed on.
            FromSwarm::NewExternalAddrCandidate(seen) if !self.tells(seen.addr) => return,
            // Denied by others before it was looked at here.
            FromSwarm::DialFailure(failure) => _ = self.dials.remove(&failure.connection_id),
            _ => {}
        }
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        self.inner.on_connection_handler_event(peer, connection, event);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        let polled = self.inner.poll(cx);
        if let Poll::Ready(ToSwarm::Dial { opts }) = &polled {
            self.dials.insert(opts.connection_id());
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use libp2p::swarm::{DialError, behaviour::DialFailure};

    use super::*;

    fn addresses(all: &[impl AsRef<str>]) -> Vec<Multiaddr> {
        all.iter().map(|text| text.as_ref().parse().unwrap()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_has_us_knock_at_few_hosts_of_its_own_and_not_often() {
        let mut punch = Punch::new(PeerId::random());
        punch.listening.insert("/ip4/192.0.2.1/tcp/4717".parse().unwrap());
        let (peer, now) = (PeerId::random(), Instant::now());
        let theirs = addresses(&["/ip4/198.51.100.7/udp/4717/quic-v1", "/ip6/2001:db8::1/tcp/4717"]);
        for foreign in [
            "/ip4/127.0.0.1/tcp/22",
            "/ip4/169.254.169.254/tcp/80",
            "/ip4/10.0.0.1/tcp/22",
            "/ip4/224.0.0.1/udp/1/quic-v1",
            "/dns4/victim.example/tcp/443",
            "/memory/1",
        ] {
            let told = [theirs.clone(), addresses(&[foreign])].concat();
            assert_eq!(punch.judge(Some(peer), &told, now), Err(Denied::NotTheirs(foreign.parse().unwrap())));
        }
        let many = vec![theirs[0].clone(); MOST + 1];
        assert_eq!(punch.judge(Some(peer), &many, now), Err(Denied::TooMany(MOST + 1)));
        // What is not made is not charged; what is, by the address.
        for _ in 0..12 {
            assert_eq!(punch.judge(Some(peer), &theirs, now), Ok(()));
        }
        assert_eq!(punch.judge(Some(peer), &theirs, now), Err(Denied::TooOften));
        let others = addresses(&["/ip4/203.0.113.9/tcp/4717"]);
        assert_eq!(punch.judge(Some(PeerId::random()), &others, now), Ok(()));
        assert_eq!(punch.judge(Some(peer), &theirs, now + Duration::from_secs(600)), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_is_knocked_at_so_often_an_hour_whoever_names_it() {
        let (mut punch, now) = (Punch::new(PeerId::random()), Instant::now());
        let mut knocks = 0;
        for n in 1..=50 {
            // One /64 is one host.
            let told =
                addresses(&[&format!("/ip6/2001:db8::{n:x}/tcp/1"), &format!("/ip6/2001:db8::{n:x}/tcp/2")]);
            match punch.judge(Some(PeerId::random()), &told, now) {
                Ok(()) => knocks += told.len(),
                Err(error) => assert!(matches!(error, Denied::HostTooOften(_)), "{error}"),
            }
        }
        assert_eq!(knocks, 24);
    }

    #[test]
    fn a_peer_is_told_of_no_more_addresses_than_it_would_try() {
        let mut punch = Punch::new(PeerId::random());
        let seen = addresses(&(1..=9).map(|n| format!("/ip4/198.51.100.{n}/tcp/1")).collect::<Vec<_>>());
        assert_eq!(seen.iter().filter(|address| punch.tells(address)).count(), MOST);
        assert!(punch.tells(&seen[0]), "seen there again");
    }

    #[tokio::test]
    async fn a_dial_that_others_deny_is_forgotten() {
        let mut punch = Punch::new(PeerId::random());
        let connection_id = ConnectionId::new_unchecked(7);
        punch.dials.insert(connection_id);
        let error = DialError::Aborted;
        punch.on_swarm_event(FromSwarm::DialFailure(DialFailure {
            peer_id: None,
            error: &error,
            connection_id,
        }));
        assert!(punch.dials.is_empty());
    }
}
