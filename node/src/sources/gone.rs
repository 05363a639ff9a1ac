//! What a feed takes back, its source takes back too: an event that is gone, and what a newer version no longer says.
//!
//! ```text
//! version taken ─▶ Made ─┬─ says less than those before ─▶ those before go, once the newest is out and stands
//!                        ├─ says nothing any more ────────┐
//! manifest ─ without it ─┴────────────────────────────────┴▶ all of them go
//! ```
//!
//! What goes is what this source itself made of the event: a draft that nobody released is discarded, what is out is withdrawn,
//! by a draft that waits for a person unless the source may publish. What this member says of the same otherwise stays. A
//! feed that loses most of what it had is more likely broken than meant so: nothing is taken back then ([`super::doubt`]). So
//! is one whose events are there and say little of what they said.

use std::collections::{BTreeMap, BTreeSet};

use belfry_proto::{
    crypto::pae::Pae,
    id::{GroupId, MessageId, PublicationId},
    limits::MAX_TARGETS,
    schema::WithdrawalMode,
};
use uuid::Uuid;

use super::{
    Failure,
    desk::Desk,
    state::{Made, State},
};
use crate::{
    clock,
    publish::{
        submission::{Accepted, SubmitError},
        withdraw::{Named, WithdrawError, WithdrawalRequest},
    },
    store::{DraftRow, DraftState, MessageState, ReadError, Store},
};

/// Publications before the newest that are kept of one event. Beyond them those before go, as if they said more: the newest
/// says what stays. Fewer ⇒ more withdrawals, more ⇒ the source's row grows.
const MAX_BEFORE: usize = 64;
/// Events of which it is known what was made, at most.
const MAX_MADE: usize = 100_000;
/// Publications of all of them together. Fewer ⇒ of a feed that changes faster than what it was can go, what it said before
/// stays until a person takes it back; more ⇒ the source's row, written several times a run, is tens of megabytes.
const MAX_PUBLICATIONS: usize = 200_000;
/// Runs in which it is tried to take back what is refused.
const MAX_TRIES: u8 = 5;
/// Events that were taken back and are remembered: one that comes again waits for that, or ends it.
const MAX_LEAVING: usize = 10_000;
/// What is noted of an event, if there are too many to know what was made of it.
const FORGOTTEN: &str = "the source remembers no more publications: what the feed takes back of it stays until a person \
                         takes it back";

impl Made {
    fn all(&self) -> Vec<PublicationId> {
        self.before.iter().chain(&self.newest).copied().collect()
    }

    /// What the feed may not be believed about: all, or what the newest version does not say.
    fn doubtful(&self) -> Vec<PublicationId> {
        if self.is_hollow && !self.is_over { self.before.clone() } else { self.all() }
    }

    /// Nothing before the newest is to go any more.
    const fn settle(&mut self) {
        (self.is_less, self.is_hollow) = (false, false);
    }

    /// It was refused to take it back; whether it is tried again at the next run.
    const fn try_again(&mut self) -> bool {
        self.tries = self.tries.saturating_add(1);
        self.tries < MAX_TRIES
    }

    /// Makes this the newest, and those that live before it; of them no more than `most` in all, the newest. How many were dropped.
    fn turn(&mut self, newest: Vec<PublicationId>, living: &BTreeSet<PublicationId>, most: usize) -> usize {
        self.before.append(&mut self.newest);
        self.before.retain(|one| living.contains(one) && !newest.contains(one));
        let dropped = (self.before.len() + newest.len()).saturating_sub(most).min(self.before.len());
        self.before.drain(..dropped);
        self.newest = newest;
        dropped
    }
}

impl Desk {
    /// Whether an event that is listed can be taken: not while what was made of it is on its way out, since it was gone. What
    /// waits for a person to take it back is discarded: the event is there again.
    pub(super) async fn is_back(&mut self, event: Uuid) -> Result<bool, Failure> {
        let leaving = self.state.misp_leaving.get(&event).cloned().unwrap_or_default();
        for row in self.rows(leaving).await? {
            match row.state {
                DraftState::Held => match self.publisher.discard(row.publication).await {
                    Ok(()) => self.keep(row.publication),
                    // Decided at this moment: the next run sees how.
                    Err(SubmitError::NotHeld(_)) => return Ok(false),
                    Err(error) => return Err(Failure::of(&error)),
                },
                DraftState::Queued => return Ok(false),
                DraftState::Flushed => {
                    let targets = row.withdraws.map(|withdrawal| withdrawal.targets).unwrap_or_default();
                    if !self.standing(targets).await?.is_empty() {
                        return Ok(false);
                    }
                }
                DraftState::Refused => {}
            }
        }
        Ok(true)
    }

