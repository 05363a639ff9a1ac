//! What belfry's own property extension says in an object: what STIX 2.1 has no word for (§7.3).
//!
//! | on | member | says |
//! |---|---|---|
//! | any object | `information_class`, `class_label`, `purpose`, `severity`, `handling`, `embargo_until`, `personal_data` | what its author states of this object alone ([`Stated`]) |
//! | note | `proposal` | what one member would have changed in another's object ([`super::proposal`]) |
//! | opinion | `expired` | since when an indicator no longer holds, by whoever says so |
//!
//! Readers that do not know it find an object without it, a note, and an opinion of nobody's side.
//!
//! What is stated is held to its words where it is written ([`check`]), because its author is at hand there. What others wrote
//! is read as far as it can be: a word that nobody knows states nothing, so the message's counts. Conditions of handling are
//! the exception: what of them does not read may forbid anything, and keeps the object inside as an unknown term does.

use serde_json::{Map, Value, json};

use crate::{
    limits::{MAX_CLASS_LABEL, MAX_TERM, MAX_TERMS},
    schema::{InformationClass, Purpose},
    stix::{handling, object::Rule, timestamp},
    time::Timestamp,
};

/// For ever: what was published bears it.
pub const ID: &str = "extension-definition--5c0c6d0e-4e0b-4d6a-9a55-2f7f3b6d1f4e";

/// Words of [`InformationClass`], by its numbers from 1.
static CLASSES: [&str; 10] = [
    "cyber-threat",
    "near-miss",
    "vulnerability",
    "technique",
    "indicator",
    "tactic",
    "threat-actor",
    "alert",
    "configuration",
    "other",
];
/// Words of [`Purpose`], by its numbers from 1.
static PURPOSES: [&str; 11] = [
    "prevent",
    "detect",
    "respond",
    "recover",
    "mitigate",
    "awareness",
    "limit-spread",
    "defensive-capabilities",
    "remediation-and-disclosure",
    "research",
    "operational-resilience",
];
/// Words of [`Severity`], the least first.
static SEVERITIES: [&str; 4] = ["low", "medium", "high", "critical"];
/// Stands for conditions that do not read: a term nobody knows.
const UNREADABLE: &str = "handling=unreadable";

/// How bad its author says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// For the record.
    Low,
    /// To be looked at.
    Medium,
    /// To be looked at first.
    High,
    /// To be looked at now.
    Critical,
}

/// What an author states in an object, of that object alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stated {
    /// Its information class; counts instead of what its type says, and of its message's.
    pub class: Option<InformationClass>,
    /// What the class "other" stands for.
    pub class_label: Option<String>,
    /// Its aim; counts instead of its message's.
    pub purpose: Option<Purpose>,
    /// How bad it is.
    pub severity: Option<Severity>,
    /// Not outside the recipients before this time, besides what its message asks.
    pub embargo_until: Option<Timestamp>,
    /// Terms of handling, `name=value`, besides its message's.
    pub terms: Vec<String>,
    /// Whether its author says that it holds data of people.
    pub personal_data: Option<bool>,
}

impl Stated {
    /// Off an object's JSON; `None` if it states nothing.
    #[must_use]
    pub fn read(raw: &[u8]) -> Option<Self> {
        Self::of(&serde_json::from_slice(raw).ok()?)
    }

    /// As [`Self::read`].
    pub(super) fn of(object: &Map<String, Value>) -> Option<Self> {
        let said = object.get("extensions")?.get(ID)?.as_object()?;
        let text = |name: &str| said.get(name).and_then(Value::as_str);
        let class = text("information_class").and_then(class);
        let label = text("class_label").filter(|text| is_label(text)).map(str::to_owned);
        let (terms, all_read) = terms(said.get("handling"));
        let until = said.get("embargo_until").map(|value| value.as_str().and_then(time));
        let is_unreadable = !all_read || until == Some(None);
        let stated = Self {
            class,
            class_label: label.filter(|_| class == Some(InformationClass::Other)),
            purpose: text("purpose").and_then(purpose),
            severity: text("severity").and_then(severity),
            embargo_until: until.flatten(),
            terms: terms.into_iter().chain(is_unreadable.then(|| UNREADABLE.to_owned())).collect(),
            personal_data: said.get("personal_data").and_then(Value::as_bool),
        };
        Some(stated).filter(|stated| *stated != Self::default())
    }

    /// The terms in force under a message's: all are to be met.
    #[must_use]
    pub fn terms_with(&self, message: &[String]) -> Vec<String> {
        let own = self.terms.iter().filter(|term| !message.contains(term));
        message.iter().chain(own).cloned().collect()
    }

    /// The embargo in force under a message's, the later one; in microseconds, 0 for none.
    #[must_use]
    pub fn embargo_with(&self, message: u64) -> u64 {
        self.embargo_until.map_or(0, Timestamp::as_micros).max(message)
    }
}

