//! STIX patterns (STIX 2.1 §9): read far enough to know what each comparison looks for.
//!
//! ```text
//! [ipv4-addr:value = '198.51.100.7'] FOLLOWEDBY [file:hashes.'SHA-256' = '…'] WITHIN 300 SECONDS
//!  └───path──────┘ └op┘ └──value───┘
//! ```
//!
//! A hand-written descent over tokens: linear, no regular expression, nesting bounded. Qualifiers and
//! operators are checked for form; whether a whole pattern matches something is for detection tools.

mod tokens;

use std::{iter::Peekable, vec};

use tokens::{KEYWORDS, Token, is_number, is_of_its_type, is_reserved, tokens};

/// Nested parentheses; people write two.
const MAX_NESTING: usize = 32;

/// Where a text stops being a STIX pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no STIX pattern (STIX 2.1 §9): at byte {at}, expected {expected}")]
pub struct PatternError {
    /// Offset in the pattern.
    pub at: usize,
    /// What was due there.
    pub expected: &'static str,
}

/// One comparison of a pattern.
#[derive(Clone, PartialEq, Eq)]
pub struct Comparison {
    path: String,
    operator: Operator,
    negated: bool,
    values: Vec<String>,
}

/// How a comparison compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `=` or `IN`: is one of the values.
    Equal,
    /// `ISSUBSET`: an address in the range.
    Subset,
    /// Any other, `EXISTS` included.
    Other,
}

impl Comparison {
    /// The object path without quotes and list positions: `file:hashes.SHA-256`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// How it compares.
    #[must_use]
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// Whether `NOT` stands before the operator.
    #[must_use]
    pub fn negated(&self) -> bool {
        self.negated
    }

    /// Every constant it names.
    #[must_use]
    pub fn values(&self) -> &[String] {
        &self.values
    }

    /// The values whose presence it looks for: none if it is negated or compares otherwise.
    pub fn wanted(&self) -> impl Iterator<Item = &str> {
        let wanted = !self.negated && matches!(self.operator, Operator::Equal | Operator::Subset);
        self.values.iter().filter(move |_| wanted).map(String::as_str)
    }
}

/// Reads a pattern's comparisons, in order.
///
/// # Errors
/// [`PatternError`] with the first place that is not a pattern.
pub fn parse(pattern: &str) -> Result<Vec<Comparison>, PatternError> {
    Ok(read(pattern)?.comparisons)
}

/// A pattern as far as it is read here.
#[derive(Clone, PartialEq, Eq)]
pub struct Pattern {
    /// Its comparisons, in order.
    pub comparisons: Vec<Comparison>,
    /// Whether AND or FOLLOWEDBY joins any of them: one alone then does not make it match.
    pub is_joined: bool,
}

/// Reads a pattern, as others wrote it: what a tool may have misspelt without changing what is looked for, passes.
///
/// # Errors
/// As [`parse`].
pub fn read(pattern: &str) -> Result<Pattern, PatternError> {
    descend(pattern, false)
}

/// Holds a pattern to every rule of the grammar, as its readers' tools will: for whoever is about to publish it.
///
/// # Errors
/// [`PatternError`] with the first place that breaks one.
pub fn check(pattern: &str) -> Result<(), PatternError> {
    descend(pattern, true).map(drop)
}

fn descend(pattern: &str, strict: bool) -> Result<Pattern, PatternError> {
    let tokens = tokens(pattern)?;
    let mut parser = Parser {
        tokens: tokens.into_iter().peekable(),
        end: pattern.len(),
        strict,
        found: Vec::new(),
        is_joined: false,
    };
    parser.observations(0)?;
    match parser.tokens.next() {
        None => Ok(Pattern { comparisons: parser.found, is_joined: parser.is_joined }),
        Some((at, _)) => Err(PatternError { at, expected: "AND, OR, FOLLOWEDBY, a qualifier or the end" }),
    }
}

struct Parser {
    tokens: Peekable<vec::IntoIter<(usize, Token)>>,
    end: usize,
    /// Holds to every rule of the grammar.
    strict: bool,
    found: Vec<Comparison>,
    is_joined: bool,
}

