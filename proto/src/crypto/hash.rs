//! Every hash that names something: one function an id, each under its own domain.

use crate::{
    crypto::pae::Pae,
    id::{CharterId, CoalitionId, EntryId, GossipId, LogId, MemberId, MessageId, StatementId},
};

/// Domain of a charter id.
const CHARTER_ID: &str = "belfry/v1/charter-id";
const STATEMENT_ID: &str = "belfry/v1/statement-id";
const ENTRY_ID: &str = "belfry/v1/entry-id";
const LOG_ID: &str = "belfry/v1/log-id";
const BODY: &str = "belfry/v1/body-hash";
const RECIPIENTS: &str = "belfry/v1/recipients";
const FRONTIER: &str = "belfry/v1/frontier";
const MISSING: &str = "belfry/v1/missing";
const MESSAGE_ID: &str = "belfry/v1/message-id";
const GOSSIP_ID: &str = "belfry/v1/gossip-id";
const TOPIC: &str = "belfry/v1/topic";
const CONTACT_ID: &str = "belfry/v1/contact-id";
const CONTACTS: &str = "belfry/v1/contacts";
const DOCUMENT: &str = "belfry/v1/document";
const DECISION: &str = "belfry/v1/decision";

/// Id of a charter from its payload, never its signatures.
#[must_use]
pub fn charter_id(payload: &[u8]) -> CharterId {
    CharterId::new(Pae::new(CHARTER_ID).part(payload).hash())
}

/// Id of an admin statement from its payload.
#[must_use]
pub fn statement_id(coalition: CoalitionId, payload: &[u8]) -> StatementId {
    StatementId::new(Pae::new(STATEMENT_ID).part(coalition.as_ref()).part(payload).hash())
}

/// What a decision record comes to with its salt; each part is empty where the record says nothing of it.
#[must_use]
pub fn decision(coalition: CoalitionId, salt: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let encoding = Pae::new(DECISION).part(coalition.as_ref()).part(salt);
    parts.iter().fold(encoding, |encoding, part| encoding.part(part)).hash()
}

/// Id of a log entry from its payload.
#[must_use]
pub fn entry_id(coalition: CoalitionId, payload: &[u8]) -> EntryId {
    EntryId::new(Pae::new(ENTRY_ID).part(coalition.as_ref()).part(payload).hash())
}

/// Id of a publisher's log in a group.
#[must_use]
pub fn log_id(
    coalition: CoalitionId,
    group: u32,
    member: MemberId,
    signing_key: &[u8; 32],
    node_key: &[u8; 32],
    instance: &[u8],
) -> LogId {
    LogId::new(
        Pae::new(LOG_ID)
            .part(coalition.as_ref())
            .number(u64::from(group))
            .part(member.as_ref())
            .part(signing_key)
            .part(node_key)
            .part(instance)
            .hash(),
    )
}

/// Hash of a sealed body.
#[must_use]
pub fn body(body: &[u8]) -> [u8; 32] {
    Pae::new(BODY).part(body).hash()
}

/// Hash of an encoded recipients block.
#[must_use]
pub fn recipients(block: &[u8]) -> [u8; 32] {
    Pae::new(RECIPIENTS).part(block).hash()
}

/// Hash of a group's frontier from its canonical encoding.
#[must_use]
pub fn frontier(coalition: CoalitionId, group: u32, encoded: &[u8]) -> [u8; 32] {
    Pae::new(FRONTIER).part(coalition.as_ref()).number(u64::from(group)).part(encoded).hash()
}

/// Id of a contact record from its payload, never its signature: whichever key of its member signed it says the same.
#[must_use]
pub fn contact_id(coalition: CoalitionId, payload: &[u8]) -> [u8; 32] {
    Pae::new(CONTACT_ID).part(coalition.as_ref()).part(payload).hash()
}

/// Hash of all contact records that a node goes by, from its canonical encoding.
#[must_use]
pub fn contacts(coalition: CoalitionId, encoded: &[u8]) -> [u8; 32] {
    Pae::new(CONTACTS).part(coalition.as_ref()).part(encoded).hash()
}

/// What an entry that misses its body adds to the sum of those of its log.
#[must_use]
pub fn missing(log: LogId, sequence: u64) -> [u8; 32] {
    Pae::new(MISSING).part(log.as_ref()).number(sequence).hash()
}

/// Id of a message: its signature is part of it, so a successor that names it pins the signature too.
#[must_use]
pub fn message_id(
    coalition: CoalitionId,
    header: &[u8],
    body_hash: &[u8],
    body_len: u64,
    signature: &[u8],
) -> MessageId {
    MessageId::new(
        Pae::new(MESSAGE_ID)
            .part(coalition.as_ref())
            .part(header)
            .part(body_hash)
            .number(body_len)
            .part(signature)
            .hash(),
    )
}

/// Gossipsub's message id: every byte on the wire counts, because it is marked seen before validation.
#[must_use]
pub fn gossip_id(topic: &str, bytes: &[u8]) -> GossipId {
    GossipId::new(Pae::new(GOSSIP_ID).part(topic.as_bytes()).part(bytes).hash())
}

/// Name of a gossip topic.
#[must_use]
pub fn topic(coalition: CoalitionId, group: u32) -> [u8; 32] {
    Pae::new(TOPIC).part(coalition.as_ref()).number(u64::from(group)).hash()
}

/// Hash of a document that members accept (arrangement, rules of conduct).
#[must_use]
pub fn document(text: &[u8]) -> [u8; 32] {
    Pae::new(DOCUMENT).part(text).hash()
}
