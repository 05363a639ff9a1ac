//! How far the node is with what others hold.

use std::{collections::BTreeSet, sync::Arc};

use axum::{Extension, Json, extract::State};
use belfry_proto::id::GroupId;
use serde_json::{Value, json};

use crate::{
    api::{app::App, problem::Problem},
    query::Principal,
};

/// `GET /api/v1/sync`: the groups the token reads, each with what is missing and why.
pub(in crate::api) async fn progress(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
) -> Result<Json<Value>, Problem> {
    told(&app, &principal, None).await.map(Json)
}

/// The same for event streams, of some groups only.
pub(in crate::api) async fn told(
    app: &App,
    principal: &Principal,
    of: Option<&BTreeSet<GroupId>>,
) -> Result<Value, Problem> {
    let mut groups = app.ports.query.groups(principal).await?;
    groups.retain(|group| group.can_read && of.is_none_or(|of| of.contains(&group.id)));
    let ids = groups.iter().map(|group| group.id).collect();
    let unread = || Problem::busy("sync-unread", "the store could not be read just now");
    let (report, progress) = app.ports.status.sync(ids).await.ok_or_else(unread)?;
    let groups: Vec<Value> = groups
        .iter()
        .zip(progress)
        .map(|(group, progress)| json!({ "id": group.id, "slug": group.slug, "progress": progress }))
        .collect();
    Ok(json!({
        "peers": report.peers,
        "compared": report.compared,
        "parked": app.ports.status.parked().await,
        "counters": report.counters,
        "groups": groups,
    }))
}
