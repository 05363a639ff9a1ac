//! The sole reader, and the one place that authorises.
//!
//! Every way out (TAXII, REST, stream, later exports and console) asks here, with the [`Principal`] its
//! token stands for. A row leaves the store as an `ObjectView`, which this floor shows nobody; it leaves
//! here as a [`Shown`], which only [`authorise`] makes:
//!
//! ```text
//! token text ─verify─▶ Principal ─readable(group)─▶ Readable ─page(filter)─▶ [ObjectView ─permits─▶ Shown]
//! ```
//!
//! So an endpoint cannot forget the check: without it there is nothing of a type it could send. What tools act on
//! passes one more gate, which knows what a way out stands for: only [`release`] makes a [`Released`].

mod activity;
mod authorise;
mod before;
mod chosen;
mod claims;
mod contacts;
mod cursor;
mod envelope;
mod equivocations;
mod events;
mod export;
pub mod filter;
mod forks;
mod groups;
mod heads;
mod leaving;
pub mod lists;
pub mod lookup;
mod members;
mod messages;
mod newcomers;
mod newest;
mod objects;
mod principal;
mod proposals;
mod reach;
mod release;
mod said;
mod sightings;
mod status;
pub mod subject;
mod survey;
mod tokens;
mod unanswered;

use std::sync::Arc;

use belfry_proto::{
    crypto::{secret::Secret, sign::PublicKey},
    id::MemberId,
    trust::{charter::Charter, roster::Roster},
};
use tokio::sync::Semaphore;

pub(crate) use self::members::{alike, candidate, member_named};
use self::{activity::Counted, lists::Lists};
pub use self::{
    activity::{Activity, Month},
    authorise::{Publishable, Readable, Shown},
    contacts::{ContactView, MailboxView},
    cursor::CursorError,
    equivocations::EquivocationView,
    events::{Events, Gap, Interest},
    export::{Edition, Entry, ExportView, Place, Snapshot},
    filter::{Filter, VersionMatch},
    forks::ForkView,
    groups::GroupView,
    heads::{HeadView, HeadsError},
    leaving::{Leaves, Leaving, MOST_LATE},
    members::{MemberView, NameError},
    messages::{MessageView, WithdrawalView},
    newcomers::{HoldError, NewIn, NewNode, Newcomer, newcomers},
    objects::{OwnVersions, Page, PageRequest},
    principal::{Groups, Principal, Scope, ScopeError, TokenId, TokenIdError},
    proposals::{ProposalView, Standing},
    reach::{Gain, Proposed},
    release::Released,
    sightings::{Entrusted, Sightable, Waiting, hours, sighting, told_id},
    status::{GroupStatus, StatusView, over_disk_quota},
    tokens::{
        CreateError, MAX_OVERLAP, Made, PREFIX, RotateError, TokenError, TokenRowError, TokenText, TokenView,
        Tokens,
    },
    unanswered::Unanswered,
};
pub use crate::words;
use crate::{
    config::Export,
    refusals::Refusals,
    roster::LiveRoster,
    store::{ReadError, Store, WriteError},
};

/// Reads running at once on blocking threads. Too low ⇒ tools wait for each other; too high ⇒ pages of
/// several megabytes pile up in memory, and both cores with them.
const MAX_READS: usize = 16;

