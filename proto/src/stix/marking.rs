//! Markings: what an author allows readers to do with an object, and what holds when several speak.
//!
//! The most restrictive of message and object holds, a granular marking counting for the whole object
//! (belfry serves objects whole). A marking that cannot be resolved, or of a kind nobody here knows, may
//! mean anything and so means [`Tlp::Red`]; a `statement` restricts nothing; absent is absent, and the
//! source's configured default is the caller's to apply and to show.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde_json::{Map, Value};

use crate::{schema, stix::object::Object};

/// Traffic Light Protocol 2.0 (FIRST), ordered from open to closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tlp {
    /// No limit.
    Clear,
    /// The community.
    Green,
    /// The recipient's organisation and its clients.
    Amber,
    /// The recipient's organisation only.
    AmberStrict,
    /// The named recipients only.
    Red,
}

/// A name that is not one of [`Tlp`]'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a TLP is clear, green, amber, amber+strict or red")]
pub struct TlpError;

impl Tlp {
    /// From open to closed.
    pub const ALL: [Self; 5] = [Self::Clear, Self::Green, Self::Amber, Self::AmberStrict, Self::Red];

    /// The name as configuration, API and CLI write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Green => "green",
            Self::Amber => "amber",
            Self::AmberStrict => "amber+strict",
            Self::Red => "red",
        }
    }

    /// Id of the OASIS marking definition of this level.
    #[must_use]
    pub const fn marking_id(self) -> &'static str {
        match self {
            Self::Clear => "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487",
            Self::Green => "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb",
            Self::Amber => "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421",
            Self::AmberStrict => "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003",
            Self::Red => "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1",
        }
    }

    /// The OASIS marking definition, minified. STIX 2.1 does not predefine TLP 2.0: every page carries the ones it uses.
    #[must_use]
    pub const fn definition(self) -> &'static str {
        macro_rules! definition {
            ($id:literal, $name:literal, $value:literal) => {
                concat!(
                    r#"{"type":"marking-definition","spec_version":"2.1","id":"marking-definition--"#,
                    $id,
                    r#"","created":"2022-10-01T00:00:00.000Z","name":"TLP:"#,
                    $name,
                    r#"","extensions":{"extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d":{"#,
                    r#""extension_type":"property-extension","tlp_2_0":""#,
                    $value,
                    r#""}}}"#
                )
            };
        }
        match self {
            Self::Clear => definition!("94868c89-83c2-464b-929b-a1a8aa3c8487", "CLEAR", "clear"),
            Self::Green => definition!("bab4a63c-aed9-4cf5-a766-dfca5abac2bb", "GREEN", "green"),
            Self::Amber => definition!("55d920b0-5e8b-4f79-9ee9-91f868d9b421", "AMBER", "amber"),
            Self::AmberStrict => {
                definition!("939a9414-2ddd-4d32-a0cd-375ea402b003", "AMBER+STRICT", "amber+strict")
            }
            Self::Red => definition!("e828b379-4e03-4974-9ac4-e53a884c97c1", "RED", "red"),
        }
    }

    /// The level a well-known marking definition stands for, TLP 1's ids among them (STIX 2.1 §7.2.1.4).
    #[must_use]
    pub fn of_marking(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tlp| tlp.marking_id() == id).or(match id {
            "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9" => Some(Self::Clear),
            "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da" => Some(Self::Green),
            "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82" => Some(Self::Amber),
            "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed" => Some(Self::Red),
            _ => None,
        })
    }
}

impl fmt::Display for Tlp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Reads `amber+strict`, `TLP:AMBER+STRICT` and TLP 1's `white`, in any case.
impl FromStr for Tlp {
    type Err = TlpError;

