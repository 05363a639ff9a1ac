//! Envelopes that waited: for a key, for the roster, or to be shown again.

use belfry_proto::{
    envelope,
    id::{KeyId, MessageId},
    trust::roster::Roster,
};

use tokio::task::spawn_blocking;

use super::{Departures, Ingest, keep::Opening, line::Line};
use crate::{
    feed::Notice,
    rows,
    store::{Answer, Change, Prepared},
};

/// Envelopes opened in one go after a key came.
const BATCH: usize = 256;
/// How often those that were to be opened later are looked at.
const SWEEP: std::time::Duration = std::time::Duration::from_secs(60);

/// Why a stored envelope is opened.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    Key,
    /// It was hidden, and stands again.
    Restored,
}

impl Ingest {
    /// Opens what a new key opens, judges what was parked and shows what stands again, until the feed ends.
    pub(super) async fn run_reopen(self, departures: Departures) {
        let mut line = Line::new();
        let mut notices = self.feed.subscribe();
        self.judge_parked(&mut line, &departures).await;
        self.open_restored(&mut line).await;
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                notice = notices.recv() => match notice {
                    Some(Notice::KeyArrived(key)) => self.open_waiting(key, &mut line).await,
                    Some(Notice::RosterChanged(_)) => self.judge_parked(&mut line, &departures).await,
                    Some(Notice::Reopen) => self.open_restored(&mut line).await,
                    // Of a key that came, the asking side tells again.
                    Some(Notice::Missed { .. }) => {
                        self.judge_parked(&mut line, &departures).await;
                        self.open_restored(&mut line).await;
                    }
                    Some(_) => {}
                    None => return,
                },
                _ = sweep.tick() => {
                    self.judge_parked(&mut line, &departures).await;
                    self.open_restored(&mut line).await;
                }
            }
        }
    }

    /// Opens what waits for a key, in one round: what is stored meanwhile tells of itself.
    async fn open_waiting(&self, key: KeyId, line: &mut Line) {
        let mut after = None;
        // Opened content is larger than what waits; the asking side tells of the key again.
        while self.store.has_room() {
            let store = self.store.clone();
            let waiting = spawn_blocking(move || store.waiting_on(key, after, BATCH)).await;
            match waiting {
                Ok(Ok(waiting)) if waiting.is_empty() => return,
                Ok(Ok(waiting)) => {
                    after = waiting.last().copied();
                    self.open_stored(waiting, Cause::Key, line).await;
                }
                Ok(Err(error)) => {
                    tracing::warn!(%key, "envelopes waiting for a key cannot be read: {error}");
                    return;
                }
                Err(_) => return,
            }
        }
    }

    /// Opens what stands again after it was hidden; what lacks its key waits for that as it did before.
    async fn open_restored(&self, line: &mut Line) {
        let mut after = None;
        while self.store.has_room() {
            let store = self.store.clone();
            match spawn_blocking(move || store.reopenable(after, BATCH)).await {
                Ok(Ok(restored)) if restored.is_empty() => return,
                Ok(Ok(restored)) => {
                    // One round over all: what has to wait longer holds up nobody else.
                    after = restored.last().copied();
                    self.open_stored(restored, Cause::Restored, line).await;
                }
                Ok(Err(error)) => {
                    tracing::warn!("envelopes to be shown again cannot be read: {error}");
                    return;
                }
                Err(_) => return,
            }
        }
    }

    /// Opens these on every core and queues what came of them for the writer. A full queue is what holds this up.
    async fn open_stored(&self, messages: Vec<MessageId>, cause: Cause, line: &mut Line) {
        let (this, roster) = (self.clone(), self.roster.snapshot());
        // The objects are made ready for the writer where they are read.
        let work = move |messages: Vec<MessageId>| {
            let reopened = messages.into_iter().filter_map(|message| this.reopened(message, cause, &roster));
            reopened.map(|change| this.store.prepare(change)).collect::<Vec<_>>()
        };
        let store = self.store.clone();
        let write = move |changes: Vec<Prepared>| {
            if changes.is_empty() {
                return nothing_left;
            }
            let told = |answers: &[Answer]| {
                if let Some(error) = answers.iter().find_map(|answer| answer.as_ref().err()) {
                    tracing::error!("opened content not stored: {error}");
                }
            };
            // Dropped, what was handed in wakes the writer.
            if let Err(error) = store.hand_in_telling_blocking(changes, Box::new(told)).map(drop) {
                tracing::debug!("opened content not stored: {error}");
            }
            nothing_left
        };
        line.run(messages, work, write).await;
    }

    fn reopened(&self, message: MessageId, cause: Cause, roster: &Roster) -> Option<Change> {
        let bytes = self.store.envelope(message).ok().flatten()?;
        // These bytes were admitted before they were stored.
        let admitted = envelope::decode(&bytes).ok()?.trusted();
        Some(match (self.open(&admitted, roster), cause) {
            (Opening::Opened(publication), _) => {
                let group = admitted.header().group;
                Change::Opened { message, group, content: rows::opened(&publication, &admitted, roster) }
            }
            (Opening::Unreadable(reason), _) => Change::Closed { message, reason },
            (Opening::Waits, Cause::Restored) => Change::Reseal(message),
            (Opening::NotForUs, Cause::Restored) => Change::Closed { message, reason: String::new() },
            (Opening::Waits | Opening::NotForUs, Cause::Key) | (Opening::Later, _) => return None,
        })
    }
}

const fn nothing_left() {}