impl Parser {
    /// Observation expressions joined by AND, OR, FOLLOWEDBY.
    fn observations(&mut self, nesting: usize) -> Result<(), PatternError> {
        loop {
            let mut is_one = false;
            if self.sign("[") {
                self.comparisons(nesting + 1)?;
                self.expect("]")?;
                is_one = true;
            } else if self.sign("(") {
                self.bounded(nesting)?;
                self.observations(nesting + 1)?;
                self.expect(")")?;
            } else {
                return self.fault("[ or (");
            }
            let mut known = Vec::new();
            while let Some(qualifier) = self.qualifier()? {
                if self.strict && is_one && known.contains(&qualifier) {
                    return self.fault("no further qualifier of one kind");
                }
                known.push(qualifier);
            }
            if self.word("AND") || self.word("FOLLOWEDBY") {
                self.is_joined = true;
            } else if !self.word("OR") {
                return Ok(());
            }
        }
    }

    /// The word that the next qualifier begins with.
    fn qualifier(&mut self) -> Result<Option<&'static str>, PatternError> {
        let begins = if self.word("START") {
            self.time()?;
            if !self.word("STOP") {
                return self.fault("STOP");
            }
            self.time()?;
            "START"
        } else if self.word("WITHIN") {
            self.number(|text| text.parse::<f64>().is_ok_and(|n| n > 0.0), "a number above 0")?;
            if !self.word("SECONDS") {
                return self.fault("SECONDS");
            }
            "WITHIN"
        } else if self.word("REPEATS") {
            self.number(|text| text.parse::<u64>().is_ok_and(|n| n > 0), "a whole number above 0")?;
            if !self.word("TIMES") {
                return self.fault("TIMES");
            }
            "REPEATS"
        } else {
            return Ok(None);
        };
        Ok(Some(begins))
    }

    /// Comparisons joined by AND, OR.
    fn comparisons(&mut self, nesting: usize) -> Result<(), PatternError> {
        loop {
            if self.sign("(") {
                self.bounded(nesting)?;
                self.comparisons(nesting + 1)?;
                self.expect(")")?;
            } else {
                self.comparison()?;
            }
            if self.word("AND") {
                self.is_joined = true;
            } else if !self.word("OR") {
                return Ok(());
            }
        }
    }

    fn comparison(&mut self) -> Result<(), PatternError> {
        let negated = self.word("NOT");
        if self.word("EXISTS") {
            let path = self.path()?;
            self.found.push(Comparison { path, operator: Operator::Other, negated, values: Vec::new() });
            return Ok(());
        }
        if negated {
            return self.fault("EXISTS");
        }
        let path = self.path()?;
        let negated = self.word("NOT");
        let (operator, values) = if self.sign("=") || self.sign("==") {
            (Operator::Equal, vec![self.constant()?])
        } else if self.word("IN") {
            (Operator::Equal, self.set()?)
        } else if self.word("ISSUBSET") {
            (Operator::Subset, vec![self.text()?])
        } else if self.sign("!=") || self.sign("<>") {
            (Operator::Other, vec![self.constant()?])
        } else if ["<=", ">=", "<", ">"].iter().any(|sign| self.sign(sign)) {
            (Operator::Other, vec![self.ordered()?])
        } else if ["LIKE", "MATCHES", "ISSUPERSET"].iter().any(|word| self.word(word)) {
            (Operator::Other, vec![self.text()?])
        } else {
            return self.fault("a comparison operator");
        };
        self.found.push(Comparison { path, operator, negated, values });
        Ok(())
    }

    /// `type:property.'quoted'[0].property`.
    fn path(&mut self) -> Result<String, PatternError> {
        let is_type = |token: &Token| matches!(token, Token::Word(word) if !is_reserved(word));
        if self.strict && !self.tokens.peek().is_some_and(|(_, token)| is_type(token)) {
            return self.fault("the type of an object, not in quotes");
        }
        let mut path = self.name()?;
        self.expect(":")?;
        path.push(':');
        path.push_str(&self.property()?);
        loop {
            if self.sign(".") {
                path.push('.');
                path.push_str(&self.property()?);
            } else if self.sign("[") {
                if !self.sign("*") {
                    self.number(|text| text.parse::<i64>().is_ok(), "a whole number or *")?;
                }
                self.expect("]")?;
            } else {
                return Ok(path);
            }
        }
    }

    fn set(&mut self) -> Result<Vec<String>, PatternError> {
        self.expect("(")?;
        if self.sign(")") {
            return Ok(Vec::new());
        }
        let mut values = vec![self.constant()?];
        while self.sign(",") {
            values.push(self.constant()?);
        }
        self.expect(")")?;
        Ok(values)
    }

    fn name(&mut self) -> Result<String, PatternError> {
        match self.tokens.next_if(|(_, token)| matches!(token, Token::Word(_) | Token::Text(_))) {
            Some((_, Token::Word(name) | Token::Text(name))) => Ok(name),
            _ => self.fault("a name"),
        }
    }

    /// A step of a path; with a hyphen in it, only in quotes.
    fn property(&mut self) -> Result<String, PatternError> {
        match self.tokens.peek() {
            Some((_, Token::Word(name))) if self.strict && (name.contains('-') || is_reserved(name)) => {
                self.fault("a property, in quotes if it has a hyphen or is a keyword")
            }
            _ => self.name(),
        }
    }

    /// The constant of LIKE and its kind.
    fn text(&mut self) -> Result<String, PatternError> {
        match self.tokens.peek() {
            Some((_, Token::Text(_))) => self.constant(),
            _ if self.strict => self.fault("a text in single quotes"),
            _ => self.constant(),
        }
    }

    /// The constant of an operator that asks for more or less.
    fn ordered(&mut self) -> Result<String, PatternError> {
        match self.tokens.peek() {
            Some((_, Token::Word(_))) if self.strict => self.fault("a constant that has an order"),
            _ => self.constant(),
        }
    }

    fn constant(&mut self) -> Result<String, PatternError> {
        if let Some((_, Token::Typed(letter, text))) = self.tokens.peek()
            && self.strict
            && !is_of_its_type(*letter, text)
        {
            return self.fault("t'2027-11-30T00:00:00Z', h'c0ffee' or b'Y29mZmVl'");
        }
        let strict = self.strict;
        match self.tokens.next_if(|(_, token)| match token {
            Token::Text(_) | Token::Typed(..) => true,
            Token::Number(number) => !strict || is_number(number),
            Token::Word(word) => word == "true" || word == "false",
            Token::Sign(_) => false,
        }) {
            Some((_, Token::Text(v) | Token::Typed(_, v) | Token::Number(v) | Token::Word(v))) => Ok(v),
            _ => self.fault("a constant"),
        }
    }

    /// A number; where the grammar is held to, one that `is_right` calls so.
    fn number(
        &mut self,
        is_right: impl Fn(&str) -> bool,
        expected: &'static str,
    ) -> Result<(), PatternError> {
        let strict = self.strict;
        match self.tokens.next_if(
            |(_, token)| matches!(token, Token::Number(text) if !strict || is_number(text) && is_right(text)),
        ) {
            Some(_) => Ok(()),
            None => self.fault(expected),
        }
    }

    fn time(&mut self) -> Result<(), PatternError> {
        let strict = self.strict;
        let is_time = |token: &Token| match token {
            Token::Typed(letter, text) => !strict || *letter == 't' && is_of_its_type('t', text),
            // As STIX 2.0 had it.
            Token::Text(_) => !strict,
            _ => false,
        };
        match self.tokens.next_if(|(_, token)| is_time(token)) {
            Some(_) => Ok(()),
            None => self.fault("a time, as in t'2027-11-30T00:00:00Z'"),
        }
    }

    fn sign(&mut self, sign: &str) -> bool {
        self.tokens.next_if(|(_, token)| matches!(token, Token::Sign(found) if *found == sign)).is_some()
    }

    /// Keywords stand in capitals; what others wrote is read in any case, as STIX 2.0 had it.
    fn word(&mut self, word: &str) -> bool {
        let strict = self.strict;
        let is_it = |found: &str| if strict { found == word } else { found.eq_ignore_ascii_case(word) };
        self.tokens.next_if(|(_, token)| matches!(token, Token::Word(found) if is_it(found))).is_some()
    }

    fn expect(&mut self, sign: &'static str) -> Result<(), PatternError> {
        if self.sign(sign) { Ok(()) } else { self.fault(sign) }
    }

    fn bounded(&mut self, nesting: usize) -> Result<(), PatternError> {
        if nesting < MAX_NESTING { Ok(()) } else { self.fault("less nesting") }
    }

    fn fault<T>(&mut self, expected: &'static str) -> Result<T, PatternError> {
        let is_keyword = |word: &str| {
            KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(word) && *keyword != word)
        };
        let (at, expected) = match self.tokens.peek() {
            None => (self.end, expected),
            Some((at, Token::Word(word))) if self.strict && is_keyword(word) => (*at, "keywords in capitals"),
            Some((at, _)) => (*at, expected),
        };
        Err(PatternError { at, expected })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Path and wanted values of each comparison.
    fn read(pattern: &str) -> Vec<(String, Vec<String>)> {
        let found = parse(pattern).unwrap_or_else(|e| panic!("{pattern}: {e}"));
        found.iter().map(|c| (c.path().to_owned(), c.wanted().map(str::to_owned).collect())).collect()
    }

    #[test]
    fn patterns_of_the_standard_are_read() {
        for (pattern, comparisons) in [
            (
                "[file:hashes.'SHA-256' = 'aec070645fe53ee3b3763059376134f058cc337247c978add178b6ccdfb0019f']",
                1,
            ),
            (
                "[email-message:from_ref.value MATCHES '.+\\\\@example\\\\.com$' AND email-message:body_multipart[*].body_raw_ref.name MATCHES '^Final Report.+\\\\.exe$']",
                2,
            ),
            (
                "[file:hashes.MD5 = '79054025255fb1a26e4bc422aef54eb4'] FOLLOWEDBY [windows-registry-key:key = 'HKEY_LOCAL_MACHINE\\\\foo\\\\bar'] WITHIN 300 SECONDS",
                2,
            ),
            (
                "([ipv4-addr:value = '198.51.100.1' OR ipv4-addr:value = '198.51.100.2'] REPEATS 5 TIMES) WITHIN 1800 SECONDS",
                2,
            ),
            (
                "[network-traffic:src_port > 1024 AND NOT EXISTS network-traffic:extensions.'http-request-ext']",
                2,
            ),
            (
                "[x509-certificate:issuer = 'CN=WEBMAIL' AND (x509-certificate:serial_number = '4c:0b' OR process:pid IN (1, 2, -3))]",
                3,
            ),
            ("[process:arguments[0] = 'x'] START t'2016-06-01T00:00:00Z' STOP t'2016-07-01T00:00:00Z'", 1),
            (
                "[artifact:payload_bin = b'VBORw0KGgo=' and user-account:is_privileged = true and file:size <= 4.5]",
                3,
            ),
            ("[url:value like 'http%']", 1),
        ] {
            assert_eq!(read(pattern).len(), comparisons, "{pattern}");
        }
    }

    #[test]
    fn what_readers_tools_would_refuse_is_refused_before_it_is_published() {
        for right in [
            "[file:hashes.'SHA-256' = 'ab'] START t'2016-06-01T00:00:00Z' STOP t'2016-07-01T00:00:00.5Z'",
            "[artifact:payload_bin = b'VBORw0KGgo==' OR artifact:payload_bin = h'c0ffee']",
            "[process:arguments[-1] = 'x' AND process:arguments[*] LIKE '%y'] REPEATS 5 TIMES WITHIN 1.5 SECONDS",
            "[file:name IN () OR file:size > .5 OR file:size = -0 OR file:size > 00.5]",
            "([file:name = 'a']) WITHIN 5 SECONDS WITHIN 6 SECONDS",
            "[network-traffic:src_port >= 1024 AND network-traffic:is_active != true] // a remark",
        ] {
            assert_eq!(check(right), Ok(()), "{right}");
        }
        for (wrong, expected) in [
            ("[file:hashes.SHA-256 = 'ab']", "in quotes if it has a hyphen"),
            ("[file:START = 'ab']", "is a keyword"),
            ("[AND:name = 'ab']", "the type of an object"),
            ("[file:name = b'']", "b'Y29mZmVl'"),
            ("[file:size = 05]", "a constant"),
            ("[process:arguments[01] = 'a']", "a whole number or *"),
            ("[file:name = 'a'] WITHIN 5 SECONDS WITHIN 6 SECONDS", "no further qualifier"),
            ("['file':name = 'ab']", "the type of an object"),
            ("[file:name LIKE 5]", "a text"),
            ("[ipv4-addr:value ISSUBSET h'c0']", "a text"),
            ("[file:size > true]", "has an order"),
            ("[file:name = h'c0f']", "h'c0ffee'"),
            ("[file:name = b'a=bc']", "b'Y29mZmVl'"),
            ("[file:ctime = t'yesterday']", "t'2027-11-30T00:00:00Z'"),
            ("[file:ctime = t'2027-11-30T00:00Z']", "t'2027-11-30T00:00:00Z'"),
            ("[file:name = 'a'] START '2016-06-01T00:00:00Z' STOP '2016-07-01T00:00:00Z'", "a time"),
            ("[file:name = 'a'] REPEATS 0 TIMES", "a whole number above 0"),
            ("[file:name = 'a'] REPEATS 1.5 TIMES", "a whole number above 0"),
            ("[file:name = 'a'] WITHIN -5 SECONDS", "a number above 0"),
            ("[process:arguments[1.5] = 'a']", "a whole number or *"),
            ("[file:name = 'a' and file:size = 1]", "keywords in capitals"),
            ("[file:name like 'a']", "keywords in capitals"),
        ] {
            let error = check(wrong).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("§9"), "{wrong}: {error}");
            assert!(parse(wrong).is_ok(), "{wrong}, from others, is read for what it looks for");
        }
    }

    #[test]
    fn comments_are_no_part_of_a_pattern() {
        assert_eq!(read("[file:name /* why\nnot */ = 'a//b'] // end").len(), 1);
        assert_eq!(read("[file:name = 'a//b']"), [("file:name".into(), vec!["a//b".into()])]);
        assert!(parse("[file:name = 'a'] /* open").is_err());
    }

    #[test]
    fn values_are_unescaped_and_negations_want_nothing() {
        assert_eq!(
            read(r"[mutex:name = 'a\'b\\c' AND file:name NOT IN ('x', 'y') AND file:size != 3]"),
            [
                ("mutex:name".into(), vec![r"a'b\c".into()]),
                ("file:name".into(), vec![]),
                ("file:size".into(), vec![]),
            ]
        );
    }

    #[test]
    fn other_texts_are_refused_with_the_place() {
        for (pattern, at) in [
            ("", 0),
            ("file:name = 'a'", 0),
            ("[file:name = 'a'", 16),
            ("[file:name 'a']", 11),
            ("[file:name = a]", 13),
            ("[file:name = 'a' XOR file:name = 'b']", 17),
            ("[file:name = 'a'] x", 18),
            ("[file:name = 'a]", 16),
            ("[file = 'a']", 6),
            ("[file:name = 'a'] WITHIN 5 MINUTES", 27),
            ("[file:name = ;]", 13),
        ] {
            assert_eq!(parse(pattern).map(|_| ()).unwrap_err().at, at, "{pattern}");
        }
        assert!(parse(&"(".repeat(100_000)).is_err());
        assert!(parse(&format!("[{}", "(".repeat(100_000))).is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[\\[\\]()a-c:.'=<>!*, \\\\0-9é-]{0,60}|\\PC{0,40}") {
            _ = parse(&text);
        }

        #[test]
        fn any_quoted_value_comes_back(value in "\\PC{0,40}") {
            let escaped = value.replace('\\', "\\\\").replace('\'', "\\'");
            prop_assert_eq!(read(&format!("[file:name = '{escaped}']")), [("file:name".to_owned(), vec![value])]);
        }
    }
}