    fn from_str(text: &str) -> Result<Self, TlpError> {
        let text = text.trim().to_ascii_lowercase();
        match text.strip_prefix("tlp:").unwrap_or(&text) {
            "clear" | "white" => Ok(Self::Clear),
            "green" => Ok(Self::Green),
            "amber" => Ok(Self::Amber),
            "amber+strict" => Ok(Self::AmberStrict),
            "red" => Ok(Self::Red),
            _ => Err(TlpError),
        }
    }
}

impl From<Tlp> for schema::Tlp {
    fn from(tlp: Tlp) -> Self {
        match tlp {
            Tlp::Clear => Self::Clear,
            Tlp::Green => Self::Green,
            Tlp::Amber => Self::Amber,
            Tlp::AmberStrict => Self::AmberStrict,
            Tlp::Red => Self::Red,
        }
    }
}

/// `None` where it is unspecified.
impl From<schema::Tlp> for Option<Tlp> {
    fn from(tlp: schema::Tlp) -> Self {
        match tlp {
            schema::Tlp::Unspecified => None,
            schema::Tlp::Clear => Some(Tlp::Clear),
            schema::Tlp::Green => Some(Tlp::Green),
            schema::Tlp::Amber => Some(Tlp::Amber),
            schema::Tlp::AmberStrict => Some(Tlp::AmberStrict),
            schema::Tlp::Red => Some(Tlp::Red),
        }
    }
}

/// What a marking definition says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marking {
    /// How far it may travel.
    Tlp(Tlp),
    /// What may be done with it, not where it may go.
    Pap(schema::Pap),
    /// Terms in prose; restricts nothing.
    Statement,
    /// Anything else; treated as the most restrictive.
    Unknown,
}

impl Marking {
    /// What `definition`, a marking-definition object, says. A well-known id counts for more than its content.
    #[must_use]
    pub fn of(definition: &Object) -> Self {
        let known = Self::well_known(definition.id()).or_else(|| Self::read(&definition.properties()));
        known.unwrap_or(Self::Unknown)
    }

    /// What an id says that everybody knows, whoever brings its definition or none.
    fn well_known(id: &str) -> Option<Self> {
        Tlp::of_marking(id).map(Self::Tlp).or_else(|| pap_of_marking(id).map(Self::Pap))
    }

    /// Every part of a definition must be understood; the first that is not makes it unknown. So does one that says both how
    /// far it may travel and what may be done with it: only one of these would be minded.
    fn read(properties: &Map<String, Value>) -> Option<Self> {
        let mut found = None;
        let mut say = |marking: Self| {
            found = Some(match (found, marking) {
                (Some(Self::Tlp(a)), Self::Tlp(b)) => Self::Tlp(a.max(b)),
                (Some(Self::Unknown), _)
                | (Some(Self::Tlp(_)), Self::Pap(_))
                | (Some(Self::Pap(_)), Self::Tlp(_)) => Self::Unknown,
                (Some(known), Self::Statement) => known,
                (_, marking) => marking,
            });
        };
        if let Some(kind) = properties.get("definition_type") {
            let definition = properties.get("definition")?;
            match kind.as_str()? {
                "tlp" => say(Self::Tlp(definition.get("tlp")?.as_str()?.parse().ok()?)),
                "statement" => say(Self::Statement),
                _ => return None,
            }
        }
        if let Some(extensions) = properties.get("extensions") {
            for (id, extension) in extensions.as_object()? {
                match id.as_str() {
                    TLP_EXTENSION => say(Self::Tlp(extension.get("tlp_2_0")?.as_str()?.parse().ok()?)),
                    PAP_EXTENSION => say(Self::Pap(pap(extension.get("pap")?.as_str()?)?)),
                    _ => return None,
                }
            }
        }
        found
    }
}

/// OASIS common objects: the property `tlp_2_0` on marking definitions.
const TLP_EXTENSION: &str = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d";
/// OASIS common objects: the property `pap` on marking definitions.
const PAP_EXTENSION: &str = "extension-definition--f8d78575-edfd-406e-8e84-6162a8450f5b";

