//! Answers to `/belfry/sync`, each from one bounded read.
//!
//! ```text
//! request ─▶ over its peer's budget? ─▶ busy
//!         └▶ one of PLACES ─▶ entitled? ─┬▶ one bounded read on a blocking thread ─▶ reply, charged by its size
//!                                        └▶ a pushed contact record: membership's
//! ```

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use belfry_proto::{
    crypto::sign::PublicKey,
    id::{GroupId, LogId, MemberId, MessageId, Sequence},
    limits,
    schema::{
        Addresses, ContactTaken, Fork, Page, PullContacts, PullFork, PullFrontier, PullRange, PullSlices,
        Refusal, Signed, SyncRequest, SyncResponse, sync_request, sync_response::Response,
    },
    time::Timestamp,
    trust::roster::{Roster, Standing},
};
use prost::Message;
use rand::seq::SliceRandom as _;
use tokio::{
    sync::{Semaphore, mpsc},
    time::Instant,
};

use super::{
    budget::Budgets,
    counters::{Counters, more},
};
use crate::{
    clock, heard,
    network::Asked,
    roster::LiveRoster,
    store::{ReadError, Served, Store, WithdrawalRow},
};

/// Requests served side by side. A slow read holds up its own place; more would only contend for the disk,
/// and each holds a reply of up to 1 MiB.
const PLACES: usize = 16;

/// What comparing contacts is charged as at least, bytes: its answer is a hash where nothing is new, but every member's keys
/// are looked up for it, and that takes as long as reading this much.
const COMPARING: usize = 64 * 1024;

/// Bytes of withdrawals on one page: it ends a largest envelope below the largest reply.
const MAX_EXCUSES: usize = limits::MAX_TRANSMIT - 16 * 1024;

/// The serving half of the sync use-case.
pub struct Serving {
    pub(crate) store: Store,
    pub(crate) roster: LiveRoster,
    pub(crate) counters: Arc<Counters>,
    /// Where pushed contact records go, and which are held.
    pub(crate) contacts: heard::Contacts,
}

impl Serving {
    /// Answers peers until the network ends.
    pub async fn run(self, mut asked: mpsc::Receiver<Asked<SyncRequest, SyncResponse>>) {
        let places = Arc::new(Semaphore::new(PLACES));
        let budgets = Arc::new(Mutex::new(Budgets::default()));
        while let Some(Asked { from, request, reply, .. }) = asked.recv().await {
            let may = budgets.lock().unwrap_or_else(PoisonError::into_inner).begin(from, Instant::now());
            if !may {
                more(&self.counters.turned_away, 1);
                reply.send(SyncResponse { response: Some(Response::Refused(Refusal::Busy.into())) });
                continue;
            }
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let (store, roster) = (self.store.clone(), self.roster.snapshot());
            let book = self.contacts.clone();
            let (budgets, counters) = (Arc::clone(&budgets), Arc::clone(&self.counters));
            let least = least(&request);
            tokio::spawn(async move {
                let answered = tokio::task::spawn_blocking(move || {
                    answer(&store, &roster, &book, &from, request, clock::now())
                })
                .await;
                let len = answered.as_ref().map_or(0, SyncResponse::encoded_len).max(least);
                budgets.lock().unwrap_or_else(PoisonError::into_inner).end(&from, len);
                if let Ok(response) = answered {
                    more(&counters.served, 1);
                    reply.send(response);
                }
                drop(place);
            });
        }
    }
}

/// What an answer is charged as at least, bytes.
const fn least(request: &SyncRequest) -> usize {
    match request.request {
        Some(sync_request::Request::Contacts(_)) => COMPARING,
        _ => 0,
    }
}

