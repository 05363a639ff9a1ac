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
    verdict::Verdict,
};
use prost::Message;
use rand::seq::IteratorRandom;
use tokio::time::Instant;

use super::{Command, Membership, questions::Questions};
use crate::{
    bucket::{Buckets, Rate},
    clock,
    network::{Address, Vicinity},
    refusals::Way,
    store::{AddressRow, Change, Store},
};

/// Between two questions for one peer's address records: some 200 bytes a member each time.
const ASK_AGAIN: Duration = Duration::from_secs(600);
/// Between two questions, to anybody, for nodes whose address nobody has told; doubles up to [`ASK_AGAIN`]. A record
/// that gossip lost is found by this, and nodes that are never there cost little.
const SEEK: Duration = Duration::from_secs(5);
/// Records of one certificate that are taken up and told on: some at a start, one interface after the other, then
/// one in two minutes. Each is a synced write at every node.
const SUBJECT: Rate = Rate { per_second: 0.05, burst: 8.0 };

/// What is remembered of address records besides the records.
#[derive(Debug)]
pub(super) struct Book {
    /// When each certificate's record was made.
    made: BTreeMap<Serial, Timestamp>,
    subjects: Buckets<Serial>,
    questions: Questions,
    seek: (Instant, Duration),
    /// Our own record, and of which addresses; it waits for somebody to tell.
    own: Option<(Vec<Address>, schema::Signed)>,
}

impl Book {
    pub(super) fn of(store: &Store) -> Self {
        let rows = store.addresses().unwrap_or_default();
        Self {
            made: rows.into_iter().map(|row| (row.serial, row.made)).collect(),
            subjects: Buckets::new(SUBJECT),
            questions: Questions::every(ASK_AGAIN),
            seek: (Instant::now(), SEEK),
            own: None,
        }
    }

    /// Our own record is to be made anew.
    pub(super) fn renew(&mut self) {
        self.own = None;
    }

    /// Whether somebody should be asked for what is missing.
    fn seeks(&mut self, misses: bool, now: Instant) -> bool {
        if !misses {
            self.seek = (now, SEEK);
            return false;
        }
        let (at, wait) = self.seek;
        if now < at {
            return false;
        }
        self.seek = (now + wait, wait.saturating_mul(2).min(ASK_AGAIN));
        true
    }
}

impl Membership {
    /// Tells the coalition where we are, when that changed or was long ago. By a clock that others say is off nothing is signed:
    /// of a time to come they refuse it, and what is made later would be older. Before anybody told it is: whoever is met
    /// first asks for it, and what a wrong clock left gives way ([`Self::held`]).
    pub(super) async fn announce_address(&mut self) {
        let mut addresses = self.own_addresses.clone();
        addresses.extend(self.dialing.told());
        addresses.truncate(MAX_ADDRESSES);
        if addresses.is_empty() || addresses == self.announced {
            return;
        }
        let made =
            self.book.own.as_ref().filter(|(of, _)| *of == addresses).map(|(_, record)| record.clone());
        let record = match made {
            Some(record) => record,
            None => {
                let skew = self.roster_now().charter().clock_skew();
                if self.hellos.borrow().is_clock_off(skew) {
                    return;
                }
                let encoded = addresses.iter().map(Address::to_vec).collect();
                let (serial, signing) = (self.identity.serial, &self.identity.signing);
                let record = address::make(self.coalition, serial, encoded, self.next_made(), signing);
                if self.keep_address(&record).await != Verdict::Accept {
                    return;
                }
                self.book.own = Some((addresses.clone(), record.clone()));
                record
            }
        };
        let gossip = AdminGossip { item: Some(Item::Address(record)) };
        if let Err(error) = self.network.publish(Topic::Admin, gossip.encode_to_vec()).await {
            // Nobody to tell yet; tried again next tick.
            tracing::trace!("address record not gossiped: {error}");
            return;
        }
        self.announced = addresses;
    }

    /// Asks a peer for every record it holds, unless it answered a little while ago: a node that was away when they
    /// were gossiped finds the others by this.
    pub(super) fn ask_addresses(&mut self, peer: PublicKey) {
        self.ask_records(peer, false);
    }

    /// Asks again whom an answer is owed by, and somebody for nodes that nobody has told the address of.
    pub(super) fn seek_addresses(&mut self, known: &BTreeMap<PublicKey, Vec<Address>>) {
        let now = Instant::now();
        for peer in self.book.questions.unanswered(now) {
            if self.admits_us.contains(&peer) {
                self.ask_records(peer, false);
            } else {
                self.book.questions.gone(&peer);
            }
        }
        let admitted = self.roster_now().admitted_nodes(clock::now());
        let misses = admitted.iter().any(|node| {
            *node != self.identity.node
                && !self.dialing.is_connected(node)
                && known.get(node).is_none_or(Vec::is_empty)
        });
        if self.book.seeks(misses && !self.admits_us.is_empty(), now)
            && let Some(peer) = self.admits_us.iter().copied().choose(&mut rand::rng())
        {
            self.ask_records(peer, true);
        }
    }

    fn ask_records(&mut self, peer: PublicKey, anew: bool) {
        if !self.book.questions.ask(peer, anew, Instant::now()) {
            return;
        }
        let (network, commands) = (self.network.clone(), self.commands.0.clone());
        tokio::spawn(async move {
            let request = SyncRequest { request: Some(sync_request::Request::Addresses(PullAddresses {})) };
            let records = match network.sync(&peer, request).await {
                Ok(SyncResponse { response: Some(sync_response::Response::Addresses(all)) }) => {
                    Some(all.records)
                }
                Ok(_) => {
                    tracing::debug!(%peer, "address records: answered with something else");
                    None
                }
                Err(error) => {
                    tracing::debug!(%peer, "address records: {error}");
                    None
                }
            };
            let _ = commands.send(Command::Addresses { peer, records }).await;
        });
    }

