//! Which names this server answers to, and which pages may call it.
//!
//! A browser can be made to send requests here from any page: by DNS rebinding (the page's own name
//! resolves to 127.0.0.1; Tailscale's CVE-2022-41924) or to `0.0.0.0` (Ollama's CVE-2024-28224). Both
//! show in `Host`, which must be *exactly* one of ours; cross-origin calls show in `Origin` and
//! `Sec-Fetch-Site`. The list is exact, port included: a prefix or suffix match is how others failed.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::problem::Problem;

/// Name that the Unix socket answers to; `curl --unix-socket … http://localhost/` sends it.
const SOCKET_HOST: &str = "localhost";

/// What the TCP listeners speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain; on this machine only, or behind a proxy.
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    /// As URLs begin.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Exact `Host` values, lower case.
#[derive(Clone, Debug)]
pub struct Hosts {
    scheme: Scheme,
    names: Arc<BTreeSet<String>>,
}

impl Hosts {
    /// The names of the bound addresses, the Unix socket's and the configured ones.
    ///
    /// A loopback address is also called `localhost`, as browsers and tools do.
    #[must_use]
    pub fn new(scheme: Scheme, bound: &[SocketAddr], configured: &[String]) -> Self {
        let mut names: BTreeSet<String> = configured.iter().map(|name| name.to_ascii_lowercase()).collect();
        names.insert(SOCKET_HOST.to_owned());
        for address in bound {
            names.insert(address.to_string());
            if address.ip().is_loopback() {
                names.insert(format!("localhost:{}", address.port()));
            }
            if address.port() == scheme.port() {
                names.insert(match address.ip() {
                    IpAddr::V4(ip) => ip.to_string(),
                    IpAddr::V6(ip) => format!("[{ip}]"),
                });
            }
        }
        Self { scheme, names: Arc::new(names) }
    }

    /// What the TCP listeners speak.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    fn allows(&self, host: &str) -> bool {
        self.names.contains(&host.to_ascii_lowercase())
    }

    fn allows_origin(&self, origin: &str) -> bool {
        let host = origin.strip_prefix(self.scheme.as_str()).and_then(|rest| rest.strip_prefix("://"));
        host.is_some_and(|host| self.allows(host))
    }
}

/// The validated `Host` of this request; absolute URLs are built from it.
#[derive(Clone, Debug)]
pub(crate) struct Host(pub(crate) String);

/// Layer: refuses what a strange name or page sent, before anything looks at the token.
pub(crate) async fn check(State(hosts): State<Hosts>, mut request: Request, next: Next) -> Response {
    match named(&request, &hosts).and_then(|host| same_site(request.headers(), &hosts).map(|()| host)) {
        Ok(host) => {
            request.extensions_mut().insert(host);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

fn named(request: &Request, hosts: &Hosts) -> Result<Host, Problem> {
    let misdirected = || {
        Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "host-not-allowed",
            "this server does not answer to that Host; add it to `api.allowed_hosts` if it should",
        )
    };
    let mut given = request.headers().get_all(header::HOST).iter();
    let (Some(host), None) = (given.next(), given.next()) else {
        return Err(Problem::bad_request("host-missing", "exactly one Host header is needed"));
    };
    let host = host.to_str().map_err(|_| misdirected())?;
    // An absolute request target overrides Host (RFC 9112 §3.2.2), so it has to pass as well.
    let target = request.uri().authority().map(|authority| authority.as_str());
    if !hosts.allows(host) || target.is_some_and(|target| !hosts.allows(target)) {
        return Err(misdirected());
    }
    Ok(Host(host.to_owned()))
}

fn same_site(headers: &HeaderMap, hosts: &Hosts) -> Result<(), Problem> {
    let foreign =
        || Problem::forbidden("foreign-origin", "requests from other web pages are not answered here");
    for origin in headers.get_all(header::ORIGIN) {
        if !origin.to_str().is_ok_and(|origin| hosts.allows_origin(origin)) {
            return Err(foreign());
        }
    }
    // `none` is a person at the address bar; tools send no such header at all.
    let is_ours = |site: &HeaderValue| matches!(site.as_bytes(), b"same-origin" | b"none");
    if headers.get_all("sec-fetch-site").iter().all(is_ours) { Ok(()) } else { Err(foreign()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_exact() {
        let hosts =
            Hosts::new(Scheme::Http, &["127.0.0.1:4040".parse().unwrap()], &["Soc.Example:8443".to_owned()]);
        for good in ["127.0.0.1:4040", "localhost:4040", "LOCALHOST:4040", "localhost", "soc.example:8443"] {
            assert!(hosts.allows(good), "{good}");
        }
        for bad in [
            "",
            "127.0.0.1",
            "127.0.0.1:4041",
            "127.0.0.1:4040.evil.example",
            "evil.example",
            "evil.example:4040",
            "0.0.0.0:4040",
            "localhost.:4040",
            "127.0.0.1:4040@evil.example",
            "[::1]:4040",
            "soc.example",
        ] {
            assert!(!hosts.allows(bad), "{bad}");
        }
        assert!(hosts.allows_origin("http://127.0.0.1:4040"));
        assert!(!hosts.allows_origin("null"));
        assert!(!hosts.allows_origin("http://evil.example"));
        assert!(!hosts.allows_origin("https://127.0.0.1:4040"));
        let tls = Hosts::new(Scheme::Https, &["10.0.0.1:443".parse().unwrap()], &[]);
        assert!(tls.allows("10.0.0.1") && tls.allows_origin("https://10.0.0.1:443"));
        assert!(!tls.allows_origin("http://10.0.0.1:443"));
    }
}
