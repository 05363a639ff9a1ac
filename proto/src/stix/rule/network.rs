//! Rules of Snort and Suricata: a line each, `action protocol address port -> address port (name:value; …)`.
//!
//! Their numbers are told with them, because two rules of one number do not load beside each other, and members number their own from the
//! same beginning.

use std::ops::Range;

use super::{Fault, Flaw, Language};

/// Bytes of one rule that Suricata reads (`DETECT_MAX_RULE_SIZE`, less what ends it).
pub(super) const MOST: usize = 8_190;

const SNORT: [&str; 11] =
    ["activate", "alert", "block", "drop", "dynamic", "log", "pass", "react", "reject", "rewrite", "sdrop"];
/// Options by which a rule that only alerts resets connections, answers in a server's stead, or changes what passes.
const ACTING: [&str; 3] = ["react", "replace", "resp"];
const SURICATA: [&str; 8] =
    ["alert", "config", "drop", "pass", "reject", "rejectboth", "rejectdst", "rejectsrc"];

/// One rule of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Generator; 1 unless the rule says otherwise.
    pub gid: u32,
    /// Its number, if it has one.
    pub sid: Option<u32>,
    /// One of its options answers or changes traffic, whatever its action is.
    pub acts: bool,
    /// Where the number stands in the text, in bytes; of a rule without one, the empty place where its option belongs.
    at: Range<usize>,
}

/// Every rule of a text.
///
/// # Errors
/// The first [`Flaw`] of any: a file is loaded whole.
pub fn read(language: Language, text: &str) -> Result<Vec<Rule>, Flaw> {
    let mut rules = Vec::new();
    for extent in extents(language, text) {
        let start = extent.start;
        let rule = text.get(extent).unwrap_or_default();
        rules.push(one(language, rule, start).map_err(|fault| Flaw::at(text, start, fault))?);
    }
    match rules.is_empty() {
        true => Err(Flaw { line: 1, fault: Fault::Empty }),
        false => Ok(rules),
    }
}

/// The text with other numbers for these of its rules, in its order.
#[must_use]
pub fn numbered<'a>(text: &str, numbers: impl Iterator<Item = (&'a Rule, u32)>) -> String {
    let mut written = String::with_capacity(text.len());
    let mut done = 0;
    for (rule, number) in numbers {
        written.push_str(text.get(done..rule.at.start).unwrap_or_default());
        match rule.sid {
            Some(_) => written.push_str(&number.to_string()),
            None => written.push_str(&format!(" sid:{number};")),
        }
        done = rule.at.end;
    }
    written.push_str(text.get(done..).unwrap_or_default());
    written
}

/// Where rules stand: a line each, or several where one ends in a backslash, or (Snort 3) its parenthesis is not closed yet.
fn extents(language: Language, text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut open: Option<usize> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let start = at;
        at += line.len();
        let said = line.trim();
        if open.is_none() && (said.is_empty() || said.starts_with('#')) {
            continue;
        }
        let from = *open.get_or_insert(start);
        let goes_on = said.ends_with('\\') || (language == Language::Snort && !said.ends_with(')'));
        if !goes_on {
            found.push(from..at);
            open = None;
        }
    }
    found.extend(open.map(|from| from..text.len()));
    found
}

fn one(language: Language, rule: &str, start: usize) -> Result<Rule, Fault> {
    if language == Language::Suricata && rule.trim_end().len() > MOST {
        return Err(Fault::Long);
    }
    let open = rule.find('(').ok_or(Fault::Parentheses)?;
    header(language, rule.get(..open).unwrap_or_default())?;
    let body = rule.get(open + 1..).unwrap_or_default().trim_end();
    let body = body.strip_suffix(')').ok_or(Fault::Parentheses)?;
    let mut options = Options::default();
    let (mut is_quoted, mut is_escaped, mut begins) = (false, false, 0);
    for (i, c) in body.char_indices() {
        if std::mem::take(&mut is_escaped) {
            continue;
        }
        match c {
            '\\' => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            ';' if is_quoted && language == Language::Suricata => return Err(Fault::Semicolon),
            ';' if !is_quoted => {
                options.option(body.get(begins..i).unwrap_or_default(), start + open + 1 + begins)?;
                begins = i + 1;
            }
            _ => {}
        }
    }
    if is_quoted || is_escaped {
        return Err(Fault::Quote);
    }
    if !bare(body.get(begins..).unwrap_or_default()).is_empty() || begins == 0 {
        return Err(Fault::Option);
    }
    if language == Language::Snort {
        options.acts |= may_act(body);
    }
    let end = start + open + 1 + begins;
    let (sid, at) = options.sid.map_or((None, end..end), |(sid, at)| (Some(sid), at));
    Ok(Rule { gid: options.gid.unwrap_or(1), sid, acts: options.acts, at })
}

