//! Values in prose: what a pasted report, mail or list speaks of.

use std::borrow::Cow;

use super::{Kind, Observable, endpoint::Endpoint, refang, schemeless};

/// Bytes of a word beyond which it is a list without blanks: no URL that anybody can use is as long.
const MAX_WORD: usize = 8 << 10;

/// How a value stands in its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stands {
    /// Defanged, or with its scheme: its author meant a value.
    Meant,
    /// As it is; a domain may be a file's name or two words without a blank.
    Bare,
    /// As the host of something more, as of `evil.example/a`.
    Host,
}

/// A value that a text speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spoken {
    /// Itself.
    pub value: Observable,
    /// How it stands there.
    pub stands: Stands,
    /// The port behind it, as in `198.51.100.7:443`.
    pub port: Option<u16>,
}

/// The values that `text` speaks of, in order, repeated ones too. Work is linear in the text.
pub fn values(text: &str) -> impl Iterator<Item = Spoken> + '_ {
    text.split(is_gap)
        .flat_map(|word| cut(word, &[',', ';']))
        .flat_map(|word| cut(word, if word.contains("://") { &[] } else { &['='] }))
        .filter(|word| word.len() > 2)
        .flat_map(of_word)
}

/// `word`, or the parts of one that is too long to be one.
fn cut<'a>(word: &'a str, ends: &'static [char]) -> impl Iterator<Item = &'a str> {
    let ends: &[char] = if word.len() > MAX_WORD { ends } else { &[] };
    word.split(ends)
}

/// What stands between words and in no value; commas and semicolons stand in URLs.
fn is_gap(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '"' | '\'' | '<' | '>' | '`' | '|' | '“' | '”' | '„' | '«' | '»' | '‘' | '’')
}

fn of_word(word: &str) -> Vec<Spoken> {
    let word = opened(word);
    let plain = fanged(word);
    if plain.contains("://") {
        return one(&plain, word).into_iter().collect();
    }
    // No defanging has one of these in it: there are as many parts as before it was undone.
    let ends = [',', ';', '='];
    plain.split(ends).zip(word.split(ends)).filter_map(|(part, given)| one(part, given)).collect()
}

/// `word` without brackets in front.
fn opened(word: &str) -> &str {
    let word = word.trim_start_matches(['(', '{', '*', '-', '•', ',', ';', ':']);
    match word.strip_prefix('[') {
        // The first label of a defanged name has no dot before it; an address before its port stands in brackets.
        Some(rest) if !word.starts_with("[.") && !is_before_port(rest) => rest,
        _ => word,
    }
}

/// `word` with defanging undone.
fn fanged(word: &str) -> Cow<'_, str> {
    if word.contains(['[', '(', '{']) || word.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("hxxp"))
    {
        Cow::Owned(refang(word))
    } else {
        Cow::Borrowed(word)
    }
}

/// Whether a bracket closes before a port.
fn is_before_port(text: &str) -> bool {
    let behind = text.split_once("]:").map(|(_, behind)| behind);
    behind.is_some_and(|behind| behind.starts_with(|c: char| c.is_ascii_digit()))
}

/// The value in `part`, which was written as `given`.
fn one(part: &str, given: &str) -> Option<Spoken> {
    let text = trimmed(part);
    if text.len() < 3 {
        return None;
    }
    let told = |value: Observable, port: Option<u16>| {
        let is_defanged = !given.contains(text);
        let stands = if is_defanged || value.kind() == Kind::Url { Stands::Meant } else { Stands::Bare };
        Spoken { value, stands, port }
    };
    let whole = |text: &str| match Endpoint::guess(text) {
        Some(Endpoint { host, port }) => Some(told(host, Some(port))),
        // In prose a host with a path and no scheme is a site spoken of as well as a URL to look for.
        None => Observable::guess(text)
            .filter(|value| value.kind() != Kind::Url || schemeless::has_scheme(text))
            .map(|value| told(value, None)),
    };
    let only_host = |value: Observable| Spoken { value, stands: Stands::Host, port: None };
    let named = |host: &str| host.contains('.').then(|| Observable::guess(host)).flatten();
    if let Some(spoken) = whole(text) {
        return Some(spoken);
    }
    if let Some((host, port)) = text.split_once(':')
        && !port.is_empty()
        && port.bytes().all(|byte| byte.is_ascii_digit())
        && let Some(value) = named(host)
    {
        // A port that is none, or one behind a mailbox.
        return Some(only_host(value));
    }
    // `evil.example:443/a` names a host; a label before a value, as in `IP:198.51.100.7`, names nothing.
    let host = text.split(['/', ':']).next().unwrap_or_default();
    if let Some(value) = named(host).filter(|value| value.kind() != Kind::Email) {
        return Some(only_host(value));
    }
    let (_, behind) = text.split_once(':')?;
    whole(trimmed(behind))
}

