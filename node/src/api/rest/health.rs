//! Liveness and readiness, for supervisors; the only answers without a token, and so without detail.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde_json::{Value, json};

use crate::api::{app::App, problem::Problem};

/// `GET /health/live`: the process answers.
pub(in crate::api) async fn live() -> Json<Value> {
    Json(json!({"status": "live"}))
}

/// `GET /health/ready`: every task runs and the store takes writes.
pub(in crate::api) async fn ready(State(app): State<Arc<App>>) -> Result<Json<Value>, Problem> {
    if app.ports.status.is_ready() {
        Ok(Json(json!({"status": "ready"})))
    } else {
        Err(Problem::busy("not-ready", "the node is starting, stopping or in trouble"))
    }
}
