//! Warning lists: values that are in many an indicator by mistake, and hurt when they are blocked.
//!
//! Two levels. *Block* keeps a value out of what tools act on; *inform* shows at lookup that it is known. Before both
//! comes the operator's own allow-list, which nothing overrules. Built in are special-use ranges and names, public
//! resolvers and the hashes of nothing; MISP's lists are read as they are.
//!
//! A URL or mailbox at a listed host is only informed of: `bit.ly` must not be blocked, `bit.ly/x` may well be.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ipnet::IpNet;
use serde::Deserialize;

use super::observable::{Kind, Observable, around};

/// Entries of one list; MISP's largest has a million.
const MAX_ENTRIES: usize = 2_000_000;

/// What being on a list means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Shown.
    Inform,
    /// Kept out of exports.
    Block,
}

impl Level {
    /// The word for API and people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inform => "inform",
            Self::Block => "block",
        }
    }
}

/// A list that names a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit<'a> {
    /// What it means.
    pub level: Level,
    /// Which.
    pub list: &'a str,
}

/// Why a file is no warning list.
#[derive(Debug, thiserror::Error)]
pub enum WarningError {
    /// Not MISP's JSON.
    #[error("is not a MISP warning list: {0}")]
    Json(#[from] serde_json::Error),
    /// Nothing this belfry matches by.
    #[error("is of type {0:?}; belfry reads cidr, string, hostname and substring")]
    Type(String),
    /// Not an address or range.
    #[error("entry {0} is no address or range")]
    Entry(usize),
    /// Too long.
    #[error("has more than {MAX_ENTRIES} entries")]
    TooLong,
}

#[derive(Deserialize)]
struct MispList {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    list: Vec<String>,
}

type Lists = BTreeSet<u16>;

/// Every list, as one index.
#[derive(Clone, Default)]
pub struct Warnings {
    lists: Vec<(String, Level)>,
    /// Whole values.
    exact: HashMap<String, Lists>,
    /// Host names, with all below them.
    hosts: HashMap<String, Lists>,
    /// Ranges by prefix length.
    nets: BTreeMap<u8, HashMap<IpNet, Lists>>,
    parts: Vec<(String, u16)>,
}

impl Warnings {
    /// What belfry knows by itself.
    #[must_use]
    pub fn built_in() -> Self {
        let mut warnings = Self::default();
        for (name, level, nets, hosts, exact) in BUILT_IN {
            let list = warnings.list((*name).to_owned(), *level);
            for net in *nets {
                if let Some(net) = around::net(net) {
                    warnings.net(net, list);
                }
            }
            for host in *hosts {
                warnings.hosts.entry((*host).to_owned()).or_default().insert(list);
            }
            for value in *exact {
                warnings.exact.entry((*value).to_owned()).or_default().insert(list);
            }
        }
        warnings
    }

    /// Adds a list in MISP's format; its name.
    ///
    /// # Errors
    /// [`WarningError`]; nothing is added then.
    pub fn add_misp(
        &mut self,
        json: &[u8],
        level: impl FnOnce(&str) -> Level,
    ) -> Result<String, WarningError> {
        let MispList { name, kind, list: entries } = serde_json::from_slice(json)?;
        if entries.len() > MAX_ENTRIES {
            return Err(WarningError::TooLong);
        }
        let trimmed = entries.iter().map(|entry| entry.trim()).filter(|entry| !entry.is_empty());
        match kind.as_str() {
            "cidr" => {
                let read =
                    trimmed.enumerate().map(|(i, text)| around::net(text).ok_or(WarningError::Entry(i)));
                let nets = read.collect::<Result<Vec<_>, _>>()?;
                let list = self.list(name.clone(), level(&name));
                nets.into_iter().for_each(|net| self.net(net, list));
            }
            "hostname" => {
                let list = self.list(name.clone(), level(&name));
                for entry in trimmed {
                    let host = entry.trim_start_matches("*.").trim_start_matches('.').to_lowercase();
                    self.hosts.entry(host).or_default().insert(list);
                }
            }
            "string" => {
                let list = self.list(name.clone(), level(&name));
                for entry in trimmed {
                    // In the spelling the index has, where it is a value at all.
                    let value = Observable::guess(entry)
                        .map_or_else(|| entry.to_lowercase(), |o| o.value().to_owned());
                    self.exact.entry(value).or_default().insert(list);
                }
            }
            "substring" => {
                let list = self.list(name.clone(), level(&name));
                self.parts.extend(trimmed.map(|entry| (entry.to_lowercase(), list)));
            }
            _ => return Err(WarningError::Type(kind.chars().take(32).collect())),
        }
        Ok(name)
    }

    /// Names and levels of every list.
    #[must_use]
    pub fn lists(&self) -> &[(String, Level)] {
        &self.lists
    }

