//! Signatures of entries that came on a page, checked behind it.
//!
//! One verified entry admits those below it on its page ([`super::judge`]): its author has vouched for every byte of
//! them. What is left to find out is whether the author also signed each. Where it did not, it has broken its log, and
//! everybody can see that: the log is judged, and frozen below the place ([`belfry_proto::sync::judge_log`]).
//!
//! How far a log is checked stands in its row, so a restart goes on where it was. While pages come one after the
//! other, checking waits: the entries are shown meanwhile, and none the less their author's.

use std::{sync::Arc, time::Duration};

use belfry_proto::{
    envelope,
    id::{GroupId, LogId, Sequence},
    trust::roster::Roster,
};
use tokio::time::{Instant, MissedTickBehavior};

use super::Ingest;
use crate::{
    feed::Notice,
    store::{Change, CheckedLog, ReadError, Store, WriteError},
};

/// Entries checked in one go: some milliseconds of one core.
const AT_ONCE: usize = 128;
/// How often it is looked for what is to be checked.
const LOOK: Duration = Duration::from_millis(500);
/// How long pages may hold checking up. Whoever keeps them coming does not put it off for ever.
const LONGEST: Duration = Duration::from_secs(60);

/// Why a log was not checked.
#[derive(Debug, thiserror::Error)]
enum CheckError {
    #[error("{0}")]
    Read(#[from] ReadError),
    #[error("{0}")]
    Write(#[from] WriteError),
    #[error("the checking thread ended")]
    Died,
}

impl Ingest {
    /// Checks until the daemon stops.
    pub(super) async fn run_check(self) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut pages, mut checked) = (0, Instant::now());
        loop {
            look.tick().await;
            let before = std::mem::replace(&mut pages, self.pages());
            let logs = self.store.unchecked();
            if logs.is_empty() {
                checked = Instant::now();
                continue;
            }
            if pages != before && checked.elapsed() < LONGEST {
                continue;
            }
            for (group, log, from) in logs {
                if let Err(error) = self.check_log(group, log, from).await {
                    tracing::error!(group = group.get(), %log, "signatures not checked: {error}");
                }
            }
            checked = Instant::now();
        }
    }

    async fn check_log(&self, group: GroupId, log: LogId, from: Sequence) -> Result<(), CheckError> {
        let mut from = from;
        loop {
            let (store, roster) = (self.store.clone(), self.roster.snapshot());
            let found = tokio::task::spawn_blocking(move || check(&store, &roster, group, log, from));
            let checked = found.await.map_err(|_| CheckError::Died)??;
            let is_unsigned = !checked.unsigned.is_empty();
            if is_unsigned {
                tracing::error!(group = group.get(), %log, entries = checked.unsigned.len(),
                    "the author of log {log} vouched for entries that it did not sign");
            }
            self.store.commit(Change::Checked(checked)).await?;
            if is_unsigned {
                self.feed.notify(Notice::LogUnjudged);
            }
            match self.store.unchecked_from(group, log) {
                Some(next) => from = next,
                None => return Ok(()),
            }
        }
    }
}

fn check(
    store: &Store,
    roster: &Arc<Roster>,
    group: GroupId,
    log: LogId,
    from: Sequence,
) -> Result<CheckedLog, ReadError> {
    let entries = store.entries_from(group, log, from, AT_ONCE)?;
    let through = entries.last().map(|(sequence, ..)| *sequence);
    // What does not decode, or whose certificate is gone, is another check's to find: nothing is said of its signature.
    let is_unsigned = |bytes: &[u8]| {
        let attributed = envelope::decode(bytes).ok().and_then(|decoded| decoded.attribute(roster).ok());
        attributed.is_some_and(|attributed| attributed.verify().is_err())
    };
    let unsigned = entries.iter().filter(|(.., bytes)| is_unsigned(bytes)).map(|(_, id, _)| *id).collect();
    Ok(CheckedLog { group, log, from, through, unsigned })
}
