//! YARA: declarations side by side, `rule NAME { … }`. Comments, texts and regular expressions are told apart, for a brace in one of
//! them closes nothing.

use std::collections::BTreeSet;

use super::{Fault, Flaw};

/// Characters of a name.
const LONGEST: usize = 128;

pub(super) fn check(text: &str) -> Result<(), Flaw> {
    let tokens = tokens(text)?;
    // Wherever it stands: the scanner draws the file in, before anybody asks what it stands in. It may follow a number's last digit.
    let included = tokens.windows(2).find_map(|pair| match pair {
        [(at, Token::Word(word)), (_, Token::Quoted)] => word.ends_with("include").then_some(*at),
        _ => None,
    });
    if let Some(at) = included {
        return Err(Flaw::at(text, at, Fault::Include));
    }
    let mut names: BTreeSet<&str> = BTreeSet::new();
    let mut rest = tokens.iter();
    while let Some(&(at, token)) = rest.next() {
        let flaw = |fault| Err(Flaw::at(text, at, fault));
        match token {
            Token::Word("import") => match rest.next() {
                Some((_, Token::Quoted)) => {}
                _ => return flaw(Fault::Declaration),
            },
            Token::Word("include") => return flaw(Fault::Include),
            Token::Word("private" | "global") => {}
            Token::Word("rule") => {
                let Some((_, Token::Word(name))) = rest.next() else { return flaw(Fault::Declaration) };
                if !is_name(name) {
                    return flaw(Fault::Declaration);
                }
                if !names.insert(name) {
                    return flaw(Fault::Twice);
                }
                // Tags.
                let mut next = rest.next();
                if let Some((_, Token::Sign(':'))) = next {
                    next = rest.find(|(_, token)| !matches!(token, Token::Word(_)));
                }
                if !matches!(next, Some((_, Token::Sign('{')))) {
                    return flaw(Fault::Declaration);
                }
                match body(&mut rest) {
                    None => return flaw(Fault::Brackets),
                    Some(false) => return flaw(Fault::Condition),
                    Some(true) => {}
                }
            }
            _ => return flaw(Fault::Declaration),
        }
    }
    match names.is_empty() {
        true => Err(Flaw { line: 1, fault: Fault::Empty }),
        false => Ok(()),
    }
}

/// Up to the brace that closes a rule; whether it has a condition. `None` if nothing closes it.
fn body<'a, 't: 'a>(tokens: &mut impl Iterator<Item = &'a (usize, Token<'t>)>) -> Option<bool> {
    let (mut depth, mut has_condition, mut before) = (1_u32, false, Token::Sign('{'));
    for &(_, token) in tokens {
        match token {
            Token::Sign('{') => depth += 1,
            Token::Sign('}') => depth -= 1,
            Token::Sign(':') if depth == 1 => has_condition |= before == Token::Word("condition"),
            _ => {}
        }
        if depth == 0 {
            return Some(has_condition);
        }
        before = token;
    }
    None
}

fn is_name(name: &str) -> bool {
    name.len() <= LONGEST
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    /// A text in quotes.
    Quoted,
    /// A regular expression.
    Expression,
    Sign(char),
}

/// What a text consists of, and where each begins.
fn tokens(text: &str) -> Result<Vec<(usize, Token<'_>)>, Flaw> {
    let mut found: Vec<(usize, Token<'_>)> = Vec::new();
    let mut at = 0;
    while let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) {
        let rest = text.get(at..).unwrap_or_default();
        let flaw = |fault| Flaw::at(text, at, fault);
        let (length, token) = if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), None)
        } else if rest.starts_with("/*") {
            let inner = rest.get(2..).and_then(|rest| rest.find("*/"));
            (inner.ok_or_else(|| flaw(Fault::Comment))? + 4, None)
        } else if c == '"' {
            (closed(rest, '"').ok_or_else(|| flaw(Fault::Quote))?, Some(Token::Quoted))
        } else if c == '/' {
            // Wherever it stands: what divides is `\`.
            (closed(rest, '/').ok_or_else(|| flaw(Fault::Quote))?, Some(Token::Expression))
        } else if c.is_whitespace() {
            (c.len_utf8(), None)
        } else if is_part(c) {
            let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            (length, Some(Token::Word(rest.get(..length).unwrap_or_default())))
        } else {
            (c.len_utf8(), Some(Token::Sign(c)))
        };
        found.extend(token.map(|token| (at, token)));
        at += length;
    }
    Ok(found)
}

fn is_part(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$')
}

/// Length of what begins with this mark and ends with it in the same line, nothing escaped.
fn closed(text: &str, mark: char) -> Option<usize> {
    let mut is_escaped = false;
    for (i, c) in text.char_indices().skip(1) {
        match c {
            '\n' => return None,
            _ if std::mem::take(&mut is_escaped) => {}
            '\\' => is_escaped = true,
            _ if c == mark => return Some(i + c.len_utf8()),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> Option<Fault> {
        check(text).err().map(|flaw| flaw.fault)
    }

    #[test]
    fn rules_as_they_are_published_pass() {
        for text in [
            "rule a { condition: true }",
            "import \"pe\"\n// } not this\n/* nor { this */\nprivate global rule A_1 : tag other\n{\n  meta:\n    author = \"a \\\" }\"\n  strings:\n    $a = \"}\" nocase\n    $h = { 4D 5A [2-4] ( 90 | ?? ) } // MZ\n    $r = /ab{2,3}\\/\\}/i\n  condition:\n    ($a or $h) and pe.number_of_sections \\ 2 > 1 and #r > 0 and filesize < 1MB\n}\nrule b { condition: A_1 and \"a}\" matches /}/ }",
            "rule c{strings:$a={00}condition:$a}",
            "// include \"a\"\nrule d : include { meta: include = \"include \\\"a\\\"\" condition: \"b\" matches /include \"a\"/ }",
        ] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_would_take_a_file_down_is_named() {
        for (text, expected) in [
            ("", Fault::Empty),
            ("// rule a { condition: true }", Fault::Empty),
            ("rule a { condition: true", Fault::Brackets),
            ("rule a { condition: true } }", Fault::Declaration),
            ("rule { condition: true }", Fault::Declaration),
            ("rule 1a { condition: true }", Fault::Declaration),
            ("rule a condition: true", Fault::Declaration),
            ("rule a { strings: $a = \"x\" }", Fault::Condition),
            ("rule a { condition: \"x }", Fault::Quote),
            ("rule a { /* condition: true }", Fault::Comment),
            ("include \"/etc/passwd\" rule a { condition: true }", Fault::Include),
            ("rule a { condition: true } rule a { condition: false }", Fault::Twice),
            ("index=main evil", Fault::Declaration),
            ("rule a { condition: true include \"/etc/passwd\" }", Fault::Include),
            ("rule a { meta: include \"/etc/passwd\" condition: true }", Fault::Include),
            ("rule a { condition: 1include \"/etc/passwd\" }", Fault::Include),
            ("rule a { condition: filesize / 2 > 1 }", Fault::Quote),
        ] {
            assert_eq!(fault(text), Some(expected), "{text}");
        }
        let second = "rule a { condition: true }\nrule b {\n  condition: true\n";
        assert_eq!(check(second), Err(Flaw { line: 2, fault: Fault::Brackets }));
    }
}
