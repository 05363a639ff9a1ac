//! One HTTP request to one judged address: no redirects, no cookies, bounded in time and bytes.

use std::{net::SocketAddr, time::Duration};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, StatusCode,
    body::{Bytes, Incoming},
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

/// Longest wait that an answer may ask for.
const MAX_WAIT: Duration = Duration::from_secs(3_600);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("its name does not resolve")]
    Unknown,
    #[error("it resolves to no address that may be connected to; `private` allows those of this site")]
    Forbidden,
    #[error("no connection: {0}")]
    Connect(std::io::Error),
    #[error("no answer in {} s", .0.as_secs())]
    Slow(Duration),
    #[error("its answer has more than {0} bytes")]
    TooLong(usize),
    #[error("HTTP: {0}")]
    Http(#[from] hyper::Error),
    #[error("HTTP: {0}")]
    Request(#[from] hyper::http::Error),
    /// While the body came.
    #[error("its answer broke off: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
}

/// How much of an answer is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// From the look-up of the name to the answer's last byte.
    pub(crate) time: Duration,
    /// Bytes of its body.
    pub(crate) body: usize,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// How long it asks to be left alone.
    pub(crate) again: Option<Duration>,
    pub(crate) body: Vec<u8>,
}

/// Whom to talk to, and how.
pub(crate) struct Client {
    pub(crate) url: HttpUrl,
    pub(crate) private: bool,
    pub(crate) tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Client {
    /// Posts `body` to the URL itself. What is said beside the status is nobody's business and thrown away.
    pub(crate) async fn post(
        &self,
        headers: HeaderMap,
        body: Vec<u8>,
        limits: Limits,
    ) -> Result<Answer, ClientError> {
        let mut request = Request::builder().method(Method::POST).uri(&self.url.path).body(whole(body))?;
        *request.headers_mut() = headers;
        within(limits.time, self.exchange(request, limits.body, false)).await
    }

    /// Gets what stands at `path`, query included, of the same host.
    pub(crate) async fn get(
        &self,
        path: &str,
        headers: HeaderMap,
        limits: Limits,
    ) -> Result<Answer, ClientError> {
        let mut request = Request::builder().method(Method::GET).uri(path).body(whole(Vec::new()))?;
        *request.headers_mut() = headers;
        within(limits.time, self.exchange(request, limits.body, true)).await
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        most: usize,
        is_kept: bool,
    ) -> Result<Answer, ClientError> {
        let stream = self.connect().await?;
        match &self.tls {
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), stream).await.map_err(ClientError::Connect)?;
                self.request(stream, request, most, is_kept).await
            }
            None => self.request(stream, request, most, is_kept).await,
        }
    }

    async fn connect(&self) -> Result<TcpStream, ClientError> {
        let found = lookup_host((self.url.host.as_str(), self.url.port)).await;
        self.first_of(found.map_err(|_| ClientError::Unknown)?.collect()).await
    }

    /// To the first of these addresses that may be connected to and answers. The name that led to them is not asked again:
    /// it may lead elsewhere by then.
    async fn first_of(&self, found: Vec<SocketAddr>) -> Result<TcpStream, ClientError> {
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

    async fn request<S>(
        &self,
        stream: S,
        mut request: Request<Full<Bytes>>,
        most: usize,
        is_kept: bool,
    ) -> Result<Answer, ClientError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let host = self.url.authority().parse().map_err(hyper::http::Error::from)?;
        request.headers_mut().insert(HOST, host);
        let answer = async {
            let response = sender.send_request(request).await?;
            let (head, body) = response.into_parts();
            let again = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            let again = again.and_then(|text| text.parse().ok()).map(Duration::from_secs);
            let body = match read(body, most).await {
                Ok(body) if is_kept => body,
                Err(error) if is_kept => return Err(error),
                _ => Vec::new(),
            };
            let again = again.map(|again: Duration| again.min(MAX_WAIT));
            Ok(Answer { status: head.status, headers: head.headers, again, body })
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

fn whole(body: Vec<u8>) -> Full<Bytes> {
    Full::new(Bytes::from(body))
}

async fn within<T>(
    time: Duration,
    exchange: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    tokio::time::timeout(time, exchange).await.unwrap_or(Err(ClientError::Slow(time)))
}

/// A body of at most so many bytes.
async fn read(body: Incoming, most: usize) -> Result<Vec<u8>, ClientError> {
    let read = Limited::new(body, most).collect().await.map_err(|error| {
        if error.is::<http_body_util::LengthLimitError>() {
            ClientError::TooLong(most)
        } else {
            ClientError::Body(error)
        }
    });
    Ok(read?.to_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::net::TcpListener;
    use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

    use super::*;

    fn client(private: bool) -> Client {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let name = ServerName::try_from("feed.example".to_owned()).unwrap();
        let url = HttpUrl { is_tls: true, host: "feed.example".to_owned(), port: 443, path: "/".to_owned() };
        Client { url, private, tls: Some((TlsConnector::from(Arc::new(config)), name)) }
    }

    /// As of a name whose owner has it lead inside between two questions, or to several places at once.
    #[tokio::test]
    async fn of_the_addresses_that_a_name_leads_to_only_those_that_pass_are_connected_to() {
        let inside = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let found = vec!["169.254.169.254:80".parse().unwrap(), inside.local_addr().unwrap()];
        assert!(matches!(client(false).first_of(found.clone()).await, Err(ClientError::Forbidden)));
        assert!(matches!(client(true).first_of(Vec::new()).await, Err(ClientError::Unknown)));
        let connected = client(true).first_of(found).await.unwrap();
        let (_, first) = inside.accept().await.unwrap();
        assert_eq!(first, connected.local_addr().unwrap(), "nobody came before whom it was allowed to");
    }
}
