//! Export: what a large list costs a tool that polls it.
//!
//! One whole node whose store is filled directly, and one client. Each round writes one more value, so that the list has
//! to be made *anew*, then asks for it *again*, and then asks whether it has changed since (304). Milliseconds to the
//! first byte of the body and to its last.

use std::{path::PathBuf, time::Instant};

use anyhow::{Context as _, ensure};
use belfry_node::{config::Config, daemon::Outlets};
use belfry_proto::schema::Role;
use clap::Args;
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::{
    coalition::{Coalition, SLUG},
    http::Fetched,
    lookup::fill_with,
    machine,
    node::Node,
    say, stats,
};

const LIST: &str = "/api/v1/exports/domains";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Domains in the list, the rounds' own among them
    #[arg(long, default_value_t = 1_000_000)]
    values: u64,
    /// Rounds
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Folder for the database [default: the system's temporary folder]
    #[arg(long)]
    dir: Option<PathBuf>,
}

pub(crate) fn run(arguments: Arguments, quick: bool) -> anyhow::Result<Value> {
    let Arguments { mut values, mut rounds, dir } = arguments;
    if quick {
        (values, rounds) = (2_000, 2);
    }
    let folder = tempfile::Builder::new()
        .prefix("belfry-bench-")
        .tempdir_in(dir.unwrap_or_else(std::env::temp_dir))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut coalition = Coalition::found()?;
        let member = coalition.admit("Exporter", Role::Publisher)?;
        let text = format!(
            "[[exports]]\nname = \"domains\"\nformat = \"list\"\ngroups = [\"{SLUG}\"]\ntypes = [\"domain-name\"]\nminimum_score = 1\n"
        );
        let config = Config::parse(&text, std::path::Path::new("bench.toml"))?;
        let outlets = Outlets { exports: config.exports, ..Outlets::default() };
        let node = Node::serving(&coalition, &member, folder.path().join("node"), outlets).await?;
        let (group, author) = (coalition.group()?, member.certificate.member);
        let rounds_of = rounds as u64 + 1;
        let begun = Instant::now();
        fill_with(node.daemon.store(), group, author, 0..values.saturating_sub(rounds_of), domain).await?;
        say!("{values} values stored in {:.1} s", begun.elapsed().as_secs_f64());
        let mut client = node.client().await?;
        let (mut anew, mut again, mut unchanged, mut bytes) = (Vec::new(), Vec::new(), Vec::new(), 0);
        // One round to warm up.
        for round in 0..rounds_of {
            let next = values.saturating_sub(rounds_of) + round;
            fill_with(node.daemon.store(), group, author, next..next + 1, domain).await?;
            let made = client.fetch(LIST, None).await?;
            let kept = client.fetch(LIST, None).await?;
            ensure!(made.status == StatusCode::OK && kept.status == StatusCode::OK, "{} {}", made.status, kept.status);
            ensure!(made.bytes == kept.bytes && made.bytes > 0, "{} and {} bytes", made.bytes, kept.bytes);
            let tag = kept.tag.clone().context("a list without a tag")?;
            let same = client.fetch(LIST, Some(&tag)).await?;
            ensure!(same.status == StatusCode::NOT_MODIFIED, "unchanged, and answered {}", same.status);
            say!("round {round}: anew {:.0} ms, again {:.0} ms, unchanged {:.1} ms", made.last, kept.last, same.last);
            bytes = made.bytes;
            if round > 0 {
                anew.push(made);
                again.push(kept);
                unchanged.push(same);
            }
        }
        let rss = machine::resident("self")?;
        node.daemon.shutdown().await;
        let of = |all: &[Fetched], pick: fn(&Fetched) -> f64| -> Vec<f64> { all.iter().map(pick).collect() };
        let (first, last) = (|one: &Fetched| one.first, |one: &Fetched| one.last);
        anyhow::Ok(json!({
            "benchmark": "export",
            "anew_first_byte_ms": stats::rounded(stats::median(&of(&anew, first))),
            "anew_last_byte_ms": stats::rounded(stats::median(&of(&anew, last))),
            "again_first_byte_ms": stats::rounded(stats::median(&of(&again, first))),
            "again_last_byte_ms": stats::rounded(stats::median(&of(&again, last))),
            "unchanged_ms": stats::rounded(stats::median(&of(&unchanged, last))),
            "anew_last_byte_ms_by_round": stats::summary(&of(&anew, last)),
            "again_last_byte_ms_by_round": stats::summary(&of(&again, last)),
            "unchanged_ms_by_round": stats::summary(&of(&unchanged, last)),
            "values": values,
            "bytes": bytes,
            "rss_mb": rss >> 20,
            "rounds": rounds,
            "machine": machine::facts(quick),
        }))
    })
}

fn domain(n: u64) -> String {
    format!("h{n}.bench-{}.net", n / 16)
}
