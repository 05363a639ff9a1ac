//! The whole service: the layers a request passes before it meets its handler.
//!
//! ```text
//! dress ─ panic ─ host ─ identify ─ deadline ─ [audit ─ gate(needs) ─ handler]
//! ```
//!
//! Strange names are refused before tokens are read, tokens before paths are told apart.

use std::{any::Any, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use tower_http::catch_panic::CatchPanicLayer;

use super::{app::App, auth, dress, host, problem::Problem, route};

/// Until a response must have begun. Too low ⇒ a large bundle from a slow disk is cut off; too high ⇒
/// stuck requests hold their connections.
const DEADLINE: Duration = Duration::from_secs(60);

/// Every route of the table behind every layer.
pub(crate) fn service(app: &Arc<App>) -> Router {
    route::router(app)
        .with_state(Arc::clone(app))
        .layer(middleware::from_fn(deadline))
        .layer(middleware::from_fn_with_state(Arc::clone(app), auth::identify))
        .layer(middleware::from_fn_with_state(app.hosts.clone(), host::check))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(dress::dress))
}

async fn deadline(request: Request, next: Next) -> Response {
    match tokio::time::timeout(DEADLINE, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            Problem::new(StatusCode::REQUEST_TIMEOUT, "too-slow", "the request took too long").into_response()
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("a handler panicked: {0}")]
struct Panicked(String);

fn panicked(what: Box<dyn Any + Send + 'static>) -> Response<Body> {
    let said = what
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| what.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    Problem::internal(&Panicked(said)).into_response()
}
