//! What goes in and comes out, typed.

use belfry_proto::{
    crypto::secret::Secret,
    envelope::{ContentKey, KeyContext},
    id::{
        GroupId, Height, KeyId, LogId, MemberId, MessageId, PublicationId, RosterVersion, Sequence, Serial,
    },
    schema::{Audience, Tlp},
    time::Timestamp,
};

/// Everything that is ever written, one durable step each.
#[derive(Debug)]
pub enum Change {
    /// Charters and records that the roster has folded, and its head.
    Admin {
        /// Version and bytes.
        charters: Vec<(u64, Vec<u8>)>,
        /// Height and bytes.
        records: Vec<(Height, Vec<u8>)>,
        /// The head after them; lower than the stored one only with a new charter.
        head: RosterVersion,
    },
    /// An envelope, opened or not.
    Envelope(Box<EnvelopeRow>),
    /// A stored envelope opens now.
    Opened {
        /// Which.
        message: MessageId,
        /// To what.
        content: OpenedRows,
    },
    /// A stored envelope will never open here.
    Closed {
        /// Which.
        message: MessageId,
        /// Why.
        reason: String,
    },
    /// A content key, new or with more holders.
    Key(KeyRow),
    /// A submission, before it is acknowledged.
    Draft(DraftRow),
    /// A draft became messages: all of them, and its status, at once.
    Flushed {
        /// Which draft.
        publication: PublicationId,
        /// Its messages, in log order.
        envelopes: Vec<EnvelopeRow>,
    },
    /// A draft never will.
    DraftFailed {
        /// Which.
        publication: PublicationId,
        /// Why.
        error: String,
    },
    /// An access token.
    Token(TokenRow),
    /// A token that no longer is one.
    TokenRevoked([u8; 8]),
    /// The newest beacon whose head is here, encoded.
    Beacon(Vec<u8>),
    /// Two entries that the registrar signed for one height, encoded records.
    Equivocation {
        /// The height.
        height: Height,
        /// Ours and the other.
        records: [Vec<u8>; 2],
    },
    /// Where a node is.
    Address(AddressRow),
    /// An envelope ahead of our roster.
    Park(ParkRow),
    /// Parked envelopes that found their verdict.
    Unpark(Vec<MessageId>),
}

/// What a change came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Committed {
    /// Done.
    Done,
    /// An envelope is stored.
    Stored {
        /// Its log's frontier moved.
        advanced: bool,
        /// Entries before it are missing.
        gap: bool,
    },
    /// Was there already; nothing changed.
    Duplicate,
    /// Another message has its place in the log; both are kept, the first stands.
    Fork {
        /// The first.
        existing: MessageId,
    },
}

/// How far an envelope got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageState {
    /// Waits for its key.
    Sealed,
    /// Its content is stored and shown.
    Opened,
    /// Never opens here: not for this node, or unreadable.
    Closed,
    /// Beyond a cut: kept, hidden.
    Quarantined,
}

impl MessageState {
    /// The word for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sealed => "sealed",
            Self::Opened => "opened",
            Self::Closed => "closed",
            Self::Quarantined => "quarantined",
        }
    }
}

/// An admitted envelope.
#[derive(Clone, Debug)]
pub struct EnvelopeRow {
    /// Group.
    pub group: GroupId,
    /// Log.
    pub log: LogId,
    /// Place in it.
    pub sequence: Sequence,
    /// Its id.
    pub id: MessageId,
    /// Id of the entry before.
    pub prev: MessageId,
    /// Author.
    pub member: MemberId,
    /// Author's certificate.
    pub serial: Serial,
    /// Author's clock.
    pub created: Timestamp,
    /// Our clock.
    pub received: Timestamp,
    /// Key of its body.
    pub key_id: Option<KeyId>,
    /// As it travelled.
    pub bytes: Vec<u8>,
    /// Whether the body is with it.
    pub has_body: bool,
    /// How far it got.
    pub state: MessageState,
    /// What it opened to.
    pub content: Option<OpenedRows>,
    /// Why it got no further.
    pub reason: Option<String>,
}

/// A publication part in clear.
#[derive(Clone, Debug)]
pub struct OpenedRows {
    /// Publication.
    pub publication: PublicationId,
    /// From 1.
    pub part: u32,
    /// Of so many.
    pub parts: u32,
    /// Author.
    pub member: MemberId,
    /// Author's certificate.
    pub serial: Serial,
    /// The message it came in.
    pub message: MessageId,
    /// Author's clock.
    pub created: Timestamp,
    /// Stated purpose, as on the wire.
    pub purpose: i32,
    /// Stated classes, as on the wire.
    pub classes: Vec<i32>,
    /// Whether it was for named members.
    pub recipients: bool,
    /// The objects.
    pub objects: Vec<ObjectRow>,
}

