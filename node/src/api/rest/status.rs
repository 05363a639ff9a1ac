//! The node's condition and its connections.

use std::sync::Arc;

use axum::{Extension, Json, extract::State};
use serde_json::{Value, json};

use super::sources;
use crate::{
    api::{app::App, problem::Problem},
    query::Principal,
};

/// `GET /api/v1/status`: what the tables say, then what the running node says of itself.
pub(in crate::api) async fn status(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
) -> Result<Json<Value>, Problem> {
    let held = app.ports.query.status(&principal).await?;
    let mut node = app.ports.status.report().await;
    if !app.ports.audit.is_writable() {
        node.warnings.push(
            "The audit log cannot be written, so nothing can be changed through the API: look at the log of this node."
                .to_owned(),
        );
    }
    if principal.scope().admin {
        node.warnings.extend(app.exports.swings());
    }
    let scheme = app.hosts.scheme().as_str();
    // Where from is told to whoever runs the node.
    let sources = principal.scope().admin.then(|| sources::visible(&app, &principal));
    let proposals = match principal.scope().admin {
        true => Some(app.ports.query.unanswered(&principal).await?),
        false => None,
    };
    Ok(Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "ready": app.ports.status.is_ready(),
        "held": held,
        "node": {
            "peer_id": node.peer_id,
            "started": node.started,
            "listening": node.listening,
            "connected": node.connected,
            "readable_only_here": node.readable_only_here,
            "drafts": node.drafts,
            "parked": node.parked,
            "clock_offset_ms": node.clock_offset_ms,
        },
        "audit": app.ports.audit.standing(),
        "api": app.addresses.iter().map(|address| format!("{scheme}://{address}")).collect::<Vec<_>>(),
        "sources": sources,
        "proposals": proposals,
        "warnings": node.warnings,
    })))
}

/// `GET /api/v1/peers`
pub(in crate::api) async fn peers(State(app): State<Arc<App>>) -> Result<Json<Value>, Problem> {
    let peers: Vec<Value> = app
        .ports
        .status
        .peers()
        .await
        .into_iter()
        .map(|peer| {
            json!({
                "peer_id": peer.peer_id,
                "member": peer.member,
                "organisation": peer.member.and_then(|member| app.ports.query.organisation(member)),
                "admitted": peer.admitted,
                "outbound": peer.outbound,
                "addresses": peer.addresses,
                "groups": peer.groups,
                "since": peer.since,
            })
        })
        .collect();
    Ok(Json(json!({ "peers": peers })))
}
