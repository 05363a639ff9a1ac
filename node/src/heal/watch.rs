//! A running node looks for damage, and stops where it meets some.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::HealError;
use crate::{
    keys::file::{self, Existing, FileError, Readers},
    space::Space,
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

/// Why damage that was met waits still: while a node runs, that healing at its start failed.
#[must_use]
pub fn unhealed(store: &Path) -> Option<String> {
    std::fs::read_to_string(note(store)).ok().map(|why| why.trim_end().to_owned())
}

/// Notes why healing failed, for whoever asks the node that runs on without.
pub(super) fn note_failed(store: &Path, error: &HealError) {
    if let Err(error) = write_note(store, &error.to_string()) {
        tracing::warn!("that is not noted: {error}");
    }
}

pub(super) fn write_note(store: &Path, text: &str) -> Result<(), FileError> {
    file::write(&note(store), format!("{text}\n").as_bytes(), Readers::Owner, Existing::Replace)
}

/// Whether there is room for a second store.
pub(super) fn room(path: &Path, space: &Space) -> Result<(), HealError> {
    space.look();
    let (free, floor) = space.figures();
    let needed = store::size(path).saturating_add(floor);
    if free < needed {
        return Err(HealError::Room { free: free >> 20, needed: (needed >> 20) + 1 });
    }
    Ok(())
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

/// Waits until damage is met and notes it, so that the next start heals. Ends then: the node has to stop. Where
/// the next start could not heal it, stopping would help nobody, and the node goes on with what reads.
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
    if let Some(why) = unhealed(path) {
        tracing::error!("the store is damaged: {error}; healing it at this start failed: {why}");
        return false;
    }
    if let Err(room) = room(path, store.space()) {
        tracing::error!("the store is damaged: {error}; this node goes on with what reads: {room}");
        return false;
    }
    if let Err(failed) = write_note(path, &error.to_string()) {
        tracing::error!(
            "the store is damaged: {error}; that cannot be noted ({failed}), so this node goes on with what reads: stop it \
             and run `belfry store heal`"
        );
        return false;
    }
    tracing::error!("the store is damaged: {error}; stopping, to heal it at the next start");
    true
}
