//! The author's JSON with white space outside strings taken away, and nothing else changed.
//!
//! "Byte for byte" means exactly this: property order, escapes and the spelling of numbers stay, since
//! a hash or a signature inside the content may cover them. The same single pass refuses what parsers
//! disagree on (duplicate keys, NUL, lone surrogates) or choke on (depth, counts), before any tree exists.

use std::borrow::Cow;

use crate::limits::{MAX_BUNDLE, MAX_DEPTH, MAX_OBJECT};

/// Values (of any type, nested ones included) in one object.
///
/// ATT&CK's largest object has 7,300. A parsed tree takes up to 80 bytes a value, so that 512 KiB of
/// `[0,0,0,…]` would grow to 20 MB; this keeps it at 5.
pub const MAX_VALUES: usize = 64 * 1024;

/// Why bytes are not JSON that every parser reads alike.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {at}: {fault}")]
pub struct JsonError {
    /// Offset in the bytes given.
    pub at: usize,
    /// What is wrong there.
    pub fault: JsonFault,
}

/// What is wrong with a piece of JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonFault {
    /// Not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// Another token was due.
    #[error("expected {0}")]
    Expected(&'static str),
    /// A control character that JSON wants escaped.
    #[error("unescaped control character in a string")]
    ControlCharacter,
    /// An escape that JSON does not know.
    #[error("unknown escape in a string")]
    BadEscape,
    /// U+0000, which ends strings early in C.
    #[error("NUL character in a string")]
    Nul,
    /// Half of a UTF-16 pair.
    #[error("lone UTF-16 surrogate in a string")]
    LoneSurrogate,
    /// A key twice in one object.
    #[error("key {0:?} stands twice in one object")]
    DuplicateKey(String),
    /// Nested deeper than allowed.
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// More values than allowed.
    #[error("more than {MAX_VALUES} values")]
    TooManyValues,
    /// Longer than allowed once minified.
    #[error("longer than {0} bytes")]
    TooLong(usize),
    /// Something follows the value.
    #[error("text after the end of the value")]
    Trailing,
}

/// Minifies one JSON value of at most [`MAX_OBJECT`] bytes, white space not counted.
///
/// # Errors
/// [`JsonError`] with the offset, if it is not JSON or breaks a limit. Work and memory are linear in the input.
pub fn minify(bytes: &[u8]) -> Result<Vec<u8>, JsonError> {
    if bytes.len() > MAX_BUNDLE {
        return Err(JsonError { at: MAX_BUNDLE, fault: JsonFault::TooLong(MAX_BUNDLE) });
    }
    let mut scan = Scan::new(bytes)?;
    let mut out = Vec::with_capacity(bytes.len().min(MAX_OBJECT));
    scan.value(&mut out, MAX_OBJECT)?;
    scan.end()?;
    Ok(out)
}

/// A walk over JSON text, checking and copying as it goes.
pub(super) struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    values: usize,
}

