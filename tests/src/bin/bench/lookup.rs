//! Lookup: what one of a million values costs, whether anybody named it or not.
//!
//! One whole node whose store is filled directly, half with domains below others, half with addresses, each with the
//! entries that its surroundings take. **HTTP**: one client with a connection asks one value after the other. **In
//! process**: as many tasks as cores ask through `query`, stretch by stretch as the API does, authorised as for a token. Both
//! ask for known and for unknown values in alternating rounds; an unknown one must not cost more. The store has read its keys
//! into memory before the first.

use std::{
    ops::Range,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use belfry_node::{
    clock,
    query::{Query, Readable, Scope, lookup},
    store::{Change, Conditions, EnvelopeRow, MessageState, ObjectRow, OpenedRows, Store},
};
use belfry_proto::{
    crypto::secret::Secret,
    id::{GroupId, Height, LogId, MemberId, MessageId, PublicationId, Sequence, Serial},
    schema::{Role, Tlp},
    stix::observable::{Observable, around},
};
use clap::Args;
use serde_json::{Value, json};

use crate::{
    coalition::{Coalition, SLUG},
    machine,
    node::Node,
    say, stats,
};

/// Objects of one message.
const MESSAGE: u64 = 250;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Values in the store
    #[arg(long, default_value_t = 1_000_000)]
    values: u64,
    /// Rounds of each kind
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Questions of a round over HTTP
    #[arg(long, default_value_t = 1_000)]
    requests: usize,
    /// Values of a round in process
    #[arg(long, default_value_t = 100_000)]
    bulk: usize,
    /// Folder for the database [default: the system's temporary folder]
    #[arg(long)]
    dir: Option<PathBuf>,
}

pub(crate) fn run(arguments: Arguments, quick: bool) -> anyhow::Result<Value> {
    let Arguments { mut values, mut rounds, mut requests, mut bulk, dir } = arguments;
    if quick {
        (values, rounds, requests, bulk) = (2_000, 2, 20, 1_000);
    }
    let folder = tempfile::Builder::new()
        .prefix("belfry-bench-")
        .tempdir_in(dir.unwrap_or_else(std::env::temp_dir))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut coalition = Coalition::found()?;
        let member = coalition.admit("Asker", Role::Publisher)?;
        let node = Node::start(&coalition, &member, folder.path().join("node"), Vec::new()).await?;
        let begun = Instant::now();
        fill(node.daemon.store(), coalition.group()?, member.certificate.member, 0..values).await?;
        say!("{values} values stored in {:.1} s", begun.elapsed().as_secs_f64());
        let store = node.daemon.store().clone();
        let mut present = store.present();
        while present.is_filling || !present.is_whole {
            tokio::time::sleep(Duration::from_millis(50)).await;
            present = store.present();
        }
        // Its tokens are its own: only the reading half is wanted.
        let query = Query::open(store, node.daemon.roster().clone(), node.key, &Secret::new([1; 32]))?;
        let made = query.tokens().create("bench", Scope::reads([coalition.group()?]), clock::now()).await?;
        let principal = query.tokens().verify(made.text.expose(), clock::now())?;
        let readable = query.readable(&principal, SLUG)?;
        let mut client = node.client().await?;
        let (mut http, mut in_process) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
        // One round of each to warm up.
        for round in 0..=rounds {
            for (kind, is_known) in [(0, true), (1, false)] {
                let mut latencies = Vec::new();
                for _ in 0..requests {
                    let value = asked(values, is_known);
                    let begun = Instant::now();
                    let answer = client.look_up(&value).await?;
                    latencies.push(begun.elapsed().as_secs_f64() * 1e3);
                    let is_found = answer.windows(8).any(|bytes| bytes == b"\"active\"");
                    ensure!(is_found == is_known, "{value}: {}", String::from_utf8_lossy(&answer));
                }
                let took = ask(&query, &principal, readable, values, is_known, bulk).await?;
                if round > 0 {
                    if let Some(http) = http.get_mut(kind) {
                        http.push(stats::percentile(&latencies, 0.99));
                    }
                    if let Some(rates) = in_process.get_mut(kind) {
                        rates.push(rate(bulk, took));
                    }
                }
            }
            say!("round {round} of {rounds}");
        }
        let rss = machine::resident("self")?;
        node.daemon.shutdown().await;
        let [known, unknown] = http;
        let [hits, misses] = in_process;
        anyhow::Ok(json!({
            "benchmark": "lookup",
            "http_p99_ms": stats::rounded(stats::median(&known)),
            "http_unknown_p99_ms": stats::rounded(stats::median(&unknown)),
            "bulk_per_s": stats::median(&hits).round(),
            "bulk_unknown_per_s": stats::median(&misses).round(),
            "unknown_to_known": stats::rounded(stats::median(&hits) / stats::median(&misses)),
            "http_p99_ms_by_round": stats::summary(&known),
            "bulk_per_s_by_round": stats::summary(&hits),
            "bulk_unknown_per_s_by_round": stats::summary(&misses),
            // What answers for values that nobody entered.
            "filter_bytes": present.bytes,
            "filter_keys": present.keys,
            "filter_is_whole": present.is_whole,
            "values": values,
            "requests_per_round": requests,
            "bulk_per_round": bulk,
            "rss_mb": rss >> 20,
            "rounds": rounds,
            "machine": machine::facts(quick),
        }))
    })
}

