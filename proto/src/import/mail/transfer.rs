//! How parts are encoded to be sent (RFC 2045 §6).

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

/// Mail programs pad, and whoever pastes may lose the end.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// How the lines of a part are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Plain,
    Quoted,
    Base64,
}

impl Encoding {
    /// The one that a header names; any other changes nothing.
    pub(super) fn named(word: &str) -> Self {
        if word.eq_ignore_ascii_case("quoted-printable") {
            Self::Quoted
        } else if word.eq_ignore_ascii_case("base64") {
            Self::Base64
        } else {
            Self::Plain
        }
    }
}

/// The bytes that digits without white space stand for; `None` if they are none.
pub(super) fn base64(digits: &str) -> Option<Vec<u8>> {
    BASE64.decode(digits).ok()
}

/// `=3D` is `=`; a sign that ends lines or steers becomes a blank. What is no sign stays as it is.
pub(super) fn unquote(line: &str, out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(byte) = line.as_bytes().get(at).copied() {
        let meant = if byte == b'=' { meant(line, at + 1) } else { None };
        out.push(meant.map_or(byte, |meant| meant.max(b' ')));
        at += if meant.is_some() { 3 } else { 1 };
    }
}

/// The byte that two digits stand for.
pub(super) fn meant(text: &str, at: usize) -> Option<u8> {
    let digits =
        text.get(at..at + 2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
    u8::from_str_radix(digits, 16).ok()
}
