//! Embargoes end: what they kept inside is met by readers outside, who poll by date or follow the stream.
//!
//! By the very clock that tells readers what is under an embargo: whoever may read an object is told of it.

use std::time::Duration;

use belfry_proto::time::Timestamp;

use super::Ingest;
use crate::{
    clock,
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
    pub(super) async fn run_embargoes(self) {
        loop {
            let wait = match self.embargoes_due(clock::now()).await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::error!("what was under an embargo is not told outside yet: {error}");
                    AGAIN
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Ends those that are over by `now`; answers how long to wait for the next.
    pub(super) async fn embargoes_due(&self, now: Timestamp) -> Result<Duration, WriteError> {
        loop {
            let over = self.store.embargoes_over(now, CHUNK)?;
            if over.is_empty() {
                return Ok(self.store.next_embargo()?.map_or(LOOK, |ends| ends.since(now)).min(LOOK));
            }
            self.store.commit(Change::EmbargoesOver(over)).await?;
        }
    }
}
