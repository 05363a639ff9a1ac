//! One STIX object: the author's JSON, and the few facts belfry judges it by.

use std::{collections::BTreeSet, fmt};

use serde_json::{Map, Value};

use crate::{
    limits::MAX_OBJECT,
    stix::{
        extension::Stated,
        handling::TermError,
        id,
        minify::{JsonError, minify},
        neutral,
        observable::pattern::PatternError,
        properties,
    },
};

/// Why bytes are not a STIX 2.1 object belfry carries. The author of the object is at fault.
///
/// Names the object, the property and the rule, never the value: it may be shown and logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectError {
    /// The object's id, where one could be read.
    pub id: Option<String>,
    /// The property, as in `external_references[2].source_name`; empty for the object as a whole.
    pub path: String,
    /// The rule it breaks.
    pub rule: Rule,
}

/// A rule an object breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rule {
    /// The bytes are not JSON that every parser reads alike.
    #[error("is not acceptable JSON: {0}")]
    Json(#[from] JsonError),
    /// Longer than [`MAX_OBJECT`] once minified.
    #[error("has {0} bytes, more than the {MAX_OBJECT} of one object")]
    TooLong(usize),
    /// A number that no double holds, or the like.
    #[error("is JSON that cannot be represented")]
    Unrepresentable,
    /// A property the type cannot be without.
    #[error("is missing")]
    Missing,
    /// A property of another form.
    #[error("must {0}")]
    Must(&'static str),
    /// A word that the standard's enumeration does not have.
    #[error("must be a word of {name}: {}", words.join(", "))]
    Word {
        /// The enumeration.
        name: &'static str,
        /// Its words.
        words: &'static [&'static str],
    },
    /// A time that must not come before another of the object's.
    #[error("must not come before {0}")]
    NotBefore(&'static str),
    /// The id of another type's object.
    #[error("must begin with the object's type")]
    OtherType,
    /// A pattern that its own language does not know.
    #[error("is {0}")]
    Pattern(#[from] PatternError),
    /// A term of handling that is none.
    #[error("is no term of handling: {0}")]
    Term(#[from] TermError),
    /// A container in a container.
    #[error("is a bundle, which cannot lie inside a bundle or message")]
    Nested,
}

/// Characters of a path that are told: the standard's longest have some sixty, and names of an author's own may be as
/// long as an object.
const MAX_PATH: usize = 200;

impl std::error::Error for ObjectError {}

impl fmt::Display for ObjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id.as_deref().unwrap_or("object without a usable id"))?;
        f.write_str(if self.path.is_empty() { " " } else { ": " })?;
        if !self.path.is_empty() {
            write!(f, "{} ", neutral::gist(&self.path, MAX_PATH))?;
        }
        self.rule.fmt(f)
    }
}

/// A broken rule before it is known whose.
pub(super) struct Fault {
    path: String,
    rule: Rule,
}

impl Fault {
    pub(super) fn new(path: impl Into<String>, rule: Rule) -> Self {
        Self { path: path.into(), rule }
    }
}

/// A checked STIX 2.1 object.
#[derive(Clone, PartialEq, Eq)]
pub struct Object {
    raw: Vec<u8>,
    id: String,
    kind: String,
    created: Option<String>,
    modified: Option<String>,
    created_by: Option<String>,
    marking_refs: Vec<String>,
    granular_marking_refs: Vec<String>,
    refs: Vec<String>,
    revoked: bool,
    /// Few objects state anything, so it weighs a pointer.
    stated: Option<Box<Stated>>,
}

impl Object {
    /// Minifies, parses and checks one object.
    ///
    /// # Errors
    /// [`ObjectError`] with the first rule it breaks.
    pub fn parse(raw: &[u8]) -> Result<Self, ObjectError> {
        match minify(raw) {
            Ok(minified) => Self::parse_minified(minified),
            Err(e) => Err(ObjectError { id: None, path: String::new(), rule: Rule::Json(e) }),
        }
    }

    /// Parses what [`minify`] has passed, its length excepted.
    pub(super) fn parse_minified(raw: Vec<u8>) -> Result<Self, ObjectError> {
        if raw.len() > MAX_OBJECT {
            let rule = Rule::TooLong(raw.len());
            return Err(ObjectError { id: peek_id(&raw), path: String::new(), rule });
        }
        let parsed = match serde_json::from_slice(&raw) {
            Ok(Value::Object(parsed)) => parsed,
            Ok(_) => {
                return Err(ObjectError {
                    id: None,
                    path: String::new(),
                    rule: Rule::Must("be a JSON object"),
                });
            }
            Err(_) => return Err(ObjectError { id: None, path: String::new(), rule: Rule::Unrepresentable }),
        };
        Self::from_parts(raw, &parsed).map_err(|fault| ObjectError {
            id: parsed.get("id").and_then(Value::as_str).filter(|id| id::is_id(id)).map(str::to_owned),
            path: fault.path,
            rule: fault.rule,
        })
    }

