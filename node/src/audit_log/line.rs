//! A line: an entry sealed into its place.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use belfry_proto::crypto::{
    pae::Pae,
    seal::{self, NONCE_LEN},
    secret::Secret,
};
use serde::{Serialize, Serializer};

use super::{DOMAIN, record::Record};

/// Bytes of the longest line that is looked at; ours are a few hundred.
pub(super) const LONGEST: u64 = 16 << 10;
/// First word of a segment.
const HEADING: &str = "belfry-audit-1";

/// The end of a chain: a hash over every line before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head([u8; 32]);

impl Head {
    /// Before the first line.
    pub(super) const NONE: Self = Self([0; 32]);
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for Head {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes)?;
        Ok(Self(bytes))
    }
}

impl Serialize for Head {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The entry as the line that follows `before`, and the head then.
pub(super) fn seal(key: &Secret, sequence: u64, before: Head, record: &Record) -> (String, Head) {
    // Cannot fail for texts and numbers; an empty entry would open as none.
    let plain = serde_json::to_vec(record).unwrap_or_default();
    let nonce: [u8; NONCE_LEN] = rand::random();
    let sealed = [nonce.as_slice(), &seal::seal(key, &nonce, &place(sequence, before), &plain)].concat();
    (format!("{sequence} {}\n", STANDARD_NO_PAD.encode(&sealed)), after(sequence, before, &sealed))
}

/// The entry of a line, without its end, if it is the one that follows `before`; and the head then.
pub(super) fn open(
    key: &Secret,
    sequence: u64,
    before: Head,
    line: &[u8],
) -> Result<(Record, Head), &'static str> {
    let line = std::str::from_utf8(line).map_err(|_| "is not text")?;
    let (number, sealed) = line.split_once(' ').ok_or("is no entry")?;
    if number != sequence.to_string() {
        return Err("is not the entry that follows: one is missing, or they were reordered");
    }
    let sealed = STANDARD_NO_PAD.decode(sealed).map_err(|_| "is not base64")?;
    let (nonce, body) = sealed.split_at_checked(NONCE_LEN).ok_or("is too short")?;
    let plain = seal::open(key, nonce, &place(sequence, before), body)
        .map_err(|_| "was altered, or does not follow the entry before it")?;
    let record = serde_json::from_slice(&plain).map_err(|_| "holds no entry that this belfry knows")?;
    Ok((record, after(sequence, before, &sealed)))
}

/// The first line of a segment.
pub(super) fn heading(first: u64, before: Head) -> String {
    format!("{HEADING} {first} {before}\n")
}

/// The number of a segment's first entry, and the head before it.
pub(super) fn read_heading(line: &[u8]) -> Option<(u64, Head)> {
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let (heading, first, before, end) = (words.next()?, words.next()?, words.next()?, words.next());
    if heading != HEADING || end.is_some() {
        return None;
    }
    Some((first.parse().ok()?, before.parse().ok()?))
}

fn place(sequence: u64, before: Head) -> Vec<u8> {
    Pae::new(DOMAIN).part(&before.0).number(sequence).into_bytes()
}

fn after(sequence: u64, before: Head, sealed: &[u8]) -> Head {
    Head(Pae::new(DOMAIN).part(&before.0).number(sequence).part(sealed).hash())
}
