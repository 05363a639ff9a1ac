//! Who this node is: its certificate and the keys that prove it.

use belfry_proto::{
    crypto::{hpke::KemSecret, sign::{PublicKey, SigningKey}},
    id::{MemberId, Serial},
    schema,
};

/// This node's own certificate and keys. Secret keys print redacted.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The organisation.
    pub member: MemberId,
    /// The certificate of this node.
    pub serial: Serial,
    /// The record that issued it, shown in every hello.
    pub record: schema::Record,
    /// Signs messages and addresses.
    pub signing: SigningKey,
    /// The key whose PeerId the network knows this node by.
    pub node: PublicKey,
    /// Opens grants and recipient stanzas.
    pub kem: KemSecret,
}
