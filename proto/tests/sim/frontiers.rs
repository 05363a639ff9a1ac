//! Whether comparing by slices, in full, and under the number before comes to the same.

use std::sync::Arc;

use belfry_proto::{
    id::Serial,
    schema::{SyncRequest, sync_request::Request, sync_response::Response},
    sync::{Comparison, GroupFrontier, Next, Range, number},
};

use crate::{
    admins::GROUPS,
    invariants::Violation,
    node::{Conduct, Node},
};

/// Between every two honest nodes that are up: what one would ask the other for is the same, however it finds out.
pub(crate) fn same_either_way(nodes: &[Node]) -> Result<(), Violation> {
    let honest: Vec<&Node> =
        nodes.iter().filter(|node| node.is_up() && node.conduct == Conduct::Honest).collect();
    for group in GROUPS {
        let held: Vec<(Serial, Arc<GroupFrontier>)> =
            honest.iter().map(|node| (node.identity.serial, node.held(group))).collect();
        for (by, ours) in &held {
            for (of, theirs) in &held {
                let in_full = offered(ours, theirs, usize::MAX, number::NEWEST);
                let by_slices = offered(ours, theirs, 0, number::NEWEST);
                let of_older = offered(ours, theirs, 0, number::NEWEST - 1);
                if in_full.is_none() || by_slices != in_full || of_older != in_full {
                    return Err(Violation::SlicesDiffer { by: *by, of: *of, group });
                }
            }
        }
    }
    Ok(())
}

/// What an honest peer has beyond us; none if its answers are blamed.
fn offered(ours: &Arc<GroupFrontier>, theirs: &GroupFrontier, few: usize, number: u32) -> Option<Vec<Range>> {
    let (mut comparison, mut question) = Comparison::begin(Arc::clone(ours), few);
    let mut ranges = Vec::new();
    loop {
        let step = comparison.heard(answered(theirs, question, number)).ok()?;
        ranges.extend(step.ranges);
        match step.next {
            Next::Ask(next) => question = next,
            Next::Level | Next::Done | Next::Cut => return Some(ranges),
        }
    }
}

fn answered(theirs: &GroupFrontier, question: Request, number: u32) -> Response {
    let request = SyncRequest { request: Some(question) };
    match number::request_under(number, &request).unwrap().into_owned().request {
        Some(Request::Frontier(pull)) => theirs.answer(&pull).unwrap(),
        Some(Request::Slices(pull)) => theirs.answer_slices(&pull).unwrap(),
        other => panic!("no question about frontiers: {other:?}"),
    }
}
