//! Numbers by which registers know an organisation, as people write them.
//!
//! A notice goes to an authority under these numbers, so a slip of the pen is caught before anybody signs: both carry check
//! digits. Those of enterprise numbers are a country's own, and belfry's own data file states the rule. Certificates are held to
//! their form alone, as any node has to judge them alike.

use belfry_proto::schema::Organisation;

use crate::notice::Book;

/// An enterprise number as people write it (KBO/BCE): ten digits, whose check digits are right where they are known to be some.
pub(super) fn kbo(text: &str) -> Result<String, String> {
    let digits: String = text.chars().filter(|c| !matches!(c, '.' | ' ')).collect();
    if digits.len() != 10 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("{text:?} is not an enterprise number: write ten digits, as in 0123.456.749"));
    }
    match has_kbo_check(&digits) {
        true => Ok(digits),
        false => Err(format!(
            "{text:?} is no enterprise number, its last two digits do not follow from the others: compare it with the register"
        )),
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

/// Numbers of an organisation whose check digits are wrong, and what they are called: of a request that another tool made.
pub(super) fn slips(organisation: &Organisation) -> Vec<(&'static str, &str)> {
    let Organisation { kbo, lei, .. } = organisation;
    let checked = [
        ("enterprise number", kbo, has_kbo_check(kbo)),
        ("Legal Entity Identifier", lei, has_lei_check(lei)),
    ];
    let wrong = checked.into_iter().filter(|(_, number, holds)| !number.is_empty() && !holds);
    wrong.map(|(what, number, _)| (what, number.as_str())).collect()
}

/// Whether an enterprise number ends as those of its register do, as far as belfry's own data file tells.
fn has_kbo_check(digits: &str) -> bool {
    let rule = Book::standard().ok().and_then(|book| book.enterprise_number);
    rule.is_none_or(|rule| rule.hold(digits))
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

    #[test]
    fn an_enterprise_number_with_a_digit_wrong_is_told_from_one_that_is() {
        for (text, digits) in [("0203.201.340", "0203201340"), ("0202 239 951", "0202239951")] {
            assert_eq!(kbo(text).as_deref(), Ok(digits));
        }
        // Of no register whose rule is known.
        assert_eq!(kbo("9876.543.210").as_deref(), Ok("9876543210"));
        for wrong in ["0203201341", "0203201430", "0302201340", "0123456789"] {
            assert!(kbo(wrong).unwrap_err().contains("compare it with the register"), "{wrong}");
        }
        for form in ["203201340", "02032013400", "BE0203201340", "", "\u{662}203201340"] {
            assert!(kbo(form).unwrap_err().contains("ten digits"), "{form}");
        }
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
        assert!(slips(&of("", "")).is_empty());
        assert!(slips(&of("0202239951", "529900T8BM49AURSDO55")).is_empty());
        let wrong = of("0202239952", "529900T8BM49AURSDO56");
        let expected =
            [("enterprise number", "0202239952"), ("Legal Entity Identifier", "529900T8BM49AURSDO56")];
        assert_eq!(slips(&wrong), expected);
    }
}
