//! What a filter of MISP's clients may be: texts, flags and times in the spellings that these clients send, asked for or kept
//! out, and values as MISP compares them. What is none is refused by its name.

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

/// One text, several, or none at all.
pub(super) fn texts(name: &str, value: Option<Value>) -> Result<Vec<String>, Problem> {
    let text = |value: Value| match value {
        Value::String(text) => Ok(text),
        _ => Err(bad(name, "is a text or a list of texts")),
    };
    match value {
        None => Ok(Vec::new()),
        Some(Value::Array(values)) if values.len() > MOST_TEXTS => {
            Err(bad(name, &format!("has at most {MOST_TEXTS} texts")))
        }
        Some(Value::Array(values)) => values.into_iter().map(text).collect(),
        Some(value) => Ok(vec![text(value)?]),
    }
}

/// Texts, as MISP compares them: whole, or with `%` for anything before or behind.
#[derive(Debug, Default)]
struct Texts {
    whole: BTreeSet<String>,
    like: Vec<String>,
}

impl Texts {
    fn insert(&mut self, text: String) {
        match text.starts_with('%') || text.ends_with('%') {
            true => self.like.push(text),
            false => _ = self.whole.insert(text),
        }
    }

    fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.like.is_empty()
    }

    fn has(&self, text: &str) -> bool {
        self.whole.contains(text) || self.like.iter().any(|wanted| is_like(text, wanted))
    }
}

/// Texts of which one is asked for, all are, or none may be: `["a", "!b"]`, or by MISP's words for it, `OR`, `AND` and `NOT`.
#[derive(Debug, Default)]
pub(super) struct Asked {
    any: Texts,
    all: BTreeSet<String>,
    none: Texts,
}

impl Asked {
    /// As a filter has them; `fold` makes one spelling of many.
    pub(super) fn read(
        name: &str,
        value: Option<Value>,
        fold: impl Fn(&str) -> String,
    ) -> Result<Self, Problem> {
        let (either, all, none) = match value {
            Some(Value::Object(mut parts)) => {
                let [either, all, none] = ["OR", "AND", "NOT"].map(|word| parts.remove(word));
                if let Some(other) = parts.keys().next() {
                    return Err(bad(name, &format!("knows OR, AND and NOT, not {other}")));
                }
                (either, all, none)
            }
            value => (value, None, None),
        };
        let mut asked = Self::default();
        for text in texts(name, either)? {
            match text.strip_prefix('!') {
                Some(text) => asked.none.insert(fold(text)),
                None => asked.any.insert(fold(&text)),
            }
        }
        asked.all.extend(texts(name, all)?.iter().map(|text| fold(text)));
        for text in texts(name, none)? {
            asked.none.insert(fold(text.strip_prefix('!').unwrap_or(&text)));
        }
        Ok(asked)
    }

    /// Whether what has these texts is asked for.
    pub(super) fn hold(&self, texts: &[&str]) -> bool {
        self.lets(texts)
            && (self.any.is_empty() || texts.iter().any(|text| self.any.has(text)))
            && self.all.iter().all(|wanted| texts.iter().any(|text| is_like(text, wanted)))
    }

