//! The ladder up to *Admitted*, and the verdict.

use std::sync::{Arc, PoisonError, atomic::Ordering};

use belfry_proto::{
    crypto::sign::PublicKey,
    envelope::{self, Admission, AdmitError, Admitted, AttributeError, Attributed, DecodeError, Decoded},
    envelope::{Header, Origin, Quarantined, Verified, VerifyError, Voucher},
    id::{MemberId, MessageId, Sequence},
    limits,
    sync::retention::{self, Bare},
    trust::roster::Roster,
    verdict::{Judged, Verdict},
};
use tokio::{sync::mpsc, time::Instant};

use super::{
    Departures, Ingest, Kept, OVER_DISK_QUOTA, Page,
    keep::{Answers, Arrival, Arrived, Ready, Waits},
    line::Line,
    rate::forwarded,
};
use crate::{
    bucket::Buckets,
    clock,
    network::Gossip,
    refusals::{Claimed, Refused, Way},
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
        /// What it says of itself, if it can be read.
        claimed: Option<Box<Claimed>>,
    },
}

impl Judgement {
    /// What gossipsub is told.
    const fn verdict(&self) -> Verdict {
        match self {
            Self::Admitted(_) => Verdict::Accept,
            Self::Quarantined(_) | Self::Ahead { .. } | Self::Known => Verdict::Ignore,
            Self::Refused { verdict, .. } => *verdict,
        }
    }

    fn refused(error: &(impl Judged + std::fmt::Display), claimed: Option<Claimed>) -> Self {
        let claimed = claimed.map(Box::new);
        Self::Refused { verdict: error.verdict(), code: error.code(), detail: error.to_string(), claimed }
    }
}

/// An envelope as it came.
struct Incoming {
    envelope: Brought,
    origin: Origin,
    /// It may come without its body, whatever is held.
    is_excused: bool,
    arrival: Arrival,
}

/// What a page brings was decoded to see that it is the page asked for.
enum Brought {
    Bytes(Vec<u8>),
    Decoded(Decoded),
}

impl Brought {
    fn decode(self) -> Result<Decoded, DecodeError> {
        match self {
            Self::Bytes(bytes) => envelope::decode(&bytes),
            Self::Decoded(decoded) => Ok(decoded),
        }
    }
}

impl Ingest {
    /// Judges gossip and pages until gossip ends. Each has a line of its own: a verdict that gossipsub waits for
    /// waits for no page.
    pub(super) async fn run_judge(
        self,
        gossip: mpsc::Receiver<Gossip>,
        pages: mpsc::Receiver<Page>,
        departures: Departures,
    ) {
        tokio::select! {
            () = self.judge_all_gossip(gossip, &departures) => {}
            () = self.judge_pages(pages, &departures) => {}
        }
    }

    async fn judge_all_gossip(&self, mut gossip: mpsc::Receiver<Gossip>, departures: &Departures) {
        let (mut rates, mut line) = (forwarded(), Line::new());
        let mut batch = Vec::with_capacity(BATCH);
        while gossip.recv_many(&mut batch, BATCH).await > 0 {
            self.judge_gossip(&mut batch, &mut rates, &mut line, departures).await;
        }
    }

    /// Pages may end while gossip goes on, so this never does.
    async fn judge_pages(&self, mut pages: mpsc::Receiver<Page>, departures: &Departures) {
        let mut line = Line::new();
        while let Some(page) = pages.recv().await {
            self.judge_page(page, &mut line, departures).await;
        }
        std::future::pending().await
    }

