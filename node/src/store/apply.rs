//! Changes into rows. Runs on the writer thread only, so reading before writing races with nobody.

use std::collections::HashMap;

use belfry_proto::{
    id::{GroupId, LogId, MessageId, RosterVersion, Sequence},
    schema::{self, Tlp},
    time::Timestamp,
};
use prost::Message;

use super::{
    ReadError, WriteError,
    columns::{self, Cf, Key},
    envelopes::{Counts, counts_key},
    objects,
    open::Db,
    rows::{Change, Committed, DraftRow, DraftState, EnvelopeRow, KeyRow, LogRow, MessageState, OpenedRows},
    txn::Txn,
    values::{DraftValue, EnvelopeValue, KeyValue, LogValue},
    vault::{SYSTEM, damaged},
};

/// Where the admin head stands in [`Cf::Meta`].
pub(super) const HEAD_KEY: &[u8] = b"admin-head";
/// Parked envelopes kept; a few thousand cover a registrar's busy day, more is somebody's flood.
const MAX_PARKED: usize = 4096;

/// What the writer remembers between batches.
pub(super) struct Applier {
    logs: HashMap<(GroupId, LogId), LogRow>,
    /// Log states that the change under way replaced.
    replaced: Vec<((GroupId, LogId), Option<LogRow>)>,
    last_added: HashMap<GroupId, u64>,
    feed: u64,
    parked: usize,
}

impl Applier {
    pub(super) fn load(db: &Db) -> Result<Self, ReadError> {
        let mut logs = HashMap::new();
        for row in super::envelopes::log_rows(db, &[])? {
            logs.insert((row.group, row.log), row);
        }
        let feed = db
            .rocks
            .iterator_cf(db.cf(Cf::Feed), rocksdb::IteratorMode::End)
            .next()
            .transpose()?
            .and_then(|(key, _)| <[u8; 8]>::try_from(key.as_ref()).ok())
            .map_or(0, u64::from_be_bytes);
        let parked = db.scan(Cf::Parked, &[], &[]).count();
        Ok(Self { logs, replaced: Vec::new(), last_added: HashMap::new(), feed, parked })
    }

    /// Ends a change that is whole.
    pub(super) fn keep(&mut self) {
        self.replaced.clear();
    }

    /// Takes back what the last change did to the remembered log states. Numbers it used up stay used.
    pub(super) fn undo(&mut self) {
        while let Some((name, before)) = self.replaced.pop() {
            match before {
                Some(row) => self.logs.insert(name, row),
                None => self.logs.remove(&name),
            };
        }
    }

    /// Applies one change to the batch. On an error the caller undoes what the batch got from it.
    pub(super) fn apply(&mut self, txn: &mut Txn<'_>, change: Change) -> Result<Committed, WriteError> {
        match change {
            Change::Admin { charters, records, head } => admin(txn, charters, records, head),
            Change::Envelope(row) => self.envelope(txn, &row),
            Change::Opened { message, content } => self.opened(txn, message, &content),
            Change::Closed { message, reason } => closed(txn, message, &reason),
            Change::Key(row) => key(txn, row),
            Change::Draft(row) => draft(txn, &row),
            Change::Flushed { publication, envelopes } => self.flushed(txn, publication, &envelopes),
            Change::DraftFailed { publication, error } => settle(txn, publication, |row| {
                row.state = DraftState::Refused;
                row.error = Some(error);
            }),
            Change::Token(row) => {
                txn.put_sealed(SYSTEM, Cf::Tokens, row.id.to_vec(), &row.body);
                Ok(Committed::Done)
            }
            Change::TokenRevoked(id) => {
                let id = id.to_vec();
                txn.get(Cf::Tokens, &id)?.ok_or(WriteError::Missing("token"))?;
                txn.delete(Cf::Tokens, id);
                Ok(Committed::Done)
            }
            Change::Address(row) => {
                let mut value = row.made.as_micros().to_be_bytes().to_vec();
                value.extend_from_slice(&row.bytes);
                txn.put(Cf::Addresses, row.serial.get().to_be_bytes().to_vec(), value);
                Ok(Committed::Done)
            }
            Change::Park(row) => {
                if txn.get(Cf::Parked, row.id.as_ref())?.is_some() {
                    return Ok(Committed::Duplicate);
                }
                if self.parked >= MAX_PARKED {
                    return Err(WriteError::Missing("room for parked envelopes"));
                }
                txn.put(Cf::Parked, row.id.to_vec(), row.bytes);
                self.parked += 1;
                Ok(Committed::Done)
            }
            Change::Unpark(ids) => {
                for id in ids {
                    if txn.get(Cf::Parked, id.as_ref())?.is_some() {
                        txn.delete(Cf::Parked, id.to_vec());
                        self.parked = self.parked.saturating_sub(1);
                    }
                }
                Ok(Committed::Done)
            }
        }
    }

