//! Places of held drafts. They are counted and taken in one step: of many that are handed in at once, no more are kept than
//! one submitter may have. Whose drafts are held is read once a submitter and known from then on: all that hold, release and
//! discard drafts pass here.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use belfry_proto::id::PublicationId;

use super::{drafts::MAX_HELD, submission::SubmitError};
use crate::store::{DraftRow, DraftState, Store};

/// Drafts by submitter.
type Drafts = BTreeMap<String, BTreeSet<PublicationId>>;

#[derive(Default)]
struct Places {
    /// Of drafts that are being made durable.
    coming: Drafts,
    /// Of those in the store, of each submitter that handed in since the start.
    held: Drafts,
}

/// All places; clones share them.
#[derive(Clone, Default)]
pub(super) struct Holding(Arc<Mutex<Places>>);

/// Places taken, until the drafts are in the store ([`Self::kept`]) or are none.
pub(super) struct Taken {
    holding: Holding,
    drafts: Drafts,
}

impl Places {
    /// How many one has.
    fn count(&mut self, store: &Store, submitter: &str) -> Result<usize, SubmitError> {
        let coming = self.coming.get(submitter);
        if !self.held.contains_key(submitter) {
            // One that is durable by now and was not said to be is still coming, and counts once.
            let is_coming = |id: &PublicationId| coming.is_some_and(|coming| coming.contains(id));
            let held = store.held_of(submitter)?.into_iter().filter(|id| !is_coming(id)).collect();
            self.held.insert(submitter.to_owned(), held);
        }
        Ok(self.held.get(submitter).map_or(0, BTreeSet::len) + coming.map_or(0, BTreeSet::len))
    }

    /// Takes drafts off those that are coming; those that were.
    fn came(&mut self, submitter: &str, drafts: &BTreeSet<PublicationId>) -> BTreeSet<PublicationId> {
        let Some(coming) = self.coming.get_mut(submitter) else { return BTreeSet::new() };
        let came = coming.intersection(drafts).copied().collect();
        coming.retain(|draft| !drafts.contains(draft));
        if coming.is_empty() {
            self.coming.remove(submitter);
        }
        came
    }
}

impl Holding {
    fn lock(&self) -> MutexGuard<'_, Places> {
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
        let mut places = self.lock();
        for (submitter, drafts) in &wanted {
            if places.count(store, submitter)? + drafts.len() > MAX_HELD {
                return Err(SubmitError::TooManyHeld { submitter: submitter.clone(), limit: MAX_HELD });
            }
        }
        for (submitter, drafts) in &wanted {
            places.coming.entry(submitter.clone()).or_default().extend(drafts);
        }
        drop(places);
        Ok(Taken { holding: self.clone(), drafts: wanted })
    }

    /// A draft is no longer held.
    pub(super) fn gone(&self, submitter: &str, publication: PublicationId) {
        let mut places = self.lock();
        places.came(submitter, &BTreeSet::from([publication]));
        if let Some(held) = places.held.get_mut(submitter) {
            held.remove(&publication);
        }
    }
}

impl Taken {
    /// The drafts are in the store. Those that somebody decided since are not held any more.
    pub(super) fn kept(self) {
        let mut places = self.holding.lock();
        for (submitter, drafts) in &self.drafts {
            let came = places.came(submitter, drafts);
            places.held.entry(submitter.clone()).or_default().extend(came);
        }
        drop(places);
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut places = self.holding.lock();
        for (submitter, drafts) in &self.drafts {
            places.came(submitter, drafts);
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
        let first = holding.take(&site.store, [&held(0)]).unwrap();
        let coming: Vec<DraftRow> = (1..MAX_HELD - 1).map(held).collect();
        let places = holding.take(&site.store, &coming).unwrap();
        let (one, two) = (held(MAX_HELD), [held(MAX_HELD), held(MAX_HELD + 1)]);
        let refused = holding.take(&site.store, &two).err();
        assert!(matches!(refused, Some(SubmitError::TooManyHeld { limit: MAX_HELD, .. })), "{refused:?}");
        // Durable, and kept: there is still room for the last one, and for no other.
        site.store.commit(Change::Draft(held(0))).await.unwrap();
        first.kept();
        let last = holding.take(&site.store, [&one]).unwrap();
        assert!(holding.take(&site.store, [&held(MAX_HELD + 1)]).is_err());
        // Others have their own, and what is not held needs none.
        assert!(holding.take(&site.store, [&draft(MAX_HELD + 2, "analyst", DraftState::Held)]).is_ok());
        assert!(holding.take(&site.store, [&draft(MAX_HELD + 3, "siem", DraftState::Queued)]).is_ok());
        // What came to nothing gives its place back; what is in the store keeps it, over a start too.
        drop((places, last));
        let rest: Vec<DraftRow> = (1..MAX_HELD).map(held).collect();
        for holding in [holding, Holding::default()] {
            assert!(holding.take(&site.store, &rest).is_ok());
            assert!(holding.take(&site.store, rest.iter().chain([&one])).is_err());
            holding.gone("siem", held(0).publication);
            assert!(holding.take(&site.store, rest.iter().chain([&one])).is_ok());
        }
    }

    #[tokio::test]
    async fn what_is_held_is_read_once_a_submitter() {
        let mut coalition = Coalition::new();
        let alice = coalition.issue(1, &[CIDR]);
        let site = Site::new(&coalition, &alice).await;
        let held = |n| draft(n, "siem", DraftState::Held);
        let all: Vec<DraftRow> = (1..=MAX_HELD).map(held).collect();
        let holding = Holding::default();
        assert!(holding.take(&site.store, &all).is_ok());
        // Past the places, as nothing but this test writes.
        site.store.commit(Change::Draft(held(0))).await.unwrap();
        assert!(holding.take(&site.store, &all).is_ok(), "the store is not asked again");
        assert!(Holding::default().take(&site.store, &all).is_err());
    }

    #[tokio::test]
    async fn one_that_is_decided_before_it_is_kept_is_not_held() {
        let mut coalition = Coalition::new();
        let alice = coalition.issue(1, &[CIDR]);
        let site = Site::new(&coalition, &alice).await;
        let holding = Holding::default();
        let first = draft(0, "siem", DraftState::Held);
        let place = holding.take(&site.store, [&first]).unwrap();
        holding.gone("siem", first.publication);
        place.kept();
        let all: Vec<DraftRow> = (1..=MAX_HELD).map(|n| draft(n, "siem", DraftState::Held)).collect();
        assert!(holding.take(&site.store, &all).is_ok());
    }
}
