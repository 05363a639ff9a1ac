//! Prose, lists of values and pasted mails: the values they speak of, each an indicator to be looked at by a person.
//!
//! Of a mail only what its sender made counts: whom it was written to and the servers on its way are victims and
//! bystanders.

use std::collections::BTreeSet;

use super::{Import, ImportError, Options, Place, Why, make::Item, rows};
use crate::stix::observable::{Kind, Observable, around, find, find::Stands};

/// Top-level names that are ends of files' names, too.
const ALSO_FILES: [&str; 22] = [
    "ai", "app", "bz", "cab", "cc", "com", "doc", "gz", "md", "mov", "pl", "pm", "ps", "py", "rs", "sc",
    "sh", "so", "st", "sys", "ws", "zip",
];
/// Names that resolve nowhere, or not by DNS, and still are names (RFC 2606, RFC 7686).
const NAMES: [&str; 4] = ["example", "onion", "i2p", "bit"];

/// Header fields that a mail's sender writes about itself.
const SENDERS: [&str; 5] = ["from", "reply-to", "return-path", "sender", "subject"];

/// Reads values off lines.
pub(super) fn read(text: &str, options: &Options, import: &mut Import) -> Result<(), ImportError> {
    let mut seen: BTreeSet<Observable> = BTreeSet::new();
    let out = rows::Rows::new(options);
    let is_mail = begins_as_mail(text);
    let (mut in_header, mut is_senders) = (is_mail, true);
    for (number, line) in (1..).zip(text.lines()) {
        if in_header {
            if line.trim().is_empty() {
                in_header = false;
                continue;
            }
            // A line that begins with a blank goes on with the field before (RFC 5322 §2.2.3).
            if !line.starts_with([' ', '\t']) {
                let name = line.split_once(':').map_or("", |(name, _)| name).to_ascii_lowercase();
                is_senders = SENDERS.contains(&name.as_str());
            }
        }
        if is_mail && !in_header && is_encoded(line) {
            import.skip(Place::Line(number), Why::Encoded);
            continue;
        }
        for (value, stands) in find::values(line) {
            if in_header && !is_senders {
                import.skip(Place::Line(number), Why::Recipient);
            } else if let Some(why) = doubt(&value, stands) {
                import.skip(Place::Line(number), why);
            } else if !seen.insert(value.clone()) {
                import.skip(Place::Line(number), Why::Twice);
            } else {
                let text = value.value().to_owned();
                out.indicator(&Item::of(value, &text), &rows::Said::default(), import)?;
            }
        }
    }
    Ok(())
}

/// Why a value may not be one.
fn doubt(value: &Observable, stands: Stands) -> Option<Why> {
    if stands == Stands::Host {
        return Some(Why::Part);
    }
    if value.kind() != Kind::Domain || stands == Stands::Meant {
        return None;
    }
    let top = value.value().rsplit_once('.').map_or("", |(_, top)| top);
    let is_name =
        NAMES.contains(&top) || around::registrable(value.value()).is_some() && is_known(value.value());
    (!is_name || ALSO_FILES.contains(&top) && value.value().matches('.').count() == 1)
        .then_some(Why::Ambiguous)
}

/// Whether the public suffix list has the name's end.
fn is_known(name: &str) -> bool {
    psl::suffix(name.as_bytes()).is_some_and(|suffix| suffix.is_known())
}

/// Whether a text begins with the header of a mail, its sender's line among the first fields.
fn begins_as_mail(text: &str) -> bool {
    let mut fields = 0;
    for line in text.lines().take(100) {
        if line.starts_with([' ', '\t']) && fields > 0 {
            continue;
        }
        let Some((name, _)) = line.split_once(':') else { return false };
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return false;
        }
        if name.eq_ignore_ascii_case("from") {
            return true;
        }
        fields += 1;
    }
    false
}

/// A line of base64, as attachments are.
fn is_encoded(line: &str) -> bool {
    let line = line.trim_end();
    line.len() >= 60
        && line.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='))
        && Observable::guess(line).is_none()
}
