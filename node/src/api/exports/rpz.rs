//! A DNS response policy zone: what shall not resolve, or, to look for, what shall be logged.

use std::{collections::BTreeMap, fmt::Write as _, net::Ipv6Addr};

use belfry_proto::stix::{
    egress::Use,
    observable::{Kind, around},
};

use super::{Files, TEXT};
use crate::query::{Entry, Snapshot};

/// Room that a zone's own name needs beside the longest name in it (RFC 1035 §2.3.4).
const MAX_NAME: usize = 200;
/// The answer as it is.
const PASS: &str = "rpz-passthru.";
/// Said of names that are listed for what lies around them.
const BETWEEN: &str = "between two names";

pub(super) fn render(snapshot: &Snapshot, serial: u32) -> Files {
    let mut files = Files::default();
    // NXDOMAIN, or the answer as it is with a line in the resolver's log.
    let is_blocking = snapshot.export.policy.purpose == Use::Block;
    let action = if is_blocking { "." } else { PASS };
    let mut zone = format!(
        "$TTL 300\n@ IN SOA localhost. root.localhost. {serial} 300 60 604800 300\n@ IN NS localhost.\n"
    );
    let mut names: Vec<(&str, &str)> = Vec::new();
    for entry in &snapshot.entries {
        let value = entry.observable.value();
        match owner(entry) {
            Some(_) if entry.observable.kind() == Kind::Domain => names.push((value, action)),
            Some(owner) => _ = writeln!(zone, "{owner} CNAME {action}"),
            None => files.unwritable += 1,
        }
    }
    // The nearest name counts: what is allowed below a listed domain goes on resolving.
    let spared = snapshot.spared.iter().filter(|name| is_blocking && is_name(name));
    names.extend(spared.map(|name| (name.as_str(), PASS)));
    for (name, action) in &names {
        let _ = writeln!(zone, "{name} CNAME {action}");
        // Below a public suffix everybody has names.
        if around::registrable(name).is_some() {
            let _ = writeln!(zone, "*.{name} CNAME {action}");
        }
    }
    for (name, action) in between(&names.into_iter().collect()) {
        let _ = writeln!(zone, "{name} CNAME {action} ; {BETWEEN}\n*.{name} CNAME {action} ; {BETWEEN}");
    }
    files.put_main(format!("{}.zone", snapshot.export.name), TEXT, zone);
    files
}

/// Names between two of these, by what the nearest one above them says: a zone that has a name has those above it, too, and no
/// asterisk speaks for a name that is there (RFC 4592 §2.2.2).
fn between<'a>(names: &BTreeMap<&'a str, &'static str>) -> BTreeMap<&'a str, &'static str> {
    let mut found = BTreeMap::new();
    for &name in names.keys() {
        let mut passed = Vec::new();
        for above in around::above(name) {
            if let Some(action) = names.get(above) {
                // What its asterisk does not speak for, nobody does.
                let speaks = around::registrable(above).is_some();
                found.extend(passed.into_iter().filter(|_| speaks).map(|name| (name, *action)));
                break;
            }
            passed.push(above);
        }
    }
    found
}

fn is_name(value: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    value.len() <= MAX_NAME && value.bytes().all(is_plain)
}

fn owner(entry: &Entry) -> Option<String> {
    let value = entry.observable.value();
    match entry.observable.kind() {
        Kind::Domain => is_name(value).then(|| value.to_owned()),
        Kind::Ipv4 => {
            let (address, prefix) = value.split_once('/').unwrap_or((value, "32"));
            let octets: Vec<&str> = address.rsplit('.').collect();
            Some(format!("{prefix}.{}.rpz-ip", octets.join(".")))
        }
        Kind::Ipv6 => {
            let (address, prefix) = value.split_once('/').unwrap_or((value, "128"));
            let address: Ipv6Addr = address.parse().ok()?;
            let words = address.to_string().replace("::", ":zz:");
            let words: Vec<&str> = words.rsplit(':').filter(|word| !word.is_empty()).collect();
            Some(format!("{prefix}.{}.rpz-ip", words.join(".")))
        }
        _ => None,
    }
}
