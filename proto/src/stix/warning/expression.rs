//! Lists of type `regex`: an expression an entry, as PHP writes them (`/…/i`) or bare, found anywhere in a value.
//!
//! One automaton a list, of bounded size, that goes through a value once: what a list can cost is bounded, whatever its
//! entries and the value are. Case never counts, because most values are folded before they are looked at.

use regex::{RegexSet, RegexSetBuilder};

/// Bytes of one list's automaton, of which each `\w` takes some tens of thousands. The size is also what a value of the
/// enemy's making can cost at most, times its length.
const MAX_AUTOMATON: usize = 1 << 20;
/// Expressions of one list; MISP's have some dozens.
const MAX_EXPRESSIONS: usize = 2_000;
/// Bytes of a value that are looked at: of a mailbox, name or URL all, and of what is made to be long its beginning.
const MAX_LOOKED_AT: usize = 4 << 10;
/// Signs that PHP's expressions stand between in lists.
const DELIMITERS: [char; 3] = ['/', '#', '~'];

/// Why a list's expressions are not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The entry from 0.
    Entry(usize),
    /// All of them together.
    TooLarge,
}

/// The expressions of one list.
#[derive(Clone)]
pub(super) struct Expressions(RegexSet);

impl Expressions {
    pub(super) fn of(entries: &[&str]) -> Result<Self, Fault> {
        if entries.len() > MAX_EXPRESSIONS {
            return Err(Fault::TooLarge);
        }
        let read = entries.iter().enumerate().map(|(i, entry)| translated(entry).ok_or(Fault::Entry(i)));
        let read = read.collect::<Result<Vec<_>, _>>()?;
        let built = |expressions: &[String]| {
            RegexSetBuilder::new(expressions).case_insensitive(true).size_limit(MAX_AUTOMATON).build()
        };
        built(&read).map(Self).map_err(|_| {
            // Which it was is asked only where one does not read.
            let faulty = read.iter().position(|one| built(std::slice::from_ref(one)).is_err());
            faulty.map_or(Fault::TooLarge, Fault::Entry)
        })
    }

    pub(super) fn is_match(&self, value: &str) -> bool {
        self.0.is_match(value.get(..value.floor_char_boundary(MAX_LOOKED_AT)).unwrap_or(value))
    }
}

/// An entry in the syntax of the `regex` crate; `None` if it says what that cannot.
fn translated(entry: &str) -> Option<String> {
    let bare = || Some(entry.to_owned());
    let Some(first) = entry.chars().next().filter(|c| DELIMITERS.contains(c)) else { return bare() };
    let Some((body, flags)) = entry.get(1..).and_then(|rest| rest.rsplit_once(first)) else { return bare() };
    if !flags.chars().all(|c| c.is_ascii_alphabetic()) {
        // `/a/b.php` names a path.
        return bare();
    }
    let (mut kept, mut anchor) = (String::new(), "");
    for flag in flags.chars() {
        match flag {
            'm' | 's' | 'x' if !kept.contains(flag) => kept.push(flag),
            'A' => anchor = "\\A",
            // Case never counts, and whether something matches hangs on none of the others.
            'm' | 's' | 'x' | 'i' | 'u' | 'g' | 'D' | 'S' | 'U' => {}
            _ => return None,
        }
    }
    // Under `x` the last line may end in a comment.
    let end = if kept.contains('x') { "\n)" } else { ")" };
    Some(format!("{anchor}(?{kept}:{body}{end}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(entry: &str, value: &str) -> bool {
        Expressions::of(&[entry]).map_err(|fault| format!("{entry}: {fault:?}")).unwrap().is_match(value)
    }

    #[test]
    fn expressions_read_as_php_writes_them_and_bare() {
        for (entry, value) in [
            (r"/((?:\+|00)44)?01632960([0-9]{3})/g", "+4401632960123"),
            (r"/\/wp-content\//", "http://x.be/wp-content/a"),
            ("#^https?://cdn#i", "https://cdn.x.be/"),
            (r"^ad[0-9]+\.", "ad7.x.be"),
            ("/BANK/", "mybank.be"),
            ("/a b # a comment/x", "ab"),
            ("/x.be/A", "x.be"),
            ("/a/b.php", "http://x.be/a/b.php"),
        ] {
            assert!(matches(entry, value), "{entry}");
        }
        for (entry, value) in [(r"^ad[0-9]+\.", "bad7.x.be"), ("/x.be/A", "a.x.be"), ("/a.c/", "ab")] {
            assert!(!matches(entry, value), "{entry}");
        }
    }

    #[test]
    fn an_expression_that_does_not_read_is_named_and_a_list_that_is_too_large_told() {
        for broken in ["(", r"(?<=a)b", r"(a)\1", "/a/e", "a{1000}{1000}{1000}"] {
            assert_eq!(Expressions::of(&["a", broken]).err(), Some(Fault::Entry(1)), "{broken}");
        }
        let many: Vec<String> = (0..200).map(|n| format!("host-{n}-[a-z]{{500}}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(Expressions::of(&many).err(), Some(Fault::TooLarge));
    }

    #[test]
    fn a_list_has_so_many_expressions_at_most() {
        assert!(Expressions::of(&["a"; MAX_EXPRESSIONS]).is_ok());
        assert_eq!(Expressions::of(&["a"; 2_001]).err(), Some(Fault::TooLarge));
        // Each reads by itself.
        let large: Vec<String> = (0..16).map(|n| format!("{n}[0-9]{{5000}}")).collect();
        let large: Vec<&str> = large.iter().map(String::as_str).collect();
        assert_eq!(Expressions::of(&large).err(), Some(Fault::TooLarge));
        assert!(Expressions::of(&large[..1]).is_ok());
    }

    #[test]
    fn of_a_value_that_is_made_to_be_long_the_beginning_is_looked_at() {
        let long = |at: usize| format!("{}x.be", "é".repeat(at));
        assert!(matches(r"x\.be", &long(1_000)));
        assert!(!matches(r"x\.be", &long(MAX_LOOKED_AT)));
    }
}
