//! The admin log as a file: handed in by an operator, told on to everybody.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::HeaderMap,
};
use serde_json::{Value, json};

use crate::{
    api::{app::App, body, problem::Problem},
    query::HeadsError,
};

/// Bytes of the largest log file taken in: some twenty thousand records.
const MAX_LOG: usize = 64 * 1024 * 1024;

/// `POST /api/v1/log`, the body a BELFRY LOG, a BELFRY BEACON or, where the log is forked, a BELFRY STATEMENT file.
pub(in crate::api) async fn import(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    request: Body,
) -> Result<Json<Value>, Problem> {
    let bytes = body::bytes(&headers, request, MAX_LOG).await?;
    let text =
        String::from_utf8(bytes).map_err(|_| Problem::bad_request("not-text", "a log file is text"))?;
    let imported = app
        .ports
        .status
        .import_log(text)
        .await
        .map_err(|reason| Problem::unprocessable("log-refused", reason))?;
    Ok(Json(json!({
        "height_before": imported.before,
        "height": imported.after,
        "offered": imported.offered,
        "charter_before": imported.charter_before,
        "charter": imported.charter_after,
        "vouches_until": imported.vouches_until,
        "removes": imported.removes,
    })))
}

/// `GET /api/v1/log`: the whole of it, as a BELFRY LOG file; anybody can verify it.
pub(in crate::api) async fn export(State(app): State<Arc<App>>) -> Json<Value> {
    Json(json!({ "file": app.ports.query.log_file() }))
}

/// `GET /api/v1/log/equivocations`: what proves that the registrar signed two logs.
pub(in crate::api) async fn equivocations(State(app): State<Arc<App>>) -> Result<Json<Value>, Problem> {
    Ok(Json(json!({ "equivocations": app.ports.query.equivocations().await? })))
}

/// `GET /api/v1/members/{member}/heads`
pub(in crate::api) async fn heads(
    State(app): State<Arc<App>>,
    Path(member): Path<String>,
) -> Result<Json<Value>, Problem> {
    match app.ports.query.heads(&member).await {
        Ok(heads) => Ok(Json(json!({ "heads": heads }))),
        Err(HeadsError::Name(error)) => Err(error.into()),
        Err(HeadsError::Query(error)) => Err(error.into()),
    }
}
