//! What every way in has: room for bundles, bounded over all requests, and the client's own name for what it hands in.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName},
};
use belfry_proto::limits;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{app::App, body, params::bad, problem::Problem};
use crate::query::Principal;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Bytes of a client's idempotency key: a UUID, or a file name with a hash.
const MAX_IDEMPOTENCY_KEY: usize = 200;

/// Least room that one submission takes: what a request costs besides its bundle.
const LEAST_ROOM: usize = 64 << 10;
/// Most room that one submission is charged: a table may become more, up to what an import may hold. Lower ⇒ the largest are
/// charged for half of what they hold, higher ⇒ they find no room beside others.
const MOST_ROOM: usize = 2 * limits::MAX_BUNDLE;

/// Room among those that are taken in at once; waiting would hold their bytes in memory instead. It grows with what comes,
/// and what is only announced takes none; but who announces what there is no room for now is spared the sending.
pub(crate) fn place(app: &App, headers: &HeaderMap) -> Result<Place, Problem> {
    let place = Place::of(&app.submissions).ok_or_else(busy)?;
    let announced = body::announced(headers).map_or(0, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    let more = units(announced.min(limits::MAX_BUNDLE)).saturating_sub(units(LEAST_ROOM));
    if more as usize > app.submissions.available_permits() { Err(busy()) } else { Ok(place) }
}

/// As the room is counted.
fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
}

pub(crate) fn busy() -> Problem {
    Problem::busy("submissions-busy", "other bundles are being taken in; try again")
}

/// Room that is taken until this is dropped; clones share it.
#[derive(Clone)]
pub(crate) struct Place(Arc<Mutex<Held>>);

struct Held {
    room: Arc<Semaphore>,
    permit: OwnedSemaphorePermit,
    /// What it is for.
    bytes: usize,
}

impl Place {
    fn of(room: &Arc<Semaphore>) -> Option<Self> {
        let permit = Arc::clone(room).try_acquire_many_owned(units(LEAST_ROOM)).ok()?;
        Some(Self(Arc::new(Mutex::new(Held { room: Arc::clone(room), permit, bytes: 0 }))))
    }

    /// Whether there is room for so many bytes more; it is taken then.
    pub(crate) fn grow(&self, bytes: usize) -> bool {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.bytes = held.bytes.saturating_add(bytes);
        let have = u32::try_from(held.permit.num_permits()).unwrap_or(u32::MAX);
        let more = units(held.bytes.min(MOST_ROOM)).saturating_sub(have);
        if more == 0 {
            return true;
        }
        match Arc::clone(&held.room).try_acquire_many_owned(more) {
            Ok(more) => {
                held.permit.merge(more);
                true
            }
            Err(_) => false,
        }
    }

    /// A body, for which room is taken as it comes.
    pub(crate) async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Problem> {
        let take = |bytes| if self.grow(bytes) { Ok(()) } else { Err(busy()) };
        body::bytes_within(headers, body, limits::MAX_BUNDLE, take).await
    }

    /// Does `work` in this room, to its end: a client that goes away ends the request's own task, and what was begun on
    /// other threads would go on in room that counts as free.
    pub(crate) async fn during<T: Send + 'static>(
        self,
        work: impl Future<Output = Result<T, Problem>> + Send + 'static,
    ) -> Result<T, Problem> {
        let done = tokio::spawn(async move {
            let done = work.await;
            drop(self);
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
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn work_keeps_its_room_when_whoever_asked_for_it_is_gone() {
        let rooms = Arc::new(Semaphore::new(units(LEAST_ROOM) as usize));
        let place = Place::of(&rooms).unwrap();
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

    #[test]
    fn room_grows_with_what_comes_up_to_a_bound_and_is_given_back_whole() {
        let most = units(MOST_ROOM) as usize;
        let rooms = Arc::new(Semaphore::new(most + 32));
        let place = Place::of(&rooms).unwrap();
        let taken = || most + 32 - rooms.available_permits();
        assert!(place.grow(10) && taken() == 64, "the least holds it");
        assert!(place.grow(LEAST_ROOM) && taken() == 65);
        assert!(place.clone().grow(MOST_ROOM) && taken() == most);
        assert!(place.grow(usize::MAX) && taken() == most, "what an import may hold at most bounds the rest");
        assert!(Place::of(&rooms).is_none(), "less than the least is left");
        drop(place);
        assert_eq!(taken(), 0);
        let (one, two) = (Place::of(&rooms).unwrap(), Place::of(&rooms));
        assert!(one.grow(MOST_ROOM - LEAST_ROOM) && two.is_some_and(|two| !two.grow(200 << 10)));
    }
}
