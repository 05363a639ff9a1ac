//! Talking to this machine's daemon: HTTP over its Unix socket, with the token it left for us.
//!
//! Only a user who may read the data folder gets that far: the token file is 0600, made by the daemon at its
//! first run. One connection a request: commands are short.

use std::{fmt::Write as _, io, path::PathBuf, time::Duration};

use futures::future::FutureExt as _;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Method, Request, body::Bytes, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;
use zeroize::Zeroizing;

use super::exit::{Usage, refused};
pub(super) use crate::outbound::{path_and_query, segment};
use crate::{
    config::Config,
    keys::file::{FileError, read_secret},
};

/// Longest wait for one answer: splitting and sealing the largest bundle takes some 20 s on a slow core.
const TIMEOUT: Duration = Duration::from_secs(180);
/// Bytes of the largest answer: a page of objects, each at most 512 KiB.
const MAX_ANSWER: usize = 128 * 1024 * 1024;

/// No answer, or one that says no.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    #[error("no belfry runs for {}: start it with `belfry run{again}`{}", folder.display(),
        if again.is_empty() { ", or name its folder with --dir" } else { "" })]
    NotRunning { folder: PathBuf, again: String },
    #[error("{0}")]
    Token(#[source] FileError),
    #[error("{}: {source}", socket.display())]
    Connection { socket: PathBuf, source: io::Error },
    #[error("the daemon broke off: {0}")]
    Http(#[from] hyper::Error),
    #[error("the daemon did not answer within {} s", TIMEOUT.as_secs())]
    Timeout,
    #[error("the daemon's answer is not what this belfry expects ({0}): are both the same version?")]
    Answer(String),
    #[error("{}", if detail.is_empty() { title } else { detail })]
    Problem { status: u16, code: String, title: String, detail: String },
}

impl ClientError {
    /// As the command's error: a problem that names a rule is a refusal.
    fn at_the_edge(self) -> anyhow::Error {
        match self {
            // A damaged file is nothing a rule could be held against.
            Self::Problem { ref code, .. } if code == "not-a-bundle" => self.into(),
            // What an argument said is no value of its kind.
            Self::Problem { ref code, .. } if code == "bad-parameter" => Usage(self.to_string()).into(),
            // Not 401 (our own token), 408 and 429 (come back).
            Self::Problem { status: 400 | 403..=405 | 409 | 413 | 415 | 422, .. } => refused(self),
            other => other.into(),
        }
    }
}

/// A connection-to-be.
pub(super) struct Client {
    socket: PathBuf,
    folder: PathBuf,
    again: String,
    token: Zeroizing<String>,
}

/// What a POST carries.
pub(super) struct Content {
    pub(super) kind: &'static str,
    pub(super) bytes: Vec<u8>,
    pub(super) idempotency_key: Option<String>,
}

impl Client {
    /// Prepares to talk to the daemon of `config`; `again` are the arguments that named it, for hints.
    pub(super) fn new(config: &Config, again: &str) -> anyhow::Result<Self> {
        let mut client = Self {
            socket: config.api_socket(),
            folder: config.node.data_dir.clone(),
            again: again.to_owned(),
            token: Zeroizing::default(),
        };
        let token = read_secret(&config.cli_token()).map_err(|e| match e {
            e if e.is_absent() => client.not_running(),
            e => ClientError::Token(e),
        });
        let token = token.map_err(ClientError::at_the_edge)?;
        client.token = Zeroizing::new(String::from_utf8_lossy(&token).trim().to_owned());
        Ok(client)
    }

    /// The arguments that named the node, for a hint at another command; each after a space.
    pub(super) fn again(&self) -> &str {
        &self.again
    }

    fn not_running(&self) -> ClientError {
        ClientError::NotRunning { folder: self.folder.clone(), again: self.again.clone() }
    }

    pub(super) fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(Method::GET, path, None)
    }

    /// A whole list, page by page: an answer with all its rows.
    pub(super) fn list(&self, path: &str, query: &[(&str, &str)], name: &str) -> anyhow::Result<Value> {
        let mut rows = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let mut asked = query.to_vec();
            asked.extend(next.as_deref().map(|next| ("next", next)));
            let mut page = self.get(&path_and_query(path, &asked))?;
            if let Some(Value::Array(more)) = page.get_mut(name).map(Value::take) {
                rows.extend(more);
            }
            let following = page.get("next").and_then(Value::as_str).map(str::to_owned);
            // The same `next` again would never end.
            if following.is_none() || following == next {
                return Ok(serde_json::json!({ name: rows }));
            }
            next = following;
        }
    }

    pub(super) fn post(&self, path: &str, content: Content) -> anyhow::Result<Value> {
        self.ask(Method::POST, path, Some(content))
    }

    pub(super) fn delete(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(Method::DELETE, path, None)
    }

    /// An answer that need not be JSON.
    pub(super) fn fetch(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let (status, body) = self.send(Method::GET, path, None)?;
        match (200..300).contains(&status) {
            true => Ok(body.into()),
            false => {
                answer(status, &body).map_err(ClientError::at_the_edge)?;
                Ok(Vec::new())
            }
        }
    }

    fn ask(&self, method: Method, path: &str, content: Option<Content>) -> anyhow::Result<Value> {
        let (status, body) = self.send(method, path, content)?;
        answer(status, &body).map_err(ClientError::at_the_edge)
    }

    fn send(&self, method: Method, path: &str, content: Option<Content>) -> anyhow::Result<(u16, Bytes)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let asked = runtime
            .block_on(async { tokio::time::timeout(TIMEOUT, self.exchange(method, path, content)).await });
        asked.unwrap_or(Err(ClientError::Timeout)).map_err(ClientError::at_the_edge)
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        content: Option<Content>,
    ) -> Result<(u16, Bytes), ClientError> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|source| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => self.not_running(),
            _ => ClientError::Connection { socket: self.socket.clone(), source },
        })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let mut connection = Box::pin(connection).fuse();

        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost")
            .header(header::ACCEPT, "application/json")
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token.as_str()));
        let mut body = Vec::new();
        if let Some(content) = content {
            request = request.header(header::CONTENT_TYPE, content.kind);
            if let Some(key) = &content.idempotency_key {
                request = request.header("idempotency-key", key);
            }
            body = content.bytes;
        }
        let request =
            request.body(Full::new(Bytes::from(body))).map_err(|e| ClientError::Answer(e.to_string()))?;

        let exchange = async move {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_ANSWER)
                .collect()
                .await
                .map_err(|e| ClientError::Answer(e.to_string()))?
                .to_bytes();
            Ok((status.as_u16(), body))
        };
        tokio::pin!(exchange);
        // The connection must be polled for the exchange to move; it may end first, which is no answer yet.
        loop {
            tokio::select! {
                answer = &mut exchange => return answer,
                _ = &mut connection => {}
            }
        }
    }
}

