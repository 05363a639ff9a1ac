//! Changes into rows. Only whoever writes runs it, and one writes at a time, so reading before writing races with nobody.

use std::collections::{HashMap, HashSet, VecDeque};

use belfry_proto::{
    id::{GroupId, Height, KeyId, LogId, MemberId, MessageId, RosterVersion, Sequence},
    limits::MAX_LOGS_PER_CERTIFICATE,
    schema::{self, Tlp},
    sync::MissingSum,
    time::Timestamp,
};
use prost::Message;

use super::{
    ReadError, WriteError, basis, checkpoint,
    columns::{self, Cf},
    logs::{self, Counts},
    messages,
    objects::{self, Claim, Place},
    open::Db,
    outbox::{decode_draft, queue_key, queue_value},
    parking::Parking,
    purge, removal,
    rows::{
        Change, Committed, DraftRow, DraftState, EnvelopeRow, KeyRow, LogRow, MessageState, OpenedRows,
        ParkRow,
    },
    txn::{Resized, Shift, Txn},
    values::{DatesValue, DraftValue, EnvelopeValue, KeyValue, LogValue, park, read_park},
    vault::{SYSTEM, damaged},
    withdrawals::{self, Weighed},
    writer::{Prepared, PreparedEnvelope},
};

/// Where the admin head stands in [`Cf::Meta`].
pub(super) const HEAD_KEY: &[u8] = b"admin-head";
/// Second messages kept of one log beside those that a later entry or a cut names. A few prove the fork; whoever
/// signs more only wants our disk.
const MAX_SECONDS: u64 = 64;
/// Entries read to see how far a log goes once a gap is filled: as many as a page brings.
const MOST_JOINED: usize = 256;
/// Where the newest beacon stands in [`Cf::Meta`].
pub(super) const BEACON_KEY: &[u8] = b"beacon";
/// Where hooks' states stand in [`Cf::Meta`], by name.
pub(super) const HOOK_KEY: &[u8] = b"hook:";
/// Where sources' states stand in [`Cf::Meta`], sealed, by name.
pub(super) const SOURCE_KEY: &[u8] = b"source:";
/// Where proofs against the registrar stand in [`Cf::Meta`], by height.
pub(super) const EQUIVOCATION_KEY: &[u8] = b"equivocation:";
/// Where members stand in [`Cf::Meta`] from whom old keys are kept, by id.
pub(super) const HOLD_KEY: &[u8] = b"hold:";
/// Keys whose last use the writer remembers; more authors than that are not active at once.
const MAX_USES: usize = 4096;
/// How exactly the last use of a key is kept.
const USE_NOTED: std::time::Duration = std::time::Duration::from_secs(60);

