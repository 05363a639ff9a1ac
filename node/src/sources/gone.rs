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
//! feed that loses most of what it had is more likely broken than meant so: nothing is taken back then ([`doubt`]).

use std::collections::{BTreeMap, BTreeSet};

use belfry_proto::{
    crypto::pae::Pae,
    id::{GroupId, MessageId, PublicationId},
    limits::MAX_TARGETS,
    schema::WithdrawalMode,
};
use uuid::Uuid;

use super::{Failure, desk::Desk, state::Made};
use crate::{
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
/// Events that may go at once whatever share they are: a small feed changes as a whole.
const FEW: usize = 20;

/// Why a feed is not believed that takes back `going` of the `known` events that were made something of, and lists `listed`.
pub(super) fn doubt(known: usize, going: usize, listed: usize) -> Option<Failure> {
    let is_most = known > FEW && going > known / 2;
    let is_doubtful = going > 0 && (listed == 0 || is_most);
    is_doubtful.then(|| {
        Failure::new(format!(
            "lacks {going} of the {known} events that were taken from it, which is more likely its fault than meant so: \
             nothing of them is taken back; if it is meant, take them back by `belfry withdraw`, and give the source another name"
        ))
    })
}

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
                let newest = publications(accepted);
                self.state.misp_made.insert(event, Made { newest, ..Made::default() });
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

    /// Events that are to go: those that are not listed, and those that say nothing any more.
    pub(super) fn going(&self, is_listed: impl Fn(&Uuid) -> bool) -> Vec<Uuid> {
        let made = self.state.misp_made.iter();
        made.filter(|(event, made)| made.is_over || !is_listed(event)).map(|(event, _)| *event).collect()
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
            self.state.misp_made.remove(event);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feed_that_loses_most_of_what_it_had_is_not_believed() {
        for (known, going, listed, is_believed) in [
            (5, 5, 3, true),
            (20, 20, 1, true),
            (21, 10, 11, true),
            (21, 11, 10, false),
            (40, 21, 500, false),
            (1, 1, 0, false),
            (0, 0, 0, true),
        ] {
            assert_eq!(doubt(known, going, listed).is_none(), is_believed, "{known} {going} {listed}");
        }
    }
}
