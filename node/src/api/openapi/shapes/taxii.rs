//! TAXII 2.1.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;

/// TAXII 2.1 §3.6.1.
#[derive(ToSchema)]
pub(in super::super) struct TaxiiError {
    title: String,
    description: String,
    error_id: String,
    error_code: String,
    http_status: String,
    #[schema(nullable = false)]
    details: Option<BTreeMap<String, Value>>,
}

/// TAXII 2.1 §4.1.
#[derive(ToSchema)]
pub(in super::super) struct TaxiiDiscovery {
    title: String,
    description: String,
    default: String,
    api_roots: Vec<String>,
}

/// TAXII 2.1 §4.2.
#[derive(ToSchema)]
pub(in super::super) struct TaxiiRoot {
    title: String,
    versions: Vec<String>,
    max_content_length: u64,
}

/// TAXII 2.1 §4.3.
#[derive(ToSchema)]
pub(in super::super) struct TaxiiStatus {
    id: String,
    status: String,
    #[schema(format = DateTime)]
    request_timestamp: String,
    total_count: usize,
    success_count: usize,
    #[schema(nullable = false)]
    successes: Option<Vec<TaxiiDetail>>,
    failure_count: usize,
    #[schema(nullable = false)]
    failures: Option<Vec<TaxiiDetail>>,
    pending_count: usize,
    #[schema(nullable = false)]
    pendings: Option<Vec<TaxiiDetail>>,
}

#[derive(ToSchema)]
struct TaxiiDetail {
    id: String,
    version: String,
    #[schema(nullable = false)]
    message: Option<String>,
}

/// TAXII 2.1 §5.1.
#[derive(ToSchema)]
pub(in super::super) struct TaxiiCollections {
    #[schema(nullable = false)]
    collections: Option<Vec<TaxiiCollection>>,
}

/// TAXII 2.1 §5.2.
#[derive(ToSchema)]
pub(in super::super) struct TaxiiCollection {
    id: String,
    title: String,
    #[schema(nullable = false)]
    description: Option<String>,
    alias: String,
    can_read: bool,
    can_write: bool,
    media_types: Vec<String>,
}

/// TAXII 2.1 §5.3.
#[derive(ToSchema)]
pub(in super::super) struct TaxiiManifest {
    more: bool,
    #[schema(nullable = false)]
    next: Option<String>,
    #[schema(nullable = false)]
    objects: Option<Vec<TaxiiRecord>>,
}

#[derive(ToSchema)]
struct TaxiiRecord {
    id: String,
    #[schema(format = DateTime)]
    date_added: String,
    version: String,
    media_type: String,
}

/// TAXII 2.1 §3.7.
#[derive(ToSchema)]
pub(in super::super) struct TaxiiEnvelope {
    #[schema(nullable = false)]
    more: Option<bool>,
    #[schema(nullable = false)]
    next: Option<String>,
    #[schema(nullable = false)]
    objects: Option<Vec<BTreeMap<String, Value>>>,
}

/// TAXII 2.1 §5.8.
#[derive(ToSchema)]
pub(in super::super) struct TaxiiVersions {
    more: bool,
    #[schema(nullable = false)]
    next: Option<String>,
    #[schema(nullable = false)]
    versions: Option<Vec<String>>,
}
