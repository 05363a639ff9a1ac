//! Bombs: how soon what is made to cost much is refused.
//!
//! Small inputs that would become large, deep or many. Some come in a message, from a member that holds a group's key;
//! some in a file that a tool hands in. Each is timed from its bytes to the refusal. The floor is the dearest that a
//! message may honestly be: one of nearly a payload's full size, from its bytes to its parsed objects. Bombs and floor
//! alternate.

use std::time::Instant;

use anyhow::{Context as _, ensure};
use belfry_proto::{
    crypto::{hash, pad::pad, pae::Pae, seal},
    envelope::{ContentKey, decode},
    import::{Format, Import, Options},
    limits::{MAX_BUNDLE, MAX_BUNDLE_OBJECTS, MAX_IMPORT_OBJECTS, MAX_OBJECT, MAX_PAYLOAD},
    schema::{self, Role},
    stix::{Bundle, Object, observable::pattern},
};
use clap::Args;
use prost::Message as _;
use serde_json::{Map, Value, json};

use crate::{
    coalition::Coalition,
    content::{self, Writer},
    machine, say, stats,
};

/// Milliseconds in which each has to be refused.
const TARGET: f64 = 50.0;
/// Bytes that the body decompresses to, if it is let.
const UNPACKED: usize = 64 * MAX_PAYLOAD;
/// What one block of zstd may hold.
const BLOCK: usize = 128 * 1024;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Rounds
    #[arg(long, default_value_t = 15)]
    rounds: usize,
}

/// One of them, and how it is taken in: true if it was refused.
struct Bomb {
    name: &'static str,
    in_a_message: bool,
    meet: Box<dyn Fn() -> bool>,
    millis: Vec<f64>,
}

impl Bomb {
    fn in_a_message(name: &'static str, meet: impl Fn() -> bool + 'static) -> Self {
        Self { name, in_a_message: true, meet: Box::new(meet), millis: Vec::new() }
    }

    fn in_a_file(name: &'static str, meet: impl Fn() -> bool + 'static) -> Self {
        Self { in_a_message: false, ..Self::in_a_message(name, meet) }
    }
}

pub(crate) fn run(arguments: Arguments, quick: bool) -> anyhow::Result<Value> {
    let rounds = if quick { 2 } else { arguments.rounds };
    let mut coalition = Coalition::found()?;
    let member = coalition.admit("Insider", Role::Publisher)?;
    let group = coalition.group()?;
    let mut writer = Writer::new(&member, &coalition.roster, group);
    let key = writer.key().clone();
    let honest = writer.write(&content::payload(large()))?;
    let packed = repacked(&honest, &key, frame())?;
    let mut bombs = messages(packed, &key);
    bombs.extend(files());
    let mut floor = Vec::new();
    for _ in 0..rounds {
        let begun = Instant::now();
        let opened = decode(&honest)?.trusted().open(&key)?;
        ensure!(!opened.parse()?.objects.is_empty(), "the floor holds nothing");
        floor.push(begun.elapsed().as_secs_f64() * 1e3);
        for bomb in &mut bombs {
            let begun = Instant::now();
            let is_refused = (bomb.meet)();
            bomb.millis.push(begun.elapsed().as_secs_f64() * 1e3);
            ensure!(is_refused, "{} was taken", bomb.name);
        }
    }
    let worst = |of: &dyn Fn(&Bomb) -> bool| {
        bombs.iter().filter(|bomb| of(bomb)).map(|bomb| stats::median(&bomb.millis)).fold(0.0, f64::max)
    };
    let (worst_message, worst_any) = (worst(&|bomb| bomb.in_a_message), stats::rounded(worst(&|_| true)));
    let told: Map<String, Value> =
        bombs.iter().map(|bomb| (bomb.name.to_owned(), stats::summary(&bomb.millis))).collect();
    for bomb in &bombs {
        say!("{:.3} ms  {}", stats::median(&bomb.millis), bomb.name);
    }
    Ok(json!({
        "benchmark": "bombs",
        "worst_ms": worst_any,
        "target_worst_ms_at_most": TARGET,
        "is_met": worst_any <= TARGET,
        "worst_message_ratio_to_floor": stats::rounded(worst_message / stats::median(&floor)),
        "floor_ms": stats::summary(&floor),
        "refused_ms": told,
        "rounds": rounds,
        "machine": machine::facts(quick),
    }))
}

/// What a member may seal, that holds the group's key.
fn messages(packed: Vec<u8>, key: &ContentKey) -> Vec<Bomb> {
    let key = key.clone();
    let object = |inner: String| format!("{{\"type\":\"indicator\",\"x_bomb\":{inner}}}").into_bytes();
    let deep = object("[".repeat(MAX_OBJECT - 64));
    let many = object(format!("[0{}]", ",0".repeat(MAX_OBJECT / 2 - 64)));
    let twice = object(format!("{{{}\"a\":0}}", "\"a\":0,".repeat(MAX_OBJECT / 8)));
    let nested = "(".repeat(MAX_OBJECT);
    let endless = format!("[{}", "a:b = 'c' AND ".repeat(MAX_OBJECT / 16));
    let quoted = format!("[a:b = '{}", "\\'".repeat(MAX_OBJECT / 2 - 64));
    vec![
        Bomb::in_a_message("a body that becomes 64 MiB", move || {
            decode(&packed).is_ok_and(|decoded| decoded.trusted().open(&key).is_err())
        }),
        Bomb::in_a_message("an object of half a million brackets", move || Object::parse(&deep).is_err()),
        Bomb::in_a_message("an object of a quarter of a million values", move || {
            Object::parse(&many).is_err()
        }),
        Bomb::in_a_message("an object that says one thing 65,000 times", move || {
            Object::parse(&twice).is_err()
        }),
        Bomb::in_a_message("a pattern of half a million parentheses", move || {
            pattern::read(&nested).is_err()
        }),
        Bomb::in_a_message("a pattern of comparisons without an end", move || {
            pattern::read(&endless).is_err()
        }),
        Bomb::in_a_message("a pattern of one quotation without an end", move || {
            pattern::read(&quoted).is_err()
        }),
    ]
}