    /// The lists that name a value, the gravest first.
    #[must_use]
    pub fn hits(&self, observable: &Observable) -> Vec<Hit<'_>> {
        let mut found: BTreeMap<u16, bool> = BTreeMap::new();
        let value = observable.value();
        let mut add = |lists: Option<&Lists>, is_itself: bool| {
            for list in lists.into_iter().flatten() {
                let known = found.entry(*list).or_default();
                *known |= is_itself;
            }
        };
        add(self.exact.get(value), true);
        if let Some((host, is_at)) = around::host_of(observable) {
            let mut name = Some(host);
            while let Some(at) = name {
                add(self.hosts.get(at), !is_at);
                name = at.split_once('.').map(|(_, parent)| parent);
            }
        }
        if let Some(net) = around::net_of(observable) {
            let is_itself = matches!(observable.kind(), Kind::Ipv4 | Kind::Ipv6);
            for (prefix, nets) in self.nets.range(..=net.prefix_len()) {
                let outer = IpNet::new(net.network(), *prefix).map(|net| net.trunc());
                add(outer.ok().and_then(|outer| nets.get(&outer)), true);
            }
            if net.prefix_len() < net.max_prefix_len() && is_itself {
                // A range hurts by whatever it holds.
                let inner = self.nets.values().flatten().filter(|(inner, _)| net.contains(*inner));
                inner.for_each(|(_, lists)| add(Some(lists), true));
            }
        }
        let lower = value.to_lowercase();
        for (part, list) in &self.parts {
            if lower.contains(part.as_str()) {
                *found.entry(*list).or_default() |= true;
            }
        }
        let hit = |(list, is_itself): (u16, bool)| {
            let (list, level) = self.lists.get(usize::from(list))?;
            Some(Hit { list, level: if is_itself { *level } else { Level::Inform } })
        };
        let mut hits: Vec<Hit<'_>> = found.into_iter().filter_map(hit).collect();
        hits.sort_by(|a, b| b.level.cmp(&a.level).then(a.list.cmp(b.list)));
        hits
    }

    /// Whether a list keeps a value out of what tools act on.
    #[must_use]
    pub fn blocks(&self, observable: &Observable) -> bool {
        self.hits(observable).first().is_some_and(|hit| hit.level == Level::Block)
    }

    fn list(&mut self, name: String, level: Level) -> u16 {
        self.lists.push((name, level));
        u16::try_from(self.lists.len() - 1).unwrap_or(u16::MAX)
    }

    fn net(&mut self, net: IpNet, list: u16) {
        let net = net.trunc();
        self.nets.entry(net.prefix_len()).or_default().entry(net).or_default().insert(list);
    }
}

/// What an operator never wants in a list, whatever anybody publishes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowList {
    hosts: BTreeSet<String>,
    nets: Vec<IpNet>,
    exact: BTreeSet<String>,
}

/// A text that names nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no domain, address, range, URL, mailbox or hash")]
pub struct AllowError(String);

impl AllowList {
    /// Of domains (with all below them), addresses, ranges and any other values.
    ///
    /// # Errors
    /// The first text that is none of these.
    pub fn of<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, AllowError> {
        let mut allowed = Self::default();
        for entry in entries {
            let text = entry.trim().trim_start_matches("*.");
            let observable = Observable::guess(text)
                .or_else(|| Observable::new(Kind::Domain, text))
                .ok_or_else(|| AllowError(entry.chars().take(64).collect()))?;
            match (observable.kind(), around::net(observable.value())) {
                (Kind::Ipv4 | Kind::Ipv6, Some(net)) => allowed.nets.push(net),
                (Kind::Domain, _) => _ = allowed.hosts.insert(observable.value().to_owned()),
                _ => _ = allowed.exact.insert(observable.value().to_owned()),
            }
        }
        Ok(allowed)
    }

    /// Whether a value is one of these, lies at or below one, or, being a range, holds one.
    #[must_use]
    pub fn covers(&self, observable: &Observable) -> bool {
        if self.exact.contains(observable.value()) {
            return true;
        }
        if let Some(net) = around::net_of(observable) {
            return self.nets.iter().any(|own| own.contains(&net) || net.contains(own));
        }
        around::host_of(observable).is_some_and(|(host, _)| {
            self.hosts.contains(host) || self.hosts.iter().any(|own| around::is_below(host, own))
        })
    }
}

