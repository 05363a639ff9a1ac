//! Ways out that push: how they are doing, and another try for what they gave up.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use serde_json::{Value, json};

use crate::api::{app::App, problem::Problem};

fn unknown() -> Problem {
    Problem::not_found("unknown-hook", "the configuration names no such hook")
}

/// `GET /api/v1/hooks`
pub(in crate::api) async fn list(State(app): State<Arc<App>>) -> Json<Value> {
    Json(json!({ "hooks": app.ports.status.hooks() }))
}

/// `GET /api/v1/hooks/{hook}/dead-letters`
pub(in crate::api) async fn dead_letters(
    State(app): State<Arc<App>>,
    Path(hook): Path<String>,
) -> Result<Json<Value>, Problem> {
    let letters = app.ports.status.dead_letters(&hook).ok_or_else(unknown)?;
    Ok(Json(json!({ "dead_letters": letters })))
}

/// `POST /api/v1/hooks/{hook}/replay`: tries its dead letters again, and wakes it if it waits or was told to stop.
pub(in crate::api) async fn replay(
    State(app): State<Arc<App>>,
    Path(hook): Path<String>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let queued = app.ports.status.replay(&hook).ok_or_else(unknown)?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "queued": queued }))))
}
