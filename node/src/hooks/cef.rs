//! ArcSight's Common Event Format, version 0: one line a value.
//!
//! What members wrote steers nothing: control characters are written out first, then what CEF gives a meaning is escaped
//! (in the header `\` and `|`, in the extension `\` and `=`). So no value can end a field, a line or a message.

use std::fmt::Write as _;

use belfry_proto::{
    stix::{
        extension::{Severity, Stated},
        neutral,
        observable::{Kind, Observable},
    },
    time::Timestamp,
};
use serde::Deserialize;

use super::event::{Event, Told, What};

/// Characters of a name in the header.
const NAME: usize = 256;
/// Characters of a value in the extension, the most that ArcSight's custom strings hold.
const VALUE: usize = 4_000;

/// What a line is about, and the line.
pub(super) struct Line {
    pub(super) message: &'static str,
    pub(super) text: String,
}

/// The lines of an event: one for each value of an indicator, else one.
pub(super) fn lines(event: &Event) -> Vec<Line> {
    match &event.what {
        What::Gap(gap) => {
            let mut line = header("feed-gap", "Events are missing before this one", 5);
            field(&mut line, "cn1", &gap.after.to_string());
            field(&mut line, "cn1Label", "after");
            field(&mut line, "cn2", &gap.resumes_after.to_string());
            field(&mut line, "cn2Label", "resumesAfter");
            vec![Line { message: "feed-gap", text: line }]
        }
        What::Object(told) if told.leaves.values.is_empty() => vec![line(event, told, None)],
        What::Object(told) => told.leaves.values.iter().map(|value| line(event, told, Some(value))).collect(),
    }
}

#[derive(Default, Deserialize)]
struct Shown {
    #[serde(default)]
    name: String,
    confidence: Option<f64>,
}

fn line(event: &Event, told: &Told, value: Option<&Observable>) -> Line {
    let object = told.leaves.released.object();
    let message = if object.is_revoked() { "object-revoked" } else { "object-added" };
    let shown: Shown = serde_json::from_slice(object.raw()).unwrap_or_default();
    let name = if shown.name.is_empty() { object.kind() } else { &shown.name };
    let stated = Stated::read(object.raw()).and_then(|stated| stated.severity);
    let mut line = header(message, name, severity(object.is_revoked(), stated, shown.confidence));
    field(&mut line, "externalId", &event.id);
    field(&mut line, "rt", &millis(object.date_added()));
    field(&mut line, "cat", object.kind());
    field(&mut line, "act", if object.is_revoked() { "revoked" } else { "added" });
    if let Some(value) = value {
        for key in keys(value.kind()) {
            field(&mut line, key, value.value());
        }
        custom(&mut line, 1, "value", value.value());
        custom(&mut line, 2, "valueType", value.kind().as_str());
    }
    custom(&mut line, 3, "group", &told.group);
    custom(&mut line, 4, "tlp", object.tlp().as_str());
    if let Some(organisation) = &told.organisation {
        custom(&mut line, 5, "organisation", organisation);
    }
    custom(&mut line, 6, "stixId", object.id());
    if let Some(until) = told.leaves.until {
        field(&mut line, "deviceCustomDate1", &millis(until));
        field(&mut line, "deviceCustomDate1Label", "validUntil");
    }
    if let Some(from) = told.leaves.from {
        field(&mut line, "deviceCustomDate2", &millis(from));
        field(&mut line, "deviceCustomDate2Label", "validFrom");
    }
    Line { message, text: line }
}

/// 0 to 10: how bad it is by its author's word, in the middle of what CEF calls so; else how sure the author is, where that is
/// said.
fn severity(is_revoked: bool, stated: Option<Severity>, confidence: Option<f64>) -> u8 {
    match confidence {
        _ if is_revoked => 1,
        _ if stated == Some(Severity::Critical) => 10,
        _ if stated == Some(Severity::High) => 8,
        _ if stated == Some(Severity::Medium) => 5,
        _ if stated == Some(Severity::Low) => 2,
        Some(confidence) if confidence >= 85.0 => 9,
        Some(confidence) if confidence >= 70.0 => 8,
        Some(confidence) if confidence >= 50.0 => 6,
        Some(_) => 4,
        None => 5,
    }
}

/// CEF's own keys for a type of value.
const fn keys(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Ipv4 => &["dst"],
        Kind::Ipv6 => &["c6a3"],
        Kind::Domain => &["destinationDnsDomain"],
        Kind::Url => &["request"],
        Kind::Md5 | Kind::Sha1 | Kind::Sha256 | Kind::Sha512 => &["fileHash"],
        Kind::FileName => &["fname"],
        Kind::Email => &["suser"],
        _ => &[],
    }
}

fn header(id: &str, name: &str, severity: u8) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let name = neutral::brief(name, NAME).replace('\\', "\\\\").replace('|', "\\|");
    format!("CEF:0|belfry|belfry|{version}|{id}|{name}|{severity}|")
}

fn custom(line: &mut String, number: u8, label: &str, value: &str) {
    field(line, &format!("cs{number}"), value);
    field(line, &format!("cs{number}Label"), label);
}

fn field(line: &mut String, key: &str, value: &str) {
    let value = neutral::brief(value, VALUE).replace('\\', "\\\\").replace('=', "\\=");
    let gap = if line.ends_with('|') { "" } else { " " };
    let _ = write!(line, "{gap}{key}={value}");
}

fn millis(time: Timestamp) -> String {
    (time.as_micros() / 1_000).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_means_something_to_cef_is_escaped() {
        assert!(header("x", "a|b\\c\nd=e", 5).ends_with("|x|a\\|b\\\\c\\\\u{a}d=e|5|"));
        let mut line = header("x", "n", 5);
        field(&mut line, "cs1", "a=b|c\\d\r\nfake=1");
        assert!(line.ends_with("|5|cs1=a\\=b|c\\\\d\\\\u{d}\\\\u{a}fake\\=1"), "{line}");
    }

    #[test]
    fn what_its_author_calls_bad_is_so_however_sure_and_what_is_revoked_is_not() {
        let severities = [Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
        assert_eq!(severities.map(|stated| severity(false, Some(stated), Some(90.0))), [2, 5, 8, 10]);
        assert_eq!((severity(false, None, Some(90.0)), severity(false, None, None)), (9, 5));
        assert_eq!(severity(true, Some(Severity::Critical), None), 1);
    }

    /// Fields as a receiver splits them: at `=` that no backslash stands before.
    fn unescaped(text: &str, sign: char) -> usize {
        let mut is_escaped = false;
        text.chars()
            .filter(|&c| {
                let found = c == sign && !is_escaped;
                is_escaped = c == '\\' && !is_escaped;
                found
            })
            .count()
    }

    proptest! {
        #[test]
        fn no_text_ends_a_field_a_line_or_the_header(name in any::<String>(), value in any::<String>()) {
            let mut line = header("object-added", &name, 5);
            prop_assert_eq!(unescaped(&line, '|'), 7);
            field(&mut line, "cs1", &value);
            field(&mut line, "cs1Label", "value");
            prop_assert!(!line.chars().any(char::is_control), "{}", line);
            let (_, extension) = line.split_at(header("object-added", &name, 5).len());
            prop_assert_eq!(unescaped(extension, '='), 2);
        }
    }
}
