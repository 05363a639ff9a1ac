//! A SOC's tool, as small as it can be: one HTTP/1.1 request a connection, a token, JSON.

use std::{fmt::Write as _, net::SocketAddr};

use anyhow::{Context as _, ensure};
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, body::Bytes, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// TAXII 2.1's media type.
pub const TAXII: &str = "application/taxii+json;version=2.1";

/// One token's view of one node's API.
#[derive(Clone, Debug)]
pub struct Client {
    address: SocketAddr,
    token: String,
}

/// Status and body of an answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// JSON; null if there was no body.
    pub body: Value,
}

impl Answer {
    /// The body of an answer that must have this status.
    ///
    /// # Errors
    /// It has another; the body is shown.
    pub fn expect(self, status: u16) -> anyhow::Result<Value> {
        ensure!(self.status == status, "answered {} instead of {status}: {}", self.status, self.body);
        Ok(self.body)
    }
}

impl Client {
    /// Speaks to the API at `address` with `token`.
    #[must_use]
    pub const fn new(address: SocketAddr, token: String) -> Self {
        Self { address, token }
    }

    /// A GET whose answer takes JSON of TAXII or REST.
    ///
    /// # Errors
    /// No answer, or one that is not JSON.
    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        let accept = if path.starts_with("/taxii2/") { TAXII } else { "application/json" };
        self.ask(Method::GET, path, &[("accept", accept)], Vec::new()).await
    }

    /// A POST of bytes of this kind.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> anyhow::Result<Answer> {
        self.ask(Method::POST, path, headers, body.into()).await
    }

    /// The text of a GET that must be answered with 200.
    ///
    /// # Errors
    /// No answer, or another.
    pub async fn text(&self, path: &str) -> anyhow::Result<String> {
        let (status, bytes) = self.send(Method::GET, path, &[], Vec::new()).await?;
        ensure!(status == 200, "{path} answered {status}");
        Ok(String::from_utf8(bytes.into())?)
    }

    /// A DELETE.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn delete(&self, path: &str) -> anyhow::Result<Answer> {
        self.ask(Method::DELETE, path, &[], Vec::new()).await
    }

    /// Any request.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> anyhow::Result<Answer> {
        let (status, bytes) = self.send(method, path, headers, body).await?;
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes)? };
        Ok(Answer { status, body })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> anyhow::Result<(u16, Bytes)> {
        let stream = TcpStream::connect(self.address).await.context("the API does not listen")?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.address.to_string())
            .header(header::CONNECTION, "close")
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = sender.send_request(request.body(Full::new(Bytes::from(body)))?).await?;
        let status = answer.status().as_u16();
        let bytes = answer.into_body().collect().await?.to_bytes();
        drop(sender);
        driver.abort();
        Ok((status, bytes))
    }

    /// Every object of a collection, page by page as a TAXII client takes them.
    ///
    /// # Errors
    /// A page is refused, or is no TAXII envelope.
    pub async fn objects(&self, collection: &str) -> anyhow::Result<Vec<Value>> {
        let mut objects = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let mut path = format!("/taxii2/root/collections/{collection}/objects/?limit=500");
            if let Some(next) = &next {
                path = format!("{path}&next={}", encoded(next));
            }
            let page = self.get(&path).await?.expect(200)?;
            objects.extend(page.get("objects").and_then(Value::as_array).cloned().unwrap_or_default());
            let more = page.get("more").and_then(Value::as_bool).unwrap_or_default();
            match page.get("next").and_then(Value::as_str) {
                Some(token) if more => next = Some(token.to_owned()),
                _ => return Ok(objects),
            }
        }
    }

    /// STIX ids of every object of a collection, in the order they were added.
    ///
    /// # Errors
    /// As [`Self::objects`].
    pub async fn ids(&self, collection: &str) -> anyhow::Result<Vec<String>> {
        let objects = self.objects(collection).await?;
        Ok(objects.iter().filter_map(|object| object["id"].as_str()).map(str::to_owned).collect())
    }
}

/// `text` percent-encoded, for a query value.
#[must_use]
pub fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
        out
    })
}
