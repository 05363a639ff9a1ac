//! Objects out of values. Ids are fixed by content, so that a file that comes twice names its objects alike.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    stix::{
        extension,
        id::deterministic,
        marking::Tlp,
        observable::{
            Kind, Observable,
            endpoint::{self, Endpoint},
        },
    },
    time::Timestamp,
};

/// Namespace of the ids that imports make, permanent: another would make every old file news.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f2a_1c0e_93b7_5d44_8a51_be1f_77c0_9d3a);

/// The id of a `kind` that is told by `parts` alone.
pub(super) fn id(kind: &str, parts: &[&str]) -> String {
    let text = json!([kind, parts]).to_string();
    format!("{kind}--{}", Uuid::new_v5(&NAMESPACE, text.as_bytes()))
}

/// Milliseconds: what STIX 2.1 §3.2 has for `created` and `modified`.
pub(super) fn time(at: Timestamp) -> String {
    let text = at.to_string();
    // Six digits and a Z, always; three go.
    text.get(..text.len().saturating_sub(4)).map_or_else(|| text.clone(), |cut| format!("{cut}Z"))
}

/// A value with the text it was written as, where its case or spelling means something.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Item {
    pub(super) observable: Observable,
    /// Of a host, where it was named with one.
    pub(super) port: Option<u16>,
    text: String,
    /// A hash of a certificate, not of a file.
    is_of_certificate: bool,
}

impl Item {
    /// `text` as a `kind`; `None` if it cannot be one. A host with a port is that host, and the port is told beside it.
    pub(super) fn new(kind: Kind, text: &str) -> Option<Self> {
        let with_port = Endpoint::new(kind, text).map(Self::at);
        with_port.or_else(|| Observable::new(kind, text).map(|found| Self::of(found, text)))
    }

    /// What `text` names, where nothing says what it is.
    pub(super) fn guess(text: &str) -> Option<Self> {
        match Observable::guess(text) {
            Some(found) => Some(Self::of(found, text)),
            None => Endpoint::guess(text).map(Self::at),
        }
    }

    /// The fingerprint of a certificate, by a hash of `kind`.
    pub(super) fn certificate(kind: Kind, text: &str) -> Option<Self> {
        let found = Observable::new(kind, text)?;
        Some(Self { is_of_certificate: true, ..Self::of(found, text) })
    }

    /// With a port behind it, if there is one.
    pub(super) fn at_port(self, port: Option<u16>) -> Self {
        Self { port: port.or(self.port), ..self }
    }

    fn at(Endpoint { host, port }: Endpoint) -> Self {
        let text = host.value().to_owned();
        Self::of(host, &text).at_port(Some(port))
    }

    /// A value that was found as `text`.
    pub(super) fn of(observable: Observable, text: &str) -> Self {
        let text = match observable.kind() {
            Kind::FileName | Kind::Mutex | Kind::RegistryKey | Kind::Ssdeep => text.trim().to_owned(),
            _ => observable.value().to_owned(),
        };
        Self { observable, port: None, text, is_of_certificate: false }
    }

    /// What people read: the value, with its port.
    pub(super) fn name(&self) -> String {
        match self.port {
            Some(port) => endpoint::written(&self.observable, port),
            None => self.observable.value().to_owned(),
        }
    }

    /// Whether it is told of a file.
    pub(super) fn is_of_file(&self) -> bool {
        let kind = self.observable.kind();
        !self.is_of_certificate && (kind == Kind::FileName || hash_name(kind).is_some())
    }

    /// STIX's property of the value, as a pattern writes it.
    fn path(&self) -> Option<String> {
        Some(match self.observable.kind() {
            Kind::Ipv4 => "ipv4-addr:value".to_owned(),
            Kind::Ipv6 => "ipv6-addr:value".to_owned(),
            Kind::Domain => "domain-name:value".to_owned(),
            Kind::Url => "url:value".to_owned(),
            Kind::Email => "email-addr:value".to_owned(),
            Kind::Mac => "mac-addr:value".to_owned(),
            Kind::Asn => "autonomous-system:number".to_owned(),
            Kind::FileName => "file:name".to_owned(),
            Kind::Mutex => "mutex:name".to_owned(),
            Kind::RegistryKey => "windows-registry-key:key".to_owned(),
            Kind::Md5 | Kind::Sha1 | Kind::Sha256 | Kind::Sha512 | Kind::Ssdeep | Kind::Tlsh => {
                let of = if self.is_of_certificate { "x509-certificate" } else { "file" };
                format!("{of}:hashes.'{}'", hash_name(self.observable.kind())?)
            }
            Kind::Cve => return None,
        })
    }

    /// A pattern of one observation, which every consumer reads. `None` for what is no observable.
    pub(super) fn pattern(&self) -> Option<String> {
        let path = self.path()?;
        Some(match self.observable.kind() {
            Kind::Asn => format!("[{path} = {}]", self.text),
            _ => format!("[{path} = '{}']", escaped(&self.text)),
        })
    }

