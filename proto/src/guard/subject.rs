//! Finding a person (GDPR 15 to 17): every text of an object, read for the values that somebody is known by.
//!
//! The guards look for what has a form; here somebody says what to look for, and prose counts as much as a mailbox. It is
//! read as the guards read (`fold`), in any case. Two more spellings are one: words in another order (*Peeters, Jan*), and
//! numbers with other signs between their digits.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{fold, own::words_of, texts::path_without};
use crate::stix::object::Object;

/// Values of one search: what one person is known by.
pub const MAX_VALUES: usize = 50;
/// Characters of one value.
pub const MAX_VALUE: usize = 256;
/// Fewer letters and digits are in every other text.
pub const LEAST: usize = 3;
/// Digits that make a value a number, whatever stands between them: the shortest telephone numbers.
const NUMBER: usize = 6;

/// What cannot be searched for. Holds no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// None, or a list.
    #[error("a search is for 1 to {MAX_VALUES} values, not {0}")]
    Count(usize),
    /// It would find everything, or is no value.
    #[error("value {at}: a value has {LEAST} or more letters and digits, and at most {MAX_VALUE} characters")]
    Value {
        /// Position of it, from 1.
        at: usize,
    },
}

/// What somebody is known by. Prints nothing of it.
#[derive(Clone)]
pub struct Subject(Vec<Known>);

#[derive(Clone)]
struct Known {
    /// Folded, lower case.
    text: String,
    /// Its words, if there are several and it is no number.
    words: Vec<String>,
    /// Its letters and digits alone, if it is a number.
    number: Option<String>,
}

impl std::fmt::Debug for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Subject({} values)", self.0.len())
    }
}

/// Where a value was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Which value, from 1.
    pub value: usize,
    /// Property, as in `external_references[2].description`; names that hold a value are not shown.
    pub path: String,
}

impl Subject {
    /// Of the values a person is known by.
    ///
    /// # Errors
    /// [`SubjectError`].
    pub fn of(values: &[String]) -> Result<Self, SubjectError> {
        if values.is_empty() || values.len() > MAX_VALUES {
            return Err(SubjectError::Count(values.len()));
        }
        let known = values.iter().enumerate().map(|(i, value)| {
            let text = folded(value.trim());
            let squeezed = squeeze(&text);
            if value.chars().count() > MAX_VALUE || squeezed.chars().count() < LEAST {
                return Err(SubjectError::Value { at: i + 1 });
            }
            let is_number =
                text.chars().filter(char::is_ascii_digit).count() >= NUMBER && !text.contains('@');
            let words: Vec<String> = words_of(&text).collect();
            Ok(Known {
                words: if is_number || words.len() < 2 || text.contains('@') { Vec::new() } else { words },
                number: is_number.then_some(squeezed),
                text,
            })
        });
        known.collect::<Result<_, _>>().map(Self)
    }

    /// Which values a text holds, by position from 1.
    pub fn in_text<'a>(&'a self, text: &str) -> impl Iterator<Item = usize> + 'a {
        let text = folded(text);
        let (mut squeezed, mut words): (Option<String>, Option<BTreeSet<String>>) = (None, None);
        let found = move |known: &Known| {
            text.contains(&known.text)
                || known.number.as_ref().is_some_and(|number| {
                    squeezed.get_or_insert_with(|| squeeze(&text)).contains(number.as_str())
                })
                || (!known.words.is_empty() && {
                    let words = words.get_or_insert_with(|| words_of(&text).collect());
                    known.words.iter().all(|word| words.contains(word))
                })
        };
        (1..)
            .zip(&self.0)
            .scan(found, |found, (i, known)| Some((i, found(known))))
            .filter_map(|(i, is)| is.then_some(i))
    }

    /// Where an object holds them: in its texts, ids and names of properties.
    #[must_use]
    pub fn in_object(&self, object: &Object) -> BTreeSet<Place> {
        let mut found = BTreeSet::new();
        for (name, value) in &object.properties() {
            self.named(name, name, value, &mut found);
        }
        found
    }

    fn named(&self, name: &str, path: &str, value: &Value, found: &mut BTreeSet<Place>) {
        self.note(name, path, found);
        self.walk(path, value, found);
    }

    fn walk(&self, path: &str, value: &Value, found: &mut BTreeSet<Place>) {
        match value {
            Value::String(text) => self.note(text, path, found),
            Value::Number(number) => self.note(&number.to_string(), path, found),
            Value::Array(items) => {
                for (i, item) in items.iter().enumerate() {
                    self.walk(&format!("{path}[{i}]"), item, found);
                }
            }
            Value::Object(members) => {
                for (name, value) in members {
                    self.named(name, &format!("{path}.{name}"), value, found);
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn note(&self, text: &str, path: &str, found: &mut BTreeSet<Place>) {
        for value in self.in_text(text) {
            let path = path_without(path, |part| self.in_text(part).next().is_some());
            found.insert(Place { value, path });
        }
    }
}

fn folded(text: &str) -> String {
    fold(text).to_lowercase()
}

fn squeeze(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn subject(values: &[&str]) -> Subject {
        Subject::of(&values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn a_person_is_found_in_any_spelling() {
        let jan = subject(&["Jan Peeters", "jan@bank.example", "+32 475 12 34 56", "85.07.30-033.28"]);
        for (text, values) in [
            ("the mailbox of PEETERS, Jan", vec![1]),
            ("jan[at]bank[.]example wrote", vec![2]),
            ("J\u{200b}AN@BANK.EXAMPLE", vec![2]),
            ("call +32475/12.34.56 now", vec![3]),
            ("85073003328", vec![4]),
            ("Jan Peeters, jan@bank.example", vec![1, 2]),
            ("january, peeters", vec![]),
            ("475 12 34", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(jan.in_text(text).collect::<Vec<_>>(), values, "{text}");
        }
    }

    #[test]
    fn places_are_named_and_the_value_is_not() {
        let object = json!({"type": "campaign", "spec_version": "2.1", "id": "campaign--298fe907-7931-4fd2-8131-2814dd493134",
            "created": "2026-11-23T10:00:00.000Z", "modified": "2026-11-23T10:00:00.000Z", "name": "n",
            "description": "by Jan Peeters", "aliases": ["x", "jan peeters"], "x_notes": {"jan peeters": 85_073_003_328_u64}});
        let object = Object::parse(object.to_string().as_bytes()).unwrap();
        let found = subject(&["jan peeters", "850730 033 28"]).in_object(&object);
        let place = |value, path: &str| Place { value, path: path.to_owned() };
        let expected =
            [place(1, "aliases[1]"), place(1, "description"), place(1, "x_notes.*"), place(2, "x_notes.*")];
        assert_eq!(found, expected.into());
    }

    #[test]
    fn what_would_find_everything_is_refused_and_nothing_prints() {
        for wrong in ["", " a ", "..@", &"a".repeat(MAX_VALUE + 1)] {
            assert_eq!(
                Subject::of(&[wrong.to_owned()]).unwrap_err(),
                SubjectError::Value { at: 1 },
                "{wrong}"
            );
        }
        assert_eq!(Subject::of(&[]).unwrap_err(), SubjectError::Count(0));
        assert!(Subject::of(&vec!["abc".to_owned(); MAX_VALUES + 1]).is_err());
        assert_eq!(format!("{:?}", subject(&["secret name"])), "Subject(1 values)");
    }
}
