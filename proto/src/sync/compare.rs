//! Comparing one group with one peer: which question comes first, what follows from an answer, and when it ends.
//!
//! ```text
//! few logs  ─▶ PullFrontier ─▶ level, or the list in parts ───────────────────────────┐
//! many logs ─▶ PullSlices ─▶ level, or sums ─▶ PullSlices of those that differ ─▶ list ─┴─plan─▶ ranges
//! ```
//!
//! Bytes in, questions and ranges out: who sends them, and how long an answer may take, is the caller's. However a peer
//! answers, it is asked [`MAX_PARTS`] times for a part and once for its sums.

use std::sync::Arc;

use crate::{
    id::{LogId, Sequence},
    schema::{Frontier, PullFrontier, PullSlices, Slices, sync_request::Request, sync_response::Response},
    sync::{
        frontier::{self, FrontierError},
        group::GroupFrontier,
        plan::{self, Range},
        slices::{Only, Sums},
    },
    verdict::{Judged, Verdict},
};

/// Parts of one frontier read in one comparison: half a million logs. A list without end ends here.
pub const MAX_PARTS: usize = 64;

/// Why a peer's answer is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompareError {
    /// A list, or sums, that break a rule.
    #[error(transparent)]
    Frontier(#[from] FrontierError),
    /// A whole list that is not the one whose hash came with it.
    #[error("its frontier does not hash to what it says")]
    OtherHash,
    /// An answer to some other question.
    #[error("the peer answered another question")]
    WrongAnswer,
}

impl Judged for CompareError {
    /// On the peer that answered; no roster is involved.
    fn verdict(&self) -> Verdict {
        match self {
            Self::Frontier(error) => error.verdict(),
            Self::OtherHash | Self::WrongAnswer => Verdict::Reject,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Frontier(error) => error.code(),
            Self::OtherHash => "frontier-other-hash",
            Self::WrongAnswer => "wrong-answer",
        }
    }
}

/// What follows from one answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What the peer claims beyond us, as far as this answer tells.
    pub ranges: Vec<Range>,
    /// What is to be done.
    pub next: Next,
}

/// What is to be done after an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Ask this of the same peer.
    Ask(Request),
    /// Nothing: its frontier is ours.
    Level,
    /// Nothing: all of it was read.
    Done,
    /// Nothing now: there is more than one comparison reads.
    Cut,
}

/// A comparison under way.
#[derive(Clone, Debug)]
pub struct Comparison {
    ours: Arc<GroupFrontier>,
    /// Slices that are listed.
    only: Only,
    /// The peer's hash when it told its sums.
    told: Option<Vec<u8>>,
    /// The last log listed so far.
    after: Option<LogId>,
    parts: usize,
    awaits_sums: bool,
}

impl Comparison {
    /// Begins one, with the first question. Up to `few` logs ([`FEW`](super::slices::FEW) of a node's) it asks for the list
    /// at once.
    #[must_use]
    pub fn begin(ours: Arc<GroupFrontier>, few: usize) -> (Self, Request) {
        let awaits_sums = ours.logs().len() > few;
        let begun = Self { ours, only: Only::ALL, told: None, after: None, parts: 0, awaits_sums };
        let first = begun.question();
        (begun, first)
    }

    /// What we held when it began.
    #[must_use]
    pub fn ours(&self) -> &GroupFrontier {
        &self.ours
    }

    /// Slices that are listed: all, unless the peer told sums that say otherwise.
    #[must_use]
    pub const fn only(&self) -> Only {
        self.only
    }

    fn question(&self) -> Request {
        let (group, hash) = (self.ours.group().get(), self.ours.hash().to_vec());
        let after = self.after.map(|log| log.to_vec()).unwrap_or_default();
        match (self.awaits_sums, self.only) {
            (true, _) => Request::Slices(PullSlices { group, hash, only: 0, after }),
            (false, Only::ALL) => Request::Frontier(PullFrontier { group, hash, after }),
            (false, only) => Request::Slices(PullSlices { group, hash, only: only.bits(), after }),
        }
    }

    /// Takes the peer's answer in.
    ///
    /// # Errors
    /// [`CompareError`]: the peer's fault, and the end of it.
    pub fn heard(&mut self, response: Response) -> Result<Step, CompareError> {
        match response {
            Response::Slices(told) if self.awaits_sums => self.sums(told),
            // Under number 1 of the protocol it answers the question for sums with the list.
            Response::Frontier(part) => self.listed(&part),
            Response::Slices(_)
            | Response::Page(_)
            | Response::Addresses(_)
            | Response::Refused(_)
            | Response::Fork(_)
            | Response::Contacts(_)
            | Response::ContactTaken(_) => Err(CompareError::WrongAnswer),
        }
    }

