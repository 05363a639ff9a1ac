//! How often that was written from which objects are shown, group by group: what is made of a group's objects is good
//! as long as its number stays.
//!
//! The writer counts behind each synced batch and before it answers whoever committed it. Every column that reading
//! objects looks at is counted, so no way of hiding or revoking one can be forgotten.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use belfry_proto::id::GroupId;

use super::{Store, columns::Cf, txn::Rows};

/// Columns of a group's objects; their keys begin with the group.
const SHOWN: [Cf; 5] = [Cf::Objects, Cf::ById, Cf::ByType, Cf::Reporters, Cf::Observables];
/// The coalition's: names of members, and which groups there are.
const NAMED: [Cf; 2] = [Cf::Charters, Cf::Records];

/// A state of some groups. Two that are equal stand for the same objects; of the life of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision(Vec<u64>);

/// Writes counted so far; under no group those of the coalition.
#[derive(Debug, Default)]
pub(super) struct Revisions(Mutex<BTreeMap<Option<GroupId>, u64>>);

impl Revisions {
    pub(super) fn count(&self, written: BTreeSet<Option<GroupId>>) {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for of in written {
            *counted.entry(of).or_default() += 1;
        }
    }

    fn of(&self, groups: impl IntoIterator<Item = GroupId>) -> Revision {
        let counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all = std::iter::once(None).chain(groups.into_iter().map(Some));
        Revision(all.map(|of| counted.get(&of).copied().unwrap_or_default()).collect())
    }
}

/// Whose objects a batch writes.
pub(super) fn written(rows: &Rows) -> BTreeSet<Option<GroupId>> {
    let group = |key: &[u8]| key.first_chunk::<4>().map(|bytes| GroupId::new(u32::from_be_bytes(*bytes)));
    let mut written: BTreeSet<Option<GroupId>> =
        SHOWN.iter().flat_map(|cf| rows.keys(*cf)).filter_map(group).map(Some).collect();
    if NAMED.iter().any(|cf| rows.touches(*cf)) {
        written.insert(None);
    }
    written
}

impl Store {
    /// The state that these groups' objects are read in now.
    #[must_use]
    pub fn revision(&self, groups: impl IntoIterator<Item = GroupId>) -> Revision {
        self.db.revisions.of(groups)
    }
}
