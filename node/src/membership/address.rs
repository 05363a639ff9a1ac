//! Signed address records: how members find each other once one has been found.

use std::{collections::BTreeMap, time::Duration};

use belfry_proto::{
    crypto::sign::PublicKey,
    id::Serial,
    limits::MAX_ADDRESSES,
    schema::{
        self, AdminGossip, PullAddresses, SyncRequest, SyncResponse, admin_gossip::Item, sync_request,
        sync_response,
    },
    time::Timestamp,
    topic::Topic,
    trust::address,
    verdict::{Judged, Verdict},
};
use prost::Message;
use tokio::time::Instant;

use super::{Command, Membership};
use crate::{
    clock,
    network::Address,
    store::{AddressRow, Change},
};

/// Between two questions for one peer's address records: some 200 bytes a member each time.
const ASK_AGAIN: Duration = Duration::from_secs(600);

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

    /// Asks a peer for every record it holds, unless that was done a little while ago: a node that was away
    /// when they were gossiped finds the others by this.
    pub(super) fn ask_addresses(&mut self, peer: PublicKey) {
        let now = Instant::now();
        self.addresses_asked.retain(|_, at| now.duration_since(*at) < ASK_AGAIN);
        if self.addresses_asked.contains_key(&peer) {
            return;
        }
        self.addresses_asked.insert(peer, now);
        let (network, commands) = (self.network.clone(), self.commands.0.clone());
        tokio::spawn(async move {
            let request = SyncRequest { request: Some(sync_request::Request::Addresses(PullAddresses {})) };
            match network.sync(&peer, request).await {
                Ok(SyncResponse { response: Some(sync_response::Response::Addresses(all)) }) => {
                    let _ = commands.send(Command::Addresses { peer, records: all.records }).await;
                }
                Ok(_) => tracing::debug!(%peer, "address records: answered with something else"),
                Err(error) => tracing::debug!(%peer, "address records: {error}"),
            }
        });
    }

    /// Keeps what is new of a peer's records, all in one synced batch.
    pub(super) async fn learn_addresses(&mut self, peer: PublicKey, records: Vec<schema::Signed>) {
        if !self.store.has_room() {
            return;
        }
        let held: BTreeMap<Serial, Timestamp> =
            self.store.addresses().unwrap_or_default().iter().map(|row| (row.serial, row.made)).collect();
        let (roster, now) = (self.roster_now(), clock::now());
        // One a certificate is honest; more than that is not even looked at.
        let most = roster.certificates().count();
        let verified = tokio::task::spawn_blocking(move || {
            let mut newest = BTreeMap::new();
            for record in records.into_iter().take(most) {
                let Ok(found) = address::verify(&roster, &record, now) else { continue };
                if held.get(&found.serial).is_none_or(|made| *made < found.made) {
                    let row =
                        AddressRow { serial: found.serial, made: found.made, bytes: record.encode_to_vec() };
                    newest.insert(found.serial, row);
                }
            }
            newest
        });
        let rows = verified.await.unwrap_or_default();
        tracing::debug!(%peer, new = rows.len(), "address records");
        let commits = rows.into_values().map(|row| self.store.commit(Change::Address(row)));
        for kept in futures::future::join_all(commits).await {
            if let Err(error) = kept {
                tracing::warn!("address record not kept: {error}");
            }
        }
    }

    async fn keep_address(&mut self, record: &schema::Signed) -> Verdict {
        if !self.store.has_room() {
            return Verdict::Ignore;
        }
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
