//! The loop of one hook: from the store to its sink, one event after the other.

use std::{
    mem,
    sync::{Arc, PoisonError},
    time::Duration,
};

use belfry_proto::time::Timestamp;
use tokio::sync::watch;

use super::{
    Failure, Shared, Sink,
    event::Event,
    state::{DeadLetter, State},
};
use crate::{
    clock,
    config::Hook,
    heard::VouchedClock,
    query::{Leaves, MOST_LATE, Query, QueryError},
    store::{MemoryError, Store},
};

/// Refusals of one event after which it is given up. Too low ⇒ a receiver that is being deployed loses some; too high ⇒
/// one bad event holds up the others for longer.
const REFUSALS: usize = 6;
/// Events between two writes of the position: as many are sent again after a kill.
const UNSAVED: usize = 16;
/// Between two looks at embargoes.
const LOOK_AGAIN: Duration = Duration::from_mins(10);
/// The same while our clock is doubted, whatever is told of it meanwhile.
const WHILE_DOUBTED: Duration = Duration::from_secs(10);
/// How long to wait after a fault of our own.
const PAUSE: Duration = Duration::from_secs(30);

pub(super) struct Delivery {
    hook: Hook,
    query: Query,
    store: Store,
    sink: Box<dyn Sink>,
    shared: Arc<Shared>,
    newest: watch::Receiver<u64>,
    clock: VouchedClock,
    /// The time that others vouched for last: whatever ended before is over, also while our clock is doubted.
    vouched: Timestamp,
    waits: Vec<Duration>,
    state: State,
    unsaved: usize,
}

/// What came of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    /// It may not leave any more.
    Withheld,
    Dead(u16),
    Stop,
}

/// What follows of an [`Outcome`], whichever way the event came to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Consequence {
    /// The hook stops where it is: the event is sent once somebody asks.
    stops: bool,
    /// The status it was refused with for good: it becomes a dead letter, and somebody is told.
    buries: Option<u16>,
    /// It is over: were it a dead letter, it is one no more.
    revives: bool,
}

impl Outcome {
    const fn consequence(self) -> Consequence {
        match self {
            Self::Done | Self::Withheld => Consequence { stops: false, buries: None, revives: true },
            Self::Dead(status) => Consequence { stops: false, buries: Some(status), revives: false },
            Self::Stop => Consequence { stops: true, buries: None, revives: false },
        }
    }
}

/// What stops a round.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error(transparent)]
    Memory(#[from] MemoryError),
}

impl Delivery {
    pub(super) fn new(
        hook: Hook,
        query: Query,
        store: Store,
        sink: Box<dyn Sink>,
        shared: Arc<Shared>,
        (clock, waits): (VouchedClock, Vec<Duration>),
    ) -> Self {
        let (newest, vouched) = (store.newest(), Timestamp::ZERO);
        let (state, unsaved) = (State::default(), 0);
        Self { hook, query, store, sink, shared, newest, clock, vouched, waits, state, unsaved }
    }

