//! One HTTP request to one judged address: no redirects, no cookies, no body read but to be thrown away.

use std::{net::SocketAddr, time::Duration};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Request, StatusCode,
    body::Bytes,
    client::conn::http1,
    header::{HOST, HeaderMap, RETRY_AFTER},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

use super::reach::{Reach, reach};
use crate::config::HttpUrl;

/// Until an answer's head is here (Standard Webhooks: 15 to 30 seconds).
const TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes of an answer's body that are read, and thrown away, so that it ends in order.
const MAX_BODY: usize = 64 << 10;
/// Longest wait that an answer may ask for.
const MAX_WAIT: Duration = Duration::from_secs(3_600);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    #[error("its name does not resolve")]
    Unknown,
    #[error(
        "it resolves to no address that this webhook may connect to; `private` allows those of this site"
    )]
    Forbidden,
    #[error("no connection: {0}")]
    Connect(std::io::Error),
    #[error("no answer in {} s", TIMEOUT.as_secs())]
    Slow,
    #[error("HTTP: {0}")]
    Http(#[from] hyper::Error),
    #[error("HTTP: {0}")]
    Request(#[from] hyper::http::Error),
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) again: Option<Duration>,
}

/// Whom to talk to, and how.
pub(super) struct Client {
    pub(super) url: HttpUrl,
    pub(super) private: bool,
    pub(super) tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Client {
    /// Posts `body`.
    pub(super) async fn post(&self, headers: HeaderMap, body: Vec<u8>) -> Result<Answer, ClientError> {
        match tokio::time::timeout(TIMEOUT, self.exchange(headers, body)).await {
            Ok(answer) => answer,
            Err(_) => Err(ClientError::Slow),
        }
    }

    async fn exchange(&self, headers: HeaderMap, body: Vec<u8>) -> Result<Answer, ClientError> {
        let stream = self.connect().await?;
        match &self.tls {
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), stream).await.map_err(ClientError::Connect)?;
                self.request(stream, headers, body).await
            }
            None => self.request(stream, headers, body).await,
        }
    }

    /// To the first address that may be connected to and answers.
    async fn connect(&self) -> Result<TcpStream, ClientError> {
        let found = lookup_host((self.url.host.as_str(), self.url.port)).await;
        let found: Vec<SocketAddr> = found.map_err(|_| ClientError::Unknown)?.collect();
        if found.is_empty() {
            return Err(ClientError::Unknown);
        }
        let mut last = ClientError::Forbidden;
        for address in found.into_iter().filter(|address| self.may_reach(*address)) {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = ClientError::Connect(error),
            }
        }
        Err(last)
    }

    fn may_reach(&self, address: SocketAddr) -> bool {
        match reach(address.ip()) {
            // In the clear only to this machine.
            Reach::Loopback => self.private || self.tls.is_none(),
            Reach::Public => self.tls.is_some(),
            Reach::Private => self.tls.is_some() && self.private,
            Reach::Never => false,
        }
    }

    async fn request<S>(&self, stream: S, headers: HeaderMap, body: Vec<u8>) -> Result<Answer, ClientError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut request = Request::post(&self.url.path).body(Full::new(Bytes::from(body)))?;
        *request.headers_mut() = headers;
        let host = self.url.authority().parse().map_err(hyper::http::Error::from)?;
        request.headers_mut().insert(HOST, host);
        let answer = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let again = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            let again = again.and_then(|text| text.parse().ok()).map(Duration::from_secs);
            let body = Limited::new(response.into_body(), MAX_BODY);
            // What it says beside its status is nobody's business here.
            let _ = body.collect().await;
            Ok(Answer { status, again: again.map(|again| again.min(MAX_WAIT)) })
        };
        tokio::pin!(connection);
        tokio::pin!(answer);
        tokio::select! {
            answer = &mut answer => answer,
            ended = &mut connection => {
                ended?;
                answer.await
            }
        }
    }
}