/// What a tool may hand in.
fn files() -> Vec<Bomb> {
    let long = vec![b'a'; MAX_BUNDLE + 1];
    let begin = "{\"type\":\"bundle\",\"id\":\"bundle--00000000-0000-4000-8000-000000000000\",\"objects\":[";
    let deep = format!("{begin}{}", "[".repeat(MAX_BUNDLE / 2));
    let wide = format!("{begin}{{\"type\":\"{}\"}}]}}", "a".repeat(MAX_BUNDLE - 256));
    let table = format!("value\n{}", "a.example\n".repeat(MAX_IMPORT_OBJECTS + 1));
    let event = format!("{{\"Event\":{{\"Attribute\":[{}{{}}]}}}}", "{},".repeat(6 * MAX_BUNDLE_OBJECTS));
    let brackets = format!("a{}", ")".repeat(1_000_000));
    // None of them is taken without being asked for: each may be a file's name.
    let list: Vec<String> = (0..20_000).map(|n| format!("n{n}.zip")).collect();
    let list = list.join(",");
    let read = |format, bytes: &[u8]| Import::read(format, bytes, &Options::default()).is_err();
    vec![
        Bomb::in_a_file("a file longer than any may be", move || read(Format::Text, &long)),
        Bomb::in_a_file("a bundle of 32 million brackets", move || Bundle::parse(deep.as_bytes()).is_err()),
        Bomb::in_a_file("a bundle of one object of 64 MiB", move || Bundle::parse(wide.as_bytes()).is_err()),
        Bomb::in_a_file("a table of a line too many", move || read(Format::Csv, table.as_bytes())),
        Bomb::in_a_file("an event of 600,000 attributes", move || read(Format::Misp, event.as_bytes())),
        Bomb::in_a_file("a word of a million brackets", move || read(Format::Text, brackets.as_bytes())),
        Bomb::in_a_file("a list of 20,000 names without a blank", move || {
            read(Format::Text, list.as_bytes())
        }),
    ]
}

/// The largest honest object: prose, so that it fits a body once it is compressed.
fn large() -> Vec<u8> {
    let (_, object) = content::indicator(1);
    let text = String::from_utf8_lossy(&object).into_owned();
    let prose = "seen in a phishing wave ".repeat((MAX_OBJECT - 2 * content::INDICATOR) / 24);
    text.replacen("\"description\":\"", &format!("\"description\":\"{prose}"), 1).into_bytes()
}

/// A zstd frame (RFC 8878 §3.1.1) that does not tell its size: blocks that repeat one byte.
fn frame() -> Vec<u8> {
    // Magic number; no content size, no checksum; a window of one block.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38];
    let blocks = UNPACKED / BLOCK;
    for block in 1..=blocks {
        // Whether it is the last one, its type, and how often the byte behind is repeated.
        let header = (BLOCK << 3) | (1 << 1) | usize::from(block == blocks);
        frame.extend(header.to_le_bytes().into_iter().take(3));
        frame.push(0);
    }
    frame
}

/// An envelope with this in its body, sealed as its author seals.
fn repacked(envelope: &[u8], key: &ContentKey, content: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    let decoded = decode(envelope)?;
    let header = decoded.header();
    let nonce = header.sealing().context("it is sealed")?.nonce;
    let mut wire = schema::Envelope::decode(envelope)?;
    let associated =
        Pae::new("belfry/v1/body").part(header.coalition.as_ref()).part(&wire.header).into_bytes();
    let cipher = key.secret().derive("belfry/v1/content-key", &[key.id().as_ref()]);
    let sealed = seal::seal(&cipher, &nonce, &associated, &pad(content));
    (wire.body_hash, wire.body_len) = (hash::body(&sealed).to_vec(), sealed.len() as u64);
    wire.body = Some(sealed);
    Ok(wire.encode_to_vec())
}

#[cfg(test)]
mod tests {
    use belfry_proto::envelope::{BodyError, OpenError};

    use super::*;

    /// Were it refused for its form, nothing would be measured.
    #[test]
    fn the_body_is_refused_for_what_it_becomes_and_the_floor_is_large_and_read() {
        let mut coalition = Coalition::found().unwrap();
        let member = coalition.admit("Insider", Role::Publisher).unwrap();
        let group = coalition.group().unwrap();
        let mut writer = Writer::new(&member, &coalition.roster, group);
        let key = writer.key().clone();
        let honest = writer.write(&content::payload(large())).unwrap();
        let opened = decode(&honest).unwrap().trusted().open(&key).unwrap();
        assert!(opened.parse().unwrap().objects[0].raw().len() > MAX_OBJECT / 10 * 9);
        let opens = |content| {
            let packed = repacked(&honest, &key, content).unwrap();
            decode(&packed).unwrap().trusted().open(&key)
        };
        assert!(matches!(opens(frame()), Err(OpenError::Body(BodyError::Compression))));
        // One block of the same making is taken: it is the number of them that is too much.
        let mut one = frame()[..10].to_vec();
        one[6] |= 1;
        assert!(opens(one).is_ok());
    }
}
