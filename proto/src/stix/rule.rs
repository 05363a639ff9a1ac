//! Detection rules of other languages, held to their outer shape: whether a file with this rule in it loads.
//!
//! A member's rule is passed on as its author wrote it, and a tool that meets a broken one may refuse the whole file it stands in,
//! or not start. So what cannot be a rule is told from what may be one. No language is checked whole: that is for the tool itself, and
//! a keyword that it does not know spoils one rule. What is looked at:
//!
//! - Snort and Suricata: action, protocol, addresses and ports, quotes, an end to every option, numbers.
//! - YARA: comments, texts, braces; rules with names and conditions, and no file of the reader's drawn in.
//! - Sigma: a mapping with title, log source and detection.

pub mod network;
mod sigma;
mod yara;

/// A language that rules are written in, as `pattern_type` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Language {
    /// Sigma.
    Sigma,
    /// Snort 2 or 3.
    Snort,
    /// Suricata.
    Suricata,
    /// YARA.
    Yara,
}

impl Language {
    /// Of a `pattern_type`.
    #[must_use]
    pub fn of(pattern_type: &str) -> Option<Self> {
        Some(match pattern_type {
            "sigma" => Self::Sigma,
            "snort" => Self::Snort,
            "suricata" => Self::Suricata,
            "yara" => Self::Yara,
            _ => return None,
        })
    }

    /// How a file of it ends, without the dot.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Sigma => "yml",
            Self::Snort | Self::Suricata => "rules",
            Self::Yara => "yar",
        }
    }
}

/// What keeps a text from being a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Nothing in it.
    #[error("there is no rule")]
    Empty,
    /// Of Snort or Suricata.
    #[error("does not begin with action, protocol, addresses and ports")]
    Header,
    /// `[` and `]`, or `{` and `}`.
    #[error("brackets that do not match")]
    Brackets,
    /// Not `( … )` behind the header.
    #[error("options that are not in parentheses")]
    Parentheses,
    /// A text that does not end.
    #[error("a quote that does not end")]
    Quote,
    /// `;` within quotes, which ends an option of Suricata's all the same.
    #[error("a semicolon in quotes without a backslash before it")]
    Semicolon,
    /// No `name;` or `name:value;`.
    #[error("an option without a name or without an end")]
    Option,
    /// Two, or none between 1 and 2³²−1.
    #[error("a sid or gid that is no number, or given twice")]
    Number,
    /// Suricata reads no more of a line.
    #[error("more than {} bytes in one rule", network::MOST)]
    Long,
    /// A comment that does not end.
    #[error("a comment that does not end")]
    Comment,
    /// `include`.
    #[error("includes a file of whoever loads it")]
    Include,
    /// Of YARA, something that is no rule.
    #[error("something that is no rule, or a rule without a name that it may have")]
    Declaration,
    /// Of YARA.
    #[error("two rules of one name")]
    Twice,
    /// Of YARA.
    #[error("a rule without a condition")]
    Condition,
    /// Of Sigma.
    #[error("a line that is no `name: value`, or a name that stands twice")]
    Mapping,
    /// Of Sigma: YAML forbids it.
    #[error("a tab where only spaces may indent")]
    Tab,
    /// Of Sigma.
    #[error("no title, log source or detection with a condition")]
    Missing,
}

/// What is wrong, and in which line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct Flaw {
    /// From 1 on.
    pub line: usize,
    /// What.
    pub fault: Fault,
}

impl Flaw {
    /// At an offset in bytes.
    fn at(text: &str, offset: usize, fault: Fault) -> Self {
        let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
        Self { line: before.iter().filter(|byte| **byte == b'\n').count() + 1, fault }
    }
}

/// Holds a rule to the outer shape of its language. In time linear in its length.
///
/// # Errors
/// The first [`Flaw`].
pub fn check(language: Language, text: &str) -> Result<(), Flaw> {
    match language {
        Language::Sigma => sigma::check(text),
        Language::Snort | Language::Suricata => network::read(language, text).map(|_| ()),
        Language::Yara => yara::check(text),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_text_whatever_panics(text in "[ \\n\\t#/\\*\\\\\"'(){}\\[\\];:a-c0-9=>-]{0,200}") {
            for language in [Language::Sigma, Language::Snort, Language::Suricata, Language::Yara] {
                let _ = check(language, &text);
            }
        }

        #[test]
        fn a_rule_cut_off_anywhere_is_none(cut in 0_usize..72) {
            let whole = "alert tcp any any -> any 443 (msg:\"a (b)\"; content:\"|0d 0a|\"; sid:1;)";

            let is_whole = cut >= whole.len();
            let text = whole.get(..cut.min(whole.len())).unwrap();
            prop_assert_eq!(check(Language::Suricata, text).is_ok(), is_whole);
        }
    }
}
