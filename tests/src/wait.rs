//! Waiting for what must become true, and telling what stood there last if it does not.

use std::time::Duration;

use anyhow::bail;
use tokio::time::Instant;

use crate::Member;

/// Longer than anything here takes on a busy machine; only a failing story waits for it.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks: short against what a person notices, long against what a look costs.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks until `look` gives a value; what it says instead is the last seen state.
///
/// # Errors
/// After [`PATIENCE`], naming `what` and what was seen last.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Result<T, String>) -> anyhow::Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match look().await {
            Ok(found) => return Ok(found),
            Err(seen) if Instant::now() >= deadline => {
                bail!("waited {PATIENCE:?} for {what}; last seen: {seen}")
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Turns a condition into what [`until`] looks for.
///
/// # Errors
/// `seen`, if it does not hold.
pub fn that(holds: bool, seen: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(seen()) }
}

/// Waits until every two of `members` admit each other and know each other's topics.
///
/// # Errors
/// As [`until`].
pub async fn meet(members: &[&Member]) -> anyhow::Result<()> {
    for member in members {
        for other in members.iter().filter(|other| other.node() != member.node()) {
            member.meets(other).await?;
        }
    }
    Ok(())
}