/// Holds what an object states to its words; which property breaks which rule.
pub(super) fn check(object: &Map<String, Value>) -> Result<(), (String, Rule)> {
    let Some(said) = object.get("extensions").and_then(|all| all.get(ID)).and_then(Value::as_object) else {
        return Ok(());
    };
    let fault = |name: &str, rule: Rule| Err((format!("extensions.{ID}.{name}"), rule));
    for (name, vocabulary, words) in [
        ("information_class", "information classes", CLASSES.as_slice()),
        ("purpose", "purposes", PURPOSES.as_slice()),
        ("severity", "severities", SEVERITIES.as_slice()),
    ] {
        let is_word = |value: &Value| value.as_str().is_some_and(|text| words.contains(&text));
        if said.get(name).is_some_and(|value| !is_word(value)) {
            return fault(name, Rule::Word { name: vocabulary, words });
        }
    }
    let is_other = said.get("information_class").and_then(Value::as_str) == Some("other");
    match said.get("class_label") {
        None if is_other => return fault("class_label", Rule::Missing),
        Some(_) if !is_other => {
            return fault("class_label", Rule::Must("only stand beside the information class other"));
        }
        Some(label) if !label.as_str().is_some_and(is_label) => {
            return fault("class_label", Rule::Must("be 1 to 64 characters of one line"));
        }
        _ => {}
    }
    if said.get("embargo_until").is_some_and(|value| value.as_str().and_then(time).is_none()) {
        let rule = Rule::Must("be a time in RFC 3339 that ends in Z, as in 2027-11-30T00:00:00.000Z");
        return fault("embargo_until", rule);
    }
    if said.get("personal_data").is_some_and(|value| !value.is_boolean()) {
        return fault("personal_data", Rule::Must("be true or false"));
    }
    let Some(handling) = said.get("handling") else { return Ok(()) };
    let items = handling.as_array().filter(|items| (1..=MAX_TERMS).contains(&items.len()));
    let Some(items) = items else {
        return fault("handling", Rule::Must("be a list of 1 to 16 terms, name=value"));
    };
    for (at, item) in items.iter().enumerate() {
        let name = format!("handling[{at}]");
        let Some(term) = item.as_str().filter(|term| is_term(term)) else {
            return fault(&name, Rule::Must("be a text of one line, at most 128 bytes"));
        };
        if let Err(error) = handling::check(term) {
            return fault(&name, Rule::Term(error));
        }
    }
    Ok(())
}

/// Terms that read, and whether all did.
fn terms(handling: Option<&Value>) -> (Vec<String>, bool) {
    let Some(handling) = handling else { return (Vec::new(), true) };
    let Some(items) = handling.as_array() else { return (Vec::new(), false) };
    let texts = items.iter().take(MAX_TERMS).filter_map(Value::as_str);
    let terms: Vec<String> = texts.filter(|term| is_term(term)).map(str::to_owned).collect();
    let all_read = terms.len() == items.len();
    (terms, all_read)
}

fn is_term(text: &str) -> bool {
    text.len() <= MAX_TERM && !text.chars().any(char::is_control)
}

