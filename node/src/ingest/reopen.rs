//! Envelopes that waited: for a key, or for the roster.

use belfry_proto::{envelope, id::KeyId};

use super::{Arrival, Ingest, keep::Opening};
use crate::{feed::Notice, rows, store::Change};
use tokio::sync::mpsc;

/// Envelopes opened in one go after a key came.
const BATCH: usize = 256;

impl Ingest {
    /// Opens what a new key opens and judges what was parked, until the feed ends.
    pub(super) async fn run_reopen(self, keep: mpsc::Sender<Arrival>) {
        let mut notices = self.feed.subscribe();
        self.judge_parked(&keep).await;
        while let Some(notice) = notices.recv().await {
            match notice {
                Notice::KeyArrived(key) => self.open_waiting(key).await,
                Notice::RosterChanged(_) => self.judge_parked(&keep).await,
                _ => {}
            }
        }
    }

    async fn open_waiting(&self, key: KeyId) {
        // Opened content is larger than what waits; the asking side tells of the key again.
        while self.store.has_room() {
            let waiting = match self.store.waiting_on(key, BATCH) {
                Ok(waiting) if waiting.is_empty() => return,
                Ok(waiting) => waiting,
                Err(error) => {
                    tracing::warn!(%key, "envelopes waiting for a key cannot be read: {error}");
                    return;
                }
            };
            let (this, roster) = (self.clone(), self.roster.snapshot());
            let changes = tokio::task::spawn_blocking(move || {
                let mut changes = Vec::with_capacity(waiting.len());
                for message in waiting {
                    let Ok(Some(bytes)) = this.store.envelope(message) else { continue };
                    let Ok(decoded) = envelope::decode(&bytes) else { continue };
                    // These bytes were admitted before they were stored.
                    let admitted = decoded.trusted();
                    let header = admitted.header().clone();
                    match this.open(&admitted, &roster) {
                        Opening::Opened(publication) => {
                            let content = rows::opened(&publication, &admitted);
                            changes.push((header.group, Change::Opened { message, content }));
                        }
                        Opening::Unreadable(reason) => {
                            changes.push((header.group, Change::Closed { message, reason }));
                        }
                        Opening::Waits | Opening::NotForUs => {}
                    }
                }
                changes
            })
            .await
            .unwrap_or_default();
            if changes.is_empty() {
                return;
            }
            let commits = changes.into_iter().map(|(group, change)| async move {
                match self.store.commit(change).await {
                    Ok(_) => {
                        self.feed.notify(Notice::Stored { group });
                        true
                    }
                    Err(error) => {
                        tracing::error!("opened content not stored: {error}");
                        false
                    }
                }
            });
            if !futures::future::join_all(commits).await.into_iter().all(|ok| ok) {
                return;
            }
        }
    }
}
