//! What every handler shares, and the layers a request passes before it meets one.
//!
//! ```text
//! dress ─ panic ─ host ─ identify ─ deadline ─ [gate(needs) ─ handler]
//! ```
//!
//! Strange names are refused before tokens are read, tokens before paths are told apart.

use std::{
    any::Any,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use belfry_proto::limits;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;

use super::{
    auth,
    host::{self, Hosts},
    limit::{Buckets, Rate},
    ports::Ports,
    problem::{self, Problem},
    route,
};
use crate::query::TokenId;

/// Until a response must have begun. Too low ⇒ a large bundle from a slow disk is cut off; too high ⇒
/// stuck requests hold their connections.
const DEADLINE: Duration = Duration::from_secs(60);
/// Kibibytes of bundles taken in at once: four of the largest, each of which takes as much again while it is
/// split, or some thousands of small ones.
const SUBMISSIONS: usize = 4 * (limits::MAX_BUNDLE >> 10);
/// Event streams open at once.
const MAX_STREAMS: usize = 64;

/// Failing authentications from one address: what a mistyped script may do before it is slowed.
const FAILURES: Rate = Rate { per_second: 0.2, burst: 10.0 };

/// Shared by every handler.
pub(crate) struct App {
    pub(crate) ports: Ports,
    pub(crate) hosts: Hosts,
    /// Where the API listens, ports filled in.
    pub(crate) addresses: Vec<SocketAddr>,
    /// Requests of one token.
    pub(crate) requests: Buckets<TokenId>,
    /// Failing authentications of one address; the Unix socket is `None`.
    pub(crate) failures: Buckets<Option<IpAddr>>,
    /// Kibibytes of bundles that may still be taken in.
    pub(crate) submissions: Semaphore,
    pub(crate) streams: Arc<Semaphore>,
    /// Ends event streams, which would else keep the server from stopping.
    pub(crate) stopping: CancellationToken,
}

impl App {
    pub(crate) fn new(
        ports: Ports,
        hosts: Hosts,
        addresses: Vec<SocketAddr>,
        requests: Rate,
        stopping: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            ports,
            hosts,
            addresses,
            requests: Buckets::new(requests),
            failures: Buckets::new(FAILURES),
            submissions: Semaphore::new(SUBMISSIONS),
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
            stopping,
        })
    }

    /// The whole service.
    pub(crate) fn router(self: &Arc<Self>) -> Router {
        route::router()
            .with_state(self.clone())
            .layer(middleware::from_fn(deadline))
            .layer(middleware::from_fn_with_state(self.clone(), auth::identify))
            .layer(middleware::from_fn_with_state(self.clone(), host::check))
            .layer(CatchPanicLayer::custom(panicked))
            .layer(middleware::from_fn(problem::dress))
    }
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
