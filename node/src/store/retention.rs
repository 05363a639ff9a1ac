//! Bodies that are past their group's retention go; entries and their place in the log stay.
//!
//! ```text
//! aged: from where the last look ended, up to the first entry that is young enough ─▶ Change::Expire ─▶ bodies and rows gone
//! ```
//!
//! How far a log was looked at is a row, written with what that look found: nothing is read twice, and a crash costs a
//! repetition. Nobody is told that an object is gone, for nobody took it back; where a younger message says it too, that one has
//! it from now on. A withdrawal has no body and stays for ever.

use belfry_proto::{
    id::{GroupId, LogId, MessageId, Sequence},
    time::Timestamp,
};
use prost::Message;

use super::{
    ReadError, Store, WriteError,
    apply::Applier,
    change::Committed,
    columns::{self, Cf, Key},
    leaving::{self, MOST_TAKEN},
    messages::stored,
    opening,
    removal::End,
    rows::{Aged, MessageState},
    txn::Txn,
    values::EnvelopeValue,
    vault::damaged,
    withdrawals,
};

/// Rows looked at in one step of letting bodies go: a few milliseconds. Too low ⇒ more synced batches, too high ⇒ messages that say
/// much hold up the writer.
const MOST_LOOKED_AT: usize = if cfg!(test) { 64 } else { 4096 };

/// Where it stands in [`Cf::Meta`] how far a log was looked at.
fn looked_at(group: GroupId, log: LogId) -> Vec<u8> {
    Key::default().bytes(b"retained:").u32(group.get()).bytes(log.as_ref()).done()
}

fn sequence(row: Option<Vec<u8>>) -> Sequence {
    let number = row.and_then(|bytes| <[u8; 8]>::try_from(bytes.as_slice()).ok());
    Sequence::new(number.map_or(0, u64::from_be_bytes))
}

impl Store {
    /// The next of a log's oldest entries that were created before `before`, at most so many, as the change that lets their
    /// bodies go; `None` if there are none. Ends at the first that is younger, and where the log has a gap.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn aged(
        &self,
        group: GroupId,
        log: LogId,
        before: Timestamp,
        most: usize,
    ) -> Result<Option<Aged>, ReadError> {
        let Some(row) = self.log(group, log) else { return Ok(None) };
        let from = sequence(self.db.get(Cf::Meta, &looked_at(group, log))?).get() + 1;
        let prefix = columns::log(group, log);
        let mut aged = Aged { group, log, messages: Vec::new(), through: Sequence::new(0), more: false };
        let start = columns::place(group, log, Sequence::new(from));
        for (number, row) in (from..=row.height.get()).zip(self.db.scan(Cf::Envelopes, &start, &prefix)) {
            let (key, value) = row?;
            let fault = |detail| damaged(Cf::Envelopes, &key, detail);
            if key.as_ref() != columns::place(group, log, Sequence::new(number)) {
                break;
            }
            let value = EnvelopeValue::decode(value.as_ref()).map_err(|_| fault("does not decode"))?;
            if value.created() >= before {
                break;
            }
            if number >= from.saturating_add(most as u64) {
                aged.more = true;
                break;
            }
            if value.key_id().is_some() && !value.expired {
                aged.messages.push(value.id().map_err(|_| fault("has no id"))?);
            }
            aged.through = Sequence::new(number);
        }
        Ok((aged.through.get() > 0).then_some(aged))
    }
}

impl Applier {
    /// Lets bodies go, with all that was read from them; those beyond a bounded number of rows are found the next time.
    pub(super) fn expire(&mut self, txn: &mut Txn<'_>, aged: &Aged) -> Result<Committed, WriteError> {
        let mut rows = 0;
        for message in &aged.messages {
            if rows >= MOST_LOOKED_AT {
                return Ok(Committed::More);
            }
            rows += self.let_go(txn, *message)?;
        }
        let key = looked_at(aged.group, aged.log);
        if sequence(txn.get(Cf::Meta, &key)?) < aged.through {
            txn.put(Cf::Meta, key, aged.through.get().to_be_bytes().to_vec());
        }
        Ok(if aged.more { Committed::More } else { Committed::Done })
    }

    /// Gives how many rows that took.
    fn let_go(&mut self, txn: &mut Txn<'_>, message: MessageId) -> Result<usize, WriteError> {
        let mut stored = stored(txn, message)?;
        if stored.value.key_id().is_none() || stored.value.expired {
            return Ok(0);
        }
        let counted = stored.value.counts();
        let author = withdrawals::author(message, &stored.value)?;
        let looked_at = leaving::take_away(txn, (stored.group, author), message, End::Aged, MOST_TAKEN)?;
        opening::stop_waiting(txn, message, &stored.value);
        if stored.value.has_body {
            withdrawals::strip_stored(txn, &mut stored)?;
        }
        stored.value.expired = true;
        let state = stored.value.state();
        if state.may_show() {
            txn.shift(&stored.place, Some(state), MessageState::Expired);
            stored.value.set_state(MessageState::Expired, None);
        }
        self.recount(&stored, counted);
        stored.put(txn);
        Ok(looked_at)
    }
}
