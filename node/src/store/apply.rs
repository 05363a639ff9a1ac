//! Changes into rows. Only whoever writes runs it, and one writes at a time, so reading before writing races with nobody.

use std::collections::{HashMap, HashSet};

use belfry_proto::{
    id::{GroupId, Height, LogId, MessageId, Sequence},
    limits::MAX_LOGS_PER_CERTIFICATE,
    sync::MissingSum,
    time::Timestamp,
};
use prost::Message;

use super::{
    ReadError, WriteError, admin,
    claims::{self, Claim},
    columns::{self, Cf},
    cursors, drafts,
    feed::Feed,
    keys::{self, Uses},
    logs::{self, Counts},
    messages::{self, stored},
    open::Db,
    parking::Parking,
    purge, removal,
    rows::{Change, Committed, EnvelopeRow, LogRow, MessageState, OpenedRows},
    tokens,
    txn::{Resized, Shift, Txn},
    values::{DatesValue, EnvelopeValue, LogValue},
    vault::damaged,
    withdrawals::{self, Weighed},
    writer::{Prepared, PreparedEnvelope},
};

/// Second messages kept of one log beside those that a later entry or a cut names. A few prove the fork; whoever
/// signs more only wants our disk.
const MAX_SECONDS: u64 = 64;
/// Entries read to see how far a log goes once a gap is filled: as many as a page brings.
const MOST_JOINED: usize = 256;

/// What the writer remembers between batches.
pub(super) struct Applier {
    logs: HashMap<(GroupId, LogId), LogRow>,
    /// Log states that the change under way replaced.
    replaced: Vec<((GroupId, LogId), Option<LogRow>)>,
    /// Logs of which [`Self::changed_logs`] has to tell.
    changed: HashSet<(GroupId, LogId)>,
    /// Logs whose rows are to be written.
    pub(super) due: HashSet<(GroupId, LogId)>,
    uses: Uses,
    feed: Feed,
    parking: Parking,
    /// Height of the admin log.
    admin: Height,
}

impl Applier {
    pub(super) fn load(db: &Db) -> Result<Self, ReadError> {
        let mut logs = HashMap::new();
        for row in logs::load(db)? {
            logs.insert((row.group, row.log), row);
        }
        Ok(Self {
            changed: logs.keys().copied().collect(),
            logs,
            replaced: Vec::new(),
            due: HashSet::new(),
            uses: Uses::default(),
            feed: Feed::load(db)?,
            parking: Parking::load(db)?,
            admin: admin::read_head(db.get(Cf::Meta, admin::HEAD_KEY)?).height,
        })
    }

    /// The feed's newest sequence.
    pub(super) const fn newest(&self) -> u64 {
        self.feed.newest()
    }

    /// Logs that changed since the last call, as they stand now.
    pub(super) fn changed_logs(&mut self) -> Vec<LogRow> {
        self.changed.drain().filter_map(|name| self.logs.get(&name)).cloned().collect()
    }

    /// Puts the rows of logs that are due with this batch: a page changes one log as often as it has entries.
    pub(super) fn put_logs(&mut self, txn: &mut Txn<'_>) {
        for log in self.due.drain().filter_map(|name| self.logs.get(&name)) {
            txn.put(Cf::Logs, columns::log(log.group, log.log), LogValue::of(log).encode_to_vec());
        }
    }

    /// Ends a change that is whole.
    pub(super) fn keep(&mut self) {
        self.replaced.clear();
    }

    /// Takes back what the last change did to the remembered log states. Numbers it used up stay used.
    pub(super) fn undo(&mut self) {
        self.uses.forget_all();
        while let Some((name, before)) = self.replaced.pop() {
            match before {
                Some(row) => self.logs.insert(name, row),
                None => self.logs.remove(&name),
            };
        }
    }

    /// Applies one change to the batch. On an error the caller undoes what the batch got from it.
    pub(super) fn apply(&mut self, txn: &mut Txn<'_>, prepared: Prepared) -> Result<Committed, WriteError> {
        let done = self.change(txn, prepared)?;
        for Shift { place, from, to } in txn.take_shifts() {
            if let Some(mut log) = self.log_of(&place) {
                log.counts.shift(from, to);
                self.put_log(log);
            }
        }
        for Resized { place, from, to } in txn.take_resized() {
            if let Some(mut log) = self.log_of(&place) {
                log.bytes = log.bytes.saturating_sub(from) + to;
                self.put_log(log);
            }
        }
        Ok(done)
    }

