//! What this node keeps: one RocksDB database, sealed at rest, written by one at a time.
//!
//! ```text
//! commit(Change) ─▶ prepare ─▶ queue ─▶ writer: one batch of many ─▶ one synced write ─▶ acknowledged
//! reads ─▶ snapshot-free point and range reads of synced rows, values opened on the way out
//! ```
//!
//! The store verifies nothing: it is handed admitted envelopes and rows that the use-cases made. It
//! decides three things only, because only the one writer can: `date_added` of an object (strictly
//! increasing and unique in its group), how far each log is held without a gap, and the feed's sequence.
//!
//! A [`Change`] is one durable step. `apply` tells it to the file of its subject, where the same rows are read:
//!
//! - what comes in: `envelopes` (an entry's place, `links` to its neighbours, `logs`), `parking`, `opening`,
//!   `claims` of objects, whose they are (`ownership`) and their order in the `feed`
//! - what goes out of sight again: `judged`, `withdrawals`, `retention`, by way of `leaving` (a message) and `removal` (its
//!   rows); what comes into the sight of readers outside: `embargo`
//! - what is this node's own: `drafts`, `keys`, `tokens`, `cursors`
//! - what all members hold: `admin`
//!
//! At rest every value that could tell intelligence is sealed ([`vault`]); object ids and observables stand
//! in keys as keyed hashes. Group, type, TLP, times, sizes and counts are visible, and so are the headers
//! of envelopes, which are kept as they travelled.

mod admin;
mod apply;
mod basis;
mod bloom;
mod change;
mod check;
mod checkpoint;
mod claims;
mod columns;
mod cursors;
mod damage;
mod db;
mod drafts;
mod embargo;
mod envelopes;
mod error;
mod feed;
mod frontiers;
mod heal;
mod judged;
mod keys;
mod leaving;
mod links;
mod logs;
mod messages;
mod migrate;
mod named_once;
mod objects;
mod observables;
mod open;
mod opening;
mod ownership;
mod pages;
mod parking;
mod past;
mod prepared;
mod presence;
mod purge;
mod removal;
mod retention;
mod revision;
mod rows;
mod salvage;
mod sayings;
mod scrub;
mod tokens;
mod txn;
mod unsure;
mod values;
mod vault;
mod withdrawals;
mod writer;

use std::{path::Path, sync::Arc};

use belfry_proto::{
    crypto::{secret::Secret, sign::PublicKey},
    id::CoalitionId,
};
use futures::executor::block_on;
use tokio::sync::watch;

pub use basis::{Basis, Given};
pub use change::{Change, Committed};
pub use check::{CheckedColumn, Health};
pub use embargo::Embargo;
pub use envelopes::Served;
pub use error::{MemoryError, OpenError, ReadError, WriteError, unread_file};
pub use feed::FeedPage;
pub use heal::{aside, replace, size, staging};
pub use judged::ForkProof;
pub use logs::Counts;
pub use migrate::Version;
pub use objects::ObjectView;
pub use observables::{Entered, Looks, Most, Sought};
#[cfg(test)]
pub(crate) use ownership::MOST_CLAIMS;
pub use ownership::{Claimed, counts_since, owner};
pub use pages::{Page, PageQuery};
pub use parking::Parker;
pub use past::Lost;
pub use prepared::Prepared;
pub use presence::Present;
pub use purge::PurgeNote;
pub use revision::Revision;
pub use rows::{
    AddressRow, Aged, CheckedLog, Conditions, ContactRow, DraftRow, DraftState, EnvelopeRow, HeldEntry,
    JudgedEnd, JudgedLog, KeyRow, LogRow, MessageRow, MessageState, ObjectRow, OpenedRows, ParkRow, Reweigh,
    TokenRow, WithdrawalRow, Withdraws,
};
pub use salvage::{Carried, Numbered, Salvage, Salvaged};
pub use sayings::{Rows, Versions};
pub use scrub::{Scrub, Scrubbed};
pub use writer::{Answer, HandedIn, Pending, Told};

use crate::space::Space;

/// Whose database this is. A data folder opened by anybody else is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Coalition.
    pub coalition: CoalitionId,
    /// Node key of the certificate.
    pub node: PublicKey,
}

impl Owner {
    /// As the database notes it.
    fn bytes(&self) -> Vec<u8> {
        [self.coalition.as_ref(), self.node.as_bytes()].concat()
    }
}

/// Handle to the store; clones share it.
#[derive(Clone)]
pub struct Store {
    db: Arc<db::Db>,
    writer: writer::Writer,
    frontiers: Arc<frontiers::Frontiers>,
    space: Space,
    /// Bytes of one member in one group, if the operator says.
    member_quota: Option<u64>,
    /// Held until the last handle goes.
    _keeper: Arc<presence::Keeper>,
}

/// The admin log as it is stored, encoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdminRows {
    /// Charters, oldest first.
    pub charters: Vec<Vec<u8>>,
    /// Records, in order of their heights.
    pub records: Vec<Vec<u8>>,
}

/// Of how many parts of the file system one member may fill one, in each group, unless the operator says otherwise. What is
/// read from messages takes a few times their room, and there are a dozen groups: so no single member fills a disk.
const PART: u64 = 64;

impl Store {
    /// Opens or creates the database under `path`.
    ///
    /// # Errors
    /// [`OpenError`], each naming the mend.
    pub fn open(path: &Path, owner: Owner, master: &Secret) -> Result<Self, OpenError> {
        let db = Arc::new(open::open(path, owner, master)?);
        let frontiers = Arc::new(frontiers::Frontiers::new(owner.coalition));
        let writer = writer::Writer::start(Arc::clone(&db), Arc::clone(&frontiers))?;
        let keeper = Arc::new(presence::Keeper::start(&db)?);
        Ok(Self { db, writer, frontiers, space: Space::unlimited(), member_quota: None, _keeper: keeper })
    }

