//! TAXII: what a page costs, and whether it costs more in a large collection.
//!
//! One whole node whose store is filled directly, from a thousand objects to a million, and one client that follows
//! `next` from places all over the collection, through all of it and through one type, a tenth of it. Beside it **medallion**, OASIS's reference server, with a thousand
//! objects in memory: a walk through all of them on either side, in alternating rounds. It keeps what is left of a walk in
//! memory and searches it for every page, so that more objects than these take it hours.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use belfry_node::{clock, store::ObjectRow};
use belfry_proto::schema::Role;
use clap::Args;
use serde_json::{Value, json};

use crate::{
    coalition::{Coalition, SLUG},
    http::Client,
    idle::Process,
    lookup::{self, fill_rows},
    machine,
    node::Node,
    say, stats,
};

/// Objects of a page: what clients ask for who say nothing else.
const PAGE: usize = 100;
/// Objects that medallion is given.
const SMALL: u64 = 1_000;
/// Places in a collection where walks begin.
const PLACES: u64 = 4;
const MEDALLION: &str = "91a7b528-80eb-42ed-a74d-c6fbd5a26116";
/// One object of so many is of the other type.
const OTHER: u64 = 10;
/// What asks for these alone.
const FILTER: &str = "&match%5Btype%5D=malware";
/// How long medallion may take to answer at first.
const STARTS: Duration = Duration::from_secs(60);

/// All walks of a size, or those that filter.
type Of = fn(&[Walks; 2]) -> &Walks;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Sizes of the collection, each larger than the one before
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000, 100_000, 1_000_000])]
    sizes: Vec<u64>,
    /// Rounds of each
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Pages of a round
    #[arg(long, default_value_t = 400)]
    pages: usize,
    /// medallion's command, in its own environment; without it there is nothing to compare with
    #[arg(long)]
    medallion: Option<PathBuf>,
    /// Folder for the database [default: the system's temporary folder]
    #[arg(long)]
    dir: Option<PathBuf>,
}

