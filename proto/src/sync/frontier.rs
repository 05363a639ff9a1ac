//! How far a node holds each log of a group.

use crate::{
    crypto::hash as crypto_hash,
    id::{CoalitionId, GroupId, LogId, MessageId, Sequence},
    limits::MAX_FRONTIER_LOGS,
    schema::{self, Malformed},
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
    /// The list has one order, by log id, each once.
    #[error("logs are not in ascending order of their ids")]
    Unsorted,
}

impl Judged for FrontierError {
    /// On the peer that answered; no roster is involved.
    fn verdict(&self) -> Verdict {
        match self {
            Self::Malformed(_) | Self::TooMany(_) | Self::OtherGroup(_) | Self::Unsorted => Verdict::Reject,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "frontier-malformed",
            Self::TooMany(_) => "frontier-too-many",
            Self::OtherGroup(_) => "frontier-other-group",
            Self::Unsorted => "frontier-unsorted",
        }
    }
}

impl LogFrontier {
    /// A log of which nothing is held.
    #[must_use]
    pub const fn empty(group: GroupId, log: LogId) -> Self {
        let (low, height) = (Sequence::new(1), Sequence::new(0));
        Self { group, log, low, height, head: MessageId::ZERO, bodies: 0 }
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
        };
        if wire.group == 0 {
            return Err(field("group", "must not be 0"));
        }
        // The last number of all would overflow every "next" that is reckoned from it.
        if wire.height == u64::MAX {
            return Err(field("height", "must be a sequence that has a next"));
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
    let mut encoded = Vec::with_capacity(logs.len() * 88);
    for log in logs {
        // Every field has one length, so the concatenation reads back one way only.
        encoded.extend_from_slice(log.log.as_ref());
        encoded.extend_from_slice(&log.low.get().to_be_bytes());
        encoded.extend_from_slice(&log.height.get().to_be_bytes());
        encoded.extend_from_slice(log.head.as_ref());
        encoded.extend_from_slice(&log.bodies.to_be_bytes());
    }
    crypto_hash::frontier(coalition, group.get(), &encoded)
}

#[cfg(test)]
mod tests {
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
        }
    }

    fn wire(logs: &[LogFrontier]) -> Vec<schema::LogFrontier> {
        logs.iter().map(schema::LogFrontier::from).collect()
    }

    #[test]
    fn list_reads_back_as_written() {
        let logs = [log(1, 0), log(2, 7), LogFrontier { low: Sequence::new(4), bodies: 4, ..log(3, 7) }];
        assert_eq!(read_list(GROUP, &wire(&logs)), Ok(logs.to_vec()));
    }

    #[test]
    fn impossible_frontiers_are_refused() {
        let refused = [
            LogFrontier { group: GroupId::new(0), ..log(1, 7) },
            LogFrontier { low: Sequence::new(0), ..log(1, 7) },
            LogFrontier { low: Sequence::new(9), bodies: 0, ..log(1, 7) },
            LogFrontier { height: Sequence::new(u64::MAX), ..log(1, 7) },
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
        ];
        for first in changed {
            assert_ne!(base, hash(coalition, GROUP, &[first, log(2, 7)]));
        }
        assert_ne!(base, hash(CoalitionId::ZERO, GROUP, &[log(1, 7), log(2, 7)]));
        assert_ne!(base, hash(coalition, GroupId::new(6), &[log(1, 7), log(2, 7)]));
    }
}
