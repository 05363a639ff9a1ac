//! What entered the feed since: the durable source behind live streams.
//!
//! The store numbers every new object; a reader that comes back names the last number it has. If the
//! feed no longer reaches back so far, or was restored from before it, the answer says so as a gap:
//! the reader then knows to fetch pages instead of believing it has all.

use std::collections::BTreeSet;

use belfry_proto::id::GroupId;
use serde::Serialize;

use super::{Principal, Query, QueryError, Shown, authorise::admit, newest::Newest};
use crate::stated::Stated;

/// Feed entries looked at in one call.
const MAX_ENTRIES: usize = 256;

/// What of the feed is wanted.
#[derive(Clone, Debug, Default)]
pub struct Interest {
    /// Groups; unset for all that the token reads.
    pub groups: Option<BTreeSet<GroupId>>,
    /// STIX types; empty for all.
    pub kinds: BTreeSet<String>,
    /// What publications state.
    pub stated: Stated,
}

impl Interest {
    fn takes(&self, row: &Shown) -> bool {
        self.groups.as_ref().is_none_or(|groups| groups.contains(&row.group()))
            && (self.kinds.is_empty() || self.kinds.contains(row.kind()))
            && row.is_told_of(&self.stated)
    }
}

/// A stretch of the feed.
#[derive(Clone, Debug)]
pub struct Events {
    /// Numbered objects, those the principal may have.
    pub rows: Vec<(u64, Shown)>,
    /// Where the next stretch goes on.
    pub position: u64,
    /// More is waiting.
    pub more: bool,
    /// Something is missing before `rows`.
    pub gap: Option<Gap>,
}

/// A hole in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// The last number the reader has.
    pub after: u64,
    /// Where the stream goes on.
    pub resumes_after: u64,
}

impl Query {
    /// The newest number in the feed; 0 if it is empty.
    ///
    /// # Errors
    /// The store.
    pub async fn feed_head(&self) -> Result<u64, QueryError> {
        self.read(|inner| Ok(inner.store.feed_bounds()?.map_or(0, |(_, last)| last))).await
    }

    /// What is wanted of the feed after `after`.
    ///
    /// # Errors
    /// The store.
    pub async fn events(
        &self,
        principal: &Principal,
        wanted: &Interest,
        after: u64,
    ) -> Result<Events, QueryError> {
        let (principal, wanted) = (principal.clone(), wanted.clone());
        self.read(move |inner| {
            let gap = gap(inner.store.feed_bounds()?, after);
            let from = gap.map_or(after, |gap| gap.resumes_after);
            let crate::store::FeedPage { rows, position, more } =
                inner.store.feed_met(principal.scope().audience, from, MAX_ENTRIES)?;
            let mut newest = Newest::of(inner, &principal, |version: Shown| wanted.takes(&version));
            let mut told = Vec::new();
            for (number, row) in rows {
                let Some(row) = admit(&principal, row).filter(|row| wanted.takes(row)) else { continue };
                // Behind a newer version that this reader has, it would be taken for its author's last word.
                if !row.has_surfaced() || newest.is(&row)? {
                    told.push((number, row));
                }
            }
            Ok(Events { rows: told, position, more, gap })
        })
        .await
    }
}

pub(super) fn gap(bounds: Option<(u64, u64)>, after: u64) -> Option<Gap> {
    let resumes_after = match bounds {
        // A number from the future: this feed was restored from a backup, or is another node's.
        None if after > 0 => 0,
        Some((_, last)) if after > last => last,
        Some((first, _)) if after.saturating_add(1) < first => first.saturating_sub(1),
        _ => return None,
    };
    Some(Gap { after, resumes_after })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_is_told_on_either_side() {
        assert_eq!(gap(None, 0), None);
        assert_eq!(gap(None, 5), Some(Gap { after: 5, resumes_after: 0 }));
        assert_eq!(gap(Some((1, 9)), 0), None);
        assert_eq!(gap(Some((1, 9)), 9), None);
        assert_eq!(gap(Some((1, 9)), 10), Some(Gap { after: 10, resumes_after: 9 }));
        assert_eq!(gap(Some((4, 9)), 3), None);
        assert_eq!(gap(Some((4, 9)), 2), Some(Gap { after: 2, resumes_after: 3 }));
    }
}