    async fn judge_gossip(
        &self,
        batch: &mut Vec<Gossip>,
        rates: &mut Buckets<PublicKey>,
        line: &mut Line,
        departures: &Departures,
    ) {
        // Without room nothing is judged, so nothing is known: sync brings it once there is room.
        let (has_room, now) = (self.store.has_room(), Instant::now());
        let mut within = Vec::with_capacity(batch.len());
        for Gossip { topic, from, bytes, ticket, .. } in batch.drain(..) {
            if !rates.take(from, 1.0, now) {
                // To know which it is costs what the budget is there to spare.
                self.network.refusals().count(Way::Gossip, "forwarder-over-budget");
            } else if !has_room {
                self.without_room(Way::Gossip, from, envelope::decode(&bytes).ok().as_ref());
            } else {
                let arrival = Arrival { from, waits: Waits::Gossip(ticket) };
                let envelope = Brought::Bytes(bytes);
                let origin = Origin::Gossip { topic };
                within.push(Incoming { envelope, origin, is_excused: false, arrival });
                continue;
            }
            let _ = self.network.verdict(ticket, Verdict::Ignore).await;
        }
        self.take_in(within, line, departures).await;
    }

    async fn judge_page(&self, page: Page, line: &mut Line, departures: &Departures) {
        self.pages.fetch_add(1, Ordering::Relaxed);
        if !self.store.has_room() {
            page.envelopes.iter().for_each(|one| self.without_room(Way::Sync, page.from, Some(one)));
            let _ = page.done.send(vec![Kept::Refused("no-room"); page.envelopes.len()]);
            return;
        }
        let Page { from, envelopes, excused, done } = page;
        let answers = Answers::of(envelopes.len(), done);
        let incoming = |(at, decoded): (usize, Decoded)| {
            let arrival = Arrival { from, waits: Waits::Sync(Arc::clone(&answers), at) };
            let is_excused = excused.contains(&decoded.message_id());
            Incoming { envelope: Brought::Decoded(decoded), origin: Origin::Sync, is_excused, arrival }
        };
        let incoming = envelopes.into_iter().enumerate().map(incoming).collect();
        // The judge goes on while the page becomes durable; whoever handed it in hears of it from the last envelope.
        drop(answers);
        self.take_in(incoming, line, departures).await;
    }

    /// Tells the ledger of an envelope that came while the disk was full, so that `belfry why` can say so of it.
    fn without_room(&self, way: Way, from: PublicKey, envelope: Option<&Decoded>) {
        let refusals = self.network.refusals();
        match envelope {
            Some(envelope) => refusals.message(Refused {
                claimed: Claimed::of(envelope.header(), envelope.message_id()),
                way,
                from,
                code: "no-room",
                detail: "free space is below store.free_space_floor; it comes once there is room".to_owned(),
                at: clock::now(),
            }),
            None => refusals.count(way, "no-room"),
        }
    }

    /// Judges envelopes, opens those that are admitted, and queues them for the writer, in their order.
    async fn take_in(&self, incoming: Vec<Incoming>, line: &mut Line, departures: &Departures) {
        let (this, roster) = (self.clone(), self.roster.snapshot());
        let work = move |chunk| this.judge_and_open(chunk, &roster);
        let (this, departures) = (self.clone(), departures.clone());
        line.run(incoming, work, move |chunk| this.depart(chunk, &departures)).await;
    }

    /// Verdicts that forward nothing fall before the first body is opened; what is forwarded is durable first.
    fn judge_and_open(&self, chunk: Vec<Incoming>, roster: &Arc<Roster>) -> Vec<Ready> {
        let answer = |(judgement, mut arrival): (Judgement, Arrival)| {
            let verdict = judgement.verdict();
            if verdict != Verdict::Accept
                && let Some(ticket) = arrival.ticket()
            {
                let _ = self.network.verdict_blocking(ticket, verdict);
            }
            (judgement, arrival)
        };
        let judged: Vec<_> = self.judge_chunk(chunk, roster).map(answer).collect();
        let settle = |(judgement, arrival)| self.settle(judgement, arrival, roster);
        judged.into_iter().filter_map(settle).collect()
    }

