//! Logs judged as a whole: after the admin log moved, after a fork, and when entries of a closed log arrive.
//!
//! ```text
//! RosterChanged ─▶ every log whose closure differs from the one it was judged by ─┐
//! unjudged rows (fork, closed log, roster overtaken) ─────────────────────────────┴─▶ judge_log ─▶ hide / show
//! ```
//!
//! What is to be done stands in rows (a log's closure, the unjudged column), never in memory: whatever a crash
//! leaves undone is found at the start. Judging reads the whole log; a log that is fed entry by entry is judged
//! at most a tenth of the time.

use std::{collections::BTreeMap, time::Duration};

use belfry_proto::{
    id::{GroupId, LogId, MessageId},
    sync::{Entry, Place, judge_log},
    trust::{closure::Closure, roster::Roster},
};
use tokio::time::Instant;

use super::Ingest;
use crate::{
    feed::Notice,
    store::{
        Change, Committed, HeldEntry, JudgedEnd, JudgedLog, LogRow, MessageState, ReadError, WriteError,
    },
};

/// Messages hidden or shown in one batch: each may take thousands of rows along.
const CHUNK: usize = 64;
/// How long marks gather before their logs are judged.
const GATHER: Duration = Duration::from_millis(50);
/// How often marks are looked for without a notice.
const SWEEP: Duration = Duration::from_secs(10);
/// How often every log is held against the roster without a notice.
const LOOK: Duration = Duration::from_secs(60);
/// A log rests this many times as long as its last judgement took.
const REST: u32 = 9;

/// Why a log was not judged.
#[derive(Debug, thiserror::Error)]
enum RejudgeError {
    #[error("{0}")]
    Read(#[from] ReadError),
    #[error("{0}")]
    Write(#[from] WriteError),
    #[error("the judging thread ended")]
    Died,
}

impl Ingest {
    /// Judges until the feed ends.
    pub(super) async fn run_rejudge(self) {
        let mut notices = self.feed.subscribe();
        let mut rests: BTreeMap<(GroupId, LogId), Instant> = BTreeMap::new();
        self.mark_changed().await;
        let mut due = Instant::now();
        // Notices are hints: one that is lost must not leave a cut without effect.
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = look.tick() => self.mark_changed().await,
                notice = notices.recv() => match notice {
                    Some(Notice::RosterChanged(_) | Notice::Missed { .. }) => {
                        self.mark_changed().await;
                        rests.clear();
                        due = Instant::now();
                    }
                    Some(Notice::LogUnjudged) => due = due.min(Instant::now() + GATHER),
                    Some(_) => {}
                    None => return,
                },
                () = tokio::time::sleep_until(due) => {
                    due = self.judge_marked(&mut rests).await;
                }
            }
        }
    }

    /// Judges every log whose closure is another one than it was judged by; what fails is left for the sweep.
    async fn mark_changed(&self) {
        let (store, roster) = (self.store.clone(), self.roster.snapshot());
        let changed = tokio::task::spawn_blocking(move || -> Result<Vec<LogRow>, ReadError> {
            let logs = store.all_logs()?.into_iter();
            Ok(logs.filter(|log| closure(&roster, log).fingerprint() != log.closure).collect())
        });
        match changed.await {
            Ok(Ok(logs)) => {
                for log in logs {
                    self.judge_until_settled(log.group, log.log).await;
                }
            }
            Ok(Err(error)) => tracing::error!("logs cannot be read to be judged again: {error}"),
            Err(error) => tracing::error!("logs were not judged again: {error}"),
        }
    }

