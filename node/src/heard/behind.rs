//! Word that a peer's admin log is ahead of ours, from whoever meets a newer roster version.

use belfry_proto::crypto::sign::PublicKey;
use tokio::sync::mpsc;

/// Asks membership to look at a peer's admin log; handed to whoever meets a newer roster version.
#[derive(Clone)]
pub struct Behind(mpsc::Sender<PublicKey>);

impl Behind {
    /// One that tells whoever listens at the other end.
    pub(crate) const fn new(to: mpsc::Sender<PublicKey>) -> Self {
        Self(to)
    }

    /// Tells membership that `peer` spoke of a roster ahead of ours. Dropped when the queue is full:
    /// the next message from ahead says so again.
    pub fn notice(&self, peer: PublicKey) {
        let _ = self.0.try_send(peer);
    }
}