/// Without the punctuation that ends a sentence, and without a closing bracket that nothing opens.
fn trimmed(text: &str) -> &str {
    let count = |sign: char| text.matches(sign).count();
    // How many more of each close than open, counted once: a text may be nothing but brackets.
    let mut surplus = [('(', ')'), ('[', ']'), ('{', '}')]
        .map(|(open, close)| (close, count(close).saturating_sub(count(open))));
    let mut rest = text;
    while let Some(end) = rest.chars().next_back() {
        let is_end = match surplus.iter_mut().find(|(close, _)| *close == end) {
            Some((_, 0)) => false,
            Some((_, more)) => {
                *more -= 1;
                true
            }
            None => matches!(end, '.' | ',' | ';' | ':' | '!' | '?' | '*' | '…'),
        };
        match rest.strip_suffix(end) {
            Some(shorter) if is_end => rest = shorter,
            _ => break,
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(text: &str) -> Vec<String> {
        let told = |Spoken { value, stands, port }: Spoken| {
            let port = port.map(|port| format!(" at {port}")).unwrap_or_default();
            format!("{} {stands:?}{port}", value.value())
        };
        values(text).map(told).collect()
    }

    #[test]
    fn values_are_found_in_what_people_paste() {
        for (text, expected) in [
            ("seen at hxxps://evil[.]example/a,b (again).", "https://evil.example/a,b Meant"),
            ("(evil[.]example)", "evil.example Meant"),
            ("[198.51.100.7]", "198.51.100.7 Bare"),
            ("C2: 198[.]51[.]100[.]7.", "198.51.100.7 Meant"),
            ("IP:198.51.100.7", "198.51.100.7 Bare"),
            ("198.51.100.7:443", "198.51.100.7 Bare at 443"),
            ("(198[.]51[.]100[.]7[:]443)", "198.51.100.7 Meant at 443"),
            ("C2:198.51.100.7:443.", "198.51.100.7 Bare at 443"),
            ("evil[.]example:8080,", "evil.example Meant at 8080"),
            ("[2001:db8::1]:443", "2001:db8::1 Bare at 443"),
            ("[198.51.100.7]:", "198.51.100.7 Bare"),
            ("198.51.100.7:99999", "198.51.100.7 Host"),
            ("x@evil.example:25", "x@evil.example Host"),
            ("evil.example:443/a", "evil.example Host"),
            ("evil.example/path", "evil.example Host"),
            ("evil.example/?to=http://b.example", "evil.example Host"),
            ("sha256=D41D8CD98F00B204E9800998ECF8427E", "d41d8cd98f00b204e9800998ecf8427e Bare"),
            ("From: \"X\" <x@evil.example>", "x@evil.example Bare"),
            ("http://[2001:db8::1]/x", "http://[2001:db8::1]/x Meant"),
            ("https://wiki.example/a_(b)", "https://wiki.example/a_(b) Meant"),
            ("CVE-2026-0001, and", "CVE-2026-0001 Bare"),
        ] {
            assert_eq!(found(text), [expected], "{text}");
        }
        assert_eq!(found("a.example;b.example,198.51.100.7").len(), 3);
        assert!(found("Nothing here, at 10:30 on 2026-11-23: 42% of it (or 3.5)!").is_empty());
    }

    #[test]
    fn each_part_of_a_list_is_as_it_was_written_itself() {
        assert_eq!(
            found("evil[.]example,b.example,evil.example;c=198[.]51[.]100[.]7"),
            ["evil.example Meant", "b.example Bare", "evil.example Bare", "198.51.100.7 Meant"]
        );
        assert_eq!(found("(a[.]example)).)!"), ["a.example Meant"]);
    }

    /// Were a word gone through anew for each of its signs or parts, none of these would end.
    #[test]
    fn a_word_of_any_length_is_read_in_one_pass() {
        assert!(found(&format!("a{}", ")".repeat(3_000_000))).is_empty());
        assert!(found(&format!("a{}", ").".repeat(1_500_000))).is_empty());
        let address = |n: u32| std::net::Ipv4Addr::from(0x0b00_0000 + n).to_string();
        for (between, scheme) in [(",", ""), (";", ""), ("=", ""), (",", "http://")] {
            let list: Vec<String> = (0..200_000).map(|n| format!("{scheme}{}", address(n))).collect();
            let spoken: Vec<Spoken> = values(&list.join(between)).collect();
            assert_eq!(spoken.len(), list.len(), "{between}");
            let stands = if scheme.is_empty() { Stands::Bare } else { Stands::Meant };
            assert!(spoken.iter().all(|one| one.stands == stands), "{between}");
        }
    }

    #[test]
    fn a_short_word_with_a_comma_in_its_url_is_one_and_a_long_one_a_list() {
        assert_eq!(found("http://evil.example/a,b"), ["http://evil.example/a,b Meant"]);
        let list = ["http://evil.example/a"; 1_000].join(",");
        assert_eq!(found(&list), ["http://evil.example/a Meant"; 1_000]);
    }

    proptest! {
        #[test]
        fn every_defanged_value_comes_out_as_it_was(host in "[a-z]{3,8}\\.example", before in "(see |at )", after in "[.,;:]? ?") {
            let told = format!("{before}{}{after}", host.replace('.', "[.]"));
            prop_assert_eq!(found(&told), [format!("{host} Meant")]);
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,60}|[\\[\\](){}.:/@a1 ]{0,40}") {
            let _ = found(&text);
        }
    }
}
