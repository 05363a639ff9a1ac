//! What lies around a value: names below a domain, addresses within a range, ranges that hold an address.
//!
//! The index finds a value by its exact text only, and blindly. So whatever shall be found by its surroundings is
//! entered under each of them as well, and a search names the one entry that can hold what it looks for:
//!
//! ```text
//! www.evil.example      ─rows─▶ under evil.example
//! http://a.evil.example ─rows─▶ under a.evil.example, under evil.example
//! 198.51.100.7          ─rows─▶ within 198.51.0.0/16, within 198.51.100.0/24
//! 198.51.100.0/25       ─rows─▶ within …, and as a range of 198.51.100.0/24
//! ```
//!
//! Entries are coarser than a search may be, so what they lead to is compared once more ([`Around::holds`]).

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{Kind, Observable};

/// The shortest prefix an IPv4 range is searched by: below it an entry holds too much to be read for one answer.
pub const SHORTEST_V4: u8 = 16;
/// As [`SHORTEST_V4`], for IPv6: what a provider is given.
pub const SHORTEST_V6: u8 = 32;
/// Prefixes an address is entered under.
const WITHIN_V4: [u8; 2] = [SHORTEST_V4, 24];
const WITHIN_V6: [u8; 3] = [SHORTEST_V6, 48, 64];
/// Prefixes a range is entered under: the longest that holds it. Shorter ranges are nobody's address.
const RANGE_V4: [u8; 3] = [24, 16, 8];
const RANGE_V6: [u8; 3] = [64, 48, 32];

const UNDER: &str = "under";
const WITHIN: &str = "within";
const RANGE: &str = "range";

/// An entry of the index: what it is, and which.
pub type Row = (&'static str, String);

/// Why a value has no surroundings to search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AroundError {
    /// `co.uk`, or a single label: everybody's.
    #[error("names are looked up below a registrable domain, not below a public suffix")]
    PublicSuffix,
    /// Half of the internet.
    #[error("a range is looked up from /{SHORTEST_V4} on, IPv6 from /{SHORTEST_V6} on")]
    TooWide,
    /// A hash, say.
    #[error("only a domain, an address or a range has something below it")]
    NotAPlace,
}

/// A domain or a range whose inside is searched.
#[derive(Clone, PartialEq, Eq)]
pub enum Around {
    /// Every name below this one, and what lies at it or below (addresses of mailboxes, URLs).
    Under(String),
    /// Every address and range in this one.
    Within(IpNet),
}

impl Around {
    /// # Errors
    /// [`AroundError`].
    pub fn of(observable: &Observable) -> Result<Self, AroundError> {
        match observable.kind() {
            Kind::Domain if registrable(observable.value()).is_some() => {
                Ok(Self::Under(observable.value().to_owned()))
            }
            Kind::Domain => Err(AroundError::PublicSuffix),
            Kind::Ipv4 | Kind::Ipv6 => {
                let net = net(observable.value()).ok_or(AroundError::NotAPlace)?;
                let shortest = if matches!(net, IpNet::V4(_)) { SHORTEST_V4 } else { SHORTEST_V6 };
                if net.prefix_len() < shortest { Err(AroundError::TooWide) } else { Ok(Self::Within(net)) }
            }
            _ => Err(AroundError::NotAPlace),
        }
    }

    /// The entry that holds everything looked for, and more.
    #[must_use]
    pub fn row(&self) -> Row {
        match self {
            Self::Under(domain) => (UNDER, domain.clone()),
            Self::Within(net) => {
                let levels: &[u8] = if matches!(net, IpNet::V4(_)) { &WITHIN_V4 } else { &WITHIN_V6 };
                let level = levels.iter().rev().find(|level| **level <= net.prefix_len());
                (WITHIN, block(net.network(), level.copied().unwrap_or_default()))
            }
        }
    }

    /// Whether `observable` lies inside.
    #[must_use]
    pub fn holds(&self, observable: &Observable) -> bool {
        match self {
            Self::Under(domain) => host_of(observable)
                .is_some_and(|(host, is_at)| is_below(host, domain) || (is_at && host == domain)),
            Self::Within(outer) => net_of(observable).is_some_and(|inner| outer.contains(&inner)),
        }
    }
}

