//! Conversations with one peer: fetching a page or a proof, and handing it in. Each is a short task of its own; what
//! came of it goes back to the loop in [`super::pull`].

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use belfry_proto::{
    crypto::sign::PublicKey,
    envelope::{self, DecodeError, Decoded, REMOVED_ON_SIGHT, Word},
    id::{MessageId, Sequence},
    limits,
    schema::{
        Fork, Page, PullFork, PullRange, Refusal, SyncRequest, SyncResponse, sync_request::Request,
        sync_response::Response,
    },
    sync::{
        CompareError, ForkError, check_fork,
        page::{self, PageError},
        plan::{Range, Want},
        schedule::Ask,
    },
    time::Timestamp,
    trust::roster::Roster,
    verdict::Judged,
};
use tokio::time::timeout;

use super::{Sync, counters::more};
use crate::{
    clock,
    ingest::{Kept, OVER_DISK_QUOTA},
    network::{RequestError, Stopped},
    refusals::Way,
    store::ReadError,
};

/// How long a page may take. The schedule goes to others long before.
const FETCHING: Duration = Duration::from_secs(40);
/// How long after the first peer came until messages count as late: links into every group take a while.
const MET: Duration = Duration::from_secs(60);
/// How long gossip may take with a message before sync brings it late.
const GOSSIPED: Duration = Duration::from_secs(30);
/// Older ones are not late but history: their authors may have been away with them.
const RECENT: Duration = Duration::from_secs(3600);
/// What a conversation came to, when not to what was hoped.
#[derive(Debug, thiserror::Error)]
pub(super) enum PullError {
    #[error("request: {0}")]
    Request(#[from] RequestError),
    #[error("no answer in time")]
    Silent,
    #[error("the peer is busy")]
    Busy,
    #[error("refused as {0}")]
    Refused(&'static str),
    #[error("the peer answered another question")]
    WrongAnswer,
    #[error("frontier: {0}")]
    Frontier(#[from] CompareError),
    #[error("page: {0}")]
    Page(#[from] PageError),
    #[error("fork: {0}")]
    Fork(#[from] ForkError),
    #[error("an envelope of the page: {0}")]
    Envelope(#[from] DecodeError),
    #[error("the page holds nothing of what was promised")]
    EmptyPage,
    #[error("entry {sequence} was refused: {code}")]
    NotKept { sequence: Sequence, code: &'static str },
    #[error("entry {0} came without its body, and what excuses that is not here yet")]
    Unexcused(Sequence),
    #[error("the peer misses the body of entry {0}, too")]
    Bare(Sequence),
    #[error("the peer has no body of entry {0}, nor what excuses that")]
    Lacking(Sequence),
    #[error("the peer has nothing of all that it claims to have")]
    Claims,
    #[error("store: {0}")]
    Store(#[from] ReadError),
    #[error("this node stores nothing now: {0}")]
    Spoiled(&'static str),
    #[error("this node has a fault: see its log for a panic, and report it")]
    Panicked,
}

/// Who is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// The peer: it claimed what it does not serve, or broke a rule.
    Peer,
    /// Nobody; the peer has no time, the connection went, or something else has to come first.
    Pause,
    /// This node.
    Us,
}

impl PullError {
    pub(super) fn blame(&self) -> Blame {
        match self {
            Self::Silent
            | Self::Refused(_)
            | Self::WrongAnswer
            | Self::Frontier(_)
            | Self::Page(_)
            | Self::Fork(_)
            | Self::Envelope(_)
            | Self::EmptyPage
            | Self::Claims
            | Self::NotKept { .. } => Blame::Peer,
            Self::Busy | Self::Unexcused(_) | Self::Bare(_) | Self::Lacking(_) => Blame::Pause,
            Self::Store(_) | Self::Spoiled(_) | Self::Panicked => Blame::Us,
            Self::Request(error) => match error {
                RequestError::Timeout | RequestError::Malformed(_) | RequestError::Stream(_) => Blame::Peer,
                RequestError::NotAllowed
                | RequestError::NotConnected
                | RequestError::Held
                | RequestError::Older
                | RequestError::Closed
                | RequestError::Busy => Blame::Pause,
                RequestError::Invalid(_) | RequestError::Stopped(Stopped) => Blame::Us,
            },
        }
    }
}

impl PullError {
    /// One word for metrics.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Request(error) => error.code(),
            Self::Silent => "silent",
            Self::Busy => "busy",
            Self::Refused(_) => "refused",
            Self::WrongAnswer => "wrong-answer",
            Self::Frontier(error) => error.code(),
            Self::Page(error) => error.code(),
            Self::Fork(error) => error.code(),
            Self::Envelope(error) => error.code(),
            Self::EmptyPage => "page-empty",
            Self::NotKept { code, .. } | Self::Spoiled(code) => code,
            Self::Unexcused(_) => "unexcused",
            Self::Bare(_) => "bare",
            Self::Lacking(_) => "lacking",
            Self::Claims => "claims-nothing",
            Self::Store(_) => "store",
            Self::Panicked => "panicked",
        }
    }
}

/// An answer that is what was asked for.
#[derive(Debug)]
pub(super) struct Received {
    /// What was asked for: of missing bodies, one stretch of them.
    range: Range,
    envelopes: Vec<Decoded>,
    /// What excuses those of them that come without their body.
    withdrawals: Vec<Decoded>,
}

/// What became of one page.
#[derive(Debug)]
pub(super) struct Fetched {
    /// Last sequence that was kept, without a gap from the first one asked for.
    pub(super) through: Option<Sequence>,
    /// The same of those alone that are known to be their author's: what waits for the admin log anybody may have made up.
    pub(super) proven: Option<Sequence>,
    /// Why not all of it was.
    pub(super) error: Option<PullError>,
}

impl Fetched {
    /// Nothing was kept.
    pub(super) const fn none(error: PullError) -> Self {
        Self { through: None, proven: None, error: Some(error) }
    }
}

impl Sync {
    /// Asks for one page, and checks that the answer is what was asked for.
    pub(super) async fn fetch(self: Arc<Self>, ask: Ask<PublicKey>) -> Result<Received, PullError> {
        match ask.range.want {
            Want::Fork => self.fetch_fork(&ask).await,
            Want::Entries | Want::Bodies | Want::Proof => self.fetch_page(&ask).await,
        }
    }

    /// Hands in what was fetched, and says what became of it.
    pub(super) async fn keep(self: Arc<Self>, ask: Ask<PublicKey>, received: Received) -> Fetched {
        let kept = match ask.range.want {
            Want::Fork => self.keep_fork(&ask, received).await,
            Want::Entries | Want::Bodies | Want::Proof => self.keep_page(&ask, received).await,
        };
        kept.unwrap_or_else(Fetched::none)
    }

    async fn fetch_page(&self, ask: &Ask<PublicKey>) -> Result<Received, PullError> {
        let Ask { peer, range, .. } = *ask;
        let Some(range) = self.stretch(range).await? else {
            // Others brought the rest meanwhile.
            return Ok(Received { range, envelopes: Vec::new(), withdrawals: Vec::new() });
        };
        let request = PullRange {
            group: range.group.get(),
            log: range.log.to_vec(),
            from: range.from.get(),
            to: range.to.get(),
        };
        let response = match self.ask(peer, Request::Range(request), FETCHING).await {
            Err(PullError::Refused(code)) if code == Refusal::Unknown.as_str_name() => {
                return Err(match range.want {
                    Want::Bodies => PullError::Bare(range.from),
                    Want::Entries | Want::Proof | Want::Fork => PullError::Lacking(range.from),
                });
            }
            answered => answered?,
        };
        let Response::Page(Page { envelopes, withdrawals, .. }) = response else {
            return Err(PullError::WrongAnswer);
        };
        if envelopes.is_empty() {
            return Err(PullError::EmptyPage);
        }
        if envelopes.len() > limits::MAX_PAGE_ENVELOPES {
            return Err(PageError::TooMany(envelopes.len()).into());
        }
        let checked = tokio::task::spawn_blocking(move || {
            let envelopes = decoded(&envelopes)?;
            page::check_page(&range, &envelopes)?;
            let withdrawals = decoded(&withdrawals)?;
            page::check_excuses(&range, &envelopes, &withdrawals)?;
            Ok::<_, PullError>(Received { range, envelopes, withdrawals })
        });
        checked.await.map_err(|_| PullError::Spoiled("stopping"))?
    }

    /// Of missing bodies the first stretch: between two of them may lie a log of what is here. `None` if none is missing.
    async fn stretch(&self, range: Range) -> Result<Option<Range>, PullError> {
        if range.want != Want::Bodies {
            return Ok(Some(range));
        }
        let store = self.store.clone();
        let found = tokio::task::spawn_blocking(move || store.next_holes(range.group, range.log, range.from));
        let found = found.await.map_err(|_| PullError::Spoiled("stopping"))??;
        let found = found.filter(|(from, _)| *from <= range.to);
        Ok(found.map(|(from, to)| Range { from, to: to.min(range.to), ..range }))
    }

    async fn keep_page(&self, ask: &Ask<PublicKey>, received: Received) -> Result<Fetched, PullError> {
        let peer = ask.peer;
        let Received { range, envelopes, withdrawals } = received;
        if envelopes.is_empty() {
            return Ok(Fetched { through: Some(range.to), proven: Some(range.to), error: None });
        }
        let (mut excuses, mut excused) = (Vec::new(), BTreeSet::new());
        if !withdrawals.is_empty() {
            // First, so that the page's entries without a body are excused when they are judged.
            excuses = self.intake.offer(peer, withdrawals.clone()).await;
            excused = excused_by_removed(&self.roster.snapshot(), &envelopes, &withdrawals, &excuses);
        }
        let written: Vec<_> = envelopes.iter().map(|one| (one.message_id(), one.header().created)).collect();
        let kept = self.intake.offer_excused(peer, envelopes, excused).await;
        if kept.is_empty() {
            return Err(PullError::Spoiled("stopping"));
        }
        more(&self.counters.late, self.late(&written, &kept));
        more(&self.counters.pages, 1);
        more(&self.counters.kept, kept.iter().filter(|kept| **kept == Kept::Stored).count());
        let fetched = outcome(range, &kept, excuses.iter().any(waits));
        tracing::debug!(%peer, group = range.group.get(), log = %range.log, from = range.from.get(),
            count = kept.len(), through = ?fetched.through, "sync page");
        Ok(fetched)
    }

    /// How many of these entries gossip should have brought, and did not: see [`Snapshot::late`](super::Snapshot::late).
    fn late(&self, written: &[(MessageId, Timestamp)], kept: &[Kept]) -> usize {
        let (now, linked) = (clock::now(), self.linked.load(Ordering::Relaxed));
        let since = Timestamp::from_micros(linked).saturating_add(MET);
        let was_due = |created: Timestamp| linked != 0 && created >= since && is_late(created, now);
        // What gossip brought, and we did not take.
        let was_refused =
            |id| self.network.refusals().of(id).is_some_and(|refused| refused.way == Way::Gossip);
        let all = written.iter().zip(kept);
        all.filter(|((id, created), kept)| **kept == Kept::Stored && was_due(*created) && !was_refused(id))
            .count()
    }

    /// Asks for the proof of a fork.
    async fn fetch_fork(&self, ask: &Ask<PublicKey>) -> Result<Received, PullError> {
        let Ask { peer, range, .. } = *ask;
        let request = PullFork { group: range.group.get(), log: range.log.to_vec() };
        let response = self.ask(peer, Request::Fork(request), FETCHING).await?;
        let Response::Fork(Fork { one, other }) = response else { return Err(PullError::WrongAnswer) };
        let checked = tokio::task::spawn_blocking(move || {
            let pair = [envelope::decode(&one)?, envelope::decode(&other)?];
            check_fork(range.group, range.log, range.to, pair.each_ref())?;
            Ok::<_, PullError>(Received { range, envelopes: pair.into(), withdrawals: Vec::new() })
        });
        checked.await.map_err(|_| PullError::Spoiled("stopping"))?
    }

    /// Hands in both sides of a fork: the ladder says who signed them, and the log as a whole what becomes of it.
    async fn keep_fork(&self, ask: &Ask<PublicKey>, received: Received) -> Result<Fetched, PullError> {
        let Ask { peer, range, .. } = *ask;
        let vouched = vouched_for(&received.envelopes);
        let kept = self.intake.offer(peer, received.envelopes).await;
        if kept.is_empty() {
            return Err(PullError::Spoiled("stopping"));
        }
        tracing::debug!(%peer, group = range.group.get(), log = %range.log, at = range.to.get(), ?kept, "proof of a fork");
        let is_forged = |(at, one): (usize, &Kept)| {
            // Its author named what it did not sign: that is the proof.
            let is_proof = vouched.is_some_and(|(side, by)| {
                side == at && kept.get(by).is_some_and(|by| matches!(by, Kept::Stored | Kept::Known))
            });
            *one == Kept::Refused("bad-signature") && !is_proof
        };
        let is_forged = kept.iter().enumerate().any(is_forged);
        let is_proof = kept.contains(&Kept::Refused("bad-signature")) && !is_forged;
        let forged = || PullError::NotKept { sequence: range.to, code: "bad-signature" };
        // A proof brings no excuses: a side without its body is kept once the erasure is here.
        let error = match is_forged {
            true => Some(forged()),
            false if is_proof => None,
            false => outcome(range, &kept, true).error,
        };
        // There is no rest to ask for, wherever other peers say the fork is.
        let through = error.is_none().then_some(range.from.max(range.to));
        Ok(Fetched { through, proven: through, error })
    }

    pub(super) async fn ask(
        &self,
        peer: PublicKey,
        request: Request,
        within: Duration,
    ) -> Result<Response, PullError> {
        let request = SyncRequest { request: Some(request) };
        let answer = timeout(within, self.network.sync(&peer, request)).await;
        match answer.map_err(|_| PullError::Silent)?? {
            SyncResponse { response: Some(Response::Refused(code)) } => {
                match Refusal::try_from(code).unwrap_or_default() {
                    Refusal::Busy | Refusal::NotYet => Err(PullError::Busy),
                    other => Err(PullError::Refused(other.as_str_name())),
                }
            }
            SyncResponse { response: Some(response) } => Ok(response),
            SyncResponse { response: None } => Err(PullError::WrongAnswer),
        }
    }
}

/// Whether gossip had its time with a message, and not long ago.
fn is_late(created: Timestamp, now: Timestamp) -> bool {
    let age = now.since(created);
    age >= GOSSIPED && age <= RECENT
}

/// Which of two sides the other one names as the entry before it, and that other one.
fn vouched_for(pair: &[Decoded]) -> Option<(usize, usize)> {
    let [one, other] = pair else { return None };
    let follows = |child: &Decoded, parent: &Decoded| child.header().prev == parent.message_id();
    match (follows(other, one), follows(one, other)) {
        (true, _) => Some((0, 1)),
        (_, true) => Some((1, 0)),
        _ => None,
    }
}

fn decoded(envelopes: &[Vec<u8>]) -> Result<Vec<Decoded>, DecodeError> {
    envelopes.iter().map(|bytes| envelope::decode(bytes)).collect()
}

/// Entries without their body that an erasure reaches whose author was removed on sight: it is verified, and waits. Until a
/// charter or the log says what stands of it, it hides nothing, and honest authors' logs go on all the same: their bodies
/// went everywhere before its author did.
pub(super) fn excused_by_removed(
    roster: &Roster,
    page: &[Decoded],
    withdrawals: &[Decoded],
    excuses: &[Kept],
) -> BTreeSet<MessageId> {
    let removed =
        withdrawals.iter().zip(excuses).filter(|(_, kept)| **kept == Kept::Refused(REMOVED_ON_SIGHT));
    let mut excused = BTreeSet::new();
    for (withdrawal, _) in removed {
        let header = withdrawal.header();
        // When it was first seen says when bodies go, not whose may be missing.
        let word = Word::of(roster, withdrawal.message_id(), header, header.created);
        let (Some(word), Some(said)) = (word, header.withdrawal()) else { continue };
        let is_reached = |entry: &&Decoded| {
            let of = entry.header();
            entry.lacks_body()
                && said.targets.contains(&entry.message_id())
                && word.erases(of.group, of.member)
        };
        excused.extend(page.iter().filter(is_reached).map(Decoded::message_id));
    }
    excused
}

/// Whether a withdrawal that came with a page is not here yet, by no fault of the peer's: our roster, quota or disk.
fn waits(excuse: &Kept) -> bool {
    match excuse {
        Kept::Stored | Kept::Known => false,
        Kept::Parked => true,
        Kept::Refused(code) => !is_peers_fault(code),
    }
}

/// Whether no honest node holds what is refused so, whatever its roster and clock.
fn is_peers_fault(code: &str) -> bool {
    matches!(code, "malformed" | "other-body" | "other-recipients" | "bad-signature" | "bodiless")
}

/// How far a page got, and why no further. Entries are in order, so what follows a refused one is of no use
/// to the frontier; it is asked for again, of somebody else. An entry and the withdrawal of its body may come in
/// any order: with `excuse_waits` one without its body is nobody's fault. What there is no room for is passed over: a
/// withdrawal may come after it.
fn outcome(range: Range, kept: &[Kept], excuse_waits: bool) -> Fetched {
    let (mut through, mut proven, mut passed) = (None, None, None);
    let mut is_proven = true;
    for (sequence, one) in (range.from.get()..).map(Sequence::new).zip(kept) {
        let error = match one {
            // The second message of a fork is stored, too: its author's fault, and kept as proof.
            Kept::Stored | Kept::Known | Kept::Parked | Kept::Refused(OVER_DISK_QUOTA) => {
                if *one == Kept::Refused(OVER_DISK_QUOTA) {
                    passed = Some(PullError::Spoiled(OVER_DISK_QUOTA));
                }
                is_proven &= *one != Kept::Parked;
                through = Some(sequence);
                proven = if is_proven { through } else { proven };
                continue;
            }
            Kept::Refused("bodiless") if excuse_waits => PullError::Unexcused(sequence),
            Kept::Refused("bad-signature") => match signer(range, sequence, kept) {
                Signer::Vouched => {
                    let through = Some(before(sequence));
                    let proven = if is_proven { through } else { proven };
                    return Fetched { through, proven, error: None };
                }
                Signer::Contradicts => PullError::Spoiled("bad-signature"),
                Signer::Unknown => PullError::NotKept { sequence, code: "bad-signature" },
            },
            Kept::Refused(code) if is_peers_fault(code) => PullError::NotKept { sequence, code },
            // Our disk, our clock, our roster, our reading of a quota: the peer may be right.
            Kept::Refused(code) => PullError::Spoiled(code),
        };
        return Fetched { through, proven, error: Some(error) };
    }
    Fetched { through, proven, error: passed }
}

/// What a page shows of whose fault an entry is that its author did not sign.
enum Signer {
    /// Its author vouches for it all the same, or the page ends here and what follows may say so: both are asked for
    /// together, and the log is its author's to answer for.
    Vouched,
    /// It did so before, and something else holds the place; or who says so cannot be heard now.
    Contradicts,
    /// Nothing shows that its author ever saw it: whoever composed the page is at fault.
    Unknown,
}

/// Entries of a page link up, so what was kept of the next one names this one.
fn signer(range: Range, sequence: Sequence, kept: &[Kept]) -> Signer {
    let at = usize::try_from(sequence.get() - range.from.get()).unwrap_or(usize::MAX);
    match kept.get(at.saturating_add(1)) {
        Some(Kept::Stored) => Signer::Vouched,
        Some(Kept::Known) => Signer::Contradicts,
        // Further each time, so no peer keeps us asking for the same.
        None if at > 0 && sequence < range.to => Signer::Vouched,
        // It may vouch for this one, and waits or was refused by our roster, clock or reading of a quota.
        Some(Kept::Parked) => Signer::Contradicts,
        Some(Kept::Refused(code)) if !is_peers_fault(code) => Signer::Contradicts,
        Some(Kept::Refused(_)) | None => Signer::Unknown,
    }
}

const fn before(sequence: Sequence) -> Sequence {
    Sequence::new(sequence.get().saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use belfry_proto::id::{GroupId, LogId};

    use super::*;

    #[test]
    fn what_is_a_few_minutes_old_is_late_and_what_is_new_or_old_is_not() {
        let now = Timestamp::from_micros(10_000_000_000);
        let of = |seconds: u64| Timestamp::from_micros(10_000_000_000 - seconds * 1_000_000);
        let late: Vec<u64> =
            [0, 29, 30, 600, 3600, 3601].into_iter().filter(|age| is_late(of(*age), now)).collect();
        assert_eq!(late, [30, 600, 3600]);
        assert!(!is_late(now.saturating_add(Duration::from_secs(60)), now), "ahead of our clock");
    }

    fn range() -> Range {
        let (from, to) = (Sequence::new(5), Sequence::new(9));
        Range { group: GroupId::new(1), log: LogId::new([1; 32]), from, to, want: Want::Entries }
    }

    fn of(kept: &[Kept]) -> (Option<u64>, Option<Blame>) {
        let fetched = outcome(range(), kept, false);
        (fetched.through.map(Sequence::get), fetched.error.map(|error| error.blame()))
    }

    #[test]
    fn a_page_counts_as_far_as_it_was_kept_without_a_gap() {
        use Kept::{Known, Parked, Refused, Stored};
        let bare = Refused("bodiless");
        assert_eq!(of(&[Stored, Known, Parked]), (Some(7), None));
        assert_eq!(of(&[Stored, bare.clone(), Stored]), (Some(5), Some(Blame::Peer)));
        assert_eq!(of(&[bare]), (None, Some(Blame::Peer)));
        assert_eq!(of(&[Stored, Refused("no-room")]), (Some(5), Some(Blame::Us)));
        assert_eq!(of(&[Stored, Refused("over-quota")]), (Some(5), Some(Blame::Us)));
        assert_eq!(of(&[Refused("too-many-logs")]), (None, Some(Blame::Us)));
        assert_eq!(of(&[Refused("future")]), (None, Some(Blame::Us)));
    }

    #[test]
    fn what_waits_for_the_admin_log_proves_nothing_of_itself_nor_of_what_follows() {
        use Kept::{Known, Parked, Refused, Stored};
        let proven = |kept: &[Kept]| outcome(range(), kept, false).proven.map(Sequence::get);
        assert_eq!(proven(&[Parked, Stored, Known]), None);
        assert_eq!(proven(&[Stored, Parked, Stored]), Some(5));
        assert_eq!(proven(&[Stored, Parked, Refused("bad-signature"), Stored]), Some(5));
        assert_eq!(proven(&[Parked, Refused(OVER_DISK_QUOTA)]), None);
        assert_eq!(proven(&[Stored, Refused(OVER_DISK_QUOTA), Known]), Some(7));
        assert_eq!(proven(&[Stored, Refused("bad-signature"), Stored]), Some(5));
    }

    #[test]
    fn an_unsigned_entry_is_its_authors_fault_where_that_can_show_and_else_the_peers() {
        use Kept::{Known, Refused, Stored};
        let bad = || Refused("bad-signature");
        // The next one names it: both are asked for again, from it on.
        assert_eq!(of(&[Stored, bad(), Stored]), (Some(5), None));
        assert_eq!(of(&[bad(), Stored]), (Some(4), None));
        // And if that does not help, something else is in its place.
        assert_eq!(of(&[bad(), Known]), (None, Some(Blame::Us)));
        // The page ends with it, and the log goes on.
        assert_eq!(of(&[Stored, bad()]), (Some(5), None));
        // It is all there is.
        assert_eq!(of(&[bad()]), (None, Some(Blame::Peer)));
        assert_eq!(of(&[Stored, Stored, Stored, Stored, bad()]), (Some(8), Some(Blame::Peer)));
        assert_eq!(of(&[Stored, bad(), bad()]), (Some(5), Some(Blame::Peer)));
        // Who may vouch for it waits for our roster, or is over a quota that only we reckon.
        assert_eq!(of(&[bad(), Kept::Parked]), (None, Some(Blame::Us)));
        assert_eq!(of(&[bad(), Refused("over-quota")]), (None, Some(Blame::Us)));
        assert_eq!(of(&[bad(), Refused("bodiless")]), (None, Some(Blame::Peer)));
    }

    #[test]
    fn an_entry_whose_excuse_has_to_wait_for_us_is_nobodys_fault() {
        use Kept::{Known, Parked, Refused, Stored};
        let bare = [Stored, Refused("bodiless")];
        for (excuse, blame) in [
            (Parked, Blame::Pause),
            (Refused("over-quota"), Blame::Pause),
            (Refused("no-room"), Blame::Pause),
            // It is here, and excuses nothing.
            (Stored, Blame::Peer),
            (Known, Blame::Peer),
            (Refused("bad-signature"), Blame::Peer),
        ] {
            let fetched = outcome(range(), &bare, waits(&excuse));
            assert_eq!(fetched.through, Some(Sequence::new(5)));
            assert_eq!(fetched.error.map(|error| error.blame()), Some(blame), "{excuse:?}");
        }
    }
}
