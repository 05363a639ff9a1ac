//! URLs without their scheme, as many a list and event has them: a host alone, or `evil.example/path`.
//!
//! ```text
//! evil.example, evil.example:8080  ─▶ the host: whatever is asked of it is meant
//! evil.example/path                ─▶ http://evil.example/path
//! evil.example:443/path            ─▶ https://evil.example/path: what that port is for
//! ```
//!
//! A name counts only where names end so ([`around::is_name`]): `report.doc`, `a/b` and `/gate.php` are nobody's host.

use super::{
    Kind, around, endpoint,
    host::{self, Host},
    normalise::url,
};

/// HTTP's port with TLS.
const TLS: u16 = 443;

/// Whether `text` begins with a scheme and what ends it: `evil.example/?to=http://b.example` does not.
pub(super) fn has_scheme(text: &str) -> bool {
    let before = text.find("://").and_then(|at| text.get(..at));
    before.is_some_and(|before| !before.contains(SIGNS))
}

/// Of [`around::ALSO_FILES`] those that names have far more often.
const MOSTLY_NAMES: [&str; 4] = ["ai", "app", "cc", "com"];

/// What ends a host and its port (RFC 3986 §3.2).
const SIGNS: [char; 3] = ['/', '?', '#'];

/// Whether something follows a host in `text`.
pub(super) fn has_path(text: &str) -> bool {
    text.contains(SIGNS)
}

/// What a text without a scheme is where a URL is due. `None` if that is anybody's guess.
pub(super) fn read(text: &str) -> Option<(Kind, String)> {
    if has_scheme(text) || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return None;
    }
    let (authority, path) = text.split_at(text.find(SIGNS).unwrap_or(text.len()));
    let (found, port) = at(authority)?;
    if path.is_empty() {
        let is_file = port.is_none() && found.0 == Kind::Domain && is_file(&found.1);
        return (!is_file).then_some(found);
    }
    // `198.51.100.0/24` is as likely a range.
    let is_prefix = path.strip_prefix('/').is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()));
    if found.0 != Kind::Domain && port.is_none() && path.len() > 1 && is_prefix {
        return None;
    }
    let scheme = if port == Some(TLS) { "https" } else { "http" };
    url(&format!("{scheme}://{text}")).map(|value| (Kind::Url, value))
}

/// Whether a name is as likely a file's: `install.sh`. What names end with far more often than files is a name's.
fn is_file(name: &str) -> bool {
    // More labels than two make no file's name.
    name.split_once('.')
        .is_some_and(|(_, top)| around::ALSO_FILES.contains(&top) && !MOSTLY_NAMES.contains(&top))
}

/// The host that an authority names, and its port.
fn at(authority: &str) -> Option<((Kind, String), Option<u16>)> {
    if let Some(address) = host::address(authority) {
        return Some((address, None));
    }
    let (name, port) = match authority.rsplit_once(':') {
        Some((name, port)) if !authority.ends_with(']') => (name, Some(endpoint::port(port)?)),
        _ => (authority, None),
    };
    let found = match name.strip_prefix('[') {
        Some(inside) => host::address(inside.strip_suffix(']')?)?,
        None => match host::host(name)? {
            // Without brackets nobody can tell its last group from a port (RFC 3986 §3.2.2).
            Host::Address(Kind::Ipv6, _) => return None,
            Host::Address(kind, address) => (kind, address),
            Host::Name(name) => around::is_name(&name).then_some((Kind::Domain, name))?,
        },
    };
    Some((found, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stix::observable::Observable;

    fn told(observable: Option<Observable>) -> Option<String> {
        observable.map(|found| format!("{} {}", found.kind(), found.value()))
    }

    #[test]
    fn a_url_without_its_scheme_is_its_host_or_what_http_has_there() {
        for (text, expected) in [
            ("smallcloud.ga", "domain-name smallcloud.ga"),
            ("evil.com", "domain-name evil.com"),
            ("a.evil.zip", "domain-name a.evil.zip"),
            ("evil.zip:8080", "domain-name evil.zip"),
            ("198.51.100.7:8080/1", "url http://198.51.100.7:8080/1"),
            ("198.51.100.7?1", "url http://198.51.100.7/?1"),
            (" Evil[.]Example. ", "domain-name evil.example"),
            ("sub.evil.co.uk", "domain-name sub.evil.co.uk"),
            ("evil.example:8080", "domain-name evil.example"),
            ("198.51.100.7", "ipv4-addr 198.51.100.7"),
            ("198.51.100.7:8080", "ipv4-addr 198.51.100.7"),
            ("2001:DB8::0:1", "ipv6-addr 2001:db8::1"),
            ("[2001:db8::1]", "ipv6-addr 2001:db8::1"),
            ("Evil.example/Path?q=1#top", "url http://evil.example/Path?q=1#top"),
            ("evil[.]example[/]a", "url http://evil.example/a"),
            ("evil.example/", "url http://evil.example/"),
            ("evil.example?id=7", "url http://evil.example/?id=7"),
            ("evil.example/24", "url http://evil.example/24"),
            ("evil.example:8080/a", "url http://evil.example:8080/a"),
            ("evil.example:443/a", "url https://evil.example/a"),
            ("evil.example/?to=http://b.example", "url http://evil.example/?to=http://b.example"),
            ("evil.example/@user", "url http://evil.example/@user"),
            ("198.51.100.7/gate.php", "url http://198.51.100.7/gate.php"),
            ("[2001:db8::1]:8080/x", "url http://[2001:db8::1]:8080/x"),
            ("bücher.example/a", "url http://xn--bcher-kva.example/a"),
        ] {
            assert_eq!(told(Observable::new(Kind::Url, text)).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_may_be_a_file_a_folder_a_range_or_nothing_is_no_url() {
        for text in [
            "report.doc",
            "payload.exe",
            "setup.exe/x",
            "a/b",
            "and/or",
            "localhost/x",
            "co.uk",
            "co.uk/x",
            "/scripts/m/query.php?id=",
            "//evil.example/a",
            "evil.example / a",
            "evil.example is bad",
            "x@evil.example",
            "user@evil.example/a",
            "evil.example:/a",
            "evil.example:x/a",
            "evil.example:99999",
            "install.sh",
            "payload.zip",
            "198.51.100.0/24",
            "198.51.100.7/33",
            "2001:db8::1/64",
            "2001:db8::1/x",
            "1.2.3.4.5/x",
            "http:///a",
            "mailto:x@evil.example",
            "C:\\evil.example",
            "?",
            ".",
        ] {
            assert_eq!(told(Observable::new(Kind::Url, text)), None, "{text}");
        }
    }

    #[test]
    fn what_is_pasted_with_its_path_is_found_without_saying_that_it_is_a_url() {
        for text in ["evil.example/path?q=a@b.example", "evil[.]example/@user", "198.51.100.7/gate.php"] {
            let guessed = told(Observable::guess(text));
            assert!(guessed.is_some() && guessed == told(Observable::new(Kind::Url, text)), "{text}");
        }
        for (text, expected) in [
            ("198.51.100.0/24", Some("ipv4-addr 198.51.100.0/24")),
            ("x/y@evil.example", Some("email-addr x/y@evil.example")),
            ("a/b", None),
            ("report.doc/1", None),
        ] {
            assert_eq!(told(Observable::guess(text)).as_deref(), expected, "{text}");
        }
    }
}
