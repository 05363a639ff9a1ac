//! Suricata 7: a dataset a type and a handful of rules that ask it, instead of a rule a value.
//!
//! The rules name their datasets by file, so all files of an export belong into one folder. URLs have no single buffer
//! to be looked up in and get a rule each, as far as they travel in clear.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use belfry_proto::stix::{
    egress::Use,
    observable::{Kind, Observable, around},
};

use super::{Files, TEXT};
use crate::query::Snapshot;

/// Local rules begin here; every export has a million of its own.
const FIRST_SID: u32 = 9_000_000;
const SIDS: u32 = 1_000_000;
/// Exports told apart by their names' hashes.
const BLOCKS: u32 = 4_000;
/// URLs that get a rule.
const MAX_URLS: usize = 20_000;
/// Ranges of one rule's address list.
const RANGES: usize = 100;
/// Suricata's `datasets.limits.single-hashsize`.
const MAX_HASH: usize = 262_144;

pub(super) fn render(snapshot: &Snapshot) -> Files {
    let export = &snapshot.export;
    let mut files = Files::default();
    let action = if export.policy.purpose == Use::Block { "drop" } else { "alert" };
    let mut rules = Rules::new(&export.name, action);
    let of = |kind: Kind| {
        snapshot.entries.iter().map(|entry| &entry.observable).filter(move |value| value.kind() == kind)
    };

    let domains: Vec<String> = of(Kind::Domain).map(|value| STANDARD.encode(value.value())).collect();
    for (protocol, buffer, said) in
        [("dns", "dns.query", "DNS query"), ("tls", "tls.sni", "TLS"), ("http", "http.host", "HTTP")]
    {
        rules.dataset(protocol, buffer, &format!("{said} for a listed domain"), "domain", "string", &domains);
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
    let Rules { text, files: sets, .. } = rules;
    for (name, lines) in sets {
        files.put(name, TEXT, lines.iter().fold(String::new(), |text, line| text + line + "\n"));
    }
    files.put_main(format!("{}.rules", export.name), TEXT, text);
    files
}

struct Rules<'a> {
    export: &'a str,
    action: &'static str,
    sid: u32,
    text: String,
    files: Vec<(String, Vec<String>)>,
}

impl<'a> Rules<'a> {
    fn new(export: &'a str, action: &'static str) -> Self {
        let hash = blake3::hash(export.as_bytes());
        let block = hash.as_bytes().first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes)) % BLOCKS;
        Self {
            export,
            action,
            sid: FIRST_SID + block * SIDS,
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
    let content = |text: &str| {
        text.bytes().fold(String::new(), |mut out, byte| {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'/') {
                out.push(char::from(byte));
            } else {
                let _ = write!(out, "|{byte:02x}|");
            }
            out
        })
    };
    Some(format!(
        "http.host; content:\"{}\"; bsize:{}; http.uri.raw; content:\"{}\"; bsize:{}; ",
        content(host),
        host.len(),
        content(path),
        path.len()
    ))
}
