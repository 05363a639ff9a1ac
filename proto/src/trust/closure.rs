//! What the admin log says of one publisher's log: whether it goes on, and what of it stands if not.
//!
//! A [`Closure`] gathers the cuts of a certificate as they concern one log, so that the whole question can
//! be asked of a few bytes: by the ladder for one entry on its way in, and by
//! [`judge_log`](crate::sync::judge_log) for everything that is held.

use std::collections::BTreeSet;

use crate::{
    id::{GroupId, Height, LogId, MessageId, Sequence, Serial},
    time::Timestamp,
    trust::{
        cut::CutStatus,
        roster::{Roster, Status},
    },
};

/// How the admin log closes one log; the default leaves it open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closure {
    /// Cut points that list the log: only their common ancestors stand.
    points: BTreeSet<(Sequence, MessageId)>,
    /// A cut does not list it: what was written at rosters below this height lies beyond.
    below: Option<Height>,
    /// The key's end: what its author dates from here on lies beyond.
    until: Option<Timestamp>,
}

impl Closure {
    /// Closed but for the ancestors of these points; wholly, without any.
    #[must_use]
    pub fn at(points: impl IntoIterator<Item = (Sequence, MessageId)>) -> Self {
        let points: BTreeSet<_> = points.into_iter().collect();
        let below = points.is_empty().then_some(Height::new(u64::MAX));
        Self { points, below, until: None }
    }

    /// Whether nothing closes it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        *self == Self::default()
    }

    /// The cut points that list it.
    pub fn points(&self) -> impl Iterator<Item = (Sequence, MessageId)> {
        self.points.iter().copied()
    }

    /// Where an entry stands to it. `written_at` is the roster height of its header: logs opened after a
    /// resumption are free of the suspension's cut.
    #[must_use]
    pub fn status(
        &self,
        written_at: Height,
        created: Timestamp,
        sequence: Sequence,
        message: MessageId,
    ) -> CutStatus {
        if self.below.is_some_and(|height| written_at < height || height == Height::new(u64::MAX)) {
            return CutStatus::Beyond;
        }
        let mut worst = CutStatus::Open;
        for (at, id) in &self.points {
            match sequence.cmp(at) {
                std::cmp::Ordering::Less => worst = CutStatus::BelowHeight,
                std::cmp::Ordering::Equal if message == *id => {
                    if worst == CutStatus::Open {
                        worst = CutStatus::At;
                    }
                }
                std::cmp::Ordering::Equal | std::cmp::Ordering::Greater => return CutStatus::Beyond,
            }
        }
        if worst == CutStatus::Open && self.until.is_some_and(|until| created >= until) {
            return CutStatus::Beyond;
        }
        worst
    }

    /// Bytes that differ wherever closures differ; empty for an open log. For a node's own memory of what
    /// it judged by, never for the wire.
    #[must_use]
    pub fn fingerprint(&self) -> Vec<u8> {
        if self.is_open() {
            return Vec::new();
        }
        let number =
            |n: Option<u64>| [[u8::from(n.is_some())].as_slice(), &n.unwrap_or(0).to_be_bytes()].concat();
        let mut bytes = number(self.below.map(Height::get));
        bytes.extend(number(self.until.map(Timestamp::as_micros)));
        for (sequence, message) in &self.points {
            bytes.extend_from_slice(&sequence.get().to_be_bytes());
            bytes.extend_from_slice(message.as_ref());
        }
        bytes
    }
}

impl Roster {
    /// How the log of a certificate in a group is closed. Without the certificate, wholly.
    #[must_use]
    pub fn closure(&self, serial: Serial, group: GroupId, log: LogId) -> Closure {
        let Some(held) = self.state.certificates.get(&serial) else { return Closure::at([]) };
        let mut closure = Closure::default();
        for applied in held.cuts.iter().filter(|applied| applied.cut.concerns(group)) {
            match applied.cut.point(log) {
                Some(point) => {
                    closure.points.insert(point);
                }
                None => {
                    closure.below = closure.below.max(Some(applied.lifted.unwrap_or(Height::new(u64::MAX))))
                }
            }
        }
        if let Status::Revoked { effective, .. } = held.status {
            closure.until = Some(effective);
        }
        closure
    }
}
