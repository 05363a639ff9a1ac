//! Addresses, ranges and host names in canonical form.

use std::net::IpAddr;

use crate::stix::observable::Kind;

/// RFC 1035 §2.3.4.
const MAX_LABEL: usize = 63;
/// RFC 1035 §2.3.4, without the root's dot.
const MAX_NAME: usize = 253;

/// Where a name or an address points.
pub(super) enum Host {
    Address(Kind, String),
    Name(String),
}

/// An address, or a range with the bits behind its prefix cleared; IPv4 in IPv6 becomes IPv4.
pub(super) fn address(text: &str) -> Option<(Kind, String)> {
    let (text, prefix) = match text.split_once('/') {
        Some((text, prefix)) => (text, Some(prefix)),
        None => (text, None),
    };
    let given: IpAddr = text.parse().ok()?;
    let address = given.to_canonical();
    let (kind, bits) = if address.is_ipv4() { (Kind::Ipv4, 32) } else { (Kind::Ipv6, 128) };
    let Some(prefix) = prefix else { return Some((kind, address.to_string())) };
    if prefix.is_empty() || prefix.len() > 3 || !prefix.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // A mapped address counts its prefix from the start of IPv6's 128 bits.
    let mapped = if given.is_ipv6() && address.is_ipv4() { 96 } else { 0 };
    let prefix = prefix.parse::<u32>().ok()?.checked_sub(mapped).filter(|&prefix| prefix <= bits)?;
    let masked = match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(bits - prefix).unwrap_or(0);
            IpAddr::from((v4.to_bits() & mask).to_be_bytes())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(bits - prefix).unwrap_or(0);
            IpAddr::from((v6.to_bits() & mask).to_be_bytes())
        }
    };
    let range = if prefix == bits { masked.to_string() } else { format!("{masked}/{prefix}") };
    Some((kind, range))
}

/// A host name in lower case, labels beyond ASCII as punycode, or the address it really is.
pub(super) fn host(text: &str) -> Option<Host> {
    if let Ok(given) = text.parse::<IpAddr>() {
        let (kind, value) = address(&given.to_string())?;
        return Some(Host::Address(kind, value));
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    // A sign of four bytes is one in ASCII, at least.
    if name.len() > 4 * MAX_NAME {
        return None;
    }
    let labels: Option<Vec<String>> = name.split('.').map(label).collect();
    let name = labels?.join(".");
    (name.len() <= MAX_NAME).then_some(Host::Name(name))
}

/// `None` for what no host name holds. Characters that full IDNA would map or refuse are left as they are:
/// the value is then found by the same spelling only.
fn label(text: &str) -> Option<String> {
    let text = text.to_lowercase();
    let plain = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if text.is_empty() || text.len() > 4 * MAX_LABEL || !text.chars().all(plain) {
        return None;
    }
    if text.is_ascii() {
        return (text.len() <= MAX_LABEL).then_some(text);
    }
    // Full-width forms are alphanumeric too, but IDNA maps them to ASCII.
    let simple = |c: char| c.is_ascii() || (c.is_alphanumeric() && !('\u{ff00}'..='\u{ffef}').contains(&c));
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return None;
    }
    match text.chars().all(simple).then(|| punycode(&text)).flatten() {
        Some(ascii) => Some(format!("xn--{ascii}")).filter(|label| label.len() <= MAX_LABEL),
        None => Some(text),
    }
}

/// RFC 3492 §6.3.
fn punycode(text: &str) -> Option<String> {
    const BASE: u32 = 36;
    const FIRST: u32 = 128;
    let mut out: String = text.chars().filter(char::is_ascii).collect();
    let basic = u32::try_from(out.len()).ok()?;
    let total = u32::try_from(text.chars().count()).ok()?;
    if basic > 0 {
        out.push('-');
    }
    let (mut n, mut delta, mut bias, mut handled) = (FIRST, 0_u32, 72, basic);
    while handled < total {
        let next = text.chars().map(u32::from).filter(|&c| c >= n).min()?;
        delta = delta.checked_add((next - n).checked_mul(handled + 1)?)?;
        n = next;
        for c in text.chars().map(u32::from) {
            if c < n {
                delta = delta.checked_add(1)?;
            }
            if c != n {
                continue;
            }
            let mut q = delta;
            let mut k = BASE;
            loop {
                let threshold = k.saturating_sub(bias).clamp(1, 26);
                if q < threshold {
                    break;
                }
                out.push(digit(threshold + (q - threshold) % (BASE - threshold))?);
                q = (q - threshold) / (BASE - threshold);
                k += BASE;
            }
            out.push(digit(q)?);
            bias = adapt(delta, handled + 1, handled == basic);
            delta = 0;
            handled += 1;
        }
        delta = delta.checked_add(1)?;
        n += 1;
    }
    Some(out)
}

fn digit(value: u32) -> Option<char> {
    char::from_digit(value, 36).map(|c| match c {
        // Punycode counts a to z, then 0 to 9.
        '0'..='9' => char::from(b'a' + (c as u8 - b'0')),
        'a'..='p' => char::from(b'k' + (c as u8 - b'a')),
        _ => char::from(b'0' + (c as u8 - b'q')),
    })
}

fn adapt(delta: u32, points: u32, first: bool) -> u32 {
    let mut delta = if first { delta / 700 } else { delta / 2 };
    delta += delta / points;
    let mut k = 0;
    while delta > 455 {
        delta /= 35;
        k += 36;
    }
    k + 36 * delta / (delta + 38)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn punycode_matches_the_samples_of_rfc_3492() {
        for (text, ascii) in [
            ("bücher", "bcher-kva"),
            ("他们为什么不说中文", "ihqwcrb4cv8a8dqg056pqjye"),
            ("почемужеонинеговорятпорусски", "b1abfaaepdrnnbgefbadotcwatmq2g4l"),
            ("3年b組金八先生", "3b-ww4c5e180e575a65lsy2b"),
            ("tạisaohọkhôngthểchỉnóitiếngviệt", "tisaohkhngthchnitingvit-kjcr8268qyxafd2f1b9g"),
        ] {
            assert_eq!(punycode(text).as_deref(), Some(ascii));
        }
    }

    #[test]
    fn names_that_need_full_idna_stay_as_they_are() {
        assert!(matches!(host("e\u{301}.example"), Some(Host::Name(name)) if name == "e\u{301}.example"));
        assert!(matches!(host("ａ.example"), Some(Host::Name(name)) if name == "ａ.example"));
    }

    #[test]
    fn over_long_labels_and_names_are_refused() {
        assert!(host(&"a".repeat(64)).is_none());
        assert!(host(&["a".repeat(63).as_str(); 4].join(".")).is_none());
        // Sixty-three letters, but more once in ASCII.
        assert!(host(&"ü".repeat(63)).is_none());
    }
}
