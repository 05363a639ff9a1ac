//! Network addresses, checked for what belfry can listen on and dial.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use belfry_proto::crypto::sign::{KeyError, PublicKey};
use multiaddr::{Multiaddr, PeerId, Protocol};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A multiaddress over QUIC or TCP, without a `/p2p` part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(Multiaddr);

/// What an address is bound with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP with Noise and yamux.
    Tcp,
    /// QUIC.
    Udp,
}

/// A text that is no address of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not an address belfry can use: write /ip4/ADDRESS/udp/PORT/quic-v1 or /ip4/ADDRESS/tcp/PORT \
     (or /ip6/…, /dns/NAME/…)"
)]
pub struct AddressError {
    text: String,
}

/// A node to dial first: who must answer, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bootstrap {
    /// Its node key; any other node answering is hung up on.
    pub node: PublicKey,
    /// Where it listens.
    pub address: Address,
}

/// A bootstrap entry that names no reachable, certain node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BootstrapError {
    /// The address part is wrong.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The node part is wrong.
    #[error(transparent)]
    PeerId(#[from] PeerIdError),
    /// Nothing says who must answer.
    #[error(
        "{text:?} does not say which node must answer: end it with /p2p/PEER-ID, or write \
         {{ address = \"{text}\", node = \"64 hex digits\" }}"
    )]
    NoNode {
        /// The entry.
        text: String,
    },
}

/// A PeerId that is not an Ed25519 key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerIdError {
    /// Not a PeerId of an Ed25519 key.
    #[error("{text:?} is not the PeerId of an Ed25519 node key: it starts with 12D3KooW")]
    NotEd25519 {
        /// What stands there.
        text: String,
    },
    /// The key inside is unusable.
    #[error("the PeerId holds no usable key: {0}")]
    Key(#[from] KeyError),
}

/// Protobuf of an Ed25519 public key in an identity multihash: what comes before the 32 raw bytes.
const PEER_ID_PREFIX: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/// The libp2p PeerId that follows from a node key.
#[must_use]
pub fn peer_id(node: &PublicKey) -> String {
    let bytes = [PEER_ID_PREFIX.as_slice(), node.as_bytes()].concat();
    PeerId::from_bytes(&bytes).map(|id| id.to_base58()).unwrap_or_default()
}

/// The node key inside a libp2p PeerId.
///
/// # Errors
/// [`PeerIdError`] if it holds another kind of key, or only a hash of one.
pub fn node_key(peer_id: &str) -> Result<PublicKey, PeerIdError> {
    let wrong = || PeerIdError::NotEd25519 { text: peer_id.chars().take(80).collect() };
    let id: PeerId = peer_id.parse().map_err(|_| wrong())?;
    let bytes = id.to_bytes();
    let key = bytes.strip_prefix(PEER_ID_PREFIX.as_slice()).ok_or_else(wrong)?;
    Ok(PublicKey::from_slice(key)?)
}

impl Address {
    /// Every IPv4 interface, QUIC first, TCP as fallback.
    pub(super) fn any(port: u16) -> Vec<Self> {
        let ip = || Multiaddr::empty().with(Protocol::Ip4(std::net::Ipv4Addr::UNSPECIFIED));
        vec![
            Self(ip().with(Protocol::Udp(port)).with(Protocol::QuicV1)),
            Self(ip().with(Protocol::Tcp(port))),
        ]
    }

    /// The multiaddress in its binary form.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        self.0.to_vec()
    }

    /// From the binary form, as address records carry it.
    ///
    /// # Errors
    /// [`AddressError`], as for a text.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, AddressError> {
        let address = Multiaddr::try_from(bytes.to_vec())
            .map_err(|_| AddressError { text: format!("{} bytes", bytes.len()) })?;
        Self::checked(address)
    }

    /// What a socket would be bound to for it; `None` for a name, which only a resolver knows.
    #[must_use]
    pub fn socket(&self) -> Option<(Transport, SocketAddr)> {
        let mut parts = self.0.iter();
        let ip: IpAddr = match parts.next()? {
            Protocol::Ip4(ip) => ip.into(),
            Protocol::Ip6(ip) => ip.into(),
            _ => return None,
        };
        match parts.next()? {
            Protocol::Tcp(port) => Some((Transport::Tcp, (ip, port).into())),
            Protocol::Udp(port) => Some((Transport::Udp, (ip, port).into())),
            _ => None,
        }
    }

    fn checked(address: Multiaddr) -> Result<Self, AddressError> {
        use Protocol::{Dns, Dns4, Dns6, Ip4, Ip6, QuicV1, Tcp, Udp};
        let parts: Vec<_> = address.iter().collect();
        match parts.as_slice() {
            [Ip4(_) | Ip6(_) | Dns(_) | Dns4(_) | Dns6(_), Tcp(_)]
            | [Ip4(_) | Ip6(_) | Dns(_) | Dns4(_) | Dns6(_), Udp(_), QuicV1] => Ok(Self(address)),
            _ => Err(AddressError { text: address.to_string() }),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = || AddressError { text: text.chars().take(120).collect() };
        Self::checked(text.parse().map_err(|_| wrong())?)
    }
}

