//! Rows as bytes: protobuf messages of the store's own. Field numbers are for ever; see the schema version.

use belfry_proto::{
    crypto::secret::Secret,
    envelope::{Ending, Withdrawal, Word},
    id::{GroupId, Height, KeyId, LogId, MemberId, MessageId, PublicationId, Sequence, Serial},
    schema::{Audience, Tlp, WithdrawalGround, WithdrawalMode},
    sync::{Entry, MissingSum},
    time::Timestamp,
};

use super::{
    logs::Counts,
    rows::{Conditions, DraftRow, DraftState, EnvelopeRow, KeyRow, LogRow, MessageRow, MessageState},
};

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

/// The clustered object row.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ObjectValue {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(string, tag = "2")]
    pub(super) kind: String,
    #[prost(string, tag = "3")]
    pub(super) version: String,
    #[prost(int32, tag = "4")]
    pub(super) tlp: i32,
    #[prost(bool, tag = "5")]
    pub(super) revoked: bool,
    #[prost(bool, tag = "6")]
    pub(super) recipients: bool,
    #[prost(bytes = "vec", tag = "7")]
    pub(super) member: Vec<u8>,
    #[prost(uint64, tag = "8")]
    pub(super) serial: u64,
    #[prost(bytes = "vec", tag = "9")]
    pub(super) message: Vec<u8>,
    #[prost(bytes = "vec", tag = "10")]
    pub(super) publication: Vec<u8>,
    #[prost(uint64, tag = "11")]
    pub(super) created: u64,
    #[prost(int32, tag = "12")]
    pub(super) purpose: i32,
    #[prost(int32, repeated, tag = "13")]
    pub(super) classes: Vec<i32>,
    #[prost(bytes = "vec", tag = "14")]
    pub(super) raw: Vec<u8>,
    /// Its places in the index of observables, to take them away with it.
    #[prost(bytes = "vec", repeated, tag = "15")]
    pub(super) observables: Vec<Vec<u8>>,
    /// Says that the object is gone, in its author's stead.
    #[prost(bool, tag = "16")]
    pub(super) tombstone: bool,
    #[prost(message, optional, tag = "17")]
    pub(super) conditions: Option<Conditions>,
    /// Of a tombstone: how its object ended; see [`super::removal::End`].
    #[prost(uint32, tag = "18")]
    pub(super) end: u32,
}

/// What a reporter's row needs to become the author's, should that one be hidden.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ReporterValue {
    #[prost(uint64, tag = "1")]
    pub(super) serial: u64,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) publication: Vec<u8>,
    #[prost(uint64, tag = "3")]
    pub(super) created: u64,
    #[prost(int32, tag = "4")]
    pub(super) purpose: i32,
    #[prost(int32, repeated, tag = "5")]
    pub(super) classes: Vec<i32>,
    #[prost(message, optional, tag = "6")]
    pub(super) conditions: Option<Conditions>,
}

/// Dates of the objects a message says.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct DatesValue {
    #[prost(uint64, repeated, tag = "1")]
    pub(super) dates: Vec<u64>,
    /// Where rows of it lay before: their bytes may still be in files, and go with it should it be erased.
    #[prost(uint64, repeated, tag = "2")]
    pub(super) was: Vec<u64>,
}

/// One claim in the by-id index.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ClaimValue {
    #[prost(uint64, tag = "1")]
    pub(super) date_added: u64,
    /// Keyed hash of the bytes, to find equal claims without opening rows.
    #[prost(bytes = "vec", tag = "2")]
    pub(super) raw_tag: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) member: Vec<u8>,
    /// TLP, and whether it came for named members.
    #[prost(bytes = "vec", tag = "4")]
    pub(super) marking: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct KeyValue {
    #[prost(bytes = "vec", tag = "1")]
    secret: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    context: Vec<u8>,
    #[prost(uint32, tag = "3")]
    group: u32,
    #[prost(bytes = "vec", tag = "4")]
    author: Vec<u8>,
    #[prost(uint64, tag = "5")]
    last_use: u64,
    #[prost(bool, tag = "6")]
    own: bool,
    #[prost(uint32, tag = "7")]
    holders: u32,
}

impl KeyValue {
    pub(super) fn of(row: &KeyRow) -> Self {
        Self {
            secret: row.secret.expose().to_vec(),
            context: row.context.clone(),
            group: row.group.get(),
            author: row.author.to_vec(),
            last_use: row.last_use.as_micros(),
            own: row.own,
            holders: row.holders,
        }
    }