    /// Whether none of these texts is one that may not be.
    pub(super) fn lets(&self, texts: &[&str]) -> bool {
        self.none.is_empty() || !texts.iter().any(|text| self.none.has(text))
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

/// Whether attributes for detection are asked for, or the others; unset for both.
pub(super) fn to_ids(value: Option<Value>) -> Result<Option<bool>, Problem> {
    match value {
        None => Ok(None),
        Some(Value::String(word)) if word == "exclude" => Ok(Some(false)),
        Some(Value::Array(values)) => {
            let flags: BTreeSet<bool> =
                values.iter().map(|value| flag("to_ids", value)).collect::<Result<_, _>>()?;
            Ok(flags.first().copied().filter(|_| flags.len() == 1))
        }
        Some(value) => flag("to_ids", &value).map(Some),
    }
}

/// Whether what was deleted is asked for, and nothing else.
pub(super) fn wants_deleted(value: Option<Value>) -> Result<bool, Problem> {
    match value {
        None => Ok(false),
        Some(Value::String(word)) if word == "only" => Ok(true),
        Some(Value::Array(values)) => {
            let flags: Vec<bool> =
                values.iter().map(|value| flag("deleted", value)).collect::<Result<_, _>>()?;
            Ok(!flags.is_empty() && !flags.contains(&false))
        }
        Some(value) => flag("deleted", &value),
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

/// A stretch of time: from one on, or between two, whichever stands first.
pub(super) fn stretch(
    name: &str,
    value: &Value,
    now: Timestamp,
) -> Result<(Timestamp, Option<Timestamp>), Problem> {
    let Value::Array(ends) = value else { return Ok((moment(name, value, now)?, None)) };
    match ends.as_slice() {
        [one] => Ok((moment(name, one, now)?, None)),
        [one, other] => {
            let (one, other) = (moment(name, one, now)?, moment(name, other, now)?);
            Ok((one.min(other), Some(one.max(other))))
        }
        _ => Err(bad(name, "is a time, or two for a stretch")),
    }
}

/// Seconds since the epoch, a time, or how long ago: `5d`, `12h`, `30m`.
pub(super) fn moment(name: &str, value: &Value, now: Timestamp) -> Result<Timestamp, Problem> {
    let wrong = || bad(name, "is a time, seconds since 1970, or how long ago, as in 5d");
    let seconds = |seconds: u64| Timestamp::from_micros(seconds.saturating_mul(SECOND));
    match value {
        Value::Number(number) => Ok(seconds(whole(&number.to_string()).ok_or_else(wrong)?)),
        Value::String(text) => {
            if let Some(number) = whole(text) {
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

/// Seconds as a number; of a fraction, as Python has it of a time, the whole ones.
fn whole(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    whole.parse().ok().filter(|_| is_number)
}

/// Values asked for, in any case.
#[derive(Debug, Default)]
pub(super) struct Values(Asked);

impl Values {
    /// Of texts in small letters.
    pub(super) const fn of(asked: Asked) -> Self {
        Self(asked)
    }

    /// Whether `value` is asked for; where nothing is, every value is.
    pub(super) fn hold(&self, value: &str) -> bool {
        let Asked { any, all, none } = &self.0;
        let is_every = any.is_empty() && all.is_empty() && none.is_empty();
        is_every || self.0.hold(&[value.to_lowercase().as_str()])
    }

    /// Whether `value` is none that may not be.
    pub(super) fn lets(&self, value: &str) -> bool {
        self.0.none.is_empty() || self.0.lets(&[value.to_lowercase().as_str()])
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
    use serde_json::json;

    use super::*;

    fn asked(value: Value) -> Asked {
        Asked::read("value", Some(value), str::to_lowercase).unwrap()
    }

    #[test]
    fn values_are_compared_as_misp_does() {
        for (wanted, is_alike) in [
            (json!("evil.be"), true),
            (json!("EVIL.be"), true),
            (json!("evil"), false),
            (json!("%evil%"), true),
            (json!("evil%"), true),
            (json!("%.be"), true),
            (json!("%x%"), false),
            (json!("!evil.be"), false),
            (json!(["!%.be"]), false),
            (json!(["!other.be", "!x%"]), true),
            (json!({ "OR": ["other.be", "evil%"], "NOT": "%.nl" }), true),
            (json!({ "OR": ["other.be"], "NOT": [] }), false),
            (json!({ "AND": ["%.be", "evil.BE"] }), true),
            (json!({ "AND": ["%.be", "x%"] }), false),
            (json!({ "AND": ["evil.be", "other.be"] }), false),
            (json!({ "NOT": ["%EVIL%"] }), false),
            (json!([]), true),
        ] {
            let values = Values::of(asked(wanted.clone()));
            assert_eq!(values.hold("Evil.be"), is_alike, "{wanted}");
            assert!(!values.hold("Evil.be") || values.lets("Evil.be"), "{wanted}");
        }
    }

    #[test]
    fn texts_are_asked_for_kept_out_or_all_to_be_there() {
        for (wanted, texts, is_meant) in [
            (json!(["a", "b"]), ["a", "c"], true),
            (json!(["a", "!c"]), ["a", "c"], false),
            (json!(["!x"]), ["a", "c"], true),
            (json!({ "AND": ["a", "c"] }), ["a", "c"], true),
            (json!({ "AND": ["a", "b"] }), ["a", "c"], false),
            (json!({ "OR": "A", "NOT": ["!c"] }), ["a", "c"], false),
            (json!(["tlp:%"]), ["tlp:green", "c"], true),
            (json!(["!tlp:%"]), ["tlp:green", "c"], false),
            (json!({ "AND": ["%green", "%"] }), ["tlp:green", "c"], true),
            (json!({ "AND": ["tlp:%", "pap:%"] }), ["tlp:green", "c"], false),
        ] {
            assert_eq!(asked(wanted.clone()).hold(&texts), is_meant, "{wanted}");
        }
        for wrong in [json!({ "XOR": ["a"] }), json!([1]), json!({ "NOT": { "OR": ["a"] } })] {
            assert!(Asked::read("value", Some(wrong.clone()), str::to_owned).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_are_read_as_pymisp_sends_them() {
        let now = Timestamp::from_micros(10_000_000_000_000);
        let read = |value: Value| {
            stretch("timestamp", &value, now).map(|(since, until)| {
                (since.as_micros() / SECOND, until.map(|until| until.as_micros() / SECOND))
            })
        };
        assert_eq!(read(json!(1_700_000_000.25)).unwrap(), (1_700_000_000, None));
        assert_eq!(read(json!("1700000000.75")).unwrap(), (1_700_000_000, None));
        assert_eq!(read(json!(["1h", "2h"])).unwrap(), (9_992_800, Some(9_996_400)), "in either order");
        for wrong in [json!(-1.5), json!("1."), json!(["1h", "2h", "3h"]), json!([]), json!(true)] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_asked_for_besides_is_read_in_every_spelling() {
        for (value, expected) in [
            (json!("exclude"), Some(false)),
            (json!([0, 1]), None),
            (json!(["1"]), Some(true)),
            (json!(true), Some(true)),
            (json!([]), None),
        ] {
            assert_eq!(to_ids(Some(value.clone())).unwrap(), expected, "{value}");
        }
        for (value, expected) in [
            (json!(1), true),
            (json!("only"), true),
            (json!([1]), true),
            (json!([0, 1]), false),
            (json!(false), false),
            (json!([]), false),
        ] {
            assert_eq!(wants_deleted(Some(value.clone())).unwrap(), expected, "{value}");
        }
        assert!(to_ids(Some(json!("perhaps"))).is_err() && wants_deleted(Some(json!("perhaps"))).is_err());
    }
}
