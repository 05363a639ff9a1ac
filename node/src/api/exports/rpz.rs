//! A DNS response policy zone: what shall not resolve, or, to look for, what shall be logged.

use std::{fmt::Write as _, net::Ipv6Addr};

use belfry_proto::stix::{egress::Use, observable::Kind};

use super::{Files, TEXT};
use crate::query::{Entry, Snapshot};

/// Room that a zone's own name needs beside the longest name in it (RFC 1035 §2.3.4).
const MAX_NAME: usize = 200;
/// The answer as it is.
const PASS: &str = "rpz-passthru.";

pub(super) fn render(snapshot: &Snapshot, serial: u32) -> Files {
    let mut files = Files::default();
    // NXDOMAIN, or the answer as it is with a line in the resolver's log.
    let is_blocking = snapshot.export.policy.purpose == Use::Block;
    let action = if is_blocking { "." } else { PASS };
    let mut zone = format!(
        "$TTL 300\n@ IN SOA localhost. root.localhost. {serial} 300 60 604800 300\n@ IN NS localhost.\n"
    );
    for entry in &snapshot.entries {
        match owner(entry) {
            Some(owner) => {
                let _ = writeln!(zone, "{owner} CNAME {action}");
                if entry.observable.kind() == Kind::Domain {
                    let _ = writeln!(zone, "*.{owner} CNAME {action}");
                }
            }
            None => files.unwritable += 1,
        }
    }
    // The nearest name counts: what is allowed below a listed domain goes on resolving.
    let spared = snapshot.spared.iter().filter(|name| is_blocking && is_name(name));
    for name in spared {
        let _ = writeln!(zone, "{name} CNAME {PASS}\n*.{name} CNAME {PASS}");
    }
    files.put_main(format!("{}.zone", snapshot.export.name), TEXT, zone);
    files
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
