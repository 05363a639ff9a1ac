//! A change that one member proposes to the owner of an object.
//!
//! Nobody but its owner changes an object, and STIX has no type for asking. So a proposal is a note on the object, with
//! the change in belfry's [extension](super::extension): properties that get another value, and properties that go. It
//! names the version that it was made of, and is applied to that one alone. The owner answers by an opinion on the note.
//!
//! ```text
//! Change::of(wish) ─▶ applied(raw, now) is a whole STIX object ─▶ Proposal ─note─▶ the owner
//! note ─Proposal::read─▶ applied(raw, now) ─▶ the owner's next version
//! ```

use std::{collections::BTreeSet, time::Duration};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    stix::{
        extension,
        object::{Object, ObjectError},
        properties, strict,
    },
    time::Timestamp,
};

/// Under which the extension has it.
const MEMBER: &str = "proposal";
/// What readers that know only STIX find such notes by.
pub const LABEL: &str = "belfry-proposal";
/// Properties of one change. Whoever would change more writes an object.
const MOST: usize = 64;
/// What no proposal touches: what an object is, who made it and when, and who may see it, which its owner alone decides.
const FIXED: [&str; 9] = [
    "type",
    "spec_version",
    "id",
    "created",
    "modified",
    "created_by_ref",
    "object_marking_refs",
    "granular_markings",
    "extensions",
];

/// Why a change is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposalError {
    /// It would change nothing.
    #[error("the object says all of this already; propose what it does not say")]
    Nothing,
    /// Beyond [`MOST`].
    #[error("{0} properties; one proposal changes at most {MOST}")]
    TooMany(usize),
    /// The owner's alone.
    #[error(
        "`{0}` is not for others to change: what an object is, whose it is and who may see it its owner decides"
    )]
    Fixed(String),
    /// Both set and taken away.
    #[error("`{0}` is both set and removed")]
    Twice(String),
    /// Observables, markings: they have no versions.
    #[error("a {0} has no versions, so nothing of it can be changed")]
    Unversioned(String),
    /// The result.
    #[error("so changed it is no STIX object: {0}")]
    Broken(#[from] ObjectError),
    /// What is to be changed does not read.
    #[error("the object does not read")]
    Unreadable,
}

/// What is to be changed.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Change {
    /// Properties and their new values.
    #[serde(default)]
    pub set: Map<String, Value>,
    /// Properties that go.
    #[serde(default)]
    pub remove: BTreeSet<String>,
}

impl Change {
    /// The object in these bytes so changed, later than it and no earlier than `now`; checked.
    ///
    /// # Errors
    /// [`ProposalError`].
    pub fn applied(&self, raw: &[u8], now: Timestamp) -> Result<Object, ProposalError> {
        let mut object: Map<String, Value> =
            serde_json::from_slice(raw).map_err(|_| ProposalError::Unreadable)?;
        let kind = object.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        let modified = object.get("modified").and_then(Value::as_str);
        let Some(modified) = modified.filter(|_| !properties::is_observable(&kind)) else {
            return Err(ProposalError::Unversioned(kind));
        };
        self.check()?;
        let changes = self.set.iter().any(|(name, value)| object.get(name) != Some(value))
            || self.remove.iter().any(|name| object.contains_key(name));
        if !changes {
            return Err(ProposalError::Nothing);
        }
        let before: Timestamp = modified.parse().map_err(|_| ProposalError::Unreadable)?;
        let later = before.saturating_add(Duration::from_millis(1)).max(now);
        object.insert("modified".to_owned(), later.to_string().into());
        for (name, value) in &self.set {
            object.insert(name.clone(), value.clone());
        }
        for name in &self.remove {
            object.remove(name);
        }
        let object = Object::parse(Value::Object(object).to_string().as_bytes())?;
        strict::check(&object)?;
        Ok(object)
    }

    fn check(&self) -> Result<(), ProposalError> {
        let count = self.set.len() + self.remove.len();
        if count > MOST {
            return Err(ProposalError::TooMany(count));
        }
        let mut names = self.set.keys().chain(&self.remove);
        if let Some(fixed) = names.find(|name| FIXED.contains(&name.as_str())) {
            return Err(ProposalError::Fixed(fixed.clone()));
        }
        match self.set.keys().find(|name| self.remove.contains(*name)) {
            Some(twice) => Err(ProposalError::Twice(twice.clone())),
            None => Ok(()),
        }
    }

    /// The change in words, for readers that know only STIX.
    fn told(&self) -> String {
        let set = self.set.iter().map(|(name, value)| format!("set {name} to {value}"));
        let removed = self.remove.iter().map(|name| format!("remove {name}"));
        set.chain(removed).collect::<Vec<_>>().join("; ")
    }
}

/// A change as it is proposed.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// STIX id of the object.
    pub of: String,
    /// The version that it was made of.
    pub version: String,
    /// What is to be changed.
    pub change: Change,
    /// Why, in the proposer's words.
    pub comment: String,
}

/// As the extension has it.
#[derive(Deserialize)]
struct Said {
    version: String,
    #[serde(flatten)]
    change: Change,
    #[serde(default)]
    comment: String,
}

