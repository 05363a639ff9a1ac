//! Where a node can be reached: a multiaddr of one of the few shapes this node speaks.
//!
//! Floors above pass addresses around and store their bytes; none of them sees libp2p. The node's key
//! is never part of an [`Address`]: who must answer there is said by whoever dials.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

use belfry_proto::crypto::sign::PublicKey;
use libp2p::{Multiaddr, multiaddr::Protocol};

use super::identity;

/// Bytes of an encoded address: a full domain name fits.
const MAX_LEN: usize = 300;

/// One place to listen or to dial: IP or DNS name with TCP or QUIC, or a memory port; or a *circuit*, which names no
/// place but the node that gives it. Whoever dials one must have a link with that node already.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(Multiaddr);

/// Who can be expected to reach an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All interfaces: to listen on, not to dial.
    Unspecified,
    /// This machine only.
    Loopback,
    /// This site only (RFC 1918, RFC 4193, link-local, shared address space).
    Private,
    /// Anyone.
    Global,
    /// Whoever resolves the name.
    Name,
    /// This process only.
    Memory,
    /// Whoever has a link with the node that gives the circuit.
    Circuit,
}

/// Whom an address names, apart from ports.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// An IP address; an IPv4 one in IPv6's clothes without them.
    Ip(IpAddr),
    /// Whoever the name resolves to.
    Name(String),
    /// This process.
    Memory,
    /// Whoever holds a circuit over a node.
    Circuit,
}

impl Host {
    /// This machine, or one that offered itself: nobody else is bothered.
    #[must_use]
    pub const fn is_here(&self) -> bool {
        match self {
            Self::Memory | Self::Circuit => true,
            Self::Ip(ip) => ip.is_loopback(),
            Self::Name(_) => false,
        }
    }

    /// The host as a third party's: an IPv6 customer owns a /64.
    #[must_use]
    pub fn shared(self) -> Self {
        match self {
            Self::Ip(IpAddr::V6(ip)) if !ip.is_loopback() => {
                Self::Ip(IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))))
            }
            Self::Name(name) => Self::Name(name.trim_end_matches('.').to_ascii_lowercase()),
            other => other,
        }
    }
}

/// Not an address this node speaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not a multiaddr at all.
    #[error("{0:?} is not a multiaddr such as /ip4/192.0.2.1/udp/4001/quic-v1")]
    Syntax(String),
    /// Bytes that are no multiaddr.
    #[error("the bytes are no multiaddr")]
    Bytes,
    /// A multiaddr of another shape.
    #[error(
        "{0} is neither /tcp/PORT nor /udp/PORT/quic-v1 on an IP address or DNS name, nor /p2p/NODE/p2p-circuit"
    )]
    Shape(String),
    /// Longer than any of ours.
    #[error("an address is at most {MAX_LEN} bytes, not {0}")]
    TooLong(usize),
    /// The node named in it has a key of a foreign kind.
    #[error("{0} does not name a node by an Ed25519 key")]
    Node(String),
}

impl Address {
    /// Reads text, with the node key if the address ends in `/p2p/…`.
    ///
    /// # Errors
    /// [`AddressError`], naming what was expected.
    pub fn parse(text: &str) -> Result<(Self, Option<PublicKey>), AddressError> {
        let multiaddr: Multiaddr = text.parse().map_err(|_| AddressError::Syntax(text.to_owned()))?;
        let (place, peer) = split(&multiaddr);
        let node = match peer {
            None => None,
            Some(peer) => {
                Some(identity::public_key(&peer).ok_or_else(|| AddressError::Node(text.to_owned()))?)
            }
        };
        Ok((Self::checked(place)?, node))
    }

