//! URLs that the node connects to: over TLS, or on this machine.

use std::net::IpAddr;

/// A URL of the two kinds that are connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpUrl {
    /// `https`; plain HTTP only reaches this machine.
    pub is_tls: bool,
    /// Name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Path and query, from its slash on.
    pub path: String,
}

impl HttpUrl {
    /// `like` is one as it should be, for the refusal.
    pub(super) fn parse(text: &str, like: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("url: {text:?} {why}, as in {like:?}");
        let uri: hyper::Uri = text.parse().map_err(|_| wrong("is not a URL"))?;
        let authority = uri.authority().ok_or_else(|| wrong("names no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("holds a user name or password, which belongs into no file like this one"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if is_this_machine(&host) => false,
            Some("http") => {
                return Err(wrong("would be sent in the clear: write https, or a loopback address"));
            }
            _ => return Err(wrong("is neither https nor http")),
        };
        let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { is_tls, host, port, path })
    }

    pub(super) fn text(&self) -> String {
        format!("{}{}", self.origin(), self.path)
    }

    /// Scheme, host and port.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("{}://{}", if self.is_tls { "https" } else { "http" }, self.authority())
    }

    /// Host and port, as a Host header has them.
    #[must_use]
    pub fn authority(&self) -> String {
        at(&self.host, self.port)
    }

    /// The path and query of a reference that a document of this URL holds, if it stays on this host (RFC 3986 §5, the
    /// forms that are in use: a whole URL, or a path from the root).
    #[must_use]
    pub fn path_of(&self, reference: &str) -> Option<String> {
        if reference.starts_with('/') && !reference.starts_with("//") {
            return Some(reference.to_owned());
        }
        let found = Self::parse(reference, "").ok()?;
        let is_here = (found.is_tls, &found.host, found.port) == (self.is_tls, &self.host, self.port);
        is_here.then_some(found.path)
    }
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Host and port as one text.
pub(super) fn at(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_that_leads_to_another_host_is_none() {
        let url = HttpUrl::parse("https://taxii.example/taxii2/", "").unwrap();
        for (reference, path) in [
            ("/api1/", Some("/api1/")),
            ("https://taxii.example/api1/", Some("/api1/")),
            ("https://taxii.example:443/api1/?a", Some("/api1/?a")),
            ("https://taxii.example:8443/api1/", None),
            ("http://taxii.example/api1/", None),
            ("https://evil.example/api1/", None),
            ("//evil.example/api1/", None),
            ("api1/", None),
        ] {
            assert_eq!(url.path_of(reference).as_deref(), path, "{reference}");
        }
    }
}
