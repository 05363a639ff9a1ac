//! Removals of another branch of the admin log, or ahead of ours: kept, applied at once, told on.
//!
//! ```text
//! gossip, hello, file ─▶ not decided here ─▶ durable ─▶ roster (live) ─▶ network (allow-list), feed ─▶ told on
//! a peer's other branch ─▶ where it leaves ours ─▶ its removals, a few pages ┘
//! our log decides on it │ a charter pins a branch ─▶ forgotten
//! ```
//!
//! The admins signed them, to the charter's threshold; who ordered them, and where, does not matter for as long as the
//! registrar is known to have signed two logs. Whoever is on our branch and met nobody of the other one hears of them from
//! us: by gossip, and once more whenever a peer becomes ready.

use std::collections::{BTreeMap, BTreeSet};

use belfry_proto::{
    crypto::{hash, sign::PublicKey},
    id::{Height, RosterVersion, StatementId},
    limits,
    schema::{self, AdminPage, HelloRequest, HelloResponse, PullAdmin, hello_request, hello_response},
    trust::{
        log::{LogError, VerifiedRecord, verify_record},
        on_sight::{RemovalSeen, UnorderedError},
        roster::Roster,
        statement::Statement,
    },
    verdict::{Judged as _, Verdict},
};
use prost::Message;

use super::{Command, Membership, transfer::PUSH_BYTES};
use crate::{
    feed::Notice,
    network::Network,
    refusals::Way,
    store::{Change, ReadError, Store},
};

/// Pages asked for to find where another branch leaves ours: halving a log of a quarter million entries takes ten.
const MAX_PROBES: usize = 20;
/// Pages read of another branch from there on, 256 entries each. Too few ⇒ of a long branch only gossip brings the rest; too
/// many ⇒ a peer that makes up branches costs that much traffic a hello.
const MAX_BRANCH: usize = 16;
/// Peers whose branches are remembered; more than that do not differ at once.
const PEERS: usize = 1024;

/// What is known of peers whose admin log is another than ours, and what they were told.
#[derive(Debug, Default)]
pub(super) struct Branches {
    /// The head a peer last said it has, where that is not in our log.
    claimed: BTreeMap<PublicKey, RosterVersion>,
    /// The one up to which its branch was read.
    read: BTreeMap<PublicKey, RosterVersion>,
    /// The admin log that a peer last said it has.
    announced: BTreeMap<PublicKey, RosterVersion>,
    /// What a peer was told since it came.
    told: BTreeMap<PublicKey, Telling>,
    /// The removals held when somebody was last told, and how many sets of them there were.
    held: (u64, Vec<StatementId>),
}

/// A set of removals, and the log of who is told: one that lacks a certificate drops what removes it, and is told again
/// once it has gone on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Telling {
    held: u64,
    theirs: Option<RosterVersion>,
}

impl Branches {
    pub(super) fn claimed(&mut self, peer: PublicKey, head: RosterVersion) {
        if self.claimed.len() >= PEERS {
            self.claimed.clear();
            self.read.clear();
        }
        self.claimed.insert(peer, head);
    }

    pub(super) fn announced(&mut self, peer: PublicKey, head: RosterVersion) {
        self.announced.insert(peer, head);
    }

    pub(super) fn gone(&mut self, peer: &PublicKey) {
        self.claimed.remove(peer);
        self.read.remove(peer);
        self.announced.remove(peer);
        self.told.remove(peer);
    }

    /// Whether a peer is to be told of these; from now on it counts as told, until [`Self::untold`].
    fn begin_telling(&mut self, peer: PublicKey, ids: Vec<StatementId>) -> Option<Telling> {
        if ids.is_empty() {
            return None;
        }
        if self.held.1 != ids {
            self.held = (self.held.0 + 1, ids);
        }
        let telling = Telling { held: self.held.0, theirs: self.announced.get(&peer).copied() };
        (self.told.insert(peer, telling) != Some(telling)).then_some(telling)
    }

    /// It did not take them: whenever it is ready again it is told again.
    pub(super) fn untold(&mut self, peer: &PublicKey, telling: Telling) {
        if self.told.get(peer) == Some(&telling) {
            self.told.remove(peer);
        }
    }

