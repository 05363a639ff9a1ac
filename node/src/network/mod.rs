//! The node's only contact with other nodes: libp2p, and nothing above it.
//!
//! ```text
//!            Network (handle, cheap to clone)                    Inbound (one receiver per kind)
//!   dial, publish, hello, keys, sync │ ▲ answers        gossip, hello, keys, sync, links ▲
//!                                    ▼ │                                                 │
//!  ┌──────────────────────────── swarm: one supervised task ─────────────────────────────┴──┐
//!  │ limits ─▶ gated ─▶ hello                     the order matters, see `behaviour`        │
//!  │           └── admitted connections: gossipsub; quiet ─▶ ping, keys, sync;              │
//!  │           │                         with relays: circuits, identify                    │
//!  │           └── lobby connections: nothing; hello is all they speak                      │
//!  └────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Who may come in is a set of node keys given by [`Network::set_allowed`]; this module knows no
//! roster, no certificates and no STIX. The handshake (QUIC's TLS or Noise) proves the node key, so
//! the set is all it takes. How many handshakes are begun is bounded by the host they come from
//! ([`doorstep`]). A stranger who dials gets a *lobby* connection: short, few, and only
//! `/belfry/hello/1`, so that it can present its certificate; once its key is allowed that
//! connection is closed and the next one is a full one. Nobody but allowed keys is ever dialled.
//!
//! Members that nobody can dial meet over *circuits*: a node that says so in its configuration joins the links that two of
//! them have with it, for a while and so many bytes. Only admitted nodes get any. What passes has a handshake and a gate of
//! its own at both ends, strangers are refused there, and where both firewalls let it a direct connection soon takes its place
//! ([`punch`]); identify, spoken with relays alone, tells each end where it is seen.
//!
//! A gossip message waits for its verdict ([`Network::verdict`]) before it is forwarded. When the
//! queue to the judge is full the answer is Ignore, and counted: sync repairs what gossip drops.
//!
//! Every channel is bounded; each capacity stands in [`limits`] with its reason.
//!
//! Wire format of the request protocols: one request and one reply a stream, each a 32-bit
//! big-endian length and that many bytes of canonical protobuf.

mod address;
mod apart;
mod behaviour;
mod bell;
mod budget;
mod chosen;
mod codec;
mod commands;
mod config;
mod counters;
mod dials;
mod doorstep;
mod dressed;
mod eager;
mod error;
mod events;
mod gated;
mod gossip;
mod handle;
mod identity;
mod inbound;
pub mod limits;
mod listed;
mod lobby;
mod punch;
mod quiet;
mod relay;
mod resting;
mod rpc;
mod share;
mod side;
mod silence;
mod supervisor;
mod swarm;
mod traffic;
mod transport;
mod vicinity;
mod wires;

#[cfg(test)]
mod tests;

pub use address::{Address, AddressError, Host, Scope};
pub use config::{DoorstepLimits, LobbyLimits, NetworkConfig, RelayLimits};
pub use counters::{Counters, Snapshot};
pub use error::{DialFailure, DialRefused, End, PublishError, RequestError, StartError, Stopped};
pub use gossip::GossipSettings;
pub use handle::{Dialling, Network, PeerView};
pub use inbound::{Asked, Gossip, Inbound, Link, Reply, Ticket};
pub use swarm::start;
pub use traffic::Traffic;
pub use vicinity::Vicinity;
