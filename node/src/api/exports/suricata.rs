//! Suricata from 7.0.3 on: a dataset a type and a handful of rules that ask it, instead of a rule a value.
//!
//! The rules name their datasets by file, so all files of an export belong into one folder. URLs have no single buffer
//! to be looked up in and get a rule each, as far as they travel in clear. Nor finds a dataset what lies below a domain:
//! those that score highest get rules for that.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use belfry_proto::stix::{
    egress::Use,
    observable::{Kind, Observable, around},
};

use super::{Files, TEXT};
use crate::{
    config::Format,
    query::{Entry, Query, Snapshot},
};

/// Local rules begin here; every export has a million of its own.
const FIRST_SID: u32 = 9_000_000;
const SIDS: u32 = 1_000_000;
/// Exports told apart by their names' hashes.
const BLOCKS: u32 = 4_000;
/// URLs that get a rule.
const MAX_URLS: usize = 20_000;
/// Domains that are also looked for by what lies below them, by three rules each. Too low ⇒ names below the others go unseen, too
/// high ⇒ Suricata takes minutes to load them.
const MAX_BELOW: usize = 10_000;
/// Where names of hosts are met: protocol, buffer, words for people, and how case is folded before a dataset is asked and where
/// a text is compared. Resolvers ask in mixed case, so that answers are hard to forge, and datasets know one spelling. The last
/// comes in small letters.
const HOSTS: [(&str, &str, &str, [&str; 2]); 3] = [
    ("dns", "dns.query", "DNS query", FOLDED),
    ("tls", "tls.sni", "TLS", FOLDED),
    ("http", "http.host", "HTTP", ["", ""]),
];
/// The first is known from 7.0.3 on.
const FOLDED: [&str; 2] = ["; to_lowercase", "nocase; "];
/// Ranges of one rule's address list.
const RANGES: usize = 100;
/// Suricata's `datasets.limits.single-hashsize`.
const MAX_HASH: usize = 262_144;

/// Where the numbers of each of these exports begin: by its name's hash, or behind whoever has that place already, in the order of
/// their names.
pub(super) fn first_sids(names: &[String]) -> BTreeMap<&str, u32> {
    let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let mut taken = BTreeSet::new();
    let place = |name: &str, taken: &mut BTreeSet<u32>| {
        let hash = blake3::hash(name.as_bytes());
        let block = hash.as_bytes().first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes)) % BLOCKS;
        let mut blocks = (0..BLOCKS).map(|step| (block + step) % BLOCKS);
        FIRST_SID + blocks.find(|block| taken.insert(*block)).unwrap_or(block) * SIDS
    };
    names.into_iter().map(|name| (name, place(name, &mut taken))).collect()
}

/// Whether a number is one of the million that each of these exports has, by where they begin.
pub(super) fn is_ours(sid: u32, first_sids: &BTreeMap<&str, u32>) -> bool {
    first_sids.values().any(|first| sid >= *first && sid - first < SIDS)
}

pub(super) fn render(snapshot: &Snapshot, query: &Query) -> Files {
    let export = &snapshot.export;
    let names = query.exports_of(Format::Suricata);
    let first_sid = first_sids(&names).get(export.name.as_str()).copied().unwrap_or(FIRST_SID);
    let mut files = Files::default();
    let action = if export.policy.purpose == Use::Block { "drop" } else { "alert" };
    let mut rules = Rules::new(&export.name, action, first_sid);
    let of = |kind: Kind| {
        snapshot.entries.iter().map(|entry| &entry.observable).filter(move |value| value.kind() == kind)
    };

    let domains: Vec<String> = of(Kind::Domain).map(|value| STANDARD.encode(value.value())).collect();
    for (protocol, buffer, said, [fold, _]) in HOSTS {
        let buffer = format!("{buffer}{fold}");
        rules.dataset(
            protocol,
            &buffer,
            &format!("{said} for a listed domain"),
            "domain",
            "string",
            &domains,
        );
    }
    let (ranges, addresses): (Vec<&Observable>, Vec<&Observable>) =
        of(Kind::Ipv4).chain(of(Kind::Ipv6)).partition(|value| value.value().contains('/'));
    let addresses: Vec<String> = addresses.iter().map(|value| value.value().to_owned()).collect();
    for (buffer, said) in [("ip.dst", "to"), ("ip.src", "from")] {
        rules.dataset("ip", buffer, &format!("traffic {said} a listed address"), "ip", "ip", &addresses);
    }
    for ranges in ranges.chunks(RANGES) {
        let list: Vec<&str> = ranges.iter().map(|value| value.value()).collect();
        rules.rule(&format!("ip [{}] any <> any any", list.join(",")), "traffic with a listed range", "");
    }
    for (kind, keyword) in [(Kind::Md5, "filemd5"), (Kind::Sha1, "filesha1"), (Kind::Sha256, "filesha256")] {
        let hashes: Vec<String> = of(kind).map(|value| value.value().to_owned()).collect();
        if hashes.is_empty() {
            continue;
        }
        let name = rules.file(kind.as_str());
        for protocol in ["http", "smtp", "smb", "ftp-data"] {
            let head = format!("{protocol} any any -> any any");
            rules.rule(&head, "a listed file", &format!("{keyword}:{name}; "));
        }
        rules.files.push((name, hashes));
    }
    for (i, url) in of(Kind::Url).enumerate() {
        match http(url).filter(|_| i < MAX_URLS) {
            Some(options) => rules.rule("http any any -> any any", "HTTP request for a listed URL", &options),
            None => files.unwritable += 1,
        }
    }
    for name in below(snapshot) {
        let end = content(&format!(".{name}"));
        for (protocol, buffer, said, [_, case]) in HOSTS {
            let options = format!("{buffer}; content:\"{end}\"; {case}endswith; ");
            let said = format!("{said} for a name below a listed domain");
            rules.rule(&format!("{protocol} any any -> any any"), &said, &options);
        }
    }
    let Rules { text, files: sets, .. } = rules;
    for (name, lines) in sets {
        files.put(name, TEXT, lines.iter().fold(String::new(), |text, line| text + line + "\n"));
    }
    files.put_main(format!("{}.rules", export.name), TEXT, text);
    files
}

