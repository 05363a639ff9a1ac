//! A database that an older belfry wrote is brought up to this one's version, step by step, before anything else is
//! done with it.
//!
//! ```text
//! version 8 ─▶ step: read, make ─▶ one synced batch: what it changes, and "version 9" ─▶ the next step ─▶ … ─▶ [`SCHEMA`]
//! ```
//!
//! A batch is written whole or not at all: killed at any point, a database is of one version or of the next, and the next
//! start goes on from there. A step that changes more than one batch should hold writes ahead into a column of its own,
//! or a field, which the older version does not read, in as many batches as it takes; its last batch, with the version, is what makes
//! them count. Killed before, it begins anew, over what it wrote ahead; one that reads for minutes goes on where it was
//! ([`embargoes`]).
//!
//! A damaged database is not migrated but healed: what [`super::Salvage`] reads (what a node owns, and envelopes) has to
//! decode in every version from [`OLDEST`] on.

mod embargoes;

use std::path::Path;

use prost::Message;
use rocksdb::WriteBatch;

use super::{
    OpenError, columns,
    columns::Cf,
    db::Db,
    values::{EnvelopeValue, LogValue},
    vault::damaged,
};

/// Version of columns, keys and values.
pub(super) const SCHEMA: u32 = 10;
/// The oldest version that is migrated.
pub(super) const OLDEST: u32 = 8;
/// Where the version stands in [`Cf::Meta`].
pub(super) const SCHEMA_KEY: &[u8] = b"schema";

/// From [`OLDEST`] on, one version to the next each.
const STEPS: [Step; (SCHEMA - OLDEST) as usize] = [
    Step { does: "counts the bytes that each log takes", make: bytes_of_logs },
    Step { does: "notes when embargoes end", make: embargoes::ends },
];

/// Makes a batch durable.
type Write<'a> = dyn Fn(WriteBatch) -> Result<(), OpenError> + 'a;

/// One version to the next.
struct Step {
    /// For whoever waits for it.
    does: &'static str,
    /// Its last batch, to which the version is added. What it writes ahead it writes by itself.
    make: fn(&Db, &Write<'_>) -> Result<WriteBatch, OpenError>,
}

/// A version that is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// This belfry's own.
    Current,
    /// An older one, which the next start migrates.
    Older {
        /// From this one.
        from: u32,
        /// To this one.
        to: u32,
    },
}

/// Which version a database is of, by what stands under [`SCHEMA_KEY`].
pub(super) fn version(path: &Path, bytes: &[u8]) -> Result<Version, OpenError> {
    let path = path.to_owned();
    match <[u8; 4]>::try_from(bytes).map_or(u32::MAX, u32::from_be_bytes) {
        SCHEMA => Ok(Version::Current),
        from @ OLDEST..SCHEMA => Ok(Version::Older { from, to: SCHEMA }),
        found if found > SCHEMA => Err(OpenError::NewerSchema { path, found, known: SCHEMA }),
        found => Err(OpenError::OlderSchema { path, found, oldest: OLDEST, known: SCHEMA }),
    }
}

/// Brings a database of version `from` up to [`SCHEMA`].
///
/// # Errors
/// [`OpenError`]; it is then of `from` or of a version between.
pub(super) fn run(db: &Db, from: u32) -> Result<(), OpenError> {
    let mut synced = rocksdb::WriteOptions::default();
    synced.set_sync(true);
    let write = |batch: WriteBatch| {
        let written = db.rocks.write_opt(batch, &synced);
        written.map_err(|source| OpenError::Database { path: db.path.clone(), source })
    };
    through(db, (OLDEST..).zip(&STEPS).filter(|(of, _)| *of >= from), &write)
}

fn through<'s>(
    db: &Db,
    steps: impl Iterator<Item = (u32, &'s Step)>,
    write: &Write<'_>,
) -> Result<(), OpenError> {
    for (from, Step { does, make }) in steps {
        let to = from + 1;
        tracing::info!("migrating the store from version {from} to {to}: {does}");
        let mut last = make(db, write)?;
        last.put_cf(db.cf(Cf::Meta), SCHEMA_KEY, to.to_be_bytes());
        write(last)?;
        tracing::info!("the store is of version {to}");
    }
    Ok(())
}

/// Rows of logs written ahead in one batch: a few hundred bytes each, and a member may open many logs. Too low ⇒ it waits for the disk
/// each time, too high ⇒ memory.
const LOGS_AHEAD: usize = if cfg!(test) { 4 } else { 4096 };

/// 8 → 9: a log's row says how many bytes its entries take. Those above it are followed at start, as ever
/// ([`super::logs`]).
///
/// Written ahead where it will stand: version 8 passes that field over. Killed, it begins anew and finds the same.
fn bytes_of_logs(db: &Db, write: &Write<'_>) -> Result<WriteBatch, OpenError> {
    let mut batch = WriteBatch::default();
    for row in db.scan(Cf::Logs, &[], &[]) {
        let (key, value) = row?;
        let mut log =
            LogValue::decode(value.as_ref()).map_err(|_| damaged(Cf::Logs, &key, "does not decode"))?;
        log.size = 0;
        for column in [Cf::Envelopes, Cf::Forks] {
            for row in db.scan(column, &key, &key) {
                let (place, value) = row?;
                let fault = || damaged(column, &place, "does not decode");
                let at = place.get(..columns::PLACE_LEN).and_then(columns::read_place).ok_or_else(fault)?;
                if at.2.get() > log.top() {
                    break;
                }
                log.size += EnvelopeValue::decode(value.as_ref()).map_err(|_| fault())?.size();
            }
        }
        batch.put_cf(db.cf(Cf::Logs), &key, log.encode_to_vec());
        if batch.len() >= LOGS_AHEAD {
            write(std::mem::take(&mut batch))?;
        }
    }
    Ok(batch)
}

#[cfg(test)]
mod tests;
