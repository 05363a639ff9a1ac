//! The coalition's members, as the admin log has them.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde_json::{Value, json};

use crate::api::{app::App, problem::Problem};

/// `GET /api/v1/members`
pub(in crate::api) async fn members(State(app): State<Arc<App>>) -> Result<Json<Value>, Problem> {
    Ok(Json(json!({ "members": app.ports.query.members() })))
}