    /// Judges marked logs that do not rest; answers when to look again.
    async fn judge_marked(&self, rests: &mut BTreeMap<(GroupId, LogId), Instant>) -> Instant {
        let now = Instant::now();
        rests.retain(|_, until| *until > now);
        let marked = match self.store.unjudged() {
            Ok(marked) => marked,
            Err(error) => {
                tracing::error!("logs to be judged cannot be read: {error}");
                return now + SWEEP;
            }
        };
        let mut next = now + SWEEP;
        for (group, log) in marked {
            if let Some(until) = rests.get(&(group, log)) {
                next = next.min(*until);
                continue;
            }
            let began = Instant::now();
            self.judge_until_settled(group, log).await;
            let until = Instant::now() + began.elapsed() * REST;
            rests.insert((group, log), until);
            next = next.min(until + GATHER);
        }
        next
    }

    async fn judge_until_settled(&self, group: GroupId, log: LogId) {
        // Twice suffices unless the log is being fed; then the sweep goes on.
        for _ in 0..3 {
            match self.judge_whole(group, log).await {
                Ok(Committed::Outdated) => {}
                Ok(_) => return,
                Err(error) => {
                    tracing::error!(group = group.get(), %log, "log not judged: {error}");
                    return;
                }
            }
        }
    }

    async fn judge_whole(&self, group: GroupId, log: LogId) -> Result<Committed, RejudgeError> {
        let (store, roster) = (self.store.clone(), self.roster.snapshot());
        let found = tokio::task::spawn_blocking(move || -> Result<Option<Found>, ReadError> {
            // The revision first: whatever comes while the entries are read outdates it.
            let Some(row) = store.log(group, log)? else { return Ok(None) };
            Ok(Some(judge(&closure(&roster, &row), &row, &store.held(group, log)?)))
        })
        .await
        .map_err(|_| RejudgeError::Died)??;
        let Some(Found { hide, show, end }) = found else { return Ok(Committed::Done) };
        if !hide.is_empty() || !show.is_empty() {
            tracing::info!(group = group.get(), %log, hidden = hide.len(), shown = show.len(),
                fork = end.fork.map(belfry_proto::id::Sequence::get), "log judged again");
        }
        let part = |hide: &[_], show: &[_]| {
            Change::Judged(JudgedLog { group, log, hide: hide.to_vec(), show: show.to_vec(), end: None })
        };
        for hide in hide.chunks(CHUNK) {
            self.store.commit(part(hide, &[])).await?;
        }
        for show in show.chunks(CHUNK) {
            self.store.commit(part(&[], show)).await?;
        }
        let last = JudgedLog { group, log, hide: Vec::new(), show: Vec::new(), end: Some(end) };
        let ended = self.store.commit(Change::Judged(last)).await?;
        if !show.is_empty() {
            self.feed.notify(Notice::Reopen);
        }
        Ok(ended)
    }
}

struct Found {
    hide: Vec<(MessageId, MessageState)>,
    show: Vec<MessageId>,
    end: JudgedEnd,
}

fn closure(roster: &Roster, log: &LogRow) -> Closure {
    roster.closure(log.serial, log.group, log.log)
}

/// What differs between how the log is held and what stands of it.
fn judge(closure: &Closure, log: &LogRow, held: &[HeldEntry]) -> Found {
    let entries: Vec<Entry> = held.iter().map(|held| held.entry).collect();
    let judged = judge_log(closure, &entries);
    let (mut hide, mut show) = (Vec::new(), Vec::new());
    for HeldEntry { entry, state } in held {
        match judged.places.get(&entry.id) {
            Some(Place::Stands) if state.is_hidden() => show.push(entry.id),
            Some(Place::Quarantined) if *state != MessageState::Quarantined => {
                hide.push((entry.id, MessageState::Quarantined));
            }
            Some(Place::Disputed) if *state != MessageState::Disputed => {
                hide.push((entry.id, MessageState::Disputed));
            }
            _ => {}
        }
    }
    let end = JudgedEnd {
        revision: log.revision,
        closure: closure.fingerprint(),
        fork: judged.fork,
        chosen: judged.chosen.into_iter().collect(),
    };
    Found { hide, show, end }
}

#[cfg(test)]
mod tests;