    fn sums(&mut self, told: Slices) -> Result<Step, CompareError> {
        if told.hash == self.ours.hash() {
            return Ok(Step { ranges: Vec::new(), next: Next::Level });
        }
        // If they differ nowhere but in their hash, the list tells.
        self.only = self.ours.sums().differing(&Sums::read(&told.sums)?).unwrap_or(Only::ALL);
        (self.told, self.awaits_sums) = (Some(told.hash), false);
        Ok(Step { ranges: Vec::new(), next: Next::Ask(self.question()) })
    }

    fn listed(&mut self, part: &Frontier) -> Result<Step, CompareError> {
        self.awaits_sums = false;
        if part.hash == self.ours.hash() {
            return Ok(Step { ranges: Vec::new(), next: Next::Level });
        }
        let mut theirs = frontier::read_part(self.ours.group(), self.after, part)?;
        let last = theirs.last().map(|log| log.log);
        // A peer asked under number 1 in between lists all there are. Ours of the other slices stand for its own.
        theirs.retain(|log| self.only.has(log.log));
        // Where it moved on since it told its sums, its other slices are not known.
        let is_told = self.only == Only::ALL || self.told.as_ref().is_none_or(|told| *told == part.hash);
        let is_whole = self.after.is_none() && !part.more && is_told;
        if is_whole && part.hash != self.ours.hash_with(&theirs, self.only) {
            return Err(CompareError::OtherHash);
        }
        let planned = plan::plan(self.ours.logs(), &theirs);
        let ranges = planned.into_iter().filter_map(|range| self.below_fork(range)).collect();
        self.parts += 1;
        let next = match part.more {
            false => Next::Done,
            true if self.parts >= MAX_PARTS => Next::Cut,
            true => {
                self.after = last;
                Next::Ask(self.question())
            }
        };
        Ok(Step { ranges, next })
    }

