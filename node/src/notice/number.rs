//! Check digits of enterprise numbers, as a country's data file states them: each register has a rule of its own, or none.

use std::num::NonZeroU64;

use serde::Deserialize;

/// How the last digits of a register's numbers follow from the others.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckDigits {
    /// How its numbers begin: what begins otherwise is of another register, and nothing is known of it.
    begins: Vec<String>,
    /// How many digits at the end check the others.
    digits: usize,
    /// They are this less the rest of the others divided by it.
    modulus: NonZeroU64,
}

impl CheckDigits {
    /// Whether a number may be one of its register, or is of another.
    #[must_use]
    pub fn hold(&self, number: &str) -> bool {
        if !self.begins.iter().any(|begin| number.starts_with(begin.as_str())) {
            return true;
        }
        let at = number.len().checked_sub(self.digits);
        let Some((others, check)) = at.and_then(|at| number.split_at_checked(at)) else { return false };
        let (Ok(others), Ok(check)) = (others.parse::<u64>(), check.parse::<u64>()) else { return false };
        self.modulus.get() - others % self.modulus == check
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_is_the_files_and_holds_for_numbers_of_its_register_alone() {
        let rule = |text: &str| toml::from_str::<CheckDigits>(text);
        let belgian = rule("begins = [\"0\", \"1\"]\ndigits = 2\nmodulus = 97").unwrap();
        for (number, holds) in [
            ("0202239951", true),
            ("0202239952", false),
            ("9876543210", true),
            ("0", false),
            ("0x02239951", false),
            ("", true),
        ] {
            assert_eq!(belgian.hold(number), holds, "{number}");
        }
        let other = rule("begins = [\"\"]\ndigits = 1\nmodulus = 11").unwrap();
        assert!(other.hold("1091") && !other.hold("1092"), "109 leaves 10, and 1 is missing to 11");
        assert!(rule("begins = []\ndigits = 2\nmodulus = 0").is_err());
    }
}