    /// Whether what a peer says it has is still to be read; from now on it is not.
    fn begin(&mut self, peer: PublicKey, head: RosterVersion) -> bool {
        self.read.insert(peer, head) != Some(head)
    }
}

/// Takes up what the store kept: the proofs that say from where on two branches differ, and the removals.
///
/// # Errors
/// [`ReadError`].
pub(crate) fn recall(store: &Store, roster: &mut Roster) -> Result<(), ReadError> {
    roster.fork_proven(store.equivocations()?.into_iter().map(|(height, _)| height));
    // It was verified when it came; whatever does not hold any more holds for nobody.
    let kept = store.removals_seen()?;
    let mut taken = BTreeSet::new();
    let read = |bytes: &Vec<u8>| removal(roster, &schema::Record::decode(bytes.as_slice()).ok()?, &mut taken);
    let kept: Vec<RemovalSeen> = kept.iter().filter_map(read).collect();
    roster.see_again(kept);
    Ok(())
}

/// The removal that a record holds, ordered or not, if it holds one that is signed and neither held nor decided here, nor
/// among those `taken` of the same page already.
pub(super) fn removal(
    roster: &Roster,
    record: &schema::Record,
    taken: &mut BTreeSet<StatementId>,
) -> Option<RemovalSeen> {
    let statement = unseen(roster, record, taken)?;
    let seen = match (&record.entry, &record.statement) {
        (None, Some(signed)) => RemovalSeen::unordered(roster.charters(), signed).ok()?,
        _ => RemovalSeen::of(&verify_record(roster.charters(), record).ok()?)?,
    };
    // Not before: an id covers no signatures, so a forged copy may come first.
    taken.insert(statement);
    Some(seen)
}

/// The statement of a record if it is a removal that is neither held nor decided here, nor `taken`. No signature is looked at.
fn unseen(roster: &Roster, record: &schema::Record, taken: &BTreeSet<StatementId>) -> Option<StatementId> {
    let statement = Statement::decode(&record.statement.as_ref()?.payload).ok()?;
    let is_known = roster.knows_removal(statement.id) || taken.contains(&statement.id);
    (statement.is_removal() && !is_known).then_some(statement.id)
}

/// What of another branch is handed to the loop, entry by entry: the first that is not ours, and removals that may be news.
pub(super) struct Reading<'a> {
    roster: &'a Roster,
    /// What comes now is not ours any more.
    has_left: bool,
    taken: BTreeSet<StatementId>,
}

impl<'a> Reading<'a> {
    pub(super) const fn of(roster: &'a Roster) -> Self {
        Self { roster, has_left: false, taken: BTreeSet::new() }
    }

    /// The record at a height, verified, if it is one of these.
    ///
    /// # Errors
    /// [`LogError`] of the first entry that is not ours; without its signatures nothing else is worth a word.
    pub(super) fn take(
        &mut self,
        height: u64,
        record: &schema::Record,
    ) -> Result<Option<VerifiedRecord>, LogError> {
        let is_first = !self.has_left && !is_ours(self.roster, height, record);
        self.has_left |= is_first;
        let unseen = unseen(self.roster, record, &self.taken);
        if !is_first && unseen.is_none() {
            return Ok(None);
        }
        let verified = match verify_record(self.roster.charters(), record) {
            Ok(verified) => verified,
            Err(error) if is_first => return Err(error),
            Err(_) => return Ok(None),
        };
        self.taken.extend(unseen);
        let is_news =
            unseen.is_some() && RemovalSeen::of(&verified).is_some_and(|seen| self.roster.may_be_news(&seen));
        Ok((is_first || is_news).then_some(verified))
    }
}

impl Membership {
    /// A record that our log has not: if it removes somebody, it does so from now on. True if that is news.
    pub(super) async fn see(&mut self, record: &VerifiedRecord) -> bool {
        match RemovalSeen::of(record) {
            Some(seen) => self.take_sight(seen).await,
            None => false,
        }
    }

    /// A record at a height that our log has, or beyond it: kept as proof where it is one, and applied where it removes
    /// somebody. True if either is news.
    pub(super) async fn told_earlier(&mut self, record: &VerifiedRecord) -> bool {
        // The proof first: it says which numbers mean another certificate there.
        let is_proof = self.judge_earlier(record).await == Verdict::Accept;
        self.see(record).await || is_proof
    }

