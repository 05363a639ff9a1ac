//! Drafts: what was submitted here, until it is messages of our log, and what became of it.
//!
//! ```text
//! held ─▶ queued ─▶ flushed: its messages, and its new state, in one change
//!   └───────┴─────▶ refused
//! ```
//!
//! What waits stands in the queue besides, in the order in which it goes out; held drafts lie behind all that is queued. In a copy of the
//! database all that was queued is held ([`copied`]).

mod copied;

use std::collections::{BTreeSet, VecDeque};

use belfry_proto::{
    id::{GroupId, PublicationId},
    schema::Audience,
};
use prost::Message;

pub(super) use self::copied::{COPIED_KEY, hold_queued};
use super::{
    ReadError, Store, WriteError,
    apply::Applier,
    change::Committed,
    checkpoint,
    columns::{Cf, Key},
    prepared::PreparedEnvelope,
    rows::{DraftRow, DraftState, EnvelopeRow},
    txn::Txn,
    values::DraftValue,
    vault::{SYSTEM, Vault, damaged},
};

pub(super) fn decode_draft(publication: PublicationId, bytes: &[u8]) -> Result<DraftRow, ReadError> {
    DraftValue::decode(bytes)
        .ok()
        .and_then(|value| value.row(publication).ok())
        .ok_or_else(|| damaged(Cf::Drafts, publication.as_ref(), "does not decode"))
}

/// Before the queue's keys of held drafts: no time begins so, and they lie behind all that is to be flushed.
pub(super) const HELD: [u8; 1] = [0xff];

/// The key in the queue of a draft.
pub(super) fn queue_key(row: &DraftRow) -> Vec<u8> {
    let prefix: &[u8] = if row.state == DraftState::Held { &HELD } else { &[] };
    Key::default().bytes(prefix).u64(row.created.as_micros()).bytes(row.publication.as_ref()).done()
}

/// Says in the queue that a draft takes back.
const TAKES_BACK: &[u8] = &[1];

/// What the queue says of a draft, so that lists need not open it: of a held one group and submitter; of another one that it
/// takes back, or, unless it names its readers, for whom the key is that it needs.
pub(super) fn queue_value(vault: &Vault, row: &DraftRow) -> Vec<u8> {
    if row.state != DraftState::Held {
        return match row.audience {
            _ if row.parts.is_empty() => TAKES_BACK.to_vec(),
            Audience::Recipients => Vec::new(),
            audience => {
                [row.group.get().to_be_bytes(), i32::from(audience).to_be_bytes()].as_flattened().to_vec()
            }
        };
    }
    [&row.group.get().to_be_bytes()[..], &submitter_tag(vault, &row.submitter)].concat()
}

/// For whom the key is that a queued draft needs, by what the queue says of it. Nothing of one that needs none, or was queued
/// before this was said.
fn keyed_for(said: &[u8]) -> Option<(GroupId, Audience)> {
    let (group, audience) = said.split_first_chunk::<4>()?;
    let audience = i32::from_be_bytes(audience.try_into().ok()?);
    Some((GroupId::new(u32::from_be_bytes(*group)), Audience::try_from(audience).ok()?))
}

/// Where it stands what a scoped idempotency key was used for.
pub(super) fn idempotency(vault: &Vault, key: &str) -> Vec<u8> {
    vault.tag("idempotency", key.as_bytes()).to_vec()
}

/// Tells submitters apart, and nobody which.
fn submitter_tag(vault: &Vault, submitter: &str) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = vault.tag("submitter", submitter.as_bytes());
    [a, b, c, d, e, f, g, h]
}

fn waiting(key: &[u8], prefix: usize) -> Result<PublicationId, ReadError> {
    key.get(prefix + 8..)
        .and_then(|id| PublicationId::try_from(id).ok())
        .ok_or_else(|| damaged(Cf::Queue, key, "has no id"))
}

/// Queues a submission, unless its idempotency key stands for one already.
pub(super) fn queue(txn: &mut Txn<'_>, row: &DraftRow) -> Result<Committed, WriteError> {
    if !is_first(txn, row)? {
        return Ok(Committed::Duplicate);
    }
    let said = queue_value(&txn.db.vault, row);
    txn.put(Cf::Queue, queue_key(row), said);
    put_draft(txn, row);
    Ok(Committed::Done)
}

