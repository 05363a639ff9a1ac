//! Observables: the values a SOC looks for, in one spelling each.
//!
//! The blind index finds a value only if the publisher's and the searcher's text come out alike, so both
//! go through [`Observable::new`]: defanging undone, case folded where case means nothing, addresses and
//! host names in canonical form. What cannot be normalised is not indexed; the object stays as it is.

pub mod around;
pub mod endpoint;
pub mod find;
mod host;
mod normalise;
pub mod pattern;
mod schemeless;

pub use self::normalise::refang;

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde_json::{Map, Value};

use crate::stix::object::Object;

/// Observables taken from one object; a block list in one pattern has some thousands.
pub const MAX_OBSERVABLES: usize = 4096;

/// What an observable is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// IPv4 address, or range as `a.b.c.d/n`.
    Ipv4,
    /// IPv6 address or range.
    Ipv6,
    /// Host name, in lower case, international ones in ASCII form.
    Domain,
    /// With its scheme; one without is read as HTTP's, and a host alone as that host.
    Url,
    /// Address of a mailbox.
    Email,
    /// As `00:00:5e:00:53:01`.
    Mac,
    /// Number of an autonomous system.
    Asn,
    /// Hex.
    Md5,
    /// Hex.
    Sha1,
    /// Hex.
    Sha256,
    /// Hex.
    Sha512,
    /// Fuzzy hash; compared as a whole.
    Ssdeep,
    /// Fuzzy hash; compared as a whole.
    Tlsh,
    /// Name without folder, in lower case: Windows folds it, and most malware runs there.
    FileName,
    /// Byte for byte.
    Mutex,
    /// With the long name of its hive, in lower case.
    RegistryKey,
    /// As `CVE-2026-0001`.
    Cve,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 17] = [
        Self::Ipv4,
        Self::Ipv6,
        Self::Domain,
        Self::Url,
        Self::Email,
        Self::Mac,
        Self::Asn,
        Self::Md5,
        Self::Sha1,
        Self::Sha256,
        Self::Sha512,
        Self::Ssdeep,
        Self::Tlsh,
        Self::FileName,
        Self::Mutex,
        Self::RegistryKey,
        Self::Cve,
    ];

    /// Stable name, for API and index: STIX's type where there is one.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4-addr",
            Self::Ipv6 => "ipv6-addr",
            Self::Domain => "domain-name",
            Self::Url => "url",
            Self::Email => "email-addr",
            Self::Mac => "mac-addr",
            Self::Asn => "autonomous-system",
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
            Self::Ssdeep => "ssdeep",
            Self::Tlsh => "tlsh",
            Self::FileName => "file-name",
            Self::Mutex => "mutex",
            Self::RegistryKey => "windows-registry-key",
            Self::Cve => "cve",
        }
    }

    /// The kind of a hash by its name in STIX (`SHA-256`) or elsewhere (`sha256`).
    fn of_hash(name: &str) -> Option<Self> {
        let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
        match name.to_ascii_lowercase().as_str() {
            "md5" => Some(Self::Md5),
            "sha1" => Some(Self::Sha1),
            "sha256" => Some(Self::Sha256),
            "sha512" => Some(Self::Sha512),
            "ssdeep" => Some(Self::Ssdeep),
            "tlsh" => Some(Self::Tlsh),
            _ => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that is not one of [`Kind`]'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a kind of observable, such as ipv4-addr, domain-name, url or sha256")]
pub struct KindError;

impl FromStr for Kind {
    type Err = KindError;

    fn from_str(text: &str) -> Result<Self, KindError> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(KindError)
    }
}

/// A normalised value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Observable {
    kind: Kind,
    value: String,
}

impl Observable {
    /// Normalises `text` as a `kind`; the result's kind may differ (an address given as a host name, a host alone as a URL).
    ///
    /// `None` if `text` cannot be one.
    #[must_use]
    pub fn new(kind: Kind, text: &str) -> Option<Self> {
        let (kind, value) = normalise::normalise(kind, text)?;
        Some(Self { kind, value })
    }

