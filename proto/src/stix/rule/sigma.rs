//! Sigma: a YAML mapping. Only its outermost lines are read, and what every reader of YAML refuses in them. Blocks of text are told apart,
//! for within their indentation anything may stand.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Fault, Flaw};

pub(super) fn check(text: &str) -> Result<(), Flaw> {
    // A mark of its bytes' order is part of no text (YAML 1.2 §5.2).
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_start().starts_with('{') {
        return json(text);
    }
    let mut all: BTreeSet<&str> = BTreeSet::new();
    let mut names: BTreeSet<&str> = BTreeSet::new();
    let (mut last, mut has_condition) = ("", false);
    let mut block: Option<Block> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let flaw = |fault| Flaw { line: number, fault };
        let said = line.trim();
        if said.is_empty() {
            continue;
        }
        if block.as_mut().is_some_and(|block| block.holds(line)) {
            continue;
        }
        block = None;
        if said.starts_with('#') {
            continue;
        }
        block = Block::behind(line);
        let indent = line.len() - line.trim_start().len();
        if line.get(..indent).is_some_and(|indent| indent.contains('\t')) {
            return Err(flaw(Fault::Tab));
        }
        if indent > 0 {
            has_condition |= last == "detection" && said.starts_with("condition:");
            continue;
        }
        // The next document of a collection, which shares what the first says.
        if said == "---" || said == "..." {
            names.clear();
            continue;
        }
        // A list may stand at its name's own indentation, if there is one it can belong to.
        if said == "-" || said.starts_with("- ") {
            if last.is_empty() {
                return Err(flaw(Fault::Mapping));
            }
            continue;
        }
        let (name, value) = mapping(said).ok_or(flaw(Fault::Mapping))?;
        if !names.insert(name) {
            return Err(flaw(Fault::Mapping));
        }
        if name != "title" || !value.is_empty() {
            all.insert(name);
        }
        last = name;
    }
    if all.is_empty() {
        return Err(Flaw { line: 1, fault: Fault::Empty });
    }
    let has = |name: &str| all.contains(name);
    // A correlation speaks of other rules, and has no log source of its own.
    let is_rule = has("logsource") && has("detection") && has_condition;
    match has("title") && (is_rule || has("correlation")) {
        true => Ok(()),
        false => Err(Flaw { line: 1, fault: Fault::Missing }),
    }
}

/// A text of several lines, as `|` or `>` begins one.
struct Block {
    /// Column of what it belongs to: its lines stand beyond.
    beyond: usize,
    /// Spaces before its first line, once that is read.
    indent: Option<usize>,
}

impl Block {
    /// The one that begins behind a line, if its last word says so.
    fn behind(line: &str) -> Option<Self> {
        let line = line.split(" #").next().unwrap_or_default();
        let begins = |word: &str| {
            word.starts_with(['|', '>']) && word.chars().skip(1).all(|c| matches!(c, '+' | '-' | '0'..='9'))
        };
        let mut words = line.split_whitespace().rev();
        let may_begin = words.next().is_some_and(begins)
            && words
                .next()
                .is_some_and(|word| word.ends_with(':') || word == "-" || word.starts_with(['!', '&']));
        if !may_begin {
            return None;
        }
        let mut within = line.trim_start_matches(' ');
        let mut beyond = line.len() - within.len();
        // Of a list's entry that is a mapping, it belongs to the name behind the dash.
        while let Some(entry) = within.strip_prefix("- ").map(|entry| entry.trim_start_matches(' ')) {
            if begins(entry.trim_end()) {
                break;
            }
            beyond = line.len() - entry.len();
            within = entry;
        }
        Some(Self { beyond, indent: None })
    }

    /// Whether a line that is not empty is one of its own.
    fn holds(&mut self, line: &str) -> bool {
        let spaces = line.len() - line.trim_start_matches(' ').len();
        match self.indent {
            Some(indent) => spaces >= indent,
            None => {
                self.indent = Some(spaces);
                spaces > self.beyond
            }
        }
    }
}

/// Name and value of a line that begins a mapping's entry.
fn mapping(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(':')?;
    let name = name.trim_end().trim_matches(['"', '\'']);
    let is_name =
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    if !is_name || !(value.is_empty() || value.starts_with([' ', '\t'])) {
        return None;
    }
    let value = value.trim();
    // Within a plain text a colon before a space begins another mapping, which is none in one line.
    let plain = value.split(" #").next().unwrap_or_default().trim_end();
    let is_plain = !plain.starts_with(['"', '\'', '|', '>', '[', '{', '&', '*', '!', '#']);
    if is_plain && (plain.contains(": ") || plain.ends_with(':') || plain.starts_with(['@', '`', '%'])) {
        return None;
    }
    Some((name, value))
}