/// Queues several that are one deed: all of them, or none. They are one batch, of which only packed values are left when each was
/// put; what they hold is bounded where they are made (`MAX_BUNDLE` for one, `MAX_IMPORT_OBJECTS` for an import, `MAX_AGAIN` for
/// a withdrawal).
pub(super) fn queue_all(txn: &mut Txn<'_>, rows: Vec<DraftRow>) -> Result<Committed, WriteError> {
    // All are looked at before anything is put.
    for row in &rows {
        if let Some(tag) = idempotency_tag(txn, row)
            && txn.get(Cf::Idempotency, &tag)?.is_some()
        {
            return Ok(Committed::Duplicate);
        }
    }
    for row in rows {
        queue(txn, &row)?;
    }
    Ok(Committed::Done)
}

/// A held draft goes, and its idempotency key with it: the same may be submitted another time.
pub(super) fn discard(txn: &mut Txn<'_>, publication: PublicationId) -> Result<Committed, WriteError> {
    let row = decide(txn, publication, DraftState::Held, |row| {
        row.state = DraftState::Refused;
        row.error = Some("discarded before it went out".to_owned());
        row.parts = Vec::new();
    })?;
    if let Some(key) = &row.idempotency_key {
        txn.delete(Cf::Idempotency, idempotency(&txn.db.vault, key));
    }
    Ok(Committed::Done)
}

/// A draft never becomes messages.
pub(super) fn refuse(
    txn: &mut Txn<'_>,
    publication: PublicationId,
    error: String,
) -> Result<Committed, WriteError> {
    settle(txn, publication, |row| {
        row.state = DraftState::Refused;
        row.error = Some(error);
        // It never goes out: nothing reads what it said any more.
        row.parts = Vec::new();
    })
}

/// A held draft goes out.
pub(super) fn release(
    txn: &mut Txn<'_>,
    publication: PublicationId,
    reason: Option<String>,
    parts: Vec<Vec<u8>>,
) -> Result<Committed, WriteError> {
    decide(txn, publication, DraftState::Held, |row| {
        row.state = DraftState::Queued;
        // It said for whom it waited.
        row.error = None;
        row.reason = reason;
        row.parts = parts;
    })
    .map(|_| Committed::Done)
}

/// Takes a draft off the queue with what became of it.
fn settle(
    txn: &mut Txn<'_>,
    publication: PublicationId,
    change: impl FnOnce(&mut DraftRow),
) -> Result<Committed, WriteError> {
    decide(txn, publication, DraftState::Queued, change).map(|_| Committed::Done)
}

/// Moves a draft that is in one state into another; the draft as it is then.
fn decide(
    txn: &mut Txn<'_>,
    publication: PublicationId,
    from: DraftState,
    change: impl FnOnce(&mut DraftRow),
) -> Result<DraftRow, WriteError> {
    let bytes = txn.get_sealed(Cf::Drafts, publication.as_ref())?.ok_or(WriteError::Missing("draft"))?;
    let mut row = decode_draft(publication, &bytes)?;
    if row.state != from {
        return Err(WriteError::Missing(if from == DraftState::Held {
            "held draft"
        } else {
            "queued draft"
        }));
    }
    txn.delete(Cf::Queue, queue_key(&row));
    if from == DraftState::Held {
        copied::decided(txn, publication);
    }
    change(&mut row);
    if matches!(row.state, DraftState::Queued | DraftState::Held) {
        let said = queue_value(&txn.db.vault, &row);
        txn.put(Cf::Queue, queue_key(&row), said);
    }
    put_draft(txn, &row);
    Ok(row)
}

/// Whether nothing was submitted under the draft's idempotency key before; from now on something was.
fn is_first(txn: &mut Txn<'_>, row: &DraftRow) -> Result<bool, ReadError> {
    let Some(tag) = idempotency_tag(txn, row) else { return Ok(true) };
    if txn.get(Cf::Idempotency, &tag)?.is_some() {
        return Ok(false);
    }
    txn.put(Cf::Idempotency, tag, row.publication.to_vec());
    Ok(true)
}

fn idempotency_tag(txn: &Txn<'_>, row: &DraftRow) -> Option<Vec<u8>> {
    row.idempotency_key.as_ref().map(|key| idempotency(&txn.db.vault, key))
}

