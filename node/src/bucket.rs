//! Token buckets: so many at once, so many a second. What budgets are made of.

use std::collections::BTreeMap;

use tokio::time::Instant;

/// What a bucket holds, and how fast it fills.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pace {
    /// Tokens a second.
    pub(crate) per_second: f64,
    /// Tokens of a full bucket.
    pub(crate) burst: f64,
}

/// One bucket a key. Those that are full again are as good as new, and are forgotten when there are many.
#[derive(Debug)]
pub(crate) struct Buckets<K> {
    pace: Pace,
    buckets: BTreeMap<K, Bucket>,
    /// Buckets from which on full ones are looked for.
    many: usize,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

/// Buckets kept without looking for full ones: more than a coalition has nodes.
const MANY: usize = 1024;

impl<K: Copy + Ord> Buckets<K> {
    pub(crate) const fn new(pace: Pace) -> Self {
        Self { pace, buckets: BTreeMap::new(), many: MANY }
    }

    /// Takes `cost` from the key's bucket; false, and nothing taken, if it holds less.
    pub(crate) fn take(&mut self, key: K, cost: f64, now: Instant) -> bool {
        let pace = self.pace;
        if self.buckets.len() > self.many {
            self.buckets.retain(|_, bucket| bucket.filled(pace, now) < pace.burst);
            self.many = MANY.max(self.buckets.len().saturating_mul(2));
        }
        let bucket = self.buckets.entry(key).or_insert(Bucket { tokens: pace.burst, at: now });
        bucket.tokens = bucket.filled(pace, now);
        bucket.at = now;
        let covers = bucket.tokens >= cost;
        if covers {
            bucket.tokens -= cost;
        }
        covers
    }
}

impl Bucket {
    fn filled(&self, pace: Pace, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        (self.tokens + passed * pace.per_second).min(pace.burst)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PACE: Pace = Pace { per_second: 2.0, burst: 10.0 };

    #[tokio::test(start_paused = true)]
    async fn a_bucket_runs_dry_fills_at_its_pace_and_is_nobody_elses() {
        let (mut buckets, now) = (Buckets::new(PACE), Instant::now());
        let take =
            |buckets: &mut Buckets<u32>, key, now| (0..100).filter(|_| buckets.take(key, 1.0, now)).count();
        assert_eq!(take(&mut buckets, 1, now), 10);
        assert_eq!(take(&mut buckets, 2, now), 10);
        assert_eq!(take(&mut buckets, 1, now + Duration::from_secs(3)), 6);
        assert_eq!(take(&mut buckets, 1, now + Duration::from_secs(3600)), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn full_buckets_are_forgotten_and_empty_ones_are_not() {
        let (mut buckets, now) = (Buckets::new(PACE), Instant::now());
        assert!(buckets.take(0, 10.0, now));
        for key in 1..10_000 {
            let later = now + Duration::from_millis(key);
            buckets.take(key, 1.0, later);
        }
        assert!(buckets.buckets.len() < 3 * MANY, "{}", buckets.buckets.len());
        let (mut buckets, now) = (Buckets::new(PACE), Instant::now());
        assert!((0..5_000_u64).all(|key| buckets.take(key, 10.0, now)));
        assert!(!buckets.take(0, 1.0, now), "no absolution by crowding");
    }
}
