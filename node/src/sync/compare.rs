//! Comparing frontiers with one peer: what it claims beyond us.
//!
//! What is asked, and what follows from an answer, is the pure [`compare`](belfry_proto::sync::compare)'s to say. A short task
//! of its own, as all conversations; what came of it goes back to the loop in [`super::pull`].

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use belfry_proto::{
    crypto::sign::PublicKey,
    id::{GroupId, LogId},
    sync::{
        Comparison, Next, Step,
        plan::{Range, Want},
        schedule::MAX_OFFERS,
        slices::FEW,
    },
};

use tokio::time::Instant;

use super::{Sync, counters::more, fetch::PullError};

/// How long one part of a frontier may take: it is a read and at most 1 MiB.
const COMPARING: Duration = Duration::from_secs(20);

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
        let began = Instant::now();
        let is_asked =
            |range: &Range| left_out.get(&(range.group, range.log)).is_none_or(|until| *until <= began);
        let (mut comparison, mut request) = Comparison::begin(self.store.frontier(group), FEW);
        let mut first = true;
        loop {
            let response = self.ask(peer, request, COMPARING).await?;
            let Step { ranges, next } = comparison.heard(response)?;
            let is_first = std::mem::take(&mut first);
            more(&self.counters.compared, usize::from(is_first));
            let ranges = self.narrowed(ranges.into_iter().filter(is_asked).collect()).await?;
            let room = MAX_OFFERS.saturating_sub(found.ranges.len());
            let is_more = ranges.len() > room;
            found.ranges.extend(ranges.into_iter().take(room + 1));
            if is_more {
                found.is_cut = true;
                return Ok(());
            }
            match next {
                Next::Ask(next) => request = next,
                Next::Level => {
                    more(&self.counters.level, usize::from(is_first));
                    return Ok(());
                }
                Next::Done => return Ok(()),
                Next::Cut => {
                    found.is_cut = true;
                    return Ok(());
                }
            }
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
