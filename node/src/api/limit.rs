//! Token buckets: how often one token may ask, and how often one address may fail to name a token.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Buckets kept at once. Too low ⇒ a crowd of keys resets each other's history; too high ⇒ memory for
/// strangers. Full buckets are forgotten first: they are the same as none.
const MAX_BUCKETS: usize = 4_096;

/// A rate with its burst.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Requests regained a second.
    pub per_second: f64,
    /// Requests that may come at once.
    pub burst: f64,
}

/// One bucket a key.
pub(crate) struct Buckets<K> {
    rate: Rate,
    levels: Mutex<HashMap<K, Level>>,
}

struct Level {
    left: f64,
    at: Instant,
}

impl<K: Eq + Hash> Buckets<K> {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, levels: Mutex::new(HashMap::new()) }
    }

    /// Takes one, or says how long until there is one.
    pub(crate) fn take(&self, key: K, now: Instant) -> Result<(), Duration> {
        let mut levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        if levels.len() >= MAX_BUCKETS && !levels.contains_key(&key) {
            levels.retain(|_, level| self.refilled(level, now) < self.rate.burst);
            if levels.len() >= MAX_BUCKETS {
                levels.clear();
            }
        }
        let level = levels.entry(key).or_insert(Level { left: self.rate.burst, at: now });
        level.left = self.refilled(level, now);
        level.at = now;
        if level.left >= 1.0 {
            level.left -= 1.0;
            return Ok(());
        }
        Err(Duration::try_from_secs_f64((1.0 - level.left) / self.rate.per_second).unwrap_or(Duration::MAX))
    }

    fn refilled(&self, level: &Level, now: Instant) -> f64 {
        let gained = now.saturating_duration_since(level.at).as_secs_f64() * self.rate.per_second;
        (level.left + gained).min(self.rate.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_refills_alone() {
        let buckets = Buckets::new(Rate { per_second: 2.0, burst: 3.0 });
        let now = Instant::now();
        for _ in 0..3 {
            assert_eq!(buckets.take("a", now), Ok(()));
        }
        let wait = buckets.take("a", now).unwrap_err();
        assert_eq!(wait, Duration::from_millis(500));
        assert_eq!(buckets.take("b", now), Ok(()));
        assert_eq!(buckets.take("a", now + wait), Ok(()));
    }

    #[test]
    fn strangers_do_not_grow_the_table() {
        let buckets = Buckets::new(Rate { per_second: 0.001, burst: 1.0 });
        let now = Instant::now();
        for key in 0..3 * MAX_BUCKETS {
            let _ = buckets.take(key, now);
        }
        assert!(buckets.levels.lock().unwrap().len() <= MAX_BUCKETS);
    }
}
