//! Data of people in a text: mailboxes, telephone, account, card and register numbers.
//!
//! A text is walked once. Numbers are taken in the groups people write them in, so that a table of figures is no card
//! and a hash no telephone.

use std::collections::BTreeSet;

use super::{digits, fold::fold};
use crate::stix::observable::{Kind, Observable};

/// What of a person was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Personal {
    /// A mailbox that is not a function's.
    #[error("an e-mail address")]
    Email,
    /// A telephone number.
    #[error("a telephone number")]
    Phone,
    /// An account, by its check digits.
    #[error("an IBAN")]
    Iban,
    /// A payment card, by its check digit.
    #[error("a payment card number")]
    PaymentCard,
    /// A number of the Belgian national register or a bis number, by its check digits.
    #[error("a Belgian national register number")]
    NationalNumber,
}

/// Mailboxes of functions (RFC 2142 and what is usual): nobody's in person.
const FUNCTIONS: [&str; 30] = [
    "abuse",
    "admin",
    "administrator",
    "cert",
    "cirt",
    "contact",
    "csirt",
    "dpo",
    "git",
    "helpdesk",
    "hostmaster",
    "info",
    "mailer-daemon",
    "marketing",
    "no-reply",
    "noc",
    "noreply",
    "office",
    "postmaster",
    "press",
    "privacy",
    "psirt",
    "root",
    "sales",
    "security",
    "service",
    "soc",
    "support",
    "webmaster",
    "www",
];

/// What else names a function, beside [`FUNCTIONS`], as a part of a mailbox's name.
const PARTS_OF_FUNCTIONS: [&str; 37] = [
    "alert",
    "alerts",
    "centre",
    "center",
    "compliance",
    "crisis",
    "cyber",
    "data",
    "department",
    "desk",
    "disclosure",
    "duty",
    "emergency",
    "gdpr",
    "group",
    "help",
    "hotline",
    "incident",
    "incidents",
    "intel",
    "it",
    "juridique",
    "legal",
    "mail",
    "national",
    "network",
    "on",
    "operations",
    "ops",
    "protection",
    "report",
    "reporting",
    "response",
    "team",
    "threat",
    "vulnerabilities",
    "vulnerability",
];

/// Whether a mailbox's name is made as a person's: two names or an initial and a name, with a point between, and none of
/// them a function's. Says nothing of names in one piece.
#[must_use]
pub fn is_named_as_a_person(mailbox: &str) -> bool {
    let local = mailbox.rsplit_once('@').map_or(mailbox, |(local, _)| local).to_lowercase();
    let local = local.split('+').next().unwrap_or_default();
    let names: Vec<&str> = local.split(['.', '_']).filter(|name| !name.is_empty()).collect();
    let is_name = |name: &&str| {
        name.chars().all(|c| c.is_alphabetic() || matches!(c, '-' | '\''))
            && !name.split('-').any(|part| FUNCTIONS.contains(&part) || PARTS_OF_FUNCTIONS.contains(&part))
    };
    (2..=4).contains(&names.len())
        && names.iter().all(is_name)
        && names.iter().any(|name| name.chars().count() > 1)
}

/// What of a person `text` holds, each kind once, whatever its disguise.
#[must_use]
pub fn personal(text: &str) -> BTreeSet<Personal> {
    find(&fold(text))
}

/// As [`personal`], of a folded text.
pub(super) fn find(text: &str) -> BTreeSet<Personal> {
    let mut found = BTreeSet::new();
    if text.contains('@') && has_mailbox(text) {
        found.insert(Personal::Email);
    }
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let begins = at == 0 || bytes.get(at - 1).is_none_or(|&before| !is_word(before));
        if !begins {
            at += 1;
            continue;
        }
        if let Some(end) = uuid(bytes, at) {
            // A name of objects, whatever its digits look like: feeds are full of them.
            at = end;
        } else if byte.is_ascii_digit() {
            at = numbers(bytes, at, &mut found);
        } else {
            if byte == b'+' && is_phone_abroad(bytes, at) {
                found.insert(Personal::Phone);
            }
            if byte.is_ascii_alphabetic() && begins_iban(bytes, at) {
                found.insert(Personal::Iban);
            }
            at += 1;
        }
    }
    found
}

