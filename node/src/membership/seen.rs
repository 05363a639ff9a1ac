//! When entries of the admin log came here, put right once our clock is known to be.
//!
//! The grant delay runs from the time an entry came. Noted under a clock that ran ahead, it would begin for that member only when
//! the real time gets there; under one that was behind, it would be over before anybody saw the newcomer. What came while nobody
//! vouched for our clock was here by the time somebody does, at the latest.

use belfry_proto::time::Timestamp;

use super::Membership;
use crate::store::Change;

impl Membership {
    /// Looks, at `at`, whenever others begin to vouch for our clock, after a start and after it was set, and as long as there is
    /// something to put right.
    pub(super) async fn mend_seen(&mut self, at: Timestamp) {
        if !self.look_at_clock(at) || self.was_vouched && matches!(self.store.has_unsure_entries(), Ok(false))
        {
            return;
        }
        let mended = match self.store.unsure_entries(at) {
            Ok(heights) if heights.is_empty() => Ok(()),
            Ok(heights) => {
                tracing::info!(
                    entries = heights.len(),
                    "entries of the admin log came while nobody vouched for our clock: noted as of now"
                );
                let change = Change::Seen { heights, at };
                self.store.commit(change).await.map(drop).map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        match mended {
            Ok(()) => self.was_vouched = true,
            Err(error) => tracing::warn!("when entries of the admin log came is not put right: {error}"),
        }
    }

    /// Tells the store whether what comes now is noted by a clock that others vouch for.
    pub(super) fn look_at_clock(&mut self, at: Timestamp) -> bool {
        let is_vouched = self.hellos.borrow().is_clock_vouched(&self.roster_now(), self.identity.member, at);
        self.store.vouch_clock(is_vouched.then_some(at));
        self.was_vouched &= is_vouched;
        is_vouched
    }
}
