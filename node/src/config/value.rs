//! Types of single values: what each looks like in the file, and what its refusal says.

use std::{fmt, str::FromStr};

use belfry_proto::{
    schema::{Purpose, Tlp},
    trust::names::{Named, UnknownName},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use tracing_subscriber::EnvFilter;

/// A duration as `"15s"`, `"5m"`, `"24h"`, `"7d"` or `"250ms"`.
pub(crate) mod duration {
    use std::time::Duration;

    use super::*;

    const UNITS: [(&str, u64); 5] =
        [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

    pub(crate) fn parse(text: &str) -> Result<Duration, String> {
        let wrong =
            || format!("{text:?} is not a duration: write a number and ms, s, m, h or d, as in \"15s\"");
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit.trim()).ok_or_else(wrong)?;
        let millis = number.parse::<u64>().ok().and_then(|n| n.checked_mul(*scale)).ok_or_else(wrong)?;
        match millis {
            0 => Err(format!("{text:?} is no time at all: write something longer than zero")),
            _ => Ok(Duration::from_millis(millis)),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
        parse(&String::deserialize(d)?).map_err(D::Error::custom)
    }

    pub(crate) fn serialize<S: Serializer>(value: &Duration, s: S) -> Result<S::Ok, S::Error> {
        let millis = u64::try_from(value.as_millis()).unwrap_or(u64::MAX);
        s.collect_str(&largest_unit(millis, &UNITS))
    }
}

/// A number of bytes as `"64MiB"`, `"1GiB"`, `"500kB"` or `"0B"`.
pub(crate) mod size {
    use super::*;

    const UNITS: [(&str, u64); 9] = [
        ("B", 1),
        ("kB", 1000),
        ("KiB", 1 << 10),
        ("MB", 1_000_000),
        ("MiB", 1 << 20),
        ("GB", 1_000_000_000),
        ("GiB", 1 << 30),
        ("TB", 1_000_000_000_000),
        ("TiB", 1 << 40),
    ];

    pub(crate) fn parse(text: &str) -> Result<u64, String> {
        let wrong = || {
            format!(
                "{text:?} is not a size: write a number and B, KiB, MiB, GiB, kB, MB or GB, as in \"64MiB\""
            )
        };
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit.trim()).ok_or_else(wrong)?;
        number.parse::<u64>().ok().and_then(|n| n.checked_mul(*scale)).ok_or_else(wrong)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<u64, D::Error> {
        parse(&String::deserialize(d)?).map_err(D::Error::custom)
    }

    pub(crate) fn serialize<S: Serializer>(value: &u64, s: S) -> Result<S::Ok, S::Error> {
        let binary =
            UNITS.map(|(name, scale)| (name, if scale.is_power_of_two() { scale } else { u64::MAX }));
        s.collect_str(&largest_unit(*value, &binary))
    }
}

/// A size that may be left unset.
pub(crate) mod optional_size {
    use super::*;

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<u64>, D::Error> {
        size::deserialize(d).map(Some)
    }

    pub(crate) fn serialize<S: Serializer>(value: &Option<u64>, s: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => size::serialize(value, s),
            None => s.serialize_none(),
        }
    }
}

/// The shortest exact text of `value`: the largest unit that divides it.
fn largest_unit(value: u64, units: &[(&str, u64)]) -> String {
    let exact = units.iter().filter(|(_, scale)| value >= *scale && value.is_multiple_of(*scale));
    match exact.max_by_key(|(_, scale)| *scale) {
        Some((name, scale)) => format!("{}{name}", value / scale),
        None => format!("{value}{}", units.first().map_or("", |(name, _)| name)),
    }
}

/// An address with port.
pub(crate) mod address {
    use std::net::SocketAddr;

    use super::*;

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<SocketAddr, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(|_| {
            D::Error::custom(format!("{text:?} is not an address and port: write it as \"127.0.0.1:4718\""))
        })
    }

    pub(crate) fn serialize<S: Serializer>(value: &SocketAddr, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(value)
    }
}

/// Host names as a `Host` header has them.
pub(crate) mod hosts {
    use super::*;

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
        let hosts = Vec::<String>::deserialize(d)?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-.:[]_".contains(c);
        match hosts.iter().find(|host| host.is_empty() || !host.chars().all(allowed)) {
            Some(host) => Err(D::Error::custom(format!(
                "{host:?} is not a host: write name or name:port, without scheme, path or wildcard"
            ))),
            None => Ok(hosts.iter().map(|host| host.to_ascii_lowercase()).collect()),
        }
    }

    pub(crate) fn serialize<S: Serializer>(value: &[String], s: S) -> Result<S::Ok, S::Error> {
        value.serialize(s)
    }
}

/// A TLP 2.0 label by its name, in any case, with or without `TLP:`.
///
/// # Errors
/// [`UnknownName`], which lists the names.
pub fn parse_tlp(text: &str) -> Result<Tlp, UnknownName> {
    let name = text.to_ascii_lowercase();
    Tlp::parse(&name.strip_prefix("tlp:").unwrap_or(&name).replace("amber-strict", "amber+strict"))
}

macro_rules! optional_name {
    ($module:ident, $type:ty, $parse:expr) => {
        pub(crate) mod $module {
            use super::*;

            pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<$type>, D::Error> {
                $parse(&String::deserialize(d)?).map(Some).map_err(D::Error::custom)
            }

            #[allow(clippy::ref_option)]
            pub(crate) fn serialize<S: Serializer>(value: &Option<$type>, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(value.map_or("", <$type as Named>::name))
            }
        }
    };
}

optional_name!(tlp, Tlp, parse_tlp);
optional_name!(purpose, Purpose, Purpose::parse);

/// Log directives that are known to parse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Filter(String);

impl Filter {
    /// The directives.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Filter {
    fn default() -> Self {
        Self("info".into())
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        EnvFilter::try_new(text).map(|_| Self(text.to_owned())).map_err(|e| {
            format!("{text:?} is not a log filter ({e}): write a level or directives, as in \"info,belfry_node::sync=debug\"")
        })
    }
}

impl<'de> Deserialize<'de> for Filter {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn durations_and_sizes_read_as_people_write_them() {
        assert_eq!(duration::parse("15s"), Ok(Duration::from_secs(15)));
        assert_eq!(duration::parse("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration::parse("7 d"), Ok(Duration::from_secs(7 * 86400)));
        assert_eq!(size::parse("64MiB"), Ok(64 << 20));
        assert_eq!(size::parse("0B"), Ok(0));
        for wrong in ["", "s", "15", "-1s", "1.5h", "99999999999999999999d", "1e3s"] {
            assert!(duration::parse(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "64", "64mib", "99999999TiB"] {
            assert!(size::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn labels_read_with_and_without_prefix() {
        assert_eq!(parse_tlp("TLP:AMBER+STRICT"), Ok(Tlp::AmberStrict));
        assert_eq!(parse_tlp("amber-strict"), Ok(Tlp::AmberStrict));
        assert!(parse_tlp("white").is_err());
    }
}