    /// Which version the database under `path` is of, whoever has it open; `None` if there is none yet. The next
    /// [`Self::open`] migrates an older one.
    ///
    /// # Errors
    /// [`OpenError`]: one that this belfry cannot open, or RocksDB's.
    pub fn version(path: &Path) -> Result<Option<Version>, OpenError> {
        open::version(path)
    }

    /// The admin log that the database under `path` holds, whoever has it open; nothing if there is none yet.
    ///
    /// # Errors
    /// [`OpenError`]: RocksDB's.
    pub fn admin_rows(path: &Path) -> Result<AdminRows, OpenError> {
        open::admin_rows(path)
    }

    /// The same store, on a file system whose free space is watched. Whoever brings new content asks
    /// [`Self::has_room`] first; what is committed regardless is written.
    #[must_use]
    pub fn with_space(self, space: Space) -> Self {
        Self { space, ..self }
    }

    /// The same store, which says that so much may be kept of one member in one group.
    #[must_use]
    pub fn with_member_quota(self, member_quota: Option<u64>) -> Self {
        Self { member_quota, ..self }
    }

    /// Bytes of messages that may be kept of one member in one group. Whoever brings them asks; what is committed
    /// regardless is written.
    #[must_use]
    pub fn member_quota(&self) -> u64 {
        self.member_quota.unwrap_or_else(|| self.space.size() / PART)
    }

    /// Whether new content may be written: false below the free-space floor, until there is room again.
    #[must_use]
    pub fn has_room(&self) -> bool {
        !self.space.is_short()
    }

    /// What is known of the room left.
    #[must_use]
    pub const fn space(&self) -> &Space {
        &self.space
    }

    /// Makes a change durable. Resolves after the synced write that holds it.
    ///
    /// # Errors
    /// [`WriteError`]; the change is then not there, or (after a failed sync) not known to be.
    pub async fn commit(&self, change: Change) -> Result<Committed, WriteError> {
        self.enqueue(vec![self.prepare(change)]).await?.one().await
    }

    /// [`Self::commit`] for callers on blocking threads.
    ///
    /// # Errors
    /// As [`Self::commit`].
    pub fn commit_blocking(&self, change: Change) -> Result<Committed, WriteError> {
        let (handed_in, pending) = block_on(self.writer.hand_in(vec![self.prepare(change)], None))?;
        handed_in.write();
        // What is left of it is the writer's, who is woken.
        drop(handed_in);
        pending.one_blocking()
    }

    /// Does what can be done to a change before its turn comes: hashing and compressing of objects.
    #[must_use]
    pub fn prepare(&self, change: Change) -> Prepared {
        Prepared::of(&self.db.vault, change)
    }

    /// Queues changes for the writer, behind all that were queued before, without waiting for the disk.
    ///
    /// # Errors
    /// [`WriteError::Closed`].
    pub async fn enqueue(&self, changes: Vec<Prepared>) -> Result<Pending, WriteError> {
        Ok(self.writer.hand_in(changes, None).await?.1)
    }

    /// [`Self::enqueue`]; `told` is called with the answers by whoever writes, the moment they are known.
    ///
    /// # Errors
    /// [`WriteError::Closed`]; `told` is not called then.
    pub async fn enqueue_telling(&self, changes: Vec<Prepared>, told: Told) -> Result<Pending, WriteError> {
        Ok(self.writer.hand_in(changes, Some(told)).await?.1)
    }

    /// [`Self::enqueue_telling`] for callers on blocking threads: written there if nobody writes. Returns when all of it is
    /// known to be durable, or not.
    ///
    /// # Errors
    /// [`WriteError::Closed`]; `told` is not called then.
    pub fn write_telling_blocking(&self, changes: Vec<Prepared>, told: Told) -> Result<(), WriteError> {
        let (handed_in, pending) = block_on(self.writer.hand_in(changes, Some(told)))?;
        handed_in.write();
        drop(handed_in);
        pending.wait_blocking();
        Ok(())
    }

    /// [`Self::enqueue_telling`] for callers on blocking threads, who may then write themselves.
    ///
    /// # Errors
    /// [`WriteError::Closed`]; `told` is not called then.
    pub fn hand_in_telling_blocking(
        &self,
        changes: Vec<Prepared>,
        told: Told,
    ) -> Result<HandedIn, WriteError> {
        Ok(block_on(self.writer.hand_in(changes, Some(told)))?.0)
    }

    /// The feed's newest durable sequence, and every later one as it comes.
    #[must_use]
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.writer.newest()
    }

    /// Counts on whenever withdrawals are to be looked at.
    #[must_use]
    pub fn reweighs(&self) -> watch::Receiver<u64> {
        self.writer.reweighs()
    }

    /// Whether writes still go through; false after a hard write error, until the process restarts.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.writer.is_writable()
    }

    /// What was met first that does not read as it was written, by anybody; `None` while all does.
    #[must_use]
    pub fn damage(&self) -> watch::Receiver<Option<ReadError>> {
        self.db.vault.damage.told()
    }

    /// Resolves when writes no longer go through. A restart looks at the disk anew; nothing less does.
    pub async fn stopped(&self) {
        self.writer.stopped().await;
    }
}

#[cfg(test)]
mod tests;
