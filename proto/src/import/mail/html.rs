//! HTML as lines: where it breaks them, what it shows of them, and its tags, in which links stand.

use std::borrow::Cow;

use super::block::Line;

/// Letters of a tag's name, at most: of longer ones none breaks a line.
const MAX_NAME: usize = 12;
/// Tags at which a line ends. Cells of a table stand beside each other.
const BREAKS: [&str; 18] = [
    "br",
    "p",
    "div",
    "tr",
    "li",
    "ul",
    "ol",
    "table",
    "hr",
    "blockquote",
    "pre",
    "body",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
];
/// Signs that mail programs write by their names in what they show of a header.
const NAMED: [(&str, char); 16] = [
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("nbsp", ' '),
    ("agrave", 'à'),
    ("Agrave", 'À'),
    ("eacute", 'é'),
    ("Eacute", 'É'),
    ("egrave", 'è'),
    ("Egrave", 'È'),
    ("ecirc", 'ê'),
    ("ccedil", 'ç'),
    ("uuml", 'ü'),
    ("rsquo", '’'),
];
/// Bytes of such a name, or a number in its place.
const MAX_ENTITY: usize = 10;

/// HTML on its way, one written line after the other.
#[derive(Default)]
pub(super) struct Html {
    in_tag: bool,
    in_name: bool,
    name: String,
    /// Whether the line that it breaks has shown something.
    has_shown: bool,
}

impl Html {
    /// The next line of what is left of a written one.
    pub(super) fn next<'t>(&mut self, rest: &mut &'t str) -> Option<Line<'t>> {
        let line = *rest;
        if line.is_empty() {
            return None;
        }
        let goes_on = self.has_shown;
        let mut shown = String::new();
        let (mut end, mut is_broken) = (line.len(), false);
        let mut chars = line.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            if !self.in_tag {
                let is_tag = |next: char| next.is_ascii_alphabetic() || matches!(next, '/' | '!' | '?');
                if c == '<' && chars.peek().is_some_and(|(_, next)| is_tag(*next)) {
                    (self.in_tag, self.in_name) = (true, true);
                    self.name.clear();
                } else {
                    shown.push(c);
                }
            } else if c == '>' {
                // Whatever quotes say: one that is not closed would hide all the rest.
                self.in_tag = false;
                if BREAKS.iter().any(|name| self.name.eq_ignore_ascii_case(name)) {
                    (end, is_broken) = (at + 1, true);
                    break;
                }
            } else if self.in_name && c.is_ascii_alphanumeric() && self.name.len() < MAX_NAME {
                self.name.push(c);
            } else {
                self.in_name = self.in_name && c == '/' && self.name.is_empty();
            }
        }
        let (raw, behind) = line.split_at(end);
        *rest = behind;
        let shown = entities(&shown).trim().to_owned();
        // It ends where a tag breaks it, and with no written line.
        self.has_shown = !is_broken && (goes_on || !shown.is_empty());
        Some(Line::of_html(entities(raw), shown, goes_on))
    }
}

/// `text` with signs in the place of their names and numbers; what is none stays.
fn entities(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('&') {
        out.push_str(before);
        let end = behind.char_indices().take(MAX_ENTITY).find(|(_, c)| *c == ';');
        let sign = end.and_then(|(at, _)| Some((sign(behind.get(..at)?)?, behind.get(at + 1..)?)));
        if let Some((sign, behind)) = sign {
            out.push(sign);
            rest = behind;
        } else {
            out.push('&');
            rest = behind;
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

fn sign(name: &str) -> Option<char> {
    let Some(number) = name.strip_prefix('#') else {
        return NAMED.iter().find(|(known, _)| *known == name).map(|(_, sign)| *sign);
    };
    let code = match number.strip_prefix(['x', 'X']) {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => number.parse::<u32>(),
    };
    let sign = char::from_u32(code.ok()?)?;
    Some(if sign.is_control() { ' ' } else { sign })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is shown of each line, and whether it goes on with the one before.
    fn shown(html: &str) -> Vec<(String, bool)> {
        let mut state = Html::default();
        let mut lines = Vec::new();
        for line in html.lines() {
            let mut rest = line;
            while let Some(line) = state.next(&mut rest) {
                lines.push((line.shown.into_owned(), line.goes_on));
            }
        }
        lines.retain(|(shown, _)| !shown.is_empty());
        lines
    }

    #[test]
    fn lines_are_where_a_reader_sees_them() {
        let html = "<p class=x><b><span\nstyle='y'>De&nbsp;:</span></b> Jan\n&lt;<a\nhref=\"mailto:x\">jan</a>&gt;<BR/>1 < 2 &amp;c &x; &#233;&#x2e;</P>z";
        let expected =
            [("De : Jan", false), ("<", true), ("jan>", true), ("1 < 2 &c &x; é.", false), ("z", false)];
        let expected: Vec<(String, bool)> =
            expected.iter().map(|(line, goes_on)| ((*line).to_owned(), *goes_on)).collect();
        assert_eq!(shown(html), expected);
    }
}