    /// From the bytes of [`Self::to_vec`]; a node key in them is refused.
    ///
    /// # Errors
    /// [`AddressError`], naming what was expected.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, AddressError> {
        if bytes.len() > MAX_LEN {
            return Err(AddressError::TooLong(bytes.len()));
        }
        Self::checked(Multiaddr::try_from(bytes.to_vec()).map_err(|_| AddressError::Bytes)?)
    }

    /// Over a circuit that `relay` gives.
    #[must_use]
    pub fn circuit(relay: &PublicKey) -> Self {
        Self(Multiaddr::empty().with(Protocol::P2p(identity::peer_id(relay))).with(Protocol::P2pCircuit))
    }

    /// The node that gives the circuit, if it is one.
    #[must_use]
    pub fn relay(&self) -> Option<PublicKey> {
        let mut parts = self.0.iter();
        match (parts.next(), parts.next()) {
            (Some(Protocol::P2p(peer)), Some(Protocol::P2pCircuit)) => identity::public_key(&peer),
            _ => None,
        }
    }

    /// Whether it is a circuit.
    #[must_use]
    pub fn is_circuit(&self) -> bool {
        self.scope() == Scope::Circuit
    }

    /// Its binary multiaddr, as address records carry it.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        self.0.to_vec()
    }

    /// With `/p2p/…` appended, for people to copy into a config.
    #[must_use]
    pub fn with_node(&self, node: &PublicKey) -> String {
        self.0.clone().with(Protocol::P2p(identity::peer_id(node))).to_string()
    }

    /// Who can be expected to reach it.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match self.0.iter().next() {
            Some(Protocol::Memory(_)) => Scope::Memory,
            Some(Protocol::P2p(_) | Protocol::P2pCircuit) => Scope::Circuit,
            Some(Protocol::Ip4(ip)) if ip.is_unspecified() => Scope::Unspecified,
            Some(Protocol::Ip4(ip)) if ip.is_loopback() => Scope::Loopback,
            Some(Protocol::Ip4(ip)) if ip.is_private() || ip.is_link_local() || is_shared(ip) => {
                Scope::Private
            }
            Some(Protocol::Ip6(ip)) if ip.is_unspecified() => Scope::Unspecified,
            Some(Protocol::Ip6(ip)) if ip.is_loopback() => Scope::Loopback,
            Some(Protocol::Ip6(ip)) if ip.is_unique_local() || ip.is_unicast_link_local() => Scope::Private,
            Some(Protocol::Ip4(_) | Protocol::Ip6(_)) => Scope::Global,
            _ => Scope::Name,
        }
    }

    /// Whom it names.
    #[must_use]
    pub fn host(&self) -> Host {
        match self.0.iter().next() {
            Some(Protocol::Ip4(ip)) => Host::Ip(IpAddr::V4(ip)),
            Some(Protocol::Ip6(ip)) => Host::Ip(IpAddr::V6(ip).to_canonical()),
            Some(Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name)) => {
                Host::Name(name.into_owned())
            }
            Some(Protocol::P2p(_) | Protocol::P2pCircuit) => Host::Circuit,
            _ => Host::Memory,
        }
    }

    /// The address a connection or listener of our own reports, without the node in it.
    pub(super) fn of(multiaddr: &Multiaddr) -> Self {
        if !is_circuit(multiaddr) {
            return Self(split(multiaddr).0);
        }
        // Whose circuit it is says all; where that node is, a link with it says.
        let before = multiaddr.iter().take_while(|part| *part != Protocol::P2pCircuit);
        let relay = before.filter(|part| matches!(part, Protocol::P2p(_))).last();
        let parts = relay.into_iter().chain([Protocol::P2pCircuit]);
        Self(parts.fold(Multiaddr::empty(), Multiaddr::with))
    }

    pub(super) fn multiaddr(&self) -> &Multiaddr {
        &self.0
    }

    fn checked(multiaddr: Multiaddr) -> Result<Self, AddressError> {
        let mut parts = multiaddr.iter();
        let shape = (parts.next(), parts.next(), parts.next(), parts.next());
        let is_ours = match shape {
            (Some(Protocol::Memory(_)), None, None, None) => true,
            (Some(Protocol::P2p(relay)), Some(Protocol::P2pCircuit), None, None) => {
                identity::public_key(&relay).is_some()
            }
            (Some(host), Some(Protocol::Tcp(_)), None, None)
            | (Some(host), Some(Protocol::Udp(_)), Some(Protocol::QuicV1), None) => is_host(&host),
            _ => false,
        };
        if !is_ours {
            return Err(AddressError::Shape(multiaddr.to_string()));
        }
        if multiaddr.len() > MAX_LEN {
            return Err(AddressError::TooLong(multiaddr.len()));
        }
        Ok(Self(multiaddr))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

impl std::str::FromStr for Address {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text).map(|(address, _)| address)
    }
}

/// The host of a remote address as the lobby counts it: an IPv6 customer owns a /64, so that is one host.
pub(super) fn host(multiaddr: &Multiaddr) -> Option<IpAddr> {
    match multiaddr.iter().next()? {
        Protocol::Ip4(ip) => Some(IpAddr::V4(ip)),
        Protocol::Ip6(ip) => Some(ip.to_ipv4_mapped().map_or_else(
            || IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
            IpAddr::V4,
        )),
        _ => None,
    }
}

/// Whether a connection's address leads over another node.
pub(super) fn is_circuit(multiaddr: &Multiaddr) -> bool {
    multiaddr.iter().any(|part| part == Protocol::P2pCircuit)
}

