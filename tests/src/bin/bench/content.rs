//! What is shared: indicators of exactly a kibibyte, and the envelopes that carry them.

use anyhow::Context as _;
use belfry_node::{clock, store::KeyRow};
use belfry_proto::{
    envelope::{Author, ContentKey, Draft, KeyContext, Position, SealWith, log_id, seal_message},
    id::{GroupId, MessageId, PublicationId, Sequence},
    schema::{self, Audience},
    trust::roster::Roster,
};
use prost::Message as _;

use crate::coalition::Member;

/// Bytes of one indicator as the author's minified JSON.
pub(crate) const INDICATOR: usize = 1024;
/// What analysts write, so that it compresses as their text does.
const WORDS: [&str; 32] = [
    "beacon",
    "campaign",
    "loader",
    "observed",
    "against",
    "energy",
    "sector",
    "since",
    "contacted",
    "host",
    "with",
    "certificate",
    "reused",
    "phishing",
    "macro",
    "payload",
    "dropped",
    "staging",
    "server",
    "exfiltration",
    "over",
    "tunnel",
    "credential",
    "theft",
    "lateral",
    "movement",
    "resolver",
    "sinkholed",
    "moderate",
    "confidence",
    "see",
    "report",
];

/// An indicator on an address of its own, [`INDICATOR`] bytes long; `id` is its STIX id.
pub(crate) fn indicator(number: u64) -> (String, Vec<u8>) {
    let id = format!("indicator--{}", uuid(rand::random()));
    let [_, a, b, c] = u32::try_from(number % (1 << 24)).unwrap_or_default().to_be_bytes();
    let head = format!(
        "{{\"type\":\"indicator\",\"spec_version\":\"2.1\",\"id\":\"{id}\",\"created\":\"2026-11-25T10:00:00.000Z\",\
         \"modified\":\"2026-11-25T10:00:00.000Z\",\"name\":\"Command and control at 11.{a}.{b}.{c}\",\"indicator_types\":\
         [\"malicious-activity\"],\"pattern\":\"[ipv4-addr:value = '11.{a}.{b}.{c}']\",\"pattern_type\":\"stix\",\
         \"valid_from\":\"2026-11-25T10:00:00Z\",\"confidence\":75,\"description\":\""
    );
    let tail = "\"}";
    let mut text = head;
    while text.len() + tail.len() < INDICATOR {
        let word = usize::from(rand::random::<u8>()) % WORDS.len();
        text.push_str(WORDS.get(word).copied().unwrap_or_default());
        text.push(' ');
    }
    text.truncate(INDICATOR - tail.len());
    text.push_str(tail);
    (id, text.into_bytes())
}

/// A bundle around one indicator, and the indicator's id.
pub(crate) fn bundle(number: u64) -> (String, Vec<u8>) {
    let (id, object) = indicator(number);
    let head = format!("{{\"type\":\"bundle\",\"id\":\"bundle--{}\",\"objects\":[", uuid(rand::random()));
    (id, [head.as_bytes(), &object, b"]}"].concat())
}

fn uuid(mut bytes: [u8; 16]) -> String {
    // Version 4, variant 1 (RFC 9562 §5.4).
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let (a, rest) = digits.split_at(8);
    let (b, rest) = rest.split_at(4);
    let (c, rest) = rest.split_at(4);
    let (d, e) = rest.split_at(4);
    format!("{a}-{b}-{c}-{d}-{e}")
}

/// The encoded payload of a message with one indicator.
pub(crate) fn payload(object: Vec<u8>) -> Vec<u8> {
    schema::Payload {
        publication: PublicationId::new(rand::random()).to_vec(),
        part: 1,
        parts: 1,
        classes: vec![schema::InformationClass::Indicator.into()],
        purpose: schema::Purpose::Detect.into(),
        tlp: schema::Tlp::Amber.into(),
        objects: vec![object],
        ..schema::Payload::default()
    }
    .encode_to_vec()
}

/// One member's log in a group, growing.
pub(crate) struct Writer<'a> {
    member: &'a Member,
    roster: &'a Roster,
    key: ContentKey,
    position: Position,
}

impl<'a> Writer<'a> {
    /// A new log with a fresh content key.
    pub(crate) fn new(member: &'a Member, roster: &'a Roster, group: GroupId) -> Self {
        let instance = rand::random();
        let context = KeyContext {
            coalition: roster.coalition(),
            group,
            audience: Audience::Group,
            author: member.certificate.member,
            log: log_id(roster.coalition(), group, &member.certificate, &instance),
            epoch: 1,
            created: clock::now(),
            roster: roster.version(),
        };
        let key = ContentKey::generate(context, &mut rand::rng());
        let position = Position {
            group,
            instance,
            predecessor: None,
            sequence: Sequence::new(1),
            prev: MessageId::ZERO,
        };
        Self { member, roster, key, position }
    }

    /// The key of all its messages.
    pub(crate) const fn key(&self) -> &ContentKey {
        &self.key
    }

    /// The key as a reader's store holds it.
    pub(crate) fn key_row(&self) -> KeyRow {
        KeyRow::received(&self.key)
    }

    /// The next message of the log, encoded as it travels.
    pub(crate) fn write(&mut self, payload: &[u8]) -> anyhow::Result<Vec<u8>> {
        let author = Author {
            coalition: self.roster.coalition(),
            certificate: &self.member.certificate,
            signing: &self.member.keys.signing,
            roster: self.roster.version(),
        };
        let draft = Draft::Data { payload, key: SealWith::Content(&self.key) };
        let sealed = seal_message(&draft, &self.position, &author, clock::now(), &mut rand::rng());
        let sealed = sealed.context("a message was not sealed")?;
        self.position.sequence = Sequence::new(self.position.sequence.get() + 1);
        self.position.prev = sealed.message_id();
        Ok(sealed.bytes().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use belfry_proto::stix::{object::Object, observable};

    use super::*;

    #[test]
    fn indicators_are_a_kibibyte_of_valid_stix_with_one_observable() {
        let (id, raw) = indicator(70_000);
        assert_eq!(raw.len(), INDICATOR);
        let object = Object::parse(&raw).unwrap();
        assert_eq!(object.id(), id);
        let found: Vec<_> = observable::extract(&object);
        assert_eq!(found.iter().map(|o| o.value()).collect::<Vec<_>>(), ["11.1.17.112"]);
    }
}
