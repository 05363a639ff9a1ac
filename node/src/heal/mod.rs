//! A store in which the disk flipped a bit is made whole again.
//!
//! ```text
//! met: on a read, by the scrub, at a write ─▶ noted beside the store ─▶ the node stops in order and starts again
//! start: of a file that was not given back and reads now, the note goes
//! start: a note, or a store that does not open ─▶ salvage ─┬─ what this node owns ──────────────▶ carried over
//!                                                          ├─ admin log ─────────────────────────▶ folded again
//!                                                          └─ envelopes ─▶ the ladder ───────────▶ stored again
//!        ─▶ the new store takes the old one's place, which is kept aside ─▶ content opened, as after a restore
//!        ─▶ entries that were lost are gaps in their logs, and sync fetches them
//! ```
//!
//! Nothing of the damaged database is mended where it lies, and nothing that is derived is believed: objects, indexes and
//! the states of logs are made from the messages again. So a flipped bit can make something missing, never something
//! wrong. The price is the time of one pass over all messages and the room for a second store.
//!
//! Only of the admin log nothing may be missing: a node that forgot a revocation admits again who was revoked. A log that
//! does not reach what the old store had is the operator's to give, and a heal that fails changes nothing.
//!
//! Its numbers are its own again: like a restored backup, a healed store goes on with none of the logs it holds.

mod judge;
mod log;
mod once;
mod report;
#[cfg(test)]
mod tests;
mod watch;

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use belfry_proto::{
    id::{GroupId, Height, LogId, MessageId, Sequence},
    schema::LogFile,
    time::Timestamp,
};
use futures::executor::block_on;

use self::{
    judge::{Fate, Judge},
    log::{Folded, Sources},
};
pub use self::{
    once::read_again,
    report::{Gap, Report},
    watch::{is_noted, note_met, notice, scrub, unhealed},
};
use crate::{
    clock,
    keys::{Enrolment, file::FileError},
    space::Space,
    store::{
        self, Change, Committed, MessageRow, OpenError, Owner, Prepared, ReadError, Salvage, Store,
        WriteError,
    },
};

/// Messages stored again in one go. Too low ⇒ each waits for the disk, too high ⇒ they fill the memory.
const CHUNK: usize = 256;
/// Withdrawals weighed in one go.
const WEIGHED: usize = 64;

