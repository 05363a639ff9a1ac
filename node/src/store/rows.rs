//! What goes in and comes out, typed.

use belfry_proto::{
    crypto::{secret::Secret, sign::PublicKey},
    envelope::{ContentKey, KeyContext, Withdrawal, Word},
    id::{GroupId, Height, KeyId, LogId, MemberId, MessageId, PublicationId, Sequence, Serial},
    schema::{Audience, Tlp},
    stix::extension,
    sync::{Entry, MissingSum},
    time::Timestamp,
};

use super::{logs::Counts, parking::Parker};

/// A message whose withdrawals are to be looked at, and from when on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reweigh {
    /// When.
    pub due: Timestamp,
    /// Which.
    pub message: MessageId,
}

/// Entries of a log that are past its group's retention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aged {
    /// Group.
    pub group: GroupId,
    /// Log.
    pub log: LogId,
    /// Those whose bodies go.
    pub messages: Vec<MessageId>,
    /// Up to here all entries were looked at.
    pub through: Sequence,
    /// The next entry may be past it, too.
    pub more: bool,
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
    /// At or above a fork of its log: kept, hidden.
    Disputed,
    /// Its member or a steward withdrew it: kept as far as that allows, not shown.
    Withdrawn,
    /// Past the group's retention: its body is gone.
    Expired,
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
            Self::Disputed => "disputed",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
        }
    }

    /// Whether the log it stands in keeps it from being shown, whatever it holds.
    #[must_use]
    pub const fn is_hidden(self) -> bool {
        matches!(self, Self::Quarantined | Self::Disputed)
    }

    /// Whether its content may be shown here, once it is open.
    #[must_use]
    pub const fn may_show(self) -> bool {
        !self.is_hidden() && !matches!(self, Self::Withdrawn | Self::Expired)
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
    /// Height of the roster its header names.
    pub written_at: Height,
    /// Height of the roster it was judged by.
    pub judged_at: Height,
    /// Whether a cut closes its log, so that it is shown only once the log is judged.
    pub in_closed_log: bool,
    /// Whether a cut ends at it.
    pub is_cut_point: bool,
    /// Whether a cut lists its log, and it may be an ancestor of the cut point.
    pub is_listed: bool,
    /// Whether the entry after it vouched for it, and its own signature is still to be checked.
    pub is_vouched: bool,
    /// As it travelled.
    pub bytes: Vec<u8>,
    /// Whether the body is with it.
    pub has_body: bool,
    /// How far it got.
    pub state: MessageState,
    /// Whether it is to be opened later, without waiting for a key.
    pub opens_later: bool,
    /// What it opened to.
    pub content: Option<OpenedRows>,
    /// Why it got no further.
    pub reason: Option<String>,
    /// What it withdraws, if that is what it is.
    pub withdraws: Option<Withdraws>,
}

/// A withdrawal's say and the messages it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdraws {
    /// What its effect depends on.
    pub word: Word,
    /// Messages named.
    pub targets: Vec<MessageId>,
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
    /// What its author asks of whoever handles it.
    pub conditions: Conditions,
    /// The objects.
    pub objects: Vec<ObjectRow>,
}

/// Conditions that go with a publication.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Conditions {
    /// Permissible actions, as on the wire; 0 if not stated.
    #[prost(int32, tag = "1")]
    pub pap: i32,
    /// Not outside the recipients before this time, in microseconds; 0 for none.
    #[prost(uint64, tag = "2")]
    pub embargo_until: u64,
    /// FIRST IEP 2.0 terms, `name=value`.
    #[prost(string, repeated, tag = "3")]
    pub terms: Vec<String>,
    /// A steward published it for a member that is not named.
    #[prost(bool, tag = "4")]
    pub on_behalf: bool,
    /// Why it went out although a guard objected; empty if that is not said.
    #[prost(string, tag = "5")]
    pub reason: String,
}