    pub(super) async fn run(mut self) {
        while let Err(error) = self.load().await {
            self.fault(&error).await;
        }
        loop {
            // Before the look, or what comes in between would be slept through.
            self.newest.mark_unchanged();
            match self.round().await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => {
                    self.fault(&error).await;
                    continue;
                }
            }
            let (next, is_later) = (self.until_next(), !self.state.later.is_empty());
            tokio::select! {
                changed = self.newest.changed() => {
                    if changed.is_err() {
                        // The store is closing; so is everything.
                        std::future::pending::<()>().await;
                    }
                }
                () = self.shared.wake.notified() => {}
                () = self.clock.told(), if is_later => {}
                () = tokio::time::sleep(next), if is_later => {}
            }
        }
    }

    /// How long until the next embargo ends; looked at again before, should the clock be set.
    fn until_next(&self) -> Duration {
        let Some(now) = self.clock.now() else { return WHILE_DOUBTED };
        let next = self.state.later.values().min().map_or(LOOK_AGAIN, |at| at.since(now));
        next.min(LOOK_AGAIN)
    }

    /// By when embargoes are over.
    fn vouched(&mut self) -> Timestamp {
        self.vouched = self.vouched.max(self.clock.now().unwrap_or(Timestamp::ZERO));
        self.vouched
    }

    /// An event as it may leave now. What only an embargo holds back goes out when that ends.
    async fn one(&mut self, number: u64) -> Result<Option<Leaves>, Fault> {
        let vouched = self.vouched();
        let found = self.query.leaving_one(&self.hook, number, vouched).await?;
        self.state.wait_for(found.later.into_iter().filter(|(of, ..)| *of == number));
        Ok(found.rows.into_iter().find(|leaves| leaves.number == number))
    }

    async fn fault(&self, error: &Fault) {
        tracing::error!(hook = self.hook.name, "hook {}: {error}", self.hook.name);
        tokio::time::sleep(PAUSE).await;
    }

    /// What it remembers; a hook that is new begins with what comes next.
    async fn load(&mut self) -> Result<(), Fault> {
        match self.store.remembered(&self.hook.name).await? {
            Some(state) => self.state = state,
            None => {
                self.state = State { position: self.query.feed_head().await?, ..State::default() };
                self.save().await?;
            }
        }
        self.show();
        Ok(())
    }

    async fn save(&mut self) -> Result<(), Fault> {
        self.store.remember(&self.hook.name, &self.state).await?;
        self.unsaved = 0;
        self.show();
        Ok(())
    }

    fn show(&self) {
        let dead: Vec<DeadLetter> = self.state.dead.iter().cloned().collect();
        self.shared.tell(|report| {
            report.position = self.state.position;
            report.dead = dead.len();
            report.lost = self.state.lost;
        });
        *self.shared.dead.lock().unwrap_or_else(PoisonError::into_inner) = dead;
    }

    /// Dead letters to be tried again, and one stretch of the feed; whether it is worth looking again at once.
    async fn round(&mut self) -> Result<bool, Fault> {
        let replays = mem::take(&mut *self.shared.replays.lock().unwrap_or_else(PoisonError::into_inner));
        for number in replays {
            let outcome = match self.one(number).await? {
                Some(leaves) => self.deliver(leaves).await?,
                // Withdrawn, hidden, or held back by now.
                None => Outcome::Withheld,
            };
            if !self.settle(number, outcome) {
                return self.stopped().await;
            }
            self.save().await?;
        }
        let vouched = self.vouched();
        for numbers in self.state.due(vouched).chunks(MOST_LATE) {
            let late = self.query.leaving_late(&self.hook, numbers, vouched).await?;
            for (number, found) in late {
                for leaves in found.rows.into_iter().filter(|leaves| leaves.number == number) {
                    let outcome = self.deliver(leaves).await?;
                    if !self.settle(number, outcome) {
                        return self.stopped().await;
                    }
                }
                // Its author may have asked for more time while it was tried.
                let is_kept_anew = self.state.later.get(&number).is_some_and(|at| *at > vouched);
                if !is_kept_anew {
                    self.state.ends(number, found.gap.is_some());
                }
                // Somebody else may have asked for more time since.
                self.state.wait_for(found.later.into_iter().filter(|(of, ..)| *of == number));
                self.save().await?;
            }
        }
        let vouched = self.vouched();
        let found = self.query.leaving(&self.hook, self.state.position, vouched).await?;
        if found.position != self.state.position {
            self.shared.tell(|report| {
                report.state = "sending";
                for (reason, count) in &found.held {
                    *report.held.entry(*reason).or_default() += count;
                }
            });
        }
        if let Some(gap) = found.gap.filter(|_| !self.hook.shadow) {
            let event = Event::of_gap(&self.hook.name, gap);
            if self.until(&event, None).await?.consequence().stops {
                return self.stopped().await;
            }
        }
        let mut later = found.later;
        for leaves in found.rows {
            let number = leaves.number;
            let outcome = self.deliver(leaves).await?;
            if !self.settle(number, outcome) {
                return self.stopped().await;
            }
            // Nothing waits that lies beyond the position: after a stop it would be met twice.
            let (before, beyond): (Vec<_>, Vec<_>) = later.into_iter().partition(|(of, ..)| *of < number);
            later = beyond;
            self.unsaved += 1 + before.len();
            self.state.wait_for(before);
            self.state.position = number;
            if self.unsaved >= UNSAVED {
                self.save().await?;
            }
        }
        self.unsaved += later.len();
        self.state.wait_for(later);
        // With nothing for this hook in it, a stretch is not worth a synced write.
        let moved = found.position.saturating_sub(self.state.position);
        self.state.position = found.position;
        if self.unsaved > 0 || moved > 1_000 || found.gap.is_some() {
            self.save().await?;
        }
        self.show();
        self.shared.tell(|report| report.state = "waiting");
        Ok(found.more)
    }

    /// Draws the consequence of an outcome; whether to go on. What is noted is written with the next [`Self::save`].
    fn settle(&mut self, number: u64, outcome: Outcome) -> bool {
        let Consequence { stops, buries, revives } = outcome.consequence();
        if let Some(status) = buries {
            self.bury(number, status);
        }
        if revives {
            self.state.revive(number);
        }
        !stops
    }

    fn bury(&mut self, number: u64, status: u16) {
        tracing::warn!(
            hook = self.hook.name,
            number,
            status,
            "hook {} gives up event {number}",
            self.hook.name
        );
        self.state.bury(DeadLetter { number, at: clock::now(), status });
    }

    /// Waits until somebody asks for a replay; the event it stopped at is sent then.
    async fn stopped(&mut self) -> Result<bool, Fault> {
        tracing::warn!(hook = self.hook.name, "hook {} was told to send nothing more", self.hook.name);
        self.save().await?;
        self.shared.tell(|report| report.state = "stopped");
        self.shared.wake.notified().await;
        Ok(true)
    }

    async fn deliver(&mut self, leaves: Leaves) -> Result<Outcome, Fault> {
        if self.hook.shadow {
            self.shared.tell(|report| report.sent += 1);
            return Ok(Outcome::Done);
        }
        let number = leaves.number;
        let event = Event::of(&self.hook.name, leaves, &self.query);
        self.until(&event, Some(number)).await
    }

    /// Sends until it is through, refused for good, or may not leave any more.
    async fn until(&mut self, event: &Event, number: Option<u64>) -> Result<Outcome, Fault> {
        let mut anew = None;
        let (mut tries, mut refusals) = (0, 0);
        loop {
            let sent = self.sink.send(anew.as_ref().unwrap_or(event)).await;
            self.shared.tried(&event.id, sent.as_ref().err());
            let again = match sent {
                Ok(()) => {
                    self.shared.tell(|report| {
                        report.sent += 1;
                        report.failing = None;
                        report.state = "sending";
                    });
                    return Ok(Outcome::Done);
                }
                Err(failure) => {
                    self.failing(&failure);
                    match failure {
                        Failure::Gone => return Ok(Outcome::Stop),
                        Failure::Refused(status) => {
                            refusals += 1;
                            if refusals >= REFUSALS {
                                return Ok(Outcome::Dead(status));
                            }
                            None
                        }
                        Failure::Away { again, .. } => again,
                    }
                }
            };
            let usual = self.waits.get(tries).or(self.waits.last()).copied().unwrap_or(PAUSE);
            tries += 1;
            tokio::select! {
                () = tokio::time::sleep(again.unwrap_or(usual).max(usual)) => {}
                () = self.shared.wake.notified() => {}
            }
            if let Some(number) = number {
                // Anew from the store: it may have been withdrawn meanwhile.
                match self.one(number).await? {
                    Some(leaves) => anew = Some(Event::of(&self.hook.name, leaves, &self.query)),
                    None => return Ok(Outcome::Withheld),
                }
            }
        }
    }

    fn failing(&self, failure: &Failure) {
        let now: Timestamp = clock::now();
        self.shared.tell(|report| {
            if report.failing.is_none() {
                tracing::warn!(hook = report.name, "hook {} does not get through: {failure}", report.name);
            }
            let since = report.failing.as_ref().map_or(now, |(since, _)| *since);
            report.failing = Some((since, failure.to_string()));
            report.state = "failing";
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_of_an_outcome_is_one_thing_whichever_way_the_event_came() {
        let over = Consequence { stops: false, buries: None, revives: true };
        assert_eq!(Outcome::Done.consequence(), over);
        assert_eq!(Outcome::Withheld.consequence(), over, "what may not leave is no dead letter");
        let dead = Consequence { stops: false, buries: Some(413), revives: false };
        assert_eq!(Outcome::Dead(413).consequence(), dead);
        let stop = Consequence { stops: true, buries: None, revives: false };
        assert_eq!(Outcome::Stop.consequence(), stop, "nothing is written of what is sent later");
    }
}
