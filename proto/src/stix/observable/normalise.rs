//! One spelling for each value.

use crate::stix::observable::{
    Kind,
    host::{self, Host},
    schemeless,
};

/// `text` as a `kind` in normal form, with the kind it turned out to be.
pub(super) fn normalise(kind: Kind, text: &str) -> Option<(Kind, String)> {
    match kind {
        Kind::Ipv4 | Kind::Ipv6 | Kind::Domain | Kind::Url | Kind::Email => plain(kind, &refang(text.trim())),
        _ => plain(kind, text),
    }
}

/// [`normalise`] of a text in which no defanging is left.
fn plain(kind: Kind, text: &str) -> Option<(Kind, String)> {
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    match kind {
        Kind::Ipv4 | Kind::Ipv6 => host::address(text),
        Kind::Domain => match host::host(text)? {
            Host::Address(kind, value) => Some((kind, value)),
            Host::Name(name) => Some((Kind::Domain, name)),
        },
        Kind::Url => url(text).map(|value| (kind, value)).or_else(|| schemeless::read(text)),
        Kind::Email => email(text).map(|value| (kind, value)),
        Kind::Mac => mac(text).map(|value| (kind, value)),
        Kind::Asn => asn(text).map(|value| (kind, value)),
        Kind::Md5 => hex(text, 32).map(|value| (kind, value)),
        Kind::Sha1 => hex(text, 40).map(|value| (kind, value)),
        Kind::Sha256 => hex(text, 64).map(|value| (kind, value)),
        Kind::Sha512 => hex(text, 128).map(|value| (kind, value)),
        Kind::Tlsh => {
            let digits = text.strip_prefix("T1").unwrap_or(text);
            hex(digits, 70).map(|value| (kind, value))
        }
        Kind::Ssdeep | Kind::Mutex => Some((kind, text.to_owned())),
        Kind::FileName => Some((kind, text.to_lowercase())),
        Kind::RegistryKey => registry_key(text).map(|value| (kind, value)),
        Kind::Cve => cve(text).map(|value| (kind, value)),
    }
}

/// What a text without context looks like, in normal form.
pub(super) fn guess(text: &str) -> Option<(Kind, String)> {
    let given = text.trim();
    let text = refang(given);
    let (kind, found) = taken_for(&text)?;
    // Kinds in which no defanging is undone are read as given.
    if text == given { Some(found) } else { normalise(kind, given) }
}

/// The kind that a text in which no defanging is left is taken for, and what it then turns out to be.
fn taken_for(text: &str) -> Option<(Kind, (Kind, String))> {
    let fits = |kind: Kind| plain(kind, text).map(|found| (kind, found));
    if text.contains("://") {
        return fits(Kind::Url);
    }
    if schemeless::has_path(text)
        && let Some(found) = fits(Kind::Url)
    {
        return Some(found);
    }
    if text.contains('@') {
        return fits(Kind::Email);
    }
    let kinds =
        [Kind::Ipv4, Kind::Md5, Kind::Sha1, Kind::Sha256, Kind::Sha512, Kind::Tlsh, Kind::Mac, Kind::Cve];
    if let Some(found) = kinds.into_iter().find_map(fits) {
        return Some(found);
    }
    let number = text.get(..2).filter(|prefix| prefix.eq_ignore_ascii_case("as")).and(text.get(2..));
    if number.is_some_and(|n| asn(n).is_some()) {
        return fits(Kind::Asn);
    }
    if text.get(..2).is_some_and(|prefix| prefix.eq_ignore_ascii_case("hk")) && text.contains('\\') {
        return fits(Kind::RegistryKey);
    }
    // A last label of digits is a mistyped address, not a name.
    let last = text.trim_end_matches('.').rsplit_once('.').map(|(_, last)| last)?;
    last.contains(|c: char| !c.is_ascii_digit()).then(|| fits(Kind::Domain)).flatten()
}

/// What every bracket ends with that defanging puts around a sign.
const CLOSING: [char; 3] = [']', ')', '}'];

