//! A host with its port, as lists of servers are written: `198.51.100.7:443`, `[2001:db8::1]:443`, `evil.example|443`.
//!
//! The host is the observable, whatever its port: lists and logs of most tools know addresses and names alone, and a server
//! that moves to another port is the same server. The port stays beside it, for people.

use super::{Kind, Observable, refang};

/// A host and its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// An address or a name, never a range.
    pub host: Observable,
    /// 1 to 65535.
    pub port: u16,
}

impl Endpoint {
    /// What `text`, pasted without saying what it is, names; defanged or not.
    #[must_use]
    pub fn guess(text: &str) -> Option<Self> {
        Self::new(Kind::Domain, text)
    }

    /// `text` where a `kind` is due: an address, or a name or an address where that is a domain or a URL.
    ///
    /// `None` if `text` is no host with a port, or `kind` has no host.
    #[must_use]
    pub fn new(kind: Kind, text: &str) -> Option<Self> {
        let text = refang(text.trim());
        let (host, port) = parts(&text)?;
        let host = match kind {
            Kind::Ipv4 | Kind::Ipv6 | Kind::Url => Observable::new(kind, host),
            Kind::Domain => Observable::guess(host),
            _ => None,
        }?;
        let is_host = matches!(host.kind(), Kind::Ipv4 | Kind::Ipv6 | Kind::Domain);
        (is_host && !host.value().contains('/')).then_some(Self { host, port })
    }
}

/// Host and port as they are read: `198.51.100.7:443`, an IPv6 address in brackets (RFC 3986 §3.2.2).
#[must_use]
pub fn written(host: &Observable, port: u16) -> String {
    match host.kind() {
        Kind::Ipv6 => format!("[{}]:{port}", host.value()),
        _ => format!("{}:{port}", host.value()),
    }
}

/// A port's number.
#[must_use]
pub fn port(text: &str) -> Option<u16> {
    let is_number = !text.is_empty() && text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse::<u16>().ok().filter(|port| is_number && *port > 0)
}

fn parts(text: &str) -> Option<(&str, u16)> {
    let (host, number) = match text.split_once('|') {
        Some(parts) => parts,
        // Without brackets nobody can tell the last group of an address from a port.
        None => text.rsplit_once(':').filter(|(host, _)| host.starts_with('[') || !host.contains(':'))?,
    };
    let host = match host.strip_prefix('[') {
        Some(inside) => inside.strip_suffix(']')?,
        None => host,
    };
    Some((host, port(number)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Option<String> {
        Endpoint::guess(text).map(|found| written(&found.host, found.port))
    }

    #[test]
    fn a_host_with_its_port_is_told_apart() {
        for (text, expected) in [
            ("198.51.100.7:443", "198.51.100.7:443"),
            ("198[.]51[.]100[.]7[:]443", "198.51.100.7:443"),
            (" Evil[.]Example:8080 ", "evil.example:8080"),
            ("evil.example|8080", "evil.example:8080"),
            ("[2001:DB8::0:1]:443", "[2001:db8::1]:443"),
            ("2001:db8::1|443", "[2001:db8::1]:443"),
            ("[::ffff:198.51.100.7]:443", "198.51.100.7:443"),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_has_no_port_or_no_host_is_none() {
        for text in [
            "198.51.100.7",
            "198.51.100.7:",
            "198.51.100.7:0",
            "198.51.100.7:65536",
            "198.51.100.7:+80",
            "198.51.100.0/24:443",
            "2001:db8::1:443",
            "2001:db8::1",
            "10:30",
            "1.5:3",
            "x@evil.example:25",
            "http://evil.example:80",
            "evil.example:443/a",
            "00:00:5e:00:53:01",
            "C2:198.51.100.7:443",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(Endpoint::new(Kind::Ipv4, "evil.example:443"), None, "no address");
        assert_eq!(Endpoint::new(Kind::Url, "report.doc:443"), None, "no name");
        assert_eq!(Endpoint::new(Kind::FileName, "evil.example:443"), None, "nothing with a host");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_as_itself(text in "[a-z0-9.:\\[\\]|]{0,30}|[a-z]{1,5}\\.example[:|][0-9]{1,5}") {
            if let Some(found) = Endpoint::guess(&text) {
                prop_assert_eq!(Endpoint::guess(&written(&found.host, found.port)), Some(found));
            }
        }
    }
}
