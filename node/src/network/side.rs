//! On which side of the gate the connection is that is being set up.
//!
//! libp2p asks one behaviour after the other for its handler of a new connection, all of them before the next connection's.
//! The gate is asked before hello ([`super::behaviour`]) and says here what it decided; hello's handler then takes a codec
//! ([`super::codec`]) of that side. Hello is spoken on both, and what strangers may hold must not be members'.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Whether it is a guest's. One value for the whole swarm, whose task alone reads and writes it.
#[derive(Clone, Debug, Default)]
pub(super) struct Side(Arc<AtomicBool>);

impl Side {
    /// The gate decided about the connection whose handlers are made now.
    pub(super) fn decided(&self, is_guest: bool) {
        self.0.store(is_guest, Ordering::Relaxed);
    }

    /// Whether that connection goes into the lobby.
    pub(super) fn is_guests(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
