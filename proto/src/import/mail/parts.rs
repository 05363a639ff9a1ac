//! The parts of a mail as it was sent (RFC 2045, RFC 2046): headers, texts with their encodings undone, and what is none.
//!
//! Parts in parts are told apart by what stands between them, of [`MAX_DEPTH`] at a time; nothing calls itself but a mail
//! that lies in base64, within that bound too.

use std::{borrow::Cow, mem};

use super::{
    Lines, Piece,
    charset::Charset,
    transfer::{self, Encoding},
    words,
};
use crate::{
    import::{ImportError, Why},
    stix::neutral,
};

/// Bytes of what stands between parts (RFC 2046 §5.1.1).
const MAX_BOUNDARY: usize = 70;
/// Parts around a part. Each forward wraps a mail in two.
const MAX_DEPTH: usize = 32;
/// Bytes read of a field that says what a part is; those of honest ones are some hundreds.
const MAX_FIELD: usize = 4 << 10;
/// Characters told of an attachment's name and type, each.
const MAX_TOLD: usize = 100;

/// Reads a mail.
///
/// # Errors
/// The reader's.
pub(super) fn read(mail: &str, lines: &mut Lines<'_>) -> Result<(), ImportError> {
    read_at(mail, None, 0, lines)
}

/// Reads a mail that lies in others; `at` is the number of all its lines, if they were one.
fn read_at(mail: &str, at: Option<u64>, depth: usize, lines: &mut Lines<'_>) -> Result<(), ImportError> {
    let mut parts = Parts {
        mail,
        depth,
        part: Part::new(at.unwrap_or(1)),
        open: Vec::new(),
        digits: Stretch::default(),
        quoted: Quoted::default(),
    };
    let mut end = 0;
    for (number, whole) in (1_u64..).zip(mail.split_inclusive('\n')) {
        let start = end;
        end += whole.len();
        let line = whole.strip_suffix('\n').map_or(whole, |line| line.strip_suffix('\r').unwrap_or(line));
        let written =
            Written { number: at.unwrap_or(number), next: at.unwrap_or(number + 1), start, end, line };
        parts.line(&written, lines)?;
    }
    parts.put(lines)
}

/// A line, and where it stands.
struct Written<'a> {
    number: u64,
    next: u64,
    start: usize,
    end: usize,
    line: &'a str,
}

/// What a part holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Text,
    Html,
    /// A mail, encoded: one that is not goes on with its header.
    Mail,
    /// Nothing that is read.
    Other,
}

/// A part on its way.
struct Part {
    /// The line that begins its header.
    begin: u64,
    in_header: bool,
    said: Said,
    content: Content,
    encoding: Encoding,
    charset: Charset,
}

impl Part {
    /// As it is until its header says more (RFC 2045 §5.2, §6.1).
    fn new(begin: u64) -> Self {
        Self { in_header: true, begin, ..Self::none() }
    }

    /// What stands where no part is.
    fn none() -> Self {
        Self {
            begin: 0,
            in_header: false,
            said: Said::default(),
            content: Content::Text,
            encoding: Encoding::Plain,
            charset: Charset::default(),
        }
    }
}

/// What a header says of its part, put together of the lines that each field has.
#[derive(Default)]
struct Said {
    kind: String,
    encoding: String,
    disposition: String,
    /// Of the field that goes on, if it is one of these.
    now: Option<Field>,
}

#[derive(Clone, Copy)]
enum Field {
    Kind,
    Encoding,
    Disposition,
}

impl Said {
    fn line(&mut self, line: &str) {
        // A line that begins with a blank goes on with the field before (RFC 5322 §2.2.3).
        let said = if line.starts_with([' ', '\t']) {
            line
        } else {
            let (name, said) = line.split_once(':').unwrap_or_default();
            let is = |field: &str| name.eq_ignore_ascii_case(field);
            self.now = if is("content-type") {
                Some(Field::Kind)
            } else if is("content-transfer-encoding") {
                Some(Field::Encoding)
            } else if is("content-disposition") {
                Some(Field::Disposition)
            } else {
                None
            };
            if let Some(field) = self.of_now() {
                field.clear();
            }
            said
        };
        if let Some(field) = self.of_now()
            && field.len() + said.len() < MAX_FIELD
        {
            field.push(' ');
            field.push_str(said.trim());
        }
    }

    fn of_now(&mut self) -> Option<&mut String> {
        Some(match self.now? {
            Field::Kind => &mut self.kind,
            Field::Encoding => &mut self.encoding,
            Field::Disposition => &mut self.disposition,
        })
    }

    /// Type and subtype, in small letters (RFC 2045 §5.1).
    fn kind(&self) -> String {
        value_of(&self.kind).to_ascii_lowercase()
    }

    /// Whether it has parts of its own.
    fn is_parted(&self) -> bool {
        const BEGIN: &str = "multipart/";
        self.kind.trim_start().get(..BEGIN.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(BEGIN))
    }