/// Entries of a value besides its own.
#[must_use]
pub fn rows(observable: &Observable) -> Vec<Row> {
    let mut rows = Vec::new();
    if let Some(net) = net_of(observable) {
        let is_v4 = matches!(net, IpNet::V4(_));
        let (levels, ranges, full): (&[u8], _, _) =
            if is_v4 { (&WITHIN_V4, RANGE_V4, 32) } else { (&WITHIN_V6, RANGE_V6, 128) };
        let fits = levels.iter().filter(|level| **level <= net.prefix_len());
        rows.extend(fits.map(|level| (WITHIN, block(net.network(), *level))));
        if net.prefix_len() < full
            && let Some(level) = ranges.into_iter().find(|level| *level <= net.prefix_len())
        {
            rows.push((RANGE, block(net.network(), level)));
        }
    } else if let Some((host, is_at)) = host_of(observable)
        && let Some(top) = registrable(host)
    {
        let mut name = if is_at { Some(host) } else { parent(host) };
        while let Some(at) = name.filter(|name| name.len() >= top.len()) {
            rows.push((UNDER, at.to_owned()));
            name = parent(at);
        }
    }
    rows
}

/// The entries under which ranges stand that may hold this address or range; none for what is no address.
#[must_use]
pub fn ranges_around(observable: &Observable) -> Vec<Row> {
    let plain = matches!(observable.kind(), Kind::Ipv4 | Kind::Ipv6);
    let Some(net) = net(observable.value()).filter(|_| plain) else { return Vec::new() };
    let levels = if matches!(net, IpNet::V4(_)) { RANGE_V4 } else { RANGE_V6 };
    let fits = levels.into_iter().filter(|level| *level <= net.prefix_len());
    fits.map(|level| (RANGE, block(net.network(), level))).collect()
}

/// Whether `range` is one that holds `observable`, itself excepted.
#[must_use]
pub fn is_range_around(range: &Observable, observable: &Observable) -> bool {
    match (net_of(range), net_of(observable)) {
        (Some(range), Some(inner)) => range != inner && range.contains(&inner),
        _ => false,
    }
}

/// The domain one registers: `b.co.uk` of `a.b.co.uk`. None for a public suffix itself, and for what is no name.
#[must_use]
pub fn registrable(name: &str) -> Option<&str> {
    let domain = psl::domain(name.as_bytes())?;
    // A name of one label that no list knows is nobody's domain.
    let text = std::str::from_utf8(domain.as_bytes()).ok()?;
    text.contains('.').then_some(text)
}

/// Names that resolve nowhere, or not by DNS, and still are names (RFC 2606, RFC 7686).
const NAMES: [&str; 4] = ["example", "onion", "i2p", "bit"];

/// Whether a text in the form of a name ends as names do: one that is registered below a suffix that the public suffix list
/// has. `report.doc` does not.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let is_apart = name.rsplit_once('.').is_some_and(|(_, top)| NAMES.contains(&top));
    let is_known = || psl::suffix(name.as_bytes()).is_some_and(|suffix| suffix.is_known());
    is_apart || registrable(name).is_some() && is_known()
}

/// Top-level names that are ends of files' names, too.
pub const ALSO_FILES: [&str; 22] = [
    "ai", "app", "bz", "cab", "cc", "com", "doc", "gz", "md", "mov", "pl", "pm", "ps", "py", "rs", "sc",
    "sh", "so", "st", "sys", "ws", "zip",
];
/// Whether `name` lies below `domain`.
#[must_use]
pub fn is_below(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.') && rest.len() > 1)
}

/// The names above a name, down to its last label.
pub fn above(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('.').filter_map(move |(at, _)| name.get(at + 1..))
}

/// The host of a value, and whether the value only lies there (a URL, a mailbox) or is the host itself.
#[must_use]
pub fn host_of(observable: &Observable) -> Option<(&str, bool)> {
    let value = observable.value();
    match observable.kind() {
        Kind::Domain => Some((value, false)),
        Kind::Email => value.rsplit_once('@').map(|(_, host)| (host, true)),
        Kind::Url => {
            let rest = value.split_once("://")?.1;
            let authority = rest.split(['/', '?', '#']).next()?;
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            let host = match host.strip_prefix('[') {
                Some(v6) => v6.split(']').next()?,
                None => host.split(':').next()?,
            };
            Some((host, true))
        }
        _ => None,
    }
}

/// The address or range a value is, or whose address its URL names.
#[must_use]
pub fn net_of(observable: &Observable) -> Option<IpNet> {
    match observable.kind() {
        Kind::Ipv4 | Kind::Ipv6 => net(observable.value()),
        Kind::Url => net(host_of(observable)?.0),
        _ => None,
    }
}

/// An address, or a range.
pub(in crate::stix) fn net(text: &str) -> Option<IpNet> {
    match text.parse::<IpAddr>() {
        Ok(address) => Some(IpNet::from(address)),
        Err(_) => text.parse().ok(),
    }
}

fn block(address: IpAddr, prefix: u8) -> String {
    match address {
        IpAddr::V4(v4) => Ipv4Net::new(v4, prefix).map(|net| net.trunc().to_string()),
        IpAddr::V6(v6) => Ipv6Net::new(v6, prefix).map(|net| net.trunc().to_string()),
    }
    .unwrap_or_default()
}

