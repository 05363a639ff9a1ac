//! `belfry config`: what the node would run with.

use clap::Subcommand;

use super::{
    check::Check,
    global::{DataFolder, Global},
    output,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Check(Check),
    /// Print the configuration in force, every key with its value
    Show(DataFolder),
}

impl Command {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        match self {
            Self::Check(check) => check.run(global),
            Self::Show(data) => Ok(output::print(&global.config(&data)?.to_toml())?),
        }
    }
}
