//! Lets bodies go that their groups no longer keep, as the charter says.
//!
//! The header stays for ever and with it the log, so nothing is missing afterwards: peers serve such entries bare, and take
//! them so (`belfry_proto::sync::retention`). While our clock is doubted none goes: set ahead, it would take what is to be kept.

use std::time::Duration;

use belfry_proto::id::GroupId;

use super::Ingest;
use crate::{
    heard::VouchedClock,
    store::{Change, Committed, WriteError},
};

/// Between two looks. Retention is in days; a look that finds nothing reads one row a log.
const LOOK: Duration = Duration::from_secs(3600);
/// While nobody vouches for our clock, whatever is told of it meanwhile.
const AGAIN: Duration = Duration::from_secs(60);
/// Bodies let go in one batch: each may take many rows along.
const CHUNK: usize = 64;

impl Ingest {
    /// Looks until the store ends.
    pub(super) async fn run_retain(self, mut clock: VouchedClock) {
        loop {
            let has_looked = self.retain(&clock).await.unwrap_or_else(|error| {
                tracing::error!("bodies past their retention were not let go: {error}");
                true
            });
            if has_looked {
                tokio::time::sleep(LOOK).await;
                continue;
            }
            tokio::select! {
                () = clock.told() => {}
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    }

    /// One look; false if there was none, because nobody vouches for our clock.
    pub(super) async fn retain(&self, clock: &VouchedClock) -> Result<bool, WriteError> {
        let mut has_looked = clock.now().is_some();
        let roster = self.roster.snapshot();
        for group in roster.charter().groups() {
            if let Some(kept) = group.retention {
                has_looked = has_looked && self.retain_group(group.id, kept, clock).await?;
            }
        }
        Ok(has_looked)
    }

    /// False if it was not looked at to the end, because nobody vouches for our clock any more.
    async fn retain_group(
        &self,
        group: GroupId,
        kept: Duration,
        clock: &VouchedClock,
    ) -> Result<bool, WriteError> {
        let (mut gone, mut has_looked) = (0, true);
        'logs: for log in self.store.all_logs(Some(group)) {
            // What is held of it may be a year's: one bounded step after the other, others' changes between them. What one leaves
            // over comes again with the next.
            let mut listed = Vec::new();
            loop {
                // Hours may pass until the last of them, and our clock be found wrong meanwhile.
                let Some(now) = clock.now() else {
                    has_looked = false;
                    break 'logs;
                };
                let before = now.saturating_sub(kept);
                let store = self.store.clone();
                let aged = tokio::task::spawn_blocking(move || store.aged(group, log.log, before, CHUNK));
                let Some(aged) = aged.await.map_err(|_| WriteError::Closed)?? else { break };
                gone += aged.messages.iter().filter(|message| !listed.contains(*message)).count();
                listed.clone_from(&aged.messages);
                if self.store.commit(Change::Expire(aged)).await? != Committed::More {
                    break;
                }
            }
        }
        if gone > 0 {
            tracing::info!(%group, gone, "{gone} bodies are past the group's retention: gone");
        }
        Ok(has_looked)
    }
}

#[cfg(test)]
mod tests {
    use belfry_proto::{envelope::LIFTED_WITHIN, limits::CONTACT_KEPT};

    use super::*;
    use crate::testing::papers::RETENTION;

    #[test]
    fn the_retention_plan_tells_the_spans_that_nodes_keep_to() {
        let day = Duration::from_secs(24 * 3600);
        for (words, told, span) in [
            ("within the hour every node lets the body go", Duration::from_secs(3600), LOOK),
            ("seven days where a steward took it back", day * 7, LIFTED_WITHIN),
            ("or ran out ninety days ago", day * 90, CONTACT_KEPT),
        ] {
            assert!(RETENTION.contains(words), "{words}");
            assert_eq!(told, span, "{words}");
        }
    }
}
