//! Signed address records: how members find each other once one has been found.

use std::collections::BTreeMap;

use belfry_proto::{
    crypto::sign::PublicKey,
    limits::MAX_ADDRESSES,
    schema::{self, AdminGossip, admin_gossip::Item},
    topic::Topic,
    trust::address,
    verdict::{Judged, Verdict},
};
use prost::Message;

use super::Membership;
use crate::{
    clock,
    network::Address,
    store::{AddressRow, Change},
};

impl Membership {
    /// Tells the coalition where we are, when that changed or was long ago.
    pub(super) async fn announce_address(&mut self) {
        let mut addresses = self.own_addresses.clone();
        addresses.extend(self.dialing.told());
        addresses.truncate(MAX_ADDRESSES);
        if addresses.is_empty() || addresses == self.announced {
            return;
        }
        let encoded = addresses.iter().map(Address::to_vec).collect();
        let record = address::make(
            self.coalition,
            self.identity.serial,
            encoded,
            clock::now(),
            &self.identity.signing,
        );
        if self.keep_address(&record).await != Verdict::Accept {
            return;
        }
        let gossip = AdminGossip { item: Some(Item::Address(record)) };
        if let Err(error) = self.network.publish(Topic::Admin, gossip.encode_to_vec()).await {
            // Nobody to tell yet; tried again next tick.
            tracing::trace!("address record not gossiped: {error}");
            return;
        }
        self.announced = addresses;
    }

    /// Keeps a record that is newer than what we hold.
    pub(super) async fn learn_address(&mut self, record: &schema::Signed) -> Verdict {
        self.keep_address(record).await
    }

    async fn keep_address(&mut self, record: &schema::Signed) -> Verdict {
        let verified = match address::verify(&self.roster_now(), record, clock::now()) {
            Ok(verified) => verified,
            Err(error) => {
                tracing::debug!("address record refused: {error}");
                return error.verdict();
            }
        };
        let newer = self
            .store
            .addresses()
            .unwrap_or_default()
            .iter()
            .find(|row| row.serial == verified.serial)
            .is_none_or(|row| row.made < verified.made);
        if !newer {
            return Verdict::Ignore;
        }
        let row = AddressRow { serial: verified.serial, made: verified.made, bytes: record.encode_to_vec() };
        let change = Change::Address(row);
        match self.store.commit(change).await {
            Ok(_) => Verdict::Accept,
            Err(error) => {
                tracing::warn!("address record not kept: {error}");
                Verdict::Ignore
            }
        }
    }

    /// The address book, verified again against the roster of now.
    pub(super) fn known_addresses(&self) -> BTreeMap<PublicKey, Vec<Address>> {
        let roster = self.roster_now();
        let mut book = BTreeMap::new();
        for row in self.store.addresses().unwrap_or_default() {
            let Some(certificate) = roster.certificate(row.serial) else { continue };
            let Ok(signed) = schema::Signed::decode(row.bytes.as_slice()) else { continue };
            let Ok(record) = schema::AddressRecord::decode(signed.payload.as_slice()) else { continue };
            let addresses =
                record.addresses.iter().filter_map(|bytes| Address::from_bytes(bytes).ok()).collect();
            book.insert(certificate.node, addresses);
        }
        book
    }
}
