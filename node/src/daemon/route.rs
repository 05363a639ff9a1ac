//! Gossip to its judge: the admin topic to membership, groups to ingest.

use belfry_proto::{topic::Topic, verdict::Verdict};
use tokio::sync::mpsc;

use crate::{
    network::{Gossip, Network},
    tasks::Tasks,
};

/// Messages waiting for a judge. Too low ⇒ short bursts are left to sync, too high ⇒ 256 KiB each.
const QUEUE: usize = 512;

/// Splits one stream of gossip in two. A judge that cannot keep up costs its own topic, not the other's.
pub(super) fn split(
    tasks: &mut Tasks,
    mut gossip: mpsc::Receiver<Gossip>,
    network: Network,
) -> (mpsc::Receiver<Gossip>, mpsc::Receiver<Gossip>) {
    let (admin, admin_out) = mpsc::channel(QUEUE);
    let (group, group_out) = mpsc::channel(QUEUE);
    tasks.spawn("route", async move {
        while let Some(message) = gossip.recv().await {
            let queue = match message.topic {
                Topic::Admin => &admin,
                Topic::Group(_) => &group,
            };
            if let Err(
                mpsc::error::TrySendError::Full(message) | mpsc::error::TrySendError::Closed(message),
            ) = queue.try_send(message)
            {
                tracing::debug!(topic = ?message.topic, "judge's queue full: left to sync");
                let _ = network.verdict(message.ticket, Verdict::Ignore).await;
            }
        }
    });
    (admin_out, group_out)
}
