//! Withdrawals take effect: what the store says is to be looked at, in bounded steps, and bodies that are due.
//!
//! ```text
//! a withdrawal stored, hidden, shown ─▶ reweigh rows ─▶ Change::Reweigh ─┬─▶ Notice::Reopen
//! a steward's seven days are over ────▶ (due then)                       └─▶ bytes leave the disk
//! ```

use std::time::Duration;

use belfry_proto::envelope::Decoded;
use tokio::time::Instant;

use super::Ingest;
use crate::{
    clock,
    feed::Notice,
    store::{Change, Committed, WithdrawalRow, WriteError},
};

/// Messages weighed in one batch: each may take thousands of rows along.
const CHUNK: usize = 64;
/// Longest until due work is looked for without a notice: what is due stands in rows, and clocks may jump.
const LOOK: Duration = Duration::from_secs(3600);
/// After something failed.
const AGAIN: Duration = Duration::from_secs(10);
/// Between two purges: each flushes every column.
const REST: Duration = Duration::from_secs(60);

/// Why a body may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Excuse {
    /// A withdrawal that stands erased it.
    Erased,
    /// A withdrawal would, and is not known to stand: its log has to be judged first.
    NotYet,
    /// Nothing does.
    None,
}

impl Ingest {
    /// Weighs until the store ends.
    pub(super) async fn run_reweigh(self) {
        let mut reweighs = self.store.reweighs();
        let mut purged: Option<Instant> = None;
        loop {
            reweighs.mark_unchanged();
            let mut wait = match self.reweigh_due().await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::error!("withdrawals were not applied: {error}");
                    AGAIN
                }
            };
            match purged.map(|at| REST.saturating_sub(at.elapsed())).filter(|rest| !rest.is_zero()) {
                Some(rest) => wait = wait.min(rest),
                None => {
                    if self.purge().await {
                        purged = Some(Instant::now());
                    }
                }
            }
            tokio::select! {
                changed = reweighs.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Weighs all that is due; answers how long to wait for more.
    async fn reweigh_due(&self) -> Result<Duration, WriteError> {
        loop {
            let now = clock::now();
            let work = self.store.to_reweigh(now, CHUNK)?;
            if work.is_empty() {
                let next = self.store.next_reweigh()?;
                return Ok(next.map_or(LOOK, |due| due.since(now)).min(LOOK));
            }
            let reweighed = self.store.commit(Change::Reweigh { work, now }).await?;
            self.surface().await;
            if reweighed == (Committed::Reweighed { reopens: true }) {
                self.feed.notify(Notice::Reopen);
            }
        }
    }

    /// True if there was something to purge.
    async fn purge(&self) -> bool {
        if !matches!(self.store.has_purges(), Ok(true)) {
            return false;
        }
        let store = self.store.clone();
        match tokio::task::spawn_blocking(move || store.purge()).await {
            Ok(Ok(())) => tracing::info!("erased bodies have left the disk"),
            Ok(Err(error)) => tracing::error!("erased bodies may still lie in files: {error}"),
            Err(error) => tracing::error!("purging ended: {error}"),
        }
        true
    }

    /// Whether the body of an entry that came without it may be missing. Nobody's word is taken for it but a
    /// withdrawal's, which went through the ladder like any message.
    pub(super) fn excuse(&self, entry: &Decoded) -> Excuse {
        let (id, header) = (entry.message_id(), entry.header());
        let ending = self.store.ending(id, header.group, header.member);
        if matches!(ending, Ok(Some(ending)) if ending.shreds_at.is_some()) {
            return Excuse::Erased;
        }
        let would =
            |row: &WithdrawalRow| !row.stands && row.word.reaches(header.group, header.member).is_ok();
        match self.store.withdrawals(id) {
            Ok(rows) if rows.iter().any(would) => Excuse::NotYet,
            Ok(_) => Excuse::None,
            Err(error) => {
                tracing::warn!(message = %id, "withdrawals cannot be read: {error}");
                Excuse::NotYet
            }
        }
    }
}
