//! Whether this node needs others to be reached, and whom it asks.
//!
//! A node that nobody can dial meets others only where it dials them; two such nodes would never meet, and keys pass between
//! members and nobody else. So it holds a *place* with a carrier or two: others reach it by circuits over them.
//!
//! ```text
//! listens nowhere ──────────────────────────────┐
//! the operator named relays ────────────────────┤
//! has links, and no member dialled it of late ───┴▶ a place with up to PLACES of the relays it has links with
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use belfry_proto::{crypto::sign::PublicKey, time::doubled};
use tokio::time::Instant;

/// Places held at once: one relay may go, or part with some of those who look for us.
const PLACES: usize = 2;
/// How long a node that listens waits to be dialled, from its first link on. Address records spread within seconds, and a
/// newcomer is dialled by some who look for links; a place that turns out to be needless costs little.
const UNDIALLED: Duration = Duration::from_secs(120);
/// How long it counts that a member's link came in, after the last such link has ended: the firewall may be another.
const DIALLED: Duration = Duration::from_secs(3600);
/// Until a relay that gave no place is asked again; doubles to [`LONGEST`].
const FIRST: Duration = Duration::from_secs(5);
/// A relay that was full has room again, or was restarted with other settings.
const LONGEST: Duration = Duration::from_secs(600);

/// What is known of being reached.
#[derive(Debug)]
pub(super) struct Places {
    /// Whether it may be that nobody needs to help.
    is_open: bool,
    linked: Option<Instant>,
    /// Members with a link that they dialled, and when the last of them left.
    diallers: BTreeSet<PublicKey>,
    dialled_until: Option<Instant>,
    held: BTreeSet<PublicKey>,
    asked: BTreeMap<PublicKey, Asked>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    under_way: bool,
    failures: u32,
    not_before: Option<Instant>,
}

impl Places {
    /// Of a node that `is_open` if it listens somewhere, and its operator did not say that it needs relays.
    pub(super) const fn new(is_open: bool) -> Self {
        Self {
            is_open,
            linked: None,
            diallers: BTreeSet::new(),
            dialled_until: None,
            held: BTreeSet::new(),
            asked: BTreeMap::new(),
        }
    }

    /// A connection with a member came up; `dialled_us` directly, by the other.
    pub(super) fn linked(&mut self, node: PublicKey, dialled_us: bool, now: Instant) {
        self.linked.get_or_insert(now);
        if dialled_us {
            self.diallers.insert(node);
        }
    }

    /// The last connection with a member is gone.
    pub(super) fn parted(&mut self, node: &PublicKey, now: Instant) {
        if self.diallers.remove(node) {
            self.dialled_until = Some(now);
        }
    }

    /// A relay gave us a place.
    pub(super) fn given(&mut self, relay: PublicKey) {
        self.held.insert(relay);
        self.asked.remove(&relay);
    }

    /// It did not, or took it back.
    pub(super) fn lost(&mut self, relay: PublicKey, now: Instant) {
        self.held.remove(&relay);
        let asked = self.asked.entry(relay).or_default();
        let wait = doubled(FIRST, asked.failures, LONGEST);
        *asked = Asked {
            under_way: false,
            failures: asked.failures.saturating_add(1),
            not_before: Some(now + wait),
        };
    }

    /// Every link is gone, and the network began anew.
    pub(super) fn forget(&mut self) {
        self.linked = None;
        self.diallers.clear();
        self.dialled_until = None;
        self.held.clear();
        self.asked.clear();
    }

    /// Of relays that we have links with, those to ask now; they are taken to be asked.
    pub(super) fn due(&mut self, relays: impl Iterator<Item = PublicKey>, now: Instant) -> Vec<PublicKey> {
        if !self.is_needed(now) {
            return Vec::new();
        }
        let mut due = Vec::new();
        for relay in relays {
            let under_way = self.asked.values().filter(|asked| asked.under_way).count();
            if self.held.len() + under_way >= PLACES {
                break;
            }
            let asked = self.asked.get(&relay).copied().unwrap_or_default();
            let waits = asked.under_way || asked.not_before.is_some_and(|at| at > now);
            if !waits && !self.held.contains(&relay) {
                self.asked.insert(relay, Asked { under_way: true, ..asked });
                due.push(relay);
            }
        }
        due
    }

    fn is_needed(&self, now: Instant) -> bool {
        let Some(linked) = self.linked else { return false };
        let since = |at: Instant| now.saturating_duration_since(at);
        let was_dialled =
            !self.diallers.is_empty() || self.dialled_until.is_some_and(|at| since(at) < DIALLED);
        !self.is_open || !was_dialled && since(linked) >= UNDIALLED
    }
}

#[cfg(test)]
mod tests {
    use belfry_proto::crypto::sign::SigningKey;

    use super::*;

    fn relay(seed: u8) -> PublicKey {
        SigningKey::from_seed(&[seed; 32]).public()
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_listens_nowhere_asks_two_at_once_and_the_next_when_one_is_lost() {
        let (mut places, now) = (Places::new(false), Instant::now());
        let relays = [1, 2, 3].map(relay);
        assert_eq!(places.due(relays.into_iter(), now), [], "without a link there is nobody to ask");
        places.linked(relay(9), false, now);
        assert_eq!(places.due(relays.into_iter(), now), relays[..2]);
        assert_eq!(places.due(relays.into_iter(), now), [], "both are asked already");
        places.given(relays[0]);
        places.lost(relays[1], now);
        assert_eq!(places.due(relays.into_iter(), now), relays[2..]);
        places.given(relays[2]);
        places.lost(relays[0], now);
        assert_eq!(places.due(relays.into_iter(), now), [], "both that are left wait");
        assert_eq!(places.due(relays.into_iter(), now + FIRST), relays[..1]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_relay_that_gives_none_is_asked_ever_less_often() {
        let (mut places, mut now) = (Places::new(false), Instant::now());
        places.linked(relay(9), false, now);
        let mut waits = Vec::new();
        for _ in 0..12 {
            let begun = now;
            while places.due([relay(1)].into_iter(), now).is_empty() {
                now += Duration::from_secs(1);
            }
            waits.push(now - begun);
            places.lost(relay(1), now);
        }
        assert!(waits.is_sorted() && waits[11] == LONGEST, "{waits:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_listens_asks_only_if_nobody_comes() {
        let (mut places, now) = (Places::new(true), Instant::now());
        places.linked(relay(9), false, now);
        assert_eq!(places.due([relay(1)].into_iter(), now), []);
        assert_eq!(places.due([relay(1)].into_iter(), now + UNDIALLED), [relay(1)]);
        let mut reached = Places::new(true);
        reached.linked(relay(2), true, now);
        assert_eq!(reached.due([relay(1)].into_iter(), now + 2 * DIALLED), [], "while the link lasts");
        let parted = now + 2 * DIALLED;
        reached.parted(&relay(2), parted);
        assert_eq!(reached.due([relay(1)].into_iter(), parted + UNDIALLED), []);
        assert_eq!(reached.due([relay(1)].into_iter(), parted + DIALLED), [relay(1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_before_the_network_began_anew_does_not_count() {
        let (mut places, now) = (Places::new(true), Instant::now());
        places.linked(relay(2), true, now);
        places.forget();
        assert_eq!(places.due([relay(1)].into_iter(), now + UNDIALLED), [], "no link");
        places.linked(relay(2), false, now);
        assert_eq!(places.due([relay(1)].into_iter(), now + UNDIALLED), [relay(1)]);
    }
}
