//! A publication for somebody who is not to be named (design §8): what would name the member is taken out, or found.
//!
//! ```text
//! objects ─▶ without who created them ─▶ does a text name the member? does a reference lead to it? ─▶ Veiled │ Naming
//! ```
//!
//! `created_by_ref`, and the identities it leads to, say nothing that a defender acts on: they go. All else is the
//! author's to mend, because nobody else can say what a sentence means without a name.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{fold, own::Terms};
use crate::{
    id::MemberId,
    schema::Organisation,
    stix::{
        egress, marking,
        object::{Object, ObjectError},
    },
};

/// Last words of a name that say what kind of company it is; people leave them out.
const FORMS: [&str; 24] = [
    "ab", "ag", "as", "asbl", "aisbl", "bv", "bvba", "cv", "gmbh", "inc", "ivzw", "llc", "ltd", "nv", "oy",
    "plc", "sa", "sarl", "sas", "scrl", "se", "spa", "srl", "vzw",
];

/// What a member is known by.
#[derive(Clone, Debug)]
pub struct Veil {
    names: Terms,
    kbo: String,
}

/// Objects that name no member.
#[derive(Clone, Debug)]
pub struct Veiled {
    /// They, without who created them.
    pub objects: Vec<Object>,
    /// From how many the creator was taken.
    pub unattributed: usize,
    /// How many identities were left out, being creators.
    pub left_out: usize,
}

/// Why objects cannot go out for somebody who is not to be named. Holds no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Naming {
    /// A text says it.
    #[error(
        "{object}: {path} holds the name or a number of the member that is not to be named: write it without"
    )]
    Text {
        /// STIX id.
        object: String,
        /// Property in it.
        path: String,
    },
    /// What is stated beside the objects says it.
    #[error("{what} holds the name or a number of the member that is not to be named: write it without")]
    Stated {
        /// Which statement.
        what: &'static str,
    },
    /// A reference leads to it.
    #[error(
        "{object} refers to an identity that created objects of this bundle, and may be the member that is not to be \
         named: take that reference out"
    )]
    Reference {
        /// STIX id.
        object: String,
    },
    /// A marking of somebody's own making leads to whoever uses it elsewhere.
    #[error(
        "{object} bears a marking of somebody's own making, and the member that is not to be named may use it in messages of its \
         own: mark it by TLP and PAP alone"
    )]
    Marking {
        /// STIX id.
        object: String,
    },
    /// The objects were nothing but creators.
    #[error("without the identities that created them there are no objects left")]
    Nothing,
    /// An object is none without its creator.
    #[error(transparent)]
    Object(#[from] ObjectError),
}

impl Veil {
    /// Over everything that the admin log says of `member`.
    #[must_use]
    pub fn of(member: MemberId, organisation: &Organisation) -> Self {
        let mut names = Terms::default();
        names.add(&organisation.name);
        let mut words: Vec<String> = super::own::words_of(&fold(&organisation.name)).collect();
        if words.len() > 1 && words.last().is_some_and(|last| FORMS.contains(&last.as_str())) {
            words.pop();
            names.add(&words.join(" "));
        }
        names.add(&organisation.lei);
        names.add(&member.to_string());
        Self { names, kbo: organisation.kbo.clone() }
    }

    /// Takes the creators out.
    ///
    /// # Errors
    /// [`Naming`], the first thing that still would name the member. Work is linear in the objects' text.
    pub fn over(&self, objects: Vec<Object>) -> Result<Veiled, Naming> {
        let creators: BTreeSet<String> =
            objects.iter().filter_map(|object| object.created_by().map(str::to_owned)).collect();
        let before = objects.len();
        let mut veiled = Veiled { objects: Vec::with_capacity(before), unattributed: 0, left_out: 0 };
        for object in objects {
            if object.kind() == "identity" && creators.contains(object.id()) {
                veiled.left_out += 1;
                continue;
            }
            let object = match object.created_by() {
                Some(_) => {
                    veiled.unattributed += 1;
                    Object::parse(&egress::unattributed(object.raw()))?
                }
                None => object,
            };
            self.look(&object, &creators)?;
            veiled.objects.push(object);
        }
        if veiled.objects.is_empty() { Err(Naming::Nothing) } else { Ok(veiled) }
    }

