//! From a circuit to a direct connection: both ends dial each other at one moment (libp2p's DCUtR), so that each firewall
//! takes the other's packets for answers.
//!
//! The addresses to dial are the peer's word. Like those of address records they lead to hosts that could be the peer's own
//! and no others, and each peer may have us knock only so often.

use std::{
    collections::HashSet,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    dcutr,
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

/// Tries that one peer may have us make: each end makes three over one circuit, and a peer that no hole leads to is met
/// over circuits again and again.
const TRIES: Rate = Rate { per_second: 6.0 / 3600.0, burst: 6.0 };
/// Addresses of one try. A node that listens on two transports is seen under two addresses, and under two more for each
/// further way to the Internet.
const MOST: usize = 8;

/// Why a try is not made.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Denied {
    #[error("the peer had us try often enough")]
    TooOften,
    #[error("{0} addresses to try, more than {MOST}")]
    TooMany(usize),
    #[error("{0} cannot be the peer's")]
    NotTheirs(Multiaddr),
}

pub(super) struct Punch {
    inner: dcutr::Behaviour,
    /// Its dials that were not looked at yet.
    dials: HashSet<ConnectionId>,
    tries: Buckets<PeerId>,
    listening: HashSet<Multiaddr>,
}

impl Punch {
    pub(super) fn new(own: PeerId) -> Self {
        Self {
            inner: dcutr::Behaviour::new(own),
            dials: HashSet::new(),
            tries: Buckets::new(TRIES),
            listening: HashSet::new(),
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
        match peer {
            Some(peer) if self.tries.take(peer, 1.0, now) => Ok(()),
            _ => Err(Denied::TooOften),
        }
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
            // What others see of us and would be of no use to anybody is not passed on.
            FromSwarm::NewExternalAddrCandidate(seen) if !is_fit(seen.addr, self.vicinity()) => return,
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
    use super::*;

    fn addresses(all: &[&str]) -> Vec<Multiaddr> {
        all.iter().map(|text| text.parse().unwrap()).collect()
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
        // What is not made is not charged.
        for _ in 0..6 {
            assert_eq!(punch.judge(Some(peer), &theirs, now), Ok(()));
        }
        assert_eq!(punch.judge(Some(peer), &theirs, now), Err(Denied::TooOften));
        assert_eq!(punch.judge(Some(PeerId::random()), &theirs, now), Ok(()));
        assert_eq!(punch.judge(Some(peer), &theirs, now + std::time::Duration::from_secs(600)), Ok(()));
    }
}
