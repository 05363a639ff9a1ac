//! The types and categories of the attributes that a search here finds, as MISP describes its own.
//!
//! Clients ask for it when they start, and check what they are given against it. So it is the truth about this node: its
//! exports' types alone, each in the one category it has here.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use belfry_proto::stix::{indicator::Bearer, observable::Kind};
use serde_json::{Value, json};

use crate::api::exports;

/// `GET /attributes/describeTypes.json`
pub(in crate::api) async fn describe() -> Json<Value> {
    // Every attribute found is for detection.
    let sane = |category| json!({ "default_category": category, "to_ids": 1 });
    let (mut defaults, mut categories) = (BTreeMap::new(), BTreeMap::<&str, BTreeSet<&str>>::new());
    let of = |bearer| Kind::ALL.into_iter().filter_map(move |kind| exports::misp_type(kind, bearer));
    for (kind, category) in of(Bearer::Usual).chain(of(Bearer::Certificate)) {
        defaults.insert(kind, sane(category));
        categories.entry(category).or_default().insert(kind);
    }
    Json(json!({ "result": {
        "sane_defaults": defaults,
        "types": defaults.keys().collect::<Vec<_>>(),
        "categories": categories.keys().collect::<Vec<_>>(),
        "category_type_mappings": categories,
    }}))
}
