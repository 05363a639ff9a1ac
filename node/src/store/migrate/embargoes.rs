//! 9 → 10: what was told under an embargo has a row for its end, and one by its object.
//!
//! All objects are read for it, which takes minutes where there are millions. So what is noted is written ahead in bounded batches,
//! into a column that only this version has, each with the place up to which all was looked at: killed, it goes on from there.
//! Whoever opens the database meanwhile has that column, migrates before anything else, and so changes nothing behind that place.
//!
//! What ended long before the last that came is not noted. Readers outside were never told of it where they had passed its place, but
//! to tell them of years of it now would be news of nothing.

use std::{mem, time::Duration};

use belfry_proto::{id::MessageId, stix::object::is_finding, time::Timestamp};
use prost::Message;
use rocksdb::{IteratorMode, WriteBatch};

use super::{Write, columns, columns::Cf, damaged};
use crate::store::{
    OpenError, ReadError,
    db::Db,
    embargo::{self, Embargo},
    objects,
    values::{ObjectValue, ReporterValue},
};

/// Where it stands in [`Cf::Meta`] up to where all was looked at: which of [`COLUMNS`], and the key there.
const DONE: &[u8] = b"migrated-to-10";
/// What is looked through.
const COLUMNS: [Cf; 2] = [Cf::Objects, Cf::Reporters];
/// Rows written ahead in one batch. Too low ⇒ it waits for the disk each time, too high ⇒ memory.
const BATCH: usize = if cfg!(test) { 4 } else { 4096 };
/// Rows looked at between two batches at most. Too low ⇒ as above, too high ⇒ so many are looked at again.
const LOOKED_AT: usize = if cfg!(test) { 6 } else { 100_000 };
/// How long before the last that came an embargo may have ended that readers outside are told of: whoever polls more rarely than
/// once a week begins anew.
const TOLD_OF: Duration = if cfg!(test) { Duration::ZERO } else { Duration::from_secs(7 * 24 * 3600) };

/// Rows on their way.
struct Ahead<'a> {
    db: &'a Db,
    write: &'a Write<'a>,
    batch: WriteBatch,
    looked_at: usize,
    /// What ended before is not noted, in microseconds.
    since: u64,
}

/// What one message asks where it says an object.
struct Said<'a> {
    until: u64,
    member: &'a [u8],
    message: &'a [u8],
}

/// The step.
pub(super) fn ends(db: &Db, write: &Write<'_>) -> Result<WriteBatch, OpenError> {
    let since = last_date(db)?.saturating_sub(TOLD_OF).as_micros();
    let mut ahead = Ahead { db, write, batch: WriteBatch::default(), looked_at: 0, since };
    let done = db.get(Cf::Meta, DONE)?.unwrap_or_default();
    let (at, key) = done.split_first().map_or((0, [].as_slice()), |(at, key)| (usize::from(*at), key));
    for (n, column) in COLUMNS.into_iter().enumerate().skip(at) {
        let behind = if n == at { key } else { Default::default() };
        for row in db.scan(column, behind, &[]) {
            let (key, sealed) = row?;
            if n == at && key.as_ref() == behind {
                continue;
            }
            match column {
                Cf::Reporters => ahead.reporter(&key, &sealed)?,
                _ => ahead.object(&key, &sealed)?,
            }
            ahead.looked_at += 1;
            if ahead.batch.len() >= BATCH || ahead.looked_at >= LOOKED_AT {
                ahead.flush(n, &key)?;
            }
        }
    }
    ahead.batch.delete_cf(db.cf(Cf::Meta), DONE);
    Ok(ahead.batch)
}

/// When the last object came; zero if none did.
fn last_date(db: &Db) -> Result<Timestamp, ReadError> {
    let last = db.rocks.iterator_cf(db.cf(Cf::Feed), IteratorMode::End).next().transpose()?;
    let place = last.and_then(|(_, place)| columns::read_object(&place));
    Ok(place.map_or(Timestamp::ZERO, |(_, date)| Timestamp::from_micros(date)))
}

impl Ahead<'_> {
    fn object(&mut self, key: &[u8], sealed: &[u8]) -> Result<(), ReadError> {
        let value = object(self.db, key, sealed)?;
        let until = value.conditions.as_ref().map_or(0, |conditions| conditions.embargo_until);
        self.note(key, &value, &Said { until, member: &value.member, message: &value.message })
    }

    fn reporter(&mut self, key: &[u8], sealed: &[u8]) -> Result<(), ReadError> {
        let fault = || damaged(Cf::Reporters, key, "does not decode");
        let (member, message, differs) = columns::read_reporter(key).ok_or_else(fault)?;
        let plain = self.db.vault.open(Cf::Reporters, key, sealed)?;
        let value = ReporterValue::decode(plain.as_slice()).map_err(|_| fault())?;
        let until = value.conditions.map_or(0, |conditions| conditions.embargo_until);
        // In other words it is shown to nobody.
        if differs || until <= self.since {
            return Ok(());
        }
        let of = key.get(..4 + 8).ok_or_else(fault)?;
        let Some(sealed) = self.db.get(Cf::Objects, of)? else { return Ok(()) };
        let value = object(self.db, of, &sealed)?;
        self.note(of, &value, &Said { until, member: member.as_ref(), message: message.as_ref() })
    }

    /// Notes what is asked of the object at `key`, unless it was over when that came, or long ago.
    fn note(&mut self, key: &[u8], value: &ObjectValue, said: &Said<'_>) -> Result<(), ReadError> {
        let fault = || damaged(Cf::Objects, key, "does not decode");
        let (group, date) = columns::read_object(key).ok_or_else(fault)?;
        if said.until <= date.max(self.since) {
            return Ok(());
        }
        let message = MessageId::try_from(said.message).map_err(|_| fault())?;
        let ends = Timestamp::from_micros(said.until);
        let (due, what) = Embargo::Message { ends, message }.row();
        self.batch.put_cf(self.db.cf(Cf::Embargoes), due, what);
        if is_finding(&value.kind) {
            let object = objects::by_id(&self.db.vault, group, &value.id);
            let keeper = embargo::keeper(&object, said.member, said.until, said.message);
            self.batch.put_cf(self.db.cf(Cf::Embargoes), keeper, b"");
        }
        Ok(())
    }

    /// Writes what is noted up to this key.
    fn flush(&mut self, column: usize, key: &[u8]) -> Result<(), OpenError> {
        let mut batch = mem::take(&mut self.batch);
        let column = u8::try_from(column).unwrap_or(u8::MAX);
        batch.put_cf(self.db.cf(Cf::Meta), DONE, [&[column], key].concat());
        self.looked_at = 0;
        (self.write)(batch)
    }
}

fn object(db: &Db, key: &[u8], sealed: &[u8]) -> Result<ObjectValue, ReadError> {
    let plain = db.vault.open(Cf::Objects, key, sealed)?;
    ObjectValue::decode(plain.as_slice()).map_err(|_| damaged(Cf::Objects, key, "does not decode"))
}