/// Letters beyond ASCII count: a digit behind one is part of a word.
const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Where a UUID ends that begins at `at` and is no piece of something longer.
fn uuid(bytes: &[u8], at: usize) -> Option<usize> {
    let end = at + UUID;
    let is_sign = |(nth, byte): (usize, &u8)| match nth {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    let is_one = bytes.get(at..end)?.iter().enumerate().all(is_sign);
    (is_one && bytes.get(end).is_none_or(|&after| !is_word(after))).then_some(end)
}

/// Takes the groups of digits that begin at `at`, and looks whether some of them are a number; where they end.
fn numbers(bytes: &[u8], at: usize, found: &mut BTreeSet<Personal>) -> usize {
    let mut groups: Vec<(usize, usize)> = Vec::new();
    let mut next = at;
    loop {
        let end =
            next + bytes.get(next..).unwrap_or_default().iter().take_while(|b| b.is_ascii_digit()).count();
        // A group with a letter at its end is a word, and ends what stands before it.
        let is_whole = bytes.get(end).is_none_or(|&after| !is_word(after));
        if end == next || !is_whole {
            next = end;
            break;
        }
        groups.push((next, end));
        next = end;
        let gap = bytes.get(end..).unwrap_or_default().iter().take_while(|b| is_separator(**b)).count();
        let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
        if gap == 0 || gap > MAX_GAP || !is_digit(end + gap) {
            break;
        }
        next = end + gap;
    }
    for first in 0..groups.len() {
        let mut digits: Vec<u8> = Vec::new();
        let mut lengths: Vec<usize> = Vec::new();
        for &(from, to) in groups.iter().skip(first).take(MAX_GROUPS) {
            digits.extend_from_slice(bytes.get(from..to).unwrap_or_default());
            lengths.push(to - from);
            if digits.len() > MAX_DIGITS {
                break;
            }
            let before =
                groups.get(first).and_then(|(from, _)| from.checked_sub(1)).and_then(|at| bytes.get(at));
            let separator = bytes.get(groups.get(first).map_or(0, |group| group.1)).copied().unwrap_or(b' ');
            found.extend(number(&digits, &lengths, before.copied(), separator));
            if is_card(bytes, &groups, first, &digits, &lengths) {
                found.insert(Personal::PaymentCard);
            }
        }
    }
    next.max(at + 1)
}

/// Whether the groups from `first` on, of these digits and lengths, are a payment card's number: written in one piece or in
/// the groups of its kind, the same single sign between all of them, and not a piece of something longer. Card numbers
/// are refused whatever anybody says, and one long number in a hundred looks like one; so what is told by the signs around
/// it to be a part of a name, a decimal or a table of figures is none.
fn is_card(bytes: &[u8], groups: &[(usize, usize)], first: usize, digits: &[u8], lengths: &[usize]) -> bool {
    if !matches!(lengths, [14..=17] | [4, 4, 4, 1 | 4 | 5] | [4, 6, 4 | 5]) || !digits::is_card(digits) {
        return false;
    }
    let last = first + lengths.len() - 1;
    let (Some(&(from, _)), Some(&(_, to))) = (groups.get(first), groups.get(last)) else { return false };
    let gap = |nth: usize| match (groups.get(nth), groups.get(nth + 1)) {
        (Some((_, end)), Some((begin, _))) => bytes.get(*end..*begin),
        _ => None,
    };
    let between = gap(first).filter(|_| lengths.len() > 1);
    if let Some(sign) = between {
        let is_even = matches!(sign, [b' ' | b'-' | b'.']) && (first..last).all(|nth| gap(nth) == Some(sign));
        // A further group of four, set off alike: a row of figures, of which any four may look like a card.
        let goes_on = |nth: usize, at: usize| {
            gap(at) == Some(sign) && groups.get(nth).is_some_and(|(from, to)| to - from == 4)
        };
        if !is_even || goes_on(last + 1, last) || first.checked_sub(1).is_some_and(|nth| goes_on(nth, nth)) {
            return false;
        }
    }
    let is_joined = |sign: Option<&u8>, beyond: Option<&u8>| {
        matches!(sign, Some(b'.' | b'-' | b'+'))
            && beyond.is_some_and(|&byte| is_word(byte))
            && sign != between.and_then(<[u8]>::first)
    };
    let at = |back: usize| from.checked_sub(back).and_then(|at| bytes.get(at));
    !is_joined(at(1), at(2)) && !is_joined(bytes.get(to), bytes.get(to + 1))
}

/// Bytes of a UUID as it is written.
const UUID: usize = 36;
/// Signs between two groups of digits, as in `02 / 123`.
const MAX_GAP: usize = 3;
/// Groups of one number: a telephone number in pairs has seven.
const MAX_GROUPS: usize = 8;
/// Digits of the longest number looked for.
const MAX_DIGITS: usize = 19;

const fn is_separator(byte: u8) -> bool {
    matches!(byte, b' ' | b'.' | b'-' | b'/' | b'(' | b')')
}

/// What digits in groups of these lengths are. `before` stands before them, `separator` behind the first group.
fn number(digits: &[u8], lengths: &[usize], before: Option<u8>, separator: u8) -> Option<Personal> {
    match lengths {
        [11] | [2, 2, 2, 3, 2] | [6, 3, 2] | [6, 5] | [9, 2] if digits::is_national_number(digits) => {
            Some(Personal::NationalNumber)
        }
        // Behind a plus it was looked at as a number abroad; behind these it goes on, as an account number does.
        _ if matches!(before, Some(b'+' | b'-' | b'.' | b'/')) => None,
        _ if is_phone_at_home(digits, lengths, separator) => Some(Personal::Phone),
        _ => None,
    }
}

/// `0475 12 34 56`, `02/123.45.67`, `0032 2 123 45 67`: with the trunk prefix, in the groups people use.
fn is_phone_at_home(digits: &[u8], lengths: &[usize], separator: u8) -> bool {
    let starts = |prefix: &[u8]| digits.starts_with(prefix);
    if starts(b"00") && !starts(b"000") && lengths.len() > 1 {
        return (11..=15).contains(&digits.len());
    }
    let is_mobile = starts(b"04") && digits.get(2).is_some_and(|third| matches!(third, b'5'..=b'9'));
    match lengths {
        [10] | [4, 6] | [4, 2, 2, 2] | [4, 3, 3] => is_mobile,
        [2, 3, 2, 2] | [3, 2, 2, 2] | [2, 7] | [3, 6] | [2, 3, 4] => {
            starts(b"0") && !starts(b"00") && (separator == b'/' || separator == b' ')
        }
        _ => false,
    }
}

/// `+32 475 12 34 56`, `+32(0)2 123 45 67` (ITU-T E.164: at most 15 digits).
fn is_phone_abroad(bytes: &[u8], plus: usize) -> bool {
    let (mut count, mut gap) = (0, 0);
    for &byte in bytes.get(plus + 1..).unwrap_or_default() {
        match byte {
            b'0' if count == 0 => return false,
            b'0'..=b'9' => (count, gap) = (count + 1, 0),
            _ if is_separator(byte) && count > 0 && gap < MAX_GAP => gap += 1,
            _ => {
                // A number that goes on as a word is none.
                if gap == 0 && is_word(byte) {
                    return false;
                }
                break;
            }
        }
        if count > MAX_DIGITS {
            return false;
        }
    }
    (8..=15).contains(&count)
}

/// Whether an IBAN begins here, in one piece or in groups of four.
fn begins_iban(bytes: &[u8], at: usize) -> bool {
    let mut text: Vec<u8> = Vec::new();
    let mut wanted = None;
    for (i, &byte) in bytes.iter().enumerate().skip(at) {
        if byte.is_ascii_alphanumeric() {
            text.push(byte.to_ascii_uppercase());
            if text.len() == 4 {
                wanted = digits::iban_length(&text);
                if wanted.is_none() {
                    return false;
                }
            }
            if wanted == Some(text.len()) {
                return bytes.get(i + 1).is_none_or(|&after| !is_word(after)) && digits::is_iban(&text);
            }
            continue;
        }
        let is_between = !text.is_empty() && text.len().is_multiple_of(4);
        let goes_on = bytes.get(i + 1).is_some_and(u8::is_ascii_alphanumeric);
        if !(matches!(byte, b' ' | b'-' | b'.') && is_between && goes_on) {
            return false;
        }
    }
    false
}

/// Whether a mailbox stands in `text` that is not a function's.
fn has_mailbox(text: &str) -> bool {
    let is_local = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '%' | '+' | '-' | '\'' | '=');
    let is_domain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-');
    text.match_indices('@').any(|(at, _)| {
        let (before, after) = (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default());
        // RFC 5321 §4.5.3.1: a local part has 64 bytes at most, a domain 255.
        let local: Vec<char> = before.chars().rev().take(65).take_while(|c| is_local(*c)).collect();
        let local: String = local.into_iter().rev().collect();
        let local = local.trim_start_matches(['.', '\'', '=']);
        let domain: String = after.chars().take(256).take_while(|c| is_domain(*c)).collect();
        let domain = domain.trim_end_matches(['.', '-']);
        let top = domain.rsplit_once('.').map_or("", |(_, top)| top);
        let is_named = top.chars().count() > 1 && top.chars().all(|c| c.is_alphabetic() || c == '-')
            || top.starts_with("xn--");
        if local.is_empty() || local.len() > 64 || !is_named {
            return false;
        }
        let function = local.split('+').next().unwrap_or(local).to_lowercase();
        !FUNCTIONS.contains(&function.as_str())
            && Observable::new(Kind::Email, &format!("{local}@{domain}")).is_some()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(text: &str) -> Vec<Personal> {
        personal(text).into_iter().collect()
    }

    #[test]
    fn a_mailbox_of_first_and_last_name_is_a_persons_and_one_of_a_function_is_not() {
        for mailbox in [
            "jan.peeters@bank.example",
            "Jan.Peeters@bank.example",
            "j.peeters@bank.example",
            "jan_peeters@bank.example",
            "anne-marie.d'hondt@bank.example",
            "jan.van.damme+csirt@bank.example",
        ] {
            assert!(is_named_as_a_person(mailbox), "{mailbox}");
        }
        for mailbox in [
            "csirt@bank.example",
            "incident-response@bank.example",
            "incident.response@bank.example",
            "data.protection@bank.example",
            "it.security@bank.example",
            "soc.l2@bank.example",
            "jpeeters@bank.example",
            "@bank.example",
            ".@bank.example",
            "",
        ] {
            assert!(!is_named_as_a_person(mailbox), "{mailbox}");
        }
    }

    #[test]
    fn people_are_found_however_they_are_written() {
        for (text, what) in [
            ("mail from Jan.Peeters@bank.example today", Personal::Email),
            ("jan[at]bank[.]example", Personal::Email),
            ("<jan@bank.example>", Personal::Email),
            ("mailto:jan@bank.example?subject=x", Personal::Email),
            ("[email-addr:value = 'jan@bank.example']", Personal::Email),
            ("jan＠bank．example", Personal::Email),
            ("call +32 475 12 34 56", Personal::Phone),
            ("+32(0)2 123 45 67", Personal::Phone),
            ("tel 0475/12.34.56.", Personal::Phone),
            ("0475123456", Personal::Phone),
            ("02/123.45.67", Personal::Phone),
            ("0032 2 123 45 67", Personal::Phone),
            ("to BE68 5390 0754 7034 and", Personal::Iban),
            ("be68539007547034", Personal::Iban),
            ("DE89-3704-0044-0532-0130-00", Personal::Iban),
            ("00321234-5678", Personal::Phone),
            ("be685390-0754-7034-8131-2814dd493134x", Personal::Iban),
            ("card 4111 1111 1111 1111,", Personal::PaymentCard),
            ("4111-1111-1111-1111", Personal::PaymentCard),
            ("378282246310005", Personal::PaymentCard),
            ("3782 822463 10005", Personal::PaymentCard),
            ("4111.1111.1111.1111", Personal::PaymentCard),
            ("pan:4111111111111111:12/27:123", Personal::PaymentCard),
            ("a,4111111111111111,5500005555555559,b", Personal::PaymentCard),
            ("4111 1111 1111 1111 12/27", Personal::PaymentCard),
            ("it is 4111111111111111. Next", Personal::PaymentCard),
            ("on 23 4111-1111-1111-1111", Personal::PaymentCard),
            ("n° 85.07.30-033.28", Personal::NationalNumber),
            ("85073003328", Personal::NationalNumber),
            ("850730 033 28", Personal::NationalNumber),
            ("８５０７３００３３２８", Personal::NationalNumber),
            ("on 23 85.07.30-033.28", Personal::NationalNumber),
            ("http://evil.example/?card=4111111111111111&x=1", Personal::PaymentCard),
        ] {
            assert_eq!(found(text), [what], "{text}");
        }
        let both = found("85.07.30-033.28 4111 1111 1111 1111 jan@bank.example");
        assert_eq!(both, [Personal::Email, Personal::PaymentCard, Personal::NationalNumber]);
    }

    #[test]
    fn what_intelligence_is_made_of_is_nobodys() {
        for text in [
            "198.51.100.7 2001:db8::4111:1111:1111:1111",
            "d41d8cd98f00b204e9800998ecf8427e 4111111111111111a e3b04111111111111111",
            "cve-2026-12345678901",
            "2026-11-23 10:00:00.000 20261123100000",
            "abuse@bank.example, SOC@bank.example and support+x@bank.example",
            "@handle npm@10.2.3 user@host",
            "https://cdn.example/attachments/1184578901234567890/118457890123456789/x.exe",
            "+1 -1 +5% a+32475123456",
            "BE68 5390 0754 7035",
            "AS64500 port 4444 pid 12345",
            "4111 1111 1111 1112 85.07.30-033.29",
            "7f000001-1111-4111-8111-111111111111",
            // As a number of a country's and an account of Belgium's would begin.
            "made of 00321234-5678-4abc-8131-2814dd493134",
            "https://misp.example/events/view/be685390-0754-7034-8131-2814dd493134",
            "BE685390-0754-7034-8131-2814DD493134",
            "version 02.123.45.67",
            // Pieces of something longer, each with an issuer's beginning and a good check digit.
            "0.4111111111111111 1.4111111111111111e5 -4111111111111111.5",
            "sample-4111111111111111 4111111111111111.exe 4111111111111111-part",
            "7f000001-4111111111111111-8111",
            "4111-1111 1111-1111 4111 1111  1111 1111",
            "4111 1111 1111 1111 2026 0815",
            "1024 4111 1111 1111 1111",
            "4006381333931 4222222222222",
            "41111111111111111 411111111111111 4111111111111111111",
            "1763800000000000 9999999999999995",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,80}|[0-9 +@./()BE-]{0,80}") {
            let _ = personal(&text);
        }

        #[test]
        fn a_register_number_is_found_in_any_prose(before in "[a-z ,:]{0,10}[ ,:(]", after in "[ ,.);:][a-z ,]{0,10}") {
            for number in ["85.07.30-033.28", "85073003328"] {
                let prose = format!("{before}{number}{after}");
                prop_assert!(personal(&prose).contains(&Personal::NationalNumber), "{}", prose);
            }
        }
    }
}
