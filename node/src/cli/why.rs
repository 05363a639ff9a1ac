//! `belfry why`: every message has a reason for being where it is.

use belfry_proto::id::MessageId;
use clap::Args;

use super::{DataFolder, Global, output};

/// Explain what this node did with a message, and why.
#[derive(Debug, Args)]
pub(super) struct Why {
    /// Message id, 64 hex digits
    #[arg(value_name = "MESSAGE-ID")]
    message: MessageId,
    #[command(flatten)]
    data: DataFolder,
}

impl Why {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let answer = global.client(&self.data)?.get(&format!("/api/v1/messages/{}", self.message))?;
        Ok(output::print(&output::readable(&answer))?)
    }
}
