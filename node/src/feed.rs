//! In-process notices: what one use-case did that another may care about.
//!
//! What was stored is not among them: whoever waits for that watches the store's newest feed number.
//!
//! Notices are hints, rows are the truth: a subscriber that falls behind loses notices, never data, and
//! every subscriber also looks at the store by itself from time to time.

use belfry_proto::{
    crypto::sign::PublicKey,
    id::{GroupId, Height, KeyId, MemberId},
};
use tokio::sync::broadcast;

/// Notices a slow subscriber may be behind. Too low ⇒ bursts turn into sweeps of the store, too high ⇒ a
/// stuck subscriber holds memory.
const CAPACITY: usize = 4096;

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A log of a group has a gap that `from` may fill.
    Gap {
        /// Group.
        group: GroupId,
        /// Who brought what lies above it.
        from: PublicKey,
    },
    /// An envelope waits for a key.
    KeyWanted {
        /// Key.
        key: KeyId,
        /// Group.
        group: GroupId,
        /// Who made it.
        author: MemberId,
    },
    /// A key is in the store.
    KeyArrived(KeyId),
    /// The roster advanced.
    RosterChanged(Height),
    /// A log has to be judged as a whole.
    LogUnjudged,
    /// Messages are to be opened again.
    Reopen,
    /// A peer and this node have greeted each other as admitted.
    PeerReady(PublicKey),
    /// The last connection to a peer is gone.
    PeerGone(PublicKey),
    /// A draft is durable and may be flushed.
    DraftQueued,
}

/// Where notices go through.
#[derive(Clone, Debug)]
pub struct Feed(broadcast::Sender<Notice>);

/// One subscriber's end.
#[derive(Debug)]
pub struct Notices(broadcast::Receiver<Notice>);

impl Default for Feed {
    fn default() -> Self {
        Self(broadcast::Sender::new(CAPACITY))
    }
}

impl Feed {
    /// Tells every subscriber.
    pub fn notify(&self, notice: Notice) {
        // Without subscribers nobody needs to know.
        let _ = self.0.send(notice);
    }

    /// Starts to listen; earlier notices are not heard.
    #[must_use]
    pub fn subscribe(&self) -> Notices {
        Notices(self.0.subscribe())
    }
}

impl Notices {
    /// The next notice, skipping over lost ones; `None` when nobody can notify any more.
    pub async fn recv(&mut self) -> Option<Notice> {
        loop {
            match self.0.recv().await {
                Ok(notice) => return Some(notice),
                Err(broadcast::error::RecvError::Lagged(lost)) => {
                    tracing::debug!(lost, "a subscriber missed {lost} notices");
                }
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}
