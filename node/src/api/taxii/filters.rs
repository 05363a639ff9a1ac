//! Filters and paging parameters as TAXII writes them (TAXII 2.1 §3.4, §3.5).

use axum::http::{HeaderName, HeaderValue, Uri, header::HeaderMap};
use belfry_proto::time::Timestamp;

use crate::{
    api::{
        params::{Params, bad},
        problem::Problem,
    },
    query::{Filter, PageRequest, VersionMatch},
};

const DATE_ADDED_FIRST: HeaderName = HeaderName::from_static("x-taxii-date-added-first");
const DATE_ADDED_LAST: HeaderName = HeaderName::from_static("x-taxii-date-added-last");

/// What TAXII has no field for, under names of this server's own: `match` is the standard's.
const CLASS: &str = "x_belfry_class";
const PURPOSE: &str = "x_belfry_purpose";
/// Whether what is expired comes, too. Detection looks for what is in force; hunting looks for what was.
const EXPIRED: &str = "x_belfry_expired";

/// Which of the `match` fields a path knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fields {
    /// id, type, version, spec_version, and what publications state: objects and manifest.
    All,
    /// version, spec_version: one object.
    OfObject,
    /// spec_version: its versions.
    OfVersions,
}

/// Reads the query string.
pub(super) fn read(uri: &Uri, fields: Fields) -> Result<PageRequest, Problem> {
    let mut params = Params::of(uri)?;
    let mut filter = Filter {
        added_after: params.time("added_after")?,
        spec_versions: params.list("match[spec_version]")?.into_iter().collect(),
        ..Filter::default()
    };
    if fields == Fields::All {
        filter.ids = params.list("match[id]")?.into_iter().collect();
        filter.kinds = params.list("match[type]")?.into_iter().collect();
        filter.stated = params.stated(CLASS, PURPOSE)?;
    }
    if fields != Fields::OfVersions {
        filter.versions = versions(&mut params, "match[version]")?;
    }
    if fields == Fields::All {
        // Whoever asks for older versions, too, looks back.
        let is_last = filter.versions.iter().all(|wanted| *wanted == VersionMatch::Last);
        filter.without_expired = !params.flag(EXPIRED)? && is_last;
    }
    let limit = params.limit()?;
    let next = params.one("next")?;
    params.finish_prefix("match[")?;
    Ok(PageRequest { filter, limit, next })
}

/// The values of a version filter.
pub(in crate::api) fn versions(
    params: &mut Params,
    name: &str,
) -> Result<std::collections::BTreeSet<VersionMatch>, Problem> {
    params
        .list(name)?
        .iter()
        .map(|text| text.parse().map_err(|_| bad(name, "is first, last, all or an RFC 3339 time")))
        .collect()
}

/// The headers that say what stretch of the collection a page covers (TAXII 2.1 §3.2).
///
/// An empty page has no dates to tell, and so no headers.
pub(super) fn date_headers(headers: &mut HeaderMap, dates: Option<(Timestamp, Timestamp)>) {
    let Some((first, last)) = dates else { return };
    for (name, date) in [(DATE_ADDED_FIRST, first), (DATE_ADDED_LAST, last)] {
        if let Ok(value) = HeaderValue::from_str(&date.to_string()) {
            headers.insert(name, value);
        }
    }
}
