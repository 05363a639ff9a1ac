//! Points in time as belfry writes them: microseconds since the Unix epoch, UTC.
//!
//! The pure crate has no clock; every `now` is an argument.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

/// Microseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

/// A time text that RFC 3339 does not allow, or outside 1970..9999.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an RFC 3339 time such as 2027-11-30T00:00:00Z")]
pub struct TimeError {
    text: String,
}

impl Timestamp {
    /// The epoch; as a field value it means "unset".
    pub const ZERO: Self = Self(0);
    /// The last time that a text can name (year 9999).
    pub const MAX: Self = Self(253_402_207_200_000_000);

    /// From microseconds since the epoch.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// `self + by`, at most the largest number.
    #[must_use]
    pub fn saturating_add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_micros()).unwrap_or(u64::MAX)))
    }

    /// `self - by`, at least the epoch.
    #[must_use]
    pub fn saturating_sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(by.as_micros()).unwrap_or(u64::MAX)))
    }

    /// How long `earlier` lies before `self`; zero if it does not.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// RFC 3339 with six sub-second digits and `Z`, as TAXII 2.1 §3.2 asks; fixed width, so texts sort as times do.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = i64::try_from(self.0.min(Self::MAX.0)).unwrap_or(i64::MAX);
        match jiff::Timestamp::from_microsecond(micros) {
            Ok(t) => write!(f, "{t:.6}"),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

impl FromStr for Timestamp {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let error = || TimeError { text: text.chars().take(64).collect() };
        let t: jiff::Timestamp = text.parse().map_err(|_| error())?;
        u64::try_from(t.as_microsecond()).map(|n| Self(n).min(Self::MAX)).map_err(|_| error())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        // As builds wrote what lies beyond the last time that a text can name.
        match text.strip_suffix("us").and_then(|n| n.parse::<u64>().ok()) {
            Some(n) => Ok(Self(n).min(Self::MAX)),
            None => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

/// How long to wait after so many failures in a row: `first`, then twice as long each time, at most `longest`.
#[must_use]
pub fn doubled(first: Duration, failures: u32, longest: Duration) -> Duration {
    first.saturating_mul(1 << failures.min(16)).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_number_agree() -> Result<(), TimeError> {
        let t: Timestamp = "2026-11-23T10:00:00.123456Z".parse()?;
        assert_eq!(t.to_string(), "2026-11-23T10:00:00.123456Z");
        assert_eq!(t.to_string().parse::<Timestamp>()?, t);
        assert_eq!(Timestamp::ZERO.to_string(), "1970-01-01T00:00:00.000000Z");
        // What was written as text is read again, whatever it was.
        for n in [0, 1, Timestamp::MAX.0 - 1, Timestamp::MAX.0, Timestamp::MAX.0 + 1, u64::MAX] {
            let read: Timestamp = Timestamp(n).to_string().parse()?;
            assert_eq!(read, Timestamp(n).min(Timestamp::MAX));
        }
        assert_eq!("9999-12-30T22:00:00.5Z".parse::<Timestamp>()?, Timestamp::MAX);
        let before: Result<Timestamp, _> = serde_json::from_str(r#""253402207200999999us""#);
        assert_eq!(before.ok(), Some(Timestamp::MAX));
        Ok(())
    }

    #[test]
    fn times_before_the_epoch_and_prose_are_refused() {
        assert!("1969-12-31T23:59:59Z".parse::<Timestamp>().is_err());
        assert!("tomorrow".parse::<Timestamp>().is_err());
    }
}
