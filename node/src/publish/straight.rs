//! The short way: small submissions are sealed at once, and their drafts and messages are one synced write.
//!
//! ```text
//! checked draft ─▶ does nobody seal? nothing queued, nothing held, key and place at hand?
//!                    yes ─▶ sealed ─▶ draft and message in one write ─▶ 202, gossip
//!                    no  ─▶ back: made durable as a draft first, and flushed in its turn
//! ```
//!
//! Who submits while nobody seals does so on its own thread: to hand it over would take as long as the work. What comes
//! meanwhile gathers at the desk, for the flusher, and goes together with the next write. Whoever submits waits there only
//! while the flusher does nothing else, and takes the draft back if it is not looked at soon: an acknowledgement never
//! waits for keys that are pushed, or for what others have queued.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use belfry_proto::{
    envelope::{ContentKey, Position, log_id},
    id::GroupId,
    schema::Audience,
    topic::Topic,
    trust::roster::Roster,
};
use tokio::sync::{mpsc, oneshot};

use super::{
    batch::{Batch, Flushing, Sealing},
    flush::{Flusher, stopped},
    seal,
};
use crate::{
    clock,
    store::{Answer, Committed, DraftRow, Prepared, Told, WriteError},
};

/// Bytes of a part that are sealed on the flusher's own task; compressing more would hold up its thread.
const SMALL: usize = 64 << 10;
/// Drafts that may lie at the desk, and that are taken from it at once. Too low ⇒ a crowd of submitters writes everything
/// twice, too high ⇒ the last of them waits long for the write.
const PLACES: usize = 64;
/// Bytes of content after which no further draft is taken at once.
const BYTES: usize = 512 << 10;
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
    /// Gone with the flusher's task.
    flusher: Weak<tokio::sync::Mutex<Flusher>>,
    free: Arc<AtomicBool>,
    going: mpsc::Sender<Going>,
}

/// A draft that lies there.
pub(super) struct Left {
    draft: Arc<Mutex<Option<Box<DraftRow>>>>,
    done: oneshot::Receiver<Outcome>,
}