    /// What is to be written; the rest is answered at once.
    pub(super) fn settle(&self, judgement: Judgement, arrival: Arrival, roster: &Roster) -> Option<Ready> {
        let answer = match judgement {
            Judgement::Admitted(admitted) => {
                return Some(self.ready(&Arrived::Admitted(admitted), arrival, roster));
            }
            Judgement::Quarantined(quarantined) => {
                return Some(self.ready(&Arrived::Quarantined(quarantined), arrival, roster));
            }
            Judgement::Ahead { id, bytes, author } => return Some(self.parked(id, bytes, author, arrival)),
            Judgement::Known => Kept::Known,
            Judgement::Refused { verdict, code, detail, claimed } => {
                tracing::debug!(peer = %arrival.from, code, verdict = verdict.as_str(), "envelope refused: {detail}");
                self.refused(&arrival, code, detail, claimed);
                Kept::Refused(code)
            }
        };
        arrival.answer(answer);
        None
    }

    pub(super) fn way(&self, arrival: &Arrival) -> Way {
        match arrival.waits {
            Waits::Sync(..) => Way::Sync,
            Waits::Nobody if arrival.from == self.identity.node => Way::Parked,
            // By now gossipsub may have its verdict.
            Waits::Nobody | Waits::Gossip(_) => Way::Gossip,
        }
    }

    /// Tells the ledger.
    pub(super) fn refused(
        &self,
        arrival: &Arrival,
        code: &'static str,
        detail: String,
        claimed: Option<Box<Claimed>>,
    ) {
        let way = self.way(arrival);
        match claimed {
            Some(claimed) => self.network.refusals().message(Refused {
                claimed: *claimed,
                way,
                from: arrival.from,
                code,
                detail,
                at: clock::now(),
            }),
            None => self.network.refusals().count(way, code),
        }
    }

    /// Envelopes through the ladder, in their order. Of a page the last one's signature is verified first: it vouches
    /// for the one before, and so on down.
    fn judge_chunk(
        &self,
        chunk: Vec<Incoming>,
        roster: &Arc<Roster>,
    ) -> impl Iterator<Item = (Judgement, Arrival)> {
        let mut next = None;
        let mut climbed = Vec::with_capacity(chunk.len());
        for Incoming { envelope, origin, is_excused, arrival } in chunk.into_iter().rev() {
            let attributed = self.attribute(envelope.decode(), roster, origin, is_excused);
            let itself = attributed.as_ref().ok().cloned();
            let verified = attributed.and_then(|attributed| self.verify(attributed, origin, next.take()));
            next = verified.as_ref().ok().map(Verified::voucher);
            let itself = itself.filter(|_| verified.as_ref().is_ok_and(Verified::is_vouched));
            climbed.push((verified, itself, origin, arrival));
        }
        let admit = |(verified, itself, origin, arrival): (Result<Verified, _>, _, _, _)| {
            let judgement = match verified {
                Ok(verified) => self.admit(verified, roster, origin),
                Err(judgement) => judgement,
            };
            (judgement, itself, arrival)
        };
        let mut judged: Vec<(Judgement, Option<Attributed>, Arrival)> =
            climbed.into_iter().rev().map(admit).collect();
        unvouch(&mut judged);
        judged.into_iter().map(|(judgement, _, arrival)| (judgement, arrival))
    }

    /// One envelope through the ladder. Cheap checks first, the signature last but one.
    pub(super) fn judge(&self, bytes: &[u8], roster: &Arc<Roster>, origin: Origin) -> Judgement {
        let verified = self
            .attribute(envelope::decode(bytes), roster, origin, false)
            .and_then(|attributed| self.verify(attributed, origin, None));
        match verified {
            Ok(verified) => self.admit(verified, roster, origin),
            Err(judgement) => judgement,
        }
    }

