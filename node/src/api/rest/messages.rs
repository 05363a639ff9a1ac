//! Why a message is, or is not, to be read here: the API behind `belfry why`.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use serde_json::{Value, json};

use crate::{
    api::{app::App, problem::Problem},
    query::{MessageView, Principal, QueryError},
};

/// `GET /api/v1/messages/{id}`
pub(in crate::api) async fn message(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Path(message): Path<String>,
) -> Result<Json<MessageView>, Problem> {
    let id = message.parse().map_err(|_| Problem::from(QueryError::UnknownMessage))?;
    Ok(Json(app.ports.query.message(&principal, id).await?))
}

/// `GET /api/v1/messages/{id}/envelope`
pub(in crate::api) async fn envelope(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Path(message): Path<String>,
) -> Result<Json<Value>, Problem> {
    let id = message.parse().map_err(|_| Problem::from(QueryError::UnknownMessage))?;
    let file = app.ports.query.message_file(&principal, id).await?;
    Ok(Json(json!({ "id": id, "file": file })))
}
