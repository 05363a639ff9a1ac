//! In-process notices: what one use-case did that another may care about.
//!
//! What was stored is not among them: whoever waits for that watches the store's newest feed number.
//!
//! Notices are hints, rows are the truth: a subscriber that falls behind loses notices, never data. It is told
//! so, with what no row says (who is here), and looks at everything; and every subscriber also looks at the
//! store by itself from time to time.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

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
    /// An envelope waits for a key, or is about to be opened and its key is not here.
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
    /// Whoever is here and may have a key was asked for it, and did not give it. It is asked for again later.
    KeyRefused(KeyId),
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
    /// This subscriber fell behind, and earlier notices are lost: anything may have happened.
    Missed {
        /// Peers that are ready now.
        ready: BTreeSet<PublicKey>,
    },
}

/// Where notices go through.
#[derive(Clone, Debug)]
pub struct Feed {
    notices: broadcast::Sender<Notice>,
    ready: Ready,
}

/// Peers by the latest that was told of them.
type Ready = Arc<Mutex<BTreeSet<PublicKey>>>;

/// One subscriber's end.
#[derive(Debug)]
pub struct Notices {
    notices: broadcast::Receiver<Notice>,
    ready: Ready,
}

impl Default for Feed {
    fn default() -> Self {
        Self { notices: broadcast::Sender::new(CAPACITY), ready: Ready::default() }
    }
}

impl Feed {
    /// Tells every subscriber.
    pub fn notify(&self, notice: Notice) {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        match &notice {
            Notice::PeerReady(peer) => {
                ready.insert(*peer);
            }
            Notice::PeerGone(peer) => {
                ready.remove(peer);
            }
            _ => {}
        }
        // Under the lock, so that the set is never behind the notices. Without subscribers nobody needs to know.
        let _ = self.notices.send(notice);
    }

    /// Who listens now.
    #[cfg(test)]
    pub(crate) fn subscribers(&self) -> usize {
        self.notices.receiver_count()
    }

    /// Starts to listen; earlier notices are not heard.
    #[must_use]
    pub fn subscribe(&self) -> Notices {
        Notices { notices: self.notices.subscribe(), ready: Arc::clone(&self.ready) }
    }
}

impl Notices {
    /// The next notice, [`Notice::Missed`] in place of lost ones; `None` when nobody can notify any more.
    pub async fn recv(&mut self) -> Option<Notice> {
        match self.notices.recv().await {
            Ok(notice) => Some(notice),
            Err(broadcast::error::RecvError::Lagged(lost)) => Some(self.missed(lost)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    /// The next notice, if one is there.
    pub fn at_hand(&mut self) -> Option<Notice> {
        match self.notices.try_recv() {
            Ok(notice) => Some(notice),
            Err(broadcast::error::TryRecvError::Lagged(lost)) => Some(self.missed(lost)),
            Err(broadcast::error::TryRecvError::Empty | broadcast::error::TryRecvError::Closed) => None,
        }
    }

    fn missed(&self, lost: u64) -> Notice {
        tracing::debug!(lost, "a subscriber missed {lost} notices");
        let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Notice::Missed { ready }
    }
}

#[cfg(test)]
mod tests {
    use belfry_proto::crypto::sign::SigningKey;

    use super::*;

    #[tokio::test]
    async fn whoever_falls_behind_is_told_so_and_who_is_here() {
        let peer = |n: u8| SigningKey::from_seed(&[n; 32]).public();
        let feed = Feed::default();
        let mut notices = feed.subscribe();
        feed.notify(Notice::PeerReady(peer(1)));
        feed.notify(Notice::PeerReady(peer(2)));
        feed.notify(Notice::PeerGone(peer(1)));
        for _ in 0..CAPACITY {
            feed.notify(Notice::DraftQueued);
        }
        assert_eq!(notices.recv().await, Some(Notice::Missed { ready: [peer(2)].into() }));
        assert_eq!(notices.recv().await, Some(Notice::DraftQueued), "then as before");
    }
}
