//! What a run went through, counted.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{faults::Point, node::Observation};

/// What a run went through: a run that met no fault proves nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stats {
    pub(crate) virtual_time: Duration,
    pub(crate) packets: u64,
    pub(crate) lost: u64,
    pub(crate) repeated: u64,
    pub(crate) delayed: u64,
    pub(crate) signed: u64,
    pub(crate) opened: u64,
    pub(crate) grants: u64,
    /// Of them, to another node of the holder's member.
    pub(crate) within: u64,
    pub(crate) refusals: u64,
    pub(crate) parked: u64,
    pub(crate) quarantined: u64,
    pub(crate) forks: u64,
    pub(crate) rejected: u64,
    pub(crate) spoiled: u64,
    pub(crate) fetched: u64,
    pub(crate) set_aside: u64,
    pub(crate) put_off: u64,
    pub(crate) unsigned: u64,
    pub(crate) shredded: u64,
    pub(crate) by_slices: u64,
    pub(crate) contacts: u64,
    pub(crate) older: u64,
    pub(crate) crashes: BTreeSet<(Point, bool)>,
    pub(crate) batches: BTreeMap<Point, u64>,
    pub(crate) acts: BTreeMap<&'static str, u64>,
}

impl Stats {
    /// How often each kind of thing went wrong, or was done wrong.
    pub(crate) fn faults(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counted = [
            ("packets lost", self.lost),
            ("packets repeated", self.repeated),
            ("packets held up", self.delayed),
            ("forged or bent messages refused", self.rejected),
            ("answers to sync that are none", self.spoiled),
            ("peers set aside that had nothing", self.set_aside),
            ("comparisons put off", self.put_off),
            ("entries that their author did not sign", self.unsigned),
            ("forks found", self.forks),
            ("messages beyond a cut", self.quarantined),
            ("messages ahead of the admin log", self.parked),
            ("bodies erased", self.shredded),
            ("frontiers listed by slices", self.by_slices),
            ("contact records taken", self.contacts),
            ("requests under the number before", self.older),
            ("keys granted within a member", self.within),
            ("kinds of crash, before or after a batch", self.crashes.len() as u64),
        ];
        let acts = self.acts.iter().map(|(act, count)| (*act, *count));
        let acts: Vec<_> = acts.filter(|(act, _)| !["publish", "import", "contact"].contains(act)).collect();
        counted.into_iter().chain(acts)
    }

    /// Counts what a node did.
    pub(crate) fn count(&mut self, observation: &Observation) {
        let counter = match observation {
            Observation::Signed { .. } => &mut self.signed,
            Observation::Opened { .. } => &mut self.opened,
            Observation::Granted { within } => {
                self.within += u64::from(*within);
                &mut self.grants
            }
            Observation::Refused => &mut self.refusals,
            Observation::Parked => &mut self.parked,
            Observation::Quarantined => &mut self.quarantined,
            Observation::Forked => &mut self.forks,
            Observation::Rejected { .. } => &mut self.rejected,
            Observation::Spoiled { .. } => &mut self.spoiled,
            Observation::Fetching { .. } => &mut self.fetched,
            Observation::SetAside { .. } => &mut self.set_aside,
            Observation::PutOff => &mut self.put_off,
            Observation::Unsigned => &mut self.unsigned,
            Observation::Shredded => &mut self.shredded,
            Observation::Compared { by_slices: true, .. } => &mut self.by_slices,
            Observation::Contacts => &mut self.contacts,
            Observation::Attributed { .. }
            | Observation::Compared { by_slices: false, .. }
            | Observation::ComparedContacts { .. }
            | Observation::Said { .. } => return,
        };
        *counter += 1;
    }
}
