//! Whether a row is still its author's last word, for whoever was kept from it until now.

use std::collections::{HashMap, hash_map::Entry};

use belfry_proto::{
    id::{GroupId, MemberId},
    time::Timestamp,
};

use super::{Inner, Principal, QueryError, Shown, authorise::admit};
use crate::store::Looks;

/// The newest that members say of objects, of what one reader may have and what goes the same way out. Looked for once in one call,
/// however many rows of an object that has; who says an object is found once for all who do.
pub(super) struct Newest<'a, G> {
    looks: Looks<'a>,
    principal: &'a Principal,
    goes: G,
    found: HashMap<(GroupId, String, MemberId), Option<(Timestamp, Timestamp)>>,
}

impl<'a, G: Fn(&Shown) -> bool> Newest<'a, G> {
    /// Of what `goes`.
    pub(super) fn of(inner: &'a Inner, principal: &'a Principal, goes: G) -> Self {
        Self { looks: inner.store.looks(), principal, goes, found: HashMap::new() }
    }

    /// Whether a row is the newest that its member says of the object.
    pub(super) fn is(&mut self, row: &Shown) -> Result<bool, QueryError> {
        let at = |row: &Shown| (row.version_time(), row.date_added());
        let newest = match self.found.entry((row.group(), row.id().to_owned(), row.member())) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                let said = self.looks.versions_by(row.group(), row.id(), row.member())?;
                let said = said.into_iter().filter_map(|version| admit(self.principal, version));
                let goes = |version: &Shown| version.member() == row.member() && (self.goes)(version);
                *new.insert(said.filter(goes).map(|version| at(&version)).max())
            }
        };
        Ok(newest.is_none_or(|newest| newest <= at(row)))
    }
}
