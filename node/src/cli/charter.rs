//! `belfry charter`: the rules in force at this node, and what the last version of them changed.

use clap::Args;

use super::{
    coalition::charter_told,
    exit::refuse,
    global::{DataFolder, Global},
    output,
    own_log::OwnLog,
};

/// Show the charter in force at this node, and what it changed.
///
/// Keys, thresholds, groups, documents; below, every line in which it differs from the version before, or from the one named.
/// Nodes take a new version while they run: `belfry status` says which one is in force.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry charter
  belfry charter --from 1
  belfry charter --log log.pem")]
pub(super) struct Charter {
    /// Version to compare with [default: the one before]
    #[arg(long, value_name = "VERSION")]
    from: Option<u64>,
    #[command(flatten)]
    log: OwnLog,
    #[command(flatten)]
    data: DataFolder,
}

impl Charter {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let own = self.log.open(global, &self.data)?;
        let documents = global.config(&self.data)?.node.data_dir.join(crate::texts::FOLDER);
        let (charters, charter) = (own.roster.charters(), own.roster.charter());
        let before = match self.from {
            Some(version) => match charters.version(version) {
                Some(before) => Some(before),
                None => refuse!(
                    "there is no version {version} to compare version {} with: name one from 1 to {0}",
                    charter.version()
                ),
            },
            None => charters.version(charter.version().saturating_sub(1)),
        };
        Ok(output::print(&charter_told(charter, before, &documents))?)
    }
}
