//! Who is new among the readers, and who is held back by this node's operator.

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, Uri},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    api::{
        app::App,
        body,
        paging::{self, Paging},
        params::Params,
        problem::Problem,
    },
    query::{HoldError, Principal},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Member id or organisation name.
    member: String,
}

/// `GET /api/v1/newcomers`, with `limit` and `next`.
pub(in crate::api) async fn list(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let mut params = Params::of(&uri)?;
    let paging = Paging::of(&mut params, "newcomers", &[])?;
    params.finish()?;
    let all = app.ports.query.newcomers(&principal).await?;
    let (found, next) = paging.cut(all, |newcomer| newcomer.member.to_vec());
    Ok(paging::answer("newcomers", found.iter().map(|newcomer| json!(newcomer)).collect(), next))
}

/// `POST /api/v1/holds`
pub(in crate::api) async fn hold(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    headers: HeaderMap,
    request: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let wanted: Wanted = body::json(&headers, request).await?;
    let member = app.ports.query.hold(&wanted.member).await.map_err(refused)?;
    tracing::info!(member.id = %member, by = %principal.token(), "old keys are held back from {member}");
    Ok((StatusCode::CREATED, Json(json!({ "member": member }))))
}

/// `DELETE /api/v1/holds/{member}`
pub(in crate::api) async fn release(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Path(member): Path<String>,
) -> Result<StatusCode, Problem> {
    let member = app.ports.query.release(&member).await.map_err(refused)?;
    tracing::info!(member.id = %member, by = %principal.token(), "old keys are no longer held back from {member}");
    Ok(StatusCode::NO_CONTENT)
}

fn refused(error: HoldError) -> Problem {
    match error {
        HoldError::Name(error) => error.into(),
        HoldError::Query(error) => error.into(),
    }
}
