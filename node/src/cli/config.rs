//! `belfry config`: what the node would run with.

use clap::Subcommand;

use super::{DataFolder, Global, output};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check the configuration: says where it is wrong, and how to mend it
    Check(DataFolder),
    /// Print the configuration in force, every key with its value
    Show(DataFolder),
}

impl Command {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        match self {
            Self::Check(data) => {
                let config = global.config(&data)?;
                output::print(&format!(
                    "the configuration is right; data folder {}\n",
                    config.node.data_dir.display()
                ))?;
            }
            Self::Show(data) => output::print(&global.config(&data)?.to_toml())?,
        }
        Ok(())
    }
}
