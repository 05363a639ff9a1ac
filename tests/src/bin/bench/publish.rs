//! Publish: durable acknowledgements over the real HTTP API.
//!
//! **belfry**: one whole node; clients with a connection each post bundles of one 1 KiB indicator, one after the
//! other, and a publish counts when its 202 is there: authenticated, parsed, checked, split, sealed, and the
//! draft synced to disk. Behind the answers the node flushes drafts into messages, as it always does, and that
//! costs what it costs; between rounds it is left to finish, and `flushed_per_s` tells how fast it is.
//!
//! **The floor**: as many threads, one after the other, each writing rows of the lengths of a draft's rows in one
//! synced RocksDB write, with the same database options, in the same folder. RocksDB groups them as it likes. No
//! HTTP, no parsing, no sealing.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};
use belfry_node::store::{Change, DraftRow, DraftState, Owner, Store};
use belfry_proto::{
    crypto::secret::Secret,
    id::PublicationId,
    schema::{Audience, Role},
};
use clap::Args;
use rocksdb::{Cache, DB, Env, Options, WriteBatch, WriteOptions};
use serde_json::{Value, json};

use crate::{coalition::Coalition, content, machine, node::Node, say, stats};

/// Clients at once.
const CLIENTS: [usize; 2] = [1, 64];
/// How long a node may take to flush what a round left.
const FLUSHED: Duration = Duration::from_secs(300);

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Seconds of a round
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Rounds of each side, for each number of clients
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Folder for the databases, on the disk to measure [default: the system's temporary folder]
    #[arg(long)]
    dir: Option<PathBuf>,
}

pub(crate) fn run(arguments: Arguments, quick: bool) -> anyhow::Result<Value> {
    let Arguments { mut seconds, mut rounds, dir } = arguments;
    if quick {
        (seconds, rounds) = (0.3, 2);
    }
    let length = Duration::try_from_secs_f64(seconds)?;
    let folder = tempfile::Builder::new()
        .prefix("belfry-bench-")
        .tempdir_in(dir.unwrap_or_else(std::env::temp_dir))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (db, rows) = runtime.block_on(floor(&folder.path().join("floor")))?;
    let db = Arc::new(db);
    let row_bytes: usize = rows.iter().map(|(_, key, value)| key + value).sum();
    say!("a draft is {} rows of {row_bytes} bytes", rows.len());
    let node = runtime.block_on(async {
        let mut coalition = Coalition::found()?;
        let member = coalition.admit("Publisher", Role::Publisher)?;
        Node::start(&coalition, &member, folder.path().join("node"), Vec::new()).await
    })?;
    let mut by_clients = serde_json::Map::new();
    for clients in CLIENTS {
        let (mut ours, mut bare) = (Side::default(), Side::default());
        // One round of each to warm up.
        for round in 0..=rounds {
            for side in 0..2 {
                let belfry = (side + round).is_multiple_of(2);
                let done = if belfry {
                    let begun = Instant::now();
                    let done = runtime.block_on(publish(&node, clients, length))?;
                    runtime.block_on(flushed(&node))?;
                    if round > 0 {
                        ours.flushed(done.len(), begun.elapsed());
                    }
                    done
                } else {
                    write(&db, &rows, clients, length)?
                };
                if round > 0 {
                    if belfry { &mut ours } else { &mut bare }.add(&done, length);
                }
            }
            if round > 0 {
                let last = |values: &[f64]| values.last().copied().unwrap_or_default();
                say!(
                    "{clients} clients, round {round} of {rounds}: belfry {:.0}/s p99 {:.2} ms, floor {:.0}/s p99 {:.2} ms",
                    last(&ours.rate),
                    last(&ours.p99),
                    last(&bare.rate),
                    last(&bare.p99)
                );
            }
        }
        let measured = json!({
            "acknowledged_per_s": stats::median(&ours.rate).round(),
            "flushed_per_s": stats::median(&ours.flushed).round(),
            "ack_p99_ratio": stats::rounded(stats::median(&ours.p99) / stats::median(&bare.p99)),
            "belfry": ours.report(),
            "floor": bare.report(),
        });
        by_clients.insert(clients.to_string(), measured);
    }
    runtime.block_on(node.daemon.shutdown());
    Ok(json!({
        "benchmark": "publish",
        "clients": by_clients,
        "object_bytes": content::INDICATOR,
        "floor_row_bytes": row_bytes,
        "round_s": seconds,
        "rounds": rounds,
        "machine": machine::facts(quick),
    }))
}

