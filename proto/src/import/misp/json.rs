//! The parts of MISP's JSON that are read. Unknown members are passed over: the format grows with every release.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::super::ImportError;
use crate::limits::MAX_BUNDLE_OBJECTS;

/// Braces in one file: an attribute and its tags are some five objects.
const MAX_BRACES: usize = 5 * MAX_BUNDLE_OBJECTS;
/// Commas in one file: twenty members an attribute. Bounds what any list in it can grow to.
const MAX_COMMAS: usize = 40 * MAX_BUNDLE_OBJECTS;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Event {
    pub(super) uuid: String,
    pub(super) info: String,
    pub(super) date: String,
    #[serde(deserialize_with = "text")]
    pub(super) timestamp: String,
    #[serde(deserialize_with = "some_text")]
    pub(super) distribution: Option<String>,
    #[serde(rename = "Orgc")]
    pub(super) orgc: Option<Organisation>,
    #[serde(rename = "Attribute")]
    pub(super) attributes: Vec<Attribute>,
    #[serde(rename = "Object")]
    pub(super) objects: Vec<Object>,
    #[serde(rename = "ShadowAttribute")]
    pub(super) proposals: Vec<serde::de::IgnoredAny>,
    #[serde(rename = "Galaxy")]
    pub(super) galaxies: Vec<Galaxy>,
    #[serde(rename = "EventReport")]
    pub(super) reports: Vec<Report>,
    #[serde(rename = "Tag")]
    pub(super) tags: Vec<Tag>,
}

