//! The registrar's word on where the admin log's head is, and proof against it.
//!
//! ```text
//! gossip, hello, file ─▶ verify ─▶ its head is in our log ─▶ durable, told on: the log is fresh
//!                               ├─▶ its head is ahead     ─▶ waits for the records; displaces nothing until then
//!                               └─▶ its head is another   ─▶ the log is forked: shown, displaces nothing
//! ```
//!
//! A beacon grants nothing and takes nothing. Without one a node cannot tell a quiet coalition from one whose
//! news are kept from it; that is shown, and what follows is the charter's staleness policy to say.

use belfry_proto::{
    crypto::sign::PublicKey,
    id::Height,
    schema::{
        self, AdminGossip, HelloRequest, HelloResponse, PullAdmin, admin_gossip::Item, hello_request,
        hello_response,
    },
    topic::Topic,
    trust::{
        beacon::{self, Beacon},
        log::{VerifiedRecord, equivocation},
    },
    verdict::Verdict,
};
use prost::Message;

use super::{Command, Membership};
use crate::{clock, store::Change};

/// Heights above the newest charter's pin with proofs that are kept: one is enough to distrust the registrar, many are its
/// flood. As many again are lower ones than any before, and then the lowest has the highest one's place.
const MAX_PROOFS: usize = 16;

/// The signed beacons behind a [`LogWatch`](crate::heard::LogWatch).
#[derive(Debug, Default)]
pub(super) struct Beacons {
    held: Option<(Beacon, schema::Signed)>,
    waiting: Option<(Beacon, schema::Signed)>,
}

impl Beacons {
    /// The newest one that holds.
    pub(super) fn signed(&self) -> Option<&schema::Signed> {
        self.held.as_ref().map(|(_, signed)| signed)
    }

    /// A newer one whose head is not here yet.
    pub(super) const fn waiting(&self) -> Option<&(Beacon, schema::Signed)> {
        self.waiting.as_ref()
    }
}

impl Membership {
    /// Takes up what the store holds.
    pub(super) fn restore_watch(&mut self) {
        let heights =
            self.store.equivocations().unwrap_or_default().into_iter().map(|(height, _)| height).collect();
        let stored = self.store.beacon().ok().flatten();
        let signed = stored.and_then(|bytes| schema::Signed::decode(bytes.as_slice()).ok());
        // It was verified when it came; by now it may have expired, and then says since when we are stale.
        self.beacons.held = signed.and_then(|signed| Some((beacon::read(&signed)?, signed)));
        let held = self.beacons.held.as_ref().map(|(beacon, _)| *beacon);
        self.watch.send_modify(|watch| {
            watch.equivocations = heights;
            watch.beacon = held;
        });
        self.hellos.send_modify(|hellos| hellos.beacon = held.map(|beacon| beacon.made));
    }

