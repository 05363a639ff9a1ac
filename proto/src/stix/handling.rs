//! Terms of handling that an author may state: FIRST's IEP 2.0, and others under a name that says that they are none of it.
//!
//! What stands on the wire may say anything, and what nobody knows keeps an object in ([`super::egress`]). So a word that
//! is misspelt protects more than was meant, or less: it is refused where it is written, not where it is read.

use std::fmt;

use super::marking::Tlp;

/// What a term of IEP 2.0 may say.
#[derive(Clone, Copy, Debug)]
enum Says {
    /// One of these words.
    One(&'static [&'static str]),
    /// A marking.
    Tlp,
    /// A text of the author's.
    Text,
}

/// Policy statements and metadata of IEP 2.0 (JSON specification §3), as [`word`] writes them.
const TERMS: [(&str, Says); 13] = [
    ("permitted-actions", Says::One(&ACTIONS)),
    ("affected-party-notifications", Says::One(&["may", "must-not"])),
    ("encrypt-in-transit", Says::One(&["may", "must"])),
    ("attribution", Says::One(&["may", "must", "must-not"])),
    ("unmodified-resale", Says::One(&["may", "must-not"])),
    ("tlp", Says::Tlp),
    ("external-reference", Says::Text),
    ("id", Says::Text),
    ("name", Says::Text),
    ("description", Says::Text),
    ("iep-version", Says::One(&["2.0"])),
    ("start-date", Says::Text),
    ("end-date", Says::Text),
];
const ACTIONS: [&str; 5] = [
    "none",
    "contact-for-instruction",
    "internally-visible-actions",
    "externally-visible-indirect-actions",
    "externally-visible-direct-actions",
];
/// Before the name of a term that is not IEP's.
const OTHERS: &str = "x-";

/// A term that IEP 2.0 does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TermError {
    /// Not `name=value`, or without either.
    Form,
    /// No such name; the one most like it, if any is like it.
    Name(Option<&'static str>),
    /// No such value of that name; the one most like it, and all.
    Value {
        /// The name.
        name: &'static str,
        /// The one most like it.
        nearest: Option<&'static str>,
        /// All there are; empty where it is a marking.
        known: &'static [&'static str],
    },
}

impl std::error::Error for TermError {}

/// What it is instead is the author's to say; the term itself is not repeated.
impl fmt::Display for TermError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let meant = |f: &mut fmt::Formatter<'_>, nearest: &Option<&str>| match nearest {
            Some(nearest) => write!(f, ": is `{nearest}` meant?"),
            None => Ok(()),
        };
        match self {
            Self::Form => f.write_str("is NAME=VALUE"),
            Self::Name(nearest) => {
                f.write_str("has a name that FIRST's IEP 2.0 does not have")?;
                meant(f, nearest)?;
                write!(f, "; a term of somebody else's begins with `{OTHERS}`")
            }
            Self::Value { name, nearest, known: [] } => {
                write!(f, "{name} is a TLP marking")?;
                meant(f, nearest)
            }
            Self::Value { name, nearest, known } => {
                write!(f, "{name} is {}", known.join(", "))?;
                meant(f, nearest)
            }
        }
    }
}

/// Whether a term may be stated. Case, blanks and underscores are read as [`super::egress`] does.
///
/// # Errors
/// [`TermError`].
pub fn check(term: &str) -> Result<(), TermError> {
    let (name, value) = term.split_once('=').ok_or(TermError::Form)?;
    let (name, value) = (word(name), word(value));
    if name.is_empty() || value.is_empty() {
        return Err(TermError::Form);
    }
    if name.strip_prefix(OTHERS).is_some_and(|rest| !rest.is_empty()) {
        return Ok(());
    }
    let known = TERMS.iter().find(|(known, _)| *known == name);
    let &(name, says) =
        known.ok_or_else(|| TermError::Name(nearest(&name, TERMS.iter().map(|(name, _)| *name))))?;
    let (is_known, known): (bool, &'static [&'static str]) = match says {
        Says::One(words) => (words.contains(&value.as_str()), words),
        Says::Tlp => (value.parse::<Tlp>().is_ok(), &[]),
        Says::Text => (true, &[]),
    };
    match is_known {
        true => Ok(()),
        false => Err(TermError::Value { name, nearest: nearest(&value, known.iter().copied()), known }),
    }
}

/// As names and values are compared.
pub(super) fn word(text: &str) -> String {
    text.trim().to_ascii_lowercase().replace(['_', ' '], "-")
}

/// The word that takes the fewest changes to become, if these are not most of it.
fn nearest(text: &str, words: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    // A word longer than any is none of them, and comparing costs its length.
    let text: Vec<char> = text.chars().take(64).collect();
    let near = words.map(|word| (distance(&text, word), word)).min()?;
    (near.0 * 2 <= text.len().max(2)).then_some(near.1)
}

/// Letters put in, left out or exchanged (Levenshtein).
fn distance(from: &[char], to: &str) -> usize {
    let mut row: Vec<usize> = (0..=from.len()).collect();
    for (line, letter) in to.chars().enumerate() {
        let mut before = line;
        let mut left = line + 1;
        let mut next = vec![left];
        for (at, other) in from.iter().enumerate() {
            let above = row.get(at + 1).copied().unwrap_or(usize::MAX);
            left = (before + usize::from(letter != *other)).min(left + 1).min(above.saturating_add(1));
            before = above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_iep_has_may_be_stated_however_it_is_spelt() {
        for term in [
            "attribution=must-not",
            "ATTRIBUTION=MUST NOT",
            "permitted_actions=EXTERNALLY VISIBLE DIRECT ACTIONS",
            "encrypt-in-transit=must",
            "unmodified-resale=may",
            "tlp=amber+strict",
            "external_reference=https://cert.example/policy",
            "iep_version=2.0",
            "x-acme-retention=30d",
        ] {
            assert_eq!(check(term), Ok(()), "{term}");
        }
    }

    #[test]
    fn a_misspelt_term_is_refused_with_the_word_that_was_meant() {
        let said = |term: &str| check(term).unwrap_err().to_string();
        assert!(said("atribution=must-not").contains("is `attribution` meant?"));
        assert!(said("attribution=mustnot").contains("is `must-not` meant?"));
        assert!(said("attribution=nobody").contains("is may, must, must-not"));
        assert!(said("permited-action=none").contains("`permitted-actions`"));
        assert!(said("permitted-actions=internal-visible-actions").contains("`internally-visible-actions`"));
        assert!(said("tlp=ambre").contains("a TLP marking"));
        assert_eq!(check("retention=30d"), Err(TermError::Name(None)));
        assert!(said("retention=30d").contains("begins with `x-`"));
        for term in ["attribution", "=may", "attribution=", "x-="] {
            assert!(check(term).is_err(), "{term}");
        }
        // No long text costs more than a short one.
        assert_eq!(check(&format!("{}=may", "a".repeat(1 << 20))), Err(TermError::Name(None)));
    }
}