    /// Notes what a version of an event was made into; of nothing, that it says nothing any more.
    pub(super) async fn made(&mut self, event: Uuid, accepted: &[Accepted]) -> Result<(), Failure> {
        let newest = publications(accepted);
        if !newest.is_empty() {
            self.state.misp_base.back(&event);
        }
        let room = MAX_PUBLICATIONS.saturating_sub(self.publications());
        let Some(before) = self.state.misp_made.get(&event) else {
            let is_room = self.state.misp_made.len() < MAX_MADE && newest.len() <= room;
            if !newest.is_empty() && is_room {
                let made = Made { came: Some(clock::now()), newest, ..Made::default() };
                self.state.misp_made.insert(event, made);
            } else if !newest.is_empty() {
                self.note(&event.to_string(), FORGOTTEN);
            }
            return Ok(());
        };
        let most = before.before.len() + before.newest.len() + room;
        let mut rows = self.rows(before.all()).await?;
        // What was discarded says nothing, and need not be known any more.
        rows.retain(|row| row.state != DraftState::Refused);
        let says: BTreeSet<&String> = accepted.iter().flat_map(|one| &one.object_ids).collect();
        let said: BTreeSet<&String> =
            rows.iter().flat_map(|row| &row.objects).map(|(object, _)| object).collect();
        let lost = said.difference(&says).count();
        let is_hollow = says.is_subset(&said) && is_little(&said, &says);
        let living: BTreeSet<PublicationId> = rows.iter().map(|row| row.publication).collect();
        let mut dropped = 0;
        if let Some(made) = self.state.misp_made.get_mut(&event) {
            made.is_over = newest.is_empty();
            if !made.is_over && made.newest != newest {
                dropped = made.turn(newest, &living, most);
            }
            made.is_less = !made.before.is_empty() && (lost > 0 || made.before.len() > MAX_BEFORE);
            made.is_hollow = made.is_less && is_hollow;
        }
        if dropped > 0 {
            self.note(&event.to_string(), FORGOTTEN);
        }
        Ok(())
    }

    /// How many are remembered of all events.
    fn publications(&self) -> usize {
        self.state.misp_made.values().map(|made| made.before.len() + made.newest.len()).sum()
    }

    /// Events that are to go, those that are not listed and those that say nothing any more; and why the feed is not believed
    /// about others. What it once was not believed about goes no more by it, however large the feed becomes: only once it was
    /// there again, or a person took it back. What events said that are all but empty now counts, and goes by their newest version.
    pub(super) async fn going(
        &mut self,
        listed: &BTreeSet<Uuid>,
    ) -> Result<(Vec<Uuid>, Option<Failure>), Failure> {
        self.settle_doubted().await?;
        let State { misp_made, misp_doubted, misp_base, .. } = &mut self.state;
        let is_gone = |event: &Uuid, made: &Made| made.is_over || !listed.contains(event);
        let counts = |event: &Uuid, made: &Made| made.is_hollow || is_gone(event, made);
        misp_doubted.retain(|event| misp_made.get(event).is_some_and(|made| counts(event, made)));
        let missing: Vec<(Uuid, &Made)> = misp_made
            .iter()
            .filter(|(event, made)| counts(event, made))
            .map(|(event, made)| (*event, made))
            .collect();
        missing.iter().for_each(|(event, _)| misp_base.goes(event));
        let first = missing.iter().filter(|(_, made)| misp_base.is_first(made.came)).count();
        let hollow = missing.iter().filter(|(event, made)| !is_gone(event, made)).count();
        if let Some(doubt) = misp_base.doubt(first, missing.len(), listed.len()) {
            if doubt.is_too_much {
                misp_doubted.extend(missing.iter().map(|(event, _)| *event));
            }
            return Ok((Vec::new(), Some(with_hollow(doubt.failure, hollow))));
        }
        let believed =
            missing.iter().filter(|(event, made)| is_gone(event, made) && !misp_doubted.contains(event));
        let going = believed.map(|(event, _)| *event).collect();
        let hollow =
            missing.iter().filter(|(event, made)| !is_gone(event, made) && misp_doubted.contains(event));
        let doubt = (!misp_doubted.is_empty())
            .then(|| with_hollow(misp_base.failure(misp_doubted.len()), hollow.count()));
        Ok((going, doubt))
    }