/// Name of the token that the daemon leaves for its own machine's command line.
pub const CLI_TOKEN: &str = "cli";

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The charter has no such group.
    #[error("there is no group `{name}`; this token may ask for {}", if known.is_empty() { "none".to_owned() } else { known.join(", ") })]
    UnknownGroup {
        /// As given.
        name: String,
        /// Slugs of those within its scope.
        known: Vec<String>,
    },
    /// There is, but not for this token.
    #[error("this token does not read the group `{0}`")]
    NotReadable(String),
    /// There is, but not for this token's publishing.
    #[error("this token does not publish to the group `{0}`")]
    NotPublishable(String),
    /// The token may, this node's certificate may not.
    #[error("this node does not publish to the group `{group}`: {reason}")]
    NotAPublisher {
        /// Slug.
        group: String,
        /// What the certificate is or lacks.
        reason: &'static str,
    },
    /// Not in the group, or not for this token; which of the two is not told.
    #[error("there is no such object for this token")]
    UnknownObject,
    /// As above, for a message.
    #[error(
        "this node has no such message, or none for this token; nor has it refused one of late, since its start at least"
    )]
    UnknownMessage,
    /// Asked by a token for outside.
    #[error("this is told within the organisation only, and this token is for outside")]
    InsideOnly,
    /// Not configured, or of groups this token does not read; which of the two is not told.
    #[error("there is no export of this name for this token")]
    UnknownExport,
    /// More than one list may hold.
    #[error("the export has more than {0} values; narrow its types or raise its minimum score")]
    TooLarge(usize),
    /// A foreign `next`.
    #[error(transparent)]
    Cursor(#[from] CursorError),
    /// Every read slot is taken, and stayed so.
    #[error("too many reads are running")]
    Busy,
    /// The store could not be read.
    #[error("reading the store")]
    Read(#[from] ReadError),
    /// The store could not be written.
    #[error("writing the store")]
    Write(#[from] WriteError),
    /// A stored token cannot be read back.
    #[error("reading a stored token")]
    Row(#[from] TokenRowError),
    /// The reading thread ended before its answer.
    #[error("a read ended without an answer")]
    Died,
}

/// What the coalition's members accept.
#[derive(Clone, Debug)]
pub struct Texts {
    /// Names the texts.
    pub charter: Charter,
    /// Whether this node's member has accepted them; `None` without a certificate.
    pub accepted: Option<bool>,
}

/// Handle to every read.
#[derive(Clone)]
pub struct Query {
    inner: Arc<Inner>,
    tokens: Tokens,
    reads: Arc<Semaphore>,
    counted: Counted,
    unanswered: unanswered::Counted,
}

struct Inner {
    store: Store,
    roster: LiveRoster,
    /// This node's key; its certificate says what the member itself may.
    node: PublicKey,
    lists: Lists,
    exports: Vec<Export>,
    refusals: Refusals,
}

impl Inner {
    /// This node's member; none without a certificate.
    fn own_member(&self) -> Option<MemberId> {
        self.roster.snapshot().by_node(&self.node).map(|own| own.member)
    }

    fn copied(&self) -> Self {
        Self {
            store: self.store.clone(),
            roster: self.roster.clone(),
            node: self.node,
            lists: self.lists.clone(),
            exports: self.exports.clone(),
            refusals: self.refusals.clone(),
        }
    }
}

impl Query {
    /// Over a store, the live roster and this node's key; `master` is the store's, from which the token
    /// key is derived.
    ///
    /// # Errors
    /// The stored tokens cannot be read.
    pub fn open(
        store: Store,
        roster: LiveRoster,
        node: PublicKey,
        master: &Secret,
    ) -> Result<Self, QueryError> {
        let tokens = Tokens::open(store.clone(), master)?;
        Ok(Self {
            inner: Arc::new(Inner {
                store,
                roster,
                node,
                lists: Lists::default(),
                exports: Vec::new(),
                refusals: Refusals::default(),
            }),
            tokens,
            reads: Arc::new(Semaphore::new(MAX_READS)),
            counted: Counted::default(),
            unanswered: unanswered::Counted::default(),
        })
    }

    /// The same reader, with what it may serve to tools and what never stands there.
    #[must_use]
    pub fn with_exports(self, exports: Vec<Export>, lists: Lists) -> Self {
        let inner = Inner { lists, exports, ..self.inner.copied() };
        Self { inner: Arc::new(inner), ..self }
    }

    /// The same reader, which also tells of messages that were refused.
    #[must_use]
    pub fn with_refusals(self, refusals: Refusals) -> Self {
        let inner = Inner { refusals, ..self.inner.copied() };
        Self { inner: Arc::new(inner), ..self }
    }

    /// Access tokens.
    #[must_use]
    pub const fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// The charter in force, whose texts members accept, and whether this node's member has.
    #[must_use]
    pub fn texts(&self) -> Texts {
        let roster = self.roster();
        let charter = roster.charter().clone();
        let own = roster.by_node(&self.inner.node).map(|own| own.member);
        Texts { accepted: own.map(|own| roster.has_accepted(own, &charter)), charter }
    }

    /// The coalition's name, by its newest charter.
    #[must_use]
    pub fn coalition_name(&self) -> String {
        self.roster().charter().name().to_owned()
    }

    fn roster(&self) -> Arc<Roster> {
        self.inner.roster.snapshot()
    }

    /// Runs `work` where it may block: the store decrypts and waits for the disk.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, QueryError> {
        let place = self.reads.clone().acquire_owned().await.map_err(|_| QueryError::Busy)?;
        let inner = self.inner.clone();
        tokio::task::spawn_blocking(move || {
            let answer = work(&inner);
            drop(place);
            answer
        })
        .await
        .unwrap_or(Err(QueryError::Died))
    }
}
