//! Whose a value is: the adversary's, by which readers defend themselves, or a victim's, which helps nobody.
//!
//! Read off what the bundle itself says: patterns of indicators, what they are based on, who an e-mail came from and
//! went to, what attackers use and what they target. What nothing speaks of is of unknown role.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;

use crate::stix::{
    indicator::Indicator,
    object::Object,
    observable::{self, Observable},
};

/// Whose a value is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Nothing says.
    #[default]
    Unknown,
    /// The adversary's.
    Adversary,
    /// A victim's or bystander's; counts for more than [`Self::Adversary`] where both are said.
    Victim,
}

impl Role {
    /// Stable name, for API and people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Adversary => "adversary",
            Self::Victim => "victim",
        }
    }
}

/// Domain objects that stand for what the adversary is, has or does.
const OFFENSIVE: [&str; 9] = [
    "attack-pattern",
    "campaign",
    "indicator",
    "infrastructure",
    "intrusion-set",
    "malware",
    "malware-analysis",
    "threat-actor",
    "tool",
];

/// The roles that the objects of one bundle give each other.
pub(super) struct Roles {
    by_id: BTreeMap<String, Role>,
    /// What its indicators look for.
    hunted: HashSet<Observable>,
}

impl Roles {
    /// Of objects, each with the observables it is or speaks of.
    pub(super) fn of<'a>(objects: impl IntoIterator<Item = (&'a Object, &'a [Observable])>) -> Self {
        let mut roles = Self { by_id: BTreeMap::new(), hunted: HashSet::new() };
        for (object, named) in objects {
            match object.kind() {
                "indicator" if !named.is_empty() && is_hostile(object) => {
                    roles.hunted.extend(named.iter().cloned());
                }
                "email-message" => {
                    let properties = object.properties();
                    roles.all(properties.get("from_ref"), Role::Adversary);
                    roles.all(properties.get("sender_ref"), Role::Adversary);
                    for name in ["to_refs", "cc_refs", "bcc_refs"] {
                        roles.all(properties.get(name), Role::Victim);
                    }
                }
                "sighting" => roles.all(object.properties().get("where_sighted_refs"), Role::Victim),
                "relationship" => roles.relationship(object),
                _ => {}
            }
        }
        roles
    }

    fn all(&mut self, refs: Option<&Value>, role: Role) {
        let one = refs.and_then(Value::as_str).into_iter();
        let many = refs.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        for id in one.chain(many) {
            let known = self.by_id.entry(id.to_owned()).or_default();
            *known = (*known).max(role);
        }
    }

    fn relationship(&mut self, object: &Object) {
        let properties = object.properties();
        let kind = properties.get("relationship_type").and_then(Value::as_str).unwrap_or_default();
        let (source, target) = (properties.get("source_ref"), properties.get("target_ref"));
        let is_offensive = |end: Option<&Value>| {
            let of = end.and_then(Value::as_str).and_then(|id| id.split_once("--")).map(|(of, _)| of);
            match of {
                // What it has to do with otherwise may be a victim's, as who its host was seen to reach.
                Some("indicator") => matches!(kind, "based-on" | "indicates"),
                of => of.is_some_and(|of| OFFENSIVE.contains(&of)),
            }
        };
        if kind == "targets" || kind == "compromises" {
            self.all(target, Role::Victim);
            return;
        }
        // Either end may be the observable: "consists-of" runs one way, "derived-from" the other.
        if is_offensive(source) {
            self.all(target, Role::Adversary);
        }
        if is_offensive(target) {
            self.all(source, Role::Adversary);
        }
    }

    /// Whose an object is.
    pub(super) fn of_id(&self, id: &str) -> Role {
        self.by_id.get(id).copied().unwrap_or_default()
    }

    /// Whose the values of an object are.
    pub(super) fn whose(&self, object: &Object) -> Role {
        if object.kind() == "indicator" {
            return if is_hostile(object) { Role::Adversary } else { Role::Unknown };
        }
        let said = self.of_id(object.id());
        if said == Role::Unknown && object.is_observable() {
            let is_hunted = observable::extract(object).iter().any(|value| self.hunted.contains(value));
            return if is_hunted { Role::Adversary } else { said };
        }
        said
    }

    /// Whose a text at `path` of an object is: of an indicator only the pattern is the adversary's, its description
    /// may speak of anybody.
    pub(super) fn of_text(&self, object: &Object, path: &str) -> Role {
        match object.kind() {
            "indicator" if path == "pattern" => self.whose(object),
            "indicator" => Role::Unknown,
            // An e-mail's text was written to somebody.
            "email-message" if matches!(path, "body" | "subject") => Role::Unknown,
            _ if object.is_observable() => self.whose(object),
            _ if self.of_id(object.id()) == Role::Victim => Role::Victim,
            _ => Role::Unknown,
        }
    }

    /// Whether an object says that somebody in particular was hit.
    pub(super) fn tells_who_was_hit(&self, object: &Object) -> bool {
        match object.kind() {
            "identity" => {
                let properties = object.properties();
                let class = properties.get("identity_class").and_then(Value::as_str).unwrap_or_default();
                self.of_id(object.id()) == Role::Victim
                    && matches!(class, "individual" | "organization" | "system")
            }
            kind if observable_kind(kind) => self.of_id(object.id()) == Role::Victim,
            _ => false,
        }
    }
}

/// Observables that lead to people or their machines.
fn observable_kind(kind: &str) -> bool {
    matches!(kind, "email-addr" | "user-account" | "ipv4-addr" | "ipv6-addr" | "domain-name" | "mac-addr")
}

fn is_hostile(indicator: &Object) -> bool {
    Indicator::read(indicator.raw()).is_some_and(|indicator| !indicator.is_benign())
}
