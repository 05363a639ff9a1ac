//! Writes a store, one acknowledged draft after another, for tests of disks that fail: see `belfry_tests::disk`.

use std::path::PathBuf;

use clap::Parser;

/// Commits numbered drafts and notes those that are acknowledged.
#[derive(Debug, Parser)]
struct Arguments {
    /// Folder of the store
    store: PathBuf,
    /// File to note acknowledged numbers in
    acknowledged: PathBuf,
    /// Drafts to write
    #[arg(long, default_value_t = u64::MAX)]
    rows: u64,
    /// Compact the database at every so many
    #[arg(long, default_value_t = u64::MAX)]
    compact: u64,
    /// Open the store, and write nothing
    #[arg(long)]
    only_open: bool,
}

fn main() -> anyhow::Result<()> {
    let Arguments { store, acknowledged, rows, compact, only_open } = Arguments::parse();
    if only_open {
        belfry_tests::disk::open(&store)?;
        return Ok(());
    }
    belfry_tests::disk::write(&store, &acknowledged, rows, compact)
}
