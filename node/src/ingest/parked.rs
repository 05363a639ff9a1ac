//! Envelopes that name an admin log ahead of ours: they wait for it, and are judged again each time that it has moved.

use std::{sync::Arc, time::Duration};

use belfry_proto::{
    envelope::{self, Origin},
    id::MessageId,
    trust::roster::Roster,
};

use super::{
    Departures, Ingest,
    judge::Judgement,
    keep::{Arrival, Ready, Waits},
    line::Line,
};
use crate::{
    clock,
    refusals::Claimed,
    store::{Change, ParkRow},
};

/// Parked envelopes read in one go.
const PARKED: usize = 256;
/// How long an envelope may wait for the admin log: longer than any import of a log that is carried by hand takes,
/// short enough that bytes which name a height nobody will have do not stay. A lost one comes again by sync.
const PARKED_FOR: Duration = Duration::from_secs(24 * 3600);

impl Ingest {
    /// Parked envelopes again, now that the roster moved.
    pub(super) async fn judge_parked(&self, line: &mut Line, departures: &Departures) {
        let mut after = None;
        while self.store.has_room() {
            let store = self.store.clone();
            let parked = tokio::task::spawn_blocking(move || store.parked(after, PARKED));
            let parked = match parked.await {
                Ok(Ok(parked)) => parked,
                Ok(Err(error)) => {
                    tracing::warn!("parked envelopes cannot be read: {error}");
                    return;
                }
                Err(_) => return,
            };
            let Some(last) = parked.last() else { return };
            after = Some(last.id);
            let (this, roster) = (self.clone(), self.roster.snapshot());
            let work = move |parked| this.judge_page_of_parked(parked, &roster);
            let (this, departures) = (self.clone(), departures.clone());
            let finish = move |(settled, ready): (Vec<_>, _)| {
                let left = this.depart(ready, &departures);
                let store = this.store.clone();
                move || {
                    left();
                    // Queued behind what they became.
                    if !settled.is_empty()
                        && let Err(error) = store.commit_blocking(Change::Unpark(settled))
                    {
                        tracing::warn!("parked envelopes not cleared: {error}");
                    }
                }
            };
            line.run(parked, work, finish).await;
        }
    }

    /// Those that need not be parked any more, and what some of them become.
    fn judge_page_of_parked(
        &self,
        parked: Vec<ParkRow>,
        roster: &Arc<Roster>,
    ) -> (Vec<MessageId>, Vec<Ready>) {
        let (now, height) = (clock::now(), roster.version().height);
        let mut settled = Vec::with_capacity(parked.len());
        let mut ready = Vec::with_capacity(parked.len());
        for row in parked {
            if now.since(row.received) > PARKED_FOR {
                tracing::debug!(message = %row.id, "parked too long: dropped");
                let claimed = envelope::decode(&row.bytes).ok();
                let claimed =
                    claimed.map(|decoded| Box::new(Claimed::of(decoded.header(), decoded.message_id())));
                let arrival = Arrival { from: self.identity.node, waits: Waits::Nobody };
                let detail = "the admin log that it names did not come within a day".to_owned();
                self.refused(&arrival, "parked-too-long", detail, claimed);
                settled.push(row.id);
                continue;
            }
            // Most are as far ahead as they were; a signature need not be verified to see that.
            let names = envelope::decode(&row.bytes).map(|decoded| decoded.header().roster.height);
            if names.is_ok_and(|names| names > height) {
                continue;
            }
            let judgement = self.judge(&row.bytes, roster, Origin::Sync);
            if !matches!(judgement, Judgement::Ahead { .. }) {
                settled.push(row.id);
                let arrival = Arrival { from: self.identity.node, waits: Waits::Nobody };
                ready.extend(self.settle(judgement, arrival, roster));
            }
        }
        (settled, ready)
    }
}
