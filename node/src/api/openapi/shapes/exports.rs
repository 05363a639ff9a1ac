//! Lists for tools.

use std::collections::BTreeMap;

use utoipa::ToSchema;

/// Profiles.
#[derive(ToSchema)]
pub(in super::super) struct Exports {
    exports: Vec<Export>,
}

#[derive(ToSchema)]
struct Export {
    name: String,
    format: String,
    action: String,
    audience: String,
    max_tlp: String,
    groups: Vec<String>,
    types: Vec<String>,
    classes: Vec<String>,
    purposes: Vec<String>,
    minimum_score: u8,
    shadow: bool,
}

/// What stands in an export.
#[derive(ToSchema)]
pub(in super::super) struct ExportReport {
    export: String,
    #[schema(format = DateTime)]
    made: String,
    shadow: bool,
    files: Vec<ExportFile>,
    entries: usize,
    objects: usize,
    /// How many were left out, by reason.
    held_back: BTreeMap<String, u64>,
    values: Vec<ExportValue>,
    left_out: Vec<LeftOut>,
}

#[derive(ToSchema)]
struct ExportFile {
    name: String,
    bytes: usize,
}

#[derive(ToSchema)]
struct ExportValue {
    #[schema(rename = "type")]
    kind: String,
    value: String,
    score: u8,
    #[schema(format = DateTime)]
    first_seen: String,
    #[schema(format = DateTime)]
    last_seen: String,
    #[schema(format = DateTime)]
    expires: String,
    members: usize,
    tlp: String,
    sources: Vec<String>,
    name: String,
    indicators: Vec<String>,
}

#[derive(ToSchema)]
struct LeftOut {
    #[schema(rename = "type")]
    kind: String,
    value: String,
    reason: String,
}
