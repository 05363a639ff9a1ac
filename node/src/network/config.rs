//! What the daemon decides about the network.

use std::time::Duration;

use super::address::Address;

/// Settings of the network.
#[derive(Clone, Debug)]
pub struct NetworkConfig {
    /// Where to listen. Empty: outbound only, which is a first-class way to take part.
    pub listen: Vec<Address>,
    /// Where others reach this node, when that differs from where it listens (NAT, a load balancer).
    pub external: Vec<Address>,
    /// Connections at once, lobby included. Too low ⇒ members are turned away; each costs some 100 KiB.
    pub max_connections: u32,
    /// What strangers get.
    pub lobby: LobbyLimits,
    /// Whether `/memory/…` addresses work: many nodes in one process, for tests and measurements.
    pub memory: bool,
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
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            external: Vec::new(),
            max_connections: 512,
            lobby: LobbyLimits::default(),
            memory: false,
        }
    }
}

impl Default for LobbyLimits {
    fn default() -> Self {
        Self { lifetime: Duration::from_secs(30), total: 64, per_address: 16, requests: 64 }
    }
}
