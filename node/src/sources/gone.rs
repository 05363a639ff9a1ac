//! What a feed takes back, its source takes back too: an event that is gone, and what a newer version no longer says.
//!
//! ```text
//! version taken ─▶ Made ─┬─ says less than those before ─▶ those before go, once the newest is out
//!                        ├─ says nothing any more ────────┐
//! manifest ─ without it ─┴────────────────────────────────┴▶ all of them go
//! ```
//!
//! What goes is what this source itself made of the event: a draft that nobody released is discarded, what is out is withdrawn,
//! by a draft that waits for a person unless the source may publish. What this member says of the same otherwise stays. A
//! feed that loses most of what it had is more likely broken than meant so: nothing is taken back then ([`super::doubt`]).

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
/// Events that were taken back and are remembered, so that one that comes again is taken anew.
const MAX_LEAVING: usize = 10_000;

impl Made {
    fn all(&self) -> Vec<PublicationId> {
        self.before.iter().chain(&self.newest).copied().collect()
    }
}

impl Desk {
    /// Whether an event that is listed has to be taken anew, because this source took it back once; `None` while that is on
    /// its way out. What waits for a person to take it back is discarded: the event is there again.
    pub(super) async fn is_anew(&self, event: Uuid) -> Result<Option<bool>, Failure> {
        let leaving = self.state.misp_leaving.get(&event).cloned().unwrap_or_default();
        let mut is_anew = false;
        for row in self.rows(leaving).await? {
            match row.state {
                DraftState::Held => match self.publisher.discard(row.publication).await {
                    Ok(()) => {}
                    // Decided at this moment: the next run sees how.
                    Err(SubmitError::NotHeld(_)) => return Ok(None),
                    Err(error) => return Err(Failure::of(&error)),
                },
                DraftState::Queued => return Ok(None),
                DraftState::Flushed => {
                    let targets = row.withdraws.map(|withdrawal| withdrawal.targets).unwrap_or_default();
                    if !self.blocking(move |store| standing(store, targets)).await?.is_empty() {
                        return Ok(None);
                    }
                    is_anew = true;
                }
                DraftState::Refused => {}
            }
        }
        Ok(Some(is_anew))
    }

    /// Notes what a version of an event was made into; of nothing, that it says nothing any more.
    pub(super) async fn made(&mut self, event: Uuid, accepted: &[Accepted]) -> Result<(), Failure> {
        let Some(before) = self.state.misp_made.get(&event) else {
            if !accepted.is_empty() && self.state.misp_made.len() < MAX_MADE {
                let (newest, came) = (publications(accepted), Some(clock::now()));
                self.state.misp_made.insert(event, Made { came, newest, ..Made::default() });
            }
            return Ok(());
        };
        let mut rows = self.rows(before.all()).await?;
        // What was discarded says nothing, and need not be known any more.
        rows.retain(|row| row.state != DraftState::Refused);
        let says: BTreeSet<&String> = accepted.iter().flat_map(|one| &one.object_ids).collect();
        let said = rows.iter().flat_map(|row| &row.objects);
        let lost = said.filter(|(id, _)| !says.contains(id)).count();
        let living: BTreeSet<PublicationId> = rows.iter().map(|row| row.publication).collect();
        if let Some(made) = self.state.misp_made.get_mut(&event) {
            let newest = publications(accepted);
            made.is_over = newest.is_empty();
            if !made.is_over && made.newest != newest {
                made.before.append(&mut made.newest);
                made.before.retain(|one| living.contains(one) && !newest.contains(one));
                made.newest = newest;
            }
            made.is_less = !made.before.is_empty() && (lost > 0 || made.before.len() > MAX_BEFORE);
        }
        Ok(())
    }

