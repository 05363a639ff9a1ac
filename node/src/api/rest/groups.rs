//! The groups a token can do something with.

use std::sync::Arc;

use axum::{Extension, Json, extract::State};
use serde_json::{Value, json};

use crate::{
    api::{app::App, problem::Problem},
    query::Principal,
};

/// `GET /api/v1/groups`
pub(in crate::api) async fn groups(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
) -> Result<Json<Value>, Problem> {
    Ok(Json(json!({ "groups": app.ports.query.groups(&principal).await? })))
}
