//! A pasted mail as its sender wrote it: parts that were encoded to be sent are read as text again (RFC 2045 §6).
//!
//! Lines keep their numbers, so that what is told of one is found in what was pasted: of lines that are put together
//! the text stands in one, and blank ones stand for the others. Nothing grows much: both encodings are longer than what they
//! carry, and bytes that are no text become one sign each.

use std::{borrow::Cow, collections::BTreeSet, mem};

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use crate::stix::observable::Observable;

/// Mail programs pad, and whoever pastes may lose the end.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Bytes of what stands between parts (RFC 2046 §5.1.1).
const MAX_BOUNDARY: usize = 70;
/// Parts with parts of their own in one mail; a mail that holds mails has some.
const MAX_BOUNDARIES: usize = 1_000;

/// Whether a text begins with the header of a mail, its sender's line among the first fields.
pub(super) fn begins(text: &str) -> bool {
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

/// How the lines of a part are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Plain,
    Quoted,
    Base64,
}

impl Encoding {
    /// What a line of a header says of it.
    fn said(line: &str) -> Option<Self> {
        let word = value_of(line, "content-transfer-encoding")?.to_ascii_lowercase();
        Some(match word.as_str() {
            "quoted-printable" => Self::Quoted,
            "base64" => Self::Base64,
            _ => Self::Plain,
        })
    }
}

/// What a part holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Text,
    /// A mail with a header of its own.
    Mail,
    Other,
}

/// A part of a mail on its way.
#[derive(Clone, Copy)]
struct Part {
    in_header: bool,
    /// Whether the field that goes on says what the part holds.
    in_type: bool,
    encoding: Encoding,
    content: Content,
}

impl Part {
    /// As it is until its header says more (RFC 2045 §5.2, §6.1).
    const NEW: Self =
        Self { in_header: true, in_type: false, encoding: Encoding::Plain, content: Content::Text };
    /// What stands behind the last part.
    const NONE: Self = Self { in_header: false, ..Self::NEW };

    /// Reads a line; what it says that parts stand between, if it does.
    fn header<'a>(&mut self, line: &'a str) -> Option<&'a str> {
        if line.trim().is_empty() {
            *self = match self.content {
                Content::Mail => Self::NEW,
                _ => Self { in_header: false, ..*self },
            };
            return None;
        }
        // A line that begins with a blank goes on with the field before (RFC 5322 §2.2.3).
        if !line.starts_with([' ', '\t']) {
            if let Some(encoding) = Encoding::said(line) {
                self.encoding = encoding;
            }
            let kind = value_of(line, "content-type");
            self.in_type = kind.is_some();
            if let Some(kind) = kind {
                let is =
                    |begin: &str| kind.get(..begin.len()).is_some_and(|of| of.eq_ignore_ascii_case(begin));
                self.content = if is("text/") {
                    Content::Text
                } else if is("message/rfc822") {
                    Content::Mail
                } else {
                    Content::Other
                };
            }
        }
        self.in_type.then(|| boundary(line)).flatten()
    }
}

/// The boundary that a line of a `Content-Type` names (RFC 2046 §5.1.1).
fn boundary(line: &str) -> Option<&str> {
    const NAME: &str = "boundary=";
    let at = line.to_ascii_lowercase().find(NAME)?;
    let said = line.get(at + NAME.len()..)?;
    let said = match said.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next(),
        None => said.split([';', ' ', '\t']).next(),
    };
    said.filter(|said| (1..=MAX_BOUNDARY).contains(&said.len()))
}

/// The part that a line begins, if it stands between two of a mail's.
fn begun(line: &str, boundaries: &BTreeSet<&str>) -> Option<Part> {
    let name = line.strip_prefix("--")?.trim_end();
    if boundaries.contains(name) {
        return Some(Part::NEW);
    }
    name.strip_suffix("--").filter(|name| boundaries.contains(name)).map(|_| Part::NONE)
}

