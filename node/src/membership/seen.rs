//! When entries of the admin log came here, put right once our clock is known to be.
//!
//! The grant delay runs from the time an entry came. Noted under a clock that ran ahead, it would begin for that member only when
//! the real time gets there. It was here by now, at the latest.

use belfry_proto::time::Timestamp;

use super::Membership;
use crate::store::Change;

impl Membership {
    /// Looks once, at `at`, whenever others begin to vouch for our clock: after a start, and after it was set.
    pub(super) async fn mend_seen(&mut self, at: Timestamp) {
        let is_vouched = self.hellos.borrow().is_clock_vouched(&self.roster_now(), self.identity.member, at);
        if self.was_vouched == is_vouched {
            return;
        }
        if is_vouched {
            let mended = match self.store.seen_after(at) {
                Ok(heights) if heights.is_empty() => Ok(()),
                Ok(heights) => {
                    tracing::warn!(
                        entries = heights.len(),
                        "entries of the admin log were noted as of a time to come, under a clock that ran ahead: put back to now"
                    );
                    let change = Change::Seen { heights, at };
                    self.store.commit(change).await.map(drop).map_err(|error| error.to_string())
                }
                Err(error) => Err(error.to_string()),
            };
            if let Err(error) = mended {
                tracing::warn!("when entries of the admin log came is not put right: {error}");
                return;
            }
        }
        self.was_vouched = is_vouched;
    }
}