/// The value of a number: a name two levels below the registrable one, or an address.
pub(crate) fn value(n: u64) -> String {
    if n.is_multiple_of(2) {
        return format!("h{n}.d{}.example", n / 16);
    }
    let [_, a, b, c] = u32::try_from(n % (1 << 24)).unwrap_or_default().to_be_bytes();
    format!("45.{a}.{b}.{c}")
}

/// A random value that is stored, or one like it that is not.
fn asked(values: u64, is_known: bool) -> String {
    let n = rand::random::<u64>() % values;
    let text = value(n);
    match (is_known, n.is_multiple_of(2)) {
        (true, _) => text,
        (false, true) => format!("x{text}"),
        (false, false) => text.replacen("45.", "46.", 1),
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn rate(values: usize, took: Duration) -> f64 {
    values as f64 / took.as_secs_f64()
}

/// Looks so many values up on every core.
async fn ask(
    query: &Query,
    principal: &belfry_node::query::Principal,
    readable: Readable,
    values: u64,
    is_known: bool,
    bulk: usize,
) -> anyhow::Result<Duration> {
    let wanted: Vec<lookup::Wanted> =
        (0..bulk).map(|_| lookup::Wanted { text: asked(values, is_known), kind: None }).collect();
    let share = bulk.div_ceil(machine::cores()).max(1);
    let shares: Vec<Vec<lookup::Wanted>> = wanted.chunks(share).map(<[lookup::Wanted]>::to_vec).collect();
    let begun = Instant::now();
    let tasks: Vec<_> = shares
        .into_iter()
        .map(|share| {
            let (query, principal) = (query.clone(), principal.clone());
            let within = lookup::Within { groups: vec![readable], ..lookup::Within::default() };
            tokio::spawn(async move {
                let mut found = 0;
                for stretch in share.chunks(lookup::STRETCH) {
                    let answers = query.lookup(&principal, &within, stretch.to_vec()).await?;
                    found += answers.iter().filter(|answer| answer.state == "active").count();
                }
                anyhow::Ok(found)
            })
        })
        .collect();
    let mut found = 0;
    for task in tasks {
        found += task.await??;
    }
    let took = begun.elapsed();
    ensure!(found == if is_known { bulk } else { 0 }, "{found} of {bulk} found");
    Ok(took)
}

/// Stores an indicator a value, many a message, as ingest would.
pub(crate) async fn fill(
    store: &Store,
    group: GroupId,
    member: MemberId,
    values: Range<u64>,
) -> anyhow::Result<()> {
    fill_with(store, group, member, values, value).await
}

/// [`fill`] with other values.
pub(crate) async fn fill_with(
    store: &Store,
    group: GroupId,
    member: MemberId,
    values: Range<u64>,
    value: fn(u64) -> String,
) -> anyhow::Result<()> {
    fill_rows(store, group, member, values, |n| object(n, &value(n))).await
}

/// [`fill`] with other objects.
pub(crate) async fn fill_rows(
    store: &Store,
    group: GroupId,
    member: MemberId,
    values: Range<u64>,
    row: impl Fn(u64) -> anyhow::Result<ObjectRow>,
) -> anyhow::Result<()> {
    let log = LogId::new(rand::random());
    let now = clock::now();
    let mut prev = MessageId::ZERO;
    for (sequence, from) in (1..).zip(values.clone().step_by(usize::try_from(MESSAGE)?)) {
        let id = MessageId::new(rand::random());
        let objects = (from..(from + MESSAGE).min(values.end)).map(&row).collect::<anyhow::Result<_>>()?;
        let content = OpenedRows {
            publication: PublicationId::new(rand::random()),
            part: 1,
            parts: 1,
            member,
            serial: Serial::new(1),
            message: id,
            created: now,
            purpose: 2,
            classes: vec![5],
            recipients: false,
            conditions: Conditions::default(),
            objects,
        };
        let row = EnvelopeRow {
            group,
            log,
            sequence: Sequence::new(sequence),
            id,
            prev,
            member,
            serial: Serial::new(1),
            created: now,
            received: now,
            key_id: None,
            written_at: Height::new(1),
            judged_at: Height::new(u64::MAX),
            in_closed_log: false,
            is_cut_point: false,
            is_listed: false,
            is_vouched: false,
            opens_later: false,
            bytes: vec![0; 512],
            has_body: true,
            state: MessageState::Opened,
            content: Some(content),
            reason: None,
            withdraws: None,
        };
        store.commit(Change::Envelope(Box::new(row))).await?;
        prev = id;
    }
    Ok(())
}

/// Something else that stands among indicators; it names no value.
pub(crate) fn malware(n: u64) -> anyhow::Result<ObjectRow> {
    let id = format!("malware--00000000-0000-4000-8000-{n:012x}");
    let raw = json!({
        "type": "malware", "spec_version": "2.1", "id": id, "created": "2026-11-25T10:00:00.000Z",
        "modified": "2026-11-25T10:00:00.000Z", "name": format!("Loader {n}"), "is_family": false,
        "description": "Fetches what it runs from the command and control of its campaign",
    });
    let like = object(n, &value(n))?;
    Ok(ObjectRow {
        id,
        kind: "malware".to_owned(),
        raw: raw.to_string().into_bytes(),
        observables: Vec::new(),
        ..like
    })
}

pub(crate) fn object(n: u64, text: &str) -> anyhow::Result<ObjectRow> {
    let observable = Observable::guess(text).context("not a value")?;
    let (path, id) = (observable.kind().as_str(), format!("indicator--00000000-0000-4000-8000-{n:012x}"));
    let today = clock::now();
    let raw = json!({
        "type": "indicator", "spec_version": "2.1", "id": id, "created": "2026-11-25T10:00:00.000Z",
        "modified": "2026-11-25T10:00:00.000Z", "name": format!("Command and control {n}"),
        "pattern": format!("[{path}:value = '{text}']"), "pattern_type": "stix", "valid_from": today, "confidence": 75,
        "indicator_types": ["malicious-activity"],
    });
    let mut observables = vec![(path.to_owned(), observable.value().to_owned())];
    observables.extend(around::rows(&observable).into_iter().map(|(what, of)| (what.to_owned(), of)));
    Ok(ObjectRow {
        id,
        kind: "indicator".to_owned(),
        version: "2026-11-25T10:00:00.000Z".to_owned(),
        tlp: Tlp::Amber,
        revoked: false,
        raw: raw.to_string().into_bytes(),
        created_by: None,
        pap: 0,
        stated: None,
        observables,
    })
}
