//! Numbers by which registers know an organisation, as people write them.
//!
//! A notice goes to an authority under these numbers, so a slip of the pen is caught before anybody signs: both carry check
//! digits. Those of enterprise numbers are a country's own, and the authorities file states the rule: belfry's own, or the one that
//! is named, as for notices. Certificates are held to their form alone, as any node has to judge them alike.

use std::path::PathBuf;

use belfry_proto::schema::Organisation;
use clap::Args;

use super::{exit::Usage, notice::book};
use crate::notice::CheckDigits;

/// By which file numbers are checked.
#[derive(Debug, Default, Args)]
pub(super) struct NumberRule {
    /// Authorities file whose rule enterprise numbers are held to [default: config/notices.default.toml, Belgium's]
    #[arg(long, value_name = "FILE")]
    authorities: Option<PathBuf>,
}

impl NumberRule {
    /// What numbers are held to: before anything is asked, made or signed.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub(super) fn read(&self) -> anyhow::Result<Numbers> {
        Ok(Numbers { enterprise: book(self.authorities.as_deref())?.enterprise_number })
    }
}

/// What numbers are held to: a country's rule for those of enterprises, where it has one, and ISO 17442.
#[derive(Debug)]
pub(super) struct Numbers {
    enterprise: Option<CheckDigits>,
}

impl Numbers {
    /// An enterprise number whose check digits are right, where they are known to be some.
    pub(super) fn kbo(&self, text: &str) -> Result<String, String> {
        let digits = kbo(text)?;
        match self.holds(&digits) {
            true => Ok(digits),
            false => Err(format!(
                "{text:?} is no enterprise number, its check digits do not follow from the others: compare it with the register; \
                 where that is another country's, name its authorities file (--authorities)"
            )),
        }
    }

    /// The same of one that the command line gives, if it does.
    pub(super) fn check_given(&self, kbo: Option<&str>) -> Result<(), Usage> {
        match kbo.map(|kbo| self.kbo(kbo)) {
            Some(Err(error)) => Err(Usage(format!("--kbo: {error}"))),
            Some(Ok(_)) | None => Ok(()),
        }
    }

    /// Numbers of an organisation whose check digits are wrong, and what they are called: of a request that another tool made.
    pub(super) fn slips<'a>(&self, organisation: &'a Organisation) -> Vec<(&'static str, &'a str)> {
        let Organisation { kbo, lei, .. } = organisation;
        let checked = [
            ("enterprise number", kbo, self.holds(kbo)),
            ("Legal Entity Identifier", lei, has_lei_check(lei)),
        ];
        let wrong = checked.into_iter().filter(|(_, number, holds)| !number.is_empty() && !holds);
        wrong.map(|(what, number, _)| (what, number.as_str())).collect()
    }

    fn holds(&self, digits: &str) -> bool {
        self.enterprise.as_ref().is_none_or(|rule| rule.hold(digits))
    }
}

/// An enterprise number as people write it (KBO/BCE): ten digits. What they have to be is a country's rule: [`Numbers::kbo`].
pub(super) fn kbo(text: &str) -> Result<String, String> {
    let digits: String = text.chars().filter(|c| !matches!(c, '.' | ' ')).collect();
    match digits.len() == 10 && digits.bytes().all(|b| b.is_ascii_digit()) {
        true => Ok(digits),
        false => Err(format!("{text:?} is not an enterprise number: write ten digits, as in 0123.456.749")),
    }
}

/// A Legal Entity Identifier as people write it (ISO 17442): twenty letters and digits, whose rest divided by 97 is one. What
/// is not of that form is given back as it is: the certificate's own rule tells what is.
pub(super) fn lei(text: &str) -> Result<String, String> {
    let capitals = text.trim().to_ascii_uppercase();
    if capitals.len() != 20 || !capitals.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Ok(text.to_owned());
    }
    match has_lei_check(&capitals) {
        true => Ok(capitals),
        false => Err(format!(
            "{text:?} is no Legal Entity Identifier, its last two digits do not follow from the others: compare it with the register"
        )),
    }
}

