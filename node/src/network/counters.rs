//! What happened, in numbers; telemetry reads them.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::refusals::Refusals;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Live counters of the network.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[$doc])* pub(super) $name: Count,)*
            /// What is refused, by its reason.
            pub(super) refusals: Refusals,
        }

        /// The counters at one moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Snapshot {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            /// All of them, now.
            #[must_use]
            pub fn snapshot(&self) -> Snapshot {
                Snapshot { $($name: self.$name.value(),)* }
            }
        }

        impl Snapshot {
            /// Names and values, for a metrics registry.
            #[must_use]
            pub fn rows(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)*]
            }
        }
    };
}

counters! {
    /// Gossip messages handed to the judge.
    gossip_received,
    /// Gossip messages published by this node.
    gossip_published,
    /// Verdicts: accept.
    verdict_accept,
    /// Verdicts: ignore, by the judge.
    verdict_ignore,
    /// Verdicts: reject.
    verdict_reject,
    /// Verdicts that came after gossipsub had forgotten the message.
    verdict_late,
    /// Gossip ignored because the judge's queue was full, or its forwarder's share of it.
    gossip_queue_full,
    /// Gossip ignored because its forwarder was over its budget.
    gossip_over_budget,
    /// Gossip on a topic nobody here subscribed to, or too large.
    gossip_unwanted,
    /// Messages dropped because a peer did not read them in time.
    gossip_peer_slow,
    /// Requests received and handed on.
    requests_received,
    /// Requests answered `busy` at once.
    requests_busy,
    /// Requests or replies that did not decode or were over their size.
    frames_refused,
    /// Replies of ours that were over their size and not sent.
    replies_oversized,
    /// Admitted connections opened.
    connections_admitted,
    /// Lobby connections opened.
    connections_lobby,
    /// Inbound connections refused: too many handshakes, a full lobby, a limit, a foreign kind of key, a failed handshake.
    connections_refused,
    /// Of them, those of strangers whose handshake was not begun: too many from that host, or of all strangers.
    strangers_turned_away,
    /// Of them, those whose handshake was not begun though it may have been a member's: too many from a host that members
    /// came from, or over circuits.
    known_turned_away,
    /// Lobby connections closed because their guest asked too often.
    guests_shown_out,
    /// Connections closed because their key is no longer allowed.
    connections_revoked,
    /// Connections closed because pings went unanswered.
    connections_silent,
    /// Dials that led nowhere.
    dials_failed,
    /// Nodes that were given a place here, to be reached by circuits.
    places_given,
    /// Nodes that were not, for one of the limits.
    places_refused,
    /// Circuits given.
    circuits_given,
    /// Circuits refused: a limit, or the other end holds no place here.
    circuits_refused,
    /// Circuits cut: their bytes or their time were up, or an end was gone.
    circuits_cut,
    /// Panics that a peer brought circuits to.
    circuits_broken,
    /// Addresses under which relays said they see this node.
    seen_at,
    /// Circuits that a direct connection took the place of.
    holes_punched,
    /// Tries for one that came to nothing.
    holes_missed,
    /// Link events nobody took in time.
    links_dropped,
    /// Connection tasks that panicked.
    panics,
    /// Swarms that were replaced after a panic.
    restarts,
}

/// One counter.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn more(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
