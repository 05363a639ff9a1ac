//! A store in which the disk flipped a bit is made whole again.
//!
//! ```text
//! met: on a read, by the scrub, at a write ─▶ noted beside the store ─▶ the node stops in order and starts again
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
//! Its numbers are its own again: like a restored backup, a healed store goes on with none of the logs it holds.

mod log;
mod report;
#[cfg(test)]
mod tests;
mod watch;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use belfry_proto::{
    envelope::{self, Admission, AdmitError, Admitted, AttributeError, Decoded, Origin},
    id::{GroupId, LogId, Sequence},
    time::Timestamp,
    trust::roster::Roster,
    verdict::Judged,
};
use futures::executor::block_on;

pub use self::{
    report::{Gap, Report},
    watch::{is_noted, note_met, notice, scrub},
};
use crate::{
    clock,
    keys::{Enrolment, file::FileError},
    rows,
    store::{
        self, Change, EnvelopeRow, MessageState, OpenError, Owner, ParkRow, Parker, Prepared, ReadError,
        Salvage, Salvaged, Store, WriteError,
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

/// Opens the store of a node, healed first if damage was noted or if it does not open for it.
///
/// # Errors
/// [`HealError`]; the store is then as it was.
pub fn open(path: &Path, enrolment: &Enrolment) -> Result<Store, HealError> {
    let owner = owner(enrolment);
    if !is_noted(path) {
        match Store::open(path, owner, &enrolment.keys.store) {
            Err(error) if error.is_damage() => {
                tracing::error!("the store does not open: {error}; healing it")
            }
            opened => return Ok(opened?),
        }
    }
    let report = heal(path, enrolment, |text| tracing::info!("healing the store: {text}"))?;
    for line in report.lines() {
        tracing::warn!("healed: {line}");
    }
    Ok(Store::open(path, owner, &enrolment.keys.store)?)
}

/// Whose store it is.
fn owner(enrolment: &Enrolment) -> Owner {
    Owner { coalition: enrolment.coalition(), node: enrolment.node() }
}

/// Makes a sound store of a damaged one, which is kept aside. Blocks for as long as reading and verifying all of it takes.
///
/// # Errors
/// [`HealError`]; the store is then as it was.
pub fn heal(path: &Path, enrolment: &Enrolment, progress: impl Fn(&str)) -> Result<Report, HealError> {
    let (aside, staging, owner) = (store::aside(path), store::staging(path), owner(enrolment));
    if aside.exists() {
        return Err(HealError::Again { path: aside });
    }
    let master = &enrolment.keys.store;
    let salvage = Salvage::open(path, owner, master)?;
    // Of an attempt that a crash cut short.
    match std::fs::remove_dir_all(&staging) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(FileError::Io { path: staging, source: error }.into());
        }
        _ => {}
    }
    progress("keys, drafts and tokens");
    let carried = salvage.carry(&staging, owner, master)?;
    let new = Store::open(&staging, owner, master)?;
    progress("the admin log");
    let roster = Arc::new(log::fold(&salvage, enrolment, &new)?);
    progress("messages");
    let mut healing = Healing {
        roster: &roster,
        store: &new,
        now: clock::now(),
        report: Report::default(),
        held: BTreeMap::new(),
    };
    healing.envelopes(&salvage, &progress)?;
    healing.weigh()?;
    let Healing { mut report, held, .. } = healing;
    report.admin = (salvage.head().height, roster.version().height);
    report.gaps = gaps(&salvage, held, enrolment);
    report.own(carried);
    salvage.derived().for_each(|lost| report.lost(&lost));
    drop((new, salvage));
    // Before the renames: should one of them fail, the damage is met again.
    watch::unnote(path)?;
    store::replace(path)?;
    report.write(&aside);
    Ok(report)
}

/// Places held of each log, as stretches.
type Held = BTreeMap<(GroupId, LogId), Vec<(Sequence, Sequence)>>;

struct Healing<'a> {
    roster: &'a Arc<Roster>,
    store: &'a Store,
    now: Timestamp,
    report: Report,
    held: Held,
}