/// Whether capital letters and digits end as a Legal Entity Identifier does (ISO 7064, MOD 97-10).
fn has_lei_check(capitals: &str) -> bool {
    let rest = capitals.chars().try_fold(0_u32, |rest, c| {
        let digit = c.to_digit(36)?;
        let shifted = if digit < 10 { rest * 10 } else { rest * 100 };
        Some((shifted + digit) % 97)
    });
    rest == Some(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notice::Book;

    fn belgian() -> Numbers {
        NumberRule::default().read().unwrap()
    }

    #[test]
    fn an_enterprise_number_with_a_digit_wrong_is_told_from_one_that_is() {
        let numbers = belgian();
        for (text, digits) in [("0203.201.340", "0203201340"), ("0202 239 951", "0202239951")] {
            assert_eq!(numbers.kbo(text).as_deref(), Ok(digits));
        }
        // Of no register whose rule is known.
        assert_eq!(numbers.kbo("9876.543.210").as_deref(), Ok("9876543210"));
        for wrong in ["0203201341", "0203201430", "0302201340", "0123456789"] {
            assert!(numbers.kbo(wrong).unwrap_err().contains("compare it with the register"), "{wrong}");
        }
        for form in ["203201340", "02032013400", "BE0203201340", "", "\u{662}203201340"] {
            assert!(kbo(form).unwrap_err().contains("ten digits"), "{form}");
            assert!(numbers.kbo(form).unwrap_err().contains("ten digits"), "{form}");
        }
    }

    #[test]
    fn a_country_with_another_rule_has_its_numbers_taken_by_it_and_one_without_a_rule_has_all() {
        let standard = include_str!("../../../config/notices.default.toml");
        let rule = "begins = [\"0\", \"1\"]\ndigits = 2\nmodulus = 97\n";
        assert!(standard.contains(rule));
        let by = |text: String| Numbers { enterprise: Book::parse(&text).unwrap().enterprise_number };
        let other = by(standard.replacen(rule, "begins = [\"0\"]\ndigits = 1\nmodulus = 11\n", 1));
        // 020320134 leaves 10, and 1 is missing to 11.
        assert!(other.kbo("0203201341").is_ok() && belgian().kbo("0203201341").is_err());
        assert!(other.kbo("0203201340").unwrap_err().contains("--authorities"));
        let without = by(standard.replacen(&format!("[enterprise_number]\n{rule}"), "", 1));
        assert!(without.kbo("0203201341").is_ok());
        assert!(without.check_given(Some("0203201341")).is_ok() && without.check_given(None).is_ok());
        let told = belgian().check_given(Some("0203201341")).unwrap_err().to_string();
        assert!(told.starts_with("--kbo: \"0203201341\" is no enterprise number"), "{told}");
    }

    #[test]
    fn a_legal_entity_identifier_with_a_character_wrong_is_told_from_one_that_is() {
        for text in ["5493001KJTIIGC8Y1R12", "529900T8BM49AURSDO55", " 529900t8bm49aursdo55"] {
            assert_eq!(lei(text), Ok(text.trim().to_uppercase()), "{text}");
        }
        for wrong in ["5493001KJTIIGC8Y1R13", "5493001KJTIIGC8Y1R21", "4593001KJTIIGC8Y1R12"] {
            assert!(lei(wrong).unwrap_err().contains("compare it with the register"), "{wrong}");
        }
        // Its form is told where a certificate's is.
        assert_eq!(lei("short").as_deref(), Ok("short"));
    }

    #[test]
    fn of_a_request_what_cannot_be_a_number_is_named_and_what_is_left_out_is_not() {
        let of = |kbo: &str, lei: &str| Organisation {
            kbo: kbo.into(),
            lei: lei.into(),
            ..Organisation::default()
        };
        let numbers = belgian();
        assert!(numbers.slips(&of("", "")).is_empty());
        assert!(numbers.slips(&of("0202239951", "529900T8BM49AURSDO55")).is_empty());
        let wrong = of("0202239952", "529900T8BM49AURSDO56");
        let expected =
            [("enterprise number", "0202239952"), ("Legal Entity Identifier", "529900T8BM49AURSDO56")];
        assert_eq!(numbers.slips(&wrong), expected);
    }
}