    /// What `text`, pasted without saying what it is, most likely names.
    #[must_use]
    pub fn guess(text: &str) -> Option<Self> {
        normalise::guess(text).map(|(kind, value)| Self { kind, value })
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// In normal form.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }
}

/// The kind only: values must not reach a log.
impl fmt::Debug for Observable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Observable({})", self.kind)
    }
}

/// The observables `object` is or speaks of, sorted, each once, at most [`MAX_OBSERVABLES`].
///
/// Observables themselves, indicators with a STIX pattern, observed data in its old form, and the CVE
/// numbers of vulnerabilities.
#[must_use]
pub fn extract(object: &Object) -> Vec<Observable> {
    let mut found = Found::default();
    match object.kind() {
        "indicator" => found.indicator(object.raw()),
        "vulnerability" => found.vulnerability(&object.properties()),
        "observed-data" => {
            let properties = object.properties();
            let objects = properties.get("objects").and_then(Value::as_object);
            for nested in objects.into_iter().flat_map(Map::values).filter_map(Value::as_object) {
                found.observable(nested.get("type").and_then(Value::as_str).unwrap_or_default(), nested);
            }
        }
        kind if object.is_observable() => found.observable(kind, &object.properties()),
        _ => {}
    }
    found.0.into_iter().collect()
}

#[derive(Default)]
struct Found(BTreeSet<Observable>);

impl Found {
    fn add(&mut self, observable: Option<Observable>) {
        if self.0.len() < MAX_OBSERVABLES {
            self.0.extend(observable);
        }
    }

    fn text(&mut self, kind: Kind, value: Option<&Value>) {
        self.add(value.and_then(Value::as_str).and_then(|text| Observable::new(kind, text)));
    }

    fn observable(&mut self, kind: &str, properties: &Map<String, Value>) {
        let property = |name: &str| properties.get(name);
        match kind {
            "ipv4-addr" | "ipv6-addr" => self.text(Kind::Ipv4, property("value")),
            "domain-name" => self.text(Kind::Domain, property("value")),
            "url" => self.text(Kind::Url, property("value")),
            "email-addr" => self.text(Kind::Email, property("value")),
            "mac-addr" => self.text(Kind::Mac, property("value")),
            "mutex" => self.text(Kind::Mutex, property("name")),
            "windows-registry-key" => self.text(Kind::RegistryKey, property("key")),
            "autonomous-system" => {
                let number = property("number").and_then(Value::as_u64);
                self.add(number.and_then(|n| Observable::new(Kind::Asn, &n.to_string())));
            }
            "file" | "artifact" | "x509-certificate" => {
                for (name, value) in property("hashes").and_then(Value::as_object).into_iter().flatten() {
                    if let Some(kind) = Kind::of_hash(name) {
                        self.text(kind, Some(value));
                    }
                }
                if kind == "file" {
                    self.text(Kind::FileName, property("name"));
                }
            }
            _ => {}
        }
    }

    fn indicator(&mut self, raw: &[u8]) {
        // Indicators are most of what comes: two properties are read without building the object's tree.
        #[derive(serde::Deserialize)]
        struct Indicator {
            pattern_type: String,
            pattern: String,
        }
        let Ok(Indicator { pattern_type, pattern }) = serde_json::from_slice(raw) else { return };
        if pattern_type != "stix" {
            return;
        }
        for comparison in pattern::parse(&pattern).unwrap_or_default() {
            for value in comparison.wanted() {
                self.add(compared(comparison.path(), value));
            }
        }
    }

    fn vulnerability(&mut self, properties: &Map<String, Value>) {
        self.text(Kind::Cve, properties.get("name"));
        let references = properties.get("external_references").and_then(Value::as_array);
        for reference in references.into_iter().flatten() {
            self.text(Kind::Cve, reference.get("external_id"));
        }
    }
}

/// What a value is that stands at a path of a pattern.
enum Meant {
    A(Kind),
    /// `dst_ref.value`, `resolves_to_refs[*].value`: what lies behind the reference shows in the value alone.
    Guessed,
}

