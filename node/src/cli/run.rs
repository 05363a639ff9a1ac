//! `belfry run`: the daemon, until it is told to stop.

use clap::Args;

use super::global::{DataFolder, Global, KeyPassphrase};
use crate::{config::Filter, daemon, telemetry};

/// Run the node.
///
/// Runs in the foreground until Ctrl-C or SIGTERM; logs go to stderr.
///
/// The passphrase of the key files comes from keys.passphrase_file, a systemd credential, or the terminal.
#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    data: DataFolder,
    #[command(flatten)]
    passphrase: KeyPassphrase,
    /// Log filter instead of the configured one, as in "debug" or "info,belfry_node::sync=trace"
    #[arg(long, value_name = "FILTER")]
    log: Option<Filter>,
}

impl Run {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let mut config = global.config(&self.data)?;
        if self.passphrase.passphrase_file.is_some() {
            config.keys.passphrase_file = self.passphrase.passphrase_file;
        }
        telemetry::init(&config.log, self.log.as_ref())?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(daemon::run(config))
    }
}