    /// Makes a removal durable, then lets it hold.
    pub(super) async fn take_sight(&mut self, seen: RemovalSeen) -> bool {
        let now = self.roster_now();
        if !now.may_be_news(&seen) || !(now.is_ordered(&seen) || now.is_forked()) {
            return false;
        }
        let (statement, record) = (seen.id(), seen.record().encode_to_vec());
        let (serial, mut roster) = (seen.serial(), Roster::clone(&now));
        if !roster.see(seen) {
            return false;
        }
        if let Err(error) = self.store.commit(Change::RemovalSeen { statement, record }).await {
            tracing::error!("a removal could not be made durable, so it is not applied: {error}");
            return false;
        }
        let serial = serial.map_or(0, belfry_proto::id::Serial::get);
        tracing::warn!(
            certificate.serial = serial,
            "certificate {serial} is removed on sight, by a statement that our admin log has not decided on"
        );
        self.hold(roster).await;
        true
    }

    /// A removal that nobody ordered, from a peer or a file: it counts where the registrar is known to have signed two logs.
    ///
    /// # Errors
    /// [`UnorderedError::NotForked`].
    async fn take_unordered(&mut self, seen: RemovalSeen) -> Result<bool, UnorderedError> {
        if !self.roster_now().is_forked() {
            return Err(UnorderedError::NotForked);
        }
        Ok(self.take_sight(seen).await)
    }

    /// The same from a file, which only we have.
    pub(super) async fn imported_removal(&mut self, signed: schema::Signed) -> Result<bool, UnorderedError> {
        let seen = RemovalSeen::unordered(self.roster_now().charters(), &signed)?;
        let is_news = self.take_unordered(seen).await?;
        if is_news {
            self.spread_record(schema::Record { entry: None, statement: Some(signed) }).await;
        }
        Ok(is_news)
    }

    /// The same from a peer, verified or refused.
    pub(super) async fn judge_unordered(&mut self, seen: Result<RemovalSeen, UnorderedError>) -> Verdict {
        let taken = match seen {
            Ok(seen) => self.take_unordered(seen).await,
            Err(error) => Err(error),
        };
        match taken {
            Ok(true) => Verdict::Accept,
            Ok(false) => Verdict::Ignore,
            Err(error) => {
                tracing::debug!("removal without an entry refused: {error}");
                self.refused(&error)
            }
        }
    }

    /// Another height is proven to be forked: certificates from the lowest one on are not the same on both branches.
    pub(super) async fn fork_known(&mut self) {
        let heights = self.watch.borrow().equivocations.clone();
        let mut roster = Roster::clone(&self.roster_now());
        roster.fork_proven(heights);
        self.hold(roster).await;
    }

    /// The live roster with other removals in it.
    async fn hold(&mut self, roster: Roster) {
        let (is_same, height) = (roster.stands_as(&self.roster_now()), roster.version().height);
        self.roster.replace(roster);
        if !is_same {
            self.allow().await;
            self.subscribe().await;
            self.feed.notify(Notice::RosterChanged(height));
        }
    }

    /// Forgets rows of removals that were held `before` and are no more.
    pub(super) async fn forget_settled(&self, before: &Roster) {
        let ids: Vec<StatementId> = before.removals_seen().map(RemovalSeen::id).collect();
        self.forget(ids).await;
    }

    /// Forgets rows that a crash left behind: they were settled, and left out at the start.
    pub(super) async fn forget_left(&self) {
        let coalition = self.coalition;
        let id = |bytes: &Vec<u8>| {
            let statement = schema::Record::decode(bytes.as_slice()).ok()?.statement?;
            Some(hash::statement_id(coalition, &statement.payload))
        };
        let rows = self.store.removals_seen().unwrap_or_default();
        self.forget(rows.iter().filter_map(id).collect()).await;
    }

    /// Those of them that do not hold.
    async fn forget(&self, mut ids: Vec<StatementId>) {
        let now = self.roster_now();
        ids.retain(|id| now.removals_seen().all(|seen| seen.id() != *id));
        if ids.is_empty() {
            return;
        }
        tracing::info!(removals = ids.len(), "the admin log has settled what was removed on sight");
        if let Err(error) = self.store.commit(Change::RemovalsSettled(ids)).await {
            tracing::warn!("removals that are settled are still kept: {error}");
        }
    }

