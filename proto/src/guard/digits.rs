//! Check digits: what tells a number of a kind from any other of its length.

/// Whether eleven digits are a number of the Belgian national register, or a bis number.
///
/// `YYMMDD SSS CC`: CC is 97 less the rest of the first nine digits divided by 97, with a 2 before them for births
/// since 2000. Bis numbers have 20 or 40 added to the month; an unknown month or day is 00.
pub(super) fn is_national_number(digits: &[u8]) -> bool {
    if digits.len() != 11 {
        return false;
    }
    let (Some(first), Some(check)) = (number(digits, 0, 9), number(digits, 9, 11)) else { return false };
    let (month, day, serial) = (first / 100_000 % 100, first / 1_000 % 100, first % 1_000);
    let month = if month >= 40 {
        month - 40
    } else if month >= 20 {
        month - 20
    } else {
        month
    };
    if month > 12 || day > 31 || serial == 0 || serial > 998 {
        return false;
    }
    // A number of zeros is a placeholder, and so is one without any date.
    if first / 1_000 == 0 {
        return false;
    }
    [first, 2_000_000_000 + first].into_iter().any(|number| 97 - number % 97 == check)
}

/// Whether digits are the number of a payment card: a known issuer's range, its length, and Luhn's check digit
/// (ISO/IEC 7812-1). Lengths that issuers no longer use are left out, as Visa's thirteen: long numbers name many other
/// things, those of goods among them.
pub(super) fn is_card(digits: &[u8]) -> bool {
    let prefix = |len| number(digits, 0, len).unwrap_or(0);
    let (two, three, four) = (prefix(2), prefix(3), prefix(4));
    let is_issued = match digits.len() {
        14 => matches!(two, 36 | 38 | 39) || (300..=305).contains(&three),
        15 => matches!(two, 34 | 37),
        16 => {
            digits.first() == Some(&b'4')
                || (51..=55).contains(&two)
                || (2221..=2720).contains(&four)
                || (3528..=3589).contains(&four)
                || matches!(four, 5018 | 5020 | 5038 | 5893 | 6011 | 6304 | 6703 | 6759 | 6761..=6763)
                || two == 65
                || two == 62
        }
        // Bancontact.
        17 => four == 6703,
        _ => false,
    };
    is_issued && luhn(digits)
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(i, digit)| {
            let digit = u32::from(digit.wrapping_sub(b'0'));
            match i % 2 {
                0 => digit,
                _ if digit > 4 => 2 * digit - 9,
                _ => 2 * digit,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Whether capital letters and digits are an IBAN of its country's length (ISO 13616), by its check digits
/// (ISO 7064, MOD 97-10).
pub(super) fn is_iban(text: &[u8]) -> bool {
    let (Some(head), Some(rest)) = (text.get(..4), text.get(4..)) else { return false };
    if iban_length(text) != Some(text.len()) {
        return false;
    }
    let mut rest_of = 0_u32;
    for &byte in rest.iter().chain(head) {
        rest_of = match byte {
            b'0'..=b'9' => (rest_of * 10 + u32::from(byte - b'0')) % 97,
            b'A'..=b'Z' => (rest_of * 100 + u32::from(byte - b'A') + 10) % 97,
            _ => return false,
        };
    }
    rest_of == 1
}

/// How long the IBAN would be that begins so.
pub(super) fn iban_length(text: &[u8]) -> Option<usize> {
    let country = text.get(..2)?;
    let check = text.get(2..4)?;
    if !check.iter().all(u8::is_ascii_digit) {
        return None;
    }
    LENGTHS
        .iter()
        .find(|(_, countries)| countries.as_bytes().chunks(3).any(|c| c.starts_with(country)))
        .map(|(n, _)| *n)
}

/// The registry of IBAN formats (SWIFT, release 99), by length.
const LENGTHS: &[(usize, &str)] = &[
    (15, "NO "),
    (16, "BE BI "),
    (18, "DK FI FK FO GL NL SD "),
    (19, "MK SI "),
    (20, "AT BA EE KZ LT LU MN XK "),
    (21, "CH HR LI LV "),
    (22, "BG BH CR DE GB GE IE ME RS VA "),
    (23, "AE GI IL IQ OM SO TL "),
    (24, "AD CZ ES MD PK RO SA SE SK TN VG "),
    (25, "LY PT ST "),
    (26, "IS TR "),
    (27, "BJ DJ FR GR IT MC MR SM "),
    (28, "AL AZ BY CY DO GT HU LB PL SV NI "),
    (29, "BR EG PS QA UA "),
    (30, "JO KW MU YE "),
    (31, "MT SC "),
    (32, "LC "),
    (33, "RU "),
];

fn number(digits: &[u8], from: usize, to: usize) -> Option<u64> {
    let digits = digits.get(from..to)?;
    digits.iter().try_fold(0_u64, |n, digit| digit.is_ascii_digit().then(|| n * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A national number of these parts, its check digits reckoned apart from the code on trial.
    pub(in crate::guard) fn national(yy: u64, mm: u64, dd: u64, serial: u64, since_2000: bool) -> String {
        let first = format!("{yy:02}{mm:02}{dd:02}{serial:03}");
        let whole: u64 = format!("{}{first}", if since_2000 { "2" } else { "" }).parse().unwrap();
        format!("{first}{:02}", 97 - whole % 97)
    }

    #[test]
    fn national_and_bis_numbers_are_known_by_their_check_digits() {
        // The example of the register's own description, and its neighbours.
        assert!(is_national_number(b"85073003328"));
        assert!(!is_national_number(b"85073003329") && !is_national_number(b"58073003328"));
        assert!(!is_national_number(b"8507300332") && !is_national_number(b"00000000097"));
        // Month 53 is none, bis or not, whatever the check digits say.
        assert!(!is_national_number(national(85, 53, 1, 33, false).as_bytes()));
    }

    #[test]
    fn cards_are_known_by_issuer_length_and_check_digit() {
        // The issuers' published test numbers.
        for card in [
            "4111111111111111",
            "5555555555554444",
            "378282246310005",
            "30569309025904",
            "6011111111111117",
            "3530111333300000",
            "2223003122003222",
        ] {
            assert!(is_card(card.as_bytes()), "{card}");
            let mut other = card.as_bytes().to_vec();
            *other.last_mut().unwrap() = b'0' + (other.last().unwrap() - b'0' + 1) % 10;
            assert!(!is_card(&other), "{card}");
        }
        // Luhn holds, and nobody issues such: an identifier of something else.
        assert!(luhn(b"1000000000000008") && !is_card(b"1000000000000008"));
    }

    #[test]
    fn accounts_are_known_by_country_length_and_check_digits() {
        for iban in [
            "BE68539007547034",
            "NL91ABNA0417164300",
            "DE89370400440532013000",
            "FR1420041010050500013M02606",
        ] {
            assert!(is_iban(iban.as_bytes()), "{iban}");
            assert!(!is_iban(&iban.as_bytes()[..iban.len() - 1]), "{iban}");
        }
        assert!(!is_iban(b"BE68539007547035") && !is_iban(b"ZZ68539007547034"));
        let countries: Vec<&[u8]> = LENGTHS.iter().flat_map(|(_, c)| c.as_bytes().chunks(3)).collect();
        assert!(countries.iter().all(|c| c.len() == 3 && c[2] == b' '));
        let unique: std::collections::BTreeSet<_> = countries.iter().collect();
        assert_eq!(unique.len(), countries.len());
    }

    proptest! {
        #[test]
        fn every_person_of_the_register_is_known_and_one_wrong_digit_is_not(
            yy in 0_u64..100, mm in 1_u64..13, bis in 0_u64..3, dd in 1_u64..29, serial in 1_u64..999,
            since_2000: bool, at in 9_usize..11, by in 1_u8..10,
        ) {
            let text = national(yy, mm + 20 * bis, dd, serial, since_2000);
            prop_assert!(is_national_number(text.as_bytes()), "{}", text);
            let mut wrong = text.into_bytes();
            wrong[at] = b'0' + (wrong[at] - b'0' + by) % 10;
            let century = national(yy, mm + 20 * bis, dd, serial, !since_2000).into_bytes();
            prop_assert_eq!(is_national_number(&wrong), wrong == century);
        }

        #[test]
        fn luhn_sees_every_single_wrong_digit(digits in "4[0-9]{14}", at in 0_usize..15, by in 1_u8..10) {
            let whole = (b'0'..=b'9').map(|last| [digits.as_bytes(), &[last]].concat()).find(|d| luhn(d)).unwrap();
            prop_assert!(is_card(&whole));
            let mut wrong = whole.clone();
            wrong[at] = b'0' + (wrong[at] - b'0' + by) % 10;
            prop_assert!(!luhn(&wrong));
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = (is_national_number(&bytes), is_card(&bytes), is_iban(&bytes));
        }
    }
}
