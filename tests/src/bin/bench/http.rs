//! A client of the node's HTTP API that keeps its connection.

use std::{net::SocketAddr, path::Path};

use anyhow::{Context as _, bail};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, StatusCode,
    body::Bytes,
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
        if self.sender.ready().await.is_err() {
            self.sender = open(self.address).await?;
        }
        let answer = self.sender.send_request(request).await.with_context(|| path.to_owned())?;
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
        if self.sender.ready().await.is_err() {
            self.sender = open(self.address).await?;
        }
        let answer = self.sender.send_request(request).await.context("importing")?;
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
        if self.sender.ready().await.is_err() {
            // Idle for too long.
            self.sender = open(self.address).await?;
        }
        let answer = self.sender.send_request(request).await.context("publishing")?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        if status != StatusCode::ACCEPTED {
            bail!("publish answered {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(())
    }
}

impl Client {
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
        if self.sender.ready().await.is_err() {
            self.sender = open(self.address).await?;
        }
        let answer = self.sender.send_request(request).await.with_context(|| path.to_owned())?;
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
        if self.sender.ready().await.is_err() {
            self.sender = open(self.address).await?;
        }
        let answer = self.sender.send_request(request).await.context("looking up")?;
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
