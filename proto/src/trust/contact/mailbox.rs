//! What a mailbox of a function may say: addresses, numbers and names of a plain shape, which nobody has to quote and which
//! steer no terminal. One function asks it, at whoever signs a record and at whoever reads one.

use super::WHAT;
use crate::{
    limits::{MAX_CONTACT_TEXT, MAX_MAILBOXES},
    schema::{ContactRole, Mailbox, Malformed},
};

/// Languages of one mailbox.
const MAX_LANGUAGES: usize = 8;

/// Checks mailboxes: before anything is signed, and whenever they are read.
///
/// # Errors
/// [`Malformed`], the first rule that breaks.
pub fn check(mailboxes: &[Mailbox]) -> Result<(), Malformed> {
    if mailboxes.len() > MAX_MAILBOXES {
        return Err(Malformed::field(WHAT, "mailboxes", "must be at most 8"));
    }
    mailboxes.iter().try_for_each(check_mailbox)
}

fn check_mailbox(mailbox: &Mailbox) -> Result<(), Malformed> {
    let field = |field, rule| Err(Malformed::field("Mailbox", field, rule));
    let Mailbox { role, email, url, phone, openpgp, key_url, languages, hours } = mailbox;
    if !ContactRole::try_from(*role).is_ok_and(|role| role != ContactRole::Unspecified) {
        return field("role", "must be incident, abuse, vulnerability, privacy, legal or admin");
    }
    for (name, text) in
        [("email", email), ("url", url), ("phone", phone), ("key_url", key_url), ("hours", hours)]
    {
        if text.len() > MAX_CONTACT_TEXT {
            return field(name, "must be at most 256 bytes");
        }
    }
    if email.is_empty() && url.is_empty() {
        return field("email", "must be set, or url");
    }
    if !email.is_empty() && !is_email(email) {
        return field("email", "must be an address such as csirt@bank.example");
    }
    for (name, text) in [("url", url), ("key_url", key_url)] {
        if !text.is_empty() && !is_url(text) {
            return field(name, "must begin with https:// and a host name, without user and white space");
        }
    }
    if !phone.is_empty() && !is_phone(phone) {
        return field("phone", "must be an international number such as +32 2 123 45 67");
    }
    if !matches!(openpgp.len(), 0 | 20 | 32) {
        return field("openpgp", "must be a fingerprint of 20 or 32 bytes");
    }
    if languages.len() > MAX_LANGUAGES || !languages.iter().all(|tag| is_language(tag)) {
        return field("languages", "must be at most 8 tags such as nl or fr-BE");
    }
    if !hours.chars().all(|c| c == ' ' || c.is_alphanumeric() || c.is_ascii_punctuation()) {
        return field("hours", "must be letters, digits, spaces and ASCII punctuation");
    }
    Ok(())
}

/// A dot-atom at a host name (RFC 5322 §3.4.1): no quoting, no comments, no address literals.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let is_atom = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b))
    };
    // RFC 5321 §4.5.3.1.
    text.len() <= 254 && local.len() <= 64 && local.split('.').all(is_atom) && is_host(domain)
}

/// A name of at least two labels, in its ASCII form.
fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    text.len() <= 253 && text.contains('.') && text.split('.').all(is_label)
}

fn is_url(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("https://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let (host, port) = authority.split_once(':').unwrap_or((authority, "443"));
    let is_plain = |b: u8| b.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&b);
    // Digits alone: the parser takes a sign, too.
    is_host(host)
        && port.bytes().all(|b| b.is_ascii_digit())
        && port.parse::<u16>().is_ok_and(|port| port > 0)
        && rest.bytes().all(is_plain)
}

/// ITU-T E.164: a plus and seven to fifteen digits, in groups.
fn is_phone(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('+') else { return false };
    let digits = rest.bytes().filter(u8::is_ascii_digit).count();
    let is_plain = |b: u8| b.is_ascii_digit() || b" ()-./".contains(&b);
    rest.starts_with(|c: char| c.is_ascii_digit()) && rest.bytes().all(is_plain) && (7..=15).contains(&digits)
}

/// The shape of a tag of RFC 5646, not whether there is such a language.
fn is_language(text: &str) -> bool {
    let mut tags = text.split('-');
    let first = tags.next().unwrap_or_default();
    text.len() <= 35
        && (2..=3).contains(&first.len())
        && first.bytes().all(|b| b.is_ascii_alphabetic())
        && tags.all(|tag| (1..=8).contains(&tag.len()) && tag.bytes().all(|b| b.is_ascii_alphanumeric()))
}
