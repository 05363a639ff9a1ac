//! Comparing frontiers with one peer: what it claims beyond us.
//!
//! ```text
//! few logs  ─▶ PullFrontier ─▶ level, or the list in parts ───────────────────────────┐
//! many logs ─▶ PullSlices ─▶ level, or sums ─▶ PullSlices of those that differ ─▶ list ─┴─plan─▶ ranges
//! ```
//!
//! A short task of its own, as all conversations; what came of it goes back to the loop in [`super::pull`].

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use belfry_proto::{
    crypto::sign::PublicKey,
    id::{GroupId, LogId, Sequence},
    schema::{Frontier, PullFrontier, PullSlices, sync_request::Request, sync_response::Response},
    sync::{
        frontier,
        plan::{self, Range, Want},
        schedule::MAX_OFFERS,
        slices::{self, FEW, Only, Sums},
    },
};

use tokio::time::Instant;

use super::{Sync, counters::more, fetch::PullError};
use crate::store::GroupFrontier;

/// How long one part of a frontier may take: it is a read and at most 1 MiB.
const COMPARING: Duration = Duration::from_secs(20);
/// Parts of one frontier read in one comparison: half a million logs. A list without end ends here.
const MAX_PARTS: usize = 64;

/// What one comparison found.
#[derive(Debug, Default)]
pub(super) struct Compared {
    /// What the peer claims beyond us.
    pub(super) ranges: Vec<Range>,
    /// There is more than was read.
    pub(super) is_cut: bool,
    /// Why it ended early.
    pub(super) error: Option<PullError>,
}

/// Logs that are not asked for until then, although peers have more of them.
pub(super) type LeftOut = BTreeMap<(GroupId, LogId), Instant>;

/// What a peer said first of its frontier.
enum Begun {
    /// It is ours.
    Level,
    /// The list differs in these slices, when its hash was this.
    Differs(Only, Vec<u8>),
    /// The first part of all of it.
    Listed(Frontier),
}

impl Sync {
    /// Compares every kept group with `peer`.
    pub(super) async fn compare(self: Arc<Self>, peer: PublicKey, left_out: Arc<LeftOut>) -> Compared {
        let roster = self.roster.snapshot();
        let mut found = Compared::default();
        for group in self.identity.kept_groups(&roster) {
            match self.compare_group(peer, group, &left_out, &mut found).await {
                // Refused: it does not keep this group, being a member of others only.
                Ok(()) | Err(PullError::Refused(_)) => {}
                Err(error) => {
                    found.error = Some(error);
                    return found;
                }
            }
            if found.is_cut {
                return found;
            }
        }
        found
    }

    async fn compare_group(
        &self,
        peer: PublicKey,
        group: GroupId,
        left_out: &LeftOut,
        found: &mut Compared,
    ) -> Result<(), PullError> {
        let coalition = self.roster.snapshot().coalition();
        let ours = self.store.frontier(group);
        // A proven fork freezes its log: from there on there is nothing to fetch, from anybody. Below it there
        // may be, and a lower fork.
        let below_fork = |range: Range| match ours.log(range.log).map_or(0, |log| log.frozen.get()) {
            0 => Some(range),
            frozen => {
                let to = range.to.min(Sequence::new(frozen - 1));
                (range.from <= to).then_some(Range { to, ..range })
            }
        };
        let began = Instant::now();
        let is_asked =
            |range: &Range| left_out.get(&(range.group, range.log)).is_none_or(|until| *until <= began);
        let begun = self.begin(peer, group, &ours).await?;
        more(&self.counters.compared, 1);
        let (only, told, mut next) = match begun {
            Begun::Level => {
                more(&self.counters.level, 1);
                return Ok(());
            }
            Begun::Differs(only, told) => (only, Some(told), None),
            Begun::Listed(part) => (Only::ALL, None, Some(part)),
        };
        let mut after: Option<LogId> = None;
        for _ in 0..MAX_PARTS {
            let part = match next.take() {
                Some(part) => part,
                None => self.list(peer, group, &ours, only, after).await?,
            };
            if part.hash == ours.hash() {
                return Ok(());
            }
            let mut theirs = frontier::read_part(group, after, &part)?;
            let last = theirs.last().map(|log| log.log);
            // A peer asked under number 1 in between lists all there are. Ours of the other slices stand for its own.
            theirs.retain(|log| only.has(log.log));
            // Where it moved on since it told its sums, its other slices are not known.
            let is_told = only == Only::ALL || told.as_ref().is_none_or(|told| *told == part.hash);
            let is_whole = after.is_none() && !part.more && is_told;
            let whole = || frontier::hash(coalition, group, &slices::merged(ours.logs(), &theirs, only));
            if is_whole && part.hash != whole() {
                return Err(PullError::OtherHash);
            }
            let ranges = plan::plan(ours.logs(), &theirs).into_iter().filter(is_asked).filter_map(below_fork);
            let ranges = self.narrowed(ranges.collect()).await?;
            let room = MAX_OFFERS.saturating_sub(found.ranges.len());
            let before = found.ranges.len();
            found.ranges.extend(ranges.into_iter().take(room + 1));
            if found.ranges.len() - before > room {
                found.is_cut = true;
                return Ok(());
            }
            if !part.more {
                return Ok(());
            }
            after = last;
        }
        found.is_cut = true;
        Ok(())
    }

