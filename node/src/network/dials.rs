//! Dials under way. libp2p tells the end of each, unless the task that ran it is lost; a peer must not be beyond reach
//! for ever because of that.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use libp2p::{PeerId, swarm::ConnectionId};

use super::limits::HANDSHAKE;

/// After this a dial has ended, told or not: every address is tried within its handshake, one transport behind the
/// other.
const LOST: Duration = Duration::from_secs(HANDSHAKE.as_secs() * 6);

/// One a peer.
#[derive(Debug, Default)]
pub(super) struct Dials(HashMap<PeerId, (ConnectionId, Instant)>);

impl Dials {
    /// A dial has begun.
    pub(super) fn begun(&mut self, peer: PeerId, connection: ConnectionId) {
        self.0.insert(peer, (connection, Instant::now()));
    }

    /// That dial has ended; false if it is not the one that is waited for.
    pub(super) fn remove_if(&mut self, peer: &PeerId, connection: ConnectionId) -> bool {
        let is_it = self.0.get(peer).is_some_and(|(of, _)| *of == connection);
        is_it && self.0.remove(peer).is_some()
    }

    /// Whether its end is still to be told.
    pub(super) fn is_under_way(&self, peer: &PeerId) -> bool {
        self.0.get(peer).is_some_and(|(_, since)| since.elapsed() < LOST)
    }

    /// Whether its end should have been told long ago.
    pub(super) fn is_lost(&self, peer: &PeerId) -> bool {
        self.0.get(peer).is_some_and(|(_, since)| since.elapsed() >= LOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dial_whose_end_was_never_told_does_not_stand_in_the_way_for_ever() {
        let (mut dials, peer) = (Dials::default(), PeerId::random());
        let [first, second] = [1, 2].map(ConnectionId::new_unchecked);
        dials.begun(peer, first);
        assert!(dials.is_under_way(&peer) && !dials.is_lost(&peer));
        assert!(!dials.remove_if(&peer, second) && dials.is_under_way(&peer));
        dials.0.insert(peer, (first, Instant::now().checked_sub(LOST).unwrap()));
        assert!(!dials.is_under_way(&peer) && dials.is_lost(&peer));
        dials.begun(peer, second);
        // Told after all.
        assert!(!dials.remove_if(&peer, first) && dials.is_under_way(&peer));
        assert!(dials.remove_if(&peer, second) && !dials.is_under_way(&peer));
    }
}
