//! Whether our admin log may be taken as the present one: what whoever seals asks first.
//!
//! A reader that was revoked while we were alone must not get what is sealed afterwards. So the gate follows the
//! present: it is open while somebody is connected whose admin log we have all of, and for a moment after the last
//! of them went.
//!
//! ```text
//! no hello yet ─▶ closed                      ┌─▶ level ─▶ open
//! connected, answered ─▶ it announces a log ──┤
//!                                             └─▶ more than ours ─▶ closed while that is fetched; a peer that
//!                                                                   serves less than it announces holds us up
//!                                                                   for `doubt`, and not at all beside a level one
//! the last one left ─▶ open for `grace` ─▶ closed until the next hello
//! the clock jumped (suspended, set) ─▶ closed until the next hello
//! ```

use std::{collections::BTreeMap, time::Duration};

use belfry_proto::{crypto::sign::PublicKey, id::RosterVersion, time::Timestamp};
use tokio::time::Instant;

/// How far wall and monotonic clock may part between two beats: more is a suspended machine or a clock that was
/// set.
const JUMP: Duration = Duration::from_secs(5);

/// What the gate lets wait, and how long.
#[derive(Clone, Copy, Debug)]
pub struct GateTimes {
    /// How long after the last level peer left the log still counts as known. Restarts and lost lines are shorter;
    /// every second is one longer in which a revocation passes us by.
    pub grace: Duration,
    /// How long peers that announce more than they serve can hold us up. A pull fails within fifteen seconds.
    pub doubt: Duration,
}

impl Default for GateTimes {
    fn default() -> Self {
        Self { grace: Duration::from_secs(60), doubt: Duration::from_secs(30) }
    }
}

/// Whether it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// The admin log is known as far as anybody at hand knows it.
    Open,
    /// Nobody has answered a hello yet.
    NoHello,
    /// Nobody is left who did, or too much time passed unseen.
    Lost,
    /// Those at hand announce a longer admin log, or another one, and have not served it yet.
    Behind,
}

/// The log that a peer announced: how far, and under which charter.
pub(super) type Announced = (RosterVersion, u64);

/// Those who admit us and answered, and what is known by them.
#[derive(Clone, Debug, Default)]
pub(super) struct Company {
    times: GateTimes,
    /// What each announced beyond ours; nothing if it is level.
    peers: BTreeMap<PublicKey, Option<Announced>>,
    was_level: bool,
    /// Since when nobody level is there, if somebody was.
    lost: Option<Instant>,
    /// Since when those who are there announce more than we have.
    doubted: Option<Instant>,
}

impl Company {
    pub(super) fn new(times: GateTimes) -> Self {
        Self { times, ..Self::default() }
    }

    pub(super) fn gate(&self, now: Instant) -> Gate {
        let passed = |since: Option<Instant>, most| since.is_some_and(|at| now.duration_since(at) >= most);
        if self.is_level() {
            return Gate::Open;
        }
        if !self.peers.is_empty() {
            return if passed(self.doubted, self.times.doubt) { Gate::Open } else { Gate::Behind };
        }
        match self.lost {
            Some(_) if !passed(self.lost, self.times.grace) => Gate::Open,
            _ if self.was_level => Gate::Lost,
            _ => Gate::NoHello,
        }
    }

    /// We have all that this peer has.
    pub(super) fn level(&mut self, peer: PublicKey) {
        self.peers.insert(peer, None);
        (self.was_level, self.lost, self.doubted) = (true, None, None);
    }

    /// The peer announced what we have not.
    pub(super) fn behind(&mut self, peer: PublicKey, announced: Announced, now: Instant) {
        let long_ago = |at| now.duration_since(at) >= self.times.doubt + self.times.grace;
        if self.peers.is_empty() && self.doubted.is_some_and(long_ago) {
            self.doubted = None;
        }
        self.peers.insert(peer, Some(announced));
        if !self.is_level() {
            self.doubted.get_or_insert(now);
        }
    }

    /// The peer is gone, or admits us no more.
    pub(super) fn left(&mut self, peer: &PublicKey, now: Instant) {
        let was_level = self.peers.remove(peer) == Some(None);
        if was_level && !self.is_level() {
            self.lost = Some(now);
        }
    }

    /// Our log has grown: who announced no more than `covers` picks is level.
    pub(super) fn grown(&mut self, covers: impl Fn(&Announced) -> bool) {
        let level: Vec<PublicKey> = self
            .peers
            .iter()
            .filter(|(_, announced)| announced.as_ref().is_some_and(&covers))
            .map(|(peer, _)| *peer)
            .collect();
        level.into_iter().for_each(|peer| self.level(peer));
    }

    /// Time passed unseen: whatever was known is of then.
    pub(super) fn jumped(&mut self) {
        self.peers.clear();
        (self.lost, self.doubted) = (None, None);
    }

    fn is_level(&self) -> bool {
        self.peers.values().any(Option::is_none)
    }
}

/// Notices that time passed unseen.
#[derive(Debug, Default)]
pub(super) struct Pulse(Option<(Instant, Timestamp)>);