/// Why a store is not healed.
#[derive(Debug, thiserror::Error)]
pub enum HealError {
    /// It was healed before, and nobody has looked at that since.
    #[error(
        "{path} is what an earlier damage left; a disk that does it again is failing. Look at the disk, remove that folder, \
         and run `belfry store heal`, or restore a backup on another disk"
    )]
    Again {
        /// What was kept.
        path: std::path::PathBuf,
    },
    /// Revocations would be forgotten.
    #[error(
        "the admin log reads up to entry {have}, and it went to {} at least: with less of it, whom the coalition revoked would \
         be admitted again. Get the newest log (`belfry export-log` at another member, `belfry coalition export` at the \
         registrar) and run `belfry store heal --log FILE`", had.get().max(have.get().saturating_add(1))
    )]
    Log {
        /// Entries that read.
        have: Height,
        /// What is known of how many there were.
        had: Height,
    },
    /// A charter that was replaced would be in force again.
    #[error(
        "charters read up to version {have}, and there may have been later ones: get the newest log (`belfry export-log` at \
         another member, `belfry coalition export` at the registrar) and run `belfry store heal --log FILE`"
    )]
    Charters {
        /// The last that reads.
        have: u64,
    },
    /// Messages would be thrown away because the clock is behind.
    #[error(
        "{message} was written {ahead:?} after now, by this machine's clock: set the clock, then heal again"
    )]
    Clock {
        /// The message.
        message: MessageId,
        /// By how much.
        ahead: Duration,
    },
    /// No room for a second store.
    #[error(
        "healing needs {needed} MiB of free space for a second store, there are {free}: make room, then restart the node or run \
         `belfry store heal`"
    )]
    Room {
        /// MiB free.
        free: u64,
        /// MiB needed.
        needed: u64,
    },
    /// The old one or the new one does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The new one does not read.
    #[error("the new store: {0}")]
    Read(#[from] ReadError),
    /// The new one cannot be written: no room, mostly.
    #[error("the new store, which needs as much room as the old one: {0}")]
    Write(#[from] WriteError),
    /// The charter of the coalition is not to be had.
    #[error("neither the store nor log.pem has the coalition's charter: {0}")]
    Charter(#[from] belfry_proto::trust::charter::CharterError),
    /// A file beside the store.
    #[error(transparent)]
    File(#[from] FileError),
}

/// What a heal is given.
#[derive(Clone, Debug)]
pub struct Means<'a> {
    /// The newest admin log, in the word of whoever gives it; what of it the store lost is taken from here.
    pub log: Option<&'a LogFile>,
    /// Room on the file system.
    pub space: Space,
}

impl Default for Means<'_> {
    /// No log, all the room.
    fn default() -> Self {
        Self { log: None, space: Space::unlimited() }
    }
}

/// Opens the store of a node, healed first if damage was noted or if it does not open for it. One that cannot be healed
/// and opens is opened as it is: a node that does not run helps nobody, and what does not read is an error of whoever reads.
///
/// # Errors
/// [`HealError`]; the store is then as it was.
pub fn open(path: &Path, enrolment: &Enrolment, space: &Space) -> Result<Store, HealError> {
    let owner = owner(enrolment);
    if !is_noted(path) {
        let open = || Store::open(path, owner, &enrolment.keys.store);
        let opened = match open() {
            Err(error) if once::reads_now(path, &error) => open(),
            opened => opened,
        };
        match opened {
            Err(error) if error.is_damage() => {
                tracing::error!("the store does not open: {error}; healing it")
            }
            opened => return Ok(opened?),
        }
    }
    let means = Means { log: None, space: space.clone() };
    match heal(path, enrolment, &means, |text| tracing::info!("healing the store: {text}")) {
        Ok(report) => {
            report.lines().iter().for_each(|line| tracing::warn!("healed: {line}"));
            Ok(Store::open(path, owner, &enrolment.keys.store)?)
        }
        Err(error) => match Store::open(path, owner, &enrolment.keys.store) {
            Ok(store) => {
                tracing::error!("the store is damaged and not healed, and used as it is: {error}");
                watch::note_failed(path, &error);
                Ok(store)
            }
            Err(_) => Err(error),
        },
    }
}

/// Whose store it is.
fn owner(enrolment: &Enrolment) -> Owner {
    Owner { coalition: enrolment.coalition(), node: enrolment.node() }
}

/// Makes a sound store of a damaged one, which is kept aside. Blocks for as long as reading and verifying all of it takes.
///
/// # Errors
/// [`HealError`]; the store is then as it was.
pub fn heal(
    path: &Path,
    enrolment: &Enrolment,
    means: &Means<'_>,
    progress: impl Fn(&str),
) -> Result<Report, HealError> {
    heal_at(clock::now(), path, enrolment, means, progress)
}

fn heal_at(
    now: Timestamp,
    path: &Path,
    enrolment: &Enrolment,
    means: &Means<'_>,
    progress: impl Fn(&str),
) -> Result<Report, HealError> {
    let aside = store::aside(path);
    if aside.try_exists().map_err(|source| FileError::Io { path: aside.clone(), source })? {
        return Err(HealError::Again { path: aside });
    }
    let salvage = Salvage::open(path, owner(enrolment), &enrolment.keys.store)?;
    // Of an attempt that a crash cut short.
    unstage(path)?;
    let made =
        watch::room(path, &means.space).and_then(|()| make(now, path, &salvage, enrolment, means, progress));
    drop(salvage);
    let replaced = made.and_then(|report| {
        // Before the renames: should one of them fail, the damage is met again.
        watch::unnote(path)?;
        store::replace(path)?;
        if let Err(error) = once::forget(path) {
            tracing::warn!("names of files that read the second time are kept: {error}");
        }
        Ok(report)
    });
    match &replaced {
        Ok(report) => report.write(&aside),
        // Between the renames it is all there is.
        Err(_) if !path.exists() => {}
        Err(_) => {
            if let Err(left) = unstage(path) {
                tracing::warn!("{left}");
            }
        }
    }
    replaced
}

fn unstage(path: &Path) -> Result<(), HealError> {
    let staging = store::staging(path);
    match std::fs::remove_dir_all(&staging) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(FileError::Io { path: staging, source: error }.into())
        }
        _ => Ok(()),
    }
}

