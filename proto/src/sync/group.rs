//! How far a node holds one group, as peers compare it: the list, its hash, its sums, and what is answered about them.

use std::sync::OnceLock;

use crate::{
    id::{CoalitionId, GroupId, LogId},
    schema::{Frontier, Malformed, PullFrontier, PullSlices, Slices, sync_response::Response},
    sync::{
        frontier::{self, LogFrontier},
        slices::{self, Only, Sums},
    },
};

/// What peers compare of one group, at one moment.
#[derive(Debug)]
pub struct GroupFrontier {
    coalition: CoalitionId,
    group: GroupId,
    logs: Vec<LogFrontier>,
    hash: [u8; 32],
    sums: OnceLock<Sums>,
}

impl GroupFrontier {
    /// Of all logs of the group that count, ascending by log id.
    #[must_use]
    pub fn new(coalition: CoalitionId, group: GroupId, logs: Vec<LogFrontier>) -> Self {
        let hash = frontier::hash(coalition, group, &logs);
        Self { coalition, group, logs, hash, sums: OnceLock::new() }
    }

    /// Group.
    #[must_use]
    pub const fn group(&self) -> GroupId {
        self.group
    }

    /// Every log that counts, by log id.
    #[must_use]
    pub fn logs(&self) -> &[LogFrontier] {
        &self.logs
    }

    /// Equal hashes: nothing to fetch either way.
    #[must_use]
    pub const fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// Of its slices; made when first asked for.
    pub fn sums(&self) -> &Sums {
        self.sums.get_or_init(|| Sums::of(self.coalition, self.group, &self.logs))
    }

    /// One log.
    #[must_use]
    pub fn log(&self, log: LogId) -> Option<&LogFrontier> {
        let at = self.logs.binary_search_by_key(&log, |log| log.log).ok()?;
        self.logs.get(at)
    }

    /// The hash of a peer's whole list, of what it sent of some slices and of ours, which it shares in the others.
    #[must_use]
    pub fn hash_with(&self, theirs: &[LogFrontier], only: Only) -> [u8; 32] {
        frontier::hash(self.coalition, self.group, &slices::merged(&self.logs, theirs, only))
    }

    /// The list, or the part of it that was asked for.
    ///
    /// # Errors
    /// [`Malformed`]: the asker's fault.
    pub fn answer(&self, pull: &PullFrontier) -> Result<Response, Malformed> {
        self.listed("PullFrontier", &pull.hash, &pull.after, Only::ALL)
    }

    /// The sums of all slices, or the list of some.
    ///
    /// # Errors
    /// [`Malformed`]: the asker's fault.
    pub fn answer_slices(&self, pull: &PullSlices) -> Result<Response, Malformed> {
        if let Some(only) = Only::new(pull.only) {
            return self.listed("PullSlices", &pull.hash, &pull.after, only);
        }
        let sums = if pull.hash == self.hash { Vec::new() } else { self.sums().to_vec() };
        Ok(Response::Slices(Slices { hash: self.hash.to_vec(), sums }))
    }

    fn listed(
        &self,
        what: &'static str,
        theirs: &[u8],
        after: &[u8],
        only: Only,
    ) -> Result<Response, Malformed> {
        if theirs == self.hash {
            return Ok(Response::Frontier(Frontier { hash: theirs.to_vec(), ..Frontier::default() }));
        }
        let after = match after {
            [] => None,
            after => Some(
                LogId::try_from(after)
                    .map_err(|_| Malformed::field(what, "after", "must be empty or 32 bytes"))?,
            ),
        };
        Ok(Response::Frontier(frontier::part_of(self.hash, &self.logs, after, only)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        id::{MessageId, Sequence},
        sync::{MissingSum, slices::SLICES},
    };

    const GROUP: GroupId = GroupId::new(5);

    /// Two logs a slice.
    fn held() -> GroupFrontier {
        let log = |n: u8| LogFrontier {
            group: GROUP,
            log: LogId::new([n; 32]),
            low: Sequence::new(1),
            height: Sequence::new(3),
            head: MessageId::new([9; 32]),
            bodies: 3,
            frozen: Sequence::new(0),
            missing: MissingSum::default(),
        };
        GroupFrontier::new(CoalitionId::ZERO, GROUP, (0..=254).step_by(2).map(log).collect())
    }

    #[test]
    fn who_asks_to_go_on_behind_no_log_is_refused() {
        let held = held();
        let (group, hash, after) = (GROUP.get(), Vec::new(), vec![1; 31]);
        let pull = PullFrontier { group, hash: hash.clone(), after: after.clone() };
        assert!(held.answer(&pull).is_err());
        assert!(held.answer_slices(&PullSlices { group, hash, only: 1, after }).is_err());
    }

    #[test]
    fn who_is_level_is_told_the_hash_alone_and_else_what_it_asked_for() {
        let held = held();
        let pull = |hash: &[u8], only| PullSlices {
            group: GROUP.get(),
            hash: hash.to_vec(),
            only,
            after: Vec::new(),
        };
        let hash = held.hash().to_vec();
        let level = Slices { hash: hash.clone(), sums: Vec::new() };
        assert_eq!(held.answer_slices(&pull(&hash, 0)), Ok(Response::Slices(level)));
        let told = Slices { hash: hash.clone(), sums: held.sums().to_vec() };
        assert_eq!(held.answer_slices(&pull(&[], 0)), Ok(Response::Slices(told)));
        let listed = |response| match response {
            Ok(Response::Frontier(part)) => part.logs.len(),
            other => panic!("{other:?}"),
        };
        assert_eq!(listed(held.answer_slices(&pull(&hash, 5))), 0);
        assert_eq!(listed(held.answer_slices(&pull(&[], 5))), 4);
        let all = PullFrontier { group: GROUP.get(), ..PullFrontier::default() };
        assert_eq!(listed(held.answer(&all)), 2 * SLICES);
    }

    #[test]
    fn one_log_is_found_and_none_that_is_not_held() {
        let held = held();
        assert_eq!(held.log(LogId::new([4; 32])).map(|log| log.log), Some(LogId::new([4; 32])));
        assert!(held.log(LogId::new([5; 32])).is_none());
    }
}