    /// Judges a beacon, from a peer or a file.
    pub(super) async fn judge_beacon(&mut self, signed: schema::Signed, from: Option<PublicKey>) -> Verdict {
        let roster = self.roster_now();
        let found = match beacon::verify(roster.charter(), &signed, clock::now()) {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!("beacon refused: {error}");
                return self.refused(&error);
            }
        };
        let is_newer = |known: &Option<(Beacon, schema::Signed)>| {
            known.as_ref().is_none_or(|(known, _)| known.made < found.made)
        };
        if !is_newer(&self.beacons.held) || !is_newer(&self.beacons.waiting) {
            return Verdict::Ignore;
        }
        if found.head.height > roster.version().height {
            self.beacons.waiting = Some((found, signed));
            self.watch.send_modify(|watch| watch.missing = Some(found.head));
            self.settle_ahead();
            if let Some(from) = from {
                self.pull(from);
            }
            // The registrar signed it, and others may be able to fetch what we cannot.
            return Verdict::Accept;
        }
        if !roster.is_prefix(found.head) {
            return self.contradicted(found);
        }
        if self.hold_beacon(found, signed).await { Verdict::Accept } else { Verdict::Ignore }
    }

    /// Looks at a waiting beacon again, now that the log is longer.
    pub(super) async fn settle_beacon(&mut self) {
        let roster = self.roster_now();
        let is_here = |(beacon, _): &(Beacon, schema::Signed)| beacon.head.height <= roster.version().height;
        let Some((found, signed)) = self.beacons.waiting.take_if(|waiting| is_here(waiting)) else { return };
        self.watch.send_modify(|watch| watch.missing = None);
        if roster.is_prefix(found.head) {
            self.hold_beacon(found, signed).await;
        } else {
            self.contradicted(found);
        }
    }

    fn contradicted(&self, found: Beacon) -> Verdict {
        let is_news =
            self.watch.send_if_modified(|watch| watch.contradicted.replace(found.head) != Some(found.head));
        if !is_news {
            return Verdict::Ignore;
        }
        tracing::error!(beacon.head = %found.head,
            "the registrar signed a beacon for another admin log than ours: it is forked");
        Verdict::Accept
    }

    async fn hold_beacon(&mut self, found: Beacon, signed: schema::Signed) -> bool {
        if let Err(error) = self.store.commit(Change::Beacon(signed.encode_to_vec())).await {
            tracing::warn!("beacon not kept: {error}");
            return false;
        }
        tracing::info!(beacon.head = %found.head, "the admin log is fresh: the registrar vouches for {}", found.head);
        self.beacons.held = Some((found, signed));
        // A head that an earlier one named and nobody has: by now the registrar vouches for ours.
        let is_moot = self.beacons.waiting.take_if(|(waiting, _)| waiting.made <= found.made).is_some();
        self.watch.send_modify(|watch| {
            watch.beacon = Some(found);
            if is_moot {
                watch.missing = None;
            }
        });
        self.hellos.send_modify(|hellos| hellos.beacon = Some(found.made));
        self.settle_ahead();
        true
    }

    /// Tells the coalition.
    pub(super) async fn spread_beacon(&self, signed: schema::Signed) {
        let gossip = AdminGossip { item: Some(Item::Beacon(signed)) };
        if let Err(error) = self.network.publish(Topic::Admin, gossip.encode_to_vec()).await {
            tracing::debug!("beacon not gossiped: {error}");
        }
    }

    /// Compares a verified record with ours at its height; keeps the proof if the registrar signed both.
    pub(super) async fn judge_earlier(&mut self, other: &VerifiedRecord) -> Verdict {
        let roster = self.roster_now();
        let index = usize::try_from(other.height.get().saturating_sub(1)).unwrap_or(usize::MAX);
        let pinned = roster.charter().pin().map_or(0, |pin| pin.height.get());
        let Some(ours) = roster.records().nth(index).filter(|_| other.height.get() > pinned) else {
            return Verdict::Ignore;
        };
        let signer = |record: &VerifiedRecord| {
            record.record.entry.as_ref().and_then(|entry| entry.signatures.first()).map(|s| s.key.clone())
        };
        if signer(ours) != signer(other) || equivocation(ours, other).is_none() {
            return Verdict::Ignore;
        }
        let (height, known) = (other.height, self.watch.borrow().equivocations.clone());
        // From the lowest one on the branches differ: that one is worth more than another. Those that a pin settled are
        // worth nothing for that.
        let open: Vec<Height> = known.iter().copied().filter(|known| known.get() > pinned).collect();
        let is_lowest = open.iter().all(|known| height < *known);
        if known.contains(&height) || (!is_lowest && open.len() >= MAX_PROOFS) {
            return Verdict::Ignore;
        }
        let instead_of = open.iter().max().copied().filter(|_| open.len() >= 2 * MAX_PROOFS);
        tracing::error!(
            height = height.get(),
            "the registrar signed two entries for height {height} of the admin log: proof kept"
        );
        let records = [ours.record.encode_to_vec(), other.record.encode_to_vec()];
        if let Err(error) = self.store.commit(Change::Equivocation { height, records, instead_of }).await {
            tracing::error!("the proof could not be kept: {error}");
        }
        self.watch.send_modify(|watch| {
            watch.equivocations.retain(|known| Some(*known) != instead_of);
            watch.equivocations.push(height);
        });
        self.fork_known().await;
        self.settle_ahead();
        // Whoever has our branch learns of the other by this.
        Verdict::Accept
    }

    /// Asks a peer whose log does not fit ours for its entry at `height`, which with ours may be proof.
    pub(super) fn fetch_conflict(&self, peer: PublicKey, height: Height) {
        if height.get() == 0 || self.watch.borrow().equivocations.contains(&height) {
            return;
        }
        let (network, commands) = (self.network.clone(), self.commands.0.clone());
        let from_charter = self.roster_now().charter().version() + 1;
        tokio::spawn(async move {
            let pull = PullAdmin { from_height: height.get(), from_charter };
            let request = HelloRequest { request: Some(hello_request::Request::PullAdmin(pull)) };
            if let Ok(HelloResponse { response: Some(hello_response::Response::AdminPage(page)) }) =
                network.hello(&peer, request).await
                && let Some(record) = page.records.into_iter().next()
            {
                let _ = commands.send(Command::Conflict { peer, record }).await;
            }
        });
    }

    /// What [`Self::fetch_conflict`] brought: told on if it proves something.
    pub(super) async fn conflict(&mut self, peer: PublicKey, record: schema::Record) {
        let height = self.roster_now().version().height;
        if self.judge_record(record.clone(), peer).await == Verdict::Accept
            && self.roster_now().version().height == height
        {
            self.spread_record(record).await;
        }
    }

    /// What a file or a page held against our log: kept, and told on, if it proves something.
    pub(super) async fn told_conflict(&mut self, other: &VerifiedRecord) {
        if self.told_earlier(other).await {
            self.spread_record(other.record.clone()).await;
        }
    }

    /// Tells the coalition of one record that is no step of our own log.
    pub(super) async fn spread_record(&self, record: schema::Record) {
        let gossip = AdminGossip { item: Some(Item::Record(record)) };
        if let Err(error) = self.network.publish(Topic::Admin, gossip.encode_to_vec()).await {
            tracing::debug!("record not gossiped: {error}");
        }
    }
}
