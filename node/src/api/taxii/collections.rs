//! Collections, one a group (TAXII 2.1 §5.1, §5.2).

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use serde::Serialize;
use serde_json::json;

use super::media;
use crate::{
    api::{app::App, problem::Problem},
    query::{GroupView, Principal},
};

#[derive(Serialize)]
struct Collection {
    id: String,
    title: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    alias: String,
    can_read: bool,
    can_write: bool,
    media_types: [&'static str; 1],
}

impl From<GroupView> for Collection {
    fn from(group: GroupView) -> Self {
        Self {
            id: group.collection.to_string(),
            title: group.name,
            description: group.description,
            alias: group.slug,
            can_read: group.can_read,
            can_write: group.can_write,
            media_types: [media::STIX],
        }
    }
}

/// `GET /taxii2/root/collections/`
pub(in crate::api) async fn collections(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
) -> Result<Response, Problem> {
    let collections: Vec<Collection> =
        app.ports.query.groups(&principal).await?.into_iter().map(Collection::from).collect();
    // An empty list is no list in TAXII (§5.1.1).
    let resource = if collections.is_empty() { json!({}) } else { json!({ "collections": collections }) };
    media::answer(StatusCode::OK, &resource)
}

/// `GET /taxii2/root/collections/{id or alias}/`
pub(in crate::api) async fn collection(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Path(collection): Path<String>,
) -> Result<Response, Problem> {
    let group = app.ports.query.group(&principal, &collection)?;
    media::answer(StatusCode::OK, &Collection::from(group))
}
