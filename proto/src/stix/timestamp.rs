//! STIX times as texts (STIX 2.1 §3.2): RFC 3339, always `Z`, any number of sub-second digits.
//!
//! Kept and compared as texts: a content time may lie before 1970 or carry nanoseconds, and both
//! must come out as they went in.

use std::cmp::Ordering;

/// Whether `text` is a STIX timestamp.
pub(super) fn is_valid(text: &str) -> bool {
    let bytes = text.as_bytes();
    let Some((fixed, rest)) = bytes.split_at_checked(19) else { return false };
    let shape = fixed.iter().enumerate().all(|(i, b)| match i {
        4 | 7 => *b == b'-',
        10 => *b == b'T',
        13 | 16 => *b == b':',
        _ => b.is_ascii_digit(),
    });
    let fraction = match rest {
        [b'Z'] => true,
        [b'.', digits @ .., b'Z'] => {
            (1..=18).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    };
    shape && fraction && is_date(fixed)
}

fn is_date(fixed: &[u8]) -> bool {
    let number = |from: usize, to: usize| {
        fixed
            .get(from..to)
            .unwrap_or_default()
            .iter()
            .fold(0_u32, |n, &digit| n * 10 + u32::from(digit.wrapping_sub(b'0')))
    };
    let year = number(0, 4);
    let days = match number(5, 7) {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        1..=12 => 31,
        _ => return false,
    };
    // Second 60 is a leap second, which RFC 3339 allows.
    (1..=days).contains(&number(8, 10)) && number(11, 13) < 24 && number(14, 16) < 60 && number(17, 19) <= 60
}

/// Orders two valid timestamps by time.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let key = |text: &str| {
        let text = text.trim_end_matches('Z');
        let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
        (seconds.to_owned(), fraction.trim_end_matches('0').to_owned())
    };
    key(a).cmp(&key(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rfc_3339_in_utc_passes() {
        for text in [
            "2017-06-01T00:00:00Z",
            "2017-06-01T00:00:00.1Z",
            "1899-02-28T23:59:60.123456789Z",
            "2024-02-29T00:00:00Z",
        ] {
            assert!(is_valid(text), "{text}");
        }
        for text in [
            "",
            "2017-06-01",
            "2017-06-01T00:00:00",
            "2017-06-01T00:00:00+00:00",
            "2017-06-01t00:00:00z",
            "2017-06-01 00:00:00Z",
            "2017-06-01T00:00:00.Z",
            "2023-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2017-13-01T00:00:00Z",
            "2017-00-01T00:00:00Z",
            "2017-06-31T00:00:00Z",
            "2017-06-01T24:00:00Z",
            "2017-06-01T00:60:00Z",
            "2017-06-01T00:00:0éZ",
        ] {
            assert!(!is_valid(text), "{text}");
        }
    }

    #[test]
    fn order_looks_past_the_number_of_digits() {
        assert_eq!(compare("2017-06-01T00:00:00Z", "2017-06-01T00:00:00.000Z"), Ordering::Equal);
        assert_eq!(compare("2017-06-01T00:00:00.5Z", "2017-06-01T00:00:00.49Z"), Ordering::Greater);
        assert_eq!(compare("2017-06-01T00:00:00Z", "2017-06-01T00:00:00.001Z"), Ordering::Less);
        assert_eq!(compare("2016-12-31T23:59:59.999Z", "2017-06-01T00:00:00Z"), Ordering::Less);
    }
}
