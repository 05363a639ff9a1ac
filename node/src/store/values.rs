//! Rows as bytes: protobuf messages of the store's own; here those of messages, their logs and withdrawals. Field numbers are
//! for ever; see the schema version.

mod objects;
mod own;

use belfry_proto::{
    envelope::{Ending, Word},
    id::{GroupId, Height, KeyId, LogId, MemberId, MessageId, Sequence, Serial},
    schema::{WithdrawalGround, WithdrawalMode},
    sync::{Entry, MissingSum},
    time::Timestamp,
};

use super::{
    logs::Counts,
    rows::{EnvelopeRow, LogRow, MessageRow, MessageState},
};

pub(super) use objects::{ClaimValue, DatesValue, ObjectValue, ReporterValue};
pub(super) use own::{DraftValue, KeyValue};

/// A value that does not read as what it should be.
pub(super) struct Unreadable;

impl<T> From<T> for Unreadable
where
    T: std::error::Error,
{
    fn from(_: T) -> Self {
        Self
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct EnvelopeValue {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    prev: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    member: Vec<u8>,
    #[prost(uint64, tag = "4")]
    serial: u64,
    #[prost(uint64, tag = "5")]
    created: u64,
    #[prost(uint64, tag = "6")]
    received: u64,
    #[prost(bytes = "vec", tag = "7")]
    key_id: Vec<u8>,
    #[prost(bool, tag = "8")]
    pub(super) has_body: bool,
    #[prost(uint32, tag = "9")]
    state: u32,
    #[prost(string, tag = "10")]
    reason: String,
    #[prost(bytes = "vec", tag = "11")]
    pub(super) bytes: Vec<u8>,
    #[prost(uint64, tag = "12")]
    written_at: u64,
    /// The body is absent by a withdrawal that stands.
    #[prost(bool, tag = "13")]
    excused: bool,
    /// Its own signature was found not to verify.
    #[prost(bool, tag = "15")]
    pub(super) unsigned: bool,
    /// Its own member's erasure that took the body; empty unless that ended it for good.
    #[prost(bytes = "vec", tag = "14")]
    ended_by: Vec<u8>,
    /// The body is absent by the group's retention.
    #[prost(bool, tag = "16")]
    pub(super) expired: bool,
}

impl EnvelopeValue {
    /// The row's value, with its bytes: they are the most of it, and nobody needs them twice.
    pub(super) fn take(row: &mut EnvelopeRow) -> Self {
        Self {
            id: row.id.to_vec(),
            prev: row.prev.to_vec(),
            member: row.member.to_vec(),
            serial: row.serial.get(),
            created: row.created.as_micros(),
            received: row.received.as_micros(),
            key_id: row.key_id.map(|k| k.to_vec()).unwrap_or_default(),
            has_body: row.has_body,
            state: state_number(row.state),
            reason: row.reason.clone().unwrap_or_default(),
            bytes: std::mem::take(&mut row.bytes),
            written_at: row.written_at.get(),
            excused: false,
            unsigned: false,
            ended_by: Vec::new(),
            expired: row.state == MessageState::Expired,
        }
    }

    /// Notes whether the body may be missing by this end, and whether that is for good.
    pub(super) fn excuse(&mut self, ending: &Ending) {
        self.excused = !self.has_body && ending.shreds_at.is_some();
        let is_over = self.excused && ending.is_final();
        self.ended_by = if is_over { ending.by.to_vec() } else { Vec::new() };
    }

    /// Nothing ends it any more.
    pub(super) fn unexcuse(&mut self) {
        self.excused = false;
        self.ended_by.clear();
    }

    /// What ended it for good, should that still stand.
    pub(super) fn ended_by(&self) -> Option<MessageId> {
        MessageId::try_from(self.ended_by.as_slice()).ok()
    }

    /// Whether nothing is missing of it that should be here: frontiers count these.
    pub(super) const fn counts(&self) -> bool {
        self.has_body || self.excused || self.expired
    }

    /// As a log is judged by.
    pub(super) fn entry(&self, sequence: Sequence) -> Result<Entry, Unreadable> {
        Ok(Entry {
            sequence,
            id: self.id()?,
            prev: self.prev()?,
            created: Timestamp::from_micros(self.created),
            written_at: Height::new(self.written_at),
            is_unsigned: self.unsigned,
        })
    }

    pub(super) fn id(&self) -> Result<MessageId, Unreadable> {
        Ok(MessageId::try_from(self.id.as_slice())?)
    }
    /// Bytes of the envelope as it is kept.
    pub(super) const fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
    pub(super) fn member(&self) -> Result<MemberId, Unreadable> {
        Ok(MemberId::try_from(self.member.as_slice())?)
    }
    pub(super) const fn created(&self) -> Timestamp {
        Timestamp::from_micros(self.created)
    }
    pub(super) fn prev(&self) -> Result<MessageId, Unreadable> {
        Ok(MessageId::try_from(self.prev.as_slice())?)
    }
    pub(super) fn key_id(&self) -> Option<KeyId> {
        KeyId::try_from(self.key_id.as_slice()).ok()
    }
    pub(super) fn state(&self) -> MessageState {
        match self.state {
            0 => MessageState::Sealed,
            1 => MessageState::Opened,
            2 => MessageState::Closed,
            3 => MessageState::Quarantined,
            5 => MessageState::Withdrawn,
            6 => MessageState::Expired,
            _ => MessageState::Disputed,
        }
    }
    pub(super) fn set_state(&mut self, state: MessageState, reason: Option<&str>) {
        self.state = state_number(state);
        self.reason = reason.unwrap_or_default().to_owned();
    }

    pub(super) fn message(
        &self,
        group: GroupId,
        log: LogId,
        sequence: Sequence,
    ) -> Result<MessageRow, Unreadable> {
        Ok(MessageRow {
            id: self.id()?,
            group,
            log,
            sequence,
            member: MemberId::try_from(self.member.as_slice())?,
            serial: Serial::new(self.serial),
            created: Timestamp::from_micros(self.created),
            received: Timestamp::from_micros(self.received),
            state: self.state(),
            reason: (!self.reason.is_empty()).then(|| self.reason.clone()),
            key_id: self.key_id(),
            size: self.size(),
            has_body: self.has_body,
        })
    }
}

const fn state_number(state: MessageState) -> u32 {
    match state {
        MessageState::Sealed => 0,
        MessageState::Opened => 1,
        MessageState::Closed => 2,
        MessageState::Quarantined => 3,
        MessageState::Disputed => 4,
        MessageState::Withdrawn => 5,
        MessageState::Expired => 6,
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct LogValue {
    #[prost(bytes = "vec", tag = "1")]
    member: Vec<u8>,
    #[prost(uint64, tag = "2")]
    serial: u64,
    #[prost(uint64, tag = "3")]
    low: u64,
    #[prost(uint64, tag = "4")]
    height: u64,
    #[prost(bytes = "vec", tag = "5")]
    head: Vec<u8>,
    #[prost(uint64, tag = "6")]
    bodies: u64,
    #[prost(uint64, tag = "7")]
    top: u64,
    #[prost(bool, tag = "8")]
    forked: bool,
    #[prost(uint64, tag = "9")]
    frozen: u64,
    #[prost(bytes = "vec", tag = "10")]
    closure: Vec<u8>,
    #[prost(uint64, tag = "11")]
    revision: u64,
    #[prost(uint64, tag = "12")]
    seconds: u64,
    #[prost(bool, tag = "13")]
    surplus: bool,
    #[prost(uint64, tag = "14")]
    unchecked: u64,
    #[prost(uint64, tag = "15")]
    fresh: u64,
    #[prost(bytes = "vec", tag = "16")]
    missing: Vec<u8>,
    #[prost(message, required, tag = "17")]
    counts: Counts,
    /// Since schema 9.
    #[prost(uint64, tag = "18")]
    pub(super) size: u64,
}

impl LogValue {
    /// Highest sequence held at all.
    pub(super) const fn top(&self) -> u64 {
        self.top
    }

    pub(super) fn of(row: &LogRow) -> Self {
        Self {
            member: row.member.to_vec(),
            serial: row.serial.get(),
            low: row.low.get(),
            height: row.height.get(),
            head: row.head.to_vec(),
            bodies: row.bodies,
            top: row.top.get(),
            forked: row.forked,
            frozen: row.frozen.get(),
            closure: row.closure.clone(),
            revision: row.revision,
            seconds: row.seconds,
            surplus: row.surplus,
            unchecked: row.unchecked.get(),
            fresh: row.fresh.get(),
            missing: row.missing.to_vec(),
            counts: row.counts,
            size: row.bytes,
        }
    }

    pub(super) fn row(&self, group: GroupId, log: LogId) -> Result<LogRow, Unreadable> {
        Ok(LogRow {
            group,
            log,
            member: MemberId::try_from(self.member.as_slice())?,
            serial: Serial::new(self.serial),
            low: Sequence::new(self.low),
            height: Sequence::new(self.height),
            head: MessageId::try_from(self.head.as_slice())?,
            bodies: self.bodies,
            top: Sequence::new(self.top),
            forked: self.forked,
            frozen: Sequence::new(self.frozen),
            closure: self.closure.clone(),
            revision: self.revision,
            seconds: self.seconds,
            surplus: self.surplus,
            unchecked: Sequence::new(self.unchecked),
            fresh: Sequence::new(self.fresh),
            missing: MissingSum::read(&self.missing).ok_or(Unreadable)?,
            counts: self.counts,
            bytes: self.size,
        })
    }
}

/// What one withdrawal says of one message.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WithdrawalValue {
    #[prost(bytes = "vec", tag = "1")]
    member: Vec<u8>,
    #[prost(uint32, tag = "2")]
    group: u32,
    #[prost(enumeration = "WithdrawalMode", tag = "3")]
    mode: i32,
    #[prost(enumeration = "WithdrawalGround", tag = "4")]
    ground: i32,
    #[prost(bool, tag = "5")]
    by_steward: bool,
    #[prost(uint64, tag = "6")]
    created: u64,
    #[prost(uint64, tag = "7")]
    seen: u64,
}

impl WithdrawalValue {
    pub(super) fn of(word: &Word) -> Self {
        Self {
            member: word.member.to_vec(),
            group: word.group.get(),
            mode: word.mode.into(),
            ground: word.ground.into(),
            by_steward: word.by_steward,
            created: word.created.as_micros(),
            seen: word.seen.as_micros(),
        }
    }

    /// The same, come at `at`.
    pub(super) fn come(self, at: Timestamp) -> Self {
        Self { seen: at.as_micros(), ..self }
    }

    pub(super) fn word(&self, id: MessageId) -> Result<Word, Unreadable> {
        Ok(Word {
            id,
            group: GroupId::new(self.group),
            member: MemberId::try_from(self.member.as_slice())?,
            mode: self.mode(),
            ground: self.ground(),
            by_steward: self.by_steward,
            created: Timestamp::from_micros(self.created),
            seen: Timestamp::from_micros(self.seen),
        })
    }
}