/// The well-known definition of a PAP level, if it has one (OASIS common objects).
#[must_use]
pub const fn pap_marking_id(pap: schema::Pap) -> Option<&'static str> {
    match pap {
        schema::Pap::Unspecified => None,
        schema::Pap::Clear => Some("marking-definition--ad15a0cd-55b6-4588-a14c-a66105329b92"),
        schema::Pap::Green => Some("marking-definition--c43594d1-4b11-4c59-93ab-1c9b14d53ce9"),
        schema::Pap::Amber => Some("marking-definition--60f8932b-e51e-4458-b265-a2e8be9a80ab"),
        schema::Pap::Red => Some("marking-definition--740d36e5-7714-4c30-961a-3ae632ceee0e"),
    }
}

/// The level that a well-known definition stands for.
fn pap_of_marking(id: &str) -> Option<schema::Pap> {
    use schema::Pap::{Amber, Clear, Green, Red};
    let mut levels = [Clear, Green, Amber, Red].into_iter();
    levels.find(|pap| pap_marking_id(*pap) == Some(id)).or((id == PAP_WHITE).then_some(Clear))
}

/// The level CLEAR had before, under an id of its own.
const PAP_WHITE: &str = "marking-definition--a3bea94c-b469-41dc-9cfe-d6e7daba7730";

/// Whether a marking is one of those that everybody knows, of TLP or PAP: it tells nothing of who uses it.
#[must_use]
pub fn is_well_known(id: &str) -> bool {
    Marking::well_known(id).is_some()
}

fn pap(text: &str) -> Option<schema::Pap> {
    let text = text.to_ascii_lowercase();
    match text.strip_prefix("pap:").unwrap_or(&text) {
        "clear" | "white" => Some(schema::Pap::Clear),
        "green" => Some(schema::Pap::Green),
        "amber" => Some(schema::Pap::Amber),
        "red" => Some(schema::Pap::Red),
        _ => None,
    }
}

/// The marking definitions that travel with some objects. Each message carries those it refers to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Markings(BTreeMap<String, Marking>);

impl Markings {
    /// The definitions among `objects`. Two that differ under one id say nothing anybody could rely on.
    #[must_use]
    pub fn of<'a>(objects: impl IntoIterator<Item = &'a Object>) -> Self {
        let mut found: BTreeMap<String, Marking> = BTreeMap::new();
        for object in objects.into_iter().filter(|object| object.kind() == "marking-definition") {
            let marking = Marking::of(object);
            found
                .entry(object.id().to_owned())
                .and_modify(|known| {
                    if *known != marking {
                        *known = Marking::Unknown;
                    }
                })
                .or_insert(marking);
        }
        Self(found)
    }

    /// What the marking `id` says here; [`Marking::Unknown`] if nothing defines it.
    #[must_use]
    pub fn marking(&self, id: &str) -> Marking {
        Marking::well_known(id).or_else(|| self.0.get(id).copied()).unwrap_or(Marking::Unknown)
    }
}

/// The marking that holds for `object` in a message marked `message`: the most restrictive of both.
///
/// `None` if neither says anything.
#[must_use]
pub fn effective(object: &Object, message: Option<Tlp>, markings: &Markings) -> Option<Tlp> {
    let own = object.marking_refs().iter().chain(object.granular_marking_refs());
    own.filter_map(|id| match markings.marking(id) {
        Marking::Tlp(tlp) => Some(tlp),
        Marking::Unknown => Some(Tlp::Red),
        Marking::Statement | Marking::Pap(_) => None,
    })
    .chain(message)
    .max()
}

