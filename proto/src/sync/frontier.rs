//! How far a node holds each log of a group.

use crate::{
    crypto::hash as crypto_hash,
    id::{CoalitionId, GroupId, LogId, MessageId, Sequence},
    limits::{MAX_FRONTIER_LOGS, MAX_SEQUENCE},
    schema::{self, Malformed},
    sync::slices::Only,
    verdict::{Judged, Verdict},
};

const WHAT: &str = "log frontier";

/// One log as one node holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogFrontier {
    /// Group.
    pub group: GroupId,
    /// Log.
    pub log: LogId,
    /// Lowest sequence from which bodies are kept (older ones are past retention); 1 if none was dropped.
    pub low: Sequence,
    /// Highest sequence without a gap below; 0 while the first entry is missing.
    pub height: Sequence,
    /// Message id at `height`; zero at 0.
    pub head: MessageId,
    /// Entries in `low..=height` that miss nothing: the body is there, was withdrawn, or never was.
    pub bodies: u64,
    /// The lowest place with two histories; 0 if none is known.
    pub frozen: Sequence,
    /// Which entries up to `height` do miss something.
    pub missing: MissingSum,
}

/// Which entries of a log miss their body, as one sum: equal sets have equal sums, others do not but by chance.
///
/// Each entry adds the hash of its place by exclusive or, so it goes out as it came in, in any order, and a log's sum is
/// kept in step with it at no more than a hash a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MissingSum([u8; 16]);

impl MissingSum {
    /// Bytes of it.
    pub const LEN: usize = 16;

    /// Takes an entry in, or out again.
    pub fn toggle(&mut self, log: LogId, sequence: Sequence) {
        let entry = crypto_hash::missing(log, sequence.get());
        for (sum, byte) in self.0.iter_mut().zip(entry) {
            *sum ^= byte;
        }
    }

    /// Whether no entry is in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// On the wire and on disk: nothing, if nothing is in it.
    #[must_use]
    pub fn to_vec(self) -> Vec<u8> {
        if self.is_empty() { Vec::new() } else { self.0.to_vec() }
    }

    /// What [`Self::to_vec`] wrote; `None` for anything else.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [] => Some(Self::default()),
            bytes => bytes.try_into().ok().map(Self).filter(|sum| !sum.is_empty()),
        }
    }
}

/// Why a peer's list of frontiers is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrontierError {
    /// A field breaks its own rule.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// More logs than a list may have.
    #[error("{0} logs in one frontier, over the limit of 8192")]
    TooMany(usize),
    /// A log of a group that was not asked for.
    #[error("log of group {0} in a frontier of another group")]
    OtherGroup(GroupId),
    /// The list has one order, by log id, each once, and goes on where it was asked to.
    #[error("logs are not in ascending order of their ids")]
    Unsorted,
    /// More is promised, and this part has nothing to go on from.
    #[error("an empty part of a frontier that promises more")]
    Endless,
    /// Sums of slices have one length.
    #[error("{0} bytes of sums of a frontier's slices, not 1024")]
    Sums(usize),
}

impl Judged for FrontierError {
    /// On the peer that answered; no roster is involved.
    fn verdict(&self) -> Verdict {
        match self {
            Self::Malformed(_)
            | Self::TooMany(_)
            | Self::OtherGroup(_)
            | Self::Unsorted
            | Self::Endless
            | Self::Sums(_) => Verdict::Reject,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "frontier-malformed",
            Self::TooMany(_) => "frontier-too-many",
            Self::OtherGroup(_) => "frontier-other-group",
            Self::Unsorted => "frontier-unsorted",
            Self::Endless => "frontier-endless",
            Self::Sums(_) => "frontier-sums",
        }
    }
}

impl LogFrontier {
    /// A log of which nothing is held.
    #[must_use]
    pub const fn empty(group: GroupId, log: LogId) -> Self {
        let (low, height) = (Sequence::new(1), Sequence::new(0));
        let (frozen, missing) = (Sequence::new(0), MissingSum([0; MissingSum::LEN]));
        Self { group, log, low, height, head: MessageId::ZERO, bodies: 0, frozen, missing }
    }

    /// Entries that should have their body and have it not.
    #[must_use]
    pub const fn holes(&self) -> u64 {
        (self.height.get() + 1).saturating_sub(self.low.get()).saturating_sub(self.bodies)
    }
}

