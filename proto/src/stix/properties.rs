//! What STIX 2.1 asks of each type's properties: a table (§4–§7 of the standard) and the walk that checks it.
//!
//! Only what consumers break on is refused: missing or mistyped properties, references that are no ids,
//! times that are no times. Open vocabularies, empty optional lists and custom properties pass, because
//! the field is full of them. Types that the standard does not define pass with the common checks alone.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use crate::stix::{
    id,
    object::{Fault, Rule},
    timestamp,
};

/// What kind of type it is, and so which common properties it must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Category {
    /// Domain and relationship objects: `spec_version`, `created`, `modified`.
    Domain,
    /// Observables: none of these needed.
    Observable,
    /// Marking definitions: no `modified`.
    Marking,
    /// Not defined by the standard.
    Custom,
}

/// The form of a property's value.
#[derive(Clone, Copy, Debug)]
enum Shape {
    Text,
    Bool,
    Integer,
    Number,
    Time,
    Id,
    /// At least one id.
    Ids,
    /// At least one text.
    Texts,
    Dictionary,
}

use Shape::{Bool, Dictionary, Id, Ids, Integer, Number, Text, Texts, Time};

struct Spec {
    kind: &'static str,
    category: Category,
    required: &'static [(&'static str, Shape)],
    /// Where not empty, one of these groups must be complete.
    alternatives: &'static [&'static [&'static str]],
}

