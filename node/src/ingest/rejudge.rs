//! Logs judged as a whole: after the admin log moved, after a fork, and when entries of a closed log arrive.
//!
//! ```text
//! RosterChanged ─▶ every log whose closure differs from the one it was judged by ─┐
//! unjudged rows (fork, closed log, roster overtaken) ─────────────────────────────┴─▶ judge_log ─▶ hide / show
//! ```
//!
//! What is to be done stands in rows (a log's closure, the unjudged and bereft columns), never in memory: whatever
//! a crash leaves undone is found at the start. Judging reads the whole log, here; the one writer is handed what
//! comes of it in small parts. A log that is fed entry by entry is judged at most a tenth of the time.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use belfry_proto::{
    id::{GroupId, LogId, MessageId, Sequence, Serial},
    limits::MAX_LOGS_PER_CERTIFICATE,
    sync::{Entry, LogJudgement, MissingSum, Place, judge_log},
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

/// Messages hidden in one change: each may take thousands of rows along, and everything else that is to be
/// written waits behind it.
const HIDDEN: usize = 16;
/// Messages shown again, or promoted, in one change: a few rows each.
const SHOWN: usize = 64;
/// Rows of objects moved in one change.
const SURFACED: usize = 256;
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
        self.surface().await;
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
            let mut logs = store.all_logs(None);
            let surplus = surplus(&logs);
            logs.retain(|log| {
                let is_surplus = surplus.contains(&(log.group, log.log));
                let (closure, is_surplus) = closure(&roster, log, is_surplus);
                closure.fingerprint() != log.closure || is_surplus != log.surplus
            });
            Ok(logs)
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
            let Some(row) = store.log(group, log) else { return Ok(None) };
            let is_surplus = surplus(&store.all_logs(Some(group))).contains(&(group, log));
            let (closure, is_surplus) = closure(&roster, &row, is_surplus);
            let mut found = judge(&closure, &row, &store.held(group, log)?);
            found.end.surplus = is_surplus;
            Ok(Some(found))
        })
        .await
        .map_err(|_| RejudgeError::Died)??;
        let Some(Found { hide, show, promote, end }) = found else { return Ok(Committed::Done) };
        if !hide.is_empty() || !show.is_empty() {
            tracing::info!(group = group.get(), %log, hidden = hide.len(), shown = show.len(),
                fork = end.fork.map(belfry_proto::id::Sequence::get), "log judged again");
        }
        let nothing = || JudgedLog { group, log, hide: vec![], show: vec![], promote: vec![], end: None };
        let hiding = hide.chunks(HIDDEN).map(|hide| JudgedLog { hide: hide.to_vec(), ..nothing() });
        let showing = show.chunks(SHOWN).map(|show| JudgedLog { show: show.to_vec(), ..nothing() });
        let promoting = promote.chunks(SHOWN).map(|some| JudgedLog { promote: some.to_vec(), ..nothing() });
        // What is to be hidden first. Each part is waited for: others write in between.
        for part in hiding.chain(showing).chain(promoting) {
            self.store.commit(Change::Judged(part)).await?;
        }
        let ended = self.store.commit(Change::Judged(JudgedLog { end: Some(end), ..nothing() })).await?;
        self.surface().await;
        if !show.is_empty() {
            self.feed.notify(Notice::Reopen);
        }
        Ok(ended)
    }

    /// Lets objects that lost a row be met again, or buries them; what fails is left for the next time.
    pub(super) async fn surface(&self) {
        loop {
            match self.store.commit(Change::Surface(SURFACED)).await {
                Ok(Committed::More) => {}
                Ok(_) => return,
                Err(error) => {
                    tracing::error!("hidden objects leave no trace yet: {error}");
                    return;
                }
            }
        }
    }
}

struct Found {
    hide: Vec<(MessageId, MessageState)>,
    show: Vec<MessageId>,
    promote: Vec<(Sequence, MessageId)>,
    end: JudgedEnd,
}

/// Logs that are more than their certificate may have in a group: all but those with the smallest ids.
fn surplus(logs: &[LogRow]) -> BTreeSet<(GroupId, LogId)> {
    let mut by_certificate: BTreeMap<(GroupId, Serial), BTreeSet<LogId>> = BTreeMap::new();
    for log in logs {
        by_certificate.entry((log.group, log.serial)).or_default().insert(log.log);
    }
    let beyond = |((group, _), logs): ((GroupId, Serial), BTreeSet<LogId>)| {
        logs.into_iter().skip(MAX_LOGS_PER_CERTIFICATE).map(move |log| (group, log))
    };
    by_certificate.into_iter().flat_map(beyond).collect()
}

/// How a log is closed, and whether that is for being one too many. A cut that lists it has the last word.
fn closure(roster: &Roster, log: &LogRow, is_surplus: bool) -> (Closure, bool) {
    let closure = roster.closure(log.serial, log.group, log.log);
    if is_surplus && closure.points().next().is_none() {
        return (Closure::at([]), true);
    }
    (closure, false)
}

/// What differs between how the log is held and what stands of it.
fn judge(closure: &Closure, log: &LogRow, held: &[HeldEntry]) -> Found {
    let entries: Vec<Entry> = held.iter().map(|held| held.entry).collect();
    let judged = judge_log(closure, &entries);
    let (mut hide, mut show, mut promote) = (Vec::new(), Vec::new(), Vec::new());
    for HeldEntry { entry, state, is_beside, .. } in held {
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
        if *is_beside && judged.chosen.get(&entry.sequence) == Some(&entry.id) {
            promote.push((entry.sequence, entry.id));
        }
    }
    let end = JudgedEnd {
        revision: log.revision,
        closure: closure.fingerprint(),
        fork: judged.fork,
        frontier: frontier(log.log, held, &judged),
        surplus: false,
    };
    Found { hide, show, promote, end }
}

/// How far the log goes, link by link, below its fork and below whatever its author did not sign: who holds no more than
/// the proof of a fork has to come to the same end.
fn frontier(log: LogId, held: &[HeldEntry], judged: &LogJudgement) -> (Sequence, MessageId, u64, MissingSum) {
    let has_place = |held: &&HeldEntry| match judged.chosen.get(&held.entry.sequence) {
        Some(chosen) => *chosen == held.entry.id,
        None => !held.is_beside,
    };
    let places: BTreeMap<Sequence, &HeldEntry> =
        held.iter().filter(has_place).map(|held| (held.entry.sequence, held)).collect();
    let (mut height, mut head, mut bodies) = (Sequence::new(0), MessageId::ZERO, 0);
    let mut missing = MissingSum::default();
    loop {
        let next = Sequence::new(height.get() + 1);
        let goes_on = |held: &&&HeldEntry| {
            held.entry.prev == head && judged.places.get(&held.entry.id) != Some(&Place::Disputed)
        };
        let is_below = judged.fork.is_none_or(|fork| next < fork);
        let Some(held) = places.get(&next).filter(|_| is_below).filter(goes_on) else {
            return (height, head, bodies, missing);
        };
        (height, head, bodies) = (next, held.entry.id, bodies + u64::from(held.counts));
        if !held.counts {
            missing.toggle(log, next);
        }
    }
}

#[cfg(test)]
mod tests;