    /// Looks at a text that goes out beside the objects.
    ///
    /// # Errors
    /// [`Naming::Stated`], with `what` it is.
    pub fn stated(&self, what: &'static str, text: &str) -> Result<(), Naming> {
        if self.is_in(text) { Err(Naming::Stated { what }) } else { Ok(()) }
    }

    fn look(&self, object: &Object, creators: &BTreeSet<String>) -> Result<(), Naming> {
        let id = || object.id().to_owned();
        if object.refs().iter().any(|id| creators.contains(id)) {
            return Err(Naming::Reference { object: id() });
        }
        let mut markings = object.marking_refs().iter().chain(object.granular_marking_refs());
        if markings.any(|id| !marking::is_well_known(id)) {
            return Err(Naming::Marking { object: id() });
        }
        for (name, value) in &object.properties() {
            if let Some(path) = self.named_in(name, value) {
                return Err(Naming::Text { object: id(), path });
            }
        }
        Ok(())
    }

    /// Where a member stands in `value`, which is at `path`. A property's own name may say it, and is not repeated then.
    fn named_in(&self, path: &str, value: &Value) -> Option<String> {
        if self.is_in(path) {
            return Some("a property's name".to_owned());
        }
        match value {
            Value::String(text) => self.is_in(text).then(|| path.to_owned()),
            Value::Number(number) => self.is_in(&number.to_string()).then(|| path.to_owned()),
            Value::Array(items) => {
                items.iter().enumerate().find_map(|(i, item)| self.named_in(&format!("{path}[{i}]"), item))
            }
            Value::Object(members) => {
                members.iter().find_map(|(name, value)| self.named_in(&format!("{path}.{name}"), value))
            }
            Value::Null | Value::Bool(_) => None,
        }
    }