/// Whether one of a rule's options acts as Snort 2 reads it: it joins lines, and ends an option at each `;`, in quotes or not.
fn may_act(body: &str) -> bool {
    let lines = body.lines().map(str::trim);
    let whole: String = lines.map(|line| line.strip_suffix('\\').unwrap_or(line)).collect();
    whole.split(';').any(|option| {
        let word = bare(option).split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        ACTING.iter().any(|known| word.eq_ignore_ascii_case(known))
    })
}

/// Without what stands around it, a line's continuation included.
fn bare(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || c == '\\')
}

/// What is read of a rule's options.
#[derive(Default)]
struct Options {
    gid: Option<u32>,
    sid: Option<(u32, Range<usize>)>,
    acts: bool,
}

impl Options {
    /// Takes an option, which stands at an offset.
    fn option(&mut self, text: &str, offset: usize) -> Result<(), Fault> {
        let (name, value) = text.split_once(':').unwrap_or((text, ""));
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let word = bare(name);
        if word.is_empty() || !word.chars().all(is_word) {
            return Err(Fault::Option);
        }
        self.acts |= ACTING.iter().any(|known| word.eq_ignore_ascii_case(known));
        if !matches!(word, "sid" | "gid") {
            return Ok(());
        }
        let said = value.trim();
        let number = said.parse::<u32>().ok().filter(|number| *number > 0).ok_or(Fault::Number)?;
        let is_second = match word {
            "gid" => self.gid.replace(number).is_some(),
            _ => {
                let at = offset + name.len() + 1 + (value.len() - value.trim_start().len());
                self.sid.replace((number, at..at + said.len())).is_some()
            }
        };
        if is_second { Err(Fault::Number) } else { Ok(()) }
    }
}

fn header(language: Language, head: &str) -> Result<(), Fault> {
    let words = words(head)?;
    let [action, protocol, rest @ ..] = words.as_slice() else { return Err(Fault::Header) };
    let actions: &[&str] = if language == Language::Snort { &SNORT } else { &SURICATA };
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if !actions.iter().any(|known| action.eq_ignore_ascii_case(known)) || !protocol.chars().all(is_word) {
        return Err(Fault::Header);
    }
    let is_place = |c: char| {
        c.is_ascii_alphanumeric()
            || c.is_whitespace()
            || matches!(c, '_' | '$' | '!' | '.' | ':' | ',' | '/' | '[' | ']' | '-' | '~' | '%')
    };
    match rest {
        // Snort 3: for a service, or a file, wherever it runs.
        [] if language == Language::Snort => Ok(()),
        [from, from_port, way, to, to_port] => {
            let is_way = matches!(way.as_str(), "->" | "<>" | "=>");
            let is_whole = [from, from_port, to, to_port].iter().all(|word| word.chars().all(is_place));
            if is_way && is_whole { Ok(()) } else { Err(Fault::Header) }
        }
        _ => Err(Fault::Header),
    }
}

