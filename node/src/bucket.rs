//! Token buckets: so many at once, so many a second. What budgets are made of.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

/// A rate with its burst.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Tokens regained a second.
    pub per_second: f64,
    /// Tokens that may be taken at once.
    pub burst: f64,
}

/// What is left of one rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    pub(crate) const fn full(rate: Rate, now: Instant) -> Self {
        Self { left: rate.burst, at: now }
    }

    /// What there is now.
    pub(crate) fn fill(&mut self, rate: Rate, now: Instant) -> f64 {
        (self.left, self.at) = (self.filled(rate, now), now);
        self.left
    }

    /// Takes `cost`, as much as it may overdraw.
    pub(crate) fn spend(&mut self, cost: f64) {
        self.left -= cost;
    }

    /// Takes `cost`; false, and nothing taken, if there is less.
    pub(crate) fn take(&mut self, rate: Rate, cost: f64, now: Instant) -> bool {
        let covers = self.fill(rate, now) >= cost;
        if covers {
            self.spend(cost);
        }
        covers
    }

    /// How long until there is `cost`.
    pub(crate) fn wait(&self, rate: Rate, cost: f64) -> Duration {
        Duration::try_from_secs_f64((cost - self.left).max(0.0) / rate.per_second).unwrap_or(Duration::MAX)
    }

    /// Whether it is as good as a new one.
    pub(crate) fn is_full(&self, rate: Rate, now: Instant) -> bool {
        self.filled(rate, now) >= rate.burst
    }

    fn filled(&self, rate: Rate, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        (self.left + passed * rate.per_second).min(rate.burst)
    }
}

/// One bucket a key. Those that are full again are as good as new, and are forgotten when there are many.
#[derive(Debug)]
pub(crate) struct Buckets<K> {
    rate: Rate,
    buckets: BTreeMap<K, Bucket>,
    /// Buckets from which on full ones are looked for.
    many: usize,
}

/// Buckets kept without looking for full ones: more than a coalition has nodes.
const MANY: usize = 1024;

impl<K: Ord> Buckets<K> {
    pub(crate) const fn new(rate: Rate) -> Self {
        Self { rate, buckets: BTreeMap::new(), many: MANY }
    }

    /// Takes `cost` from the key's bucket; false, and nothing taken, if it holds less.
    pub(crate) fn take(&mut self, key: K, cost: f64, now: Instant) -> bool {
        let rate = self.rate;
        if self.buckets.len() > self.many {
            self.buckets.retain(|_, bucket| !bucket.is_full(rate, now));
            self.many = MANY.max(self.buckets.len().saturating_mul(2));
        }
        self.buckets.entry(key).or_insert(Bucket::full(rate, now)).take(rate, cost, now)
    }

    /// Whether the key's bucket holds `cost`, without a trace of having looked.
    pub(crate) fn has(&self, key: &K, cost: f64, now: Instant) -> bool {
        self.buckets.get(key).map_or(self.rate.burst, |bucket| bucket.filled(self.rate, now)) >= cost
    }

    /// Undoes a [`Self::take`].
    pub(crate) fn give_back(&mut self, key: &K, cost: f64) {
        if let Some(bucket) = self.buckets.get_mut(key) {
            bucket.spend(-cost);
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.buckets.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 2.0, burst: 10.0 };

    #[tokio::test(start_paused = true)]
    async fn a_bucket_runs_dry_fills_at_its_pace_and_is_nobody_elses() {
        let (mut buckets, now) = (Buckets::new(RATE), Instant::now());
        let take =
            |buckets: &mut Buckets<u32>, key, now| (0..100).filter(|_| buckets.take(key, 1.0, now)).count();
        assert_eq!(take(&mut buckets, 1, now), 10);
        assert_eq!(take(&mut buckets, 2, now), 10);
        assert_eq!(take(&mut buckets, 1, now + Duration::from_secs(3)), 6);
        assert_eq!(take(&mut buckets, 1, now + Duration::from_secs(3600)), 10);
        let now = now + Duration::from_secs(3600);
        assert!(!buckets.has(&1, 1.0, now) && buckets.has(&1, 1.0, now + Duration::from_secs(1)));
        assert!(buckets.has(&3, 10.0, now) && !buckets.has(&3, 11.0, now));
        assert_eq!(buckets.len(), 2, "who is only looked at is not remembered");
    }

    #[tokio::test(start_paused = true)]
    async fn full_buckets_are_forgotten_and_empty_ones_are_not() {
        let (mut buckets, now) = (Buckets::new(RATE), Instant::now());
        assert!(buckets.take(0, 10.0, now));
        for key in 1..10_000 {
            let later = now + Duration::from_millis(key);
            buckets.take(key, 1.0, later);
        }
        assert!(buckets.buckets.len() < 3 * MANY, "{}", buckets.buckets.len());
        let (mut buckets, now) = (Buckets::new(RATE), Instant::now());
        assert!((0..5_000_u64).all(|key| buckets.take(key, 10.0, now)));
        assert!(!buckets.take(0, 1.0, now), "no absolution by crowding");
    }
}
