//! Measurements against floors on the same machine, in the same run.
//!
//! A rate by itself says as much about the machine as about belfry. Each benchmark therefore has a *floor*:
//! the work that no implementation of the same promises could leave out, done by the bare libraries. Rounds
//! of both are interleaved, so that a noisy neighbour hits both, and what counts is the ratio of the
//! medians.
//!
//! Progress goes to stderr. The last line of stdout is one JSON object with units in its field names, the
//! rounds as they were measured, and what machine it was. `--quick` runs everything small, to see that it
//! still works; its figures mean nothing.

mod admission;
mod bombs;
mod catchup;
mod coalition;
mod content;
mod delivery;
mod export;
mod footprint;
mod heal;
mod http;
mod idle;
mod idle_sync;
mod import;
mod ingest;
mod lookup;
mod machine;
mod node;
mod propagation;
mod publish;
mod revoke;
mod roster;
mod stats;
mod taxii;

use clap::{Parser, Subcommand};

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures belfry. The last line of stdout is one JSON object.
#[derive(Debug, Parser)]
struct Arguments {
    /// Small and fast, to see that the benchmark runs; the figures mean nothing
    #[arg(long, global = true)]
    quick: bool,
    #[command(subcommand)]
    which: Which,
}

#[derive(Debug, Subcommand)]
enum Which {
    /// Envelopes through judge, open, parse and store
    Ingest(ingest::Arguments),
    /// Publish to stored at every node of a mesh
    Propagation(propagation::Arguments),
    /// Acknowledged durable publishes over the HTTP API
    Publish(publish::Arguments),
    /// Pages of a TAXII collection, beside OASIS's reference server
    Taxii(taxii::Arguments),
    /// Memory and start of a node that holds a million indicators
    Footprint(footprint::Arguments),
    /// What is known of a value, over HTTP and in process
    Lookup(lookup::Arguments),
    /// Tables and MISP events, through guards and validation to durable drafts
    Import(import::Arguments),
    /// A list of a million domains, to its first byte and its last, and unchanged
    Export(export::Arguments),
    /// A new node that takes a coalition's messages from three peers
    Catchup(catchup::Arguments),
    /// What it costs two nodes to find that they hold the same
    IdleSync(idle_sync::Arguments),
    /// Two halves that were apart, until all hold the same
    Heal(heal::Arguments),
    /// Deliveries beside members that pass nothing on, and without them
    Delivery(delivery::Arguments),
    /// A revocation at one node, until every node refuses whom it names
    Revoke(revoke::Arguments),
    /// Hellos of strangers, and what members notice of a flood of them
    Admission(admission::Arguments),
    /// The strangers of `admission`
    #[command(hide = true)]
    Strangers(admission::strangers::Arguments),
    /// What is made to cost much, until it is refused
    Bombs(bombs::Arguments),
    /// Memory of an idle node, and the size of its binary
    Idle(idle::Arguments),
    /// Folding the admin log, whole and one entry more
    Roster(roster::Arguments),
}

fn main() -> anyhow::Result<()> {
    let Arguments { quick, which } = Arguments::parse();
    // As in the daemon: without anybody who listens, every span and event would be looked at anew to be thrown away.
    tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_writer(std::io::stderr).init();
    let report = match which {
        Which::Ingest(arguments) => ingest::run(arguments, quick)?,
        Which::Propagation(arguments) => propagation::run(arguments, quick)?,
        Which::Publish(arguments) => publish::run(arguments, quick)?,
        Which::Taxii(arguments) => taxii::run(arguments, quick)?,
        Which::Footprint(arguments) => footprint::run(arguments, quick)?,
        Which::Lookup(arguments) => lookup::run(arguments, quick)?,
        Which::Import(arguments) => import::run(arguments, quick)?,
        Which::Export(arguments) => export::run(arguments, quick)?,
        Which::Catchup(arguments) => catchup::run(arguments, quick)?,
        Which::IdleSync(arguments) => idle_sync::run(arguments, quick)?,
        Which::Heal(arguments) => heal::run(arguments, quick)?,
        Which::Delivery(arguments) => delivery::run(arguments, quick)?,
        Which::Revoke(arguments) => revoke::run(arguments, quick)?,
        Which::Admission(arguments) => admission::run(arguments, quick)?,
        Which::Strangers(arguments) => admission::strangers::run(&arguments)?,
        Which::Bombs(arguments) => bombs::run(arguments, quick)?,
        Which::Idle(arguments) => idle::run(arguments, quick)?,
        Which::Roster(arguments) => roster::run(arguments, quick)?,
    };
    println!("{report}");
    Ok(())
}

/// One line about what goes on.
macro_rules! say {
    ($($text:tt)*) => { eprintln!("    {}", format_args!($($text)*)) };
}
pub(crate) use say;
