//! Forms that readers' tools break on, and that are passed from others: times wherever the standard has one, members of
//! the common lists, hashes, what excludes each other, and what granular markings select (STIX 2.1 §2, §3.2, §4–§7).

use std::cmp::Ordering;

use serde_json::{Map, Value};

use crate::stix::{
    object::{Object, Rule},
    properties, timestamp,
};

/// Which property breaks which rule.
type Broken = (String, Rule);

/// What stands at a way.
#[derive(Clone, Copy, Debug)]
enum Form {
    Time,
    Text,
    Texts,
    Count,
    Dictionary,
    /// By the name of its algorithm, the way's last step.
    Hashes,
}

use Form::{Count, Dictionary, Hashes, Text, Texts, Time};

/// Type of object (empty for every type that has versions), way as in [`super::vocabularies::Place`], form.
static PLACES: &[(&str, &[&str], Form)] = &[
    ("directory", &["ctime"], Time),
    ("directory", &["mtime"], Time),
    ("directory", &["atime"], Time),
    ("email-message", &["date"], Time),
    ("file", &["ctime"], Time),
    ("file", &["mtime"], Time),
    ("file", &["atime"], Time),
    ("file", &["extensions", "windows-pebinary-ext", "time_date_stamp"], Time),
    ("language-content", &["object_modified"], Time),
    ("malware-analysis", &["submitted"], Time),
    ("malware-analysis", &["analysis_started"], Time),
    ("malware-analysis", &["analysis_ended"], Time),
    ("network-traffic", &["start"], Time),
    ("network-traffic", &["end"], Time),
    ("process", &["created_time"], Time),
    ("relationship", &["start_time"], Time),
    ("relationship", &["stop_time"], Time),
    ("user-account", &["account_created"], Time),
    ("user-account", &["account_expires"], Time),
    ("user-account", &["credential_last_changed"], Time),
    ("user-account", &["account_first_login"], Time),
    ("user-account", &["account_last_login"], Time),
    ("windows-registry-key", &["modified_time"], Time),
    ("x509-certificate", &["validity_not_before"], Time),
    ("x509-certificate", &["validity_not_after"], Time),
    ("x509-certificate", &["x509_v3_extensions", "private_key_usage_period_not_before"], Time),
    ("x509-certificate", &["x509_v3_extensions", "private_key_usage_period_not_after"], Time),
    ("", &["labels"], Texts),
    ("indicator", &["indicator_types"], Texts),
    ("opinion", &["explanation"], Text),
    ("sighting", &["count"], Count),
    ("observed-data", &["number_observed"], Count),
    ("language-content", &["contents", "*"], Dictionary),
    ("artifact", &["hashes"], Hashes),
    ("file", &["hashes"], Hashes),
    ("x509-certificate", &["hashes"], Hashes),
    ("", &["external_references", "[]", "hashes"], Hashes),
];

/// Pairs of times in their order, besides those that are asked of everybody, and whether they may be equal.
const ORDERED: [(&str, &str, &str, bool); 2] =
    [("relationship", "start_time", "stop_time", false), ("network-traffic", "start", "end", true)];

/// Properties of which a type has one or the other.
const EXCLUSIVE: [(&str, &str, &str, &str); 2] = [
    ("artifact", "payload_bin", "url", "not stand beside payload_bin"),
    ("observed-data", "objects", "object_refs", "not stand beside objects"),
];

/// Types of which every property may be left out, but not all of them.
const NOT_EMPTY: [&str; 4] = ["process", "user-account", "windows-registry-key", "x509-certificate"];
/// What every observable may have, and tells nothing of it.
const OF_ALL: [&str; 6] =
    ["type", "id", "spec_version", "object_marking_refs", "granular_markings", "defanged"];

/// Types with phases of a kill chain (STIX 2.1 §2.11).
const WITH_PHASES: [&str; 5] = ["attack-pattern", "indicator", "infrastructure", "malware", "tool"];

/// Holds an object to them. What has another form than [`Object::parse`] asks for did not come here.
pub(super) fn check(object: &Object, properties: &Map<String, Value>) -> Result<(), Broken> {
    let kind = object.kind();
    let has_versions = properties::is_defined(kind) && !properties::is_observable(kind);
    for (of, way, form) in PLACES {
        if *of == kind || (of.is_empty() && has_versions) {
            places(properties, way, "", &mut |path, value| form.check(path, value))?;
        }
    }
    let time = |name: &str| properties.get(name).and_then(Value::as_str);
    for (_, earlier, later, may_be_equal) in ORDERED.into_iter().filter(|(of, ..)| *of == kind) {
        let (Some(a), Some(b)) = (time(earlier), time(later)) else { continue };
        let is_ordered = match timestamp::compare(a, b) {
            Ordering::Less => true,
            Ordering::Equal => may_be_equal,
            Ordering::Greater => false,
        };
        if !is_ordered {
            return Err((later.to_owned(), Rule::NotBefore(earlier)));
        }
    }
    for (_, one, other, rule) in EXCLUSIVE.into_iter().filter(|(of, ..)| *of == kind) {
        if properties.contains_key(one) && properties.contains_key(other) {
            return Err((other.to_owned(), Rule::Must(rule)));
        }
    }
    if NOT_EMPTY.contains(&kind) && properties.keys().all(|name| OF_ALL.contains(&name.as_str())) {
        return Err((String::new(), Rule::Must("have a property of its own")));
    }
    if WITH_PHASES.contains(&kind) {
        phases(properties)?;
    }
    if has_versions {
        external_references(properties)?;
    }
    granular(properties)
}

