//! Foreign text on its way into files that programs read: it is data, and steers nothing.
//!
//! Three ways a text gets power over its reader: control characters (terminals, line-based parsers), bidirectional and
//! invisible characters (people), and a first character that a spreadsheet takes for a formula.

use std::fmt::Write as _;

/// Whether a character moves a cursor, ends a line, hides, or turns reading order around.
#[must_use]
pub fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Whether `text` can stand on a line of its own as it is.
#[must_use]
pub fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(steers)
}

/// `text` with every steering character written out, as `\u{202e}`.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) {
            let _ = write!(out, "{}", c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// [`visible`], on at most `most` characters.
#[must_use]
pub fn brief(text: &str, most: usize) -> String {
    let text = text.trim();
    // As nearly all are: as it is.
    if text.len() <= most && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.to_owned();
    }
    let mut out: String = visible(text).chars().take(most).collect();
    if text.chars().count() > most {
        out.push('…');
    }
    out
}

/// [`visible`], of a long text its beginning and its end, together `most` characters: errors of parsers repeat what they
/// were given, however long it is, and say last where it stands.
#[must_use]
pub fn gist(text: &str, most: usize) -> String {
    if text.chars().nth(most).is_none() {
        return visible(text);
    }
    let half = most / 2;
    let begin = text.char_indices().nth(half).map_or(text, |(at, _)| text.get(..at).unwrap_or_default());
    let end = text.char_indices().rev().take(half).last().and_then(|(at, _)| text.get(at..));
    format!("{}…{}", visible(begin), visible(end.unwrap_or_default()))
}

/// `text` as the content of a spreadsheet's cell: no formula, whatever it begins with. Quoting is the writer's.
///
/// Nor behind a semicolon: where people write a comma in numbers, as in Belgium, spreadsheets begin a cell there when they open a
/// table that is separated by commas.
#[must_use]
pub fn cell(text: &str) -> String {
    let text = visible(text);
    // Full-width forms are folded by some spreadsheets.
    let calculates = |c: char| matches!(c, '=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠');
    let first = |text: &str| text.trim_start_matches(|c: char| c.is_whitespace() || c == '"').chars().next();
    let is_formula = first(&text).is_some_and(|c| calculates(c) || matches!(c, '|' | '%'));
    let mut out = if is_formula { "'".to_owned() } else { String::new() };
    for (n, part) in text.split(';').enumerate() {
        if n > 0 {
            out.push(';');
            out.push_str(if first(part).is_some_and(calculates) { "'" } else { "" });
        }
        out.push_str(part);
    }
    out
}

/// A URL with everything percent-encoded that RFC 3986 has no place for: white space, controls, what is not ASCII.
#[must_use]
pub fn url(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic()
            && !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}')
        {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn formulas_become_text() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\t=cmd|'/C calc'!A0", "＝1"] {
            let cell = cell(formula);
            assert!(cell.starts_with('\'') || cell.starts_with('\\'), "{cell}");
        }
        assert_eq!(cell("evil.example"), "evil.example");
        // In a table that is opened as one that semicolons separate.
        assert_eq!(cell("Bank; =1+1;\"-2; a;b"), "Bank;' =1+1;'\"-2; a;b");
        assert_eq!(cell("http://evil.example/?a=1;b=-2"), "http://evil.example/?a=1;b=-2");
    }

    #[test]
    fn what_steers_is_written_out() {
        assert_eq!(visible("a\u{202e}b\u{1b}[1m\n"), "a\\u{202e}b\\u{1b}[1m\\u{a}");
        assert!(!is_plain("a\nb") && !is_plain("\u{200b}a") && !is_plain("") && is_plain("Évil exe"));
        assert_eq!(brief("  abc ", 2), "ab…");
        assert_eq!(brief("  a c ", 3), "a c");
        assert_eq!(brief("a\tc", 9), "a\\u{9}c");
        assert_eq!(brief("äöü", 3), "äöü");
    }

    #[test]
    fn of_a_long_text_both_ends_are_told() {
        assert_eq!(gist("short\n", 6), "short\\u{a}");
        assert_eq!(gist("beginning é and the end", 8), "begi… end");
        assert_eq!(gist(&format!("\u{1b}{}é", "x".repeat(1_000_000)), 4), "\\u{1b}x…xé");
    }

    #[test]
    fn a_url_stays_on_its_line() {
        assert_eq!(url("http://evil.example/a b\n#é"), "http://evil.example/a%20b%0A#%C3%A9");
        assert_eq!(url("http://evil.example/?q=%20'x'"), "http://evil.example/?q=%20'x'");
    }

    proptest! {
        #[test]
        fn nothing_neutral_steers(text in "\\PC{0,20}|[\\x00-\\x20=+@a;\u{202e}-]{0,12}") {
            prop_assert!(!cell(&text).chars().any(steers));
            prop_assert!(!brief(&text, 9).chars().any(steers));
            prop_assert!(url(&text).bytes().all(|b| b.is_ascii_graphic()));
            let cell = cell(&text);
            prop_assert!(!cell.split(';').any(|part| part.trim_start().starts_with(['=', '+', '-', '@'])));
        }
    }
}
