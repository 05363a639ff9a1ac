//! What nodes said of what they refused, by the peer that brought it.
//!
//! Verdicts are counted by the network; *why* stands only in the debug line that every refusal writes. This
//! reads those lines. Peers have fresh keys in every story, so stories that share a process do not meet.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, Once, PoisonError},
};

use belfry_proto::crypto::sign::PublicKey;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter, Layer,
    layer::{Context, SubscriberExt as _},
    util::SubscriberInitExt as _,
};

static REFUSED: Mutex<BTreeMap<String, Vec<String>>> = Mutex::new(BTreeMap::new());
static START: Once = Once::new();

/// Begins to read, once a process. `BELFRY_LOG` (tracing's directives) also prints, to look into a story.
pub fn start() {
    START.call_once(|| {
        let shown = std::env::var("BELFRY_LOG").ok().map(|filter| {
            tracing_subscriber::fmt::layer().with_test_writer().with_filter(EnvFilter::new(filter))
        });
        let refused = Refusals.with_filter(EnvFilter::new("belfry_node::ingest=debug"));
        // A test of another kind may have set its own; then only what is asked for here is missing.
        let _ = tracing_subscriber::registry().with(refused).with(shown).try_init();
    });
}

/// Codes of what `peer` brought and was refused for, in order.
#[must_use]
pub fn refusals_of(peer: &PublicKey) -> Vec<String> {
    let all = REFUSED.lock().unwrap_or_else(PoisonError::into_inner);
    all.get(&peer.to_string()).cloned().unwrap_or_default()
}

struct Refusals;

impl<S: Subscriber> Layer<S> for Refusals {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        if let (Some(peer), Some(code)) = (line.peer, line.code) {
            let mut all = REFUSED.lock().unwrap_or_else(PoisonError::into_inner);
            all.entry(peer).or_default().push(code);
        }
    }
}

#[derive(Default)]
struct Line {
    peer: Option<String>,
    code: Option<String>,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "peer" {
            self.peer = Some(format!("{value:?}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "code" {
            self.code = Some(value.to_owned());
        }
    }
}
