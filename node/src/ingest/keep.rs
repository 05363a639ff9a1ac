//! Opening what can be opened, and one synced batch for many messages.

use std::{collections::BTreeSet, pin::pin, sync::PoisonError};

use belfry_proto::{
    envelope::{Admitted, Header, ParseError, Publication, RecipientContext, open_block},
    id::{GroupId, Height, KeyId, MemberId, MessageId},
    trust::roster::Roster,
};
use futures::FutureExt as _;
use tokio::{sync::mpsc, time::Instant};

use super::{Arrival, Arrived, Ingest, Kept, parallel};
use crate::{
    clock,
    feed::Notice,
    rows,
    store::{Change, Committed, EnvelopeRow, MessageState, Pending, WriteError},
};

/// Arrivals taken in one go; as many as one synced batch holds.
const BATCH: usize = 256;
/// Batches waiting for their acknowledgement, which the writer's queue bounds already. Too low ⇒ opening waits for
/// the disk, too high ⇒ nothing.
const UNDER_WAY: usize = 8;

/// An envelope on its way to the disk, with what is to be told then.
struct Departed {
    arrival: Arrival,
    group: GroupId,
    member: MemberId,
    id: MessageId,
    /// The key it waits for, if it could not be opened.
    waits: Option<KeyId>,
    pending: Result<Pending, WriteError>,
}

impl Ingest {
    /// Stores admitted envelopes until the judge ends.
    pub(super) async fn run_keep(self, admitted: mpsc::Receiver<Arrival>) {
        let (to_acknowledge, departed) = mpsc::channel(UNDER_WAY);
        tokio::join!(self.run_open(admitted, to_acknowledge), self.run_acknowledge(departed));
    }

    /// Opens what can be opened and queues it for the writer, in the order of arrival.
    async fn run_open(&self, mut admitted: mpsc::Receiver<Arrival>, departed: mpsc::Sender<Vec<Departed>>) {
        let mut batch = Vec::with_capacity(BATCH);
        while admitted.recv_many(&mut batch, BATCH).await > 0 {
            let (this, roster) = (self.clone(), self.roster.snapshot());
            let opened = parallel::map(std::mem::take(&mut batch), move |arrival| {
                let row = this.row(&arrival, &roster);
                let waits =
                    (row.state == MessageState::Sealed && !row.opens_later).then_some(row.key_id).flatten();
                let (group, member, id) = (row.group, row.member, row.id);
                let prepared = this.store.prepare(Change::Envelope(Box::new(row)));
                (prepared, move |pending| Departed { arrival, group, member, id, waits, pending })
            })
            .await;
            let mut envelopes = Vec::with_capacity(BATCH);
            for (prepared, departing) in opened.unwrap_or_default() {
                envelopes.push(departing(self.store.enqueue(prepared).await));
            }
            if departed.send(envelopes).await.is_err() {
                return;
            }
        }
    }

    /// Tells what became of queued envelopes, once they are durable.
    async fn run_acknowledge(&self, mut departed: mpsc::Receiver<Vec<Departed>>) {
        // Told together when the disk is waited for anyway: one notice a batch, not one a message.
        let mut stored = BTreeSet::new();
        while let Some(envelopes) = departed.recv().await {
            for envelope in envelopes {
                let mut acknowledged = pin!(self.acknowledge(envelope));
                let group = match acknowledged.as_mut().now_or_never() {
                    Some(group) => group,
                    None => {
                        self.tell(&mut stored);
                        acknowledged.await
                    }
                };
                stored.extend(group);
            }
            self.tell(&mut stored);
        }
    }

    fn tell(&self, stored: &mut BTreeSet<GroupId>) {
        while let Some(group) = stored.pop_first() {
            self.feed.notify(Notice::Stored { group });
        }
    }

    /// The row an admitted envelope becomes, opened if its key is here.
    fn row(&self, arrival: &Arrival, roster: &Roster) -> EnvelopeRow {
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
        match self.open(admitted, roster) {
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
    pub(super) fn open(&self, admitted: &Admitted, roster: &Roster) -> Opening {
        let header = admitted.header();
        if header.sealing().is_none() || !admitted.has_body() {
            return Opening::NotForUs;
        }
        let reads = roster
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
            match self.keyring.key(&self.store, key_id) {
                Ok(Some(key)) => admitted.open(&key),
                Ok(None) => return Opening::Waits,
                Err(error) => {
                    tracing::warn!(key = %key_id, "a content key cannot be read: {error}");
                    return Opening::Waits;
                }
            }
        };
        match opened.map_err(|e| e.to_string()).and_then(|opened| opened.parse().map_err(|e| unreadable(&e)))
        {
            Ok(publication) => Opening::Opened(Box::new(publication)),
            Err(error) => {
                tracing::warn!(message = %admitted.message_id(), member = %header.member, "content not shown: {error}");
                Opening::Unreadable(error)
            }
        }
    }

    /// Waits until an envelope is durable, and answers; gives its group if it was stored.
    async fn acknowledge(&self, envelope: Departed) -> Option<GroupId> {
        let Departed { arrival, group, member, id, waits, pending } = envelope;
        let committed = match pending {
            Ok(pending) => pending.durable().await,
            Err(error) => Err(error),
        };
        let (kept, stored) = match committed {
            Ok(Committed::Stored { gap, unjudged, .. }) => {
                if unjudged {
                    self.feed.notify(Notice::LogUnjudged);
                }
                // A page from sync fills gaps by itself; only gossip tells of new ones.
                if gap && arrival.done.is_none() {
                    self.feed.notify(Notice::Gap { group, from: arrival.from });
                }
                (Kept::Stored, Some(group))
            }
            Ok(Committed::Duplicate) => (Kept::Known, None),
            Ok(Committed::Fork { existing }) => {
                tracing::error!(message = %id, %existing, member.id = %member,
                    "member {member} signed two messages for one place in its log");
                self.feed.notify(Notice::LogUnjudged);
                (Kept::Stored, Some(group))
            }
            Ok(Committed::TooManyLogs) => {
                tracing::warn!(message = %id, member.id = %member, "member {member} opens more logs than it may");
                (Kept::Refused("too-many-logs"), None)
            }
            Ok(Committed::Done | Committed::Outdated) => (Kept::Stored, None),
            Err(error) => {
                tracing::error!(message = %id, "not stored: {error}");
                (Kept::Refused("not-stored"), None)
            }
        };
        if let Some(key) = waits {
            self.wanted(key, group, member);
        }
        if let Some(done) = arrival.done {
            let _ = done.send(kept);
        }
        stored
    }

    fn wanted(&self, key: KeyId, group: GroupId, author: MemberId) {
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

/// The reason as the log and, unsealed, the store may have it: not a word of what was opened.
fn unreadable(error: &ParseError) -> String {
    match error {
        ParseError::Malformed(malformed) => malformed.to_string(),
        ParseError::Object { position, .. } => format!("object {position} breaks a rule of STIX 2.1"),
    }
}

#[cfg(test)]
mod tests {
    use belfry_proto::stix::object::Object;

    use super::*;

    #[test]
    fn why_content_is_not_shown_tells_nothing_of_it() {
        let object =
            br#"{"type":"indicator","id":"indicator--00000000-0000-4000-8000-000000000001","canary":1}"#;
        let source = Object::parse(object).unwrap_err();
        assert!(source.to_string().contains("indicator--0"), "the full text names the object: {source}");
        let told = unreadable(&ParseError::Object { position: 3, source });
        assert_eq!(told, "object 3 breaks a rule of STIX 2.1");
    }
}