/// Lines of base64 behind each other, by where they stand: there may be as many as a file has bytes.
#[derive(Default)]
struct Stretch {
    start: usize,
    end: usize,
    lines: usize,
}

impl Stretch {
    fn add(&mut self, start: usize, end: usize) {
        if self.lines == 0 {
            self.start = start;
        }
        self.end = end;
        self.lines += 1;
    }

    /// The text that they stand for in one line, with as many ends as they had; what is none stays as it was.
    fn put(self, mail: &str, out: &mut String) {
        let lines = mail.get(self.start..self.end).unwrap_or_default();
        let digits: String = lines.chars().filter(|c| !c.is_whitespace()).collect();
        let Ok(text) = BASE64.decode(&digits) else {
            out.push_str(lines);
            return;
        };
        let text = String::from_utf8_lossy(&text);
        // A sign that ends lines or steers becomes a blank.
        out.extend(text.chars().map(|c| if c.is_control() { ' ' } else { c }));
        out.extend(std::iter::repeat_n('\n', self.lines));
    }
}

/// A mail with the encodings of its texts undone; other parts stay as they are.
pub(super) fn decoded(mail: &str) -> Cow<'_, str> {
    if !mail.lines().any(|line| Encoding::said(line).is_some_and(|said| said != Encoding::Plain)) {
        return Cow::Borrowed(mail);
    }
    let mut out = String::with_capacity(mail.len());
    let mut part = Part::NEW;
    let mut boundaries = BTreeSet::new();
    let (mut quoted, mut quoted_lines): (Vec<u8>, usize) = (Vec::new(), 0);
    let mut digits = Stretch::default();
    let mut end = 0;
    for whole in mail.split_inclusive('\n') {
        let start = end;
        end += whole.len();
        let line = whole.strip_suffix('\n').map_or(whole, |line| line.strip_suffix('\r').unwrap_or(line));
        let begun = begun(line, &boundaries);
        let in_body = !part.in_header && begun.is_none();
        let is_base64 = in_body && part.encoding == Encoding::Base64 && part.content == Content::Text;
        let is_quoted = in_body && part.encoding == Encoding::Quoted;
        if !is_base64 {
            mem::take(&mut digits).put(mail, &mut out);
        }
        if !is_quoted {
            put_quoted(&mem::take(&mut quoted), &mut quoted_lines, &mut out);
        }
        if let Some(begun) = begun {
            // The next part says anew how it is written.
            part = begun;
        } else if part.in_header {
            let named = part.header(line).filter(|_| boundaries.len() < MAX_BOUNDARIES);
            boundaries.extend(named);
        }
        if is_base64 {
            digits.add(start, end);
        } else if is_quoted {
            let line = line.trim_end();
            let whole = line.strip_suffix('=');
            unquote(whole.unwrap_or(line), &mut quoted);
            quoted_lines += 1;
            if whole.is_none() {
                put_quoted(&mem::take(&mut quoted), &mut quoted_lines, &mut out);
            }
        } else {
            out.push_str(line);
            out.push('\n');
        }
    }
    digits.put(mail, &mut out);
    put_quoted(&quoted, &mut quoted_lines, &mut out);
    Cow::Owned(out)
}

/// What a line of a header says, if it is of a field.
fn value_of<'a>(line: &'a str, field: &str) -> Option<&'a str> {
    let (name, value) = line.split_once(':')?;
    name.eq_ignore_ascii_case(field).then(|| value.trim())
}

/// Lines that were broken to be sent, as one, with as many ends as they had.
fn put_quoted(text: &[u8], lines: &mut usize, out: &mut String) {
    out.push_str(&String::from_utf8_lossy(text));
    out.extend(std::iter::repeat_n('\n', mem::take(lines)));
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
pub(super) fn is_encoded(line: &str) -> bool {
    let line = line.trim_end();
    line.len() >= 60
        && line.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='))
        && Observable::guess(line).is_none()
}