    /// The log that a message lies in.
    fn log_of(&self, place: &[u8]) -> Option<LogRow> {
        let (group, log, _) = columns::read_place(place.get(..columns::PLACE_LEN)?)?;
        self.known_log(group, log)
    }

    fn change(&mut self, txn: &mut Txn<'_>, prepared: Prepared) -> Result<Committed, WriteError> {
        let Prepared { change, mut envelopes, claims } = prepared;
        match change {
            Change::Admin { charters, records, head } => {
                admin::extend(txn, charters, records, head)?;
                self.admin = head.height;
                Ok(Committed::Done)
            }
            Change::Envelope(row) => {
                let prepared = envelopes.pop_front().ok_or(WriteError::Missing("prepared envelope"))?;
                self.envelope(txn, &row, prepared)
            }
            Change::Opened { message, content, .. } => self.opened(txn, message, &content, claims),
            Change::Closed { message, reason } => closed(txn, message, &reason),
            Change::Judged(judged) => self.judged(txn, judged),
            Change::Checked(checked) => self.checked(txn, &checked),
            Change::Surface(most) => Ok(if removal::surface(&mut self.feed, txn, most)? {
                Committed::More
            } else {
                Committed::Done
            }),
            Change::Reseal(message) => super::judged::reseal(txn, message),
            Change::Key(row) => {
                self.uses.forget(row.id);
                keys::put(txn, row)?;
                Ok(Committed::Done)
            }
            Change::Draft(row) => drafts::queue(txn, &row),
            Change::Drafts(rows) => drafts::queue_all(txn, &rows),
            Change::Flushed { publication, envelopes: rows } => {
                self.flushed(txn, publication, &rows, envelopes)
            }
            Change::Published { draft, envelopes: rows } => self.published(txn, draft, &rows, envelopes),
            Change::DraftFailed { publication, error } => drafts::refuse(txn, publication, error),
            Change::DraftReleased { publication, reason, parts } => {
                drafts::release(txn, publication, reason, parts)
            }
            Change::DraftDiscarded { publication } => drafts::discard(txn, publication),
            Change::Token(row) => {
                tokens::put(txn, &row);
                Ok(Committed::Done)
            }
            Change::TokenRevoked(id) => {
                tokens::revoke(txn, id)?;
                Ok(Committed::Done)
            }
            Change::Beacon(bytes) => {
                admin::put_beacon(txn, bytes);
                Ok(Committed::Done)
            }
            Change::Hook { name, state } => {
                cursors::put_hook(txn, &name, state);
                Ok(Committed::Done)
            }
            Change::Source { name, state } => {
                cursors::put_source(txn, &name, &state);
                Ok(Committed::Done)
            }
            Change::Equivocation { height, records } => {
                admin::put_equivocation(txn, height, &records)?;
                Ok(Committed::Done)
            }
            Change::Hold { member, since } => {
                admin::put_hold(txn, member, since);
                Ok(Committed::Done)
            }
            Change::Address(row) => {
                admin::put_address(txn, &row);
                Ok(Committed::Done)
            }
            Change::Park(row) => Ok(self.parking.put(txn, &row)?),
            Change::Reweigh { work, now } => self.reweigh(txn, work, now),
            Change::Purged(notes) => {
                purge::done(txn, notes)?;
                Ok(Committed::Done)
            }
            Change::Expire(aged) => self.expire(txn, &aged),
            Change::Unpark(ids) => {
                self.parking.let_go(txn, ids)?;
                Ok(Committed::Done)
            }
        }
    }

