//! The one place where a node key becomes a libp2p peer id, and back.

use belfry_proto::crypto::sign::{PublicKey, SigningKey};
use libp2p::{
    PeerId,
    identity::{self, Keypair, ed25519},
};

use super::error::StartError;

/// The multihash code that holds a public key as it is instead of its hash.
const IDENTITY_HASH: u64 = 0;

/// The transport identity of a node key.
pub(super) fn keypair(key: &SigningKey) -> Result<Keypair, StartError> {
    // The callee zeroes what it is given.
    let mut seed = *key.seed();
    Keypair::ed25519_from_bytes(&mut seed).map_err(|e| StartError::Identity(e.to_string()))
}

/// The peer id of a node key.
#[expect(
    clippy::expect_used,
    reason = "`PublicKey` holds only what ed25519-dalek accepted, and libp2p asks it too"
)]
pub(super) fn peer_id(key: &PublicKey) -> PeerId {
    let key = ed25519::PublicKey::try_from_bytes(key.as_bytes()).expect("a checked Ed25519 key");
    identity::PublicKey::from(key).to_peer_id()
}

/// The node key of a peer id; `None` for another kind of key, or one of small order.
pub(super) fn public_key(peer: &PeerId) -> Option<PublicKey> {
    let hash = peer.as_ref();
    if hash.code() != IDENTITY_HASH {
        return None;
    }
    let key = identity::PublicKey::try_decode_protobuf(hash.digest()).ok()?.try_into_ed25519().ok()?;
    PublicKey::from_slice(&key.to_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_key_and_its_peer_id_name_each_other() {
        let key = SigningKey::from_seed(&[3; 32]);
        let peer = peer_id(&key.public());
        assert_eq!(public_key(&peer), Some(key.public()));
        assert_eq!(keypair(&key).unwrap().public().to_peer_id(), peer);
    }

    #[test]
    fn a_peer_id_that_hides_its_key_is_no_node() {
        let hashed = libp2p::multihash::Multihash::wrap(0x12, &[7; 32]).unwrap();
        assert_eq!(public_key(&PeerId::from_multihash(hashed).unwrap()), None);
    }

    #[test]
    fn a_peer_id_of_a_small_order_key_is_no_node() {
        let mut bytes = vec![8, 1, 18, 32];
        bytes.extend([0; 32]);
        let weak = libp2p::multihash::Multihash::wrap(IDENTITY_HASH, &bytes).unwrap();
        assert_eq!(PeerId::from_multihash(weak).ok().as_ref().and_then(public_key), None);
    }
}