impl Meant {
    fn at(path: &str) -> Option<Self> {
        Some(Self::A(match path {
            "ipv4-addr:value" | "ipv6-addr:value" => Kind::Ipv4,
            "domain-name:value" => Kind::Domain,
            "url:value" => Kind::Url,
            "email-addr:value" => Kind::Email,
            "mac-addr:value" => Kind::Mac,
            "autonomous-system:number" => Kind::Asn,
            "file:name" => Kind::FileName,
            "mutex:name" => Kind::Mutex,
            "windows-registry-key:key" => Kind::RegistryKey,
            _ => {
                let (kind, property) = path.split_once(':')?;
                let behind = behind(property);
                if let Some(hash) = behind.map_or(property, |(_, last)| last).strip_prefix("hashes.") {
                    Kind::of_hash(hash)?
                } else {
                    match behind {
                        Some((_, "value")) => return Some(Self::Guessed),
                        Some((reference, "name")) if FILES.contains(&reference) => Kind::FileName,
                        _ if matches!(kind, "network-traffic" | "email-message")
                            && property.ends_with(".value") =>
                        {
                            return Some(Self::Guessed);
                        }
                        _ => return None,
                    }
                }
            }
        }))
    }
}

/// References behind which a file lies, or its content (STIX 2.1 §6).
const FILES: [&str; 10] = [
    "body_raw_ref",
    "contains_refs",
    "content_ref",
    "dst_payload_ref",
    "image_ref",
    "message_body_data_ref",
    "raw_email_ref",
    "sample_ref",
    "service_dll_refs",
    "src_payload_ref",
];

/// The last reference that a property's path goes through, and what is compared behind it: `resolves_to_refs` and `value`.
fn behind(property: &str) -> Option<(&str, &str)> {
    let mut found = None;
    let mut begin = 0;
    for (at, _) in property.match_indices('.') {
        let step = property.get(begin..at)?;
        begin = at + 1;
        if step.ends_with("_ref") || step.ends_with("_refs") {
            found = Some((step, property.get(begin..)?));
        }
    }
    found
}

/// Whether a file, or its content, has what a property's path ends with.
pub(super) fn is_of_file(property: &str) -> bool {
    behind(property).is_some_and(|(reference, _)| FILES.contains(&reference))
}

/// What a pattern's comparison of `path` with `value` looks for.
pub(super) fn compared(path: &str, value: &str) -> Option<Observable> {
    match Meant::at(path)? {
        Meant::A(kind) => Observable::new(kind, value),
        Meant::Guessed => Observable::guess(value),
    }
}