/// Makes the new store beside the old one.
fn make(
    now: Timestamp,
    path: &Path,
    salvage: &Salvage,
    enrolment: &Enrolment,
    means: &Means<'_>,
    progress: impl Fn(&str),
) -> Result<Report, HealError> {
    let (staging, owner, master) = (store::staging(path), owner(enrolment), &enrolment.keys.store);
    progress("keys, drafts and tokens");
    let carried = salvage.carry(&staging, owner, master)?;
    let new = Store::open(&staging, owner, master)?;
    // Nobody was asked yet: of what is noted anew others say later when it came.
    new.vouch_clock(None);
    progress("the admin log");
    let Folded { roster, is_proven } = Sources::of(salvage, enrolment, means.log).fold(&new)?;
    progress("messages");
    let judge = Judge { roster: Arc::new(roster), is_proven, node: enrolment.node(), now };
    let mut healing = Healing { judge, store: &new, report: Report::default(), held: BTreeMap::new() };
    healing.envelopes(salvage, &progress)?;
    healing.weigh()?;
    let Healing { mut report, held, .. } = healing;
    report.gaps = gaps(salvage, held, enrolment);
    report.own(carried);
    salvage.derived().for_each(|lost| report.lost(&lost));
    Ok(report)
}

/// Places held of each log, as stretches.
type Held = BTreeMap<(GroupId, LogId), Vec<(Sequence, Sequence)>>;

struct Healing<'a> {
    judge: Judge,
    store: &'a Store,
    report: Report,
    held: Held,
}

impl Healing<'_> {
    fn envelopes(&mut self, salvage: &Salvage, progress: impl Fn(&str)) -> Result<(), HealError> {
        let mut chunk = Vec::with_capacity(CHUNK);
        for found in salvage.envelopes() {
            let found = match found {
                Ok(found) => found,
                Err(lost) => {
                    self.report.lost(&lost);
                    continue;
                }
            };
            let change = match self.judge.fate(&found)? {
                Fate::Stored(row) => Change::Envelope(row),
                Fate::Parked(row) => Change::Park(*row),
                Fate::Refused(code) => {
                    self.report.refused(&found.row, code);
                    continue;
                }
            };
            chunk.push((self.store.prepare(change), found.row));
            if chunk.len() == CHUNK {
                self.store(std::mem::take(&mut chunk))?;
                if self.report.messages.is_multiple_of(CHUNK as u64 * 40) {
                    progress(&format!("{} messages", self.report.messages));
                }
            }
        }
        self.store(chunk)
    }

    fn store(&mut self, chunk: Vec<(Prepared, MessageRow)>) -> Result<(), HealError> {
        let (changes, rows): (Vec<_>, Vec<_>) = chunk.into_iter().unzip();
        let answers = block_on(async { self.store.enqueue(changes).await?.durable().await })?;
        for (answer, row) in answers.into_iter().zip(rows) {
            match answer? {
                Committed::Stored { .. } | Committed::Fork { .. } | Committed::Duplicate => {
                    self.report.messages += 1;
                    hold(&mut self.held, &row);
                }
                // What is parked may have to go for others; it counts as missing.
                Committed::Done => self.report.parked += 1,
                Committed::TooManyLogs => self.report.refused(&row, "too-many-logs"),
                Committed::Outdated | Committed::More | Committed::Reweighed { .. } => {
                    self.report.refused(&row, "not-stored");
                }
            }
        }
        Ok(())
    }

    /// Has withdrawals take effect before anything is opened: what they took away is not shown for a moment. Bodies that go
    /// by their date are left to the running node, which has others vouch for its clock.
    fn weigh(&self) -> Result<(), HealError> {
        let now = Timestamp::ZERO;
        loop {
            let work = self.store.to_reweigh(now, WEIGHED)?;
            if work.is_empty() {
                return Ok(());
            }
            self.store.commit_blocking(Change::Reweigh { work, now })?;
        }
    }
}

/// Envelopes come in the order of their places, but for second ones, which come first.
fn hold(held: &mut Held, row: &MessageRow) {
    let stretches = held.entry((row.group, row.log)).or_default();
    match stretches.last_mut() {
        Some((_, last)) if last.get() + 1 == row.sequence.get() => *last = row.sequence,
        _ => stretches.push((row.sequence, row.sequence)),
    }
}

/// Places between and behind those held that the old store knew of.
fn gaps(salvage: &Salvage, held: Held, enrolment: &Enrolment) -> Vec<Gap> {
    let mut gaps = Vec::new();
    for log in salvage.logs() {
        let mut stretches = held.get(&(log.group, log.log)).cloned().unwrap_or_default();
        stretches.sort_unstable();
        let mut next = 1;
        let is_own = log.serial == enrolment.certificate.serial;
        let mut gap = |from: u64, to: u64| {
            if from <= to {
                let (from, to) = (Sequence::new(from), Sequence::new(to));
                gaps.push(Gap { group: log.group, log: log.log, from, to, is_own });
            }
        };
        for (from, to) in stretches {
            gap(next, from.get().saturating_sub(1));
            next = next.max(to.get() + 1);
        }
        gap(next, log.top.get());
    }
    gaps
}