/// Undoes defanging: `hxxp`, `[.]`, `(dot)`, `[at]`, `[://]` and the like, also one around the other. What comes
/// out holds none: each ends with its bracket, and is looked for whenever one has come.
#[must_use]
pub fn refang(text: &str) -> String {
    let is_plain = |byte: u8| !matches!(byte, b']' | b')' | b'}');
    let scheme = text.get(..4).filter(|start| start.eq_ignore_ascii_case("hxxp"));
    if scheme.is_none() && !text.contains(CLOSING) {
        return text.to_owned();
    }
    let (mut out, text) = match scheme.and(text.get(4..)) {
        Some(rest) => ("http".to_owned(), rest),
        None => (String::new(), text),
    };
    if text.bytes().all(is_plain) {
        return out + text;
    }
    for c in text.chars() {
        out.push(c);
        if CLOSING.contains(&c)
            && let Some((start, meant)) = bracketed(&out)
        {
            out.truncate(start);
            out.push_str(meant);
        }
    }
    out
}

/// What a bracket at the end of `text` stands for, and where it begins.
fn bracketed(text: &str) -> Option<(usize, &'static str)> {
    const MEANT: [(&str, &str); 7] =
        [(".", "."), ("dot", "."), (":", ":"), ("://", "://"), ("/", "/"), ("@", "@"), ("at", "@")];
    for (open, close) in [('[', ']'), ('(', ')'), ('{', '}')] {
        let Some(inside) = text.strip_suffix(close) else { continue };
        for (said, meant) in MEANT {
            let Some(start) = inside.len().checked_sub(said.len()) else { continue };
            let is_said = inside.get(start..).is_some_and(|end| end.eq_ignore_ascii_case(said));
            let before = inside.get(..start).filter(|_| is_said).and_then(|before| before.strip_suffix(open));
            if let Some(before) = before {
                return Some((before.len(), meant));
            }
        }
    }
    None
}

/// Scheme and host folded, default port dropped, `/` for an empty path. Path and query stay: servers tell their case apart.
pub(super) fn url(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.chars().all(plain) {
        return None;
    }
    let scheme = scheme.to_ascii_lowercase();
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (user, host_port) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    let (host, port) = match host_port.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (host, port),
        _ => (host_port, ""),
    };
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => match host::address(address)? {
            (Kind::Ipv6, address) => format!("[{address}]"),
            (_, address) => address,
        },
        None => match host::host(host)? {
            // Without brackets nobody can tell its last group from a port (RFC 3986 §3.2.2).
            Host::Address(Kind::Ipv6, _) => return None,
            Host::Address(_, address) | Host::Name(address) => address,
        },
    };
    let default = match scheme.as_str() {
        "http" => "80",
        "https" => "443",
        "ftp" => "21",
        _ => "",
    };
    let port = port.trim_start_matches('0');
    let user = user.map(|user| format!("{user}@")).unwrap_or_default();
    let port = if port.is_empty() || port == default { String::new() } else { format!(":{port}") };
    let slash = if path.starts_with('/') { "" } else { "/" };
    Some(format!("{scheme}://{user}{host}{port}{slash}{path}"))
}

fn email(mut text: &str) -> Option<String> {
    const SCHEME: &str = "mailto:";
    let has_scheme = |text: &str| text.get(..SCHEME.len()).is_some_and(|s| s.eq_ignore_ascii_case(SCHEME));
    while has_scheme(text) {
        text = text.get(SCHEME.len()..)?;
    }
    let (local, domain) = text.rsplit_once('@')?;
    if local.is_empty() || local.contains(char::is_whitespace) {
        return None;
    }
    match host::host(domain)? {
        Host::Name(domain) => Some(format!("{}@{domain}", local.to_lowercase())),
        Host::Address(..) => None,
    }
}

/// Bytes of six pairs with a sign between each two.
const MAX_MAC: usize = 17;