pub(crate) fn run(arguments: Arguments, quick: bool) -> anyhow::Result<Value> {
    let Arguments { mut sizes, mut rounds, mut pages, medallion, dir } = arguments;
    if quick {
        (sizes, rounds, pages) = (vec![SMALL, 4_000], 2, 8);
    }
    let folder = tempfile::Builder::new()
        .prefix("belfry-bench-")
        .tempdir_in(dir.unwrap_or_else(std::env::temp_dir))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut coalition = Coalition::found()?;
        let member = coalition.admit("Pages", Role::Publisher)?;
        let node = Node::start(&coalition, &member, folder.path().join("node"), Vec::new()).await?;
        let mut client = node.client().await?;
        let objects = format!("/taxii2/root/collections/{SLUG}/objects/");
        let (mut stored, mut places) = (0, Vec::new());
        let mut by_size = BTreeMap::new();
        let mut compared = Vec::new();
        for size in sizes.iter().copied() {
            let begun = Instant::now();
            for place in 1..=PLACES {
                places.push(clock::now().to_string());
                let until = stored + (size - stored) * place / PLACES;
                let (group, author) = (coalition.group()?, member.certificate.member);
                fill_rows(node.daemon.store(), group, author, stored..until, mixed).await?;
                stored = until;
            }
            say!("{size} objects stored in {:.1} s", begun.elapsed().as_secs_f64());
            if size == SMALL
                && let Some(medallion) = &medallion
            {
                compared = side_by_side(medallion, folder.path(), &mut client, &objects, rounds).await?;
            }
            let mut walks = [Walks::default(), Walks::default()];
            for round in 0..=rounds {
                for (walks, filter) in walks.iter_mut().zip(["", FILTER]) {
                    let (rate, tail) = round_of(&mut client, (&objects, filter), &places, pages).await?;
                    // The first one warms.
                    if round > 0 {
                        walks.rates.push(rate);
                        walks.tails.push(tail);
                    }
                }
            }
            for (walks, what) in walks.iter().zip(["all", "filtered"]) {
                let (rate, tail) = (stats::median(&walks.rates), stats::median(&walks.tails));
                say!("{size}, {what}: {rate:.0} pages/s, p99 {tail:.2} ms");
            }
            by_size.insert(size, walks);
        }
        let rss = machine::resident("self")?;
        node.daemon.shutdown().await;
        let p99 = |size: u64, of: Of| by_size.get(&size).map(|walks| stats::median(&of(walks).tails));
        let growth = |from: u64, to: u64, of: Of| Some(stats::rounded(p99(to, of)? / p99(from, of)?));
        let (all, filtered): (Of, Of) = (|[all, _]| all, |[_, filtered]| filtered);
        let ends = sizes.first().zip(sizes.last());
        let (ours, theirs): (Vec<f64>, Vec<f64>) = compared.iter().copied().unzip();
        let speedup =
            (!compared.is_empty()).then(|| stats::rounded(stats::median(&ours) / stats::median(&theirs)));
        let told: serde_json::Map<String, Value> = by_size
            .iter()
            .map(|(size, [all, filtered])| {
                let mut told = all.told();
                if let Some(told) = told.as_object_mut() {
                    told.insert("filtered".to_owned(), filtered.told());
                }
                (size.to_string(), told)
            })
            .collect();
        anyhow::Ok(json!({
            "benchmark": "taxii",
            "speedup_vs_medallion": speedup,
            "p99_growth_10k_to_1m": growth(10_000, 1_000_000, all),
            "filtered_p99_growth_10k_to_1m": growth(10_000, 1_000_000, filtered),
            "p99_growth": ends.and_then(|(first, last)| growth(*first, *last, all)),
            "filtered_p99_growth": ends.and_then(|(first, last)| growth(*first, *last, filtered)),
            "medallion": (!compared.is_empty()).then(|| json!({
                "objects": SMALL,
                "pages_per_s": stats::summary(&theirs),
                "belfry_pages_per_s": stats::summary(&ours),
            })),
            "sizes": told,
            "objects_per_page": PAGE,
            "pages_per_round": pages,
            "rss_mb": machine::megabytes(rss),
            "rounds": rounds,
            "machine": machine::facts(quick),
        }))
    })
}

/// What rounds of one kind came to.
#[derive(Default)]
struct Walks {
    rates: Vec<f64>,
    tails: Vec<f64>,
}

impl Walks {
    fn told(&self) -> Value {
        json!({
            "pages_per_s": stats::rounded(stats::median(&self.rates)),
            "p99_ms": stats::rounded(stats::median(&self.tails)),
            "pages_per_s_by_round": stats::summary(&self.rates),
            "p99_ms_by_round": stats::summary(&self.tails),
        })
    }
}

/// An indicator, or one of the other type.
fn mixed(n: u64) -> anyhow::Result<ObjectRow> {
    if n.is_multiple_of(OTHER) { lookup::malware(n) } else { lookup::object(n, &lookup::value(n)) }
}

