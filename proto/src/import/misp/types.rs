//! MISP's attribute types, as far as they name what STIX has.

use super::super::{Why, make::Item};
use crate::stix::{neutral, observable::Kind};

/// What an attribute of a type is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Values, separated by `|` where there are several; `None` stands for a part that is only context.
    Values(&'static [Option<Kind>]),
    /// The hash of a certificate.
    Certificate(Kind),
    /// Where to read more.
    Link,
    /// A detection rule in the language named as STIX's pattern types are.
    Rule(&'static str),
    /// Text for people.
    Prose,
}

/// What attributes of `kind` are; `None` for what tells nothing to look for, or nothing STIX has a place for.
pub(super) fn meaning(kind: &str) -> Option<Meaning> {
    use Kind::{
        Asn, Cve, Domain, Email, FileName, Ipv4, Mac, Md5, Mutex, RegistryKey, Sha1, Sha256, Sha512, Ssdeep,
        Tlsh, Url,
    };
    use Meaning::Values;
    Some(match kind {
        "ip-src" | "ip-dst" => Values(&[Some(Ipv4)]),
        "ip-src|port" | "ip-dst|port" => Values(&[Some(Ipv4), None]),
        "domain" | "hostname" => Values(&[Some(Domain)]),
        "hostname|port" => Values(&[Some(Domain), None]),
        "domain|ip" => Values(&[Some(Domain), Some(Ipv4)]),
        "url" | "uri" => Values(&[Some(Url)]),
        "email"
        | "email-src"
        | "email-dst"
        | "email-reply-to"
        | "target-email"
        | "whois-registrant-email" => Values(&[Some(Email)]),
        "mac-address" => Values(&[Some(Mac)]),
        "AS" => Values(&[Some(Asn)]),
        "md5" => Values(&[Some(Md5)]),
        "sha1" => Values(&[Some(Sha1)]),
        "sha256" => Values(&[Some(Sha256)]),
        "sha512" => Values(&[Some(Sha512)]),
        "x509-fingerprint-md5" => Meaning::Certificate(Md5),
        "x509-fingerprint-sha1" => Meaning::Certificate(Sha1),
        "x509-fingerprint-sha256" => Meaning::Certificate(Sha256),
        "ssdeep" => Values(&[Some(Ssdeep)]),
        "tlsh" => Values(&[Some(Tlsh)]),
        "filename" => Values(&[Some(FileName)]),
        "filename|md5" | "malware-sample" => Values(&[Some(FileName), Some(Md5)]),
        "filename|sha1" => Values(&[Some(FileName), Some(Sha1)]),
        "filename|sha256" => Values(&[Some(FileName), Some(Sha256)]),
        "filename|sha512" => Values(&[Some(FileName), Some(Sha512)]),
        "filename|ssdeep" => Values(&[Some(FileName), Some(Ssdeep)]),
        "filename|tlsh" => Values(&[Some(FileName), Some(Tlsh)]),
        "mutex" => Values(&[Some(Mutex)]),
        "regkey" => Values(&[Some(RegistryKey)]),
        "regkey|value" => Values(&[Some(RegistryKey), None]),
        "vulnerability" => Values(&[Some(Cve)]),
        "link" => Meaning::Link,
        "yara" => Meaning::Rule("yara"),
        "sigma" => Meaning::Rule("sigma"),
        "snort" => Meaning::Rule("snort"),
        "text" | "comment" | "other" => Meaning::Prose,
        _ => return None,
    })
}

/// The kind that a word in a table stands for: belfry's own names, MISP's, and what is usual.
fn kind_of(word: &str) -> Option<Kind> {
    let lower = word_of(word);
    // `ip-dst|port`, `ip:port`: the host is what is looked for.
    let host = ["|port", ":port"].iter().find_map(|end| lower.strip_suffix(end));
    let lower = host.unwrap_or(&lower);
    if let Ok(kind) = lower.parse() {
        return Some(kind);
    }
    match lower {
        "ip" | "ipv4" | "ipv6" | "ip-address" | "address" | "addr" | "cidr" => Some(Kind::Ipv4),
        "domain-name" | "fqdn" | "host" => Some(Kind::Domain),
        "uri" | "link" => Some(Kind::Url),
        "e-mail" | "mail" | "email-address" | "emailaddress" => Some(Kind::Email),
        "sha-1" | "filehash-sha1" => Some(Kind::Sha1),
        "sha-256" | "filehash-sha256" => Some(Kind::Sha256),
        "sha-512" | "filehash-sha512" => Some(Kind::Sha512),
        "filehash-md5" => Some(Kind::Md5),
        "as" | "asn" => Some(Kind::Asn),
        "file" | "file-name" => Some(Kind::FileName),
        "mac" => Some(Kind::Mac),
        "registry-key" => Some(Kind::RegistryKey),
        _ => match meaning(lower)? {
            Meaning::Values([Some(kind)]) => Some(*kind),
            _ => None,
        },
    }
}

fn word_of(text: &str) -> String {
    text.trim().to_ascii_lowercase().replace([' ', '_'], "-")
}

/// The item that `value` is in a table that calls it a `word`.
pub(in crate::import) fn item(word: &str, value: &str) -> Result<Item, Why> {
    let found = match (meaning(&word_of(word)), kind_of(word)) {
        (Some(Meaning::Certificate(kind)), _) => Item::certificate(kind, value),
        (_, Some(kind)) => Item::new(kind, value),
        (_, None) => return Err(untold(word)),
    };
    found.ok_or_else(|| Why::NotA(brief(word)))
}

/// Why nothing comes of what is of a type.
pub(super) fn untold(kind: &str) -> Why {
    let lower = word_of(kind);
    let is_fingerprint = FINGERPRINTS.contains(&lower.as_str())
        || ["ja3", "ja4", "jarm", "sha3"].iter().any(|of| lower.starts_with(of));
    if is_fingerprint { Why::Fingerprint(brief(kind)) } else { Why::Untranslated(brief(kind)) }
}

/// Types of fingerprints and hashes that neither STIX's patterns in wide use nor belfry's lists name.
const FINGERPRINTS: [&str; 13] = [
    "authentihash",
    "cdhash",
    "favicon-mmh3",
    "hassh-md5",
    "hasshserver-md5",
    "impfuzzy",
    "imphash",
    "pehash",
    "sha224",
    "sha384",
    "sha512/224",
    "sha512/256",
    "telfhash",
];

/// A foreign word, fit to be shown.
pub(super) fn brief(text: &str) -> String {
    neutral::brief(text, 64)
}
