//! Ways out that push: how they are doing, and another try for what they gave up.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::{StatusCode, Uri},
};
use serde_json::{Value, json};

use crate::api::{
    app::App,
    paging::{self, Paging},
    params::Params,
    problem::Problem,
};

fn unknown() -> Problem {
    Problem::not_found("unknown-hook", "the configuration names no such hook")
}

/// `GET /api/v1/hooks`
pub(in crate::api) async fn list(State(app): State<Arc<App>>) -> Json<Value> {
    Json(json!({ "hooks": app.ports.status.hooks() }))
}

/// `GET /api/v1/hooks/{hook}/dead-letters`, with `limit` and `next`: by their numbers.
pub(in crate::api) async fn dead_letters(
    State(app): State<Arc<App>>,
    Path(hook): Path<String>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let mut params = Params::of(&uri)?;
    let paging = Paging::of(&mut params, "dead-letters", &[&hook])?;
    params.finish()?;
    let letters = app.ports.status.dead_letters(&hook).ok_or_else(unknown)?;
    let (letters, next) = paging.cut(letters, |letter| letter.number.to_be_bytes().to_vec());
    Ok(paging::answer("dead_letters", letters.iter().map(|letter| json!(letter)).collect(), next))
}

/// `GET /api/v1/hooks/{hook}/tries`, with `limit` and `next`: what it tried of late, the oldest first.
pub(in crate::api) async fn tries(
    State(app): State<Arc<App>>,
    Path(hook): Path<String>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let mut params = Params::of(&uri)?;
    let paging = Paging::of(&mut params, "tries", &[&hook])?;
    params.finish()?;
    let tries = app.ports.status.tries(&hook).ok_or_else(unknown)?;
    let (tries, next) = paging.cut(tries, |one| one.number.to_be_bytes().to_vec());
    Ok(paging::answer("tries", tries.iter().map(|one| json!(one)).collect(), next))
}

/// `POST /api/v1/hooks/{hook}/replay`: tries its dead letters again, and wakes it if it waits or was told to stop.
pub(in crate::api) async fn replay(
    State(app): State<Arc<App>>,
    Path(hook): Path<String>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let queued = app.ports.status.replay(&hook).ok_or_else(unknown)?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "queued": queued }))))
}
