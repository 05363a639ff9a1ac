//! The short way: a small submission is sealed at once, and its draft and its message are one synced write.
//!
//! ```text
//! checked draft ─▶ desk ─▶ flusher: nothing queued, nothing held, key and place at hand?
//!                            yes ─▶ sealed ─▶ draft and message in one write ─▶ 202, gossip
//!                            no  ─▶ back: made durable as a draft first, and flushed in its turn
//! ```
//!
//! Whoever submits waits at the desk only while the flusher is free, and takes the draft back if it is not
//! looked at soon: an acknowledgement never waits for keys that are pushed, or for what others have queued.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use belfry_proto::{envelope::log_id, schema::Audience, topic::Topic};
use tokio::sync::{mpsc, oneshot};

use super::{
    flush::{Flusher, stopped},
    seal::{self, Sealed},
};
use crate::{
    clock,
    store::{Answer, Change, Committed, DraftRow, WriteError},
};

/// Bytes of a part that are sealed on the flusher's own task; compressing more would hold up its thread.
const SMALL: usize = 64 << 10;
/// How long a draft lies at the desk unseen before it is taken back.
const PATIENCE: Duration = Duration::from_millis(20);

/// What came of a draft at the desk.
pub(super) enum Outcome {
    /// As to [`Change::Published`].
    Answered(Answer),
    /// To be made durable as a draft first.
    Back(Box<DraftRow>),
}

/// A draft on its way, until one of the two sides takes it.
struct Going {
    draft: Arc<Mutex<Option<Box<DraftRow>>>>,
    done: oneshot::Sender<Outcome>,
}

/// Where submissions are left for the flusher. Clones share it.
#[derive(Clone)]
pub struct Desk {
    free: Arc<AtomicBool>,
    going: mpsc::Sender<Going>,
}

/// A draft that lies there.
pub(super) struct Left {
    draft: Arc<Mutex<Option<Box<DraftRow>>>>,
    done: oneshot::Receiver<Outcome>,
}

impl Desk {
    /// Leaves a draft, if it is small and the flusher has nothing else to do; else it is given back.
    pub(super) fn leave(&self, draft: Box<DraftRow>) -> Result<Left, Box<DraftRow>> {
        let is_small =
            draft.withdraws.is_none() && matches!(draft.parts.as_slice(), [part] if part.len() <= SMALL);
        if !is_small || !self.free.load(Ordering::Acquire) {
            return Err(draft);
        }
        let Ok(place) = self.going.try_reserve() else { return Err(draft) };
        let draft = Arc::new(Mutex::new(Some(draft)));
        let (done, answer) = oneshot::channel();
        place.send(Going { draft: Arc::clone(&draft), done });
        Ok(Left { draft, done: answer })
    }
}

fn take(slot: &Mutex<Option<Box<DraftRow>>>) -> Option<Box<DraftRow>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).take()
}

impl Left {
    /// What became of it.
    pub(super) async fn outcome(mut self) -> Outcome {
        if let Ok(told) = tokio::time::timeout(PATIENCE, &mut self.done).await {
            return self.told(told.ok());
        }
        match take(&self.draft) {
            Some(draft) => Outcome::Back(draft),
            None => {
                let told = (&mut self.done).await.ok();
                self.told(told)
            }
        }
    }

    /// Without a word the flusher has ended: what it never took goes back.
    fn told(self, outcome: Option<Outcome>) -> Outcome {
        outcome
            .or_else(|| take(&self.draft).map(Outcome::Back))
            .unwrap_or(Outcome::Answered(Err(WriteError::Closed)))
    }
}

/// The flusher's side of the desk.
pub(super) struct Arriving {
    free: Arc<AtomicBool>,
    going: mpsc::Receiver<Going>,
}

/// A desk and who looks at it.
pub(super) fn desk() -> (Desk, Arriving) {
    let (send, receive) = mpsc::channel(1);
    let free = Arc::new(AtomicBool::new(false));
    (Desk { free: Arc::clone(&free), going: send }, Arriving { free, going: receive })
}

impl Arriving {
    /// The next draft; the flusher is free as long as it waits here.
    pub(super) async fn next(&mut self) -> Option<Taken> {
        struct Free<'a>(&'a AtomicBool);
        impl Drop for Free<'_> {
            fn drop(&mut self) {
                self.0.store(false, Ordering::Release);
            }
        }
        self.free.store(true, Ordering::Release);
        let free = Free(&self.free);
        loop {
            let going = self.going.recv().await?;
            // One that was taken back meanwhile is nobody's any more.
            if let Some(draft) = take(&going.draft) {
                drop(free);
                return Some(Taken { draft, done: going.done });
            }
        }
    }
}

/// A draft that the flusher has taken from the desk.
pub(super) struct Taken {
    draft: Box<DraftRow>,
    done: oneshot::Sender<Outcome>,
}

impl Flusher {
    /// Publishes what was left at the desk, or gives it back.
    pub(super) async fn go_straight(&mut self, Taken { draft, done }: Taken) {
        // Whoever submitted it may be gone; then nothing was promised.
        let Some(Sealed { rows, gossip }) = self.seal_at_once(&draft) else {
            let _ = done.send(Outcome::Back(draft));
            return;
        };
        let (publication, group) = (draft.publication, draft.group);
        let change = Change::Published { draft: (*draft).clone(), envelopes: rows };
        let network = self.network.clone();
        // On the writer's thread: who waits, and the network, hear of it the moment it is durable.
        let told = move |answers: &[Answer]| match answers.first() {
            Some(Ok(answer)) => {
                if !matches!(answer, Committed::Duplicate) {
                    tracing::info!(%publication, group = group.get(), messages = 1, "published {publication}");
                    let mut gossip = gossip.into_iter();
                    let topic = Topic::Group(group);
                    if !gossip.all(|message| network.publish_at_once(topic, message)) {
                        tracing::debug!(%publication, "the network takes no messages now: left to sync");
                    }
                }
                let _ = done.send(Outcome::Answered(Ok(answer.clone())));
            }
            // A fork came to light, or the disk failed: as a draft it is tried again, or refused with the reason.
            Some(Err(_)) | None => {
                let _ = done.send(Outcome::Back(draft));
            }
        };
        let prepared = vec![self.store.prepare(change)];
        // The next place in the log follows this one.
        if let Ok(pending) = self.store.enqueue_telling(prepared, Box::new(told)).await {
            let _ = pending.durable().await;
        }
    }