    pub(super) fn envelope(
        &mut self,
        txn: &mut Txn<'_>,
        row: &EnvelopeRow,
        prepared: PreparedEnvelope,
    ) -> Result<Committed, WriteError> {
        let place = columns::place(row.group, row.log, row.sequence);
        let surplus = match self.surplus_for(row) {
            Surplus::This => {
                withdrawals::note_erasure(txn, row)?;
                return Ok(Committed::TooManyLogs);
            }
            Surplus::Other(log) => Some(log),
            Surplus::None => None,
        };
        let mut log = self.log(row);
        // Closed, or judged by a roster that was no longer the newest: the log as a whole has the answer.
        let mut unjudged = row.in_closed_log || row.judged_at < self.admin;
        // Above all that is held of its log nothing can stand in its place, and its id names the place.
        if row.sequence <= log.top {
            if txn.get(Cf::Messages, row.id.as_ref())?.is_some() {
                return self.heal(txn, row, &prepared.value);
            }
            if let Some(there) = txn.message::<EnvelopeValue>(Cf::Envelopes, &place)? {
                let existing = there.id().map_err(|_| damaged(Cf::Envelopes, &place, "has no id"))?;
                self.second(txn, row, prepared, log, &place)?;
                return Ok(Committed::Fork { existing });
            }
        }
        let freezes_at = denied(txn, &log, row)?;
        let is_disputed = !row.state.is_hidden()
            && (freezes_at.is_some() || log.frozen.get() != 0 && row.sequence >= log.frozen);
        if let Some(at) = freezes_at {
            freeze(&mut log, at);
        }
        let (state, value) = match is_disputed {
            true => (MessageState::Disputed, disputed(&prepared.value, &place)?),
            false => (row.state, prepared.value),
        };
        let Weighed { state, value, size, counts } =
            withdrawals::arrives(txn, row, state, value, prepared.size)?;
        withdrawals::note(txn, row)?;
        unjudged |= state.is_hidden();
        if unjudged {
            txn.put(Cf::Unjudged, columns::log(row.group, row.log), Vec::new());
        }
        txn.put(Cf::Envelopes, place.clone(), value);
        if row.opens_later && state.may_show() {
            txn.put(Cf::Reopen, row.id.to_vec(), Vec::new());
        } else if state == MessageState::Sealed
            && let Some(key) = row.key_id
        {
            wait(txn, row.group, row.member, key, row.id);
        }
        let before = log.height;
        let is_next = before == log.top && row.sequence.get() == before.get() + 1;
        log.top = log.top.max(row.sequence);
        log.revision += 1;
        if row.is_vouched {
            let lower = |of: Sequence| if of.get() == 0 { row.sequence } else { of.min(row.sequence) };
            (log.unchecked, log.fresh) = (lower(log.unchecked), lower(log.fresh));
        }
        if !advance(txn, &mut log, row, counts)? {
            // Filling this gap joins more than one change should read: judging the log tells how far it goes.
            txn.put(Cf::Unjudged, columns::log(row.group, row.log), Vec::new());
            unjudged = true;
        }
        if let Some(surplus) = surplus {
            txn.put(Cf::Unjudged, columns::log(row.group, surplus), Vec::new());
            unjudged = true;
        }
        let mut said = DatesValue::default();
        if state.may_show() {
            claims::enter(&mut self.feed, txn, row.group, &mut said, prepared.claims)?;
        }
        messages::insert(txn, row.id, &place, &said);
        if let Some(key) = row.key_id {
            self.uses.note(txn, key, row.member, row.created)?;
        }
        log.counts.shift(None, state);
        log.bytes += size;
        let (advanced, gap) = (log.height > before, log.top > log.height && !log.forked);
        let answer = Committed::Stored { advanced, gap, unjudged };
        if is_next && advanced && counts && !unjudged && !row.is_vouched && logs::may_follow(&log) {
            self.remember(log);
        } else {
            self.put_log(log);
        }
        Ok(answer)
    }

    /// Whether this log is one more than its certificate may have in the group, or makes another one so. Those with
    /// the smallest ids count, and those that a cut lists: which came first must not matter, or nodes would differ.
    fn surplus_for(&self, row: &EnvelopeRow) -> Surplus {
        let known = self.logs.get(&(row.group, row.log));
        if row.is_listed || known.is_some_and(|log| !log.surplus) {
            return Surplus::None;
        }
        let same = |log: &&LogRow| log.group == row.group && log.serial == row.serial;
        let mut smallest: Vec<LogId> = self.logs.values().filter(same).map(|log| log.log).collect();
        smallest.sort_unstable();
        match smallest.get(MAX_LOGS_PER_CERTIFICATE - 1) {
            None => Surplus::None,
            Some(last) if *last < row.log || known.is_some() => Surplus::This,
            Some(last) => Surplus::Other(*last),
        }
    }

