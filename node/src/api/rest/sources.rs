//! Where things are taken in from: how that goes, and a run now.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::StatusCode,
};
use serde_json::{Value, json};

use crate::{
    api::{app::App, ports::SourceStatus, problem::Problem},
    query::{Principal, QueryError},
};

/// Those that bring something into groups the token reads, or into one that there is not yet.
pub(super) fn visible(app: &App, principal: &Principal) -> Vec<SourceStatus> {
    let is_hidden = |source: &SourceStatus| {
        matches!(app.ports.query.readable(principal, &source.group), Err(QueryError::NotReadable(_)))
    };
    app.ports.status.sources().into_iter().filter(|source| !is_hidden(source)).collect()
}

/// `GET /api/v1/sources`
pub(in crate::api) async fn list(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
) -> Json<Value> {
    Json(json!({ "sources": visible(&app, &principal) }))
}

/// `POST /api/v1/sources/{source}/run`: now, instead of when it is due.
pub(in crate::api) async fn run(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Path(source): Path<String>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let is_known = visible(&app, &principal).iter().any(|known| known.name == source);
    match is_known && app.ports.status.run_source(&source) {
        true => {
            Ok((StatusCode::ACCEPTED, Json(json!({ "source": source, "status_url": "/api/v1/sources" }))))
        }
        false => Err(Problem::not_found("unknown-source", "the configuration names no such source")),
    }
}
