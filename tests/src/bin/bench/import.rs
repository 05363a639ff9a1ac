//! Import: what a line of a table and an attribute of an event cost, until the draft is durable.
//!
//! One whole node and one client, over HTTP: what it hands in is read, checked as every bundle is, read by the guards, split
//! and sealed, and acknowledged when it is on disk. A table of 100,000 lines is one file; its 300,000 objects become several
//! drafts, which are durable together. Every round has values of its own: what was taken before would only be recognised.

use std::{path::PathBuf, time::Instant};

use anyhow::{Context as _, ensure};
use belfry_proto::schema::Role;
use clap::Args;
use serde_json::{Value, json};

use crate::{
    coalition::{Coalition, SLUG},
    http::Client,
    machine,
    node::Node,
    say, stats,
};

/// Attributes of one event: what the larger ones of public feeds have.
const EVENT: u64 = 200;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Lines of the table
    #[arg(long, default_value_t = 100_000)]
    lines: u64,
    /// MISP events
    #[arg(long, default_value_t = 100)]
    events: u64,
    /// Rounds of each
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Folder for the database [default: the system's temporary folder]
    #[arg(long)]
    dir: Option<PathBuf>,
}

pub(crate) fn run(arguments: Arguments, quick: bool) -> anyhow::Result<Value> {
    let Arguments { mut lines, mut events, mut rounds, dir } = arguments;
    if quick {
        (lines, events, rounds) = (500, 2, 2);
    }
    let folder = tempfile::Builder::new()
        .prefix("belfry-bench-")
        .tempdir_in(dir.unwrap_or_else(std::env::temp_dir))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut coalition = Coalition::found()?;
        let member = coalition.admit("Importer", Role::Publisher)?;
        let node = Node::start(&coalition, &member, folder.path().join("node"), Vec::new()).await?;
        let mut client = node.client().await?;
        let (mut tables, mut misp) = (Vec::new(), Vec::new());
        // One round of each to warm up.
        for round in 0..=rounds {
            let from = round as u64 * lines.max(events * EVENT);
            let rate = take(&mut client, "csv", vec![table(from..from + lines)], lines).await?;
            let bodies = (0..events).map(|n| event(from + n * EVENT)).collect();
            let of_events = take(&mut client, "misp", bodies, events * EVENT).await?;
            if round > 0 {
                tables.push(rate);
                misp.push(of_events);
            }
            say!("round {round} of {rounds}: {rate:.0} lines/s, {of_events:.0} attributes/s");
        }
        let rss = machine::resident("self")?;
        node.daemon.shutdown().await;
        anyhow::Ok(json!({
            "benchmark": "import",
            "csv_indicators_per_s": stats::median(&tables).round(),
            "misp_indicators_per_s": stats::median(&misp).round(),
            "csv_indicators_per_s_by_round": stats::summary(&tables),
            "misp_indicators_per_s_by_round": stats::summary(&misp),
            "lines": lines,
            "events": events,
            "attributes_per_event": EVENT,
            "rss_mb": rss >> 20,
            "rounds": rounds,
            "machine": machine::facts(quick),
        }))
    })
}

/// Hands in files, one after the other; indicators a second.
async fn take(client: &mut Client, format: &str, files: Vec<Vec<u8>>, expected: u64) -> anyhow::Result<f64> {
    let path = format!(
        "/api/v1/import?group={SLUG}&format={format}&tlp=amber&publish=true&reason=made%20for%20measuring"
    );
    let mut found = 0;
    let begun = Instant::now();
    for file in files {
        let told = client.post(&path, file).await?;
        ensure!(told.get("duplicate") == Some(&json!(false)), "an import was one before: {told}");
        found += told.pointer("/objects/indicator").and_then(Value::as_u64).context("no indicators")?;
    }
    let took = begun.elapsed();
    ensure!(found == expected, "{found} of {expected} were taken");
    Ok(rate(found, took.as_secs_f64()))
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn rate(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds
}

/// A domain, an address, a hash and a URL, in turn.
fn value(n: u64) -> (&'static str, String) {
    let [_, a, b, c] = u32::try_from(n % (1 << 24)).unwrap_or_default().to_be_bytes();
    match n % 4 {
        0 => ("domain", format!("h{n}.bench-{}.net", n / 16)),
        1 => ("ip-dst", format!("45.{a}.{b}.{c}")),
        2 => ("sha256", format!("{n:016x}").repeat(4)),
        _ => ("url", format!("http://bench-{}.net/p{n}", n / 16)),
    }
}

fn table(lines: std::ops::Range<u64>) -> Vec<u8> {
    let mut text = "value,type,description,tlp\n".to_owned();
    for n in lines {
        let (kind, value) = value(n);
        text.push_str(&format!("{value},{kind},seen in campaign {},amber\n", n % 97));
    }
    text.into_bytes()
}

fn event(first: u64) -> Vec<u8> {
    let attribute = |n: u64| {
        let (kind, value) = value(n);
        json!({
            "uuid": format!("00000000-0000-4000-9000-{n:012x}"), "type": kind, "category": "Network activity", "value": value,
            "to_ids": true, "timestamp": "1763800001", "comment": format!("seen in campaign {}", n % 97),
            "distribution": "5", "Tag": [{ "name": "tlp:amber" }],
        })
    };
    // Apart from the table's values, which the same round has.
    let first = first + (1 << 40);
    let attributes: Vec<Value> = (first..first + EVENT).map(attribute).collect();
    json!({ "Event": {
        "uuid": format!("00000000-0000-4000-a000-{first:012x}"), "info": "Measured", "date": "2026-11-25",
        "timestamp": "1763800000", "distribution": "3", "Tag": [{ "name": "tlp:amber" }], "Attribute": attributes,
        "Orgc": { "uuid": "00000000-0000-4000-b000-000000000001", "name": "Bench" },
    } })
    .to_string()
    .into_bytes()
}
