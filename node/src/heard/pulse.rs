//! Notices that time passed unseen: a suspended machine, a clock that was set, a loop that stood still.

use std::time::Duration;

use belfry_proto::time::Timestamp;
use tokio::time::Instant;

/// How far wall and monotonic clock may part between two beats: more is a suspended machine or a clock that was
/// set.
const JUMP: Duration = Duration::from_secs(5);

/// The latest beat by both clocks, and how long one may wait for the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pulse {
    most: Duration,
    last: Option<(Instant, Timestamp)>,
}

impl Pulse {
    /// One that is off once no beat has come for `most`.
    pub(super) const fn new(most: Duration) -> Self {
        Self { most, last: None }
    }

    /// Whether much more time than expected has passed since the latest beat by either clock, or the two differ.
    /// (A monotonic clock stands still in a suspended machine; a stopped process misses both.)
    pub(super) fn is_off(&self, now: Instant, wall: Timestamp) -> bool {
        let Some((at, then)) = self.last else { return false };
        let passed = now.saturating_duration_since(at);
        let jump = i128::from(wall.as_micros()) - i128::from(then.as_micros());
        let micros = |duration: Duration| i128::try_from(duration.as_micros()).unwrap_or(i128::MAX);
        (jump - micros(passed)).abs() > micros(JUMP) || passed > self.most
    }

    /// To be called every second or so. True if it was off.
    pub(super) fn beat(&mut self, now: Instant, wall: Timestamp) -> bool {
        let is_off = self.is_off(now, wall);
        self.last = Some((now, wall));
        is_off
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_jump_is_a_clock_that_was_set_a_suspended_machine_or_a_stopped_process() {
        let (mut pulse, mut now) = (Pulse::new(60 * SECOND), Instant::now());
        let mut wall = Timestamp::from_micros(1_000_000_000_000);
        let mut beat = |mono: Duration, forward: Duration, back: Duration| {
            now += mono;
            wall = wall.saturating_add(forward).saturating_sub(back);
            pulse.beat(now, wall)
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