/// The words of a header; what stands in brackets is one.
fn words(head: &str) -> Result<Vec<String>, Fault> {
    let mut words = Vec::new();
    let (mut word, mut depth) = (String::new(), 0_u32);
    for c in head.chars() {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.checked_sub(1).ok_or(Fault::Brackets)?,
            _ => {}
        }
        if c == '\\' || (c.is_whitespace() && depth == 0) {
            if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
        } else {
            word.push(c);
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    if depth > 0 { Err(Fault::Brackets) } else { Ok(words) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(language: Language, text: &str) -> Option<Fault> {
        read(language, text).err().map(|flaw| flaw.fault)
    }

    #[test]
    fn rules_as_they_are_published_pass() {
        let both = [
            "alert tcp any any -> any 443 (msg:\"evil\"; content:\"|0d 0a|\"; sid:1000001; rev:1;)",
            "# of a pack\n\ndrop ip [198.51.100.0/24, 203.0.113.7] any <> !$HOME_NET [80,443:445] (msg:\"a \\\"b\\\"\"; sid:2;)\r\n",
            "alert http $HOME_NET any -> $EXTERNAL_NET any (msg:\"(x)\"; http.uri; content:\"/a\\;b(\"; pcre:\"/a\\x3b[\\\"]/U\"; reference:url,e.be/(a); sid:3;)",
            "alert tcp any any -> any any \\\n  (msg:\"in two lines\"; \\\n  sid:4;)\nalert udp any any -> any 53 (sid:5;)",
        ];
        for text in both {
            for language in [Language::Snort, Language::Suricata] {
                assert_eq!(
                    read(language, text).map_err(|flaw| flaw.to_string()).map(|_| ()),
                    Ok(()),
                    "{text}"
                );
            }
        }
        let snort = "alert http\n(\n  msg:\"Snort 3\";\n  http_uri; content:\"a;b\", nocase;\n  sid:6;\n)";
        assert_eq!(fault(Language::Snort, snort), None);
        assert_eq!(fault(Language::Suricata, snort), Some(Fault::Parentheses), "a line is a rule");
    }

    #[test]
    fn what_would_take_a_file_down_is_named() {
        for (text, expected) in [
            ("", Fault::Empty),
            ("# alert tcp any any -> any any (sid:1;)", Fault::Empty),
            ("alert tcp any any -> any any", Fault::Parentheses),
            ("alert tcp any any -> any any (sid:1;", Fault::Parentheses),
            ("alert tcp any any -> any any (sid:1;) trailing", Fault::Parentheses),
            ("alert tcp any any any any (sid:1;)", Fault::Header),
            ("alert tcp any any <- any any (sid:1;)", Fault::Header),
            ("alarm tcp any any -> any any (sid:1;)", Fault::Header),
            ("include /etc/passwd (sid:1;)", Fault::Header),
            ("alert tcp [1.2.3.4 any -> any any (sid:1;)", Fault::Brackets),
            ("alert tcp any any -> any any (msg:\"open; sid:1;)", Fault::Semicolon),
            ("alert tcp any any -> any any (msg:\"open)", Fault::Quote),
            ("alert tcp any any -> any any (msg:\"a; b\"; sid:1;)", Fault::Semicolon),
            ("alert tcp any any -> any any (sid:1)", Fault::Option),
            ("alert tcp any any -> any any (;sid:1;)", Fault::Option),
            ("alert tcp any any -> any any ()", Fault::Option),
            ("alert tcp any any -> any any (sid:0;)", Fault::Number),
            ("alert tcp any any -> any any (sid:1; sid:2;)", Fault::Number),
            ("alert tcp any any -> any any (sid:4294967296;)", Fault::Number),
        ] {
            assert_eq!(fault(Language::Suricata, text), Some(expected), "{text}");
        }
        let second = "alert tcp any any -> any any (sid:1;)\nalert tcp any any (sid:2;)\n";
        assert_eq!(
            read(Language::Suricata, second).unwrap_err().to_string().split(':').next(),
            Some("line 2")
        );
        let long = format!("alert tcp any any -> any any (msg:\"{}\"; sid:1;)", "a".repeat(MOST));
        assert_eq!(fault(Language::Suricata, &long), Some(Fault::Long));
        assert_eq!(fault(Language::Snort, &long), None);
    }

    #[test]
    fn an_option_that_acts_hides_in_no_quotes() {
        let acts = |language, options: &str| {
            let rules = read(language, &format!("alert tcp any any -> any any ({options} sid:1;)")).unwrap();
            rules.iter().any(|rule| rule.acts)
        };
        for hidden in [
            "msg:\"a; resp:rst_all; b\";",
            "msg:\"a;react\";",
            "content:\"a;\\\n  Replace:\\\"b\\\"; c\";",
            "msg:\"a; re\\\n  act; b\";",
        ] {
            assert!(acts(Language::Snort, hidden), "{hidden}");
        }
        for harmless in ["msg:\"resp:x; no reaction\";", "msg:\"a; reacts\"; reference:url,e.be/react;"] {
            assert!(!acts(Language::Snort, harmless), "{harmless}");
        }
        assert!(!acts(Language::Suricata, "msg:\"a\\; react\\; b\";"), "which ends no option there");
    }

    #[test]
    fn numbers_are_told_and_can_be_others() {
        let text = "alert tcp any any -> any any (msg:\"sid:9;\\;\"; sid: 7 ; gid:3;)\nalert ip any any -> any any (msg:\"x\";)\n";
        let rules = read(Language::Snort, text).unwrap();
        let told: Vec<_> = rules.iter().map(|rule| (rule.gid, rule.sid)).collect();
        assert_eq!(told, [(3, Some(7)), (1, None)]);
        let other = numbered(text, rules.iter().zip([10, 11]));
        assert_eq!(
            other,
            "alert tcp any any -> any any (msg:\"sid:9;\\;\"; sid: 10 ; gid:3;)\nalert ip any any -> any any (msg:\"x\"; sid:11;)\n"
        );
        let again = read(Language::Snort, &other).unwrap();
        assert_eq!(again.iter().map(|rule| rule.sid).collect::<Vec<_>>(), [Some(10), Some(11)]);
    }
}
