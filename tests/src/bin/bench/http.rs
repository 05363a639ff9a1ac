//! A client of the node's HTTP API that keeps its connection.

use std::{net::SocketAddr, path::Path, time::Instant};

use anyhow::{Context as _, bail};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1::{self, SendRequest},
    header,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::coalition::SLUG;

/// A token, and a connection that is opened again when the node has closed it.
pub(crate) struct Client {
    sender: SendRequest<Full<Bytes>>,
    address: SocketAddr,
    authorization: String,
}

impl Client {
    /// Connects with the token that the daemon left in its data folder.
    pub(crate) async fn connect(address: SocketAddr, data_dir: &Path) -> anyhow::Result<Self> {
        let token = tokio::fs::read_to_string(data_dir.join("cli.token")).await?;
        let authorization = format!("Bearer {}", token.trim());
        Ok(Self { sender: open(address).await?, address, authorization })
    }

    /// Asks for JSON.
    pub(crate) async fn get(&mut self, path: &str) -> anyhow::Result<serde_json::Value> {
        let request = Request::get(path)
            .header(header::HOST, self.address.to_string())
            .header(header::AUTHORIZATION, &self.authorization)
            .body(Full::default())?;
        let answer = self.send(request).await.with_context(|| path.to_owned())?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        if status != StatusCode::OK {
            bail!("{path} answered {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(serde_json::from_slice(&body)?)
    }

    /// Hands the node a log file, as `belfry import-log` does; returns once it follows it.
    pub(crate) async fn import(&mut self, log: String) -> anyhow::Result<()> {
        let request = Request::post("/api/v1/log")
            .header(header::HOST, self.address.to_string())
            .header(header::AUTHORIZATION, &self.authorization)
            .body(Full::new(Bytes::from(log)))?;
        let answer = self.send(request).await.context("importing")?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        if status != StatusCode::OK {
            bail!("import answered {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(())
    }

    /// Publishes a bundle; returns once the node has acknowledged the durable draft.
    pub(crate) async fn publish(&mut self, bundle: Vec<u8>) -> anyhow::Result<()> {
        let request = Request::post(format!("/api/v1/publications?group={SLUG}&tlp=amber"))
            .header(header::HOST, self.address.to_string())
            .header(header::AUTHORIZATION, &self.authorization)
            .header(header::CONTENT_TYPE, "application/stix+json;version=2.1")
            .body(Full::new(Bytes::from(bundle)))?;
        let answer = self.send(request).await.context("publishing")?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        if status != StatusCode::ACCEPTED {
            bail!("publish answered {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(())
    }
}

/// How long an answer took, and what it was.
pub(crate) struct Fetched {
    pub(crate) status: StatusCode,
    /// Milliseconds from the question to the first byte of the body, or to the answer's head where it has none.
    pub(crate) first: f64,
    /// Milliseconds to its last byte.
    pub(crate) last: f64,
    pub(crate) bytes: usize,
    pub(crate) tag: Option<String>,
}

impl Client {
    /// Sends on the connection at hand, or on another if the node closed it for idleness.
    async fn send(&mut self, request: Request<Full<Bytes>>) -> anyhow::Result<Response<Incoming>> {
        if self.sender.ready().await.is_err() {
            self.sender = open(self.address).await?;
        }
        Ok(self.sender.send_request(request).await?)
    }

    /// Hands bytes to a route, and gives what it says.
    pub(crate) async fn post(&mut self, path: &str, body: Vec<u8>) -> anyhow::Result<serde_json::Value> {
        let request = Request::post(path)
            .header(header::HOST, self.address.to_string())
            .header(header::AUTHORIZATION, &self.authorization)
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .body(Full::new(Bytes::from(body)))?;
        let answer = self.send(request).await.with_context(|| path.to_owned())?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        if !status.is_success() {
            bail!("{path} answered {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(serde_json::from_slice(&body)?)
    }

    /// Gets a file, unless it is the one with this tag.
    pub(crate) async fn fetch(&mut self, path: &str, tag: Option<&str>) -> anyhow::Result<Fetched> {
        let mut request = Request::get(path)
            .header(header::HOST, self.address.to_string())
            .header(header::AUTHORIZATION, &self.authorization);
        if let Some(tag) = tag {
            request = request.header(header::IF_NONE_MATCH, tag);
        }
        let request = request.body(Full::default())?;
        let begun = Instant::now();
        let millis = || begun.elapsed().as_secs_f64() * 1e3;
        let answer = self.send(request).await.with_context(|| path.to_owned())?;
        let (status, mut first) = (answer.status(), None);
        let head = millis();
        let tag = answer.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        let (mut body, mut bytes) = (answer.into_body(), 0);
        while let Some(frame) = body.frame().await {
            if let Some(data) = frame?.data_ref() {
                first.get_or_insert_with(millis);
                bytes += data.len();
            }
        }
        Ok(Fetched { status, first: first.unwrap_or(head), last: millis(), bytes, tag })
    }

    /// Connects to any server, with credentials as its Authorization header has them.
    pub(crate) async fn with(address: SocketAddr, authorization: String) -> anyhow::Result<Self> {
        Ok(Self { sender: open(address).await?, address, authorization })
    }

    /// Asks for a TAXII resource; its bytes once all of them are there.
    pub(crate) async fn taxii(&mut self, path: &str) -> anyhow::Result<Bytes> {
        let request = Request::get(path)
            .header(header::HOST, self.address.to_string())
            .header(header::AUTHORIZATION, &self.authorization)
            .header(header::ACCEPT, "application/taxii+json;version=2.1")
            .body(Full::default())?;
        let answer = self.send(request).await.with_context(|| path.to_owned())?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        if status != StatusCode::OK {
            bail!("{path} answered {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(body)
    }

    /// Looks one value up; returns once the whole answer is there.
    pub(crate) async fn look_up(&mut self, value: &str) -> anyhow::Result<Bytes> {
        let request = Request::post("/api/v1/lookup")
            .header(header::HOST, self.address.to_string())
            .header(header::AUTHORIZATION, &self.authorization)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(format!("{{\"values\":[\"{value}\"],\"groups\":[\"{SLUG}\"]}}"))))?;
        let answer = self.send(request).await.context("looking up")?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        if status != StatusCode::OK {
            bail!("lookup answered {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(body)
    }
}

async fn open(address: SocketAddr) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}
