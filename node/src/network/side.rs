//! On which side of the gate the connection is that is being set up, and with whom.
//!
//! libp2p asks one behaviour after the other for its handler of a new connection, all of them before the next connection's.
//! The gate is asked before hello ([`super::behaviour`]) and says here what it decided; hello's handler then takes a codec
//! ([`super::codec`]) of that side. Hello is spoken on both, and what strangers may hold must not be members'.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use libp2p::PeerId;

/// What was decided of that connection. One value for the whole swarm, whose task alone reads and writes it.
#[derive(Clone, Debug, Default)]
pub(super) struct Side(Arc<Mutex<Decided>>);

#[derive(Debug, Default)]
struct Decided {
    peer: Option<PeerId>,
    is_guest: bool,
}

impl Side {
    /// The gate decided about the connection whose handlers are made now.
    pub(super) fn decided(&self, peer: PeerId, is_guest: bool) {
        *self.now() = Decided { peer: Some(peer), is_guest };
    }

    /// Whether that connection goes into the lobby.
    pub(super) fn is_guests(&self) -> bool {
        self.now().is_guest
    }

    /// Who is at its other end; nobody is known where there is no gate.
    pub(super) fn peer(&self) -> Option<PeerId> {
        self.now().peer
    }

    fn now(&self) -> MutexGuard<'_, Decided> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