impl Conditions {
    /// Those in force for an object that states its own, under its permissible actions: what either asks.
    #[must_use]
    pub fn of_object(&self, pap: i32, stated: Option<&extension::Stated>) -> Self {
        let asked = Self { pap, ..self.clone() };
        match stated {
            Some(stated) => Self {
                embargo_until: stated.embargo_with(self.embargo_until),
                terms: stated.terms_with(&self.terms),
                ..asked
            },
            None => asked,
        }
    }
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
    /// Permissible actions in force, as on the wire; 0 if not stated.
    pub pap: i32,
    /// What its author states in it, of it alone.
    pub stated: Option<extension::Stated>,
    /// (type, normalised value), and whatever else it is entered under.
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
    /// Which of them are not.
    pub missing: MissingSum,
    /// Highest held at all.
    pub top: Sequence,
    /// Whether two messages claim one place, or links do not meet.
    pub forked: bool,
    /// The lowest place with two histories; 0 without a fork. The log is held up to below it.
    pub frozen: Sequence,
    /// Fingerprint of the closure it was judged by; empty for an open log.
    pub closure: Vec<u8>,
    /// Counts the envelopes that came.
    pub revision: u64,
    /// Second messages kept.
    pub seconds: u64,
    /// One log more than its certificate may have: hidden.
    pub surplus: bool,
    /// From here on there are entries whose own signature is still to be checked; 0 if there are none.
    pub unchecked: Sequence,
    /// The lowest of them that came since checking was last noted; 0 if none did.
    pub fresh: Sequence,
    /// Its entries, second messages included, by state.
    pub counts: Counts,
    /// Bytes of its entries, second messages included, as they are kept.
    pub bytes: u64,
}

/// One envelope of a log, for judging the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldEntry {
    /// Where it stands, and what it names.
    pub entry: Entry,
    /// How it is held.
    pub state: MessageState,
    /// Whether nothing is missing of it: its body is here, or gone by a withdrawal that stands.
    pub counts: bool,
    /// Whether it lies beside the message that has its place.
    pub is_beside: bool,
}

/// Signatures that were checked behind a page.
#[derive(Clone, Debug)]
pub struct CheckedLog {
    /// Group.
    pub group: GroupId,
    /// Log.
    pub log: LogId,
    /// Where checking began: what the log's row said.
    pub from: Sequence,
    /// The last entry checked; `None` if nothing is held from there on.
    pub through: Option<Sequence>,
    /// Entries whose signature does not verify.
    pub unsigned: Vec<MessageId>,
}

/// What a judgement changes; see [`belfry_proto::sync::judge_log`].
#[derive(Clone, Debug)]
pub struct JudgedLog {
    /// Group.
    pub group: GroupId,
    /// Log.
    pub log: LogId,
    /// To hide, and how.
    pub hide: Vec<(MessageId, MessageState)>,
    /// To show again.
    pub show: Vec<MessageId>,
    /// Those of the messages beside the log whose its places are.
    pub promote: Vec<(Sequence, MessageId)>,
    /// With the last part of it.
    pub end: Option<JudgedEnd>,
}

/// The end of a judgement: it holds if the log did not change since.
#[derive(Clone, Debug)]
pub struct JudgedEnd {
    /// [`LogRow::revision`] it was made at.
    pub revision: u64,
    /// Fingerprint of the closure it was made by.
    pub closure: Vec<u8>,
    /// The lowest fork.
    pub fork: Option<Sequence>,
    /// How far the log goes without a gap, once all is promoted: height, the message there, bodies up to it, and which
    /// are missing.
    pub frontier: (Sequence, MessageId, u64, MissingSum),
    /// One log more than its certificate may have.
    pub surplus: bool,
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
    /// Whether its body is here; false for what never had one, too.
    pub has_body: bool,
}

/// A withdrawal that names a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WithdrawalRow {
    /// What it says.
    pub word: Word,
    /// It is here, and nothing hides it.
    pub stands: bool,
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
    /// Durable, waiting for a person.
    Held,
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
    /// Why it waits for a person, or was refused.
    pub error: Option<String>,
    /// What it withdraws, behind its parts.
    pub withdraws: Option<Withdrawal>,
    /// Marking it goes out under; unspecified of a withdrawal, and of what was accepted before this was kept.
    pub tlp: Tlp,
    /// Why it goes out although a guard objected.
    pub reason: Option<String>,
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

/// A signed contact record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContactRow {
    /// Whose.
    pub member: MemberId,
    /// By which of its keys.
    pub signer: PublicKey,
    /// Encoded `Signed`.
    pub bytes: Vec<u8>,
}

/// An envelope that names a roster we do not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkRow {
    /// Message id.
    pub id: MessageId,
    /// Whose room it takes.
    pub parker: Parker,
    /// Our clock.
    pub received: Timestamp,
    /// As it travelled.
    pub bytes: Vec<u8>,
}