/// What the writer remembers between batches.
pub(super) struct Applier {
    logs: HashMap<(GroupId, LogId), LogRow>,
    /// Log states that the change under way replaced.
    replaced: Vec<((GroupId, LogId), Option<LogRow>)>,
    /// Logs of which [`Self::changed_logs`] has to tell.
    changed: HashSet<(GroupId, LogId)>,
    /// Logs whose rows are to be written.
    due: HashSet<(GroupId, LogId)>,
    last_added: HashMap<GroupId, u64>,
    /// Author and noted last use of keys, as in their rows.
    uses: HashMap<KeyId, (MemberId, Timestamp)>,
    feed: u64,
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
        let feed = db
            .rocks
            .iterator_cf(db.cf(Cf::Feed), rocksdb::IteratorMode::End)
            .next()
            .transpose()?
            .and_then(|(key, _)| <[u8; 8]>::try_from(key.as_ref()).ok())
            .map_or(0, u64::from_be_bytes);
        let mut parking = Parking::default();
        for row in db.scan(Cf::Parked, &[], &[]) {
            let (key, value) = row?;
            let id = MessageId::try_from(key.as_ref()).ok();
            let row = id.and_then(|id| read_park(id, &value));
            let row = row.ok_or_else(|| damaged(Cf::Parked, &key, "does not decode"))?;
            // Within its bounds, or it would not have been written.
            parking.park(row.parker, row.id, row.received, row.bytes.len() as u64);
        }
        let admin = read_head(db.get(Cf::Meta, HEAD_KEY)?).height;
        Ok(Self {
            changed: logs.keys().copied().collect(),
            logs,
            replaced: Vec::new(),
            due: HashSet::new(),
            last_added: HashMap::new(),
            uses: HashMap::new(),
            feed,
            parking,
            admin,
        })
    }

    /// The feed's newest sequence.
    pub(super) const fn newest(&self) -> u64 {
        self.feed
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
        self.uses.clear();
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
                let done = admin(txn, charters, records, head)?;
                self.admin = head.height;
                Ok(done)
            }
            Change::Envelope(row) => {
                let prepared = envelopes.pop_front().ok_or(WriteError::Missing("prepared envelope"))?;
                self.envelope(txn, &row, prepared)
            }
            Change::Opened { message, content, .. } => self.opened(txn, message, &content, claims),
            Change::Closed { message, reason } => closed(txn, message, &reason),
            Change::Judged(judged) => self.judged(txn, judged),
            Change::Checked(checked) => self.checked(txn, &checked),
            Change::Surface(most) => {
                Ok(if removal::surface(self, txn, most)? { Committed::More } else { Committed::Done })
            }
            Change::Reseal(message) => super::judged::reseal(txn, message),
            Change::Key(row) => {
                self.uses.remove(&row.id);
                key(txn, row)
            }
            Change::Draft(row) => draft(txn, &row),
            Change::Drafts(rows) => drafts(txn, &rows),
            Change::Flushed { publication, envelopes: rows } => {
                self.flushed(txn, publication, &rows, envelopes)
            }
            Change::Published { draft, envelopes: rows } => self.published(txn, draft, &rows, envelopes),
            Change::DraftFailed { publication, error } => settle(txn, publication, |row| {
                row.state = DraftState::Refused;
                row.error = Some(error);
                // It never goes out: nothing reads what it said any more.
                row.parts = Vec::new();
            }),
            Change::DraftReleased { publication, reason, parts, given } => {
                if let Some(given) = &given
                    && !basis::is_so(txn, given)?
                {
                    return Ok(Committed::Outdated);
                }
                decide(txn, publication, DraftState::Held, |row| {
                    row.state = DraftState::Queued;
                    row.reason = reason;
                    row.parts = parts;
                })
                .map(|_| Committed::Done)
            }
            Change::DraftDiscarded { publication } => discard(txn, publication),
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
            Change::Beacon(bytes) => {
                txn.put(Cf::Meta, BEACON_KEY.to_vec(), bytes);
                Ok(Committed::Done)
            }
            Change::Hook { name, state } => {
                txn.put(Cf::Meta, [HOOK_KEY, name.as_bytes()].concat(), state);
                Ok(Committed::Done)
            }
            Change::Source { name, state } => {
                txn.put_sealed(SYSTEM, Cf::Meta, [SOURCE_KEY, name.as_bytes()].concat(), &state);
                Ok(Committed::Done)
            }
            Change::Equivocation { height, records } => {
                let key = [EQUIVOCATION_KEY, &height.get().to_be_bytes()].concat();
                let [ours, other] = records;
                let proof = schema::LogFile {
                    records: [ours, other]
                        .iter()
                        .map(|bytes| schema::Record::decode(bytes.as_slice()))
                        .collect::<Result<_, _>>()
                        .map_err(|_| WriteError::Missing("record to keep as proof"))?,
                    ..schema::LogFile::default()
                };
                txn.put(Cf::Meta, key, proof.encode_to_vec());
                Ok(Committed::Done)
            }
            Change::Hold { member, since } => {
                let key = [HOLD_KEY, member.as_ref()].concat();
                match since {
                    Some(since) => txn.put(Cf::Meta, key, since.as_micros().to_be_bytes().to_vec()),
                    None => txn.delete(Cf::Meta, key),
                }
                Ok(Committed::Done)
            }
            Change::Address(row) => {
                let mut value = row.made.as_micros().to_be_bytes().to_vec();
                value.extend_from_slice(&row.bytes);
                txn.put(Cf::Addresses, row.serial.get().to_be_bytes().to_vec(), value);
                Ok(Committed::Done)
            }
            Change::Park(row) => self.park(txn, &row),
            Change::Reweigh { work, now } => self.reweigh(txn, work, now),
            Change::Purged(notes) => {
                purge::done(txn, notes)?;
                Ok(Committed::Done)
            }
            Change::Expire(aged) => self.expire(txn, &aged),
            Change::Unpark(ids) => {
                for id in ids {
                    if txn.get(Cf::Parked, id.as_ref())?.is_some() {
                        txn.delete(Cf::Parked, id.to_vec());
                        self.parking.leave(id);
                    }
                }
                Ok(Committed::Done)
            }
        }
    }

    /// Parks an envelope; what has to go for it goes, and that may be itself.
    fn park(&mut self, txn: &mut Txn<'_>, row: &ParkRow) -> Result<Committed, WriteError> {
        if txn.get(Cf::Parked, row.id.as_ref())?.is_some() {
            return Ok(Committed::Duplicate);
        }
        txn.put(Cf::Parked, row.id.to_vec(), park(row));
        for gone in self.parking.park(row.parker, row.id, row.received, row.bytes.len() as u64) {
            txn.delete(Cf::Parked, gone.to_vec());
        }
        Ok(Committed::Done)
    }

    fn envelope(
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
            self.content(txn, row.group, &mut said, prepared.claims)?;
        }
        messages::insert(txn, row.id, &place, &said);
        if let Some(key) = row.key_id {
            self.used(txn, key, row.member, row.created)?;
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
        self.content(txn, group, &mut said, claims)?;
        messages::put_said(txn, message, &said)?;
        if is_restored {
            txn.delete(Cf::Reopen, message.to_vec());
            removal::unbury(txn, group, message, content.objects.iter().map(|object| object.id.as_str()))?;
        }
        Ok(Committed::Done)
    }

    fn flushed(
        &mut self,
        txn: &mut Txn<'_>,
        publication: belfry_proto::id::PublicationId,
        envelopes: &[EnvelopeRow],
        prepared: VecDeque<PreparedEnvelope>,
    ) -> Result<Committed, WriteError> {
        self.extend_own_log(txn, envelopes, prepared)?;
        settle(txn, publication, |row| sent(row, envelopes))
    }

    fn published(
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
            let log = self.log(row);
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
            self.due.insert((row.group, row.log));
        }
        Ok(())
    }

    /// Objects of a publication part: each gets its place in the group's order and in the feed.
    /// `said` is what its message is noted with.
    fn content(
        &mut self,
        txn: &mut Txn<'_>,
        group: GroupId,
        said: &mut DatesValue,
        claims: Vec<Claim>,
    ) -> Result<(), WriteError> {
        for claim in claims {
            let place = match objects::place(txn, &claim)? {
                Place::Known(known) => {
                    if !said.dates.contains(&known.date_added) {
                        objects::join(txn, &claim, &known);
                        said.dates.push(known.date_added);
                    }
                    continue;
                }
                place => place,
            };
            let date_added = self.next_date(txn, group)?;
            objects::insert(txn, &claim, &place, date_added);
            said.dates.push(date_added);
            self.announce(txn, group, date_added);
        }
        Ok(())
    }

    /// Numbers a row in the feed.
    pub(super) fn announce(&mut self, txn: &mut Txn<'_>, group: GroupId, date_added: u64) {
        self.feed += 1;
        txn.put(Cf::Feed, self.feed.to_be_bytes().to_vec(), columns::object(group, date_added));
    }

    /// Remembers the newest message under a key: the history window is measured from it.
    fn used(
        &mut self,
        txn: &mut Txn<'_>,
        key: KeyId,
        author: MemberId,
        at: Timestamp,
    ) -> Result<(), WriteError> {
        // Only the key's own author uses it, and not in the future: headers may name any key.
        let at = at.min(txn.now);
        // Once a minute is fine enough for windows of days, and spares a write a message.
        let is_fresh = |last: Timestamp| at.since(last) < USE_NOTED;
        if self.uses.get(&key).is_some_and(|(by, last)| *by != author || is_fresh(*last)) {
            return Ok(());
        }
        let Some(mut row) = super::outbox::read_key(txn, key)? else { return Ok(()) };
        if row.author == author && !is_fresh(row.last_use) {
            row.last_use = at;
            let value = KeyValue::of(&row).encode_to_vec();
            txn.put_sealed(row.group, Cf::Keys, key.to_vec(), &value);
        }
        if self.uses.len() >= MAX_USES {
            self.uses.clear();
        }
        self.uses.insert(key, (row.author, row.last_use));
        Ok(())
    }

    /// Strictly after every earlier one of the group, and never before the clock.
    pub(super) fn next_date(&mut self, txn: &Txn<'_>, group: GroupId) -> Result<u64, ReadError> {
        let last = match self.last_added.get(&group) {
            Some(last) => *last,
            None => objects::last_date(txn.db, group)?,
        };
        let next = txn.now.as_micros().max(last + 1);
        self.last_added.insert(group, next);
        Ok(next)
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

/// A stored envelope and where.
pub(super) struct Stored {
    pub(super) column: Cf,
    pub(super) place: Vec<u8>,
    pub(super) group: GroupId,
    pub(super) value: EnvelopeValue,
}

impl Stored {
    pub(super) fn put(self, txn: &mut Txn<'_>) {
        txn.put(self.column, self.place, self.value.encode_to_vec());
    }
}

pub(super) fn stored(txn: &Txn<'_>, message: MessageId) -> Result<Stored, WriteError> {
    let place = messages::place(txn, message)?.ok_or(WriteError::Missing("message"))?;
    let column = columns::holder(&place);
    let value = txn.message(column, &place)?.ok_or(WriteError::Missing("envelope"))?;
    let (group, ..) =
        place.get(..columns::PLACE_LEN).and_then(columns::read_place).ok_or(WriteError::Missing("place"))?;
    Ok(Stored { column, place, group, value })
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

fn draft(txn: &mut Txn<'_>, row: &DraftRow) -> Result<Committed, WriteError> {
    if !is_first(txn, row)? {
        return Ok(Committed::Duplicate);
    }
    let said = queue_value(&txn.db.vault, row);
    txn.put(Cf::Queue, queue_key(row), said);
    put_draft(txn, row);
    Ok(Committed::Done)
}

fn drafts(txn: &mut Txn<'_>, rows: &[DraftRow]) -> Result<Committed, WriteError> {
    // All are looked at before anything is put.
    for row in rows {
        if let Some(tag) = idempotency_tag(txn, row)
            && txn.get(Cf::Idempotency, &tag)?.is_some()
        {
            return Ok(Committed::Duplicate);
        }
    }
    for row in rows {
        draft(txn, row)?;
    }
    Ok(Committed::Done)
}

fn idempotency_tag(txn: &Txn<'_>, row: &DraftRow) -> Option<Vec<u8>> {
    let key = row.idempotency_key.as_ref()?;
    Some(txn.db.vault.tag("idempotency", key.as_bytes()).to_vec())
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

/// Takes a draft off the queue with what became of it.
fn settle(
    txn: &mut Txn<'_>,
    publication: belfry_proto::id::PublicationId,
    change: impl FnOnce(&mut DraftRow),
) -> Result<Committed, WriteError> {
    decide(txn, publication, DraftState::Queued, change).map(|_| Committed::Done)
}

/// Moves a draft that is in one state into another; the draft as it is then.
fn decide(
    txn: &mut Txn<'_>,
    publication: belfry_proto::id::PublicationId,
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
    change(&mut row);
    if matches!(row.state, DraftState::Queued | DraftState::Held) {
        let said = queue_value(&txn.db.vault, &row);
        txn.put(Cf::Queue, queue_key(&row), said);
    }
    put_draft(txn, &row);
    Ok(row)
}

/// A held draft goes, and its idempotency key with it: the same may be submitted another time.
fn discard(txn: &mut Txn<'_>, publication: belfry_proto::id::PublicationId) -> Result<Committed, WriteError> {
    let row = decide(txn, publication, DraftState::Held, |row| {
        row.state = DraftState::Refused;
        row.error = Some("discarded before it went out".to_owned());
        row.parts = Vec::new();
    })?;
    if let Some(key) = &row.idempotency_key {
        txn.delete(Cf::Idempotency, txn.db.vault.tag("idempotency", key.as_bytes()).to_vec());
    }
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
