//! Comparing frontiers with one peer, in full or by slices, and what is answered to whoever compares.

use std::sync::Arc;

use belfry_proto::{
    crypto::sign::PublicKey,
    id::GroupId,
    schema::{PullFrontier, PullSlices, Refusal, sync_response::Response},
    sync::{Comparison, GroupFrontier, Next, slices::Only},
    verdict::Judged,
};

use super::{Conduct, Cx, Node, Observation, Synced};
use crate::faults::{Crashed, Defect};

impl Node {
    /// What this node holds of a group, as peers compare it.
    pub(crate) fn held(&self, group: GroupId) -> Arc<GroupFrontier> {
        Arc::new(GroupFrontier::new(self.coalition, group, self.durable.logs.frontier(group)))
    }

    pub(super) fn pull_group(&mut self, peer: PublicKey, group: GroupId, cx: &mut Cx<'_>) {
        if self.has(Defect::NeverSyncs) || peer == self.key() {
            return;
        }
        let (comparison, first) = Comparison::begin(self.held(group), self.few);
        self.ask_sync(peer, Synced::Frontier(comparison, 1), first, cx);
    }

    /// What came of the question that was the `asked`th of its comparison.
    pub(super) fn frontier_answered(
        &mut self,
        peer: PublicKey,
        mut comparison: Comparison,
        asked: usize,
        response: Response,
        cx: &mut Cx<'_>,
    ) -> Result<(), Crashed> {
        if let (Conduct::Liar, Response::Slices(told)) = (self.conduct, &response) {
            let group = comparison.ours().group();
            self.up().sums.insert((peer, group), told.sums.clone());
        }
        let by_slices = matches!(response, Response::Frontier(_)) && comparison.only() != Only::ALL;
        let step = match comparison.heard(response) {
            Ok(step) => step,
            Err(error) => return self.spoiled(peer, error.code(), cx),
        };
        cx.saw(Observation::Compared { asked, by_slices });
        for range in step.ranges {
            self.pull(peer, range, cx);
        }
        match step.next {
            Next::Ask(next) => self.ask_sync(peer, Synced::Frontier(comparison, asked + 1), next, cx),
            Next::Level | Next::Done | Next::Cut => {}
        }
        Ok(())
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