    fn envelope(&mut self, txn: &mut Txn<'_>, row: &EnvelopeRow) -> Result<Committed, WriteError> {
        let place = columns::place(row.group, row.log, row.sequence);
        if txn.get(Cf::Messages, row.id.as_ref())?.is_some() {
            return Ok(Committed::Duplicate);
        }
        let mut log = self.log(row);
        if let Some(there) = txn.message::<EnvelopeValue>(Cf::Envelopes, &place)? {
            let existing = there.id().map_err(|_| damaged(Cf::Envelopes, &place, "has no id"))?;
            log.forked = true;
            let fork = [place.as_slice(), row.id.as_ref()].concat();
            txn.put(Cf::Forks, fork, EnvelopeValue::of(row).encode_to_vec());
            self.put_log(txn, log);
            return Ok(Committed::Fork { existing });
        }
        txn.put(Cf::Envelopes, place.clone(), EnvelopeValue::of(row).encode_to_vec());
        txn.put(Cf::Messages, row.id.to_vec(), place);
        if row.state == MessageState::Sealed
            && let Some(key) = row.key_id
        {
            let value = [row.group.get().to_be_bytes().as_slice(), row.member.as_ref()].concat();
            txn.put(Cf::Waiting, columns::waiting(key, row.id), value);
        }
        let before = log.height;
        log.top = log.top.max(row.sequence);
        advance(txn, &mut log)?;
        if let Some(content) = &row.content {
            self.content(txn, row.group, content)?;
        }
        if let Some(key) = row.key_id {
            used(txn, key, row.member, row.created)?;
        }
        count(txn, row.group, None, row.state)?;
        let answer =
            Committed::Stored { advanced: log.height > before, gap: log.top > log.height && !log.forked };
        self.put_log(txn, log);
        Ok(answer)
    }

    fn log(&self, row: &EnvelopeRow) -> LogRow {
        self.logs.get(&(row.group, row.log)).cloned().unwrap_or(LogRow {
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
        })
    }

    fn put_log(&mut self, txn: &mut Txn<'_>, log: LogRow) {
        txn.put(Cf::Logs, columns::log(log.group, log.log), LogValue::of(&log).encode_to_vec());
        let name = (log.group, log.log);
        let before = self.logs.insert(name, log);
        self.replaced.push((name, before));
    }

    fn opened(
        &mut self,
        txn: &mut Txn<'_>,
        message: MessageId,
        content: &OpenedRows,
    ) -> Result<Committed, WriteError> {
        let (place, mut value) = stored(txn, message)?;
        if value.state() == MessageState::Opened {
            return Ok(Committed::Duplicate);
        }
        let (group, ..) = columns::read_place(&place).ok_or(WriteError::Missing("place"))?;
        count(txn, group, Some(value.state()), MessageState::Opened)?;
        value.set_state(MessageState::Opened, None);
        if let Some(key) = value.key_id() {
            txn.delete(Cf::Waiting, columns::waiting(key, message));
        }
        txn.put(Cf::Envelopes, place, value.encode_to_vec());
        self.content(txn, group, content)?;
        Ok(Committed::Done)
    }

    fn flushed(
        &mut self,
        txn: &mut Txn<'_>,
        publication: belfry_proto::id::PublicationId,
        envelopes: &[EnvelopeRow],
    ) -> Result<Committed, WriteError> {
        // All or nothing, and never over what stands: a second flush of one draft would double it.
        let taken = envelopes.iter().any(|row| {
            let log = self.log(row);
            row.sequence <= log.top
        });
        if taken {
            return Err(WriteError::Missing("free place in the own log"));
        }
        for row in envelopes {
            self.envelope(txn, row)?;
        }
        let messages = envelopes.iter().map(|row| row.id).collect();
        let key_id = envelopes.first().and_then(|row| row.key_id);
        settle(txn, publication, |row| {
            row.state = DraftState::Flushed;
            row.messages = messages;
            row.key_id = key_id;
            row.parts = Vec::new();
        })
    }

