//! Words of a header that were encoded to be sent (RFC 2047): `=?utf-8?Q?caf=C3=A9?=`.

use std::borrow::Cow;

use super::{
    charset::Charset,
    transfer::{base64, meant},
};

/// What an encoded word begins and ends with.
pub(super) const BEGIN: &str = "=?";
pub(super) const END: &str = "?=";

/// Encoded words with blanks between them at most, in one encoding: a sign may be cut between two.
struct Run {
    start: usize,
    end: usize,
    charset: Charset,
    bytes: Vec<u8>,
}

impl Run {
    /// What they say; as they were written, if that is no text.
    fn put(&mut self, text: &str, out: &mut String) {
        let said = self.charset.text(&std::mem::take(&mut self.bytes));
        if said.contains(char::REPLACEMENT_CHARACTER) {
            out.push_str(text.get(self.start..self.end).unwrap_or_default());
        } else {
            // A sign that ends lines or steers becomes a blank.
            out.extend(said.chars().map(|c| if c.is_control() { ' ' } else { c }));
        }
    }
}

/// A line of a header with its encoded words undone; broken ones, and those of other encodings, stay as they are. Of
/// blanks between two nothing is left (§6.2). No sign is looked at more than a few times: none of a word's three pieces
/// reaches beyond where the next word may begin.
pub(super) fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains(BEGIN) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut run: Option<Run> = None;
    let mut at = 0;
    while let Some(before) = text.get(at..).and_then(|rest| rest.find(BEGIN)) {
        let begin = at + before;
        let between = text.get(at..begin).unwrap_or_default();
        let word = text.get(begin..).and_then(Word::begun);
        let Some(Word { charset, bytes, len }) = word else {
            if let Some(mut run) = run.take() {
                run.put(text, &mut out);
            }
            at = begin + BEGIN.len();
            out.push_str(between);
            out.push_str(BEGIN);
            continue;
        };
        at = begin + len;
        match &mut run {
            Some(run) if between.trim().is_empty() && run.charset == charset => {
                run.end = at;
                run.bytes.extend(bytes);
                continue;
            }
            Some(run) => run.put(text, &mut out),
            None => {}
        }
        if run.is_none() || !between.trim().is_empty() {
            out.push_str(between);
        }
        run = Some(Run { start: begin, end: at, charset, bytes });
    }
    if let Some(mut run) = run {
        run.put(text, &mut out);
    }
    out.push_str(text.get(at..).unwrap_or_default());
    Cow::Owned(out)
}

/// An encoded word.
struct Word {
    charset: Charset,
    bytes: Vec<u8>,
    len: usize,
}

impl Word {
    /// The one that a text begins with.
    fn begun(text: &str) -> Option<Self> {
        let (charset, rest) = text.strip_prefix(BEGIN)?.split_once('?')?;
        let (encoding, rest) = rest.split_once('?')?;
        let (said, rest) = rest.split_once('?')?;
        let rest = rest.strip_prefix('=')?;
        // A language may stand behind (RFC 2231 §5).
        let charset = Charset::named(charset.split('*').next()?)?;
        let bytes = match encoding {
            "B" | "b" => base64(said)?,
            "Q" | "q" => unquoted(said)?,
            _ => return None,
        };
        Some(Self { charset, bytes, len: text.len() - rest.len() })
    }
}

/// The "Q" encoding (§4.2); `None` if it is broken.
fn unquoted(said: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(said.len());
    let mut at = 0;
    while let Some(byte) = said.as_bytes().get(at).copied() {
        let (meant, len) = match byte {
            b'=' => (meant(said, at + 1)?, 3),
            b'_' => (b' ', 1),
            b'!'..=b'~' => (byte, 1),
            _ => return None,
        };
        out.push(meant);
        at += len;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_words_are_read_joined_and_broken_ones_left_as_written() {
        for (text, expected) in [
            ("Subject: =?utf-8?B?Y2Fmw6k=?= now", "Subject: café now"),
            ("=?UTF-8?q?caf=C3=A9_bar?=", "café bar"),
            ("\"=?iso-8859-1?Q?Andr=E9?=\" <x@evil.example>", "\"André\" <x@evil.example>"),
            ("=?windows-1252*nl?Q?=80_5?=", "€ 5"),
            // Blanks between two go, those beside other words stay.
            ("=?utf-8?Q?ev?= \t=?utf-8?Q?il?= x =?utf-8?Q?y?=", "evil x y"),
            ("=?utf-8?Q?ev?= =?iso-8859-1?B?aWw=?=", "evil"),
            // A sign cut between two words.
            ("=?utf-8?B?Y2Fmww==?= =?utf-8?B?qQ==?=", "café"),
            ("=?utf-8?Q?a=0AFrom:?=", "a From:"),
            // Broken, or of an encoding that is not known.
            ("=?utf-8?Q?a=ZZ?=", "=?utf-8?Q?a=ZZ?="),
            ("=?utf-8?Q?=E9?= x", "=?utf-8?Q?=E9?= x"),
            ("=?utf-8?B?!!?=", "=?utf-8?B?!!?="),
            ("=?utf-8?X?a?=", "=?utf-8?X?a?="),
            ("=?x-own?Q?a?=", "=?x-own?Q?a?="),
            ("=?utf-8?Q?a b?=", "=?utf-8?Q?a b?="),
            ("=?utf-8?Q?a", "=?utf-8?Q?a"),
            ("1 =?= 2 =?utf-8?Q?a?=", "1 =?= 2 a"),
            ("=?utf-8?Q?é?=", "=?utf-8?Q?é?="),
            ("none", "none"),
        ] {
            assert_eq!(decoded(text), expected, "{text}");
        }
    }

    /// Were the rest of the line read anew for each beginning of a word, none of these would end.
    #[test]
    fn a_line_of_beginnings_is_read_in_one_pass() {
        for begin in ["=?", "=?utf-8?", "=?utf-8?Q?", "=?utf-8?Q?a", "=?utf-8?B?!?"] {
            let line = begin.repeat(400_000);
            assert_eq!(decoded(&line), line, "{begin}");
        }
        let line = "=?utf-8?Q?a?= ".repeat(200_000);
        assert_eq!(decoded(&line).trim_end(), "a".repeat(200_000));
    }
}
