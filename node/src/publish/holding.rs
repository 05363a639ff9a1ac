//! Places of held drafts. They are counted and taken in one step: of many that are handed in at once, no more are kept than
//! one submitter may have.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use belfry_proto::id::PublicationId;

use super::{drafts::MAX_HELD, submission::SubmitError};
use crate::store::{DraftRow, DraftState, Store};

/// Drafts by submitter.
type Drafts = BTreeMap<String, BTreeSet<PublicationId>>;

/// Drafts that are being made durable; clones share them.
#[derive(Clone, Default)]
pub(super) struct Holding(Arc<Mutex<Drafts>>);

/// Places taken, until the drafts are in the store or are none.
pub(super) struct Taken {
    holding: Holding,
    drafts: Drafts,
}

impl Holding {
    fn lock(&self) -> MutexGuard<'_, Drafts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Places for those of these drafts that are held, for all or for none.
    ///
    /// # Errors
    /// [`SubmitError::TooManyHeld`], or the store.
    pub(super) fn take<'a>(
        &self,
        store: &Store,
        drafts: impl IntoIterator<Item = &'a DraftRow>,
    ) -> Result<Taken, SubmitError> {
        let mut wanted = Drafts::new();
        for draft in drafts.into_iter().filter(|draft| draft.state == DraftState::Held) {
            wanted.entry(draft.submitter.clone()).or_default().insert(draft.publication);
        }
        let mut taken = self.lock();
        for (submitter, drafts) in &wanted {
            let coming = taken.get(submitter);
            // One that is durable by now and whose place is not given back yet counts once.
            let is_coming = |id: PublicationId| coming.is_some_and(|coming| coming.contains(&id));
            let held = store.held_besides(submitter, MAX_HELD, is_coming)?;
            if held + coming.map_or(0, BTreeSet::len) + drafts.len() > MAX_HELD {
                return Err(SubmitError::TooManyHeld { submitter: submitter.clone(), limit: MAX_HELD });
            }
        }
        for (submitter, drafts) in &wanted {
            taken.entry(submitter.clone()).or_default().extend(drafts);
        }
        drop(taken);
        Ok(Taken { holding: self.clone(), drafts: wanted })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut taken = self.holding.lock();
        for (submitter, drafts) in &self.drafts {
            if let Some(coming) = taken.get_mut(submitter) {
                coming.retain(|draft| !drafts.contains(draft));
                if coming.is_empty() {
                    taken.remove(submitter);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use belfry_proto::schema::{Audience, Tlp};

    use super::*;
    use crate::{
        clock,
        store::Change,
        testing::{CIDR, Coalition, Site},
    };

    fn draft(n: usize, submitter: &str, state: DraftState) -> DraftRow {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&(n as u64).to_be_bytes());
        DraftRow {
            publication: PublicationId::new(id),
            group: CIDR,
            audience: Audience::Group,
            recipients: Vec::new(),
            parts: vec![vec![1]],
            part_count: 1,
            objects: Vec::new(),
            submitter: submitter.to_owned(),
            idempotency_key: None,
            digest: [0; 32],
            created: clock::now(),
            state,
            messages: Vec::new(),
            key_id: None,
            error: None,
            withdraws: None,
            tlp: Tlp::Amber,
            reason: None,
        }
    }

    #[tokio::test]
    async fn those_on_their_way_into_the_store_count_as_those_that_are_there_and_none_twice() {
        let mut coalition = Coalition::new();
        let alice = coalition.issue(1, &[CIDR]);
        let site = Site::new(&coalition, &alice).await;
        let holding = Holding::default();
        let held = |n| draft(n, "siem", DraftState::Held);
        let coming: Vec<DraftRow> = (0..MAX_HELD - 1).map(held).collect();
        let places = holding.take(&site.store, &coming).unwrap();
        let (one, two) = (held(MAX_HELD), [held(MAX_HELD), held(MAX_HELD + 1)]);
        let refused = holding.take(&site.store, &two).err();
        assert!(matches!(refused, Some(SubmitError::TooManyHeld { limit: MAX_HELD, .. })), "{refused:?}");
        // Durable, and its place not given back yet: there is still room for the last one, and for no other.
        site.store.commit(Change::Draft(held(0))).await.unwrap();
        let last = holding.take(&site.store, [&one]).unwrap();
        assert!(holding.take(&site.store, [&held(MAX_HELD + 1)]).is_err());
        // Others have their own, and what is not held needs none.
        assert!(holding.take(&site.store, [&draft(MAX_HELD + 2, "analyst", DraftState::Held)]).is_ok());
        assert!(holding.take(&site.store, [&draft(MAX_HELD + 3, "siem", DraftState::Queued)]).is_ok());
        // What came to nothing gives its place back; what is in the store keeps it.
        drop((places, last));
        let rest: Vec<DraftRow> = (1..MAX_HELD).map(held).collect();
        assert!(holding.take(&site.store, &rest).is_ok());
        assert!(holding.take(&site.store, rest.iter().chain([&one])).is_err());
    }
}
