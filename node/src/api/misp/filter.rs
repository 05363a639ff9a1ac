//! What a filter of MISP's clients may be: texts, flags and times in the spellings that these clients send, and values as
//! MISP compares them. What is none is refused by its name.

use std::{collections::BTreeSet, time::Duration};

use belfry_proto::time::Timestamp;
use serde_json::Value;

use super::SECOND;
use crate::{api::problem::Problem, config::value::duration};

/// Texts that one filter may have: each is compared with every entry.
const MOST_TEXTS: usize = 1000;

pub(super) fn bad(name: &str, rule: &str) -> Problem {
    let shown: String = name.chars().take(64).collect();
    Problem::unprocessable("bad-filter", format!("`{shown}` {rule}")).with("filter", shown)
}

/// Ids as texts, as some clients send them and others do not.
pub(super) fn ids(value: Value) -> Value {
    match value {
        Value::Number(number) => Value::String(number.to_string()),
        Value::Array(values) => Value::Array(values.into_iter().map(ids).collect()),
        Value::Object(parts) => parts.into_iter().map(|(name, value)| (name, ids(value))).collect(),
        other => other,
    }
}

/// A day, as an event has one: its first moment of `from`, its last of `to`. Or what [`moment`] takes.
pub(super) fn day(name: &str, value: &Value, now: Timestamp) -> Result<Timestamp, Problem> {
    let clock = if name == "to" { "T23:59:59.999999Z" } else { "T00:00:00Z" };
    let text = value.as_str().filter(|text| text.len() == 10);
    match text.and_then(|text| format!("{text}{clock}").parse().ok()) {
        Some(at) => Ok(at),
        None => moment(name, value, now),
    }
}

/// One text, several, or those under OR; what begins with `!` would have to be left out, which is not done here.
pub(super) fn texts(name: &str, value: Option<Value>) -> Result<Vec<String>, Problem> {
    let text = |value: &Value| match value {
        Value::String(text) if !text.starts_with('!') => Ok(text.clone()),
        _ => Err(bad(name, "is a text or a list of texts, none of them negated")),
    };
    match value {
        None => Ok(Vec::new()),
        Some(Value::Array(values)) if values.len() > MOST_TEXTS => {
            Err(bad(name, &format!("has at most {MOST_TEXTS} texts")))
        }
        Some(Value::Array(values)) => values.iter().map(text).collect(),
        Some(Value::Object(mut parts)) => {
            let either = parts.remove("OR");
            match parts.keys().next() {
                Some(other) => Err(bad(name, &format!("knows OR only, not {other}"))),
                None => texts(name, either),
            }
        }
        Some(value) => Ok(vec![text(&value)?]),
    }
}

pub(super) fn flag(name: &str, value: &Value) -> Result<bool, Problem> {
    match value {
        Value::Bool(flag) => Ok(*flag),
        Value::Number(number) if number.as_u64() == Some(0) => Ok(false),
        Value::Number(number) if number.as_u64() == Some(1) => Ok(true),
        Value::String(text) if text == "0" => Ok(false),
        Value::String(text) if text == "1" => Ok(true),
        _ => Err(bad(name, "is true or false")),
    }
}

/// Whether what is published is asked for, alone or beside the rest.
pub(super) fn wants_published(value: Option<Value>) -> Result<bool, Problem> {
    match value {
        None => Ok(true),
        Some(Value::Array(values)) => {
            let flags: Vec<bool> =
                values.iter().map(|value| flag("published", value)).collect::<Result<_, _>>()?;
            Ok(flags.is_empty() || flags.contains(&true))
        }
        Some(value) => flag("published", &value),
    }
}

/// Seconds since the epoch, a time, or how long ago: `5d`, `12h`, `30m`.
pub(super) fn moment(name: &str, value: &Value, now: Timestamp) -> Result<Timestamp, Problem> {
    let wrong = || bad(name, "is a time, seconds since 1970, or how long ago, as in 5d");
    let seconds = |seconds: u64| Timestamp::from_micros(seconds.saturating_mul(SECOND));
    match value {
        Value::Number(number) => Ok(seconds(number.as_u64().ok_or_else(wrong)?)),
        Value::String(text) => {
            if let Ok(number) = text.parse() {
                return Ok(seconds(number));
            }
            if let Ok(ago) = duration::parse(text) {
                let ago: Duration = ago;
                let micros = u64::try_from(ago.as_micros()).unwrap_or(u64::MAX);
                return Ok(Timestamp::from_micros(now.as_micros().saturating_sub(micros)));
            }
            text.parse().map_err(|_| wrong())
        }
        _ => Err(wrong()),
    }
}

/// Values asked for, as MISP compares them: whole, or with `%` for anything before or behind. In any case.
#[derive(Debug, Default)]
pub(super) struct Values {
    whole: BTreeSet<String>,
    like: Vec<String>,
}

impl Values {
    pub(super) fn of(texts: Vec<String>) -> Self {
        let texts = texts.iter().map(|text| text.to_lowercase());
        let (like, whole): (Vec<_>, Vec<_>) =
            texts.partition(|text| text.starts_with('%') || text.ends_with('%'));
        Self { whole: whole.into_iter().collect(), like }
    }

    /// Whether `value` is one of them; of none asked for, every value is.
    pub(super) fn hold(&self, value: &str) -> bool {
        if self.whole.is_empty() && self.like.is_empty() {
            return true;
        }
        let value = value.to_lowercase();
        self.whole.contains(&value) || self.like.iter().any(|wanted| is_like(&value, wanted))
    }
}

fn is_like(value: &str, wanted: &str) -> bool {
    match (wanted.strip_prefix('%'), wanted.strip_suffix('%')) {
        (Some(rest), Some(_)) => value.contains(rest.trim_end_matches('%')),
        (Some(end), None) => value.ends_with(end),
        (None, Some(start)) => value.starts_with(start),
        (None, None) => value == wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_compared_as_misp_does() {
        for (wanted, is_alike) in [
            ("evil.be", true),
            ("EVIL.be", true),
            ("evil", false),
            ("%evil%", true),
            ("evil%", true),
            ("%.be", true),
            ("%x%", false),
        ] {
            assert_eq!(Values::of(vec![wanted.to_owned()]).hold("Evil.be"), is_alike, "{wanted}");
        }
    }
}
