//! One spelling for what people and machines write in many: the guards read what a reader would.

use crate::stix::{neutral, observable};

/// Defanging undone, digits and signs of other widths as ASCII, blanks of any kind as spaces, what is invisible gone.
pub(super) fn fold(text: &str) -> String {
    let plain: String = text.chars().filter_map(plain).collect();
    observable::refang(&plain)
}

fn plain(c: char) -> Option<char> {
    match c {
        '\n' | '\r' | '\t' => Some(' '),
        // Full-width forms: a fixed distance from ASCII.
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0),
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe63}' => Some('-'),
        '\u{2024}' | '\u{3002}' => Some('.'),
        '\u{2044}' => Some('/'),
        c if c.is_whitespace() => Some(' '),
        c if neutral::steers(c) => None,
        c => Some(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disguises_come_off() {
        assert_eq!(fold("j\u{200b}ohn[at]bank[.]example"), "john@bank.example");
        assert_eq!(fold("４１１１\u{a0}1111\u{2013}1111"), "4111 1111-1111");
        assert_eq!(fold("a\tb"), "a b");
    }
}
