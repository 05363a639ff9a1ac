//! The one place that asks the operating system what time it is, and by which clock its users live.

use std::{
    env, fs,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use belfry_proto::time::Timestamp;
use jiff::tz::TimeZone;

/// Where a machine keeps its zone, and all others.
const LOCAL: &str = "/etc/localtime";
const ZONES: &str = "/usr/share/zoneinfo";

/// Now, by the system clock; the epoch if the clock stands before it.
#[must_use]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// The zone of this machine's users: what `TZ` says, else the machine's own; UTC where neither can be read.
#[must_use]
pub fn zone() -> TimeZone {
    let stated = env::var("TZ").ok().filter(|stated| !stated.is_empty());
    let found = match stated.as_deref().map(|stated| stated.trim_start_matches(':')) {
        None => read(Path::new(LOCAL)),
        Some(rule) => TimeZone::posix(rule).ok().or_else(|| read(&Path::new(ZONES).join(rule))),
    };
    found.unwrap_or(TimeZone::UTC)
}

fn read(zone: &Path) -> Option<TimeZone> {
    TimeZone::tzif("local", &fs::read(zone).ok()?).ok()
}