/// Domains that are looked for by what lies below them: none below which something is allowed, nor one below which everybody
/// has names, as `co.uk`.
fn below(snapshot: &Snapshot) -> BTreeSet<&str> {
    let kept: BTreeSet<&str> = snapshot.spared.iter().flat_map(|name| around::above(name)).collect();
    let is_free = |entry: &&Entry| {
        let name = entry.observable.value();
        entry.observable.kind() == Kind::Domain && around::registrable(name).is_some() && !kept.contains(name)
    };
    let mut found: Vec<&Entry> = snapshot.entries.iter().filter(is_free).collect();
    found.sort_by_key(|entry| (Reverse(entry.score), Reverse(entry.last)));
    found.into_iter().take(MAX_BELOW).map(|entry| entry.observable.value()).collect()
}

struct Rules<'a> {
    export: &'a str,
    action: &'static str,
    sid: u32,
    text: String,
    files: Vec<(String, Vec<String>)>,
}

impl<'a> Rules<'a> {
    fn new(export: &'a str, action: &'static str, first_sid: u32) -> Self {
        Self {
            export,
            action,
            sid: first_sid,
            text: format!("# belfry export {export}: generated, fetch it again instead of editing it\n"),
            files: Vec::new(),
        }
    }

    fn file(&self, what: &str) -> String {
        format!("{}-{what}.lst", self.export)
    }

    fn dataset(
        &mut self,
        protocol: &str,
        buffer: &str,
        said: &str,
        what: &str,
        kind: &str,
        lines: &[String],
    ) {
        // Suricata does not start on a dataset file without a line.
        if lines.is_empty() {
            return;
        }
        let file = self.file(what);
        let size = lines.len().next_power_of_two().clamp(1024, MAX_HASH);
        let options = format!(
            "{buffer}; dataset:isset,{}-{what},type {kind},load {file},hashsize {size}; ",
            self.export
        );
        self.rule(&format!("{protocol} any any -> any any"), said, &options);
        if !self.files.iter().any(|(known, _)| *known == file) {
            self.files.push((file, lines.to_vec()));
        }
    }

    fn rule(&mut self, head: &str, said: &str, options: &str) {
        let (action, export, sid) = (self.action, self.export, self.sid);
        let _ = writeln!(
            self.text,
            "{action} {head} (msg:\"belfry {export}: {said}\"; {options}classtype:trojan-activity; sid:{sid}; rev:1;)"
        );
        self.sid += 1;
    }
}

/// What finds a request for a URL: its host and everything behind it, both as a whole.
fn http(url: &Observable) -> Option<String> {
    let rest = url.value().strip_prefix("http://")?;
    let (host, _) = around::host_of(url)?;
    let path = rest.find(['/', '?']).and_then(|at| rest.get(at..))?.split('#').next()?;
    Some(format!(
        "http.host; content:\"{}\"; bsize:{}; http.uri.raw; content:\"{}\"; bsize:{}; ",
        content(host),
        host.len(),
        content(path),
        path.len()
    ))
}

/// A text as an option `content` has it.
fn content(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'/') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "|{byte:02x}|");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_exports_have_one_number_even_if_their_names_hashes_meet() {
        let alone = |name: &str| first_sids(&[name.to_owned()])[name];
        let mut seen: BTreeMap<u32, String> = BTreeMap::new();
        let (first, second) = (0..)
            .find_map(|n| {
                let name = format!("ids-{n}");
                seen.insert(alone(&name), name.clone()).map(|before| (before, name))
            })
            .unwrap();
        let mut names = [first.clone(), second.clone()];
        let both = first_sids(&names);
        assert_eq!(both.len(), 2);
        assert!(both[first.as_str()].abs_diff(both[second.as_str()]) >= SIDS, "{both:?}");
        let smaller = names.iter().min().unwrap().as_str();
        assert_eq!(both[smaller], alone(smaller), "who comes first stays");
        assert!(is_ours(both[smaller] + SIDS - 1, &both) && !is_ours(FIRST_SID - 1, &both));
        let both: Vec<u32> = both.into_values().collect();
        names.reverse();
        assert_eq!(
            first_sids(&names).into_values().collect::<Vec<_>>(),
            both,
            "in whatever order they are written"
        );
    }
}
