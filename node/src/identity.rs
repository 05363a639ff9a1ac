//! Who this node is: its certificate and the keys that prove it.

use std::collections::BTreeSet;

use belfry_proto::{
    crypto::{
        hpke::KemSecret,
        sign::{PublicKey, SigningKey},
    },
    id::{GroupId, MemberId, Serial},
    schema,
    trust::roster::Roster,
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

impl Identity {
    /// Groups whose messages this node keeps: its own, or as a carrier all.
    #[must_use]
    pub fn kept_groups(&self, roster: &Roster) -> BTreeSet<GroupId> {
        match roster.certificate(self.serial) {
            Some(certificate) if certificate.carrier => {
                roster.charter().groups().iter().map(|g| g.id).collect()
            }
            Some(certificate) => certificate.groups.keys().copied().collect(),
            None => BTreeSet::new(),
        }
    }
}
