//! Opening what can be opened, and one synced batch for many messages.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use belfry_proto::{
    crypto::sign::PublicKey,
    envelope::{Admitted, ParseError, Publication, Quarantined, RecipientContext, open_block},
    id::{GroupId, KeyId, MemberId, MessageId},
    time::Timestamp,
    trust::roster::Roster,
    verdict::Verdict,
};
use futures::executor::block_on;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::{Departures, Ingest, Kept};
use crate::{
    clock,
    feed::Notice,
    network::Ticket,
    refusals::Claimed,
    rows,
    store::{
        Answer, Change, Committed, EnvelopeRow, HandedIn, MessageState, ParkRow, Parker, Prepared, WriteError,
    },
};

/// Where an envelope came from, and who waits for what becomes of it.
pub(super) struct Arrival {
    pub(super) from: PublicKey,
    pub(super) waits: Waits,
}

/// Who waits.
pub(super) enum Waits {
    /// Nobody: it was here before.
    Nobody,
    /// Sync, for what became of a page, of which this is the envelope at that place.
    Sync(Arc<Answers>, usize),
    /// Gossipsub, to forward it.
    Gossip(Ticket),
}

impl Arrival {
    /// What gossipsub waits with, once.
    pub(super) fn ticket(&mut self) -> Option<Ticket> {
        match std::mem::replace(&mut self.waits, Waits::Nobody) {
            Waits::Gossip(ticket) => Some(ticket),
            waits => {
                self.waits = waits;
                None
            }
        }
    }

    /// Whether sync waits for it.
    const fn is_waited_for(&self) -> bool {
        matches!(self.waits, Waits::Sync(..))
    }

    /// Answers sync. Gossipsub has its answer by a verdict.
    pub(super) fn answer(self, kept: Kept) {
        if let Waits::Sync(answers, at) = self.waits {
            answers.note(at, kept);
        }
    }
}

/// What became of the envelopes of a page. Sync hears of it once all are done with, those that were lost on the way, too.
pub(super) struct Answers {
    kept: Mutex<Vec<Kept>>,
    done: Option<oneshot::Sender<Vec<Kept>>>,
}

impl Answers {
    /// Of so many envelopes.
    pub(super) fn of(count: usize, done: oneshot::Sender<Vec<Kept>>) -> Arc<Self> {
        Arc::new(Self { kept: Mutex::new(vec![Kept::Refused("not-stored"); count]), done: Some(done) })
    }

    fn note(&self, at: usize, kept: Kept) {
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(one) = all.get_mut(at) {
            *one = kept;
        }
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        if let Some(done) = self.done.take() {
            let kept = self.kept.get_mut().unwrap_or_else(PoisonError::into_inner);
            let _ = done.send(std::mem::take(kept));
        }
    }
}

/// What the judge lets through to the store.
pub(super) enum Arrived {
    /// Shown once it opens.
    Admitted(Box<Admitted>),
    /// Kept, hidden.
    Quarantined(Box<Quarantined>),
}

/// A row made for the writer, with what is to be told when it is durable.
pub(super) struct Ready {
    row: Prepared,
    arrival: Arrival,
    what: What,
}

enum What {
    Envelope {
        claimed: Claimed,
        /// The key it waits for, if it could not be opened.
        waits: Option<KeyId>,
    },
    Parked,
}

/// Envelopes of which there is more to tell than their verdict, and what became of each.
pub(crate) struct Departed {
    envelopes: Vec<(Arrival, What)>,
    answers: Vec<Answer>,
}

/// Changes that are written by whoever has them, if nobody writes: more wait for the writer, who gathers what comes
/// meanwhile. What gossip brings is one at a time while there is no rush.
const FEW: usize = 4;

impl Ingest {
    /// Opens what can be opened, and makes the row.
    pub(super) fn ready(&self, envelope: &Arrived, arrival: Arrival, roster: &Roster) -> Ready {
        let row = self.row(envelope, roster);
        let waits = (row.state == MessageState::Sealed && !row.opens_later).then_some(row.key_id).flatten();
        let header = match envelope {
            Arrived::Admitted(admitted) => admitted.header(),
            Arrived::Quarantined(quarantined) => quarantined.header(),
        };
        let what = What::Envelope { claimed: Claimed::of(header, row.id), waits };
        Ready { row: self.store.prepare(Change::Envelope(Box::new(row))), arrival, what }
    }

