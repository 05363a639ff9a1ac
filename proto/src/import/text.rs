//! Prose, lists of values and pasted mails: the values they speak of, each an indicator to be looked at by a person.
//!
//! Of a mail only what its sender made counts: whom it was written to and the servers on its way are victims and
//! bystanders. Its text is read as it was written, however it was encoded to be sent ([`mail`]).

use std::{borrow::Cow, collections::BTreeSet};

use super::{Import, ImportError, Options, Place, Why, mail, make::Item, rows};
use crate::stix::observable::{
    Kind, Observable, around,
    find::{self, Spoken, Stands},
};

/// Top-level names that are ends of files' names, too.
const ALSO_FILES: [&str; 22] = [
    "ai", "app", "bz", "cab", "cc", "com", "doc", "gz", "md", "mov", "pl", "pm", "ps", "py", "rs", "sc",
    "sh", "so", "st", "sys", "ws", "zip",
];
/// Those of them that name texts with numbered lines, as in `main.rs:42`.
const WITH_LINES: [&str; 8] = ["cc", "md", "pl", "pm", "ps", "py", "rs", "sh"];
/// Names that resolve nowhere, or not by DNS, and still are names (RFC 2606, RFC 7686).
const NAMES: [&str; 4] = ["example", "onion", "i2p", "bit"];

/// Header fields that a mail's sender writes about itself.
const SENDERS: [&str; 5] = ["from", "reply-to", "return-path", "sender", "subject"];

/// Reads values off lines.
pub(super) fn read(text: &str, options: &Options, import: &mut Import) -> Result<(), ImportError> {
    let mut seen: BTreeSet<(Observable, Option<u16>)> = BTreeSet::new();
    let out = rows::Rows::new(options);
    let is_mail = mail::begins(text);
    let text = if is_mail { mail::decoded(text) } else { Cow::Borrowed(text) };
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
        if is_mail && !in_header && mail::is_encoded(line) {
            import.skip(Place::Line(number), Why::Encoded);
            continue;
        }
        for spoken in find::values(line) {
            if in_header && !is_senders {
                import.skip(Place::Line(number), Why::Recipient);
            } else if let Some(why) = doubt(&spoken) {
                import.skip(Place::Line(number), why);
            } else if !seen.insert((spoken.value.clone(), spoken.port)) {
                import.skip(Place::Line(number), Why::Twice);
            } else {
                let text = spoken.value.value().to_owned();
                let item = Item::of(spoken.value, &text).at_port(spoken.port);
                out.indicator(&item, &rows::Said::default(), import)?;
            }
        }
    }
    Ok(())
}

/// Why a value may not be one.
fn doubt(spoken: &Spoken) -> Option<Why> {
    let Spoken { value, stands, port } = spoken;
    if value.value().contains(char::REPLACEMENT_CHARACTER) {
        return Some(Why::Undecoded);
    }
    if *stands == Stands::Host {
        return Some(Why::Part);
    }
    if value.kind() != Kind::Domain || *stands == Stands::Meant {
        return None;
    }
    let top = value.value().rsplit_once('.').map_or("", |(_, top)| top);
    let is_name =
        NAMES.contains(&top) || around::registrable(value.value()).is_some() && is_known(value.value());
    let files: &[&str] = if port.is_some() { &WITH_LINES } else { &ALSO_FILES };
    (!is_name || files.contains(&top) && value.value().matches('.').count() == 1).then_some(Why::Ambiguous)
}

/// Whether the public suffix list has the name's end.
fn is_known(name: &str) -> bool {
    psl::suffix(name.as_bytes()).is_some_and(|suffix| suffix.is_known())
}
