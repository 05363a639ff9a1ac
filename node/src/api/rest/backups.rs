//! `POST /api/v1/backups`: a copy of this node, made while it runs.

use std::{path::PathBuf, sync::Arc};

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use serde::Deserialize;
use serde_json::Value;

use crate::api::{app::App, body, ports::BackupRefused, problem::Problem};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Absolute path of a folder that is not there yet, on the node's machine.
    folder: PathBuf,
}

/// `POST /api/v1/backups`
pub(in crate::api) async fn create(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    request: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let wanted: Wanted = body::json(&headers, request).await?;
    match app.ports.status.backup(wanted.folder).await {
        Ok(manifest) => Ok((StatusCode::CREATED, Json(manifest))),
        Err(BackupRefused::Folder(reason)) => Err(Problem::unprocessable("backup-refused", reason)),
        Err(BackupRefused::Fault(fault)) => Err(Problem::internal(fault.as_ref())),
    }
}