fn answer(
    store: &Store,
    roster: &Roster,
    book: &heard::Contacts,
    from: &PublicKey,
    request: SyncRequest,
    now: Timestamp,
) -> SyncResponse {
    let response = match request.request {
        Some(sync_request::Request::Frontier(pull)) => compare(store, roster, from, &pull, now),
        Some(sync_request::Request::Range(pull)) => range(store, roster, from, &pull, now),
        Some(sync_request::Request::Addresses(_)) => addresses(store, roster, from, now),
        Some(sync_request::Request::Fork(pull)) => fork(store, roster, from, &pull, now),
        Some(sync_request::Request::Slices(pull)) => slices(store, roster, from, &pull, now),
        Some(sync_request::Request::Contacts(pull)) => contacts(store, roster, book, from, &pull, now),
        Some(sync_request::Request::PushContact(record)) => pushed(roster, book, from, record, now),
        None => Err(Refusal::Malformed),
    };
    SyncResponse { response: Some(response.unwrap_or_else(|refusal| Response::Refused(refusal.into()))) }
}

/// What every member may have. Who is none any more stays connected until the network has heard.
fn admitted(roster: &Roster, from: &PublicKey, now: Timestamp) -> Result<(), Refusal> {
    if roster.is_admitted(from, now) { Ok(()) } else { Err(Refusal::NotCertified) }
}

/// Entitled readers and carriers; others could only gather ciphertext they have no business with.
fn entitled(roster: &Roster, from: &PublicKey, group: u32, now: Timestamp) -> Result<GroupId, Refusal> {
    let group = GroupId::new(group);
    let certificate = roster.by_node(from).ok_or(Refusal::NotCertified)?;
    admitted(roster, from, now)?;
    if certificate.carrier || roster.role(certificate.serial, group, now).is_some() {
        Ok(group)
    } else {
        Err(Refusal::NotEntitled)
    }
}

fn compare(
    store: &Store,
    roster: &Roster,
    from: &PublicKey,
    pull: &PullFrontier,
    now: Timestamp,
) -> Result<Response, Refusal> {
    let group = entitled(roster, from, pull.group, now)?;
    store.frontier(group).answer(pull).map_err(|_| Refusal::Malformed)
}

/// The sums of all slices, or the list of some.
fn slices(
    store: &Store,
    roster: &Roster,
    from: &PublicKey,
    pull: &PullSlices,
    now: Timestamp,
) -> Result<Response, Refusal> {
    let group = entitled(roster, from, pull.group, now)?;
    store.frontier(group).answer_slices(pull).map_err(|_| Refusal::Malformed)
}

fn range(
    store: &Store,
    roster: &Roster,
    from: &PublicKey,
    pull: &PullRange,
    now: Timestamp,
) -> Result<Response, Refusal> {
    let group = entitled(roster, from, pull.group, now)?;
    let log = LogId::try_from(pull.log.as_slice()).map_err(|_| Refusal::Malformed)?;
    if pull.from == 0 || pull.to < pull.from || pull.from > limits::MAX_SEQUENCE {
        return Err(Refusal::Malformed);
    }
    let last = pull.to.min(pull.from.saturating_add(limits::MAX_PAGE_ENVELOPES as u64 - 1));
    let served = store
        .stretch(
            group,
            log,
            Sequence::new(pull.from),
            Sequence::new(last),
            limits::MAX_REPLY - limits::MAX_TRANSMIT,
        )
        .map_err(|_| Refusal::Internal)?;
    let holds = !served.is_empty();
    let unsigned: Vec<bool> = served.iter().map(|one| one.unsigned).collect();
    let mut page = excused(store, group, served).map_err(|_| Refusal::Internal)?;
    // Nobody takes an entry that its author did not sign without the one after it.
    while page.envelopes.len().checked_sub(1).and_then(|last| unsigned.get(last)) == Some(&true) {
        page.envelopes.pop();
    }
    if page.envelopes.is_empty() && holds {
        // A body that is missing here, too, and no erasure is at hand to show for it; or the entry that vouches for what
        // is here: others may have it.
        return Err(Refusal::Unknown);
    }
    let more = !page.envelopes.is_empty() && pull.from + (page.envelopes.len() as u64) <= pull.to;
    Ok(Response::Page(Page { more, ..page }))
}