    fn from_parts(raw: Vec<u8>, parsed: &Map<String, Value>) -> Result<Self, Fault> {
        let kind = required_text(parsed, "type")?;
        if kind == "bundle" {
            return Err(Fault::new("", Rule::Nested));
        }
        if !id::is_type(kind) {
            return Err(Fault::new(
                "type",
                Rule::Must("be 3 to 250 lower-case letters, digits and single hyphens"),
            ));
        }
        let id = required_text(parsed, "id")?;
        match id::type_of(id) {
            None => return Err(Fault::new("id", Rule::Must("be the type and a UUID joined by two hyphens"))),
            Some(prefix) if prefix != kind => return Err(Fault::new("id", Rule::OtherType)),
            Some(_) => {}
        }
        properties::check(kind, parsed)?;

        let observable = properties::is_observable(kind);
        let text = |name: &str| parsed.get(name).and_then(Value::as_str).map(str::to_owned);
        let mut refs = BTreeSet::new();
        for (name, value) in parsed {
            collect_refs(name, value, &mut refs);
        }
        Ok(Self {
            id: id.to_owned(),
            kind: kind.to_owned(),
            created: text("created").filter(|_| !observable),
            modified: text("modified").filter(|_| !observable),
            created_by: text("created_by_ref"),
            marking_refs: texts(parsed.get("object_marking_refs")),
            granular_marking_refs: granular(parsed),
            refs: refs.into_iter().collect(),
            revoked: parsed.get("revoked") == Some(&Value::Bool(true)),
            stated: Stated::of(parsed).map(Box::new),
            raw,
        })
    }

    /// `type--uuid`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The `type`.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// What tells two versions apart: `modified`, else `created`, else nothing (observables).
    #[must_use]
    pub fn version(&self) -> &str {
        self.modified().or(self.created()).unwrap_or_default()
    }

    /// When the author says it was made; always there on domain and relationship objects.
    #[must_use]
    pub fn created(&self) -> Option<&str> {
        self.created.as_deref()
    }

    /// When the author says this version was made; always there on domain and relationship objects.
    #[must_use]
    pub fn modified(&self) -> Option<&str> {
        self.modified.as_deref()
    }

    /// Id of the identity that made it.
    #[must_use]
    pub fn created_by(&self) -> Option<&str> {
        self.created_by.as_deref()
    }

    /// Whether its author revoked it.
    #[must_use]
    pub fn revoked(&self) -> bool {
        self.revoked
    }

    /// What its author states of it in belfry's extension, if anything.
    #[must_use]
    pub fn stated(&self) -> Option<&Stated> {
        self.stated.as_deref()
    }

    /// The author's JSON: white space outside strings removed, nothing else touched.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The author's JSON, owned.
    #[must_use]
    pub fn into_raw(self) -> Vec<u8> {
        self.raw
    }

    /// Ids in `object_marking_refs`.
    #[must_use]
    pub fn marking_refs(&self) -> &[String] {
        &self.marking_refs
    }

    /// Ids in `granular_markings`: markings of a part of the object.
    #[must_use]
    pub fn granular_marking_refs(&self) -> &[String] {
        &self.granular_marking_refs
    }

    /// Every id in a `*_ref` or `*_refs` at any depth, markings included; sorted, each once.
    #[must_use]
    pub fn refs(&self) -> &[String] {
        &self.refs
    }

    /// Whether the standard defines its type as an observable.
    #[must_use]
    pub fn is_observable(&self) -> bool {
        properties::is_observable(&self.kind)
    }

    /// The properties, parsed anew: keeping every tree would cost several times the text.
    #[must_use]
    pub fn properties(&self) -> Map<String, Value> {
        serde_json::from_slice(&self.raw).unwrap_or_default()
    }
}

/// Whether the standard defines a type as an observable (STIX 2.1 §6).
#[must_use]
pub fn is_observable(kind: &str) -> bool {
    properties::is_observable(kind)
}

/// Types that everybody speaks of, observables aside: techniques, actors and tools have their ids from public catalogues, and who
/// or where somebody is and how things are marked is nobody's finding.
const EVERYBODYS: [&str; 10] = [
    "attack-pattern",
    "extension-definition",
    "identity",
    "intrusion-set",
    "language-content",
    "location",
    "malware",
    "marking-definition",
    "threat-actor",
    "tool",
];

/// Whether objects of a type say what somebody found, which is that one's to share; else they are everybody's to speak of.
#[must_use]
pub fn is_finding(kind: &str) -> bool {
    !properties::is_observable(kind) && !EVERYBODYS.contains(&kind)
}