    /// Objects of a publication part: each gets its place in the group's order and in the feed.
    fn content(&mut self, txn: &mut Txn<'_>, group: GroupId, content: &OpenedRows) -> Result<(), WriteError> {
        for object in &content.objects {
            let claim = objects::Claim::of(txn.db, group, content, object);
            if objects::is_claimed(txn, &claim)? {
                continue;
            }
            let date_added = self.next_date(txn, group)?;
            self.feed += 1;
            objects::insert(txn, &claim, date_added);
            let place = columns::object(group, date_added);
            txn.put(Cf::Feed, self.feed.to_be_bytes().to_vec(), place);
        }
        Ok(())
    }

    /// Strictly after every earlier one of the group, and never before the clock.
    fn next_date(&mut self, txn: &Txn<'_>, group: GroupId) -> Result<u64, ReadError> {
        let last = match self.last_added.get(&group) {
            Some(last) => *last,
            None => objects::last_date(txn.db, group)?,
        };
        let next = txn.now.as_micros().max(last + 1);
        self.last_added.insert(group, next);
        Ok(next)
    }
}

/// Moves the frontier over what follows it link by link.
fn advance(txn: &Txn<'_>, log: &mut LogRow) -> Result<(), WriteError> {
    while log.height < log.top && !log.forked {
        let sequence = Sequence::new(log.height.get() + 1);
        let place = columns::place(log.group, log.log, sequence);
        let Some(value) = txn.message::<EnvelopeValue>(Cf::Envelopes, &place)? else { return Ok(()) };
        let fault = |_| damaged(Cf::Envelopes, &place, "has no ids");
        if value.prev().map_err(fault)? != log.head {
            // Two histories of one log: nothing after the parent is trusted.
            log.forked = true;
            return Ok(());
        }
        log.head = value.id().map_err(fault)?;
        log.height = sequence;
        log.bodies += u64::from(value.has_body);
    }
    Ok(())
}

fn count(
    txn: &mut Txn<'_>,
    group: GroupId,
    from: Option<MessageState>,
    to: MessageState,
) -> Result<(), ReadError> {
    let key = counts_key(group);
    let mut counts: Counts = txn.message(Cf::Meta, &key)?.unwrap_or_default();
    counts.shift(from, to);
    txn.put(Cf::Meta, key, counts.encode_to_vec());
    Ok(())
}

fn stored(txn: &Txn<'_>, message: MessageId) -> Result<(Vec<u8>, EnvelopeValue), WriteError> {
    let place = txn.get(Cf::Messages, message.as_ref())?.ok_or(WriteError::Missing("message"))?;
    let value = txn.message(Cf::Envelopes, &place)?.ok_or(WriteError::Missing("envelope"))?;
    Ok((place, value))
}

fn closed(txn: &mut Txn<'_>, message: MessageId, reason: &str) -> Result<Committed, WriteError> {
    let (place, mut value) = stored(txn, message)?;
    if let Some(key) = value.key_id() {
        txn.delete(Cf::Waiting, columns::waiting(key, message));
    }
    let (group, ..) = columns::read_place(&place).ok_or(WriteError::Missing("place"))?;
    count(txn, group, Some(value.state()), MessageState::Closed)?;
    value.set_state(MessageState::Closed, Some(reason));
    txn.put(Cf::Envelopes, place, value.encode_to_vec());
    Ok(Committed::Done)
}

fn key(txn: &mut Txn<'_>, mut row: KeyRow) -> Result<Committed, WriteError> {
    if let Some(before) = super::outbox::read_key(txn, row.id)? {
        row.last_use = row.last_use.max(before.last_use);
        row.own |= before.own;
        row.holders = row.holders.max(before.holders);
    }
    let value = KeyValue::of(&row).encode_to_vec();
    txn.put_sealed(row.group, Cf::Keys, row.id.to_vec(), &value);
    Ok(Committed::Done)
}