impl Form {
    fn check(self, path: &str, value: &Value) -> Result<(), Broken> {
        let is_text = |value: &Value| value.is_string();
        let (is_good, rule) = match self {
            Time => (
                value.as_str().is_some_and(timestamp::is_valid),
                "be a time in RFC 3339 that ends in Z, as in 2027-11-30T00:00:00.000Z",
            ),
            Text => (value.is_string(), "be a text"),
            Texts => (value.as_array().is_some_and(|items| items.iter().all(is_text)), "be a list of texts"),
            Count => (value.is_u64(), "be a whole number, 0 or more"),
            Dictionary => (value.is_object(), "be an object"),
            Hashes => return hashes(path, value),
        };
        if is_good { Ok(()) } else { Err((path.to_owned(), Rule::Must(rule))) }
    }
}

/// Shows what stands at the end of a way, with its path.
fn places(
    members: &Map<String, Value>,
    way: &[&str],
    path: &str,
    visit: &mut impl FnMut(&str, &Value) -> Result<(), Broken>,
) -> Result<(), Broken> {
    let Some((step, rest)) = way.split_first() else { return Ok(()) };
    let is_meant = |name: &&String| *step == "*" || name.as_str() == *step;
    for (name, value) in members.iter().filter(|(name, _)| is_meant(name)) {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match (rest, value) {
            ([], value) => visit(&path, value)?,
            (["[]", rest @ ..], Value::Array(items)) => {
                for (at, item) in items.iter().enumerate() {
                    if let Value::Object(members) = item {
                        places(members, rest, &format!("{path}[{at}]"), visit)?;
                    }
                }
            }
            (rest, Value::Object(members)) => places(members, rest, &path, visit)?,
            // What has another form is another rule's.
            _ => {}
        }
    }
    Ok(())
}

/// Each hash of an algorithm that is known is one of it.
fn hashes(path: &str, value: &Value) -> Result<(), Broken> {
    let Value::Object(hashes) = value else { return Ok(()) };
    for (name, hash) in hashes {
        let (digits, rule) = match name.as_str() {
            "MD5" => (Some(32), "be 32 hexadecimal digits"),
            "SHA-1" => (Some(40), "be 40 hexadecimal digits"),
            "SHA-256" | "SHA3-256" => (Some(64), "be 64 hexadecimal digits"),
            "SHA-512" | "SHA3-512" => (Some(128), "be 128 hexadecimal digits"),
            _ => (None, "be a text"),
        };
        let is_hash = |text: &str| match digits {
            Some(digits) => text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit()),
            None => true,
        };
        if !hash.as_str().is_some_and(is_hash) {
            return Err((format!("{path}.{name}"), Rule::Must(rule)));
        }
    }
    Ok(())
}

fn phases(properties: &Map<String, Value>) -> Result<(), Broken> {
    let Some(phases) = properties.get("kill_chain_phases") else { return Ok(()) };
    let Some(phases) = phases.as_array() else {
        return Err(("kill_chain_phases".to_owned(), Rule::Must("be a list")));
    };
    for (at, phase) in phases.iter().enumerate() {
        for name in ["kill_chain_name", "phase_name"] {
            let path = || format!("kill_chain_phases[{at}].{name}");
            match phase.get(name) {
                Some(Value::String(_)) => {}
                Some(_) => return Err((path(), Rule::Must("be a text"))),
                None => return Err((path(), Rule::Missing)),
            }
        }
    }
    Ok(())
}

/// A reference tells more than who is referred to (STIX 2.1 §2.5).
fn external_references(properties: &Map<String, Value>) -> Result<(), Broken> {
    let references = properties.get("external_references").and_then(Value::as_array);
    for (at, reference) in references.into_iter().flatten().enumerate() {
        if ["description", "url", "external_id"].iter().all(|name| reference.get(name).is_none()) {
            let path = format!("external_references[{at}].description, url or external_id");
            return Err((path, Rule::Missing));
        }
    }
    Ok(())
}

/// A part is marked, or its language told, and it is there (STIX 2.1 §7.2.3).
fn granular(properties: &Map<String, Value>) -> Result<(), Broken> {
    let entries = properties.get("granular_markings").and_then(Value::as_array);
    for (at, entry) in entries.into_iter().flatten().enumerate() {
        let path = |name: &str| format!("granular_markings[{at}].{name}");
        match (entry.get("marking_ref"), entry.get("lang")) {
            (Some(_), Some(_)) => return Err((path("lang"), Rule::Must("not stand beside marking_ref"))),
            (_, Some(lang)) if !lang.is_string() => return Err((path("lang"), Rule::Must("be a text"))),
            _ => {}
        }
        let selectors = entry.get("selectors").and_then(Value::as_array).into_iter().flatten();
        for (nth, selector) in selectors.enumerate() {
            if !selector.as_str().is_some_and(|selector| is_there(properties, selector)) {
                let rule =
                    Rule::Must("select a property that the object has, as in external_references.[0].url");
                return Err((path(&format!("selectors[{nth}]")), rule));
            }
        }
    }
    Ok(())
}

/// Whether `labels.[1]` is there.
fn is_there(properties: &Map<String, Value>, selector: &str) -> bool {
    let mut steps = selector.split('.');
    let first = steps.next().and_then(|name| properties.get(name));
    let found = steps.try_fold(first, |value, step| {
        let value = value?;
        let index = step.strip_prefix('[').and_then(|step| step.strip_suffix(']'));
        let next = match index {
            Some(index) => index.parse::<usize>().ok().and_then(|index| value.as_array()?.get(index)),
            None => value.as_object().and_then(|members| members.get(step)),
        };
        next.is_some().then_some(next)
    });
    found.flatten().is_some()
}