    /// What stands between the parts of this one.
    fn boundary(&self) -> Option<String> {
        parameter(&self.kind, "boundary").filter(|said| (1..=MAX_BOUNDARY).contains(&said.len()))
    }

    /// How people know it: its name and type.
    fn told(&self) -> String {
        let brief = |text: &str| neutral::brief(text, MAX_TOLD);
        let kind = match value_of(&self.kind) {
            "" => "no type".to_owned(),
            kind => brief(kind),
        };
        let name = parameter(&self.disposition, "filename").or_else(|| parameter(&self.kind, "name"));
        match name {
            Some(name) => format!("\"{}\" ({kind})", brief(&words::decoded(&name))),
            None => kind,
        }
    }
}

/// A field's value without its parameters.
fn value_of(field: &str) -> &str {
    field.split(';').next().unwrap_or_default().trim()
}

/// A parameter of a field, put together if it was cut (RFC 2231).
fn parameter(field: &str, wanted: &str) -> Option<String> {
    let mut is_quoted = false;
    let all = field.split(move |c: char| {
        is_quoted ^= c == '"';
        c == ';' && !is_quoted
    });
    let mut plain = None;
    let mut cut: Option<(Charset, Vec<u8>)> = None;
    for (name, value) in all.filter_map(|one| one.split_once('=')) {
        let (name, value) = (name.trim(), value.trim());
        let value = match value.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next(),
            None => value.split_whitespace().next(),
        };
        let value = value.unwrap_or_default();
        match name.split_once('*') {
            None if name.eq_ignore_ascii_case(wanted) => plain = Some(value.to_owned()),
            Some((name, piece)) if name.eq_ignore_ascii_case(wanted) => {
                let is_escaped = piece.is_empty() || piece.ends_with('*');
                // The first piece says its encoding and language: `utf-8'nl'caf%C3%A9`.
                let said = if is_escaped && cut.is_none() { value.split_once('\'') } else { None };
                let said = said.and_then(|(charset, rest)| Some((charset, rest.split_once('\'')?.1)));
                let charset = said.and_then(|(charset, _)| Charset::named(charset)).unwrap_or_default();
                let (_, bytes) = cut.get_or_insert_with(|| (charset, Vec::new()));
                unescape(said.map_or(value, |(_, value)| value), is_escaped, bytes);
            }
            _ => {}
        }
    }
    cut.map(|(charset, bytes)| charset.text(&bytes)).or(plain)
}

/// `%C3%A9` as the bytes that are meant.
fn unescape(text: &str, is_escaped: bool, out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(byte) = text.as_bytes().get(at).copied() {
        let meant = if is_escaped && byte == b'%' { transfer::meant(text, at + 1) } else { None };
        out.push(meant.unwrap_or(byte));
        at += if meant.is_some() { 3 } else { 1 };
    }
}

/// Lines of base64 behind each other, by where they stand: there may be as many as a file has bytes.
#[derive(Default)]
struct Stretch {
    /// Of the first of them.
    number: u64,
    /// Whether each of them has a number of its own.
    counts: bool,
    start: usize,
    end: usize,
}

/// Lines of quoted-printable that are one.
#[derive(Default)]
struct Quoted {
    /// Of the first of them, if there is one.
    number: Option<u64>,
    text: Vec<u8>,
}

/// A mail on its way.
struct Parts<'a> {
    mail: &'a str,
    /// Parts around it.
    depth: usize,
    part: Part,
    /// What stands between the parts that are open, from the outermost.
    open: Vec<String>,
    digits: Stretch,
    quoted: Quoted,
}

