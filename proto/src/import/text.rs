//! Prose, lists of values and pasted mails: the values they speak of, each an indicator to be looked at by a person.
//!
//! Of a mail only what its sender made counts: whom it was written to and the servers on its way are victims and
//! bystanders. Lines that it broke to send them ("quoted-printable") are put together again, or a URL would end there.

use std::{borrow::Cow, collections::BTreeSet, mem};

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
    let text = if is_mail { unquoted(text) } else { Cow::Borrowed(text) };
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

/// A mail with "quoted-printable" undone (RFC 2045 §6.7) in the parts that say they are written so. As many lines as
/// before: blank ones stand for those that were put together.
fn unquoted(mail: &str) -> Cow<'_, str> {
    const QUOTED: &str = "quoted-printable";
    let is_quoting = |value: &str| value.trim().eq_ignore_ascii_case(QUOTED);
    let encoding = |line: &str| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-transfer-encoding").then(|| is_quoting(value))
    };
    if !mail.lines().any(|line| encoding(line) == Some(true)) {
        return Cow::Borrowed(mail);
    }
    let mut out = String::with_capacity(mail.len());
    let (mut is_body, mut is_quoted) = (false, false);
    let (mut begun, mut broken): (Vec<u8>, usize) = (Vec::new(), 0);
    for line in mail.lines() {
        is_body |= line.trim().is_empty();
        if let Some(is_so) = encoding(line) {
            is_quoted = is_so;
        } else if line.starts_with("--") && line.trim_end().len() > 4 && !line.contains(' ') {
            // The next part says anew how it is written.
            is_quoted = false;
        }
        let is_whole = if is_body && is_quoted {
            let line = line.trim_end();
            let whole = line.strip_suffix('=');
            unquote(whole.unwrap_or(line), &mut begun);
            whole.is_none()
        } else {
            begun.extend_from_slice(line.as_bytes());
            true
        };
        broken += 1;
        if is_whole {
            out.push_str(&String::from_utf8_lossy(&mem::take(&mut begun)));
            out.extend(std::iter::repeat_n('\n', mem::take(&mut broken)));
        }
    }
    out.push_str(&String::from_utf8_lossy(&begun));
    Cow::Owned(out)
}

/// `=3D` is `=`; a sign that ends lines or steers becomes a blank.
fn unquote(line: &str, out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(byte) = line.as_bytes().get(at).copied() {
        let digits = if byte == b'=' { line.get(at + 1..at + 3) } else { None };
        let digits = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let meant = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(meant.map_or(byte, |meant| meant.max(b' ')));
        at += if meant.is_some() { 3 } else { 1 };
    }
}

/// A line of base64, as attachments are.
fn is_encoded(line: &str) -> bool {
    let line = line.trim_end();
    line.len() >= 60
        && line.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='))
        && Observable::guess(line).is_none()
}
