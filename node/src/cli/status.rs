//! `belfry status`: is it well, and is anything readable only here?

use clap::Args;

use super::{DataFolder, Global, client::Client, output};

/// Show the running node: identity, certificate, roster, peers, groups.
#[derive(Debug, Args)]
pub(super) struct Status {
    #[command(flatten)]
    data: DataFolder,
    /// Print the daemon's answer as JSON
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let status = Client::new(&global.config(&self.data)?)?.get("/api/v1/status")?;
        if self.json {
            return output::print_json(&status);
        }
        Ok(output::print(&output::readable(&status))?)
    }
}