    /// The row of an envelope ahead of our roster.
    pub(super) fn parked(
        &self,
        id: MessageId,
        bytes: Vec<u8>,
        author: Option<MemberId>,
        arrival: Arrival,
    ) -> Ready {
        self.behind.notice(arrival.from);
        let parker = author.map_or(Parker::Peer(arrival.from), Parker::Author);
        let row = ParkRow { id, parker, received: clock::now(), bytes };
        Ready { row: self.store.prepare(Change::Park(row)), arrival, what: What::Parked }
    }

    /// Queues a chunk for the writer. What is left to do then is to write it.
    pub(super) fn depart(&self, chunk: Vec<Ready>, departures: &Departures) -> impl FnOnce() + use<> {
        let is_few = chunk.len() <= FEW;
        let handed_in = (!chunk.is_empty()).then(|| self.hand_in(chunk, departures)).flatten();
        move || {
            if let Some(handed_in) = handed_in.filter(|_| is_few) {
                handed_in.write();
            }
        }
    }

    fn hand_in(&self, chunk: Vec<Ready>, departures: &Departures) -> Option<HandedIn> {
        let part = |Ready { row, mut arrival, what }| (row, (arrival.ticket(), (arrival, what)));
        let (rows, (tickets, envelopes)): (_, (Vec<_>, Vec<_>)) = chunk.into_iter().map(part).unzip();
        let network = self.network.clone();
        // A place among those that are told of, so that whoever writes need not wait for one. There is none once the daemon
        // stops.
        let place = block_on(departures.clone().reserve_owned()).ok();
        // What gossip brought is forwarded the moment it is durable: neighbours heard that it is here, and meanwhile save
        // each other two copies of five; and nobody forwards what it could not serve later.
        let told = move |answers: &[Answer]| {
            for (ticket, answer) in tickets.into_iter().zip(answers) {
                let verdict = match answer {
                    Err(_) | Ok(Committed::TooManyLogs) => Verdict::Ignore,
                    Ok(_) => Verdict::Accept,
                };
                if let Some(ticket) = ticket
                    && !network.verdict_at_once(ticket, verdict)
                {
                    tracing::debug!("the network takes no verdicts now: a message is left to sync");
                }
            }
            let is_all = envelopes.iter().zip(answers).all(|((arrival, what), answer)| {
                is_plain(answer)
                    && matches!(what, What::Envelope { waits: None, .. })
                    && !arrival.is_waited_for()
            });
            if let Some(place) = place.filter(|_| !is_all) {
                place.send(Departed { envelopes, answers: answers.to_vec() });
            }
        };
        match self.store.hand_in_telling_blocking(rows, Box::new(told)) {
            Ok(handed_in) => Some(handed_in),
            Err(error) => {
                tracing::error!("envelopes not stored: {error}");
                None
            }
        }
    }

    /// Tells what became of envelopes that are durable, until the judge ends.
    pub(super) async fn run_keep(self, mut departed: mpsc::Receiver<Departed>) {
        while let Some(Departed { envelopes, answers }) = departed.recv().await {
            let mut wanted = BTreeSet::new();
            for ((arrival, what), answer) in envelopes.into_iter().zip(answers) {
                if let What::Envelope { ref claimed, waits: Some(key) } = what {
                    wanted.insert((key, claimed.group, claimed.member));
                }
                self.acknowledge(arrival, &what, answer);
            }
            for (key, group, author) in wanted {
                self.wanted(key, group, author);
            }
        }
    }

    /// The row an admitted envelope becomes, opened if its key is here.
    fn row(&self, envelope: &Arrived, roster: &Roster) -> EnvelopeRow {
        let row = self.unweighed(envelope, roster);
        let header = match envelope {
            Arrived::Admitted(admitted) => admitted.header(),
            Arrived::Quarantined(quarantined) => quarantined.header(),
        };
        let withdraws = rows::withdraws(roster, row.id, header, row.received);
        EnvelopeRow { withdraws, ..row }
    }