impl From<&LogFrontier> for schema::LogFrontier {
    fn from(frontier: &LogFrontier) -> Self {
        Self {
            group: frontier.group.get(),
            log: frontier.log.to_vec(),
            low: frontier.low.get(),
            height: frontier.height.get(),
            head: frontier.head.to_vec(),
            bodies: frontier.bodies,
            frozen: frontier.frozen.get(),
            missing: frontier.missing.to_vec(),
        }
    }
}

impl TryFrom<&schema::LogFrontier> for LogFrontier {
    type Error = Malformed;

    fn try_from(wire: &schema::LogFrontier) -> Result<Self, Malformed> {
        let field = |field, rule| Malformed::field(WHAT, field, rule);
        let frontier = Self {
            group: GroupId::new(wire.group),
            log: LogId::try_from(wire.log.as_slice()).map_err(|_| field("log", "must be 32 bytes"))?,
            low: Sequence::new(wire.low),
            height: Sequence::new(wire.height),
            head: MessageId::try_from(wire.head.as_slice()).map_err(|_| field("head", "must be 32 bytes"))?,
            bodies: wire.bodies,
            frozen: Sequence::new(wire.frozen),
            missing: MissingSum::read(&wire.missing)
                .ok_or_else(|| field("missing", "must be empty, or 16 bytes that are not all zero"))?,
        };
        if wire.group == 0 {
            return Err(field("group", "must not be 0"));
        }
        // No envelope stands above it, and every "next" that is reckoned from it has room.
        if wire.height > MAX_SEQUENCE {
            return Err(field("height", "must be at most 2^53"));
        }
        if wire.frozen > MAX_SEQUENCE {
            return Err(field("frozen", "must be at most 2^53"));
        }
        if wire.low == 0 || wire.low > wire.height + 1 {
            return Err(field("low", "must lie between 1 and the next sequence"));
        }
        if (wire.height == 0) != (frontier.head == MessageId::ZERO) {
            return Err(field("head", "must be zero at height 0 and only there"));
        }
        if wire.bodies > wire.height + 1 - wire.low {
            return Err(field("bodies", "must not exceed the entries from low to height"));
        }
        Ok(frontier)
    }
}

/// Reads a part of a peer's list for `group`: what lies above `after`, which is the last log of the part
/// before.
///
/// # Errors
/// [`FrontierError`]: the peer's fault.
pub fn read_part(
    group: GroupId,
    after: Option<LogId>,
    part: &schema::Frontier,
) -> Result<Vec<LogFrontier>, FrontierError> {
    let logs = read_list(group, &part.logs)?;
    if after.is_some_and(|after| logs.first().is_some_and(|first| first.log <= after)) {
        return Err(FrontierError::Unsorted);
    }
    if part.more && logs.is_empty() {
        return Err(FrontierError::Endless);
    }
    Ok(logs)
}

/// The part of a frontier to answer with: logs of these slices above `after`, as many as a reply takes.
#[must_use]
pub fn part_of(hash: [u8; 32], sorted: &[LogFrontier], after: Option<LogId>, only: Only) -> schema::Frontier {
    let begin = after.map_or(0, |after| sorted.partition_point(|log| log.log <= after));
    let rest = sorted.get(begin..).unwrap_or_default();
    let mut wanted = rest.iter().filter(|log| only.has(log.log));
    schema::Frontier {
        hash: hash.to_vec(),
        logs: wanted.by_ref().take(MAX_FRONTIER_LOGS).map(schema::LogFrontier::from).collect(),
        more: wanted.next().is_some(),
    }
}

/// Reads a peer's list for `group`.
///
/// # Errors
/// [`FrontierError`]: the peer's fault.
pub fn read_list(group: GroupId, wire: &[schema::LogFrontier]) -> Result<Vec<LogFrontier>, FrontierError> {
    if wire.len() > MAX_FRONTIER_LOGS {
        return Err(FrontierError::TooMany(wire.len()));
    }
    let logs = wire.iter().map(LogFrontier::try_from).collect::<Result<Vec<_>, _>>()?;
    if let Some(other) = logs.iter().find(|log| log.group != group) {
        return Err(FrontierError::OtherGroup(other.group));
    }
    if !logs.iter().zip(logs.iter().skip(1)).all(|(one, next)| one.log < next.log) {
        return Err(FrontierError::Unsorted);
    }
    Ok(logs)
}

