//! Cuts: what of a closed key stays valid.
//!
//! A cut lists (log, sequence, message id). Only those messages and their ancestors stay valid; anything
//! else of that key is quarantined: kept, hidden, restorable by extend-cut. Because ids chain through
//! `prev`, a message below a cut point is an ancestor if and only if the hash chain leads to it.

use std::collections::BTreeMap;

use crate::{
    id::{GroupId, LogId, MessageId, Sequence},
    schema,
};

/// The last valid messages of a certificate's logs, for one group or for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// Groups the cut is limited to; empty for all.
    groups: Vec<GroupId>,
    points: BTreeMap<LogId, (Sequence, MessageId)>,
}

/// Where a message stands to its key's cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutStatus {
    /// No cut concerns it.
    Open,
    /// It is a cut point itself.
    At,
    /// Below a cut point: valid if an ancestor of it.
    BelowHeight,
    /// Beyond the cut, or in a log the cut does not list: quarantined.
    Beyond,
}

impl Cut {
    pub(super) fn new(groups: Vec<GroupId>, points: &[schema::CutPoint]) -> Self {
        let mut cut = Self { groups, points: BTreeMap::new() };
        cut.extend(points);
        cut
    }

    /// Raises points; a point never moves down.
    pub(super) fn extend(&mut self, points: &[schema::CutPoint]) {
        for point in points {
            let (Ok(log), Ok(message)) =
                (LogId::try_from(point.log.as_slice()), MessageId::try_from(point.message.as_slice()))
            else {
                continue;
            };
            let entry = self.points.entry(log).or_insert((Sequence::new(point.sequence), message));
            if entry.0.get() < point.sequence {
                *entry = (Sequence::new(point.sequence), message);
            }
        }
    }

    pub(super) fn concerns(&self, group: GroupId) -> bool {
        self.groups.is_empty() || self.groups.contains(&group)
    }

    /// Whether it is limited to no group.
    pub(super) const fn is_whole(&self) -> bool {
        self.groups.is_empty()
    }

    /// The point that lists `log`.
    pub(super) fn point(&self, log: LogId) -> Option<(Sequence, MessageId)> {
        self.points.get(&log).copied()
    }

    /// Its points.
    pub fn points(&self) -> impl Iterator<Item = (LogId, Sequence, MessageId)> {
        self.points.iter().map(|(log, (sequence, message))| (*log, *sequence, *message))
    }
}