    /// Events that are to go, those that are not listed and those that say nothing any more; and why the feed is not believed
    /// about others. What it once was not believed about goes no more by it, however large the feed becomes: only once it was
    /// there again, or a person took it back.
    pub(super) async fn going(
        &mut self,
        listed: &BTreeSet<Uuid>,
    ) -> Result<(Vec<Uuid>, Option<Failure>), Failure> {
        self.settle_doubted().await?;
        let State { misp_made, misp_doubted, misp_base, .. } = &mut self.state;
        let is_going = |event: &Uuid, made: &Made| made.is_over || !listed.contains(event);
        misp_doubted.retain(|event| misp_made.get(event).is_some_and(|made| is_going(event, made)));
        let missing = misp_made.iter().filter(|(event, made)| is_going(event, made));
        let missing: Vec<(Uuid, bool)> =
            missing.map(|(event, made)| (*event, misp_base.is_first(made.came))).collect();
        let first = missing.iter().filter(|(_, is_first)| *is_first).count();
        let events = missing.iter().map(|(event, _)| *event);
        if let Some(doubt) = misp_base.doubt(first, missing.len(), listed.len()) {
            if doubt.is_too_much {
                misp_doubted.extend(events);
            }
            return Ok((Vec::new(), Some(doubt.failure)));
        }
        let going = events.filter(|event| !misp_doubted.contains(event)).collect();
        let doubt = (!misp_doubted.is_empty()).then(|| misp_base.failure(misp_doubted.len()));
        Ok((going, doubt))
    }

    /// Forgets, of the events that the feed was not believed about, those of which nothing stands or waits any more: a person
    /// took them back.
    async fn settle_doubted(&mut self) -> Result<(), Failure> {
        let made =
            |event: &Uuid| (*event, self.state.misp_made.get(event).map(Made::all).unwrap_or_default());
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
            self.state.misp_made.remove(&event);
            self.state.misp_doubted.remove(&event);
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
            self.state.misp_base.took(is_first);
            if !withdrawals.is_empty() {
                if self.state.misp_leaving.len() >= MAX_LEAVING {
                    self.state.misp_leaving.pop_first();
                }
                self.state.misp_leaving.insert(*event, withdrawals);
            }
            room -= 1;
        }
        let less = self.state.misp_made.iter().filter(|(_, made)| made.is_less && !made.is_over);
        let less: Vec<(Uuid, Made)> = less.map(|(event, made)| (*event, made.clone())).collect();
        for (event, Made { newest, before, .. }) in less {
            if room == 0 {
                break;
            }
            let newest = self.rows(newest).await?;
            if newest.iter().any(|row| matches!(row.state, DraftState::Held | DraftState::Queued)) {
                continue;
            }
            // A person did not want the newest: then those before are all there is.
            let is_out = !newest.is_empty() && newest.iter().all(|row| row.state == DraftState::Flushed);
            if is_out && self.let_go(event, before).await?.is_none() {
                continue;
            }
            if let Some(made) = self.state.misp_made.get_mut(&event) {
                made.is_less = false;
                if is_out {
                    made.before.clear();
                }
            }
            room -= 1;
        }
        Ok(())
    }

    /// Lets go what of these publications is this source's: the drafts that withdraw; `None` if some are just on their way
    /// out, and have to be there first.
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
        for row in rows.iter().filter(|row| row.state == DraftState::Held) {
            match self.publisher.discard(row.publication).await {
                Ok(()) => {}
                Err(SubmitError::NotHeld(_)) => return Ok(None),
                Err(error) => return Err(Failure::of(&error)),
            }
        }
        let mut messages: BTreeMap<GroupId, Vec<MessageId>> = BTreeMap::new();
        for row in rows.into_iter().filter(|row| row.state == DraftState::Flushed) {
            messages.entry(row.group).or_default().extend(row.messages);
        }
        let mut withdrawals = Vec::new();
        for (group, messages) in messages {
            let messages = self.blocking(move |store| standing(store, messages)).await?;
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
                    Err(error) => self.refuse(&event.to_string(), &error.to_string()),
                }
            }
        }
        self.count(|counts| counts.taken_back += 1);
        Ok(Some(withdrawals))
    }

    /// Whether all that a publication became was taken back, so that what comes again is new.
    pub(super) async fn is_taken_back(&self, publication: PublicationId) -> Result<bool, Failure> {
        let rows = self.rows(vec![publication]).await?;
        let mut flushed = rows.into_iter().filter(|row| row.state == DraftState::Flushed);
        let Some(row) = flushed.next() else { return Ok(false) };
        let count = row.messages.len();
        let standing = self.blocking(move |store| standing(store, row.messages)).await?;
        Ok(count > 0 && standing.is_empty())
    }

    /// The drafts there are of these.
    async fn rows(&self, publications: Vec<PublicationId>) -> Result<Vec<DraftRow>, Failure> {
        self.blocking(move |store| {
            let rows = publications.into_iter().map(|publication| store.draft(publication));
            rows.filter_map(Result::transpose).collect()
        })
        .await
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

/// Those of these messages that nobody withdrew.
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