    /// What can be told without a signature.
    fn attribute(
        &self,
        decoded: Result<Decoded, DecodeError>,
        roster: &Arc<Roster>,
        origin: Origin,
        is_excused: bool,
    ) -> Result<Attributed, Judgement> {
        let decoded = decoded.map_err(|error| Judgement::refused(&error, None))?;
        if self.is_known(&decoded) && !(origin == Origin::Sync && self.would_heal(&decoded)) {
            return Err(Judgement::Known);
        }
        if decoded.lacks_body()
            && !is_excused
            && bare_by_age(&decoded, roster, origin) == Bare::Missing
            && let Some(refused) = self.refuse_bare(&decoded, origin)
        {
            return Err(refused);
        }
        let claimed = decoded.clone();
        decoded.attribute(roster).map_err(|error| match error {
            AttributeError::AheadOfRoster { .. } => ahead(&claimed, roster),
            error => Judgement::refused(&error, Some(Claimed::of(claimed.header(), claimed.message_id()))),
        })
    }

    /// By its own signature; on a page by the word of the entry after it, if that is good: then its own is checked
    /// later ([`super::check`]). What gossip brings has nothing after it.
    fn verify(
        &self,
        attributed: Attributed,
        origin: Origin,
        next: Option<Voucher>,
    ) -> Result<Verified, Judgement> {
        let claimed = Claimed::of(attributed.header(), attributed.message_id());
        let refused = |error: VerifyError| Judgement::refused(&error, Some(claimed));
        if origin != Origin::Sync {
            return attributed.verify().map_err(refused);
        }
        let (header, mut attributed) = (attributed.header().clone(), attributed);
        // Where something may be held already, two histories may meet: there each entry speaks for itself first.
        let is_above = header.sequence > self.store.top(header.group, header.log);
        if let Some(next) = next.filter(|_| is_above) {
            match attributed.vouched(next) {
                Ok(verified) => return Ok(verified),
                Err(unchanged) => attributed = unchanged,
            }
        }
        let again = attributed.clone();
        attributed.verify().or_else(|error| {
            let follower = next.or_else(|| self.follower(&header)).filter(|_| self.is_free(&header));
            let vouched = follower.and_then(|next| again.vouched(next).ok());
            vouched.ok_or_else(|| refused(error))
        })
    }

    /// What the entry held after this one's place says of it.
    fn follower(&self, header: &Header) -> Option<Voucher> {
        let next = Sequence::new(header.sequence.get().checked_add(1)?);
        let held = self.store.envelopes(header.group, header.log, next, next, limits::MAX_TRANSMIT).ok()?;
        Some(envelope::decode(held.first()?).ok()?.trusted().voucher())
    }

    /// Whether nothing is held for its place.
    pub(super) fn is_free(&self, header: &Header) -> bool {
        let at = header.sequence;
        let held = self.store.envelopes(header.group, header.log, at, at, limits::MAX_TRANSMIT);
        held.is_ok_and(|held| held.is_empty())
    }

    /// Whether it may stand in its log now.
    fn admit(&self, verified: Verified, roster: &Arc<Roster>, origin: Origin) -> Judgement {
        let skew = roster.charter().clock_skew();
        let admission = Admission { origin, now: clock::now(), skew };
        let (header, id, len) = (verified.header().clone(), verified.message_id(), verified.bytes().len());
        let admitted = verified.admit(roster, admission);
        // Only what will be stored is charged: whoever forwards an old message again, or on another topic, must
        // not use up its author's quota.
        let is_kept = matches!(admitted, Ok(_) | Err(AdmitError::Quarantined(_)));
        if is_kept && !self.has_disk_room(&header, len, roster) {
            return Judgement::Refused {
                verdict: Verdict::Ignore,
                code: OVER_DISK_QUOTA,
                detail: self.over_disk_quota(header.member),
                claimed: Some(Box::new(Claimed::of(&header, id))),
            };
        }
        if is_kept && !self.within_quota(id, &header, len, roster, origin) {
            return Judgement::Refused {
                verdict: Verdict::Ignore,
                code: "over-quota",
                detail: format!("member {} is over its quota in the group", header.member),
                claimed: Some(Box::new(Claimed::of(&header, id))),
            };
        }
        match admitted {
            Ok(admitted) => Judgement::Admitted(Box::new(admitted)),
            Err(AdmitError::Quarantined(quarantined)) => Judgement::Quarantined(quarantined),
            Err(error) => Judgement::refused(&error, Some(Claimed::of(&header, id))),
        }
    }