    /// Reads the branch of a peer that said its admin log is another than ours, unless that was done.
    pub(super) fn fetch_branch(&mut self, peer: PublicKey) {
        let roster = self.roster_now();
        let Some(head) = self.branches.claimed.get(&peer).copied() else { return };
        if roster.is_prefix(head) || !self.branches.begin(peer, head) {
            return;
        }
        let (network, commands) = (self.network.clone(), self.commands.0.clone());
        tokio::spawn(async move {
            let records = other_branch(&network, &peer, &roster, head.height).await;
            let _ = commands.send(Command::Branch { peer, records }).await;
        });
    }

    /// What [`Self::fetch_branch`] brought: told on as far as it is news. Without an answer the next hello asks again.
    pub(super) async fn branch(&mut self, peer: PublicKey, records: Option<Vec<VerifiedRecord>>) {
        if records.is_none() {
            self.branches.read.remove(&peer);
        }
        for record in records.into_iter().flatten() {
            self.told_conflict(&record).await;
        }
    }

    /// Tells a peer that is ready what is removed on sight: it may have come after that was gossiped.
    pub(super) fn tell_sights(&mut self, peer: PublicKey) {
        let roster = self.roster_now();
        let ids = roster.removals_seen().map(RemovalSeen::id).collect();
        let Some(telling) = self.branches.begin_telling(peer, ids) else { return };
        let records: Vec<schema::Record> = roster.removals_seen().map(|seen| seen.record().clone()).collect();
        let (network, commands) = (self.network.clone(), self.commands.0.clone());
        tokio::spawn(async move {
            for records in pages(records) {
                let page = AdminPage { charters: Vec::new(), records, more: false };
                let request = HelloRequest { request: Some(hello_request::Request::PushAdmin(page)) };
                let answer = network.hello(&peer, request).await;
                if let Err(error) = &answer {
                    tracing::debug!(%peer, "removals not told: {error}");
                }
                if !answer.is_ok_and(|answer| is_taken(&answer)) {
                    let _ = commands.send(Command::Untold { peer, telling }).await;
                    return;
                }
            }
        });
    }
}

/// Whether a page that was pushed has been looked at: a peer that is busy looks at nothing.
const fn is_taken(answer: &HelloResponse) -> bool {
    matches!(answer.response, Some(hello_response::Response::Pushed(_)))
}

/// Records in pages that fit into a request.
fn pages(records: Vec<schema::Record>) -> Vec<Vec<schema::Record>> {
    let (mut pages, mut room) = (vec![Vec::new()], PUSH_BYTES);
    for record in records {
        let bytes = record.encoded_len() + 8;
        if bytes > room || pages.last().is_some_and(|page| page.len() >= limits::MAX_PAGE_RECORDS) {
            pages.push(Vec::new());
            room = PUSH_BYTES;
        }
        room = room.saturating_sub(bytes);
        if let Some(page) = pages.last_mut() {
            page.push(record);
        }
    }
    pages.retain(|page| !page.is_empty());
    pages
}

/// Of a peer's log that ends at `end`: its first entry that is not ours, and every removal from there on. [`None`] if it did
/// not answer.
async fn other_branch(
    network: &Network,
    peer: &PublicKey,
    roster: &Roster,
    end: Height,
) -> Option<Vec<VerifiedRecord>> {
    let (pinned, ours) =
        (roster.charter().pin().map_or(0, |pin| pin.height.get()), roster.version().height.get());
    let page = limits::MAX_PAGE_RECORDS as u64;
    // Known to be ours, and known not to be.
    let (mut low, mut high) = (pinned, end.get().min(ours).saturating_add(1));
    for _ in 0..MAX_PROBES {
        if high.saturating_sub(low) <= page {
            break;
        }
        let middle = low + (high - low) / 2;
        match pull(network, peer, middle).await?.first() {
            Some(record) if is_ours(roster, middle, record) => low = middle,
            // It serves nothing there: its log is shorter than it says, or makes no sense.
            Some(_) | None => high = middle,
        }
    }
    let (mut next, mut found, mut reading) = (low.saturating_add(1), Vec::new(), Reading::of(roster));
    for _ in 0..MAX_BRANCH {
        let records = pull(network, peer, next).await?;
        if records.is_empty() {
            break;
        }
        for record in records {
            match reading.take(next, &record) {
                Ok(verified) => found.extend(verified),
                Err(error) => {
                    tracing::debug!(%peer, "another branch of the admin log: {error}");
                    network.refusals().count(Way::Admin, error.code());
                }
            }
            next = next.saturating_add(1);
        }
        if next > end.get() {
            break;
        }
    }
    Some(found)
}