impl<'a> Scan<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, JsonError> {
        match std::str::from_utf8(bytes) {
            Ok(_) => Ok(Self { bytes, at: 0, values: 0 }),
            Err(e) => Err(JsonError { at: e.valid_up_to(), fault: JsonFault::NotUtf8 }),
        }
    }

    /// Copies the next value to `out`, minified, with counts and depth starting afresh.
    pub(super) fn value(&mut self, out: &mut Vec<u8>, limit: usize) -> Result<(), JsonError> {
        self.values = 0;
        let limit = out.len().saturating_add(limit);
        self.nested(out, 1, limit)
    }

    /// Only white space is left.
    pub(super) fn end(&mut self) -> Result<(), JsonError> {
        self.white_space();
        if self.at == self.bytes.len() { Ok(()) } else { self.fault(JsonFault::Trailing) }
    }

    /// Takes `token` if it comes next.
    pub(super) fn take(&mut self, token: u8) -> bool {
        self.white_space();
        let found = self.peek() == Some(token);
        self.at += usize::from(found);
        found
    }

    /// Takes `token`, which must come next.
    pub(super) fn expect(&mut self, token: u8, what: &'static str) -> Result<(), JsonError> {
        if self.take(token) { Ok(()) } else { self.fault(JsonFault::Expected(what)) }
    }

    /// Takes a string and gives its decoded content.
    pub(super) fn text(&mut self) -> Result<Cow<'a, str>, JsonError> {
        self.white_space();
        let start = self.at;
        let escaped = self.string()?;
        let quoted = self.bytes.get(start..self.at).unwrap_or_default();
        if escaped {
            // Checked just now, so serde_json decodes it; were it not to, the key would differ from any other.
            return Ok(Cow::Owned(serde_json::from_slice(quoted).unwrap_or_default()));
        }
        let content = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
        Ok(Cow::Borrowed(std::str::from_utf8(content).unwrap_or_default()))
    }

    pub(super) fn fault<T>(&self, fault: JsonFault) -> Result<T, JsonError> {
        Err(JsonError { at: self.at, fault })
    }

    fn nested(&mut self, out: &mut Vec<u8>, depth: usize, limit: usize) -> Result<(), JsonError> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return self.fault(JsonFault::TooManyValues);
        }
        if depth > MAX_DEPTH {
            return self.fault(JsonFault::TooDeep);
        }
        self.white_space();
        match self.peek() {
            Some(b'{') => self.object(out, depth, limit)?,
            Some(b'[') => self.array(out, depth, limit)?,
            Some(b'"') => self.copy(out, |s| s.string().map(drop))?,
            Some(b'-' | b'0'..=b'9') => self.copy(out, Self::number)?,
            Some(b't') => self.copy(out, |s| s.literal(b"true"))?,
            Some(b'f') => self.copy(out, |s| s.literal(b"false"))?,
            Some(b'n') => self.copy(out, |s| s.literal(b"null"))?,
            _ => return self.fault(JsonFault::Expected("a JSON value")),
        }
        if out.len() > limit { self.fault(JsonFault::TooLong(limit)) } else { Ok(()) }
    }

    fn object(&mut self, out: &mut Vec<u8>, depth: usize, limit: usize) -> Result<(), JsonError> {
        self.at += 1;
        out.push(b'{');
        let mut keys = Vec::new();
        if !self.take(b'}') {
            loop {
                self.white_space();
                let start = self.at;
                keys.push(self.text()?);
                out.extend_from_slice(self.bytes.get(start..self.at).unwrap_or_default());
                self.expect(b':', "a colon")?;
                out.push(b':');
                self.nested(out, depth + 1, limit)?;
                if self.take(b'}') {
                    break;
                }
                self.expect(b',', "a comma or a closing brace")?;
                out.push(b',');
            }
        }
        out.push(b'}');
        keys.sort_unstable();
        match keys.windows(2).find_map(|pair| pair.first().filter(|&key| pair.last() == Some(key))) {
            Some(key) => self.fault(JsonFault::DuplicateKey(key.chars().take(64).collect())),
            None => Ok(()),
        }
    }

    fn array(&mut self, out: &mut Vec<u8>, depth: usize, limit: usize) -> Result<(), JsonError> {
        self.at += 1;
        out.push(b'[');
        if !self.take(b']') {
            loop {
                self.nested(out, depth + 1, limit)?;
                if self.take(b']') {
                    break;
                }
                self.expect(b',', "a comma or a closing bracket")?;
                out.push(b',');
            }
        }
        out.push(b']');
        Ok(())
    }

    /// Takes a string; true if it holds an escape.
    fn string(&mut self) -> Result<bool, JsonError> {
        if self.peek() != Some(b'"') {
            return self.fault(JsonFault::Expected("a string"));
        }
        self.at += 1;
        let mut escaped = false;
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let plain = rest.iter().position(|b| matches!(b, b'"' | b'\\' | 0..=0x1f));
            self.at += plain.unwrap_or(rest.len());
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(0) => return self.fault(JsonFault::Nul),
                Some(_) => return self.fault(JsonFault::ControlCharacter),
                None => return self.fault(JsonFault::Expected("the end of a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u') => match self.unit()? {
                0 => self.fault(JsonFault::Nul),
                0xdc00..=0xdfff => self.fault(JsonFault::LoneSurrogate),
                0xd800..=0xdbff if self.bytes.get(self.at..self.at + 2) != Some(b"\\u") => {
                    self.fault(JsonFault::LoneSurrogate)
                }
                0xd800..=0xdbff => match self.unit()? {
                    0xdc00..=0xdfff => Ok(()),
                    _ => self.fault(JsonFault::LoneSurrogate),
                },
                _ => Ok(()),
            },
            _ => self.fault(JsonFault::BadEscape),
        }
    }

    /// Takes `\uXXXX`.
    fn unit(&mut self) -> Result<u32, JsonError> {
        let digits = self.bytes.get(self.at + 2..self.at + 6).unwrap_or_default();
        let mut unit = 0;
        for &digit in digits {
            match char::from(digit).to_digit(16) {
                Some(digit) => unit = unit * 16 + digit,
                None => return self.fault(JsonFault::BadEscape),
            }
        }
        if digits.len() < 4 {
            return self.fault(JsonFault::BadEscape);
        }
        self.at += 6;
        Ok(unit)
    }

    fn number(&mut self) -> Result<(), JsonError> {
        self.at += usize::from(self.peek() == Some(b'-'));
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        match rest.iter().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len()) {
            0 => self.fault(JsonFault::Expected("a digit")),
            n => {
                self.at += n;
                Ok(())
            }
        }
    }

    fn literal(&mut self, literal: &[u8]) -> Result<(), JsonError> {
        if self.bytes.get(self.at..self.at + literal.len()) != Some(literal) {
            return self.fault(JsonFault::Expected("a JSON value"));
        }
        self.at += literal.len();
        Ok(())
    }

    fn copy(
        &mut self,
        out: &mut Vec<u8>,
        token: impl FnOnce(&mut Self) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        let start = self.at;
        token(self)?;
        out.extend_from_slice(self.bytes.get(start..self.at).unwrap_or_default());
        Ok(())
    }

    fn white_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn fault(text: &[u8]) -> JsonFault {
        minify(text).unwrap_err().fault
    }

    #[test]
    fn only_white_space_outside_strings_goes() {
        let author = b" { \"b\" : [ 1.0 , -0e+1 , \"a b\\u0041\\/ \\\\\" ] ,\r\n\t\"a\":{ } , \"c\" : [ ] } ";
        assert_eq!(minify(author).unwrap(), br#"{"b":[1.0,-0e+1,"a b\u0041\/ \\"],"a":{},"c":[]}"#);
    }

    #[test]
    fn duplicate_keys_are_refused_at_any_depth_and_in_any_spelling() {
        assert_eq!(fault(br#"{"a":1,"b":2,"a":3}"#), JsonFault::DuplicateKey("a".into()));
        assert_eq!(fault(br#"[{"x":{"id":1,"\u0069d":2}}]"#), JsonFault::DuplicateKey("id".into()));
    }

    #[test]
    fn nul_broken_utf8_and_lone_surrogates_are_refused() {
        assert_eq!(fault(br#""a\u0000""#), JsonFault::Nul);
        assert_eq!(fault(b"\"a\0\""), JsonFault::Nul);
        assert_eq!(fault(b"\"\xff\""), JsonFault::NotUtf8);
        assert_eq!(fault(br#""\ud800""#), JsonFault::LoneSurrogate);
        assert_eq!(fault(br#""\ud800\u0041""#), JsonFault::LoneSurrogate);
        assert_eq!(fault(br#""\udc00""#), JsonFault::LoneSurrogate);
        assert!(minify(br#""\ud83d\ude00""#).is_ok());
    }

    #[test]
    fn depth_counts_and_length_are_bounded() {
        let nested = |n: usize| [b"[".repeat(n), b"]".repeat(n)].concat();
        assert!(minify(&nested(MAX_DEPTH)).is_ok());
        assert_eq!(fault(&nested(MAX_DEPTH + 1)), JsonFault::TooDeep);
        assert_eq!(fault(&b"[".repeat(10_000_000)), JsonFault::TooDeep);
        let many = [b"[0".to_vec(), b",0".repeat(MAX_VALUES), b"]".to_vec()].concat();
        assert_eq!(fault(&many), JsonFault::TooManyValues);
        // And what lies behind is not looked at, however much it is.
        let read = |text: &[u8]| minify(text).unwrap_err().at;
        assert_eq!(read(&b"[".repeat(10_000_000)), MAX_DEPTH);
        assert_eq!(read(&[b"[0".to_vec(), b",0".repeat(50 * MAX_VALUES)].concat()), read(&many));
        let long = format!("\"{}\"", "a".repeat(MAX_OBJECT));
        assert_eq!(fault(long.as_bytes()), JsonFault::TooLong(MAX_OBJECT));
    }

    #[test]
    fn near_json_is_refused() {
        for text in [
            "",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "{a:1}",
            "01",
            "1.",
            "+1",
            "nul",
            "\"a",
            "1 2",
            "'a'",
            "// x",
            "\"\\x\"",
        ] {
            assert!(minify(text.as_bytes()).is_err(), "{text}");
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[^\0]*".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 40, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::btree_map("[^\0]{0,8}", inner, 0..6)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn minified_and_pretty_json_come_out_alike(value in json()) {
            let compact = serde_json::to_vec(&value).unwrap();
            prop_assert_eq!(&minify(&compact).unwrap(), &compact);
            prop_assert_eq!(minify(&serde_json::to_vec_pretty(&value).unwrap()).unwrap(), compact);
        }

        #[test]
        fn what_passes_is_what_serde_json_reads(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(out) = minify(&bytes) {
                prop_assert_eq!(minify(&out).unwrap(), out.clone());
                if let Ok(value) = serde_json::from_slice::<Value>(&bytes) {
                    prop_assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), value);
                }
            }
        }

        #[test]
        fn near_json_never_panics(text in "[\\[\\]{}\",:0-9eE.+\\-tfn\\\\u \n]{0,40}") {
            let ours = minify(text.as_bytes()).is_ok();
            if ours && serde_json::from_str::<Value>(&text).is_err() {
                // The one difference: a number that no double holds.
                prop_assert!(text.contains(['e', 'E']) || text.len() > 20);
            }
        }
    }
}
