//! Where things are taken in from: how that goes, and a run now.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use serde_json::{Value, json};

use crate::api::{app::App, problem::Problem};

/// `GET /api/v1/sources`
pub(in crate::api) async fn list(State(app): State<Arc<App>>) -> Json<Value> {
    Json(json!({ "sources": app.ports.status.sources() }))
}

/// `POST /api/v1/sources/{source}/run`: now, instead of when it is due.
pub(in crate::api) async fn run(
    State(app): State<Arc<App>>,
    Path(source): Path<String>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    match app.ports.status.run_source(&source) {
        true => {
            Ok((StatusCode::ACCEPTED, Json(json!({ "source": source, "status_url": "/api/v1/sources" }))))
        }
        false => Err(Problem::not_found("unknown-source", "the configuration names no such source")),
    }
}
