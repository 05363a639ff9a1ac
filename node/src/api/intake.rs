//! What every way in has: room for bundles, bounded over all requests, and the client's own name for what it hands in.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName};
use belfry_proto::limits;
use tokio::sync::OwnedSemaphorePermit;

use super::{app::App, body, params::bad, problem::Problem};
use crate::query::Principal;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Bytes of a client's idempotency key: a UUID, or a file name with a hash.
const MAX_IDEMPOTENCY_KEY: usize = 200;

/// Least room that one submission takes: what a request costs besides its bundle.
const LEAST_ROOM: u64 = 64 << 10;

/// Room for a bundle among those taken in at once; waiting would hold their bytes in memory instead. One that
/// does not say how long it is takes the room of the largest.
pub(crate) fn place(app: &App, headers: &HeaderMap) -> Result<Place, Problem> {
    let largest = limits::MAX_BUNDLE as u64;
    let bytes = body::announced(headers).unwrap_or(largest).clamp(LEAST_ROOM, largest);
    let room = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
    Arc::clone(&app.submissions)
        .try_acquire_many_owned(room)
        .map(Place)
        .map_err(|_| Problem::busy("submissions-busy", "other bundles are being taken in; try again"))
}

/// Room that is taken until this is dropped.
pub(crate) struct Place(OwnedSemaphorePermit);

impl Place {
    /// Does `work` in this room, to its end: a client that goes away ends the request's own task, and what was begun on
    /// other threads would go on in room that counts as free.
    pub(crate) async fn during<T: Send + 'static>(
        self,
        work: impl Future<Output = Result<T, Problem>> + Send + 'static,
    ) -> Result<T, Problem> {
        let done = tokio::spawn(async move {
            let done = work.await;
            drop(self.0);
            done
        });
        done.await.map_err(|error| Problem::internal(&error))?
    }
}

/// The client's key under its token's id: two tools that both count from 1 must not meet.
pub(crate) fn idempotency_key(principal: &Principal, headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    match value.to_str().map(str::trim) {
        Ok(key) if !key.is_empty() && key.len() <= MAX_IDEMPOTENCY_KEY => {
            Ok(Some(format!("{}:{key}", principal.token())))
        }
        _ => Err(bad("Idempotency-Key", &format!("is 1 to {MAX_IDEMPOTENCY_KEY} visible ASCII characters"))),
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::{Semaphore, oneshot};

    use super::*;

    #[tokio::test]
    async fn work_keeps_its_room_when_whoever_asked_for_it_is_gone() {
        let rooms = Arc::new(Semaphore::new(1));
        let place = Place(Arc::clone(&rooms).try_acquire_many_owned(1).unwrap());
        let (end, ends) = oneshot::channel::<()>();
        let (begin, begins) = oneshot::channel::<()>();
        let asking = tokio::spawn(place.during(async move {
            begin.send(()).unwrap();
            ends.await.unwrap();
            Ok(())
        }));
        begins.await.unwrap();
        asking.abort();
        assert!(asking.await.unwrap_err().is_cancelled());
        assert_eq!(rooms.available_permits(), 0, "the work goes on");
        end.send(()).unwrap();
        let _room = rooms.acquire().await.unwrap();
    }
}
