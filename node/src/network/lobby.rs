//! The lobby's guest list: who waits there, for how long, and when it is time to leave. No I/O, no timer;
//! [`super::gated`] asks [`Lobby::due`] and does the closing.

use std::{collections::HashMap, net::IpAddr, time::Instant};

use libp2p::{PeerId, swarm::ConnectionId};

use super::{config::LobbyLimits, limits::FAREWELL};

/// Why a stranger does not even get a lobby connection.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LobbyFull {
    #[error("the lobby holds its {0} connections")]
    Total(usize),
    #[error("the lobby holds its {0} connections from this address")]
    Address(usize),
}

#[derive(Debug)]
pub(super) struct Lobby {
    limits: LobbyLimits,
    visits: HashMap<ConnectionId, Visit>,
}

#[derive(Debug)]
struct Visit {
    peer: PeerId,
    from: Option<IpAddr>,
    ends: Instant,
    /// Requests made so far, and how many of them await their answer.
    asked: u32,
    open: u32,
    /// One was granted: it holds a certificate.
    is_proven: bool,
    last_answer: Option<Instant>,
    /// Since when its key is allowed, so that it should come back for a full connection.
    welcome: Option<Instant>,
    is_leaving: bool,
}

impl Visit {
    fn leaves(&self) -> Option<Instant> {
        if self.is_leaving {
            return None;
        }
        match (self.welcome, self.open, self.last_answer) {
            (Some(since), 0, None) => Some(since.min(self.ends)),
            (Some(_), 0, Some(answer)) => Some((answer + FAREWELL).min(self.ends)),
            // An answer is still owed, or the key is still a stranger's.
            (Some(_) | None, _, _) => Some(self.ends),
        }
    }
}

impl Lobby {
    pub(super) fn new(limits: LobbyLimits) -> Self {
        Self { limits, visits: HashMap::new() }
    }

    pub(super) fn enter(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        from: Option<IpAddr>,
        now: Instant,
    ) -> Result<(), LobbyFull> {
        // A guest that comes again, from elsewhere or after a lost connection, leaves its old chair.
        for old in self.visits.values_mut().filter(|visit| visit.peer == peer) {
            old.ends = old.ends.min(now);
        }
        let staying = || self.visits.values().filter(|visit| !visit.is_leaving && visit.peer != peer);
        if staying().count() >= self.limits.total {
            return Err(LobbyFull::Total(self.limits.total));
        }
        if from.is_some() && staying().filter(|visit| visit.from == from).count() >= self.limits.per_address {
            return Err(LobbyFull::Address(self.limits.per_address));
        }
        let visit = Visit {
            peer,
            from,
            ends: now + self.limits.lifetime,
            asked: 0,
            open: 0,
            is_proven: false,
            last_answer: None,
            welcome: None,
            is_leaving: false,
        };
        self.visits.insert(connection, visit);
        Ok(())
    }

    pub(super) fn left(&mut self, connection: ConnectionId) -> bool {
        self.visits.remove(&connection).is_some()
    }

    /// A guest made a request; `false` once it has made too many, and then it has to go.
    pub(super) fn asked(&mut self, connection: ConnectionId, now: Instant) -> bool {
        let Some(visit) = self.visits.get_mut(&connection) else { return true };
        visit.asked = visit.asked.saturating_add(1);
        visit.open = visit.open.saturating_add(1);
        let most = if visit.is_proven { self.limits.requests } else { self.limits.unproven };
        let is_within = visit.asked <= most;
        if !is_within {
            visit.ends = now;
        }
        is_within
    }

    /// A guest's request is granted.
    pub(super) fn granted(&mut self, connection: ConnectionId) {
        if let Some(visit) = self.visits.get_mut(&connection) {
            visit.is_proven = true;
        }
    }

    /// A guest's request has been answered, or has failed.
    pub(super) fn answered(&mut self, connection: ConnectionId, now: Instant) {
        if let Some(visit) = self.visits.get_mut(&connection) {
            visit.open = visit.open.saturating_sub(1);
            visit.last_answer = Some(now);
        }
    }

    /// Guests whose key is allowed now are to come back; guests whose key no longer is may stay on.
    pub(super) fn welcome(&mut self, is_allowed: impl Fn(&PeerId) -> bool, now: Instant) {
        for visit in self.visits.values_mut() {
            visit.welcome = if is_allowed(&visit.peer) { visit.welcome.or(Some(now)) } else { None };
        }
    }

