//! Warning lists: values that are in many an indicator by mistake, and hurt when they are blocked.
//!
//! Two levels. *Block* keeps a value out of what tools act on; *inform* shows at lookup that it is known. Before both
//! comes the operator's own allow-list, which nothing overrules. Built in are special-use ranges and names, public
//! resolvers and the hashes of nothing; MISP's lists are read as they are.
//!
//! A URL or mailbox at a listed host is only informed of: `bit.ly` must not be blocked, `bit.ly/x` may well be.
//!
//! A list counts for the types that its `matching_attributes` name: a list of top-level domains says nothing of a mutex
//! called `zone`. One that names something unknown, and nothing that has values here, counts for all, because it has to
//! keep something out; one of telephone numbers alone counts for nothing.

mod built_in;
mod expression;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ipnet::IpNet;
use serde::Deserialize;

use self::{
    built_in::BUILT_IN,
    expression::{Expressions, Fault},
};
use super::{
    neutral,
    observable::{Kind, Observable, around},
};

/// Entries of one list; MISP's largest has a million.
const MAX_ENTRIES: usize = 2_000_000;
/// Characters of what a parser says: it repeats what it was given, however long that is.
const MAX_SAID: usize = 300;

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
    /// Not MISP's JSON; with what the parser says, in brief.
    #[error("is not a MISP warning list: {0}")]
    Json(String),
    /// Nothing this belfry matches by.
    #[error("is of type {0:?}; belfry reads cidr, string, hostname, substring and regex")]
    Type(String),
    /// Not an address or range.
    #[error("entry {0} is no address or range")]
    Entry(usize),
    /// An expression that means nothing here.
    #[error(
        "entry {0} is no regular expression that belfry reads (such as /^ad[0-9]+\\./i, without look-around and \
         back-references), or one that grows too large"
    )]
    Expression(usize),
    /// Each reads, all of them are too much.
    #[error("has more expressions than one list may: split it")]
    Expressions,
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
    #[serde(default)]
    matching_attributes: Vec<String>,
}

impl MispList {
    /// What it is about; `None` for everything.
    fn kinds(&self) -> Option<BTreeSet<Kind>> {
        // `filename|md5` is about both.
        let named = self.matching_attributes.iter().flat_map(|attribute| attribute.split('|'));
        let kinds: Vec<Option<&[Kind]>> = named.map(about).collect();
        let is_of_all = self.matching_attributes.iter().any(|attribute| attribute == "ALL");
        let known: BTreeSet<Kind> = kinds.iter().flatten().copied().flatten().copied().collect();
        let is_unknown = known.is_empty() && (kinds.is_empty() || kinds.iter().any(Option::is_none));
        (!is_of_all && !is_unknown).then_some(known)
    }
}

/// What values of one of MISP's attribute types are; empty for what is no observable here, `None` for an unknown word.
fn about(attribute: &str) -> Option<&'static [Kind]> {
    let kinds: &'static [Kind] = match attribute {
        "ip-src" | "ip-dst" | "ip" => &[Kind::Ipv4, Kind::Ipv6],
        "domain" | "hostname" => &[Kind::Domain],
        "url" | "uri" | "link" => &[Kind::Url],
        "email" | "email-src" | "email-dst" | "email-reply-to" => &[Kind::Email],
        "mac-address" => &[Kind::Mac],
        "AS" => &[Kind::Asn],
        "md5" => &[Kind::Md5],
        "sha1" => &[Kind::Sha1],
        "sha256" => &[Kind::Sha256],
        "sha512" => &[Kind::Sha512],
        "ssdeep" => &[Kind::Ssdeep],
        "tlsh" => &[Kind::Tlsh],
        "filename" => &[Kind::FileName],
        "mutex" => &[Kind::Mutex],
        "regkey" => &[Kind::RegistryKey],
        "vulnerability" => &[Kind::Cve],
        "phone-number"
        | "whois-registrant-phone"
        | "iban"
        | "bic"
        | "bank-account-nr"
        | "aba-rtn"
        | "bin"
        | "cc-number"
        | "prtn"
        | "btc"
        | "xmr"
        | "dash"
        | "port"
        | "user-agent"
        | "sha224"
        | "sha384"
        | "authentihash"
        | "imphash"
        | "pehash"
        | "impfuzzy" => &[],
        _ => return None,
    };
    Some(kinds)
}

type Lists = BTreeSet<u16>;

#[derive(Clone)]
struct List {
    name: String,
    level: Level,
    /// What it is about; `None` for everything.
    kinds: Option<BTreeSet<Kind>>,
}

impl List {
    fn is_about(&self, observable: &Observable) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&observable.kind()))
    }
}

/// Every list, as one index.
#[derive(Clone, Default)]
pub struct Warnings {
    lists: Vec<List>,
    /// Whole values.
    exact: HashMap<String, Lists>,
    /// Host names, with all below them.
    hosts: HashMap<String, Lists>,
    /// Ranges, those of IPv6 behind those of IPv4, by prefix length.
    nets: BTreeMap<(bool, u8), HashMap<IpNet, Lists>>,
    parts: Vec<(String, u16)>,
    expressions: Vec<(Expressions, u16)>,
}