    /// Forgets, of the events that the feed was not believed about, those of which nothing stands or waits any more that would
    /// go: a person took them back.
    async fn settle_doubted(&mut self) -> Result<(), Failure> {
        let made =
            |event: &Uuid| (*event, self.state.misp_made.get(event).map(Made::doubtful).unwrap_or_default());
        let doubted: Vec<(Uuid, Vec<PublicationId>)> = self.state.misp_doubted.iter().map(made).collect();
        if doubted.is_empty() {
            return Ok(());
        }
        let settled = self.blocking(move |store| {
            let mut settled = Vec::new();
            for (event, publications) in doubted {
                if !is_said(store, publications)? {
                    settled.push(event);
                }
            }
            Ok(settled)
        });
        for event in settled.await? {
            self.state.misp_doubted.remove(&event);
            let made = self.state.misp_made.get_mut(&event);
            let is_left = made.is_some_and(|made| {
                let is_left = made.is_hollow && !made.is_over;
                if is_left {
                    made.settle();
                    made.before.clear();
                }
                is_left
            });
            if !is_left {
                self.state.misp_made.remove(&event);
            }
        }
        Ok(())
    }

    /// Takes back these events, and what newer versions of others no longer say; as many as the source takes in a run.
    pub(super) async fn take_back(&mut self, going: &[Uuid]) -> Result<(), Failure> {
        let mut room = self.source.max_items;
        for event in going {
            if room == 0 {
                return Ok(());
            }
            let made = self.state.misp_made.get(event).map(Made::all).unwrap_or_default();
            let Some(withdrawals) = self.let_go(*event, made).await? else { continue };
            let came = self.state.misp_made.remove(event).and_then(|made| made.came);
            let is_first = self.state.misp_base.is_first(came);
            self.state.misp_base.took(*event, is_first, clock::now());
            if !withdrawals.is_empty() {
                if self.state.misp_leaving.len() >= MAX_LEAVING {
                    self.state.misp_leaving.pop_first();
                }
                self.state.misp_leaving.insert(*event, withdrawals);
            }
            room -= 1;
        }
        let doubted = &self.state.misp_doubted;
        let less = self.state.misp_made.iter().filter(|(event, made)| {
            made.is_less && !made.is_over && !(made.is_hollow && doubted.contains(event))
        });
        let less: Vec<(Uuid, Made)> = less.map(|(event, made)| (*event, made.clone())).collect();
        for (event, Made { newest, before, came, is_hollow, .. }) in less {
            if room == 0 {
                break;
            }
            let newest = self.rows(newest).await?;
            if newest.iter().any(|row| matches!(row.state, DraftState::Held | DraftState::Queued)) {
                continue;
            }
            // A person did not want the newest, or took it back: then those before are all there is.
            let is_out = !newest.is_empty() && self.all_stand(newest).await?;
            if is_out && self.let_go(event, before).await?.is_none() {
                continue;
            }
            if let Some(made) = self.state.misp_made.get_mut(&event) {
                made.settle();
                if is_out {
                    made.before.clear();
                    made.tries = 0;
                }
            }
            if is_out && is_hollow {
                let is_first = self.state.misp_base.is_first(came);
                self.state.misp_base.hollowed(event, is_first, clock::now());
            }
            room -= 1;
        }
        Ok(())
    }

