//! How an event's objects relate: a relationship between what the two ends became.
//!
//! An attribute stands for the object of its first value; an object for the file that it tells, else for its only
//! attribute that names anything. Of a relation with an end that stands for nothing, or for several things, only the number
//! is told: to choose one of them would invent what nobody said.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    super::{
        Import, Place, Why,
        make::{Frame, time},
    },
    json::{Object, Reference},
    parts::seconds,
};
use crate::stix::marking::Tlp;

/// The longest relation that is told by its own name; MISP's have some twenty signs.
const MAX_NAME: usize = 40;

/// What an item of an event became.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) id: String,
    /// As closed as it is said.
    pub(super) tlp: Option<Tlp>,
    /// As STIX writes times.
    pub(super) modified: String,
}

impl End {
    /// Of an object that was made in `frame`.
    pub(super) fn of(id: &str, frame: &Frame) -> Self {
        Self { id: id.to_owned(), tlp: frame.tlp, modified: frame.modified.clone() }
    }
}

/// What the items of an event became, by their uuids in lower case.
#[derive(Debug, Default)]
pub(super) struct Ends(BTreeMap<String, End>);

impl Ends {
    /// The first object of an item stands.
    pub(super) fn add(&mut self, uuid: &str, end: End) {
        let key = key(uuid);
        if !key.is_empty() {
            self.0.entry(key).or_insert(end);
        }
    }

    pub(super) fn of(&self, uuid: &str) -> Option<&End> {
        self.0.get(&key(uuid))
    }

    /// The relationships that `object`, at `path`, says; tells how many relations were left out.
    pub(super) fn relationships(
        &self,
        path: &str,
        object: &Object,
        frame: &Frame,
        import: &mut Import,
    ) -> Vec<Map<String, Value>> {
        let (mut found, mut left) = (Vec::new(), 0);
        for (i, reference) in object.references.iter().enumerate() {
            if reference.deleted {
                import.skip(Place::Path(format!("{path}.ObjectReference[{i}]")), Why::Deleted);
                continue;
            }
            match (self.of(&object.uuid), self.of(&reference.to)) {
                (Some(from), Some(to)) if from.id != to.id => {
                    found.push(relationship(reference, (from, to), frame));
                }
                _ => left += 1,
            }
        }
        if left > 0 {
            import.skip(Place::Path(path.to_owned()), Why::References(left));
        }
        found
    }
}

fn relationship(reference: &Reference, (from, to): (&End, &End), frame: &Frame) -> Map<String, Value> {
    let when = seconds(&reference.timestamp).map_or_else(|| frame.created.clone(), time);
    // It tells of both, and so is as closed as the more closed one, and changes with each.
    let modified = [&when, &from.modified, &to.modified].into_iter().max().unwrap_or(&when).clone();
    let frame = Frame { created: when, modified, tlp: from.tlp.max(to.tlp), ..frame.clone() };
    let kind = name(&reference.kind);
    let mut told = frame.relationship(&kind, &from.id, &to.id);
    if let Ok(uuid) = uuid::Uuid::try_parse(reference.uuid.trim()) {
        told.insert("id".to_owned(), json!(format!("relationship--{}", uuid.hyphenated())));
    }
    if !reference.comment.trim().is_empty() {
        told.insert("description".to_owned(), json!(reference.comment));
    }
    told
}

/// A relation's name as STIX writes it (STIX 2.1 §5.1); what is no word is `related-to`. By its name guards tell whose
/// the other end is: of an indicator's only `based-on` and `indicates` make it the adversary's.
fn name(said: &str) -> String {
    let name: String = said.trim().to_ascii_lowercase().replace(['_', ' '], "-");
    let is_word = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.len() <= MAX_NAME
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    if is_word { name } else { "related-to".to_owned() }
}

fn key(uuid: &str) -> String {
    uuid.trim().to_ascii_lowercase()
}
