//! `belfry coalition export`: the signed log as one file, for members and auditors.

use std::path::PathBuf;

use clap::Args;

use super::CoalitionFolder;
use crate::cli::{out, output};

/// Write the signed charter and log as one file.
///
/// Everything needed to verify who belongs: all charters and all records, with their signatures.
#[derive(Debug, Args)]
pub(in crate::cli) struct Export {
    /// File to write; an older export is replaced
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    folder: CoalitionFolder,
}

impl Export {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let folder = self.folder.open()?;
        out::replace(&self.out, &folder.log_file())?;
        let version = folder.roster().version();
        Ok(output::print(&format!(
            "Wrote {}: {}, head {}\n",
            self.out.display(),
            output::counted(version.height.get(), "entry", "entries"),
            version.head
        ))?)
    }
}
