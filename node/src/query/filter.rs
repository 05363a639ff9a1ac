//! TAXII's filters (TAXII 2.1 §3.4), typed: what a page holds, whoever asks through whichever API.

use std::{collections::BTreeSet, fmt, str::FromStr};

use belfry_proto::time::{TimeError, Timestamp};

use crate::stated::Stated;

/// Objects on a page unless the client says otherwise.
pub const DEFAULT_LIMIT: usize = 500;
/// Most objects on a page; larger wishes are lowered, as TAXII 2.1 §3.5 allows.
pub const MAX_LIMIT: usize = 2_000;
/// Ids, types or versions in one filter; each id costs a look-up.
pub const MAX_VALUES: usize = 100;

/// Fields are ANDed, values within a field ORed; an empty field does not restrict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only rows added strictly after.
    pub added_after: Option<Timestamp>,
    /// STIX ids.
    pub ids: BTreeSet<String>,
    /// STIX types.
    pub kinds: BTreeSet<String>,
    /// Versions; empty means the last.
    pub versions: BTreeSet<VersionMatch>,
    /// STIX spec versions; what belfry holds is all 2.1.
    pub spec_versions: BTreeSet<String>,
    /// What publications state.
    pub stated: Stated,
    /// Not indicators that are past what their author says, as far as nothing was said of them before: whoever met another
    /// version has to be told how it ended. What is asked for by its id comes all the same.
    pub without_expired: bool,
}

impl Filter {
    /// The spec version of every object here.
    const SPEC_VERSION: &str = "2.1";

    /// Whether the spec-version field alone already excludes everything.
    #[must_use]
    pub fn is_other_spec(&self) -> bool {
        !self.spec_versions.is_empty() && !self.spec_versions.contains(Self::SPEC_VERSION)
    }

    /// Whether objects of this id and type pass; versions are judged among their like.
    #[must_use]
    pub fn takes(&self, id: &str, kind: &str) -> bool {
        (self.ids.is_empty() || self.ids.contains(id)) && (self.kinds.is_empty() || self.kinds.contains(kind))
    }
}

/// One value of `match[version]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum VersionMatch {
    /// The oldest.
    First,
    /// The newest.
    Last,
    /// Every one.
    All,
    /// Exactly this one.
    At(Timestamp),
}

impl fmt::Display for VersionMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First => f.write_str("first"),
            Self::Last => f.write_str("last"),
            Self::All => f.write_str("all"),
            Self::At(t) => t.fmt(f),
        }
    }
}

impl FromStr for VersionMatch {
    type Err = TimeError;
    fn from_str(text: &str) -> Result<Self, TimeError> {
        Ok(match text {
            "first" => Self::First,
            "last" => Self::Last,
            "all" => Self::All,
            time => Self::At(time_of(time)?),
        })
    }
}

/// An RFC 3339 time of any sub-second precision; finer than microseconds is cut, before 1970 is 1970.
///
/// # Errors
/// Not a time.
pub fn time_of(text: &str) -> Result<Timestamp, TimeError> {
    // jiff reads nine digits of a second; clients send what their language prints.
    let digits = text
        .find('.')
        .map_or(0, |dot| text.bytes().skip(dot.saturating_add(1)).take_while(u8::is_ascii_digit).count());
    let cut: String;
    let mut readable = text;
    if digits > 9
        && let Some((whole, fraction)) = text.split_once('.')
    {
        let (kept, rest) = fraction.split_at(digits.min(fraction.len()));
        cut = format!("{whole}.{}{rest}", kept.chars().take(9).collect::<String>());
        readable = &cut;
    }
    match readable.parse::<jiff::Timestamp>() {
        Ok(t) if t.as_microsecond() < 0 => Ok(Timestamp::ZERO),
        _ => readable.parse(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_any_precision_are_read() {
        let whole = "2026-11-23T10:00:00Z".parse::<Timestamp>().unwrap();
        for (text, micros) in [
            ("2026-11-23T10:00:00Z", 0),
            ("2026-11-23T10:00:00.1Z", 100_000),
            ("2026-11-23T10:00:00.123456Z", 123_456),
            ("2026-11-23T10:00:00.123456789Z", 123_456),
            ("2026-11-23T10:00:00.12345678901234Z", 123_456),
            ("2026-11-23T11:00:00.000001+01:00", 1),
        ] {
            assert_eq!(time_of(text).unwrap().as_micros(), whole.as_micros() + micros, "{text}");
        }
        assert_eq!(time_of("1900-01-01T00:00:00Z"), Ok(Timestamp::ZERO));
        for text in ["", "yesterday", "2026-11-23", "1700000000", "2026-11-23T10:00:00.éZ"] {
            assert!(time_of(text).is_err(), "{text}");
        }
    }
}
