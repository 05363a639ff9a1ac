//! Somebody else's server: one GET after the other, as whoever we are to it.

use std::{path::Path, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderValue, USER_AGENT};
use zeroize::Zeroizing;

use super::{Failure, SourceError};
use crate::{
    config::{self, Auth, Credential},
    keys::file,
    outbound::{self, Answer, Client, ClientError, Limits},
};

/// From the look-up of a name to an answer's last byte: 16 MiB over a slow line.
const TIMEOUT: Duration = Duration::from_secs(120);
const AGENT: &str = concat!("belfry/", env!("CARGO_PKG_VERSION"));

pub(super) struct Remote {
    name: String,
    client: Client,
    credential: Option<Credential>,
    max_size: usize,
}

/// What a server says to a question.
pub(super) enum Said {
    /// What was asked for.
    Found(Answer),
    /// It does not take the question (4xx): by another one it may answer.
    No(u16),
    /// More than the source's bound.
    TooLong(usize),
}

impl Remote {
    pub(super) fn open(name: &str, remote: &config::Remote, max_size: usize) -> Result<Self, SourceError> {
        let fault = |source| SourceError::Tls { name: name.to_owned(), source };
        let tls = match remote.url.is_tls {
            false => None,
            true => Some((
                outbound::connector(remote.ca_file.as_deref()).map_err(fault)?,
                outbound::server_name(&remote.url.host).map_err(fault)?,
            )),
        };
        let client = Client { url: remote.url.clone(), private: remote.private, tls };
        let made = Self { name: name.to_owned(), client, credential: remote.credential.clone(), max_size };
        made.authorization()?;
        Ok(made)
    }

    /// Where it is.
    pub(super) const fn url(&self) -> &config::HttpUrl {
        &self.client.url
    }

    /// Read for each run: a secret that is replaced needs no restart.
    fn authorization(&self) -> Result<Option<HeaderValue>, SourceError> {
        let Some(Credential { file, auth }) = &self.credential else { return Ok(None) };
        let bytes = file::read_secret(file)
            .map_err(|source| SourceError::Credential { name: self.name.clone(), source })?;
        header(*auth, &bytes).map(Some).map_err(|rule| SourceError::NoCredential {
            name: self.name.clone(),
            path: Path::new(file).to_owned(),
            rule,
        })
    }

    /// Gets what stands at `path`.
    pub(super) async fn get(&self, path: &str, accept: &'static str) -> Result<Said, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        // What is packed may be a bomb, and is nothing that is understood here.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(value) = self.authorization().map_err(|error| Failure::of(&error))? {
            headers.insert(AUTHORIZATION, value);
        }
        let limits = Limits { time: TIMEOUT, body: self.max_size };
        let answer = match self.client.get(path, headers, limits).await {
            Err(ClientError::TooLong(most)) => return Ok(Said::TooLong(most)),
            answer => answer.map_err(|error| Failure::of(&error))?,
        };
        match answer.status.as_u16() {
            200 => Ok(Said::Found(answer)),
            300..=399 => Err(Failure::new(format!(
                "answers {}, and nobody is followed elsewhere: set url to where it is now",
                answer.status.as_u16()
            ))),
            status @ (401 | 403) => Err(Failure::new(format!(
                "answers {status}: it does not know us, or lets us not in; look at auth and credential_file"
            ))),
            status @ (408 | 425 | 429 | 500..=599) => {
                Err(Failure { reason: format!("answers {status}"), again: answer.again })
            }
            status @ 400..=499 => Ok(Said::No(status)),
            status => Err(Failure::new(format!("answers {status}"))),
        }
    }

    /// [`Self::get`] of what must be there.
    pub(super) async fn need(&self, path: &str, accept: &'static str) -> Result<Answer, Failure> {
        match self.get(path, accept).await? {
            Said::Found(answer) => Ok(answer),
            Said::No(status) => Err(Failure::new(format!("answers {status} at {path}"))),
            Said::TooLong(most) => Err(too_long(most)),
        }
    }
}

/// Nothing of an answer is taken that is cut short.
pub(super) fn too_long(most: usize) -> Failure {
    Failure::new(format!("its answer has more than the {most} bytes that max_size allows"))
}

/// What stands in `Authorization`, of a secret's file.
fn header(auth: Auth, bytes: &[u8]) -> Result<HeaderValue, &'static str> {
    let text = std::str::from_utf8(bytes).map(str::trim).unwrap_or_default();
    if text.is_empty()
        || text.contains(char::is_whitespace) && auth != Auth::Basic
        || text.contains(char::is_control)
    {
        return Err("holds no secret: one line, for auth = \"basic\" as USER:PASSWORD");
    }
    let said = Zeroizing::new(match auth {
        Auth::Basic if !text.contains(':') => {
            return Err("holds no USER:PASSWORD, as auth = \"basic\" needs it");
        }
        Auth::Basic => format!("Basic {}", STANDARD.encode(text)),
        Auth::Bearer => format!("Bearer {text}"),
        Auth::Key => text.to_owned(),
    });
    let mut value = HeaderValue::from_str(&said).map_err(|_| "holds signs that no header can")?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_written_as_its_scheme_has_it_and_never_shown() {
        for (auth, text, said) in [
            (Auth::Basic, "soc:pass word\n", "Basic c29jOnBhc3Mgd29yZA=="),
            (Auth::Bearer, "token\n", "Bearer token"),
            (Auth::Key, "abc123", "abc123"),
        ] {
            let made = header(auth, text.as_bytes()).unwrap();
            assert_eq!(made.to_str().unwrap(), said);
            assert!(!format!("{made:?}").contains("abc123") && made.is_sensitive());
        }
        for (auth, text) in
            [(Auth::Basic, "nobody"), (Auth::Bearer, " \n"), (Auth::Bearer, "a\nb"), (Auth::Key, "a b")]
        {
            assert!(header(auth, text.as_bytes()).is_err(), "{text}");
        }
    }
}
