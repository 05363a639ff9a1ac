//! `GET /metrics`: numbers for Prometheus, of the groups the token reads.

use std::sync::Arc;

use axum::{
    Extension,
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use prometheus_client::{
    encoding::text::{encode_eof, encode_registry},
    metrics::{
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::{ConstGauge, Gauge},
    },
    registry::Registry,
};

use crate::{
    api::{app::App, problem::Problem},
    query::{GroupStatus, Principal},
};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the tables, the running node and its counters say, read anew at every scrape.
pub(in crate::api) async fn metrics(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
) -> Result<Response, Problem> {
    let held = app.ports.query.status(&principal).await?;
    let node = app.ports.status.report().await;
    let mut registry = Registry::with_prefix("belfry");
    let mut gauge = |name: &str, help: &str, value: usize| {
        registry.register(name, help, ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)));
    };
    gauge(
        "ready",
        "Whether every task runs and the store takes writes",
        usize::from(app.ports.status.is_ready()),
    );
    gauge("connected_peers", "Admitted peers connected now", node.connected);
    gauge("drafts", "Drafts not yet flushed", node.drafts);
    gauge("parked_messages", "Messages that wait for the admin log", node.parked);
    gauge("readable_only_here", "Own content keys that no other member holds yet", node.readable_only_here);
    gauge("warnings", "Things an operator should know", node.warnings.len());
    gauge("members", "Certified members", held.members);
    gauge(
        "roster_height",
        "Entries of the admin log",
        usize::try_from(held.roster_height.get()).unwrap_or(usize::MAX),
    );
    gauge("disk_bytes", "Database on disk", usize::try_from(held.disk_bytes).unwrap_or(usize::MAX));
    // Nobody else can count them: the system shows a process that is not to be dumped to root alone.
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        gauge("open_descriptors", "Files and sockets open now", open.count());
    }
    registry.register(
        "charter_days_left",
        "Whole days until the coalition's charter ends, negative once it has: nobody publishes then",
        ConstGauge::new(held.charter_days_left),
    );
    if let Some(certificate) = &held.certificate {
        registry.register(
            "certificate_days_left",
            "Whole days until it ends",
            ConstGauge::new(certificate.days_left),
        );
    }
    if let Some(offset) = node.clock_offset_ms {
        registry.register(
            "clock_offset_milliseconds",
            "Own clock less the peers' median",
            ConstGauge::new(offset),
        );
    }
    let mut by_group = |name: &str, help: &str, value: fn(&GroupStatus) -> u64| {
        let family = Family::<Vec<(String, String)>, Gauge>::default();
        for group in &held.groups {
            let labels = vec![("group".to_owned(), group.slug.clone())];
            family.get_or_create(&labels).set(i64::try_from(value(group)).unwrap_or(i64::MAX));
        }
        registry.register(name, help, family);
    };
    by_group("group_entries", "Entries held without a gap", |group| group.entries);
    by_group("group_logs", "Logs known", |group| group.logs as u64);
    by_group("group_logs_with_gaps", "Logs with entries missing", |group| group.logs_with_gaps as u64);
    by_group("group_logs_forked", "Logs with two entries for one place", |group| group.forked_logs as u64);
    by_group("group_waiting_for_key", "Messages whose key has not come", |group| group.waiting_for_key);
    by_group("group_quarantined", "Messages hidden as beyond a cut", |group| group.quarantined);
    by_group("group_stored_bytes", "Bytes of messages, as they travelled", |group| group.stored_bytes);
    by_group("group_members_over_disk_quota", "Members of whom no more is kept", |group| {
        group.members_over_disk_quota as u64
    });
    by_group("group_disputed", "Messages hidden as of a fork", |group| group.disputed);
    for (name, count) in app.ports.status.counters() {
        let help = format!("{} since the start", name.replace('_', " "));
        registry.register(name, help, ConstCounter::new(count));
    }
    let refusals = Family::<Vec<(String, String)>, Counter>::default();
    for (way, reason, count) in app.ports.status.refusals() {
        let labels = vec![("way".to_owned(), way.to_owned()), ("reason".to_owned(), reason.to_owned())];
        refusals.get_or_create(&labels).inc_by(count);
    }
    registry.register("refusals", "What was refused since the start, on which way and why", refusals);
    let mut text = String::new();
    encode_registry(&mut text, &registry).map_err(|error| Problem::internal(&error))?;
    text.push_str(&app.ports.status.traffic());
    encode_eof(&mut text).map_err(|error| Problem::internal(&error))?;
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static(OPEN_METRICS))], text).into_response())
}
