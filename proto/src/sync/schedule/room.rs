//! Logs for some of which there is no room here, because their author's is used up.
//!
//! What was passed over is left alone for a while, of whoever offers it. What comes behind it is not: its author may have taken
//! something back there, and that is kept whatever the room. When the time is over the first page tells anew: if there is room now
//! the log goes on as any other, else at once behind what was passed over before.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    id::{GroupId, LogId, Sequence},
    sync::plan::{Range, Want},
};

/// How long what there was no room for is not asked for again. Room comes by retention and withdrawals, or an operator; each
/// try costs a page for nothing.
pub const PASSED_OVER: Duration = Duration::from_secs(3600);

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct FullLogs(BTreeMap<(GroupId, LogId), Full>);

#[derive(Clone, Copy, Debug)]
struct Full {
    /// Until when what was passed over is not asked for.
    until: Duration,
    /// How far it was.
    passed: Sequence,
}

impl FullLogs {
    /// What of a range to ask for.
    pub(super) fn narrowed(&self, range: Range, now: Duration) -> Option<Range> {
        let full = self.0.get(&(range.group, range.log)).filter(|full| full.until > now);
        match (full, range.want) {
            (None, _) | (_, Want::Fork | Want::Proof) => Some(range),
            (Some(_), Want::Bodies) => None,
            (Some(full), Want::Entries) => {
                let from = range.from.max(Sequence::new(full.passed.get().saturating_add(1)));
                (from <= range.to).then_some(Range { from, ..range })
            }
        }
    }

    /// Of this range nothing was kept up to and with `through`; how far the log is passed over now.
    pub(super) fn passed_over(&mut self, range: &Range, through: Sequence, now: Duration) -> Sequence {
        let until = now + PASSED_OVER;
        let full = self.0.entry((range.group, range.log)).or_insert(Full { until, passed: through });
        (full.until, full.passed) = (until, full.passed.max(through));
        full.passed
    }

    /// Something of this range was kept: if it was passed over before, there is room again.
    pub(super) fn kept(&mut self, range: &Range) {
        let name = (range.group, range.log);
        if let Some(full) = self.0.get(&name)
            && range.want == Want::Entries
            && range.from <= full.passed
        {
            self.0.remove(&name);
        }
    }

    /// Drops what nobody came back to.
    pub(super) fn forget_old(&mut self, now: Duration) {
        self.0.retain(|_, full| full.until + PASSED_OVER > now);
    }

    /// How many logs of each group are left alone.
    pub(super) fn by_group(&self, now: Duration) -> BTreeMap<GroupId, usize> {
        let mut groups = BTreeMap::new();
        for ((group, _), _) in self.0.iter().filter(|(_, full)| full.until > now) {
            *groups.entry(*group).or_default() += 1;
        }
        groups
    }
}