    /// A second message for a place: kept beside the first. Neither is shown until the log is judged.
    fn second(
        &mut self,
        txn: &mut Txn<'_>,
        row: &EnvelopeRow,
        PreparedEnvelope { value, size, .. }: PreparedEnvelope,
        mut log: LogRow,
        place: &[u8],
    ) -> Result<(), WriteError> {
        // Two for one place; and perhaps it denies the entry before, too.
        let at = denied(txn, &log, row)?.map_or(row.sequence, |at| at.min(row.sequence));
        let is_lower = log.frozen.get() == 0 || at < log.frozen;
        let proves_more = is_lower && !row.in_closed_log;
        if log.seconds >= MAX_SECONDS && !proves_more && !is_named(txn, row)? {
            return withdrawals::note_erasure(txn, row);
        }
        log.seconds += 1;
        log.revision += 1;
        let (state, value) = match row.state.is_hidden() {
            true => (row.state, value),
            false => (MessageState::Disputed, disputed(&value, place)?),
        };
        let fork = columns::fork(place, row.id);
        withdrawals::note(txn, row)?;
        log.counts.shift(None, state);
        log.bytes += size;
        txn.put(Cf::Forks, fork.clone(), value);
        messages::insert(txn, row.id, &fork, &DatesValue::default());
        if txn.get(Cf::Withdrawals, row.id.as_ref())?.is_some() {
            // Named before it came: weighed as any message that is here.
            withdrawals::put_reweigh(txn, Timestamp::ZERO, row.id);
        }
        txn.put(Cf::Unjudged, columns::log(row.group, row.log), Vec::new());
        if !row.in_closed_log {
            freeze(&mut log, at);
        }
        self.put_log(log);
        Ok(())
    }

    pub(super) fn known_log(&self, group: GroupId, log: LogId) -> Option<LogRow> {
        self.logs.get(&(group, log)).cloned()
    }