    /// A message that is held without its body comes with it.
    fn would_heal(&self, decoded: &Decoded) -> bool {
        decoded.has_body() && matches!(self.store.wants_body(decoded.message_id()), Ok(true))
    }

    /// Without a withdrawal that says so, an entry without its body is only a way to take a message's place.
    fn refuse_bare(&self, decoded: &Decoded, origin: Origin) -> Option<Judgement> {
        let verdict = match origin {
            Origin::Sync if self.may_be_bare(decoded) => return None,
            Origin::Sync | Origin::Own => Verdict::Ignore,
            Origin::Gossip { .. } => Verdict::Reject,
        };
        let detail = "the body is missing".to_owned();
        let claimed = Some(Box::new(Claimed::of(decoded.header(), decoded.message_id())));
        Some(Judgement::Refused { verdict, code: "bodiless", detail, claimed })
    }

    /// Charges the author, whose signature holds.
    fn within_quota(
        &self,
        id: MessageId,
        header: &Header,
        bytes: usize,
        roster: &Roster,
        origin: Origin,
    ) -> bool {
        // Admission refuses what is of no group.
        let Some(group) = roster.charter().group(header.group) else { return true };
        let (member, created, now) = (header.member, header.created, Instant::now());
        let mut quotas = self.quotas.lock().unwrap_or_else(PoisonError::into_inner);
        quotas.once(id, |quotas| match origin {
            Origin::Gossip { .. } => quotas.gossiped(group, member, created, bytes, now),
            Origin::Sync => quotas.synced(group, member, created, bytes, now),
            Origin::Own => true,
        })
    }
}

/// What age makes of an entry without its body. Gossip brings only what is new.
fn bare_by_age(entry: &Decoded, roster: &Roster, origin: Origin) -> Bare {
    let header = entry.header();
    match origin {
        Origin::Sync => retention::bare(roster, header.group, header.created, clock::now()),
        Origin::Gossip { .. } | Origin::Own => Bare::Missing,
    }
}

/// Only what is kept vouches for anything. An entry whose follower was refused after all (its date, its author's quota)
/// stands by its own signature or not at all: else it would lie here with nothing that shows whose it is.
fn unvouch(judged: &mut [(Judgement, Option<Attributed>, Arrival)]) {
    let mut is_kept = true;
    for (judgement, itself, _) in judged.iter_mut().rev() {
        let claimed = itself.as_ref().map(|itself| Claimed::of(itself.header(), itself.message_id()));
        if let Some(itself) = itself.take()
            && !is_kept
            && let Err(error) = itself.verify()
        {
            *judgement = Judgement::refused(&error, claimed);
        }
        is_kept = matches!(judgement, Judgement::Admitted(_) | Judgement::Quarantined(_) | Judgement::Known);
    }
}

/// An envelope that names a roster ahead of ours: what can be verified of it is.
fn ahead(claimed: &Decoded, roster: &Roster) -> Judgement {
    let author = match claimed.is_signed_by_known(roster) {
        Some(true) => Some(claimed.header().member),
        None => None,
        // A certificate of ours is named and did not sign this for a log of its own. The log ahead cannot change that.
        Some(false) => {
            return Judgement::Refused {
                verdict: Verdict::Ignore,
                code: "bad-signature",
                detail: "named certificate did not sign it".to_owned(),
                claimed: Some(Box::new(Claimed::of(claimed.header(), claimed.message_id()))),
            };
        }
    };
    Judgement::Ahead { id: claimed.message_id(), bytes: claimed.bytes().to_vec(), author }
}
