//! MISP's clients.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;

/// A version.
#[derive(ToSchema)]
pub(in super::super) struct MispVersion {
    version: String,
}

/// As MISP tells of itself.
#[derive(ToSchema)]
pub(in super::super) struct Misp(BTreeMap<String, Value>);

/// As MISP tells of a user.
#[derive(ToSchema)]
pub(in super::super) struct MispUser(BTreeMap<String, Value>);

/// As MISP describes its attributes.
#[derive(ToSchema)]
pub(in super::super) struct MispTypes {
    result: MispDescribed,
}

#[derive(ToSchema)]
struct MispDescribed {
    types: Vec<String>,
    categories: Vec<String>,
    /// The types of each category.
    category_type_mappings: BTreeMap<String, Vec<String>>,
    /// Of each type its category, and whether it is for detection.
    sane_defaults: BTreeMap<String, Value>,
}

/// What is asked for; texts are one or several, kept out with `!` before them, or under `OR`, `AND` and `NOT`.
#[derive(ToSchema)]
pub(in super::super) struct MispSearch {
    /// Whole values, or with `%` before or behind them.
    value: Option<Value>,
    #[schema(rename = "type")]
    kind: Option<Value>,
    category: Option<Value>,
    tags: Option<Value>,
    uuid: Option<Value>,
    to_ids: Option<Value>,
    /// A time, seconds since 1970, or how long ago; two for a stretch.
    timestamp: Option<Value>,
    /// As `timestamp`.
    publish_timestamp: Option<Value>,
    /// A day, or as `timestamp`.
    from: Option<Value>,
    to: Option<Value>,
    /// Ids or UUIDs.
    eventid: Option<Value>,
    /// Of events: without their attributes.
    metadata: Option<Value>,
    limit: Option<u64>,
    page: Option<u64>,
    /// Columns of a table; unset for MISP's own.
    requested_attributes: Option<Vec<String>>,
    /// A table without headings.
    headerless: Option<Value>,
    /// `json`, `csv` or `text`.
    #[schema(rename = "returnFormat")]
    return_format: Option<String>,
}

/// Events.
#[derive(ToSchema)]
pub(in super::super) struct MispEvents {
    response: Vec<MispEvent>,
}

#[derive(ToSchema)]
struct MispEvent {
    #[schema(rename = "Event")]
    event: BTreeMap<String, Value>,
}

/// Attributes.
#[derive(ToSchema)]
pub(in super::super) struct MispFound {
    response: MispAttributes,
}

#[derive(ToSchema)]
struct MispAttributes {
    #[schema(rename = "Attribute")]
    attributes: Vec<BTreeMap<String, Value>>,
}

/// What was seen, as MISP has it.
#[derive(ToSchema)]
pub(in super::super) struct MispSighting {
    /// What was seen.
    value: Option<String>,
    /// Several of it.
    values: Option<Vec<String>>,
    /// The attribute, by the id or UUID that a search gave it.
    id: Option<Value>,
    uuid: Option<String>,
    /// 0 seen, 1 a false positive.
    #[schema(rename = "type")]
    kind: Option<Value>,
    /// Seconds since 1970, or a time.
    timestamp: Option<Value>,
    /// Taken, and told to nobody.
    source: Option<String>,
}

/// What became of it.
#[derive(ToSchema)]
pub(in super::super) struct MispSighted {
    #[schema(rename = "Sighting")]
    sighting: BTreeMap<String, Value>,
    message: String,
}