fn split(multiaddr: &Multiaddr) -> (Multiaddr, Option<libp2p::PeerId>) {
    let mut place = multiaddr.clone();
    match place.pop() {
        Some(Protocol::P2p(peer)) => (place, Some(peer)),
        _ => (multiaddr.clone(), None),
    }
}

fn is_host(part: &Protocol<'_>) -> bool {
    matches!(
        part,
        Protocol::Ip4(_) | Protocol::Ip6(_) | Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_)
    )
}

/// 100.64.0.0/10 (RFC 6598): behind a provider's NAT.
fn is_shared(ip: std::net::Ipv4Addr) -> bool {
    let [first, second, ..] = ip.octets();
    first == 100 && second & 0xc0 == 64
}

#[cfg(test)]
mod tests {
    use belfry_proto::crypto::sign::SigningKey;

    use super::*;

    #[test]
    fn an_address_survives_text_and_bytes() {
        let node = SigningKey::from_seed(&[5; 32]).public();
        for text in [
            "/ip4/192.0.2.1/udp/4001/quic-v1",
            "/ip6/2001:db8::1/tcp/4001",
            "/dns4/node.example.org/tcp/4001",
            "/memory/7",
        ] {
            let (address, none) = Address::parse(text).unwrap();
            assert_eq!((address.to_string().as_str(), none), (text, None));
            assert_eq!(Address::from_bytes(&address.to_vec()), Ok(address.clone()));
            assert_eq!(Address::parse(&address.with_node(&node)), Ok((address, Some(node))));
        }
    }

    #[test]
    fn a_circuit_names_the_node_that_gives_it_and_no_place() {
        let [relay, node] = [5, 6].map(|seed| SigningKey::from_seed(&[seed; 32]).public());
        let circuit = Address::circuit(&relay);
        assert_eq!(
            (circuit.relay(), circuit.scope(), circuit.host()),
            (Some(relay), Scope::Circuit, Host::Circuit)
        );
        assert_eq!(Address::from_bytes(&circuit.to_vec()), Ok(circuit.clone()));
        assert_eq!(Address::parse(&circuit.with_node(&node)), Ok((circuit.clone(), Some(node))));
        let place = "/ip4/192.0.2.1/tcp/4001".parse::<Address>().unwrap();
        let long = format!("{}/p2p-circuit/p2p/{}", place.with_node(&relay), identity::peer_id(&node));
        assert_eq!(Address::of(&long.parse().unwrap()), circuit);
        assert_eq!(place.relay(), None);
    }

    #[test]
    fn shapes_this_node_does_not_speak_are_refused() {
        for text in [
            "/ip4/192.0.2.1/udp/4001",
            "/ip4/192.0.2.1/tcp/4001/ws",
            "/dnsaddr/example.org",
            "/ip4/192.0.2.1/tcp/4001/p2p-circuit",
            "/p2p-circuit",
            "/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N/p2p-circuit",
            "/unix/tmp",
        ] {
            assert!(matches!(Address::parse(text), Err(AddressError::Shape(_))), "{text}");
        }
        assert!(matches!(Address::parse("192.0.2.1:4001"), Err(AddressError::Syntax(_))));
        assert_eq!(Address::from_bytes(&[0xff; 8]), Err(AddressError::Bytes));
        assert_eq!(Address::from_bytes(&[0; 400]), Err(AddressError::TooLong(400)));
    }

    #[test]
    fn scopes_tell_what_to_advertise() {
        for (text, scope) in [
            ("/ip4/0.0.0.0/tcp/1", Scope::Unspecified),
            ("/ip4/127.0.0.1/tcp/1", Scope::Loopback),
            ("/ip4/10.1.2.3/tcp/1", Scope::Private),
            ("/ip4/100.64.0.1/tcp/1", Scope::Private),
            ("/ip6/fd00::1/tcp/1", Scope::Private),
            ("/ip4/192.0.2.1/tcp/1", Scope::Global),
            ("/dns/example.org/tcp/1", Scope::Name),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().scope(), scope, "{text}");
        }
    }

    #[test]
    fn one_ipv6_customer_is_one_host() {
        let host_of = |text: &str| host(&text.parse().unwrap());
        assert_eq!(host_of("/ip6/2001:db8::1/tcp/1"), host_of("/ip6/2001:db8::ffff/tcp/2"));
        assert_ne!(host_of("/ip6/2001:db8::1/tcp/1"), host_of("/ip6/2001:db8:0:1::1/tcp/1"));
        assert_eq!(host_of("/ip6/::ffff:192.0.2.1/tcp/1"), host_of("/ip4/192.0.2.1/tcp/1"));
    }
}