const fn domain(kind: &'static str, required: &'static [(&'static str, Shape)]) -> Spec {
    Spec { kind, category: Category::Domain, required, alternatives: &[] }
}

const fn observable(kind: &'static str, required: &'static [(&'static str, Shape)]) -> Spec {
    Spec { kind, category: Category::Observable, required, alternatives: &[] }
}

const fn with(spec: Spec, alternatives: &'static [&'static [&'static str]]) -> Spec {
    Spec { alternatives, ..spec }
}

static SPECS: &[Spec] = &[
    domain("attack-pattern", &[("name", Text)]),
    domain("campaign", &[("name", Text)]),
    domain("course-of-action", &[("name", Text)]),
    domain("grouping", &[("context", Text), ("object_refs", Ids)]),
    domain("identity", &[("name", Text)]),
    domain("incident", &[("name", Text)]),
    domain("indicator", &[("pattern", Text), ("pattern_type", Text), ("valid_from", Time)]),
    domain("infrastructure", &[("name", Text)]),
    domain("intrusion-set", &[("name", Text)]),
    with(domain("location", &[]), &[&["region"], &["country"], &["latitude", "longitude"]]),
    domain("malware", &[("is_family", Bool)]),
    with(domain("malware-analysis", &[("product", Text)]), &[&["result"], &["analysis_sco_refs"]]),
    domain("note", &[("content", Text), ("object_refs", Ids)]),
    with(
        domain(
            "observed-data",
            &[("first_observed", Time), ("last_observed", Time), ("number_observed", Integer)],
        ),
        &[&["object_refs"], &["objects"]],
    ),
    domain("opinion", &[("opinion", Text), ("object_refs", Ids)]),
    domain("report", &[("name", Text), ("published", Time), ("object_refs", Ids)]),
    domain("threat-actor", &[("name", Text)]),
    domain("tool", &[("name", Text)]),
    domain("vulnerability", &[("name", Text)]),
    domain("relationship", &[("relationship_type", Text), ("source_ref", Id), ("target_ref", Id)]),
    domain("sighting", &[("sighting_of_ref", Id)]),
    domain(
        "extension-definition",
        &[
            ("created_by_ref", Id),
            ("name", Text),
            ("schema", Text),
            ("version", Text),
            ("extension_types", Texts),
        ],
    ),
    domain("language-content", &[("object_ref", Id), ("contents", Dictionary)]),
    Spec {
        kind: "marking-definition",
        category: Category::Marking,
        required: &[],
        alternatives: &[&["definition_type", "definition"], &["extensions"]],
    },
    with(observable("artifact", &[]), &[&["payload_bin"], &["url", "hashes"]]),
    observable("autonomous-system", &[("number", Integer)]),
    observable("directory", &[("path", Text)]),
    observable("domain-name", &[("value", Text)]),
    observable("email-addr", &[("value", Text)]),
    observable("email-message", &[("is_multipart", Bool)]),
    with(observable("file", &[]), &[&["hashes"], &["name"]]),
    observable("ipv4-addr", &[("value", Text)]),
    observable("ipv6-addr", &[("value", Text)]),
    observable("mac-addr", &[("value", Text)]),
    observable("mutex", &[("name", Text)]),
    with(observable("network-traffic", &[("protocols", Texts)]), &[&["src_ref"], &["dst_ref"]]),
    observable("process", &[]),
    observable("software", &[("name", Text)]),
    observable("url", &[("value", Text)]),
    observable("user-account", &[]),
    observable("windows-registry-key", &[]),
    observable("x509-certificate", &[]),
];

/// Properties that mean the same wherever a type of the standard has them.
const COMMON: &[(&str, Shape)] = &[
    ("created_by_ref", Id),
    ("revoked", Bool),
    ("defanged", Bool),
    ("lang", Text),
    ("name", Text),
    ("description", Text),
    ("extensions", Dictionary),
    ("hashes", Dictionary),
    ("latitude", Number),
    ("longitude", Number),
    ("valid_from", Time),
    ("valid_until", Time),
    ("first_seen", Time),
    ("last_seen", Time),
    ("first_observed", Time),
    ("last_observed", Time),
    ("published", Time),
];

/// Pairs of times in their order, and whether they may be equal.
const ORDERED: &[(&str, &str, bool)] = &[
    ("created", "modified", true),
    ("valid_from", "valid_until", false),
    ("first_seen", "last_seen", true),
    ("first_observed", "last_observed", true),
];

/// Whether the standard defines `kind` as an observable (STIX 2.1 §6).
pub(super) fn is_observable(kind: &str) -> bool {
    spec(kind).is_some_and(|spec| spec.category == Category::Observable)
}

/// Whether the standard defines `kind` at all.
pub(super) fn is_defined(kind: &str) -> bool {
    spec(kind).is_some()
}

fn spec(kind: &str) -> Option<&'static Spec> {
    SPECS.iter().find(|spec| spec.kind == kind)
}

/// Checks an object of type `kind` whose `type` and `id` are already known to be good.
pub(super) fn check(kind: &str, object: &Map<String, Value>) -> Result<(), Fault> {
    let spec = spec(kind);
    let category = spec.map_or(Category::Custom, |spec| spec.category);
    version_and_times(category, object)?;
    markings(object)?;
    if let Some(spec) = spec {
        properties(spec, object)?;
    }
    for &(earlier, later, equal) in ORDERED {
        if category == Category::Custom && earlier != "created" {
            break;
        }
        let (Some(a), Some(b)) = (text(object, earlier), text(object, later)) else { continue };
        match timestamp::compare(a, b) {
            Ordering::Less => {}
            Ordering::Equal if equal => {}
            _ => return Err(Fault::new(later, Rule::NotBefore(earlier))),
        }
    }
    Ok(())
}

/// What an object of `kind` needs besides what every object has, saying nothing: the id's own UUID stands for
/// references, its time of creation for times.
pub(super) fn placeholders(kind: &str, id: &str, created: &Value) -> Vec<(String, Value)> {
    let Some(spec) = spec(kind) else { return Vec::new() };
    let identity = id.split_once("--").map_or_else(String::new, |(_, uuid)| format!("identity--{uuid}"));
    let one_of = spec.alternatives.first().into_iter().copied().flatten().map(|name| match *name {
        name if name.ends_with("_refs") => (name, Ids),
        "latitude" | "longitude" => (*name, Number),
        name => (name, Text),
    });
    let required = spec.required.iter().copied().chain(one_of);
    let fill = |(name, form): (&str, Shape)| {
        let value = match (name, form) {
            // A pattern that matches nothing, and words of closed vocabularies.
            ("pattern", _) => "[x-withdrawn:value = 'withdrawn']".into(),
            ("pattern_type", _) => "stix".into(),
            ("opinion", _) => "neutral".into(),
            ("result", _) => "unknown".into(),
            (_, Text) => "withdrawn".into(),
            (_, Texts) => Value::from(vec!["withdrawn"]),
            (_, Bool) => false.into(),
            (_, Integer | Number) => 1.into(),
            (_, Time) => created.clone(),
            (_, Id) => identity.clone().into(),
            (_, Ids) => Value::from(vec![identity.clone()]),
            (_, Dictionary) => Map::new().into(),
        };
        (name.to_owned(), value)
    };
    required.map(fill).collect()
}

/// Every type of the standard that has versions.
#[cfg(test)]
pub(super) fn versioned() -> impl Iterator<Item = &'static str> {
    SPECS.iter().filter(|spec| spec.category == Category::Domain).map(|spec| spec.kind)
}

fn version_and_times(category: Category, object: &Map<String, Value>) -> Result<(), Fault> {
    let versioned = matches!(category, Category::Domain | Category::Marking);
    match object.get("spec_version") {
        None if versioned => return Err(Fault::new("spec_version", Rule::Missing)),
        None => {}
        Some(Value::String(version)) if version == "2.1" => {}
        Some(_) => return Err(Fault::new("spec_version", Rule::Must("be \"2.1\""))),
    }
    for (name, required) in [("created", versioned), ("modified", category == Category::Domain)] {
        match object.get(name) {
            None if required => return Err(Fault::new(name, Rule::Missing)),
            // An observable has no versions; some have a property of this name that says something else.
            Some(value) if category != Category::Observable => shape(name, Time, value)?,
            _ => {}
        }
    }
    Ok(())
}

fn markings(object: &Map<String, Value>) -> Result<(), Fault> {
    const MARKING: Rule = Rule::Must("be the id of a marking-definition");
    let is_marking = |value: &Value| value.as_str().and_then(id::type_of) == Some("marking-definition");
    if let Some(refs) = object.get("object_marking_refs") {
        let refs =
            refs.as_array().ok_or_else(|| Fault::new("object_marking_refs", Rule::Must("be a list")))?;
        if let Some(at) = refs.iter().position(|value| !is_marking(value)) {
            return Err(Fault::new(format!("object_marking_refs[{at}]"), MARKING));
        }
    }
    if let Some(granular) = object.get("granular_markings") {
        let granular =
            granular.as_array().ok_or_else(|| Fault::new("granular_markings", Rule::Must("be a list")))?;
        for (at, entry) in granular.iter().enumerate() {
            let path = |name: &str| format!("granular_markings[{at}]{name}");
            if !entry.is_object() {
                return Err(Fault::new(path(""), Rule::Must("be an object")));
            }
            match (entry.get("marking_ref"), entry.get("lang")) {
                (Some(marking), _) if !is_marking(marking) => {
                    return Err(Fault::new(path(".marking_ref"), MARKING));
                }
                (None, None) => return Err(Fault::new(path(".marking_ref"), Rule::Missing)),
                _ => {}
            }
            let selectors =
                entry.get("selectors").ok_or_else(|| Fault::new(path(".selectors"), Rule::Missing))?;
            shape(&path(".selectors"), Texts, selectors)?;
        }
    }
    Ok(())
}

fn properties(spec: &Spec, object: &Map<String, Value>) -> Result<(), Fault> {
    for &(name, form) in spec.required {
        let value = object.get(name).ok_or_else(|| Fault::new(name, Rule::Missing))?;
        shape(name, form, value)?;
    }
    let complete = |group: &&[&str]| group.iter().all(|&name| object.contains_key(name));
    if !spec.alternatives.is_empty() && !spec.alternatives.iter().any(complete) {
        let names = spec.alternatives.iter().map(|group| group.join(" and ")).collect::<Vec<_>>();
        return Err(Fault::new(names.join(" or "), Rule::Missing));
    }
    if spec.kind == "malware"
        && object.get("is_family") == Some(&Value::Bool(true))
        && !object.contains_key("name")
    {
        return Err(Fault::new("name", Rule::Missing));
    }
    for &(name, form) in COMMON {
        if let Some(value) = object.get(name) {
            shape(name, form, value)?;
        }
    }
    if object.get("confidence").is_some_and(|c| c.as_u64().is_none_or(|c| c > 100)) {
        return Err(Fault::new("confidence", Rule::Must("be an integer from 0 to 100")));
    }
    references(object)?;
    external_references(object)
}

/// Every `*_ref` and `*_refs` of the standard names objects. Custom ones (`x_…`) may mean what they like.
fn references(object: &Map<String, Value>) -> Result<(), Fault> {
    for (name, value) in object {
        if name.starts_with("x_") {
            continue;
        }
        if name.ends_with("_ref") {
            shape(name, Id, value)?;
        } else if name.ends_with("_refs") {
            let items = value.as_array().ok_or_else(|| Fault::new(name, Rule::Must("be a list of ids")))?;
            for (at, item) in items.iter().enumerate() {
                if !item.as_str().is_some_and(id::is_id) {
                    return Err(Fault::new(format!("{name}[{at}]"), ID));
                }
            }
        }
    }
    Ok(())
}

fn external_references(object: &Map<String, Value>) -> Result<(), Fault> {
    let Some(references) = object.get("external_references") else { return Ok(()) };
    let references =
        references.as_array().ok_or_else(|| Fault::new("external_references", Rule::Must("be a list")))?;
    for (at, reference) in references.iter().enumerate() {
        let path = || format!("external_references[{at}].source_name");
        match reference.get("source_name") {
            Some(Value::String(_)) => {}
            Some(_) => return Err(Fault::new(path(), Rule::Must("be a text"))),
            None => return Err(Fault::new(path(), Rule::Missing)),
        }
    }
    Ok(())
}

const ID: Rule = Rule::Must("be an id, a type and a UUID joined by two hyphens");

fn shape(path: &str, form: Shape, value: &Value) -> Result<(), Fault> {
    let listed =
        |good: fn(&Value) -> bool| value.as_array().is_some_and(|v| !v.is_empty() && v.iter().all(good));
    let (good, rule) = match form {
        Text => (value.is_string(), Rule::Must("be a text")),
        Bool => (value.is_boolean(), Rule::Must("be true or false")),
        Integer => (value.is_i64() || value.is_u64(), Rule::Must("be an integer")),
        Number => (value.is_number(), Rule::Must("be a number")),
        Time => (
            value.as_str().is_some_and(timestamp::is_valid),
            Rule::Must("be a time in RFC 3339 that ends in Z, as in 2027-11-30T00:00:00.000Z"),
        ),
        Id => (value.as_str().is_some_and(id::is_id), ID),
        Ids => (listed(|v| v.as_str().is_some_and(id::is_id)), Rule::Must("be a list of ids, at least one")),
        Texts => (listed(Value::is_string), Rule::Must("be a list of texts, at least one")),
        Dictionary => (value.is_object(), Rule::Must("be an object")),
    };
    if good { Ok(()) } else { Err(Fault::new(path, rule)) }
}

fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    object.get(name).and_then(Value::as_str).filter(|text| timestamp::is_valid(text))
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        path::{Path, PathBuf},
    };

    use super::*;

    /// What a schema requires outright, alternatives left aside.
    fn required(schema: &Value) -> BTreeSet<&str> {
        let own = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        let nested = schema.get("allOf").and_then(Value::as_array).into_iter().flatten().flat_map(required);
        own.filter_map(Value::as_str).chain(nested).filter(|name| !matches!(*name, "type" | "id")).collect()
    }

    #[test]
    #[allow(
        clippy::disallowed_methods,
        reason = "compares with the published schemas where they are at hand"
    )]
    fn the_table_requires_what_the_oasis_schemas_require() {
        let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
        let data = std::env::var_os("BELFRY_DATA").map_or_else(beside, PathBuf::from);
        let schemas = data.join("stix-schemas/schemas");
        if !schemas.is_dir() {
            eprintln!("SKIPPED OASIS schemas: there is no {}", schemas.display());
            return;
        }
        let mut compared = 0;
        for spec in SPECS {
            for folder in ["sdos", "sros", "observables"] {
                let Ok(text) = std::fs::read(schemas.join(folder).join(format!("{}.json", spec.kind))) else {
                    continue;
                };
                let schema: Value = serde_json::from_slice(&text).unwrap();
                let ours: BTreeSet<&str> = spec.required.iter().map(|&(name, _)| name).collect();
                let mut theirs = required(&schema);
                if spec.kind == "email-message" {
                    // In the standard (§6.6.1), and in the schema through both its alternatives.
                    theirs.insert("is_multipart");
                }
                assert_eq!(ours, theirs, "{}", spec.kind);
                compared += 1;
            }
        }
        assert_eq!(compared, 39);
    }
}
