//! What people call the schema's numbers, in drafts, commands, the API and STIX alike.
//!
//! One table per enum. The unspecified value has no name, so a text never means it; its `name` is "?",
//! for numbers that were never checked.

use serde::{Deserialize, Deserializer, de::Error as _};

use crate::schema::{
    AcceptancePolicy, Action, Capacity, ContactRole, EntityClass, HistoryPolicy, InformationClass, Pap,
    Purpose, RevocationReason, Role, StalenessPolicy, Tlp,
};

/// An enum whose values people write.
pub trait Named: Copy + PartialEq + Sized + 'static {
    /// What the enum is, as in "one of these *roles*".
    const WHAT: &'static str;
    /// Every value that has a name, in the schema's order.
    const NAMES: &'static [(Self, &'static str)];

    /// Its name; "?" for the unspecified value.
    #[must_use]
    fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(value, _)| *value == self).map_or("?", |(_, name)| name)
    }

    /// The value of this name, in lower case as written here.
    #[must_use]
    fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, other)| *other == name).map(|(value, _)| *value)
    }

    /// Every value that has a name.
    fn all() -> impl Iterator<Item = Self> {
        Self::NAMES.iter().map(|(value, _)| *value)
    }

    /// Every name.
    fn all_names() -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().map(|(_, name)| *name)
    }

    /// The value of this name.
    ///
    /// # Errors
    /// [`UnknownName`], which lists the names there are.
    fn parse(name: &str) -> Result<Self, UnknownName> {
        Self::from_name(name).ok_or_else(|| UnknownName {
            name: name.chars().take(64).collect(),
            what: Self::WHAT,
            names: Self::all_names().collect::<Vec<_>>().join(", "),
        })
    }
}

/// A text that names no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is no {what}: {names}")]
pub struct UnknownName {
    name: String,
    what: &'static str,
    names: String,
}

/// Reads a value by its name; for `#[serde(deserialize_with)]`.
///
/// # Errors
/// The deserialiser's, or [`UnknownName`] in it.
pub fn by_name<'de, T: Named, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    T::parse(&String::deserialize(from)?).map_err(D::Error::custom)
}

/// Reads a list of values by their names; for `#[serde(deserialize_with)]`.
///
/// # Errors
/// As [`by_name`].
pub fn list_by_name<'de, T: Named, D: Deserializer<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    Vec::<String>::deserialize(from)?.iter().map(|name| T::parse(name).map_err(D::Error::custom)).collect()
}

macro_rules! named {
    ($type:ident, $what:literal, $($variant:ident = $name:literal),+ $(,)?) => {
        impl Named for $type {
            const WHAT: &'static str = $what;
            const NAMES: &'static [(Self, &'static str)] = &[$((Self::$variant, $name)),+];
        }
    };
}

named!(
    EntityClass,
    "entity class",
    Essential = "essential",
    Important = "important",
    Financial = "financial",
    IctProvider = "ict-provider",
    Supplier = "supplier",
    Authority = "authority",
    Academic = "academic",
    OutOfScope = "out-of-scope",
);

named!(Capacity, "capacity", None = "none", Csirt = "csirt", Supervisor = "supervisor", Other = "other",);

named!(Role, "role", Reader = "reader", Publisher = "publisher", Steward = "steward",);

named!(HistoryPolicy, "history policy", None = "none", Window = "window", All = "all",);

named!(
    Tlp,
    "TLP",
    Clear = "clear",
    Green = "green",
    Amber = "amber",
    AmberStrict = "amber+strict",
    Red = "red",
);

named!(Pap, "PAP", Clear = "clear", Green = "green", Amber = "amber", Red = "red",);

named!(
    Purpose,
    "purpose",
    Prevent = "prevent",
    Detect = "detect",
    Respond = "respond",
    Recover = "recover",
    Mitigate = "mitigate",
    Awareness = "awareness",
    LimitSpread = "limit-spread",
    DefensiveCapabilities = "defensive-capabilities",
    RemediationAndDisclosure = "remediation-and-disclosure",
    Research = "research",
    OperationalResilience = "operational-resilience",
);

named!(
    RevocationReason,
    "revocation reason",
    Left = "left",
    KeyCompromise = "key-compromise",
    CeasedOperation = "ceased-operation",
    BreachOfRules = "breach-of-rules",
    IssuedInError = "issued-in-error",
    Other = "other",
);

named!(
    Action,
    "action",
    Issue = "issue",
    Renew = "renew",
    Supersede = "supersede",
    Suspend = "suspend",
    Resume = "resume",
    Revoke = "revoke",
    Entitle = "entitle",
    Disentitle = "disentitle",
    ExtendCut = "extend-cut",
    Accept = "accept",
    Amend = "amend",
);

named!(StalenessPolicy, "staleness policy", Warn = "warn", StopPublishing = "stop-publishing",);

named!(
    AcceptancePolicy,
    "acceptance policy",
    Warn = "warn",
    StopPublishing = "stop-publishing",
    Suspend = "suspend",
);

named!(
    ContactRole,
    "contact role",
    Incident = "incident",
    Abuse = "abuse",
    Vulnerability = "vulnerability",
    Privacy = "privacy",
    Legal = "legal",
    Admin = "admin",
);

named!(
    InformationClass,
    "information class",
    CyberThreat = "cyber-threat",
    NearMiss = "near-miss",
    Vulnerability = "vulnerability",
    Technique = "technique",
    Indicator = "indicator",
    Tactic = "tactic",
    ThreatActor = "threat-actor",
    Alert = "alert",
    Configuration = "configuration",
    Other = "other",
);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every number the schema knows has a name of its own that leads back to it; only "unspecified" has none.
    fn complete<T: Named + TryFrom<i32> + std::fmt::Debug>(schema_name: fn(&T) -> &'static str) {
        let mut names = BTreeSet::new();
        let mut known = 0;
        for value in (0..64).filter_map(|n| T::try_from(n).ok()) {
            if schema_name(&value).ends_with("_UNSPECIFIED") {
                assert_eq!(value.name(), "?");
                continue;
            }
            known += 1;
            assert!(names.insert(value.name()), "{value:?}");
            assert_eq!(T::from_name(value.name()), Some(value));
        }
        assert_eq!(T::all_names().count(), known, "{}", T::WHAT);
        assert_eq!(T::all().count(), known);
    }

    #[test]
    fn every_value_of_the_schema_has_its_name() {
        complete::<EntityClass>(EntityClass::as_str_name);
        complete::<Capacity>(Capacity::as_str_name);
        complete::<Role>(Role::as_str_name);
        complete::<HistoryPolicy>(HistoryPolicy::as_str_name);
        complete::<Tlp>(Tlp::as_str_name);
        complete::<Pap>(Pap::as_str_name);
        complete::<Purpose>(Purpose::as_str_name);
        complete::<RevocationReason>(RevocationReason::as_str_name);
        complete::<Action>(Action::as_str_name);
        complete::<StalenessPolicy>(StalenessPolicy::as_str_name);
        complete::<AcceptancePolicy>(AcceptancePolicy::as_str_name);
        complete::<ContactRole>(ContactRole::as_str_name);
        complete::<InformationClass>(InformationClass::as_str_name);
    }

    #[test]
    fn a_text_that_names_nothing_lists_what_there_is() {
        let error = Role::parse("boss").unwrap_err();
        assert_eq!(error.to_string(), "\"boss\" is no role: reader, publisher, steward");
        assert_eq!(Tlp::parse("amber+strict"), Ok(Tlp::AmberStrict));
        assert_eq!(Tlp::from_name("?"), None);
    }
}