impl Event {
    /// Those of its attributes, too.
    pub(super) fn all_galaxies(&self) -> impl Iterator<Item = &Galaxy> {
        let of_objects = self.objects.iter().flat_map(|object| &object.attributes);
        let of_attributes =
            self.attributes.iter().chain(of_objects).flat_map(|attribute| &attribute.galaxies);
        self.galaxies.iter().chain(of_attributes)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Organisation {
    pub(super) uuid: String,
    pub(super) name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Attribute {
    pub(super) uuid: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(rename = "object_relation", deserialize_with = "some_text")]
    pub(super) relation: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(super) value: String,
    #[serde(deserialize_with = "text")]
    pub(super) comment: String,
    #[serde(deserialize_with = "flag")]
    pub(super) to_ids: bool,
    #[serde(deserialize_with = "flag")]
    pub(super) deleted: bool,
    #[serde(deserialize_with = "text")]
    pub(super) timestamp: String,
    #[serde(deserialize_with = "some_text")]
    pub(super) distribution: Option<String>,
    #[serde(deserialize_with = "some_text")]
    pub(super) first_seen: Option<String>,
    #[serde(deserialize_with = "some_text")]
    pub(super) last_seen: Option<String>,
    #[serde(rename = "Galaxy")]
    pub(super) galaxies: Vec<Galaxy>,
    #[serde(rename = "ShadowAttribute")]
    pub(super) proposals: Vec<serde::de::IgnoredAny>,
    #[serde(rename = "Tag")]
    pub(super) tags: Vec<Tag>,
    #[serde(rename = "Sighting")]
    pub(super) sightings: Vec<Sighting>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Object {
    #[serde(deserialize_with = "text")]
    pub(super) uuid: String,
    pub(super) name: String,
    #[serde(deserialize_with = "flag")]
    pub(super) deleted: bool,
    #[serde(deserialize_with = "some_text")]
    pub(super) distribution: Option<String>,
    #[serde(rename = "Attribute")]
    pub(super) attributes: Vec<Attribute>,
    #[serde(rename = "ObjectReference")]
    pub(super) references: Vec<Reference>,
}

/// What an object has to do with another, or with an attribute.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Reference {
    #[serde(deserialize_with = "text")]
    pub(super) uuid: String,
    #[serde(rename = "referenced_uuid", deserialize_with = "text")]
    pub(super) to: String,
    #[serde(rename = "relationship_type", deserialize_with = "text")]
    pub(super) kind: String,
    #[serde(deserialize_with = "text")]
    pub(super) comment: String,
    #[serde(deserialize_with = "text")]
    pub(super) timestamp: String,
    #[serde(deserialize_with = "flag")]
    pub(super) deleted: bool,
}

/// Prose about an event, in Markdown.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Report {
    pub(super) uuid: String,
    #[serde(deserialize_with = "text")]
    pub(super) name: String,
    #[serde(deserialize_with = "text")]
    pub(super) content: String,
    #[serde(deserialize_with = "text")]
    pub(super) timestamp: String,
    #[serde(deserialize_with = "some_text")]
    pub(super) distribution: Option<String>,
    #[serde(deserialize_with = "flag")]
    pub(super) deleted: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Sighting {
    #[serde(deserialize_with = "some_text")]
    pub(super) uuid: Option<String>,
    #[serde(rename = "type", deserialize_with = "some_text")]
    pub(super) kind: Option<String>,
    #[serde(rename = "date_sighting", deserialize_with = "text")]
    pub(super) date: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Tag {
    pub(super) name: String,
    /// Not for other MISPs.
    #[serde(deserialize_with = "flag")]
    pub(super) local: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Galaxy {
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(rename = "GalaxyCluster")]
    pub(super) clusters: Vec<Cluster>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Cluster {
    pub(super) uuid: String,
    pub(super) value: String,
    #[serde(deserialize_with = "text")]
    pub(super) description: String,
    #[serde(deserialize_with = "meta")]
    pub(super) meta: Meta,
    /// Not for other MISPs.
    #[serde(deserialize_with = "flag")]
    pub(super) local: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Meta {
    #[serde(deserialize_with = "texts")]
    pub(super) synonyms: Vec<String>,
    #[serde(deserialize_with = "texts")]
    pub(super) external_id: Vec<String>,
}

/// The events of a file, each with its path: `{"Event": …}`, a bare event, a list, or a search's answer.
pub(super) fn events(bytes: &[u8]) -> Result<Vec<(String, Event)>, ImportError> {
    let count = |sign: u8| bytes.iter().filter(|byte| **byte == sign).count();
    if count(b'{') > MAX_BRACES || count(b',') > MAX_COMMAS {
        return Err(ImportError::TooMany(MAX_BUNDLE_OBJECTS));
    }
    #[derive(Deserialize)]
    struct Wrapped {
        #[serde(rename = "Event")]
        event: Event,
    }
    #[derive(Deserialize)]
    struct Answer {
        response: Vec<Wrapped>,
    }
    // Told apart by what stands in front, so that an error is of the shape that was meant.
    let head: Head = serde_json::from_slice(bytes).unwrap_or_default();
    let misp = ImportError::Misp;
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        let events: Vec<Wrapped> = serde_json::from_slice(bytes).map_err(misp)?;
        return Ok((0..)
            .zip(events)
            .map(|(i, one): (usize, _)| (format!("[{i}].Event"), one.event))
            .collect());
    }
    if head.response.is_some() {
        let answer: Answer = serde_json::from_slice(bytes).map_err(misp)?;
        let events = (0..).zip(answer.response);
        return Ok(events.map(|(i, one): (usize, _)| (format!("response[{i}].Event"), one.event)).collect());
    }
    if head.event.is_some() {
        let one: Wrapped = serde_json::from_slice(bytes).map_err(misp)?;
        return Ok(vec![("Event".to_owned(), one.event)]);
    }
    let event: Event = serde_json::from_slice(bytes).map_err(misp)?;
    Ok(vec![("Event".to_owned(), event)])
}

/// What stands in a file, without taking it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Head {
    response: Option<serde::de::IgnoredAny>,
    #[serde(rename = "Event")]
    event: Option<serde::de::IgnoredAny>,
}

/// A text that MISP sometimes writes as a number.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    some_text(deserializer).map(Option::unwrap_or_default)
}

fn some_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Null => None,
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => return Err(serde::de::Error::custom("expected a text or a number")),
    })
}

/// `true`, `1` and `"1"`.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(matches!(some_text(deserializer)?.as_deref(), Some("true" | "1")))
}

/// A list, or its only text.
fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    })
}

/// An object; an empty one is written as an empty list.
fn meta<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Meta, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(if value.is_object() { Meta::deserialize(value).unwrap_or_default() } else { Meta::default() })
}
