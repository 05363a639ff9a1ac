//! A log server: RFC 5424 over TCP, TLS, UDP or a socket of this machine.
//!
//! On TCP and TLS each message is preceded by its length (octet counting, RFC 6587 §3.4.1, RFC 5425 §4.3), so nothing in
//! it can begin another one. Syslog has no acknowledgement: what was written when the connection broke may be lost, and
//! over UDP anything may. The connection is looked at before each message; whoever needs certainty takes a webhook.

use std::{os::fd::AsFd, path::Path, time::Duration};

use async_trait::async_trait;
use rustix::{
    io::Errno,
    net::{RecvFlags, recv},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket, UnixDatagram},
};
use tokio_rustls::{TlsConnector, client::TlsStream, rustls::pki_types::ServerName};

use super::{
    Failure, HookError, Sink,
    cef::{self, Line},
    event::Event,
    webhook::tls_of,
};
use crate::{
    clock,
    config::{Syslog, Target},
};

/// Facility local0, severity notice (RFC 5424 §6.2.1).
const PRIORITY: u8 = 16 * 8 + 5;
/// Until a connection stands, or a message is handed over.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes of a datagram: what any network carries, in fragments if need be.
const DATAGRAM: usize = 8 << 10;

/// A log server, connected when needed.
pub(super) struct LogServer {
    target: Target,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    host: String,
    line: Option<Open>,
}

enum Open {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

impl LogServer {
    pub(super) fn open(syslog: &Syslog) -> Result<Self, HookError> {
        let tls = match &syslog.target {
            Target::Tls(host, _) => Some(tls_of(&syslog.hook.name, syslog.ca_file.as_deref(), host)?),
            _ => None,
        };
        Ok(Self { target: syslog.target.clone(), tls, host: host(), line: None })
    }

    async fn connect(&self) -> std::io::Result<Open> {
        Ok(match &self.target {
            Target::Tcp(host, port) => Open::Tcp(TcpStream::connect((host.as_str(), *port)).await?),
            Target::Tls(host, port) => {
                let (connector, name) =
                    self.tls.as_ref().ok_or_else(|| std::io::Error::other("TLS is not set up"))?;
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                Open::Tls(Box::new(connector.connect(name.clone(), stream).await?))
            }
            Target::Udp(host, port) => {
                let mut found = tokio::net::lookup_host((host.as_str(), *port)).await?;
                let address =
                    found.next().ok_or_else(|| std::io::Error::other("its name does not resolve"))?;
                let local = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(local).await?;
                socket.connect(address).await?;
                Open::Udp(socket)
            }
            Target::Unix(path) => Open::Unix(connected(path)?),
        })
    }

    async fn hand_over(&mut self, messages: &[String]) -> std::io::Result<()> {
        let mut kept = self.line.take();
        if let Some(open) = &mut kept
            && open.has_ended().await
        {
            kept = None;
        }
        let mut open = match kept {
            Some(open) => open,
            None => self.connect().await?,
        };
        for message in messages {
            open.write(message).await?;
        }
        open.flush().await?;
        // Only a line that took all of it is used again.
        self.line = Some(open);
        Ok(())
    }
}

fn connected(path: &Path) -> std::io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    Ok(socket)
}

impl Open {
    /// Whether the other side closed it: it has nothing to say, so anything to read is its end.
    async fn has_ended(&mut self) -> bool {
        match self {
            Self::Tcp(stream) => is_over(&*stream) || ended(stream).await,
            Self::Tls(stream) => is_over(stream.get_ref().0) || ended(stream).await,
            Self::Udp(_) | Self::Unix(_) => false,
        }
    }

    async fn write(&mut self, message: &str) -> std::io::Result<()> {
        match self {
            Self::Tcp(stream) => counted(stream, message).await,
            Self::Tls(stream) => counted(stream, message).await,
            Self::Udp(socket) => socket.send(datagram(message)).await.map(drop),
            Self::Unix(socket) => socket.send(datagram(message)).await.map(drop),
        }
    }

    async fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.flush().await,
            Self::Tls(stream) => stream.flush().await,
            Self::Udp(_) | Self::Unix(_) => Ok(()),
        }
    }
}

/// Whether the kernel knows that it is: the runtime hears of it a moment later only, and what is written until then is lost.
fn is_over(socket: impl AsFd) -> bool {
    match recv(socket, &mut [0_u8; 1][..], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Ok((_, bytes)) => bytes == 0,
        Err(error) => error != Errno::AGAIN && error != Errno::INTR,
    }
}

async fn ended(stream: &mut (impl AsyncRead + Unpin)) -> bool {
    let mut byte = [0; 1];
    tokio::select! {
        biased;
        _ = stream.read(&mut byte) => true,
        () = std::future::ready(()) => false,
    }
}

async fn counted(stream: &mut (impl AsyncWrite + Unpin), message: &str) -> std::io::Result<()> {
    stream.write_all(format!("{} {message}", message.len()).as_bytes()).await
}

/// As much as a datagram carries, whole characters only.
fn datagram(message: &str) -> &[u8] {
    let mut end = message.len().min(DATAGRAM);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message.get(..end).unwrap_or_default().as_bytes()
}

/// This machine's name as RFC 5424 §6.2.4 allows it, or its word for none.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name.trim().chars().filter(char::is_ascii_graphic).take(255).collect();
    if name.is_empty() { "-".to_owned() } else { name }
}

fn message(host: &str, Line { message, text }: &Line) -> String {
    format!("<{PRIORITY}>1 {} {host} belfry {} {message} - {text}", clock::now(), std::process::id())
}

#[async_trait]
impl Sink for LogServer {
    async fn send(&mut self, event: &Event) -> Result<(), Failure> {
        let messages: Vec<String> = cef::lines(event).iter().map(|line| message(&self.host, line)).collect();
        let away = |reason: String| Failure::Away { reason, again: None };
        match tokio::time::timeout(TIMEOUT, self.hand_over(&messages)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(away(error.to_string())),
            Err(_) => Err(away(format!("nothing taken in {} s", TIMEOUT.as_secs()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_rfc_5424s_header_and_no_second_line() {
        let line = Line { message: "object-added", text: "CEF:0|x".to_owned() };
        let text = message("gate.example", &line);
        let words: Vec<&str> = text.splitn(8, ' ').collect();
        assert_eq!(
            (words[0], words[2], words[3], words[5], words[6]),
            ("<133>1", "gate.example", "belfry", "object-added", "-")
        );
        assert!(words[1].ends_with('Z') && words[1].contains('T'), "{text}");
        assert_eq!(words[7], "CEF:0|x");
        let long = format!("{}é", "x".repeat(DATAGRAM - 1));
        assert_eq!(datagram(&long).len(), DATAGRAM - 1);
    }
}