    /// Connections to close now; each is named once.
    pub(super) fn due(&mut self, now: Instant) -> Vec<(PeerId, ConnectionId)> {
        let mut due = Vec::new();
        for (connection, visit) in &mut self.visits {
            if visit.leaves().is_some_and(|at| at <= now) {
                visit.is_leaving = true;
                due.push((visit.peer, *connection));
            }
        }
        due
    }

    /// When [`Self::due`] next has something to say.
    pub(super) fn next(&self) -> Option<Instant> {
        self.visits.values().filter_map(Visit::leaves).min()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMITS: LobbyLimits =
        LobbyLimits { lifetime: Duration::from_secs(30), total: 3, per_address: 2, requests: 4, unproven: 2 };

    fn connection(n: usize) -> ConnectionId {
        ConnectionId::new_unchecked(n)
    }

    fn host(n: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, n]))
    }

    #[test]
    fn the_lobby_is_small_for_all_and_smaller_for_one_host() {
        let (mut lobby, now) = (Lobby::new(LIMITS), Instant::now());
        assert_eq!(lobby.enter(connection(1), PeerId::random(), host(1), now), Ok(()));
        assert_eq!(lobby.enter(connection(2), PeerId::random(), host(1), now), Ok(()));
        assert_eq!(lobby.enter(connection(3), PeerId::random(), host(1), now), Err(LobbyFull::Address(2)));
        assert_eq!(lobby.enter(connection(3), PeerId::random(), host(2), now), Ok(()));
        assert_eq!(lobby.enter(connection(4), PeerId::random(), host(3), now), Err(LobbyFull::Total(3)));
        assert!(lobby.left(connection(3)));
        assert_eq!(lobby.enter(connection(4), PeerId::random(), host(3), now), Ok(()));
    }

    #[test]
    fn a_guest_that_comes_again_leaves_its_old_chair() {
        let (mut lobby, now) = (Lobby::new(LIMITS), Instant::now());
        let peer = PeerId::random();
        for n in 1..=10 {
            assert_eq!(lobby.enter(connection(n), peer, host(1), now), Ok(()));
        }
        assert_eq!(lobby.due(now).len(), 9);
        assert_eq!(lobby.due(now + LIMITS.lifetime), [(peer, connection(10))]);
    }

    #[test]
    fn a_guest_leaves_after_its_time_and_is_told_once() {
        let (mut lobby, now) = (Lobby::new(LIMITS), Instant::now());
        let peer = PeerId::random();
        lobby.enter(connection(1), peer, None, now).unwrap();
        assert_eq!(lobby.next(), Some(now + LIMITS.lifetime));
        assert_eq!(lobby.due(now + Duration::from_secs(29)), []);
        assert_eq!(lobby.due(now + LIMITS.lifetime), [(peer, connection(1))]);
        assert_eq!(lobby.due(now + LIMITS.lifetime), []);
        assert_eq!(lobby.next(), None);
    }

    #[test]
    fn a_welcome_guest_leaves_at_once_unless_an_answer_is_on_its_way() {
        let (mut lobby, now) = (Lobby::new(LIMITS), Instant::now());
        let (idle, asking) = (PeerId::random(), PeerId::random());
        lobby.enter(connection(1), idle, None, now).unwrap();
        lobby.enter(connection(2), asking, None, now).unwrap();
        assert!(lobby.asked(connection(2), now));
        lobby.welcome(|_| true, now);
        assert_eq!(lobby.due(now), [(idle, connection(1))]);
        let answer = now + Duration::from_secs(2);
        lobby.answered(connection(2), answer);
        assert_eq!(lobby.due(answer), []);
        assert_eq!(lobby.due(answer + FAREWELL), [(asking, connection(2))]);
    }

    #[test]
    fn a_guest_that_asks_too_often_has_to_go() {
        let (mut lobby, now) = (Lobby::new(LIMITS), Instant::now());
        let peer = PeerId::random();
        lobby.enter(connection(1), peer, None, now).unwrap();
        assert!(lobby.asked(connection(1), now) && lobby.asked(connection(1), now));
        assert!(!lobby.asked(connection(1), now));
        assert_eq!(lobby.due(now), [(peer, connection(1))]);
    }

    #[test]
    fn a_guest_whose_request_was_granted_may_ask_more_of_them() {
        let (mut lobby, now) = (Lobby::new(LIMITS), Instant::now());
        let peer = PeerId::random();
        lobby.enter(connection(1), peer, None, now).unwrap();
        assert!(lobby.asked(connection(1), now));
        lobby.granted(connection(1));
        assert_eq!((0..10).filter(|_| lobby.asked(connection(1), now)).count(), 3);
        assert_eq!(lobby.due(now), [(peer, connection(1))]);
    }
}