impl Parts<'_> {
    fn line(&mut self, written: &Written<'_>, lines: &mut Lines<'_>) -> Result<(), ImportError> {
        let &Written { number, next, start, end, line } = written;
        // The blank line may be missing before the first part: no field begins so.
        if self.part.in_header && line.starts_with("--") && self.part.said.is_parted() {
            self.enter(next, lines)?;
        }
        if let Some(is_last) = self.begun(line) {
            self.put(lines)?;
            // The next part says anew what it is.
            self.part = if is_last { Part::none() } else { Part::new(next) };
            return lines.take(number, Piece::Between);
        }
        if self.part.in_header {
            if line.trim().is_empty() {
                return self.enter(next, lines);
            }
            self.part.said.line(line);
            return lines.take(number, Piece::Header(line));
        }
        match (self.part.content, self.part.encoding) {
            (Content::Other, _) => Ok(()),
            (content, Encoding::Plain) => give(content, number, line, lines),
            (_, Encoding::Base64) => {
                if self.digits.end == 0 {
                    self.digits = Stretch { number, counts: next > number, start, end };
                }
                self.digits.end = end;
                Ok(())
            }
            (_, Encoding::Quoted) => {
                let line = line.trim_end();
                let broken = line.strip_suffix('=');
                self.quoted.number.get_or_insert(number);
                transfer::unquote(broken.unwrap_or(line), &mut self.quoted.text);
                if broken.is_some() { Ok(()) } else { self.put(lines) }
            }
        }
    }

    /// Whether a line begins a part or, as the last one does, ends them, if it stands between those that are open.
    fn begun(&mut self, line: &str) -> Option<bool> {
        let name = line.strip_prefix("--")?.trim_end();
        let at = |name: &str| self.open.iter().rposition(|open| open == name);
        let (at, is_last) = match at(name) {
            Some(at) => (at, false),
            None => (at(name.strip_suffix("--")?)?, true),
        };
        self.open.truncate(at + 1);
        Some(is_last)
    }

    /// Behind a part's header, which ends before the line `next`.
    fn enter(&mut self, next: u64, lines: &mut Lines<'_>) -> Result<(), ImportError> {
        self.part.in_header = false;
        let said = mem::take(&mut self.part.said);
        let kind = said.kind();
        let encoding = Encoding::named(value_of(&said.encoding));
        let charset = parameter(&said.kind, "charset").unwrap_or_default().to_ascii_lowercase();
        // Of any that are not known the letters of addresses are read, but of those that have zeros between them.
        let is_wide = charset.starts_with("utf-16") || charset.starts_with("utf-32");
        self.part.encoding = encoding;
        self.part.charset = Charset::named(&charset).unwrap_or_default();
        if let Some(boundary) = said.boundary().filter(|_| said.is_parted()) {
            if self.depth + self.open.len() >= MAX_DEPTH {
                self.part.content = Content::Other;
                return lines.take(self.part.begin, Piece::Skipped(Why::Deep(MAX_DEPTH)));
            }
            self.open.push(boundary);
            return Ok(());
        }
        self.part.content = match kind.as_str() {
            "message/rfc822" | "message/global" | "text/rfc822-headers" => match encoding {
                Encoding::Plain => {
                    self.part = Part::new(next);
                    return Ok(());
                }
                Encoding::Base64 => Content::Mail,
                Encoding::Quoted => Content::Other,
            },
            // They name who is invited, and whose card it is.
            "text/calendar" | "text/vcard" | "text/x-vcard" | "text/directory" => Content::Other,
            "text/html" | "application/xhtml+xml" if !is_wide => Content::Html,
            // A type that is none is text (RFC 2045 §5.2), and so are parts that say nothing of what is between them.
            _ if !is_wide && (said.is_parted() || kind.starts_with("text/") || !kind.contains('/')) => {
                Content::Text
            }
            _ => Content::Other,
        };
        if self.part.content == Content::Other {
            return lines.take(self.part.begin, Piece::Skipped(Why::Attachment(said.told())));
        }
        Ok(())
    }

    /// Hands on what was gathered.
    fn put(&mut self, lines: &mut Lines<'_>) -> Result<(), ImportError> {
        let Quoted { number, text } = mem::take(&mut self.quoted);
        if let Some(number) = number {
            let text = self.part.charset.text(&text);
            give(self.part.content, number, &plain(&text), lines)?;
        }
        let Stretch { number, counts, start, end } = mem::take(&mut self.digits);
        let written = self.mail.get(start..end).unwrap_or_default();
        if written.is_empty() {
            return Ok(());
        }
        let bytes = {
            let digits: String = written.chars().filter(|c| !c.is_whitespace()).collect();
            transfer::base64(&digits)
        };
        let Some(bytes) = bytes else {
            // What is none stays as it was.
            for (behind, line) in (0_u64..).zip(written.lines()) {
                let number = if counts { number + behind } else { number };
                give(Content::Text, number, line, lines)?;
            }
            return Ok(());
        };
        let text = self.part.charset.text(&bytes);
        drop(bytes);
        if self.part.content == Content::Mail {
            let depth = self.depth + self.open.len() + 1;
            if depth > MAX_DEPTH {
                return lines.take(number, Piece::Skipped(Why::Deep(MAX_DEPTH)));
            }
            lines.take(number, Piece::Between)?;
            return read_at(&text, Some(number), depth, lines);
        }
        for line in text.lines() {
            give(self.part.content, number, &plain(line), lines)?;
        }
        Ok(())
    }
}

/// Hands on a line of a part.
fn give(content: Content, number: u64, line: &str, lines: &mut Lines<'_>) -> Result<(), ImportError> {
    let piece = if content == Content::Html { Piece::Html(line) } else { Piece::Text(line) };
    lines.take(number, piece)
}

/// `line` with blanks for signs that end lines or steer.
fn plain(line: &str) -> Cow<'_, str> {
    if line.contains(char::is_control) {
        Cow::Owned(line.replace(char::is_control, " "))
    } else {
        Cow::Borrowed(line)
    }
}