impl Proposal {
    /// The note that says it.
    #[must_use]
    pub fn note(&self, id: &str, at: Timestamp) -> Value {
        let mut said = Map::new();
        said.insert("version".to_owned(), self.version.clone().into());
        // STIX knows no empty lists and objects (§2.1, §2.9).
        if !self.change.set.is_empty() {
            said.insert("set".to_owned(), self.change.set.clone().into());
        }
        if !self.change.remove.is_empty() {
            said.insert("remove".to_owned(), json!(self.change.remove));
        }
        if !self.comment.is_empty() {
            said.insert("comment".to_owned(), self.comment.clone().into());
        }
        let told = self.change.told();
        let content = if self.comment.is_empty() { told } else { format!("{}\n\n{told}", self.comment) };
        json!({
            "type": "note", "spec_version": "2.1", "id": id,
            "created": at.to_string(), "modified": at.to_string(), "labels": [LABEL],
            "abstract": "Proposed change", "content": content, "object_refs": [self.of],
            "extensions": extension::of(MEMBER, said.into()),
        })
    }

    /// Off a note's JSON; none of what is no proposal, or one that no node of belfry makes.
    #[must_use]
    pub fn read(raw: &[u8]) -> Option<Self> {
        let note: Map<String, Value> = serde_json::from_slice(raw).ok()?;
        let said = Said::deserialize(extension::member(&note, MEMBER)?).ok()?;
        let [of] = note.get("object_refs")?.as_array()?.as_slice() else { return None };
        let (of, Said { version, change, comment }) = (of.as_str()?.to_owned(), said);
        change.check().ok()?;
        Some(Self { of, version, change, comment })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "indicator--00000000-0000-4000-8000-000000000001";

    fn indicator() -> Vec<u8> {
        json!({
            "type": "indicator", "spec_version": "2.1", "id": ID, "name": "bad", "confidence": 90,
            "created": "2026-01-01T00:00:00.000Z", "modified": "2026-02-01T00:00:00.000Z",
            "created_by_ref": "identity--f431f809-377b-45e0-aa1c-6a4751cae5ff",
            "pattern": "[domain-name:value = 'evil.example']", "pattern_type": "stix",
            "valid_from": "2026-01-01T00:00:00Z",
        })
        .to_string()
        .into_bytes()
    }

    fn change(set: Value, remove: &[&str]) -> Change {
        let Value::Object(set) = set else { panic!("an object") };
        Change { set, remove: remove.iter().map(|name| (*name).to_owned()).collect() }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_change_makes_a_later_version_of_the_same_object_and_touches_nothing_else() {
        let change = change(json!({ "confidence": 20, "valid_until": "2026-03-01T00:00:00Z" }), &["name"]);
        let now = at("2026-02-02T00:00:00Z");
        let changed = change.applied(&indicator(), now).unwrap();
        let (before, after): (Value, Value) =
            (serde_json::from_slice(&indicator()).unwrap(), serde_json::from_slice(changed.raw()).unwrap());
        assert_eq!(after["modified"], now.to_string());
        assert_eq!((&after["confidence"], after.get("name")), (&json!(20), None));
        for kept in ["id", "created", "created_by_ref", "pattern", "valid_from"] {
            assert_eq!(before[kept], after[kept], "{kept}");
        }
        let early = change.applied(&indicator(), Timestamp::ZERO).unwrap();
        assert_eq!(early.modified(), Some("2026-02-01T00:00:00.001000Z"), "later than what it changes");
    }

    #[test]
    fn what_an_object_is_and_who_may_see_it_is_not_proposed() {
        let now = at("2026-02-02T00:00:00Z");
        // Names of STIX 2.1 §3.2, and not those of the list that is tested.
        for fixed in [
            "type",
            "spec_version",
            "id",
            "created",
            "modified",
            "created_by_ref",
            "object_marking_refs",
            "granular_markings",
            "extensions",
        ] {
            for change in [change(json!({ fixed: "x" }), &[]), change(json!({}), &[fixed])] {
                let refused = change.applied(&indicator(), now).unwrap_err();
                assert_eq!(refused, ProposalError::Fixed(fixed.to_owned()));
            }
        }
        let refused = |change: Change| change.applied(&indicator(), now).unwrap_err();
        assert_eq!(refused(change(json!({ "confidence": 90 }), &["absent"])), ProposalError::Nothing);
        assert_eq!(refused(change(json!({ "name": "x" }), &["name"])), ProposalError::Twice("name".into()));
        assert!(matches!(refused(change(json!({}), &["pattern"])), ProposalError::Broken(_)));
        let broken = refused(change(json!({ "pattern": "[domain-name:value = " }), &[]));
        assert!(broken.to_string().contains("pattern"), "{broken}");
        let observable = br#"{"type":"ipv4-addr","id":"ipv4-addr--1","value":"198.51.100.7"}"#;
        let refused = change(json!({ "value": "198.51.100.8" }), &[]).applied(observable, now);
        assert_eq!(refused, Err(ProposalError::Unversioned("ipv4-addr".into())));
    }

    #[test]
    fn a_proposal_is_a_note_of_stix_and_reads_back_whole() {
        let proposal = Proposal {
            of: ID.to_owned(),
            version: "2026-02-01T00:00:00.000Z".to_owned(),
            change: change(json!({ "confidence": 20 }), &["description"]),
            comment: "seen on our own site".to_owned(),
        };
        let note = proposal
            .note("note--00000000-0000-4000-8000-000000000002", at("2026-02-02T00:00:00Z"))
            .to_string();
        let object = Object::parse(note.as_bytes()).unwrap();
        assert_eq!(Proposal::read(object.raw()), Some(proposal));
        assert!(note.contains("set confidence to 20; remove description"), "{note}");
        let foreign = note.replace("\"confidence\":20", "\"created_by_ref\":\"x\"");
        assert_eq!(Proposal::read(foreign.as_bytes()), None, "of what nobody may propose");
        assert_eq!(Proposal::read(note.replace(extension::ID, "extension-definition--1").as_bytes()), None);
    }
}
