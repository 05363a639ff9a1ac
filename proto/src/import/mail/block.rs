//! Headers within texts: of mails that were forwarded or answered, as mail programs show them.
//!
//! ```text
//! -----Oorspronkelijk bericht-----          > De : it@evil.example
//! Van: it@evil.example                      > Envoyé : lundi 3 novembre 2025 10:00
//! Verzonden: maandag 3 november 2025        > À : jan@bank.example;
//! Aan: jan@bank.example                     > an@bank.example
//! Onderwerp: kijk                           > Objet : regarde
//! ```
//!
//! A line that could begin a field may be prose or a list of values as well, so lines are held until enough fields stand
//! together: three, or in a mail and in a quotation two, if one of them tells where it comes from or what it is about;
//! behind a line that says that a mail follows, one.

use std::{borrow::Cow, mem};

use super::{
    Reader, Told,
    field::{Fields, Kind, folded, unquoted},
    is_encoded,
};
use crate::import::{ImportError, Why};

/// Lines held at most until it is known whether they are a header.
const MAX_HELD: usize = 200;
/// Lines between two fields that go with the first of them: mail programs break long ones without a sign of it.
const MAX_BETWEEN: usize = 3;
/// Lines between them that show nothing, of HTML.
const MAX_UNSHOWN: usize = 50;
/// Bytes of a line that says that a mail follows.
const MAX_SEPARATOR: usize = 200;
/// How such lines begin that have no hyphens around them.
const FOLLOWS: [&str; 5] = [
    "begin forwarded message",
    "begin doorgestuurd bericht",
    "debut du message",
    "anfang der weitergeleiteten",
    "anfang weitergeleitete",
];

/// A line of a text.
pub(super) struct Line<'t> {
    /// With its tags, if it is HTML.
    pub(super) text: Cow<'t, str>,
    /// What its reader sees.
    pub(super) shown: Cow<'t, str>,
    /// Whether it goes on with the line before, for its reader.
    pub(super) goes_on: bool,
    is_html: bool,
}

impl<'t> Line<'t> {
    pub(super) fn of_text(line: &'t str) -> Self {
        Self { text: Cow::Borrowed(line), shown: Cow::Borrowed(line), goes_on: false, is_html: false }
    }

    pub(super) fn of_html(text: Cow<'t, str>, shown: String, goes_on: bool) -> Self {
        Self { text, shown: Cow::Owned(shown), goes_on, is_html: true }
    }
}

/// A line that may be of a header.
struct Held {
    number: u64,
    text: String,
    /// Of the field that it begins.
    begun: Option<Kind>,
}

/// What may become a header, or is one that goes on.
#[derive(Default)]
struct Block {
    is_header: bool,
    is_announced: bool,
    is_quoted: bool,
    kinds: Vec<Kind>,
    /// Its lines, until it is known to be one.
    held: Vec<Held>,
    /// Lines behind it that are of it if another field follows.
    behind: Vec<Held>,
    /// Those of them that show something.
    shown_behind: usize,
    /// Whether a blank line stands behind it.
    is_apart: bool,
    /// Of the field that goes on, whether it is a list of recipients, and one that its last line leaves open.
    in_list: bool,
    is_list_open: bool,
}

impl Block {
    /// Whether its fields are those of a header.
    fn is_sure(&self, in_mail: bool) -> bool {
        let is_near = in_mail || self.is_quoted;
        let has_origin = self.kinds.iter().any(|kind| kind.is_origin());
        match self.kinds.len() {
            0 => false,
            // Whom it was written to stands first in no header that a program shows.
            1 => self.is_announced && !self.kinds.contains(&Kind::To),
            2 => self.is_announced || is_near && (has_origin || self.kinds.contains(&Kind::Subject)),
            _ => is_near || has_origin,
        }
    }

