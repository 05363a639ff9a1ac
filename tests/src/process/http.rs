//! One request, one connection, the raw bytes of the answer: HTTP/1.0, so that nothing chunks them.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use serde_json::Value;

/// No answer of a healthy daemon takes this long.
const TIMEOUT: Duration = Duration::from_secs(60);

/// An answer, as it came.
#[derive(Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Raw.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The objects of a TAXII envelope, TLP definitions left out.
    #[must_use]
    pub fn objects(&self) -> Vec<Value> {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        let json = self.json();
        let objects = json.get("objects").and_then(Value::as_array).cloned().unwrap_or_default();
        objects.into_iter().filter(|object| object["type"] != "marking-definition").collect()
    }
}

/// An answer whose body is still coming.
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    reader: BufReader<TcpStream>,
}

impl Reply {
    /// The next event of an event stream: (event, id, data). `None` when the stream ends.
    pub fn event(&mut self) -> Option<(String, String, Value)> {
        let (mut event, mut id, mut data) = (String::new(), String::new(), String::new());
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            match line.trim_end().split_once(':') {
                Some(("event", value)) => event = value.trim().to_owned(),
                Some(("id", value)) => id = value.trim().to_owned(),
                Some(("data", value)) => data.push_str(value.trim()),
                _ if data.is_empty() => {}
                _ => return Some((event, id, serde_json::from_str(&data).unwrap())),
            }
        }
    }
}

/// Sends a request; `headers` as they shall stand on the wire.
///
/// # Errors
/// Nobody listens there, or the connection breaks.
pub fn open(
    api: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<Reply> {
    let mut stream = TcpStream::connect(api)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let mut head = format!("{method} {path} HTTP/1.0\r\nHost: {api}\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    stream.write_all(body)?;
    let mut reader = BufReader::new(stream);
    let mut line = || -> std::io::Result<String> {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    };
    let status = line()?;
    let status = status.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| std::io::Error::other("no status line"))?;
    let mut found = Vec::new();
    loop {
        let line = line()?;
        match line.split_once(':') {
            Some((name, value)) => found.push((name.to_ascii_lowercase(), value.trim().to_owned())),
            None => break,
        }
    }
    Ok(Reply { status, headers: found, reader })
}

/// Sends a request and reads the whole answer.
///
/// # Errors
/// As [`open`].
pub fn send(
    api: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<Answer> {
    let Reply { status, headers, mut reader } = open(api, method, path, headers, body)?;
    let mut body = Vec::new();
    reader.read_to_end(&mut body)?;
    Ok(Answer { status, headers, body })
}

/// GET with a bearer token.
#[must_use]
pub fn get(api: &str, path: &str, token: &str) -> Answer {
    send(api, "GET", path, &[("Authorization", &format!("Bearer {token}"))], b"").unwrap()
}

/// POST with a bearer token.
#[must_use]
pub fn post(api: &str, path: &str, token: &str, kind: &str, body: &[u8]) -> Answer {
    let bearer = format!("Bearer {token}");
    send(api, "POST", path, &[("Authorization", &bearer), ("Content-Type", kind)], body).unwrap()
}
