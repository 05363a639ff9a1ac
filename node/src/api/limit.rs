//! Token buckets: how often one token may ask, and how often one address may fail to name a token.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::bucket::Bucket;
pub use crate::bucket::Rate;

/// Buckets kept at once. Too low ⇒ a crowd of keys resets each other's history; too high ⇒ memory for
/// strangers. Full buckets are forgotten first: they are the same as none.
const MAX_BUCKETS: usize = 4_096;

/// One bucket a key.
pub(crate) struct Buckets<K> {
    rate: Rate,
    buckets: Mutex<HashMap<K, Bucket>>,
}

impl<K: Eq + Hash> Buckets<K> {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, buckets: Mutex::new(HashMap::new()) }
    }

    /// Takes one, or says how long until there is one.
    pub(crate) fn take(&self, key: K, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_BUCKETS && !buckets.contains_key(&key) {
            buckets.retain(|_, bucket| !bucket.is_full(self.rate, now));
            if buckets.len() >= MAX_BUCKETS {
                buckets.clear();
            }
        }
        let bucket = buckets.entry(key).or_insert(Bucket::full(self.rate, now));
        if bucket.take(self.rate, 1.0, now) { Ok(()) } else { Err(bucket.wait(self.rate, 1.0)) }
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
        assert!(buckets.buckets.lock().unwrap().len() <= MAX_BUCKETS);
    }
}
