//! A running node looks for damage, and stops where it meets some.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::HealError;
use crate::{
    keys::file::{self, Existing, FileError, Readers},
    store::{self, Scrub, Scrubbed, Store},
};

/// Bytes read in one step of a round: some milliseconds of disk and of one core.
const STEP: usize = 1 << 20;
/// Between two steps: 80 GB a day.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two rounds.
const REST: Duration = Duration::from_secs(24 * 3600);

/// Where damage is noted until it is healed.
fn note(store: &Path) -> PathBuf {
    store.with_extension("heal")
}

/// Whether damage was met and waits to be healed.
#[must_use]
pub fn is_noted(store: &Path) -> bool {
    note(store).exists()
}

pub(super) fn unnote(store: &Path) -> Result<(), HealError> {
    let path = note(store);
    match std::fs::remove_file(&path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(FileError::Io { path, source }.into())
        }
        _ => Ok(()),
    }
}

/// Reads everything from time to time, until the store ends.
pub async fn scrub(store: Store) {
    let mut at = Scrub::default();
    loop {
        let reads = store.clone();
        let step = tokio::task::spawn_blocking(move || {
            let scrubbed = reads.scrub(&mut at, STEP);
            (at, scrubbed)
        });
        let Ok((on, scrubbed)) = step.await else { return };
        at = on;
        tokio::time::sleep(if scrubbed == Scrubbed::Done { REST } else { PAUSE }).await;
    }
}

/// Waits until damage is met and notes it, so that the next start heals. Ends then: the node has to stop. Where a healed
/// store is damaged again, that would help for a while only, and the node goes on with what reads.
pub async fn notice(store: Store, path: PathBuf) {
    let met = store.damage().wait_for(Option::is_some).await.is_ok();
    if met && !note_met(&store, &path) {
        std::future::pending::<()>().await
    }
}

/// Notes damage that was met, if the next start is to heal it; whether it is.
pub fn note_met(store: &Store, path: &Path) -> bool {
    let Some(error) = store.damage().borrow().clone() else { return false };
    let kept = store::aside(path);
    if kept.exists() {
        tracing::error!("the store is damaged again: {error}. {}", HealError::Again { path: kept });
        return false;
    }
    tracing::error!("the store is damaged: {error}; stopping, to heal it at the next start");
    let text = format!("{error}\n");
    if let Err(error) = file::write(&note(path), text.as_bytes(), Readers::Owner, Existing::Replace) {
        tracing::error!("that is not noted: {error}; run `belfry store heal`");
    }
    true
}
