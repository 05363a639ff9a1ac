//! The audit log, for whoever administers.

use std::sync::Arc;

use axum::{Json, extract::State, http::Uri};
use serde_json::{Value, json};

use crate::api::{
    app::App,
    params::{Params, bad},
    problem::Problem,
};

/// `GET /api/v1/audit`, with `after` and `limit`: entries, oldest first, and where the log stands.
pub(in crate::api) async fn entries(State(app): State<Arc<App>>, uri: Uri) -> Result<Json<Value>, Problem> {
    let mut params = Params::of(&uri)?;
    let after = params.one("after")?.map(|text| text.parse::<u64>());
    let after = after.transpose().map_err(|_| bad("after", "is the number of an entry"))?.unwrap_or(0);
    let limit = params.limit()?;
    params.finish()?;
    let log = app.ports.audit.clone();
    let standing = log.standing();
    let read = tokio::task::spawn_blocking(move || log.entries(after, limit)).await;
    let entries =
        read.map_err(|error| Problem::internal(&error))?.map_err(|error| Problem::internal(&error))?;
    Ok(Json(json!({ "entries": entries, "standing": standing })))
}