fn put_draft(txn: &mut Txn<'_>, row: &DraftRow) {
    txn.put_sealed(SYSTEM, Cf::Drafts, row.publication.to_vec(), &DraftValue::of(row).encode_to_vec());
}

/// What a draft is once its messages stand in the log.
fn sent(row: &mut DraftRow, envelopes: &[EnvelopeRow]) {
    row.state = DraftState::Flushed;
    row.messages = envelopes.iter().map(|envelope| envelope.id).collect();
    row.key_id = envelopes.first().and_then(|envelope| envelope.key_id);
    row.parts = Vec::new();
}

impl Applier {
    /// A draft became messages.
    pub(super) fn flushed(
        &mut self,
        txn: &mut Txn<'_>,
        publication: PublicationId,
        envelopes: &[EnvelopeRow],
        prepared: VecDeque<PreparedEnvelope>,
    ) -> Result<Committed, WriteError> {
        self.extend_own_log(txn, envelopes, prepared)?;
        settle(txn, publication, |row| sent(row, envelopes))
    }

    /// A submission became messages before it was a draft.
    pub(super) fn published(
        &mut self,
        txn: &mut Txn<'_>,
        mut row: DraftRow,
        envelopes: &[EnvelopeRow],
        prepared: VecDeque<PreparedEnvelope>,
    ) -> Result<Committed, WriteError> {
        if !is_first(txn, &row)? {
            return Ok(Committed::Duplicate);
        }
        self.extend_own_log(txn, envelopes, prepared)?;
        sent(&mut row, envelopes);
        put_draft(txn, &row);
        Ok(Committed::Done)
    }

    /// All or nothing, and each right behind the newest: a second flush of one draft would double it, and behind one that
    /// failed there would be a hole. Nor where nobody would see it: a fork may have come to light since the place was
    /// chosen.
    fn extend_own_log(
        &mut self,
        txn: &mut Txn<'_>,
        envelopes: &[EnvelopeRow],
        prepared: VecDeque<PreparedEnvelope>,
    ) -> Result<(), WriteError> {
        let unfit = WriteError::Missing("free place in an own log that goes on");
        for (row, prepared) in envelopes.iter().zip(prepared) {
            let log = self.logs.of(row);
            let is_next =
                log.height == log.top && row.sequence.get() == log.height.get() + 1 && row.prev == log.head;
            if !is_next || log.frozen.get() != 0 {
                return Err(unfit);
            }
            checkpoint::note_own_log(txn, row.group, row.log)?;
            if !matches!(self.envelope(txn, row, prepared)?, Committed::Stored { .. }) {
                return Err(unfit);
            }
            // How far it was written is told by more than its entries: a place must never be given twice.
            self.logs.write_row(row.group, row.log);
        }
        Ok(())
    }
}

