//! The last word on an object that is gone: a version that says `revoked: true`.
//!
//! Tools that poll learn of an end only by a newer version (STIX 2.1 §3.2). There are two. [`of`] keeps no
//! content: the object's id, its markings and who created it; everything its type requires besides stands in as
//! a placeholder, so that strict consumers accept it and it tells nobody anything. [`retracted`] is for what its
//! own author takes back without calling it secret: the object as it was, revoked. Both are functions of the
//! lost version alone: every node makes the same.

use std::{cmp::Ordering, time::Duration};

use serde_json::{Map, Value};

use crate::{
    stix::{properties, timestamp},
    time::Timestamp,
};

/// An end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// Its `modified`.
    pub version: String,
    /// Its JSON.
    pub raw: Vec<u8>,
}

/// Properties that an end keeps of what it ends.
const KEPT: [&str; 6] = ["type", "spec_version", "id", "created", "created_by_ref", "object_marking_refs"];
/// Later than every `modified` that leaves room for a later one.
const LAST: &str = "9999-12-31T23:59:59.999999Z";

/// The end of the object in these bytes; `None` for types without versions (observables, markings), which
/// STIX cannot say to be revoked.
#[must_use]
pub fn of(raw: &[u8]) -> Option<Tombstone> {
    let object: Map<String, Value> = serde_json::from_slice(raw).ok()?;
    let kind = object.get("type")?.as_str()?;
    if properties::is_observable(kind) {
        return None;
    }
    let version = later(object.get("modified")?.as_str()?);
    let kept = KEPT.iter().filter_map(|name| object.get_key_value(*name));
    let mut end: Map<String, Value> = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
    for (name, value) in properties::placeholders(kind, object.get("id")?.as_str()?, object.get("created")?) {
        end.entry(name).or_insert(value);
    }
    // There are tools that pass over an indicator without an end, and would go on with the one that they know.
    let created = end.get("created").and_then(Value::as_str).unwrap_or_default();
    if kind == "indicator" && timestamp::compare(created, &version) == Ordering::Less {
        end.insert("valid_until".to_owned(), version.clone().into());
    }
    end.insert("modified".to_owned(), version.clone().into());
    end.insert("revoked".to_owned(), true.into());
    Some(Tombstone { version, raw: serde_json::to_vec(&end).ok()? })
}

/// The object in these bytes as its author takes it back: all it said, and that it no longer holds. `None` as
/// for [`of`].
#[must_use]
pub fn retracted(raw: &[u8]) -> Option<Tombstone> {
    let mut object: Map<String, Value> = serde_json::from_slice(raw).ok()?;
    if properties::is_observable(object.get("type")?.as_str()?) {
        return None;
    }
    let version = later(object.get("modified")?.as_str()?);
    object.insert("modified".to_owned(), version.clone().into());
    object.insert("revoked".to_owned(), true.into());
    Some(Tombstone { version, raw: serde_json::to_vec(&object).ok()? })
}

/// A millisecond on: the least that every tool takes for a later version.
fn later(modified: &str) -> String {
    match modified.parse::<Timestamp>() {
        Ok(time) => time.saturating_add(Duration::from_millis(1)).to_string(),
        Err(_) if modified < "1970" => Timestamp::from_micros(1_000).to_string(),
        Err(_) => LAST.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::stix::object::Object;

    fn ended(raw: &Value) -> Value {
        let tombstone = of(raw.to_string().as_bytes()).unwrap();
        let end: Value = serde_json::from_slice(&tombstone.raw).unwrap();
        assert_eq!(end["modified"], tombstone.version.as_str());
        end
    }

    #[test]
    fn an_end_keeps_id_and_markings_and_tells_nothing_of_the_content() {
        let raw = json!({
            "type": "indicator", "spec_version": "2.1", "id": "indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f",
            "created": "2026-01-01T00:00:00.000Z", "modified": "2026-02-01T00:00:00.000Z",
            "created_by_ref": "identity--f431f809-377b-45e0-aa1c-6a4751cae5ff",
            "object_marking_refs": ["marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003"],
            "name": "secret", "pattern": "[ipv4-addr:value = '198.51.100.7']", "pattern_type": "stix",
            "valid_from": "2026-01-01T00:00:00Z", "labels": ["secret"],
        });
        let end = ended(&raw);
        for kept in ["id", "created", "created_by_ref", "object_marking_refs"] {
            assert_eq!(end[kept], raw[kept], "{kept}");
        }
        assert_eq!(
            (&end["revoked"], &end["modified"]),
            (&json!(true), &json!("2026-02-01T00:00:00.001000Z"))
        );
        assert_eq!(end["valid_until"], end["modified"], "tools that want an end take it, too");
        let text = end.to_string();
        assert!(!text.contains("secret") && !text.contains("198.51.100.7"), "{text}");
    }

    #[test]
    fn an_end_of_any_versioned_type_is_an_object_of_its_type() {
        for kind in properties::versioned() {
            let id = format!("{kind}--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f");
            let raw = json!({
                "type": kind, "spec_version": "2.1", "id": id,
                "created": "2026-01-01T00:00:00.000Z", "modified": "2026-01-01T00:00:00.000Z",
            });
            let end = ended(&raw);
            let object = Object::parse(end.to_string().as_bytes());
            assert!(object.is_ok_and(|object| object.revoked() && object.id() == id), "{kind}: {end}");
        }
    }

    #[test]
    fn what_is_retracted_says_all_it_said_and_that_it_no_longer_holds() {
        let raw = json!({
            "type": "malware", "spec_version": "2.1", "id": "malware--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f",
            "created": "2026-01-01T00:00:00.000Z", "modified": "2026-02-01T00:00:00.000Z",
            "name": "told", "is_family": false, "x_number": 1.50,
        });
        let tombstone = retracted(raw.to_string().as_bytes()).unwrap();
        let mut end: Value = serde_json::from_slice(&tombstone.raw).unwrap();
        assert_eq!(
            (&end["revoked"], &end["modified"]),
            (&json!(true), &json!("2026-02-01T00:00:00.001000Z"))
        );
        assert!(Object::parse(&tombstone.raw).is_ok());
        end["modified"] = raw["modified"].clone();
        end.as_object_mut().unwrap().remove("revoked");
        assert_eq!(end, raw);
    }

    #[test]
    fn what_has_no_versions_has_no_end() {
        let raw = json!({
            "type": "ipv4-addr", "spec_version": "2.1", "value": "198.51.100.7",
            "id": "ipv4-addr--ff26c055-6336-5bc5-b98d-13d6226742dd", "modified": "2026-01-01T00:00:00Z",
        });
        for end in [of, retracted] {
            assert_eq!(end(raw.to_string().as_bytes()), None);
            assert_eq!(end(b"not json"), None);
        }
    }

    #[test]
    fn the_end_is_later_than_any_version_that_can_be_outdone() {
        let of = |modified: &str| later(modified);
        assert!(of("2026-01-01T00:00:00.999999999Z").as_str() > "2026-01-01T00:00:01.000000Z");
        assert!(of("1932-01-01T00:00:00Z").as_str() > "1932");
        assert_eq!(of("9999-12-31T23:59:59Z"), LAST);
    }
}
