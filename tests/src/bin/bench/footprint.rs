//! Footprint: what a node takes that holds a million indicators, and how long it takes to be ready.
//!
//! The store is filled by a node of this process, which then ends. The real binary, `belfry run`, starts on the same
//! folder: *start* is the time until it says that it is ready, the opening of its key files (scrypt) included. Memory
//! is read once it has settled, and again after tools have read from all over it.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use belfry_proto::schema::Role;
use clap::Args;
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::UnixStream;

use crate::{
    coalition::{Coalition, SLUG},
    idle::{join, start},
    lookup::fill,
    machine,
    node::Node,
    say, stats,
};

/// How long the node may take to be ready.
const READY: Duration = Duration::from_secs(300);
/// Pages read before memory is looked at again.
const PAGES: usize = 500;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The binary [default: `belfry` beside this one]
    #[arg(long)]
    belfry: Option<PathBuf>,
    /// Indicators in the store
    #[arg(long, default_value_t = 1_000_000)]
    indicators: u64,
    /// Starts that are timed
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds to settle before memory is read
    #[arg(long, default_value_t = 15)]
    settle: u64,
    /// Folder for the database [default: the system's temporary folder]
    #[arg(long)]
    dir: Option<PathBuf>,
}

pub(crate) fn run(arguments: Arguments, quick: bool) -> anyhow::Result<Value> {
    let Arguments { belfry, mut indicators, mut rounds, mut settle, dir } = arguments;
    let mut pages = PAGES;
    if quick {
        (indicators, rounds, settle, pages) = (2_000, 1, 1, 5);
    }
    let belfry = match belfry {
        Some(path) => path,
        None => std::env::current_exe()?.with_file_name("belfry"),
    };
    let folder = tempfile::Builder::new()
        .prefix("belfry-bench-")
        .tempdir_in(dir.unwrap_or_else(std::env::temp_dir))?;
    let data_dir = folder.path().join("node");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut coalition = Coalition::found()?;
        let member = coalition.admit("Full", Role::Publisher)?;
        join(&coalition, &member, &data_dir)?;
        let node = Node::start(&coalition, &member, data_dir.clone(), Vec::new()).await?;
        let begun = Instant::now();
        let (group, author) = (coalition.group()?, member.certificate.member);
        fill(node.daemon.store(), group, author, 0..indicators).await?;
        say!("{indicators} indicators stored in {:.1} s", begun.elapsed().as_secs_f64());
        node.daemon.shutdown().await;
        let (mut starts, mut settled, mut read) = (Vec::new(), Vec::new(), Vec::new());
        let mut disk = 0;
        for round in 1..=rounds {
            let begun = Instant::now();
            let mut process = start(Command::new(&belfry), &data_dir, "")?;
            let socket = data_dir.join("api.sock");
            loop {
                if let Some(status) = process.0.try_wait()? {
                    anyhow::bail!("belfry ended with {status}");
                }
                if ask(&socket, "/health/ready", None).await.is_ok() {
                    break;
                }
                ensure!(begun.elapsed() < READY, "the node is not ready");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            starts.push(begun.elapsed().as_secs_f64());
            tokio::time::sleep(Duration::from_secs(settle)).await;
            let id = process.0.id().to_string();
            settled.push(machine::megabytes(machine::resident(&id)?));
            disk = walk(&socket, &data_dir, pages).await?;
            read.push(machine::megabytes(machine::resident(&id)?));
            say!(
                "round {round} of {rounds}: ready after {:.2} s",
                starts.last().copied().unwrap_or_default()
            );
        }
        anyhow::Ok(json!({
            "benchmark": "footprint",
            "indicators": indicators,
            "rss_mb": stats::median(&settled),
            "rss_after_reads_mb": stats::median(&read),
            "start_s": stats::rounded(stats::median(&starts)),
            "rss_mb_by_round": stats::summary(&settled),
            "rss_after_reads_mb_by_round": stats::summary(&read),
            "start_s_by_round": stats::summary(&starts),
            "disk_mb": machine::megabytes(disk),
            "pages_read": pages,
            "settle_s": settle,
            "rounds": rounds,
            "machine": machine::facts(quick),
        }))
    })
}

/// Reads pages as a SIEM does; the size of the database.
async fn walk(socket: &Path, data_dir: &Path, pages: usize) -> anyhow::Result<u64> {
    let token = std::fs::read_to_string(data_dir.join("cli.token"))?;
    let authorization = format!("Bearer {}", token.trim());
    let first = format!("/taxii2/root/collections/{SLUG}/objects/?limit=500");
    let mut path = first.clone();
    for _ in 0..pages {
        let page: Value = serde_json::from_slice(&ask(socket, &path, Some(&authorization)).await?)?;
        match page.get("next").and_then(Value::as_str) {
            Some(next) => path = format!("{first}&next={next}"),
            None => path.clone_from(&first),
        }
    }
    let status: Value = serde_json::from_slice(&ask(socket, "/api/v1/status", Some(&authorization)).await?)?;
    status.pointer("/held/disk_bytes").and_then(Value::as_u64).context("status without disk_bytes")
}

async fn ask(socket: &Path, path: &str, authorization: Option<&str>) -> anyhow::Result<Bytes> {
    let stream = UnixStream::connect(socket).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut request = Request::get(path).header(header::HOST, "localhost");
    if let Some(authorization) = authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    let answer = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    ensure!(status == StatusCode::OK, "{path} answered {status}: {}", String::from_utf8_lossy(&body));
    Ok(body)
}
