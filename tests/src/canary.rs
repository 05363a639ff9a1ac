//! Words that occur nowhere else, searched for wherever they must not be: as they stand, and in the spellings of machines.

// A harness: what does not work ends the test.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::cast_possible_truncation)]

/// A word, and how it may be spelt.
#[derive(Debug)]
pub struct Canary {
    word: String,
    spellings: Vec<Vec<u8>>,
}

impl Canary {
    /// A word that occurs nowhere else.
    #[must_use]
    pub fn new(word: &str) -> Self {
        let mut spellings = vec![word.as_bytes().to_vec()];
        let hex: String = word.bytes().map(|byte| format!("{byte:02x}")).collect();
        spellings.extend([hex.to_uppercase().into_bytes(), hex.into_bytes()]);
        // As a Rust or JSON list of numbers, which is how derived `Debug` prints bytes.
        let numbers: Vec<String> = word.bytes().map(|byte| byte.to_string()).collect();
        spellings.extend([numbers.join(", ").into_bytes(), numbers.join(",").into_bytes()]);
        // Within a longer text the word may start at any of base64's three places; what surely lies inside is left.
        for before in 0..3 {
            for alphabet in [b"+/", b"-_"] {
                let encoded = base64(&[&vec![0; before], word.as_bytes()].concat(), *alphabet);
                spellings.push(encoded[4..encoded.len() - 4].to_vec());
            }
        }
        // Half a UUID may stand as the bytes it means.
        spellings.extend(bytes_meant(word));
        let wide: Vec<u8> = word.bytes().flat_map(|byte| [byte, 0]).collect();
        spellings.push(wide);
        Self { word: word.to_owned(), spellings }
    }

    /// As it was given.
    #[must_use]
    pub fn word(&self) -> &str {
        &self.word
    }

    /// Where in `bytes` it stands.
    #[must_use]
    pub fn found_in(&self, bytes: &[u8]) -> Option<usize> {
        self.spellings.iter().find_map(|spelling| find(bytes, spelling))
    }
}

fn bytes_meant(word: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = word.chars().map(|c| Some(c.to_digit(16)? as u8)).collect();
    Some(digits?.chunks(2).map(|pair| pair.iter().fold(0, |n, digit| n << 4 | digit)).collect())
}

/// Position of the first `needle`.
fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    let (first, rest) = needle.split_first().unwrap();
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|byte| byte == first) {
        if bytes[from + at + 1..].starts_with(rest) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

/// Base64 with these two last letters, without padding.
#[must_use]
pub fn base64(bytes: &[u8], last: [u8; 2]) -> Vec<u8> {
    let mut alphabet: Vec<u8> = (b'A'..=b'Z').chain(b'a'..=b'z').chain(b'0'..=b'9').collect();
    alphabet.extend(last);
    let mut out = Vec::new();
    for chunk in bytes.chunks(3) {
        let n = chunk.iter().fold(0_u32, |n, byte| n << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        out.extend((0..=chunk.len()).map(|i| alphabet[(n >> (18 - 6 * i)) as usize & 63]));
    }
    out
}
