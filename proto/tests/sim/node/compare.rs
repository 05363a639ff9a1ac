//! Comparing frontiers with one peer, in full or by slices, and what is answered to whoever compares.

use std::sync::Arc;

use belfry_proto::{
    crypto::sign::PublicKey,
    id::{GroupId, Sequence},
    schema::{PullFrontier, PullSlices, Refusal, sync_response::Response},
    sync::{Comparison, GroupFrontier, Next, Range, Want, slices::Only},
    verdict::Judged,
};

use super::{Conduct, Cx, Node, Observation, Synced, pulling::Round};
use crate::faults::Defect;

impl Node {
    /// What this node holds of a group, as peers compare it.
    pub(crate) fn held(&self, group: GroupId) -> Arc<GroupFrontier> {
        Arc::new(GroupFrontier::new(self.coalition, group, self.durable.logs.frontier(group)))
    }

    /// Goes on with the next group, unless there is more already than one comparison takes.
    pub(super) fn compare_next(&mut self, peer: PublicKey, mut round: Round, cx: &mut Cx<'_>) {
        match round.groups.pop().filter(|_| !round.is_cut) {
            Some(group) => {
                let (comparison, first) = Comparison::begin(self.held(group), self.few);
                self.ask_sync(peer, Synced::Frontier { comparison, asked: 1, round }, first, cx);
            }
            None => self.compared(peer, round, cx),
        }
    }

    /// What came of the question that was the `asked`th of its comparison.
    pub(super) fn frontier_answered(
        &mut self,
        peer: PublicKey,
        (mut comparison, asked, mut round): (Comparison, usize, Round),
        response: Response,
        cx: &mut Cx<'_>,
    ) {
        if let Response::Refused(code) = response {
            let has_time = !matches!(Refusal::try_from(code), Ok(Refusal::Busy | Refusal::NotYet));
            if has_time {
                // It does not keep this group.
                return self.compare_next(peer, round, cx);
            }
            self.up().pulling.schedule.pause(peer, cx.elapsed);
            return self.compared(peer, round, cx);
        }
        if let (Conduct::Liar, Response::Slices(told)) = (self.conduct, &response) {
            let group = comparison.ours().group();
            self.up().sums.insert((peer, group), told.sums.clone());
        }
        let by_slices = matches!(response, Response::Frontier(_)) && comparison.only() != Only::ALL;
        let step = match comparison.heard(response) {
            Ok(step) => step,
            Err(error) => {
                cx.saw(Observation::Spoiled { from: peer, code: error.code() });
                self.up().pulling.schedule.blame(peer, cx.elapsed);
                return self.compared(peer, round, cx);
            }
        };
        cx.saw(Observation::Compared { asked, by_slices });
        round.ranges.extend(step.ranges.into_iter().filter_map(|range| self.narrowed(range)));
        match step.next {
            Next::Ask(next) => {
                self.ask_sync(peer, Synced::Frontier { comparison, asked: asked + 1, round }, next, cx);
            }
            Next::Level | Next::Done => self.compare_next(peer, round, cx),
            Next::Cut => {
                round.is_cut = true;
                self.compared(peer, round, cx);
            }
        }
    }

    /// Of bodies only the stretch from the first to the last of those that are missing.
    fn narrowed(&self, range: Range) -> Option<Range> {
        if range.want != Want::Bodies {
            return Some(range);
        }
        let (first, last) = self.durable.logs.outer_holes(range.group, range.log)?;
        let (from, to) = (range.from.max(Sequence::new(first)), range.to.min(Sequence::new(last)));
        (from <= to).then_some(Range { from, to, ..range })
    }

    pub(super) fn serve_frontier(
        &mut self,
        from: &PublicKey,
        pull: &PullFrontier,
        cx: &mut Cx<'_>,
    ) -> Result<Response, Refusal> {
        let group = self.entitled(from, pull.group, cx.now)?;
        let told = self.shown(group, cx.rng).answer(pull).map_err(|_| Refusal::Malformed)?;
        Ok(self.lie_of_frontier(from, group, (pull.hash.as_slice(), pull.after.as_slice()), told, cx.rng))
    }

    pub(super) fn serve_slices(
        &mut self,
        from: &PublicKey,
        pull: &PullSlices,
        cx: &mut Cx<'_>,
    ) -> Result<Response, Refusal> {
        let group = self.entitled(from, pull.group, cx.now)?;
        let mut told = self.shown(group, cx.rng).answer_slices(pull).map_err(|_| Refusal::Malformed)?;
        match &mut told {
            Response::Frontier(list) if self.has(Defect::LeavesOutALog) => drop(list.logs.pop()),
            _ => {}
        }
        Ok(self.lie_of_frontier(from, group, (pull.hash.as_slice(), pull.after.as_slice()), told, cx.rng))
    }
}