    /// The observable object. `None` for what is none.
    pub(super) fn object(&self) -> Option<Map<String, Value>> {
        let kind = self.observable.kind();
        let (name, properties) = match kind {
            Kind::Ipv4 | Kind::Ipv6 | Kind::Domain | Kind::Url | Kind::Email | Kind::Mac => {
                (kind.as_str(), json!({ "value": self.text }))
            }
            Kind::Asn => (kind.as_str(), json!({ "number": self.text.parse::<u64>().ok()? })),
            Kind::Mutex => (kind.as_str(), json!({ "name": self.text })),
            Kind::RegistryKey => (kind.as_str(), json!({ "key": self.text })),
            Kind::FileName => ("file", json!({ "name": self.text })),
            Kind::Cve => return None,
            _ => {
                let of = if self.is_of_certificate { "x509-certificate" } else { "file" };
                (of, json!({ "hashes": { hash_name(kind)?: self.text } }))
            }
        };
        observable(name, properties)
    }
}

/// A file with all that is known of it.
pub(super) fn file(items: &[&Item]) -> Option<Map<String, Value>> {
    let mut hashes = Map::new();
    let mut properties = Map::new();
    for item in items {
        match hash_name(item.observable.kind()) {
            Some(name) => _ = hashes.entry(name).or_insert_with(|| json!(item.text)),
            None => _ = properties.entry("name").or_insert_with(|| json!(item.text)),
        }
    }
    if !hashes.is_empty() {
        properties.insert("hashes".to_owned(), Value::Object(hashes));
    }
    observable("file", Value::Object(properties))
}

/// STIX 2.1 §10.3.
fn hash_name(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Md5 => "MD5",
        Kind::Sha1 => "SHA-1",
        Kind::Sha256 => "SHA-256",
        Kind::Sha512 => "SHA-512",
        Kind::Ssdeep => "SSDEEP",
        Kind::Tlsh => "TLSH",
        _ => return None,
    })
}

fn observable(kind: &str, properties: Value) -> Option<Map<String, Value>> {
    let Value::Object(mut object) = properties else { return None };
    let id = deterministic(kind, &object)?;
    object.insert("type".to_owned(), json!(kind));
    object.insert("spec_version".to_owned(), json!("2.1"));
    object.insert("id".to_owned(), json!(id));
    Some(object)
}

/// A text in a pattern's quotes (STIX 2.1 §9.2).
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "\\'")
}

/// What every domain object of one import shares.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) created: String,
    pub(super) modified: String,
    pub(super) author: Option<String>,
    pub(super) tlp: Option<Tlp>,
    /// The class of information that its author states of what is said.
    pub(super) class: Option<String>,
}

impl Frame {
    /// Of something said at one time.
    pub(super) fn at(when: Timestamp) -> Self {
        Self { created: time(when), modified: time(when), author: None, tlp: None, class: None }
    }

    /// A domain or relationship object.
    pub(super) fn object(&self, kind: &str, id: &str, properties: Value) -> Map<String, Value> {
        let Value::Object(properties) = properties else { return Map::new() };
        // Empty texts and lists say nothing, and STIX has no empty lists.
        let mut object: Map<String, Value> = properties
            .into_iter()
            .filter(|(_, value)| match value {
                Value::Null => false,
                Value::String(text) => !text.is_empty(),
                Value::Array(items) => !items.is_empty(),
                _ => true,
            })
            .collect();
        object.insert("type".to_owned(), json!(kind));
        object.insert("spec_version".to_owned(), json!("2.1"));
        object.insert("id".to_owned(), json!(id));
        object.insert("created".to_owned(), json!(self.created));
        object.insert("modified".to_owned(), json!(self.modified));
        if let Some(author) = &self.author {
            object.insert("created_by_ref".to_owned(), json!(author));
        }
        if let Some(tlp) = self.tlp {
            object.insert("object_marking_refs".to_owned(), json!([tlp.marking_id()]));
        }
        // Of what is said itself, and not of what binds it or is thought of it.
        if matches!(kind, "indicator" | "observed-data" | "vulnerability" | "note" | "report")
            && let Some(class) = &self.class
        {
            object.insert("extensions".to_owned(), extension::of("information_class", json!(class)));
        }
        object
    }

    /// "`source` `kind` `target`".
    pub(super) fn relationship(&self, kind: &str, source: &str, target: &str) -> Map<String, Value> {
        let id = id("relationship", &[kind, source, target]);
        let properties = json!({"relationship_type": kind, "source_ref": source, "target_ref": target});
        self.object("relationship", &id, properties)
    }

    /// A vulnerability by its CVE number.
    pub(super) fn vulnerability(&self, cve: &str, description: &str) -> Map<String, Value> {
        let properties = json!({
            "name": cve, "description": description,
            "external_references": [{"source_name": "cve", "external_id": cve}],
        });
        self.object("vulnerability", &id("vulnerability", &[cve]), properties)
    }
}

/// The id in an object.
pub(super) fn id_of(object: &Map<String, Value>) -> String {
    object.get("id").and_then(Value::as_str).unwrap_or_default().to_owned()
}