fn answer(status: u16, body: &[u8]) -> Result<Value, ClientError> {
    let value = match body {
        [] => Ok(Value::Null),
        _ => serde_json::from_slice(body),
    };
    if (200..300).contains(&status) {
        return value.map_err(|e| ClientError::Answer(e.to_string()));
    }
    let value = value.unwrap_or_default();
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (mut title, mut detail) = (text("title"), text("detail"));
    if title.is_empty() {
        title = format!("the daemon answered {status}");
    }
    if status == 401 {
        detail = "the daemon does not know our token: was cli.token replaced while it ran? restart it".into();
    }
    let code = text("code");
    if let Some(more) = in_our_words(&code) {
        detail.push_str(more);
    }
    if let Some(files) = value.get("files").and_then(Value::as_array).filter(|_| code == "which-file") {
        let names: Vec<&str> = files.iter().filter_map(Value::as_str).collect();
        let _ = write!(detail, " with --file, or take all with --out DIR: {}", names.join(", "));
    }
    if status >= 500 {
        // Under this id the daemon's log says why.
        detail = format!("{detail} {}", text("request_id")).trim().to_owned();
    }
    Err(ClientError::Problem { status, code, title, detail })
}

/// What a problem's text lacks at the command line: how one says there what it asks for.
fn in_our_words(code: &str) -> Option<&'static str> {
    match code {
        "red-without-recipients" => Some(" with --to MEMBER"),
        "reason-needed" => Some(" with --reason TEXT: what it is, never the value"),
        "unknown-member" => Some(" (`belfry members` lists them)"),
        "unknown-token" => Some(" (`belfry token list` shows them)"),
        "unknown-export" => Some(" (`belfry export` lists them)"),
        "unknown-source" => Some(" (`belfry source list` shows them)"),
        "unknown-publication" => Some(" (`belfry publish` printed it)"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::cli::exit::Exit;
    use crate::keys::file::{Existing, Readers, write};

    /// A daemon that gives one fixed answer and returns the request it saw.
    fn answered(
        response: &'static str,
        ask: impl FnOnce(&Client) -> anyhow::Result<Value>,
    ) -> (anyhow::Result<Value>, String) {
        use std::io::{Read as _, Write as _};
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.node.data_dir = folder.path().to_owned();
        write(&config.cli_token(), b"belfry_1_secret\n", Readers::Owner, Existing::Keep).unwrap();
        let listener = UnixListener::bind(config.api_socket()).unwrap();
        let daemon = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut seen = vec![0; 4096];
            let n = stream.read(&mut seen).unwrap();
            stream.write_all(response.as_bytes()).unwrap();
            String::from_utf8_lossy(&seen[..n]).to_ascii_lowercase()
        });
        let result = ask(&Client::new(&config, "").unwrap());
        (result, daemon.join().unwrap())
    }

    #[test]
    fn the_token_goes_along_and_the_answer_comes_back() {
        let (answer, seen) = answered("HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n{\"height\":3}", |c| {
            c.get("/api/v1/status")
        });
        assert_eq!(answer.unwrap()["height"], 3);
        assert!(seen.starts_with("get /api/v1/status http/1.1"), "{seen}");
        assert!(seen.contains("authorization: bearer belfry_1_secret"), "{seen}");
    }

    #[test]
    fn a_forbidden_request_is_a_refusal_with_its_detail() {
        let (answer, _) = answered(
            "HTTP/1.1 403 Forbidden\r\nconnection: close\r\n\r\n{\"title\":\"no\",\"detail\":\"not a publisher\"}",
            |c| c.delete("/x"),
        );
        let error = answer.unwrap_err();
        assert_eq!(error.to_string(), "not a publisher");
        assert_eq!(Exit::of(&error), Exit::Refused);
    }

    #[test]
    fn without_a_daemon_the_mend_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.node.data_dir = folder.path().to_owned();
        let error = Client::new(&config, " --dir x").err().unwrap().to_string();
        assert!(error.ends_with("`belfry run --dir x`"), "{error}");
        write(&config.cli_token(), b"t", Readers::Owner, Existing::Keep).unwrap();
        let error = Client::new(&config, "").unwrap().get("/").unwrap_err().to_string();
        assert!(error.contains("belfry run"), "{error}");
    }
}
