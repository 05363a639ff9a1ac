//! Accepting connections on loopback TCP and on the Unix socket, and serving each until it ends.
//!
//! HTTP/1.1 only: no local client needs more, and every further protocol is more to be attacked.

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
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
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream, UnixListener},
};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tower::Layer;
use tower::util::MapRequestLayer;

use super::{doors::Doors, tls::Tls};

/// Until a client must have sent its request head; an idle kept-alive connection ends after it too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Until a client must have finished its TLS handshake: two round trips.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
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
pub(crate) async fn serve_tcp(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    router: Router,
    stopping: CancellationToken,
) {
    let accept = || async {
        let (stream, address) = listener.accept().await?;
        // Small answers must not wait for the client's delayed acknowledgement.
        let _ = stream.set_nodelay(true);
        Ok((stream, Caller::Tcp(address)))
    };
    let secured = |stream| {
        let acceptor = tls.as_ref().map(|tls| tls.acceptor());
        async move {
            Ok(match acceptor {
                Some(acceptor) => Stream::Tls(Box::new(acceptor.accept(stream).await?)),
                None => Stream::Plain(stream),
            })
        }
    };
    serve(accept, secured, router, stopping).await;
}

/// Serves the Unix socket until `stopping`, then drains.
pub(crate) async fn serve_socket(listener: UnixListener, router: Router, stopping: CancellationToken) {
    let accept = || async { listener.accept().await.map(|(stream, _)| (stream, Caller::Socket)) };
    serve(accept, |stream| async { Ok(stream) }, router, stopping).await;
}

/// A connection, with or without TLS.
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// `secured` makes of what was accepted what HTTP is spoken over; it is waited for beside other connections.
async fn serve<A, S, F, G>(
    accept: impl Fn() -> F,
    secured: impl Fn(A) -> G,
    router: Router,
    stopping: CancellationToken,
) where
    F: Future<Output = std::io::Result<(A, Caller)>>,
    G: Future<Output = std::io::Result<S>> + Send + 'static,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let doors = Doors::default();
    let graceful = GracefulShutdown::new();
    loop {
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
        let place = tokio::select! {
            () = stopping.cancelled() => break,
            place = doors.enter(caller.address()) => place,
        };
        let Some(place) = place else {
            tracing::debug!(
                ?caller,
                "an API connection was refused: too many of its address have shown no token"
            );
            continue;
        };
        let held = place.clone();
        let service = MapRequestLayer::new(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(caller);
            request.extensions_mut().insert(held.clone());
            request
        })
        .layer(router.clone());
        let (watcher, secured) = (graceful.watcher(), secured(stream));
        tokio::spawn(async move {
            let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, secured);
            let handshake = tokio::select! {
                handshake = handshake => handshake,
                () = place.taken() => return tracing::debug!("an API connection made room for another"),
            };
            let stream = match handshake {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    return tracing::debug!("an API connection ended in its handshake: {error}");
                }
                Err(_) => return tracing::debug!("an API connection said nothing"),
            };
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_buf_size(MAX_HEAD)
                .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
            tokio::select! {
                ended = watcher.watch(connection) => if let Err(error) = ended {
                    tracing::debug!("an API connection ended early: {error}");
                },
                () = place.taken() => tracing::debug!("an API connection made room for another"),
            }
            drop(place);
        });
    }
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("API requests still running after {} s were cut off", DRAIN.as_secs());
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, bytes),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
