//! Give and take: what this member shared and got in a month, and what all did together.

use std::sync::Arc;

use axum::{Extension, Json, extract::State, http::Uri};
use serde_json::{Value, json};

use crate::{
    api::{
        app::App,
        params::{Params, bad},
        problem::Problem,
    },
    query::{Month, Principal},
};

/// `GET /api/v1/activity?month=2026-11`; without one, the last month that is over.
pub(in crate::api) async fn report(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let mut params = Params::of(&uri)?;
    let month = match params.one("month")? {
        Some(text) => {
            Month::parse(&text).ok_or_else(|| bad("month", "is a month that is over, as in 2026-11"))?
        }
        None => Month::last(),
    };
    params.finish()?;
    if !month.is_over() {
        return Err(bad("month", "is not over yet: figures of it would tell what single days added"));
    }
    Ok(Json(json!({ "activity": app.ports.query.activity(&principal, month).await? })))
}