    /// Whether something of each of these publications is out, and not taken back.
    async fn all_stand(&self, rows: Vec<DraftRow>) -> Result<bool, Failure> {
        for row in rows {
            if row.state != DraftState::Flushed || self.standing(row.messages).await?.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Lets go what of these publications is this source's: the drafts that withdraw; `None` if some are just on their way
    /// out, and have to be there first, or if it was refused and is tried again.
    async fn let_go(
        &mut self,
        event: Uuid,
        publications: Vec<PublicationId>,
    ) -> Result<Option<Vec<PublicationId>>, Failure> {
        let submitter = self.submitter();
        let mut rows = self.rows(publications).await?;
        rows.retain(|row| row.submitter == submitter && row.withdraws.is_none());
        if rows.iter().any(|row| row.state == DraftState::Queued) {
            return Ok(None);
        }
        let mut is_any = false;
        for row in rows.iter().filter(|row| row.state == DraftState::Held) {
            match self.publisher.discard(row.publication).await {
                Ok(()) => is_any = true,
                Err(SubmitError::NotHeld(_)) => return Ok(None),
                Err(error) => return Err(Failure::of(&error)),
            }
        }
        let mut messages: BTreeMap<GroupId, Vec<MessageId>> = BTreeMap::new();
        let mut taken = Vec::new();
        for row in rows.into_iter().filter(|row| row.state == DraftState::Flushed) {
            let standing = self.standing(row.messages).await?;
            if !standing.is_empty() {
                taken.push(row.publication);
                messages.entry(row.group).or_default().extend(standing);
            }
        }
        let (mut withdrawals, mut is_whole) = (Vec::new(), true);
        for (group, messages) in messages {
            for chunk in messages.chunks(MAX_TARGETS) {
                let request = WithdrawalRequest {
                    group,
                    named: Named::Messages(chunk.to_vec()),
                    mode: WithdrawalMode::Retract,
                    ground: None,
                    // A crash before this is noted repeats it.
                    idempotency_key: Some(key_of(chunk)),
                    submitter: submitter.clone(),
                    hold: !self.source.publish,
                };
                match self.publisher.withdraw(request).await {
                    Ok(withdrawn) => withdrawals.push(withdrawn.publication),
                    Err(WithdrawError::Submit(error)) => return Err(Failure::of(&error)),
                    Err(error) => {
                        self.refuse(&event.to_string(), &error.to_string());
                        is_whole = false;
                    }
                }
            }
        }
        if !withdrawals.is_empty() {
            self.took(event, taken, &withdrawals);
        }
        if !is_whole {
            let is_tried_again = self.state.misp_made.get_mut(&event).is_some_and(Made::try_again);
            if is_tried_again {
                return Ok(None);
            }
            self.refuse(&event.to_string(), "is not tried any more: `belfry withdraw` takes it back");
            return Ok(Some(withdrawals));
        }
        if is_any || !withdrawals.is_empty() {
            self.count(|counts| counts.taken_back += 1);
        }
        Ok(Some(withdrawals))
    }

    /// The drafts there are of these.
    pub(super) async fn rows(&self, publications: Vec<PublicationId>) -> Result<Vec<DraftRow>, Failure> {
        self.blocking(move |store| {
            let rows = publications.into_iter().map(|publication| store.draft(publication));
            rows.filter_map(Result::transpose).collect()
        })
        .await
    }

    /// Those of these messages that nobody withdrew.
    pub(super) async fn standing(&self, messages: Vec<MessageId>) -> Result<Vec<MessageId>, Failure> {
        self.blocking(move |store| standing(store, messages)).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Store) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, Failure> {
        let store = self.store.clone();
        let read = tokio::task::spawn_blocking(move || read(&store)).await;
        read.map_err(|error| Failure::of(&error))?.map_err(|error| Failure::of(&error))
    }
}

/// Whether of what objects have one look for, less than half is left.
fn is_little(said: &BTreeSet<&String>, says: &BTreeSet<&String>) -> bool {
    let looked_for =
        |object: &&&String| object.starts_with("indicator--") || object.starts_with("observed-data--");
    let all = said.iter().filter(looked_for).count();
    let left = said.intersection(says).filter(looked_for).count();
    left * 2 < all
}

fn with_hollow(failure: Failure, hollow: usize) -> Failure {
    if hollow == 0 {
        return failure;
    }
    let reason =
        format!("{} ({hollow} of them are there, and say less than half of what they said)", failure.reason);
    Failure { reason, ..failure }
}

fn publications(accepted: &[Accepted]) -> Vec<PublicationId> {
    accepted.iter().map(|one| one.publication).collect()
}

/// Whether any of these publications waits or stands.
fn is_said(store: &Store, publications: Vec<PublicationId>) -> Result<bool, ReadError> {
    for publication in publications {
        let Some(row) = store.draft(publication)? else { continue };
        let is_said = match row.state {
            DraftState::Held | DraftState::Queued => true,
            DraftState::Flushed => !standing(store, row.messages)?.is_empty(),
            DraftState::Refused => false,
        };
        if is_said {
            return Ok(true);
        }
    }
    Ok(false)
}

fn standing(store: &Store, messages: Vec<MessageId>) -> Result<Vec<MessageId>, ReadError> {
    let mut standing = Vec::new();
    for message in messages {
        if store.message(message)?.is_some_and(|row| row.state != MessageState::Withdrawn) {
            standing.push(message);
        }
    }
    Ok(standing)
}

fn key_of(messages: &[MessageId]) -> String {
    let hash =
        messages.iter().fold(Pae::new("belfry/v1/source-gone"), |pae, id| pae.part(id.as_ref())).hash();
    format!("gone:{}", hex::encode(hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> PublicationId {
        PublicationId::new([n; 16])
    }

    #[test]
    fn of_an_event_no_more_is_remembered_than_there_is_room_for() {
        let living: BTreeSet<PublicationId> = (1..=4).map(id).collect();
        let before = Made { newest: vec![id(4)], before: (1..=3).map(id).collect(), ..Made::default() };
        for (most, kept) in [(9, vec![1, 2, 3, 4]), (3, vec![3, 4]), (1, vec![])] {
            let mut made = before.clone();
            assert_eq!(made.turn(vec![id(5)], &living, most), 4 - kept.len());
            assert_eq!((made.newest, made.before), (vec![id(5)], kept.into_iter().map(id).collect()));
        }
    }

    #[test]
    fn what_is_refused_is_tried_at_some_runs_and_not_for_ever() {
        let mut made = Made::default();
        let tries = std::iter::repeat_with(|| made.try_again()).take_while(|is_again| *is_again).count();
        assert_eq!(tries + 1, usize::from(MAX_TRIES));
        assert!(!made.try_again());
    }
}