    fn unweighed(&self, envelope: &Arrived, roster: &Roster) -> EnvelopeRow {
        let judged_at = roster.version().height;
        let admitted = match envelope {
            Arrived::Admitted(admitted) => admitted,
            Arrived::Quarantined(q) => {
                let (header, id) = (q.header(), q.message_id());
                let row = rows::hidden(header, id, q.bytes(), !q.lacks_body(), clock::now(), judged_at);
                return EnvelopeRow { is_vouched: q.is_vouched(), ..row };
            }
        };
        let is_vouched = admitted.is_vouched();
        let (header, id) = (admitted.header(), admitted.message_id());
        let is_whole = !admitted.lacks_body();
        if admitted.is_in_closed_log() {
            let row = rows::hidden(header, id, admitted.bytes(), is_whole, clock::now(), judged_at);
            return EnvelopeRow {
                is_cut_point: !admitted.is_below_cut(),
                is_listed: true,
                is_vouched,
                ..row
            };
        }
        let (state, now) = (MessageState::Sealed, clock::now());
        let row = rows::envelope(header, id, admitted.bytes(), is_whole, state, now, judged_at);
        let mut row = EnvelopeRow { is_vouched, ..row };
        match self.open(admitted, roster) {
            Opening::Opened(publication) => {
                row.state = MessageState::Opened;
                row.content = Some(rows::opened(&publication, admitted, roster));
            }
            Opening::Waits => {}
            Opening::Later => row.opens_later = true,
            Opening::NotForUs if !is_whole => {
                (row.state, row.reason) = rows::bare(header, roster, self.past_by(roster, now));
            }
            Opening::NotForUs => row.state = MessageState::Closed,
            Opening::Unreadable(reason) => {
                row.state = MessageState::Closed;
                row.reason = Some(reason);
            }
        }
        row
    }

    /// By when a body that did not come is past its retention for good: our clock or, while others do not vouch for it, no later than
    /// the newest entry of the admin log was made. By one that is ahead, what others keep would never be asked for again; what is
    /// past all the same, the next look at what is held finds ([`super::retain`]).
    fn past_by(&self, roster: &Roster, now: Timestamp) -> Timestamp {
        if self.store.is_clock_sure(now) {
            return now;
        }
        let newest = roster.records().last().map(|record| record.statement.made);
        now.min(newest.map_or(roster.charter().issued(), |made| made.max(roster.charter().issued())))
    }

    /// Tries every key we hold. A body that opens to something that does not parse is its author's
    /// fault: the envelope is kept and carried, its content is not shown.
    pub(super) fn open(&self, admitted: &Admitted, roster: &Roster) -> Opening {
        let header = admitted.header();
        if header.sealing().is_none() || !admitted.has_body() {
            return Opening::NotForUs;
        }
        if !self.reads(header.group, roster) {
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

    /// Whether this node's certificate reads a group.
    pub(super) fn reads(&self, group: GroupId, roster: &Roster) -> bool {
        let ours = roster.certificate(self.identity.serial);
        ours.is_some_and(|certificate| certificate.groups.contains_key(&group))
    }

    /// Tells what became of an envelope.
    fn acknowledge(&self, arrival: Arrival, what: &What, committed: Answer) {
        let kept = match *what {
            What::Envelope { ref claimed, .. } => self.stored(committed, &arrival, claimed),
            What::Parked => match committed {
                Ok(_) => Kept::Parked,
                Err(error) => {
                    tracing::warn!("an envelope ahead of the roster was not parked: {error}");
                    self.network.refusals().count(self.way(&arrival), "not-stored");
                    Kept::Refused("not-stored")
                }
            },
        };
        arrival.answer(kept);
    }

    fn stored(&self, committed: Result<Committed, WriteError>, arrival: &Arrival, claimed: &Claimed) -> Kept {
        let Claimed { id, group, member, .. } = *claimed;
        match committed {
            Ok(Committed::Stored { gap, unjudged, .. }) => {
                if unjudged {
                    self.feed.notify(Notice::LogUnjudged);
                }
                // A page from sync fills gaps by itself; only gossip tells of new ones.
                if gap && !arrival.is_waited_for() {
                    self.feed.notify(Notice::Gap { group, from: arrival.from });
                }
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
                let detail =
                    format!("a log more than one certificate of member {member} may have in a group");
                self.refused(arrival, "too-many-logs", detail, Some(Box::new(*claimed)));
                Kept::Refused("too-many-logs")
            }
            Ok(Committed::Done | Committed::Outdated | Committed::More | Committed::Reweighed { .. }) => {
                Kept::Stored
            }
            Err(error) => {
                tracing::error!(message = %id, "not stored: {error}");
                self.refused(arrival, "not-stored", error.to_string(), Some(Box::new(*claimed)));
                Kept::Refused("not-stored")
            }
        }
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

/// Stored, and nothing follows from it.
const fn is_plain(answer: &Answer) -> bool {
    matches!(answer, Ok(Committed::Stored { gap: false, unjudged: false, .. }))
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