    pub(super) fn log(&self, row: &EnvelopeRow) -> LogRow {
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

    /// Notes a log's new state; its row is written once a batch ([`Self::put_logs`]).
    pub(super) fn put_log(&mut self, log: LogRow) {
        self.due.insert((log.group, log.log));
        self.remember(log);
    }

    /// Notes a log's new state, which follows from its row and its entries: see [`logs`].
    fn remember(&mut self, log: LogRow) {
        let name = (log.group, log.log);
        let before = self.logs.insert(name, log);
        self.changed.insert(name);
        self.replaced.push((name, before));
    }

    fn opened(
        &mut self,
        txn: &mut Txn<'_>,
        message: MessageId,
        content: &OpenedRows,
        claims: Vec<Claim>,
    ) -> Result<Committed, WriteError> {
        let mut stored = stored(txn, message)?;
        let state = stored.value.state();
        let is_restored = txn.get(Cf::Reopen, message.as_ref())?.is_some();
        if !state.may_show() || state == MessageState::Opened && !is_restored {
            return Ok(Committed::Duplicate);
        }
        let group = stored.group;
        if state != MessageState::Opened {
            txn.shift(&stored.place, Some(state), MessageState::Opened);
            stored.value.set_state(MessageState::Opened, None);
            if let Some(key) = stored.value.key_id() {
                txn.delete(Cf::Waiting, columns::waiting(key, message));
            }
            stored.put(txn);
        }
        let mut said = messages::said_by(txn, message)?;
        claims::enter(&mut self.feed, txn, group, &mut said, claims)?;
        messages::put_said(txn, message, &said)?;
        if is_restored {
            txn.delete(Cf::Reopen, message.to_vec());
            removal::unbury(txn, group, message, content.objects.iter().map(|object| object.id.as_str()))?;
        }
        Ok(Committed::Done)
    }
}

/// Which log is one more than its certificate may have.
enum Surplus {
    None,
    /// That of the entry in hand.
    This,
    /// Another one, because the entry's own comes before it.
    Other(LogId),
}

/// A prepared value whose message turned out to be of a fork.
fn disputed(value: &[u8], place: &[u8]) -> Result<Vec<u8>, ReadError> {
    let mut value =
        EnvelopeValue::decode(value).map_err(|_| damaged(Cf::Envelopes, place, "does not decode"))?;
    value.set_state(MessageState::Disputed, None);
    Ok(value.encode_to_vec())
}

/// Freezes a log below `at`; it only ever moves down here.
fn freeze(log: &mut LogRow, at: Sequence) {
    log.forked = true;
    if log.frozen.get() == 0 || at < log.frozen {
        log.frozen = at;
    }
}

/// Whether the entry held after this one follows it, or a cut ends at it: then it is the history that counts.
fn is_named(txn: &Txn<'_>, row: &EnvelopeRow) -> Result<bool, ReadError> {
    if row.is_cut_point {
        return Ok(true);
    }
    let next = columns::place(row.group, row.log, Sequence::new(row.sequence.get() + 1));
    let follows = |value: &EnvelopeValue| value.prev().is_ok_and(|prev| prev == row.id);
    if txn.message::<EnvelopeValue>(Cf::Envelopes, &next)?.as_ref().is_some_and(follows) {
        return Ok(true);
    }
    Ok(seconds(txn, row, row.sequence.get() + 1)?.iter().any(follows))
}

/// Second messages held for a place of the row's log.
fn seconds(txn: &Txn<'_>, row: &EnvelopeRow, sequence: u64) -> Result<Vec<EnvelopeValue>, ReadError> {
    let place = columns::place(row.group, row.log, Sequence::new(sequence));
    let beside = txn.prefixed(Cf::Forks, &place, usize::MAX)?.into_iter();
    beside
        .map(|(key, value)| {
            EnvelopeValue::decode(value.as_slice()).map_err(|_| damaged(Cf::Forks, &key, "does not decode"))
        })
        .collect()
}

/// Where a new entry proves a fork by what it follows, or by what follows it: the same answer as
/// [`belfry_proto::sync::judge_log`] has for the whole log, from its neighbours.
fn denied(txn: &Txn<'_>, log: &LogRow, row: &EnvelopeRow) -> Result<Option<Sequence>, ReadError> {
    let neighbour = |sequence: u64| {
        let place = columns::place(row.group, row.log, Sequence::new(sequence));
        txn.message::<EnvelopeValue>(Cf::Envelopes, &place)
    };
    let sequence = row.sequence.get();
    let parent = if log.height.get() + 1 == sequence {
        (sequence > 1).then_some(log.head)
    } else {
        match sequence.checked_sub(1) {
            None | Some(0) => None,
            Some(before) => neighbour(before)?.and_then(|value| value.id().ok()),
        }
    };
    if parent.is_some_and(|parent| parent != row.prev) {
        return Ok(Some(Sequence::new(sequence - 1)));
    }
    let child = if log.top > row.sequence { neighbour(sequence + 1)? } else { None };
    let beside = if log.seconds > 0 { seconds(txn, row, sequence + 1)? } else { Vec::new() };
    let meets = |value: &EnvelopeValue| value.prev().is_ok_and(|prev| prev == row.id);
    Ok((!child.iter().chain(&beside).all(meets)).then_some(row.sequence))
}

/// Moves the frontier over what follows it link by link, up to where the log is frozen; `new` was put just now
/// and need not be read; it comes with whether its body counts. False if there was more to read than one change should.
fn advance(txn: &Txn<'_>, log: &mut LogRow, new: &EnvelopeRow, counts: bool) -> Result<bool, WriteError> {
    for _ in 0..MOST_JOINED {
        let sequence = Sequence::new(log.height.get() + 1);
        if sequence > log.top || log.frozen.get() != 0 && sequence >= log.frozen {
            return Ok(true);
        }
        let (prev, id, counts) = if new.sequence == sequence {
            (new.prev, new.id, counts)
        } else {
            let place = columns::place(log.group, log.log, sequence);
            let Some(value) = txn.message::<EnvelopeValue>(Cf::Envelopes, &place)? else { return Ok(true) };
            let fault = |_| damaged(Cf::Envelopes, &place, "has no ids");
            (value.prev().map_err(fault)?, value.id().map_err(fault)?, value.counts())
        };
        if prev != log.head {
            return Ok(true);
        }
        log.head = id;
        log.height = sequence;
        log.bodies += u64::from(counts);
        if !counts {
            log.missing.toggle(log.log, sequence);
        }
    }
    Ok(false)
}

/// Lets a message wait for its key.
pub(super) fn wait(
    txn: &mut Txn<'_>,
    group: GroupId,
    author: belfry_proto::id::MemberId,
    key: belfry_proto::id::KeyId,
    message: MessageId,
) {
    let value = [group.get().to_be_bytes().as_slice(), author.as_ref()].concat();
    txn.put(Cf::Waiting, columns::waiting(key, message), value);
}

fn closed(txn: &mut Txn<'_>, message: MessageId, reason: &str) -> Result<Committed, WriteError> {
    let mut stored = stored(txn, message)?;
    let state = stored.value.state();
    txn.delete(Cf::Reopen, message.to_vec());
    if !state.may_show() || state == MessageState::Opened {
        return Ok(Committed::Duplicate);
    }
    if let Some(key) = stored.value.key_id() {
        txn.delete(Cf::Waiting, columns::waiting(key, message));
    }
    txn.shift(&stored.place, Some(state), MessageState::Closed);
    stored.value.set_state(MessageState::Closed, Some(reason));
    stored.put(txn);
    Ok(Committed::Done)
}