/// Pages from places all over the collection: how many a second, and the slowest of a hundred in milliseconds.
async fn round_of(
    client: &mut Client,
    (objects, filter): (&str, &str),
    places: &[String],
    pages: usize,
) -> anyhow::Result<(f64, f64)> {
    let mut times = Vec::new();
    let share = pages.div_ceil(places.len()).max(1);
    while times.len() < pages {
        for place in places {
            let first = format!("{objects}?limit={PAGE}&added_after={place}{filter}");
            times.extend(walk(client, &first, share).await?);
        }
    }
    let seconds: f64 = times.iter().sum::<f64>() / 1e3;
    Ok((count(times.len()) / seconds, stats::percentile(&times, 0.99)))
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn count(pages: usize) -> f64 {
    pages as f64
}

/// Follows `next` for at most so many pages; milliseconds of each.
async fn walk(client: &mut Client, first: &str, most: usize) -> anyhow::Result<Vec<f64>> {
    let mut times = Vec::new();
    let mut path = first.to_owned();
    while times.len() < most {
        let begun = Instant::now();
        let bytes = client.taxii(&path).await?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        let page: Value = serde_json::from_slice(&bytes)?;
        ensure!(page.get("objects").is_some(), "{path} is empty");
        match page.get("next").and_then(Value::as_str) {
            Some(next) => path = format!("{first}&next={next}"),
            None => break,
        }
    }
    Ok(times)
}

/// Pages a second through a thousand objects, ours and theirs, round by round.
async fn side_by_side(
    medallion: &Path,
    folder: &Path,
    ours: &mut Client,
    objects: &str,
    rounds: usize,
) -> anyhow::Result<Vec<(f64, f64)>> {
    let mut page: Value = serde_json::from_slice(&ours.taxii(&format!("{objects}?limit={SMALL}")).await?)?;
    let given = page.get_mut("objects").and_then(Value::as_array_mut).context("no objects")?;
    let (address, _process) = start(medallion, folder, std::mem::take(given))?;
    let authorization = format!("Basic {}", STANDARD.encode("bench:bench"));
    let begun = Instant::now();
    let mut theirs = loop {
        match Client::with(address, authorization.clone()).await {
            Ok(client) => break client,
            Err(error) => ensure!(begun.elapsed() < STARTS, "medallion does not answer: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let other = format!("/bench/collections/{MEDALLION}/objects/?limit={PAGE}");
    let mine = format!("{objects}?limit={PAGE}");
    let mut rates = Vec::new();
    for round in 0..=rounds {
        let whole = usize::try_from(SMALL)?;
        let times = [walk(ours, &mine, whole).await?, walk(&mut theirs, &other, whole).await?];
        ensure!(times.iter().all(|times| times.len() == whole / PAGE), "not the same pages: {times:?}");
        let [ours, theirs] = times.map(|times| count(times.len()) / (times.iter().sum::<f64>() / 1e3));
        say!("round {round} of {rounds}: {ours:.0} pages/s, medallion {theirs:.1}");
        if round > 0 {
            rates.push((ours, theirs));
        }
    }
    Ok(rates)
}

/// medallion with these objects in memory.
fn start(medallion: &Path, folder: &Path, objects: Vec<Value>) -> anyhow::Result<(SocketAddr, Process)> {
    let text = |object: &Value, name: &str| object.get(name).cloned().unwrap_or_default();
    let added =
        |n: usize| format!("2026-11-25T10:{:02}:{:02}.000{:03}Z", n / 60_000, n / 1_000 % 60, n % 1_000);
    let manifest: Vec<Value> = objects
        .iter()
        .enumerate()
        .map(|(n, object)| {
            json!({
                "id": text(object, "id"), "version": text(object, "modified"), "date_added": added(n),
                "media_type": "application/stix+json;version=2.1",
            })
        })
        .collect();
    let taxii = "application/taxii+json;version=2.1";
    let data = json!({
        "/discovery": { "title": "bench", "default": "/bench/", "api_roots": ["/bench/"] },
        "bench": {
            "information": { "title": "bench", "versions": [taxii], "max_content_length": 100_000_000 },
            "status": [],
            "collections": [{
                "id": MEDALLION, "title": "bench", "can_read": true, "can_write": false,
                "media_types": ["application/stix+json;version=2.1"], "manifest": manifest, "objects": objects,
            }],
        },
    });
    let (file, config) = (folder.join("medallion-data.json"), folder.join("medallion.json"));
    std::fs::write(&file, data.to_string())?;
    let settings = json!({
        "backend": {
            "module": "medallion.backends.memory_backend", "module_class": "MemoryBackend", "filename": file,
        },
        "users": { "bench": "bench" },
        "taxii": { "max_page_size": 1_000 },
    });
    std::fs::write(&config, settings.to_string())?;
    // Free a moment ago; nobody else asks for one here.
    let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let child = Command::new(medallion)
        .args(["--host", "127.0.0.1", "--port", &address.port().to_string()])
        .arg(&config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| medallion.display().to_string())?;
    Ok((address, Process(child)))
}
