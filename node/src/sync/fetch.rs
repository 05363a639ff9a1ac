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
        outcome::{End, Outcome, bodies_outcome, fork_outcome, outcome, vouched_for, waits},
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
    ingest::Kept,
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
    #[error("the peer counts entry {0} as whole, and has no body of it")]
    Gone(Sequence),
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
            Self::Busy | Self::Unexcused(_) | Self::Bare(_) | Self::Lacking(_) | Self::Gone(_) => {
                Blame::Pause
            }
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
            Self::Gone(_) => "body-gone",
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

impl From<Outcome> for Fetched {
    fn from(Outcome { through, proven, end }: Outcome) -> Self {
        let error = match end {
            End::Whole => None,
            End::NotKept { sequence, code } => Some(PullError::NotKept { sequence, code }),
            End::Ours(code) => Some(PullError::Spoiled(code)),
            End::Unexcused(sequence) => Some(PullError::Unexcused(sequence)),
            End::Gone(sequence) => Some(PullError::Gone(sequence)),
        };
        Self { through, proven, error }
    }
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
        let bare: Vec<bool> = envelopes.iter().map(Decoded::lacks_body).collect();
        let kept = self.intake.offer_excused(peer, envelopes, excused).await;
        if kept.is_empty() {
            return Err(PullError::Spoiled("stopping"));
        }
        more(&self.counters.late, self.late(&written, &kept));
        more(&self.counters.pages, 1);
        more(&self.counters.kept, kept.iter().filter(|kept| **kept == Kept::Stored).count());
        let became = outcome(&range, &kept, excuses.iter().any(waits));
        let fetched = Fetched::from(bodies_outcome(&range, &bare, became));
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
        Ok(fork_outcome(&range, vouched, &kept).into())
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

#[cfg(test)]
mod tests {
    use belfry_proto::id::{GroupId, LogId};

    use super::*;
    use crate::ingest::OVER_DISK_QUOTA;

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

    /// The schedule goes by the blame: who is right is not set aside, and who is wrong is not asked at once again.
    #[test]
    fn the_end_of_a_page_is_blamed_on_whose_fault_it_is() {
        use Kept::{Parked, Refused, Stored};
        let blamed = |kept: &[Kept], excuse_waits| {
            let fetched = Fetched::from(outcome(&range(), kept, excuse_waits));
            (fetched.through.map(Sequence::get), fetched.error.map(|error| (error.blame(), error.code())))
        };
        let bare = [Stored, Refused("bodiless")];
        assert_eq!(blamed(&[Stored, Parked], false), (Some(6), None));
        assert_eq!(blamed(&bare, false), (Some(5), Some((Blame::Peer, "bodiless"))));
        assert_eq!(blamed(&bare, true), (Some(5), Some((Blame::Pause, "unexcused"))));
        assert_eq!(blamed(&[Refused("future")], false), (None, Some((Blame::Us, "future"))));
        // By this very code the loop tells the schedule that there is no room for it.
        let over = [Refused(OVER_DISK_QUOTA), Stored];
        assert_eq!(blamed(&over, false), (Some(6), Some((Blame::Us, OVER_DISK_QUOTA))));
    }
}
