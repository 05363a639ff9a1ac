//! Every text of an object, with the path a person finds it by.

use std::fmt::Write as _;

use serde_json::Value;

use crate::stix::object::Object;

/// A text and where it stands.
pub(super) struct Text {
    /// As in `external_references[2].description`.
    pub(super) path: String,
    pub(super) value: String,
}

/// Properties that hold no prose: names of things, times, markings. What the standard gives a closed form cannot hold
/// a secret that its rules would let through.
const FORMAL: [&str; 9] = [
    "type",
    "id",
    "spec_version",
    "created",
    "modified",
    "pattern_type",
    "payload_bin",
    "extension_type",
    "relationship_type",
];

/// The texts of `object`: values, numbers long enough to be somebody's, and names of properties the author made up.
pub(super) fn of(object: &Object) -> Vec<Text> {
    let mut found = Vec::new();
    // Definitions of markings are vocabulary, and everybody's.
    if object.kind() == "marking-definition" {
        return found;
    }
    for (name, value) in &object.properties() {
        if FORMAL.contains(&name.as_str()) {
            continue;
        }
        named(name, value, "", &mut found);
    }
    found
}

fn named(name: &str, value: &Value, parent: &str, found: &mut Vec<Text>) {
    if name.ends_with("_ref") || name.ends_with("_refs") || name == "hashes" {
        return;
    }
    // A name that STIX would not have may be anything; dots in it would look like a path.
    let shown = if is_plain(name) { name } else { HIDDEN };
    let path = if parent.is_empty() { shown.to_owned() } else { format!("{parent}.{shown}") };
    found.push(Text { path: path.clone(), value: name.to_owned() });
    walk(value, path, found);
}

fn walk(value: &Value, path: String, found: &mut Vec<Text>) {
    match value {
        Value::String(text) => found.push(Text { path, value: text.clone() }),
        // Eleven digits: a national number, the shortest of what is looked for.
        Value::Number(number) => {
            let value = number.to_string();
            if value.len() >= 11 {
                found.push(Text { path, value });
            }
        }
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                let mut path = path.clone();
                let _ = write!(path, "[{i}]");
                walk(item, path, found);
            }
        }
        Value::Object(members) => {
            for (name, value) in members {
                named(name, value, &path, found);
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

/// Stands for a name that is not shown.
const HIDDEN: &str = "*";

fn is_plain(name: &str) -> bool {
    name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// `path` without the names that are secret themselves.
pub(super) fn path_without(path: &str, is_secret: impl Fn(&str) -> bool) -> String {
    let shown = path.split('.').map(|part| {
        let (name, index) = part.split_at(part.find('[').unwrap_or(part.len()));
        if is_secret(name) { format!("{HIDDEN}{index}") } else { part.to_owned() }
    });
    shown.collect::<Vec<_>>().join(".")
}
