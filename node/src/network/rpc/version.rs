//! The numbers that a request protocol is spoken under.
//!
//! A release that changes a message speaks the new number and the one before: libp2p agrees on the first of the asker's
//! names that the other end knows, stream by stream. Within the node a request and a reply are always of the newest shape;
//! what the older number looks like on the wire, and what of it means what, its [`Protocol`](super::Protocol) says in one
//! place. A number goes when no release that needs it is supported any more.

use std::io;

use libp2p::StreamProtocol;
use prost::EncodeError;

use super::Protocol;

/// One number of a request protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::network) struct Spoken {
    pub(in crate::network) version: u32,
    /// Its name on the wire.
    pub(in crate::network) path: &'static str,
}

/// Why a request or reply is not written.
#[derive(Debug, thiserror::Error)]
pub(in crate::network) enum Unwritten {
    /// What the other end speaks has no field for it.
    #[error("number {0} of the protocol has no field for it")]
    NotInNumber(u32),
    /// No room.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

impl From<Unwritten> for io::Error {
    fn from(why: Unwritten) -> Self {
        let kind = match why {
            Unwritten::NotInNumber(_) => io::ErrorKind::Unsupported,
            Unwritten::Encode(_) => io::ErrorKind::Other,
        };
        Self::new(kind, why)
    }
}

/// A request with the number it is spoken under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::network) struct Versioned<Q> {
    pub(in crate::network) version: u32,
    pub(in crate::network) request: Q,
}

impl<Q> Versioned<Q> {
    /// One to be sent: which number it goes under, the stream will tell.
    pub(in crate::network) const fn to_send(request: Q) -> Self {
        Self { version: 0, request }
    }
}

/// What to offer, the newest first: the first one that both know is spoken.
pub(in crate::network) fn names<P: Protocol>() -> impl Iterator<Item = StreamProtocol> {
    P::SPOKEN.iter().map(|spoken| StreamProtocol::new(spoken.path))
}

/// The number that was agreed on.
///
/// # Errors
/// A name that was not offered: libp2p agrees on none such.
pub(in crate::network) fn agreed<P: Protocol>(name: &StreamProtocol) -> io::Result<u32> {
    let found = P::SPOKEN.iter().find(|spoken| spoken.path == name.as_ref());
    found.map(|spoken| spoken.version).ok_or_else(|| io::Error::other(format!("{name} is not spoken here")))
}

/// The newest name, for the log.
pub(in crate::network) fn newest<P: Protocol>() -> &'static str {
    P::SPOKEN.first().map_or("", |spoken| spoken.path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::rpc::{hello::Hello, keys::Keys, sync::Sync};

    fn is_in_order<P: Protocol>() {
        assert!(P::SPOKEN.is_sorted_by(|newer, older| newer.version > older.version), "{:?}", P::SPOKEN);
        for Spoken { version, path } in P::SPOKEN {
            assert!(path.ends_with(&format!("/{version}")), "{path}");
        }
        assert!(!P::SPOKEN.is_empty());
    }

    #[test]
    fn the_newest_number_is_offered_first_and_its_name_ends_with_it() {
        is_in_order::<Hello>();
        is_in_order::<Keys>();
        is_in_order::<Sync>();
    }
}
