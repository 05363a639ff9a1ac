//! The member's own names and values, and the words competitors must not exchange.

use std::collections::HashMap;

use super::Finding;
use crate::stix::{
    observable::{Observable, find},
    warning::{AllowError, AllowList},
};

/// Terms of one list; each costs a look-up a word, not a pass.
const MAX_TERMS: usize = 10_000;
/// Words of one term.
const MAX_WORDS: usize = 16;

/// Why a list of guarded names cannot be used. Names its position only: it is a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OwnError {
    /// Not a domain, address, range or other value.
    #[error("own: {0}")]
    Value(#[from] AllowError),
    /// A term without a letter or digit, or an essay.
    #[error("{list}[{at}] must be 1 to {MAX_WORDS} words")]
    Term {
        /// Which list.
        list: &'static str,
        /// Position in it, from 0.
        at: usize,
    },
    /// Too many.
    #[error("{0} has more than {MAX_TERMS} entries")]
    TooMany(&'static str),
}

/// What an operator wants to be asked about.
#[derive(Clone, Debug, Default)]
pub struct Own {
    values: AllowList,
    has_values: bool,
    terms: Terms,
    competition: Terms,
}

impl Own {
    /// Of domains (with all below them), addresses, ranges and other values; of terms such as code names; and of
    /// words that mark what is sensitive among competitors.
    ///
    /// # Errors
    /// [`OwnError`].
    pub fn of(values: &[String], terms: &[String], competition: &[String]) -> Result<Self, OwnError> {
        if values.len() > MAX_TERMS {
            return Err(OwnError::TooMany("own"));
        }
        Ok(Self {
            values: AllowList::of(values.iter().map(String::as_str))?,
            has_values: !values.is_empty(),
            terms: Terms::of("terms", terms)?,
            competition: Terms::of("competition", competition)?,
        })
    }

    /// Whether a value is the member's own, lies at or below one, or, being a range, holds one.
    pub(super) fn covers(&self, observable: &Observable) -> bool {
        self.has_values && self.values.covers(observable)
    }

    /// What a folded text holds of these.
    pub(super) fn find<'a>(&'a self, text: &'a str) -> impl Iterator<Item = Finding> + 'a {
        let words = self.terms.is_empty() && self.competition.is_empty();
        let words: Vec<String> = if words { Vec::new() } else { words_of(text).collect() };
        let value = self.has_values && find::values(text).any(|spoken| self.values.covers(&spoken.value));
        [
            value.then_some(Finding::OwnValue),
            self.terms.are_in(&words).then_some(Finding::OwnTerm),
            self.competition.are_in(&words).then_some(Finding::Competition),
        ]
        .into_iter()
        .flatten()
    }
}

/// Terms by their first word.
#[derive(Clone, Default)]
pub(super) struct Terms(HashMap<String, Vec<Vec<String>>>);

/// Their number only.
impl std::fmt::Debug for Terms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Terms({})", self.0.len())
    }
}

impl Terms {
    fn of(list: &'static str, terms: &[String]) -> Result<Self, OwnError> {
        if terms.len() > MAX_TERMS {
            return Err(OwnError::TooMany(list));
        }
        let mut found = Self::default();
        for (at, term) in terms.iter().enumerate() {
            if words_of(&super::fold(term)).nth(MAX_WORDS).is_some() || !found.add(term) {
                return Err(OwnError::Term { list, at });
            }
        }
        Ok(found)
    }

    /// Whether there was a word in it.
    pub(super) fn add(&mut self, term: &str) -> bool {
        let words: Vec<String> = words_of(&super::fold(term)).collect();
        let Some(first) = words.first().cloned() else { return false };
        self.0.entry(first).or_default().push(words);
        true
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn are_in(&self, words: &[String]) -> bool {
        !self.is_empty()
            && words.iter().enumerate().any(|(i, word)| {
                let terms = self.0.get(word).into_iter().flatten();
                let rest = words.get(i..).unwrap_or_default();
                terms.into_iter().any(|term| rest.starts_with(term))
            })
    }
}

/// Runs of letters and digits, in lower case: `Project_Zeus` and `project zeus` are the same words.
pub(super) fn words_of(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Own {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        Own::of(
            &texts(&["bank.example", "203.0.113.0/24"]),
            &texts(&["Project Zeus", "lighthouse"]),
            &texts(&["price list"]),
        )
        .unwrap()
    }

    #[test]
    fn own_values_and_terms_are_found_in_prose() {
        let own = own();
        for (text, what) in [
            ("seen at vpn.bank.example.", Finding::OwnValue),
            ("from (203.0.113.9) today", Finding::OwnValue),
            ("http://intranet.bank.example/x", Finding::OwnValue),
            (r"C:\projects\project_zeus\plan.docx", Finding::OwnTerm),
            ("the LIGHTHOUSE", Finding::OwnTerm),
            ("our Price-List for", Finding::Competition),
        ] {
            assert_eq!(own.find(text).collect::<Vec<_>>(), [what], "{text}");
        }
        for text in ["notbank.example", "projects zeus", "lighthouses", "203.0.114.9", "price", ""] {
            assert_eq!(own.find(text).count(), 0, "{text}");
        }
        assert_eq!(Own::default().find("anything at bank.example").count(), 0);
    }

    #[test]
    fn a_list_that_cannot_be_meant_is_refused() {
        let one = |text: &str| vec![text.to_owned()];
        assert!(matches!(Own::of(&one("two words"), &[], &[]), Err(OwnError::Value(_))));
        assert_eq!(Own::of(&[], &one("--"), &[]).unwrap_err().to_string(), "terms[0] must be 1 to 16 words");
        assert!(Own::of(&[], &[], &one(&"a ".repeat(17))).is_err());
        assert!(!format!("{:?}", own()).contains("zeus"));
    }
}