/// One object to store.
#[derive(Clone, Debug)]
pub struct ObjectRow {
    /// STIX id.
    pub id: String,
    /// STIX type.
    pub kind: String,
    /// `modified`, else `created`, else empty.
    pub version: String,
    /// Effective marking.
    pub tlp: Tlp,
    /// Whether it says `revoked: true`.
    pub revoked: bool,
    /// The author's JSON.
    pub raw: Vec<u8>,
    /// STIX id of the identity that created it.
    pub created_by: Option<String>,
    /// (type, normalised value).
    pub observables: Vec<(String, String)>,
}

/// A log as held here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRow {
    /// Group.
    pub group: GroupId,
    /// Log.
    pub log: LogId,
    /// Author.
    pub member: MemberId,
    /// Author's certificate.
    pub serial: Serial,
    /// Lowest sequence kept with its body.
    pub low: Sequence,
    /// Highest without a gap below.
    pub height: Sequence,
    /// Message there; zero at height 0.
    pub head: MessageId,
    /// Bodies held from `low` to `height`.
    pub bodies: u64,
    /// Highest held at all.
    pub top: Sequence,
    /// Whether two messages claim one place, or links do not meet.
    pub forked: bool,
}

/// What is known of one message.
#[derive(Clone, Debug)]
pub struct MessageRow {
    /// Id.
    pub id: MessageId,
    /// Group.
    pub group: GroupId,
    /// Log.
    pub log: LogId,
    /// Place in it.
    pub sequence: Sequence,
    /// Author.
    pub member: MemberId,
    /// Author's certificate.
    pub serial: Serial,
    /// Author's clock.
    pub created: Timestamp,
    /// Our clock.
    pub received: Timestamp,
    /// How far it got.
    pub state: MessageState,
    /// Why no further.
    pub reason: Option<String>,
    /// Key of its body.
    pub key_id: Option<KeyId>,
    /// Bytes on the wire.
    pub size: u64,
}

/// A content key as kept.
#[derive(Clone, Debug)]
pub struct KeyRow {
    /// Commitment.
    pub id: KeyId,
    /// Secret.
    pub secret: Secret,
    /// Encoded context.
    pub context: Vec<u8>,
    /// Group.
    pub group: GroupId,
    /// Member that made it.
    pub author: MemberId,
    /// Newest message under it.
    pub last_use: Timestamp,
    /// Whether this node made it.
    pub own: bool,
    /// Members known to hold it besides us.
    pub holders: u32,
}

impl KeyRow {
    /// A key that a peer granted.
    #[must_use]
    pub fn received(key: &ContentKey) -> Self {
        Self::of(key, false, 1)
    }

    /// A key of our own, with how many others hold it.
    #[must_use]
    pub fn own(key: &ContentKey, holders: u32) -> Self {
        Self::of(key, true, holders)
    }

    fn of(key: &ContentKey, own: bool, holders: u32) -> Self {
        let context: &KeyContext = key.context();
        Self {
            id: key.id(),
            secret: key.secret().clone(),
            context: context.encode(),
            group: context.group,
            author: context.author,
            last_use: context.created,
            own,
            holders,
        }
    }

    /// The key; `None` if secret and context no longer match the id.
    #[must_use]
    pub fn content_key(&self) -> Option<ContentKey> {
        ContentKey::from_parts(self.secret.clone(), &self.context, self.id).ok()
    }
}

/// How far a draft has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DraftState {
    /// Durable, not sealed into messages yet.
    Queued,
    /// Messages of our log.
    Flushed,
    /// Never will be.
    Refused,
}

/// A submission.
#[derive(Clone, Debug)]
pub struct DraftRow {
    /// Names it.
    pub publication: PublicationId,
    /// Where to.
    pub group: GroupId,
    /// Who may read.
    pub audience: Audience,
    /// Named members, if the audience is that.
    pub recipients: Vec<MemberId>,
    /// Encoded payloads, one a message; dropped once flushed.
    pub parts: Vec<Vec<u8>>,
    /// Messages it is or becomes.
    pub part_count: u32,
    /// (STIX id, version), in the bundle's order.
    pub objects: Vec<(String, String)>,
    /// Token name.
    pub submitter: String,
    /// Scoped idempotency key.
    pub idempotency_key: Option<String>,
    /// What the idempotency key stands for.
    pub digest: [u8; 32],
    /// When.
    pub created: Timestamp,
    /// How far.
    pub state: DraftState,
    /// Messages, once flushed.
    pub messages: Vec<MessageId>,
    /// Key its messages were sealed with.
    pub key_id: Option<KeyId>,
    /// Why refused.
    pub error: Option<String>,
}

/// An access token: everything but the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// Public part.
    pub id: [u8; 8],
    /// Encoded scope and check; the query's business.
    pub body: Vec<u8>,
}

/// A signed address record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressRow {
    /// Certificate.
    pub serial: Serial,
    /// When it was signed.
    pub made: Timestamp,
    /// Encoded `Signed`.
    pub bytes: Vec<u8>,
}

/// An envelope that names a roster we do not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkRow {
    /// Message id.
    pub id: MessageId,
    /// As it travelled.
    pub bytes: Vec<u8>,
}
