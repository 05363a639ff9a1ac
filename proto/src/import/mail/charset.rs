//! What bytes mean, in the encodings that mails to here are written in.

/// An encoding of text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Charset {
    #[default]
    Utf8,
    /// ISO 8859-1 too: who says so means this one (WHATWG Encoding §4.2).
    Windows1252,
    /// ISO 8859-15, with the euro sign.
    Latin9,
}

/// What windows-1252 has at 0x80 to 0x9f; five stand for nothing.
const WINDOWS: [char; 32] = [
    '€', '\u{fffd}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{fffd}', 'Ž', '\u{fffd}',
    '\u{fffd}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{fffd}', 'ž', 'Ÿ',
];

impl Charset {
    /// The one of a name; `None` if it is none of these.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "utf-8" | "utf8" | "us-ascii" | "ascii" => Self::Utf8,
            "iso-8859-1" | "iso8859-1" | "iso_8859-1" | "latin1" | "windows-1252" | "cp1252" => {
                Self::Windows1252
            }
            "iso-8859-15" | "iso8859-15" | "iso_8859-15" | "latin9" => Self::Latin9,
            _ => return None,
        })
    }

    /// Bytes as text; what is none becomes one replacement sign each.
    pub(super) fn text(self, bytes: &[u8]) -> String {
        match self {
            Self::Utf8 => String::from_utf8_lossy(bytes).into_owned(),
            Self::Windows1252 => bytes.iter().map(|byte| windows(*byte)).collect(),
            Self::Latin9 => bytes.iter().map(|byte| latin9(*byte)).collect(),
        }
    }
}

fn windows(byte: u8) -> char {
    let special = byte.checked_sub(0x80).and_then(|at| WINDOWS.get(usize::from(at)));
    special.copied().unwrap_or(char::from(byte))
}

fn latin9(byte: u8) -> char {
    match byte {
        0xa4 => '€',
        0xa6 => 'Š',
        0xa8 => 'š',
        0xb4 => 'Ž',
        0xb8 => 'ž',
        0xbc => 'Œ',
        0xbd => 'œ',
        0xbe => 'Ÿ',
        _ => char::from(byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_encoding_has_its_signs_and_bytes_that_stand_for_nothing_are_told() {
        for (name, bytes, text) in [
            ("UTF-8", b"caf\xc3\xa9 \xff!".as_slice(), "café \u{fffd}!"),
            ("us-ascii", b"cafe", "cafe"),
            ("ISO-8859-1", b"caf\xe9 \x80", "café €"),
            ("windows-1252", b"\x8c\x91x\x92 \x9f\xff \x81", "Œ‘x’ Ÿÿ \u{fffd}"),
            ("iso-8859-15", b"\xa4\xbd\xe9", "€œé"),
        ] {
            assert_eq!(Charset::named(name).unwrap().text(bytes), text, "{name}");
        }
        assert_eq!(Charset::named("koi8-r"), None);
    }
}