/// Whether values are known that may stand at `path`, however a comparison is made with them; also behind a reference that is
/// not followed here.
pub(super) fn is_compared(path: &str) -> bool {
    let is_behind =
        || path.ends_with("_ref.value") || path.ends_with("_refs.value") || path.contains("_ref.hashes.");
    Meant::at(path).is_some() || is_behind()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(kind: &str, more: &Value) -> Vec<String> {
        let mut object = json!({"type": kind, "spec_version": "2.1", "id": format!("{kind}--298fe907-7931-4fd2-8131-2814dd493134"),
            "created": "2026-11-23T10:00:00.000Z", "modified": "2026-11-23T10:00:00.000Z", "name": "n", "number_observed": 1,
            "pattern_type": "stix", "valid_from": "2026-11-23T10:00:00.000Z", "first_observed": "2026-11-23T10:00:00Z",
            "last_observed": "2026-11-23T10:00:00Z"});
        object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let object = Object::parse(&serde_json::to_vec(&object).unwrap()).unwrap();
        extract(&object).iter().map(|o| format!("{} {}", o.kind(), o.value())).collect()
    }

    #[test]
    fn observables_give_their_values() {
        assert_eq!(of("ipv4-addr", &json!({"value": "198.51.100.7"})), ["ipv4-addr 198.51.100.7"]);
        assert_eq!(of("url", &json!({"value": "hxxp://Evil[.]example"})), ["url http://evil.example/"]);
        assert_eq!(of("url", &json!({"value": "smallcloud.ga"})), ["domain-name smallcloud.ga"]);
        assert_eq!(of("url", &json!({"value": "report.doc"})), [""; 0]);
        assert_eq!(of("autonomous-system", &json!({"number": 64500})), ["autonomous-system 64500"]);
        let file =
            json!({"name": "Evil.EXE", "hashes": {"SHA-256": "AB".repeat(32), "MD5": "too short", "x": "y"}});
        assert_eq!(of("file", &file), [format!("sha256 {}", "ab".repeat(32)), "file-name evil.exe".into()]);
        assert_eq!(of("identity", &json!({"name": "198.51.100.7"})), Vec::<String>::new());
    }

    #[test]
    fn patterns_give_what_they_look_for_and_not_what_they_exclude() {
        let pattern = "[ipv4-addr:value = '198.51.100.7' OR domain-name:value IN ('a.example', 'B.example.')] \
            FOLLOWEDBY [file:hashes.'SHA-1' = 'DA39A3EE5E6B4B0D3255BFEF95601890AFD80709' AND file:name != 'x'] \
            AND [network-traffic:dst_ref.value = '2001:DB8::0:1' AND network-traffic:dst_port = 443] \
            OR [url:value NOT = 'http://good.example/' OR url:value LIKE 'http://%']";
        assert_eq!(
            of("indicator", &json!({"pattern": pattern})),
            [
                "ipv4-addr 198.51.100.7",
                "ipv6-addr 2001:db8::1",
                "domain-name a.example",
                "domain-name b.example",
                "sha1 da39a3ee5e6b4b0d3255bfef95601890afd80709",
            ]
        );
        assert_eq!(
            of("indicator", &json!({"pattern": "[ipv4-addr:value ISSUBSET '198.51.100.9/24']"})),
            ["ipv4-addr 198.51.100.0/24"]
        );
        assert!(of("indicator", &json!({"pattern": "alert tcp", "pattern_type": "snort"})).is_empty());
        // As MISP's converter to STIX writes a domain and its address, a mail's attachment and what a process runs.
        let behind = format!(
            "[domain-name:value = 'a.example' AND domain-name:resolves_to_refs[*].value = '198.51.100.7' \
             AND email-message:body_multipart[0].body_raw_ref.name = 'Bill.doc' AND process:image_ref.hashes.MD5 = '{}' \
             AND process:opened_connection_refs[*].dst_ref.value = '2001:db8::1' AND process:image_ref.name = 'x.exe' \
             AND process:creator_user_ref.name = 'y.exe' AND file:parent_directory_ref.path = '/a.example']",
            "AB".repeat(16)
        );
        assert_eq!(
            of("indicator", &json!({ "pattern": behind })),
            [
                "ipv4-addr 198.51.100.7".to_owned(),
                "ipv6-addr 2001:db8::1".to_owned(),
                "domain-name a.example".to_owned(),
                format!("md5 {}", "ab".repeat(16)),
                "file-name bill.doc".to_owned(),
                "file-name x.exe".to_owned(),
            ]
        );
        // As MISP's converter writes attributes of type `url`, which often lack the scheme.
        let schemeless =
            "[url:value = 'smallcloud.ga' OR url:value = 'evil.example/a' OR url:value = 'report.doc']";
        assert_eq!(
            of("indicator", &json!({ "pattern": schemeless })),
            ["domain-name smallcloud.ga", "url http://evil.example/a"]
        );
        assert!(of("indicator", &json!({"pattern": "[broken"})).is_empty());
    }

    #[test]
    fn old_observed_data_and_vulnerabilities_are_read() {
        let objects =
            json!({"objects": {"0": {"type": "domain-name", "value": "a.example"}, "1": {"type": "x"}}});
        assert_eq!(of("observed-data", &objects), ["domain-name a.example"]);
        let cve = json!({"name": "Bad one", "external_references": [{"source_name": "cve", "external_id": "cve-2026-0001"}]});
        assert_eq!(of("vulnerability", &cve), ["cve CVE-2026-0001"]);
    }

    #[test]
    fn a_block_list_in_one_pattern_is_bounded() {
        let list: Vec<_> = (0..6000).map(|n| format!("'198.51.{}.{}'", n / 256, n % 256)).collect();
        let pattern = format!("[ipv4-addr:value IN ({})]", list.join(","));
        assert_eq!(of("indicator", &json!({"pattern": pattern})).len(), MAX_OBSERVABLES);
    }

    #[test]
    fn debug_shows_no_value() {
        assert_eq!(format!("{:?}", Observable::guess("198.51.100.7").unwrap()), "Observable(ipv4-addr)");
    }
}