fn is_label(text: &str) -> bool {
    (1..=MAX_CLASS_LABEL).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

fn time(text: &str) -> Option<Timestamp> {
    if timestamp::is_valid(text) { text.parse().ok() } else { None }
}

/// Number of a word, from 1.
fn number(words: &[&str], text: &str) -> Option<i32> {
    i32::try_from(words.iter().position(|word| *word == text)?.saturating_add(1)).ok()
}

/// The class that a word stands for.
pub(crate) fn class(text: &str) -> Option<InformationClass> {
    InformationClass::try_from(number(&CLASSES, text)?).ok()
}

fn purpose(text: &str) -> Option<Purpose> {
    Purpose::try_from(number(&PURPOSES, text)?).ok()
}

fn severity(text: &str) -> Option<Severity> {
    Some(match text {
        "low" => Severity::Low,
        "medium" => Severity::Medium,
        "high" => Severity::High,
        "critical" => Severity::Critical,
        _ => return None,
    })
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stix::{class, object::Object, strict};

    const OF: &str = "report--298fe907-7931-4fd2-8131-2814dd493134";

    fn stating(said: Value) -> Object {
        let mut extension = json!({ "extension_type": "property-extension" });
        extension.as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
        let object = json!({
            "type": "report", "spec_version": "2.1", "id": OF, "name": "n", "published": "2026-11-23T10:00:00Z",
            "created": "2026-11-23T10:00:00.000Z", "modified": "2026-11-23T10:00:00.000Z",
            "object_refs": ["indicator--298fe907-7931-4fd2-8131-2814dd493134"], "extensions": { ID: extension },
        });
        Object::parse(object.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_wrong_word_is_refused_with_object_property_and_rule_and_states_nothing_where_it_is_read() {
        for (said, path, rule) in [
            (
                json!({ "information_class": "alarm" }),
                "information_class",
                "must be a word of information classes",
            ),
            (json!({ "information_class": ["alert"] }), "information_class", "must be a word of"),
            (json!({ "purpose": "fun" }), "purpose", "must be a word of purposes: prevent, detect"),
            (
                json!({ "severity": 3 }),
                "severity",
                "must be a word of severities: low, medium, high, critical",
            ),
            (json!({ "class_label": "x" }), "class_label", "must only stand beside"),
            (json!({ "personal_data": "yes" }), "personal_data", "must be true or false"),
        ] {
            let object = stating(said.clone());
            let refused = strict::check(&object).unwrap_err().to_string();
            assert!(refused.starts_with(&format!("{OF}: extensions.{ID}.{path} {rule}")), "{refused}");
            assert_eq!(object.stated(), None, "{said}");
        }
        let unlabelled = stating(json!({ "information_class": "other" }));
        let refused = strict::check(&unlabelled).unwrap_err().to_string();
        assert!(refused.ends_with("class_label is missing"), "{refused}");
    }

    #[test]
    fn conditions_that_do_not_read_keep_the_object_inside() {
        for (said, path) in [
            (json!({ "handling": "attribution=must-not" }), "handling "),
            (json!({ "handling": [] }), "handling "),
            (json!({ "handling": [7] }), "handling[0] "),
            (json!({ "handling": ["atribution=must-not"] }), "handling[0] is no term of handling"),
            (json!({ "handling": ["a=1", "a".repeat(MAX_TERM + 1)] }), "handling[0] "),
            (json!({ "handling": vec!["tlp=green"; MAX_TERMS + 1] }), "handling "),
            (json!({ "embargo_until": "soon" }), "embargo_until "),
        ] {
            let object = stating(said.clone());
            let refused = strict::check(&object).unwrap_err().to_string();
            assert!(refused.contains(&format!("{ID}.{path}")), "{refused}");
            // Nothing was asked by an empty list; all else that is not known may forbid anything.
            let is_held = object.stated().is_some_and(|stated| {
                use crate::{
                    schema::Pap,
                    stix::{
                        Tlp,
                        egress::{Audience, Policy, Use, terms_allow},
                    },
                };
                let outside = Policy {
                    purpose: Use::Detect,
                    audience: Audience::Outside,
                    most: Tlp::Amber,
                    unstated_pap: Pap::Green,
                };
                !terms_allow(&outside, &stated.terms)
            });
            assert_eq!(is_held, said != json!({ "handling": [] }), "{said}");
        }
    }

    #[test]
    fn what_is_stated_counts_for_the_object_instead_of_its_type() {
        let object = stating(json!({
            "information_class": "alert", "purpose": "respond", "severity": "high", "personal_data": true,
            "handling": ["attribution=must-not"], "embargo_until": "2026-12-01T00:00:00Z",
        }));
        assert_eq!(strict::check(&object), Ok(()));
        let stated = object.stated().unwrap();
        assert_eq!(Some(stated), Stated::read(object.raw()).as_ref());
        assert_eq!((stated.class, stated.purpose), (Some(InformationClass::Alert), Some(Purpose::Respond)));
        assert_eq!((stated.severity, stated.personal_data), (Some(Severity::High), Some(true)));
        assert_eq!(class::of(&object), [InformationClass::Alert], "a report alone is a cyber threat");
        assert_eq!(class::of(&stating(json!({}))), [InformationClass::CyberThreat]);
        let message = ["attribution=must-not".to_owned(), "tlp=amber".to_owned()];
        assert_eq!(stated.terms_with(&message), message, "no term stands twice");
        assert_eq!(stated.terms_with(&[]), message[..1]);
        let until = stated.embargo_until.unwrap().as_micros();
        assert_eq!((stated.embargo_with(0), stated.embargo_with(until + 1)), (until, until + 1));
        let other = stating(json!({ "information_class": "other", "class_label": "minutes" }));
        assert_eq!(strict::check(&other), Ok(()));
        assert_eq!(other.stated().unwrap().class_label.as_deref(), Some("minutes"));
    }

    #[test]
    fn the_words_are_those_of_the_wire() {
        let word = |name: &str, prefix: &str| {
            name.strip_prefix(prefix).unwrap().to_ascii_lowercase().replace('_', "-")
        };
        for number in 1.. {
            let Ok(known) = InformationClass::try_from(number) else {
                assert_eq!(usize::try_from(number).unwrap(), CLASSES.len() + 1);
                break;
            };
            assert_eq!(class(&word(known.as_str_name(), "INFORMATION_CLASS_")), Some(known));
        }
        for number in 1.. {
            let Ok(known) = Purpose::try_from(number) else {
                assert_eq!(usize::try_from(number).unwrap(), PURPOSES.len() + 1);
                break;
            };
            assert_eq!(purpose(&word(known.as_str_name(), "PURPOSE_")), Some(known));
        }
        assert!(
            SEVERITIES
                .iter()
                .map(|word| severity(word))
                .is_sorted_by(|one, next| one.is_some() && one < next)
        );
    }
}
