//! What is asked of the writer, and what came of it.

use belfry_proto::{
    id::{GroupId, Height, MemberId, MessageId, PublicationId, RosterVersion, StatementId},
    time::Timestamp,
};

use super::{
    basis::Given,
    embargo::Embargo,
    purge::PurgeNote,
    rows::{
        AddressRow, Aged, CheckedLog, ContactRow, DraftRow, EnvelopeRow, JudgedLog, KeyRow, OpenedRows,
        ParkRow, Reweigh, TokenRow,
    },
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
        /// Its group.
        group: GroupId,
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
    /// Several that are one deed: all of them, or none.
    Drafts {
        /// In their order.
        rows: Vec<DraftRow>,
        /// What it was decided on: nothing is kept if that is no longer so.
        given: Option<Given>,
    },
    /// A draft became messages: all of them, and its status, at once.
    Flushed {
        /// Which draft.
        publication: PublicationId,
        /// Its messages, in log order.
        envelopes: Vec<EnvelopeRow>,
    },
    /// A submission that became messages before it was acknowledged: the draft, its messages and its status, at once.
    Published {
        /// The draft, as it would be queued.
        draft: DraftRow,
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
    /// A person lets a held draft go out.
    DraftReleased {
        /// Which.
        publication: PublicationId,
        /// Why, although a guard objects.
        reason: Option<String>,
        /// What goes out.
        parts: Vec<Vec<u8>>,
        /// What it was decided on: it stays held if that is no longer so.
        given: Option<Given>,
    },
    /// A person takes a held draft away.
    DraftDiscarded {
        /// Which.
        publication: PublicationId,
    },
    /// An access token.
    Token(TokenRow),
    /// A token that no longer is one.
    TokenRevoked([u8; 8]),
    /// The newest beacon whose head is here, encoded.
    Beacon(Vec<u8>),
    /// How far a hook is.
    Hook {
        /// Its name.
        name: String,
        /// In its own words; no intelligence.
        state: Vec<u8>,
    },
    /// How far a source is.
    Source {
        /// Its name.
        name: String,
        /// In its own words; no intelligence.
        state: Vec<u8>,
    },
    /// Two entries that the registrar signed for one height, encoded records.
    Equivocation {
        /// The height.
        height: Height,
        /// Ours and the other.
        records: [Vec<u8>; 2],
        /// The height whose proof is let go for it.
        instead_of: Option<Height>,
    },
    /// A removal that the admin log has not decided on.
    RemovalSeen {
        /// Its statement.
        statement: StatementId,
        /// Encoded record; without an entry if nobody ordered it.
        record: Vec<u8>,
    },
    /// Removals that log or charter have settled.
    RemovalsSettled(Vec<StatementId>),
    /// Keys older than its entitlement are kept from a member, from now on, or no longer.
    Hold {
        /// Which.
        member: MemberId,
        /// Since when; `None` to release it.
        since: Option<Timestamp>,
    },
    /// Entries of the admin log that are noted as of a time to come, or by a clock that nobody vouched for, were here by now.
    Seen {
        /// Which: [`super::Store::unsure_entries`].
        heights: Vec<Height>,
        /// Now.
        at: Timestamp,
    },
    /// So were erasures that such a clock noted, some or all of them ([`super::Store::has_unsure_words`]).
    WordsSeen {
        /// Now.
        at: Timestamp,
    },
    /// Where a node is.
    Address(AddressRow),
    /// A member's contact, in the place of the one before.
    Contact(ContactRow),
    /// It is kept no longer.
    ContactGone(MemberId),
    /// What was found of a log as a whole, some or all of it.
    Judged(JudgedLog),
    /// Signatures of a log's entries were checked.
    Checked(CheckedLog),
    /// Objects that lost a row to be met again or buried, at most about so many rows of them.
    Surface(usize),
    /// A restored envelope whose key is not here: it waits for it, as it did once.
    Reseal(MessageId),
    /// An envelope ahead of our roster.
    Park(ParkRow),
    /// Parked envelopes that found their verdict.
    Unpark(Vec<MessageId>),
    /// Lets the bodies of a log's oldest entries go: see [`super::Store::aged`].
    Expire(Aged),
    /// Looks again at what withdrawals come to, for these messages, due by `now`.
    Reweigh {
        /// From [`super::Store::to_reweigh`].
        work: Vec<Reweigh>,
        /// The clock that tells whether a body has to go; at zero none goes by its date.
        now: Timestamp,
    },
    /// Rows whose earlier values have left the disk.
    Purged(Vec<PurgeNote>),
    /// Embargoes that are over: what they kept inside is met outside now. Those beyond a bounded number of rows stay for the next
    /// time.
    EmbargoesOver {
        /// From [`super::Store::embargoes_over`].
        over: Vec<Embargo>,
        /// By which clock: others vouch for it, for what is met once is not met again.
        now: Timestamp,
    },
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
        /// Its log is to be judged as a whole.
        unjudged: bool,
    },
    /// Was there already; nothing changed.
    Duplicate,
    /// Another message has its place in the log; both are kept, neither is shown.
    Fork {
        /// The first.
        existing: MessageId,
    },
    /// What it was decided on changed meanwhile, as the log that was judged: nothing is done; look again.
    Outdated,
    /// Some of it is done, the rest waits to be committed likewise.
    More,
    /// The author's certificate has as many logs in the group as it may; nothing is stored.
    TooManyLogs,
    /// Withdrawals were looked at.
    Reweighed {
        /// Messages stand again, and are to be opened again.
        reopens: bool,
    },
}