/// A page of entries, with the withdrawals that took the body of some of them, whether or not they stand today; up to
/// the first for which there is none, or no room.
fn excused(store: &Store, group: GroupId, served: Vec<Served>) -> Result<Page, ReadError> {
    let mut page = Page { envelopes: Vec::with_capacity(served.len()), ..Page::default() };
    let mut brought = BTreeSet::new();
    let mut room = MAX_EXCUSES;
    for Served { bytes, bare, expired, .. } in served {
        // Of what is past retention everybody knows by its date.
        if let Some((message, member)) = bare.filter(|_| !expired) {
            let erasures = store.erasures(message, group, member)?;
            if !erasures.iter().any(|row| brought.contains(&row.word.id)) {
                let Some((id, withdrawal)) = at_hand(store, &erasures)? else { break };
                if withdrawal.len() > room {
                    break;
                }
                room -= withdrawal.len();
                page.withdrawals.push(withdrawal);
                brought.insert(id);
            }
        }
        page.envelopes.push(bytes);
    }
    Ok(page)
}

/// The first of these whose envelope is here.
fn at_hand(store: &Store, erasures: &[WithdrawalRow]) -> Result<Option<(MessageId, Vec<u8>)>, ReadError> {
    for row in erasures {
        if let Some(withdrawal) = store.envelope(row.word.id)? {
            return Ok(Some((row.word.id, withdrawal)));
        }
    }
    Ok(None)
}

/// The proof that a log is forked, as its frontier here says.
fn fork(
    store: &Store,
    roster: &Roster,
    from: &PublicKey,
    pull: &PullFork,
    now: Timestamp,
) -> Result<Response, Refusal> {
    let group = entitled(roster, from, pull.group, now)?;
    let log = LogId::try_from(pull.log.as_slice()).map_err(|_| Refusal::Malformed)?;
    let internal = |_| Refusal::Internal;
    let row = store.log(group, log).filter(|row| row.frozen.get() > 0 && !row.surplus);
    // Known of, with one side being judged anew.
    let proof = store.fork_proof(&row.ok_or(Refusal::Unknown)?).map_err(internal)?.ok_or(Refusal::NotYet)?;
    let [one, other] = proof.envelopes;
    Ok(Response::Fork(Fork { one, other }))
}

fn addresses(store: &Store, roster: &Roster, from: &PublicKey, now: Timestamp) -> Result<Response, Refusal> {
    admitted(roster, from, now)?;
    let mut rows = store.addresses().map_err(|_| Refusal::Internal)?;
    // Nobody takes those of certificates that count no more, and there are more of them every year.
    rows.retain(|row| roster.standing(row.serial, now) == Standing::Valid);
    // Whose there is no room for now is among them another time.
    rows.shuffle(&mut rand::rng());
    let mut records = Vec::new();
    let mut room = limits::MAX_REPLY - 1024;
    for row in rows {
        if row.bytes.len() + 8 > room {
            break;
        }
        room -= row.bytes.len() + 8;
        records.push(Signed::decode(row.bytes.as_slice()).map_err(|_| Refusal::Internal)?);
    }
    Ok(Response::Addresses(Addresses { records }))
}

/// Contact records that count, if they come to another hash than the asker's.
fn contacts(
    store: &Store,
    roster: &Roster,
    book: &heard::Contacts,
    from: &PublicKey,
    pull: &PullContacts,
    now: Timestamp,
) -> Result<Response, Refusal> {
    admitted(roster, from, now)?;
    let answered = book.book().answer(pull, roster, now, |member| contact(store, member));
    answered.map(Response::Contacts).map_err(|_| Refusal::Malformed)
}

/// A member's record; none if it was let go just now, or its row does not read, which keeps nobody from the others.
fn contact(store: &Store, member: MemberId) -> Option<Signed> {
    let row = match store.contact(member) {
        Ok(row) => row?,
        Err(error) => {
            tracing::warn!(member.id = %member, "the contact record of {member} is not served: {error}");
            return None;
        }
    };
    Signed::decode(row.bytes.as_slice()).ok()
}

/// A contact record that is new to its sender.
fn pushed(
    roster: &Roster,
    book: &heard::Contacts,
    from: &PublicKey,
    record: Signed,
    now: Timestamp,
) -> Result<Response, Refusal> {
    admitted(roster, from, now)?;
    match book.pushed(*from, record) {
        true => Ok(Response::ContactTaken(ContactTaken {})),
        false => Err(Refusal::Busy),
    }
}

#[cfg(test)]
mod tests;