impl Warnings {
    /// What belfry knows by itself.
    #[must_use]
    pub fn built_in() -> Self {
        let mut warnings = Self::default();
        for (name, level, nets, hosts, exact) in BUILT_IN {
            let list = warnings.list((*name).to_owned(), *level, None);
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
        let read: MispList = serde_json::from_slice(json)
            .map_err(|error| WarningError::Json(neutral::gist(&error.to_string(), MAX_SAID)))?;
        let kinds = read.kinds();
        let MispList { name, kind, list: entries, .. } = read;
        if entries.len() > MAX_ENTRIES {
            return Err(WarningError::TooLong);
        }
        let trimmed = entries.iter().map(|entry| entry.trim()).filter(|entry| !entry.is_empty());
        match kind.as_str() {
            "cidr" => {
                let read =
                    trimmed.enumerate().map(|(i, text)| around::net(text).ok_or(WarningError::Entry(i)));
                let nets = read.collect::<Result<Vec<_>, _>>()?;
                let list = self.list(name.clone(), level(&name), kinds);
                nets.into_iter().for_each(|net| self.net(net, list));
            }
            "hostname" => {
                let list = self.list(name.clone(), level(&name), kinds);
                trimmed.for_each(|entry| self.host(entry, list));
            }
            "string" => {
                let list = self.list(name.clone(), level(&name), kinds);
                for entry in trimmed {
                    // No value begins so: as many a list writes a name with all below it.
                    if entry.starts_with(['.', '*']) {
                        self.host(entry, list);
                        continue;
                    }
                    // In the spelling the index has, where it is a value at all.
                    let value = Observable::guess(entry)
                        .map_or_else(|| entry.to_lowercase(), |o| o.value().to_owned());
                    self.exact.entry(value).or_default().insert(list);
                }
            }
            "substring" => {
                let list = self.list(name.clone(), level(&name), kinds);
                self.parts.extend(trimmed.map(|entry| (entry.to_lowercase(), list)));
            }
            "regex" => {
                let entries: Vec<&str> = trimmed.collect();
                let read = Expressions::of(&entries).map_err(|fault| match fault {
                    Fault::Entry(i) => WarningError::Expression(i),
                    Fault::TooLarge => WarningError::Expressions,
                })?;
                let list = self.list(name.clone(), level(&name), kinds);
                self.expressions.push((read, list));
            }
            _ => return Err(WarningError::Type(kind.chars().take(32).collect())),
        }
        Ok(name)
    }

    /// How many lists.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lists.len()
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
            let (is_v6, longest) = size(&net);
            for ((_, prefix), nets) in self.nets.range((is_v6, 0)..=(is_v6, longest)) {
                let outer = IpNet::new(net.network(), *prefix).map(|net| net.trunc());
                add(outer.ok().and_then(|outer| nets.get(&outer)), true);
            }
            if net.prefix_len() < net.max_prefix_len() && is_itself {
                // A range hurts by whatever it holds.
                let inner = self.nets.values().flatten().filter(|(inner, _)| net.contains(*inner));
                inner.for_each(|(_, lists)| add(Some(lists), true));
            }
        }
        if !self.parts.is_empty() {
            let lower = value.to_lowercase();
            for (part, list) in &self.parts {
                if lower.contains(part.as_str()) {
                    *found.entry(*list).or_default() |= true;
                }
            }
        }
        for (expressions, list) in &self.expressions {
            let is_about = self.lists.get(usize::from(*list)).is_some_and(|list| list.is_about(observable));
            if is_about && expressions.is_match(value) {
                *found.entry(*list).or_default() |= true;
            }
        }
        let hit = |(list, is_itself): (u16, bool)| {
            let of = self.lists.get(usize::from(list))?;
            let List { name, level, .. } = of;
            let is_about = !is_itself || of.is_about(observable);
            is_about.then_some(Hit { list: name, level: if is_itself { *level } else { Level::Inform } })
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

    fn list(&mut self, name: String, level: Level, kinds: Option<BTreeSet<Kind>>) -> u16 {
        self.lists.push(List { name, level, kinds });
        u16::try_from(self.lists.len() - 1).unwrap_or(u16::MAX)
    }

    fn host(&mut self, entry: &str, list: u16) {
        let host = entry.trim_start_matches("*.").trim_start_matches('.');
        // In the spelling the index has.
        let host =
            Observable::new(Kind::Domain, host).map_or_else(|| host.to_lowercase(), |o| o.value().to_owned());
        self.hosts.entry(host).or_default().insert(list);
    }

    fn net(&mut self, net: IpNet, list: u16) {
        let net = net.trunc();
        self.nets.entry(size(&net)).or_default().entry(net).or_default().insert(list);
    }
}

/// Whether a range is one of IPv6, and the length of its prefix.
const fn size(net: &IpNet) -> (bool, u8) {
    match net {
        IpNet::V4(net) => (false, net.prefix_len()),
        IpNet::V6(net) => (true, net.prefix_len()),
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
            // Of a URL without its scheme, such as `own.be/login`, nobody knows whether all of the host is meant.
            let observable = Observable::guess(text)
                .filter(|found| found.kind() != Kind::Url || text.contains("//"))
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
        // As of most operators.
        if self.exact.is_empty() && self.nets.is_empty() && self.hosts.is_empty() {
            return false;
        }
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

    /// Its domains that lie below one of these.
    #[must_use]
    pub fn below(&self, is_one: impl Fn(&str) -> bool) -> Vec<String> {
        let is_below = |host: &&String| around::above(host).any(&is_one);
        self.hosts.iter().filter(is_below).cloned().collect()
    }
}

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
        // The same bits, of the other family.
        for text in ["2000::1", "1400::1", "32.1.72.96"] {
            assert!(!warnings.blocks(&o(text)), "{text}");
        }
        assert!(warnings.blocks(&o("2001:4860::1")) && warnings.blocks(&o("2001:4860::/48")));
        assert_eq!(warnings.hits(&o("http://shop.be/evil")).len(), 1);
        for (broken, said) in [
            (list("glob", r#""a""#), "glob"),
            (list("regex", r#""a","(?<=b)c""#), "entry 1"),
            (list("cidr", r#""1.2.3.4","x""#), "entry 1"),
            ("[]".to_owned(), "MISP"),
        ] {
            let error = warnings.add_misp(broken.as_bytes(), |_| Level::Block).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        let long = format!("{:?}", "x".repeat(100_000));
        let error = warnings.add_misp(long.as_bytes(), |_| Level::Block).unwrap_err().to_string();
        assert!(
            error.contains("MISP") && error.len() < 2 * MAX_SAID,
            "of what is none little is repeated: {error}"
        );
    }

    #[test]
    fn a_name_with_a_dot_in_front_is_listed_with_all_below_it() {
        let mut warnings = Warnings::default();
        let list = r#"{"name":"Search","type":"string","list":[".suche.be","*.Bücher.be"],"matching_attributes":["domain","url"]}"#;
        warnings.add_misp(list.as_bytes(), |_| Level::Block).unwrap();
        for text in ["suche.be", "www.suche.be", "xn--bcher-kva.be"] {
            assert!(warnings.blocks(&o(text)), "{text}");
        }
        assert!(!warnings.blocks(&o("nosuche.be")));
        assert_eq!(warnings.hits(&o("http://suche.be/x")).first().unwrap().level, Level::Inform);
    }

    #[test]
    fn a_list_counts_for_the_types_it_is_about() {
        let of = |attributes: &str| {
            let mut warnings = Warnings::default();
            let list = format!(
                r#"{{"name":"L","type":"string","list":["ZONE","3::"],"matching_attributes":[{attributes}]}}"#
            );
            warnings.add_misp(list.as_bytes(), |_| Level::Block).unwrap();
            move |kind, text: &str| warnings.blocks(&Observable::new(kind, text).unwrap())
        };
        let names = of(r#""hostname","domain|ip""#);
        assert!(names(Kind::Domain, "zone") && names(Kind::Ipv6, "3::"));
        assert!(!names(Kind::Mutex, "zone") && !names(Kind::FileName, "zone") && !names(Kind::Ssdeep, "3::"));
        assert!(of(r#""ssdeep""#)(Kind::Ssdeep, "3::"));
        // What nobody here knows must not open a list.
        for attributes in ["", r#""ALL""#, r#""telepathy""#] {
            assert!(of(attributes)(Kind::Mutex, "zone"), "{attributes}");
        }
    }

    #[test]
    fn a_list_of_expressions_names_what_they_match_and_is_about() {
        let mut warnings = Warnings::default();
        for list in [
            r#"{"name":"Ads","type":"regex","list":["/^ads?[0-9]+\\./i"],"matching_attributes":["hostname","url"]}"#,
            // As MISP has it: its last expression stands in every second hash.
            r#"{"name":"Phones","type":"regex","list":["/1(3|8)00975707|08|09|10/g"],
                "matching_attributes":["phone-number","whois-registrant-phone"]}"#,
        ] {
            warnings.add_misp(list.as_bytes(), |_| Level::Block).unwrap();
        }
        for text in ["ad7.x.be", "ADS12.x.be"] {
            assert!(warnings.blocks(&o(text)), "{text}");
        }
        for text in ["bad7.x.be", "20.10.8.9", "http://x.be/09", "10080910080910080910080910080910"] {
            assert!(warnings.hits(&o(text)).is_empty(), "{text}");
        }
        assert!(!warnings.blocks(&Observable::new(Kind::Mutex, "ad7.x").unwrap()));
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
        assert!(AllowList::of(["own.be/login"]).is_err() && AllowList::of(["http://own.be/login"]).is_ok());
        assert_eq!(
            AllowList::of(["two words"]).unwrap_err().to_string(),
            "\"two words\" is no domain, address, range, URL, mailbox or hash"
        );
    }
}