/// The Permissible Actions Protocol level that holds for `object`, most restrictive of all; `None` if nothing says one.
#[must_use]
pub fn effective_pap(
    object: &Object,
    message: Option<schema::Pap>,
    markings: &Markings,
) -> Option<schema::Pap> {
    let own = object.marking_refs().iter().chain(object.granular_marking_refs());
    own.filter_map(|id| match markings.marking(id) {
        Marking::Pap(pap) => Some(pap),
        Marking::Tlp(_) | Marking::Statement | Marking::Unknown => None,
    })
    .chain(message.filter(|&pap| pap != schema::Pap::Unspecified))
    .max_by_key(|&pap| pap as i32)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const OTHER: &str = "marking-definition--298fe907-7931-4fd2-8131-2814dd493134";

    fn marked(refs: &[&str], granular: &[&str]) -> Object {
        let granular: Vec<_> =
            granular.iter().map(|id| json!({"marking_ref": id, "selectors": ["value"]})).collect();
        let object = json!({
            "type": "ipv4-addr", "id": "ipv4-addr--12592121-be4c-5a93-a813-5a5af16e50db", "value": "198.51.100.7",
            "object_marking_refs": refs, "granular_markings": granular,
        });
        Object::parse(&serde_json::to_vec(&object).unwrap()).unwrap()
    }

    fn definition(more: &Value) -> Object {
        let mut object = json!({
            "type": "marking-definition", "spec_version": "2.1", "id": OTHER, "created": "2026-11-23T10:00:00.000Z",
        });
        object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Object::parse(&serde_json::to_vec(&object).unwrap()).unwrap()
    }

    #[test]
    fn the_oasis_definitions_are_good_objects_that_say_their_level() {
        for tlp in Tlp::ALL {
            let object = Object::parse(tlp.definition().as_bytes()).unwrap();
            assert_eq!(object.raw(), tlp.definition().as_bytes());
            assert_eq!(object.id(), tlp.marking_id());
            assert_eq!(Marking::read(&object.properties()), Some(Marking::Tlp(tlp)));
            assert_eq!(tlp.as_str().parse(), Ok(tlp));
            assert_eq!(object.properties()["name"].as_str().unwrap().parse(), Ok(tlp));
            assert_eq!(Option::<Tlp>::from(schema::Tlp::from(tlp)), Some(tlp));
        }
        assert_eq!("orange".parse::<Tlp>(), Err(TlpError));
    }

    #[test]
    fn the_most_restrictive_of_message_and_object_holds() {
        let none = Markings::default();
        for message in [None, Some(Tlp::Clear), Some(Tlp::Amber), Some(Tlp::Red)] {
            for object in Tlp::ALL {
                let expected = message.map_or(object, |m| m.max(object));
                assert_eq!(effective(&marked(&[object.marking_id()], &[]), message, &none), Some(expected));
            }
            assert_eq!(effective(&marked(&[], &[]), message, &none), message);
        }
    }

    #[test]
    fn a_granular_marking_counts_for_the_whole_object() {
        let object = marked(&[Tlp::Clear.marking_id()], &[Tlp::AmberStrict.marking_id()]);
        assert_eq!(effective(&object, Some(Tlp::Green), &Markings::default()), Some(Tlp::AmberStrict));
    }

    #[test]
    fn an_unknown_marking_is_red_and_a_statement_is_nothing() {
        let object = marked(&[OTHER], &[]);
        assert_eq!(effective(&object, Some(Tlp::Clear), &Markings::default()), Some(Tlp::Red));
        let with = |more: &Value| {
            let definition = definition(more);
            effective(&object, Some(Tlp::Clear), &Markings::of([&definition]))
        };
        let statement = json!({"definition_type": "statement", "definition": {"statement": "Copyright"}});
        assert_eq!(with(&statement), Some(Tlp::Clear));
        assert_eq!(
            with(&json!({"definition_type": "tlp", "definition": {"tlp": "amber"}})),
            Some(Tlp::Amber)
        );
        assert_eq!(with(&json!({"definition_type": "tlp", "definition": {"tlp": "violet"}})), Some(Tlp::Red));
        assert_eq!(with(&json!({"definition_type": "iep", "definition": {}})), Some(Tlp::Red));
        assert_eq!(with(&json!({"extensions": {format!("extension-{OTHER}"): {"x": 1}}})), Some(Tlp::Red));
        assert_eq!(with(&json!({"extensions": {PAP_EXTENSION: {"pap": "red"}}})), Some(Tlp::Clear));
        for (tlp, pap) in [("clear", "red"), ("red", "clear")] {
            let both = json!({"extensions": {TLP_EXTENSION: {"tlp_2_0": tlp}, PAP_EXTENSION: {"pap": pap}}});
            assert_eq!(with(&both), Some(Tlp::Red), "of one that says both, one would not be minded");
        }
        let prose = json!({
            "definition_type": "statement", "definition": {"statement": "Copyright"},
            "extensions": {TLP_EXTENSION: {"tlp_2_0": "green"}},
        });
        assert_eq!(with(&prose), Some(Tlp::Green));
    }

    #[test]
    fn a_pap_that_everybody_knows_needs_no_definition_and_none_says_otherwise_of_it() {
        for (pap, uuid) in [
            (schema::Pap::Red, "740d36e5-7714-4c30-961a-3ae632ceee0e"),
            (schema::Pap::Clear, "ad15a0cd-55b6-4588-a14c-a66105329b92"),
            (schema::Pap::Clear, "a3bea94c-b469-41dc-9cfe-d6e7daba7730"),
        ] {
            let id = format!("marking-definition--{uuid}");
            let object = marked(&[&id], &[]);
            let forged = json!({
                "type": "marking-definition", "spec_version": "2.1", "id": id, "created": "2026-11-23T10:00:00.000Z",
                "extensions": {PAP_EXTENSION: {"extension_type": "property-extension", "pap": "amber"}},
            });
            let forged = Object::parse(forged.to_string().as_bytes()).unwrap();
            for markings in [Markings::default(), Markings::of([&forged])] {
                assert_eq!(effective_pap(&object, None, &markings), Some(pap), "{uuid}");
                assert_eq!(effective(&object, Some(Tlp::Green), &markings), Some(Tlp::Green), "{uuid}");
            }
            assert!(is_well_known(&id));
        }
    }

    #[test]
    fn definitions_that_contradict_each_other_are_unknown() {
        let [a, b] = ["clear", "green"]
            .map(|tlp| definition(&json!({"definition_type": "tlp", "definition": {"tlp": tlp}})));
        assert_eq!(Markings::of([&a, &a]).marking(OTHER), Marking::Tlp(Tlp::Clear));
        assert_eq!(Markings::of([&a, &b]).marking(OTHER), Marking::Unknown);
    }

    #[test]
    fn tlp_1_ids_are_read() {
        for (uuid, tlp) in [
            ("613f2e26-407d-48c7-9eca-b8e91df99dc9", Tlp::Clear),
            ("34098fce-860f-48ae-8e50-ebd3cc5e41da", Tlp::Green),
            ("f88d31f6-486f-44da-b317-01333bde0b82", Tlp::Amber),
            ("5e57c739-391a-4eb3-b6be-7d15ca92d5ed", Tlp::Red),
        ] {
            assert_eq!(Tlp::of_marking(&format!("marking-definition--{uuid}")), Some(tlp));
        }
    }

    #[test]
    fn pap_takes_the_most_restrictive_too() {
        let definition = definition(
            &json!({"extensions": {PAP_EXTENSION: {"extension_type": "property-extension", "pap": "AMBER"}}}),
        );
        let markings = Markings::of([&definition]);
        let object = marked(&[OTHER], &[]);
        assert_eq!(effective_pap(&object, Some(schema::Pap::Green), &markings), Some(schema::Pap::Amber));
        assert_eq!(effective_pap(&object, Some(schema::Pap::Red), &markings), Some(schema::Pap::Red));
        assert_eq!(effective_pap(&marked(&[], &[]), Some(schema::Pap::Unspecified), &markings), None);
    }
}
