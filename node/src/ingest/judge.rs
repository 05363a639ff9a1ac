//! The ladder up to *Admitted*, and the verdict.

use std::sync::{Arc, PoisonError};

use belfry_proto::{
    envelope::{self, Admission, AdmitError, AttributeError, Origin},
    envelope::{Admitted, Decoded, Header, Quarantined},
    id::{Height, MemberId, MessageId},
    trust::roster::Roster,
    verdict::{Judged, Verdict},
};
use tokio::{sync::mpsc, time::Instant};

use super::{Arrival, Arrived, Ingest, Kept, Page, parallel, rate::Rates};
use crate::{
    clock,
    network::Gossip,
    store::{Change, ParkRow, Parker},
};

/// Gossip messages judged in one go.
const BATCH: usize = 64;

/// What the ladder said.
pub(super) enum Judgement {
    Admitted(Box<Admitted>),
    /// Valid bytes beyond a cut: kept, hidden, restorable.
    Quarantined(Box<Quarantined>),
    /// Names a roster we do not have yet; by this author, if a certificate we hold signed it.
    Ahead {
        id: MessageId,
        bytes: Vec<u8>,
        author: Option<MemberId>,
    },
    Known,
    Refused {
        verdict: Verdict,
        code: &'static str,
        detail: String,
    },
}

impl Judgement {
    fn refused(error: &(impl Judged + std::fmt::Display)) -> Self {
        Self::Refused { verdict: error.verdict(), code: error.code(), detail: error.to_string() }
    }
}