impl Store {
    /// Queued drafts, oldest first.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn queued(&self, most: usize) -> Result<Vec<PublicationId>, ReadError> {
        let queued = self.db.scan(Cf::Queue, &[], &[]);
        let queued = queued.take_while(|row| row.as_ref().map_or(true, |(key, _)| !key.starts_with(&HELD)));
        queued.take(most).map(|row| waiting(&row?.0, 0)).collect()
    }

    /// Those of them that need no key, or another one than these: however many of the others stand before them.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn queued_besides(
        &self,
        keys: &BTreeSet<(GroupId, Audience)>,
        most: usize,
    ) -> Result<Vec<PublicationId>, ReadError> {
        let queued = self.db.scan(Cf::Queue, &[], &[]);
        let queued = queued.take_while(|row| row.as_ref().map_or(true, |(key, _)| !key.starts_with(&HELD)));
        let others = queued.filter(|row| {
            let keyed = row.as_ref().ok().and_then(|(_, said)| keyed_for(said));
            keyed.is_none_or(|keyed| !keys.contains(&keyed))
        });
        others.take(most).map(|row| waiting(&row?.0, 0)).collect()
    }

    /// For whom keys are needed besides those at hand, until so many drafts are found that can go out.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn queued_keys(
        &self,
        at_hand: &BTreeSet<(GroupId, Audience)>,
        most: usize,
    ) -> Result<BTreeSet<(GroupId, Audience)>, ReadError> {
        let (mut needed, mut ready) = (BTreeSet::new(), 0);
        for row in self.db.scan(Cf::Queue, &[], &[]) {
            let (key, said) = row?;
            if key.starts_with(&HELD) || ready == most {
                break;
            }
            match keyed_for(&said) {
                Some(keyed) if !at_hand.contains(&keyed) => {
                    needed.insert(keyed);
                }
                _ => ready += 1,
            }
        }
        Ok(needed)
    }

    /// Those of them that take back and say nothing new, oldest first.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn queued_withdrawals(&self, most: usize) -> Result<Vec<PublicationId>, ReadError> {
        let queued = self.db.scan(Cf::Queue, &[], &[]);
        let queued = queued.take_while(|row| row.as_ref().map_or(true, |(key, _)| !key.starts_with(&HELD)));
        let takes_back =
            queued.filter(|row| row.as_ref().map_or(true, |(_, said)| said.as_ref() == TAKES_BACK));
        takes_back.take(most).map(|row| waiting(&row?.0, 0)).collect()
    }

    /// Drafts that wait for a person in these groups, oldest first, behind a position or from the first; and, if there are
    /// more than so many, the position of the last one.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn held_drafts(
        &self,
        of: impl Fn(GroupId) -> bool,
        after: Option<&[u8]>,
        most: usize,
    ) -> Result<(Vec<PublicationId>, Option<Vec<u8>>), ReadError> {
        let (mut found, mut last) = (Vec::new(), Vec::new());
        // The next key there can be.
        let start = after.map_or_else(|| HELD.to_vec(), |after| [&HELD[..], after, &[0]].concat());
        for row in self.db.scan(Cf::Queue, &start, &HELD) {
            let (key, said) = row?;
            let id = waiting(&key, HELD.len())?;
            let group = match said.get(..4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes) {
                Some(group) => Some(GroupId::new(group)),
                // Held before the queue said so.
                None => self.draft(id)?.map(|row| row.group),
            };
            if !group.is_some_and(&of) {
                continue;
            }
            if found.len() == most {
                return Ok((found, Some(last)));
            }
            found.push(id);
            last = key.get(HELD.len()..).unwrap_or_default().to_vec();
        }
        Ok((found, None))
    }

    /// Drafts of a submitter that wait for a person, oldest first. Reads the places of all that are held.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn held_of(&self, submitter: &str) -> Result<Vec<PublicationId>, ReadError> {
        let tag = submitter_tag(&self.db.vault, submitter);
        let mut found = Vec::new();
        for row in self.db.scan(Cf::Queue, &HELD, &HELD) {
            let (key, said) = row?;
            if said.get(4..) == Some(&tag) {
                found.push(waiting(&key, HELD.len())?);
            }
        }
        Ok(found)
    }

    /// A draft, whatever became of it.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn draft(&self, publication: PublicationId) -> Result<Option<DraftRow>, ReadError> {
        let Some(bytes) = self.db.get_sealed(Cf::Drafts, publication.as_ref())? else { return Ok(None) };
        decode_draft(publication, &bytes).map(Some)
    }

    /// The draft that follows `after` in the order of their ids, whatever became of it, and how many bytes it takes.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn draft_after(&self, after: Option<PublicationId>) -> Result<Option<(DraftRow, usize)>, ReadError> {
        // The least key behind it: its own row may be as large as any.
        let start = after.map_or_else(Vec::new, |after| [after.as_ref(), &[0]].concat());
        let Some(row) = self.db.scan(Cf::Drafts, &start, &[]).next() else { return Ok(None) };
        let (key, sealed) = row?;
        let id = PublicationId::try_from(key.as_ref()).map_err(|_| damaged(Cf::Drafts, &key, "has no id"))?;
        let bytes = self.db.vault.open(Cf::Drafts, &key, &sealed)?;
        drop(sealed);
        decode_draft(id, &bytes).map(|row| Some((row, bytes.len())))
    }

    /// The draft that a scoped idempotency key stands for.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn by_idempotency(&self, key: &str) -> Result<Option<DraftRow>, ReadError> {
        let tag = idempotency(&self.db.vault, key);
        match self.db.get(Cf::Idempotency, &tag)?.and_then(|id| PublicationId::try_from(id.as_slice()).ok()) {
            Some(publication) => self.draft(publication),
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests;
