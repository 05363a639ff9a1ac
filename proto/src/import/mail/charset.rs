//! What bytes mean, in the encodings that mails are written in (WHATWG Encoding).

use encoding_rs::{Encoding, UTF_8};

/// An encoding of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Charset(&'static Encoding);

impl Default for Charset {
    fn default() -> Self {
        Self(UTF_8)
    }
}

impl Charset {
    /// The one of a name; `None` if it is none.
    pub(super) fn named(name: &str) -> Option<Self> {
        // Who says ASCII and has other bytes means the usual one, and not what browsers take it for.
        if ["us-ascii", "ascii"].iter().any(|ascii| name.eq_ignore_ascii_case(ascii)) {
            return Some(Self(UTF_8));
        }
        Encoding::for_label_no_replacement(name.as_bytes()).map(Self)
    }

    /// Bytes as text; what is none becomes replacement signs.
    pub(super) fn text(self, bytes: &[u8]) -> String {
        let (text, _) = self.0.decode_without_bom_handling(bytes);
        text.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_encoding_has_its_signs_and_bytes_that_stand_for_nothing_are_told() {
        for (name, bytes, text) in [
            ("UTF-8", b"caf\xc3\xa9 \xff!".as_slice(), "café \u{fffd}!"),
            ("us-ascii", b"caf\xc3\xa9", "café"),
            // ISO 8859-1 is what windows-1252 is a part of.
            ("ISO-8859-1", b"caf\xe9 \x80", "café €"),
            ("windows-1252", b"\x8c\x91x\x92 \x9f\xff", "Œ‘x’ Ÿÿ"),
            ("iso-8859-15", b"\xa4\xbd\xe9", "€œé"),
            ("koi8-r", b"\xc1\xc2", "аб"),
            ("Shift_JIS", b"\x83\x65\x81", "テ\u{fffd}"),
            ("gb2312", b"\xd6\xd0", "中"),
        ] {
            assert_eq!(Charset::named(name).unwrap().text(bytes), text, "{name}");
        }
        assert_eq!(Charset::named("x-own"), None);
    }
}
