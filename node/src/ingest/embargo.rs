//! Embargoes end: what they kept inside is met by readers outside, who poll by date or follow the stream.
//!
//! While our clock is doubted none does. Set ahead, it would have readers pass the place of what is still kept from them once it is
//! right again, and each end comes once.

use std::time::Duration;

use super::Ingest;
use crate::{
    heard::VouchedClock,
    store::{Change, WriteError},
};

/// Embargoes ended in one change: each may take a message's objects along.
const CHUNK: usize = 64;
/// Longest until those that end are looked for: new ones come, and clocks may be set. A look reads one row.
const LOOK: Duration = Duration::from_secs(5);
/// After something failed.
const AGAIN: Duration = Duration::from_secs(10);

impl Ingest {
    /// Ends them one after the other, as long as the node runs.
    pub(super) async fn run_embargoes(self, mut clock: VouchedClock) {
        loop {
            let wait = match self.embargoes_due(&clock).await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::error!("what was under an embargo is not told outside yet: {error}");
                    AGAIN
                }
            };
            tokio::select! {
                () = clock.told() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Ends those that are over, as far as others vouch for our clock; answers how long to wait for the next.
    pub(super) async fn embargoes_due(&self, clock: &VouchedClock) -> Result<Duration, WriteError> {
        loop {
            // Many may end at once, and our clock be found wrong meanwhile.
            let Some(now) = clock.now() else { return Ok(LOOK) };
            let over = self.store.embargoes_over(now, CHUNK)?;
            if over.is_empty() {
                return Ok(self.store.next_embargo()?.map_or(LOOK, |ends| ends.since(now)).min(LOOK));
            }
            self.store.commit(Change::EmbargoesOver { over, now }).await?;
        }
    }
}
