//! Opening what can be opened, and one synced batch for many messages.

use std::sync::PoisonError;

use belfry_proto::{
    envelope::{Admitted, Header, Publication, RecipientContext, open_block},
    id::{Height, MessageId},
};
use futures::future::join_all;
use tokio::{sync::mpsc, time::Instant};

use super::{Arrival, Arrived, Ingest, Kept};
use crate::{
    clock,
    feed::Notice,
    rows,
    store::{Change, Committed, EnvelopeRow, MessageState},
};

/// Arrivals taken in one go; as many as one synced batch holds.
const BATCH: usize = 256;

impl Ingest {
    /// Stores admitted envelopes until the judge ends.
    pub(super) async fn run_keep(self, mut admitted: mpsc::Receiver<Arrival>) {
        let mut batch = Vec::with_capacity(BATCH);
        while admitted.recv_many(&mut batch, BATCH).await > 0 {
            let arrivals = std::mem::take(&mut batch);
            let this = self.clone();
            let opened = tokio::task::spawn_blocking(move || {
                arrivals
                    .into_iter()
                    .map(|arrival| {
                        let row = this.row(&arrival);
                        (arrival, row)
                    })
                    .collect::<Vec<_>>()
            })
            .await;
            let commits =
                opened.unwrap_or_default().into_iter().map(|(arrival, row)| self.store_one(arrival, row));
            join_all(commits).await;
        }
    }

    /// The row an admitted envelope becomes, opened if its key is here.
    fn row(&self, arrival: &Arrival) -> EnvelopeRow {
        let admitted = match &arrival.envelope {
            Arrived::Admitted(admitted) => admitted,
            Arrived::Quarantined(q) => {
                let (header, id) = (q.header(), q.message_id());
                return hidden(header, id, q.bytes(), !q.lacks_body(), arrival.judged_at);
            }
        };
        let (header, id) = (admitted.header(), admitted.message_id());
        let is_whole = !admitted.lacks_body();
        if admitted.is_in_closed_log() {
            let row = hidden(header, id, admitted.bytes(), is_whole, arrival.judged_at);
            return EnvelopeRow { is_cut_point: !admitted.is_below_cut(), ..row };
        }
        let (state, now) = (MessageState::Sealed, clock::now());
        let mut row = rows::envelope(header, id, admitted.bytes(), is_whole, state, now, arrival.judged_at);
        match self.open(admitted) {
            Opening::Opened(publication) => {
                row.state = MessageState::Opened;
                row.content = Some(rows::opened(&publication, admitted));
            }
            Opening::Waits => {}
            Opening::Later => row.opens_later = true,
            Opening::NotForUs => row.state = MessageState::Closed,
            Opening::Unreadable(reason) => {
                row.state = MessageState::Closed;
                row.reason = Some(reason);
            }
        }
        row
    }

    /// Tries every key we hold. A body that opens to something that does not parse is its author's
    /// fault: the envelope is kept and carried, its content is not shown.
    pub(super) fn open(&self, admitted: &Admitted) -> Opening {
        let header = admitted.header();
        if header.sealing().is_none() || !admitted.has_body() {
            return Opening::NotForUs;
        }
        let reads = self
            .roster
            .snapshot()
            .certificate(self.identity.serial)
            .is_some_and(|certificate| certificate.groups.contains_key(&header.group));
        if !reads {
            return Opening::NotForUs;
        }
        let Some(key_id) = header.key_id() else { return Opening::NotForUs };
        let opened = if let Some(block) = admitted.recipients_block() {
            let mut quotas = self.quotas.lock().unwrap_or_else(PoisonError::into_inner);
            if !quotas.tried(header.member, Instant::now()) {
                return Opening::Later;
            }
            drop(quotas);
            match open_block(&self.identity.kem, RecipientContext::of(header), block, key_id) {
                Some(key) => admitted.open_with(&key),
                None => return Opening::NotForUs,
            }
        } else {
            match self.store.key(key_id) {
                Ok(Some(row)) => match row.content_key() {
                    Some(key) => admitted.open(&key),
                    None => return Opening::Waits,
                },
                Ok(None) => return Opening::Waits,
                Err(error) => {
                    tracing::warn!(key = %key_id, "a content key cannot be read: {error}");
                    return Opening::Waits;
                }
            }
        };
        match opened.map_err(|e| e.to_string()).and_then(|opened| opened.parse().map_err(|e| e.to_string())) {
            Ok(publication) => Opening::Opened(Box::new(publication)),
            Err(error) => {
                tracing::warn!(message = %admitted.message_id(), member = %header.member, "content not shown: {error}");
                Opening::Unreadable(error)
            }
        }
    }

    async fn store_one(&self, arrival: Arrival, row: EnvelopeRow) {
        let (group, member, id, waits) = (
            row.group,
            row.member,
            row.id,
            (row.state == MessageState::Sealed && !row.opens_later).then_some(row.key_id).flatten(),
        );
        let kept = match self.store.commit(Change::Envelope(Box::new(row))).await {
            Ok(Committed::Stored { gap, unjudged, .. }) => {
                if unjudged {
                    self.feed.notify(Notice::LogUnjudged);
                }
                self.told(group, gap, &arrival);
                Kept::Stored
            }
            Ok(Committed::Duplicate) => Kept::Known,
            Ok(Committed::Fork { existing }) => {
                tracing::error!(message = %id, %existing, member.id = %member,
                    "member {member} signed two messages for one place in its log");
                self.feed.notify(Notice::LogUnjudged);
                Kept::Stored
            }
            Ok(Committed::TooManyLogs) => {
                tracing::warn!(message = %id, member.id = %member, "member {member} opens more logs than it may");
                Kept::Refused("too-many-logs")
            }
            Ok(_) => Kept::Stored,
            Err(error) => {
                tracing::error!(message = %id, "not stored: {error}");
                Kept::Refused("not-stored")
            }
        };
        if let Some(key) = waits {
            self.wanted(key, group, member);
        }
        if let Some(done) = arrival.done {
            let _ = done.send(kept);
        }
    }

    fn told(&self, group: belfry_proto::id::GroupId, gap: bool, arrival: &Arrival) {
        self.feed.notify(Notice::Stored { group });
        // A page from sync fills gaps by itself; only gossip tells of new ones.
        if gap && arrival.done.is_none() {
            self.feed.notify(Notice::Gap { group, from: arrival.from });
        }
    }

    fn wanted(
        &self,
        key: belfry_proto::id::KeyId,
        group: belfry_proto::id::GroupId,
        author: belfry_proto::id::MemberId,
    ) {
        // The key may have come while its envelope was on the way to disk.
        let notice = if matches!(self.store.key(key), Ok(Some(_))) {
            Notice::KeyArrived(key)
        } else {
            Notice::KeyWanted { key, group, author }
        };
        self.feed.notify(notice);
    }
}

/// What came of trying to open.
pub(super) enum Opening {
    Opened(Box<Publication>),
    /// Ours to read once the key comes.
    Waits,
    /// Its author has used up what may be tried in an hour.
    Later,
    /// A carrier's, another group's, or other recipients'.
    NotForUs,
    /// Opens, and is not what it should be.
    Unreadable(String),
}

/// The row of an envelope whose log is closed: hidden until the log has been judged with it.
fn hidden(header: &Header, id: MessageId, bytes: &[u8], is_whole: bool, judged_at: Height) -> EnvelopeRow {
    let state = MessageState::Quarantined;
    let row = rows::envelope(header, id, bytes, is_whole, state, clock::now(), judged_at);
    EnvelopeRow { in_closed_log: true, ..row }
}
