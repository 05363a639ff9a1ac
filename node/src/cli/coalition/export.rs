//! `belfry coalition export`: the signed log as one file, for members and auditors.

use std::path::PathBuf;

use clap::Args;

use super::CoalitionFolder;
use crate::cli::{documents, out, output};

/// Write the signed charter and log as one file.
///
/// Everything needed to verify who belongs: all charters and all records, with their signatures. The texts that the
/// charter names go into `documents` beside it.
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
        let texts = documents::pass_on(
            folder.roster().charter(),
            &[&documents::beside(&folder.charter_path())],
            &documents::beside(&self.out),
        )?;
        let version = folder.roster().version();
        Ok(output::print(&format!(
            "Wrote {}: {}, head {}\n{texts}",
            self.out.display(),
            output::counted(version.height.get(), "entry", "entries"),
            version.head
        ))?)
    }
}
