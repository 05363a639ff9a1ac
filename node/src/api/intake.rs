//! Room for bundles on their way in: bounded over all requests, whichever way in they take.

use axum::http::HeaderMap;
use belfry_proto::limits;
use tokio::sync::SemaphorePermit;

use super::{app::App, body, problem::Problem};

/// Least room that one submission takes: what a request costs besides its bundle.
const LEAST_ROOM: u64 = 64 << 10;

/// Room for a bundle among those taken in at once; waiting would hold their bytes in memory instead. One that
/// does not say how long it is takes the room of the largest.
pub(crate) fn place<'a>(app: &'a App, headers: &HeaderMap) -> Result<SemaphorePermit<'a>, Problem> {
    let largest = limits::MAX_BUNDLE as u64;
    let bytes = body::announced(headers).unwrap_or(largest).clamp(LEAST_ROOM, largest);
    let room = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
    app.submissions
        .try_acquire_many(room)
        .map_err(|_| Problem::busy("submissions-busy", "other bundles are being taken in; try again"))
}
