//! Zeek's intelligence framework: tab-separated, `-` for what is not said.

use std::fmt::Write as _;

use belfry_proto::stix::{egress::Use, indicator::Bearer, neutral, observable::Kind};

use super::{Files, TEXT};
use crate::query::{Entry, Snapshot};

const FIELDS: &str = "#fields\tindicator\tindicator_type\tmeta.source\tmeta.desc\tmeta.url\tmeta.do_notice\n";

pub(super) fn render(snapshot: &Snapshot) -> Files {
    let mut files = Files::default();
    let mut text = FIELDS.to_owned();
    let notice = if snapshot.export.policy.purpose == Use::Detect { "T" } else { "F" };
    for entry in &snapshot.entries {
        match row(entry) {
            Some((value, kind)) => {
                let desc = if entry.name.is_empty() { "-" } else { &entry.name };
                let desc = desc.replace('\t', " ");
                let _ = writeln!(text, "{value}\tIntel::{kind}\tbelfry\t{desc}\t-\t{notice}");
            }
            None => files.unwritable += 1,
        }
    }
    files.put_main(format!("{}.dat", snapshot.export.name), TEXT, text);
    files
}

fn row(entry: &Entry) -> Option<(String, &'static str)> {
    let value = entry.observable.value();
    let (value, kind) = match entry.observable.kind() {
        Kind::Ipv4 | Kind::Ipv6 if value.contains('/') => (value.to_owned(), "SUBNET"),
        Kind::Ipv4 | Kind::Ipv6 => (value.to_owned(), "ADDR"),
        Kind::Domain => (value.to_owned(), "DOMAIN"),
        // Zeek logs URLs without their scheme.
        Kind::Url => (neutral::url(value).split_once("://")?.1.to_owned(), "URL"),
        Kind::Email => (value.to_owned(), "EMAIL"),
        Kind::Sha1 if entry.bearer == Bearer::Certificate => (value.to_owned(), "CERT_HASH"),
        Kind::Md5 | Kind::Sha1 | Kind::Sha256 => (value.to_owned(), "FILE_HASH"),
        Kind::FileName => (value.to_owned(), "FILE_NAME"),
        _ => return None,
    };
    // `#` begins a comment, `-` and `(empty)` are words of the format.
    let is_word = value.starts_with('#') || value == "-" || value == "(empty)";
    (neutral::is_plain(&value) && !is_word).then_some((value, kind))
}
