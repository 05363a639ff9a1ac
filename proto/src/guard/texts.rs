//! Every text of an object, with the path a person finds it by.

use std::fmt::Write as _;

use serde_json::Value;

use crate::stix::{id, marking, object::Object};

/// A text and where it stands.
pub(super) struct Text {
    /// As in `external_references[2].description`.
    pub(super) path: String,
    pub(super) value: String,
}

/// The texts of `object`: values, numbers long enough to be somebody's, and names of properties the author made up.
pub(super) fn of(object: &Object) -> Vec<Text> {
    let mut found = Vec::new();
    // Nobody's own words.
    if marking::is_well_known(object.id()) {
        return found;
    }
    for (name, value) in &object.properties() {
        if !is_formal(object, name) {
            named(name, value, "", &mut found);
        }
    }
    found
}

/// Whether a property holds no prose, as its form was checked: what lets no other text through cannot hold a secret.
fn is_formal(object: &Object, name: &str) -> bool {
    match name {
        "type" | "id" | "spec_version" => true,
        // An observable has none, and may call anything so.
        "created" | "modified" => !object.is_observable(),
        "payload_bin" => object.kind() == "artifact",
        _ => false,
    }
}

fn named(name: &str, value: &Value, parent: &str, found: &mut Vec<Text>) {
    // A name that STIX would not have may be anything; dots in it would look like a path.
    let shown = if is_plain(name) { name } else { HIDDEN };
    let path = if parent.is_empty() { shown.to_owned() } else { format!("{parent}.{shown}") };
    found.push(Text { path: path.clone(), value: name.to_owned() });
    match value {
        value if is_reference(name, value) => {}
        Value::Object(hashes) if name == "hashes" => {
            for (algorithm, hash) in hashes {
                match is_hash(hash) {
                    // Of a hash its name alone is its author's to choose.
                    true => named(algorithm, &Value::Null, &path, found),
                    false => named(algorithm, hash, &path, found),
                }
            }
        }
        value => walk(value, path, found),
    }
}

/// Whether a property names objects, and nothing else.
fn is_reference(name: &str, value: &Value) -> bool {
    let is_id = |value: &Value| value.as_str().is_some_and(id::is_id);
    match value {
        Value::Array(items) => name.ends_with("_refs") && items.iter().all(is_id),
        value => name.ends_with("_ref") && is_id(value),
    }
}

/// Bytes of the shortest hash that is passed over; no number of a person's is as long.
const SHORTEST_HASH: usize = 32;

/// Whether a value is long enough for a hash, and of its signs alone.
fn is_hash(value: &Value) -> bool {
    let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'+' | b':');
    value.as_str().is_some_and(|text| text.len() >= SHORTEST_HASH && text.bytes().all(is_sign))
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