/// Remembers the newest message under a key: the history window is measured from it.
fn used(
    txn: &mut Txn<'_>,
    key: belfry_proto::id::KeyId,
    author: belfry_proto::id::MemberId,
    at: Timestamp,
) -> Result<(), WriteError> {
    // Only the key's own author uses it, and not in the future: headers may name any key.
    let at = at.min(txn.now);
    if let Some(mut row) = super::outbox::read_key(txn, key)?.filter(|row| row.author == author) {
        // Once a minute is fine enough for windows of days, and spares a write a message.
        if at.since(row.last_use) >= std::time::Duration::from_secs(60) {
            row.last_use = at;
            let value = KeyValue::of(&row).encode_to_vec();
            txn.put_sealed(row.group, Cf::Keys, key.to_vec(), &value);
        }
    }
    Ok(())
}

fn draft(txn: &mut Txn<'_>, row: &DraftRow) -> Result<Committed, WriteError> {
    if let Some(key) = &row.idempotency_key {
        let tag = txn.db.vault.tag("idempotency", key.as_bytes()).to_vec();
        if txn.get(Cf::Idempotency, &tag)?.is_some() {
            return Ok(Committed::Duplicate);
        }
        txn.put(Cf::Idempotency, tag, row.publication.to_vec());
    }
    let queued = Key::default().u64(row.created.as_micros()).bytes(row.publication.as_ref()).done();
    txn.put(Cf::Queue, queued, Vec::new());
    txn.put_sealed(SYSTEM, Cf::Drafts, row.publication.to_vec(), &DraftValue::of(row).encode_to_vec());
    Ok(Committed::Done)
}

/// Takes a draft off the queue with what became of it.
fn settle(
    txn: &mut Txn<'_>,
    publication: belfry_proto::id::PublicationId,
    change: impl FnOnce(&mut DraftRow),
) -> Result<Committed, WriteError> {
    let bytes = txn.get_sealed(Cf::Drafts, publication.as_ref())?.ok_or(WriteError::Missing("draft"))?;
    let mut row = DraftValue::decode(bytes.as_slice())
        .ok()
        .and_then(|value| value.row(publication).ok())
        .ok_or_else(|| damaged(Cf::Drafts, publication.as_ref(), "does not decode"))?;
    let queued = Key::default().u64(row.created.as_micros()).bytes(publication.as_ref()).done();
    if row.state != DraftState::Queued {
        return Err(WriteError::Missing("queued draft"));
    }
    change(&mut row);
    txn.delete(Cf::Queue, queued);
    txn.put_sealed(SYSTEM, Cf::Drafts, publication.to_vec(), &DraftValue::of(&row).encode_to_vec());
    Ok(Committed::Done)
}

fn admin(
    txn: &mut Txn<'_>,
    charters: Vec<(u64, Vec<u8>)>,
    records: Vec<(belfry_proto::id::Height, Vec<u8>)>,
    head: RosterVersion,
) -> Result<Committed, WriteError> {
    let have = read_head(txn.get(Cf::Meta, HEAD_KEY)?);
    if head.height < have.height {
        // Only a new charter's pin cuts the log back; what lay above goes.
        if charters.is_empty() {
            return Err(WriteError::LogRollback { have: have.height.get(), offered: head.height.get() });
        }
        for height in head.height.get() + 1..=have.height.get() {
            txn.delete(Cf::Records, height.to_be_bytes().to_vec());
            txn.delete(Cf::Seen, height.to_be_bytes().to_vec());
        }
    }
    for (version, bytes) in charters {
        txn.put(Cf::Charters, version.to_be_bytes().to_vec(), bytes);
    }
    for (height, bytes) in records {
        let key = height.get().to_be_bytes().to_vec();
        if txn.get(Cf::Seen, &key)?.is_none() {
            txn.put(Cf::Seen, key.clone(), txn.now.as_micros().to_be_bytes().to_vec());
        }
        txn.put(Cf::Records, key, bytes);
    }
    txn.put(Cf::Meta, HEAD_KEY.to_vec(), schema::RosterVersion::from(head).encode_to_vec());
    Ok(Committed::Done)
}

/// The admin head as stored; the empty log if none is.
pub(super) fn read_head(bytes: Option<Vec<u8>>) -> RosterVersion {
    bytes
        .and_then(|bytes| schema::RosterVersion::decode(bytes.as_slice()).ok())
        .and_then(|wire| RosterVersion::try_from(&wire).ok())
        .unwrap_or(RosterVersion::EMPTY)
}

/// TLP as one byte of a key.
pub(super) fn tlp_byte(tlp: Tlp) -> u8 {
    u8::try_from(i32::from(tlp)).unwrap_or(u8::MAX)
}