impl Ingest {
    /// Judges gossip and pages until both end.
    pub(super) async fn run_judge(
        self,
        mut gossip: mpsc::Receiver<Gossip>,
        mut pages: mpsc::Receiver<Page>,
        keep: mpsc::Sender<Arrival>,
    ) {
        let mut rates = Rates::default();
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                n = gossip.recv_many(&mut batch, BATCH) => {
                    if n == 0 {
                        return;
                    }
                    self.judge_gossip(&mut batch, &mut rates, &keep).await;
                }
                Some(page) = pages.recv() => self.judge_page(page, &keep).await,
            }
        }
    }

    async fn judge_gossip(&self, batch: &mut Vec<Gossip>, rates: &mut Rates, keep: &mpsc::Sender<Arrival>) {
        if !self.store.has_room() {
            // Not judged, so not known: sync brings it once there is room.
            for message in batch.drain(..) {
                let _ = self.network.verdict(message.ticket, Verdict::Ignore).await;
            }
            return;
        }
        let now = Instant::now();
        let mut within = Vec::with_capacity(batch.len());
        for message in batch.drain(..) {
            if rates.take(message.from, now) {
                within.push(message);
            } else {
                let _ = self.network.verdict(message.ticket, Verdict::Ignore).await;
            }
        }
        let (this, roster) = (self.clone(), self.roster.snapshot());
        let height = roster.version().height;
        let judged = parallel::map(within, move |message| {
            let origin = Origin::Gossip { topic: message.topic };
            let judgement = this.judge(&message.bytes, &roster, origin);
            (message, judgement)
        })
        .await;
        for (message, judgement) in judged.unwrap_or_default() {
            let verdict = match &judgement {
                Judgement::Admitted(_) => Verdict::Accept,
                Judgement::Quarantined(_) | Judgement::Ahead { .. } | Judgement::Known => Verdict::Ignore,
                Judgement::Refused { verdict, .. } => *verdict,
            };
            let _ = self.network.verdict(message.ticket, verdict).await;
            self.settle(judgement, height, message.from, keep, None).await;
        }
    }

    async fn judge_page(&self, page: Page, keep: &mpsc::Sender<Arrival>) {
        if !self.store.has_room() {
            let _ = page.done.send(vec![Kept::Refused("no-room"); page.envelopes.len()]);
            return;
        }
        let (this, roster) = (self.clone(), self.roster.snapshot());
        let height = roster.version().height;
        let judged =
            parallel::map(page.envelopes, move |bytes| this.judge(&bytes, &roster, Origin::Sync)).await;
        let mut waiting = Vec::new();
        for judgement in judged.unwrap_or_default() {
            let (done, kept) = tokio::sync::oneshot::channel();
            self.settle(judgement, height, page.from, keep, Some(done)).await;
            waiting.push(kept);
        }
        // The judge goes on with gossip while the page becomes durable.
        tokio::spawn(async move {
            let mut all = Vec::with_capacity(waiting.len());
            for kept in waiting {
                all.push(kept.await.unwrap_or(Kept::Refused("not-stored")));
            }
            let _ = page.done.send(all);
        });
    }

    async fn settle(
        &self,
        judgement: Judgement,
        judged_at: Height,
        from: belfry_proto::crypto::sign::PublicKey,
        keep: &mpsc::Sender<Arrival>,
        done: Option<tokio::sync::oneshot::Sender<Kept>>,
    ) {
        let answer = match judgement {
            Judgement::Admitted(admitted) => {
                let _ =
                    keep.send(Arrival { envelope: Arrived::Admitted(admitted), judged_at, from, done }).await;
                return;
            }
            Judgement::Quarantined(quarantined) => {
                let envelope = Arrived::Quarantined(quarantined);
                let _ = keep.send(Arrival { envelope, judged_at, from, done }).await;
                return;
            }
            Judgement::Known => Kept::Known,
            Judgement::Ahead { id, bytes, author } => {
                self.behind.notice(from);
                let parker = author.map_or(Parker::Peer(from), Parker::Author);
                let row = ParkRow { id, parker, received: clock::now(), bytes };
                match self.store.commit(Change::Park(row)).await {
                    Ok(_) => Kept::Parked,
                    Err(error) => {
                        tracing::warn!("an envelope ahead of the roster was not parked: {error}");
                        Kept::Refused("not-stored")
                    }
                }
            }
            Judgement::Refused { verdict, code, detail } => {
                tracing::debug!(peer = %from, code, verdict = verdict.as_str(), "envelope refused: {detail}");
                Kept::Refused(code)
            }
        };
        if let Some(done) = done {
            let _ = done.send(answer);
        }
    }

    /// One envelope through the ladder. Cheap checks first, the signature last but one.
    pub(super) fn judge(&self, bytes: &[u8], roster: &Arc<Roster>, origin: Origin) -> Judgement {
        let decoded = match envelope::decode(bytes) {
            Ok(decoded) => decoded,
            Err(error) => return Judgement::refused(&error),
        };
        let id = decoded.message_id();
        if self.is_known(&id) {
            return Judgement::Known;
        }
        if decoded.lacks_body() {
            // Nothing erases bodies yet, so a bare header is only a way to take a message's place.
            let verdict = match origin {
                Origin::Gossip { .. } => Verdict::Reject,
                Origin::Sync | Origin::Own => Verdict::Ignore,
            };
            return Judgement::Refused {
                verdict,
                code: "bodiless",
                detail: "the body is missing".to_owned(),
            };
        }
        let claimed = decoded.clone();
        let attributed = match decoded.attribute(roster) {
            Ok(attributed) => attributed,
            Err(AttributeError::AheadOfRoster { .. }) => return ahead(&claimed, bytes, roster),
            Err(error) => return Judgement::refused(&error),
        };
        let verified = match attributed.verify() {
            Ok(verified) => verified,
            Err(error) => return Judgement::refused(&error),
        };
        let skew = roster.charter().clock_skew();
        let admission = Admission { origin, now: clock::now(), skew };
        let header = verified.header().clone();
        let admitted = verified.admit(roster, admission);
        // Only what will be stored is charged: whoever forwards an old message again, or on another topic, must
        // not use up its author's quota.
        let is_kept = matches!(admitted, Ok(_) | Err(AdmitError::Quarantined(_)));
        if is_kept && !self.within_quota(&header, bytes.len(), roster, origin) {
            return Judgement::Refused {
                verdict: Verdict::Ignore,
                code: "over-quota",
                detail: format!("member {} is over its quota in the group", header.member),
            };
        }
        match admitted {
            Ok(admitted) => Judgement::Admitted(Box::new(admitted)),
            Err(AdmitError::Quarantined(quarantined)) => Judgement::Quarantined(quarantined),
            Err(error) => Judgement::refused(&error),
        }
    }

    /// Charges the author, whose signature holds.
    fn within_quota(&self, header: &Header, bytes: usize, roster: &Roster, origin: Origin) -> bool {
        // Admission refuses what is of no group.
        let Some(group) = roster.charter().group(header.group) else { return true };
        let (member, created, now) = (header.member, header.created, Instant::now());
        let mut quotas = self.quotas.lock().unwrap_or_else(PoisonError::into_inner);
        match origin {
            Origin::Gossip { .. } => quotas.gossiped(group, member, created, bytes, now),
            Origin::Sync => quotas.synced(group, member, created, bytes, now),
            Origin::Own => true,
        }
    }

    /// Parked envelopes again, now that the roster moved.
    pub(super) async fn judge_parked(&self, keep: &mpsc::Sender<Arrival>) {
        if !self.store.has_room() {
            return;
        }
        let parked = self.store.parked(1024).unwrap_or_default();
        if parked.is_empty() {
            return;
        }
        let roster = self.roster.snapshot();
        let mut settled = Vec::new();
        for row in parked {
            let judgement = self.judge(&row.bytes, &roster, Origin::Sync);
            if matches!(judgement, Judgement::Ahead { .. }) {
                continue;
            }
            settled.push(row.id);
            self.settle(judgement, roster.version().height, self.identity.node, keep, None).await;
        }
        if let Err(error) = self.store.commit(Change::Unpark(settled)).await {
            tracing::warn!("parked envelopes not cleared: {error}");
        }
    }
}

/// An envelope that names a roster ahead of ours: what can be verified of it is.
fn ahead(claimed: &Decoded, bytes: &[u8], roster: &Roster) -> Judgement {
    let author = match claimed.is_signed_by_known(roster) {
        Some(true) => Some(claimed.header().member),
        None => None,
        // A certificate of ours is named and did not sign this for a log of its own. The log ahead cannot change that.
        Some(false) => {
            return Judgement::Refused {
                verdict: Verdict::Ignore,
                code: "bad-signature",
                detail: "named certificate did not sign it".to_owned(),
            };
        }
    };
    Judgement::Ahead { id: claimed.message_id(), bytes: bytes.to_vec(), author }
}