    /// The draft's message, if nothing has to be waited for.
    fn seal_at_once(&self, draft: &DraftRow) -> Option<Sealed> {
        let is_waited_for = self.store.queued(1).map_or(true, |queued| !queued.is_empty());
        if is_waited_for || self.is_held() {
            return None;
        }
        let (roster, now) = (self.roster.snapshot(), clock::now());
        if stopped(&roster, self.identity.member, now).is_some() {
            return None;
        }
        let known = self.hellos.borrow().own_logs.clone();
        let position = seal::position(&self.store, &self.identity, &roster, draft.group, &known, now).ok()?;
        let key = match draft.audience {
            Audience::Recipients => None,
            audience => {
                let certificate = roster.certificate(self.identity.serial)?;
                let log = log_id(roster.coalition(), draft.group, certificate, &position.instance);
                let active = self.keys.get(&(draft.group, audience))?;
                Some(active.is_usable(&roster, log, now).then_some(&active.key)?)
            }
        };
        let sealed = seal::seal_draft(draft, position, key, &self.identity, &roster, now).ok()?;
        // The admin log may have moved while we sealed.
        (self.roster.snapshot().version() == roster.version()).then_some(sealed)
    }
}

#[cfg(test)]
mod tests {
    use belfry_proto::id::PublicationId;

    use super::*;
    use crate::publish::seal::tests::draft;

    fn small() -> Box<DraftRow> {
        Box::new(DraftRow { parts: vec![vec![7; 100]], ..draft(PublicationId::new([1; 16])) })
    }

    /// Polls the flusher's side once: it is free from then on, as long as the future lives.
    async fn with_a_free_flusher<T>(
        arriving: &mut Arriving,
        left: impl Future<Output = T>,
    ) -> (Option<Taken>, T) {
        let mut left = std::pin::pin!(left);
        let mut next = std::pin::pin!(arriving.next());
        assert!(futures::poll!(&mut next).is_pending());
        tokio::join!(next, &mut left)
    }

    #[tokio::test]
    async fn what_the_flusher_takes_it_answers() {
        let (desk, mut arriving) = desk();
        let submitting = async { desk.leave(small()).ok().unwrap() };
        let (taken, left) = with_a_free_flusher(&mut arriving, submitting).await;
        let Taken { draft, done } = taken.unwrap();
        assert_eq!(draft.parts, small().parts);
        let _ = done.send(Outcome::Answered(Ok(Committed::Done)));
        assert!(matches!(left.outcome().await, Outcome::Answered(Ok(Committed::Done))));
    }

    #[tokio::test]
    async fn nothing_is_left_with_a_flusher_that_has_other_work() {
        let (desk, mut arriving) = desk();
        assert!(desk.leave(small()).is_err(), "not begun");
        assert!(futures::poll!(std::pin::pin!(arriving.next())).is_pending());
        assert!(desk.leave(small()).is_err(), "it waits no more");
    }

    #[tokio::test(start_paused = true)]
    async fn a_draft_that_is_not_looked_at_soon_is_taken_back_and_never_sealed() {
        let (desk, mut arriving) = desk();
        let left = {
            let mut next = std::pin::pin!(arriving.next());
            assert!(futures::poll!(&mut next).is_pending());
            desk.leave(small()).ok().unwrap()
        };
        assert!(matches!(left.outcome().await, Outcome::Back(draft) if draft.parts == small().parts));
        assert!(futures::poll!(std::pin::pin!(arriving.next())).is_pending(), "nothing of it is left");
    }

    #[tokio::test(start_paused = true)]
    async fn a_draft_that_is_being_sealed_is_not_taken_back_however_long_it_takes() {
        let (desk, mut arriving) = desk();
        let submitting = async { desk.leave(small()).ok().unwrap() };
        let (taken, left) = with_a_free_flusher(&mut arriving, submitting).await;
        let answer = async {
            tokio::time::sleep(100 * PATIENCE).await;
            let _ = taken.unwrap().done.send(Outcome::Answered(Ok(Committed::Done)));
        };
        let (outcome, ()) = tokio::join!(left.outcome(), answer);
        assert!(matches!(outcome, Outcome::Answered(Ok(Committed::Done))));
    }

    #[tokio::test]
    async fn withdrawals_parts_and_what_is_large_go_the_long_way() {
        let (desk, mut arriving) = desk();
        let next = std::pin::pin!(arriving.next());
        assert!(futures::poll!(next).is_pending());
        desk.free.store(true, Ordering::Release);
        let parts = |parts: Vec<Vec<u8>>| Box::new(DraftRow { parts, ..*small() });
        assert!(desk.leave(parts(Vec::new())).is_err());
        assert!(desk.leave(parts(vec![vec![1], vec![2]])).is_err());
        assert!(desk.leave(parts(vec![vec![0; SMALL + 1]])).is_err());
        assert!(desk.leave(parts(vec![vec![0; SMALL]])).is_ok());
    }
}
