//! The tokens of a pattern, and which texts are one of a kind.

use super::PatternError;
use crate::stix::timestamp;

pub(super) const KEYWORDS: [&str; 16] = [
    "AND",
    "OR",
    "NOT",
    "IN",
    "LIKE",
    "MATCHES",
    "ISSUBSET",
    "ISSUPERSET",
    "EXISTS",
    "FOLLOWEDBY",
    "START",
    "STOP",
    "WITHIN",
    "SECONDS",
    "REPEATS",
    "TIMES",
];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// Letters, digits, `_` and `-`, a letter or `_` first.
    Word(String),
    /// In single quotes, unescaped.
    Text(String),
    /// `t'…'`, `h'…'` or `b'…'`: the letter, and what is quoted.
    Typed(char, String),
    Number(String),
    Sign(&'static str),
}

/// A pattern's tokens, each with its offset.
pub(super) fn tokens(pattern: &str) -> Result<Vec<(usize, Token)>, PatternError> {
    const SIGNS: [&str; 16] =
        ["!=", "<>", "<=", ">=", "==", "=", "<", ">", "[", "]", "(", ")", ",", ":", ".", "*"];
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = pattern.get(at..).filter(|rest| !rest.is_empty()) {
        let first = rest.chars().next().unwrap_or_default();
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        if let Some(len) = comment(rest) {
            at += len;
            continue;
        }
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let (token, len) = if first == '\'' {
            let (text, len) = quoted(rest, at)?;
            (Token::Text(text), len)
        } else if let Some(typed) = rest.strip_prefix(['t', 'h', 'b']).filter(|rest| rest.starts_with('\'')) {
            let (text, len) = quoted(typed, at + 1)?;
            (Token::Typed(first, text), len + 1)
        } else if first.is_ascii_alphabetic() || first == '_' {
            let len =
                rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')).count();
            (Token::Word(rest.get(..len).unwrap_or_default().to_owned()), len)
        } else if let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign) && !is_fraction(rest))
        {
            (Token::Sign(sign), sign.len())
        } else {
            let signed = usize::from(rest.starts_with(['-', '+']));
            let whole = signed + digits(rest.get(signed..).unwrap_or_default());
            let fraction = rest.get(whole..).and_then(|rest| rest.strip_prefix('.')).map_or(0, &digits);
            if whole == signed && fraction == 0 {
                return Err(PatternError { at, expected: "a name, a constant or an operator" });
            }
            let len = whole + if fraction > 0 { fraction + 1 } else { 0 };
            (Token::Number(rest.get(..len).unwrap_or_default().to_owned()), len)
        };
        found.push((at, token));
        at += len;
    }
    Ok(found)
}

/// `.5`, and not the step of a path.
fn is_fraction(rest: &str) -> bool {
    let mut bytes = rest.bytes();
    bytes.next() == Some(b'.') && bytes.next().is_some_and(|byte| byte.is_ascii_digit())
}

/// The bytes of the comment that `rest` begins with, if it does.
fn comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find(['\r', '\n']).unwrap_or(rest.len()));
    }
    let inner = rest.strip_prefix("/*")?;
    inner.find("*/").map(|end| end + 4)
}

/// Whether the quoted text of a typed constant is one: a time in UTC, hexadecimal, base64.
pub(super) fn is_of_its_type(letter: char, text: &str) -> bool {
    match letter {
        't' => timestamp::is_valid(text),
        'h' => text.len().is_multiple_of(2) && text.bytes().all(|b| b.is_ascii_hexdigit()),
        _ => {
            let body = text.trim_end_matches('=');
            !text.is_empty()
                && text.len().is_multiple_of(4)
                && text.len() - body.len() <= 2
                && body.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
        }
    }
}

/// Whether a number is one of the grammar's: a whole one has no zeros before it.
pub(super) fn is_number(text: &str) -> bool {
    let digits = text.trim_start_matches(['-', '+']);
    digits.contains('.') || digits == "0" || !digits.starts_with('0')
}

/// Whether a word may not stand where a name does, but in quotes.
pub(super) fn is_reserved(word: &str) -> bool {
    KEYWORDS.contains(&word) || matches!(word, "true" | "false" | "LAST")
}

/// The content of the quoted text that `rest` begins with, and the bytes it takes.
fn quoted(rest: &str, at: usize) -> Result<(String, usize), PatternError> {
    let mut content = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((i, c)) = chars.next() {
        match c {
            '\'' => return Ok((content, i + 1)),
            '\\' => match chars.next() {
                Some((_, c @ ('\'' | '\\'))) => content.push(c),
                _ => return Err(PatternError { at: at + i, expected: "\\' or \\\\" }),
            },
            c => content.push(c),
        }
    }
    Err(PatternError { at: at + rest.len(), expected: "a closing quote" })
}