/// Six pairs, or three groups of four with dots. Digits alone do not tell it: an address with its port has as many.
fn mac(text: &str) -> Option<String> {
    if text.len() > MAX_MAC {
        return None;
    }
    let sign = text.chars().find(|c| matches!(c, ':' | '-' | '.'))?;
    let size = if sign == '.' { 4 } else { 2 };
    let groups: Vec<&str> = text.split(sign).collect();
    if groups.len() * size != 12 || groups.iter().any(|group| group.len() != size) {
        return None;
    }
    let digits = hex(&groups.concat(), 12)?;
    let pairs: Vec<&str> = (0..6).filter_map(|i| digits.get(2 * i..2 * i + 2)).collect();
    Some(pairs.join(":"))
}

fn asn(text: &str) -> Option<String> {
    let prefixed = text.get(..2).is_some_and(|prefix| prefix.eq_ignore_ascii_case("as"));
    let digits = if prefixed { text.get(2..)? } else { text };
    let digits = digits.bytes().all(|b| b.is_ascii_digit()).then_some(digits)?;
    digits.parse::<u32>().ok().map(|n| n.to_string())
}

fn hex(text: &str, len: usize) -> Option<String> {
    (text.len() == len && text.bytes().all(|b| b.is_ascii_hexdigit())).then(|| text.to_ascii_lowercase())
}

fn registry_key(text: &str) -> Option<String> {
    let text = text.to_lowercase();
    // Together, or a second look would find more to cut.
    let text = text.trim_end_matches(|c: char| c == '\\' || c.is_whitespace());
    let (hive, rest) = text.split_at(text.find('\\').unwrap_or(text.len()));
    let hive = match hive {
        "hklm" => "hkey_local_machine",
        "hkcu" => "hkey_current_user",
        "hkcr" => "hkey_classes_root",
        "hku" => "hkey_users",
        "hkcc" => "hkey_current_config",
        other => other,
    };
    (!text.is_empty()).then(|| format!("{hive}{rest}"))
}

