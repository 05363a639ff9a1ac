//! The ladder's claims, each rung against forgers, laggards and strangers.

pub(crate) mod coalition;
mod decode;
mod grants;
mod ladder;
mod vectors;

use std::convert::Infallible;

use prost::Message;
use rand_core::{TryCryptoRng, TryRng};

use crate::crypto::{hpke::KemSecret, sign::SigningKey};
use crate::{
    envelope::{
        Author, ContentKey, Decoded, Draft, KeyContext, Position, SealWith, author::log_id, seal_message,
    },
    id::{CoalitionId, GroupId, LogId, MessageId, RosterVersion, Sequence},
    schema::{self, Audience},
    time::Timestamp,
    trust::certificate::Certificate,
};

/// BLAKE3's output stream: the same numbers under every version of every random crate, which golden
/// vectors need.
pub(crate) struct FixedRng(blake3::OutputReader);

impl FixedRng {
    pub(crate) fn new(seed: u8) -> Self {
        Self(blake3::Hasher::new_keyed(&[seed; 32]).finalize_xof())
    }
}

impl TryRng for FixedRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(dst);
        Ok(())
    }
}

impl TryCryptoRng for FixedRng {}

/// The group most tests write to, and one beside it.
pub(crate) const CIDR: GroupId = GroupId::new(5);
pub(crate) const CLOUD: GroupId = GroupId::new(3);
pub(crate) const INSTANCE: [u8; 16] = [0x11; 16];

pub(crate) const DAY: u64 = 24 * 3600;

/// Seconds after the coalition began, 2026-01-01.
pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros((1_767_225_600 + seconds) * 1_000_000)
}

/// One node with its secret keys.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) coalition: CoalitionId,
    pub(crate) certificate: Certificate,
    pub(crate) signing: SigningKey,
    pub(crate) node: SigningKey,
    pub(crate) kem: KemSecret,
}

impl Node {
    pub(crate) fn log(&self, group: GroupId) -> LogId {
        log_id(self.coalition, group, &self.certificate, &INSTANCE)
    }

    pub(crate) fn author(&self, roster: RosterVersion) -> Author<'_> {
        Author { coalition: self.coalition, certificate: &self.certificate, signing: &self.signing, roster }
    }

    pub(crate) fn key_context(&self, group: GroupId, roster: RosterVersion, now: Timestamp) -> KeyContext {
        KeyContext {
            coalition: self.coalition,
            group,
            audience: Audience::Group,
            author: self.certificate.member,
            log: self.log(group),
            epoch: 1,
            created: now,
            roster,
        }
    }

    /// Seals `payload` as the first message of this node's log.
    pub(crate) fn first(
        &self,
        payload: &[u8],
        group: GroupId,
        roster: RosterVersion,
        now: Timestamp,
    ) -> (Decoded, ContentKey) {
        self.next(payload, first_position(group), roster, now)
    }

    pub(crate) fn next(
        &self,
        payload: &[u8],
        position: Position,
        roster: RosterVersion,
        now: Timestamp,
    ) -> (Decoded, ContentKey) {
        let mut rng = FixedRng::new(3);
        let key = ContentKey::generate(self.key_context(position.group, roster, now), &mut rng);
        let draft = Draft::Data { payload, key: SealWith::Content(&key) };
        let sealed = seal_message(&draft, &position, &self.author(roster), now, &mut rng).unwrap();
        (sealed, key)
    }
}

pub(crate) fn first_position(group: GroupId) -> Position {
    Position {
        group,
        instance: INSTANCE,
        predecessor: None,
        sequence: Sequence::new(1),
        prev: MessageId::ZERO,
    }
}

pub(crate) fn position_after(before: &Decoded) -> Position {
    Position {
        sequence: Sequence::new(before.header().sequence.get() + 1),
        prev: before.message_id(),
        ..first_position(before.header().group)
    }
}

/// A payload of one indicator.
pub(crate) fn payload() -> schema::Payload {
    schema::Payload {
        publication: vec![0x22; 16],
        part: 1,
        parts: 1,
        classes: vec![schema::InformationClass::Indicator.into()],
        purpose: schema::Purpose::Detect.into(),
        tlp: schema::Tlp::Amber.into(),
        objects: vec![INDICATOR.into()],
        ..schema::Payload::default()
    }
}

pub(crate) fn payload_bytes() -> Vec<u8> {
    payload().encode_to_vec()
}

pub(crate) const INDICATOR: &[u8] = br#"{"type":"indicator","spec_version":"2.1","id":"indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f","created":"2026-01-01T00:00:00.000Z","modified":"2026-01-01T00:00:00.000Z","pattern":"[ipv4-addr:value = '198.51.100.7']","pattern_type":"stix","valid_from":"2026-01-01T00:00:00Z"}"#;
