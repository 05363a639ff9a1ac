//! How many proposals nobody has answered yet: what an operator is reminded of.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::sync::Mutex;

use super::{Principal, Query, QueryError, Standing, TokenId};

/// How long a count holds while nothing new comes. Too low ⇒ each look at the status reads the notes of all groups, too
/// high ⇒ what a newer admin log hides is still counted.
const KEPT: Duration = Duration::from_secs(60);

/// Open proposals, as a token may know them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Unanswered {
    /// Made to this member: it answers them.
    pub to_us: usize,
    /// Made by this member.
    pub by_us: usize,
    /// There are more than were counted.
    pub more: bool,
}

/// Proposals that are counted one by one: beyond that many a person is told that there are more.
const COUNTED: usize = 1000;

/// The last count: of which token, behind which of the store's feed numbers.
type Last = Option<(TokenId, u64, Instant, Unanswered)>;

/// Counting holds the lock: one look at the notes at a time, whoever asks.
#[derive(Clone, Default)]
pub(super) struct Counted(Arc<Mutex<Last>>);

impl Query {
    /// How many proposals are open.
    ///
    /// # Errors
    /// The store.
    pub async fn unanswered(&self, principal: &Principal) -> Result<Unanswered, QueryError> {
        let mut last = self.unanswered.0.lock().await;
        let newest = *self.inner.store.newest().borrow();
        if let Some((token, at, since, counted)) = *last
            && (token, at) == (principal.token(), newest)
            && since.elapsed() < KEPT
        {
            return Ok(counted);
        }
        let groups = self.all_readable(principal);
        let page = (None, COUNTED);
        let (open, before) = self.proposals(principal, groups, Some(Standing::Open), page).await?;
        let by_us = open.iter().filter(|one| one.is_ours).count();
        let counted = Unanswered { to_us: open.len() - by_us, by_us, more: before.is_some() };
        *last = Some((principal.token(), newest, Instant::now(), counted));
        Ok(counted)
    }
}