/// Hash of a group's frontier: equal hashes, nothing to fetch either way. The order given does not matter.
#[must_use]
pub fn hash(coalition: CoalitionId, group: GroupId, logs: &[LogFrontier]) -> [u8; 32] {
    let mut logs: Vec<&LogFrontier> = logs.iter().collect();
    logs.sort_by_key(|log| log.log);
    let mut encoded = Vec::with_capacity(logs.len() * 112);
    for log in logs {
        // Every field has one length, so the concatenation reads back one way only.
        encoded.extend_from_slice(log.log.as_ref());
        encoded.extend_from_slice(&log.low.get().to_be_bytes());
        encoded.extend_from_slice(&log.height.get().to_be_bytes());
        encoded.extend_from_slice(log.head.as_ref());
        encoded.extend_from_slice(&log.bodies.to_be_bytes());
        encoded.extend_from_slice(&log.frozen.get().to_be_bytes());
        encoded.extend_from_slice(&log.missing.0);
    }
    crypto_hash::frontier(coalition, group.get(), &encoded)
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    const GROUP: GroupId = GroupId::new(5);

    fn log(n: u8, height: u64) -> LogFrontier {
        LogFrontier {
            group: GROUP,
            log: LogId::new([n; 32]),
            low: Sequence::new(1),
            height: Sequence::new(height),
            head: MessageId::new([if height == 0 { 0 } else { 9 }; 32]),
            bodies: height,
            frozen: Sequence::new(0),
            missing: MissingSum::default(),
        }
    }

    fn missing(places: &[u64]) -> MissingSum {
        let mut sum = MissingSum::default();
        places.iter().for_each(|place| sum.toggle(LogId::new([1; 32]), Sequence::new(*place)));
        sum
    }

    #[test]
    fn the_sum_of_what_is_missing_tells_which_in_any_order() {
        assert_eq!(missing(&[3, 9]), missing(&[9, 3]));
        assert_ne!(missing(&[3]), missing(&[9]));
        assert!(missing(&[3, 9, 3, 9]).is_empty());
        for sum in [missing(&[]), missing(&[3])] {
            assert_eq!(MissingSum::read(&sum.to_vec()), Some(sum));
        }
        assert_eq!((MissingSum::read(&[0; 16]), MissingSum::read(&[1; 15])), (None, None));
        let held = |places| LogFrontier { bodies: 6, missing: missing(places), ..log(1, 7) };
        let hash = |log: LogFrontier| hash(CoalitionId::ZERO, GROUP, &[log]);
        assert_ne!(hash(held(&[3])), hash(held(&[4])), "as many, but not the same ones");
    }

    fn wire(logs: &[LogFrontier]) -> Vec<schema::LogFrontier> {
        logs.iter().map(schema::LogFrontier::from).collect()
    }

    #[test]
    fn list_reads_back_as_written() {
        let logs = [
            log(1, 0),
            log(2, 7),
            LogFrontier { low: Sequence::new(4), bodies: 3, missing: missing(&[5]), ..log(3, 7) },
        ];
        assert_eq!(read_list(GROUP, &wire(&logs)), Ok(logs.to_vec()));
    }

    #[test]
    fn impossible_frontiers_are_refused() {
        let refused = [
            LogFrontier { group: GroupId::new(0), ..log(1, 7) },
            LogFrontier { low: Sequence::new(0), ..log(1, 7) },
            LogFrontier { low: Sequence::new(9), bodies: 0, ..log(1, 7) },
            LogFrontier { height: Sequence::new(MAX_SEQUENCE + 1), ..log(1, 7) },
            LogFrontier { head: MessageId::ZERO, ..log(1, 7) },
            LogFrontier { head: MessageId::new([1; 32]), ..log(1, 0) },
            LogFrontier { bodies: 8, ..log(1, 7) },
        ];
        for frontier in refused {
            assert!(LogFrontier::try_from(&schema::LogFrontier::from(&frontier)).is_err(), "{frontier:?}");
        }
    }

    #[test]
    fn lists_out_of_order_of_other_groups_or_too_long_are_refused() {
        let list = |logs: &[LogFrontier]| read_list(GROUP, &wire(logs));
        assert_eq!(list(&[log(2, 1), log(1, 1)]), Err(FrontierError::Unsorted));
        assert_eq!(list(&[log(1, 1), log(1, 1)]), Err(FrontierError::Unsorted));
        let other = LogFrontier { group: GroupId::new(6), ..log(1, 1) };
        assert_eq!(list(&[other]), Err(FrontierError::OtherGroup(GroupId::new(6))));
        let many = vec![log(1, 1); MAX_FRONTIER_LOGS + 1];
        assert_eq!(list(&many), Err(FrontierError::TooMany(MAX_FRONTIER_LOGS + 1)));
    }

    /// Log `n` of very many.
    fn nth(n: u32) -> LogFrontier {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&n.to_be_bytes());
        LogFrontier {
            log: LogId::new(id),
            frozen: Sequence::new(MAX_SEQUENCE),
            missing: missing(&[1]),
            ..log(1, MAX_SEQUENCE - 1)
        }
    }

    #[test]
    fn a_frontier_larger_than_a_reply_comes_in_parts() {
        let count = u32::try_from(MAX_FRONTIER_LOGS * 2 + 5).unwrap();
        let all: Vec<LogFrontier> = (0..count).map(nth).collect();
        let (mut read, mut parts) = (Vec::new(), 0);
        loop {
            let after = read.last().map(|log: &LogFrontier| log.log);
            let part = part_of([9; 32], &all, after, Only::ALL);
            assert!(part.encoded_len() < crate::limits::MAX_REPLY - 64, "{}", part.encoded_len());
            read.extend(read_part(GROUP, after, &part).unwrap());
            parts += 1;
            if !part.more {
                break;
            }
        }
        assert_eq!((read, parts), (all, 3));
    }

    #[test]
    fn parts_that_repeat_or_promise_without_end_are_refused() {
        let part =
            |logs: &[LogFrontier], more| schema::Frontier { hash: vec![9; 32], logs: wire(logs), more };
        let after = Some(nth(5).log);
        let again = part(&[nth(5), nth(6)], false);
        assert_eq!(read_part(GROUP, after, &again), Err(FrontierError::Unsorted));
        assert_eq!(read_part(GROUP, after, &part(&[], true)), Err(FrontierError::Endless));
        assert_eq!(read_part(GROUP, after, &part(&[], false)), Ok(vec![]));
    }

    /// Two nodes with nothing to tell each other: one hash each way, however much they hold.
    #[test]
    fn an_idle_comparison_costs_less_than_a_kilobyte() {
        use schema::{SyncRequest, SyncResponse, sync_request, sync_response};
        let all: Vec<LogFrontier> = (0..1000).map(nth).collect();
        let hash = hash(CoalitionId::new([7; 32]), GROUP, &all).to_vec();
        let pull = schema::PullFrontier { group: u32::MAX, hash: hash.clone(), after: Vec::new() };
        let equal = schema::Frontier { hash, logs: Vec::new(), more: false };
        let request = SyncRequest { request: Some(sync_request::Request::Frontier(pull)) };
        let response = SyncResponse { response: Some(sync_response::Response::Frontier(equal)) };
        let framed = 4 + request.encoded_len() + 4 + response.encoded_len();
        assert!(framed < 128, "{framed} bytes");
    }

    #[test]
    fn hash_covers_every_field_and_no_order() {
        let coalition = CoalitionId::new([7; 32]);
        let base = hash(coalition, GROUP, &[log(1, 7), log(2, 7)]);
        assert_eq!(base, hash(coalition, GROUP, &[log(2, 7), log(1, 7)]));
        let changed = [
            log(3, 7),
            LogFrontier { low: Sequence::new(2), ..log(1, 7) },
            LogFrontier { height: Sequence::new(8), ..log(1, 7) },
            LogFrontier { head: MessageId::new([8; 32]), ..log(1, 7) },
            LogFrontier { bodies: 6, ..log(1, 7) },
            LogFrontier { frozen: Sequence::new(8), ..log(1, 7) },
            LogFrontier { missing: missing(&[3]), ..log(1, 7) },
        ];
        for first in changed {
            assert_ne!(base, hash(coalition, GROUP, &[first, log(2, 7)]));
        }
        assert_ne!(base, hash(CoalitionId::ZERO, GROUP, &[log(1, 7), log(2, 7)]));
        assert_ne!(base, hash(coalition, GroupId::new(6), &[log(1, 7), log(2, 7)]));
    }
}