/// JSON is YAML.
fn json(text: &str) -> Result<(), Flaw> {
    let rule: Value = serde_json::from_str(text)
        .map_err(|error| Flaw { line: error.line().max(1), fault: Fault::Mapping })?;
    let is_mapping = |name: &str| rule.get(name).is_some_and(Value::is_object);
    let has_condition = rule.get("detection").is_some_and(|detection| detection.get("condition").is_some());
    let is_rule = rule.get("title").is_some_and(Value::is_string)
        && (is_mapping("correlation") || is_mapping("logsource") && has_condition);
    if is_rule { Ok(()) } else { Err(Flaw { line: 1, fault: Fault::Missing }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str = "title: a\nid: 3f1b\nstatus: test\ndescription: |\n    Finds: what\n\n    it finds\nreferences:\n- https://example.org/a: b\nlogsource:\n  product: windows\ndetection:\n  selection:\n    Image|endswith: '\\evil.exe'\n  condition: selection\nlevel: high # surely\n";

    #[test]
    fn a_rule_as_it_is_published_passes() {
        let collection =
            format!("action: global\n{RULE}---\nlogsource:\n  product: linux\ndetection:\n  condition: x\n");
        let correlation =
            "title: many\ncorrelation:\n  type: event_count\n  rules: [a]\n  condition:\n    gte: 10\n";
        let json = r#"{"title":"a","logsource":{"product":"x"},"detection":{"s":{"a":1},"condition":"s"}}"#;
        for text in
            [RULE, &RULE.replace('\n', "\r\n"), &format!("---\n{RULE}"), &collection, correlation, json]
        {
            assert_eq!(check(text), Ok(()), "{text}");
            let marked = format!("\u{feff}{text}");
            assert_eq!(check(&marked), Ok(()), "with a mark before it: {text}");
        }
    }

    #[test]
    fn a_tab_is_the_content_of_a_block_and_indents_nothing() {
        for block in [
            "notes: |\n    Finds:\n    \twhat\n  \n    # and\n    \tmore\n",
            "notes: >-  # folded\n  \tat once\n",
            "more:\n- |\n  a\n  \tb\n",
            "more:\n  - a: |2\n      c\n      \td\n    e: f\n",
        ] {
            assert_eq!(check(&format!("{RULE}{block}")), Ok(()), "{block}");
        }
        let lines = RULE.lines().count();
        for (block, line) in [
            ("notes: |\n    a\n  \tb\n", 3),
            ("notes: |\n\ta\n", 2),
            ("notes: |\n  a\nmore:\n  \tb: c\n", 4),
            ("notes:\n  - a: |\n    \tb\n", 3),
            ("notes: a | b\n  \tc\n", 2),
        ] {
            let expected = Flaw { line: lines + line, fault: Fault::Tab };
            assert_eq!(check(&format!("{RULE}{block}")), Err(expected), "{block}");
        }
    }

    #[test]
    fn what_no_reader_of_yaml_or_sigma_takes_is_named() {
        for (text, line, fault) in [
            (String::new(), 1, Fault::Empty),
            ("just words".to_owned(), 1, Fault::Mapping),
            ("- a\n- b".to_owned(), 1, Fault::Mapping),
            (RULE.replace("title: a", "title: a: b"), 1, Fault::Mapping),
            (RULE.replace("status", "id"), 3, Fault::Mapping),
            (RULE.replace("  product", "\tproduct"), 11, Fault::Tab),
            (RULE.replace("title: a\n", ""), 1, Fault::Missing),
            (RULE.replace("title: a\n", "title:\n"), 1, Fault::Missing),
            (RULE.replace("logsource", "log_source"), 1, Fault::Missing),
            (RULE.replace("  condition: selection\n", ""), 1, Fault::Missing),
            ("{\"title\":\"a\"}".to_owned(), 1, Fault::Missing),
            ("{\"title\":".to_owned(), 1, Fault::Mapping),
        ] {
            assert_eq!(check(&text), Err(Flaw { line, fault }), "{text}");
        }
    }
}