    /// Whether a field that stands in no header alone is of this one.
    fn takes(&self, begun: Kind) -> bool {
        let is_sent = self.kinds.iter().any(|kind| matches!(kind, Kind::Trace | Kind::Sender));
        !self.is_apart && (begun != Kind::Raw || is_sent)
    }

    /// Whether a line that begins no field is of the one before, if none stands between.
    fn goes_on(&self, line: &Line<'_>, bare: &str) -> bool {
        let is_of_list =
            || self.is_list_open || bare.contains('@') && bare.trim_end().ends_with([',', ';', '>']);
        let is_indented = !line.is_html && bare.starts_with([' ', '\t']);
        self.behind.is_empty() && (line.goes_on || is_indented || self.in_list && is_of_list())
    }
}

/// Reads texts, and headers, the mail's own and those within.
pub(super) struct Blocks {
    in_mail: bool,
    fields: Fields,
    block: Option<Block>,
    /// Whether the last line that was not blank says that a mail follows.
    is_announced: bool,
}

impl Blocks {
    /// Of a mail, or of another text.
    pub(super) fn new(in_mail: bool) -> Self {
        Self { in_mail, fields: Fields::default(), block: None, is_announced: false }
    }

    /// A line of a header as it is sent.
    pub(super) fn header(
        &mut self,
        number: u64,
        line: &str,
        reader: &mut dyn Reader,
    ) -> Result<(), ImportError> {
        self.is_announced = false;
        if self.block.is_some() {
            self.end(reader)?;
        }
        // A line that begins with a blank goes on with the field before (RFC 5322 §2.2.3).
        let goes_on = line.starts_with([' ', '\t']);
        let begun = if goes_on { None } else { Some(Kind::begun(line).unwrap_or(Kind::Other)) };
        self.fields.line(number, line, begun, reader)
    }

    /// A line of a text.
    pub(super) fn text(
        &mut self,
        number: u64,
        line: &Line<'_>,
        reader: &mut dyn Reader,
    ) -> Result<(), ImportError> {
        if self.block.is_none() {
            self.fields.flush(reader)?;
        }
        let bare = unquoted(&line.shown);
        if bare.trim().is_empty() {
            return if line.is_html { self.unshown(number, line, reader) } else { self.blank(reader) };
        }
        if announces(bare) {
            self.end(reader)?;
            self.is_announced = true;
            return self.put(number, &line.text, reader);
        }
        let begun = if line.goes_on { None } else { Kind::begun(bare) };
        let is_one = |begun: &Kind| match begun {
            Kind::Other | Kind::Raw => self.block.as_ref().is_some_and(|block| block.takes(*begun)),
            _ => true,
        };
        // HTML shows no header as it is sent, and styles look like one.
        match begun.filter(|begun| begun.is_shown() || !line.is_html).filter(is_one) {
            Some(begun) => self.field(number, line, begun, reader),
            None => self.other(number, line, bare, reader),
        }
    }

    /// Nothing of a header goes on.
    pub(super) fn end(&mut self, reader: &mut dyn Reader) -> Result<(), ImportError> {
        let Some(block) = self.block.take() else { return self.fields.flush(reader) };
        for held in block.held {
            self.put(held.number, &held.text, reader)?;
        }
        self.fields.flush(reader)?;
        for held in block.behind {
            self.put(held.number, &held.text, reader)?;
        }
        Ok(())
    }

