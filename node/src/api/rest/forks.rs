//! Proofs that a publisher signed two histories of one log.

use std::sync::Arc;

use axum::{Extension, Json, extract::State};
use serde_json::{Value, json};

use crate::{
    api::{app::App, problem::Problem},
    query::Principal,
};

/// `GET /api/v1/forks`
pub(in crate::api) async fn list(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
) -> Result<Json<Value>, Problem> {
    Ok(Json(json!({ "forks": app.ports.query.forks(&principal).await? })))
}
