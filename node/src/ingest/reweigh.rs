//! Withdrawals take effect: what the store says is to be looked at, in bounded steps, and bodies that are due.
//!
//! ```text
//! a withdrawal stored, hidden, shown ─▶ reweigh rows ─▶ Change::Reweigh ─┬─▶ Notice::Reopen
//! a steward's seven days are over ────▶ (due then)                       └─▶ notes ─▶ bytes leave the disk
//! ```
//!
//! Hiding waits for nothing. What takes a body by its date, a steward's word after its week, waits while our clock is doubted:
//! set ahead, it would take what a lift was still to bring back. The week of what came meanwhile begins when others vouch for the
//! clock. What its author erased goes at once, whatever the clock says.
//!
//! Two loops: rewriting files takes as long as the disk takes, and nothing that is to be hidden waits for it.

use std::time::Duration;

use belfry_proto::{envelope::Decoded, time::Timestamp};
use tokio::time::Instant;

use super::Ingest;
use crate::{
    feed::Notice,
    heard::VouchedClock,
    store::{Change, Committed, WriteError},
};

/// Messages weighed in one batch: each may take thousands of rows along.
const CHUNK: usize = 64;
/// Longest until due work is looked for without a notice: what is due stands in rows, and clocks may jump.
const LOOK: Duration = Duration::from_secs(3600);
/// After something failed, and while bodies wait for others to vouch for our clock.
const AGAIN: Duration = Duration::from_secs(10);
/// Between two purges, at least: each flushes every column.
const REST: Duration = Duration::from_secs(60);
/// And so many times as long as the last one took: one erasure a minute of what lies all over the disk must not keep every
/// node rewriting. A twentieth of the disk's time is what a member that erases without end can take.
const RESTS: u32 = 19;
/// But no longer: what is erased is to leave the disk.
const LONGEST: Duration = Duration::from_secs(3600);

impl Ingest {
    /// Weighs until the store ends.
    pub(super) async fn run_reweigh(self, mut clock: VouchedClock) {
        let mut reweighs = self.store.reweighs();
        loop {
            reweighs.mark_unchanged();
            let wait = match self.reweigh_due(&clock).await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::error!("withdrawals were not applied: {error}");
                    AGAIN
                }
            };
            tokio::select! {
                changed = reweighs.changed() => if changed.is_err() { return },
                () = clock.told() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Has erased bodies leave the disk until the store ends.
    pub(super) async fn run_purge(self) {
        let mut reweighs = self.store.reweighs();
        let mut room = self.store.space().watch();
        loop {
            reweighs.mark_unchanged();
            room.mark_unchanged();
            let begun = Instant::now();
            if self.purge().await {
                // What is noted meanwhile is the next round's.
                tokio::time::sleep(rest(begun.elapsed())).await;
                continue;
            }
            tokio::select! {
                changed = reweighs.changed() => if changed.is_err() { return },
                Ok(()) = room.changed() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Weighs all that is due; answers how long to wait for more.
    pub(super) async fn reweigh_due(&self, clock: &VouchedClock) -> Result<Duration, WriteError> {
        loop {
            let vouched = clock.now();
            if let Some(at) = vouched
                && self.store.has_unsure_words()?
            {
                self.store.commit(Change::WordsSeen { at }).await?;
                continue;
            }
            let now = vouched.unwrap_or(Timestamp::ZERO);
            let work = self.store.to_reweigh(now, CHUNK)?;
            if work.is_empty() {
                let wait = |due: Timestamp| if vouched.is_some() { due.since(now) } else { AGAIN };
                return Ok(self.store.next_reweigh()?.map_or(LOOK, wait).min(LOOK));
            }
            let reweighed = self.store.commit(Change::Reweigh { work, now }).await?;
            self.surface().await;
            if reweighed == (Committed::Reweighed { reopens: true }) {
                self.feed.notify(Notice::Reopen);
            }
        }
    }

    /// True if there was something to purge, and room for it: a file is written anew before the old one goes.
    pub(super) async fn purge(&self) -> bool {
        if !self.store.has_room() || !matches!(self.store.has_purges(), Ok(true)) {
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

    /// Whether the body of an entry that came without it may be missing: an erasure that is here reaches it. Nobody's
    /// word is taken for it but a withdrawal's, which went through the ladder like any message. Whether it stands does
    /// not matter: it did once, perhaps, and nobody has the body any more; then it counts as missing, and what follows
    /// in the log comes all the same.
    pub(super) fn may_be_bare(&self, entry: &Decoded) -> bool {
        let (id, header) = (entry.message_id(), entry.header());
        match self.store.erasures(id, header.group, header.member) {
            Ok(erasures) => !erasures.is_empty(),
            Err(error) => {
                tracing::warn!(message = %id, "withdrawals cannot be read: {error}");
                false
            }
        }
    }
}

/// How long nothing is rewritten after a purge that took so long.
fn rest(took: Duration) -> Duration {
    took.saturating_mul(RESTS).clamp(REST, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erasing_takes_a_twentieth_of_the_disks_time_and_is_put_off_for_an_hour_at_most() {
        assert_eq!(rest(Duration::from_millis(50)), REST);
        assert_eq!(rest(Duration::from_secs(30)), Duration::from_secs(30 * 19));
        assert_eq!(rest(Duration::MAX), LONGEST);
    }
}