impl Desk {
    /// Leaves a draft, if it is small and the flusher has nothing else to do; else it is given back. Where nobody seals,
    /// it is sealed and written here: that waits for the disk.
    pub(super) fn leave(&self, draft: Box<DraftRow>) -> Result<Left, Box<DraftRow>> {
        let is_small =
            draft.withdraws.is_none() && matches!(draft.parts.as_slice(), [part] if part.len() <= SMALL);
        if !is_small || !self.free.load(Ordering::Acquire) {
            return Err(draft);
        }
        let (done, answer) = oneshot::channel();
        let flusher = self.flusher.upgrade();
        if let Some(Ok(mut flusher)) = flusher.as_ref().map(|flusher| flusher.try_lock()) {
            flusher.go_here(Taken { draft, done });
            return Ok(Left { draft: Arc::default(), done: answer });
        }
        let Ok(place) = self.going.try_reserve() else { return Err(draft) };
        let draft = Arc::new(Mutex::new(Some(draft)));
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
        if let Ok(told) = self.done.try_recv() {
            return told;
        }
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
pub(super) fn desk(flusher: Weak<tokio::sync::Mutex<Flusher>>) -> (Desk, Arriving) {
    let (send, receive) = mpsc::channel(PLACES);
    let free = Arc::new(AtomicBool::new(false));
    (Desk { flusher, free: Arc::clone(&free), going: send }, Arriving { free, going: receive })
}

impl Arriving {
    /// The next drafts, at least one. The flusher is free while it waits here, and until it says otherwise.
    pub(super) async fn next(&mut self) -> Option<Vec<Taken>> {
        self.free.store(true, Ordering::Release);
        let (mut taken, mut bytes) = (Vec::new(), 0);
        loop {
            let going = match self.going.try_recv() {
                Ok(going) => going,
                Err(_) if !taken.is_empty() => return Some(taken),
                Err(_) => self.going.recv().await?,
            };
            // One that was taken back meanwhile is nobody's any more.
            if let Some(draft) = take(&going.draft) {
                bytes += draft.parts.iter().map(Vec::len).sum::<usize>();
                taken.push(Taken { draft, done: going.done });
            }
            if taken.len() >= PLACES || bytes >= BYTES {
                return Some(taken);
            }
        }
    }

    /// The flusher has other work: nobody waits for it.
    pub(super) fn leave(&self) {
        self.free.store(false, Ordering::Release);
    }
}

/// A draft that is being sealed.
pub(super) struct Taken {
    draft: Box<DraftRow>,
    done: oneshot::Sender<Outcome>,
}

impl Taken {
    /// Whoever submitted it may be gone; then nothing was promised.
    fn give_back(self) {
        let _ = self.done.send(Outcome::Back(self.draft));
    }
}

/// What of the drafts of one group can go out at once.
struct Together {
    position: Position,
    keys: BTreeMap<Audience, ContentKey>,
    taken: Vec<Taken>,
}

impl Flusher {
    /// Publishes a draft, or gives it back; on a thread that may wait for the disk.
    fn go_here(&mut self, taken: Taken) {
        let roster = self.roster.snapshot();
        if self.has_other_work(&roster) {
            return taken.give_back();
        }
        let group = taken.draft.group;
        let Some(together) = self.at_hand(&roster, group, vec![taken]) else { return };
        let Together { position, keys, taken } = together;
        let drafts = taken.iter().map(|taken| (*taken.draft).clone()).collect();
        let batch = self.sealing(&roster).seal_here(drafts, position, &keys);
        let sealed = self.sealed(group, taken, batch);
        if self.has_moved_since(&roster) {
            return sealed.into_iter().for_each(|(taken, _)| taken.give_back());
        }
        let (changes, told) = self.telling(group, sealed);
        // The next place in the log follows it. Of what cannot be handed in, `told` goes without a word.
        let _ = self.store.write_telling_blocking(changes, told);
    }

    /// Whether drafts wait that go first, or nothing may go out now.
    fn has_other_work(&self, roster: &Roster) -> bool {
        let is_waited_for = self.store.queued(1).map_or(true, |queued| !queued.is_empty());
        let is_stopped = stopped(roster, self.identity.member, clock::now()).is_some();
        is_waited_for || self.is_held() || is_stopped
    }

    /// The admin log may have moved while we sealed.
    fn has_moved_since(&self, roster: &Roster) -> bool {
        !self.roster.snapshot().stands_as(roster) || self.is_held()
    }

    fn sealing(&self, roster: &Arc<Roster>) -> Sealing {
        let (store, identity) = (self.store.clone(), Arc::clone(&self.identity));
        Sealing { store, identity, roster: Arc::clone(roster), straight: true }
    }

    /// Publishes what was left at the desk, or gives it back.
    pub(super) async fn go_straight(&mut self, taken: Vec<Taken>) {
        let roster = self.roster.snapshot();
        if self.has_other_work(&roster) {
            return taken.into_iter().for_each(Taken::give_back);
        }
        let mut groups: BTreeMap<GroupId, Vec<Taken>> = BTreeMap::new();
        for taken in taken {
            groups.entry(taken.draft.group).or_default().push(taken);
        }
        for (group, taken) in groups {
            let Some(Together { position, keys, taken }) = self.at_hand(&roster, group, taken) else {
                continue;
            };
            let drafts = taken.iter().map(|taken| (*taken.draft).clone()).collect();
            let sealing = self.sealing(&roster);
            let batch = match taken.len() {
                // A change of threads takes as long as the work.
                1 => sealing.seal_here(drafts, position, &keys),
                _ => sealing.seal(drafts, position, keys).await.unwrap_or_default(),
            };
            let sealed = self.sealed(group, taken, batch);
            if self.has_moved_since(&roster) {
                sealed.into_iter().for_each(|(taken, _)| taken.give_back());
                continue;
            }
            let (changes, told) = self.telling(group, sealed);
            // The next place in the log follows these.
            if let Ok(pending) = self.store.enqueue_telling(changes, told).await {
                let _ = pending.durable().await;
            }
        }
    }

    /// Place and keys, if nothing has to be waited for; what lacks a key is given back.
    fn at_hand(&self, roster: &Roster, group: GroupId, taken: Vec<Taken>) -> Option<Together> {
        let known = self.hellos.borrow().own_logs.clone();
        let now = clock::now();
        let last = self.places.get(&group);
        let position = seal::position(&self.store, &self.identity, roster, group, &known, last, now).ok();
        let certificate = roster.certificate(self.identity.serial);
        let (Some(position), Some(certificate)) = (position, certificate) else {
            taken.into_iter().for_each(Taken::give_back);
            return None;
        };
        let log = log_id(roster.coalition(), group, certificate, &position.instance);
        let audiences: BTreeSet<Audience> = taken.iter().map(|taken| taken.draft.audience).collect();
        let keys = self.keys_at_hand(roster, group, &audiences, log, now);
        let has_key = |taken: &Taken| {
            taken.draft.audience == Audience::Recipients || keys.contains_key(&taken.draft.audience)
        };
        let (taken, others): (Vec<_>, Vec<_>) = taken.into_iter().partition(has_key);
        others.into_iter().for_each(Taken::give_back);
        (!taken.is_empty()).then_some(Together { position, keys, taken })
    }

    /// Drafts with their messages, in their order; what could not be sealed is given back: as a draft it is refused with
    /// the reason.
    fn sealed(&mut self, group: GroupId, taken: Vec<Taken>, batch: Batch) -> Vec<(Taken, Flushing)> {
        self.places.extend(batch.next.map(|next| (group, next)));
        let mut sealed = batch.sealed.into_iter().peekable();
        let mut going = Vec::new();
        for taken in taken {
            match sealed.next_if(|flushing| flushing.publication == taken.draft.publication) {
                Some(flushing) => going.push((taken, flushing)),
                None => taken.give_back(),
            }
        }
        going
    }

    /// Drafts and messages for one write, and what those are told who wait for it.
    fn telling(&self, group: GroupId, sealed: Vec<(Taken, Flushing)>) -> (Vec<Prepared>, Told) {
        let mut changes = Vec::with_capacity(sealed.len());
        let mut waiting = Vec::with_capacity(sealed.len());
        for (taken, Flushing { change, gossip, .. }) in sealed {
            changes.push(change);
            waiting.push((taken, gossip));
        }
        let network = self.network.clone();
        // Where it is written: who waits, and the network, hear of it the moment it is durable.
        let told = move |answers: &[Answer]| {
            let answers = answers.iter().map(Some).chain(std::iter::repeat(None));
            for ((taken, gossip), answer) in waiting.into_iter().zip(answers) {
                let Some(Ok(answer)) = answer else {
                    // A fork came to light, or the disk failed: as a draft it is tried again, or refused with the reason.
                    taken.give_back();
                    continue;
                };
                if !matches!(answer, Committed::Duplicate) {
                    let publication = taken.draft.publication;
                    tracing::info!(%publication, group = group.get(), messages = 1, "published {publication}");
                    let mut gossip = gossip.into_iter();
                    if !gossip.all(|message| network.publish_at_once(Topic::Group(group), message)) {
                        tracing::debug!(%publication, "the network takes no messages now: left to sync");
                    }
                }
                let _ = taken.done.send(Outcome::Answered(Ok(answer.clone())));
            }
        };
        (changes, Box::new(told))
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
    ) -> (Option<Vec<Taken>>, T) {
        let mut left = std::pin::pin!(left);
        let mut next = std::pin::pin!(arriving.next());
        assert!(futures::poll!(&mut next).is_pending());
        tokio::join!(next, &mut left)
    }

    #[tokio::test]
    async fn what_the_flusher_takes_it_answers() {
        let (desk, mut arriving) = desk(Weak::new());
        let submitting = async { desk.leave(small()).ok().unwrap() };
        let (taken, left) = with_a_free_flusher(&mut arriving, submitting).await;
        let Taken { draft, done } = taken.unwrap().pop().unwrap();
        assert_eq!(draft.parts, small().parts);
        let _ = done.send(Outcome::Answered(Ok(Committed::Done)));
        assert!(matches!(left.outcome().await, Outcome::Answered(Ok(Committed::Done))));
    }

    #[tokio::test]
    async fn nothing_is_left_with_a_flusher_that_has_other_work() {
        let (desk, mut arriving) = desk(Weak::new());
        assert!(desk.leave(small()).is_err(), "not begun");
        assert!(futures::poll!(std::pin::pin!(arriving.next())).is_pending());
        arriving.leave();
        assert!(desk.leave(small()).is_err(), "it waits no more");
    }

    #[tokio::test]
    async fn what_gathers_while_others_are_written_goes_together_with_the_next_write() {
        let (desk, mut arriving) = desk(Weak::new());
        assert!(futures::poll!(std::pin::pin!(arriving.next())).is_pending());
        let left: Vec<_> = (0..PLACES).map(|_| desk.leave(small()).ok().unwrap()).collect();
        assert!(desk.leave(small()).is_err(), "no place");
        drop(take(&left[0].draft));
        assert_eq!(arriving.next().await.unwrap().len(), PLACES - 1);
        let large = DraftRow { parts: vec![vec![0; SMALL]], ..*small() };
        let left: Vec<_> = (0..PLACES).map(|_| desk.leave(Box::new(large.clone())).ok().unwrap()).collect();
        assert_eq!(arriving.next().await.unwrap().len(), BYTES / SMALL);
        drop(left);
    }

    #[tokio::test(start_paused = true)]
    async fn a_draft_that_is_not_looked_at_soon_is_taken_back_and_never_sealed() {
        let (desk, mut arriving) = desk(Weak::new());
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
        let (desk, mut arriving) = desk(Weak::new());
        let submitting = async { desk.leave(small()).ok().unwrap() };
        let (taken, left) = with_a_free_flusher(&mut arriving, submitting).await;
        let answer = async {
            tokio::time::sleep(100 * PATIENCE).await;
            let _ = taken.unwrap().pop().unwrap().done.send(Outcome::Answered(Ok(Committed::Done)));
        };
        let (outcome, ()) = tokio::join!(left.outcome(), answer);
        assert!(matches!(outcome, Outcome::Answered(Ok(Committed::Done))));
    }

    #[tokio::test]
    async fn withdrawals_parts_and_what_is_large_go_the_long_way() {
        let (desk, mut arriving) = desk(Weak::new());
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