type BuiltIn =
    (&'static str, Level, &'static [&'static str], &'static [&'static str], &'static [&'static str]);

/// Name, level, ranges, hosts, values.
const BUILT_IN: &[BuiltIn] = &[
    (
        "special-use ranges and names (RFC 6890, RFC 6761)",
        Level::Block,
        &[
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "224.0.0.0/4",
            "240.0.0.0/4",
            "::/128",
            "::1/128",
            "64:ff9b::/96",
            "100::/64",
            "fc00::/7",
            "fe80::/10",
            "ff00::/8",
        ],
        &[
            "localhost",
            "local",
            "internal",
            "home.arpa",
            "in-addr.arpa",
            "ip6.arpa",
            "invalid",
            "test",
            "lan",
        ],
        &[],
    ),
    (
        "documentation and benchmarks (RFC 5737, RFC 3849, RFC 2544, RFC 2606)",
        Level::Inform,
        &["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/15", "2001:db8::/32", "3fff::/20"],
        &["example", "example.com", "example.net", "example.org"],
        &[],
    ),
    (
        "public resolvers",
        Level::Block,
        &[
            "1.0.0.1",
            "1.1.1.1",
            "1.1.1.2",
            "1.1.1.3",
            "8.8.4.4",
            "8.8.8.8",
            "9.9.9.9",
            "9.9.9.10",
            "9.9.9.11",
            "149.112.112.112",
            "208.67.220.220",
            "208.67.222.222",
            "94.140.14.14",
            "94.140.15.15",
            "76.76.2.0",
            "185.228.168.9",
            "86.54.11.1",
            "86.54.11.100",
            "77.88.8.8",
            "114.114.114.114",
            "223.5.5.5",
            "2001:4860:4860::8888",
            "2001:4860:4860::8844",
            "2606:4700:4700::1111",
            "2606:4700:4700::1001",
            "2620:fe::fe",
            "2620:fe::9",
            "2620:119:35::35",
            "2620:119:53::53",
        ],
        &["dns.google", "one.one.one.one", "cloudflare-dns.com", "dns.quad9.net", "dns.opendns.com"],
        &[],
    ),
    (
        "hashes of nothing",
        Level::Block,
        &[],
        &[],
        &[
            "d41d8cd98f00b204e9800998ecf8427e",
            "da39a3ee5e6b4b0d3255bfef95601890afd80709",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn o(text: &str) -> Observable {
        Observable::guess(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn resolvers_private_ranges_and_nothing_are_never_blocked() {
        let warnings = Warnings::built_in();
        for text in [
            "8.8.8.8",
            "10.1.2.3",
            "::1",
            "8.8.0.0/16",
            "printer.local",
            "dns.google",
            "http://192.168.1.1/a",
            "d41d8cd98f00b204e9800998ecf8427e",
            "2620:fe::fe",
        ] {
            assert!(warnings.blocks(&o(text)), "{text}");
        }
        for text in
            ["45.155.205.1", "evil.org", "198.51.100.7", "notlocal.be", "8.8.8.9", "http://dns.google/x"]
        {
            assert!(!warnings.blocks(&o(text)), "{text}");
        }
        assert_eq!(warnings.hits(&o("198.51.100.7")).first().unwrap().level, Level::Inform);
    }

    #[test]
    fn the_built_in_ranges_all_read() {
        for (name, _, nets, ..) in BUILT_IN {
            for net in *nets {
                assert!(around::net(net).is_some(), "{name}: {net}");
            }
        }
    }

    #[test]
    fn misps_lists_are_read_and_what_they_name_is_at_their_level() {
        let mut warnings = Warnings::default();
        let list = |kind: &str, entries: &str| {
            format!(
                r#"{{"name":"L-{kind}","version":1,"description":"d","type":"{kind}","list":[{entries}]}}"#
            )
        };
        for (kind, entries) in [
            ("cidr", r#""20.0.0.0/8","2001:4860::1""#),
            ("hostname", r#""shop.be",".bank.be""#),
            ("string", r#""Portal.be","http://portal.be/a""#),
            ("substring", r#""tracker""#),
        ] {
            warnings.add_misp(list(kind, entries).as_bytes(), |_| Level::Block).unwrap();
        }
        for text in [
            "20.1.2.3",
            "a.shop.be",
            "shop.be",
            "x.bank.be",
            "portal.be",
            "http://portal.be/a",
            "my-tracker.be",
        ] {
            assert!(warnings.blocks(&o(text)), "{text}");
        }
        for text in ["21.1.2.3", "notshop.be", "a.portal.be", "http://portal.be/b", "http://shop.be/evil"] {
            assert!(!warnings.blocks(&o(text)), "{text}");
        }
        assert_eq!(warnings.hits(&o("http://shop.be/evil")).len(), 1);
        for (broken, said) in [
            (list("regex", r#""a""#), "regex"),
            (list("cidr", r#""1.2.3.4","x""#), "entry 1"),
            ("[]".to_owned(), "MISP"),
        ] {
            let error = warnings.add_misp(broken.as_bytes(), |_| Level::Block).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn the_allow_list_covers_whatever_touches_it() {
        let allowed =
            AllowList::of(["own.be", "*.partner.be", "192.0.2.0/24", "d41d8cd98f00b204e9800998ecf8427e"])
                .unwrap();
        for text in [
            "own.be",
            "www.own.be",
            "http://www.own.be/x",
            "a@own.be",
            "x.partner.be",
            "192.0.2.9",
            "192.0.0.0/16",
            "d41d8cd98f00b204e9800998ecf8427e",
        ] {
            assert!(allowed.covers(&o(text)), "{text}");
        }
        for text in ["notown.be", "own.be.evil.org", "192.0.3.1"] {
            assert!(!allowed.covers(&o(text)), "{text}");
        }
        assert_eq!(
            AllowList::of(["two words"]).unwrap_err().to_string(),
            "\"two words\" is no domain, address, range, URL, mailbox or hash"
        );
    }
}