    pub(super) fn row(self, id: KeyId) -> Result<KeyRow, Unreadable> {
        Ok(KeyRow {
            id,
            secret: Secret::from_slice(&self.secret).ok_or(Unreadable)?,
            context: self.context,
            group: GroupId::new(self.group),
            author: MemberId::try_from(self.author.as_slice())?,
            last_use: Timestamp::from_micros(self.last_use),
            own: self.own,
            holders: self.holders,
        })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct DraftValue {
    #[prost(uint32, tag = "1")]
    group: u32,
    #[prost(enumeration = "Audience", tag = "2")]
    audience: i32,
    #[prost(bytes = "vec", repeated, tag = "3")]
    recipients: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "4")]
    parts: Vec<Vec<u8>>,
    #[prost(uint32, tag = "5")]
    part_count: u32,
    #[prost(string, repeated, tag = "6")]
    object_ids: Vec<String>,
    #[prost(string, repeated, tag = "7")]
    object_versions: Vec<String>,
    #[prost(string, tag = "8")]
    submitter: String,
    #[prost(string, optional, tag = "9")]
    idempotency_key: Option<String>,
    #[prost(bytes = "vec", tag = "10")]
    digest: Vec<u8>,
    #[prost(uint64, tag = "11")]
    created: u64,
    #[prost(uint32, tag = "12")]
    state: u32,
    #[prost(bytes = "vec", repeated, tag = "13")]
    messages: Vec<Vec<u8>>,
    #[prost(string, optional, tag = "14")]
    error: Option<String>,
    #[prost(bytes = "vec", tag = "15")]
    key_id: Vec<u8>,
    #[prost(message, optional, tag = "16")]
    withdraws: Option<WithdrawsValue>,
    #[prost(enumeration = "Tlp", tag = "20")]
    tlp: i32,
    #[prost(string, optional, tag = "17")]
    reason: Option<String>,
}

/// What a draft withdraws.
#[derive(Clone, PartialEq, prost::Message)]
struct WithdrawsValue {
    #[prost(bytes = "vec", repeated, tag = "1")]
    targets: Vec<Vec<u8>>,
    #[prost(enumeration = "WithdrawalMode", tag = "2")]
    mode: i32,
    #[prost(enumeration = "WithdrawalGround", tag = "3")]
    ground: i32,
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

impl DraftValue {
    pub(super) fn of(row: &DraftRow) -> Self {
        Self {
            group: row.group.get(),
            audience: row.audience.into(),
            recipients: row.recipients.iter().map(MemberId::to_vec).collect(),
            parts: row.parts.clone(),
            part_count: row.part_count,
            object_ids: row.objects.iter().map(|(id, _)| id.clone()).collect(),
            object_versions: row.objects.iter().map(|(_, version)| version.clone()).collect(),
            submitter: row.submitter.clone(),
            idempotency_key: row.idempotency_key.clone(),
            digest: row.digest.to_vec(),
            created: row.created.as_micros(),
            state: match row.state {
                DraftState::Queued => 0,
                DraftState::Flushed => 1,
                DraftState::Refused => 2,
                DraftState::Held => 3,
            },
            messages: row.messages.iter().map(MessageId::to_vec).collect(),
            error: row.error.clone(),
            key_id: row.key_id.map(|k| k.to_vec()).unwrap_or_default(),
            withdraws: row.withdraws.as_ref().map(|withdraws| WithdrawsValue {
                targets: withdraws.targets.iter().map(MessageId::to_vec).collect(),
                mode: withdraws.mode.into(),
                ground: withdraws.ground.into(),
            }),
            tlp: row.tlp.into(),
            reason: row.reason.clone(),
        }
    }

    pub(super) fn row(self, publication: PublicationId) -> Result<DraftRow, Unreadable> {
        let withdraws = match &self.withdraws {
            Some(value) => Some(Withdrawal {
                mode: value.mode(),
                ground: value.ground(),
                targets: value
                    .targets
                    .iter()
                    .map(|target| MessageId::try_from(target.as_slice()))
                    .collect::<Result<_, _>>()?,
            }),
            None => None,
        };
        Ok(DraftRow {
            publication,
            tlp: self.tlp(),
            group: GroupId::new(self.group),
            audience: self.audience(),
            recipients: self
                .recipients
                .iter()
                .map(|m| MemberId::try_from(m.as_slice()))
                .collect::<Result<_, _>>()?,
            part_count: self.part_count,
            objects: self.object_ids.into_iter().zip(self.object_versions).collect(),
            submitter: self.submitter,
            idempotency_key: self.idempotency_key,
            digest: self.digest.as_slice().try_into()?,
            created: Timestamp::from_micros(self.created),
            state: match self.state {
                0 => DraftState::Queued,
                1 => DraftState::Flushed,
                3 => DraftState::Held,
                _ => DraftState::Refused,
            },
            messages: self
                .messages
                .iter()
                .map(|m| MessageId::try_from(m.as_slice()))
                .collect::<Result<_, _>>()?,
            error: self.error,
            key_id: KeyId::try_from(self.key_id.as_slice()).ok(),
            parts: self.parts,
            withdraws,
            reason: self.reason,
        })
    }
}
