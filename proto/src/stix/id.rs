//! STIX identifiers (STIX 2.1 §2.9) and the deterministic ones of observables.
//!
//! An observable's id is a UUIDv5 over the properties that make it what it is, in canonical JSON
//! (RFC 8785), so that two members who see one address name it alike without talking.

use std::fmt::Write as _;

use serde_json::{Map, Value};
use uuid::Uuid;

/// STIX 2.1 §2.9: the namespace of every deterministic observable id.
const NAMESPACE: Uuid = Uuid::from_u128(0x00ab_edb4_aa42_466c_9c01_fed2_3315_a9b7);

/// STIX 2.1 §3.7: the longest name of a type.
const MAX_TYPE: usize = 250;

/// Whether `text` names a type: 3 to 250 of `a-z 0-9 -`, a letter first, no two hyphens in a row.
#[must_use]
pub fn is_type(text: &str) -> bool {
    (3..=MAX_TYPE).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('-')
        && !text.contains("--")
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// The type in front of an id, if `text` is one: `type--uuid`, any UUID version.
#[must_use]
pub fn type_of(text: &str) -> Option<&str> {
    let (kind, uuid) = text.split_once("--")?;
    (is_type(kind) && is_uuid(uuid)).then_some(kind)
}

/// Whether `text` is `type--uuid`.
#[must_use]
pub fn is_id(text: &str) -> bool {
    type_of(text).is_some()
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

/// The deterministic id of an observable of type `kind` with these properties (STIX 2.1 §2.9, §6).
///
/// `None` for a type that has none (`process`, custom types), and where no contributing property is set.
#[must_use]
pub fn deterministic(kind: &str, properties: &Map<String, Value>) -> Option<String> {
    let contributing = contributing(kind)?;
    let mut chosen: Vec<(&str, Value)> = contributing
        .iter()
        .filter_map(|&name| {
            let value = properties.get(name)?;
            let value = if name == "hashes" { one_hash(value)? } else { value.clone() };
            Some((name, value))
        })
        .collect();
    if chosen.is_empty() {
        return None;
    }
    chosen.sort_unstable_by_key(|&(name, _)| name);
    let chosen = chosen.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let mut text = String::new();
    canonical(&Value::Object(chosen), &mut text);
    Some(format!("{kind}--{}", Uuid::new_v5(&NAMESPACE, text.as_bytes())))
}

fn contributing(kind: &str) -> Option<&'static [&'static str]> {
    Some(match kind {
        "artifact" => &["hashes", "payload_bin"],
        "autonomous-system" => &["number"],
        "directory" => &["path"],
        "domain-name" | "email-addr" | "ipv4-addr" | "ipv6-addr" | "mac-addr" | "url" => &["value"],
        "email-message" => &["from_ref", "subject", "body"],
        "file" => &["hashes", "name", "extensions", "parent_directory_ref"],
        "mutex" => &["name"],
        "network-traffic" => {
            &["start", "end", "src_ref", "dst_ref", "src_port", "dst_port", "protocols", "extensions"]
        }
        "software" => &["name", "cpe", "swid", "vendor", "version"],
        "user-account" => &["account_type", "user_id", "account_login"],
        "windows-registry-key" => &["key", "values"],
        "x509-certificate" => &["hashes", "serial_number"],
        _ => return None,
    })
}

/// One hash stands for all: MD5, SHA-1, SHA-256, SHA-512 in this order, else the first by name (§2.9).
fn one_hash(hashes: &Value) -> Option<Value> {
    let hashes = hashes.as_object()?;
    let (name, value) = ["MD5", "SHA-1", "SHA-256", "SHA-512"]
        .iter()
        .find_map(|&name| hashes.get_key_value(name))
        .or_else(|| hashes.iter().min_by_key(|&(name, _)| name))?;
    Some(Value::Object(Map::from_iter([(name.clone(), value.clone())])))
}

/// Writes RFC 8785 canonical JSON. Depth is what the parser let through.
fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) => match n.as_f64() {
            Some(float) if n.is_f64() => canonical_float(float, out),
            _ => _ = write!(out, "{n}"),
        },
        Value::String(text) => canonical_text(text, out),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                canonical(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            out.push('{');
            for (i, (key, value)) in entries.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                canonical_text(key, out);
                out.push(':');
                canonical(value, out);
            }
            out.push('}');
        }
    }
}

