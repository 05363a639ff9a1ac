//! Whether a row is still its author's last word, for whoever was kept from it until now.

use std::collections::{HashMap, hash_map::Entry};

use belfry_proto::{
    id::{GroupId, MemberId},
    time::Timestamp,
};

use super::{Inner, Principal, QueryError, Shown, authorise::admit};
use crate::store::Looks;

/// The newest that members say of objects, of what one reader may have and what goes the same way out. Looked for once in one call,
/// however many rows of an object that has; who says an object is found once for all who do. One version is held at a time.
pub(super) struct Newest<'a, G> {
    looks: Looks<'a>,
    principal: &'a Principal,
    goes: G,
    found: HashMap<(GroupId, String, MemberId), Option<(Timestamp, Timestamp)>>,
}

impl<'a, G: Fn(Shown) -> bool> Newest<'a, G> {
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
                let (said, mut newest) = (self.looks.versions_by(row.group(), row.id(), row.member())?, None);
                // What was added last is most often the newest, and spares judging the others.
                for version in said.rev() {
                    let version = admit(self.principal, version?);
                    let Some(version) = version.filter(|version| version.member() == row.member()) else {
                        continue;
                    };
                    let at = Some(at(&version));
                    if at > newest && (self.goes)(version) {
                        newest = at;
                    }
                }
                *new.insert(newest)
            }
        };
        Ok(newest.is_none_or(|newest| newest <= at(row)))
    }
}
