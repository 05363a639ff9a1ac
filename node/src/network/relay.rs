//! Circuits that this node gives: a link between two members that nobody can dial, over their links with this node.
//!
//! Only admitted nodes may hold a place here or ask for a circuit to one that does. What passes is sealed between the two
//! ends, by the handshake they make over it. It is a circuit relay v2 with its limits; the reasons for each stand at
//! [`RelayLimits`].

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use libp2p::{PeerId, relay};
use tracing::debug;

use super::{
    chosen::{Choice, Chosen},
    config::RelayLimits,
    counters::Counters,
};

/// Requests of one kind that a peer may make at once; then one in [`REFILL`].
const REQUESTS: NonZeroU32 = NonZeroU32::MIN.saturating_add(29);
const REFILL: Duration = Duration::from_secs(60);

pub(super) fn behaviour(
    own: PeerId,
    limits: Option<RelayLimits>,
    counters: &Arc<Counters>,
) -> Chosen<relay::Behaviour> {
    let choice = if limits.is_some() { Choice::Everybody } else { Choice::Nobody };
    let limits = limits.unwrap_or_default();
    // libp2p counts the ones there are before it lets one more in.
    let besides = |most: usize| most.saturating_sub(1);
    let settings = relay::Config {
        max_reservations: limits.places,
        max_reservations_per_peer: besides(limits.places_per_peer),
        reservation_duration: limits.place_duration,
        reservation_rate_limiters: Vec::new(),
        max_circuits: limits.circuits,
        max_circuits_per_peer: besides(limits.circuits_per_peer),
        max_circuit_duration: limits.circuit_duration,
        max_circuit_bytes: limits.circuit_bytes,
        circuit_src_rate_limiters: Vec::new(),
    };
    let settings =
        settings.reservation_rate_per_peer(REQUESTS, REFILL).circuit_src_per_peer(REQUESTS, REFILL);
    let mut relay = relay::Behaviour::new(own, settings);
    relay.set_status(Some(relay::Status::Enable));
    Chosen::new(relay, choice, counters)
}

/// Counts what became of requests.
pub(super) fn count(counters: &Counters, event: &relay::Event) {
    match event {
        relay::Event::ReservationReqAccepted { renewed: false, .. } => counters.places_given.more(),
        relay::Event::ReservationReqDenied { src_peer_id, status } => {
            debug!(peer = %src_peer_id, ?status, "no place for circuits");
            counters.places_refused.more();
        }
        relay::Event::CircuitReqAccepted { .. } => counters.circuits_given.more(),
        relay::Event::CircuitReqDenied { src_peer_id, dst_peer_id, status } => {
            debug!(peer = %src_peer_id, to = %dst_peer_id, ?status, "no circuit");
            counters.circuits_refused.more();
        }
        relay::Event::CircuitClosed { error: Some(error), src_peer_id, dst_peer_id } => {
            debug!(peer = %src_peer_id, to = %dst_peer_id, %error, "a circuit was cut");
            counters.circuits_cut.more();
        }
        _ => {}
    }
}