    /// A line that begins a field.
    fn field(
        &mut self,
        number: u64,
        line: &Line<'_>,
        begun: Kind,
        reader: &mut dyn Reader,
    ) -> Result<(), ImportError> {
        let is_another = self.block.as_ref().is_some_and(|block| {
            let is_sent = block.kinds.contains(&Kind::Trace);
            begun.is_single() && block.kinds.contains(&begun)
                || block.is_apart && (is_sent || !begun.is_shown())
        });
        if is_another {
            self.end(reader)?;
        }
        let is_announced = mem::take(&mut self.is_announced);
        let block = self.block.get_or_insert_with(|| Block { is_announced, ..Block::default() });
        block.held.append(&mut block.behind);
        block.held.push(Held { number, text: line.text.clone().into_owned(), begun: Some(begun) });
        if !matches!(begun, Kind::Other | Kind::Raw) && !block.kinds.contains(&begun) {
            block.kinds.push(begun);
        }
        block.is_quoted |= line.shown.trim_start().starts_with('>');
        block.in_list = begun == Kind::To;
        block.is_list_open = line.shown.trim_end().ends_with([',', ';']);
        (block.shown_behind, block.is_apart) = (0, false);
        self.settle(reader)
    }

    /// A line that shows something and begins no field.
    fn other(
        &mut self,
        number: u64,
        line: &Line<'_>,
        bare: &str,
        reader: &mut dyn Reader,
    ) -> Result<(), ImportError> {
        self.is_announced = false;
        if self.block.as_ref().is_some_and(|block| block.is_apart && !(block.in_list && block.is_list_open)) {
            self.end(reader)?;
        }
        let Some(block) = &mut self.block else { return self.put(number, &line.text, reader) };
        block.is_apart = false;
        let held = Held { number, text: line.text.clone().into_owned(), begun: None };
        if block.goes_on(line, bare) {
            block.held.push(held);
            block.is_list_open = line.shown.trim_end().ends_with([',', ';']);
            return self.settle(reader);
        }
        block.behind.push(held);
        block.shown_behind += 1;
        if block.shown_behind > MAX_BETWEEN { self.end(reader) } else { Ok(()) }
    }

    /// A line of HTML without anything to see: tags, in which links may stand.
    fn unshown(&mut self, number: u64, line: &Line<'_>, reader: &mut dyn Reader) -> Result<(), ImportError> {
        let Some(block) = &mut self.block else { return self.put(number, &line.text, reader) };
        let held = Held { number, text: line.text.clone().into_owned(), begun: None };
        if line.goes_on && block.behind.is_empty() {
            block.held.push(held);
            return self.settle(reader);
        }
        block.behind.push(held);
        if block.behind.len() > MAX_UNSHOWN { self.end(reader) } else { Ok(()) }
    }

    /// Fields may stand apart from each other where they are shown.
    fn blank(&mut self, reader: &mut dyn Reader) -> Result<(), ImportError> {
        match &mut self.block {
            Some(block) if block.is_apart || !block.behind.is_empty() => self.end(reader),
            Some(block) => {
                block.is_apart = true;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Hands on what is known to be a header.
    fn settle(&mut self, reader: &mut dyn Reader) -> Result<(), ImportError> {
        let Some(block) = &mut self.block else { return Ok(()) };
        block.is_header |= block.is_sure(self.in_mail);
        if block.is_header {
            for held in block.held.drain(..) {
                self.fields.line(held.number, &held.text, held.begun, reader)?;
            }
        } else if block.held.len() > MAX_HELD {
            return self.end(reader);
        }
        Ok(())
    }

    fn put(&self, number: u64, text: &str, reader: &mut dyn Reader) -> Result<(), ImportError> {
        let is_encoded = self.in_mail && is_encoded(text);
        reader.take(number, if is_encoded { Told::Skipped(Why::Encoded) } else { Told::Text(text) })
    }
}

/// Whether a line says that a mail follows: words between hyphens, a rule, or one of the sentences.
fn announces(line: &str) -> bool {
    let line = line.trim();
    if line.len() > MAX_SEPARATOR {
        return false;
    }
    let is_between = line.starts_with("--") && line.ends_with("--") && line.contains(char::is_alphabetic);
    let is_rule = line.len() >= 20 && line.bytes().all(|byte| byte == b'_');
    is_between
        || is_rule
        || line.ends_with(':') && {
            let said = folded(line);
            FOLLOWS.iter().any(|begin| said.starts_with(begin))
        }
}