impl Pulse {
    /// To be called every second or so: true if much more than that has passed by either clock, or if they differ.
    /// (A monotonic clock stands still in a suspended machine; a stopped process misses both.)
    pub(super) fn jumped(&mut self, now: Instant, wall: Timestamp, most: Duration) -> bool {
        let Some((at, then)) = self.0.replace((now, wall)) else { return false };
        let passed = now.duration_since(at);
        let jump = i128::from(wall.as_micros()) - i128::from(then.as_micros());
        let micros = |duration: Duration| i128::try_from(duration.as_micros()).unwrap_or(i128::MAX);
        (jump - micros(passed)).abs() > micros(JUMP) || passed > most
    }
}

#[cfg(test)]
mod tests {
    use belfry_proto::{
        crypto::sign::SigningKey,
        id::{EntryId, Height},
    };

    use super::*;

    const TIMES: GateTimes = GateTimes { grace: Duration::from_secs(60), doubt: Duration::from_secs(30) };
    const SECOND: Duration = Duration::from_secs(1);

    fn peer(seed: u8) -> PublicKey {
        SigningKey::from_seed(&[seed; 32]).public()
    }

    fn version(height: u64) -> Announced {
        (RosterVersion { height: Height::new(height), head: EntryId::new([1; 32]) }, 1)
    }

    #[tokio::test(start_paused = true)]
    async fn who_loses_every_peer_seals_for_a_while_and_then_waits_for_a_hello() {
        let (mut company, now) = (Company::new(TIMES), Instant::now());
        assert_eq!(company.gate(now), Gate::NoHello);
        company.level(peer(1));
        company.level(peer(2));
        assert_eq!(company.gate(now), Gate::Open);
        company.left(&peer(1), now);
        let later = now + 1000 * SECOND;
        assert_eq!(company.gate(later), Gate::Open, "the other one would have told");
        company.left(&peer(2), later);
        assert_eq!(company.gate(later + 59 * SECOND), Gate::Open);
        assert_eq!(company.gate(later + 60 * SECOND), Gate::Lost);
        company.level(peer(1));
        assert_eq!(company.gate(later + 61 * SECOND), Gate::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_announces_more_than_it_serves_holds_nobody_up_beside_a_level_one() {
        let (mut company, now) = (Company::new(TIMES), Instant::now());
        company.behind(peer(1), version(9), now);
        assert_eq!(company.gate(now), Gate::Behind);
        company.level(peer(2));
        assert_eq!(company.gate(now), Gate::Open);
        company.behind(peer(1), version(10), now);
        assert_eq!(company.gate(now), Gate::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn with_liars_alone_the_wait_is_bounded_however_they_come_and_go() {
        let (mut company, now) = (Company::new(TIMES), Instant::now());
        company.behind(peer(1), version(9), now);
        for second in 1..30 {
            company.left(&peer(1), now + second * SECOND);
            company.behind(peer(2), version(9 + u64::from(second)), now + second * SECOND);
            assert_eq!(company.gate(now + second * SECOND), Gate::Behind);
        }
        assert_eq!(company.gate(now + 30 * SECOND), Gate::Open);
        // The log of a liar that turns out to be true is waited for anew.
        company.grown(|(version, _)| version.height.get() <= 40);
        company.behind(peer(2), version(50), now + 40 * SECOND);
        assert_eq!(company.gate(now + 40 * SECOND), Gate::Behind);
    }

    #[tokio::test(start_paused = true)]
    async fn the_gate_opens_with_the_record_that_was_announced_whoever_brings_it() {
        let (mut company, now) = (Company::new(TIMES), Instant::now());
        company.behind(peer(1), version(9), now);
        company.grown(|(version, _)| version.height.get() <= 8);
        assert_eq!(company.gate(now), Gate::Behind);
        company.grown(|(version, _)| version.height.get() <= 9);
        assert_eq!(company.gate(now), Gate::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn a_suspended_machine_waits_for_a_hello_though_its_connections_seem_to_live() {
        let (mut company, now) = (Company::new(TIMES), Instant::now());
        company.level(peer(1));
        company.jumped();
        assert_eq!(company.gate(now), Gate::Lost);
        company.level(peer(1));
        assert_eq!(company.gate(now), Gate::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn a_jump_is_a_clock_that_was_set_a_suspended_machine_or_a_stopped_process() {
        let (mut pulse, mut now) = (Pulse::default(), Instant::now());
        let mut wall = Timestamp::from_micros(1_000_000_000_000);
        let mut beat = |mono: Duration, forward: Duration, back: Duration| {
            now += mono;
            wall = wall.saturating_add(forward).saturating_sub(back);
            pulse.jumped(now, wall, 60 * SECOND)
        };
        assert!(!beat(SECOND, SECOND, Duration::ZERO));
        assert!(!beat(SECOND, SECOND, Duration::ZERO));
        assert!(!beat(20 * SECOND, 21 * SECOND, Duration::ZERO), "a busy machine, a clock that is steered");
        assert!(beat(SECOND, 3600 * SECOND, Duration::ZERO), "suspended, or set forward");
        assert!(!beat(SECOND, SECOND, Duration::ZERO));
        assert!(beat(SECOND, Duration::ZERO, 3600 * SECOND), "set back");
        assert!(beat(61 * SECOND, 61 * SECOND, Duration::ZERO), "stopped");
    }
}
