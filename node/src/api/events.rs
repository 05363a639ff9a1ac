//! The live stream: server-sent events with durable ids (WHATWG HTML §9.2).
//!
//! A stream reads the store's feed, never a queue in memory: a slow or returning reader loses nothing
//! that the feed still holds, and costs nothing while it is slow. `Last-Event-ID` resumes it; what
//! cannot be resumed is told as a `gap` event. Every quarter minute without news a `heartbeat` carries
//! the position, so that even a reader of a quiet group resumes from near the head.
//!
//! With `sync=true`, `sync` events tell the node's progress as `GET /api/v1/sync` does, whenever it changed and no more
//! than once a second. They are of the moment: nothing of them is resumed.
//!
//! It ends when the server stops, and within a heartbeat of its token's end.

use std::{
    collections::{BTreeSet, VecDeque},
    convert::Infallible,
    sync::Arc,
    time::Duration,
};

use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, HeaderName, Uri},
    response::{
        IntoResponse, Response,
        sse::{Event, Sse},
    },
};
use serde_json::json;
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::Instant,
};

use super::{
    app::App,
    params::{Params, bad},
    problem::Problem,
    rest::{objects::ObjectJson, sync},
};
use crate::{
    clock,
    query::{Interest, Principal},
};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Silence after which a heartbeat is sent; proxies commonly cut at 30 s or 60 s.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How often progress is looked at for a stream that asked for it.
const PROGRESS: Duration = Duration::from_secs(1);

/// `GET /api/v1/events`, with `group`, `type`, `class` and `purpose` (several each), `after` and `sync`.
///
/// Without `after` or `Last-Event-ID` it starts at the head; `after=0` starts at the beginning.
pub(in crate::api) async fn events(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut params = Params::of(&uri)?;
    let names = params.list("group")?;
    let kinds: BTreeSet<String> = params.list("type")?.into_iter().collect();
    let stated = params.stated("class", "purpose")?;
    let after = params.one("after")?;
    let tells_sync = params.flag("sync")?;
    params.finish()?;
    let mut groups = BTreeSet::new();
    for name in &names {
        groups.insert(app.ports.query.readable(&principal, name)?.group());
    }
    // The browser's own header wins: it is newer than the address it reconnects to.
    let resumed = headers.get(LAST_EVENT_ID).map(|value| value.to_str().unwrap_or("?").to_owned()).or(after);
    let position = match resumed.as_deref().map(str::trim) {
        None | Some("") => app.ports.query.feed_head().await?,
        Some(text) => text.parse().map_err(|_| bad("Last-Event-ID", "is the number of an event"))?,
    };
    let place = app
        .streams
        .clone()
        .try_acquire_owned()
        .map_err(|_| Problem::busy("streams-busy", "too many event streams are open"))?;
    let stream = Stream {
        feed: app.ports.feed.clone(),
        principal,
        wanted: Interest { groups: (!names.is_empty()).then_some(groups), kinds, stated },
        position,
        waiting: VecDeque::new(),
        silent_since: Instant::now(),
        sync: tells_sync.then(|| (Instant::now(), serde_json::Value::Null)),
        _place: place,
        app,
    };
    let events = futures::stream::unfold(stream, |mut stream| async move {
        let event = stream.next().await?;
        Some((Ok::<_, Infallible>(event), stream))
    });
    Ok(Sse::new(events).into_response())
}

struct Stream {
    app: Arc<App>,
    feed: watch::Receiver<u64>,
    principal: Principal,
    wanted: Interest,
    /// Last feed number looked at.
    position: u64,
    /// Read and not yet sent; at most one stretch of the feed.
    waiting: VecDeque<Event>,
    silent_since: Instant,
    /// When progress is to be looked at next, and what was told last, if it is to be told.
    sync: Option<(Instant, serde_json::Value)>,
    _place: OwnedSemaphorePermit,
}

impl Stream {
    /// The next event; `None` ends the stream.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if self.app.stopping.is_cancelled() {
                return None;
            }
            // Asked anew for every event: a token that is revoked, or whose secret was rotated away, ends its streams too.
            let principal = self.app.ports.query.tokens().still(&self.principal, clock::now())?;
            if let Some(event) = self.waiting.pop_front() {
                self.silent_since = Instant::now();
                return Some(event);
            }
            self.feed.mark_unchanged();
            if self.fetch(&principal).await? || self.progress(&principal).await {
                continue;
            }
            let looks = self.sync.as_ref().map(|(at, _)| *at);
            tokio::select! {
                () = self.app.stopping.cancelled() => return None,
                changed = self.feed.changed() => changed.ok()?,
                () = tokio::time::sleep_until(looks.unwrap_or_else(Instant::now)), if looks.is_some() => {}
                () = tokio::time::sleep_until(self.silent_since + HEARTBEAT) => {
                    self.silent_since = Instant::now();
                    return Some(Event::default().event("heartbeat").id(self.position.to_string()).data("{}"));
                }
            }
        }
    }

    /// Looks at progress if it is time to; whether there is news.
    async fn progress(&mut self, principal: &Principal) -> bool {
        let Some((at, told)) = &mut self.sync else { return false };
        if *at > Instant::now() {
            return false;
        }
        *at = Instant::now() + PROGRESS;
        // What cannot be told now is told a second later.
        let Ok(now) = sync::told(&self.app, principal, self.wanted.groups.as_ref()).await else {
            return false;
        };
        if *told == now {
            return false;
        }
        let event = Event::default().event("sync").id(self.position.to_string()).data(now.to_string());
        *told = now;
        self.waiting.push_back(event);
        true
    }

    /// Reads on; whether it is worth looking again at once.
    async fn fetch(&mut self, principal: &Principal) -> Option<bool> {
        let query = self.app.ports.query.clone();
        let found = match query.events(principal, &self.wanted, self.position).await {
            Ok(found) => found,
            Err(error) => {
                tracing::error!("an event stream ends: {error}");
                return None;
            }
        };
        if let Some(gap) = found.gap {
            let data = json!(gap).to_string();
            self.waiting
                .push_back(Event::default().event("gap").id(gap.resumes_after.to_string()).data(data));
        }
        for (number, row) in &found.rows {
            let json = ObjectJson::of(row, &query).ok().and_then(|json| serde_json::to_string(&json).ok());
            let data = json.unwrap_or_else(|| "{}".to_owned());
            self.waiting.push_back(Event::default().event("object").id(number.to_string()).data(data));
        }
        self.position = found.position;
        Some(found.more || !self.waiting.is_empty())
    }
}