    /// The first question: whether the peer is level, and if not, in what.
    async fn begin(&self, peer: PublicKey, group: GroupId, ours: &GroupFrontier) -> Result<Begun, PullError> {
        if ours.logs().len() <= FEW {
            let part = self.list(peer, group, ours, Only::ALL, None).await?;
            return Ok(if part.hash == ours.hash() { Begun::Level } else { Begun::Listed(part) });
        }
        let (hash, after) = (ours.hash().to_vec(), Vec::new());
        let pull = PullSlices { group: group.get(), hash, only: 0, after };
        match self.ask(peer, Request::Slices(pull), COMPARING).await? {
            Response::Slices(told) if told.hash == ours.hash() => Ok(Begun::Level),
            Response::Slices(told) => {
                // If they differ nowhere but in their hash, the list tells.
                let only = ours.sums().differing(&Sums::read(&told.sums)?).unwrap_or(Only::ALL);
                Ok(Begun::Differs(only, told.hash))
            }
            // Under number 1 of the protocol it answers with the list.
            Response::Frontier(part) if part.hash == ours.hash() => Ok(Begun::Level),
            Response::Frontier(part) => Ok(Begun::Listed(part)),
            Response::Page(_)
            | Response::Addresses(_)
            | Response::Refused(_)
            | Response::Fork(_)
            | Response::Contacts(_)
            | Response::ContactTaken(_) => Err(PullError::WrongAnswer),
        }
    }

    /// The part of a peer's list that follows `after`.
    async fn list(
        &self,
        peer: PublicKey,
        group: GroupId,
        ours: &GroupFrontier,
        only: Only,
        after: Option<LogId>,
    ) -> Result<Frontier, PullError> {
        let (group, hash) = (group.get(), ours.hash().to_vec());
        let after = after.map(|log| log.to_vec()).unwrap_or_default();
        let request = match only {
            Only::ALL => Request::Frontier(PullFrontier { group, hash, after }),
            only => Request::Slices(PullSlices { group, hash, only: only.bits(), after }),
        };
        match self.ask(peer, request, COMPARING).await? {
            Response::Frontier(part) => Ok(part),
            _ => Err(PullError::WrongAnswer),
        }
    }

    /// Bodies that are missing are few: only the stretch from the first to the last of them is asked for.
    async fn narrowed(&self, ranges: Vec<Range>) -> Result<Vec<Range>, PullError> {
        if ranges.iter().all(|range| range.want != Want::Bodies) {
            return Ok(ranges);
        }
        let store = self.store.clone();
        let narrowed = tokio::task::spawn_blocking(move || {
            let mut narrowed = Vec::with_capacity(ranges.len());
            for range in ranges {
                if range.want != Want::Bodies {
                    narrowed.push(range);
                } else if let Some((first, last)) = store.holes(range.group, range.log)? {
                    let (from, to) = (range.from.max(first), range.to.min(last));
                    narrowed.extend((from <= to).then_some(Range { from, to, ..range }));
                }
            }
            Ok::<_, PullError>(narrowed)
        });
        narrowed.await.map_err(|_| PullError::Spoiled("stopping"))?
    }
}
