//! Rows of what this node owns: keys and drafts.

use belfry_proto::{
    crypto::secret::Secret,
    envelope::Withdrawal,
    id::{GroupId, KeyId, MemberId, MessageId, PublicationId},
    schema::{Audience, Tlp, WithdrawalGround, WithdrawalMode},
    time::Timestamp,
};

use super::Unreadable;
use crate::store::rows::{DraftRow, DraftState, KeyRow};

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::store) struct KeyValue {
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
    pub(in crate::store) fn of(row: &KeyRow) -> Self {
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

    pub(in crate::store) fn row(self, id: KeyId) -> Result<KeyRow, Unreadable> {
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
pub(in crate::store) struct DraftValue {
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

impl DraftValue {
    pub(in crate::store) fn of(row: &DraftRow) -> Self {
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

    pub(in crate::store) fn row(self, publication: PublicationId) -> Result<DraftRow, Unreadable> {
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
