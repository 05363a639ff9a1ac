//! Pasted texts and mails line by line, as their authors wrote them.
//!
//! ```text
//! a mail ─ parts ─┬─ header ────────────────────────────▶ field ─▶ Told::Field, and whose its values are
//!                 ├─ text ───────────┬─ block ─┬─ header ─▲
//!                 ├─ HTML ─ html ────┘         └─ text ──────────▶ Told::Text
//!                 └─ what is no text ──────────────────────────▶ Told::Skipped
//! any other text ────────────────────▲
//! ```
//!
//! A mail that was forwarded stands in its text with a header that its reader's program wrote ([`block`]): it is a header
//! as the first one is. Each line comes with the number it has in what was pasted, so that what is told of it is found
//! there; lines that were put together, or lay in base64, have the number of the first of them.
//!
//! All of it is one pass. Nothing grows beyond three times: encodings are longer than what they carry, and bytes that are
//! no text become one sign each.

mod block;
mod charset;
mod field;
mod html;
mod parts;
mod transfer;
mod words;

use self::block::Blocks;
pub(super) use self::field::Whose;
use super::{ImportError, Why};
use crate::stix::observable::Observable;

/// What a line comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told<'a> {
    /// What is written to be read.
    Text(&'a str),
    /// Of a header.
    Field(Whose, &'a str),
    /// What is not read.
    Skipped(Why),
}

/// Whoever reads the lines, in their order.
pub(super) trait Reader {
    /// # Errors
    /// Any, and nothing more is read.
    fn take(&mut self, number: u64, told: Told<'_>) -> Result<(), ImportError>;
}

/// Reads a text, as a mail if it begins as one.
///
/// # Errors
/// The reader's.
pub(super) fn read(text: &str, reader: &mut dyn Reader) -> Result<(), ImportError> {
    let is_mail = begins(text);
    let mut lines = Lines { blocks: Blocks::new(is_mail), html: html::Html::default(), reader };
    if is_mail {
        parts::read(text, &mut lines)?;
    } else {
        for (number, line) in (1..).zip(text.lines()) {
            lines.take(number, Piece::Text(line))?;
        }
    }
    lines.blocks.end(lines.reader)
}

/// A line by the part of its mail.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece<'a> {
    Header(&'a str),
    Text(&'a str),
    Html(&'a str),
    /// What stands between two parts.
    Between,
    Skipped(Why),
}

/// On its way from the parts to the reader.
struct Lines<'r> {
    blocks: Blocks,
    html: html::Html,
    reader: &'r mut dyn Reader,
}

impl Lines<'_> {
    fn take(&mut self, number: u64, piece: Piece<'_>) -> Result<(), ImportError> {
        let reader = &mut *self.reader;
        match piece {
            Piece::Header(line) => self.blocks.header(number, line, reader),
            Piece::Text(line) => self.blocks.text(number, &block::Line::of_text(line), reader),
            Piece::Html(line) => {
                let mut rest = line;
                while let Some(line) = self.html.next(&mut rest) {
                    self.blocks.text(number, &line, reader)?;
                }
                Ok(())
            }
            Piece::Between => {
                self.html = html::Html::default();
                self.blocks.end(reader)
            }
            Piece::Skipped(why) => {
                self.blocks.end(reader)?;
                reader.take(number, Told::Skipped(why))
            }
        }
    }
}

/// Whether a text begins with the header of a mail, its sender's line among the first fields.
fn begins(text: &str) -> bool {
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
