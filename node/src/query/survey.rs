//! What a walk over a whole group has to look at more closely: objects with several rows, and objects that sightings or
//! opinions speak of. Most are neither, and two walks over what says so are cheaper than two looks for each.

use std::collections::HashSet;

use belfry_proto::{id::GroupId, stix::indicator};

use super::{Inner, QueryError, Shown};
use crate::store::PageQuery;

/// Rows of one stretch.
const STRETCH: usize = 1_000;
/// Kinds that speak of other objects.
const SPEAKING: [&str; 2] = ["sighting", "opinion"];

/// A group, surveyed. What comes meanwhile is not in it; whoever makes something of it sees that the store has changed.
pub(super) struct Survey {
    repeated: HashSet<[u8; 16]>,
    spoken_of: HashSet<[u8; 16]>,
}

impl Survey {
    /// Whether it has further versions, or claims of others.
    pub(super) fn is_repeated(&self, tag: &[u8; 16]) -> bool {
        self.repeated.contains(tag)
    }

    /// Whether a sighting or an opinion speaks of it, whoever may know of that.
    pub(super) fn is_spoken_of(&self, tag: &[u8; 16]) -> bool {
        self.spoken_of.contains(tag)
    }
}

impl Inner {
    pub(super) fn survey(&self, group: GroupId) -> Result<Survey, QueryError> {
        let mut spoken_of = HashSet::new();
        for kind in SPEAKING {
            let mut query = PageQuery { after: None, kinds: Some(vec![kind.to_owned()]), examine: STRETCH };
            loop {
                let page = self.store.page(group, &query)?;
                for row in page.rows {
                    let about = indicator::about(&row.kind, &row.raw);
                    spoken_of.extend(about.iter().map(|(_, id)| self.store.object_tag(group, id)));
                }
                if !page.more {
                    break;
                }
                query.after = page.next_after;
            }
        }
        Ok(Survey { repeated: self.store.repeated(group)?, spoken_of })
    }

    /// The tag that a survey knows a row by.
    pub(super) fn tag_of(&self, row: &Shown) -> [u8; 16] {
        self.store.object_tag(row.group(), row.id())
    }
}
