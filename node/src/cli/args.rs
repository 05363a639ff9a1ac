//! Values on the command line and in charter drafts, by the names the documentation uses.

use std::str::FromStr;

use belfry_proto::{
    schema::{Action, Capacity, EntityClass, HistoryPolicy, RevocationReason, Role},
    time::Timestamp,
};

/// A schema enum whose names follow from protobuf's: `ENTITY_CLASS_ICT_PROVIDER` is `ict-provider`.
pub(super) trait Named: Copy + TryFrom<i32> {
    /// What protobuf puts before each name.
    const PREFIX: &'static str;
    /// What a value is called in refusals.
    const WHAT: &'static str;
    /// Protobuf's name.
    fn proto_name(self) -> &'static str;

    /// The name without prefix, in lower case with hyphens.
    fn name(self) -> String {
        let name = self.proto_name();
        name.strip_prefix(Self::PREFIX).unwrap_or(name).to_ascii_lowercase().replace('_', "-")
    }

    /// Every value but "unspecified".
    fn all() -> Vec<Self> {
        (0..64).filter_map(|i| Self::try_from(i).ok()).filter(|v| v.name() != "unspecified").collect()
    }

    /// The value of that name.
    fn parse(text: &str) -> Result<Self, String> {
        Self::all().into_iter().find(|v| v.name() == text).ok_or_else(|| {
            let names: Vec<String> = Self::all().into_iter().map(Self::name).collect();
            format!("{text:?} is not {}: write one of {}", Self::WHAT, names.join(", "))
        })
    }
}

macro_rules! named {
    ($type:ty, $prefix:literal, $what:literal) => {
        impl Named for $type {
            const PREFIX: &'static str = $prefix;
            const WHAT: &'static str = $what;
            fn proto_name(self) -> &'static str {
                self.as_str_name()
            }
        }
    };
}

named!(Action, "ACTION_", "an action");
named!(EntityClass, "ENTITY_CLASS_", "an entity class");
named!(Capacity, "CAPACITY_", "a capacity");
named!(Role, "ROLE_", "a role");
named!(HistoryPolicy, "HISTORY_POLICY_", "a history policy");
named!(RevocationReason, "REVOCATION_REASON_", "a reason code");

/// The name of a schema value as it stands on the wire; "unknown" for a number this version has no name for.
pub(super) fn wire_name<N: Named>(number: i32) -> String {
    N::try_from(number).map_or_else(|_| "unknown".into(), N::name)
}

/// A group's slug, with a role where the command line gives one: `cidr` or `cidr:steward`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GroupArg {
    pub(super) slug: String,
    pub(super) role: Option<Role>,
}

impl FromStr for GroupArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (slug, role) = match text.split_once(':') {
            Some((slug, role)) => (slug, Some(Role::parse(role)?)),
            None => (text, None),
        };
        match slug.is_empty() {
            true => Err("a group is named by its slug, as in cidr or cidr:steward".into()),
            false => Ok(Self { slug: slug.into(), role }),
        }
    }
}

/// A day, meaning its last second (UTC), or an RFC 3339 time.
pub(super) fn until(text: &str) -> Result<Timestamp, String> {
    let day = text.len() == 10 && !text.contains('T');
    let full = if day { format!("{text}T23:59:59Z") } else { text.to_owned() };
    full.parse().map_err(|_| format!("{text:?} is not a date: write 2027-11-30 or 2027-11-30T12:00:00Z"))
}

/// The day of a time, for tables.
pub(super) fn day(time: Timestamp) -> String {
    time.to_string().chars().take(10).collect()
}

/// A time to the second, for listings.
pub(super) fn second(time: Timestamp) -> String {
    time.to_string().chars().take(19).collect::<String>() + "Z"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_schema_without_prefix() {
        assert_eq!(EntityClass::parse("ict-provider"), Ok(EntityClass::IctProvider));
        assert_eq!(RevocationReason::KeyCompromise.name(), "key-compromise");
        assert_eq!(Capacity::parse("none"), Ok(Capacity::None));
        assert!(EntityClass::parse("unspecified").unwrap_err().contains("out-of-scope"));
    }

    #[test]
    fn a_day_lasts_to_its_end() {
        assert_eq!(until("2027-11-30").unwrap().to_string(), "2027-11-30T23:59:59.000000Z");
        assert!(until("30/11/2027").is_err());
    }

    #[test]
    fn a_group_may_carry_its_role() {
        let group: GroupArg = "cidr:steward".parse().unwrap();
        assert_eq!((group.slug.as_str(), group.role), ("cidr", Some(Role::Steward)));
        assert!("cidr:king".parse::<GroupArg>().is_err());
    }
}