/// Id and length only: content must not reach a log.
impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Object({}, {} bytes)", self.id, self.raw.len())
    }
}

fn required_text<'a>(parsed: &'a Map<String, Value>, name: &str) -> Result<&'a str, Fault> {
    match parsed.get(name) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(Fault::new(name, Rule::Must("be a text"))),
        None => Err(Fault::new(name, Rule::Missing)),
    }
}

fn texts(value: Option<&Value>) -> Vec<String> {
    let items = value.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

fn granular(parsed: &Map<String, Value>) -> Vec<String> {
    let entries = parsed.get("granular_markings").and_then(Value::as_array).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.get("marking_ref")?.as_str()?.to_owned())).collect()
}

fn collect_refs(name: &str, value: &Value, refs: &mut BTreeSet<String>) {
    match value {
        Value::String(text)
            if (name.ends_with("_ref") || name.ends_with("_refs"))
                && id::is_id(text)
                && !refs.contains(text) =>
        {
            refs.insert(text.clone());
        }
        Value::Array(items) => items.iter().for_each(|item| collect_refs(name, item, refs)),
        Value::Object(map) => map.iter().for_each(|(name, value)| collect_refs(name, value, refs)),
        _ => {}
    }
}

/// The id of an object too long to parse, without building its tree.
fn peek_id(raw: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Named {
        id: String,
    }
    serde_json::from_slice::<Named>(raw).ok().map(|named| named.id).filter(|text| id::is_id(text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const UUID: &str = "298fe907-7931-4fd2-8131-2814dd493134";

    fn indicator() -> Value {
        json!({
            "type": "indicator", "spec_version": "2.1", "id": format!("indicator--{UUID}"),
            "created": "2026-11-23T10:00:00.000Z", "modified": "2026-11-23T10:00:00.000Z",
            "pattern": "[ipv4-addr:value = '198.51.100.7']", "pattern_type": "stix",
            "valid_from": "2026-11-23T10:00:00Z",
        })
    }

    fn parse(value: &Value) -> Result<Object, ObjectError> {
        Object::parse(&serde_json::to_vec_pretty(value).unwrap())
    }

    /// What is said of an indicator whose property `name` is `value` (null: absent).
    fn complaint(name: &str, value: Value) -> String {
        let mut object = indicator();
        if value.is_null() {
            object.as_object_mut().unwrap().shift_remove(name);
        } else {
            object[name] = value;
        }
        parse(&object).map_or_else(|e| e.to_string(), |_| String::new())
    }

    #[test]
    fn an_object_keeps_its_authors_json() {
        let text = br#" { "type":"x-note", "b": 1.50, "id":"x-note--298FE907-7931-4fd2-8131-2814dd493134","a":"\u00e9" }"#;
        let object = Object::parse(text).unwrap();
        assert_eq!(
            object.raw(),
            br#"{"type":"x-note","b":1.50,"id":"x-note--298FE907-7931-4fd2-8131-2814dd493134","a":"\u00e9"}"#
        );
        assert_eq!((object.kind(), object.version()), ("x-note", ""));
    }

    #[test]
    fn an_error_names_object_property_and_rule() {
        let id = format!("indicator--{UUID}");
        assert_eq!(complaint("pattern", Value::Null), format!("{id}: pattern is missing"));
        assert_eq!(complaint("pattern", json!(3)), format!("{id}: pattern must be a text"));
        assert_eq!(complaint("spec_version", Value::Null), format!("{id}: spec_version is missing"));
        assert_eq!(complaint("spec_version", json!("2.0")), format!("{id}: spec_version must be \"2.1\""));
        assert_eq!(
            complaint("modified", json!("2026-11-23T09:59:59.999Z")),
            format!("{id}: modified must not come before created")
        );
        assert_eq!(
            complaint("valid_until", json!("2026-11-23T10:00:00.0Z")),
            format!("{id}: valid_until must not come before valid_from")
        );
        assert_eq!(
            complaint("external_references", json!([{"source_name": "a"}, {"url": "b"}])),
            format!("{id}: external_references[1].source_name is missing")
        );
        assert_eq!(
            complaint("type", json!("malware")),
            format!("{id}: id must begin with the object's type")
        );
        assert_eq!(complaint("id", Value::Null), "object without a usable id: id is missing");
        assert_eq!(
            Object::parse(b"{\"type\":\"a").unwrap_err().to_string(),
            "object without a usable id is not acceptable JSON: byte 10: expected the end of a string"
        );
    }

    #[test]
    fn a_propertys_name_of_somebodys_own_neither_fills_nor_forges_a_log() {
        let mut object = indicator();
        object[format!("a\n2026 INFO all is well{}_ref", "x".repeat(100_000))] = json!("nothing");
        let said = parse(&object).unwrap_err().to_string();
        assert!(said.len() < 500 && !said.contains('\n'), "{} bytes", said.len());
        assert!(said.contains("a\\u{a}2026") && said.contains("_ref must be an id"), "{said}");
    }

    #[test]
    fn malformed_common_properties_are_refused() {
        for (name, value) in [
            ("created", json!("2026-11-23T10:00:00+01:00")),
            ("created", Value::Null),
            ("modified", Value::Null),
            ("valid_from", json!("yesterday")),
            ("created_by_ref", json!("acme")),
            ("object_marking_refs", json!([format!("identity--{UUID}")])),
            ("object_marking_refs", json!("marking")),
            ("granular_markings", json!([{"selectors": ["name"]}])),
            ("granular_markings", json!([{"marking_ref": format!("marking-definition--{UUID}")}])),
            ("granular_markings", json!([{"marking_ref": "tlp:red", "selectors": ["name"]}])),
            ("confidence", json!(101)),
            ("confidence", json!(1.5)),
            ("revoked", json!("true")),
            ("extensions", json!([])),
            ("where_sighted_refs", json!(["here"])),
            ("type", json!("Indicator")),
            ("id", json!("indicator--1")),
        ] {
            assert!(complaint(name, value.clone()).contains(name), "{name} = {value}");
        }
    }

    #[test]
    fn types_have_their_own_required_properties() {
        let sdo = |kind: &str, more: Value| {
            let mut object = json!({
                "type": kind, "spec_version": "2.1", "id": format!("{kind}--{UUID}"),
                "created": "2026-11-23T10:00:00.000Z", "modified": "2026-11-23T10:00:00.000Z",
            });
            object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            parse(&object).map_or_else(|e| format!("{} {}", e.path, e.rule), |_| "ok".to_owned())
        };
        assert_eq!(sdo("location", json!({})), "region or country or latitude and longitude is missing");
        assert_eq!(
            sdo("location", json!({"latitude": 50.8})),
            "region or country or latitude and longitude is missing"
        );
        assert_eq!(sdo("location", json!({"country": "BE"})), "ok");
        assert_eq!(sdo("malware", json!({"is_family": true})), "name is missing");
        assert_eq!(sdo("malware", json!({"is_family": false})), "ok");
        assert_eq!(
            sdo("note", json!({"content": "x", "object_refs": []})),
            "object_refs must be a list of ids, at least one"
        );
        assert_eq!(sdo("file", json!({"size": 3})), "hashes or name is missing");
        assert_eq!(sdo("network-traffic", json!({"protocols": ["tcp"]})), "src_ref or dst_ref is missing");
        assert_eq!(
            sdo("bundle", json!({"objects": []})),
            " is a bundle, which cannot lie inside a bundle or message"
        );
    }

    #[test]
    fn observables_need_neither_times_nor_spec_version() {
        let object = parse(&json!({
            "type": "ipv4-addr", "id": "ipv4-addr--12592121-be4c-5a93-a813-5a5af16e50db", "value": "198.51.100.7",
        }))
        .unwrap();
        assert!(object.is_observable());
        assert_eq!((object.version(), object.created()), ("", None));
    }

    #[test]
    fn references_are_found_at_any_depth() {
        let mut object = indicator();
        object["created_by_ref"] = json!(format!("identity--{UUID}"));
        object["x_custom"] = json!([{"object_ref": format!("malware--{UUID}"), "note_ref": "free text"}]);
        object["granular_markings"] =
            json!([{"marking_ref": format!("marking-definition--{UUID}"), "selectors": ["pattern"]}]);
        let object = parse(&object).unwrap();
        let ids = ["identity", "malware", "marking-definition"].map(|kind| format!("{kind}--{UUID}"));
        assert_eq!(object.refs(), ids);
        assert_eq!(object.granular_marking_refs(), [format!("marking-definition--{UUID}")]);
        assert_eq!(object.created_by(), Some(format!("identity--{UUID}").as_str()));
    }

    #[test]
    fn an_oversize_object_is_named() {
        let mut object = indicator();
        object["description"] = json!("a".repeat(MAX_OBJECT));
        let error = Object::parse_minified(serde_json::to_vec(&object).unwrap()).unwrap_err();
        assert_eq!(error.id.as_deref(), Some(format!("indicator--{UUID}").as_str()));
        assert!(matches!(error.rule, Rule::TooLong(_)));
    }

    #[test]
    fn debug_shows_no_content() {
        let shown = format!("{:?}", parse(&indicator()).unwrap());
        assert!(!shown.contains("198.51.100.7"), "{shown}");
    }
}
