//! The one place that asks the operating system what time it is.

use std::time::{SystemTime, UNIX_EPOCH};

use belfry_proto::time::Timestamp;

/// Now, by the system clock; the epoch if the clock stands before it.
#[must_use]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}
