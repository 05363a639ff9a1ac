//! Keys that one member may push: each costs a decapsulation, and a row for ever.

use std::collections::BTreeMap;

use belfry_proto::id::MemberId;
use tokio::time::Instant;

/// Pushed keys of one member in a burst: a restart makes a key for each of its groups and audiences.
const BURST: f64 = 128.0;
/// And per hour over time: an honest key lasts until a reader leaves, or seven days.
const PER_HOUR: f64 = 64.0;

/// Token buckets, one a member; members are bounded by the roster.
#[derive(Debug, Default)]
pub(super) struct Pushes(BTreeMap<MemberId, (f64, Instant)>);

impl Pushes {
    /// Takes one; false if the member has none left.
    pub(super) fn take(&mut self, member: MemberId, now: Instant) -> bool {
        let (tokens, last) = self.0.entry(member).or_insert((BURST, now));
        *tokens = (*tokens + now.duration_since(*last).as_secs_f64() / 3_600.0 * PER_HOUR).min(BURST);
        *last = now;
        let fits = *tokens >= 1.0;
        if fits {
            *tokens -= 1.0;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_member_that_pushes_without_end_is_not_listened_to() {
        let (alice, bob) = (MemberId::new([1; 16]), MemberId::new([2; 16]));
        let (mut pushes, now) = (Pushes::default(), Instant::now());
        assert_eq!((0..10_000).filter(|_| pushes.take(alice, now)).count(), 128);
        assert!(pushes.take(bob, now));
        let hour = now + Duration::from_secs(3_600);
        assert_eq!((0..10_000).filter(|_| pushes.take(alice, hour)).count(), 64);
    }
}