/// What becomes of a salvaged envelope.
enum Fate {
    Stored(Box<EnvelopeRow>),
    /// It names more of the admin log than was salvaged.
    Parked(ParkRow),
    Refused(&'static str),
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
            let change = match fate(self.roster, &found, self.now) {
                Fate::Stored(row) => Change::Envelope(row),
                Fate::Parked(row) => {
                    self.report.parked += 1;
                    Change::Park(row)
                }
                Fate::Refused(code) => {
                    self.report.refused(&found, code);
                    continue;
                }
            };
            self.report.messages += 1;
            hold(&mut self.held, &found);
            chunk.push(self.store.prepare(change));
            if chunk.len() == CHUNK {
                self.store(std::mem::take(&mut chunk))?;
                if self.report.messages.is_multiple_of(CHUNK as u64 * 40) {
                    progress(&format!("{} messages", self.report.messages));
                }
            }
        }
        self.store(chunk)
    }

    fn store(&self, chunk: Vec<Prepared>) -> Result<(), HealError> {
        let answers = block_on(async { self.store.enqueue(chunk).await?.durable().await })?;
        answers.into_iter().try_for_each(|answer| answer.map(drop))?;
        Ok(())
    }

    /// Has withdrawals take effect before anything is opened: what they took away is not shown for a moment.
    fn weigh(&self) -> Result<(), HealError> {
        loop {
            let work = self.store.to_reweigh(self.now, WEIGHED)?;
            if work.is_empty() {
                return Ok(());
            }
            self.store.commit_blocking(Change::Reweigh { work, now: self.now })?;
        }
    }
}

/// Puts an envelope through the whole ladder: what the old store said of it is not believed. It is opened later, by
/// whoever opens what stands again.
fn fate(roster: &Arc<Roster>, found: &Salvaged, now: Timestamp) -> Fate {
    let decoded = match envelope::decode(&found.bytes) {
        Ok(decoded) => decoded,
        Err(error) => return Fate::Refused(error.code()),
    };
    let claimed = decoded.clone();
    let attributed = match decoded.attribute(roster) {
        Ok(attributed) => attributed,
        Err(AttributeError::AheadOfRoster { .. }) => return ahead(roster, claimed, found),
        Err(error) => return Fate::Refused(error.code()),
    };
    let verified = match attributed.verify() {
        Ok(verified) => verified,
        Err(error) => return Fate::Refused(error.code()),
    };
    let (received, height) = (found.row.received, roster.version().height);
    let admission = Admission { origin: Origin::Sync, now, skew: roster.charter().clock_skew() };
    let row = match verified.admit(roster, admission) {
        Ok(admitted) => admitted_row(roster, &admitted, received, now),
        Err(AdmitError::Quarantined(beyond)) => {
            let (header, id) = (beyond.header(), beyond.message_id());
            rows::hidden(header, id, beyond.bytes(), !beyond.lacks_body(), received, height)
        }
        Err(error) => return Fate::Refused(error.code()),
    };
    let withdraws = rows::withdraws(roster, row.id, claimed.header(), received);
    Fate::Stored(Box::new(EnvelopeRow { withdraws, ..row }))
}

fn admitted_row(roster: &Roster, admitted: &Admitted, received: Timestamp, now: Timestamp) -> EnvelopeRow {
    let (header, id, height) = (admitted.header(), admitted.message_id(), roster.version().height);
    let is_whole = !admitted.lacks_body();
    if admitted.is_in_closed_log() {
        let row = rows::hidden(header, id, admitted.bytes(), is_whole, received, height);
        return EnvelopeRow { is_cut_point: !admitted.is_below_cut(), is_listed: true, ..row };
    }
    let row = rows::envelope(header, id, admitted.bytes(), is_whole, MessageState::Sealed, received, height);
    match (is_whole, header.key_id()) {
        (false, _) => {
            let (state, reason) = rows::bare(header, roster, now);
            EnvelopeRow { state, reason, ..row }
        }
        (true, Some(_)) => EnvelopeRow { opens_later: true, ..row },
        // A withdrawal: nothing opens.
        (true, None) => EnvelopeRow { state: MessageState::Closed, ..row },
    }
}

fn ahead(roster: &Roster, decoded: Decoded, found: &Salvaged) -> Fate {
    match decoded.is_signed_by_known(roster) {
        Some(true) => Fate::Parked(ParkRow {
            id: decoded.message_id(),
            parker: Parker::Author(decoded.header().member),
            // From now on: the admin log has the usual time to come.
            received: clock::now(),
            bytes: found.bytes.clone(),
        }),
        Some(false) => Fate::Refused("bad-signature"),
        None => Fate::Refused("ahead-of-roster"),
    }
}

/// Envelopes come in the order of their places, but for second ones, which come first.
fn hold(held: &mut Held, found: &Salvaged) {
    let (row, stretches) = (&found.row, held.entry((found.row.group, found.row.log)).or_default());
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
