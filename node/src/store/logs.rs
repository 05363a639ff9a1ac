//! A log's row, and what follows from it and the log's entries.
//!
//! Most entries are the next of their log, and move its row by one: how far it goes, its head, one body and one entry more.
//! That can be read from the entries themselves, so the row is written with every so many of them only, or so many bytes, and
//! whenever more than that changes. At start the entries behind it are followed; while the node runs, the writer remembers how each log
//! stands, and readers ask [`super::frontiers`]. Rows of the node's own logs are written with every batch: how far it wrote must be
//! told by more than what it wrote.

use belfry_proto::{
    id::{GroupId, LogId, Sequence},
    limits::MAX_TRANSMIT,
};
use prost::Message;

use super::{
    ReadError,
    columns::{self, Cf},
    open::Db,
    past,
    rows::{LogRow, MessageState},
    values::{EnvelopeValue, LogValue},
    vault::damaged,
};

/// Entries between two writes of a log's row. Too low ⇒ a row more for each message, too high ⇒ a start that reads long.
const FOLLOWED: u64 = 64;
/// Bytes of entries between two writes of a log's row: as many as one largest message has, and as [`FOLLOWED`] of an ordinary
/// size. Too low ⇒ as above, too high ⇒ whoever writes the largest messages makes every start read as many megabytes a log.
const FOLLOWED_BYTES: u64 = MAX_TRANSMIT as u64;

/// How many envelopes are in which state.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Counts {
    /// Waiting for their key.
    #[prost(uint64, tag = "1")]
    pub sealed: u64,
    /// Content stored and shown.
    #[prost(uint64, tag = "2")]
    pub opened: u64,
    /// Not for this node, or unreadable.
    #[prost(uint64, tag = "3")]
    pub closed: u64,
    /// Beyond a cut.
    #[prost(uint64, tag = "4")]
    pub quarantined: u64,
    /// At or above a fork.
    #[prost(uint64, tag = "5")]
    pub disputed: u64,
    /// Withdrawn by their member or a steward.
    #[prost(uint64, tag = "6")]
    pub withdrawn: u64,
    /// Past their group's retention.
    #[prost(uint64, tag = "7")]
    pub expired: u64,
}

impl Counts {
    /// Moves one envelope into `to`, out of `from` if it was counted before.
    pub(super) const fn shift(&mut self, from: Option<MessageState>, to: MessageState) {
        if let Some(from) = from {
            *self.of(from) = self.of(from).saturating_sub(1);
        }
        *self.of(to) += 1;
    }

    /// Adds those of another log.
    pub(super) const fn add(mut self, other: &Self) -> Self {
        self.sealed += other.sealed;
        self.opened += other.opened;
        self.closed += other.closed;
        self.quarantined += other.quarantined;
        self.disputed += other.disputed;
        self.withdrawn += other.withdrawn;
        self.expired += other.expired;
        self
    }

    const fn of(&mut self, state: MessageState) -> &mut u64 {
        match state {
            MessageState::Sealed => &mut self.sealed,
            MessageState::Opened => &mut self.opened,
            MessageState::Closed => &mut self.closed,
            MessageState::Quarantined => &mut self.quarantined,
            MessageState::Disputed => &mut self.disputed,
            MessageState::Withdrawn => &mut self.withdrawn,
            MessageState::Expired => &mut self.expired,
        }
    }
}

/// Whether the row of a log that an entry of this size has just gone on may be left as it was. The first entry always writes
/// one.
pub(super) const fn may_follow(log: &LogRow, size: u64) -> bool {
    let is_stretch_full = log.bytes / FOLLOWED_BYTES != log.bytes.saturating_sub(size) / FOLLOWED_BYTES;
    log.frozen.get() == 0
        && !log.forked
        && log.top.get() > 1
        && !log.top.get().is_multiple_of(FOLLOWED)
        && !is_stretch_full
}

/// Every log as it stands.
pub(super) fn load(db: &Db) -> Result<Vec<LogRow>, ReadError> {
    let mut logs = Vec::new();
    for row in db.scan(Cf::Logs, &[], &[]) {
        let (key, value) = row?;
        let fault = || damaged(Cf::Logs, &key, "does not decode");
        let (group, log) = key.split_first_chunk::<4>().ok_or_else(fault)?;
        let log = LogId::try_from(log).map_err(|_| fault())?;
        let value = LogValue::decode(value.as_ref()).map_err(|_| fault())?;
        let mut row = value.row(GroupId::new(u32::from_be_bytes(*group)), log).map_err(|_| fault())?;
        follow(db, &mut row);
        logs.push(row);
    }
    Ok(logs)
}

/// Moves a row on by the entries behind it, as far as they read: what does not is noted as damage, and does not keep the
/// store from opening. What lies behind it comes again by sync.
fn follow(db: &Db, log: &mut LogRow) {
    if log.height != log.top || log.frozen.get() != 0 || log.forked {
        return;
    }
    let from = columns::place(log.group, log.log, Sequence::new(log.top.get() + 1));
    let prefix = columns::log(log.group, log.log);
    for row in past::rows_from(db, Cf::Envelopes, &from) {
        let (key, value) = match row {
            Ok((key, value)) if key.starts_with(&prefix) => (key, value),
            Ok(_) => return,
            Err(error) => {
                db.vault.damage.met(error.into());
                return;
            }
        };
        if go_on(log, &key, &value).is_none() {
            db.vault.damage.met(damaged(Cf::Envelopes, &key, "does not go on from its log's row"));
            return;
        }
    }
}

/// Moves a row on by its next entry, if it is that.
fn go_on(log: &mut LogRow, key: &[u8], value: &[u8]) -> Option<()> {
    let next = Sequence::new(log.top.get() + 1);
    let value = EnvelopeValue::decode(value).ok()?;
    let (id, prev) = (value.id().ok()?, value.prev().ok()?);
    if key != columns::place(log.group, log.log, next) || prev != log.head || !value.counts() {
        return None;
    }
    (log.height, log.top, log.head) = (next, next, id);
    log.bodies += 1;
    log.bytes += value.size();
    log.revision += 1;
    log.counts.shift(None, value.state());
    Some(())
}
