//! Reads of withdrawals, and of what they leave to be done.

use std::collections::BTreeSet;

use belfry_proto::{
    envelope::Ending,
    id::{GroupId, LogId, MemberId, MessageId, Sequence},
    limits::MAX_PAGE_ENVELOPES,
    time::Timestamp,
};
use prost::Message;

use super::{ending_of, naming};
use crate::store::{
    ReadError, Store,
    columns::{self, Cf},
    removal,
    rows::{Reweigh, WithdrawalRow},
    txn::Txn,
    values::EnvelopeValue,
    vault::damaged,
};

impl Store {
    fn view(&self) -> Txn<'_> {
        Txn::new(&self.db, Timestamp::ZERO)
    }

    /// Withdrawals that name a message, whether or not it is here.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn withdrawals(&self, message: MessageId) -> Result<Vec<WithdrawalRow>, ReadError> {
        naming(&self.view(), message)
    }

    /// What they come to for a message of `member` in `group`.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn ending(
        &self,
        message: MessageId,
        group: GroupId,
        member: MemberId,
    ) -> Result<Option<Ending>, ReadError> {
        ending_of(&self.view(), message, group, member, &mut 0)
    }

    /// Erasures that reach a message of `member` in `group`, those that stand first. Any of them is why the body may be
    /// missing: one that stands no more, or was lifted, took it where it got to in time.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn erasures(
        &self,
        message: MessageId,
        group: GroupId,
        member: MemberId,
    ) -> Result<Vec<WithdrawalRow>, ReadError> {
        let mut rows = naming(&self.view(), message)?;
        rows.retain(|row| row.word.erases(group, member));
        rows.sort_by_key(|row| (!row.stands, row.word.id));
        Ok(rows)
    }

    /// Messages whose withdrawals are to be looked at by `now`, those due first at the front.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn to_reweigh(&self, now: Timestamp, most: usize) -> Result<Vec<Reweigh>, ReadError> {
        let mut work = Vec::new();
        for row in self.db.scan(Cf::Reweigh, &[], &[]).take(most) {
            let found = read_reweigh(&row?.0)?;
            if found.due > now {
                break;
            }
            work.push(found);
        }
        Ok(work)
    }

    /// When the next of them is due.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn next_reweigh(&self) -> Result<Option<Timestamp>, ReadError> {
        let first = self.db.scan(Cf::Reweigh, &[], &[]).next().transpose()?;
        Ok(first.map(|(key, _)| read_reweigh(&key)).transpose()?.map(|row| row.due))
    }

    /// Whether a message is held without a body that should be here.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn wants_body(&self, message: MessageId) -> Result<bool, ReadError> {
        let txn = self.view();
        let Some(place) = super::messages::place(&txn, message)? else { return Ok(false) };
        let value = txn.message::<EnvelopeValue>(columns::holder(&place), &place)?;
        Ok(value.is_some_and(|value| !value.counts()))
    }

    /// The first and the last entry of a log, below its frontier, that miss their body. Reads the log.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn holes(&self, group: GroupId, log: LogId) -> Result<Option<(Sequence, Sequence)>, ReadError> {
        let prefix = columns::log(group, log);
        let mut found: Option<(Sequence, Sequence)> = None;
        for row in self.db.scan(Cf::Envelopes, &prefix, &prefix) {
            let (key, value) = row?;
            let fault = || damaged(Cf::Envelopes, &key, "does not decode");
            let value = EnvelopeValue::decode(value.as_ref()).map_err(|_| fault())?;
            if !value.counts() {
                let (_, _, sequence) = columns::read_place(&key).ok_or_else(fault)?;
                found = Some((found.map_or(sequence, |(first, _)| first), sequence));
            }
        }
        Ok(found)
    }

    /// The next entries of a log, from one on, that miss their bodies, one behind the other. Reads the log up to them.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn next_holes(
        &self,
        group: GroupId,
        log: LogId,
        from: Sequence,
    ) -> Result<Option<(Sequence, Sequence)>, ReadError> {
        let prefix = columns::log(group, log);
        let mut found: Option<(Sequence, Sequence)> = None;
        for row in self.db.scan(Cf::Envelopes, &columns::place(group, log, from), &prefix) {
            let (key, value) = row?;
            let fault = || damaged(Cf::Envelopes, &key, "does not decode");
            let value = EnvelopeValue::decode(value.as_ref()).map_err(|_| fault())?;
            let (_, _, sequence) = columns::read_place(&key).ok_or_else(fault)?;
            match (value.counts(), found) {
                (true, None) => {}
                (true, Some(_)) => break,
                (false, None) => found = Some((sequence, sequence)),
                (false, Some((first, _))) => found = Some((first, sequence)),
            }
            // As many as a page brings.
            if found.is_some_and(|(first, last)| last.get() - first.get() + 1 >= MAX_PAGE_ENVELOPES as u64) {
                break;
            }
        }
        Ok(found)
    }

    /// Messages by which a member says an object, in any version, as its author or as a reporter.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn messages_saying(
        &self,
        group: GroupId,
        object: &str,
        member: MemberId,
    ) -> Result<Vec<MessageId>, ReadError> {
        self.saying(group, object, member, |_| true)
    }

    /// The same in one of these versions; empty stands for that of an object that states none.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn messages_saying_versions(
        &self,
        group: GroupId,
        object: &str,
        versions: &BTreeSet<String>,
        member: MemberId,
    ) -> Result<Vec<MessageId>, ReadError> {
        self.saying(group, object, member, |version| versions.contains(version))
    }

    fn saying(
        &self,
        group: GroupId,
        object: &str,
        member: MemberId,
        is_meant: impl Fn(&str) -> bool,
    ) -> Result<Vec<MessageId>, ReadError> {
        let txn = self.view();
        let mut found = BTreeSet::new();
        for (date, value) in removal::rows_of(&txn, group, object)? {
            if !is_meant(&value.version) {
                continue;
            }
            if value.member == member.as_ref() && !value.tombstone {
                let id = MessageId::try_from(value.message.as_slice());
                found.insert(
                    id.map_err(|_| damaged(Cf::Objects, &columns::object(group, date), "has no id"))?,
                );
            }
            let others = removal::reporters(&txn, group, date)?;
            found.extend(others.iter().filter(|other| other.member == member).map(|other| other.message));
        }
        Ok(found.into_iter().collect())
    }
}

fn read_reweigh(key: &[u8]) -> Result<Reweigh, ReadError> {
    let fault = || damaged(Cf::Reweigh, key, "does not decode");
    let (due, message) = key.split_first_chunk::<8>().ok_or_else(fault)?;
    Ok(Reweigh {
        due: Timestamp::from_micros(u64::from_be_bytes(*due)),
        message: MessageId::try_from(message).map_err(|_| fault())?,
    })
}
