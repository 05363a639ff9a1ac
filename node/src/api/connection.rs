//! Accepting connections on loopback TCP and on the Unix socket, and serving each until it ends.
//!
//! HTTP/1.1 only: no local client needs more, and every further protocol is more to be attacked.

use std::{
    future::Future,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{Router, extract::Request};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;
use tower::Layer;
use tower::util::MapRequestLayer;

/// Connections open at once on one listener. Too low ⇒ a pool of clients starves itself; too high ⇒
/// descriptors that the peers' side needs.
const MAX_CONNECTIONS: usize = 256;
/// Until a client must have sent its request head; an idle kept-alive connection ends after it too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of a request head; the longest legitimate ones are filters of a hundred ids.
const MAX_HEAD: usize = 64 * 1024;
/// How long running requests may take to end when the server stops.
const DRAIN: Duration = Duration::from_secs(10);
/// Pause after an accept error; out of descriptors, accepting again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where a request came in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Caller {
    Tcp(SocketAddr),
    Socket,
}

impl Caller {
    /// `None` for the Unix socket.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(address) => Some(address.ip()),
            Self::Socket => None,
        }
    }
}

/// Serves TCP until `stopping`, then drains.
pub(crate) async fn serve_tcp(listener: TcpListener, router: Router, stopping: CancellationToken) {
    let accept = || async {
        let (stream, address) = listener.accept().await?;
        // Small answers must not wait for the client's delayed acknowledgement.
        let _ = stream.set_nodelay(true);
        Ok((stream, Caller::Tcp(address)))
    };
    serve(accept, router, stopping).await;
}

/// Serves the Unix socket until `stopping`, then drains.
pub(crate) async fn serve_socket(listener: UnixListener, router: Router, stopping: CancellationToken) {
    let accept = || async { listener.accept().await.map(|(stream, _)| (stream, Caller::Socket)) };
    serve(accept, router, stopping).await;
}

async fn serve<S, F, Fut>(accept: F, router: Router, stopping: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn() -> Fut,
    Fut: Future<Output = std::io::Result<(S, Caller)>>,
{
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    loop {
        let place = tokio::select! {
            () = stopping.cancelled() => break,
            place = places.clone().acquire_owned() => match place {
                Ok(place) => place,
                Err(_) => break,
            },
        };
        let (stream, caller) = tokio::select! {
            () = stopping.cancelled() => break,
            accepted = accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!("the API accepts no connection: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        let service = MapRequestLayer::new(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(caller);
            request
        })
        .layer(router.clone());
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!("an API connection ended early: {error}");
            }
            drop(place);
        });
    }
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("API requests still running after {} s were cut off", DRAIN.as_secs());
    }
}