/// Clients that publish one bundle after the other; gives every acknowledgement's latency.
async fn publish(node: &Node, clients: usize, length: Duration) -> anyhow::Result<Vec<Duration>> {
    let mut connected = Vec::new();
    for _ in 0..clients {
        connected.push(node.client().await?);
    }
    // Made beforehand: what is measured is the node.
    let until = Instant::now() + length;
    let tasks: Vec<_> = connected
        .into_iter()
        .map(|mut client| {
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                while Instant::now() < until {
                    let (_, bundle) = content::bundle(rand::random());
                    let begun = Instant::now();
                    client.publish(bundle).await?;
                    latencies.push(begun.elapsed());
                }
                anyhow::Ok(latencies)
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await??);
    }
    Ok(all)
}

async fn flushed(node: &Node) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !node.daemon.store().queued(1)?.is_empty() {
        anyhow::ensure!(begun.elapsed() < FLUSHED, "drafts were not flushed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Column family, length of key and of value of every row that taking in a draft writes.
type Rows = Vec<(String, usize, usize)>;

/// A database with the store's options, and what a draft of one indicator writes into it.
async fn floor(path: &Path) -> anyhow::Result<(DB, Rows)> {
    let coalition = Coalition::found()?;
    let keys = belfry_node::keys::MemberKeys::generate(&mut rand::rng());
    let owner = Owner { coalition: coalition.roster.coalition(), node: keys.node.public() };
    let master = Secret::new(rand::random());
    let store = Store::open(path, owner, &master)?;
    let (id, object) = content::indicator(rand::random());
    let draft = DraftRow {
        publication: PublicationId::new(rand::random()),
        group: coalition.group()?,
        audience: Audience::Group,
        recipients: Vec::new(),
        parts: vec![content::payload(object)],
        part_count: 1,
        objects: vec![(id, "2026-11-25T10:00:00.000Z".to_owned())],
        submitter: "cli".to_owned(),
        idempotency_key: None,
        digest: rand::random(),
        created: belfry_node::clock::now(),
        state: DraftState::Queued,
        messages: Vec::new(),
        key_id: None,
        error: None,
        withdraws: None,
        tlp: belfry_proto::schema::Tlp::Amber,
        reason: None,
    };
    store.commit(Change::Draft(draft)).await?;
    drop(store);
    let db = loop {
        let (options, families) =
            Options::load_latest(path, Env::new()?, false, Cache::new_lru_cache(16 << 20))?;
        match DB::open_cf_descriptors(&options, path, families) {
            Ok(db) => break db,
            Err(error) if error.as_ref().contains("LOCK") => {
                tokio::time::sleep(Duration::from_millis(5)).await
            }
            Err(error) => return Err(error.into()),
        }
    };
    let mut rows = Vec::new();
    for name in ["drafts", "queue"] {
        let family = db.cf_handle(name).with_context(|| format!("no column family {name}"))?;
        for row in db.iterator_cf(family, rocksdb::IteratorMode::Start) {
            let (key, value) = row?;
            rows.push((name.to_owned(), key.len(), value.len()));
        }
    }
    anyhow::ensure!(rows.len() == 2, "a draft is not two rows any more: {rows:?}");
    Ok((db, rows))
}

/// Threads that write one such batch after the other; gives every write's latency.
fn write(db: &Arc<DB>, rows: &Rows, threads: usize, length: Duration) -> anyhow::Result<Vec<Duration>> {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut synced = WriteOptions::default();
                    synced.set_sync(true);
                    let mut latencies = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let mut batch = WriteBatch::default();
                        for (name, key, value) in rows {
                            let family = db.cf_handle(name).context("a column family is missing")?;
                            batch.put_cf(family, noise(*key), noise(*value));
                        }
                        let begun = Instant::now();
                        db.write_opt(batch, &synced)?;
                        latencies.push(begun.elapsed());
                    }
                    anyhow::Ok(latencies)
                })
            })
            .collect();
        std::thread::sleep(length);
        stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for writer in writers {
            all.extend(writer.join().map_err(|_| anyhow!("a writer panicked"))??);
        }
        Ok(all)
    })
}

fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    rand::Rng::fill_bytes(&mut rand::rng(), &mut bytes);
    bytes
}

/// Rounds of one side.
#[derive(Default)]
struct Side {
    rate: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    /// Drafts that became messages a second, from the first publish of a round to the last flush.
    flushed: Vec<f64>,
}

impl Side {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    fn add(&mut self, latencies: &[Duration], length: Duration) {
        let millis: Vec<f64> = latencies.iter().map(|latency| latency.as_secs_f64() * 1e3).collect();
        self.rate.push(millis.len() as f64 / length.as_secs_f64());
        self.p50.push(stats::percentile(&millis, 0.5));
        self.p99.push(stats::percentile(&millis, 0.99));
    }

    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    fn flushed(&mut self, drafts: usize, time: Duration) {
        self.flushed.push(drafts as f64 / time.as_secs_f64());
    }

    fn report(&self) -> Value {
        json!({
            "per_s": stats::summary(&self.rate),
            "p50_ms": stats::summary(&self.p50),
            "p99_ms": stats::summary(&self.p99),
        })
    }
}