fn cve(text: &str) -> Option<String> {
    text.get(..4).filter(|start| start.eq_ignore_ascii_case("CVE-"))?;
    let text = text.to_ascii_uppercase();
    let (year, number) = text.strip_prefix("CVE-")?.split_once('-')?;
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    (year.len() == 4 && (4..=19).contains(&number.len()) && digits(year) && digits(number)).then_some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stix::observable::Observable;

    fn guessed(text: &str) -> Option<(Kind, String)> {
        Observable::guess(text).map(|o| (o.kind(), o.value().to_owned()))
    }

    #[test]
    fn every_spelling_comes_out_alike() {
        for (kind, spellings, normal) in [
            (
                Kind::Ipv4,
                ["198.51.100.7", " 198[.]51[.]100[.]7 ", "198.51.100.7/32"].as_slice(),
                "198.51.100.7",
            ),
            (Kind::Ipv4, &["198.51.100.0/24", "198.51.100.77/24"], "198.51.100.0/24"),
            (Kind::Ipv4, &["::ffff:198.51.100.7"], "198.51.100.7"),
            (Kind::Ipv6, &["2001:DB8:0:0::1", "2001:db8::1", "2001[:]db8::1/128"], "2001:db8::1"),
            (Kind::Ipv6, &["2001:db8::1/32"], "2001:db8::/32"),
            (
                Kind::Domain,
                &["Evil.Example.", "evil[.]example", "evil(dot)example", "evil{.}EXAMPLE"],
                "evil.example",
            ),
            (
                Kind::Domain,
                &["Bücher.example", "xn--bcher-kva.example", "bücher[.]example"],
                "xn--bcher-kva.example",
            ),
            (Kind::Domain, &["198.51.100.7"], "198.51.100.7"),
            (
                Kind::Url,
                &[
                    "http://evil.example/A?b=C",
                    "hxxp://EVIL[.]example:80/A?b=C",
                    "HXXP[://]evil.example/A?b=C",
                ],
                "http://evil.example/A?b=C",
            ),
            (Kind::Url, &["https://[2001:DB8::0]:443", "hxxps[:]//[2001:db8::]/"], "https://[2001:db8::]/"),
            (Kind::Url, &["http://u:P@h.example:8080?q"], "http://u:P@h.example:8080/?q"),
            (
                Kind::Email,
                &["A.User@Evil.example", "a.user[at]evil[.]example", "a.user[at]evil[([.])]example"],
                "a.user@evil.example",
            ),
            (Kind::Mac, &["00-00-5E-00-53-01", "00:00:5e:00:53:01", "0000.5e00.5301"], "00:00:5e:00:53:01"),
            (Kind::Asn, &["AS64500", "64500", "as064500"], "64500"),
            (Kind::Md5, &["D41D8CD98F00B204E9800998ECF8427E"], "d41d8cd98f00b204e9800998ecf8427e"),
            (
                Kind::RegistryKey,
                &["HKLM\\Software\\X", "HKEY_LOCAL_MACHINE\\software\\x\\", "hklm\\software\\x \\"],
                "hkey_local_machine\\software\\x",
            ),
            (Kind::Cve, &["cve-2026-0001"], "CVE-2026-0001"),
            (Kind::Mutex, &["Global\\A"], "Global\\A"),
        ] {
            for spelling in spellings {
                assert_eq!(
                    normalise(kind, spelling).map(|(_, value)| value).as_deref(),
                    Some(normal),
                    "{spelling}"
                );
            }
        }
    }

    #[test]
    fn what_is_not_of_the_kind_is_none() {
        for (kind, text) in [
            (Kind::Ipv4, "198.51.100.256"),
            (Kind::Ipv4, "198.51.100.7/33"),
            (Kind::Ipv4, "198.51.100.7/+8"),
            (Kind::Ipv4, "evil.example"),
            (Kind::Domain, "a..example"),
            (Kind::Domain, "a b.example"),
            (Kind::Domain, "*.example"),
            (Kind::Url, "http:///a"),
            (Kind::Url, "http://:::80/"),
            (Kind::Email, "@evil.example"),
            (Kind::Mac, "00005e005301"),
            (Kind::Mac, "198.51.100.7:443"),
            (Kind::Mac, "00:00:5e-00:53:01"),
            (Kind::Sha256, "d41d8cd98f00b204e9800998ecf8427e"),
            (Kind::Asn, "4294967296"),
            (Kind::Cve, "CVE-26-1"),
            (Kind::Mutex, "  "),
            (Kind::RegistryKey, "\\"),
            (Kind::RegistryKey, " \\ \\ "),
        ] {
            assert_eq!(normalise(kind, text), None, "{text}");
        }
    }

    #[test]
    fn a_pasted_value_is_recognised() {
        for (text, kind, value) in [
            ("198[.]51.100.7", Kind::Ipv4, "198.51.100.7"),
            ("2001:db8::1", Kind::Ipv6, "2001:db8::1"),
            ("Evil.example", Kind::Domain, "evil.example"),
            ("hxxps://evil.example", Kind::Url, "https://evil.example/"),
            ("x@evil.example", Kind::Email, "x@evil.example"),
            ("AS64500", Kind::Asn, "64500"),
            ("CVE-2026-12345", Kind::Cve, "CVE-2026-12345"),
            ("HKCU\\Run", Kind::RegistryKey, "hkey_current_user\\run"),
        ] {
            assert_eq!(guessed(text), Some((kind, value.to_owned())));
        }
        for text in ["", "word", "1.2.3.4.5", "two words.example", "64500", "a@", "é", "198.51.100.7:443"] {
            assert_eq!(guessed(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_normal_form_is_its_own_normal_form(
            kind in proptest::sample::select(Kind::ALL.as_slice()),
            text in "[a-zA-Z0-9éß.:/@\\[\\](){} \\\\-]{0,30}|(https?|hxxp)://[a-zA-Z0-9.@:é/?#-]{1,30}|\\PC{0,20}",
        ) {
            if let Some((kind, value)) = normalise(kind, &text) {
                prop_assert_eq!(normalise(kind, &value), Some((kind, value.clone())), "{}", text);
            }
            if let Some((kind, value)) = guess(&text) {
                prop_assert_eq!(normalise(kind, &text), Some((kind, value)), "{}", text);
            }
        }
    }
}
