//! `next`: where the following page starts, bound to the filters of the page before it.
//!
//! TAXII 2.1 §3.5 re-applies the filters on every page; a client that changes one between two pages
//! would see a silent hole. The cursor therefore carries a hash of them, and another hash is an error.
//! It is no capability: every page is authorised anew.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use belfry_proto::{crypto::pae::Pae, id::GroupId, time::Timestamp};

use super::filter::Filter;
use crate::words;

const DOMAIN: &str = "belfry/v1/cursor";
const VERSION: u8 = 1;
/// Version, position, tag.
const LEN: usize = 1 + 8 + TAG;
/// Enough that no two filters meet by accident.
const TAG: usize = 16;

/// What a page lists; cursors of one listing are no good for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listing {
    /// Objects of a group; manifests too, whose pages run alike.
    Objects,
    /// Versions of one object.
    Versions,
}

/// A `next` that this listing, with these filters, did not hand out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`next` was not given for this collection with these filters; start again without it")]
pub struct CursorError;

/// The opaque text that continues after `position`.
#[must_use]
pub(super) fn encode(listing: Listing, group: GroupId, filter: &Filter, position: Timestamp) -> String {
    let mut bytes = Vec::with_capacity(LEN);
    bytes.push(VERSION);
    bytes.extend_from_slice(&position.as_micros().to_be_bytes());
    bytes.extend_from_slice(&tag(listing, group, filter));
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The position after which to go on.
///
/// # Errors
/// Not a cursor, or one of other filters.
pub(super) fn decode(
    listing: Listing,
    group: GroupId,
    filter: &Filter,
    text: &str,
) -> Result<Timestamp, CursorError> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError)?;
    let bytes: &[u8; LEN] = bytes.as_slice().try_into().map_err(|_| CursorError)?;
    let ([version], rest) = bytes.split_first_chunk::<1>().ok_or(CursorError)?;
    let (position, found) = rest.split_first_chunk::<8>().ok_or(CursorError)?;
    if *version != VERSION || found != tag(listing, group, filter) {
        return Err(CursorError);
    }
    Ok(Timestamp::from_micros(u64::from_be_bytes(*position)))
}

fn tag(listing: Listing, group: GroupId, filter: &Filter) -> [u8; TAG] {
    let mut pae = Pae::new(DOMAIN)
        .number(match listing {
            Listing::Objects => 0,
            Listing::Versions => 1,
        })
        .number(u64::from(group.get()))
        .number(filter.added_after.map_or(0, |t| t.as_micros().saturating_add(1)))
        .number(u64::from(filter.without_expired));
    let lists = [
        filter.ids.iter().cloned().collect::<Vec<_>>(),
        filter.kinds.iter().cloned().collect(),
        filter.versions.iter().map(ToString::to_string).collect(),
        filter.spec_versions.iter().cloned().collect(),
        filter.stated.classes.iter().copied().map(words::word).collect(),
        filter.stated.purposes.iter().copied().map(words::word).collect(),
    ];
    for list in &lists {
        pae = pae.number(list.len() as u64);
        for item in list {
            pae = pae.part(item.as_bytes());
        }
    }
    let mut tag = [0; TAG];
    tag.iter_mut().zip(pae.hash()).for_each(|(to, from)| *to = from);
    tag
}

#[cfg(test)]
mod tests {
    use belfry_proto::schema::Purpose;

    use super::*;

    const GROUP: GroupId = GroupId::new(7);
    const AT: Timestamp = Timestamp::from_micros(1_700_000_000_000_001);

    #[test]
    fn a_cursor_comes_back_as_it_went() {
        let filter = Filter { kinds: ["indicator".to_owned()].into(), ..Filter::default() };
        let text = encode(Listing::Objects, GROUP, &filter, AT);
        assert_eq!(decode(Listing::Objects, GROUP, &filter, &text), Ok(AT));
    }

    #[test]
    fn another_filter_group_or_listing_is_refused() {
        let filter = Filter { kinds: ["indicator".to_owned()].into(), ..Filter::default() };
        let text = encode(Listing::Objects, GROUP, &filter, AT);
        let moved = Filter { ids: filter.kinds.clone(), ..Filter::default() };
        let later = Filter { added_after: Some(Timestamp::ZERO), ..filter.clone() };
        let stated = crate::stated::Stated { purposes: [Purpose::Detect].into(), ..Default::default() };
        let narrower = Filter { stated, ..filter.clone() };
        let fewer = Filter { without_expired: true, ..filter.clone() };
        for other in [Filter::default(), moved, later, narrower, fewer] {
            assert_eq!(decode(Listing::Objects, GROUP, &other, &text), Err(CursorError));
        }
        assert_eq!(decode(Listing::Versions, GROUP, &filter, &text), Err(CursorError));
        assert_eq!(decode(Listing::Objects, GroupId::new(8), &filter, &text), Err(CursorError));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "0", "next", "AAAA", "%%%", &"A".repeat(34), &"A".repeat(5000)] {
            assert_eq!(decode(Listing::Objects, GROUP, &Filter::default(), text), Err(CursorError));
        }
    }
}