    /// What came of [`Self::ask_records`].
    pub(super) async fn addresses_told(&mut self, peer: PublicKey, records: Option<Vec<schema::Signed>>) {
        self.book.questions.told(&peer, records.is_some(), Instant::now());
        if let Some(records) = records {
            self.learn_addresses(peer, records).await;
        }
    }

    /// Keeps what is new of a peer's records, all in one synced batch.
    pub(super) async fn learn_addresses(&mut self, peer: PublicKey, records: Vec<schema::Signed>) {
        if !self.store.has_room() {
            return;
        }
        let (roster, now) = (self.roster_now(), clock::now());
        // One a certificate is honest; more than that is not even looked at. Nor is what we hold already.
        let most = roster.certificates().count();
        let records: Vec<schema::Signed> =
            records.into_iter().take(most).filter(|record| !self.is_old(record)).collect();
        let verified = tokio::task::spawn_blocking(move || {
            let mut newest: BTreeMap<Serial, AddressRow> = BTreeMap::new();
            for record in records {
                let Ok(found) = address::verify(&roster, &record, now) else { continue };
                if newest.get(&found.serial).is_none_or(|row| row.made < found.made) {
                    let row =
                        AddressRow { serial: found.serial, made: found.made, bytes: record.encode_to_vec() };
                    newest.insert(found.serial, row);
                }
            }
            newest
        });
        let rows = verified.await.unwrap_or_default();
        tracing::debug!(%peer, new = rows.len(), "address records");
        let (store, made): (_, Vec<_>) =
            (&self.store, rows.values().map(|row| (row.serial, row.made)).collect());
        let commits = rows.into_values().map(|row| store.commit(Change::Address(row)));
        let kept = futures::future::join_all(commits).await;
        for (kept, (serial, made)) in kept.into_iter().zip(made) {
            match kept {
                Ok(_) => drop(self.book.made.insert(serial, made)),
                Err(error) => tracing::warn!("address record not kept: {error}"),
            }
        }
    }

    /// Keeps a record that is newer than what we hold, as often as one certificate may have one.
    pub(super) async fn keep_address(&mut self, record: &schema::Signed) -> Verdict {
        if !self.store.has_room() || self.is_old(record) {
            return Verdict::Ignore;
        }
        let verified = match address::verify(&self.roster_now(), record, clock::now()) {
            Ok(verified) => verified,
            Err(error) => {
                tracing::debug!("address record refused: {error}");
                return self.refused(&error);
            }
        };
        // After the signature: nobody else can use up what a certificate may say.
        if !self.book.subjects.take(verified.serial, 1.0, Instant::now()) {
            tracing::debug!(
                serial = verified.serial.get(),
                "one more address record of a certificate that has too many"
            );
            self.network.refusals().count(Way::Admin, "too-many-addresses");
            return Verdict::Ignore;
        }
        let row = AddressRow { serial: verified.serial, made: verified.made, bytes: record.encode_to_vec() };
        match self.store.commit(Change::Address(row)).await {
            Ok(_) => {
                self.book.made.insert(verified.serial, verified.made);
                Verdict::Accept
            }
            Err(error) => {
                tracing::warn!("address record not kept: {error}");
                Verdict::Ignore
            }
        }
    }

    /// Whether we hold this record's certificate's as new: seen without a signature, so it only ever spares work.
    fn is_old(&self, record: &schema::Signed) -> bool {
        let Ok(record) = schema::AddressRecord::decode(record.payload.as_slice()) else { return false };
        self.held(Serial::new(record.serial)).is_some_and(|made| made.as_micros() >= record.made)
    }

    /// When the record held of a certificate was made. One of a time to come, by a clock that nobody doubts, was made or taken
    /// under one that ran ahead, and gives way to any: others hold none such.
    fn held(&self, serial: Serial) -> Option<Timestamp> {
        let made = *self.book.made.get(&serial)?;
        let skew = self.roster_now().charter().clock_skew();
        let is_to_come = made > clock::now().saturating_add(skew);
        (!is_to_come || self.hellos.borrow().doubts_clock(skew)).then_some(made)
    }

    /// When what we say now is made: later than what we said before, even if our clock was a little ahead then.
    fn next_made(&self) -> Timestamp {
        let least = self.held(self.identity.serial).map(|made| made.saturating_add(Duration::from_micros(1)));
        clock::now().max(least.unwrap_or_default())
    }

    /// The address book, verified again against the roster of now, without what is not to be dialled.
    pub(super) fn known_addresses(&self) -> BTreeMap<PublicKey, Vec<Address>> {
        let (roster, now) = (self.roster_now(), Instant::now());
        let vicinity = Vicinity::of(self.dialing.own_places().chain(&self.own_addresses));
        let mut book = BTreeMap::new();
        for row in self.store.addresses().unwrap_or_default() {
            let Some(certificate) = roster.certificate(row.serial) else { continue };
            let Ok(signed) = schema::Signed::decode(row.bytes.as_slice()) else { continue };
            let Ok(record) = schema::AddressRecord::decode(signed.payload.as_slice()) else { continue };
            let told = record.addresses.iter().take(MAX_ADDRESSES);
            let told = told.filter_map(|bytes| Address::from_bytes(bytes).ok());
            book.insert(certificate.node, self.targets.fit(&certificate.node, told, vicinity, now));
        }
        book
    }
}
