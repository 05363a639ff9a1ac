//! Discovery and the API root (TAXII 2.1 §4.1, §4.2).

use std::sync::Arc;

use axum::{Extension, extract::State, http::StatusCode, response::Response};
use belfry_proto::limits;
use serde_json::json;

use super::{ROOT, media};
use crate::api::{app::App, host::Host, problem::Problem};

/// `GET /taxii2/`
pub(in crate::api) async fn discovery(
    State(app): State<Arc<App>>,
    Extension(Host(host)): Extension<Host>,
) -> Result<Response, Problem> {
    // Absolute, and always with a default: several consumers use nothing else.
    let root = format!("{}://{host}{ROOT}", app.hosts.scheme().as_str());
    media::answer(
        StatusCode::OK,
        &json!({
            "title": format!("belfry of {}", app.ports.query.coalition_name()),
            "description": "The local node's copy of what its coalition's Focus Groups share; one collection a group.",
            "default": root,
            "api_roots": [root],
        }),
    )
}

/// `GET /taxii2/root/`
pub(in crate::api) async fn root(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    media::answer(
        StatusCode::OK,
        &json!({
            "title": app.ports.query.coalition_name(),
            "versions": [media::TAXII],
            "max_content_length": limits::MAX_BUNDLE,
        }),
    )
}
