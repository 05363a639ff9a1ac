//! Opening what can be opened, and one synced batch for many messages.

use belfry_proto::envelope::{Admitted, ParseError, Publication, RecipientContext, open_block};
use futures::future::join_all;
use tokio::sync::mpsc;

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
                let state = MessageState::Quarantined;
                let mut row = rows::envelope(header, id, q.bytes(), !q.lacks_body(), state, clock::now());
                row.reason = Some("quarantined".to_owned());
                return row;
            }
        };
        let (header, id) = (admitted.header(), admitted.message_id());
        let is_whole = !admitted.lacks_body();
        let mut row =
            rows::envelope(header, id, admitted.bytes(), is_whole, MessageState::Sealed, clock::now());
        match self.open(admitted) {
            Opening::Opened(publication) => {
                row.state = MessageState::Opened;
                row.content = Some(rows::opened(&publication, admitted));
            }
            Opening::Waits => {}
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
        match opened.map_err(|e| e.to_string()).and_then(|opened| opened.parse().map_err(|e| unreadable(&e)))
        {
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
            (row.state == MessageState::Sealed).then_some(row.key_id).flatten(),
        );
        let kept = match self.store.commit(Change::Envelope(Box::new(row))).await {
            Ok(Committed::Stored { gap, .. }) => {
                self.told(group, gap, &arrival);
                Kept::Stored
            }
            Ok(Committed::Duplicate) => Kept::Known,
            Ok(Committed::Fork { existing }) => {
                tracing::error!(message = %id, %existing, member.id = %member,
                    "member {member} signed two messages for one place in its log");
                Kept::Refused("fork")
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
    /// A carrier's, another group's, or other recipients'.
    NotForUs,
    /// Opens, and is not what it should be.
    Unreadable(String),
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
