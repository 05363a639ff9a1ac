//! A webhook: JSON over HTTP, signed (Standard Webhooks 1.0).

use std::{path::Path, time::Duration};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{Failure, HookError, Sink, event::Event};
use crate::{
    clock,
    config::Webhook,
    keys::file,
    outbound::{self, Client, ClientError, Limits},
};

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const PREFIX: &str = "whsec_";
/// Standard Webhooks: 15 to 30 seconds; and what is read of a body that is thrown away, so that it ends in order.
const LIMITS: Limits = Limits { time: Duration::from_secs(20), body: 64 << 10 };
const AGENT: &str = concat!("belfry/", env!("CARGO_PKG_VERSION"));

/// A receiver with the secret it shares with us.
pub(super) struct Endpoint {
    client: Client,
    secret: Zeroizing<Vec<u8>>,
}

impl Endpoint {
    pub(super) fn open(webhook: &Webhook) -> Result<Self, HookError> {
        let name = &webhook.hook.name;
        let tls = match webhook.url.is_tls {
            false => None,
            true => Some(tls_of(name, webhook.ca_file.as_deref(), &webhook.url.host)?),
        };
        let client = Client { url: webhook.url.clone(), private: webhook.private, tls };
        let bytes = file::read_secret(&webhook.secret_file)
            .map_err(|source| HookError::Secret { name: name.clone(), source })?;
        let secret = std::str::from_utf8(&bytes).ok().and_then(secret);
        let secret = secret
            .ok_or_else(|| HookError::NoSecret { name: name.clone(), path: webhook.secret_file.clone() })?;
        Ok(Self { client, secret })
    }
}

pub(super) fn tls_of(
    name: &str,
    ca_file: Option<&Path>,
    host: &str,
) -> Result<(tokio_rustls::TlsConnector, tokio_rustls::rustls::pki_types::ServerName<'static>), HookError> {
    let fault = |source| HookError::Tls { name: name.to_owned(), source };
    Ok((outbound::connector(ca_file).map_err(fault)?, outbound::server_name(host).map_err(fault)?))
}

fn secret(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let bytes = Zeroizing::new(STANDARD.decode(text.trim().strip_prefix(PREFIX)?).ok()?);
    (24..=64).contains(&bytes.len()).then_some(bytes)
}

/// `v1,` and the HMAC-SHA256 over id, time and body.
fn signature(secret: &[u8], id: &str, seconds: u64, body: &[u8]) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
    mac.update(format!("{id}.{seconds}.").as_bytes());
    mac.update(body);
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

#[async_trait]
impl Sink for Endpoint {
    async fn send(&mut self, event: &Event) -> Result<(), Failure> {
        let ours = |reason: &str| Failure::Away { reason: reason.to_owned(), again: None };
        let now = clock::now();
        let body = event.json(now).map_err(|_| ours("the event cannot be written"))?;
        let seconds = now.as_micros() / 1_000_000;
        let signature = signature(&self.secret, &event.id, seconds, &body)
            .ok_or_else(|| ours("the event cannot be signed"))?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        for (name, text) in [(ID, event.id.clone()), (TIMESTAMP, seconds.to_string()), (SIGNATURE, signature)]
        {
            let value = HeaderValue::from_str(&text).map_err(|_| ours("the event cannot be signed"))?;
            headers.insert(name, value);
        }
        let answer = self
            .client
            .post(headers, body, LIMITS)
            .await
            .map_err(|error: ClientError| Failure::Away { reason: error.to_string(), again: None })?;
        match answer.status.as_u16() {
            200..=299 => Ok(()),
            410 => Err(Failure::Gone),
            status @ (408 | 425 | 429 | 502..=504) => {
                Err(Failure::Away { reason: format!("answers {status}"), again: answer.again })
            }
            status => Err(Failure::Refused(status)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_standards() {
        // The example of the specification's reference libraries.
        let secret = secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        let made =
            signature(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(made.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
    }

    #[test]
    fn a_secret_that_could_be_guessed_is_none() {
        for text in ["", "whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!!!"] {
            assert!(secret(text).is_none(), "{text}");
        }
    }
}
