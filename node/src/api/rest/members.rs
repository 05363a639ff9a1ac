//! The coalition's members, as the admin log has them.

use std::sync::Arc;

use axum::{Json, extract::State, http::Uri};
use serde_json::{Value, json};

use crate::api::{
    app::App,
    paging::{self, Paging},
    params::Params,
    problem::Problem,
};

/// `GET /api/v1/members`, with `limit` and `next`.
pub(in crate::api) async fn members(State(app): State<Arc<App>>, uri: Uri) -> Result<Json<Value>, Problem> {
    let mut params = Params::of(&uri)?;
    let paging = Paging::of(&mut params, "members", &[])?;
    params.finish()?;
    let (members, next) = paging.cut(app.ports.query.members(), |member| member.id.to_vec());
    Ok(paging::answer("members", members.iter().map(|member| json!(member)).collect(), next))
}
