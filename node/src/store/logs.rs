//! A log's row, and what follows from it and the log's entries.
//!
//! Most entries are the next of their log, and move its row by one: how far it goes, its head, one body and one entry more.
//! That can be read from the entries themselves, so the row is written with every so many of them only, or so many bytes, and
//! whenever more than that changes. At start the entries behind it are followed; while the node runs, the writer remembers how each log
//! stands, and readers ask [`super::frontiers`]. Rows of the node's own logs are written with every batch: how far it wrote must be
//! told by more than what it wrote.

use std::collections::{HashMap, HashSet};

use belfry_proto::{
    id::{GroupId, LogId, MessageId, Sequence},
    limits::{MAX_LOGS_PER_CERTIFICATE, MAX_TRANSMIT},
    sync::MissingSum,
};
use prost::Message;

use super::{
    ReadError,
    columns::{self, Cf},
    db::Db,
    past,
    rows::{EnvelopeRow, LogRow, MessageState},
    txn::{Resized, Shift, Txn},
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

/// Every log as it stands, as the writer remembers them.
pub(super) struct Logs {
    rows: HashMap<(GroupId, LogId), LogRow>,
    /// States that the change under way replaced.
    replaced: Vec<((GroupId, LogId), Option<LogRow>)>,
    /// Logs of which [`Self::take_changed`] has to tell.
    changed: HashSet<(GroupId, LogId)>,
    /// Logs whose rows are to be written.
    due: HashSet<(GroupId, LogId)>,
}

/// Which log is one more than its certificate may have.
pub(super) enum Surplus {
    None,
    /// That of the entry in hand.
    This,
    /// Another one, because the entry's own comes before it.
    Other(LogId),
}

impl Logs {
    pub(super) fn load(db: &Db) -> Result<Self, ReadError> {
        let rows: HashMap<_, _> = load(db)?.into_iter().map(|row| ((row.group, row.log), row)).collect();
        Ok(Self { changed: rows.keys().copied().collect(), rows, replaced: Vec::new(), due: HashSet::new() })
    }

    pub(super) fn known(&self, group: GroupId, log: LogId) -> Option<LogRow> {
        self.rows.get(&(group, log)).cloned()
    }

    /// The log that an entry is of; as it begins, if it is the first one held.
    pub(super) fn of(&self, row: &EnvelopeRow) -> LogRow {
        self.rows.get(&(row.group, row.log)).cloned().unwrap_or(LogRow {
            group: row.group,
            log: row.log,
            member: row.member,
            serial: row.serial,
            low: Sequence::new(1),
            height: Sequence::new(0),
            head: MessageId::ZERO,
            bodies: 0,
            top: Sequence::new(0),
            forked: false,
            frozen: Sequence::new(0),
            missing: MissingSum::default(),
            closure: Vec::new(),
            revision: 0,
            seconds: 0,
            surplus: false,
            unchecked: Sequence::new(0),
            fresh: Sequence::new(0),
            counts: Counts::default(),
            bytes: 0,
        })
    }

    /// Notes a log's new state; its row is written once a batch ([`Self::put_rows`]).
    pub(super) fn put(&mut self, log: LogRow) {
        self.due.insert((log.group, log.log));
        self.remember(log);
    }

    /// Notes a log's new state, which follows from its row and its entries: see [`super::logs`].
    pub(super) fn remember(&mut self, log: LogRow) {
        let name = (log.group, log.log);
        let before = self.rows.insert(name, log);
        self.changed.insert(name);
        self.replaced.push((name, before));
    }

    /// Has a log's row written with this batch, even if it follows from its entries.
    pub(super) fn write_row(&mut self, group: GroupId, log: LogId) {
        self.due.insert((group, log));
    }

    /// Counts messages that a change moved or resized with their logs.
    pub(super) fn count(&mut self, txn: &mut Txn<'_>) {
        for Shift { place, from, to } in txn.take_shifts() {
            if let Some(mut log) = self.at(&place) {
                log.counts.shift(from, to);
                self.put(log);
            }
        }
        for Resized { place, from, to } in txn.take_resized() {
            if let Some(mut log) = self.at(&place) {
                log.bytes = log.bytes.saturating_sub(from) + to;
                self.put(log);
            }
        }
    }

    /// The log that a message lies in.
    fn at(&self, place: &[u8]) -> Option<LogRow> {
        let (group, log, _) = columns::read_place(place.get(..columns::PLACE_LEN)?)?;
        self.known(group, log)
    }

    /// Whether this log is one more than its certificate may have in the group, or makes another one so. Those with
    /// the smallest ids count, and those that a cut lists: which came first must not matter, or nodes would differ.
    pub(super) fn surplus_for(&self, row: &EnvelopeRow) -> Surplus {
        let known = self.rows.get(&(row.group, row.log));
        if row.is_listed || known.is_some_and(|log| !log.surplus) {
            return Surplus::None;
        }
        let same = |log: &&LogRow| log.group == row.group && log.serial == row.serial;
        let mut smallest: Vec<LogId> = self.rows.values().filter(same).map(|log| log.log).collect();
        smallest.sort_unstable();
        match smallest.get(MAX_LOGS_PER_CERTIFICATE - 1) {
            None => Surplus::None,
            Some(last) if *last < row.log || known.is_some() => Surplus::This,
            Some(last) => Surplus::Other(*last),
        }
    }

    /// Logs that changed since the last call, as they stand now.
    pub(super) fn take_changed(&mut self) -> Vec<LogRow> {
        self.changed.drain().filter_map(|name| self.rows.get(&name)).cloned().collect()
    }

    /// Puts the rows of logs that are due with this batch: a page changes one log as often as it has entries.
    pub(super) fn put_rows(&mut self, txn: &mut Txn<'_>) {
        for log in self.due.drain().filter_map(|name| self.rows.get(&name)) {
            txn.put(Cf::Logs, columns::log(log.group, log.log), LogValue::of(log).encode_to_vec());
        }
    }

    /// Ends a change that is whole.
    pub(super) fn keep(&mut self) {
        self.replaced.clear();
    }

    /// Takes back what the last change did.
    pub(super) fn undo(&mut self) {
        while let Some((name, before)) = self.replaced.pop() {
            match before {
                Some(row) => self.rows.insert(name, row),
                None => self.rows.remove(&name),
            };
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

#[cfg(test)]
mod tests;
