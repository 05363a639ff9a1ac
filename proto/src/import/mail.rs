//! A pasted mail as its sender wrote it: parts that were encoded to be sent are read as text again (RFC 2045 §6).
//!
//! Lines keep their numbers, so that what is told of one is found in what was pasted: of lines that are put together
//! the text stands in one, and blank ones stand for the others. Nothing grows much: both encodings are longer than what they
//! carry, and bytes that are no text become one sign each.

use std::{borrow::Cow, mem};

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

/// A part of a mail on its way.
struct Part {
    in_header: bool,
    encoding: Encoding,
    is_text: bool,
}

impl Part {
    /// As it is until its header says more (RFC 2045 §5.2, §6.1).
    const NEW: Self = Self { in_header: true, encoding: Encoding::Plain, is_text: true };

    fn header(&mut self, line: &str) {
        if let Some(encoding) = Encoding::said(line) {
            self.encoding = encoding;
        }
        if let Some(kind) = value_of(line, "content-type") {
            self.is_text = kind.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("text/"));
        }
        self.in_header = !line.trim().is_empty();
    }
}

/// A mail with the encodings of its texts undone; other parts stay as they are.
pub(super) fn decoded(mail: &str) -> Cow<'_, str> {
    if !mail.lines().any(|line| Encoding::said(line).is_some_and(|said| said != Encoding::Plain)) {
        return Cow::Borrowed(mail);
    }
    let mut out = String::with_capacity(mail.len());
    let mut part = Part::NEW;
    let (mut quoted, mut quoted_lines): (Vec<u8>, usize) = (Vec::new(), 0);
    let mut digits: Vec<&str> = Vec::new();
    for line in mail.lines() {
        let is_boundary = line.starts_with("--") && line.trim_end().len() > 4 && !line.contains(' ');
        let is_base64 = !part.in_header && !is_boundary && part.encoding == Encoding::Base64 && part.is_text;
        let is_quoted = !part.in_header && !is_boundary && part.encoding == Encoding::Quoted;
        if !is_base64 {
            put_base64(&mem::take(&mut digits), &mut out);
        }
        if !is_quoted {
            put_quoted(&mem::take(&mut quoted), &mut quoted_lines, &mut out);
        }
        if is_boundary {
            // The next part says anew how it is written.
            part = Part::NEW;
        } else if part.in_header {
            part.header(line);
        }
        if is_base64 {
            digits.push(line);
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
    put_base64(&digits, &mut out);
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

/// The text that lines of base64 stand for in one line, with as many ends as they had; what is none stays.
fn put_base64(lines: &[&str], out: &mut String) {
    let digits: String = lines.iter().flat_map(|line| line.split_whitespace()).collect();
    let Ok(text) = BASE64.decode(&digits) else {
        for line in lines {
            out.push_str(line);
            out.push('\n');
        }
        return;
    };
    let text = String::from_utf8_lossy(&text);
    // A sign that ends lines or steers becomes a blank.
    out.extend(text.chars().map(|c| if c.is_control() { ' ' } else { c }));
    out.extend(std::iter::repeat_n('\n', lines.len()));
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
