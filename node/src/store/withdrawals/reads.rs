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
    objects::{self, ObjectView, Reading},
    removal,
    rows::{Reweigh, WithdrawalRow},
    txn::Txn,
    values::{ClaimValue, EnvelopeValue},
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

    /// Messages by which a member says an object, in any version, as its author or as a reporter; the first `most` that are
    /// met. What others say of it is passed over unopened, however much it is.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn messages_saying(
        &self,
        group: GroupId,
        object: &str,
        member: MemberId,
        most: usize,
    ) -> Result<Vec<MessageId>, ReadError> {
        self.saying(group, object, member, most, |_| true)
    }

    /// The same in one of these versions, all of them; empty stands for that of an object that states none.
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
        self.saying(group, object, member, usize::MAX, |version| versions.contains(version))
    }

    /// Shows every version of an object that a member says, as its author, as a reporter or in other words, oldest first and
    /// one by one: of whoever owns an object nothing is hidden by how much there is.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn each_said_by(
        &self,
        group: GroupId,
        object: &str,
        member: MemberId,
        mut visit: impl FnMut(ObjectView),
    ) -> Result<(), ReadError> {
        let dates = self.dates_said_by(group, object, member)?;
        let mut reading = Reading::default();
        for date in dates {
            let row = self.object_with(&mut reading, group, Timestamp::from_micros(date))?;
            if let Some(view) = row.filter(|view| view.id == object) {
                visit(view);
            }
        }
        Ok(())
    }

    /// When the rows of an object that a member says were added: each has an entry of every member that says it.
    fn dates_said_by(
        &self,
        group: GroupId,
        object: &str,
        member: MemberId,
    ) -> Result<BTreeSet<u64>, ReadError> {
        let prefix = objects::by_id(&self.db.vault, group, object);
        let mut dates = BTreeSet::new();
        for row in self.db.scan(Cf::ById, &prefix, &prefix) {
            let (key, value) = row?;
            let entry =
                ClaimValue::decode(value.as_ref()).map_err(|_| damaged(Cf::ById, &key, "does not decode"))?;
            if entry.member == member.as_ref() {
                dates.insert(entry.date_added);
            }
        }
        Ok(dates)
    }

    fn saying(
        &self,
        group: GroupId,
        object: &str,
        member: MemberId,
        most: usize,
        is_meant: impl Fn(&str) -> bool,
    ) -> Result<Vec<MessageId>, ReadError> {
        let txn = self.view();
        let mut found = BTreeSet::new();
        for date in self.dates_said_by(group, object, member)? {
            if found.len() >= most {
                break;
            }
            let Some(value) = removal::row(&txn, group, date)? else { continue };
            if !is_meant(&value.version) {
                continue;
            }
            let row = columns::object(group, date);
            let goes = self.db.leaving.hides(&value);
            if value.member == member.as_ref() && !value.tombstone && !goes {
                let id = MessageId::try_from(value.message.as_slice());
                found.insert(id.map_err(|_| damaged(Cf::Objects, &row, "has no id"))?);
            }
            // Its own alone: others may have said it again and again.
            let own = [row.as_slice(), member.as_ref()].concat();
            for reporter in self.db.scan(Cf::Reporters, &own, &own) {
                if found.len() >= most {
                    break;
                }
                let (key, _) = reporter?;
                let fault = || damaged(Cf::Reporters, &key, "has no member");
                let (_, message, _) = columns::read_reporter(&key).ok_or_else(fault)?;
                if !self.db.leaving.has(message) {
                    found.insert(message);
                }
            }
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

#[cfg(test)]
mod tests {
    use belfry_proto::schema::Tlp;
    use tempfile::TempDir;

    use super::*;
    use crate::store::{
        EnvelopeRow, MessageState, ObjectRow,
        tests::{GROUP, commit, envelope, id, object, open, opened, with_objects},
    };

    fn version(n: u64) -> String {
        format!("2026-01-01T00:00:00.{n:06}Z")
    }

    fn versions(numbers: std::ops::Range<u64>) -> Vec<ObjectRow> {
        numbers.map(|n| object("a", &version(n), Tlp::Amber)).collect()
    }

    #[test]
    fn what_a_member_says_of_an_object_is_found_behind_any_number_of_versions_that_others_say() {
        let folder = TempDir::new().unwrap();
        let store = open(&folder);
        let others = opened(1, 3, versions(0..1_500));
        commit(&store, EnvelopeRow { state: MessageState::Opened, content: Some(others), ..envelope(1) });
        for n in 2..42 {
            commit(&store, with_objects(n, versions(10_000 + n..10_001 + n)));
        }
        // One of the other's, said once more: its own, too.
        commit(&store, with_objects(42, versions(7..8)));
        let own = MemberId::new([2; 16]);
        let saying = |most| store.messages_saying(GROUP, "indicator--a", own, most).unwrap();
        assert_eq!(saying(usize::MAX), (2..43).map(id).collect::<Vec<_>>());
        assert_eq!(saying(5).len(), 5);
        let of = |numbers: &[u64]| {
            let wanted: BTreeSet<String> = numbers.iter().map(|n| version(*n)).collect();
            store.messages_saying_versions(GROUP, "indicator--a", &wanted, own).unwrap()
        };
        assert_eq!(of(&[7, 8, 10_002]), [id(2), id(42)], "8 is the other's alone");
        let mut shown = Vec::new();
        store.each_said_by(GROUP, "indicator--a", own, |view| shown.push(view.version)).unwrap();
        let expected: Vec<String> = [7].into_iter().chain(10_002..10_042).map(version).collect();
        assert_eq!(shown, expected, "oldest first");
    }
}
