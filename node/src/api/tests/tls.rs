//! The API over TLS of its own, on a real listener.

use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt as _, sync::Arc};

use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
};
use tokio_util::sync::CancellationToken;

use super::site::Site;
use crate::api::{
    server::{BindError, Server, ServerConfig},
    tls::TlsFiles,
};

/// A listener with a certificate for `localhost`, and who trusts it.
async fn served(site: &Site) -> (SocketAddr, TlsConnector) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let folder = site.folder.path();
    let files = TlsFiles { certificate: folder.join("cert.pem"), key: folder.join("key.pem") };
    fs::write(&files.certificate, made.cert.pem()).unwrap();
    fs::write(&files.key, made.key_pair.serialize_pem()).unwrap();
    fs::set_permissions(&files.key, fs::Permissions::from_mode(0o600)).unwrap();
    let config = ServerConfig {
        listen: vec![([127, 0, 0, 1], 0).into()],
        tls: Some(files),
        ..ServerConfig::default()
    };
    let server = Server::bind(&config, site.app.ports.clone(), CancellationToken::new()).await.unwrap();
    let address = server.addresses()[0];
    tokio::spawn(server.run());
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (address, TlsConnector::from(Arc::new(config)))
}

async fn secured(address: SocketAddr, connector: &TlsConnector) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(address).await.unwrap();
    connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap()
}

/// Head and body of the answer; nothing, if the other side hangs up.
async fn get(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    host: &str,
    token: &str,
    path: &str,
) -> (String, String) {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text.as_str(), ""));
    (head.to_owned(), body.to_owned())
}

#[tokio::test]
async fn over_tls_the_api_answers_and_names_itself_so() {
    let site = Site::new().await;
    let token = site.reader().await;
    let (address, connector) = served(&site).await;
    let host = format!("localhost:{}", address.port());
    let mut stream = secured(address, &connector).await;
    let (head, body) = get(&mut stream, &host, &token, "/taxii2/").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let discovery: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(discovery["default"], format!("https://{host}/taxii2/root/"));
}

#[tokio::test]
async fn a_plain_request_gets_nothing_and_a_silent_one_holds_up_nobody() {
    let site = Site::new().await;
    let token = site.reader().await;
    let (address, connector) = served(&site).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (head, _) = get(&mut stream, &address.to_string(), &token, "/health/live").await;
    assert!(!head.contains("200"), "{head}");
    let _silent = TcpStream::connect(address).await.unwrap();
    let mut stream = secured(address, &connector).await;
    let (head, _) = get(&mut stream, &format!("localhost:{}", address.port()), &token, "/health/live").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
}

#[tokio::test]
async fn without_tls_no_other_machine_is_listened_to() {
    let site = Site::new().await;
    let config = ServerConfig { listen: vec![([0, 0, 0, 0], 0).into()], ..ServerConfig::default() };
    let refused = Server::bind(&config, site.app.ports.clone(), CancellationToken::new()).await.err();
    assert!(matches!(refused, Some(BindError::NotLoopback(_))));
}