    /// A proven fork freezes its log: from there on there is nothing to fetch, from anybody. Below it there may be, and a
    /// lower fork.
    fn below_fork(&self, range: Range) -> Option<Range> {
        match self.ours.log(range.log).map_or(0, |log| log.frozen.get()) {
            0 => Some(range),
            frozen => {
                let to = range.to.min(Sequence::new(frozen - 1));
                (range.from <= to).then_some(Range { to, ..range })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        id::{CoalitionId, GroupId, MessageId},
        schema::LogFrontier as Wire,
        sync::{LogFrontier, MissingSum, plan::Want, slices::FEW},
    };

    const GROUP: GroupId = GroupId::new(5);

    /// A log of slice `n`.
    fn log(n: u8, height: u64) -> LogFrontier {
        LogFrontier {
            group: GROUP,
            log: LogId::new([n << 2; 32]),
            low: Sequence::new(1),
            height: Sequence::new(height),
            head: MessageId::new([9; 32]),
            bodies: height,
            frozen: Sequence::new(0),
            missing: MissingSum::default(),
        }
    }

    fn held(changed: &[LogFrontier]) -> Arc<GroupFrontier> {
        let of = |n| {
            let new = changed.iter().find(|changed| changed.log == log(n, 1).log);
            new.copied().unwrap_or_else(|| log(n, 3))
        };
        Arc::new(GroupFrontier::new(CoalitionId::ZERO, GROUP, (0..40).map(of).collect()))
    }

    fn answered(theirs: &GroupFrontier, request: &Request) -> Response {
        match request {
            Request::Frontier(pull) => theirs.answer(pull).unwrap(),
            Request::Slices(pull) => theirs.answer_slices(pull).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// All that an honest peer brings, and how often it is asked.
    fn compared(ours: &Arc<GroupFrontier>, theirs: &GroupFrontier, few: usize) -> (Vec<Range>, usize) {
        let (mut comparison, mut request) = Comparison::begin(Arc::clone(ours), few);
        let (mut ranges, mut asked) = (Vec::new(), 0);
        loop {
            asked += 1;
            let step = comparison.heard(answered(theirs, &request)).unwrap();
            ranges.extend(step.ranges);
            match step.next {
                Next::Ask(next) => request = next,
                Next::Level | Next::Done | Next::Cut => return (ranges, asked),
            }
        }
    }

    #[test]
    fn an_answer_to_another_question_or_without_its_hash_is_the_peers_fault() {
        let (ours, theirs) = (held(&[]), held(&[log(7, 9)]));
        let begun = || Comparison::begin(Arc::clone(&ours), FEW).0;
        let refused = |response| begun().heard(response).unwrap_err();
        let addresses = Response::Addresses(crate::schema::Addresses::default());
        assert_eq!(refused(addresses), CompareError::WrongAnswer);
        let short = Slices { hash: vec![1; 32], sums: vec![2; 16] };
        assert_eq!(refused(Response::Slices(short)), CompareError::Frontier(FrontierError::Sums(16)));
        let (mut listing, _) = Comparison::begin(Arc::clone(&ours), usize::MAX);
        let sums = Slices { hash: theirs.hash().to_vec(), sums: theirs.sums().to_vec() };
        assert_eq!(listing.heard(Response::Slices(sums.clone())), Err(CompareError::WrongAnswer));
        // Of the slice that differs, nothing.
        let mut comparison = begun();
        comparison.heard(Response::Slices(sums)).unwrap();
        let nothing = Frontier { hash: theirs.hash().to_vec(), ..Frontier::default() };
        assert_eq!(comparison.heard(Response::Frontier(nothing)), Err(CompareError::OtherHash));
    }

    #[test]
    fn by_slices_a_peer_offers_what_it_offers_in_full_and_level_it_is_asked_once() {
        let frozen =
            LogFrontier { frozen: Sequence::new(2), height: Sequence::new(1), bodies: 1, ..log(5, 3) };
        let ours = held(&[log(9, 1), frozen]);
        for theirs in [held(&[log(7, 9)]), held(&[log(7, 9), log(8, 4), log(39, 5)]), held(&[])] {
            let (in_full, once) = compared(&ours, &theirs, usize::MAX);
            let (by_slices, twice) = compared(&ours, &theirs, 0);
            assert!(!in_full.is_empty(), "log 9 is longer there");
            assert_eq!((&by_slices, once, twice), (&in_full, 1, 2));
            assert!(in_full.iter().all(|range| range.log != frozen.log), "nothing lies beyond a fork");
        }
        assert_eq!(compared(&ours, &held(&[log(9, 1), frozen]), 0), (Vec::new(), 1));
    }

    #[test]
    fn sums_that_differ_nowhere_bring_the_list_and_those_that_differ_for_nothing_do_no_harm() {
        let (ours, theirs) = (held(&[]), held(&[log(7, 9)]));
        let wanted = vec![Range {
            group: GROUP,
            log: log(7, 1).log,
            from: Sequence::new(4),
            to: Sequence::new(9),
            want: Want::Entries,
        }];
        for sums in [ours.sums().to_vec(), vec![0xaa; theirs.sums().to_vec().len()]] {
            let (mut comparison, _) = Comparison::begin(Arc::clone(&ours), 0);
            let told = Slices { hash: theirs.hash().to_vec(), sums };
            let Next::Ask(next) = comparison.heard(Response::Slices(told)).unwrap().next else {
                panic!("no list is asked for")
            };
            let step = comparison.heard(answered(&theirs, &next)).unwrap();
            assert_eq!(step, Step { ranges: wanted.clone(), next: Next::Done });
        }
    }

    #[test]
    fn a_peer_of_number_one_answers_the_first_question_with_its_list() {
        let (ours, theirs) = (held(&[]), held(&[log(7, 9)]));
        let (mut comparison, _) = Comparison::begin(Arc::clone(&ours), 0);
        let step = comparison.heard(theirs.answer(&PullFrontier::default()).unwrap()).unwrap();
        assert_eq!((step.ranges.len(), step.next), (1, Next::Done));
    }

    /// A log that nobody holds, after the one before, and always another one.
    #[test]
    fn a_list_without_end_is_cut() {
        let (mut comparison, mut request) = Comparison::begin(held(&[]), usize::MAX);
        let mut asked = 0_u16;
        loop {
            let Request::Frontier(_) = request else { panic!("{request:?}") };
            asked += 1;
            let mut id = [0xff; 32];
            id[30..].copy_from_slice(&asked.to_be_bytes());
            let empty = Wire::from(&LogFrontier::empty(GROUP, LogId::new(id)));
            let part = Frontier { hash: vec![1; 32], logs: vec![empty], more: true };
            match comparison.heard(Response::Frontier(part)).unwrap().next {
                Next::Ask(next) => request = next,
                next => break assert_eq!(next, Next::Cut),
            }
        }
        assert_eq!(usize::from(asked), MAX_PARTS);
    }
}
