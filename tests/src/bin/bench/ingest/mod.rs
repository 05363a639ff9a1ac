//! Ingest: indicators of 1 KiB from fifty authors through judge → open → parse → store, against a floor.
//!
//! **belfry** is the node's own code path: [`belfry_node::ingest`]'s judge and keeper as the daemon runs them,
//! fed the way sync feeds them (pages of at most 256 envelopes, a few on the way at once), on a real store in
//! a real folder. The content keys are in the store already; every envelope is decoded, attributed, verified,
//! admitted, opened, parsed, indexed and acknowledged after the synced write that holds it. A round ends when
//! the last one is acknowledged, and fails unless every one was stored and opened.
//!
//! **The floor** is what no such node could leave out, prepared as far as it can be. For the very same envelopes,
//! as many worker threads as there are cores do one strict Ed25519 verification of the signed bytes, one AEAD
//! opening of the body under its content key, and one AEAD sealing of as many bytes as belfry seals at rest;
//! one thread writes. The rows are *the rows belfry wrote*: read back from the database of the first
//! (unmeasured) round, with their column families, keys and value lengths, dealt out over synced batches of
//! the size belfry's writer uses, in a database opened with the same options. Nothing is decoded, hashed,
//! parsed, looked up, decided or encoded, and the workers hand over finished batches, so that the writer does
//! nothing but write.

mod belfry;
mod floor;

pub(crate) use self::belfry::{Way, round};

use std::path::PathBuf;

use anyhow::Context as _;
use belfry_node::store::KeyRow;
use belfry_proto::schema::Role;
use clap::Args;
use serde_json::{Value, json};

use crate::{
    coalition::{Coalition, Member},
    content::{self, Writer},
    machine, say, stats,
};

/// Envelopes in one synced batch of the floor: what belfry's writer takes at most.
const BATCH: usize = 256;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Envelopes in a round
    #[arg(long, default_value_t = 20_000)]
    messages: usize,
    /// Members that wrote them, in turn
    #[arg(long, default_value_t = 50)]
    authors: usize,
    /// Rounds of each side
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Folder for the databases, on the disk to measure [default: the system's temporary folder]
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// Envelopes with all that either side needs beforehand.
pub(crate) struct Prepared {
    pub(crate) coalition: Coalition,
    pub(crate) reader: Member,
    pub(crate) keys: Vec<KeyRow>,
    pub(crate) envelopes: Vec<Vec<u8>>,
}

impl Prepared {
    /// Makes a coalition and lets its members write, in turn.
    pub(crate) fn make(messages: usize, authors: usize) -> anyhow::Result<Self> {
        let mut coalition = Coalition::found()?;
        let reader = coalition.admit("Reader", Role::Reader)?;
        Self::written(coalition, reader, messages, authors)
    }

    /// Lets members of a coalition write that has its readers already.
    pub(crate) fn written(
        mut coalition: Coalition,
        reader: Member,
        messages: usize,
        authors: usize,
    ) -> anyhow::Result<Self> {
        let members = (0..authors)
            .map(|n| coalition.admit(&format!("Author {n}"), Role::Publisher))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let group = coalition.group()?;
        let mut writers: Vec<Writer<'_>> =
            members.iter().map(|member| Writer::new(member, &coalition.roster, group)).collect();
        let mut envelopes = Vec::with_capacity(messages);
        for number in 0..messages {
            let turn = number % authors.max(1);
            let (_, object) = content::indicator(number as u64);
            let writer = writers.get_mut(turn).context("no author")?;
            envelopes.push(writer.write(&content::payload(object))?);
        }
        let keys = writers.iter().map(Writer::key_row).collect();
        drop(writers);
        Ok(Self { coalition, reader, keys, envelopes })
    }
}

pub(crate) fn run(arguments: Arguments, quick: bool) -> anyhow::Result<Value> {
    let Arguments { mut messages, mut authors, mut rounds, dir } = arguments;
    if quick {
        (messages, authors, rounds) = (600, 5, 2);
    }
    let dir = dir.unwrap_or_else(std::env::temp_dir);
    say!("sealing {messages} indicators of {authors} authors");
    let prepared = Prepared::make(messages, authors)?;
    let bytes: usize = prepared.envelopes.iter().map(Vec::len).sum();
    say!("{} bytes an envelope", bytes / messages.max(1));

    say!("warming up");
    let folder = tempfile::Builder::new().prefix("belfry-bench-").tempdir_in(&dir)?;
    let first = belfry::round(&prepared, &folder.path().join("rows"), Way::Pages)?;
    let floor = floor::Floor::prepare(&prepared, &folder.path().join("rows"), BATCH)?;
    machine::clear(&folder.path().join("rows"));
    floor.round(&folder.path().join("warm"))?;
    machine::clear(&folder.path().join("warm"));
    say!("first round: {:.0} messages/s", rate(messages, first.seconds));

    let prepared_bytes = machine::resident("self")?;
    let (mut ours, mut bare, mut ratios, mut peaks) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 1..=rounds {
        let path = |side: &str| folder.path().join(format!("{side}-{round}"));
        // Alternately first, so that neither always finds the disk as the other left it.
        let (mut belfry_seconds, mut floor_seconds) = (0.0, 0.0);
        for side in 0..2 {
            if (side + round).is_multiple_of(2) {
                machine::forget_peak()?;
                let done = belfry::round(&prepared, &path("belfry"), Way::Pages)?;
                belfry_seconds = done.seconds;
                peaks.push(machine::peak("self")?);
                machine::clear(&path("belfry"));
            } else {
                floor_seconds = floor.round(&path("floor"))?;
                machine::clear(&path("floor"));
            }
        }
        let (b, f) = (rate(messages, belfry_seconds), rate(messages, floor_seconds));
        say!("round {round} of {rounds}: belfry {b:.0} messages/s, floor {f:.0}, ratio {:.3}", b / f);
        ours.push(b);
        bare.push(f);
        ratios.push(b / f);
    }
    let peak = peaks.iter().copied().max().unwrap_or_default();
    Ok(json!({
        "benchmark": "ingest",
        "ratio_to_floor": stats::rounded(stats::median(&ours) / stats::median(&bare)),
        "target_ratio_to_floor_at_least": 0.5,
        "messages_per_s": stats::median(&ours).round(),
        "rss_mb": machine::megabytes(peak),
        "rss_of_prepared_input_mb": machine::megabytes(prepared_bytes),
        "belfry_messages_per_s": stats::summary(&ours),
        "floor_messages_per_s": stats::summary(&bare),
        "ratio_by_round": stats::summary(&ratios),
        "messages": messages,
        "authors": authors,
        "object_bytes": content::INDICATOR,
        "envelope_bytes_mean": bytes / messages.max(1),
        "floor_rows": floor.rows(),
        "floor_batch_messages": BATCH,
        "rounds": rounds,
        "machine": machine::facts(quick),
    }))
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn rate(messages: usize, seconds: f64) -> f64 {
    messages as f64 / seconds
}