/// As ECMAScript prints a number: shortest digits, an exponent from 1e21 and below 1e-6.
fn canonical_float(float: f64, out: &mut String) {
    let size = float.abs();
    if float == 0.0 {
        out.push('0');
    } else if (1e-6..1e21).contains(&size) {
        _ = write!(out, "{float}");
    } else {
        let text = format!("{float:e}");
        out.push_str(&if text.contains("e-") { text } else { text.replace('e', "e+") });
    }
}

fn canonical_text(text: &str, out: &mut String) {
    // serde_json escapes exactly what RFC 8785 §3.2.2.2 asks.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(kind: &str, properties: &Value) -> Option<String> {
        deterministic(kind, properties.as_object().unwrap())
    }

    #[test]
    fn observable_ids_match_the_reference_library() {
        for (kind, properties, uuid) in [
            ("ipv4-addr", json!({"value": "198.51.100.7"}), "12592121-be4c-5a93-a813-5a5af16e50db"),
            ("domain-name", json!({"value": "evil.example"}), "69228563-c8d2-54ae-aeca-5f4134cb59aa"),
            ("url", json!({"value": "http://evil.example/a"}), "c618f6dd-5ab7-5ef9-b8a4-be9e798ccae2"),
            ("file", json!({"hashes": {"SHA-256": "a".repeat(64)}}), "75cb38d5-2055-5354-b75a-8299a2d670b5"),
        ] {
            assert_eq!(of(kind, &properties), Some(format!("{kind}--{uuid}")));
        }
    }

    #[test]
    fn properties_that_do_not_contribute_change_nothing() {
        let id = of("ipv4-addr", &json!({"value": "198.51.100.7"}));
        assert_eq!(of("ipv4-addr", &json!({"defanged": true, "value": "198.51.100.7"})), id);
        let hash = of("file", &json!({"hashes": {"MD5": "00", "SHA-256": "11"}}));
        assert_eq!(of("file", &json!({"hashes": {"SHA-256": "22", "MD5": "00"}, "size": 3})), hash);
        assert_eq!(of("process", &json!({"pid": 1})), None);
        assert_eq!(of("file", &json!({"size": 1})), None);
    }

    #[test]
    fn canonical_json_follows_rfc_8785() {
        let mut out = String::new();
        canonical(
            &json!({"\u{20ac}": 1, "a": [333_333_333.333_333_3, 1e30, 4.5, 2e-3, 1e-27, 0.0], "\r": "\u{f}\n\"é\u{7f}"}),
            &mut out,
        );
        assert_eq!(
            out,
            "{\"\\r\":\"\\u000f\\n\\\"é\u{7f}\",\"a\":[333333333.3333333,1e+30,4.5,0.002,1e-27,0],\"€\":1}"
        );
    }

    #[test]
    fn ids_are_a_type_and_a_uuid() {
        assert_eq!(type_of("x-mitre-tactic--298fe907-7931-4fd2-8131-2814dd493134"), Some("x-mitre-tactic"));
        for text in [
            "indicator",
            "indicator--",
            "Indicator--298fe907-7931-4fd2-8131-2814dd493134",
            "indicator-298fe907-7931-4fd2-8131-2814dd493134",
            "indicator--298fe907-7931-4fd2-8131-2814dd49313",
            "indicator--298fe907-7931-4fd2-8131-2814dd49313g",
            "indicator--298fe90779314fd281312814dd493134",
            "a--298fe907-7931-4fd2-8131-2814dd493134",
            "0ab--298fe907-7931-4fd2-8131-2814dd493134",
            "a---b--298fe907-7931-4fd2-8131-2814dd493134",
        ] {
            assert!(!is_id(text), "{text}");
        }
    }
}