/// One page of a peer's admin log; [`None`] without an answer.
async fn pull(network: &Network, peer: &PublicKey, from_height: u64) -> Option<Vec<schema::Record>> {
    let request = PullAdmin { from_height, from_charter: u64::MAX };
    let request = HelloRequest { request: Some(hello_request::Request::PullAdmin(request)) };
    match network.hello(peer, request).await {
        Ok(HelloResponse { response: Some(hello_response::Response::AdminPage(page)) }) => Some(page.records),
        // Busy, most likely.
        Ok(_) => None,
        Err(error) => {
            tracing::debug!(%peer, "pull of another branch: {error}");
            None
        }
    }
}

fn is_ours(roster: &Roster, height: u64, record: &schema::Record) -> bool {
    let entry = record.entry.as_ref();
    entry.is_some_and(|entry| {
        let head = hash::entry_id(roster.coalition(), &entry.payload);
        roster.is_prefix(RosterVersion { height: Height::new(height), head })
    })
}

#[cfg(test)]
mod tests {
    use belfry_proto::{id::EntryId, schema::Refusal};

    use super::*;

    fn version(height: u64) -> RosterVersion {
        RosterVersion { height: Height::new(height), head: EntryId::new([7; 32]) }
    }

    #[test]
    fn a_peer_is_told_anew_of_another_set_and_when_its_log_has_moved_and_when_it_took_nothing() {
        let mut branches = Branches::default();
        let peer = belfry_proto::crypto::sign::SigningKey::from_seed(&[1; 32]).public();
        let [one, other] = [1, 2].map(|n| StatementId::new([n; 32]));
        branches.announced(peer, version(3));
        assert!(branches.begin_telling(peer, Vec::new()).is_none(), "nothing to tell");
        let first = branches.begin_telling(peer, vec![one]).unwrap();
        assert!(branches.begin_telling(peer, vec![one]).is_none());
        // As many, and not the same.
        let second = branches.begin_telling(peer, vec![other]).unwrap();
        branches.announced(peer, version(4));
        let third = branches.begin_telling(peer, vec![other]).unwrap();
        assert!(branches.begin_telling(peer, vec![other]).is_none());
        // What ended late says nothing of what was begun since.
        branches.untold(&peer, first);
        branches.untold(&peer, second);
        assert!(branches.begin_telling(peer, vec![other]).is_none());
        branches.untold(&peer, third);
        assert!(branches.begin_telling(peer, vec![other]).is_some());
        branches.gone(&peer);
        assert!(branches.begin_telling(peer, vec![other]).is_some(), "it came anew");
    }

    #[test]
    fn only_what_a_peer_says_it_took_counts_as_told() {
        let answer = |response| HelloResponse { response };
        assert!(is_taken(&answer(Some(hello_response::Response::Pushed(version(1).into())))));
        for refusal in [Refusal::Busy, Refusal::NotCertified, Refusal::Malformed] {
            assert!(!is_taken(&answer(Some(hello_response::Response::Refused(refusal.into())))));
        }
        assert!(!is_taken(&answer(None)));
    }

    #[test]
    fn what_a_peer_is_told_comes_in_requests_that_it_takes() {
        let record = |bytes: usize| {
            let statement = schema::Signed { payload: vec![1; bytes], signatures: Vec::new() };
            schema::Record { entry: None, statement: Some(statement) }
        };
        assert!(pages(Vec::new()).is_empty());
        for (count, bytes) in [(600, 10), (600, 1_000), (3, PUSH_BYTES)] {
            let told = pages(vec![record(bytes); count]);
            assert_eq!(told.iter().map(Vec::len).sum::<usize>(), count);
            for page in &told {
                let size: usize = page.iter().map(|record| record.encoded_len() + 8).sum();
                assert!(page.len() <= limits::MAX_PAGE_RECORDS && (size <= PUSH_BYTES || page.len() == 1));
            }
        }
    }
}