    fn is_in(&self, text: &str) -> bool {
        let folded = fold(text);
        let words: Vec<String> = super::own::words_of(&folded).collect();
        // Enterprise numbers are written with dots, blanks, or a country before them.
        let has_number = || {
            let digits: String = folded.chars().filter(char::is_ascii_digit).collect();
            digits.contains(&self.kbo)
        };
        self.names.are_in(&words) || (!self.kbo.is_empty() && has_number())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const CREATOR: &str = "identity--298fe907-7931-4fd2-8131-2814dd493134";

    fn veil() -> Veil {
        let organisation = Organisation {
            name: "Example Bank NV".to_owned(),
            kbo: "0202239951".to_owned(),
            lei: "529900T8BM49AURSDO55".to_owned(),
            ..Organisation::default()
        };
        Veil::of(MemberId::new([0xab; 16]), &organisation)
    }

    fn object(kind: &str, n: u8, more: &Value) -> Object {
        let mut object = json!({"type": kind, "spec_version": "2.1",
            "id": format!("{kind}--298fe907-7931-4fd2-8131-2814dd4931{n:02}"), "name": "n",
            "created": "2026-11-23T10:00:00.000Z", "modified": "2026-11-23T10:00:00.000Z"});
        object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Object::parse(&serde_json::to_vec(&object).unwrap()).unwrap()
    }

    #[test]
    fn creators_go_and_what_they_created_stays() {
        let made =
            object("campaign", 1, &json!({"created_by_ref": CREATOR, "description": "phishing of a bank"}));
        let veiled =
            veil().over(vec![object("identity", 34, &json!({"name": "Example Bank"})), made]).unwrap();
        assert_eq!((veiled.objects.len(), veiled.unattributed, veiled.left_out), (1, 1, 1));
        let raw = String::from_utf8(veiled.objects[0].raw().to_vec()).unwrap();
        assert!(!raw.contains("created_by_ref") && raw.contains("phishing of a bank"), "{raw}");
    }

    #[test]
    fn what_would_name_the_member_is_found_with_its_place_and_never_repeated() {
        let text = |more: Value, path: &str| (object("campaign", 1, &more), path.to_owned());
        let nested =
            json!({"external_references": [{"source_name": "x", "description": "by e\u{200b}xample-BANK"}]});
        for (object, path) in [
            text(json!({"description": "Seen at Example Bank, NV"}), "description"),
            text(json!({"aliases": ["a", "example bank"]}), "aliases[1]"),
            text(nested, "external_references[0].description"),
            text(json!({"description": "company BE 0202.239.951"}), "description"),
            text(json!({"x_number": 202_239_951}), ""),
            text(json!({"labels": ["529900T8BM49AURSDO55"]}), "labels[0]"),
            text(json!({"x_of": "abababababababababababababababab"}), "x_of"),
            text(json!({"x_example_bank": true}), "a property's name"),
        ] {
            let found = veil().over(vec![object]);
            if path.is_empty() {
                assert!(found.is_ok(), "the number without its zero is any number");
                continue;
            }
            let error = found.unwrap_err();
            assert!(matches!(&error, Naming::Text { path: at, .. } if *at == path), "{error:?} {path}");
            assert!(!error.to_string().to_lowercase().contains("example bank"), "{error}");
        }
        assert!(
            veil().over(vec![object("campaign", 1, &json!({"description": "an example of a bank"}))]).is_ok()
        );
    }

    #[test]
    fn what_is_stated_beside_the_objects_is_looked_at_as_they_are() {
        for text in ["Phishing at example bank", "source=BE 0202.239.951", "EXAMPLE BANK NV"] {
            let found = veil().stated("class_label", text).unwrap_err();
            assert_eq!(found, Naming::Stated { what: "class_label" }, "{text}");
            assert!(!found.to_string().to_lowercase().contains("example"), "{found}");
        }
        assert_eq!(veil().stated("class_label", "phishing of a bank"), Ok(()));
    }

    #[test]
    fn a_reference_to_a_creator_and_a_bundle_of_creators_alone_are_refused() {
        let made = object("campaign", 1, &json!({"created_by_ref": CREATOR}));
        let grouping =
            object("grouping", 2, &json!({"context": "suspicious-activity", "object_refs": [CREATOR]}));
        let error = veil().over(vec![made, grouping]).unwrap_err();
        assert!(
            matches!(&error, Naming::Reference { object } if object.starts_with("grouping")),
            "{error:?}"
        );
        let itself = object("identity", 34, &json!({"name": "x", "created_by_ref": CREATOR}));
        assert_eq!(veil().over(vec![itself]).unwrap_err(), Naming::Nothing);
    }

    #[test]
    fn a_marking_that_the_member_may_use_elsewhere_is_refused_and_one_that_everybody_uses_is_not() {
        let own = "marking-definition--298fe907-7931-4fd2-8131-2814dd493100";
        let green = marking::Tlp::Green.marking_id();
        let granular = json!([{ "marking_ref": own, "selectors": ["name"] }]);
        for more in [json!({ "object_marking_refs": [green, own] }), json!({ "granular_markings": granular })]
        {
            let error = veil().over(vec![object("campaign", 1, &more)]).unwrap_err();
            assert!(
                matches!(&error, Naming::Marking { object } if object.starts_with("campaign")),
                "{error:?}"
            );
        }
        let amber = marking::pap_marking_id(crate::schema::Pap::Amber).unwrap();
        let marked = json!({ "object_marking_refs": [green, amber] });
        assert!(veil().over(vec![object("campaign", 1, &marked)]).is_ok());
    }
}
