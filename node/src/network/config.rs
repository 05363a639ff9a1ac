//! What the daemon decides about the network.

use std::time::Duration;

use super::{
    address::Address,
    limits::{OPEN_HOSTLESS, OPEN_KNOWN, OPEN_STRANGERS},
};
use crate::bucket::Rate;

/// Settings of the network.
#[derive(Clone, Debug)]
pub struct NetworkConfig {
    /// Where to listen. Empty: outbound only, which is a first-class way to take part.
    pub listen: Vec<Address>,
    /// Where others reach this node, when that differs from where it listens (NAT, a load balancer).
    pub external: Vec<Address>,
    /// Connections at once, lobby included. Too low ⇒ members are turned away; each costs some 100 KiB.
    pub max_connections: u32,
    /// Which handshakes are begun.
    pub doorstep: DoorstepLimits,
    /// What strangers get.
    pub lobby: LobbyLimits,
    /// Circuits that this node gives to admitted ones; none: it gives none. It must be reachable itself.
    pub relay: Option<RelayLimits>,
    /// Whether `/memory/…` addresses work: many nodes in one process, for tests and measurements.
    pub memory: bool,
}

/// Handshakes that others begin with this node. Each costs it about a millisecond before it knows with whom it is made; one
/// that turns out to be a member's counts for nothing. A host is an IPv4 address or an IPv6 /64; what comes over memory or a
/// circuit has none, and only a number of places.
#[derive(Clone, Copy, Debug)]
pub struct DoorstepLimits {
    /// Handshakes of one host. Too small a burst ⇒ members that restart together behind one address come in one after the
    /// other; too high a rate ⇒ one stranger behind the same address as a member costs that much processor.
    pub per_host: Rate,
    /// Handshakes of all hosts together from which no member came for a day: what strangers may cost, wherever they are.
    pub strangers: Rate,
    /// Handshakes under way at once of one host from which no member came, so that one that never finishes any leaves places
    /// to others. No host holds more than an eighth of what is free of the places below.
    pub open_per_host: usize,
    /// Handshakes under way at once of all hosts from which no member came.
    pub open_strangers: usize,
    /// The same of all hosts from which members came, or where they are sought.
    pub open_known: usize,
    /// The same of what has no host.
    pub open_hostless: usize,
}

/// What strangers get: few connections, short ones, and not much on them.
#[derive(Clone, Copy, Debug)]
pub struct LobbyLimits {
    /// After this a lobby connection is closed whatever it does. Long enough to page the admin log's newest
    /// part; a longer log is continued on the next connection.
    pub lifetime: Duration,
    /// Lobby connections at once; never more than a quarter of all.
    pub total: usize,
    /// Lobby connections at once from one IPv4 address or IPv6 /64, so that one host cannot fill the lobby.
    pub per_address: usize,
    /// Requests on one lobby connection.
    pub requests: u32,
    /// Of them, those that a guest may make before one is granted: who holds a certificate needs one, or two.
    pub unproven: u32,
}

/// What a node that gives circuits gives at most.
#[derive(Clone, Copy, Debug)]
pub struct RelayLimits {
    /// Nodes that may be reached by circuits over this one. Each costs a row and a renewal an hour.
    pub places: usize,
    /// Of them, connections of one node: one that comes again before its old connection has ended.
    pub places_per_peer: usize,
    /// After this a place is to be renewed.
    pub place_duration: Duration,
    /// Circuits at once. Each holds a stream of 256 KiB at both ends.
    pub circuits: usize,
    /// Of them, begun by one node: as many as the links it wants into a group.
    pub circuits_per_peer: usize,
    /// After this a circuit is cut, so that ends that can do without one find that out.
    pub circuit_duration: Duration,
    /// Bytes that one circuit carries in both directions, then it is cut; the ends may ask for another. What keys, hellos and
    /// a day of a usual group's messages need: the bulk comes from the relay itself, which is a node like others.
    pub circuit_bytes: u64,
}

impl Default for RelayLimits {
    fn default() -> Self {
        Self {
            places: 256,
            places_per_peer: 2,
            place_duration: Duration::from_secs(3600),
            circuits: 64,
            circuits_per_peer: 8,
            circuit_duration: Duration::from_secs(3600),
            circuit_bytes: 64 * 1024 * 1024,
        }
    }
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            external: Vec::new(),
            max_connections: 512,
            doorstep: DoorstepLimits::default(),
            lobby: LobbyLimits::default(),
            relay: None,
            memory: false,
        }
    }
}

impl Default for DoorstepLimits {
    fn default() -> Self {
        Self {
            per_host: Rate { per_second: 8.0, burst: 128.0 },
            strangers: Rate { per_second: 64.0, burst: 256.0 },
            open_per_host: 8,
            open_strangers: OPEN_STRANGERS,
            open_known: OPEN_KNOWN,
            open_hostless: OPEN_HOSTLESS,
        }
    }
}

impl Default for LobbyLimits {
    fn default() -> Self {
        Self { lifetime: Duration::from_secs(30), total: 64, per_address: 16, requests: 64, unproven: 8 }
    }
}
