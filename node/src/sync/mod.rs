//! Repair: what gossip lost, and what was said while we were away.
//!
//! ```text
//! peer ready ─┐
//! gap seen   ─┼─▶ per group: frontier? ─equal─▶ done
//! some minutes┘                      └─differs─▶ plan ranges ─▶ page, page, … ─▶ intake (the one ladder)
//! ```
//!
//! One peer at a time, bounded pages, every signature verified. Both sides check who asks: entitled
//! readers and carriers get a group's ciphertext, nobody else.

mod pull;
mod serve;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use belfry_proto::{crypto::sign::PublicKey, schema};
use rand::{RngExt, seq::IteratorRandom};
use tokio::sync::mpsc;

use crate::{
    clock,
    feed::{Feed, Notice},
    identity::Identity,
    ingest::Intake,
    network::{Asked, Network},
    roster::LiveRoster,
    store::Store,
};

/// Between two looks at a random peer's frontiers. Bounds how long a silently dropped message stays
/// unknown; each look costs under 1 kB a group.
const ROUND: Duration = Duration::from_secs(60);
/// Random part added to [`ROUND`], so that a coalition does not look all at once.
const JITTER: Duration = Duration::from_secs(60);
/// How long notices gather before a round: a burst of gaps is one round.
const GATHER: Duration = Duration::from_millis(200);

/// The sync use-case.
pub struct Sync {
    pub(crate) identity: Arc<Identity>,
    pub(crate) store: Store,
    pub(crate) network: Network,
    pub(crate) roster: LiveRoster,
    pub(crate) feed: Feed,
    pub(crate) intake: Intake,
}

impl Sync {
    /// Answers peers until the network ends.
    pub async fn run_serve(
        store: Store,
        roster: LiveRoster,
        mut asked: mpsc::Receiver<Asked<schema::SyncRequest, schema::SyncResponse>>,
    ) {
        while let Some(Asked { from, request, reply, .. }) = asked.recv().await {
            let (store, roster) = (store.clone(), roster.snapshot());
            // One at a time on a blocking thread: reads are bounded to a page, peers wait their turn.
            let answered = tokio::task::spawn_blocking(move || {
                serve::answer(&store, &roster, &from, request, clock::now())
            });
            if let Ok(response) = answered.await {
                reply.send(response);
            }
        }
    }

    /// Pulls from peers until the daemon stops.
    pub async fn run_pull(self) {
        let mut notices = self.feed.subscribe();
        let mut ready: BTreeSet<PublicKey> = BTreeSet::new();
        let mut due: BTreeSet<PublicKey> = BTreeSet::new();
        let mut round = tokio::time::Instant::now() + next_round();
        loop {
            tokio::select! {
                notice = notices.recv() => match notice {
                    Some(Notice::PeerReady(peer)) => {
                        ready.insert(peer);
                        due.insert(peer);
                    }
                    Some(Notice::PeerGone(peer)) => {
                        ready.remove(&peer);
                        due.remove(&peer);
                    }
                    Some(Notice::Gap { from, .. }) => {
                        if ready.contains(&from) {
                            due.insert(from);
                        }
                    }
                    // A new entitlement or a parked author: whoever is here may have more for us now.
                    Some(Notice::RosterChanged(_)) => due.extend(ready.iter().copied()),
                    Some(_) => {}
                    None => return,
                },
                () = tokio::time::sleep(GATHER), if !due.is_empty() => {
                    while let Some(peer) = due.pop_first() {
                        self.pull_from(peer).await;
                    }
                }
                () = tokio::time::sleep_until(round) => {
                    due.extend(ready.iter().copied().choose(&mut rand::rng()));
                    round = tokio::time::Instant::now() + next_round();
                }
            }
        }
    }
}

fn next_round() -> Duration {
    ROUND + JITTER.mul_f64(rand::rng().random::<f64>())
}
