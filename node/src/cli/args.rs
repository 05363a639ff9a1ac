//! Values on the command line and in charter drafts, by the names the documentation uses.

use std::{fmt::Write as _, io::Read as _, path::Path, str::FromStr};

use belfry_proto::{
    id::{CoalitionId, IdError},
    schema::{GroupRole, Role},
    stix::id,
    time::Timestamp,
    trust::{charter::Charter, names::Named, words},
};

use super::{
    days::begun,
    exit::{Usage, refuse},
};
use crate::clock;

/// Values as given, and where one is `-` the lines of stdin that are not empty, of which `most` bytes are read.
pub(super) fn values(given: &[String], most: u64) -> anyhow::Result<Vec<String>> {
    let mut values = Vec::new();
    for value in given {
        if value == "-" {
            let mut text = String::new();
            std::io::stdin().lock().take(most).read_to_string(&mut text)?;
            values.extend(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned));
        } else {
            values.push(value.clone());
        }
    }
    if values.is_empty() {
        return Err(Usage("there are no values on stdin".to_owned()).into());
    }
    Ok(values)
}

/// The name of a schema value as it stands on the wire; "unknown" for a number this version has no name for.
pub(super) fn wire_name<N: Named + TryFrom<i32>>(number: i32) -> &'static str {
    N::try_from(number).map_or("unknown", N::name)
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
            Some((slug, role)) => (slug, Some(Role::parse(role).map_err(|e| e.to_string())?)),
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

/// [`until`], but not a time that is over.
pub(super) fn still_to_come(text: &str) -> Result<Timestamp, String> {
    let time = until(text)?;
    match time > clock::now() {
        true => Ok(time),
        false => Err(format!("{text} is over: it is {} now", second(clock::now()))),
    }
}

/// A day (its midnight in UTC stands for it), or an RFC 3339 time: for what has been.
pub(super) fn moment(text: &str) -> Result<Timestamp, String> {
    let day = text.len() == 10 && !text.contains('T');
    let full = if day { format!("{text}T00:00:00Z") } else { text.to_owned() };
    let at: Timestamp = full
        .parse()
        .map_err(|_| format!("{text:?} is not a date: write 2027-11-30 or 2027-11-30T12:00:00+01:00"))?;
    Ok(if day { begun(at) } else { at })
}

/// An RFC 3339 time; a day alone would leave open whose midnight is meant.
pub(super) fn zoned(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| {
        format!("{text:?} says no time with its zone: write 2027-01-01T00:00:00+01:00, as midnight is elsewhere later")
    })
}

/// A STIX id.
pub(super) fn stix_id(text: &str) -> Result<String, String> {
    match id::is_id(text) {
        true => Ok(text.to_owned()),
        false => Err(format!("{text:?} is not a STIX id: write TYPE--UUID, as `belfry lookup` shows it")),
    }
}

/// A coalition's id, in hex or as its words.
pub(super) fn coalition(text: &str) -> Result<CoalitionId, String> {
    match text.split_whitespace().count() {
        1 => text.parse().map_err(|error: IdError| error.to_string()),
        _ => words::from_words(text).map_err(|error| error.to_string()),
    }
}

/// Arguments that were given, to be given again: ` --dir 'my node'`, each after a space.
pub(super) fn repeated(given: &[(&str, Option<&Path>)]) -> String {
    given.iter().fold(String::new(), |mut out, (name, path)| {
        if let Some(path) = path {
            let _ = write!(out, " {name} {}", quoted(&path.display().to_string()));
        }
        out
    })
}

/// `text` as a shell takes it for one word.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./~+:@%,=".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// The day of a time, for tables.
pub(super) fn day(time: Timestamp) -> String {
    time.to_string().chars().take(10).collect()
}

/// A time to the second, for listings.
pub(super) fn second(time: Timestamp) -> String {
    time.to_string().chars().take(19).collect::<String>() + "Z"
}

/// Named groups with the role each gets.
pub(super) fn roles(groups: &[GroupArg], role: Role, charter: &Charter) -> anyhow::Result<Vec<GroupRole>> {
    let mut found = Vec::with_capacity(groups.len());
    for group in groups {
        let Some(known) = charter.group_by_slug(&group.slug) else {
            refuse!("the charter has no group {:?}: it has {}", group.slug, slugs(charter));
        };
        if found.iter().any(|earlier: &GroupRole| earlier.group == known.id.get()) {
            refuse!(
                "group {} is named twice: name each group once, with the role that it shall be",
                group.slug
            );
        }
        found.push(GroupRole { group: known.id.get(), role: group.role.unwrap_or(role).into() });
    }
    Ok(found)
}

/// The charter's groups by slug, for refusals.
fn slugs(charter: &Charter) -> String {
    charter.groups().iter().map(|group| group.slug.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_lasts_to_its_end() {
        assert_eq!(until("2027-11-30").unwrap().to_string(), "2027-11-30T23:59:59.000000Z");
        assert!(until("30/11/2027").is_err());
    }

    #[test]
    fn a_moment_that_decides_rights_names_its_zone() {
        assert_eq!(zoned("2027-01-01T00:00:00+01:00").unwrap().to_string(), "2026-12-31T23:00:00.000000Z");
        assert!(zoned("2027-01-01").unwrap_err().contains("zone"));
        assert!(zoned("2027-01-01T00:00:00").is_err());
        assert_eq!(moment("2027-01-01").unwrap().to_string(), "2027-01-01T00:00:00.000000Z");
    }

    #[test]
    fn what_is_over_is_no_end() {
        let error = still_to_come("2020-01-01").unwrap_err();
        assert!(error.starts_with("2020-01-01 is over: it is 2"), "{error}");
        assert!(still_to_come("9999-01-01").is_ok());
    }

    #[test]
    fn ids_are_read_before_anybody_is_asked() {
        assert!(stix_id("indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f").is_ok());
        assert!(stix_id("indicator-8e2e").unwrap_err().contains("TYPE--UUID"));
        let id = CoalitionId::new([7; 32]);
        assert_eq!(coalition(&id.to_string()), Ok(id));
        assert_eq!(coalition(&words::to_words(id).to_uppercase()), Ok(id));
        assert!(coalition("0707").unwrap_err().contains("64 hex digits"));
        assert!(coalition("abandon ability").unwrap_err().contains("24"));
    }

    #[test]
    fn arguments_are_repeated_as_a_shell_takes_them() {
        let given =
            [("--config", None), ("--dir", Some(Path::new("my 'node'"))), ("--x", Some(Path::new("a/b")))];
        assert_eq!(repeated(&given), r" --dir 'my '\''node'\''' --x a/b");
    }

    #[test]
    fn a_group_may_carry_its_role() {
        let group: GroupArg = "cidr:steward".parse().unwrap();
        assert_eq!((group.slug.as_str(), group.role), ("cidr", Some(Role::Steward)));
        assert!("cidr:king".parse::<GroupArg>().is_err());
    }
}