fn parent(name: &str) -> Option<&str> {
    name.split_once('.').map(|(_, parent)| parent)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn o(text: &str) -> Observable {
        Observable::guess(text).unwrap_or_else(|| panic!("{text}"))
    }

    fn entered(text: &str) -> Vec<String> {
        rows(&o(text)).iter().map(|(what, of)| format!("{what} {of}")).collect()
    }

    #[test]
    fn a_name_is_entered_under_its_parents_down_to_the_registrable_one() {
        assert_eq!(entered("evil.example"), [""; 0]);
        assert_eq!(entered("www.evil.example"), ["under evil.example"]);
        assert_eq!(entered("a.b.evil.co.uk"), ["under b.evil.co.uk", "under evil.co.uk"]);
        assert_eq!(entered("http://b.evil.co.uk:8080/x"), ["under b.evil.co.uk", "under evil.co.uk"]);
        assert_eq!(entered("x@evil.example"), ["under evil.example"]);
        assert_eq!(entered("http://co.uk/"), [""; 0]);
    }

    #[test]
    fn an_address_is_entered_under_its_ranges() {
        assert_eq!(entered("198.51.100.7"), ["within 198.51.0.0/16", "within 198.51.100.0/24"]);
        assert_eq!(
            entered("2001:db8:1:2::3"),
            ["within 2001:db8::/32", "within 2001:db8:1::/48", "within 2001:db8:1:2::/64"]
        );
        assert_eq!(
            entered("198.51.100.0/25"),
            ["within 198.51.0.0/16", "within 198.51.100.0/24", "range 198.51.100.0/24"]
        );
        assert_eq!(entered("198.48.0.0/12"), ["range 198.0.0.0/8"]);
        assert_eq!(entered("http://198.51.100.7/a"), entered("198.51.100.7"));
    }

    #[test]
    fn what_is_too_wide_to_search_is_said() {
        let of = |text: &str| Around::of(&o(text)).err();
        assert_eq!(of("198.0.0.0/15"), Some(AroundError::TooWide));
        assert_eq!(of("2001::/31"), Some(AroundError::TooWide));
        assert_eq!(of("co.uk"), Some(AroundError::PublicSuffix));
        assert_eq!(of("CVE-2026-0001"), Some(AroundError::NotAPlace));
        assert_eq!((of("198.51.0.0/16"), of("evil.co.uk")), (None, None));
    }

    #[test]
    fn a_name_ends_as_the_public_suffix_list_or_a_reserved_one_has_it() {
        for (text, expected) in [
            ("evil.be", true),
            ("a.evil.co.uk", true),
            ("xn--e1afmkfd.xn--p1ai", true),
            ("evil.example", true),
            ("hidden.onion", true),
            ("co.uk", false),
            ("be", false),
            ("example", false),
            ("report.doc", false),
            ("host.lan", false),
        ] {
            assert_eq!(is_name(text), expected, "{text}");
        }
    }

    #[test]
    fn names_that_only_end_alike_are_not_below() {
        let around = Around::of(&o("evil.example")).unwrap();
        assert!(around.holds(&o("www.evil.example")) && around.holds(&o("http://evil.example/a")));
        assert!(!around.holds(&o("notevil.example")) && !around.holds(&o("evil.example")));
    }

    proptest! {
        #[test]
        fn whatever_a_range_holds_is_entered_where_the_range_looks(address: u32, prefix in 16u8..=32) {
            let address = Observable::new(Kind::Ipv4, &std::net::Ipv4Addr::from(address).to_string()).unwrap();
            let range = Observable::new(Kind::Ipv4, &format!("{}/{prefix}", address.value())).unwrap();
            let around = Around::of(&range).unwrap();
            prop_assert!(around.holds(&address));
            prop_assert!(rows(&address).contains(&around.row()));
            if prefix < 32 {
                prop_assert!(is_range_around(&range, &address));
                prop_assert!(rows(&range).iter().any(|row| ranges_around(&address).contains(row)));
            }
        }

        #[test]
        fn whatever_lies_below_a_name_is_entered_where_the_name_looks(
            labels in proptest::collection::vec("[a-z]{1,5}", 1..4), top in "(example|co\\.uk|github\\.io)",
        ) {
            let name = format!("{}.{top}", labels.join("."));
            let observable = o(&name);
            let mut above = parent(&name).filter(|domain| domain.contains('.'));
            while let Some(domain) = above {
                if let Ok(around) = Around::of(&o(&format!("{domain}."))) {
                    prop_assert!(around.holds(&observable));
                    prop_assert!(rows(&observable).contains(&around.row()), "{name} under {domain}");
                }
                above = parent(domain).filter(|domain| domain.contains('.'));
            }
        }
    }
}
