//! What belfry's own property extension says in an object: what STIX 2.1 has no word for (§7.3).
//!
//! | on | member | says |
//! |---|---|---|
//! | note | `proposal` | what one member would have changed in another's object ([`super::proposal`]) |
//! | opinion | `expired` | since when an indicator no longer holds, by whoever says so |
//!
//! Readers that do not know it find a note, and an opinion of nobody's side.

use serde_json::{Map, Value, json};

/// For ever: what was published bears it.
pub const ID: &str = "extension-definition--5c0c6d0e-4e0b-4d6a-9a55-2f7f3b6d1f4e";

/// An object's `extensions` with this one in it.
#[must_use]
pub fn of(member: &str, value: Value) -> Value {
    let mut said = Map::new();
    said.insert("extension_type".to_owned(), "property-extension".into());
    said.insert(member.to_owned(), value);
    json!({ ID: said })
}

/// What it says under a name in an object.
#[must_use]
pub fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.get("extensions")?.get(ID)?.get(name)
}