impl fmt::Display for Bootstrap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/p2p/{}", self.address, peer_id(&self.node))
    }
}

impl FromStr for Bootstrap {
    type Err = BootstrapError;

    fn from_str(text: &str) -> Result<Self, BootstrapError> {
        match text.rsplit_once("/p2p/") {
            Some((address, node)) => Ok(Self { node: node_key(node)?, address: address.parse()? }),
            None => {
                text.parse::<Address>()?;
                Err(BootstrapError::NoNode { text: text.to_owned() })
            }
        }
    }
}

/// The two ways to write a bootstrap entry.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected \"ADDRESS/p2p/PEER-ID\" or { address = \"…\", node = \"64 hex digits\" }"
)]
enum BootstrapText {
    One(String),
    Two(BootstrapTable),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BootstrapTable {
    address: String,
    node: String,
}

impl<'de> Deserialize<'de> for Bootstrap {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        match BootstrapText::deserialize(d)? {
            BootstrapText::One(text) => text.parse().map_err(D::Error::custom),
            BootstrapText::Two(table) => {
                let key = hex::decode(&table.node)
                    .ok()
                    .and_then(|bytes| PublicKey::from_slice(&bytes).ok())
                    .ok_or_else(|| {
                        D::Error::custom(format!("{:?} is not a node key of 64 hex digits", table.node))
                    })?;
                Ok(Self { node: key, address: table.address.parse().map_err(D::Error::custom)? })
            }
        }
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl Serialize for Bootstrap {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use belfry_proto::crypto::sign::SigningKey;

    use super::*;

    #[test]
    fn a_peer_id_and_its_node_key_are_one_thing() {
        let node = SigningKey::from_seed(&[7; 32]).public();
        let id = peer_id(&node);
        assert!(id.starts_with("12D3KooW"), "{id}");
        assert_eq!(node_key(&id), Ok(node));
        let rsa = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N";
        assert!(matches!(node_key(rsa), Err(PeerIdError::NotEd25519 { .. })));
    }

    #[test]
    fn a_bootstrap_entry_says_who_must_answer() {
        let node = SigningKey::from_seed(&[7; 32]).public();
        let text = format!("/dns/belfry.example/udp/4717/quic-v1/p2p/{}", peer_id(&node));
        let entry: Bootstrap = text.parse().unwrap();
        assert_eq!(entry.node, node);
        assert_eq!(entry.to_string(), text);
        assert!(matches!("/ip4/1.2.3.4/tcp/1".parse::<Bootstrap>(), Err(BootstrapError::NoNode { .. })));
        #[derive(Deserialize)]
        struct Table {
            entry: Bootstrap,
        }
        let table: Table =
            toml::from_str(&format!("entry = {{ address = \"/ip4/1.2.3.4/tcp/1\", node = \"{node}\" }}"))
                .unwrap();
        assert_eq!(table.entry.node, node);
    }

    #[test]
    fn foreign_transports_are_refused_and_a_name_is_no_socket() {
        for wrong in
            ["", "/ip4/1.2.3.4", "/ip4/1.2.3.4/udp/1", "/memory/1", "/ip4/1.2.3.4/tcp/1/ws", "1.2.3.4:1"]
        {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
        let address: Address = "/ip4/1.2.3.4/tcp/1".parse().unwrap();
        assert_eq!(address.socket(), Some((Transport::Tcp, "1.2.3.4:1".parse().unwrap())));
        assert_eq!("/dns/a/tcp/1".parse::<Address>().unwrap().socket(), None);
        assert_eq!(Address::from_slice(&address.to_vec()), Ok(address));
    }
}
